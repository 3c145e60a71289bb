"""Functions on arrays that generated code may hold. They stand alone: NumPy, and functions of the engine on arrays."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from engine.aval import Array


def array(x: Any, shape: tuple[int, ...], dtype: Any = np.float64) -> Any:
    """x as an array of this shape and dtype."""
    x = np.asarray(x, dtype)
    if not x.size and 0 in shape:  # an empty list has lost its shape
        x = x.reshape(shape)
    if x.shape != shape:
        raise ValueError(f"an argument must have the shape {shape}; its shape is {x.shape}")
    return x[()]


def times(x: Any, y: Any) -> Any:
    """x * y, and 0 where x is 0, even if y is infinite or NaN."""
    product = x * y
    return np.where(np.isnan(product) & (x == 0), np.zeros_like(product), product)[()]


def times_both(x: Any, y: Any) -> Any:
    """x * y, and 0 where a factor is 0, even if the other is infinite or NaN."""
    product = x * y
    return np.where(np.isnan(product) & ((x == 0) | (y == 0)), np.zeros_like(product), product)[()]


def sech_squared(x: Any) -> Any:
    """1 / cosh(x)**2, without overflow."""
    e = np.exp(-2 * np.abs(x))
    t = e / (1 + e)
    return 4 * t * (1 - t)


def same(x: Any, y: Any) -> Any:
    """Where x equals y, or both are NaN."""
    return (x == y) | ((x != x) & (y != y))


def between(q: Any, most: float) -> Any:
    """q, which must be from 0 to `most`."""
    if not np.all((q >= 0) & (q <= most)):
        raise ValueError(f"q must be from 0 to {most:g}")
    return q


def abs_power(x: Any, exponent: float) -> Any:
    """|x| to a power."""
    return np.power(np.abs(x), exponent)


def signed_power(x: Any, exponent: float) -> Any:
    """|x| to a power, with the sign of x."""
    return np.where(x == 0, x, np.copysign(np.power(np.abs(x), exponent), x))[()]


def ldexp(x: Any, n: Any) -> Any:
    """x * 2**n; no exponent beyond 5000 makes a difference."""
    return np.ldexp(x, np.clip(n, -5000, 5000).astype(np.int32))


def binary_exponent(x: Any) -> Any:
    """The exponent of x as frexp gives it, 0 where x is not finite."""
    return np.where(np.isfinite(x), np.frexp(x)[1], 0).astype(np.int64)[()]


# ---------------------------------------------------------------------------------------------------------- indexing


def in_range(indices: Any, n: int, low: int) -> Any:
    """Indices into an axis of n entries, negative ones counted from its end, none below `low`."""
    indices = np.asarray(indices)
    if indices.size and (indices.min() < low or indices.max() >= n):
        raise IndexError(
            f"indices must be from {low} to {n - 1}; they are {indices.min()} to {indices.max()}"
        )
    return np.where(indices < 0, indices + n, indices)[()]


def rows_of(indices: Any, batch: int, middle: tuple[int, ...], n: int) -> Any:
    """Positions of the indexed rows, if all axes up to and with the indexed one are flattened into one."""
    count, inner = prod(indices.shape[:batch]), prod(middle)
    outer = np.arange(count * inner).reshape(count, inner, 1) * n
    return outer + indices.reshape(count, 1, prod(indices.shape[batch:]))


def take_rows(x: Any, indices: Any, axis: int, batch: int) -> Any:
    """Entries of x along an axis, with indices of their own for each place along the first `batch` axes."""
    indices = np.asarray(indices)
    middle, rest = x.shape[batch:axis], x.shape[axis + 1 :]
    flat = x.reshape(prod(x.shape[: axis + 1]), prod(rest))
    taken = np.take(flat, rows_of(indices, batch, middle, x.shape[axis]), axis=0)
    return taken.reshape(x.shape[:axis] + indices.shape[batch:] + rest)


def put_rows(write: Any, x: Any, indices: Any, updates: Any, axis: int, batch: int = 0) -> Any:
    """A copy of x into which `write` (such as np.add.at, or np.put) has put updates at indices along an axis."""
    result = np.array(x, order="C")
    rest = prod(x.shape[axis + 1 :])
    places = rows_of(np.asarray(indices), batch, x.shape[batch:axis], x.shape[axis])
    if rest != 1:
        places = places[..., None] * rest + np.arange(rest)
    write(result.reshape(-1), places.reshape(-1), np.asarray(updates).reshape(-1))
    return result


def last_of_each(indices: Any, batch: int) -> Any:
    """Where an index occurs for the last time."""
    indices = np.asarray(indices)
    rows = indices.reshape(prod(indices.shape[:batch]), prod(indices.shape[batch:]))
    mask = np.zeros(rows.shape, bool)
    for row, own in zip(rows, mask, strict=True):
        _, first = np.unique(row[::-1], return_index=True)
        own[len(row) - 1 - first] = True
    return mask.reshape(indices.shape)[()]


def search(a: Any, v: Any, side: Any) -> Any:
    """np.searchsorted, row by row."""
    rows = prod(a.shape[:-1])
    many = v.reshape(rows, prod(v.shape[a.ndim - 1 :]))
    found = [np.searchsorted(r, w, side) for r, w in zip(a.reshape(rows, a.shape[-1]), many, strict=True)]
    return np.array(found, np.int64).reshape(v.shape)


def class_mask(labels: Any, axis: int, classes: int, ignore: int) -> Any:
    """Which class each label names, along a new axis; a label `ignore` names none."""
    labels = np.asarray(labels)
    if (((labels < 0) | (labels >= classes)) & (labels != ignore)).any():
        raise ValueError(f"a label must be from 0 to {classes - 1}, or {ignore}")
    at = labels.ndim + 1 + axis
    names = np.arange(classes).reshape((classes, *[1] * (-axis - 1)))
    spread = labels.reshape((*labels.shape[:at], 1, *labels.shape[at:]))
    return (spread == names) & (spread != ignore)


# ----------------------------------------------------------------------------------------------------- along an axis


def max_where(x: Any, mask: Any, axes: tuple[int, ...]) -> Any:
    """The largest entry where the mask holds, minus infinity if there is none; NaN where one is NaN."""
    least = -np.inf if x.dtype.kind == "f" else np.iinfo(x.dtype).min
    return np.max(x, axis=axes, where=mask, initial=x.dtype.type(least))


def reversed_along(function: Any, x: Any, axis: int) -> Any:
    """A running function along an axis, from the end."""
    return np.flip(function(np.flip(x, axis), axis), axis)


def descending(x: Any, axis: int) -> Any:
    """np.argsort from the largest entry on, stable."""
    back = np.flip(np.argsort(np.flip(x, axis), axis=axis, kind="stable"), axis)
    return x.shape[axis] - 1 - back


def last_place(function: Any, x: Any, axis: int) -> Any:
    """np.argmax or np.argmin, of equal entries the last."""
    return x.shape[axis] - 1 - function(np.flip(x, axis), axis=axis)


def running_place(x: Any, axis: int, largest: bool) -> Any:
    """The place of the largest (or smallest) entry so far."""
    extreme = (np.maximum if largest else np.minimum).accumulate(x, axis)
    record = (x == extreme) | np.isnan(x) if x.dtype.kind == "f" else x == extreme
    shape = [1] * x.ndim
    shape[axis] = x.shape[axis]
    places = np.where(record, np.arange(x.shape[axis]).reshape(shape), 0)
    return np.maximum.accumulate(places, axis)


def recurrence(a: Any, b: Any, axis: int, reverse: bool) -> Any:
    """s[i] = a[i] * s[i - 1] + b[i] along an axis, from the end if `reverse`; where s is 0, so is the product."""
    a, b = np.moveaxis(a, axis, 0), np.moveaxis(b, axis, 0)
    result = np.empty(b.shape, b.dtype)
    state = np.zeros(b.shape[1:], b.dtype)
    for i in range(len(b) - 1, -1, -1) if reverse else range(len(b)):
        state = np.where(state == 0, 0, a[i] * state).astype(b.dtype) + b[i]
        result[i] = state
    return np.moveaxis(result, 0, axis)


def powers(x: Any, n: int, reverse: bool) -> Any:
    """1, x, x**2, … (n of them) along the last axis of x, which has one entry; the highest first if `reverse`."""
    result = np.empty((*x.shape[:-1], n), x.dtype)
    y = result[..., ::-1] if reverse else result
    y[..., :1] = 1
    for k in range(1, n):
        y[..., k] = y[..., k - 1] * x[..., 0]
    return result


def length(x: Any, axes: tuple[int, ...]) -> Any:
    """The Euclidean norm, without overflow or underflow on the way."""
    size = np.max(np.abs(x), axis=axes, keepdims=True, initial=0)
    unit = np.where(np.isfinite(size) & (size > 0), size, x.dtype.type(1))
    root = np.sqrt(np.sum((x / unit) ** 2, axis=axes))
    return (root * np.squeeze(unit, axis=axes))[()]


def p_norm(x: Any, axes: tuple[int, ...], p: float) -> Any:
    """The p-norm, without overflow or underflow on the way."""
    size = np.abs(x)
    unit = (
        np.max(size, axis=axes, keepdims=True, initial=0)
        if p > 0
        else np.min(size, axis=axes, keepdims=True, initial=np.inf)
    )
    unit = np.where(np.isfinite(unit) & (unit > 0), unit, x.dtype.type(1))
    total = np.sum(np.power(size / unit, p), axis=axes)
    return (np.power(total, 1 / p) * np.squeeze(unit, axis=axes))[()]


# ----------------------------------------------------------------------------------------------------------- softmax


def below_largest(x: Any, axes: tuple[int, ...]) -> Any:
    """x minus its largest entry along axes; where all are minus infinity they stay so."""
    top = np.max(x, axis=axes, keepdims=True, initial=-np.inf)
    return x - np.where(top == -np.inf, 0, top).astype(x.dtype)


def softmax(x: Any, axes: tuple[int, ...]) -> Any:
    """exp(x), divided by its sum along axes."""
    e = np.exp(below_largest(x, axes))
    total = np.sum(e, axis=axes, keepdims=True)
    return e / np.where(total == 0, e.dtype.type(1), total)


def log_softmax(x: Any, axes: tuple[int, ...]) -> Any:
    """x minus the logarithm of the sum of exp(x) along axes."""
    z = below_largest(x, axes)
    top = z == 0
    many = np.maximum(np.sum(top, axis=axes, dtype=z.dtype, keepdims=True), z.dtype.type(1))
    rest = np.sum(np.where(top, 0, np.exp(z)).astype(z.dtype), axis=axes, keepdims=True)
    return z - (np.log(many) + np.log1p(rest / many))


def shares(x: Any, axes: tuple[int, ...]) -> Any:
    """softmax, shared equally among entries of plus infinity where there are some."""
    endless = np.isposinf(x)
    count = np.sum(endless, axis=axes, keepdims=True)
    mended = (count > 0) & ~np.isnan(x).any(axis=axes, keepdims=True)
    return np.where(mended, endless / np.maximum(count, 1), softmax(x, axes)).astype(x.dtype)[()]


def logsumexp(x: Any, axes: tuple[int, ...]) -> Any:
    """The logarithm of the sum of exp(x) along axes, without overflow."""
    top = np.max(x, axis=axes, keepdims=True, initial=-np.inf)
    finite = np.isfinite(top)
    chosen = x == top
    others = np.where(chosen, 0, np.exp(x - np.where(finite, top, 0))).astype(x.dtype)
    rest = np.sum(chosen, axis=axes).astype(x.dtype) - 1 + np.sum(others, axis=axes)
    top, finite = np.squeeze(top, axis=axes), np.squeeze(finite, axis=axes)
    return np.where(finite, top + np.log1p(rest), top)[()]


def top_level(x: Any, weight: Any, axes: tuple[int, ...]) -> Any:
    """The largest entry that has weight, 0 where that is not finite."""
    top = np.max(np.where(weight == 0, -np.inf, x), axis=axes, initial=-np.inf)
    return np.where(np.isfinite(top), top, 0).astype(x.dtype)[()]


# ----------------------------------------------------------------------------------------------------------- windows


def windows(x: Any, sizes: tuple[int, ...], strides: tuple[int, ...], dilations: tuple[int, ...]) -> Any:
    """Windows over the last axes: [..., *positions, *sizes]."""
    k = len(sizes)
    spans = tuple((w - 1) * d + 1 for w, d in zip(sizes, dilations, strict=True))
    view: Any = np.lib.stride_tricks.sliding_window_view(x, spans, tuple(range(-k, 0)))
    steps = (slice(None, None, s) for s in (*strides, *dilations))
    return view[(..., *steps)]


def overlap_add(x: Any, shape: tuple[int, ...], strides: tuple[int, ...], dilations: tuple[int, ...]) -> Any:
    """Windows, as `windows` makes them, added at their places in an array of this shape."""
    k = len(shape)
    lead = x.ndim - 2 * k
    result: Any = np.zeros((*x.shape[:lead], *shape), x.dtype)
    positions = x.shape[lead : lead + k]
    for offset in np.ndindex(*x.shape[lead + k :]):
        target = tuple(
            slice(j * d, j * d + (o - 1) * s + 1, s)
            for j, d, o, s in zip(offset, dilations, positions, strides, strict=True)
        )
        result[(..., *target)] += x[(..., *[slice(None)] * k, *offset)]
    return result


def by_rows(function: Any, a: Any, v: Any, length: int) -> Any:
    """A function of two vectors, row by row, with results of one length."""
    rows = prod(a.shape[:-1])
    pairs = zip(a.reshape(rows, a.shape[-1]), v.reshape(rows, v.shape[-1]), strict=True)
    return np.array([function(x, y) for x, y in pairs], a.dtype).reshape((*a.shape[:-1], length))


def correlate_valid(x: Array, y: Array) -> Array:
    """np.correlate where the vectors overlap fully."""
    return np.correlate(x, y, "valid")
