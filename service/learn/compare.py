"""`POST /v1/compare`."""

from __future__ import annotations

from engine.compare import Comparison
from engine.derive import prepare_with
from engine.derive.named import as_dicts
from service.media import JSON, MARKDOWN
from service.openapi import Operation
from service.schemas.compare import CompareAnswer
from service.tables.compare import compare_table
from service.work import Work, refuse_in_axes

OPERATION = Operation(
    "One gradient, four ways",
    "Reverse mode, forward mode, numerical and symbolic differentiation of one program side by side: evaluations, passes, "
    "operations, time, size of what is written down, and accuracy against high-precision arithmetic. "
    "`Accept: text/markdown` gives a table.",
    CompareAnswer,
    (MARKDOWN,),
)


class CompareWork(Work):
    """A request for compare."""

    @property
    def large(self) -> bool:
        """Always: several derivatives are written out, and everything is computed several times."""
        return True

    def make_plan(self) -> None:
        """Ask the engine for a job."""
        refuse_in_axes(self.envelope)
        self.job = prepare_with(Comparison, self.envelope.request, self.services.limits, self.meter)
        self.peak_bytes = self.job.cost.bytes
        self.seconds = self.job.seconds

    def run(self) -> None:
        """All four ways."""
        assert self.job is not None
        self.answer = as_dicts(self.job.run(self.meter))
        self.peak_bytes = self.job.peak_bytes

    def encode(self) -> bytes:
        """JSON, or a table."""
        return compare_table(self.answer).encode() if self.media != JSON else super().encode()
