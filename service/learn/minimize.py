"""`POST /v1/minimize`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine.minimize import Fields, prepare_minimize
from service.learn.pictured import Pictured
from service.media import EVENTS
from service.openapi import Operation
from service.plots import PICTURES
from service.schemas.minimize import MinimizeAnswer
from service.work import refuse_in_axes

if TYPE_CHECKING:
    from matplotlib.figure import Figure

OPERATION = Operation(
    "Search and descent",
    "Minimises a scalar node, or the sum of squares of a residual. `Accept: text/event-stream` shows each iteration; "
    "`image/svg+xml` and `image/png` draw value and gradient norm over the iterations.",
    MinimizeAnswer,
    (EVENTS, *PICTURES),
    errors=(501,),
)


class MinimizeWork(Pictured):
    """A request for minimize."""

    @property
    def large(self) -> bool:
        """Never planned on the event loop: derivatives are written out while planning, and what follows takes longer."""
        return True

    def make_plan(self) -> None:
        """Ask the engine for a job."""
        refuse_in_axes(self.envelope)
        fields, given = self.envelope.fields, self.envelope.given
        asked = Fields(fields.method, given["start"], given["bounds"], fields.options, fields.record)
        self.job = prepare_minimize(self.envelope.request, asked, self.services.limits, self.meter)
        self.peak_bytes = self.job.cost.bytes
        self.seconds = self.job.seconds

    def figure(self) -> Figure:
        """How it converged."""
        from service.plots.descent import descent

        return descent(self.answer)
