"""`POST /v1/landscape`."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from engine.derive import prepare_with
from engine.landscape import Asked, Landscape
from engine.landscape.job import check_points
from engine.render.dot import to_dot
from engine.values import Given
from service.openapi import Operation
from service.plots import PICTURES, PLOT_SECONDS, check_available, plot
from service.schemas.landscape import LandscapeAnswer
from service.work import Work, refuse_in_axes

OPERATION = Operation(
    "The function over a grid",
    "Values over one or two inputs (or entries of inputs), with gradients, the minimum and a path. "
    "`Accept: image/svg+xml` or `image/png` draws them, if the server has Matplotlib.",
    LandscapeAnswer,
    PICTURES,
    errors=(501,),
)


class LandscapeWork(Work):
    """A request for landscape."""

    @property
    def large(self) -> bool:
        """Always: graphs are made and mapped."""
        return True

    def make_plan(self) -> None:
        """Ask the engine for a job. An axis over a whole input gives it its values, so that it needs none in `inputs`."""
        refuse_in_axes(self.envelope)
        if self.media in PICTURES:
            check_available()
        given, limits = self.envelope.given, self.services.limits
        asked = Asked(given["axes"], self.envelope.fields.gradients, given["path"])
        check_points(asked.points, limits.landscape_points)
        request = self.envelope.request
        inputs = dict(request.inputs)
        for axis in asked.axes:
            i = request.program.index.get(axis.input)
            default = i is not None and "value" in request.program.steps[i].attrs
            if (
                not axis.index
                and axis.input not in inputs
                and not default
                and axis.input in request.program.input_ids
            ):
                inputs[axis.input] = Given(np.array(axis.start), True, False)
        request = replace(request, inputs=inputs)
        job = prepare_with(partial(Landscape, asked), request, limits, self.meter)
        self.job = job
        self.peak_bytes = job.cost.bytes
        self.seconds = job.seconds + PLOT_SECONDS * (self.media in PICTURES)

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

    def encode(self) -> bytes:
        """JSON, or a picture."""
        if self.media not in PICTURES:
            return super().encode()
        return plot(lambda: _figure(self.answer), self.media, self.meter)


def _figure(answer: dict[str, Any]) -> Any:
    from service.plots.contour import contour
    from service.plots.curve import curve

    return contour(answer) if len(answer["axes"]) == 2 else curve(answer)
