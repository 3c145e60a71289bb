"""The Wengert list while it is being written: nodes without names yet, and at the end their ids.

Ids can only be given when the whole text has been read, since `t1` is skipped if any statement uses that name, and a
name that is bound again belongs to its last binding. Mistakes are collected on the way, and get their node's id at the
end too.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from types import EllipsisType
from typing import Any, TypeAlias

from engine.aval import Array
from engine.errors import EngineError, LimitExceeded, MistakeCollector, SyntaxProblem
from engine.op import Op
from engine.program import INPUT, Argument, Program, Step, TextSource, check_id


class Unknown:
    """The static value of a node that has none."""


UNKNOWN = Unknown()


class Ref:
    """A node, as a value of the program.

    `index` is its position among the nodes, or for an input −1 − its position among the inputs. `static` is its value
    where it follows from literals alone; `items` are the elements of a list literal. `bad` marks what stands in the
    place of a mistake.
    """

    __slots__ = ("bad", "index", "items", "static")

    def __init__(
        self, index: int, static: Any = UNKNOWN, items: Sequence[Any] | None = None, bad: bool = False
    ) -> None:
        self.index = index
        self.static = static
        self.items = items
        self.bad = bad


class Several:
    """A node with several results, to be unpacked or indexed; `count` is None where only shapes tell it."""

    __slots__ = ("count", "index", "op")

    def __init__(self, index: int, op: Op, count: int | None) -> None:
        self.index = index
        self.op = op
        self.count = count


Value: TypeAlias = "Ref | Several | float | Array | str | EllipsisType | list[Any] | None"
"""What an expression can be: a node, a literal, or an argument that is no array."""


class Recorder:
    """Nodes, inputs and mistakes, in the order in which they are met."""

    def __init__(self, text: str, max_nodes: int, max_errors: int) -> None:
        self.source = TextSource(text)
        self.mistakes = MistakeCollector(max_errors)
        self.inputs: dict[str, int] = {}
        """Name to offset of the first use, in order."""
        self._reserved: set[str] = set()
        self._max_nodes = max_nodes
        self._nodes: list[tuple[Op, Sequence[Argument], Mapping[str, Any], int]] = []
        self._names: dict[int, str] = {}
        self._last: dict[str, int] = {}
        self._spread = 0
        self._unnamed: list[tuple[EngineError, int]] = []

    def reserve(self, names: Collection[str]) -> None:
        """Keep names from being given to unnamed nodes."""
        self._reserved.update(names)

    def emit(self, op: Op, operands: Sequence[Argument], attrs: Mapping[str, Any], at: int) -> int:
        """A new node; its index. Operands name nodes by `Ref.index`. Raises `LimitExceeded` for one too many."""
        nodes = self._nodes
        nodes.append((op, operands, attrs, at))
        if len(nodes) + len(self.inputs) > self._max_nodes:
            self._limit(len(nodes) + len(self.inputs), at)
        return len(nodes) - 1

    def count(self, operands: int, at: int) -> None:
        """Count operands that no text stands for, those of a list under a name; they are limited as nodes are."""
        self._spread += operands
        if self._spread > self._max_nodes:
            self._limit(self._spread, at)

    def _limit(self, actual: int, at: int) -> None:
        most = self._max_nodes
        detail = f"The program has more than {most:,} nodes."
        raise LimitExceeded("nodes", most, actual, detail, where=self.source.where(at))

    def input(self, name: str, at: int) -> int:
        """The input of a name; its index."""
        self.inputs[name] = at
        self._check(name, at)
        return -len(self.inputs)

    def bind(self, name: str, index: int, at: int) -> None:
        """Give a node a name, as long as no later statement takes it."""
        if name not in self._last:
            self._check(name, at)
        self._names[index] = name
        self._last[name] = index

    def _check(self, name: str, at: int) -> None:
        try:
            check_id(name)
        except EngineError as error:
            self.mistake(error, at)

    def mistake(self, error: EngineError, at: int, index: int | None = None) -> None:
        """Take note of a mistake at an offset, in the node `index`."""
        mistakes = self.mistakes
        if len(mistakes.errors) < mistakes.most:
            mistakes.add(error.at(None, self.source.where(at)))
            if index is not None:
                self._unnamed.append((error, index))
        else:
            mistakes.omitted += 1

    def wrong(self, at: int, detail: str, suggestions: Sequence[str] = (), index: int | None = None) -> None:
        """Take note of a `SyntaxProblem`."""
        self.mistake(SyntaxProblem(detail, suggestions=suggestions), at, index)

    @property
    def full(self) -> bool:
        """Whether further mistakes are only counted."""
        return len(self.mistakes.errors) >= self.mistakes.most

    def _ids(self) -> list[tuple[str, bool]]:
        """The nodes' ids, and whether the user gave them."""
        taken = {*self._reserved, *self.inputs}
        names, last = self._names, self._last
        result = []
        number = 0
        for index in range(len(self._nodes)):
            name = names.get(index)
            if name is not None and last[name] == index and name not in self.inputs:
                result.append((name, True))
                continue
            number += 1
            while f"t{number}" in taken:
                number += 1
            result.append((f"t{number}", False))
        return result

    def finish(self, outputs: Sequence[int]) -> Program:
        """The program, with every node named. Raises the mistakes that were collected."""
        ids = self._ids()
        for error, index in self._unnamed:
            if error.node is None:
                error.node = ids[index][0]
        self.mistakes.raise_if_any()
        shift = len(self.inputs)
        steps = [Step(name, INPUT, origin=at) for name, at in self.inputs.items()]
        for (id, named), (op, operands, attrs, at) in zip(ids, self._nodes, strict=True):
            placed = tuple([(a + shift if a >= 0 else ~a) if type(a) is int else a for a in operands])
            steps.append(Step(id, op, placed, attrs, at, named))
        return Program(tuple(steps), tuple(i + shift if i >= 0 else ~i for i in outputs), self.source)
