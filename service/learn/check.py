"""`POST /v1/check`."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from engine.derive import prepare_with
from engine.numeric.checker import Check, CheckOptions
from service.learn.pictured import Pictured
from service.openapi import Operation
from service.plots import PICTURES
from service.schemas.check import CheckAnswer
from service.work import refuse_in_axes

if TYPE_CHECKING:
    from matplotlib.figure import Figure

OPERATION = Operation(
    "Derivatives, checked",
    "Autodiff against forward and central differences over a sweep of steps, against complex steps, and against gradients of "
    "your own (`expected`). Says which input's gradient disagrees, and where. `Accept: image/svg+xml` or `image/png` draws the "
    "error curve, if the server has Matplotlib.",
    CheckAnswer,
    PICTURES,
    errors=(501,),
)


class CheckWork(Pictured):
    """A request for check."""

    @property
    def large(self) -> bool:
        """Always: graphs are made and mapped."""
        return True

    def make_plan(self) -> None:
        """Ask the engine for a job."""
        refuse_in_axes(self.envelope)
        fields = self.envelope.fields
        options = CheckOptions(
            expected=self.envelope.given["expected"],
            steps=None if fields.steps is None else tuple(fields.steps),
            rtol=fields.rtol,
            atol=fields.atol,
            max_entries=fields.max_entries,
        )
        self.job = prepare_with(
            partial(Check, options), self.envelope.request, self.services.limits, self.meter
        )
        self.peak_bytes = self.job.cost.bytes
        self.seconds = self.job.seconds

    def figure(self) -> Figure:
        """The error curves of the inputs."""
        from service.plots.error_curve import error_curve

        return error_curve(self.answer)
