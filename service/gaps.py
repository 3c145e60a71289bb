"""Where the numbers are in the body of a request: the gaps of a skeleton (`skeletons.py`).

Only looked for in requests that were answered, and so are known to be JSON.
"""

from __future__ import annotations

import re
from math import prod
from typing import Any, NamedTuple

import numpy as np
import orjson

from engine.aval import Aval
from engine.derive.ready import Ready

_STRING = rb'"(?:[^"\\]|\\.)*"'
_BLANKS = rb"[ \t\r\n]*"
_TOKEN = re.compile(_BLANKS + rb"(?:(" + _STRING + rb")|([\[{])|([\]}])|[:,]|[^\s\[\]{}:,\"]+)", re.DOTALL)
_KEY = re.compile(_BLANKS + rb"(" + _STRING + rb")" + _BLANKS + rb":" + _BLANKS, re.DOTALL)
_NUMBER = re.compile(rb"-?[0-9][-+.0-9eE]*")
_NUMBERS = re.compile(rb"\[[-+.0-9eE, \t\r\n\[\]]*\]")
_BUFFER = re.compile(rb'"encoding"\s*:\s*"base64"\s*,\s*"buffer"\s*:\s*"([A-Za-z0-9+/=]+)"\s*\}\s*,?')

_RAW: dict[str, np.dtype[Any]] = {"float64": np.dtype("<f8"), "float32": np.dtype("<f4")}


class Gap(NamedTuple):
    """What stands in a gap: the value of the job's input `place`, of that aval, and as which dtype its bytes come if they do
    (None for numbers in decimal)."""

    place: int
    aval: Aval
    raw: np.dtype[Any] | None


def ends_of(data: bytes) -> tuple[bytes, bytes] | None:
    """What stands before the first value of `inputs` and behind the last: what to look a skeleton up by.

    Taken for granted is only that it is the same for requests that differ in these values alone."""
    at = data.find(b'"inputs": {')
    if at < 0 and (at := data.find(b'"inputs":{')) < 0:
        return None
    start = data.find(b":", at + 11) + 1
    stop = data.find(b"}", start)
    if start == 0 or stop < 0:
        return None
    opened = 0 if data.find(b"{", start, stop) < 0 else data.count(b"{", start, stop)
    while opened:  # by encoded arrays
        last, stop = stop, data.find(b"}", stop + 1)
        if stop < 0:
            return None
        opened += data.count(b"{", last, stop) - 1
    return data[:start], data[stop:]


def gaps_of(data: bytes, job: Ready) -> tuple[list[bytes], list[Gap]] | None:
    """The gaps in a body: values of `inputs` that are floats. None where a name stands there twice, or there are no gaps."""
    places = {name: k for k, (name, _) in enumerate(job.inputs)}
    varying = set(job.varying)
    start = _inputs_at(data)
    if start is None:
        return None
    pieces: list[bytes] = []
    gaps: list[Gap] = []
    seen: set[str] = set()
    done, at = 0, start
    while match := _KEY.match(data, at):
        name = orjson.loads(match[1])
        if name in seen or name not in places:
            return None
        seen.add(name)
        at = match.end()
        end = _end_of_value(data, at)
        place = places[name]
        aval = job.inputs[place][1]
        gap = _gap_of(data[at:end], place, aval) if place in varying else None
        if gap is not None:
            (lo, hi), what = gap
            pieces.append(data[done : at + lo])
            gaps.append(what)
            done = at + hi
        at = end
        separator = _TOKEN.match(data, at)
        if separator is None or separator[0].strip() != b",":
            break
        at = separator.end()
    if not gaps or any(b'"' not in p for p in pieces[1:]):
        return None
    return [*pieces, data[done:]], gaps


def _gap_of(text: bytes, place: int, aval: Aval) -> tuple[tuple[int, int], Gap] | None:
    """Where numbers stand in the text of a value that is an array of numbers."""
    text = text.rstrip()
    if not aval.shape and _NUMBER.fullmatch(text):
        return (0, len(text)), Gap(place, aval, None)
    if aval.shape and aval.size and _NUMBERS.fullmatch(text):
        return (0, len(text)), Gap(place, aval, None)
    found = _BUFFER.search(text) if text.startswith(b"{") else None
    if found is None:
        return None
    value = orjson.loads(text)
    dtype = _RAW.get(value.get("dtype"))
    if dtype is None or prod(value["shape"]) != aval.size or text.count(b'"buffer"') != 1:
        return None
    return found.span(1), Gap(place, aval, dtype)


def _inputs_at(data: bytes) -> int | None:
    """Behind the brace that opens the object `inputs`, which must be there once."""
    found: int | None = None
    depth, at = 0, 0
    key: bytes | None = None
    while match := _TOKEN.match(data, at):
        at = match.end()
        string, opening, closing = match.groups()
        if string is not None:
            if depth == 1:
                key = string
            continue
        if opening:
            if depth == 1 and key is not None and orjson.loads(key) == "inputs":
                if found is not None or opening != b"{":
                    return None
                found = at
            depth += 1
            if opening == b"[" and (end := _end_of_numbers(data, at - 1)):
                at, depth = end, depth - 1
        elif closing:
            depth -= 1
            key = None
    return found


def _end_of_numbers(data: bytes, at: int) -> int:
    """Behind the list of numbers, perhaps in lists, that starts at `at`; 0 if there is none."""
    match = _NUMBERS.match(data, at)
    if match is None or match[0].count(b"[") != match[0].count(b"]"):
        return 0
    return match.end()


def _end_of_value(data: bytes, at: int) -> int:
    """Behind the JSON value that starts at `at`."""
    if end := _end_of_numbers(data, at):
        return end
    depth = 0
    while match := _TOKEN.match(data, at):
        at = match.end()
        depth += bool(match[2]) - bool(match[3])
        if depth <= 0:
            break
    return at
