"""Times of several sides of one comparison, taken in turn so that what else the machine does falls on all alike."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

Side = Callable[[int], Any]
"""One side of a comparison: computes everything for the k-th data set, and returns once it is there."""

MOST_BUNCHES = 200
"""Figures a turn."""


@dataclass(frozen=True)
class Settings:
    """How long to measure. `quick` is for trying: sizes are the rows' own smaller ones, too."""

    rounds: int = 5
    turn_s: float = 0.12
    most_s: float = 10.0
    """What the rounds of one comparison may take together; below three rounds it does not go."""
    quick: bool = False

    @staticmethod
    def for_trying() -> Settings:
        """A minute or two for everything."""
        return Settings(rounds=3, turn_s=0.03, most_s=3.0, quick=True)


@dataclass(frozen=True)
class Time:
    """Seconds of one call: the median of the rounds, and the fastest and slowest of them."""

    median: float
    low: float
    high: float
    rounds: tuple[float, ...]


def interleaved(sides: Mapping[str, Side], settings: Settings) -> dict[str, Time]:
    """Seconds a call of each side: A B C, C B A, A B C, … with the collector off, as in `timeit`.

    In its turn a side is called once unmeasured (it finds its own caches, and the threads of whoever ran before have
    gone to sleep), then as often as fits into `turn_s`, and at least once. A round's figure is the median of these
    calls, or of bunches of them where one is too short to be timed, so that a moment in which the machine did something
    else does not count. Data sets take turns as well.
    """
    calls = {name: _calls(side, settings.turn_s) for name, side in sides.items()}
    found: dict[str, list[float]] = {name: [] for name in sides}
    names = list(sides)
    start = time.perf_counter()
    for r in range(settings.rounds):
        for name in names if r % 2 == 0 else names[::-1]:
            found[name].append(_turn(sides[name], calls[name], r))
        spent = time.perf_counter() - start
        if r >= 2 and spent * (r + 2) / (r + 1) > settings.most_s:
            break
    return {
        name: Time(statistics.median(all_of_them), min(all_of_them), max(all_of_them), tuple(all_of_them))
        for name, all_of_them in found.items()
    }


def ratio(ours: Time, theirs: Time) -> float:
    """How many times as fast as the other side: the median of the rounds' ratios."""
    return statistics.median(b / a for a, b in zip(ours.rounds, theirs.rounds, strict=True))


def _calls(side: Side, turn_s: float) -> int:
    side(0)
    start = time.perf_counter()
    side(1)
    took = time.perf_counter() - start
    return max(1, min(100_000, int(turn_s / max(took, 1e-7))))


def _turn(side: Side, calls: int, r: int) -> float:
    bunch = max(1, calls // MOST_BUNCHES)
    found = []
    gc.collect()
    gc.disable()
    try:
        side(r)
        for first in range(r, r + calls, bunch):
            start = time.perf_counter()
            for k in range(first, first + bunch):
                side(k)
            found.append((time.perf_counter() - start) / bunch)
    finally:
        gc.enable()
    return statistics.median(found)
