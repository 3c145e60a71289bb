"""Solvers for residuals f(x) = 0 over a batch of points: a damped Newton's method, and accelerated iteration.

Arrays are [batch, n]; every member is solved by itself, and stays where it is once it is done.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from engine.aval import Array

HALVINGS = 40
"""How often a step is halved at most."""
LOOSE = 1000
"""Where rounding ends all progress, a step of so many roundings beside the starting point's size (or 1) will do."""
STALLED = 50
"""So many iterations without a smaller residual end an iteration."""
MEMORY = 5
"""Steps that an accelerated iteration remembers."""

Function = Callable[[Array], Array]


class Found(NamedTuple):
    """Where the search ended: points, the residuals' largest entries, iterations, which are roots, where it was singular."""

    x: Array
    residual: Array
    iterations: Array
    done: Array
    singular: Array


def size(a: Array) -> Array:
    """The largest magnitude of each member; infinite where an entry is not finite."""
    if not a.shape[1]:
        return np.zeros(a.shape[0])
    top = np.abs(a).astype(np.float64).max(axis=1)
    return np.asarray(np.where(np.isfinite(top), top, np.inf))


def _loosely(x: Array, tol: float) -> Array:
    """The largest step that is nothing but rounding, for each member."""
    return np.asarray(np.maximum(size(x), 1.0) * max(tol, LOOSE * float(np.finfo(x.dtype).eps)))


def newton(
    f: Function, correction: Callable[[Array, Array], Array], x: Array, tol: float, most: int
) -> Found:
    """Newton's method with steps halved until the residual falls; of one unknown, with bisection between signs.

    `correction(x, f(x))` is −J⁻¹f, NaN where J is singular. A member is done when its Newton step is at most `tol` of its
    size (and that step is still taken), or its residual is 0.

    J. E. Dennis, R. B. Schnabel, "Numerical Methods for Unconstrained Optimization and Nonlinear Equations", 1983, ch. 6.
    """
    x = x.copy()
    fx = f(x)
    norm = size(fx)
    start, span = norm.copy(), _loosely(x, tol)
    done, lost = norm == 0, np.isinf(norm)
    singular = np.zeros(len(x), bool)
    count = np.zeros(len(x), np.int64)
    last = np.full(len(x), np.inf)
    signs = _Signs(x, fx) if x.shape[1] == 1 else None
    for _ in range(most):
        active = ~(done | lost)
        if not active.any():
            break
        count += active
        step = correction(x, fx)
        step = np.where(np.isfinite(step).all(axis=1, keepdims=True), step, np.nan).astype(x.dtype)
        length = size(step)
        last = np.where(active, length, last)
        goal, between = x + step, np.zeros(len(x), bool)
        if signs is not None:
            goal, between = signs.guard(x, goal, norm)
            closed = active & signs.closed(x) & ~(length <= tol * size(x))
            done |= closed & (norm <= np.sqrt(tol) * start)
            lost |= closed & ~done
            active &= ~closed
        stuck = active & ~between & np.isinf(length)
        singular |= stuck
        lost |= stuck
        active &= ~stuck
        near = active & ~between & (length <= tol * size(x))
        taken, fy, better = _shortened(f, x, goal, norm, active, signs, between | near)
        x = np.where(taken[:, None], better, x)
        fx = np.where(taken[:, None], fy, fx)
        stalled = active & ~taken & ~near
        lost |= stalled & ~(length <= span)
        done |= near | (stalled & ~lost)
        norm = size(fx)
        if signs is not None:
            signs.see(x, fx)
        done |= active & (norm == 0)
    open_ = ~(done | lost)
    done |= open_ & (last <= span) & (norm <= np.sqrt(tol) * start)
    return Found(x, norm, count, done, singular)


def _shortened(
    f: Function, x: Array, goal: Array, norm: Array, active: Array, signs: _Signs | None, free: Array
) -> tuple[Array, Array, Array]:
    """The goal, or a point nearer to x, where the residual is smaller (or of another sign): where there is one, f and it.

    Where `free`, any finite residual will do; where it grows next to a root, the point is not taken.
    """
    goal = np.where(active[:, None], goal, x)
    taken = ~active
    value = np.zeros_like(x)
    for _ in range(HALVINGS):
        y = f(goal)
        height = size(y)
        good = np.isfinite(height) & ((height < norm) | free)
        if signs is not None:
            good |= np.isfinite(height) & signs.changed(y)
        fresh = ~taken & good
        value = np.where(fresh[:, None], y, value)
        taken |= fresh
        if taken.all():
            break
        goal = np.where(taken[:, None], goal, x + (goal - x) / 2)
    return taken & active, value, goal


class _Signs:
    """For one unknown: the last points at which the residual was negative and positive, once there are both."""

    def __init__(self, x: Array, fx: Array) -> None:
        self.low = np.full(x.shape, np.nan, x.dtype)
        self.high = np.full(x.shape, np.nan, x.dtype)
        self.before = np.full(len(x), np.inf)
        self.see(x, fx)

    @property
    def known(self) -> Array:
        """Where there is a change of sign."""
        return np.asarray(~np.isnan(self.low + self.high))[:, 0]

    def see(self, x: Array, fx: Array) -> None:
        """Take note of a point."""
        self.low = np.where(fx < 0, x, self.low)
        self.high = np.where(fx > 0, x, self.high)

    def changed(self, y: Array) -> Array:
        """Where a residual has the sign that was missing, or where both are known."""
        new: Array = np.asarray(((y < 0) & np.isnan(self.low)) | ((y > 0) & np.isnan(self.high)), bool)
        return np.asarray(new.reshape(-1) | self.known)

    def guard(self, x: Array, goal: Array, norm: Array) -> tuple[Array, Array]:
        """The goal, or the middle where it leaves the bracket or the residual has not halved; and where that is."""
        a, c = np.minimum(self.low, self.high), np.maximum(self.low, self.high)
        outside: Array = ~np.asarray((goal > a) & (goal < c), bool).reshape(-1)
        slow = norm > self.before / 2
        middle = self.known & (outside | slow)
        self.before = np.where(middle, np.inf, norm)
        return np.where(middle[:, None], a + (c - a) / 2, goal), middle

    def closed(self, x: Array) -> Array:
        """Where nothing is left between the two points."""
        gap = np.abs(self.high - self.low)[:, 0]
        return np.asarray(self.known & (gap <= 2 * np.spacing(np.abs(x[:, 0]))))


def iterate(f: Function, x: Array, tol: float, most: int) -> Found:
    """x ← x + f(x) until f(x) is at most `tol` of x, with Anderson's acceleration.

    H. F. Walker, P. Ni, SIAM J. Numer. Anal. 49(4), 2011, doi:10.1137/10078356X.
    """
    x = x.copy()
    fx = f(x)
    norm = size(fx)
    best, since = norm.copy(), np.zeros(len(x), np.int64)
    span = _loosely(x, tol)
    done, lost = norm == 0, np.isinf(norm)
    count = np.zeros(len(x), np.int64)
    memory = min(MEMORY, max(1, x.shape[1]))
    points: list[Array] = []
    values: list[Array] = []
    for _ in range(most):
        active = ~(done | lost)
        if not active.any():
            break
        count += active
        near = active & (norm <= tol * size(x))
        plain = x + fx
        goal = plain if not points else _mixed(plain, fx, points, values)
        goal = np.where((near | ~active)[:, None], plain, goal)
        y = f(np.where(active[:, None], goal, x))
        worse = active & ~near & ~(size(y) <= 2 * norm)
        if worse.any():  # the plain step, and nothing remembered
            goal = np.where(worse[:, None], plain, goal)
            y = np.where(worse[:, None], f(np.where(active[:, None], goal, x)), y)
            points = [np.where(worse[:, None], 0, p).astype(x.dtype) for p in points]
            values = [np.where(worse[:, None], 0, v).astype(x.dtype) for v in values]
        move = active & np.isfinite(size(y))
        lost |= active & ~move
        kept = (move & ~worse)[:, None]
        points = [*points, np.where(kept, goal - x, 0).astype(x.dtype)][-memory:]
        values = [*values, np.where(kept, y - fx, 0).astype(x.dtype)][-memory:]
        x = np.where(move[:, None], goal, x)
        fx = np.where(move[:, None], y, fx)
        norm = size(fx)
        done |= move & (near | (norm == 0))
        since = np.where(norm < best, 0, since + 1)
        best = np.minimum(best, norm)
        lost |= ~done & (since > STALLED) & ~(norm <= span)
        done |= ~lost & (since > STALLED)
    done |= ~lost & (norm <= span)
    return Found(x, norm, count, done, np.zeros(len(x), bool))


def _mixed(plain: Array, fx: Array, points: list[Array], values: list[Array]) -> Array:
    """Anderson's step: the plain one, corrected by what the last steps show (least squares, by normal equations)."""
    dx = np.stack(points, axis=2).astype(np.float64)
    df = np.stack(values, axis=2).astype(np.float64)
    scale = np.abs(df).max(axis=(1, 2))
    usable = np.isfinite(scale) & (scale > 0) & np.isfinite(dx.sum(axis=(1, 2)) + fx.sum(axis=1))
    one = np.where(usable, scale, 1.0)[:, None]
    df = np.where(usable[:, None, None], df / one[:, :, None], 0.0)
    dx = np.where(usable[:, None, None], dx / one[:, :, None], 0.0)
    right = np.where(usable[:, None], fx / one, 0.0)
    gram = df.transpose(0, 2, 1) @ df
    ridge = 1e-14 * np.trace(gram, axis1=1, axis2=2) + ~usable
    shares = np.linalg.solve(
        gram + ridge[:, None, None] * np.eye(len(points)), df.transpose(0, 2, 1) @ right[:, :, None]
    )
    change = ((dx + df) @ shares)[:, :, 0] * one
    return np.asarray(plain - change).astype(plain.dtype)
