"""landscape: a function over one or two of its inputs."""

from __future__ import annotations

from typing import ClassVar

from service.schemas.program import ProgramRequest, RunAnswer


class LandscapeRequest(ProgramRequest):
    """A part of a function's graph, to be looked at."""

    MUST_BE: ClassVar[dict[str, str]] = {}


class LandscapeAnswer(RunAnswer):
    """Values on a grid."""

    of: str
