"""Square roots and logarithms of matrices, by their complex Schur form.

SciPy has both, but says by Python warnings, which threads share, where a matrix is near a singular one.
"""

from __future__ import annotations

import numpy as np
from scipy.linalg import lapack, schur, solve_triangular

from engine.aval import Array

NEAR = 0.3
"""How near to the identity a root is brought before its logarithm is approximated: there to double precision."""
MOST_ROOTS = 100
SMALL = 12
"""Up to this size a root is computed entry by entry."""


def square_root(a: Array) -> Array:
    """The principal square root of one finite matrix, complex; not finite where there is none.

    A. Björck, S. Hammarling, "A Schur method for the square root of a matrix", 1983, doi:10.1016/0024-3795(83)80010-X.
    """
    t, z = schur(a, output="complex")
    result: Array = z @ _triangular_root(t) @ z.conj().T
    return result


def _triangular_root(t: Array) -> Array:
    """Of an upper triangular matrix: of both halves, and what couples them by Sylvester's equation.

    E. Deadman, N. J. Higham, R. Ralha, "Blocked Schur algorithms for computing the matrix square root", 2013.
    """
    n = len(t)
    if n <= SMALL:
        return _entry_by_entry(t)
    h = n // 2
    first, second = _triangular_root(t[:h, :h]), _triangular_root(t[h:, h:])
    x, scale, info = lapack.ztrsyl(first, second, t[:h, h:])
    if info or scale != 1:
        return _entry_by_entry(t)  # eigenvalues of 0, which may have a root all the same
    return np.block([[first, x], [np.zeros((n - h, h)), second]])


def _entry_by_entry(t: Array) -> Array:
    """The same, one column after the other."""
    n = len(t)
    r = np.zeros_like(t)
    d = np.sqrt(np.diagonal(t))
    r[np.arange(n), np.arange(n)] = d
    for j in range(1, n):
        for i in range(j - 1, -1, -1):
            rest = t[i, j] - r[i, i + 1 : j] @ r[i + 1 : j, j]
            r[i, j] = rest / (d[i] + d[j]) if rest != 0 else 0
    return r


def logarithm(a: Array) -> Array:
    """The principal logarithm of one finite matrix, complex; not finite where there is none.

    By square roots until the matrix is near I, where log(I + X) is a Padé approximant in partial fractions: Gauss and
    Legendre's rule for ∫₀¹ X (I + tX)⁻¹ dt.

    A. H. Al-Mohy, N. J. Higham, "Improved inverse scaling and squaring algorithms for the matrix logarithm", SIAM J. Sci.
    Comput. 34(4), 2012, doi:10.1137/110852553.
    """
    t, z = schur(a, output="complex")
    n = len(t)
    at = np.arange(n)
    logs = np.log(np.diagonal(t))
    if not np.isfinite(logs).all():
        return np.full(a.shape, np.nan)
    eye = np.eye(n)
    roots = 0
    while roots < MOST_ROOTS and _size(t - eye) > NEAR:
        t = _triangular_root(t)
        roots += 1
    x = t - eye
    x[at, at] = np.expm1(logs / 2.0**roots)  # without the cancellation that many roots bring
    nodes, weights = np.polynomial.legendre.leggauss(12)
    total = np.zeros_like(x)
    for node, weight in zip((nodes + 1) / 2, weights / 2, strict=True):
        total += weight * solve_triangular(eye + node * x, x)
    total *= 2.0**roots
    total[at, at] = logs
    result: Array = z @ total @ z.conj().T
    return result


def _size(x: Array) -> float:
    """What counts of X for the approximant's error: by powers, since a large nilpotent part does no harm."""
    square = x @ x
    powers = (np.linalg.norm(square, 1) ** (1 / 2), np.linalg.norm(square @ x, 1) ** (1 / 3))
    return float(max(powers))
