"""minimize: search and descent."""

from __future__ import annotations

from typing import ClassVar

from service.schemas.program import ProgramRequest, RunAnswer


class MinimizeRequest(ProgramRequest):
    """A function to be minimised."""

    MUST_BE: ClassVar[dict[str, str]] = {}


class MinimizeAnswer(RunAnswer):
    """The best point that was found, and how."""

    of: str
