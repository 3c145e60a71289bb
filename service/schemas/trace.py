"""trace: both walks of automatic differentiation, step by step."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema

from service.schemas.program import ProgramRequest, RunAnswer
from service.schemas.types import Integer, Values


class TraceRequest(ProgramRequest):
    """Both walks of automatic differentiation, step by step."""

    tangents: Values = Field(
        default_factory=dict, description="Tangents by node id: makes the values dual numbers."
    )
    lagrangian: bool = Field(False, description="Add the multipliers of the constraints that the steps are.")
    summarize_over: Annotated[Integer, Field(ge=0)] | None = Field(
        None, description="Arrays of more elements than this are summarised."
    )


class ForwardStep(BaseModel):
    """One step of the forward walk."""

    model_config = ConfigDict(extra="forbid")

    node: str
    op: str
    inputs: Annotated[
        list[Any], WithJsonSchema({"type": "array", "items": {}, "description": "Ids and constants."})
    ]
    value: Any
    tangent: Any = Field(None, description="The second half of the dual number, where `tangents` were given.")
    partials: dict[str, Any] | None = Field(
        None,
        description="∂node/∂operand, over all places where the operand stands; null where not elementwise.",
    )


class Contribution(BaseModel):
    """What a node's adjoint adds to that of an operand."""

    model_config = ConfigDict(extra="forbid")

    to: str
    partial: Any = None
    amount: Any
    total: Any = Field(description="The operand's adjoint after this.")


class ReverseStep(BaseModel):
    """One step of the backward walk."""

    model_config = ConfigDict(extra="forbid")

    node: str
    adjoint: Any
    contributions: list[Contribution]


class Constraint(BaseModel):
    """A step as a constraint, with its Lagrange multiplier."""

    model_config = ConfigDict(extra="forbid")

    node: str
    constraint: str
    multiplier: Any


class TraceAnswer(RunAnswer):
    """Both walks, step by step."""

    of: str
    outputs: Values
    forward: list[ForwardStep]
    reverse: list[ReverseStep]
    lagrangian: list[Constraint] | None = Field(None, description="Where it was asked for.")
