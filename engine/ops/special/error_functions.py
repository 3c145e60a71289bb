"""The error function and its kin: erf, erfc, erfcx, their inverses, the normal distribution, Dawson's integral.

Names are SciPy's. All are right in both tails, to the second derivative and beyond: what would overflow or cancel is
written by erfcx, which does neither.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.special

from engine.aval import Array
from engine.op import Example, Op, registry
from engine.ops.pointwise.elementwise import Elementwise
from engine.ops.special.quadrature import HALF_LINE, integrate
from engine.ops.special.tower import Tower, in_double

INF = float("inf")


def _row(name: str, fn: Any, *partials: str, **more: Any) -> Op:
    more.setdefault("weight", 20)
    return registry.add(Elementwise(name, in_double(fn), partials, family="special", floating=True, **more))


erf = _row(
    "erf",
    scipy.special.erf,
    "1.1283791670955126 * exp(-a * a)",
    scalar="erf(a)",
    doc="Error function, (2/√π) ∫₀ˣ exp(−t²) dt. DLMF 7.2.1.",
    latex="\\operatorname{{erf}} {x}",
    aliases=("Erf",),
    derivative={"x": "\\frac{2}{\\sqrt{\\pi}} e^{-x^2}"},
    examples=(Example(([0.5, -3.0, 1e-200, 10.0],)), Example(([INF, -INF],), smooth=False)),
)
erfc = _row(
    "erfc",
    scipy.special.erfc,
    "-1.1283791670955126 * exp(-a * a)",
    scalar="erfc(a)",
    doc="Complementary error function, 1 − erf x, exact in the tail. DLMF 7.2.2.",
    latex="\\operatorname{{erfc}} {x}",
    derivative={"x": "-\\frac{2}{\\sqrt{\\pi}} e^{-x^2}"},
    examples=(Example(([0.5, 8.0, 25.0, -6.0],)), Example(([INF, -INF],), smooth=False)),
)
ndtr = _row(
    "ndtr",
    scipy.special.ndtr,
    "0.3989422804014327 * exp(-0.5 * a * a)",
    scalar="ndtr(a)",
    doc="Distribution function of the standard normal distribution.",
    latex="\\Phi({x})",
    derivative={"x": "\\frac{1}{\\sqrt{2\\pi}} e^{-x^2/2}"},
    examples=(Example(([0.5, -8.0, -35.0, 9.0],)), Example(([INF, -INF],), smooth=False)),
)
_ENDS = "At the ends, where the value is infinite, so is the derivative; beyond them both are NaN."
erfinv = _row(
    "erfinv",
    scipy.special.erfinv,
    "0.8862269254527580 * exp(y * y)",
    doc="Inverse of the error function, for −1 < x < 1.",
    latex="\\operatorname{{erf}}^{{-1}}({x})",
    aliases=("erf_inv",),
    domain=((-0.9, 0.9),),
    derivative={"x": "\\tfrac{\\sqrt{\\pi}}{2} e^{y^2}"},
    convention=_ENDS,
    examples=(
        Example(([0.5, -0.25, 1e-20, 0.9999999],)),
        Example(([1.0, -1.0],), smooth=False, note="the ends"),
        Example(([1.5],), smooth=False, note="beyond them"),
    ),
)
erfcinv = _row(
    "erfcinv",
    scipy.special.erfcinv,
    "-0.8862269254527580 * exp(y * y)",
    doc="Inverse of the complementary error function, for 0 < x < 2.",
    latex="\\operatorname{{erfc}}^{{-1}}({x})",
    domain=((0.1, 1.9),),
    derivative={"x": "-\\tfrac{\\sqrt{\\pi}}{2} e^{y^2}"},
    convention=_ENDS,
    examples=(
        Example(([0.5, 1.25, 1e-12, 1e-250],), note="the tail"),
        Example(([0.0, 2.0, -1.0],), smooth=False, note="the ends, and beyond"),
    ),
)
ndtri = _row(
    "ndtri",
    scipy.special.ndtri,
    "2.5066282746310002 * exp(0.5 * y * y)",
    doc="Quantiles of the standard normal distribution, the inverse of ndtr, for 0 < x < 1.",
    latex="\\Phi^{{-1}}({x})",
    domain=((0.1, 0.9),),
    derivative={"x": "\\sqrt{2\\pi}\\, e^{y^2/2}"},
    convention=_ENDS,
    examples=(
        Example(([0.5, 0.25, 1e-12, 1e-250],), note="the tail"),
        Example(([0.0, 1.0, -1.0],), smooth=False, note="the ends, and beyond"),
    ),
)
log_ndtr = _row(
    "log_ndtr",
    scipy.special.log_ndtr,
    # φ/Φ is a quotient of two zeros in the left tail, and erfcx overflows in the right one.
    "where(a < 0, 0.7978845608028654 / erfcx(-0.7071067811865476 * a),"
    " 0.3989422804014327 * exp(-0.5 * a * a) / ndtr(a))",
    doc="Logarithm of the normal distribution function, log Φ(x), exact in both tails.",
    latex="\\log \\Phi({x})",
    derivative={"x": "\\frac{\\varphi(x)}{\\Phi(x)}"},
    weight=30,
    examples=(
        Example(([0.5, -1.5, 3.0, 0.0],)),
        Example(([-40.0, -1e5, -1e100, 12.0, 37.0],), note="far tails: no overflow, no cancellation"),
        Example(([INF],), smooth=False),
    ),
)
ndtri_exp = _row(
    "ndtri_exp",
    scipy.special.ndtri_exp,
    "where(y < 0, 1.2533141373155003 * erfcx(-0.7071067811865476 * y),"
    " 2.5066282746310002 * ndtr(y) * exp(0.5 * y * y))",
    doc="Inverse of log_ndtr: the quantile whose probability has the logarithm x, for x < 0.",
    latex="\\Phi^{{-1}}(e^{{{x}}})",
    domain=((-3.0, -0.1),),
    derivative={"x": "\\frac{\\Phi(y)}{\\varphi(y)}"},
    convention=_ENDS,
    weight=40,
    examples=(
        Example(([-0.5, -2.0, -1e-10],)),
        Example(([-1e4, -1e8],), note="far tail"),
        Example(([0.0, 0.5],), smooth=False, note="the end, and beyond"),
    ),
)


def erfcx_derivative(x: Array, order: int) -> Array:
    """By SciPy, the integral, or the recurrence."""
    first = scipy.special.erfcx(x)
    if order == 0:
        return np.asarray(first)
    flat = np.clip(x, 0.0, 1e300).reshape(-1)
    right = integrate(
        lambda t, part: (-2.0 * t) ** order * np.exp(-t * t - 2.0 * flat[part] * t),
        1.0 / (1.0 + flat),
        HALF_LINE,
    ).reshape(x.shape) * (2.0 / np.sqrt(np.pi))
    before, left = first, 2.0 * x * first - 2.0 / np.sqrt(np.pi)
    for n in range(1, order):
        before, left = left, 2.0 * x * left + 2.0 * n * before
    return np.where(x < 0, left, np.where(np.isnan(x), x, right))


class Erfcx(Tower):
    r"""Scaled complementary error function, exp(x²)·erfc(x), without overflow in the right tail.

    The n-th derivative is (−1)ⁿ (2/√π) ∫₀^∞ (2t)ⁿ exp(−t² − 2xt) dt, an integral without cancellation, for x ≥ 0; for
    x < 0 the recurrence y⁽ⁿ⁺¹⁾ = 2x·y⁽ⁿ⁾ + 2n·y⁽ⁿ⁻¹⁾, whose terms have one sign there. DLMF 7.7.1, 7.10.2.
    """

    name = "erfcx"
    latex = "\\operatorname{{erfcx}} {x}"
    derivative = {"x": "2x \\operatorname{erfcx} x - \\tfrac{2}{\\sqrt{\\pi}}"}
    weight = 1000.0
    examples = (
        Example(([0.5, -1.5, 3.0, 0.0],)),
        Example(([30.0, 1e6, 1e100],), note="the tail, where x·erfcx cancels"),
        Example(([-5.0, -20.0],)),
        Example(([INF, -INF, -30.0],), smooth=False, note="the limits, and an overflow"),
    )

    def values(self, x: Array, order: int, **static: Any) -> Array:
        """By SciPy, the integral, or the recurrence."""
        return erfcx_derivative(x, order)


def dawson_derivative(x: Array, order: int) -> Array:
    """By SciPy, the sum, or the series."""
    if order == 0:
        return np.asarray(scipy.special.dawsn(x))
    size = np.abs(x)
    near, far = np.minimum(size, 7.0), np.maximum(size, 7.0)
    h, total = 0.2, np.zeros_like(x)
    for k in range(-75, 76, 2):
        z = near - k * h
        total = total + scipy.special.eval_hermite(order, z) * np.exp(-z * z) / k
    total = total * (-1.0) ** order / np.sqrt(np.pi)
    term = 0.5 * (-1.0) ** order * scipy.special.poch(1.0, order) * far ** (-1.0 - order)
    series = np.zeros_like(x)
    for k in range(30):
        series = series + term
        more = (
            (2 * k + 1.0)
            / 2
            * scipy.special.poch(2 * k + 3.0, order)
            / scipy.special.poch(2 * k + 1.0, order)
        )
        term = term * more / far / far
    sign = np.where(x < 0, -1.0, 1.0) ** (order + 1)
    # Around 0, where the sum leaves rounding errors in place of an odd function's zero, all terms have one sign.
    before = np.asarray(scipy.special.dawsn(x))
    small = 1.0 - 2.0 * x * before
    for n in range(1, order):
        before, small = small, -2.0 * x * small - 2.0 * n * before
    small = np.where(size < 0.5, small, sign * np.where(size < 7.0, total, series))
    return np.where(np.isnan(x), x, small)


class Dawson(Tower):
    r"""Dawson's integral, exp(−x²) ∫₀ˣ exp(t²) dt.

    Derivatives by the recurrence D⁽ⁿ⁺¹⁾ = −2x·D⁽ⁿ⁾ − 2n·D⁽ⁿ⁻¹⁾ around 0, then by Rybicki's sum (1/√π) Σ exp(−(x − kh)²) / k
    over odd k, term by term, and beyond |x| = 7 by the asymptotic series; 1 − 2x·D(x) would cancel there.
    G. B. Rybicki, Computers in Physics 3(2), 1989, doi:10.1063/1.4822832.
    """

    name = "dawsn"
    aliases = ("dawson",)
    latex = "D({x})"
    derivative = {"x": "1 - 2 x D(x)"}
    weight = 300.0
    examples = (
        Example(([0.5, -1.5, 3.0, 0.0],)),
        Example(([6.9, 7.1, -20.0, 1e6, 1e-200],), note="the tail, where x·D(x) cancels"),
        Example(([INF, -INF],), smooth=False, note="the limits"),
    )

    def values(self, x: Array, order: int, **static: Any) -> Array:
        """By SciPy, the sum, or the series."""
        return dawson_derivative(x, order)


for _op in (Erfcx(), Dawson()):
    registry.add(_op)
