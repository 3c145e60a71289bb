"""Linear systems: solve and inv. In the core there is one op, over stacks with matrices on the right-hand side."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from engine.attrs import BOOL, one_of, optional
from engine.aval import Array, Aval, Avals, broadcast_shapes
from engine.builder import Builder, Var, broadcast_to, call
from engine.errors import ShapeMismatch
from engine.op import Attr, Example, General, Linear, Op, Operand, Spelling, registry
from engine.ops.linear.factor import (
    Factoring,
    blanked,
    column,
    finite,
    flat,
    identity,
    matrices,
    members,
    put,
    refuse,
    square,
    symmetric,
    transposed,
    which,
)
from engine.ops.linear.strong import product

A = Operand("a", ("A", "x", "input"))
B = Operand("b", ("B", "other"))
SINGULAR = (
    "A singular matrix is an error (`singular-matrix`); as a member of a map it is NaN, with a warning."
)


def systems(name: str, a: Aval, b: Aval) -> Avals:
    """Aval of the solution of core systems: stacks of equal shape, square matrices on the left."""
    matrices(name, a)
    n = square(name, a)
    if (
        b.shape[: len(a.shape) - 1] != (*a.shape[:-2], n)
        or len(b.shape) != len(a.shape)
        or a.dtype != b.dtype
    ):
        raise ShapeMismatch(f"{name}: {a} and {b} do not go together.")
    return b


class Systems(Factoring):
    """What systems have in common, in the core: X of A X = B for stacks of equal shape, A [*s, n, n], B [*s, n, k].

    There are two of each kind. The one that a program holds has param `raises`: whether a singular matrix is an error.
    Its derivatives are written with the other one, `strong`, in which a column of zeros has the solution zero even where
    the matrix is singular, and which is linear in B.
    """

    internal = True
    strong: str
    """Name of the one that derivatives are written with."""

    def infer(self, *avals: Aval, **params: Any) -> Avals:
        """The aval of B."""
        return systems(self.name, *avals)

    def bad(self, a: Array, **params: Any) -> Array:
        """Which members of a finite stack are singular."""
        raise NotImplementedError

    def solution(self, a: Array, b: Array, **params: Any) -> Array:
        """X, for regular finite matrices."""
        raise NotImplementedError

    def read(self, a: Array, **params: Any) -> Array:
        """What of the matrix counts."""
        return a

    def says(self, a: Array, at: tuple[int, ...]) -> str:
        """What is wrong with a singular member."""
        return (
            f"{which(at).capitalize()} is singular: a system with it has no solution, or many. pinv and lstsq give the "
            "least one."
        )

    def evaluate(self, *arrays: Any, **params: Any) -> Any:
        """Raises `SingularMatrix` for a singular member, if the node does."""
        a, b = (np.asarray(v) for v in arrays)
        if not a.size or not b.size:
            return np.zeros(b.shape, b.dtype)
        a = self.read(a, **params)
        good = finite(a)
        eye = np.eye(a.shape[-1], dtype=a.dtype)
        x = self._try(put(good, a, eye), b, **params)
        if x is None:
            singular = good & self.bad(put(good, a, eye), **params)
            if params.get("raises"):
                refuse(singular, lambda at: self.says(a, at))
            good = good & ~singular
            x = self.solution(put(good, a, eye), b, **params)
        if good.all():
            return x
        if self.name == self.strong:
            return np.where(
                good[..., None, None] | (b == 0).all(axis=-2, keepdims=True), x, a.dtype.type(np.nan)
            )
        return blanked(good, (x,))[0]

    def _try(self, a: Array, b: Array, **params: Any) -> Array | None:
        """X, or None if a member is singular."""
        try:
            return self.solution(a, b, **params)
        except np.linalg.LinAlgError:
            return None

    def singular(self, arrays: Sequence[Array], **params: Any) -> Array | None:
        """Which members are singular."""
        a = self.read(np.asarray(arrays[0]), **params)
        good = finite(a)
        return good & self.bad(put(good, a, np.eye(a.shape[-1], dtype=a.dtype)), **params) if a.size else None

    def moved(self, a: Var, da: Var, x: Var, **params: Any) -> Var:
        """−A⁻¹ Ȧ X, for the part of Ȧ that counts."""
        return -self.again(a, product(da, x), **params)

    def again(self, a: Var, b: Var, **params: Any) -> Var:
        """The system with another right-hand side, as part of a derivative."""
        given = {k: v for k, v in params.items() if k != "raises"}
        result: Var = a.b.write(self.strong, a, b, **given)
        return result

    def jvp(self, y: Any, xs: Sequence[Var], dxs: Sequence[Var | None], **params: Any) -> Any:
        """A⁻¹ (Ḃ − Ȧ X)."""
        a, (da, db) = xs[0], dxs
        moved = None if da is None else self.moved(a, da, y, **params)
        if db is None:
            return moved
        given = self.again(a, db, **params)
        return given if moved is None else given + moved

    def vmap(self, b: Any, size: int, operands: Sequence[Var], mapped: Sequence[bool], **params: Any) -> Any:
        """A map over right-hand sides alone is one system with more columns, so that the matrix is factored once."""
        a, y = operands
        if mapped[0]:
            return None
        lead, (n, k) = y.shape[1:-2], y.shape[-2:]
        order = [*range(1, y.rank - 1), 0, y.rank - 1]
        wide = b.write("permute_dims", y, axes=tuple(i - y.rank for i in order)).reshape((*lead, n, size * k))
        x = b.write(self, a, wide, **params).reshape((*lead, n, size, k))
        back = [x.rank - 2, *range(x.rank - 2), x.rank - 1]
        return b.write("permute_dims", x, axes=tuple(i - x.rank for i in back)).ref


class Regular(Systems):
    """Systems by LU with partial pivoting.

    JVP  Ẋ = A⁻¹ (Ḃ − Ȧ X); the cotangent of B is A⁻ᵀ X̄.

    M. Giles, "Collected matrix derivative results for forward and reverse mode algorithmic differentiation", 2008.
    """

    strong = "strong_systems"

    def __init__(self, name: str) -> None:
        self.name = name
        self.rules = (General(), Linear(_solve_back) if name == self.strong else General())

    def bad(self, a: Array, **params: Any) -> Array:
        """Where a pivot is exactly 0: slogdet makes the same factorisation, and never gives up."""
        return np.asarray(np.linalg.slogdet(a).sign == 0)

    def solution(self, a: Array, b: Array, **params: Any) -> Array:
        """LAPACK gesv."""
        x: Array = np.linalg.solve(a, b)
        return x

    def flops(self, operands: Sequence[Aval], result: Avals, **params: Any) -> float:
        """2/3·n³ + 2·n²·k, at about half the speed of a matrix product; 0.2 µs for the smallest."""
        a, y = operands
        n, k = y.shape[-2:]
        return members(a) * (3.0 * n**3 + 4.0 * n * n * k + 1000.0 * n * n + 2e4)


def _solve_back(ct: Var, k: int, operands: Sequence[Var], **params: Any) -> Var:
    result: Var = ct.b.write(Regular.strong, transposed(operands[0]), ct)
    return result


registry.add(Regular("linear_systems"))
registry.add(Regular("strong_systems"))


def system(name: str, a: Var, y: Var, vector: bool, write: Callable[[Var, Var], Var]) -> Var:
    """A system of the front: `y` is a vector or matrices, stacks are broadcast."""
    n = square(name, a)
    if y.rank == 0 or (y.rank < 2 and not vector):
        raise ShapeMismatch(
            f"{name}: the right-hand side must be a {'vector or a ' * vector}matrix; its shape is {list(y.shape)}."
        )
    single = y.rank == 1
    rhs = column(y) if single else y
    if rhs.shape[-2] != n:
        axis = "axis" if single else "last axis but one"
        raise ShapeMismatch(
            f"{name}: the matrix has {n} rows (shape {list(a.shape)}), the right-hand side (shape {list(y.shape)}) has "
            f"{rhs.shape[-2]} along its {axis}; they must be equally many."
        )
    try:
        lead = broadcast_shapes([a.shape[:-2], rhs.shape[:-2]])
    except ShapeMismatch as wrong:
        raise ShapeMismatch(
            f"{name}: the stacks of shapes {list(a.shape)} and {list(y.shape)} do not go together. {wrong.detail}"
        ) from None
    if rhs.rank > 2 and a.rank == 2:
        joined = _one_matrix(a, rhs, write)
        return flat(joined) if single else joined
    x = write(broadcast_to(a, (*lead, n, n)), broadcast_to(rhs, (*lead, *rhs.shape[-2:])))
    return x.reshape(x.shape[:-1]) if single else x


def _one_matrix(a: Var, rhs: Var, write: Callable[[Var, Var], Var]) -> Var:
    """One matrix and a stack of right-hand sides: one system with all their columns."""
    lead, (n, k) = rhs.shape[:-2], rhs.shape[-2:]
    m = int(np.prod(lead, dtype=int))
    wide = rhs.b.write("permute_dims", rhs.reshape((m, n, k)), axes=(-2, -3, -1)).reshape((n, m * k))
    x: Var = rhs.b.write("permute_dims", write(a, wide).reshape((n, m, k)), axes=(-2, -3, -1))
    return x.reshape((*lead, n, k))


def solved(a: Var, y: Var, raises: bool = True) -> Var:
    """X of A X = Y for stacks of equal shape."""
    result: Var = a.b.write("linear_systems", a, y, raises=raises)
    return result


ASSUMPTIONS = (
    "general", "gen", "symmetric", "sym", "hermitian", "her", "positive definite", "pos", "diagonal", "tridiagonal",
    "upper triangular", "lower triangular",
)  # fmt: skip


class Solve(Op):
    """The solution x of a x = b, for a square matrix a.

    a: [*s, n, n], b: [n] or [*t, n, k]  ->  [n] or [*broadcast(s, t), n, k]; b is a vector only if it has one axis,
    as in NumPy 2. `assume_a` (SciPy): 'pos' uses a Cholesky factorisation and the mean of a and its transpose;
    'upper triangular' and 'lower triangular' read that triangle alone; 'diagonal' the diagonal. `transposed`: of aᵀ x = b.

    JVP  ẋ = a⁻¹ (ḃ − ȧ x)
    """

    name = "solve"
    family = "linalg"
    composite = True
    floating = True
    parameters = (
        A,
        B,
        Attr("assume_a", optional(one_of(*ASSUMPTIONS)), None, keyword_only=True),
        Attr("transposed", BOOL, False, keyword_only=True),
        Attr("lower", BOOL, False, keyword_only=True),
    )
    spellings: Mapping[str, Spelling] = {
        "scipy.linalg.solve": Spelling(
            {},
            (
                A, B, Attr("lower", BOOL, False), Attr("overwrite_a", BOOL, False), Attr("overwrite_b", BOOL, False),
                Attr("check_finite", BOOL, True), Attr("assume_a", optional(one_of(*ASSUMPTIONS)), None),
                Attr("transposed", BOOL, False),
            ),
        )
    }  # fmt: skip
    latex = "{a}^{{-1}} {b}"
    derivative = {"a": "-a^{-1} \\dot{a}\\, y", "b": "a^{-1} \\dot{b}"}
    convention = SINGULAR
    examples = (
        Example(([[3.0, 1.0], [1.0, 2.0]], [9.0, 8.0])),
        Example(([[3.0, 1.0], [1.0, 2.0]], [[9.0, 1.0, 0.5], [8.0, 2.0, -1.0]])),
        Example(
            ([[[3.0, 1.0], [1.0, 2.0]], [[0.0, 2.0], [1.0, 1.0]]], [[1.0], [2.0]]),
            note="a stack and one matrix",
        ),
        Example(([[3.0, 1.0], [1.0, 2.0]], [[[1.0], [2.0]], [[0.5], [-1.0]]]), note="one matrix and a stack"),
        Example(([[4.0, 1.0], [1.0, 3.0]], [1.0, 2.0]), {"assume_a": "pos"}),
        Example(([[4.0, 1.0], [7.0, 3.0]], [1.0, 2.0]), {"assume_a": "lower triangular"}),
        Example(([[4.0, 1.0], [7.0, 3.0]], [1.0, 2.0]), {"transposed": True}),
        Example(([[1e-200, 0.0], [0.0, 1e200]], [1e-200, 1e200]), smooth=False, note="no overflow"),
    )

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var:
        """One system; a factorisation that fits what is known of a."""
        a, y = operands
        kind = attrs["assume_a"]
        square("solve", a)
        if attrs["transposed"]:
            a = transposed(a)
        if kind in ("symmetric", "sym", "hermitian", "her"):
            return system("solve", symmetric(a), y, True, solved)
        if kind in ("positive definite", "pos"):
            factor = call(b, "cholesky", a)
            return system("solve", factor, y, True, _by_cholesky)
        if kind in ("upper triangular", "lower triangular"):
            low = (kind == "lower triangular") != attrs["transposed"]
            return call(b, "solve_triangular", a, y, lower=low)
        if kind == "diagonal":
            return call(b, "solve_triangular", call(b, "triu", call(b, "tril", a)), y, lower=True)
        return system("solve", a, y, True, solved)


def triangular(a: Var, y: Var, *, lower: bool, unit: bool = False, raises: bool = True) -> Var:
    """X of T X = Y for stacks of equal shape, T a triangle of A."""
    result: Var = a.b.write("triangular_systems", a, y, lower=lower, unit=unit, raises=raises)
    return result


def _by_cholesky(factor: Var, y: Var) -> Var:
    return triangular(transposed(factor), triangular(factor, y, lower=True), lower=False)


_UNUSED = (
    Attr("overwrite_b", BOOL, False, keyword_only=True),
    Attr("check_finite", BOOL, True, keyword_only=True),
)
"""Arguments of SciPy's that say how to compute, not what."""


class CholeskySolve(Op):
    """The solution x of a x = b from the Cholesky factor c of a: two triangular systems.

    c is lower triangular, a = c cᵀ, unless `lower` is false or `upper` true: a = cᵀ c. SciPy's
    `cho_solve((c, lower), b)` is read in program text, too; `cholesky_solve(b, c)` has PyTorch's order.
    """

    name = "cho_solve"
    family = "linalg"
    composite = True
    floating = True
    parameters = (Operand("c", ("L", "factor")), B, Attr("lower", BOOL, True), Attr("upper", BOOL, False))
    spellings = {"scipy.linalg.cho_solve": Spelling(parameters=(*parameters, *_UNUSED))}
    latex = "({c} {c}^\\top)^{{-1}} {b}"
    convention = SINGULAR
    examples = (
        Example(([[2.0, 0.0], [1.0, 3.0]], [1.0, 2.0])),
        Example(([[2.0, 1.0], [0.0, 3.0]], [[1.0, 0.5], [2.0, -1.0]]), {"upper": True}),
        Example(([[2.0, 1.0], [0.0, 3.0]], [1.0, 2.0]), {"lower": False}),
    )

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var:
        """Forward and back substitution."""
        c, y = operands
        square("cho_solve", c)
        low = attrs["lower"] and not attrs["upper"]
        return system("cho_solve", c if low else transposed(c), y, True, _by_cholesky)


class TorchCholeskySolve(Op):
    """The solution x of a x = b from the Cholesky factor L of a, in PyTorch's order of operands: a = L Lᵀ.

    With `upper` the factor is upper triangular: a = Lᵀ L.
    """

    name = "cholesky_solve"
    family = "linalg"
    composite = True
    floating = True
    parameters = (B, Operand("L", ("factor", "input2")), Attr("upper", BOOL, False))
    latex = "({L} {L}^\\top)^{{-1}} {b}"
    convention = SINGULAR
    examples = (
        Example(([[1.0], [2.0]], [[2.0, 0.0], [1.0, 3.0]])),
        Example(([[1.0, 0.5], [2.0, -1.0]], [[2.0, 1.0], [0.0, 3.0]]), {"upper": True}),
    )

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var:
        """`cho_solve`."""
        return call(b, "cho_solve", operands[1], operands[0], upper=attrs["upper"])


class Inverse(Op):
    """The inverse of a square matrix, or of each of a stack."""

    name = "inv"
    aliases = ("Inverse", "inverse")
    family = "linalg"
    composite = True
    floating = True
    parameters = (A,)
    latex = "{a}^{{-1}}"
    derivative = {"a": "-y\\, \\dot{a}\\, y"}
    convention = SINGULAR
    examples = (
        Example(([[1.0, 2.0], [3.0, 4.0]],)),
        Example(([[[1.0, 2.0], [3.0, 4.0]], [[1.0, 3.0], [3.0, 5.0]]],), note="a stack"),
        Example(([[0.0, 1.0], [-2.0, 0.0]],), note="a pivot of 0"),
        Example(([[1.0, 1.0], [1.0, 1.000001]],), smooth=False, note="nearly singular"),
    )

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var:
        """The system with the identity, as LAPACK does."""
        (a,) = operands
        return solved(a, identity(b, square("inv", a), a.shape[:-2]))


for _op in (Solve(), CholeskySolve(), TorchCholeskySolve(), Inverse()):
    registry.add(_op)
