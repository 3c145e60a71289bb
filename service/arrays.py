"""Answers to bytes: dictionaries whose leaves are NumPy arrays, in the JSON of `api.md`, section 1.

Numbers are the shortest that read back to the same value (of their own dtype: float32 prints 0.1, not
0.10000000149011612); non-finite ones are the strings "NaN", "Infinity" and "-Infinity"; arrays without elements come in
encoded form, since `[]` loses their shape; scalars are plain in every form.
"""

from __future__ import annotations

import binascii
import math
import re
import secrets
from collections.abc import Callable, Iterator
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt
import orjson

from engine.errors import LimitExceeded
from service.limits import DEPTH
from service.turns import Turns

Form: TypeAlias = Literal["list", "base64"]
Array: TypeAlias = npt.NDArray[Any]

_OPTIONS = orjson.OPT_SERIALIZE_NUMPY
_WORDS = np.array([b'"NaN"', b'"Infinity"', b'"-Infinity"'], object)
_COO = ("format", "shape", "row", "col", "data")


LONG = 4096
"""Arrays of more elements are printed on their own, by pieces."""

PIECE = 16_384
"""Elements that are printed at once; no other thread runs for a third of a millisecond."""

_MARK = secrets.token_hex(16)
"""Stands, with a number, where a long array will be. No string of an answer has it in it."""

_MARKS = re.compile(f'"{_MARK}([0-9]+)"'.encode())


class Encoding:
    """An answer on its way to bytes: all of it is printed but the arrays that are `long`."""

    def __init__(self, answer: Any, form: Form, *, small: bool = False) -> None:
        """`small` answers are worth an attempt to print them as they are, which most of them can be."""
        self.form = form
        self.long: list[Array] = []
        plain = None
        if small and form == "list" and type(answer) is dict and not _has_long(answer):
            plain = _as_it_is(answer)
        self.text = _printed(_prepared(answer, form, self.long)) if plain is None else plain

    def pieces(self, look: Callable[[], None] | None = None) -> list[bytes]:
        """The answer in order, in pieces of bounded size. `look` is called before each, and may raise."""
        if not self.long:
            return [self.text]
        texts = _MARKS.split(self.text)  # text, number of the array behind it, text, …
        found = [texts[0]]
        turns = Turns(look)
        printed: dict[int, list[bytes]] = {}  # an output stands among the values as well
        for number, text in zip(map(int, texts[1::2]), texts[2::2], strict=True):
            pieces = printed.get(number)
            if pieces is None:
                pieces = printed[number] = []
                array = self.long[number]
                for piece in _in_base64(array) if self.form == "base64" else _in_lists(array):
                    turns()
                    pieces.append(piece)
            found += pieces
            found.append(text)
        return found


def encode(answer: Any, form: Form = "list", *, small: bool = False) -> bytes:
    """JSON of an answer made of dictionaries, lists, strings, numbers, booleans, None and NumPy arrays and scalars.

    Raises `LimitExceeded` for an answer nested deeper than JSON is printed (a program of very many loops in loops).
    """
    return b"".join(Encoding(answer, form, small=small).pieces())


def _printed(prepared: Any) -> bytes:
    try:
        return orjson.dumps(prepared, option=_OPTIONS)
    except orjson.JSONEncodeError as error:
        if "Recursion" not in str(error):
            raise
        raise LimitExceeded(
            "depth", DEPTH, DEPTH + 1, f"The answer is nested more than {DEPTH} levels deep."
        ) from None


def _has_long(answer: dict[str, Any]) -> bool:
    """Whether one of the arrays by name is long: what takes no memory to compute (a broadcast number) may be."""
    for field in answer.values():
        if type(field) is dict:
            for value in field.values():
                if type(value) is np.ndarray and value.size > LONG:
                    return True
    return False


def _as_it_is(answer: dict[str, Any]) -> bytes | None:
    """The answer as orjson prints it; None where that may not be what is wanted.

    It prints `null` for non-finite numbers and `[]` for arrays without elements. So there must be no `null`, and no `[]` but
    those of empty lists in the answer's own fields."""
    try:
        printed = orjson.dumps(answer, default=_plain, option=_OPTIONS)
    except orjson.JSONEncodeError:
        return None
    if len(printed) > 2 * LONG:  # there may be a long array in it
        return None
    if b"null" in printed or printed.count(b"[]") != sum(
        [v == [] for v in answer.values() if type(v) is list]
    ):
        return None
    return printed


def _plain(value: Any) -> Any:
    """For orjson, which knows neither arrays without axes nor those whose numbers do not lie in order."""
    if type(value) is not np.ndarray or value.size > LONG:
        raise TypeError
    return np.ascontiguousarray(value, value.dtype.newbyteorder("=")) if value.ndim else value[()]


def _prepared(answer: Any, form: Form, long: list[Array]) -> Any:
    """What orjson can print: a copy of the containers in which leaves that it would print otherwise are replaced. Long
    arrays are added to `long`, and have a mark in their place."""
    root: list[Any] = [None]
    todo: list[tuple[Any, Any]] = [([answer], root)]
    while todo:
        source, target = todo.pop()
        if type(source) is dict and type(source.get("format")) is str and tuple(source) == _COO:
            target.update(source)
            for k in ("row", "col", "data"):
                column = np.asarray(source[k])
                target[k] = _array(column, form) if column.size <= LONG else _marked(column, form, long)
            continue
        for key, value in source.items() if type(source) is dict else enumerate(source):
            kind = type(value)
            if kind is np.ndarray and not value.ndim:
                value = value[()]  # answers about scalar programs are made of these
                kind = type(value)
            if kind is float or kind is np.float64:
                target[key] = float(value) if math.isfinite(value) else _word(value)
            elif kind is dict:
                target[key] = {}
                todo.append((value, target[key]))
            elif kind is list or kind is tuple:
                target[key] = [None] * len(value)
                todo.append((value, target[key]))
            elif isinstance(value, np.ndarray | np.generic):
                short = value.size <= LONG
                target[key] = _array(value, form) if short else _marked(np.asarray(value), form, long)
            else:
                target[key] = value
    return root[0]


def _array(value: Any, form: Form) -> Any:
    """An array, or a NumPy scalar other than a float64."""
    if value.ndim == 0:
        if value.dtype == np.float32 and not np.isfinite(value):
            return _word(float(value))
        return value
    if form == "base64" or value.size == 0:
        return encoded(value)
    return _listed(value)


def _marked(value: Array, form: Form, long: list[Array]) -> Any:
    """What stands for a long array until it is printed."""
    number = next((k for k, known in enumerate(long) if known is value), len(long))
    if number == len(long):
        long.append(value)
    mark = f"{_MARK}{number}"
    return _encoded(value, mark) if form == "base64" else mark


def _listed(value: Array) -> Any:
    """A nested list, printed by orjson."""
    plain = np.ascontiguousarray(value, value.dtype.newbyteorder("="))
    if plain.dtype.kind != "f" or np.isfinite(plain).all():
        return plain
    return orjson.Fragment(_text(plain))


def _text(plain: Array) -> bytes:
    """An array of native numbers as text. orjson prints `null` where one is not finite, and nowhere else."""
    text: bytes = orjson.dumps(plain, option=_OPTIONS)
    if plain.dtype.kind != "f":
        return text
    flat = plain.reshape(-1)
    bad = flat[~np.isfinite(flat)]
    if not bad.size:
        return text
    kinds = np.where(np.isnan(bad), 0, np.where(bad > 0, 1, 2))
    dense = bad.size > plain.size // 8
    if dense and (kinds == kinds[0]).all():
        return text.replace(b"null", _WORDS[kinds[0]])
    parts = [b""] * (2 * bad.size + 1)
    if dense:
        parts[::2] = text.split(b"null")
    else:  # the search for one letter is many times faster
        at = np.flatnonzero(np.frombuffer(text, np.uint8) == ord("u"))
        starts, stops = [0, *(at + 3).tolist()], [*(at - 1).tolist(), len(text)]
        parts[::2] = map(text.__getitem__, map(slice, starts, stops))
    parts[1::2] = _WORDS[kinds].tolist()
    return b"".join(parts)


def _in_lists(value: Array) -> Iterator[bytes]:
    """A nested list in pieces: whole entries of the first axis, or, where these are too long, each in pieces."""
    if value.size <= PIECE:
        yield _text(np.ascontiguousarray(value, value.dtype.newbyteorder("=")))
        return
    size = value.size // len(value)
    step = PIECE // size
    if step:
        for k in range(0, len(value), step):
            part = value[k : k + step]
            text = _text(np.ascontiguousarray(part, part.dtype.newbyteorder("=")))
            yield (b"," if k else b"[") + text[1:-1]
    else:
        for k, entry in enumerate(value):
            yield b"," if k else b"["
            yield from _in_lists(entry)
    yield b"]"


def encoded(value: Array) -> dict[str, Any]:
    """The encoded form: little-endian bytes in C order, in base64 (RFC 4648, section 4)."""
    return _encoded(value, orjson.Fragment(b"".join(_in_base64(value))))


def _encoded(value: Array, buffer: Any) -> dict[str, Any]:
    return {
        "object_type": "array",
        "shape": list(value.shape),
        "dtype": str(value.dtype),
        "data": {"encoding": "base64", "buffer": buffer},
    }


def _in_base64(value: Array) -> Iterator[bytes]:
    """A JSON string of base64 in pieces, each of a multiple of three bytes."""
    little = np.ascontiguousarray(value, value.dtype.newbyteorder("<")).reshape(-1).view(np.uint8)
    yield b'"'
    for k in range(0, little.size, 18 * PIECE):
        yield binascii.b2a_base64(little[k : k + 18 * PIECE].data, newline=False)
    yield b'"'


def _word(value: float) -> str:
    return "NaN" if value != value else "Infinity" if value > 0 else "-Infinity"
