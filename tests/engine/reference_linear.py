"""References of linear algebra: NumPy and SciPy, one matrix at a time where these do not take stacks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.linalg

from tests.engine.conformance import Reference


def each(function: Callable[..., Any], *stacks: Any) -> Any:
    """A function of matrices for every member of stacks, which are broadcast."""
    arrays = [np.asarray(s) for s in stacks]
    lead = np.broadcast_shapes(*[a.shape[:-2] for a in arrays])
    if not lead:
        return function(*arrays)
    wide = [np.broadcast_to(a, (*lead, *a.shape[-2:])) for a in arrays]
    found = [function(*[w[at] for w in wide]) for at in np.ndindex(*lead)]
    if isinstance(found[0], tuple):
        return tuple(np.stack(f).reshape(*lead, *np.shape(f[0])) for f in zip(*found, strict=True))
    return np.stack(found).reshape(*lead, *np.shape(found[0]))


def mean(a: Any) -> Any:
    """The symmetric part."""
    return (a + np.swapaxes(a, -1, -2)) / 2


def _solve(a: Any, b: Any, *, assume_a: Any, transposed: bool, lower: bool) -> Any:
    a = np.swapaxes(a, -1, -2) if transposed else a
    if assume_a in ("pos", "sym"):
        a = mean(a)
    if assume_a == "lower triangular":
        a = np.tril(a)
    return np.linalg.solve(a, b)


def _solve_triangular(
    a: Any, b: Any, *, trans: int, lower: bool, unit_diagonal: bool, upper: Any, left: bool
) -> Any:
    low = lower if upper is None else not upper
    t = np.tril(a) if low else np.triu(a)
    if unit_diagonal:
        n = t.shape[-1]
        t = t * (1 - np.eye(n)) + np.eye(n)
    t = np.swapaxes(t, -1, -2) if trans else t
    if left:
        return np.linalg.solve(t, b)
    return np.swapaxes(np.linalg.solve(np.swapaxes(t, -1, -2), np.swapaxes(b, -1, -2)), -1, -2)


def _cho_solve(c: Any, b: Any, *, lower: bool, upper: bool) -> Any:
    t = np.tril(c) if lower and not upper else np.triu(c).T
    return np.linalg.solve(t @ t.T, b)


def _tri_inv(a: Any, *, lower: bool, unit_diagonal: bool) -> Any:
    t = np.tril(a) if lower else np.triu(a)
    return np.linalg.inv(t * (1 - np.eye(len(t))) + np.eye(len(t)) if unit_diagonal else t)


def _leibniz(a: Any) -> Any:
    """The determinant as a polynomial: its derivatives are those at singular matrices, too."""
    n = a.shape[-1]
    if n == 0:
        return np.ones(a.shape[:-2])
    minors = [np.delete(np.delete(a, 0, -2), j, -1) for j in range(n)]
    return sum((-1) ** j * a[..., 0, j] * _leibniz(m) for j, m in enumerate(minors))


def _cholesky(a: Any, *, upper: bool, lower: Any) -> Any:
    factor = _cholesky_rows(mean(a))
    return np.swapaxes(factor, -1, -2) if (upper if lower is None else not lower) else factor


def _cholesky_rows(a: Any) -> Any:
    """Written out, so that it takes complex numbers without conjugating them."""
    n = a.shape[-1]
    factor = np.zeros_like(a)
    for i in range(n):
        for j in range(i + 1):
            rest = a[..., i, j] - np.sum(factor[..., i, :j] * factor[..., j, :j], axis=-1)
            factor[..., i, j] = np.sqrt(rest) if i == j else rest / factor[..., j, j]
    return factor


def _logdet(a: Any) -> Any:
    sign, log = np.linalg.slogdet(a)
    return np.where(np.real(sign) < 0, np.nan, log)


def _eigh(a: Any, *, UPLO: str, eigvals_only: bool) -> Any:
    return np.linalg.eigvalsh(mean(a)) if eigvals_only else tuple(np.linalg.eigh(mean(a)))


def _svd(a: Any, *, full_matrices: bool, compute_uv: bool, hermitian: bool) -> Any:
    return np.linalg.svd(a, full_matrices, compute_uv)


def _qr(a: Any, *, mode: str, pivoting: bool) -> Any:
    result = np.linalg.qr(a, mode)
    return result if mode == "r" else tuple(result)


def _lstsq(a: Any, b: Any, *, rcond: Any) -> Any:
    x, _, rank, s = np.linalg.lstsq(a, b, rcond)
    m, n = a.shape
    residuals = np.atleast_1d(np.sum((a @ x - b) ** 2, 0)) if m > n else np.zeros(0)
    return x, residuals, np.int64(rank), s


def _matrix_rank(A: Any, *, tol: Any, hermitian: bool, rtol: Any) -> Any:
    found = np.linalg.matrix_rank(A, tol, hermitian) if rtol is None else np.linalg.matrix_rank(A, rtol=rtol)
    return np.asarray(found, np.int64)


def _discrete(a: Any, q: Any) -> Any:
    return scipy.linalg.solve_discrete_lyapunov(a, q)


def only_real(function: Any) -> Any:
    """A reference that no complex step may use: that of complex matrices is another function (it conjugates)."""

    def value(*operands: Any, **attrs: Any) -> Any:
        if any(np.iscomplexobj(x) for x in operands):
            raise TypeError("real matrices only")
        return function(*operands, **attrs)

    return value


def _added(product: Callable[[Any, Any], Any]) -> Callable[..., Any]:
    def value(given: Any, x: Any, y: Any, *, beta: float, alpha: float) -> Any:
        return beta * given + alpha * product(x, y)

    return value


def _gemm(A: Any, B: Any, C: Any = None, *, alpha: float, beta: float, transA: bool, transB: bool) -> Any:
    product = alpha * ((A.T if transA else A) @ (B.T if transB else B))
    return product if C is None else product + beta * C


def _toeplitz(c: Any, r: Any = None) -> Any:
    if c.ndim == 1:
        return scipy.linalg.toeplitz(c, c if r is None else r)
    return np.stack([_toeplitz(row) for row in c])


def _circulant(c: Any) -> Any:
    return np.stack(
        [np.stack([np.roll(row, k) for k in range(len(row))], -1) for row in np.atleast_2d(c)]
    ).reshape(*c.shape, c.shape[-1])


def _companion(a: Any) -> Any:
    n = len(a) - 1
    result = np.zeros((n, n), a.dtype)
    result[0] = -a[1:] / a[0]
    result[range(1, n), range(n - 1)] = 1
    return result


def _lu_factor(a: Any) -> Any:
    return each(lambda m: tuple(np.asarray(r) for r in scipy.linalg.lu_factor(m)), a)


def _lu_solve(lu: Any, piv: Any, b: Any, *, trans: int) -> Any:
    n = len(lu)
    a = (np.tril(lu, -1) + np.eye(n)) @ np.triu(lu)
    for i in reversed(range(n)):
        a = a[np.where(np.arange(n) == i, piv[i], np.where(np.arange(n) == piv[i], i, np.arange(n)))]
    return np.linalg.solve(a.T if trans else a, b)


TABLE: dict[str, Reference] = {
    "solve": Reference(_solve),
    "cho_solve": Reference(_cho_solve),
    "cholesky_solve": Reference(lambda b, L, upper: _cho_solve(L, b, lower=True, upper=upper)),
    "inv": Reference(np.linalg.inv),
    "tensorinv": Reference(lambda a, ind: np.linalg.tensorinv(a, ind)),
    "tensorsolve": Reference(lambda a, b, axes: np.linalg.tensorsolve(a, b, axes)),
    "solve_triangular": Reference(_solve_triangular),
    "tri_inv": Reference(_tri_inv),
    "det": Reference(_leibniz),
    "slogdet": Reference(lambda a: tuple(np.linalg.slogdet(a))),
    "logdet": Reference(_logdet),
    "cholesky": Reference(_cholesky),
    "eigvalsh": Reference(only_real(lambda a, UPLO: np.linalg.eigvalsh(mean(a)))),
    "eigh": Reference(only_real(_eigh)),
    "svd": Reference(only_real(_svd)),
    "svdvals": Reference(only_real(np.linalg.svdvals)),
    "matvec": Reference(np.matvec),
    "vecmat": Reference(lambda x1, x2: np.squeeze(x1[..., None, :] @ x2, -2)),
    "multi_dot": Reference(lambda *arrays: np.linalg.multi_dot(arrays)),
    "addmm": Reference(_added(np.matmul)),
    "addmv": Reference(_added(np.matmul)),
    "addr": Reference(_added(np.outer)),
    "baddbmm": Reference(_added(np.matmul)),
    "addbmm": Reference(_added(lambda x, y: (x @ y).sum(0))),
    "gemm": Reference(_gemm),
    "toeplitz": Reference(_toeplitz),
    "hankel": Reference(lambda c, r=None: scipy.linalg.hankel(c, r)),
    "circulant": Reference(_circulant),
    "companion": Reference(_companion),
    "vander": Reference(lambda x, N, increasing: np.vander(x, N, increasing)),
    "block_diag": Reference(lambda *arrays: scipy.linalg.block_diag(*arrays)),
    "tri": Reference(lambda N, M, k: np.tri(N, M, k)),
    "lu": Reference(only_real(lambda a, permute_l: scipy.linalg.lu(a, permute_l))),
    "lu_factor": Reference(only_real(_lu_factor)),
    "lu_solve": Reference(_lu_solve),
    "pinv": Reference(
        only_real(lambda a, rcond, hermitian, rtol: np.linalg.pinv(mean(a) if hermitian else a))
    ),
    "lstsq": Reference(only_real(_lstsq)),
    "matrix_rank": Reference(_matrix_rank),
    "condition_number": Reference(only_real(lambda x, p: np.linalg.cond(x, p))),
    "solve_sylvester": Reference(only_real(lambda a, b, q: each(scipy.linalg.solve_sylvester, a, b, q))),
    "solve_continuous_lyapunov": Reference(only_real(scipy.linalg.solve_continuous_lyapunov)),
    "solve_discrete_lyapunov": Reference(only_real(_discrete)),
    "expm": Reference(lambda a: each(scipy.linalg.expm, a)),
    "logm": Reference(lambda a: each(scipy.linalg.logm, a)),
    "sqrtm": Reference(lambda a: each(scipy.linalg.sqrtm, a)),
    "sinm": Reference(only_real(scipy.linalg.sinm)),
    "cosm": Reference(only_real(scipy.linalg.cosm)),
    "matrix_power": Reference(lambda a, n: np.linalg.matrix_power(a, n)),
    "qr": Reference(only_real(_qr)),
}
