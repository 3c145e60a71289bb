"""Rules for arrays of all seeds whose axis of seeds is the last one.

An op means its trailing axes, so mapping it puts the axis of seeds in front. Behind them it makes tangents of a matrix
product one matrix, A @ [v₁ … vₙ], laid out as the next product wants it. The few ops between products can do with either;
others have it in front.
"""

from __future__ import annotations

from typing import Any

from engine.aval import Aval
from engine.structured.value import Dense, Value
from engine.structured.walk import Walk


def over_entries(walk: Walk, i: int) -> Value:
    """Elementwise ops: operands without a seed are stretched over all of them."""
    node, aval, live = walk.nodes[i], walk.nodes[i].aval, walk.live(i)
    if not node.op.elementwise or not isinstance(aval, Aval):
        return None
    values = [walk.value[node.inputs[k]] for k in live]
    if any(walk.aval(node.inputs[k]).shape != aval.shape for k in live):
        return None
    lasts = {v.last for v in values if isinstance(v, Dense)}
    last = lasts.pop() if len(lasts) == 1 else walk.last
    refs = {}
    for k, j in enumerate(node.inputs):
        if k in live:
            refs[k] = walk.dense(walk.value[j], walk.aval(j), last).ref
        else:
            refs[k] = walk.over_seeds(walk.place[j], last, aval)
    params = node.op.batched(walk.count, dict(node.params))
    if params != dict(node.params):
        return None
    return Dense(walk.b.emit(node.op, [refs[k] for k in range(len(node.inputs))], node.params), last)


def along_axes(walk: Walk, i: int) -> Value:
    """Sums, views, and what lays an array into zeros: axes counted from the end are one further away."""
    node, aval = walk.nodes[i], walk.nodes[i].aval
    value = walk.value[node.inputs[0]]
    if len(node.inputs) != 1 or not isinstance(value, Dense) or not value.last or not isinstance(aval, Aval):
        return None
    given, n = dict(node.params), walk.count
    whole = (0, n, 1)
    params: dict[str, Any]
    match node.op.name:
        case "sum":
            params = {"axes": tuple(a - 1 for a in given["axes"])}
        case "reshape" | "broadcast_to":
            params = {"shape": walk.full(aval, True)}
        case "permute_dims":
            params = {"axes": (*(a - 1 for a in given["axes"]), -1)}
        case "slice":
            params = {"index": (*given["index"], whole)}
        case "embed":
            params = {"index": (*given["index"], whole), "shape": (*given["shape"], n)}
        case _:
            return None
    return Dense(walk.core(node.op.name, value.ref, **params), True)


def multiplied(walk: Walk, i: int) -> Value:
    """A matrix times all seeds' vectors is a product of matrices, in the order that needs no other layout."""
    node, live = walk.nodes[i], walk.live(i)
    if node.op.name != "matmul" or len(live) != 1:
        return None
    (k,) = live
    value, mine, aval = walk.value[node.inputs[k]], walk.aval(node.inputs[k]), walk.aval(i)
    if value is None or mine.rank != 2:
        return None
    other, n = walk.place[node.inputs[1 - k]], walk.count
    flipped = walk.core("permute_dims", other, axes=(-1, -2))
    if mine.shape[k] == 1:
        # A vector for each seed: [free, summed] @ [summed, seeds], or [seeds, summed] @ [summed, free].
        last = value.last if isinstance(value, Dense) else walk.last
        dense, length = walk.dense(value, mine, last), mine.shape[1 - k]
        matrix = walk.reshape(dense.ref, (length, n) if last else (n, length))
        if last:
            product = walk.core("matmul", other if k == 1 else flipped, matrix)
        else:
            product = walk.core("matmul", matrix, flipped if k == 1 else other)
        return Dense(walk.reshape(product, walk.full(aval, last)), last)
    if k == 1:
        dense = walk.dense(value, mine, True)
        product = walk.core("matmul", other, walk.reshape(dense.ref, (mine.shape[0], mine.shape[1] * n)))
        return Dense(walk.reshape(product, walk.full(aval, True)), True)
    dense = walk.dense(value, mine, False)
    product = walk.core("matmul", walk.reshape(dense.ref, (n * mine.shape[0], mine.shape[1])), other)
    return Dense(walk.reshape(product, walk.full(aval, False)), False)
