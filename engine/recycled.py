"""Memory of results that nobody holds any more, given out again.

A large array from the system comes page by page: to touch its memory for the first time takes longer than to compute what is
written there. So arrays of results lie in blocks that are kept here too, and a block that is referred to from nowhere else,
since the arrays in it are gone, is used for the next result of about its size.
"""

from __future__ import annotations

import sys
import threading
from math import prod
from typing import Any

import numpy as np

from engine.aval import Array

LEAST = 1 << 17
"""Bytes of an array from which on its memory is kept; less comes from the allocator's own store."""
MOST = 1 << 27
"""Bytes of all blocks that are kept."""
SPARE = 1.25
"""Times as much memory as is needed, that a block may have."""


class Recycled:
    """Blocks by age of their last use. Safe under threads."""

    def __init__(self, most: int = MOST) -> None:
        self.most = most
        self.nbytes = 0
        self._blocks: list[Array] = []
        self._lock = threading.Lock()
        self._alone = _references([np.empty(0, np.uint8)], 0)

    def empty(self, shape: tuple[int, ...], dtype: Any) -> Array:
        """An array of any content, like `np.empty`."""
        dtype = np.dtype(dtype)
        nbytes = prod(shape) * dtype.itemsize
        if nbytes < LEAST or nbytes > self.most:
            return np.empty(shape, dtype)
        with self._lock:
            block = self._taken(nbytes)
        flat: Any = block[:nbytes].view(dtype)
        result: Array = flat.reshape(shape)
        return result

    def copy(self, x: Any) -> Array:
        """A copy in C order."""
        x = np.asarray(x)
        result = self.empty(x.shape, x.dtype)
        np.copyto(result, x)
        return result

    def _taken(self, nbytes: int) -> Array:
        blocks = self._blocks
        for k in range(len(blocks)):
            if nbytes <= blocks[k].nbytes <= SPARE * nbytes and _references(blocks, k) == self._alone:
                blocks.append(blocks.pop(k))
                return blocks[-1]
        block: Array = np.empty(nbytes, np.uint8)
        blocks.append(block)
        self.nbytes += nbytes
        while self.nbytes > self.most:  # what is let go lives as long as the arrays in it
            self.nbytes -= blocks.pop(0).nbytes
        return block

    def forget(self) -> None:
        """Keep nothing."""
        with self._lock:
            self._blocks.clear()
            self.nbytes = 0


def _references(blocks: list[Array], k: int) -> int:
    return sys.getrefcount(blocks[k])


recycled = Recycled()
"""The one store of the process."""
