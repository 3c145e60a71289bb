"""Answers that differ in their numbers alone: the text around the numbers is made once, the numbers are set into it.

The text is what `arrays.encode` writes, with marks where results stand; so there is one place that knows what an answer
looks like. Results must be finite: what is not is written otherwise.
"""

from __future__ import annotations

import binascii
import re
import secrets
from collections.abc import Callable, Sequence
from itertools import accumulate
from operator import itemgetter
from typing import Any

import numpy as np
import orjson

from engine.aval import Aval
from service import arrays
from service.arrays import Form

_MARK = secrets.token_hex(16)
_MARKS = re.compile(f'"{_MARK}([0-9]+)"'.encode())

_NUMPY = orjson.OPT_SERIALIZE_NUMPY


class Template:
    """The text of an answer.

    `fields` puts results into the fields of an answer; `avals` are those of the results. If `flat`, all numbers of all
    results come in one list (`Ready.flat`), else an array for each result. (Arrays in base64 do not come as numbers.)
    """

    def __init__(
        self, fields: Callable[[Sequence[Any]], Any], avals: Sequence[Aval], form: Form, *, flat: bool
    ) -> None:
        # An array without elements has no number that could change.
        marks = [f"{_MARK}{k}" if a.size else np.zeros(a.shape, a.dtype) for k, a in enumerate(avals)]
        parts = _MARKS.split(arrays.encode(fields(marks), form))
        texts = [part.replace(b"%", b"%%") for part in parts[::2]] if flat else parts[::2]
        which = [int(k) for k in parts[1::2]]
        first = [0, *accumulate(a.size for a in avals)]
        order: list[int] = []
        for n, k in enumerate(which):
            aval = avals[k]
            if not flat:
                order.append(k)
            else:
                order += range(first[k], first[k + 1])
                texts[n] += _nested(aval.shape)
        self._text = b"".join(texts) if flat else b""
        self._parts = [part for text in texts for part in (text, b"")][:-1]
        self._pick = itemgetter(*order) if len(order) > 1 else lambda found: tuple(found[k] for k in order)
        self._shapes = [] if flat else [_Writer(a, form) for a in avals]
        self._flat = flat

    @property
    def nbytes(self) -> int:
        """Memory, roughly."""
        return 4 * sum(map(len, self._parts)) + 500 * len(self._shapes) + 1000

    def __call__(self, results: list[Any]) -> bytes:
        """The answer with these results."""
        if self._flat:
            return self._text % self._pick(orjson.dumps(results)[1:-1].split(b","))
        parts = self._parts.copy()
        parts[1::2] = self._pick([write(r) for write, r in zip(self._shapes, results, strict=True)])
        return b"".join(parts)


class _Writer:
    """One array as text."""

    def __init__(self, aval: Aval, form: Form) -> None:
        self.dtype = np.dtype(aval.dtype)
        self.empty = not aval.size
        self.encoded: tuple[bytes, bytes] | None = None
        if form == "base64" and aval.shape and aval.size:
            whole = orjson.dumps(arrays.encoded(np.zeros(aval.shape, aval.dtype)))
            zeros = binascii.b2a_base64(bytes(aval.nbytes), newline=False)
            before, _, after = whole.rpartition(zeros)
            self.encoded = before, after

    def __call__(self, value: Any) -> bytes:
        if self.empty:
            return b""
        if type(value) is not np.ndarray or not value.ndim:
            return orjson.dumps(value if type(value) is float else value[()], option=_NUMPY)
        array = np.ascontiguousarray(value, self.dtype)
        if self.encoded is None:
            return orjson.dumps(array, option=_NUMPY)
        return binascii.b2a_base64(array.reshape(-1).view(np.uint8).data, newline=False).join(self.encoded)


def _nested(shape: Sequence[int]) -> bytes:
    """Places for the numbers of an array of that shape."""
    text = b"%b"
    for n in reversed(shape):
        text = b"[%b]" % b",".join([text] * n)
    return text
