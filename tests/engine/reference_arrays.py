"""References of ops on whole arrays: shapes, indexing, creation, reductions."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.special

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


def _scatter_add(x: Any, indices: Any, updates: Any, *, axis: int) -> Any:
    y = np.moveaxis(np.array(x, np.result_type(x, updates)), axis, 0)
    target = np.empty(np.shape(indices) + y.shape[1:], y.dtype)
    moved = np.moveaxis(np.broadcast_to(updates, np.moveaxis(target, 0, axis).shape), axis, 0) if np.ndim(indices) == 1 else updates
    target[...] = moved
    np.add.at(y, indices, target)
    return np.moveaxis(y, 0, axis)


def _one_hot(indices: Any, *, num_classes: int, axis: int) -> Any:
    hot = np.eye(num_classes)[indices]
    return np.moveaxis(hot, -1, axis)


def _pad(x: Any, *, pad_width: Any, mode: str, constant_values: Any) -> Any:
    if mode == "constant":
        return np.pad(x, pad_width, mode, constant_values=constant_values)
    return np.pad(x, pad_width, mode)


def _arange(start: Any, stop: Any, step: Any) -> Any:
    return np.arange(0.0, start, step) if stop is None else np.arange(0.0 if start is None else start, stop, step)


def _diag(x: Any, k: int) -> Any:
    return np.diag(x, k) if x.ndim < 3 else np.diagonal(x, k, -2, -1)


def _reduce(function: Any) -> Reference:
    def value(x: Any, axis: Any, keepdims: bool) -> Any:
        return function(x, axis=axis, keepdims=keepdims)

    return Reference(value)


def _logsumexp(x: Any, axis: Any, keepdims: bool) -> Any:
    if x.size == 0:
        return np.log(np.sum(x, axis=axis, keepdims=keepdims))
    top = np.max(np.real(x), axis=axis, keepdims=True)
    top = np.where(np.isfinite(top), top, 0.0)
    y = np.log(np.sum(np.exp(x - top), axis=axis, keepdims=True)) + top
    return y if keepdims else np.squeeze(y, axis=axis if axis is None else axis)


def _average(x: Any, weights: Any = None, *, axis: Any, keepdims: bool) -> Any:
    return np.average(x, axis=axis, weights=weights, keepdims=keepdims)


def _variance(x: Any, axis: Any, ddof: float, keepdims: bool) -> Any:
    # Written out, since that of complex numbers is another thing.
    n = x.size / max(np.mean(x, axis=axis).size, 1)
    d = x - np.mean(x, axis=axis, keepdims=True)
    return np.sum(d * d, axis=axis, keepdims=keepdims) / np.float64(n - ddof)


def _std(x: Any, axis: Any, ddof: float, keepdims: bool) -> Any:
    size = float(np.max(np.abs(x), initial=1.0))
    return size * np.sqrt(_variance(x / size, axis, ddof, keepdims))


def _einsum(*operands: Any, subscripts: str) -> Any:
    return np.einsum(subscripts, *operands)


def _astype(x: Any, dtype: str) -> Any:
    return x.astype({"float": np.float64, "float64": np.float64, "float32": np.float64, "bool": bool}.get(dtype, np.int64))


def _broadcast_to(x: Any, shape: Any) -> Any:
    lead = len(shape) - np.ndim(x)
    return np.broadcast_to(x, tuple(np.shape(x)[i - lead] if n == -1 else n for i, n in enumerate(shape)))


TABLE: dict[str, Reference] = {
    # Shapes.
    "broadcast_to": Reference(_broadcast_to),
    "reshape": Reference(lambda x, shape: np.reshape(x, shape)),
    "permute_dims": Reference(lambda x, axes: np.transpose(x, axes)),
    "concat": Reference(lambda *arrays, axis: np.concatenate([np.ravel(a) for a in arrays] if axis is None else arrays, axis)),
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
    "array_split": Reference(lambda x, indices_or_sections, axis: np.array_split(x, indices_or_sections, axis)),
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
    "linspace": Reference(lambda start, stop, num, endpoint: np.linspace(start, stop, int(num), endpoint)),
    # Indexing.
    "getitem": Reference(_getitem),
    "take": Reference(lambda a, indices, axis, mode: np.take(a, indices, axis, mode=mode)),
    "gather": Reference(lambda x, indices, axis: np.take(x, indices, axis)),
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
    "cumsum": Reference(lambda x, axis: np.cumsum(x, axis)),
    "vector_norm": Reference(lambda x, axis, keepdims, ord: np.linalg.vector_norm(x, axis=axis, keepdims=keepdims, ord=ord)),
    "matrix_norm": Reference(lambda x, keepdims, ord: np.linalg.matrix_norm(x, keepdims=keepdims, ord=ord)),
    "norm": Reference(lambda x, ord, axis, keepdims: np.linalg.norm(x, ord, axis, keepdims)),
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
    "shape": Reference(lambda x: np.array(np.shape(x))),
    "ndim": Reference(np.ndim),
    "size": Reference(np.size),
}  # fmt: skip
assert scipy.special is not None
