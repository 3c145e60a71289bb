"""Error functions and their inverses, the normal distribution, Dawson's integral."""

from __future__ import annotations

from math import copysign, erf, erfc, exp, expm1, fabs, log, log1p, sqrt

INF = float("inf")


def exp_minus_square(a: float) -> float:
    """exp(-a^2), a^2 as an exact square and a small rest."""
    if fabs(a) > 28.0:
        return 0.0 if a == a else a
    c = a * 134217729.0
    high = c - (c - a)
    return exp(-high * high) * exp(-(a - high) * (a + high))


def erfcx_right(n: int, a: float) -> float:
    """The n-th derivative of exp(a^2) erfc(a) for a >= 1, by backward recurrence of the repeated integrals of erfc.

    W. Gautschi, "Recursive computation of the repeated integrals of the error function", Math. Comp. 15, 1961;
    DLMF 7.18.7, 7.18.9.
    """
    if a > 1e8:
        y = 0.5641895835477563 / a
        for k in range(1, n + 1):
            y *= -float(k) / a
        return y
    steps = int(220.0 / (a * a)) + 24 + 2 * n
    above = 0.0
    here = 1e-300
    wanted = 0.0
    for k in range(steps, -1, -1):
        below = 2.0 * a * here + 2.0 * float(k + 1) * above
        above = here
        here = below
        if k == n:
            wanted = above
        if here > 1e250:
            here *= 1e-250
            above *= 1e-250
            wanted *= 1e-250
    # Now `here` is the integral of order -1, 2/sqrt(pi) exp(-a^2), times what all are too large by.
    y = 1.1283791670955126 * wanted / here
    for k in range(1, n + 1):
        y *= -2.0 * float(k)
    return y


def erfcx(n: int, a: float) -> float:
    """The n-th derivative of exp(a^2) erfc(a); DLMF 7.10.2 to the left of 1."""
    if a >= 1.0:
        return 0.0 if a == INF else erfcx_right(n, a)
    if a < -26.7:
        return INF if n == 0 else -INF if int_parity(n) == 1 else INF
    first = exp(a * a) * erfc(a)
    if a < -1.0:
        c = a * 134217729.0
        high = c - (c - a)
        first = exp(high * high) * exp((a - high) * (a + high)) * erfc(a)
    if n == 0:
        return first
    here = 2.0 * a * first - 1.1283791670955126
    before = first
    for k in range(1, n):
        after = 2.0 * a * here + 2.0 * float(k) * before
        before = here
        here = after
    return here


def int_parity(n: int) -> int:
    """0 for even n, 1 for odd n."""
    return int_fmod_of(n)


def int_fmod_of(n: int) -> int:
    """n modulo 2 for n >= 0."""
    return n - 2 * int(0.5 * float(n))


def ndtr(a: float) -> float:
    """Distribution function of the standard normal distribution."""
    x = a * 0.7071067811865476
    if fabs(x) < 1.0:
        return 0.5 + 0.5 * erf(x)
    y = 0.5 * erfc(fabs(x))
    return 1.0 - y if x > 0.0 else y


def log_ndtr(a: float) -> float:
    """Logarithm of the normal distribution function, from the scaled erfc in the left tail."""
    if a > -1.0:
        return log1p(-0.5 * erfc(a * 0.7071067811865476))
    if a == -INF:
        return -INF
    return log(0.5 * erfcx(0, -a * 0.7071067811865476)) - 0.5 * a * a


def quantile_start(t: float) -> float:
    """A quantile to three digits, from t = sqrt(-2 log p): Abramowitz and Stegun 26.2.23."""
    top = 2.515517 + t * (0.802853 + t * 0.010328)
    return t - top / (1.0 + t * (1.432788 + t * (0.189269 + t * 0.001308)))


def erfcinv_small(q: float) -> float:
    """The x > 0 with erfc(x) = q, for 0 < q <= 1/2, by Halley's method on log erfc."""
    x = 0.7071067811865476 * quantile_start(sqrt(-2.0 * (log(q) - 0.6931471805599453)))
    goal = log(q)
    for _ in range(4):
        scaled = erfcx(0, x)
        gap = log(scaled) - x * x - goal
        slope = -1.1283791670955126 / scaled
        bend = slope * (-2.0 * x - slope)
        x -= gap / (slope - 0.5 * gap * bend / slope)
    return x


def erfinv(y: float) -> float:
    """The x with erf(x) = y: Newton's method near 0, by erfc in the tails."""
    size = fabs(y)
    if not size < 1.0:
        return y * INF if size == 1.0 else (y - y) / (y - y)
    if size > 0.5:
        return copysign(erfcinv_small(1.0 - size), y)
    w = 0.25 * 3.141592653589793 * y * y
    x = 0.8862269254527580 * y * (1.0 + w / 3.0 + 7.0 * w * w / 30.0)
    for _ in range(4):
        gap = erf(x) - y
        step = gap * 0.8862269254527580 * exp(x * x)
        x -= step / (1.0 + x * step)
    return x


def erfcinv(y: float) -> float:
    """The x with erfc(x) = y."""
    if y == 0.0:
        return INF
    if y == 2.0:
        return -INF
    if not 0.0 < y < 2.0:
        return (y - y) / (y - y)
    if y <= 0.5:
        return erfcinv_small(y)
    return -erfcinv_small(2.0 - y) if y >= 1.5 else erfinv(1.0 - y)


def ndtri(p: float) -> float:
    """Quantile of the standard normal distribution."""
    return -1.4142135623730951 * erfcinv(2.0 * p)


def ndtri_exp(y: float) -> float:
    """The quantile whose probability has the logarithm y."""
    if not y < 0.0:
        return INF if y == 0.0 else (y - y) / (y - y)
    if y == -INF:
        return -INF
    if y > -0.6931471805599453:
        return 1.4142135623730951 * erfcinv(-2.0 * expm1(y))
    x = -quantile_start(sqrt(-2.0 * y))
    for _ in range(6):
        gap = log_ndtr(x) - y
        slope = 0.7978845608028654 / erfcx(0, -0.7071067811865476 * x)
        bend = slope * (-x - slope)
        x -= gap / (slope - 0.5 * gap * bend / slope)
    return x


def dawsn(n: int, a: float) -> float:
    """The n-th derivative of Dawson's integral: its power series and the recurrence DLMF 7.10.3 near 0, then a sum.

    G. B. Rybicki, Computers in Physics 3(2), 1989, doi:10.1063/1.4822832; from 7 on the asymptotic series DLMF 7.12.
    """
    size = fabs(a)
    if size < 0.5 or a != a:
        term = a
        total = 0.0
        for j in range(1, 24):
            total += term
            term *= -2.0 * a * a / (2.0 * float(j) + 1.0)
        here = 1.0 - 2.0 * a * total
        if n == 0:
            return total
        before = total
        for j in range(1, n):
            after = -2.0 * a * here - 2.0 * float(j) * before
            before = here
            here = after
        return here
    odd = -1.0 if a < 0.0 and int_parity(n) == 0 else 1.0
    if size < 7.0:
        sum_of = 0.0
        for j in range(76):
            k = 2.0 * float(j) - 75.0
            z = size - 0.2 * k
            older = 0.0
            hermite = 1.0
            for i in range(n):
                newer = 2.0 * z * hermite - 2.0 * float(i) * older
                older = hermite
                hermite = newer
            sum_of += hermite * exp(-z * z) / k
        return odd * (sum_of if int_parity(n) == 0 else -sum_of) * 0.5641895835477563
    if size == INF:
        return 0.0
    # Of the k-th term x^(-1-2k), differentiated n times.
    part = 0.5 / size
    for i in range(1, n + 1):
        part *= -float(i) / size
    series = 0.0
    for j in range(30):
        series += part
        more = (2.0 * float(j) + 1.0) * 0.5
        for i in range(n):
            more *= (2.0 * float(j) + 3.0 + float(i)) / (2.0 * float(j) + 1.0 + float(i))
        part *= more / (size * size)
    return odd * series
