"""JSON graphs with bodies, in short."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def body(inputs: Sequence[str], nodes: Sequence[tuple[Any, ...]], outputs: Sequence[str]) -> dict[str, Any]:
    """A subgraph; its nodes as (id, op, operands) or (id, op, operands, attrs)."""
    return {"inputs": list(inputs), "nodes": [node(*n) for n in nodes], "outputs": list(outputs)}


def node(
    name: str, op: str, operands: Sequence[Any] = (), attrs: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """A node of a JSON graph."""
    entry: dict[str, Any] = {"id": name, "op": op}
    if operands:
        entry["inputs"] = list(operands)
    return entry | ({"attrs": dict(attrs)} if attrs else {})


def graph(inputs: str, nodes: Sequence[tuple[Any, ...]], *outputs: str) -> dict[str, Any]:
    """A JSON graph over the inputs named in one string."""
    listed = [node(name, "input") for name in inputs.split()] + [node(*n) for n in nodes]
    return {"nodes": listed, "outputs": list(outputs)}
