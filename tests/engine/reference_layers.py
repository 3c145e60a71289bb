"""References of normalisation over batches, embeddings, attention, recurrent cells and blocks of pixels."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.engine.conformance import Reference


def _batch_norm(
    x: Any,
    mean: Any = None,
    var: Any = None,
    weight: Any = None,
    bias: Any = None,
    *,
    training: bool,
    momentum: float,
    eps: float,
) -> Any:
    """One channel after another."""
    y = np.zeros(x.shape, np.result_type(x, *[v for v in (mean, var, weight, bias) if v is not None]))
    for c in range(x.shape[1]):
        one = x[:, c]
        m = one.mean() if training else mean[c]
        v = ((one - m) ** 2).mean() if training else var[c]
        z = (one - m) / np.sqrt(v + eps)
        y[:, c] = z * (1 if weight is None else weight[c]) + (0 if bias is None else bias[c])
    return y


def _onnx_batch_norm(x: Any, scale: Any, b: Any, mean: Any, var: Any, *, epsilon: float, **_: Any) -> Any:
    return _batch_norm(x, mean, var, scale, b, training=False, momentum=0.0, eps=epsilon)


def _embedding(input: Any, weight: Any, **_: Any) -> Any:
    return np.array([weight[i] for i in np.ravel(input)], weight.dtype).reshape(
        (*np.shape(input), weight.shape[1])
    )


def _embedding_derived(point: Any, input: Any, weight: Any, *, padding_idx: Any, **_: Any) -> Any:
    """The padding row is that of the point, whatever happens to the table."""
    table = np.array(weight)
    if padding_idx is not None:
        table[padding_idx] = point[1][padding_idx]
    return _embedding(input, table)


def _attention(
    q: Any, k: Any, v: Any, mask: Any = None, *, dropout_p: float = 0.0, is_causal: bool = False, scale: Any = None,
    enable_gqa: bool = False,
) -> Any:  # fmt: skip
    """One query after another, over the keys it sees."""
    lead = q.shape[:-2]
    scale = 1 / np.sqrt(q.shape[-1]) if scale is None else scale
    y = np.zeros((*q.shape[:-1], v.shape[-1]), np.result_type(q, k, v))
    mask = None if mask is None else np.broadcast_to(mask, (*q.shape[:-1], k.shape[-2]))
    for at in np.ndindex(*lead):
        other = (*at[:-1], at[-1] * k.shape[-3] // q.shape[-3]) if enable_gqa else at
        for i in range(q.shape[-2]):
            seen = []
            for j in range(k.shape[-2]):
                bias = 0.0 if mask is None else mask[(*at, i, j)]
                hidden = not bias if mask is not None and mask.dtype == bool else np.isneginf(np.real(bias))
                if hidden or (is_causal and j > i):
                    continue
                bias = 0.0 if mask is None or mask.dtype == bool else bias
                score = scale * sum(a * c for a, c in zip(q[(*at, i)], k[(*other, j)], strict=True)) + bias
                seen.append((score, v[(*other, j)]))
            if seen:
                top = max(np.real(s) for s, _ in seen)
                total = sum(np.exp(s - top) for s, _ in seen)
                y[(*at, i)] = sum(np.exp(s - top) / total * value for s, value in seen)
    return y


def _heads(
    q: Any, k: Any, v: Any, w_in: Any, w_out: Any, b_in: Any = None, b_out: Any = None, mask: Any = None, *, num_heads: int,
    is_causal: bool,
) -> Any:  # fmt: skip
    e = q.shape[-1]
    width = e // num_heads
    projected = [
        one @ w_in[i * e : (i + 1) * e].T + (0 if b_in is None else b_in[i * e : (i + 1) * e])
        for i, one in enumerate((q, k, v))
    ]
    heads = [
        _attention(*[p[..., h * width : (h + 1) * width] for p in projected], mask, is_causal=is_causal)
        for h in range(num_heads)
    ]
    return np.concatenate(heads, -1) @ w_out.T + (0 if b_out is None else b_out)


def _sigmoid(x: Any) -> Any:
    return 1 / (1 + np.exp(-x))


def _layer(x: Any, w: Any, b: Any) -> Any:
    y = np.einsum("...i,oi->...o", x, w)
    return y if b is None else y + b


def _rnn_cell(x: Any, h: Any, w: Any, u: Any, b: Any = None, d: Any = None, *, nonlinearity: str) -> Any:
    z = _layer(x, w, b) + _layer(h, u, d)
    return np.tanh(z) if nonlinearity == "tanh" else np.where(np.real(z) > 0, z, 0)


def _lstm_cell(x: Any, h: Any, c: Any, w: Any, u: Any, b: Any = None, d: Any = None) -> Any:
    i, f, g, o = np.split(_layer(x, w, b) + _layer(h, u, d), 4, -1)
    new = _sigmoid(f) * c + _sigmoid(i) * np.tanh(g)
    return _sigmoid(o) * np.tanh(new), new


def _gru_cell(x: Any, h: Any, w: Any, u: Any, b: Any = None, d: Any = None) -> Any:
    (a, e, g), (p, q, s) = np.split(_layer(x, w, b), 3, -1), np.split(_layer(h, u, d), 3, -1)
    r, z = _sigmoid(a + p), _sigmoid(e + q)
    return (1 - z) * np.tanh(g + r * s) + z * h


def _spread(x: Any, r: int, block_first: bool) -> Any:
    """One pixel after another."""
    *lead, c, h, w = x.shape
    c //= r * r
    y = np.zeros((*lead, c, h * r, w * r), x.dtype)
    for k, i, j in np.ndindex(c, r, r):
        y[..., k, i::r, j::r] = x[..., (i * r + j) * c + k if block_first else (k * r + i) * r + j, :, :]
    return y


def _gathered(x: Any, r: int, block_first: bool) -> Any:
    *lead, c, h, w = x.shape
    y = np.zeros((*lead, c * r * r, h // r, w // r), x.dtype)
    for k, i, j in np.ndindex(c, r, r):
        y[..., (i * r + j) * c + k if block_first else (k * r + i) * r + j, :, :] = x[..., k, i::r, j::r]
    return y


TABLE: dict[str, Reference] = {
    "batch_norm": Reference(_batch_norm),
    "batch_normalization": Reference(_onnx_batch_norm),
    "embedding": Reference(_embedding, derived=_embedding_derived),
    "scaled_dot_product_attention": Reference(_attention),
    "multi_head_attention": Reference(_heads),
    "rnn_cell": Reference(_rnn_cell),
    "lstm_cell": Reference(_lstm_cell),
    "gru_cell": Reference(_gru_cell),
    "pixel_shuffle": Reference(lambda x, upscale_factor: _spread(x, upscale_factor, False)),
    "pixel_unshuffle": Reference(lambda x, downscale_factor: _gathered(x, downscale_factor, False)),
    "depth_to_space": Reference(lambda x, blocksize, mode: _spread(x, blocksize, mode == "DCR")),
    "space_to_depth": Reference(lambda x, blocksize, mode: _gathered(x, blocksize, mode == "DCR")),
}
"""What each op is compared with, by name."""
