"""`in_axes`: maps over axes of inputs, outermost first, and running a graph under them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from engine.aval import Array, Aval, DType, aval_of
from engine.builder import EagerBuilder
from engine.cost import Cost, Limits, check, cost_of
from engine.errors import (
    EngineError,
    InvalidField,
    LimitExceeded,
    ShapeMismatch,
    UnknownInput,
    Where,
    nearest,
    quoted,
)
from engine.execute.meter import Meter
from engine.execute.plan import plan_of
from engine.graph import Graph
from engine.program import Program
from engine.specialize import pointer_part
from engine.tape import expanded_of
from engine.transforms.simplify import simplify
from engine.transforms.vmap import map_graph

MAX_MAPS = 8
"""Most maps in one request, each inside the one before."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Maps, outermost first: their sizes, and for each mapped input its axis in each map (in what the maps outside leave)."""

    sizes: tuple[int, ...]
    axes: Mapping[str, tuple[int | None, ...]]
    cores: Mapping[str, Aval]

    def of(self, name: str) -> tuple[int | None, ...]:
        """Axes of an input in each map, None where it is not mapped."""
        return self.axes.get(name, (None,) * len(self.sizes))


def read_batch(program: Program, arrays: Mapping[str, Array], in_axes: Sequence[Mapping[str, int]]) -> Batch:
    """Check `in_axes` against the inputs.

    Raises `UnknownInput`, `InvalidField` (an axis that is not there, no input mapped), `ShapeMismatch` (sizes differ).
    """
    if len(in_axes) > MAX_MAPS:
        raise LimitExceeded("in_axes", MAX_MAPS, len(in_axes), where=Where(pointer="/in_axes"))
    cores = {name: aval_of(a) for name, a in arrays.items()}
    axes: dict[str, list[int | None]] = {name: [] for name in arrays}
    sizes: list[int] = []
    for level, mapping in enumerate(in_axes):
        pointer = f"/in_axes/{level}" if len(in_axes) > 1 else "/in_axes"
        if not mapping:
            raise InvalidField("A map needs at least one input and its axis.", where=Where(pointer=pointer))
        size: int | None = None
        first = ""
        for name, axis in mapping.items():
            at = Where(pointer=f"{pointer}/{pointer_part(name)}")
            if name not in cores:
                near = nearest(name, cores)
                raise UnknownInput(
                    f"in_axes: {quoted(name)} is no input.", node=name, where=at, suggestions=near
                )
            aval = cores[name]
            if not -aval.rank <= axis < aval.rank:
                raise InvalidField(
                    f"in_axes: {quoted(name)} has shape {list(aval.shape)}, and so no axis {axis}.",
                    node=name,
                    where=at,
                )
            k = axis % aval.rank
            if size is None:
                size, first = aval.shape[k], name
            elif aval.shape[k] != size:
                raise ShapeMismatch(
                    f"in_axes: axis {axis} of {quoted(name)} has size {aval.shape[k]}, but the mapped axis of "
                    f"{quoted(first)} has {size}; mapped axes must be of one size.",
                    node=name,
                    where=at,
                )
            cores[name] = Aval(aval.shape[:k] + aval.shape[k + 1 :], aval.dtype)
            axes[name].append(k)
        assert size is not None
        sizes.append(size)
        for found in axes.values():
            if len(found) <= level:
                found.append(None)
    return Batch(tuple(sizes), {n: tuple(a) for n, a in axes.items() if any(x is not None for x in a)}, cores)


class Runner:
    """Maps a graph over the batch, checks its cost, and runs it. `meter` is that of the preparation."""

    def __init__(self, batch: Batch | None, dtype: DType, limits: Limits, meter: Meter) -> None:
        self.batch = batch
        self.dtype = dtype
        self.limits = limits
        self.meter = meter
        self.traced: Callable[[], Callable[[EngineError, Meter], EngineError] | None] = lambda: None
        """A weak reference to what finds the step to which an error of a run belongs: a derived graph's nodes have no names
        of the user's. It is the runner's owner, and a circle would keep its arrays until the collector comes by."""
        self.guarded = False
        """Whether strong zeros must be kept on the way: where the program uses derivatives itself."""
        self.kinked = False
        """Whether a run may have met a point without derivative."""
        self.finite = True
        """Whether all results of its runs were finite."""
        self.met = 0
        """Bytes that the way back over a loop took whose length showed only when it was computed."""

    def admit(self, graph: Graph) -> None:
        """Check what a graph will cost that was made while computing. Raises `LimitExceeded`."""
        cost = cost_of(graph)
        check(cost, self.limits, "The way back through this loop")
        self.met = max(self.met, cost.bytes)

    def builder(self, meter: Meter) -> EagerBuilder:
        """What computes at once, under the limits."""
        return EagerBuilder(
            self.dtype, meter.check, record_bytes=self.limits.record_bytes(), admit=self.admit
        )

    def prepare(
        self, graph: Graph, axes: Sequence[tuple[int | None, ...]], what: str, *, plan: bool = True
    ) -> tuple[Graph, Cost]:
        """The graph mapped, simplified and (unless it may never be run) planned, and its cost. Raises `LimitExceeded`."""
        if self.batch is not None:
            for level in range(len(self.batch.sizes) - 1, -1, -1):
                graph = map_graph(
                    graph,
                    self.batch.sizes[level],
                    [a[level] for a in axes],
                    self.dtype,
                    max_elements=self.limits.elements,
                    step=self.meter.check,
                )
        graph = simplify(graph, self.dtype, self.meter.check)
        cost = cost_of(graph)
        check(cost, self.limits, what)
        if plan:
            make_ready(graph, guarded=self.guarded, step=self.meter.check)
        return graph, cost

    def run(self, graph: Graph, arguments: Sequence[Any], meter: Meter) -> list[Any]:
        """The graph's results, by its plan: without guards of strong zeros, and with them where that is not finite."""
        try:
            found = None if self.guarded else on_entries(graph, arguments)
            if found is not None:
                results, kinked = found
            else:
                results, kinked, finite = plan_of(graph, guarded=self.guarded).run(
                    self.builder(meter), arguments
                )
                if not self.guarded and not finite:
                    results, kinked, finite = plan_of(graph, guarded=True).run(self.builder(meter), arguments)
                self.finite = self.finite and finite
        except EngineError as error:
            traced = self.traced()
            raise (error if traced is None else traced(error, meter)) from None
        self.kinked = self.kinked or kinked
        return results

    def attempt(self, graph: Graph, arguments: Sequence[Any], meter: Meter) -> list[Any] | None:
        """The graph's results; None where one is not finite, or a point without derivative may have been met."""
        return attempt(graph, arguments, self.builder(meter), guarded=self.guarded)


def attempt(graph: Graph, arguments: Sequence[Any], b: EagerBuilder, *, guarded: bool) -> list[Any] | None:
    """See `Runner.attempt`."""
    found = None if guarded else on_entries(graph, arguments)
    if found is not None:
        return None if found[1] else found[0]
    results, kinked, finite = plan_of(graph, guarded=guarded).run(b, arguments)
    return None if kinked or not finite else results


def make_ready(graph: Graph, *, guarded: bool, step: Callable[[], None] | None = None) -> None:
    """Compile a graph for the executor that will run it. `step` is asked on the way, and may raise."""
    if guarded or expanded_of(graph) is None:
        plan_of(graph, guarded=guarded, step=step)


def on_entries(graph: Graph, arguments: Sequence[Any]) -> tuple[list[Any], bool] | None:
    """Results of a graph of small arrays number by number on the tape, all finite, and whether a kink may have been met.

    None for other graphs, and where something is not finite.
    """
    expanded = expanded_of(graph)
    if expanded is None:
        return None
    if _may_kink(graph):
        at = expanded.linearize(arguments)
        return None if at.suspicious else (at.results, at.kinked)
    results, suspicious = expanded.values(arguments)
    return None if suspicious else (results, False)


def _may_kink(graph: Graph) -> bool:
    """Whether an op of the graph has a convention in place of a derivative somewhere."""
    found: bool | None = vars(graph).get("_may_kink")
    if found is None:
        found = vars(graph)["_may_kink"] = any(node.op.convention for node in graph.nodes)
    return found
