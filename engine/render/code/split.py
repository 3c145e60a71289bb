"""Long straight functions cut into parts: compilers take more than linear time for what one function holds.

A C compiler that assigns registers looks at all locals that are alive at once, which on the way back through a long program
are all there are. What one part computes for later ones goes through an array.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any, cast

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
    parts: list[Part] = []
    for start in range(0, len(body), PART):
        here: list[Stmt] = []
        inside = {s.var.name for s in body[start : start + PART] if isinstance(s, Let)}
        for s in body[start : start + PART]:
            assert isinstance(s, Let)
            here.append(s._replace(value=_read(s.value, slots, shared, inside)))
            if s.var.name in slots:
                place = Elem(shared, Num(slots[s.var.name], "int"))
                here.append(Assign(place, converted(s.var, "float")))
        parts.append(Part(f"{function.prefix}{function.name}_part{len(parts) + 1}", here))
    return Parts(parts, shared, [_read(e, slots, shared) for e in results])


def _read(e: Expr, slots: Mapping[str, int], shared: Array, inside: Set[str] = frozenset()) -> Expr:
    """The expression with what stands in the array, but for locals `inside`, read from there. It is shallow."""
    if isinstance(e, Var):
        if e.name not in slots or e.name in inside:
            return e
        found: Expr = Elem(shared, Num(slots[e.name], "int"))
        return found if e.type == "float" else converted(found, e.type)
    if isinstance(e, Num | Elem):
        return e
    changed: list[Any] = []
    for part in e:
        if isinstance(part, tuple):
            whole = hasattr(part, "_fields")
            changed.append(
                _read(cast(Expr, part), slots, shared, inside)
                if whole
                else tuple(_read(p, slots, shared, inside) for p in part)
            )
        else:
            changed.append(part)
    made: Expr = type(e)(*changed)
    return made


def joined(parts: Sequence[Part]) -> list[Stmt]:
    """All that the parts do."""
    return [s for part in parts for s in part.body]
