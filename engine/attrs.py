"""Kinds of static attributes: what `axis`, `shape`, `index` … may be, and their canonical, hashable form.

Numbers reach these checks from JSON and from program text, where `2` and `2.0` are the same number, so an integral float
is accepted wherever an integer belongs. Every check raises ValueError with what was wrong; `op.check_attrs` says where.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from engine.errors import quoted
from engine.op import InputRef, Kind

MAX_LISTED = 100_000
"""Longest list that an attribute may be (an index array, a shape)."""


class Slice(NamedTuple):
    """`start:stop:step` in an index; each part an integer, None or a reference to a further operand."""

    start: int | InputRef | None = None
    stop: int | InputRef | None = None
    step: int | InputRef | None = None


class IndexArray:
    """A constant integer or boolean array inside an index, hashable by content."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = np.asarray(value)

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, IndexArray)
            and self.value.dtype == other.value.dtype
            and self.value.shape == other.value.shape
            and bool((self.value == other.value).all())
        )

    def __hash__(self) -> int:
        return hash((self.value.shape, self.value.tobytes()))


def _shown(value: Any) -> str:
    return quoted(value) if isinstance(value, str) else repr(value)[:80]


def integer(value: Any) -> int:
    """An integer, also written as an integral float; booleans are none."""
    if isinstance(value, bool | np.bool_):
        raise ValueError(f"{value} is a boolean")
    if isinstance(value, int | np.integer):
        if abs(int(value)) >= 2**63:
            raise ValueError("it does not fit 64 bits")
        return int(value)
    if (
        isinstance(value, float)
        and math.isfinite(value)
        and value == math.floor(value)
        and abs(value) < 2**63
    ):
        return int(value)
    raise ValueError(f"{_shown(value)} is no integer")


def number(value: Any) -> float:
    """A real number, the non-finite ones included (also as their strings)."""
    if isinstance(value, str) and value in ("NaN", "Infinity", "-Infinity"):
        return {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}[value]
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{_shown(value)} is no number")
    try:
        return float(value)
    except OverflowError:
        raise ValueError("it is beyond double range") from None


def boolean(value: Any) -> bool:
    """true or false; also 0 and 1, as NumPy takes them."""
    if isinstance(value, bool | np.bool_):
        return bool(value)
    if isinstance(value, int | float) and value in (0, 1):
        return bool(value)
    raise ValueError(f"{_shown(value)} is neither true nor false")


def text(value: Any) -> str:
    """A string."""
    if not isinstance(value, str):
        raise ValueError(f"{_shown(value)} is no string")
    return value


def integers(value: Any) -> tuple[int, ...]:
    """A list of integers; a single one counts as a list of one."""
    if not isinstance(value, list | tuple):
        return (integer(value),)
    if len(value) > MAX_LISTED:
        raise ValueError(f"it has {len(value)} entries")
    return tuple(integer(v) for v in value)


def _int_or_ref(value: Any) -> int | InputRef:
    if isinstance(value, InputRef):
        return value
    if isinstance(value, dict) and set(value) == {"input"}:
        return InputRef(integer(value["input"]))
    return integer(value)


def _ints_or_refs(value: Any) -> Any:
    if isinstance(value, InputRef | dict):
        return _int_or_ref(value)
    listed = value if isinstance(value, list | tuple) else (value,)
    if len(listed) > MAX_LISTED:
        raise ValueError(f"it has {len(listed)} entries")
    found = tuple(_int_or_ref(v) for v in listed)
    return found if isinstance(value, list | tuple) else found[0]


def _size(value: Any) -> int | InputRef:
    n = _int_or_ref(value)
    if isinstance(n, int) and n < -1:
        raise ValueError(f"{n} is negative (only -1 has a meaning: whatever is left)")
    return n


def _shape(value: Any) -> tuple[int | InputRef, ...] | InputRef:
    if isinstance(value, InputRef | dict):
        # A single reference is a whole shape (x.shape) or one size; which one shows when its value is known.
        ref = _int_or_ref(value)
        assert isinstance(ref, InputRef)
        return ref
    listed = value if isinstance(value, list | tuple) else (value,)
    if len(listed) > 64:
        raise ValueError(f"it has {len(listed)} axes")
    return tuple(_size(v) for v in listed)


def one_of(*choices: str) -> Kind:
    """One of a few strings."""

    def check(value: Any) -> str:
        if text(value) not in choices:
            raise ValueError(f"{_shown(value)} is not among them")
        return str(value)

    return Kind("one of " + ", ".join(f"'{c}'" for c in choices), check)


def optional(kind: Kind) -> Kind:
    """The kind, or null."""
    return Kind(f"{kind.name} or null", lambda value: None if value is None else kind.check(value))


def at_least(low: int, kind: Kind) -> Kind:
    """An integer that is not below `low`."""

    def check(value: Any) -> Any:
        checked = kind.check(value)
        if isinstance(checked, int) and checked < low:
            raise ValueError(f"{checked} is below {low}")
        return checked

    return Kind(f"{kind.name} of at least {low}", check)


def _nested(check: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def go(value: Any) -> Any:
        return tuple(check(v) if not isinstance(v, list | tuple) else tuple(map(check, v)) for v in value)

    return go


def _index_item(item: Any) -> Any:
    if item is None or item is Ellipsis or isinstance(item, Slice | IndexArray | InputRef):
        return item
    if item == "...":
        return Ellipsis
    if isinstance(item, dict):
        if set(item) == {"input"}:
            return InputRef(integer(item["input"]))
        if item and set(item) <= {"start", "stop", "step"}:
            parts = {k: None if v is None else _int_or_ref(v) for k, v in item.items()}
            if parts.get("step") == 0:
                raise ValueError("a slice's step cannot be 0")
            return Slice(**parts)
        if "data" not in item:
            raise ValueError(f"an index has no item with the fields {sorted(map(str, item))[:5]}")
    if isinstance(item, bool):
        raise ValueError("a single boolean is no index")
    if isinstance(item, list | tuple):
        try:
            array = np.array(item)
        except ValueError:
            raise ValueError("an index array must be rectangular") from None
        if array.dtype == np.float64 and array.size and (array == np.floor(array)).all():
            array = array.astype(np.int64)
        if array.size == 0:
            array = array.astype(np.int64)
        if array.dtype not in (np.int64, np.bool_):
            raise ValueError("an index array must hold integers or booleans")
        if array.size > MAX_LISTED:
            raise ValueError(f"an index array has {array.size} entries")
        return IndexArray(array)
    return integer(item)


def _index(value: Any) -> tuple[Any, ...]:
    if not isinstance(value, list | tuple) or isinstance(value, Slice):
        value = (value,)
    if len(value) > 64:
        raise ValueError(f"it has {len(value)} items")
    items = tuple(_index_item(i) for i in value)
    if sum(i is Ellipsis for i in items) > 1:
        raise ValueError("it has more than one ellipsis")
    return items


def only_false(why: str) -> Kind:
    """false: an argument of other libraries that changes what is returned."""

    def check(value: Any) -> bool:
        if boolean(value):
            raise ValueError(why)
        return False

    return Kind("false", check)


INT = Kind("an integer", integer)
COUNT = at_least(0, INT)
NUMBER = Kind("a number", number)
BOOL = Kind("true or false", boolean)
STRING = Kind("a string", text)
INTS = Kind("an integer or a list of integers", integers)
AXIS = Kind("an axis (an integer)", integer)
OPTIONAL_AXIS = optional(AXIS)
AXES = Kind(
    "an axis, a list of axes, or null for all",
    lambda v: None if v is None else integers(v) if isinstance(v, list | tuple) else integer(v),
)
SIZE = Kind("an integer", _int_or_ref)
KNOWN = at_least(0, SIZE)
"""A count that may follow from shapes or integer inputs (`one_hot(i, x.shape[0])`)."""
SHAPE = Kind("a shape: an integer or a list of integers", _shape)
INDEX = Kind('an index: a list of integers, slices {"start", "stop", "step"}, "...", null, lists', _index)
KNOWN_INTS = Kind("an integer or a list of integers", _ints_or_refs)
"""Integers that may follow from shapes or integer inputs; a single one stays one."""
WIDTHS = Kind(
    "an integer, a pair, or a list of pairs",
    lambda v: _nested(integer)(v) if isinstance(v, list | tuple) else integer(v),
)
AXES_PAIR = Kind(
    "an integer or a pair of lists of axes",
    lambda v: _nested(integer)(v) if isinstance(v, list | tuple) else integer(v),
)
