"""Terms of Jacobians laid into zeros: diagonals, products with the identity, or entry by entry."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import numpy as np

from engine.attrs import IndexArray, Slice
from engine.aval import Array, Shape
from engine.graph import Node, single
from engine.symbolic.expressions import Expr
from engine.symbolic.layout import aligned, getitem, parted, permuted, reshaped, times
from engine.symbolic.read import Reader


def part_of(reader: Reader, e: Expr, start: int, stop: int) -> Expr:
    """A piece of a vector; of a padded one what was padded, where that is the piece."""
    n = e.shape[0]
    if e.kind == "call" and e.op == "pad" and e.operands[0] is not None:
        ((before, after),) = dict(e.data)["pad_width"]
        if (before, n - after) == (start, stop):
            return e.operands[0]
    if (start, stop) == (0, n):
        return e
    return getitem(reader, e, (Slice(start or None, stop if stop < n else None, None),), (stop - start,))


def place(reader: Reader, node: Node) -> Expr:
    """Terms of a Jacobian laid into zeros: diagonals, products with deltas, or entry by entry."""
    alg = reader.alg
    params = dict(node.params)
    shape: Shape = single(node.aval).shape
    operands = list(node.inputs)
    parts: list[tuple[float, Expr]] = []
    if params["base"]:
        parts.append((1.0, reader.of(operands.pop(0))))
    for j, constant in zip(operands, params["targets"], strict=True):
        targets: Array = constant.value
        inside = reader.graph.nodes[j]
        while inside.op.name == node.op.name and not dict(inside.params)["base"] and len(inside.inputs) == 1:
            # Laid into zeros twice.
            given = dict(inside.params)
            first: Array = given["targets"][0].value
            if (
                len(given["shape"]) != len(single(inside.aval).shape)
                or single(inside.aval).shape != targets.shape
            ):
                break
            targets = np.where(first >= 0, targets.reshape(-1)[first], -1)
            (j,) = inside.inputs
            inside = reader.graph.nodes[j]
        e = reader.of(j)
        scalars, c, inner = parted(reader, e)
        if inner.shape == () and inner is not alg.one:
            scalars, inner = [*scalars, (1.0, inner)], alg.one
        own = reader.aval(j).shape
        if own != targets.shape:
            # Leading axes of a map: each member is laid into zeros of its own.
            lead, size = own[: len(own) - targets.ndim], prod(params["shape"])
            members = np.arange(prod(lead)).reshape((*lead, *[1] * targets.ndim)) * size
            targets = np.broadcast_to(np.where(targets >= 0, members + targets, -1), own)
        found = _delta(reader, inner, targets, shape)
        if found is None:
            m = targets.size
            if prod(shape) == m * m and np.array_equal(targets.reshape(-1), np.arange(m) * (m + 1)):
                # A diagonal matrix in another shape.
                entries = (
                    inner
                    if inner is alg.one
                    else reshaped(reader, aligned(reader, inner, targets.shape), (m,))
                )
                found = reshaped(reader, _diagonal(reader, entries, (m, m)), shape)
            else:
                found = _scattered(reader, aligned(reader, inner, targets.shape), targets, shape)
        parts.append((1.0, times(reader, scalars, c, found)))
    return alg.sum(parts)


def _delta(reader: Reader, e: Expr, targets: Array, shape: Shape) -> Expr | None:
    """A term whose entries lie where some axes of the result have equal indices: diag, eye, products with eye."""
    alg = reader.alg
    if targets.size == 0 or (targets < 0).any():
        return None
    sizes = targets.shape
    n = prod(shape)
    # Where entry (i, j, …) goes is Σ stride·index, or there is no such form.
    strides = []
    base = int(targets.flat[0])
    for d, size in enumerate(sizes):
        at = [0] * len(sizes)
        if size > 1:
            at[d] = 1
            strides.append(int(targets[tuple(at)]) - base)
        else:
            strides.append(0)
    grid = base + sum(
        (
            s * np.arange(m).reshape([-1 if k == d else 1 for k in range(len(sizes))])
            for d, (s, m) in enumerate(zip(strides, sizes, strict=True))
        ),
        np.zeros(sizes, np.int64),
    )
    if not np.array_equal(grid, targets):
        return None
    square = len(shape) == 2 and shape[0] == shape[1] and sizes == shape[:1]
    if square and base == 0 and strides[0] == shape[0] + 1:
        return _diagonal(reader, e, shape)
    own = [prod(shape[k + 1 :]) for k in range(len(shape))]
    if base != 0:
        return None
    # Which axes of the result go with each axis of the term.
    free = [k for k in range(len(shape)) if shape[k] > 1]
    groups: list[list[int]] = []
    for s, m in zip(strides, sizes, strict=True):
        if m == 1:
            groups.append([])
            continue
        group = _subset([k for k in free if shape[k] == m], own, s)
        if group is None:
            return None
        groups.append(group)
        free = [k for k in free if k not in group]
    if free or n == 0:
        return None
    factors: list[tuple[float, Expr]] = []
    order: list[int] = []
    for d, group in enumerate(groups):
        if not group:
            continue
        order.append(d)
        for other in group[1:]:
            pair = sorted((group[0], other))
            unit = alg.call("eye", (), (sizes[d], sizes[d]), None, (("n", sizes[d]),))
            factors.append((1.0, _spread(reader, unit, pair, shape)))
    if e is not alg.one:
        padded = (1,) * (len(sizes) - len(e.shape)) + e.shape
        order = [d for d in order if padded[d] != 1]
        whole = reshaped(reader, e, tuple(m for m in padded if m > 1))
        axes = [groups[d][0] for d in order]
        if axes != sorted(axes):
            permutation = tuple(int(k) for k in np.argsort(axes))
            old = whole.shape
            new = tuple(old[k] for k in permutation)
            whole = permuted(reader, whole, old, new, tuple(k - len(old) for k in permutation))
            axes = sorted(axes)
        factors.append((1.0, _spread(reader, whole, axes, shape)))
    return aligned(reader, alg.product(factors), shape)


def _subset(candidates: Sequence[int], own: Sequence[int], stride: int) -> list[int] | None:
    """Axes whose strides add up to the wanted one; there are few."""
    if len(candidates) > 8:
        return None
    for mask in range(1, 1 << len(candidates)):
        chosen = [k for b, k in enumerate(candidates) if mask >> b & 1]
        if sum(own[k] for k in chosen) == stride:
            return chosen
    return None


def _spread(reader: Reader, e: Expr, axes: Sequence[int], shape: Shape) -> Expr:
    """An array whose axes are those of the result at `axes`, ascending; others broadcast."""
    first = axes[0] if axes else len(shape)
    new = tuple(shape[k] if k in axes else 1 for k in range(first, len(shape)))
    return reshaped(reader, e, new)


def _diagonal(reader: Reader, e: Expr, shape: Shape) -> Expr:
    alg = reader.alg
    if e is alg.one:
        return alg.call("eye", (), shape, None, (("n", shape[0]),))
    return alg.call("diag", (aligned(reader, e, shape[:1]),), shape)


def _scattered(reader: Reader, e: Expr, targets: Array, shape: Shape) -> Expr:
    """Entry by entry: added to zeros at flat places."""
    alg = reader.alg
    n = prod(shape)
    flat = targets.reshape(-1)
    there = np.flatnonzero(flat >= 0)
    entries = reshaped(reader, e, (targets.size,))
    if 0 < len(there) < targets.size:
        first, last = int(there[0]), int(there[-1])
        if last - first + 1 == len(there):
            entries = part_of(reader, entries, first, last + 1)
        else:
            index = (IndexArray(there),)
            entries = getitem(reader, entries, index, (len(there),))
    zeros = aligned(reader, alg.zero, (n,))
    if entries is alg.zero or entries.op == "zeros":
        return alg.zero
    laid = alg.call("scatter_add", (zeros, alg.array(flat[there].astype(np.int64)), entries), (n,), e.dtype)
    return reshaped(reader, laid, shape)
