"""What to say about text that is not in the language: what is wrong, and what would be right.

People paste Python, and write from memory what other languages have; each of these mistakes has its own sentence here.
"""

from __future__ import annotations

import keyword
import unicodedata
from typing import Protocol

from engine.errors import quoted


class Refused(Exception):
    """A mistake at an offset of the text; becomes a `SyntaxProblem` where the text is known."""

    def __init__(self, at: int, detail: str, suggestions: tuple[str, ...] = ()) -> None:
        super().__init__(detail)
        self.at = at
        self.detail = detail
        self.suggestions = suggestions


class AnyToken(Protocol):
    """A token, as far as a hint needs it."""

    type: str
    value: str
    at: int


RETURN_IN_LOOP = (
    "A `return` inside a loop is not offered: keep the result in a variable, let the condition of a `while` end the loop, "
    "and return behind it."
)

OUTSIDE = "`break` and `continue` stand in a loop, or in an `if` inside one; there is none around this line."

KEYWORDS: dict[str, str] = {
    "for": "A `for` loop begins a line of its own: for i in range(n):.",
    "while": "A `while` loop begins a line of its own: while condition:.",
    "elif": "`elif` belongs to an `if` statement in the same column; there is none before it.",
    "def": "A function definition begins a line of its own: def f(x):.",
    "return": "`return` stands in a helper (def …). At the top it is not needed: the last statement is the result.",
    "lambda": "Anonymous functions (lambda) are not part of the language: write def f(x): return … on a line of its own. "
    "If lambda is the name of an input, try lam.",
    "in": "`in` belongs to `for`. Compare with ==, or write any(x == y).",
    "is": "`is` is not part of the language: compare numbers with ==.",
    "del": "`del` is not needed: a name that is no longer used costs nothing.",
    "pass": "`pass` is a statement of its own.",
    "assert": "`assert` is not part of the language: make the comparison an output.",
    "break": "`break` is a statement of its own, in a loop.",
    "continue": "`continue` is a statement of its own, in a loop.",
    "global": "`global` is not part of the language: a helper returns what it computes, y = f(y).",
    "nonlocal": "`nonlocal` is not part of the language: a helper returns what it computes, y = f(y).",
    "yield": "`yield` is not part of the language: scan and map stack what their steps return.",
    **dict.fromkeys(("class", "with", "try", "except", "finally", "raise"), ""),
    **dict.fromkeys(("async", "await"), ""),
}
"""Python keywords that are no part of the language, and what to do without."""

ALL_KEYWORDS = frozenset(keyword.kwlist)

_COMPREHENSION = "Comprehensions are not part of the language. Use array operations (sum(x**2)), map(f, xs), or a `for` loop."
_SHIFT = "Shifts are not part of the language: multiply by a power of 2, or use floor_divide(x, 2**n)."
_XOR = "`^` is not a power here: write ** for powers (x**2), or logical_xor(a, b) for booleans."
_DICT = "Dicts and sets are not part of the language. Lists are written with [ ], tuples with ( )."
_AND = "Write `and` (or & between boolean arrays)."
_OR = "Write `or` (or | between boolean arrays)."

OPERATORS: dict[str, str] = {
    "^": _XOR,
    "^=": _XOR,
    "<<": _SHIFT,
    ">>": _SHIFT,
    "<<=": _SHIFT,
    ">>=": _SHIFT,
    "{": _DICT,
    "}": _DICT,
    "&&": f"`&&` is not an operator here. {_AND}",
    "||": f"`||` is not an operator here. {_OR}",
    "!": "`!` is not an operator here: write `not` (~ for boolean arrays), != for unequal, gamma(n + 1) for n!.",
    "?": "`?` is not an operator here: c ? a : b is written `a if c else b`, or where(c, a, b).",
    "??": "`??` is not an operator here: write where(condition, a, b).",
    "===": "Equality is written ==.",
    "!==": "Inequality is written !=.",
    "<>": "Inequality is written !=.",
    "=>": "Greater or equal is written >=. (Anonymous functions are not part of the language.)",
    "->": "`->` is not part of the language: types are not written.",
    ":=": "Assignment inside an expression is not part of the language: assign on a line of its own, with =.",
    "$": "`$` is not part of the language: write the formula without LaTeX's signs.",
    "`": "Backquotes are not part of the language.",
}
"""Signs that people know from elsewhere."""

_LOOKALIKES: dict[str, str] = {
    **dict.fromkeys("×⋅·∙•∗✕", "*"),
    **dict.fromkeys("−–—‐‑‒", "-"),
    **dict.fromkeys("÷∕⁄", "/"),
    **dict.fromkeys("“”„«»", 'an ordinary quotation mark (")'),
    **dict.fromkeys("‘’‚′", "an ordinary quotation mark (')"),
    "＋": "+",
    "＝": "=",
    "（": "(",
    "）": ")",
    "，": ",",
    "√": "sqrt(…)",
    "∛": "cbrt(…)",
    "∑": "sum(…)",
    "∏": "prod(…)",
    "∞": "inf",
    "≤": "<=",
    "≥": ">=",
    "≠": "!=",
    "≈": "abs(a - b) < 1e-9",
    "∧": "and",
    "∨": "or",
    "¬": "not",
    "…": "...",
    "⊗": "kron(a, b) or outer(a, b)",
    "⊙": "*",
}
_SUPERSCRIPTS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻", "0123456789+-")
_SUBSCRIPTS = str.maketrans("₀₁₂₃₄₅₆₇₈₉", "0123456789")


def character(text: str, at: int) -> str:
    """What to say about a character that begins no token."""
    c = text[at]
    if c in "\"'":
        return "This string is never closed: the same quote must end it on the same line."
    if c == "\\":
        return "A backslash continues a line: nothing may stand behind it, not even a space."
    meant = _LOOKALIKES.get(c)
    if meant is not None:
        return f"'{c}' is not part of the language: write {meant}."
    power = c.translate(_SUPERSCRIPTS)
    if power != c:
        return f"Superscripts are not part of the language: write **{power}."
    number = c.translate(_SUBSCRIPTS)
    if number != c:
        return f"A name cannot have a subscript: write {number} or _{number}."
    code = f"U+{ord(c):04X}"
    if c.isspace() or c in "\ufeff\u200b\u2060":
        name = unicodedata.name(c, "white space").lower()
        return f"There is an unusual space here ({name}, {code}): replace it by an ordinary one."
    if c.isprintable():
        return f"'{c}' ({code}) is not part of the language."
    return f"The character {code} is not part of the language."


def check_name(name: str, at: int) -> None:
    """Refuse a name in which a sign stands that only looks like an operator. Linear in its length."""
    ok = name.isidentifier() and "·" not in name
    if ok:
        return
    for i, c in enumerate(name):
        if c == "·" or not (c.isidentifier() if i == 0 else ("a" + c).isidentifier()):
            raise Refused(at + i, character(name, i))


def check_number(text: str, value: str, end: int, at: int) -> None:
    """Refuse a number that runs into a name (2x, 3j), and one with leading zeros."""
    following = text[end : end + 1]
    if following and (following.isalnum() or following == "_" or following > "\x7f"):
        after = text[end + 1 : end + 2]
        if following in "jJ" and not (after.isalnum() or after == "_"):
            raise Refused(
                at, "Complex numbers are not offered: write real and imaginary part as two expressions."
            )
        if following == "_":
            raise Refused(end, "An underscore in a number must stand between two digits.")
        if following.isidentifier():
            short = value if len(value) <= 20 else "2"
            raise Refused(
                end, f"A product needs its sign: write {short}*{following}…, not {short}{following}…."
            )
        if not following.isspace():
            raise Refused(end, character(text, end))
    if value[0] == "0" and value.isdigit() and value.strip("0"):
        raise Refused(at, "A number must not begin with 0; an octal one begins with 0o.")


# ------------------------------------------------------------------------------------------ tokens where none may stand

_ENDS = ("_NEWLINE", "SEMICOLON", "DEDENT", "$END")
_CLOSERS = ("RPAR", "RSQB")
_OPENERS = ("LPAR", "LSQB")
_OPERATORS = ("INFIX", "SIGN", "PREFIX", "AUGMENTED", "EQUAL")
_VALUES = ("NAME", "NUMBER", "STRING", "WORD", *_CLOSERS)
_BEGINS = ("_NEWLINE", "SEMICOLON", "INDENT", "DEDENT")
_BLOCKS = {
    "FOR": "for i in range(n):",
    "WHILE": "while condition:",
    "IF": "if condition:",
    "ELIF": "elif condition:",
    "ELSE": "else:",
    "DEF": "def f(x):",
}
"""The words that begin a block, and the line that they stand in."""
_WORDS = ("KEYWORD", "FOR", "WHILE", "ELIF", "DEF", "RETURN", "IN", "PASS", "BREAK", "CONTINUE")


def unexpected(tokens: list[AnyToken], i: int, expected: frozenset[str]) -> Refused:
    """The mistake that shows as token `i` standing where only the `expected` terminals may."""
    token = tokens[i] if i < len(tokens) else tokens[-1]
    before = tokens[i - 1] if i else None
    kind, value = token.type if i < len(tokens) else "$END", token.value
    operand_missing = "NAME" in expected
    starts = before is None or before.type in _BEGINS
    if expected == {"INDENT"}:
        return _empty_block(tokens, i)
    if expected == {"DEF", "DECORATOR"}:
        sign = next(t for t in reversed(tokens[:i]) if t.type == "DECORATOR")
        return Refused(
            sign.at,
            "Before '@' an operand is missing: an expression that goes on in the next line needs brackets around it. (A "
            "decorator stands before `def`.)",
        )
    if kind == "DOC":
        return Refused(
            token.at, "Triple-quoted strings are not part of the language; a comment begins with #."
        )
    if before is not None and before.type in ("BREAK", "CONTINUE", "PASS") and kind in ("EQUAL", *_OPERATORS):
        word = before.value
        return Refused(before.at, f"`{word}` is a keyword of Python and cannot be a name: try {word}_.")
    header = _header(tokens, i)
    if header is not None and (told := _in_header(header, tokens, i, kind)) is not None:
        return told
    if kind in ("INDENT", "DEDENT"):
        return Refused(
            token.at,
            "This line is indented differently from the lines before. Begin all lines of a block in the same column; "
            "an expression that goes on in the next line needs brackets around it.",
        )
    if kind in _WORDS:
        return _keyword(tokens, i, starts)
    if (
        before is not None
        and operand_missing
        and _adjacent(tokens, i - 2, "++", "--")
        and kind in (*_ENDS, *_CLOSERS)
    ):
        name = f"{before.value}{before.value}"
        return Refused(before.at - 1, f"There is no operator {name}: write x {before.value}= 1.")
    if kind == "IF" and starts:
        return Refused(token.at, "An `if` statement begins a line of its own: if condition:.")
    if kind == "ELSE":
        if starts:
            return Refused(
                token.at,
                "`else` belongs to an `if` statement in the same column; there is none before it. (Loops have no else.)",
            )
        return Refused(token.at, "`else` belongs to `a if condition else b`; there is no `if` before it.")
    if "ELSE" in expected and "IF" not in expected and not operand_missing and kind != "EQUAL":
        return Refused(token.at, "A conditional expression needs its `else`: write `a if condition else b`.")
    if kind in ("IMPORT", "FROM", "AS"):
        return Refused(token.at, f"`{value}` can only stand in an import line, such as `import numpy as np`.")
    if kind == "EQUAL":
        return _equal(token, before, operand_missing)
    if kind == "COLON":
        return _colon(tokens, i)
    if operand_missing or kind in _ENDS:
        return _operand(token, before, kind, value)
    if kind in _VALUES or kind in _OPENERS:
        return _no_operator(token, before)
    if kind == "PREFIX" and value == "not":
        return Refused(token.at, "`not` cannot stand between two values; unequal is written !=.")
    return Refused(token.at, f"{quoted(value)} cannot stand here.")


def _line_start(tokens: list[AnyToken], i: int) -> int:
    """The first token of the statement that token `i` stands in or ends."""
    while i and tokens[i - 1].type not in _BEGINS:
        i -= 1
    return i


def _header(tokens: list[AnyToken], i: int) -> int | None:
    """Where the line of a block begins whose colon has not come before token `i`; None elsewhere."""
    start = _line_start(tokens, i)
    if start >= i or tokens[start].type not in _BLOCKS:
        return None
    depth = 0
    for token in tokens[start:i]:
        depth += (token.type in _OPENERS) - (token.type in _CLOSERS)
        if token.type == "COLON" and not depth:
            return None
    return start


def _in_header(start: int, tokens: list[AnyToken], i: int, kind: str) -> Refused | None:
    """What is wrong in the line that begins a block, where that is something of its own."""
    word = tokens[start]
    at = tokens[min(i, len(tokens) - 1)].at
    like = _BLOCKS[word.type]
    if i == start + 1 and kind in ("EQUAL", "AUGMENTED"):
        return Refused(
            word.at, f"`{word.value}` is a keyword of Python and cannot be a name: try {word.value}_."
        )
    if word.type == "FOR" and not any(t.type == "IN" for t in tokens[start:i]) and kind != "IN":
        if i > start + 1 and kind in (*_ENDS, "EQUAL", "NAME", "COLON", "NUMBER"):
            return Refused(at, f"A `for` loop needs `in`: {like}")
    elif word.type == "ELSE" and kind == "IF":
        return Refused(at, "`else if` is written `elif`.")
    elif word.type == "DEF":
        return _in_definition(start, tokens, i, kind, at)
    if kind == "EQUAL" and word.type in ("IF", "ELIF", "WHILE") and i > start + 1:
        return Refused(at, "`=` assigns, and a condition compares: equality is ==.")
    if kind in _ENDS and i == start + 1 and word.type != "ELSE":
        return Refused(at, f"After `{word.value}` something must follow: {like}")
    complete = i > start and tokens[i - 1].type in (*_VALUES, "ELSE")
    if complete and kind in (*_ENDS, "RETURN", "PASS", "BREAK", "CONTINUE", "KEYWORD"):
        return Refused(at, f"A colon is missing: this line must read `{like}`.")
    return None


def _in_definition(start: int, tokens: list[AnyToken], i: int, kind: str, at: int) -> Refused | None:
    if i == start + 1:
        return Refused(at, "A name must follow `def`: def f(x):.")
    if i == start + 2:
        return Refused(
            at, "A helper's parameters stand in brackets, also where there are none: def f(x):, def f():."
        )
    if kind == "COLON":
        return Refused(at, "Type annotations are not part of the language: write the name alone.")
    if kind == "INFIX":
        return Refused(
            at, "Helpers have no *args, **kwargs, or signs between their parameters: name each of them."
        )
    if tokens[i - 1].type == "RPAR" and kind in (*_ENDS, "RETURN", "PASS"):
        return Refused(at, "A colon is missing: this line must read `def f(x):`.")
    return None


def _empty_block(tokens: list[AnyToken], i: int) -> Refused:
    """A line that ends in a colon, and nothing indented behind it."""
    token = tokens[min(i, len(tokens) - 1)]
    start = _line_start(tokens, max(i - 1, 0))
    word = tokens[start].value if tokens[start].type in _BLOCKS else "this line"
    return Refused(
        token.at, f"The block of `{word}` is missing: the lines behind its colon must be indented."
    )


def _adjacent(tokens: list[AnyToken], i: int, *pairs: str) -> bool:
    """Whether tokens i and i+1 stand together and read as one of `pairs`."""
    if i < 0:
        return False
    a, b = tokens[i], tokens[i + 1]
    return b.at == a.at + len(a.value) and a.value + b.value in pairs


def _keyword(tokens: list[AnyToken], i: int, starts: bool) -> Refused:
    token = tokens[i]
    before = tokens[i - 1] if i else None
    if token.value == "for" and not starts and before is not None and before.type != "COLON":
        return Refused(token.at, _COMPREHENSION)
    if token.type in _BLOCKS and before is not None and before.type in ("COLON", "SEMICOLON"):
        return Refused(token.at, f"`{token.value}` must begin a line of its own.")
    detail = KEYWORDS[token.value] or f"`{token.value}` is not part of the language."
    following = tokens[i + 1] if i + 1 < len(tokens) else None
    named = following is not None and (
        following.type in ("EQUAL", *_OPERATORS)
        or (following.type in _ENDS and token.value not in ("break", "continue", "pass", "return", "yield"))
    )
    if named and token.value != "lambda" and not (token.type in _BLOCKS and starts):
        detail = f"`{token.value}` is a keyword of Python and cannot be a name: try {token.value}_."
    return Refused(token.at, detail)


def _equal(token: AnyToken, before: AnyToken | None, operand_missing: bool) -> Refused:
    if operand_missing:
        told = (
            "`=` cannot follow `=`"
            if before is not None and before.type == "EQUAL"
            else "A name must stand before `=`"
        )
        return Refused(token.at, f"{told}; equality is ==.")
    return Refused(
        token.at, "`=` assigns: it stands in a statement name = … or an argument f(name=…). Equality is ==."
    )


def _colon(tokens: list[AnyToken], i: int) -> Refused:
    token = tokens[i]
    line = _line_start(tokens, i)
    if i == line + 1 and tokens[line].type == "NAME":
        return Refused(token.at, "Type annotations are not part of the language: write name = value.")
    return Refused(
        token.at, "`:` can only stand in an index, as in x[1:3], and behind for, while, if, else and def."
    )


def _operand(token: AnyToken, before: AnyToken | None, kind: str, value: str) -> Refused:
    after = f" after {quoted(before.value)}" if before is not None and before.value else ""
    if kind in _ENDS:
        return Refused(token.at, f"The expression ends too early: something must follow{after}.")
    begins = before is None or before.type in (*_OPENERS, "COMMA", "EQUAL")
    if kind == "INFIX" and value in ("*", "**") and begins:
        return Refused(
            token.at, f"Unpacking with {value} is not part of the language: write what it stands for."
        )
    if kind in ("INFIX", "AUGMENTED", "DECORATOR"):
        lines = before is not None and before.type == "_NEWLINE"
        hint = " An expression that goes on in the next line needs brackets around it." if lines else ""
        return Refused(token.at, f"Before {quoted(value)} an operand is missing.{hint}")
    return Refused(token.at, f"A name, a number or a bracket must follow{after}, not {quoted(value)}.")


def _no_operator(token: AnyToken, before: AnyToken | None) -> Refused:
    if before is not None and before.type == "NAME" and before.value == "print":
        return Refused(
            before.at, "print is not needed: the last statement is the result, and every node is reported."
        )
    if token.type == "STRING":
        return Refused(token.at, "An operator or a comma is missing before this string.")
    return Refused(
        token.at,
        f"An operator is missing between {quoted(before.value if before else '')} and {quoted(token.value)}: "
        "a product is written with *, several statements go on lines of their own.",
    )
