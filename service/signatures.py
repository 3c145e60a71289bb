"""Signatures: shapes and dtypes of inputs as they are kept with a name, and values that must fit them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import orjson

from engine.aval import Aval, Shape
from engine.errors import quoted
from engine.program import Program
from engine.values import SAFE_INTEGER, Given
from service.problems import Collector, Mistake, pointer_to

CACHED_CHARS = 4096
"""Longest signature that is kept for the next request (256 of them)."""


def to_json(signature: Mapping[str, Aval]) -> str:
    """As it is kept and shown."""
    return orjson.dumps({name: shown(aval) for name, aval in signature.items()}).decode()


def shown(aval: Aval) -> dict[str, Any]:
    """One entry."""
    return {"shape": list(aval.shape), "dtype": aval.dtype}


def from_json(text: str | None) -> Mapping[str, Aval]:
    """What `to_json` wrote."""
    if text is None:
        return {}
    return _short(text) if len(text) <= CACHED_CHARS else _read(text)


def _read(text: str) -> Mapping[str, Aval]:
    return {name: Aval(tuple(e["shape"]), e["dtype"]) for name, e in orjson.loads(text).items()}


_short = lru_cache(maxsize=256)(_read)


def agreed(signatures: Iterable[Mapping[str, Aval]]) -> dict[str, Aval]:
    """What several signatures say alike: the types of inputs of which no two of them say different things."""
    found: dict[str, Aval] = {}
    disputed: set[str] = set()
    for signature in signatures:
        for name, aval in signature.items():
            if found.setdefault(name, aval) != aval:
                disputed.add(name)
    return {name: aval for name, aval in found.items() if name not in disputed}


def fitted(
    program: Program,
    signature: Mapping[str, Aval],
    inputs: Mapping[str, Given],
    in_axes: Sequence[Mapping[str, int]],
    mistakes: Collector,
) -> dict[str, Given]:
    """The values of inputs as the signature has them: where it says integers, JSON's numbers are integers.

    Mapped axes stand in front of what the signature says. Its floats are of the width that the request computes in. A
    value that does not fit is a mistake.
    """
    result = dict(inputs)
    for name, aval in signature.items():
        given = inputs.get(name)
        if given is None:
            position = program.index.get(name)
            default = None if position is None else program.steps[position].attrs.get("value")
            if default is None:
                continue
            given = Given(default.value, default.weak, default.weak and default.integral)
        wrong = _misfit(name, given, aval, in_axes)
        if wrong is not None:
            mistakes.add(wrong)
            continue
        value = given.value
        if aval.floating and value.dtype.kind == "f" and not given.integers:
            continue
        if aval.dtype == "int64":
            result[name] = Given(value.astype(np.int64, copy=False), False, True)
        elif aval.floating:
            # Not an integer, also where it was written as one: the signature decides before that rule.
            result[name] = Given(value, True, False) if value.dtype.kind == "f" else _floats(value)
        else:
            result[name] = given
    return result


def _floats(value: Any) -> Given:
    return Given(value.astype(np.float64), True, False)


def _misfit(name: str, given: Given, aval: Aval, in_axes: Sequence[Mapping[str, int]]) -> Mistake | None:
    """The mistake that a value is, None if it is none."""
    shape = _core(name, given.value.shape, in_axes)
    if shape is not None and shape != aval.shape:
        mapped = f" without its mapped axes ({list(given.value.shape)} with them)" if in_axes else ""
        return _mistake(
            "shape-mismatch",
            name,
            f"The input {quoted(name)} has shape {list(shape)}{mapped}; the program's signature says {list(aval.shape)}.",
        )
    kind = given.value.dtype.kind
    if (kind == "b") != (aval.dtype == "bool"):
        has, wants = ("booleans", "numbers") if kind == "b" else ("numbers", "booleans")
        return _mistake(
            "dtype-mismatch",
            name,
            f"The input {quoted(name)} holds {has}; the program's signature says {aval.dtype}, which are {wants}.",
        )
    if aval.dtype == "int64" and kind == "f" and not _whole(given):
        return _mistake(
            "dtype-mismatch",
            name,
            f"The input {quoted(name)} must hold integers: the program's signature says int64.",
        )
    return None


def _whole(given: Given) -> bool:
    """Whether plain JSON numbers are integers, `3.0` like `3`."""
    value = given.value
    return given.weak and (
        given.integers or bool(np.all((np.floor(value) == value) & (np.abs(value) <= SAFE_INTEGER)))
    )


def _core(name: str, shape: Shape, in_axes: Sequence[Mapping[str, int]]) -> Shape | None:
    """The shape without mapped axes; None where there is no such axis, which is found out elsewhere."""
    for mapping in in_axes:
        axis = mapping.get(name)
        if axis is None:
            continue
        if not -len(shape) <= axis < len(shape):
            return None
        k = axis % len(shape)
        shape = shape[:k] + shape[k + 1 :]
    return shape


def _mistake(kind: str, name: str, detail: str) -> Mistake:
    return Mistake(kind, detail, node=name, pointer=pointer_to(["inputs", name]))
