"""Entries as the arrays of a tape: what no result needs left out, constants first, then the arguments."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from engine.entries import LEAF as GIVEN
from engine.entries import Entries, Positions
from engine.tape.table import CODES

LOAD = 255
"""Code of an entry that is read at a computed place: its third operand is how far from the first that may be."""


@dataclass(frozen=True)
class Flat:
    """`ops`, `args`, `leaves` as those of `Tape`; `place` says where each entry is now, −1 for those left out.

    First come arguments that do not vary and constants, from `once` on what depends on these alone, from `begin` on the
    other arguments, from `first` on the rest.
    """

    ops: npt.NDArray[np.uint8]
    args: npt.NDArray[np.int64]
    leaves: npt.NDArray[np.float64]
    once: int
    begin: int
    first: int
    place: Positions

    def __len__(self) -> int:
        return len(self.ops)


def flat(e: Entries, results: Sequence[Positions], varying: Sequence[Positions] | None = None) -> Flat | None:
    """The entries on which the results depend. `varying`: the arguments that vary, by default all of them.

    None where a constant among the entries is not finite.
    """
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
    moving = _moving(e, varying)
    place = np.full(e.size, -1, np.int64)
    starts: list[int] = []
    order: list[Positions] = []
    size = 0
    for moves in (False, True):
        for given in (True, False):
            starts.append(size)
            for chunk in e.chunks:
                if (chunk.name == GIVEN) is given:
                    mask = live[chunk.start : chunk.start + chunk.args.shape[1]]
                    own = chunk.start + np.flatnonzero(
                        mask & (moving[chunk.start : chunk.start + len(mask)] == moves)
                    )
                    place[own] = np.arange(size, size + len(own))
                    order.append(own)
                    size += len(own)
    ops = np.zeros(e.size, np.uint8)
    args = np.zeros((e.size, 3), np.int64)
    for chunk in e.chunks:
        if chunk.name == GIVEN:
            continue
        part = slice(chunk.start, chunk.start + chunk.args.shape[1])
        ops[part] = LOAD if chunk.name == "load" else CODES[chunk.name]
        for k, row in enumerate(chunk.args):
            args[part, k] = row if chunk.name == "load" and k == 2 else place[row]
    old = np.concatenate(order) if order else np.zeros(0, np.int64)
    return Flat(ops[old], args[old], values[old], starts[1], starts[2], starts[3], place)


def _moving(e: Entries, varying: Sequence[Positions] | None) -> npt.NDArray[np.bool_]:
    """Which entries depend on an argument that varies. What is read at a computed place always does."""
    moving = np.zeros(e.size, bool)
    if varying is not None:
        for positions in varying:
            moving[positions] = True
    for chunk in e.chunks:
        own = slice(chunk.start, chunk.start + chunk.args.shape[1])
        if chunk.name == GIVEN:
            moving[own] |= varying is None and chunk.kept
        elif chunk.name == "load":
            moving[own] = True
        elif chunk.kept:
            moving[own] = moving[chunk.args].any()
        else:
            moving[own] = moving[chunk.args].any(axis=0)
    return moving
