r"""Programs as program text that reads back: `2*x*y`, with statements for what is named or read more than once.

The text's free names are the program's inputs, and what it computes is what the program computes, operation by operation; ids
of nodes in between need not survive. Bodies of loops and choices become helpers. Nothing recurses over the program, and what
would nest deeper than a reader (or the parser) follows gets a statement of its own.
"""

from __future__ import annotations

import keyword
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from engine.attrs import IndexArray, Slice
from engine.errors import Unsupported, quoted
from engine.language.hints import KEYWORDS
from engine.op import NAMESPACES, Attr, InputRef, Op, Operand
from engine.program import CONSTANT, INPUT, ITEM, Literal, Program, Step

ADD, MUL, UNARY, POW, ATOM = 9, 10, 11, 12, 13
COMPARE = 4
"""Python's levels of precedence (`engine.language.operators`)."""
INFIX = {
    "add": ("+", ADD),
    "subtract": ("-", ADD),
    "multiply": ("*", MUL),
    "divide": ("/", MUL),
    "floor_divide": ("//", MUL),
    "remainder": ("%", MUL),
    "matmul": ("@", MUL),
    "pow": ("**", POW),
    "less": ("<", COMPARE),
    "less_equal": ("<=", COMPARE),
    "greater": (">", COMPARE),
    "greater_equal": (">=", COMPARE),
    "equal": ("==", COMPARE),
    "not_equal": ("!=", COMPARE),
}
LONG = 1000
"""Characters of an expression from which on it gets a statement of its own."""
DEEP = 40
"""Brackets inside one another, likewise."""
MOST_ENTRIES = 10_000
"""Longest list of numbers that is written out."""

_NAME = re.compile(r"[A-Za-z_\x80-\U0010ffff][A-Za-z_0-9\x80-\U0010ffff]*\Z")
CONSTANTS = ("pi", "e", "inf", "nan")


def is_name(text: str) -> bool:
    """Whether an id may stand in program text as it is, as the name of a variable."""
    return bool(_NAME.match(text)) and text not in RESERVED


RESERVED = frozenset({*keyword.kwlist, *KEYWORDS, *(n for n in NAMESPACES if "." not in n)})
"""Names that no variable can have."""


@dataclass(slots=True)
class Piece:
    """An expression as text, how tightly its outermost operator binds, and how deeply brackets nest in it."""

    text: str
    level: int = ATOM
    depth: int = 0
    alone: bool = False
    """Whether it is the one result of an op that has several in general."""
    paths: list[str] | None = None
    """How its results are read, where that is not by an index alone."""


def program_text(program: Program, names: Mapping[str, str] | None = None) -> str:
    """The program as text. `names` are identifiers for ids that are none (`is_name`); others are found for nodes that are no
    inputs.

    Raises `Unsupported`, naming the node, for an input that has no name in text, and for what has no form in it.
    """
    return Printer(program, names or {}).text()


class Printer:
    """Prints the steps of a program, or of a body as a helper: `given` are then names of its inputs, and `taken` is shared."""

    def __init__(
        self,
        program: Program,
        names: Mapping[str, str],
        taken: set[str] | None = None,
        given: Mapping[int, str] | None = None,
    ) -> None:
        self.program = program
        self.pieces: dict[int, Piece] = {}
        self.lines: list[str] = []
        self.uses = [0] * len(program.steps)
        self.readers: dict[int, list[int]] = {}
        self.live = [False] * len(program.steps)
        for o in program.outputs:
            self.live[o] = True
        for i in range(len(program.steps) - 1, -1, -1):
            step = program.steps[i]
            if self.live[i]:
                for a in step.operands:
                    if isinstance(a, int):
                        self.live[a] = True
                        self.uses[a] += 1
                        if step.op is ITEM:
                            self.readers.setdefault(a, []).append(i)
        self.outputs = set(program.outputs)
        self.wanted = names
        self.taken = set(CONSTANTS) if taken is None else taken
        self.called: set[str] = set()
        """Names of inputs."""
        for i in program.inputs:
            if given is not None:
                self.pieces[i] = Piece(given[i], ATOM if is_name(given[i]) else UNARY)
                continue
            name = program.steps[i].id
            name = names.get(name, name)
            if self.live[i] and not is_name(name):
                raise Unsupported(f"The input {quoted(name)} cannot be named in program text.", node=name)
            self.pieces[i] = Piece(name)
            self.called.add(name)
            self.taken.add(name)
        self.counter = 0

    def text(self) -> str:
        """All statements; the last one is the result."""
        self.print()
        self.lines.append(", ".join(self.results()))
        return "\n".join(self.lines)

    def print(self) -> None:
        """The statements before the results."""
        for i, step in enumerate(self.program.steps):
            if not self.live[i] or step.op is INPUT:
                continue
            if i in self.readers:
                self._several(i, step)
            elif i not in self.pieces:
                piece = self._piece(i, step)
                self.pieces[i] = piece
                if self._stated(i, step, piece):
                    self._state(i, piece)

    def results(self) -> list[str]:
        """The outputs."""
        return [self.pieces[o].text for o in self.program.outputs]

    def atom(self, argument: Any) -> str:
        """An operand as a name or a number, a statement before it if need be: a helper reads it from around it."""
        piece = self.operand(argument)
        if isinstance(argument, int) and not is_name(piece.text):
            self._state(argument, piece)
            return self.pieces[argument].text
        return piece.text if piece.level == ATOM else f"({piece.text})"

    def fresh(self, wish: str) -> str:
        """A name that nothing has yet."""
        name, k = (wish if is_name(wish) else "v"), 1
        wish = name
        while name in self.taken:
            k += 1
            name = f"{wish}{k}" if not wish[-1].isdigit() else f"{wish}_{k}"
        self.taken.add(name)
        return name

    def _stated(self, i: int, step: Step, piece: Piece) -> bool:
        """Whether a step gets a statement."""
        if len(piece.text) > LONG or piece.depth > DEEP:
            return True
        often = self.uses[i] + (i in self.outputs) > 1
        if step.op is CONSTANT or (step.op is ITEM and piece.level == ATOM):
            return often and len(piece.text) > 12
        return often or (step.named and self.uses[i] > 0)

    def _state(self, i: int, piece: Piece) -> None:
        name = self._name(i)
        self.lines.append(f"{name} = {piece.text}")
        self.pieces[i] = Piece(name)

    def _name(self, i: int) -> str:
        """A name for a step: its own, if that is one and free."""
        own = self.program.steps[i].id
        own = self.wanted.get(own, own)
        if is_name(own) and own not in self.taken:
            name = own
        else:
            while True:
                self.counter += 1
                name = f"t{self.counter}"
                if name not in self.taken and name not in self.program.index:
                    break
        self.taken.add(name)
        return name

    def _several(self, i: int, step: Step) -> None:
        """An op of several results: read where it stands if that is once, else by a name."""
        piece = self._piece(i, step)
        if piece.alone:
            self.pieces[i] = piece
            if len(self.readers[i]) > 1:
                self._state(i, piece)
                self.pieces[i].alone = True
        elif len(self.readers[i]) > 1 or piece.level < ATOM:
            self._state(i, piece)
            self.pieces[i].paths = piece.paths
        else:
            self.pieces[i] = piece

    # -- expressions

    def _piece(self, i: int, step: Step) -> Piece:
        op = step.op
        if op is CONSTANT:
            return self._literal(step.attrs["value"])
        if op is ITEM:
            source = self.operand(step.operands[0])
            if source.alone:
                return source
            if source.paths is not None:
                return Piece(source.text + source.paths[step.attrs["index"]], ATOM, source.depth)
            return Piece(f"{_at(source, ATOM)}[{step.attrs['index']}]", ATOM, source.depth)
        if any(isinstance(v, Program) for v in step.attrs.values()):
            from engine.render.text_helpers import with_bodies

            return with_bodies(self, step)
        operands = [None if a is None else self.operand(a) for a in step.operands]
        infix = INFIX.get(op.name)
        if infix is not None and len(operands) == 2 and not step.attrs and None not in operands:
            pieces = [p for p in operands if p is not None]
            if all(isinstance(a, Literal) and a.value.ndim for a in step.operands):
                pieces[0] = Piece(f"np.array({pieces[0].text})", ATOM, pieces[0].depth + 1)
            return _infix(*infix, *pieces)
        first = operands[0] if operands else None
        if op.name == "negative" and first is not None:
            return Piece("-" + _at(first, UNARY), UNARY, _deeper(first, UNARY))
        if op.name == "logical_not" and first is not None:
            return Piece("~" + _at(first, UNARY), UNARY, _deeper(first, UNARY))
        if op.name == "getitem" and first is not None:
            index = self._index(step, operands)
            return Piece(f"{_at(first, ATOM)}[{index}]", ATOM, 1 + _deeper(first, ATOM))
        if op.name == "permute_dims" and first is not None and not step.attrs:
            return Piece(_at(first, ATOM) + ".T", ATOM, _deeper(first, ATOM))
        if op.name == "matrix_transpose" and first is not None:
            return Piece(_at(first, ATOM) + ".mT", ATOM, _deeper(first, ATOM))
        if op.name == "stack" and not step.attrs and all(p is not None for p in operands):
            listed = [p for p in operands if p is not None]
            return Piece(f"[{', '.join(p.text for p in listed)}]", ATOM, 1 + max(p.depth for p in listed))
        return self._call(step, operands)

    def _call(self, step: Step, operands: Sequence[Piece | None]) -> Piece:
        """A call, arguments in the op's order; by their names where one before them is missing."""
        op = step.op
        arguments: list[str] = []
        by_name = False
        given = list(operands)
        places = [k for k, p in enumerate(op.parameters) if isinstance(p, Operand)]
        there = places if len(operands) >= len(places) else places[: len(operands)]
        last = max(there, default=-1)
        for k, parameter in enumerate(op.parameters):
            if isinstance(parameter, Operand):
                if parameter.variadic:
                    arguments += self._many(
                        op, given, following=any(isinstance(p, Operand) for p in op.parameters[k + 1 :])
                    )
                    given = []
                    continue
                piece = given.pop(0) if given else None
                if piece is None:
                    by_name = True
                else:
                    arguments.append(f"{parameter.name}={piece.text}" if by_name else piece.text)
                continue
            if parameter.name not in step.attrs:
                by_name = by_name or k < last
                continue
            shown = self._attr(step, step.attrs[parameter.name])
            positional = not by_name and not parameter.keyword_only and (k < last or _leads(op, k))
            arguments.append(shown if positional else f"{parameter.name}={shown}")
            by_name = by_name or not positional
        depth = 1 + max((p.depth for p in operands if p is not None), default=0)
        return Piece(f"{op.name}({', '.join(arguments)})", ATOM, depth)

    def _many(self, op: Op, given: Sequence[Piece | None], *, following: bool) -> list[str]:
        texts = ["None" if p is None else p.text for p in given]
        if op.name == "einsum":
            return texts
        return [f"[{', '.join(texts)}]"]

    def operand(self, argument: Any) -> Piece:
        return self._literal(argument) if isinstance(argument, Literal) else self.pieces[argument]

    def _literal(self, literal: Literal) -> Piece:
        value = literal.value
        if value.ndim == 0:
            return self.number(value[()])
        if value.size == 0:
            return Piece(f"zeros({_tuple(value.shape)})", ATOM, 1)
        if value.size > MOST_ENTRIES:
            raise Unsupported(f"An array of {value.size:,} numbers is not written out in program text.")
        if value.dtype.kind == "f" and value.size > 1 and bool((value == value.flat[0]).all()):
            fill = float(value.flat[0])
            shape = _tuple(value.shape) if value.ndim > 1 else str(value.shape[0])
            if fill in (0.0, 1.0) and not math.copysign(1.0, fill) < 0:
                return Piece(f"{'zeros' if fill == 0 else 'ones'}({shape})", ATOM, 1)
            return Piece(f"full({shape}, {self.number(fill).text})", ATOM, 1)
        return Piece(_listed(value.tolist(), self.number), ATOM, value.ndim)

    def number(self, x: Any) -> Piece:
        """A number as short as it reads back: constants by their names, fractions as such."""
        if isinstance(x, bool | np.bool_):
            return Piece(str(bool(x)))
        if isinstance(x, int | np.integer):
            return Piece(str(int(x)), ATOM if x >= 0 else UNARY)
        x = float(x)
        if math.isnan(x):
            return Piece("nan" if "nan" not in self.called else "(inf - inf)")
        if math.copysign(1.0, x) < 0:
            inner = self.number(-x)
            return Piece("-" + _at(inner, UNARY), UNARY)
        if math.isinf(x):
            return Piece("inf" if "inf" not in self.called else "1e999")
        if x == int(x) and x < 1e16:
            return Piece(str(int(x)))
        named = KNOWN.get(x)
        if named is not None and not (named[2] & self.called):
            return Piece(named[0], named[1])
        plain = repr(x)
        if len(plain) > 12:
            for bottom in (3, 6, 7, 9, 11, 12, 13, 15):
                top = round(x * bottom)
                if 0 < top < 100 and top / bottom == x:
                    return Piece(f"{top}/{bottom}", MUL)
        return Piece(plain)

    # -- attributes

    def _index(self, step: Step, operands: Sequence[Piece | None]) -> str:
        parts = []
        for part in step.attrs["index"]:
            if isinstance(part, Slice):
                start, stop, stride = ("" if p is None else self._attr(step, p) for p in part)
                parts.append(f"{start}:{stop}" + (f":{stride}" if stride else ""))
            else:
                parts.append(self._attr(step, part))
        return ", ".join(parts)

    def _attr(self, step: Step, value: Any) -> str:
        match value:
            case Slice():
                raise Unsupported(f"{step.op.name} has no form in program text.", node=step.id)
            case Literal():
                return self._literal(value).text
            case IndexArray():
                array = value.value
                return _listed(array.tolist(), self.number) if array.ndim else str(array[()])
            case InputRef(k):
                return self.operand(step.operands[k]).text
            case tuple():
                return _tuple([self._attr(step, v) for v in value])
            case str():
                return repr(value)
            case None:
                return "None"
            case bool() | int() | float():
                return self.number(value).text
        if value is Ellipsis:
            return "..."
        raise Unsupported(f"{step.op.name} has an argument that has no form in program text.", node=step.id)


def _leads(op: Op, k: int) -> bool:
    """Whether parameter k is the first one and no operand: `zeros(3)`, `einsum('ij->i', …)`."""
    return k == 0 and isinstance(op.parameters[0], Attr)


def _infix(sign: str, level: int, x: Piece, y: Piece) -> Piece:
    if level == POW:
        left, right = ATOM, UNARY
    elif level == COMPARE:
        left, right = COMPARE + 1, COMPARE + 1
    else:
        left, right = level, level + 1
    spaced = f" {sign} " if level in (ADD, COMPARE) or sign == "@" else sign
    text = f"{_at(x, left)}{spaced}{_at(y, right)}"
    return Piece(text, level, max(_deeper(x, left), _deeper(y, right)))


def _at(piece: Piece, level: int) -> str:
    """A piece where at least `level` is needed."""
    return piece.text if piece.level >= level else f"({piece.text})"


def _deeper(piece: Piece, level: int) -> int:
    return piece.depth + (piece.level < level)


def _listed(value: Any, number: Any) -> str:
    """A nested list, not deeper than arrays are."""
    if isinstance(value, list):
        return f"[{', '.join(_listed(v, number) for v in value)}]"
    return str(number(value).text)


def _tuple(values: Sequence[Any]) -> str:
    return f"({values[0]},)" if len(values) == 1 else f"({', '.join(map(str, values))})"


def _known() -> dict[float, tuple[str, int, frozenset[str]]]:
    none: frozenset[str] = frozenset()
    pi = frozenset({"pi"})
    return {
        math.pi: ("pi", ATOM, pi),
        math.e: ("e", ATOM, frozenset({"e"})),
        math.pi / 180.0: ("pi/180", MUL, pi),
        180.0 / math.pi: ("180/pi", MUL, pi),
        2.0 * math.pi: ("2*pi", MUL, pi),
        math.pi / 2.0: ("pi/2", MUL, pi),
        math.log(2.0): ("log(2)", ATOM, none),
        math.log(10.0): ("log(10)", ATOM, none),
        1.0 / math.log(2.0): ("1/log(2)", MUL, none),
        1.0 / math.log(10.0): ("1/log(10)", MUL, none),
        math.sqrt(2.0): ("sqrt(2)", ATOM, none),
        math.sqrt(math.pi): ("sqrt(pi)", ATOM, pi),
        2.0 / math.sqrt(math.pi): ("2/sqrt(pi)", MUL, pi),
        math.sqrt(math.pi) / 2.0: ("sqrt(pi)/2", MUL, pi),
        math.sqrt(2.0 * math.pi): ("sqrt(2*pi)", ATOM, pi),
        1.0 / math.sqrt(2.0 * math.pi): ("1/sqrt(2*pi)", MUL, pi),
    }


KNOWN = _known()
"""Numbers that have a name: how they are written, and the names in whose presence they are not."""
