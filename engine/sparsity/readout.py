"""How the nonzeros of an answer are read from what sweeps yield: everything but the numbers is worked out once.

A sweep's results are arrays with a row for each sweep; a block of the answer is a list of nonzeros, row-major. The nonzeros
that one row of one result holds often lie in even steps in both (every entry of the result, in every second row of the
block): then they are copied as one strided array, else taken one by one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.lib.stride_tricks import as_strided

from engine.aval import Array
from engine.recycled import recycled

GROUPS = 64
"""Parts that a block's nonzeros are split into, to find even steps in them."""


class Block(NamedTuple):
    """One block of the answer: its nonzeros, row-major. Where several numbers make one of them, `same` says which each
    belongs to; `numbers` is how many there are."""

    rows: Array
    columns: Array
    numbers: int
    same: Array | None


class Even(NamedTuple):
    """Places in even steps: from `start`, `counts` of `steps`, the last axis innermost."""

    start: int
    counts: tuple[int, ...]
    steps: tuple[int, ...]

    def of(self, flat: Array) -> Array:
        """These entries of an array of one axis."""
        size = flat.itemsize
        return as_strided(flat[self.start :], self.counts, [s * size for s in self.steps])


class Piece(NamedTuple):
    """Numbers of one result that go into one block."""

    block: int
    result: int
    source: Even | Array
    target: Even | Array


class Readout:
    """Blocks, and how sweeps fill them.

    `rows`, `columns`: of every number that is read, in the answer as a whole; `sweeps`, `places`: the sweep that has it, and
    where in all its results. `heights` and `widths` are the numbers of rows and columns of the answer's blocks, `results`
    the sizes of a sweep's results, and `starts` the sweeps that are computed together begin.
    """

    def __init__(
        self,
        rows: Array,
        columns: Array,
        sweeps: Array,
        places: Array,
        *,
        heights: Sequence[int],
        widths: Sequence[int],
        results: Sequence[int],
        starts: Sequence[int],
    ) -> None:
        self.blocks: list[Block] = []
        self._shares: list[slice | Array] = []
        """Of each block, its numbers among all."""
        self._pieces: dict[int, list[Piece]] = {start: [] for start in starts}
        edges = np.cumsum([0, *results])
        bounds = [*starts, np.iinfo(np.int64).max]
        for mine, above, left, width in _cells(rows, columns, heights, widths):
            keys = (rows[mine] - above) * width + (columns[mine] - left)
            order = np.argsort(keys, kind="stable")
            mine, keys = mine[order], keys[order]
            new = np.ones(len(keys), bool)
            new[1:] = keys[1:] != keys[:-1]
            same = None if new.all() else np.cumsum(new) - 1
            keys = keys[new]
            down, right = np.divmod(keys, max(1, width))
            for shared in (down, right):  # by all answers
                shared.setflags(write=False)
            whole = len(mine) > 0 and mine[-1] - mine[0] == len(mine) - 1 and bool((np.diff(mine) == 1).all())
            self._shares.append(slice(int(mine[0]), int(mine[-1]) + 1) if whole else mine)
            self.blocks.append(Block(down, right, len(mine), same))
            self._cut(mine, sweeps, places, edges, bounds)

    def _cut(self, mine: Array, sweeps: Array, places: Array, edges: Array, bounds: Sequence[int]) -> None:
        sweep, place = sweeps[mine], places[mine]
        result = np.searchsorted(edges, place, side="right") - 1
        sizes = np.diff(edges)
        block = len(self.blocks) - 1
        for start, stop in pairwise(bounds):
            here = np.flatnonzero((sweep >= start) & (sweep < stop))
            source = (sweep[here] - start) * sizes[result[here]] + place[here] - edges[result[here]]
            groups = result[here] * (int(sweep.max(initial=0)) + 1) + sweep[here]
            if len(np.unique(groups)) > GROUPS:
                groups = result[here]
            for g in np.unique(groups):
                some = np.flatnonzero(groups == g)
                pair = _evenly(source[some], here[some])
                self._pieces[start].append(Piece(block, int(result[here[some[0]]]), *pair))

    @property
    def nbytes(self) -> int:
        """Memory that is kept."""
        total = 0
        for block in self.blocks:
            total += (
                block.rows.nbytes + block.columns.nbytes + (0 if block.same is None else block.same.nbytes)
            )
        total += sum(share.nbytes for share in self._shares if isinstance(share, np.ndarray))
        for piece in self.pieces():
            total += sum(p.nbytes if isinstance(p, np.ndarray) else 200 for p in (piece.source, piece.target))
        return total

    def pieces(self) -> Iterator[Piece]:
        """All of them."""
        for some in self._pieces.values():
            yield from some

    def empty(self, dtype: str) -> list[Array]:
        """Where the numbers of each block go."""
        return [recycled.empty((block.numbers,), dtype) for block in self.blocks]

    def read(self, data: Sequence[Array], results: Sequence[Array], start: int) -> None:
        """Take over what the sweeps from `start` on have found."""
        flat = [np.ascontiguousarray(r).reshape(-1) for r in results]
        for piece in self._pieces[start]:
            source, target, out = piece.source, piece.target, data[piece.block]
            there = flat[piece.result]
            found = source.of(there) if isinstance(source, Even) else there.take(source)
            if isinstance(target, Even):
                np.copyto(target.of(out), found)
            else:
                out[target] = found

    def split(self, numbers: Array) -> list[Array]:
        """The nonzeros of each block from all numbers in order."""
        return self.added([numbers[share] for share in self._shares])

    def added(self, data: Sequence[Array]) -> list[Array]:
        """The nonzeros of each block."""
        found: list[Array] = []
        for block, x in zip(self.blocks, data, strict=True):
            total: Any = x
            if block.same is not None:
                total = np.bincount(block.same, x, len(block.rows)).astype(x.dtype)
            found.append(total)
        return found


def _cells(
    rows: Array, columns: Array, heights: Sequence[int], widths: Sequence[int]
) -> Iterator[tuple[Array, int, int, int]]:
    """(numbers, first row, first column, width) of each block, row by row. `rows` ascends."""
    below = 0
    for height in heights:
        above, below = below, below + height
        first, last = np.searchsorted(rows, [above, below])
        part = columns[first:last]
        right = 0
        for width in widths:
            left, right = right, right + width
            mine = first + np.flatnonzero((part >= left) & (part < right))
            yield mine, above, left, width


def _evenly(source: Array, target: Array) -> tuple[Even | Array, Even | Array]:
    """Places as even steps of one shape, if both are that; else as they are."""
    a, b = _even(source), _even(target)
    if a is not None and b is not None:
        if len(a.counts) > len(b.counts):
            b = _split(b, a.counts)
        elif len(b.counts) > len(a.counts):
            a = _split(a, b.counts)
        if a.counts == b.counts:
            return a, b
    return source, target if b is None or len(b.counts) > 1 else b


def _split(one: Even, counts: tuple[int, ...]) -> Even:
    (step,) = one.steps
    return Even(one.start, counts, (step * counts[1], step))


def _even(places: Array) -> Even | None:
    """Even steps of one or two axes."""
    n = len(places)
    steps = np.diff(places)
    if n < 2 or (steps == steps[0]).all():
        return Even(int(places[0]), (n,), (int(steps[0]) if n > 1 else 1,))
    k = int(np.argmax(steps != steps[0])) + 1
    if n % k:
        return None
    rows = places.reshape(-1, k)
    outer = np.diff(rows[:, 0])
    if (rows - rows[:, :1] != rows[0] - rows[0, 0]).any() or (outer != outer[0]).any():
        return None
    return Even(int(places[0]), (n // k, k), (int(outer[0]), int(steps[0])))
