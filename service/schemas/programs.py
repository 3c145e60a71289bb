"""Programs as such: parse and render."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from service.components import nullable, published, ref
from service.schemas.program import Answer, ProgramRequest
from service.schemas.types import FailFast, Show


class ParseRequest(ProgramRequest):
    """A program, looked at without running it."""

    signature: Annotated[
        dict[str, Any] | None, nullable({"type": "object", "additionalProperties": ref("Type")})
    ] = Field(
        None, description="Shape and dtype of inputs, by id; inputs without one are taken from `inputs`."
    )


class RenderRequest(ProgramRequest):
    """A program to be drawn."""

    format: Literal["dot", "svg", "png"] | None = Field(
        None, description="By default what Accept asks for, else dot, which needs no Graphviz on the server."
    )
    direction: Literal["LR", "TB"] = Field("LR", description="Left to right, or top to bottom.")
    show: Annotated[list[Show], FailFast()] | None = Field(
        None,
        description="By default values and gradients where `inputs` are given (values alone if `of` is not scalar), "
        "else the structure alone.",
    )


class Cost(BaseModel):
    """What one evaluation takes."""

    model_config = ConfigDict(extra="forbid")

    nodes: int
    flops: float | None = None
    bytes: int | None = None


class ParseAnswer(Answer):
    """A program, looked at."""

    inputs: list[Any]
    graph: Annotated[Any, published("Graph")]
    latex: str | None
    mathml: str | None
    cost: Cost
    shapes: dict[str, Any] = Field(description="Shapes of nodes, where known.")
    warnings: list[Any] | None = None
    timing: Annotated[Any, published("Timing")] = Field(None, description="Where `include` names it.")
    dot: str | None = None
    svg: str | None = None
