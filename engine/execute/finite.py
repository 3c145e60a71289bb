"""Whether arrays are finite, cheaply: the question that is asked of every answer."""

from __future__ import annotations

from collections.abc import Iterable
from math import isfinite
from typing import Any

import numpy as np

PIECE = 1 << 16
"""Entries that are looked at together: as many as stay in the cache."""


def all_finite(arrays: Iterable[Any]) -> bool:
    """Whether every entry of every floating array is finite; others are."""
    with np.errstate(all="ignore"):
        return all(map(finite, arrays))


def finite(array: Any) -> bool:
    """Whether every entry is finite. A sum is finite only if all its terms are, and takes no memory (it may overflow where
    they are finite, which costs a second look)."""
    if array.dtype.kind != "f":
        return True
    if array.ndim == 0:
        return isfinite(array)
    if array.size <= PIECE or not array.flags.c_contiguous:
        return isfinite(np.add.reduce(array, axis=None)) or bool(np.isfinite(array).all())
    flat = array.reshape(-1)
    return all(finite(flat[k : k + PIECE]) for k in range(0, flat.size, PIECE))
