"""What a row of the benchmark is, and the lines of the table it yields."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from benchmarks.measure import Settings, Side, Time, interleaved, ratio

OURS = "Wengert"


@dataclass(frozen=True)
class Line:
    """One line of the table: a figure of ours beside one of another system's, in the same unit.

    `ratio` is how many times as good ours is (twice as fast is 2, whichever way round the unit is); the target is met
    where it is at least `target`. Lines without a target are shown for orientation.
    """

    work: str
    peer: str
    ours: float
    theirs: float | None
    unit: str
    ratio: float | None
    target: float | None
    spread: str = ""

    @property
    def met(self) -> bool | None:
        """Whether the target is met; None where there is none."""
        if self.target is None or self.ratio is None:
            return None
        return self.ratio >= self.target


@dataclass(frozen=True)
class Curve:
    """Points of the plot: cost by size."""

    name: str
    axis: str
    sizes: Sequence[float]
    seconds: Sequence[float]


@dataclass
class Found:
    """What a row has found."""

    lines: list[Line] = field(default_factory=list)
    curves: list[Curve] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    """Measured facts that are no comparison: slopes, parts of a time."""


@dataclass(frozen=True)
class Row:
    """A row of the benchmark: one kind of work.

    `title` names the work and `against` the peers, as in the table of targets; `method` says what each side computes and
    what is not counted. `run` checks that the answers agree before anything is timed.
    """

    key: str
    title: str
    against: str
    target: str
    method: str
    run: Callable[[Settings], Iterator[Line | Curve | str]]


class Disagreement(Exception):
    """Two sides answer differently: there is nothing to compare."""


def leaves(value: Any) -> list[np.ndarray]:
    """Arrays of an answer (numbers, arrays, lists and tuples of them) in order, as float64."""
    if isinstance(value, list | tuple):
        return [leaf for part in value for leaf in leaves(part)]
    return [np.asarray(value, np.float64)]


def agree(answers: Mapping[str, Any], tolerance: float) -> None:
    """Every answer like the first, entry for entry, up to `tolerance` of the largest entry of each array.

    Raises `Disagreement`.
    """
    names = list(answers)
    first = leaves(answers[names[0]])
    for name in names[1:]:
        other = leaves(answers[name])
        if len(first) != len(other):
            raise Disagreement(f"{names[0]} has {len(first)} arrays, {name} has {len(other)}.")
        for k, (a, b) in enumerate(zip(first, other, strict=True)):
            if a.size != b.size:
                raise Disagreement(f"Array {k}: {names[0]} has shape {a.shape}, {name} has {b.shape}.")
            a, b = a.ravel(), b.ravel()
            scale = float(np.max(np.abs(a), initial=0))
            worst = float(np.max(np.abs(a - b), initial=0))
            if not worst <= tolerance * scale + 1e-300:
                raise Disagreement(
                    f"Array {k}: {names[0]} and {name} differ by {worst:.3g} where the largest entry is {scale:.3g} "
                    f"(allowed: {tolerance:g} of it)."
                )


@dataclass(frozen=True)
class Case:
    """A comparison inside one process.

    `sides[OURS](k)` and the others compute the same for data set k, answers as nested lists of arrays in one order
    once `answers[name]` (where there is one) has brought them into it. `targets` say how many times as fast as a peer we
    want to be; a peer without one is shown for orientation.
    """

    work: str
    sides: Mapping[str, Side]
    tolerance: float
    targets: Mapping[str, float] = field(default_factory=dict)
    answers: Mapping[str, Callable[[Any], Any]] = field(default_factory=dict)
    also: Mapping[str, Side] = field(default_factory=dict)
    """Further sides of ours, measured along and shown without a target (planning included, say)."""

    def check(self) -> None:
        """Raises `Disagreement`."""
        for k in (0, 1):
            found = {}
            for name, side in {**self.sides, **self.also}.items():
                found[name] = self.answers.get(name, lambda a: a)(side(k))
            agree(found, self.tolerance)

    def lines(self, settings: Settings) -> Iterator[Line]:
        """Check, measure, and tell."""
        self.check()
        times = interleaved({**self.sides, **self.also}, settings)
        yield from lines_of(self.work, times, self.targets, list(self.also))


def lines_of(
    work: str, times: Mapping[str, Time], targets: Mapping[str, float], also: Sequence[str] = ()
) -> Iterator[Line]:
    """Lines for each peer, then for our own further sides."""
    ours = times[OURS]
    for name, theirs in times.items():
        if name == OURS or name in also:
            continue
        r = ratio(ours, theirs)
        spread = f"{ours.low / ours.median:.2f}-{ours.high / ours.median:.2f}"
        yield Line(work, name, ours.median, theirs.median, "s", r, targets.get(name), spread)
    for name in also:
        yield Line(work, name, times[name].median, None, "s", None, None)


def geometric_mean(values: Sequence[float]) -> float:
    """(Π vᵢ)^(1/n)."""
    return math.exp(sum(map(math.log, values)) / len(values))
