"""What was found, as a table in the terminal and as docs/performance.md with its plot."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.row import Found, Line, Row

NOTES = Path(__file__).parent / "notes"


SCALES = ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"))


def amount(value: float | None, unit: str) -> str:
    """A figure with its unit, three digits."""
    if value is None:
        return ""
    if unit != "s":
        return f"{value:,.0f} {unit}" if value >= 100 else f"{value:.3g} {unit}"
    scale, name = next((s for s in SCALES if value >= s[0]), SCALES[-1])
    digits = value / scale
    return f"{digits:.0f} {name}" if digits >= 100 else f"{digits:.3g} {name}"


def verdict(line: Line) -> str:
    """Whether the target is met."""
    return {True: "met", False: "NOT MET", None: ""}[line.met]


def shown(line: Line) -> str:
    """One line of the terminal's table."""
    times = "" if line.ratio is None else f"{line.ratio:8.2f} ×"
    target = "" if line.target is None else f"≥ {line.target:.3g} ×"
    return (
        f"{line.work[:46]:46} {line.peer[:30]:30} {amount(line.ours, line.unit):>10} "
        f"{amount(line.theirs, line.unit):>10} {times:>10} {target:>8} {verdict(line)}"
    ).rstrip()


def terminal(rows: Sequence[Row], found: Mapping[str, Found]) -> str:
    """The table of ratios."""
    parts = [f"{'work':46} {'beside':30} {'ours':>10} {'theirs':>10} {'ratio':>10} {'target':>8}"]
    for row in rows:
        if row.key not in found:
            continue
        parts.append(f"\n{row.title} ({row.key}), {row.target}")
        parts += [shown(line) for line in found[row.key].lines]
        parts += found[row.key].remarks
    return "\n".join(parts)


def as_document(found: Mapping[str, Found]) -> dict[str, Any]:
    """For --json."""
    return {key: dataclasses.asdict(part) for key, part in found.items()}


def markdown(rows: Sequence[Row], found: Mapping[str, Found]) -> str:
    """docs/performance.md."""
    raise NotImplementedError


def write_plot(found: Mapping[str, Found], path: Path) -> None:
    """docs/performance.svg."""
    raise NotImplementedError
