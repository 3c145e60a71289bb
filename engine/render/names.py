"""Ids as names in formulas: letters with indices where an id reads like one, escaped text where it does not."""

from __future__ import annotations

import re
from functools import lru_cache

from engine.render.boxes import GREEK, LETTERS, Box, Fence, Ident, Num, Row, Script, Sign, latex_of
from engine.render.expression import Expr

LONGEST_NAME = 40
"""Longest id that is shown in full, unless another would look like it."""

_PART = re.compile(r"([A-Za-z]+|[^\W\d_])(\d*)\Z")


def name_box(name: str) -> Box:
    """An id as a name in a formula: `x`, `w_1`, `x12`, `theta`, `lambda_`, `W_out`; anything else as text."""
    return _kept_box(name) if len(name) <= LONGEST_NAME else _box(name)


@lru_cache(maxsize=1024)
def _kept_box(name: str) -> Box:
    return _box(name)


def _box(name: str) -> Box:
    first, *rest = (name.rstrip("_") or name).split("_")
    match = _PART.match(first)
    base = _letters_box(match[1]) if match else None
    if match is None or base is None or not all(part.isascii() and part.isalnum() for part in rest):
        plain = name.isascii() and name.isalnum() and name[0].isalpha()
        return Ident(name, "upright" if plain else "text")
    indices = [Num(match[2])] if match[2] else []
    subs: list[Box] = []
    for box in [*indices, *(Num(p) if p.isdigit() else _letters_box(p) or Ident(p, "upright") for p in rest)]:
        subs += [Sign(","), box] if subs else [box]
    return Script(base, _row(subs)) if subs else base


def _letters_box(name: str) -> Box | None:
    """One letter, the name of a Greek one, or a word."""
    if name in _GREEK_NAMES:
        return Ident(_GREEK_NAMES[name])
    if name in LETTERS or (len(name) == 1 and name.isascii() and name.isalpha()):
        return Ident(name)
    return Ident(name, "upright") if name.isascii() and name.isalpha() else None


_GREEK_NAMES = {**GREEK, "lam": GREEK["lambda"]}
"""`lam` is what Python programmers call the letter whose name is a keyword."""


class Names:
    """Names of the nodes of one program, no two alike. `reserved` are letters that mean something else in it."""

    def __init__(self, reserved: frozenset[str] = frozenset()) -> None:
        self._taken: dict[str, str] = dict.fromkeys(reserved, "")
        self._boxes: dict[str, Expr] = {}

    def symbol(self, name: str) -> Expr:
        """The name of a node."""
        found = self._boxes.get(name)
        if found is None:
            found = self._boxes[name] = Expr(self._distinct(name), symbol=True)
        return found

    def _distinct(self, name: str) -> Box:
        shortened = name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 10]}…{name[-9:]}"
        for box in (name_box(shortened), Ident(shortened, "text"), Ident(name, "text")):
            if self._free(box, name):
                return box
        k = 2
        while not self._free(box := Script(Ident(shortened, "text"), Fence("(", Num(str(k)), ")")), name):
            k += 1
        return box

    def _free(self, box: Box, name: str) -> bool:
        """Whether a name looks like no other; if so it is taken."""
        return self._taken.setdefault(latex_of(box), name) == name


def _row(boxes: list[Box]) -> Box:
    return boxes[0] if len(boxes) == 1 else Row(tuple(boxes))
