"""Exact simplification: nothing here changes a value, not even its NaN or the sign of a zero.

Removal of dead nodes, sharing of equal nodes, folding of constants that stay small, identities that hold for every
double (x·1, −(−x), a reshape to the same shape, a reshape of a reshape, …). It runs after differentiation and never
before, so that two equal nodes a user wrote have had their own gradients by then.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

import numpy as np

from engine.aval import Aval, DType
from engine.builder import GraphBuilder
from engine.errors import EngineError
from engine.graph import CONSTANT, INPUT, Graph, Node
from engine.op import Params, registry
from engine.transforms.idle import without_idle

FOLD_ELEMENTS = 64
"""Largest constant that folding may make."""


def needed(graph: Graph) -> list[bool]:
    """For each node whether an output depends on it (inputs always)."""
    live = [node.op is INPUT for node in graph.nodes]
    for o in graph.outputs:
        live[o] = True
    for i in range(len(graph.nodes) - 1, -1, -1):
        if live[i]:
            for j in graph.nodes[i].inputs:
                live[j] = True
    return live


def simplify(
    graph: Graph,
    dtype: DType,
    step: Callable[[], None] | None = None,
    unfolded: Collection[str] = (),
) -> Graph:
    """An equal graph without dead, repeated and trivial nodes. Inputs are kept, used or not.

    `step`, if given, is called before each node and may raise. Ops named in `unfolded` stay as they are, even of constants.
    """
    live = needed(graph)
    graph = without_idle(_with_fuller_bodies(graph, live), dtype)
    live = needed(graph)
    b = GraphBuilder(dtype)
    place = {i: b.input(aval) for i, aval in zip(graph.inputs, graph.in_avals, strict=True)}
    seen: dict[tuple[Any, tuple[int, ...], Params], int] = {}
    for i, node in enumerate(graph.nodes):
        if not live[i] or node.op is INPUT:
            continue
        if step is not None:
            step()
        if node.op is CONSTANT:
            place[i] = b.constant(node.params[0][1].value)
            continue
        inputs = tuple(place[j] for j in node.inputs)
        if node.op.name in ("reshape", "broadcast_to") and b.nodes[inputs[0]].op is node.op:
            inputs = b.nodes[inputs[0]].inputs
        node, inputs = _without_negation(b, node, inputs)
        same = _trivial(b, node, inputs)
        if same is None and node.op.name not in unfolded:
            same = _folded(b, node, inputs)
        if same is not None:
            place[i] = same
            continue
        key = (node.op, inputs, _exact(node.params) if node.params else ())
        found = seen.get(key)
        if found is None:
            b.nodes.append(Node(node.op, inputs, node.params, node.aval))
            found = seen[key] = len(b.nodes) - 1
        place[i] = found
    return _compact(b.build([place[o] for o in graph.outputs]))


def _with_fuller_bodies(graph: Graph, live: list[bool]) -> Graph:
    """The graph with one body for loops that are the same but for further results: then they are one loop.

    The way back over a loop runs it once more to record what it needs. Where the loop's own results are asked for as well,
    they are the first ones of that run.
    """
    alike: dict[Any, list[int]] = {}
    for i, (op, inputs, params, _) in enumerate(graph.nodes):
        if live[i] and op.subgraphs:
            given = dict(params)
            body = given.pop("body", None)
            if isinstance(body, Graph):
                rest = tuple((name, v) for name, v in given.items() if not isinstance(v, Graph))
                if len(rest) == len(given):
                    alike.setdefault((op, inputs, rest, body.inputs, body.with_outputs(())), []).append(i)
    groups = [group for group in alike.values() if len(group) > 1]
    if not groups:
        return graph
    nodes = list(graph.nodes)
    for group in groups:
        bodies = {i: dict(nodes[i].params)["body"].outputs for i in group}
        fullest = max(group, key=lambda i: len(bodies[i]))
        for i in group:
            if bodies[fullest][: len(bodies[i])] == bodies[i]:
                nodes[i] = nodes[i]._replace(params=nodes[fullest].params, aval=nodes[fullest].aval)
    return Graph(tuple(nodes), graph.inputs, graph.outputs)


def _compact(graph: Graph) -> Graph:
    """The graph without the nodes that simplification went past."""
    live = needed(graph)
    if all(live):
        return graph
    place: dict[int, int] = {}
    nodes: list[Node] = []
    for i, node in enumerate(graph.nodes):
        if live[i]:
            place[i] = len(nodes)
            nodes.append(node._replace(inputs=tuple(place[j] for j in node.inputs)))
    return Graph(tuple(nodes), tuple(place[i] for i in graph.inputs), tuple(place[o] for o in graph.outputs))


def _exact(params: Params) -> Params:
    """Params as a key: 0.0 and -0.0 are equal, but not the same."""
    return tuple((name, str(v) if type(v) is float and v == 0 else v) for name, v in params)


def _scalar(b: GraphBuilder, ref: int) -> float | None:
    """The number that all entries of a node are, if it is a constant of the floating dtype, stretched or not."""
    node = b.nodes[ref]
    while node.op.name in ("broadcast_to", "reshape"):
        node = b.nodes[node.inputs[0]]
    if node.op is CONSTANT and isinstance(node.aval, Aval) and node.aval.dtype == b.dtype:
        value = node.params[0][1].value
        if value.size == 1 or (value.size and value.size <= FOLD_ELEMENTS and (value == value.flat[0]).all()):
            return float(value.flat[0])
    return None


def _trivial(b: GraphBuilder, node: Node, inputs: tuple[int, ...]) -> int | None:
    """An existing node that is equal to `node` for all values, or None."""
    name = node.op.name
    if name in ("identity", "cast", "reshape", "broadcast_to") and b.nodes[inputs[0]].aval == node.aval:
        return inputs[0]
    if name == "multiply":
        for k in (0, 1):
            if _scalar(b, inputs[k]) == 1.0 and b.nodes[inputs[1 - k]].aval == node.aval:
                return inputs[1 - k]
    if name == "negative" and b.nodes[inputs[0]].op is node.op:
        return b.nodes[inputs[0]].inputs[0]
    if name == "permute_dims":
        before = b.nodes[inputs[0]]
        if before.op is node.op and before.params == _inverse(node.params):
            return before.inputs[0]
    return None


def _without_negation(b: GraphBuilder, node: Node, inputs: tuple[int, ...]) -> tuple[Node, tuple[int, ...]]:
    """x + (−y) as x − y, and x − (−y) as x + y: the same to the last bit."""
    name = node.op.name
    if name not in ("add", "subtract") or not isinstance(node.aval, Aval) or not node.aval.floating:
        return node, inputs
    x, y = inputs
    negated = [b.nodes[j].op.name == "negative" for j in inputs]
    if negated[1]:
        other = registry.core("subtract" if name == "add" else "add")
        return node._replace(op=other), (x, b.nodes[y].inputs[0])
    if negated[0] and name == "add":
        return node._replace(op=registry.core("subtract")), (y, b.nodes[x].inputs[0])
    return node, inputs


def _inverse(params: Params) -> Params:
    """Params of the permutation that undoes one."""
    axes = params[0][1]
    inverse = [0] * len(axes)
    for i, a in enumerate(axes):
        inverse[a] = i - len(axes)
    return (("axes", tuple(inverse)),)


def _folded(b: GraphBuilder, node: Node, inputs: tuple[int, ...]) -> int | None:
    """The node as a constant, if its operands are constants and it is small."""
    nodes = b.nodes
    for j in inputs:
        if nodes[j].op is not CONSTANT:
            return None
    if not isinstance(node.aval, Aval) or node.aval.size > FOLD_ELEMENTS or not inputs:
        return None
    operands = [nodes[j] for j in inputs]
    try:
        with np.errstate(all="ignore"):
            value = node.op.evaluate(*[o.params[0][1].value[()] for o in operands], **dict(node.params))
    except EngineError:  # a singular matrix; it may stand in a branch that is not taken
        return None
    return b.constant(np.ascontiguousarray(value) if node.aval.shape else np.asarray(value))
