"""Reductions, indexing and rearrangement of arrays of mpmath's numbers, by op name: `fn(arithmetic, op, params, *arrays)`.

What an op does to arrays without computing with numbers (indexing, joining, sums) NumPy does to numbers of any kind.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cmp_to_key
from math import prod
from typing import Any

import numpy as np

from engine.aval import Array
from engine.compare.precise.functions import ELEMENTARY
from engine.compare.precise.functions import _exp as exponential
from engine.compare.precise.functions import _power as power
from engine.compare.precise.numbers import Arithmetic
from engine.op import Op, registry

Handler = Callable[..., Any]
Params = Mapping[str, Any]


def _as_numpy(ar: Arithmetic, op: Op, params: Params, *arrays: Any) -> Any:
    """The op's own NumPy code, which works on objects too; the zeros that it makes are integers."""
    return ar.exact(op.evaluate(*arrays, **params))


def _moved(ar: Arithmetic, op: Op, params: Params, *arrays: Any) -> Any:
    """Entries in other places: the op applied to their positions."""
    starts = np.cumsum([0, *[a.size for a in arrays]]).tolist()
    places = [
        np.arange(start, start + a.size).reshape(a.shape) for start, a in zip(starts, arrays, strict=False)
    ]
    entries = np.concatenate([a.reshape(-1) for a in arrays])
    return entries[np.asarray(op.evaluate(*places, **params))]


def _rows(x: Array, axes: tuple[int, ...]) -> tuple[Array, tuple[int, ...]]:
    """The axes joined into a last one, and the shape of the others."""
    own = sorted(a % x.ndim for a in axes)
    kept = [a for a in range(x.ndim) if a not in own]
    shape = tuple(x.shape[a] for a in kept)
    return x.transpose([*kept, *own]).reshape((*shape, prod(x.shape[a] for a in own))), shape


def _reduced(ar: Arithmetic, x: Array, axes: tuple[int, ...], fn: Callable[[list[Any]], Any]) -> Array:
    """fn of the entries along axes (in the order of the array)."""
    rows, shape = _rows(np.asarray(x), axes)
    found = []
    for row in rows.reshape(prod(shape), rows.shape[-1]):
        ar.meter.check()
        found.append(fn(row.tolist()))
    out = np.empty(len(found), object)
    out[:] = found
    return out.reshape(shape)


def _along(ar: Arithmetic, x: Array, axis: int, reverse: bool, fn: Callable[[list[Any]], list[Any]]) -> Array:
    """fn of each row along one axis, of the same length."""
    moved = np.moveaxis(np.asarray(x), axis, -1)
    moved = moved[..., ::-1] if reverse else moved
    out = np.empty(moved.shape, object)
    for at in np.ndindex(*moved.shape[:-1]):
        ar.meter.check()
        out[at] = fn(moved[at].tolist())
    out = out[..., ::-1] if reverse else out
    return np.moveaxis(out, -1, axis)


def _sum(ar: Arithmetic, op: Op, params: Params, x: Array) -> Any:
    ar.charge(1.2 * x.size)
    return ar.exact(np.sum(x, axis=params["axes"]))


def _matmul(ar: Arithmetic, op: Op, params: Params, x: Array, y: Array) -> Any:
    inner = x.shape[-1]
    lead = np.broadcast_shapes(x.shape[:-2], y.shape[:-2])
    shape = (*lead, x.shape[-2], y.shape[-1])
    ar.charge(1.3 * inner * prod(shape))
    if not inner or not prod(shape):
        return ar.exact(np.zeros(shape))
    return ar.exact(np.matmul(x, y))


def _extreme(sign: int, skip: bool) -> Handler:
    """Largest (1) or smallest entry; NaN where there is one, unless it is skipped."""

    def handler(ar: Arithmetic, op: Op, params: Params, x: Array) -> Any:
        c = ar.c

        def of(row: list[Any]) -> Any:
            numbers = [v for v in row if not c.isnan(v)]
            if len(numbers) < len(row) and not (skip and numbers):
                return c.nan
            return (max if sign > 0 else min)(numbers)

        return _reduced(ar, x, params["axes"], of)

    return handler


def _max_where(ar: Arithmetic, op: Op, params: Params, x: Array, mask: Array) -> Any:
    least = np.where(np.broadcast_to(mask, x.shape), x, ar.exact(-np.inf))
    return _extreme(1, False)(ar, op, params, least)


def _top_level(ar: Arithmetic, op: Op, params: Params, x: Array, weight: Array) -> Any:
    c = ar.c
    shown = np.where(np.broadcast_to(np.asarray(weight), x.shape) == 0, ar.exact(-np.inf), x)

    def top(row: list[Any]) -> Any:
        found = max(row, default=-c.inf)
        return found if c.isfinite(found) else c.zero

    return _reduced(ar, shown, params["axes"], top)


def _norm(ar: Arithmetic, op: Op, params: Params, x: Array) -> Any:
    c, p = ar.c, float(params.get("ord", 2.0))
    ar.charge(10 * x.size)

    def of(row: list[Any]) -> Any:
        if p == 2:
            return c.sqrt(sum((v * v for v in row), c.zero))
        if p == 1:
            return sum((abs(v) for v in row), c.zero)
        if p < 0 and any(v == 0 for v in row):
            return c.zero
        total = sum((power(c, abs(v), c.mpf(p)) for v in row), c.zero)
        return power(c, total, 1 / c.mpf(p))

    return _reduced(ar, x, params["axes"], of)


def _log_sum(c: Any, row: list[Any]) -> Any:
    if any(c.isnan(v) for v in row):
        return c.nan
    top = max(row, default=-c.inf)
    if not c.isfinite(top):
        return top
    return top + c.log(sum((exponential(c, v - top) for v in row), c.zero))


def _logsumexp(ar: Arithmetic, op: Op, params: Params, x: Array) -> Any:
    ar.charge(10 * x.size)
    return _reduced(ar, x, params["axes"], lambda row: _log_sum(ar.c, row))


def _softmax(logarithm: bool) -> Handler:
    def handler(ar: Arithmetic, op: Op, params: Params, x: Array) -> Any:
        c, axes = ar.c, params["axes"]
        ar.charge(20 * x.size)

        def of(row: list[Any]) -> list[Any]:
            total = _log_sum(c, row)
            if total == -c.inf:
                return [total if logarithm else c.zero] * len(row)
            if total == c.inf:
                many = sum(v == c.inf for v in row)
                if op.name != "exp_shares":
                    return [c.nan] * len(row)
                return [c.one / many if v == c.inf else c.zero for v in row]
            shifted = [v - total for v in row]
            return shifted if logarithm else [exponential(c, v) for v in shifted]

        own = sorted(a % x.ndim for a in axes)
        rows, shape = _rows(x, axes)
        out = np.empty(rows.shape, object)
        for at in np.ndindex(*shape):
            ar.meter.check()
            out[at] = of(rows[at].tolist())
        kept = [a for a in range(x.ndim) if a not in own]
        whole = out.reshape((*shape, *(x.shape[a] for a in own)))
        return whole.transpose(np.argsort([*kept, *own]))

    return handler


def _cumulative_log(ar: Arithmetic, op: Op, params: Params, x: Array) -> Any:
    c = ar.c
    ar.charge(20 * x.size)

    def of(row: list[Any]) -> list[Any]:
        total, found = -c.inf, []
        for v in row:
            total = ELEMENTARY["logaddexp"](c, total, v)
            found.append(total)
        return found

    return _along(ar, x, params["axis"], params["reverse"], of)


def _recurrence(ar: Arithmetic, op: Op, params: Params, a: Array, b: Array) -> Any:
    axis, c = params["axis"], ar.c
    ar.charge(3 * a.size)
    factors, terms = (np.moveaxis(v, axis, -1) for v in (a, b))
    if params["reverse"]:
        factors, terms = factors[..., ::-1], terms[..., ::-1]
    out = np.empty(terms.shape, object)
    for at in np.ndindex(*terms.shape[:-1]):
        state = c.zero
        for k in range(terms.shape[-1]):
            state = (c.zero if state == 0 else state * factors[(*at, k)]) + terms[(*at, k)]
            out[(*at, k)] = state
    return np.moveaxis(out[..., ::-1] if params["reverse"] else out, -1, axis)


def _power_table(ar: Arithmetic, op: Op, params: Params, x: Array) -> Any:
    n = params["n"]
    ar.charge(3.0 * n * x.size)
    out = np.empty((*x.shape[:-1], n), object)
    for at in np.ndindex(*x.shape[:-1]):
        value = ar.one
        for k in range(n):
            out[(*at, n - 1 - k if params["reverse"] else k)] = value
            value = value * x[(*at, 0)]
    return out


# ------------------------------------------------------------------------------------------------------------ order


def _compare(c: Any, x: Any, y: Any) -> int:
    """Ascending, NaN last."""
    if c.isnan(x) or c.isnan(y):
        return int(c.isnan(x)) - int(c.isnan(y))
    return int(x > y) - int(x < y)


def _argsort(ar: Arithmetic, op: Op, params: Params, x: Array) -> Any:
    key = cmp_to_key(lambda a, b: _compare(ar.c, a, b))
    ar.charge(10 * x.size)

    def of(row: list[Any]) -> list[Any]:
        return sorted(range(len(row)), key=lambda k: key(row[k]), reverse=bool(params["descending"]))

    return _along(ar, x, params["axis"], False, of).astype(np.int64)


def _arg_extreme(sign: int) -> Handler:
    def handler(ar: Arithmetic, op: Op, params: Params, x: Array) -> Any:
        c = ar.c

        def of(row: list[Any]) -> int:
            order = [len(row) - 1 - k for k in range(len(row))] if params["last"] else list(range(len(row)))
            for k in order:
                if c.isnan(row[k]):
                    return k
            best = order[0]
            for k in order[1:]:
                if sign * _compare(c, row[k], row[best]) > 0:
                    best = k
            return best

        return _reduced(ar, x, (params["axis"],), of).astype(np.int64)

    return handler


def _as_doubles(ar: Arithmetic, op: Op, params: Params, *arrays: Any) -> Any:
    """What is found out of the nearest doubles: places and exponents."""
    return op.evaluate(*[ar.rounded(a) for a in arrays], **params)


def _scatter_extreme(sign: int) -> Handler:
    def handler(ar: Arithmetic, op: Op, params: Params, x: Array, indices: Array, updates: Array) -> Any:
        # A scatter writes where a gather with the same indices reads.
        numbers = np.arange(x.size).reshape(x.shape)
        places = np.asarray(registry.core("gather").evaluate(numbers, indices, **params)).reshape(-1)
        flat, given = x.reshape(-1).copy(), updates.reshape(-1)
        c = ar.c
        for to, value in zip(places.tolist(), given, strict=True):
            old = flat[to]
            if c.isnan(value) or (not c.isnan(old) and sign * _compare(c, value, old) > 0):
                flat[to] = value
        return flat.reshape(x.shape)

    return handler


ARRAYS: dict[str, Handler] = {
    **dict.fromkeys(("broadcast_to", "reshape", "permute_dims", "slice", "concat", "windows"), _moved),
    **dict.fromkeys(
        ("embed", "gather", "scatter_add", "scatter_set", "overlap_add", "cumsum", "cumprod"), _as_numpy
    ),
    **dict.fromkeys(("full_convolution", "valid_correlation"), _as_numpy),
    **dict.fromkeys(("searchsorted", "cum_argextreme", "binary_exponent"), _as_doubles),
    "scatter_max": _scatter_extreme(1),
    "scatter_min": _scatter_extreme(-1),
    "sum": _sum,
    "matmul": _matmul,
    "strong_matmul": _matmul,
    "max": _extreme(1, False),
    "min": _extreme(-1, False),
    "nanmax": _extreme(1, True),
    "nanmin": _extreme(-1, True),
    "max_where": _max_where,
    "top_level": _top_level,
    "vector_norm": _norm,
    "logsumexp": _logsumexp,
    "softmax": _softmax(False),
    "exp_shares": _softmax(False),
    "log_softmax": _softmax(True),
    "cumulative_logsumexp": _cumulative_log,
    "linear_recurrence": _recurrence,
    "power_table": _power_table,
    "argsort": _argsort,
    "argmax": _arg_extreme(1),
    "argmin": _arg_extreme(-1),
}
