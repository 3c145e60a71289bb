"""The bodies of requests and answers as pydantic models: what is checked, and what the OpenAPI document says.

Requests are checked strictly, and unknown fields refused. The models check the envelope only: the types of fields,
their choices, lists of names. What is inside `graph` and `inputs` (and other values) is left to the engine, so that a
graph of 10⁵ nodes costs nothing here; the published schema describes it all the same.

Answers are not passed through their models, which would cost more than computing them; the tests do that.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema
from pydantic import FailFast as _FailFast

from service.components import nullable, published, published_map, ref

# ------------------------------------------------------------------------------------------------------- small types


def _integral(value: Any) -> Any:
    """In JSON, 2 and 2.0 are the same number."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


class FailFast(_FailFast):
    """Stops at the first wrong entry of a list: a million errors would be described otherwise. Hashable, for unions."""

    __hash__ = object.__hash__


Integer: TypeAlias = Annotated[int, BeforeValidator(_integral)]
NodeId: TypeAlias = str
NodeIds: TypeAlias = Annotated[list[NodeId], FailFast()]
Axes: TypeAlias = Annotated[
    dict[str, Any], WithJsonSchema({"type": "object", "additionalProperties": {"type": "integer"}})
]
Value: TypeAlias = Annotated[Any, published("Value")]
Seed: TypeAlias = Annotated[Any, nullable(ref("Value"))]
Values: TypeAlias = Annotated[dict[str, Any], published_map("Value")]
Blocks: TypeAlias = Annotated[Any, published("Blocks")]
Include: TypeAlias = Literal["dot", "svg", "timing", "derivative_graph"]
Show: TypeAlias = Literal["values", "gradients", "shapes"]

SPARSE = (
    "Answer blocks as coordinate lists of their structural nonzeros, in as many passes as it takes colours to tell their "
    "columns (or rows) apart. Not together with `in_axes`."
)

MAX_DESCRIPTION = 2000
"""Longest description of a name, in characters."""

NAME = {"type": "string", "pattern": "^[A-Za-z][A-Za-z0-9._-]{0,127}$"}

# ---------------------------------------------------------------------------------------------------------- requests


class ProgramRequest(BaseModel):
    """A program and the fields that every verb shares, so that one body can go to several verbs."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)

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


class EvaluateRequest(ProgramRequest):
    """Values of a program."""


class GradRequest(ProgramRequest):
    """Value and gradient."""

    seed: Seed = Field(None, description="Cotangent of `of`, in its shape; needed where `of` is not scalar.")


class JvpRequest(ProgramRequest):
    """Jacobian-vector product."""

    tangents: Values = Field(default_factory=dict, description="Tangents by node id; what is absent is zero.")


class VjpRequest(ProgramRequest):
    """Vector-Jacobian product."""

    cotangents: Values = Field(
        default_factory=dict, description="Cotangents by output id; what is absent is zero."
    )


class JacobianRequest(ProgramRequest):
    """All first derivatives."""

    sparse: bool = Field(False, description=SPARSE)


class HessianRequest(ProgramRequest):
    """All second derivatives."""

    seed: Seed = Field(None, description="Cotangent of `of`, in its shape; needed where `of` is not scalar.")
    sparse: bool = Field(False, description=SPARSE)


class HvpRequest(ProgramRequest):
    """Hessian-vector product."""

    vector: Values = Field(default_factory=dict, description="The vector by node id; what is absent is zero.")
    seed: Seed = Field(None, description="Cotangent of `of`, in its shape; needed where `of` is not scalar.")


class TaylorRequest(ProgramRequest):
    """Taylor coefficients along a direction."""

    direction: Values = Field(
        default_factory=dict,
        description="Direction by input id, in the input's shape; what is absent is zero.",
    )
    order: Annotated[Integer, Field(ge=0)] = Field(1, description="The highest power of t that is wanted.")


class TraceRequest(ProgramRequest):
    """Both walks of automatic differentiation, step by step."""

    tangents: Values = Field(
        default_factory=dict, description="Tangents by node id: makes the values dual numbers."
    )
    lagrangian: bool = Field(False, description="Add the multipliers of the constraints that the steps are.")
    summarize_over: Annotated[Integer, Field(ge=0)] | None = Field(
        None, description="Arrays of more elements than this are summarised."
    )


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


# ----------------------------------------------------------------------------------------------------------- answers


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


class EvaluateAnswer(RunAnswer):
    """Values."""

    outputs: Values
    values: Values


class GradAnswer(RunAnswer):
    """Value and gradient."""

    value: Value
    of: str
    outputs: Values
    values: Values
    gradients: Values
    mode: Literal["reverse", "forward"]


class JvpAnswer(RunAnswer):
    """Jacobian-vector product."""

    outputs: Values
    values: Values
    output_tangents: Values
    node_tangents: Values
    mode: str


class VjpAnswer(RunAnswer):
    """Vector-Jacobian product."""

    outputs: Values
    values: Values
    gradients: Values
    mode: str


class JacobianAnswer(RunAnswer):
    """Blocks of shape out.shape + in.shape."""

    of: list[str] | str | None = None
    outputs: Values
    jacobian: Blocks
    mode: Literal["reverse", "forward"]
    passes: int = Field(description="Sweeps through the program that it took.")


class HessianAnswer(RunAnswer):
    """Blocks of shape a.shape + b.shape."""

    value: Value
    of: str
    gradients: Values
    hessian: Blocks
    mode: str
    passes: int


class HvpAnswer(RunAnswer):
    """Σ_b H[a][b]·vector[b] for each a."""

    value: Value
    of: str
    gradients: Values
    hvp: Values
    mode: str
    passes: int


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


class TaylorAnswer(RunAnswer):
    """Taylor coefficients."""

    of: str
    outputs: Values
    coefficients: list[Value] = Field(description="c₀ … c_order: of(inputs + t·direction) = Σ cₖ tᵏ.")


class TraceAnswer(RunAnswer):
    """Both walks, step by step."""

    of: str
    outputs: Values
    forward: list[ForwardStep]
    reverse: list[ReverseStep]
    lagrangian: list[Constraint] | None = Field(None, description="Where it was asked for.")


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


# ----------------------------------------------------------------------------------------------------------- registry


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


# --------------------------------------------------------------------------------------------------------- operations


class OpDocument(BaseModel):
    """One op of the catalogue."""

    model_config = ConfigDict(extra="forbid")

    name: str
    aliases: list[str]
    family: str
    summary: str
    description: str
    operands: list[dict[str, Any]]
    results: list[str]
    attrs: list[dict[str, Any]]
    signature: str = Field(description="The parameters as one reads them in Python.")
    shapes: str | None = Field(description="How the shape of the result follows.")
    latex: str
    derivative: dict[str, str] = Field(description="LaTeX of the derivative, by operand.")
    convention: str = Field(description="What is answered where there is no derivative, and why.")
    example: dict[str, Any] | None = Field(description="A body for POST /v1/evaluate.")


class OpsDocument(BaseModel):
    """The catalogue."""

    model_config = ConfigDict(extra="forbid")

    ops: list[OpDocument]


class LimitsDocument(BaseModel):
    """The limits of this server."""

    model_config = ConfigDict(extra="forbid")

    version: str
    limits: dict[str, float]


class StatusDocument(BaseModel):
    """Whether the server works."""

    model_config = ConfigDict(extra="forbid")

    status: str
