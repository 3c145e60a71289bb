"""The Wengert list while it is being written: nodes without names yet, and at the end their ids.

Ids can only be given when the whole text has been read, since `t1` is skipped if any statement uses that name, and a
name that is bound again belongs to its last binding. Mistakes are collected on the way, and get their node's id at the
end too.

The body of a loop or of a choice is a list of its own, a `BodyRecorder` inside the one around it. A value from outside
becomes an input of the body where it is used (`capture`), and so a further operand of the loop.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from engine.errors import EngineError, LimitExceeded, MistakeCollector, SyntaxProblem
from engine.language.values import Ref
from engine.op import Op
from engine.program import INPUT, MAX_NESTING, Argument, Program, Step, TextSource, check_id


class Shared:
    """What the lists of one text have in common: the text, its mistakes, and how much has been written."""

    def __init__(self, source: TextSource, max_nodes: int, max_errors: int) -> None:
        self.source = source
        self.mistakes = MistakeCollector(max_errors)
        self.max_nodes = max_nodes
        self.nodes = 0
        self.seen: set[tuple[int, str]] = set()
        """Mistakes that were noted: what is read several times (a helper) is wrong once."""

    def add(self, nodes: int, at: int) -> None:
        """Count nodes. Raises `LimitExceeded`."""
        self.nodes += nodes
        if self.nodes > self.max_nodes:
            self.limit(self.nodes, at)

    def limit(self, actual: int, at: int) -> None:
        """Raise `LimitExceeded` for so many nodes."""
        most = self.max_nodes
        detail = f"The program has more than {most:,} nodes."
        raise LimitExceeded("nodes", most, actual, detail, where=self.source.where(at))


class Recorder:
    """Nodes, inputs and mistakes, in the order in which they are met."""

    def __init__(self, shared: Shared) -> None:
        self.shared = shared
        self.parent: Recorder | None = None
        self.depth = 0
        self.frame: Any = None
        """The names that nodes are called by: those of this frame, not of helpers that are called."""
        self.inputs: dict[str, int] = {}
        """Name to offset of the first use, in order."""
        self._origins: list[int] = []
        self._reserved: set[str] = set()
        self._nodes: list[tuple[Op, Sequence[Argument], Mapping[str, Any], int]] = []
        self._names: dict[int, str] = {}
        self._last: dict[str, int] = {}
        self._spread = 0
        self._unnamed: list[tuple[EngineError, int]] = []

    @property
    def source(self) -> TextSource:
        """The text."""
        return self.shared.source

    @property
    def mistakes(self) -> MistakeCollector:
        """The mistakes found so far."""
        return self.shared.mistakes

    def reserve(self, names: Collection[str]) -> None:
        """Keep names from being given to unnamed nodes."""
        self._reserved.update(names)

    def emit(self, op: Op, operands: Sequence[Argument], attrs: Mapping[str, Any], at: int) -> int:
        """A new node; its index. Operands name nodes by `Ref.index`. Raises `LimitExceeded` for one too many."""
        nodes = self._nodes
        nodes.append((op, operands, attrs, at))
        shared = self.shared
        shared.nodes += 1
        if shared.nodes > shared.max_nodes:
            shared.limit(shared.nodes, at)
        return len(nodes) - 1

    def origin(self, index: int) -> int:
        """Where in the text a node or an input stands."""
        return self._nodes[index][3] if index >= 0 else self._origins[~index]

    def node(self, index: int) -> tuple[Op, Sequence[Argument], Mapping[str, Any], int] | None:
        """A node that was written; None for an input."""
        return self._nodes[index] if index >= 0 else None

    def count(self, operands: int, at: int) -> None:
        """Count operands that no text stands for, those of a list under a name; they are limited as nodes are."""
        self._spread += operands
        if self._spread > self.shared.max_nodes:
            self.shared.limit(self._spread, at)

    def input(self, name: str, at: int) -> int:
        """The input of a name; its index."""
        self.inputs[name] = at
        self._origins.append(at)
        self.shared.add(1, at)
        self._check(name, at)
        return -len(self.inputs)

    def capture(self, value: Ref, name: str | None = None) -> Ref:
        """A value as one of this list. Only bodies have anything around them."""
        assert value.home is self, "a value from elsewhere"
        return value

    def named(self, index: int) -> bool:
        """Whether a node has been given a name."""
        return index in self._names

    def bind(self, name: str, index: int, at: int) -> None:
        """Give a node a name, as long as no later statement takes it."""
        if name not in self._last:
            self._check(name, at)
        self._names[index] = name
        self._last[name] = index

    def bind_once(self, name: str, index: int, at: int) -> None:
        """Give a node a name that has none yet; an input keeps its own."""
        if index >= 0 and not self.named(index):
            self.bind(name, index, at)

    def _check(self, name: str, at: int) -> None:
        try:
            check_id(name)
        except EngineError as error:
            self.mistake(error, at)

    def mistake(self, error: EngineError, at: int, index: int | None = None) -> None:
        """Take note of a mistake at an offset, in the node `index`."""
        shared = self.shared
        mistakes = shared.mistakes
        key = (at, error.detail)
        if key in shared.seen:
            return
        if len(mistakes.errors) < mistakes.most:
            shared.seen.add(key)
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

    def _ids(self, taken: set[str]) -> list[tuple[str, bool]]:
        """The nodes' ids, and whether the user gave them. `taken` are names that are in use."""
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
        ids = self._ids({*self._reserved, *self.inputs})
        for error, index in self._unnamed:
            if error.node is None:
                error.node = ids[index][0]
        self.mistakes.raise_if_any()
        inputs = [(name, at) for name, at in self.inputs.items()]
        return self._program(inputs, {-1 - k: k for k in range(len(inputs))}, ids, outputs)

    def _program(
        self,
        inputs: Sequence[tuple[str, int]],
        place: Mapping[int, int],
        ids: Sequence[tuple[str, bool]],
        outputs: Sequence[int],
    ) -> Program:
        """The program of these inputs; `place` is where each of them stands."""
        shift = len(inputs)
        steps = [Step(name, INPUT, origin=at) for name, at in inputs]
        for (id, named), (op, operands, attrs, at) in zip(ids, self._nodes, strict=True):
            placed = tuple([(a + shift if a >= 0 else place[a]) if type(a) is int else a for a in operands])
            steps.append(Step(id, op, placed, attrs, at, named))
        return Program(tuple(steps), tuple(i + shift if i >= 0 else place[i] for i in outputs), self.source)


class BodyRecorder(Recorder):
    """The list of a body. Its inputs are made as they are met, and put in order at the end.

    `changing` says that it is (in) the body of a loop, whose nodes have other values in every step.
    """

    def __init__(self, parent: Recorder, at: int, changing: bool) -> None:
        super().__init__(parent.shared)
        self.parent = parent
        self.depth = parent.depth + 1
        self.changing: bool = changing or (isinstance(parent, BodyRecorder) and parent.changing)
        self.wishes: list[str | None] = []
        """The name that each input is to have, if it is free."""
        self.captured: dict[tuple[Recorder, int], Ref] = {}
        if self.depth > MAX_NESTING:
            raise LimitExceeded(
                "nesting",
                MAX_NESTING,
                self.depth,
                f"Loops, conditions and derivatives are nested more than {MAX_NESTING} deep here (an elif, or what follows "
                "a return, break or continue in an if, is nested in what comes before it). A choice among many values can "
                "be written with where, or as a list that is indexed.",
                where=self.source.where(at),
            )

    def entry(self, name: str | None, at: int) -> Ref:
        """A further input of the body, which gets this name if it is free."""
        self.wishes.append(name.partition(" ")[0] if name is not None else None)
        self._origins.append(at)
        self.shared.add(1, at)
        return Ref(self, -len(self.wishes))

    def capture(self, value: Ref, name: str | None = None) -> Ref:
        """A value from around the body as an input of it: the same input every time."""
        inside: list[BodyRecorder] = []
        region: Recorder = self
        while region is not value.home:
            assert isinstance(region, BodyRecorder), "a value from elsewhere"
            inside.append(region)
            assert region.parent is not None
            region = region.parent
        for body in reversed(inside):
            key = (value.home, value.index)
            found = body.captured.get(key)
            if found is None:
                entry = body.entry(name, value.home.origin(value.index))
                found = body.captured[key] = value.same(body, entry.index)
            value = found
        return value

    def moves(self, index: int) -> bool:
        """Whether a value may change from step to step: it depends on an input of the body that was not captured."""
        captured = {ref.index: key[1] for key, ref in self.captured.items()}
        around: set[int] = set()
        seen: set[int] = set()
        stack = [index]
        while stack and len(seen) < 1000:
            one = stack.pop()
            if one in captured:
                around.add(captured[one])
            elif one < 0:
                return True
            elif one not in seen:
                seen.add(one)
                stack.extend(a for a in self._nodes[one][1] if type(a) is int)
        parent = self.parent
        return bool(stack) or (isinstance(parent, BodyRecorder) and any(map(parent.moves, around)))

    def finish_body(self, inputs: Sequence[int | str], outputs: Sequence[int], at: int) -> Program:
        """The body's program, its inputs in this order: the index of an input, or the name of one that nothing uses."""
        numbers: dict[str, int] = {}
        named: list[tuple[str, int]] = []
        place: dict[int, int] = {}
        for k, entry in enumerate(inputs):
            if isinstance(entry, int):
                place[entry] = k
                wish, origin = self.wishes[~entry] or "x", self._origins[~entry]
            else:
                wish, origin = entry, at
            base = name = wish
            while name in self.inputs:
                numbers[base] = number = numbers.get(base, 1) + 1
                name = f"{base}_{number}"
            self.inputs[name] = origin
            named.append((name, origin))
        ids = self._ids({*self.inputs, *self._last})
        for error, index in self._unnamed:
            if error.node is None:
                error.node = ids[index][0]
        return self._program(named, place, ids, outputs)
