"""check: autodiff against numerical derivatives, and against gradients of the user's own code."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field

from service.schemas.program import ProgramRequest, RunAnswer
from service.schemas.types import FailFast, Integer, Seed, Value, Values

if TYPE_CHECKING:
    from service.reader import Reader

MOST_STEPS = 200
"""So many steps a request may name."""

Step = Annotated[float, Field(gt=0)]
Steps = Annotated[list[Step], FailFast(), Field(min_length=1, max_length=MOST_STEPS)]


class CheckRequest(ProgramRequest):
    """A gradient to be checked."""

    MUST_BE: ClassVar[dict[str, str]] = {
        "expected": "an object of gradients by id",
        "steps": f"a list of 1 to {MOST_STEPS} positive numbers",
        "rtol": "a number, 0 or more",
        "atol": "a number, 0 or more",
        "max_entries": "a positive integer",
    }

    seed: Seed = Field(
        None,
        description="Cotangent of `of`, in its shape: what is checked is the gradient of Σ seed·of, by default of Σ of.",
    )
    expected: Values = Field(
        default_factory=dict,
        description="Gradients by id that are believed to be right, to be held against autodiff.",
    )
    steps: Steps | None = Field(
        None,
        description="Steps h of the error curve, by default 10⁰ … 10⁻¹⁶ by half decades. An entry x is moved by "
        "h·max(1, |x|).",
    )
    rtol: Annotated[float, Field(ge=0)] | None = Field(
        None,
        description="How far gradients may be apart, as a part of the larger one: by default 1e-5 for `expected`, 1e-6 for "
        "the differences beyond their own error (1e-3 both in float32).",
    )
    atol: Annotated[float, Field(ge=0)] | None = Field(
        None, description="The same as a number, by default what is 0 beside the input's largest entry."
    )
    max_entries: Annotated[Integer, Field(ge=1)] | None = Field(
        None,
        description="Entries of an input that are checked one by one, at most; by default 100, or fewer where one "
        "evaluation takes long. The others are checked together.",
    )

    def read(self, reader: Reader) -> dict[str, Any]:
        """The expected gradients."""
        return {"expected": reader.values(self.expected, "expected", "expected gradient of")}


class ErrorPoint(BaseModel):
    """Errors of the difference quotients for one step."""

    model_config = ConfigDict(extra="forbid")

    h: float
    forward_error: Value
    central_error: Value


class BestStep(BaseModel):
    """The steps of least error."""

    model_config = ConfigDict(extra="forbid")

    forward: float | None
    central: float | None


class Numbers(BaseModel):
    """One entry as different people have it."""

    model_config = ConfigDict(extra="forbid")

    expected: Value = None
    autodiff: Value
    numerical: Value = None


class InputCheck(BaseModel):
    """What was found of one input."""

    model_config = ConfigDict(extra="forbid")

    ok: bool
    autodiff: Value
    max_abs_error: Value = Field(
        description="Largest difference between autodiff and the best central difference of an entry; between autodiff and "
        "what is expected, where that was given."
    )
    max_rel_error: Value
    worst_index: list[int]
    best_step: BestStep
    complex_step_error: Value = Field(
        description="Largest difference between autodiff and complex steps; null where an op does not take these."
    )
    entries_checked: int
    curve: list[ErrorPoint]
    worst: Numbers | None = Field(None, description="The entry at `worst_index`, where it is wrong.")
    detail: str | None = Field(None, description="What is wrong, or what could not be told.")


class Evaluations(BaseModel):
    """What derivatives cost."""

    model_config = ConfigDict(extra="forbid")

    numerical: int = Field(description="Evaluations that one gradient by central differences takes.")
    reverse: int = Field(description="Reverse sweeps that it takes.")
    spent: int = Field(description="Evaluations that this check took.")


class CheckAnswer(RunAnswer):
    """What the check found."""

    ok: bool
    disagrees: list[str] = Field(description="Ids whose gradient disagrees.")
    value: Value
    of: str
    inputs: dict[str, InputCheck]
    evaluations: Evaluations
