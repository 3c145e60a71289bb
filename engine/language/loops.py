"""`for` and `while` statements: the body is read once, and becomes the body of a `fori_loop`, a `scan` or a `while_loop`.

A name that the body assigns and that had a value before (or is read in the body before it is assigned there) goes round
in the loop: it is a *carry*. Other names that it assigns are the body's own; their last value is visible behind the loop.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from typing import Any

import numpy as np

from engine.language.bodies import (
    alike,
    capture_names,
    captures,
    constants,
    has,
    inputs_for,
    is_data,
    leaves,
    op_of,
    rebuilt,
    result_of,
    write,
)
from engine.language.branches import truth
from engine.language.fold import EXACT, is_literal
from engine.language.functions import Run, assigned_names
from engine.language.parser import target_names
from engine.language.recorder import BodyRecorder
from engine.language.statements import bind, unpacked
from engine.language.syntax import Call, Constant, Display, Expression, For, Name, While
from engine.language.values import Function, Lazy, Ref, Several, Tuple, Unset, Value
from engine.language.walker import MISSING, Missing, Walk, Walker, walks, whole
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
        before = self.walker.settled(self.before)
        if not is_data(before):  # type: ignore[arg-type]  # not MISSING
            return before  # type: ignore[return-value]  # a function, say, which the loop does not change
        self.before = before
        return entries(self.body, before, self.name, self.at)  # type: ignore[arg-type]  # not MISSING


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
        self.at = at = node.at
        self.end = node.body.end
        self.frame = walker.frame
        self.before: dict[str, Value | Missing] = {n: self.frame.names.get(n, MISSING) for n in names}
        line = walker.recorder.source.where(at)
        self.place = f"in line {line.line}" if line is not None else ""

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
            if value is MISSING:
                self.frame.names.pop(n, None)
            else:
                self.frame.names[n] = value
        return after

    def sort(
        self, carries: dict[str, Carry], after: dict[str, Value | Missing], surely: bool, also: Sequence[str] = ()
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
            if type(end) is Several and end.count is not None:
                end = self._spread(carry.body, end)
            if type(end) is Unset or not is_data(end):  # type: ignore[arg-type]  # not MISSING
                why = end.why if type(end) is Unset else (
                    f"'{n}' is {'a function' if isinstance(end, Function) else 'no array'} in the loop {self.place}; "
                    "only arrays come out of a loop."
                )
                self.frame.names[n] = Unset(why)
                continue
            if carry.read or n in also or (carry.exists and not surely):
                if not is_data(carry.settle()):
                    self.frame.names[n] = Unset(f"'{n}' changes from a function to an array in the loop {self.place}.")
                    continue
                around[n] = end  # type: ignore[assignment]  # not MISSING
            elif self.walker.live(n, self.frame, self.at, self.end):
                out[n] = end  # type: ignore[assignment]  # not MISSING
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
            elif isinstance(argument, Literal):
                argument = Literal(argument.value.astype(np.int64), weak=False)
        operands.append(argument)
    return operands, tuple(integers)


# ---------------------------------------------------------------------------------------------------------------- while


@walks(While)
def _while(walker: Walker, node: While) -> Walk:
    op = op_of(walker, "while_loop", node.at)
    if op is None:
        return
    turn = Round(walker, assigned_names(node.body.statements), node)
    with walker.inside(node.at, True) as test:
        tested = turn.enter(test)
        condition = walker.array((yield node.condition), node.condition.at)
        turn.leave()
        known = truth(walker, condition, node.condition.at)
        if known is False:
            _never(walker, turn.names, node)
            return
        if known:
            walker.recorder.wrong(
                node.condition.at,
                "This loop would never end: its condition always holds. (`break` is not part of the language: the condition "
                "says when to go on.)",
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
    extra = turn.close(body, carries, {}) + _outs(walker, body, out, turn)
    keys = captures([test, body])
    names = capture_names([test, body], keys)
    programs = []
    for recorder, made, results in ((test, tested, [outcome]), (body, carries, [*outputs, *extra])):
        inputs: list[int | str] = []
        for n in around:
            inputs += [v.index for v in leaves(_entered(recorder, made[n], around[n]))]  # type: ignore[union-attr]  # entries
        inputs += inputs_for(recorder, keys, names)
        programs.append(recorder.finish_body(inputs, results, node.at))
    initial = [v for n in around for v in leaves(walker.settled(carries[n].before))]  # type: ignore[arg-type]  # data
    operands, integers = starts(walker, op, initial, node.at)
    attrs: dict[str, Any] = {"carry": len(initial), "cond": programs[0], "body": programs[1]}
    if integers:
        attrs["integers"] = integers
    if extra:
        attrs["locals"] = len(extra)
    if not initial:
        walker.recorder.wrong(
            node.at, "Nothing that this `while` looks at changes in its body: it would never end, or never begin."
        )
        return
    results = write(walker, op, [*operands, *constants(walker, keys)], attrs, len(outputs) + len(extra), node.at)
    walker.carried = list(around)
    turn.bind({**around, **out}, results)


def _entered(recorder: BodyRecorder, carry: Carry, like: Value) -> Value:
    """A carry's inputs in one of the two bodies of a `while`, made if that body does not read it."""
    value = carry.settle()
    if is_data(value) and alike(value, like):
        return value
    return entries(recorder, like, carry.name, carry.at)


def _outs(walker: Walker, body: BodyRecorder, out: dict[str, Value], turn: Round) -> list[int]:
    """The body's results for names that only come out."""
    outer, walker.recorder = walker.recorder, body
    made = [result_of(walker, v, turn.names[n], True) for n, end in out.items() for v in leaves(end)]
    walker.recorder = outer
    return made


# ------------------------------------------------------------------------------------------------------------------ for


class Source:
    """What a `for` goes through. `count` is how often it goes round, where that is known while the text is read."""

    count: int | None = None
    backwards = False

    def arrays(self) -> list[Value]:
        """The arrays that are gone through along their leading axis."""
        return []

    def value(self, walker: Walker, index: Ref | None, slices: Any) -> Value:
        """The value in one step: `index` counts the steps, `slices` yields the arrays' entries."""
        raise NotImplementedError


class Counter(Source):
    """`range(start, stop, step)`, or what `enumerate` counts (`stop` is None)."""

    def __init__(self, start: Value, stop: Value, step: Value, at: int) -> None:
        self.start = start
        self.stop = stop
        self.step = step
        self.at = at
        numbers = [_integer(v) for v in (start, stop, step)]
        if None not in numbers and numbers[2]:
            self.count = len(range(*numbers))  # type: ignore[arg-type]  # integers
            self.last = numbers[0] + (self.count - 1) * numbers[2]  # type: ignore[operator]  # likewise

    @property
    def plain(self) -> bool:
        """Whether the step is 1."""
        return _integer(self.step) == 1

    def value(self, walker: Walker, index: Ref | None, slices: Any) -> Value:
        """start + step · index."""
        value: Value = index
        if not self.plain:
            value = walker.operate("*", _inside(walker, self.step), value, self.at, self.at, self.at)
        if _integer(self.start) != 0:
            value = walker.operate("+", _inside(walker, self.start), value, self.at, self.at, self.at)
        return value


class Rows(Source):
    """An array, along its leading axis."""

    def __init__(self, value: Value, node: Expression) -> None:
        self.array = value
        if type(node) is Display and isinstance(value, np.ndarray):
            # A list of numbers without points holds integers here: it is what one indexes with.
            if all(type(item) is Constant and type(item.value) is int for item in node.items):
                self.array = value.astype(np.int64)
        known = value.static if type(value) is Ref else value
        if isinstance(known, np.ndarray):
            self.count = len(known)
        elif type(value) is Ref and value.items is not None:
            self.count = len(value.items)

    def arrays(self) -> list[Value]:
        """The array itself."""
        return [self.array]

    def value(self, walker: Walker, index: Ref | None, slices: Any) -> Value:
        """Its entry."""
        return next(slices)  # type: ignore[no-any-return]  # a Ref


class Together(Source):
    """`zip`, or `enumerate`: several sources at once."""

    def __init__(self, parts: Sequence[Source]) -> None:
        self.parts = parts
        self.count = next((p.count for p in parts if p.count is not None and p.arrays()), None)

    def arrays(self) -> list[Value]:
        """Those of all parts."""
        return [a for p in self.parts for a in p.arrays()]

    def value(self, walker: Walker, index: Ref | None, slices: Any) -> Value:
        """A tuple of the parts' values."""
        return Tuple([p.value(walker, index, slices) for p in self.parts])


def _integer(value: Value) -> int | None:
    """A value that is a known integer."""
    known = value.static if type(value) is Ref else value
    if isinstance(known, bool) or not isinstance(known, int | float):
        return None
    return int(known) if float(known).is_integer() and abs(known) < EXACT else None


def _inside(walker: Walker, value: Value) -> Value:
    """A value from around a body as one of it."""
    return walker.local(value) if type(value) is Ref else value


class Unrolled:
    """Values that a `for` goes through one by one: a tuple, the results of an op."""

    def __init__(self, items: Sequence[Value]) -> None:
        self.items = items


def _source(walker: Walker, node: Expression, depth: int = 0) -> Generator[Any, Any, Source | Unrolled | None]:
    """What stands behind `in`; None after a mistake."""
    name = node.function.name if type(node) is Call and type(node.function) is Name else ""
    if type(node) is Call and name in ("range", "enumerate", "zip", "reversed") and walker.peek(name) is MISSING:
        if depth > 4:
            walker.recorder.wrong(node.at, "This is nested too deeply for a `for`: give its parts names before the loop.")
            return None
        return (yield from _SOURCES[name](walker, node, depth))
    value = yield node
    if type(value) is Tuple:
        return Unrolled(value.items)
    if type(value) is Several:
        if value.count is not None:
            return Unrolled([walker.item(value, k, node.at) for k in range(value.count)])
        walker.recorder.wrong(node.at, f"{value.op.name} has several results: unpack them first.")
        return None
    if isinstance(value, np.ndarray) and value.ndim:
        return Rows(value, node)
    if type(value) is Ref:
        return Rows(value, node)
    if isinstance(value, float | int):
        hint = f": write range({value})." if isinstance(value, int) else "."
        walker.recorder.wrong(node.at, f"A number cannot be gone through{hint}")
        return None
    walker.operand(value, node.at)  # notes the mistake
    return None


def _range(walker: Walker, node: Call, depth: int) -> Generator[Any, Any, Source | None]:
    if node.keywords or not 1 <= len(node.positional) <= 3:
        walker.recorder.wrong(node.at, "range takes one to three integers: range(stop), range(start, stop, step).")
        return None
    values: list[Value] = []
    for argument in node.positional:
        value = walker.array((yield argument), argument.at)
        if isinstance(value, float | int | np.ndarray | str | None) and _integer(value) is None:
            shown = value if isinstance(value, float | int) else "this"
            walker.recorder.wrong(argument.at, f"range needs integers; {shown} is none.")
            return None
        if type(value) is not Ref and not is_literal(value):
            walker.operand(value, argument.at)
            return None
        values.append(value)
    start, stop, step = (0, values[0], 1) if len(values) == 1 else (*values, 1)[:3]
    if _integer(step) == 0:
        walker.recorder.wrong(node.at, "The step of a range cannot be 0.")
        return None
    return Counter(start, stop, step, node.at)


def _enumerate(walker: Walker, node: Call, depth: int) -> Generator[Any, Any, Source | Unrolled | None]:
    start: Value = 0
    named = [k for k in node.keywords if k.name == "start"]
    if not 1 <= len(node.positional) <= 2 or len(named) < len(node.keywords):
        walker.recorder.wrong(node.at, "enumerate takes an array, and where to start counting.")
        return None
    inner = yield from _source(walker, node.positional[0], depth + 1)
    if len(node.positional) == 2 or named:
        start = yield (node.positional[1] if len(node.positional) == 2 else named[0].value)
    if inner is None:
        return None
    if isinstance(inner, Unrolled):
        first = _integer(start) or 0
        return Unrolled([Tuple([first + k, v]) for k, v in enumerate(inner.items)])
    return Together([Counter(start, None, 1, node.at), inner])


def _zip(walker: Walker, node: Call, depth: int) -> Generator[Any, Any, Source | Unrolled | None]:
    parts = []
    for argument in node.positional:
        parts.append((yield from _source(walker, argument, depth + 1)))
    if None in parts:
        return None
    if parts and all(isinstance(p, Unrolled) for p in parts):
        return Unrolled([Tuple(values) for values in zip(*(p.items for p in parts), strict=False)])
    if any(isinstance(p, Unrolled) for p in parts):
        walker.recorder.wrong(node.at, "zip cannot mix tuples with arrays: write the tuple as a list, [a, b].")
        return None
    if not any(p.arrays() for p in parts) or node.keywords:
        walker.recorder.wrong(node.at, "zip takes arrays of one length.")
        return None
    return Together(parts)


def _reversed(walker: Walker, node: Call, depth: int) -> Generator[Any, Any, Source | Unrolled | None]:
    if depth or len(node.positional) != 1 or node.keywords:
        walker.recorder.wrong(node.at, "reversed takes one array or range, and stands directly behind `in`.")
        return None
    inner = yield from _source(walker, node.positional[0], depth + 1)
    if isinstance(inner, Unrolled):
        return Unrolled(inner.items[::-1])
    if isinstance(inner, Counter):
        sub = _operator(walker, "-", node.at)
        if inner.count:
            step = _integer(inner.step) or 1
            return Counter(inner.last, inner.last - (inner.count) * step, -step, node.at)
        if inner.plain:
            return Counter(sub(inner.stop, 1), sub(inner.start, 1), -1, node.at)
    if isinstance(inner, Rows):
        inner.backwards = True
        return inner
    if inner is not None:
        walker.recorder.wrong(node.at, "reversed takes one array or range here: reverse arrays with x[::-1].")
    return None


_SOURCES: dict[str, Callable[..., Any]] = {
    "range": _range,
    "enumerate": _enumerate,
    "zip": _zip,
    "reversed": _reversed,
}


def _operator(walker: Walker, sign: str, at: int) -> Callable[[Value, Value], Value]:
    return lambda a, b: walker.operate(sign, a, b, at, at, at)


@walks(For)
def _for(walker: Walker, node: For) -> Walk:
    source = yield from _source(walker, node.iterable)
    if source is None:
        return
    targets = [name.name for name in target_names(node.target)]
    if isinstance(source, Unrolled):
        for value in source.items:
            walker.spend(node.at)
            _aim(walker, node.target, walker.local(value) if type(value) is Ref else value)
            yield Run(node.body.statements)
        return
    names = assigned_names(node.body.statements)
    reassigned = set(names)
    for name in target_names(node.target):
        names.setdefault(name.name, name.at)
    if source.count == 0:
        _never(walker, names, node)
        return
    turn = Round(walker, names, node)
    counting = isinstance(source, Counter)
    op = op_of(walker, "fori_loop" if counting else "scan", node.at)
    if op is None:
        return
    with walker.inside(node.at, True) as body:
        index: Ref | None = None
        if counting or _counts(source):
            plain = counting and source.plain and _integer(source.start) is not None  # type: ignore[union-attr]  # a Counter
            wish = targets[0] if (plain or not counting) and len(targets) >= 1 else "step"
            index = body.entry(wish, node.at)
        slices = [
            body.entry(_slice_name(targets, k, not counting and _counts(source)), node.at)
            for k in range(len(source.arrays()))
        ]
        carries = turn.enter(body)
        value: Value = index if counting and _direct(source) else source.value(walker, index, iter(slices))
        _aim(walker, node.target, value)
        yield Run(node.body.statements)
        after = turn.leave()
    surely = bool(source.count)
    known = counting and source.count is not None and targets[0] not in reassigned
    if known:
        after[targets[0]] = MISSING
        carries.pop(targets[0])
    around, out = turn.sort(carries, after, surely)
    outputs = turn.close(body, carries, around)
    extra = _outs(walker, body, out, turn)
    initial = [v for n in around for v in leaves(walker.settled(carries[n].before))]  # type: ignore[arg-type]  # data
    moving = [v.index for n in around for v in leaves(carries[n].settle())]  # type: ignore[union-attr]  # entries
    keys = captures([body])
    fixed = inputs_for(body, keys, capture_names([body], keys))
    attrs: dict[str, Any] = {}
    count = len(outputs) + len(extra)
    if counting:
        operands, integers = starts(walker, op, initial, node.at)
        assert index is not None
        inputs: list[int | str] = [index.index, *moving, *fixed]
        bounds = _bounds(walker, source)  # type: ignore[arg-type]  # a Counter
        operands += constants(walker, keys)
        for name, bound in zip(("start", "stop"), bounds, strict=True):
            if isinstance(bound, int):
                attrs[name] = bound
            else:
                attrs[name] = InputRef(len(operands))
                operands.append(walker.operand(bound, node.iterable.at))
        results = outputs + extra
    else:
        # The index goes round, too: it is the first carry.
        if index is not None:
            initial = [0, *initial]
            moving = [index.index, *moving]
            outer, walker.recorder = walker.recorder, body
            step = walker.operate("+", index, 1, node.at, node.at, node.at)
            walker.recorder = outer
            assert type(step) is Ref
            outputs = [step.index, *outputs]
            count += 1
        operands, integers = starts(walker, op, initial, node.at)
        operands += [_scanned(walker, v, node.iterable.at) for v in source.arrays()]
        inputs = [*moving, *(s.index for s in slices), *fixed]
        operands += constants(walker, keys)
        results = outputs + extra
        attrs["scanned"] = len(slices)
        if source.backwards:
            attrs["reverse"] = True
    attrs["carry"] = len(initial)
    if integers:
        attrs["integers"] = integers
    if extra:
        attrs["locals"] = len(extra)
    if not outputs and not extra:  # nothing comes out: there is nothing to compute
        _last(walker, turn, source, targets, known)
        return
    attrs["body"] = body.finish_body(inputs, results, node.at)
    made = write(walker, op, operands, attrs, count, node.at, 1 if not counting and index is not None else 0)
    walker.carried = list(around)
    turn.bind({**around, **out}, made)
    _last(walker, turn, source, targets, known)


def _direct(source: Any) -> bool:
    """Whether the loop's own counter is the value."""
    return isinstance(source, Counter) and source.plain


def _counts(source: Source) -> bool:
    """Whether an index is needed beside the arrays."""
    if isinstance(source, Together):
        return any(_counts(p) for p in source.parts)
    return isinstance(source, Counter)


def _slice_name(targets: list[str], k: int, counted: bool) -> str:
    at = k + counted
    return targets[at] if at < len(targets) else f"row_{k}"


def _scanned(walker: Walker, value: Value, at: int) -> Argument:
    """An array that is gone through."""
    argument = walker.operand(value, at)
    return argument


def _bounds(walker: Walker, source: Counter) -> tuple[int | Value, int | Value]:
    """From where to where the loop's counter goes, as numbers where they are known."""
    if source.plain:
        return tuple(  # type: ignore[return-value]  # two
            n if (n := _integer(v)) is not None else v for v in (source.start, source.stop)
        )
    if source.count is not None:
        return 0, source.count
    # len(range(a, b, s)) = ⌈(b − a)/s⌉ = −⌊(a − b)/s⌋, for either sign of s.
    op = lambda sign, a, b: walker.operate(sign, a, b, source.at, source.at, source.at)  # noqa: E731
    down = op("//", op("-", source.start, source.stop), source.step)
    return 0, op("*", -1, down)


def _aim(walker: Walker, target: Expression, value: Value) -> None:
    """Bind the target of a `for`, tuples inside tuples too."""
    stack: list[tuple[Expression, Value]] = [(target, value)]
    while stack:
        part, one = stack.pop()
        if type(part) is Name:
            bind(walker, part, one, True)
            continue
        assert type(part) is Display
        places = [Name(item.at, "") for item in part.items]
        values = unpacked(walker, one, places, part.at)
        stack.extend(zip(reversed(part.items), reversed(values), strict=False))


def _never(walker: Walker, names: dict[str, int], node: For | While) -> None:
    """A loop that is known to run no time: what it assigns has the value that it had."""
    line = walker.recorder.source.where(node.at)
    place = f"in line {line.line} " if line is not None else ""
    for n in names:
        if n not in walker.frame.names:
            walker.frame.names[n] = Unset(f"'{n}' has no value: the loop {place}that assigns it runs no time.")


def _last(walker: Walker, turn: Round, source: Source, targets: list[str], known: bool) -> None:
    """The counter keeps its last value."""
    if not known:
        return
    assert isinstance(source, Counter)
    name, last = targets[0], source.last
    recorder = walker.recorder
    if recorder is walker.root and walker.own():
        literal = Literal(np.asarray(last, np.int64), weak=False)
        index = recorder.emit(CONSTANT, (), {"value": literal}, turn.names[name])
        recorder.bind(name, index, turn.names[name])
        walker.frame.names[name] = Ref(recorder, index, last)
    else:
        walker.frame.names[name] = last
