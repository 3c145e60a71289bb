"""Evaluating expressions: the walk over the tree, and what can be done with the values on the way.

The tree is walked with a stack of generators: each kind of node has a generator that yields the parts it wants
evaluated and is sent their values (`WALKS`). So the code reads like a recursive walk, and no text makes Python recurse.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator
from contextlib import suppress
from typing import Any, TypeAlias, TypeVar

import engine.ops  # noqa: F401  # fills the registry
from engine.language import fold
from engine.language.fold import Folder, Number, as_literal, is_literal
from engine.language.names import CONSTANTS, MODULE_CONSTANTS, Modules, lookalike, module_name
from engine.language.recorder import UNKNOWN, Recorder, Ref, Several, Value
from engine.language.syntax import Constant, Expression, Name
from engine.op import Op, registry
from engine.program import ITEM, Literal

Walk: TypeAlias = Generator[Any, Any, Value]
"""Yields syntax nodes (or `Static` requests), is sent their values, returns its own."""
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
WHERE, STACK, GETITEM = registry.core("where"), registry.core("stack"), registry.core("getitem")


class Static:
    """A request to evaluate `node` as a static argument: lists stay lists, names bound to literals are literals."""

    __slots__ = ("node",)

    def __init__(self, node: Expression) -> None:
        self.node = node


class Walker:
    """The evaluation of expressions in one text: its names, its modules, and the list that is being written."""

    def __init__(self, recorder: Recorder, modules: Modules, variables: Collection[str]) -> None:
        self.recorder = recorder
        self.modules = modules
        self.variables = variables
        """Names that are no constants here, though they may be called pi or e."""
        self.folder = Folder()
        self.scope: dict[str, Value] = {}

    # -- the walk

    def evaluate(self, node: Expression) -> Value:
        """The value of an expression."""
        stack: list[Walk] = []
        value: Value = None
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

    # -- values

    def name(self, node: Name) -> Value:
        """What a name stands for: what it was bound to, a constant, or an input."""
        name = node.name
        try:
            return self.scope[name]
        except KeyError:
            pass
        if name not in self.variables:
            if name in CONSTANTS:
                return CONSTANTS[name]
            if name in self.modules.constants:
                return MODULE_CONSTANTS[self.modules.constants[name]]
            told = lookalike(name)
            if told:
                self.recorder.wrong(node.at, told)
        if name in self.modules.prefixes:
            self.recorder.wrong(node.at, module_name(name))
        ref = self.scope[name] = Ref(self.recorder.input(name, node.at))
        return ref

    def knows(self, name: str) -> bool:
        """Whether a name is a variable here."""
        return name in self.scope or name in self.variables

    def operand(self, value: Value, at: int) -> int | Literal:
        """A value as an operand of a node; mistakes are noted, and 0 takes their place."""
        if type(value) is Ref:
            return value.index
        if is_literal(value):
            return as_literal(value)  # type: ignore[arg-type]  # is_literal has told
        if type(value) is Several:
            shown = ", ".join(value.op.results)
            detail = (
                f"{value.op.name} has several results ({shown}): unpack them (a, b = …), or index them ([0])."
            )
        elif isinstance(value, str):
            detail = "A string stands here where an array belongs; strings are arguments only, as in norm(x, 'fro')."
        else:
            shown = "..." if value is ... else str(value)
            detail = f"{shown} stands here where an array or a number belongs."
        self.recorder.wrong(at, detail)
        return Literal(0.0)

    def item(self, source: Several, k: int, at: int) -> Ref:
        """Result `k` of a node that has several."""
        return Ref(self.recorder.emit(ITEM, (source.index,), {"index": k}, at))

    def placeholder(self, at: int) -> Ref:
        """A node in the place of one that could not be made, so that the others keep their numbers."""
        return Ref(self.recorder.emit(IDENTITY, (), {}, at), bad=True)

    def not_boolean(self, sign: str, at: int) -> Value:
        """Note that an operator of logic stands beside a number."""
        self.recorder.wrong(
            at, f"`{sign}` is for booleans: comparisons, True and False. A number is no condition."
        )
        return False

    def operate(self, sign: str, a: Value, b: Value, at: int, left: int, right: int) -> Value:
        """The node `a sign b`, or its value where both are literals."""
        op = BINARY[sign]
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
        made = Ref(self.recorder.emit(op, (x, y), {}, at))
        p, q = static_number(a), static_number(b)
        if p is not None and q is not None:
            with suppress(fold.NotBoolean):
                made.static = fold.binary(sign, p, q)
        return made


def static_number(value: Value) -> Number | None:
    """The number that a value is known to be."""
    known = value.static if type(value) is Ref else value
    return known if isinstance(known, fold.NUMBERS) else None
