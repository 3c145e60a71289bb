"""A typed graph as a JSON graph to read: `include: ["derivative_graph"]` shows the derivative as the program it is.

Nodes carry the ids of the steps they belong to, gradients are called `d(of)/d(step)`, what is in between is numbered. Ops
are those of the core; where the catalogue spells one differently (a power by a fixed exponent, a slice), it is written so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

from engine.attrs import Slice
from engine.graph import CONSTANT, INPUT, ITEM, Graph, Node
from engine.ops.control import counted
from engine.ops.control.counted import Transform
from engine.program import Literal, attr_json


def graph_json(graph: Graph, names: Mapping[int, str], outputs: list[str]) -> dict[str, Any]:
    """The graph with the given names for some of its nodes; the others are numbered g1, g2, …"""
    taken = set(names.values())
    ids: dict[int, str] = {}
    counter = 0
    nodes: list[dict[str, Any]] = []
    for i, node in enumerate(graph.nodes):
        if node.op is CONSTANT and i not in names:
            continue
        name = names.get(i)
        while name is None:
            counter += 1
            candidate = f"g{counter}"
            name = None if candidate in taken else candidate
        ids[i] = name
        operands = [
            ids[j] if j in ids else Literal(graph.nodes[j].params[0][1].value).to_json() for j in node.inputs
        ]
        nodes.append(_node(name, node, operands))
    return {"nodes": nodes, "outputs": outputs}


def _node(name: str, node: Node, operands: list[Any]) -> dict[str, Any]:
    params = dict(node.params)
    if node.op is INPUT:
        return {"id": name, "op": "input"}
    if node.op is CONSTANT:
        return {"id": name, "op": "constant", "value": Literal(params["value"].value).to_json()}
    op = node.op.name.removeprefix("core.")
    if node.op is ITEM:
        op = "item"
    elif op == "pow_by":
        op, operands, params = "pow", [*operands, params["exponent"]], {}
    elif op == "slice":
        parts = [Slice(a, None if s < 0 and e < 0 else e, s) for a, e, s in params["index"]]
        op, params = "getitem", {"index": (Ellipsis, *parts)}
    elif op == "cast":
        op = "astype"
    entry: dict[str, Any] = {"id": name, "op": op, "inputs": operands}
    if params:
        entry["attrs"] = {k: _param(v) for k, v in params.items()}
    return entry


def _param(value: Any) -> Any:
    """A parameter: bodies with their inputs and outputs, what a loop's derivative is made of by its fields."""
    if isinstance(value, Graph):
        return _body(value)
    if is_dataclass(value) and type(value).__module__ == counted.__name__:
        shown = {f.name: _param(getattr(value, f.name)) for f in fields(value) if f.compare}
        return {"transform": type(value).__name__.lower(), **shown} if isinstance(value, Transform) else shown
    if isinstance(value, tuple):
        return [_param(v) for v in value]
    return attr_json(value)


def _body(graph: Graph) -> dict[str, Any]:
    """A graph inside a node, everything in it numbered; constants that it returns are nodes, to have names."""
    returned = {o for o in graph.outputs if graph.nodes[o].op is CONSTANT}
    names = {o: f"c{k}" for k, o in enumerate(sorted(returned), 1)}
    shown = graph_json(graph, names, [])
    listed = [i for i, node in enumerate(graph.nodes) if node.op is not CONSTANT or i in names]
    ids = {i: entry["id"] for i, entry in zip(listed, shown["nodes"], strict=True)}
    return {"inputs": [ids[i] for i in graph.inputs], **shown, "outputs": [ids[o] for o in graph.outputs]}
