"""Indexing by arrays of integers: take, take_along_axis, one_hot. (`x[…]` is `ops.getitem`, the core `ops.gather`.)

Negative indices count from the end, as in NumPy; an index out of range is an error, and never clipped in silence.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from engine.attrs import AXIS, KNOWN, OPTIONAL_AXIS, one_of
from engine.aval import broadcast_shapes, normalize_axis
from engine.builder import Builder, Var, broadcast_to, call, cast
from engine.errors import InvalidAttribute, ShapeMismatch
from engine.op import Attr, Example, Op, Operand, registry
from engine.ops.index.gather import INDICES, checked, clamped, gather_axis, known, reshaped
from engine.ops.layout.arrange import permuted


class Take(Op):
    """Entries of an array at given indices along an axis; without an axis, of the flattened array.

    a: [*s], indices: int [*i]  ->  [*s before axis, *i, *s after axis]

    `mode` says what an index that is out of range means: `raise` (an error; the default), `wrap` (modulo the size) or
    `clip` (the nearest end; negative indices are 0 then). An entry taken twice gets the sum of both cotangents.
    """

    name = "take"
    family = "indexing"
    parameters = (
        Operand("a", ("x", "input")),
        INDICES,
        Attr("axis", OPTIONAL_AXIS, None, ("dim",)),
        Attr("mode", one_of("raise", "wrap", "clip"), "raise", keyword_only=True),
    )
    composite = True
    passes_integers = True
    latex = "{a}_{{{indices}}}"
    derivative = {"a": "\\dot{a}_{\\text{indices}}"}
    examples = (
        Example(([4.0, 3.0, 5.0, 7.0, 6.0, 8.0], [0, 1, 4])),
        Example(
            ([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], [[2, 0], [-1, 2]]), {"axis": 1}, note="an entry three times"
        ),
        Example(([1.0, 2.0, 3.0], [-4, 7]), {"mode": "wrap"}),
        Example(([1.0, 2.0, 3.0], []), note="nothing taken"),
    )

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var:
        """A gather."""
        a, indices = operands
        axis: int | None = attrs["axis"]
        if axis is None or not a.rank:
            a, axis = reshaped(a, (a.size,)), axis or 0
        at = normalize_axis(axis, a.rank) + a.rank
        return gather_axis(a, _moved(indices, a.shape[at], attrs["mode"], at), at - a.rank)


def _moved(indices: Var, n: int, mode: str, axis: int) -> Var:
    """Indices brought into range as `mode` says."""
    if mode == "raise":
        return checked(indices, n, by="take", what=axis)
    if n == 0 and indices.size:
        raise InvalidAttribute(
            f"take: axis {axis} has size 0: there is nothing to take, in mode '{mode}' neither."
        )
    constant = known(indices)
    if constant is not None:
        inside = np.mod(constant, max(n, 1)) if mode == "wrap" else np.clip(constant, 0, max(n - 1, 0))
        return indices.b.var(inside, "int64")
    if mode == "clip":
        return clamped(indices, 0, max(n - 1, 0))
    return call(indices.b, "remainder", indices, max(n, 1))


class TakeAlongAxis(Op):
    """Entries along an axis at indices of their own for every place: y[i, j] = arr[indices[i, j], j] for axis 0.

    arr: [*s], indices: int, of as many axes; all axes but the indexed one are broadcast together.

    It applies an `argsort`. It is what PyTorch calls `gather(input, dim, index)` (there the other axes of index may be
    shorter, here they are broadcast), and ONNX GatherElements. Without an axis (null), of the flattened array.
    """

    name = "take_along_axis"
    aliases = ("take_along_dim",)
    family = "indexing"
    parameters = (
        Operand("arr", ("x", "a", "input")),
        INDICES,
        Attr("axis", OPTIONAL_AXIS, -1, ("dim",)),
    )
    composite = True
    passes_integers = True
    latex = "{arr}_{{{indices}}}"
    derivative = {"arr": "\\dot{arr}_{\\text{indices}}"}
    examples = (
        Example(([[10.0, 30.0, 20.0], [60.0, 40.0, 50.0]], [[0, 2, 1], [1, 2, 0]]), {"axis": 1}),
        Example(
            ([[10.0, 30.0, 20.0], [60.0, 40.0, 50.0]], [[0, 1, 1], [1, 1, 1]]), {"axis": 0}, note="repeated"
        ),
        Example(([[10.0, 30.0, 20.0], [60.0, 40.0, 50.0]], [[-1], [0]]), {"axis": 1}),
        Example(
            ([[10.0, 30.0, 20.0], [60.0, 40.0, 50.0]], [5, 0]), {"axis": None}, note="of the flattened array"
        ),
    )

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var:
        """A gather that shares all axes but the last."""
        arr, indices = operands
        axis = attrs["axis"]
        if axis is None:
            if indices.rank != 1:
                raise ShapeMismatch(
                    f"take_along_axis: without an axis the array is flattened, and the indices must have one axis; "
                    f"their shape is {list(indices.shape)}."
                )
            arr, axis = reshaped(arr, (arr.size,)), 0
        if arr.rank != indices.rank:
            raise ShapeMismatch(
                f"take_along_axis: the array has {arr.rank} axes (shape {list(arr.shape)}), the indices have "
                f"{indices.rank} (shape {list(indices.shape)}); they must have equally many."
            )
        at = normalize_axis(axis, arr.rank) + arr.rank
        index = checked(indices, arr.shape[at], by="take_along_axis", what=at)
        if all(n == 1 for k, n in enumerate(index.shape) if k != at):
            return gather_axis(arr, reshaped(index, (index.size,)), at - arr.rank)
        order = [*[k for k in range(arr.rank) if k != at], at]
        x, index = permuted(arr, order), permuted(index, order)
        try:
            shared = broadcast_shapes([x.shape[:-1], index.shape[:-1]])
        except ShapeMismatch:
            raise ShapeMismatch(
                f"take_along_axis: the array has shape {list(arr.shape)}, the indices {list(indices.shape)}; except "
                f"along axis {at} the sizes must be equal, or 1."
            ) from None
        x, index = broadcast_to(x, (*shared, x.shape[-1])), broadcast_to(index, (*shared, index.shape[-1]))
        y: Var = b.write("gather", x, index, axis=-1, batch_dims=len(shared))
        return permuted(y, [order.index(k) for k in range(arr.rank)])


class OneHot(Op):
    """Rows of an identity matrix: 1 at the index, 0 elsewhere, along a new axis (by default the last).

    indices: int [*i]  ->  [*i, num_classes]. An index that is no class, a negative one too, is an error.
    """

    name = "one_hot"
    aliases = ("OneHot",)
    family = "indexing"
    parameters = (
        Operand("indices", ("x", "input", "labels"), integer=True),
        Attr("num_classes", KNOWN, aliases=("depth",)),
        Attr("axis", AXIS, -1),
    )
    composite = True
    latex = "e_{{{indices}}}"
    convention = "An index has no derivative."
    examples = (Example(([0, 2, 1],), {"num_classes": 3}), Example((1,), {"num_classes": 2}))

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var:
        """Where the index equals 0, 1, 2, …"""
        indices, n = operands[0], attrs["num_classes"]
        rank = indices.rank + 1
        at = normalize_axis(attrs["axis"], rank) + rank
        classes: Var = b.write("iota", n=n)
        index = checked(indices, n, by="one_hot", what="an axis", low=0)
        hot = reshaped(index, (*index.shape[:at], 1, *index.shape[at:])).equals(
            reshaped(classes, (n, *[1] * (rank - at - 1)))
        )
        return cast(b, hot, b.dtype)


registry.add(Take())
registry.add(TakeAlongAxis())
registry.add(OneHot())
