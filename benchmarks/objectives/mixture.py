"""Gaussian mixture: GradBench's d = 20, k = 25, n = 1,000."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import multigammaln

from benchmarks import peers
from benchmarks.ours import page
from benchmarks.rows.objectives import Objective

GAMMA, M = 1.0, 0.0


def mixture(quick: bool) -> Objective:
    """Log likelihood and Wishart prior, as ADBench computes them."""
    d, k, n = (3, 4, 50) if quick else (20, 25, 1_000)
    lower = np.array([i * d + j for j in range(d) for i in range(j + 1, d)])
    sets = [data(d, k, n, lower, seed) for seed in (0, 1)]
    constant = k * (
        (d + 1) * d * np.log(GAMMA / np.sqrt(2)) - multigammaln(0.5 * (d + 1), d)
    ) + n * d * 0.5 * np.log(2 * np.pi)

    def rest(np_: Any, Q: Any, alpha: Any, mu: Any, q: Any, x: Any, lse: Any) -> Any:
        # One matrix product: Q (x - mu) = Q x - Q mu.
        z = np_.einsum("kij,nj->nki", Q, x) - np_.einsum("kij,kj->ki", Q, mu)
        inner = alpha + q.sum(1) - 0.5 * (z**2).sum(-1)
        likelihood = lse(inner, 1).sum() - n * lse(alpha, 0)
        return likelihood + 0.5 * GAMMA**2 * (Q**2).sum() - M * q.sum() - constant

    j = peers.jax()
    jn = j.numpy

    def jax(alpha: Any, mu: Any, q: Any, l: Any, x: Any) -> Any:
        Q = jn.zeros((k, d * d)).at[:, lower].set(l).reshape(k, d, d) + j.vmap(jn.diag)(jn.exp(q))
        return rest(jn, Q, alpha, mu, q, x, j.scipy.special.logsumexp)

    t = peers.torch()
    at = t.from_numpy(lower)

    def torch(alpha: Any, mu: Any, q: Any, l: Any, x: Any) -> Any:
        Q = t.zeros((k, d * d), dtype=l.dtype).index_copy(1, at, l).reshape(k, d, d) + t.diag_embed(t.exp(q))
        return rest(t, Q, alpha, mu, q, x, t.logsumexp)

    import autograd.numpy as anp
    from autograd.scipy.special import logsumexp

    places = np.eye(d * d)[lower]
    eye = np.eye(d)

    def autograd(alpha: Any, mu: Any, q: Any, l: Any, x: Any) -> Any:
        Q = anp.dot(l, places).reshape((k, d, d)) + anp.exp(q)[:, :, None] * eye
        return rest(anp, Q, alpha, mu, q, x, lambda a, axis: logsumexp(a, axis=axis))

    return Objective(
        "GMM",
        page()["Gaussian mixture"],
        sets,
        ("alpha", "mu", "q", "l"),
        ("alpha", "mu", "q", "l", "x"),
        jax,
        torch,
        autograd,
    )


def data(d: int, k: int, n: int, lower: np.ndarray, seed: int) -> dict[str, Any]:
    """As GradBench draws them."""
    rng = np.random.default_rng(seed)
    return {
        "x": rng.normal(size=(n, d)),
        "alpha": rng.normal(size=k),
        "mu": rng.uniform(size=(k, d)),
        "q": rng.normal(size=(k, d)),
        "l": rng.normal(size=(k, d * (d - 1) // 2)),
        "lower": lower,
        "gamma": GAMMA,
        "m": M,
    }
