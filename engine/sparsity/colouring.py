"""Colourings: which columns (rows) of a matrix one sweep can share, so that every nonzero can be read off directly.

Two columns may have one colour if no row has a nonzero in both: a partial distance-2 colouring of the columns. A
symmetric matrix can do with fewer: in a *star colouring* of its graph neighbours differ and every path of four vertices
has three colours, and of the two places of a nonzero at least one is alone in its row among columns of its colour.

Bands and grids are coloured by remainders, which is optimal for them; the rest greedily. Colours that a vertex may not
have are bits of a Python integer, so that a greedy step costs a few operations for each nonzero.

T. F. Coleman, J. J. Moré, "Estimation of sparse Jacobian matrices and graph coloring problems", SIAM J. Numer. Anal.
20(1), 1983, doi:10.1137/0720013; the same, "Estimation of sparse Hessian matrices and graph coloring problems", Math.
Prog. 28, 1984, doi:10.1007/BF02612334; A. H. Gebremedhin, A. Tarafdar, F. Manne, A. Pothen, "New acyclic and star
coloring algorithms with application to computing Hessians", SIAM J. Sci. Comput. 29(3), 2007, doi:10.1137/050639879.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from math import prod

import numpy as np
import scipy.sparse as sp
from scipy.sparse.csgraph import reverse_cuthill_mckee

from engine.aval import Array, Shape
from engine.sparsity.pattern import Table

TRIES = 64
"""Colourings by remainders that are tried."""
SAMPLE = 512
"""Rows by which most of them are found out."""
PATIENT = 50_000
"""Nonzeros from which twice the least number of colours is good enough: another try costs more than it saves."""
MEETINGS = 2_000_000
"""Pairs of columns that meet in a row, up to which the graph of all of them is made."""
OFTEN = 1024
"""Vertices between two looks whether to go on."""

Step = Callable[[], None]


@dataclass(frozen=True, slots=True)
class Colouring:
    """A colour for each column, and how many there are."""

    colours: Array
    count: int


def widest(table: Table) -> int:
    """Most nonzeros of a row: no colouring of the columns has fewer colours."""
    return int(np.diff(table.indptr).max(initial=0))


def column_colouring(table: Table, shapes: Sequence[Shape], step: Step) -> Colouring:
    """A colouring of the columns, which are the entries of arrays of these shapes, one behind the other.

    Columns without nonzeros have colour 0, like any other that is free: they disturb nobody.
    """
    least = max(1, widest(table))
    columns = table.shape[1]
    if not table.nnz:
        return Colouring(np.zeros(columns, np.int64), int(columns > 0))
    if least == columns:
        return Colouring(np.arange(columns), columns)
    best = _by_remainders(table, shapes, least, step)
    if best is not None and (best.count == least or (table.nnz > PATIENT and best.count <= least + 1)):
        return best
    for order in _orders(table):
        found = _greedy(table, order, step)
        if best is None or found.count < best.count:
            best = found
        if best.count == least or (table.nnz > PATIENT and best.count <= 2 * least):
            break
    assert best is not None
    return best


# -------------------------------------------------------------------------------------------------------- remainders


def _by_remainders(table: Table, shapes: Sequence[Shape], least: int, step: Step) -> Colouring | None:
    """For each array the indices times some factors, modulo p; each array has colours of its own."""
    colours = np.zeros(table.shape[1], np.int64)
    start, first = 0, 0
    for shape in shapes:
        stop = start + prod(shape)
        part = table if len(shapes) == 1 else table[:, start:stop]
        if part.nnz:
            found = _remainders_of(part, shape, max(1, widest(part)), step)
            if found is None:
                return None
            colours[start:stop] = first + found.colours
            first += found.count
        start = stop
    return Colouring(colours, first)


def _remainders_of(part: Table, shape: Shape, least: int, step: Step) -> Colouring | None:
    """The fewest remainders that tell the columns of every row apart; None if few tries show none."""
    lengths = np.diff(part.indptr)
    rows = np.repeat(np.arange(part.shape[0]), lengths)
    columns = part.indices
    tested = np.flatnonzero(rows < SAMPLE)
    index = np.indices(shape).reshape(len(shape), -1) if shape else np.zeros((1, 1), np.int64)
    for p, factors in _candidates(len(shape), least):
        step()
        colours = np.tensordot(np.array(factors), index, 1) % p
        mine = colours[columns]
        if _apart(rows[tested], mine[tested], p) and _apart(rows, mine, p):
            return Colouring(colours, p)
    return None


def _candidates(rank: int, least: int) -> Iterator[tuple[int, tuple[int, ...]]]:
    """Moduli from the least upward, and factors of the indices: the last one counts by 1."""
    tries = 0
    for p in range(least, least + 8):
        for factors in product(range(p), repeat=max(rank - 1, 0)):
            yield p, (*factors, 1)
            tries += 1
            if tries >= TRIES:
                return


def _apart(rows: Array, colours: Array, p: int) -> bool:
    """Whether no row has a colour twice."""
    if not len(rows):
        return True
    return bool(np.bincount(rows * p + colours).max() <= 1)


# ------------------------------------------------------------------------------------------------------------- greedy


def _orders(table: Table) -> Iterator[Array]:
    """Columns as they stand; by levels of a breadth-first search, which finds a hidden band; those that meet most first."""
    columns = table.shape[1]
    yield np.arange(columns)
    lengths = np.diff(table.indptr).astype(np.int64)
    if int((lengths * lengths).sum()) <= MEETINGS:
        counted = table.astype(np.int8)
        yield reverse_cuthill_mckee(sp.csr_matrix(counted.T @ counted), symmetric_mode=True)
    meets = np.bincount(table.indices, np.repeat(lengths, lengths), columns)
    yield np.argsort(-meets, kind="stable")


def _greedy(table: Table, order: Array, step: Step) -> Colouring:
    """Each column in turn gets the first colour that none of its rows has yet."""
    by_column = table.T.tocsr()
    starts, rows = by_column.indptr.tolist(), by_column.indices.tolist()
    taken = [0] * table.shape[0]
    colours = [0] * table.shape[1]
    most = 0
    for n, j in enumerate(order.tolist()):
        if not n % OFTEN:
            step()
        mine = rows[starts[j] : starts[j + 1]]
        forbidden = 0
        for i in mine:
            forbidden |= taken[i]
        bit = ~forbidden & (forbidden + 1)
        for i in mine:
            taken[i] |= bit
        colours[j] = c = bit.bit_length() - 1
        most = max(most, c)
    return Colouring(np.array(colours, np.int64), most + 1)


# --------------------------------------------------------------------------------------------------------------- stars


def star_colouring(table: Table, step: Step) -> Colouring:
    """A star colouring of the graph of a symmetric matrix, greedily, vertices of most neighbours first.

    For each vertex w, `near[w]` are the colours of its neighbours, `twice[w]` those that several of them have, and
    `hubs[w]` the colours of neighbours x that have several neighbours of w's colour: one more vertex of x's colour at w
    would end a path of four vertices in two colours.
    """
    size = table.shape[0]
    starts, targets = table.indptr.tolist(), table.indices.tolist()
    near, twice, hubs = [0] * size, [0] * size, [0] * size
    colours = [-1] * size
    only: dict[tuple[int, int], int] = {}
    """The neighbour of w with a colour, while it is the only one."""
    most = 0
    order = np.argsort(-np.diff(table.indptr), kind="stable").tolist()
    for n, v in enumerate(order):
        if not n % OFTEN:
            step()
        around = [w for w in targets[starts[v] : starts[v + 1]] if w != v]
        forbidden = 0
        repeated = twice[v]
        for w in around:
            c = colours[w]
            if c >= 0:
                forbidden |= (1 << c) | hubs[w]
                if repeated >> c & 1:
                    forbidden |= near[w]
        bit = ~forbidden & (forbidden + 1)
        colour = colours[v] = bit.bit_length() - 1
        most = max(most, colour)
        for w in around:
            c = colours[w]
            if not near[w] & bit:
                near[w] |= bit
                only[w, colour] = v
            elif c < 0:
                twice[w] |= bit
            else:
                if not twice[w] & bit:
                    twice[w] |= bit
                    hubs[only[w, colour]] |= 1 << c
                hubs[v] |= 1 << c
            if c >= 0 and repeated >> c & 1:
                hubs[w] |= bit
    return Colouring(np.array(colours, np.int64), most + 1)
