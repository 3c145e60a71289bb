"""The answer of `trace` as Markdown tables, for notebooks and lessons.

Ids come from users, and may hold whatever Markdown has a meaning for. They are shown as code; where that could be left, as
text in which every sign is a character reference, which no dialect takes for the end of a cell, for code or for a tag.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

MOST = 16
"""Longest array that is shown with all its entries."""

_TROUBLE = frozenset("`|\\")
"""Ends a cell or a piece of code in one dialect or another."""


def trace_markdown(answer: Mapping[str, Any], look: Callable[[], None] = lambda: None) -> str:
    """Tables of the forward walk, the backward walk and, where they are in the answer, the Lagrange multipliers; warnings.

    With tangents, values are dual numbers. `look` is called between rows, and may raise.
    """
    steps: Sequence[Mapping[str, Any]] = answer["forward"]
    dual = any("tangent" in step for step in steps)
    head = ["step", "node", "op", "inputs", "dual number" if dual else "value", "partial derivatives"]
    parts = [
        f"## Trace of {code(answer['of'])}",
        "### Forward",
        table(head, (_forward(k, step) for k, step in enumerate(steps, start=1)), look),
    ]
    if answer["reverse"]:
        head = ["step", "node", "adjoint", "to", "partial", "amount", "total"]
        rows = (row for k, step in enumerate(answer["reverse"], start=1) for row in _reverse(k, step))
        parts += ["### Reverse", table(head, rows, look)]
    if "lagrangian" in answer:
        rows = (
            [code(c["node"]), code(c["constraint"]), value_text(c["multiplier"])]
            for c in answer["lagrangian"]
        )
        parts += ["### Lagrangian", table(["node", "constraint", "multiplier"], rows, look)]
    if answer["warnings"]:
        parts += ["### Warnings", "\n".join(f"- {code(w['detail'])}" for w in answer["warnings"])]
    return "\n\n".join(parts) + "\n"


def table(head: Sequence[str], rows: Iterable[Sequence[str]], look: Callable[[], None] = lambda: None) -> str:
    """A table of cells that are Markdown already."""
    lines = [f"| {' | '.join(head)} |", f"|{' --- |' * len(head)}"]
    for row in rows:
        look()
        lines.append(f"| {' | '.join(row)} |")
    return "\n".join(lines)


def _forward(k: int, step: Mapping[str, Any]) -> list[str]:
    value = value_text(step["value"])
    if step.get("tangent") is not None:
        value = dual_text(value, value_text(step["tangent"]), "ε")
    inputs = ", ".join(code(i) if isinstance(i, str) else value_text(i) for i in step["inputs"])
    return [str(k), code(step["node"]), step["op"].replace("_", "\\_"), inputs, value, _partials(step)]


def _partials(step: Mapping[str, Any]) -> str:
    if "partials" not in step:
        return ""
    if step["partials"] is None:
        return "not elementwise"
    return ", ".join(f"∂/∂{code(name)} = {value_text(value)}" for name, value in step["partials"].items())


def _reverse(k: int, step: Mapping[str, Any]) -> Iterable[list[str]]:
    """A row for each contribution; the first has the node."""
    begin = [str(k), code(step["node"]), value_text(step["adjoint"])]
    for c in step["contributions"]:
        partial = value_text(c["partial"]) if "partial" in c else ""
        yield [*begin, code(c["to"]), partial, value_text(c["amount"]), value_text(c["total"])]
        begin = ["", "", ""]
    if not step["contributions"]:
        yield [*begin, "", "", "", ""]


def dual_text(value: str, tangent: str, epsilon: str) -> str:
    """v + v̇ε as one writes it."""
    negative = tangent.startswith("-")
    return f"{value} {'-' if negative else '+'} {tangent.removeprefix('-')}{epsilon}"


def value_text(value: Any) -> str:
    """A number by its shortest digits, whole ones without a point; a short array with six digits; else its shape."""
    if isinstance(value, Mapping):
        return f"array of shape {list(value['shape'])}"
    array = np.asarray(value)
    if array.ndim == 0:
        return number_text(array[()])
    if array.size > MOST or not array.size:
        return f"array of shape {list(array.shape)}"
    return _listed(array)


def _listed(array: Any) -> str:
    if array.ndim == 0:
        value = array[()]
        return number_text(float(f"{value:.6g}") if array.dtype.kind == "f" else value)
    return f"[{', '.join(map(_listed, array))}]"


def number_text(x: Any) -> str:
    """A number; non-finite ones by the names that they have in JSON."""
    if isinstance(x, str):
        return x
    if isinstance(x, bool | np.bool_):
        return "true" if x else "false"
    if isinstance(x, int | np.integer):
        return str(int(x))
    if np.isfinite(x):
        return str(x).removesuffix(".0")
    return "NaN" if np.isnan(x) else "Infinity" if x > 0 else "-Infinity"


def code(text: str) -> str:
    """An id, or text with ids in it, so that it ends no cell and begins nothing."""
    if text.isprintable() and not _TROUBLE.intersection(text) and text == text.strip():
        return f"`{text}`"
    return "".join(_reference(c) for c in text)


def _reference(c: str) -> str:
    """A character of plain text; what breaks lines or turns their direction is named."""
    if not c.isprintable():
        return f"U+{ord(c):04X}"
    return c if c.isalnum() else f"&#{ord(c)};"
