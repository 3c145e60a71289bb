"""The strip machine: a list of elementwise calls over long arrays in one compiled call. To be imported by `cache.load_module`.

The arrays are gone through in strips that stay in the innermost cache; for each strip every instruction is one loop: NumPy's
own (`loops`), called by its address, or one of the loops below. `engine.execute.plan.strips` makes the instructions, says
what each does, and runs the same ones with NumPy where this module is not loaded.

A *slot* is what an instruction reads or writes: a buffer for one strip, or one of the arrays that are given. An array whose
elements lie one after another is read and written in its place; of any other one (rows of `row` elements, `outer` bytes apart,
elements `inner` bytes apart) the elements are copied into the slot's buffer before, or out of it after.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba import carray, njit, types  # type: ignore[attr-defined]  # it does not say what it exports
from numba.extending import intrinsic

from engine.kernels import native
from engine.kernels.circular import LIMIT, SHIFT

STRIP = 512
"""Elements of a strip: a dozen buffers of so many doubles stay in the first-level cache."""

LOOP1, LOOP2, GATHER, SCATTER, SELECT, CAST, SIN, COS, SINCOS, SIGN, ANY, FINITE, NOTHING = range(13)
"""Kinds of instructions: see `engine.execute.plan.strips`."""

MET, NOT_FINITE = 1, 2
"""Bits of what a run tells: a mask was somewhere true; a value was somewhere not finite."""

_helper = native._helper
_function = njit(error_model="numpy", nogil=True)
"""Of what is long and called from several places, though not for each row: once, so that the machine code stays small."""
_piece, _bits_of, _double_of = native._piece, native._bits_of, native._double_of
_ONE = np.uint64(1)


def _loop_call(context: Any, function: Any, args: Any, dims: Any, steps: Any, data: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        pointer = ir.IntType(8).as_pointer()
        kind = ir.FunctionType(ir.VoidType(), [pointer] * 4)
        called = builder.inttoptr(arguments[0], kind.as_pointer())
        builder.call(called, [builder.inttoptr(a, pointer) for a in arguments[1:]])
        return context.get_dummy_value()

    return types.void(*[types.int64] * 5), generate


def _pointer(context: Any, address: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.inttoptr(arguments[0], ir.IntType(8).as_pointer())

    return types.voidptr(types.int64), generate


_call: Any = intrinsic(_loop_call)
_at: Any = intrinsic(_pointer)


@_helper
def _doubles(address: Any, m: Any) -> Any:
    return carray(_at(address), (m,), np.float64)


@_helper
def _longs(address: Any, m: Any) -> Any:
    return carray(_at(address), (m,), np.int64)


@_helper
def _floats(address: Any, m: Any) -> Any:
    return carray(_at(address), (m,), np.float32)


@_helper
def _ints(address: Any, m: Any) -> Any:
    return carray(_at(address), (m,), np.int32)


@_helper
def _bytes(address: Any, m: Any) -> Any:
    return carray(_at(address), (m,), np.uint8)


@_function
def _both(x: Any, sines: Any, cosines: Any) -> None:
    """Sine and cosine, with the operations of `native`."""
    for i in range(len(x)):
        turns = native._turns(x[i])
        k = _bits_of(turns)
        odd = (k & _ONE) != 0
        r, s = native._rest(x[i], turns - SHIFT)
        z = r * r
        p = native._polynomial(z, native._S2, native._S3, native._S4, native._S5, native._S6)
        q = native._polynomial(z, native._C2, native._C3, native._C4, native._C5, native._C6)
        u, v = native._sine(r, s, z, p), native._cosine(r, s, z, q)
        y, w = v if odd else u, u if odd else v
        sines[i] = _double_of(_bits_of(y) ^ ((k & native._TWO) << native._TO_SIGN))
        cosines[i] = _double_of(_bits_of(w) ^ (((k + _ONE) & native._TWO) << native._TO_SIGN))


@_function
def _far(x: Any) -> Any:
    far = False
    for i in range(len(x)):
        far |= not (abs(x[i]) <= LIMIT)
    return far


@_function
def _beyond(fn: Any, data: Any, x: Any, out: Any, spare: Any, where: Any) -> None:
    """NumPy's function of the numbers that are out of reach, which are replaced in `out`."""
    room = _doubles(spare, 2 * STRIP)
    m = 0
    for i in range(len(x)):
        if not (abs(x[i]) <= LIMIT):
            room[m] = x[i]
            m += 1
    args, steps = _longs(where, 2), _longs(where + 64, 2)
    args[0], args[1], steps[0], steps[1] = spare, spare + 8 * len(x), 8, 8
    _longs(where + 32, 1)[0] = m
    _call(fn, where, where + 32, where + 64, data)
    _longs(where + 32, 1)[0] = len(x)
    m = 0
    for i in range(len(x)):
        if not (abs(x[i]) <= LIMIT):
            out[i] = room[len(x) + m]
            m += 1


@_function
def _near(x: Any, room: Any) -> None:
    for i in range(len(x)):
        room[i] = x[i] if abs(x[i]) <= LIMIT else 0.0


@_helper
def _copy(source: Any, from_step: Any, target: Any, to_step: Any, m: Any, size: Any) -> None:
    """m elements of `size` bytes; one of the two lies one element after another."""
    if size == 8:
        if to_step == 8:
            t = _longs(target, m)
            for i in range(m):
                t[i] = _longs(source + i * from_step, 1)[0]
        else:
            s = _longs(source, m)
            for i in range(m):
                _longs(target + i * to_step, 1)[0] = s[i]
    elif size == 4:
        for i in range(m):
            _ints(target + i * to_step, 1)[0] = _ints(source + i * from_step, 1)[0]
    else:
        for i in range(m):
            _bytes(target + i * to_step, 1)[0] = _bytes(source + i * from_step, 1)[0]


@_helper
def _spread(source: Any, target: Any, m: Any, size: Any) -> None:
    """One number m times."""
    if size == 8:
        t, x = _longs(target, m), _longs(source, 1)[0]
        for i in range(m):
            t[i] = x
    elif size == 4:
        u, y = _ints(target, m), _ints(source, 1)[0]
        for i in range(m):
            u[i] = y
    else:
        v, z = _bytes(target, m), _bytes(source, 1)[0]
        for i in range(m):
            v[i] = z


@_function
def _rows(
    address: Any, lo: Any, row: Any, outer: Any, inner: Any, buffer: Any, m: Any, size: Any, into: Any
) -> None:
    """Elements lo … lo + m − 1 of what lies in rows, into the buffer or out of it."""
    r, c = lo // row, lo % row
    there, here, done = address + r * outer, buffer, 0
    while done < m:
        count = min(row - c, m - done)
        if not into:
            _copy(here, size, there + c * inner, inner, count, size)
        elif inner == 0:
            _spread(there, here, count, size)
        else:
            _copy(there + c * inner, inner, here, size, count, size)
        done += count
        here += count * size
        there += outer
        c = 0


@_helper
def _select(mask: Any, x: Any, y: Any, out: Any, zero: Any) -> None:
    # Without a branch, which would be guessed wrongly half the time.
    for i in range(len(out)):
        change = (x[i] ^ y[i]) & (zero - mask[i])
        out[i] = y[i] ^ change


@_helper
def _cast(x: Any, out: Any) -> None:
    for i in range(len(out)):
        out[i] = x[i]


@_helper
def _sign(x: Any, out: Any) -> None:
    for i in range(len(out)):
        up = 1.0 if x[i] > 0 else 0.0
        y = -1.0 if x[i] < 0 else up
        out[i] = y if x[i] == x[i] else np.nan


@_helper
def _any(x: Any) -> Any:
    found = False
    for i in range(len(x)):
        found |= x[i] != 0
    return found


@_helper
def _not_finite8(x: Any) -> Any:
    found = False
    for i in range(len(x)):
        found |= (x[i] & np.int64(0x7FF0000000000000)) == np.int64(0x7FF0000000000000)
    return found


@_helper
def _not_finite4(x: Any) -> Any:
    found = False
    for i in range(len(x)):
        found |= (x[i] & np.int32(0x7F800000)) == np.int32(0x7F800000)
    return found


_kernel = njit(
    types.int64(types.int64[:, ::1], types.int64[:, ::1], types.int64[::1], types.int64, types.float64[::1]),
    error_model="numpy",
    nogil=True,
    cache=True,
)

KIND, FUNCTION, DATA, A, B, C, D, NUMBER = range(8)
"""Columns of the instructions: the kind; address and data of a loop; slots of operands and result; what the kind knows."""
ARRAY, PLACE, SIZE, STEP, ROW, OUTER, INNER = range(7)
"""Columns of the slots: which array (−1: none); how it lies (below); bytes between two elements for a loop; and see above."""
BUFFER, DIRECT, APART = range(3)
DATA_OFFSET = 16
"""Of the address of its data in a `PyArrayObject` (NumPy's public header `ndarraytypes.h`); `arrays` looks whether it is."""


def room(slots: int) -> int:
    """Doubles of memory that a run over so many slots takes."""
    return (slots + 2) * STRIP + 32


@_kernel
def run(code: Any, slots: Any, arrays: Any, n: int, memory: Any) -> Any:
    """Run the instructions over n elements of the `arrays` (addresses of the objects): what was `MET`, and `NOT_FINITE`.

    `memory` is `room` for it. −1, and nothing done, if an array does not lie at a multiple of its elements' size.
    """
    # Numba frees what it has made after the last use that it sees, and it does not see addresses. So there is one memory.
    where = (memory.ctypes.data + 63) // 64 * 64
    extent, sizes, free = where + 32, where + 64, where + 128
    args, dims, steps = _longs(where, 4), _longs(extent, 1), _longs(sizes, 4)
    count = len(slots)
    base, advance, there = np.empty(count, np.int64), np.zeros(count, np.int64), np.zeros(count, np.int64)
    for k in range(count):
        if slots[k, ARRAY] >= 0:
            there[k] = _longs(arrays[slots[k, ARRAY]] + DATA_OFFSET, 1)[0]
            if there[k] % slots[k, SIZE] != 0:
                return -1
        if slots[k, PLACE] == DIRECT:
            base[k] = there[k]
            advance[k] = slots[k, STEP]
        else:
            base[k] = free
            free += 8 * STRIP
    told = 0
    for lo in range(0, n, STRIP):
        m = min(STRIP, n - lo)
        dims[0] = m
        for k in range(len(code)):
            kind = code[k, KIND]
            a, b, d = code[k, A], code[k, B], code[k, D]
            at_a = base[a] + lo * advance[a]
            at_d = base[d] + lo * advance[d]
            if kind == LOOP2:
                args[0], args[1], args[2] = at_a, base[b] + lo * advance[b], at_d
                steps[0], steps[1], steps[2] = slots[a, STEP], slots[b, STEP], slots[d, STEP]
                _call(code[k, FUNCTION], where, extent, sizes, code[k, DATA])
            elif kind == LOOP1:
                args[0], args[1] = at_a, at_d
                steps[0], steps[1] = slots[a, STEP], slots[d, STEP]
                _call(code[k, FUNCTION], where, extent, sizes, code[k, DATA])
            elif kind == GATHER:
                if slots[d, PLACE] == APART:
                    row, outer, inner = slots[d, ROW], slots[d, OUTER], slots[d, INNER]
                    _rows(there[d], lo, row, outer, inner, at_d, m, code[k, NUMBER], True)
            elif kind == SCATTER:
                if slots[d, PLACE] == APART:
                    row, outer, inner = slots[d, ROW], slots[d, OUTER], slots[d, INNER]
                    _rows(there[d], lo, row, outer, inner, at_a, m, code[k, NUMBER], False)
            elif kind == SELECT:
                c = code[k, C]
                at_b, at_c = base[b] + lo * advance[b], base[c] + lo * advance[c]
                mask = _bytes(at_a, m)
                if code[k, NUMBER] == 8:
                    _select(mask, _longs(at_b, m), _longs(at_c, m), _longs(at_d, m), np.int64(0))
                elif code[k, NUMBER] == 4:
                    _select(mask, _ints(at_b, m), _ints(at_c, m), _ints(at_d, m), np.int32(0))
                else:
                    _select(mask, _bytes(at_b, m), _bytes(at_c, m), _bytes(at_d, m), np.uint8(0))
            elif kind == CAST:
                how = code[k, NUMBER]
                if how == 0:
                    _cast(_bytes(at_a, m), _doubles(at_d, m))
                elif how == 1:
                    _cast(_bytes(at_a, m), _floats(at_d, m))
                elif how == 2:
                    _cast(_doubles(at_a, m), _floats(at_d, m))
                elif how == 3:
                    _cast(_floats(at_a, m), _doubles(at_d, m))
                elif how == 4:
                    _cast(_longs(at_a, m), _doubles(at_d, m))
                else:
                    _cast(_longs(at_a, m), _floats(at_d, m))
            elif kind in (SIN, COS, SINCOS):
                x = _doubles(at_a, m)
                far = _far(x)
                if far:
                    _near(x, _doubles(free, STRIP))
                near = _doubles(free if far else at_a, m)
                if (
                    kind == SINCOS
                ):  # the cosine's slot is b; its loop is the one of the instruction after this
                    at_b = base[b] + lo * advance[b]
                    _both(near, _doubles(at_d, m), _doubles(at_b, m))
                    if far:
                        _beyond(code[k + 1, FUNCTION], code[k + 1, DATA], x, _doubles(at_b, m), free, where)
                else:
                    _piece(near, _doubles(at_d, m), np.uint64(kind - SIN))
                if far:
                    _beyond(code[k, FUNCTION], code[k, DATA], x, _doubles(at_d, m), free, where)
            elif kind == SIGN:
                if code[k, NUMBER] == 8:
                    _sign(_doubles(at_a, m), _doubles(at_d, m))
                else:
                    _sign(_floats(at_a, m), _floats(at_d, m))
            elif kind == ANY:
                if not told & MET and _any(_bytes(at_a, m)):
                    told |= MET
            elif kind == FINITE:
                if told & NOT_FINITE:
                    bad = False
                elif code[k, NUMBER] == 8:
                    bad = _not_finite8(_longs(at_a, m))
                else:
                    bad = _not_finite4(_ints(at_a, m))
                if bad:
                    told |= NOT_FINITE
    return told
