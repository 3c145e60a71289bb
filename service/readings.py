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
from service.envelope import Envelope, read_envelope
from service.programs import program_bytes
from service.settings import Settings

MOST_BYTES = 32 << 20
"""What the requests that are kept may take together, roughly."""
LARGEST_GRAPH = 64 << 10
"""Largest body, in bytes, whose JSON graph is compared with those read before; larger ones differ all the time."""

_MAPS = ("inputs", "tangents", "cotangents", "vector", "direction")
"""Fields that hold values by name."""
_VALUES = frozenset({*_MAPS, "seed"})


class Readings:
    """Reads requests, and keeps what they were read to. Safe under threads."""

    def __init__(self, settings: Settings, most_bytes: int = MOST_BYTES) -> None:
        self.settings = settings
        self.kept: Kept[Hashable, Envelope] = Kept(most_bytes)

    def read(self, verb: str, body: dict[str, Any], nbytes: int) -> Envelope:
        """The request in a body of so many bytes. Raises `Problem` with all that is wrong."""
        if "graph_id" in body or (nbytes > LARGEST_GRAPH and "expression" not in body):
            return read_envelope(verb, body, self.settings)
        key, size = _key(verb, body)
        known = self.kept.get(key)
        if known is not None:
            found = _bound(known, body, self.settings)
            if found is not None:
                return found
        envelope = read_envelope(verb, body, self.settings)
        self.kept.put(key, _without_values(envelope), size + program_bytes(envelope.request.program))
        return envelope


def _key(verb: str, body: Mapping[str, Any]) -> tuple[Hashable, int]:
    """All that a body says but its values, and how many bytes that is.

    `marshal` (of version 2, which has no references) writes equal bytes for equal values of equal types alone: 1, 1.0 and
    true differ, and so do infinity and null."""
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


def _bound(known: Envelope, body: Mapping[str, Any], settings: Settings) -> Envelope | None:
    """The request that a body like that of a known one is; None if one of its values is no plain one."""
    found: dict[str, Any] = {}
    try:
        for name in _VALUES & body.keys():
            value = body[name]
            if name == "seed":
                if value is not None:
                    found[name] = _value(value, settings.elements)
            elif type(value) is dict:
                found[name] = {k: _value(v, settings.elements) for k, v in value.items()}
    except EngineError:
        return None
    request = object.__new__(Request)  # as `dataclasses.replace`, which costs as much as all the rest
    vars(request).update(vars(known.request), **found)
    envelope = object.__new__(Envelope)
    vars(envelope).update(vars(known), request=request)
    return envelope


def _value(value: Any, most_elements: int) -> Given:
    """A value. Raises `EngineError`."""
    kind = type(value)
    if kind is float and value - value == 0.0:
        return Given(np.array(value), True, False)
    if kind is int and -SAFE_INTEGER <= value <= SAFE_INTEGER:
        return Given(np.array(float(value)), True, True)
    return read_value(value, most_elements=most_elements)
