"""Bessel functions of a fixed real order: J, Y, I, K and the scaled I and K. DLMF 10.

Derivatives are sums over neighbouring orders (DLMF 10.6.7, 10.29.5), which have no quotients by x and so are right at 0:

    J⁽ⁿ⁾_v = 2⁻ⁿ Σ (−1)ᵏ C(n, k) J_{v−n+2k},   and the same for Y; without the signs for I; times (−1)ⁿ without them for K.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from scipy import special

from engine.attrs import NUMBER
from engine.aval import Array
from engine.builder import Builder, Var
from engine.errors import InvalidAttribute
from engine.op import Attr, Example, Operand, registry
from engine.ops.special.quadrature import HALF_LINE, integrate
from engine.ops.special.tower import Tower

INF = float("inf")
MAX_ORDER = 1000.0

Function = Callable[[float, Array], Any]


def bessel_j(v: float, x: Array) -> Any:
    """J, orders 0 and 1 by functions of their own, which are more accurate; so are those below."""
    if v == 0:
        return special.j0(x)
    return v * special.j1(x) if abs(v) == 1 else special.jv(v, x)


def bessel_y(v: float, x: Array) -> Any:
    """Y."""
    if v == 0:
        return special.y0(x)
    return v * special.y1(x) if abs(v) == 1 else special.yv(v, x)


def bessel_i(v: float, x: Array) -> Any:
    """I."""
    if v == 0:
        return special.i0(x)
    return special.i1(x) if abs(v) == 1 else special.iv(v, x)


def bessel_k(v: float, x: Array) -> Any:
    """K."""
    if v == 0:
        return special.k0(x)
    return special.k1(x) if abs(v) == 1 else special.kv(v, x)


def scaled_i(v: float, x: Array) -> Any:
    """e^(−|x|)·I."""
    if v == 0:
        return special.i0e(x)
    return special.i1e(x) if abs(v) == 1 else special.ive(v, x)


def scaled_k(v: float, x: Array) -> Any:
    """e^x·K."""
    if v == 0:
        return special.k0e(x)
    return special.k1e(x) if abs(v) == 1 else special.kve(v, x)


def neighbours(function: Function, v: float, x: Array, order: int, alternate: float, sign: float) -> Array:
    """Derivative as a sum over neighbouring orders, of which `alternate` is the sign between two, `sign` that of the first."""
    total = np.zeros_like(x)
    for k in range(order + 1):
        weight = alternate**k * math.comb(order, k)
        total = total + weight * function(v - order + 2 * k, x)
    return np.asarray(sign**order * total / 2.0**order)


def neighbours_from_zero(
    function: Function, v: float, x: Array, order: int, alternate: float, sign: float
) -> Array:
    """The same, of a function that is infinite at 0, with a sign that alternates from derivative to derivative."""
    total = neighbours(function, v, x, order, alternate, sign)
    return np.where(x == 0, function(v, x) * (-1.0) ** order, total) if v >= 0 else total


def _asymptotic(x: Array, v: float, order: int, sign: float) -> Array:
    """Derivative of x^(−1/2)·Σ signᵏ a_k(v) x⁻ᵏ (DLMF 10.40.1, 10.40.2)."""
    total = np.zeros_like(x)
    coefficient = 1.0
    for k in range(40):
        power = -0.5 - k
        falling = math.prod(power - i for i in range(order))
        term = coefficient * falling * x ** (power - order)
        total = total + np.where(np.abs(term) > 1e-17 * np.abs(total), term, 0.0)
        coefficient *= sign * (4.0 * v * v - (2 * k + 1) ** 2) / (8.0 * (k + 1))
    return total


def scaled_i_derivative(v: float, x: Array, order: int) -> Array:
    """For x > 0 by differences, and where they would cancel by the asymptotic series; even or odd with v."""
    size = np.abs(x)
    if order == 0:
        return np.asarray(scaled_i(v, x))
    total = np.zeros_like(x)
    for k in range(2 * order + 1):
        total = total + (-1.0) ** k * math.comb(2 * order, k) * scaled_i(v - order + k, size)
    total = total / 2.0**order
    start = max(40.0, v * v / 4)
    far = _asymptotic(np.maximum(size, start), v, order, -1.0) / math.sqrt(2 * math.pi)
    total = np.where(size > start, far, total)
    if v != math.floor(v):
        return np.where(x < 0, np.nan, total)
    odd = (v + order) % 2 == 1
    return np.where(x == 0, 0.0, np.where(x < 0, -total, total)) if odd else total


def scaled_k_derivative(v: float, x: Array, order: int) -> Array:
    """By the integral, around 0 and for large v by the difference over neighbouring orders."""
    v = abs(v)
    value = np.asarray(scaled_k(v, x))
    if order == 0:
        return value
    total = np.zeros_like(x)
    for k in range(2 * order + 1):
        total = total + (-1.0) ** k * math.comb(2 * order, k) * scaled_k(abs(v - order + k), x)
    total = (-0.5) ** order * total
    if v <= 100:
        flat = np.clip(x, 2.0, 1e300).reshape(-1)

        def f(t: Array, part: slice) -> Array:
            versine = 2.0 * np.sinh(0.5 * t) ** 2
            weight = np.exp(v * t - flat[part] * versine) + np.exp(-v * t - flat[part] * versine)
            return np.asarray(np.where(np.isfinite(weight), weight, 0.0) * versine**order * 0.5)

        scale = np.arcsinh(v / flat) + 1.0 / np.sqrt(flat)
        with np.errstate(all="ignore"):
            integral = integrate(lambda t, part: np.nan_to_num(f(t, part)), scale, HALF_LINE)
        total = np.where(x >= 2.0, (-1.0) ** order * integral.reshape(x.shape), total)
    return np.where(x == 0, value * (-1.0) ** order, np.where(np.isnan(value), value, total))


class Bessel(Tower):
    """What all Bessel functions have in common: the order v, an attribute unless the op has one of its own."""

    fixed: float | None = None
    function: Function
    alternate = 1.0
    """Sign between neighbouring orders in the derivative."""
    sign = 1.0
    """Sign of the first derivative as a whole."""
    at_zero = False
    """Whether it is infinite at 0, with a sign that alternates from derivative to derivative."""

    def __init__(
        self, name: str, fixed: float | None, doc: str, latex: str, examples: tuple[Example, ...],
        derivative: str, aliases: tuple[str, ...] = (),
    ) -> None:  # fmt: skip
        self.name = name
        self.fixed = fixed
        self.__doc__ = doc
        self.latex = latex
        self.examples = examples
        self.derivative: Mapping[str, str] = {"x": derivative}
        self.aliases = aliases
        x = Operand("x", ("z", "input"))
        order = Attr("v", NUMBER, aliases=("n", "nu"))
        self.parameters = (x,) if fixed is not None else (order, x)

    def order_of(self, static: Mapping[str, Any]) -> float:
        """The order v."""
        return float(static["v"] if self.fixed is None else self.fixed)

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var:
        """One node."""
        v = self.order_of(attrs)
        if not abs(v) <= MAX_ORDER:
            raise InvalidAttribute(
                f"{self.name}: the order v must be between -{MAX_ORDER:g} and {MAX_ORDER:g}; it is {v:g}."
            )
        result: Var = b.write(self, operands[-1], order=0, v=float(v))
        return result

    def values(self, x: Array, order: int, **static: Any) -> Array:
        """The sum over neighbouring orders."""
        summed = neighbours_from_zero if self.at_zero else neighbours
        return summed(type(self).function, self.order_of(static), x, order, self.alternate, self.sign)


class BesselJ(Bessel):
    """J."""

    function = staticmethod(bessel_j)
    alternate = -1.0


class BesselY(Bessel):
    """Y."""

    function = staticmethod(bessel_y)
    alternate = -1.0
    at_zero = True
    domain = ((0.3, 3.0),)
    convention = "At 0 the limits from the right, which are infinite; NaN for negative numbers."


class BesselI(Bessel):
    """I."""

    function = staticmethod(bessel_i)


class BesselK(Bessel):
    """K."""

    function = staticmethod(bessel_k)
    sign = -1.0
    at_zero = True
    domain = ((0.3, 3.0),)
    convention = BesselY.convention


class ScaledI(Bessel):
    """e^(−|x|)·I.

    The n-th derivative for x > 0 is a difference of order 2n over neighbouring orders, 2⁻ⁿ Σ (−1)ᵏ C(2n, k) f_{v−n+k},
    which cancels where x is large: there it is taken from the asymptotic series.
    """

    function = staticmethod(scaled_i)

    def values(self, x: Array, order: int, **static: Any) -> Array:
        """For x > 0; the function is even or odd with v."""
        return scaled_i_derivative(self.order_of(static), x, order)

    def kink(self, arrays: Any, y: Array, **params: Any) -> Array | None:
        """At 0, where the next derivative is odd and does not vanish: v ≤ n + 1 of different parity."""
        v, n = abs(self.order_of(params)), params.get("order", 0)
        if v != math.floor(v) or (v + n) % 2 == 1 or v > n + 1:
            return None
        return np.asarray(arrays[0] == 0)

    convention = "At 0, where |x| has a kink, a derivative with limits of different signs is 0, their mean."


class ScaledK(Bessel):
    """e^x·K, with derivatives (−1)ⁿ ∫₀^∞ (cosh t − 1)ⁿ e^(−x(cosh t − 1)) cosh(v t) dt (DLMF 10.32.9)."""

    function = staticmethod(scaled_k)
    at_zero = True
    domain = ((0.3, 3.0),)
    convention = BesselY.convention

    def values(self, x: Array, order: int, **static: Any) -> Array:
        """By the integral, around 0 and for large v by the difference over neighbouring orders."""
        return scaled_k_derivative(self.order_of(static), x, order)


_EVERYWHERE = (
    Example(([0.5, -1.5, 3.0, 10.0],)),
    Example(([0.0],), note="at 0"),
)
_RIGHT = (
    Example(([0.5, 1.5, 3.0, 10.0],)),
    Example(([0.0, -1.0],), smooth=False, note="at 0, and where there is no value"),
)
_FAR = Example(([50.0, 1000.0, 1e8],), note="far out, where the scaled functions' derivatives would cancel")


def _with(examples: tuple[Example, ...], *orders: float) -> tuple[Example, ...]:
    first, *rest = examples
    return (
        *(Example(first.operands, {"v": v}) for v in orders),
        *(Example(e.operands, {"v": orders[0]}, e.smooth, e.note) for e in rest),
        Example(([0.5, 4.0],), {"v": 0.5}, note="an order that is no integer"),
    )


def _family(
    kind: type[Bessel],
    letter: str,
    what: str,
    examples: tuple[Example, ...],
    slopes: tuple[str, str, str],
    *,
    long: str,
    scale: tuple[str, str] = ("", ""),
) -> None:
    """The functions of order 0, of order 1 and of any fixed order; `scale` is a factor as text and as LaTeX."""
    text, latex = scale
    end = "e" if text else ""
    for v, slope in zip((0.0, 1.0, None), slopes, strict=True):
        order = "v" if v is None else f"{v:.0f}"
        subscript = "{{{v}}}" if v is None else order
        aliases = (
            [long.format(order)] if v is not None else [] if end or letter == "I" else [f"{letter.lower()}n"]
        )
        registry.add(
            kind(
                f"{letter.lower()}{order}{end}",
                v,
                f"{what}, {text}{letter}_{order}(x){', for a fixed real order v' if v is None else ''}.",
                f"{latex}{letter}_{subscript}({{x}})",
                _with(examples, 2.0, 5.0) if v is None else examples,
                slope,
                tuple(aliases),
            )
        )


def _slopes(letter: str, sign: str, first: str) -> tuple[str, str, str]:
    """LaTeX of the derivatives of orders 0, 1 and v."""
    half = f"{'-' if letter == 'K' else ''}\\tfrac12"
    return (
        first,
        f"{half} ({letter}_0(x) {sign} {letter}_2(x))",
        f"{half} ({letter}_{{v-1}}(x) {sign} {letter}_{{v+1}}(x))",
    )


def _scaled_slopes(template: str) -> tuple[str, str, str]:
    return template.replace("v", "0"), template.replace("v", "1"), template


_MODIFIED, _SCALED = "Modified Bessel function", "Scaled modified Bessel function"
_KINKED = (_EVERYWHERE[0], _FAR, Example(([0.0],), smooth=False, note="the kink of |x|"))
_E_MINUS, _E_PLUS = ("e^(−|x|)·", "e^{{-|{x}|}} "), ("e^x·", "e^{{{x}}} ")
_I_SCALED = _scaled_slopes("e^{-|x|} (I_v'(x) - \\operatorname{sign}(x)\\, I_v(x))")
_K_SCALED = _scaled_slopes("e^x (K_v(x) + K_v'(x))")
_FIRST, _SECOND = "of the first kind", "of the second kind"

_family(
    BesselJ, "J", f"Bessel function {_FIRST}", _EVERYWHERE, _slopes("J", "-", "-J_1(x)"), long="bessel_j{}"
)
_family(BesselY, "Y", f"Bessel function {_SECOND}", _RIGHT, _slopes("Y", "-", "-Y_1(x)"), long="bessel_y{}")
_I_LONG, _K_LONG = "modified_bessel_i{}", "modified_bessel_k{}"
_family(BesselI, "I", f"{_MODIFIED} {_FIRST}", _EVERYWHERE, _slopes("I", "+", "I_1(x)"), long=_I_LONG)
_family(BesselK, "K", f"{_MODIFIED} {_SECOND}", _RIGHT, _slopes("K", "+", "-K_1(x)"), long=_K_LONG)
_family(ScaledI, "I", f"{_SCALED} {_FIRST}", _KINKED, _I_SCALED, long="bessel_i{}e", scale=_E_MINUS)
_K_POINTS = (*_RIGHT, _FAR)
_family(ScaledK, "K", f"{_SCALED} {_SECOND}", _K_POINTS, _K_SCALED, long=f"scaled_{_K_LONG}", scale=_E_PLUS)
