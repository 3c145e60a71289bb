"""Elementwise functions of complex numbers x + iy whose imaginary part is a step, so small that y² is nothing beside x.

Of the results only imaginary parts count (`complex_rules.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import numpy as np
import scipy.special

from engine.aval import Array

Complex: TypeAlias = Any
"""An array or number, complex or real."""

NOTHING = complex(np.nan, np.nan)


def imaginary(z: Complex) -> Array:
    """The imaginary part, 0 of real numbers."""
    a = np.asarray(z)
    return a.imag if a.dtype.kind == "c" else np.zeros(a.shape)


def joined(real: Any, imag: Any) -> Array:
    """x + iy, part by part: i·∞ would be NaN in both."""
    re, im = np.broadcast_arrays(np.asarray(real, np.float64), np.asarray(imag, np.float64))
    z = np.empty(re.shape, np.complex128)
    z.real, z.imag = re, im
    return z


def strong(x: Any, y: Any) -> Array:
    """x·y, 0 where y is, whatever x is."""
    found: Array = np.where(np.asarray(y) == 0, 0.0, np.asarray(x) * y)
    return found


# ------------------------------------------------------------------------------------------------------------- arithmetic


def product(params: Mapping[str, Any], a: Complex, b: Complex) -> Complex:
    return joined(0.0, strong(np.real(a), imaginary(b)) + strong(np.real(b), imaginary(a)))


def quotient(params: Mapping[str, Any], a: Complex, b: Complex) -> Complex:
    ratio = np.real(a) / np.real(b)
    return joined(0.0, strong(1 / np.real(b), imaginary(a)) - strong(ratio / np.real(b), imaginary(b)))


def power(a: Complex, b: Complex) -> Complex:
    """exp(b·log a); of a negative number to an integral power by that of −a."""
    base, exponent = np.real(a), np.real(b)
    odd = np.where(exponent % 2 == 1, -1.0, 1.0)
    flipped = (base < 0) & (imaginary(b) == 0) & (exponent == np.rint(exponent))
    size = np.where(flipped, -np.asarray(a), a)
    found = np.exp(b * np.log(size)) * np.where(flipped, odd, 1.0)
    # log 0 is no number, but a power of it may be: x to the power 1 is the only one with a derivative there.
    at_zero = joined(0.0, np.where(exponent == 1, imaginary(a), np.where(exponent < 1, np.inf, 0.0)))
    still = (imaginary(a) == 0) | (exponent == 0)
    at_zero = np.where(still, 0.0, at_zero)
    # A real power of a negative number has no neighbours that are real.
    found = np.where((base < 0) & ~flipped, NOTHING, found)
    return np.where(base == 0, at_zero, found)


def size(z: Complex) -> Complex:
    """|x|: ±z by the sign of x; at 0 the constant 0."""
    x = np.real(z)
    return np.where(x > 0, z, np.where(x < 0, -np.asarray(z), 0 * np.asarray(z)))


def chosen(first: Callable[[Complex, Complex], Complex]) -> Callable[[Complex, Complex], Complex]:
    """One of two by their real parts; of equal ones the mean."""

    def choose(a: Complex, b: Complex) -> Complex:
        x, y = np.real(a), np.real(b)
        one, other = first(x, y), first(y, x)
        return np.where(one & other, 0.5 * a + 0.5 * b, np.where(one, a, b))

    return choose


def hypot(a: Complex, b: Complex) -> Complex:
    unit = np.maximum(np.abs(np.real(a)), np.abs(np.real(b)))
    unit = np.where((unit > 0) & np.isfinite(unit), unit, 1.0)
    total = (a / unit) ** 2 + (b / unit) ** 2
    return np.where(np.real(total) == 0, 0, unit * np.sqrt(total + 0j))


def atan2(a: Complex, b: Complex) -> Complex:
    """The inverse tangent of the quotient that is at most 1; the quadrant is a constant."""
    steep = np.abs(np.real(a)) > np.abs(np.real(b))
    return np.where(steep, -np.arctan(b / (a + 0j)), np.arctan(a / (b + 0j)))


def clip(x: Complex, low: Complex, high: Complex) -> Complex:
    inner = np.where(np.real(x) > np.real(low), x, low)
    return np.where(np.real(inner) < np.real(high), inner, high)


def remainder(floor: Callable[[Any], Any]) -> Callable[[Complex, Complex], Complex]:
    return lambda a, b: a - b * floor(np.real(a) / np.real(b))


def cbrt(z: Complex) -> Complex:
    return np.sign(np.real(z)) * np.exp(np.log(size(z)) / 3)


# ------------------------------------------------------------------------------------------------------------ exponentials


def sigmoid(z: Complex) -> Complex:
    e = np.exp(-size(z))
    at_zero = 1 / (1 + np.exp(-np.asarray(z)))
    x = np.real(z)
    return np.where(x == 0, at_zero, np.where(x > 0, 1 / (1 + e), e / (1 + e)))


def log_sigmoid(z: Complex) -> Complex:
    z = np.asarray(z)
    return np.where(np.real(z) > 0, -np.log1p(np.exp(-z)), z - np.log1p(np.exp(z)))


def sech_squared(z: Complex) -> Complex:
    e = np.exp(-2 * np.where(np.real(z) < 0, -np.asarray(z), z))
    return 4 * e / (1 + e) ** 2


def log_cosh(z: Complex) -> Complex:
    size = np.where(np.real(z) < 0, -np.asarray(z), z)
    return size + np.log1p(np.exp(-2 * size))


def logaddexp(a: Complex, b: Complex) -> Complex:
    first = np.real(a) >= np.real(b)
    return np.where(first, a, b) + np.log1p(np.exp(np.where(first, b - a, a - b)))


def _halves(z: Complex) -> tuple[Complex, Complex]:
    """z less whole half turns, and the sign that they make of a sine."""
    half = np.rint(np.real(z))
    return np.asarray(z) - half, np.where(half % 2 == 0, 1.0, -1.0)


def sinpi(z: Complex) -> Complex:
    rest, sign = _halves(z)
    return sign * np.sin(np.pi * rest)


def cospi(z: Complex) -> Complex:
    rest, sign = _halves(z)
    return sign * np.cos(np.pi * rest)


def degrees(z: Complex) -> Complex:
    """Radians, of an angle less whole turns."""
    return (np.asarray(z) - 360.0 * np.rint(np.real(z) / 360.0)) * (np.pi / 180)


def exprel(z: Complex) -> Complex:
    """(eᶻ − 1)/z; around 0 its series."""
    z = np.asarray(z)
    small = np.abs(np.real(z)) < 0.1
    near = np.where(small, z, 0)
    total = np.zeros_like(near)
    for k in range(16, 0, -1):
        total = (total + 1) * near / (k + 1)
    return np.where(small, 1 + total, np.expm1(z) / np.where(small, 1, z))


def xlog(log: Callable[[Any], Any]) -> Callable[[Complex, Complex], Complex]:
    return lambda a, b: np.where((np.real(a) == 0) & (imaginary(a) == 0), 0, a * log(b + 0j))


# ----------------------------------------------------------------------------------------------------- special functions


def gammaln(z: Complex) -> Complex:
    """log |Γ|, by the reflection formula left of ½ (DLMF 5.5.3): log Γ itself has a constant imaginary part there."""
    z = np.asarray(z, np.complex128)
    left = np.real(z) < 0.5
    sine = sinpi(np.where(left, z, 0.5))
    reflected = (
        np.log(np.pi)
        - np.log(sine * np.sign(np.real(sine)))
        - scipy.special.loggamma(np.where(left, 1 - z, 1))
    )
    return np.where(left, reflected, scipy.special.loggamma(np.where(left, 1, z)))


def gamma(z: Complex) -> Complex:
    """Γ by its logarithm: SciPy's own loses small imaginary parts."""
    return scipy.special.gammasgn(np.real(z)) * np.exp(gammaln(z))


def rgamma(z: Complex) -> Complex:
    """1/Γ."""
    return scipy.special.gammasgn(np.real(z)) * np.exp(-gammaln(z))


def log_ndtr(z: Complex) -> Complex:
    """By erfcx, which does not vanish, in the one tail, and by log1p in the other."""
    u = np.asarray(z) / np.sqrt(2)
    left = np.real(u) < 0
    low, high = np.where(left, u, -1), np.where(left, 0, u)
    near = np.log(scipy.special.erfcx(-low)) - low * low
    return np.where(left, near, np.log1p(-0.5 * scipy.special.erfc(high)))


def beta(a: Complex, b: Complex) -> Complex:
    sign = scipy.special.gammasgn(np.real(a)) * scipy.special.gammasgn(np.real(b))
    sign = sign * scipy.special.gammasgn(np.real(a) + np.real(b))
    return sign * np.exp(betaln(a, b))


def betaln(a: Complex, b: Complex) -> Complex:
    return gammaln(a) + gammaln(b) - gammaln(a + b)


def spherical_ratio(params: Mapping[str, Any], z: Complex) -> Complex:
    """z⁻ⁿ j_n(z), around 0 by its series."""
    n = params.get("order", 0)
    z = np.asarray(z)
    small = np.abs(np.real(z)) < 1.0 + n
    u = -0.5 * np.where(small, z, 0) ** 2
    term = np.full_like(u, 1.0 / np.prod(np.arange(2 * n + 1, 0, -2, dtype=np.float64)))
    series = term.copy()
    for k in range(1, 12 + 2 * n):
        term = term * u / (k * (2 * n + 2 * k + 1))
        series = series + term
    if n:  # a derivative of sinc; SciPy's functions lose small imaginary parts
        return np.where(small, series, NOTHING)
    big = np.where(small, 1.0, z)
    return np.where(small, series, np.sin(big) / big)
