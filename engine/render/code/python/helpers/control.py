"""Loops and equations that generated code may hold."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from engine.ops.implicit.dense import NEWTON_PRODUCTS, krylov
from engine.ops.implicit.newton import iterate, newton


def while_each(test: Any, step: Any, carries: Any, constants: Any, guarded: bool) -> Any:
    """A loop for many members at once, each of which goes on for itself; last carries, and how many steps each took."""
    active = test(*carries, *constants)
    count = np.zeros(active.shape, np.int64)
    while active.any():
        after = step(*carries, *constants, *([active] if guarded else []))
        after = after if isinstance(after, tuple) else (after,)
        spread = [active.reshape(active.shape + (1,) * (np.ndim(v) - active.ndim)) for v in after]
        carries = tuple(np.where(m, new, old) for m, new, old in zip(spread, after, carries, strict=True))
        count += active
        active = active & test(*carries, *constants)
    return (*carries, count)


def matrix_of(columns: Any, block: int, shape: Any, dtype: Any, constants: Any) -> Any:
    """The matrices [batch, n, n] of a linear function, which `columns` computes for `block` vectors at a time."""
    *batch, n = shape
    count = prod(batch)
    unit = np.eye(n, dtype=dtype)
    result = np.empty((count, n, n))
    for start in range(0, n, block):
        stop = min(n, start + block)
        seeds = np.zeros((block, *batch, n), dtype)
        seeds[: stop - start] = unit[start:stop].reshape(stop - start, *[1] * len(batch), n)
        out = columns(seeds, *constants)
        result[:, :, start:stop] = out.reshape(block, count, n)[: stop - start].transpose(1, 2, 0)
    return result


def each_solved(a: Any, r: Any) -> Any:
    """The solutions of systems, NaN where a matrix is singular; and where that is."""
    x = np.full(r.shape, np.nan)
    singular = np.zeros(len(a), bool)
    for m in range(len(a)):
        try:
            x[m] = np.linalg.solve(a[m], r[m])
        except np.linalg.LinAlgError:
            singular[m] = True
    return x, singular


def linear_solve(
    right: Any, constants: Any, matvec: Any, columns: Any, block: int, shape: Any, *, diagonal: bool,
    symmetric: bool, strong: bool, tol: float,
) -> Any:  # fmt: skip
    """The x with matvec(x, *constants) = right: by the matrix itself, which may be diagonal, or by an iteration.

    If `strong`, x is 0 where right is 0, whatever the matrix is.
    """
    *batch, n = shape
    right = np.asarray(right)
    dtype = right.dtype
    count, sides = prod(batch), prod(right.shape[: right.ndim - len(shape)])
    r = right.reshape(sides, count, n).transpose(1, 2, 0).astype(np.float64)
    each = (r == 0) if diagonal else ~r.any(axis=1, keepdims=True)
    nothing = each if strong else np.zeros_like(each)
    if nothing.all():
        return np.zeros(right.shape, dtype)[()]
    singular = np.zeros(count, bool)
    if diagonal:
        d = np.asarray(matvec(np.ones(shape, dtype), *constants), np.float64).reshape(count, n, 1)
        lost = (d == 0) & ~nothing
        x, singular = np.where(lost, np.nan, r / np.where(d == 0, 1.0, d)), lost.any(axis=(1, 2))
    elif columns is not None:
        x, singular = each_solved(matrix_of(columns, block, shape, dtype, constants), r)
    else:

        def product(v: Any) -> Any:
            return np.asarray(matvec(v.reshape(shape).astype(dtype), *constants), np.float64).reshape(-1)

        tol = max(tol, 4 * float(np.finfo(dtype).eps))
        found = [krylov(product, r[:, :, k].reshape(-1), tol, symmetric) for k in range(sides)]
        x = np.stack(found, axis=-1).reshape(r.shape)
    if not batch and singular.any():
        raise np.linalg.LinAlgError("the matrix of a linear system is singular")
    x = np.where(nothing, 0.0, x)
    return x.transpose(2, 0, 1).reshape(right.shape).astype(dtype)[()]


def find_root(
    start: Any, constants: Any, residual: Any, jacobian: Any, columns: Any, block: int, *, diagonal: bool,
    method: str, tol: float, most: int,
) -> Any:  # fmt: skip
    """The x where residual(x, *constants) is 0, NaN where none is found; how large it is there; and the iterations.

    `method` is "newton", or "iterate" for x <- x + residual(x).
    """
    x0 = np.asarray(start)
    *batch, n = shape = x0.shape

    def f(x: Any) -> Any:
        return np.asarray(residual(x.reshape(shape), *constants)).reshape(x.shape)

    def correction(x: Any, fx: Any) -> Any:
        here = [x.reshape(shape), *constants]
        if diagonal:
            d = np.asarray(jacobian(np.ones(shape, x.dtype), *here), np.float64).reshape(x.shape)
            return np.where(d == 0, np.nan, -fx / np.where(d == 0, 1.0, d))
        if columns is not None:
            a = matrix_of(columns, block, shape, x.dtype, here)
            return each_solved(a, -fx.astype(np.float64)[:, :, None])[0][:, :, 0]

        def product(v: Any) -> Any:
            return np.asarray(jacobian(v.reshape(shape).astype(x.dtype), *here), np.float64).reshape(-1)

        return krylov(product, -fx.reshape(-1).astype(np.float64), 1e-10, False, NEWTON_PRODUCTS).reshape(
            x.shape
        )

    tol = max(tol, 4 * float(np.finfo(x0.dtype).eps))
    first = x0.reshape(-1, 1) if diagonal else x0.reshape(prod(batch), n)
    found = newton(f, correction, first, tol, most) if method == "newton" else iterate(f, first, tol, most)
    if not batch and (found.singular & (found.iterations == 1)).any():
        raise np.linalg.LinAlgError("the Jacobian is singular at the starting point of a root")
    y = np.where(found.done[:, None], found.x, np.nan).astype(x0.dtype).reshape(shape)
    worst = found.residual.reshape(prod(batch), -1).max(axis=1, initial=0.0)
    many = found.iterations.reshape(prod(batch), -1).max(axis=1, initial=0)
    return y, worst.astype(x0.dtype).reshape(batch)[()], many.reshape(batch)[()]
