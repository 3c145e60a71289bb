"""`POST /v1/landscape`."""

from __future__ import annotations

from engine.errors import Unsupported
from service.openapi import Operation
from service.schemas.landscape import LandscapeAnswer
from service.work import Work, refuse_in_axes

OPERATION = Operation(
    "The function over a grid",
    "Values over one or two inputs, with gradients, the minimum and a path; as a picture where Accept asks for one.",
    LandscapeAnswer,
)


class LandscapeWork(Work):
    """A request for landscape."""

    def make_plan(self) -> None:
        """Ask the engine for a job."""
        refuse_in_axes(self.envelope)
        raise Unsupported("landscape is not there yet.")
