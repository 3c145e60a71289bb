"""Trigonometry in other units, and the reciprocal functions: sinpi, sindg, sec and their kin."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.special

from engine.builder import Builder, Var, call
from engine.op import Example, Op, Operand, registry
from engine.ops.pointwise.elementwise import Elementwise
from engine.ops.special.tower import in_double

INF = float("inf")


def _sinpi(x: Any) -> Any:
    """sin(πx) with exact zeros: what is left of x after half turns is between −½ and ½, where π times it is exact enough."""
    half = np.rint(x)
    r = x - half
    return np.where(r == 0, 0.0 * x, np.where(half % 2 == 0, 1.0, -1.0) * np.sin(np.pi * r))


def _cospi(x: Any) -> Any:
    """cos(πx) with exact zeros: by the sine of what is left to the nearest half."""
    half = np.floor(x)
    r = x - half - 0.5
    return np.where(half % 2 == 0, -1.0, 1.0) * np.where(r == 0, 0.0, np.sin(np.pi * r))


def _row(name: str, fn: Any, partial: str, **more: Any) -> Op:
    return registry.add(Elementwise(name, in_double(fn), (partial,), floating=True, weight=15, **more))


sinpi = _row(
    "sinpi",
    _sinpi,
    "3.141592653589793 * cospi(a)",
    scalar="sinpi(a)",
    doc="Sine of x half turns, sin(πx), with exact zeros at the integers.",
    latex="\\sin \\left(\\pi {x}\\right)",
    derivative={"x": "\\pi \\cos \\pi x"},
    examples=(Example(([0.25, -1.5, 3.0, 0.0, 1e5 + 0.25],)), Example(([INF],), smooth=False)),
)
cospi = _row(
    "cospi",
    _cospi,
    "-3.141592653589793 * sinpi(a)",
    scalar="cospi(a)",
    doc="Cosine of x half turns, cos(πx), with exact zeros at the odd halves.",
    latex="\\cos \\left(\\pi {x}\\right)",
    derivative={"x": "-\\pi \\sin \\pi x"},
    examples=(Example(([0.25, -1.5, 3.0, 0.5, 1e5 + 0.25],)), Example(([INF],), smooth=False)),
)
_POLES = "At a pole the value is infinite."
sindg = _row(
    "sindg",
    scipy.special.sindg,
    "0.017453292519943295 * cosdg(a)",
    doc="Sine of an angle in degrees.",
    latex="\\sin {x}^\\circ",
    derivative={"x": "\\tfrac{\\pi}{180} \\cos x^\\circ"},
    domain=((-200.0, 200.0),),
    examples=(Example(([30.0, -45.0, 180.0, 0.0],)),),
)
cosdg = _row(
    "cosdg",
    scipy.special.cosdg,
    "-0.017453292519943295 * sindg(a)",
    doc="Cosine of an angle in degrees.",
    latex="\\cos {x}^\\circ",
    derivative={"x": "-\\tfrac{\\pi}{180} \\sin x^\\circ"},
    domain=((-200.0, 200.0),),
    examples=(Example(([60.0, -45.0, 90.0, 0.0],)),),
)
tandg = _row(
    "tandg",
    scipy.special.tandg,
    "0.017453292519943295 * (1 + y * y)",
    doc="Tangent of an angle in degrees.",
    latex="\\tan {x}^\\circ",
    derivative={"x": "\\tfrac{\\pi}{180} (1 + \\tan^2 x^\\circ)"},
    domain=((-80.0, 80.0),),
    convention=_POLES,
    examples=(Example(([45.0, -60.0, 0.0],)), Example(([90.0],), smooth=False, note="a pole")),
)
cotdg = _row(
    "cotdg",
    scipy.special.cotdg,
    "-0.017453292519943295 * (1 + y * y)",
    doc="Cotangent of an angle in degrees.",
    latex="\\cot {x}^\\circ",
    derivative={"x": "-\\tfrac{\\pi}{180} (1 + \\cot^2 x^\\circ)"},
    domain=((10.0, 170.0),),
    convention=_POLES,
    examples=(Example(([45.0, -60.0, 90.0],)), Example(([0.0],), smooth=False, note="a pole")),
)


class Reciprocal(Op):
    """What secant, cosecant and cotangent have in common."""

    family = "elementwise"
    parameters = (Operand("x"),)
    composite = True
    elementwise = True
    floating = True
    domain = ((0.2, 1.3),)
    convention = _POLES
    examples: tuple[Example, ...] = (Example(([0.5, -1.2, 2.0],)),)


class Sec(Reciprocal):
    """Secant, 1 / cos x, of an angle in radians."""

    name = "sec"
    latex = "\\sec {x}"
    derivative = {"x": "\\sec x \\tan x"}

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var:
        """By cos."""
        return call(b, "reciprocal", call(b, "cos", operands[0]))


class Csc(Reciprocal):
    """Cosecant, 1 / sin x, of an angle in radians."""

    name = "csc"
    latex = "\\csc {x}"
    derivative = {"x": "-\\csc x \\cot x"}
    examples = (*Reciprocal.examples, Example((0.0,), smooth=False, note="a pole"))

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var:
        """By sin."""
        return call(b, "reciprocal", call(b, "sin", operands[0]))


class Cot(Reciprocal):
    """Cotangent, cos x / sin x, of an angle in radians."""

    name = "cot"
    latex = "\\cot {x}"
    derivative = {"x": "-1 - \\cot^2 x"}
    examples = (*Reciprocal.examples, Example((0.0,), smooth=False, note="a pole"))

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var:
        """By tan."""
        return call(b, "reciprocal", call(b, "tan", operands[0]))


for _op in (Sec(), Csc(), Cot()):
    registry.add(_op)
