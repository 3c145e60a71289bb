"""A linear graph for all unit seeds: what is to be computed, and how the results become matrices."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from engine.aval import Array, DType
from engine.graph import Graph, single
from engine.structured.laid import Laid
from engine.structured.place import PLACE, apart, ranged, way_of
from engine.structured.rules import alike, entrywise, moved, scaled, spread, summed
from engine.structured.symmetric import Mirrored, mirrored
from engine.structured.value import Dense, Terms
from engine.structured.walk import Walk
from engine.structured.whole import along_axes, multiplied, over_entries

RULES = (entrywise, moved, alike, summed, spread, scaled, over_entries, along_axes, multiplied)
"""In the order in which they are asked."""


class Structured:
    """`graph`: the fixed arguments → arrays from which `matrices` makes the results for all unit seeds.

    The axis of seeds is the last one if `last`, else the first (behind those of a batch). What is left of the structure at
    the end is written straight into the answer, and of the last products half if the one result is `symmetric` (and there is
    no batch). With `sparse` there are no matrices, and `Unstructured` is raised where
    anything but terms comes about.
    """

    def __init__(
        self,
        linear: Graph,
        fixed: int,
        last: bool,
        dtype: DType,
        *,
        sparse: bool = False,
        symmetric: bool = False,
        **limits: Any,
    ) -> None:
        walk = Walk(linear, fixed, last, dtype, **limits)
        walk.write(RULES, sparse=sparse)
        self.last = last
        outs: list[int] = []
        self.parts: list[Laid | Mirrored | None] = []
        """For each result how it is made; None for one that is computed as it is."""
        self.terms: list[tuple[int, Array]] = []
        """If `sparse`, of each array that the graph yields: of which result it is a term, and the seed of each entry."""
        for k, o in enumerate(linear.outputs):
            if not sparse:
                refs, part = _part(walk, o, symmetric)
                outs += refs
                self.parts.append(part)
                continue
            value = walk.value[o]
            assert value is None or isinstance(value, Terms)
            for term in () if value is None else value.terms:
                outs.append(term.ref)
                self.terms.append((k, term.seeds))
        self.graph = walk.b.build(outs)

    @property
    def nbytes(self) -> int:
        """Memory of the positions."""
        return sum(part.nbytes for part in self.parts if part is not None)

    def matrices(
        self, found: Sequence[Any], sizes: Sequence[int], arguments: Sequence[Array]
    ) -> list[Array] | None:
        """The results, led by batch axes of these sizes, from what the graph (mapped over the batch) yields for the
        arguments, all of it finite. Arrays of `found` may be written to. None where a result may not be finite all the same.
        """
        arrays = [np.asarray(a) for a in found]
        results = []
        k = 0
        for part in self.parts:
            n = 1 if part is None else part.parts
            own = arrays[k : k + n]
            made: Array | None
            if part is None:
                made = own[0]
            elif isinstance(part, Mirrored):
                made = part.write(own, arguments)
            else:
                made = part.write(own, sizes, arrays[:k] + arrays[k + 1 :])
            if made is None:
                return None
            results.append(made)
            k += n
        return results


def _part(walk: Walk, o: int, symmetric: bool) -> tuple[list[int], Laid | Mirrored | None]:
    """The nodes that a result is made of, and how."""
    aval, value, last = walk.aval(o), walk.value[o], walk.last
    if value is None and not walk.zero(o):
        # Linear graphs yield zeros here; others are repeated, as under vmap.
        value = Dense(walk.led(walk.place[o]), False)
    if isinstance(value, Dense):
        ref = walk.turned(value, last).ref
        halved = mirrored(walk, ref) if symmetric else None
        if halved is not None:
            return halved
        node = walk.b.nodes[ref]
        if node.op is not PLACE:
            return [ref], None
        # Terms that were laid into it last are better laid in the answer's memory.
        params, whole = dict(node.params), single(node.aval)
        targets = [c.value for c in params["targets"]]
        ways, ranks = tuple(map(way_of, targets)), tuple(t.ndim for t in targets)
        return list(node.inputs), Laid(whole.shape, last, whole.dtype, params["base"], ways, ranks, (), False)
    held = Terms(()) if value is None else value
    ways = tuple(way_of(walk.targets(t, last)) for t in held.terms)
    # Those that reach every entry come first: nothing needs to be zero before.
    outers = sorted((t for t in held.outers if t.there.any()), key=lambda t: not t.there.all())
    rows = tuple(None if t.there.all() else ranged(np.flatnonzero(t.there)) for t in outers)
    refs = [t.ref for t in held.terms] + [ref for t in outers for ref in (t.ref, t.over)]
    ranks = (aval.rank,) * len(ways)
    return refs, Laid(
        walk.full(aval, last),
        last,
        aval.dtype,
        False,
        ways,
        ranks,
        rows,
        apart(ways, aval.size * walk.count)[0],
    )
