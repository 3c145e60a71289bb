"""What is told of one input that was checked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from engine.aval import Array
from engine.numeric.differences import Sweep
from engine.numeric.likeness import likeness
from engine.numeric.verdict import Seen, Tolerance

NEIGHBOURS = 4.0
"""Steps that are no further apart than by this factor tell of one another's errors."""

ARBITRATED = 64
"""So many entries at most in which the user's gradient is another one are looked at by differences."""


class Report:
    """The gradient of one input, what was found of it entry by entry, and the answer's fields."""

    def __init__(self, name: str, gradient: Array) -> None:
        self.name = name
        self.gradient = gradient
        self.flat = gradient.reshape(-1)
        self.expected: Array | None = None
        self.entries = np.zeros(0, np.int64)
        """Places in the flat gradient that were looked at one by one."""
        self.error = np.zeros(0)
        """What autodiff and differences differ by there."""
        self.floor = np.zeros(0)
        """Up to here they may differ by rounding alone."""
        self.numerical = np.zeros(0)
        self.bad = np.zeros(0, bool)
        self.unsure = np.zeros(0, bool)
        self.second = np.zeros(0, bool)
        """Where the derivative is wrong along the second seed only."""
        self.complex_error: float | None = None
        self.curve: list[dict[str, float]] = []
        self.best: dict[str, float | None] = {"forward": None, "central": None}
        self.remark = ""
        """Added to what is said of a wrong gradient."""
        self.elsewhere = ""
        """What is wrong with entries that were not looked at one by one."""

    # -- the user's own gradient

    def expect(self, expected: Array, tolerance: Tolerance) -> list[int]:
        """Take over what the user expects, flat; the entries that are to be looked at because of it."""
        self.expected = expected
        same = (expected == self.flat) | (np.isnan(expected) & np.isnan(self.flat))
        with np.errstate(all="ignore"):
            gap = np.where(same, 0.0, np.abs(expected - self.flat))
            close = gap <= np.where(np.isfinite(expected), tolerance.of(expected, self.flat), 0.0)
        self.gap = gap
        self.differs = ~(same | close)
        self.tolerance = tolerance
        size = np.where(np.isnan(gap), np.inf, gap)
        order = np.argsort(-size, kind="stable")
        return [int(i) for i in order[:ARBITRATED] if self.differs[i]]

    def _both_sides(self, seen: Seen, rows: slice) -> None:
        """At a kink every slope between those of both sides is one that a convention may choose."""
        assert self.expected is not None
        v = seen.verdict
        low = np.minimum(v.left, v.right)[0, rows]
        high = np.maximum(v.left, v.right)[0, rows]
        own = self.expected[self.entries]
        with np.errstate(all="ignore"):
            margin = self.tolerance.of(low, high) + 1e-6 * (high - low)
            fine = v.kink[0, rows] & (own >= low - margin) & (own <= high + margin)
        self.differs[self.entries[fine]] = False

    # -- the differences

    def tell(
        self,
        seen: Seen,
        rows: slice,
        entries: Array,
        exact: Array | None,
        curve: Sweep,
        steps: Sequence[float],
    ) -> None:
        """Take over what lines `rows` of a sweep say of these entries."""
        v = seen.verdict
        self.entries = entries
        self.bad = seen.bad[rows]
        worst = np.argmax(seen.refuted[:, rows], axis=0) if len(entries) else np.zeros(0, int)
        self.second = worst > 0
        pick = (worst, np.arange(len(seen.bad))[rows])
        claimed, numerical = v.claimed[pick], seen.numerical[pick]
        self.unsure = ~v.conclusive[pick]
        self.numerical = numerical
        with np.errstate(all="ignore"):
            quotients = curve.plain_central[0, rows]
            away = np.abs(quotients - v.claimed[0, rows, None])
            away = np.where(np.isnan(away), np.inf, away).min(axis=-1, initial=np.inf)
            gap = np.abs(claimed - numerical)
            nearest = np.where(np.isfinite(away), np.where(self.unsure, np.fmin(away, gap), away), gap)
            self.error = np.where(self.bad, gap, nearest)
            # At a kink it is how far autodiff is from the derivatives of both sides.
            low, high = np.fmin(v.left, v.right)[pick], np.fmax(v.left, v.right)[pick]
            beyond = np.fmax(np.fmax(low - claimed, claimed - high), 0.0)
            self.error = np.where(v.kink[pick] & ~self.bad, beyond, self.error)
            same = (claimed == numerical) | (np.isnan(claimed) & np.isnan(numerical))
            self.error = np.where(same & ~np.isfinite(self.error), 0.0, self.error)
            self.unsure &= ~seen.exact[pick] & ~v.kink[pick]
            self.floor = np.where(self.bad, 0.0, v.error[pick])
            if exact is not None and len(entries):
                self.complex_error = float(np.max(np.abs(v.claimed[0, rows] - exact[0, rows])))
            # What the difference quotients are held against: autodiff, where it is right.
            right = np.where(self.bad, seen.numerical[0, rows], v.claimed[0, rows])
            self._draw(curve, rows, right, steps)
        if self.expected is not None:
            self._both_sides(seen, rows)

    def _draw(self, of: Sweep, rows: slice, right: Array, steps: Sequence[float]) -> None:
        usable = np.isfinite(right)
        if not usable.any():
            return
        errors = {}
        for name, quotient in (("forward", of.plain_forward), ("central", of.plain_central)):
            away = np.abs(quotient[0, rows][usable] - right[usable, None])
            errors[name] = np.where(np.isnan(away).any(axis=0), np.nan, away.max(axis=0))
            self.best[name] = best_step(steps, errors[name])
        self.curve = [
            {"h": float(h), "forward_error": float(a), "central_error": float(b)}
            for h, a, b in zip(steps, errors["forward"], errors["central"], strict=True)
        ]

    def point_at(self, place: int, numerical: float) -> None:
        """Add an entry that was found to be wrong."""
        error = abs(float(self.flat[place]) - numerical)
        at = int(np.searchsorted(self.entries, place))
        for name, value in (
            ("entries", place), ("error", error), ("floor", 0.0), ("numerical", numerical), ("bad", True),
            ("unsure", False), ("second", False),
        ):  # fmt: skip
            setattr(self, name, np.insert(getattr(self, name), at, value))

    # -- the answer

    @property
    def ok(self) -> bool:
        """Whether nothing speaks against the gradient, and it is what the user expects."""
        if self.bad.any() or self.elsewhere:
            return False
        return self.expected is None or not bool(self.differs.any())

    def index(self, place: int) -> list[int]:
        """Index of a place in the flat gradient."""
        return [int(i) for i in np.unravel_index(place, self.gradient.shape)] if self.gradient.ndim else []

    def _worst(self) -> int | None:
        """Place of the entry to point at."""
        if self.expected is not None:
            wrong = np.where(self.differs, np.where(np.isnan(self.gap), np.inf, self.gap), -1.0)
            if self.differs.any():
                return int(np.argmax(wrong))
        if not len(self.entries):
            return None
        size = np.where(np.isnan(self.error), np.inf, self.error)
        return int(self.entries[np.argmax(np.where(self.bad, size, -1.0) if self.bad.any() else size)])

    def fields(self) -> dict[str, Any]:
        """The fields of the answer for this input."""
        worst = self._worst()
        if self.expected is not None:
            absolute, relative = self._apart(self.expected, self.flat, self.gap, np.zeros(len(self.gap)))
        else:
            claimed = self.flat[self.entries]
            absolute, relative = self._apart(claimed, self.numerical, self.error, self.floor)
        fields: dict[str, Any] = {
            "ok": self.ok,
            "autodiff": self.gradient,
            "max_abs_error": absolute,
            "max_rel_error": relative,
            "worst_index": [] if worst is None else self.index(worst),
            "best_step": self.best,
            "complex_step_error": self.complex_error,
            "entries_checked": len(self.entries),
            "curve": self.curve,
        }
        detail = self._detail(worst)
        return fields | detail

    @staticmethod
    def _apart(a: Array, b: Array, gap: Array, floor: Array) -> tuple[float, float]:
        """Largest absolute and relative difference; relative ones of numbers that rounding alone may make of 0 are none."""
        if not len(gap):
            return 0.0, 0.0
        with np.errstate(all="ignore"):
            size = np.fmax(np.abs(a), np.abs(b))
            relative = np.where((gap == 0) | ((gap <= floor) & (size <= 10 * floor)), 0.0, gap / size)
        return float(np.max(gap)), float(np.max(relative))

    def _detail(self, worst: int | None) -> dict[str, Any]:
        if worst is None:
            return {} if self.ok else {"detail": self.elsewhere}
        row = int(np.searchsorted(self.entries, worst))
        looked = row < len(self.entries) and self.entries[row] == worst
        numbers: dict[str, Any] = {}
        if self.expected is not None:
            numbers["expected"] = float(self.expected[worst])
        numbers["autodiff"] = float(self.flat[worst])
        if looked and not self.second[row]:
            numbers["numerical"] = float(self.numerical[row])
        if self.ok:
            unsure = int(self.unsure.sum())
            if not unsure:
                return {}
            all_of = f"{unsure} of {len(self.entries)} entries" if len(self.entries) > 1 else "this input"
            return {
                "detail": f"The differences do not settle for {all_of}, so that they neither confirm nor refute the gradient."
            }
        place = f"{self.name}[{', '.join(map(str, self.index(worst)))}]" if self.gradient.ndim else self.name
        shown = ", ".join(f"{k} {v!r}" for k, v in numbers.items())
        text = f"{place}: {shown}."
        if self.expected is not None and self.differs[worst]:
            if looked:
                text += self._side(row)
            if not self.bad.any() and (
                said := likeness(self.expected, self.flat, self.differs, self.gradient.shape)
            ):
                text += f" {said}"
        elif looked and self.second[row]:
            text += (
                " The derivative is wrong along another seed than that of all ones, where the errors cancel."
            )
        if self.elsewhere:
            text += f" {self.elsewhere}"
        if self.remark:
            text += f" {self.remark}"
        return {"detail": text, "worst": numbers}

    def _side(self, row: int) -> str:
        """Whose side the numerical derivative takes."""
        assert self.expected is not None
        if self.bad[row]:
            a, d = self.expected[self.entries[row]], self.numerical[row]
            near = abs(a - d) <= 1e-3 * max(abs(a), abs(d))
            return (
                " The numerical derivative agrees with what is expected."
                if near
                else (" The numerical derivative agrees with neither.")
            )
        if self.unsure[row]:
            return " The differences do not settle, and say nothing."
        return " The numerical derivative agrees with autodiff."


def best_step(steps: Sequence[float], errors: Array) -> float | None:
    """The step of least error; None where no error is known.

    Below the best step errors are those of rounding, and a single one can be small by chance. So each counts as the largest
    of its own and those of the steps beside it, if these are near. Of equal ones the largest step is best.
    """
    order = np.argsort(steps)[::-1]
    h = np.asarray(steps, np.float64)[order]
    e = np.where(np.isfinite(errors), errors, np.inf)[order]
    if not np.isfinite(e).any():
        return None
    smooth = e.copy()
    for j in range(len(h)):
        for k in (j - 1, j + 1):
            if 0 <= k < len(h) and max(h[j], h[k]) <= NEIGHBOURS * min(h[j], h[k]) and np.isfinite(e[k]):
                smooth[j] = max(smooth[j], e[k])
    least = np.flatnonzero(smooth == smooth.min())
    return float(h[least[np.argmin(e[least])]])
