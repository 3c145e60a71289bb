"""propagate: uncertainty of outputs from that of inputs, to first order."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from service.schemas.program import ProgramRequest, RunAnswer
from service.schemas.types import Values


class PropagateRequest(ProgramRequest):
    """Uncertain inputs."""

    MUST_BE: ClassVar[dict[str, str]] = {}

    std: Values = Field(default_factory=dict, description="Standard deviations by input id.")


class PropagateAnswer(RunAnswer):
    """Uncertain outputs."""

    outputs: Values
