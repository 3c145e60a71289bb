"""Finds the runs of elementwise tasks that are computed strip by strip (`strips`), and makes one task of each.

Tasks on arrays of one size that depend on nothing in between go into one run, whatever their shapes: an element of a result
depends on the elements in its place alone. Reshapes that leave all elements in their order are no tasks then, and sums of
arrays that are laid side by side (`assemble`) write each part to its place. What a run makes and nobody else reads is never
written to memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from functools import partial
from math import prod
from typing import Any, NamedTuple

import numpy as np
from numpy.lib.stride_tricks import as_strided

from engine.aval import Array, Aval, Avals
from engine.execute.plan.assemble import lay
from engine.execute.plan.memory import laid
from engine.execute.plan.record import NotRecorded, Recorder
from engine.execute.plan.strips import Given, Strips
from engine.execute.plan.task import How, Kink, Task

WAITING = 64
"""Tasks that may wait for a run to end, so that later ones can still go into it."""
BEGIN, CALL, ELEMENT = 6.0, 0.5, 1e-4
"""Microseconds: what it takes to begin a run, and what a run saves of each call, and for each of its elements."""


class Fused(NamedTuple):
    """Tasks with runs in them; the values that a run writes; those of which it tells whether they are finite."""

    tasks: list[Task]
    written: set[int]
    looked: set[int]


class Values(NamedTuple):
    """What is known of values by number: types; the axis that lies innermost where that is not the last; constants."""

    avals: Mapping[int, Avals]
    inner: Mapping[int, int]
    constants: Mapping[int, Any]

    def shape(self, i: int) -> tuple[int, ...]:
        """Of one array."""
        aval = self.avals[i]
        assert isinstance(aval, Aval)
        return aval.shape

    def size(self, i: int) -> int:
        """Elements; 0 for what is not one array."""
        aval = self.avals[i]
        return prod(aval.shape) if isinstance(aval, Aval) else 0

    def axes(self, i: int) -> tuple[int, ...]:
        """Axes in the order in which elements lie in memory."""
        rank = len(self.shape(i))
        inner = self.inner.get(i, rank - 1)
        return (*(a for a in range(rank) if a != inner), *((inner,) if rank else ()))

    def given(self, i: int, like: int) -> Given:
        """Value i, stretched to the shape of value `like`, with elements in its order."""
        aval = self.avals[i]
        assert isinstance(aval, Aval)
        return Given(self.shape(like), self.axes(like), np.dtype(aval.dtype))


class Run:
    """What a task calls that is a run: it writes into arrays, or into places in them."""

    def __init__(
        self, strips: Strips, places: Sequence[tuple[int, Any]], gaps: Sequence[int], calls: int
    ) -> None:
        self.strips = strips
        self.calls = calls
        self._places = places
        self._gaps = gaps

    def __call__(
        self, b: Any, operands: Sequence[Any], outs: Sequence[Array], told: int
    ) -> tuple[list[Any], int]:
        for k in self._gaps:
            outs[k].fill(0)
        given = [outs[k] if place is None else outs[k][place] for k, place in self._places]
        return [], self.strips.run([*operands, *given])


def fuse(
    tasks: Sequence[Task],
    values: Values,
    kept: Set[int],
    looked: Set[int],
    step: Callable[[], None] | None = None,
) -> Fused:
    """Tasks in order with runs made one task each; `step` is asked before each run.

    `kept` are values needed after the last task, `looked` those to look at."""
    found = Fused([], set(), set())
    readers: dict[int, list[Task]] = {}
    for task in tasks:
        for j in task.reads:
            readers.setdefault(j, []).append(task)
    waiting = list(tasks)
    while waiting:
        if step is not None:
            step()
        run = _Open(values)
        later: list[Task] = []
        behind: set[int] = set()
        taken = 0
        for task in waiting:
            if len(later) >= WAITING:
                break
            taken += 1
            free = not any(j in behind for j in task.reads)
            within = any(j in run.numbers for j in task.reads)
            # What comes later in order, and has nothing to do with the run, is not needed yet: it would take memory
            # for longer, and a checkpoint's work is done late for just that reason.
            if free and (within or not later) and run.take(task):
                continue
            if free and not within and (not later or task.how is How.VIEW):
                found.tasks.append(task)
                continue
            later.append(task)
            behind.update(task.writes)
        waiting = [*later, *waiting[taken:]]
        if not run.worth():
            found.tasks.extend(run.tasks)
        elif run.tasks:
            inside = {id(t) for t in run.tasks}
            needed = [
                i for i in run.numbers if i in kept or any(id(t) not in inside for t in readers.get(i, ()))
            ]
            found.tasks.append(run.close(needed, looked))
            found.written.update(found.tasks[-1].writes)
            found.looked.update(run.seen)
    return found._replace(tasks=list(_without_copies(found.tasks, kept)))


class _Open:
    """A run to which tasks are added."""

    def __init__(self, values: Values) -> None:
        self.values = values
        self.size = 0
        self.recorder = Recorder()
        self.numbers: dict[int, int] = {}
        """Values that the run makes, and their numbers in the record; −1 for one that is laid together."""
        self.tasks: list[Task] = []
        self.masks: list[int] = []
        self.reads: dict[tuple[int, Given], int] = {}
        self.laid: list[tuple[Task, list[int]]] = []
        self.seen: set[int] = set()

    def take(self, task: Task) -> bool:
        """Add a task, if it is one for this run."""
        if task.how is How.INTO and isinstance(task.fn, partial) and task.fn.func is lay:
            taken = self._assemble(task)
        elif task.how is How.INTO and not task.copies:
            taken = self._elementwise(task)
        elif task.how is How.VIEW:
            taken = self._view(task)
        elif task.how is How.CHECK and isinstance(task.fn, Kink):
            taken = self._check(task, task.fn)
        else:
            return False
        if taken:
            self.tasks.append(task)
        return taken

    def worth(self) -> bool:
        """Whether the run takes less time than its calls one by one."""
        calls = len(self.recorder.calls)
        return calls > 1 and calls * (CALL + self.size * ELEMENT) > BEGIN

    def _operand(self, j: int, like: int) -> Any:
        """The number in the record of value `j`, in the place of value `like`, or a constant. Raises `NotRecorded`."""
        constant = self.values.constants.get(j)
        if isinstance(constant, np.generic):
            return constant
        found = self.numbers.get(j)
        if found is not None:
            if found < 0 or self.values.shape(j) != self.values.shape(like):
                raise NotRecorded
            if self.values.axes(j) != self.values.axes(like) and len(self.values.shape(j)) > 1:
                raise NotRecorded
            return found
        if not isinstance(self.values.avals[j], Aval):
            raise NotRecorded
        key = (j, self.values.given(j, like))
        if key not in self.reads:
            self.reads[key] = self.recorder.value(key[1].dtype)
        return self.reads[key]

    def _fits(self, i: int) -> bool:
        size = self.values.size(i)
        return size > 1 and (not self.tasks or size == self.size)

    def _elementwise(self, task: Task) -> bool:
        (i,) = task.writes
        if not task.elementwise or not self._fits(i):
            return False
        mark = dict(self.reads)
        aval = self.values.avals[i]
        assert isinstance(aval, Aval)
        try:
            operands = [self._operand(j, i) for j in task.reads]
            self.numbers[i] = self.recorder.write(task.fn, operands, np.dtype(aval.dtype))
        except NotRecorded:
            self.reads = mark
            return False
        self.size = self.values.size(i)
        return True

    def _view(self, task: Task) -> bool:
        (i,), (j, *more) = task.writes, task.reads
        if more or self.numbers.get(j, -1) < 0 or not isinstance(self.values.avals[i], Aval):
            return False
        source, number = self.values.shape(j), self.numbers[j]
        if self.values.size(i) != self.size or not _in_order(task, source, self.values, i, j):
            return False
        self.numbers[i] = number
        return True

    def _check(self, task: Task, kink: Kink) -> bool:
        if not any(j in self.numbers for j in task.reads):
            return False
        try:
            operands = [self._operand(j, task.reads[-1]) for j in task.reads]
            self.masks.append(self.recorder.mask(kink.mask, operands))
        except NotRecorded:
            return False
        return True

    def _assemble(self, task: Task) -> bool:
        assert isinstance(task.fn, partial)
        if not self.tasks or not all(self.values.size(j) == self.size for j in task.reads):
            return False
        zero = np.dtype(self._dtype(task.writes[0])).type(0)
        mark, dtype = dict(self.reads), np.dtype(self._dtype(task.writes[0]))
        try:
            parts = [self.recorder.write(np.add, [self._operand(j, j), zero], dtype) for j in task.reads]
        except NotRecorded:
            self.reads = mark
            return False
        self.laid.append((task, parts))
        self.numbers[task.writes[0]] = -1
        return True

    def _dtype(self, i: int) -> str:
        aval = self.values.avals[i]
        assert isinstance(aval, Aval)
        return aval.dtype

    def close(self, needed: Sequence[int], looked: Set[int]) -> Task:
        """The task."""
        values = self.values
        writes: list[int] = []
        places: list[tuple[int, Any]] = []
        gaps: list[int] = []
        targets: list[tuple[int, Given]] = []
        watched: list[int] = []
        for i in needed:
            if self.numbers[i] >= 0:
                targets.append((self.numbers[i], values.given(i, i)))
                places.append((len(writes), None))
                writes.append(i)
                if i in looked:
                    self.seen.add(i)
                    watched.append(self.numbers[i])
        for task, parts in self.laid:
            (i,) = task.writes
            assert isinstance(task.fn, partial)
            with_gaps, indices = task.fn.args
            if with_gaps:
                gaps.append(len(writes))
            for j, part, index in zip(task.reads, parts, indices, strict=True):
                targets.append((part, values.given(j, j)))
                places.append((len(writes), index))
            if i in looked:
                self.seen.add(i)
                watched += parts
            writes.append(i)
        calls = self.recorder.calls
        strips = Strips(
            calls,
            self.recorder.dtypes,
            self.size,
            [(v, given) for (_, given), v in self.reads.items()],
            targets,
            watched,
            self.masks,
        )
        reads = tuple(j for j, _ in self.reads)
        return Task(How.LOOP, Run(strips, places, gaps, len(calls)), reads, tuple(writes))


def _in_order(task: Task, source: tuple[int, ...], values: Values, i: int, j: int) -> bool:
    """Whether a view leaves all elements in their order in memory."""
    aval = values.avals[j]
    assert isinstance(aval, Aval)
    shape, order = laid(aval, values.inner.get(j))
    one = np.empty(1, np.int8)
    strides = [1] * len(shape)
    for k in range(len(shape) - 2, -1, -1):
        strides[k] = strides[k + 1] * shape[k + 1]
    outline = as_strided(one, shape, strides).transpose(order)
    seen = task.fn(outline)
    if (
        seen.shape != values.shape(i)
        or seen.__array_interface__["data"][0] != one.__array_interface__["data"][0]
    ):
        return False
    expected = 1
    for a in reversed(values.axes(i)):
        if seen.shape[a] != 1:
            if seen.strides[a] != expected:
                return False
            expected *= seen.shape[a]
    return True


def _without_copies(tasks: Sequence[Task], kept: Set[int]) -> Iterator[Task]:
    """Copies that are there for their order of axes alone are left out where only runs read them: they copy by strips."""
    views = {i: t.reads[0] for t in tasks if t.how is How.VIEW for i in t.writes}
    copies = {t.writes[0]: t.reads[0] for t in tasks if t.copies}
    kept_copies = set(kept)
    for task in tasks:
        if task.how is How.VIEW or isinstance(task.fn, Run):
            continue
        kept_copies.update(task.reads)
    roots = set()
    for i in kept_copies:
        while i in views:
            i = views[i]
        roots.add(i)
    gone = {i: j for i, j in copies.items() if i not in roots}
    for task in tasks:
        if not (task.copies and task.writes[0] in gone):
            yield task._replace(reads=tuple(gone.get(j, j) for j in task.reads))
