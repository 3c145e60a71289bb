"""Newton's method and BFGS in a box: D. P. Bertsekas, SIAM J. Control Optim. 20 (1982).

The variables that a bound holds go by themselves; the others take a Newton (or quasi-Newton) step among themselves; the
line search goes along the projections of the step into the box.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from engine.aval import Array
from engine.minimize.first_order import ARMIJO, NOT_FINITE, no_progress
from engine.minimize.outcome import Finished, Outcome
from engine.minimize.path import Path
from engine.minimize.problem import Problem, norm
from engine.minimize.trust_region import steihaug

Direction = Callable[[Array, Array, Array], Array]
"""(x, gradient, free) -> the step of the free variables."""


def newton_cg_in_box(problem: Problem, options: Mapping[str, Any], path: Path) -> Outcome:
    """The step by conjugate gradients with the free part of the Hessian."""

    def direction(x: Array, g: Array, free: Array) -> Array:
        def product(d: Array) -> Array:
            full = np.zeros(problem.size)
            full[free] = d
            found = problem.hvp(x, full)[free]
            return found if np.isfinite(found).all() else np.zeros_like(found)

        # Where curvature is negative at once, a step of the length of the gradient.
        step, _ = steihaug(product, g[free], 1e8 * max(1.0, norm(x)), min(10 * int(free.sum()) + 10, 5000))
        return step if norm(step) < 1e7 * max(1.0, norm(x)) else -g[free]

    return _descend(problem, options, path, direction, lambda s, y: None)


def bfgs_in_box(problem: Problem, options: Mapping[str, Any], path: Path) -> Outcome:
    """The step by the free part of the approximation of the Hessian (not of its inverse, whose parts mean nothing)."""
    b = np.eye(problem.size)
    fresh = True

    def direction(x: Array, g: Array, free: Array) -> Array:
        part = b[np.ix_(free, free)]
        try:
            return -np.linalg.solve(part, g[free])
        except np.linalg.LinAlgError:
            return -g[free]

    def update(s: Array, y: Array) -> None:
        nonlocal fresh, b
        sy = float(s @ y)
        if sy <= 1e-10 * norm(s) * norm(y):
            return
        if fresh:
            b = np.eye(problem.size) * (float(y @ y) / sy)
            fresh = False
        bs = b @ s
        b += np.outer(y, y) / sy - np.outer(bs, bs) / float(s @ bs)

    return _descend(problem, options, path, direction, update)


def _descend(
    problem: Problem,
    options: Mapping[str, Any],
    path: Path,
    direction: Direction,
    update: Callable[[Array, Array], None],
) -> Outcome:
    x = problem.start
    value, g = problem.gradient(x)
    if not (np.isfinite(value) and np.isfinite(g).all()):
        path.add(x, value, g, test=False)
        raise Finished("diverged", NOT_FINITE)
    path.add(x, value, g)
    while True:
        # Variables close to a bound that the way down leads to are held as well: they would make the step short.
        near = min(1e-3, norm(x - problem.project(x - g)))
        held = ((x <= problem.low + near) & (g > 0)) | ((x >= problem.high - near) & (g < 0))
        free = ~held
        step = -g
        if free.any():
            step = step.copy()
            step[free] = direction(x, g, free)
            if not float(g[free] @ step[free]) < 0:
                step[free] = -g[free]
        found = _arc(problem, x, value, g, step, free)
        if found is None:
            found = _arc(problem, x, value, g, -g, free)
        if found is None:
            return no_progress(problem, x, value, g)
        y, new, gradient = found
        update(y - x, gradient - g)
        moved = float(np.abs(y - x).max(initial=0.0))
        x, value, g = y, new, gradient
        path.add(x, value, g)
        if moved <= options["xtol"] * max(float(np.abs(x).max(initial=0.0)), 1e-300):
            return Outcome(
                "converged", f"The last step is shorter than xtol, {options['xtol']:g}, of the point."
            )


def _arc(
    problem: Problem, x: Array, value: float, g: Array, step: Array, free: Array
) -> tuple[Array, float, Array] | None:
    """The first of the projections of x + t·step, t = 1, 1/2, 1/4, …, that lowers f enough."""
    t = 1.0
    for _ in range(60):
        y = problem.project(x + t * step)
        if np.array_equal(x, y):
            return None
        promised = -t * float(g[free] @ step[free]) + float(g[~free] @ (x - y)[~free])
        new, gradient = problem.gradient(y)
        if (
            np.isfinite(new)
            and np.isfinite(gradient).all()
            and promised > 0
            and new <= value - ARMIJO * promised
        ):
            return y, new, gradient
        t *= 0.5
    return None
