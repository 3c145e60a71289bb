"""A linear graph for all unit seeds: what is to be computed, and how the results become matrices."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any, NamedTuple

import numpy as np

from engine.aval import Array, Aval, DType, Shape
from engine.graph import Graph
from engine.structured.place import Way, lay, way_of
from engine.structured.rules import alike, entrywise, moved, scaled, summed
from engine.structured.value import Dense
from engine.structured.walk import Walk
from engine.structured.whole import along_axes, multiplied, over_entries

RULES = (entrywise, moved, alike, summed, scaled, over_entries, along_axes, multiplied)
"""In the order in which they are asked."""


class Laid(NamedTuple):
    """A result of terms: how their entries lie in the array of all seeds, which is zero elsewhere."""

    ways: tuple[Way | None, ...]
    rank: int
    shape: Shape
    dtype: str


class Structured:
    """`graph`: the fixed arguments → arrays from which `matrices` makes the results for all unit seeds.

    The axis of seeds is the last one if `last`, else the first (behind those of a batch). `written` says whether any of
    the structure was left to the end or used on the way.
    """

    def __init__(self, linear: Graph, fixed: int, last: bool, dtype: DType, **limits: Any) -> None:
        walk = Walk(linear, fixed, last, dtype, **limits)
        walk.write(RULES)
        self.last = last
        self.parts: list[Laid | None] = []
        outs: list[int] = []
        for o in linear.outputs:
            value = walk.value[o]
            aval = walk.aval(o)
            if value is None and not walk.zero(o):
                # Linear graphs yield zeros here; others are repeated, as under vmap.
                value = Dense(walk.led(walk.place[o]), False)
            if value is not None and not isinstance(value, Dense) and value.outers:
                value = walk.dense(value, aval, last)
            if isinstance(value, Dense):
                outs.append(walk.turned(value, last).ref)
                self.parts.append(None)
                continue
            terms = () if value is None else value.terms
            ways = tuple(way_of(walk.targets(t, last)) for t in terms)
            self.parts.append(Laid(ways, aval.rank, walk.full(aval, last), aval.dtype))
            outs += [t.ref for t in terms]
        self.graph = walk.b.build(outs)

    @property
    def nbytes(self) -> int:
        """Memory of the positions."""
        total = 0
        for part in self.parts:
            for way in part.ways if part is not None else ():
                if way is not None:
                    total += sum(p.nbytes for p in (way.read, way.write) if isinstance(p, np.ndarray))
        return total

    def matrices(self, found: Sequence[Any], sizes: Sequence[int]) -> list[Array]:
        """The results, led by batch axes of these sizes, from what the graph (mapped over the batch) yields."""
        results = []
        rest = iter(found)
        for part in self.parts:
            if part is None:
                results.append(np.asarray(next(rest)))
                continue
            out: Array = np.zeros((*sizes, *part.shape), part.dtype)
            flat = out.reshape((*sizes, prod(part.shape)))
            arrays = [np.asarray(next(rest)) for _ in part.ways]
            lay(part.ways, True, arrays, [part.rank] * len(arrays), flat)
            results.append(out)
        return results


def laid_avals(parts: Sequence[Laid | None]) -> list[Aval]:
    """Avals of the results that are laid out at the end."""
    return [Aval(p.shape, p.dtype) for p in parts if p is not None]  # type: ignore[arg-type]  # a floating dtype
