"""The whole text: a first look at all of it, then its statements, of which the last one gives the outputs."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from functools import cached_property

import numpy as np

from engine.language import (  # noqa: F401  # each registers its walks
    branches,
    calls,
    control,
    derivatives,
    directions,
    expressions,
    indexing,
    iteration,
    loops,
)
from engine.language.functions import assigned_names
from engine.language.hints import Refused
from engine.language.names import Modules, soft_prefixes
from engine.language.parser import check_targets, target_names
from engine.language.recorder import Recorder, Shared
from engine.language.statements import Bound
from engine.language.syntax import (
    Assign,
    Def,
    Display,
    Doc,
    Evaluate,
    For,
    If,
    Import,
    Pass,
    Statement,
    While,
)
from engine.language.unfolding import Unfolding
from engine.language.values import Ref, Several, Tuple, Value
from engine.language.walker import IDENTITY, Frame, Walker
from engine.program import CONSTANT, Literal, Program

_NAME = re.compile(r"[^\W\d]\w*+")

SILENT = (Import, Def, Pass)
"""Statements that compute nothing: the result is that of the last one before them."""


class Lowering(Walker):
    """One reading of one text, statement by statement."""

    def __init__(self, shared: Shared, statements: Sequence[Statement], inputs: Collection[str]) -> None:
        modules = Modules()
        recorder = Recorder(shared)
        helpers: set[str] = set()
        for statement in _all(statements):
            try:
                if type(statement) is Import:
                    modules.add(statement)
                elif type(statement) is Assign:
                    check_targets(statement.targets)
                elif type(statement) is For:
                    target_names(statement.target)
                elif type(statement) is Def:
                    helpers.add(statement.name)
            except Refused as refused:
                recorder.wrong(refused.at, refused.detail, refused.suggestions)
        assigned = set(assigned_names(statements))
        for name, module in soft_prefixes(shared.source.text, assigned | set(inputs)).items():
            modules.prefixes.setdefault(name, module)
        recorder.reserve(assigned)
        super().__init__(recorder, modules, assigned | set(inputs))
        self.helpers = helpers
        self.given = frozenset(inputs)
        self.results: list[int] = []
        """The outputs."""
        self._returned: set[int] = set()
        self.statements = [s for s in statements if type(s) is not Import]
        last = [s for s in self.statements if type(s) not in SILENT][-1:]
        self.last = last[0] if last else None

    @cached_property
    def unfolding(self) -> Unfolding:
        """How much the helpers unfold to."""
        return Unfolding(self.statements)

    @cached_property
    def _occurrences(self) -> dict[str, list[int]]:
        """Where in the text each name stands; in comments and strings too, which does no harm."""
        found: dict[str, list[int]] = {}
        for match in _NAME.finditer(self.recorder.source.text):
            found.setdefault(match.group(), []).append(match.start())
        return found

    def live(self, name: str, frame: Frame, start: int, end: int) -> bool:
        """Whether a name may be used outside a stretch of the text; those of the whole text are reported anyway."""
        if frame.node is None:
            return True
        places = self._occurrences.get(name, [])
        inside = bisect_left(places, end) - bisect_left(places, start)
        own = bisect_left(places, frame.node.body.end) - bisect_left(places, frame.node.at)
        return own > inside

    def run(self) -> Program:
        """The program. Raises all mistakes that were found."""
        recorder = self.recorder
        if self.last is None and not recorder.mistakes.errors:
            told = "There is no statement here that computes something, such as x*y + 1."
            if self.helpers:
                told = f"This text defines helpers only. Call one in a last line, such as {min(self.helpers)}(x)."
            recorder.wrong(0, told)
        with np.errstate(all="ignore"):
            for statement in self.statements:
                self._statement(statement, statement is self.last)
        return self.recorder.finish(self.results)

    def _statement(self, statement: Statement, last: bool) -> None:
        if type(statement) is Evaluate:
            node = statement.value
            items = node.items if type(node) is Display and node.is_tuple else [node]
            if not items:
                self.recorder.wrong(node.at, "An empty tuple is no result.")
            for item in items:
                value = self.evaluate(item)
                if last:
                    self.output(value, item.at)
        elif type(statement) is Assign:
            for value, name in self.evaluate(Bound(statement)):
                if last:
                    self.output(value, name.at)
        elif type(statement) is Doc:
            self.recorder.wrong(
                statement.at, "Triple-quoted strings are not part of the language; a comment begins with #."
            )
        else:
            self.evaluate(statement)
            if last:
                self._assigned(statement)

    def _assigned(self, statement: Statement) -> None:
        """A loop or a choice at the end: what it assigns is the result, of a loop what goes round in it."""
        names = assigned_names([statement])
        if type(statement) is For:
            with suppress(Refused):  # reported already
                for name in target_names(statement.target):
                    names.pop(name.name, None)
        found = {n: self.settled(self.top.names.get(n)) for n in names}
        kept = [n for n in self.carried if n in found] if isinstance(statement, For | While) else []
        results = [(n, v) for n in kept or names if isinstance(v := found[n], Ref | Tuple | float | int)]
        if not results:
            self.recorder.wrong(
                statement.at, "This is the last statement, and gives no result: name it in a last line."
            )
        for n, value in results:
            self.output(value, names[n])

    def output(self, value: Value, at: int) -> None:
        """A value of the last statement."""
        parts: Sequence[Value] = [value]
        if type(value) is Several:
            if value.count is None:
                detail = (
                    f"{value.op.name} has several results, as many as the shape of its operand says: unpack them into that "
                    "many names (a, b, c = …) or index them ([0]), and end with these."
                )
                self.recorder.wrong(at, detail)
                return
            parts = [self.item(value, k, at) for k in range(value.count)]
        elif type(value) is Tuple and value.items:
            parts = value.items
        for part in parts:
            argument = self.operand(part, at)
            if isinstance(argument, Literal):
                argument = self.recorder.emit(CONSTANT, (), {"value": argument}, at)
            elif argument in self._returned:
                argument = self.recorder.emit(IDENTITY, (argument,), {}, at)
            self._returned.add(argument)
            self.results.append(argument)


def _all(statements: Sequence[Statement]) -> Iterator[Statement]:
    """All statements, those in blocks and helpers too, in the order of the text."""
    stack = [iter(statements)]
    while stack:
        statement = next(stack[-1], None)
        if statement is None:
            stack.pop()
            continue
        yield statement
        if isinstance(statement, For | While | Def):
            stack.append(iter(statement.body.statements))
        elif type(statement) is If:
            if statement.otherwise is not None:
                stack.append(iter(statement.otherwise.statements))
            stack.append(iter(statement.then.statements))
