"""`break` and `continue`: a loop that is left in the middle, as one that is not.

What follows an `if` that may jump goes into the branch that does not. Where both branches may go on, a flag says whether
they did. A `break` sets another flag, which the condition of a `while` looks at; so a `for` that may be left becomes a
`while` that counts. The flags' names have a space in them: no text can use them, and nothing is called by them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Sequence
from typing import Any

from engine.language.arguments import Given, make
from engine.language.sources import Counter, Source, Unrolled, bounds, is_direct
from engine.language.syntax import (
    Aim,
    Assign,
    Binary,
    Block,
    Comparison,
    Constant,
    Expression,
    For,
    If,
    Index,
    Jump,
    Name,
    Statement,
    Unary,
    While,
)
from engine.language.values import Ref, Value
from engine.language.walker import GETITEM, Walk, Walker, walks
from engine.op import registry

NOTHING = Block([])
SHAPE = registry.core("shape")


class Straight:
    """A request for statements without jumps in the place of those of a loop's body."""

    __slots__ = ("behind", "broken", "guarded", "skipped", "statements")

    def __init__(
        self,
        statements: Sequence[Statement],
        broken: Name,
        skipped: Name | None = None,
        behind: Sequence[Statement] = (),
    ) -> None:
        self.statements = statements
        self.behind = behind
        """What follows them, without jumps already."""
        self.broken = broken
        self.skipped = skipped
        """The flag that says that the rest of this step is left out; None if nothing looks at it."""
        self.guarded = False
        """Whether something would have to look at it."""


@walks(Straight)
def _straight(walker: Walker, request: Straight) -> Walk:
    rest: deque[Statement] = deque(request.behind)
    for statement in reversed(request.statements):
        if type(statement) is Jump:
            rest = deque(_flags(statement, request))
        elif type(statement) is If and statement.jumped is not None:
            walker.spend(statement.at)
            blocks = (statement.then, statement.otherwise or NOTHING)
            open_ends = [k for k in (0, 1) if not blocks[k].ends]
            parts: list[list[Statement]] = []
            for k, block in enumerate(blocks):
                behind = list(rest) if open_ends == [k] else []
                inner = Straight(block.statements, request.broken, request.skipped, behind)
                parts.append((yield inner))
                request.guarded |= inner.guarded
            after: list[Statement] = []
            if rest and len(open_ends) == 2:
                request.guarded = True
                going = Unary(statement.at, "not", request.skipped or request.broken)
                after = [If(statement.at, going, Block(list(rest)), None, None)]
            then, otherwise = map(Block, parts)
            rest = deque([If(statement.at, statement.condition, then, otherwise, None), *after])
        else:
            rest.appendleft(statement)
    return list(rest)


def _flags(jump: Jump, request: Straight) -> list[Statement]:
    """What a jump becomes."""
    names = [request.broken] if jump.word == "break" else []
    if request.skipped is not None:
        names.append(request.skipped)
    return [Assign(jump.at, [name], Constant(jump.at, True)) for name in names]


def straightened(walker: Walker, body: Block, at: int) -> Generator[Any, Any, tuple[Block, Name | None]]:
    """A body without jumps, and the flag that a `break` in it sets."""
    broken, skipped = Name(at, f"break {at}"), Name(at, f"skip {at}")
    request = Straight(body.statements, broken)
    statements = yield request
    if request.guarded:
        statements = yield Straight(body.statements, broken, skipped)
        statements = [Assign(at, [skipped], Constant(at, False)), *statements]
    return Block(statements or [], body.end), broken if body.broken else None


def forget(walker: Walker, *names: Name | None) -> None:
    """Flags and counters have no use behind their loop."""
    for name in names:
        if name is not None:
            walker.frame.names.pop(name.name, None)


def one_by_one(source: Unrolled, node: For, body: Block, flag: Name) -> list[Statement]:
    """What goes through values that were written one by one: each step under an `if`."""
    going = Unary(node.at, "not", flag)
    steps: list[Statement] = [Assign(node.at, [flag], Constant(node.at, False))]
    for one in source.items:
        block = Block([Aim(node.at, node.target, one), *body.statements], body.end)
        steps.append(If(node.at, going, block, None, None))
    return steps


class Entry:
    """What a `for` gives its target in step `counter`, for a loop that counts its steps itself."""

    __slots__ = ("at", "counter", "lengths", "source")

    def __init__(self, source: Source, lengths: Sequence[Value], counter: Name, at: int) -> None:
        self.source = source
        self.lengths = lengths
        self.counter = counter
        self.at = at


@walks(Entry)
def _entry(walker: Walker, request: Entry) -> Walk:
    source, at = request.source, request.at
    if is_direct(source):
        return (yield request.counter)
    index = walker.name(request.counter)
    place: Expression = request.counter
    if source.backwards:
        last = Binary(at, "-", Given(request.lengths[0], at), Constant(at, 1))  # type: ignore[arg-type]  # a known value
        place = Binary(at, "-", last, request.counter)
    arrays = source.arrays()
    slices: list[Any] = [None] * len(arrays)
    for k, array in enumerate(arrays):
        slices[k] = yield Index(at, Given(array, at), [place])  # type: ignore[arg-type]  # a known value
    return source.value(walker, index if type(index) is Ref else None, iter(slices))


def counted(walker: Walker, source: Source, node: For, body: Block, flag: Name) -> tuple[While, Name]:
    """The `while` that goes through a range or through arrays until it is left, and its counter, which has its start."""
    at = node.at
    counter = Name(at, f"step {at}")
    start: Value = 0
    stops: list[Value] = []
    if isinstance(source, Counter):
        start, stop = bounds(walker, source)
        stops = [stop]
    for array in source.arrays():
        shape = make(walker, SHAPE, [array], {}, at, [at])
        stops.append(make(walker, GETITEM, [shape], {"index": [0]}, at, [at]))
    walker.frame.names[counter.name] = start
    walker.frame.names[flag.name] = False
    # zip ends with the shortest.
    tests: list[Expression] = [
        Comparison(at, counter, [("<", at, Given(stop, at))])  # type: ignore[list-item]  # a known value
        for stop in stops
    ]
    condition = tests[0]
    for test in tests[1:]:
        condition = Binary(at, "and", condition, test)
    steps: list[Statement] = [
        Aim(at, node.target, Entry(source, stops, counter, at)),
        Assign(at, [counter], Binary(at, "+", counter, Constant(at, 1))),
        *body.statements,
    ]
    return While(at, condition, Block(steps, body.end), flag), counter
