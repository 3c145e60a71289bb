"""Arrays in derivatives as people write them: A @ x without the reshapes, outer products, sums, diagonals, transposes.

Linear ops let numbers and scalar factors through, so that these meet in front. A vector stands where the core has a matrix of
one row, and broadcasts there.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from engine.attrs import IndexArray, Slice
from engine.aval import Array, Shape
from engine.graph import Node, single
from engine.symbolic.expressions import Expr
from engine.symbolic.read import Reader, Rule

ALL = Slice(None, None, None)


# ------------------------------------------------------------------------------------------------------------ helpers


def parted(reader: Reader, e: Expr) -> tuple[list[tuple[float, Expr]], float, Expr]:
    """Scalar factors, the number, and the rest of an expression: what linear ops let through."""
    alg = reader.alg
    c, inner = alg.split(e)
    if inner.kind != "product" or inner.shape == ():
        return [], c, inner
    scalars = [(p, b) for p, b in inner.terms if b.shape == ()]
    if not scalars:
        return [], c, inner
    return scalars, c, alg.product([(p, b) for p, b in inner.terms if b.shape != ()])


def times(reader: Reader, scalars: Sequence[tuple[float, Expr]], c: float, e: Expr) -> Expr:
    """The scalar factors and the number in front of an expression."""
    found = reader.alg.product([*scalars, (1.0, e)]) if scalars else e
    return reader.alg.scaled(c, found)


def aligned(reader: Reader, e: Expr, shape: Shape) -> Expr:
    """An expression that broadcasts to `shape`, of exactly that shape."""
    return reader.stretched(e, shape)


def getitem(reader: Reader, e: Expr, index: tuple[Any, ...], shape: Shape) -> Expr:
    """e[index]."""
    return reader.alg.call("getitem", (e,), shape, e.dtype, (("index", index),))


def reshaped(reader: Reader, e: Expr, shape: Shape) -> Expr:
    """The elements of an expression in another shape, as short as it can be said."""
    alg = reader.alg
    if e.shape == shape:
        return e
    scalars, c, inner = parted(reader, e)
    if e.dtype == reader.dtype and (scalars or c != 1) and inner is not alg.one:
        return times(reader, scalars, c, reshaped(reader, inner, shape))
    unwrapped = e.operands[0] if e.kind == "call" and e.op in ("reshape", "ravel") else None
    if unwrapped is not None and (unwrapped.shape == shape or _inserted(e.shape, shape) is None):
        return reshaped(reader, unwrapped, shape)
    if e.kind == "call" and e.op in ("zeros", "ones", "full"):
        fill = {"zeros": alg.zero, "ones": alg.one}.get(e.op) or e.operands[0]
        assert fill is not None
        return reader.stretched(fill, shape)
    if e.kind == "array":
        return reader.constant(e.data.reshape(shape))
    if e.kind == "call" and e.op == "sum" and e.operands[0] is not None and "keepdims" not in dict(e.data):
        source = e.operands[0]
        axis = dict(e.data).get("axis")
        axes = range(-len(source.shape), 0) if axis is None else axis if isinstance(axis, tuple) else (axis,)
        kept = tuple(1 if k - len(source.shape) in axes else n for k, n in enumerate(source.shape))
        if kept == shape and len(axes) < len(source.shape):
            attrs = (*(() if axis is None else (("axis", axis),)), ("keepdims", True))
            return alg.call("sum", (source,), shape, e.dtype, attrs)
    inserted = _inserted(e.shape, shape)
    if inserted is not None and e.kind == "call" and e.op == "getitem" and e.operands[0] is not None:
        index = dict(e.data)["index"]
        if all(part is None or part == ALL for part in index):
            return reshaped(reader, e.operands[0], shape)
    if inserted is not None:
        return getitem(reader, e, inserted, shape)
    removed = _inserted(shape, e.shape)
    if removed is not None and e.kind in ("product", "sum") and len(e.terms) <= 6:
        gone = [k - len(removed) for k, part in enumerate(removed) if part is None]
        if len(removed) < len(e.shape):
            gone = [k - len(e.shape) for k, part in enumerate(removed) if part is None]
        parts = [(p, _lighter(reader, b, gone)) for p, b in e.terms]
        return alg.product(parts) if e.kind == "product" else alg.sum(parts, e.number)
    if removed is not None:
        if e.kind == "call" and e.op == "getitem" and e.operands[0] is not None:
            merged = _without_axes(e, removed)
            if merged is not None:
                return e.operands[0] if merged == () else getitem(reader, e.operands[0], merged, shape)
        axes = tuple(k for k, part in enumerate(removed) if part is None)
        axis = axes[0] if len(axes) == 1 else axes
        return alg.call("squeeze", (e,), shape, e.dtype, (("axis", axis),))
    bare = tuple(n for n in e.shape if n != 1)
    if bare != e.shape:
        return reshaped(reader, reshaped(reader, e, bare), shape)
    bare = tuple(n for n in shape if n != 1)
    if bare != shape:
        return reshaped(reader, reshaped(reader, e, bare), shape)
    if e.kind == "call" and e.op == "outer" and e.operands[0] is not None and e.operands[1] is not None:
        u, v = e.operands[0], e.operands[1]
        if u.op == "ravel" and u.operands[0] is not None and (*u.operands[0].shape, *v.shape) == shape:
            inner = u.operands[0]
            return alg.multiply(reshaped(reader, inner, (*inner.shape, *[1] * len(v.shape))), v)
    if shape == (prod(e.shape),):
        return alg.call("ravel", (e,), shape, e.dtype)
    return alg.call("reshape", (e,), shape, e.dtype, (("shape", shape),))


def _lighter(reader: Reader, e: Expr, gone: Sequence[int]) -> Expr:
    """An expression without its axes `gone` (counted from the end), which are of one entry or not there."""
    rank = len(e.shape)
    return reshaped(reader, e, tuple(n for k, n in enumerate(e.shape) if k - rank not in gone))


def _inserted(old: Shape, new: Shape) -> tuple[Any, ...] | None:
    """The index that makes axes of one entry; None if that is not what the new shape is."""
    index: list[Any] = []
    k = 0
    for n in new:
        if k < len(old) and n == old[k]:
            index.append(ALL)
            k += 1
        elif n == 1:
            index.append(None)
        else:
            return None
    if k < len(old) or len(new) <= len(old):
        return None
    while index and index[-1] == ALL:
        index.pop()
    return tuple(index)


def _without_axes(e: Expr, removed: Sequence[Any]) -> tuple[Any, ...] | None:
    """The index of `e` with axes of one entry gone: those that it made, and slices of one entry, which become integers."""
    index = list(dict(e.data)["index"])
    source = e.operands[0]
    assert source is not None
    if any(isinstance(p, IndexArray) or p is Ellipsis or isinstance(p, int) for p in index):
        return None
    full = [*index, *[ALL] * (len(e.shape) - len(index))]
    gone = {k for k, part in enumerate(removed) if part is None}
    result: list[Any] = []
    at = 0
    for k, part in enumerate(full):
        axis = at
        at += part is not None
        if k not in gone:
            result.append(part)
        elif part is None:
            continue
        elif isinstance(part, Slice) and source.shape[axis] == 1:
            result.append(0)
        elif isinstance(part, Slice) and isinstance(part.start, int):
            result.append(part.start)
        elif isinstance(part, Slice) and part.start is None:
            step = part.step if isinstance(part.step, int) else 1
            result.append(0 if step > 0 else source.shape[axis] - 1)
        else:
            return None
    while result and result[-1] == ALL:
        result.pop()
    return tuple(result)


def column(reader: Reader, v: Expr) -> Expr:
    """A vector as a matrix of one column."""
    return reshaped(reader, v, (v.shape[0], 1))


def as_vector(reader: Reader, e: Expr, shape: Shape) -> Expr | None:
    """The vector that a matrix of one row or column was made from."""
    if len(shape) != 2 or 1 not in shape:
        return None
    n = prod(shape)
    if e.shape == (n,):
        return e if shape[0] == 1 else None
    if e.shape == shape and e.kind == "call" and e.op == "getitem" and dict(e.data)["index"] == (ALL, None):
        return e.operands[0]
    small = e.shape == shape and e.kind in ("product", "sum") and len(e.terms) <= 8
    if small and all(t.shape == () or as_vector(reader, t, shape) is not None for _, t in e.terms):
        return reshaped(reader, e, (n,))
    return reader.stretched(e, (n,)) if e.shape == () else None


# -------------------------------------------------------------------------------------------------------------- rules


def reshape(reader: Reader, node: Node) -> Expr:
    """A reshape; axes of one entry in front need none, since they broadcast."""
    j = node.inputs[0]
    laid = reader.graph.nodes[j]
    if laid.op.name == "core.place" and not dict(laid.params)["base"]:
        params = dict(laid.params) | {"shape": single(node.aval).shape}
        if tuple(dict(laid.params)["shape"]) == single(laid.aval).shape:
            return place(reader, Node(laid.op, laid.inputs, tuple(sorted(params.items())), node.aval))
    e, old, new = reader.of(j), reader.aval(j).shape, single(node.aval).shape
    if e.shape == ():
        return e
    if [n for n in old if n != 1] == [n for n in new if n != 1]:
        return reshaped(reader, e, _bare(_like(e.shape, old, new)))
    whole = aligned(reader, e, old)
    return reshaped(reader, whole, new)


def _like(shape: Shape, old: Shape, new: Shape) -> Shape:
    """What becomes of a shape that broadcasts to `old` when axes of one entry come and go."""
    padded = (1,) * (len(old) - len(shape)) + shape
    there = iter([p for p, n in zip(padded, old, strict=True) if n != 1])
    return tuple(1 if n == 1 else next(there) for n in new)


def _bare(shape: Shape) -> Shape:
    """A shape without axes of one entry in front."""
    k = 0
    while k < len(shape) and shape[k] == 1:
        k += 1
    return shape[k:]


def permute(reader: Reader, node: Node) -> Expr:
    """Axes in another order."""
    j = node.inputs[0]
    old, new = reader.aval(j).shape, single(node.aval).shape
    axes = dict(node.params)["axes"]
    return permuted(reader, reader.of(j), old, new, tuple(axes))


def permuted(reader: Reader, e: Expr, old: Shape, new: Shape, axes: tuple[int, ...]) -> Expr:
    """An expression of shape `old` (or broadcasting to it) with its axes in another order, counted from the end."""
    if e.shape == ():
        return e
    scalars, c, inner = parted(reader, e)
    if scalars or c != 1:
        return times(reader, scalars, c, permuted(reader, inner, old, new, axes))
    rank = len(old)
    padded = (1,) * (rank - len(e.shape)) + e.shape
    order = (*range(rank - len(axes)), *(a % rank for a in axes))
    if padded == e.shape and not (e.kind == "call" and e.op == "getitem" and None in dict(e.data)["index"]):
        return _turned(reader, e, order)
    moved = [k for k in order if padded[k] != 1]
    there = sorted(moved)
    base = reshaped(reader, e, tuple(padded[k] for k in there))
    turned = _turned(reader, base, tuple(there.index(k) for k in moved))
    return reshaped(reader, turned, _bare(tuple(padded[k] for k in order)))


def _turned(reader: Reader, e: Expr, order: tuple[int, ...]) -> Expr:
    """An expression with its axes in another order."""
    alg, rank = reader.alg, len(e.shape)
    if e.kind == "call" and e.op in ("permute_dims", "matrix_transpose") and e.operands[0] is not None:
        before = dict(e.data).get("axes", tuple(range(rank - 1, -1, -1)))
        if e.op == "matrix_transpose":
            before = (*range(rank - 2), rank - 1, rank - 2)
        order = tuple(before[a] for a in order)
        e = e.operands[0]
    if order == tuple(range(rank)):
        return e
    if e.kind == "array":
        return reader.constant(e.data.transpose(order))
    if e.kind == "call" and e.op in ("eye", "diag") and rank == 2:
        return e
    if e.kind == "call" and e.op == "outer" and e.operands[0] is not None and e.operands[1] is not None:
        return alg.call("outer", (e.operands[1], e.operands[0]), e.shape[::-1])
    new = tuple(e.shape[k] for k in order)
    if order == tuple(range(rank - 1, -1, -1)):
        return alg.call("permute_dims", (e,), new, e.dtype)
    if order == (*range(rank - 2), rank - 1, rank - 2):
        return alg.call("matrix_transpose", (e,), new, e.dtype)
    return alg.call("permute_dims", (e,), new, e.dtype, (("axes", order),))


def matmul(reader: Reader, node: Node) -> Expr:
    """Products of matrices; vectors where there is one row or column."""
    i, j = node.inputs
    x, y = reader.of(i), reader.of(j)
    a, b = reader.aval(i).shape, reader.aval(j).shape
    sx, cx, x = parted(reader, x)
    sy, cy, y = parted(reader, y)
    return times(reader, [*sx, *sy], cx * cy, _product(reader, x, y, a, b))


def _product(reader: Reader, x: Expr, y: Expr, a: Shape, b: Shape) -> Expr:
    alg = reader.alg
    if len(a) == 2 and len(b) == 2 and x.dtype == y.dtype == reader.dtype:
        (m, k), n = a, b[1]
        if x is alg.one and y is alg.one:
            return alg.number(float(k))
        if x is alg.one:  # every row is the sum over the rows of y
            return summed(reader, aligned(reader, y, b), b, (-2,)) if k > 1 else y
        if y is alg.one:
            if k == 1:
                return x
            total = summed(reader, aligned(reader, x, a), a, (-1,))
            return total if total.shape == () else reshaped(reader, total, (*total.shape, 1))
        if x.op == "eye" and x.shape == a:
            return y
        if y.op == "eye" and y.shape == b:
            return x
        u = as_vector(reader, x, a) if m == 1 or k == 1 else None
        v = as_vector(reader, y, b) if k == 1 or n == 1 else None
        if k == 1 and u is not None and v is not None and (m > 1 or n > 1):
            if m == 1:
                return alg.multiply(reshaped(reader, u, ()), v)
            if n == 1:
                return alg.multiply(reshaped(reader, u, (m, 1)), reshaped(reader, v, ()))
            return alg.call("outer", (u, v), (m, n))
        if m == 1 and n == 1 and u is not None and v is not None:
            return alg.call("matmul", (u, v), ())
        if m == 1 and u is not None:
            return alg.call("matmul", (u, aligned(reader, y, b)), (n,))
        if n == 1 and v is not None:
            return column(reader, alg.call("matmul", (aligned(reader, x, a), v), (m,)))
    shape = (*np.broadcast_shapes(a[:-2], b[:-2]), a[-2], b[-1])
    return alg.call("matmul", (aligned(reader, x, a), aligned(reader, y, b)), shape, x.dtype)


def total(reader: Reader, node: Node) -> Expr:
    """A sum over axes."""
    j = node.inputs[0]
    shape = reader.aval(j).shape
    axes = tuple(dict(node.params)["axes"])
    e = reader.of(j)
    if not single(node.aval).floating:
        whole = aligned(reader, e, shape)
        return reader.alg.call(
            "sum", (whole,), single(node.aval).shape, single(node.aval).dtype, _axis(axes, len(shape))
        )
    return summed(reader, e, shape, axes)


def summed(reader: Reader, e: Expr, shape: Shape, axes: tuple[int, ...]) -> Expr:
    """The sum over `axes` (counted from the end) of what broadcasts to `shape`; what is the same along one is counted."""
    alg = reader.alg
    scalars, c, inner = parted(reader, e)
    rank = len(inner.shape)
    padded = (1,) * (len(shape) - rank) + inner.shape
    count = prod(shape[a] for a in axes if padded[a] == 1)
    inside = tuple(a for a in axes if -a <= rank)
    new = _bare(tuple(n for k, n in enumerate(inner.shape) if k - rank not in inside))
    if all(padded[a] == 1 for a in axes):
        # Nothing varies along what is summed over: the rest is the expression itself, without these axes.
        found = inner if inner.shape == () else reshaped(reader, inner, new)
        return times(reader, scalars, c * count, found)
    if all(n == 1 for k, n in enumerate(inner.shape) if k - rank not in inside) and 1 in inner.shape:
        # What varies is summed away altogether.
        inner = reshaped(reader, inner, tuple(n for n in inner.shape if n != 1))
        inside, rank = tuple(range(-len(inner.shape), 0)), len(inner.shape)
    left = tuple(n for k, n in enumerate(inner.shape) if k - rank not in inside)
    made = alg.call("sum", (inner,), left, e.dtype, _axis(inside, rank))
    if inner.kind == "sum" and len(inner.terms) <= 4 and padded == shape:
        each = [(a, summed(reader, t, shape, axes)) for a, t in inner.terms]
        apart = alg.sum(each, inner.number * prod(shape[a] for a in axes))
        if alg.size(apart) < alg.size(made):
            return times(reader, scalars, c, apart)
    return times(reader, scalars, c * count, made)


def _axis(axes: Sequence[int], rank: int) -> tuple[tuple[str, Any], ...]:
    if len(axes) == rank:
        return ()
    return (("axis", axes[0] if len(axes) == 1 else tuple(axes)),)


def cut(reader: Reader, node: Node) -> Expr:
    """A slice of the trailing axes."""
    j = node.inputs[0]
    e, shape = reader.of(j), reader.aval(j).shape
    ranges = dict(node.params)["index"]
    new = single(node.aval).shape
    if e.shape == ():
        return e
    rank, lead = len(shape), len(shape) - len(ranges)
    index: list[Any] = [ALL] * lead
    for (start, stop, step), n in zip(ranges, shape[lead:], strict=True):
        if (start, step) == (0, 1) and stop >= n:
            index.append(ALL)
        elif step == 1:
            index.append(Slice(start, stop if stop < n else None, None))
        else:
            end = None if (step < 0 and stop < 0) or (step > 0 and stop >= n) else stop
            first = None if (step < 0 and start == n - 1) or (step > 0 and start == 0) else start
            index.append(Slice(first, end, step))
    padded = (1,) * (rank - len(e.shape)) + e.shape
    if all(part == ALL or padded[k] == 1 for k, part in enumerate(index)):
        return e
    scalars, c, inner = parted(reader, e)
    if scalars or c != 1:
        whole = aligned(reader, inner, shape)
        return times(reader, scalars, c, _indexed(reader, whole, index, new))
    return _indexed(reader, aligned(reader, e, shape), index, new)


def _indexed(reader: Reader, whole: Expr, index: list[Any], shape: Shape) -> Expr:
    while index and index[-1] == ALL:
        index.pop()
    # The start of a slice of one entry is kept, so that a reshape can make an integer of it.
    return getitem(reader, whole, tuple(index), shape) if index else whole


def embed(reader: Reader, node: Node) -> Expr:
    """An array laid into zeros: padded, or put at its places."""
    alg = reader.alg
    j = node.inputs[0]
    e, old = reader.of(j), reader.aval(j).shape
    ranges, new = dict(node.params)["index"], single(node.aval).shape
    lead = len(new) - len(ranges)
    scalars, c, inner = parted(reader, e)
    if len(new) == 1 and old == (1,) and inner.shape in ((), (1,)):
        scalar = inner if inner.shape == () else reshaped(reader, inner, ())
        unit = alg.call(
            "one_hot", (alg.array(np.asarray(ranges[0][0])),), new, None, (("num_classes", new[0]),)
        )
        return times(reader, scalars, c, alg.multiply(scalar, unit))
    whole = aligned(reader, inner, old)
    if all(step == 1 for _, _, step in ranges):
        width = tuple((0, 0) for _ in range(lead)) + tuple(
            (start, n - stop) for (start, stop, _), n in zip(ranges, new[lead:], strict=True)
        )
        if all(pair == (0, 0) for pair in width):
            return times(reader, scalars, c, whole)
        return times(reader, scalars, c, alg.call("pad", (whole,), new, e.dtype, (("pad_width", width),)))
    for k, (start, stop, step) in enumerate(ranges):
        axis = lead + k
        size = new[axis]
        shape = (*whole.shape[:axis], size, *whole.shape[axis + 1 :])
        at = np.arange(start, stop, step)[: whole.shape[axis]]
        if step == 1 and len(at) == size:
            continue
        if step == 1:
            width = tuple((start, size - stop) if d == axis else (0, 0) for d in range(len(new)))
            whole = alg.call("pad", (whole,), shape, e.dtype, (("pad_width", width),))
            continue
        zeros = aligned(reader, alg.zero, shape)
        attrs = () if axis == 0 else (("axis", axis - len(shape)),)
        whole = alg.call("scatter_set", (zeros, alg.array(at), whole), shape, e.dtype, attrs)
    return times(reader, scalars, c, whole)


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
            whole = aligned(reader, inner, targets.shape)
            found = _scattered(reader, whole, targets, shape)
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
    laid = alg.call("scatter_add", (zeros, alg.array(flat[there].astype(np.int64)), entries), (n,), e.dtype)
    return reshaped(reader, laid, shape)


TENSORS: dict[str, tuple[Rule, ...]] = {
    "reshape": (reshape,),
    "permute_dims": (permute,),
    "matmul": (matmul,),
    "strong_matmul": (matmul,),
    "sum": (total,),
    "slice": (cut,),
    "embed": (embed,),
    "core.place": (place,),
}
"""Rules of ops that lay arrays out, and of products."""
