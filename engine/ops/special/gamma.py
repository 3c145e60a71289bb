"""The gamma function and its logarithmic derivatives: gamma, gammaln, rgamma, digamma, polygamma, factorial. DLMF 5."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import scipy.special

from engine.attrs import COUNT, SIZE
from engine.aval import Array, Aval, Avals
from engine.builder import Builder, Var, call
from engine.errors import InvalidAttribute, LimitExceeded
from engine.op import Attr, Example, Op, Operand, Parameter, registry
from engine.ops.pointwise.elementwise import Elementwise
from engine.ops.special.tower import Tower, in_double

INF = float("inf")
MAX_ORDER = 170
"""n! is not a double beyond."""
MAX_DIMENSION = 256


def _row(name: str, fn: Any, *partials: str, **more: Any) -> Op:
    return registry.add(
        Elementwise(name, in_double(fn), partials, family="special", floating=True, weight=40, **more)
    )


_POLES = "At the poles 0, −1, −2, … the derivative is NaN, but for the infinite limit at 0."
gamma = _row(
    "gamma",
    scipy.special.gamma,
    "y * digamma(a)",
    doc="Gamma function Γ(x), the factorial of x − 1. DLMF 5.2.1.",
    latex="\\Gamma({x})",
    domain=((0.3, 3.0),),
    derivative={"x": "\\Gamma(x)\\,\\psi(x)"},
    convention=_POLES,
    examples=(
        Example(([0.5, 4.0, 1e-5, 100.0],)),
        Example(([-0.5, -3.25, -20.5],), note="between the poles"),
        Example(([0.0, -1.0, 200.0, INF],), smooth=False, note="poles, and overflow"),
    ),
)
gammaln = _row(
    "gammaln",
    scipy.special.gammaln,
    "digamma(a)",
    scalar="lgamma(a)",
    doc="Logarithm of the gamma function's absolute value, log |Γ(x)|, without overflow.",
    latex="\\log \\Gamma({x})",
    aliases=("lgamma", "loggamma"),
    domain=((0.3, 3.0),),
    derivative={"x": "\\psi(x)"},
    convention=_POLES,
    examples=(
        Example(([0.5, 4.0, 1e-5, 1e10],)),
        Example(([-0.5, -3.25],), note="between the poles"),
        Example(([0.0, -1.0, INF],), smooth=False, note="poles"),
    ),
)
rgamma = _row(
    "rgamma",
    scipy.special.rgamma,
    # An entire function: left of ½ by reflection, where its zeros are those of the sine.
    "where(a > 0.5, -digamma(a) * y,"
    " gamma(1 - a) * (cospi(a) - 0.3183098861837907 * sinpi(a) * digamma(1 - a)))",
    doc="Reciprocal of the gamma function, 1/Γ(x), with zeros and all derivatives at 0, −1, −2, …",
    latex="\\frac{{1}}{{\\Gamma({x})}}",
    domain=((-2.0, 3.0),),
    derivative={"x": "-\\frac{\\psi(x)}{\\Gamma(x)}"},
    examples=(
        Example(([0.5, 4.0, 0.75, -3.25],)),
        Example(([0.0, -1.0, -5.0],), note="the zeros"),
        Example(([200.0],), smooth=False, note="underflow"),
    ),
)
gammasgn = _row(
    "gammasgn",
    scipy.special.gammasgn,
    "0",
    doc="Sign of the gamma function.",
    latex="\\operatorname{{sign}} \\Gamma({x})",
    domain=((0.3, 3.0),),
    convention="The derivative is 0 everywhere, at the poles too.",
    examples=(Example(([0.5, -0.5, -1.5],)), Example(([0.0, -1.0],), smooth=False)),
)


def cotangent_derivatives(order: int) -> list[float]:
    """Coefficients of p_n, lowest first, with dⁿ/dxⁿ cot(πx) = πⁿ·p_n(cot πx): p₀ = c, p_{k+1} = −(1 + c²)·p_k'."""
    p = [0.0, 1.0]
    for _ in range(order):
        slope = [k * c for k, c in enumerate(p)][1:]
        p = [-a - b for a, b in zip([*slope, 0.0, 0.0], [0.0, 0.0, *slope], strict=True)]
    return p


def polygamma_values(n: int, x: Array) -> Array:
    """ψ⁽ⁿ⁾(x): (−1)ⁿ⁺¹ n! ζ(n + 1, x) for x > 0, by reflection for x < 0 (DLMF 5.15.1, 5.15.6)."""
    if n == 0:
        return np.asarray(scipy.special.digamma(x))
    right = np.where(x > 0, x, 1.0 - x)
    sign = (-1.0) ** (n + 1)
    zeta = np.asarray(scipy.special.zeta(n + 1.0, right))
    value = sign * math.factorial(n) * zeta
    if n > 20:  # the product may be a double where ζ underflows: n!/xⁿ⁺¹ is taken out of it as a whole
        rest = 1.0 + np.asarray(scipy.special.zeta(n + 1.0, right + 1.0)) * right ** (n + 1.0)
        apart = np.exp(scipy.special.gammaln(n + 1.0) - (n + 1.0) * np.log(right))
        value = np.where(zeta < 1e-290, sign * apart * np.where(right > 1e9, 1.0 + right / n, rest), value)
    if not (x <= 0).any():
        return value
    cot = scipy.special.cotdg(180.0 * np.remainder(np.where(x > 0, 0.5, x), 1.0))
    bend = np.polynomial.polynomial.polyval(cot, cotangent_derivatives(n)) * math.pi ** (n + 1)
    left = (-1.0) ** n * value - bend
    at_pole = (x == np.floor(x)) & np.isfinite(x)
    return np.where(x > 0, value, np.where(at_pole, sign * INF, left))


class Polygamma(Tower):
    """Polygamma function ψ⁽ⁿ⁾(x), the n-th derivative of digamma, for an integer n from 0 to 128. DLMF 5.15."""

    name = "polygamma"
    parameters: tuple[Parameter, ...] = (Attr("n", COUNT), Operand("x", ("input",)))
    base = 0
    latex = "\\psi^{{({n})}}({x})"
    derivative = {"x": "\\psi^{(n+1)}(x)"}
    domain = ((0.3, 3.0),)
    convention = "At the poles 0, −1, −2, … the infinite limit from the right, in every derivative."
    examples: tuple[Example, ...] = (
        Example(([0.5, 4.0, 1e-3, 1e6],), {"n": 1}),
        Example(([0.5, -0.25, -3.75, 30.0],), {"n": 2}),
        Example(([1.5, -0.3],), {"n": 0}),
        Example(([1.5, 40.0],), {"n": 12}),
        Example(([0.0, -1.0],), {"n": 1}, smooth=False, note="poles"),
    )

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var:
        """One node of order n."""
        n = attrs.get("n", 0)
        if n > 128:
            raise InvalidAttribute(f"{self.name}: n must be at most 128, for n! must be a number; it is {n}.")
        result: Var = b.write(self, operands[-1], order=n)
        return result

    def infer(self, *avals: Aval, **params: Any) -> Avals:
        """The operand's aval."""
        if self.base + params.get("order", 0) > MAX_ORDER:
            raise LimitExceeded(
                "order",
                MAX_ORDER,
                self.base + params["order"],
                f"{self.name}: its derivatives are offered up to ψ⁽¹⁷⁰⁾, since 171! is no double.",
            )
        return avals[0]

    def values(self, x: Array, order: int, **static: Any) -> Array:
        """ψ of the order."""
        return polygamma_values(order + self.base, x)


class Digamma(Polygamma):
    """Digamma function ψ(x), the derivative of log Γ(x). DLMF 5.2.2."""

    name = "digamma"
    aliases = ("psi",)
    parameters = (Operand("x", ("input",)),)
    latex = "\\psi({x})"
    derivative = {"x": "\\psi'(x)"}
    convention = (
        "At the pole 0 the value is −infinity, at −1, −2, … NaN; derivatives are the limits from the right."
    )
    examples = (
        Example(([0.5, 4.0, 1e-3, 1e10, 1.4616321449683623],), note="the root among them"),
        Example(([-0.5, -3.25],), note="between the poles"),
        Example(([0.0, -1.0],), smooth=False, note="poles"),
    )


class Trigamma(Polygamma):
    """Trigamma function ψ'(x), the second derivative of log Γ(x). DLMF 5.15."""

    name = "trigamma"
    parameters = (Operand("x", ("input",)),)
    base = 1
    latex = "\\psi'({x})"
    derivative = {"x": "\\psi''(x)"}
    examples = (Example(([0.5, 4.0, -0.25],)), Example(([0.0, -1.0],), smooth=False, note="poles"))


class Factorial(Op):
    """Factorial, Γ(x + 1), of any number x ≥ 0; 0 for negative numbers, as in SciPy."""

    name = "factorial"
    family = "special"
    parameters = (Operand("x", ("n",)),)
    composite = True
    elementwise = True
    floating = True
    latex = "{x}!"
    derivative = {"x": "\\Gamma(x+1)\\,\\psi(x+1)"}
    domain = ((0.3, 3.0),)
    convention = "Left of 0, and from the left at 0, the value is 0, and so is the derivative."
    examples = (Example(([5.0, 0.5, 20.0],)), Example(([0.0, -1.0, -0.5, 171.0],), smooth=False))

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var:
        """By gamma."""
        (x,) = operands
        return call(b, "where", x < 0.0, 0.0, call(b, "gamma", x + 1.0))


class MultiGammaLn(Op):
    """Logarithm of the multivariate gamma function of dimension d, for a > (d − 1)/2.

    d(d − 1)/4·log π + Σ log Γ(a − j/2) over j = 0 … d − 1.
    """

    name = "multigammaln"
    aliases = ("mvlgamma",)
    family = "special"
    parameters = (Operand("a", ("x", "input")), Attr("d", SIZE, aliases=("p",)))
    composite = True
    elementwise = True
    floating = True
    latex = "\\log \\Gamma_{{{d}}}({a})"
    derivative = {"a": "\\textstyle\\sum_j \\psi(a - j/2)"}
    domain = ((1.5, 4.0),)
    convention = "For a ≤ (d − 1)/2, where the function has no value, it is NaN."
    examples = (
        Example(([2.5, 3.75, 100.0],), {"d": 3}),
        Example(([0.5, 2.0],), {"d": 1}),
        Example(([0.5, 2.0],), {"d": 4}, smooth=False, note="too small"),
    )

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var:
        """The sum over one more axis."""
        (a,), d = operands, attrs["d"]
        if not 1 <= d <= MAX_DIMENSION:
            raise InvalidAttribute(f"multigammaln: d must be between 1 and {MAX_DIMENSION}; it is {d}.")
        steps = call(b, "expand_dims", a, axis=-1) - b.var(np.arange(d) * 0.5)
        total = call(b, "gammaln", steps).sum(-1) + d * (d - 1) / 4.0 * math.log(math.pi)
        return call(b, "where", a > (d - 1) / 2.0, total, float("nan"))


for _op in (Digamma(), Trigamma(), Polygamma(), Factorial(), MultiGammaLn()):
    registry.add(_op)
