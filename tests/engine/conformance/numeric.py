"""Derivatives by other means: differences, complex steps, and many digits."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import mpmath
import numpy as np

from engine.aval import Array

EPS = float(np.finfo(np.float64).eps)


class Slope(NamedTuple):
    """A derivative by differences: for each entry an estimate, how far to trust it, and how large the function was."""

    value: Array
    error: Array
    size: Array

    @property
    def trusted(self) -> Array:
        """Where the differences settled: to five digits, or to what rounding of the function leaves."""
        return np.isfinite(self.value) & (self.error <= 1e-5 * np.abs(self.value) + 1e-8 * self.size)


def ridders(f: Callable[[float], Array], start: float = 2.0**-5, levels: int = 11) -> Slope:
    """df/dt at t = 0 by central differences of ever smaller step, extrapolated; for each entry the best of the table.

    C. J. F. Ridders, Adv. Eng. Software 4(2), 1982, doi:10.1016/S0141-1195(82)80057-0.
    """
    steps = [start * 2.0**-i for i in range(levels)]
    with np.errstate(all="ignore"):
        values = [(f(h), f(-h)) for h in steps]
        rows = [[(above - below) / (2 * h)] for h, (above, below) in zip(steps, values, strict=True)]
        sizes = np.abs(np.array(values)).max(axis=(0, 1))
        best = np.full(rows[0][0].shape, np.nan)
        error = np.full(rows[0][0].shape, np.inf)
        for i in range(1, levels):
            for j in range(1, min(i, 5) + 1):
                finer, coarser = rows[i][j - 1], rows[i - 1][j - 1]
                rows[i].append(finer + (finer - coarser) / (4.0**j - 1))
                change = np.maximum(np.abs(rows[i][j] - finer), np.abs(rows[i][j] - coarser))
                better = change <= error  # of equal ones the finer
                best = np.where(better, rows[i][j], best)
                error = np.where(better, change, error)
    return Slope(best, error, np.where(np.isfinite(sizes), sizes, 0.0))


def complex_step(f: Callable[[complex], Array | None], slope: Slope) -> Array | None:
    """df/dt at t = 0 from Im f(ih) / h, without cancellation; None if f cannot take it.

    Not every function that takes complex numbers is analytic (abs is not): the answer counts only if it agrees with the
    differences to the digits that those have.
    """
    h = 1e-30
    try:
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            value = f(complex(0, h))
    except (TypeError, ValueError, NotImplementedError, np.linalg.LinAlgError, ArithmeticError, IndexError):
        return None
    if value is None or value.shape != slope.value.shape:
        return None
    steep: Array = value.imag / h
    trusted = slope.trusted
    with np.errstate(all="ignore"):
        near = np.abs(steep - slope.value) <= 1e-4 * np.abs(slope.value) + 1e-6 * slope.size
    if not trusted.any() or not near[trusted].all():
        return None
    # Where there are no real values nearby, the complex ones are those of another branch.
    return np.where(np.isnan(slope.value), np.nan, steep)


def direction(x: Array, rng: np.random.Generator, most: float = math.inf) -> Array:
    """A random tangent: small beside x, so that steps along it change no sign, and small enough for exponentials of x.

    Beyond 10⁶ it grows with x, or steps would be lost in rounding, up to `most`.
    """
    size = np.where(np.isfinite(x) & (x != 0), np.abs(x), 1.0)
    size = np.where(size < 1e6, np.minimum(size, 1.0), np.minimum(size, most))
    return np.asarray(size * rng.uniform(0.5, 1.5, x.shape) * rng.choice([-1.0, 1.0], x.shape))


def moved(arrays: Sequence[Array], tangents: Sequence[Array | None], t: float | complex) -> list[Array]:
    """x + t·ẋ."""
    return [
        a
        if d is None
        else np.asarray(a + t * d if np.isfinite(a).all() else np.where(np.isfinite(a), a + t * d, a))
        for a, d in zip(arrays, tangents, strict=True)
    ]


STEP = 30
"""Digits that the steps of exact differences are smaller than their point; they are computed with three times as many."""


def _bends(
    f: Callable[..., Any], at: Sequence[Any], k: int, j: int, attrs: Mapping[str, Any]
) -> tuple[Any, Any, Any]:
    """f, ∂f/∂k and ∂²f/∂k∂j at a point by central differences with minute steps, in mpmath's present precision."""

    def moved(s: int, t: int) -> Any:
        point = list(at)
        point[k] = point[k] + s * steps[k]
        point[j] = point[j] + t * steps[j]
        return f(*point, **attrs)

    steps = {i: (abs(at[i]) or mpmath.mpf(1)) * mpmath.mpf(10) ** -STEP for i in (k, j)}
    here, above, below = moved(0, 0), moved(1, 0), moved(-1, 0)
    first = (above - below) / (2 * steps[k])
    if k == j:
        return here, first, (above - 2 * here + below) / steps[k] ** 2
    mixed = moved(1, 1) - moved(1, -1) - moved(-1, 1) + moved(-1, -1)
    return here, first, mixed / (4 * steps[k] * steps[j])


def exact_partials(
    f: Callable[..., Any], at: Sequence[Any], k: int, j: int, attrs: Mapping[str, Any]
) -> tuple[Any, Any]:
    """∂f/∂k and ∂²f/∂k∂j at a point, with more digits where f is much larger than what its derivatives change it by."""
    first = second = mpmath.nan
    for digits in (4 * STEP, 25 * STEP):
        with mpmath.workdps(digits):
            here, first, second = _bends(f, at, k, j, attrs)
            size, change = abs(mpmath.mpf(here)), abs(at[k]) or 1
            if (
                min(abs(first) * change, abs(second) * change * (abs(at[j]) or 1))
                > size * mpmath.mpf(10) ** -10
            ):
                break
    return first, second
