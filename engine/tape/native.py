"""The tape machine compiled by Numba, over flat arrays. To be imported by `cache.load` alone."""

# Written by `python -m engine.tape.generate`; not to be edited.
# mypy: ignore-errors
# The text is that of `plain.py`, whose types are checked; Numba has its own.

from __future__ import annotations

from collections.abc import Callable
from math import acos, acosh, asin, asinh, atan, atan2, atanh, copysign, cos, cosh, erf, erfc, exp, exp2, expm1, floor, gamma, hypot, lgamma, log, log10, log1p, log2, pow, sin, sinh, sqrt, tan, tanh
from typing import Any, TypeAlias

from numba import njit

Ints: TypeAlias = Any
Floats: TypeAlias = Any

helper = njit(error_model="numpy", nogil=True)


def kernel(signature: str) -> Callable[[Any], Any]:
    """Compiled for this signature alone, or read from the cache on disk."""
    compiled: Callable[[Any], Any] = njit(signature, error_model="numpy", nogil=True, cache=True)
    return compiled


VALUES = "boolean(uint8[::1], uint32[::1], float64[::1])"
LINEARIZE = "int64(uint8[::1], uint32[::1], float64[::1], float64[::1])"
REVERSE = "boolean(uint32[::1], uint32[::1], float64[::1], float64[::1])"
GRADIENT = "int64(uint8[::1], uint32[::1], float64[::1], uint32[::1], uint32[::1], float64[::1], float64[::1])"
MANY = (
    "boolean(uint32[::1], uint32[::1], float64[::1], float64[::1],"
    " uint32[::1], float64[::1], uint32[::1], float64[::1])"
)

INF = float("inf")


@helper
def sign(a: float) -> float:
    """−1, 0 or 1."""
    if a > 0.0:
        return 1.0
    if a < 0.0:
        return -1.0
    return 0.0


@helper
def floor_of(a: float) -> float:
    """Largest integer not above a, as a float; a zero keeps its sign."""
    if abs(a) >= 4503599627370496.0:
        return a
    return copysign(float(floor(a)), a)


@helper
def ceil_of(a: float) -> float:
    """Smallest integer not below a, as a float; a zero has the sign of a."""
    return -floor_of(-a)


@helper
def trunc_of(a: float) -> float:
    """a without its fraction."""
    return copysign(floor_of(abs(a)), a)


@helper
def round_of(a: float) -> float:
    """Nearest integer, halves to even: adding 2⁵² leaves a number no place for a fraction."""
    size = abs(a)
    if size >= 4503599627370496.0:
        return a
    return copysign((size + 4503599627370496.0) - 4503599627370496.0, a)


@helper
def fmod_of(a: float, b: float) -> float:
    """Remainder with the sign of the dividend, exactly."""
    return copysign(abs(a) % abs(b), a)


@helper
def remainder_of(a: float, b: float) -> float:
    """Remainder with the sign of the divisor."""
    r = fmod_of(a, b)
    if r == 0.0:
        return copysign(0.0, b)
    if (b < 0.0) != (r < 0.0):
        r += b
    return r


@helper
def floor_divide(a: float, b: float) -> float:
    """⌊a/b⌋ from the exact remainder, as NumPy and Python do it: the rounded quotient may be one too large."""
    r = fmod_of(a, b)
    q = (a - r) / b
    if r != 0.0 and (b < 0.0) != (r < 0.0):
        q -= 1.0
    if q == 0.0:
        return copysign(0.0, a / b)
    f = floor_of(q)
    if q - f > 0.5:
        f += 1.0
    return f


@helper
def maximum(a: float, b: float) -> float:
    """The larger."""
    if a >= b:
        return a
    return b


@helper
def minimum(a: float, b: float) -> float:
    """The smaller."""
    if a <= b:
        return a
    return b


@helper
def cbrt(a: float) -> float:
    """Cube root: by the power, and one step of Newton's method, which mends its last digit."""
    if a == 0.0:
        return a
    size = abs(a)
    y = pow(size, 0.3333333333333333)
    y -= (y - size / (y * y)) / 3.0
    return copysign(y, a)


@helper
def sigmoid(a: float) -> float:
    """1 / (1 + e⁻ᵃ), by an exponential that does not overflow."""
    e = exp(-abs(a))
    if a >= 0.0:
        return 1.0 / (1.0 + e)
    return e / (1.0 + e)


@helper
def softplus(a: float) -> float:
    """log(1 + eᵃ)."""
    e = log1p(exp(-abs(a)))
    if a > 0.0:
        return a + e
    return e


@helper
def logaddexp(a: float, b: float) -> float:
    """log(eᵃ + eᵇ)."""
    if a == b:
        return a + 0.6931471805599453
    d = a - b
    if d > 0.0:
        return a + log1p(exp(-d))
    return b + log1p(exp(d))


@helper
def tanhshrink(a: float) -> float:
    """a − tanh a; where the difference would cancel, by Lambert's continued fraction."""
    if abs(a) >= 1.0:
        return a - tanh(a)
    t = 0.0
    k = 23.0
    while k > 1.0:
        t = a * a / (k + t)
        k -= 2.0
    return a * t / (1.0 + t)


@helper
def log_cosh(a: float) -> float:
    """log cosh a."""
    size = abs(a)
    if size < 1.0:
        s = sinh(size / 2.0)
        return log1p(2.0 * (s * s))
    return size + log1p(exp(-2.0 * size)) - 0.6931471805599453


@helper
def sinpi(a: float) -> float:
    """sin(πa), with exact zeros."""
    half = round_of(a)
    r = a - half
    if r == 0.0:
        return 0.0 * a
    if fmod_of(half, 2.0) == 0.0:
        return sin(3.141592653589793 * r)
    return -sin(3.141592653589793 * r)


@helper
def cospi(a: float) -> float:
    """cos(πa), with exact zeros: by the sine of what is left to the nearest half."""
    half = floor_of(a)
    r = a - half - 0.5
    if r == 0.0:
        return 0.0
    if fmod_of(half, 2.0) == 0.0:
        return -sin(3.141592653589793 * r)
    return sin(3.141592653589793 * r)


@helper
def cosm1(a: float) -> float:
    """cos a − 1 = −2 sin²(a/2)."""
    s = sin(0.5 * a)
    return -2.0 * (s * s)


@helper
def ndtr(a: float) -> float:
    """Distribution function of the standard normal distribution."""
    x = a * 0.7071067811865476
    if abs(x) < 1.0:
        return 0.5 + 0.5 * erf(x)
    y = 0.5 * erfc(abs(x))
    if x > 0.0:
        return 1.0 - y
    return y


@helper
def digamma(a: float) -> float:
    """ψ(a) = Γ'(a)/Γ(a).

    Reflection (DLMF 5.5.4) left of 0; recurrence (5.5.2) into [1, 2], where a rational function times the distance from
    the root 1.4616… keeps all digits (the approximation of Boost.Math); the asymptotic series (5.11.2) from 10 on.
    """
    r = 0.0
    x = a
    if x <= -1.0:
        x = 1.0 - x
        t = x - floor_of(x)
        if t > 0.5:
            t -= 1.0
        # π cot πt, which is −π cot πa
        r = 3.141592653589793 * cos(3.141592653589793 * t) / sin(3.141592653589793 * t)
    if x >= 10.0:
        x -= 1.0
        z = 1.0 / (x * x)
        s = 0.083333333333333333333
        s = s * z - 0.021092796092796092796
        s = s * z + 0.0075757575757575757576
        s = s * z - 0.0041666666666666666667
        s = s * z + 0.003968253968253968254
        s = s * z - 0.0083333333333333333333
        s = s * z + 0.083333333333333333333
        return r + (log(x) + 1.0 / (2.0 * x) - z * s)
    while x > 2.0:
        x -= 1.0
        r += 1.0 / x
    while x < 1.0:
        r -= 1.0 / x
        x += 1.0
    g = x - 1569415565.0 / 1073741824.0
    g -= (381566830.0 / 1073741824.0) / 1073741824.0
    g -= 0.9016312093258695918615325266959189453125e-19
    z = x - 1.0
    top = -0.0020713321167745952
    top = top * z - 0.045251321448739056
    top = top * z - 0.28919126444774784
    top = top * z - 0.65031853770896507
    top = top * z - 0.32555031186804491
    top = top * z + 0.25479851061131551
    under = -0.55789841321675513e-6
    under = under * z + 0.0021284987017821144
    under = under * z + 0.054151797245674225
    under = under * z + 0.43593529692665969
    under = under * z + 1.4606242909763515
    under = under * z + 2.0767117023730469
    under = under * z + 1.0
    return r + (g * 0.99558162689208984375 + g * (top / under))


@kernel(VALUES)
def values(ops: Ints, args: Ints, v: Floats) -> bool:
    """The value of every entry, from those of the leaves, which v holds. Whether all are finite."""
    bad = 0.0
    for i in range(len(ops)):
        o = ops[i]
        if o == 0:
            y = v[i]
        elif o == 1:  # multiply
            a = v[args[3 * i]]
            b = v[args[3 * i + 1]]
            y = a * b
        elif o == 2:  # add
            a = v[args[3 * i]]
            b = v[args[3 * i + 1]]
            y = a + b
        elif o == 3:  # subtract
            a = v[args[3 * i]]
            b = v[args[3 * i + 1]]
            y = a - b
        elif o == 4:  # negative
            a = v[args[3 * i]]
            y = -a
        elif o == 5:  # divide
            a = v[args[3 * i]]
            b = v[args[3 * i + 1]]
            y = a / b
        elif o == 6:  # square
            a = v[args[3 * i]]
            y = a * a
        elif o == 7:  # pow_by
            a = v[args[3 * i]]
            b = v[args[3 * i + 1]]
            y = pow(a, b)
        elif o == 8:  # exp
            a = v[args[3 * i]]
            y = exp(a)
        elif o == 9:  # tanh
            a = v[args[3 * i]]
            y = tanh(a)
        elif o == 10:  # sin
            a = v[args[3 * i]]
            y = sin(a)
        elif o == 11:  # cos
            a = v[args[3 * i]]
            y = cos(a)
        elif o == 12:  # log
            a = v[args[3 * i]]
            y = log(a)
        elif o == 13:  # sigmoid
            a = v[args[3 * i]]
            y = sigmoid(a)
        elif o == 14:  # relu
            a = v[args[3 * i]]
            y = a if a > 0.0 else 0.0
        elif o == 15:  # sqrt
            a = v[args[3 * i]]
            y = sqrt(a)
        elif o == 16:  # reciprocal
            a = v[args[3 * i]]
            y = 1.0 / a
        elif o == 17:  # maximum
            a = v[args[3 * i]]
            b = v[args[3 * i + 1]]
            y = maximum(a, b)
        elif o == 18:  # where
            a = v[args[3 * i]]
            b = v[args[3 * i + 1]]
            c = v[args[3 * i + 2]]
            y = b if a != 0.0 else c
        elif o == 19:  # abs
            a = v[args[3 * i]]
            y = abs(a)
        elif o == 20:  # logaddexp
            a = v[args[3 * i]]
            b = v[args[3 * i + 1]]
            y = logaddexp(a, b)
        elif o == 21:  # softsign
            a = v[args[3 * i]]
            y = a / (1.0 + abs(a))
        elif o == 22:  # log1p
            a = v[args[3 * i]]
            y = log1p(a)
        elif o == 23:  # minimum
            a = v[args[3 * i]]
            b = v[args[3 * i + 1]]
            y = minimum(a, b)
        elif o == 24:  # acos
            a = v[args[3 * i]]
            y = acos(a)
        elif o == 25:  # acosh
            a = v[args[3 * i]]
            y = acosh(a)
        elif o == 26:  # asin
            a = v[args[3 * i]]
            y = asin(a)
        elif o == 27:  # asinh
            a = v[args[3 * i]]
            y = asinh(a)
        elif o == 28:  # atan
            a = v[args[3 * i]]
            y = atan(a)
        elif o == 29:  # atan2
            a = v[args[3 * i]]
            b = v[args[3 * i + 1]]
            y = atan2(a, b)
        elif o == 30:  # atanh
            a = v[args[3 * i]]
            y = atanh(a)
        elif o == 31:  # cast
            a = v[args[3 * i]]
            y = a
        elif o == 32:  # cbrt
            a = v[args[3 * i]]
            y = cbrt(a)
        elif o == 33:  # ceil
            a = v[args[3 * i]]
            y = ceil_of(a)
        elif o == 34:  # clip
            a = v[args[3 * i]]
            b = v[args[3 * i + 1]]
            c = v[args[3 * i + 2]]
            y = minimum(maximum(a, b), c)
        elif o == 35:  # copysign
            a = v[args[3 * i]]
            b = v[args[3 * i + 1]]
            y = copysign(a, b)
        elif o == 36:  # cosh
            a = v[args[3 * i]]
            y = cosh(a)
        elif o == 37:  # cosm1
            a = v[args[3 * i]]
            y = cosm1(a)
        elif o == 38:  # cospi
            a = v[args[3 * i]]
            y = cospi(a)
        elif o == 39:  # deg2rad
            a = v[args[3 * i]]
            y = a * 0.017453292519943295
        elif o == 40:  # elu
            a = v[args[3 * i]]
            b = v[args[3 * i + 1]]
            y = a if a > 0.0 else expm1(minimum(a, 0.0)) * b
        elif o == 41:  # entr
            a = v[args[3 * i]]
            y = 0.0 if a == 0.0 else -a * log(a)
        elif o == 42:  # equal
            a = v[args[3 * i]]
            b = v[args[3 * i + 1]]
            y = 1.0 if a == b else 0.0
        elif o == 43:  # erf
            a = v[args[3 * i]]
            y = erf(a)
        elif o == 44:  # erfc
            a = v[args[3 * i]]
            y = erfc(a)
        elif o == 45:  # exp2
            a = v[args[3 * i]]
            y = exp2(a)
        elif o == 46:  # expm1
            a = v[args[3 * i]]
            y = expm1(a)
        elif o == 47:  # floor
            a = v[args[3 * i]]
            y = floor_of(a)
        elif o == 48:  # floor_divide
            a = v[args[3 * i]]
            b = v[args[3 * i + 1]]
            y = floor_divide(a, b)
        elif o == 49:  # fmax
            a = v[args[3 * i]]
            b = v[args[3 * i + 1]]
            y = a if a >= b else b if b == b else a
        elif o == 50:  # fmin
            a = v[args[3 * i]]
            b = v[args[3 * i + 1]]
            y = a if a <= b else b if b == b else a
        elif o == 51:  # fmod
            a = v[args[3 * i]]
            b = v[args[3 * i + 1]]
            y = fmod_of(a, b)
        elif o == 52:  # gamma
            a = v[args[3 * i]]
            y = gamma(a)
        elif o == 53:  # gammaln
            a = v[args[3 * i]]
            y = lgamma(a)
        elif o == 54:  # greater
            a = v[args[3 * i]]
            b = v[args[3 * i + 1]]
            y = 1.0 if a > b else 0.0
        elif o == 55:  # greater_equal
            a = v[args[3 * i]]
            b = v[args[3 * i + 1]]
            y = 1.0 if a >= b else 0.0
        elif o == 56:  # heaviside
            a = v[args[3 * i]]
            b = v[args[3 * i + 1]]
            y = b if a == 0.0 else 1.0 if a > 0.0 else 0.0
        elif o == 57:  # hypot
            a = v[args[3 * i]]
            b = v[args[3 * i + 1]]
            y = hypot(a, b)
        elif o == 58:  # identity
            a = v[args[3 * i]]
            y = a
        elif o == 59:  # isfinite
            a = v[args[3 * i]]
            y = 1.0 if a - a == 0.0 else 0.0
        elif o == 60:  # isinf
            a = v[args[3 * i]]
            y = 1.0 if abs(a) == INF else 0.0
        elif o == 61:  # isnan
            a = v[args[3 * i]]
            y = 1.0 if a != a else 0.0
        elif o == 62:  # isneginf
            a = v[args[3 * i]]
            y = 1.0 if a == -INF else 0.0
        elif o == 63:  # isposinf
            a = v[args[3 * i]]
            y = 1.0 if a == INF else 0.0
        elif o == 64:  # leaky_relu
            a = v[args[3 * i]]
            b = v[args[3 * i + 1]]
            y = a if a > 0.0 else a * b
        elif o == 65:  # less
            a = v[args[3 * i]]
            b = v[args[3 * i + 1]]
            y = 1.0 if a < b else 0.0
        elif o == 66:  # less_equal
            a = v[args[3 * i]]
            b = v[args[3 * i + 1]]
            y = 1.0 if a <= b else 0.0
        elif o == 67:  # log10
            a = v[args[3 * i]]
            y = log10(a)
        elif o == 68:  # log2
            a = v[args[3 * i]]
            y = log2(a)
        elif o == 69:  # log_cosh
            a = v[args[3 * i]]
            y = log_cosh(a)
        elif o == 70:  # log_sigmoid
            a = v[args[3 * i]]
            y = -softplus(-a)
        elif o == 71:  # logical_and
            a = v[args[3 * i]]
            b = v[args[3 * i + 1]]
            y = 1.0 if a != 0.0 and b != 0.0 else 0.0
        elif o == 72:  # logical_not
            a = v[args[3 * i]]
            y = 1.0 if a == 0.0 else 0.0
        elif o == 73:  # logical_or
            a = v[args[3 * i]]
            b = v[args[3 * i + 1]]
            y = 1.0 if a != 0.0 or b != 0.0 else 0.0
        elif o == 74:  # logical_xor
            a = v[args[3 * i]]
            b = v[args[3 * i + 1]]
            y = 1.0 if (a != 0.0) != (b != 0.0) else 0.0
        elif o == 75:  # ndtr
            a = v[args[3 * i]]
            y = ndtr(a)
        elif o == 76:  # not_equal
            a = v[args[3 * i]]
            b = v[args[3 * i + 1]]
            y = 1.0 if a != b else 0.0
        elif o == 77:  # positive
            a = v[args[3 * i]]
            y = a
        elif o == 78:  # pow
            a = v[args[3 * i]]
            b = v[args[3 * i + 1]]
            y = pow(a, b)
        elif o == 79:  # rad2deg
            a = v[args[3 * i]]
            y = a * 57.29577951308232
        elif o == 80:  # rel_entr
            a = v[args[3 * i]]
            b = v[args[3 * i + 1]]
            y = 0.0 if a == 0.0 else a * log(a / b)
        elif o == 81:  # remainder
            a = v[args[3 * i]]
            b = v[args[3 * i + 1]]
            y = remainder_of(a, b)
        elif o == 82:  # round
            a = v[args[3 * i]]
            y = round_of(a)
        elif o == 83:  # rsqrt
            a = v[args[3 * i]]
            y = 1.0 / sqrt(a)
        elif o == 84:  # sign
            a = v[args[3 * i]]
            y = sign(a)
        elif o == 85:  # signbit
            a = v[args[3 * i]]
            y = 1.0 if copysign(1.0, a) < 0.0 else 0.0
        elif o == 86:  # sinh
            a = v[args[3 * i]]
            y = sinh(a)
        elif o == 87:  # sinpi
            a = v[args[3 * i]]
            y = sinpi(a)
        elif o == 88:  # stop_gradient
            a = v[args[3 * i]]
            y = a
        elif o == 89:  # tan
            a = v[args[3 * i]]
            y = tan(a)
        elif o == 90:  # tanhshrink
            a = v[args[3 * i]]
            y = tanhshrink(a)
        elif o == 91:  # trunc
            a = v[args[3 * i]]
            y = trunc_of(a)
        elif o == 92:  # truth
            a = v[args[3 * i]]
            y = 1.0 if a != 0.0 else 0.0
        elif o == 93:  # xlog1py
            a = v[args[3 * i]]
            b = v[args[3 * i + 1]]
            y = 0.0 if a == 0.0 else a * log1p(b)
        elif o == 94:  # xlogy
            a = v[args[3 * i]]
            b = v[args[3 * i + 1]]
            y = 0.0 if a == 0.0 else a * log(b)
        else:
            y = INF
        v[i] = y
        bad += y - y
    return bad == 0.0


@kernel(LINEARIZE)
def linearize(ops: Ints, args: Ints, v: Floats, p: Floats) -> int:
    """Values, and the partial derivative along every edge. How many kinks were met; −1 if a value is not finite."""
    bad = 0.0
    kinks = 0
    e = 0
    for i in range(len(ops)):
        o = ops[i]
        if o == 0:
            y = v[i]
        elif o == 1:  # multiply
            a = v[args[3 * i]]
            b = v[args[3 * i + 1]]
            y = a * b
            p[e] = b
            p[e + 1] = a
            e += 2
        elif o == 2:  # add
            a = v[args[3 * i]]
            b = v[args[3 * i + 1]]
            y = a + b
            p[e] = 1.0
            p[e + 1] = 1.0
            e += 2
        elif o == 3:  # subtract
            a = v[args[3 * i]]
            b = v[args[3 * i + 1]]
            y = a - b
            p[e] = 1.0
            p[e + 1] = -1.0
            e += 2
        elif o == 4:  # negative
            a = v[args[3 * i]]
            y = -a
            p[e] = -1.0
            e += 1
        elif o == 5:  # divide
            a = v[args[3 * i]]
            b = v[args[3 * i + 1]]
            y = a / b
            p[e] = 1.0 / b
            p[e + 1] = -y / b
            e += 2
        elif o == 6:  # square
            a = v[args[3 * i]]
            y = a * a
            p[e] = 2.0 * a
            e += 1
        elif o == 7:  # pow_by
            a = v[args[3 * i]]
            b = v[args[3 * i + 1]]
            y = pow(a, b)
            p[e] = b * pow(a, b - 1.0)
            e += 1
        elif o == 8:  # exp
            a = v[args[3 * i]]
            y = exp(a)
            p[e] = y
            e += 1
        elif o == 9:  # tanh
            a = v[args[3 * i]]
            y = tanh(a)
            p[e] = 4.0 * sigmoid(2.0 * a) * sigmoid(-2.0 * a)
            e += 1
        elif o == 10:  # sin
            a = v[args[3 * i]]
            y = sin(a)
            p[e] = cos(a)
            e += 1
        elif o == 11:  # cos
            a = v[args[3 * i]]
            y = cos(a)
            p[e] = -sin(a)
            e += 1
        elif o == 12:  # log
            a = v[args[3 * i]]
            y = log(a)
            p[e] = 1.0 / a
            e += 1
        elif o == 13:  # sigmoid
            a = v[args[3 * i]]
            y = sigmoid(a)
            p[e] = sigmoid(-a) * y
            e += 1
        elif o == 14:  # relu
            a = v[args[3 * i]]
            y = a if a > 0.0 else 0.0
            p[e] = 1.0 if a > 0.0 else 0.0
            if a == 0.0:
                kinks += 1
            e += 1
        elif o == 15:  # sqrt
            a = v[args[3 * i]]
            y = sqrt(a)
            p[e] = 0.5 / y
            e += 1
        elif o == 16:  # reciprocal
            a = v[args[3 * i]]
            y = 1.0 / a
            p[e] = -y * y
            e += 1
        elif o == 17:  # maximum
            a = v[args[3 * i]]
            b = v[args[3 * i + 1]]
            y = maximum(a, b)
            p[e] = 1.0 if a > b else 0.5 if a == b else 0.0
            p[e + 1] = 1.0 if b > a else 0.5 if a == b else 0.0
            if a == b:
                kinks += 1
            e += 2
        elif o == 18:  # where
            a = v[args[3 * i]]
            b = v[args[3 * i + 1]]
            c = v[args[3 * i + 2]]
            y = b if a != 0.0 else c
            p[e] = 1.0 if a != 0.0 else 0.0
            p[e + 1] = 0.0 if a != 0.0 else 1.0
            e += 2
        elif o == 19:  # abs
            a = v[args[3 * i]]
            y = abs(a)
            p[e] = 0.0 if a == 0.0 else sign(a)
            if a == 0.0:
                kinks += 1
            e += 1
        elif o == 20:  # logaddexp
            a = v[args[3 * i]]
            b = v[args[3 * i + 1]]
            y = logaddexp(a, b)
            p[e] = sigmoid(a - b) if y - y == 0.0 else 0.0 if y < 0.0 else 0.5 if a == b else 1.0 if a > b else 0.0
            p[e + 1] = sigmoid(b - a) if y - y == 0.0 else 0.0 if y < 0.0 else 0.5 if a == b else 1.0 if b > a else 0.0
            e += 2
        elif o == 21:  # softsign
            a = v[args[3 * i]]
            y = a / (1.0 + abs(a))
            p[e] = 1.0 / (1.0 + abs(a)) / (1.0 + abs(a))
            e += 1
        elif o == 22:  # log1p
            a = v[args[3 * i]]
            y = log1p(a)
            p[e] = 1.0 / (1.0 + a)
            e += 1
        elif o == 23:  # minimum
            a = v[args[3 * i]]
            b = v[args[3 * i + 1]]
            y = minimum(a, b)
            p[e] = 1.0 if a < b else 0.5 if a == b else 0.0
            p[e + 1] = 1.0 if b < a else 0.5 if a == b else 0.0
            if a == b:
                kinks += 1
            e += 2
        elif o == 24:  # acos
            a = v[args[3 * i]]
            y = acos(a)
            p[e] = -1.0 / sqrt(1.0 - a * a) if abs(a) == 1.0 else -1.0 / sqrt((1.0 - a) * (1.0 + a))
            e += 1
        elif o == 25:  # acosh
            a = v[args[3 * i]]
            y = acosh(a)
            p[e] = 1.0 / sqrt(a * a - 1.0) if a == 1.0 else 1.0 / sqrt((a - 1.0) * (a + 1.0))
            e += 1
        elif o == 26:  # asin
            a = v[args[3 * i]]
            y = asin(a)
            p[e] = 1.0 / sqrt(1.0 - a * a) if abs(a) == 1.0 else 1.0 / sqrt((1.0 - a) * (1.0 + a))
            e += 1
        elif o == 27:  # asinh
            a = v[args[3 * i]]
            y = asinh(a)
            p[e] = 1.0 / hypot(a, 1.0)
            e += 1
        elif o == 28:  # atan
            a = v[args[3 * i]]
            y = atan(a)
            p[e] = 1.0 / (1.0 + a * a)
            e += 1
        elif o == 29:  # atan2
            a = v[args[3 * i]]
            b = v[args[3 * i + 1]]
            y = atan2(a, b)
            p[e] = (a + b) * (0.0 / 0.0) if a == 0.0 and b == 0.0 else b / hypot(a, b) / hypot(a, b)
            p[e + 1] = (a + b) * (0.0 / 0.0) if a == 0.0 and b == 0.0 else -a / hypot(a, b) / hypot(a, b)
            if a == 0.0 and b == 0.0:
                kinks += 1
            e += 2
        elif o == 30:  # atanh
            a = v[args[3 * i]]
            y = atanh(a)
            p[e] = 1.0 / (1.0 - a * a) if abs(a) == 1.0 else 1.0 / ((1.0 - a) * (1.0 + a))
            e += 1
        elif o == 31:  # cast
            a = v[args[3 * i]]
            y = a
        elif o == 32:  # cbrt
            a = v[args[3 * i]]
            y = cbrt(a)
            p[e] = 1.0 / (3.0 * y * y)
            e += 1
        elif o == 33:  # ceil
            a = v[args[3 * i]]
            y = ceil_of(a)
        elif o == 34:  # clip
            a = v[args[3 * i]]
            b = v[args[3 * i + 1]]
            c = v[args[3 * i + 2]]
            y = minimum(maximum(a, b), c)
            p[e] = (1.0 if a < c else 0.0) if a > b else 0.0
            p[e + 1] = (1.0 if b < c else 0.0) if a < b else 0.0
            p[e + 2] = 1.0 if maximum(a, b) > c else 0.0
            if a == b or a == c:
                kinks += 1
            e += 3
        elif o == 35:  # copysign
            a = v[args[3 * i]]
            b = v[args[3 * i + 1]]
            y = copysign(a, b)
            p[e] = 0.0 if a == 0.0 else sign(a) * copysign(1.0, b)
            if a == 0.0:
                kinks += 1
            e += 1
        elif o == 36:  # cosh
            a = v[args[3 * i]]
            y = cosh(a)
            p[e] = sinh(a)
            e += 1
        elif o == 37:  # cosm1
            a = v[args[3 * i]]
            y = cosm1(a)
            p[e] = -sin(a)
            e += 1
        elif o == 38:  # cospi
            a = v[args[3 * i]]
            y = cospi(a)
            p[e] = -3.141592653589793 * sinpi(a)
            e += 1
        elif o == 39:  # deg2rad
            a = v[args[3 * i]]
            y = a * 0.017453292519943295
            p[e] = 0.017453292519943295
            e += 1
        elif o == 40:  # elu
            a = v[args[3 * i]]
            b = v[args[3 * i + 1]]
            y = a if a > 0.0 else expm1(minimum(a, 0.0)) * b
            p[e] = 1.0 if a > 0.0 else exp(minimum(a, 0.0)) * b
            if a == 0.0 and b != 1.0:
                kinks += 1
            e += 1
        elif o == 41:  # entr
            a = v[args[3 * i]]
            y = 0.0 if a == 0.0 else -a * log(a)
            p[e] = -log(a) - 1.0
            e += 1
        elif o == 42:  # equal
            a = v[args[3 * i]]
            b = v[args[3 * i + 1]]
            y = 1.0 if a == b else 0.0
        elif o == 43:  # erf
            a = v[args[3 * i]]
            y = erf(a)
            p[e] = 1.1283791670955126 * exp(-a * a)
            e += 1
        elif o == 44:  # erfc
            a = v[args[3 * i]]
            y = erfc(a)
            p[e] = -1.1283791670955126 * exp(-a * a)
            e += 1
        elif o == 45:  # exp2
            a = v[args[3 * i]]
            y = exp2(a)
            p[e] = 0.6931471805599453 * y
            e += 1
        elif o == 46:  # expm1
            a = v[args[3 * i]]
            y = expm1(a)
            p[e] = exp(a)
            e += 1
        elif o == 47:  # floor
            a = v[args[3 * i]]
            y = floor_of(a)
        elif o == 48:  # floor_divide
            a = v[args[3 * i]]
            b = v[args[3 * i + 1]]
            y = floor_divide(a, b)
        elif o == 49:  # fmax
            a = v[args[3 * i]]
            b = v[args[3 * i + 1]]
            y = a if a >= b else b if b == b else a
            p[e] = (0.5 if a == b else 1.0) if a >= b else 0.0 if b == b else 1.0
            p[e + 1] = (0.5 if a == b else 1.0) if b >= a else 0.0 if a == a else 1.0
            if a == b:
                kinks += 1
            e += 2
        elif o == 50:  # fmin
            a = v[args[3 * i]]
            b = v[args[3 * i + 1]]
            y = a if a <= b else b if b == b else a
            p[e] = (0.5 if a == b else 1.0) if a <= b else 0.0 if b == b else 1.0
            p[e + 1] = (0.5 if a == b else 1.0) if b <= a else 0.0 if a == a else 1.0
            if a == b:
                kinks += 1
            e += 2
        elif o == 51:  # fmod
            a = v[args[3 * i]]
            b = v[args[3 * i + 1]]
            y = fmod_of(a, b)
            p[e] = 1.0
            p[e + 1] = -trunc_of(a / b)
            e += 2
        elif o == 52:  # gamma
            a = v[args[3 * i]]
            y = gamma(a)
            p[e] = y * digamma(a)
            e += 1
        elif o == 53:  # gammaln
            a = v[args[3 * i]]
            y = lgamma(a)
            p[e] = digamma(a)
            e += 1
        elif o == 54:  # greater
            a = v[args[3 * i]]
            b = v[args[3 * i + 1]]
            y = 1.0 if a > b else 0.0
        elif o == 55:  # greater_equal
            a = v[args[3 * i]]
            b = v[args[3 * i + 1]]
            y = 1.0 if a >= b else 0.0
        elif o == 56:  # heaviside
            a = v[args[3 * i]]
            b = v[args[3 * i + 1]]
            y = b if a == 0.0 else 1.0 if a > 0.0 else 0.0
            p[e] = 1.0 if a == 0.0 else 0.0
            e += 1
        elif o == 57:  # hypot
            a = v[args[3 * i]]
            b = v[args[3 * i + 1]]
            y = hypot(a, b)
            p[e] = 0.0 if y == 0.0 else a / y
            p[e + 1] = 0.0 if y == 0.0 else b / y
            if y == 0.0:
                kinks += 1
            e += 2
        elif o == 58:  # identity
            a = v[args[3 * i]]
            y = a
            p[e] = 1.0
            e += 1
        elif o == 59:  # isfinite
            a = v[args[3 * i]]
            y = 1.0 if a - a == 0.0 else 0.0
        elif o == 60:  # isinf
            a = v[args[3 * i]]
            y = 1.0 if abs(a) == INF else 0.0
        elif o == 61:  # isnan
            a = v[args[3 * i]]
            y = 1.0 if a != a else 0.0
        elif o == 62:  # isneginf
            a = v[args[3 * i]]
            y = 1.0 if a == -INF else 0.0
        elif o == 63:  # isposinf
            a = v[args[3 * i]]
            y = 1.0 if a == INF else 0.0
        elif o == 64:  # leaky_relu
            a = v[args[3 * i]]
            b = v[args[3 * i + 1]]
            y = a if a > 0.0 else a * b
            p[e] = 1.0 if a > 0.0 else b
            if a == 0.0 and b != 1.0:
                kinks += 1
            e += 1
        elif o == 65:  # less
            a = v[args[3 * i]]
            b = v[args[3 * i + 1]]
            y = 1.0 if a < b else 0.0
        elif o == 66:  # less_equal
            a = v[args[3 * i]]
            b = v[args[3 * i + 1]]
            y = 1.0 if a <= b else 0.0
        elif o == 67:  # log10
            a = v[args[3 * i]]
            y = log10(a)
            p[e] = 0.4342944819032518 / a
            e += 1
        elif o == 68:  # log2
            a = v[args[3 * i]]
            y = log2(a)
            p[e] = 1.4426950408889634 / a
            e += 1
        elif o == 69:  # log_cosh
            a = v[args[3 * i]]
            y = log_cosh(a)
            p[e] = tanh(a)
            e += 1
        elif o == 70:  # log_sigmoid
            a = v[args[3 * i]]
            y = -softplus(-a)
            p[e] = sigmoid(-a)
            e += 1
        elif o == 71:  # logical_and
            a = v[args[3 * i]]
            b = v[args[3 * i + 1]]
            y = 1.0 if a != 0.0 and b != 0.0 else 0.0
        elif o == 72:  # logical_not
            a = v[args[3 * i]]
            y = 1.0 if a == 0.0 else 0.0
        elif o == 73:  # logical_or
            a = v[args[3 * i]]
            b = v[args[3 * i + 1]]
            y = 1.0 if a != 0.0 or b != 0.0 else 0.0
        elif o == 74:  # logical_xor
            a = v[args[3 * i]]
            b = v[args[3 * i + 1]]
            y = 1.0 if (a != 0.0) != (b != 0.0) else 0.0
        elif o == 75:  # ndtr
            a = v[args[3 * i]]
            y = ndtr(a)
            p[e] = 0.3989422804014327 * exp(-0.5 * a * a)
            e += 1
        elif o == 76:  # not_equal
            a = v[args[3 * i]]
            b = v[args[3 * i + 1]]
            y = 1.0 if a != b else 0.0
        elif o == 77:  # positive
            a = v[args[3 * i]]
            y = a
            p[e] = 1.0
            e += 1
        elif o == 78:  # pow
            a = v[args[3 * i]]
            b = v[args[3 * i + 1]]
            y = pow(a, b)
            p[e] = (sqrt(b) if a == 0.0 else b * (1.0 / a if a == a else 1.0)) if b == 0.0 else pow(a, b - 1.0) if a == 0.0 and (b > 0.0 and b < 1.0) else b * pow(a, b - 1.0)
            p[e + 1] = (0.0 if b > 1.0 else 0.0 - sqrt(a) if b > 0.0 else y * log(a)) if a == 0.0 else y * log(a)
            e += 2
        elif o == 79:  # rad2deg
            a = v[args[3 * i]]
            y = a * 57.29577951308232
            p[e] = 57.29577951308232
            e += 1
        elif o == 80:  # rel_entr
            a = v[args[3 * i]]
            b = v[args[3 * i + 1]]
            y = 0.0 if a == 0.0 else a * log(a / b)
            p[e] = (log(a) - log(b) if a == 0.0 else log(a / b)) + 1.0
            p[e + 1] = 0.0 - sqrt(a) if a == 0.0 and b == 0.0 else -a / b
            e += 2
        elif o == 81:  # remainder
            a = v[args[3 * i]]
            b = v[args[3 * i + 1]]
            y = remainder_of(a, b)
            p[e] = 1.0
            p[e + 1] = -floor_of(a / b)
            e += 2
        elif o == 82:  # round
            a = v[args[3 * i]]
            y = round_of(a)
        elif o == 83:  # rsqrt
            a = v[args[3 * i]]
            y = 1.0 / sqrt(a)
            p[e] = -0.5 * y / a
            e += 1
        elif o == 84:  # sign
            a = v[args[3 * i]]
            y = sign(a)
        elif o == 85:  # signbit
            a = v[args[3 * i]]
            y = 1.0 if copysign(1.0, a) < 0.0 else 0.0
        elif o == 86:  # sinh
            a = v[args[3 * i]]
            y = sinh(a)
            p[e] = cosh(a)
            e += 1
        elif o == 87:  # sinpi
            a = v[args[3 * i]]
            y = sinpi(a)
            p[e] = 3.141592653589793 * cospi(a)
            e += 1
        elif o == 88:  # stop_gradient
            a = v[args[3 * i]]
            y = a
        elif o == 89:  # tan
            a = v[args[3 * i]]
            y = tan(a)
            p[e] = 1.0 + y * y
            e += 1
        elif o == 90:  # tanhshrink
            a = v[args[3 * i]]
            y = tanhshrink(a)
            p[e] = tanh(a) * tanh(a)
            e += 1
        elif o == 91:  # trunc
            a = v[args[3 * i]]
            y = trunc_of(a)
        elif o == 92:  # truth
            a = v[args[3 * i]]
            y = 1.0 if a != 0.0 else 0.0
        elif o == 93:  # xlog1py
            a = v[args[3 * i]]
            b = v[args[3 * i + 1]]
            y = 0.0 if a == 0.0 else a * log1p(b)
            p[e] = log1p(b)
            p[e + 1] = sqrt(a) if a == 0.0 and b == -1.0 else a / (1.0 + b)
            e += 2
        elif o == 94:  # xlogy
            a = v[args[3 * i]]
            b = v[args[3 * i + 1]]
            y = 0.0 if a == 0.0 else a * log(b)
            p[e] = log(b)
            p[e + 1] = sqrt(a) if a == 0.0 and b == 0.0 else a / b
            e += 2
        else:
            y = INF
        v[i] = y
        bad += y - y
    if bad == 0.0:
        return kinks
    return -1


@kernel(REVERSE)
def reverse(source: Ints, target: Ints, p: Floats, g: Floats) -> bool:
    """Cotangents of all entries, from the seeds that g holds. Whether all are finite."""
    for e in range(len(p) - 1, -1, -1):
        g[target[e]] += g[source[e]] * p[e]
    bad = 0.0
    for i in range(len(g)):
        bad += g[i] - g[i]
    return bad == 0.0


@kernel(REVERSE)
def forward(source: Ints, target: Ints, p: Floats, d: Floats) -> bool:
    """Tangents of all entries, from the seeds that d holds. Whether all are finite."""
    for e in range(len(p)):
        d[source[e]] += d[target[e]] * p[e]
    bad = 0.0
    for i in range(len(d)):
        bad += d[i] - d[i]
    return bad == 0.0


@kernel(GRADIENT)
def gradient(ops: Ints, args: Ints, v: Floats, source: Ints, target: Ints, p: Floats, g: Floats) -> int:
    """`linearize`, then `reverse`. How many kinks were met; −1 if a value or a cotangent is not finite."""
    kinks = linearize(ops, args, v, p)
    if kinks >= 0 and not reverse(source, target, p, g):
        return -1
    return kinks


@kernel(MANY)
def reverse_many(source: Ints, target: Ints, p: Floats, g: Floats, at: Ints, seeds: Floats, wanted: Ints, out: Floats) -> bool:
    """Many reverse sweeps.

    `seeds` has a row for each sweep, of the numbers that entries `at` begin with; `out` gets a row for each, of the
    numbers that entries `wanted` end with. `g` is room for 8 sweeps. Whether all results are finite.
    """
    bad = 0.0
    sweeps = len(seeds) // len(at)
    for first in range(0, sweeps, 8):
        lanes = min(8, sweeps - first)
        for i in range(len(g)):
            g[i] = 0.0
        for k in range(lanes):
            for i in range(len(at)):
                g[8 * at[i] + k] += seeds[(first + k) * len(at) + i]
        for e in range(len(p) - 1, -1, -1):
            q = p[e]
            j = 8 * source[e]
            k = 8 * target[e]
            a0 = g[j]
            a1 = g[j + 1]
            a2 = g[j + 2]
            a3 = g[j + 3]
            a4 = g[j + 4]
            a5 = g[j + 5]
            a6 = g[j + 6]
            a7 = g[j + 7]
            b0 = g[k]
            b1 = g[k + 1]
            b2 = g[k + 2]
            b3 = g[k + 3]
            b4 = g[k + 4]
            b5 = g[k + 5]
            b6 = g[k + 6]
            b7 = g[k + 7]
            g[k] = b0 + q * a0
            g[k + 1] = b1 + q * a1
            g[k + 2] = b2 + q * a2
            g[k + 3] = b3 + q * a3
            g[k + 4] = b4 + q * a4
            g[k + 5] = b5 + q * a5
            g[k + 6] = b6 + q * a6
            g[k + 7] = b7 + q * a7
        for k in range(lanes):
            for i in range(len(wanted)):
                y = g[8 * wanted[i] + k]
                out[(first + k) * len(wanted) + i] = y
                bad += y - y
    return bad == 0.0


@kernel(MANY)
def forward_many(source: Ints, target: Ints, p: Floats, g: Floats, at: Ints, seeds: Floats, wanted: Ints, out: Floats) -> bool:
    """Many forward sweeps.

    `seeds` has a row for each sweep, of the numbers that entries `at` begin with; `out` gets a row for each, of the
    numbers that entries `wanted` end with. `g` is room for 8 sweeps. Whether all results are finite.
    """
    bad = 0.0
    sweeps = len(seeds) // len(at)
    for first in range(0, sweeps, 8):
        lanes = min(8, sweeps - first)
        for i in range(len(g)):
            g[i] = 0.0
        for k in range(lanes):
            for i in range(len(at)):
                g[8 * at[i] + k] += seeds[(first + k) * len(at) + i]
        for e in range(len(p)):
            q = p[e]
            j = 8 * target[e]
            k = 8 * source[e]
            a0 = g[j]
            a1 = g[j + 1]
            a2 = g[j + 2]
            a3 = g[j + 3]
            a4 = g[j + 4]
            a5 = g[j + 5]
            a6 = g[j + 6]
            a7 = g[j + 7]
            b0 = g[k]
            b1 = g[k + 1]
            b2 = g[k + 2]
            b3 = g[k + 3]
            b4 = g[k + 4]
            b5 = g[k + 5]
            b6 = g[k + 6]
            b7 = g[k + 7]
            g[k] = b0 + q * a0
            g[k + 1] = b1 + q * a1
            g[k + 2] = b2 + q * a2
            g[k + 3] = b3 + q * a3
            g[k + 4] = b4 + q * a4
            g[k + 5] = b5 + q * a5
            g[k + 6] = b6 + q * a6
            g[k + 7] = b7 + q * a7
        for k in range(lanes):
            for i in range(len(wanted)):
                y = g[8 * wanted[i] + k]
                out[(first + k) * len(wanted) + i] = y
                bad += y - y
    return bad == 0.0
