"""Arithmetic: products with strong zeros, what is larger, remainders, powers of integers, and elementary functions."""

from __future__ import annotations

from math import copysign, cos, exp, expm1, fabs, floor, fmod, log, log1p, pow, sin, tan

INF = float("inf")


def strong(x: float, y: float) -> float:
    """x * y, and 0 where x is 0 even if y is infinite or NaN: no derivative passes where its factor is 0."""
    p = x * y
    return 0.0 if p != p and x == 0.0 else p


def strong_both(x: float, y: float) -> float:
    """x * y, and 0 where either is 0 even if the other is infinite or NaN."""
    p = x * y
    return 0.0 if p != p and (x == 0.0 or y == 0.0) else p


def sign(a: float) -> float:
    """-1, 0 or 1."""
    return 1.0 if a > 0.0 else -1.0 if a < 0.0 else 0.0 if a == 0.0 else a


def maximum(a: float, b: float) -> float:
    """The larger; NaN if either is."""
    return a if a >= b or a != a else b


def minimum(a: float, b: float) -> float:
    """The smaller; NaN if either is."""
    return a if a <= b or a != a else b


def round_of(a: float) -> float:
    """Nearest integer, halves to even."""
    size = fabs(a)
    if not size < 4503599627370496.0:
        return a
    return copysign((size + 4503599627370496.0) - 4503599627370496.0, a)


def remainder_of(a: float, b: float) -> float:
    """Remainder with the sign of the divisor, as Python's %."""
    r = fmod(a, b)
    if r == 0.0:
        return copysign(0.0, b)
    return r + b if (b < 0.0) != (r < 0.0) else r


def floor_divide(a: float, b: float) -> float:
    """The largest integer not above a / b, from the exact remainder, as Python's //."""
    if b == 0.0:
        return a / b
    r = fmod(a, b)
    q = (a - r) / b
    if r != 0.0 and (b < 0.0) != (r < 0.0):
        q -= 1.0
    if q == 0.0:
        return copysign(0.0, a / b)
    f = floor(q)
    return f + 1.0 if q - f > 0.5 else f


def trunc_divide(a: int, b: int) -> int:
    """Quotient of integers without its fraction: what C's division is. Both languages have it."""
    q = abs(a) // abs(b)
    return q if (a < 0) == (b < 0) else -q


def int_floor_divide(a: int, b: int) -> int:
    """Floor of a / b for integers; 0 for b = 0, as NumPy."""
    if b == 0:
        return 0
    q = trunc_divide(a, b)
    return q - 1 if q * b != a and (a < 0) != (b < 0) else q


def int_fmod(a: int, b: int) -> int:
    """Remainder with the sign of a; 0 for b = 0, as NumPy."""
    return 0 * a if b == 0 else a - trunc_divide(a, b) * b


def int_remainder(a: int, b: int) -> int:
    """Remainder with the sign of b; 0 for b = 0, as NumPy."""
    r = int_fmod(a, b)
    return r + b if r != 0 and (r < 0) != (b < 0) else r


def int_power(a: int, n: int) -> int:
    """a to the power n >= 0, by squaring."""
    y: int = 1
    x = a
    k = n
    while k > 0:
        if int_fmod(k, 2) == 1:
            y *= x
        k = trunc_divide(k, 2)
        if k > 0:
            x *= x
    return y


def int_abs(a: int) -> int:
    """|a|."""
    return -a if a < 0 else a


def int_sign(a: int) -> int:
    """-1, 0 or 1."""
    return 1 if a > 0 else -1 if a < 0 else 0


def int_maximum(a: int, b: int) -> int:
    """The larger."""
    return a if a >= b else b


def int_minimum(a: int, b: int) -> int:
    """The smaller."""
    return a if a <= b else b


def integer_of(a: float) -> int:
    """a without its fraction; the smallest integer where none stands for it, as NumPy."""
    return int(a) if fabs(a) < 9.2e18 else -9223372036854775807 - 1


def whole_power(a: float, n: float) -> float:
    """a to an integral power n, by the power of |a|."""
    y = pow(fabs(a), n)
    return copysign(y, a) if fmod(n, 2.0) != 0.0 else y


def rel_entr(a: float, b: float) -> float:
    """a log(a / b); 0 for a = 0, infinity outside the domain."""
    if a != a or b != b:
        return a + b
    if a > 0.0 and b > 0.0:
        ratio = a / b
        if 0.5 < ratio < 2.0:
            return a * log1p((a - b) / b)
        if 2.2250738585072014e-308 < ratio < INF:
            return a * log(ratio)
        return a * (log(a) - log(b))
    return 0.0 if a == 0.0 and b >= 0.0 else INF


def kl_terms(a: float, b: float) -> float:
    """a log(a / b) - a + b; b for a = 0, infinity outside the domain."""
    if a != a or b != b:
        return a + b
    if a > 0.0 and b > 0.0:
        return a * log(a / b) - a + b
    return b if a == 0.0 and b >= 0.0 else INF


def entr(a: float) -> float:
    """-a log(a); 0 for a = 0, -infinity for a < 0."""
    if a > 0.0:
        return -a * log(a)
    return 0.0 if a == 0.0 else a if a != a else -INF


def xlogy(a: float, b: float) -> float:
    """a log(b), and 0 for a = 0 unless b is NaN."""
    return 0.0 if a == 0.0 and b == b else a * log(b)


def xlog1py(a: float, b: float) -> float:
    """a log(1 + b), and 0 for a = 0 unless b is NaN."""
    return 0.0 if a == 0.0 and b == b else a * log1p(b)


def softsign(a: float) -> float:
    """a / (1 + |a|)."""
    return copysign(1.0, a) if fabs(a) == INF else a / (1.0 + fabs(a))


def heaviside(a: float, b: float) -> float:
    """0, b or 1 as a is negative, 0 or positive."""
    return a if a != a else b if a == 0.0 else 1.0 if a > 0.0 else 0.0


def logit(a: float) -> float:
    """log(a / (1 - a)); near 1/2 by what a differs from it."""
    if 0.3 < a < 0.65:
        s = 2.0 * (a - 0.5)
        return log1p(s) - log1p(-s)
    return log(a / (1.0 - a))


def logaddexp2(a: float, b: float) -> float:
    """log2(2^a + 2^b)."""
    if a == b:
        return a + 1.0
    d = a - b
    if d > 0.0:
        return a + 1.4426950408889634 * log1p(pow(2.0, -d))
    return b + 1.4426950408889634 * log1p(pow(2.0, d)) if d <= 0.0 else d


def abs_power(a: float, p: float) -> float:
    """|a|^p with the sign of a; a zero stays as it is."""
    return a if a == 0.0 else copysign(pow(fabs(a), p), a)


def exprel_of(n: int, a: float) -> float:
    """The n-th derivative of (e^a - 1) / a: for small a its power series, else the recurrence y' = (e^a - n y) / a."""
    if a != a:
        return a
    if fabs(a) < 4.0 + float(n):
        term = 1.0 / (float(n) + 1.0)
        total = term
        k = 1.0
        while k < 90.0:
            term *= a / k * (float(n) + k) / (float(n) + k + 1.0)
            total += term
            k += 1.0
        return total if a > -1.0 else exprel_left(n, a)
    if a > 717.0:
        return INF
    if n == 0 or a < 0.0:
        return exprel_left(n, a)
    y = expm1(a) / a
    for j in range(1, n + 1):
        y = (exp(a) - float(j) * y) / a
    return y


def exprel_left(n: int, a: float) -> float:
    """The same for a < 0 by the integral of t^n e^(a t) over (0, 1), as e^a times a series whose terms have one sign."""
    if n == 0:
        return expm1(a) / a
    if a == -INF:
        return 0.0
    if a < -30.0 - 4.0 * float(n):
        y = -1.0 / a
        for j in range(1, n + 1):
            y *= -float(j) / a
        return y
    term = exp(a) / (float(n) + 1.0)
    total = term
    k = 1.0
    while k < 400.0 and term > 1e-17 * total:
        term *= -a / (float(n) + 1.0 + k)
        total += term
        k += 1.0
    return total


def ldexp_of(a: float, n: int) -> float:
    """a 2^n, in three steps so that no power of 2 overflows or vanishes before the product does."""
    k = n
    x = a
    while k > 1000:
        x *= 2.0**1000
        k -= 1000
        if x - x != 0.0 or x == 0.0:
            return x
    while k < -1000:
        x *= 2.0**-1000
        k += 1000
        if x - x != 0.0 or x == 0.0:
            return x
    return x * pow(2.0, float(k))


def binary_exponent(a: float) -> int:
    """The exponent e of a = m 2^e with 1/2 <= |m| < 1; 0 for 0, infinities and NaN."""
    e: int = 0
    m = fabs(a)
    if m == 0.0 or m - m != 0.0:
        return e
    while m >= 1.0:
        m *= 0.5
        e += 1
    while m < 0.5:
        m *= 2.0
        e -= 1
    return e


def sindg(a: float) -> float:
    """Sine of an angle in degrees, exact at multiples of 30 and 90."""
    if not fabs(a) <= 1e14:
        return a if a != a else 0.0
    r = fmod(fabs(a), 360.0)
    s = -1.0 if a < 0.0 else 1.0
    if r >= 180.0:
        r -= 180.0
        s = -s
    if r > 90.0:
        r = 180.0 - r
    if r > 45.0:
        return s * cos((90.0 - r) * 0.017453292519943295)
    return s * 0.5 if r == 30.0 else s * sin(r * 0.017453292519943295)


def cosdg(a: float) -> float:
    """Cosine of an angle in degrees, exact at multiples of 60 and 90."""
    if not fabs(a) <= 1e14:
        return a if a != a else 0.0
    r = fmod(fabs(a), 360.0)
    s = 1.0
    if r > 180.0:
        r = 360.0 - r
    if r > 90.0:
        r = 180.0 - r
        s = -1.0
    if r > 45.0:
        return s * 0.5 if r == 60.0 else s * sin((90.0 - r) * 0.017453292519943295)
    return s * cos(r * 0.017453292519943295)


def tandg(a: float) -> float:
    """Tangent of an angle in degrees, infinite at odd multiples of 90."""
    if not fabs(a) <= 1e14:
        return a if a != a else 0.0
    r = fmod(fabs(a), 180.0)
    s = -1.0 if a < 0.0 else 1.0
    if r == 90.0:
        return INF
    if r > 90.0:
        r = 180.0 - r
        s = -s
    if r == 45.0:
        return s
    return s * tan(r * 0.017453292519943295) if r < 45.0 else s / tan((90.0 - r) * 0.017453292519943295)


def cotdg(a: float) -> float:
    """Cotangent of an angle in degrees, infinite at multiples of 180."""
    if not fabs(a) <= 1e14:
        return a if a != a else 0.0
    r = fmod(fabs(a), 180.0)
    s = -1.0 if a < 0.0 else 1.0
    if r == 0.0:
        return INF
    if r > 90.0:
        r = 180.0 - r
        s = -s
    if r == 45.0:
        return s
    return s * tan((90.0 - r) * 0.017453292519943295) if r > 45.0 else s / tan(r * 0.017453292519943295)


def spherical_ratio(n: int, a: float) -> float:
    """j_n(a) / a^n with the spherical Bessel function j_n: a power series, or the recurrence upward. DLMF 10.51, 10.53."""
    if fabs(a) == INF:
        return 0.0
    if n == 0 and fabs(a) >= 1.0:
        return sin(a) / a
    if fabs(a) < 1.0 + float(n) or a != a:
        u = -0.5 * a * a
        term = 1.0
        for k in range(1, n + 1):
            term /= 2.0 * float(k) + 1.0
        total = term
        for k in range(1, 14 + 2 * n):
            term *= u / (float(k) * (2.0 * float(n) + 2.0 * float(k) + 1.0))
            total += term
        return total
    before = sin(a) / a
    here = (before - cos(a)) / (a * a)
    for k in range(1, n):
        after = ((2.0 * float(k) + 1.0) * here - before) / (a * a)
        before = here
        here = after
    return here


def wrapped_index(i: int, n: int, least: int) -> int:
    """An index of n entries, counted from the end if it is negative; -1 if it is out of range."""
    return -1 if i < least or i >= n else i + n if i < 0 else i
