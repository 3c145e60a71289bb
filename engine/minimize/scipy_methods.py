"""L-BFGS-B and BFGS as SciPy has them, with our derivatives.

What SciPy cannot know is added around it: it stops between two evaluations for whatever stops all methods, and a point where
the objective is not finite is a point where it is high, so that line searches come back from there.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from engine.aval import Array
from engine.minimize.first_order import NOT_FINITE, no_progress
from engine.minimize.outcome import Finished, Outcome
from engine.minimize.path import Path
from engine.minimize.problem import Problem, norm

if TYPE_CHECKING:
    from scipy.optimize import OptimizeResult

WITHOUT_END = 2**31 - 1
"""What SciPy is told of limits that are kept here."""


SMALL = 10.0
"""By default a small change of the objective ends L-BFGS-B only where no entry of the gradient is larger than so many gtol:
on a plateau, or far from the minimum of a function of bad scale, it is no sign of having arrived."""


def minimize(*arguments: Any, **more: Any) -> OptimizeResult:
    """SciPy's own, imported when it is first needed: that takes as long as starting half of the server."""
    from scipy.optimize import minimize as own

    return own(*arguments, **more)


class Wrapped:
    """f with its gradient as SciPy asks for it, and each iteration told to the path."""

    def __init__(self, problem: Problem, path: Path) -> None:
        self.problem = problem
        self.path = path
        self.at: Array = problem.start
        """Where the current iteration began, f and its gradient there."""
        self.value, self.slope = problem.gradient(self.at)
        if not (np.isfinite(self.value) and np.isfinite(self.slope).all()):
            path.add(self.at, self.value, self.slope, test=False)
            raise Finished("diverged", NOT_FINITE)
        path.add(self.at, self.value, self.slope)
        self.tried: list[tuple[Array, float, Array]] = [(self.at, self.value, self.slope)]

    def __call__(self, x: Array) -> tuple[float, Array]:
        """f and its gradient. Where they are not finite, those of a bowl that rises from where the iteration began."""
        for point, value, slope in self.tried:
            if np.array_equal(point, x):
                return value, slope
        value, slope = self.problem.gradient(x)
        if not (np.isfinite(value) and np.isfinite(slope).all()):
            fall = float(self.slope @ (x - self.at))
            rise = 4.0 * abs(fall) if fall < 0 else 1.0 + abs(self.value)
            return self.value + rise, -4.0 * self.slope
        self.tried.append((np.array(x), value, slope))
        if len(self.tried) > 8:
            del self.tried[0]
        return value, slope

    def callback(self, intermediate_result: OptimizeResult) -> None:
        """One iteration is over. (SciPy looks at the name of the argument.)"""
        x = np.array(intermediate_result.x, np.float64)
        self.value, self.slope = self(x)
        self.at = x
        self.tried = self.tried[-2:]
        self.path.add(x, self.value, self.slope)


def lbfgsb(problem: Problem, options: Mapping[str, Any], path: Path) -> Outcome:
    """Byrd, Lu, Nocedal & Zhu, SIAM J. Sci. Comput. 16 (1995); Morales & Nocedal, ACM TOMS 38 (2011)."""
    f = Wrapped(problem, path)
    ftol, gtol = options["ftol"], options["gtol"]
    enough = np.inf if "ftol" in options["given"] else SMALL * gtol

    far = 0

    def callback(intermediate_result: OptimizeResult) -> None:
        nonlocal far
        before, from_there, slope = f.value, f.at, f.slope
        f.callback(intermediate_result)
        # SciPy makes no step longer than 10¹⁰ gradients: along a straight line down it would go on for ever.
        straight = norm(f.slope - slope) <= 1e-9 * norm(slope)
        far = far + 1 if straight and norm(f.at - from_there) > 1e9 * norm(slope) else 0
        if far == 3:
            raise Finished("diverged", f"The objective falls without end: it is {f.value:.3g} already.")
        change = before - f.value
        if change <= ftol * max(abs(before), abs(f.value), 1.0):
            largest = float(np.abs(problem.projected(f.at, f.slope)).max(initial=0.0))
            if largest <= enough:
                raise Finished(
                    "converged",
                    f"The last step changed the objective by {change:.3g} of it or less; ftol is {ftol:g}.",
                )

    bounds = np.stack([problem.low, problem.high], axis=1) if problem.bounded else None
    told = {
        "maxcor": options["memory"], "ftol": 0.0, "gtol": 0.0, "maxls": 50,
        "maxiter": WITHOUT_END, "maxfun": WITHOUT_END,
    }  # fmt: skip
    minimize(f, problem.start, method="L-BFGS-B", jac=True, bounds=bounds, callback=callback, options=told)
    return no_progress(problem, f.at, f.value, f.slope)


def bfgs(problem: Problem, options: Mapping[str, Any], path: Path) -> Outcome:
    """Broyden, Fletcher, Goldfarb & Shanno (1970), as in Nocedal & Wright, Numerical Optimization, 2nd ed., section 6.1."""
    f = Wrapped(problem, path)
    told = {"maxiter": WITHOUT_END, "gtol": options["gtol"], "xrtol": options["xtol"]}
    found = minimize(f, problem.start, method="BFGS", jac=True, callback=f.callback, options=told)
    if found.status == 0:
        return Outcome("converged", f"The last step is shorter than xtol, {options['xtol']:g}, of the point.")
    return no_progress(problem, f.at, f.value, f.slope)
