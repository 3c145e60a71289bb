"""`POST /v1/compare`."""

from __future__ import annotations

from engine.errors import Unsupported
from service.openapi import Operation
from service.schemas.compare import CompareAnswer
from service.work import Work, refuse_in_axes

OPERATION = Operation(
    "One gradient, four ways",
    "Reverse, forward, numerical and symbolic: time, operations, evaluations, accuracy and size.",
    CompareAnswer,
)


class CompareWork(Work):
    """A request for compare."""

    def make_plan(self) -> None:
        """Ask the engine for a job."""
        refuse_in_axes(self.envelope)
        raise Unsupported("compare is not there yet.")
