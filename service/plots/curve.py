"""The curve of a landscape over one axis, with its derivative below it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from engine.aval import Array
from service.plots.contour import counted, legend
from service.plots.figure import ACCENT, INK, SECOND, name_axes, new_figure, shown
from service.plots.scale import LARGE, Linear, Logarithmic, number

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_POINTS = 4000
"""Points of a curve that are drawn."""

MARKED = 40
"""Points of a curve up to which each is marked."""

DECADES = 4
"""Positive values over more powers of ten than this are drawn on a logarithmic scale."""


def curve(answer: Mapping[str, Any]) -> Figure:
    """A landscape's answer over one axis as a figure: the values with minimum and path, and below them the derivative."""
    axis = answer["axes"][0]
    x = np.asarray(axis["values"], np.float64)
    y = np.asarray(answer["surface"], np.float64)
    order = np.argsort(x, kind="stable")
    if len(order) > MOST_POINTS:
        order = order[np.linspace(0, len(order) - 1, MOST_POINTS).astype(int)]
    across = Linear(x)
    figure = new_figure()
    derivatives = answer.get("gradients")
    rows = figure.subplots(
        2 if derivatives else 1, 1, sharex=True, squeeze=False, height_ratios=[3, 2][: 1 + bool(derivatives)]
    )
    axes: Axes = rows[0][0]
    up = _scale(np.concatenate([y, [float(p["value"]) for p in answer.get("path") or ()]]))
    name = str(answer["of"]) + (f"   at {answer['note']}" if "note" in answer else "")
    draw(axes, across(x[order]), up(y[order]), ACCENT, gid="curve")
    _limits(axes, across, up)
    if answer.get("path"):
        points = [(float(p["at"][axis["label"]]), float(p["value"])) for p in answer["path"]]
        px, py = across([p[0] for p in points]), up([p[1] for p in points])
        (line,) = axes.plot(
            px,
            py,
            color=SECOND,
            linewidth=0.9,
            marker="o",
            markersize=3.6,
            label=counted(len(points)),
        )
        line.set_gid("path")
    if answer["minimum"] is not None:
        low = answer["minimum"]
        (mark,) = axes.plot(
            across(float(low["at"][axis["label"]])), up(float(low["value"])), linestyle="", marker="*", markersize=14,
            color="#ffd33d", markeredgecolor=INK, markeredgewidth=0.9, label=f"minimum {number(float(low['value']))}",
            clip_on=False, zorder=4,
        )  # fmt: skip
        mark.set_gid("minimum")
    name_axes(axes, y=shown(name, 40))
    legend(axes)
    if derivatives:
        below: Axes = rows[1][0]
        slope = np.asarray(derivatives[0], np.float64)
        steep = _scale(slope)
        if isinstance(steep, Linear):
            steep = Linear(np.append(slope, 0.0))
            below.axhline(float(steep(0.0)), color="#8c959f", linewidth=0.8, zorder=1)
        draw(below, across(x[order]), steep(slope[order]), SECOND, gid="derivative")
        _limits(below, across, steep)
        name_axes(below, y=f"d {shown(answer['of'], 16)} / d {shown(axis['label'], 16)}")
    last = rows[-1][0]
    across.label(last.xaxis)
    name_axes(last, x=axis["label"])
    figure.align_ylabels()
    return figure


def _scale(values: Array) -> Linear | Logarithmic:
    """Logarithmic for positive values over many decades."""
    finite = values[np.isfinite(values)]
    if finite.size and (finite > 0).all():
        decades = np.log10(finite.max()) - np.log10(finite.min())
        if decades > DECADES and (finite.max() > LARGE or np.median(finite) < 0.02 * finite.max()):
            return Logarithmic(finite)
    return Linear(values)


def draw(axes: Axes, x: Array, y: Array, color: str, *, gid: str) -> None:
    """A curve; where it has no values the paper is grey."""
    axes.grid(True)
    good = np.isfinite(y)
    lonely = good & ~np.append(good[1:], False) & ~np.insert(good[:-1], 0, False)
    every = len(x) <= MARKED
    (line,) = axes.plot(
        x, y, color=color, linewidth=1.8, marker="o" if every else "", markersize=3.2, zorder=3
    )
    line.set_gid(gid)
    if lonely.any() and not every:
        axes.plot(x[lonely], y[lonely], color=color, linestyle="", marker=".", markersize=3, zorder=3)
    if not good.all() and len(x) > 1:
        # From the middle between a good point and a bad one.
        middle = (x[1:] + x[:-1]) / 2
        begins, ends = np.insert(middle, 0, x[0]), np.append(middle, x[-1])
        change = np.diff(np.concatenate([[False], ~good, [False]]).astype(int))
        for begin, end in list(
            zip(np.flatnonzero(change == 1), np.flatnonzero(change == -1) - 1, strict=True)
        )[:200]:
            band = axes.axvspan(
                begins[begin],
                ends[end],
                facecolor="#eef0f2",
                hatch="////",
                edgecolor="#c8ced4",
                linewidth=0,
                zorder=0.5,
            )
            band.set_gid("not-finite")


def _limits(axes: Axes, across: Linear, up: Linear | Logarithmic) -> None:
    low, high = across.ends
    axes.set_xlim(low, high)
    low, high = up.ends
    margin = 0.06 * (high - low) if isinstance(up, Linear) else 0.0
    axes.set_ylim(low - margin, high + margin)
    up.label(axes.yaxis)
