"""Which nodes are computed piece by piece, and along which of their axes.

An op says from which axis of each operand an axis of its result comes (`Op.cuts`). Axes that come from one another are one
*class*: along it all these nodes can be cut at once, and a tile of them computed while it is in the cache. The class with
the most work in it is taken first, then the next one among the nodes that are left. A node that sums over the class (a
reduction, a product of matrices) is computed as partial sums, one for each tile, added in the order of the tiles.

Nodes that need something whole which is computed in tiles must wait for the last tile. So the nodes are ordered in *waves*:
in each, first those nodes that are not cut, then one loop over tiles for each class.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from heapq import heapify, heappop, heappush
from typing import NamedTuple

from engine.aval import Aval
from engine.graph import CONSTANT, INPUT, ITEM, Graph, Node

LEAST = 1 << 15
"""Elements of an array, on average, below which a loop is not worth while: it fits the cache as it is."""
WHOLE = 1 << 14
"""Elements of the largest operand that every tile reads as a whole, and of the largest partial sum."""
TILE = 1 << 17
"""Elements that one call of a function works on: far more than what a call costs, and what a thread waits for the other to
let go of the interpreter, which it does for each call (with a quarter of it, two threads were slower than one)."""
WORTH = 1e6
"""Operations of a loop below which it costs more than it saves; of products of matrices sixteen count as one."""
BUSY = 4e6
"""The same, of arrays of fewer elements than `LARGE` on average: calls are short then, and each gives up the interpreter and
takes it again; waking up for that takes a thread as long as the call."""
LARGE = 1 << 19
"""Some milliseconds' worth of elements."""
HEAVY = 6e7
"""Operations in single precision from which on a single node is shared by threads; in double precision half as many. It
is a third of a millisecond, where to wake another thread, and to be woken by it, costs a tenth."""
MASSIVE = 1e9
"""Operations from which on there are more than two pieces."""
PIECES = 4
"""Most pieces of such a node, else two: few, since a product of matrices is done best in large ones."""


class Cut(NamedTuple):
    """How a node is cut: the class; the axis of the result, None for partial sums; for each operand its axis or None."""

    group: int
    axis: int | None
    operands: tuple[int | None, ...]


class Loop(NamedTuple):
    """Nodes of one wave that are cut along one class, which has `size` entries; `pieces`, if it is known how many."""

    nodes: tuple[int, ...]
    size: int
    pieces: int = 0


class Stages(NamedTuple):
    """The order of execution: single nodes and loops; and how each node of a loop is cut."""

    order: list[int | Loop]
    cuts: dict[int, Cut]


def stages_of(graph: Graph, flops: Mapping[int, float], least: float = LEAST) -> Stages:
    """Cut the graph. `flops` are those of the nodes that are computed; loops of less than `least` are not worth it."""
    if least and sum(flops.values()) < WORTH:
        return Stages(list(flops), {})
    cutter = _Cutter(graph, flops)
    cuts = cutter.cuts()
    order = _ordered(graph, cutter.work, cuts, least)
    for at, i in enumerate(order):
        if not isinstance(i, int) or flops[i] < HEAVY / 2:
            continue
        aval = graph.nodes[i].aval
        single = isinstance(aval, Aval) and aval.dtype == "float32"
        if flops[i] >= (HEAVY if single else HEAVY / 2):
            cut = cutter.alone(i)
            if cut is not None:
                cuts[i] = cut
                size = _size(graph.nodes, cuts, i)
                order[at] = Loop((i,), size, min(PIECES if flops[i] >= MASSIVE else 2, size))
    return Stages(order, cuts)


class _Cutter:
    """Finds classes of axes with union-find over (node, axis)."""

    def __init__(self, graph: Graph, flops: Mapping[int, float]) -> None:
        self.nodes = graph.nodes
        self.flops = flops
        self.first: dict[int, int] = {}
        """Number of a node's axis 0."""
        self.owner: list[tuple[int, int]] = []
        for i, node in enumerate(graph.nodes):
            if isinstance(node.aval, Aval) and node.op is not CONSTANT and (i in flops or node.op is INPUT):
                self.first[i] = len(self.owner)
                self.owner += [(i, a) for a in range(node.aval.rank)]
        self.parent = list(range(len(self.owner)))
        self.ways: dict[tuple[int, int], tuple[int | None, ...]] = {}
        """Where the axis of a node comes from."""
        self.sums: dict[int, Sequence[tuple[int | None, ...]]] = {}
        self.work = dict(flops)
        """Operations, those of products counted as what they cost beside others."""
        for i in flops:
            if i in self.first:
                self._look(i, self.nodes[i])

    def _look(self, i: int, node: Node) -> None:
        op, inputs, params, aval = node
        operands = [self.nodes[j].aval for j in inputs]
        if op.subgraphs or op is ITEM or not isinstance(aval, Aval):
            return
        given = [a for a in operands if isinstance(a, Aval)]
        if len(given) < len(operands) or not given:
            return
        for axis, n in enumerate(aval.shape):
            way = op.cuts(axis, given, aval, **dict(params)) if n > 1 else None
            if way is None:
                continue
            self.ways[i, axis] = way
            if any(c is None and a.size > WHOLE for c, a in zip(way, given, strict=True)):
                continue
            for j, c in zip(inputs, way, strict=True):
                if c is not None and j in self.first:
                    self._join(self.first[i] + axis, self.first[j] + c)
        self.sums[i] = op.summed(given, aval, **dict(params))
        if self.sums[i] and len(given) > 1:
            self.work[i] /= 16

    def _find(self, k: int) -> int:
        while self.parent[k] != k:
            self.parent[k] = self.parent[self.parent[k]]
            k = self.parent[k]
        return k

    def _join(self, k: int, m: int) -> None:
        k, m = self._find(k), self._find(m)
        self.parent[max(k, m)] = min(k, m)

    def _class(self, i: int, axis: int) -> int | None:
        return self._find(self.first[i] + axis) if i in self.first else None

    def _candidates(self, i: int) -> Iterator[Cut]:
        """Ways to cut node `i`, by class."""
        node = self.nodes[i]
        assert isinstance(node.aval, Aval)
        for axis in range(node.aval.rank):
            way = self.ways.get((i, axis))
            if way is not None and all(
                c is not None or a.size <= WHOLE for c, a in zip(way, self._avals(i), strict=True)
            ):
                group = self._class(i, axis)
                assert group is not None
                yield Cut(group, axis, way)
        for way in self.sums.get(i, ()):
            groups = {self._class(j, c) for j, c in zip(node.inputs, way, strict=True) if c is not None}
            groups.discard(None)
            sizes = [a.shape[c] for a, c in zip(self._avals(i), way, strict=True) if c is not None]
            # Every tile makes a result: worth it only if that is far smaller than what is read for it.
            pays = node.aval.size <= min(WHOLE, sum(a.size for a in self._avals(i)) // 16)
            if len(groups) == 1 and pays and min(sizes) > 1:
                (only,) = groups
                assert only is not None
                yield Cut(only, None, way)

    def _avals(self, i: int) -> list[Aval]:
        found = [self.nodes[j].aval for j in self.nodes[i].inputs]
        return [a for a in found if isinstance(a, Aval)]

    def alone(self, i: int) -> Cut | None:
        """How to cut node `i` by itself: along its longest axis, the outermost of them."""
        node = self.nodes[i]
        if not isinstance(node.aval, Aval):
            return None
        axes = [a for a in range(node.aval.rank) if (i, a) in self.ways]
        if not axes:
            return None
        shape = node.aval.shape
        axis = max(axes, key=lambda a: (shape[a], -a))
        return Cut(-1 - i, axis, self.ways[i, axis])

    def cuts(self) -> dict[int, Cut]:
        """The cut of each node that has one."""
        left = {i: list(self._candidates(i)) for i in self.flops if i in self.first}
        members: dict[int, list[int]] = {}
        weight: dict[int, float] = {}
        share: dict[tuple[int, int], float] = {}
        for i, found in left.items():
            for group in {c.group for c in found}:
                # What reads a partial sum must wait for the last tile: rather cut along an axis that is kept.
                whole = any(c.axis is not None for c in found if c.group == group)
                share[i, group] = self.work[i] if whole else self.work[i] / 2
                members.setdefault(group, []).append(i)
                weight[group] = weight.get(group, 0.0) + share[i, group]
        # Of equal classes the one of the outermost axis: its pieces lie together.
        heap = [(-w, self.owner[g][1], g) for g, w in weight.items()]
        heapify(heap)
        chosen: dict[int, Cut] = {}
        while heap:
            negative, axis, best = heappop(heap)
            if -negative > weight[best]:  # some of its nodes went to another class since
                heappush(heap, (-weight[best], axis, best))
                continue
            for i in members[best]:
                if i in chosen:
                    continue
                chosen[i] = next(c for c in left[i] if c.group == best)
                for group in {c.group for c in left[i]} - {best}:
                    weight[group] -= share[i, group]
        return chosen


def _ordered(
    graph: Graph, flops: Mapping[int, float], cuts: dict[int, Cut], least: float
) -> list[int | Loop]:
    """Nodes and loops in order. Nodes of loops that are too small are taken out of `cuts`."""
    nodes = graph.nodes
    wave = _waves(nodes, flops, cuts)
    _sink(graph, flops, cuts, wave)
    loops: dict[tuple[int, int], list[int]] = {}
    for i in cuts:
        loops.setdefault((wave[i], cuts[i].group), []).append(i)
    order: list[int | Loop] = []
    sizes: dict[tuple[int, int], int] = {}
    for key, members in loops.items():
        members.sort()
        sizes[key] = _size(nodes, cuts, members[0])
        elements = width(nodes, flops, members, sizes[key]) * sizes[key]
        work = sum(flops[i] for i in members)
        if elements < least or (least and work < (WORTH if elements >= LARGE else BUSY)):
            for i in members:
                del cuts[i]
    for w in range(max(wave.values(), default=0) + 1):
        order += [i for i in flops if wave[i] == w and i not in cuts]
        for key, members in loops.items():
            if key[0] == w and members[0] in cuts:
                order.append(Loop(tuple(members), sizes[key]))
    return order


def width(nodes: Sequence[Node], flops: Mapping[int, float], members: Sequence[int], size: int) -> float:
    """Elements of an array for each of `size` entries of the axis that is cut: the mean, by the work done on them."""
    work = total = 0.0
    for i in members:
        found = [nodes[i].aval, *(nodes[j].aval for j in nodes[i].inputs)]
        work += flops[i]
        total += flops[i] * max(a.size for a in found if isinstance(a, Aval)) / size
    return max(1.0, total / work) if work else 1.0


def _size(nodes: Sequence[Node], cuts: Mapping[int, Cut], i: int) -> int:
    for j, c in zip(nodes[i].inputs, cuts[i].operands, strict=True):
        aval = nodes[j].aval
        if c is not None and isinstance(aval, Aval):
            return aval.shape[c]
    aval = nodes[i].aval
    axis = cuts[i].axis
    assert isinstance(aval, Aval)
    assert axis is not None
    return aval.shape[axis]


def fused(cuts: Mapping[int, Cut], j: int, i: int, k: int) -> bool:
    """Whether node `i` can take its operand `k`, node `j`, from the same tile."""
    mine, its = cuts.get(i), cuts.get(j)
    return (
        mine is not None
        and its is not None
        and mine.group == its.group
        and its.axis is not None
        and mine.operands[k] == its.axis
    )


def _waves(nodes: Sequence[Node], flops: Mapping[int, float], cuts: Mapping[int, Cut]) -> dict[int, int]:
    """The first wave in which each node can be computed."""
    wave: dict[int, int] = {}
    for i in flops:
        w = 0
        for k, j in enumerate(nodes[i].inputs):
            if j in wave:
                w = max(w, wave[j] + (1 if j in cuts and not fused(cuts, j, i, k) else 0))
        wave[i] = w
    return wave


def _sink(graph: Graph, flops: Mapping[int, float], cuts: Mapping[int, Cut], wave: dict[int, int]) -> None:
    """Move nodes of loops to the wave where they are first read, if that does not keep more alive between the two."""
    nodes = graph.nodes
    outputs = set(graph.outputs)
    readers: dict[int, list[tuple[int, int]]] = {}
    for i in flops:
        for k, j in enumerate(nodes[i].inputs):
            readers.setdefault(j, []).append((i, k))
    for i in reversed(list(flops)):
        if i not in cuts or i in outputs or cuts[i].axis is None:
            continue
        there = readers.get(i, [])
        if not all(fused(cuts, i, r, k) for r, k in there):
            continue
        later = min((wave[r] for r, _ in there), default=wave[i])
        if later <= wave[i]:
            continue
        new = [
            j
            for j in set(nodes[i].inputs)
            if j in cuts and wave[j] < later and all(wave[r] == wave[j] for r, _ in readers[j])
        ]
        if len(new) <= 1:
            wave[i] = later
