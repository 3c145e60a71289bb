"""Methods for residuals: Σr² is lowered by what the Jacobian J of r says, J'J standing in for the Hessian.

**Levenberg-Marquardt** as in J. J. Moré, The Levenberg-Marquardt algorithm: implementation and theory, Lecture Notes in
Mathematics 630 (1978), and MINPACK's `lmder`: a trust region |D p| ≤ Δ with D the largest lengths that the columns of J have
had, the damping λ found for it by Newton's method on the secular equation. Steps come from the singular values of J D⁻¹, not
from J'J, whose condition is squared. The first radius is |D x|, not 100 times that: fewer ways lead off to infinity.

With bounds the step is made in the variables that none holds, and put back into the box (Kanzow, Yamashita & Fukushima, J.
Comput. Appl. Math. 172 (2004)).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from engine.aval import Array
from engine.minimize.first_order import NOT_FINITE
from engine.minimize.outcome import Finished, Outcome
from engine.minimize.path import Path
from engine.minimize.problem import Problem, norm, sum_of_squares

LONGEST_MEMORY = 1e12
"""How much longer than a column is now its length of earlier may be to be remembered: a pole on the way must not freeze a
variable for good."""

TINY = 1e-290
"""A sum of squares that is zero: its digits are lost in underflow."""

RESTARTS = 20

IDLE = 50
"""Iterations that together lower the sum of squares by no more than their roundings, after which it is as low as it will be."""


SMALLEST, LARGEST = float(np.finfo(np.float64).tiny), float(np.finfo(np.float64).max)


class Factored(NamedTuple):
    """U Σ V' of the scaled Jacobian of the free variables: its singular values, V', and −U'r."""

    s: Array
    vt: Array
    b: Array
    rank: int


def factored(matrix: Array, r: Array, eps: float) -> Factored:
    """Of a matrix that is finite, by its triangular factor where it is tall."""
    if matrix.shape[0] > 2 * matrix.shape[1]:
        q, matrix = np.linalg.qr(matrix)
        r = q.T @ r
    u, s, vt = np.linalg.svd(matrix, full_matrices=False)
    rank = int(np.count_nonzero(s > (s[0] if len(s) else 0.0) * max(matrix.shape) * eps))
    return Factored(s, vt, -(u.T @ r), rank)


class Step(NamedTuple):
    """A step in scaled variables, its length there, the damping, and what the model says of it: decrease and slope."""

    p: Array
    length: float
    damping: float
    promised: float
    slope: float


def step_within(f: Factored, radius: float) -> Step:
    """The minimum of the linear model in the ball, to a tenth of its radius: min |J p + r|, |D p| ≤ Δ."""
    s, b = f.s, f.b
    sb = s * b
    q = _least(f)
    damping = 0.0
    if norm(q) > 1.1 * radius:
        radius = max(radius, SMALLEST)
        low, high = 0.0, min(norm(sb) / radius, LARGEST)
        damping = 1e-3 * high
        for _ in range(100):
            q = sb / (s * s + damping)
            length = norm(q)
            over = length - radius
            if abs(over) <= 0.1 * radius:
                break
            bend = float(np.sum(sb * sb / (s * s + damping) ** 3)) * radius
            if over > 0:
                low = max(low, damping)
            else:
                high = min(high, damping)
            # Of a radius next to nothing the damping is so large that the figures of Newton's step underflow to 0.
            damping = damping + over * length * length / bend if bend > 0 else high
            if not low < damping < high:
                damping = max(1e-3 * high, float(np.sqrt(low * high)))
    length = norm(q)
    down = float(np.sum((s * q) ** 2))
    shrink = damping * length * length
    return Step(f.vt.T @ q, length, damping, down + 2.0 * shrink, -(down + shrink))


class State(NamedTuple):
    """A point, the residuals and the Jacobian there, and Σr²."""

    x: Array
    r: Array
    jac: Array
    value: float


def state_at(problem: Problem, x: Array) -> State:
    """Evaluated."""
    r, jac = problem.jacobian(x)
    return State(x, r, jac, sum_of_squares(r))


def finite(state: State) -> bool:
    """Whether there is a way on from it."""
    return bool(np.isfinite(state.value) and np.isfinite(state.jac).all())


def begin(problem: Problem, path: Path) -> State:
    """The start. Raises `Finished` where nothing can be done from there."""
    state = state_at(problem, problem.start)
    if not finite(state):
        path.add(state.x, state.value, None, test=False)
        raise Finished("diverged", NOT_FINITE)
    return state


def levenberg_marquardt(problem: Problem, options: Mapping[str, Any], path: Path) -> Outcome:
    """Each iteration is a step that lowers the sum of squares; the tries before it are counted as evaluations."""
    outcome, state = _descend(problem, options, path)
    if outcome.status == "converged":
        _polish(problem, state, path)
    return outcome


def _descend(problem: Problem, options: Mapping[str, Any], path: Path) -> tuple[Outcome, State]:
    eps = problem.eps
    xtol, ftol, gtol = options["xtol"], max(options["ftol"], 4 * eps), options["gtol"]
    factor = options["factor"]
    state = begin(problem, path)
    scale = np.zeros(problem.size)
    radius = 0.0
    restarts, value_then = 0, np.inf
    first = True
    idle, value_idle = 0, np.inf
    ending: Outcome | None = None
    while True:
        x, r, jac, value = state
        lengths = _lengths(jac)
        gradient = jac.T @ r
        path.add(x, value, 2.0 * gradient, test=False)
        if value <= TINY:
            return Outcome("converged", "The residuals are zero."), state
        if ending is not None:
            return ending, state
        if value < value_idle * (1.0 - IDLE * eps):
            idle, value_idle = 0, value
        idle += 1
        if idle > IDLE:
            return Outcome("converged", SLOW), state
        largest = _cosine(problem, x, gradient, lengths, value)
        if largest <= gtol:
            return Outcome("converged", ORTHOGONAL.format(largest, gtol)), state
        remembered = np.where(lengths > 0, np.minimum(scale, LONGEST_MEMORY * lengths), scale)
        scale = np.maximum(remembered, lengths)
        d = np.where(scale > 0, scale, 1.0)
        free = ~problem.active(x, gradient)
        try:
            model = factored(jac[:, free] / d[free], r, eps)
        except np.linalg.LinAlgError:
            return Outcome("stalled", "The singular values of the Jacobian cannot be computed here."), state
        if first:
            radius = factor * norm(d * x) or factor
        while True:
            step = step_within(model, radius)
            if first:
                radius, first = min(radius, step.length) or radius, False
            moved = np.zeros(problem.size)
            moved[free] = step.p / d[free]
            y = problem.project(x + moved)
            length, promised, slope = step.length, step.promised, step.slope
            if problem.bounded and not np.array_equal(y, x + moved):
                moved = y - x
                length = norm(d * moved)
                linear = jac @ moved
                promised = -float(linear @ (linear + 2.0 * r))
                slope = float(gradient @ moved)
            new = sum_of_squares(problem.residuals(y))
            change = value - new if np.isfinite(new) else -np.inf
            ratio = change / promised if promised > 0 else (0.0 if promised == 0 else -1.0)
            if ratio <= 0.25:
                radius = _shorter(change, slope, value, new) * min(radius, 10.0 * max(length, 1e-300))
            elif step.damping == 0 or ratio >= 0.75:
                radius = 2.0 * length
            taken = ratio > 1e-4
            size = norm(d * (y if taken else x))
            if radius <= xtol * size:
                lowest = new if taken else value
                if step.damping > 0 and restarts < RESTARTS and lowest < value_then * (1 - 1e-6):
                    # Held back, not arrived: lengths of columns from far away make all steps short.
                    restarts, value_then, scale = restarts + 1, lowest, lengths.copy()
                    radius = factor * norm(np.where(scale > 0, scale, 1.0) * (y if taken else x)) or factor
                    break
                ending = Outcome(
                    "converged",
                    f"The next step would move the variables by less than xtol, {xtol:g}, of them.",
                )
            elif abs(change) <= ftol * value and promised <= ftol * value and ratio <= 2:
                ending = Outcome("converged", ROUNDED)
            elif radius <= 1e-300 or radius <= eps * size:
                ending = Outcome(
                    "stalled", "No step, however short, lowers the sum of squares as the Jacobian says."
                )
            if taken:
                break
            if ending is not None:
                return ending, state
        if taken:
            state = state_at(problem, y)
            if not finite(state):
                path.add(y, state.value, None)
                return Outcome("diverged", "The Jacobian is not finite at the last point."), state


SLOW = (
    f"The last {IDLE} steps have not lowered the sum of squares beyond rounding. (Here the residuals are far from linear, and "
    "a method that knows the Hessian, such as trust-region, is faster.)"
)
ROUNDED = "The sum of squares cannot be lowered any more: what a step promises is lost in rounding."
ORTHOGONAL = (
    "The residuals are orthogonal to all columns of the Jacobian: the largest cosine is {:.3g}; gtol is {:g}."
)


def _polish(problem: Problem, state: State, path: Path) -> None:
    """The sum of squares is flat at its minimum, and tells the variables to half of the digits only; that the residuals are
    orthogonal to the Jacobian's columns tells the others. So undamped steps go on while they make that truer."""
    least, misses, begun = _largest(problem, state), 0, state.value
    try:
        for _ in range(100):
            if path.iteration >= path.max_iterations or state.value <= TINY or least <= problem.eps:
                return
            step = _undamped(problem, state)
            if step is None:
                return
            state = state_at(problem, problem.project(state.x + step))
            if not finite(state) or state.value > begun * (1.0 + 1e4 * problem.eps):
                return
            now = _largest(problem, state)
            if now > 0.9 * least:
                misses += 1
                if misses == 3:
                    return
                continue
            least, misses = now, 0
            gradient = 2.0 * (state.jac.T @ state.r)
            problem.settle(state.x, state.value, gradient)
            path.add(state.x, state.value, gradient, test=False)
    except Finished:  # no evaluations left for this
        return


def _undamped(problem: Problem, state: State) -> Array | None:
    """The shortest p with the least |J p + r|; None where it cannot be computed."""
    lengths = _lengths(state.jac)
    free = ~problem.active(state.x, state.jac.T @ state.r)
    d = np.where(lengths > 0, lengths, 1.0)
    try:
        model = factored(state.jac[:, free] / d[free], state.r, problem.eps)
    except np.linalg.LinAlgError:
        return None
    step = np.zeros(problem.size)
    step[free] = (model.vt.T @ _least(model)) / d[free]
    return step


def _least(model: Factored) -> Array:
    q = np.zeros_like(model.s)
    q[: model.rank] = model.b[: model.rank] / model.s[: model.rank]
    return q


def _lengths(jac: Array) -> Array:
    found: Array = np.sqrt(np.einsum("ij,ij->j", jac, jac))
    return found


def _largest(problem: Problem, state: State) -> float:
    gradient = state.jac.T @ state.r
    return _cosine(problem, state.x, gradient, _lengths(state.jac), state.value)


def _cosine(problem: Problem, x: Array, gradient: Array, lengths: Array, value: float) -> float:
    """The largest cosine between the residuals and a column of the Jacobian that a bound does not hold."""
    slope = problem.projected(x, gradient)
    cosines = np.abs(slope) / np.where(lengths > 0, lengths, 1.0) / np.sqrt(value)
    return float(np.where(lengths > 0, cosines, 0.0).max(initial=0.0))


def _shorter(change: float, slope: float, value: float, new: float) -> float:
    """By what the radius is multiplied after a bad step: where a parabola has its minimum, between a tenth and a half."""
    if change >= 0:
        return 0.5
    if not np.isfinite(change) or 0.01 * new >= value:
        return 0.1
    return float(min(0.5, max(0.1, 0.5 * slope / (slope + 0.5 * change))))


def gauss_newton(problem: Problem, options: Mapping[str, Any], path: Path) -> Outcome:
    """The shortest p with the least |J p + r|, halved until it lowers Σr² as its slope promises."""
    eps = problem.eps
    state = begin(problem, path)
    moved = np.inf
    while True:
        x, r, jac, value = state
        path.add(x, value, 2.0 * (jac.T @ r), test=False)
        if value <= TINY:
            return Outcome("converged", "The residuals are zero.")
        if moved <= options["xtol"] * norm(x):
            return Outcome(
                "converged",
                f"The last step moved the variables by less than xtol, {options['xtol']:g}, of them.",
            )
        largest = _largest(problem, state)
        if largest <= options["gtol"]:
            return Outcome("converged", ORTHOGONAL.format(largest, options["gtol"]))
        step = _undamped(problem, state)
        if step is None:
            return Outcome("stalled", "The singular values of the Jacobian cannot be computed here.")
        linear = jac @ step
        promised = -float(linear @ (linear + 2.0 * r))
        t, found = 1.0, None
        for _ in range(60):
            y = problem.project(x + t * step)
            new = sum_of_squares(problem.residuals(y))
            if new < value and new <= value - 1e-4 * t * promised:
                found = y
                break
            if t == 1.0 and promised <= 4 * eps * value:
                break
            t *= 0.5
        if found is None:
            if promised <= np.sqrt(eps) * value:
                _polish(problem, state, path)
                return Outcome("converged", ROUNDED)
            return Outcome(
                "stalled",
                "No part of the step lowers the sum of squares: here the residual is too far from linear, or its Jacobian is "
                "without full rank. lm does better there.",
            )
        moved = norm(found - x)
        state = state_at(problem, found)
        if not finite(state):
            path.add(found, state.value, None)
            return Outcome("diverged", "The Jacobian is not finite at the last point.")
