"""Removes what is computed and never read: locals, arrays, and the loops and branches that are empty then.

What may not end, and leaves no trace but that, stays.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from engine.render.code.statements import (
    Array,
    Assign,
    Elem,
    Expr,
    For,
    If,
    Let,
    Local,
    Result,
    Stmt,
    Table,
    Var,
    While,
    walk,
)


def tidied(body: list[Stmt], results: Sequence[Result]) -> list[Stmt]:
    """The statements that the results need. What a branch that is empty now was decided by may go in the next round."""
    while True:
        kept = _once(body, results)
        if kept is body:
            return body
        body = kept


def _once(body: list[Stmt], results: Sequence[Result]) -> list[Stmt]:
    own = {s.array.name for s in _statements(body) if isinstance(s, Local | Table)}
    own |= {s.var.name for s in _statements(body) if isinstance(s, Let)}
    wanted = [r.value for r in results if not isinstance(r.value, Array)]
    reads: dict[str, int] = {}
    values: dict[str, list[list[str]]] = {}

    def count(names: Iterable[str]) -> None:
        for name in names:
            reads[name] = reads.get(name, 0) + 1

    count(_names(wanted))
    for s in _statements(body):
        match s:
            case Let(var=var, value=value):
                values.setdefault(var.name, []).append(list(_names([value])))
            case Assign(target=target, value=value):
                name = target.name if isinstance(target, Var) else target.array.name
                parts: list[Expr] = [value] if isinstance(target, Var) else [value, target.at]
                if name in own:
                    values.setdefault(name, []).append(list(_names(parts)))
                else:
                    count(_names(parts))
            case For(start=start, stop=stop):
                count(_names([start, stop]))
            case If(condition=condition) | While(condition=condition):
                count(_names([condition]))
            case Local() | Table():
                pass
            case _:
                count(_names(list(s)))
    for name, found in values.items():
        for names in found:
            count(n for n in names if n != name)
    dead = [name for name in own if not reads.get(name)]
    gone = set(dead)
    while dead:
        name = dead.pop()
        for names in values.get(name, ()):
            for n in names:
                if n != name:
                    reads[n] -= 1
                    if not reads[n] and n in own and n not in gone:
                        gone.add(n)
                        dead.append(n)
    return _kept(body, gone) if gone else body


def _names(items: Sequence[Any]) -> Iterator[str]:
    for e in walk(items):
        if isinstance(e, Var):
            yield e.name
        elif isinstance(e, Elem):
            yield e.array.name


def _statements(body: Sequence[Stmt]) -> Iterator[Stmt]:
    todo: list[Stmt] = list(body)
    while todo:
        s = todo.pop()
        yield s
        if isinstance(s, For | While):
            todo.extend(s.body)
        elif isinstance(s, If):
            todo.extend(s.then)
            todo.extend(s.otherwise)


def _kept(body: list[Stmt], gone: set[str]) -> list[Stmt]:
    out: list[Stmt] = []
    for s in body:
        match s:
            case Let(var=Var(name=name)) | Assign(target=Var(name=name)) if name in gone:
                continue
            case Assign(target=Elem(array=array)) if array.name in gone:
                continue
            case Local(array=array) | Table(array=array) if array.name in gone:
                continue
            case For(body=inner):
                kept = _kept(inner, gone)
                if kept:
                    out.append(s._replace(body=kept))
            case While(body=inner):
                out.append(s._replace(body=_kept(inner, gone)))
            case If(then=then, otherwise=otherwise):
                first, second = _kept(then, gone), _kept(otherwise, gone)
                if first or second:
                    out.append(s._replace(then=first, otherwise=second))
            case _:
                out.append(s)
    return out
