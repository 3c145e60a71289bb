"""References of windows, convolutions and poolings, written out as loops over positions and entries of a window."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from math import prod
from typing import Any

import numpy as np

from tests.engine.conformance import Reference


def each(value: Any, k: int) -> tuple[int, ...]:
    """A number for each axis."""
    listed = (value,) * k if isinstance(value, int) else tuple(value)
    return listed * k if len(listed) == 1 else listed


def places(n: int, w: int, s: int, d: int) -> int:
    """How many windows fit."""
    return len([o for o in range(n) if o % s == 0 and o + d * (w - 1) < n])


def _windows(x: Any, sizes: Any, strides: Any, dilations: Any) -> Any:
    k = 1 if isinstance(sizes, int) else len(sizes)
    sizes, strides, dilations = each(sizes, k), each(strides, k), each(dilations, k)
    lead, shape = x.shape[: x.ndim - k], x.shape[x.ndim - k :]
    counts = [places(*p) for p in zip(shape, sizes, strides, dilations, strict=True)]
    y = np.zeros((*lead, *counts, *sizes), x.dtype)
    for o in product(*map(range, counts)):
        for w in product(*map(range, sizes)):
            at = tuple(a * s + c * d for a, s, c, d in zip(o, strides, w, dilations, strict=True))
            y[(..., *o, *w)] = x[(..., *at)]
    return y


def _overlap_add(x: Any, shape: Any, strides: Any, dilations: Any) -> Any:
    k = max([len(v) for v in (shape, strides, dilations) if isinstance(v, tuple)], default=1)
    strides, dilations = each(strides, k), each(dilations, k)
    counts, sizes = x.shape[x.ndim - 2 * k : x.ndim - k], x.shape[x.ndim - k :]
    if shape is None:
        shape = [
            (o - 1) * s + (w - 1) * d + 1
            for o, w, s, d in zip(counts, sizes, strides, dilations, strict=True)
        ]
    y = np.zeros(
        (*x.shape[: x.ndim - 2 * k], *each(tuple(shape) if isinstance(shape, list) else shape, k)), x.dtype
    )
    for o in product(*map(range, counts)):
        for w in product(*map(range, sizes)):
            at = tuple(a * s + c * d for a, s, c, d in zip(o, strides, w, dilations, strict=True))
            y[(..., *at)] += x[(..., *o, *w)]
    return y


def _sliding(x: Any, window_shape: Any, axis: Any) -> Any:
    return np.lib.stride_tricks.sliding_window_view(x, window_shape, axis)


def zero_padded(x: Any, before: Sequence[int], behind: Sequence[int]) -> Any:
    """Zeros around the last axes."""
    k = len(before)
    return np.pad(x, [(0, 0)] * (x.ndim - k) + list(zip(before, behind, strict=True)))


def _unfold(x: Any, kernel_size: Any, dilation: Any, padding: Any, stride: Any) -> Any:
    k = len(kernel_size) if isinstance(kernel_size, tuple) else 2
    kernel, p = each(kernel_size, k), each(padding, k)
    y = _windows(zero_padded(x, p, p), kernel, stride, dilation)
    y = np.moveaxis(y, range(-k, 0), range(-2 * k, -k))
    return y.reshape(*x.shape[: x.ndim - k - 1], x.shape[-k - 1] * prod(kernel), -1)


def _fold(x: Any, output_size: Any, kernel_size: Any, dilation: Any, padding: Any, stride: Any) -> Any:
    """By the definition of a transpose: the unfolded unit images."""
    k = max([len(v) for v in (output_size, kernel_size) if isinstance(v, tuple)], default=2)
    size, kernel = each(output_size, k), each(kernel_size, k)
    channels = x.shape[-2] // prod(kernel)
    units = np.eye(channels * prod(size)).reshape(-1, channels, *size)
    columns = _unfold(units, kernel, dilation, padding, stride)
    return np.einsum("ucl,...cl->...u", columns, x).reshape(*x.shape[:-2], channels, *size)


TABLE: dict[str, Reference] = {
    "windows": Reference(_windows),
    "overlap_add": Reference(_overlap_add),
    "sliding_window_view": Reference(_sliding),
    "unfold": Reference(_unfold),
    "fold": Reference(_fold),
}
"""What each op is compared with, by name."""
