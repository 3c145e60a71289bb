"""Medians, quantiles and percentiles, also of what is not NaN. All read a sorted array at computed places."""

from __future__ import annotations

from collections.abc import Sequence
from math import nan
from typing import Any

import numpy as np

from engine.attrs import one_of
from engine.aval import Array, Aval, Avals, kept_axes, normalize_axes, without_axes
from engine.builder import Builder, Var, broadcast_to, call, cast
from engine.errors import EmptyReduction, InvalidAttribute
from engine.formula import Formula
from engine.op import Attr, Example, Op, Operand, Partial, registry
from engine.ops.index.gather import clamped, gather_axis, known
from engine.ops.index.sorting import ORDER_CONVENTION, X, sorted_along
from engine.ops.layout.arrange import permuted
from engine.ops.layout.shape import slice_axis
from engine.ops.reduce.reduction import AXIS_ATTRS, gathered

CONTINUOUS: dict[str, tuple[float, float]] = {
    "interpolated_inverted_cdf": (0.0, 1.0),
    "hazen": (0.5, 0.5),
    "weibull": (0.0, 0.0),
    "linear": (1.0, 1.0),
    "median_unbiased": (1 / 3, 1 / 3),
    "normal_unbiased": (3 / 8, 3 / 8),
}
"""Plotting positions (α, β) of R. J. Hyndman and Y. Fan, "Sample quantiles in statistical packages", 1996."""

METHOD = Attr(
    "method", one_of(*CONTINUOUS, "lower", "higher", "midpoint", "nearest"), "linear", ("interpolation",)
)
_NOTE = (
    f"{ORDER_CONVENTION} In q, the slope of the piece of the quantile function that lies to the right; 0 for methods that "
    "do not interpolate."
)


def _order(x: Var, axes: Sequence[int]) -> Var:
    """Entries of `axes` in ascending order along one last axis, NaN last."""
    return sorted_along(gathered(x, axes), -1)


def _with_nan(rows: Var, y: Var) -> Var:
    """y, or NaN where the row has a NaN: that stands last."""
    last = slice_axis(rows, -1, rows.shape[-1] - 1, rows.shape[-1])
    last = broadcast_to(last.reshape((*rows.shape[:-1], *[1] * (y.rank - rows.rank + 1))), y.shape)
    return call(y.b, "where", call(y.b, "isnan", last), last, y)


def _places(b: Builder, q: Var, most: Var, method: str) -> tuple[Var, Var | None]:
    """Places of quantiles among 0, …, `most`: the one below, and how far beyond it (None: not at all)."""
    if method in CONTINUOUS:
        alpha, beta = CONTINUOUS[method]
        place = (
            q * most if alpha == beta == 1 else q * (most + 1.0) + (alpha - 1.0 + q * (1.0 - alpha - beta))
        )
        place = call(b, "maximum", call(b, "minimum", place, most), 0.0) if alpha != 1 else place
        below = call(b, "floor", place)
        return below, place - below
    place = q * most
    if method == "midpoint":
        low, high = call(b, "floor", place), call(b, "ceil", place)
        return low, (high - low) * 0.5
    rounded = {"lower": "floor", "higher": "ceil", "nearest": "round"}[method]
    return call(b, rounded, place), None


def _interpolated(low: Var, high: Var, beyond: Var) -> Var:
    """low + t·(high − low), without ∞ − ∞ where t is 0."""
    b = low.b
    endless = call(b, "logical_and", call(b, "isinf", low), low.equals(high))
    return call(b, "where", endless, low, low + beyond * (high - low))


class Between(Op):
    """The operand itself, which must be from 0 to `most`; `by` names the op that asks."""

    name = "between"
    family = "core"
    internal = True
    elementwise = True
    rules = (Partial(Formula("1")),)

    @staticmethod
    def check(q: Array, by: str, most: float) -> None:
        """Raise `InvalidAttribute` for a number outside."""
        inside = (q >= 0) & (q <= most)
        if not np.all(inside):
            bad = float(np.ravel(q)[~np.ravel(inside)][0])
            raise InvalidAttribute(f"{by}: q must be from 0 to {most:g}; {bad:g} is not.")

    def infer(self, *avals: Aval, **params: Any) -> Avals:
        """The operand's aval."""
        return avals[0]

    def evaluate(self, *arrays: Any, **params: Any) -> Any:
        """Raises `InvalidAttribute` for a number outside."""
        self.check(np.asarray(arrays[0]), params["by"], params["most"])
        return arrays[0]


registry.add(Between())


class Median(Op):
    """Median over axes, all by default: the middle entry, or the mean of the two in the middle; NaN if one is NaN.

    (PyTorch's `median` is the lower of the two: `kthvalue(x, (n + 1) // 2)`.)
    """

    name = "median"
    family = "reduction"
    composite = True
    floating = True
    parameters = (X, *AXIS_ATTRS)
    latex = "\\operatorname{{median}} {x}"
    derivative = {"x": "[i = \\text{middle}]"}
    convention = ORDER_CONVENTION
    examples = (
        Example(([3.0, 1.0, 2.0],)),
        Example(([[3.0, 1.0, 2.0, 7.0], [0.5, 2.0, -0.5, 4.0]],), {"axis": 1, "keepdims": True}, note="two in the middle"),
        Example(([[3.0, 1.0, 2.0], [0.5, 2.5, -0.5]],), {"axis": (0, 1)}),
        Example(([1.0, 1.0, 3.0],), smooth=False, note="a tie"),
        Example(([1.0, float("nan"), 3.0],), smooth=False, note="NaN"),
        Example(([],), smooth=False, note="of nothing: NaN"),
    )  # fmt: skip

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var:
        """One or two entries of the sorted array."""
        (x,) = operands
        axes = normalize_axes(attrs["axis"], x.rank)
        shape = kept_axes(x.shape, axes) if attrs["keepdims"] else without_axes(x.shape, axes)
        rows = _order(x, axes)
        n = rows.shape[-1]
        if n == 0:
            nothing: Var = x.sum(axes) * nan
            return nothing.reshape(shape)
        upper = slice_axis(rows, -1, n // 2, n // 2 + 1)
        middle = upper if n % 2 else slice_axis(rows, -1, n // 2 - 1, n // 2) * 0.5 + upper * 0.5
        return _with_nan(rows, middle.reshape(rows.shape[:-1])).reshape(shape)


registry.add(Median())


class Quantile(Op):
    """Quantiles over axes: entries of the sorted array beside the place q·(n − 1), interpolated as `method` says."""

    family = "reduction"
    composite = True
    floating = True
    skip = False
    parameters = (Operand("a", ("x", "input")), Operand("q"), AXIS_ATTRS[0], METHOD, AXIS_ATTRS[1])
    latex = "Q_{{{q}}}({a})"
    derivative = {"a": "[i = \\text{place}]", "q": "(n - 1)(a_{(k + 1)} - a_{(k)})"}
    convention = _NOTE

    def __init__(self, name: str, doc: str, scale: float = 1.0, skip: bool = False) -> None:
        self.name = name
        self.__doc__ = doc
        self.scale = scale
        self.skip = skip
        q, s = 1 / scale, [[3.0, 1.0, 2.25, 7.0], [0.5, 2.0, -0.5, 4.0]]
        extra = (
            Example(([3.0, float("nan"), 2.0, 7.0], 0.3 * q), smooth=False, note="NaN"),
            Example(([float("nan"), float("nan")], 0.3 * q), smooth=False, note="only NaN"),
        )
        self.examples = (
            Example((s, 0.3 * q)),
            Example((s, [0.1 * q, 0.55 * q, 0.7 * q]), {"axis": 1}),
            Example((s, 0.4 * q), {"axis": 0, "keepdims": True}),
            Example((s, [0.25 * q, 0.8 * q]), {"axis": 1, "method": "hazen"}),
            Example((s, 0.2 * q), {"axis": 1, "method": "lower"}),
            Example((s, 0.2 * q), {"axis": 1, "method": "higher"}),
            Example((s, 0.2 * q), {"axis": 1, "method": "midpoint"}),
            Example((s, 0.7 * q), {"axis": 1, "method": "nearest"}),
            Example((s, 0.35 * q), {"method": "median_unbiased"}),
            Example(([5.0], 0.3 * q), note="a single entry"),
            *extra,
        )

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var:
        """Entries of the sorted array beside the place q·(n − 1), interpolated."""
        a, q = operands
        axes = normalize_axes(attrs["axis"], a.rank)
        rows = _order(a, axes)
        n, lead = rows.shape[-1], rows.shape[:-1]
        if n == 0:
            raise EmptyReduction(f"{self.name}: there are no elements, so there is no quantile.")
        y = self._skipping(rows, q, attrs["method"]) if self.skip else self._all(rows, q, attrs["method"])
        # Axes of q in front.
        y = permuted(y, [*range(len(lead), y.rank), *range(len(lead))])
        shape = kept_axes(a.shape, axes) if attrs["keepdims"] else without_axes(a.shape, axes)
        return y.reshape((*q.shape, *shape))

    def _scaled(self, q: Var) -> Var:
        b, most = q.b, 1 / self.scale
        constant = known(q)
        if constant is not None:
            Between.check(constant, self.name, most)
        checked_q: Var = q if constant is not None else b.write("between", q, by=self.name, most=most)
        return checked_q if self.scale == 1 else checked_q / most

    def _all(self, rows: Var, q: Var, method: str) -> Var:
        b, n = rows.b, rows.shape[-1]
        below, beyond = _places(b, self._scaled(q), b.var(float(n - 1)), method)
        index = cast(b, below, "int64")
        y = gather_axis(rows, index, -1)
        if beyond is not None:
            above = clamped(index + 1, 0, n - 1)
            y = _interpolated(y, gather_axis(rows, above, -1), beyond)
        return _with_nan(rows, y)

    def _skipping(self, rows: Var, q: Var, method: str) -> Var:
        """Each row has its own number of entries that are not NaN."""
        b, lead = rows.b, rows.shape[:-1]
        there = call(b, "logical_not", call(b, "isnan", rows))
        count = cast(b, there, rows.dtype).sum(-1)
        most = call(b, "where", count > 1.0, count - 1.0, 0.0).reshape((*lead, *[1] * q.rank))
        shape = (*lead, *q.shape)
        below, beyond = _places(b, self._scaled(q), most, method)
        index = cast(b, below, "int64")
        end = cast(b, most, "int64")
        above = call(b, "where", index < end, index + 1, end)
        if beyond is None:
            above = index
        low, high = (
            b.write("gather", rows, broadcast_to(i, shape), axis=-1, batch_dims=len(lead))
            for i in (index, above)
        )
        return low if beyond is None else _interpolated(low, high, broadcast_to(beyond, shape))


_METHODS = """a: [*s], q: [*k]  ->  [*k, *s without the axes]

    `method` as NumPy's: linear, lower, higher, midpoint, nearest, hazen, weibull, median_unbiased, normal_unbiased,
    interpolated_inverted_cdf. Differentiable in a and in q."""


def _add(name: str, percents: bool, skip: bool) -> None:
    what = "Percentiles q (from 0 to 100)" if percents else "Quantiles q (from 0 to 1)"
    about = "of the entries that are not NaN" if skip else "NaN where an entry is NaN"
    doc = f"{what} over axes, as `numpy.{name}`; {about}.\n\n    {_METHODS}"
    registry.add(Quantile(name, doc, 0.01 if percents else 1.0, skip))


_add("quantile", False, False)
_add("percentile", True, False)
_add("nanquantile", False, True)
_add("nanpercentile", True, True)


class NanMedian(Op):
    """Median over axes, all by default, of the entries that are not NaN; NaN where there are none."""

    name = "nanmedian"
    family = "reduction"
    composite = True
    floating = True
    parameters = (X, *AXIS_ATTRS)
    latex = "\\operatorname{{median}} {x}"
    derivative = {"x": "[i = \\text{middle}]"}
    convention = ORDER_CONVENTION
    examples = (
        Example(([3.0, 1.0, 2.0, 7.0],)),
        Example(([[3.0, 1.0, 2.0], [0.5, 2.5, -0.5]],), {"axis": 1}),
        Example(([[3.0, 1.0, float("nan"), 7.0], [0.5, 2.0, -0.5, 4.0]],), {"axis": 1}, smooth=False, note="NaN left out"),
        Example(([[float("nan"), 1.0], [float("nan"), 2.0]],), {"axis": 0, "keepdims": True}, smooth=False, note="only NaN"),
    )  # fmt: skip

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var:
        """The quantile ½."""
        result: Var = call(b, "nanquantile", operands[0], 0.5, axis=attrs["axis"], keepdims=attrs["keepdims"])
        return result


registry.add(NanMedian())
