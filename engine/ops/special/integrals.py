"""Functions defined by integrals or by equations: exponential, sine and elliptic integrals, dilogarithm, Lambert's W."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import scipy.special

from engine.attrs import COUNT, INT
from engine.aval import Array, Aval, Avals
from engine.builder import Builder, Var
from engine.errors import InvalidAttribute
from engine.op import Attr, Example, General, Op, Operand, registry
from engine.ops.pointwise.elementwise import Elementwise
from engine.ops.special.tower import Tower, in_double
from engine.transforms.strong import times

INF = float("inf")


def _row(name: str, fn: Any, *partials: str, **more: Any) -> Op:
    return registry.add(
        Elementwise(name, in_double(fn), partials, family="special", floating=True, weight=60, **more)
    )


_POLE = (
    "At 0 value and derivative are infinite; left of it, where there is no value, it is that of the formula."
)
exp1 = _row(
    "exp1",
    scipy.special.exp1,
    "-exp(-a) / a",
    doc="Exponential integral E₁(x), ∫ₓ^∞ e^(−t) / t dt. DLMF 6.2.1.",
    latex="E_1({x})",
    domain=((0.2, 3.0),),
    derivative={"x": "-\\frac{e^{-x}}{x}"},
    convention=_POLE,
    examples=(Example(([0.5, 3.0, 1e-10, 300.0],)), Example(([0.0, INF, -1.0],), smooth=False)),
)
expi = _row(
    "expi",
    scipy.special.expi,
    "exp(a) / a",
    doc="Exponential integral Ei(x), the principal value of ∫ e^t / t dt from −∞ to x. DLMF 6.2.5.",
    latex="\\operatorname{{Ei}}({x})",
    domain=((0.2, 3.0),),
    derivative={"x": "\\frac{e^x}{x}"},
    convention="At 0 value and derivative are infinite.",
    examples=(Example(([0.5, 3.0, -2.0, -300.0, 1e-10],)), Example(([0.0, INF, -INF],), smooth=False)),
)
spence = _row(
    "spence",
    scipy.special.spence,
    "log_quotient(a)",
    doc="Spence's function, the dilogarithm Li₂(1 − x): ∫₁ˣ log t / (1 − t) dt. DLMF 25.12.2.",
    latex="\\operatorname{{Li}}_2(1 - {x})",
    domain=((0.2, 3.0),),
    derivative={"x": "\\frac{\\log x}{1 - x}"},
    convention="At 0 the derivative is infinite; left of it both are NaN.",
    examples=(
        Example(([0.5, 2.0, 1e-5, 1e10],)),
        Example(([1.0, 1.0000001, 0.99999],), note="around 1, where the derivative is 0/0"),
        Example(([0.0, -1.0],), smooth=False),
    ),
)


def log_quotient_derivative(x: Array, order: int) -> Array:
    """Minus h and its derivatives."""
    u = x - 1.0
    near = np.abs(u) < 0.3
    small = np.where(near, u, 0.0)
    series = np.zeros_like(x)
    for k in range(order + 40, order - 1, -1):
        series = series * small + (-1.0) ** k * math.perm(k, order) / (k + 1)
    far = np.log(x) / u
    for n in range(1, order + 1):
        far = ((-1.0) ** (n - 1) * math.factorial(n - 1) / x**n - n * far) / u
    return -np.where(near, series, far)


class LogQuotient(Tower):
    """log x / (1 − x), and −1 at 1, with all derivatives: a power series around 1, else a recurrence.

    With u = x − 1 it is −h, h = log(1 + u) / u, and u·h⁽ⁿ⁾ + n·h⁽ⁿ⁻¹⁾ = dⁿ log(1 + u)/duⁿ.
    """

    name = "log_quotient"
    family = "core"
    internal = True

    def values(self, x: Array, order: int, **static: Any) -> Array:
        """Minus h and its derivatives."""
        return log_quotient_derivative(x, order)


def exprel_derivative(x: Array, order: int) -> Array:
    """By SciPy, quadrature or the recurrence."""
    value = np.asarray(scipy.special.exprel(x))
    if order == 0:
        return value
    small = np.clip(x, -20.0, 20.0)
    nodes, weights = np.polynomial.legendre.leggauss(40)
    total = np.zeros_like(x)
    for node, weight in zip((nodes + 1) / 2, weights / 2, strict=True):
        total = total + weight * node**order * np.exp(small * node)
    for n in range(1, order + 1):
        # Where y overflows, so do its derivatives, which are larger than y / (n + 1).
        value = np.where(np.isposinf(value), value, (np.exp(x) - n * value) / x)
    return np.where(np.abs(x) <= 20.0, total, value)


class Exprel(Tower):
    """(eˣ − 1) / x, and 1 at 0, with every derivative right there.

    The n-th derivative is ∫₀¹ tⁿ e^(xt) dt, by Gauss's quadrature for |x| ≤ 20, else by x·y⁽ⁿ⁾ = eˣ − n·y⁽ⁿ⁻¹⁾.
    """

    name = "exprel"
    latex = "\\frac{{e^{{{x}}} - 1}}{{{x}}}"
    derivative = {"x": "\\frac{e^x (x - 1) + 1}{x^2}"}
    examples = (
        Example(([0.5, -1.5, 3.0, 1e-9],)),
        Example(([0.0, -0.0],), note="0/0"),
        Example(([-50.0, -1e5, 100.0, 19.0, -21.0],), note="the tails"),
        Example(([1000.0, INF, -INF],), smooth=False, note="overflow"),
    )

    def values(self, x: Array, order: int, **static: Any) -> Array:
        """By SciPy, quadrature or the recurrence."""
        return exprel_derivative(x, order)


class Expn(Op):
    """Generalised exponential integral E_n(x), ∫₁^∞ e^(−xt) t⁻ⁿ dt, for an integer n from 0 to 1000. DLMF 8.19.3."""

    name = "expn"
    family = "special"
    parameters = (Attr("n", COUNT), Operand("x"))
    elementwise = True
    floating = True
    rules = (General(),)
    latex = "E_{{{n}}}({x})"
    derivative = {"x": "-E_{n-1}(x)"}
    domain = ((0.2, 3.0),)
    convention = "At 0 the limits from the right; where there is no value, NaN."
    examples = (
        Example(([0.5, 3.0, 1e-3],), {"n": 2}),
        Example(([0.5, 3.0, 30.0],), {"n": 0}),
        Example(([0.5, 3.0],), {"n": 7}),
        Example(([0.0, -1.0],), {"n": 1}, smooth=False),
    )

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var:
        """One node."""
        if attrs["n"] > 1000:
            raise InvalidAttribute(f"expn: n must be at most 1000; it is {attrs['n']}.")
        result: Var = b.write(self, operands[0], n=attrs["n"])
        return result

    def infer(self, *avals: Aval, **params: Any) -> Avals:
        """The operand's aval."""
        return avals[0]

    def evaluate(self, *arrays: Any, **params: Any) -> Any:
        """SciPy's; E₀ is e^(−x) / x."""
        n = params["n"]
        return in_double(lambda x: scipy.special.expn(n, x))(*arrays)

    def jvp(self, y: Any, xs: Sequence[Var], dxs: Sequence[Var | None], **params: Any) -> Any:
        """−E_{n−1}(x)·ẋ, and −e^(−x)·(1 + x)/x²·ẋ for n = 0."""
        (x,), (dx,), n = xs, dxs, params["n"]
        assert dx is not None
        if n:
            return times(dx, -x.b.write(self, x, n=n - 1))
        return times(dx, -(y + y / x))

    def flops(self, operands: Sequence[Aval], result: Avals, **params: Any) -> float:
        """A continued fraction or a series."""
        return 200.0 * operands[0].size


class _Row(Elementwise):
    """A row that users cannot name."""

    internal = True


registry.add(
    _Row(
        "sine_integral", in_double(lambda x: scipy.special.sici(x)[0]), ("spherical_ratio(a)",),
        doc="Si(x).", latex="", family="core", floating=True, weight=60,
    )
)  # fmt: skip
registry.add(
    _Row(
        "cosine_integral", in_double(lambda x: scipy.special.sici(x)[1]), ("cos(a) / a",),
        doc="Ci(x).", latex="", family="core", floating=True, weight=60,
        convention="At 0 it is −infinity, with infinite derivative.",
    )
)  # fmt: skip


class Sici(Op):
    """Sine and cosine integral: Si(x) = ∫₀ˣ sin t / t dt and Ci(x) = γ + log x + ∫₀ˣ (cos t − 1) / t dt. DLMF 6.2.

    Two results; Ci is NaN for negative numbers.
    """

    name = "sici"
    family = "special"
    parameters = (Operand("x"),)
    results = ("si", "ci")
    composite = True
    floating = True
    latex = "\\operatorname{{Si}}({x}), \\operatorname{{Ci}}({x})"
    examples = (Example(([0.5, 3.0, 50.0, 1e-8],)), Example(([0.0, INF],), smooth=False))

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> tuple[Var, ...]:
        """One node for each."""
        (x,) = operands
        return b.write("sine_integral", x), b.write("cosine_integral", x)


class LambertW(Op):
    """Lambert's W, the real solution y of y·e^y = x: the branch k = 0 with y ≥ −1, or k = −1 with y ≤ −1. DLMF 4.13.

    NaN where there is no real solution: for x < −1/e, and for k = −1 for x ≥ 0.
    """

    name = "lambertw"
    family = "special"
    parameters = (Operand("z", ("x",)), Attr("k", INT, 0))
    composite = True
    elementwise = True
    floating = True
    latex = "W({z})"
    derivative = {"z": "\\frac{e^{-W}}{1 + W}"}
    domain = ((-0.3, 3.0),)
    convention = "At the branch point −1/e, if it is met, the derivative is infinite."
    examples = (
        Example(([0.5, 3.0, -0.25, 1e100],)),
        Example(([0.0, 1e-20],), note="at 0"),
        Example(([-0.25, -0.1, -1e-10],), {"k": -1}, note="the lower branch"),
        Example(([-0.5, INF],), smooth=False, note="no real solution"),
        Example(([0.0, 1.0],), {"k": -1}, smooth=False),
    )

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var:
        """One node for each branch."""
        k = attrs["k"]
        if k not in (0, -1):
            raise InvalidAttribute(f"lambertw: only the branches k = 0 and k = -1 are real; k is {k}.")
        result: Var = b.write("lambertw_lower" if k else "lambertw_principal", operands[0])
        return result


def _lambertw(k: int) -> Any:
    def value(x: Any) -> Any:
        w = scipy.special.lambertw(x, k)
        return np.where((w.imag == 0) & ((k == 0) | (x < 0)), w.real, np.nan)

    return in_double(value)


for _name, _k in (("lambertw_principal", 0), ("lambertw_lower", -1)):
    registry.add(
        _Row(
            _name, _lambertw(_k), ("exp(-y) / (1 + y)",), doc=f"Branch {_k} of Lambert's W.", latex="",
            family="core", floating=True, weight=100, convention=LambertW.convention,
        )
    )  # fmt: skip


def elliptic_derivative(x: Array, order: int, power: float) -> Array:
    """By SciPy, the integral or the equation."""
    k, e = np.asarray(scipy.special.ellipk(x)), np.asarray(scipy.special.ellipe(x))
    if order == 0:
        return k if power < 0 else e
    small = np.clip(x, -0.5, 0.5)
    n, total = 48, np.zeros_like(x)
    for i in range(n):
        s = math.sin(math.pi * (i + 0.5) / (2 * n)) ** 2
        total = total + s**order * (1.0 - small * s) ** (power - order)
    rising = math.prod(i - power for i in range(order))
    total = total * rising * math.pi / (2 * n)
    # y'' and so on from m(1 − m)·y⁽ⁿ⁺²⁾ + ((n + c)(1 − 2m) + …)·y⁽ⁿ⁺¹⁾ + …·y⁽ⁿ⁾ = 0, differentiated n times.
    m1 = 1.0 - x
    if power < 0:
        before, now = k, np.where(m1 == 0, INF, (e / m1 - k) / (2.0 * x))
        for j in range(order - 1):
            before, now = now, ((j + 0.5) ** 2 * before - (j + 1) * (m1 - x) * now) / (x * m1)
    else:
        before, now = e, (e - k) / (2.0 * x)
        for j in range(order - 1):
            before, now = now, ((j * j - 0.25) * before - (m1 + j * (m1 - x)) * now) / (x * m1)
    return np.where(np.abs(x) < 0.5, total, now)


class Elliptic(Tower):
    """Complete elliptic integrals of the parameter m ≤ 1: ∫₀^(π/2) (1 − m sin²θ)^p dθ, p = ∓½. DLMF 19.2.8.

    Derivatives for |m| < ½ by the trapezoidal rule, which converges exponentially here; else from the differential equation,
    which has a singular point at 0.
    """

    power = -0.5
    domain = ((-1.0, 0.9),)
    weight = 300.0

    def values(self, x: Array, order: int, **static: Any) -> Array:
        """By SciPy, the integral or the equation."""
        return elliptic_derivative(x, order, self.power)


class EllipK(Elliptic):
    """Complete elliptic integral of the first kind, K(m), of the parameter m = k² ≤ 1. DLMF 19.2.8."""

    name = "ellipk"
    parameters = (Operand("m", ("x",)),)
    latex = "K({m})"
    derivative = {"m": "\\frac{E(m) - (1 - m) K(m)}{2 m (1 - m)}"}
    convention = "At m = 1 value and derivative are infinite; beyond, NaN."
    examples = (
        Example(([0.3, -0.25, 0.0, 1e-10],)),
        Example(([0.999, -50.0, 0.7],)),
        Example(([1.0, 2.0],), smooth=False),
    )


class EllipE(Elliptic):
    """Complete elliptic integral of the second kind, E(m), of the parameter m = k² ≤ 1. DLMF 19.2.8."""

    name = "ellipe"
    power = 0.5
    parameters = (Operand("m", ("x",)),)
    latex = "E({m})"
    derivative = {"m": "\\frac{E(m) - K(m)}{2 m}"}
    convention = "At m = 1 the derivative is −infinity; beyond, NaN."
    examples = EllipK.examples


for _op in (LogQuotient(), Exprel(), Expn(), Sici(), LambertW(), EllipK(), EllipE()):
    registry.add(_op)
