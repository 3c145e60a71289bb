"""Results written out: zeros, or an array that was computed, and terms and outer products laid into it."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite, prod
from typing import Any, NamedTuple

import numpy as np

from engine.aval import Array, Shape
from engine.execute.pool import pool
from engine.structured.place import Range, Way, lay

SHARED = 1 << 18
"""Entries of an outer product from which on threads share it."""
PIECES = 4
"""Into so many pieces."""
CACHED = 1 << 15
"""Entries that are worked on at a time."""


class Laid(NamedTuple):
    """How a result is made of arrays: one that the others are added to if it is `based`, else it is zero; then those of the
    terms; then two for each outer product.

    `shape` is that of the result, with the axis of seeds last or first; `ways` say where the entries of the terms go, which
    have `ranks`; `rows` are the entries (flat) that an outer product reaches, None for all.
    """

    shape: Shape
    last: bool
    dtype: str
    based: bool
    ways: tuple[Way | None, ...]
    ranks: tuple[int, ...]
    rows: tuple[Range | None, ...]
    apart: bool
    """Whether no two entries of terms go to one place."""

    @property
    def parts(self) -> int:
        """How many arrays it is made of."""
        return self.based + len(self.ways) + 2 * len(self.rows)

    @property
    def nbytes(self) -> int:
        """Memory of the positions."""
        found = [p for way in self.ways if way is not None for p in (way.read, way.write)]
        return sum(p.nbytes for p in (*found, *self.rows) if isinstance(p, np.ndarray))

    def write(self, arrays: Sequence[Array], sizes: Sequence[int], others: Sequence[Array]) -> Array | None:
        """The result, led by batch axes of these `sizes`. The array that the others are added to is written to, if it
        shares no memory with `others`. None where the result may not be finite, though all arrays are.
        """
        terms = arrays[self.based : self.based + len(self.ways)]
        outers = arrays[self.based + len(self.ways) :]
        shape = (*sizes, *self.shape)
        seeds = self.shape[-1 if self.last else 0]
        matrix = (
            (*sizes, prod(self.shape[:-1]), seeds) if self.last else (*sizes, seeds, prod(self.shape[1:]))
        )
        fresh = not self.based
        if not _moderate(terms, outers):
            return None
        out: Array
        if self.based:
            out = arrays[0]
            free = out.flags.c_contiguous and out.flags.writeable
            if not free or any(np.may_share_memory(out, a) for a in others):
                out = out.copy()
        elif self.rows and self.rows[0] is None:
            out = np.empty(shape, self.dtype)
        else:
            out = np.zeros(shape, self.dtype)
        whole = out.reshape(matrix)
        entries = matrix[-2] if self.last else matrix[-1]
        pairs = [(u.reshape((*sizes, entries)), v) for u, v in zip(outers[::2], outers[1::2], strict=True)]
        full = [pair for pair, rows in zip(pairs, self.rows, strict=True) if rows is None]
        if full:
            _add_outers(whole, full if self.last else [(v, u) for u, v in full], fresh)
            fresh = False
        for (u, v), rows in zip(pairs, self.rows, strict=True):
            if rows is not None:
                _add_rows(whole, u[..., rows], v, rows, self.last, fresh)
                fresh = False
        lay(self.ways, fresh and self.apart, terms, self.ranks, out.reshape((*sizes, prod(self.shape))))
        return out


def _moderate(terms: Sequence[Array], outers: Sequence[Array]) -> bool:
    """Whether no sum or product of entries overflows, seen from the largest of them."""
    if not outers:
        return True
    bound = sum(float(np.abs(t).max(initial=0.0)) for t in terms)
    for u, v in zip(outers[::2], outers[1::2], strict=True):
        bound += float(np.abs(u).max(initial=0.0)) * float(np.abs(v).max(initial=0.0))
    return isfinite(bound) and bound < float(np.finfo(outers[0].dtype).max)


def _add_rows(whole: Array, u: Array, v: Array, rows: Range, last: bool, fresh: bool) -> None:
    """u[e]·v[s] for the entries `rows`, added to (or, if `fresh`, laid into) [e, s] of `whole`, or [s, e]."""
    at: Any = (..., rows, slice(None)) if last else (..., slice(None), rows)
    part = u[..., :, None] * v[..., None, :] if last else v[..., :, None] * u[..., None, :]
    if fresh:
        whole[at] = part
    else:
        whole[at] += part


def _add_outers(whole: Array, pairs: Sequence[tuple[Array, Array]], fresh: bool) -> None:
    """Σ p[i]·q[j] added to (or, if `fresh`, laid into) [i, j] of `whole`: all of them while a few rows are in the cache."""
    length = whole.shape[-2]
    pieces = PIECES if whole.size >= SHARED else 1
    few = max(1, CACHED * length // max(1, whole.size))

    def work(k: int) -> None:
        last = (k + 1) * length // pieces
        for start in range(k * length // pieces, last, few):
            at = slice(start, min(last, start + few))
            out = whole[..., at, :]
            beside: Array | None = None
            for n, (p, q) in enumerate(pairs):
                if fresh and n == 0:
                    np.multiply(p[..., at, None], q[..., None, :], out)
                else:
                    beside = np.multiply(p[..., at, None], q[..., None, :], beside)
                    out += beside

    pool.share(work, pieces)
