"""Graphs to tapes."""

from __future__ import annotations

from typing import Any

import numpy as np

from engine.aval import BOOL, FLOAT64
from engine.graph import CONSTANT, INPUT, Graph, Node
from engine.tape.table import CODES, LEAF, ROWS
from engine.tape.tape import Tape

_CAST = {
    (BOOL, FLOAT64): "cast",
    (FLOAT64, BOOL): "truth",
    (FLOAT64, FLOAT64): "identity",
    (BOOL, BOOL): "identity",
}
POWERS = {2.0: "square", 1.0: "identity", -1.0: "reciprocal"}
"""Rows that are fixed powers, by exponent."""
ON_BOOLEANS = frozenset({"where", "identity", "stop_gradient", *(row.name for row in ROWS if row.boolean)})
"""Ops that mean on 1.0 and 0.0 what they mean on booleans; `add`, for one, is a logical or there."""


def tape_of(graph: Graph) -> Tape | None:
    """The graph as a tape, or None if it has what a tape has not: arrays, other dtypes, an op without `scalar` formula.

    Entry k of the tape is node k of the graph. Made once for as long as the graph lives.
    """
    kept = vars(graph)
    if "_tape" not in kept:
        kept["_tape"] = _tape(graph)
    found: Tape | None = kept["_tape"]
    return found


def _tape(graph: Graph) -> Tape | None:
    nodes = graph.nodes
    n = len(nodes)
    ops: list[int] = [LEAF] * n
    args: list[int] = [0] * (3 * n)
    leaves: list[float] = [0.0] * n
    boolean: list[bool] = [False] * n
    for i, node in enumerate(nodes):
        aval = node.aval
        if aval == BOOL:
            boolean[i] = True
        elif aval != FLOAT64:
            return None
        if node.op is INPUT:
            continue
        if node.op is CONSTANT:
            leaves[i] = float(node.params[0][1].value)
            continue
        found = _code(node, nodes, boolean)
        if found is None:
            return None
        name, params = found
        ops[i] = CODES[name]
        at = 3 * i
        for k, j in enumerate(node.inputs):
            args[at + k] = j
        for k, value in enumerate(params, len(node.inputs)):
            args[at + k] = len(leaves)
            leaves.append(value)
    more = len(leaves) - n
    return Tape(
        np.array(ops + [LEAF] * more, np.uint8),
        np.array(args + [0] * (3 * more), np.int32).reshape(-1, 3),
        np.array(leaves, np.float64),
        graph.inputs,
        np.array(boolean + [False] * more, bool),
        n,
    )


def _code(node: Node, nodes: tuple[Node, ...], boolean: list[bool]) -> tuple[str, tuple[float, ...]] | None:
    """Name of the row for a node, and the params that are operands there; None if there is none."""
    op, name = node.op, node.op.name
    if name == "cast":
        avals: Any = (nodes[node.inputs[0]].aval, node.aval)
        return _CAST[avals], ()
    if name not in CODES:
        return None
    if name not in ON_BOOLEANS and any(boolean[j] for j in node.inputs):
        return None
    if not node.params or name == "multiply":
        # What `strong` says of a product shows only beside a value that is not finite.
        return name, ()
    if tuple(key for key, _ in node.params) != op.scalar_params:
        return None
    return power(name, tuple(float(value) for _, value in node.params))


def power(name: str, params: tuple[float, ...]) -> tuple[str, tuple[float, ...]]:
    """Name of the row and its params, for an op that has some: a power of 2, 1 or −1 has a row of its own."""
    if name == "pow_by" and params[0] in POWERS:
        return POWERS[params[0]], ()
    return name, params
