"""Programs by id."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema

from service.components import nullable, published, ref

MAX_DESCRIPTION = 2000
"""Longest description of a name, in characters."""

NAME = {"type": "string", "pattern": "^[A-Za-z][A-Za-z0-9._-]{0,127}$"}


class RegisterRequest(BaseModel):
    """A program to be registered: exactly one of `expression`, `graph` and `graph_id` (to give one another name)."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)

    expression: str | None = Field(
        None, description="Program text. It is kept, and errors of the program lead into it."
    )
    graph: Annotated[dict[str, Any] | None, nullable(ref("Graph"))] = Field(
        None, description="The program as a JSON computation graph."
    )
    graph_id: str | None = Field(None, description="The id or name of a program that is registered already.")
    name: Annotated[str | None, nullable(NAME)] = Field(
        None, description="A pointer to the program: what its id is may change with `replace`."
    )
    description: Annotated[str | None, nullable({"type": "string", "maxLength": MAX_DESCRIPTION})] = Field(
        None, description="What the name stands for. Left as it was where the name had this program before."
    )
    signature: Annotated[
        dict[str, Any] | None, nullable({"type": "object", "additionalProperties": ref("Type")})
    ] = Field(
        None,
        description="Shape and dtype of inputs, by id, kept with the name: values given by this name must fit. What it names "
        "is an input of the text, also where it is called e or pi.",
    )
    replace: bool = Field(False, description="Take the name from another program that has it.")


class NameRecord(BaseModel):
    """A name of a program."""

    model_config = ConfigDict(extra="forbid")

    name: Annotated[str, WithJsonSchema(NAME)]
    description: str | None
    signature: Annotated[
        dict[str, Any] | None, nullable({"type": "object", "additionalProperties": ref("Type")})
    ]


class InputRecord(BaseModel):
    """An input of a program, with what is known of it."""

    model_config = ConfigDict(extra="forbid")

    id: str
    shape: list[int] | None = Field(
        description="By the signature of the name it was asked for by; by id, as far as all names agree."
    )
    dtype: Literal["float64", "float32", "int64", "bool"] | None
    default: Annotated[Any, nullable(ref("Value"))] = Field(description="Null where the input needs a value.")


class ProgramRecord(BaseModel):
    """What is told of a registered program."""

    model_config = ConfigDict(extra="forbid")

    id: str = Field(pattern="^sha256-[0-9a-f]{64}$")
    names: list[NameRecord]
    inputs: list[InputRecord]
    outputs: list[str] = Field(description="Ids of the outputs, in order.")
    nodes: int = Field(description="How many there are.")
    created: Annotated[str, WithJsonSchema({"type": "string", "format": "date-time"})] = Field(
        description="When it was registered."
    )
    source: str | None = Field(description="The text it was registered as first; null for a graph.")


class ProgramDocument(ProgramRecord):
    """A registered program."""

    graph: Annotated[Any, published("Graph")] = Field(
        description="Canonical op names, evaluation order, explicit outputs: what the id is the digest of."
    )


class ProgramPage(BaseModel):
    """Some of the registered programs, in the order of their registration."""

    model_config = ConfigDict(extra="forbid")

    graphs: list[ProgramRecord]
    next_cursor: str | None = Field(description="What the next page is asked for with; null on the last one.")
