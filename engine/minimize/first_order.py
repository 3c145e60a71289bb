"""Methods that follow the gradient, exact or numerical: with a learning rate, or (gd) by a line search.

Bounds are kept by projection (Goldstein 1964; Bertsekas 1976): what leaves the box is put back on its edge.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from engine.aval import Array
from engine.minimize.outcome import Finished, Outcome
from engine.minimize.path import Path
from engine.minimize.problem import Problem, norm
from engine.minimize.rules import RULES
from engine.minimize.schedules import schedule

Slope = Callable[[Array, "float | None"], tuple[float, Array]]
"""f and its gradient at x, where f(x) may be known already."""

ARMIJO = 1e-4
"""Share of the decrease that the slope promises with which a step is taken (Armijo 1966)."""

NOT_FINITE = "The objective or its gradient is not finite at the start, so there is no way down from there. Start where it is."


def exact(problem: Problem) -> Slope:
    """The gradient by reverse mode."""
    return lambda x, known: problem.gradient(x)


def central(problem: Problem, h: float | None) -> Slope:
    """(f(x + h eᵢ) − f(x − h eᵢ)) / 2h for every variable i: 2n evaluations, computed together. At a bound the difference is
    taken inside. By default h is ∛ε·max(1, |xᵢ|), where truncation and rounding are about equal."""
    low, high = problem.low, problem.high
    cube_root = float(np.cbrt(problem.eps))

    def slope(x: Array, known: float | None) -> tuple[float, Array]:
        value = problem.value(x) if known is None else known
        n = len(x)
        steps = cube_root * np.maximum(1.0, np.abs(x)) if h is None else np.full(n, h)
        above = np.minimum(x + steps, high) - x
        below = x - np.maximum(x - steps, low)
        g = np.zeros(n)
        rows = max(1, min(n, 2048))
        for k in range(0, n, rows):
            own = np.arange(k, min(n, k + rows))
            points = np.repeat(x[None], 2 * len(own), axis=0)
            at = np.arange(len(own))
            points[at, own] += above[own]
            points[at + len(own), own] -= below[own]
            if problem.most is not None and problem.spent + len(points) > problem.most:
                problem.spend(len(points))
            found = problem.values(points, probes=True)
            width = above[own] + below[own]
            g[own] = np.where(
                width > 0, (found[: len(own)] - found[len(own) :]) / np.where(width > 0, width, 1.0), 0.0
            )
        return value, g

    return slope


def follow(problem: Problem, options: Mapping[str, Any], path: Path) -> Outcome:
    """With a learning rate times its schedule, by the rule of the method."""
    name = options["method"]
    slope = central(problem, options["h"]) if name == "numerical-gd" else exact(problem)
    if options["learning_rate"] is None:
        return search_line(problem, options, path, slope)
    rule = RULES[name](options, problem.size)
    rate, factor = options["learning_rate"], schedule(options["schedule"], path.max_iterations)
    x = problem.start
    before = np.nan
    for t in range(path.max_iterations + 1):
        value, g = slope(x, None)
        if not (np.isfinite(value) and np.isfinite(g).all()):
            if t == 0:
                path.add(x, value, g, test=False)
                raise Finished("diverged", NOT_FINITE)
            path.add(x, value, g, test=False)
            raise Finished(
                "diverged",
                f"After {t:,} steps the objective or its gradient is not finite: the steps are too long. A smaller "
                f"learning_rate than {rate:g} may help.",
            )
        path.add(x, value, g)
        settled(value, before, options["ftol"])
        before = value
        following = problem.project(rule(x, g, rate * factor(t)))
        x = following
    raise AssertionError("the path ends by itself")


def settled(value: float, before: float, ftol: float) -> None:
    """Raise `Finished` where one step changed the objective by less than ftol of it."""
    if ftol > 0 and abs(before - value) <= ftol * max(abs(value), abs(before), 1.0):
        raise Finished(
            "converged",
            f"The last step changed the objective by {abs(before - value):.3g}; ftol is {ftol:g}.",
        )


def search_line(problem: Problem, options: Mapping[str, Any], path: Path, slope: Slope) -> Outcome:
    """Steepest descent: the step is halved until it lowers f as the slope promises, and doubled for the next."""
    x = problem.start
    value, g = slope(x, None)
    if not (np.isfinite(value) and np.isfinite(g).all()):
        path.add(x, value, g, test=False)
        raise Finished("diverged", NOT_FINITE)
    path.add(x, value, g)
    step = min(1.0, 1.0 / max(float(np.abs(g).max(initial=0.0)), 1e-300))
    numerical = options["method"] == "numerical-gd"
    while True:
        found = None
        while True:
            y = problem.project(x - step * g)
            moved = float(g @ (x - y))
            if np.array_equal(x, y) or not moved > 0:
                break
            trial: tuple[float, Array | None] = (problem.value(y), None) if numerical else problem.gradient(y)
            lower = np.isfinite(trial[0]) and trial[0] <= value - ARMIJO * moved
            if lower and trial[0] == value:  # the decrease is lost in rounding: then the gradient has to tell
                lower = trial[1] is not None and norm(trial[1]) < 0.99 * norm(g)
            if lower and (trial[1] is None or np.isfinite(trial[1]).all()):
                found = trial
                break
            step *= 0.5
        if found is None:
            return no_progress(problem, x, value, g)
        before, value = value, found[0]
        x = y
        g = slope(x, value)[1] if found[1] is None else found[1]
        if not np.isfinite(g).all():
            path.add(x, value, None)
            raise Finished("diverged", "The numerical gradient is not finite beside the last point.")
        path.add(x, value, g)
        settled(value, before, options["ftol"])
        step = min(2.0 * step, 1e100)


def no_progress(problem: Problem, x: Array, value: float, g: Array) -> Outcome:
    """No step lowers the objective: either that is as low as rounding allows, or something is wrong with the slope."""
    largest = float(np.abs(problem.projected(x, g)).max(initial=0.0))
    if problem.rounded(x, value, g):
        return Outcome(
            "converged",
            f"No step lowers the objective any more: what is left of the gradient, {largest:.3g}, is lost in rounding.",
        )
    return Outcome(
        "stalled",
        f"No step along the way down lowers the objective, though the gradient is {largest:.3g}: there may be a kink here, or "
        "a point where it is not continuous.",
    )
