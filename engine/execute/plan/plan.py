"""The plan of a graph of arrays: compiled once, run often."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from engine.aval import Avals
from engine.execute.plan.block import Block
from engine.execute.plan.task import Task, tasks_of
from engine.graph import CONSTANT, Graph

if TYPE_CHECKING:
    from engine.builder import EagerBuilder

WATCHED_FLOPS = 20_000
"""A graph of more operations than this asks the meter before each of its steps, a smaller one before the first only."""


class Outcome(NamedTuple):
    """What a run gives: the graph's results, and whether a point without derivative may have been met."""

    results: list[Any]
    kinked: bool


class Plan:
    """A graph that is already differentiated, mapped and simplified, ready to be run.

    `guarded` keeps strong zeros: it is needed where a derivative feeds an op that can hide a NaN. Without them a result
    is equal wherever it is finite; where it is not, the careful executor knows better. `kinks` asks for `Outcome.kinked`.
    """

    def __init__(self, graph: Graph, *, guarded: bool = False, kinks: bool = True) -> None:
        nodes = graph.nodes
        avals: dict[int, Avals] = {i: node.aval for i, node in enumerate(nodes)}
        live = [i for i, _ in graph.schedule]
        constants = {i: nodes[i].params[0][1].value[()] for i in live if nodes[i].op is CONSTANT}
        tasks: list[Task] = []
        for i in live:
            tasks += tasks_of(i, nodes[i], avals, guarded=guarded, kinks=kinks)
        flops = sum(
            nodes[i].op.flops([avals[j] for j in nodes[i].inputs], nodes[i].aval, **dict(nodes[i].params))  # type: ignore[misc]
            for i in live
        )
        self._scalars = [k for k, a in enumerate(graph.in_avals) if a.shape == ()]
        self._block = Block(
            tasks, avals, graph.inputs, constants, graph.outputs, watched=flops > WATCHED_FLOPS
        )

    @property
    def nbytes(self) -> int:
        """Memory that the plan holds between its runs, roughly and at most."""
        return self._block.nbytes

    @property
    def peak(self) -> int:
        """Memory of one run beside its results, as far as the plan gives it out."""
        return self._block.peak

    def run(self, b: EagerBuilder, arguments: Sequence[Any]) -> Outcome:
        """The graph's results. `b.step` is asked on the way; `b` computes the graphs that ops hold.

        Results are new: they share no memory with arguments or with what later runs write to.
        """
        given = list(arguments)
        for k in self._scalars:
            given[k] = given[k][()]
        with np.errstate(all="ignore"):
            return Outcome(*self._block.run(b, given))


def plan_of(graph: Graph, *, guarded: bool = False) -> Plan:
    """The plan of the graph, made once for as long as the graph lives."""
    key = "_plan_guarded" if guarded else "_plan"
    found: Plan | None = vars(graph).get(key)
    if found is None:
        found = vars(graph)[key] = Plan(graph, guarded=guarded)
    return found
