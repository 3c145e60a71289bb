"""A node of a program as a function of one or two scalars, computed at many points together.

What does not depend on the scalars is computed once. Over a grid the function is mapped by each axis in turn, so that what
depends on one of them alone is computed once for each of its values and not for each point: of 200 × 200 points of a
network's loss over a weight of its first and one of its last layer, the first layer is computed 200 times.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import numpy as np

from engine.aval import Array, Aval
from engine.builder import GraphBuilder
from engine.cost import Cost, Limits, check, cost_of
from engine.derive.batch import Runner, make_ready
from engine.derive.first_order import with_one
from engine.errors import LimitExceeded, SingularMatrix
from engine.execute.meter import Meter
from engine.graph import CONSTANT, INPUT, Graph, Node
from engine.landscape.axes import Placed
from engine.landscape.substitute import finite, substituted
from engine.specialize import Typed
from engine.transforms.pull import vjp_graph
from engine.transforms.simplify import simplify
from engine.transforms.vmap import map_graph

MOST_MEMBERS = 1 << 16
"""Points that are computed together at most."""

CACHED = 1 << 19
"""Entries of one array, of all points that are computed together, that are near the processor."""

SHARE = 4
"""Points are computed together that take the n-th part of the memory one request may have."""


class Section:
    """The scalar node `of` as a function of the scalars `axes`, and with `gradients` its derivatives by them.

    With `whole`, arrays of which an entry varies are computed with as they are; else (`substitute.py`) faster, but only what
    comes out finite, from numbers that do not vary and are finite (`trusted`), is to be believed.

    Where a matrix is singular the values are NaN. Raises `LimitExceeded` for one evaluation that is over a limit.
    """

    def __init__(
        self,
        typed: Typed,
        of: int,
        axes: Sequence[Placed],
        arguments: Sequence[Array],
        limits: Limits,
        meter: Meter,
        *,
        gradients: bool,
        whole: bool,
        runner: Runner,
    ) -> None:
        self.dtype = typed.dtype
        self.limits = limits
        self.runner = runner
        self.axes = axes
        self.arguments = arguments
        self.results = 1 + len(axes) * gradients
        """The value, and a derivative by each axis."""
        self.singular: SingularMatrix | None = None
        """The error of what does not depend on the scalars."""
        self.trusted = True
        """Whether what does not vary is finite; known when it is computed."""
        self.meter = meter
        graph, variables = substituted(typed, of, axes, limits, meter, whole=whole)
        if gradients:
            derived = vjp_graph(
                graph,
                graph.outputs,
                variables,
                self.dtype,
                record_bytes=limits.record_bytes(),
                step=meter.check,
            )
            graph = with_one(derived, self.dtype, meter.check)
        graph = simplify(graph, self.dtype, meter.check)
        self.fixed, self.moving = split(graph, len(variables), self.dtype)
        self._shared: list[Array] | None = None
        one = cost_of(self.moving)
        nodes = [n for n in self.moving.nodes if isinstance(n.aval, Aval)]
        given = sum(n.aval.nbytes for n in nodes if n.op is INPUT and isinstance(n.aval, Aval))
        own = max([n.aval.size for n in nodes if n.op is not INPUT and isinstance(n.aval, Aval)], default=1)
        every = max([n.aval.size for n in nodes if isinstance(n.aval, Aval)], default=1)
        most = _members(limits, one.bytes - given, own)
        self.members = list(dict.fromkeys([min(most, max(1, CACHED // max(own, 1))), most]))
        """Points that are computed together, as it is fast, or saves what is computed for each part (`Chunks`). What does not
        vary is there once."""
        self.careful = _members(limits, one.bytes, every)
        """The same, if an op needs what does not vary for each point."""
        first = cost_of(self.fixed)
        self.cost = Cost(first.nodes, first.flops, first.bytes, first.largest_step)
        check(self.cost, limits, "This landscape")
        if first.nodes:
            make_ready(self.fixed, guarded=runner.guarded, step=runner.meter.check)

    # -- computed

    def grid(self, values: Sequence[Array]) -> Chunks:
        """The function at all combinations of the axes' values."""
        return Chunks(self, [len(v) for v in values], values, crossed=True)

    def points(self, points: Array) -> Chunks:
        """The function at each row of points[n, axes]."""
        return Chunks(self, [len(points)], list(points.T.astype(self.dtype)), crossed=False)

    def shared(self, meter: Meter) -> list[Array] | None:
        """What does not depend on the scalars; None where a matrix in it is singular."""
        if self._shared is None and self.singular is None:
            try:
                with np.errstate(all="ignore"):
                    self._shared = self.runner.run(self.fixed, self.arguments, meter)
                self.trusted = finite(self._shared)
            except SingularMatrix as error:
                self.singular = error
        return self._shared


class Chunks:
    """The function at many points, as parts of one size. `cost` is that of all of them; raises `LimitExceeded` for it."""

    def __init__(self, section: Section, shape: list[int], values: Sequence[Array], *, crossed: bool) -> None:
        self.section = section
        self.shape = shape
        self.values = values
        self.crossed = crossed
        self.parts: list[int] = []
        """Length of a part along each axis; inner axes are kept whole while they can be."""
        self.count = 0
        self.graph: Graph | None = None
        cost = Cost(0, 0.0, 0)
        if prod(shape):
            self.graph, cost, self.parts, self.count = self._made()
        held = 8 * section.results * prod(shape)
        self.cost = Cost(
            cost.nodes * self.count, cost.flops * self.count, cost.bytes + held, cost.largest_step
        )
        check(self.cost, section.limits, "This landscape")
        if self.graph is not None:
            make_ready(self.graph, guarded=section.runner.guarded, step=section.runner.meter.check)

    def _made(self) -> tuple[Graph, Cost, list[int], int]:
        """The mapped graph of a part, its cost, and the parts: small ones, unless larger ones save half of the work."""
        found: tuple[Graph, Cost, list[int], int] | None = None
        ways = [*self.section.members, self.section.careful]
        for way, most in enumerate(ways):
            last = way + 1 == len(ways)
            if last and found is not None:
                break
            self._divide(most)
            try:
                graph = self._mapped()
                cost = cost_of(graph)
                check(cost, self.section.limits, "A part of this landscape")
            except LimitExceeded:
                if last:
                    raise
                continue
            if found is None or 2 * cost.flops * self.count < found[1].flops * found[3]:
                found = graph, cost, self.parts, self.count
        assert found is not None
        return found

    def _divide(self, most: int) -> None:
        """Into parts of at most so many points."""
        self.parts = []
        for n in reversed(self.shape):
            longest = max(1, min(n, most))
            pieces = -(-n // longest)
            self.parts.insert(0, -(-n // pieces) if n else 0)
            most = max(1, most // longest)
        self.count = prod(
            -(-n // part) if part else 0 for n, part in zip(self.shape, self.parts, strict=True)
        )

    def _mapped(self) -> Graph:
        section = self.section
        graph, dtype = section.moving, section.dtype
        shared = len(graph.inputs) - len(section.axes)
        # Over a grid each level maps one axis, the inner ones first; points are mapped in all axes at once.
        levels = [[k] for k in range(len(self.shape))] if self.crossed else [list(range(len(section.axes)))]
        for level in reversed(range(len(levels))):
            axes: list[int | None] = [None] * len(graph.inputs)
            for k in levels[level]:
                axes[shared + k] = 0
            graph = map_graph(
                graph,
                self.parts[level],
                axes,
                dtype,
                max_elements=section.limits.elements,
                step=section.meter.check,
            )
        return simplify(graph, dtype, section.meter.check)

    def run(self, meter: Meter) -> list[Array]:
        """The value and the derivatives, each of the points' shape."""
        section = self.section
        results = [np.full(self.shape, np.nan, section.dtype) for _ in range(section.results)]
        if self.graph is None or not self.count:
            return results
        shared = section.shared(meter)
        if shared is None:
            return results
        starts = [range(0, n, part) for n, part in zip(self.shape, self.parts, strict=True)]
        for place in np.ndindex(*map(len, starts)):
            meter.look()
            begins = [s[i] for s, i in zip(starts, place, strict=True)]
            ends = [min(b + p, n) for b, p, n in zip(begins, self.parts, self.shape, strict=True)]
            some = [
                padded(v[begins[k * self.crossed] : ends[k * self.crossed]], self.parts[k * self.crossed])
                for k, v in enumerate(self.values)
            ]
            try:
                with np.errstate(all="ignore"):
                    found = section.runner.run(self.graph, [*shared, *some], meter)
            except SingularMatrix as error:  # of all members at once: others are NaN by themselves
                section.singular = error
                break
            whole = tuple(slice(b, e) for b, e in zip(begins, ends, strict=True))
            kept = tuple(slice(0, e - b) for b, e in zip(begins, ends, strict=True))
            for result, part in zip(results, found, strict=True):
                result[whole] = np.asarray(part)[kept]
        return results


def _members(limits: Limits, nbytes: int, largest: int) -> int:
    """How many points fit, of which each takes so many bytes, and arrays of so many elements."""
    by_memory = limits.memory_bytes // SHARE // max(nbytes, 1)
    return int(max(1, min(MOST_MEMBERS, by_memory, limits.elements // max(largest, 1))))


def padded(values: Array, size: int) -> Array:
    """The values, the last of them repeated until there are `size`."""
    if len(values) == size:
        return values
    return np.concatenate([values, np.repeat(values[-1:], size - len(values))])


def split(graph: Graph, variables: int, dtype: str) -> tuple[Graph, Graph]:
    """A graph as two: of what does not depend on its last inputs, and of the rest, which takes the results of the former
    in front of these inputs."""
    last = set(graph.inputs[len(graph.inputs) - variables :])
    moves = [False] * len(graph.nodes)
    frontier: dict[int, None] = {}
    for i, node in enumerate(graph.nodes):
        moves[i] = i in last or any(moves[j] for j in node.inputs)
    for i, _ in graph.schedule:
        node = graph.nodes[i]
        if moves[i]:
            frontier |= dict.fromkeys(
                j for j in node.inputs if not moves[j] and graph.nodes[j].op is not CONSTANT
            )
    frontier |= dict.fromkeys(o for o in graph.outputs if not moves[o])
    fixed = _without(graph.with_outputs(list(frontier)), variables)
    b = GraphBuilder(dtype)  # type: ignore[arg-type]  # a float's name
    place: dict[int, int] = {i: b.input(graph.nodes[i].aval) for i in frontier}  # type: ignore[arg-type]  # one result
    for i in graph.inputs[len(graph.inputs) - variables :]:
        place[i] = b.input(graph.nodes[i].aval)  # type: ignore[arg-type]  # a scalar
    for i, _ in graph.schedule:
        node = graph.nodes[i]
        if node.op is INPUT or not moves[i]:
            continue
        for j in node.inputs:
            if j not in place:
                place[j] = b.constant(graph.nodes[j].params[0][1].value)
        b.nodes.append(Node(node.op, tuple(place[j] for j in node.inputs), node.params, node.aval))
        place[i] = len(b.nodes) - 1
    return fixed, b.build([place[o] for o in graph.outputs])


def _without(graph: Graph, last: int) -> Graph:
    """The graph without its last inputs and what depends on them, which its outputs do not."""
    b = GraphBuilder()
    place = dict(
        zip(graph.inputs, [b.input(a) for a in graph.in_avals[: len(graph.inputs) - last]], strict=False)
    )
    for i, _ in graph.schedule:
        node = graph.nodes[i]
        if node.op is CONSTANT:
            place[i] = b.constant(node.params[0][1].value)
        elif i not in place:
            b.nodes.append(Node(node.op, tuple(place[j] for j in node.inputs), node.params, node.aval))
            place[i] = len(b.nodes) - 1
    return b.build([place[o] for o in graph.outputs])
