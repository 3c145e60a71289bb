"""How much a helper unfolds to, before it is unfolded: sixty helpers that each call the one before twice are 2⁶⁰ nodes.

An estimate by names alone: what is passed as an argument counts as called once, what is bound to several things as
nothing. It decides only about what is far too much.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from engine.language.syntax import (
    Assign,
    Attribute,
    Binary,
    Call,
    Comparison,
    Def,
    Display,
    Evaluate,
    For,
    If,
    Index,
    Name,
    Return,
    Slice,
    Statement,
    Ternary,
    Unary,
    While,
)


def parts(node: Any) -> Sequence[Any]:
    """The expressions and statements that make up one; those of a helper inside are its own."""
    match node:
        case Assign(value=value) | Evaluate(value=value) | Attribute(value=value):
            return (value,)
        case Return(value=value):
            return () if value is None else (value,)
        case For(iterable=iterable, body=body):
            return (iterable, *body.statements)
        case While(condition=condition, body=body):
            return (condition, *body.statements)
        case If(condition=condition, then=then, otherwise=otherwise):
            return (condition, *then.statements, *(otherwise.statements if otherwise is not None else ()))
        case Unary(operand=operand):
            return (operand,)
        case Binary(left=left, right=right):
            return (left, right)
        case Comparison(first=first, rest=rest):
            return (first, *(operand for _, _, operand in rest))
        case Ternary(condition=condition, yes=yes, no=no):
            return (condition, yes, no)
        case Call(function=function, positional=positional, keywords=keywords):
            called = () if type(function) is Name else (function,)
            return (*called, *positional, *(k.value for k in keywords))
        case Index(value=value, items=items):
            return (value, *items)
        case Slice(start=start, stop=stop, step=step):
            return tuple(p for p in (start, stop, step) if p is not None)
        case Display(items=items):
            return items
    return ()


def walked(statements: Sequence[Statement]) -> Iterator[Any]:
    """All expressions and statements inside, those of helpers aside."""
    stack: list[Any] = list(reversed(statements))
    while stack:
        node = stack.pop()
        yield node
        stack.extend(parts(node))


class Unfolding:
    """The helpers of one text, and their weights."""

    def __init__(self, statements: Sequence[Statement]) -> None:
        self._parent: dict[Def, Def | None] = {}
        self._scope: dict[Def | None, dict[str, Def | None]] = {}
        waiting: list[tuple[Def | None, Sequence[Statement]]] = [(None, statements)]
        while waiting:
            owner, inner = waiting.pop()
            scope: dict[str, Def | None] = {}
            if owner is not None:
                scope.update((p.name, None) for p in owner.parameters)
            for node in walked(inner):
                if type(node) is Def:
                    scope[node.name] = None if node.name in scope else node
                    self._parent[node] = owner
                    waiting.append((node, node.body.statements))
                elif type(node) is Assign:
                    scope.update((t.name, None) for t in node.targets if type(t) is Name)
            self._scope[owner] = scope
        self._weights: dict[Def, int] = {}

    def weight(self, helper: Def) -> int:
        """About how many nodes a call of a helper writes."""
        if helper not in self._parent:
            return 0
        weights = self._weights
        stack = [helper]
        entered: dict[Def, tuple[int, list[Def]]] = {}
        while stack:
            node = stack[-1]
            if node in weights:
                stack.pop()
            elif node in entered:
                own, callees = entered[node]
                weights[node] = min(own + sum(weights.get(c, 0) for c in callees), 10**30)
                stack.pop()
            else:
                entered[node] = own, callees = self._look(node)
                stack.extend(c for c in callees if c not in weights and c not in entered)
        return weights[helper]

    def _look(self, helper: Def) -> tuple[int, list[Def]]:
        """A helper's own nodes, and what it calls, as often as it does."""
        own, callees = 0, []
        for node in walked(helper.body.statements):
            names: list[Any] = []
            if type(node) is Call:
                names = [node.function, *node.positional]
                own += type(node.function) is Name and self._resolve(helper, node.function.name) is None
            elif type(node) in (Binary, Unary, Index, Ternary):
                own += 1
            for name in names:
                found = self._resolve(helper, name.name) if type(name) is Name else None
                if found is not None:
                    callees.append(found)
        return own, callees

    def _resolve(self, helper: Def | None, name: str) -> Def | None:
        """The helper that a name means inside another, if it is one."""
        while True:
            scope = self._scope[helper]
            if name in scope:
                return scope[name]
            if helper is None:
                return None
            helper = self._parent[helper]
