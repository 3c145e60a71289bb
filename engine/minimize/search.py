"""Search without derivatives: at random, and on a grid. Points are computed in batches."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from engine.aval import Array
from engine.minimize.outcome import Outcome
from engine.minimize.path import Path
from engine.minimize.problem import Problem

BATCH = 1024
"""Points that are computed together; with a value to reach fewer, since those behind it are for nothing."""

BATCH_TO_TARGET = 128


def random_search(problem: Problem, options: Mapping[str, Any], path: Path) -> Outcome:
    """Points at random: uniform between bounds where both are finite, else normal around the start with the standard
    deviation `scale` (and put back into the box). `samples` of them, by default `max_iterations`; from NumPy's PCG64 with
    `rng_seed`. The start is the first."""
    rng = np.random.default_rng(options["rng_seed"])
    count = options["max_iterations"] if options["samples"] is None else options["samples"]
    between = np.isfinite(problem.low) & np.isfinite(problem.high)
    low, high = np.where(between, problem.low, 0.0), np.where(between, problem.high, 0.0)
    path.add(problem.start, problem.value(problem.start))
    path.search()
    size = BATCH if path.target is None else BATCH_TO_TARGET
    # Whatever is drawn for a batch is drawn in one shape, so that the points do not depend on how many are asked for.
    for done in range(0, count, size):
        uniform = rng.random((size, problem.size))
        normal = rng.standard_normal((size, problem.size))
        some = np.where(between, low + (high - low) * uniform, problem.start + options["scale"] * normal)
        some = np.minimum(np.maximum(some, problem.low), problem.high)[: count - done]
        _look(problem, path, some)
    return Outcome("max_iterations", f"All {count:,} points were looked at; the best of them is the answer.")


def grid_search(problem: Problem, options: Mapping[str, Any], path: Path) -> Outcome:
    """All points of a grid: `points` values for each variable, evenly from bound to bound."""
    counts = options["points"]
    axes = [np.linspace(a, b, k) for a, b, k in zip(problem.low, problem.high, counts, strict=True)]
    total = int(np.prod(np.asarray(counts, object)))
    path.search()
    size = BATCH if path.target is None else BATCH_TO_TARGET
    for k in range(0, total, size):
        places = np.unravel_index(np.arange(k, min(k + size, total)), counts)
        some = np.stack([axis[p] for axis, p in zip(axes, places, strict=True)], axis=1)
        _look(problem, path, some)
    return Outcome(
        "converged", f"All {total:,} points of the grid were looked at; the best of them is the answer."
    )


def _look(problem: Problem, path: Path, points: Array) -> None:
    """Compute some points; the history has the lowest of each batch that is lower than all before."""
    done = 0
    while done < len(points):
        before = problem.best.value
        some = points[done:]
        values = problem.values(some)
        done += len(values)
        best = problem.best
        if best.value < before or (np.isfinite(best.value) and np.isnan(before)):
            k = int(np.argmin(np.where(np.isfinite(values), values, np.inf)))
            path.add(best.point, best.value, by=k + 1)
            path.skip(len(values) - k - 1)
        else:
            path.skip(len(values))
