"""Singular values and vectors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from engine.attrs import BOOL
from engine.aval import Array, Aval, Avals
from engine.builder import Builder, Var, call
from engine.op import Attr, Example, General, Op, Spelling, registry
from engine.ops.layout.shape import slice_axis
from engine.ops.linear.eigen import gaps, reciprocal, repeated
from engine.ops.linear.factor import (
    Factoring,
    cubic,
    diagonals,
    factored,
    matrices,
    row,
    symmetric,
    transposed,
)
from engine.ops.linear.solve import A
from engine.ops.linear.strong import product
from engine.transforms.strong import times

ZERO = "A singular value of 0 (one below max(m, n)·eps times the largest) has derivative 0, the subgradient of least norm."
VECTORS = (
    "Vectors of a repeated singular value, or of one that is 0, are any basis of a space and have no derivative: it is "
    "NaN. The further columns of full matrices move as little as they can."
)


def negligible(values: Array, m: int, n: int) -> Array:
    """Which singular values count as 0."""
    if not values.shape[-1]:
        return np.zeros(values.shape, bool)
    return np.asarray(values <= max(m, n) * np.finfo(values.dtype).eps * values[..., :1])


def counting(slopes: Var, values: Var, m: int, n: int) -> Var:
    """The derivatives of singular values that do not count as 0, 0 for the others."""
    if not values.shape[-1]:
        return slopes
    b = values.b
    eps = float(np.finfo(values.dtype).eps)
    large = values > slice_axis(values, -1, 0, 1) * (max(m, n) * eps)
    # NaN is no number to be compared: the derivative of what is NaN is NaN.
    return call(b, "where", call(b, "logical_or", large, call(b, "isnan", values)), slopes, 0.0)


class SingularFactors(Factoring):
    """U, s and Vᵀ of A = U diag(s) Vᵀ, s descending; with `full`, U and V are square.

    With P = Uᵀ Ȧ V, S and T its symmetric and antisymmetric parts, F_ij = 1/(s_j − s_i), G_ij = 1/(s_i + s_j):
    ṡ = diag(P),  U̇ = U (S∘F + T∘G) + (I − U Uᵀ) Ȧ V / s,  V̇ = V (S∘F − T∘G) + (I − V Vᵀ) Ȧᵀ U / s

    J. Townsend, "Differentiating the singular value decomposition", 2016, with the fractions taken apart.
    """

    name = "singular_factors"
    internal = True
    results = ("u", "s", "vh")
    rules = (General(),)
    convention = VECTORS

    def infer(self, *avals: Aval, **params: Any) -> Avals:
        """Two matrices and a vector between them."""
        (a,) = avals
        matrices("svd", a)
        lead, (m, n) = a.shape[:-2], a.shape[-2:]
        k = min(m, n)
        rows, columns = (m, n) if params["full"] else (k, k)
        return Aval((*lead, m, rows), a.dtype), Aval((*lead, k), a.dtype), Aval((*lead, columns, n), a.dtype)

    def evaluate(self, *arrays: Any, **params: Any) -> Any:
        """LAPACK gesdd."""
        full = params["full"]
        return factored(lambda x: tuple(np.linalg.svd(x, full_matrices=full)), np.asarray(arrays[0]))

    def jvp(self, y: Any, xs: Sequence[Var], dxs: Sequence[Var | None], **params: Any) -> Any:
        """See above."""
        (left, s, right), (da,) = y, dxs
        assert da is not None
        m, n = da.shape[-2:]
        k = min(m, n)
        u, v = slice_axis(left, -1, 0, k), transposed(slice_axis(right, -2, 0, k))
        inner = product(transposed(u), da, v)
        even, odd = (inner + transposed(inner)) * 0.5, (inner - transposed(inner)) * 0.5
        apart, together = times(even, gaps(s)), times(odd, gaps(s, 1.0))
        inverse = row(reciprocal(s, s, max(m, n)))
        du, up = product(u, apart + together), None
        if m > k:
            du, up = _outside(left, u, du, product(da, v), inverse, params["full"])
        dv, vp = product(v, apart - together), None
        if n > k:
            dv, vp = _outside(transposed(right), v, dv, product(transposed(da), u), inverse, params["full"])
        slopes = counting(diagonals(inner), s, m, n)
        return _beside(du, up), slopes, transposed(_beside(dv, vp))

    def kink_met(self, arrays: Sequence[Array], y: Any, derivative: Any, **params: Any) -> Array | None:
        """Repeated or vanishing singular values whose vectors are differentiated."""
        s = y[1]
        if not isinstance(derivative, list) or not s.size:
            return None
        k = s.shape[-1]
        moving = np.zeros(s.shape, bool)
        if derivative[0] is not None:
            moving |= ~(np.asarray(derivative[0])[..., :k] == 0).all(axis=-2)
        if derivative[2] is not None:
            moving |= ~(np.asarray(derivative[2])[..., :k, :] == 0).all(axis=-1)
        return (repeated(s, s[..., 0]) | negligible(s, *np.shape(arrays[0])[-2:])) & moving

    def flops(self, operands: Sequence[Aval], result: Avals, **params: Any) -> float:
        """About twenty matrix products (0.2 s for 1000²), and the full matrices; 1.5 µs for the smallest."""
        (a,) = operands
        m, n = a.shape[-2:]
        whole = 4.0 * max(m, n) ** 2 * min(m, n) if params["full"] else 0.0
        return cubic(a, 25.0, 5000.0, 1.5e5) + a.size / max(m * n, 1) * whole


registry.add(SingularFactors())


def _outside(
    whole: Var, inside: Var, moved: Var, image: Var, inverse: Var, full: bool
) -> tuple[Var, Var | None]:
    """The part of the motion that leaves the space of the vectors; of full matrices also that of the complement."""
    if not full:
        out = image - product(inside, product(transposed(inside), image))
        return moved + times(out, inverse), None
    rest = slice_axis(whole, -1, inside.shape[-1], whole.shape[-1])
    turn = times(product(transposed(rest), image), inverse)
    return moved + product(rest, turn), -product(inside, transposed(turn))


def _beside(x: Var, y: Var | None) -> Var:
    if y is None:
        return x
    result: Var = x.b.write("concat", x, y, axis=-1)
    return result


class SingularValues(Factoring):
    """Singular values of a matrix, or of each of a stack, in descending order.

    JVP  ṡ_i = u_iᵀ ȧ v_i, at repeated values as well: the gradient of every symmetric function of them is right there.
    """

    name = "svdvals"
    parameters = (A,)
    latex = "\\sigma({a})"
    derivative = {"a": "u_i^\\top \\dot{a}\\, v_i"}
    convention = (
        ZERO
        + " At a repeated value the derivative of one of them alone is that along the computed vectors, and second "
        "derivatives that part them are NaN."
    )
    rules = (General(),)
    examples = (
        Example(([[1.0, 2.0], [3.0, 4.0]],)),
        Example(([[1.0, 2.0, 0.5], [3.0, 4.0, -1.0]],)),
        Example(([[[1.0], [2.0]], [[0.5], [3.0]]],), note="a stack"),
        Example(([[1.0, 0.0], [0.0, 1.0]],), smooth=False, note="repeated"),
        Example(([[1.0, 2.0], [2.0, 4.0]],), smooth=False, note="a singular value of 0"),
    )

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var:
        """One node."""
        matrices("svdvals", operands[0].aval)
        result: Var = b.write(self, operands[0])
        return result

    def infer(self, *avals: Aval, **params: Any) -> Avals:
        """A vector."""
        (a,) = avals
        matrices("svdvals", a)
        return Aval((*a.shape[:-2], min(a.shape[-2:])), a.dtype)

    def evaluate(self, *arrays: Any, **params: Any) -> Any:
        """LAPACK gesdd without vectors."""
        return factored(lambda x: (np.linalg.svd(x, compute_uv=False),), np.asarray(arrays[0]))[0]

    def jvp(self, y: Any, xs: Sequence[Var], dxs: Sequence[Var | None], **params: Any) -> Any:
        """uᵢᵀ Ȧ vᵢ."""
        (a,), (da,) = xs, dxs
        assert da is not None
        u, _, vh = a.b.write("singular_factors", a, full=False)
        return counting(times(product(da, transposed(vh)), u).sum(-2), y, *a.shape[-2:])

    def kink(self, arrays: Sequence[Array], y: Array, **params: Any) -> Array | None:
        """Singular values of 0."""
        return negligible(np.asarray(y), *np.shape(arrays[0])[-2:])

    def flops(self, operands: Sequence[Aval], result: Avals, **params: Any) -> float:
        """About ten matrix products."""
        return cubic(operands[0], 12.0, 3000.0, 1.5e5)


registry.add(SingularValues())


class SVD(Op):
    """Singular value decomposition a = u diag(s) vh, with s descending; the signs of the vectors are LAPACK's.

    a: [*s, m, n]  ->  u: [*s, m, m], s: [*s, k], vh: [*s, n, n], k = min(m, n); without `full_matrices` u is [*s, m, k]
    and vh [*s, k, n]; without `compute_uv` only s is computed.
    """

    name = "svd"
    family = "linalg"
    composite = True
    floating = True
    parameters = (
        A,
        Attr("full_matrices", BOOL, True),
        Attr("compute_uv", BOOL, True),
        Attr("hermitian", BOOL, False),
    )
    spellings: Mapping[str, Spelling] = {
        "scipy.linalg.svd": Spelling(
            {},
            (
                A, Attr("full_matrices", BOOL, True), Attr("compute_uv", BOOL, True), Attr("overwrite_a", BOOL, False),
                Attr("check_finite", BOOL, True),
            ),
        )
    }  # fmt: skip
    results = ("u", "s", "vh")
    latex = "\\operatorname{{svd}} {a}"
    derivative = {"a": "\\dot{s}_i = u_i^\\top \\dot{a}\\, v_i"}
    convention = ZERO + " " + VECTORS
    examples = (
        Example(([[1.0, 2.0], [3.0, 4.0]],), {"full_matrices": False}),
        Example(([[1.0, 2.0], [3.0, 4.0], [0.5, -1.0]],), {"full_matrices": False}, note="tall"),
        Example(([[1.0, 2.0, 0.5], [3.0, 4.0, -1.0]],), {"full_matrices": False}, note="wide"),
        Example(([[1.0, 2.0], [3.0, 4.0], [0.5, -1.0]],), note="full: the last column of u has a derivative"),
        Example(([[1.0, 2.0, 0.5], [3.0, 4.0, -1.0]],)),
        Example(([[[1.0], [2.0]], [[0.5], [3.0]]],), {"full_matrices": False}, note="a stack"),
        Example(([[1.0, 2.0], [3.0, 4.0]],), {"compute_uv": False}),
    )

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Any:
        """One node."""
        (a,) = operands
        matrices("svd", a.aval)
        if attrs["hermitian"]:
            a = symmetric(a)
        if not attrs["compute_uv"]:
            return call(b, "svdvals", a)
        return b.write("singular_factors", a, full=attrs["full_matrices"])

    def count(self, attrs: Mapping[str, Any]) -> int | None:
        """Of values alone, one result."""
        return 1 if attrs.get("compute_uv") is False else super().count(attrs)


registry.add(SVD())
