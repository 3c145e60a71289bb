"""A trust region with exact products with the Hessian: Newton's method, safe far from the minimum.

T. Steihaug, SIAM J. Numer. Anal. 20 (1983), for the step; C.-J. Lin & J. J. Moré, SIAM J. Optim. 9 (1999), for bounds: the
step is made in the variables that no bound holds, and put back into the box.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from engine.aval import Array
from engine.minimize.first_order import NOT_FINITE, no_progress
from engine.minimize.outcome import Finished, Outcome
from engine.minimize.path import Path
from engine.minimize.problem import Problem, norm


def steihaug(
    product: Callable[[Array], Array], gradient: Array, radius: float, most: int
) -> tuple[Array, Array]:
    """A step s with |s| ≤ radius that makes gᵀs + sᵀHs/2 small, and H s, by conjugate gradients that stop at the edge, where
    curvature is negative, or when the residual is small enough for quadratic convergence."""
    s = np.zeros_like(gradient)
    hs = np.zeros_like(gradient)
    r = -gradient
    size = norm(r)
    enough = min(0.5, np.sqrt(size)) * size
    d = r.copy()
    rr = float(r @ r)
    for _ in range(most):
        hd = product(d)
        curvature = float(d @ hd)
        if not curvature > 0:
            t = _to_edge(s, d, radius)
            return s + t * d, hs + t * hd
        t = rr / curvature
        if norm(s + t * d) >= radius:
            t = _to_edge(s, d, radius)
            return s + t * d, hs + t * hd
        s = s + t * d
        hs = hs + t * hd
        r = r - t * hd
        if norm(r) <= enough:
            break
        new = float(r @ r)
        d = r + (new / rr) * d
        rr = new
    return s, hs


def _to_edge(s: Array, d: Array, radius: float) -> float:
    """The t ≥ 0 with |s + t d| = radius."""
    a, b, c = float(d @ d), float(s @ d), float(s @ s) - radius * radius
    if not a > 0:
        return 0.0
    root = np.sqrt(max(b * b - a * c, 0.0))
    return float(-c / (b + root)) if b > 0 else float((root - b) / a)


def trust_region(problem: Problem, options: Mapping[str, Any], path: Path) -> Outcome:
    """Iterations are steps that were tried; one that does not lower f enough shortens the radius and moves nothing."""
    x = problem.start
    value, g = problem.gradient(x)
    if not (np.isfinite(value) and np.isfinite(g).all()):
        path.add(x, value, g, test=False)
        raise Finished("diverged", NOT_FINITE)
    path.add(x, value, g)
    radius = float(options["radius"])
    while True:
        free = ~problem.active(x, g) if problem.bounded else np.ones(len(x), bool)

        def product(d: Array, x: Array = x, free: Array = free) -> Array:
            full = np.zeros(problem.size)
            full[free] = d
            found = problem.hvp(x, full)[free]
            return found if np.isfinite(found).all() else np.zeros_like(found)

        s, _ = steihaug(product, g[free], radius, min(10 * int(free.sum()) + 10, 5000))
        step = np.zeros(problem.size)
        step[free] = s
        y = problem.project(x + step)
        moved = y - x
        if problem.bounded and not np.array_equal(y, x + step):
            promised, moved, y = _into_box(problem, x, g, step, radius)
        else:
            promised = -float(g @ moved) - 0.5 * float(moved @ _product_of(problem, x, moved))
        if not promised > 0 or np.array_equal(x, y):
            return no_progress(problem, x, value, g)
        new, gradient = problem.gradient(y)
        fine = bool(np.isfinite(new) and np.isfinite(gradient).all())
        ratio = (value - new) / promised if fine else -1.0
        # Near the minimum values differ by rounding alone: then the gradient decides.
        within = promised <= 10 * problem.eps * max(1.0, abs(value))
        if fine and within and abs(new - value) <= 10 * problem.eps * max(1.0, abs(value)):
            better = norm(problem.projected(y, gradient)) < norm(problem.projected(x, g))
            ratio = 1.0 if better else -1.0
            if not better:
                return no_progress(problem, x, value, g)
        length = norm(moved)
        if ratio < 0.25:
            radius = 0.25 * min(radius, length)
        elif ratio > 0.75 and length > 0.8 * radius:
            radius = min(2.0 * radius, 1e100)
        if ratio > 1e-4:
            x, value, g = y, new, gradient
        path.add(x, value, g)
        if radius <= problem.eps * max(norm(x), 1e-300):
            return no_progress(problem, x, value, g)


def _product_of(problem: Problem, x: Array, v: Array) -> Array:
    found = problem.hvp(x, v)
    return found if np.isfinite(found).all() else np.zeros_like(found)


def _into_box(problem: Problem, x: Array, g: Array, step: Array, radius: float) -> tuple[float, Array, Array]:
    """A step that would leave the box, along the arc of its projections (and, if that is of no use, along that of steepest
    descent): the first that the model says lowers f. What it promises, the step, and the point."""
    for direction in (step, -g * (radius / max(norm(g), 1e-300))):
        t = 1.0
        for _ in range(30):
            y = problem.project(x + t * direction)
            moved = y - x
            slope = float(g @ moved)
            promised = -slope - 0.5 * float(moved @ _product_of(problem, x, moved))
            if slope < 0 and promised >= -0.01 * slope:
                return promised, moved, y
            t *= 0.5
    return 0.0, np.zeros_like(x), x
