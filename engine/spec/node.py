"""One node of a JSON graph, read with care: every mistake in it is noted, at its place."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Protocol

import numpy as np

from engine.attrs import INDEX, MAX_LISTED, IndexArray, Slice
from engine.errors import (
    Arity,
    EngineError,
    InvalidArray,
    InvalidAttribute,
    InvalidField,
    UnknownField,
    UnknownNode,
    UnknownOp,
    nearest,
    quoted,
)
from engine.op import Attr, InputRef, Operand, bind, check_attr, is_default, registry
from engine.program import (
    CONSTANT,
    INPUT,
    ITEM,
    MAX_ID,
    NON_FINITE,
    Argument,
    Literal,
    Program,
    Step,
)
from engine.spec.reading import Call, Reading, below, type_name
from engine.values import read_value, to_literal

FIELDS = dict.fromkeys(("id", "op", "inputs", "attrs", "value"))
MEANT = {
    "name": "id",
    "key": "id",
    "type": "op",
    "op_type": "op",
    "operation": "op",
    "args": "inputs",
    "operands": "inputs",
    "parents": "inputs",
    "params": "attrs",
    "attributes": "attrs",
    "kwargs": "attrs",
    "default": "value",
}
"""What other formats call the fields of a node."""

NO_ATTRS: Mapping[str, Any] = Step._field_defaults["attrs"]

SUBGRAPH = "a subgraph"
"""How the names of those kinds of attributes begin whose values are graphs."""


class Surroundings(Protocol):
    """What a node sees of the graph that it is part of."""

    reading: Reading
    position: dict[str, int]
    parameters: int | None
    """Number of inputs of a subgraph; None for the graph itself."""

    def pointer(self, i: int) -> str:
        """Where node `i` stands."""

    def near(self, name: str, i: int) -> Sequence[str]:
        """Ids that may have been meant by `name` in node `i`."""

    def outside(self, name: str) -> bool:
        """Whether a graph around this one has a node of this id."""

    def subgraph(self, document: object, pointer: str) -> Program | None:
        """The program of a body inside; None if there are mistakes in it."""


class NodeReader:
    """Reads node `i` of a graph, posted as `entry`. A `place` is a pointer from the node's own."""

    __slots__ = ("entry", "graph", "i", "id", "name", "reading")

    def __init__(self, graph: Surroundings, i: int, name: str, entry: Mapping[str, Any]) -> None:
        self.graph = graph
        self.reading = graph.reading
        self.i = i
        self.name = name
        self.id = name if 0 < len(name) <= MAX_ID else None
        self.entry = entry

    def read(self) -> tuple[Step | None, list[Argument]]:
        """The step, or None if there are mistakes in the node; and the operands as far as they are known."""
        before = self.reading.found
        call = self.call()
        if not FIELDS.keys() >= self.entry.keys():
            self.unknown_fields()
        step: Step | None = None
        args: list[Argument] = []
        if call is not None and (call.op is INPUT or call.op is CONSTANT):
            step = self.valued(call)
        else:
            args = self.arguments()
            if call is not None:
                if "value" in self.entry:
                    detail = f"Only inputs and constants have a value; {call.op.name} computes its own."
                    self.note(UnknownField, detail, "/value")
                step = self.called(call, args, clean=self.reading.found == before)
        return (step if self.reading.found == before else None), args

    # -- mistakes

    @property
    def pointer(self) -> str:
        """Where the node stands."""
        return self.graph.pointer(self.i)

    def note(
        self,
        kind: type[EngineError],
        detail: str,
        place: str,
        near: Callable[[], Sequence[str]] | None = None,
        hint: str = "",
    ) -> None:
        """Take note of a mistake at a place inside the node (`Reading.note`)."""
        self.reading.note(kind, detail, self.pointer + place, self.id, near=near, hint=hint)

    def caught(self, error: EngineError, place: str) -> None:
        """Take note of a mistake that was raised. A limit is raised again."""
        self.reading.caught(error, self.pointer + place, self.id)

    # -- fields

    def unknown_fields(self) -> None:
        """Take note of fields that mean nothing."""
        for key in self.entry:
            if key not in FIELDS:
                detail, hint = f"A node has no field {quoted(key)}.", f" Its fields are {', '.join(FIELDS)}."
                self.note(UnknownField, detail, below("", key), partial(near_field, key), hint)

    def call(self) -> Call | None:
        """How the node's op is called; None if there is no such op, which is noted."""
        op = self.entry.get("op")
        if not isinstance(op, str):
            problem = f"is the name of an op, not {type_name(op)}" if "op" in self.entry else "is missing"
            self.note(InvalidField, f"The op of node {quoted(self.name)} {problem}.", "/op")
            return None
        call = self.reading.call(op)
        if call is None:
            if self.reading.full:
                self.reading.count_mistakes(1)
            else:
                try:
                    registry.find(op)
                except UnknownOp as error:
                    self.caught(error, "/op")
        return call

    def arguments(self) -> list[Argument]:
        """The operands in `inputs`; those that are wrong are noted, and None."""
        refs = self.entry.get("inputs", ())
        if not isinstance(refs, list):
            if "inputs" in self.entry:
                meant = f" ([{quoted(refs)}])" if isinstance(refs, str) else ""
                detail = f"inputs is a list of ids and constants{meant}, not {type_name(refs)}."
                self.note(InvalidField, detail, "/inputs")
            return []
        position = self.graph.position
        args: list[Argument] = []
        for k, ref in enumerate(refs):
            if ref is None:
                args.append(None)
            elif type(ref) is str and ref in position:
                args.append(position[ref])
            elif type(ref) is str and ref not in NON_FINITE:
                self.unknown(ref, k)
                args.append(None)
            else:
                args.append(self.constant(ref, f"operand {k}", f"/inputs/{k}"))
        return args

    def unknown(self, ref: str, k: int) -> None:
        """Take note of operand `k` that no node is."""
        detail = f"{quoted(self.name)} takes {quoted(ref)}, but there is no node of this id."
        if not self.graph.outside(ref):
            near = partial(self.graph.near, ref, self.i)
            self.note(UnknownNode, detail, f"/inputs/{k}", near, written_number(ref))
            return
        detail = (
            f"{quoted(self.name)} takes {quoted(ref)}, which is outside of the subgraph. A subgraph sees only what is "
            "inside it: pass the outer node as an operand, and name it among the subgraph's inputs."
        )
        self.note(UnknownNode, detail, f"/inputs/{k}")

    def constant(self, value: Any, what: str, place: str) -> Literal | None:
        """A value written into the node; None if it is none, which is noted."""
        if type(value) is float or type(value) is int:
            literal = self.reading.number(value)
            if literal is not None:
                return literal
        first: Any = value
        while isinstance(first, list) and first:
            first = first[0]
        if isinstance(value, list) and isinstance(first, str) and first in self.graph.position:
            detail = f"A list here is an array of numbers, but {quoted(first)} is a node; ids are not listed."
            self.note(InvalidField, detail, place)
            return None
        if isinstance(value, dict) and value.keys() == {"input"}:
            detail = '{"input": k} has a meaning inside attributes only; in inputs stand ids and constants.'
            self.note(InvalidField, detail, place)
            return None
        most, what = self.reading.limits.elements, f"{what} of {quoted(self.name)}"
        try:
            return to_literal(read_value(value, most_elements=most, what=what, pointer=self.pointer + place))
        except EngineError as error:
            self.caught(error, place)
            return None

    def attrs(self) -> Mapping[str, Any] | None:
        """The posted `attrs`; None if they are no object, which is noted."""
        attrs = self.entry.get("attrs", NO_ATTRS)
        if isinstance(attrs, dict):
            return attrs
        self.note(InvalidField, f"attrs is an object, not {type_name(attrs)}.", "/attrs")
        return None

    # -- inputs and constants

    def valued(self, call: Call) -> Step | None:
        """An input, whose value is its default, or a constant."""
        op, entry = call.op, self.entry
        if entry.get("inputs", []) != []:
            self.note(Arity, f"{op.name} takes no operands.", "/inputs")
        attrs = self.attrs() or {}
        for key in attrs:
            if key != "value":
                detail = f"{op.name} has no argument {quoted(key)}, only value."
                self.note(InvalidAttribute, detail, below("/attrs", key))
        place = "/value" if "value" in entry else "/attrs/value" if "value" in attrs else ""
        if "value" in entry and "value" in attrs:
            self.note(InvalidField, "The value is given twice, here and beside attrs.", "/attrs/value")
        if op is CONSTANT and not place:
            self.note(InvalidField, f"The constant {quoted(self.name)} has no value.", "/value")
        if op is INPUT and self.graph.parameters is not None:
            if self.i >= self.graph.parameters:
                detail = f"{quoted(self.name)} is missing in the list of the subgraph's inputs."
                self.note(InvalidField, detail, "/id")
            if place:
                detail = "The inputs of a subgraph get their values as operands; they have no defaults."
                self.note(InvalidField, detail, place)
        if not place:
            return Step(self.name, op, (), NO_ATTRS, self.i)
        literal = self.constant(entry["value"] if place == "/value" else attrs["value"], "the value", place)
        return None if literal is None else Step(self.name, op, (), {"value": literal}, self.i)

    # -- calls

    def called(self, call: Call, args: list[Argument], clean: bool) -> Step | None:
        """A node of the catalogue; `clean` if nothing was wrong with it so far."""
        op, attrs = call.op, self.attrs()
        if attrs is None:
            return None
        before = self.reading.found
        given: dict[str, Any] = {}
        keys: dict[str, str] = {}
        for key, value in attrs.items():
            parameter = call.parameters.get(key)
            if parameter is None:
                detail = f"{op.name} has no argument {quoted(key)}: {call.signature}."
                self.note(
                    InvalidAttribute, detail, below("/attrs", key), partial(nearest, key, call.parameters)
                )
            elif parameter.name in keys:
                detail = f"{op.name} has its argument {parameter.name} twice, as {keys[parameter.name]} and as {key}."
                self.note(InvalidAttribute, detail, below("/attrs", key))
            else:
                keys[parameter.name] = key
                if isinstance(parameter, Attr):
                    given[parameter.name] = self.attribute(call, parameter, value, key)
                else:
                    given[parameter.name] = self.named_operand(call, parameter, value, f"/attrs/{key}")
        if not clean or self.reading.found > before:
            return None
        shape = (len(args), *given)
        refers = next((True for v in given.values() for _ in references_in(v)), False)
        if shape in call.shapes and None not in args and not refers:
            kept = {n: v for n, v in given.items() if not is_default(call.attrs[n], v)}
            return Step(self.name, op, tuple(args), kept or NO_ATTRS, self.i)
        return self.checked(call, args, given, keys)

    def attribute(self, call: Call, attr: Attr, value: Any, key: str) -> Any:
        """A static attribute in canonical form; None if it is wrong, which is noted."""
        found = self.reading.found
        if isinstance(value, dict) and attr.kind.name.startswith(SUBGRAPH):
            value = self.graph.subgraph(value, f"{self.pointer}/attrs/{key}")
        elif type(value) is float and not math.isfinite(value):
            detail = f'{call.op.name}: {attr.name} is beyond double range; infinity is written "Infinity".'
            self.note(InvalidAttribute, detail, f"/attrs/{key}")
        elif attr.kind is INDEX and isinstance(value, list):
            value = [
                self.index_array(item, f"/attrs/{key}/{k}")
                if isinstance(item, list) or (isinstance(item, dict) and "data" in item)
                else item
                for k, item in enumerate(value)
            ]
        if self.reading.found > found:
            return None
        try:
            return check_attr(call.op, attr, value)
        except InvalidAttribute as error:
            self.caught(error, f"/attrs/{key}")
            return None

    def index_array(self, value: Any, place: str) -> IndexArray | None:
        """A constant array inside an index: integers, also written as 2.0, or booleans."""
        what = f"an array in the index of {quoted(self.name)}"
        try:
            array, weak, _ = read_value(
                value, most_elements=MAX_LISTED, what=what, pointer=self.pointer + place
            )
        except EngineError as error:
            self.caught(error, place)
            return None
        if weak and bool((np.isfinite(array) & (array == np.floor(array)) & (np.abs(array) < 2.0**63)).all()):
            array = array.astype(np.int64)
        if array.dtype not in (np.int64, np.bool_):
            self.note(InvalidArray, f"A{what[1:]} holds integers or booleans.", place)
            return None
        return IndexArray(array)

    def named_operand(self, call: Call, operand: Operand, value: Any, place: str) -> Any:
        """An operand that stands in attrs by its name, and is therefore constant."""
        if isinstance(value, str) and value not in NON_FINITE and value in self.graph.position:
            detail = f"{call.op.name}: {operand.name} in attrs is a constant; {quoted(value)} is a node, for inputs."
            self.note(InvalidAttribute, detail, place)
            return None
        if value is None and operand.optional:
            return None
        if operand.variadic and isinstance(value, list):
            return [self.constant(v, f"{operand.name}[{k}]", f"{place}/{k}") for k, v in enumerate(value)]
        return self.constant(value, operand.name, place)

    def checked(
        self, call: Call, args: list[Argument], given: dict[str, Any], keys: Mapping[str, str]
    ) -> Step | None:
        """A call whose arguments are right one by one: nothing is missing, and references lead to operands."""
        op, before = call.op, self.reading.found
        for name in call.needed:
            if name not in given:
                self.note(Arity, f"{op.name} needs its argument {name}: {call.signature}.", f"/attrs/{name}")
        references = {k: name for name, v in given.items() for k in references_in(v)}
        for k, name in references.items():
            if not 0 <= k < len(args) or args[k] is None:
                problem = (
                    "that one is null" if 0 <= k < len(args) else f"there are {len(args)}, counted from 0"
                )
                detail = f'{op.name}: {{"input": {k}}} in {name} means operand {k} in inputs, but {problem}.'
                self.note(InvalidAttribute, detail, f"/attrs/{keys[name]}")
        # Behind the operands that the op declares stand those that only an attribute refers to.
        own = len(args)
        if references and not call.variadic:
            least = len(call.required.difference(given))
            while own > least and own - 1 in references:
                own -= 1
        for k in range(own):
            operand = call.operands[min(k, len(call.operands) - 1)] if k < call.most else None
            if operand is not None and operand.named and isinstance(args[k], Literal):
                detail = (
                    f"{op.name} takes a constant {operand.name} by its name, in attrs (as it takes axis):"
                )
                self.note(Arity, f"{detail} {call.signature}.", f"/inputs/{k}")
            if args[k] is None and operand is not None and not operand.optional:
                detail = f"{op.name} needs its operand {operand.name}: {call.signature}."
                self.note(
                    Arity, f"{detail} null stands for an optional one that is left out.", f"/inputs/{k}"
                )
        return (
            self.bound(call, args, own, given, keys, bool(references))
            if self.reading.found == before
            else None
        )

    def bound(
        self,
        call: Call,
        args: list[Argument],
        own: int,
        given: dict[str, Any],
        keys: Mapping[str, str],
        references: bool,
    ) -> Step | None:
        """The step, if the op takes as many operands; `own` of them are its own, the others further ones."""
        op = call.op
        positional: list[Any] = [None if args[k] is None else k for k in range(own)]
        for k, p in enumerate(call.operands[:own]):
            if p.named and positional[k] is None and p.name in given:  # its place is kept by a null
                given = dict(given)
                positional[k] = given.pop(p.name)
        try:
            bound = bind(op, positional, given, spelling=call.spelling)
        except (Arity, InvalidAttribute) as error:
            self.caught(error, self.arity_place(call, own, given, keys))
            if not given:
                call.wrong.add(len(args))
            return None
        operands: list[Argument] = []
        moved: dict[int, int] = {}
        for value in bound.operands:
            if type(value) is int:
                moved[value] = len(operands)
                operands.append(args[value])
            else:
                operands.append(value)
        for k in range(own, len(args)):
            moved[k] = len(operands)
            operands.append(args[k])
        attrs = NO_ATTRS
        if bound.attrs:
            # Defaults of another spelling come from `bind` as they are written in the catalogue.
            canonical = {
                n: v if n in given else check_attr(op, call.attrs[n], v) for n, v in bound.attrs.items()
            }
            attrs = {
                n: renumbered(v, moved) for n, v in canonical.items() if not is_default(call.attrs[n], v)
            }
            attrs = attrs or NO_ATTRS
        step = Step(self.name, op, tuple(operands), attrs, self.i)
        if op is ITEM:
            return step if self.reads_a_result(step) else None
        if operands == args and None not in args and not references and bound.attrs.keys() == given.keys():
            call.shapes.add((len(args), *given))
            if not given and op.count(attrs) == 1:
                call.plain[len(args)] = attrs
        return step

    def arity_place(self, call: Call, own: int, given: Mapping[str, Any], keys: Mapping[str, str]) -> str:
        """Place of a wrong number of operands: the one too many, or where the missing one should stand."""
        twice = next((p.name for p in call.operands[:own] if p.name in given), None)
        if twice is not None:
            return f"/attrs/{keys[twice]}"
        if own > call.most:
            return f"/inputs/{call.most}"
        return f"/inputs/{own}" if "inputs" in self.entry else "/inputs"

    def reads_a_result(self, step: Step) -> bool:
        """Whether an `item` reads a node, by an index from 0. What that node has is known only later."""
        if type(step.operands[0]) is not int:
            self.note(
                InvalidField,
                "item reads a result of a node; its operand is an id, not a constant.",
                "/inputs/0",
            )
            return False
        if step.attrs["index"] < 0:
            detail = f"item: index counts the results from 0; {step.attrs['index']} is negative."
            self.note(InvalidAttribute, detail, "/attrs/index")
            return False
        return True


# ------------------------------------------------------------------------------------------------------------ details


def near_field(key: str) -> Sequence[str]:
    """The field of a node that may have been meant."""
    return [MEANT[key]] if key in MEANT else nearest(key, FIELDS)


def references_in(value: Any) -> Iterator[int]:
    """Positions of the operands that a canonical attribute refers to."""
    if isinstance(value, InputRef):
        yield value.index
    elif isinstance(value, tuple):
        for part in value:
            if isinstance(part, InputRef | tuple):
                yield from references_in(part)


def renumbered(value: Any, moved: Mapping[int, int]) -> Any:
    """A canonical attribute whose references follow their operands."""
    if isinstance(value, InputRef):
        return InputRef(moved[value.index])
    if isinstance(value, Slice):
        return Slice(*(renumbered(part, moved) for part in value))
    if isinstance(value, tuple) and any(True for _ in references_in(value)):
        return tuple(renumbered(part, moved) for part in value)
    return value


def written_number(text: str) -> str:
    """A hint for a number in quotation marks; nothing for other texts."""
    try:
        value = float(text) if len(text) <= 40 else None
    except ValueError:
        return ""
    if value is None:
        return ""
    if math.isfinite(value):
        return " A number is written without quotation marks."
    return ' The non-finite numbers are "NaN", "Infinity" and "-Infinity".'
