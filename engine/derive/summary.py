"""Values that are too long to be shown whole."""

from __future__ import annotations

from typing import Any

import numpy as np

FIRST = 6
"""Entries that a summary shows."""

FIGURES = 4
"""Numbers that it has beside them."""


def shown(value: Any, most: int) -> Any:
    """The value, or, for an array of more than `most` elements, a summary: shape, dtype, the first entries, extremes and,
    of floating-point numbers, mean and Euclidean norm. It holds on to no part of the array."""
    array = np.asarray(value)
    if array.ndim == 0 or array.size <= most:
        return value
    summary: dict[str, Any] = {
        "shape": list(array.shape),
        "dtype": str(array.dtype),
        "first": np.array(array.flat[:FIRST]),
        "min": array.min(),
        "max": array.max(),
    }
    if array.dtype.kind == "f":
        summary["mean"] = array.mean()
        summary["norm"] = _norm(array)
    return summary


def _norm(array: Any) -> Any:
    """√Σx², which overflows only where the result does."""
    largest = np.abs(array).max()
    if largest == 0 or not np.isfinite(largest):
        return largest
    return largest * np.sqrt(np.sum(np.square(array / largest)))


def shown_size(size: int, most: int) -> int:
    """How many numbers `shown` leaves of an array of that size."""
    return size if size <= max(most, 1) else min(size, FIRST) + FIGURES
