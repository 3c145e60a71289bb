"""`POST /v1/trace`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from engine.render.dot import to_dot
from service.media import JSON, LATEX, MARKDOWN
from service.openapi import Operation
from service.schemas import TraceAnswer
from service.tables.latex import trace_latex
from service.tables.markdown import trace_markdown
from service.work import Work, refuse_in_axes

OPERATION = Operation(
    "Both walks, step by step",
    "The evaluation trace as one writes it by hand: values, local partial derivatives, adjoints and what each step adds to "
    "them. To replay the backward pass, start with the seed at `of` and add each `amount` to its `to`; `total` is what is "
    "there then. `Accept: text/markdown` and `Accept: application/x-latex` give tables.",
    TraceAnswer,
    (MARKDOWN, *LATEX),
)

ROW_SECONDS = 1e-4
"""About what it takes to write the rows of a step."""


class TraceWork(Work):
    """A request for trace."""

    def make_plan(self) -> None:
        """Ask the engine for a job."""
        refuse_in_axes(self.envelope)
        super().make_plan()
        if self.media != JSON:
            self.seconds += ROW_SECONDS * len(self.envelope.request.program.steps)

    def encode(self) -> bytes:
        """JSON, or tables."""
        if self.media == MARKDOWN:
            return trace_markdown(self.answer, self.ticket.check).encode()
        if self.media in LATEX:
            return trace_latex(self.answer, self.envelope.request.program, self.ticket.check).encode()
        return super().encode()

    def make_dot(self) -> str:
        """The program with the values and adjoints of the trace."""
        values = {step["node"]: step["value"] for step in self.answer["forward"]}
        adjoints = {step["node"]: step["adjoint"] for step in self.answer["reverse"]}
        totals = {c["to"]: c["total"] for step in self.answer["reverse"] for c in step["contributions"]}
        return to_dot(
            self.envelope.request.program, values=_whole(values), gradients=_whole({**totals, **adjoints})
        )


def _whole(values: Mapping[str, Any]) -> dict[str, Any]:
    """Those that are no summaries."""
    return {name: value for name, value in values.items() if not isinstance(value, Mapping)}
