"""What the ops that factor matrices have in common: stacks of matrices given to LAPACK so that nothing escapes.

LAPACK is never shown a matrix that holds NaN or an infinity (some of its routines loop for ever then): such a member
of a stack is NaN in every result. A member that cannot be factored is NaN as well if the node does not raise, which is
how a map (`in_axes`) treats its members; else it is a `SingularMatrix` error that says which one it was.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import prod
from typing import Any, TypeAlias

import numpy as np

from engine.aval import Array, Aval, Avals
from engine.builder import Builder, Var, call
from engine.errors import DtypeMismatch, ShapeMismatch, SingularMatrix
from engine.op import Op

Results: TypeAlias = tuple[Array, ...]


class Factoring(Op):
    """A core op over stacks of matrices. Param `raises`: whether a singular member is an error, or NaN."""

    family = "linalg"
    compact = True
    floating = True

    def workspace(self, operands: Sequence[Aval], result: Avals, **params: Any) -> int:
        """Copies of the operands and what LAPACK needs."""
        return 4 * sum(a.nbytes for a in operands)

    def cuts(
        self, axis: int, operands: Sequence[Aval], result: Aval, /, **params: Any
    ) -> tuple[int | None, ...] | None:
        """An axis of the stack that all have."""
        n = result.shape[axis]
        shared = all(axis < a.rank - 2 and a.shape[axis] == n for a in operands)
        return (axis,) * len(operands) if shared else None

    def batched(self, size: int, params: Mapping[str, Any]) -> Mapping[str, Any]:
        """A member of a map that cannot be computed does not keep the others from it."""
        return {**params, "raises": False} if "raises" in params else params


def members(aval: Aval, core: int = 2) -> int:
    """How many matrices a stack holds."""
    return prod(aval.shape[: len(aval.shape) - core])


def cubic(aval: Aval, each: float, square: float, start: float) -> float:
    """Cost of an algorithm on a stack of m×n matrices, in operations of a matrix product (10¹¹ a second).

    `each`·m·n·min(m, n) for large matrices, `square`·m·n for what is no matrix product, `start` for each member.
    """
    m, n = aval.shape[-2:]
    return members(aval) * (each * m * n * min(m, n) + square * m * n + start)


def matrices(name: str, aval: Aval) -> None:
    """Raise unless this is a stack of floating-point matrices."""
    if len(aval.shape) < 2:
        raise ShapeMismatch(
            f"{name} needs a matrix, an array of at least two axes; the shape is {list(aval.shape)}."
        )
    if not aval.floating:
        raise DtypeMismatch(f"{name} needs floating-point numbers, not {aval.dtype}.")


def square(name: str, x: Var | Aval) -> int:
    """The size of a stack of square matrices. Raises `ShapeMismatch`."""
    shape = x.shape
    if len(shape) < 2:
        raise ShapeMismatch(
            f"{name} needs a square matrix, an array of at least two axes; the shape is {list(shape)}."
        )
    if shape[-1] != shape[-2]:
        raise ShapeMismatch(
            f"{name} needs a square matrix; the last two axes of shape {list(shape)} have sizes {shape[-2]} and "
            f"{shape[-1]}."
        )
    return shape[-1]


def transposed(x: Var) -> Var:
    """The last two axes exchanged."""
    result: Var = x.b.write("permute_dims", x, axes=(-1, -2))
    return result


def symmetric(x: Var) -> Var:
    """(x + xᵀ) / 2, which is exactly x where x is symmetric."""
    return (x + transposed(x)) * 0.5


def column(v: Var) -> Var:
    """A vector, or a stack of them, as matrices of one column."""
    return v.reshape((*v.shape, 1))


def row(v: Var) -> Var:
    """A vector, or a stack of them, as matrices of one row."""
    return v.reshape((*v.shape[:-1], 1, v.shape[-1]))


def flat(v: Var) -> Var:
    """A stack of matrices of one column, or one row, as vectors."""
    drop = v.rank - 1 if v.shape[-1] == 1 else v.rank - 2
    return v.reshape([n for i, n in enumerate(v.shape) if i != drop])


def identity(b: Builder, n: int, lead: Sequence[int] = ()) -> Var:
    """The identity, for each member of a stack."""
    one = call(b, "eye", n=n)
    return one if not lead else b.write("broadcast_to", one, shape=(*lead, n, n))


def on_diagonal(b: Builder, n: int) -> Var:
    """A mask of the diagonal."""
    index: Var = b.write("iota", n=n)
    return column(index).equals(index)


def diagonals(x: Var) -> Var:
    """Diagonals of the matrices in the last two axes."""
    return call(x.b, "diagonal", x, offset=0, axis1=-2, axis2=-1)


# ---------------------------------------------------------------------------------------------------------- to LAPACK


def finite(*stacks: Array) -> Array:
    """Which members hold neither NaN nor infinities."""
    return np.asarray(np.logical_and.reduce([np.isfinite(a).all(axis=(-2, -1)) for a in stacks]))


def put(good: Array, a: Array, other: Any) -> Array:
    """The stack with `other` for the members that are not good."""
    return a if good.all() else np.where(good[..., None, None], a, other)


def blanked(good: Array, results: Results) -> Results:
    """NaN in the floating results of members that are not good, 0 in integers."""
    if good.all():
        return results
    given = []
    for r in results:
        r = np.asarray(r)
        there = good.reshape(good.shape + (1,) * (r.ndim - good.ndim))
        given.append(np.where(there, r, r.dtype.type(np.nan if r.dtype.kind == "f" else 0)))
    return tuple(given)


def factored(function: Callable[[Array], Results], a: Array) -> Results:
    """A factorisation that every finite matrix has, of a stack; NaN for members that are not finite.

    Also for members for which an iteration of LAPACK does not converge, which is next to never.
    """
    good = finite(a)
    safe = put(good, a, a.dtype.type(0))
    try:
        return blanked(good, function(safe))
    except np.linalg.LinAlgError:
        failing = ~_each(function, safe)
        return blanked(good & ~failing, function(put(~failing, safe, a.dtype.type(0))))


def _each(function: Callable[[Array], Results], a: Array) -> Array:
    """For which members a function of one matrix succeeds."""
    ok = np.ones(a.shape[:-2], bool)
    for at in np.ndindex(*a.shape[:-2]):
        try:
            function(a[at])
        except np.linalg.LinAlgError:
            ok[at] = False
    return ok


def refuse(bad: Array, says: Callable[[tuple[int, ...]], str]) -> None:
    """Raise `SingularMatrix` for the first bad member; `says` what is wrong with it."""
    at = tuple(int(i) for i in np.argwhere(bad)[0])
    raise SingularMatrix(says(at))


def which(at: tuple[int, ...]) -> str:
    """How an error names a member of a stack."""
    return f"the matrix at {list(at)} of the stack" if at else "the matrix"
