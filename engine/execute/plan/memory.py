"""Where results lie: one arena for a block, its parts given out by lifetime.

A part is taken when a result is made and given back after the last use of it and of all its views; parts that lie side by
side become one again. So the arena is hardly larger than what is alive at once.
"""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from engine.aval import ITEMSIZE, Array, Aval

ALIGNMENT = 64
"""Bytes: a cache line, and what the widest vector instructions like."""


class Arena:
    """First fit over free intervals of bytes."""

    def __init__(self) -> None:
        self.size = 0
        self._free: list[tuple[int, int]] = []

    def take(self, nbytes: int) -> tuple[int, int]:
        """An interval (start, stop) of so many bytes."""
        need = max(ALIGNMENT, -(-nbytes // ALIGNMENT) * ALIGNMENT)
        for k, (start, stop) in enumerate(self._free):
            if stop - start >= need:
                if stop - start == need:
                    del self._free[k]
                else:
                    self._free[k] = (start + need, stop)
                return start, start + need
        start = self.size
        if self._free and self._free[-1][1] == self.size:
            start = self._free.pop()[0]
        self.size = start + need
        return start, self.size

    def give(self, part: tuple[int, int]) -> None:
        """Give an interval back."""
        start, stop = part
        k = 0
        while k < len(self._free) and self._free[k][0] < start:
            k += 1
        if k < len(self._free) and self._free[k][0] == stop:
            stop = self._free.pop(k)[1]
        if k and self._free[k - 1][1] == start:
            k -= 1
            start = self._free.pop(k)[0]
        self._free.insert(k, (start, stop))

    def memory(self) -> Array:
        """The arena itself, aligned."""
        raw: Array = np.empty(self.size + ALIGNMENT, np.uint8)
        shift = -raw.ctypes.data % ALIGNMENT
        return raw[shift : shift + self.size]


def laid(aval: Aval, inner: int | None) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """(shape in memory, order of axes): C order, or with axis `inner` innermost and the others in C order."""
    rank = len(aval.shape)
    if inner is None or inner == rank - 1:
        return aval.shape, tuple(range(rank))
    outer = [a for a in range(rank) if a != inner]
    order = [0] * rank
    for place, a in enumerate([*outer, inner]):
        order[a] = place
    return tuple(aval.shape[a] for a in [*outer, inner]), tuple(order)


def placed(memory: Array, start: int, aval: Aval, inner: int | None) -> Array:
    """The array that lies in the arena from byte `start` on."""
    nbytes = prod(aval.shape) * ITEMSIZE[aval.dtype]
    shape, order = laid(aval, inner)
    flat: Any = memory[start : start + nbytes].view(np.dtype(aval.dtype))
    result: Array = flat.reshape(shape)
    return result if inner is None else result.transpose(order)
