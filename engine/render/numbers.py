"""Short display of numbers, arrays and static attributes, where a person reads them and room is scarce."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from engine.attrs import IndexArray, Slice
from engine.aval import Array
from engine.op import InputRef
from engine.program import Literal, Program

MODERATE = (1e-3, 1e5)
"""Magnitudes that are shown with four decimals; others are shown in scientific notation."""


def short_number(x: Any) -> str:
    """A scalar as drawings show it: `3.0000`, `1.2500e-07`, `42`, `true`, and the API's names for non-finite ones."""
    if isinstance(x, bool | np.bool_):
        return "true" if x else "false"
    if isinstance(x, int | np.integer):
        return str(int(x))
    x = float(x)
    if not math.isfinite(x):
        return "NaN" if math.isnan(x) else "Infinity" if x > 0 else "-Infinity"
    moderate = x == 0 or MODERATE[0] <= abs(x) < MODERATE[1]
    return f"{x:.4f}" if moderate else f"{x:.4e}"


def brief_number(x: Any) -> str:
    """An array's entry as drawings show it: four significant digits, without trailing zeros."""
    if isinstance(x, float | np.floating) and math.isfinite(x):
        text = f"{float(x):.4g}"
        return text if "." in text or "e" in text else text + ".0"
    return short_number(x)


def exact_number(x: Any) -> str:
    """A scalar as its shortest text that reads back to the same value."""
    if isinstance(x, float | np.floating) and math.isfinite(x):
        # A float32 has fewer digits than the double it converts to.
        return repr(float(str(x)))
    return short_number(x)


def short_literal(value: Array) -> str:
    """A literal as one writes it in a program: `2`, `0.5`, `[1, 2, …]`; long fractions are cut."""
    array = np.asarray(value)
    if array.ndim > 1:
        return short_array(array)
    return f"[{entries(array, 4, _literal)}]" if array.ndim else _literal(array[()])


def _literal(x: Any) -> str:
    exact = exact_number(x).removesuffix(".0")
    return exact if len(exact) <= 10 else brief_number(x)


def entries(value: Array, most: int, show: Any = brief_number) -> str:
    """The first `most` entries in C order, with … for the others; empty for an array without elements."""
    listed = [show(v) for v in np.asarray(value).flat[:most]]
    if np.size(value) > most:
        listed.append("…")
    return ", ".join(listed)


def short_array(value: Array, *, shape: bool = True, most: int = 3) -> str:
    """A value as drawings show it: a scalar by `short_number`, an array as `[2, 3] 0.1, 0.2, …`.

    Without `shape` (where it is shown elsewhere) only the entries are listed.
    """
    array = np.asarray(value)
    if array.ndim == 0:
        return short_number(array[()])
    listed = entries(array, most)
    return f"{list(array.shape)} {listed}".rstrip() if shape or not listed else listed


def long_array(value: Array, most: int = 12) -> str:
    """A value as a tooltip shows it: exact, with more entries than `short_array` has."""
    array = np.asarray(value)
    if array.ndim == 0:
        return exact_number(array[()])
    return f"{list(array.shape)} {entries(array, most, exact_number)}".rstrip()


def clipped(text: str, most: int) -> str:
    """At most `most` characters, … in place of what is cut off at the end."""
    return text if len(text) <= most else text[: most - 1].rstrip() + "…"


# --------------------------------------------------------------------------------------------------- static attributes

MOST_ITEMS = 8
"""Longest list that is shown in full in an attribute or an index."""


def _reference(k: int) -> str:
    return f"{{{k}}}"


def short_attr(value: Any, name: Callable[[int], str] = _reference) -> str:
    """A static attribute as one reads it in Python: `0`, `(0, 1)`, `[2, 0]`; a subgraph by its number of nodes.

    `name` says how a reference to further operand k is shown.
    """
    if isinstance(value, Program):
        n = len(value.steps) - len(value.inputs)
        return f"{n} node{'s' * (n != 1)}"
    if isinstance(value, Literal):
        return short_array(value.value)
    if isinstance(value, InputRef):
        return name(value.index)
    if isinstance(value, IndexArray):
        return f"[{entries(value.value, MOST_ITEMS)}]"
    if isinstance(value, Slice):
        start, stop, step = ("" if part is None else short_attr(part, name) for part in value)
        return f"{start}:{stop}" + (f":{step}" if step else "")
    if isinstance(value, tuple):
        inner = _listed(value, name)
        return f"({inner},)" if len(value) == 1 else f"({inner})"
    if value is Ellipsis:
        return "..."
    return exact_number(value) if isinstance(value, float) else str(value)


def short_index(index: Sequence[Any], name: Callable[[int], str] = _reference) -> str:
    """An index as one reads it in Python: `[0, 1:3]`."""
    return f"[{_listed(index, name)}]"


def _listed(values: Sequence[Any], name: Callable[[int], str]) -> str:
    return ", ".join(
        [*(short_attr(v, name) for v in values[:MOST_ITEMS]), *["…"] * (len(values) > MOST_ITEMS)]
    )
