"""Sorting, indexing, running and NaN-aware reductions, calculus on samples: what they are called in JAX and PyTorch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import torch

Pair = tuple[Callable[..., Any] | None, Callable[..., Any] | None]


def _flat(x: Any, axis: Any) -> tuple[Any, Any]:
    return (x.reshape(-1), 0) if axis is None or not x.ndim else (x, axis)


def _jax_running(function: Callable[..., Any]) -> Callable[..., Any]:
    def run(x: Any, axis: Any, exclusive: bool, reverse: bool) -> Any:
        if exclusive:
            raise NotImplementedError
        x, axis = _flat(x, axis)
        return function(x, axis=axis % x.ndim, reverse=reverse)

    return run


def _torch_running(function: Callable[..., Any]) -> Callable[..., Any]:
    def run(x: Any, axis: Any, exclusive: bool, reverse: bool) -> Any:
        if exclusive:
            raise NotImplementedError
        x, axis = _flat(x, axis)
        return function(x.flip(axis), axis).flip(axis) if reverse else function(x, axis)

    return run


def _jax_so_far(function: Callable[..., Any]) -> Callable[..., Any]:
    """JAX has the values alone; the indices are no numbers with a derivative."""

    def run(x: Any, axis: int, reverse: bool) -> Any:
        values = function(x, axis=axis % x.ndim, reverse=reverse)
        n = x.shape[axis]
        shape = [n if a == axis % x.ndim else 1 for a in range(x.ndim)]
        places = jnp.where(x == values, jnp.arange(n).reshape(shape), n if reverse else -1)
        so_far = jax.lax.cummin if reverse else jax.lax.cummax
        return values, so_far(places, axis=axis % x.ndim, reverse=reverse)

    return run


def _torch_so_far(function: Callable[..., Any]) -> Callable[..., Any]:
    def run(x: Any, axis: int, reverse: bool) -> Any:
        if reverse:
            raise NotImplementedError
        return tuple(function(x, axis))

    return run


def _jax_sort(x: Any, axis: Any, descending: bool, kind: Any, stable: Any) -> Any:
    return jnp.sort(x, axis=axis, descending=descending)


def _jax_argsort(x: Any, axis: Any, descending: bool, kind: Any, stable: Any) -> Any:
    x, axis = _flat(x, axis)
    return jnp.argsort(x, axis=axis, descending=descending, stable=True)


def _torch_sort(which: int) -> Callable[..., Any]:
    def run(x: Any, axis: Any, descending: bool, kind: Any, stable: Any) -> Any:
        x, axis = _flat(x, axis)
        return torch.sort(x, dim=axis, descending=descending, stable=True)[which]

    return run


def _jax_top_k(x: Any, k: int, axis: int, largest: bool, sorted: bool) -> Any:
    moved = jnp.moveaxis(x if largest else -x, axis, -1)
    values, indices = jax.lax.top_k(moved, k)
    return tuple(jnp.moveaxis(v, -1, axis) for v in (values if largest else -values, indices))


def _arg(function: Callable[..., Any]) -> Callable[..., Any]:
    def run(x: Any, axis: Any, keepdims: bool, select_last_index: bool) -> Any:
        if select_last_index:
            raise NotImplementedError
        return function(x, axis, keepdims)

    return run


def _quantile(function: Callable[..., Any], scale: float) -> Callable[..., Any]:
    def run(a: Any, q: Any, axis: Any, method: str, keepdims: bool) -> Any:
        if isinstance(axis, tuple):
            raise NotImplementedError
        names = ("linear", "lower", "higher", "midpoint", "nearest")
        if method not in names:
            raise NotImplementedError
        if function in (torch.quantile, torch.nanquantile):
            return function(a, q * scale, axis, keepdims, interpolation=method)
        return function(a, q, axis=axis, method=method, keepdims=keepdims)

    return run


def _torch_median(function: Callable[..., Any]) -> Callable[..., Any]:
    """The lower of two in the middle is not NumPy's: of odd numbers of entries only."""

    def run(x: Any, axis: Any, keepdims: bool) -> Any:
        if isinstance(axis, tuple) or (x.numel() if axis is None else x.shape[axis]) % 2 == 0:
            raise NotImplementedError
        return function(x) if axis is None else function(x, axis, keepdims).values

    return run


def _jax_scatter(method: str) -> Callable[..., Any]:
    def run(x: Any, indices: Any, updates: Any, axis: int, batch_dims: int) -> Any:
        if batch_dims or len(set(np.ravel(indices).tolist())) < np.size(indices):
            raise NotImplementedError  # which of several stays is not said there
        return getattr(x.at[(slice(None),) * (axis % x.ndim) + (indices,)], method)(updates)

    return run


def _torch_index(method: str) -> Callable[..., Any]:
    def run(x: Any, indices: Any, updates: Any, axis: int, batch_dims: int) -> Any:
        if batch_dims or indices.ndim != 1 or len(set(indices.tolist())) < len(indices):
            raise NotImplementedError
        at = axis % x.ndim
        shape = (*x.shape[:at], len(indices), *x.shape[at + 1 :])
        source, places = updates.broadcast_to(shape), indices % x.shape[at]
        if method == "set":
            return x.index_copy(at, places, source)
        shape_of_index = [1] * x.ndim
        shape_of_index[at] = len(indices)
        return x.scatter_reduce(at, places.reshape(shape_of_index).expand(shape), source, method)

    return run


def _places(indices: Any, shape: tuple[int, ...], axis: int) -> tuple[Any, ...]:
    grids = np.indices(indices.shape)
    return tuple(indices if a == axis % len(shape) else grids[a] for a in range(len(shape)))


_METHODS = {"none": "set", "add": "add", "mul": "multiply", "max": "max", "min": "min"}


def _jax_put(arr: Any, indices: Any, values: Any, axis: int, reduction: str) -> Any:
    shape = [n if a == axis % arr.ndim or n != 1 else arr.shape[a] for a, n in enumerate(indices.shape)]
    index = jnp.broadcast_to(indices, shape)
    places = _places(index, arr.shape, axis)
    if reduction == "mul" or (reduction == "none" and not _different(places, arr.shape)):
        raise NotImplementedError
    return getattr(arr.at[places], _METHODS[reduction])(jnp.broadcast_to(values, shape))


def _different(places: Any, shape: Any) -> bool:
    flat = np.ravel(
        np.ravel_multi_index([np.asarray(p) % n for p, n in zip(places, shape, strict=True)], shape)
    )
    return len(set(flat.tolist())) == flat.size


def _torch_put(arr: Any, indices: Any, values: Any, axis: int, reduction: str) -> Any:
    shape = [n if a == axis % arr.ndim or n != 1 else arr.shape[a] for a, n in enumerate(indices.shape)]
    index, source = (indices % arr.shape[axis]).broadcast_to(shape), values.broadcast_to(shape)
    if reduction == "none":
        if not _different(_places(index.numpy(), tuple(arr.shape), axis), arr.shape):
            raise NotImplementedError
        return arr.scatter(axis, index, source)
    names = {"add": "sum", "mul": "prod", "max": "amax", "min": "amin"}
    if reduction == "mul":
        raise NotImplementedError  # its derivative divides by what may be 0
    return arr.scatter_reduce(axis, index, source, names[reduction])


def _torch_scatter(input: Any, index: Any, src: Any, dim: int, reduce: str) -> Any:
    if reduce in ("none", "add"):
        source = src if src.ndim else src.expand(index.shape)
        return (input.scatter if reduce == "none" else input.scatter_add)(dim, index, source)
    return input.scatter_reduce(dim, index, src, reduce)


def _jax_nd(data: Any, indices: Any, updates: Any, reduction: str) -> Any:
    places = tuple(jnp.moveaxis(indices, -1, 0))
    if reduction == "none" and indices.shape[-1] < data.ndim:
        raise NotImplementedError
    return getattr(data.at[places], _METHODS[reduction])(updates)


def _jax_gather_nd(data: Any, indices: Any, batch_dims: int) -> Any:
    if batch_dims:
        return jax.vmap(lambda d, i: _jax_gather_nd(d, i, batch_dims - 1))(data, indices)
    return data[tuple(jnp.moveaxis(indices, -1, 0))]


def _jax_items(x: Any, value: Any, *further: Any, index: Any, mode: str) -> Any:
    from engine.attrs import IndexArray, Slice
    from engine.op import InputRef

    def one(item: Any) -> Any:
        if isinstance(item, IndexArray):
            return item.value
        if isinstance(item, InputRef):
            return further[item.index - 2]
        return slice(*item) if isinstance(item, Slice) else item

    method = {"set": "set", "add": "add", "mul": "multiply", "max": "max", "min": "min"}[mode]
    places = np.arange(x.size).reshape(x.shape)[
        tuple(np.asarray(p) if hasattr(p, "shape") else p for p in map(one, index))
    ]
    if method in ("set", "multiply") and len(set(np.ravel(places).tolist())) < np.size(places):
        raise NotImplementedError
    return getattr(x.at[tuple(one(i) for i in index)], method)(value)


def _segment(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda data, segment_ids, num_segments: function(data, segment_ids, num_segments)


def _torch_segment(data: Any, segment_ids: Any, num_segments: int) -> Any:
    return torch.zeros((num_segments, *data.shape[1:])).index_add(0, segment_ids, data)


def _torch_segment_prod(data: Any, segment_ids: Any, num_segments: int) -> Any:
    if (data == 0).any():
        raise NotImplementedError  # its second derivative divides by 0
    index = segment_ids.reshape(-1, *[1] * (data.ndim - 1)).expand(data.shape)
    return torch.ones((num_segments, *data.shape[1:])).scatter_reduce(0, index, data, "prod")


def _index(x: Any, index: Any, source: Any, dim: int, alpha: float = 1.0) -> Any:
    return x.index_add(dim, index, source, alpha=alpha)


def _nan_reduce(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda x, axis, keepdims: function(x, axis=axis, keepdims=keepdims)


def _trapezoid(function: Callable[..., Any]) -> Callable[..., Any]:
    def run(y: Any, x: Any = None, dx: Any = None, *, axis: int) -> Any:
        if x is not None:
            return function(y, x, **{"axis" if function is jnp.trapezoid else "dim": axis})
        step = 1.0 if dx is None else dx
        return step * function(y, **{"axis" if function is jnp.trapezoid else "dim": axis})

    return run


def _torch_cumulative(y: Any, x: Any = None, dx: Any = None, initial: Any = None, *, axis: int) -> Any:
    if initial is not None:
        raise NotImplementedError
    running = (
        torch.cumulative_trapezoid(y, x, dim=axis)
        if x is not None
        else torch.cumulative_trapezoid(y, dim=axis)
    )
    return running if dx is None else running * dx


def _jax_gradient(f: Any, spacing: Any = None, *, axis: Any, edge_order: int) -> Any:
    if edge_order == 2 or (spacing is not None and spacing.ndim):
        raise NotImplementedError
    given = () if spacing is None else (spacing,)
    return jnp.gradient(f, *given, axis=0 if axis is None else axis)


def _torch_gradient(f: Any, spacing: Any = None, *, axis: Any, edge_order: int) -> Any:
    if spacing is not None and spacing.requires_grad:
        raise NotImplementedError
    at = 0 if axis is None else axis
    return torch.gradient(f, dim=at, edge_order=edge_order)[0]


def _diff(function: Callable[..., Any]) -> Callable[..., Any]:
    def run(a: Any, prepend: Any = None, append: Any = None, *, n: int, axis: int) -> Any:
        if function is torch.diff:
            if any(v is not None and not v.ndim for v in (prepend, append)):
                raise NotImplementedError
            return torch.diff(a, n, axis, prepend, append)
        return jnp.diff(a, n, axis, prepend, append)

    return run


def _jax_cov(m: Any, y: Any = None, aweights: Any = None, *, rowvar: bool, bias: bool, ddof: Any) -> Any:
    return jnp.cov(m, y, rowvar, bias, None if ddof is None else int(ddof), aweights=aweights)


def _torch_cov(m: Any, y: Any = None, aweights: Any = None, *, rowvar: bool, bias: bool, ddof: Any) -> Any:
    if y is not None or not rowvar:
        raise NotImplementedError
    return torch.cov(m, correction=0 if bias else 1, aweights=aweights)


def _torch_corr(x: Any, y: Any = None, *, rowvar: bool) -> Any:
    if y is not None or not rowvar:
        raise NotImplementedError
    return torch.corrcoef(x)


def _listed(obj: Any) -> Any:
    return np.array(obj)


def _log_sum(log: Callable[..., Any], total: Callable[..., Any]) -> Callable[..., Any]:
    return lambda x, axis, keepdims: log(total(x, axis, keepdims))


def _dims(axis: Any, x: Any) -> tuple[int, ...]:
    return tuple(range(x.ndim)) if axis is None else (axis,) if isinstance(axis, int) else tuple(axis)


def _torch_split(at: Callable[[Any], int]) -> Callable[..., Any]:
    return lambda x, indices_or_sections: torch.tensor_split(x, indices_or_sections, at(x))


PAIRS: Mapping[str, Pair] = {
    "sort": (_jax_sort, _torch_sort(0)),
    "argsort": (_jax_argsort, _torch_sort(1)),
    "top_k": (_jax_top_k, lambda x, k, axis, largest, sorted: tuple(torch.topk(x, k, axis, largest))),
    "kthvalue": (None, lambda x, k, axis, keepdims: tuple(torch.kthvalue(x, k, axis, keepdims))),
    "argmax": (_arg(lambda x, axis, keep: jnp.argmax(x, axis, keepdims=keep)), _arg(torch.argmax)),
    "argmin": (_arg(lambda x, axis, keep: jnp.argmin(x, axis, keepdims=keep)), _arg(torch.argmin)),
    "median": (_nan_reduce(jnp.median), _torch_median(torch.median)),
    "nanmedian": (_nan_reduce(jnp.nanmedian), _torch_median(torch.nanmedian)),
    "quantile": (_quantile(jnp.quantile, 1.0), _quantile(torch.quantile, 1.0)),
    "percentile": (_quantile(jnp.percentile, 0.01), _quantile(torch.quantile, 0.01)),
    "nanquantile": (_quantile(jnp.nanquantile, 1.0), _quantile(torch.nanquantile, 1.0)),
    "nanpercentile": (_quantile(jnp.nanpercentile, 0.01), _quantile(torch.nanquantile, 0.01)),
    "searchsorted": (
        lambda a, v, side, right: jnp.searchsorted(a, v, "right" if right else side),
        lambda a, v, side, right: torch.searchsorted(a, v, right=right or side == "right"),
    ),
    "digitize": (jnp.digitize, None),
    "bincount": (
        lambda x, weights=None, *, minlength, length: jnp.bincount(x, weights, length=minlength),
        lambda x, weights=None, *, minlength, length: torch.bincount(x, weights, minlength),
    ),
    "cumprod": (_jax_running(jax.lax.cumprod), _torch_running(torch.cumprod)),
    "cumulative_logsumexp": (_jax_running(jax.lax.cumlogsumexp), _torch_running(torch.logcumsumexp)),
    "cummax": (_jax_so_far(jax.lax.cummax), _torch_so_far(torch.cummax)),
    "cummin": (_jax_so_far(jax.lax.cummin), _torch_so_far(torch.cummin)),
    "scatter_set": (_jax_scatter("set"), _torch_index("set")),
    "scatter_max": (_jax_scatter("max"), _torch_index("amax")),
    "scatter_min": (_jax_scatter("min"), _torch_index("amin")),
    "setitem": (_jax_items, None),
    "put_along_axis": (_jax_put, _torch_put),
    "scatter": (None, _torch_scatter),
    "gather_elements": (None, lambda data, indices, axis: torch.gather(data, axis, indices)),
    "gather_nd": (_jax_gather_nd, None),
    "scatter_nd": (_jax_nd, None),
    "index_add": (None, _index),
    "index_copy": (None, lambda x, index, source, dim: x.index_copy(dim, index, source)),
    "index_select": (
        lambda x, index, dim: jnp.take(x, index, dim, mode="wrap"),
        lambda x, index, dim: torch.index_select(x, dim, index),
    ),
    "segment_sum": (_segment(jax.ops.segment_sum), _torch_segment),
    "segment_prod": (None, _torch_segment_prod),
    "segment_max": (_segment(jax.ops.segment_max), None),
    "segment_min": (_segment(jax.ops.segment_min), None),
    "masked_fill": (None, lambda x, mask, value: x.masked_fill(mask, value)),
    "fill_diagonal": (lambda a, val, wrap: jnp.fill_diagonal(a, val, wrap, inplace=False), None),
    "choose": (lambda a, *choices, mode: jnp.choose(a, list(choices), mode=mode), None),
    "nansum": (_nan_reduce(jnp.nansum), lambda x, axis, keepdims: torch.nansum(x, axis, keepdims)),
    "nanprod": (_nan_reduce(jnp.nanprod), None),
    "nanmax": (_nan_reduce(jnp.nanmax), None),
    "nanmin": (_nan_reduce(jnp.nanmin), None),
    "nanmean": (_nan_reduce(jnp.nanmean), lambda x, axis, keepdims: torch.nanmean(x, axis, keepdims)),
    "nanvar": (lambda x, axis, ddof, keepdims: jnp.nanvar(x, axis, ddof=int(ddof), keepdims=keepdims), None),
    "nanstd": (lambda x, axis, ddof, keepdims: jnp.nanstd(x, axis, ddof=int(ddof), keepdims=keepdims), None),
    "sum_square": (
        lambda x, axis, keepdims: jnp.sum(x * x, axis, keepdims=keepdims),
        lambda x, axis, keepdims: (x * x).sum(_dims(axis, x), keepdims),
    ),
    "l1_norm": (
        lambda x, axis, keepdims: jnp.sum(jnp.abs(x), axis, keepdims=keepdims),
        lambda x, axis, keepdims: x.abs().sum(_dims(axis, x), keepdims),
    ),
    "log_sum": (
        _log_sum(jnp.log, lambda x, axis, keep: jnp.sum(x, axis, keepdims=keep)),
        _log_sum(torch.log, lambda x, axis, keep: torch.sum(x, _dims(axis, x), keep)),
    ),
    "diff": (_diff(jnp.diff), _diff(torch.diff)),
    "gradient": (_jax_gradient, _torch_gradient),
    "trapezoid": (_trapezoid(jnp.trapezoid), _trapezoid(torch.trapezoid)),
    "cumulative_trapezoid": (None, _torch_cumulative),
    "unwrap": (lambda p, discont, axis, period: jnp.unwrap(p, discont, axis, period), None),
    "interp": (
        lambda x, xp, fp, left=None, right=None, *, period: jnp.interp(x, xp, fp, left, right, period),
        None,
    ),
    "polyval": (lambda p, x: jnp.polyval(p, x), None),
    "convolve": (lambda a, v, mode: jnp.convolve(a, v, mode), None),
    "correlate": (lambda a, v, mode: jnp.correlate(a, v, mode), None),
    "cov": (_jax_cov, _torch_cov),
    "corrcoef": (lambda x, y=None, *, rowvar: jnp.corrcoef(x, y, rowvar), _torch_corr),
    "delete": (lambda x, obj, axis: jnp.delete(x, _listed(obj), axis), None),
    "insert": (lambda x, values, obj, axis: jnp.insert(x, _listed(obj), values, axis), None),
    "append": (lambda x, values, axis: jnp.append(x, values, axis), None),
    "resize": (lambda x, new_shape: jnp.resize(x, new_shape), None),
    "vsplit": (lambda x, indices_or_sections: jnp.vsplit(x, indices_or_sections), _torch_split(lambda x: 0)),
    "hsplit": (
        lambda x, indices_or_sections: jnp.hsplit(x, indices_or_sections),
        _torch_split(lambda x: min(x.ndim - 1, 1)),
    ),
    "dsplit": (lambda x, indices_or_sections: jnp.dsplit(x, indices_or_sections), _torch_split(lambda x: 2)),
    "chunk": (None, lambda x, chunks, dim: torch.chunk(x, chunks, dim)),
    "narrow": (None, lambda x, dim, start, length: torch.narrow(x, dim, start, length)),
    "flatten": (None, lambda x, start_dim, end_dim: torch.flatten(x, start_dim, end_dim)),
    "unflatten": (None, lambda x, dim, sizes: torch.unflatten(x, dim, sizes)),
    "atleast_3d": (jnp.atleast_3d, torch.atleast_3d),
    "logspace": (
        lambda start, stop, base=None, *, num, endpoint: jnp.logspace(
            start, stop, int(num), endpoint, 10.0 if base is None else base
        ),
        None,
    ),
    "geomspace": (lambda start, stop, num, endpoint: jnp.geomspace(start, stop, int(num), endpoint), None),
    "indices": (lambda dimensions: jnp.indices(dimensions), None),
    "tril_indices": (
        lambda n, k, m: jnp.tril_indices(n, k, m),
        lambda n, k, m: tuple(torch.tril_indices(n, n if m is None else m, k)),
    ),
    "triu_indices": (
        lambda n, k, m: jnp.triu_indices(n, k, m),
        lambda n, k, m: tuple(torch.triu_indices(n, n if m is None else m, k)),
    ),
}

NEITHER = {"flatten_to_2d", "simpson"}
"""ONNX's and SciPy's alone."""
