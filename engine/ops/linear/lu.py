"""The LU factorisation with partial pivoting; the pivots are integers, constant almost everywhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy.linalg import lapack

from engine.attrs import BOOL
from engine.aval import Array, Aval, Avals
from engine.builder import Builder, Var, cast
from engine.errors import DtypeMismatch, InvalidAttribute, ShapeMismatch
from engine.op import Attr, Example, General, Op, Operand, Spelling, Zero, registry
from engine.ops.layout.shape import slice_axis
from engine.ops.linear.factor import (
    Factoring,
    blanked,
    column,
    cubic,
    finite,
    identity,
    matrices,
    put,
    row,
    square,
    transposed,
)
from engine.ops.linear.solve import SINGULAR, A, B, system, triangular
from engine.ops.linear.strong import product
from engine.ops.linear.triangular import TRANS, triangle

CONVENTION = (
    "Pivots are integers and have no derivative; where two candidates tie, the derivative is that for the choice made. Of "
    "a factorisation with a pivot of 0 it is NaN."
)


def permuted_rows(x: Var, order: Var) -> Var:
    """Rows of a stack of matrices in the orders of a stack of permutations."""
    result: Var = x.b.write("gather", x, order, axis=-2, batch_dims=x.rank - 2)
    return result


class LUCore(Factoring):
    """L and U in one matrix, pivots, and the order of rows p with A[p] = L U.

    JVP, with L̃ and Ũ made square by an identity and X = L̃⁻¹ Ȧ[p] Ũ⁻¹:  L̇ = L̃ tril(X, −1),  U̇ = triu(X) Ũ

    S. Walter, L. Lehmann, "Algorithmic differentiation of linear algebra functions", 2010, arXiv:1001.1654.
    """

    name = "lu_factors"
    internal = True
    results = ("lu", "pivots", "order")
    rules = (General(),)

    def infer(self, *avals: Aval, **params: Any) -> Avals:
        """A matrix and two vectors of integers."""
        (a,) = avals
        matrices("lu", a)
        lead, (m, n) = a.shape[:-2], a.shape[-2:]
        return a, Aval((*lead, min(m, n)), "int64"), Aval((*lead, m), "int64")

    def evaluate(self, *arrays: Any, **params: Any) -> Any:
        """LAPACK getrf."""
        a = np.asarray(arrays[0])
        lead, (m, n) = a.shape[:-2], a.shape[-2:]
        lu, pivots = np.empty(a.shape, a.dtype), np.zeros((*lead, min(m, n)), np.int64)
        good = finite(a)
        safe = put(good, a, a.dtype.type(0))
        getrf = lapack.dgetrf if a.dtype == np.float64 else lapack.sgetrf
        if a.size:
            for at in np.ndindex(*lead):
                lu[at], pivots[at], _ = getrf(safe[at])
        return (*blanked(good, (lu,)), pivots, order_of(pivots, m))

    def jvp(self, y: Any, xs: Sequence[Var], dxs: Sequence[Var | None], **params: Any) -> Any:
        """See above."""
        (lu, _, order), (da,) = y, dxs
        assert da is not None
        m, n = lu.shape[-2:]
        k = min(m, n)
        low, high = _squares(lu)
        b = lu.b
        x = b.write("strong_triangular_systems", low, permuted_rows(da, order), lower=True, unit=True)
        x = transposed(
            b.write("strong_triangular_systems", transposed(high), transposed(x), lower=True, unit=False)
        )
        below = product(low, triangle(x, True, strictly=True))
        above = product(triangle(x, False), high)
        return triangle(below, True, strictly=True) + triangle(above, False) if k else da, None, None

    def flops(self, operands: Sequence[Aval], result: Avals, **params: Any) -> float:
        """2/3·n³; some microseconds for each member."""
        return cubic(operands[0], 2.0, 500.0, 5e5)


registry.add(LUCore())


def _squares(lu: Var) -> tuple[Var, Var]:
    """L and U made square: with columns, and rows, of the identity."""
    m, n = lu.shape[-2:]
    k, lead = min(m, n), lu.shape[:-2]
    b = lu.b
    low = slice_axis(lu, -1, 0, k)
    if m > k:
        low = b.write("concat", low, slice_axis(identity(b, m, lead), -1, k, m), axis=-1)
    high = slice_axis(lu, -2, 0, k)
    if n > k:
        high = b.write("concat", high, slice_axis(identity(b, n, lead), -2, k, n), axis=-2)
    eye = identity(b, m, lead)
    return triangle(low, True, strictly=True) + eye, triangle(high, False)


def order_of(pivots: Array, m: int) -> Array:
    """The order of m rows after the exchanges that pivots are."""
    order = np.broadcast_to(np.arange(m), (*pivots.shape[:-1], m)).copy()
    for i in range(pivots.shape[-1] if m else 0):
        at = pivots[..., i : i + 1]
        chosen = np.take_along_axis(order, at, -1)
        np.put_along_axis(order, at, order[..., i : i + 1].copy(), -1)
        order[..., i : i + 1] = chosen
    return order


class PivotOrder(Op):
    """The order of rows after the exchanges that pivots are. Raises `InvalidAttribute` for one out of range."""

    name = "pivot_order"
    family = "core"
    internal = True
    rules = (Zero(),)

    def infer(self, *avals: Aval, **params: Any) -> Avals:
        """As many as pivots."""
        if avals[0].dtype != "int64":
            raise DtypeMismatch("lu_solve: pivots must be integers.")
        return avals[0]

    def evaluate(self, *arrays: Any, **params: Any) -> Any:
        """One exchange after the other."""
        pivots = np.asarray(arrays[0])
        n = pivots.shape[-1]
        if pivots.size and (pivots.min() < 0 or pivots.max() >= n):
            raise InvalidAttribute(
                f"lu_solve: pivots must be rows 0 to {n - 1}; they count from 0, as SciPy's."
            )
        return order_of(pivots, n)


registry.add(PivotOrder())


class LUFactor(Op):
    """LU factorisation with partial pivoting in compact form: L (without its unit diagonal) and U in one matrix, and pivots.

    Row i was exchanged with row pivots[i], counted from 0, as in SciPy.
    """

    name = "lu_factor"
    family = "linalg"
    composite = True
    floating = True
    parameters = (A,)
    results = ("lu", "pivots")
    latex = "\\operatorname{{lu}} {a}"
    convention = CONVENTION
    examples = (
        Example(([[1.0, 2.0], [3.0, 4.0]],)),
        Example(([[1.0, 2.0], [3.0, 4.0], [0.5, -1.0]],), note="tall"),
        Example(([[[1.0, 2.0, 0.5], [3.0, 4.0, -1.0]]],), note="a stack"),
    )

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Any:
        """One node."""
        matrices("lu_factor", operands[0].aval)
        return b.write("lu_factors", operands[0])[:2]


class LU(Op):
    """LU factorisation with partial pivoting: a = p l u with a permutation matrix p, l unit lower and u upper triangular.

    a: [*s, m, n]  ->  p: [*s, m, m], l: [*s, m, k], u: [*s, k, n], k = min(m, n). With `permute_l` the results are p l
    and u.
    """

    name = "lu"
    family = "linalg"
    composite = True
    floating = True
    parameters = (A, Attr("permute_l", BOOL, False))
    results = ("p", "l", "u")
    spellings: Mapping[str, Spelling] = {
        "scipy.linalg.lu": Spelling(
            {},
            (
                A,
                Attr("permute_l", BOOL, False),
                Attr("overwrite_a", BOOL, False),
                Attr("check_finite", BOOL, True),
            ),
        )
    }
    latex = "\\operatorname{{lu}} {a}"
    convention = CONVENTION
    examples = (
        Example(([[1.0, 2.0], [3.0, 4.0]],)),
        Example(([[1.0, 2.0], [3.0, 4.0], [0.5, -1.0]],), note="tall"),
        Example(([[1.0, 2.0, 0.5], [3.0, 4.0, -1.0]],), {"permute_l": True}, note="wide"),
    )

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Any:
        """The compact form taken apart."""
        (a,) = operands
        matrices("lu", a.aval)
        m, n = a.shape[-2:]
        k = min(m, n)
        lu, _, order = b.write("lu_factors", a)
        eye = slice_axis(identity(b, m, a.shape[:-2]), -1, 0, k)
        low = triangle(slice_axis(lu, -1, 0, k), True, strictly=True) + eye
        high = triangle(slice_axis(lu, -2, 0, k), False)
        rows: Var = b.write("iota", n=m)
        p = cast(b, column(rows).equals(row(order)), a.dtype)
        return (b.write("matmul", p, low), high) if attrs["permute_l"] else (p, low, high)

    def count(self, attrs: Mapping[str, Any]) -> int | None:
        """With p in l there are two."""
        return 2 if attrs.get("permute_l") else super().count(attrs)


class LUSolve(Op):
    """The solution x of a x = b from the factors of `lu_factor`; with `trans` 1 of aᵀ x = b.

    SciPy's `lu_solve((lu, piv), b)` and `lu_solve(lu_factor(a), b)` are read in program text, too.
    """

    name = "lu_solve"
    family = "linalg"
    composite = True
    floating = True
    parameters = (
        Operand("lu", ("LU",)),
        Operand("piv", ("pivots",), integer=True),
        B,
        Attr("trans", TRANS, 0),
    )
    spellings = {
        "scipy.linalg.lu_solve": Spelling(
            parameters=(
                *parameters,
                Attr("overwrite_b", BOOL, False, keyword_only=True),
                Attr("check_finite", BOOL, True, keyword_only=True),
            )
        )
    }
    latex = "({lu})^{{-1}} {b}"
    convention = SINGULAR
    examples = (
        Example(([[3.0, 4.0], [0.5, 2.0]], [1, 1], [1.0, 2.0])),
        Example(([[3.0, 4.0], [0.5, 2.0]], [1, 1], [[1.0, 0.5], [2.0, -1.0]]), {"trans": 1}),
    )

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var:
        """Two triangular systems, and rows in the order of the pivots."""
        lu, pivots, y = operands
        n = square("lu_solve", lu)
        if lu.rank != 2 or pivots.shape != (n,):
            raise ShapeMismatch(
                f"lu_solve takes one factorisation and one vector of {n} pivots; the shapes are {list(lu.shape)} and "
                f"{list(pivots.shape)}."
            )
        order: Var = b.write("pivot_order", pivots)

        def write(t: Var, rhs: Var) -> Var:
            if not attrs["trans"]:
                half = triangular(t, permuted_rows(rhs, order), lower=True, unit=True)
                return triangular(t, half, lower=False)
            turned = transposed(t)
            half = triangular(turned, rhs, lower=True)
            back = triangular(turned, half, lower=False, unit=True)
            return permuted_rows(back, _inverse(order))

        return system("lu_solve", lu, y, True, write)


def _inverse(order: Var) -> Var:
    """The inverse of a permutation."""
    b, n = order.b, order.shape[-1]
    zeros = Var(b, b.zeros(Aval((n,), "int64")))
    result: Var = b.write("scatter_add", zeros, order, b.write("iota", n=n), axis=-1, batch_dims=0)
    return result


for _op in (LUFactor(), LU(), LUSolve()):
    registry.add(_op)
