"""Handlers of all ops that are not elementwise, and what they refuse."""

from __future__ import annotations

from engine.graph import Graph, Node
from engine.ops.control.counted import Derivation
from engine.render.code import control, exponentials, factors, indexing, linear, moving, reducing, running

FILLED_BY = (control, exponentials, factors, indexing, linear, moving, reducing, running)
"""The modules that register handlers when they are imported."""


def refusal(node: Node) -> str:
    """Why a node with a handler has no form all the same; empty if it has one."""
    if node.op.name == "cofactor" and len(node.inputs) > 1:
        return "derivatives of determinants beyond the first need singular values"
    return ""


def inside(node: Node) -> list[Graph]:
    """The graphs that a node computes."""
    if not node.op.subgraphs:
        return []
    params = dict(node.params)
    derivation = params.get("derivation")
    if isinstance(derivation, Derivation):
        return [control.graph_of(derivation)]
    if node.op.name == "core.custom":
        return [params["value"]]
    return [p for p in params.values() if isinstance(p, Graph)]
