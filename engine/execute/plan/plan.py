"""The plan of a graph of arrays: compiled once, run often."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from engine.aval import Avals
from engine.compiled import LOOPS, Body
from engine.execute.finite import all_finite
from engine.execute.plan.assemble import assembled
from engine.execute.plan.block import Block
from engine.execute.plan.cuts import LEAST, TILE, Loop, Stages, fused, stages_of
from engine.execute.plan.lean import lean
from engine.execute.plan.loop import Tiles
from engine.execute.plan.strips import MET, NOT_FINITE
from engine.execute.plan.task import Task, tasks_of
from engine.graph import CONSTANT, Graph, single

if TYPE_CHECKING:
    from engine.builder import EagerBuilder

WORTH_BODY = 1024
"""Elements of the largest array of a loop's body, from which on its steps are planned."""


class Outcome(NamedTuple):
    """What a run gives: the graph's results, whether a point without derivative may have been met, whether all is finite."""

    results: list[Any]
    kinked: bool
    finite: bool


def _go_on() -> None:
    """Nobody is in a hurry."""


class Plan:
    """A graph that is already differentiated, mapped and simplified, ready to be run.

    `guarded` keeps strong zeros: it is needed where a derivative feeds an op that can hide a NaN. Without them a result
    is equal wherever it is finite; where it is not, the careful executor knows better. `kinks` asks for `Outcome.kinked`.
    `tile` is how many elements one call works on, and `least` how many operations make a loop over tiles worth while.
    `step` is asked now and then while it is made, and may raise.
    """

    def __init__(
        self,
        graph: Graph,
        *,
        guarded: bool = False,
        kinks: bool = True,
        tile: int = TILE,
        least: float = LEAST,
        step: Callable[[], None] | None = None,
    ) -> None:
        look = step or _go_on
        self._guarded = guarded
        self.passed = _passed_on(graph)
        """Results that are arguments or views of arguments: position, that of the argument, and the views."""
        graph = graph.with_outputs([o for k, o in enumerate(graph.outputs) if k not in self.passed])
        look()
        graph = assembled(graph if guarded else lean(graph))
        look()
        nodes = graph.nodes
        avals: dict[int, Avals] = {i: node.aval for i, node in enumerate(nodes)}
        live = [i for i, _ in graph.schedule]
        constants = {i: nodes[i].params[0][1].value[()] for i in live if nodes[i].op is CONSTANT}
        flops = {i: _flops(graph, i) for i in live if i not in constants}
        stages = stages_of(graph, flops, least)
        needed = _read_elsewhere(graph, stages)
        passed = {j for j, _ in self.passed.values()}
        asked = {o for o in graph.outputs if single(nodes[o].aval).floating}
        asked |= {i for k, i in enumerate(graph.inputs) if k in passed and single(nodes[i].aval).floating}
        looked: set[int] = set()
        self.loops: list[Tiles] = []
        tasks: list[Task] = []
        for stage in stages.order:
            look()
            if isinstance(stage, Loop):
                loop = Tiles(
                    stage,
                    nodes,
                    stages.cuts,
                    needed[stage].__contains__,
                    tile=tile,
                    guarded=guarded,
                    kinks=kinks,
                    flops=flops,
                    looked=asked,
                )
                looked |= loop.looked
                self.loops.append(loop)
                tasks.append(loop.task())
            else:
                made = tasks_of(stage, nodes[stage], avals, guarded=guarded, kinks=kinks)
                tasks += [made[0]._replace(flops=flops[stage]), *made[1:]] if made else []
        self._scalars = [k for k, a in enumerate(graph.in_avals) if a.shape == ()]
        self._block = Block(tasks, avals, graph.inputs, constants, graph.outputs, looked=asked, step=look)
        looked |= self._block.looked
        self._unseen = [k for k, o in enumerate(graph.outputs) if o not in looked]
        self._unseen_arguments = [k for k in passed if graph.inputs[k] not in looked]

    @property
    def nbytes(self) -> int:
        """Memory that the plan holds between its runs, roughly and at most."""
        return self._block.nbytes + sum(loop.nbytes for loop in self.loops)

    @property
    def peak(self) -> int:
        """Memory of one run beside its results, as far as the plan gives it out."""
        return self._block.peak + sum(loop.peak for loop in self.loops)

    def run(self, b: EagerBuilder, arguments: Sequence[Any]) -> Outcome:
        """The graph's results. `b.step` is asked on the way; `b` computes the graphs that ops hold.

        Results share no memory with what later runs write to. One that is an argument, or a view of one, is not copied.
        """
        b.lean = not self._guarded
        given = list(arguments)
        for k in self._scalars:
            given[k] = given[k][()]
        with np.errstate(all="ignore"):
            results, told = self._block.run(b, given)
            finite = not told & NOT_FINITE and all_finite(results[k] for k in self._unseen)
            finite = finite and all_finite(given[k] for k in self._unseen_arguments)
            for k, (j, views) in self.passed.items():
                x = given[j]
                for view in views:
                    x = view(x)
                results.insert(k, x)
        return Outcome(results, bool(told & MET), finite)


def _passed_on(graph: Graph) -> dict[int, tuple[int, list[Callable[..., Any]]]]:
    """Outputs that are inputs, or views of the most of inputs: which one, and the views one after another.

    A view of a little piece is copied, so that it does not keep the whole alive.
    """
    position = {i: k for k, i in enumerate(graph.inputs)}
    found = {}
    for k, o in enumerate(graph.outputs):
        views: list[Callable[..., Any]] = []
        i = o
        while (node := graph.nodes[i]).op.view and len(node.inputs) == 1:
            operands: list[Any] = [graph.nodes[j].aval for j in node.inputs]
            views.insert(0, node.op.calculation(operands, node.params))
            (i,) = node.inputs
        aval = single(graph.nodes[o].aval)
        if i in position and aval.shape and 2 * aval.nbytes >= single(graph.nodes[i].aval).nbytes:
            found[k] = (position[i], views)
    return found


def _flops(graph: Graph, i: int) -> float:
    node = graph.nodes[i]
    operands: list[Any] = [graph.nodes[j].aval for j in node.inputs]
    return node.op.flops(operands, node.aval, **dict(node.params))


def _read_elsewhere(graph: Graph, stages: Stages) -> dict[Loop, set[int]]:
    """For each loop the nodes whose whole values are needed: outputs, and what other loops and single nodes read."""
    home = {i: stage for stage in stages.order if isinstance(stage, Loop) for i in stage.nodes}
    found: dict[Loop, set[int]] = {stage: set() for stage in home.values()}
    for o in graph.outputs:
        if o in home:
            found[home[o]].add(o)
    for i, _ in graph.schedule:
        for k, j in enumerate(graph.nodes[i].inputs):
            if j in home and (home.get(i) is not home[j] or not fused(stages.cuts, j, i, k)):
                found[home[j]].add(j)
    return found


def plan_of(graph: Graph, *, guarded: bool = False, step: Callable[[], None] | None = None) -> Plan:
    """The plan of the graph, made once for as long as the graph lives. `step` is asked while it is made."""
    key = "_plan_guarded" if guarded else "_plan"
    found: Plan | None = vars(graph).get(key)
    if found is None:
        found = vars(graph)[key] = Plan(graph, guarded=guarded, step=step)
    return found


def body_of(graph: Graph) -> Body | None:
    """The body of a loop as a function that runs its plan; None for one of small arrays, where that gains nothing."""
    found: Body | None
    if "_body" in vars(graph):
        found = vars(graph)["_body"]
        return found
    sizes = [a.size for a in (*graph.in_avals, *graph.out_avals)]
    found = None
    if max(sizes, default=0) >= WORTH_BODY and not any(node.op.subgraphs for node in graph.nodes):
        plan = Plan(graph, kinks=False)
        found = lambda b, arguments: plan.run(b, arguments).results  # noqa: E731  # kept with the graph
    vars(graph)["_body"] = found
    return found


LOOPS.planner = body_of
