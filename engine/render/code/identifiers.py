"""Ids to identifiers that are good in Python, C99 and JavaScript alike.

An id is a client's text: any code points. It stands in generated code only where it is an identifier that means nothing
else in any of the languages; otherwise what stands there is made of ASCII letters, digits and underscores alone:
Greek letters by name, letters with accents without them, subscripts as digits, all else as an underscore.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from engine.render.boxes import GREEK
from engine.render.code.reserved import is_reserved

LONGEST = 48
"""Characters of an identifier that is made from an id. C99 tells 63 apart (5.2.4.1)."""

_VALID = re.compile(r"[A-Za-z][A-Za-z0-9_]*\Z", re.ASCII)
_SPELLED = {letter: name for name, letter in GREEK.items()} | {
    "ϵ": "epsilon", "ε": "epsilon", "φ": "phi", "ϕ": "phi", "ϑ": "theta", "ο": "omicron", "ς": "sigma",
    "∂": "d", "∇": "nabla", "ℓ": "l", "ß": "ss", "æ": "ae", "ø": "o", "ł": "l", "đ": "d", "ı": "i",
    "′": "_prime", "'": "_prime", "″": "_second", "*": "_star", "∞": "inf",
}  # fmt: skip
"""Characters that have a name."""


def plain(text: str, otherwise: str = "v") -> str:
    """The text as an identifier: itself if it is one and not reserved, else what reads like it; `otherwise` for nothing left.

    `λ` → `lambda_`, `my id!` → `my_id`, `x₁` → `x1`, `1x` → `v_1x`. Two texts may give the same identifier.
    """
    if len(text) <= LONGEST and _VALID.match(text):
        return text + "_" if is_reserved(text) else text
    parts = []
    for char in unicodedata.normalize("NFC", text[: 2 * LONGEST]):
        if char.isascii() and (char.isalnum() or char == "_"):
            parts.append(char)
        elif char in _SPELLED:
            parts.append(_SPELLED[char])
        else:
            # Bare letters and digits of what is composed of them: é, ά, x², ｘ.
            for c in unicodedata.normalize("NFKD", char):
                if c.isascii() and c.isalnum():
                    parts.append(c)
                elif c in _SPELLED:
                    parts.append(_SPELLED[c])
                elif not unicodedata.combining(c):
                    parts.append("_")
    found = re.sub("_{2,}", "_", "".join(parts)).strip("_")[:LONGEST].strip("_")
    if not found:
        return otherwise
    if not found[0].isalpha():
        found = f"{otherwise}_{found}"
    return found + "_" if is_reserved(found) else found


class Namespace:
    """Names that are taken. Whoever comes first gets what it asks for, the others a number behind it."""

    def __init__(self, taken: Iterable[str] = ()) -> None:
        self._taken = set(taken)
        self._counts: dict[str, int] = {}

    def take(self, wish: str) -> str:
        """`wish`, or `wish_2`, `wish_3`, … : the first that is free. Taken from then on."""
        name = wish
        if name in self._taken:
            count = self._counts.get(wish, 1)
            base = wish if wish.endswith("_") else wish + "_"
            while name in self._taken:
                count += 1
                name = f"{base}{count}"
            self._counts[wish] = count
        self._taken.add(name)
        return name

    def give_back(self, name: str) -> None:
        """The name is free again, for the one that it was kept for."""
        self._taken.discard(name)

    def __contains__(self, name: str) -> bool:
        return name in self._taken

    def copy(self) -> Namespace:
        """A namespace inside this one."""
        inner = Namespace(self._taken)
        inner._counts = dict(self._counts)
        return inner


@dataclass(frozen=True, eq=False)
class Identifiers:
    """The identifiers of a unit.

    `ids`: of inputs and of everything that is differentiated by or of, distinct; what is answered as `identifiers`. `keys`:
    of the derivatives, in their order, distinct among themselves; that of ∂of/∂x is the identifier of x, that of a mixed
    derivative joins those of what it is taken by. `function`: its name. `space`: all of these as taken, for a writer that goes
    on from a copy.
    """

    ids: Mapping[str, str]
    keys: tuple[str, ...]
    function: str
    space: Namespace


def identifiers(
    inputs: Sequence[str], derivatives: Sequence[tuple[str, Sequence[str]]], of: str, name: str
) -> Identifiers:
    """Identifiers for inputs, derivatives (key, what they are taken by), the node `of`, and the function.

    Ids that are good identifiers are kept, whatever order they come in; the others come after them.
    """
    wanted = dict.fromkeys([*inputs, *(i for _, wrt in derivatives for i in wrt), of])
    space = Namespace()
    found: dict[str, str] = {}
    for one in wanted:
        if plain(one) == one:
            found[one] = space.take(one)
    for one in wanted:
        if one not in found:
            found[one] = space.take(plain(one))
    wish = plain(name, "f")
    function = space.take(wish if wish not in space else f"{wish.rstrip('_')}_and_derivatives")
    keys = Namespace()
    listed = [""] * len(derivatives)
    for alone in (True, False):
        for k, (key, wrt) in enumerate(derivatives):
            if (len(set(wrt)) == 1) == alone:
                listed[k] = keys.take(
                    found[wrt[0]] if alone else plain("_".join(found[i].rstrip("_") for i in wrt) or key)
                )
    return Identifiers({i: found[i] for i in wanted}, tuple(listed), function, space)
