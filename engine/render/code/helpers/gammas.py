"""The gamma function and what is made of it."""

from __future__ import annotations

from math import copysign, cos, exp, expm1, fabs, floor, lgamma, log, log1p, pow, sin

from engine.tape.prelude import digamma

INF = float("inf")

BERNOULLI = (
    1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730, 7 / 6, -3617 / 510, 43867 / 798, -174611 / 330,
    854513 / 138, -236364091 / 2730,
)  # fmt: skip


def stirling_rest(a: float) -> float:
    """log Gamma(a) - (a - 1/2) log a + a - log(2 pi)/2 for a >= 10. DLMF 5.11.1."""
    z = 1.0 / (a * a)
    total = 0.0
    for k in range(11, -1, -1):
        m = float(k + 1)
        total = total * z + BERNOULLI[k] / (2.0 * m * (2.0 * m - 1.0))
    return total / a


def gamma_right(a: float) -> float:
    """Gamma(a) for a >= 1/2: the recurrence up to 12, there Stirling's series. DLMF 5.5.1, 5.11.3."""
    if a > 171.7:
        return INF
    x = a
    under = 1.0
    while x < 12.0:
        under *= x
        x += 1.0
    half = pow(x, 0.5 * x - 0.25)
    return half * exp(-x) * half * 2.5066282746310002 * exp(stirling_rest(x)) / under


def sine_of_pi(a: float) -> float:
    """sin(pi a) with exact zeros."""
    half = floor(a + 0.5)
    r = sin(3.141592653589793 * (a - half))
    return r if floor(0.5 * half) * 2.0 == half else -r


def gammasgn(a: float) -> float:
    """Sign of Gamma; 0 at the poles left of 0, 1 or -1 at 0 with its sign."""
    if a != a:
        return a
    if a == 0.0:
        return copysign(1.0, a)
    if a > 0.0:
        return 1.0
    if a == floor(a):
        return (a - a) / (a - a)
    return 1.0 if floor(0.5 * floor(a)) * 2.0 == floor(a) else -1.0


def rgamma(a: float) -> float:
    """1 / Gamma(a); 0 at the poles."""
    if a > 0.5:
        return 1.0 / tgamma(a) if a < 171.0 else exp(-lgamma(a))
    if a == floor(a):
        return 0.0
    x = 1.0 - a
    if x > 170.0:
        s = sine_of_pi(a)
        y = exp(lgamma(x) + log(fabs(s)) - 1.1447298858494002)
        return y if s > 0.0 else -y
    return tgamma(x) * sine_of_pi(a) / 3.141592653589793


def tgamma(a: float) -> float:
    """Gamma(a), left of 1/2 by reflection. DLMF 5.5.3."""
    if a >= 0.5:
        return gamma_right(a)
    if a == 0.0:
        return 1.0 / a
    if not a > -INF or a == floor(a):
        return (a - a) / (a - a)
    if a < -184.0:
        return 0.0 if floor(0.5 * floor(a)) * 2.0 == floor(a) else -0.0
    s = sine_of_pi(a)
    if a < -170.0:
        part = gamma_right(1.0 - a - 20.0)
        x = 1.0 - a - 20.0
        y = 3.141592653589793 / (s * part)
        for _ in range(20):
            y /= x
            x += 1.0
        return y
    return 3.141592653589793 / (s * gamma_right(1.0 - a))


def lgamma_ratio(x: float, h: float) -> float:
    """log Gamma(x + h) - log Gamma(x) for x and x + h >= 10, Stirling's series term by term."""
    change = log1p(h / x)
    total = (x - 0.5) * change + h * (log(x + h) - 1.0)
    for k in range(1, 13):
        m = 2.0 * float(k)
        total += BERNOULLI[k - 1] / (m * (m - 1.0)) * pow(x, 1.0 - m) * expm1((1.0 - m) * change)
    return total


def betaln(a: float, b: float) -> float:
    """log |B(a, b)|, for large parameters without the difference of logarithms that would cancel."""
    small = a if a < b else b
    large = b if a < b else a
    if large >= 10.0 and small + large >= 10.0 and large < INF and small > 0.0:
        return lgamma(small) - lgamma_ratio(large, small)
    return lgamma(a) + lgamma(b) - lgamma(a + b)


def beta(a: float, b: float) -> float:
    """B(a, b) = Gamma(a) Gamma(b) / Gamma(a + b)."""
    small = a if a < b else b
    large = b if a < b else a
    if large >= 10.0 and small > 0.0 and large < INF:
        ratio = lgamma_ratio(large, small)
        return tgamma(small) * exp(-ratio) if small < 100.0 else exp(lgamma(small) - ratio)
    if (a <= 0.0 and a == floor(a)) or (b <= 0.0 and b == floor(b)):
        return INF
    return tgamma(a) * tgamma(b) * rgamma(a + b)


def poch(z: float, m: float) -> float:
    """Gamma(z + m) / Gamma(z)."""
    if z >= 10.0 and z + m >= 10.0 and z + m < INF:
        return exp(lgamma_ratio(z, m))
    if m == floor(m) and 0.0 <= m <= 100.0:
        y = 1.0
        k = 0.0
        while k < m:
            y *= z + k
            k += 1.0
        return y
    return tgamma(z + m) * rgamma(z)


def binom(n: float, k: float) -> float:
    """Gamma(n + 1) / (Gamma(k + 1) Gamma(n - k + 1))."""
    few = k if k < n - k else n - k
    if n >= 30.0 and few > -1.0 and n - few >= 10.0:
        ratio = lgamma_ratio(n - few + 1.0, few)
        return exp(ratio) * rgamma(few + 1.0) if few < 100.0 else exp(ratio - lgamma(few + 1.0))
    if k == floor(k) and 0.0 <= k <= 30.0:
        y = 1.0
        j = 1.0
        while j <= k:
            y *= (n - k + j) / j
            j += 1.0
        return y
    return tgamma(n + 1.0) * rgamma(k + 1.0) * rgamma(n - k + 1.0)


def zeta(s: float, q: float) -> float:
    """Hurwitz's zeta function for s > 1 and q > 0 by the Euler-Maclaurin formula. DLMF 25.11.5."""
    total = 0.0
    for k in range(16):
        total += pow(q + float(k), -s)
    a = q + 16.0
    power = pow(a, -s)
    total += power * a / (s - 1.0) + 0.5 * power
    rising = s
    down = power / a
    factorial = 2.0
    for k in range(1, 13):
        m = 2.0 * float(k)
        total += BERNOULLI[k - 1] / factorial * rising * down
        rising *= (s + m - 1.0) * (s + m)
        down /= a * a
        factorial *= (m + 1.0) * (m + 2.0)
    return total


def cotangent_of_pi(a: float) -> float:
    """cot(pi a)."""
    t = a - floor(a + 0.5)
    if fabs(t) > 0.25:
        u = fabs(t) - 0.5
        return copysign(-sin(3.141592653589793 * u) / cos(3.141592653589793 * u), t)
    return cos(3.141592653589793 * t) / sin(3.141592653589793 * t)


def polygamma(n: int, a: float) -> float:
    """The n-th derivative of digamma, n from 1 to 5: (-1)^(n+1) n! zeta(n + 1, a), by reflection left of 0. DLMF 5.15."""
    sign = 1.0 if n == 1 or n == 3 or n == 5 else -1.0
    size = 1.0
    for k in range(2, n + 1):
        size *= float(k)
    if a > 0.0:
        return 0.0 * sign if a == INF else sign * size * zeta(float(n) + 1.0, a)
    if a != a or a == -INF:
        return (a - a) / (a - a) if a == a else a
    if a == floor(a):
        return sign * INF
    c = cotangent_of_pi(a)
    q = 1.0 + c * c
    bend = -q
    if n == 2:
        bend = 2.0 * c * q
    if n == 3:
        bend = -q * (2.0 + 6.0 * c * c)
    if n == 4:
        bend = q * c * (16.0 + 24.0 * c * c)
    if n == 5:
        bend = -q * (16.0 + c * c * (120.0 + 120.0 * c * c))
    return -size * zeta(float(n) + 1.0, 1.0 - a) - bend * pow(3.141592653589793, float(n) + 1.0)


def digamma_of(a: float) -> float:
    """psi(a); at 0 the infinity of the other sign, NaN at the other poles."""
    if a == 0.0:
        return -1.0 / a
    if a < 0.0 and a == floor(a):
        return (a - a) * INF
    return a if a == INF else digamma(a)


def polygamma_change(power: int, ratio: float, at: float) -> float:
    """(z + h)^-m - z^-m for ratio h / z."""
    change = log1p(ratio)
    return pow(at, -float(power)) * expm1(-float(power) * change)


def polygamma_difference(n: int, a: float, h: float) -> float:
    """The n-th derivative of digamma at a + h less that at a, for a > 0 and a + h > 0, without cancellation.

    Both by the recurrence and the asymptotic series (DLMF 5.15.5, 5.11.2, 5.15.8), term by term.
    """
    sign = -1.0
    size = 1.0
    for k in range(1, n + 1):
        sign = -sign
        size *= float(k)
    if not (a > 0.0 and a + h > 0.0):
        return digamma_of(a + h) - digamma_of(a) if n == 0 else polygamma(n, a + h) - polygamma(n, a)
    total = 0.0
    for k in range(16 + n):
        total += polygamma_change(n + 1, h / (a + float(k)), a + float(k))
    total *= size
    far = a + 16.0 + float(n)
    if n == 0:
        total -= log1p(h / far)
    else:
        total += size / float(n) * polygamma_change(n, h / far, far)
    total += 0.5 * size * polygamma_change(n + 1, h / far, far)
    factor = size * (float(n) + 1.0) / 2.0
    for k in range(1, 13):
        total += BERNOULLI[k - 1] * factor * polygamma_change(2 * k + n, h / far, far)
        m = 2.0 * float(k) + float(n)
        factor *= m * (m + 1.0) / ((2.0 * float(k) + 1.0) * (2.0 * float(k) + 2.0))
    return sign * total


def zeta_of(s: float, q: float) -> float:
    """Hurwitz's zeta function; infinite at s = 1, NaN for q <= 0."""
    if s != s or q != q or q <= 0.0:
        return (q - q) / (q - q)
    if s == 1.0:
        return INF
    if s == INF:
        return 1.0 if q == 1.0 else 0.0 if q > 1.0 else INF
    return zeta(s, q)
