"""The op catalogue as `GET /v1/ops` shows it."""

from __future__ import annotations

from functools import cache
from typing import Any

import engine.ops  # noqa: F401  # fills the registry
from engine.catalogue import document
from engine.errors import EngineError
from engine.op import registry
from service.problems import problem


@cache
def catalogue() -> dict[str, dict[str, Any]]:
    """All ops that users can name, by name."""
    return {op.name: document(op) for op in sorted(registry, key=lambda op: op.name)}


def find(name: str) -> dict[str, Any]:
    """One op by name or alias. Raises `Problem` (not-found) with the nearest names."""
    try:
        return catalogue()[registry.find(name)[0].name]
    except EngineError as error:
        raise problem("not-found", error.detail, suggestions=error.suggestions) from None
