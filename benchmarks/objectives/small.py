"""Objectives of a line or two."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks import peers
from benchmarks.ours import page
from benchmarks.rows.objectives import Objective

TITLE = "Determinant, least squares, log-sum-exp"


def k_means(quick: bool) -> Objective:
    """k = 100 centroids, n = 10,000 points, d = 8."""
    k, n, d = (5, 100, 3) if quick else (100, 10_000, 8)
    sets = []
    for seed in (0, 1):
        points = np.random.default_rng(seed).random((n, d))
        sets.append({"points": points, "centroids": points[-k:] + 0.01})
    text = "sum(min(sum(points**2, axis=1)[:, None] - 2.0*points @ centroids.T + sum(centroids**2, axis=1), axis=1))"
    j, t = peers.jax(), peers.torch()
    import autograd.numpy as anp

    def distances(c: Any, p: Any) -> Any:
        return (p**2).sum(1)[:, None] - 2.0 * p @ c.T + (c**2).sum(1)

    return Objective(
        "k-means",
        text,
        sets,
        ("centroids",),
        ("centroids", "points"),
        lambda c, p: j.numpy.min(distances(c, p), axis=1).sum(),
        lambda c, p: t.min(distances(c, p), dim=1).values.sum(),
        lambda c, p: anp.sum(
            anp.min(anp.sum(p**2, axis=1)[:, None] - 2.0 * anp.dot(p, c.T) + anp.sum(c**2, axis=1), axis=1)
        ),
        tolerance=1e-8,
    )


def logsumexp(quick: bool) -> Objective:
    """n = 640,000."""
    n = 1_000 if quick else 640_000
    sets = [{"x": np.random.default_rng(s).random(n)} for s in (0, 1)]
    j, t = peers.jax(), peers.torch()
    from autograd.scipy.special import logsumexp as theirs

    return Objective(
        "log-sum-exp", page()[f"{TITLE} 2"], sets, ("x",), ("x",),
        lambda x: j.scipy.special.logsumexp(x), lambda x: t.logsumexp(x, 0), theirs,
    )  # fmt: skip


def least_squares(quick: bool) -> Objective:
    """128 coefficients of a polynomial, fitted to the sign at n = 8,192 places."""
    n, m = (64, 6) if quick else (8_192, 128)
    sets = [{"x": np.random.default_rng(s).random(m), "n": n} for s in (0, 1)]
    j, t = peers.jax(), peers.torch()
    jn = j.numpy
    import autograd.numpy as anp

    def jax(x: Any) -> Any:
        at = jn.linspace(-1, 1, n)
        return 0.5 * jn.sum((jn.sign(at) - jn.vander(at, m, increasing=True) @ x) ** 2)

    def torch(x: Any) -> Any:
        at = t.linspace(-1, 1, n, dtype=t.float64)
        return 0.5 * t.sum((t.sign(at) - t.linalg.vander(at, N=m) @ x) ** 2)

    def autograd(x: Any) -> Any:
        at = np.linspace(-1, 1, n)
        return 0.5 * anp.sum((np.sign(at) - anp.dot(np.vander(at, m, increasing=True), x)) ** 2)

    return Objective("least squares", page()[f"{TITLE} 1"], sets, ("x",), ("x",), jax, torch, autograd)


def det(quick: bool) -> Objective:
    """A matrix of 11 × 11 (GradBench's largest): time of a call rather than of arithmetic."""
    sets = [{"A": np.random.default_rng(s).random((11, 11))} for s in (0, 1)]
    j, t = peers.jax(), peers.torch()
    import autograd.numpy as anp

    return Objective(
        "det", page()[TITLE], sets, ("A",), ("A",), j.numpy.linalg.det, t.linalg.det, anp.linalg.det
    )
