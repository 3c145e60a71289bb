"""Values in a request, read: arrays by id, with all that is wrong with them noted.

The models of `service/schemas` check the types of fields; what is inside values is read here, by the engine.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from engine.errors import EngineError, quoted
from engine.program import NON_FINITE, Program
from engine.values import SAFE_INTEGER, Given, read_value
from service.problems import Collector, Mistake, pointer_to
from service.settings import Settings


@dataclass(frozen=True, slots=True)
class Reader:
    """What a request model reads its own fields with (`ProgramRequest.read`)."""

    settings: Settings
    mistakes: Collector
    program: Program | None
    """None where there is none, which is noted already."""

    def value(self, value: Any, what: str, *place: str | int) -> Given | None:
        """A value of JSON; None where it is wrong, which is noted. `what` it is is said in messages, `place` is where it
        stands in the body."""
        return read_one(value, what, pointer_to(place), self.settings, self.mistakes)

    def values(self, values: Mapping[str, Any], name: str, what: str) -> dict[str, Given]:
        """The values of the map in field `name`, without those that are wrong. (That their keys are nodes of the program is
        looked at where the program is typed.)"""
        return read_map(values, name, what, self.settings, self.mistakes)

    def wrong(
        self, detail: str, *place: str | int, kind: str = "invalid-field", node: str | None = None
    ) -> None:
        """Note a mistake at a place in the body."""
        self.mistakes.add(Mistake(kind, detail, node=node, pointer=pointer_to(place)))


def read_one(value: Any, what: str, pointer: str, settings: Settings, mistakes: Collector) -> Given | None:
    """A value; None where it is wrong, which is noted."""
    try:
        return read_value(value, most_elements=settings.elements, what=what, pointer=pointer)
    except EngineError as error:
        mistakes.add_engine(error)
        return None


def read_map(
    values: Mapping[str, Any], name: str, what: str, settings: Settings, mistakes: Collector
) -> dict[str, Given]:
    """The values of a map, without those that are wrong."""
    found: dict[str, Given] = {}
    for key, value in values.items():
        kind = type(value)
        if kind is float and value - value == 0.0:  # most values are plain finite numbers
            found[key] = Given(np.array(value), True, False)
        elif kind is int and -SAFE_INTEGER <= value <= SAFE_INTEGER:
            found[key] = Given(np.array(float(value)), True, True)
        elif not mistakes.full:
            given = read_one(
                value, f"{what} {quoted(key)}", f"/{name}{pointer_to([key])}", settings, mistakes
            )
            if given is not None:
                found[key] = given
        elif value is None or (kind is str and value not in NON_FINITE):
            mistakes.omitted += 1  # no longer described; and arrays are no longer looked at
    return found
