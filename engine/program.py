"""Programs: what a client wrote, read and named, before anything is known about shapes.

A program is a Wengert list of user-level steps in evaluation order. Both readers (`language` for text, `spec` for JSON
graphs) make one; `specialize` turns it into a typed graph once the inputs' shapes are known; its canonical JSON is what
`parse` and the registry show, and the SHA-256 of that is its id on every server.
"""

from __future__ import annotations

import base64
import hashlib
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from json.encoder import encode_basestring
from typing import Any, NamedTuple, Protocol, TypeAlias

import numpy as np

from engine.attrs import INT, IndexArray, Slice
from engine.aval import Array, Aval
from engine.errors import InvalidId, Where
from engine.graph import Graph
from engine.op import Attr, InputRef, Kind, Op, Operand, registry

NON_FINITE = ("NaN", "Infinity", "-Infinity")
MAX_ID = 256
"""Longest id, in code points."""
MAX_NESTING = 32
"""Deepest nesting of bodies: loops, conditions and derivatives inside one another. They are typed one inside the other."""


# ------------------------------------------------------------------------------------------------- structural ops


class _Structural(Op):
    """An op that is part of how programs are written; `specialize` handles it itself."""

    family = "structure"


class _Input(_Structural):
    """An input of the program; its optional `value` is the default."""

    name = "input"
    results = ("x",)


class _Constant(_Structural):
    """A named constant: `value` is a number, a boolean, a nested list or an encoded array."""

    name = "constant"


class _Item(_Structural):
    """One result of an op that has several: `index` counts from 0."""

    name = "item"
    parameters = (Operand("results"), Attr("index", INT))


INPUT = registry.add(_Input())
CONSTANT = registry.add(_Constant())
ITEM = registry.add(_Item())


# ------------------------------------------------------------------------------------------------------- literals


class Literal:
    """A constant value written in a program: an operand, a named constant, or an input's default.

    `weak` marks plain numbers and lists of numbers, which are float64 here but become integers where only integers make
    sense (`3` and `3.0` are the same number); encoded arrays keep the dtype they came with. Hashable by content.
    """

    __slots__ = ("value", "weak")

    def __init__(self, value: Any, weak: bool = True) -> None:
        self.value: Array = np.asarray(value)
        self.weak = weak and self.value.dtype.kind == "f"

    @property
    def integral(self) -> bool:
        """Whether every entry is an integer in value."""
        v = self.value
        if v.dtype.kind != "f":
            return v.dtype.kind == "i"
        return bool(np.all(np.isfinite(v) & (v == np.floor(v)) & (np.abs(v) < 2.0**63)))

    def to_json(self) -> Any:
        """As it may stand in a JSON graph, exact and canonical."""
        v = self.value
        if v.size == 0 or (v.dtype.kind in "fi" and not self.weak):
            little = np.ascontiguousarray(v.astype(v.dtype.newbyteorder("<"), copy=False))
            return {
                "object_type": "array",
                "shape": list(v.shape),
                "dtype": str(v.dtype),
                "data": {"encoding": "base64", "buffer": base64.b64encode(little.tobytes()).decode()},
            }
        if v.dtype.kind == "f" and not np.isfinite(v).all():
            return _finite_or_text(v.tolist())
        return v.tolist()

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Literal)
            and self.weak == other.weak
            and self.value.dtype == other.value.dtype
            and self.value.shape == other.value.shape
            and self.value.tobytes() == other.value.tobytes()
        )

    def __hash__(self) -> int:
        return hash((self.weak, self.value.shape, self.value.tobytes()))

    def __repr__(self) -> str:
        return f"Literal({self.value.tolist()!r})"


def _finite_or_text(value: Any) -> Any:
    if isinstance(value, list):
        return [_finite_or_text(v) for v in value]
    if math.isnan(value):
        return "NaN"
    return value if math.isfinite(value) else ("Infinity" if value > 0 else "-Infinity")


# ---------------------------------------------------------------------------------------------------------- steps

Argument: TypeAlias = int | Literal | None
"""An operand of a step: the position of an earlier step, a literal, or None for an absent optional operand."""


class Step(NamedTuple):
    """One user-level node. `attrs` are canonical (`op.check_attrs`); `origin` is the place in the source.

    `operands` follow the op's operand parameters, a variadic one flat; further operands that an attribute refers to by
    `InputRef(k)` stand behind them, `k` being their position in `operands`.
    """

    id: str
    op: Op
    operands: tuple[Argument, ...] = ()
    attrs: Mapping[str, Any] = {}
    origin: int = -1
    named: bool = True


class Source(Protocol):
    """Knows where in the request the steps stand."""

    def where(self, origin: int) -> Where | None:
        """Place of a step's origin (−1: nowhere)."""


@dataclass(frozen=True, slots=True)
class TextSource:
    """Program text; an origin is an offset into it, in code points.

    `root` is a JSON pointer to the text where that is not the request's own (a stored program).
    """

    text: str
    root: str | None = None

    def where(self, origin: int) -> Where | None:
        """Line and column from 1, with the line and a caret under the place."""
        if origin < 0:
            return None
        before = self.text[:origin]
        line = before.count("\n") + before.count("\r") - before.count("\r\n") + 1
        start = max(before.rfind("\n"), before.rfind("\r")) + 1
        ends = [i for i in (self.text.find("\n", origin), self.text.find("\r", origin)) if i >= 0]
        end = min(ends, default=-1)
        column = origin - start + 1
        full = self.text[start : len(self.text) if end < 0 else end]
        left = max(0, column - 41)
        shown = full[left : left + 80].replace("\t", " ")
        caret = " " * (column - 1 - left) + "^"
        return Where(self.root, line, column, f"{shown}\n{caret}")


@dataclass(frozen=True, slots=True)
class GraphSource:
    """A JSON graph at `root` (a JSON pointer) in the request; an origin is the node's position in the posted list."""

    root: str = "/graph"

    def where(self, origin: int) -> Where | None:
        """Pointer to the node."""
        return None if origin < 0 else Where(pointer=f"{self.root}/nodes/{origin}")


@dataclass(frozen=True, eq=False)
class Program:
    """Steps in evaluation order, and which of them are outputs. Immutable; equal programs have equal digests.

    A subprogram (the body of a loop) is a program too: its inputs, in order, are the body's parameters.
    """

    steps: tuple[Step, ...]
    outputs: tuple[int, ...]
    source: Source = TextSource("")

    @cached_property
    def inputs(self) -> tuple[int, ...]:
        """Positions of the input steps, in order."""
        return tuple(i for i, s in enumerate(self.steps) if s.op is INPUT)

    @cached_property
    def input_ids(self) -> tuple[str, ...]:
        """Ids of the inputs, in order."""
        return tuple(self.steps[i].id for i in self.inputs)

    @cached_property
    def index(self) -> dict[str, int]:
        """Position of each id."""
        return {s.id: i for i, s in enumerate(self.steps)}

    @property
    def output_ids(self) -> list[str]:
        """Ids of the outputs, in order."""
        return [self.steps[i].id for i in self.outputs]

    @cached_property
    def identity(self) -> tuple[Any, ...]:
        """What makes two programs the same in every respect: the digest, what its steps are called by, and the source, which
        errors point into."""
        called = hash(tuple([(s.origin, s.named) for s in self.steps]))
        return (self.digest, self.source, called, tuple(_negative_zeros(self)))

    def where(self, i: int) -> Where | None:
        """Place of step `i` in the request."""
        return self.source.where(self.steps[i].origin)

    def to_json(self) -> dict[str, Any]:
        """The program as a JSON graph: canonical op names, evaluation order, explicit outputs."""
        return {"nodes": [step_json(self, s) for s in self.steps], "outputs": self.output_ids}

    def canonical(self) -> Iterator[str]:
        """RFC 8785 canonical JSON of `to_json()`, in pieces (never whole: a program may have 10⁶ steps)."""
        yield '{"nodes":['
        names = [encode_basestring(s.id) for s in self.steps]
        literals: dict[Literal, str] = {}
        piece: list[str] = []
        for i, s in enumerate(self.steps):
            if s.attrs or not s.operands or any(p.named for p in s.op.operands[1 : len(s.operands)]):
                text = canonical_json(step_json(self, s))
            else:
                refs = []
                for a in s.operands:
                    if type(a) is int:
                        refs.append(names[a])
                        continue
                    known = literals.get(a) if isinstance(a, Literal) else "null"
                    if known is None:
                        known = literals[a] = canonical_json(a.to_json())  # type: ignore[union-attr, index]  # a Literal
                    refs.append(known)
                text = f'{{"id":{names[i]},"inputs":[{",".join(refs)}],"op":"{s.op.name}"}}'
            piece.append(text if i == 0 else "," + text)
            if len(piece) >= 1024:
                yield "".join(piece)
                piece.clear()
        yield "".join(piece)
        yield '],"outputs":[' + ",".join(names[i] for i in self.outputs) + "]}"

    @cached_property
    def digest(self) -> str:
        """`sha256-` and 64 hex digits: the program's id."""
        sha = hashlib.sha256()
        for piece in self.canonical():
            sha.update(piece.encode())
        return f"sha256-{sha.hexdigest()}"


def _negative_zeros(program: Program) -> Iterator[int]:
    """Which of the program's constants have a negative zero: RFC 8785 has none, so the digest does not tell."""
    todo: list[Any] = [program]
    seen = 0
    while todo:
        part = todo.pop()
        if isinstance(part, Program):
            for step in part.steps:
                todo += [a for a in step.operands if type(a) is Literal]
                todo += step.attrs.values()
        elif isinstance(part, tuple):
            todo += part
        elif isinstance(part, Literal | float):
            value = part.value if isinstance(part, Literal) else part
            seen += 1
            if isinstance(value, np.ndarray) and (value.ndim or value.dtype.kind != "f"):
                if value.dtype.kind == "f" and bool(np.any(np.signbit(value) & (value == 0))):
                    yield seen
            elif value == 0 and math.copysign(1.0, value) < 0:
                yield seen


def step_json(program: Program, step: Step) -> dict[str, Any]:
    """One node of the JSON graph."""
    node: dict[str, Any] = {"id": step.id, "op": step.op.name}
    attrs = dict(step.attrs)
    if step.op in (INPUT, CONSTANT):
        if "value" in attrs:
            node["value"] = attrs["value"].to_json()
        return node
    written = list(step.operands)
    for k, p in enumerate(step.op.operands[: len(written)]):
        constant = written[k]
        if p.named and isinstance(constant, Literal):
            attrs[p.name], written[k] = constant, None
    while written and written[-1] is None and len(written) > 1:
        written.pop()
    if written:
        node["inputs"] = [
            program.steps[a].id if isinstance(a, int) else None if a is None else a.to_json() for a in written
        ]
    if attrs:
        node["attrs"] = {k: attr_json(v) for k, v in attrs.items()}
    return node


def attr_json(value: Any) -> Any:
    """A canonical attribute as JSON."""
    if isinstance(value, Program):
        return {"inputs": [value.steps[i].id for i in value.inputs], **value.to_json()}
    if isinstance(value, InputRef):
        return {"input": value.index}
    if isinstance(value, Slice):
        return {"start": attr_json(value.start), "stop": attr_json(value.stop), "step": attr_json(value.step)}
    if isinstance(value, IndexArray):
        array = value.value
        return array.tolist() if array.size or array.ndim == 1 else Literal(array).to_json()
    if isinstance(value, Literal):
        return value.to_json()
    if value is Ellipsis:
        return "..."
    if isinstance(value, tuple):
        return [attr_json(v) for v in value]
    if isinstance(value, float) and not math.isfinite(value):
        return _finite_or_text(value)
    return value


_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


def is_id(name: str) -> bool:
    """Whether `name` may be a node's id."""
    return (
        0 < len(name) <= MAX_ID
        and name not in NON_FINITE
        and (name.isprintable() or not _CONTROL.search(name))
    )


def check_id(name: str) -> None:
    """Raise `InvalidId` unless `name` may be a node's id."""
    if is_id(name):
        return
    if not 1 <= len(name) <= MAX_ID:
        raise InvalidId(f"A node's id must have 1 to {MAX_ID} characters; this one has {len(name)}.")
    if name in NON_FINITE:
        raise InvalidId(f"'{name}' cannot be an id: where a node may stand it means the number.", node=name)
    raise InvalidId("A node's id must not contain control characters or lone surrogates.")


# ------------------------------------------------------------------------------------------------- canonical JSON


def canonical_json(value: Any) -> str:
    """JSON by RFC 8785: no white space, keys sorted by UTF-16 code units, numbers as ECMAScript prints them."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return encode_basestring(value)
    if isinstance(value, int | float):
        return canonical_number(value)
    if isinstance(value, list | tuple):
        return "[" + ",".join(map(canonical_json, value)) + "]"
    items = sorted(value.items(), key=lambda kv: kv[0].encode("utf-16-be"))
    return "{" + ",".join(f"{encode_basestring(k)}:{canonical_json(v)}" for k, v in items) + "}"


def canonical_number(x: float) -> str:
    """A finite double as ECMAScript's `Number::toString` prints it (ECMA-262, 6.1.6.1.20; RFC 8785, 3.2.2.3)."""
    x = float(x)
    if x == 0:
        return "0"
    mantissa, _, exponent = repr(x).partition("e")
    sign = "-" if x < 0 else ""
    whole, _, fraction = mantissa.lstrip("-").partition(".")
    fraction = "" if fraction == "0" and not exponent else fraction
    digits = (whole + fraction).lstrip("0")
    point = len(whole) + int(exponent or 0) - (len(whole + fraction) - len(digits))
    digits = digits.rstrip("0")
    n = len(digits)
    if n <= point <= 21:
        return sign + digits + "0" * (point - n)
    if 0 < point <= 21:
        return f"{sign}{digits[:point]}.{digits[point:]}"
    if -6 < point <= 0:
        return f"{sign}0.{'0' * -point}{digits}"
    e = point - 1
    tail = f".{digits[1:]}" if n > 1 else ""
    return f"{sign}{digits[0]}{tail}e{'+' if e > 0 else '-'}{abs(e)}"


# --------------------------------------------------------------------------------------------------------- subgraphs


def _body(value: Any) -> Program:
    if not isinstance(value, Program):
        raise ValueError("it must have inputs, outputs and nodes")
    return value


BODY = Kind("a subgraph", _body)
"""A static attribute that is a program of its own: the body of a loop, the branch of a condition."""


class Body(Protocol):
    """A subgraph as `lower` gets it: shapes of its inputs in, typed graph out."""

    program: Program

    def graph(self, avals: Sequence[Aval]) -> Graph:
        """The body for inputs of these avals. Raises errors that name nodes inside the body."""
