"""The LaTeX templates of ops, read into patterns of boxes.

A template such as `{x} + {y}` or `\\frac{{{x}}}{{{y}}}` says how an op is written; the reader below knows the part of
LaTeX that our own templates use, and works out what a template leaves unsaid: how tightly the op binds, and which
operands need parentheses where. It follows the reading that a person has of such formulas:

- relations bind less than sums, sums less than products, products less than powers;
- after a minus, on the right of a product and in an exponent's base, nothing may begin with a minus of its own;
- `sin x` takes one letter, fraction or fenced box; `Σ x` takes a product; nothing may follow either in a product.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from string import Formatter

from engine.render.boxes import (
    ACCENTS,
    FENCES,
    FUNCTIONS,
    GREEK,
    LARGE,
    SIGNS,
    SPACES,
    SYMBOLS,
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
    Space,
    Table,
    Times,
)

# ---------------------------------------------------------------------------------------------------------- precedence

LIST, CASES, OR, AND, RELATION, MOD, ADD, MUL, NOT, FUN, CALL, POW, FRAC, BASE, ATOM = range(0, 150, 10)
"""Levels of precedence, loosest first. `FUN` is `sin x`, `CALL` is `max(x, y)`; `BASE` is what may have an exponent."""

_LEVELS: dict[str, int] = {
    ",": LIST, ";": LIST, "\\mid": LIST, ":": LIST, "\\mapsto": LIST,
    "\\lor": OR, "\\vee": OR, "\\land": AND, "\\wedge": AND,
    "+": ADD, "-": ADD, "\\pm": ADD, "\\oplus": OR, "\\cup": ADD, "\\setminus": ADD,
    "\\cdot": MUL, "\\times": MUL, "\\div": MUL, "/": MUL, "\\odot": MUL, "\\oslash": MUL, "\\otimes": MUL,
    "\\ast": MUL, "\\star": MUL, "\\circ": MUL, "\\bullet": MUL, "\\cap": MUL, "\\bmod": MOD,
}  # fmt: skip
_PREFIXES = {
    "+": MUL,
    "-": MUL,
    "\\pm": MUL,
    "\\lnot": CALL,
    "\\neg": CALL,
    "\\exists": CALL,
    "\\forall": CALL,
}
"""Signs that may stand before what they act on, and the level that this needs."""
_MINUS = frozenset({"+", "-", "\\pm"})
"""Those among them that cannot stand straight after another sign."""

_LOOSE_RIGHT = frozenset({"-", "\\div", "/", "\\times", "\\oslash", "\\bmod", "\\setminus", "\\circ"})
"""Signs whose right operand needs parentheses even around the same sign."""


@dataclass(frozen=True, slots=True)
class Pattern:
    """A template with its level of precedence.

    `signed`: it begins with a minus; `open`: it ends in an open function application, so that nothing may follow it in
    a product.
    """

    box: Box
    level: int
    signed: bool
    open: bool

    @property
    def slots(self) -> dict[str, int]:
        """How often each operand or attribute stands in it."""
        counts: dict[str, int] = {}
        for box in walk(self.box):
            if isinstance(box, Slot):
                counts[box.name] = counts.get(box.name, 0) + 1
        return counts


@lru_cache(maxsize=1024)
def pattern_of(template: str) -> Pattern:
    """The pattern of a template. Raises ValueError for LaTeX beyond what templates are written in."""
    reader = _Reader(list(_tokens(template)))
    items = reader.row(())
    reader.end()
    return _arranged(items)


def walk(box: Box) -> Iterator[Box]:
    """The box and all boxes inside it."""
    stack = [box]
    while stack:
        top = stack.pop()
        yield top
        stack.extend(parts(top))


def parts(box: Box) -> tuple[Box, ...]:
    """The boxes directly inside a box."""
    match box:
        case Row(items):
            return items
        case Script(base, sub, sup):
            return tuple(b for b in (base, sub, sup) if b is not None)
        case Frac(top, bottom):
            return (top, bottom)
        case Root(body, index):
            return (body,) if index is None else (body, index)
        case Accent(_, body) | Fence(_, body, _):
            return (body,)
        case Table(_, rows):
            return tuple(cell for row in rows for cell in row)
    return ()


# ------------------------------------------------------------------------------------------------------------- reading

_TOKEN = re.compile(r"\\[A-Za-z]+\*?|\\.|\d+(?:\.\d+)?|\s+|.", re.DOTALL)


def _tokens(template: str) -> Iterator[str | Slot]:
    """Commands, numbers, single characters and slots; `{{` is a brace, as in format strings."""
    for text, name, _, _ in Formatter().parse(template):
        yield from _TOKEN.findall(text)
        if name is not None:
            yield Slot(name)


class _Reader:
    """Recursive descent over the tokens of one of our own templates, which are short."""

    def __init__(self, tokens: Sequence[str | Slot]) -> None:
        self.tokens = tokens
        self.at = 0

    def peek(self) -> str | Slot | None:
        """The next token."""
        return self.tokens[self.at] if self.at < len(self.tokens) else None

    def take(self) -> str | Slot:
        """The next token, taken."""
        token = self.peek()
        if token is None:
            raise ValueError("a template ends too early")
        self.at += 1
        return token

    def blank(self) -> None:
        """Skip white space."""
        while isinstance(token := self.peek(), str) and token.isspace():
            self.at += 1

    def want(self, token: str) -> None:
        """Take exactly this token."""
        self.blank()
        if (found := self.take()) != token:
            raise ValueError(f"a template has {found!r} where {token!r} belongs")

    def end(self) -> None:
        """Nothing may be left."""
        if self.peek() is not None:
            raise ValueError(f"a template goes on with {self.peek()!r} after its end")

    def row(self, stops: tuple[str, ...]) -> list[Box]:
        """Items up to one of `stops`, which is not taken."""
        items: list[Box] = []
        while True:
            self.blank()
            token = self.peek()
            if token is None or token in stops:
                return items
            items.append(self.scripted(self.item()))

    def scripted(self, base: Box) -> Box:
        """The item with the index and exponent that follow it."""
        sub: Box | None = None
        sup: Box | None = None
        while True:
            self.blank()
            token = self.peek()
            if token == "_" and sub is None:
                self.at += 1
                sub = self.group()
            elif token == "^" and sup is None:
                self.at += 1
                sup = self.group()
            elif token == "'" and sup is None:
                self.at += 1
                sup = Sign("\\prime")
            else:
                break
        if sub is None and sup is None:
            return base
        if isinstance(base, Slot):
            base = replace(base, need=BASE, lead=False, last=False)
        return Script(base, sub, sup)

    def group(self) -> Box:
        """An argument: a group in braces, or one item."""
        self.blank()
        if self.peek() != "{":
            return _arranged([self.item()]).box
        self.at += 1
        items = self.row(("}",))
        self.want("}")
        return _arranged(items).box

    def raw(self) -> str:
        """The text of a group in braces, as in `\\text{…}`."""
        self.want("{")
        pieces = []
        while (token := self.take()) != "}":
            if isinstance(token, Slot):
                raise ValueError("text in a template has no operands in it")
            pieces.append(token[1:] if len(token) == 2 and token[0] == "\\" else token)
        return "".join(pieces)

    def item(self) -> Box:
        """One item."""
        self.blank()
        token = self.take()
        if isinstance(token, Slot):
            return token
        if token == "{":
            self.at -= 1
            return self.group()
        if token[0].isdigit():
            return Num(token)
        if token in ("(", "["):
            return self.fence(token, {"(": ")", "[": "]"}[token])
        if token in ("|", "\\|", "\\lfloor", "\\lceil", "\\langle", "\\lvert", "\\lVert", "\\{"):
            closing = {"|": "|", "\\|": "\\|", "\\{": "\\}"}.get(token, token.replace("\\l", "\\r"))
            return self.fence(token, closing)
        if len(token) == 1 and token.isalpha():
            return Ident(token)
        if token in SPACES:
            return Space(token)
        if token in SIGNS:
            return Sign(token)
        if token.startswith("\\"):
            return self.command(token)
        raise ValueError(f"a template cannot hold {token!r}")

    def fence(self, left: str, right: str) -> Box:
        """A box up to its closing delimiter."""
        body = _arranged(self.row((right,))).box
        self.want(right)
        return Fence(left, body, right)

    def command(self, token: str) -> Box:
        """What a command makes of the tokens behind it."""
        name = token[1:].rstrip("*")
        if name in GREEK:
            return Ident(GREEK[name])
        if name == "ell":
            return Ident("ℓ")
        if name in FUNCTIONS:
            return Func(name)
        if token in ACCENTS:
            return Accent(token, self.group())
        if name == "operatorname":
            return Func(self.raw())
        if name in ("text", "textrm", "textit"):
            return Prose(self.raw())
        if name in ("mathbf", "boldsymbol"):
            return Ident(self.raw(), "bold")
        if name in ("mathrm", "mathit", "mathsf"):
            return Ident(self.raw(), "upright")
        if name in ("frac", "tfrac", "dfrac"):
            return Frac(self.group(), self.group())
        if name == "sqrt":
            index: Box | None = None
            if self.peek() == "[":
                self.at += 1
                index = _arranged(self.row(("]",))).box
                self.want("]")
            return Root(self.group(), index)
        if name == "left":
            left = self.delimiter()
            body = _arranged(self.row(("\\right",))).box
            self.want("\\right")
            return Fence(left, body, self.delimiter())
        if name in ("big", "Big", "bigl", "bigr", "Bigl", "Bigr", "displaystyle", "textstyle"):
            return self.item()
        if name == "begin":
            return self.environment(self.raw())
        raise ValueError(f"a template cannot hold {token!r}")

    def delimiter(self) -> str:
        """The delimiter behind `\\left` or `\\right`."""
        self.blank()
        token = self.take()
        if not isinstance(token, str) or token not in FENCES:
            raise ValueError(f"a template has the delimiter {token!r}")
        return token

    def environment(self, name: str) -> Box:
        """Cases, or a matrix."""
        if name not in ("cases", "matrix", "bmatrix"):
            raise ValueError(f"a template cannot hold the environment {name!r}")
        rows: list[tuple[Box, ...]] = []
        cells: list[Box] = []
        while True:
            cells.append(_arranged(self.row(("&", "\\\\", "\\end"))).box)
            token = self.take()
            if token == "&":
                continue
            rows.append(tuple(cells))
            cells = []
            if token == "\\end":
                break
        if self.raw() != name:
            raise ValueError(f"a template does not end its {name!r}")
        return Table("cases" if name == "cases" else "matrix", tuple(rows))


# --------------------------------------------------------------------------------------------------------- arrangement


@dataclass(slots=True)
class _Term:
    """What stands between two signs of a row: signs before it (all but the first of them belong to it alone), boxes."""

    signs: list[Sign]
    boxes: list[Box]


def _arranged(items: Sequence[Box]) -> Pattern:
    """Items in a row: what each slot among them needs, and how tightly the whole binds."""
    terms = _terms(items)
    result: list[Box] = []
    level, opened = ATOM, False
    for k, term in enumerate(terms):
        infix = term.signs[:1] if k else []
        prefixes = term.signs[1:] if k else term.signs
        need, lead = 0, True
        for sign in infix:
            level = min(level, _level(sign))
            need, lead = _operand_need(sign, right=True), _level(sign) <= RELATION
            result.append(sign)
        for sign in prefixes:
            binds = _PREFIXES.get(sign.latex, MUL)
            level = min(level, MUL if binds == MUL else NOT)
            need, lead = max(need, binds), False
            result.append(Sign(sign.latex, prefix=True))
        if k + 1 < len(terms):
            need = max(need, _operand_need(terms[k + 1].signs[0], right=False))
        boxes, own, opened = _product(term.boxes, need, lead=lead)
        level = min(level, own)
        result += boxes
    signed = bool(terms[0].signs) and terms[0].signs[0].latex in _MINUS
    return Pattern(result[0] if len(result) == 1 else Row(tuple(result)), level, signed, opened)


def _terms(items: Sequence[Box]) -> list[_Term]:
    terms = [_Term([], [])]
    for box in items:
        if not (isinstance(box, Sign) and _between(box)):
            terms[-1].boxes.append(box)
        elif any(not isinstance(b, Space) for b in terms[-1].boxes):
            terms.append(_Term([box], []))
        else:
            terms[-1].signs.append(box)
    return terms


def _between(sign: Sign) -> bool:
    """Whether a sign stands between operands (or before one, like a minus)."""
    return sign.latex in _LEVELS or sign.latex in _PREFIXES or sign.latex not in LARGE | SYMBOLS


def _level(sign: Sign) -> int:
    """The level of a sign between two operands; what the table does not know is a relation."""
    return _LEVELS.get(sign.latex, RELATION)


def _operand_need(sign: Sign, *, right: bool) -> int:
    """What an operand of a sign needs, to stand there without parentheses."""
    level = _level(sign)
    if level == MOD:
        return NOT
    return level + int(level in (LIST, RELATION) or (right and sign.latex in _LOOSE_RIGHT))


def _product(boxes: Sequence[Box], need: int, *, lead: bool) -> tuple[list[Box], int, bool]:
    """Boxes side by side: a product, or functions and their arguments; with their level and whether they end open."""
    factors = _factors(boxes)
    count = sum(not isinstance(f[0], Space) for f in factors)
    result: list[Box] = []
    level, opened = (MUL if count > 1 else ATOM), False
    seen = 0
    for factor in factors:
        head = factor[0]
        if isinstance(head, Space):
            if not (head.latex == "\\," and 0 < seen < count):
                result.append(head)
            continue
        if seen and not isinstance(result[-1], Space):
            result.append(Times(quiet=isinstance(_core(head), Func | Sign)))
        seen += 1
        written, own, opened = _factor(
            factor, max(need, MUL) if count > 1 else need, lead=lead and seen == 1, last=seen == count
        )
        level = min(level, own)
        result += written
    return result, level, opened


def _factors(boxes: Sequence[Box]) -> list[list[Box]]:
    """Boxes cut into factors: a function together with its argument, everything else alone."""
    factors: list[list[Box]] = []
    k = 0
    while k < len(boxes):
        end = _factor_end(boxes, k)
        factors.append(list(boxes[k:end]))
        k = end
    return factors


def _factor_end(boxes: Sequence[Box], k: int) -> int:
    """Where the factor that begins at `k` ends: a large sign takes all there is, a function the factor behind it."""
    core = _core(boxes[k])
    following = k + 1
    while following < len(boxes) and isinstance(boxes[following], Space):
        following += 1
    if isinstance(core, Sign) and core.latex in LARGE:
        return len(boxes)
    if following == len(boxes):
        return k + 1
    if isinstance(core, Func):
        return following + 1 if _parenthesis(boxes[following]) else _factor_end(boxes, following)
    return following + 1 if isinstance(core, Ident) and _parenthesis(boxes[following]) else k + 1


def _core(box: Box) -> Box:
    """A box without index and exponent."""
    return box.base if isinstance(box, Script) else box


def _parenthesis(box: Box) -> bool:
    core = _core(box)
    return isinstance(core, Fence) and core.left in ("(", "[")


def _factor(factor: Sequence[Box], need: int, *, lead: bool, last: bool) -> tuple[list[Box], int, bool]:
    """One factor: its boxes, its level, and whether it ends open."""
    head, *rest = (b for b in factor if not isinstance(b, Space))
    if not rest:
        if isinstance(head, Slot):
            return [replace(head, need=max(need, head.need), lead=lead, last=last)], ATOM, False
        return [head], _level_alone(head), False
    if isinstance(_core(head), Sign):
        inner, _, _ = _product(rest, MUL, lead=False)
        return [head, *inner], MUL, True
    if len(rest) == 1 and _parenthesis(rest[0]):
        return [head, Apply(open=False), rest[0]], CALL, False
    inner, _, _ = _factor(rest, FRAC, lead=False, last=True)
    return [head, Apply(open=True), *inner], FUN, True


def _level_alone(box: Box) -> int:
    """The level of a box that stands alone."""
    match box:
        case Script(_, _, sup):
            return ATOM if sup is None else POW
        case Frac():
            return FRAC
        case Table(kind="cases"):
            return CASES
        case Row(items):
            return _arranged(items).level
    return ATOM


def with_index(pattern: Pattern, name: str) -> Pattern | None:
    """The pattern with a slot `name` as index of what it begins with: its one function or large sign, or delimiters.

    None where there is no such place, or something else could be meant by the index.
    """
    head, *rest = pattern.box.items if isinstance(pattern.box, Row) else (pattern.box,)
    core = _core(head)
    function = isinstance(core, Func) or _large(core) or (bool(rest) and isinstance(rest[0], Apply))
    alone = not rest and isinstance(core, Fence | Ident | Accent)
    functions = sum(isinstance(box, Func | Apply) or _large(box) for box in walk(pattern.box))
    calls = sum(isinstance(box, Apply) for box in walk(pattern.box))
    indexed = isinstance(head, Script) and head.sub is not None
    if not (function or alone) or indexed or calls > 1 or functions - calls > 1:
        return None
    changed = Script(core, Slot(name), head.sup if isinstance(head, Script) else None)
    return replace(pattern, box=Row((changed, *rest)) if rest else changed)


def _large(box: Box) -> bool:
    return isinstance(box, Sign) and box.latex in LARGE
