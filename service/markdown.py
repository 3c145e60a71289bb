"""The answer of `trace` as Markdown tables, for notebooks and lessons."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from service import arrays

MOST = 64
"""Largest array that is shown with its entries."""

LONGEST = 60
"""Longest content of a cell that is no id."""


def trace_table(answer: Mapping[str, Any]) -> str:
    """Tables of the forward walk, the backward walk and, where they are in the answer, the Lagrange multipliers."""
    forward: Sequence[Mapping[str, Any]] = answer["forward"]
    dual = any("tangent" in step for step in forward)
    parts = [
        f"## Trace of {_code(answer['of'])}",
        "### Forward",
        _table(
            ["step", "node", "op", "inputs", "value", *(["tangent"] if dual else []), "partial derivatives"],
            (
                [
                    str(k),
                    _code(step["node"]),
                    _cell(step["op"]),
                    ", ".join(map(_operand, step["inputs"])),
                    _value(step["value"]),
                    *([_value(step.get("tangent"))] if dual else []),
                    _partials(step),
                ]
                for k, step in enumerate(forward, start=1)
            ),
        ),
        "### Reverse",
        _table(
            ["step", "node", "adjoint", "contributions"],
            (
                [str(k), _code(step["node"]), _value(step["adjoint"]), _contributions(step["contributions"])]
                for k, step in enumerate(answer["reverse"], start=1)
            ),
        ),
    ]
    if "lagrangian" in answer:
        parts += [
            "### Lagrangian",
            _table(
                ["node", "constraint", "multiplier"],
                (
                    [_code(c["node"]), _code(c["constraint"]), _value(c["multiplier"])]
                    for c in answer["lagrangian"]
                ),
            ),
        ]
    return "\n\n".join(parts) + "\n"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(head)} |", f"|{' --- |' * len(head)}"]
    lines += [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join(lines)


def _operand(operand: Any) -> str:
    return _code(operand) if isinstance(operand, str) else _value(operand)


def _partials(step: Mapping[str, Any]) -> str:
    if "partials" not in step:
        return ""
    if step["partials"] is None:
        return "not elementwise"
    return ", ".join(f"∂/∂{_code(name)} = {_value(value)}" for name, value in step["partials"].items())


def _contributions(contributions: Iterable[Mapping[str, Any]]) -> str:
    return "; ".join(
        f"{_code(c['to'])} += {_value(c['amount'])} → {_value(c['total'])}" for c in contributions
    )


def _value(value: Any) -> str:
    """A number with ten digits; of an array the beginning."""
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.10g}"
    if isinstance(value, np.ndarray | np.generic) and value.dtype.kind == "f":
        if value.ndim == 0:
            return f"{float(value):.10g}"
        if value.size <= MOST:
            value = np.array([float(f"{v:.6g}") for v in value.ravel()]).reshape(value.shape)
    if isinstance(value, np.ndarray) and value.size > MOST:
        return _cell(f"array of shape {list(value.shape)}")
    return _cell(arrays.encode(value).decode().replace(",", ", "))


def _cell(text: str) -> str:
    """Text that breaks no table and is no markup."""
    shown = text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"
    return "".join(f"\\{c}" if c in "\\|`*_<>[]~" else c for c in shown.replace("\n", " "))


def _code(text: str) -> str:
    """An id as code; a bar would end the cell even there."""
    shown = text.replace("|", "\\|").replace("\n", " ")
    fence = "``" if "`" in shown else "`"
    return f"{fence} {shown} {fence}" if fence == "``" else f"`{shown}`"
