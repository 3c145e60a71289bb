"""Reductions over axes: sum, prod, max, min, any, all, and the running sum.

In the core axes are counted from the end and are removed; `keepdims` is a reshape behind it. Means and variances are in
`statistics`, norms in `norms`, the logarithm of a sum of exponentials is in `logsumexp`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from engine.attrs import AXES, BOOL, OPTIONAL_AXIS
from engine.aval import (
    Array,
    Aval,
    Avals,
    axis_before,
    kept_axes,
    normalize_axes,
    normalize_axis,
    without_axes,
)
from engine.builder import Builder, Var, broadcast_to, call, cast
from engine.errors import EmptyReduction, ShapeMismatch
from engine.op import Attr, Example, General, Into, Linear, Op, Operand, Parameter, Params, Zero, registry
from engine.ops.layout.shape import joined, slice_axis
from engine.ops.reduce import masked
from engine.ops.reduce.largest import extreme
from engine.ops.reduce.masked import INITIAL, WHERE
from engine.transforms.strong import times

if TYPE_CHECKING:
    from engine.entries import Entries, Positions

AXIS_ATTRS = (
    Attr("axis", AXES, None, ("axes", "dim")),
    Attr("keepdims", BOOL, False, ("keepdim",)),
)


def spread(y: Var, shape: Sequence[int], axes: Sequence[int]) -> Var:
    """A reduced array stretched back over the axes it lost."""
    return broadcast_to(y.reshape(kept_axes(tuple(shape), axes)), tuple(shape))


def keep(y: Var, x: Var, axes: Sequence[int], keepdims: bool) -> Var:
    """The reduced array, with the lost axes as size 1 if `keepdims`."""
    return y.reshape(kept_axes(x.shape, axes)) if keepdims else y


def counted(b: Builder, x: Var) -> Var:
    """Booleans as the integers 0 and 1, other arrays as they are."""
    return cast(b, x, "int64") if x.dtype == "bool" else x


def reduced_size(shape: Sequence[int], axes: Sequence[int]) -> int:
    """How many elements go into each entry of the result."""
    return prod(shape[a] for a in axes)


def _sum_back(ct: Var, k: int, operands: Sequence[Var], *, axes: tuple[int, ...]) -> Var:
    return spread(ct, operands[0].shape, axes)


class Sum(Op):
    """Sum over axes, all by default. Of booleans: how many hold.

    As NumPy's, it starts from `initial` (0), and a mask `where` tells which entries take part.
    """

    name = "sum"
    aliases = ("reduce_sum",)
    family = "reduction"
    parameters = (Operand("x", ("a", "input")), *AXIS_ATTRS, INITIAL, WHERE)
    latex = "\\sum {x}"
    derivative = {"x": "1"}
    rules = (Linear(_sum_back),)
    examples = (
        Example(([[1.0, 2.0], [3.0, 4.0]],)),
        Example(([[1.0, 2.0], [3.0, 4.0]],), {"axis": 0, "keepdims": True}),
        Example(([],), note="the sum of nothing is 0"),
        Example(([[1.0, 2.0], [3.0, 4.0]], 0.5, [True, False]), {"axis": 0}, note="a mask and a start"),
        Example(
            ([1.0, float("nan"), 3.0], None, [True, False, True]),
            smooth=False,
            note="what is masked does not count",
        ),
    )

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var:
        """One node, and a reshape for `keepdims`."""
        x, initial, mask = operands
        x = masked.there(self.name, counted(b, x), mask, 0)
        axes = normalize_axes(attrs["axis"], x.rank)
        y: Var = b.write(self, x, axes=axes)
        if initial is not None:
            y = masked.scalar(self.name, counted(b, initial)) + y
        return keep(y, x, axes, attrs["keepdims"])

    def infer(self, *avals: Aval, **params: Any) -> Avals:
        """Without the axes."""
        return Aval(without_axes(avals[0].shape, params["axes"]), avals[0].dtype)

    def evaluate(self, *arrays: Any, **params: Any) -> Any:
        """NumPy's pairwise sum."""
        return np.sum(arrays[0], axis=params["axes"])

    def cuts(
        self, axis: int, operands: Sequence[Aval], result: Aval, /, **params: Any
    ) -> tuple[int | None, ...] | None:
        """Axes that are not reduced."""
        return (axis_before(axis, operands[0].rank, params["axes"]),) * len(operands)

    def summed(
        self, operands: Sequence[Aval], result: Aval, /, **params: Any
    ) -> Sequence[tuple[int | None, ...]]:
        """Along each axis that is summed over."""
        return [(a + operands[0].rank,) for a in params["axes"]]

    def calculation(self, avals: Sequence[Aval], params: Params) -> Callable[..., Any]:
        """What `np.sum` calls in the end."""
        return partial(np.add.reduce, axis=params[0][1])

    def into(self, avals: Sequence[Aval], params: Params) -> Into | None:
        """With `out`."""
        axes = params[0][1]
        return Into(lambda x, out: np.add.reduce(x, axes, None, out))

    def expand(self, e: Entries, *positions: Positions, **params: Any) -> Positions:
        """A tree of additions."""
        return e.sum(positions[0], params["axes"])


registry.add(Sum())


class Prod(Op):
    """Product over axes, all by default.

    Written as products of neighbours, then of those, and so on: a tree of multiplications, so that no derivative
    divides by an entry, and those of every order are right where entries are 0. As NumPy's, it starts from `initial` (1),
    and a mask `where` tells which entries take part.
    """

    name = "prod"
    aliases = ("product", "reduce_prod")
    family = "reduction"
    composite = True
    parameters = (Operand("x", ("a", "input")), *AXIS_ATTRS, INITIAL, WHERE)
    latex = "\\prod {x}"
    derivative = {"x": "\\prod_{j \\ne i} x_j"}
    examples = (
        Example(([[1.5, -2.0, 0.5], [3.0, 4.0, -1.0]],)),
        Example(([[1.5, -2.0, 0.5], [3.0, 4.0, -1.0]],), {"axis": 1, "keepdims": True}),
        Example(([2.0, 0.0, 3.0, 5.0, -1.0],), note="one zero"),
        Example(
            ([[2.0, 0.0, 3.0, 0.0], [1.5, 2.0, -1.0, 0.5]],),
            {"axis": 1},
            note="two zeros: the gradient is 0, the second derivative is not",
        ),
        Example(([],), note="the product of nothing is 1"),
        Example(([[2.0, 0.0], [3.0, 0.0]], -1.5, [[True], [False]]), {"axis": 1}, note="a mask and a start"),
    )

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var:
        """A tree of products, log₂ n deep."""
        x, initial, mask = operands
        x = masked.there(self.name, counted(b, x), mask, 1)
        y = self._product(b, x, **attrs)
        return y if initial is None else masked.scalar(self.name, counted(b, initial)) * y

    def _product(self, b: Builder, x: Var, **attrs: Any) -> Var:
        axes = normalize_axes(attrs["axis"], x.rank)
        shape = without_axes(x.shape, axes)
        y = gathered(x, axes)
        n = y.shape[-1]
        if n == 0:
            one = b.var(1.0 if x.aval.floating else 1)
            return keep(b.write("broadcast_to", one, shape=shape), x, axes, attrs["keepdims"])
        left_over: list[Var] = []
        while n > 1:
            even = n - n % 2
            if even != n:
                left_over.append(slice_axis(y, -1, even, n))
            y = slice_axis(y, -1, 0, even, 2) * slice_axis(y, -1, 1, even, 2)
            n //= 2
        for one in reversed(left_over):
            y = y * one
        return y.reshape(kept_axes(x.shape, axes) if attrs["keepdims"] else shape)


registry.add(Prod())


def gathered(x: Var, axes: Sequence[int]) -> Var:
    """The array with `axes` (from the end, ascending) moved behind the others and made one."""
    rest = [a for a in range(-x.rank, 0) if a not in axes]
    order = (*rest, *axes)
    moved = x if order == tuple(range(-x.rank, 0)) else x.b.write("permute_dims", x, axes=order)
    shape = (*without_axes(x.shape, axes), reduced_size(x.shape, axes))
    return moved if moved.shape == shape else moved.reshape(shape)


class Chosen(Op):
    """Whether an entry is the extreme one: equal to it, or NaN as it is. Where it is NaN, derivatives need a look of their own,
    so executors that do without guards only compare."""

    name = "is_extreme"
    family = "core"
    internal = True
    elementwise = True
    rules = (Zero(),)

    def infer(self, *avals: Aval, **params: Any) -> Avals:
        """A mask."""
        return Aval(avals[0].shape, "bool")

    def evaluate(self, *arrays: Any, **params: Any) -> Any:
        """x = y, or neither is a number."""
        x, y = (np.asarray(v) for v in arrays)
        return ((x == y) | ((x != x) & (y != y)))[()]

    def expand(self, e: Entries, *positions: Positions, **params: Any) -> Positions:
        """The same with ops of the table."""
        x, y = positions
        missing = e.op("logical_and", e.op("isnan", x), e.op("isnan", y))
        return e.op("logical_or", e.op("equal", x, y), missing)

    def unguarded(self, params: Params) -> tuple[Op, Params]:
        """A comparison: of a NaN nothing is chosen, and 0·(1/0) says so."""
        return registry.core("equal"), params


registry.add(Chosen())


class Extreme(Op):
    """Largest or smallest entry over axes. Entries that tie for it share the derivative equally."""

    family = "reduction"
    parameters: tuple[Parameter, ...] = (Operand("x", ("a", "input")), *AXIS_ATTRS, INITIAL, WHERE)
    rules = (General(),)
    convention = (
        "Entries that tie share the derivative equally; where the result is NaN, the entries that are NaN do."
    )

    def __init__(
        self, name: str, fn: Callable[..., Any], word: str, doc: str, aliases: tuple[str, ...]
    ) -> None:
        self.name = name
        self.fn = fn
        self.word = word
        self.__doc__ = doc
        self.aliases = aliases
        self.latex = f"\\{name} {{x}}"
        self.derivative = {"x": f"\\frac{{[x_i = \\{name} x]}}{{\\#\\{{j : x_j = \\{name} x\\}}}}"}
        self.examples = (
            Example(([[1.0, 5.0, 2.0], [4.0, 3.0, 6.0]],)),
            Example(([[1.0, 5.0, 2.0], [4.0, 3.0, 6.0]],), {"axis": 1, "keepdims": True}),
            Example(([3.0, 1.0, 3.0, 1.0],), smooth=False, note="ties share"),
            Example(([1.0, float("nan"), 2.0],), smooth=False, note="NaN stays NaN"),
            Example(([[1.0, 5.0], [4.0, 3.0]], 3.5), {"axis": 1}, note="a value that counts as well"),
            Example(([3.0, 1.0, 3.0], 3.0), smooth=False, note="it shares, too"),
            Example(
                ([[1.0, 5.0, float("nan")], [4.0, 3.0, 0.5]], 2.5, [True, True, False]), {"axis": 1}, smooth=False,
                note="a mask",
            ),
        )  # fmt: skip

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var:
        """One node, and a reshape for `keepdims`."""
        x, *further = operands
        try:
            axes = normalize_axes(attrs["axis"], x.rank)
        except ShapeMismatch as wrong:
            if x.rank:
                raise
            pair = f" The {self.word} of two values is {self.name}imum(x, y)."
            raise ShapeMismatch(f"{self.name}: {wrong.detail}{pair}") from None
        if any(v is not None for v in further):
            return self._among(x, axes, further, attrs["keepdims"])
        return keep(b.write(self, x, axes=axes), x, axes, attrs["keepdims"])

    def _among(self, x: Var, axes: tuple[int, ...], further: Sequence[Var | None], keepdims: bool) -> Var:
        """With a mask, or a value that counts as one more entry; of booleans by way of 0 and 1."""
        initial, mask = further
        rows = gathered(counted(x.b, x), axes)
        mask = None if mask is None else gathered(masked.stretched(self.name, x, mask), axes)
        y = masked.extreme(self.name, rows, mask, None if initial is None else counted(x.b, initial))
        y = cast(x.b, y, x.dtype)
        return y.reshape(kept_axes(x.shape, axes) if keepdims else without_axes(x.shape, axes))

    def infer(self, *avals: Aval, **params: Any) -> Avals:
        """Without the axes. Raises `EmptyReduction` where there is nothing to choose from."""
        shape, axes = avals[0].shape, params["axes"]
        if reduced_size(shape, axes) == 0:
            listed = [a + len(shape) for a in axes]
            over = f"axis {listed[0]}" if len(listed) == 1 else f"axes {listed}"
            raise EmptyReduction(
                f"{self.name} over {over} of an array of shape {list(shape)}: there are no elements, so none is the "
                f"{self.word}."
            )
        return Aval(without_axes(shape, axes), avals[0].dtype)

    def evaluate(self, *arrays: Any, **params: Any) -> Any:
        """NumPy's; NaN where one of the entries is."""
        ufunc = {np.max: np.maximum, np.min: np.minimum}.get(self.fn)
        if ufunc is None:
            return self.fn(arrays[0], axis=params["axes"])
        return extreme(ufunc, np.asarray(arrays[0]), params["axes"])

    def cuts(
        self, axis: int, operands: Sequence[Aval], result: Aval, /, **params: Any
    ) -> tuple[int | None, ...] | None:
        """Axes that are not reduced."""
        return (axis_before(axis, operands[0].rank, params["axes"]),) * len(operands)

    def into(self, avals: Sequence[Aval], params: Params) -> Into | None:
        """With `out`."""
        axes, ufunc = params[0][1], {np.max: np.maximum, np.min: np.minimum}.get(self.fn)
        if ufunc is None:
            return None
        return Into(lambda x, out: extreme(ufunc, x, axes, out))

    def expand(self, e: Entries, *positions: Positions, **params: Any) -> Positions | None:
        """A tree of choices between two; of what ties, one of them has the kink."""
        pair = {"max": "maximum", "min": "minimum"}.get(self.name)
        return None if pair is None else e.fold(pair, positions[0], params["axes"])

    def jvp(self, y: Any, xs: Sequence[Var], dxs: Sequence[Var | None], **params: Any) -> Any:
        """Mean of the tangents of the entries that are the extreme one."""
        (x,), (dx,) = xs, dxs
        assert dx is not None
        b, axes = x.b, params["axes"]
        whole = spread(y, x.shape, axes)
        chosen = cast(b, b.write("is_extreme", x, whole), dx.dtype)
        mine = b.write("multiply", chosen, dx, strong=(0,))
        return times(mine.sum(axes), 1.0 / chosen.sum(axes))

    def kink(self, arrays: Sequence[Array], y: Array, **params: Any) -> Array | None:
        """Where more than one entry is the extreme one."""
        axes = params["axes"]
        ties: Array = np.asarray(np.sum(arrays[0] == np.expand_dims(y, axes), axis=axes) > 1)
        return ties

    def kinked(self, arrays: Sequence[Array], y: Array, **params: Any) -> bool:
        """All entries that are an extreme one are counted at once; NaN would hide one."""
        found = np.count_nonzero(arrays[0] == np.expand_dims(y, params["axes"]))
        return found != np.size(y) or bool(np.isnan(np.add.reduce(y, axis=None)))


registry.add(
    Extreme(
        "max", np.max, "largest", "Largest element over axes, all by default; NaN if one is NaN.",
        ("amax", "reduce_max"),
    )
)  # fmt: skip
registry.add(
    Extreme(
        "min", np.min, "smallest", "Smallest element over axes, all by default; NaN if one is NaN.",
        ("amin", "reduce_min"),
    )
)  # fmt: skip


class Quantifier(Op):
    """Whether one, or every, entry over axes holds. Numbers count as true unless 0."""

    family = "reduction"
    parameters = (Operand("x", ("a", "input"), boolean=True), *AXIS_ATTRS, WHERE)
    rules = (Zero(),)
    convention = "A mask has no derivative."

    def __init__(self, name: str, fn: Callable[..., Any], doc: str, latex: str, note: str) -> None:
        self.name = name
        self.fn = fn
        self.__doc__ = doc
        self.latex = latex
        self.examples = (
            Example(([[True, False], [True, True]],), {"axis": 0}),
            Example(([0.0, -0.5, 2.0],), note="numbers count as true unless 0"),
            Example(([],), note=note),
            Example(([[True, False], [False, True]], [[True], [False]]), {"axis": 0}, note="a mask"),
        )

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var:
        """One node, and a reshape for `keepdims`."""
        x, mask = operands
        x = masked.there(self.name, x, mask, self.name == "all")
        axes = normalize_axes(attrs["axis"], x.rank)
        return keep(b.write(self, x, axes=axes), x, axes, attrs["keepdims"])

    def infer(self, *avals: Aval, **params: Any) -> Avals:
        """A mask without the axes."""
        return Aval(without_axes(avals[0].shape, params["axes"]), "bool")

    def cuts(
        self, axis: int, operands: Sequence[Aval], result: Aval, /, **params: Any
    ) -> tuple[int | None, ...] | None:
        """Axes that are not reduced."""
        return (axis_before(axis, operands[0].rank, params["axes"]),) * len(operands)

    def evaluate(self, *arrays: Any, **params: Any) -> Any:
        """NumPy's."""
        return self.fn(arrays[0], axis=params["axes"])

    def expand(self, e: Entries, *positions: Positions, **params: Any) -> Positions | None:
        """A tree of logical ops, unless there is nothing."""
        if not positions[0].size:
            return None
        return e.fold("logical_or" if self.name == "any" else "logical_and", positions[0], params["axes"])


registry.add(
    Quantifier(
        "any", np.any, "Whether at least one entry over axes holds. Numbers count as true unless 0.",
        "\\exists\\, {x}", "none of nothing holds",
    )
)  # fmt: skip
registry.add(
    Quantifier(
        "all", np.all, "Whether every entry over axes holds. Numbers count as true unless 0.",
        "\\forall\\, {x}", "all of nothing hold",
    )
)  # fmt: skip


class CountNonzero(Op):
    """How many entries over axes are not 0, as an integer."""

    name = "count_nonzero"
    family = "reduction"
    composite = True
    parameters = (Operand("x", ("a", "input")), *AXIS_ATTRS)
    latex = "\\#\\{{i : x_i \\ne 0\\}}"
    convention = "A count is an integer and has no derivative."
    examples = (Example(([[1.0, 0.0], [3.0, 0.5]],)), Example(([[1.0, 0.0], [3.0, 0.5]],), {"axis": 0}))

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var:
        """Sum of a mask."""
        result: Var = call(b, "sum", call(b, "not_equal", operands[0], 0), **attrs)
        return result


registry.add(CountNonzero())


# -------------------------------------------------------------------------------------------------------- running sum


def _cumsum_back(ct: Var, k: int, operands: Sequence[Var], *, axis: int, reverse: bool) -> Var:
    result: Var = ct.b.write("cumsum", ct, axis=axis, reverse=not reverse)
    return result


class CumSum(Op):
    """Running sum along an axis: entry i is the sum of the first i + 1. Without axis, of the flattened array.

    As ONNX has it, `reverse` runs from the end, and `exclusive` leaves the entry itself out.
    """

    name = "cumsum"
    aliases = ("cumulative_sum", "CumSum")
    family = "reduction"
    parameters = (
        Operand("x", ("a", "input")),
        Attr("axis", OPTIONAL_AXIS, None, ("dim",)),
        Attr("exclusive", BOOL, False, keyword_only=True),
        Attr("reverse", BOOL, False, keyword_only=True),
    )
    latex = "\\operatorname{{cumsum}} {x}"
    derivative = {"x": "\\frac{\\partial y_i}{\\partial x_j} = [j \\le i]"}
    rules = (Linear(_cumsum_back),)
    examples = (
        Example(([1.0, -2.0, 3.5],)),
        Example(([[1.0, 2.0], [3.0, 4.0]],), note="flattened"),
        Example(([[1.0, 2.0], [3.0, 4.0]],), {"axis": 0}),
        Example(([[1.0, 2.0], [3.0, 4.5]],), {"axis": -1, "reverse": True}),
        Example(([1.0, -2.0, 3.5],), {"axis": 0, "exclusive": True}),
        Example(([1.0, -2.0, 3.5],), {"axis": 0, "exclusive": True, "reverse": True}),
        Example(([],)),
    )

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var:
        """One node, behind a reshape where there is no axis; without the entry itself, moved on by one place."""
        x, axis = counted(b, operands[0]), attrs["axis"]
        if axis is None:
            x, axis = x.reshape((x.size,)), -1
        at, reverse = normalize_axis(axis, x.rank), attrs["reverse"]
        result: Var = b.write(self, x, axis=at, reverse=reverse)
        n = x.shape[at]
        if not attrs["exclusive"] or not n:
            return result
        shape = tuple(1 if a == x.rank + at else m for a, m in enumerate(x.shape))
        zero = broadcast_to(b.var(0.0, x.dtype), shape)
        rest = slice_axis(result, at, 1, n) if reverse else slice_axis(result, at, 0, n - 1)
        return joined([rest, zero] if reverse else [zero, rest], at)

    def infer(self, *avals: Aval, **params: Any) -> Avals:
        """The operand's aval."""
        return avals[0]

    def cuts(
        self, axis: int, operands: Sequence[Aval], result: Aval, /, **params: Any
    ) -> tuple[int | None, ...] | None:
        """Any axis but its own."""
        return None if axis == result.rank + params["axis"] else (axis,)

    def evaluate(self, *arrays: Any, **params: Any) -> Any:
        """NumPy's, from the end if `reverse`."""
        x, axis = arrays[0], params["axis"]
        return np.flip(np.cumsum(np.flip(x, axis), axis), axis) if params["reverse"] else np.cumsum(x, axis)

    def expand(self, e: Entries, *positions: Positions, **params: Any) -> Positions:
        """A chain of additions."""
        return e.running("add", positions[0], params["axis"], params["reverse"])


registry.add(CumSum())
