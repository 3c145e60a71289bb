"""The convergence of a minimisation: value and gradient norm over the iterations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from engine.aval import Array
from service.plots.figure import ACCENT, INK, SECOND, name_axes, new_figure, shown
from service.plots.scale import Linear, Logarithmic, number

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MARKED = 60
"""Iterations up to which each is marked."""

MOST_POINTS = 4000
"""Iterations that are drawn."""


def descent(answer: Mapping[str, Any]) -> Figure:
    """minimize's answer as a figure: `history` (of iteration, value and, where there is one, gradient_norm), `of`, `value`,
    `status`, `iterations`.

    Values are drawn on a logarithmic scale, of values that are not all positive what they are above the smallest.
    """
    history: Sequence[Mapping[str, Any]] = answer["history"]
    if len(history) > MOST_POINTS:
        history = [history[k] for k in np.linspace(0, len(history) - 1, MOST_POINTS).astype(int)]
    steps = column(history, "iteration")
    values = column(history, "value")
    norms = column(history, "gradient_norm")
    there = bool(np.isfinite(norms).any())
    figure = new_figure()
    rows = figure.subplots(1 + there, 1, sharex=True, squeeze=False)
    across = Linear(np.append(steps, 0.0) if len(steps) < 2 else steps)
    heights, name = above(values, str(answer.get("of", "value")))
    _line(rows[0][0], across, steps, heights, ACCENT, name, "value")
    if there:
        _line(rows[1][0], across, steps, norms, SECOND, "norm of the gradient", "gradient-norm")
    last = rows[-1][0]
    last.set_xlabel("iteration")
    if across.plain:
        from matplotlib.ticker import MaxNLocator

        last.xaxis.set_major_locator(MaxNLocator(8, integer=True))
    else:
        across.label(last.xaxis)
    line = headline(answer)
    rows[0][0].set_title(
        line, loc="left", fontsize=10.5 if len(line) < 76 else 8.5, pad=8, color=INK, parse_math=False
    )
    figure.align_ylabels()
    return figure


def column(history: Sequence[Mapping[str, Any]], name: str) -> Array:
    """A field of all iterations; NaN where it is missing."""
    found = [entry.get(name) for entry in history]
    return np.array([np.nan if x is None else float(x) for x in found], np.float64)


def above(values: Array, name: str) -> tuple[Array, str]:
    """Numbers that have logarithms, and what they are: the values, or what they are above the smallest of them."""
    finite = values[np.isfinite(values)]
    if not finite.size or (finite > 0).all():
        return values, name
    unit = max(float(np.abs(finite).max()), np.finfo(np.float64).tiny)
    rest = (values / unit - float(finite.min()) / unit) * min(unit, 1e300)
    return rest, f"{shown(name, 24)} above the smallest"


def headline(answer: Mapping[str, Any]) -> str:
    """How it ended, in one line."""
    parts = []
    if answer.get("method") is not None:
        parts.append(shown(answer["method"]))
    if answer.get("value") is not None:
        parts.append(f"{shown(answer.get('of', 'value'), 24)} = {number(float(answer['value']))}")
    if answer.get("iterations") is not None:
        parts.append(f"{answer['iterations']:,} iterations")
    counts = answer.get("evaluations") or {}
    parts += [
        f"{n:,} {kind}s" if kind != "hvp" else f"{n:,} HVPs"
        for kind, n in counts.items()
        if n and kind in ("value", "gradient", "hvp")
    ]
    if answer.get("status") is not None:
        parts.append(str(answer["status"]).replace("_", " "))
    return " · ".join(parts)


def _line(axes: Axes, across: Linear, steps: Array, values: Array, color: str, name: str, gid: str) -> None:
    up = Logarithmic(values)
    axes.grid(True)
    marker = "o" if len(steps) <= MARKED else ""
    (line,) = axes.plot(
        across(steps), up(values), color=color, linewidth=1.6, marker=marker, markersize=3.2, zorder=3
    )
    line.set_gid(gid)
    low, high = across.ends
    margin = 0.02 * (high - low)
    axes.set_xlim(low - margin, high + margin)
    axes.set_ylim(*up.ends)
    up.label(axes.yaxis)
    name_axes(axes, y=name)
