"""Densities of the gamma and beta distributions, and their integrals: the incomplete gamma and beta functions."""

from __future__ import annotations

from math import exp, fabs, log, log1p, pow, sqrt

from engine.render.code.helpers.gammas import beta, lgamma_ratio, rgamma, stirling_rest

INF = float("inf")


def log1p_minus(d: float, one_more: float) -> float:
    """log(1 + d) - d without cancellation at 0; `one_more` is 1 + d."""
    if not (d > -0.5 and d < 1.0):
        return log(one_more) - d
    r = d / (2.0 + d)
    series = 0.0
    for k in range(21, 0, -1):
        series = (series + 2.0 / (2.0 * float(k) + 1.0)) * r * r
    return r * (series - d)


def gamma_density(a: float, x: float) -> float:
    """x^(a - 1) e^-x / Gamma(a), for large a by the deviance. C. Loader, "Fast and accurate computation of binomial
    probabilities", 2000."""
    if not x >= 0.0:
        return (x - x) / (x - x)
    if x == INF:
        return a if a != a else 0.0
    if a < 10.0:
        r = rgamma(a)
        return 0.0 if r == 0.0 or x > 800.0 else pow(x, a - 1.0) * exp(-x) * r
    if x == 0.0:
        return 0.0
    deviance = a * log1p_minus((x - a) / a, x / a)
    return sqrt(a / 6.283185307179586) * exp(deviance - stirling_rest(a)) / x


def beta_density_times(a: float, b: float, x: float, less: float) -> float:
    """x^(a - less) (1 - x)^(b - less) / B(a, b) for 0 <= x <= 1, around the mode by the deviance."""
    if a >= 10.0 and b >= 10.0 and x > 0.0 and x < 1.0:
        n = a + b
        gap = n * x - a
        deviance = a * log1p_minus(gap / a, n * x / a) + b * log1p_minus(-gap / b, n * (1.0 - x) / b)
        rest = stirling_rest(n) - stirling_rest(a) - stirling_rest(b)
        y = sqrt(a * b / (6.283185307179586 * n)) * exp(deviance + rest)
        return y if less == 0.0 else y / (x * (1.0 - x))
    large = a if a > b else b
    least = b if a > b else a
    if large >= 30.0 and least > 0.0 and x > 0.0 and x < 1.0:
        toward = x if a < b else 1.0 - x
        away = log1p(-x) if a < b else log(x)
        ratio = lgamma_ratio(large, least)
        y = exp((large - less) * away + least * log(toward) + ratio) * rgamma(least)
        return y if less == 0.0 else y / toward
    return pow(x, a - less) * pow(1.0 - x, b - less) / beta(a, b)


def beta_density(a: float, b: float, x: float) -> float:
    """x^(a - 1) (1 - x)^(b - 1) / B(a, b)."""
    if not (x >= 0.0 and x <= 1.0) or a + b == INF:
        return (x - x) / (x - x)
    return beta_density_times(a, b, x, 1.0)


def gammainc(a: float, x: float) -> float:
    """The regularised lower incomplete gamma function P(a, x)."""
    if a != a or x != x or a < 0.0 or x < 0.0 or (a == 0.0 and x == 0.0) or (a == INF and x == INF):
        return (x - x) / (x - x)
    if a == 0.0 or x == INF:
        return 1.0
    if x == 0.0 or a == INF:
        return 0.0
    return gamma_series(a, x) if x < a + 1.0 else 1.0 - gamma_fraction(a, x)


def gammaincc(a: float, x: float) -> float:
    """The regularised upper incomplete gamma function Q(a, x)."""
    if a != a or x != x or a < 0.0 or x < 0.0 or (a == 0.0 and x == 0.0) or (a == INF and x == INF):
        return (x - x) / (x - x)
    if a == 0.0 or x == INF:
        return 0.0
    if x == 0.0 or a == INF:
        return 1.0
    return 1.0 - gamma_series(a, x) if x < a + 1.0 else gamma_fraction(a, x)


def gamma_series(a: float, x: float) -> float:
    """P(a, x) by its power series. DLMF 8.7.1."""
    term = 1.0
    total = 1.0
    k = 1.0
    while k < 1e6 and term > 1e-17 * total:
        term *= x / (a + k)
        total += term
        k += 1.0
    return gamma_density(a, x) * x / a * total


def gamma_fraction(a: float, x: float) -> float:
    """Q(a, x) by its continued fraction, from the front (Lentz). DLMF 8.9.2."""
    b = x + 1.0 - a
    c = 1e300
    d = 1.0 / b
    h = d
    k = 1.0
    while k < 1e6:
        an = -k * (k - a)
        b += 2.0
        d = an * d + b
        c = b + an / c
        if fabs(d) < 1e-300:
            d = 1e-300
        if fabs(c) < 1e-300:
            c = 1e-300
        d = 1.0 / d
        step = d * c
        h *= step
        if fabs(step - 1.0) < 2e-16:
            break
        k += 1.0
    return gamma_density(a, x) * x * h


def betainc(a: float, b: float, x: float) -> float:
    """The regularised incomplete beta function I_x(a, b)."""
    if a != a or b != b or not (x >= 0.0 and x <= 1.0) or a < 0.0 or b < 0.0 or (a == 0.0 and b == 0.0):
        return (x - x) / (x - x) if x != x or a != a or b != b else INF - INF
    if x == 0.0 or x == 1.0:
        return x
    if a == 0.0 or b == INF:
        return 1.0
    if b == 0.0 or a == INF:
        return 0.0
    if x > (a + 1.0) / (a + b + 2.0):
        return 1.0 - beta_fraction(b, a, 1.0 - x, x)
    return beta_fraction(a, b, x, 1.0 - x)


def betaincc(a: float, b: float, x: float) -> float:
    """1 - I_x(a, b)."""
    if a != a or b != b or not (x > 0.0 and x < 1.0) or a <= 0.0 or b <= 0.0 or a + b == INF:
        return 1.0 - betainc(a, b, x)
    if x > (a + 1.0) / (a + b + 2.0):
        return beta_fraction(b, a, 1.0 - x, x)
    return 1.0 - beta_fraction(a, b, x, 1.0 - x)


def beta_fraction(a: float, b: float, x: float, rest: float) -> float:
    """I_x(a, b) by its continued fraction, from the front (Lentz), x left of the mean. DLMF 8.17.22."""
    c = 1.0
    d = 1.0 - (a + b) * x / (a + 1.0)
    if fabs(d) < 1e-300:
        d = 1e-300
    d = 1.0 / d
    h = d
    k = 1.0
    while k < 1e5:
        m = a + 2.0 * k
        e = k * (b - k) * x / ((m - 1.0) * m)
        d = 1.0 + e * d
        c = 1.0 + e / c
        if fabs(d) < 1e-300:
            d = 1e-300
        if fabs(c) < 1e-300:
            c = 1e-300
        d = 1.0 / d
        h *= d * c
        e = -(a + k) * (a + b + k) * x / (m * (m + 1.0))
        d = 1.0 + e * d
        c = 1.0 + e / c
        if fabs(d) < 1e-300:
            d = 1e-300
        if fabs(c) < 1e-300:
            c = 1e-300
        d = 1.0 / d
        step = d * c
        h *= step
        if fabs(step - 1.0) < 2e-16:
            break
        k += 1.0
    here = beta_density_times(a, b, x, 0.0) if x < 0.5 else beta_density_times(b, a, rest, 0.0)
    return here * h / a
