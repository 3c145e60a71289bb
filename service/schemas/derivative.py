"""derivative: as a graph, a formula, program text, and code in other languages."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

from service.components import nullable, published, ref
from service.schemas.program import ProgramRequest, RunAnswer
from service.schemas.types import FailFast, Integer

Format = Literal["expression", "graph", "latex", "mathml", "onnx", "python", "c", "javascript"]


class DerivativeRequest(ProgramRequest):
    """A derivative to be written out."""

    MUST_BE: ClassVar[dict[str, str]] = {
        "order": "a non-negative integer",
        "mixed": "true or false",
        "format": "a list of expression, graph, latex, mathml, onnx, python, c and javascript",
    }

    order: Annotated[Integer, Field(ge=0)] = Field(
        1, description="How often it is differentiated by each of `wrt`; 0 is the value itself."
    )
    mixed: bool = Field(
        False,
        description='One derivative, by all of `wrt` one after the other; ids may repeat, and the key is "x,y".',
    )
    signature: Annotated[
        dict[str, Any] | None, nullable({"type": "object", "additionalProperties": ref("Type")})
    ] = Field(
        None,
        description="Shape and dtype of inputs, by id; inputs without one are taken from `inputs`, and are scalars if they are "
        "not there either.",
    )
    format: Annotated[list[Format], FailFast(), Field(min_length=1)] | None = Field(
        None, description="By default expression, graph and latex. Code is asked for by its language."
    )


class Written(BaseModel):
    """One derivative in the formats asked for."""

    model_config = ConfigDict(extra="forbid", strict=True)

    expression: str | None = Field(
        None,
        description="Program text that can be posted back; its free names are inputs of the program. null where there is none, "
        "which a warning explains.",
    )
    graph: Annotated[Any, published("Graph")] = Field(
        None, description="A JSON graph that can be posted back, with the same `inputs`."
    )
    latex: str | None = Field(
        None, description="For math mode, with amsmath; null for what is too long to be a formula."
    )
    mathml: str | None = Field(None, description="A MathML document; null where `latex` is.")


class DerivativeAnswer(RunAnswer):
    """The derivative, written out."""

    of: str = Field(description="The node that was differentiated.")
    derivatives: dict[str, Written] = Field(
        description="By id of what is differentiated by; of shape of.shape followed by that of the input, once for each order."
    )
    code: dict[str, str] | None = Field(
        None, description="By language: a function that returns the value and all derivatives."
    )
    identifiers: dict[str, str] = Field(
        description="What ids are called in code, and in text where an id is no name there."
    )
