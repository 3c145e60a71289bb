"""What an example is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Example:
    """A body that works; with the answer where it is short."""

    name: str
    summary: str
    body: dict[str, Any]
    answer: dict[str, Any] | None = None
