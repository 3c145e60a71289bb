"""Sylvester's equation A X + X B = Q, and Lyapunov's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.linalg import lapack, schur

from engine.aval import Array, Aval, Avals, broadcast_shapes
from engine.builder import Builder, Var, broadcast_to, call
from engine.errors import ShapeMismatch
from engine.op import Example, General, Linear, Op, Operand, registry
from engine.ops.linear.factor import (
    Factoring,
    finite,
    identity,
    matrices,
    members,
    refuse,
    square,
    transposed,
    which,
)
from engine.ops.linear.solve import A, solved
from engine.ops.linear.strong import product

STRONG = "strong_sylvester"
SINGULAR = (
    "Where an eigenvalue of one matrix is minus one of the other there is no solution, or many: an error "
    "(`singular-matrix`); for a member of a map NaN, with a warning."
)


def _back(ct: Var, k: int, operands: Sequence[Var], **params: Any) -> Var:
    result: Var = ct.b.write(STRONG, transposed(operands[0]), transposed(operands[1]), ct)
    return result


class Sylvester(Factoring):
    """X of A X + X B = Q for stacks: A [*s, m, m], B [*s, n, n], Q [*s, m, n].

    JVP: A Ẋ + Ẋ B = Q̇ − Ȧ X − X Ḃ. As with systems there are two: derivatives are written with the strong one, which is
    linear in Q and has the solution 0 for Q = 0 whatever A and B are.
    """

    internal = True

    def __init__(self, name: str) -> None:
        self.name = name
        self.rules = (General(), General(), Linear(_back) if name == STRONG else General())

    def infer(self, *avals: Aval, **params: Any) -> Avals:
        """The aval of Q."""
        a, b, q = avals
        for aval in avals:
            matrices("solve_sylvester", aval)
        if q.shape[-2:] != (square("solve_sylvester", a), square("solve_sylvester", b)):
            raise ShapeMismatch(f"solve_sylvester: {a}, {b} and {q} do not go together.")
        assert a.shape[:-2] == b.shape[:-2] == q.shape[:-2]
        return q

    def evaluate(self, *arrays: Any, **params: Any) -> Any:
        """Bartels and Stewart. Raises `SingularMatrix`, if the node does."""
        a, b, q = (np.asarray(v) for v in arrays)
        x = np.full(q.shape, np.nan, q.dtype)
        if not q.size:
            return x
        good = finite(a, b) & (np.isfinite(q).all(axis=(-2, -1)))
        bad = np.zeros(good.shape, bool)
        for at in np.ndindex(*q.shape[:-2]):
            if self.name == STRONG and not q[at].any():
                x[at] = 0
            elif good[at]:
                found = _solution(a[at], b[at], q[at])
                bad[at] = found is None
                if found is not None:
                    x[at] = found
        if params.get("raises") and bad.any():
            refuse(
                bad,
                lambda at: (
                    f"solve_sylvester: an eigenvalue of the one matrix is minus an eigenvalue of the other (for "
                    f"{which(at)}), so there is no solution, or many."
                ),
            )
        return x

    def singular(self, arrays: Sequence[Array], **params: Any) -> Array | None:
        """Which members have no solution."""
        good = finite(*map(np.asarray, arrays))
        return np.asarray(good & np.isnan(self.evaluate(*arrays, raises=False)).any(axis=(-2, -1)))

    def jvp(self, y: Any, xs: Sequence[Var], dxs: Sequence[Var | None], **params: Any) -> Any:
        """The same equation with another right-hand side."""
        (a, b, _), (da, db, dq) = xs, dxs
        terms = [] if dq is None else [dq]
        if da is not None:
            terms.append(-product(da, y))
        if db is not None:
            terms.append(-product(y, db))
        total = terms[0]
        for term in terms[1:]:
            total = total + term
        return a.b.write(STRONG, a, b, total)

    def flops(self, operands: Sequence[Aval], result: Avals, **params: Any) -> float:
        """Two Schur decompositions and a back substitution."""
        a, b, _ = operands
        return members(a) * (
            300.0 * (a.shape[-1] + b.shape[-1]) ** 3 / 4 + 2e4 * a.shape[-1] * b.shape[-1] + 5e6
        )


def _solution(a: Array, b: Array, q: Array) -> Array | None:
    """X, or None where there is none."""
    r, u = schur(a, output="real")
    s, v = schur(b, output="real")
    trsyl = lapack.dtrsyl if q.dtype == np.float64 else lapack.strsyl
    y, scale, info = trsyl(r, s, u.T @ q @ v)
    if info != 0 or scale == 0:
        return None
    x: Array = u @ (y / scale) @ v.T
    return x


registry.add(Sylvester("sylvester"))
registry.add(Sylvester(STRONG))

Q = Operand("q", ("Q", "c", "C"))


class SolveSylvester(Op):
    """The solution x of a x + x b = q.

    R. H. Bartels, G. W. Stewart, "Solution of the matrix equation AX + XB = C", CACM 15(9), 1972.
    """

    name = "solve_sylvester"
    family = "linalg"
    composite = True
    floating = True
    parameters = (A, Operand("b", ("B",)), Q)
    latex = "\\{{x : {a} x + x {b} = {q}\\}}"
    convention = SINGULAR
    examples = (
        Example(([[3.0, 1.0], [0.5, 2.0]], [[1.0, 0.0], [2.0, 4.0]], [[1.0, 2.0], [3.0, -1.0]])),
        Example(([[3.0, 1.0], [0.5, 2.0]], [[1.0]], [[[1.0], [2.0]], [[0.5], [1.0]]]), note="a stack"),
    )

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var:
        """One node over stacks of equal shape."""
        x, y, q = operands
        matrices("solve_sylvester", q.aval)
        m, n = square("solve_sylvester", x), square("solve_sylvester", y)
        if q.shape[-2:] != (m, n):
            raise ShapeMismatch(
                f"solve_sylvester: q must be a {m}×{n} matrix, since a is {m}×{m} and b {n}×{n}; its shape is "
                f"{list(q.shape)}."
            )
        lead = broadcast_shapes([v.shape[:-2] for v in operands])
        wide = [broadcast_to(v, (*lead, *v.shape[-2:])) for v in operands]
        result: Var = b.write("sylvester", *wide, raises=True)
        return result


class Lyapunov(Op):
    """The solution x of a x + x aᵀ = q."""

    name = "solve_continuous_lyapunov"
    aliases = ("solve_lyapunov",)
    family = "linalg"
    composite = True
    floating = True
    parameters = (A, Q)
    latex = "\\{{x : {a} x + x {a}^\\top = {q}\\}}"
    convention = SINGULAR
    examples = (Example(([[3.0, 1.0], [0.5, 2.0]], [[1.0, 2.0], [3.0, -1.0]])),)

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var:
        """Sylvester's equation."""
        a, q = operands
        square("solve_continuous_lyapunov", a)
        return call(b, "solve_sylvester", a, transposed(a), q)


class DiscreteLyapunov(Op):
    """The solution x of a x aᵀ − x + q = 0, as one system of n² equations."""

    name = "solve_discrete_lyapunov"
    family = "linalg"
    composite = True
    floating = True
    parameters = (A, Q)
    latex = "\\{{x : {a} x {a}^\\top - x + {q} = 0\\}}"
    convention = SINGULAR
    examples = (Example(([[0.5, 0.1], [-0.3, 0.2]], [[1.0, 2.0], [3.0, -1.0]])),)

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var:
        """(I − a ⊗ a) vec x = vec q."""
        a, q = operands
        n = square("solve_discrete_lyapunov", a)
        if a.rank != 2 or q.shape != a.shape:
            raise ShapeMismatch(
                f"solve_discrete_lyapunov takes two square matrices of one size; the shapes are {list(a.shape)} and "
                f"{list(q.shape)}."
            )
        x = solved(identity(b, n * n) - call(b, "kron", a, a), q.reshape((n * n, 1)))
        return x.reshape((n, n))


for _op in (SolveSylvester(), Lyapunov(), DiscreteLyapunov()):
    registry.add(_op)
