"""Reductions of what is not NaN, as NumPy's nansum, nanmean and their kin. A NaN that is left out has derivative 0."""

from __future__ import annotations

from math import nan
from typing import Any

import numpy as np

from engine.aval import normalize_axes
from engine.builder import Builder, Var, call
from engine.op import Example, Operand, registry
from engine.ops.reduce import masked
from engine.ops.reduce.reduction import AXIS_ATTRS, Extreme, keep
from engine.ops.reduce.statistics import DDOF
from engine.ops.written import written

_NAN = float("nan")
_ROWS = [[1.0, _NAN, 4.5], [3.0, -1.0, 0.5]]
_X = Operand("x", ("a", "input"))
_PARAMETERS = (_X, *AXIS_ATTRS)
_SPREAD_PARAMETERS = (_X, AXIS_ATTRS[0], DDOF, AXIS_ATTRS[1])


class NanExtreme(Extreme):
    """Largest or smallest entry that is not NaN; NaN where there is none."""

    convention = "Entries that tie share the derivative equally, also those of a row that is NaN throughout."

    def __init__(self, name: str, fn: Any, word: str) -> None:
        doc = (
            f"{word.capitalize()} element over axes that is not NaN, all by default; NaN where there is none."
        )
        super().__init__(name, fn, word, doc, ())
        self.parameters = _PARAMETERS
        self.latex = f"\\operatorname{{{{{name}}}}} {{x}}"
        self.derivative = {}
        self.examples = (
            Example(([[1.0, 5.0, 2.0], [4.0, 3.0, 6.0]],), {"axis": 1, "keepdims": True}),
            Example((_ROWS,), smooth=False, note="NaN left out"),
            Example(([3.0, _NAN, 3.0, 1.0],), smooth=False, note="ties share"),
            Example(
                ([[_NAN, _NAN], [float("-inf"), _NAN]],), {"axis": 1}, smooth=False, note="nothing but NaN"
            ),
        )


registry.add(NanExtreme("nanmax", lambda x, axis: np.fmax.reduce(x, axis=axis), "largest"))
registry.add(NanExtreme("nanmin", lambda x, axis: np.fmin.reduce(x, axis=axis), "smallest"))


def _there(x: Var, instead: float) -> Var:
    """x with another number in the place of NaN."""
    return call(x.b, "where", call(x.b, "isnan", x), instead, x) if x.aval.floating else x


def _nansum(b: Builder, x: Var, **attrs: Any) -> Var:
    return call(b, "sum", _there(x, 0.0), **attrs)


def _nanprod(b: Builder, x: Var, **attrs: Any) -> Var:
    return call(b, "prod", _there(x, 1.0), **attrs)


def _number(x: Var) -> Var:
    return call(x.b, "logical_not", call(x.b, "isnan", x))


def _degrees(x: Var, axes: tuple[int, ...], ddof: float) -> Var:
    """n − ddof; NaN where that is not positive."""
    left = masked.count(_number(x), axes) - ddof
    return call(x.b, "where", left > 0.0, left, nan)


def _nanmean(b: Builder, x: Var, **attrs: Any) -> Var:
    axes = normalize_axes(attrs["axis"], x.rank)
    return keep(masked.mean(x, _number(x), axes), x, axes, attrs["keepdims"])


def _nanvar(b: Builder, x: Var, **attrs: Any) -> Var:
    axes = normalize_axes(attrs["axis"], x.rank)
    total = call(b, "square", masked.centred(x, _number(x), axes)).sum(axes)
    return keep(total / _degrees(x, axes, attrs["ddof"]), x, axes, attrs["keepdims"])


def _nanstd(b: Builder, x: Var, **attrs: Any) -> Var:
    axes = normalize_axes(attrs["axis"], x.rank)
    length: Var = b.write("vector_norm", masked.centred(x, _number(x), axes, flat=True), axes=axes)
    return keep(length / call(b, "sqrt", _degrees(x, axes, attrs["ddof"])), x, axes, attrs["keepdims"])


written(
    "nansum",
    _nansum,
    *_PARAMETERS,
    doc="Sum over axes, all by default, with NaN counted as 0.",
    latex="\\sum {x}",
    family="reduction",
    derivative={"x": "[x_i \\text{ is a number}]"},
    examples=(
        Example(([[1.0, 2.0], [3.0, 4.0]],), {"axis": 0, "keepdims": True}),
        Example((_ROWS,), {"axis": 1}, smooth=False, note="NaN left out"),
        Example(([_NAN, _NAN],), smooth=False, note="nothing but NaN: 0"),
    ),
)
written(
    "nanprod",
    _nanprod,
    *_PARAMETERS,
    doc="Product over axes, all by default, with NaN counted as 1. Right at zeros to every order, as `prod`.",
    latex="\\prod {x}",
    family="reduction",
    derivative={"x": "\\prod_{j \\ne i} x_j"},
    examples=(
        Example(([[1.0, 2.0], [3.0, 4.0]],), {"axis": 0}),
        Example(([2.0, 0.0, 3.0],), note="a zero"),
        Example(([2.0, 0.0, _NAN, 0.0],), smooth=False, note="NaN left out"),
    ),
)
_SPREAD = (
    Example(([[1.0, 2.0, 4.5], [3.0, -1.0, 0.5]],), {"axis": 1, "ddof": 1, "keepdims": True}),
    Example((_ROWS,), smooth=False, note="NaN left out"),
    Example((_ROWS,), {"axis": 0, "ddof": 1}, smooth=False, note="too few for ddof: NaN"),
)
written(
    "nanmean",
    _nanmean,
    *_PARAMETERS,
    doc="Arithmetic mean over axes, all by default, of the entries that are not NaN; NaN where there are none.",
    latex="\\overline{{{x}}}",
    family="reduction",
    floating=True,
    derivative={"x": "\\frac{1}{n}"},
    examples=(
        Example(([[1.0, 2.0, 4.5], [3.0, -1.0, 0.5]],), {"axis": 1, "keepdims": True}),
        Example((_ROWS,), {"axis": 0}, smooth=False, note="NaN left out"),
        Example(([_NAN, _NAN],), smooth=False, note="nothing but NaN"),
    ),
)
written(
    "nanvar",
    _nanvar,
    *_SPREAD_PARAMETERS,
    doc="""Variance over axes, all by default, of the entries that are not NaN: Σ (x − mean)² / (n − ddof).

    NaN where n − ddof is not positive; `ddof` is 0 unless given.""",
    latex="\\operatorname{{var}} {x}",
    family="reduction",
    floating=True,
    derivative={"x": "\\frac{2 (x_i - \\overline{x})}{n - \\mathrm{ddof}}"},
    examples=_SPREAD,
)
written(
    "nanstd",
    _nanstd,
    *_SPREAD_PARAMETERS,
    doc="Standard deviation over axes of the entries that are not NaN: the root of `nanvar`, without overflow.",
    latex="\\operatorname{{std}} {x}",
    family="reduction",
    floating=True,
    derivative={"x": "\\frac{x_i - \\overline{x}}{(n - \\mathrm{ddof})\\, y}"},
    convention="Of a constant it is 0, with the subgradient of least norm, 0.",
    examples=(*_SPREAD, Example(([0.1, 0.1, _NAN, 0.1],), smooth=False, note="a constant")),
)
