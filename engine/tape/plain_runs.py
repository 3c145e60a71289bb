"""Loops over runs in plain Python, over lists of numbers. What raises in `math` is for the caller to catch."""

# Written by `python -m engine.tape.generate_runs`; not to be edited.

from __future__ import annotations

from collections.abc import Callable
from math import acos, acosh, asin, asinh, atan, atan2, atanh, copysign, cos, cosh, erf, erfc, exp, exp2, expm1, floor, isfinite, log, log10, log1p, log2, pow, sin, sinh, sqrt, tan, tanh
from typing import TypeAlias, TypeVar

Ints: TypeAlias = list[int]
Floats: TypeAlias = list[float]
F = TypeVar("F", bound=Callable[..., object])


def helper(fn: F) -> F:
    """As it is; the native machine compiles here."""
    return fn


inlined = helper


def kernel(signature: str) -> Callable[[F], F]:
    """As it is; the native machine compiles here."""
    return helper


def place(b: float) -> int:
    """A number as a distance between entries."""
    return int(b)


def copied(source: Floats, target: Floats, frm: int, to: int, n: int) -> None:
    """Copy n numbers."""
    target[to : to + n] = source[frm : frm + n]


def bits_of(v: Floats) -> Floats:
    """The numbers themselves."""
    return v


def finite(v: Floats, first: int, last: int) -> bool:
    """Whether entries `first` … `last` − 1 are finite."""
    return all(map(isfinite, v[first:last]))


STEPS = ""

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


@inlined
def computed(codes: Ints, table: Ints, v: Floats, first: int, last: int) -> None:
    """Compute the entries of some runs. A row of the table: where it begins, how long it is, operands, their distances."""
    for r in range(first, last):
        o = codes[r]
        at = 8 * r
        i = table[at]
        n = table[at + 1]
        a0 = table[at + 2]
        a1 = table[at + 3]
        b0 = table[at + 4]
        b1 = table[at + 5]
        c0 = table[at + 6]
        c1 = table[at + 7]
        if o == 1:  # multiply
            if a1 == 1 and b1 == 1:
                for k in range(n):
                    a = v[a0 + k]
                    b = v[b0 + k]
                    v[i + k] = a * b
            elif a1 == 0 and b1 == 1:
                a = v[a0]
                for k in range(n):
                    b = v[b0 + k]
                    v[i + k] = a * b
            elif a1 == 1 and b1 == 0:
                b = v[b0]
                for k in range(n):
                    a = v[a0 + k]
                    v[i + k] = a * b
            else:
                for k in range(n):
                    a = v[a0 + k * a1]
                    b = v[b0 + k * b1]
                    v[i + k] = a * b
        elif o == 2:  # add
            if a1 == 1 and b1 == 1:
                for k in range(n):
                    a = v[a0 + k]
                    b = v[b0 + k]
                    v[i + k] = a + b
            elif a1 == 0 and b1 == 1:
                a = v[a0]
                for k in range(n):
                    b = v[b0 + k]
                    v[i + k] = a + b
            elif a1 == 1 and b1 == 0:
                b = v[b0]
                for k in range(n):
                    a = v[a0 + k]
                    v[i + k] = a + b
            else:
                for k in range(n):
                    a = v[a0 + k * a1]
                    b = v[b0 + k * b1]
                    v[i + k] = a + b
        elif o == 3:  # subtract
            if a1 == 1 and b1 == 1:
                for k in range(n):
                    a = v[a0 + k]
                    b = v[b0 + k]
                    v[i + k] = a - b
            elif a1 == 0 and b1 == 1:
                a = v[a0]
                for k in range(n):
                    b = v[b0 + k]
                    v[i + k] = a - b
            elif a1 == 1 and b1 == 0:
                b = v[b0]
                for k in range(n):
                    a = v[a0 + k]
                    v[i + k] = a - b
            else:
                for k in range(n):
                    a = v[a0 + k * a1]
                    b = v[b0 + k * b1]
                    v[i + k] = a - b
        elif o == 4:  # negative
            if a1 == 1:
                for k in range(n):
                    a = v[a0 + k]
                    v[i + k] = -a
            else:
                for k in range(n):
                    a = v[a0 + k * a1]
                    v[i + k] = -a
        elif o == 5:  # divide
            if a1 == 1 and b1 == 1:
                for k in range(n):
                    a = v[a0 + k]
                    b = v[b0 + k]
                    v[i + k] = a / b
            elif a1 == 0 and b1 == 1:
                a = v[a0]
                for k in range(n):
                    b = v[b0 + k]
                    v[i + k] = a / b
            elif a1 == 1 and b1 == 0:
                b = v[b0]
                for k in range(n):
                    a = v[a0 + k]
                    v[i + k] = a / b
            else:
                for k in range(n):
                    a = v[a0 + k * a1]
                    b = v[b0 + k * b1]
                    v[i + k] = a / b
        elif o == 6:  # square
            if a1 == 1:
                for k in range(n):
                    a = v[a0 + k]
                    v[i + k] = a * a
            else:
                for k in range(n):
                    a = v[a0 + k * a1]
                    v[i + k] = a * a
        elif o == 7:  # pow_by
            for k in range(n):
                a = v[a0 + k * a1]
                b = v[b0 + k * b1]
                v[i + k] = pow(a, b)
        elif o == 8:  # exp
            for k in range(n):
                a = v[a0 + k * a1]
                v[i + k] = exp(a)
        elif o == 9:  # tanh
            for k in range(n):
                a = v[a0 + k * a1]
                v[i + k] = tanh(a)
        elif o == 10:  # sin
            for k in range(n):
                a = v[a0 + k * a1]
                v[i + k] = sin(a)
        elif o == 11:  # cos
            for k in range(n):
                a = v[a0 + k * a1]
                v[i + k] = cos(a)
        elif o == 12:  # log
            for k in range(n):
                a = v[a0 + k * a1]
                v[i + k] = log(a)
        elif o == 13:  # sigmoid
            for k in range(n):
                a = v[a0 + k * a1]
                v[i + k] = sigmoid(a)
        elif o == 14:  # relu
            for k in range(n):
                a = v[a0 + k * a1]
                v[i + k] = a if a > 0.0 else 0.0
        elif o == 15:  # sqrt
            if a1 == 1:
                for k in range(n):
                    a = v[a0 + k]
                    v[i + k] = sqrt(a)
            else:
                for k in range(n):
                    a = v[a0 + k * a1]
                    v[i + k] = sqrt(a)
        elif o == 16:  # reciprocal
            for k in range(n):
                a = v[a0 + k * a1]
                v[i + k] = 1.0 / a
        elif o == 17:  # maximum
            for k in range(n):
                a = v[a0 + k * a1]
                b = v[b0 + k * b1]
                v[i + k] = maximum(a, b)
        elif o == 18:  # where
            for k in range(n):
                a = v[a0 + k * a1]
                b = v[b0 + k * b1]
                c = v[c0 + k * c1]
                v[i + k] = b if a != 0.0 else c
        elif o == 19:  # abs
            for k in range(n):
                a = v[a0 + k * a1]
                v[i + k] = abs(a)
        elif o == 20:  # logaddexp
            for k in range(n):
                a = v[a0 + k * a1]
                b = v[b0 + k * b1]
                v[i + k] = logaddexp(a, b)
        elif o == 21:  # softsign
            for k in range(n):
                a = v[a0 + k * a1]
                v[i + k] = a / (1.0 + abs(a))
        elif o == 22:  # log1p
            for k in range(n):
                a = v[a0 + k * a1]
                v[i + k] = log1p(a)
        elif o == 23:  # minimum
            for k in range(n):
                a = v[a0 + k * a1]
                b = v[b0 + k * b1]
                v[i + k] = minimum(a, b)
        elif o == 24:  # acos
            for k in range(n):
                a = v[a0 + k * a1]
                v[i + k] = acos(a)
        elif o == 25:  # acosh
            for k in range(n):
                a = v[a0 + k * a1]
                v[i + k] = acosh(a)
        elif o == 26:  # asin
            for k in range(n):
                a = v[a0 + k * a1]
                v[i + k] = asin(a)
        elif o == 27:  # asinh
            for k in range(n):
                a = v[a0 + k * a1]
                v[i + k] = asinh(a)
        elif o == 28:  # atan
            for k in range(n):
                a = v[a0 + k * a1]
                v[i + k] = atan(a)
        elif o == 29:  # atan2
            for k in range(n):
                a = v[a0 + k * a1]
                b = v[b0 + k * b1]
                v[i + k] = atan2(a, b)
        elif o == 30:  # atanh
            for k in range(n):
                a = v[a0 + k * a1]
                v[i + k] = atanh(a)
        elif o == 31:  # cast
            for k in range(n):
                a = v[a0 + k * a1]
                v[i + k] = a
        elif o == 32:  # cbrt
            for k in range(n):
                a = v[a0 + k * a1]
                v[i + k] = cbrt(a)
        elif o == 33:  # ceil
            for k in range(n):
                a = v[a0 + k * a1]
                v[i + k] = ceil_of(a)
        elif o == 34:  # clip
            for k in range(n):
                a = v[a0 + k * a1]
                b = v[b0 + k * b1]
                c = v[c0 + k * c1]
                v[i + k] = minimum(maximum(a, b), c)
        elif o == 35:  # copysign
            for k in range(n):
                a = v[a0 + k * a1]
                b = v[b0 + k * b1]
                v[i + k] = copysign(a, b)
        elif o == 36:  # cosh
            for k in range(n):
                a = v[a0 + k * a1]
                v[i + k] = cosh(a)
        elif o == 37:  # cosm1
            for k in range(n):
                a = v[a0 + k * a1]
                v[i + k] = cosm1(a)
        elif o == 38:  # cospi
            for k in range(n):
                a = v[a0 + k * a1]
                v[i + k] = cospi(a)
        elif o == 39:  # deg2rad
            for k in range(n):
                a = v[a0 + k * a1]
                v[i + k] = a * 0.017453292519943295
        elif o == 40:  # elu
            for k in range(n):
                a = v[a0 + k * a1]
                b = v[b0 + k * b1]
                v[i + k] = a if a > 0.0 else expm1(minimum(a, 0.0)) * b
        elif o == 41:  # entr
            for k in range(n):
                a = v[a0 + k * a1]
                v[i + k] = 0.0 if a == 0.0 else -a * log(a)
        elif o == 42:  # equal
            for k in range(n):
                a = v[a0 + k * a1]
                b = v[b0 + k * b1]
                v[i + k] = 1.0 if a == b else 0.0
        elif o == 43:  # erf
            for k in range(n):
                a = v[a0 + k * a1]
                v[i + k] = erf(a)
        elif o == 44:  # erfc
            for k in range(n):
                a = v[a0 + k * a1]
                v[i + k] = erfc(a)
        elif o == 45:  # exp2
            for k in range(n):
                a = v[a0 + k * a1]
                v[i + k] = exp2(a)
        elif o == 46:  # expm1
            for k in range(n):
                a = v[a0 + k * a1]
                v[i + k] = expm1(a)
        elif o == 47:  # floor
            for k in range(n):
                a = v[a0 + k * a1]
                v[i + k] = floor_of(a)
        elif o == 48:  # floor_divide
            for k in range(n):
                a = v[a0 + k * a1]
                b = v[b0 + k * b1]
                v[i + k] = floor_divide(a, b)
        elif o == 49:  # fmax
            for k in range(n):
                a = v[a0 + k * a1]
                b = v[b0 + k * b1]
                v[i + k] = a if a >= b else b if b == b else a
        elif o == 50:  # fmin
            for k in range(n):
                a = v[a0 + k * a1]
                b = v[b0 + k * b1]
                v[i + k] = a if a <= b else b if b == b else a
        elif o == 51:  # fmod
            for k in range(n):
                a = v[a0 + k * a1]
                b = v[b0 + k * b1]
                v[i + k] = fmod_of(a, b)
        elif o == 52:  # gammaln
            for k in range(n):
                a = v[a0 + k * a1]
                v[i + k] = lgamma(a)
        elif o == 53:  # greater
            for k in range(n):
                a = v[a0 + k * a1]
                b = v[b0 + k * b1]
                v[i + k] = 1.0 if a > b else 0.0
        elif o == 54:  # greater_equal
            for k in range(n):
                a = v[a0 + k * a1]
                b = v[b0 + k * b1]
                v[i + k] = 1.0 if a >= b else 0.0
        elif o == 55:  # heaviside
            for k in range(n):
                a = v[a0 + k * a1]
                b = v[b0 + k * b1]
                v[i + k] = b if a == 0.0 else 1.0 if a > 0.0 else 0.0
        elif o == 56:  # hypot
            for k in range(n):
                a = v[a0 + k * a1]
                b = v[b0 + k * b1]
                v[i + k] = hypot(a, b)
        elif o == 57:  # identity
            if a1 == 1:
                for k in range(n):
                    a = v[a0 + k]
                    v[i + k] = a
            else:
                for k in range(n):
                    a = v[a0 + k * a1]
                    v[i + k] = a
        elif o == 58:  # isfinite
            for k in range(n):
                a = v[a0 + k * a1]
                v[i + k] = 1.0 if a - a == 0.0 else 0.0
        elif o == 59:  # isinf
            for k in range(n):
                a = v[a0 + k * a1]
                v[i + k] = 1.0 if abs(a) == INF else 0.0
        elif o == 60:  # isnan
            for k in range(n):
                a = v[a0 + k * a1]
                v[i + k] = 1.0 if a != a else 0.0
        elif o == 61:  # isneginf
            for k in range(n):
                a = v[a0 + k * a1]
                v[i + k] = 1.0 if a == -INF else 0.0
        elif o == 62:  # isposinf
            for k in range(n):
                a = v[a0 + k * a1]
                v[i + k] = 1.0 if a == INF else 0.0
        elif o == 63:  # leaky_relu
            for k in range(n):
                a = v[a0 + k * a1]
                b = v[b0 + k * b1]
                v[i + k] = a if a > 0.0 else a * b
        elif o == 64:  # less
            for k in range(n):
                a = v[a0 + k * a1]
                b = v[b0 + k * b1]
                v[i + k] = 1.0 if a < b else 0.0
        elif o == 65:  # less_equal
            for k in range(n):
                a = v[a0 + k * a1]
                b = v[b0 + k * b1]
                v[i + k] = 1.0 if a <= b else 0.0
        elif o == 66:  # log10
            for k in range(n):
                a = v[a0 + k * a1]
                v[i + k] = log10(a)
        elif o == 67:  # log2
            for k in range(n):
                a = v[a0 + k * a1]
                v[i + k] = log2(a)
        elif o == 68:  # log_cosh
            for k in range(n):
                a = v[a0 + k * a1]
                v[i + k] = log_cosh(a)
        elif o == 69:  # log_sigmoid
            for k in range(n):
                a = v[a0 + k * a1]
                v[i + k] = -softplus(-a)
        elif o == 70:  # logical_and
            for k in range(n):
                a = v[a0 + k * a1]
                b = v[b0 + k * b1]
                v[i + k] = 1.0 if a != 0.0 and b != 0.0 else 0.0
        elif o == 71:  # logical_not
            for k in range(n):
                a = v[a0 + k * a1]
                v[i + k] = 1.0 if a == 0.0 else 0.0
        elif o == 72:  # logical_or
            for k in range(n):
                a = v[a0 + k * a1]
                b = v[b0 + k * b1]
                v[i + k] = 1.0 if a != 0.0 or b != 0.0 else 0.0
        elif o == 73:  # logical_xor
            for k in range(n):
                a = v[a0 + k * a1]
                b = v[b0 + k * b1]
                v[i + k] = 1.0 if (a != 0.0) != (b != 0.0) else 0.0
        elif o == 74:  # ndtr
            for k in range(n):
                a = v[a0 + k * a1]
                v[i + k] = ndtr(a)
        elif o == 75:  # not_equal
            for k in range(n):
                a = v[a0 + k * a1]
                b = v[b0 + k * b1]
                v[i + k] = 1.0 if a != b else 0.0
        elif o == 76:  # positive
            for k in range(n):
                a = v[a0 + k * a1]
                v[i + k] = a
        elif o == 77:  # pow
            for k in range(n):
                a = v[a0 + k * a1]
                b = v[b0 + k * b1]
                v[i + k] = pow(a, b)
        elif o == 78:  # rad2deg
            for k in range(n):
                a = v[a0 + k * a1]
                v[i + k] = a * 57.29577951308232
        elif o == 79:  # rel_entr
            for k in range(n):
                a = v[a0 + k * a1]
                b = v[b0 + k * b1]
                v[i + k] = rel_entr(a, b)
        elif o == 80:  # remainder
            for k in range(n):
                a = v[a0 + k * a1]
                b = v[b0 + k * b1]
                v[i + k] = remainder_of(a, b)
        elif o == 81:  # round
            for k in range(n):
                a = v[a0 + k * a1]
                v[i + k] = round_of(a)
        elif o == 82:  # rsqrt
            for k in range(n):
                a = v[a0 + k * a1]
                v[i + k] = 1.0 / sqrt(a)
        elif o == 83:  # sech_squared
            for k in range(n):
                a = v[a0 + k * a1]
                v[i + k] = sech_squared(a)
        elif o == 84:  # sign
            for k in range(n):
                a = v[a0 + k * a1]
                v[i + k] = sign(a)
        elif o == 85:  # signbit
            for k in range(n):
                a = v[a0 + k * a1]
                v[i + k] = 1.0 if copysign(1.0, a) < 0.0 else 0.0
        elif o == 86:  # sinh
            for k in range(n):
                a = v[a0 + k * a1]
                v[i + k] = sinh(a)
        elif o == 87:  # sinpi
            for k in range(n):
                a = v[a0 + k * a1]
                v[i + k] = sinpi(a)
        elif o == 88:  # stop_gradient
            for k in range(n):
                a = v[a0 + k * a1]
                v[i + k] = a
        elif o == 89:  # tan
            for k in range(n):
                a = v[a0 + k * a1]
                v[i + k] = tan(a)
        elif o == 90:  # tanhshrink
            for k in range(n):
                a = v[a0 + k * a1]
                v[i + k] = tanhshrink(a)
        elif o == 91:  # trunc
            for k in range(n):
                a = v[a0 + k * a1]
                v[i + k] = trunc_of(a)
        elif o == 92:  # truth
            for k in range(n):
                a = v[a0 + k * a1]
                v[i + k] = 1.0 if a != 0.0 else 0.0
        elif o == 93:  # xlog1py
            for k in range(n):
                a = v[a0 + k * a1]
                b = v[b0 + k * b1]
                v[i + k] = 0.0 if a == 0.0 else a * log1p(b)
        elif o == 94:  # xlogy
            for k in range(n):
                a = v[a0 + k * a1]
                b = v[b0 + k * b1]
                v[i + k] = 0.0 if a == 0.0 else a * log(b)
        elif o == 255:  # load
            for k in range(n):
                b = v[b0 + k * b1]
                v[i + k] = v[a0 + k * a1 + place(b)] if b >= 0.0 and b < c0 else INF
        else:
            v[i] = INF

@kernel(STEPS)
def steps(
    codes: Ints, table: Ints, split: int, v: Floats, begin: int, middle: int, x: Floats, slot: int, width: int,
    moves: Ints, swaps: Ints, kept: Ints, room: Floats, out: Floats, wide: int, test: int, count: int,
) -> int:
    """Up to `count` steps of a loop. How many were taken: r·4 after r steps; + 1 if the condition ended it; + 2 if an entry
    of the next step is not finite.

    What varies lies in v from `begin` on. Of the `width` slices, which begin at `slot`, x has a row for each step. The
    condition is entry `test`, computed by the first `split` runs up to entry `middle`, the rest by the others; without one
    `test` is −1. Copies are rows of from, to, how many: `moves` make results carries, `swaps` carries carries, by way of
    `room`; `kept` fill a row, `wide` numbers, of `out`.
    """
    bits = bits_of(v)
    for t in range(count):
        copied(x, v, t * width, slot, width)
        first = 0
        last = split
        behind = middle
        for part in range(1 if test < 0 else 0, 2):
            if part == 1:
                first = split
                last = len(codes)
                behind = len(v)
            computed(codes, table, v, first, last)
            if not finite(bits, begin, behind):
                return 4 * t + 2
            if part == 0 and v[test] == 0.0:
                return 4 * t + 1
        for r in range(0, len(kept), 3):
            copied(v, out, kept[r], t * wide + kept[r + 1], kept[r + 2])
        at = 0
        for r in range(0, len(swaps), 3):
            copied(v, room, swaps[r], at, swaps[r + 2])
            at += swaps[r + 2]
        for r in range(0, len(moves), 3):
            copied(v, v, moves[r], moves[r + 1], moves[r + 2])
        at = 0
        for r in range(0, len(swaps), 3):
            copied(room, v, at, swaps[r + 1], swaps[r + 2])
            at += swaps[r + 2]
    return 4 * count
