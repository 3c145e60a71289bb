"""The head of a request as one dictionary, made once for all who look at it."""

from __future__ import annotations

from typing import TypeAlias

from starlette.types import Scope

Head: TypeAlias = dict[bytes, bytes]
"""Values of the header fields by name, in lower case; of a field that was sent several times, the first."""


def head_of(scope: Scope) -> Head:
    """The head of the request."""
    head: Head | None = scope.get("wengert.head")
    if head is None:
        head = scope["wengert.head"] = dict(reversed(scope["headers"]))
    return head
