"""A linear graph computed for many seeds, in vectorised sweeps: how matrices of derivatives come about."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from engine.aval import Array, Aval
from engine.builder import GraphBuilder
from engine.cost import Cost, check, inner_cost, node_bytes
from engine.derive.again import naming
from engine.derive.at_once import AtOnce, at_once
from engine.derive.batch import make_ready
from engine.derive.job import Job
from engine.derive.watched import watched
from engine.errors import DeadlineExceeded, EngineError, LimitExceeded
from engine.execute.finite import all_finite
from engine.execute.meter import Meter
from engine.graph import Graph, single
from engine.sparsity.compression import Compression
from engine.sparsity.readout import Readout
from engine.tape import expanded_of
from engine.transforms.vmap import map_graph

CHUNK_BYTES = 1 << 28
"""Memory that one vectorised sweep over seeds may take; larger Jacobians go in several."""
STEP_FLOPS = 4e9
"""Floating-point operations of the largest step of such a sweep: it cannot be stopped on the way (0.1 s or so)."""

Seeds = Callable[[int, int], list[Array]]
"""Seeds for the passes `start` … `start` + n, led by an axis of n."""


class Cells(NamedTuple):
    """Where nonzeros go: sizes of the answer's blocks, and the column of each that is swept by, if these are others."""

    heights: Sequence[int]
    widths: Sequence[int]
    columns: Array | None = None


class Swept(Job):
    """What jacobian, hessian and forward-mode grad share: a linear graph mapped over its seeds."""

    readout: Readout | None = None
    """How the nonzeros of a sparse answer are read from the sweeps."""
    colours: Array
    """Beside it: for each entry of the seeds, its sweep."""
    sweeps: Mapping[int, Graph] = {}
    """The linear graph mapped, by the number of seeds that are swept at once."""
    seen: Graph | None = None
    """The graph of values (and gradients), looked at on the way."""
    at_once: AtOnce | None = None
    """The linear graph for all unit seeds at once, where their structure makes that cheaper than `sweeps`."""

    @property
    def fixed(self) -> Sequence[Array]:
        """The arguments of the linear graph that are no seeds."""
        raise NotImplementedError

    def graphs(self) -> Iterable[Graph]:
        """Those of the sweeps as well."""
        yield from super().graphs()
        yield from self.sweeps.values()
        if self.at_once is not None:
            yield self.at_once.graph

    @property
    def nbytes(self) -> int:
        """With what a sparse answer is read by."""
        extra = 0 if self.readout is None else self.readout.nbytes + self.colours.nbytes
        return super().nbytes + extra + (0 if self.at_once is None else self.at_once.nbytes)

    def prepare_sweep(
        self,
        linear: Graph,
        fixed_axes: Sequence[tuple[int | None, ...]],
        seeds: Sequence[Aval],
        compression: Compression | None = None,
        cells: Cells | None = None,
        *,
        last: bool = False,
        symmetric: bool = False,
    ) -> None:
        """`linear`: fixed arguments, then one seed of each aval → results; computed for every entry of the seeds, or for
        those that a compression takes together, whose nonzeros lie in `cells` of the answer. `last` says that seeds belong to
        columns of the answer, not to rows; `symmetric` that the answer is a symmetric matrix."""
        self.linear = linear
        self.fixed_axes = list(fixed_axes)
        self.seed_avals = list(seeds)
        self.readout = None
        self.passes = sum(a.size for a in seeds) if compression is None else compression.count
        members = int(np.prod(self.sizes)) if self.sizes else 1
        memory, largest, flops = _growing(linear, len(self.fixed))
        self.chunk = max(1, min(self.passes, CHUNK_BYTES // max(1, memory * members)))
        self.chunk = max(1, min(self.chunk, self.limits.elements // max(1, largest * members)))
        self.chunk = max(1, min(self.chunk, int(STEP_FLOPS // max(1.0, flops * members))))
        sweeps: dict[int, Graph] = {}
        self.sweeps = sweeps
        for n, times in ((self.chunk, self.passes // self.chunk), (self.passes % self.chunk, 1)):
            if n and times:
                sweeps[n], cost = self._plan(n)
                self.cost = Cost(
                    self.cost.nodes + cost.nodes * times,
                    self.cost.flops + cost.flops * times,
                    max(self.cost.bytes, cost.bytes),
                    max(self.cost.largest_step, cost.largest_step),
                )
        check(self.cost, self.limits, "This")
        self.at_once = at_once(self, linear, last, compression, symmetric, CHUNK_BYTES, STEP_FLOPS)
        if self.at_once is None:
            for graph in sweeps.values():
                make_ready(graph, guarded=self.runner.guarded, step=self.step)
        if compression is not None and cells is not None:
            self.readout = Readout(
                compression.rows,
                compression.columns if cells.columns is None else cells.columns[compression.columns],
                compression.sweeps,
                compression.places,
                heights=cells.heights,
                widths=cells.widths,
                results=[a.size for a in linear.out_avals],
                starts=range(0, self.passes, self.chunk),
            )
            self.colours = compression.colours

    def watching(self, graph: Graph, nodes: Collection[int], plain: Graph) -> bool:
        """Let `graph`, of which `plain` was prepared, be looked at on the way, in `seen`. Whether that can be done."""
        self.seen = None
        if self.batch is None and not self.runner.guarded and expanded_of(plain) is None:
            found = watched(graph, nodes)
            if found is not None:
                axes = [()] * len(graph.inputs)
                self.seen, _ = self.runner.prepare(found, axes, "This")
        return self.seen is not None

    def run_seen(self, plain: Graph, arguments: Sequence[Array], meter: Meter) -> tuple[list[Any], bool]:
        """Results of what was prepared, and whether all values on the way are known to be finite."""
        if self.seen is not None and all_finite(self.arguments):
            try:
                found = self.runner.attempt(self.seen, arguments, meter)
            except (DeadlineExceeded, LimitExceeded):
                raise
            except EngineError:
                found = None
            if found is not None:
                return found, True
        return self.runner.run(plain, arguments, meter), False

    def _plan(self, n: int) -> tuple[Graph, Cost]:
        """The sweep over `n` seeds at once."""
        over = [None] * len(self.fixed) + [0] * len(self.seed_avals)
        # A single seed needs no map, only the axis.
        swept = self._single() if n == 1 else map_graph(self.linear, n, over, self.dtype, step=self.step)
        axes = [*self.fixed_axes, *[self.none] * len(self.seed_avals)]
        return self.runner.prepare(swept, axes, "This", plan=False)

    def _single(self) -> Graph:
        """`linear` for one seed, which leads with an axis of 1; so do the results."""
        b = GraphBuilder(self.dtype, step=self.step)
        ins = self.linear.in_avals
        refs = [b.input(a) for a in ins[: len(self.fixed)]]
        seeds = [(b.input(Aval((1, *a.shape), a.dtype)), a.shape) for a in ins[len(self.fixed) :]]
        refs += [b.core("reshape", seed, shape=shape) for seed, shape in seeds]
        outs = b.inline(self.linear, refs)
        return b.build(
            [
                b.core("reshape", o, shape=(1, *a.shape))
                for o, a in zip(outs, self.linear.out_avals, strict=True)
            ]
        )

    def _chunks(self, seeds: Seeds, meter: Meter) -> Iterator[tuple[int, list[Any]]]:
        """(first pass, results with an axis of the chunk's passes behind the batch axes) for each chunk."""
        for start in range(0, self.passes, self.chunk):
            n = min(self.chunk, self.passes - start)
            meter.look()
            with naming(self, meter):
                found = self.runner.run(self.sweeps[n], [*self.fixed, *seeds(start, n)], meter)
            yield start, found

    def sweep(self, meter: Meter) -> tuple[list[Array], bool]:
        """Results for all basis seeds: the batch axes, then one axis of all passes, then the result's own; and whether they
        are known to be finite."""
        if self.at_once is not None:
            found = self.at_once.matrices(self, meter)
            if found is not None:
                return found, True
        return self._sweep_all(meter), False

    def _sweep_all(self, meter: Meter) -> list[Array]:
        """By all seeds, each as if nothing were known of it."""
        seeds: Seeds = lambda start, n: basis(self.seed_avals, start, n, self.dtype)  # noqa: E731  # a name for its type
        parts = [results for _, results in self._chunks(seeds, meter)]
        axis = len(self.sizes)
        if not parts:
            return [np.zeros((*self.sizes, 0, *a.shape), self.dtype) for a in self.linear.out_avals]
        return [
            np.concatenate(p, axis=axis) if len(p) > 1 else np.asarray(p[0]) for p in zip(*parts, strict=True)
        ]

    def sweep_compressed(self, meter: Meter) -> tuple[list[Array], bool]:
        """The structural nonzeros of each block, as the readout has them; and whether they are known to be finite. There are
        no batch axes."""
        readout = self.readout
        assert readout is not None
        if self.at_once is not None:
            found = self.at_once.nonzeros(self, meter)
            if found is not None:
                return readout.split(found), True
        data = readout.empty(self.dtype)
        for start, results in self._chunks(self._joint, meter):
            readout.read(data, results, start)
        return readout.added(data), False

    def _joint(self, start: int, n: int) -> list[Array]:
        """Seeds of the sweeps `start` … `start` + n: 1 for all entries that are swept together."""
        found, offset = [], 0
        for aval in self.seed_avals:
            colours = self.colours[offset : offset + aval.size] - start
            offset += aval.size
            seeds = np.zeros((n, aval.size), self.dtype)
            there = np.flatnonzero((colours >= 0) & (colours < n))
            seeds[colours[there], there] = 1
            found.append(seeds.reshape(n, *aval.shape))
        return found

    def cut(self, swept: Array, rows: Sequence[int]) -> dict[int, Array]:
        """The axis of all passes cut into the blocks of the steps `rows`, each with that step's own shape in its place."""
        nb = len(self.sizes)
        blocks: dict[int, Array] = {}
        offset = 0
        for r in rows:
            aval = self.typed.aval(r)
            part = swept[(slice(None),) * nb + (slice(offset, offset + aval.size),)]
            offset += aval.size
            blocks[r] = part.reshape((*part.shape[:nb], *aval.shape, *part.shape[nb + 1 :]))
        return blocks

    def columns_last(self, block: Array, rank: int) -> Array:
        """A block whose first `rank` axes (behind the batch) belong to the column, with these axes at the end."""
        nb = len(self.sizes)
        return block.transpose([*range(nb), *range(nb + rank, block.ndim), *range(nb, nb + rank)])


def _growing(linear: Graph, fixed: int) -> tuple[int, int, float]:
    """Bytes alive at one time, elements of the largest array, and flops of the largest step, of what depends on a seed.

    Only these are multiplied by the number of seeds that are swept at once; a large constant matrix is not.
    """
    nodes = linear.nodes
    grows = [False] * len(nodes)
    sizes = [0] * len(nodes)
    largest = total = 0
    flops = 0.0
    for i in linear.inputs[fixed:]:
        grows[i] = True
        sizes[i] = node_bytes(nodes[i])
        largest = max(largest, single(nodes[i].aval).size)
        total += sizes[i]
    peak = total
    for i, dying in linear.schedule:
        node = nodes[i]
        if any(grows[j] for j in node.inputs):
            grows[i] = True
            sizes[i] = node_bytes(node)
            avals = (node.aval,) if isinstance(node.aval, Aval) else node.aval
            largest = max(largest, *(a.size for a in avals))
            total += sizes[i]
            if node.op.subgraphs:
                inside = inner_cost(node)
                peak = max(peak, total + inside.bytes)
                flops = max(flops, inside.largest_step)
            else:
                peak = max(peak, total)
                operands: list[Any] = [nodes[j].aval for j in node.inputs]
                flops = max(flops, node.op.flops(operands, node.aval, **dict(node.params)))
        for j in dying:
            total -= sizes[j]
    return peak, largest, flops


def basis(avals: Sequence[Aval], start: int, n: int, dtype: str) -> list[Array]:
    """Rows `start` … `start + n` of the identity, cut to the seeds' shapes."""
    seeds = []
    offset = 0
    for aval in avals:
        rows = np.zeros((n, aval.size), dtype)
        there = np.arange(max(start, offset), min(start + n, offset + aval.size))
        rows[there - start, there - offset] = 1
        seeds.append(rows.reshape(n, *aval.shape))
        offset += aval.size
    return seeds
