"""Whether arrays are finite, cheaply: the question that is asked of every answer."""

from __future__ import annotations

from collections.abc import Iterable
from math import isfinite
from typing import Any

import numpy as np

from engine.execute.pool import pool

PIECE = 1 << 16
"""Entries that are looked at together: as many as stay in the cache."""

SHARED = 1 << 20
"""Entries from which on threads share the work."""


def all_finite(arrays: Iterable[Any]) -> bool:
    """Whether every entry of every floating array is finite; others are."""
    with np.errstate(all="ignore"):
        return all(map(finite, arrays))


def finite(array: Any) -> bool:
    """Whether every entry is finite.

    A sum is finite only if all its terms are, and takes no memory; the sum of squares is BLAS's, four times as fast as one
    of the entries. (It may overflow where they are finite, which costs a second look.)
    """
    if array.dtype.kind != "f":
        return True
    if array.ndim == 0:
        return isfinite(array)
    if not array.flags.c_contiguous:
        return isfinite(np.add.reduce(array, axis=None)) or bool(np.isfinite(array).all())
    flat = array.reshape(-1)
    if flat.size <= PIECE:
        return isfinite(np.dot(flat, flat)) or bool(np.isfinite(flat).all())
    if flat.size < SHARED:
        return all(finite(flat[k : k + PIECE]) for k in range(0, flat.size, PIECE))
    fine = [True]

    def look(k: int) -> None:
        lo = k * SHARED // 4
        with np.errstate(all="ignore"):
            if fine[0] and not all(
                finite(flat[m : m + PIECE]) for m in range(lo, min(lo + SHARED // 4, flat.size), PIECE)
            ):
                fine[0] = False

    pool.share(look, -(-flat.size // (SHARED // 4)))
    return fine[0]
