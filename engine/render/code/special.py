"""Special functions of integer orders: which orders have an expression, and what it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from engine.render.code.statements import Expr

ORDERS: Mapping[str, Any] = {}


def refusal(name: str, params: Mapping[str, Any]) -> str:
    """Why there is no expression for these params; empty if there is one."""
    return ""


def special(name: str, params: Mapping[str, Any], xs: Sequence[Expr]) -> Expr:
    """The expression."""
    raise NotImplementedError(name)
