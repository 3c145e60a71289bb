"""How native functions are declared, and the machine instructions that NumPy has no name for.

Only modules that are loaded on purpose (`engine.spec.plain.load`) import this one: it imports Numba.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from llvmlite import ir  # type: ignore[import-untyped]
from numba import njit
from numba import types as numba_types
from numba.core import cgutils as numba_cgutils
from numba.extending import intrinsic

F = TypeVar("F", bound=Callable[..., Any])

types: Any = numba_types
cgutils: Any = numba_cgutils

BYTES = types.Array(types.uint8, 1, "C", readonly=True)
"""Bytes of a request, which nothing writes to."""


def entry(*signature: Any) -> Callable[[F], F]:
    """A function that Python calls: result type, then argument types. Compiled when it is defined, or read from disk."""
    result, *arguments = signature

    def declare(function: F) -> F:
        dispatcher: Any = njit(function, cache=True, nogil=True, error_model="numpy")
        dispatcher._cache._cache_file._source_stamp = _sources()
        dispatcher.compile(result(*arguments))
        dispatcher.disable_compile()
        declared: F = dispatcher
        return declared

    return declare


@cache
def _sources() -> str:
    """What compiled code on disk is valid for: the text of all these modules.

    Numba asks only whether the file of the function itself has changed, not those of the helpers that are part of it.
    """
    texts = [path.read_bytes() for path in sorted(Path(__file__).parent.glob("*.py"))]
    return hashlib.sha256(b"\0".join(texts)).hexdigest()


def helper(function: F) -> F:
    """A function that native functions call; it becomes part of them."""
    compiled: F = njit(function, nogil=True, error_model="numpy", forceinline=True)
    return compiled


def _high_product(context: Any, x: Any, y: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        wide = ir.IntType(128)
        product = builder.mul(builder.zext(arguments[0], wide), builder.zext(arguments[1], wide))
        return builder.trunc(builder.lshr(product, ir.Constant(wide, 64)), ir.IntType(64))

    return types.uint64(types.uint64, types.uint64), generate


def _leading_zeros(context: Any, x: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.ctlz(arguments[0], ir.Constant(ir.IntType(1), 0))

    return types.uint64(types.uint64), generate


def _bits_of(context: Any, x: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], ir.IntType(64))

    return types.uint64(types.float64), generate


def _double_of(context: Any, bits: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], ir.DoubleType())

    return types.float64(types.uint64), generate


def _bare(context: Any, array: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        view = context.make_array(array)(context, builder, arguments[0])
        view.meminfo = cgutils.get_null_value(view.meminfo.type)
        view.parent = cgutils.get_null_value(view.parent.type)
        return view._getvalue()

    return array(array), generate


bare: Any = intrinsic(_bare)
"""An array that does not keep its memory alive, as the caller does: references to it are not counted, which takes longer than
all else where arrays go from function to function (atomic operations, 60 % of the time)."""
high_product: Any = intrinsic(_high_product)
"""The upper 64 bits of a product of two uint64."""
leading_zeros: Any = intrinsic(_leading_zeros)
"""Zeros in front of the first one of a uint64; 64 if there is none."""
bits_of: Any = intrinsic(_bits_of)
"""A double as its 64 bits."""
double_of: Any = intrinsic(_double_of)
"""64 bits as a double."""
