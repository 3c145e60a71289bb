"""trace: both walks of automatic differentiation, step by step."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema

from service.schemas.program import ProgramRequest, RunAnswer
from service.schemas.types import Integer, Seed, Values


class TraceRequest(ProgramRequest):
    """Both walks of automatic differentiation, step by step."""

    seed: Seed = Field(
        None,
        description="Cotangent of `of`, in its shape, with which the backward walk starts; needed where `of` is not scalar, "
        'unless `mode` is "forward", which leaves out that walk.',
    )
    tangents: Values = Field(
        default_factory=dict, description="Tangents by node id: makes the values dual numbers."
    )
    lagrangian: bool = Field(False, description="Add the multipliers of the constraints that the steps are.")
    summarize_over: Annotated[Integer, Field(ge=0)] | None = Field(
        None,
        description="Arrays of more elements than this (by default 1000) are summarised: shape, dtype, `first` entries, min, "
        "max, mean, norm.",
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
        description="∂node/∂operand in the node's shape, over all places where the operand stands; null where not elementwise.",
    )


class Contribution(BaseModel):
    """What a node's adjoint adds to that of an operand."""

    model_config = ConfigDict(extra="forbid")

    to: str
    partial: Any = Field(None, description="Absent where the op is not elementwise.")
    amount: Any = Field(
        description="Of an elementwise op adjoint × partial, summed over axes along which the operand was broadcast. A zero "
        "adjoint gives zero, whatever the partial is."
    )
    total: Any = Field(description="The operand's adjoint after this.")


class ReverseStep(BaseModel):
    """One step of the backward walk. What an op of several results hands on stands with the first of them."""

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
    forward: list[ForwardStep] = Field(description="The nodes that `nodes` selects, in evaluation order.")
    reverse: list[ReverseStep] = Field(
        description='Op nodes that `of` depends on, in the order of the backward pass; empty in `mode` "forward".'
    )
    lagrangian: list[Constraint] | None = Field(None, description="Where it was asked for.")
