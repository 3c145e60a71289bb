"""References of further activations, normalisations and losses, written out entry by entry or sample by sample."""

from __future__ import annotations

import math
from typing import Any

import mpmath
import numpy as np
import scipy.special
from mpmath import mpf

from tests.engine.conformance import Reference
from tests.engine.reference_nn import _reduce


def _shrink(x: Any, lambd: float, bias: float = 0.0) -> Any:
    return np.where(np.real(x) > lambd, x - bias, np.where(np.real(x) < -lambd, x + bias, 0.0))


def _exact_shrink(x: Any, lambd: float, bias: float = 0.0) -> Any:
    return x - mpf(bias) if x > lambd else x + mpf(bias) if x < -lambd else mpf(0)


def _hardswish(x: Any) -> Any:
    return np.where(np.isinf(x), np.maximum(x, 0), x * np.clip(x + 3, 0, 6) / 6)


def _quick(x: Any) -> Any:
    return np.where(np.isinf(x), np.maximum(x, 0), x * scipy.special.expit(1.702 * x))


def _squareplus(x: Any, beta: float) -> Any:
    x = np.asarray(x)
    root = np.where(np.abs(x) > 1e100, np.abs(x), np.sqrt(np.where(np.abs(x) > 1e100, 0.0, x) ** 2 + beta))
    return np.where(x.real > 0, (x + root) / 2, beta / (root - np.where(x.real > 0, 0.0, x)) / 2)


def _prelu(x: Any, weight: Any) -> Any:
    if weight.ndim == 1 and weight.size > 1:
        weight = weight.reshape((-1, *[1] * (x.ndim - 2)))
    return np.where(x > 0, x, weight * x)


def _glu(x: Any, axis: int) -> Any:
    a, b = np.split(x, 2, axis)
    return a * scipy.special.expit(b)


def _softmin(x: Any, axis: int) -> Any:
    if np.ndim(x) == 0:
        return np.ones(())
    e = np.exp(np.min(x, axis=axis, keepdims=True) - x)
    return e / e.sum(axis=axis, keepdims=True)


def _standard(x: Any, axes: Any, eps: float) -> Any:
    return (x - x.mean(axes, keepdims=True)) / np.sqrt(x.var(axes, keepdims=True) + eps)


def _affine(y: Any, weight: Any, bias: Any) -> Any:
    shape = (1, -1, *[1] * (y.ndim - 2))
    y = y if weight is None else y * weight.reshape(shape)
    return y if bias is None else y + bias.reshape(shape)


def _group_norm(x: Any, weight: Any = None, bias: Any = None, *, num_groups: int, eps: float) -> Any:
    parts = [_standard(p, tuple(range(1, x.ndim)), eps) for p in np.split(x, num_groups, axis=1)]
    return _affine(np.concatenate(parts, axis=1), weight, bias)


def _instance_norm(
    x: Any, mean: Any = None, var: Any = None, weight: Any = None, bias: Any = None,
    *, use_input_stats: bool, momentum: float, eps: float,
) -> Any:  # fmt: skip
    if use_input_stats:
        return _affine(_standard(x, tuple(range(2, x.ndim)), eps), weight, bias)
    return _affine(_affine(x, None, -mean), 1 / np.sqrt(var + eps), None)


def _rms_norm(x: Any, weight: Any = None, *, normalized_shape: Any, eps: Any) -> Any:
    n = 1 if isinstance(normalized_shape, int) else len(normalized_shape)
    axes = tuple(range(-n, 0))
    eps = np.finfo(np.float64).eps if eps is None else eps
    y = x / np.sqrt((x * x).mean(axes, keepdims=True) + eps)
    return y if weight is None else y * weight


def _lrn(x: Any, size: int, alpha: float, beta: float, k: float, lean: int = 0) -> Any:
    channels = x.shape[1]
    before = (size - 1) // 2 if lean else size // 2
    means = []
    for c in range(channels):
        window = (
            x[:, max(0, c - before) : max(0, c - before + size)]
            if c >= before
            else x[:, : max(0, c - before + size)]
        )
        means.append((window * window).sum(1) / size)
    return x / (k + alpha * np.stack(means, 1)) ** beta


def _lengths(x: Any, p: float, axis: int) -> Any:
    return (np.abs(x) ** p).sum(axis, keepdims=True) ** (1 / p)


def _cosine(x1: Any, x2: Any, dim: int, eps: float) -> Any:
    x1, x2 = np.broadcast_arrays(x1, x2)
    sizes = [np.maximum(_lengths(x, 2, dim), eps) for x in (x1, x2)]
    return (x1 / sizes[0] * x2 / sizes[1]).sum(dim)


def _distance(x1: Any, x2: Any, p: float, eps: float, keepdim: bool = False) -> Any:
    d = _lengths(x1 - x2 + eps, p, -1)
    return d if keepdim else d[..., 0]


def _smooth_l1(x: Any, t: Any, reduction: str, beta: float) -> Any:
    size = np.abs(x - t)
    square = 0.5 * size**2 / (beta or 1.0)
    return _reduce(np.where(size < beta, square, size - 0.5 * beta), reduction)


def _kl_div(x: Any, t: Any, reduction: str, log_target: bool) -> Any:
    p = np.exp(t) if log_target else t
    with np.errstate(all="ignore"):
        loss = np.where(p == 0, 0.0, p * ((t if log_target else np.log(t)) - x))
    if reduction == "batchmean":
        return loss.sum() / x.shape[0]
    return _reduce(loss, reduction)


def _bce(x: Any, t: Any, weight: Any = None, *, reduction: str) -> Any:
    yes, no = (np.maximum(np.log(v), -100.0) for v in (x, 1 - x))
    loss = -(t * yes + (1 - t) * no)
    return _reduce(loss if weight is None else loss * weight, reduction)


def _poisson(x: Any, t: Any, log_input: bool, full: bool, eps: float, reduction: str) -> Any:
    loss = np.exp(x) - t * x if log_input else x - t * np.log(x + eps)
    if full:
        s = np.where(t > 1, t, 1.0)
        loss = loss + np.where(t > 1, s * np.log(s) - s + 0.5 * np.log(2 * np.pi * s), 0.0)
    return _reduce(loss, reduction)


def _gaussian(x: Any, t: Any, var: Any, full: bool, eps: float, reduction: str) -> Any:
    v = var if var.shape == x.shape else var[..., None]
    v = np.maximum(v, eps)
    loss = 0.5 * (np.log(v) + (x - t) ** 2 / v) + (0.5 * math.log(2 * math.pi) if full else 0.0)
    return _reduce(loss, reduction)


def _hinge_embedding(x: Any, t: Any, margin: float, reduction: str) -> Any:
    return _reduce(np.where(t > 0, x, np.maximum(0, margin - x)), reduction)


def _multi_margin(x: Any, target: Any, weight: Any = None, *, p: int, margin: float, reduction: str) -> Any:
    rows, labels, losses = np.atleast_2d(x), np.atleast_1d(target), []
    for row, label in zip(rows, labels, strict=True):
        terms = [max(0.0, margin - row[label] + v) ** p for i, v in enumerate(row) if i != label]
        losses.append(sum(terms) / row.size * (1.0 if weight is None else weight[label]))
    return _reduce(np.reshape(np.array(losses), np.shape(target)), reduction)


def _multilabel(x: Any, t: Any, weight: Any = None, *, reduction: str) -> Any:
    loss = t * np.logaddexp(0.0, -x) + (1 - t) * np.logaddexp(0.0, x)
    return _reduce((loss if weight is None else loss * weight).mean(-1), reduction)


def _triplet(
    anchor: Any, positive: Any, negative: Any, margin: float, p: float, eps: float, swap: bool, reduction: str
) -> Any:
    near, far = _distance(anchor, positive, p, eps), _distance(anchor, negative, p, eps)
    far = np.minimum(far, _distance(positive, negative, p, eps)) if swap else far
    return _reduce(np.maximum(0, near - far + margin), reduction)


def _cosine_embedding(x1: Any, x2: Any, t: Any, margin: float, reduction: str) -> Any:
    cos = (x1 * x2).sum(-1) / np.sqrt(((x1 * x1).sum(-1) + 1e-12) * ((x2 * x2).sum(-1) + 1e-12))
    return _reduce(np.where(t > 0, 1 - cos, np.maximum(0, cos - margin)), reduction)


TABLE: dict[str, Reference] = {
    "tanhshrink": Reference(
        lambda x: np.where(np.abs(x) < 1e-3, x**3 / 3 - 2 * x**5 / 15, x - np.tanh(x)),
        lambda x: x - mpmath.tanh(x),
    ),
    "log_cosh": Reference(
        lambda x: np.where(np.abs(x) < 1e-3, x**2 / 2, np.logaddexp(x, -x) - np.log(2)),
        lambda x: mpmath.log(mpmath.cosh(x)),
    ),
    "celu": Reference(
        lambda x, alpha: np.where(x > 0, x, alpha * np.expm1(np.where(x > 0, 0, x) / alpha)),
        lambda x, alpha: x if x > 0 else mpf(alpha) * mpmath.expm1(x / mpf(alpha)),
    ),
    "hardswish": Reference(_hardswish, lambda x: x * min(max(x + 3, mpf(0)), mpf(6)) / 6),
    "hardtanh": Reference(
        lambda x, min_val, max_val: np.clip(x, min_val, max_val),
        lambda x, min_val, max_val: min(max(x, mpf(min_val)), mpf(max_val)),
    ),
    "shrink": Reference(_shrink, _exact_shrink),
    "softshrink": Reference(
        lambda x, lambd: _shrink(x, lambd, lambd), lambda x, lambd: _exact_shrink(x, lambd, lambd)
    ),
    "hardshrink": Reference(_shrink, _exact_shrink),
    "threshold": Reference(
        lambda x, threshold, value: np.where(x > threshold, x, value),
        lambda x, threshold, value: x if x > threshold else mpf(value),
    ),
    "thresholded_relu": Reference(
        lambda x, alpha: np.where(x > alpha, x, 0.0), lambda x, alpha: x if x > alpha else mpf(0)
    ),
    "quick_gelu": Reference(_quick, lambda x: x / (1 + mpmath.exp(-mpf(1.702) * x))),
    "squareplus": Reference(_squareplus, lambda x, beta: (x + mpmath.sqrt(x * x + mpf(beta))) / 2),
    "prelu": Reference(_prelu),
    "glu": Reference(_glu),
    "softmin": Reference(_softmin),
    "rms_norm": Reference(_rms_norm),
    "group_norm": Reference(_group_norm),
    "instance_norm": Reference(_instance_norm),
    "local_response_norm": Reference(_lrn),
    "LRN": Reference(lambda x, **attrs: _lrn(x, lean=1, **attrs)),
    "normalize": Reference(lambda x, p, dim, eps: x / np.maximum(_lengths(x, p, dim), eps)),
    "cosine_similarity": Reference(_cosine),
    "pairwise_distance": Reference(_distance),
    "l1_loss": Reference(lambda x, t, reduction: _reduce(np.abs(x - t), reduction)),
    "smooth_l1_loss": Reference(_smooth_l1),
    "kl_div": Reference(_kl_div),
    "binary_cross_entropy": Reference(_bce),
    "poisson_nll_loss": Reference(_poisson),
    "gaussian_nll_loss": Reference(_gaussian),
    "log_cosh_loss": Reference(
        lambda x, t, reduction: _reduce(np.logaddexp(x - t, t - x) - np.log(2), reduction)
    ),
    "soft_margin_loss": Reference(lambda x, t, reduction: _reduce(np.logaddexp(0.0, -t * x), reduction)),
    "hinge_embedding_loss": Reference(_hinge_embedding),
    "margin_ranking_loss": Reference(
        lambda x1, x2, t, margin, reduction: _reduce(np.maximum(0, margin - t * (x1 - x2)), reduction)
    ),
    "multi_margin_loss": Reference(_multi_margin),
    "multilabel_soft_margin_loss": Reference(_multilabel),
    "triplet_margin_loss": Reference(_triplet),
    "cosine_embedding_loss": Reference(_cosine_embedding),
}
