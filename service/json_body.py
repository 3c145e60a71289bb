"""Bytes to a JSON object, or the problem that the bytes are.

The parser is jiter (in pydantic-core): integers stay integers and floats floats, `NaN`, byte order marks, invalid
UTF-8 and lone surrogates are refused, nesting is bounded. Of two equal keys in one object the last one counts (RFC
8259 leaves that open; it is what Python's and JavaScript's parsers do). A number beyond double range arrives as an
infinite float, which every reader of numbers refuses: infinity can only be meant by the string."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from pydantic_core import from_json

from service.limits import DEPTH
from service.long_values import LONG, estimate, read_long
from service.problems import Problem, problem

LARGE = 1 << 20
"""Bodies from this size are first estimated: what they become in memory can be 30 times what they are on the wire."""

_PLACE = re.compile(r"^(?P<what>.*) at line (?P<line>\d+) column (?P<column>\d+)$", re.DOTALL)
_BLANK = b" \t\r\n"

_MEANINGS = {
    "EOF while parsing a value": "the body ends where a value is expected",
    "EOF while parsing a string": "the body ends inside a string",
    "EOF while parsing a list": "the body ends inside a list",
    "EOF while parsing an object": "the body ends inside an object",
    "expected ident": "this is no value; literals are true, false and null",
    "invalid unicode code point": "this is no UTF-8",
    "lone leading surrogate in hex escape": "this is half of a surrogate pair, which is no character",
    "unexpected end of hex escape": "this is half of a surrogate pair, which is no character, or an incomplete escape",
    "trailing characters": "the JSON value ends before this",
    "key must be a string": "a key must be a string",
}


def read_object(
    data: bytes | bytearray, *, memory_bytes: int, look: Callable[[], None] | None = None
) -> dict[str, Any]:
    """The JSON object in `data`. Raises `Problem`, and what `look` raises, which is called between pieces of long values."""
    if not data or (data[0] in _BLANK and not data.strip(_BLANK)):
        raise problem("missing-body", "The request has no body. It needs a JSON object.")
    if len(data) >= LONG:
        body = read_long(data, memory_bytes=memory_bytes, look=look)
        if body is not None:
            return body
    if len(data) >= LARGE:
        _check_estimate(data, memory_bytes)
    try:
        # Keys repeat from node to node, strings of a value hardly ever do.
        found = from_json(data, allow_inf_nan=False, cache_strings="keys")
    except ValueError as error:
        raise _problem(data, str(error)) from None
    if not isinstance(found, dict):
        raise problem("invalid-field", f"The body must be a JSON object; this is {_kind(found)}.", pointer="")
    return found


def _check_estimate(data: bytes | bytearray, memory_bytes: int) -> None:
    """Refuse a body that would not fit memory once it is Python objects."""
    bytes_ = estimate(data)
    if bytes_ > memory_bytes:
        raise problem(
            "limit-exceeded",
            f"This JSON would take about {bytes_:,} bytes of memory; the limit is {memory_bytes:,}. Arrays in "
            "encoded form (base64) take a fraction of that.",
            limit=("memory_bytes", memory_bytes, bytes_),
        )


def _problem(data: bytes | bytearray, message: str) -> Problem:
    """What the parser's message means, with the position in code points."""
    match = _PLACE.match(message)
    if match is None:
        return problem("invalid-json", f"The body is not JSON: {message[:200]}.")
    what, position = match["what"], _position(data, int(match["line"]), int(match["column"]))
    place = f"(line {position[0]}, column {position[1]})"
    if what.startswith("recursion limit"):
        return problem(
            "limit-exceeded",
            f"The JSON is nested more than {DEPTH} levels deep {place}.",
            position=position,
            limit=("depth", DEPTH, DEPTH + 1),
        )
    if what.startswith("number out of range"):
        return problem(
            "invalid-array",
            f'A number is beyond double range {place}; infinity is written "Infinity".',
            position=position,
        )
    if data.startswith(b"\xef\xbb\xbf"):
        meaning = "it starts with a byte order mark, which JSON does not have"
    elif data.startswith((b"\xff\xfe", b"\xfe\xff")):
        meaning = "it is UTF-16; JSON is sent in UTF-8"
    elif re.match(rb"-?(NaN|Infinity)", data[_offset(data, int(match["line"]), int(match["column"])) :][:9]):
        meaning = 'JSON has no NaN and no Infinity; here they are written "NaN", "Infinity" and "-Infinity"'
    else:
        meaning = _MEANINGS.get(what, what)
    return problem("invalid-json", f"The body is not JSON: {meaning} {place}.", position=position)


def _offset(data: bytes | bytearray, line: int, column: int) -> int:
    """Offset of the parser's line and column, which count bytes."""
    start = 0
    for _ in range(line - 1):
        start = data.find(b"\n", start) + 1
    return min(len(data), start + max(column - 1, 0))


def _position(data: bytes | bytearray, line: int, column: int) -> tuple[int, int]:
    """Line and column from 1 in code points, of the parser's line and column in bytes."""
    end = _offset(data, line, column)
    start = data.rfind(b"\n", 0, end) + 1
    return line, len(data[start:end].decode("utf-8", "replace")) + 1


def _kind(value: object) -> str:
    if isinstance(value, list):
        return "a list"
    if isinstance(value, str):
        return "a string"
    if value is None:
        return "null"
    return "a boolean" if isinstance(value, bool) else "a number"
