"""Pieces of Python text with what decides about parentheses, and how long lines are broken."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from engine.aval import Array

COMPARE, OR, XOR, AND, SUM, PRODUCT, UNARY, POWER, ATOM = 4, 5, 6, 7, 9, 10, 11, 12, 13
"""Precedences (The Python Language Reference, 6.17)."""

WIDTH = 100
"""Columns that a line of generated code has at most, where it can be broken."""


@dataclass(frozen=True, slots=True)
class Expr:
    """An expression. `depth` counts the operations in it; `weak` says that it is a bare Python number, of which dtype.

    A weak number takes the dtype of what it meets, as NumPy 2 does it, and so must not meet only such numbers.
    """

    text: str
    rank: int = ATOM
    depth: int = 0
    weak: str = ""

    def at(self, rank: int) -> str:
        """The text, in parentheses where it binds less tightly than `rank`."""
        return self.text if self.rank >= rank else f"({self.text})"

    @property
    def typed(self) -> Expr:
        """The expression with a dtype of its own."""
        if not self.weak:
            return self
        return Expr(f"np.{'bool_' if self.weak == 'bool' else self.weak}({self.text})", depth=self.depth)


def binary(sign: str, rank: int, left: Expr, right: Expr) -> Expr:
    """`left sign right`, grouped from the left."""
    depth = max(left.depth, right.depth) + 1
    return Expr(f"{left.at(rank)} {sign} {right.at(rank + 1)}", rank, depth)


def unary(sign: str, x: Expr) -> Expr:
    """`sign x`."""
    return Expr(f"{sign}{x.at(POWER if x.weak else UNARY)}", UNARY, x.depth + 1)


def uniform(array: Array) -> Any | None:
    """The number that all entries of an array are, to the last bit; None if there is none."""
    if array.ndim == 0 or not array.size:
        return None
    first = array.flat[0]
    same = array == first if first == first else np.isnan(array)
    if array.dtype.kind == "f" and first == 0:
        same &= np.signbit(array) == np.signbit(first)
    return first if same.all() else None


def power(base: Expr, exponent: str) -> Expr:
    """`base**exponent`, the exponent as text that needs no parentheses."""
    return Expr(f"{base.at(ATOM)}**{exponent}", POWER, base.depth + 1)


def call(function: str, *arguments: Any) -> Expr:
    """`function(…)` of expressions and finished text."""
    depth = max((a.depth for a in arguments if isinstance(a, Expr)), default=0) + 1
    listed = ", ".join(a.text if isinstance(a, Expr) else str(a) for a in arguments)
    return Expr(f"{function}({listed})", depth=depth)


def number(value: Any, dtype: str) -> str:
    """A scalar as Python text that reads back to the same value."""
    if dtype == "bool":
        return str(bool(value))
    if dtype == "int64":
        return str(int(value))
    x = float(value)
    if math.isnan(x):
        return "np.nan"
    if math.isinf(x):
        return "np.inf" if x > 0 else "-np.inf"
    if dtype == "float32":
        short = float(str(np.float32(x)))
        return repr(short if np.float32(short) == np.float32(x) else x)
    return repr(x)


def scalar(value: Any, dtype: str) -> Expr:
    """A scalar constant, as a bare number."""
    text = number(value, dtype)
    return Expr(text, UNARY if text.startswith("-") else ATOM, weak=dtype)


def nested(array: Array, dtype: str) -> str:
    """A small array as nested lists."""
    if array.ndim == 0:
        return number(array[()], dtype)
    return f"[{', '.join(nested(part, dtype) for part in array)}]"


def shape(dims: Sequence[Any]) -> str:
    """A shape, or another tuple of integers, as text; entries may be expressions (`Dim`)."""
    listed = ", ".join(str(n) for n in dims)
    return f"({listed},)" if len(dims) == 1 else f"({listed})"


def type_of(dtype: str) -> str:
    """A dtype as one writes it."""
    return "bool" if dtype == "bool" else f"np.{dtype}"


def filled(dims: str, x: Expr, dtype: str) -> str:
    """An array of one number."""
    kind = "" if dtype == "float64" else f", {type_of(dtype)}"
    if x.text in ("0.0", "0", "False"):
        return f"np.zeros({dims}{kind})"
    if x.text in ("1.0", "1", "True"):
        return f"np.ones({dims}{kind})"
    return f"np.full({dims}, {x.text}{kind})"


def targets(names: Sequence[str]) -> str:
    """Names that values are assigned to, or values that are returned, in parentheses where they take more than a line."""
    listed = ", ".join(names)
    return listed if len(listed) < 60 or len(names) < 2 else f"({listed})"


def dimensions(dims: Sequence[Any]) -> str:
    """A shape as an argument: a number for one axis."""
    return str(dims[0]) if len(dims) == 1 else shape(dims)


# ------------------------------------------------------------------------------------------------------------ long lines

_OPEN, _CLOSE = "([{", ")]}"


def wrapped(line: str, indent: int) -> list[str]:
    """A line of code, without its indentation, as lines that are not too long: broken after commas, outermost first."""
    done: list[str] = []
    todo = [(line, indent)]
    while todo:
        text, at = todo.pop()
        pad = " " * at
        if at + len(text) <= WIDTH:
            done.append(pad + text)
            continue
        cut = _widest(text)
        if cut is None:
            done.append(pad + text)
            continue
        start, parts, end = cut
        rows: list[str] = []
        for part in parts:
            if rows and len(rows[-1]) + len(part) + 1 + at + 4 <= WIDTH:
                rows[-1] += f" {part}"
            else:
                rows.append(part)
        # What comes first is taken from the end of the list first.
        todo.append((text[end:], at))
        todo += [(row, at + 4) for row in reversed(rows)]
        todo.append((text[:start], at))
    return done


def _widest(text: str) -> tuple[int, list[str], int] | None:
    """The widest bracket that is not in another: where its content starts, its parts with their commas, where it ends."""
    best: tuple[int, list[str], int] | None = None
    depth, start, last = 0, 0, 0
    parts: list[str] = []
    quote = ""
    for i, char in enumerate(text):
        if quote:
            quote = "" if char == quote else quote
        elif char in "\"'":
            quote = char
        elif char in _OPEN:
            depth += 1
            if depth == 1:
                start = last = i + 1
                parts = []
        elif char in _CLOSE and depth:  # the text may start behind what was broken before
            depth -= 1
            if depth == 0:
                rest = text[last:i].strip()
                listed = [*parts, rest] if rest else parts
                if listed and (best is None or i - start > best[2] - best[0]):
                    # A comma behind the last of several parts changes nothing; behind one alone it makes a tuple.
                    comma = "," if parts else ""
                    best = (start, [*(f"{p}," for p in listed[:-1]), listed[-1] + comma], i)
        elif char == "," and depth == 1:
            parts.append(text[last:i].strip())
            last = i + 1
    return best
