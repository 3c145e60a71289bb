"""Order along an axis: sort, argsort, top_k, kthvalue, argmax, argmin.

Order is of integers: `argsort` and `argmax` have no derivative. What is read in that order has one, that of a gather: a
sort is stable, and the order decides where entries tie. NaN counts as the largest number, as in NumPy and PyTorch.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import log2
from typing import Any

import numpy as np

from engine.attrs import AXIS, BOOL, KNOWN, OPTIONAL_AXIS, SIZE, one_of, optional
from engine.aval import Array, Aval, Avals, normalize_axis, without_axes
from engine.builder import Builder, Var
from engine.errors import EmptyReduction, InvalidAttribute
from engine.formula import Formula
from engine.op import Attr, Example, Op, Operand, Partial, Zero, registry
from engine.ops.index.gather import reshaped
from engine.ops.layout.arrange import permuted
from engine.ops.layout.shape import slice_axis
from engine.ops.reduce.reduction import AXIS_ATTRS, keep

X = Operand("x", ("a", "input", "data"))
KIND = Attr("kind", optional(one_of("quicksort", "mergesort", "heapsort", "stable")), None)
DESCENDING = Attr("descending", BOOL, False, keyword_only=True)
STABLE = Attr("stable", optional(BOOL), None, keyword_only=True)
ORDER_CONVENTION = (
    "Where entries tie, the one that stands first comes first, and it alone has the derivative."
)


def flattened(x: Var, axis: int | None) -> tuple[Var, int]:
    """The array and the axis (from the end) that is meant; the flattened array where there is none."""
    if axis is None or not x.rank:
        return reshaped(x, (x.size,)), -1
    return x, normalize_axis(axis, x.rank)


def along(x: Var, index: Var, axis: int) -> Var:
    """Entries at indices of their own for every place along `axis` (from the end), which are in range."""
    order = [k for k in range(x.rank) if k != x.rank + axis] + [x.rank + axis]
    moved, places = permuted(x, order), permuted(index, order)
    y: Var = x.b.write("gather", moved, places, axis=-1, batch_dims=x.rank - 1)
    return permuted(y, [order.index(k) for k in range(x.rank)])


class ArgSort(Op):
    """Indices that sort an array along an axis (the last one, unless given; null: flattened), stably.

    NaN comes last, or first with `descending`. Equal entries keep their order in both directions.
    """

    name = "argsort"
    family = "indexing"
    parameters = (X, Attr("axis", OPTIONAL_AXIS, -1, ("dim",)), KIND, DESCENDING, STABLE)
    rules = (Zero(),)
    latex = "\\operatorname{{argsort}} {x}"
    convention = "An index has no derivative."
    examples = (
        Example(([3.0, 1.0, 2.0],)),
        Example(([[3.0, 1.0, 3.0], [0.5, 2.0, 0.5]],), {"axis": 1, "descending": True}, note="ties"),
        Example(([[3.0, 1.0], [0.5, 2.0]],), {"axis": None}, note="flattened"),
        Example(([[3.0, 1.0], [0.5, 2.0]],), {"axis": -2}),
        Example(([2.0, float("nan"), 1.0],), {"descending": True}, smooth=False, note="NaN is the largest"),
        Example(([],)),
        Example((3.0,), note="a scalar"),
    )

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var:
        """One node."""
        x, axis = flattened(operands[0], attrs["axis"])
        return argsort(x, axis, attrs["descending"])

    def infer(self, *avals: Aval, **params: Any) -> Avals:
        """Integers of the operand's shape."""
        return Aval(avals[0].shape, "int64")

    def evaluate(self, *arrays: Any, **params: Any) -> Any:
        """NumPy's stable sort; descending, that of the array read backwards, turned round."""
        x, axis = np.asarray(arrays[0]), params["axis"]
        if not params["descending"]:
            return np.argsort(x, axis=axis, kind="stable")
        back = np.flip(np.argsort(np.flip(x, axis), axis=axis, kind="stable"), axis)
        return x.shape[axis] - 1 - back

    def flops(self, operands: Sequence[Aval], result: Avals, **params: Any) -> float:
        """n log n comparisons."""
        n = operands[0].size
        return 8.0 * n * log2(n + 2)


registry.add(ArgSort())


def argsort(x: Var, axis: int, descending: bool = False) -> Var:
    """`argsort` along an axis counted from the end."""
    result: Var = x.b.write("argsort", x, axis=axis, descending=descending)
    return result


class InOrder(Op):
    """A sorted array itself: it knows where neighbours along the axis are equal, so that their order was a choice."""

    name = "in_order"
    family = "core"
    internal = True
    elementwise = True
    rules = (Partial(Formula("1")),)
    convention = ORDER_CONVENTION

    def infer(self, *avals: Aval, **params: Any) -> Avals:
        """The operand's aval."""
        return avals[0]

    def evaluate(self, *arrays: Any, **params: Any) -> Any:
        """The operand."""
        return arrays[0]

    def cuts(
        self, axis: int, operands: Sequence[Aval], result: Aval, /, **params: Any
    ) -> tuple[int | None, ...] | None:
        """Any axis but its own: neighbours along that belong together."""
        return None if axis == result.rank + params["axis"] else (axis,)

    def kink(self, arrays: Sequence[Array], y: Array, **params: Any) -> Array | None:
        """Entries that a neighbour along the axis is equal to."""
        rows = np.moveaxis(np.asarray(y), params["axis"], -1)
        same = rows[..., 1:] == rows[..., :-1]
        edge = np.zeros((*rows.shape[:-1], 1), bool)
        ties = np.concatenate([edge, same], -1) | np.concatenate([same, edge], -1)
        mask: Array = np.moveaxis(ties[..., : rows.shape[-1]], -1, params["axis"])
        return mask

    def flops(self, operands: Sequence[Aval], result: Avals, **params: Any) -> float:
        """None."""
        return 0.0


registry.add(InOrder())


def sorted_along(x: Var, axis: int, descending: bool = False, index: Var | None = None) -> Var:
    """The array sorted along an axis counted from the end, by an `index` if that is known already."""
    y = along(x, argsort(x, axis, descending) if index is None else index, axis)
    result: Var = x.b.write("in_order", y, axis=axis)
    return result


class Sort(Op):
    """The array in ascending order along an axis (the last one, unless given; null: flattened), with NaN last.

    The sort is always stable; NumPy's `kind` is accepted and makes no difference.
    """

    name = "sort"
    family = "indexing"
    composite = True
    passes_integers = True
    parameters = ArgSort.parameters
    latex = "\\operatorname{{sort}} {x}"
    derivative = {"x": "\\dot{x}_{\\operatorname{argsort} x}"}
    convention = ORDER_CONVENTION
    examples = (
        Example(([3.0, 1.0, 2.0],)),
        Example(([[3.0, 1.0, 2.0], [0.5, 2.0, -0.5]],), {"axis": 0}),
        Example(([[3.0, 1.0, 2.0], [0.5, 2.0, -0.5]],), {"descending": True}),
        Example(([[3.0, 1.0], [0.5, 2.0]],), {"axis": None}, note="flattened"),
        Example(([2.0, 1.0, 2.0, 1.0],), smooth=False, note="ties"),
        Example(([2.0, float("nan"), -float("inf")],), smooth=False, note="NaN last"),
        Example(([],)),
        Example(([3.0],)),
    )

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var:
        """A gather along the permutation."""
        x, axis = flattened(operands[0], attrs["axis"])
        return sorted_along(x, axis, attrs["descending"])


registry.add(Sort())


class TopK(Op):
    """The k largest entries along an axis (the last one) and their indices; the smallest with `largest` false.

    As `torch.topk` and ONNX TopK; `jax.lax.top_k` is the same for the last axis. They come in order (whether `sorted`
    asks for it or not); of entries that tie, the first ones are taken. NaN counts as the largest.
    """

    name = "top_k"
    aliases = ("topk", "TopK")
    family = "indexing"
    composite = True
    results = ("values", "indices")
    parameters = (
        X,
        Attr("k", SIZE, aliases=("K",)),
        Attr("axis", AXIS, -1, ("dim",)),
        Attr("largest", BOOL, True),
        Attr("sorted", BOOL, True),
    )
    latex = "\\operatorname{{top}}_k {x}"
    derivative = {"x": "\\dot{x}_{\\text{indices}}"}
    convention = ORDER_CONVENTION
    examples = (
        Example(([3.0, 1.0, 2.0, 5.0],), {"k": 2}),
        Example(([[3.0, 1.0, 2.0], [0.5, 2.0, -0.5]],), {"k": 2, "axis": 1, "largest": False}),
        Example(([[3.0, 1.0, 2.0], [0.5, 2.0, -0.5]],), {"k": 1, "axis": 0}),
        Example(([2.0, 1.0, 2.0, 2.0],), {"k": 2}, smooth=False, note="ties: the first ones"),
        Example(([3.0, 1.0],), {"k": 0}, note="none"),
    )

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> tuple[Var, ...]:
        """A gather along the front of the permutation."""
        x, k = operands[0], attrs["k"]
        axis = normalize_axis(attrs["axis"], x.rank)
        n = x.shape[axis]
        if not 0 <= k <= n:
            raise InvalidAttribute(
                f"top_k: k = {k} entries cannot be taken along an axis of size {n} (allowed: 0 to {n})."
            )
        index = argsort(x, axis, attrs["largest"])
        values = sorted_along(x, axis, index=index)
        return slice_axis(values, axis, 0, k), slice_axis(index, axis, 0, k)


registry.add(TopK())


class KthValue(Op):
    """The k-th smallest entry along an axis, counted from 1, and its index, as `torch.kthvalue`."""

    name = "kthvalue"
    family = "indexing"
    composite = True
    results = ("values", "indices")
    parameters = (X, Attr("k", KNOWN), Attr("axis", AXIS, -1, ("dim",)), AXIS_ATTRS[1])
    latex = "{x}_{{(k)}}"
    derivative = {"x": "[i = \\text{index}]"}
    convention = ORDER_CONVENTION
    examples = (
        Example(([3.0, 1.0, 2.0],), {"k": 2}),
        Example(([[3.0, 1.0, 2.0], [0.5, 2.0, -0.5]],), {"k": 1, "axis": 0, "keepdims": True}),
        Example(([2.0, 2.0, 1.0],), {"k": 3}, smooth=False, note="a tie"),
    )

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> tuple[Var, ...]:
        """A gather at one place of the permutation."""
        x, k = operands[0], attrs["k"]
        axis = normalize_axis(attrs["axis"], x.rank)
        if not 1 <= k <= x.shape[axis]:
            raise InvalidAttribute(
                f"kthvalue: k counts from 1 (the smallest) to {x.shape[axis]}, the size of the axis; {k} is not."
            )
        order = argsort(x, axis)
        index = slice_axis(order, axis, k - 1, k)
        value = slice_axis(sorted_along(x, axis, index=order), axis, k - 1, k)
        if attrs["keepdims"]:
            return value, index
        rest = without_axes(x.shape, (axis,))
        return value.reshape(rest), index.reshape(rest)


registry.add(KthValue())


class ArgExtreme(Op):
    """Index of the largest or smallest entry along an axis; without axis, into the flattened array."""

    family = "reduction"
    parameters = (
        X,
        Attr("axis", OPTIONAL_AXIS, None, ("dim",)),
        AXIS_ATTRS[1],
        Attr("select_last_index", BOOL, False, keyword_only=True),
    )
    rules = (Zero(),)
    convention = "An index has no derivative."

    def __init__(self, name: str, fn: Any, word: str, alias: str) -> None:
        self.name = name
        self.fn = fn
        self.word = word
        self.aliases = (alias,)
        self.__doc__ = (
            f"Index of the {word} entry along an axis (without axis: in the flattened array); of equal ones the first.\n\n"
            "With `select_last_index` (ONNX) the last of equal ones. The first NaN, if there is one."
        )
        self.latex = f"\\operatorname{{{{{name}}}}} {{x}}"
        self.examples = (
            Example(([[1.0, 5.0, 2.0], [4.0, 3.0, 6.0]],)),
            Example(([[1.0, 5.0, 2.0], [4.0, 3.0, 6.0]],), {"axis": -1, "keepdims": True}),
            Example(([3.0, 1.0, 3.0, 1.0],), note="the first of equal ones"),
            Example(([3.0, 1.0, 3.0, 1.0],), {"axis": 0, "select_last_index": True}),
            Example(([1.0, float("nan"), 2.0],), smooth=False, note="NaN"),
            Example((3.0,), note="a scalar"),
        )

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var:
        """One node, and a reshape for `keepdims`."""
        x: Var = operands[0]
        y, axis = flattened(x, attrs["axis"])
        index: Var = b.write(self, y, axis=axis, last=attrs["select_last_index"])
        if attrs["axis"] is None:
            return index.reshape((1,) * x.rank) if attrs["keepdims"] else index
        return keep(index, x, (axis,) if x.rank else (), attrs["keepdims"])

    def infer(self, *avals: Aval, **params: Any) -> Avals:
        """Integers without the axis. Raises `EmptyReduction` where there is nothing to choose from."""
        shape, axis = avals[0].shape, params["axis"]
        if shape[axis] == 0:
            raise EmptyReduction(
                f"{self.name} over axis {axis + len(shape)} of an array of shape {list(shape)}: there are no elements, "
                f"so none is the {self.word}."
            )
        return Aval(without_axes(shape, (axis,)), "int64")

    def evaluate(self, *arrays: Any, **params: Any) -> Any:
        """NumPy's; for the last of equal ones, that of the array read backwards."""
        x, axis = np.asarray(arrays[0]), params["axis"]
        if not params["last"]:
            return self.fn(x, axis=axis)
        return x.shape[axis] - 1 - self.fn(np.flip(x, axis), axis=axis)


registry.add(ArgExtreme("argmax", np.argmax, "largest", "ArgMax"))
registry.add(ArgExtreme("argmin", np.argmin, "smallest", "ArgMin"))
