"""Answers to bytes: dictionaries whose leaves are NumPy arrays, in the JSON of `api.md`, section 1.

Numbers are the shortest that read back to the same value (of their own dtype: float32 prints 0.1, not
0.10000000149011612); non-finite ones are the strings "NaN", "Infinity" and "-Infinity"; arrays without elements come in
encoded form, since `[]` loses their shape; scalars are plain in every form.
"""

from __future__ import annotations

import base64
import math
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt
import orjson

from engine.errors import LimitExceeded
from service.limits import DEPTH

Form: TypeAlias = Literal["list", "base64"]
Array: TypeAlias = npt.NDArray[Any]

_OPTIONS = orjson.OPT_SERIALIZE_NUMPY
_COO = ("format", "shape", "row", "col", "data")


def encode(answer: Any, form: Form = "list", *, small: bool = False) -> bytes:
    """JSON of an answer made of dictionaries, lists, strings, numbers, booleans, None and NumPy arrays and scalars.

    `small` answers are worth an attempt to print them as they are, which most of them can be.

    Raises `LimitExceeded` for an answer nested deeper than JSON is printed (a program of very many loops in loops).
    """
    if small and form == "list" and type(answer) is dict:
        printed = _as_it_is(answer)
        if printed is not None:
            return printed
    try:
        return orjson.dumps(_prepared(answer, form), option=_OPTIONS)
    except orjson.JSONEncodeError as error:
        if "Recursion" not in str(error):
            raise
        raise LimitExceeded(
            "depth", DEPTH, DEPTH + 1, f"The answer is nested more than {DEPTH} levels deep."
        ) from None


def _as_it_is(answer: dict[str, Any]) -> bytes | None:
    """The answer as orjson prints it; None where that may not be what is wanted.

    It prints `null` for non-finite numbers and `[]` for arrays without elements. So there must be no `null`, and no `[]` but
    those of empty lists in the answer's own fields."""
    try:
        printed = orjson.dumps(answer, default=_scalar, option=_OPTIONS)
    except orjson.JSONEncodeError:
        return None
    if b"null" in printed or printed.count(b"[]") != sum(
        [v == [] for v in answer.values() if type(v) is list]
    ):
        return None
    return printed


def _scalar(value: Any) -> Any:
    """For orjson, which does not know arrays without axes."""
    if type(value) is np.ndarray and not value.ndim:
        return value[()]
    raise TypeError


def _prepared(answer: Any, form: Form) -> Any:
    """What orjson can print: a copy of the containers in which leaves that it would print otherwise are replaced."""
    root: list[Any] = [None]
    todo: list[tuple[Any, Any]] = [([answer], root)]
    while todo:
        source, target = todo.pop()
        if type(source) is dict and type(source.get("format")) is str and tuple(source) == _COO:
            target.update(source, **{k: _column(source[k], form) for k in ("row", "col", "data")})
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
                target[key] = _array(value, form)
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


def _column(value: Any, form: Form) -> Any:
    """Row, column or data of a sparse block; encoded where there are none, as all arrays without elements are."""
    column = np.asarray(value)
    return encoded(column) if form == "base64" or not column.size else _listed(column)


def _listed(value: Array) -> Any:
    """A nested list, printed by orjson, whose `null`s (there are no others) stand where non-finite numbers are."""
    plain = np.ascontiguousarray(value, value.dtype.newbyteorder("="))
    if plain.dtype.kind != "f" or np.isfinite(plain).all():
        return plain
    bad = plain[~np.isfinite(plain)].tolist()
    pieces = orjson.dumps(plain, option=_OPTIONS).split(b"null")
    parts = [pieces[0]]
    for number, piece in zip(bad, pieces[1:], strict=True):
        parts += (b'"NaN"' if number != number else b'"Infinity"' if number > 0 else b'"-Infinity"', piece)
    return orjson.Fragment(b"".join(parts))


def encoded(value: Array) -> dict[str, Any]:
    """The encoded form: little-endian bytes in C order, in base64 (RFC 4648, section 4)."""
    little = np.ascontiguousarray(value, value.dtype.newbyteorder("<"))
    buffer = base64.b64encode(little.data if little.size else b"")
    return {
        "object_type": "array",
        "shape": list(value.shape),
        "dtype": str(value.dtype),
        "data": {"encoding": "base64", "buffer": orjson.Fragment(b'"' + buffer + b'"')},
    }


def _word(value: float) -> str:
    return "NaN" if value != value else "Infinity" if value > 0 else "-Infinity"
