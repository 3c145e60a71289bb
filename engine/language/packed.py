"""SciPy's factorisations that are handed on whole: `cho_solve((c, lower), b)`, `lu_solve(lu_factor(a), b)`."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from engine.language.arguments import Given, arguments
from engine.language.syntax import Call, Constant, Display, Expression, Keyword
from engine.language.values import Ref, Several, Tuple, Value
from engine.language.walker import Walker
from engine.op import Op, Spelling

PACKED = frozenset({"cho_solve", "lu_solve"})
"""Ops whose first argument may be a factorisation: for the first a factor and which triangle it is, for the other a factor
and pivots."""


def with_triangle(walker: Walker, node: Call, made: Value) -> Value:
    """What `cho_factor` gives in program text: the factor, and whether it is the lower triangle (a literal)."""
    if type(made) is Ref:
        if made.bad:
            return made
        found = walker.recorder.node(made.index)
        return Tuple([made, bool(found[2].get("lower", False)) if found is not None else False])
    given: list[Expression] = [*node.positional[1:2], *(k.value for k in node.keywords if k.name == "lower")]
    return Tuple([made, any(type(v) is Constant and bool(v.value) for v in given)])


def packed(walker: Walker, node: Call, op: Op, spelling: Spelling) -> Generator[Any, Any, Value]:
    """The walk over a call of one of them, a factorisation taken apart."""
    first, *rest = node.positional
    parts: list[Any] | None = None
    if type(first) is Display:
        if first.is_tuple and len(first.items) == 2:
            parts = list(first.items)
    else:
        value = yield first
        if type(value) is Several and value.count == 2:
            parts = [Given(walker.item(value, k, first.at), first.at) for k in range(2)]
        elif type(value) is Tuple and len(value.items) == 2:
            parts = [Given(v, first.at) for v in value.items]
        else:
            node = _call(node, [Given(value, first.at), *rest])
    if parts is not None:
        node = _call(node, [*parts, *rest] if op.name == "lu_solve" else [parts[0], *rest])
        if op.name == "cho_solve":
            node.keywords.append(Keyword(first.at, "lower", parts[1]))
    return (yield from arguments(walker, node, op, spelling))


def _call(node: Call, positional: list[Any]) -> Call:
    return Call(node.at, node.function, positional, list(node.keywords))
