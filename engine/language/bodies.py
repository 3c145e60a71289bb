"""What loops, choices and functions of functions have in common: bodies, and the nodes that have them.

A body is read into a list of its own (`Walker.inside`). What it uses from around it became an input of it on the way;
here these inputs are put in order, become operands of the node, and the body a program.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from typing import Any

import numpy as np

from engine.errors import EngineError, Unsupported
from engine.language.fold import is_literal
from engine.language.functions import Apply
from engine.language.recorder import BodyRecorder, Recorder
from engine.language.values import Function, Ref, Several, Tuple, Unset, Value, alike, leaves, rebuilt
from engine.language.walker import Walker, whole
from engine.op import Op, check_attrs, registry
from engine.program import CONSTANT, Argument, Literal, Program


def op_of(walker: Walker, name: str, at: int) -> Op | None:
    """The op that a statement or a function of functions becomes; None, and a mistake, where it is not offered."""
    op = registry.get(name)
    if op is None:
        walker.recorder.mistake(Unsupported(f"{name} is not offered here."), at)
    return op


def has(op: Op, attr: str) -> bool:
    """Whether an op has an attribute."""
    return any(a.name == attr for a in op.attrs)


def captures(bodies: Sequence[BodyRecorder]) -> list[tuple[Recorder, int]]:
    """What bodies use from around them: lists and positions, each once, in the order in which they were met."""
    found: dict[tuple[Recorder, int], None] = {}
    for body in bodies:
        found.update(dict.fromkeys(body.captured))
    return list(found)


def inputs_for(
    body: BodyRecorder, keys: Sequence[tuple[Recorder, int]], names: Sequence[str | None]
) -> list[int | str]:
    """A body's inputs for captured values, in this order; those that it does not use have a name only."""
    return [
        body.captured[key].index if key in body.captured else (name or "x")
        for key, name in zip(keys, names, strict=True)
    ]


def capture_names(bodies: Sequence[BodyRecorder], keys: Sequence[tuple[Recorder, int]]) -> list[str | None]:
    """The names of captured values, as the first body that uses them calls them."""
    return [
        next((b.wishes[~b.captured[key].index] for b in bodies if key in b.captured), None) for key in keys
    ]


def constants(walker: Walker, keys: Sequence[tuple[Recorder, int]]) -> list[Argument]:
    """Captured values as operands of the node that is written in the list around."""
    for home, _ in keys:
        assert home is walker.recorder, "captured step by step"
    return [index for _, index in keys]


def result_of(walker: Walker, value: Value, at: int, integers: bool) -> int:
    """A value as a result of the body that is being read; a number becomes a constant.

    With `integers` a number that was written as an integer is one: it counts, and is not computed with.
    """
    if type(value) is Ref:
        return walker.local(value).index
    argument = walker.operand(value, at)
    if isinstance(argument, Literal):
        if integers and is_literal(value) and whole(value):
            argument = Literal(argument.value.astype(np.int64), weak=False)
        return walker.recorder.emit(CONSTANT, (), {"value": argument}, at)
    return argument


def write(
    walker: Walker,
    op: Op,
    operands: Sequence[Argument],
    attrs: Mapping[str, Any],
    count: int,
    at: int,
    first: int = 0,
) -> list[Ref]:
    """The node of an op with bodies, and its `count` results, from `first` on."""
    try:
        checked = check_attrs(op, attrs)
    except EngineError as error:
        walker.recorder.mistake(error, at)
        return [walker.placeholder(at) for _ in range(first, count)]
    index = walker.recorder.emit(op, operands, checked, at)
    if count == 1:
        return [Ref(walker.recorder, index)][first:]
    several = Several(walker.recorder, index, op, count)
    return [walker.item(several, k, at) for k in range(first, count)]


class Traced:
    """A function that was read as a body: its list, and its result with the positions of the parts of it."""

    __slots__ = ("body", "inputs", "outputs", "result")

    def __init__(self, body: BodyRecorder, inputs: list[int], result: Value, outputs: list[int]) -> None:
        self.body = body
        self.inputs = inputs
        self.result = result
        self.outputs = outputs

    def program(
        self, keys: Sequence[tuple[Recorder, int]], at: int, bodies: Sequence[BodyRecorder] = ()
    ) -> Program:
        """The body with its own inputs first, then those for what was captured."""
        names = capture_names(bodies or [self.body], keys)
        return self.body.finish_body([*self.inputs, *inputs_for(self.body, keys, names)], self.outputs, at)


def is_data(value: Value) -> bool:
    """Whether a value is made of arrays and numbers alone."""
    return all(isinstance(v, Ref) or is_literal(v) for v in leaves(value))


def trace(
    walker: Walker,
    function: Function,
    arguments: Sequence[Value],
    at: int,
    *,
    changing: bool,
    integers: bool = False,
    mapped: Sequence[bool] | None = None,
    keywords: Mapping[str, tuple[Value, int]] = {},
) -> Generator[Any, Any, Traced]:
    """The walk that reads a function as a body.

    Each leaf of an argument is an input of the body; where `mapped` says False, the argument is passed as it is.
    """
    with walker.inside(at, changing) as body:
        given: list[Value] = []
        own: list[int] = []
        for k, argument in enumerate(arguments):
            if mapped is not None and not mapped[k]:
                given.append(argument)
                continue
            parts = list(leaves(argument))
            wish = function.wishes(k)
            entries: list[Value] = []
            for n, part in enumerate(parts):
                name = wish if len(parts) == 1 or wish is None else f"{wish}_{n}"
                entry = body.entry(name, at)
                if type(part) is Ref and part.bad:
                    entry.bad = True
                entries.append(entry)
                own.append(entry.index)
            given.append(rebuilt(argument, iter(entries)))
        result = settled(walker, (yield Apply(function, given, at, keywords)), function, at)
        outputs = [result_of(walker, v, at, integers) for v in leaves(result)]
    return Traced(body, own, result, outputs)


def settled(walker: Walker, value: Value, function: Function, at: int) -> Value:
    """What a function returned, as arrays and tuples of them."""
    if type(value) is Several:
        if value.count is None:
            walker.recorder.wrong(at, f"{value.op.name} has several results: unpack or index them.")
            return walker.placeholder(at)
        return Tuple([walker.item(value, k, at) for k in range(value.count)])
    if type(value) is Unset:
        walker.recorder.wrong(at, value.why)
        return walker.placeholder(at)
    if isinstance(value, Function):
        walker.recorder.wrong(
            at,
            f"{function.title} returns a function; what is computed when the program runs are arrays only.",
        )
        return walker.placeholder(at)
    return value


def operands_of(walker: Walker, value: Value, at: int) -> list[Argument]:
    """The leaves of a value as operands."""
    return [walker.operand(v, at) for v in leaves(value)]


def same_form(walker: Walker, a: Value, b: Value, what: str, at: int) -> bool:
    """Whether two values are tuples of one form; notes a mistake if they are not."""
    if alike(a, b):
        return True
    walker.recorder.wrong(at, f"{what}: one has {_form(a)}, the other {_form(b)}.")
    return False


def _form(value: Value) -> str:
    if type(value) is not Tuple:
        return "one value"
    inner = any(type(v) is Tuple for v in value.items)
    return f"{len(value.items)} values" + (" (tuples among them)" if inner else "")
