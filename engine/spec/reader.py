"""The reader of JSON graphs: ids, nodes, order, outputs, one after the other; mistakes are collected through them all.

A graph and each body inside it is one `Scope`; they share one `Reading`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from itertools import islice
from typing import Any

from engine.errors import (
    Cycle,
    DuplicateId,
    InvalidAttribute,
    InvalidField,
    InvalidId,
    LimitExceeded,
    UnknownField,
    UnknownNode,
    Where,
    nearest,
    quoted,
)
from engine.op import Attr
from engine.program import (
    CONSTANT,
    INPUT,
    ITEM,
    MAX_ID,
    NON_FINITE,
    Argument,
    GraphSource,
    Program,
    Step,
    check_id,
    is_id,
)
from engine.spec.node import NO_ATTRS, NodeReader
from engine.spec.order import evaluation_order
from engine.spec.reading import GraphLimits, Reading, below, collection_paused, type_name

SCALARS = frozenset((int, bool, str, type(None)))
"""Types of those values of attributes of which no more is to be known than what their kind says."""

CANDIDATES = 1000
"""So many ids are looked through for the one that was meant; a mistake must not cost more than a few milliseconds."""


def read_graph(document: object, *, pointer: str = "/graph", limits: GraphLimits | None = None) -> Program:
    """The program that a JSON graph means; `pointer` is where the graph stands in the request.

    Steps stand in evaluation order: as posted where that is possible, else each node preceded by what it needs.

    Raises `LimitExceeded` for too many nodes before anything else is looked at; otherwise the one mistake that was
    found, or `Mistakes` with all of them: `UnknownOp`, `UnknownNode`, `DuplicateId`, `InvalidId`, `Cycle`, `Arity`,
    `InvalidAttribute`, `InvalidArray`, `InvalidField`, `UnknownField`.
    """
    return _read(document, pointer, limits or GraphLimits(), body=False)


def read_body(document: object, *, pointer: str = "/body", limits: GraphLimits | None = None) -> Program:
    """The program that a subgraph means: `{"inputs": [ids], "nodes": […], "outputs": [ids]}`.

    Its first steps are its inputs, all of them, in the order of `inputs`. Raises what `read_graph` raises.
    """
    return _read(document, pointer, limits or GraphLimits(), body=True)


def _read(document: object, pointer: str, limits: GraphLimits, body: bool) -> Program:
    reading = Reading(limits)
    with collection_paused():
        program = Scope(reading, document, pointer, body=body).read()
    reading.mistakes.raise_if_any()
    assert program is not None, "a graph without a program has a mistake in it"
    return program


class Scope:
    """One graph, with ids of its own: the posted one, or a body inside it.

    `entries` are its nodes as posted. The inputs of a body come first, also those that stand in its `inputs` alone.
    `origins` are the positions in the posted list, −1 − k for input k of a body that is no node there. Until the very
    end all positions are positions in `entries`.
    """

    def __init__(
        self, reading: Reading, document: object, pointer: str, *, body: bool, outer: Scope | None = None
    ) -> None:
        self.reading = reading
        self.document = document
        self.root = pointer
        self.body = body
        self.outer = outer
        self.depth: int = 0 if outer is None else outer.depth + 1
        self.entries: Sequence[Any] = ()
        self.origins: Sequence[int] = ()
        self.parameters: int | None = None
        self.ids: list[str] = []
        self.position: dict[str, int] = {}
        self.steps: list[Step] = []
        self.ordered = True
        """Whether each node stands behind those it needs."""
        self.broken: set[int] = set()
        """Nodes with mistakes in them; their steps say only which nodes they need."""
        self.several: dict[int, int | None] = {}
        """Nodes of several results, and how many, where that is known."""
        self.items: list[int] = []

    def read(self) -> Program | None:
        """The program; None if there are mistakes in it."""
        before = self.reading.found
        document = self.document
        what = "A subgraph" if self.body else "A graph"
        if not isinstance(document, dict):
            self.note(
                InvalidField,
                f'{what} is an object with "nodes" and "outputs", not {type_name(document)}.',
                "",
            )
            return None
        nodes = document.get("nodes", [] if self.body else None)
        if isinstance(nodes, list):
            self.reading.count(len(nodes), f"{self.root}/nodes")
        known = ("inputs", "nodes", "outputs") if self.body else ("nodes", "outputs")
        for key in document:
            if key not in known:
                hint = (
                    'Inputs are nodes: {"id": "x", "op": "input"}.'
                    if key == "inputs"
                    else f"It has {', '.join(known)}."
                )
                self.reading.note(
                    UnknownField,
                    f"{what} has no field {quoted(key)}.",
                    below(self.root, key),
                    near=None if key == "inputs" else partial(nearest, key, known),
                    hint=f" {hint}",
                )
        if not isinstance(nodes, list):
            given = f"not {type_name(nodes)}" if "nodes" in document else "which are missing"
            self.note(InvalidField, f"{what} has a list of nodes, {given}.", "/nodes")
            return None
        if not nodes and not self.body:
            self.note(InvalidField, 'A graph needs nodes, such as {"id": "x", "op": "input"}.', "/nodes")
            return None
        self.entries, self.origins = nodes, range(len(nodes))
        if self.body and not self.add_parameters(document, nodes):
            return None
        self.read_ids()
        self.read_steps()
        order: list[int] | None = None
        if not self.reading.full:
            self.check_results()
            order = None if self.ordered else self.order()
        outputs = self.outputs(document, clean=self.reading.found == before)
        return self.assemble(order, outputs) if self.reading.found == before else None

    # -- what nodes see of their graph

    def near(self, name: str, i: int) -> Sequence[str]:
        """Ids that may have been meant by `name` in node `i`; bounded in cost, whatever the ids are.

        In a large graph those in front and those around are looked through. Before they are compared as texts, which
        can take long, most are sorted out by the letters that they have in common.
        """
        if len(name) > 64:
            return ()
        around = self.ids[max(0, i - CANDIDATES // 4) : i + CANDIDATES // 4]
        letters = set(name.lower())
        likely = [
            (len(letters.symmetric_difference(n.lower())) + abs(len(n) - len(name)), k, n)
            for k, n in enumerate(dict.fromkeys([*islice(self.ids, CANDIDATES // 2), *around]))
            if n and abs(len(n) - len(name)) <= 4
        ]
        return nearest(name, [n for _, _, n in sorted(likely)[:8]])

    def outside(self, name: str) -> bool:
        """Whether a graph around this one has a node of this id."""
        outer = self.outer
        while outer is not None:
            if name in outer.position:
                return True
            outer = outer.outer
        return False

    def subgraph(self, document: object, pointer: str) -> Program | None:
        """The program of a body inside; None if there are mistakes in it. Raises `LimitExceeded`."""
        inner = Scope(self.reading, document, pointer, body=True, outer=self)
        limit = self.reading.limits.nesting
        if inner.depth > limit:
            detail = f"Subgraphs are nested {inner.depth} deep here; the limit is {limit}."
            raise LimitExceeded("nesting", limit, inner.depth, detail, where=Where(pointer=pointer))
        return inner.read()

    def note(self, kind: type[Any], detail: str, place: str, node: str | None = None) -> None:
        """Take note of a mistake at a place inside the graph."""
        self.reading.note(kind, detail, self.root + place, node)

    def pointer(self, i: int) -> str:
        """Where node `i` stands."""
        return self.root + self.place(i)

    def place(self, i: int) -> str:
        """Where node `i` stands inside the graph."""
        origin = self.origins[i]
        return f"/nodes/{origin}" if origin >= 0 else f"/inputs/{-1 - origin}"

    # -- ids

    def add_parameters(self, document: Mapping[str, Any], nodes: list[Any]) -> bool:
        """Put a body's inputs in front of its nodes; whether they are a list."""
        names = document.get("inputs")
        if not isinstance(names, list):
            given = f"not {type_name(names)}" if "inputs" in document else "which are missing"
            detail = f"A subgraph has a list of inputs, {given}: ids, one for each value that it gets."
            self.note(InvalidField, detail, "/inputs")
            return False
        self.reading.count(len(names), f"{self.root}/inputs")
        index: dict[str, int] = {}
        origins: list[int] = []
        for k, name in enumerate(names):
            if not isinstance(name, str):
                self.note(
                    InvalidField, f"An input of a subgraph is an id, not {type_name(name)}.", f"/inputs/{k}"
                )
            elif name in index:
                self.note(
                    DuplicateId,
                    f"The inputs of the subgraph name {quoted(name)} twice.",
                    f"/inputs/{k}",
                    _id(name),
                )
            else:
                index[name] = len(origins)
                origins.append(-1 - k)
        entries: list[Any] = [{"id": name, "op": INPUT.name} for name in index]
        for k, node in enumerate(nodes):
            i = index.get(node["id"]) if self.is_input(node) else None
            if i is not None and origins[i] < 0:
                entries[i], origins[i] = node, k
            else:
                entries.append(node)
                origins.append(k)
        self.entries, self.origins, self.parameters = entries, origins, len(index)
        return True

    def is_input(self, node: object) -> bool:
        """Whether a posted node is an input with an id."""
        if (
            not isinstance(node, dict)
            or not isinstance(node.get("id"), str)
            or not isinstance(node.get("op"), str)
        ):
            return False
        call = self.reading.call(node["op"])
        return call is not None and call.op is INPUT

    def read_ids(self) -> None:
        """The id of each node, and the position of each id."""
        entries = self.entries
        try:
            ids = [entry["id"] for entry in entries]
        except (KeyError, TypeError, IndexError):
            ids = [None]
        if (
            set(map(type, ids)) <= {str}
            and set(map(type, entries)) <= {dict}
            and max(map(len, ids), default=0) <= MAX_ID
            and all(map(str.isprintable, ids))
        ):
            position = dict(zip(ids, range(len(ids)), strict=True))
            if len(position) == len(ids) and position.keys().isdisjoint(("", *NON_FINITE)):
                self.ids, self.position = ids, position
                return
        for i, entry in enumerate(entries):
            name: Any = entry.get("id") if entry.__class__ is dict else None
            is_str = name.__class__ is str
            if is_str and self.position.setdefault(name, i) == i and is_id(name):
                self.ids.append(name)
            elif self.reading.full:
                self.reading.count_mistakes(1)
                self.ids.append(name if is_str else "")
            else:
                self.ids.append(self.read_id(i, entry))

    def read_id(self, i: int, entry: object) -> str:
        """The id of one node, "" if it has none. An id is taken even if it is not valid, for others to refer to."""
        place = f"{self.place(i)}/id" if self.origins[i] >= 0 else self.place(i)
        if not isinstance(entry, dict):
            self.note(InvalidField, f"A node is an object, not {type_name(entry)}.", self.place(i))
            return ""
        name = entry.get("id")
        if not isinstance(name, str):
            problem = f"is a string, not {type_name(name)}" if "id" in entry else "is missing"
            self.note(InvalidField, f"The id of a node {problem}.", place)
            return ""
        first = self.position.setdefault(name, i)
        try:
            check_id(name)
        except InvalidId as error:
            self.reading.caught(error, self.root + place, None)
            return name
        if first != i:
            where = "among the inputs" if self.origins[first] < 0 else f"node {self.origins[first]}"
            self.note(DuplicateId, f"There is a node {quoted(name)} already, {where}.", place, name)
        return name

    # -- nodes

    def read_steps(self) -> None:
        """A step for each node; their operands and origins are positions in `entries`.

        Most nodes of a large graph are `{"id", "op", "inputs"}` with ids and numbers as operands. One such node of each
        kind takes the careful way; it leaves behind what the others need to be read here.
        """
        position, steps, reading = self.position, self.steps, self.reading
        calls, numbers, number = reading.calls, reading.numbers, reading.number
        new = tuple.__new__
        for i, (entry, name) in enumerate(zip(self.entries, self.ids, strict=True)):
            try:
                if len(entry) == 3 and (refs := entry["inputs"]).__class__ is list:
                    call = calls[entry["op"]]
                    attrs = call.plain[len(refs)]
                    operands: list[Argument] = []
                    for ref in refs:
                        kind = ref.__class__
                        if kind is str:
                            j = position[ref]
                            if j >= i:
                                self.ordered = False
                            operands.append(j)
                        elif (kind is float or kind is int) and (
                            literal := ((ref and numbers.get(ref)) or number(ref))
                        ) is not None:
                            operands.append(literal)
                        else:
                            break
                    else:
                        steps.append(new(Step, (name, call.op, tuple(operands), attrs, i, True)))
                        continue
            except (KeyError, TypeError):
                pass  # not such a node, or the first of its kind
            steps.append(self.read_step(i, name, entry))
            if reading.full:
                self.count_rest(i + 1)
                return

    def read_step(self, i: int, name: str, entry: object) -> Step:
        """Any node."""
        step: Step | None = None
        args: list[Argument] = []
        if isinstance(entry, dict):
            step, args = NodeReader(self, i, name, entry).read()
        if step is None:
            self.broken.add(i)
            step = Step(name, CONSTANT, tuple(args), NO_ATTRS, i)
        elif step.op is ITEM:
            self.items.append(i)
        elif step.op.multiple and (count := step.op.count(step.attrs)) != 1:
            self.several[i] = count
        if self.ordered:
            for j in step.operands:
                if type(j) is int and j >= i:
                    self.ordered = False
        return step

    def count_rest(self, start: int) -> None:
        """Count the mistakes in the nodes from `start` on, of which none is described and no step is made."""
        reading = self.reading
        for i in range(start, len(self.entries)):
            entry = self.entries[i]
            if entry.__class__ is dict:  # what is none was counted with its id
                wrong = self.mistakes_in(entry)
                if wrong is None:
                    NodeReader(self, i, self.ids[i], entry).read()
                elif wrong:
                    reading.count_mistakes(wrong)

    def mistakes_in(self, entry: dict[str, Any]) -> int | None:
        """How many mistakes `NodeReader` would find; None for nodes out of the ordinary.

        A hundred thousand bad nodes must not take much longer than as many good ones.
        """
        op, refs, attrs = entry.get("op"), entry.get("inputs", ()), entry.get("attrs", NO_ATTRS)
        call = self.reading.call(op) if isinstance(op, str) else None
        if "value" in entry or (call is not None and call.op in (INPUT, CONSTANT, ITEM)):
            return 1 if len(entry) == 2 and "id" in entry and op == CONSTANT.name else None
        wrong = len(entry) - ("id" in entry) - ("op" in entry) - ("inputs" in entry) - ("attrs" in entry)
        wrong += call is None
        usual, nulls = True, 0
        if isinstance(refs, list):
            for ref in refs:
                found = self.mistakes_in_operand(ref) if ref is not None else 0
                wrong += found or 0
                usual = usual and found is not None
            nulls = refs.count(None)
        elif "inputs" in entry:
            wrong, refs = wrong + 1, ()
        if call is None:
            return wrong if usual else None
        if not isinstance(attrs, dict):
            return None
        shape: list[int | str] = [len(refs)]
        for key, value in attrs.items():
            parameter = call.parameters.get(key)
            if parameter is None:
                wrong += 1
            elif not isinstance(parameter, Attr) or parameter.name in shape or value.__class__ not in SCALARS:
                usual = False
            else:
                shape.append(parameter.name)
                try:
                    parameter.kind.check(value)
                except ValueError:
                    wrong += 1
        if wrong or not usual:
            return wrong if usual else None
        if nulls:
            all_required = len(call.required) == len(refs) and call.most == len(refs) and not call.needed
            return nulls if all_required and not attrs else None
        if tuple(shape) in call.shapes:
            return 0
        return 1 if not attrs and len(refs) in call.wrong else None

    def mistakes_in_operand(self, ref: Any) -> int | None:
        """How many mistakes there are in one operand, none or one; None where that takes a closer look."""
        if ref.__class__ is str:
            return ref not in self.position and ref not in NON_FINITE
        if ref.__class__ is float or ref.__class__ is int:
            return self.reading.number(ref) is None
        if isinstance(ref, dict):
            return None if "data" in ref else 1
        first: Any = ref
        while isinstance(first, list) and first:
            first = first[0]
        wrong = (
            first is None or isinstance(first, dict) or (isinstance(first, str) and first not in NON_FINITE)
        )
        return 1 if wrong else None

    def check_results(self) -> None:
        """Nodes of several results must be read by `item`, and only they."""
        for i in self.items:
            self.check_item(i)
        if not self.several:
            return
        for i, step in enumerate(self.steps):
            if i not in self.broken and step.op is not ITEM:
                for j in step.operands:
                    if type(j) is int and j in self.several:
                        detail = f"{quoted(step.id)} takes {quoted(self.ids[j])}, which {self.has_several(j)}"
                        self.note(InvalidField, detail, self.operand_place(i, j), step.id)

    def check_item(self, i: int) -> None:
        """The result that an `item` reads must be there."""
        j, index = self.steps[i].operands[0], self.steps[i].attrs["index"]
        assert type(j) is int
        if j in self.broken:
            return
        source = self.steps[j]
        if (
            source.op.multiple and index == 0
        ):  # also of a loop with a single carry, whose id means that carry already
            return
        if j not in self.several:
            detail = f"{quoted(source.id)} ({source.op.name}) has one result, which its id means; item is not needed."
            self.note(InvalidField, detail, f"{self.place(i)}/inputs/0", self.ids[i])
        elif (count := self.several[j]) is not None and index >= count:
            names = "" if "…" in source.op.results else f" ({', '.join(source.op.results)})"
            detail = f"{quoted(source.id)} ({source.op.name}) has {count} results{names}, counted from 0; "
            detail += f"there is no result {index}."
            self.note(InvalidAttribute, detail, f"{self.place(i)}/attrs/index", self.ids[i])

    def has_several(self, j: int) -> str:
        """What to do about a node of several results."""
        step = self.steps[j]
        read = f'{{"op": "item", "inputs": ["{_short(step.id)}"], "attrs": {{"index": 0}}}}'
        return f"has several results ({step.op.name}). Read one of them by a node such as {read}."

    def operand_place(self, i: int, j: int) -> str:
        """Where node `i` names node `j`."""
        refs = self.entries[i].get("inputs", [])
        k = next((k for k, ref in enumerate(refs) if ref == self.ids[j]), None)
        return f"{self.place(i)}/inputs" + ("" if k is None else f"/{k}")

    # -- order and outputs

    def order(self) -> list[int]:
        """Evaluation order. Cycles are noted, each from the node on it that was posted first."""
        order, cycles, omitted = evaluation_order(
            [s.operands for s in self.steps], self.reading.limits.errors
        )
        for cycle in cycles:
            start = cycle.index(min(cycle))
            cycle = cycle[start:] + cycle[:start]
            name = self.ids[cycle[0]]
            detail = f"{len(cycle):,} nodes wait for one another, each for the next"
            if len(cycle) == 1:
                detail = f"{quoted(name)} needs itself"
            detail += f": {self.path(cycle)}. A graph has no cycles."
            self.note(Cycle, detail, self.operand_place(cycle[0], cycle[1 % len(cycle)]), _id(name))
        if omitted:
            self.reading.count_mistakes(omitted)
        return order

    def path(self, cycle: Sequence[int]) -> str:
        """The ids on a cycle; of a long one the first and the last."""
        shown = [_short(self.ids[i]) for i in (cycle if len(cycle) <= 8 else (*cycle[:5], *cycle[-2:]))]
        if len(cycle) > 8:
            shown.insert(5, f"… ({len(cycle) - 7:,} more)")
        return " → ".join([*shown, shown[0]])

    def outputs(self, document: Mapping[str, Any], clean: bool) -> list[int]:
        """The outputs: those named, else what nothing consumes."""
        if "outputs" not in document:
            return self.unread() if clean else []
        names = document["outputs"]
        if not isinstance(names, list):
            meant = f" ([{quoted(names)}])" if isinstance(names, str) else ""
            self.note(InvalidField, f"outputs is a list of ids{meant}, not {type_name(names)}.", "/outputs")
            return []
        if not names:
            detail = "outputs must not be empty. Left out, it means the nodes that no other node consumes."
            self.note(InvalidField, detail, "/outputs")
        result: list[int] = []
        seen: dict[str, int] = {}
        for k, name in enumerate(names):
            if not isinstance(name, str):
                self.note(
                    InvalidField, f"An output is the id of a node, not {type_name(name)}.", f"/outputs/{k}"
                )
                continue
            i = self.position.get(name)
            if i is None and self.reading.full:
                self.reading.count_mistakes(1)
            elif i is None:
                detail, pointer = f"The output {quoted(name)} is no node.", f"{self.root}/outputs/{k}"
                self.reading.note(UnknownNode, detail, pointer, near=partial(self.near, name, 0))
            elif i in self.several:
                detail = f"The output {quoted(name)} {self.has_several(i)}"
                self.note(InvalidField, detail, f"/outputs/{k}", _id(name))
            elif (
                name in seen and not self.body
            ):  # a body may return a value twice: as a carry and as a result
                detail = f"The output {quoted(name)} is there already, as output {seen[name]}."
                self.note(InvalidField, detail, f"/outputs/{k}", _id(name))
            else:
                seen.setdefault(name, k)
                result.append(i)
        return result

    def unread(self) -> list[int]:
        """The nodes that nothing consumes, inputs and constants aside, in the order posted."""
        read = bytearray(len(self.steps))
        for step in self.steps:
            for j in step.operands:
                if type(j) is int:
                    read[j] = 1
        result = [
            i for i, s in enumerate(self.steps) if not read[i] and s.op is not INPUT and s.op is not CONSTANT
        ]
        if not result:
            detail = "There are inputs and constants only; one of them is an output only if outputs names it."
            self.note(InvalidField, detail, "/outputs")
        for i in result:
            if i in self.several:
                detail = (
                    f"Nothing reads {quoted(self.ids[i])}, which {self.has_several(i)} Or name the outputs."
                )
                self.note(InvalidField, detail, self.place(i), self.ids[i])
        return result

    def assemble(self, order: list[int] | None, outputs: list[int]) -> Program:
        """The program, its steps in evaluation order."""
        steps, new = self.steps, tuple.__new__
        source = GraphSource(self.root)
        if order is None and not self.body:
            program = Program(tuple(steps), tuple(outputs), source)
            # Program.index is what this dict is already, and with 10⁶ nodes a second one takes 100 MB.
            vars(program)["index"] = self.position
            return program
        if order is None:
            order = list(range(len(steps)))
        rank = [0] * len(order)
        for at, i in enumerate(order):
            rank[i] = at
        moved = []
        for name, op, operands, attrs, i, named in map(steps.__getitem__, order):
            there = tuple([rank[j] if type(j) is int else j for j in operands])
            moved.append(new(Step, (name, op, there, attrs, max(self.origins[i], -1), named)))
        return Program(tuple(moved), tuple([rank[i] for i in outputs]), source)


def _id(name: str) -> str | None:
    """An id for use in an error: none if it is too long to be one."""
    return name if len(name) <= MAX_ID else None


def _short(name: str) -> str:
    return name if len(name) <= 40 else name[:39] + "…"
