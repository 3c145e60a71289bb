"""Entries as the arrays of a tape: what no result needs left out, constants first, then the arguments."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.entries import LEAF as GIVEN
from engine.entries import Entries, Positions
from engine.tape.table import CODES, LEAF

LOAD = 255
"""Code of an entry that is read at a computed place: its third operand is how far from the first that may be."""


@dataclass(frozen=True)
class Flat:
    """`ops`, `args`, `leaves` as those of `Tape`; `first` is where the computed entries begin, `place` where each is now."""

    ops: npt.NDArray[np.uint8]
    args: npt.NDArray[np.int64]
    leaves: npt.NDArray[np.float64]
    first: int
    place: Positions

    def __len__(self) -> int:
        return len(self.ops)


def flat(e: Entries, results: Sequence[Positions]) -> Flat | None:
    """The entries on which the results depend. None where a constant among them is not finite."""
    live = np.zeros(e.size, bool)
    for positions in results:
        live[positions] = True
    for chunk in reversed(e.chunks):
        stop = chunk.start + chunk.args.shape[1]
        if chunk.kept:
            live[chunk.start : stop] = True
        needed = live[chunk.start : stop]
        for row in chunk.args[: 2 if chunk.name == "load" else 3]:
            live[row[needed]] = True
    values = e.values()
    if not np.isfinite(values[live]).all():
        return None
    place = np.full(e.size, -1, np.int64)
    size = 0
    ops: list[Any] = []
    args: list[Any] = []
    leaves: list[Any] = []
    # Constants, arguments, the rest: each in their order.
    for group in (_is_constant, _is_argument, _is_computed):
        if group is _is_computed:
            first = size
        for chunk in e.chunks:
            if not group(chunk):
                continue
            own = np.flatnonzero(live[chunk.start : chunk.start + chunk.args.shape[1]])
            n = len(own)
            place[chunk.start + own] = np.arange(size, size + n)
            rows = np.zeros((n, 3), np.int64)
            for k, row in enumerate(chunk.args):
                rows[:, k] = row[own] if chunk.name == "load" and k == 2 else place[row[own]]
            code = LEAF if chunk.name == GIVEN else LOAD if chunk.name == "load" else CODES[chunk.name]
            ops.append(np.full(n, code, np.uint8))
            args.append(rows)
            leaves.append(values[chunk.start + own])
            size += n
    if not ops:
        return Flat(np.zeros(0, np.uint8), np.zeros((0, 3), np.int64), np.zeros(0), 0, place)
    return Flat(np.concatenate(ops), np.concatenate(args), np.concatenate(leaves), first, place)


def _is_constant(chunk: Any) -> bool:
    return bool(chunk.name == GIVEN and not chunk.kept)


def _is_argument(chunk: Any) -> bool:
    return bool(chunk.name == GIVEN and chunk.kept)


def _is_computed(chunk: Any) -> bool:
    return bool(chunk.name != GIVEN)
