"""The kernels as loops over vector registers, compiled by Numba. To be imported by `cache.load_module` alone.

A loop without a branch is what LLVM vectorises: sine or cosine are chosen by the lowest bit of the quadrant, the sign is the
next one. Nothing is contracted (no fastmath), so that the bits are those of `plain`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba import njit, types
from numba.extending import intrinsic

from engine.kernels import circular
from engine.kernels.circular import COSINES, LIMIT, SHIFT, SINES

BLOCK = 1024
"""Elements that are looked through for numbers out of reach, then computed: they stay in the first-level cache."""


def _helper(function: Any) -> Any:
    return njit(function, error_model="numpy", nogil=True, forceinline=True)


def _as_bits(context: Any, x: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], ir.IntType(64))

    return types.uint64(types.float64), generate


def _as_double(context: Any, bits: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], ir.DoubleType())

    return types.float64(types.uint64), generate


_bits_of: Any = intrinsic(_as_bits)
_double_of: Any = intrinsic(_as_double)
_turns, _rest, _polynomial = map(_helper, (circular.turns, circular.rest, circular.polynomial))
_sine, _cosine = _helper(circular.sine), _helper(circular.cosine)
_S2, _S3, _S4, _S5, _S6 = SINES
_C2, _C3, _C4, _C5, _C6 = COSINES
_ONE, _TWO, _TO_SIGN = np.uint64(1), np.uint64(2), np.uint64(62)


@_helper
def _piece(x: Any, out: Any, quadrant: Any) -> None:
    for i in range(len(x)):
        turns = _turns(x[i])
        k = _bits_of(turns) + quadrant
        odd = (k & _ONE) != 0
        r, s = _rest(x[i], turns - SHIFT)
        z = r * r
        k2, k3, k4 = _C2 if odd else _S2, _C3 if odd else _S3, _C4 if odd else _S4
        k5, k6 = _C5 if odd else _S5, _C6 if odd else _S6
        p = _polynomial(z, k2, k3, k4, k5, k6)
        y = _cosine(r, s, z, p) if odd else _sine(r, s, z, p)
        out[i] = _double_of(_bits_of(y) ^ ((k & _TWO) << _TO_SIGN))


@_helper
def _run(x: Any, out: Any, start: int, quadrant: Any) -> Any:
    n = len(x)
    room = np.empty(BLOCK)  # where `out` may be x, LLVM would compute one element after another
    for lo in range(start, n, BLOCK):
        piece = x[lo : lo + BLOCK]
        far = False
        for i in range(len(piece)):
            room[i] = piece[i]
            far |= not (abs(piece[i]) <= LIMIT)
        if far:
            return lo
        _piece(room[: len(piece)], out[lo : lo + BLOCK], quadrant)
    return n


_FLOATS = types.Array(types.float64, 1, "C", readonly=True)
_kernel = njit(
    types.int64(_FLOATS, types.float64[::1], types.int64), error_model="numpy", nogil=True, cache=True
)


@_kernel
def sin(x: Any, out: Any, start: int) -> Any:
    """Fill in `out` from `start` on; n, or where a block begins that has a number out of reach: it was not computed."""
    return _run(x, out, start, np.uint64(0))


@_kernel
def cos(x: Any, out: Any, start: int) -> Any:
    """As `sin`."""
    return _run(x, out, start, np.uint64(1))
