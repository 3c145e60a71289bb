"""References of running and NaN-aware reductions, calculus on samples, statistics, and arrays from nothing."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.integrate

from tests.engine.conformance import Reference


def _running(step: Any, neutral: float) -> Any:
    """Entry by entry along an axis."""

    def value(x: Any, axis: Any, exclusive: bool, reverse: bool) -> Any:
        if axis is None or np.ndim(x) == 0:
            x, axis = np.ravel(x), 0
        rows = np.moveaxis(x, axis, 0)
        state = np.full(rows.shape[1:], neutral, np.result_type(x, float) if x.dtype.kind != "i" else x.dtype)
        y = np.empty(rows.shape, state.dtype)
        for i in range(len(rows))[:: -1 if reverse else 1]:
            after = step(state, rows[i])
            y[i] = state if exclusive else after
            state = after
        return np.moveaxis(y, 0, axis)

    return value


def _logaddexp(a: Any, b: Any) -> Any:
    if not np.iscomplexobj(a) and not np.iscomplexobj(b):
        return np.logaddexp(a, b)
    top = np.maximum(np.real(a), np.real(b))
    top = np.where(np.isfinite(top), top, 0.0)
    return top + np.log(np.exp(a - top) + np.exp(b - top))


def _so_far(better: Any) -> Any:
    def value(x: Any, axis: int, reverse: bool) -> Any:
        rows = np.moveaxis(x, axis, 0)
        values, indices = np.array(rows), np.zeros(rows.shape, np.int64)
        for column in np.ndindex(*rows.shape[1:]):
            best = None
            for i in range(len(rows))[:: -1 if reverse else 1]:
                new = rows[(i, *column)]
                if (
                    best is None
                    or np.isnan(new)
                    or (not np.isnan(rows[(best, *column)]) and better(new, rows[(best, *column)]))
                ):
                    best = i
                values[(i, *column)], indices[(i, *column)] = rows[(best, *column)], best
        return np.moveaxis(values, 0, axis), np.moveaxis(indices, 0, axis)

    return value  # fmt: skip


def _nan(function: Any) -> Reference:
    return Reference(lambda x, axis, keepdims: function(x, axis=axis, keepdims=keepdims))


def _nan_spread(function: Any) -> Reference:
    return Reference(lambda x, axis, ddof, keepdims: function(x, axis=axis, ddof=ddof, keepdims=keepdims))


def _nanstd(x: Any, axis: Any, ddof: float, keepdims: bool) -> Any:
    if x.ndim == 1 and np.nanmax(x) == np.nanmin(x):
        return np.float64(0.0)  # NumPy's mean of equal numbers is rounded
    return np.nanstd(x, axis=axis, ddof=ddof, keepdims=keepdims)


def _diff(a: Any, prepend: Any = None, append: Any = None, *, n: int, axis: int) -> Any:
    parts = [
        np.broadcast_to(v, np.take(a, [0], axis).shape) if np.ndim(v) == 0 else v
        for v in (prepend, a, append)
        if v is not None
    ]
    return np.diff(np.concatenate(parts, axis), n, axis)


def _gradient(f: Any, spacing: Any = None, *, axis: Any, edge_order: int) -> Any:
    given = () if spacing is None else (spacing,)
    if np.iscomplexobj(spacing):
        raise TypeError
    return np.gradient(f, *given, axis=0 if axis is None else axis, edge_order=edge_order)


def _integral(function: Any) -> Any:
    def value(y: Any, x: Any = None, dx: Any = None, *, axis: int) -> Any:
        if np.iscomplexobj(x) or np.iscomplexobj(dx):
            raise TypeError
        return function(y, x, dx=1.0 if dx is None else float(dx), axis=axis)

    return value


def _cumulative(y: Any, x: Any = None, dx: Any = None, initial: Any = None, *, axis: int) -> Any:
    if np.iscomplexobj(x) or np.iscomplexobj(dx):
        raise TypeError
    step = 1.0 if dx is None else float(dx)
    running = scipy.integrate.cumulative_trapezoid(y, x, dx=step, axis=axis)
    if initial is None:
        return running
    return np.concatenate([np.broadcast_to(initial, np.take(y, [0], axis).shape), running], axis)


def _interp(x: Any, xp: Any, fp: Any, left: Any = None, right: Any = None, *, period: Any) -> Any:
    if np.iscomplexobj(x) or np.iscomplexobj(xp):
        raise TypeError
    return np.interp(x, xp, fp, left, right, period)


def _cov(m: Any, y: Any = None, aweights: Any = None, *, rowvar: bool, bias: bool, ddof: Any) -> Any:
    def rows(v: Any) -> Any:
        v = np.atleast_2d(v)
        return v if rowvar or len(v) == 1 else v.T

    data = rows(m) if y is None else np.vstack([rows(m), rows(y)])
    n = data.shape[1]
    freedom = (0 if bias else 1) if ddof is None else ddof
    w = np.ones(n) if aweights is None else aweights
    centred = data - (data @ w / w.sum())[:, None]
    divisor = w.sum() - freedom * (w @ w / w.sum() if aweights is not None else 1)
    with np.errstate(all="ignore"):
        return ((centred * w) @ centred.T / (divisor if np.real(divisor) > 0 else np.nan)).squeeze()


def _corrcoef(x: Any, y: Any = None, *, rowvar: bool) -> Any:
    c = _cov(x, y, rowvar=rowvar, bias=True, ddof=None)
    d = np.sqrt(np.diag(c))
    return c / np.outer(d, d)


def _geomspace(start: Any, stop: Any, num: float, endpoint: bool) -> Any:
    n = int(num)
    count = n - 1 if endpoint else n
    i = np.arange(n).reshape(n, *[1] * np.ndim(np.add(start, stop)))
    return start * (stop / start) ** (i / max(count, 1))


TABLE: dict[str, Reference] = {
    "cumprod": Reference(_running(np.multiply, 1)),
    "cumulative_logsumexp": Reference(_running(_logaddexp, -np.inf)),
    "cummax": Reference(_so_far(lambda new, old: new >= old)),
    "cummin": Reference(_so_far(lambda new, old: new <= old)),
    "nansum": _nan(np.nansum),
    "nanprod": _nan(np.nanprod),
    "nanmax": _nan(np.nanmax),
    "nanmin": _nan(np.nanmin),
    "nanmean": _nan(np.nanmean),
    "nanvar": _nan_spread(np.nanvar),
    "nanstd": Reference(_nanstd),
    "diff": Reference(_diff),
    "gradient": Reference(_gradient),
    "trapezoid": Reference(_integral(np.trapezoid)),
    "cumulative_trapezoid": Reference(_cumulative),
    "simpson": Reference(_integral(scipy.integrate.simpson)),
    "unwrap": Reference(lambda p, discont, axis, period: np.unwrap(p, discont, axis, period=period)),
    "interp": Reference(_interp),
    "polyval": Reference(lambda p, x: np.polyval(p, x)),
    "convolve": Reference(lambda a, v, mode: np.convolve(a, v, mode)),
    "correlate": Reference(lambda a, v, mode: np.correlate(a, np.conj(v), mode)),
    "cov": Reference(_cov),
    "corrcoef": Reference(_corrcoef),
    "sum_square": Reference(lambda x, axis, keepdims: np.sum(x * x, axis=axis, keepdims=keepdims)),
    "l1_norm": Reference(lambda x, axis, keepdims: np.sum(np.abs(x), axis=axis, keepdims=keepdims)),
    "log_sum": Reference(lambda x, axis, keepdims: np.log(np.sum(x, axis=axis, keepdims=keepdims))),
    "logspace": Reference(
        lambda start, stop, base=None, *, num, endpoint: np.power(
            10.0 if base is None else base, np.linspace(start, stop, int(num), endpoint)
        )
    ),
    "geomspace": Reference(_geomspace),
    "indices": Reference(lambda dimensions: np.indices(dimensions)),
    "tril_indices": Reference(lambda n, k, m: np.tril_indices(n, k, m)),
    "triu_indices": Reference(lambda n, k, m: np.triu_indices(n, k, m)),
}
