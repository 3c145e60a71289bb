"""Indexing by arrays of integers: take, gather, take_along_axis, scatter_add, one_hot. (`x[…]` is in `ops.getitem`.)

Negative indices count from the end, as in NumPy; an index that is out of range is an error and never clipped in silence.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from engine.attrs import AXIS, COUNT, OPTIONAL_AXIS, one_of
from engine.aval import Aval, Avals, DType, broadcast_shapes, normalize_axis
from engine.builder import Builder, Var, broadcast_to, call
from engine.errors import InvalidAttribute, ShapeMismatch
from engine.op import Attr, Example, Op, Operand, Zero, registry
from engine.ops.gather import checked, gather_axis, known, permuted, reshaped


def _moved(indices: Var, n: int, mode: str, *, by: str, axis: int) -> Var:
    """Indices brought into range as `mode` says."""
    if mode == "raise":
        return checked(indices, n, by=by, axis=axis)
    if n == 0 and indices.size:
        raise InvalidAttribute(
            f"{by}: axis {axis} has size 0: there is nothing to take, in mode '{mode}' neither."
        )
    constant = known(indices)
    if constant is not None:
        inside = np.mod(constant, max(n, 1)) if mode == "wrap" else np.clip(constant, 0, max(n - 1, 0))
        return indices.b.var(inside, "int64")
    if mode == "wrap":
        moved: Var = call(indices.b, "remainder", indices, max(n, 1))
    else:
        moved = call(indices.b, "clip", indices, 0, max(n - 1, 0))
    return moved


class Take(Op):
    """Entries of an array at given indices along an axis; without an axis, of the flattened array.

    a: [*s], indices: int [*i]  ->  [*s before axis, *i, *s after axis]

    `mode` says what an index that is out of range means: `raise` (an error; the default), `wrap` (modulo the size) or
    `clip` (the nearest end; negative indices are 0 then). An index taken twice gets the sum of both cotangents.
    """

    name = "take"
    family = "indexing"
    parameters = (
        Operand("a", ("x", "input")),
        Operand("indices", ("index",), integer=True),
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
            ([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], [[2, 0], [-1, 2]]),
            {"axis": 1},
            note="an entry taken three times",
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
        return gather_axis(a, _moved(indices, a.shape[at], attrs["mode"], by="take", axis=at), at - a.rank)


class Gather(Op):
    """Entries of an array at given indices along an axis, by default the first, as ONNX's Gather and `np.take(axis=0)`.

    x: [*s], indices: int [*i]  ->  [*s before axis, *i, *s after axis]

    PyTorch's `gather(input, dim, index)` is another function: here it is `take_along_axis(input, index, dim)`.
    """

    name = "gather"
    aliases = ("Gather",)
    family = "indexing"
    parameters = (
        Operand("x", ("a", "input", "data", "params")),
        Operand("indices", ("index",), integer=True),
        Attr("axis", AXIS, 0, ("dim",)),
    )
    composite = True
    passes_integers = True
    latex = "{x}_{{{indices}}}"
    derivative = {"x": "\\dot{x}_{\\text{indices}}"}
    examples = (
        Example(([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]], [2, 0, 2])),
        Example(([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], 1), {"axis": -1}),
    )

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var:
        """A gather."""
        x, indices = operands
        at = normalize_axis(attrs["axis"], x.rank) + x.rank
        return gather_axis(x, checked(indices, x.shape[at], by="gather", axis=at), at - x.rank)


class TakeAlongAxis(Op):
    """Entries along an axis at indices of their own for every place: y[i, j] = arr[indices[i, j], j] for axis 0.

    arr: [*s], indices: int, of as many axes; all axes but the indexed one are broadcast together.

    This is what undoes an `argsort`, what PyTorch calls `gather(input, dim, index)` (there the other axes of index may be
    shorter, here they are broadcast), and ONNX GatherElements. Without an axis (null), of the flattened array.
    """

    name = "take_along_axis"
    family = "indexing"
    parameters = (
        Operand("arr", ("x", "a", "input")),
        Operand("indices", ("index",), integer=True),
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
        index = checked(indices, arr.shape[at], by="take_along_axis", axis=at)
        if all(n == 1 for k, n in enumerate(index.shape) if k != at):
            return gather_axis(arr, reshaped(index, (index.size,)), at - arr.rank)
        order = [*[k for k in range(arr.rank) if k != at], at]
        x, index = permuted(arr, order), permuted(index, order)
        try:
            shared = broadcast_shapes([x.shape[:-1], index.shape[:-1]])
        except ShapeMismatch:
            raise ShapeMismatch(
                f"take_along_axis: the array has shape {list(arr.shape)}, the indices {list(indices.shape)}; except along "
                f"axis {at} the sizes must be equal, or 1."
            ) from None
        x, index = broadcast_to(x, (*shared, x.shape[-1])), broadcast_to(index, (*shared, index.shape[-1]))
        y: Var = b.write("core_gather", x, index, axis=-1, batch=len(shared))
        return permuted(y, [order.index(k) for k in range(arr.rank)])


class ScatterAdd(Op):
    """x with updates added at given indices along an axis; where indices repeat, their updates add up.

    x: [*s], indices: int [*i], updates: broadcast to [*s before axis, *i, *s after axis]  ->  [*s]

    NumPy's `np.add.at(x, indices, updates)`, JAX's `x.at[indices].add(updates)`. PyTorch's `scatter_add(input, dim,
    index, src)`, whose index has an entry for every update, is another function.
    """

    name = "scatter_add"
    family = "indexing"
    parameters = (
        Operand("x", ("a", "input")),
        Operand("indices", ("index",), integer=True),
        Operand("updates", ("src", "source", "values")),
        Attr("axis", AXIS, 0, ("dim",)),
    )
    composite = True
    passes_integers = True
    latex = "{x} + \\textstyle\\sum_k e_{{{indices}_k}} \\, {updates}_k"
    derivative = {"x": "1", "updates": "e_{\\text{indices}}"}
    examples = (
        Example(([1.0, 2.0, 3.0], [0, 2, 0], [10.0, 20.0, 30.0]), note="an index twice"),
        Example(
            ([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], [-1, 1], [[10.0], [20.0]]), {"axis": 1}, note="broadcasting"
        ),
        Example(([1.0, 2.0], [], [])),
    )

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var:
        """A core scatter_add."""
        x, indices, updates = operands
        at = normalize_axis(attrs["axis"], x.rank) + x.rank
        index = checked(indices, x.shape[at], by="scatter_add", axis=at)
        shape = x.shape[:at] + index.shape + x.shape[at + 1 :]
        try:
            spread = broadcast_to(updates, shape)
        except ShapeMismatch:
            raise ShapeMismatch(
                f"scatter_add: updates of shape {list(updates.shape)} cannot be broadcast to {list(shape)}, which is the "
                f"shape of x with its axis {at} replaced by the shape of the indices, {list(indices.shape)}."
            ) from None
        result: Var = b.write("core_scatter_add", x, index, spread, axis=at - x.rank, batch=0)
        return result


class CoreOneHot(Op):
    """One more axis of `classes` entries: 1 at the index, 0 elsewhere."""

    name = "core_one_hot"
    family = "core"
    internal = True
    rules = (Zero(),)

    def infer(self, *avals: Aval, **params: Any) -> Avals:
        """The indices' shape with an axis behind it."""
        return Aval((*avals[0].shape, params["classes"]), params["dtype"])

    def evaluate(self, *arrays: Any, **params: Any) -> Any:
        """Raises `InvalidAttribute` for a class that does not exist."""
        labels, n = np.asarray(arrays[0]), params["classes"]
        dtype: DType = params["dtype"]
        outside = (labels < 0) | (labels >= n)
        if outside.any():
            raise InvalidAttribute(
                f"one_hot: there is no class {labels[outside].flat[0]}; with num_classes = {n} classes are 0 to {n - 1}."
            )
        return (labels[..., None] == np.arange(n)).astype(dtype)


class OneHot(Op):
    """Rows of an identity matrix: 1 at the index, 0 elsewhere, along a new axis (by default the last).

    indices: int [*i]  ->  [*i, num_classes]. An index that is no class, a negative one too, is an error.
    """

    name = "one_hot"
    aliases = ("OneHot",)
    family = "indexing"
    parameters = (
        Operand("indices", ("x", "input", "labels"), integer=True),
        Attr("num_classes", COUNT, aliases=("depth",)),
        Attr("axis", AXIS, -1),
    )
    composite = True
    latex = "e_{{{indices}}}"
    convention = "An index has no derivative."
    examples = (Example(([0, 2, 1],), {"num_classes": 3}), Example((1,), {"num_classes": 2}))

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var:
        """A core one_hot, its axis moved."""
        (indices,) = operands
        rank = indices.rank + 1
        at = normalize_axis(attrs["axis"], rank) + rank
        y: Var = b.write("core_one_hot", indices, classes=attrs["num_classes"], dtype=b.dtype)
        order = list(range(rank - 1))
        order.insert(at, rank - 1)
        return permuted(y, order)


registry.add(Take())
registry.add(Gather())
registry.add(TakeAlongAxis())
registry.add(ScatterAdd())
registry.add(CoreOneHot())
registry.add(OneHot())
