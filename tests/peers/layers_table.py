"""Convolution, pooling, normalisation, embedding, attention and recurrent cells in JAX and in PyTorch.

Where JAX has no op of this kind, what it has is `lax.conv_general_dilated`, `lax.reduce_window` and `jax.nn`.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import torch
import torch.nn.attention

F = torch.nn.functional
MATH = functools.partial(torch.nn.attention.sdpa_kernel, torch.nn.attention.SDPBackend.MATH)

Row = tuple[Callable[..., Any] | None, Callable[..., Any] | None]


def each(value: Any, k: int) -> tuple[int, ...]:
    """A number for each axis."""
    listed = (value,) * k if isinstance(value, int) else tuple(value)
    return listed * k if len(listed) == 1 else listed


def pairs(padding: Any, k: int) -> Any:
    """Padding as JAX takes it."""
    if isinstance(padding, str):
        if padding == "same_upper":
            return "SAME"
        return {"same": "SAME", "valid": "VALID", "same_lower": "SAME_LOWER"}[padding]
    if isinstance(padding, tuple) and padding and isinstance(padding[0], tuple):
        return padding
    if isinstance(padding, tuple) and len(padding) == 2 * k:
        return tuple(zip(padding[:k], padding[k:], strict=True))
    return tuple((p, p) for p in each(padding, k))


def jax_conv(
    x: Any, w: Any, bias: Any = None, *, stride: Any, padding: Any, dilation: Any, groups: int, kernel_shape: Any = None,
    auto_pad: str = "notset",
) -> Any:  # fmt: skip
    k = w.ndim - 2
    batched = x if x.ndim == k + 2 else x[None]
    y = jax.lax.conv_general_dilated(
        batched, w, each(stride, k), pairs(padding if auto_pad == "notset" else auto_pad, k),
        rhs_dilation=each(dilation, k), feature_group_count=groups,
    )  # fmt: skip
    y = y if x.ndim == k + 2 else y[0]
    return y if bias is None else y + bias.reshape(-1, *[1] * k)


def torch_conv(function: Callable[..., Any]) -> Callable[..., Any]:
    """PyTorch's, whose padding is the same before and behind; what it does not offer is a ValueError."""

    def call(
        x: Any, w: Any, bias: Any = None, *, stride: Any, padding: Any, dilation: Any, groups: int
    ) -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of padding="same" for an even kernel, that it takes a copy
            return function(x, w, bias, stride, padding, dilation, groups)

    return call


def torch_conv_any(
    x: Any, w: Any, bias: Any = None, *, kernel_shape: Any, auto_pad: str, padding: Any, **attrs: Any
) -> Any:
    """By padding first."""
    k = w.ndim - 2
    if auto_pad != "notset":
        raise NotImplementedError
    p = pairs(padding, k)
    x = F.pad(x, [n for pair in reversed(p) for n in pair])
    function = (F.conv1d, F.conv2d, F.conv3d)[k - 1]
    return function(x, w, bias, attrs["stride"], 0, attrs["dilation"], attrs["groups"])


def torch_conv_transpose(function: Callable[..., Any]) -> Callable[..., Any]:
    def call(
        x: Any,
        w: Any,
        bias: Any = None,
        *,
        stride: Any,
        padding: Any,
        output_padding: Any,
        groups: int,
        dilation: Any,
    ) -> Any:
        return function(x, w, bias, stride, padding, output_padding, groups, dilation)

    return call


def torch_conv_transpose_any(
    x: Any,
    w: Any,
    bias: Any = None,
    *,
    padding: Any,
    auto_pad: str,
    output_shape: Any,
    kernel_shape: Any,
    **attrs: Any,
) -> Any:
    """By cutting afterwards."""
    k = w.ndim - 2
    if auto_pad != "notset" or output_shape is not None or attrs["output_padding"] != 0:
        raise NotImplementedError
    function = (F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d)[k - 1]
    y = function(x, w, bias, attrs["stride"], 0, 0, attrs["groups"], attrs["dilation"])
    return F.pad(y, [-n for pair in reversed(pairs(padding, k)) for n in pair])


def jax_conv_transpose(
    x: Any,
    w: Any,
    bias: Any = None,
    *,
    stride: Any,
    padding: Any,
    output_padding: Any,
    groups: int,
    dilation: Any,
    **further: Any,
) -> Any:
    """A convolution of the input with zeros between its entries, and the kernel turned round."""
    k = w.ndim - 2
    if groups != 1 or set(further.values()) - {None, "notset"}:
        raise NotImplementedError
    kernel, dilation, extra = w.shape[2:], each(dilation, k), each(output_padding, k)
    p = [
        (d * (n - 1) - a, d * (n - 1) - c + e)
        for n, d, e, (a, c) in zip(kernel, dilation, extra, pairs(padding, k), strict=True)
    ]
    turned = jnp.swapaxes(jnp.flip(w, range(2, w.ndim)), 0, 1)
    batched = x if x.ndim == k + 2 else x[None]
    y = jax.lax.conv_general_dilated(
        batched, turned, (1,) * k, p, lhs_dilation=each(stride, k), rhs_dilation=dilation
    )
    y = y if x.ndim == k + 2 else y[0]
    return y if bias is None else y + bias.reshape(-1, *[1] * k)


# --------------------------------------------------------------------------------------------------------------- pooling


def _window(x: Any, kernel_size: Any, stride: Any, padding: Any, dilation: Any, k: int | None) -> Any:
    k = k or (x.ndim - 2 if isinstance(kernel_size, int) else len(kernel_size))
    kernel = each(kernel_size, k)
    lead = (1,) * (x.ndim - k)
    p = pairs(padding, k)
    return k, {
        "window_dimensions": lead + kernel,
        "window_strides": lead + (kernel if stride is None else each(stride, k)),
        "padding": p if isinstance(p, str) else ((0, 0),) * len(lead) + tuple(p),
        "window_dilation": lead + each(dilation, k),
    }


def jax_max_pool(k: int | None) -> Callable[..., Any]:
    def call(
        x: Any,
        *,
        kernel_size: Any,
        stride: Any,
        padding: Any,
        dilation: Any,
        ceil_mode: bool,
        auto_pad: str = "notset",
    ) -> Any:
        if ceil_mode:
            raise NotImplementedError
        _, window = _window(
            x, kernel_size, stride, padding if auto_pad == "notset" else auto_pad, dilation, k
        )
        return jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, **window)

    return call


def jax_avg_pool(k: int | None) -> Callable[..., Any]:
    def call(
        x: Any, *, kernel_size: Any, stride: Any, padding: Any, ceil_mode: bool, count_include_pad: bool, divisor_override: Any,
        dilation: Any = 1, auto_pad: str = "notset",
    ) -> Any:  # fmt: skip
        if ceil_mode:
            raise NotImplementedError
        n, window = _window(
            x, kernel_size, stride, padding if auto_pad == "notset" else auto_pad, dilation, k
        )
        total = jax.lax.reduce_window(x, 0.0, jax.lax.add, **window)
        count = float(np.prod(each(kernel_size, n)))
        if divisor_override is None and not count_include_pad:
            return total / jax.lax.reduce_window(jnp.ones_like(x), 0.0, jax.lax.add, **window)
        return total / (divisor_override or count)

    return call


def torch_max_pool(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda x, *, kernel_size, stride, padding, dilation, ceil_mode: function(
        x, kernel_size, stride, padding, dilation, ceil_mode
    )


def torch_avg_pool(function: Callable[..., Any]) -> Callable[..., Any]:
    def call(
        x: Any,
        *,
        kernel_size: Any,
        stride: Any,
        padding: Any,
        ceil_mode: bool,
        count_include_pad: bool,
        divisor_override: Any,
    ) -> Any:
        if divisor_override is None:
            return function(x, kernel_size, stride, padding, ceil_mode, count_include_pad)
        return function(x, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)

    return call


def torch_lp_pool(function: Callable[..., Any]) -> Callable[..., Any]:
    """PyTorch's takes powers of x where others take those of |x|, and makes the last window of `ceil_mode` too heavy."""

    def call(x: Any, *, norm_type: Any, kernel_size: Any, stride: Any, ceil_mode: bool) -> Any:
        if ceil_mode:
            raise NotImplementedError
        return function(x.abs(), norm_type, kernel_size, stride)

    return call


# ------------------------------------------------------------------------------------------------------------- the rest


def jax_unfold(x: Any, *, kernel_size: Any, dilation: Any, padding: Any, stride: Any) -> Any:
    batched = x if x.ndim == 4 else x[None]
    y = jax.lax.conv_general_dilated_patches(
        batched, each(kernel_size, 2), each(stride, 2), pairs(padding, 2), rhs_dilation=each(dilation, 2)
    )
    y = y.reshape(*y.shape[:2], -1)
    return y if x.ndim == 4 else y[0]


def torch_unfold(x: Any, *, kernel_size: Any, dilation: Any, padding: Any, stride: Any) -> Any:
    return F.unfold(x, kernel_size, dilation, padding, stride)


def torch_fold(
    x: Any, *, output_size: Any, kernel_size: Any, dilation: Any, padding: Any, stride: Any
) -> Any:
    return F.fold(x, each(output_size, 2), kernel_size, dilation, padding, stride)


def torch_windows(x: Any, *, sizes: Any, strides: Any, dilations: Any) -> Any:
    k = 1 if isinstance(sizes, int) else len(sizes)
    if each(dilations, k) != (1,) * k:
        raise NotImplementedError
    for a, (w, s) in enumerate(zip(each(sizes, k), each(strides, k), strict=True)):
        x = x.unfold(x.ndim - k - a + a, w, s)
    return x


def torch_sliding(x: Any, *, window_shape: Any, axis: Any) -> Any:
    axes = range(x.ndim) if axis is None else (axis,) if isinstance(axis, int) else axis
    n = x.ndim
    for a, w in zip(axes, each(window_shape, len(list(axes))), strict=True):
        x = x.unfold(a % n, w, 1)
    return x


def torch_batch_norm(
    x: Any, mean: Any = None, var: Any = None, weight: Any = None, bias: Any = None, **attrs: Any
) -> Any:
    # PyTorch would change the running statistics in place.
    mean, var = (None, None) if attrs["training"] else (mean, var)
    return F.batch_norm(x, mean, var, weight, bias, attrs["training"], attrs["momentum"], attrs["eps"])


def jax_batch_norm(
    x: Any, mean: Any = None, var: Any = None, weight: Any = None, bias: Any = None, **attrs: Any
) -> Any:
    axes = tuple(a for a in range(x.ndim) if a != 1)
    shape = (-1, *[1] * (x.ndim - 2))
    m = x.mean(axes, keepdims=True) if attrs["training"] else mean.reshape(shape)
    v = x.var(axes, keepdims=True) if attrs["training"] else var.reshape(shape)
    y = (x - m) / jnp.sqrt(v + attrs["eps"])
    y = y if weight is None else y * weight.reshape(shape)
    return y if bias is None else y + bias.reshape(shape)


def torch_embedding(input: Any, weight: Any, **attrs: Any) -> Any:
    return F.embedding(input, weight, attrs["padding_idx"])


def jax_embedding(input: Any, weight: Any, **attrs: Any) -> Any:
    row = attrs["padding_idx"]
    if row is not None:
        weight = weight.at[row].set(jax.lax.stop_gradient(weight[row]))
    return weight[input]


def torch_attention(q: Any, k: Any, v: Any, mask: Any = None, **attrs: Any) -> Any:
    with MATH():  # the others have no second derivative
        return F.scaled_dot_product_attention(q, k, v, mask, **attrs)


def jax_attention(q: Any, k: Any, v: Any, mask: Any = None, **attrs: Any) -> Any:
    """Written out: `jax.nn.dot_product_attention` has its softmax in single precision."""
    if attrs["enable_gqa"]:
        k, v = (jnp.repeat(x, q.shape[-3] // x.shape[-3], -3) for x in (k, v))
    scores = q @ jnp.swapaxes(k, -1, -2) * (attrs["scale"] or q.shape[-1] ** -0.5)
    if attrs["is_causal"]:
        scores = jnp.where(jnp.tril(jnp.ones(scores.shape[-2:], bool)), scores, -jnp.inf)
    if mask is not None:
        scores = jnp.where(mask, scores, -jnp.inf) if mask.dtype == bool else scores + mask
    return jax.nn.softmax(scores) @ v


def torch_heads(
    q: Any,
    k: Any,
    v: Any,
    w_in: Any,
    w_out: Any,
    b_in: Any = None,
    b_out: Any = None,
    mask: Any = None,
    **attrs: Any,
) -> Any:
    """PyTorch's has the batch in the second place, and masks the other way round."""
    if mask is not None:
        raise NotImplementedError
    single = q.ndim == 2
    q, k, v = (x[:, None] if single else x.transpose(0, 1) for x in (q, k, v))
    causal = torch.triu(torch.ones(len(q), len(k), dtype=torch.bool), 1) if attrs["is_causal"] else None
    with MATH():
        y, _ = F.multi_head_attention_forward(
            q, k, v, q.shape[-1], attrs["num_heads"], w_in, b_in, None, None, False, 0.0, w_out, b_out,
            need_weights=False, attn_mask=causal,
        )  # fmt: skip
    return y[:, 0] if single else y.transpose(0, 1)


def torch_cell(function: Callable[..., Any]) -> Callable[..., Any]:
    """PyTorch's cells take a batch, and either both biases or none."""

    def call(x: Any, h: Any, *weights: Any, **_: Any) -> Any:
        single = x.ndim == 1
        y = function(x[None] if single else x, h[None] if single else h, *weights)
        return y[0] if single else y

    return call


def torch_rnn_cell(x: Any, h: Any, *weights: Any, nonlinearity: str) -> Any:
    return torch_cell(torch.rnn_tanh_cell if nonlinearity == "tanh" else torch.rnn_relu_cell)(x, h, *weights)


def torch_lstm_cell(x: Any, h: Any, c: Any, *weights: Any) -> Any:
    single = x.ndim == 1
    x, h, c = (v[None] if single else v for v in (x, h, c))
    y = torch.lstm_cell(x, (h, c), *weights)
    return [v[0] for v in y] if single else list(y)


def torch_adaptive(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda x, *, output_size: function(x, output_size)


def torch_interpolate(x: Any, **attrs: Any) -> Any:
    return F.interpolate(x, **attrs)


AXES = ((1, "1d"), (2, "2d"), (3, "3d"))

LAYERS: dict[str, Row] = {
    "windows": (None, torch_windows),
    "sliding_window_view": (None, torch_sliding),
    "unfold": (jax_unfold, torch_unfold),
    "fold": (None, torch_fold),
    **{f"conv{n}": (jax_conv, torch_conv(getattr(F, f"conv{n}"))) for _, n in AXES},
    "conv": (jax_conv, torch_conv_any),
    **{
        f"conv_transpose{n}": (jax_conv_transpose, torch_conv_transpose(getattr(F, f"conv_transpose{n}"))) for _, n in AXES
    },
    "conv_transpose": (jax_conv_transpose, torch_conv_transpose_any),
    **{f"max_pool{n}": (jax_max_pool(k), torch_max_pool(getattr(F, f"max_pool{n}"))) for k, n in AXES},
    "max_pool": (jax_max_pool(None), None),
    **{f"avg_pool{n}": (jax_avg_pool(k), torch_avg_pool(getattr(F, f"avg_pool{n}"))) for k, n in AXES},
    "avg_pool": (jax_avg_pool(None), None),
    **{f"lp_pool{n}": (None, torch_lp_pool(getattr(F, f"lp_pool{n}"))) for _, n in AXES},
    **{f"adaptive_avg_pool{n}": (None, torch_adaptive(getattr(F, f"adaptive_avg_pool{n}"))) for _, n in AXES},
    **{f"adaptive_max_pool{n}": (None, torch_adaptive(getattr(F, f"adaptive_max_pool{n}"))) for _, n in AXES},
    "global_avg_pool": (
        lambda x: x.mean(tuple(range(2, x.ndim)), keepdims=True),
        lambda x: x.mean(tuple(range(2, x.ndim)), keepdim=True) if x.ndim > 2 else x,
    ),
    "global_max_pool": (
        lambda x: x.max(tuple(range(2, x.ndim)), keepdims=True), lambda x: torch.amax(x, tuple(range(2, x.ndim)), True)
    ),
    "global_lp_pool": (
        None, lambda x, p: torch.linalg.vector_norm(x, p, tuple(range(2, x.ndim)), True)
    ),
    "batch_norm": (jax_batch_norm, torch_batch_norm),
    "batch_normalization": (
        None,
        lambda x, scale, b, mean, var, epsilon, **_: F.batch_norm(x, mean, var, scale, b, False, 0.0, epsilon),
    ),
    "embedding": (jax_embedding, torch_embedding),
    "scaled_dot_product_attention": (jax_attention, torch_attention),
    "multi_head_attention": (None, torch_heads),
    "rnn_cell": (None, torch_rnn_cell),
    "lstm_cell": (None, torch_lstm_cell),
    "gru_cell": (None, torch_cell(torch.gru_cell)),
    "interpolate": (None, torch_interpolate),
    "pixel_shuffle": (None, lambda x, upscale_factor: F.pixel_shuffle(x, upscale_factor)),
    "pixel_unshuffle": (None, lambda x, downscale_factor: F.pixel_unshuffle(x, downscale_factor)),
}  # fmt: skip
"""The op in JAX and in PyTorch: functions of the operands (None where absent) and the attributes by name."""

NEITHER = {"overlap_add", "lp_pool", "depth_to_space", "space_to_depth", "Resize"}
"""Ops that neither has: the first two are compared with loops, the others by ONNX's node tests too."""

CONSTANT = {"batch_norm": (1, 2), "batch_normalization": (3, 4)}
"""Operands in which PyTorch has no derivative."""
