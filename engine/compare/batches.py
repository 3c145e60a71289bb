"""Gradients that take a run for each entry: one after the other, or many at once where there are many entries."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from engine.aval import Array, Aval
from engine.compare.objective import Objective, flattened
from engine.compare.runs import MOST_TIMED, Executor
from engine.cost import Limits, check, cost_of
from engine.execute.meter import Meter
from engine.graph import Graph, single
from engine.specialize import Typed
from engine.transforms.simplify import simplify
from engine.transforms.vmap import map_graph

FEW = 256
"""Runs that are made one after the other, whatever they take."""
MOST_TOGETHER = 4096
"""Runs that are made at once."""
QUICK = 3.0
"""Seconds that runs of a tape may take one after the other."""


@dataclass(frozen=True)
class Moves:
    """A graph at points that differ from `arguments` in one number each: in run k argument `which[k]` has `values[k]`
    at the flat index `index[k]`."""

    graph: Graph
    arguments: list[Array]
    which: list[int]
    index: list[int]
    values: Array

    def one_by_one(
        self, executor: Executor, count: int, meter: Meter, take: Callable[[int, Any], None] | None = None
    ) -> Callable[[], None]:
        """The first `count` runs, in turn, as a function; `take` gets what each gives."""
        moved = set(self.which)
        arguments = [np.array(a) if k in moved else a for k, a in enumerate(self.arguments)]
        flats = {k: arguments[k].reshape(-1) for k in moved}
        run = executor.bare(self.graph, meter)
        numbers = flattened(arguments) if executor.scalar else None
        moves = list(zip(self.which, self.index, self.values.tolist(), strict=True))[:count]

        def runs() -> None:
            for n, (w, k, value) in enumerate(moves):
                # Scalars are one number each, so that their places in the vector are those of the arguments.
                flat, at = (flats[w], k) if numbers is None else (numbers, w)
                before = flat[at]
                flat[at] = value
                found = run(arguments, numbers)
                flat[at] = before
                if take is not None:
                    meter.check()
                    take(n, found)

        return runs

    def together(self, start: int, stop: int) -> list[Any]:
        """Arguments of runs start … stop; those that are moved lead with an axis of them."""
        given: list[Any] = list(self.arguments)
        flats: dict[int, Array] = {}
        for w in set(self.which):
            given[w] = np.repeat(np.asarray(given[w])[None], stop - start, axis=0)
            flats[w] = given[w].reshape(stop - start, -1)
        for k in range(start, stop):
            flats[self.which[k]][k - start, self.index[k]] = self.values[k]
        return given


def forward_moves(graph: Graph, what: Objective, typed: Typed) -> Moves:
    """Unit tangents."""
    shapes = [single(what.graph.nodes[i].aval).shape for i in what.wrt]
    tangents = [np.zeros(s, typed.dtype) for s in shapes]
    first = len(what.arguments)
    places = [(first + w, k) for w, t in enumerate(tangents) for k in range(t.size)]
    return Moves(
        graph,
        [*what.arguments, *tangents],
        [w for w, _ in places],
        [k for _, k in places],
        np.ones(len(places)),
    )


def numerical_moves(graph: Graph, what: Objective, typed: Typed, steps: Array) -> tuple[Moves, Array]:
    """x + h and x − h for each entry in turn; and how far these are from one another, as the dtype has them."""
    arguments = what.moved_arguments
    flats = [np.asarray(arguments[r]).reshape(-1) for r in what.rows]
    x = flattened(flats)
    above, below = ((x + s * steps).astype(typed.dtype).astype(np.float64) for s in (1.0, -1.0))
    which = [r for r, flat in zip(what.rows, flats, strict=True) for _ in range(2 * flat.size)]
    index = [k for flat in flats for k in range(flat.size) for _ in range(2)]
    return Moves(graph, arguments, which, index, np.stack([above, below], axis=1).reshape(-1)), above - below


def results(moves: Moves, executor: Executor, typed: Typed, limits: Limits, meter: Meter) -> list[Array]:
    """The graph's scalar results in all runs, float64[runs] each."""
    n, graph = len(moves.which), moves.graph
    found = [np.empty(n) for _ in graph.outputs]
    if n <= FEW or (executor.scalar and 2e-8 * n * len(graph.nodes) < QUICK):

        def take(k: int, run: Any) -> None:
            for result, value in zip(found, executor.read(graph, run), strict=True):
                result[k] = value

        moves.one_by_one(executor, n, meter, take)()
        return found
    moved = set(moves.which)
    axes = [0 if k in moved else None for k in range(len(moves.arguments))]
    count = min(n, _members(graph, limits))
    graphs: dict[int, Graph] = {}
    for start in range(0, n, count):
        meter.look()
        stop = min(n, start + count)
        many = graphs.get(stop - start)
        if many is None:
            many = map_graph(
                graph, stop - start, axes, typed.dtype, max_elements=limits.elements, step=meter.check
            )
            many = graphs[stop - start] = simplify(many, typed.dtype, meter.check)
            check(cost_of(many), limits, "This comparison")
        values = executor.runner.run(many, moves.together(start, stop), meter)
        for result, value in zip(found, values, strict=True):
            result[start:stop] = value
    return found


def _members(graph: Graph, limits: Limits) -> int:
    """How many runs are made at once."""
    avals: Sequence[Aval] = [
        a for node in graph.nodes for a in ((node.aval,) if isinstance(node.aval, Aval) else node.aval)
    ]
    widest = max((a.size for a in avals), default=1)
    by_memory = limits.memory_bytes // 8 // max(1, cost_of(graph).bytes)
    return max(1, min(MOST_TOGETHER, limits.elements // max(1, widest), by_memory))


def timed(moves: Moves, executor: Executor, meter: Meter) -> tuple[Callable[[], Any], float]:
    """Runs to be timed, and by what their time is multiplied for all of them."""
    n = len(moves.which)
    few = min(n, MOST_TIMED)
    return moves.one_by_one(executor, few, meter), n / few if few else 1.0
