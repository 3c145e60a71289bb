"""A loop over tiles: nodes cut along one axis, each tile computed in memory that fits the cache, tiles shared by threads.

Where tiles begin and in which order partial sums are added depends on shapes alone. So does the result: not on how many
threads there are, nor on which of them computes which tile.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Set
from functools import partial, reduce
from operator import or_
from typing import TYPE_CHECKING, Any

import numpy as np

from engine.aval import Array, Aval, Avals
from engine.execute.finite import finite
from engine.execute.plan.block import Block
from engine.execute.plan.cuts import Cut, Loop, fused, width
from engine.execute.plan.strips import NOT_FINITE
from engine.execute.plan.task import How, Task, tasks_of
from engine.execute.pool import pool
from engine.graph import CONSTANT, Node

if TYPE_CHECKING:
    from engine.builder import EagerBuilder

CACHE = 1 << 22
"""Bytes of all arrays of a tile; where they are more, tiles are made smaller, down to a quarter."""
NARROW = 64
"""Up to so many elements beside the axis that is cut, a tile has that axis innermost in memory."""
STRIP = 2048
"""Entries that are copied at once where the order of axes changes."""
MANY = 8
"""Tiles that are enough for threads to share."""
ROUND = 64
"""Tiles are multiples of so many entries (but the last): whole cache lines."""


class Tiles:
    """One loop. `reads` are the values it needs, `writes` those it fills, `made` partial sums that it adds up itself."""

    def __init__(
        self,
        loop: Loop,
        nodes: Sequence[Node],
        cuts: Mapping[int, Cut],
        needed: Callable[[int], bool],
        *,
        tile: int,
        guarded: bool,
        kinks: bool,
        flops: Mapping[int, float],
        looked: Set[int] = frozenset(),
    ) -> None:
        self._nodes = nodes
        self._cuts = cuts
        self._loop = loop
        self._guarded, self._kinks = guarded, kinks
        members = set(loop.nodes)
        self._outside: dict[tuple[int, int | None], int] = {}
        """Number, in the loop, of a value from outside: whole, or cut along an axis."""
        number = len(nodes)
        for i in loop.nodes:
            for k, (j, c) in enumerate(zip(nodes[i].inputs, cuts[i].operands, strict=True)):
                inside = j in members and fused(cuts, j, i, k)
                if not inside and (j, c) not in self._outside:
                    self._outside[j, c] = number
                    number += 1
        self._members = members
        self.made = tuple(i for i in loop.nodes if cuts[i].axis is None)
        self.writes = tuple(i for i in loop.nodes if cuts[i].axis is not None and needed(i))
        self.reads = tuple(dict.fromkeys(j for j, _ in self._outside if nodes[j].op is not CONSTANT))
        self._to_look = {i for i in self.writes if i in looked}
        first: dict[int, int] = {}
        for k, (j, c) in enumerate(
            key for key in self._outside if key[0] in self.reads or key[1] is not None
        ):
            if c is not None and j in looked:
                first.setdefault(j, k)
        self._heeded = first
        """Arguments that are looked at, and where they are among what a tile is given."""
        self._targets = {i: number + k for k, i in enumerate((*self.writes, *self.made))}
        self._divide(tile, width(nodes, flops, loop.nodes, loop.size))
        self._blocks = {n: self._block(n) for n in {hi - lo for lo, hi in self.tiles}}
        peak = max(block.peak for block in self._blocks.values())
        if len(self.tiles) > 1 and not loop.pieces and peak > CACHE:
            wide = width(nodes, flops, loop.nodes, loop.size)
            self._divide(max(tile // 4, tile * CACHE // peak), wide)
            self._blocks = {n: self._block(n) for n in {hi - lo for lo, hi in self.tiles}}
        elif len(self.tiles) >= 2 * MANY and not loop.pieces and not peak:
            # One run of strips, which has no use for tiles but that threads share them.
            wide = width(nodes, flops, loop.nodes, loop.size)
            self._divide(min(4 * tile, int(loop.size * wide) // MANY), wide)
            self._blocks = {n: self._block(n) for n in {hi - lo for lo, hi in self.tiles}}

    def _divide(self, tile: int, wide: float) -> None:
        """Tiles of nearly equal size."""
        size = self._loop.size
        even = -(-size // (self._loop.pieces or max(1, round(0.499 + size * wide / tile))))
        multiple = ROUND if even > 4 * ROUND and not self._loop.pieces else 1
        self.size = min(size, -(-even // multiple) * multiple)
        self.tiles = [(lo, min(size, lo + self.size)) for lo in range(0, size, self.size)]

    @property
    def looked(self) -> set[int]:
        """Values that the loop fills, and arguments, of which it tells whether they are finite."""
        return set(self._heeded) | set.intersection(*(block.looked for block in self._blocks.values()))

    @property
    def nbytes(self) -> int:
        """Memory held between runs."""
        return sum(b.nbytes for b in self._blocks.values())

    @property
    def peak(self) -> int:
        """Memory of one run, by as many threads as the pool has."""
        return pool.size * max(block.peak for block in self._blocks.values())

    def task(self) -> Task:
        """The loop as a task of the plan."""
        return Task(How.LOOP, self.run, self.reads, (*self.writes, *self.made), made=self.made)

    # -- made once for each size of tile

    def _block(self, n: int) -> Block:
        """The nodes of the loop for tiles of `n` entries."""
        nodes, cuts = self._nodes, self._cuts
        avals: dict[int, Avals] = {}
        constants: dict[int, Any] = {}
        given: list[int] = []
        for (j, c), number in self._outside.items():
            aval = nodes[j].aval
            assert isinstance(aval, Aval)
            avals[number] = aval if c is None else _cut(aval, c, n)
            if nodes[j].op is CONSTANT and c is None:
                constants[number] = nodes[j].params[0][1].value[()]
            else:
                given.append(number)
        tasks: list[Task] = []
        for i in self._loop.nodes:
            op, inputs, params, aval = nodes[i]
            cut = cuts[i]
            assert isinstance(aval, Aval)
            local = tuple(
                j if j in self._members and fused(cuts, j, i, k) else self._outside[j, c]
                for k, (j, c) in enumerate(zip(inputs, cut.operands, strict=True))
            )
            if cut.axis is not None:
                op = op.of_size(aval.size)
                params = tuple(sorted(op.piece(cut.axis, n, aval, **dict(params)).items()))
                aval = _cut(aval, cut.axis, n)
            avals[i] = aval
            tasks += tasks_of(
                i, Node(op, local, params, aval), avals, guarded=self._guarded, kinks=self._kinks
            )
        for i, target in self._targets.items():
            avals[target] = avals[i]
        inner = self._inner(avals)
        loads: list[Task] = []
        if inner:
            tasks, loads = self._loaded(tasks, given, avals, inner)
        apart = {i for i in self.writes if i in inner}
        return Block(
            [*loads, *tasks],
            avals,
            given,
            constants,
            (),
            targets=self._targets,
            inner=inner,
            apart=apart,
            watched=False,
            looked=self._to_look,
        )

    def _inner(self, avals: Mapping[int, Avals]) -> dict[int, int]:
        """Values that lie with the cut axis innermost: all of more than one axis, if none is wide and no op minds."""
        where = {number: c for (_, c), number in self._outside.items() if c is not None}
        where |= {i: axis for i in self._loop.nodes if (axis := self._cuts[i].axis) is not None}
        found = {}
        for i, axis in where.items():
            aval = avals[i]
            assert isinstance(aval, Aval)
            if aval.size > NARROW * aval.shape[axis]:
                return {}
            if axis != aval.rank - 1:
                found[i] = axis
        if any(self._nodes[i].op.compact for i in self._loop.nodes):
            return {}
        return found

    def _loaded(
        self, tasks: Sequence[Task], given: Sequence[int], avals: dict[int, Avals], inner: dict[int, int]
    ) -> tuple[list[Task], list[Task]]:
        """Copies of what is given, with the axis innermost, and the tasks reading these."""
        number = max(avals) + 1
        copies: dict[int, int] = {}
        for i in given:
            if i in inner:
                copies[i] = number
                avals[number] = avals[i]
                inner[number] = inner.pop(i)
                number += 1
        loads = [
            Task(How.INTO, partial(_turned, inner[c]), (i,), (c,), copies=True) for i, c in copies.items()
        ]
        return [t._replace(reads=tuple(copies.get(j, j) for j in t.reads)) for t in tasks], loads

    # -- run

    def run(
        self, b: EagerBuilder, operands: Sequence[Any], outs: Sequence[Array], told: int
    ) -> tuple[list[Any], int]:
        """Fill `outs`; the sums, and what the blocks tell."""
        nodes = self._nodes
        values = dict(zip(self.reads, operands, strict=True))
        whole = [
            (values[j] if j in values else nodes[j].params[0][1].value, c)
            for (j, c) in self._outside
            if j in values or c is not None
        ]
        count = len(self.tiles)
        parts = []
        for i in self.made:
            aval = nodes[i].aval
            assert isinstance(aval, Aval)
            parts.append(np.empty((count, *aval.shape), aval.dtype))
        axes = [self._cuts[i].axis or 0 for i in self.writes]
        heard = [0]

        def work(t: int) -> None:
            lo, hi = self.tiles[t]
            piece = slice(lo, hi)
            given = [x if c is None else x[(*_ALL[c], piece)] for x, c in whole]
            given += [o[(*_ALL[a], piece)] for o, a in zip(outs, axes, strict=True)]
            given += [p[t, ...] for p in parts]
            with np.errstate(all="ignore"):
                if not all(finite(given[k]) for k in self._heeded.values()):
                    heard.append(NOT_FINITE)
                more = self._blocks[hi - lo].run(b, given)[1]
                if more:
                    heard.append(more)

        pool.share(work, count)
        return [nodes[i].op.combines(p, axis=0) for i, p in zip(self.made, parts, strict=True)], reduce(
            or_, heard
        )


def _turned(axis: int, x: Array, out: Array) -> None:
    """A copy between two orders of axes, in strips that the innermost cache holds."""
    for lo in range(0, x.shape[axis], STRIP):
        strip = (*_ALL[axis], slice(lo, lo + STRIP))
        np.copyto(out[strip], x[strip])


_ALL = [(slice(None),) * k for k in range(65)]


def _cut(aval: Aval, axis: int, n: int) -> Aval:
    return Aval((*aval.shape[:axis], n, *aval.shape[axis + 1 :]), aval.dtype)
