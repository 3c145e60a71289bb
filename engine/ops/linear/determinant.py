"""Determinants: det, slogdet, logdet.

The determinant is a polynomial, so its derivatives of every order exist everywhere, at singular matrices too. They are
here one op, `cofactor`: the derivative of order k of the matrix of cofactors, which is linear in each of k tangents
and symmetric in them, so that its own derivatives are the same op again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import permutations
from math import factorial, isfinite
from typing import Any

import numpy as np
from scipy.linalg import lapack

from engine.aval import ITEMSIZE, Array, Aval, Avals
from engine.builder import Builder, Var, call
from engine.op import Example, General, Linear, Op, registry
from engine.ops.linear.factor import (
    Factoring,
    cubic,
    factored,
    finite,
    identity,
    matrices,
    members,
    put,
    square,
    transposed,
)
from engine.ops.linear.solve import A
from engine.transforms.strong import times


def _cofactor_back(ct: Var, k: int, operands: Sequence[Var], **params: Any) -> Var:
    """D^(k+1)det(A) is symmetric in its k + 1 arguments, of which the cotangent is the last."""
    others = [ct if i == k else v for i, v in enumerate(operands)]
    result: Var = ct.b.write("cofactor", *others)
    return result


class Cofactor(Op):
    """D^k C(A)[E₁, …, E_k] for C(A) = det(A) A⁻ᵀ, the cofactors of A, defined for singular A as well.

    With A = U diag(s) Vᵀ, C(A) = det(U Vᵀ) U C(diag(s)) Vᵀ, and of a diagonal matrix all of this is a sum over
    permutations σ of k + 1 indices i of sign(σ) · Π_(l not in i) s_l · Π_p (Uᵀ E_p V)[i_p, i_σ(p)]: nothing is divided
    by a singular value. C(A) itself, of a matrix that is not nearly singular, is det(A) A⁻ᵀ from one LU factorisation: the
    errors of the two are those of one slightly other matrix, so it is as good, and ten times as fast.
    """

    name = "cofactor"
    family = "linalg"
    internal = True
    rules = (General(), Linear(_cofactor_back))

    def infer(self, *avals: Aval, **params: Any) -> Avals:
        """The aval of A."""
        matrices("det", avals[0])
        square("det", avals[0])
        assert all(a == avals[0] for a in avals)
        return avals[0]

    def evaluate(self, *arrays: Any, **params: Any) -> Any:
        """By singular values, or LU where that is as good. NaN where A is not finite."""
        a, *tangents = (np.asarray(v) for v in arrays)
        if not tangents and a.ndim == 2 and a.size:
            regular = _of_regular(a)
            if regular is not None:
                return regular
        if not a.size or len(tangents) >= a.shape[-1]:
            return np.zeros(a.shape, a.dtype)
        u, s, vh = factored(lambda x: tuple(np.linalg.svd(x)), a)
        good = finite(u, vh)
        eye = np.eye(a.shape[-1], dtype=a.dtype)
        orientation = np.sign(np.linalg.det(put(good, u, eye)) * np.linalg.det(put(good, vh, eye)))
        # A tangent that is exactly 0 makes the result so, whatever A is.
        zero = np.zeros(a.shape[:-2], bool)
        for e in tangents:
            zero |= (e == 0).all(axis=(-2, -1))
        inner = [np.swapaxes(u, -1, -2) @ e @ np.swapaxes(vh, -1, -2) for e in tangents]
        core = _diagonal_cofactor(s, inner) * orientation[..., None, None]
        result: Array = u @ core @ vh
        return np.where(zero[..., None, None], a.dtype.type(0), result) if zero.any() else result

    def jvp(self, y: Any, xs: Sequence[Var], dxs: Sequence[Var | None], **params: Any) -> Any:
        """One more tangent."""
        da = dxs[0]
        assert da is not None
        return da.b.write(self, *xs, da)

    def workspace(self, operands: Sequence[Aval], result: Avals, **params: Any) -> int:
        """Products of n^(k+1) choices of singular values, some at a time."""
        a, k = operands[0], len(operands)
        return 6 * members(a) * int(a.shape[-1] ** max(k, 2)) * ITEMSIZE[a.dtype]

    def flops(self, operands: Sequence[Aval], result: Avals, **params: Any) -> float:
        """A singular value decomposition, and n^(k+1) terms for each of (k + 1)! permutations."""
        a, k = operands[0], len(operands) - 1
        n = a.shape[-1]
        return cubic(a, 30.0, 5000.0, 2e5) + members(a) * (
            60.0 * factorial(k + 1) * float(n) ** (k + 1) if k else 0.0
        )


registry.add(Cofactor())


NEARLY = 1e-12
"""A pivot so much smaller than the largest: the matrix is nearly singular."""


def _of_regular(a: Array) -> Array | None:
    """det(A) A⁻ᵀ of one matrix; None where it is nearly singular, not finite, or the determinant is out of range."""
    if not isfinite(np.add.reduce(a, axis=None)):
        return None
    getrf, getri = (lapack.sgetrf, lapack.sgetri) if a.itemsize == 4 else (lapack.dgetrf, lapack.dgetri)
    lu, pivots, singular = getrf(a)
    size = np.abs(lu.diagonal())
    if singular or size.min() <= NEARLY * size.max():
        return None
    det = np.multiply.reduce(lu.diagonal())
    if np.count_nonzero(pivots != np.arange(len(pivots))) % 2:
        det = -det
    inverse, singular = getri(lu, pivots)
    result: Array = np.multiply(inverse.T, det)
    return None if singular or not (det and isfinite(np.add.reduce(result, axis=None))) else result


def _diagonal_cofactor(s: Array, inner: Sequence[Array]) -> Array:
    """D^k C(diag(s))[M₁, …, M_k]."""
    k, n = len(inner), s.shape[-1]
    weights = _left_out(s, k + 1)
    letters = "abcdefgh"[: k + 1]
    result = np.zeros((*s.shape, n), s.dtype)
    at = np.arange(n)
    for order, sign in _signed(k + 1):
        factors = [f"...{letters[p]}{letters[order[p]]}" for p in range(k)]
        target = letters[k] if order[k] == k else letters[k] + letters[order[k]]
        term = np.einsum(f"{','.join(['...' + letters, *factors])}->...{target}", weights, *inner)
        if order[k] == k:
            result[..., at, at] += sign * term
        else:
            result += sign * term
    return result


def _signed(n: int) -> Iterator[tuple[tuple[int, ...], int]]:
    """Permutations of n indices and their signs."""
    for order in permutations(range(n)):
        turned = sum(order[i] > order[j] for i in range(n) for j in range(i + 1, n))
        yield order, -1 if turned % 2 else 1


def _left_out(s: Array, k: int) -> Array:
    """Products of all entries but k different ones, as an array with k axes; 0 where two of the k are the same."""
    n = s.shape[-1]
    rest = s
    one = np.eye(n, dtype=bool)
    for _ in range(k - 1):
        rest = np.where(one, s.dtype.type(1), rest[..., None, :])
    before = np.cumprod(rest, axis=-1)
    behind = np.flip(np.cumprod(np.flip(rest, -1), axis=-1), -1)
    ones = np.ones((*rest.shape[:-1], 1), s.dtype)
    result: Array = np.concatenate([ones, before[..., :-1]], -1) * np.concatenate([behind[..., 1:], ones], -1)
    for i in range(k):
        for j in range(i + 1, k):
            shape = [1] * k
            shape[i] = shape[j] = n
            result = np.where(one.reshape(shape), s.dtype.type(0), result)
    return result


class Determinant(Factoring):
    """The determinant of a square matrix, or of each of a stack; of an empty matrix 1.

    JVP  ẏ = Σ C(a)·ȧ with C(a) the cofactors of a, which for a regular matrix are det(a) a⁻ᵀ. They, and their
    derivatives of every order, are right at singular matrices of any rank.
    """

    name = "det"
    aliases = ("Det",)
    parameters = (A,)
    latex = "\\det {a}"
    derivative = {"a": "\\operatorname{adj}(a)^\\top"}
    rules = (General(),)
    examples = (
        Example(([[1.0, 2.0], [3.0, 4.0]],)),
        Example(([[2.0, 1.0, 0.5], [1.0, 3.0, -1.0], [0.0, 1.0, 4.0]],)),
        Example(([[[1.0, 2.0], [3.0, 4.0]], [[1.0, 3.0], [3.0, 5.0]]],), note="a stack"),
        Example(([[1.0, 2.0], [2.0, 4.0]],), note="singular: the derivative is the adjugate"),
        Example(
            ([[0.0, 2.0, 0.0], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]],),
            note="of rank 1: the first derivative is 0, the second is not",
        ),
        Example(([[0.0, 0.0], [0.0, 0.0]],), note="the second derivative is not 0"),
        Example(([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]],), note="the identity"),
    )

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var:
        """One node."""
        square("det", operands[0])
        result: Var = b.write(self, operands[0])
        return result

    def infer(self, *avals: Aval, **params: Any) -> Avals:
        """Without the last two axes."""
        matrices("det", avals[0])
        square("det", avals[0])
        return Aval(avals[0].shape[:-2], avals[0].dtype)

    def evaluate(self, *arrays: Any, **params: Any) -> Any:
        """By LU."""
        a = np.asarray(arrays[0])
        if a.ndim == 2 and isfinite(np.add.reduce(a, axis=None)):
            return np.linalg.det(a)
        good = finite(a)
        y = np.linalg.det(put(good, a, a.dtype.type(0)))
        return np.where(good, y, a.dtype.type(np.nan))[()]

    def jvp(self, y: Any, xs: Sequence[Var], dxs: Sequence[Var | None], **params: Any) -> Any:
        """Σ C(a)·ȧ."""
        (a,), (da,) = xs, dxs
        assert da is not None
        return times(da, a.b.write("cofactor", a)).sum((-2, -1))

    def flops(self, operands: Sequence[Aval], result: Avals, **params: Any) -> float:
        """2/3·n³."""
        return cubic(operands[0], 1.5, 500.0, 2e4)


registry.add(Determinant())


class SLogDet(Factoring):
    """Sign of the determinant and logarithm of its absolute value, without overflow: det = sign · exp(logabsdet).

    Of a singular matrix 0 and −∞. JVP of logabsdet: tr(a⁻¹ ȧ).
    """

    name = "slogdet"
    parameters = (A,)
    results = ("sign", "logabsdet")
    latex = "\\operatorname{{sign}} \\det {a},\\; \\log |\\det {a}|"
    derivative = {"a": "0,\\; a^{-\\top}"}
    convention = (
        "The sign has derivative 0. Of a singular matrix logabsdet is −infinity and its derivative NaN."
    )
    rules = (General(),)
    examples = (
        Example(([[1.0, 2.0], [3.0, 4.0]],)),
        Example(([[[1.0, 2.0], [3.0, 4.0]], [[1.0, 3.0], [3.0, 10.0]]],), note="a stack"),
        Example(([[1e-200, 0.0], [0.0, 1e-200]],), smooth=False, note="no underflow"),
        Example(([[1.0, 2.0], [2.0, 4.0]],), smooth=False, note="singular"),
    )

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> tuple[Var, ...]:
        """One node."""
        square("slogdet", operands[0])
        result: tuple[Var, ...] = b.write(self, operands[0])
        return result

    def infer(self, *avals: Aval, **params: Any) -> Avals:
        """Two numbers for each matrix."""
        matrices("slogdet", avals[0])
        square("slogdet", avals[0])
        one = Aval(avals[0].shape[:-2], avals[0].dtype)
        return one, one

    def evaluate(self, *arrays: Any, **params: Any) -> Any:
        """By LU."""
        a = np.asarray(arrays[0])
        good = finite(a)
        found = np.linalg.slogdet(put(good, a, np.eye(a.shape[-1], dtype=a.dtype)))
        return tuple(np.where(good, y, a.dtype.type(np.nan)).astype(a.dtype)[()] for y in found)

    def jvp(self, y: Any, xs: Sequence[Var], dxs: Sequence[Var | None], **params: Any) -> Any:
        """tr(a⁻¹ ȧ)."""
        (a,), (da,) = xs, dxs
        assert da is not None
        b, n = a.b, a.shape[-1]
        inverse = b.write("linear_systems", a, identity(b, n, a.shape[:-2]), raises=False)
        return None, times(da, transposed(inverse)).sum((-2, -1))

    def flops(self, operands: Sequence[Aval], result: Avals, **params: Any) -> float:
        """2/3·n³."""
        return cubic(operands[0], 1.5, 500.0, 2e4)


registry.add(SLogDet())


class LogDet(Op):
    """Logarithm of the determinant, as torch.logdet: NaN where that is negative, −∞ where it is 0."""

    name = "logdet"
    family = "linalg"
    composite = True
    floating = True
    parameters = (A,)
    latex = "\\log \\det {a}"
    derivative = {"a": "a^{-\\top}"}
    convention = "NaN where the determinant is negative; of a singular matrix −infinity, with derivative NaN."
    examples = (
        Example(([[2.0, 1.0], [1.0, 4.0]],)),
        Example(([[[2.0, 1.0], [1.0, 4.0]], [[1.0, 3.0], [3.0, 10.0]]],), note="a stack"),
        Example(([[1.0, 2.0], [3.0, 4.0]],), smooth=False, note="a negative determinant"),
    )

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var:
        """Of slogdet, where the sign is not −1."""
        results: Any = call(b, "slogdet", operands[0])
        sign, logabs = results
        return call(b, "where", sign < 0.0, float("nan"), logabs)


registry.add(LogDet())
