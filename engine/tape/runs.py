"""Runs: entries of one op one behind the other whose operands lie at equal distances, as those of an array do.

One run is one case of the switch for many entries. The numbers are the same, in the same order, as entry by entry.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from engine.tape.flat import LOAD, Flat
from engine.tape.table import ROWS

WIDTH = 8
"""Numbers of a row of the table: start, count, then position and distance of each operand."""


class Runs(NamedTuple):
    """`codes` has an op code for each run, `table` its row."""

    codes: npt.NDArray[np.uint8]
    table: npt.NDArray[np.int64]


def runs_of(flat: Flat, first: int, last: int) -> Runs:
    """Entries `first` … `last` − 1, which are computed ones, as runs."""
    n = last - first
    ops, args = flat.ops[first:last], flat.args[first:last].copy()
    if not n:
        return Runs(np.zeros(0, np.uint8), np.zeros((0, WIDTH), np.int64))
    for k in range(3):
        args[~_HAS[ops, k], k] = 0
    gaps = np.diff(args, axis=0)
    same = ops[1:] == ops[:-1]
    # Where a run that has begun before must end: behind it another op comes, or another distance.
    turns = np.flatnonzero((np.diff(gaps, axis=0) != 0).any(axis=1)) + 1
    stops = np.unique(np.concatenate([np.flatnonzero(~same), turns, [n - 1]]))
    ends = np.append(stops, n - 1)[np.searchsorted(stops, np.arange(1, n + 1))].tolist()
    alone = [*(~same).tolist(), True]
    begins: list[int] = []
    counts: list[int] = []
    i = 0
    while i < n:
        end = i if alone[i] else ends[i]
        begins.append(i)
        counts.append(end - i + 1)
        i = end + 1
    at = np.array(begins)
    count = np.array(counts)
    table = np.zeros((len(at), WIDTH), np.int64)
    table[:, 0] = first + at
    table[:, 1] = count
    for k in range(3):
        table[:, 2 + 2 * k] = args[at, k]
        several = count > 1
        table[several, 3 + 2 * k] = gaps[at[several], k]
    return Runs(ops[at], table)


_HAS = np.zeros((256, 3), bool)
for _code, _row in enumerate(ROWS, 1):
    _HAS[_code, : _row.arity] = True
_HAS[LOAD] = True
