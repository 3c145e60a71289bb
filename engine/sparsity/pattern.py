"""Patterns: which seed entries each entry of an array may depend on, as rows that many entries can share.

A pattern is a table of sets of seed entries (a boolean CSR matrix whose row 0 is empty) and, for each entry of the array,
the number of its row. Moving entries moves numbers; a value that is spread over an array (a sum, a norm) is one row,
however long it is and however large the array. An array that depends on no seed has no pattern: None.

No pattern grows beyond `most` nonzeros: what would is made coarser, one row for all that is not empty. That is always
right, and the last word is said by the count of the whole structure.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any, TypeAlias

import numpy as np
import scipy.sparse as sp

from engine.aval import Array, Shape

Table: TypeAlias = Any
"""A boolean `scipy.sparse.csr_array` in canonical form; row 0 is empty."""

MOST = 20_000_000
"""Nonzeros that a table may have, unless said otherwise."""
HEAVY = 32
"""Length from which a row is worth a look whether it holds what it is united with."""
FEW = 16
"""Most heavy rows that are looked at."""


def table_of(indices: Array, indptr: Array, columns: int) -> Table:
    """A table of sorted rows without repetitions; the empty row 0 is put in front."""
    starts = np.concatenate([np.zeros(1, np.int64), indptr])
    return _marked(
        sp.csr_array((np.ones(len(indices), bool), indices, starts), shape=(len(starts) - 1, columns))
    )


def _marked(table: Table) -> Table:
    """The table, known to be canonical: SciPy would look at every entry otherwise."""
    table.has_sorted_indices = True
    table.has_canonical_format = True
    return table


class Pattern:
    """`ids`: for each entry, in the array's shape, the row of `table` that it has."""

    __slots__ = ("_lengths", "ids", "table")

    def __init__(self, ids: Array, table: Table) -> None:
        self.ids = ids
        self.table = table
        self._lengths: Array | None = None

    @classmethod
    def seeds(cls, shape: Shape, offset: int, columns: int) -> Pattern:
        """Entry i depends on seed entry `offset` + i alone."""
        size = prod(shape)
        table = table_of(np.arange(offset, offset + size, dtype=np.int32), np.arange(size + 1), columns)
        return cls(np.arange(1, size + 1).reshape(shape), table)

    @property
    def shape(self) -> Shape:
        """Shape of the array."""
        return self.ids.shape

    @property
    def columns(self) -> int:
        """How many seed entries there are."""
        return int(self.table.shape[1])

    @property
    def lengths(self) -> Array:
        """How many seed entries each row of the table has."""
        if self._lengths is None:
            self._lengths = np.diff(self.table.indptr)
        return self._lengths

    @property
    def count(self) -> int:
        """Nonzeros of the pattern, written out row by row."""
        return int(self.lengths[self.ids].sum(dtype=np.int64))

    @property
    def nbytes(self) -> int:
        """Memory of the table."""
        return int(self.table.indices.nbytes + self.table.data.nbytes + self.table.indptr.nbytes)

    def rows(self) -> Table:
        """The pattern written out: one row for each entry, in C order (here row 0 is the first entry's)."""
        return self.table[self.ids.reshape(-1)]

    def reshape(self, shape: Shape) -> Pattern:
        """The same entries in another shape."""
        return self if shape == self.ids.shape else self.with_ids(self.ids.reshape(shape))

    def spread(self, shape: Shape) -> Pattern:
        """Stretched to a shape."""
        return self if shape == self.ids.shape else self.with_ids(np.broadcast_to(self.ids, shape))

    def take(self, places: Array) -> Pattern | None:
        """The entries at flat `places`, in the shape of these; nothing where a place is −1."""
        flat = np.concatenate([np.zeros(1, self.ids.dtype), self.ids.reshape(-1)])
        return self.with_ids(flat[places + 1]).or_none()

    def with_ids(self, ids: Array) -> Pattern:
        same = Pattern(ids, self.table)
        same._lengths = self._lengths
        return same

    def or_none(self) -> Pattern | None:
        """None if all entries are without seeds."""
        return self if self.lengths[self.ids].any() else None

    def used(self) -> Array:
        """Numbers of the rows that some entry has, the empty one excepted."""
        flags = np.zeros(self.table.shape[0], bool)
        flags[self.ids] = True
        flags[0] = False
        return np.flatnonzero(flags)

    def everything(self) -> Array:
        """The seed entries that any entry depends on."""
        used = self.used()
        if len(used) == 1:
            start, stop = self.table.indptr[used[0]], self.table.indptr[used[0] + 1]
            indices: Array = self.table.indices[start:stop]
            return indices
        flags = np.zeros(self.columns, bool)
        whole = len(used) * 2 > self.table.shape[0]
        flags[
            (self.table if whole and len(used) == self.table.shape[0] - 1 else self.table[used]).indices
        ] = True
        return np.flatnonzero(flags).astype(np.int32)


def anything(patterns: Sequence[Pattern], shape: Shape) -> Pattern | None:
    """Every entry depends on whatever any of the patterns holds."""
    found = [p.everything() for p in patterns]
    indices = found[0] if len(found) == 1 else np.unique(np.concatenate(found))
    if not len(indices):
        return None
    table = table_of(indices, np.array([0, len(indices)]), patterns[0].columns)
    return Pattern(np.ones(shape, np.int64), table)


def union(patterns: Sequence[Pattern], most: int = MOST) -> Pattern:
    """Entry by entry, what any of the patterns (of one shape) holds."""
    result = patterns[0]
    for other in patterns[1:]:
        result = _two(result, other, most)
    return result


def _two(p: Pattern, q: Pattern, most: int) -> Pattern:
    if p is q or (p.table is q.table and np.array_equal(p.ids, q.ids)):
        return p
    shape = p.shape
    a, b = p.ids.reshape(-1), q.ids.reshape(-1)
    if a.size == 1:
        return _one(p, q)
    a, b = _absorbed(p, q, a, b)
    b, a = _absorbed(q, p, b, a)
    if not b.any():
        return p.with_ids(a.reshape(shape))
    if not a.any():
        return q.with_ids(b.reshape(shape))
    written = int(p.lengths[a].sum(dtype=np.int64) + q.lengths[b].sum(dtype=np.int64))
    if written <= 8 * a.size:
        zero = np.zeros(1, np.int64)
        table = p.table[np.concatenate([zero, a])] + q.table[np.concatenate([zero, b])]
        return Pattern(np.arange(1, a.size + 1).reshape(shape), _marked(table))
    # Rows are shared: each pair of rows that occurs is united once. Pair 0 is (empty, empty).
    width = q.table.shape[0]
    pairs, inverse = np.unique(np.concatenate([np.zeros(1, np.int64), a * width + b]), return_inverse=True)
    first, second = pairs // width, pairs % width
    if int(p.lengths[first].sum(dtype=np.int64) + q.lengths[second].sum(dtype=np.int64)) > most:
        return _coarse([p.with_ids(a), q.with_ids(b)]).reshape(shape)
    table = p.table[first] + q.table[second]
    return Pattern(inverse[1:].reshape(shape), _marked(table))


def _coarse(patterns: Sequence[Pattern]) -> Pattern:
    """One row for all entries that have any."""
    shape = patterns[0].shape
    result = anything(patterns, shape)
    assert result is not None
    there = np.zeros(shape, bool)
    for p in patterns:
        there |= p.lengths[p.ids] > 0
    return result.with_ids(there.astype(np.int64))


def _one(p: Pattern, q: Pattern) -> Pattern:
    """The union of two patterns of a single entry: how programs of scalars come through quickly."""
    x, y = p.everything(), q.everything()
    if len(x) < len(y):
        (p, x), (q, y) = (q, y), (p, x)
    if not len(y):
        return p
    both = np.union1d(x, y)
    if len(both) == len(x):
        return p
    table = table_of(both, np.array([0, len(both)]), p.columns)
    return Pattern(np.ones(p.shape, np.int64), table)


def _absorbed(p: Pattern, q: Pattern, a: Array, b: Array) -> tuple[Array, Array]:
    """Row numbers of both, those of q being 0 where p's row holds all of it: x / sum(x) keeps the one row of the sum."""
    lengths = p.lengths
    full = lengths[a] == p.columns
    if full.any():
        b = np.where(full, 0, b)
    used = np.flatnonzero(lengths > HEAVY)
    if not len(used):
        return a, b
    if len(used) > FEW:
        used = np.unique(a[lengths[a] > HEAVY])
    if len(used) > FEW:
        return a, b
    for row in used:
        mine = (a == row) & (b != 0)
        if lengths[row] == p.columns or not mine.any():
            continue
        flags = np.zeros(p.columns + 1, np.int64)
        flags[1:][p.table.indices[p.table.indptr[row] : p.table.indptr[row + 1]]] = 1
        inside = np.concatenate([np.zeros(1, np.int64), np.cumsum(flags[1:][q.table.indices])])
        held = inside[q.table.indptr[1:]] - inside[q.table.indptr[:-1]] == q.lengths
        b = np.where(mine & held[b], 0, b)
    return a, b


def grouped(p: Pattern, targets: Array, shape: Shape, most: int = MOST) -> Pattern | None:
    """Entry `targets[i]` of an array of `shape` depends on what the entries i hold; a target of −1 is nowhere."""
    size = prod(shape)
    ids, targets = p.ids.reshape(-1), np.reshape(targets, -1)
    there = (ids != 0) & (targets >= 0)
    if not there.all():
        ids, targets = ids[there], targets[there]
    if not len(ids):
        return None
    if size == 1:
        return anything([p.with_ids(ids)], shape)
    matrix = sp.csr_array((np.ones(len(ids), bool), (targets + 1, ids)), shape=(size + 1, p.table.shape[0]))
    return _product(matrix, p, shape, most)


def combined(matrix: Any, p: Pattern, shape: Shape, most: int = MOST) -> Pattern | None:
    """Entry i of an array of `shape` depends on what the entries hold that row i of the boolean CSR `matrix` names."""
    ids = p.ids.reshape(-1)[matrix.indices]
    starts = np.concatenate([np.zeros(1, np.int64), matrix.indptr])
    chosen = sp.csr_array((np.ones(len(ids), bool), ids, starts), shape=(prod(shape) + 1, p.table.shape[0]))
    chosen.sum_duplicates()
    return _product(chosen, p, shape, most)


def _product(chosen: Any, p: Pattern, shape: Shape, most: int) -> Pattern | None:
    """Rows of `chosen` name rows of the table that are to be united; its row 0 is empty."""
    rows, size = chosen.shape[0], prod(shape)
    lengths = p.lengths[chosen.indices]
    full = lengths == p.columns
    owners = np.repeat(np.arange(rows), np.diff(chosen.indptr))
    if full.any():
        # Nothing is to be added to a full row: it stands for all that its group holds.
        whole = np.zeros(rows, np.int64)
        whole[owners[full]] = chosen.indices[full]
        keep = (whole[owners] == 0) | (whole[owners] == chosen.indices)
        owners, lengths = owners[keep], lengths[keep]
        chosen = sp.csr_array(
            (np.ones(len(owners), bool), (owners, chosen.indices[keep])), shape=chosen.shape
        )
    if (np.diff(chosen.indptr) <= 1).all():
        ids = np.zeros(rows, np.int64)
        ids[owners] = chosen.indices
        return p.with_ids(ids[1:].reshape(shape)).or_none()
    if min(int(lengths.sum(dtype=np.int64)), size * p.columns) > 4 * most:
        ids = np.zeros(size, np.int64)
        ids[owners - 1] = 1
        result = anything([p.with_ids(chosen.indices)], shape)
        return None if result is None else result.with_ids(ids.reshape(shape))
    table = chosen @ p.table
    table.sort_indices()
    return Pattern(np.arange(1, size + 1).reshape(shape), _marked(table)).or_none()


def beside(parts: Sequence[Pattern]) -> Pattern | None:
    """Patterns no two of which have an entry in common, as one: no row is united with another."""
    if not parts:
        return None
    result = parts[0]
    for p in parts[1:]:
        if p.table is result.table:
            result = Pattern(np.where(p.ids != 0, p.ids, result.ids), p.table)
        else:
            shift = result.table.shape[0]
            table = _marked(sp.csr_array(sp.vstack([result.table, p.table], format="csr")))
            result = Pattern(np.where(p.ids != 0, p.ids + shift, result.ids), table)
    return result


def concatenated(patterns: Sequence[Pattern | None], shape: Shape, each: int) -> Pattern | None:
    """Patterns of `each` entries one behind the other, in C order."""
    tables: dict[int, int] = {}
    kept: list[Table] = []
    rows = 0
    ids = np.zeros((len(patterns), each), np.int64)
    for k, p in enumerate(patterns):
        if p is None:
            continue
        start = tables.get(id(p.table))
        if start is None:
            start = tables[id(p.table)] = rows
            rows += p.table.shape[0]
            kept.append(p.table)
        ids[k] = p.ids.reshape(-1) + start
    if not kept:
        return None
    table = kept[0] if len(kept) == 1 else _marked(sp.csr_array(sp.vstack(kept, format="csr")))
    return Pattern(ids.reshape(shape), table).or_none()
