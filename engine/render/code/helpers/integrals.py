"""Exponential, trigonometric and elliptic integrals, the dilogarithm, Lambert's W."""

from __future__ import annotations

from math import cos, exp, fabs, log, log1p, sin, sqrt

INF = float("inf")


def exp1(x: float) -> float:
    """E_1(x): the power series up to 1, then the continued fraction. DLMF 6.6.2, 6.9.1."""
    if not x > 0.0:
        return INF if x == 0.0 else (x - x) / (x - x)
    if x == INF:
        return 0.0
    if x <= 1.0:
        total = -0.5772156649015329 - log(x)
        term = 1.0
        for k in range(1, 24):
            term *= -x / float(k)
            total -= term / float(k)
        return total
    return exp(-x) * exponential_fraction(1.0, x)


def exponential_fraction(n: float, x: float) -> float:
    """e^x E_n(x) for x >= 1 by its continued fraction, from the front (Lentz). DLMF 8.19.17."""
    b = x + n
    c = 1e300
    d = 1.0 / b
    h = d
    k = 1.0
    while k < 10000.0:
        a = -k * (n - 1.0 + k)
        b += 2.0
        d = 1.0 / (a * d + b)
        c = b + a / c
        step = c * d
        h *= step
        if fabs(step - 1.0) < 1e-16:
            break
        k += 1.0
    return h


def expi(x: float) -> float:
    """Ei(x): -E_1(-x) for x < 0, the power series up to 40, then the asymptotic series. DLMF 6.6.1, 6.12.2."""
    if x < 0.0:
        return -exp1(-x)
    if x == 0.0:
        return -INF
    if x > 720.0:
        return INF
    if x <= 40.0 or x != x:
        near = x - 0.3725074107813666
        if fabs(near) < 0.1:
            # Around its zero x0 by the integral of (e^t - 1) / t from there, and log(x / x0).
            near -= 3.3e-17
            total = log1p(near / 0.3725074107813666)
            here = x
            root = 0.3725074107813666
            factorial = 1.0
            for j in range(1, 22):
                factorial *= float(j)
                total += (here - root) / (float(j) * factorial)
                here *= x
                root *= 0.3725074107813666
            return total
        total = 0.0
        term = 1.0
        for j in range(1, 160):
            term *= x / float(j)
            total += term / float(j)
        return 0.5772156649015329 + log(x) + total
    term = 1.0
    total = 1.0
    k = 1.0
    while k < x:
        term *= k / x
        if term < 1e-17:
            break
        total += term
        k += 1.0
    return exp(0.5 * x) * (exp(0.5 * x) * total / x)


def expn(n: int, x: float) -> float:
    """E_n(x). DLMF 8.19.8, 8.19.17."""
    if not x > 0.0:
        if x == 0.0:
            return 1.0 / (float(n) - 1.0) if n > 1 else INF
        return (x - x) / (x - x)
    if x == INF:
        return 0.0
    if n == 0:
        return exp(-x) / x
    if n == 1:
        return exp1(x)
    if x > 1.0:
        return exp(-x) * exponential_fraction(float(n), x)
    total = 0.0
    term = 1.0
    for k in range(24):
        if k > 0:
            term *= -x / float(k)
        if k != n - 1:
            total -= term / (float(k) - float(n) + 1.0)
    psi = -0.5772156649015329
    power = 1.0
    for k in range(1, n):
        psi += 1.0 / float(k)
        power *= -x / float(k)
    return total + power * (psi - log(x))


def spence(z: float) -> float:
    """The dilogarithm Li_2(1 - z), by the power series in 1 - z and two identities. DLMF 25.12.1, 25.12.4, 25.12.6."""
    if not z >= 0.0:
        return (z - z) / (z - z)
    if z == 0.0:
        return 1.6449340668482264
    if z == INF:
        return -INF
    if z < 0.5:
        return 1.6449340668482264 - log(z) * log1p(-z) - spence_series(z)
    if z > 1.5:
        y = log(z)
        if z > 2.0:
            return -0.5 * y * y - 1.6449340668482264 - y * log1p(-1.0 / z) + spence_series(1.0 / z)
        return -0.5 * y * y - spence_series(1.0 - 1.0 / z)
    return spence_series(1.0 - z)


def spence_series(w: float) -> float:
    """Li_2(w) for |w| <= 1/2."""
    total = 0.0
    for k in range(60, 0, -1):
        total = total * w + 1.0 / (float(k) * float(k))
    return total * w


def sine_integral(x: float) -> float:
    """Si(x): the power series up to 2, then the continued fraction of E_1(ix). DLMF 6.6.5, 6.9.1, 6.5.6."""
    size = fabs(x)
    if size <= 2.0 or x != x:
        term = x
        total = x
        for k in range(1, 16):
            term *= -x * x / ((2.0 * float(k)) * (2.0 * float(k) + 1.0))
            total += term / (2.0 * float(k) + 1.0)
        return total
    if size == INF:
        return 1.5707963267948966 if x > 0.0 else -1.5707963267948966
    y = 1.5707963267948966 + trigonometric_fraction(size, True)
    return y if x > 0.0 else -y


def cosine_integral(x: float) -> float:
    """Ci(x); -infinity at 0, NaN left of it. DLMF 6.6.6."""
    if not x > 0.0:
        return -INF if x == 0.0 else (x - x) / (x - x)
    if x == INF:
        return 0.0
    if x <= 2.0:
        term = 1.0
        total = 0.0
        for k in range(1, 16):
            term *= -x * x / ((2.0 * float(k) - 1.0) * (2.0 * float(k)))
            total += term / (2.0 * float(k))
        return 0.5772156649015329 + log(x) + total
    return -trigonometric_fraction(x, False)


def trigonometric_fraction(x: float, imaginary: bool) -> float:
    """The imaginary or real part of E_1(ix) for x >= 2."""
    br = 1.0
    cr = 1e300
    ci = 0.0
    n = br * br + x * x
    dr = br / n
    di = -x / n
    hr = dr
    hi = di
    k = 1.0
    while k < 1000.0:
        a = -k * k
        br += 2.0
        er = a * dr + br
        ei = a * di + x
        n = er * er + ei * ei
        dr = er / n
        di = -ei / n
        n = cr * cr + ci * ci if k > 1.0 else INF
        er = br + (a * cr / n if k > 1.0 else 0.0)
        ei = x - (a * ci / n if k > 1.0 else 0.0)
        cr = er
        ci = ei
        er = cr * dr - ci * di
        ei = cr * di + ci * dr
        n = hr * er - hi * ei
        hi = hr * ei + hi * er
        hr = n
        if fabs(er - 1.0) + fabs(ei) < 1e-16:
            break
        k += 1.0
    c = cos(x)
    s = sin(x)
    return hi * c - hr * s if imaginary else hr * c + hi * s


def lambertw_from(x: float, start: float) -> float:
    """The w with w e^w = x by Halley's method. DLMF 4.13."""
    w = start
    for _ in range(40):
        e = exp(w)
        gap = w * e - x
        if gap == 0.0:
            break
        one = w + 1.0
        step = gap / (e * one - 0.5 * (one + 1.0) * gap / one)
        w -= step
        if fabs(step) <= 1e-16 * fabs(w):
            break
    return w


def lambertw_near(x: float, sign: float) -> float:
    """The series of W around its branch point -1/e, to start from. DLMF 4.13.6."""
    p = sign * sqrt(2.0 * (2.718281828459045 * x + 1.0))
    return -1.0 + p * (1.0 + p * (-1.0 / 3.0 + p * (11.0 / 72.0 - p * 43.0 / 540.0)))


def lambertw(x: float) -> float:
    """The principal branch of Lambert's W, NaN left of -1/e."""
    if x != x or x == 0.0:
        return x
    if x == INF:
        return x
    if 2.718281828459045 * x + 1.0 < 0.0:
        return (x - x) / (x - x)
    if x < -0.2:
        start = lambertw_near(x, 1.0)
        return start if start < -0.999999 else lambertw_from(x, start)
    if x < 3.0:
        return lambertw_from(x, log1p(x) * 0.8)
    y = log(x)
    return lambertw_from(x, y - log(y)) if x < 1e300 else lambertw_log(y)


def lambertw_log(y: float) -> float:
    """W(e^y), for what e^y would be too large, by Newton's method."""
    w = y - log(y)
    for _ in range(8):
        w -= (w + log(w) - y) * w / (w + 1.0)
    return w


def lambertw_lower(x: float) -> float:
    """The lower branch of Lambert's W, for -1/e <= x < 0."""
    if not x < 0.0 or 2.718281828459045 * x + 1.0 < 0.0:
        return (x - x) / (x - x)
    if x < -0.25:
        start = lambertw_near(x, -1.0)
        return start if start > -1.000001 else lambertw_from(x, start)
    y = log(-x)
    w = y - log(-y)
    for _ in range(12):
        w -= (w + log(-w) - y) * w / (w + 1.0)
    return w


def ellipk(m: float) -> float:
    """K(m) by the arithmetic-geometric mean. DLMF 19.8.5."""
    if m > 1.0 or m != m:
        return (m - m) / (m - m)
    if m == 1.0:
        return INF
    if m == -INF:
        return 0.0
    return 1.5707963267948966 / mean_of(1.0, sqrt(1.0 - m))


def mean_of(first: float, second: float) -> float:
    """The arithmetic-geometric mean."""
    a = first
    g = second
    for _ in range(64):
        if fabs(a - g) <= 1e-16 * a:
            break
        b = 0.5 * (a + g)
        g = sqrt(a * g)
        a = b
    return a


def ellipe(m: float) -> float:
    """E(m) by the arithmetic-geometric mean. DLMF 19.8.6."""
    if m > 1.0 or m != m:
        return (m - m) / (m - m)
    if m == 1.0:
        return 1.0
    if m == -INF:
        return INF
    if m < 0.0:
        return sqrt(1.0 - m) * ellipe_right(m / (m - 1.0))
    return ellipe_right(m)


def ellipe_right(m: float) -> float:
    """E(m) for 0 <= m < 1."""
    a = 1.0
    g = sqrt(1.0 - m)
    total = 0.5 * m
    weight = 0.5
    for _ in range(64):
        c = 0.5 * (a - g)
        b = 0.5 * (a + g)
        g = sqrt(a * g)
        a = b
        weight *= 2.0
        total += weight * c * c
        if c * c <= 1e-18 * a:
            break
    return 1.5707963267948966 / a * (1.0 - total)


def log_quotient(n: int, x: float) -> float:
    """The n-th derivative of log(x) / (1 - x): a power series around 1, else a recurrence."""
    u = x - 1.0
    if fabs(u) < 0.3:
        term = 1.0
        for k in range(1, n + 1):
            term *= -float(k)
        total = 0.0
        m = float(n)
        while m < float(n) + 60.0:
            total += term / (m + 1.0)
            term *= -u * (m + 1.0) / (m + 1.0 - float(n))
            m += 1.0
        return -total
    far = log(x) / u
    part = 1.0
    for k in range(1, n + 1):
        part /= x
        far = (part - float(k) * far) / u
        part *= -float(k)
    return -far


def ellipk_slope(m: float) -> float:
    """K'(m): a power series around 0, else from E and K. DLMF 19.4.1, 19.5.1."""
    if fabs(m) < 0.25:
        return elliptic_series(m, 1.0)
    if m == 1.0:
        return INF
    return (ellipe(m) / (1.0 - m) - ellipk(m)) / (2.0 * m)


def ellipe_slope(m: float) -> float:
    """E'(m). DLMF 19.4.2, 19.5.2."""
    return elliptic_series(m, -1.0) if fabs(m) < 0.25 else (ellipe(m) - ellipk(m)) / (2.0 * m)


def elliptic_series(m: float, sign: float) -> float:
    """K'(m), or E'(m) for sign -1."""
    term = 1.5707963267948966
    total = 0.0
    power = 1.0
    for k in range(1, 32):
        n = float(k)
        half = (2.0 * n - 1.0) / (2.0 * n)
        term *= half * half
        total += term * n * power / (1.0 if sign > 0.0 else 1.0 - 2.0 * n)
        power *= m
    return total
