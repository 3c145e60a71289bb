"""`POST /v1/check`."""

from __future__ import annotations

from functools import partial

from engine.derive import prepare_with
from engine.numeric.checker import Check, CheckOptions
from service.openapi import Operation
from service.schemas.check import CheckAnswer
from service.work import Work, refuse_in_axes

OPERATION = Operation(
    "Derivatives, checked",
    "Autodiff against forward and central differences over a sweep of steps, against complex steps, and against gradients of "
    "your own (`expected`). Says which input's gradient disagrees, and where.",
    CheckAnswer,
)


class CheckWork(Work):
    """A request for check."""

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
