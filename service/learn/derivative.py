"""`POST /v1/derivative`."""

from __future__ import annotations

from engine.errors import Unsupported
from service.openapi import Operation
from service.schemas.derivative import DerivativeAnswer
from service.work import Work, refuse_in_axes

OPERATION = Operation(
    "The derivative as formula and code",
    "The derivative as a graph, as program text, as LaTeX and MathML, and as a function in other languages.",
    DerivativeAnswer,
)


class DerivativeWork(Work):
    """A request for derivative."""

    def make_plan(self) -> None:
        """Ask the engine for a job."""
        refuse_in_axes(self.envelope)
        raise Unsupported("derivative is not there yet.")
