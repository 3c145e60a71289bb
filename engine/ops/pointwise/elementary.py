"""Exponentials, logarithms, trigonometry: functions of one or two numbers, by formula.

Formulas are chosen for accuracy in the tails (1/cosh² and not 1 − tanh²) and for being right when differentiated
again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import scipy.special

from engine import kernels
from engine.aval import Array, Aval, Avals
from engine.builder import Builder, Var, call
from engine.op import Example, General, Into, Op, Operand, registry
from engine.ops.pointwise.elementwise import Elementwise, Kernelled
from engine.transforms.strong import times


def _row(name: str, fn: Any, *partials: str, **more: Any) -> Op:
    more.setdefault("floating", True)
    more.setdefault("weight", 10)
    return registry.add(Elementwise(name, fn, partials, **more))


def _kernelled(name: str, fn: np.ufunc, *partials: str, **more: Any) -> Op:
    more.setdefault("weight", 10)
    return registry.add(Kernelled(name, fn, partials, floating=True, **more))


exp = _row(
    "exp",
    np.exp,
    "y",
    scalar="exp(a)",
    doc="Exponential, eˣ.",
    latex="e^{{{x}}}",
    aliases=("Exp",),
    derivative={"x": "e^x"},
    examples=(Example(([0.0, 1.0, -700.0],)), Example((1000.0,), smooth=False, note="overflows to infinity")),
)
exp2 = _row(
    "exp2",
    np.exp2,
    "0.6931471805599453 * y",
    scalar="exp2(a)",
    doc="Power of two, 2ˣ.",
    latex="2^{{{x}}}",
    derivative={"x": "2^x \\log 2"},
    examples=(Example(([0.5, -3.0],)),),
)
expm1 = _row(
    "expm1",
    np.expm1,
    "exp(a)",
    scalar="expm1(a)",
    doc="eˣ − 1, exact for small x.",
    latex="e^{{{x}}} - 1",
    derivative={"x": "e^x"},
    examples=(Example(([1e-12, 2.0],)),),
)
_POLE = "At 0 the derivative is infinite; below it, where there is no value, it is that of the formula."
log = _row(
    "log",
    np.log,
    "1 / a",
    scalar="log(a)",
    doc="Natural logarithm.",
    latex="\\log {x}",
    aliases=("ln", "Log"),
    domain=((0.1, 3.0),),
    derivative={"x": "\\frac{1}{x}"},
    convention=_POLE,
    examples=(
        Example(([0.5, 1.0, 1e300],)),
        Example((0.0,), smooth=False, note="-Infinity, with infinite derivative"),
    ),
)
log1p = _row(
    "log1p",
    np.log1p,
    "1 / (1 + a)",
    scalar="log1p(a)",
    doc="log(1 + x), exact for small x.",
    latex="\\log(1 + {x})",
    domain=((-0.5, 2.0),),
    derivative={"x": "\\frac{1}{1 + x}"},
    examples=(Example(([1e-12, 2.0],)),),
)
log2 = _row(
    "log2",
    np.log2,
    "1.4426950408889634 / a",
    scalar="log2(a)",
    doc="Logarithm to base 2.",
    latex="\\log_2 {x}",
    domain=((0.2, 3.0),),
    derivative={"x": "\\frac{1}{x \\log 2}"},
    convention=_POLE,
    examples=(Example(([8.0, 0.3],)),),
)
log10 = _row(
    "log10",
    np.log10,
    "0.4342944819032518 / a",
    scalar="log10(a)",
    doc="Logarithm to base 10.",
    latex="\\log_{{10}} {x}",
    domain=((0.2, 3.0),),
    derivative={"x": "\\frac{1}{x \\log 10}"},
    convention=_POLE,
    examples=(Example(([1000.0, 0.3],)),),
)
sqrt = _row(
    "sqrt",
    np.sqrt,
    "0.5 / y",
    scalar="sqrt(a)",
    doc="Square root.",
    latex="\\sqrt{{{x}}}",
    aliases=("Sqrt",),
    domain=((0.1, 3.0),),
    derivative={"x": "\\frac{1}{2\\sqrt{x}}"},
    weight=4,
    convention="At 0 the derivative is +infinity.",
    examples=(Example(([4.0, 1e-300],)), Example((0.0,), smooth=False)),
)
cbrt = _row(
    "cbrt",
    np.cbrt,
    "1 / (3 * y * y)",
    scalar="cbrt(a)",
    doc="Cube root, of negative numbers too.",
    latex="\\sqrt[3]{{{x}}}",
    domain=((0.1, 3.0),),
    derivative={"x": "\\frac{1}{3 x^{2/3}}"},
    convention="At 0 the derivative is +infinity.",
    examples=(Example(([8.0, -27.0],)),),
)
sin = _kernelled(
    "sin",
    np.sin,
    "cos(a)",
    kernel=kernels.sin,
    scalar="sin(a)",
    doc="Sine of an angle in radians.",
    latex="\\sin {x}",
    aliases=("Sin",),
    derivative={"x": "\\cos x"},
    examples=(Example(([0.0, 1.0, -2.5],)),),
)
cos = _kernelled(
    "cos",
    np.cos,
    "-sin(a)",
    kernel=kernels.cos,
    scalar="cos(a)",
    doc="Cosine of an angle in radians.",
    latex="\\cos {x}",
    aliases=("Cos",),
    derivative={"x": "-\\sin x"},
    examples=(Example(([0.0, 1.0, -2.5],)),),
)
tan = _row(
    "tan",
    np.tan,
    "1 + y * y",
    scalar="tan(a)",
    doc="Tangent of an angle in radians.",
    latex="\\tan {x}",
    aliases=("Tan",),
    domain=((-1.0, 1.0),),
    derivative={"x": "1 + \\tan^2 x"},
    examples=(Example(([0.0, 1.0, -2.5],)),),
)
_END = "At ±1 the derivative is infinite."
# (1 − x)(1 + x) is exact near ±1. At ±1 itself 1 − x² says the same, and has the one derivative −2x, which is not lost where
# the walk back meets an infinite cotangent (∞·0 in the other factor).
asin = _row(
    "asin",
    np.arcsin,
    "where(abs(a) == 1, 1 / sqrt(1 - a * a), 1 / sqrt((1 - a) * (1 + a)))",
    scalar="asin(a)",
    doc="Inverse sine, in radians.",
    latex="\\arcsin {x}",
    aliases=("arcsin", "Asin"),
    domain=((-0.9, 0.9),),
    derivative={"x": "\\frac{1}{\\sqrt{1 - x^2}}"},
    convention=_END,
    weight=20,
    examples=(Example(([0.0, 0.5, -0.99],)),),
)
acos = _row(
    "acos",
    np.arccos,
    "where(abs(a) == 1, -1 / sqrt(1 - a * a), -1 / sqrt((1 - a) * (1 + a)))",
    scalar="acos(a)",
    doc="Inverse cosine, in radians.",
    latex="\\arccos {x}",
    aliases=("arccos", "Acos"),
    domain=((-0.9, 0.9),),
    derivative={"x": "-\\frac{1}{\\sqrt{1 - x^2}}"},
    convention=_END,
    weight=20,
    examples=(Example(([0.0, 0.5, -0.99],)),),
)
atan = _row(
    "atan",
    np.arctan,
    "1 / (1 + a * a)",
    scalar="atan(a)",
    doc="Inverse tangent, in radians.",
    latex="\\arctan {x}",
    aliases=("arctan", "Atan"),
    derivative={"x": "\\frac{1}{1 + x^2}"},
    weight=20,
    examples=(Example(([0.0, 1.0, -1e200],)),),
)
atan2 = _row(
    "atan2",
    np.arctan2,
    # At the origin NaN, and so are the second derivatives: hypot has derivative 0 there, which would say otherwise.
    "where(logical_and(a == 0, b == 0), (a + b) * (0 / 0), b / hypot(a, b) / hypot(a, b))",
    "where(logical_and(a == 0, b == 0), (a + b) * (0 / 0), -a / hypot(a, b) / hypot(a, b))",
    scalar="atan2(a, b)",
    doc="Angle of the point (x2, x1) in radians, −π … π.",
    latex="\\operatorname{{atan2}}({x1}, {x2})",
    names=("x1", "x2"),
    aliases=("arctan2",),
    domain=((0.2, 2.0), (0.2, 2.0)),
    derivative={"x1": "\\frac{x_2}{x_1^2 + x_2^2}", "x2": "-\\frac{x_1}{x_1^2 + x_2^2}"},
    weight=20,
    convention="At (0, 0) there is no angle: the derivative is NaN.",
    kink="logical_and(a == 0, b == 0)",
    examples=(Example(([1.0, -1.0], [-1.0, 0.5])),),
)
sinh = _row(
    "sinh",
    np.sinh,
    "cosh(a)",
    scalar="sinh(a)",
    doc="Hyperbolic sine.",
    latex="\\sinh {x}",
    aliases=("Sinh",),
    derivative={"x": "\\cosh x"},
    examples=(Example(([0.5, -2.0],)),),
)
cosh = _row(
    "cosh",
    np.cosh,
    "sinh(a)",
    scalar="cosh(a)",
    doc="Hyperbolic cosine.",
    latex="\\cosh {x}",
    aliases=("Cosh",),
    derivative={"x": "\\sinh x"},
    examples=(Example(([0.5, -2.0],)),),
)
tanh = _row(
    "tanh",
    np.tanh,
    "sech_squared(a)",
    scalar="tanh(a)",
    # No exponential as long as the difference keeps its digits.
    scalar_partials=("where(abs(y) < 0.9, (1 - y) * (1 + y), sech_squared(a))",),
    doc="Hyperbolic tangent.",
    latex="\\tanh {x}",
    aliases=("Tanh",),
    derivative={"x": "1 - \\tanh^2 x"},
    examples=(Example(([0.5, -2.0, 400.0],), note="cosh² would overflow; the derivative is 0"),),
)


def _sech_squared(x: Any, out: Any = None) -> Any:
    e = np.abs(x, out)
    e = np.exp(np.multiply(e, -2, out), out)
    t = np.divide(e, 1 + e, out)
    return np.multiply(np.multiply(4, t), 1 - t, out)


sech_squared = _row(
    "sech_squared",
    _sech_squared,
    "-2 * y * tanh(a)",
    scalar="sech_squared(a)",
    # 4σ(2x)σ(−2x) with the smaller of the two, t, from an exponential that cannot overflow, and 1 − t: to 3 ulp.
    into=Into(_sech_squared, (0,), stretches=True),
    doc="1 / cosh² x, the derivative of tanh, without overflow.",
    latex="\\operatorname{{sech}}^2 {x}",
    derivative={"x": "-2 \\tanh(x) \\operatorname{sech}^2 x"},
    weight=15,
    examples=(Example(([0.5, -2.0, 400.0],), note="cosh² would overflow"),),
)
asinh = _row(
    "asinh",
    np.arcsinh,
    "1 / hypot(a, 1)",
    scalar="asinh(a)",
    doc="Inverse hyperbolic sine.",
    latex="\\operatorname{{arsinh}} {x}",
    aliases=("arcsinh", "Asinh"),
    derivative={"x": "\\frac{1}{\\sqrt{x^2 + 1}}"},
    weight=20,
    examples=(Example(([0.5, -2.0, 1e200],)),),
)
acosh = _row(
    "acosh",
    np.arccosh,
    "where(a == 1, 1 / sqrt(a * a - 1), 1 / sqrt((a - 1) * (a + 1)))",
    scalar="acosh(a)",
    doc="Inverse hyperbolic cosine, for x ≥ 1.",
    latex="\\operatorname{{arcosh}} {x}",
    aliases=("arccosh", "Acosh"),
    domain=((1.1, 3.0),),
    derivative={"x": "\\frac{1}{\\sqrt{x^2 - 1}}"},
    convention="At 1 the derivative is infinite.",
    weight=20,
    examples=(Example(([1.5, 3.0],)),),
)
atanh = _row(
    "atanh",
    np.arctanh,
    "where(abs(a) == 1, 1 / (1 - a * a), 1 / ((1 - a) * (1 + a)))",
    scalar="atanh(a)",
    doc="Inverse hyperbolic tangent.",
    latex="\\operatorname{{artanh}} {x}",
    aliases=("arctanh", "Atanh"),
    domain=((-0.9, 0.9),),
    derivative={"x": "\\frac{1}{1 - x^2}"},
    convention=_END,
    weight=20,
    examples=(Example(([0.5, -0.99],)),),
)
deg2rad = _row(
    "deg2rad",
    np.deg2rad,
    "0.017453292519943295",
    scalar="a * 0.017453292519943295",
    doc="Degrees to radians.",
    latex="\\frac{{\\pi}}{{180}} {x}",
    aliases=("radians",),
    derivative={"x": "\\frac{\\pi}{180}"},
    weight=1,
    examples=(Example(([180.0, -30.0],)),),
)
rad2deg = _row(
    "rad2deg",
    np.rad2deg,
    "57.29577951308232",
    scalar="a * 57.29577951308232",
    doc="Radians to degrees.",
    latex="\\frac{{180}}{{\\pi}} {x}",
    aliases=("degrees",),
    derivative={"x": "\\frac{180}{\\pi}"},
    weight=1,
    examples=(Example(([3.0, -1.0],)),),
)


def _logaddexp(x: Any, y: Any, out: Any = None) -> Any:
    """NumPy's formula, max(x, y) + log1p(e^−|x − y|), in passes over vectors instead of a call for each element."""
    larger = np.maximum(x, y)
    with np.errstate(invalid="ignore"):
        far = np.subtract(x, y, out)
    far = np.negative(np.abs(far, out), out)
    far = np.fmin(far, 0, out=out)  # of two equal infinities, which are no distance apart
    return np.add(larger, np.log1p(np.exp(far, out), out), out)


logaddexp = _kernelled(
    "logaddexp",
    np.logaddexp,
    "where(y - y == 0, sigmoid(a - b), where(y < 0, 0, where(a == b, 0.5, where(a > b, 1, 0))))",
    "where(y - y == 0, sigmoid(b - a), where(y < 0, 0, where(a == b, 0.5, where(b > a, 1, 0))))",
    kernel=_logaddexp,
    kernel_dtypes=("float32", "float64"),
    scalar="logaddexp(a, b)",
    doc="log(eˣ + eʸ) without overflow.",
    latex="\\log\\left(e^{{{x}}} + e^{{{y}}}\\right)",
    weight=25,
    derivative={"x": "\\sigma(x - y)", "y": "\\sigma(y - x)"},
    convention="An operand of −infinity has derivative 0.",
    domain=((-2.0, 2.0), (-2.0, 2.0)),
    examples=(Example(([1.0, 1000.0], [2.0, 1000.0])), Example((float("-inf"), 1.0), smooth=False)),
)
xlogy = _row(
    "xlogy",
    scipy.special.xlogy,
    "log(b)",
    # At (0, 0) a function with the value 0 and, in x, the derivative +∞ of x/y.
    "where(logical_and(a == 0, b == 0), sqrt(a), a / b)",
    scalar="where(a == 0, 0, a * log(b))",
    doc="x·log y, and 0 for x = 0.",
    latex="{x} \\log {y}",
    domain=((0.2, 2.0), (0.2, 2.0)),
    derivative={"x": "\\log y", "y": "\\frac{x}{y}"},
    convention="xlogy(0, y) = 0 with derivative 0 in y, at y = 0 too.",
    examples=(Example(([1.0, 0.5], [2.0, 0.25])), Example((0.0, 0.0), smooth=False)),
)


def spherical_ratio(x: Array, n: int) -> Array:
    """j_n(x) / xⁿ: power series for small |x|, else by j_n."""
    small = np.abs(x) < 1.0 + n
    t = np.where(small, x, 0.0).astype(np.float64)
    u = -0.5 * t * t
    term = np.full_like(u, 1.0 / np.prod(np.arange(2 * n + 1, 0, -2, dtype=np.float64)))
    series = term.copy()
    for k in range(1, 12 + 2 * n):
        term = term * u / (k * (2 * n + 2 * k + 1))
        series = series + term
    with np.errstate(all="ignore"):
        big = np.where(small, 1.0 + n, x).astype(np.float64)
        sign = np.where(big < 0, -1.0, 1.0) ** n
        far = sign * scipy.special.spherical_jn(n, np.abs(big)) / big**n
    result: Array = np.where(small, series, far).astype(x.dtype)[()]
    return result


class SphericalRatio(Op):
    r"""g_n(x) = x⁻ⁿ j_n(x) with the spherical Bessel function j_n: an even entire function, g_n(0) = 1/(2n+1)!!.

    g_n'(x) = −x g_{n+1}(x) (DLMF 10.51.3), so every derivative is exact at 0 too, where the quotients that define sinc
    and its derivatives cancel.
    """

    name = "spherical_ratio"
    family = "core"
    internal = True
    elementwise = True
    floating = True
    rules = (General(),)

    def infer(self, *avals: Aval, **params: Any) -> Avals:
        """The operand's aval."""
        return avals[0]

    def evaluate(self, *arrays: Any, **params: Any) -> Any:
        """Power series for small |x|, else j_n(x) / xⁿ."""
        return spherical_ratio(np.asarray(arrays[0]), params.get("order", 0))

    def jvp(self, y: Any, xs: Sequence[Var], dxs: Sequence[Var | None], **params: Any) -> Any:
        """−x·g_{n+1}(x)·ẋ."""
        (x,), (dx,) = xs, dxs
        assert dx is not None
        slope: Var = x.b.write("spherical_ratio", x, order=params.get("order", 0) + 1)
        return times(dx, -(x * slope))

    def flops(self, operands: Sequence[Aval], result: Avals, **params: Any) -> float:
        """A dozen terms of a series, or a Bessel function."""
        return 60.0 * operands[0].size


registry.add(SphericalRatio())


class Sinc(Op):
    """Normalised sinc, sin(πx) / (πx), and 1 at 0; right at 0 in every derivative."""

    name = "sinc"
    family = "elementwise"
    parameters = (Operand("x"),)
    composite = True
    elementwise = True
    floating = True
    latex = "\\operatorname{{sinc}} {x}"
    derivative = {"x": "\\frac{\\cos \\pi x - \\operatorname{sinc} x}{x}"}
    domain = ((-2.0, 2.0),)
    examples = (Example(([0.5, -2.5, 1e-9],)), Example((0.0,)))

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var:
        """g₀(πx)."""
        result: Var = b.write("spherical_ratio", call(b, "multiply", operands[0], np.pi), order=0)
        return result


registry.add(Sinc())
