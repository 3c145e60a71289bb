"""Lifetimes: in whose memory each value lies, and when that memory is free again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from enum import Enum
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided

from engine.aval import Array, Aval, Avals
from engine.execute.plan.memory import Arena, laid
from engine.execute.plan.task import How, Task, copied
from engine.recycled import recycled


class Place(Enum):
    """Where a value lies."""

    GIVEN = "in an array of the caller's"
    CONSTANT = "a constant"
    ARENA = "in a part of the arena"
    STATIC = "a view that is there from the start"
    FRESH = "in memory made for one run: a result"
    HEAP = "in memory that the op made, or a view found in the run"


class Lives:
    """What a block needs to know of its tasks. `tasks` are those it shall run, with copies at the end where needed."""

    def __init__(
        self,
        tasks: Sequence[Task],
        avals: Mapping[int, Avals],
        inputs: Sequence[int],
        constants: Mapping[int, Any],
        results: Sequence[int],
        targets: Mapping[int, int],
        inner: Mapping[int, int],
        apart: Set[int],
    ) -> None:
        self.avals = dict(avals)
        self.inner = inner
        self.place = dict.fromkeys((*inputs, *targets.values()), Place.GIVEN)
        self.place |= dict.fromkeys(constants, Place.CONSTANT)
        self.root = {i: i for i in self.place}
        self.results = list(results)
        self.aims: dict[int, int] = {}
        """Values that are written into a given array, and its number."""
        self.arena = Arena()
        self.start: dict[int, int] = {}
        """First byte of what lies in the arena."""
        self.dying: dict[int, list[int]] = {}
        """After which task which values of the heap are let go."""
        self._parts: dict[int, tuple[int, int]] = {}
        self._outlines = {
            i: np.asarray(value) for i, value in constants.items() if not isinstance(value, tuple)
        }
        self._own: set[int] = set()
        """Values that are written into memory of the block's."""
        self.tasks = list(tasks)
        made = {i: task for task in self.tasks for i in task.writes}
        for i, target in targets.items():
            if i in made and i not in apart and made[i].how in (How.INTO, How.LOOP) and i not in made[i].made:
                self.aims[i] = target
        for n in range(len(self.tasks)):
            self._outline(n)
        self._end(targets)
        self.fresh = {self.root[o] for o in self.results}
        self._lay()

    def layout(self, i: int) -> tuple[Aval, int | None]:
        """What lies in a part of the arena: aval, and the innermost axis if not the last."""
        aval = self.avals[i]
        assert isinstance(aval, Aval)
        return aval, self.inner.get(i)

    def _outline(self, n: int) -> None:
        """Shapes and strides of what task `n` makes, as far as they are known, and whose memory it is in.

        An outline is an array over one element, of which nothing but shape and strides is used.
        """
        task = self.tasks[n]
        seen = [self._outline_of(j) for j in task.reads] if task.how is How.VIEW else []
        if task.how is How.VIEW and task.spare is not None and seen[0] is not None:
            aval = self.avals[task.writes[0]]
            assert isinstance(aval, Aval)
            try:
                np.reshape(seen[0], aval.shape, copy=False)
            except ValueError:
                task = self.tasks[n] = Task(How.INTO, task.spare, task.reads, task.writes)
        for i in task.writes:
            aval = self.avals[i]
            self.root[i] = i
            if task.how is How.VIEW:
                self.root[i] = self.root[task.reads[0]]
                if isinstance(aval, Aval) and aval.shape and all(o is not None for o in seen):
                    self._outlines[i] = task.fn(*seen)
            elif task.how in (How.INTO, How.LOOP) and i not in task.made and i not in self.aims:
                self._own.add(i)

    def _outline_of(self, i: int) -> Array | None:
        """The outline of a value, drawn when first asked for."""
        if i in self._own and i not in self._outlines:
            self._outlines[i] = _outline(*self.layout(i))
        return self._outlines.get(i)

    def _end(self, targets: Mapping[int, int]) -> None:
        """Copies of results that lie where they cannot stay, and of what is not written to its target at once."""
        self._next = min([0, *self.avals, *targets.values()]) - 1
        for k, o in enumerate(self.results):
            root, aval = self.root[o], self.avals[o]
            assert isinstance(aval, Aval)
            if aval.shape == () or self.place.get(root) is Place.CONSTANT:
                continue
            whole = self.avals[root]
            piece = isinstance(whole, Aval) and 2 * aval.nbytes <= whole.nbytes and root not in self.results
            if self.place.get(root) is Place.GIVEN or piece:
                self.results[k] = self._copy(Task(How.VALUE, recycled.copy, (o,), (self._next,)))
        for i, target in targets.items():
            if i not in self.aims:
                self.aims[self._copy(Task(How.INTO, copied, (i,), (self._next,)))] = target

    def _copy(self, task: Task) -> int:
        number = self._next
        self._next -= 1
        self.tasks.append(task)
        self.avals[number] = self.avals[task.reads[0]]
        self.root[number] = number
        return number

    # -- memory

    def _lay(self) -> None:
        last: dict[int, int] = {}
        for n, task in enumerate(self.tasks):
            for i in (*task.reads, *task.writes):
                last[self.root[i]] = n
        heap: dict[int, list[int]] = {}
        for n, task in enumerate(self.tasks):
            for i in task.writes:
                self._put(n, i, last)
                if self.place[i] is Place.HEAP:
                    heap.setdefault(self.root[i], []).append(i)
            for r in dict.fromkeys(self.root[i] for i in (*task.reads, *task.writes)):
                if last[r] == n and r not in self.fresh:
                    if r in self._parts:
                        self.arena.give(self._parts.pop(r))
                    if r in heap:
                        self.dying[n] = [*self.dying.get(n, ()), *heap[r]]

    def _put(self, n: int, i: int, last: Mapping[int, int]) -> None:
        """Decide where value `i`, which task `n` makes, lies."""
        task = self.tasks[n]
        if task.how is How.VIEW:
            there = i in self._outlines and all(self.place[j] in _THERE for j in task.reads)
            self.place[i] = Place.STATIC if there else Place.HEAP
        elif task.how in (How.VALUE, How.INNER) or i in task.made:
            self.place[i] = Place.HEAP
        elif i in self.aims:
            self.place[i] = Place.GIVEN
        elif i in self.fresh:
            self.place[i] = Place.FRESH
        else:
            self._take(n, i, last)

    def _take(self, n: int, i: int, last: Mapping[int, int]) -> None:
        """A part of the arena: that of an operand which dies here, if the result may lie over it, else a new one."""
        task = self.tasks[n]
        aval, inner = self.layout(i)
        self.place[i] = Place.ARENA
        for k in task.over:
            j = task.reads[k]
            same = self.place[j] is Place.ARENA and j in self._parts and self.layout(j) == (aval, inner)
            alone = all(j == m or self.root[m] != j for m in task.reads)
            if same and alone and last[j] == n:
                self._parts[i] = self._parts.pop(j)
                break
        else:
            self._parts[i] = self.arena.take(aval.nbytes)
        self.start[i] = self._parts[i][0]


_THERE = (Place.CONSTANT, Place.ARENA, Place.STATIC)


def _outline(aval: Aval, inner: int | None) -> Array:
    shape, order = laid(aval, inner)
    dtype = np.dtype(aval.dtype)
    strides = [dtype.itemsize] * len(shape)
    for k in range(len(shape) - 2, -1, -1):
        strides[k] = strides[k + 1] * max(1, shape[k + 1])
    result: Array = as_strided(np.empty(1, dtype), shape, strides).transpose(order)
    return result


def through_broadcasts(tasks: Sequence[Task], avals: Mapping[int, Avals]) -> list[Task]:
    """Tasks that stretch operands themselves read what a `broadcast_to` would have stretched for them."""
    source: dict[int, int] = {}
    found = []
    for task in tasks:
        if task.how is How.VIEW and task.stretches:
            source[task.writes[0]] = source.get(task.reads[0], task.reads[0])
        elif task.how is How.INTO and task.stretches:
            reads = tuple(source.get(j, j) for j in task.reads)
            task = task._replace(
                reads=reads, over=tuple(k for k in task.over if avals[reads[k]] == avals[task.writes[0]])
            )
        found.append(task)
    return found


def alive(tasks: Sequence[Task], kept: set[int]) -> list[Task]:
    """The tasks that results depend on."""
    needed = set(kept)
    found = []
    for task in reversed(tasks):
        if task.how is How.CHECK or any(i in needed for i in task.writes):
            needed.update(task.reads)
            found.append(task)
    return found[::-1]
