"""landscape: a scalar node over a grid of one or two scalars."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from engine.aval import Array, Aval
from engine.cost import Cost, check, check_answer
from engine.derive.job import Job
from engine.derive.request import resolve_of, resolve_wrt
from engine.errors import LimitExceeded, NonScalarOutput, Where
from engine.execute.meter import Meter
from engine.landscape.axes import Axis, Placed, coordinates, placed
from engine.landscape.long import Pointwise, pointwise
from engine.landscape.planned import Planned
from engine.landscape.section import Chunks, Section
from engine.landscape.told import Told
from engine.values import Given


@dataclass(frozen=True, slots=True)
class Asked:
    """The fields of the request that are the verb's own."""

    axes: tuple[Axis, ...]
    gradients: bool = False
    path: tuple[Sequence[float] | Mapping[str, Given], ...] | None = None

    @property
    def points(self) -> int:
        """How many points are to be computed."""
        return prod(a.num for a in self.axes) + len(self.path or ())


class Landscape(Job):
    """Values, and with `gradients` derivatives, at all points of the grid, and values at those of the path."""

    reusable = False

    def __init__(self, asked: Asked, *args: Any) -> None:
        super().__init__(*args)
        self.asked = asked
        typed, request, limits = self.typed, self.request, self.limits
        check_points(asked.points, limits.landscape_points)
        self.of = resolve_of(typed, request)
        resolve_wrt(typed, request)
        aval = typed.aval(self.of)
        if aval.shape:
            raise NonScalarOutput(
                f"'{self.id(self.of)}' has shape {list(aval.shape)}; a landscape is of one number. Choose a scalar node "
                "with `of`, or write sum(…), mean(…) or an entry of it into the program.",
                node=self.id(self.of),
                where=Where(pointer="/of"),
            )
        self.over: list[Placed] = placed(typed, asked.axes)
        self.values_of = [p.axis.values(self.dtype) for p in self.over]
        shape = tuple(p.axis.num for p in self.over)
        derivatives = len(shape) * asked.gradients
        check_answer([Aval(shape, self.dtype)] * (1 + derivatives), limits)
        start = np.array([self.arguments[p.position].reshape(-1)[p.flat] for p in self.over], np.float64)
        self.path: Array | None = None
        if asked.path is not None:
            self.path = coordinates(typed, self.over, asked.path, start)

        self.way: Planned | Pointwise = pointwise(self, self.lattice, gradients=asked.gradients) or Planned(
            self
        )
        self.along: Chunks | Pointwise | None = None
        if self.path is not None:
            path = self.path
            self.along = pointwise(self, lambda: path, gradients=False) or self._on_path(path)
        parts = [self.way.cost, *([] if self.along is None else [self.along.cost])]
        self.cost = Cost(
            sum(c.nodes for c in parts),
            sum(c.flops for c in parts),
            sum(c.bytes for c in parts),
            max(c.largest_step for c in parts),
        )
        check(self.cost, limits, "This landscape")

    def run(self, meter: Meter) -> dict[str, Any]:
        """The answer's fields."""
        results = self.way.run(meter)
        if results is None:  # not to be trusted
            self.way = Planned(self)
            results = self.way.run(meter)
        surface, *gradients = [r.reshape([len(v) for v in self.values_of]) for r in results]
        answer = self.head(self.of)
        answer["axes"] = [
            {
                "input": p.axis.input,
                **({"index": list(p.axis.index)} if p.axis.index else {}),
                "label": p.axis.label,
                "start": p.axis.start,
                "stop": p.axis.stop,
                "num": p.axis.num,
                "values": values,
            }
            for p, values in zip(self.over, self.values_of, strict=True)
        ]
        answer["surface"] = surface
        if self.asked.gradients:
            answer["gradients"] = gradients
        answer["minimum"] = self._minimum(surface)
        if self.along is not None and self.path is not None:
            found = self.along.run(meter)
            values = (self._on_path(self.path).run(meter) if found is None else found)[0]
            points = self.path.astype(self.dtype)
            answer["path"] = [
                {"value": v, "at": self._at(point)} for v, point in zip(values, points, strict=True)
            ]
        told = Told(self, surface, gradients)
        return answer | self.tail(None) | {"warnings": told.warnings(meter)}

    def lattice(self) -> Array:
        """The points of the grid in C order, float64[points, axes]."""
        crossed = np.meshgrid(*self.values_of, indexing="ij")
        return np.stack([c.reshape(-1) for c in crossed], axis=1).astype(np.float64)

    def section(self, *, gradients: bool, whole: bool) -> Section:
        """The function of the axes alone."""
        return Section(
            self.typed, self.of, self.over, self.arguments, self.limits, self.meter,
            gradients=gradients, whole=whole, runner=self.runner,
        )  # fmt: skip

    def _on_path(self, path: Array) -> Chunks:
        return self.section(gradients=False, whole=True).points(path)

    def _minimum(self, surface: Array) -> dict[str, Any] | None:
        """The smallest value and its first place in C order; None if there are only NaN."""
        flat = surface.reshape(-1)
        if np.isnan(flat).all():
            return None
        k = int(np.nanargmin(flat))
        index = [int(i) for i in np.unravel_index(k, surface.shape)]
        point = [v[i] for v, i in zip(self.values_of, index, strict=True)]
        return {"value": flat[k], "at": self._at(point), "index": index}

    def _at(self, point: Sequence[Any] | Array) -> dict[str, Any]:
        return {p.axis.label: x for p, x in zip(self.over, point, strict=True)}


def check_points(points: int, most: int) -> None:
    """Raise `LimitExceeded` for a grid (with its path) of more points than are computed."""
    if points > most:
        raise LimitExceeded(
            "landscape_points",
            most,
            points,
            f"The landscape has {points:,} points; the limit is {most:,}.",
            where=Where(pointer="/axes"),
        )
