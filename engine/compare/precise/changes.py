"""What changes when few entries of an input do: entries are told apart by identity, and only what depends on them is computed.

Results that are sums change by the sum of what changed; with so many digits nothing is lost by that.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from engine.aval import Array
from engine.compare.precise.numbers import Arithmetic

_OTHER = np.frompyfunc(operator.is_not, 2, 1)


class Before(NamedTuple):
    """Operands and result of a node at the first point."""

    operands: Sequence[Any]
    result: Any


def changed(new: Any, old: Any) -> Array | None:
    """Which entries of a value are others than before; None for none at all."""
    if new is old:
        return None
    a, b = np.asarray(new), np.asarray(old)
    mask = np.asarray(_OTHER(a, b), bool) if a.dtype == object else np.asarray(a != b)
    return mask if mask.any() else None


def any_changed(operands: Sequence[Any], before: Before, shape: tuple[int, ...]) -> Array:
    """Which entries of an elementwise result depend on changed ones."""
    mask = np.zeros(shape, bool)
    for new, old in zip(operands, before.operands, strict=True):
        found = changed(new, old)
        if found is not None:
            mask = mask | np.broadcast_to(found, shape)
    return mask


def _sum(ar: Arithmetic, params: Mapping[str, Any], before: Before, x: Array) -> Any:
    """The sums that have changed entries, with these exchanged."""
    (old,) = before.operands
    mask = changed(x, old)
    if mask is None:
        return before.result
    result = np.array(before.result, object)
    flat = result.reshape(-1)
    axes = {a % x.ndim for a in params["axes"]}
    kept = [a for a in range(x.ndim) if a not in axes]
    shape = [x.shape[a] for a in kept]
    places = np.argwhere(mask)
    ar.charge(3.0 * len(places) + 0.1 * x.size)
    for at in map(tuple, places.tolist()):
        to = int(np.ravel_multi_index([at[a] for a in kept], shape)) if kept else 0
        flat[to] = flat[to] + (x[at] - np.asarray(old)[at])
    return result


def _matmul(ar: Arithmetic, params: Mapping[str, Any], before: Before, x: Array, y: Array) -> Any:
    """The rows and columns that change, by what changes in the products; matrices alone, no stacks."""
    if x.ndim != 2 or y.ndim != 2:
        return None
    left, right = changed(x, before.operands[0]), changed(y, before.operands[1])
    if left is None and right is None:
        return before.result
    rows = np.ones(x.shape[0], bool) if right is not None else left.any(axis=1)  # type: ignore[union-attr]  # one changed
    columns = np.ones(y.shape[1], bool) if left is not None else right.any(axis=0)  # type: ignore[union-attr]
    inner = np.zeros(x.shape[1], bool)
    inner |= False if left is None else left.any(axis=0)
    inner |= False if right is None else right.any(axis=1)
    a, b = np.asarray(before.operands[0]), np.asarray(before.operands[1])
    ar.charge(5.0 * rows.sum() * columns.sum() * inner.sum() + 0.1 * (x.size + y.size))
    result = np.array(before.result, object)
    here = np.ix_(rows, columns)
    result[here] = result[here] + (
        np.matmul(x[np.ix_(rows, inner)], y[np.ix_(inner, columns)])
        - np.matmul(a[np.ix_(rows, inner)], b[np.ix_(inner, columns)])
    )
    return result


DELTAS: dict[str, Callable[..., Any]] = {"sum": _sum, "matmul": _matmul, "strong_matmul": _matmul}
"""Ops whose result is brought up to date: `fn(arithmetic, params, before, *operands)`; None where that is not done."""
