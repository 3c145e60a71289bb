"""The warnings of a landscape: the program is run once more at points that give cause to ask, with all of its values kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from engine.aval import Array
from engine.cost import cost_of
from engine.derive.batch import Batch
from engine.derive.diagnose import MOST_NODES
from engine.derive.first_order import PLANNED_NODES, FirstOrder
from engine.errors import EngineError
from engine.execute.meter import Meter
from engine.landscape.long import CAREFUL, Careful

if TYPE_CHECKING:
    from engine.landscape.job import Landscape

MOST_VALUES = 20_000_000
"""So many values of nodes are looked at; of more, those at points that are spread evenly."""

MOST_POINTS = 1 << 16


class Told:
    """What there is to be said of a landscape's numbers."""

    def __init__(self, job: Landscape, surface: Array, gradients: Sequence[Array]) -> None:
        self.job = job
        self.surface = surface
        self.gradients = gradients

    def warnings(self, meter: Meter) -> list[dict[str, Any]]:
        """Warnings as other verbs give them under a map: an index begins with the place in the grid, a count is one of points
        (times entries). Empty where all is finite and no kink was met."""
        job = self.job
        bad = ~np.isfinite(self.surface)
        for g in self.gradients:
            bad |= ~np.isfinite(g)
        kinked = bool(self.gradients) and job.runner.kinked
        if not bad.any() and not kinked:
            return []
        if job.way.singular is not None:
            return [self._singular()]
        asked = np.flatnonzero(bad)
        if kinked:
            asked = np.arange(bad.size)
        looked_at = asked[_spread(len(asked), self._most())]
        found = self._found(looked_at, meter)
        if bad.any() and not any(w["kind"] != "non-differentiable" for w in found):
            found = [self._plain(bad), *found][: job.limits.warnings]
        if len(looked_at) < len(asked):
            for warning in found:
                warning["detail"] += f" ({len(looked_at):,} of {len(asked):,} points were looked at)"
        return found

    def _most(self) -> int:
        """Points that can be looked at."""
        job = self.job
        graph = job.typed.graph
        one = cost_of(graph, keep=True).bytes + 8 * max(p.size for p in job.arguments)
        if len(graph.nodes) > PLANNED_NODES:
            return max(1, CAREFUL // len(graph.nodes))
        by_memory = job.limits.memory_bytes // (16 * max(one, 1))
        return int(min(MOST_POINTS, by_memory, MOST_VALUES // max(1, len(graph.nodes))))

    def _found(self, asked: Array, meter: Meter) -> list[dict[str, Any]]:
        job = self.job
        typed, program = job.typed, job.program
        if not len(asked) or len(typed.graph.nodes) > MOST_NODES:
            return []
        if len(typed.graph.nodes) > PLANNED_NODES:
            return self._by_points(asked, meter)
        index = np.unravel_index(asked, self.surface.shape)
        arrays = {job.id(i): a for i, a in zip(program.inputs, job.arguments, strict=True)}
        names = list(dict.fromkeys(p.axis.input for p in job.over))
        cores = {n: typed.aval(program.index[n]) for n in names}
        for name in names:
            array = arrays[name]
            many = np.repeat(array.reshape(1, -1), len(asked), axis=0)
            for p, values, at in zip(job.over, job.values_of, index, strict=True):
                if p.axis.input == name:
                    many[:, p.flat] = values[at]
            arrays[name] = many.reshape((len(asked), *array.shape))
        of = job.id(job.of)
        request = replace(
            job.request,
            of=of,
            wrt=tuple(names) if self.gradients else (of,),
            nodes="none",
            mode="auto",
            include=frozenset(),
        )
        batch = Batch((len(asked),), dict.fromkeys(names, (0,)), cores)
        verb = "grad" if self.gradients else "evaluate"
        try:
            again = FirstOrder(verb, typed, request, arrays, batch, job.limits, meter)
            found: list[dict[str, Any]] = again.run(meter)["warnings"]
        except EngineError:
            return []  # the answer is there; what more could be said of it is not worth losing it
        for warning in found:
            member, *rest = warning["index"]
            warning["index"] = [*(int(at[member]) for at in index), *rest]
        return found

    def _by_points(self, asked: Array, meter: Meter) -> list[dict[str, Any]]:
        """Of a long program, which is not worth being mapped."""
        job = self.job
        careful = Careful(job, gradients=bool(self.gradients))
        index = np.unravel_index(asked, self.surface.shape)
        found: dict[tuple[Any, ...], dict[str, Any]] = {}
        for member in range(len(asked)):
            meter.look()
            point = [float(v[at[member]]) for v, at in zip(job.values_of, index, strict=True)]
            try:
                warnings = careful.answer(point, meter)["warnings"]
            except EngineError:
                continue
            for warning in warnings:
                key = (warning["kind"], warning["node"], warning.get("operand"))
                if key in found:
                    found[key]["count"] += warning["count"]
                else:
                    found[key] = warning | {"index": [*(int(at[member]) for at in index), *warning["index"]]}
        return list(found.values())[: job.limits.warnings]

    def _singular(self) -> dict[str, Any]:
        """A matrix that no axis changes is singular."""
        error = self.job.way.singular
        assert error is not None
        of = self.job.id(self.job.of)
        return {
            "kind": "singular-matrix",
            "node": error.node or of,
            "index": [0] * self.surface.ndim,
            "count": self.surface.size,
            "detail": f"{error.detail} The axes do not change it, so that {of} is NaN everywhere.",
        }

    def _plain(self, bad: Array) -> dict[str, Any]:
        of = self.job.id(self.job.of)
        index = [int(k) for k in np.unravel_index(int(np.argmax(bad)), bad.shape)]
        value = self.surface[tuple(index)]
        shown = "NaN" if np.isnan(value) else "infinite" if np.isinf(value) else "finite, its gradient is not"
        return {
            "kind": "non-finite-value",
            "node": of,
            "index": index,
            "count": int(bad.sum()),
            "detail": f"{of} is {shown}",
        }


def _spread(n: int, most: int) -> Array:
    """At most so many of n positions, spread evenly, the first among them."""
    if n <= most:
        return np.arange(n)
    return np.unique(np.linspace(0, n - 1, max(most, 0)).astype(np.int64))
