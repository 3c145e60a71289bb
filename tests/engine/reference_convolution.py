"""References of convolutions and their transposes, written out as loops over positions and entries of the kernel."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np

from tests.engine.conformance import Reference
from tests.engine.reference_spatial import each, places, zero_padded


def paddings(padding: Any, auto: Any, shape: Any, kernel: Any, strides: Any, dilations: Any) -> Any:
    """Padding before and behind each axis."""
    k = len(shape)
    if auto != "notset":
        padding = auto
    if padding == "valid":
        return (0,) * k, (0,) * k
    if isinstance(padding, str):
        before, behind = [], []
        for n, w, s, d in zip(shape, kernel, strides, dilations, strict=True):
            total = 0
            while places(n + total, w, s, d) < int(np.ceil(n / s)):
                total += 1
            first, second = total // 2, (total + 1) // 2
            before.append(second if padding == "same_lower" else first)
            behind.append(first if padding == "same_lower" else second)
        return tuple(before), tuple(behind)
    if isinstance(padding, tuple) and isinstance(padding[0], tuple):
        return tuple(p for p, _ in padding), tuple(q for _, q in padding)
    if isinstance(padding, tuple) and len(padding) == 2 * k:
        return padding[:k], padding[k:]
    return each(padding, k), each(padding, k)


def convolve(
    x: Any, weight: Any, bias: Any = None, *, stride: Any, padding: Any, dilation: Any, groups: int,
    kernel_shape: Any = None, auto_pad: str = "notset",
) -> Any:  # fmt: skip
    k = weight.ndim - 2
    kernel, shape = weight.shape[2:], x.shape[x.ndim - k :]
    strides, dilations = each(stride, k), each(dilation, k)
    before, behind = paddings(padding, auto_pad, shape, kernel, strides, dilations)
    x = zero_padded(x, before, behind)
    counts = [places(*p) for p in zip(x.shape[x.ndim - k :], kernel, strides, dilations, strict=True)]
    lead = x.shape[: x.ndim - k - 1]
    flat = x.reshape(int(np.prod(lead)), *x.shape[x.ndim - k - 1 :])
    out, each_in = weight.shape[:2]
    y = np.zeros((len(flat), out, *counts), np.result_type(x, weight))
    for n, f in product(range(len(flat)), range(out)):
        g = f // (out // groups)
        for o in product(*map(range, counts)):
            for c, w in product(range(each_in), product(*map(range, kernel))):
                at = tuple(a * s + e * d for a, s, e, d in zip(o, strides, w, dilations, strict=True))
                y[(n, f, *o)] += weight[(f, c, *w)] * flat[(n, g * each_in + c, *at)]
    y = y.reshape(*lead, out, *counts)
    return y if bias is None else y + bias.reshape(-1, *[1] * k)


def convolve_transposed(
    x: Any, weight: Any, bias: Any = None, *, stride: Any, padding: Any, output_padding: Any, groups: int, dilation: Any,
    kernel_shape: Any = None, auto_pad: str = "notset", output_shape: Any = None,
) -> Any:  # fmt: skip
    k = weight.ndim - 2
    kernel, counts = weight.shape[2:], x.shape[x.ndim - k :]
    strides, dilations, extra = each(stride, k), each(dilation, k), each(output_padding, k)
    covered = [
        (n - 1) * s + (w - 1) * d + 1 for n, w, s, d in zip(counts, kernel, strides, dilations, strict=True)
    ]
    if output_shape is not None or auto_pad.startswith("same"):
        size = (
            each(output_shape, k)
            if output_shape is not None
            else [n * s for n, s in zip(counts, strides, strict=True)]
        )
        totals = [c + e - m for c, e, m in zip(covered, extra, size, strict=True)]
        before = tuple(t // 2 if auto_pad == "same_upper" else t - t // 2 for t in totals)
    else:
        before, behind = paddings(padding, auto_pad, counts, kernel, strides, dilations)
        size = [c - p - q + e for c, p, q, e in zip(covered, before, behind, extra, strict=True)]
    lead = x.shape[: x.ndim - k - 1]
    flat = x.reshape(int(np.prod(lead)), *x.shape[x.ndim - k - 1 :])
    channels, each_out = weight.shape[:2]
    y = np.zeros((len(flat), each_out * groups, *size), np.result_type(x, weight))
    for n, c, f in product(range(len(flat)), range(channels), range(each_out)):
        g = c // (channels // groups)
        for o, w in product(product(*map(range, counts)), product(*map(range, kernel))):
            at = tuple(
                a * s + e * d - p for a, s, e, d, p in zip(o, strides, w, dilations, before, strict=True)
            )
            if all(0 <= i < m for i, m in zip(at, size, strict=True)):
                y[(n, g * each_out + f, *at)] += weight[(c, f, *w)] * flat[(n, c, *o)]
    y = y.reshape(*lead, each_out * groups, *size)
    return y if bias is None else y + bias.reshape(-1, *[1] * k)


TABLE: dict[str, Reference] = {
    **{name: Reference(convolve) for name in ("conv1d", "conv2d", "conv3d", "conv")},
    **{
        name: Reference(convolve_transposed)
        for name in ("conv_transpose1d", "conv_transpose2d", "conv_transpose3d", "conv_transpose")
    },
}
"""What each op is compared with, by name."""
