"""Long programs of scalars, point by point: to map and plan them takes longer than to compute them at a few thousand points."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from engine.aval import Array
from engine.cost import Cost, check
from engine.derive.first_order import PLANNED_NODES, FirstOrder
from engine.derive.on_tape import tape_for
from engine.execute.meter import Meter
from engine.tape import Tape

if TYPE_CHECKING:
    from engine.landscape.job import Landscape

MOST_POINTS = 20_000
"""Of more points the plan is faster: it takes 0.4 ms to make for each node, the tape 20 ns for each node and point."""

CAREFUL = 1_000_000
"""So many nodes (times points) are computed once more where the tape cannot be trusted; of more it is not worth it."""


class Pointwise:
    """The value, and with gradients the derivatives by the axes, at points[n, axes]."""

    singular = None

    def __init__(self, job: Landscape, tape: Tape, points: Array, *, gradients: bool) -> None:
        self.job = job
        self.tape = tape
        self.points = points
        self.gradients = gradients
        self.results = 1 + len(job.over) * gradients
        n, sweeps = len(tape), 1 + 3 * gradients
        self.cost = Cost(
            n, float(n) * len(points) * sweeps, 64 * n + 8 * len(points) * (self.results + len(job.over)), 1.0
        )
        check(self.cost, job.limits, "This landscape")

    def run(self, meter: Meter) -> list[Array] | None:
        """The results, each of n numbers; None where the tape cannot be trusted at too many points."""
        job, typed = self.job, self.job.typed
        of = typed.node(job.of)
        numbers = job.numbers.copy()
        at = [p.position for p in job.over]
        wrt = np.array([typed.node(p.step) for p in job.over])
        results = np.empty((len(self.points), self.results))
        doubtful: list[int] = []
        for k, point in enumerate(self.points):
            meter.check()
            numbers[at] = point
            if self.gradients:
                gradient = self.tape.gradient(numbers, {of: 1.0})
                results[k, 0], results[k, 1:], suspicious = (
                    gradient.v[of],
                    gradient.g[wrt],
                    gradient.suspicious,
                )
                job.runner.kinked = job.runner.kinked or gradient.kinked
            else:
                sweep = self.tape.values(numbers)
                results[k, 0], suspicious = sweep.v[of], sweep.suspicious
            if suspicious:
                doubtful.append(k)
                if len(doubtful) * len(self.tape) > CAREFUL:
                    return None
        if doubtful:
            careful = Careful(job, gradients=self.gradients)
            for k in doubtful:
                results[k] = careful.numbers(self.points[k], meter)
        return list(results.T)


class Careful:
    """evaluate or grad of a landscape's program at single points, node by node where need be."""

    def __init__(self, job: Landscape, *, gradients: bool) -> None:
        self.landscape = job
        self.gradients = gradients
        self.of = job.id(job.of)
        self.names = tuple(dict.fromkeys(p.axis.input for p in job.over))
        self.request = replace(
            job.request,
            of=self.of,
            wrt=self.names if gradients else (self.of,),
            nodes="none",
            mode="auto",
            include=frozenset(),
        )
        self.arrays = {job.id(i): a for i, a in zip(job.program.inputs, job.arguments, strict=True)}
        verb = "grad" if gradients else "evaluate"
        self.job = FirstOrder(verb, job.typed, self.request, self.arrays, None, job.limits, job.meter)

    def answer(self, point: Sequence[float] | Array, meter: Meter) -> dict[str, Any]:
        """The answer at a point of the axes."""
        arrays = dict(self.arrays)
        for name in self.names:
            array = arrays[name].copy()
            for p, x in zip(self.landscape.over, point, strict=True):
                if p.axis.input == name:
                    array.reshape(-1)[p.flat] = x
            arrays[name] = array
        return self.job.bound(self.request, arrays, meter).run(meter)

    def numbers(self, point: Sequence[float] | Array, meter: Meter) -> list[float]:
        """The value and the derivatives there."""
        answer = self.answer(point, meter)
        if not self.gradients:
            return [float(answer["values"][self.of])]
        over = self.landscape.over
        return [
            float(answer["value"]),
            *[float(np.asarray(answer["gradients"][p.axis.input]).reshape(-1)[p.flat]) for p in over],
        ]


def pointwise(job: Landscape, points: Callable[[], Array], *, gradients: bool) -> Pointwise | None:
    """How a landscape is computed by points; None for one that is better computed by its plan."""
    typed = job.typed
    if len(typed.graph.nodes) <= PLANNED_NODES or typed.differentiates or job.asked.points > MOST_POINTS:
        return None
    tape = tape_for(typed)
    return None if tape is None else Pointwise(job, tape, points(), gradients=gradients)
