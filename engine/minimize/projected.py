"""Newton's method, with bounds or without, and BFGS in a box: D. P. Bertsekas, SIAM J. Control Optim. 20 (1982).

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

Direction = Callable[[Array, Array, Array], Array]
"""(x, gradient, free) -> the step of the free variables."""


def newton_cg(problem: Problem, options: Mapping[str, Any], path: Path) -> Outcome:
    """The step by conjugate gradients with the free part of the Hessian (R. S. Dembo & T. Steihaug, Math. Programming 26
    (1983)): they stop where the curvature is not positive, or when the residual is small enough for quadratic convergence.
    (SciPy's Newton-CG takes a first direction without curvature for the end.)"""

    def direction(x: Array, g: Array, free: Array) -> Array:
        def product(d: Array) -> Array:
            full = np.zeros(problem.size)
            full[free] = d
            found = problem.hvp(x, full)[free]
            return found if np.isfinite(found).all() else np.zeros_like(found)

        return _truncated(product, g[free], min(10 * int(free.sum()) + 10, 5000))

    return _descend(problem, options, path, direction, lambda s, y: None)


def _truncated(product: Callable[[Array], Array], g: Array, most: int) -> Array:
    """About −H⁻¹g."""
    s = np.zeros_like(g)
    r = -g
    d = r.copy()
    rr = float(r @ r)
    size = norm(r)
    enough = min(0.5, np.sqrt(size)) * size
    for k in range(most):
        hd = product(d)
        curvature = float(d @ hd)
        if not curvature > 1e-14 * float(d @ d):
            if k:
                return s
            # Downhill, as far as curvature of this size would lead; where there is none the line search makes it longer.
            return d * (rr / abs(curvature)) if curvature < 0 else d
        t = rr / curvature
        s = s + t * d
        r = r - t * hd
        new = float(r @ r)
        if np.sqrt(new) <= enough:
            break
        d = r + (new / rr) * d
        rr = new
    return s


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
    """The first of the projections of x + t·step, t = 1, 1/2, 1/4, …, that lowers f enough; where the first does and f still
    falls along it, the last of t = 1, 2, 4, … that lowers it further."""
    t = 1.0
    found: tuple[Array, float, Array] | None = None
    while t > 1e-18:
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
            and (new < value or norm(gradient) < 0.9 * norm(g))
        ):
            if found is not None and not new < found[1]:
                return found
            if t < 1.0 or not float(gradient @ step) < -0.9 * abs(float(g @ step)):
                return y, new, gradient
            found = (y, new, gradient)
            t *= 2.0
            continue
        if found is not None:
            return found
        t *= 0.5
    return found
