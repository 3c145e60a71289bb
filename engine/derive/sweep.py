"""A linear graph computed for every entry of its seeds, in vectorised sweeps: how matrices of derivatives come about."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from engine.aval import Array, Aval
from engine.cost import Cost, check, cost_of
from engine.derive.job import Job
from engine.execute.meter import Meter
from engine.graph import Graph, single
from engine.transforms.vmap import map_graph

CHUNK_BYTES = 1 << 28
"""Memory that one vectorised sweep over seeds may take; larger Jacobians go in several."""


class Swept(Job):
    """What jacobian, hessian and forward-mode grad share: a linear graph mapped over the entries of its seeds."""

    def prepare_sweep(
        self,
        linear: Graph,
        fixed: Sequence[Array],
        fixed_axes: Sequence[tuple[int | None, ...]],
        seeds: Sequence[Aval],
    ) -> None:
        """`linear`: fixed arguments, then one seed of each aval → results, to be computed for every basis seed."""
        self.linear = linear
        self.fixed = fixed
        self.fixed_axes = list(fixed_axes)
        self.seed_avals = list(seeds)
        self.passes = sum(a.size for a in seeds)
        one = cost_of(linear)
        members = int(np.prod(self.sizes)) if self.sizes else 1
        self.chunk = max(1, min(self.passes, int(CHUNK_BYTES // max(1, one.bytes * members))))
        largest = (
            max((single(n.aval).size for n in linear.nodes if isinstance(n.aval, Aval)), default=1) * members
        )
        self.chunk = max(1, min(self.chunk, int(self.limits.elements // max(1, largest)) or 1))
        self.plans: dict[int, Graph] = {}
        for n, times in ((self.chunk, self.passes // self.chunk), (self.passes % self.chunk, 1)):
            if n and times:
                self.plans[n], cost = self._plan(n)
                self.cost = Cost(
                    self.cost.nodes + cost.nodes * times,
                    self.cost.flops + cost.flops * times,
                    max(self.cost.bytes, cost.bytes),
                    max(self.cost.largest_step, cost.largest_step),
                )
        check(self.cost, self.limits, "This")

    def _plan(self, n: int) -> tuple[Graph, Cost]:
        """The sweep over `n` seeds at once."""
        axes = [None] * len(self.fixed) + [0] * len(self.seed_avals)
        swept = map_graph(self.linear, n, axes, self.dtype, step=self.step)
        return self.runner.prepare(swept, [*self.fixed_axes, *[self.none] * len(self.seed_avals)], "This")

    def sweep(self, meter: Meter) -> list[Array]:
        """Results for all basis seeds: the batch axes, then one axis of all passes, then the result's own."""
        parts: list[list[Any]] = []
        for start in range(0, self.passes, self.chunk):
            n = min(self.chunk, self.passes - start)
            meter.look()
            seeds = basis(self.seed_avals, start, n, self.dtype)
            parts.append(self.runner.run(self.plans[n], [*self.fixed, *seeds], meter))
        axis = len(self.sizes)
        if not parts:
            return [np.zeros((*self.sizes, 0, *a.shape), self.dtype) for a in self.linear.out_avals]
        return [
            np.concatenate(p, axis=axis) if len(p) > 1 else np.asarray(p[0]) for p in zip(*parts, strict=True)
        ]

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


def basis(avals: Sequence[Aval], start: int, n: int, dtype: str) -> list[Array]:
    """Rows `start` … `start + n` of the identity, cut to the seeds' shapes."""
    seeds = []
    offset = 0
    for aval in avals:
        rows = np.zeros((n, aval.size), dtype)
        first, last = max(start, offset), min(start + n, offset + aval.size)
        for k in range(first, last):
            rows[k - start, k - offset] = 1
        seeds.append(rows.reshape(n, *aval.shape))
        offset += aval.size
    return seeds
