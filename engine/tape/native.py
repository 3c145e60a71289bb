"""The tape machine compiled by Numba, over flat arrays. To be imported by `cache.load` alone."""

# Written by `python -m engine.tape.generate`; not to be edited.
# mypy: ignore-errors
# The text is that of `plain.py`, whose types are checked; Numba has its own.

from __future__ import annotations

from collections.abc import Callable
from math import acos, acosh, asin, asinh, atan, atan2, atanh, copysign, cos, cosh, erf, erfc, exp, exp2, expm1, floor, log, log10, log1p, log2, pow, sin, sinh, sqrt, tan, tanh
from typing import Any, TypeAlias

from numba import njit

Ints: TypeAlias = Any
Floats: TypeAlias = Any

helper = njit(error_model="numpy", nogil=True)


def kernel(signature: str) -> Callable[[Any], Any]:
    """Compiled for this signature alone, or read from the cache on disk."""
    compiled: Callable[[Any], Any] = njit(signature, error_model="numpy", nogil=True, cache=True)
    return compiled


VALUES = "boolean(uint8[::1], uint32[::1], uint32[::1], float64[::1])"
LINEARIZE = "int64(uint8[::1], uint32[::1], uint32[::1], uint32[::1], float64[::1], float64[::1])"
REVERSE = "boolean(uint32[::1], uint32[::1], float64[::1], float64[::1])"
GRADIENT = (
    "int64(uint8[::1], uint32[::1], uint32[::1], uint32[::1], float64[::1],"
    " uint32[::1], uint32[::1], float64[::1], float64[::1])"
)
SCHEDULE = "int64(uint8[::1], uint32[::1], int64, int32[::1], int32[::1], int32[::1], uint32[::1], int32[::1])"
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
def sech_squared(a: float) -> float:
    """1 / cosh² a, without overflow."""
    e = exp(-2.0 * abs(a))
    t = e / (1.0 + e)
    return 4.0 * t * (1.0 - t)


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
    """cos a − 1, which is −2 sin²(a/2)."""
    if abs(a) > 0.7853981633974483:
        return cos(a) - 1.0
    s = sin(0.5 * a)
    return -2.0 * (s * s)


@helper
def rel_entr(a: float, b: float) -> float:
    """a·log(a/b), near a = b by what the two differ."""
    if a > 0.0 and b > 0.0:
        ratio = a / b
        if 0.5 < ratio < 2.0:
            return a * log1p((a - b) / b)
        if ratio > 2.2250738585072014e-308:
            return a * log(ratio)
        return a * (log(a) - log(b))
    if a == 0.0 and b >= 0.0:
        return 0.0
    return INF


@helper
def hypot(a: float, b: float) -> float:
    """√(a² + b²): what would overflow or vanish as a square is scaled by a power of two."""
    size = max(abs(a), abs(b))
    if size > 1e150:
        a *= 2.0**-600
        b *= 2.0**-600
        return sqrt(a * a + b * b) * 2.0**600
    if size < 1e-140:
        a *= 2.0**600
        b *= 2.0**600
        return sqrt(a * a + b * b) * 2.0**-600
    return sqrt(a * a + b * b)


@helper
def lgamma(a: float) -> float:
    """log Γ(a) for a > 0 (elsewhere NaN, which sends the run to where that is known).

    On (0, 2] by the recurrence and three approximations around 1, the minimum 1.4616… and 2; up to 8 by one around 2 and the
    product; beyond by Stirling's series (DLMF 5.11.1). Coefficients: e_lgamma_r.c of FDLIBM, © 1993 Sun Microsystems, Inc.,
    which grants permission to use, copy, modify and distribute it freely while this notice is preserved.
    """
    if not a > 0.0:
        return INF - INF
    if a < 2.0:
        r = 0.0
        x = a
        if a <= 0.9:
            r = -log(a)
            x = a + 1.0
        if x >= 1.7316:
            # around 2
            y = 2.0 - a if a > 0.9 else 1.0 - a
            z = y * y
            s = 7.72156649015328655494e-02 + z * (
                6.73523010531292681824e-02
                + z
                * (
                    7.38555086081402883957e-03
                    + z
                    * (
                        1.19270763183362067845e-03
                        + z * (2.20862790713908385557e-04 + z * 2.52144565451257326939e-05)
                    )
                )
            )
            t = z * (
                3.22467033424113591611e-01
                + z
                * (
                    2.05808084325167332806e-02
                    + z
                    * (
                        2.89051383673415629091e-03
                        + z
                        * (
                            5.10069792153511336608e-04
                            + z * (1.08011567247583939954e-04 + z * 4.48640949618915160150e-05)
                        )
                    )
                )
            )
            return r + (y * s + t - 0.5 * y)
        if x >= 1.23164:
            # around the minimum
            y = a - 1.46163214496836224576e00 if a > 0.9 else a - 4.6163214496836225e-01
            z = y * y
            w = z * y
            s = 4.83836122723810047042e-01 + w * (
                -3.27885410759859649565e-02
                + w
                * (
                    6.10053870246291332635e-03
                    + w * (-1.40346469989232843813e-03 + w * 3.15632070903625950361e-04)
                )
            )
            t = -1.47587722994593911752e-01 + w * (
                1.79706750811820387126e-02
                + w
                * (
                    -3.68452016781138256760e-03
                    + w * (8.81081882437654011382e-04 - w * 3.12754168375120860518e-04)
                )
            )
            u = 6.46249402391333854778e-02 + w * (
                -1.03142241298341437450e-02
                + w
                * (
                    2.25964780900612472250e-03
                    + w * (-5.38595305356740546715e-04 + w * 3.35529192635519073543e-04)
                )
            )
            q = z * s - (-3.63867699703950536541e-18 - w * (t + y * u))
            return r + (-1.21486290535849611461e-01 + q)
        # around 1
        y = a - 1.0 if a > 0.9 else a
        s = y * (
            -7.72156649015328655494e-02
            + y
            * (
                6.32827064025093366517e-01
                + y
                * (
                    1.45492250137234768737e00
                    + y
                    * (
                        9.77717527963372745603e-01
                        + y * (2.28963728064692451092e-01 + y * 1.33810918536787660377e-02)
                    )
                )
            )
        )
        t = 1.0 + y * (
            2.45597793713041134822e00
            + y
            * (
                2.12848976379893395361e00
                + y
                * (
                    7.69285150456672783825e-01
                    + y * (1.04222645593369134254e-01 + y * 3.21709242282423911810e-03)
                )
            )
        )
        return r + (s / t - 0.5 * y)
    if a < 8.0:
        i = floor_of(a)
        y = a - i
        s = y * (
            -7.72156649015328655494e-02
            + y
            * (
                2.14982415960608852501e-01
                + y
                * (
                    3.25778796408930981787e-01
                    + y
                    * (
                        1.46350472652464452805e-01
                        + y
                        * (
                            2.66422703033638609560e-02
                            + y * (1.84028451407337715652e-03 + y * 3.19475326584100867617e-05)
                        )
                    )
                )
            )
        )
        t = 1.0 + y * (
            1.39200533467621045958e00
            + y
            * (
                7.21935547567138069525e-01
                + y
                * (
                    1.71933865632803078993e-01
                    + y
                    * (
                        1.86459191715652901344e-02
                        + y * (7.77942496381893596434e-04 + y * 7.32668430744625636189e-06)
                    )
                )
            )
        )
        z = 1.0
        while i > 2.0:
            i -= 1.0
            z *= y + i
        return 0.5 * y + s / t + log(z)
    if a > 1e17:
        return a * (log(a) - 1.0)
    z = 1.0 / a
    y = z * z
    w = 4.18938533204672725052e-01 + z * (
        8.33333333333329678849e-02
        + y
        * (
            -2.77777777728775536470e-03
            + y
            * (
                7.93650558643019558500e-04
                + y
                * (
                    -5.95187557450339963135e-04
                    + y * (8.36339918996282139126e-04 - y * 1.63092934096575273989e-03)
                )
            )
        )
    )
    return (a - 0.5) * (log(a) - 1.0) + w


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
def values(ops: Ints, args: Ints, place: Ints, v: Floats) -> bool:
    """The value of every entry, from those of the leaves, which v holds. Whether all are finite.

    In the k-th place stands entry `place[k]`, of code `ops[k]`, with operands `args[3k … 3k+2]`.
    """
    bad = 0.0
    for k in range(len(ops)):
        o = ops[k]
        i = place[k]
        if o == 0:
            y = v[i]
        elif o == 1:  # multiply
            a = v[args[3 * k]]
            b = v[args[3 * k + 1]]
            y = a * b
        elif o == 2:  # add
            a = v[args[3 * k]]
            b = v[args[3 * k + 1]]
            y = a + b
        elif o == 3:  # subtract
            a = v[args[3 * k]]
            b = v[args[3 * k + 1]]
            y = a - b
        elif o == 4:  # negative
            a = v[args[3 * k]]
            y = -a
        elif o == 5:  # divide
            a = v[args[3 * k]]
            b = v[args[3 * k + 1]]
            y = a / b
        elif o == 6:  # square
            a = v[args[3 * k]]
            y = a * a
        elif o == 7:  # pow_by
            a = v[args[3 * k]]
            b = v[args[3 * k + 1]]
            y = pow(a, b)
        elif o == 8:  # exp
            a = v[args[3 * k]]
            y = exp(a)
        elif o == 9:  # tanh
            a = v[args[3 * k]]
            y = tanh(a)
        elif o == 10:  # sin
            a = v[args[3 * k]]
            y = sin(a)
        elif o == 11:  # cos
            a = v[args[3 * k]]
            y = cos(a)
        elif o == 12:  # log
            a = v[args[3 * k]]
            y = log(a)
        elif o == 13:  # sigmoid
            a = v[args[3 * k]]
            y = sigmoid(a)
        elif o == 14:  # relu
            a = v[args[3 * k]]
            y = a if a > 0.0 else 0.0
        elif o == 15:  # sqrt
            a = v[args[3 * k]]
            y = sqrt(a)
        elif o == 16:  # reciprocal
            a = v[args[3 * k]]
            y = 1.0 / a
        elif o == 17:  # maximum
            a = v[args[3 * k]]
            b = v[args[3 * k + 1]]
            y = maximum(a, b)
        elif o == 18:  # where
            a = v[args[3 * k]]
            b = v[args[3 * k + 1]]
            c = v[args[3 * k + 2]]
            y = b if a != 0.0 else c
        elif o == 19:  # abs
            a = v[args[3 * k]]
            y = abs(a)
        elif o == 20:  # logaddexp
            a = v[args[3 * k]]
            b = v[args[3 * k + 1]]
            y = logaddexp(a, b)
        elif o == 21:  # softsign
            a = v[args[3 * k]]
            y = a / (1.0 + abs(a))
        elif o == 22:  # log1p
            a = v[args[3 * k]]
            y = log1p(a)
        elif o == 23:  # minimum
            a = v[args[3 * k]]
            b = v[args[3 * k + 1]]
            y = minimum(a, b)
        elif o == 24:  # acos
            a = v[args[3 * k]]
            y = acos(a)
        elif o == 25:  # acosh
            a = v[args[3 * k]]
            y = acosh(a)
        elif o == 26:  # asin
            a = v[args[3 * k]]
            y = asin(a)
        elif o == 27:  # asinh
            a = v[args[3 * k]]
            y = asinh(a)
        elif o == 28:  # atan
            a = v[args[3 * k]]
            y = atan(a)
        elif o == 29:  # atan2
            a = v[args[3 * k]]
            b = v[args[3 * k + 1]]
            y = atan2(a, b)
        elif o == 30:  # atanh
            a = v[args[3 * k]]
            y = atanh(a)
        elif o == 31:  # cast
            a = v[args[3 * k]]
            y = a
        elif o == 32:  # cbrt
            a = v[args[3 * k]]
            y = cbrt(a)
        elif o == 33:  # ceil
            a = v[args[3 * k]]
            y = ceil_of(a)
        elif o == 34:  # clip
            a = v[args[3 * k]]
            b = v[args[3 * k + 1]]
            c = v[args[3 * k + 2]]
            y = minimum(maximum(a, b), c)
        elif o == 35:  # copysign
            a = v[args[3 * k]]
            b = v[args[3 * k + 1]]
            y = copysign(a, b)
        elif o == 36:  # cosh
            a = v[args[3 * k]]
            y = cosh(a)
        elif o == 37:  # cosm1
            a = v[args[3 * k]]
            y = cosm1(a)
        elif o == 38:  # cospi
            a = v[args[3 * k]]
            y = cospi(a)
        elif o == 39:  # deg2rad
            a = v[args[3 * k]]
            y = a * 0.017453292519943295
        elif o == 40:  # elu
            a = v[args[3 * k]]
            b = v[args[3 * k + 1]]
            y = a if a > 0.0 else expm1(minimum(a, 0.0)) * b
        elif o == 41:  # entr
            a = v[args[3 * k]]
            y = 0.0 if a == 0.0 else -a * log(a)
        elif o == 42:  # equal
            a = v[args[3 * k]]
            b = v[args[3 * k + 1]]
            y = 1.0 if a == b else 0.0
        elif o == 43:  # erf
            a = v[args[3 * k]]
            y = erf(a)
        elif o == 44:  # erfc
            a = v[args[3 * k]]
            y = erfc(a)
        elif o == 45:  # exp2
            a = v[args[3 * k]]
            y = exp2(a)
        elif o == 46:  # expm1
            a = v[args[3 * k]]
            y = expm1(a)
        elif o == 47:  # floor
            a = v[args[3 * k]]
            y = floor_of(a)
        elif o == 48:  # floor_divide
            a = v[args[3 * k]]
            b = v[args[3 * k + 1]]
            y = floor_divide(a, b)
        elif o == 49:  # fmax
            a = v[args[3 * k]]
            b = v[args[3 * k + 1]]
            y = a if a >= b else b if b == b else a
        elif o == 50:  # fmin
            a = v[args[3 * k]]
            b = v[args[3 * k + 1]]
            y = a if a <= b else b if b == b else a
        elif o == 51:  # fmod
            a = v[args[3 * k]]
            b = v[args[3 * k + 1]]
            y = fmod_of(a, b)
        elif o == 52:  # gammaln
            a = v[args[3 * k]]
            y = lgamma(a)
        elif o == 53:  # greater
            a = v[args[3 * k]]
            b = v[args[3 * k + 1]]
            y = 1.0 if a > b else 0.0
        elif o == 54:  # greater_equal
            a = v[args[3 * k]]
            b = v[args[3 * k + 1]]
            y = 1.0 if a >= b else 0.0
        elif o == 55:  # heaviside
            a = v[args[3 * k]]
            b = v[args[3 * k + 1]]
            y = b if a == 0.0 else 1.0 if a > 0.0 else 0.0
        elif o == 56:  # hypot
            a = v[args[3 * k]]
            b = v[args[3 * k + 1]]
            y = hypot(a, b)
        elif o == 57:  # identity
            a = v[args[3 * k]]
            y = a
        elif o == 58:  # isfinite
            a = v[args[3 * k]]
            y = 1.0 if a - a == 0.0 else 0.0
        elif o == 59:  # isinf
            a = v[args[3 * k]]
            y = 1.0 if abs(a) == INF else 0.0
        elif o == 60:  # isnan
            a = v[args[3 * k]]
            y = 1.0 if a != a else 0.0
        elif o == 61:  # isneginf
            a = v[args[3 * k]]
            y = 1.0 if a == -INF else 0.0
        elif o == 62:  # isposinf
            a = v[args[3 * k]]
            y = 1.0 if a == INF else 0.0
        elif o == 63:  # leaky_relu
            a = v[args[3 * k]]
            b = v[args[3 * k + 1]]
            y = a if a > 0.0 else a * b
        elif o == 64:  # less
            a = v[args[3 * k]]
            b = v[args[3 * k + 1]]
            y = 1.0 if a < b else 0.0
        elif o == 65:  # less_equal
            a = v[args[3 * k]]
            b = v[args[3 * k + 1]]
            y = 1.0 if a <= b else 0.0
        elif o == 66:  # log10
            a = v[args[3 * k]]
            y = log10(a)
        elif o == 67:  # log2
            a = v[args[3 * k]]
            y = log2(a)
        elif o == 68:  # log_cosh
            a = v[args[3 * k]]
            y = log_cosh(a)
        elif o == 69:  # log_sigmoid
            a = v[args[3 * k]]
            y = -softplus(-a)
        elif o == 70:  # logical_and
            a = v[args[3 * k]]
            b = v[args[3 * k + 1]]
            y = 1.0 if a != 0.0 and b != 0.0 else 0.0
        elif o == 71:  # logical_not
            a = v[args[3 * k]]
            y = 1.0 if a == 0.0 else 0.0
        elif o == 72:  # logical_or
            a = v[args[3 * k]]
            b = v[args[3 * k + 1]]
            y = 1.0 if a != 0.0 or b != 0.0 else 0.0
        elif o == 73:  # logical_xor
            a = v[args[3 * k]]
            b = v[args[3 * k + 1]]
            y = 1.0 if (a != 0.0) != (b != 0.0) else 0.0
        elif o == 74:  # ndtr
            a = v[args[3 * k]]
            y = ndtr(a)
        elif o == 75:  # not_equal
            a = v[args[3 * k]]
            b = v[args[3 * k + 1]]
            y = 1.0 if a != b else 0.0
        elif o == 76:  # positive
            a = v[args[3 * k]]
            y = a
        elif o == 77:  # pow
            a = v[args[3 * k]]
            b = v[args[3 * k + 1]]
            y = pow(a, b)
        elif o == 78:  # rad2deg
            a = v[args[3 * k]]
            y = a * 57.29577951308232
        elif o == 79:  # rel_entr
            a = v[args[3 * k]]
            b = v[args[3 * k + 1]]
            y = rel_entr(a, b)
        elif o == 80:  # remainder
            a = v[args[3 * k]]
            b = v[args[3 * k + 1]]
            y = remainder_of(a, b)
        elif o == 81:  # round
            a = v[args[3 * k]]
            y = round_of(a)
        elif o == 82:  # rsqrt
            a = v[args[3 * k]]
            y = 1.0 / sqrt(a)
        elif o == 83:  # sech_squared
            a = v[args[3 * k]]
            y = sech_squared(a)
        elif o == 84:  # sign
            a = v[args[3 * k]]
            y = sign(a)
        elif o == 85:  # signbit
            a = v[args[3 * k]]
            y = 1.0 if copysign(1.0, a) < 0.0 else 0.0
        elif o == 86:  # sinh
            a = v[args[3 * k]]
            y = sinh(a)
        elif o == 87:  # sinpi
            a = v[args[3 * k]]
            y = sinpi(a)
        elif o == 88:  # stop_gradient
            a = v[args[3 * k]]
            y = a
        elif o == 89:  # tan
            a = v[args[3 * k]]
            y = tan(a)
        elif o == 90:  # tanhshrink
            a = v[args[3 * k]]
            y = tanhshrink(a)
        elif o == 91:  # trunc
            a = v[args[3 * k]]
            y = trunc_of(a)
        elif o == 92:  # truth
            a = v[args[3 * k]]
            y = 1.0 if a != 0.0 else 0.0
        elif o == 93:  # xlog1py
            a = v[args[3 * k]]
            b = v[args[3 * k + 1]]
            y = 0.0 if a == 0.0 else a * log1p(b)
        elif o == 94:  # xlogy
            a = v[args[3 * k]]
            b = v[args[3 * k + 1]]
            y = 0.0 if a == 0.0 else a * log(b)
        else:
            y = INF
        v[i] = y
        bad += y - y
    return bad == 0.0


@kernel(LINEARIZE)
def linearize(ops: Ints, args: Ints, place: Ints, start: Ints, v: Floats, p: Floats) -> int:
    """Values, and the partial along every edge: `start[k]` is the first edge of the entry in the k-th place.

    How many kinks were met; −1 if a value is not finite.
    """
    bad = 0.0
    kinks = 0
    for k in range(len(ops)):
        o = ops[k]
        i = place[k]
        if o == 0:
            y = v[i]
        elif o == 1:  # multiply
            a = v[args[3 * k]]
            b = v[args[3 * k + 1]]
            y = a * b
            e = start[k]
            p[e] = b
            p[e + 1] = a
        elif o == 2:  # add
            a = v[args[3 * k]]
            b = v[args[3 * k + 1]]
            y = a + b
            e = start[k]
            p[e] = 1.0
            p[e + 1] = 1.0
        elif o == 3:  # subtract
            a = v[args[3 * k]]
            b = v[args[3 * k + 1]]
            y = a - b
            e = start[k]
            p[e] = 1.0
            p[e + 1] = -1.0
        elif o == 4:  # negative
            a = v[args[3 * k]]
            y = -a
            e = start[k]
            p[e] = -1.0
        elif o == 5:  # divide
            a = v[args[3 * k]]
            b = v[args[3 * k + 1]]
            y = a / b
            e = start[k]
            p[e] = 1.0 / b
            p[e + 1] = -y / b
        elif o == 6:  # square
            a = v[args[3 * k]]
            y = a * a
            e = start[k]
            p[e] = 2.0 * a
        elif o == 7:  # pow_by
            a = v[args[3 * k]]
            b = v[args[3 * k + 1]]
            y = pow(a, b)
            e = start[k]
            p[e] = b * (y / a) if a != 0.0 and abs(y) > 1e-290 else b * pow(a, b - 1.0)
        elif o == 8:  # exp
            a = v[args[3 * k]]
            y = exp(a)
            e = start[k]
            p[e] = y
        elif o == 9:  # tanh
            a = v[args[3 * k]]
            y = tanh(a)
            e = start[k]
            p[e] = (1.0 - y) * (1.0 + y) if abs(y) < 0.9 else sech_squared(a)
        elif o == 10:  # sin
            a = v[args[3 * k]]
            y = sin(a)
            e = start[k]
            p[e] = cos(a)
        elif o == 11:  # cos
            a = v[args[3 * k]]
            y = cos(a)
            e = start[k]
            p[e] = -sin(a)
        elif o == 12:  # log
            a = v[args[3 * k]]
            y = log(a)
            e = start[k]
            p[e] = 1.0 / a
        elif o == 13:  # sigmoid
            a = v[args[3 * k]]
            y = sigmoid(a)
            e = start[k]
            p[e] = sigmoid(-a) * y
        elif o == 14:  # relu
            a = v[args[3 * k]]
            y = a if a > 0.0 else 0.0
            e = start[k]
            p[e] = 1.0 if a > 0.0 else 0.0
            if a == 0.0:
                kinks += 1
        elif o == 15:  # sqrt
            a = v[args[3 * k]]
            y = sqrt(a)
            e = start[k]
            p[e] = 0.5 / y
        elif o == 16:  # reciprocal
            a = v[args[3 * k]]
            y = 1.0 / a
            e = start[k]
            p[e] = -y * y
        elif o == 17:  # maximum
            a = v[args[3 * k]]
            b = v[args[3 * k + 1]]
            y = maximum(a, b)
            e = start[k]
            p[e] = 1.0 if a > b else 0.5 if a == b else 0.0
            p[e + 1] = 1.0 if b > a else 0.5 if a == b else 0.0
            if a == b:
                kinks += 1
        elif o == 18:  # where
            a = v[args[3 * k]]
            b = v[args[3 * k + 1]]
            c = v[args[3 * k + 2]]
            y = b if a != 0.0 else c
            e = start[k]
            p[e] = 1.0 if a != 0.0 else 0.0
            p[e + 1] = 0.0 if a != 0.0 else 1.0
        elif o == 19:  # abs
            a = v[args[3 * k]]
            y = abs(a)
            e = start[k]
            p[e] = 0.0 if a == 0.0 else sign(a)
            if a == 0.0:
                kinks += 1
        elif o == 20:  # logaddexp
            a = v[args[3 * k]]
            b = v[args[3 * k + 1]]
            y = logaddexp(a, b)
            e = start[k]
            p[e] = sigmoid(a - b) if y - y == 0.0 else 0.0 if y < 0.0 else 0.5 if a == b else 1.0 if a > b else 0.0
            p[e + 1] = sigmoid(b - a) if y - y == 0.0 else 0.0 if y < 0.0 else 0.5 if a == b else 1.0 if b > a else 0.0
        elif o == 21:  # softsign
            a = v[args[3 * k]]
            y = a / (1.0 + abs(a))
            e = start[k]
            p[e] = 1.0 / (1.0 + abs(a)) / (1.0 + abs(a))
        elif o == 22:  # log1p
            a = v[args[3 * k]]
            y = log1p(a)
            e = start[k]
            p[e] = 1.0 / (1.0 + a)
        elif o == 23:  # minimum
            a = v[args[3 * k]]
            b = v[args[3 * k + 1]]
            y = minimum(a, b)
            e = start[k]
            p[e] = 1.0 if a < b else 0.5 if a == b else 0.0
            p[e + 1] = 1.0 if b < a else 0.5 if a == b else 0.0
            if a == b:
                kinks += 1
        elif o == 24:  # acos
            a = v[args[3 * k]]
            y = acos(a)
            e = start[k]
            p[e] = -1.0 / sqrt(1.0 - a * a) if abs(a) == 1.0 else -1.0 / sqrt((1.0 - a) * (1.0 + a))
        elif o == 25:  # acosh
            a = v[args[3 * k]]
            y = acosh(a)
            e = start[k]
            p[e] = 1.0 / sqrt(a * a - 1.0) if a == 1.0 else 1.0 / sqrt((a - 1.0) * (a + 1.0))
        elif o == 26:  # asin
            a = v[args[3 * k]]
            y = asin(a)
            e = start[k]
            p[e] = 1.0 / sqrt(1.0 - a * a) if abs(a) == 1.0 else 1.0 / sqrt((1.0 - a) * (1.0 + a))
        elif o == 27:  # asinh
            a = v[args[3 * k]]
            y = asinh(a)
            e = start[k]
            p[e] = 1.0 / hypot(a, 1.0)
        elif o == 28:  # atan
            a = v[args[3 * k]]
            y = atan(a)
            e = start[k]
            p[e] = 1.0 / (1.0 + a * a)
        elif o == 29:  # atan2
            a = v[args[3 * k]]
            b = v[args[3 * k + 1]]
            y = atan2(a, b)
            e = start[k]
            p[e] = (a + b) * (0.0 / 0.0) if a == 0.0 and b == 0.0 else b / hypot(a, b) / hypot(a, b)
            p[e + 1] = (a + b) * (0.0 / 0.0) if a == 0.0 and b == 0.0 else -a / hypot(a, b) / hypot(a, b)
            if a == 0.0 and b == 0.0:
                kinks += 1
        elif o == 30:  # atanh
            a = v[args[3 * k]]
            y = atanh(a)
            e = start[k]
            p[e] = 1.0 / (1.0 - a * a) if abs(a) == 1.0 else 1.0 / ((1.0 - a) * (1.0 + a))
        elif o == 31:  # cast
            a = v[args[3 * k]]
            y = a
        elif o == 32:  # cbrt
            a = v[args[3 * k]]
            y = cbrt(a)
            e = start[k]
            p[e] = 1.0 / (3.0 * y * y)
        elif o == 33:  # ceil
            a = v[args[3 * k]]
            y = ceil_of(a)
        elif o == 34:  # clip
            a = v[args[3 * k]]
            b = v[args[3 * k + 1]]
            c = v[args[3 * k + 2]]
            y = minimum(maximum(a, b), c)
            e = start[k]
            p[e] = (1.0 if a < c else 0.0) if a > b else 0.0
            p[e + 1] = (1.0 if b < c else 0.0) if a < b else 0.0
            p[e + 2] = 1.0 if maximum(a, b) > c else 0.0
            if a == b or a == c:
                kinks += 1
        elif o == 35:  # copysign
            a = v[args[3 * k]]
            b = v[args[3 * k + 1]]
            y = copysign(a, b)
            e = start[k]
            p[e] = 0.0 if a == 0.0 else sign(a) * copysign(1.0, b)
            if a == 0.0:
                kinks += 1
        elif o == 36:  # cosh
            a = v[args[3 * k]]
            y = cosh(a)
            e = start[k]
            p[e] = sinh(a)
        elif o == 37:  # cosm1
            a = v[args[3 * k]]
            y = cosm1(a)
            e = start[k]
            p[e] = -sin(a)
        elif o == 38:  # cospi
            a = v[args[3 * k]]
            y = cospi(a)
            e = start[k]
            p[e] = -3.141592653589793 * sinpi(a)
        elif o == 39:  # deg2rad
            a = v[args[3 * k]]
            y = a * 0.017453292519943295
            e = start[k]
            p[e] = 0.017453292519943295
        elif o == 40:  # elu
            a = v[args[3 * k]]
            b = v[args[3 * k + 1]]
            y = a if a > 0.0 else expm1(minimum(a, 0.0)) * b
            e = start[k]
            p[e] = 1.0 if a > 0.0 else exp(minimum(a, 0.0)) * b
            if a == 0.0 and b != 1.0:
                kinks += 1
        elif o == 41:  # entr
            a = v[args[3 * k]]
            y = 0.0 if a == 0.0 else -a * log(a)
            e = start[k]
            p[e] = -log(a) - 1.0
        elif o == 42:  # equal
            a = v[args[3 * k]]
            b = v[args[3 * k + 1]]
            y = 1.0 if a == b else 0.0
        elif o == 43:  # erf
            a = v[args[3 * k]]
            y = erf(a)
            e = start[k]
            p[e] = 1.1283791670955126 * exp(-a * a)
        elif o == 44:  # erfc
            a = v[args[3 * k]]
            y = erfc(a)
            e = start[k]
            p[e] = -1.1283791670955126 * exp(-a * a)
        elif o == 45:  # exp2
            a = v[args[3 * k]]
            y = exp2(a)
            e = start[k]
            p[e] = 0.6931471805599453 * y
        elif o == 46:  # expm1
            a = v[args[3 * k]]
            y = expm1(a)
            e = start[k]
            p[e] = exp(a)
        elif o == 47:  # floor
            a = v[args[3 * k]]
            y = floor_of(a)
        elif o == 48:  # floor_divide
            a = v[args[3 * k]]
            b = v[args[3 * k + 1]]
            y = floor_divide(a, b)
        elif o == 49:  # fmax
            a = v[args[3 * k]]
            b = v[args[3 * k + 1]]
            y = a if a >= b else b if b == b else a
            e = start[k]
            p[e] = (0.5 if a == b else 1.0) if a >= b else 0.0 if b == b else 1.0
            p[e + 1] = (0.5 if a == b else 1.0) if b >= a else 0.0 if a == a else 1.0
            if a == b:
                kinks += 1
        elif o == 50:  # fmin
            a = v[args[3 * k]]
            b = v[args[3 * k + 1]]
            y = a if a <= b else b if b == b else a
            e = start[k]
            p[e] = (0.5 if a == b else 1.0) if a <= b else 0.0 if b == b else 1.0
            p[e + 1] = (0.5 if a == b else 1.0) if b <= a else 0.0 if a == a else 1.0
            if a == b:
                kinks += 1
        elif o == 51:  # fmod
            a = v[args[3 * k]]
            b = v[args[3 * k + 1]]
            y = fmod_of(a, b)
            e = start[k]
            p[e] = 1.0
            p[e + 1] = -trunc_of(a / b)
        elif o == 52:  # gammaln
            a = v[args[3 * k]]
            y = lgamma(a)
            e = start[k]
            p[e] = digamma(a)
        elif o == 53:  # greater
            a = v[args[3 * k]]
            b = v[args[3 * k + 1]]
            y = 1.0 if a > b else 0.0
        elif o == 54:  # greater_equal
            a = v[args[3 * k]]
            b = v[args[3 * k + 1]]
            y = 1.0 if a >= b else 0.0
        elif o == 55:  # heaviside
            a = v[args[3 * k]]
            b = v[args[3 * k + 1]]
            y = b if a == 0.0 else 1.0 if a > 0.0 else 0.0
            e = start[k]
            p[e] = 1.0 if a == 0.0 else 0.0
        elif o == 56:  # hypot
            a = v[args[3 * k]]
            b = v[args[3 * k + 1]]
            y = hypot(a, b)
            e = start[k]
            p[e] = 0.0 if y == 0.0 else a / y
            p[e + 1] = 0.0 if y == 0.0 else b / y
            if y == 0.0:
                kinks += 1
        elif o == 57:  # identity
            a = v[args[3 * k]]
            y = a
            e = start[k]
            p[e] = 1.0
        elif o == 58:  # isfinite
            a = v[args[3 * k]]
            y = 1.0 if a - a == 0.0 else 0.0
        elif o == 59:  # isinf
            a = v[args[3 * k]]
            y = 1.0 if abs(a) == INF else 0.0
        elif o == 60:  # isnan
            a = v[args[3 * k]]
            y = 1.0 if a != a else 0.0
        elif o == 61:  # isneginf
            a = v[args[3 * k]]
            y = 1.0 if a == -INF else 0.0
        elif o == 62:  # isposinf
            a = v[args[3 * k]]
            y = 1.0 if a == INF else 0.0
        elif o == 63:  # leaky_relu
            a = v[args[3 * k]]
            b = v[args[3 * k + 1]]
            y = a if a > 0.0 else a * b
            e = start[k]
            p[e] = 1.0 if a > 0.0 else b
            if a == 0.0 and b != 1.0:
                kinks += 1
        elif o == 64:  # less
            a = v[args[3 * k]]
            b = v[args[3 * k + 1]]
            y = 1.0 if a < b else 0.0
        elif o == 65:  # less_equal
            a = v[args[3 * k]]
            b = v[args[3 * k + 1]]
            y = 1.0 if a <= b else 0.0
        elif o == 66:  # log10
            a = v[args[3 * k]]
            y = log10(a)
            e = start[k]
            p[e] = 0.4342944819032518 / a
        elif o == 67:  # log2
            a = v[args[3 * k]]
            y = log2(a)
            e = start[k]
            p[e] = 1.4426950408889634 / a
        elif o == 68:  # log_cosh
            a = v[args[3 * k]]
            y = log_cosh(a)
            e = start[k]
            p[e] = tanh(a)
        elif o == 69:  # log_sigmoid
            a = v[args[3 * k]]
            y = -softplus(-a)
            e = start[k]
            p[e] = sigmoid(-a)
        elif o == 70:  # logical_and
            a = v[args[3 * k]]
            b = v[args[3 * k + 1]]
            y = 1.0 if a != 0.0 and b != 0.0 else 0.0
        elif o == 71:  # logical_not
            a = v[args[3 * k]]
            y = 1.0 if a == 0.0 else 0.0
        elif o == 72:  # logical_or
            a = v[args[3 * k]]
            b = v[args[3 * k + 1]]
            y = 1.0 if a != 0.0 or b != 0.0 else 0.0
        elif o == 73:  # logical_xor
            a = v[args[3 * k]]
            b = v[args[3 * k + 1]]
            y = 1.0 if (a != 0.0) != (b != 0.0) else 0.0
        elif o == 74:  # ndtr
            a = v[args[3 * k]]
            y = ndtr(a)
            e = start[k]
            p[e] = 0.3989422804014327 * exp(-0.5 * a * a)
        elif o == 75:  # not_equal
            a = v[args[3 * k]]
            b = v[args[3 * k + 1]]
            y = 1.0 if a != b else 0.0
        elif o == 76:  # positive
            a = v[args[3 * k]]
            y = a
            e = start[k]
            p[e] = 1.0
        elif o == 77:  # pow
            a = v[args[3 * k]]
            b = v[args[3 * k + 1]]
            y = pow(a, b)
            e = start[k]
            p[e] = b * (y / a) if a != 0.0 and abs(y) > 1e-290 else 0.0 if b == 0.0 else pow(a, b - 1.0) if a == 0.0 and b < 1.0 else b * pow(a, b - 1.0)
            p[e + 1] = (0.0 if b > 1.0 else 0.0 - sqrt(a) if b > 0.0 else y * log(a)) if a == 0.0 else y * log(a)
        elif o == 78:  # rad2deg
            a = v[args[3 * k]]
            y = a * 57.29577951308232
            e = start[k]
            p[e] = 57.29577951308232
        elif o == 79:  # rel_entr
            a = v[args[3 * k]]
            b = v[args[3 * k + 1]]
            y = rel_entr(a, b)
            e = start[k]
            p[e] = (log(a) - log(b) if a == 0.0 else log(a / b)) + 1.0
            p[e + 1] = 0.0 - sqrt(a) if a == 0.0 and b == 0.0 else -a / b
        elif o == 80:  # remainder
            a = v[args[3 * k]]
            b = v[args[3 * k + 1]]
            y = remainder_of(a, b)
            e = start[k]
            p[e] = 1.0
            p[e + 1] = -floor_of(a / b)
        elif o == 81:  # round
            a = v[args[3 * k]]
            y = round_of(a)
        elif o == 82:  # rsqrt
            a = v[args[3 * k]]
            y = 1.0 / sqrt(a)
            e = start[k]
            p[e] = -0.5 * y / a
        elif o == 83:  # sech_squared
            a = v[args[3 * k]]
            y = sech_squared(a)
            e = start[k]
            p[e] = -2.0 * y * tanh(a)
        elif o == 84:  # sign
            a = v[args[3 * k]]
            y = sign(a)
        elif o == 85:  # signbit
            a = v[args[3 * k]]
            y = 1.0 if copysign(1.0, a) < 0.0 else 0.0
        elif o == 86:  # sinh
            a = v[args[3 * k]]
            y = sinh(a)
            e = start[k]
            p[e] = cosh(a)
        elif o == 87:  # sinpi
            a = v[args[3 * k]]
            y = sinpi(a)
            e = start[k]
            p[e] = 3.141592653589793 * cospi(a)
        elif o == 88:  # stop_gradient
            a = v[args[3 * k]]
            y = a
        elif o == 89:  # tan
            a = v[args[3 * k]]
            y = tan(a)
            e = start[k]
            p[e] = 1.0 + y * y
        elif o == 90:  # tanhshrink
            a = v[args[3 * k]]
            y = tanhshrink(a)
            e = start[k]
            p[e] = tanh(a) * tanh(a)
        elif o == 91:  # trunc
            a = v[args[3 * k]]
            y = trunc_of(a)
        elif o == 92:  # truth
            a = v[args[3 * k]]
            y = 1.0 if a != 0.0 else 0.0
        elif o == 93:  # xlog1py
            a = v[args[3 * k]]
            b = v[args[3 * k + 1]]
            y = 0.0 if a == 0.0 else a * log1p(b)
            e = start[k]
            p[e] = log1p(b)
            p[e + 1] = sqrt(a) if a == 0.0 and b == -1.0 else a / (1.0 + b)
        elif o == 94:  # xlogy
            a = v[args[3 * k]]
            b = v[args[3 * k + 1]]
            y = 0.0 if a == 0.0 else a * log(b)
            e = start[k]
            p[e] = log(b)
            p[e + 1] = sqrt(a) if a == 0.0 and b == 0.0 else a / b
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
def gradient(
    ops: Ints, args: Ints, place: Ints, start: Ints, v: Floats, source: Ints, target: Ints, p: Floats, g: Floats
) -> int:
    """`linearize`, then `reverse`. How many kinks were met; −1 if a value or a cotangent is not finite."""
    kinks = linearize(ops, args, place, start, v, p)
    if kinks >= 0 and not reverse(source, target, p, g):
        return -1
    return kinks


@kernel(SCHEDULE)
def schedule(
    ops: Ints, args: Ints, codes: int, waiting: Ints, begin: Ints, users: Ints, order: Ints, queue: Ints
) -> int:
    """An order of evaluation in which ops of one code follow one another as long as they can. How many entries it reaches.

    A processor guesses the next case of the switch, and a wrong guess costs as much as computing an entry. So entries
    that are ready wait in a queue for each code, and the longest queue is emptied, with all that joins it meanwhile.
    `order` gets all entries, leaves first; `waiting` (n), `begin` (n + 2), `users` (3n) and `queue` (n + 3·codes) are
    room, full of zeros.
    """
    n = len(ops)
    for i in range(n):
        if ops[i] != 0:
            for k in range(3):
                j = args[3 * i + k]
                if ops[j] != 0:
                    waiting[i] += 1
                    begin[j + 2] += 1
    for i in range(n):
        begin[i + 2] += begin[i + 1]
    for i in range(n):
        if ops[i] != 0:
            for k in range(3):
                j = args[3 * i + k]
                if ops[j] != 0:
                    users[begin[j + 1]] = i
                    begin[j + 1] += 1
    # queue[i] is the entry that waits behind entry i; a code has its first one, its last one, and their number.
    first = n
    last = n + codes
    size = n + 2 * codes
    for i in range(n):
        o = ops[i]
        if o != 0 and waiting[i] == 0:
            if queue[size + o] == 0:
                queue[first + o] = i
            else:
                queue[queue[last + o]] = i
            queue[last + o] = i
            queue[size + o] += 1
    done = 0
    for i in range(n):
        if ops[i] == 0:
            order[done] = i
            done += 1
    c = 0
    while True:
        for o in range(codes):
            if queue[size + o] > queue[size + c]:
                c = o
        if queue[size + c] == 0:
            return done
        while queue[size + c] > 0:
            i = queue[first + c]
            queue[first + c] = queue[i]
            queue[size + c] -= 1
            order[done] = i
            done += 1
            for k in range(begin[i], begin[i + 1]):
                j = users[k]
                waiting[j] -= 1
                if waiting[j] == 0:
                    o = ops[j]
                    if queue[size + o] == 0:
                        queue[first + o] = j
                    else:
                        queue[queue[last + o]] = j
                    queue[last + o] = j
                    queue[size + o] += 1


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
