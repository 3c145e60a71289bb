"""JSON values to arrays: numbers, booleans, nested lists, and arrays in encoded form (`api.md`, section 1).

Every message says which entry is wrong, and every error has the JSON pointer of that entry. Nothing is guessed: NumPy
sees a list only after its shape and the types of its entries are known, so that strings, nulls and ragged rows are
refused with their place instead of becoming arrays of objects. Nothing recurses, and what is over a limit is refused
before it is decoded or converted.
"""

from __future__ import annotations

import base64
import math
from itertools import chain
from typing import Any, NamedTuple

import numpy as np

from engine.aval import MAX_RANK, Array, Shape
from engine.errors import EngineError, InvalidArray, LimitExceeded, Where, nearest, quoted
from engine.program import NON_FINITE, Literal

MOST_ELEMENTS = 10_000_000
"""Largest number of entries of one value, unless the caller says otherwise."""

SAFE_INTEGER = 2**53 - 1
"""Up to here every integer is a double of its own (ECMAScript's `Number.MAX_SAFE_INTEGER`)."""

_NON_FINITE = dict(zip(NON_FINITE, (math.nan, math.inf, -math.inf), strict=True))

_DTYPES: dict[str, tuple[str, type[np.generic]]] = {
    "float64": ("<f8", np.float64),
    "float32": ("<f4", np.float32),
    "float16": ("<f2", np.float32),
    "int64": ("<i8", np.int64),
    "int32": ("<i4", np.int64),
    "int16": ("<i2", np.int64),
    "int8": ("<i1", np.int64),
    "uint32": ("<u4", np.int64),
    "uint16": ("<u2", np.int64),
    "uint8": ("<u1", np.int64),
    "bool": ("|b1", np.bool_),
}
"""The dtypes that an encoded array may have: their bytes, and the engine's dtype that holds them all."""

_FIELDS = ("object_type", "shape", "dtype", "data")
_FORM = '{"shape": […], "dtype": "float64", "data": {"encoding": "base64", "buffer": "…"}}'


class Given(NamedTuple):
    """A value that a client gave.

    `value` is float64, int64 or bool, or float32 for an encoded array of float32 or float16.

    `weak`: plain JSON numbers, whose array is float64 here but may become another dtype (`3` and `3.0` are the same
    number). An encoded array keeps its dtype. Booleans are never weak.

    `integers`: written only in integers, `3` and not `3.0`, so that in an integer position it is int64 (`api.md`,
    section 1). Only integers that a double holds exactly count, so nothing is rounded on the way there; larger ones can
    be sent as an encoded int64 array. An encoded integer array has the flag as well, and so has a list without entries.
    """

    value: Array
    weak: bool
    integers: bool


class Numbers(NamedTuple):
    """A nested list of finite numbers that was read to an array before it became a list.

    `array` is float64; `integers` is as in `Given`."""

    array: Array
    integers: bool


class Octets(NamedTuple):
    """A base64 string that was decoded before it became a string: its bytes, as uint8."""

    data: Array


def read_value(
    value: object, *, most_elements: int = MOST_ELEMENTS, what: str = "the value", pointer: str = ""
) -> Given:
    """The array that a JSON value means.

    `what` names the value inside messages ("input 'x'"); `pointer` is its own place, in front of the entry's.

    Raises `InvalidArray` for what is no number and no rectangular array of numbers or of booleans, and `LimitExceeded`
    (`elements`, `rank`) before anything of that size is allocated.
    """
    if isinstance(value, Numbers):
        for axis in range(value.array.ndim):
            _limit(math.prod(value.array.shape[: axis + 1]), most_elements, what, pointer)
        return Given(value.array, True, value.integers)
    if isinstance(value, list):
        return _listed(value, most_elements, what, pointer)
    if isinstance(value, dict):
        return _encoded(value, most_elements, what, pointer)
    if isinstance(value, bool):
        return Given(np.array(value), False, False)
    problem = _problem(value)
    if problem:
        raise _wrong(problem, (), what, pointer)
    if isinstance(value, str):
        return Given(np.array(_NON_FINITE[value]), True, False)
    assert isinstance(value, int | float)
    return Given(np.array(float(value)), True, isinstance(value, int) and abs(value) <= SAFE_INTEGER)


def to_literal(given: Given) -> Literal:
    """The value as a constant of a program; its array can no longer be written to."""
    value = given.value
    value.flags.writeable = False
    # `[]` is written out in encoded form, since a nested list would lose its shape; read again it must be what it was.
    return Literal(value, given.weak or (value.size == 0 and value.dtype == np.float64))


# ------------------------------------------------------------------------------------------------------ nested lists


def _listed(value: list[Any], most: int, what: str, pointer: str) -> Given:
    """A nested list."""
    flat, shape = _flatten(value, most, what, pointer)
    if not flat:
        return Given(np.zeros(shape), True, True)
    kinds = set(map(type, flat))
    if kinds == {bool}:
        return Given(np.array(flat, np.bool_).reshape(shape), False, False)
    numbers = _numbers(flat, kinds, shape, what, pointer)
    integers = kinds == {int} and bool((np.abs(numbers) <= SAFE_INTEGER).all())
    return Given(numbers.reshape(shape), True, integers)


def _flatten(value: list[Any], most: int, what: str, pointer: str) -> tuple[list[Any], Shape]:
    """The entries of a nested list in C order, and its shape; the entries themselves may still be anything.

    The first entry of each level says what the shape must be. Level after level is checked against that and laid end to
    end, which takes a few passes in C and no recursion.
    """
    shape: list[int] = []
    first: Any = value
    while isinstance(first, list):
        shape.append(len(first))
        first = first[0] if first else None
    if len(shape) > MAX_RANK:
        raise LimitExceeded(
            "rank",
            MAX_RANK,
            len(shape),
            f"{_start(what)} is a list {len(shape)} levels deep; an array has at most {MAX_RANK} axes.",
            where=Where(pointer=pointer),
        )
    flat = value
    _limit(len(flat), most, what, pointer)
    for level, n in enumerate(shape[1:], start=1):
        if set(map(type, flat)) != {list} or set(map(len, flat)) != {n}:
            raise _ragged(flat, tuple(shape[:level]), n, what, pointer)
        _limit(len(flat) * n, most, what, pointer)
        flat = list(chain.from_iterable(flat))
    return flat, tuple(shape)


def _limit(elements: int, most: int, what: str, pointer: str) -> None:
    if elements > most:
        raise LimitExceeded(
            "elements",
            most,
            elements,
            f"{_start(what)} has {elements:,} elements; the limit is {most:,}.",
            where=Where(pointer=pointer),
        )


def _numbers(flat: list[Any], kinds: set[type], shape: Shape, what: str, pointer: str) -> Array:
    """The entries as doubles, flat."""
    if kinds <= {int, float, str}:
        plain: list[Any] = flat
        strings = 0
        try:
            if str in kinds:
                strings = sum(type(v) is str for v in flat)
                plain = [_NON_FINITE[v] if type(v) is str else v for v in flat]
            numbers = np.array(plain, np.float64)
            if kinds == {int} or np.count_nonzero(np.isfinite(numbers)) == len(flat) - strings:
                return numbers
        except (KeyError, OverflowError):
            pass  # one entry is wrong, and the search below finds which
    raise _bad_entry(flat, shape, what, pointer)


def _ragged(flat: list[Any], shape: Shape, n: int, what: str, pointer: str) -> EngineError:
    """Which of the lists in `flat` does not have `n` entries as the first one does."""
    k = next(k for k, v in enumerate(flat) if not isinstance(v, list) or len(v) != n)
    first = "[" + ", ".join("0" for _ in shape) + "]"
    return _wrong(
        f"is {_shown(flat[k])}, but entry {first} is a list of {n}: an array must be rectangular",
        _unravel(k, shape),
        what,
        pointer,
    )


def _bad_entry(flat: list[Any], shape: Shape, what: str, pointer: str) -> EngineError:
    """Which entry is no number (or no boolean, where the first one is a boolean)."""
    logical = isinstance(flat[0], bool)
    for k, v in enumerate(flat):
        problem = None if isinstance(v, bool) else _problem(v)
        if problem is None and isinstance(v, bool) is not logical:
            kind, other = ("boolean", "number") if logical else ("number", "boolean")
            problem = f"is a {other}, but the first entry is a {kind}: an array cannot hold both"
        if problem:
            return _wrong(problem, _unravel(k, shape), what, pointer)
    raise AssertionError("every entry is a number")


def _problem(value: object) -> str | None:
    """What is wrong with a value that should be a number, a non-finite one included; None if nothing is."""
    if isinstance(value, float):
        if math.isfinite(value):
            return None
        return 'is beyond double range; infinity is written "Infinity", and what is no number "NaN"'
    if isinstance(value, int) and not isinstance(value, bool):
        try:
            float(value)
        except OverflowError:
            return 'is beyond double range; infinity is written "Infinity"'
        return None
    if isinstance(value, str):
        if value in _NON_FINITE:
            return None
        return f'is the string {quoted(value)}; the only strings are "NaN", "Infinity" and "-Infinity"'
    if value is None:
        return 'is null; what is no number is written "NaN"'
    return f"is {_shown(value)}, not a number"


def _shown(value: object) -> str:
    """A value in an error message: what it is, not what it holds."""
    if isinstance(value, list):
        return f"a list of {len(value)}"
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, str):
        return f"the string {quoted(value)}"
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    return "a number" if isinstance(value, int | float) else f"of type {type(value).__name__}"


def _unravel(k: int, shape: Shape) -> Shape:
    index = []
    for n in reversed(shape):
        k, i = divmod(k, n)
        index.append(i)
    return tuple(reversed(index))


def _start(what: str) -> str:
    return what[:1].upper() + what[1:]


def _wrong(problem: str, index: Shape, what: str, pointer: str) -> EngineError:
    """The error for the entry at `index` of the value at `pointer`."""
    subject = f"Entry {list(index)} of {what}" if index else _start(what)
    return InvalidArray(
        f"{subject} {problem}.", where=Where(pointer=pointer + "".join(f"/{i}" for i in index))
    )


# ------------------------------------------------------------------------------------------------------ encoded arrays


def _encoded(value: dict[str, Any], most: int, what: str, pointer: str) -> Given:
    """An array in the encoded form."""
    if "data" not in value or not isinstance(value["data"], dict):
        detail = f"{_start(what)} is an object but no encoded array, which looks like this: {_FORM}."
        raise InvalidArray(detail, where=Where(pointer=pointer))
    _known(value, _FIELDS, what, pointer)
    if value.get("object_type", "array") != "array":
        raise _field("object_type", 'can only be "array"', what, pointer)
    shape = _shape(value, most, what, pointer)
    dtype = value.get("dtype")
    if not isinstance(dtype, str) or dtype not in _DTYPES:
        given = "is missing" if "dtype" not in value else f"cannot be {_shown(dtype)}"
        near = nearest(dtype, _DTYPES) if isinstance(dtype, str) else ()
        raise _field("dtype", f"{given}; it is one of {', '.join(_DTYPES)}", what, pointer, near)
    data, inside = value["data"], f"{pointer}/data"
    encoding = data.get("encoding")
    if encoding not in ("base64", "json"):
        given = "is missing" if "encoding" not in data else f"cannot be {_shown(encoding)}"
        raise _field("encoding", f'{given}; it is "base64" or "json"', what, inside)
    _known(data, ("encoding", "buffer"), what, inside)
    if "buffer" not in data:
        raise _field("buffer", "is missing", what, inside)
    if encoding == "base64":
        result = _from_base64(data["buffer"], shape, dtype, what, f"{inside}/buffer")
    else:
        result = _from_json(data["buffer"], shape, dtype, most, what, f"{inside}/buffer")
    return Given(result, False, result.dtype.kind == "i")


def _known(value: dict[str, Any], fields: tuple[str, ...], what: str, pointer: str) -> None:
    for key in value:
        if key not in fields:
            detail = (
                f"{_start(what)}: an encoded array has no field {quoted(key)} here, only {', '.join(fields)}."
            )
            raise InvalidArray(detail, where=Where(pointer=pointer), suggestions=nearest(key, fields))


def _field(
    name: str, problem: str, what: str, pointer: str, suggestions: tuple[str, ...] = ()
) -> EngineError:
    return InvalidArray(
        f"{_start(what)}: the {name} of the encoded array {problem}.",
        where=Where(pointer=f"{pointer}/{name}"),
        suggestions=suggestions,
    )


def _shape(value: dict[str, Any], most: int, what: str, pointer: str) -> Shape:
    """The shape that an encoded array claims, which must be within the limits before a byte of it is decoded."""
    shape = value.get("shape")
    if not isinstance(shape, list):
        raise _field("shape", "must be a list of non-negative integers", what, pointer)
    if len(shape) > MAX_RANK:
        detail = f"{_start(what)} has {len(shape)} axes; an array has at most {MAX_RANK}."
        raise LimitExceeded("rank", MAX_RANK, len(shape), detail, where=Where(pointer=f"{pointer}/shape"))
    for k, n in enumerate(shape):
        if not isinstance(n, int) or isinstance(n, bool) or n < 0:
            detail = (
                f"{_start(what)}: entry [{k}] of the shape of the encoded array is no non-negative integer."
            )
            raise InvalidArray(detail, where=Where(pointer=f"{pointer}/shape/{k}"))
    # An array of no elements may be long in its other axes, but NumPy counts their product in 64 bits all the same.
    extent = math.prod(n or 1 for n in shape)
    if extent > most and (0 not in shape or extent >= 2**48):
        actual = min(extent, 10**30)  # more digits would tell nobody anything
        detail = f"{_start(what)} has {'more than ' * (actual < extent)}{actual:,} elements; the limit is {most:,}."
        raise LimitExceeded("elements", most, actual, detail, where=Where(pointer=f"{pointer}/shape"))
    return tuple(shape)


def _from_base64(buffer: object, shape: Shape, dtype: str, what: str, pointer: str) -> Array:
    """Little-endian bytes in C order."""
    if isinstance(buffer, Octets):
        _fits(buffer.data.size, shape, dtype, what, pointer)
        return _from_bytes(buffer.data, shape, dtype, what, pointer)
    if not isinstance(buffer, str):
        raise InvalidArray(
            f"{_start(what)}: the buffer must be a base64 string; it is {_shown(buffer)}.",
            where=Where(pointer=pointer),
        )
    padding = len(buffer) - len(buffer.rstrip("=")) if buffer.endswith("=") else 0
    if len(buffer) % 4 == 0 and padding <= 2:
        _fits(len(buffer) // 4 * 3 - padding, shape, dtype, what, pointer)
    try:
        if len(buffer) % 4:
            raise ValueError("the length of base64 text is a multiple of 4, with padding")
        raw = base64.b64decode(buffer, validate=True)
    except ValueError as wrong:
        raise InvalidArray(
            f"{_start(what)}: the buffer is not base64 of RFC 4648, section 4 ({wrong}).",
            where=Where(pointer=pointer),
        ) from None
    return _from_bytes(np.frombuffer(raw, np.uint8), shape, dtype, what, pointer)


def _fits(actual: int, shape: Shape, dtype: str, what: str, pointer: str) -> None:
    """Raise `InvalidArray` unless an array of that shape has that many bytes."""
    expected = math.prod(shape) * np.dtype(_DTYPES[dtype][0]).itemsize
    if actual != expected:
        raise InvalidArray(
            f"{_start(what)}: {dtype} of shape {list(shape)} takes {expected:,} bytes; "
            f"the base64 buffer holds {actual:,}.",
            where=Where(pointer=pointer),
        )


def _from_bytes(raw: Array, shape: Shape, dtype: str, what: str, pointer: str) -> Array:
    """Bytes, of which there are as many as the shape takes."""
    if dtype == "bool" and (raw > 1).any():
        raise InvalidArray(
            f"{_start(what)}: the bytes of a bool array are 0 and 1 only.", where=Where(pointer=pointer)
        )
    layout, target = _DTYPES[dtype]
    return raw.view(layout).astype(target, copy=False).reshape(shape)


def _from_json(buffer: object, shape: Shape, dtype: str, most: int, what: str, pointer: str) -> Array:
    """A nested list of that shape, or all entries in one list in C order."""
    flat, got = _flatten(buffer, most, what, pointer) if isinstance(buffer, list) else ([buffer], ())
    elements = math.prod(shape)
    # Lists without entries end early: an array of shape [2, 0, 3] is [[], []].
    if got not in (shape, (elements,)) and (elements or got != shape[: len(got)]):
        raise InvalidArray(
            f"{_start(what)}: the shape of the encoded array is {list(shape)}, but its buffer has {list(got)}.",
            where=Where(pointer=pointer),
        )
    layout, target = _DTYPES[dtype]
    kinds = set(map(type, flat))
    if not flat:
        return np.zeros(shape, target)
    if target is np.bool_:
        if kinds != {bool}:
            k = next(k for k, v in enumerate(flat) if not isinstance(v, bool))
            raise _wrong(
                f"is {_shown(flat[k])}; a bool array holds true and false", _unravel(k, got), what, pointer
            )
        return np.array(flat, np.bool_).reshape(shape)
    if bool in kinds or not kinds <= {int, float, str}:
        k = next(k for k, v in enumerate(flat) if isinstance(v, bool) or _problem(v))
        problem = _problem(flat[k]) or f"is {_shown(flat[k])}; an array of {dtype} holds numbers"
        raise _wrong(problem, _unravel(k, got), what, pointer)
    if target is np.int64:
        return _integers(flat, got, layout, dtype, what, pointer).reshape(shape)
    numbers = _numbers(flat, kinds, got, what, pointer)
    with np.errstate(over="ignore"):
        result = numbers.astype(layout).astype(target, copy=False)
    if dtype != "float64" and (lost := np.isinf(result) & np.isfinite(numbers)).any():
        raise _wrong(f"is beyond the range of {dtype}", _unravel(int(lost.argmax()), got), what, pointer)
    return result.reshape(shape)


def _integers(flat: list[Any], shape: Shape, layout: str, dtype: str, what: str, pointer: str) -> Array:
    """Entries of an integer array, exact to 64 bits (an integral float is an integer)."""
    bounds = np.iinfo(layout)
    low, high = int(bounds.min), int(bounds.max)
    for k, v in enumerate(flat):
        if isinstance(v, str) or (isinstance(v, float) and not v.is_integer()):
            raise _wrong(f"is no integer; the array's dtype is {dtype}", _unravel(k, shape), what, pointer)
        if not low <= v <= high:
            raise _wrong(f"does not fit {dtype}", _unravel(k, shape), what, pointer)
    return np.array([int(v) for v in flat], np.int64)
