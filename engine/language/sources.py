"""What a `for` goes through: `range`, arrays, `enumerate`, `zip`, `reversed`, tuples."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from typing import Any, TypeAlias

import numpy as np

from engine.language.fold import EXACT, is_literal
from engine.language.functions import Argument
from engine.language.syntax import Call, Constant, Display, Expression, Name
from engine.language.values import Ref, Several, Tuple, Value
from engine.language.walker import MISSING, Walker


class Source:
    """What a `for` goes through. `count` is how often it goes round, where that is known while the text is read."""

    count: int | None = None
    backwards = False

    def arrays(self) -> list[Value]:
        """The arrays that are gone through along their leading axis."""
        return []

    def value(self, walker: Walker, index: Ref | None, slices: Iterator[Ref]) -> Value:
        """The value in one step: `index` counts the steps, `slices` yields the arrays' entries."""
        raise NotImplementedError


class Counter(Source):
    """`range(start, stop, step)`, or what `enumerate` counts (`stop` is None)."""

    def __init__(self, start: Value, stop: Value, step: Value, at: int) -> None:
        self.start = start
        self.stop = stop
        self.step = step
        self.at = at
        self.last = 0
        """The counter's last value, where the count is known."""
        a, b, s = (integer(v) for v in (start, stop, step))
        if a is not None and b is not None and s:
            self.count = max(0, -((a - b) // s))
            self.last = a + (self.count - 1) * s

    @property
    def plain(self) -> bool:
        """Whether the step is 1."""
        return integer(self.step) == 1

    def value(self, walker: Walker, index: Ref | None, slices: Iterator[Ref]) -> Value:
        """start + step · index."""
        value: Value = index
        if not self.plain:
            value = _operate(walker, "*", _inside(walker, self.step), value, self.at)
        if integer(self.start) != 0:
            value = _operate(walker, "+", _inside(walker, self.start), value, self.at)
        return value


class Rows(Source):
    """An array, along its leading axis."""

    def __init__(self, value: Value, node: Expression) -> None:
        self.array = value
        listed = node.items if type(node) is Display and isinstance(value, np.ndarray) else []
        if listed and all(type(item) is Constant and type(item.value) is int for item in listed):
            # A list of numbers without points holds integers here: it is what one indexes with.
            self.array = np.asarray(value).astype(np.int64)
        known = value.static if type(value) is Ref else value
        if isinstance(known, np.ndarray):
            self.count = len(known)
        elif type(value) is Ref and value.items is not None:
            self.count = len(value.items)

    def arrays(self) -> list[Value]:
        """The array itself."""
        return [self.array]

    def value(self, walker: Walker, index: Ref | None, slices: Iterator[Ref]) -> Value:
        """Its entry."""
        return next(slices)


class Together(Source):
    """`zip`, or `enumerate`: several sources at once."""

    def __init__(self, parts: Sequence[Source]) -> None:
        self.parts = parts
        self.count = next((p.count for p in parts if p.count is not None and p.arrays()), None)

    def arrays(self) -> list[Value]:
        """Those of all parts."""
        return [a for p in self.parts for a in p.arrays()]

    def value(self, walker: Walker, index: Ref | None, slices: Iterator[Ref]) -> Value:
        """A tuple of the parts' values."""
        return Tuple([p.value(walker, index, slices) for p in self.parts])


def integer(value: Value) -> int | None:
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


Found: TypeAlias = Generator[Any, Any, "Source | Unrolled | None"]
"""The walk that finds what stands behind `in`; None after a mistake."""


def source_of(walker: Walker, node: Expression, depth: int = 0) -> Found:
    """What stands behind `in`; None after a mistake."""
    name = node.function.name if type(node) is Call and type(node.function) is Name else ""
    if (
        type(node) is Call
        and name in ("range", "enumerate", "zip", "reversed")
        and walker.peek(name) is MISSING
    ):
        if depth > 4:
            walker.recorder.wrong(
                node.at, "This is nested too deeply for a `for`: give its parts names before the loop."
            )
            return None
        found: Source | Unrolled | None = yield from _SOURCES[name](walker, node, depth)
        return found
    if type(node) is Display and node.is_tuple:
        items: list[Value] = [None] * len(node.items)
        for k, item in enumerate(node.items):
            items[k] = yield Argument(item)
        return Unrolled(items)
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


def _range(walker: Walker, node: Call, depth: int) -> Found:
    if node.keywords or not 1 <= len(node.positional) <= 3:
        walker.recorder.wrong(
            node.at, "range takes one to three integers: range(stop), range(start, stop, step)."
        )
        return None
    values: list[Value] = []
    for argument in node.positional:
        value = walker.array((yield argument), argument.at)
        if isinstance(value, float | int | np.ndarray | str | None) and integer(value) is None:
            shown = value if isinstance(value, float | int) else "this"
            walker.recorder.wrong(argument.at, f"range needs integers; {shown} is none.")
            return None
        if type(value) is not Ref and not is_literal(value):
            walker.operand(value, argument.at)
            return None
        values.append(value)
    start, stop, step = (0, values[0], 1) if len(values) == 1 else (*values, 1)[:3]
    if integer(step) == 0:
        walker.recorder.wrong(node.at, "The step of a range cannot be 0.")
        return None
    return Counter(start, stop, step, node.at)


def _enumerate(walker: Walker, node: Call, depth: int) -> Found:
    start: Value = 0
    named = [k for k in node.keywords if k.name == "start"]
    if not 1 <= len(node.positional) <= 2 or len(named) < len(node.keywords):
        walker.recorder.wrong(node.at, "enumerate takes an array, and where to start counting.")
        return None
    inner = yield from source_of(walker, node.positional[0], depth + 1)
    if len(node.positional) == 2 or named:
        start = yield (node.positional[1] if len(node.positional) == 2 else named[0].value)
    if inner is None:
        return None
    if isinstance(inner, Unrolled):
        first = integer(start) or 0
        return Unrolled([Tuple([first + k, v]) for k, v in enumerate(inner.items)])
    return Together([Counter(start, None, 1, node.at), inner])


def _zip(walker: Walker, node: Call, depth: int) -> Found:
    parts: list[Source] = []
    listed: list[Unrolled] = []
    for argument in node.positional:
        part = yield from source_of(walker, argument, depth + 1)
        if part is None:
            return None
        if isinstance(part, Unrolled):
            listed.append(part)
        else:
            parts.append(part)
    if listed and not parts:
        return Unrolled([Tuple(values) for values in zip(*(p.items for p in listed), strict=False)])
    if listed:
        walker.recorder.wrong(
            node.at, "zip cannot mix tuples with arrays: write the tuple as a list, [a, b]."
        )
        return None
    if not any(p.arrays() for p in parts) or node.keywords:
        walker.recorder.wrong(node.at, "zip takes arrays of one length.")
        return None
    return Together(parts)


def _reversed(walker: Walker, node: Call, depth: int) -> Found:
    if depth or len(node.positional) != 1 or node.keywords:
        walker.recorder.wrong(node.at, "reversed takes one array or range, and stands directly behind `in`.")
        return None
    inner = yield from source_of(walker, node.positional[0], depth + 1)
    if isinstance(inner, Unrolled):
        return Unrolled(inner.items[::-1])
    if isinstance(inner, Counter):
        if inner.count:
            step = integer(inner.step) or 1
            return Counter(inner.last, inner.last - (inner.count) * step, -step, node.at)
        if inner.plain:
            first, end = (_operate(walker, "-", v, 1, node.at) for v in (inner.stop, inner.start))
            return Counter(first, end, -1, node.at)
    if isinstance(inner, Rows):
        inner.backwards = True
        return inner
    if inner is not None:
        walker.recorder.wrong(node.at, "reversed takes one array or range here: reverse arrays with x[::-1].")
    return None


_SOURCES: dict[str, Callable[[Walker, Call, int], Found]] = {
    "range": _range,
    "enumerate": _enumerate,
    "zip": _zip,
    "reversed": _reversed,
}


def _operate(walker: Walker, sign: str, a: Value, b: Value, at: int) -> Value:
    return walker.operate(sign, a, b, at, at, at)


def is_direct(source: Any) -> bool:
    """Whether the loop's own counter is the value."""
    return isinstance(source, Counter) and source.plain


def counts(source: Source) -> bool:
    """Whether an index is needed beside the arrays."""
    if isinstance(source, Together):
        return any(counts(p) for p in source.parts)
    return isinstance(source, Counter)


def slice_name(targets: list[str], k: int, counted: bool) -> str:
    at = k + counted
    return targets[at] if at < len(targets) else f"row_{k}"


def bounds(walker: Walker, source: Counter) -> tuple[Value, Value]:
    """From where to where the loop's counter goes, as numbers where they are known."""
    if source.plain:
        known = [integer(v) for v in (source.start, source.stop)]
        return (
            source.start if known[0] is None else known[0],
            source.stop if known[1] is None else known[1],
        )
    if source.count is not None:
        return 0, source.count
    # len(range(a, b, s)) = ⌈(b − a)/s⌉ = −⌊(a − b)/s⌋, for either sign of s.
    difference = _operate(walker, "-", source.start, source.stop, source.at)
    down = _operate(walker, "//", difference, source.step, source.at)
    return 0, _operate(walker, "*", -1, down, source.at)
