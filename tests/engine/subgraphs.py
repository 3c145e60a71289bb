"""Subgraphs and graphs of tests, from tables: `name=(op, operand, …)`, with attributes as a last mapping."""

from __future__ import annotations

from typing import Any


def nodes_of(nodes: dict[str, Any]) -> list[dict[str, Any]]:
    """The nodes of a table."""
    result = []
    for name, (op, *operands) in nodes.items():
        attrs = operands.pop() if operands and isinstance(operands[-1], dict) else None
        entry = {"id": name, "op": op}
        if operands:
            entry["inputs"] = operands
        result.append(entry | ({"attrs": attrs} if attrs is not None else {}))
    return result


def sub(inputs: str, outputs: str, **nodes: Any) -> dict[str, Any]:
    """A subgraph."""
    return {"inputs": inputs.split(), "outputs": outputs.split(), "nodes": nodes_of(nodes)}


def graph(inputs: str, outputs: str, **nodes: Any) -> dict[str, Any]:
    """A graph."""
    entries = [{"id": name, "op": "input"} for name in inputs.split()] + nodes_of(nodes)
    return {"nodes": entries, "outputs": outputs.split()}
