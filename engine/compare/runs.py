"""Graphs run and timed alike: on the tape machine if all of them are of scalars, else by the plans of arrays."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from engine.aval import Array
from engine.derive.batch import Runner
from engine.execute.meter import Meter
from engine.execute.plan import plan_of
from engine.graph import Graph
from engine.tape import tape_of

ROUNDS = 25
"""Rounds of timing, at most."""
SECONDS = 0.3
"""After this no further round is begun."""
MOST_TIMED = 64
"""Passes or evaluations of one gradient that are timed; of more the time is scaled up."""


class Executor:
    """Runs graphs of the same program. The arguments are arrays, `numbers` the same in one vector where all are scalars."""

    def __init__(self, graphs: Sequence[Graph], runner: Runner) -> None:
        self.runner = runner
        tapes = [tape_of(g) for g in graphs] if not runner.guarded else [None]
        self.scalar = all(t is not None for t in tapes)
        for graph in graphs:
            if not self.scalar:
                plan_of(graph, guarded=runner.guarded)

    def results(self, graph: Graph, arguments: Sequence[Any], meter: Meter) -> list[Any]:
        """The results, with strong zeros where something is not finite."""
        if self.scalar:
            tape = tape_of(graph)
            assert tape is not None
            found = tape.values(np.array([float(a) for a in arguments]))
            if not found.suspicious:
                return self.read(graph, found)
        return self.runner.run(graph, arguments, meter)

    def read(self, graph: Graph, found: Any) -> list[Any]:
        """The results among what a bare run gives."""
        if not self.scalar:
            return list(found.results)
        return [found.v[o] for o in graph.outputs]

    def bare(self, graph: Graph, meter: Meter) -> Callable[[Sequence[Any], Array | None], Any]:
        """What is timed: a function of the arguments, which are numbers in a vector for a tape."""
        if self.scalar:
            tape = tape_of(graph)
            assert tape is not None
            return lambda arguments, numbers: tape.values(arguments if numbers is None else numbers)
        plan = plan_of(graph, guarded=self.runner.guarded)
        b = self.runner.builder(meter)
        return lambda arguments, numbers: plan.run(b, arguments)


def interleaved(ways: Sequence[Callable[[], Any]], meter: Meter) -> list[float]:
    """Shortest time of each way, in seconds, of several rounds in which each is run once, in turn."""
    best = [float("inf")] * len(ways)
    start = time.perf_counter()
    for _ in range(ROUNDS):
        for k, way in enumerate(ways):
            meter.look()
            begin = time.perf_counter()
            way()
            best[k] = min(best[k], time.perf_counter() - begin)
        if time.perf_counter() - start > SECONDS:
            break
    return best
