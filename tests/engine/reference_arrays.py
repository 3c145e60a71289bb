"""References of ops on whole arrays: shapes, indexing, creation, reductions."""

from __future__ import annotations

from typing import Any

import numpy as np

from engine.attrs import IndexArray, Slice
from engine.op import InputRef
from tests.engine.conformance import Reference


def _index(index: Any, operands: tuple[Any, ...]) -> Any:
    def one(item: Any) -> Any:
        if isinstance(item, IndexArray):
            return item.value
        if isinstance(item, InputRef):
            return operands[item.index]
        if isinstance(item, Slice):
            return slice(*(one(p) for p in item))
        return item

    return tuple(one(i) for i in index)


def _getitem(*operands: Any, index: Any) -> Any:
    return operands[0][_index(index, operands)]


def _gather(x: Any, indices: Any, *, axis: int, batch_dims: int) -> Any:
    if batch_dims:
        inner = axis - 1 if axis >= 0 else axis
        return np.stack(
            [_gather(r, i, axis=inner, batch_dims=batch_dims - 1) for r, i in zip(x, indices, strict=True)]
        )
    return np.take(x, indices, axis)


def _scatter_add(x: Any, indices: Any, updates: Any, *, axis: int, batch_dims: int) -> Any:
    if batch_dims:
        inner = axis - 1 if axis >= 0 else axis
        spread = (
            np.broadcast_to(updates, (len(x), *np.shape(updates)[1:]))
            if np.ndim(updates)
            else [updates] * len(x)
        )
        return np.stack([
            _scatter_add(r, i, u, axis=inner, batch_dims=batch_dims - 1)
            for r, i, u in zip(x, indices, spread, strict=True)
        ])  # fmt: skip
    y = np.array(x, np.result_type(x, updates))
    at = axis % x.ndim
    chosen = (slice(None),) * at + (indices,)
    np.add.at(y, chosen, np.broadcast_to(updates, np.shape(y[chosen])))
    return y


def _one_hot(indices: Any, *, num_classes: int, axis: int) -> Any:
    hot = np.eye(num_classes)[indices]
    return np.moveaxis(hot, -1, axis)


def _pad(x: Any, *, pad_width: Any, mode: str, constant_values: Any) -> Any:
    if mode == "constant":
        return np.pad(x, pad_width, mode, constant_values=constant_values)
    return np.pad(x, pad_width, mode)


def _arange(start: Any, stop: Any, step: Any) -> Any:
    low, high = (0.0, start) if stop is None else (0.0 if start is None else start, stop)
    return np.arange(
        *(int(v) if all(float(u).is_integer() for u in (low, high, step)) else v for v in (low, high, step))
    )


def _diag(x: Any, k: int) -> Any:
    return np.diag(x, k) if x.ndim < 3 else np.diagonal(x, k, -2, -1)


_MASKS_ALONE = (np.any, np.all, np.mean)
"""Reductions of NumPy that have `where`, but no `initial`."""


def _reduce(function: Any) -> Reference:
    def value(x: Any, *further: Any, axis: Any, keepdims: bool) -> Any:
        names = ("initial", "where") if len(further) > 1 or function not in _MASKS_ALONE else ("where",)
        given = {name: v for name, v in zip(names, further, strict=False) if v is not None}
        return function(x, axis=axis, keepdims=keepdims, **given)

    return Reference(value)


def _cumsum(x: Any, axis: Any, exclusive: bool, reverse: bool) -> Any:
    if axis is None:
        x, axis = np.ravel(x), 0
    y = np.flip(np.cumsum(np.flip(x, axis), axis), axis) if reverse else np.cumsum(x, axis)
    return y - x if exclusive else y


def _logsumexp(x: Any, b: Any = None, *, axis: Any, keepdims: bool, return_sign: bool) -> Any:
    if b is not None:
        x = np.where(b == 0, -np.inf, x)
        top = np.max(np.real(x), axis=axis, keepdims=True)
        y = np.log(np.sum(b * np.exp(x - top), axis=axis, keepdims=True)) + top
        return y if keepdims else np.squeeze(y, axis=axis)
    if x.size == 0:
        return np.log(np.sum(x, axis=axis, keepdims=keepdims))
    top = np.max(np.real(x), axis=axis, keepdims=True)
    # One of the largest entries is taken out of the sum, so that its 1 does not swallow the others.
    e = np.exp(x - np.where(np.isfinite(top), top, 0.0))
    many = np.sum(np.real(x) == top, axis=axis, keepdims=True)
    rest = np.sum(np.where(np.real(x) == top, e - 1, e), axis=axis, keepdims=True)
    y = top + np.where(np.isneginf(top), 0.0, np.log(many) + np.log1p(rest / many))
    return y if keepdims else np.squeeze(y, axis=axis)


def _scaled_norm(function: Any) -> Any:
    """A norm of numbers scaled to about 1, so that no square overflows."""

    def value(x: Any, axis: Any = None, keepdims: bool = False, ord: Any = None) -> Any:  # NumPy's name
        size = float(np.max(np.abs(x), initial=0.0)) or 1.0
        return size * function(x / size, axis, keepdims, ord)

    return value


def _average(x: Any, weights: Any = None, *, axis: Any, keepdims: bool, returned: bool) -> Any:
    return np.average(x, axis=axis, weights=weights, keepdims=keepdims)


def _variance(x: Any, mask: Any = None, *, axis: Any, ddof: float, keepdims: bool) -> Any:
    if mask is not None:
        return _masked_variance(x, np.broadcast_to(mask, x.shape), axis, ddof, keepdims)
    # Written out, since that of complex numbers is another thing; moved first, since the mean of equal numbers is rounded.
    axes = tuple(range(x.ndim)) if axis is None else axis
    x = x - (x.reshape(-1)[0] if x.size else 0.0)
    n = x.size / max(np.mean(x, axis=axes).size, 1)
    d = x - np.mean(x, axis=axes, keepdims=True)
    return np.sum(d * d, axis=axes, keepdims=keepdims) / np.float64(n - ddof)


def _masked_variance(x: Any, mask: Any, axis: Any, ddof: float, keepdims: bool) -> Any:
    """Row by row, of what the mask picks out."""
    assert axis in (None, 1)
    pairs = [(x.reshape(-1), mask.reshape(-1))] if axis is None else zip(x, mask, strict=True)
    rows = [_variance(row[m], axis=None, ddof=ddof, keepdims=False) for row, m in pairs]
    return rows[0] if axis is None else np.array(rows).reshape((-1, 1) if keepdims else -1)


def _std(x: Any, mask: Any = None, *, axis: Any, ddof: float, keepdims: bool) -> Any:
    size = float(np.nanmax(np.abs(x), initial=1.0))
    return size * np.sqrt(_variance(x / size, mask, axis=axis, ddof=ddof, keepdims=keepdims))


def _einsum(*operands: Any, subscripts: str) -> Any:
    return np.einsum(subscripts, *operands)


def _astype(x: Any, dtype: str) -> Any:
    return x.astype(
        {"float": np.float64, "float64": np.float64, "float32": np.float64, "bool": bool}.get(dtype, np.int64)
    )


def _broadcast_to(x: Any, shape: Any) -> Any:
    lead = len(shape) - np.ndim(x)
    return np.broadcast_to(x, tuple(np.shape(x)[i - lead] if n == -1 else n for i, n in enumerate(shape)))


TABLE: dict[str, Reference] = {
    # Shapes.
    "broadcast_to": Reference(_broadcast_to),
    "reshape": Reference(lambda x, shape: np.reshape(x, shape)),
    "permute_dims": Reference(lambda x, axes: np.transpose(x, axes)),
    "concat": Reference(
        lambda *arrays, axis: np.concatenate([np.ravel(a) for a in arrays] if axis is None else arrays, axis)
    ),
    "expand_dims": Reference(lambda x, axis: np.expand_dims(x, axis)),
    "squeeze": Reference(lambda x, axis: np.squeeze(x, axis)),
    "atleast_1d": Reference(np.atleast_1d),
    "atleast_2d": Reference(np.atleast_2d),
    "ravel": Reference(np.ravel),
    "moveaxis": Reference(lambda x, source, destination: np.moveaxis(x, source, destination)),
    "swapaxes": Reference(lambda x, axis1, axis2: np.swapaxes(x, axis1, axis2)),
    "matrix_transpose": Reference(np.matrix_transpose),
    "flip": Reference(lambda x, axis: np.flip(x, axis)),
    "flipud": Reference(np.flipud),
    "fliplr": Reference(np.fliplr),
    "rot90": Reference(lambda x, k, axes: np.rot90(x, k, axes)),
    "roll": Reference(lambda x, shift, axis: np.roll(x, shift, axis)),
    "tile": Reference(lambda x, reps: np.tile(x, reps)),
    "repeat": Reference(lambda x, repeats, axis: np.repeat(x, repeats, axis)),
    "stack": Reference(lambda *arrays, axis: np.stack(arrays, axis)),
    "array": Reference(lambda *elements: np.array(elements)),
    "hstack": Reference(lambda *arrays: np.hstack(arrays)),
    "vstack": Reference(lambda *arrays: np.vstack(arrays)),
    "dstack": Reference(lambda *arrays: np.dstack(arrays)),
    "column_stack": Reference(lambda *arrays: np.column_stack(arrays)),
    "split": Reference(lambda x, indices_or_sections, axis: np.split(x, indices_or_sections, axis)),
    "array_split": Reference(
        lambda x, indices_or_sections, axis: np.array_split(x, indices_or_sections, axis)
    ),
    "unstack": Reference(lambda x, axis: np.unstack(x, axis=axis)),
    "meshgrid": Reference(lambda *arrays, indexing: np.meshgrid(*arrays, indexing=indexing)),
    "broadcast_arrays": Reference(lambda *arrays: np.broadcast_arrays(*arrays)),
    "pad": Reference(_pad),
    "diagonal": Reference(lambda x, offset, axis1, axis2: np.diagonal(x, offset, axis1, axis2)),
    "diag": Reference(_diag),
    "tril": Reference(lambda x, k: np.tril(x, k)),
    "triu": Reference(lambda x, k: np.triu(x, k)),
    # Creation.
    "zeros": Reference(lambda shape: np.zeros(shape)),
    "ones": Reference(lambda shape: np.ones(shape)),
    "full": Reference(lambda fill_value, shape: np.full(shape, fill_value)),
    "zeros_like": Reference(np.zeros_like),
    "ones_like": Reference(np.ones_like),
    "full_like": Reference(lambda x, fill_value: np.full(np.shape(x), fill_value)),
    "eye": Reference(lambda n, m, k: np.eye(n, m, k)),
    "arange": Reference(_arange),
    "linspace": Reference(
        lambda start, stop, num, endpoint, axis: np.linspace(start, stop, int(num), endpoint, axis=axis)
    ),
    # Indexing.
    "getitem": Reference(_getitem),
    "take": Reference(lambda a, indices, axis, mode: np.take(a, indices, axis, mode=mode)),
    "gather": Reference(_gather),
    "take_along_axis": Reference(lambda arr, indices, axis: np.take_along_axis(arr, indices, axis)),
    "scatter_add": Reference(_scatter_add),
    "one_hot": Reference(_one_hot),
    # Reductions.
    "sum": _reduce(np.sum),
    "prod": _reduce(np.prod),
    "max": _reduce(np.max),
    "min": _reduce(np.min),
    "any": _reduce(np.any),
    "all": _reduce(np.all),
    "mean": _reduce(np.mean),
    "ptp": _reduce(np.ptp),
    "count_nonzero": _reduce(np.count_nonzero),
    "logsumexp": Reference(_logsumexp),
    "cumsum": Reference(_cumsum),
    "vector_norm": Reference(
        _scaled_norm(lambda x, axis, keep, ord: np.linalg.vector_norm(x, axis=axis, keepdims=keep, ord=ord))
    ),
    "matrix_norm": Reference(
        _scaled_norm(lambda x, axis, keep, ord: np.linalg.matrix_norm(x, keepdims=keep, ord=ord))
    ),
    "norm": Reference(_scaled_norm(lambda x, axis, keep, ord: np.linalg.norm(x, ord, axis, keep))),
    "average": Reference(_average),
    "var": Reference(_variance),
    "std": Reference(_std),
    # Products.
    "matmul": Reference(np.matmul),
    "dot": Reference(np.dot),
    "vdot": Reference(lambda a, b: np.sum(a * b)),
    "vecdot": Reference(lambda x1, x2, axis: np.sum(x1 * x2, axis)),
    "inner": Reference(np.inner),
    "outer": Reference(np.outer),
    "tensordot": Reference(lambda a, b, axes: np.tensordot(a, b, axes)),
    "kron": Reference(np.kron),
    "cross": Reference(lambda a, b, axisa, axisb, axisc, axis: np.cross(a, b, axisa, axisb, axisc, axis)),
    "trace": Reference(lambda a, offset, axis1, axis2: np.trace(a, offset, axis1, axis2)),
    "einsum": Reference(_einsum),
    # About values.
    "astype": Reference(_astype),
    "shape": Reference(lambda x, start, end: np.array(np.shape(x)[start:end])),
    "ndim": Reference(np.ndim),
    "size": Reference(np.size),
}
