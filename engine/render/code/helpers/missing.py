"""Functions of C's mathematics library that JavaScript has not."""

from __future__ import annotations

from math import fabs, floor, log
from math import pow as raw_pow

from engine.render.code.helpers.errors import erfcx_right, exp_minus_square
from engine.render.code.helpers.gammas import sine_of_pi
from engine.tape.prelude import lgamma as lgamma_right

INF = float("inf")


def copysign(a: float, b: float) -> float:
    """|a| with the sign of b."""
    return -fabs(a) if b < 0.0 or (b == 0.0 and 1.0 / b < 0.0) else fabs(a)


def pow(a: float, b: float) -> float:
    """a^b with the exceptions of C99: 1^b and (-1)^(+-infinity) are 1."""
    return 1.0 if a == 1.0 or (a == -1.0 and fabs(b) == INF) else raw_pow(a, b)


def erf_series(a: float) -> float:
    """erf(a) for |a| <= 3, a series whose terms have one sign. DLMF 7.6.2."""
    term = a
    total = a
    k = 1.0
    while k < 90.0:
        term *= 2.0 * a * a / (2.0 * k + 1.0)
        total += term
        if fabs(term) < 1e-17 * fabs(total):
            break
        k += 1.0
    return 1.1283791670955126 * exp_minus_square(a) * total


def erf(a: float) -> float:
    """The error function."""
    if a != a or fabs(a) < 1.5:
        return erf_series(a)
    y = 1.0 - erfc(fabs(a))
    return y if a > 0.0 else -y


def erfc(a: float) -> float:
    """The complementary error function."""
    if a < 1.0 or a != a:
        return 1.0 - erf(a)
    return 0.0 if a > 27.5 else exp_minus_square(a) * erfcx_right(0, a)


def lgamma(a: float) -> float:
    """log |Gamma(a)|, left of 0 by reflection. DLMF 5.5.3."""
    if a > 0.0:
        return lgamma_right(a)
    if a != a:
        return a
    if a == floor(a):
        return INF
    if a > -1e-300:
        return -log(-a)
    return 1.1447298858494002 - log(fabs(a * sine_of_pi(a))) - lgamma_right(-a)
