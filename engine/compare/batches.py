"""Gradients that take a run for each entry: one after the other, or many at once where there are many entries."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import numpy as np

from engine.aval import Array, Aval
from engine.compare.objective import Objective
from engine.compare.runs import Executor
from engine.cost import Limits, check, cost_of
from engine.execute.meter import Meter
from engine.graph import Graph, single
from engine.specialize import Typed
from engine.transforms.simplify import simplify
from engine.transforms.vmap import map_graph

FEW = 256
"""Runs that are made one after the other."""
MOST_TOGETHER = 4096
"""Runs that are made at once."""
QUICK = 3.0
"""Seconds that runs of a tape may take one after the other."""

Changes = Callable[[int, int], dict[int, Array]]
"""Arguments by number for the runs `start` … `stop`, led by an axis of them."""


def forward_gradient(
    executor: Executor, graph: Graph, what: Objective, typed: Typed, limits: Limits, meter: Meter
) -> Array:
    """The tangents of the value for all unit tangents."""
    shapes = [single(what.graph.nodes[i].aval).shape for i in what.wrt]
    sizes = [prod(s) for s in shapes]
    first = len(what.arguments)
    zeros = [np.zeros(s, typed.dtype) for s in shapes]

    def changes(start: int, stop: int) -> dict[int, Array]:
        return {
            first + w: units.reshape(stop - start, *shape)
            for w, (units, shape) in enumerate(
                zip(_units(sizes, start, stop, typed.dtype), shapes, strict=True)
            )
        }

    found = _runs(executor, graph, [*what.arguments, *zeros], changes, sum(sizes), typed, limits, meter)
    return found[1]


def numerical_gradient(
    executor: Executor,
    graph: Graph,
    what: Objective,
    typed: Typed,
    steps: Array,
    limits: Limits,
    meter: Meter,
) -> Array:
    """(f(x + h) − f(x − h)) over the distance of the two points, as the dtype has them."""
    shapes = [np.shape(what.moved_arguments[r]) for r in what.rows]
    flats = [np.asarray(what.moved_arguments[r]).reshape(-1) for r in what.rows]
    sizes = [f.size for f in flats]

    def moved(sign: float) -> Changes:
        def changes(start: int, stop: int) -> dict[int, Array]:
            return {
                r: (flat + units * (sign * steps[start:stop, None]))
                .astype(flat.dtype)
                .reshape(stop - start, *shape)
                for r, flat, units, shape in zip(
                    what.rows, flats, _units(sizes, start, stop, "float64"), shapes, strict=True
                )
            }

        return changes

    n = sum(sizes)
    above, below = (
        _runs(executor, graph, what.moved_arguments, moved(sign), n, typed, limits, meter)[0]
        for sign in (1.0, -1.0)
    )
    x = np.concatenate([np.asarray(f, np.float64) for f in flats]) if flats else np.zeros(0)
    apart = (x + steps).astype(typed.dtype).astype(np.float64) - (x - steps).astype(typed.dtype)
    return np.asarray((above - below) / apart)


def _units(sizes: Sequence[int], start: int, stop: int, dtype: str) -> list[Array]:
    """Rows start … stop of the identity, cut into columns of these sizes."""
    found, begin = [], 0
    for size in sizes:
        rows = np.zeros((stop - start, size), dtype)
        there = np.arange(max(start, begin), min(stop, begin + size))
        rows[there - start, there - begin] = 1
        found.append(rows)
        begin += size
    return found


def _runs(
    executor: Executor,
    graph: Graph,
    arguments: Sequence[Any],
    changes: Changes,
    n: int,
    typed: Typed,
    limits: Limits,
    meter: Meter,
) -> list[Array]:
    """The graph's scalar results for n sets of arguments, float64[n] each."""
    found = [np.empty(n) for _ in graph.outputs]
    quick = executor.scalar and 2e-8 * n * len(graph.nodes) < QUICK
    if n <= FEW or quick:
        for k in range(n):
            meter.check()
            given = list(arguments)
            for at, value in changes(k, k + 1).items():
                given[at] = value[0]
            for result, value in zip(found, executor.results(graph, given, meter), strict=True):
                result[k] = value
        return found
    mapped = list(changes(0, 0))
    cost = cost_of(graph)
    widest = max(
        (
            a.size
            for node in graph.nodes
            for a in ((node.aval,) if isinstance(node.aval, Aval) else node.aval)
        ),
        default=1,
    )
    together = max(
        1,
        min(
            MOST_TOGETHER,
            n,
            limits.elements // max(1, widest),
            limits.memory_bytes // 8 // max(1, cost.bytes),
        ),
    )
    axes = [0 if k in mapped else None for k in range(len(arguments))]
    graphs: dict[int, Graph] = {}
    for start in range(0, n, together):
        meter.look()
        stop = min(n, start + together)
        many = graphs.get(stop - start)
        if many is None:
            many = map_graph(
                graph, stop - start, axes, typed.dtype, max_elements=limits.elements, step=meter.check
            )
            many = graphs[stop - start] = simplify(many, typed.dtype, meter.check)
            check(cost_of(many), limits, "This comparison")
        given = list(arguments)
        for at, value in changes(start, stop).items():
            given[at] = value
        for result, value in zip(found, executor.runner.run(many, given, meter), strict=True):
            result[start:stop] = value
    return found
