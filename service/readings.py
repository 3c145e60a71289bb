"""Requests like one that was read before: all but their numbers is known.

Clients send a few kinds of requests, again and again, with other numbers. So what a request says besides numbers (the verb,
the program, the other fields, the names of its values) is kept together with what it was read to, and of the next one like
it only the numbers are read. Nothing is decided here: whatever has not been read before, or is not plainly a value, goes to
the general reader (`envelope.py`), which also writes the errors.
"""

from __future__ import annotations

import marshal
from collections.abc import Hashable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from engine.derive import Request
from engine.errors import EngineError
from engine.kept import Kept
from engine.values import SAFE_INTEGER, Given, read_value
from service import signatures
from service.envelope import Envelope, read_envelope
from service.problems import Collector
from service.programs import program_bytes
from service.registered import Known, Nobody, Programs
from service.settings import Settings

MOST_BYTES = 32 << 20
"""What the requests that are kept may take together, roughly."""
LARGEST_GRAPH = 64 << 10
"""Largest body, in bytes, whose JSON graph is compared with those read before; larger ones differ all the time."""

LONGEST_REGISTERED = 20_000
"""Longest registered program whose requests are kept: those of longer ones are little beside what they compute."""

_MAPS = ("inputs", "tangents", "cotangents", "vector", "direction")
"""Fields that hold values by name."""
_VALUES = frozenset({*_MAPS, "seed"})

_FLOATS = {float}

SHORT = 256
"""Lists up to this length are added up to see whether they are finite, which takes less than to begin otherwise."""

_make = tuple.__new__
"""What a named tuple's own constructor calls in the end."""


class Like:
    """What is known of all requests that differ in their numbers only."""

    __slots__ = ("count", "envelope", "mark", "ref")

    def __init__(self, envelope: Envelope, ref: str | None = None, mark: Hashable = None) -> None:
        self.envelope = envelope
        """One of them as it was read, without values."""
        self.ref = ref
        """Id or name of their registered program, if it is one, and what it led to (`registered.Known.mark`)."""
        self.mark = mark
        self.count = 0
        """How many of them could be learned from so far (`skeletons.py`)."""


class Readings:
    """Reads requests, and keeps what they were read to. Safe under threads."""

    def __init__(
        self, settings: Settings, most_bytes: int = MOST_BYTES, *, programs: Programs | None = None
    ) -> None:
        self.settings = settings
        self.programs = programs
        self.kept: Kept[Hashable, Like] = Kept(most_bytes)

    def read(
        self, verb: str, body: dict[str, Any], nbytes: int, *, ref: str | None = None, wait: bool = True
    ) -> Envelope:
        """The request in a body of so many bytes. Raises `Problem` with all that is wrong.

        `ref` is the id or name of the program where the path says it. Without `wait`, raises `WouldBlock` where a
        registered program would have to be read first."""
        name = body.get("graph_id") if ref is None else ref
        registered = self._registered(name, wait) if isinstance(name, str) else None

        def lookup(ref: str) -> Known | Nobody:
            """What was found above: looked up once, it is one program, whatever others do meanwhile."""
            if registered is not None:
                return registered
            return Nobody() if self.programs is None else Nobody(self.programs.near(ref))

        if name is None and nbytes > LARGEST_GRAPH and "expression" not in body:
            return read_envelope(verb, body, self.settings)
        if name is not None and (registered is None or len(registered.program.steps) > LONGEST_REGISTERED):
            return read_envelope(verb, body, self.settings, lookup, ref=ref)
        key, size = _key(verb, body)
        if registered is not None:
            key = (ref, registered.mark, key)
        like = self.kept.get(key)
        if like is not None:
            found = _bound(like, body, self.settings, registered)
            if found is not None:
                return found
        envelope = read_envelope(verb, body, self.settings, lookup, ref=ref)
        program = envelope.request.program
        # A job is only kept of short programs, and takes about as much.
        mark = None if registered is None else registered.mark
        like = Like(_without_values(envelope), name if registered is not None else None, mark)
        self.kept.put(key, like, size + 3 * program_bytes(program))
        return envelope

    def _registered(self, ref: str, wait: bool) -> Known | None:
        return None if self.programs is None else self.programs.get(ref, wait=wait)


def _key(verb: str, body: Mapping[str, Any]) -> tuple[Hashable, int]:
    """All that a body says but its values, and how many bytes that is.

    `marshal` (of version 2, which has no references) writes equal bytes for equal values of equal types alone: 1, 1.0 and
    true differ, and so do infinity and null."""
    inputs, text = body.get("inputs"), body.get("expression")
    if len(body) == 2 and type(inputs) is dict and type(text) is str:  # as most are
        return (verb, text, *inputs), 2 * len(text) + 100 * len(inputs) + 4096
    rest = {}
    names: list[Hashable] = [verb]
    for field, value in body.items():
        if field not in _VALUES:
            rest[field] = value
        elif type(value) is dict and field != "seed":
            names.append((field, *value))
        elif field == "seed" and value is not None:
            names.append(field)
        else:
            rest[field] = value
    written = marshal.dumps(rest, 2)
    return (tuple(names), written), 2 * len(written) + 100 * len(names) + 4096


def _without_values(envelope: Envelope) -> Envelope:
    """What is kept of a request; its values may be large."""
    fields = envelope.fields.model_copy()
    vars(fields).update({name: {} for name in _MAPS if isinstance(getattr(fields, name, None), dict)})
    if getattr(fields, "seed", None) is not None:
        fields.seed = 0.0
    request = replace(
        envelope.request, inputs={}, tangents={}, cotangents={}, vector={}, direction={}, seed=None
    )
    return replace(envelope, fields=fields, request=request)


def _bound(
    like: Like, body: Mapping[str, Any], settings: Settings, registered: Known | None
) -> Envelope | None:
    """The request that a body like that of a known one is; None if one of its values is no plain one, or does not fit the
    signature of a registered program."""
    found: dict[str, Any] = {}
    most = settings.elements
    try:
        for name, value in body.items():
            if name not in _VALUES:
                continue
            if name == "seed":
                if value is not None:
                    found[name] = _value(value, most)
            elif type(value) is dict:
                found[name] = {k: _value(v, most) for k, v in value.items()}
    except EngineError:
        return None
    known = like.envelope
    if registered is not None and registered.signature:
        mistakes = Collector()
        given = found.get("inputs", {})
        found["inputs"] = signatures.fitted(
            registered.program, registered.signature, given, known.request.in_axes, mistakes
        )
        if mistakes.mistakes:
            return None
    request = object.__new__(Request)  # as `dataclasses.replace`, which costs as much as all the rest
    vars(request).update(vars(known.request), **found)
    envelope = object.__new__(Envelope)
    vars(envelope).update(vars(known), request=request, like=like)
    return envelope


def _value(value: Any, most_elements: int) -> Given:
    """A value. Raises `EngineError`."""
    kind = type(value)
    if kind is float and value - value == 0.0:
        return _make(Given, (np.array(value), True, False))
    if kind is int and -SAFE_INTEGER <= value <= SAFE_INTEGER:
        return _make(Given, (np.array(float(value)), True, True))
    if kind is list and len(value) <= min(SHORT, most_elements) and set(map(type, value)) == _FLOATS:
        total = sum(value)
        if total - total == 0.0:  # finite, and so all of them are
            return _make(Given, (np.array(value), True, False))
    return read_value(value, most_elements=most_elements)
