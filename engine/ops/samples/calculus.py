"""Numerical calculus on samples: differences, gradients, integrals by trapezoids and by Simpson's rule."""

from __future__ import annotations

from typing import Any

from engine.attrs import AXIS, COUNT, OPTIONAL_AXIS, number
from engine.aval import normalize_axis
from engine.builder import Builder, Var, broadcast_to, call, cast
from engine.errors import DtypeMismatch, InvalidAttribute, LimitExceeded, ShapeMismatch
from engine.op import Attr, Example, Kind, Operand
from engine.ops.layout.shape import joined, slice_axis
from engine.ops.written import written

SAMPLES = [[1.0, 3.0, 2.5, 7.0], [0.5, 2.0, -0.5, 4.0]]


MOST_DIFFERENCES = 1000
"""Highest difference that is offered: each is a node of its own."""


def _steps(x: Var, axis: int) -> Var:
    """Differences of neighbours along an axis counted from the end."""
    n = x.shape[axis]
    if n == 0:
        return x
    ahead, behind = slice_axis(x, axis, 1, n), slice_axis(x, axis, 0, n - 1)
    return call(x.b, "not_equal", ahead, behind) if x.dtype == "bool" else ahead - behind


def _diff(b: Builder, a: Var, prepend: Var | None, append: Var | None, **attrs: Any) -> Var:
    if a.rank == 0:
        raise ShapeMismatch("diff needs an array with an axis; here it is a scalar.")
    if a.dtype == "bool" and attrs["n"] > 1:
        raise DtypeMismatch(
            "diff of booleans says whether neighbours differ; for more than that convert them: astype(int)."
        )
    axis = normalize_axis(attrs["axis"], a.rank)
    parts = [v for v in (_beside(prepend, a, axis), a, _beside(append, a, axis)) if v is not None]
    y = joined(parts, axis) if len(parts) > 1 else a
    if attrs["n"] >= y.shape[axis]:
        return slice_axis(y, axis, 0, 0)
    if attrs["n"] > MOST_DIFFERENCES:
        raise LimitExceeded("differences", MOST_DIFFERENCES, attrs["n"])
    for _ in range(attrs["n"]):
        y = _steps(y, axis)
    return y


def _beside(v: Var | None, a: Var, axis: int) -> Var | None:
    """What is put before or behind the array: a scalar is one entry along the axis."""
    if v is None:
        return None
    if v.rank == 0:
        return broadcast_to(v, tuple(1 if k - a.rank == axis else n for k, n in enumerate(a.shape)))
    if v.rank != a.rank:
        raise ShapeMismatch(
            f"diff: what is put before or behind must be a scalar or have {a.rank} axes; its shape is {list(v.shape)}."
        )
    return v


written(
    "diff",
    _diff,
    Operand("a", ("x", "input")),
    Attr("n", COUNT, 1),
    Attr("axis", AXIS, -1, ("dim",)),
    Operand("prepend", optional=True),
    Operand("append", optional=True),
    doc="""Differences of neighbours along an axis, n times over: a[i + 1] − a[i].

    `prepend` and `append` are put before and behind the array first. Of booleans: whether neighbours differ.""",
    latex="\\Delta {a}",
    family="reduction",
    derivative={"a": "\\Delta \\dot{a}"},
    passes_integers=True,
    examples=(
        Example(([1.0, 3.0, 2.5, 7.0],)),
        Example((SAMPLES,), {"n": 2, "axis": 1}),
        Example((SAMPLES, 0.0, [[1.0], [2.0]])),
        Example((SAMPLES, [[5.0, 1.0, 0.0, 2.0]]), {"axis": 0}),
        Example(([1.0, 2.0],), {"n": 3}, note="nothing left"),
        Example(([1.0, 2.0],), {"n": 0}),
        Example(([],)),
    ),
)


def _edge_order(value: Any) -> int:
    if value not in (1, 2):
        raise ValueError(f"{str(value)[:20]} is neither")
    return int(value)


EDGE_ORDER = Kind("1 or 2", _edge_order)


def _gradient(b: Builder, f: Var, spacing: Var | None, **attrs: Any) -> Var:
    axis = attrs["axis"]
    if axis is None:
        if f.rank != 1:
            raise InvalidAttribute(
                f"gradient: an array of shape {list(f.shape)} has one for each axis; ask for one of them by axis."
            )
        axis = 0
    at = normalize_axis(axis, f.rank)
    n, edge = f.shape[at], attrs["edge_order"]
    if n < edge + 1:
        raise ShapeMismatch(
            f"gradient: an axis needs at least {edge + 1} samples (edge_order + 1); axis {axis} has {n}."
        )
    if spacing is not None and spacing.shape not in ((), (n,)):
        raise ShapeMismatch(
            f"gradient: the spacing is a number, or the {n} coordinates along axis {axis}; its shape is "
            f"{list(spacing.shape)}."
        )

    def part(start: int, stop: int) -> Var:
        return slice_axis(f, at, start, stop)

    if spacing is None or spacing.rank == 0:
        h = b.var(1.0) if spacing is None else spacing
        inner = (part(2, n) - part(0, n - 2)) / (2.0 * h)
        if edge == 1:
            first, last = (part(1, 2) - part(0, 1)) / h, (part(n - 1, n) - part(n - 2, n - 1)) / h
        else:
            first = (-1.5 / h) * part(0, 1) + (2.0 / h) * part(1, 2) + (-0.5 / h) * part(2, 3)
            last = (
                (0.5 / h) * part(n - 3, n - 2) + (-2.0 / h) * part(n - 2, n - 1) + (1.5 / h) * part(n - 1, n)
            )
        return joined([first, inner, last] if n > 2 else [first, last], at)
    widths = _steps(spacing, -1).reshape((n - 1, *[1] * (-at - 1)))

    def width(start: int, stop: int) -> Var:
        return slice_axis(widths, at, start, stop)

    before, behind = width(0, n - 2), width(1, n - 1)
    both = before + behind
    inner = (
        (-behind / (before * both)) * part(0, n - 2)
        + ((behind - before) / (before * behind)) * part(1, n - 1)
        + (before / (behind * both)) * part(2, n)
    )
    if edge == 1:
        first = (part(1, 2) - part(0, 1)) / width(0, 1)
        last = (part(n - 1, n) - part(n - 2, n - 1)) / width(n - 2, n - 1)
    else:
        d1, d2 = width(0, 1), width(1, 2)
        first = (
            (-(2.0 * d1 + d2) / (d1 * (d1 + d2))) * part(0, 1)
            + ((d1 + d2) / (d1 * d2)) * part(1, 2)
            + (-d1 / (d2 * (d1 + d2))) * part(2, 3)
        )
        d1, d2 = width(n - 3, n - 2), width(n - 2, n - 1)
        last = (
            (d2 / (d1 * (d1 + d2))) * part(n - 3, n - 2)
            + (-(d2 + d1) / (d1 * d2)) * part(n - 2, n - 1)
            + ((2.0 * d2 + d1) / (d2 * (d1 + d2))) * part(n - 1, n)
        )
    return joined([first, inner, last] if n > 2 else [first, last], at)


written(
    "gradient",
    _gradient,
    Operand("f", ("x", "y", "input")),
    Operand("spacing", ("varargs",), optional=True),
    Attr("axis", OPTIONAL_AXIS, None, ("dim",), keyword_only=True),
    Attr("edge_order", EDGE_ORDER, 1, keyword_only=True),
    doc="""Central differences of samples along one axis, one-sided at the ends: `numpy.gradient`.

    `spacing` is the distance of samples (1 unless given) or their coordinates, in which it is differentiable too. Of a
    matrix `axis` must say along which (NumPy's list of all of them is one call for each).""",
    latex="\\frac{{\\mathrm{{d}} {f}}}{{\\mathrm{{d}} x}}",
    family="reduction",
    floating=True,
    derivative={"f": "\\frac{1}{2h}"},
    examples=(
        Example(([1.0, 3.0, 2.5, 7.0],)),
        Example(([1.0, 3.0, 2.5, 7.0], 0.5), {"edge_order": 2}),
        Example((SAMPLES, [0.0, 1.0, 1.5, 3.5]), {"axis": 1}),
        Example((SAMPLES, [0.0, 1.0, 1.5, 3.5]), {"axis": -1, "edge_order": 2}),
        Example((SAMPLES,), {"axis": 0}, note="two samples"),
    ),
)


# ---------------------------------------------------------------------------------------------------------- integrals

INTEGRAND = (
    Operand("y", ("a",)),
    Operand("x", optional=True),
    Operand("dx", optional=True),
    Attr("axis", AXIS, -1, ("dim",)),
)


def _widths(name: str, y: Var, x: Var | None, dx: Var | None, axis: int) -> Var | None:
    """Distances of neighbouring samples, of a shape that goes with y along `axis`; None for 1."""
    if x is None:
        if dx is not None and dx.rank:
            raise ShapeMismatch(f"{name}: dx is a number; coordinates are the argument x.")
        return dx
    n = y.shape[axis]
    if x.rank == 1 and x.shape[0] == n:
        return _steps(x, -1).reshape((n - 1 if n else 0, *[1] * (-axis - 1)))
    if x.shape == y.shape:
        return _steps(x, axis)
    raise ShapeMismatch(
        f"{name}: x must have the shape of y, {list(y.shape)}, or hold its {n} coordinates along the axis; its shape is "
        f"{list(x.shape)}."
    )


def _areas(name: str, y: Var, x: Var | None, dx: Var | None, axis: int) -> Var:
    """Areas of the trapezoids between neighbouring samples."""
    n = y.shape[axis]
    if n == 0:
        return y
    widths = _widths(name, y, x, dx, axis)
    mean = (slice_axis(y, axis, 1, n) + slice_axis(y, axis, 0, n - 1)) * 0.5
    return mean if widths is None else widths * mean


def _trapezoid(b: Builder, y: Var, x: Var | None, dx: Var | None, **attrs: Any) -> Var:
    axis = normalize_axis(attrs["axis"], y.rank)
    return _areas("trapezoid", y, x, dx, axis).sum(axis)


written(
    "trapezoid",
    _trapezoid,
    *INTEGRAND,
    aliases=("trapz",),
    doc="""Integral of samples along an axis by the trapezoidal rule: Σ (x[i + 1] − x[i])·(y[i] + y[i + 1]) / 2.

    The samples are `dx` (1 unless given) apart, or at coordinates x. Differentiable in y, x and dx.""",
    latex="\\int {y} \\,\\mathrm{{d}}x",
    family="reduction",
    floating=True,
    derivative={"y": "\\frac{x_{i + 1} - x_{i - 1}}{2}", "x": "-\\frac{y_{i + 1} - y_{i - 1}}{2}"},
    examples=(
        Example(([1.0, 3.0, 2.5, 7.0],)),
        Example((SAMPLES, [0.0, 1.0, 1.5, 3.5])),
        Example((SAMPLES, None, 0.25), {"axis": 0}),
        Example((SAMPLES, SAMPLES), {"axis": 1}),
        Example(([2.0],), note="a single sample: 0"),
        Example(([],)),
    ),
)


def _cumulative_trapezoid(
    b: Builder, y: Var, x: Var | None, dx: Var | None, initial: Var | None, **attrs: Any
) -> Var:
    axis = normalize_axis(attrs["axis"], y.rank)
    if y.shape[axis] == 0:
        raise ShapeMismatch("cumulative_trapezoid needs at least one sample along the axis.")
    running: Var = b.write("cumsum", _areas("cumulative_trapezoid", y, x, dx, axis), axis=axis, reverse=False)
    if initial is None:
        return running
    if initial.rank:
        raise ShapeMismatch("cumulative_trapezoid: initial must be a number.")
    shape = tuple(1 if k - y.rank == axis else n for k, n in enumerate(y.shape))
    return joined([broadcast_to(initial, shape), running], axis)


written(
    "cumulative_trapezoid",
    _cumulative_trapezoid,
    *INTEGRAND,
    Operand("initial", optional=True),
    aliases=("cumtrapz",),
    doc="""Running integral of samples along an axis by the trapezoidal rule, as SciPy's `cumulative_trapezoid`.

    It is one entry shorter than y, unless `initial` is given, which then stands first.""",
    latex="\\int^x {y} \\,\\mathrm{{d}}x",
    family="reduction",
    floating=True,
    examples=(
        Example(([1.0, 3.0, 2.5, 7.0],)),
        Example((SAMPLES, [0.0, 1.0, 1.5, 3.5], None, 0.0)),
        Example((SAMPLES, None, 0.25), {"axis": 0}),
    ),
)


def _simpson(b: Builder, y: Var, x: Var | None, dx: Var | None, **attrs: Any) -> Var:
    axis = normalize_axis(attrs["axis"], y.rank)
    n = y.shape[axis]
    if n == 0:
        raise ShapeMismatch("simpson needs at least one sample along the axis.")
    h = _widths("simpson", y, x, dx, axis)

    def width(start: int, stop: int, step: int = 1) -> Var:
        if h is None:
            return b.var(1.0)
        return slice_axis(h, axis, start, stop, step) if h.rank else h

    def part(start: int, stop: int, step: int = 1) -> Var:
        return slice_axis(y, axis, start, stop, step)

    if n < 3:
        return ((part(0, n - 1) + part(1, n)) * 0.5 * width(0, n - 1)).sum(axis)
    whole = n if n % 2 else n - 1  # samples that pairs of intervals cover
    h0, h1 = width(0, whole - 1, 2), width(1, whole - 1, 2)
    both, product, ratio = h0 + h1, h0 * h1, h0 / h1
    pairs = (both / 6.0) * (
        part(0, whole - 2, 2) * (2.0 - 1.0 / ratio)
        + part(1, whole - 1, 2) * (both * (both / product))
        + part(2, whole, 2) * (2.0 - ratio)
    )
    total = pairs.sum(axis)
    if n % 2:
        return total
    a, c = width(n - 3, n - 2), width(n - 2, n - 1)
    last = (
        part(n - 1, n) * ((2.0 * c * c + 3.0 * a * c) / (6.0 * (a + c)))
        + part(n - 2, n - 1) * ((c * c + 3.0 * a * c) / (6.0 * a))
        - part(n - 3, n - 2) * ((c * c * c) / (6.0 * a * (a + c)))
    )
    return total + last.sum(axis)


written(
    "simpson",
    _simpson,
    *INTEGRAND,
    doc="""Integral of samples along an axis by Simpson's rule, as `scipy.integrate.simpson`: parabolas through three samples.

    Where there is an even number of samples, the last interval gets Cartwright's correction: K. V. Cartwright, "Simpson's
    rule cumulative integration with MS Excel and irregularly-spaced data", 2017.""",
    latex="\\int {y} \\,\\mathrm{{d}}x",
    family="reduction",
    floating=True,
    examples=(
        Example(([1.0, 3.0, 2.5, 7.0, 4.0],)),
        Example((SAMPLES, [0.0, 1.0, 1.5, 3.5]), note="an even number of samples"),
        Example(([1.0, 3.0, 2.5], [0.0, 1.0, 1.5])),
        Example((SAMPLES, None, 0.25), {"axis": 0}, note="two samples"),
        Example(([2.0],), note="a single one"),
    ),
)


def _unwrap(b: Builder, p: Var, **attrs: Any) -> Var:
    if p.rank == 0:
        raise ShapeMismatch("unwrap needs an array with an axis; here it is a scalar.")
    axis, period = normalize_axis(attrs["axis"], p.rank), attrs["period"]
    n = p.shape[axis]
    if n < 2:
        return p
    half = period / 2
    discont = half if attrs["discont"] is None else max(attrs["discont"], half)
    step = _steps(p, axis)
    wrapped = call(b, "remainder", step + half, period) - half
    wrapped = call(b, "where", call(b, "logical_and", wrapped.equals(-half), step > 0.0), half, wrapped)
    jumps = call(b, "where", call(b, "abs", step) < discont, 0.0, wrapped - step)
    # What is added is a number of whole periods: a step of the argument does not change it.
    whole = cast(b, cast(b, call(b, "round", jumps / period), "int64"), b.dtype) * period
    running: Var = b.write("cumsum", whole, axis=axis, reverse=False)
    zero = broadcast_to(b.var(0.0), tuple(1 if k - p.rank == axis else m for k, m in enumerate(p.shape)))
    return p + joined([zero, running], axis)


def _optional_number(value: Any) -> float | None:
    return None if value is None else number(value)


def _period(value: Any) -> float:
    found = number(value)
    if not 0 < found < float("inf"):
        raise ValueError(f"{found} is not positive and finite")
    return found


TWO_PI = 6.283185307179586
written(
    "unwrap",
    _unwrap,
    Operand("p", ("x", "input")),
    Attr("discont", Kind("a number or null", _optional_number), None),
    Attr("axis", AXIS, -1, ("dim",)),
    Attr("period", Kind("a positive number", _period), TWO_PI, keyword_only=True),
    doc="""Angles made continuous along an axis: whole periods added wherever a step is longer than half of one.

    As `numpy.unwrap`. The number of periods is an integer, so the derivative is that of the angles.""",
    latex="\\operatorname{{unwrap}} {p}",
    family="reduction",
    floating=True,
    derivative={"p": "1"},
    examples=(
        Example(([0.0, 2.5, 5.5, 1.0, -2.5],)),
        Example(([[0.0, 4.0, 9.5], [1.0, 7.0, 3.0]],), {"axis": -1, "period": 4.5}),
        Example(([1.0],)),
    ),
)
