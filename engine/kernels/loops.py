"""NumPy's own inner loops: the compiled functions behind a ufunc, to be called without the interpreter.

A ufunc holds for each combination of dtypes a pointer to a loop over one axis, `void loop(char **args, npy_intp *dimensions,
npy_intp *steps, void *data)`, and its data (`PyUFuncObject` in NumPy's public header `ufuncobject.h`). Calling it gives the
ufunc's bits, with the vector instructions that NumPy chose for this processor. The structure is looked through with care:
what does not agree with what Python says of the same ufunc is not used.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np


class _UFunc(ctypes.Structure):
    """The beginning of `PyUFuncObject`."""

    _fields_ = (
        ("refcount", ctypes.c_ssize_t),
        ("type", ctypes.c_void_p),
        ("nin", ctypes.c_int),
        ("nout", ctypes.c_int),
        ("nargs", ctypes.c_int),
        ("identity", ctypes.c_int),
        ("functions", ctypes.POINTER(ctypes.c_void_p)),
        ("data", ctypes.POINTER(ctypes.c_void_p)),
        ("ntypes", ctypes.c_int),
        ("reserved", ctypes.c_int),
        ("name", ctypes.c_char_p),
        ("types", ctypes.POINTER(ctypes.c_ubyte)),
    )


class Loop(NamedTuple):
    """Addresses of a loop and of its data."""

    function: int
    data: int


FLOATING = frozenset("fd")
"""Type characters of the operands whose loops are called: they neither fail nor ask for the interpreter."""


def covered(ufunc: Any, dtypes: Sequence[Any]) -> bool:
    """Whether it is one of NumPy's functions, of numbers with a fraction or of booleans alone, with one result."""
    characters = [np.dtype(d).char for d in dtypes]
    operands, result = characters[: ufunc.nin], characters[ufunc.nin :]
    of_one_kind = set(operands) <= FLOATING or set(operands) == {"?"}
    return (
        ufunc.nin <= 2
        and len(result) == ufunc.nout == 1
        and of_one_kind
        and set(result) <= {*FLOATING, "?"}
        and getattr(np, ufunc.__name__, None) is ufunc
    )


@lru_cache(1024)
def loop_of(ufunc: Any, dtypes: tuple[Any, ...]) -> Loop | None:
    """The loop of a ufunc for these dtypes of operands and result; None where there is none to be called."""
    if not covered(ufunc, dtypes):
        return None
    characters = "".join(np.dtype(d).char for d in dtypes)
    operands, result = characters[: ufunc.nin], characters[ufunc.nin :]
    wanted = f"{operands}->{result}"
    if wanted not in ufunc.types or not _sound(ufunc):
        return None
    seen = _UFunc.from_address(id(ufunc))
    k = ufunc.types.index(wanted)
    numbers = [np.dtype(d).num for d in dtypes]
    function = seen.functions[k]
    if [seen.types[k * ufunc.nargs + n] for n in range(ufunc.nargs)] != numbers or not function:
        return None
    return Loop(function, (seen.data[k] or 0) if seen.data else 0)


@lru_cache(256)
def _sound(ufunc: Any) -> bool:
    """Whether what lies in memory is what Python says of the ufunc."""
    if ctypes.sizeof(ctypes.c_void_p) != 8 or np.dtype(np.intp).itemsize != 8:
        return False
    if np.ufunc.__basicsize__ < ctypes.sizeof(_UFunc):
        return False
    seen = _UFunc.from_address(id(ufunc))
    told = (ufunc.nin, ufunc.nout, ufunc.nargs, ufunc.ntypes)
    return (seen.nin, seen.nout, seen.nargs, seen.ntypes) == told and seen.type == id(np.ufunc)
