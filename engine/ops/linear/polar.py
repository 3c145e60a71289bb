"""The nuclear norm, the sum of the singular values, by the polar factor.

Its derivative is U Vᵀ, which unlike U and V is smooth where singular values are repeated; so are its own derivatives when
they are written with Sylvester's equation instead of singular vectors.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from engine.aval import Array, Aval, Avals
from engine.builder import Var
from engine.op import General, registry
from engine.ops.linear.factor import Factoring, cubic, factored, matrices, transposed
from engine.ops.linear.strong import product
from engine.ops.linear.svd import ZERO, negligible
from engine.transforms.strong import times


class PolarFactor(Factoring):
    """W = U Vᵀ for A = U diag(s) Vᵀ that is not wide, over the singular values that are not 0.

    JVP, with H = Wᵀ A and H Ω + Ω H = Wᵀ Ȧ − Ȧᵀ W:  Ẇ = W Ω + (I − W Wᵀ) Ȧ H⁻¹

    N. J. Higham, "Functions of Matrices", 2008, chapter 8.
    """

    name = "polar_factor"
    internal = True
    rules = (General(),)

    def infer(self, *avals: Aval, **params: Any) -> Avals:
        """The operand's aval."""
        matrices("norm", avals[0])
        assert avals[0].shape[-2] >= avals[0].shape[-1]
        return avals[0]

    def evaluate(self, *arrays: Any, **params: Any) -> Any:
        """By singular values."""
        a = np.asarray(arrays[0])

        def factor(x: Array) -> tuple[Array]:
            u, s, vh = np.linalg.svd(x, full_matrices=False)
            return (np.where(negligible(s, *x.shape[-2:])[..., None, :], x.dtype.type(0), u) @ vh,)

        return factored(factor, a)[0]

    def jvp(self, y: Any, xs: Sequence[Var], dxs: Sequence[Var | None], **params: Any) -> Any:
        """See above."""
        (a,), (da,) = xs, dxs
        assert da is not None
        b, turned = a.b, transposed(y)
        h = product(turned, a)
        inner = product(turned, da)
        turn = b.write("strong_sylvester", h, h, inner - transposed(inner))
        moved = product(y, turn)
        if a.shape[-2] == a.shape[-1]:
            return moved
        out = da - product(y, inner)
        return moved + transposed(b.write("strong_systems", transposed(h), transposed(out)))

    def flops(self, operands: Sequence[Aval], result: Avals, **params: Any) -> float:
        """A singular value decomposition."""
        return cubic(operands[0], 27.0, 5000.0, 2e5)


class NuclearNorm(Factoring):
    """Σ s of stacks of matrices that are not wide.

    JVP  ẏ = Σ (U Vᵀ)·Ȧ
    """

    name = "nuclear_norm"
    internal = True
    rules = (General(),)
    convention = ZERO

    def infer(self, *avals: Aval, **params: Any) -> Avals:
        """Without the last two axes."""
        matrices("norm", avals[0])
        return Aval(avals[0].shape[:-2], avals[0].dtype)

    def evaluate(self, *arrays: Any, **params: Any) -> Any:
        """The sum of the singular values."""
        return factored(lambda x: (np.linalg.svd(x, compute_uv=False).sum(-1),), np.asarray(arrays[0]))[0][()]

    def jvp(self, y: Any, xs: Sequence[Var], dxs: Sequence[Var | None], **params: Any) -> Any:
        """Σ (U Vᵀ)·Ȧ."""
        (a,), (da,) = xs, dxs
        assert da is not None
        return times(da, a.b.write("polar_factor", a)).sum((-2, -1))

    def kink(self, arrays: Sequence[Array], y: Array, **params: Any) -> Array | None:
        """Where a singular value is 0."""
        a = np.asarray(arrays[0])
        s = factored(lambda x: (np.linalg.svd(x, compute_uv=False),), a)[0]
        return np.asarray(negligible(s, *a.shape[-2:]).any(axis=-1))

    def flops(self, operands: Sequence[Aval], result: Avals, **params: Any) -> float:
        """Singular values."""
        return cubic(operands[0], 12.0, 3000.0, 1.5e5)


registry.add(PolarFactor())
registry.add(NuclearNorm())
