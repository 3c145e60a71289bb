"""`POST /v1/check`."""

from __future__ import annotations

from engine.errors import Unsupported
from service.openapi import Operation
from service.schemas.check import CheckAnswer
from service.work import Work, refuse_in_axes

OPERATION = Operation(
    "Derivatives, checked",
    "Autodiff against forward and central differences over a sweep of steps, and against gradients of your own.",
    CheckAnswer,
)


class CheckWork(Work):
    """A request for check."""

    def make_plan(self) -> None:
        """Ask the engine for a job."""
        refuse_in_axes(self.envelope)
        raise Unsupported("check is not there yet.")
