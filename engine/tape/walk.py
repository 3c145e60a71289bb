"""A graph with arrays, written entry by entry: node after node, each as its op says (`Op.expand`)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from engine.aval import Aval
from engine.entries import WHOLE, Entries, Positions, TooManyError
from engine.errors import EngineError
from engine.graph import CONSTANT, ITEM, Graph, Node
from engine.op import Op, Params
from engine.tape.build import ON_BOOLEANS, power
from engine.tape.table import CODES

UNROLLED = 64
"""Longest loop whose steps are written one after another."""

LARGEST = 1 << 16
"""Entries of a constant, at most."""

ON_INTEGERS = frozenset({
    "add", "subtract", "multiply", "negative", "maximum", "minimum", "abs", "where", "identity", "stop_gradient",
    "equal", "not_equal", "less", "less_equal", "greater", "greater_equal", "floor_divide", "remainder", "sign",
})  # fmt: skip
"""Elementwise ops that mean on whole floating-point numbers what they mean on integers; none of them by 0, which is found."""


class UnexpandableError(Exception):
    """The graph has what a tape has not."""


def write(e: Entries, graph: Graph, given: Sequence[Positions]) -> list[Positions]:
    """Positions of the graph's results, from those of its arguments. Raises `UnexpandableError` and `TooManyError`."""
    nodes = graph.nodes
    found: list[Any] = [None] * len(nodes)
    for i, positions in zip(graph.inputs, given, strict=True):
        found[i] = positions
    for i, dying in graph.schedule:
        node = nodes[i]
        if node.op is CONSTANT:
            found[i] = _constant(e, node.params[0][1].value)
        elif node.op is ITEM:
            found[i] = found[node.inputs[0]][node.params[0][1]]
        else:
            found[i] = _node(e, nodes, node, [found[j] for j in node.inputs])
        for j in dying:
            found[j] = None
    return [found[o] for o in graph.outputs]


def expandable(avals: Sequence[Aval]) -> bool:
    """Whether numbers of these avals can be entries."""
    return all(a.dtype in ("float64", "bool", "int64") for a in avals)


def argument(e: Entries, aval: Aval) -> Positions:
    """Entries for an argument; integers must be within 2⁵²."""
    return e.arguments(aval.shape, {"bool": 1.0, "int64": WHOLE}.get(aval.dtype, float("inf")))


def _constant(e: Entries, value: Any) -> Positions:
    array = np.asarray(value)
    if array.dtype.name not in ("float64", "bool", "int64") or array.size > LARGEST:
        raise UnexpandableError
    if array.dtype.kind == "i" and array.size and max(abs(int(array.min())), abs(int(array.max()))) > WHOLE:
        raise UnexpandableError
    return e.constant(array)


def _node(e: Entries, nodes: Sequence[Node], node: Node, operands: list[Any]) -> Any:
    op, params = node.op, node.params
    if op.subgraphs:
        return _inner(e, op, dict(params), operands)
    if not isinstance(node.aval, Aval) or not expandable([node.aval]):
        raise UnexpandableError
    avals: list[Any] = [nodes[j].aval for j in node.inputs]
    if node.aval.size <= LARGEST:
        known = [e.known(p) for p in operands]
        if all(k is not None for k in known):
            return _computed(e, op, params, avals, known)
    e.integer = node.aval.dtype == "int64"
    try:
        if op.elementwise:
            found = _elementwise(e, op, params, avals, node.aval, operands)
        else:
            found = op.expand(e, *operands, **dict(params))
    finally:
        e.integer = False
    if found is None:
        raise UnexpandableError
    return np.asarray(found)


def _computed(e: Entries, op: Op, params: Params, avals: Sequence[Aval], known: Sequence[Any]) -> Positions:
    """What depends on constants alone."""
    try:
        with np.errstate(all="ignore"):
            arrays = [np.asarray(k).astype(a.dtype)[()] for k, a in zip(known, avals, strict=True)]
            return _constant(e, op.evaluate(*arrays, **dict(params)))
    except EngineError:
        raise UnexpandableError from None


def _elementwise(
    e: Entries, op: Op, params: Params, avals: Sequence[Aval], aval: Aval, operands: Sequence[Positions]
) -> Positions | None:
    name = op.name
    if name == "cast":
        return _cast(e, avals[0].dtype, aval.dtype, operands[0])
    if name not in CODES:
        return None
    dtypes = {a.dtype for a in avals}
    if ("bool" in dtypes and name not in ON_BOOLEANS) or (
        "int64" in dtypes and name not in ON_INTEGERS | {"pow_by"}
    ):
        return None
    if e.primal and name == "stop_gradient":
        return operands[0]
    if name == "pow_by" and "int64" in dtypes:
        return e.op("multiply", *operands, *operands) if dict(params)["exponent"] == 2 else None
    more: tuple[float, ...] = ()
    if params and name != "multiply":
        if tuple(key for key, _ in params) != op.scalar_params:
            return None
        name, more = power(name, tuple(float(value) for _, value in params))
    found = e.op(name, *operands, *[e.constant(v) for v in more])
    return np.broadcast_to(found, aval.shape)


def _cast(e: Entries, before: str, after: str, positions: Positions) -> Positions:
    if before == after or before == "bool" or (before == "int64" and after == "float64"):
        return positions
    if after == "bool":
        return e.op("truth", positions)
    found = e.op("trunc", positions)
    return e.limited(found, ~e.bounded(found))


def _inner(e: Entries, op: Op, params: dict[str, Any], operands: list[Any]) -> Any:
    """An op that holds graphs, in the place where it stands."""
    if op.name == "core.checkpoint":
        return write(e, params["body"], operands)
    if op.name == "core.custom" and e.primal:
        return write(e, params["value"], operands)
    if op.name == "core.cond":
        return _choice(e, params, operands)
    if op.name == "core.scan" and params["length"] <= UNROLLED:
        return _scan(e, params, operands)
    raise UnexpandableError


def _choice(e: Entries, params: dict[str, Any], operands: list[Any]) -> list[Positions]:
    """Both branches, and a choice between their results."""
    known = e.known(operands[0])
    if known is not None:
        return write(e, params["then" if known else "otherwise"], operands[1:])
    both = [write(e, params[name], operands[1:]) for name in ("then", "otherwise")]
    return [e.op("where", operands[0], p, q) for p, q in zip(*both, strict=True)]


def _scan(e: Entries, params: dict[str, Any], operands: list[Any]) -> list[Positions]:
    """The steps one after another."""
    body: Graph = params["body"]
    nk, nx, n = params["carries"], params["scanned"], params["length"]
    carries, xs, consts = operands[:nk], operands[nk : nk + nx], operands[nk + nx :]
    avals = body.out_avals
    if not expandable(avals):
        raise UnexpandableError
    ys = [np.zeros((n, *a.shape), np.int64) for a in avals[nk:]]
    for t in range(n - 1, -1, -1) if params["reverse"] else range(n):
        out = write(e, body, [*carries, *[x[t] for x in xs], *consts])
        carries = out[:nk]
        for y, v in zip(ys, out[nk:], strict=True):
            y[t] = v
    return [*carries, *ys]


__all__ = ["TooManyError", "UnexpandableError", "argument", "expandable", "write"]
