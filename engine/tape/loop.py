"""Loops whose body is a few thousand numbers, computed on the tape: many steps in one call of a compiled loop.

The derivative of a loop is loops, and so are its Taylor series and its map over a batch: all of them come here.

Steps are taken in blocks of about a millisecond, and the meter is asked before each. An entry that is not finite ends a
block: what rows of the tape's table say holds for finite numbers. The body's own graph then computes that step, and at the
next such step twice as many, so that a loop that goes on with infinities costs what it always did.

Whether a loop comes here is decided by its body, its shapes, and whether Numba is there to be used. It does not wait until
Numba is loaded: the first blocks are computed by the plain loop, which gives the same numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from engine.aval import Aval
from engine.compiled import LOOPS, compiled
from engine.entries import WHOLE, Entries, Positions, TooManyError
from engine.graph import Graph
from engine.tape import machine, plain_runs
from engine.tape.flat import flat
from engine.tape.price import dearer
from engine.tape.runs import Runs, runs_of
from engine.tape.walk import UnexpandableError, argument, expandable, write

if TYPE_CHECKING:
    from engine.builder import EagerBuilder

MOST = 20_000
"""Entries of a body."""

BLOCK = 200_000
"""Entries of a block of steps, computed by machine code."""

PLAIN_BLOCK = 10_000
"""The same for plain Python."""

ROOM = 1 << 17
"""Numbers of the slices of a block."""


class TapeLoop:
    """A body made ready. `leaves` has the constants; behind them come the loop's constants, carries and slices."""

    __slots__ = (
        "_after", "_begin", "_body", "_carried", "_codes", "_consts", "_entries", "_first", "_kept", "_leaves", "_lists",
        "_middle", "_slices", "_split", "_table", "_test", "_test_graph", "_ys",
    )  # fmt: skip

    def __init__(self, e: Entries, parts: _Parts, arrays: Any) -> None:
        self._body = parts.body
        self._test_graph = parts.test
        ins, outs = parts.body.in_avals, parts.body.out_avals
        nk, nx = parts.carries, parts.scanned
        self._carried = ins[:nk]
        self._slices = _columns(ins[nk : nk + nx])
        self._consts = ins[nk + nx :]
        self._ys = _columns(outs[nk:])
        place = arrays.place
        self._leaves = arrays.leaves
        self._begin = arrays.first - sum(a.size for a in ins[: nk + nx])
        self._first = self._begin - sum(a.size for a in self._consts)
        self._after = _places(place, parts.after)
        self._kept = _places(place, parts.ys)
        self._test = -1 if parts.on is None else int(place[parts.on])
        # What the condition needs was written first.
        own = place[: parts.behind_test]
        self._middle = max(arrays.first, int(own.max(initial=-1)) + 1) if parts.on is not None else arrays.first
        test = runs_of(arrays, arrays.first, self._middle)
        rest = runs_of(arrays, self._middle, len(arrays))
        self._split = len(test.codes)
        runs = Runs(np.concatenate([test.codes, rest.codes]), np.concatenate([test.table, rest.table]))
        self._codes = runs.codes
        self._table = runs.table.reshape(-1).view(np.uint64)
        self._entries = len(arrays) - self._begin
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
        state = [np.asarray(c) for c in carries]
        ys = [np.empty((length or 0, *a.shape), a.dtype) for a, _ in self._ys]
        v = self._leaves.copy()
        calm = self._fill(v, self._first, consts, self._consts)
        done, careful = 0, 1
        while length is None or done < length:
            b.tick()
            compute = machine.steps(self._entries)
            block = max(1, (BLOCK if compute is not None else PLAIN_BLOCK) // self._entries)
            count = min(block, max(1, ROOM // (1 + len(self._kept) + (self._slices[-1][1].stop if self._slices else 0))))
            if length is not None:
                count = min(count, length - done)
            if calm and self._fill(v, self._begin, state, self._carried):
                x, count, stopped = self._block(scanned, done, count, length, reverse)
                taken, why, out = self._steps(compute, v, x, count)
                self._store(ys, out, done, taken, length, reverse)
                done += taken
                state = self._read(v)
                if why == 1:
                    return self._ended(state, ys, done)
                if why == 0 and not stopped:
                    continue
            for _ in range(careful if length is None else min(careful, length - done)):
                b.tick()
                if self._test_graph is not None:
                    (on,) = compiled(self._test_graph).run(b, [*state, *consts])
                    if not on:
                        return self._ended(state, ys, done)
                t = done if not reverse else (length or 0) - 1 - done
                out = compiled(self._body).run(b, [*[s[()] for s in state], *[x[t] for x in scanned], *consts])
                state = [np.asarray(o) for o in out[: len(state)]]
                for y, value in zip(ys, out[len(state) :], strict=True):
                    y[t] = value
                done += 1
            careful *= 2
        return self._ended(state, ys, done)

    @staticmethod
    def _ended(state: list[Any], ys: list[Any], done: int) -> tuple[list[Any], list[Any], int]:
        return [s[()] for s in state], ys, done

    def _fill(self, v: Any, at: int, arrays: Sequence[Any], avals: Sequence[Aval]) -> bool:
        """Put arrays one behind the other into v. Whether all are finite, and integers exact."""
        for array, aval in zip(arrays, avals, strict=True):
            n = aval.size
            v[at : at + n] = np.asarray(array).reshape(-1)
            if aval.dtype != "bool" and not _calm(v[at : at + n], aval):
                return False
            at += n
        return True

    def _block(
        self, scanned: Sequence[Any], done: int, count: int, length: int | None, reverse: bool
    ) -> tuple[Any, int, bool]:
        """Slices of the next steps in rows, for how many steps, and whether the one behind them cannot be computed so."""
        if not self._slices or length is None:
            return np.zeros(0), count, False
        x = np.empty((count, self._slices[-1][1].stop))
        for array, (aval, columns) in zip(scanned, self._slices, strict=True):
            rows = array[length - done - count : length - done][::-1] if reverse else array[done : done + count]
            x[:, columns] = np.asarray(rows).reshape(count, aval.size)
            if aval.dtype == "int64" and not _calm(x[:, columns], aval):
                bad = np.flatnonzero((np.abs(x[:, columns]) > WHOLE).any(axis=1))[0]
                return x[:bad].reshape(-1), int(bad), True
        return x.reshape(-1), count, False

    def _steps(self, compute: Any, v: Any, x: Any, count: int) -> tuple[int, int, Any]:
        """Take up to `count` steps: how many were taken, why they ended, and the rows of what is stacked."""
        out = np.empty(count * len(self._kept))
        width = self._slices[-1][1].stop if self._slices else 0
        if compute is not None:
            code = compute(
                self._codes, self._table, self._split, v, self._begin, self._middle,
                x, width, self._after, self._kept, out, self._test, count,
            )  # fmt: skip
            return code >> 2, code & 3, out
        if self._lists is None:
            self._lists = (
                self._codes.tolist(), self._table.view(np.int64).tolist(), self._after.tolist(), self._kept.tolist(),
            )  # fmt: skip
        codes, table, after, kept = self._lists
        numbers, slices = v.tolist(), x.tolist()
        width_out = len(kept)
        for t in range(count):
            row = [0.0] * width_out
            begin = numbers[self._begin : self._begin + len(after)]
            try:
                code = plain_runs.steps(
                    codes, table, self._split, numbers, self._begin, self._middle,
                    slices[t * width : (t + 1) * width], width, after, kept, row, self._test, 1,
                )  # fmt: skip
            except (ArithmeticError, ValueError):
                numbers[self._begin : self._begin + len(after)] = begin
                code = 2
            if code != 4:
                v[:] = numbers
                return t, code & 3, out
            out[t * width_out : (t + 1) * width_out] = row
        v[:] = numbers
        return count, 0, out

    def _store(self, ys: Sequence[Any], out: Any, done: int, taken: int, length: int | None, reverse: bool) -> None:
        """Put the rows of a block in their places."""
        if not self._ys or length is None:
            return
        rows = out[: taken * len(self._kept)].reshape(taken, -1)
        for y, (aval, columns) in zip(ys, self._ys, strict=True):
            values = rows[:, columns].reshape(taken, *aval.shape)
            if reverse:
                y[length - done - taken : length - done] = values[::-1]
            else:
                y[done : done + taken] = values

    def _read(self, v: Any) -> list[Any]:
        at, found = self._begin, []
        for aval in self._carried:
            found.append(v[at : at + aval.size].reshape(aval.shape).astype(aval.dtype))
            at += aval.size
        return found


class _Parts:
    """What a loop is made of, as entries."""

    def __init__(self, body: Graph, carries: int, scanned: int, test: Graph | None) -> None:
        self.body, self.carries, self.scanned, self.test = body, carries, scanned, test
        self.on: int | None = None
        self.behind_test = 0
        self.after: list[Positions] = []
        self.ys: list[Positions] = []

    def write(self, e: Entries) -> None:
        """Write the condition, then the body. In the order in which they lie: constants, carries, slices."""
        ins = self.body.in_avals
        nk, nx = self.carries, self.scanned
        consts = [argument(e, a) for a in ins[nk + nx :]]
        carries = [argument(e, a) for a in ins[:nk]]
        slices = [argument(e, a) for a in ins[nk : nk + nx]]
        if self.test is not None:
            (on,) = write(e, self.test, [*carries, *consts])
            self.on = int(on)
            self.behind_test = e.size
        out = write(e, self.body, [*carries, *slices, *consts])
        self.after = [
            e.limited(p, ~e.bounded(p)) if a.dtype == "int64" else p for p, a in zip(out[:nk], ins, strict=False)
        ]
        self.ys = out[nk:]


def _columns(avals: Sequence[Aval]) -> list[tuple[Aval, slice]]:
    """For each aval where its numbers are in a row of all."""
    found, at = [], 0
    for aval in avals:
        found.append((aval, slice(at, at + aval.size)))
        at += aval.size
    return found


def _places(place: Positions, parts: Sequence[Positions]) -> Any:
    flat_parts = [place[p.reshape(-1)] for p in parts]
    return np.concatenate(flat_parts).astype(np.uint32) if flat_parts else np.zeros(0, np.uint32)


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
    if sum(prod(a.shape) for a in (*body.in_avals, *body.out_avals)) > 1 << 20:
        return None
    e = Entries(MOST, primal=True)
    parts = _Parts(body, carries, scanned, test)
    try:
        parts.write(e)
    except (UnexpandableError, TooManyError):
        return None
    on = [] if parts.on is None else [np.array([parts.on])]
    arrays = flat(e, [*parts.after, *parts.ys, *on])
    if arrays is None:
        return None
    loop = TapeLoop(e, parts, arrays)
    return None if dearer(loop._codes, loop._table, body, test) else loop


LOOPS.maker = loop_of
