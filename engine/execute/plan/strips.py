"""Runs of elementwise calls over arrays of one size, strip by strip: what lies between two calls stays in the cache.

A `Strips` is a list of instructions over slots, each as long as a strip. Two machines run it, with the same bits: a compiled
one (`engine.kernels.strips`), which calls NumPy's inner loops and our kernels by their addresses, in one call without the
interpreter; and NumPy itself, call by call, where that one is not loaded or some loop's address cannot be had.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence, Set
from math import prod
from typing import Any, NamedTuple

import numpy as np

from engine.aval import Array
from engine.execute.plan.record import CASTS, Call
from engine.kernels import arrays as kernels
from engine.kernels.loops import loop_of
from engine.ops.pointwise.arithmetic import choose_into, sign_into
from engine.ops.pointwise.elementwise import converted

PIECE = 1 << 13
"""Most elements of a strip where NumPy is called for each instruction: a call costs as much as a thousand of them."""
LEAST = 1 << 10
CACHE = 1 << 16
"""Elements of all buffers together there: where they are more, strips are made shorter, down to `LEAST`."""

MET, NOT_FINITE = 1, 2
"""Bits of what a run tells: a kink was met; something that was looked at is not finite."""

LOOP1, LOOP2, GATHER, SCATTER, SELECT, CAST, SIN, COS, SINCOS, SIGN, ANY, FINITE, NOTHING = range(13)
KINDS = {"select": SELECT, "cast": CAST, "sin": SIN, "cos": COS, "sign": SIGN, "any": ANY, "finite": FINITE}
BUFFER, DIRECT, APART = range(3)
"""Kinds of instructions, and how a slot lies: as in `engine.kernels.strips`."""

LAYOUTS = 16
"""Ways in which the arrays lie that a run remembers."""

WORK = 16
"""Instructions on an element that cost as much as one sine of it in NumPy."""


class _Room(threading.local):
    """Memory for strips, of each thread its own: taken anew for each run it would come from the system, page by page."""

    def __init__(self) -> None:
        self.memory: Array = np.empty(0)

    def of(self, count: int) -> Array:
        """At least so many doubles."""
        if len(self.memory) < count:
            self.memory = np.empty(count)
        return self.memory


_ROOM = _Room()


class Given(NamedTuple):
    """An array that is given for each run: the shape it is stretched to, and its axes in the order of the elements."""

    shape: tuple[int, ...]
    order: tuple[int, ...]
    dtype: np.dtype[Any]


class _Slot(NamedTuple):
    """Where a value lies: a buffer; the k-th array; a constant (the k-th of those, behind the arrays)."""

    dtype: np.dtype[Any]
    array: int = -1
    dense: bool = False
    """Whether its elements must lie one after another also where all are the same number."""
    copied: bool = False
    """Whether it is filled by a copy in any case."""


class _Step(NamedTuple):
    kind: int
    what: Any
    operands: tuple[int, ...]
    result: int
    """Slots; −1 where there is none."""
    loop: tuple[int, int]
    number: int


class Strips:
    """Calls over `size` elements: `reads` are values that are given, `writes` values that are written into given arrays.

    Of several arrays for one value, and of one whose elements lie apart, copies are made. `looked` are values of which the
    run tells whether they are finite, `masks` those of which it tells whether they are anywhere true.
    """

    def __init__(
        self,
        calls: Sequence[Call],
        dtypes: Sequence[np.dtype[Any]],
        size: int,
        reads: Sequence[tuple[int, Given]],
        writes: Sequence[tuple[int, Given]],
        looked: Sequence[int] = (),
        masks: Sequence[int] = (),
    ) -> None:
        self.size = size
        self._given = [g for _, g in (*reads, *writes)]
        self._inputs = len(reads)
        self._constants: list[Array] = []
        self._slots: list[_Slot] = []
        self._steps: list[_Step] = []
        self._native = True
        self._write(_paired(calls), dtypes, reads, writes, looked, masks)
        self._code: Any = None
        if self._native:
            rows = [
                [
                    s.kind,
                    *s.loop,
                    *(max(0, o) for o in (*s.operands, 0, 0, 0)[:3]),
                    max(0, s.result),
                    s.number,
                ]
                for s in self._steps
            ]
            self._code = np.array(rows, np.int64).reshape(len(rows), 8)
        self._layouts: dict[Any, tuple[Any, list[int]]] = {}
        self.work = size * len(calls) // WORK

    @property
    def nbytes(self) -> int:
        """Memory that it takes, roughly and at most."""
        return 600 * len(self._steps) + 64 * LAYOUTS * len(self._slots)

    # -- made once

    def _write(
        self,
        calls: Sequence[Call],
        dtypes: Sequence[np.dtype[Any]],
        reads: Sequence[tuple[int, Given]],
        writes: Sequence[tuple[int, Given]],
        looked: Sequence[int],
        masks: Sequence[int],
    ) -> None:
        last: dict[int, int] = {}
        for n, call in enumerate(calls):
            for x in call.operands:
                if isinstance(x, int):
                    last[x] = n
        for x in (*looked, *masks, *(v for v, _ in writes)):
            last[x] = len(calls)
        dense = {
            x for c in calls if not isinstance(c.what, np.ufunc) for x in c.operands if isinstance(x, int)
        }
        dense |= {*looked, *masks, *(v for v, _ in writes)}
        slot: dict[int, int] = {}
        for k, (x, given) in enumerate(reads):
            slot[x] = self._slot(_Slot(given.dtype, k, x in dense))
            self._emit(GATHER, None, (), slot[x], number=given.dtype.itemsize)
        first: dict[int, int] = {}
        more: list[tuple[int, int]] = []
        for k, (x, given) in enumerate(writes, len(reads)):
            if x in first or x in slot:
                more.append((x, k))
            else:
                first[x] = self._slot(_Slot(given.dtype, k, dense=True))
        free: dict[Any, list[int]] = {}
        constants: dict[Any, int] = {}
        for n, call in enumerate(calls):
            operands = []
            whole = not isinstance(call.what, np.ufunc)
            for x, d in zip(call.operands, call.dtypes, strict=False):
                if isinstance(x, int):
                    operands.append(slot[x])
                    continue
                key = (x.tobytes(), d.char, whole)
                if key not in constants:
                    constants[key] = self._slot(_Slot(d, len(self._given) + len(self._constants), whole))
                    self._constants.append(np.array(x, d))
                    if whole:
                        self._emit(GATHER, None, (), constants[key], number=d.itemsize)
                operands.append(constants[key])
            dying = {x for x in call.operands if isinstance(x, int) and last[x] == n}
            results = (call.result,) if call.also < 0 else (call.result, call.also)
            if not whole:
                self._release(dying, slot, free)
            for r in results:
                if r in first:
                    slot[r] = first[r]
                else:
                    waiting = free.get(dtypes[r])
                    slot[r] = waiting.pop() if waiting else self._slot(_Slot(dtypes[r]))
            if whole:
                self._release(dying, slot, free)
            self._call(call, operands, [slot[r] for r in results])
            for r in results:
                if r in first:
                    self._emit(SCATTER, None, (slot[r],), slot[r], number=dtypes[r].itemsize)
        for x, k in more:
            target = self._slot(_Slot(dtypes[x], k, dense=True, copied=True))
            self._emit(SCATTER, None, (slot[x],), target, number=dtypes[x].itemsize)
        for x in dict.fromkeys(masks):
            self._emit(ANY, None, (slot[x],), -1)
        for x in dict.fromkeys(looked):
            self._emit(FINITE, None, (slot[x],), -1, number=dtypes[x].itemsize)

    def _slot(self, slot: _Slot) -> int:
        self._slots.append(slot)
        return len(self._slots) - 1

    def _release(self, values: Set[int], slot: Mapping[int, int], free: dict[Any, list[int]]) -> None:
        for x in values:
            there = self._slots[slot[x]]
            if there.array < 0:
                free.setdefault(there.dtype, []).append(slot[x])

    def _emit(
        self, kind: int, what: Any, operands: Sequence[int], result: int, loop: Any = (0, 0), number: int = 0
    ) -> None:
        self._steps.append(_Step(kind, what, tuple(operands), result, loop, number))

    def _call(self, call: Call, operands: Sequence[int], results: Sequence[int]) -> None:
        what, (first, *_), number = call.what, results, call.dtypes[-1].itemsize
        if isinstance(what, np.ufunc):
            loop = loop_of(what, call.dtypes)
            self._native = self._native and loop is not None
            self._emit(LOOP1 if what.nin == 1 else LOOP2, what, operands, first, loop or (0, 0))
            return
        if what == "cast":
            number = CASTS.index((call.dtypes[0].char, call.dtypes[1].char))
        if what not in ("sincos", "sin", "cos"):
            self._emit(KINDS[what], None, operands, first, number=number)
            return
        double = np.dtype(np.float64)
        far = {name: loop_of(fn, (double, double)) for name, fn in (("sin", np.sin), ("cos", np.cos))}
        self._native = self._native and all(far.values())
        if what == "sincos":
            self._emit(SINCOS, None, (*operands, results[1]), first, far["sin"] or (0, 0))
            self._emit(NOTHING, None, (), -1, far["cos"] or (0, 0))
        else:
            self._emit(KINDS[what], None, operands, first, far[what] or (0, 0))

    # -- run

    def run(self, given: Sequence[Any]) -> int:
        """Run over the arrays of `reads` and then `writes`; what was `MET`, and `NOT_FINITE`.

        Arrays that are written to share no memory with any other one.
        """
        arrays = [x if isinstance(x, np.ndarray) else np.asarray(x) for x in given]
        native = kernels.strips(self.work) if self._native else None
        if native is None:
            return self._plain(arrays)
        key = tuple([x.strides for x in arrays])
        found = self._layouts.get(key)
        if found is None:
            found = self._layout(arrays)
            if len(self._layouts) < LAYOUTS:
                self._layouts[key] = found
        slots, odd = found
        for k in odd:
            given_ = self._given[k]
            arrays[k] = (
                np.empty(self._flat(k, arrays[k]).shape, given_.dtype)
                if k >= self._inputs
                else np.ascontiguousarray(self._flat(k, arrays[k]))
            )
        ids = np.array([id(x) for x in (*arrays, *self._constants)], np.int64)
        memory = _ROOM.of(native.room(len(self._slots)))
        told: int = native.run(self._code, slots, ids, self.size, memory)
        if told < 0:
            return self._plain([x if isinstance(x, np.ndarray) else np.asarray(x) for x in given])
        for k in odd:
            if k >= self._inputs:
                np.copyto(self._flat(k, np.asarray(given[k])), arrays[k])
        return told

    def _flat(self, k: int, x: Array) -> Array:
        """Array k with its axes in the order of the elements, those of one entry left out."""
        given = self._given[k]
        if x.shape != given.shape:
            x = np.broadcast_to(x, given.shape)
        x = x.transpose(given.order)
        return x.reshape([n for n in x.shape if n != 1]) if 1 in x.shape else x

    def _layout(self, arrays: Sequence[Array]) -> tuple[Any, list[int]]:
        """The table of slots for arrays that lie so, and which of them have to be copied as a whole."""
        odd = []
        rows = []
        for slot in self._slots:
            size = slot.dtype.itemsize
            row = [slot.array, BUFFER, size, size, 1, 0, 0]
            if slot.array >= len(self._given):
                row[1:] = [APART, size, size, self.size, 0, 0] if slot.dense else [DIRECT, size, 0, 1, 0, 0]
            elif slot.array >= 0:
                x = self._flat(slot.array, arrays[slot.array])
                way = _rows(x.shape, x.strides)
                if way is None:
                    odd.append(slot.array)
                    way = (self.size, 0, size)
                count, outer, inner = way
                if count == self.size and inner == size and not slot.copied:
                    row[1:] = [DIRECT, size, size, 1, 0, 0]
                elif inner == outer == 0 and not slot.dense:
                    row[1:] = [DIRECT, size, 0, 1, 0, 0]
                else:
                    row[1:] = [APART, size, size, count, outer, inner]
            rows.append(row)
        return np.array(rows, np.int64).reshape(len(rows), 7), odd

    def _plain(self, arrays: Sequence[Array]) -> int:
        """The same with NumPy, call by call."""
        size = self.size
        count = sum(slot.array < 0 for slot in self._slots)
        piece = min(size, max(LEAST, min(PIECE, CACHE // max(1, count))))
        there: list[Any] = []
        back = []
        for k, x in enumerate(arrays):
            flat = self._flat(k, x)
            if not any(flat.strides) and flat.size > 1:
                there.append(flat[(0,) * flat.ndim])
                continue
            if not (flat.flags.c_contiguous and flat.flags.aligned):
                flat = np.ascontiguousarray(flat) if k < self._inputs else np.empty(flat.shape, flat.dtype)
                if k >= self._inputs:
                    back.append((k, flat))
            there.append(flat.reshape(-1))
        there += self._constants
        slots: list[Any] = []
        buffers: dict[int, Array] = {}
        for n, slot in enumerate(self._slots):
            lies = there[slot.array] if slot.array >= 0 else None
            if lies is None:
                buffers[n] = np.empty(piece, slot.dtype)
            elif lies.ndim == 0 and slot.dense:
                buffers[n] = np.full(piece, lies)
            slots.append(lies)
        told = 0
        for lo in range(0, size, piece):
            hi = min(size, lo + piece)
            now = [
                buffers[n][: hi - lo] if n in buffers else (x if x.ndim == 0 else x[lo:hi])
                for n, x in enumerate(slots)
            ]
            for step in self._steps:
                told |= _done(step, now)
        for k, flat in back:
            np.copyto(self._flat(k, arrays[k]), flat)
        return told


def _done(step: _Step, now: Sequence[Any]) -> int:
    """One instruction on one strip, by NumPy."""
    kind = step.kind
    if kind == LOOP2:
        a, b = step.operands
        step.what(now[a], now[b], out=now[step.result])
    elif kind == LOOP1:
        step.what(now[step.operands[0]], out=now[step.result])
    elif kind == ANY:
        return MET if np.logical_or.reduce(now[step.operands[0]]) else 0
    elif kind == FINITE:
        x = now[step.operands[0]]
        fine = np.isfinite(np.add.reduce(x)) or np.isfinite(x).all()
        return 0 if fine else NOT_FINITE
    elif kind == SCATTER:
        if step.result != step.operands[0]:
            np.copyto(now[step.result], now[step.operands[0]])
    elif kind == SINCOS:
        x, y, z = now[step.operands[0]], now[step.result], now[step.operands[1]]
        kernels.sin(x, y)
        kernels.cos(x, z)
    elif kind in _PLAIN:
        _PLAIN[kind](*[now[o] for o in step.operands], now[step.result])
    return 0


_PLAIN: Mapping[int, Callable[..., Any]] = {
    SELECT: choose_into,
    CAST: converted,
    SIGN: sign_into,
    SIN: kernels.sin,
    COS: kernels.cos,
}


def _rows(shape: Sequence[int], strides: Sequence[int]) -> tuple[int, int, int] | None:
    """(elements of a row, bytes between rows, bytes between elements) of what lies so; None if that does not say it."""
    axes: list[tuple[int, int]] = []
    for n, s in zip(shape, strides, strict=True):
        if axes and axes[-1][1] == s * n:
            axes[-1] = (axes[-1][0] * n, s)
        else:
            axes.append((n, s))
    if len(axes) > 2:
        return None
    if len(axes) == 2:
        return axes[1][0], axes[0][1], axes[1][1]
    count, inner = axes[0] if axes else (1, 0)
    return max(1, prod([count])), 0, inner


def _paired(calls: Sequence[Call]) -> list[Call]:
    """The calls with sine and cosine of one value as one: most of what they do is the same."""
    sines, cosines = ({c.operands[0]: n for n, c in enumerate(calls) if c.what == w} for w in ("sin", "cos"))
    done: list[Call] = []
    for n, call in enumerate(calls):
        if call.what in ("sin", "cos") and call.operands[0] in sines and call.operands[0] in cosines:
            s, c = sines[call.operands[0]], cosines[call.operands[0]]
            if n == min(s, c):
                done.append(calls[s]._replace(what="sincos", also=calls[c].result))
                continue
            if n == max(s, c):
                continue
        done.append(call)
    return done
