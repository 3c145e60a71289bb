"""References of ops on the order and the places of entries: sorting, searching, writing at indices, taking apart."""

from __future__ import annotations

from typing import Any

import numpy as np

from engine.attrs import IndexArray, Slice
from engine.op import Example, InputRef
from tests.engine.conformance import Fixed, Reference

COMBINE = {
    "add": lambda old, new: old + new,
    "mul": lambda old, new: old * new,
    "max": lambda old, new: new if np.isnan(new) or new > old else old,
    "min": lambda old, new: new if np.isnan(new) or new < old else old,
}
"""How a value is combined with what stands there."""


def _key(z: Any) -> tuple[bool, float]:
    """Ascending, NaN last; complex numbers by their real part, as small steps leave them."""
    return bool(np.isnan(z)), float(np.real(z))


def _argsort(x: Any, axis: Any, descending: bool, **_: Any) -> Any:
    if axis is None or np.ndim(x) == 0:
        x, axis = np.ravel(x), -1

    def row(values: Any) -> Any:
        order = sorted(range(len(values)), key=lambda i: _key(values[i]), reverse=False)
        if descending:  # equal ones in their old order
            order = sorted(range(len(values)), key=lambda i: tuple(-k for k in _key(values[i])))
        return np.array(order, np.int64)

    if x.shape[axis] == 0:
        return np.zeros(x.shape, np.int64)
    return np.apply_along_axis(row, axis, x)


def _sort(x: Any, axis: Any, descending: bool, **rest: Any) -> Any:
    if axis is None or np.ndim(x) == 0:
        x, axis = np.ravel(x), -1
    return np.take_along_axis(x, _argsort(x, axis, descending), axis)


def _top_k(x: Any, k: int, axis: int, largest: bool, **_: Any) -> Any:
    index = np.take(_argsort(x, axis, largest), range(k), axis)
    return np.take_along_axis(x, index, axis), index


def _kth(x: Any, k: int, axis: int, keepdims: bool) -> Any:
    index = np.take(_argsort(x, axis, False), [k - 1], axis)
    value = np.take_along_axis(x, index, axis)
    return (value, index) if keepdims else (value.squeeze(axis), index.squeeze(axis))


def _arg(function: Any) -> Any:
    def value(x: Any, axis: Any, keepdims: bool, select_last_index: bool) -> Any:
        if not select_last_index:
            return np.int64(function(x, axis=axis, keepdims=keepdims))
        y = np.ravel(x)
        return np.int64(len(y) - 1 - function(y[::-1]))

    def exact(x: Any, axis: Any, keepdims: bool, select_last_index: bool) -> Any:
        if select_last_index:
            return value(x, axis, keepdims, select_last_index)
        return function(x, axis=axis, keepdims=keepdims)

    return exact


def _quantile(function: Any, most: float) -> Reference:
    ends = Example(([3.0, 1.0, 2.0], Fixed([0.0, most])), smooth=False, note="the ends")
    return Reference(
        lambda a, q, axis, method, keepdims: function(a, q, axis=axis, method=method, keepdims=keepdims),
        examples=(ends,),
    )


def _median(x: Any, axis: Any, keepdims: bool) -> Any:
    return np.median(x, axis=axis, keepdims=keepdims)


def _searchsorted(a: Any, v: Any, side: str, right: bool) -> Any:
    side = "right" if right else side
    if a.ndim == 1:
        return np.searchsorted(a, v, side)
    return np.stack([_searchsorted(r, w, side, False) for r, w in zip(a, v, strict=True)])


def _bincount(x: Any, weights: Any = None, *, minlength: Any, length: Any) -> Any:
    counts = np.zeros(minlength, np.int64 if weights is None else weights.dtype)
    for k, i in enumerate(x):
        counts[i] += 1 if weights is None else weights[k]
    return counts


# ---------------------------------------------------------------------------------------------------------- scatters


def _write(y: Any, place: Any, value: Any, how: str) -> None:
    y[place] = value if how in ("set", "none") else COMBINE[how](y[place], value)


def _scatter(how: str) -> Any:
    """Along an axis, entry by entry."""

    def value(x: Any, indices: Any, updates: Any, *, axis: int, batch_dims: int) -> Any:
        y = np.array(x, np.result_type(x, updates))
        if batch_dims:
            inner = axis - 1 if axis >= 0 else axis
            for row, i, u in zip(y, indices, updates, strict=True):
                row[...] = value(row, i, u, axis=inner, batch_dims=batch_dims - 1)
            return y
        at = axis % y.ndim
        rest = y.shape[:at] + np.shape(indices) + y.shape[at + 1 :]
        spread = np.broadcast_to(updates, rest)
        for place in np.ndindex(*rest):
            own = np.asarray(indices)[place[at : at + np.ndim(indices)]]
            _write(y, (*place[:at], own, *place[at + np.ndim(indices) :]), spread[place], how)
        return y

    return value


def _setitem(x: Any, value: Any, *further: Any, index: Any, mode: str) -> Any:
    def one(item: Any) -> Any:
        if isinstance(item, IndexArray):
            return item.value
        if isinstance(item, InputRef):
            return further[item.index - 2]
        if isinstance(item, Slice):
            return slice(*(one(p) for p in item))
        return item

    y = np.array(x, np.result_type(x, value))
    places = np.arange(y.size).reshape(y.shape)[tuple(one(i) for i in index)]
    flat = y.reshape(-1)
    for place, new in zip(np.ravel(places), np.ravel(np.broadcast_to(value, places.shape)), strict=True):
        _write(flat, place, new, mode)
    return y


def _put(arr: Any, indices: Any, values: Any, *, axis: int, reduction: str) -> Any:
    y = np.array(arr, np.result_type(arr, values))
    at = axis % y.ndim
    shape = [n if a == at or n != 1 else y.shape[a] for a, n in enumerate(indices.shape)]
    index, new = np.broadcast_to(indices, shape), np.broadcast_to(values, shape)
    for place in np.ndindex(*shape):
        _write(y, (*place[:at], index[place], *place[at + 1 :]), new[place], reduction)
    return y


def _torch_scatter(input: Any, index: Any, src: Any, *, dim: int, reduce: str) -> Any:
    y = np.array(input, np.result_type(input, src))
    how = {"sum": "add", "multiply": "mul", "prod": "mul", "amax": "max", "amin": "min"}.get(reduce, reduce)
    for place in np.ndindex(*index.shape):
        target = list(place)
        target[dim] = index[place]
        _write(y, tuple(target), src[place] if np.ndim(src) else src, how)
    return y


def _gather_elements(data: Any, indices: Any, *, axis: int) -> Any:
    y = np.empty(indices.shape, data.dtype)
    for place in np.ndindex(*indices.shape):
        source = list(place)
        source[axis] = indices[place]
        y[place] = data[tuple(source)]
    return y


def _gather_nd(data: Any, indices: Any, batch_dims: int) -> Any:
    if batch_dims:
        return np.stack([_gather_nd(d, i, batch_dims - 1) for d, i in zip(data, indices, strict=True)])
    return data[tuple(np.moveaxis(indices, -1, 0))]


def _scatter_nd(data: Any, indices: Any, updates: Any, *, reduction: str) -> Any:
    y = np.array(data, np.result_type(data, updates))
    for row in np.ndindex(*indices.shape[:-1]):
        place = tuple(indices[row])
        y[place] = updates[row] if reduction == "none" else y[place] + updates[row]
    return y


def _index(how: str) -> Any:
    def value(input: Any, index: Any, source: Any, *, dim: int, alpha: float = 1.0) -> Any:
        y = np.moveaxis(np.array(input, np.result_type(input, source)), dim, 0)
        rows = np.moveaxis(source, dim, 0) if np.ndim(source) else [source] * len(index)
        for i, row in zip(index, rows, strict=True):
            y[i] = row if how == "set" else y[i] + alpha * row
        return np.moveaxis(y, 0, dim)

    return value


def _segments(function: Any) -> Any:
    def value(data: Any, segment_ids: Any, num_segments: int) -> Any:
        return np.stack([function(data[segment_ids == k], axis=0) for k in range(num_segments)])

    return value


def _extreme(function: Any, start: float) -> Any:
    return lambda data, axis: function(data, axis=axis, initial=start)


def _fill_diagonal(a: Any, val: Any, wrap: bool) -> Any:
    y = np.array(a, np.result_type(a, val))
    np.fill_diagonal(y, val, wrap)
    return y


# ------------------------------------------------------------------------------------------------------------- pieces


def _chunk(x: Any, chunks: int, dim: int) -> Any:
    size = -(-x.shape[dim] // chunks)
    return np.split(x, range(size, x.shape[dim], size), dim)


def _narrow(x: Any, dim: int, start: int, length: int) -> Any:
    return np.take(x, range(start % x.shape[dim], start % x.shape[dim] + length), dim)


def _flatten(x: Any, start_dim: int, end_dim: int) -> Any:
    if not np.ndim(x):
        return np.ravel(x)
    end = end_dim % x.ndim
    return x.reshape(*x.shape[:start_dim], int(np.prod(x.shape[start_dim : end + 1])), *x.shape[end + 1 :])


def _unflatten(x: Any, dim: int, sizes: Any) -> Any:
    return x.reshape(*x.shape[:dim], *sizes, *x.shape[dim + 1 :])


def _listed(obj: Any) -> Any:
    return list(obj) if isinstance(obj, tuple) else obj


TABLE: dict[str, Reference] = {
    "argsort": Reference(_argsort),
    "sort": Reference(_sort),
    "top_k": Reference(_top_k),
    "kthvalue": Reference(_kth),
    "argmax": Reference(_arg(np.argmax)),
    "argmin": Reference(_arg(np.argmin)),
    "median": Reference(_median),
    "nanmedian": Reference(lambda x, axis, keepdims: np.nanmedian(x, axis=axis, keepdims=keepdims)),
    "quantile": _quantile(np.quantile, 1.0),
    "percentile": _quantile(np.percentile, 100.0),
    "nanquantile": _quantile(np.nanquantile, 1.0),
    "nanpercentile": _quantile(np.nanpercentile, 100.0),
    "searchsorted": Reference(_searchsorted),
    "digitize": Reference(lambda x, bins, right: np.digitize(x, bins, right)),
    "bincount": Reference(_bincount),
    "scatter_set": Reference(_scatter("set")),
    "scatter_max": Reference(_scatter("max")),
    "scatter_min": Reference(_scatter("min")),
    "setitem": Reference(_setitem),
    "put_along_axis": Reference(_put),
    "scatter": Reference(_torch_scatter),
    "gather_elements": Reference(_gather_elements),
    "gather_nd": Reference(_gather_nd),
    "scatter_nd": Reference(_scatter_nd),
    "index_add": Reference(_index("add")),
    "index_copy": Reference(_index("set")),
    "index_select": Reference(lambda input, index, dim: np.take(input, index, dim)),
    "segment_sum": Reference(_segments(np.sum)),
    "segment_prod": Reference(_segments(np.prod)),
    "segment_max": Reference(_segments(_extreme(np.max, -np.inf))),
    "segment_min": Reference(_segments(_extreme(np.min, np.inf))),
    "masked_fill": Reference(lambda input, mask, value: np.where(mask, value, input)),
    "fill_diagonal": Reference(_fill_diagonal),
    "choose": Reference(lambda a, *choices, mode: np.choose(a, choices, mode=mode)),
    "delete": Reference(lambda x, obj, axis: np.delete(x, _listed(obj), axis)),
    "insert": Reference(lambda x, values, obj, axis: np.insert(x, _listed(obj), values, axis)),
    "append": Reference(lambda x, values, axis: np.append(x, values, axis)),
    "resize": Reference(lambda x, new_shape: np.resize(x, new_shape)),
    "vsplit": Reference(lambda x, indices_or_sections: np.vsplit(x, indices_or_sections)),
    "hsplit": Reference(lambda x, indices_or_sections: np.hsplit(x, indices_or_sections)),
    "dsplit": Reference(lambda x, indices_or_sections: np.dsplit(x, indices_or_sections)),
    "chunk": Reference(_chunk),
    "narrow": Reference(_narrow),
    "flatten": Reference(_flatten),
    "flatten_to_2d": Reference(lambda x, axis: x.reshape(int(np.prod(x.shape[:axis])), -1)),
    "unflatten": Reference(_unflatten),
    "atleast_3d": Reference(np.atleast_3d),
}
