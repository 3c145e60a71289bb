"""Derivatives as code to take away: one self-contained function that gives the value and all derivatives asked for.

`unit.py` is what a writer is given, `identifiers.py` how ids become names; each language is a module or package of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from engine.render.code import c, javascript
from engine.render.code.identifiers import Identifiers, Namespace
from engine.render.code.python import python_code
from engine.render.code.unit import Derivative, Unit

LANGUAGES: Mapping[str, Callable[[Unit], str]] = {
    "python": python_code,
    "c": c.write,
    "javascript": javascript.write,
}
"""The writers, by the name of their language."""

__all__ = ["LANGUAGES", "Derivative", "Identifiers", "Namespace", "Unit"]
