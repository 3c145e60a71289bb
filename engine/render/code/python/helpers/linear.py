"""Linear algebra that generated code may hold: stacks of matrices, with NaN for a member that cannot be factored."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.linalg import lapack

from engine.aval import Array
from engine.ops.linear.cholesky import _smallest
from engine.ops.linear.determinant import _diagonal_cofactor, _of_regular
from engine.ops.linear.factor import blanked, factored, finite, put
from engine.ops.linear.functions import _corner
from engine.ops.linear.lu import order_of
from engine.ops.linear.svd import negligible
from engine.ops.linear.sylvester import _solution
from engine.ops.linear.triangular import _substitute


def refuse(bad: Array, says: Any) -> None:
    """Raise LinAlgError for the first bad member."""
    raise np.linalg.LinAlgError("a matrix cannot be factored")


def strong_matmul(x: Any, y: Any) -> Any:
    """x @ y, in which 0 times infinity or NaN is 0."""
    z = np.matmul(x, y)
    left, right = np.isfinite(x), np.isfinite(y)
    if np.isfinite(z).all() or (left.all() and right.all()):
        return z
    # Terms of two finite factors, and apart from them those of an infinity or NaN and something that is not 0.
    calm = np.matmul(np.where(left, x, 0), np.where(right, y, 0))
    wild = np.matmul((~left).astype(x.dtype), (y != 0).astype(x.dtype))
    wild += np.matmul((x != 0).astype(x.dtype), (~right).astype(x.dtype))
    return np.where(wild > 0, z, calm)


def mended(x: Any, b: Any, good: Any, strong: bool) -> Any:
    """Solutions x of systems of which only the good ones have one; of a strong system 0 where b is 0."""
    if good.all():
        return x
    there = good[..., None, None]
    if strong:
        there = there | (b == 0).all(axis=-2, keepdims=True)
    return np.where(there, x, x.dtype.type(np.nan))


def solve(a: Any, b: Any, strong: bool) -> Any:
    """np.linalg.solve, NaN where a matrix is singular; if `strong`, 0 where b is 0, whatever the matrix is."""
    if not b.size:
        return np.zeros(b.shape, b.dtype)
    good = finite(a)
    eye = np.eye(a.shape[-1], dtype=a.dtype)
    good = good & (np.linalg.slogdet(put(good, a, eye)).sign != 0)
    return mended(np.linalg.solve(put(good, a, eye), b), b, good, strong)


def solve_triangle(a: Any, b: Any, lower: bool, unit: bool, raises: bool, strong: bool) -> Any:
    """Solutions of systems with the lower or upper triangle of a, with ones on its diagonal if `unit`."""
    if not b.size:
        return np.zeros(b.shape, b.dtype)
    t = np.tril(a) if lower else np.triu(a)
    at = np.arange(t.shape[-1])
    if unit:
        t[..., at, at] = 1
    good = finite(t)
    singular = (t[..., at, at] == 0).any(axis=-1)
    if raises and (good & singular).any():
        raise np.linalg.LinAlgError("a triangular matrix has a 0 on its diagonal")
    good = good & ~singular
    return mended(_substitute(put(good, t, np.eye(t.shape[-1], dtype=t.dtype)), b, lower), b, good, strong)


def cholesky(a: Any) -> Any:
    """np.linalg.cholesky, NaN where a matrix is not finite."""
    good = finite(a)
    return blanked(good, (np.linalg.cholesky(put(good, a, np.eye(a.shape[-1], dtype=a.dtype))),))[0]


def cholesky_or_nan(a: Any) -> Any:
    """np.linalg.cholesky, NaN where a matrix is not positive definite, too."""
    eye = np.eye(a.shape[-1], dtype=a.dtype)
    good = finite(a)
    good = good & (_smallest(put(good, a, eye)) > 0) if a.size else good
    return blanked(good, factored(lambda x: (np.linalg.cholesky(x),), put(good, a, eye)))[0]


def det(a: Any) -> Any:
    """np.linalg.det, NaN where a matrix is not finite."""
    good = finite(a)
    return np.where(good, np.linalg.det(put(good, a, 0)), np.nan).astype(a.dtype)[()]


def slogdet(a: Any) -> Any:
    """np.linalg.slogdet, NaN where a matrix is not finite."""
    good = finite(a)
    found = np.linalg.slogdet(put(good, a, np.eye(a.shape[-1], dtype=a.dtype)))
    return tuple(np.where(good, y, np.nan).astype(a.dtype)[()] for y in found)


def cofactor(a: Any, *tangents: Any) -> Any:
    """The cofactors of a, det(a) times its inverse transposed; with tangents the derivative of that along them.

    By singular values, so that nothing is divided by one.
    """
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
    zero = np.zeros(a.shape[:-2], bool)
    for e in tangents:
        zero |= (e == 0).all(axis=(-2, -1))
    inner = [np.swapaxes(u, -1, -2) @ e @ np.swapaxes(vh, -1, -2) for e in tangents]
    result = u @ (_diagonal_cofactor(s, inner) * orientation[..., None, None]) @ vh
    return np.where(zero[..., None, None], a.dtype.type(0), result)


def eigh(a: Any) -> Any:
    """np.linalg.eigh, NaN where a matrix is not finite."""
    return factored(lambda x: tuple(np.linalg.eigh(x)), a)


def eigvalsh(a: Any) -> Any:
    """np.linalg.eigvalsh, NaN where a matrix is not finite."""
    return factored(lambda x: (np.linalg.eigvalsh(x),), a)[0]


def svd(a: Any, full: bool) -> Any:
    """np.linalg.svd, NaN where a matrix is not finite."""
    return factored(lambda x: tuple(np.linalg.svd(x, full_matrices=full)), a)


def svdvals(a: Any) -> Any:
    """Singular values, NaN where a matrix is not finite."""
    return factored(lambda x: (np.linalg.svd(x, compute_uv=False),), a)[0]


def nuclear_norm(a: Any) -> Any:
    """The sum of the singular values."""
    return factored(lambda x: (np.linalg.svd(x, compute_uv=False).sum(-1),), a)[0][()]


def polar(a: Any) -> Any:
    """The orthogonal factor of the polar decomposition."""

    def factor(x: Any) -> Any:
        u, s, vh = np.linalg.svd(x, full_matrices=False)
        return (np.where(negligible(s, *x.shape[-2:])[..., None, :], x.dtype.type(0), u) @ vh,)

    return factored(factor, a)[0]


def pinv(a: Any, rcond: float) -> Any:
    """np.linalg.pinv, NaN where a matrix is not finite."""
    if not a.size:
        return np.zeros((*a.shape[:-2], a.shape[-1], a.shape[-2]), a.dtype)
    return factored(lambda x: (np.linalg.pinv(x, rcond),), a)[0]


def qr(a: Any, full: bool) -> Any:
    """np.linalg.qr, NaN where a matrix is not finite."""
    q, r = factored(lambda x: tuple(np.linalg.qr(x, "complete" if full else "reduced")), a)
    return q, r[..., : r.shape[-1], :]


def lu_factors(a: Any) -> Any:
    """LAPACK's getrf: L and U in one matrix, the rows exchanged, and the order of rows that these make."""
    lead, (m, n) = a.shape[:-2], a.shape[-2:]
    lu, pivots = np.empty(a.shape, a.dtype), np.zeros((*lead, min(m, n)), np.int64)
    good = finite(a)
    safe = put(good, a, a.dtype.type(0))
    getrf = lapack.dgetrf if a.dtype == np.float64 else lapack.sgetrf
    if a.size:
        for at in np.ndindex(*lead):
            lu[at], pivots[at], _ = getrf(safe[at])
    return (*blanked(good, (lu,)), pivots, order_of(pivots, m))


def pivot_order(pivots: Any) -> Any:
    """The order of rows after the exchanges that pivots are."""
    n = pivots.shape[-1]
    if pivots.size and (pivots.min() < 0 or pivots.max() >= n):
        raise ValueError(f"pivots must be rows 0 to {n - 1}")
    return order_of(pivots, n)


def sylvester(a: Any, b: Any, q: Any, raises: bool, strong: bool) -> Any:
    """The x of a x + x b = q; if `strong`, 0 where q is 0."""
    x = np.full(q.shape, np.nan, q.dtype)
    if not q.size:
        return x
    good = finite(a, b) & np.isfinite(q).all(axis=(-2, -1))
    for at in np.ndindex(*q.shape[:-2]):
        if strong and not q[at].any():
            x[at] = 0
        elif good[at]:
            found = _solution(a[at], b[at], q[at])
            if found is not None:
                x[at] = found
            elif raises:
                raise np.linalg.LinAlgError(
                    "an eigenvalue of a is minus one of b: there is no solution, or many"
                )
    return x


def matrix_function(f: Any, raises: bool, a: Any, *tangents: Any) -> Any:
    """A function of matrices; with tangents its derivative along them."""
    y = np.full(a.shape, np.nan, a.dtype)
    if not a.size:
        return y
    good = finite(a, *tangents)
    for at in np.ndindex(*a.shape[:-2]):
        if any(not e[at].any() for e in tangents):
            y[at] = 0
        elif good[at]:
            found = _corner(f, a[at], [e[at] for e in tangents])
            if found is not None:
                y[at] = found
            elif raises and not tangents:
                raise np.linalg.LinAlgError("a matrix has no such real function")
    return y
