"""Arrays in another shape or order, cut, and laid into zeros, as people write them.

Linear ops let numbers and scalar factors through, so that these meet in front. A vector stands where the core has a matrix of
one row, and broadcasts there.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from engine.attrs import IndexArray, Slice
from engine.aval import Shape
from engine.graph import Node, single
from engine.symbolic.expressions import Expr
from engine.symbolic.read import Reader

ALL = Slice(None, None, None)
"""A whole axis in an index."""


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
        # What is left may be a number: terms that look alike now may cancel.
        return reader.stretched(
            alg.product(parts) if e.kind == "product" else alg.sum(parts, e.number), shape
        )
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


def like_shape(shape: Shape, old: Shape, new: Shape) -> Shape:
    """What becomes of a shape that broadcasts to `old` when axes of one entry come and go."""
    padded = (1,) * (len(old) - len(shape)) + shape
    there = iter([p for p, n in zip(padded, old, strict=True) if n != 1])
    return tuple(1 if n == 1 else next(there) for n in new)


def bare_shape(shape: Shape) -> Shape:
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
    return reshaped(reader, turned, bare_shape(tuple(padded[k] for k in order)))


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
