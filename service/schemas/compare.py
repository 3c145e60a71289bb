"""compare: one gradient, four ways."""

from __future__ import annotations

from typing import ClassVar

from service.schemas.program import ProgramRequest, RunAnswer


class CompareRequest(ProgramRequest):
    """A gradient to be computed by several methods."""

    MUST_BE: ClassVar[dict[str, str]] = {}


class CompareAnswer(RunAnswer):
    """The methods side by side."""

    of: str
