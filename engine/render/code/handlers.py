"""Handlers of all ops that are not elementwise, and what they refuse."""

from __future__ import annotations

from engine.graph import Node
from engine.render.code import moving, reducing  # noqa: F401  # fill HANDLERS


def refusal(node: Node) -> str:
    """Why a node with a handler has no form all the same; empty if it has one."""
    return ""
