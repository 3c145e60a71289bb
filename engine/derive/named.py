"""Numbers by id, in the array in which they were computed: a Python number is made of one when it is asked for.

To make a dictionary of all of them takes several times as long as computing them.
"""

from __future__ import annotations

from collections.abc import ItemsView, Iterator, KeysView, Mapping, Sequence, ValuesView
from typing import Any

import numpy as np

from engine.aval import Array
from engine.specialize import Typed
from engine.tape import Tape


class Picked:
    """Entries of a tape that are reported under the ids of their steps."""

    def __init__(self, typed: Typed, tape: Tape, steps: Sequence[int]) -> None:
        self.ids = [typed.program.steps[i].id for i in steps]
        at = [typed.node(i) for i in steps]
        whole = at == list(range(len(tape)))
        self.at: Any = slice(None) if whole else np.asarray(at, np.intp)
        self.masks = frozenset(i for i, n in zip(self.ids, at, strict=True) if tape.boolean[n])
        self._places: dict[str, int] | None = None
        self._positions = at

    @property
    def places(self) -> dict[str, int]:
        """Entry by id."""
        found = self._places
        if found is None:
            found = self._places = dict(zip(self.ids, self._positions, strict=True))
        return found

    def __call__(self, entries: Array) -> Named:
        """Number by id; truth values are such."""
        return Named(self, entries)


class Named(Mapping[str, Any]):
    """Numbers by id, in the order of the ids: floats, or truth values."""

    __slots__ = ("_entries", "_picked")

    def __init__(self, picked: Picked, entries: Array) -> None:
        self._picked = picked
        self._entries = entries

    def __getitem__(self, name: str) -> Any:
        number = self._entries[self._picked.places[name]].item()
        return number != 0 if name in self._picked.masks else number

    def __iter__(self) -> Iterator[str]:
        return iter(self._picked.ids)

    def __len__(self) -> int:
        return len(self._picked.ids)

    def __contains__(self, name: object) -> bool:
        return name in self._picked.places

    def __repr__(self) -> str:
        return repr(self.as_dict())

    def keys(self) -> KeysView[str]:
        """The ids."""
        return self._picked.places.keys()

    def values(self) -> ValuesView[Any]:
        """The numbers."""
        return self.as_dict().values()

    def items(self) -> ItemsView[str, Any]:
        """Ids and numbers."""
        return self.as_dict().items()

    def as_dict(self) -> dict[str, Any]:
        """All of them as a dictionary."""
        picked = self._picked
        found: dict[str, Any] = dict(zip(picked.ids, self._entries[picked.at].tolist(), strict=True))
        for name in picked.masks:
            found[name] = found[name] != 0
        return found


def as_dicts(answer: dict[str, Any]) -> dict[str, Any]:
    """The answer with dictionaries of Python numbers, as encoders want them."""
    for field, value in answer.items():
        if type(value) is Named:
            answer[field] = value.as_dict()
    return answer
