"""Text to syntax tree: an LALR parser made from `grammar.lark`, whose rules build the tree as they are recognised.

The parser's tables are made once, on first use, and hold no state of a parse: threads share them. The parser keeps a
stack of its own, so no text, however deep, makes Python recurse.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, cast

from lark import Lark
from lark.exceptions import UnexpectedToken
from lark.lexer import Lexer

from engine.errors import quoted
from engine.language import hints
from engine.language.hints import Refused
from engine.language.lexer import Token, tokenize
from engine.language.operators import arrange
from engine.language.syntax import (
    Assign,
    Attribute,
    Binary,
    Block,
    Call,
    Constant,
    Def,
    Display,
    Doc,
    Evaluate,
    Expression,
    For,
    If,
    Import,
    Index,
    Jump,
    Keyword,
    Name,
    Parameter,
    Pass,
    Return,
    Slice,
    Statement,
    Ternary,
    While,
)

EXACT = 2.0**53
"""Below this a float stands for one integer only."""
_WORDS = {"True": True, "False": False, "None": None, "...": ...}
_RADIX = {"x": 16, "o": 8, "b": 2}


def parse(text: str, max_depth: int) -> list[Statement]:
    """The statements of a text, none for a text without any.

    Raises `Refused` for the first thing that is not in the language, `LimitExceeded` for brackets that are too deep.
    """
    tokens = tokenize(text, max_depth)
    if not any(t.type not in ("SEMICOLON", "_NEWLINE") for t in tokens):
        return []
    try:
        return cast("list[Statement]", _parser().parse(cast(Any, tokens)))
    except UnexpectedToken as wrong:
        found = next((i for i, t in enumerate(tokens) if t is wrong.token), len(tokens))
        expected = frozenset(wrong.expected)
    raise hints.unexpected(cast(Any, tokens), found, expected)


class _Tokens(Lexer):
    """Hands lark the tokens that are made already."""

    def __init__(self, conf: Any) -> None:
        pass

    def lex(self, lexer_state: Any, parser_state: Any = None) -> Iterator[Any]:
        return iter(lexer_state)


@cache
def _parser() -> Lark:
    grammar = Path(__file__).with_name("grammar.lark").read_text(encoding="utf-8")
    return Lark(
        grammar,
        parser="lalr",
        lexer=_Tokens,
        start="program",
        transformer=_Actions(),
        maybe_placeholders=True,
    )


class _Actions:
    """One function for each rule: from what the rule's parts became to a node."""

    def program(self, parts: list[Any]) -> Any:
        statements = _flat(parts)
        whole = Block(statements)
        if whole.returned is not None:
            raise Refused(whole.returned, hints.KEYWORDS["return"])
        _without_jump(whole)
        return statements

    def loop(self, parts: list[Any]) -> Any:
        token, target, _, iterable, _, body = parts
        return For(token.at, target, iterable, _without_return(body))

    def while_loop(self, parts: list[Any]) -> Any:
        token, condition, _, body = parts
        return While(token.at, condition, _without_return(body))

    def choice(self, parts: list[Any]) -> Any:
        token, condition, _, then, *alternatives = parts
        *alternatives, _, _, otherwise = alternatives
        for word, also, block in reversed(alternatives):
            otherwise = Block([_if(word.at, also, block, otherwise)])
        return _if(token.at, condition, then, otherwise)

    def alternative(self, parts: list[Any]) -> Any:
        token, condition, _, block = parts
        return token, condition, block

    def definition(self, parts: list[Any]) -> Any:
        *decorators, _, name, _, parameters, _, body = parts
        _without_jump(body)
        return Def(name.at, name.value, parameters or [], body, decorators)

    def decorator(self, parts: list[Any]) -> Any:
        return parts[1]

    def parameters(self, parts: list[Any]) -> Any:
        found: dict[str, Parameter] = {}
        for part in parts:
            p = part if type(part) is Parameter else Parameter(part.at, part.value, None)
            if p.name in found:
                raise Refused(p.at, f"There are two parameters of the name {quoted(p.name)}.")
            if p.default is None and any(q.default is not None for q in list(found.values())[-1:]):
                raise Refused(p.at, "A parameter without a default cannot follow one that has one.")
            found[p.name] = p
        return list(found.values())

    def default(self, parts: list[Any]) -> Any:
        token, value = parts
        return Parameter(token.at, token.value, value)

    def block(self, parts: list[Any]) -> Any:
        end = parts[-1].at if type(parts[-1]) is Token else None
        return Block(_flat(part for part in parts if type(part) is not Token), end)

    def returning(self, parts: list[Any]) -> Any:
        token, value = parts
        return Return(token.at, value)

    def jump(self, parts: list[Any]) -> Any:
        return Jump(parts[0].at, parts[0].value)

    def nothing(self, parts: list[Any]) -> Any:
        return Pass(parts[0].at)

    def docstring(self, parts: list[Any]) -> Any:
        return Doc(parts[0].at)

    def expression(self, parts: list[Any]) -> Any:
        return Evaluate(parts[0].at, parts[0])

    def assign(self, parts: list[Any]) -> Any:
        value = parts.pop()
        return Assign(parts[0].at, parts, value)

    def augment(self, parts: list[Any]) -> Any:
        target, token, value = parts
        if type(target) is not Name:
            raise Refused(target.at, _target_problem(target, token.value))
        # `x -= a, b` is x - (a, b), as `x -= y` is x - y.
        return Assign(target.at, [target], Binary(token.at, token.value[:-1], target, value))

    def imports(self, parts: list[Any]) -> Any:
        return [Import(at, module, None) for at, module in parts]

    def import_all(self, parts: list[Any]) -> Any:
        (at, name), star = parts
        if star.value != "*":
            raise Refused(star.at, f"Names must follow `import`, not '{star.value}'.")
        return Import(at, (name, name), [])

    def import_names(self, parts: list[Any]) -> Any:
        (at, name), *names = parts
        return Import(at, (name, name), names)

    def module(self, parts: list[Any]) -> Any:
        (at, name), alias = parts
        return at, (name, alias.value if alias is not None else name)

    def dotted(self, parts: list[Any]) -> Any:
        return parts[0].at, ".".join(t.value for t in parts)

    def imported(self, parts: list[Any]) -> Any:
        name, alias = parts
        return name.value, (alias or name).value

    def bare_tuple(self, parts: list[Any]) -> Any:
        return Display(parts[0].at, parts, True)

    def tuple_display(self, parts: list[Any]) -> Any:
        return Display(parts[0].at, parts[1:], True)

    def list_display(self, parts: list[Any]) -> Any:
        return Display(parts[0].at, parts[1:], False)

    def ternary(self, parts: list[Any]) -> Any:
        yes, token, condition, _, no = parts
        return Ternary(token.at, condition, yes, no)

    def operators(self, parts: list[Any]) -> Any:
        return arrange(parts)

    def name(self, parts: list[Any]) -> Any:
        token = parts[0]
        return Name(token.at, token.value)

    def number(self, parts: list[Any]) -> Any:
        token = parts[0]
        return Constant(token.at, number_value(token.value))

    def string(self, parts: list[Any]) -> Any:
        token = parts[0]
        return Constant(token.at, _unescaped(token.value[1:-1]))

    def word(self, parts: list[Any]) -> Any:
        token = parts[0]
        return Constant(token.at, _WORDS[token.value])

    def call(self, parts: list[Any]) -> Any:
        function, bracket = parts[0], parts[1]
        at = function.at if type(function) in (Name, Attribute) else bracket.at
        positional: list[Expression] = []
        keywords: list[Keyword] = []
        for argument in parts[2:]:
            if type(argument) is Keyword:
                keywords.append(argument)
            elif keywords:
                raise Refused(
                    argument.at,
                    "After an argument with a name all others need theirs. (Equality is ==.)",
                )
            else:
                positional.append(argument)
        return Call(at, function, positional, keywords)

    def keyword(self, parts: list[Any]) -> Any:
        token, value = parts
        return Keyword(token.at, token.value, value)

    def index(self, parts: list[Any]) -> Any:
        value, bracket, *items = parts
        return Index(bracket.at, value, items)

    def slicing(self, parts: list[Any]) -> Any:
        start, colon, stop, step = parts
        return Slice(colon.at, start, stop, step)

    def attribute(self, parts: list[Any]) -> Any:
        value, token = parts
        return Attribute(token.at, value, token.value)


def _flat(parts: Iterable[Any]) -> list[Statement]:
    """Statements in a row; an import line is several."""
    return [s for part in parts for s in (part if isinstance(part, list) else (part,))]


def _if(at: int, condition: Expression, then: Block, otherwise: Block | None) -> If:
    returned = then.returned
    if returned is None and otherwise is not None:
        returned = otherwise.returned
    return If(at, condition, then, otherwise, returned)


def _without_return(body: Block) -> Block:
    if body.returned is not None:
        raise Refused(body.returned, hints.RETURN_IN_LOOP)
    return body


def _without_jump(body: Block) -> None:
    if body.jumped is not None:
        raise Refused(body.jumped, hints.OUTSIDE)


def number_value(written: str) -> float | int:
    """The value of a number as written: a double; as int where it was written without point or exponent and is exact.

    No arithmetic on integers of a client's choice happens here: a literal of a million digits costs no more than
    reading it.
    """
    digits = written.replace("_", "")
    radix = _RADIX.get(digits[1:2].lower()) if digits[0] == "0" else None
    if radix is None:
        value = float(digits)
        whole = digits.isdigit()
    else:
        whole = True
        significant = digits[2:].lstrip("0") or "0"
        value = float(int(significant, radix)) if len(significant) <= 200 else float("inf")
    return int(value) if whole and value < EXACT else value


def _unescaped(inner: str) -> str:
    """A string's contents: a backslash keeps its meaning only before a quote and another backslash."""
    if "\\" not in inner:
        return inner
    pieces = inner.split("\\\\")
    return "\\".join(p.replace("\\'", "'").replace('\\"', '"') for p in pieces)


def _target_problem(target: Expression, sign: str) -> str:
    """Why a statement cannot assign to `target`."""
    if type(target) is Index:
        return (
            f"Single elements cannot be assigned to (`x[…] {sign} …`): arrays never change. Make a new one: "
            "x = scatter_set(x, i, value), x = scatter_add(x, i, value), or where(mask, value, x)."
        )
    if type(target) is Attribute:
        return "Attributes cannot be assigned to: give the result a new name."
    if type(target) is Call:
        return (
            "A call cannot be assigned to. Function definitions are written with def: def f(x): return x**2."
        )
    if type(target) is Display:
        return f"`{sign}` needs one name on its left."
    if type(target) is Constant:
        return "A constant cannot be assigned to; a name must stand on the left."
    return f"Only a name can stand on the left of `{sign}`; equality is ==."


def check_targets(targets: list[Expression]) -> list[Name]:
    """The names that a statement binds: those of its one target, or one for each. Raises `Refused`."""
    if len(targets) == 1:
        return check_target(targets[0])
    several = next((t for t in targets if type(t) is Display), None)
    if several is not None:
        raise Refused(
            several.at, "Unpacking needs a line of its own: only single names can be chained (a = b = x)."
        )
    return [name for t in targets for name in check_target(t)]


def check_target(target: Expression) -> list[Name]:
    """The names that a target of an assignment binds. Raises `Refused` for anything else."""
    if type(target) is Name:
        return [target]
    if type(target) is Display and target.items:
        names: list[Name] = []
        stack: list[Expression] = list(reversed(target.items))
        while stack:
            item = stack.pop()
            if type(item) is Display and item.items:
                stack.extend(reversed(item.items))
            elif type(item) is Name:
                names.append(item)
            else:
                raise Refused(item.at, _target_problem(item, "="))
        return names
    raise Refused(target.at, _target_problem(target, "="))


def target_names(target: Expression) -> list[Name]:
    """The names that the target of a `for` binds, those in tuples inside too. Raises `Refused` for anything else."""
    found: list[Name] = []
    stack = [target]
    while stack:
        part = stack.pop()
        if type(part) is Name:
            found.append(part)
        elif type(part) is Display and part.items:
            stack.extend(reversed(part.items))
        else:
            raise Refused(part.at, "Between `for` and `in` only names can stand: for i in …, for a, b in ….")
    return found
