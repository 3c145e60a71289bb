"""compare: one gradient, four ways."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema

from service.components import nullable, ref
from service.schemas.program import ProgramRequest, RunAnswer
from service.schemas.types import Seed, Value

_NUMBER = nullable(ref("Number"))
Gradients = Annotated[Any, nullable({"type": "object", "additionalProperties": ref("Value")})]


class CompareRequest(ProgramRequest):
    """A gradient to be computed by several methods: of one scalar, by n entries of `wrt`. `mode` makes no difference here."""

    MUST_BE: ClassVar[dict[str, str]] = {}

    seed: Seed = Field(None, description="Cotangent of `of`, in its shape; needed where `of` is not scalar.")


class Method(BaseModel):
    """One way to the gradient. All graphs are run by the same executor, one after the other in one thread."""

    model_config = ConfigDict(extra="forbid")

    available: bool = Field(description="Whether the gradient was computed in this way.")
    reason: str | None = Field(None, description="Why not, where it was not.")
    gradients: Gradients = Field(
        description="By id, of `wrt` or of every floating input; null if not available."
    )
    evaluations: int = Field(
        description="Evaluations of the program. Reverse mode takes 1, forward mode one in each of its n passes, central "
        "differences 2n, a written-out formula none."
    )
    passes: int = Field(
        description="Sweeps that carry derivatives: 1 in reverse mode, n in forward mode, none in the others."
    )
    operations: Annotated[Any, _NUMBER] = Field(
        description="Floating-point operations of the whole gradient, counted from the graphs that are run (an exponential "
        "counts as several). null where a loop or a search shows its length only while it runs."
    )
    time_ms: Annotated[Any, _NUMBER] = Field(
        description="The shortest of several warm runs of the whole gradient, the ways in turn, one pass or evaluation after "
        "the other; of more than 64 passes (or entries) these are timed and scaled up. null if not available."
    )
    max_rel_error: Annotated[Any, _NUMBER] = Field(
        description="The largest error of an entry against the reference, relative to the entry, or to 10⁻⁴ of the largest "
        "entry if that is more. Infinity where an entry is not finite that should be; null without gradient or reference."
    )
    size: Annotated[Any, _NUMBER] = Field(
        description="Operations written down: in reverse and forward mode the nodes of the derivative's graph, which shares "
        "intermediate results; for numerical differentiation those of the program; for symbolic differentiation those of the "
        "formulas without intermediate results, loops written out (of rules applied from the inside and from the outside the "
        "shorter), however long they would be: formulas of more than 20,000 operations are counted and not computed."
    )


class Methods(BaseModel):
    """The four ways."""

    model_config = ConfigDict(extra="forbid")

    reverse: Method
    forward: Method
    numerical: Method = Field(
        description="Central differences with h = ∛ε·max(|x|, 1), where truncation and rounding are about as large."
    )
    symbolic: Method


class Reference(BaseModel):
    """The gradient in high-precision arithmetic (mpmath): differences with tiny steps and 90 digits, which use none of the
    derivative rules that are compared. Custom rules are not used; what stop_gradient holds is held."""

    model_config = ConfigDict(extra="forbid")

    available: bool
    reason: str | None = Field(None, description="Why there is none, where there is none; it names the node.")
    digits: Annotated[Any, WithJsonSchema({"anyOf": [{"type": "integer"}, {"type": "null"}]})] = Field(
        description="Digits that are right, as a further difference in a random direction confirmed: 20 to 50."
    )
    entries: int = Field(
        description="Entries that were computed: all, or of many as many as there is time for, spread evenly."
    )
    gradients: Gradients = Field(
        description="By id, rounded to doubles. NaN where there is no derivative (a kink) and where none was computed."
    )


class CompareAnswer(RunAnswer):
    """The methods side by side."""

    value: Value
    of: str
    methods: Methods
    reference: Reference
