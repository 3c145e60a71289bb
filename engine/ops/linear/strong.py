"""The matrix product in which zeros are strong: what derivative rules of this package multiply tangents with.

Where a member of a map is singular its factors are NaN, and so are their products with a tangent. A tangent or cotangent
that is exactly 0 must make nothing of them all the same (`engine.formula`): `where(regular, solve(a, b), 0)` has
derivative 0 where `regular` is false. Finite factors are multiplied as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from engine.aval import Aval, Avals
from engine.builder import Var
from engine.errors import DtypeMismatch, ShapeMismatch
from engine.op import Linear, Op, Params, registry

if TYPE_CHECKING:
    from engine.entries import Entries, Positions


def _back(ct: Var, k: int, operands: Sequence[Var], **params: Any) -> Var:
    turned: Var = ct.b.write("permute_dims", operands[1 - k], axes=(-1, -2))
    return product(ct, turned) if k == 0 else product(turned, ct)


class StrongMatmul(Op):
    """Stacks of matrix products in which 0·∞ and 0·NaN are 0."""

    name = "strong_matmul"
    family = "core"
    compact = True
    internal = True
    rules = (Linear(_back),)

    def infer(self, *avals: Aval, **params: Any) -> Avals:
        """Stacks of equal shape; the inner sizes must be equal."""
        (s, dtype), (t, other) = avals
        if len(s) < 2 or s[:-2] != t[:-2] or s[-1] != t[-2]:
            raise ShapeMismatch(f"matmul: shapes {list(s)} and {list(t)} do not go together.")
        if dtype != other:
            raise DtypeMismatch(f"matmul: dtypes {dtype} and {other} are not equal.")
        return Aval((*s[:-1], t[-1]), dtype)

    def evaluate(self, *arrays: Any, **params: Any) -> Any:
        """BLAS; where the result is not finite, once more without the products of zeros."""
        x, y = (np.asarray(a) for a in arrays)
        z = np.matmul(x, y)
        if np.isfinite(z).all():
            return z
        left, right = np.isfinite(x), np.isfinite(y)
        if left.all() and right.all():
            return z
        # Terms of two finite factors, and apart from them those of an infinity or NaN and something that is not 0.
        calm = np.matmul(np.where(left, x, 0), np.where(right, y, 0))
        wild = np.matmul((~left).astype(x.dtype), (y != 0).astype(x.dtype))
        wild += np.matmul((x != 0).astype(x.dtype), (~right).astype(x.dtype))
        return np.where(wild > 0, z, calm)

    def unguarded(self, params: Params) -> tuple[Op, Params]:
        """The ordinary product."""
        return registry.core("matmul"), params

    def expand(self, e: Entries, *positions: Positions, **params: Any) -> Positions:
        """Sums of products: zeros are strong beside what is not finite only."""
        return e.product(*positions)

    def flops(self, operands: Sequence[Aval], result: Avals, **params: Any) -> float:
        """2·m·n·k for each matrix."""
        assert isinstance(result, Aval)
        return 2.0 * result.size * operands[0].shape[-1]


registry.add(StrongMatmul())


def product(*factors: Var) -> Var:
    """Matrix products of stacks of equal shape, from left to right, with strong zeros."""
    result = factors[0]
    for factor in factors[1:]:
        result = result.b.write("strong_matmul", result, factor)
    return result
