"""Derivatives as code to take away: one self-contained function that gives the value and all derivatives asked for.

`unit.py` is what a writer is given, `identifiers.py` how ids become names; each language is a module or package of its own.

C and JavaScript are two printers (`c.py`, `javascript.py`) of one small imperative language (`statements.py`). `function.py`
writes a unit in it; `values.py` and `lowering.py` say how: loops over arrays, and what is computed only where it is read. The
ops are in `elementwise.py`, `special.py`, `moving.py`, `reducing.py`, `running.py`, `exponentials.py`, `indexing.py`,
`linear.py`, `factors.py` and `control.py`. Functions that a language has not are `helpers`, written once in Python and
translated (`translate.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

from engine.render.code import c, javascript
from engine.render.code.identifiers import Identifiers, Namespace
from engine.render.code.python import python_code
from engine.render.code.unit import Derivative, Unit

Writer: TypeAlias = Callable[[Unit, Callable[[], None] | None], str]
"""Writes a unit. What comes second, if anything, is called before each node and may raise: a deadline."""

LANGUAGES: Mapping[str, Writer] = {
    "python": python_code,
    "c": c.write,
    "javascript": javascript.write,
}
"""The writers, by the name of their language."""

__all__ = ["LANGUAGES", "Derivative", "Identifiers", "Namespace", "Unit", "Writer"]
