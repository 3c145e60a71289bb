"""Difference quotients over a sweep of steps, and what can be read from them: a derivative, and how far to trust it.

The error of a difference quotient has two branches. Truncation falls with the step h, as h for the forward difference
(f(x+h) − f(x))/h and as h² for the central one (f(x+h) − f(x−h))/2h; rounding of f grows as ε|f|/h. They meet at the best
step, about √ε and ∛ε (W. H. Press et al., Numerical Recipes, 5.7). Where one is and how good it is cannot be known from a
single step, so everything here looks at the whole sweep.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from engine.aval import Array
from engine.numeric.function import Function

DECADES = 16
"""The smallest of the default steps is 10⁻¹⁶."""

RATIO = 10.0
"""By so much the square of the step changes from one default step to the next: they are half a decade apart."""

FINE = 1e-5
"""An estimate whose error is less than this part of it stands for itself."""

ORDERS = 4
"""Extrapolations are done this often, less one: each removes the next term of the truncation error."""


def default_steps() -> list[float]:
    """10⁰ … 10⁻¹⁶ by half decades; whole decades are exactly the decimal numbers."""
    return [float(f"1e-{k // 2}") if k % 2 == 0 else 10.0 ** (-k / 2) for k in range(2 * DECADES + 1)]


@dataclass(frozen=True)
class Lines:
    """Lines through the start along which a function is looked at: one for each of `entries` (places in the vector of the
    nodes `which`), and with `direction` one more in which all entries move at once.

    A step h moves an entry by h·`scale`, its own max(1, |x|): the step is absolute for entries up to 1, relative beyond.
    """

    which: tuple[int, ...]
    entries: Array
    scale: Array
    direction: Array | None = None

    @property
    def count(self) -> int:
        """How many lines there are."""
        return len(self.entries) + (self.direction is not None)


@dataclass(frozen=True)
class Sweep:
    """Differences along lines: `above` f(x+h) − f(x) and `below` f(x) − f(x−h), both [seeds, lines, steps], of Σ seed·f.

    `step` is h, `up` and `down` what was really gone, (x+h) − x and x − (x−h) as the numbers round, [lines, steps]; `size`
    is Σ|seed·f| at the start, [seeds].
    """

    step: Array
    up: Array
    down: Array
    above: Array
    below: Array
    size: Array

    @property
    def plain_forward(self) -> Array:
        """(f(x+h) − f(x))/h as it is written: that x+h rounds is part of its error. [seeds, lines, steps]"""
        return _quotient(self.above, self.step)

    @property
    def plain_central(self) -> Array:
        """(f(x+h) − f(x−h))/2h as it is written."""
        return _quotient(self.above + self.below, 2 * self.step)

    @property
    def forward(self) -> Array:
        """(f(x+h) − f(x))/h with the h that was gone; 0 where x+h rounds to x, so that nothing is measured."""
        return _quotient(self.above, self.up)

    @property
    def backward(self) -> Array:
        """(f(x) − f(x−h))/h."""
        return _quotient(self.below, self.down)

    @property
    def central(self) -> Array:
        """(f(x+h) − f(x−h))/2h."""
        return _quotient(self.above + self.below, self.up + self.down)


def _quotient(difference: Array, step: Array) -> Array:
    with np.errstate(all="ignore"):
        found: Array = np.where(step == 0, np.where(np.isfinite(difference), 0.0, np.nan), difference / step)
    return found


def sweep(function: Function, lines: Lines, steps: Sequence[float], seeds: Array) -> Sweep:
    """Evaluate at x ± h along each line for each step: 2·lines·steps + 1 evaluations, in batches.

    `seeds` is float64[seeds, values]; entries of the value whose seeds are all 0 do not count. Where the program has a loop
    that ends here but not at some x ± h, there is no value there, nor for larger steps.
    """
    grid = _Grid(function, lines, np.asarray(steps, np.float64))
    live = (seeds != 0).any(axis=0)
    weights = seeds[:, live]
    n, m = lines.count, len(steps)
    values = np.full((len(seeds), n, m, 2), np.nan)
    began = time.perf_counter()
    here = function.values(grid.start[None], lines.which).reshape(-1)[live]
    each = time.perf_counter() - began
    with np.errstate(all="ignore"):
        size = np.abs(weights * here).sum(axis=1)
    for numbers in _parts(function, lines, steps):
        function.meter.look()
        found: Array | None
        points = grid.points(numbers)
        if function.unbounded:
            found = function.values_within(points, lines.which, PATIENCE + 20 * each * len(points))
            if found is None:
                break
        else:
            found = function.values(points, lines.which)
        line, step, side = grid.places(numbers)
        with np.errstate(all="ignore"):
            values[:, line, step, side] = weights @ (found.reshape(len(points), -1)[:, live] - here).T
    return Sweep(grid.step, grid.up, grid.down, values[..., 0], -values[..., 1], size)


PATIENCE = 0.1
"""Seconds that loops of unknown length have at other points, besides twenty times what they take here."""


def _parts(function: Function, lines: Lines, steps: Sequence[float]) -> Iterator[Array]:
    """Numbers of the points, in parts that are computed together: those of small steps before those of large ones where these
    may never be done."""
    numbers = np.arange(lines.count * len(steps) * 2).reshape(lines.count, len(steps), 2)
    if function.unbounded:
        groups = [numbers[:, j].reshape(-1) for j in np.argsort(steps, kind="stable")]
    else:
        groups = [numbers.reshape(-1)]
    for group in groups:
        batch = function.together(len(group), lines.which) if len(group) else 1
        for first in range(0, len(group), batch):
            yield group[first : first + batch]


class _Grid:
    """The points of a sweep, by number: line, step, side."""

    def __init__(self, function: Function, lines: Lines, h: Array) -> None:
        self.lines, self.h = lines, h
        span = function.span(lines.which)
        self.start = function.start[span]
        n, m, own = lines.count, len(h), len(lines.entries)
        self.up, self.down, self.step = np.empty((n, m)), np.empty((n, m)), np.empty((n, m))
        self.step[:own] = h * lines.scale[:, None]
        # Of an intermediate's δ what matters is how n + δ rounds.
        base = function.base[span][lines.entries][:, None]
        offset = function.offset[span][lines.entries][:, None]
        self.moved = np.empty((own, m, 2))
        with np.errstate(all="ignore"):
            for side, sign in enumerate((1.0, -1.0)):
                there = (base + sign * self.step[:own]).astype(function.dtype).astype(np.float64)
                taken = there - base
                (self.up, self.down)[side][:own] = sign * taken
                self.moved[:, :, side] = np.where(offset, taken, there)
        for array in (self.up, self.down, self.step):
            array[own:] = h

    def places(self, numbers: Array) -> tuple[Array, Array, Array]:
        """Line, step and side of each."""
        line, step, side = np.unravel_index(numbers, (self.lines.count, len(self.h), 2))
        return line, step, side

    def points(self, numbers: Array) -> Array:
        """The points themselves, [numbers, entries]."""
        line, step, side = self.places(numbers)
        points = np.repeat(self.start[None], len(numbers), axis=0)
        single = line < len(self.lines.entries)
        at = np.flatnonzero(single)
        points[at, self.lines.entries[line[at]]] = self.moved[line[at], step[at], side[at]]
        if self.lines.direction is not None and len(at) < len(numbers):
            signs = np.where(side == 0, 1.0, -1.0) * self.h[step]
            points[~single] += signs[~single, None] * self.lines.direction
        return points


# ------------------------------------------------------------------------------------------------------------- estimates


@dataclass(frozen=True)
class Table:
    """Estimates of a derivative by step and order of extrapolation, [orders, seeds, lines, steps], each with an error.

    `error` takes for noise what the whole sweep shows, `hopeful` only what steps up to the estimate's own show (a function
    that jumps further away is smooth here).
    """

    value: Array
    error: Array
    hopeful: Array

    def best(self) -> tuple[Array, Array]:
        """For each line the estimate of least error, and that error; NaN and ∞ where there is none. [seeds, lines]"""
        orders, seeds, lines, steps = self.value.shape
        flat = np.moveaxis(self.error, 0, -1).reshape(seeds, lines, steps * orders)
        values = np.moveaxis(self.value, 0, -1).reshape(seeds, lines, steps * orders)
        if not steps:
            return np.full((seeds, lines), np.nan), np.full((seeds, lines), np.inf)
        at = np.argmin(flat, axis=-1)[..., None]
        error = np.take_along_axis(flat, at, -1)[..., 0]
        value = np.take_along_axis(values, at, -1)[..., 0]
        return np.where(np.isfinite(error), value, np.nan), error


def noise(of: Sweep, eps: float) -> tuple[Array, Array]:
    """How much f wavers from point to point by rounding, [seeds, lines, steps]: for the whole sweep, and up to each step.

    Second differences f(x+h) − 2f(x) + f(x−h) fall as h² (at a kink as h) until only rounding is left, so the noise is the
    largest of those below the step from which on they grow steadily. It is never less than the rounding of f itself.
    """
    with np.errstate(all="ignore"):
        second = np.abs(of.above - of.below)
        # Values at x ± h round by their own size, which far from a zero of f is more than that of f(x).
        own = eps * np.fmax(np.abs(of.above), np.abs(of.below))
    second = np.where(np.isnan(second), np.inf, second)
    second = np.where((of.up == 0) | (of.down == 0), 0.0, second)
    least = np.maximum(eps * of.size, np.finfo(np.float64).smallest_subnormal)
    seeds, lines, steps = second.shape
    total = np.broadcast_to(np.where(np.isfinite(least), least, np.inf)[:, None], (seeds, lines)).copy()
    running = np.empty_like(second)
    growing = np.zeros((seeds, lines), bool)
    for j in range(steps - 1, -1, -1):
        with np.errstate(all="ignore"):
            onset = second[..., j] > 2.5 * total
            for k in range(j - 1, max(j - 3, -1), -1):
                onset &= (second[..., k] > 2.5 * second[..., k + 1]) | np.isinf(second[..., k])
            growing |= onset | np.isinf(second[..., j])
        total = np.where(growing, total, np.maximum(total, second[..., j]))
        running[..., j] = total
    own = np.where(np.isfinite(own), own, 0.0)
    return total[..., None] + own, running + own


def _extrapolated(quotient: Array, factors: Sequence[float]) -> list[Array]:
    """Richardson's extrapolation from each step and the one before it. Steps fall along the last axis."""
    found = [quotient]
    for factor in factors:
        last = found[-1]
        better = np.full_like(last, np.nan)
        with np.errstate(all="ignore"):
            better[..., 1:] = last[..., 1:] + (last[..., 1:] - last[..., :-1]) / (factor - 1)
        found.append(better)
    return found


def _table(
    quotient: Array, factors: Sequence[float], amplify: Sequence[float], step: Array, of: Array, upto: Array
) -> Table:
    """Estimates and their errors: by how much they change from step to step, and what the noise of f makes of each."""
    values, errors, hopeful = [], [], []
    quotient = np.where(step > 0, quotient, np.nan)
    previous: Array | None = None
    for value, gain in zip(_extrapolated(quotient, factors), amplify, strict=True):
        with np.errstate(all="ignore"):
            change = np.full_like(value, np.inf)
            steps = np.abs(np.diff(value, axis=-1))
            change[..., 1:-1] = np.maximum(steps[..., 1:], steps[..., :-1])
            if previous is not None:
                change = np.maximum(change, np.abs(value - previous))
            rounding = np.where(step > 0, gain / np.where(step > 0, step, 1.0), np.inf)
            # The digits of the quotients, which the extrapolation cannot do better than.
            digits = 16 * np.finfo(np.float64).eps * (np.abs(quotient) + np.abs(value))
            errors.append(change + rounding * of + digits)
            hopeful.append(change + rounding * upto + digits)
        values.append(value)
        previous = value

    found = np.stack(values)
    error, least = (
        np.where(np.isfinite(e) & np.isfinite(found), e, np.inf)
        for e in (np.stack(errors), np.stack(hopeful))
    )
    # A slope of so many digits is no chance, whatever there is further away. (One of 0 may be: what is added to a large number
    # and taken from it again does not move at all.)
    with np.errstate(all="ignore"):
        error = np.where(least <= FINE * np.abs(found), least, error)
    return Table(found, error, least)


def central_table(of: Sweep, eps: float) -> Table:
    """Central differences, extrapolated in h²."""
    total, running = noise(of, eps)
    factors = [RATIO**k for k in range(1, ORDERS)]
    return _table(of.central, factors, (1.0, 1.3, 1.3, 1.3), (of.up + of.down) / 2, total, running)


def one_sided_table(of: Sweep, eps: float, *, forward: bool) -> Table:
    """Forward or backward differences, extrapolated in h."""
    total, running = noise(of, eps)
    factors = [RATIO ** (k / 2) for k in range(1, ORDERS)]
    quotient, step = (of.forward, of.up) if forward else (of.backward, of.down)
    return _table(quotient, factors, (2.0, 4.0, 6.0, 7.0), step, total, running)
