"""Requests and answers for the documentation. All of them are true: a test sends each and compares the answers."""

from __future__ import annotations

from collections.abc import Sequence

from service.examples import basic, check, compare, derivative, landscape, minimize, propagate
from service.examples.example import Example
from service.examples.registry import REGISTER

EXAMPLES: dict[str, tuple[Example, ...]] = {
    **basic.EXAMPLES,
    "check": check.EXAMPLES,
    "derivative": derivative.EXAMPLES,
    "landscape": landscape.EXAMPLES,
    "minimize": minimize.EXAMPLES,
    "compare": compare.EXAMPLES,
    "propagate": propagate.EXAMPLES,
}


def of(verb: str) -> Sequence[Example]:
    """The examples of a verb; the first is what the documentation shows."""
    return EXAMPLES[verb]


__all__ = ["EXAMPLES", "REGISTER", "Example", "of"]
