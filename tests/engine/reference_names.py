"""References of ops that one library alone has a name for."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.engine.conformance import Reference


def _addcmul(x: Any, one: Any, other: Any, value: float) -> Any:
    return x + value * one * other


def _addcdiv(x: Any, one: Any, other: Any, value: float) -> Any:
    return x + value * one / other


def _cdist(x1: Any, x2: Any, p: float) -> Any:
    return np.linalg.vector_norm(x1[..., :, None, :] - x2[..., None, :, :], ord=p, axis=-1)


def _diag_embed(x: Any, offset: int, dim1: int, dim2: int) -> Any:
    rows = x.reshape(-1, x.shape[-1])
    matrices = np.array([np.diag(row, offset) for row in rows])
    matrices = matrices.reshape(*x.shape[:-1], *matrices.shape[1:])
    return np.moveaxis(matrices, (-2, -1), (dim1, dim2))


def _cho_factor(a: Any, lower: bool) -> Any:
    c = np.linalg.cholesky((a + a.T) / 2)
    return c if lower else c.T


TABLE: dict[str, Reference] = {
    "clamp_min": Reference(lambda x, min: np.where(np.real(x) > np.real(min), x, min)),
    "clamp_max": Reference(lambda x, max: np.where(np.real(x) < np.real(max), x, max)),
    "addcmul": Reference(_addcmul),
    "addcdiv": Reference(_addcdiv),
    "cho_factor": Reference(_cho_factor),
    "cdist": Reference(_cdist),
    "diagflat": Reference(lambda x, k: np.diagflat(x, k)),
    "diag_embed": Reference(_diag_embed),
    "rollaxis": Reference(lambda x, axis, start: np.rollaxis(x, axis, start)),
    "array_equal": Reference(lambda x, y, equal_nan: np.asarray(np.array_equal(x, y, equal_nan))),
    "unravel_index": Reference(
        lambda indices, shape: tuple(np.asarray(i, np.int64) for i in np.unravel_index(indices, shape))
    ),
    "ravel_multi_index": Reference(
        lambda *index, dims: np.asarray(
            np.ravel_multi_index(tuple(np.broadcast_arrays(*index)), dims), np.int64
        )
    ),
}
