"""Statements: names are bound, the last one gives the outputs."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np

from engine.language import calls, expressions, indexing  # noqa: F401  # each registers its walks
from engine.language.fold import as_literal, is_literal
from engine.language.hints import Refused
from engine.language.names import Modules, module_name
from engine.language.parser import check_targets
from engine.language.recorder import Recorder, Ref, Several, Value
from engine.language.syntax import Assign, Display, Evaluate, Expression, Import, Name, Statement
from engine.language.walker import GETITEM, IDENTITY, Walker
from engine.program import CONSTANT, Literal, Program


class Lowering(Walker):
    """One reading of one text, statement by statement."""

    def __init__(self, recorder: Recorder, statements: Sequence[Statement], inputs: Collection[str]) -> None:
        modules = Modules()
        assigned: set[str] = set()
        for statement in statements:
            try:
                if type(statement) is Import:
                    modules.add(statement)
                elif type(statement) is Assign:
                    assigned.update(name.name for name in check_targets(statement.targets))
            except Refused as refused:
                recorder.wrong(refused.at, refused.detail, refused.suggestions)
        recorder.reserve(assigned)
        super().__init__(recorder, modules, assigned | set(inputs))
        self.results: list[int] = []
        """The outputs."""
        self._returned: set[int] = set()
        self.statements = [s for s in statements if type(s) is not Import]

    def run(self) -> Program:
        """The program. Raises all mistakes that were found."""
        with np.errstate(all="ignore"):
            for statement in self.statements:
                last = statement is self.statements[-1]
                if type(statement) is Assign:
                    for value, name in self.assign(statement):
                        if last:
                            self.output(value, name.at)
                else:
                    self.plain(statement, last)
        return self.recorder.finish(self.results)

    # -- statements

    def plain(self, statement: Any, last: bool) -> None:
        """An expression as a statement; a tuple is several."""
        assert type(statement) is Evaluate
        node = statement.value
        items = node.items if type(node) is Display and node.is_tuple else [node]
        if not items:
            self.recorder.wrong(node.at, "An empty tuple is no result.")
        for item in items:
            value = self.evaluate(item)
            if last:
                self.output(value, item.at)

    def assign(self, statement: Assign) -> list[tuple[Value, Name]]:
        """Bind the names of a statement; the values it is said to result in, as bound."""
        try:
            names = check_targets(statement.targets)
        except Refused:  # reported already; the right side may have more to report
            self.evaluate(statement.value)
            return []
        if type(statement.targets[0]) is Display:
            values, fresh = self._right_sides(statement.value, names, statement.at)
            return [(self.bind(*three), three[0]) for three in zip(names, values, fresh, strict=False)]
        value = self.bind(names[0], self.evaluate(statement.value), type(statement.value) is not Name)
        for name in names[1:]:
            # `a = b = x + y`: the node is a, and b is its identity.
            self.bind(name, value, False)
        return [(value, names[0])]

    def bind(self, name: Name, value: Value, fresh: bool) -> Value:
        """Bind a name; `fresh` says that the value is a node made for it, and not another name's."""
        if name.name in self.modules.prefixes:
            self.recorder.wrong(name.at, module_name(name.name))
        recorder = self.recorder
        if type(value) is Ref:
            if not fresh:
                index = recorder.emit(IDENTITY, (value.index,), {}, name.at)
                value = Ref(index, value.static, value.items, value.bad)
            recorder.bind(name.name, value.index, name.at)
        elif is_literal(value):
            literal = as_literal(value)  # type: ignore[arg-type]  # is_literal has told
            value = Ref(recorder.emit(CONSTANT, (), {"value": literal}, name.at), value)
            recorder.bind(name.name, value.index, name.at)
        elif type(value) is Several and fresh:
            recorder.bind(name.name, value.index, name.at)
        self.scope[name.name] = value
        return value

    def _right_sides(self, node: Expression, names: list[Name], at: int) -> tuple[list[Value], list[bool]]:
        """The values for several names on the left, and which of them are fresh."""
        if type(node) is not Display:
            values = self._unpacked(self.evaluate(node), names, at)
            return values, [True] * len(values)
        if len(node.items) != len(names):
            self._miscounted(at, len(names), len(node.items))
        return [self.evaluate(i) for i in node.items], [type(i) is not Name for i in node.items]

    def _miscounted(self, at: int, names: int, values: int) -> None:
        self.recorder.wrong(at, f"There are {names} names on the left, and {values} values on the right.")

    def _unpacked(self, value: Value, names: list[Name], at: int) -> list[Value]:
        """The parts of one value, one for each name: results, or entries along axis 0."""
        if type(value) is Several:
            if value.count is not None and value.count != len(names):
                self._miscounted(at, len(names), value.count)
            return [self.item(value, k, name.at) for k, name in enumerate(names)]
        known = value.static if type(value) is Ref else value
        if isinstance(known, np.ndarray) and known.ndim:
            if len(known) != len(names):
                self._miscounted(at, len(names), len(known))
                return []
            if type(value) is not Ref:
                return [row if row.ndim else row.item() for row in map(np.asarray, known)]
        if type(value) is not Ref:
            self.recorder.wrong(at, "Only an op with several results, a list or an array can be unpacked.")
            return []
        if value.items is not None and len(value.items) != len(names):
            self._miscounted(at, len(names), len(value.items))
        rows: list[Value] = []
        for k, name in enumerate(names):
            index = self.recorder.emit(GETITEM, (value.index,), {"index": (k,)}, name.at)
            rows.append(Ref(index, bad=value.bad))
        return rows

    def output(self, value: Value, at: int) -> None:
        """A value of the last statement."""
        parts: Sequence[Value] = [value]
        if type(value) is Several:
            if value.count is None:
                self.recorder.wrong(at, f"{value.op.name} has several results: unpack or index them.")
                return
            parts = [self.item(value, k, at) for k in range(value.count)]
        for part in parts:
            argument = self.operand(part, at)
            if isinstance(argument, Literal):
                argument = self.recorder.emit(CONSTANT, (), {"value": argument}, at)
            elif argument in self._returned:
                argument = self.recorder.emit(IDENTITY, (argument,), {}, at)
            self._returned.add(argument)
            self.results.append(argument)
