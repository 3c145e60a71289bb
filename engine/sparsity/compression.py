"""A structure, its colours, and the way back from what sweeps yield to the entries.

Columns of one colour are swept together: the tangents of the result, for a seed that is 1 in all of them, hold in row i
the one nonzero that row i has among them. By rows it is the same with cotangents.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from engine.aval import Array, Shape
from engine.sparsity.colouring import Colouring, Step, column_colouring, star_colouring, widest
from engine.sparsity.pattern import Table

ALWAYS = 20_000
"""Nonzeros up to which a star colouring is tried whenever it might be better."""
MANY = 64
"""Colours of the columns from which it is tried for any number of nonzeros: then it may save more than it costs."""


class Compression:
    """Which seed entries each sweep has, and where each nonzero is read.

    `rows`, `columns`: the nonzeros, row-major; `sweeps`, `places`: the sweep that shows each, and where among what it yields;
    `count`: how many sweeps there are; `colours`: for each seed entry its sweep (−1: none).
    """

    def __init__(self, table: Table, colouring: Colouring, sweeps: Array, places: Array) -> None:
        self.rows = np.repeat(np.arange(table.shape[0], dtype=np.int64), np.diff(table.indptr))
        self.columns = table.indices.astype(np.int64)
        self.colours = colouring.colours
        self.count = colouring.count
        self.sweeps = sweeps
        self.places = places


Direction = Literal["forward", "reverse"]


def _by_columns(table: Table, colouring: Colouring) -> Compression:
    rows = np.repeat(np.arange(table.shape[0]), np.diff(table.indptr))
    return Compression(table, _idle(colouring, table.indices), colouring.colours[table.indices], rows)


def _by_rows(table: Table, colouring: Colouring) -> Compression:
    rows = np.repeat(np.arange(table.shape[0]), np.diff(table.indptr))
    return Compression(table, _idle(colouring, rows), colouring.colours[rows], table.indices)


def _idle(colouring: Colouring, used: Array) -> Colouring:
    """The colouring without the vertices that have no nonzero, which need no seed; and without any sweep if none has."""
    there = np.zeros(len(colouring.colours), bool)
    there[used] = True
    return Colouring(np.where(there, colouring.colours, -1), colouring.count if there.any() else 0)


def compressed(
    table: Table,
    outs: Sequence[Shape],
    ins: Sequence[Shape],
    preferred: Direction,
    only: bool,
    step: Step,
) -> tuple[Direction, Compression]:
    """For a Jacobian: the direction of fewer sweeps, the preferred one if both take as many (or `only` that one)."""
    other: Direction = "reverse" if preferred == "forward" else "forward"
    turned = table.T.tocsr()
    sides = {"forward": (table, ins), "reverse": (turned, outs)}
    least = {name: widest(side) for name, (side, _) in sides.items()}
    # Where one side cannot need more colours than the other must, the other is not coloured at all.
    first = preferred if only or least[preferred] <= least[other] else other
    found = {first: column_colouring(*sides[first], step)}
    if not only:
        second: Direction = other if first == preferred else preferred
        if found[first].count > least[second] or (found[first].count == least[second] and first == other):
            found[second] = column_colouring(*sides[second], step)
    chosen: Direction = min(found, key=lambda name: (found[name].count, name != preferred))
    return chosen, (_by_columns if chosen == "forward" else _by_rows)(table, found[chosen])


def of_symmetric(table: Table, shapes: Sequence[Shape], step: Step) -> Compression:
    """For a Hessian: by columns, or by a star colouring where that has fewer colours."""
    columns = column_colouring(table, shapes, step)
    least = _fewest_stars(table)
    if least >= columns.count or (table.nnz > ALWAYS and columns.count <= max(MANY, 2 * least)):
        return _by_columns(table, columns)
    stars = star_colouring(table, step)
    if stars.count >= columns.count:
        return _by_columns(table, columns)
    rows = np.repeat(np.arange(table.shape[0], dtype=np.int64), np.diff(table.indptr))
    cols = table.indices.astype(np.int64)
    colours = stars.colours
    keys = rows * stars.count + colours[cols]
    _, inverse, counts = np.unique(keys, return_inverse=True, return_counts=True)
    alone = counts[inverse] == 1
    sweeps = np.where(alone, colours[cols], colours[rows])
    return Compression(table, stars, sweeps, np.where(alone, rows, cols))


def _fewest_stars(table: Table) -> int:
    """A lower bound of star colourings: any two classes of sizes p and q have at most p + q − 1 edges between them."""
    size = table.shape[0]
    edges = (table.nnz - int(np.count_nonzero(table.diagonal()))) // 2
    k = 1
    while (k - 1) * size - k * (k - 1) // 2 < edges:
        k += 1
    return k
