"""Statements: names are bound, helpers return."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any

import numpy as np

from engine.language.fold import as_literal, is_literal
from engine.language.functions import Argument, Returned, Run
from engine.language.hints import Refused
from engine.language.names import module_name
from engine.language.parser import check_targets
from engine.language.syntax import (
    Assign,
    Constant,
    Display,
    Doc,
    Evaluate,
    Expression,
    If,
    Import,
    Name,
    Pass,
    Return,
    Syntax,
    is_hidden,
)
from engine.language.values import Free, Function, Ref, Several, Tuple, Unset, Value
from engine.language.walker import GETITEM, IDENTITY, Walk, Walker, walks
from engine.program import CONSTANT


class Choice:
    """A request to go through an `if` with a `return` in it, and then through what follows it (`then`)."""

    __slots__ = ("node", "then")

    def __init__(self, node: If, then: Run) -> None:
        self.node = node
        self.then = then


@walks(Run)
def _run(walker: Walker, run: Run) -> Walk:
    """`Returned` if a `return` ended it, else None."""
    part: Run | None = run
    while part is not None:
        statements = part.statements
        for i in range(part.start, len(statements)):
            statement = statements[i]
            walker.spend(statement.at)
            if type(statement) is If and statement.returned is not None:
                return (yield Choice(statement, Run(statements, i + 1, part.then)))
            done = yield statement
            if type(done) is Returned:
                return done
        part = part.then
    return None


@walks(Evaluate)
def _evaluate(walker: Walker, statement: Evaluate) -> Walk:
    """The value is used by nobody. A string is a helper's documentation."""
    node = statement.value
    if not (type(node) is Constant and isinstance(node.value, str | None)):
        yield node


@walks(Doc)
def _doc(walker: Walker, statement: Doc) -> Walk:
    yield from ()


@walks(Pass)
def _pass(walker: Walker, statement: Pass) -> Walk:
    yield from ()


@walks(Import)
def _import(walker: Walker, statement: Import) -> Walk:
    """The first look through the text has taken note of it."""
    yield from ()


@walks(Return)
def _return(walker: Walker, statement: Return) -> Walk:
    if statement.value is None:
        return Returned(Unset("This helper returns nothing: let `return` say what."), statement.at)
    value = yield Argument(statement.value)
    return Returned(value, statement.at)


# ---------------------------------------------------------------------------------------------------------- assignment


class Bound:
    """A request to go through an assignment: its values with their names, those that are results if it is the last."""

    __slots__ = ("statement",)

    def __init__(self, statement: Assign) -> None:
        self.statement = statement


@walks(Assign)
def _assign(walker: Walker, statement: Assign) -> Walk:
    yield from _bound(walker, Bound(statement))


@walks(Bound)
def _bound(walker: Walker, request: Bound) -> Generator[Any, Any, list[tuple[Value, Name]]]:
    statement = request.statement
    try:
        names = check_targets(statement.targets)
    except Refused:  # reported already; the right side may have more to report
        yield statement.value
        return []
    node = statement.value
    target = statement.targets[0]
    if type(target) is Display:
        values, fresh = yield from _right_sides(walker, node, target.items, statement.at)
        result: list[tuple[Value, Name]] = []
        stack = list(zip(target.items, values, fresh, strict=False))[::-1]
        while stack:
            part, value, new = stack.pop()
            if type(part) is Name:
                result.append((bind(walker, part, value, new), part))
            else:
                assert type(part) is Display
                inner = unpacked(walker, value, part.items, part.at)
                stack.extend([(p, v, True) for p, v in zip(part.items, inner, strict=False)][::-1])
        if type(node) is Display:
            for part, item in zip(target.items, node.items, strict=False):
                if type(part) is Name:
                    _list(walker, part, item)
        return result
    value = bind(walker, names[0], (yield node), type(node) is not Name)
    for name in names[1:]:
        # `a = b = x + y`: the node is a, and b is its identity.
        bind(walker, name, value, False)
    for name in names:
        _list(walker, name, node)
    return [(value, names[0])]


def _list(walker: Walker, name: Name, node: Expression) -> None:
    """Take note of a name that is bound to a list."""
    if type(node) is Display and not node.is_tuple:
        walker.frame.lists[name.name] = not node.items


def bind(walker: Walker, name: Name, value: Value, fresh: bool) -> Value:
    """Bind a name; `fresh` says that the value is a node made for it, and not another name's.

    At the top of the text a name always has a node of its own. In bodies it names the node that it is bound to, and in
    helpers that are called it is no more than a name.
    """
    recorder = walker.recorder
    if is_hidden(name.name):
        walker.frame.names[name.name] = value
        return value
    if walker.frame is walker.top and name.name in walker.modules.prefixes:
        recorder.wrong(name.at, module_name(name.name))
    if recorder is walker.root and walker.own():
        if type(value) is Ref:
            if not fresh or value.index < 0 or recorder.named(value.index):
                value = value.same(recorder, recorder.emit(IDENTITY, (value.index,), {}, name.at))
            recorder.bind(name.name, value.index, name.at)
        elif is_literal(value):
            literal = as_literal(value)  # type: ignore[arg-type]  # is_literal has told
            value = Ref(recorder, recorder.emit(CONSTANT, (), {"value": literal}, name.at), value)
            recorder.bind(name.name, value.index, name.at)
        elif type(value) is Several and fresh:
            recorder.bind(name.name, value.index, name.at)
        elif type(value) is Tuple and fresh:
            _bind_tuple(walker, name, value)
    elif type(value) is Ref and fresh and value.home is recorder and walker.own():
        recorder.bind_once(name.name, value.index, name.at)
    if type(value) is Free:
        value = walker.name(Name(value.at, value.name))
    walker.frame.lists.pop(name.name, None)
    walker.frame.names[name.name] = value
    return value


def _bind_tuple(walker: Walker, name: Name, value: Tuple) -> None:
    """A tuple has a node when it is needed as an array; one of literals has it at once, as a list has."""
    value.name = name.name
    recorder = walker.recorder
    array = walker.array(value, name.at) if all(map(is_literal, value.items)) else None
    if is_literal(array):
        literal = as_literal(array)  # type: ignore[arg-type]  # is_literal has told
        value.node = Ref(recorder, recorder.emit(CONSTANT, (), {"value": literal}, name.at), array)
        recorder.bind(name.name, value.node.index, name.at)


def _right_sides(
    walker: Walker, node: Expression, names: Sequence[Syntax], at: int
) -> Generator[Any, Any, tuple[list[Value], list[bool]]]:
    """The values for several names on the left, and which of them are fresh."""
    if type(node) is not Display:
        parts = unpacked(walker, (yield node), names, at)
        return parts, [True] * len(parts)
    if len(node.items) != len(names):
        _miscounted(walker, at, len(names), len(node.items))
    values: list[Value] = [None] * len(node.items)
    for k, item in enumerate(node.items):
        values[k] = yield item
    return values, [type(i) is not Name for i in node.items]


def _miscounted(walker: Walker, at: int, names: int, values: int) -> None:
    left = f"There {'is 1 name' if names == 1 else f'are {names} names'} on the left"
    walker.recorder.wrong(at, f"{left}, and {values} value{'s' * (values != 1)} on the right.")


def unpacked(walker: Walker, value: Value, names: Sequence[Syntax], at: int) -> list[Value]:
    """The parts of one value, one for each name: results, or entries along axis 0."""
    if type(value) is Several:
        if value.count is not None and value.count != len(names):
            _miscounted(walker, at, len(names), value.count)
        return [walker.item(value, k, name.at) for k, name in enumerate(names)]
    if type(value) is Tuple:
        if len(value.items) != len(names):
            _miscounted(walker, at, len(names), len(value.items))
        return [walker.local(v) if type(v) is Ref else v for v in value.items]
    known = value.static if type(value) is Ref else value
    if isinstance(known, np.ndarray) and known.ndim:
        if len(known) != len(names):
            _miscounted(walker, at, len(names), len(known))
            return []
        if type(value) is not Ref:
            return [row if row.ndim else row.item() for row in map(np.asarray, known)]
    if type(value) is not Ref:
        why = value.why if type(value) is Unset else None
        if isinstance(value, Function):
            why = f"{value.title} is a function, and cannot be unpacked."
        walker.recorder.wrong(
            at, why or "Only an op with several results, a list or an array can be unpacked."
        )
        return []
    if value.items is not None and len(value.items) != len(names):
        _miscounted(walker, at, len(names), len(value.items))
    rows: list[Value] = []
    for k, name in enumerate(names):
        index = walker.recorder.emit(GETITEM, (value.index,), {"index": (k,)}, name.at)
        rows.append(Ref(walker.recorder, index, bad=value.bad))
    return rows
