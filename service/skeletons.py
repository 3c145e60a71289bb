"""Requests known by their bytes: all but the numbers is as it was before, and so is all but the numbers of the answer.

Clients send one kind of request again and again, written by the same program in the same way, with other numbers. Of such a
request nothing is parsed but the numbers: its bytes are compared with what stood around them before (the *skeleton*), the
numbers go to the prepared job (`engine.derive.ready`), and the results into the answer's text (`template.py`).

This is safe because JSON is context-free: if a text is a skeleton with complete JSON numbers, lists of numbers, or base64 in
its gaps, it means what the skeleton meant, with these. And nothing is decided here. A skeleton is learned from a request
that the general road has answered, and kept if it gives the same bytes for it; what does not fit, or has something to tell
(anything not finite, a kink, an error), is for the general road.
"""

from __future__ import annotations

import binascii
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson

from engine.aval import Array, Aval
from engine.derive.ready import FLAT, Ready, ready
from engine.kept import Kept
from service.admission import INLINE_SECONDS
from service.gaps import Gap, ends_of, gaps_of
from service.media import JSON
from service.template import Template

if TYPE_CHECKING:
    from service.registered import Programs
    from service.work import Work

MOST_BYTES = 32 << 20
"""What the skeletons may take together, roughly, with their jobs."""

LONGEST = 1 << 16
"""Longest body, in bytes, that is looked at. Uvicorn stops reading at this length until the application asks for more."""

OFTEN = 8
"""So many requests of a kind are learned from as they come, and then one of so many: whoever writes each of them in another
way does not have more work done than others."""

BESIDE = 4
"""Skeletons that are kept of requests that begin and end alike: with other shapes, for one."""

SECONDS = {True: 150e-9, False: 50e-9}
"""What it takes to read or write one number: by itself, or in an array."""

VERBS = frozenset({"evaluate", "grad"})

_PLAIN = frozenset({int, float})


class _NotThisError(Exception):
    """The request is not one of these after all."""


class Skeleton:
    """One way of writing one kind of request. `pieces` stand around the gaps, one more than there are gaps."""

    def __init__(
        self,
        pieces: Sequence[bytes],
        gaps: Sequence[Gap],
        job: Ready,
        template: Template,
        ref: str | None,
        mark: Any,
    ) -> None:
        self.ref = ref
        """Id or name of the registered program, and what it must still lead to (`registered.Known.mark`)."""
        self.mark = mark
        self._pieces = list(pieces)
        self._first, self._last = pieces[0], pieces[-1]
        # Between two gaps stands a key, and so a quote; in a gap stands none.
        self._between = [(p, p.index(b'"')) for p in pieces[1:-1]]
        self._gaps = gaps
        self._job = job
        self._template = template
        scalars = all(not g.aval.shape and g.raw is None for g in gaps)
        places = [g.place for g in gaps]
        self._all_numbers = job.flat and scalars and len(gaps) == len(job.inputs)
        in_order = places == list(range(len(places)))
        self._order = (
            None if in_order or not self._all_numbers else [places.index(k) for k in range(len(places))]
        )
        own = 3 * sum(map(len, pieces)) + template.nbytes + sum(a.nbytes for a in job.given)
        self.nbytes = 4096 + own + job.job.nbytes

    def same(self, pieces: Sequence[bytes], gaps: Sequence[Gap], mark: Any) -> bool:
        """Whether it is for the same requests, or for a program that its name no longer leads to."""
        return (self._pieces == pieces and self._gaps == gaps) or self.mark != mark

    def answer(self, data: bytes) -> bytes | None:
        """The answer to a request that is written so; None if it is not, or not for here."""
        try:
            texts = self._texts(data)
            results = None if texts is None else self._job.run(self._values(texts))
        except (ValueError, TypeError, OverflowError, _NotThisError):
            return None
        return None if results is None else self._template(results)

    def _texts(self, data: bytes) -> list[bytes] | None:
        """What stands in the gaps."""
        if not data.startswith(self._first):
            return None
        at = len(self._first)
        found = []
        for piece, quote in self._between:
            stop = data.find(b'"', at) - quote
            if stop < at or not data.startswith(piece, stop):
                return None
            found.append(data[at:stop])
            at = stop + len(piece)
        stop = len(data) - len(self._last)
        if stop < at or not data.endswith(self._last):
            return None
        found.append(data[at:stop])
        return found

    def _values(self, texts: list[bytes]) -> list[Any]:
        """What the job takes. Raises `ValueError`, `TypeError`, `_NotThisError` for what is no number."""
        if self._all_numbers:
            numbers = _numbers(texts)
            return numbers if self._order is None else [numbers[k] for k in self._order]
        values: list[Any] = list(self._job.given)
        for gap, text in zip(self._gaps, texts, strict=True):
            if gap.raw is not None:
                values[gap.place] = _octets(text, gap)
            elif not gap.aval.shape:
                (number,) = _numbers([text])
                values[gap.place] = number if self._job.flat else _as(np.array(float(number)), gap.aval)
            elif self._job.flat and len(gap.aval.shape) == 1:
                values[gap.place] = _few(text, gap.aval.size)
            else:
                values[gap.place] = _many(text, gap.aval)
        return _flat(values) if self._job.flat else values


def _numbers(texts: Sequence[bytes]) -> list[Any]:
    """One number in each of the texts.

    Put side by side they are as many values as they are texts only if each is one value: an empty one makes two commas meet,
    and a bracket that opens in one and closes in another makes a list."""
    found: list[Any] = orjson.loads(b"[%b]" % b",".join(texts))
    if len(found) != len(texts) or not _PLAIN.issuperset(map(type, found)):
        raise _NotThisError
    return found


def _few(text: bytes, count: int) -> list[Any]:
    """A list of so many numbers."""
    found: Any = orjson.loads(text)
    if type(found) is not list or len(found) != count or not _PLAIN.issuperset(map(type, found)):
        raise _NotThisError
    return found


def _many(text: bytes, aval: Aval) -> Array:
    """A nested list of numbers as an array. (What is beyond the range of doubles, orjson refuses.)"""
    # All that lists can hold besides numbers and lists: strings, true, false, null, objects.
    if b'"' in text or b"u" in text or b"f" in text or b"{" in text:
        raise _NotThisError
    found: Any = orjson.loads(text)
    if type(found) is not list:
        raise _NotThisError
    array: Array
    if len(aval.shape) == 1:
        if len(found) != aval.size:
            raise _NotThisError
        array = np.fromiter(found, np.float64, aval.size)
    else:
        array = np.array(found, np.float64)
        if array.shape != aval.shape:
            raise _NotThisError
    return _as(array, aval)


def _octets(text: bytes, gap: Gap) -> Array:
    """An array from base64, in which JSON has escaped nothing."""
    assert gap.raw is not None
    if len(text) % 4:
        raise _NotThisError
    raw = binascii.a2b_base64(text, strict_mode=True)
    if len(raw) != gap.aval.size * gap.raw.itemsize:
        raise _NotThisError
    return _as(np.frombuffer(raw, gap.raw).reshape(gap.aval.shape), gap.aval)


def _as(array: Array, aval: Aval) -> Array:
    """In the dtype that the job computes in."""
    if array.dtype == aval.dtype:
        return array
    with np.errstate(all="ignore"):
        return array.astype(aval.dtype)


def _flat(values: Sequence[Any]) -> list[Any]:
    """All numbers of all values."""
    numbers: list[Any] = []
    for value in values:
        if type(value) is list:
            numbers += value
        elif type(value) is np.ndarray:
            numbers += value.reshape(-1).tolist()
        else:
            numbers.append(value)
    return numbers


# ------------------------------------------------------------------------------------------------------------ keeping


class Skeletons:
    """The skeletons that are known. To be asked from the event loop."""

    def __init__(self, programs: Programs, longest: int, most_bytes: int = MOST_BYTES) -> None:
        self.programs = programs
        self.longest = min(longest, LONGEST)
        self.kept: Kept[Any, tuple[Skeleton, ...]] = Kept(most_bytes)

    def answer(self, verb: str, ref: str | None, data: bytes, mark: Any = None) -> bytes | None:
        """The answer to a request for `verb`, of the program `ref` where the path names it (`mark` is `Programs.mark` of that,
        if it was looked up before); None if it is none that is known.

        Raises `WouldBlock`, `StoreUnavailable` where a registered program cannot be looked up at once."""
        ends = ends_of(data)
        if ends is None:
            return None
        for skeleton in self.kept.get((verb, ref, *ends)) or ():
            if skeleton.ref is not None:
                now = self.programs.mark(skeleton.ref) if mark is None or ref is None else mark
                if now != skeleton.mark:
                    continue
            answer = skeleton.answer(data)
            if answer is not None:
                return answer
        return None

    def learn(self, work: Work) -> None:
        """Learn from a request that was answered, if its kind was read before, and all is plain about it."""
        like, job, data = work.envelope.like, work.job, bytes(work.posted)
        if like is None or job is None or work.media != JSON or work.verb not in VERBS:
            return
        if not data or len(data) > self.longest or (ends := ends_of(data)) is None:
            return
        if job.seconds > INLINE_SECONDS:
            return
        like.count += 1
        if like.count > OFTEN and like.count % OFTEN:
            return
        form = work.envelope.form
        function = ready(job, most=FLAT if form == "list" else 0)
        if function is None:
            return
        numbers = sum(a.size for _, a in function.inputs) + sum(a.size for a in function.results)
        if function.seconds + numbers * SECONDS[function.flat] > INLINE_SECONDS:
            return
        found = gaps_of(data, function)
        if found is None:
            return
        pieces, gaps = found
        key = (work.verb, work.ref, *ends)
        others = [s for s in self.kept.get(key) or () if not s.same(pieces, gaps, like.mark)]
        template = Template(function.answer, function.results, form, flat=function.flat)
        skeleton = Skeleton(pieces, gaps, function, template, like.ref, like.mark)
        if skeleton.answer(data) == b"".join([*work.begin, work.body]):
            beside = (skeleton, *others[: BESIDE - 1])
            self.kept.put(key, beside, sum(s.nbytes for s in beside))
