"""What ops that one library alone has a name for are compared with in PyTorch and JAX."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import torch

Pair = tuple[Callable[..., Any] | None, Callable[..., Any] | None]


def _jax_equal(x: Any, y: Any, equal_nan: bool) -> Any:
    return jnp.array_equal(x, y, equal_nan)


def _jax_factor(a: Any, lower: bool) -> Any:
    c = jnp.linalg.cholesky((a + a.T) / 2)
    return c if lower else c.T


def _torch_factor(a: Any, lower: bool) -> Any:
    return torch.linalg.cholesky((a + a.T) / 2, upper=not lower)


PAIRS: dict[str, Pair] = {
    "clamp_min": (lambda x, low: jnp.clip(x, low, None), lambda x, low: torch.clamp_min(x, low)),
    "clamp_max": (lambda x, high: jnp.clip(x, None, high), lambda x, high: torch.clamp_max(x, high)),
    "addcmul": (None, lambda x, a, b, value: torch.addcmul(x, a, b, value=value)),
    "addcdiv": (None, lambda x, a, b, value: torch.addcdiv(x, a, b, value=value)),
    "cho_factor": (_jax_factor, _torch_factor),
    "diagflat": (lambda x, k: jnp.diagflat(x, k), lambda x, k: torch.diagflat(x, k)),
    "diag_embed": (None, lambda x, offset, dim1, dim2: torch.diag_embed(x, offset, dim1, dim2)),
    "rollaxis": (lambda x, axis, start: jnp.rollaxis(x, axis, start), None),
    "array_equal": (_jax_equal, None),
    "unravel_index": (
        lambda indices, shape: jnp.unravel_index(indices, shape),
        lambda indices, shape: torch.unravel_index(indices, shape),
    ),
    "ravel_multi_index": (lambda *index, dims: jnp.ravel_multi_index(index, dims, mode="wrap"), None),
}

NEITHER = {
    "cdist",  # PyTorch has no second derivative
    "ReduceSum", "ReduceProd", "ReduceMean", "ReduceMax", "ReduceMin", "ReduceL1", "ReduceL2", "ReduceLogSum",
    "ReduceLogSumExp", "ReduceSumSquare", "LayerNormalization", "RMSNormalization", "GroupNormalization",
    "InstanceNormalization", "LpNormalization", "MeanVarianceNormalization", "Pad", "Slice", "Split", "Trilu",  # ONNX's
}  # fmt: skip
