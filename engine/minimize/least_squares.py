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
    q = np.zeros_like(s)
    q[: f.rank] = b[: f.rank] / s[: f.rank]
    damping = 0.0
    if norm(q) > 1.1 * radius:
        low, high = 0.0, norm(sb) / radius
        damping = 1e-3 * high
        for _ in range(100):
            q = sb / (s * s + damping)
            length = norm(q)
            over = length - radius
            if abs(over) <= 0.1 * radius:
                break
            slope = -float(np.sum(sb * sb / (s * s + damping) ** 3)) / length
            if over > 0:
                low = max(low, damping)
            else:
                high = min(high, damping)
            damping -= over / slope * (length / radius)
            if not low < damping < high:
                damping = max(1e-3 * high, float(np.sqrt(low * high)))
    length = norm(q)
    down = float(np.sum((s * q) ** 2))
    shrink = damping * length * length
    return Step(f.vt.T @ q, length, damping, down + 2.0 * shrink, -(down + shrink))


def levenberg_marquardt(problem: Problem, options: Mapping[str, Any], path: Path) -> Outcome:
    """Each iteration is a step that lowers the sum of squares; the tries before it are counted as evaluations."""
    eps = problem.eps
    xtol, ftol, gtol = options["xtol"], max(options["ftol"], 4 * eps), options["gtol"]
    factor = options["factor"]
    x = problem.start
    r, jac = problem.jacobian(x)
    value = sum_of_squares(r)
    if not (np.isfinite(value) and np.isfinite(jac).all()):
        path.add(x, value, None, test=False)
        raise Finished("diverged", NOT_FINITE)
    scale = np.zeros(problem.size)
    radius = 0.0
    restarts, value_then = 0, np.inf
    first = True
    idle, value_idle = 0, np.inf
    ending: Outcome | None = None
    while True:
        lengths = np.sqrt(np.einsum("ij,ij->j", jac, jac))
        gradient = jac.T @ r
        path.add(x, value, 2.0 * gradient, test=False)
        if value <= TINY:
            return Outcome("converged", "The residuals are zero.")
        if ending is not None:
            return ending
        if value < value_idle * (1.0 - IDLE * eps):
            idle, value_idle = 0, value
        idle += 1
        if idle > IDLE:
            return Outcome(
                "converged",
                f"The last {IDLE} steps have not lowered the sum of squares beyond rounding. (Here the residuals are far from "
                "linear, and a method that knows the Hessian, such as trust-region, is faster.)",
            )
        largest = _cosine(problem, x, gradient, lengths, value)
        if largest <= gtol:
            return Outcome(
                "converged",
                f"The residuals are orthogonal to all columns of the Jacobian: the largest cosine is {largest:.3g}; "
                f"gtol is {gtol:g}.",
            )
        remembered = np.where(lengths > 0, np.minimum(scale, LONGEST_MEMORY * lengths), scale)
        scale = np.maximum(remembered, lengths)
        d = np.where(scale > 0, scale, 1.0)
        free = ~problem.active(x, gradient)
        try:
            model = factored(jac[:, free] / d[free], r, eps)
        except np.linalg.LinAlgError:
            return Outcome("stalled", "The singular values of the Jacobian cannot be computed here.")
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
            found = problem.residuals(y)
            new = sum_of_squares(found)
            fine = bool(np.isfinite(new))
            change = value - new if fine else -np.inf
            ratio = change / promised if promised > 0 else (0.0 if promised == 0 else -1.0)
            if ratio <= 0.25:
                radius = _shorter(change, slope, value, new) * min(radius, 10.0 * max(length, 1e-300))
            elif step.damping == 0 or ratio >= 0.75:
                radius = 2.0 * length
            taken = ratio > 1e-4
            before = value
            if taken:
                x, value = y, new
            size = norm(d * x)
            if radius <= xtol * size:
                if step.damping > 0 and restarts < RESTARTS and value < value_then * (1 - 1e-6):
                    restarts, value_then = restarts + 1, value
                    scale = lengths.copy()
                    radius = factor * norm(np.where(scale > 0, scale, 1.0) * x) or factor
                    break
                ending = Outcome(
                    "converged",
                    f"The next step would move the variables by less than xtol, {xtol:g}, of them.",
                )
            elif abs(change) <= ftol * before and promised <= ftol * before and ratio <= 2:
                ending = Outcome(
                    "converged",
                    "The sum of squares cannot be lowered any more: what a step promises is lost in rounding.",
                )
            elif radius <= 1e-300 or radius <= eps * size:
                ending = Outcome(
                    "stalled", "No step, however short, lowers the sum of squares as the Jacobian says."
                )
            if taken:
                break
            if ending is not None:
                return ending
        r, jac = problem.jacobian(x)
        if not np.isfinite(jac).all():
            path.add(x, value, None)
            return Outcome("diverged", "The Jacobian is not finite at the last point.")


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
    x = problem.start
    r, jac = problem.jacobian(x)
    value = sum_of_squares(r)
    if not (np.isfinite(value) and np.isfinite(jac).all()):
        path.add(x, value, None, test=False)
        raise Finished("diverged", NOT_FINITE)
    moved = np.inf
    while True:
        gradient = jac.T @ r
        path.add(x, value, 2.0 * gradient, test=False)
        if value <= TINY:
            return Outcome("converged", "The residuals are zero.")
        if moved <= options["xtol"] * norm(x):
            return Outcome(
                "converged",
                f"The last step moved the variables by less than xtol, {options['xtol']:g}, of them.",
            )
        lengths = np.sqrt(np.einsum("ij,ij->j", jac, jac))
        largest = _cosine(problem, x, gradient, lengths, value)
        if largest <= options["gtol"]:
            return Outcome(
                "converged",
                f"The residuals are orthogonal to all columns of the Jacobian: the largest cosine is {largest:.3g}.",
            )
        free = ~problem.active(x, gradient)
        d = np.where(lengths > 0, lengths, 1.0)
        try:
            model = factored(jac[:, free] / d[free], r, eps)
        except np.linalg.LinAlgError:
            return Outcome("stalled", "The singular values of the Jacobian cannot be computed here.")
        q = np.zeros_like(model.s)
        q[: model.rank] = model.b[: model.rank] / model.s[: model.rank]
        step = np.zeros(problem.size)
        step[free] = (model.vt.T @ q) / d[free]
        promised = float(np.sum((model.s * q) ** 2))
        t, found = 1.0, None
        for _ in range(60):
            y = problem.project(x + t * step)
            new = sum_of_squares(problem.residuals(y))
            if np.isfinite(new) and new < value and new <= value - 1e-4 * 2.0 * t * promised:
                found = y
                break
            if t == 1.0 and promised <= 4 * eps * value:
                break
            t *= 0.5
        if found is None:
            if promised <= np.sqrt(eps) * value:
                return Outcome("converged", "The sum of squares cannot be lowered any more within rounding.")
            return Outcome(
                "stalled",
                "No part of the step lowers the sum of squares: here the residual is too far from linear, or its Jacobian is "
                "without full rank. lm does better there.",
            )
        moved = norm(found - x)
        x = found
        r, jac = problem.jacobian(x)
        value = sum_of_squares(r)
        if not np.isfinite(jac).all():
            path.add(x, value, None)
            return Outcome("diverged", "The Jacobian is not finite at the last point.")
