"""Ops that put entries elsewhere: most of them are no more than another way to count in the array that is there."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from engine.graph import Node, single
from engine.render.code.lowering import Lowering
from engine.render.code.statements import Binary, Elem, Expr, add, both, equal, integer, times
from engine.render.code.values import NOTHING, Index, Tensor, filled, ravel, scalar, stored, type_of, writes
from engine.structured.place import way_of


def _view(x: Tensor, shape: tuple[int, ...], to: Any) -> Tensor:
    """Entries of x by another index."""
    return Tensor(shape, x.type, lambda i: x.at(to(i)), None, None, x.settled, x.depth)


@writes("broadcast_to")
def _broadcast_to(low: Lowering, node: Node, xs: list[Any], params: dict[str, Any]) -> Tensor:
    (x,), shape = xs, single(node.aval).shape
    if x.shape == ():
        return filled(shape, x.expr)
    x = low.settle(x)
    lead = len(shape) - x.rank

    def to(index: Index) -> Index:
        return tuple(integer(0) if n == 1 else i for n, i in zip(x.shape, index[lead:], strict=True))

    return x if x.shape == shape else _view(x, shape, to)


@writes("reshape", once=True)
def _reshape(low: Lowering, node: Node, xs: list[Any], params: dict[str, Any]) -> Tensor:
    (x,), shape = xs, single(node.aval).shape
    if x.shape == shape:
        return x  # type: ignore[no-any-return]  # a Tensor
    if shape == () or x.size == 0:
        return scalar(x.at(x.padded(x.rank))) if shape == () else filled(shape, NOTHING[x.type])
    if x.buffer is not None:
        return stored(x.buffer, shape)
    long = [k for k, n in enumerate(x.shape) if n != 1]
    wide = [k for k, n in enumerate(shape) if n != 1]
    if [x.shape[k] for k in long] == [shape[k] for k in wide]:

        def to(index: Index) -> Index:
            place = dict(zip(long, (index[k] for k in wide), strict=True))
            return tuple(place.get(k, integer(0)) for k in range(x.rank))

        return Tensor(shape, x.type, lambda i: x.at(to(i)), x.flat, None, x.settled, x.depth)
    if x.flat is None:
        laid = low.laid(x)
        assert laid.buffer is not None
        return stored(laid.buffer, shape)
    flat = x.flat
    return Tensor(shape, x.type, lambda i: flat(ravel(shape, i)), flat, None, x.settled, x.depth)


@writes("permute_dims", once=True)
def _permute_dims(low: Lowering, node: Node, xs: list[Any], params: dict[str, Any]) -> Tensor:
    (x,), axes = xs, params["axes"]
    lead = x.rank - len(axes)
    order = [*range(lead), *(a + x.rank for a in axes)]

    def to(index: Index) -> Index:
        place = dict(zip(order, index, strict=True))
        return tuple(place[k] for k in range(x.rank))

    return _view(x, single(node.aval).shape, to)


@writes("slice", once=True)
def _slice(low: Lowering, node: Node, xs: list[Any], params: dict[str, Any]) -> Tensor:
    (x,), cuts = xs, params["index"]
    lead = x.rank - len(cuts)

    def to(index: Index) -> Index:
        moved = (
            add(times(i, step), integer(start))
            for i, (start, _, step) in zip(index[lead:], cuts, strict=True)
        )
        return (*index[:lead], *moved)

    return _view(x, single(node.aval).shape, to)


@writes("embed", once=True)
def _embed(low: Lowering, node: Node, xs: list[Any], params: dict[str, Any]) -> Tensor:
    (x,), shape = xs, single(node.aval).shape
    array, value = low.result(shape, x.type)
    if value.size:
        low.fill(array, filled(shape, NOTHING[x.type]))
    cuts = params["index"]
    lead = len(shape) - len(cuts)
    if x.size:
        with low.loops(x.shape) as index:
            moved = (
                add(times(i, step), integer(start))
                for i, (start, _, step) in zip(index[lead:], cuts, strict=True)
            )
            low.store(array, ravel(shape, (*index[:lead], *moved)), x.at(index))
    return value


@writes("concat", once=True)
def _concat(low: Lowering, node: Node, xs: list[Any], params: dict[str, Any]) -> Tensor:
    shape = single(node.aval).shape
    array, value = low.result(shape, type_of(single(node.aval).dtype))
    at = len(shape) + params["axis"]
    offset = 0
    for x in xs:
        if x.size:
            if at == 0 and x.flat is not None:
                low.fill(array, x, offset * (value.size // shape[0]))
            else:
                with low.loops(x.shape) as index:
                    place = (*index[:at], add(index[at], integer(offset)), *index[at + 1 :])
                    low.store(array, ravel(shape, place), x.at(index))
        offset += x.shape[at]
    return value


@writes("windows")
def _windows(low: Lowering, node: Node, xs: list[Any], params: dict[str, Any]) -> Tensor:
    x = low.settle(xs[0])
    strides, dilations = params["strides"], params["dilations"]
    k = len(strides)
    lead = x.rank - k

    def to(index: Index) -> Index:
        place, inner = index[lead : lead + k], index[lead + k :]
        moved = (
            add(times(p, s), times(w, d)) for p, w, s, d in zip(place, inner, strides, dilations, strict=True)
        )
        return (*index[:lead], *moved)

    return _view(x, single(node.aval).shape, to)


@writes("overlap_add", once=True)
def _overlap_add(low: Lowering, node: Node, xs: list[Any], params: dict[str, Any]) -> Tensor:
    (x,), shape = xs, single(node.aval).shape
    strides, dilations = params["strides"], params["dilations"]
    k = len(strides)
    lead = x.rank - 2 * k
    array, value = low.result(shape, x.type)
    if value.size:
        low.fill(array, filled(shape, NOTHING[x.type]))
    if x.size:
        with low.loops(x.shape) as index:
            place, inner = index[lead : lead + k], index[lead + k :]
            moved = (
                add(times(p, s), times(w, d))
                for p, w, s, d in zip(place, inner, strides, dilations, strict=True)
            )
            low.accumulate(array, ravel(shape, (*index[:lead], *moved)), x.at(index))
    return value


@writes("core.place")
def _place(low: Lowering, node: Node, xs: list[Any], params: dict[str, Any]) -> Tensor:
    """Terms added to zeros, or to the first operand, at places that are known: evenly spaced ones by a loop, others by a
    table."""
    shape = single(node.aval).shape
    kind = type_of(single(node.aval).dtype)
    array, value = low.result(shape, kind)
    if not value.size:
        return value
    terms = [low.laid(low.settle(x)) for x in (xs[1:] if params["base"] else xs)]
    low.fill(array, xs[0] if params["base"] else filled(shape, NOTHING[kind]))
    size = prod(params["shape"])
    for x, targets in zip(terms, params["targets"], strict=True):
        way = way_of(targets.value)
        if way is None:
            continue
        own = targets.value.size
        lead = x.shape[: x.rank - targets.value.ndim]
        count = len(np.arange(own)[way.read])
        with low.loop(0, prod(lead)) as outer, low.loop(0, count, "k") as k:
            source, goal = (_position(low, positions, k) for positions in (way.read, way.write))
            e = x.expr if x.flat is None or x.shape == () else x.flat(add(times(outer, own), source))
            low.accumulate(array, add(times(outer, size), goal), e)
    return value


def _position(low: Lowering, positions: Any, k: Expr) -> Expr:
    """The k-th of some positions."""
    if isinstance(positions, slice):
        return add(times(k, positions.step or 1), integer(positions.start))
    return Elem(low.table([int(p) for p in positions], "int"), k)


@writes("iota")
def _iota(low: Lowering, node: Node, xs: list[Any], params: dict[str, Any]) -> Tensor:
    return Tensor((params["n"],), "int", lambda i: i[0], lambda i: i)


@writes("class_mask")
def _class_mask(low: Lowering, node: Node, xs: list[Any], params: dict[str, Any]) -> Tensor:
    labels = low.settle(xs[0])
    at = labels.rank + 1 + params["axis"]
    ignore = params["ignore"]
    known = ignore if 0 <= ignore < params["classes"] else None

    def entry(index: Index) -> Expr:
        label = labels.at((*index[:at], *index[at + 1 :]))
        named = equal(label, index[at])
        if known is None:
            return named
        return both(named, Binary("!=", label, integer(known), "bool"))

    return Tensor(single(node.aval).shape, "bool", entry, None, None, settled=False, depth=1)
