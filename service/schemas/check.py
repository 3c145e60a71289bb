"""check: autodiff against numerical derivatives, and against gradients of the user's own code."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from service.schemas.program import ProgramRequest, RunAnswer
from service.schemas.types import Values


class CheckRequest(ProgramRequest):
    """A gradient to be checked."""

    MUST_BE: ClassVar[dict[str, str]] = {}

    expected: Values = Field(
        default_factory=dict, description="Gradients by input id that are believed to be right."
    )


class CheckAnswer(RunAnswer):
    """What the check found."""

    ok: bool
