"""`POST /v1/propagate`."""

from __future__ import annotations

from engine.errors import Unsupported
from service.openapi import Operation
from service.schemas.propagate import PropagateAnswer
from service.work import Work, refuse_in_axes

OPERATION = Operation(
    "Propagation of uncertainty",
    "Standard deviations, covariance and shares of the outputs from those of the inputs, to first order.",
    PropagateAnswer,
)


class PropagateWork(Work):
    """A request for propagate."""

    def make_plan(self) -> None:
        """Ask the engine for a job."""
        refuse_in_axes(self.envelope)
        raise Unsupported("propagate is not there yet.")
