"""Products of matrices and sums: A @ x without the reshapes, outer products, what is summed over and does not vary."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from engine.aval import Shape
from engine.graph import Node, single
from engine.symbolic.expressions import Expr
from engine.symbolic.layout import aligned, as_vector, bare_shape, column, parted, reshaped, times
from engine.symbolic.read import Reader


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
    new = bare_shape(tuple(n for k, n in enumerate(inner.shape) if k - rank not in inside))
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
        each = [(a, summed(reader, t, inner.shape, inside)) for a, t in inner.terms]
        apart = alg.sum(each, inner.number * prod(inner.shape[a] for a in inside))
        if alg.size(apart) < alg.size(made):
            return times(reader, scalars, c, apart)
    return times(reader, scalars, c * count, made)


def _axis(axes: Sequence[int], rank: int) -> tuple[tuple[str, Any], ...]:
    if len(axes) == rank:
        return ()
    return (("axis", axes[0] if len(axes) == 1 else tuple(axes)),)
