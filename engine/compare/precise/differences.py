r"""Derivatives by differences with so many digits that neither truncation nor rounding matters.

∂f/∂x_k ≈ (f(x + h e_k) − f(x − h e_k)) / 2h with 90 digits and h = 2⁻⁸⁵·|x_k|: the truncation is h²f‴/6f′, of relative size
10⁻⁵¹ where f‴x² is like f′, and the rounding 10⁻⁹⁰/h. How many digits are right is then measured: the gradient must agree with
one more difference, in a random direction with another step.

Where the slopes to the right and to the left differ, and go on differing for a smaller step, f has a kink or a jump, and there
is no derivative: the entry is NaN.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from engine.aval import Array
from engine.compare.precise.evaluator import Evaluator
from engine.compare.precise.numbers import LOCK, Arithmetic, Unavailable
from engine.execute.meter import Meter
from engine.graph import Graph

WORKING_DIGITS = 90
STEP_BITS = 85
CHECK_BITS = 12
"""The step of the check is shorter by so many bits."""
ONCE_MORE = (280, 400)
"""Digits and bits of the step where the first ones were too few: where the function changes as a chaotic one does."""
FEWEST, MOST = 20, 50
"""Digits that the check must find, and that are told at most."""
BUDGET = 5e6
"""Microseconds, as `Arithmetic` counts them, for all evaluations together."""
ONE = 2.5e6
"""For one evaluation."""
TINIEST = 2.2250738585072014e-308
"""Below this doubles have fewer digits."""
STATIONARY = 30
"""Where a change of an entry by its own size changes the value by less than 10⁻³⁰ of what others do, it may be truncation."""
SHARP = 24
"""Digits to which entries are known beside the largest, whatever the rounding of the value."""
MOST_DIGITS = 800
"""Digits that are computed with, at most."""
FLOOR = 1e-4
"""Errors are relative to an entry, or to this times the largest entry if that is more."""


@dataclass(frozen=True)
class Reference:
    """A gradient: `entries` numbers with many digits by place in the flat vector, NaN where there is none; `size` of them would
    be all. `digits` are right."""

    arithmetic: Arithmetic
    digits: int
    size: int
    entries: dict[int, Any]

    def rounded(self) -> Array:
        """All entries as doubles; NaN where none was computed."""
        found = np.full(self.size, np.nan)
        for k, value in self.entries.items():
            found[k] = float(value)
        return found

    def error(self, gradient: Array) -> float:
        """The largest error of a gradient float64[size], relative to the entry, or to 10⁻⁴ of the largest entry if that is
        larger. Infinite where an entry is not finite that should be."""
        ar = self.arithmetic
        c = ar.c
        known = {k: v for k, v in self.entries.items() if not c.isnan(v)}
        floor = max((abs(v) for v in known.values()), default=ar.zero) * ar.number(FLOOR)
        worst = ar.zero
        for k, value in known.items():
            got = float(gradient[k])
            if got == float(value) and (np.isinf(got) or abs(got) < TINIEST):
                continue  # no double is nearer
            if not np.isfinite(got):
                return float("inf")
            miss = abs(ar.number(got) - value)
            if miss:
                size = max(abs(value), floor)
                worst = max(worst, miss / size if size else c.inf)
        return float(worst)


@contextmanager
def locked(meter: Meter) -> Iterator[None]:
    """The lock of high-precision arithmetic, waited for as long as there is time."""
    while not LOCK.acquire(timeout=0.05):
        meter.look()
    try:
        yield
    finally:
        LOCK.release()


def reference(
    graph: Graph,
    arguments: Sequence[Any],
    rows: Sequence[int],
    scales: Sequence[Array],
    meter: Meter,
    name: Callable[[int], str],
) -> Reference:
    """The gradient of a graph's one output, a scalar, by its inputs `rows` (positions among them). `scales` are arrays of the
    inputs' shapes: of what size they are, where they are 0 themselves.

    If there are more entries than can be afforded, a part of them is computed, spread evenly. Raises `Unavailable`.
    """
    with np.errstate(all="ignore"):
        return _Differences(graph, arguments, rows, scales, meter, name).run()


def spread(size: int) -> Iterator[int]:
    """0 … size − 1 in an order whose beginnings are spread evenly: steps of about the golden section of `size`."""
    step = round(size * 0.6180339887498949) or 1
    while math.gcd(step, size) > 1:
        step += 1
    return (k * step % size for k in range(size))


class _Differences:
    def __init__(
        self,
        graph: Graph,
        arguments: Sequence[Any],
        rows: Sequence[int],
        scales: Sequence[Array],
        meter: Meter,
        name: Callable[[int], str],
    ) -> None:
        self.meter = meter
        self.ar = Arithmetic(WORKING_DIGITS, meter, ONE)
        self.evaluator = Evaluator(graph, self.ar, name)
        self.arguments = arguments
        self.rows = list(rows)
        self.sizes = [int(np.size(arguments[r])) for r in rows]
        self.ends = np.cumsum(self.sizes).tolist()
        self.scales = [np.abs(np.asarray(s, np.float64)).reshape(-1) for s in scales]
        self.at: list[Array] = []
        self.bits = STEP_BITS

    def run(self) -> Reference:
        """The base point, the entries, those for which that was not enough, the check."""
        ar = self.ar
        self._begin()
        if not ar.c.isfinite(self.base):
            raise Unavailable("the value itself is not finite")
        ar.most = 10 * BUDGET
        entries, digits = self._attempt()
        if digits < FEWEST:
            ar.c.dps, self.bits = ONCE_MORE
            self._begin()
            entries, digits = self._attempt()
        if digits < FEWEST:
            raise Unavailable(
                f"differences with {ar.c.dps} digits agree in {max(digits, 0)} of them only: the function changes too "
                "quickly"
            )
        return Reference(ar, min(digits, MOST), sum(self.sizes), entries)

    def _attempt(self) -> tuple[dict[int, Any], int]:
        """The entries, and how many of their digits are right."""
        start = self.ar.spent
        entries: dict[int, Any] = {}
        for k in spread(sum(self.sizes)):
            entries[k] = self._entry(k)
            if self.ar.spent - start > BUDGET:
                break
        self._refine(entries)
        typical = self._typical(entries)
        self._settle(entries, typical)
        return entries, self._check(entries, typical)

    def _begin(self) -> None:
        """The value at the point, in the present precision."""
        with locked(self.meter):
            (value,) = self.evaluator.first(self.arguments)
            self.base = self._number(value)
            self.at = [self.evaluator.argument(r).reshape(-1) for r in self.rows]

    def _refine(self, entries: dict[int, Any]) -> None:
        """Compute entries again, with more digits, that the rounding of a value much larger than they are has swallowed."""
        c = self.ar.c
        largest = max((abs(v) for v in entries.values() if not c.isnan(v)), default=c.zero)
        most = 0
        blurred = []
        for k, value in entries.items():
            h = c.ldexp(self._scale(*self._place(k)), -self.bits)
            blur = abs(self.base) * c.ldexp(1, -c.prec) / h
            wanted = largest * c.mpf(10) ** -SHARP
            if value and not c.isnan(value):
                wanted = min(wanted, abs(value) * c.mpf(10) ** -FEWEST)
            if blur and blur > wanted:
                most = max(most, int((c.mag(blur) - (c.mag(wanted) if wanted else 0)) * 0.302) + 4)
                blurred.append(k)
        if not blurred or most <= 0:
            return
        c.dps = min(MOST_DIGITS, c.dps + most)
        self._begin()
        for k in blurred:
            if self.ar.spent > 4 * BUDGET:
                raise Unavailable(f"{c.dps} digits are needed, which take too long for so many entries")
            entries[k] = self._entry(k)

    def _number(self, value: Any) -> Any:
        return np.asarray(value).reshape(-1)[0]

    def _place(self, k: int) -> tuple[int, int]:
        which = int(np.searchsorted(self.ends, k, side="right"))
        return which, k - (self.ends[which] - self.sizes[which])

    def _scale(self, which: int, index: int) -> Any:
        """Of what size an entry is."""
        own = abs(float(self.at[which][index])) or float(self.scales[which][index])
        if not 0 < own < np.inf:
            own = min(
                1.0, float(np.max(self.scales[which], initial=0.0, where=np.isfinite(self.scales[which])))
            )
        return self.ar.number(own if 0 < own < np.inf else 1.0)

    def _value(self, changes: dict[int, Array]) -> Any:
        """f where the entries of some inputs are replaced."""
        shaped = {
            self.rows[w]: flat.reshape(np.shape(self.arguments[self.rows[w]])) for w, flat in changes.items()
        }
        with locked(self.meter):
            (value,) = self.evaluator.again(shaped)
        return self._number(value)

    def _moved(self, which: int, index: int, by: Any) -> Any:
        flat = self.at[which].copy()
        flat[index] = flat[index] + by
        return self._value({which: flat})

    def _entry(self, k: int) -> Any:
        """∂f/∂x_k; NaN at a kink."""
        c = self.ar.c
        which, index = self._place(k)
        if not c.isfinite(self.at[which][index]):
            return c.nan
        h = c.ldexp(self._scale(which, index), -self.bits)
        above, below = self._moved(which, index, h), self._moved(which, index, -h)
        right, left = (above - self.base) / h, (self.base - below) / h
        apart = abs(right - left)
        if not c.isfinite(apart):
            return c.nan
        if apart > c.ldexp(abs(right) + abs(left), -40):
            less = c.ldexp(h, -20)
            right_ = (self._moved(which, index, less) - self.base) / less
            left_ = (self.base - self._moved(which, index, -less)) / less
            if not abs(right_ - left_) < apart / 2:
                return c.nan
        return (above - below) / (2 * h)

    def _settle(self, entries: dict[int, Any], typical: Any) -> None:
        """Entries that are 0 but for truncation, at stationary points: those that fall with the step as nothing else does."""
        c = self.ar.c
        for k, value in entries.items():
            if c.isnan(value) or not value:
                continue
            which, index = self._place(k)
            scale = self._scale(which, index)
            if abs(value) * scale < typical * c.mpf(10) ** -STATIONARY:
                less = c.ldexp(scale, -self.bits - 20)
                other = (self._moved(which, index, less) - self._moved(which, index, -less)) / (2 * less)
                entries[k] = other if abs(other) > abs(value) / 4 else c.zero

    def _typical(self, entries: dict[int, Any]) -> Any:
        """By how much the value changes where all entries do by about their own size."""
        c = self.ar.c
        flats = [flat.copy() for flat in self.at]
        for k in entries:
            which, index = self._place(k)
            flats[which][index] = flats[which][index] + self._scale(which, index) * c.mpf(0.4 + 0.1 * (k % 7))
        change = abs(self._value(dict(enumerate(flats))) - self.base) if entries else c.zero
        if not c.isfinite(change) or not change:
            return abs(self.base)
        # Of a function that explodes, its own size says more.
        return min(change, abs(self.base) * 1000000) if self.base else change

    def _check(self, entries: dict[int, Any], typical: Any) -> int:
        """To how many digits the entries agree with the difference in a random direction."""
        c = self.ar.c
        rng = np.random.default_rng(0)
        steps = [flat.copy() for flat in self.at]
        back = [flat.copy() for flat in self.at]
        total, size = c.zero, c.zero
        for k, value in entries.items():
            weight = float(rng.uniform(0.5, 1.0)) * (1 if rng.integers(2) else -1)
            if c.isnan(value):
                continue
            which, index = self._place(k)
            v = self._scale(which, index) * c.mpf(weight)
            h = c.ldexp(v, -self.bits - CHECK_BITS)
            steps[which][index] = steps[which][index] + h
            back[which][index] = back[which][index] - h
            total += value * v
            size += abs(value * v)
        if not entries:
            return MOST
        above, below = self._value(dict(enumerate(steps))), self._value(dict(enumerate(back)))
        along = c.ldexp(above - below, self.bits + CHECK_BITS - 1)
        miss = abs(along - total)
        whole = size if size > typical * c.mpf(10) ** -STATIONARY else typical or c.one
        if not miss:
            return MOST
        return int(c.floor(-c.log10(miss / whole))) if c.isfinite(miss) else 0
