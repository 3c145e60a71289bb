"""`POST /v1/derivative`."""

from __future__ import annotations

from dataclasses import replace

from engine.symbolic.answer import Options, derivative
from service.openapi import Operation
from service.schemas.derivative import DerivativeAnswer
from service.work import Work, refuse_in_axes, signature_of

OPERATION = Operation(
    "The derivative as formula and code",
    "The derivative of any order as program text and as a graph, both of which can be posted back, as LaTeX and MathML, and as "
    "a function in other languages. Nothing is evaluated; of `inputs` the shapes are used.",
    DerivativeAnswer,
)


class DerivativeWork(Work):
    """A request for derivative."""

    @property
    def large(self) -> bool:
        """Formulas are written in a thread: nobody knows beforehand how long that takes."""
        return True

    def make_plan(self) -> None:
        """Nothing is computed, so there is nothing to plan."""
        refuse_in_axes(self.envelope)

    def run(self) -> None:
        """Write the derivative out."""
        fields = self.envelope.fields
        options = Options(
            order=fields.order if "order" in fields.model_fields_set else None,
            mixed=fields.mixed,
            signature=signature_of(self.envelope),
            expression_chars=self.services.settings.expression_chars,
        )
        if fields.format is not None:
            options = replace(options, formats=tuple(fields.format))
        self.answer = derivative(self.envelope.request, options, self.services.limits, self.meter)
