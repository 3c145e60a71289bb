"""References of special functions: SciPy's values, and mpmath's functions for derivatives."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import mpmath
import numpy as np
import scipy.special
from mpmath import mpf

from tests.engine.conformance import Reference


def by_mpmath(f: Callable[..., Any]) -> Callable[..., Any]:
    """A function of mpmath on arrays, entry by entry, to all digits; NaN where it has no real value."""

    def one(*x: Any) -> float:
        with mpmath.workdps(40):
            try:
                value = f(*[mpf(float(v)) for v in x])
                return float(value) if not isinstance(value, mpmath.mpc) else math.nan
            except (ValueError, ZeroDivisionError):
                return math.nan

    return lambda *x: np.vectorize(one, otypes=[float])(*x)


def _first(*choices: Callable[..., Any]) -> Callable[..., Any]:
    """The first function's values, where these are NaN the next one's."""

    def value(*x: Any) -> Any:
        result = choices[0](*x)
        for other in choices[1:]:
            result = np.where(np.isnan(result), other(*x), result)
        return result

    return value


def _log_abs_beta(a: Any, b: Any) -> Any:
    return mpmath.log(abs(mpmath.beta(a, b)))


def _normal(x: Any) -> Any:
    return mpmath.erfc(-x / mpmath.sqrt(2)) / 2


def _exact_erfcinv(x: Any) -> Any:
    """Newton's iteration on log erfc, from SciPy's value."""
    y = mpf(float(scipy.special.erfcinv(float(x))))
    for _ in range(12):
        tail = mpmath.erfc(y)
        y = y + (tail - x) * mpmath.sqrt(mpmath.pi) / 2 * mpmath.exp(y * y)
    return y


def _exact_ndtri(x: Any) -> Any:
    return -mpmath.sqrt(2) * _exact_erfcinv(2 * x)


def _exact_erfcx(x: Any) -> Any:
    if x < 1e5:
        return mpmath.exp(x * x) * mpmath.erfc(x)
    term = total = mpf(1)  # the asymptotic series: there are no other 700 digits to be had
    for k in range(1, 90):
        term *= -(2 * k - 1) / (2 * x * x)
        total += term
    return total / (x * mpmath.sqrt(mpmath.pi))


def _exact_log_ndtr(x: Any) -> Any:
    if x > -1e4:
        return mpmath.log(_normal(x))
    return mpmath.log(_exact_erfcx(-x / mpmath.sqrt(2)) / 2) - x * x / 2


def _sin_half_turns(x: Any, more: float = 0.0) -> Any:
    """sin(π(x + more)) by mpmath, entry by entry."""
    return np.vectorize(lambda v: float(mpmath.sinpi(mpf(float(v)) + more)) if np.isfinite(v) else np.nan)(x)


def _multigammaln(a: Any, d: int) -> Any:
    total = sum(scipy.special.gammaln(a - j / 2) for j in range(d)) + d * (d - 1) / 4 * np.log(np.pi)
    return np.where(a > (d - 1) / 2, total, np.nan)


def _exact_multigammaln(a: Any, d: int) -> Any:
    total = sum(mpmath.loggamma(a - mpf(j) / 2) for j in range(d))
    return total + mpf(d * (d - 1)) / 4 * mpmath.log(mpmath.pi)


def _zeta(x: Any, q: Any = None) -> Any:
    if q is None:
        return scipy.special.zeta(x)
    return np.where(q > 0, scipy.special.zeta(x, np.where(q > 0, q, 1.0)), np.nan)


def _exact_zeta(x: Any, q: Any = None) -> Any:
    if q is None:
        return mpmath.zeta(x)
    with mpmath.extradps(60):  # its error is absolute
        return mpmath.zeta(x, q)


def _bessel(letter: str, exact: Callable[..., Any], scaled: str = "") -> dict[str, Reference]:
    """J₀, J₁, J_v and the like."""
    general = getattr(scipy.special, f"{letter}v{scaled}")
    found = {
        f"{letter}{n}{scaled}": Reference(
            getattr(scipy.special, f"{letter}{n}{scaled}"), lambda x, n=n: exact(n, x)
        )
        for n in (0, 1)
    }
    return {**found, f"{letter}v{scaled}": Reference(lambda x, v: general(v, x), lambda x, v: exact(v, x))}


def _lambertw(z: Any, k: int) -> Any:
    w = scipy.special.lambertw(z, k)
    return np.where((np.abs(w.imag) == 0) & (np.isfinite(w.real) | (k == 0)), w.real, np.nan)


TABLE: dict[str, Reference] = {
    "erf": Reference(scipy.special.erf, mpmath.erf),
    "erfc": Reference(scipy.special.erfc, mpmath.erfc),
    "ndtr": Reference(scipy.special.ndtr, _normal),
    "erfcx": Reference(scipy.special.erfcx, _exact_erfcx),
    "erfinv": Reference(scipy.special.erfinv, mpmath.erfinv),
    "erfcinv": Reference(scipy.special.erfcinv, _exact_erfcinv),
    "ndtri": Reference(scipy.special.ndtri, _exact_ndtri),
    "log_ndtr": Reference(scipy.special.log_ndtr, _exact_log_ndtr),
    "ndtri_exp": Reference(scipy.special.ndtri_exp, lambda x: _exact_ndtri(mpmath.exp(x))),
    "dawsn": Reference(
        scipy.special.dawsn,
        lambda x: mpmath.sqrt(mpmath.pi) / 2 * mpmath.exp(-x * x) * mpmath.erfi(x),
    ),
    # Trigonometry.
    "sinpi": Reference(
        lambda x: np.where(np.isinf(x), np.nan, _sin_half_turns(x)), lambda x: mpmath.sinpi(x)
    ),
    "cospi": Reference(
        lambda x: np.where(np.isinf(x), np.nan, _sin_half_turns(x, 0.5)), lambda x: mpmath.cospi(x)
    ),
    "sindg": Reference(scipy.special.sindg, lambda x: mpmath.sin(x * mpmath.pi / 180)),
    "cosdg": Reference(scipy.special.cosdg, lambda x: mpmath.cos(x * mpmath.pi / 180)),
    "tandg": Reference(scipy.special.tandg, lambda x: mpmath.tan(x * mpmath.pi / 180)),
    "cotdg": Reference(scipy.special.cotdg, lambda x: mpmath.cot(x * mpmath.pi / 180)),
    "sec": Reference(lambda x: 1 / np.cos(x), mpmath.sec),
    "csc": Reference(lambda x: 1 / np.sin(x), mpmath.csc),
    "cot": Reference(lambda x: 1 / np.tan(x), mpmath.cot),
    # Gamma and beta.
    "gamma": Reference(scipy.special.gamma, mpmath.gamma),
    "gammaln": Reference(scipy.special.gammaln, lambda x: mpmath.log(abs(mpmath.gamma(x)))),
    "rgamma": Reference(scipy.special.rgamma, mpmath.rgamma),
    "gammasgn": Reference(scipy.special.gammasgn, lambda x: mpmath.sign(mpmath.gamma(x))),
    "digamma": Reference(scipy.special.digamma, mpmath.digamma),
    "trigamma": Reference(lambda x: scipy.special.polygamma(1, x), lambda x: mpmath.psi(1, x)),
    "polygamma": Reference(lambda x, n: scipy.special.polygamma(n, x), lambda x, n: mpmath.psi(n, x)),
    "factorial": Reference(lambda x: scipy.special.factorial(x, exact=False), lambda x: mpmath.gamma(x + 1)),
    "multigammaln": Reference(_multigammaln, _exact_multigammaln),
    "beta": Reference(_first(by_mpmath(mpmath.beta), scipy.special.beta), mpmath.beta),
    "betaln": Reference(_first(by_mpmath(_log_abs_beta), scipy.special.betaln), _log_abs_beta),
    "binom": Reference(_first(by_mpmath(mpmath.binomial), scipy.special.binom), mpmath.binomial),
    "comb": Reference(scipy.special.comb, mpmath.binomial),
    "poch": Reference(_first(by_mpmath(mpmath.rf), scipy.special.poch), mpmath.rf),
    # Incomplete gamma and beta functions.
    "gammainc": Reference(scipy.special.gammainc, lambda a, x: mpmath.gammainc(a, 0, x, regularized=True)),
    "gammaincc": Reference(scipy.special.gammaincc, lambda a, x: mpmath.gammainc(a, x, regularized=True)),
    "betainc": Reference(scipy.special.betainc, lambda a, b, x: mpmath.betainc(a, b, 0, x, regularized=True)),
    "betaincc": Reference(
        scipy.special.betaincc, lambda a, b, x: mpmath.betainc(a, b, x, 1, regularized=True)
    ),
    "zeta": Reference(_zeta, _exact_zeta),
    **_bessel("j", mpmath.besselj),
    **_bessel("y", mpmath.bessely),
    **_bessel("i", mpmath.besseli),
    **_bessel("k", mpmath.besselk),
    **_bessel("i", lambda v, x: mpmath.exp(-abs(x)) * mpmath.besseli(v, x), "e"),
    **_bessel("k", lambda v, x: mpmath.exp(x) * mpmath.besselk(v, x), "e"),
    # Integrals and equations.
    "exp1": Reference(scipy.special.exp1, mpmath.e1),
    "expi": Reference(scipy.special.expi, mpmath.ei),
    "expn": Reference(lambda x, n: scipy.special.expn(n, x), lambda x, n: mpmath.expint(n, x)),
    "spence": Reference(scipy.special.spence, lambda x: mpmath.polylog(2, 1 - x)),
    "exprel": Reference(scipy.special.exprel, lambda x: mpmath.expm1(x) / x if x else mpf(1)),
    "sici": Reference(scipy.special.sici),
    "lambertw": Reference(_lambertw, lambda z, k: mpmath.re(mpmath.lambertw(z, k))),
    "ellipk": Reference(scipy.special.ellipk, mpmath.ellipk),
    "ellipe": Reference(scipy.special.ellipe, mpmath.ellipe),
    "logit": Reference(scipy.special.logit, lambda x: mpmath.log(x / (1 - x))),
    "xlog1py": Reference(scipy.special.xlog1py, lambda x, y: x * mpmath.log1p(y)),
    "entr": Reference(scipy.special.entr, lambda x: -x * mpmath.log(x)),
    "rel_entr": Reference(scipy.special.rel_entr, lambda x, y: x * mpmath.log(x / y)),
    "kl_terms": Reference(scipy.special.kl_div, lambda x, y: x * mpmath.log(x / y) - x + y),
    "cosm1": Reference(scipy.special.cosm1, lambda x: mpmath.cos(x) - 1),
    "exp10": Reference(lambda x: np.power(10.0, x), lambda x: mpf(10) ** x),
}
