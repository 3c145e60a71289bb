"""The error curve of numerical derivatives: forward and central differences over steps of many sizes.

Both axes are logarithmic, so that each branch is a straight line. With small steps rounding decides, and errors grow as 1/h;
with large ones truncation, and they grow as h (forward) or h² (central). The best step is where the two meet.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from engine.aval import Array
from service.plots.contour import legend
from service.plots.figure import ACCENT, INK, SECOND, name_axes, new_figure, shown
from service.plots.scale import Logarithmic, number

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_PANELS = 6
"""Inputs that are drawn, each by itself."""

FEWEST = 3
"""Points that a branch is drawn through, at least."""

DASHES: Mapping[str, Any] = {
    "complex step": (0, (4, 2)),
    "autodiff": (0, (6, 2, 1, 2)),
    "expected": (0, (1, 1)),
}

SLOPES = {1: "∝ h", 2: "∝ h²", -1: "∝ 1/h"}

QUOTIENTS = {"forward": (ACCENT, 1, "o"), "central": (SECOND, 2, "s")}
"""Colour, order of the truncation error, and marker."""


def error_curve(answer: Mapping[str, Any]) -> Figure:
    """A check's answer as a figure: the errors of each input's difference quotients; those that disagree come first."""
    inputs = sorted(answer["inputs"].items(), key=lambda item: bool(item[1]["ok"]))
    known = [(name, found) for name, found in inputs if found["curve"]]
    some = known[:MOST_PANELS] or inputs[:1]
    columns = 1 if len(some) == 1 else 2
    rows = max(1, -(-len(some) // columns))
    figure = new_figure(7.2 * (1 if columns == 1 else 1.5), 5.4 if rows == 1 else 3.9 * rows)
    panels = figure.subplots(rows, columns, squeeze=False)
    for axes, (name, found) in zip(panels.flat, some, strict=False):
        _panel(axes, f"d {shown(answer['of'], 20)} / d {shown(name, 20)}", found)
    for axes in panels.flat[len(some) :]:
        axes.set_axis_off()
    if len(known) > len(some):
        figure.supxlabel(f"{len(some)} of {len(known)} inputs", fontsize=9)
    return figure


def _panel(axes: Axes, name: str, found: Mapping[str, Any]) -> None:
    curve = sorted(found["curve"], key=lambda point: float(point["h"]))
    h = np.array([float(p["h"]) for p in curve])
    errors = {q: np.array([float(p[f"{q}_error"]) for p in curve]) for q in QUOTIENTS}
    across = Logarithmic(h)
    levels = _levels(found)
    up = Logarithmic(np.concatenate([*errors.values(), list(levels.values())]))
    low, high = up.ends
    up.ends = (low - 0.08 * (high - low), high)  # for the numbers below the stars
    axes.grid(True)
    for quotient, (color, order, marker) in QUOTIENTS.items():
        error = errors[quotient]
        _branches(axes, h, error, order, color)
        (line,) = axes.plot(
            across(h), up(error), color=color, linewidth=1.4, marker=marker, markersize=3.6, zorder=3, label=quotient,
        )  # fmt: skip
        line.set_gid(f"{quotient}-error")
        _exact(axes, across, up, h, error, color)
        _best(axes, across, up, h, error, found["best_step"][quotient], quotient)
    for label, level in levels.items():
        if level > 0:
            place = float(up(level))
            line = axes.axhline(
                place, color="#57606a", linewidth=1.0, linestyle=DASHES[label], zorder=2, label=label
            )
            line.set_gid(label.replace(" ", "-"))
    axes.set_xlim(*across.ends)
    axes.set_ylim(*up.ends)
    across.label(axes.xaxis)
    up.label(axes.yaxis)
    name_axes(axes, x="step h", y="error")
    legend(axes)
    verdict = "" if found["ok"] else "   disagrees"
    # Of a valley the lower corners are empty.
    axes.text(
        0.02, 0.03, shown(name + verdict, 60), transform=axes.transAxes, ha="left", va="bottom", fontsize=10,
        parse_math=False,
    )  # fmt: skip
    if not any(np.isfinite(e).any() for e in errors.values()):
        what = "no errors are known" if curve else "no entries were looked at"
        axes.text(0.5, 0.5, what, transform=axes.transAxes, ha="center", va="center", color="#57606a")


def _levels(found: Mapping[str, Any]) -> dict[str, float]:
    """Errors that do not depend on h: of what is wrong, or else of complex steps."""
    worst = found.get("worst") or {}
    if not found["ok"] and "numerical" in worst:
        right = float(worst["numerical"])
        return {who: abs(float(worst[who]) - right) for who in ("autodiff", "expected") if who in worst}
    error = found["complex_step_error"]
    return {} if error is None else {"complex step": float(error)}


def _branches(axes: Axes, h: Array, error: Array, order: int, color: str) -> None:
    """The two straight lines: through the median of error/h^order above the best step, and of error·h below it."""
    usable = np.isfinite(error) & (error > 0)
    if usable.sum() < FEWEST:
        return
    least = h[usable][np.argmin(error[usable])]
    for power, part, gid in ((order, h > least, "truncation"), (-1, h < least, "rounding")):
        own = usable & part
        if own.sum() < FEWEST:
            continue
        factor = np.median(np.log10(error[own]) - power * np.log10(h[own]))
        ends = np.log10(np.array([h[own].min(), h[own].max()]))
        (line,) = axes.plot(
            ends,
            factor + power * ends,
            color=color,
            linewidth=0.9,
            linestyle=(0, (2, 2)),
            alpha=0.8,
            zorder=2,
        )
        line.set_gid(f"{gid}-{order}")
        if power == -1 and order == 1:
            continue  # written once: the two lie close together
        middle = ends.mean()
        axes.annotate(
            SLOPES[power], (middle, factor + power * middle), xytext=(8 if power > 0 else -8, -10 if power > 0 else -12),
            textcoords="offset points", color=color, fontsize=9.5, ha="left" if power > 0 else "right",
        )  # fmt: skip


def _exact(axes: Axes, across: Logarithmic, up: Logarithmic, h: Array, error: Array, color: str) -> None:
    """Errors of exactly 0, which have no logarithm: at the lower edge."""
    zero = error == 0
    if zero.any():
        edge = np.full(int(zero.sum()), up.ends[0])
        (marks,) = axes.plot(
            across(h[zero]),
            edge,
            linestyle="",
            marker="v",
            markersize=6,
            color=color,
            clip_on=False,
            zorder=3,
        )
        marks.set_gid("exact")


def _best(
    axes: Axes,
    across: Logarithmic,
    up: Logarithmic,
    h: Array,
    error: Array,
    best: float | None,
    quotient: str,
) -> None:
    if best is None:
        return
    value = error[int(np.argmin(np.abs(np.log(h) - np.log(best))))]
    place = up.ends[0] if value == 0 else float(up(value))
    (mark,) = axes.plot(
        float(across(best)), place, linestyle="", marker="*", markersize=14, color="#ffd33d", markeredgecolor=INK,
        markeredgewidth=0.9, clip_on=False, zorder=4,
    )  # fmt: skip
    mark.set_gid(f"best-{quotient}")
    if value != 0:
        axes.annotate(
            number(float(best), 2), (float(across(best)), place), xytext=(0, -11), textcoords="offset points", fontsize=9,
            ha="center", va="top", color=INK,
        )  # fmt: skip
