"""What was found: a table for the terminal, JSON, and docs/performance.md."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.machine import about
from benchmarks.row import OURS, Found, Line, Row

NOTES = Path(__file__).parent / "notes"
SCALES = ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"))

INTRODUCTION = """\
# Performance

Measured beside the systems that people would use instead. `make bench` installs them, checks that all answers agree, measures,
and writes this page; what is said below a table is kept in `benchmarks/notes`, everything else comes from the run.

A ratio says how many times as fast as the other system we are, whichever way round the unit is: 2 is half its time, or twice
its throughput. Sides of a comparison take turns (A B C, C B A, …) in one process, or against servers that run side by side; a
time is the median of the rounds, a ratio the median of the rounds' ratios. Each side is called once unmeasured in its turn.
Data sets change from call to call. “With preparing” is `prepare` and `run` as a request does them that comes again with other
numbers: our plan is found by program and shapes, as JAX finds what it has compiled; all other figures of ours inside the
engine are `job.run` alone. Nobody's threads are limited: all take the cores as they come.
"""


def amount(value: float | None, unit: str) -> str:
    """A figure with its unit, three digits."""
    if value is None:
        return ""
    if unit != "s":
        shown = f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
        return f"{shown} {unit}".rstrip()
    scale, name = next((s for s in SCALES if value >= s[0]), SCALES[-1])
    digits = value / scale
    return f"{digits:.0f} {name}" if digits >= 100 else f"{digits:.3g} {name}"


def times(value: float | None) -> str:
    """A ratio."""
    if value is None:
        return ""
    return f"{value:,.0f} ×" if value >= 100 else f"{value:.2f} ×" if value >= 0.1 else f"{value:.2g} ×"


def verdict(line: Line) -> str:
    """Whether the target is met."""
    return {True: "met", False: "**not met**", None: ""}[line.met]


def shown(line: Line) -> str:
    """One line of the terminal's table."""
    target = "" if line.target is None else f"≥ {line.target:.3g} ×"
    return (
        f"{line.work[:48]:48} {line.peer[:26]:26} {amount(line.ours, line.unit):>11} "
        f"{amount(line.theirs, line.unit):>11} {times(line.ratio):>9} {target:>8} {verdict(line).strip('*')}"
    ).rstrip()


def terminal(rows: Sequence[Row], found: Mapping[str, Found]) -> str:
    """The table of ratios."""
    parts = [f"{'work':48} {'beside':26} {'ours':>11} {'theirs':>11} {'ratio':>9} {'target':>8}"]
    for row in rows:
        if row.key not in found:
            continue
        parts.append(f"\n{row.title} ({row.key}): {row.target}")
        parts += [shown(line) for line in found[row.key].lines]
        parts += found[row.key].remarks
    return "\n".join(parts)


def as_document(found: Mapping[str, Found]) -> dict[str, Any]:
    """For --json."""
    return {key: dataclasses.asdict(part) for key, part in found.items()} | {"about": about()}


# ----------------------------------------------------------------------------------------------------------- the page


def markdown(rows: Sequence[Row], found: Mapping[str, Found], machine: Mapping[str, Any]) -> str:
    """docs/performance.md."""
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    parts = [
        INTRODUCTION,
        f"This run: {machine['day']}; {machine['cpu']}, {machine['cores']} cores, {machine['memory']}; {versions}.\n",
        _overview(rows, found),
        "![Cost by size](performance.svg)\n",
    ]
    parts += [_section(row, found[row.key]) for row in rows]
    return "\n".join(parts)


def _overview(rows: Sequence[Row], found: Mapping[str, Found]) -> str:
    lines = ["| work | against | target | met | worst ratio to target |", "| --- | --- | --- | --- | --- |"]
    for row in rows:
        held = [line for line in found[row.key].lines if line.met is not None]
        met = sum(line.met is True for line in held)
        worst = min(
            (line.ratio / line.target for line in held if line.ratio and line.target), default=math.nan
        )
        count = "all" if met == len(held) else f"**{met} of {len(held)}**"
        lines.append(
            f"| [{row.title}](#{anchor(heading(row))}) | {row.against} | {row.target} | {count} | {worst:.2g} |"
        )
    return (
        "\n".join(lines)
        + "\n\nThe last column is the ratio of the worst line by its target; 1 is just met.\n"
    )


def heading(row: Row) -> str:
    """Of a row's section."""
    return row.key.capitalize()


def anchor(text: str) -> str:
    """The link to a heading."""
    return text.lower().replace(" ", "-")


def _section(row: Row, found: Found) -> str:
    lines = [
        f"## {heading(row)}",
        "",
        f"{row.title}. Against: {row.against}. Target: {row.target}.",
        "",
        row.method,
        "",
        "| work | beside | ours | theirs | ratio | target | |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for line in found.lines:
        target = "" if line.target is None else f"≥ {line.target:.3g}"
        ours = [
            amount(line.ours, line.unit),
            amount(line.theirs, line.unit),
            times(line.ratio),
            target,
            verdict(line),
        ]
        # Names of ours that stand where a peer's would are further sides of ours, for orientation.
        peer = f"*{line.peer}*" if line.peer.startswith(OURS) else line.peer
        work = line.work.replace("|", "\\|")  # |x| is no column
        lines.append("| " + " | ".join([work, peer, *ours]).rstrip() + " |")
    lines += ["", *(f"{remark}\n" for remark in found.remarks)]
    note = NOTES / f"{row.key}.md"
    if note.exists():
        lines += [note.read_text("utf-8").strip(), ""]
    return "\n".join(lines)
