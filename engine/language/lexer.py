"""Program text to tokens: one pass of one regular expression, in linear time for any text.

What can be seen here is refused here: signs of other languages (`^`, `&&`, `×`), unterminated strings, brackets that do
not match (the error points at the opening one), brackets nested deeper than allowed.

Names are kept as they are written: unlike Python, no normalisation form is applied to them.
"""

from __future__ import annotations

import re

from engine.errors import LimitExceeded, quoted
from engine.language import hints
from engine.language.hints import Refused
from engine.program import TextSource


class Token:
    """A token: its terminal in the grammar, its text, and its offset. (The other fields are what lark looks at.)"""

    __slots__ = ("at", "type", "value")
    start_pos = line = column = end_line = end_column = end_pos = None

    def __init__(self, type: str, value: str, at: int) -> None:
        self.type = type
        self.value = value
        self.at = at

    def __repr__(self) -> str:
        return f"Token({self.type}, {quoted(self.value)}, {self.at})"


_DIGITS = r"[0-9]++(?:_[0-9]++)*+"
_SCANNER = re.compile(
    rf"""
    (?P<space>  [ \t\f]++ | \\(?:\r\n?|\n) | \#[^\r\n]*+ )
  | (?P<newline> \r\n? | \n )
  | (?P<name>   [A-Za-z_\x80-\U0010ffff][A-Za-z_0-9\x80-\U0010ffff]*+ )
  | (?P<number> 0[xX](?:_?[0-9a-fA-F])++ | 0[bB](?:_?[01])++ | 0[oO](?:_?[0-7])++
              | (?:{_DIGITS}(?:\.(?!\.\.)(?:{_DIGITS})?)?+ | \.{_DIGITS})(?:[eE][+-]?{_DIGITS})?+ )
  | (?P<operator> \.\.\. | \*\*= | //= | <<= | >>= | === | !== | \*\* | // | << | >> | <= | >= | == | != | <> | => | ->
              | := | && | \|\| | \?\? | [-+*/%@&|^]= | [-+*/%@<>=&|~^.,:;()\[\]{{}}!?$`] )
  | (?P<doc>    "{{3}}(?:[^"\\]++|\\.|"(?!""))*+"{{3}} | '{{3}}(?:[^'\\]++|\\.|'(?!''))*+'{{3}} )
  | (?P<string> "[^"\\\r\n]*+(?:\\.[^"\\\r\n]*+)*+" | '[^'\\\r\n]*+(?:\\.[^'\\\r\n]*+)*+' )
  | (?P<other>  . )
    """,
    re.VERBOSE | re.DOTALL,
)

_OPERATORS: dict[str, str] = {
    "+": "SIGN",
    "-": "SIGN",
    "~": "PREFIX",
    "not": "PREFIX",
    **dict.fromkeys(
        ("*", "/", "//", "%", "@", "**", "<", "<=", ">", ">=", "==", "!=", "&", "|", "and", "or"), "INFIX"
    ),
    **dict.fromkeys(("+=", "-=", "*=", "/=", "//=", "%=", "**=", "@=", "&=", "|="), "AUGMENTED"),
    **dict.fromkeys(("True", "False", "None", "..."), "WORD"),
    "if": "IF",
    "else": "ELSE",
    "import": "IMPORT",
    "from": "FROM",
    "as": "AS",
    "=": "EQUAL",
    ",": "COMMA",
    ".": "DOT",
    ":": "COLON",
    ";": "SEMICOLON",
    "(": "LPAR",
    ")": "RPAR",
    "[": "LSQB",
    "]": "RSQB",
    **dict.fromkeys(hints.KEYWORDS, "KEYWORD"),
    **{
        word: word.upper()
        for word in ("for", "while", "elif", "def", "return", "in", "pass", "break", "continue")
    },
}
_CLOSING = {")": "(", "]": "["}


def tokenize(text: str, max_depth: int) -> list[Token]:
    """The tokens of a text, `_NEWLINE` after the last statement; empty where there is no statement.

    Raises `Refused` for what no program can contain, `LimitExceeded` for brackets or blocks nested deeper than `max_depth`.
    """
    tokens: list[Token] = []
    add = tokens.append
    terminal = _OPERATORS.get
    brackets: list[int] = []
    indents: list[str] = []
    line = 0
    """Offset at which the line begins."""
    fresh = True
    """Whether nothing of a statement has been seen on this line."""
    for m in _SCANNER.finditer(text):
        kind = m.lastgroup
        if kind == "space":
            continue
        at = m.start()
        if kind == "newline":
            if not brackets:
                if not fresh:
                    add(Token("_NEWLINE", "", at))
                    fresh = True
                line = m.end()
            continue
        value = m.group()
        begins = fresh
        if fresh:
            if value == ";":
                continue
            fresh = False
            _indent(text[line:at], indents, tokens, at)
            if len(indents) > max_depth + 1:
                raise _too_deep("Blocks", text, at, max_depth)
        if kind == "name":
            if not value.isascii():
                hints.check_name(value, at)
            following = text[m.end() : m.end() + 1]
            if following == '"' or following == "'":
                raise Refused(
                    at, f"Strings have no prefix here: leave out the {quoted(value)} before the quote."
                )
            add(Token(terminal(value, "NAME"), value, at))
        elif kind == "operator":
            type = terminal(value) if value != "@" or not begins else "DECORATOR"
            if type is None:
                raise Refused(at, hints.OPERATORS[value])
            if type == "SEMICOLON" and tokens[-1].type == "SEMICOLON":
                continue
            if type == "LPAR" or type == "LSQB":
                brackets.append(at)
                if len(brackets) > max_depth:
                    raise _too_deep("Brackets", text, at, max_depth)
            elif type == "RPAR" or type == "RSQB":
                _close(text, value, at, brackets)
            add(Token(type, value, at))
        elif kind == "number":
            hints.check_number(text, value, m.end(), at)
            add(Token("NUMBER", value, at))
        elif kind == "string":
            if m.end() - at == 2 and text[m.end() : m.end() + 1] == value[0]:
                raise Refused(at, f"This text is never closed: {value[0] * 3} must end it.")
            add(Token("STRING", value, at))
        elif kind == "doc":
            add(Token("DOC", value, at))
        else:
            raise Refused(at, hints.character(text, at))
    if brackets:
        at = brackets[-1]
        raise Refused(at, f"'{text[at]}' is never closed.")
    if not fresh:
        add(Token("_NEWLINE", "", len(text)))
    tokens.extend(Token("DEDENT", "", len(text)) for _ in indents[1:])
    return tokens


def _too_deep(what: str, text: str, at: int, limit: int) -> LimitExceeded:
    detail = f"{what} are nested more than {limit:,} deep here; the limit is {limit:,}."
    return LimitExceeded("depth", limit, limit + 1, detail, where=TextSource(text).where(at))


def _close(text: str, value: str, at: int, brackets: list[int]) -> None:
    if not brackets:
        raise Refused(at, f"'{value}' closes nothing: there is no '{_CLOSING[value]}' before it.")
    opened = brackets.pop()
    if text[opened] != _CLOSING[value]:
        place = TextSource(text).where(at)
        assert place is not None
        raise Refused(
            opened,
            f"'{text[opened]}' does not match the '{value}' at line {place.line}, column {place.column}.",
        )


def _indent(lead: str, indents: list[str], tokens: list[Token], at: int) -> None:
    """Compare a line's indentation with the lines before: the first line's counts for the whole text."""
    if "\\" in lead:
        lead = lead[: lead.index("\\")]
    if not indents:
        indents.append(lead)
    elif lead == indents[-1]:
        return
    elif lead.startswith(indents[-1]):
        indents.append(lead)
        tokens.append(Token("INDENT", "", at))
    else:
        while indents and lead != indents[-1]:
            indents.pop()
            tokens.append(Token("DEDENT", "", at))
        if not indents:
            raise Refused(
                at,
                "This line's indentation fits no line before it. Begin all lines in the same column, "
                "with the same mixture of tabs and spaces.",
            )
