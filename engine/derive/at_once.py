"""All unit seeds of a linear graph at once, with their structure (`engine.structured`): how a job prepares and runs it."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod
from typing import TYPE_CHECKING

import numpy as np

from engine.aval import Array, Aval
from engine.derive.batch import make_ready
from engine.errors import DeadlineExceeded, EngineError, LimitExceeded
from engine.execute.meter import Meter
from engine.graph import Graph
from engine.sparsity.compression import Compression
from engine.structured import Scattered, Structured, Unstructured

if TYPE_CHECKING:
    from engine.derive.sweep import Swept

FEWEST_SEEDS = 16
"""Unit seeds from which on their structure is kept."""
MANY, FEWER = 1.5, 0.75
"""Where terms of a sparse answer take so many times the nodes of its sweeps, they must take so much less of the operations:
sweeps read their nonzeros in a few strides."""
LARGEST_STRUCTURE = 1 << 20
"""Entries of the largest node whose structure is kept: it takes a number for each."""


class AtOnce:
    """Matrices of derivatives, or their structural nonzeros, without a sweep over seeds.

    It is run without strong zeros. Where something is not finite, or a point without derivative may have been met, there is
    no answer, and the sweep decides.
    """

    def __init__(self, structured: Structured, graph: Graph, scattered: Scattered | None) -> None:
        self.structured = structured
        self.graph = graph
        self.scattered = scattered

    @property
    def nbytes(self) -> int:
        """Memory of positions; that of the graph is its own."""
        return self.structured.nbytes + (0 if self.scattered is None else self.scattered.nbytes)

    def matrices(self, job: Swept, meter: Meter) -> list[Array] | None:
        """As `Swept.sweep`: the batch axes, one axis of all seeds, the result's own."""
        found = self._found(job, meter)
        matrices = None if found is None else self.structured.matrices(found, job.sizes, job.fixed)
        if matrices is None or not self.structured.last:
            return matrices
        return [np.moveaxis(m, -1, len(job.sizes)) for m in matrices]

    def nonzeros(self, job: Swept, meter: Meter) -> Array | None:
        """As `Swept.sweep_compressed`."""
        found = self._found(job, meter)
        return None if found is None or self.scattered is None else self.scattered.data(found, job.dtype)

    def _found(self, job: Swept, meter: Meter) -> list[Array] | None:
        meter.look()
        try:
            results = job.runner.attempt(self.graph, job.fixed, meter)
        except (DeadlineExceeded, LimitExceeded):
            raise
        except EngineError:
            return None  # the sweep meets it too, and tells where
        return None if results is None else [np.asarray(r) for r in results]


def at_once(
    job: Swept,
    linear: Graph,
    last: bool,
    compression: Compression | None,
    symmetric: bool,
    most_bytes: int,
    most_flops: float,
) -> AtOnce | None:
    """The linear graph for all unit seeds, if their structure can be kept and makes it cheaper than the sweeps of `job.cost`.

    With a compression only if the structure lasts to the end: then the terms are the nonzeros.
    """
    seeds = sum(a.size for a in linear.in_avals[len(job.fixed) :])
    if job.runner.guarded or seeds < FEWEST_SEEDS or any(a.size > LARGEST_STRUCTURE for a in _avals(linear)):
        return None
    answers = 0
    if compression is None:
        answers = sum(a.nbytes for a in linear.out_avals) * seeds * prod(job.sizes)
    try:
        found = Structured(
            linear,
            len(job.fixed),
            last,
            job.dtype,
            sparse=compression is not None,
            symmetric=symmetric and job.batch is None and len(linear.outputs) == 1,
            max_elements=job.limits.elements,
            step=job.step,
        )
        scattered = None
        if compression is not None:
            sizes = [a.size for a in linear.out_avals]
            scattered = Scattered.of(found, sizes, compression.rows, compression.columns)
            if scattered is None:
                return None
        found.terms.clear()
        graph, cost = job.runner.prepare(found.graph, job.fixed_axes, "This", plan=False)
    except (LimitExceeded, Unstructured):
        return None
    # Seeds are written, read and, for nonzeros, gathered beside what a sweep computes.
    most = job.cost.flops + (seeds * seeds if compression is None else 4.0 * len(compression.rows))
    if compression is not None and cost.nodes > MANY * job.cost.nodes:
        most *= FEWER
    if cost.bytes > most_bytes + 3 * answers or cost.largest_step > most_flops or cost.flops > most:
        return None
    make_ready(graph, guarded=False, step=job.step)
    return AtOnce(found, graph, scattered)


def _avals(graph: Graph) -> Iterator[Aval]:
    """Avals of all results of a graph's nodes."""
    for node in graph.nodes:
        yield from (node.aval,) if isinstance(node.aval, Aval) else node.aval
