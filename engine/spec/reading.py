"""What a graph and the bodies inside it share while they are read: limits, mistakes, and what was looked up before."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from engine.errors import EngineError, LimitExceeded, MistakeCollector, Where, quoted
from engine.op import REQUIRED, Attr, Op, Operand, Parameter, Spelling, registry, signature
from engine.program import MAX_ID, Literal
from engine.values import read_value, to_literal

CACHED = 100_000
"""So many numbers are remembered."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class GraphLimits:
    """What a graph may hold: `nodes` those in bodies included, `depth` of bodies in bodies, `elements` of one constant.

    At most `errors` mistakes are described; the others are counted.
    """

    nodes: int = 1_000_000
    depth: int = 32
    elements: int = 10_000_000
    errors: int = 20


class Call:
    """How one op is called from a graph: operands by position, in `inputs`; everything by name, in `attrs`."""

    __slots__ = (
        "most",
        "needed",
        "op",
        "operands",
        "parameters",
        "plain",
        "required",
        "signature",
        "spelling",
        "variadic",
    )

    def __init__(self, op: Op, spelling: Spelling) -> None:
        parameters = spelling.parameters if spelling.parameters is not None else op.parameters
        attrs = [p for p in parameters if isinstance(p, Attr)]
        self.op = op
        self.operands = tuple(p for p in parameters if isinstance(p, Operand))
        self.spelling = Spelling(
            spelling.defaults, (*self.operands, *(replace(a, keyword_only=True) for a in attrs))
        )
        self.signature = signature(op, self.spelling)
        self.parameters: dict[str, Parameter] = {n: p for p in parameters for n in (p.name, *p.aliases)}
        self.needed = tuple(
            a.name for a in attrs if a.default is REQUIRED and a.name not in spelling.defaults
        )
        self.required = frozenset(p.name for p in self.operands if not p.optional and not p.variadic)
        self.variadic = any(p.variadic for p in self.operands)
        self.most = math.inf if self.variadic else len(self.operands)
        self.plain: dict[int, Mapping[str, Any]] = {}
        """For each number of operands that was right before, without attributes and for one result: the attributes
        that the node then has. `Scope.read_steps` reads nodes of these kinds by itself."""


class Reading:
    """Shared by a graph and the bodies inside it."""

    def __init__(self, limits: GraphLimits) -> None:
        self.limits = limits
        self.mistakes = MistakeCollector(limits.errors)
        self.nodes = 0
        self.calls: dict[str, Call] = {}
        """By the name that was posted."""
        self.numbers: dict[float, Literal] = {}
        """Without 0, since 0.0 and −0.0 are one key; those are in `zeros`."""
        self.zeros = tuple(to_literal(read_value(z)) for z in (0.0, -0.0))
        self._by_op: dict[Op, Call] = {}

    # -- mistakes

    @property
    def found(self) -> int:
        """How many mistakes there were until now."""
        return len(self.mistakes.errors) + self.mistakes.omitted

    @property
    def full(self) -> bool:
        """Whether mistakes are only counted from now on, so that describing them can be spared."""
        return len(self.mistakes.errors) >= self.mistakes.most

    def note(
        self,
        kind: type[EngineError],
        detail: str,
        pointer: str,
        node: str | None = None,
        *,
        near: Callable[[], Sequence[str]] | None = None,
        hint: str = "",
    ) -> None:
        """Take note of a mistake at `pointer`.

        `near` looks for what may have been meant, if the mistake is listed at all; `hint` is said if it finds nothing.
        """
        if self.full:
            self.mistakes.omitted += 1
            return
        meant = tuple(near()) if near is not None else ()
        detail += f" Did you mean {' or '.join(map(quoted, meant))}?" if meant else hint
        self.mistakes.add(kind(detail, node=node, where=Where(pointer=pointer), suggestions=meant))

    def attempt(self, read: Callable[[], T], pointer: str, node: str | None) -> T | None:
        """What `read` returns; None if it raised, which is noted. A limit ends the reading."""
        try:
            return read()
        except EngineError as error:
            error.at(node, Where(pointer=pointer))
            if isinstance(error, LimitExceeded):
                raise
            self.mistakes.add(error)
            return None

    # -- limits

    def count(self, nodes: int, pointer: str) -> None:
        """Add a scope's nodes to those of the others. Raises `LimitExceeded`."""
        self.nodes += nodes
        if self.nodes > self.limits.nodes:
            raise LimitExceeded("nodes", self.limits.nodes, self.nodes, where=Where(pointer=pointer))

    # -- what recurs

    def call(self, name: str) -> Call | None:
        """How to call the op of this name; None if there is none."""
        found = self.calls.get(name)
        if found is None and registry.get(name) is not None:
            op, spelling = registry.find(name)
            found = self._by_op.get(op) or Call(op, spelling)
            self.calls[name] = self._by_op[op] = found
        return found

    def literal(self, value: Any, what: str, pointer: str) -> Literal:
        """A constant in the graph; equal numbers are one object. Raises `InvalidArray`, `LimitExceeded`."""
        if type(value) is not float and type(value) is not int:
            return to_literal(
                read_value(value, most_elements=self.limits.elements, what=what, pointer=pointer)
            )
        if not value:
            return self.zeros[math.copysign(1.0, value) < 0]
        found = self.numbers.get(value)
        if found is None:
            found = to_literal(read_value(value, what=what, pointer=pointer))
            if len(self.numbers) < CACHED:
                self.numbers[value] = found
        return found


def below(pointer: str, key: str) -> str:
    """The pointer to a member, by RFC 6901; to the whole where the key is too long to be repeated."""
    return pointer if len(key) > MAX_ID else f"{pointer}/{key.replace('~', '~0').replace('/', '~1')}"


def type_name(value: object) -> str:
    """What JSON calls the type of a value."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "a boolean"
    if isinstance(value, int | float):
        return "a number"
    if isinstance(value, str):
        return "a string"
    return (
        "a list" if isinstance(value, list) else "an object" if isinstance(value, dict) else "something else"
    )
