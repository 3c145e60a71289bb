"""Expressions: boxes with what is needed to write one inside another, and to fill the patterns of ops with them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from engine.aval import Array
from engine.render.boxes import (
    LARGE,
    Accent,
    Apply,
    Box,
    Fence,
    Frac,
    Func,
    Ident,
    Num,
    Prose,
    Root,
    Row,
    Script,
    Sign,
    Slot,
    Table,
    Times,
)
from engine.render.numbers import exact_number
from engine.render.template import ATOM, CALL, FRAC, FUN, LIST, MUL, OR, POW, Pattern


@dataclass(frozen=True, slots=True)
class Expr:
    """A box with what is needed to write it inside another.

    `level` is its precedence; `signed`: it begins with a minus; `open`: it ends in an open function application,
    `closed` being the same with parentheses; `op` is the op of a product, since products of different kinds do not mix;
    `size` and `depth` are how wide and deep it is; a `symbol` is a name that stands for what is defined elsewhere.
    """

    box: Box
    level: int = ATOM
    signed: bool = False
    open: bool = False
    closed: Box | None = None
    op: str = ""
    size: int = 1
    depth: int = 0
    symbol: bool = False


def _fits(slot: Slot, e: Expr, op: str) -> bool:
    """Whether an expression may stand in a slot as it is; `op` is the op of a product that the slot is a factor of."""
    if e.level < slot.need or (e.signed and not slot.lead) or (e.open and not slot.last):
        return False
    return not (op and e.op and e.level == slot.need and e.op != op)


class _Filling:
    """A pattern being filled; templates are short, so this recurses over them."""

    def __init__(self, op: str, given: Mapping[str, Expr]) -> None:
        self.op = op
        self.given = given
        self.size = 0
        self.depth = 0

    def box(self, pattern: Box, nest: int) -> Box:
        """The pattern with expressions in its slots; `nest` is how deep it stands."""
        match pattern:
            case Slot():
                return self.slot(pattern, nest)[0]
            case Row(items):
                return Row(_settled([self.box(b, nest) for b in items]))
            case Script(base, sub, sup):
                return self.script(base, sub, sup, nest)
            case Frac(top, bottom):
                return Frac(self.box(top, nest + 1), self.box(bottom, nest + 1))
            case Fence(left, body, right):
                return Fence(left, self.box(body, nest + 1), right)
            case Table(kind, rows):
                return _unnested(
                    Table(kind, tuple(tuple(self.box(c, nest + 1) for c in row) for row in rows))
                )
            case Root(body, index):
                return Root(self.box(body, nest + 1), index)
            case Accent(latex, body):
                return Accent(latex, self.box(body, nest + 1))
        self.size += 1
        return pattern

    def slot(self, slot: Slot, nest: int) -> tuple[Box, Expr | None]:
        """What stands in a slot, and the expression if it stands there without parentheses."""
        e = self.given[slot.name]
        self.size += e.size
        if _fits(slot, e, self.op):
            self.depth = max(self.depth, nest + e.depth)
            return e.box, e
        self.depth = max(self.depth, nest + 1 + e.depth)
        if e.closed is not None and _fits(slot, replace(e, open=False), self.op):
            return e.closed, None
        self.size += 1
        return Fence("(", e.box, ")"), None

    def script(self, base: Box, sub: Box | None, sup: Box | None, nest: int) -> Box:
        """A base with scripts; an index that the filled base has already is kept beside a new exponent."""
        inner = self.box(base, nest)
        new_sub = None if sub is None else self.box(sub, nest + 1)
        new_sup = None if sup is None else self.box(sup, nest + 1)
        if isinstance(base, Slot) and isinstance(inner, Script):
            if new_sub is None and inner.sup is None:
                return Script(inner.base, inner.sub, new_sup)
            inner = Fence("(", inner, ")")
        return Script(inner, new_sub, new_sup)


def _unnested(table: Table) -> Table:
    """Cases whose last one is cases again, as one list of them."""
    if table.kind != "cases":
        return table
    *rows, last = table.rows
    match last:
        case (Table(kind="cases", rows=more), Prose("else")) if more[-1][1:] == (Prose("else"),):
            return Table("cases", (*rows, *more))
    return table


def fill(pattern: Pattern, op: str, given: Mapping[str, Expr]) -> Expr:
    """A pattern with expressions in its slots, in parentheses where they need them."""
    mixes = pattern.level in (MUL, OR) and len(pattern.slots) > 1
    filling = _Filling(op if mixes else "", given)
    top = pattern.box
    if isinstance(top, Slot):
        return given[top.name]
    items = list(top.items) if isinstance(top, Row) else [top]
    signed, opened = pattern.signed, pattern.open
    written: list[Box] = []
    last: Expr | None = None
    for k, item in enumerate(items):
        if isinstance(item, Slot):
            box, bare = filling.slot(item, 0)
            signed = signed or (k == 0 and bare is not None and bare.signed)
            if k == len(items) - 1 and bare is not None and bare.open:
                opened, last = True, bare
            written.append(box)
        else:
            written.append(filling.box(item, 0))
    level, closed = pattern.level, None
    settled = _settled(written)
    if level == FUN and opened:
        at = next(k for k, b in enumerate(written) if isinstance(b, Apply))
        if settled[at] == Apply(open=False):
            level, opened = CALL, False
        else:
            closed = Row((*settled[:at], Apply(open=False), Fence("(", row(settled[at + 1 :]), ")")))
    elif opened and level == MUL and last is not None and last.closed is not None:
        closed = Row((*settled[:-1], last.closed))
    depth = max(filling.depth, 0 if isinstance(top, Row) else 1)
    if op == "multiply" and isinstance(settled[0], Num):
        mixes = False  # a number in front of a product of any kind is no factor of another kind
    return Expr(row(settled), level, signed, opened, closed, op if mixes else "", filling.size, depth)


def row(boxes: Sequence[Box]) -> Box:
    """Boxes side by side; one alone is itself."""
    return boxes[0] if len(boxes) == 1 else Row(tuple(boxes))


def _settled(boxes: Sequence[Box]) -> tuple[Box, ...]:
    """What can be said between boxes only when they are known.

    A product has a dot where its factors would read as something else (2·3, z·(x + y), 2·½); a function whose argument
    has got parentheses is a call.
    """
    result = list(boxes)
    for k in range(1, len(result) - 1):
        after = result[k + 1]
        if isinstance(result[k], Apply) and isinstance(after, Fence) and after.left == "(":
            result[k] = Apply(open=False)
        elif isinstance(result[k], Times):
            left, right = _edge(result[k - 1], right=True), _edge(result[k + 1], right=False)
            if right == "function":
                result[k] = Times(quiet=True)
            elif right == "number" or (left, right) in (("number", "fraction"), ("name", "fence")):
                result[k] = Sign("\\cdot")
    return tuple(result)


def _edge(box: Box, *, right: bool) -> str:
    """What a box begins or ends with."""
    while True:
        if isinstance(box, Row) and box.items:
            box = box.items[-1 if right else 0]
        elif isinstance(box, Script):
            if right and not isinstance(box.base, Ident):
                return ""
            box = box.base
        else:
            break
    if isinstance(box, Sign):
        return "function" if box.latex in LARGE else ""
    kinds = {Num: "number", Ident: "name", Fence: "fence", Frac: "fraction", Func: "function"}
    return kinds.get(type(box), "")


def listed(exprs: Sequence[Expr]) -> Expr:
    """Expressions in a row with commas."""
    boxes: list[Box] = []
    for e in exprs:
        boxes += [Sign(","), e.box] if boxes else [e.box]
    if len(exprs) == 1:
        return exprs[0]
    size = sum(e.size for e in exprs) + len(exprs)
    return Expr(Row(tuple(boxes)), LIST, size=size, depth=max((e.depth for e in exprs), default=0))


def fenced(e: Expr, left: str = "(", right: str = ")") -> Expr:
    """An expression between delimiters."""
    return Expr(Fence(left, e.box, right), ATOM, size=e.size + 1, depth=e.depth + 1)


# ------------------------------------------------------------------------------------------------------------- numbers


def number(x: Any, constants: Mapping[float, Expr] | None = None) -> Expr:
    """A number as mathematics writes it: the shortest digits that read back to it, powers of ten spelled out.

    Those among `constants` (multiples of π) are written as they say.
    """
    if isinstance(x, bool | np.bool_):
        return Expr(Ident("true" if x else "false", "upright"))
    if isinstance(x, float | np.floating) and not math.isfinite(x):
        if math.isnan(x):
            return Expr(Ident("NaN", "upright"))
        return _negated(Expr(Sign("\\infty"))) if x < 0 else Expr(Sign("\\infty"))
    text = exact_number(x)
    if text.startswith("-"):
        return _negated(
            number(float(text.lstrip("-")) if isinstance(x, float | np.floating) else -int(x), constants)
        )
    if constants and (constant := constants.get(float(x))):
        return constant
    mantissa, _, exponent = text.partition("e")
    digits = Expr(Num(mantissa.removesuffix(".0")))
    if not exponent:
        return digits
    ten = Script(Num("10"), None, number(int(exponent)).box)
    if digits.box == Num("1"):
        return Expr(ten, POW, size=2)
    return Expr(Row((digits.box, Sign("\\cdot"), ten)), MUL, op="multiply", size=3)


def _negated(e: Expr) -> Expr:
    return Expr(Row((Sign("-", prefix=True), e.box)), MUL, signed=True, size=e.size + 1)


def _constants() -> dict[float, tuple[Expr, frozenset[str]]]:
    pi, taken = Ident("π"), frozenset({"pi", "π", "pi_"})
    found = {math.pi: (Expr(pi), taken), math.e: (Expr(Ident("e")), frozenset({"e", "e_"}))}
    for k in (2, 3, 4):
        found[k * math.pi] = (Expr(Row((Num(str(k)), Times(), pi)), MUL, op="multiply", size=2), taken)
    for k in (2, 3, 4, 6):
        found[math.pi / k] = (Expr(Frac(pi, Num(str(k))), FRAC, size=2), taken)
    for n in ("2", "10"):
        boxes = (Func("log"), Apply(open=False), Fence("(", Num(n), ")"))
        found[math.log(int(n))] = (Expr(Row(boxes), CALL, size=3, depth=1), frozenset())
    found[math.sqrt(math.pi)] = (Expr(Root(pi, None), size=2, depth=1), taken)
    found[math.sqrt(2 * math.pi)] = (Expr(Root(Row((Num("2"), Times(), pi)), None), size=3, depth=1), taken)
    return found


CONSTANTS = _constants()
"""Numbers that have a name, how they are written, and the ids in whose presence they are not."""

DOTS = Expr(Sign("\\ldots"))

MOST_ENTRIES = 8
MOST_ROWS = 5


def array(value: Array, constants: Mapping[float, Expr] | None = None) -> Expr:
    """A literal: a number, a short list, a small matrix; larger ones are an ellipsis in brackets with their shape."""
    a = np.asarray(value)
    if a.ndim == 0:
        return number(a[()], constants)
    if a.ndim == 1:
        return fenced(listed(_short_list(a)), "[", "]")
    if a.ndim == 2 and max(a.shape) <= MOST_ROWS and a.size:
        rows = tuple(tuple(number(x).box for x in line) for line in a)
        return Expr(Table("matrix", rows), size=a.size, depth=1)
    shape: list[Box] = []
    for n in a.shape:
        shape += [Sign("\\times"), Num(str(n))] if shape else [Num(str(n))]
    return Expr(Script(Fence("[", Sign("\\ldots"), "]"), row(shape)), size=2 + a.ndim, depth=1)


def _short_list(a: Array) -> list[Expr]:
    shown = [number(x) for x in a[:MOST_ENTRIES]]
    return [*shown, DOTS] if len(a) > MOST_ENTRIES else shown
