"""The history of a minimisation, and the rules by which every method stops."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from engine.aval import Array
from engine.errors import DeadlineExceeded
from engine.minimize.outcome import Finished
from engine.minimize.problem import Problem, norm

MOST = 2000
"""Entries of the history that are kept; of longer ones, one of 2, 4, 8, … iterations, and always the first and last."""

WRITING = 1e-7
"""Seconds that it takes to write an entry of a point, at most about."""

Report = Callable[[dict[str, Any]], None]


class Path:
    """Takes note of each iteration. `at` makes a point into arrays by id; `every` k-th iteration is kept (with its point, if
    `points`); `most` entries at most; `report` is told each that is looked at, as it comes. `until` (`time.monotonic`) is when
    all must be written: where points are so many that it would become later, the way ends (`DeadlineExceeded`)."""

    def __init__(
        self,
        problem: Problem,
        at: Callable[[Array], dict[str, Any]],
        *,
        max_iterations: int,
        gtol: float,
        target: float | None,
        points: bool,
        every: int = 1,
        most: int = MOST,
        report: Report | None = None,
        until: float | None = None,
    ) -> None:
        self.problem = problem
        self.at = at
        self.max_iterations = max_iterations
        self.gtol = gtol
        self.target = target
        self.points = points
        self.every = every
        self.most = max(2, most)
        self.report = report
        self.until = until
        self.sparse = False
        """Whether entries are few by themselves: those of a search, where it found something better."""
        self.iteration = -1
        self.entries: list[tuple[int, float, float | None, Array | None]] = []
        self.last: tuple[int, float, float | None, Array | None] | None = None

    @property
    def iterations(self) -> int:
        """How many there were: steps, not points."""
        return max(0, self.iteration)

    def add(
        self, x: Array, value: float, gradient: Array | None = None, *, test: bool = True, by: int = 1
    ) -> None:
        """The start, or the point after `by` more iterations; with its gradient, where the method has it.

        Raises `Finished` where a rule that all methods share says so: a small gradient (if `test`), the value that was aimed
        at, the number of iterations.
        """
        problem = self.problem
        self.iteration += by if self.iteration >= 0 else 1
        problem.objective.meter.check()
        size: float | None = None
        slope = None
        if gradient is not None:
            slope = problem.projected(x, gradient)
            size = norm(slope)
        self._keep(x, value, size)
        if self.target is not None and value <= self.target:
            raise Finished("converged", f"The objective is at most the target, {self.target:g}.")
        if test and slope is not None:
            largest = float(np.abs(slope).max(initial=0.0))
            if largest <= self.gtol:
                what = "the gradient" if not problem.bounded else "the gradient that the bounds leave"
                raise Finished(
                    "converged", f"No entry of {what} is larger than {largest:.3g}; gtol is {self.gtol:g}."
                )
        if self.iteration >= self.max_iterations:
            raise Finished(
                "max_iterations",
                f"The {self.max_iterations:,} iterations are over. The best point so far is the answer; it may not be a "
                "minimum yet."
                + (
                    " The last value is above the first: a smaller learning_rate may help."
                    if self.entries and value > self.entries[0][1]
                    else ""
                ),
            )

    def search(self) -> None:
        """This is a search: its iterations are points, from 1 on, and few of them are told."""
        self.sparse = True
        self.iteration = max(0, self.iteration)

    def skip(self, count: int) -> None:
        """So many iterations that found nothing better."""
        self.iteration += count

    def _keep(self, x: Array, value: float, size: float | None) -> None:
        entry = (self.iteration, value, size, np.array(x, np.float64) if self.points else None)
        self.last = entry
        if self.iteration % self.every and not self.sparse:
            return
        if self.report is not None:
            self.report(self.fields(entry))
        self.entries.append(entry)
        if len(self.entries) >= 2 * self.most:
            self.every *= 2
            self.entries = self.entries[::2]
        if self.until is not None and self.points:
            kept = min(len(self.entries), self.most)
            if time.monotonic() + WRITING * kept * x.size > self.until:
                raise DeadlineExceeded("What was recorded takes the rest of the time to be written.")

    def fields(self, entry: tuple[int, float, float | None, Array | None]) -> dict[str, Any]:
        """An entry as it is told."""
        iteration, value, size, x = entry
        found: dict[str, Any] = {"iteration": iteration, "value": value}
        if size is not None:
            found["gradient_norm"] = size
        if x is not None:
            found["point"] = self.at(x)
        return found

    def history(self) -> list[dict[str, Any]]:
        """What is told of the way: the first and the last entry, and evenly some between."""
        entries = self.entries
        if self.last is not None and (not entries or entries[-1][0] != self.last[0]):
            entries = [*entries, self.last]
        if len(entries) > self.most:
            stride = -(-(len(entries) - 1) // (self.most - 1))
            inner = entries[:-1:stride]
            entries = [*inner, entries[-1]]
        return [self.fields(e) for e in entries]
