"""Whether a derivative agrees with the differences of a sweep, as far as these can tell.

No fixed tolerance: what differences can attain depends on the function and the point. An estimate of theirs refutes a
derivative only beyond its own error, and of a function that bends or jumps nearby the finer steps count.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from engine.aval import Array
from engine.numeric.differences import FINE, Lines, Sweep, central_table, one_sided_table

CREDIBLE = 1e-3
"""An estimate says something if its error is less than this part of it."""


@dataclass(frozen=True)
class Tolerance:
    """|a − b| ≤ atol + rtol·max(|a|, |b|)."""

    rtol: float
    atol: float

    def of(self, a: Array, b: Array) -> Array:
        """What two numbers may differ by."""
        with np.errstate(all="ignore"):
            found = self.atol + self.rtol * np.fmax(np.abs(a), np.abs(b))
        # Nothing is near infinity but itself.
        return np.where(np.isfinite(found), found, 0.0)


@dataclass
class Verdict:
    """For each seed and line, [seeds, lines]: what the differences say of the derivative `claimed`."""

    claimed: Array
    numerical: Array
    """The best estimate; NaN where there is none."""
    error: Array
    agrees: Array
    """Not refuted."""
    conclusive: Array
    """The estimate is good enough to refute a derivative that is wrong by more than a thousandth."""
    kink: Array
    """The derivatives from both sides are there and differ."""
    left: Array
    right: Array


def judge(claimed: Array, of: Sweep, tolerance: Tolerance, eps: float, natural: Array) -> Verdict:
    """Compare derivatives along the lines of a sweep with its differences.

    `natural` is the size |f|/max(1, |x|) that a derivative may be expected to have, [seeds, lines]: what is much smaller
    counts as 0 when it is asked how well a derivative of 0 is known.
    """
    table = central_table(of, eps)
    value, error = table.best()
    right, right_error = one_sided_table(of, eps, forward=True).best()
    left, left_error = one_sided_table(of, eps, forward=False).best()
    with np.errstate(all="ignore"):
        # At the edge of where f is defined there is one side only.
        alone = np.isnan(value) & (np.isnan(left) != np.isnan(right))
        value = np.where(alone, np.where(np.isnan(left), right, left), value)
        error = np.where(alone, np.where(np.isnan(left), right_error, left_error), error)
        allowed = tolerance.of(claimed, value) + 3 * error
        agrees = np.abs(claimed - value) <= allowed
        # Another estimate, of finer steps, that is good by itself and takes the claimed side.
        own = np.fmax(np.abs(table.value), np.abs(claimed)[None, ..., None])
        near = np.abs(table.value - claimed[None, ..., None]) <= 2 * table.hopeful + tolerance.rtol * own
        finer = (near & (table.hopeful <= FINE * own)).any(axis=(0, -1))
        agrees |= finer
        size = np.maximum(np.abs(left), np.abs(right))
        gap = np.abs(right - left)
        kink = (
            (gap > 5 * (left_error + right_error) + 1e-4 * size)
            & (left_error + right_error <= 1e-2 * size)
            & np.isfinite(gap)
        )
        low, high = np.minimum(left, right), np.maximum(left, right)
        margin = tolerance.of(low, high) + 3 * (left_error + right_error)
        agrees |= kink & (claimed >= low - margin) & (claimed <= high + margin)
        conclusive = (error <= CREDIBLE * np.abs(value) + 1e-6 * natural) & np.isfinite(value)
        conclusive |= finer
        # An infinite derivative, or none at all, is refuted by a good estimate only.
        lost = ~np.isfinite(claimed)
        agrees = np.where(lost, ~conclusive | kink, agrees | ~np.isfinite(value))
    return Verdict(claimed, value, error, agrees, conclusive, kink, left, right)


@dataclass
class Seen:
    """Lines that were looked at: their differences, the verdict, and (by seed) what is refuted after all has been heard."""

    lines: Lines
    data: Sweep
    verdict: Verdict

    def __post_init__(self) -> None:
        self.refuted: Any = ~self.verdict.agrees
        self.numerical = self.verdict.numerical.copy()
        self.exact = np.zeros(self.refuted.shape, bool)
        """Where complex steps give the derivative."""

    @property
    def bad(self) -> Array:
        """Lines whose derivative is refuted for some seed."""
        found: Array = self.refuted.any(axis=0)
        return found

    def hear(self, exact: Array, least: Array, tolerance: Tolerance) -> None:
        """Take complex steps into account: what agrees with them is right whatever differences say, and what does not is
        wrong where differences cannot tell. (Where the derivative is infinite complex steps say nothing: √ih.)"""
        v = self.verdict
        there = np.isfinite(exact) & np.isfinite(self.data.size)[:, None]
        with np.errstate(all="ignore"):
            same = np.abs(v.claimed - exact) <= tolerance.of(v.claimed, exact) + least
        self.exact = there
        told = there & ~v.kink
        self.refuted = np.asarray(
            (self.refuted & ~(there & same)) | (told & ~same & ~v.conclusive & np.isfinite(v.claimed))
        )
        self.numerical = np.where(told & (same | self.refuted), exact, self.numerical)

    def kinks(self, which: Sequence[int], begins: Sequence[int]) -> list[tuple[int, int, int, float, float]]:
        """Where derivatives from both sides differ, by node: its position, a place in it, how many, and the two."""
        found = []
        entries = self.lines.entries
        rows = np.flatnonzero(self.verdict.kink[0, : len(entries)])
        for k, begin, end in zip(which, begins[:-1], begins[1:], strict=True):
            own = [r for r in rows if begin <= entries[r] < end]
            if own:
                sides = float(self.verdict.left[0, own[0]]), float(self.verdict.right[0, own[0]])
                found.append((k, int(entries[own[0]]) - begin, len(own), *sides))
        return found


def confirmed(
    claimed: Array, exact: Array, least: Array, lines: Lines, data: Sweep, tolerance: Tolerance
) -> Seen | None:
    """What is seen where complex steps agree with all that is claimed; None where they do not."""
    with np.errstate(all="ignore"):
        same = np.abs(claimed - exact) <= tolerance.of(claimed, exact) + least
    if not same.all():
        return None
    yes, no = np.ones(claimed.shape, bool), np.zeros(claimed.shape, bool)
    verdict = Verdict(claimed, exact, np.zeros(claimed.shape), yes, yes, no, exact, exact)
    seen = Seen(lines, data, verdict)
    seen.exact = yes
    return seen
