"""`for` and `while` statements: the body is read once, and becomes the body of a `fori_loop`, a `scan` or a `while_loop`.

A name that the body assigns and that had a value before (or is read in the body before it is assigned there) goes round
in the loop: it is a *carry*. Other names that it assigns are the body's own; their last value is visible behind the loop.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

import numpy as np

from engine.language.arguments import make
from engine.language.bodies import (
    capture_names,
    captures,
    constants,
    has,
    inputs_for,
    is_data,
    op_of,
    result_of,
    write,
)
from engine.language.branches import truth
from engine.language.functions import Run, assigned_names
from engine.language.hints import Refused
from engine.language.jumps import Entry, counted, forget, one_by_one, straightened
from engine.language.parser import target_names
from engine.language.recorder import BodyRecorder
from engine.language.sources import (
    Counter,
    Source,
    Unrolled,
    bounds,
    counts,
    is_direct,
    slice_name,
    source_of,
)
from engine.language.statements import bind, unpacked
from engine.language.syntax import Aim, Display, Expression, For, Name, Unary, While, is_hidden
from engine.language.values import (
    Free,
    Function,
    Lazy,
    Ref,
    Several,
    Tuple,
    Unset,
    Value,
    alike,
    leaves,
    rebuilt,
)
from engine.language.walker import GETITEM, MISSING, Missing, Walk, Walker, walks, whole
from engine.op import InputRef, Op
from engine.program import CONSTANT, Argument, Literal


class Carry(Lazy):
    """A name that the body of a loop assigns, before it has done so: it is read only if it goes round in the loop.

    `before` is its value before the loop; a name of the whole text without one is an input.
    """

    __slots__ = ("at", "before", "body", "name", "top", "walker")

    def __init__(
        self, walker: Walker, body: BodyRecorder, name: str, at: int, before: Value | Missing, top: bool
    ) -> None:
        super().__init__(self._enter)
        self.walker = walker
        self.top = top
        self.body = body
        self.name = name
        self.at = at
        self.before = before

    @property
    def exists(self) -> bool:
        """Whether the name has a value before the loop."""
        if isinstance(self.before, Carry):
            return self.before.exists
        return self.before is not MISSING and not isinstance(self.before, Unset | Function)

    @property
    def vacant(self) -> bool:
        """Whether nothing gave the name a value, before the loop or until now in it: it may be a name of the body's own."""
        before = self.before
        if self.read or isinstance(before, Lazy):
            return not self.read and isinstance(before, Lazy) and before.vacant
        if before is MISSING:
            return not self.top or (self.name not in self.walker.free and self.name not in self.walker.given)
        return type(before) is Unset

    def start(self) -> Value:
        """The value before the loop of a name that goes round."""
        before = self.walker.settled(self.before)
        assert not isinstance(before, Missing)
        return before

    @property
    def read(self) -> bool:
        """Whether it was read."""
        return self.make is None

    def _enter(self) -> Value:
        if self.before is MISSING:
            if not self.top:
                return Unset(
                    f"'{self.name}' is used in this loop before it has a value: give it one before the loop."
                )
            self.before = self.walker.input(self.name, self.at)
        self.before = before = self.start()
        if not is_data(before):
            return before  # a function, say, which the loop does not change
        return entries(self.body, before, self.name, self.at)


def entries(body: BodyRecorder, like: Value, name: str, at: int) -> Value:
    """Inputs of a body for a value that goes round, one for each array in it."""
    parts = list(leaves(like))
    names = [name] if len(parts) == 1 else [f"{name}_{k}" for k in range(len(parts))]
    made = [body.entry(n, at) for n in names]
    for entry, part in zip(made, parts, strict=True):
        entry.bad = type(part) is Ref and part.bad
    return rebuilt(like, iter(made))


class Round:
    """What goes round in a loop, and what comes out of it: filled while the body is read, then written."""

    def __init__(self, walker: Walker, names: dict[str, int], node: For | While) -> None:
        self.walker = walker
        self.names = names
        at = node.at
        self.end = node.body.end
        self.frame = walker.frame
        self.before: dict[str, Value | Missing] = {n: self.frame.names.get(n, MISSING) for n in names}
        self.at = at

    @property
    def place(self) -> str:
        """Where the loop is, for messages."""
        return self.walker.place(self.at)

    def enter(self, body: BodyRecorder) -> dict[str, Carry]:
        """Make every name that the body assigns a carry that waits for being read."""
        body.frame = self.frame
        top = self.frame is self.walker.top
        made = {n: Carry(self.walker, body, n, at, self.before[n], top) for n, at in self.names.items()}
        self.frame.names.update(made)
        return made

    def leave(self) -> dict[str, Value | Missing]:
        """The names' values at the end of the body; outside they are what they were."""
        after = {n: self.frame.names.get(n, MISSING) for n in self.names}
        for n, value in self.before.items():
            if isinstance(value, Missing):
                self.frame.names.pop(n, None)
            else:
                self.frame.names[n] = value
        return after

    def sort(
        self,
        carries: dict[str, Carry],
        after: dict[str, Value | Missing],
        surely: bool,
        also: Sequence[str] = (),
    ) -> tuple[dict[str, Value], dict[str, Value]]:
        """The names that go round and those that only come out, with their values at the body's end.

        `surely` says that the loop runs at least once; `also` are names that its condition reads.
        """
        around: dict[str, Value] = {}
        out: dict[str, Value] = {}
        for n, carry in carries.items():
            end = after[n]
            if end is carry or end is MISSING:
                if n in also and carry.exists:
                    around[n] = carry.settle()
                continue
            end = self.walker.settled(end)
            assert not isinstance(end, Missing)
            if type(end) is Several and end.count is not None:
                end = self._spread(carry.body, end)
            if not is_data(end):
                what = "a function" if isinstance(end, Function) else "no array"
                why = f"'{n}' is {what} in the loop {self.place}; only arrays come out of a loop."
                self.frame.names[n] = end if type(end) is Unset else Unset(why)
            elif carry.read or n in also or (carry.exists and not surely):
                start = carry.settle()
                if is_data(start):
                    around[n] = end
                elif type(start) is Unset:
                    out[n] = end
                else:
                    self.frame.names[n] = Unset(
                        f"'{n}' changes from a function to an array in the loop {self.place}."
                    )
            elif not is_hidden(n) and self.walker.live(n, self.frame, self.at, self.end):
                out[n] = end
            else:
                self.frame.names.pop(n, None)
        return around, out

    def _spread(self, body: BodyRecorder, value: Several) -> Value:
        outer, self.walker.recorder = self.walker.recorder, body
        parts = Tuple([self.walker.item(value, k, self.at) for k in range(value.count or 0)])
        self.walker.recorder = outer
        return parts

    def close(self, body: BodyRecorder, carries: dict[str, Carry], around: dict[str, Value]) -> list[int]:
        """The body's results for what goes round; a tuple must stay what it is."""
        outputs: list[int] = []
        outer, self.walker.recorder = self.walker.recorder, body
        for n, end in around.items():
            start = carries[n].settle()
            if not alike(start, end):
                self.walker.recorder.wrong(
                    self.names[n],
                    f"'{n}' is a tuple before the loop {self.place} or in it, and not in both, or one of another length; what "
                    "goes round in a loop keeps its form.",
                )
                end = start
            outputs += [result_of(self.walker, v, self.names[n], True) for v in leaves(end)]
        self.walker.recorder = outer
        return outputs

    def outs(self, body: BodyRecorder, out: dict[str, Value]) -> list[int]:
        """The body's results for names that only come out."""
        outer, self.walker.recorder = self.walker.recorder, body
        made = [result_of(self.walker, v, self.names[n], True) for n, end in out.items() for v in leaves(end)]
        self.walker.recorder = outer
        return made

    def initial(self, around: Iterable[str], carries: dict[str, Carry]) -> list[Value]:
        """What goes round, before the loop."""
        return [v for n in around for v in leaves(carries[n].start())]

    def moving(self, around: Iterable[str], carries: dict[str, Carry]) -> list[int]:
        """The body's inputs for what goes round."""
        return [v.index for n in around for v in leaves(carries[n].settle()) if isinstance(v, Ref)]

    def bind(self, found: dict[str, Value], results: Sequence[Value]) -> None:
        """Bind the names to the loop's results."""
        parts = iter(results)
        for n, end in found.items():
            bind(self.walker, Name(self.names[n], n), rebuilt(end, parts), True)


def starts(
    walker: Walker, op: Op, values: Sequence[Value], at: int
) -> tuple[list[Argument], tuple[int, ...]]:
    """What goes round, as operands; and which of them are integers as long as the body keeps them so."""
    operands: list[Argument] = []
    integers: list[int] = []
    declared = has(op, "integers")
    for value in values:
        argument = walker.operand(value, at)
        if whole(value):
            if declared:
                integers.append(len(operands))
            else:
                known = value.static if type(value) is Ref else value
                if isinstance(known, int):
                    argument = Literal(np.asarray(known, np.int64), weak=False)
        operands.append(argument)
    return operands, tuple(integers)


# ---------------------------------------------------------------------------------------------------------------- while


@walks(While)
def _while(walker: Walker, node: While) -> Walk:
    op = op_of(walker, "while_loop", node.at)
    if op is None:
        return
    if node.body.jumped is not None:
        body_of, flag = yield from straightened(walker, node.body, node.at)
        if flag is not None:
            walker.frame.names[flag.name] = False
        yield While(node.at, node.condition, body_of, flag)
        forget(walker, flag)
        return
    turn = Round(walker, assigned_names(node.body.statements), node)
    with walker.inside(node.at, True) as test:
        tested = turn.enter(test)
        condition = walker.array((yield node.condition), node.condition.at)
        going = (yield Unary(node.at, "not", node.flag)) if node.flag is not None else None
        turn.leave()
        known = truth(walker, condition, node.condition.at)
        if known is False:
            _never(walker, turn.names, node)
            return
        if going is not None:
            at = node.condition.at
            condition = going if known else walker.operate("and", condition, going, at, at, at)
        elif known:
            walker.recorder.wrong(
                node.condition.at,
                "This loop would never end: its condition always holds, and no `break` leaves it.",
            )
        outcome = result_of(walker, condition, node.condition.at, False)
    with walker.inside(node.at, True) as body:
        carries = turn.enter(body)
        yield Run(node.body.statements)
        after = turn.leave()
    also = [n for n, carry in tested.items() if carry.read and is_data(carry.settle())]
    for n in also:
        if carries[n].before is MISSING:
            carries[n].before = tested[n].before
    around, out = turn.sort(carries, after, False, also)
    if not has(op, "locals"):
        for n in out:
            walker.frame.names[n] = Unset(
                f"'{n}' has no value where the loop {turn.place} does not run at all: give it one before the loop."
            )
        out = {}
    outputs = turn.close(body, carries, around)
    extra = turn.outs(body, out)
    keys = captures([test, body])
    names = capture_names([test, body], keys)
    programs = []
    for recorder, made, results in ((test, tested, [outcome]), (body, carries, [*outputs, *extra])):
        inputs = [*turn.moving(around, made), *inputs_for(recorder, keys, names)]
        programs.append(recorder.finish_body(inputs, results, node.at))
    initial = turn.initial(around, carries)
    operands, integers = starts(walker, op, initial, node.at)
    attrs: dict[str, Any] = {"carry": len(initial), "cond": programs[0], "body": programs[1]}
    if integers:
        attrs["integers"] = integers
    if extra:
        attrs["locals"] = len(extra)
    if not initial:
        walker.recorder.wrong(
            node.at,
            "Nothing that this `while` looks at changes in its body: it would never end, or never begin.",
        )
        return
    operands += constants(walker, keys)
    values = write(walker, op, operands, attrs, len(outputs) + len(extra), node.at)
    walker.carried = list(around)
    turn.bind({**around, **out}, values)


# ------------------------------------------------------------------------------------------------------------------ for


@walks(For)
def _for(walker: Walker, node: For) -> Walk:
    source = yield from source_of(walker, node.iterable)
    try:
        targets = [name.name for name in target_names(node.target)]
    except Refused:  # reported already
        return
    if source is None:
        return
    flag: Name | None = None
    if node.body.jumped is not None:
        straight, flag = yield from straightened(walker, node.body, node.at)
        node = For(node.at, node.target, node.iterable, straight)
    if isinstance(source, Unrolled):
        if flag is not None:
            yield Run(one_by_one(source, node, node.body, flag))
            forget(walker, flag)
            return
        for one in source.items:
            walker.spend(node.at)
            _aim(walker, node.target, walker.local(one) if type(one) is Ref else one)
            yield Run(node.body.statements)
        return
    names = assigned_names(node.body.statements)
    reassigned = set(names)
    for target in target_names(node.target):
        names.setdefault(target.name, target.at)
    if source.count == 0:
        _never(walker, names, node)
        return
    if flag is not None:
        yield from _left(walker, source, node, flag, names)
        return
    turn = Round(walker, names, node)
    counting = isinstance(source, Counter)
    op = op_of(walker, "fori_loop" if counting else "scan", node.at)
    if op is None:
        return
    with walker.inside(node.at, True) as body:
        index: Ref | None = None
        if counting or counts(source):
            index = body.entry(targets[0] if is_direct(source) or not counting else "step", node.at)
        slices = [
            body.entry(slice_name(targets, k, not counting and counts(source)), node.at)
            for k in range(len(source.arrays()))
        ]
        carries = turn.enter(body)
        value: Value = index if is_direct(source) else source.value(walker, index, iter(slices))
        _aim(walker, node.target, value)
        yield Run(node.body.statements)
        after = turn.leave()
    known = counting and source.count is not None and targets[0] not in reassigned
    if known:
        after[targets[0]] = MISSING
        del carries[targets[0]]
    around, out = turn.sort(carries, after, bool(source.count))
    outputs = turn.close(body, carries, around)
    extra = turn.outs(body, out)
    initial, moving = turn.initial(around, carries), turn.moving(around, carries)
    keys = captures([body])
    fixed = inputs_for(body, keys, capture_names([body], keys))
    attrs: dict[str, Any] = {}
    skipped = 0
    if not isinstance(source, Counter):
        if index is not None:  # the index goes round, too: it is the first carry
            initial, moving, skipped = [0, *initial], [index.index, *moving], 1
            outputs = [_next(walker, body, index, node.at), *outputs]
        attrs["scanned"] = len(slices)
        if source.backwards:
            attrs["reverse"] = True
    if len(outputs) + len(extra) > skipped:  # else nothing comes out, and there is nothing to compute
        operands, integers = starts(walker, op, initial, node.at)
        inputs: list[int | str] = [*moving]
        if isinstance(source, Counter):
            assert index is not None
            inputs = [index.index, *moving]
        operands += [walker.operand(v, node.iterable.at) for v in source.arrays()]
        inputs += [*(s.index for s in slices), *fixed]
        operands += constants(walker, keys)
        attrs["carry"] = len(initial)
        if integers:
            attrs["integers"] = integers
        if extra:
            attrs["locals"] = len(extra)
        if isinstance(source, Counter):
            for name, bound in zip(("start", "stop"), bounds(walker, source), strict=True):
                attrs[name] = bound
                if type(bound) is Ref:
                    attrs[name] = InputRef(len(operands))
                    operands.append(walker.operand(bound, node.iterable.at))
        results = [*outputs, *extra]
        attrs["body"] = body.finish_body(inputs, results, node.at)
        made = write(walker, op, operands, attrs, len(results), node.at, skipped)
        walker.carried = list(around)
        turn.bind({**around, **out}, made)
    if known and isinstance(source, Counter):
        _last(walker, turn, source, targets[0])


def _left(walker: Walker, source: Source, node: For, flag: Name, names: dict[str, int]) -> Walk:
    """A loop that a `break` may leave: it counts its steps itself."""
    without = [n for n in names if walker.frame.names.get(n, MISSING) is MISSING]
    loop, counter = counted(walker, source, node, node.body, flag)
    yield loop
    forget(walker, flag, counter)
    if source.count:
        return
    place = walker.place(node.at)
    arrays = source.arrays()
    for n in without:
        value = walker.frame.names.get(n, MISSING)
        if n in walker.carried or isinstance(value, Missing | Unset):
            continue
        walker.frame.names[n] = (
            Lazy(partial(_after_a_step, walker, value, arrays[0], node.iterable.at))
            if arrays
            else Unset(
                f"'{n}' has no value where the loop {place} does not run at all: give it one before the loop."
            )
        )


def _after_a_step(walker: Walker, value: Value, array: Value, at: int) -> Value:
    """What a loop left, which it has only if it ran: an array without a first entry is a mistake."""
    make(walker, GETITEM, [walker.local(array) if type(array) is Ref else array], {"index": [0]}, at, [at])
    return value


@walks(Aim)
def _aimed(walker: Walker, statement: Aim) -> Walk:
    value = statement.value
    if type(value) is Entry:
        value = yield value
    _aim(walker, statement.target, walker.local(value) if type(value) is Ref else value)


def _next(walker: Walker, body: BodyRecorder, index: Ref, at: int) -> int:
    """The index of the next step."""
    outer, walker.recorder = walker.recorder, body
    step = walker.operate("+", index, 1, at, at, at)
    walker.recorder = outer
    assert type(step) is Ref
    return step.index


def _aim(walker: Walker, target: Expression, value: Value) -> None:
    """Bind the target of a `for`, tuples inside tuples too."""
    stack: list[tuple[Expression, Value]] = [(target, value)]
    while stack:
        part, one = stack.pop()
        if type(part) is Name:
            if isinstance(one, Free):
                walker.frame.names[part.name] = one
            else:
                bind(walker, part, one, True)
            continue
        assert type(part) is Display
        values = unpacked(walker, one, part.items, part.at)
        stack.extend(zip(reversed(part.items), reversed(values), strict=False))


def _never(walker: Walker, names: dict[str, int], node: For | While) -> None:
    """A loop that is known to run no time: what it assigns has the value that it had."""
    for n in names:
        if n not in walker.frame.names:
            walker.frame.names[n] = Unset(
                f"'{n}' has no value: the loop {walker.place(node.at)} that assigns it runs no time."
            )


def _last(walker: Walker, turn: Round, source: Counter, name: str) -> None:
    """The counter keeps its last value."""
    last = source.last
    recorder = walker.recorder
    walker.frame.names[name] = last
    if recorder is walker.root and walker.own():
        literal = Literal(np.asarray(last, np.int64), weak=False)
        index = recorder.emit(CONSTANT, (), {"value": literal}, turn.names[name])
        recorder.bind(name, index, turn.names[name])
        walker.frame.names[name] = Ref(recorder, index, last)
