"""A program once more, every node for itself: what derived and mapped graphs no longer know of its steps."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from engine.aval import Array
from engine.derive.job import Job
from engine.errors import DeadlineExceeded, EngineError, LimitExceeded
from engine.execute.eager import forward
from engine.execute.meter import Meter
from engine.graph import Graph
from engine.transforms.vmap import vmap_nodes

Axes = Sequence[tuple[int | None, ...]]


def over_maps(job: Job, meter: Meter, graph: Graph, axes: Axes) -> tuple[Graph, list[Any], list[list[bool]]]:
    """A graph under the request's maps; where each of its nodes is there, and with which of the batch axes it leads."""
    places: list[Any] = list(range(len(graph.nodes)))
    leads: list[list[bool]] = [[] for _ in graph.nodes]
    for level in range(len(job.sizes) - 1, -1, -1):
        b, place, led = vmap_nodes(
            graph,
            job.sizes[level],
            [a[level] is not None for a in axes],
            job.dtype,
            max_elements=job.limits.elements,
            step=meter.check,
        )
        for i, p in enumerate(places):
            some = p if not isinstance(p, tuple) else p[0]
            leads[i].insert(0, led[some])
            places[i] = tuple(place[q] for q in p) if isinstance(p, tuple) else place[p]
        graph = Graph(tuple(b.nodes), tuple(b.inputs), ())
    return graph, places, leads


def run_again(
    job: Job,
    meter: Meter,
    graph: Graph,
    arguments: Sequence[Array],
    axes: Axes,
    blame: Callable[[int, EngineError], EngineError],
) -> list[Any]:
    """Values of all nodes of a graph that `over_maps` gave."""
    moved = [batch_first(np.asarray(a), k) for a, k in zip(arguments, axes, strict=True)]
    with np.errstate(all="ignore"):
        return forward(graph, [m[()] for m in moved], job.eager(meter), meter, blame)


@contextmanager
def naming(job: Job, meter: Meter) -> Iterator[None]:
    """Errors of a derived or mapped graph, which knows no steps, with the step that causes them in the program itself."""
    try:
        yield
    except EngineError as error:
        if error.node is None and not isinstance(error, DeadlineExceeded | LimitExceeded):
            found = _named(job, meter, error)
            if found is not None:
                raise found from None
        for i, step in enumerate(job.program.steps):
            if step.id == error.node:
                error.at(error.node, job.program.where(i))
        raise


def _named(job: Job, meter: Meter, error: EngineError) -> EngineError | None:
    """The error that the program raises when it is run once more; None if it is another one, or cannot be found in time."""
    try:
        graph, places, _ = over_maps(job, meter, job.typed.graph, job.axes)
        ends = [max(p) if isinstance(p, tuple) else p for p in places]
        ends = np.maximum.accumulate(np.asarray(ends, np.int64)).tolist()
        run_again(job, meter, graph, job.arguments, job.axes, lambda i, e: job.blame(bisect_left(ends, i), e))
    except EngineError as found:
        return found if found.kind == error.kind else None
    return None


def batch_first(array: Array, axes: Sequence[int | None]) -> Array:
    """The mapped axes in front, outermost first."""
    front = 0
    for axis in axes:
        if axis is not None:
            array = np.moveaxis(array, front + axis, front)
            front += 1
    return array
