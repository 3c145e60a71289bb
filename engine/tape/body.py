"""The body of a loop as entries, and as arrays for the compiled loop over its steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.entries import Entries, Positions
from engine.graph import Graph
from engine.tape.flat import Flat, flat
from engine.tape.runs import Runs, runs_of
from engine.tape.walk import argument, write

MOVED, STILL, WRITTEN = 0, 1, 2
"""Kinds of carries: the usual one; one that every step leaves as it is; one that no step reads."""


class Parts:
    """Condition and body as entries. Raises `UnexpandableError` and `TooManyError`."""

    def __init__(self, e: Entries, body: Graph, carries: int, scanned: int, test: Graph | None) -> None:
        self.body, self.carries, self.scanned, self.test = body, carries, scanned, test
        ins = body.in_avals
        self.given = [argument(e, a) for a in ins]
        nk = carries
        self.on: Positions | None = None
        self.tested = 0
        if test is not None:
            (self.on,) = write(e, test, [*self.given[:nk], *self.given[nk + scanned :]])
            self.tested = e.size
        out = write(e, body, self.given)
        self.after = [
            e.limited(p, ~e.bounded(p)) if a.dtype == "int64" and p is not g else p
            for p, a, g in zip(out[:nk], ins, self.given, strict=False)
        ]
        self.ys = out[nk:]
        self.kinds = self._kinds(e)

    def _kinds(self, e: Entries) -> list[int]:
        read = np.zeros(e.size, bool)
        for chunk in e.chunks:
            for row in chunk.args[: 2 if chunk.name == "load" else 3]:
                read[row] = True
            if chunk.name == "load":
                # What lies behind the first place may be read as well.
                for g in self.given:
                    if g.size and np.isin(chunk.args[0], g).any():
                        read[g] = True
        for p in [*self.ys, *([] if self.on is None else [self.on])]:
            read[p] = True
        leaf = np.ones(e.size, bool)
        for chunk in e.chunks:
            leaf[chunk.start : chunk.start + chunk.args.shape[1]] = not chunk.name and chunk.kept
        kinds = []
        for k, (p, g) in enumerate(zip(self.after, self.given, strict=False)):
            elsewhere = any((q == g).all() for j, q in enumerate(self.after) if j != k and q.shape == g.shape)
            if np.array_equal(p, g):
                kinds.append(STILL)
            elif not read[g].any() and not leaf[p].any() and not elsewhere and not self._meets(g, k):
                kinds.append(WRITTEN)
            else:
                kinds.append(MOVED)
        return kinds

    def _meets(self, g: Positions, k: int) -> bool:
        """Whether another carry takes something of this one over."""
        return any(np.isin(q, g).any() for j, q in enumerate(self.after) if j != k)


@dataclass(frozen=True)
class Part:
    """Arguments of `steps` that stay the same: codes, table, split, begin, middle, slot, width, moves, swaps, kept."""

    native: tuple[Any, ...]
    test: int
    swapped: int
    codes: npt.NDArray[np.uint8]

    @property
    def lists(self) -> tuple[Any, ...]:
        """The same for the plain loop."""
        return tuple(
            a if isinstance(a, int) else (a.view(np.int64) if a.dtype == np.uint64 else a).tolist()
            for a in self.native
        )


@dataclass(frozen=True)
class Program:
    """All of it: `leaves` begins with the arguments that do not vary, and has from `begin` on the carries, `carried` numbers.

    `ends` are the places of each carry's next value.
    """

    leaves: npt.NDArray[np.float64]
    begin: int
    carried: int
    width: int
    once: Part
    each: Part
    ends: list[Positions]
    codes: npt.NDArray[np.uint8]
    table: npt.NDArray[np.uint64]


def program_of(e: Entries, parts: Parts) -> Program | None:
    """The entries in their places; None where a constant is not finite."""
    nk, nx = parts.carries, parts.scanned
    on = [] if parts.on is None else [parts.on]
    moved = [k for k in range(nk) if parts.kinds[k] == MOVED]
    varying = [parts.given[k] for k in [*moved, *range(nk, nk + nx)]]
    found = flat(e, [*parts.after, *parts.ys, *on], varying)
    if found is None:
        return None
    place = found.place
    own = place[: parts.tested]
    middle = max(found.first, int(own.max(initial=-1)) + 1) if on else found.first
    test, rest = runs_of(found, found.first, middle), runs_of(found, middle, len(found))
    both = Runs(np.concatenate([test.codes, rest.codes]), np.concatenate([test.table, rest.table]))
    carried = sum(parts.given[k].size for k in moved)
    width = sum(parts.given[k].size for k in range(nk, nk + nx))
    frm = _joined([place[parts.after[k]] for k in moved])
    to = _joined([place[parts.given[k]] for k in moved])
    swap = (frm >= found.begin) & (frm < found.begin + carried)
    kept = _joined([place[p] for p in parts.ys])
    table = both.table.reshape(-1).view(np.uint64)
    each = Part(
        (
            both.codes, table, len(test.codes), found.begin, middle, found.begin + carried, width,
            copies(frm[~swap], to[~swap]), copies(frm[swap], to[swap]), copies(kept, np.arange(len(kept))),
        ),
        int(place[parts.on]) if parts.on is not None else -1,
        int(swap.sum()),
        both.codes,
    )  # fmt: skip
    ends = [place[p] for p in parts.after]
    return Program(found.leaves, found.begin, carried, width, _once(found), each, ends, both.codes, table)


def _once(found: Flat) -> Part:
    runs = runs_of(found, found.once, found.begin)
    nothing = np.zeros(0, np.int64)
    table = runs.table.reshape(-1).view(np.uint64)
    native = (runs.codes, table, 0, found.once, found.once, found.once, 0, nothing, nothing, nothing)
    return Part(native, -1, 0, runs.codes)


def copies(frm: Positions, to: Positions) -> npt.NDArray[np.int64]:
    """Rows of from, to, how many: what copies numbers one by one, where possible several together."""
    if not len(frm):
        return np.zeros(0, np.int64)
    starts = np.flatnonzero(np.append(True, (np.diff(frm) != 1) | (np.diff(to) != 1)))
    counts = np.diff(np.append(starts, len(frm)))
    return np.ascontiguousarray(np.stack([frm[starts], to[starts], counts], axis=1).reshape(-1), np.int64)


def _joined(parts: Sequence[Positions]) -> Positions:
    return np.concatenate([p.reshape(-1) for p in parts]) if parts else np.zeros(0, np.int64)
