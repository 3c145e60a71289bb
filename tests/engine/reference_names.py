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


REDUCTIONS = {
    "ReduceSum": (np.sum, None),
    "ReduceProd": (np.prod, None),
    "ReduceMean": (np.mean, None),
    "ReduceMax": (np.max, None),
    "ReduceMin": (np.min, None),
    "ReduceL1": (lambda x, **how: np.sum(x * np.sign(np.real(x)), **how), np.abs),
    "ReduceL2": (lambda x, **how: np.sqrt(np.sum(x * x, **how)), np.abs),
    "ReduceLogSum": (lambda x, **how: np.log(np.sum(x, **how)), np.log),
    "ReduceLogSumExp": (lambda x, **how: np.log(np.sum(np.exp(x), **how)), None),
    "ReduceSumSquare": (lambda x, **how: np.sum(x * x, **how), lambda x: x * x),
}


def _reduced(function: Any, alone: Any) -> Reference:
    def value(x: Any, axes: Any, keepdims: bool, noop_with_empty_axes: bool) -> Any:
        if axes is None and noop_with_empty_axes:
            return x if alone is None else alone(x)
        return function(x, axis=axes, keepdims=keepdims)

    return Reference(value)


def _standard(x: Any, axes: Any, epsilon: float) -> Any:
    d = x - np.mean(x, axis=axes, keepdims=True)
    return d / np.sqrt(np.mean(d * d, axis=axes, keepdims=True) + epsilon)


def _layer(x: Any, scale: Any = 1.0, bias: Any = 0.0, *, axis: int, epsilon: float) -> Any:
    return _standard(x, tuple(range(axis % x.ndim, x.ndim)), epsilon) * scale + bias


def _rms(x: Any, scale: Any, *, axis: int, epsilon: float) -> Any:
    axes = tuple(range(axis % x.ndim, x.ndim))
    return x / np.sqrt(np.mean(x * x, axis=axes, keepdims=True) + epsilon) * scale


def _group(x: Any, scale: Any, bias: Any, *, num_groups: int, epsilon: float) -> Any:
    y = _standard(x.reshape(len(x), num_groups, -1), -1, epsilon).reshape(x.shape)
    return y * scale[:, None] + bias[:, None]


def _instance(x: Any, scale: Any, bias: Any, *, epsilon: float) -> Any:
    return _standard(x, -1, epsilon) * scale[:, None] + bias[:, None]


def _lp(x: Any, *, axis: int, p: int) -> Any:
    size = np.sum(np.sqrt(x * x) ** p, axis=axis, keepdims=True) ** (1 / p)
    return np.where(size == 0, 0.0, x / np.where(size == 0, 1.0, size))


def _mean_variance(x: Any, *, axes: Any) -> Any:
    d = x - np.mean(x, axis=axes, keepdims=True)
    return d / (np.sqrt(np.mean(d * d, axis=axes, keepdims=True)) + 1e-9)


def _onnx_pad(x: Any, *, pads: Any, constant_value: float, axes: Any, mode: str) -> Any:
    half = len(pads) // 2
    for k, axis in enumerate(range(x.ndim) if axes is None else axes):
        before, after = pads[k], pads[half + k]
        x = np.take(x, range(max(-before, 0), x.shape[axis] - max(-after, 0)), axis)
        width = [(0, 0)] * x.ndim
        width[axis] = (max(before, 0), max(after, 0))
        x = np.pad(x, width, mode, **({"constant_values": constant_value} if mode == "constant" else {}))
    return x


def _onnx_slice(x: Any, *, starts: Any, ends: Any, axes: Any, steps: Any) -> Any:
    for k, axis in enumerate(range(len(starts)) if axes is None else axes):
        step = 1 if steps is None else steps[k]
        x = np.take(x, range(*slice(starts[k], ends[k], step).indices(x.shape[axis])), axis)
    return x


def _onnx_split(x: Any, *, split: Any, axis: int, num_outputs: Any) -> Any:
    sizes = split
    if split is None:
        each = -(-x.shape[axis] // num_outputs)
        sizes = [each] * (num_outputs - 1) + [x.shape[axis] - each * (num_outputs - 1)]
    return tuple(np.split(x, np.cumsum(sizes)[:-1], axis))


TABLE: dict[str, Reference] = {
    "clamp_min": Reference(lambda x, min: np.where(np.real(x) > np.real(min), x, min)),
    "clamp_max": Reference(lambda x, max: np.where(np.real(x) < np.real(max), x, max)),
    "addcmul": Reference(_addcmul),
    "addcdiv": Reference(_addcdiv),
    "cho_factor": Reference(_cho_factor),
    **{name: _reduced(*how) for name, how in REDUCTIONS.items()},
    "LayerNormalization": Reference(_layer),
    "RMSNormalization": Reference(_rms),
    "GroupNormalization": Reference(_group),
    "InstanceNormalization": Reference(_instance),
    "LpNormalization": Reference(_lp),
    "MeanVarianceNormalization": Reference(_mean_variance),
    "Pad": Reference(_onnx_pad),
    "Slice": Reference(_onnx_slice),
    "Split": Reference(_onnx_split),
    "Trilu": Reference(lambda x, k, upper: np.triu(x, k) if upper else np.tril(x, k)),
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
