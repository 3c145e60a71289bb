"""`POST /v1/landscape`."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from engine.derive import prepare_with
from engine.landscape import Asked, Landscape
from engine.landscape.job import check_points
from engine.render.dot import to_dot
from engine.values import Given
from service.learn.pictured import Pictured
from service.openapi import Operation
from service.plots import PICTURES
from service.schemas.landscape import LandscapeAnswer
from service.work import refuse_in_axes

if TYPE_CHECKING:
    from matplotlib.figure import Figure

OPERATION = Operation(
    "The function over a grid",
    "Values over one or two inputs (or entries of inputs), with gradients, the minimum and a path. "
    "`Accept: image/svg+xml` or `image/png` draws them, if the server has Matplotlib.",
    LandscapeAnswer,
    PICTURES,
    errors=(501,),
)


class LandscapeWork(Pictured):
    """A request for landscape."""

    @property
    def large(self) -> bool:
        """Always: graphs are made and mapped."""
        return True

    def make_plan(self) -> None:
        """Ask the engine for a job. An axis over a whole input gives it its values, so that it needs none in `inputs`."""
        refuse_in_axes(self.envelope)
        given, limits = self.envelope.given, self.services.limits
        asked = Asked(given["axes"], self.envelope.fields.gradients, given["path"])
        check_points(asked.points, limits.landscape_points)
        request = self.envelope.request
        inputs = dict(request.inputs)
        for axis in asked.axes:
            if not axis.index and axis.input not in inputs and self._scalar(axis.input):
                inputs[axis.input] = Given(np.array(axis.start), True, axis.start.is_integer())
        request = replace(request, inputs=inputs)
        job = prepare_with(partial(Landscape, asked), request, limits, self.meter)
        self.job = job
        self.peak_bytes = job.cost.bytes
        self.seconds = job.seconds

    def _scalar(self, name: str) -> bool:
        """Whether an input needs a value, and may be one number."""
        program, said = self.envelope.request.program, self.envelope.signature.get(name)
        return (
            name in program.input_ids
            and (said is None or not said.shape)
            and "value" not in program.steps[program.index[name]].attrs
        )

    def make_dot(self) -> str:
        """The structure alone: there are many values."""
        return to_dot(self.envelope.request.program)

    def figure(self) -> Figure:
        """A contour plot, or a curve."""
        from service.plots.contour import contour
        from service.plots.curve import curve

        return contour(self.answer) if len(self.answer["axes"]) == 2 else curve(self.answer)
