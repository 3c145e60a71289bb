"""Loops whose body is a few thousand numbers, computed on the tape: many steps in one call of a compiled loop.

The derivative of a loop is loops, and so are its Taylor series and its map over a batch: all of them come here.

Steps are taken in blocks of about a millisecond, and the meter is asked before each. An entry that is not finite ends a
block: what rows of the tape's table say holds for finite numbers. The body's own graph then computes that step, and at the
next such step twice as many, so that a loop that goes on with infinities costs what it always did.

Whether a loop comes here is decided by its body, its shapes, and whether Numba is there to be used. It does not wait until
Numba is loaded: the first blocks are computed by the plain loop, which gives the same numbers.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from engine.aval import Aval
from engine.compiled import LOOPS, compiled
from engine.entries import WHOLE, Entries, TooManyError
from engine.graph import Graph
from engine.tape import machine, plain_runs
from engine.tape.body import MOVED, WRITTEN, Part, Parts, Program, program_of
from engine.tape.price import dearer, hopeless
from engine.tape.walk import UnexpandableError, expandable

if TYPE_CHECKING:
    from engine.builder import EagerBuilder

Columns: TypeAlias = list[tuple[int, Aval, slice]]

MOST = 10_000
"""Entries of a body."""

LARGEST = 1 << 17
"""Numbers of what goes into a step and comes out of it."""

BLOCK = 400_000
"""Entries of a block of steps, computed by machine code."""

PLAIN_BLOCK = 10_000
"""The same for plain Python."""

ROOM = 1 << 16
"""Numbers of the slices of a block, and of what is stacked."""

CAREFUL = 1024
"""Steps that the body's graph computes at a time, at most."""

NOTHING = np.zeros(0)


class TapeLoop:
    """A body made ready: its arrays are the `Program`'s, and here is what puts a loop's arrays in their places."""

    __slots__ = (
        "_body",
        "_carried",
        "_ends",
        "_entries",
        "_lists",
        "_program",
        "_slices",
        "_still",
        "_test",
        "_wide",
        "_ys",
    )

    def __init__(self, parts: Parts, program: Program) -> None:
        self._body, self._test = parts.body, parts.test
        self._program = program
        ins, outs = parts.body.in_avals, parts.body.out_avals
        nk, nx = parts.carries, parts.scanned
        still = [*(k for k in range(nk) if parts.kinds[k] != MOVED), *range(nk + nx, len(ins))]
        self._still = _columns(ins, still, 0)
        self._carried = _columns(ins, [k for k in range(nk) if parts.kinds[k] == MOVED], 0)
        self._slices = _columns(ins, range(nk, nk + nx), 0)
        self._ys = _columns(outs, range(nk, len(outs)), 0)
        self._ends = [(k, ins[k], program.ends[k]) for k in range(nk) if parts.kinds[k] == WRITTEN]
        """Carries that the body does not read: they are where they were computed last."""
        self._wide = sum(a.size for _, a, _ in self._ys)
        self._entries = max(1, len(program.leaves) - program.begin)
        self._lists: Any = None

    def run(
        self,
        b: EagerBuilder,
        carries: Sequence[Any],
        scanned: Sequence[Any],
        consts: Sequence[Any],
        length: int | None = None,
        reverse: bool = False,
    ) -> tuple[list[Any], list[Any], int]:
        """See `engine.compiled.Loop`."""
        program = self._program
        state = [np.asarray(c) for c in carries]
        ys = [np.empty((length or 0, *a.shape), a.dtype) for _, a, _ in self._ys]
        v = program.leaves.copy()
        calm = self._fill(v, 0, [*state, *scanned, *consts], self._still) and self._once(v)
        done, careful = 0, 1
        while length is None or done < length:
            b.tick()
            compute = machine.steps(self._entries)
            block = max(1, (BLOCK if compute is not None else PLAIN_BLOCK) // self._entries)
            count = min(block, max(1, ROOM // (1 + self._wide + program.width)))
            if length is not None:
                count = min(count, length - done)
            if calm and self._fill(v, program.begin, state, self._carried):
                x, count, stopped = self._block(scanned, done, count, length, reverse)
                taken, why, out = self._steps(compute, v, x, count)
                self._store(ys, out, done, taken, length, reverse)
                done += taken
                self._read(v, state, taken)
                if why == 1:
                    break
                if why == 0 and not stopped:
                    continue
            for _ in range(careful if length is None else min(careful, length - done)):
                b.tick()
                if self._test is not None and not compiled(self._test).run(b, [*_scalars(state), *consts])[0]:
                    return _scalars(state), ys, done
                t = done if not reverse else (length or 0) - 1 - done
                found = compiled(self._body).run(b, [*_scalars(state), *[x[t] for x in scanned], *consts])
                state = [np.asarray(o) for o in found[: len(state)]]
                for y, value in zip(ys, found[len(state) :], strict=True):
                    y[t] = value
                done += 1
            careful = min(2 * careful, CAREFUL)
        return _scalars(state), ys, done

    @staticmethod
    def _fill(v: Any, start: int, arrays: Sequence[Any], columns: Columns) -> bool:
        """Put arrays one behind the other into v. Whether all are finite, and integers exact."""
        for k, aval, own in columns:
            part = v[start + own.start : start + own.stop]
            part[...] = np.asarray(arrays[k]).reshape(-1)
            if aval.dtype != "bool" and not _calm(part, aval):
                return False
        return True

    def _once(self, v: Any) -> bool:
        """Compute what is the same in every step. Whether it is finite."""
        once = self._program.once
        if not len(once.codes):
            return True
        _, why, _ = self._run(machine.steps(self._entries), once, v, NOTHING, 1)
        return why == 0

    def _block(
        self, scanned: Sequence[Any], done: int, count: int, length: int | None, reverse: bool
    ) -> tuple[Any, int, bool]:
        """Slices of the next steps in rows, for how many steps, and whether the one behind them cannot be computed so."""
        if not self._slices or length is None:
            return np.zeros(0), count, False
        x = np.empty((count, self._program.width))
        for k, aval, columns in self._slices:
            array = scanned[k - len(self._program.ends)]
            rows = (
                array[length - done - count : length - done][::-1] if reverse else array[done : done + count]
            )
            x[:, columns] = np.asarray(rows).reshape(count, aval.size)
            if aval.dtype == "int64" and not _calm(x[:, columns], aval):
                bad = int(np.flatnonzero((np.abs(x[:, columns]) > WHOLE).any(axis=1))[0])
                return x[:bad].reshape(-1), bad, True
        return x.reshape(-1), count, False

    def _steps(self, compute: Any, v: Any, x: Any, count: int) -> tuple[int, int, Any]:
        """Take up to `count` steps: how many were taken, why they ended (see `steps`), and the rows of what is stacked."""
        return self._run(compute, self._program.each, v, x, count)

    def _run(self, compute: Any, part: Part, v: Any, x: Any, count: int) -> tuple[int, int, Any]:
        out = np.empty(count * self._wide)
        room = np.empty(part.swapped)
        if compute is not None:
            code = compute(
                *part.native[:3],
                v,
                *part.native[3:5],
                x,
                *part.native[5:],
                room,
                out,
                self._wide,
                part.test,
                count,
            )
            return code >> 2, code & 3, out
        codes, table, split, begin, middle, slot, width, moves, swaps, kept = part.lists
        numbers, slices, own = v.tolist(), x.tolist(), room.tolist()
        taken, why = count, 0
        for t in range(count):
            row = [0.0] * self._wide
            before = numbers[begin : begin + self._program.carried]
            try:
                code = plain_runs.steps(
                    codes, table, split, numbers, begin, middle, slices[t * width : (t + 1) * width], slot, width,
                    moves, swaps, kept, own, row, self._wide, part.test, 1,
                )  # fmt: skip
            except (ArithmeticError, ValueError):
                numbers[begin : begin + len(before)] = before
                code = 2
            if code != 4:
                taken, why = t, code & 3
                break
            out[t * self._wide : (t + 1) * self._wide] = row
        v[:] = numbers
        return taken, why, out

    def _store(
        self, ys: Sequence[Any], out: Any, done: int, taken: int, length: int | None, reverse: bool
    ) -> None:
        """Put the rows of a block in their places."""
        if not self._ys or length is None:
            return
        rows = out[: taken * self._wide].reshape(taken, self._wide)
        for y, (_, aval, columns) in zip(ys, self._ys, strict=True):
            values = rows[:, columns].reshape(taken, *aval.shape)
            if reverse:
                y[length - done - taken : length - done] = values[::-1]
            else:
                y[done : done + taken] = values

    def _read(self, v: Any, state: list[Any], taken: int) -> None:
        """The carries behind `taken` steps."""
        if not taken:
            return
        begin = self._program.begin
        for k, aval, own in self._carried:
            state[k] = v[begin + own.start : begin + own.stop].reshape(aval.shape).astype(aval.dtype)
        with np.errstate(invalid="ignore"):  # behind a step that was not finished; another one is to come
            for k, aval, places in self._ends:
                state[k] = v[places].reshape(aval.shape).astype(aval.dtype)


def _scalars(arrays: Sequence[Any]) -> list[Any]:
    return [a[()] for a in arrays]


def _columns(avals: Sequence[Aval], which: Iterable[int], start: int) -> Columns:
    """For each aval that is meant where its numbers are in a row of all of these."""
    found = []
    for k in which:
        found.append((k, avals[k], slice(start, start + avals[k].size)))
        start += avals[k].size
    return found


def _calm(numbers: Any, aval: Aval) -> bool:
    if aval.dtype == "int64":
        return not numbers.size or float(np.abs(numbers).max()) <= WHOLE
    return bool(np.isfinite(numbers).all())


def loop_of(body: Graph, carries: int, scanned: int, test: Graph | None) -> TapeLoop | None:
    """The loop of a body, kept with it; None if it is better computed step by step, or Numba is not there."""
    if not machine.expected():
        return None
    kept = vars(body)
    key = (carries, scanned, id(test))
    found = kept.get("_loop")
    if found is None or found[0] != key:
        # The condition is kept as well: its id is another graph's only once it is gone.
        found = kept["_loop"] = (key, _loop(body, carries, scanned, test), test)
    loop: TapeLoop | None = found[1]
    return loop


def _loop(body: Graph, carries: int, scanned: int, test: Graph | None) -> TapeLoop | None:
    if not expandable([*body.in_avals, *body.out_avals]):
        return None
    if sum(a.size for a in (*body.in_avals, *body.out_avals)) > LARGEST:
        return None
    if hopeless(body, test):
        return None
    e = Entries(MOST, primal=True)
    try:
        parts = Parts(e, body, carries, scanned, test)
    except (UnexpandableError, TooManyError):
        return None
    program = program_of(e, parts)
    if program is None or dearer(program.codes, program.table, body, test):
        return None
    return TapeLoop(parts, program)


LOOPS.maker = loop_of
