"""Special functions on mpmath's numbers, by the name of their op: `fn(context, *entries, **params)`.

Ops of the core that are derivatives of such functions (`order` above 0) are there where mpmath has them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import scipy.special

from engine.compare.precise.functions import _exp as exponential
from engine.compare.precise.functions import _power as power
from engine.compare.precise.numbers import Unavailable

Function = Callable[..., Any]

FARTHEST = 1e5
"""Beyond this arguments of special functions take unforeseeable time."""


def _near(c: Any, *xs: Any) -> None:
    """Raise `Unavailable` for arguments that are finite but far out."""
    for x in xs:
        if c.isfinite(x) and abs(x) > FARTHEST:
            raise Unavailable(f"special functions are not computed with high precision beyond {FARTHEST:g}")


def _moderate(name: str, size: Any, most: float) -> None:
    """Raise `Unavailable` for an order or a parameter of such a size that mpmath's series take unforeseeable time."""
    if abs(size) > most:
        raise Unavailable(f"{name} is computed with high precision up to orders and parameters of {most:g}")


def _only(order: int, name: str) -> None:
    if order:
        raise Unavailable(f"derivatives of {name} inside the program have no high-precision value here")


def _inverse(c: Any, start: float, f: Function, slope: Function) -> Any:
    """The root of f near a double, by Newton's method: each step doubles the digits."""
    y = c.mpf(start)
    if not c.isfinite(y):
        return y
    for _ in range(12):
        step = f(y) / slope(y)
        y = y - step
        if abs(step) <= abs(y) * c.ldexp(1, -(c.prec * 3) // 5):
            return y
    return None


def _erfinv(c: Any, x: Any) -> Any:
    if abs(x) >= 1:
        return c.inf * c.sign(x) if abs(x) == 1 else None
    if abs(x) > 0.5:
        return c.sign(x) * _erfcinv(c, 1 - abs(x))
    return _inverse(
        c,
        scipy.special.erfinv(float(x)),
        lambda y: c.erf(y) - x,
        lambda y: 2 / c.sqrt(c.pi) * c.exp(-y * y),
    )


def _erfcinv(c: Any, x: Any) -> Any:
    if not 0 < x < 2:
        return None
    if x > 0.5:
        return _erfinv(c, 1 - x)
    # The relative residual: erfc is far below 1 there.
    return _inverse(
        c,
        scipy.special.erfcinv(float(x)),
        lambda y: c.log(c.erfc(y) / x),
        lambda y: -2 / c.sqrt(c.pi) * c.exp(-y * y) / c.erfc(y),
    )


def _ndtri(c: Any, x: Any) -> Any:
    return -c.sqrt(2) * _erfcinv(c, 2 * x) if 0 < x < 1 else None


def _ndtri_exp(c: Any, x: Any) -> Any:
    if not x < 0 or c.isinf(x):
        return None
    start = float(scipy.special.ndtri_exp(float(x)))

    def residual(y: Any) -> Any:
        return _log_ndtr(c, y) - x

    return _inverse(c, start, residual, lambda y: c.exp(-y * y / 2 - _log_ndtr(c, y)) / c.sqrt(2 * c.pi))


def _ndtr(c: Any, x: Any) -> Any:
    return c.erfc(-x / c.sqrt(2)) / 2


def _log_ndtr(c: Any, x: Any) -> Any:
    if x < -100:
        return c.log(_erfcx(c, -x / c.sqrt(2)) / 2) - x * x / 2
    return c.log1p(-c.erfc(x / c.sqrt(2)) / 2) if x > 0 else c.log(_ndtr(c, x))


def _erfcx(c: Any, x: Any, order: int = 0) -> Any:
    _only(order, "erfcx")
    if x > 100:  # its asymptotic series, DLMF 7.12.1
        total = term = c.one
        for n in range(1, 200):
            term = -term * (2 * n - 1) / (2 * x * x)
            if abs(term) < c.ldexp(1, -c.prec):
                break
            total += term
        return total / (x * c.sqrt(c.pi))
    return exponential(c, x * x) * c.erfc(x)


def _dawson(c: Any, x: Any, order: int = 0) -> Any:
    _only(order, "dawsn")
    if abs(x) > 100:
        total = term = c.one
        for n in range(1, 200):
            term = term * (2 * n - 1) / (2 * x * x)
            if abs(term) < c.ldexp(1, -c.prec):
                break
            total += term
        return total / (2 * x)
    return c.sqrt(c.pi) / 2 * c.exp(-x * x) * c.erfi(x)


def _gamma(c: Any, x: Any) -> Any:
    return c.inf if x > 1e5 else c.gamma(x) if x > -1e5 else None


def _gammaln(c: Any, x: Any) -> Any:
    if c.isinf(x):
        return c.inf
    if x > 0:
        return c.loggamma(x)
    _near(c, x)
    return c.log(abs(c.gamma(x)))


def _psi(base: int, c: Any, x: Any, order: int = 0) -> Any:
    if x <= 0 and c.isint(x):
        return None
    if x < 0:
        _moderate("polygamma", x, 1e4)
    return c.psi(base + order, x)


def _psi_difference(c: Any, x: Any, h: Any, order: int = 0) -> Any:
    _near(c, x, h)
    return c.psi(order, x + h) - c.psi(order, x)


def _log_beta(c: Any, a: Any, b: Any) -> Any:
    if a > 0 and b > 0:
        return c.loggamma(a) + c.loggamma(b) - c.loggamma(a + b)
    _near(c, a, b)
    return c.log(abs(c.beta(a, b)))


def _beta(c: Any, a: Any, b: Any) -> Any:
    return exponential(c, _log_beta(c, a, b)) if a > 0 and b > 0 else c.beta(a, b)


def _gamma_density(c: Any, a: Any, x: Any) -> Any:
    if x < 0:
        return None
    _near(c, a)
    return power(c, x, a - 1) * exponential(c, -x) * c.rgamma(a)


def _beta_density(c: Any, a: Any, b: Any, x: Any) -> Any:
    if not 0 <= x <= 1:
        return None
    return power(c, x, a - 1) * power(c, 1 - x, b - 1) / _beta(c, a, b)


def _gammainc(c: Any, a: Any, x: Any) -> Any:
    if a <= 0 or x < 0 or c.isinf(x) or c.isinf(a):
        return None
    _near(c, a, x)
    return c.gammainc(a, 0, x, regularized=True)


def _gammaincc(c: Any, a: Any, x: Any) -> Any:
    if a <= 0 or x < 0 or c.isinf(x) or c.isinf(a):
        return None
    _near(c, a, x)
    return c.gammainc(a, x, c.inf, regularized=True)


def _betainc(c: Any, a: Any, b: Any, x: Any, upper: bool = False) -> Any:
    if not (a > 0 and b > 0 and 0 <= x <= 1):
        return None
    _moderate("betainc", max(a, b), 1e4)
    if upper:
        a, b, x = b, a, 1 - x
    return c.betainc(a, b, 0, x, regularized=True)


def _bessel(name: str, v: float | None, scale: int = 0) -> Function:
    """J, Y, I or K of order v, or of the param v; times e^(−|x|) for `scale` −1, e^x for 1."""

    def value(c: Any, x: Any, order: int = 0, **static: Any) -> Any:
        _only(order, name)
        _near(c, x)
        n = c.mpf(static["v"] if v is None else v)
        if name in ("bessely", "besselk"):
            _moderate(name, n, 100)
            if x <= 0:
                return None
        if x < 0 and not c.isint(n):
            return None
        found = getattr(c, name)(n, x)
        return found if not scale else found * exponential(c, x if scale > 0 else -abs(x))

    return value


def _spherical(c: Any, x: Any, order: int = 0) -> Any:
    """j_n(x)/xⁿ = ₀F₁(; n + 3/2; −x²/4) / (2n + 1)!! (DLMF 10.53.1)."""
    _near(c, x)
    return c.hyp0f1(order + c.mpf(1.5), -x * x / 4) / c.fac2(2 * order + 1)


def _exprel(c: Any, x: Any, order: int = 0) -> Any:
    _only(order, "exprel")
    return c.one if x == 0 else (c.expm1(x) if abs(x) < 1 else exponential(c, x) - 1) / x


def _log_quotient(c: Any, x: Any, order: int = 0) -> Any:
    _only(order, "log_quotient")
    return -c.one if x == 1 else c.log(x) / (1 - x)


def _expn(c: Any, x: Any, n: int) -> Any:
    if x < 0 or (x == 0 and n < 2):
        return None
    return c.expint(n, x)


def _zeta(c: Any, s: Any, q: Any, order: int = 0) -> Any:
    if not (q > 0 and c.isfinite(q) and c.isfinite(s)) or s == 1:
        return None
    _near(c, s, q)
    _moderate("zeta", s * max(1, c.log(q, 2)), 1000)
    if s < 0:
        _moderate("zeta", q, 100)
    # Its error is absolute, and it is about q⁻ˢ.
    size = s * c.log(q, 2) if q > 1 and s > 0 else c.zero
    with c.extraprec(20 + min(5000, int(size))):
        found = c.zeta(s, q, order)
    return +found


def _lambertw(branch: int) -> Function:
    def value(c: Any, x: Any) -> Any:
        if x < -1 / c.e or (branch and x >= 0):
            return None
        return c.lambertw(x, branch)

    return value


def _elliptic(name: str) -> Function:
    def value(c: Any, m: Any, order: int = 0) -> Any:
        _only(order, name)
        return getattr(c, name)(m) if m <= 1 else None

    return value


SPECIAL: dict[str, Function] = {
    "gamma": _gamma,
    "gammaln": _gammaln,
    "rgamma": lambda c, x: c.zero if x > 1e5 else c.rgamma(x) if x > -1e5 else None,
    "gammasgn": lambda c, x: c.one if x > 0 else c.sign(c.gamma(x)) if x > -1e5 else None,
    "digamma": lambda c, x, order=0: _psi(0, c, x, order),
    "trigamma": lambda c, x, order=0: _psi(1, c, x, order),
    "polygamma": lambda c, x, order=0: _psi(0, c, x, order),
    "polygamma_difference": _psi_difference,
    "beta": _beta,
    "betaln": _log_beta,
    "binom": lambda c, n, k: c.binomial(n, k),
    "poch": lambda c, z, m: c.rf(z, m),
    "gamma_density": _gamma_density,
    "beta_density": _beta_density,
    "gammainc": _gammainc,
    "gammaincc": _gammaincc,
    "betainc": _betainc,
    "betaincc": lambda c, a, b, x: _betainc(c, a, b, x, upper=True),
    "erf": lambda c, x: c.erf(x),
    "erfc": lambda c, x: c.erfc(x) if x < 300 else c.zero,
    "erfcx": _erfcx,
    "dawsn": _dawson,
    "erfinv": _erfinv,
    "erfcinv": _erfcinv,
    "ndtr": _ndtr,
    "ndtri": _ndtri,
    "log_ndtr": _log_ndtr,
    "ndtri_exp": _ndtri_exp,
    "j0": _bessel("besselj", 0.0),
    "j1": _bessel("besselj", 1.0),
    "jv": _bessel("besselj", None),
    "y0": _bessel("bessely", 0.0),
    "y1": _bessel("bessely", 1.0),
    "yv": _bessel("bessely", None),
    "i0": _bessel("besseli", 0.0),
    "i1": _bessel("besseli", 1.0),
    "iv": _bessel("besseli", None),
    "k0": _bessel("besselk", 0.0),
    "k1": _bessel("besselk", 1.0),
    "kv": _bessel("besselk", None),
    "i0e": _bessel("besseli", 0.0, -1),
    "i1e": _bessel("besseli", 1.0, -1),
    "ive": _bessel("besseli", None, -1),
    "k0e": _bessel("besselk", 0.0, 1),
    "k1e": _bessel("besselk", 1.0, 1),
    "kve": _bessel("besselk", None, 1),
    "exp1": lambda c, x: c.e1(x) if x > 0 else None,
    "expi": lambda c, x: c.ei(x) if x else None,
    "expn": _expn,
    "spence": lambda c, x: c.polylog(2, 1 - x) if x >= 0 else None,
    "sine_integral": lambda c, x: c.si(x),
    "cosine_integral": lambda c, x: c.ci(x) if x > 0 else None,
    "spherical_ratio": _spherical,
    "exprel": _exprel,
    "log_quotient": _log_quotient,
    "lambertw_principal": _lambertw(0),
    "lambertw_lower": _lambertw(-1),
    "ellipk": _elliptic("ellipk"),
    "ellipe": _elliptic("ellipe"),
    "hurwitz_zeta": _zeta,
}
"""Ops that cost a series or more."""

SLOW = frozenset({"y0", "y1", "yv", "k0", "k1", "kv", "k0e", "k1e", "kve", "hurwitz_zeta", "spence"})
"""Those that cost a hundred times as much as the others."""
