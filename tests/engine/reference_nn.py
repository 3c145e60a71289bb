"""References of layers and losses, written out with loops over samples."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.engine.conformance import Reference


def _softmax(x: Any, axis: Any) -> Any:
    x = np.asarray(x)
    axis = None if x.ndim == 0 else axis
    if x.size == 0:
        return x
    top = np.max(np.real(x), axis=axis, keepdims=True)
    e = np.exp(x - np.where(np.isneginf(top), 0.0, top))
    total = e.sum(axis=axis, keepdims=True)
    return e / np.where(total == 0, 1.0, total)


def _log_softmax(x: Any, axis: Any) -> Any:
    x = np.asarray(x)
    axis = None if x.ndim == 0 else axis
    if x.size == 0:
        return x
    top = np.max(np.real(x), axis=axis, keepdims=True)
    z = x - np.where(np.isneginf(top), 0.0, top)
    total = np.exp(z).sum(axis=axis, keepdims=True)
    return z - np.log(np.where(total == 0, 1.0, total))


def _linear(x: Any, weight: Any, bias: Any = None) -> Any:
    y = np.einsum("...i,i->..." if weight.ndim == 1 else "...i,oi->...o", x, weight)
    return y if bias is None else y + bias


def _layer_norm(x: Any, weight: Any = None, bias: Any = None, *, normalized_shape: Any, eps: float) -> Any:
    n = 1 if isinstance(normalized_shape, int) else len(normalized_shape)
    flat = x.reshape((*x.shape[: x.ndim - n], -1))
    mean = flat.mean(axis=-1, keepdims=True)
    variance = ((flat - mean) ** 2).mean(axis=-1, keepdims=True)
    y = ((flat - mean) / np.sqrt(variance + eps)).reshape(x.shape)
    y = y if weight is None else y * weight
    return y if bias is None else y + bias


def _reduce(loss: Any, reduction: str, count: Any = None) -> Any:
    if reduction == "none":
        return loss
    total = np.asarray(loss).sum()
    return total if reduction == "sum" else total / (np.size(loss) if count is None else count)


def _class_loss(
    logp: Any, target: Any, weight: Any, ignore_index: int, reduction: str, smoothing: float
) -> Any:
    """One sample after another; classes are the last axis of `logp`."""
    classes = logp.shape[-1]
    w = np.ones(classes) if weight is None else weight
    rows, labels = logp.reshape(-1, classes), np.asarray(target).reshape(-1)
    losses, weights = [], []
    for row, label in zip(rows, labels, strict=True):
        if label == ignore_index:
            losses.append(0.0)
            continue
        smooth = (w * row).sum() * smoothing / classes if smoothing else 0.0
        losses.append(-(1 - smoothing) * w[label] * row[label] - smooth)
        weights.append(w[label])
    return _reduce(np.reshape(np.array(losses), np.shape(target)), reduction, np.sum(weights))


def _cross_entropy(
    x: Any, target: Any, weight: Any = None, *, ignore_index: int, reduction: str, label_smoothing: float
) -> Any:
    x = x if x.ndim == 1 else np.moveaxis(x, 1, -1)
    logp = _log_softmax(x, -1)
    if target.ndim < x.ndim:
        return _class_loss(logp, target, weight, ignore_index, reduction, label_smoothing)
    p = target if target.ndim == 1 else np.moveaxis(target, 1, -1)
    p = p * (1 - label_smoothing) + label_smoothing / x.shape[-1]
    w = 1.0 if weight is None else weight
    return _reduce(-np.where(p == 0, 0.0, w * p * logp).sum(axis=-1), reduction)


def _nll_loss(x: Any, target: Any, weight: Any = None, *, ignore_index: int, reduction: str) -> Any:
    return _class_loss(
        x if x.ndim == 1 else np.moveaxis(x, 1, -1), target, weight, ignore_index, reduction, 0.0
    )


def _huber(x: Any, target: Any, *, delta: float, reduction: str) -> Any:
    r = x - target
    size = np.abs(r)
    return _reduce(
        np.where(size <= delta, 0.5 * np.where(size <= delta, r, 0) ** 2, delta * (size - 0.5 * delta)),
        reduction,
    )


def _binary(x: Any, target: Any, weight: Any = None, pos_weight: Any = None, *, reduction: str) -> Any:
    true, false = np.logaddexp(0.0, -x), np.logaddexp(0.0, x)
    true = true if pos_weight is None else true * pos_weight
    loss = np.where(target == 0, 0.0, target * true) + np.where(target == 1, 0.0, (1 - target) * false)
    return _reduce(loss if weight is None else loss * weight, reduction)


TABLE: dict[str, Reference] = {
    "softmax": Reference(_softmax),
    "log_softmax": Reference(_log_softmax),
    "linear": Reference(_linear),
    "layer_norm": Reference(_layer_norm),
    "cross_entropy": Reference(_cross_entropy),
    "nll_loss": Reference(_nll_loss),
    "mse_loss": Reference(lambda x, target, reduction: _reduce((x - target) ** 2, reduction)),
    "huber_loss": Reference(_huber),
    "binary_cross_entropy_with_logits": Reference(_binary),
}
