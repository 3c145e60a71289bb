"""What a graph and the bodies inside it share while they are read: limits, mistakes, and what was looked up before."""

from __future__ import annotations

import gc
import math
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from engine.errors import EngineError, LimitExceeded, MistakeCollector, Where, quoted
from engine.op import REQUIRED, Attr, Op, Operand, Parameter, Spelling, registry, signature
from engine.program import MAX_ID, MAX_NESTING, Literal
from engine.values import read_value, to_literal

CACHED = 100_000
"""So many numbers are remembered."""


@dataclass(frozen=True, slots=True)
class GraphLimits:
    """What a graph may hold: `nodes` those in bodies included, `nesting` of bodies in bodies, `elements` of one constant.

    At most `errors` mistakes are described; the others are counted.
    """

    nodes: int = 1_000_000
    nesting: int = MAX_NESTING
    elements: int = 10_000_000
    errors: int = 20


class Call:
    """How one op is called from a graph: operands by position, in `inputs`; everything by name, in `attrs`."""

    __slots__ = (
        "attrs",
        "most",
        "needed",
        "op",
        "operands",
        "parameters",
        "plain",
        "required",
        "shapes",
        "signature",
        "spelling",
        "variadic",
        "wrong",
    )

    def __init__(self, op: Op, spelling: Spelling) -> None:
        parameters = spelling.parameters if spelling.parameters is not None else op.parameters
        attrs = [p for p in parameters if isinstance(p, Attr)]
        self.op = op
        self.attrs = {a.name: a for a in op.attrs}
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
        self.shapes: set[tuple[int | str, ...]] = set()
        """Numbers of operands with names of attributes that were right before, so that `bind` need not be asked."""
        self.wrong: set[int] = set()
        """Numbers of operands, without attributes, that were not."""


class Reading:
    """Shared by a graph and the bodies inside it."""

    def __init__(self, limits: GraphLimits) -> None:
        self.limits = limits
        self.mistakes = MistakeCollector(limits.errors)
        self.found = 0
        """How many mistakes there were until now."""
        self.full = False
        """Whether mistakes are only counted from now on, so that describing them can be spared."""
        self.nodes = 0
        self.calls: dict[str, Call] = {}
        """By the name that was posted."""
        self.numbers: dict[float, Literal] = {}
        """Without 0, since 0.0 and −0.0 are one key; those are in `zeros`."""
        self.zeros = tuple(to_literal(read_value(z)) for z in (0.0, -0.0))
        self._by_op: dict[Op, Call] = {}

    # -- mistakes

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
            self.count_mistakes(1)
            return
        meant = tuple(near()) if near is not None else ()
        detail += f" Did you mean {' or '.join(map(quoted, meant))}?" if meant else hint
        self.caught(kind(detail, node=node, suggestions=meant), pointer, node)

    def caught(self, error: EngineError, pointer: str, node: str | None) -> None:
        """Take note of a mistake that was raised; `pointer` and `node` are used if it does not know better.

        A limit ends the reading.
        """
        error.at(node, Where(pointer=pointer))
        if isinstance(error, LimitExceeded):
            raise error
        self.found += 1
        self.mistakes.add(error)
        self.full = len(self.mistakes.errors) >= self.mistakes.most

    def count_mistakes(self, number: int) -> None:
        """Mistakes that are not described, since the list is `full`."""
        self.found += number
        self.mistakes.omitted += number

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

    def number(self, value: float) -> Literal | None:
        """A number as an operand, equal ones being one object; None for one beyond double range."""
        if not value:
            return self.zeros[math.copysign(1.0, value) < 0]
        found = self.numbers.get(value)
        if found is None:
            try:
                if not math.isfinite(value):
                    return None
            except OverflowError:
                return None
            found = Literal(np.array(float(value)))
            if len(self.numbers) < CACHED:
                self.numbers[value] = found
        return found


class _Pause:
    """How many readings are under way for which collection is paused, and whether it ran before the first."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.readings = 0
        self.resume = False


_pause = _Pause()


@contextmanager
def collection_paused() -> Iterator[None]:
    """Reading makes millions of small objects and no reference cycles: looking for some takes twice as long as reading.

    The garbage collector is the whole process's, so the last of several readings at the same time turns it on again.
    """
    with _pause.lock:
        if _pause.readings == 0:
            _pause.resume = gc.isenabled()
            gc.disable()
        _pause.readings += 1
    try:
        yield
    finally:
        with _pause.lock:
            _pause.readings -= 1
            if _pause.readings == 0 and _pause.resume:
                gc.enable()


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
