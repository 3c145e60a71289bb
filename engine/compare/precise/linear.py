"""Factorisations and systems with mpmath's numbers, for stacks of small matrices: `fn(arithmetic, op, params, *arrays)`.

Where a factorisation leaves a choice (signs of eigenvectors, exchanges of rows) it is made as LAPACK makes it for the nearest
doubles. Matrices that cannot be factored give NaN.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from engine.aval import Array
from engine.compare.precise.numbers import DIVIDED, Arithmetic, Unavailable
from engine.op import Op

Handler = Callable[..., Any]
Params = Mapping[str, Any]


def _empty(shape: tuple[int, ...]) -> Array:
    return np.empty(shape, object)


def eliminated(ar: Arithmetic, a: Array, b: Array) -> tuple[Array, Any]:
    """Solution of one system by Gaussian elimination with partial pivoting, and the determinant. NaN if it is singular."""
    c = ar.c
    n = len(a)
    ar.charge(3.0 * n * n * (n / 2 + b.shape[1]))
    a, b = a.copy(), b.copy()
    # Arrays stand on the left of products: a number on the left looks at the array first, at length.
    determinant = c.one
    for k in range(n):
        ar.meter.check()
        p = max(range(k, n), key=lambda i: abs(a[i, k]))
        if a[p, k] == 0 or c.isnan(a[p, k]):
            out = _empty(b.shape)
            out.fill(c.nan)
            return out, c.zero if a[p, k] == 0 else c.nan
        if p != k:
            a[[k, p]], b[[k, p]] = a[[p, k]], b[[p, k]]
            determinant = -determinant
        determinant = determinant * a[k, k]
        for i in range(k + 1, n):
            if a[i, k] != 0:
                factor = a[i, k] / a[k, k]
                a[i, k:] = a[i, k:] - a[k, k:] * factor
                b[i] = b[i] - b[k] * factor
    for k in range(n - 1, -1, -1):
        b[k] = b[k] / a[k, k]
        for i in range(k):
            if a[i, k] != 0:
                b[i] = b[i] - b[k] * a[i, k]
    return b, determinant


def _each(a: Array, core: int = 2) -> list[tuple[int, ...]]:
    return list(np.ndindex(*a.shape[: a.ndim - core]))


def _systems(ar: Arithmetic, op: Any, params: Params, a: Array, b: Array) -> Any:
    read = np.asarray(op.read(a, **params)) if a.size else a
    a = ar.exact(read)
    out = _empty(b.shape)
    for at in _each(b):
        out[at], _ = eliminated(ar, a[at], b[at])
    return out


def _det(ar: Arithmetic, op: Op, params: Params, a: Array) -> Any:
    out = _empty(a.shape[:-2])
    for at in _each(a):
        _, out[at] = eliminated(ar, a[at], _empty((a.shape[-1], 0)))
    return out


def _slogdet(ar: Arithmetic, op: Op, params: Params, a: Array) -> Any:
    c, det = ar.c, _det(ar, op, params, a)
    sign, log = _empty(det.shape), _empty(det.shape)
    for at in np.ndindex(*det.shape):
        sign[at], log[at] = c.sign(det[at]), c.log(abs(det[at]))
    return sign, log


def _cofactor(ar: Arithmetic, op: Op, params: Params, a: Array, *tangents: Array) -> Any:
    if tangents:
        raise Unavailable("higher derivatives of det inside the program have no high-precision value here")
    out = _empty(a.shape)
    for at in _each(a):
        inverse, det = eliminated(ar, a[at], ar.exact(np.eye(a.shape[-1])))
        out[at] = inverse.T * det
    return out


def _cholesky(ar: Arithmetic, op: Op, params: Params, a: Array) -> Any:
    c, n = ar.c, a.shape[-1]
    out = ar.exact(np.zeros(a.shape))
    for at in _each(a):
        ar.charge(0.6 * n**3)
        low = out[at]
        for j in range(n):
            ar.meter.check()
            rest = a[at][j, j] - np.dot(low[j, :j], low[j, :j])
            if not rest > 0:
                low.fill(c.nan)
                break
            low[j, j] = c.sqrt(rest)
            for i in range(j + 1, n):
                low[i, j] = (a[at][i, j] - np.dot(low[i, :j], low[j, :j])) / low[j, j]
    return out


def _lu(ar: Arithmetic, op: Op, params: Params, a: Array) -> Any:
    """With the exchanges that LAPACK makes."""
    _, pivots, order = op.evaluate(ar.rounded(a), **params)
    m, n = a.shape[-2:]
    out = _empty(a.shape)
    for at in _each(a):
        ar.charge(1.6 * m * n * min(m, n))
        x = a[at][np.asarray(order)[at]].copy()
        for k in range(min(m, n)):
            ar.meter.check()
            for i in range(k + 1, m):
                x[i, k] = x[i, k] / x[k, k] if x[k, k] != 0 else x[i, k]
                x[i, k + 1 :] = x[i, k + 1 :] - x[k, k + 1 :] * x[i, k]
        out[at] = x
    return out, np.asarray(pivots), np.asarray(order)


def _qr(ar: Arithmetic, op: Op, params: Params, a: Array) -> Any:
    """By Gram and Schmidt, twice; signs as LAPACK's."""
    m, n = a.shape[-2:]
    k = min(m, n)
    if params["full"] and m != k:
        raise Unavailable("the complete QR factorisation of a tall matrix is not unique")
    rough, _ = (np.asarray(v) for v in op.evaluate(ar.rounded(a), **params))
    lead = a.shape[:-2]
    q, r = _empty((*lead, m, k)), ar.exact(np.zeros((*lead, k, n)))
    for at in _each(a):
        ar.charge(8.0 * m * n * k)
        columns = _basis(ar, a[at][:, :k], rough[at])
        q[at] = columns
        r[at] = np.triu(np.matmul(columns.T, a[at]))
    return q, ar.exact(r)


def _basis(ar: Arithmetic, a: Array, signs: Array) -> Array:
    """Orthonormal columns that span those of a, one after the other, in the direction of the columns `signs`."""
    c = ar.c
    q = _empty(a.shape)
    for j in range(a.shape[1]):
        v = a[:, j]
        for _ in range(2):
            for i in range(j):
                v = v - q[:, i] * np.dot(q[:, i], v)
        size = c.sqrt(np.dot(v, v))
        v = v / size if size != 0 else v * c.nan
        q[:, j] = v if float(np.dot(ar.rounded(v), signs[:, j])) >= 0 else -v
    return q


def _array(ar: Arithmetic, matrix: Any) -> Array:
    """mpmath's matrix as an array; imaginary parts that rounding left are dropped."""
    c = ar.c
    out = _empty((matrix.rows, matrix.cols))
    for i in range(matrix.rows):
        for j in range(matrix.cols):
            v = matrix[i, j]
            out[i, j] = v.real if isinstance(v, c.mpc) else c.mpf(v)
    return out


def _toward(ar: Arithmetic, columns: Array, rough: Array) -> Array:
    """Signs of columns as LAPACK's: 1 or −1 for each."""
    products = np.einsum("ij,ij->j", ar.rounded(columns), rough)
    return np.where(products < 0, -1, 1)


def _eigen(ar: Arithmetic, a: Array, rough: Array | None) -> tuple[Array, Array | None]:
    """Eigenvalues of one symmetric matrix in ascending order, and eigenvectors."""
    c, n = ar.c, len(a)
    ar.charge(60.0 * n**3)
    low = np.tril(a)
    matrix = c.matrix((low + np.tril(a, -1).T).tolist())
    try:
        if rough is None:
            return _array(ar, c.matrix(c.eigsy(matrix, eigvals_only=True))).reshape(-1), None
        values, vectors = c.eigsy(matrix)
    except DIVIDED:
        raise Unavailable("the eigenvalues could not be found with so many digits") from None
    columns = _array(ar, vectors)
    return _array(ar, c.matrix(values)).reshape(-1), columns * _toward(ar, columns, rough)


def _symmetric_eigen(ar: Arithmetic, op: Op, params: Params, a: Array) -> Any:
    _, rough = (np.asarray(v) for v in op.evaluate(ar.rounded(a), **params))
    values, vectors = _empty(a.shape[:-1]), _empty(a.shape)
    for at in _each(a):
        if a.shape[-1]:
            values[at], vectors[at] = _eigen(ar, a[at], rough[at])
    return values, vectors


def _eigvalsh(ar: Arithmetic, op: Op, params: Params, a: Array) -> Any:
    values = _empty(a.shape[:-1])
    for at in _each(a):
        if a.shape[-1]:
            values[at], _ = _eigen(ar, a[at], None)
    return values


def _singular(ar: Arithmetic, a: Array) -> tuple[Array, Array, Array]:
    """u, s, vh of one matrix, s descending; the columns' signs go together."""
    c = ar.c
    m, n = a.shape
    ar.charge(100.0 * m * n * min(m, n))
    try:
        u, s, vh = c.svd_r(c.matrix(a.tolist()))
    except DIVIDED:
        raise Unavailable("the singular values could not be found with so many digits") from None
    return _array(ar, u), _array(ar, s).reshape(-1), _array(ar, vh)


def _singular_factors(ar: Arithmetic, op: Op, params: Params, a: Array) -> Any:
    m, n = a.shape[-2:]
    if params["full"] and m != n:
        raise Unavailable(
            "the complete singular value decomposition of a matrix that is not square is not unique"
        )
    rough = np.asarray(op.evaluate(ar.rounded(a), **params)[0])
    k, lead = min(m, n), a.shape[:-2]
    us, ss, vs = _empty((*lead, m, k)), _empty((*lead, k)), _empty((*lead, k, n))
    for at in _each(a):
        if k:
            u, s, vh = _singular(ar, a[at])
            signs = _toward(ar, u, rough[at])
            us[at], ss[at], vs[at] = u * signs, s, vh * signs[:, None]
    return us, ss, vs


def _svdvals(ar: Arithmetic, op: Op, params: Params, a: Array) -> Any:
    out = _empty((*a.shape[:-2], min(a.shape[-2:])))
    for at in _each(a):
        if out.shape[-1]:
            out[at] = _singular(ar, a[at])[1]
    return out


def _nuclear(ar: Arithmetic, op: Op, params: Params, a: Array) -> Any:
    return ar.exact(np.sum(_svdvals(ar, op, params, a), axis=-1))


def _by_singular_values(fn: Callable[[Arithmetic, Params, Array, Array, Array], Array]) -> Handler:
    def handler(ar: Arithmetic, op: Op, params: Params, a: Array) -> Any:
        found = [fn(ar, params, *_singular(ar, a[at])) for at in _each(a)]
        shape = np.shape(op.evaluate(ar.rounded(a), **params))
        out = _empty(shape)
        for at, value in zip(_each(a), found, strict=True):
            out[at] = value
        return out

    return handler


def _polar(ar: Arithmetic, params: Params, u: Array, s: Array, vh: Array) -> Array:
    least = float(s[0]) * max(u.shape[0], vh.shape[1]) * 2.3e-16 if len(s) else 0.0
    kept = np.array([v > least for v in s], bool)
    found: Array = np.matmul(np.where(kept, u, ar.zero), vh)
    return found


def _pinv(ar: Arithmetic, params: Params, u: Array, s: Array, vh: Array) -> Array:
    least = s[0] * ar.number(params["rcond"]) if len(s) else 0
    inverse = np.array([1 / v if v > least else ar.zero for v in s], object)
    found: Array = np.matmul(vh.T * inverse, u.T)
    return found


def _matrix_function(ar: Arithmetic, op: Op, params: Params, a: Array, *tangents: Array) -> Any:
    if tangents:
        raise Unavailable(
            "derivatives of matrix functions inside the program have no high-precision value here"
        )
    c, n = ar.c, a.shape[-1]
    name = {"exp": "expm", "log": "logm", "sqrt": "sqrtm", "sin": "sinm", "cos": "cosm"}[params["function"]]
    out = _empty(a.shape)
    for at in _each(a):
        ar.charge(300.0 * n**3)
        if n:
            try:
                out[at] = _array(ar, getattr(c, name)(c.matrix(a[at].tolist())))
            except DIVIDED:
                raise Unavailable(f"{name} could not be computed with so many digits") from None
    return out


def _sylvester(ar: Arithmetic, op: Op, params: Params, a: Array, b: Array, q: Array) -> Any:
    """AX + XB = Q as one system for the entries of X."""
    m, n = q.shape[-2:]
    out = _empty(q.shape)
    for at in _each(q):
        system = np.kron(a[at], ar.exact(np.eye(n))) + np.kron(ar.exact(np.eye(m)), b[at].T)
        x, _ = eliminated(ar, system, q[at].reshape(m * n, 1))
        out[at] = x.reshape(m, n)
    return out


LINEAR: dict[str, Handler] = {
    **dict.fromkeys(
        ("linear_systems", "strong_systems", "triangular_systems", "strong_triangular_systems"), _systems
    ),
    "det": _det,
    "slogdet": _slogdet,
    "cofactor": _cofactor,
    "cholesky_factor": _cholesky,
    "lu_factors": _lu,
    "qr_factors": _qr,
    "symmetric_eigen": _symmetric_eigen,
    "eigvalsh": _eigvalsh,
    "singular_factors": _singular_factors,
    "svdvals": _svdvals,
    "nuclear_norm": _nuclear,
    "polar_factor": _by_singular_values(_polar),
    "pseudo_inverse": _by_singular_values(_pinv),
    "matrix_function": _matrix_function,
    "sylvester": _sylvester,
    "strong_sylvester": _sylvester,
}
