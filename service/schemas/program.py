"""What all requests and all answers about a program have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema

from service.components import nullable, published, ref
from service.schemas.types import Axes, FailFast, Include, NodeId, NodeIds, Values

if TYPE_CHECKING:
    from service.reader import Reader


class ProgramRequest(BaseModel):
    """A program and the fields that every verb shares, so that one body can go to several verbs."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)

    MUST_BE: ClassVar[dict[str, str]] = {}
    """What each field of the verb's own must be, for the message where it is not: "a positive integer"."""

    def read(self, reader: Reader) -> dict[str, Any]:
        """What is read of the verb's own fields beyond their types, such as arrays by id: `Envelope.given`. Mistakes are
        told to the reader."""
        return {}

    expression: str | None = Field(
        None, description="Program text: a small, safe subset of Python with NumPy's functions."
    )
    graph: Annotated[dict[str, Any] | None, nullable(ref("Graph"))] = Field(
        None, description="The program as a JSON computation graph."
    )
    graph_id: str | None = Field(None, description="The program as the id or name of a registered one.")
    inputs: Values = Field(default_factory=dict, description="Value of every input, by id.")
    of: NodeId | NodeIds | None = Field(
        None, description="The node to differentiate, by default the first output (a list: jacobian only)."
    )
    wrt: NodeIds | None = Field(
        None, description="Ids to differentiate by, inputs or intermediates; by default every floating input."
    )
    mode: Literal["auto", "reverse", "forward"] = "auto"
    nodes: Literal["all", "named", "none"] = Field(
        "all", description="Which nodes to report: all, those with a name, or the outputs and `wrt` only."
    )
    in_axes: Axes | Annotated[list[Axes], FailFast()] | None = Field(
        None,
        description="{input: axis}, or a list of such maps, outermost first: the verb is mapped as by vmap.",
    )
    dtype: Literal["float64", "float32"] = Field("float64", description="What is computed with.")
    arrays: Literal["list", "base64"] = Field("list", description="How arrays stand in the answer.")
    include: Annotated[list[Include], FailFast()] = Field(
        default_factory=list, description="Parts added to the answer under their own names."
    )


class Answer(BaseModel):
    """What all answers about a program have."""

    model_config = ConfigDict(extra="forbid", strict=True)

    output_ids: list[str] = Field(description="Ids of the outputs, in order.")
    graph_id: str = Field(
        pattern="^sha256-[0-9a-f]{64}$", description="Id of the program, the same on every server."
    )


class RunAnswer(Answer):
    """What all answers have that come from running a program."""

    warnings: Annotated[list[Any], WithJsonSchema({"type": "array", "items": ref("Warning"), "maxItems": 20})]
    dot: str | None = Field(None, description="The graph in Graphviz' language, where `include` names it.")
    svg: str | None = Field(None, description="The graph drawn, where `include` names it.")
    timing: Annotated[Any, published("Timing")] = Field(None, description="Where `include` names it.")
    derivative_graph: Annotated[Any, published("Graph")] = Field(
        None, description="Where `include` names it."
    )
