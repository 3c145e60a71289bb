"""derivative: as a graph, a formula, program text, and code in other languages."""

from __future__ import annotations

from typing import ClassVar

from service.schemas.program import Answer, ProgramRequest


class DerivativeRequest(ProgramRequest):
    """A derivative to be written out."""

    MUST_BE: ClassVar[dict[str, str]] = {}


class DerivativeAnswer(Answer):
    """The derivative, written out."""

    of: str
