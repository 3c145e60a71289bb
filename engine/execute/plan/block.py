"""A block: tasks in order, made ready once, run often, each result in memory that was given out before.

Everything that does not depend on the arguments is done when the block is made: the order, which memory a result lies in,
when it is used for the last time, and the views. What is left for a run are calls of functions on slots of a list. The
memory and that list are a *frame*; a thread that runs the block takes one and gives it back.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Set
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from engine.aval import Aval, Avals
from engine.execute.plan.fuse import Run, Values, fuse
from engine.execute.plan.lives import Lives, Place, alive, through_broadcasts
from engine.execute.plan.memory import placed
from engine.execute.plan.strips import MET
from engine.execute.plan.task import How, Task
from engine.recycled import recycled

if TYPE_CHECKING:
    from engine.builder import EagerBuilder

KEPT_FRAMES = 2
"""Frames that wait for their next use: as many as usually run one plan at once."""
KEPT_BYTES = 1 << 25
"""Memory of the largest frame that waits; what is larger is taken anew."""

WATCHED_FLOPS = 20_000
"""Operations between two looks at the meter: some ten microseconds, a hundred times what a look takes."""

CHECK, FRESH, LOOP, INNER, VALUES, VALUE2, VALUE1, MANY, TERNARY, BINARY, UNARY, WATCH = range(12)


class _Step(NamedTuple):
    """One call: its form, the function, slots of operands and result, slots to empty after it."""

    form: int
    fn: Callable[..., Any]
    first: int
    second: int
    out: int
    operands: tuple[int, ...]
    dying: tuple[int, ...]


class Block:
    """Tasks over values known by number.

    `avals` are those of all values; `inputs` are given for each run, `constants` once; `results` are what a run returns.
    `targets` names, for values that are written into an array given for each run, the number of that array. `inner` is
    the axis of a value that lies innermost in memory, where that is not the last; targets `apart` are copied when they are
    finished, since they lie otherwise. `looked` are values that are to be looked at whether they are finite. If `watched`, the
    meter is asked every so many operations, not only before the first.
    """

    def __init__(
        self,
        tasks: Sequence[Task],
        avals: Mapping[int, Avals],
        inputs: Sequence[int],
        constants: Mapping[int, Any],
        results: Sequence[int] = (),
        *,
        targets: Mapping[int, int] | None = None,
        inner: Mapping[int, int] | None = None,
        apart: Set[int] = frozenset(),
        watched: bool = True,
        looked: Set[int] = frozenset(),
        step: Callable[[], None] | None = None,
    ) -> None:
        targets = targets or {}
        kept = {*results, *targets}
        tasks = alive(through_broadcasts(tasks, avals), kept)
        fused = fuse(tasks, Values(avals, inner or {}, constants), kept, looked, step)
        self.looked = fused.looked
        """Values of `looked` of which a run tells whether they are finite; it does not of the others."""
        self.runs = [task.fn for task in fused.tasks if isinstance(task.fn, Run)]
        """The runs among its tasks."""
        apart = apart - fused.written
        if step is not None:
            step()
        lives = Lives(fused.tasks, avals, inputs, constants, results, targets, inner or {}, apart)
        if step is not None:
            step()
        slot: dict[int, int] = {}
        for i in (*inputs, *targets.values(), *constants):
            slot.setdefault(i, len(slot))
        for task in lives.tasks:
            for i in task.writes:
                slot.setdefault(i, slot[lives.aims[i]] if i in lives.aims else len(slot))
        self._given = len(dict.fromkeys((*inputs, *targets.values())))
        self._constants = [(slot[i], value) for i, value in constants.items()]
        self._arena = lives.arena
        self._placed: list[tuple[int, int, Aval, int | None]] = []
        self._views: list[tuple[int, Callable[..., Any], tuple[int, ...]]] = []
        self._steps: list[_Step] = []
        since = 0.0
        for n, task in enumerate(lives.tasks):
            operands = tuple(slot[j] for j in task.reads)
            since += WATCHED_FLOPS if task.how in (How.LOOP, How.INNER) else task.flops
            if watched and since >= WATCHED_FLOPS:
                self._steps.append(_WATCH)
                since = 0.0
            for i in task.writes:
                where = lives.place[i]
                if where is Place.ARENA:
                    self._placed.append((slot[i], lives.start[i], *lives.layout(i)))
                elif where is Place.FRESH:
                    self._steps.append(_fresh(slot[i], avals[i]))
            if task.how is How.VIEW and lives.place[task.writes[0]] is Place.STATIC:
                self._views.append((slot[task.writes[0]], task.fn, operands))
                continue
            dying = tuple(slot[i] for i in lives.dying.get(n, ()))
            self._steps.append(_step(task, slot, operands, dying))
        self._results = tuple(slot[o] for o in lives.results)
        static = {k for k, *_ in (*self._constants, *self._placed, *self._views)}
        self._size = len(slot)
        self._varying = tuple(k for k in range(self._size) if k not in static)
        self._free: list[list[Any]] = []

    @property
    def nbytes(self) -> int:
        """Memory that waits for the next run, at most; the constants are the graph's."""
        kept = self._arena.size * KEPT_FRAMES if self._arena.size <= KEPT_BYTES else 0
        runs = sum(run.strips.nbytes for run in self.runs)
        return kept + 400 * len(self._steps) + 100 * self._size + runs

    @property
    def peak(self) -> int:
        """Memory of one run, beside results and what ops make themselves."""
        return self._arena.size

    def _frame(self) -> list[Any]:
        """Slots with constants, memory and views in them."""
        slots: list[Any] = [None] * self._size
        memory = self._arena.memory()
        for k, value in self._constants:
            slots[k] = value
        there: dict[Any, Any] = {}
        for k, start, aval, inner in self._placed:
            # One object for a result that lies over its operand, so that functions can see it.
            where = (start, aval, inner)
            if where not in there:
                there[where] = placed(memory, start, aval, inner)
            slots[k] = there[where]
        for k, fn, operands in self._views:
            slots[k] = fn(*[slots[j] for j in operands])
        return slots

    def run(self, b: EagerBuilder, given: Sequence[Any]) -> tuple[list[Any], int]:
        """Results, and what there is to tell: `MET`, `NOT_FINITE`. `given`: arguments, then the arrays of the targets."""
        try:
            slots = self._free.pop()
        except IndexError:
            slots = self._frame()
        slots[: self._given] = given
        step = b.step
        if step is not None:
            step()
        told = 0
        for form, fn, first, second, out, operands, dying in self._steps:
            if form == BINARY:
                fn(slots[first], slots[second], slots[out])
            elif form == UNARY:
                fn(slots[first], slots[out])
            elif form == VALUE1:
                slots[out] = fn(slots[first])
            elif form == VALUE2:
                slots[out] = fn(slots[first], slots[second])
            elif form == TERNARY:
                fn(slots[first], slots[second], slots[operands[2]], slots[out])
            elif form == VALUES:
                slots[out] = fn(*[slots[j] for j in operands])
            elif form == MANY:
                fn(*[slots[j] for j in operands], slots[out])
            elif form == CHECK:
                if not told & MET and fn(*[slots[j] for j in operands]):
                    told |= MET
            elif form == FRESH:
                slots[out] = fn()
            elif form == WATCH:
                if step is not None:
                    step()
            elif form == INNER:
                slots[out] = fn(b, *[slots[j] for j in operands])
            else:
                told |= fn(b, slots, told)
            for j in dying:
                slots[j] = None
        results = [slots[k] for k in self._results]
        # Only a frame that came to its end is used again.
        if len(self._free) < KEPT_FRAMES and self._arena.size <= KEPT_BYTES:
            for k in self._varying:
                slots[k] = None
            self._free.append(slots)
        return results, told


_WATCH = _Step(WATCH, lambda: None, 0, 0, -1, (), ())


def _fresh(out: int, aval: Avals) -> _Step:
    assert isinstance(aval, Aval)
    shape, dtype = aval.shape, np.dtype(aval.dtype)
    return _Step(FRESH, lambda: recycled.empty(shape, dtype), 0, 0, out, (), ())


def _step(task: Task, slot: Mapping[int, int], operands: tuple[int, ...], dying: tuple[int, ...]) -> _Step:
    how, count = task.how, len(operands)
    first, second = (*operands, 0, 0)[:2]
    if how is How.LOOP:
        outs = tuple(slot[i] for i in task.writes if i not in task.made)
        made = tuple(slot[i] for i in task.made)

        def loop(b: Any, slots: list[Any], told: int) -> int:
            values, more = task.fn(b, [slots[j] for j in operands], [slots[j] for j in outs], told)
            for k, value in zip(made, values, strict=True):
                slots[k] = value
            return int(more)

        return _Step(LOOP, loop, first, second, -1, operands, dying)
    out = slot[task.writes[0]] if task.writes else -1
    if how is How.CHECK:
        form = CHECK
    elif how is How.INNER:
        form = INNER
    elif how is How.INTO:
        form = {1: UNARY, 2: BINARY, 3: TERNARY}.get(count, MANY)
    else:
        form = {1: VALUE1, 2: VALUE2}.get(count, VALUES)
    return _Step(form, task.fn, first, second, out, operands, dying)
