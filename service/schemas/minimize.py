"""minimize: search and descent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema

from engine.minimize.methods import METHODS
from engine.minimize.options import OPTIONS, SPECIAL
from engine.minimize.schedules import KINDS
from service.components import ref
from service.schemas.program import ProgramRequest, RunAnswer
from service.schemas.types import Integer, Values

if TYPE_CHECKING:
    from service.reader import Reader

Method = Literal[
    "random-search",
    "grid-search",
    "numerical-gd",
    "gd",
    "momentum",
    "nesterov",
    "rmsprop",
    "adam",
    "adamw",
    "l-bfgs-b",
    "bfgs",
    "newton-cg",
    "trust-region",
    "gauss-newton",
    "lm",
]

Status = Literal["converged", "max_iterations", "max_evaluations", "deadline", "diverged", "stalled"]


def _options() -> dict[str, Any]:
    """The schema of `options`, from the table of methods: whose each is, and by default what."""
    schemas: dict[str, Any] = {
        "schedule": {
            "anyOf": [
                {"type": "string", "enum": list(KINDS)},
                {"type": "object", "properties": {"kind": {"type": "string", "enum": list(KINDS)}}},
            ]
        },
        "points": {
            "anyOf": [{"type": "integer"}, {"type": "object", "additionalProperties": {"type": "integer"}}]
        },
        "batch_inputs": {"type": "array", "items": {"type": "string"}},
        **{name: {"type": "integer" if option.integer else "number"} for name, option in OPTIONS.items()},
    }
    docs = {**SPECIAL, **{name: option.doc for name, option in OPTIONS.items()}}
    for name, schema in schemas.items():
        takers: dict[str, list[str]] = {}
        for method, known in METHODS.items():
            if name in known.defaults:
                takers.setdefault(_shown(known.defaults[name]), []).append(method)
        by_default = "; ".join(f"{', '.join(methods)}: {value}" for value, methods in takers.items())
        schema["description"] = f"{docs[name]} By default: {by_default}."
    return {"type": "object", "properties": schemas, "additionalProperties": False}


def _shown(default: Any) -> str:
    if default is None:
        return "none"
    return str(default["kind"]) if isinstance(default, dict) else f"{default:g}"


class MinimizeRequest(ProgramRequest):
    """A function to be minimised: a scalar, or the sum of squares of an array of residuals."""

    MUST_BE: ClassVar[dict[str, str]] = {
        "method": "one of random-search, grid-search, numerical-gd, gd, momentum, nesterov, rmsprop, adam, adamw, l-bfgs-b, "
        "bfgs, newton-cg, trust-region, gauss-newton and lm",
        "start": "an object of values by node id",
        "bounds": "an object {input: [low, high]}",
        "options": "an object",
        "record": "true, false, or a positive integer (every so many iterations)",
    }

    method: Method | None = Field(
        None, description="By default l-bfgs-b for a scalar, and lm for a residual."
    )
    start: Values = Field(
        default_factory=dict,
        description="Where to start, by id: these are the variables unless `wrt` says otherwise. What is missing starts at its "
        "value in `inputs`.",
    )
    bounds: Annotated[
        dict[str, Any],
        WithJsonSchema(
            {
                "type": "object",
                "additionalProperties": {
                    "type": "array",
                    "items": ref("Value"),
                    "minItems": 2,
                    "maxItems": 2,
                },
            }
        ),
    ] = Field(
        default_factory=dict,
        description="[low, high] by input: numbers, or arrays of its shape; `-Infinity` and `Infinity` where there is none.",
    )
    options: Annotated[dict[str, Any], WithJsonSchema(_options())] = Field(
        default_factory=dict, description="What the method is told; each has a default."
    )
    record: bool | Annotated[Integer, Field(ge=1)] = Field(
        False, description="Whether the history has points; an integer k: of every k-th iteration."
    )

    def read(self, reader: Reader) -> dict[str, Any]:
        """The start and the bounds."""
        bounds = {}
        for name, pair in self.bounds.items():
            if not isinstance(pair, list) or len(pair) != 2:
                reader.wrong("Bounds are a pair [low, high].", "bounds", name, node=name)
                continue
            low = reader.value(pair[0], f"the lower bound of {name[:80]}", "bounds", name, 0)
            high = reader.value(pair[1], f"the upper bound of {name[:80]}", "bounds", name, 1)
            if low is not None and high is not None:
                bounds[name] = (low, high)
        return {"start": reader.values(self.start, "start", "the start of"), "bounds": bounds}


class Iteration(BaseModel):
    """One iteration: the value there, and the length of the gradient."""

    model_config = ConfigDict(extra="forbid")

    iteration: int
    value: Any
    gradient_norm: Any = Field(None, description="Euclidean; where the method has a gradient.")
    point: Any = Field(None, description="By id, with `record`.")


class Evaluations(BaseModel):
    """How often the program was computed."""

    model_config = ConfigDict(extra="forbid")

    value: int
    gradient: int
    hvp: int
    jacobian: int | None = Field(None, description="Of methods for residuals.")


class MinimizeAnswer(RunAnswer):
    """The best point that was found, and how."""

    of: str = Field(description="The objective; of an array the sum of squares is.")
    method: Method = Field(description="The one that was taken.")
    optimum: Values = Field(description="The best point that was seen, by id.")
    value: Any = Field(description="The objective there.")
    gradient_norm: Any = Field(
        description="Euclidean length of the gradient; with bounds, of what of it does not lead out of them."
    )
    status: Status = Field(description="How it ended; with all of these the best point so far is the answer.")
    message: str = Field(description="Why it stopped.")
    iterations: int = Field(description="Steps that were taken, or points that were tried.")
    evaluations: Evaluations
    history: list[Iteration] = Field(description="The way there; of a long one not every iteration.")
