"""What is minimised: an objective of a flat vector, with bounds, counts, and the best point so far."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from engine.aval import Array
from engine.errors import EngineError
from engine.minimize.outcome import Finished
from engine.numeric.function import Function

UNBOUNDED = -1e60
"""An objective below this has no minimum that numbers could hold."""


class Best(NamedTuple):
    """The lowest value so far; the gradient there, where it was computed."""

    point: Array
    value: float
    gradient: Array | None


class Problem:
    """The objective f: ℝⁿ → ℝ in the box [low, high], or Σr² of a residual r: ℝⁿ → ℝᵐ.

    `objective` computes f, `residual` r for the methods that need it. Every method here computes once what it says, adds
    it to `counts` and keeps the best finite value. Raises `Finished` where `most` evaluations are spent, or where f is
    without bound.
    """

    def __init__(
        self, objective: Function, residual: Function | None, low: Array, high: Array, start: Array
    ) -> None:
        self.objective = objective
        self.residual = residual
        self.low, self.high = low, high
        self.bounded = bool(np.isfinite(low).any() or np.isfinite(high).any())
        self.start = self.project(start)
        self.size = len(start)
        self.eps = float(np.finfo(objective.dtype).eps)
        """Relative rounding of what the program computes in."""
        self.counts = {"value": 0, "gradient": 0, "hvp": 0}
        if residual is not None:
            self.counts["jacobian"] = 0
        self.spent = 0
        """Runs of the program: a value and its gradient are one, a Jacobian is one."""
        self.most: int | None = None
        self.best = Best(self.start, np.nan, None)
        self.undefined: Array | None = None
        """The first point where f was found to be NaN."""

    # -- the box

    def project(self, x: Array) -> Array:
        """The nearest point in the box."""
        return np.minimum(np.maximum(x, self.low), self.high) if self.bounded else x

    def active(self, x: Array, gradient: Array) -> Array:
        """Which variables are at a bound that the way downhill leads out of: bool[n]."""
        return ((x <= self.low) & (gradient > 0)) | ((x >= self.high) & (gradient < 0))

    def projected(self, x: Array, gradient: Array) -> Array:
        """The gradient without the variables that a bound holds: zero at a minimum in the box."""
        return np.where(self.active(x, gradient), 0.0, gradient) if self.bounded else gradient

    # -- evaluations

    def value(self, x: Array) -> float:
        """f(x)."""
        self.spend(1)
        self.counts["value"] += 1
        value = float(self.objective.value(x))
        self.offer(x, value)
        return value

    def gradient(self, x: Array) -> tuple[float, Array]:
        """f and its gradient at x, in one run."""
        self.spend(1)
        self.counts["value"] += 1
        self.counts["gradient"] += 1
        found, gradient = self.objective.gradient(x)
        value = float(found)
        self.offer(x, value, gradient)
        return value, gradient

    def hvp(self, x: Array, vector: Array) -> Array:
        """The Hessian at x times a vector."""
        self.spend(1)
        self.counts["hvp"] += 1
        return self.objective.hvp(x, vector)

    def values(self, points: Array, *, probes: bool = False) -> Array:
        """f at each row, computed together: as many of them as may still be computed, at least one. `probes` are looked at
        for the slope between them, and none of them is the answer."""
        if self.most is not None:
            points = points[: max(1, self.most - self.spent)]
        self.spend(len(points))
        self.counts["value"] += len(points)
        values = self.objective.values(points).reshape(-1)
        low = np.where(np.isnan(values), np.inf, values)
        if len(low) and not probes:
            k = int(np.argmin(low))
            self.offer(points[k].copy(), float(values[k]))
        return values

    def residuals(self, x: Array) -> Array:
        """r(x), float64[m]."""
        assert self.residual is not None
        self.spend(1)
        self.counts["value"] += 1
        r = self.residual.value(x).reshape(-1)
        self.offer(x, sum_of_squares(r))
        return r

    def jacobian(self, x: Array) -> tuple[Array, Array]:
        """r(x), and its Jacobian float64[m, n]."""
        assert self.residual is not None
        self.spend(1)
        self.counts["jacobian"] += 1
        r, matrix = self.residual.jacobian(x)
        with np.errstate(all="ignore"):
            self.offer(x, sum_of_squares(r), 2.0 * (matrix.T @ r))
        return r, matrix

    # -- keeping count

    def spend(self, count: int) -> None:
        """Look whether so many evaluations may still be made."""
        if self.most is not None and self.spent + count > self.most:
            raise Finished("max_evaluations", f"The {self.most:,} evaluations of max_evaluations are spent.")
        self.spent += count
        self.objective.meter.check()

    def offer(self, x: Array, value: float, gradient: Array | None = None) -> None:
        """A value that was found: keep it if it is the best. Raises `Finished` if it says that there is no lowest one."""
        best = self.best
        if value < UNBOUNDED:
            if value > -np.inf and not best.value <= value:
                self.best = Best(np.array(x, np.float64), value, gradient)
            shown = "-Infinity" if value == -np.inf else f"{value:.3g}"
            raise Finished(
                "diverged", f"The objective is unbounded below, as far as can be seen: it fell to {shown}."
            )
        if not np.isfinite(value):
            if self.undefined is None and np.isnan(value):
                self.undefined = np.array(x, np.float64)
            return
        if not best.value <= value:
            self.best = Best(np.array(x, np.float64), value, gradient)
        elif gradient is not None and best.gradient is None and np.array_equal(x, best.point):
            self.best = best._replace(gradient=gradient)

    def settle(self, x: Array, value: float, gradient: Array) -> None:
        """Make this the best point: to rounding the value is that of the one before, and what else is known of it is better."""
        self.best = Best(np.array(x, np.float64), value, gradient)

    def rounded(self, x: Array, value: float, gradient: Array) -> bool:
        """Whether what a step could gain is lost in rounding: then a method that finds none has arrived. What it could gain is
        g'H⁻¹g / 2, by conjugate gradients (whose products are not counted as evaluations)."""
        slope = self.projected(x, gradient)
        noise = 100.0 * self.eps * max(1.0, abs(value))
        size = float(np.abs(slope).max(initial=0.0))
        if size * max(1.0, np.abs(x).max(initial=0.0)) <= np.sqrt(self.eps) * max(1.0, abs(value)):
            return True
        held = slope == 0.0
        s, r = np.zeros_like(slope), -slope
        d, rr = r.copy(), float(slope @ slope)
        try:
            for _ in range(min(2 * self.size + 2, 100)):
                hd = self.objective.hvp(x, d)
                hd[held] = 0.0
                curvature = float(d @ hd)
                if not curvature > 0:
                    return False
                s = s + rr / curvature * d
                r = r - rr / curvature * hd
                before, rr = rr, float(r @ r)
                if rr <= 1e-8 * float(slope @ slope):
                    break
                d = r + rr / before * d
        except EngineError:
            return False
        return bool(-0.5 * float(slope @ s) <= noise)


def sum_of_squares(r: Array) -> float:
    """Σr²."""
    with np.errstate(all="ignore"):
        return float(r @ r)


def norm(vector: Array) -> float:
    """Euclidean length, without overflow on the way."""
    largest = float(np.abs(vector).max(initial=0.0))
    if not 1e-140 < largest < 1e140:
        return largest if not np.isfinite(largest) or largest == 0.0 else largest * _length(vector / largest)
    return _length(vector)


def _length(vector: Array) -> float:
    return float(np.sqrt(vector @ vector))


def names_of(points: Sequence[Any]) -> str:
    """Names in a sentence."""
    return ", ".join(str(p) for p in points)
