"""The answer of `compare` as a Markdown table: the argument for reverse mode in figures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from service.tables.markdown import code, number_text, table, value_text

NAMES = {
    "reverse": "reverse mode",
    "forward": "forward mode",
    "numerical": "numerical",
    "symbolic": "symbolic",
}


def compare_table(answer: Mapping[str, Any]) -> str:
    """A table with a row for each way, what stands in it, and what it was measured against."""
    methods: Mapping[str, Mapping[str, Any]] = answer["methods"]
    reference: Mapping[str, Any] = answer["reference"]
    head = ["way", "evaluations", "passes", "operations", "time", "largest relative error", "size"]
    parts = [
        f"## The gradient of {code(answer['of'])}, four ways",
        f"At value {value_text(answer['value'])}.",
        table(head, ([NAMES[name], *_row(method)] for name, method in methods.items())),
        "Evaluations are of the program, passes carry derivatives, operations are those of the whole gradient, and the size is "
        "how many operations are written down: symbolic formulas share no intermediate results.",
    ]
    missing = [f"- {NAMES[n]}: {_plain(m['reason'])}" for n, m in methods.items() if not m["available"]]
    if missing:
        parts += ["Not computed:", "\n".join(missing)]
    if reference["available"]:
        parts.append(
            f"Errors are against high-precision arithmetic, right to {reference['digits']} digits "
            f"({reference['entries']} {'entry' if reference['entries'] == 1 else 'entries'})."
        )
    else:
        parts.append(f"There is no high-precision reference: {_plain(reference['reason'])}.")
    if answer["warnings"]:
        parts += ["### Warnings", "\n".join(f"- {code(w['detail'])}" for w in answer["warnings"])]
    return "\n\n".join(parts) + "\n"


def _row(method: Mapping[str, Any]) -> list[str]:
    time, error = method["time_ms"], method["max_rel_error"]
    return [
        _count(method["evaluations"]),
        _count(method["passes"]),
        _count(method["operations"]),
        "" if time is None else f"{time:.4g} ms",
        "" if error is None else number_text(float(f"{error:.2g}")),
        _count(method["size"]),
    ]


def _count(number: float | None) -> str:
    """Whole up to a million million, then by its order."""
    if number is None:
        return ""
    return f"{number:,.0f}" if number < 1e12 else number_text(float(f"{number:.3g}"))


def _plain(text: str) -> str:
    """A reason, which may quote ids."""
    return code(text) if set(text) & set("`|\\*_<>[]~") else text
