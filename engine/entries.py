"""Entries of a tape, written by the array: what an op that has arrays says it is made of, number by number.

An array is an integer array of *positions* of its shape: entry k of the tape is the number in that place. What only moves
entries is done to the positions and costs nothing (`Op.expand`); everything else writes entries, one for each number of the
result, with the ops of the tape's table by name.

What is exact is spared: an entry that is there already, a product with 1, a sum with a zero where that cannot change the
sign of another zero, what depends on constants alone. So zeros that stand around a cotangent are not added up again and
again.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import inf
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

Positions: TypeAlias = npt.NDArray[np.int64]

EXACT = float(1 << 53)
"""Integers up to here are numbers of float64, and so are the sums, differences and products that stay below it."""

WHOLE = float(1 << 52)
"""Largest integer that is let in, and that a guard lets pass."""

LEAF = ""
"""Name of entries that are given: arguments and constants."""

_TRUTHS = frozenset({
    "equal", "not_equal", "less", "less_equal", "greater", "greater_equal", "logical_and", "logical_or",
    "logical_not", "logical_xor", "isfinite", "isinf", "isnan", "signbit", "truth", "sign",
})  # fmt: skip
_SYMMETRIC = frozenset({"add", "multiply"})
_KEPT = frozenset({"identity", "stop_gradient", "negative", "abs", "positive", "floor", "ceil", "trunc"})
_POSITIVE = frozenset(
    {"exp", "square", "abs", "sigmoid", "softplus", "cosh", "logical_not"} | _TRUTHS - {"sign"}
)


class TooManyError(Exception):
    """More entries than are wanted: the graph is better computed by arrays."""


class Chunk(NamedTuple):
    """Entries of one op, from `start` on: `args` has a row for each operand."""

    start: int
    name: str
    args: Positions
    kept: bool


class Entries:
    """The list of entries as it grows. At most `most` may be computed ones.

    `primal` says that only values are wanted, no
    derivatives: then an entry may be read at a place that another entry holds (`load`). `integer` is set while an op
    whose results are integers is written: they are exact as long as they are below 2⁵³, and an entry that might not be is
    guarded, so that it is infinite where it is not.
    """

    def __init__(self, most: int, primal: bool = False) -> None:
        self.most = most
        self.primal = primal
        self.integer = False
        self.size = 0
        self.computed = 0
        self.chunks: list[Chunk] = []
        self._value = np.zeros(256)
        self._known = np.zeros(256, bool)
        self._bound = np.zeros(256)
        self._plus = np.zeros(256, bool)
        self._constants: dict[bytes, int] = {}
        self._written: dict[tuple[str, bool], dict[tuple[int, ...], int]] = {}

    # -- leaves

    def arguments(self, shape: Sequence[int], bound: float = inf) -> Positions:
        """Entries for an argument of this shape; `bound` is that of its numbers."""
        n = int(np.prod(shape, dtype=np.int64))
        return self._append(LEAF, np.zeros((0, n), np.int64), bound, True).reshape(tuple(shape))

    def constant(self, value: Any) -> Positions:
        """Entries that hold these numbers; equal ones are one entry."""
        array = np.asarray(value, np.float64)
        if array.size == 1:
            key = array.tobytes()
            found = self._constants.get(key)
            if found is None:
                found = self._constants[key] = int(self._new(array.reshape(1))[0])
            return np.full(array.shape, found, np.int64)
        bits, places = np.unique(array.reshape(-1).view(np.int64), return_inverse=True)
        if bits.size <= 4:
            few = [int(self.constant(v).reshape(())) for v in bits.view(np.float64)]
            return np.array(few, np.int64)[places].reshape(array.shape)
        return self._new(array.reshape(-1)).reshape(array.shape)

    def _new(self, values: npt.NDArray[np.float64]) -> Positions:
        at = self._append(LEAF, np.zeros((0, values.size), np.int64), np.abs(values), False)
        self._value[at] = values
        self._known[at] = True
        self._plus[at] = ~((values == 0) & np.signbit(values))
        return at

    def known(self, positions: Positions) -> npt.NDArray[np.float64] | None:
        """The numbers in these places, if all of them are constants."""
        return self._value[positions] if self._known[positions].all() else None

    def values(self) -> npt.NDArray[np.float64]:
        """Numbers of the constants in their places, elsewhere 0."""
        return self._value[: self.size]

    # -- ops

    def op(self, name: str, *operands: Positions) -> Positions:
        """An elementwise op of the table: entries for the operands' common shape."""
        shape = np.broadcast_shapes(*[p.shape for p in operands])
        args = [np.broadcast_to(p, shape).reshape(-1) for p in operands]
        same = self._spared(name, args)
        if same is None:
            return self._emit(name, args).reshape(shape)
        rest = same < 0
        if rest.any():
            same[rest] = self._emit(name, [a[rest] for a in args])
        return same.reshape(shape)

    def load(self, bases: Positions, offsets: Positions, span: int) -> Positions:
        """The entries at `bases` + the number that `offsets` hold, which must be below `span`: infinite where it is not."""
        shape = np.broadcast_shapes(bases.shape, offsets.shape)
        args = [np.broadcast_to(p, shape).reshape(-1) for p in (bases, offsets)]
        args.append(np.full(args[0].shape, span, np.int64))
        return self._append("load", np.stack(args), WHOLE if self.integer else inf, False).reshape(shape)

    def placed(self, positions: Positions) -> Positions:
        """The same numbers one behind the other in memory, and kept there, so that they can be read by `load`."""
        flat = positions.reshape(-1)
        return self._append("identity", flat[None], self._bound[flat], True).reshape(positions.shape)

    def lasting(self, positions: Positions) -> bool:
        """Whether these entries stay one behind the other as they are: arguments, and what was `placed`."""
        low, high = int(positions.min()), int(positions.max())
        return any(c.start <= low and high < c.start + c.args.shape[1] for c in self.chunks if c.kept)

    def fold(self, name: str, positions: Positions, axes: Sequence[int]) -> Positions:
        """An associative op over axes (not empty), by halves: a tree, so that rounding errors stay small."""
        rows = np.moveaxis(positions, axes, range(len(axes)))
        rest = rows.shape[len(axes) :]
        rows = rows.reshape(-1, *rest)
        while len(rows) > 1:
            half = len(rows) // 2
            pairs = self.op(name, rows[:half], rows[half : 2 * half])
            rows = pairs if len(rows) == 2 * half else np.concatenate([pairs, rows[2 * half :]])
        return np.asarray(rows[0])

    def sum(self, positions: Positions, axes: Sequence[int]) -> Positions:
        """Sum over axes."""
        if positions.size == 0:
            kept = [n for k, n in enumerate(positions.shape) if k - positions.ndim not in axes]
            return np.broadcast_to(self.constant(0.0), kept)
        return self.fold("add", positions, axes)

    def largest(self, positions: Positions, axes: Sequence[int]) -> Positions:
        """The largest over axes, taken for a constant: for what does not depend on it, in spite of being written with it."""
        rows = np.moveaxis(positions, axes, range(len(axes)))
        rows = rows.reshape(-1, *rows.shape[len(axes) :])
        while len(rows) > 1:
            half = len(rows) // 2
            a, b = rows[:half], rows[half : 2 * half]
            pairs = self.op("where", self.op("greater_equal", a, b), a, b)
            rows = pairs if len(rows) == 2 * half else np.concatenate([pairs, rows[2 * half :]])
        return self.op("stop_gradient", rows[0])

    def running(self, name: str, positions: Positions, axis: int, reverse: bool) -> Positions:
        """An op of each entry along an axis with the result before it (behind it, if `reverse`)."""
        rows = np.moveaxis(positions, axis, 0)
        rows = rows[::-1] if reverse else rows
        found = list(rows[:1])
        for row in rows[1:]:
            found.append(self.op(name, found[-1], row))
        result = np.stack(found[::-1] if reverse else found) if found else rows
        return np.moveaxis(result, 0, axis)

    def product(self, a: Positions, b: Positions) -> Positions:
        """Matrix product of stacks: [*s, m, k], [*s, k, n] -> [*s, m, n]."""
        terms = self.op("multiply", a[..., :, None, :], np.swapaxes(b, -1, -2)[..., None, :, :])
        return self.sum(terms, (-1,))

    # -- details

    def _spared(self, name: str, args: Sequence[Positions]) -> Positions | None:
        """Existing entries that are equal for all values of the operands, −1 where there is none; None if nowhere."""
        if name in ("identity", "positive"):
            return args[0].copy()
        if name not in ("add", "subtract", "multiply", "where"):
            return None
        known = [self._known[a] for a in args]
        if not any(k.any() for k in known):
            return None
        values = [self._value[a] for a in args]
        same = np.full(args[0].shape, -1, np.int64)
        if name == "where":
            mask = known[0]
            same[mask] = np.where(values[0][mask] != 0, args[1][mask], args[2][mask])
            return same
        for k, other in ((0, 1), (1, 0)):
            if name == "multiply":
                mask = known[k] & (values[k] == 1)
            else:
                zero = known[k] & (values[k] == 0)
                minus = np.signbit(values[k])
                if name == "subtract":
                    if k == 0:
                        continue
                    minus = ~minus
                # x + (−0) is x for every x, and x + 0 for every x but −0.
                mask = zero & (minus | self._plus[args[other]])
            same = np.where(mask, args[other], same)
        both = known[0] & known[1] & (same < 0)
        if both.any():
            fn = {"add": np.add, "subtract": np.subtract, "multiply": np.multiply}[name]
            with np.errstate(all="ignore"):
                same[both] = self.constant(fn(values[0][both], values[1][both]))
        return same

    def _emit(self, name: str, args: Sequence[Positions]) -> Positions:
        """Entries for these operands: those that are there already, and new ones for the others."""
        rows = np.stack([np.minimum(*args), np.maximum(*args)] if name in _SYMMETRIC else args)
        keys = list(zip(*rows.tolist(), strict=True))
        there = self._written.setdefault((name, self.integer), {})
        found = [there.get(key, -1) for key in keys]
        result = np.array(found, np.int64)
        new: dict[tuple[int, ...], int] = {}
        for key, at in zip(keys, found, strict=True):
            if at < 0:
                new.setdefault(key, len(new))
        if new:
            fresh = self._fresh(name, np.array(list(new), np.int64).T)
            numbers = fresh.tolist()
            there.update(zip(new, numbers, strict=True))
            missing = np.flatnonzero(result < 0)
            result[missing] = fresh[[new[keys[k]] for k in missing.tolist()]]
        return result

    def _fresh(self, name: str, args: Positions) -> Positions:
        with np.errstate(invalid="ignore", over="ignore"):
            bound = _bound(name, [self._bound[a] for a in args])
        at = self._append(name, args, bound, False)
        if name == "add":
            self._plus[at] = self._plus[args[0]] | self._plus[args[1]]
        elif name in _POSITIVE:
            self._plus[at] = True
        return self._guarded(at, bound) if self.integer else at

    def _guarded(self, at: Positions, bound: Any) -> Positions:
        """Entries that are infinite where an integer may have lost digits."""
        loose = np.broadcast_to(~(np.asarray(bound) <= EXACT), at.shape)
        return self.limited(at, loose) if loose.any() else at

    def limited(self, positions: Positions, where: Any = True, most: float = WHOLE) -> Positions:
        """The same, but infinite where |x| > `most` (2⁵²): x / 1, or x / 0."""
        mask = np.broadcast_to(where, positions.shape).reshape(-1)
        result = positions.reshape(-1).copy()
        at = result[mask]
        whole = self._append("abs", at[None], self._bound[at], False)
        fits = self._append(
            "less_equal", np.stack([whole, np.full(at.shape, self.constant(most))]), 1.0, False
        )
        result[mask] = self._append("divide", np.stack([at, fits]), most, False)
        return result.reshape(positions.shape)

    def bounded(self, positions: Positions) -> npt.NDArray[np.bool_]:
        """Which entries are surely integers that may be let in again."""
        mask: npt.NDArray[np.bool_] = self._bound[positions] <= WHOLE
        return mask

    def _append(self, name: str, args: Positions, bound: Any, kept: bool) -> Positions:
        n = args.shape[1]
        start, stop = self.size, self.size + n
        if name != LEAF:
            self.computed += n
            if self.computed > self.most:
                raise TooManyError
        if stop > len(self._value):
            grown = max(stop, 2 * len(self._value))
            for field in ("_value", "_known", "_bound", "_plus"):
                old = getattr(self, field)
                new = np.zeros(grown, old.dtype)
                new[: self.size] = old[: self.size]
                setattr(self, field, new)
        self._bound[start:stop] = bound
        self.size = stop
        if n:
            self.chunks.append(Chunk(start, name, args, kept))
        return np.arange(start, stop, dtype=np.int64)


def _bound(name: str, bounds: Sequence[Any]) -> Any:
    """What |result| cannot exceed, from the same of the operands; ∞ if nothing is known."""
    if name in _TRUTHS:
        return 1.0
    if name in _KEPT or name == "floor_divide":
        return bounds[0]
    if name in ("add", "subtract"):
        return bounds[0] + bounds[1]
    if name == "multiply":
        return np.where((bounds[0] == 0) | (bounds[1] == 0), 0.0, bounds[0] * bounds[1])
    if name in ("maximum", "minimum", "where"):
        return np.maximum(bounds[-1], bounds[-2])
    if name == "remainder":
        return bounds[1]
    return inf
