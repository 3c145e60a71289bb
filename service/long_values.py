"""Long values in a body, from its bytes to arrays without a Python object for each number.

A list of 10⁶ numbers would otherwise become 10⁶ Python floats, four times the memory of the doubles, made in one call
that lets no other thread run. Here the body is parsed without its long lists of numbers and long base64 strings, and
these are read on their own, piece after piece, by the same kind of parser, each piece into its place in one array.

Only what is regular is read so: rectangular lists of numbers alone, where values stand (`_places`). Everything else,
mistakes above all, is left to the general reader, which gets the whole body and writes the errors.
"""

from __future__ import annotations

import binascii
import re
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any, Literal, NamedTuple

import numpy as np
import orjson
from pydantic_core import from_json

from engine.aval import MAX_RANK, Array, Shape
from engine.values import SAFE_INTEGER, Numbers, Octets
from service.turns import Turns

LONG = 1 << 15
"""Bytes from which on a value is long."""

PIECE = 1 << 17
"""Bytes of text that are read at once: no other thread runs for a quarter of a millisecond. The parser takes a dozen times
as much memory."""

BASE64_PIECE = 1 << 18
"""The same, of base64: a multiple of four."""

_MAPS = ("inputs", "tangents", "cotangents", "vector", "direction")
"""Fields whose entries are values."""

_MARK = secrets.token_hex(16)
"""Stands where a long value was. Whoever sends the body cannot know it."""

_BUFFER = re.compile(rb'"buffer"[ \t\r\n]*:[ \t\r\n]*\Z')
_BLANKS = re.compile(rb"[ \t\r\n]*")
_CLOSED = tuple(re.compile(rb"\]" + rb"[ \t\r\n]*\]" * k) for k in range(MAX_RANK))
"""`_CLOSED[k]` finds where k + 1 lists end at once."""


class _Irregular(Exception):
    """Something for the general reader."""


class _Span(NamedTuple):
    """Where a long value stands: a list with its brackets, or a string with its quotes."""

    kind: Literal["list", "string"]
    start: int
    stop: int


def read_long(
    data: bytes | bytearray, *, memory_bytes: int, look: Callable[[], None] | None = None
) -> dict[str, Any] | None:
    """The JSON object in `data`, long values in it as `Numbers` and `Octets`; None if the general reader must read it
    (because there are none, or something is wrong, or it needs more than `memory_bytes`).

    `look` is called before each piece, and may raise."""
    turns = Turns(look)
    spans = _spans(data)
    if not spans:
        return None
    try:
        rest = _without(data, spans)
        if estimate(rest) + sum(_size(data, s) for s in spans) > memory_bytes:
            return None
        body = from_json(rest, allow_inf_nan=False, cache_strings="keys")
        places = list(_places(body))
        if [k for _, _, _, k in sorted(places, key=lambda p: p[3])] != list(range(len(spans))):
            return None
        for container, key, kind, k in places:
            span = spans[k]
            if span.kind != kind:
                return None
            container[key] = _numbers(data, span, turns) if kind == "list" else _octets(data, span, turns)
    except (_Irregular, ValueError):
        return None
    assert isinstance(body, dict)
    return body


def estimate(data: bytes | bytearray) -> int:
    """Bytes that JSON takes as Python objects: counted in a few passes that free the GIL."""
    codes = np.frombuffer(data, np.uint8)
    lists, objects, commas = (_count(codes, c) for c in b"[{,")
    return estimated_bytes(len(data), lists, objects, commas)


def estimated_bytes(length: int, lists: int, objects: int, commas: int) -> int:
    """Roughly what JSON text takes in memory, as text and as Python objects."""
    return length + 88 * lists + 232 * objects + 40 * commas


def _count(codes: Array, code: int, step: int = 1 << 20) -> int:
    """How often a byte occurs, without a mask of the size of a whole body."""
    return sum(int(np.count_nonzero(codes[k : k + step] == code)) for k in range(0, codes.size, step))


# --------------------------------------------------------------------------------------------------------- places


def _spans(data: bytes | bytearray) -> list[_Span]:
    """Long values, found by looking from string to string. None in a body of very many short strings: a program."""
    found: list[_Span] = []
    left = 64 + (len(data) >> 9)  # quotes that are still looked at
    at = 0
    while left > 0:
        quote = data.find(b'"', at)
        stop = len(data) if quote < 0 else quote
        if stop - at >= LONG:
            # Between two strings stands one list at most, since keys are strings, and then the end of some objects.
            first, last = data.find(b"[", at, stop), data.rfind(b"]", at, stop) + 1
            if first >= 0 and last - first >= LONG:
                found.append(_Span("list", first, last))
        if quote < 0:
            return found
        end, looks = _end_of_string(data, quote, left)
        left -= looks
        if end < 0:
            return []
        if end - quote >= LONG and _BUFFER.search(data[max(0, quote - 64) : quote]):
            found.append(_Span("string", quote, end))
        at = end
    return []


def _end_of_string(data: bytes | bytearray, quote: int, most: int) -> tuple[int, int]:
    """Behind the closing quote of the string that opens at `quote`, and how many quotes were looked at; −1 if there is no
    closing one among `most`."""
    at = quote + 1
    for looks in range(1, most + 1):
        end = data.find(b'"', at)
        if end < 0:
            return -1, looks
        if data[end - 1] != 0x5C:
            return end + 1, looks
        part = data[at:end]
        if (len(part) - len(part.rstrip(b"\\"))) % 2 == 0:
            return end + 1, looks
        at = end + 1
    return -1, most


def _without(data: bytes | bytearray, spans: list[_Span]) -> bytes:
    """The body with a mark in the place of each long value."""
    parts: list[bytes | bytearray] = []
    at = 0
    for k, span in enumerate(spans):
        parts += (data[at : span.start], f'"{_MARK}{k}"'.encode())
        at = span.stop
    return b"".join([*parts, data[at:]])


def _places(body: Any) -> Iterator[tuple[dict[str, Any], str, str, int]]:
    """Where marks stand, as far as long values are allowed there: container, key, what may stand there, number."""
    if not isinstance(body, dict):
        return
    values = [(body, "seed")] if "seed" in body else []
    values += [(body[m], key) for m in _MAPS if isinstance(body.get(m), dict) for key in body[m]]
    for container, key in values:
        value = container[key]
        if isinstance(value, str) and value.startswith(_MARK):
            yield container, key, "list", int(value[len(_MARK) :])
        elif isinstance(value, dict) and isinstance(data := value.get("data"), dict):
            buffer = data.get("buffer")
            if data.get("encoding") == "base64" and isinstance(buffer, str) and buffer.startswith(_MARK):
                yield data, "buffer", "string", int(buffer[len(_MARK) :])


# -------------------------------------------------------------------------------------------------------- numbers


def _size(data: bytes | bytearray, span: _Span) -> int:
    """Bytes of the array that a long value becomes."""
    if span.kind == "string":
        return (span.stop - span.start) // 4 * 3
    return 8 * _elements(data, span)


def _elements(data: bytes | bytearray, span: _Span) -> int:
    """Entries of a list, one more than it has commas, provided that no list in it is empty."""
    return 1 + _count(np.frombuffer(data, np.uint8)[span.start : span.stop], 0x2C)


def _numbers(data: bytes | bytearray, span: _Span, turns: Turns) -> Numbers:
    """A list of numbers. Raises `_Irregular`, `ValueError`."""
    rank, at = 0, span.start
    while data[at] == 0x5B:
        rank += 1
        at = _after_blanks(data, at + 1)
        if rank > MAX_RANK or at >= span.stop:
            raise _Irregular
    reader = _Reader(data, np.empty(_elements(data, span)), turns)
    stop, shape = reader.read(span.start, rank)
    if stop != span.stop or reader.filled != reader.values.size:
        raise _Irregular
    return Numbers(reader.values.reshape(shape), reader.integers)


@dataclass
class _Reader:
    """Reads a nested list into `values`, in C order."""

    data: bytes | bytearray
    values: Array
    turns: Turns
    filled: int = 0
    integers: bool = True
    """Whether all numbers are written as integers, and are integers that a double holds."""

    def read(self, start: int, rank: int) -> tuple[int, Shape]:
        """The list of `rank` axes that opens at `start`: where it ends, and its shape."""
        data = self.data
        if data[start : start + 1] != b"[":
            raise _Irregular
        if rank == 1:
            stop = data.find(b"]", start)
            return stop + 1, (self._flat(start + 1, stop),)
        closed = _CLOSED[rank - 2]
        rows = 0
        inner: Shape | None = None
        at = start + 1
        while True:
            at = _after_blanks(data, at)
            # Whole rows, as many as make a piece; a row that is longer is read by pieces of its own.
            edge = at + PIECE
            while (
                edge > at
                and data[edge - 1 : edge] in (b"]", b" ", b"\n", b"\t", b"\r")
                and edge > at + PIECE - 64
            ):
                edge -= 1
            match = closed.search(data, edge, at + 2 * PIECE) or closed.search(data, at, at + 2 * PIECE)
            if match is None:
                stop, shape = self.read(at, rank - 1)
                count = 1
            else:
                stop = match.end()
                count, shape = self._rows(at, stop, rank - 1)
            if inner is not None and shape != inner:
                raise _Irregular
            inner = shape
            rows += count
            at = _after_blanks(data, stop)
            if data[at : at + 1] == b"]":
                return at + 1, (rows, *inner)
            if data[at : at + 1] != b",":
                raise _Irregular
            at += 1

    def _flat(self, at: int, stop: int) -> int:
        """The numbers of a list without its brackets; returns how many."""
        before = self.filled
        if stop < 0:
            raise _Irregular
        while at <= stop:
            edge = self.data.find(b",", at + PIECE, stop)
            edge = stop if edge < 0 else edge
            text = self.data[at:edge]
            numbers = orjson.loads(b"".join((b"[", text, b"]")))
            if not numbers:
                raise _Irregular
            self._put(numbers, len(numbers), text)
            at = edge + 1
        return self.filled - before

    def _rows(self, at: int, stop: int, rank: int) -> tuple[int, Shape]:
        """Whole lists of `rank` axes, separated by commas; returns how many, and their shape."""
        text = self.data[at:stop]
        rows = orjson.loads(b"".join((b"[", text, b"]")))
        flat = rows
        shape: list[int] = []
        for _ in range(rank):
            if set(map(type, flat)) != {list}:
                raise _Irregular
            sizes = set(map(len, flat))
            shape.append(sizes.pop())
            if sizes or not shape[-1]:
                raise _Irregular
            flat = chain.from_iterable(flat)
            if len(shape) < rank:
                flat = list(flat)
        self._put(flat, len(rows) * int(np.prod(shape)), text)
        return len(rows), tuple(shape)

    def _put(self, numbers: Any, count: int, text: bytes | bytearray) -> None:
        """Numbers, which are read from `text`, into their place."""
        self.turns()
        stop = self.filled + count
        # All that a list can hold besides numbers and lists: null, true, false, objects. (There are no strings in it.)
        if stop > self.values.size or b"u" in text or b"f" in text or b"{" in text:
            raise _Irregular
        try:
            found = np.fromiter(numbers, np.float64, count)
        except (TypeError, ValueError, OverflowError):
            raise _Irregular from None
        if self.integers:
            self.integers = not (b"." in text or b"e" in text or b"E" in text) and bool(
                (np.abs(found) <= SAFE_INTEGER).all()
            )
        if not np.isfinite(found).all():
            raise _Irregular
        self.values[self.filled : stop] = found
        self.filled = stop


def _after_blanks(data: bytes | bytearray, at: int) -> int:
    match = _BLANKS.match(data, at)
    assert match is not None  # it matches nothing, too
    return match.end()


# --------------------------------------------------------------------------------------------------------- base64


def _octets(data: bytes | bytearray, span: _Span, turns: Turns) -> Octets:
    """The bytes of a string in base64. Raises `_Irregular`, `ValueError`."""
    view = memoryview(data)[span.start + 1 : span.stop - 1]
    if len(view) % 4:
        raise _Irregular
    raw = np.empty(len(view) // 4 * 3, np.uint8)
    filled = 0
    for at in range(0, len(view), BASE64_PIECE):
        turns()
        part = view[at : at + BASE64_PIECE]
        found = binascii.a2b_base64(part, strict_mode=True)
        if len(found) != len(part) // 4 * 3 and at + BASE64_PIECE < len(view):
            raise _Irregular  # padding in the middle
        raw[filled : filled + len(found)] = np.frombuffer(found, np.uint8)
        filled += len(found)
    return Octets(raw[:filled])
