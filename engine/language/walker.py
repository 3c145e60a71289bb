"""Evaluating expressions: the walk over the tree, and what can be done with the values on the way.

The tree is walked with a stack of generators: each kind of node has a generator that yields the parts it wants
evaluated and is sent their values (`WALKS`). So the code reads like a recursive walk, and no text makes Python recurse.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator, Iterator
from contextlib import contextmanager, suppress
from typing import Any, TypeAlias, TypeVar

import numpy as np

import engine.ops  # noqa: F401  # fills the registry
from engine.aval import MAX_RANK
from engine.errors import LimitExceeded, quoted
from engine.language import fold
from engine.language.fold import Folder, Number, as_literal, is_literal
from engine.language.names import CONSTANTS, MODULE_CONSTANTS, Modules, lookalike, module_name
from engine.language.recorder import BodyRecorder, Recorder
from engine.language.syntax import Constant, Def, Display, Expression, Name
from engine.language.values import UNKNOWN, Free, Function, Lazy, Ref, Several, Tuple, Unset, Value
from engine.op import Op, registry
from engine.program import ITEM, Literal

Walk: TypeAlias = Generator[Any, Any, Any]
"""Yields syntax nodes (or other requests), is sent their values, returns its own."""
_W = TypeVar("_W", bound=Callable[..., Walk])

WALKS: dict[type, Callable[..., Walk]] = {}
"""The walk of each kind of node, filled by `walks`."""


def walks(node: type) -> Callable[[_W], _W]:
    """Register a generator as the walk of a kind of node."""

    def register(walk: _W) -> _W:
        WALKS[node] = walk
        return walk

    return register


IDENTITY = registry.core("identity")
BINARY: dict[str, Op] = {
    sign: registry.core(name)
    for sign, name in {
        "+": "add",
        "-": "subtract",
        "*": "multiply",
        "/": "divide",
        "//": "floor_divide",
        "%": "remainder",
        "**": "pow",
        "@": "matmul",
        "<": "less",
        "<=": "less_equal",
        ">": "greater",
        ">=": "greater_equal",
        "==": "equal",
        "!=": "not_equal",
        "and": "logical_and",
        "&": "logical_and",
        "or": "logical_or",
        "|": "logical_or",
    }.items()
}
UNARY: dict[str, Op] = {
    "-": registry.core("negative"),
    "+": registry.core("positive"),
    "~": registry.core("logical_not"),
    "not": registry.core("logical_not"),
}
WHOLE_SIGNS = frozenset(("+", "-", "*", "//", "%"))
WHERE, STACK, GETITEM = registry.core("where"), registry.core("stack"), registry.core("getitem")


class Static:
    """A request to evaluate `node` as a static argument: lists stay lists, names bound to literals are literals."""

    __slots__ = ("node",)

    def __init__(self, node: Expression) -> None:
        self.node = node


class Frame:
    """The names of one call of a helper, or of the whole text (`local` is None there).

    `local` are the names that the helper assigns: they are its own, whether they have a value yet or not. Other names are
    looked up in `parent`, the frame that the helper was defined in, when they are used.
    """

    __slots__ = ("lists", "local", "names", "node", "parent", "title")

    def __init__(
        self, node: Def | None = None, parent: Frame | None = None, local: Collection[str] | None = None
    ) -> None:
        self.node = node
        self.title = node.name if node is not None else ""
        self.parent = parent
        self.local = local
        self.names: dict[str, Value] = {}
        self.lists: dict[str, bool] = {}
        """Names that stand for a list as it is written, `y = [a, b]`, and whether that is empty."""


class Missing:
    """What a name stands for that was not found."""


MISSING = Missing()

MAX_EFFORT = 100_000
"""Statements in blocks and calls that are read at most, counted as often as they are gone through."""


class Walker:
    """The evaluation of expressions in one text: its names, its modules, and the list that is being written."""

    def __init__(self, recorder: Recorder, modules: Modules, variables: Collection[str]) -> None:
        self.recorder = recorder
        self.root = recorder
        self.modules = modules
        self.variables = variables
        """Names that are no constants here, though they may be called pi or e."""
        self.folder = Folder()
        self.top = Frame()
        self.frame = self.top
        recorder.frame = self.top
        self.given: Collection[str] = ()
        """Names that the request gives values for."""
        self.free: dict[str, Ref] = {}
        """The inputs."""
        self.active: dict[Any, bool] = {}
        """The calls of helpers that are being read."""
        self.effort = 0
        self.helpers: Collection[str] = ()
        """The names of all helpers of the text."""
        self.carried: list[str] = []
        """What went round in the loop that was read last."""

    @property
    def unfolding(self) -> Any:
        """How much helpers unfold to: asked before they are."""
        raise NotImplementedError

    def live(self, name: str, frame: Frame, start: int, end: int) -> bool:
        """Whether a name may be used outside a stretch of the text, in the helper that it belongs to."""
        raise NotImplementedError

    # -- the walk

    def evaluate(self, node: Any) -> Any:
        """The value of an expression."""
        stack: list[Walk] = []
        value: Any = None
        wanted: Any = node
        while True:
            kind = type(wanted)
            if kind is Name:
                value = self.name(wanted)
            elif kind is Constant:
                value = wanted.value
            else:
                stack.append(WALKS[kind](self, wanted))
                value = None
            while stack:
                try:
                    wanted = stack[-1].send(value)
                    break
                except StopIteration as done:
                    stack.pop()
                    value = done.value
            else:
                return value

    def spend(self, at: int) -> None:
        """Count a statement or a call. Raises `LimitExceeded` for a text that unfolds without end."""
        self.effort += 1
        if self.effort > MAX_EFFORT:
            detail = (
                f"The helpers and branches of this program unfold to more than {MAX_EFFORT:,} statements: every call of a "
                "helper is written out. Use loops (fori_loop, scan, map), whose bodies are written once."
            )
            where = self.recorder.source.where(at)
            raise LimitExceeded("statements", MAX_EFFORT, self.effort, detail, where=where)

    def place(self, at: int) -> str:
        """A line of the text, for messages. (Looking for it takes time.)"""
        where = self.recorder.source.where(at)
        return f"in line {where.line}" if where is not None else ""

    @contextmanager
    def inside(self, at: int, changing: bool) -> Iterator[BodyRecorder]:
        """A body: what is written meanwhile stands in it."""
        outer = self.recorder
        body = BodyRecorder(outer, at, changing)
        self.recorder = body
        try:
            yield body
        finally:
            self.recorder = outer

    # -- names

    def name(self, node: Name) -> Value:
        """What a name stands for: what it was bound to, a constant, or an input."""
        value = self.frame.names.get(node.name, MISSING)
        if type(value) is not Ref:
            value = self.settled(self._found(node.name) if value is MISSING else value)
            if type(value) is Unset:
                self.recorder.wrong(node.at, value.why)
                return self.placeholder(node.at)
            if value is MISSING:
                return self._outside(node)
            if type(value) is Free:
                return self._outside(Name(value.at, value.name))
            if type(value) is not Ref:
                return value  # type: ignore[return-value]  # not MISSING
        return value if value.home is self.recorder else self.recorder.capture(value, node.name)

    def peek(self, name: str) -> Value | Missing:
        """What a name stands for, as it was bound; MISSING for one that the text does not bind, or not yet."""
        value = self.frame.names.get(name, MISSING)
        return self._found(name) if value is MISSING else value

    def settled(self, value: Value | Missing) -> Value | Missing:
        """A value that may have been waiting for its first use."""
        while isinstance(value, Lazy):
            value = value.settle()
        return value

    def _found(self, name: str) -> Value | Missing:
        frame: Frame | None = self.frame
        while frame is not None:
            value = frame.names.get(name, MISSING)
            if value is not MISSING:
                return value
            if frame.local is not None and name in frame.local:
                return Unset(
                    f"{quoted(name)} is used before it has a value: {frame.title} assigns it, so it is a name of "
                    f"{frame.title}'s own."
                )
            frame = frame.parent
        return self.free.get(name, MISSING)

    def _outside(self, node: Name) -> Value:
        """What a name stands for that the text does not bind."""
        name = node.name
        if name not in self.variables:
            if name in CONSTANTS:
                return CONSTANTS[name]
            if name in self.modules.constants:
                return MODULE_CONSTANTS[self.modules.constants[name]]
            told = lookalike(name)
            if told:
                self.recorder.wrong(node.at, told)
        return self.local(self.input(name, node.at), name)

    def input(self, name: str, at: int) -> Ref:
        """The input of a name."""
        found = self.free.get(name)
        if found is None:
            if name in self.modules.prefixes:
                self.recorder.wrong(at, module_name(name))
            found = self.free[name] = Ref(self.root, self.root.input(name, at))
        return found

    def listed(self, node: Expression) -> bool | None:
        """Whether an expression is an empty list (True) or another one (False), as it is written or under a name; else None."""
        if type(node) is Display:
            return None if node.is_tuple else not node.items
        if type(node) is not Name:
            return None
        frame: Frame | None = self.frame
        while frame is not None and node.name not in frame.names:
            frame = frame.parent
        return frame.lists.get(node.name) if frame is not None else None

    def knows(self, name: str) -> bool:
        """Whether a name is a variable here."""
        return name in self.variables or self.peek(name) is not MISSING

    def own(self) -> bool:
        """Whether what is bound now is named: at the top of the text, or in a body, but not in a helper that it calls."""
        return self.recorder.frame is self.frame

    # -- values

    def local(self, value: Ref, name: str | None = None) -> Ref:
        """A node as a value of the list that is being written."""
        return value if value.home is self.recorder else self.recorder.capture(value, name)

    def array(self, value: Value, at: int) -> Value:
        """A value, a tuple as one array."""
        if type(value) is not Tuple:
            return value
        if value.node is not None and self.reachable(value.node):
            return self.local(value.node, value.name)
        if all(map(is_literal, value.items)):
            made = fold.array_of(value.items)  # type: ignore[arg-type]  # is_literal has told
            if made is not None:
                return made
        self.recorder.count(value.size, at)
        if value.depth > MAX_RANK:
            self.recorder.wrong(
                at, f"This tuple is nested more than {MAX_RANK} deep: an array has fewer axes."
            )
            return 0.0
        items = [self.array(v, at) for v in value.items]
        operands = [self.operand(v, at) for v in items]
        index = self.recorder.emit(STACK, operands, {}, at)
        value.node = Ref(self.recorder, index, items=items)
        if value.name is not None and self.own() and self.frame.names.get(value.name) is value:
            self.recorder.bind(value.name, index, at)
        return value.node

    def reachable(self, value: Ref) -> bool:
        """Whether a node stands in this list, or in one around it."""
        region: Recorder | None = self.recorder
        while region is not None and region is not value.home:
            region = region.parent
        return region is not None

    def operand(self, value: Value, at: int) -> int | Literal:
        """A value as an operand of a node; mistakes are noted, and 0 takes their place."""
        if type(value) is Ref:
            return self.local(value).index
        if is_literal(value):
            return as_literal(value)  # type: ignore[arg-type]  # is_literal has told
        if type(value) is Several:
            shown = ", ".join(value.op.results)
            detail = (
                f"{value.op.name} has several results ({shown}): unpack them (a, b = …), or index them ([0])."
            )
        elif type(value) is Tuple:
            return self.operand(self.array(value, at), at)
        elif isinstance(value, Function):
            detail = f"{value.title} is a function: call it, {value.title}(…)."
        elif type(value) is Unset:
            detail = value.why
        elif isinstance(value, str):
            detail = "A string stands here where an array belongs; strings are arguments only, as in norm(x, 'fro')."
        else:
            shown = "..." if value is ... else str(value)
            detail = f"{shown} stands here where an array or a number belongs."
        self.recorder.wrong(at, detail)
        return Literal(0.0)

    def item(self, source: Several, k: int, at: int) -> Ref:
        """Result `k` of a node that has several."""
        home = source.home
        return self.local(Ref(home, home.emit(ITEM, (source.index,), {"index": k}, at)))

    def placeholder(self, at: int) -> Ref:
        """A node in the place of one that could not be made, so that the others keep their numbers."""
        return Ref(self.recorder, self.recorder.emit(IDENTITY, (), {}, at), bad=True)

    def not_boolean(self, sign: str, at: int) -> Value:
        """Note that an operator of logic stands beside a number."""
        self.recorder.wrong(
            at, f"`{sign}` is for booleans: comparisons, True and False. A number is no condition."
        )
        return False

    def operate(self, sign: str, a: Value, b: Value, at: int, left: int, right: int) -> Value:
        """The node `a sign b`, or its value where both are literals."""
        op = BINARY[sign]
        if type(a) is Tuple:
            a = self.array(a, left)
        if type(b) is Tuple:
            b = self.array(b, right)
        if is_literal(a) and is_literal(b):
            folded: Any = UNKNOWN
            if isinstance(a, fold.NUMBERS) and isinstance(b, fold.NUMBERS):
                try:
                    folded = fold.binary(sign, a, b)
                except fold.NotBoolean:
                    return self.not_boolean(sign, at)
            if folded is UNKNOWN:
                folded = self.folder.call(op, (a, b), {})
            if folded is not None:
                return folded  # type: ignore[no-any-return]  # a number or an array
        x = a.index if type(a) is Ref else self.operand(a, left)
        y = b.index if type(b) is Ref else self.operand(b, right)
        made = Ref(self.recorder, self.recorder.emit(op, (x, y), {}, at))
        p, q = static_number(a), static_number(b)
        if p is not None and q is not None:
            with suppress(fold.NotBoolean):
                made.static = fold.binary(sign, p, q)
        elif sign in WHOLE_SIGNS and whole(a) and whole(b):
            made.whole = True
        return made


def whole(value: Value) -> bool:
    """Whether a value is known to be an integer, though numbers are doubles: it was written without a point."""
    if type(value) is Ref:
        return value.whole or type(value.static) is int
    if isinstance(value, np.ndarray):
        return value.dtype.kind == "i"
    return type(value) is int


def static_number(value: Value) -> Number | None:
    """The number that a value is known to be."""
    known = value.static if type(value) is Ref else value
    return known if isinstance(known, fold.NUMBERS) else None
