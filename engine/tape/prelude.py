"""Functions of one or two numbers that the rows of ops are written with, beside those of Python's `math`.

`generate` copies this text into both machines, so nothing here may use more than `math`, comparisons and loops: it is
run by Python and compiled by Numba. No inner part overflows, or leaves a function's domain, where the value itself is
finite. What NumPy answers for NaN and infinities is of no concern: such a run is suspicious, and is done again elsewhere.
"""

from math import copysign, cos, erf, erfc, exp, floor, log, log1p, pow, sin, sinh, sqrt, tanh

INF = float("inf")


def sign(a: float) -> float:
    """−1, 0 or 1."""
    if a > 0.0:
        return 1.0
    if a < 0.0:
        return -1.0
    return 0.0


def floor_of(a: float) -> float:
    """Largest integer not above a, as a float; a zero keeps its sign."""
    if abs(a) >= 4503599627370496.0:
        return a
    return copysign(float(floor(a)), a)


def ceil_of(a: float) -> float:
    """Smallest integer not below a, as a float; a zero has the sign of a."""
    return -floor_of(-a)


def trunc_of(a: float) -> float:
    """a without its fraction."""
    return copysign(floor_of(abs(a)), a)


def round_of(a: float) -> float:
    """Nearest integer, halves to even: adding 2⁵² leaves a number no place for a fraction."""
    size = abs(a)
    if size >= 4503599627370496.0:
        return a
    return copysign((size + 4503599627370496.0) - 4503599627370496.0, a)


def fmod_of(a: float, b: float) -> float:
    """Remainder with the sign of the dividend, exactly."""
    return copysign(abs(a) % abs(b), a)


def remainder_of(a: float, b: float) -> float:
    """Remainder with the sign of the divisor."""
    r = fmod_of(a, b)
    if r == 0.0:
        return copysign(0.0, b)
    if (b < 0.0) != (r < 0.0):
        r += b
    return r


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


def maximum(a: float, b: float) -> float:
    """The larger."""
    if a >= b:
        return a
    return b


def minimum(a: float, b: float) -> float:
    """The smaller."""
    if a <= b:
        return a
    return b


def cbrt(a: float) -> float:
    """Cube root: by the power, and one step of Newton's method, which mends its last digit."""
    if a == 0.0:
        return a
    size = abs(a)
    y = pow(size, 0.3333333333333333)
    y -= (y - size / (y * y)) / 3.0
    return copysign(y, a)


def sigmoid(a: float) -> float:
    """1 / (1 + e⁻ᵃ), by an exponential that does not overflow."""
    e = exp(-abs(a))
    if a >= 0.0:
        return 1.0 / (1.0 + e)
    return e / (1.0 + e)


def sech_squared(a: float) -> float:
    """1 / cosh² a, without overflow."""
    e = exp(-2.0 * abs(a))
    t = e / (1.0 + e)
    return 4.0 * t * (1.0 - t)


def softplus(a: float) -> float:
    """log(1 + eᵃ)."""
    e = log1p(exp(-abs(a)))
    if a > 0.0:
        return a + e
    return e


def logaddexp(a: float, b: float) -> float:
    """log(eᵃ + eᵇ)."""
    if a == b:
        return a + 0.6931471805599453
    d = a - b
    if d > 0.0:
        return a + log1p(exp(-d))
    return b + log1p(exp(d))


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


def log_cosh(a: float) -> float:
    """log cosh a."""
    size = abs(a)
    if size < 1.0:
        s = sinh(size / 2.0)
        return log1p(2.0 * (s * s))
    return size + log1p(exp(-2.0 * size)) - 0.6931471805599453


def sinpi(a: float) -> float:
    """sin(πa), with exact zeros."""
    half = round_of(a)
    r = a - half
    if r == 0.0:
        return 0.0 * a
    if fmod_of(half, 2.0) == 0.0:
        return sin(3.141592653589793 * r)
    return -sin(3.141592653589793 * r)


def cospi(a: float) -> float:
    """cos(πa), with exact zeros: by the sine of what is left to the nearest half."""
    half = floor_of(a)
    r = a - half - 0.5
    if r == 0.0:
        return 0.0
    if fmod_of(half, 2.0) == 0.0:
        return -sin(3.141592653589793 * r)
    return sin(3.141592653589793 * r)


def cosm1(a: float) -> float:
    """cos a − 1, which is −2 sin²(a/2)."""
    if abs(a) > 0.7853981633974483:
        return cos(a) - 1.0
    s = sin(0.5 * a)
    return -2.0 * (s * s)


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


def ndtr(a: float) -> float:
    """Distribution function of the standard normal distribution."""
    x = a * 0.7071067811865476
    if abs(x) < 1.0:
        return 0.5 + 0.5 * erf(x)
    y = 0.5 * erfc(abs(x))
    if x > 0.0:
        return 1.0 - y
    return y


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
