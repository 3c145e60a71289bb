"""Ops of which only the axes are known that they work on, and the rules by name of those that need one of their own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import numpy as np
import scipy.sparse as sp

from engine.aval import Array, Aval, Shape, kept_axes, without_axes
from engine.sparsity.call import Call, leading, named_axes
from engine.sparsity.linear import UNDECIDED, gathers, moves
from engine.sparsity.pattern import Pattern, anything, combined, grouped, union


def mixed(call: Call, live: Sequence[int], aval: Aval) -> Pattern | None:
    """Dense along the axes that the op works on, the others kept apart."""
    context = call.context
    if not aval.size:
        return None
    axes = named_axes(call)
    if axes is not None and not call.op.subgraphs:
        shape = call.avals[live[0]].shape
        if all(call.avals[k].shape == shape for k in live) and -min(axes) <= len(shape):
            kept = kept_axes(shape, axes)
            if aval.shape in (without_axes(shape, axes), kept):
                return _along(call, live, axes, kept, aval.shape)
            if len(aval.shape) == len(shape) and kept_axes(aval.shape, axes) == kept:
                return _along(call, live, axes, kept, kept, aval.shape)
    batch, _ = leading(call, aval)
    parts = []
    lead = aval.shape[:batch]
    for k in live:
        p, shape = call.patterns[k], call.avals[k].shape
        assert p is not None
        if not batch:
            part = anything([p], aval.shape)
        else:
            members = np.arange(prod(lead)).reshape(*lead, *[1] * (len(shape) - batch))
            part = grouped(p, np.broadcast_to(members, shape), lead, context.most)
            if part is not None:
                part = part.reshape((*lead, *[1] * (len(aval.shape) - batch))).spread(aval.shape)
        if part is not None:
            parts.append(part)
    return union(parts, context.most) if parts else None


def reduced(p: Pattern, axes: Sequence[int], most: int) -> Pattern | None:
    """The union over axes (counted from the end), which stay with size 1."""
    kept = kept_axes(p.shape, tuple(axes))
    if kept == p.shape:
        return p
    targets = np.broadcast_to(np.arange(prod(kept)).reshape(kept), p.shape)
    return grouped(p, targets, kept, most)


def _along(
    call: Call, live: Sequence[int], axes: Sequence[int], kept: Shape, shape: Shape, wide: Shape | None = None
) -> Pattern | None:
    parts = []
    for k in live:
        p = call.patterns[k]
        assert p is not None
        part = reduced(p, axes, call.context.most)
        if part is not None:
            part = part.reshape(shape)
            parts.append(part if wide is None else part.spread(wide))
    return union(parts, call.context.most) if parts else None


def _matmul(call: Call, live: Sequence[int]) -> Pattern | None:
    """[…, m, k] @ […, k, n]: entry (i, j) depends on row i of the one and column j of the other.

    Exact zeros of a factor that is a constant of the program are structural; those of an input are not.
    """
    context, aval = call.context, call.results[0]
    parts = []
    for k in live:
        p = call.patterns[k]
        assert p is not None
        other = call.values.constant(call.node.inputs[1 - k]) if call.patterns[1 - k] is None else None
        if other is not None and not np.all(other):
            part = _by_constant(p, np.asarray(other), k, aval.shape, context.most)
        else:
            part = reduced(p, (-1,) if k == 0 else (-2,), context.most)
            part = part if part is None else part.spread(aval.shape)
        if part is not None:
            parts.append(part)
    return union(parts, context.most) if parts else None


def _by_constant(p: Pattern, other: Array, k: int, shape: Shape, most: int) -> Pattern | None:
    """A product with a constant: row (i, j) of its matrix names the entries that meet a nonzero of the constant."""
    m, n = shape[-2:]
    at = np.argwhere(other != 0)
    member = (
        np.ravel_multi_index(tuple(at[:, :-2].T), other.shape[:-2])
        if other.ndim > 2
        else np.zeros(len(at), int)
    )
    if k == 0:  # p is […, m, q], the constant […, q, n]
        q, times, fixed = other.shape[-2], m, at[:, -1]
        inner = at[:, -2]
        free = np.arange(m)
        rows = (member[:, None] * m + free) * n + fixed[:, None]
        columns = (member[:, None] * m + free) * q + inner[:, None]
    else:  # p is […, q, n], the constant […, m, q]
        q, times, fixed = other.shape[-1], n, at[:, -2]
        inner = at[:, -1]
        free = np.arange(n)
        rows = (member[:, None] * m + fixed[:, None]) * n + free
        columns = (member[:, None] * q + inner[:, None]) * n + free
    count = len(at) * times
    matrix = sp.csr_array(
        (np.ones(count, bool), (rows.reshape(-1), columns.reshape(-1))), shape=(prod(shape), p.ids.size)
    )
    return combined(matrix, p, shape, most)


def _gather(call: Call, live: Sequence[int]) -> Pattern | None:
    """Indices that are known say which entry is read; others may read any along the axis."""
    aval, params = call.results[0], call.params
    if call.known(1) is not None:
        found = moves(call, [0], [0], {1: call.known(1)}, aval)
        assert found is not UNDECIDED
        return found  # type: ignore[no-any-return]  # a pattern, or None
    (x, indices), axis, batch = call.avals, params["axis"], params["batch_dims"]
    p = reduced(call.patterns[0], (axis,), call.context.most)  # type: ignore[arg-type]  # it is live
    if p is None:
        return None
    at = len(x.shape) + axis
    core = (*x.shape[:at], *[1] * (len(indices.shape) - batch), *x.shape[at + 1 :])
    return p.reshape(core).spread(aval.shape)


def _scatter_add(call: Call, live: Sequence[int]) -> Pattern | None:
    """Where the updates go is known if the indices are; else they may go anywhere along the axis."""
    aval, params, most = call.results[0], call.params, call.context.most
    parts = [p for p in call.patterns[:1] if p is not None]
    if 2 in live:
        indices = call.known(1)
        updates = call.patterns[2]
        assert updates is not None
        part: Any
        if indices is not None:
            part = gathers(call, [0, 2], [2], {1: indices}, aval)
            assert part is not UNDECIDED
        else:
            at, batch = len(aval.shape) + params["axis"], params["batch_dims"]
            count = len(call.avals[1].shape) - batch
            axes = tuple(range(at - len(updates.shape), at - len(updates.shape) + count))
            part = reduced(updates, axes, most)
            if part is not None:
                core = (*aval.shape[:at], 1, *aval.shape[at + 1 :])
                part = part.reshape(core).spread(aval.shape)
        if part is not None:
            parts.append(part)
    return union(parts, most) if parts else None


RULES: dict[str, Callable[[Call, Sequence[int]], Pattern | None]] = {
    "matmul": _matmul,
    "gather": _gather,
    "scatter_add": _scatter_add,
}
"""What cannot be seen from the outside, by op."""
