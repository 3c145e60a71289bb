"""`POST /v1/minimize`."""

from __future__ import annotations

from engine.errors import Unsupported
from service.openapi import Operation
from service.schemas.minimize import MinimizeAnswer
from service.work import Work, refuse_in_axes

OPERATION = Operation(
    "Search and descent",
    "Minimises a scalar node, or the sum of squares of a residual. `Accept: text/event-stream` shows each iteration.",
    MinimizeAnswer,
)


class MinimizeWork(Work):
    """A request for minimize."""

    def make_plan(self) -> None:
        """Ask the engine for a job."""
        refuse_in_axes(self.envelope)
        raise Unsupported("minimize is not there yet.")
