"""Special functions that generated code may hold, beside those of SciPy and of the engine."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import special

from engine.ops.special.zeta import zeta_derivative


def lambertw(x: Any, branch: int) -> Any:
    """Lambert's W where it is real, else NaN."""
    w = special.lambertw(x, branch)
    return np.where((w.imag == 0) & ((branch == 0) | (x < 0)), w.real, np.nan)[()]


def hurwitz_zeta(m: int, s: Any, q: Any) -> Any:
    """The m-th derivative in s of Hurwitz's zeta function."""
    s, q = np.asarray(s), np.asarray(q)
    found = zeta_derivative(m, s, q)
    if m:
        return found[()]
    return np.where((s > 1) & (q > 0), special.zeta(s, np.maximum(q, 1e-300)), found)[()]


def flat(function: Any, *arrays: Any) -> Any:
    """A function of flat arrays, on arrays that broadcast."""
    full = np.broadcast_arrays(*arrays)
    return function(*[v.reshape(-1) for v in full]).reshape(full[0].shape)[()]


def scalars(function: Any, x: Any, *rest: Any) -> Any:
    """A function of arrays and further arguments, on an array or a number."""
    return np.asarray(function(np.asarray(x), *rest))[()]
