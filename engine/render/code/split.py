"""Long straight functions cut into parts: compilers take more than linear time for what one function holds.

A C compiler that assigns registers looks at all locals that are alive at once, which on the way back through a long program
are all there are. What one part computes for later ones goes through an array.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from engine.render.code.statements import (
    Array,
    Assign,
    Elem,
    Expr,
    Function,
    Let,
    Num,
    Stmt,
    Var,
    converted,
    walk,
)

LONG = 3000
"""Statements from which on a function is cut."""
PART = 600
"""Statements of a part."""


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a function: what it does, with what goes from part to part in `shared`."""

    name: str
    body: list[Stmt]


@dataclass(frozen=True, slots=True)
class Parts:
    """A function in parts: it calls one after the other, and then has its results."""

    parts: list[Part]
    shared: Array
    results: list[Expr]


def parts_of(function: Function, array: str) -> Parts | None:
    """The function in parts that share an array of this name; None for one that is short, or has loops or arrays."""
    body = function.body
    if len(body) < LONG or not all(isinstance(s, Let) and not s.mutable for s in body):
        return None
    if any(isinstance(r.value, Array) for r in function.results):
        return None
    part_of = {s.var.name: k // PART for k, s in enumerate(body) if isinstance(s, Let)}
    slots: dict[str, int] = {}
    for k, s in enumerate(body):
        for e in walk([s.value]):  # type: ignore[union-attr]  # all are Let
            if isinstance(e, Var) and part_of.get(e.name, k // PART) != k // PART:
                slots.setdefault(e.name, len(slots))
    results: list[Expr] = [r.value for r in function.results]  # type: ignore[misc]  # no arrays
    for e in walk(results):
        if isinstance(e, Var) and e.name in part_of:
            slots.setdefault(e.name, len(slots))
    shared = Array(array, "float", len(slots))
    parts = []
    for start in range(0, len(body), PART):
        here: list[Stmt] = []
        outside = {n: i for n, i in slots.items() if part_of[n] != start // PART}
        for s in body[start : start + PART]:
            assert isinstance(s, Let)
            here.append(s._replace(value=_read(s.value, outside, shared)))
            if s.var.name in slots:
                place = Elem(shared, Num(slots[s.var.name], "int"))
                here.append(Assign(place, converted(s.var, "float")))
        parts.append(Part(f"{function.prefix}{function.name}_part{len(parts) + 1}", here))
    return Parts(parts, shared, [_read(e, slots, shared) for e in results])


def _read(e: Expr, slots: Mapping[str, int], shared: Array) -> Expr:
    """The expression with what stands in the array read from there. Expressions of one statement are shallow."""
    if isinstance(e, Var):
        if e.name not in slots:
            return e
        found: Expr = Elem(shared, Num(slots[e.name], "int"))
        return found if e.type == "float" else converted(found, e.type)
    if isinstance(e, Num | Elem):
        return e
    changed: dict[str, Any] = {}
    for name, part in zip(e._fields, e, strict=True):
        if isinstance(part, tuple) and hasattr(part, "_fields"):
            changed[name] = _read(part, slots, shared)  # type: ignore[arg-type]  # an expression
        elif isinstance(part, tuple):
            changed[name] = tuple(_read(p, slots, shared) for p in part)
    return e._replace(**changed)  # type: ignore[no-any-return]  # of the same kind


def joined(parts: Sequence[Part]) -> list[Stmt]:
    """All that the parts do."""
    return [s for part in parts for s in part.body]
