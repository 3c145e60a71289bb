"""`POST /v1/propagate`."""

from __future__ import annotations

from engine.derive.named import as_dicts
from engine.propagate import Propagation
from service.openapi import Operation
from service.schemas.propagate import PropagateAnswer
from service.work import Work

OPERATION = Operation(
    "Propagation of uncertainty",
    "Standard deviations and covariances of outputs from those of inputs, to first order (Σ_y = J Σ_x Jᵀ, as the *Guide to "
    "the expression of uncertainty in measurement* has it), which of the inputs they come from, and relative sensitivities.",
    PropagateAnswer,
)

FEW = 256
"""Covariances that are checked on the event loop."""


class PropagateWork(Work):
    """A request for propagate."""

    propagation: Propagation

    @property
    def large(self) -> bool:
        """Also where many covariances have to be checked, which `plan` does."""
        rows = self.envelope.given["covariance"].values()
        return super().large or any(given.value.size > FEW for row in rows for given in row.values())

    def make_plan(self) -> None:
        """Ask the engine for its jobs."""
        services, envelope = self.services, self.envelope
        self.propagation = Propagation(
            envelope.request,
            envelope.given["std"],
            envelope.given["covariance"],
            envelope.fields.output_covariance,
            services.limits,
            self.meter,
            services.plans,
        )
        self.job = self.propagation.jacobian
        self.peak_bytes = self.propagation.cost.bytes
        self.seconds = self.propagation.seconds

    def run(self) -> None:
        """The Jacobian, and what follows from it."""
        self.answer = as_dicts(self.propagation.run(self.meter))
        self.peak_bytes = self.propagation.peak_bytes
