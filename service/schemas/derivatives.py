"""The verbs for values and derivatives: evaluate, grad, jvp, vjp, jacobian, hessian, hvp, taylor."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from service.schemas.program import ProgramRequest, RunAnswer
from service.schemas.types import Blocks, Integer, Seed, Value, Values

SPARSE = (
    "Answer blocks as coordinate lists of their structural nonzeros, in as many passes as it takes colours to tell their "
    "columns (or rows) apart. Not together with `in_axes`."
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


class TaylorAnswer(RunAnswer):
    """Taylor coefficients."""

    of: str
    outputs: Values
    coefficients: list[Value] = Field(description="c₀ … c_order: of(inputs + t·direction) = Σ cₖ tᵏ.")
