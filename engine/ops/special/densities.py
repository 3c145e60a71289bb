"""Densities of the gamma and beta distributions: what the incomplete gamma and beta functions are integrals of."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.special

from engine.aval import Array
from engine.op import registry
from engine.ops.pointwise.elementwise import Elementwise
from engine.ops.special.gamma_ratio import BERNOULLI, log_gamma_ratio
from engine.ops.special.tower import in_double


def _log1p_minus(d: Array, one_more: Array) -> Array:
    """log(1 + d) − d without cancellation at 0: −d·r + 2r³/3 + 2r⁵/5 + … with r = d/(2 + d). `one_more` is 1 + d."""
    near = (d > -0.5) & (d < 1.0)
    small = np.where(near, d, 0.0)
    r = small / (2.0 + small)
    series = np.zeros_like(r)
    for k in range(21, 0, -1):
        series = (series + 2.0 / (2 * k + 1)) * r * r
    return np.where(near, r * (series - small), np.log(one_more) - d)


def _stirling(a: Array) -> Array:
    """log Γ(a) − (a − ½) log a + a − ½ log 2π for a ≥ 10 (DLMF 5.11.1)."""
    return np.asarray(
        sum(b / (2 * k * (2 * k - 1) * a ** (2.0 * k - 1)) for k, b in enumerate(BERNOULLI, start=1))
    )


def gamma_density(a: Array, x: Array) -> Array:
    """x^(a−1)·e^(−x) / Γ(a); for large a by the deviance, since the logarithms are large and cancel.

    C. Loader, "Fast and accurate computation of binomial probabilities", 2000.
    """
    plain = np.where(x > 800.0, 0.0, x ** (a - 1.0) * np.exp(-x)) * scipy.special.rgamma(a)
    large = np.maximum(a, 10.0)
    deviance = large * _log1p_minus((x - large) / large, x / large)
    apart = np.sqrt(large / (2 * np.pi)) * np.exp(deviance - _stirling(large)) / x
    result = np.where(
        a < 10.0, np.where(scipy.special.rgamma(a) == 0, 0.0, plain), np.where(x == 0, 0.0, apart)
    )
    return np.where(x < 0, np.nan, np.where(np.isinf(x), np.where(np.isnan(a), a, 0.0), result))


def beta_density(a: Array, b: Array, x: Array, times_x: bool = False) -> Array:
    """x^(a−1)·(1 − x)^(b−1) / B(a, b), or x(1 − x) times that."""
    less = 0.0 if times_x else 1.0
    n = a + b
    plain = x ** (a - less) * (1.0 - x) ** (b - less) / scipy.special.beta(a, b)
    # Around the mode: n·x − a is what is left of both logarithms.
    p, q = np.maximum(a, 10.0), np.maximum(b, 10.0)
    total = p + q
    above, below = (total * x - p) / p, -(total * x - p) / q
    deviance = p * _log1p_minus(above, total * x / p) + q * _log1p_minus(below, total * (1.0 - x) / q)
    apart = np.sqrt(p * q / (2 * np.pi * total)) * np.exp(
        deviance + _stirling(total) - _stirling(p) - _stirling(q)
    )
    apart = apart if times_x else apart / (x * (1.0 - x))
    # One of them small: Γ(n)/Γ(large) by its logarithm.
    least, most = np.minimum(a, b), np.maximum(np.maximum(a, b), 30.0)
    toward = np.where(a < b, x, 1.0 - x)
    away = np.where(a < b, np.log1p(-x), np.log(x))
    ratio = log_gamma_ratio(most, np.where((least > 0) & (least < 10.0), least, 1.0))
    one = (
        np.exp((most - less) * away + least * np.log(toward) + ratio)
        * scipy.special.rgamma(least)
        / (1.0 if times_x else toward)
    )
    both = (a >= 10) & (b >= 10)
    single = ~both & (np.maximum(a, b) >= 30) & (x > 0) & (x < 1) & (least > 0)
    result = np.where(both & (x > 0) & (x < 1), apart, np.where(single, one, plain))
    result = np.where(n == np.inf, np.nan, result)
    return np.where((x < 0) | (x > 1), np.nan, result)


class Density(Elementwise):
    """A density as an op of the core, so that it can be differentiated further."""

    internal = True


def _row(name: str, fn: Any, *partials: str, doc: str, names: tuple[str, ...]) -> None:
    registry.add(
        Density(
            name,
            in_double(fn),
            partials,
            doc=doc,
            latex="",
            names=names,
            family="core",
            floating=True,
            weight=150,
        )
    )


_row(
    "gamma_density",
    gamma_density,
    "where(y == 0, 0, y * (log(b) - digamma(a)))",
    # With 1/Γ(0) = 0 the difference is right at x = 0, too.
    "where(b == 0, gamma_density(a - 1, b) - y, y * ((a - 1 - b) / b))",
    doc="x^(a−1)·e^(−x) / Γ(a).",
    names=("a", "x"),
)
_row(
    "beta_density",
    beta_density,
    "where(y == 0, 0, y * (log(c) + polygamma_difference(a, b)))",
    "where(y == 0, 0, y * (log1p(-c) + polygamma_difference(b, a)))",
    "where(c * (1 - c) == 0, (a + b - 1) * (beta_density(a - 1, b, c) - beta_density(a, b - 1, c)),"
    " y * ((a - 1) / c - (b - 1) / (1 - c)))",
    doc="x^(a−1)·(1 − x)^(b−1) / B(a, b).",
    names=("a", "b", "x"),
)
