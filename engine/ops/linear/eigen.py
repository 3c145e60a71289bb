"""Eigenvalues and eigenvectors of symmetric matrices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from engine.attrs import BOOL, INTS, one_of, optional
from engine.aval import Array, Aval, Avals
from engine.builder import Builder, Var, call
from engine.op import Attr, Example, General, Op, Spelling, registry
from engine.ops.linear.factor import (
    Factoring,
    column,
    cubic,
    diagonals,
    factored,
    matrices,
    on_diagonal,
    row,
    square,
    symmetric,
    transposed,
)
from engine.ops.linear.solve import A
from engine.ops.linear.strong import product
from engine.transforms.strong import times

SYMMETRIC = "Of a matrix that is not symmetric: those of (a + aᵀ)/2, so the gradient is symmetric."


def gaps(values: Var, sign: float = -1.0) -> Var:
    """1 / (λ_j − λ_i), or with `sign` 1 of the sum, in row i and column j; 0 on the diagonal.

    NaN where rounding cannot tell the gap from 0: what is computed with its reciprocal then is noise.
    """
    b, n = values.b, values.shape[-1]
    eye = on_diagonal(b, n)
    left, right = row(values), column(values)
    gap = left - right if sign < 0 else left + right
    inverse = reciprocal(call(b, "where", eye, 1.0, gap), values, n)
    return call(b, "where", eye, 0.0, inverse)


def reciprocal(gap: Var, values: Var, n: int) -> Var:
    """1 / gap, NaN where rounding of n values cannot tell the gap from 0."""
    b = gap.b
    if not values.shape[-1]:
        return 1.0 / gap
    size = call(b, "max", call(b, "abs", values), axis=-1, keepdims=True)
    least = size * (n * float(np.finfo(values.dtype).eps))
    least = least.reshape((*least.shape, *[1] * (gap.rank - least.rank)))
    return call(b, "where", call(b, "abs", gap) <= least, float("nan"), 1.0 / gap)


def repeated(values: Array, scale: Array) -> Array:
    """Which of some ascending values are beside another one as near as rounding can tell."""
    n = values.shape[-1]
    near = np.abs(np.diff(values, axis=-1)) <= n * np.finfo(values.dtype).eps * scale[..., None]
    mask: Array = np.zeros(values.shape, bool)
    mask[..., 1:] |= near
    mask[..., :-1] |= near
    return mask


class SymmetricEigen(Factoring):
    """λ and V of A = V diag(λ) Vᵀ for symmetric A, λ ascending.

    JVP  λ̇ = diag(Vᵀ Ȧ V),  V̇ = V (F ∘ Vᵀ Ȧ V),  F_ij = 1 / (λ_j − λ_i), 0 for i = j
    """

    name = "symmetric_eigen"
    internal = True
    results = ("eigenvalues", "eigenvectors")
    rules = (General(),)
    convention = (
        "Vectors of a repeated eigenvalue are any basis of a space and have no derivative: it is NaN. That of the values is "
        "right."
    )

    def infer(self, *avals: Aval, **params: Any) -> Avals:
        """A vector and a matrix."""
        (a,) = avals
        matrices("eigh", a)
        square("eigh", a)
        return Aval(a.shape[:-1], a.dtype), a

    def evaluate(self, *arrays: Any, **params: Any) -> Any:
        """LAPACK syevd."""
        return factored(lambda x: tuple(np.linalg.eigh(x)), np.asarray(arrays[0]))

    def jvp(self, y: Any, xs: Sequence[Var], dxs: Sequence[Var | None], **params: Any) -> Any:
        """See above."""
        (values, vectors), (da,) = y, dxs
        assert da is not None
        inner = product(transposed(vectors), da, vectors)
        return diagonals(inner), product(vectors, times(inner, gaps(values)))

    def kink_met(self, arrays: Sequence[Array], y: Any, derivative: Any, **params: Any) -> Array | None:
        """Repeated eigenvalues whose vectors are differentiated."""
        moving = derivative[1] if isinstance(derivative, list) else None
        if moving is None or not y[0].size:
            return None
        mask: Array = repeated(y[0], np.abs(y[0]).max(axis=-1))
        return np.asarray(mask & ~(np.asarray(moving) == 0).all(axis=-2))

    def flops(self, operands: Sequence[Aval], result: Avals, **params: Any) -> float:
        """About ten matrix products (0.5 s for 2000²); 1 µs for the smallest."""
        return cubic(operands[0], 9.0, 3000.0, 1e5)


registry.add(SymmetricEigen())


class EigenValues(Factoring):
    """Eigenvalues of a symmetric matrix, or of each of a stack, in ascending order.

    JVP  λ̇_i = v_iᵀ ȧ v_i, at repeated eigenvalues as well: the gradient of every symmetric function of the eigenvalues is
    right there.
    """

    name = "eigvalsh"
    parameters = (A, Attr("UPLO", one_of("L", "U"), "L", ("lower",)))
    spellings: Mapping[str, Spelling] = {
        "scipy.linalg.eigvalsh": Spelling({}, (A, Attr("b", BOOL, False), Attr("lower", BOOL, True)))
    }
    latex = "\\lambda({a})"
    derivative = {"a": "v_i^\\top \\dot{a}\\, v_i"}
    convention = (
        SYMMETRIC
        + " At a repeated eigenvalue the derivative of one of them alone is that along the computed vector, and "
        "second derivatives that part them are NaN."
    )
    rules = (General(),)
    examples = (
        Example(([[2.0, 1.0], [1.0, 3.0]],)),
        Example(([[2.0, 1.0, 0.3], [1.0, 3.5, -0.5], [0.3, -0.5, 1.0]],)),
        Example(([[[2.0, 1.0], [1.0, 3.0]], [[1.0, -0.5], [-0.5, 4.0]]],), {"UPLO": "U"}, note="a stack"),
        Example(([[2.0, 0.5], [1.5, 3.0]],), note="not symmetric: the mean of the two triangles counts"),
        Example(([[1.0, 0.0], [0.0, 1.0]],), smooth=False, note="repeated"),
    )

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var:
        """Of the symmetric part."""
        square("eigvalsh", operands[0])
        result: Var = b.write(self, symmetric(operands[0]))
        return result

    def infer(self, *avals: Aval, **params: Any) -> Avals:
        """A vector."""
        (a,) = avals
        matrices("eigvalsh", a)
        square("eigvalsh", a)
        return Aval(a.shape[:-1], a.dtype)

    def evaluate(self, *arrays: Any, **params: Any) -> Any:
        """LAPACK syevd without vectors."""
        return factored(lambda x: (np.linalg.eigvalsh(x),), np.asarray(arrays[0]))[0]

    def jvp(self, y: Any, xs: Sequence[Var], dxs: Sequence[Var | None], **params: Any) -> Any:
        """vᵢᵀ Ȧ vᵢ."""
        (a,), (da,) = xs, dxs
        assert da is not None
        _, vectors = a.b.write("symmetric_eigen", a)
        return times(product(da, vectors), vectors).sum(-2)

    def kink_met(self, arrays: Sequence[Array], y: Any, derivative: Any, **params: Any) -> Array | None:
        """Repeated eigenvalues that are not treated alike."""
        if not np.size(y):
            return None
        d = np.asarray(derivative)
        mask = repeated(y, np.abs(y).max(axis=-1))
        apart = np.zeros(y.shape, bool)
        unlike = np.diff(d, axis=-1) != 0
        apart[..., 1:] |= unlike
        apart[..., :-1] |= unlike
        return mask & apart

    def flops(self, operands: Sequence[Aval], result: Avals, **params: Any) -> float:
        """About half of eigh."""
        return cubic(operands[0], 6.0, 2000.0, 1e5)


registry.add(EigenValues())


class Eigh(Op):
    """Eigenvalues (ascending) and eigenvectors (the columns) of a symmetric matrix, or of each of a stack.

    a = v diag(w) vᵀ; the signs of the vectors are LAPACK's. `UPLO` is taken for compatibility: both triangles count.
    """

    name = "eigh"
    aliases = ("symeig",)
    family = "linalg"
    composite = True
    floating = True
    parameters = (
        A,
        Attr("UPLO", one_of("L", "U"), "L"),
        Attr("eigvals_only", BOOL, False, keyword_only=True),
    )
    spellings: Mapping[str, Spelling] = {
        "scipy.linalg.eigh": Spelling(
            {},
            (
                A, Attr("b", optional(INTS), None), Attr("lower", BOOL, True), Attr("eigvals_only", BOOL, False),
                Attr("overwrite_a", BOOL, False), Attr("check_finite", BOOL, True),
            ),
        )
    }  # fmt: skip
    results = ("eigenvalues", "eigenvectors")
    latex = "\\operatorname{{eigh}} {a}"
    derivative = {"a": "v_i^\\top \\dot{a}\\, v_i,\\; v (F \\circ v^\\top \\dot{a}\\, v)"}
    convention = SYMMETRIC + " " + SymmetricEigen.convention
    examples = (
        Example(([[2.0, 1.0], [1.0, 3.0]],)),
        Example(([[2.0, 1.0, 0.3], [1.0, 3.5, -0.5], [0.3, -0.5, 1.0]],)),
        Example(([[[2.0, 1.0], [1.0, 3.0]], [[1.0, -0.5], [-0.5, 4.0]]],), {"UPLO": "U"}, note="a stack"),
        Example(([[2.0, 1.0], [1.0, 3.0]],), {"eigvals_only": True}),
    )

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Any:
        """Of the symmetric part."""
        square("eigh", operands[0])
        if attrs["eigvals_only"]:
            return call(b, "eigvalsh", operands[0])
        return b.write("symmetric_eigen", symmetric(operands[0]))

    def count(self, attrs: Mapping[str, Any]) -> int | None:
        """Of values alone, one result."""
        return 1 if attrs.get("eigvals_only") else super().count(attrs)


registry.add(Eigh())

for _name in ("eig", "eigvals"):
    registry.refuse(
        _name,
        f"{_name} is not offered: eigenvalues of a matrix that is not symmetric are complex in general, and numbers here are "
        "real. Of symmetric matrices there are eigvalsh and eigh.",
        ("eigvalsh", "eigh"),
    )
for _name, _instead in (("schur", "eigh"), ("hessenberg", "qr"), ("qz", "solve")):
    registry.refuse(
        _name,
        f"{_name} is not offered: it is not determined by its operand, so it has no derivative. See {_instead}.",
        (_instead,),
    )
