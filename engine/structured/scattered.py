"""Terms as the nonzeros of a sparse matrix."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

import numpy as np

from engine.aval import Array
from engine.structured.place import Way, apart, lay, way_of
from engine.structured.result import Structured


class Scattered:
    """Where each entry of each term stands among the nonzeros of a matrix."""

    def __init__(self, ways: Sequence[Way | None], ranks: Sequence[int], count: int) -> None:
        self.ways = ways
        self.ranks = ranks
        self.count = count
        self.assigned, self.filled = apart(ways, count)

    @classmethod
    def of(cls, structured: Structured, sizes: Sequence[int], rows: Array, columns: Array) -> Self | None:
        """For nonzeros in row-major order; `sizes` are those of the results. None if a term has an entry that is no nonzero.

        Seeds belong to columns and entries of the results to rows if the axis of seeds is the last one, else the other way
        round.
        """
        starts = np.cumsum([0, *sizes])
        width = 1 + max(int(a.max(initial=0)) for a in (columns, starts, *(s for _, s in structured.terms)))
        keys = rows * width + columns
        ways, ranks = [], []
        for k, seeds in structured.terms:
            flat = seeds.reshape(-1)
            entries = starts[k] + np.arange(flat.size)
            wanted = entries * width + flat if structured.last else flat * width + entries
            found = np.searchsorted(keys, wanted)
            known = found < len(keys)
            known[known] = keys[found[known]] == wanted[known]
            if ((flat >= 0) & ~known).any():
                return None
            ways.append(way_of(np.where(flat >= 0, found, -1)))
            ranks.append(seeds.ndim)
        return cls(ways, ranks, len(keys))

    @property
    def nbytes(self) -> int:
        """Memory of the positions."""
        found = [p for way in self.ways if way is not None for p in (way.read, way.write)]
        return sum(p.nbytes for p in found if isinstance(p, np.ndarray))

    def data(self, arrays: Sequence[Array], dtype: str) -> Array:
        """The nonzeros, from the terms' arrays."""
        data: Array = np.empty(self.count, dtype) if self.filled else np.zeros(self.count, dtype)
        lay(self.ways, self.assigned, arrays, self.ranks, data)
        return data
