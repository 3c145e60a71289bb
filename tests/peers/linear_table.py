"""Linear algebra in JAX and in PyTorch, by our names: functions of the operands and of the attributes by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import jax.scipy.linalg as jsl
import torch

Pair = tuple[Callable[..., Any] | None, Callable[..., Any] | None]


def _mean(x: Any) -> Any:
    return (x + x.mT) / 2


def _swapped(x: Any, chosen: bool) -> Any:
    return x.mT if chosen else x


def _solve(solve: Callable[..., Any], lower: Callable[..., Any]) -> Callable[..., Any]:
    def run(a: Any, b: Any, *, assume_a: Any, transposed: bool, **_: Any) -> Any:
        if assume_a == "lower triangular":
            a = lower(a)
        return solve(_mean(a) if assume_a == "pos" else _swapped(a, transposed), b)

    return run


def _jax_triangular(
    a: Any, b: Any, *, trans: int, lower: bool, unit_diagonal: bool, upper: Any, left: bool
) -> Any:
    if not left or a.ndim > 2:
        raise NotImplementedError
    return jsl.solve_triangular(a, b, trans, lower, unit_diagonal)


def _torch_triangular(
    a: Any, b: Any, *, trans: int, lower: bool, unit_diagonal: bool, upper: Any, left: bool
) -> Any:
    up = not lower if upper is None else upper
    rhs = b[:, None] if b.ndim == 1 else b
    x = torch.linalg.solve_triangular(
        _swapped(a, bool(trans)), rhs, upper=up != bool(trans), left=left, unitriangular=unit_diagonal
    )
    return x[:, 0] if b.ndim == 1 else x


def _torch_cho_solve(c: Any, b: Any, *, lower: bool, upper: bool) -> Any:
    rhs = b[:, None] if b.ndim == 1 else b
    up = upper or not lower
    x = torch.cholesky_solve(rhs, torch.triu(c) if up else torch.tril(c), upper=up)
    return x[:, 0] if b.ndim == 1 else x


def _torch_lstsq(a: Any, b: Any, *, rcond: Any) -> Any:
    s = torch.linalg.svdvals(a)
    x = torch.linalg.pinv(a) @ b
    m, n = a.shape
    residuals = torch.atleast_1d(((a @ x - b) ** 2).sum(0)) if m > n else torch.zeros(0)
    return x, residuals, torch.linalg.matrix_rank(a), s


def _jax_svd(a: Any, *, full_matrices: bool, compute_uv: bool, hermitian: bool) -> Any:
    return jnp.linalg.svd(a, full_matrices=full_matrices, compute_uv=compute_uv)


def _qr(qr: Callable[..., Any]) -> Callable[..., Any]:
    return lambda a, *, mode, pivoting: qr(a, mode=mode) if mode != "r" else qr(a, mode="reduced")[1]


def _jax_rank(A: Any, *, tol: Any, hermitian: bool, rtol: Any) -> Any:
    if tol is not None:
        raise NotImplementedError
    return jnp.linalg.matrix_rank(A, rtol=rtol)


def _jax_toeplitz(c: Any, r: Any = None) -> Any:
    if c.ndim > 1:
        raise NotImplementedError
    return jsl.toeplitz(c, r)


def _added(product: Callable[[Any, Any], Any]) -> Callable[..., Any]:
    return lambda given, x, y, *, beta, alpha: beta * given + alpha * product(x, y)


def _gemm(A: Any, B: Any, C: Any = None, *, alpha: float, beta: float, transA: bool, transB: bool) -> Any:
    z = alpha * _swapped(A, transA) @ _swapped(B, transB)
    return z if C is None else z + beta * C


LINEAR: dict[str, Pair] = {
    "solve": (_solve(jnp.linalg.solve, jnp.tril), _solve(torch.linalg.solve, torch.tril)),
    "cho_solve": (
        lambda c, b, *, lower, upper: jsl.cho_solve((c, lower and not upper), b),
        _torch_cho_solve,
    ),
    "cholesky_solve": (None, lambda b, L, upper: _torch_cho_solve(L, b, lower=True, upper=upper)),
    "inv": (jnp.linalg.inv, torch.linalg.inv),
    "tensorinv": (jnp.linalg.tensorinv, torch.linalg.tensorinv),
    "tensorsolve": (jnp.linalg.tensorsolve, lambda a, b, axes: torch.linalg.tensorsolve(a, b, axes)),
    "solve_triangular": (_jax_triangular, _torch_triangular),
    "tri_inv": (
        None,
        lambda a, lower, unit_diagonal: torch.linalg.solve_triangular(
            a, torch.eye(a.shape[-1]), upper=not lower, unitriangular=unit_diagonal
        ),
    ),
    "det": (jnp.linalg.det, torch.linalg.det),
    "slogdet": (lambda a: tuple(jnp.linalg.slogdet(a)), lambda a: tuple(torch.linalg.slogdet(a))),
    "logdet": (None, torch.logdet),
    "cholesky": (
        lambda a, upper, lower: jnp.linalg.cholesky(a, upper=upper),
        lambda a, upper, lower: torch.linalg.cholesky(_mean(a), upper=upper),
    ),
    "eigvalsh": (lambda a, UPLO: jnp.linalg.eigvalsh(a), lambda a, UPLO: torch.linalg.eigvalsh(_mean(a))),
    "eigh": (
        lambda a, UPLO, eigvals_only: jnp.linalg.eigvalsh(a) if eigvals_only else tuple(jnp.linalg.eigh(a)),
        None,  # there the signs of vectors are others
    ),
    "svd": (_jax_svd, None),
    "svdvals": (jnp.linalg.svdvals, torch.linalg.svdvals),
    "qr": (_qr(jnp.linalg.qr), _qr(torch.linalg.qr)),
    "lu": (
        lambda a, permute_l: jsl.lu(a, permute_l),
        lambda a, permute_l: (lambda p, l, u: (p @ l, u) if permute_l else (p, l, u))(*torch.linalg.lu(a)),
    ),
    "lu_factor": (lambda a: jsl.lu_factor(a)[:2], None),
    "lu_solve": (lambda lu, piv, b, trans: jsl.lu_solve((lu, piv.astype(jnp.int32)), b, trans), None),
    "pinv": (
        lambda a, rcond, hermitian, rtol: jnp.linalg.pinv(_mean(a) if hermitian else a),
        lambda a, rcond, hermitian, rtol: torch.linalg.pinv(_mean(a) if hermitian else a),
    ),
    "lstsq": (None, _torch_lstsq),
    "matrix_rank": (
        _jax_rank,
        lambda A, tol, hermitian, rtol: torch.linalg.matrix_rank(A, atol=tol, rtol=rtol, hermitian=hermitian),
    ),
    "condition_number": (lambda x, p: jnp.linalg.cond(x, p), lambda x, p: torch.linalg.cond(x, p)),
    "expm": (jsl.expm, torch.linalg.matrix_exp),
    "matrix_power": (
        lambda a, n: jnp.linalg.matrix_power(a, n),
        lambda a, n: torch.linalg.matrix_power(a, n),
    ),
    "matvec": (jnp.matvec, lambda x, y: (x @ y[..., None])[..., 0]),
    "vecmat": (jnp.vecmat, lambda x, y: (x[..., None, :] @ y)[..., 0, :]),
    "multi_dot": (
        lambda *arrays: jnp.linalg.multi_dot(arrays),
        lambda *arrays: torch.linalg.multi_dot(arrays),
    ),
    "addmm": (_added(jnp.matmul), lambda *xs, **attrs: torch.addmm(*xs, **attrs)),
    "addmv": (_added(jnp.matmul), lambda *xs, **attrs: torch.addmv(*xs, **attrs)),
    "addr": (_added(jnp.outer), lambda *xs, **attrs: torch.addr(*xs, **attrs)),
    "baddbmm": (_added(jnp.matmul), lambda *xs, **attrs: torch.baddbmm(*xs, **attrs)),
    "addbmm": (_added(lambda x, y: (x @ y).sum(0)), lambda *xs, **attrs: torch.addbmm(*xs, **attrs)),
    "gemm": (_gemm, _gemm),
    "toeplitz": (_jax_toeplitz, None),
    "vander": (
        lambda x, N, increasing: jnp.vander(x, N, increasing),
        None,
    ),
    "block_diag": (lambda *arrays: jsl.block_diag(*arrays), torch.block_diag),
    "tri": (jnp.tri, None),
}

LINEAR_NEITHER = {
    "hankel", "circulant", "companion", "logm", "sqrtm", "sinm", "cosm", "solve_sylvester",
    "solve_continuous_lyapunov", "solve_discrete_lyapunov",
}  # fmt: skip
"""Not offered there, or (sqrtm, logm in JAX) without a derivative."""
