"""propagate: uncertainty of outputs from that of inputs, to first order."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from service.components import published
from service.reader import Reader
from service.schemas.program import ProgramRequest, RunAnswer
from service.schemas.types import Blocks, Values

Covariances = Annotated[dict[str, dict[str, Any]], published("Blocks")]


class PropagateRequest(ProgramRequest):
    """Uncertain inputs. To first order, Σ_y = J Σ_x Jᵀ: exact where the program is linear in what is uncertain, good where it
    is nearly so over a few standard deviations. `of` may be a list, as for jacobian; by default all floating outputs."""

    MUST_BE: ClassVar[dict[str, str]] = {
        "std": "an object of standard deviations by node id",
        "covariance": "an object {a: {b: covariances of a and b}}",
        "output_covariance": "true or false",
    }

    std: Values = Field(
        default_factory=dict,
        description="Standard deviations by node id: of the node's shape, or one number for all its entries; mapped as the "
        "input is. Errors of different nodes and entries are independent unless `covariance` says otherwise. What is named "
        "neither here nor there is exact. Of an intermediate n, the uncertainty of δ in n := op(…) + δ.",
    )
    covariance: Covariances = Field(
        default_factory=dict,
        description="Covariances by pairs of node ids, of shape a.shape + b.shape. `{a: {b: …}}` implies `{b: {a: …}}`; the "
        "diagonal of `{a: {a: …}}` are a's variances, in place of its `std`. Together they must be symmetric and positive "
        "semidefinite, but for rounding (eigenvalues of the correlations of at least -1e-8). Under `in_axes` a block may lead "
        "with the batch axes; it is the same for all members otherwise.",
    )
    output_covariance: bool = Field(
        True,
        description="false leaves `covariance` out of the answer, which has the square of the outputs' size.",
    )

    def read(self, reader: Reader) -> dict[str, Any]:
        """Both as arrays."""
        covariance = {
            a: {
                b: given
                for b, value in row.items()
                if (given := reader.value(value, f"the covariance of {a!r} and {b!r}", "covariance", a, b))
                is not None
            }
            for a, row in self.covariance.items()
        }
        return {
            "std": reader.values(self.std, "std", "standard deviation of"),
            "covariance": covariance,
        }


class PropagateAnswer(RunAnswer):
    """Uncertain outputs."""

    of: list[str] = Field(description="The nodes whose uncertainty is told.")
    outputs: Values
    std: Values = Field(
        description="Standard deviations by id, in the node's shape: roots of the diagonal of J Σ Jᵀ."
    )
    covariance: Blocks = Field(
        None,
        description="Covariances of shape a.shape + b.shape, for every pair; unless they are not wanted.",
    )
    shares: Annotated[dict[str, dict[str, Any]], published("Blocks")] = Field(
        description="What part of each entry's variance is due to each node, of the output's shape: (∂y/∂x·s)² over the "
        "variance, summed over x's entries. A covariance of two nodes counts one half for each, so parts sum to 1 (over all "
        "that is uncertain) and may then be negative; they are 0 where the variance is 0. By `wrt` where that is given, else "
        "by every floating input and all else that is uncertain."
    )
    elasticities: Annotated[dict[str, dict[str, Any]], published("Blocks")] = Field(
        description="(x/y)·∂y/∂x, of shape out.shape + in.shape: by how many percent y changes for one percent of x. By the "
        "same nodes as `shares`. Where y is 0 they are infinite, or NaN where x·∂y/∂x is 0 too."
    )
    mode: Literal["reverse", "forward"] = Field(description="How the Jacobian was computed.")
    passes: int = Field(description="Sweeps through the program that the Jacobian took.")
