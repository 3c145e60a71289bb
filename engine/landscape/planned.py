"""A landscape by the plan of its mapped graph: all points of the grid together, in parts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from engine.aval import Array
from engine.cost import Cost
from engine.errors import SingularMatrix
from engine.execute.meter import Meter
from engine.landscape.substitute import worth_it

if TYPE_CHECKING:
    from engine.landscape.job import Landscape


class Planned:
    """The value, and with gradients the derivatives by the axes, at all combinations of the axes' values."""

    def __init__(self, job: Landscape) -> None:
        self.job = job
        self.whole = not worth_it(job.typed, job.over)
        self.section = job.section(gradients=job.asked.gradients, whole=self.whole)
        self.grid = self.section.grid(job.values_of)
        first, rest = self.section.cost, self.grid.cost
        self.cost = Cost(
            first.nodes + rest.nodes,
            first.flops + rest.flops,
            first.bytes + rest.bytes,
            max(first.largest_step, rest.largest_step),
        )

    @property
    def singular(self) -> SingularMatrix | None:
        """The error of a matrix that no axis changes; known when all has been computed."""
        return self.section.singular

    def run(self, meter: Meter) -> list[Array]:
        """The results, each of the grid's shape. Points whose numbers cannot be trusted are computed once more, with whole
        arrays."""
        results = self.grid.run(meter)
        if self.whole or self.singular is not None:
            return results
        doubtful = np.zeros(results[0].shape, bool)
        for result in results:
            doubtful |= ~np.isfinite(result)
        if not self.section.trusted:
            doubtful[...] = True
        if doubtful.any():
            places = np.nonzero(doubtful)
            points = np.stack([v[at] for v, at in zip(self.job.values_of, places, strict=True)], axis=1)
            again = self.job.section(gradients=self.job.asked.gradients, whole=True)
            for result, found in zip(results, again.points(points).run(meter), strict=True):
                result[places] = found
            self.section.singular = again.singular
        return results
