"""The contour plot of a landscape over two axes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from engine.aval import Array
from service.plots.figure import INK, name_axes, new_figure, shown
from service.plots.scale import Levels, Linear, number

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_ROWS = 256
"""Lines of the grid that are drawn along each axis: more of them than there are dots would not be seen."""

BANDS = 28
"""Colours of the surface."""

MOST_CROSSED = 120_000
"""Bands that neighbours on the grid are apart, in all: a surface of more is noise, and painted point by point."""

MOST_VERTICES = 15_000
"""Points of contour lines up to which these are lines in an SVG, and not painted."""

ARROWS = 17
"""Arrows along each axis."""

MOST_DOTS = 80
"""Points of a path that are marked; of a longer one the line alone is drawn."""

MOST_POINTS = 5000
"""Points of a path that are drawn."""


def contour(answer: Mapping[str, Any]) -> Figure:
    """A landscape's answer as a figure: surface, gradients, path and minimum, as far as they are there.

    Over fewer than two different values of an axis it is the curve along the other one.
    """
    first, second = answer["axes"]
    x, y = (np.asarray(a["values"], np.float64) for a in (first, second))
    if len(np.unique(x)) < 2 or len(np.unique(y)) < 2:
        from service.plots.curve import curve

        return curve(_line(answer, 1 if len(np.unique(x)) < 2 else 0))
    surface = np.asarray(answer["surface"], np.float64)
    figure = new_figure()
    axes = figure.add_subplot()
    across, up = Linear(x), Linear(y)
    rows, columns = _chosen(x), _chosen(y)
    levels = Levels(surface)
    _background(axes, surface)
    _surface(
        figure, axes, levels, across(x[rows]), up(y[columns]), surface[np.ix_(rows, columns)].T, answer["of"]
    )
    axes.set_xlim(*across.ends)
    axes.set_ylim(*up.ends)
    if "gradients" in answer:
        _gradients(figure, axes, across, up, x, y, surface, answer["gradients"])
    labels = [first["label"], second["label"]]
    if answer.get("path"):
        _path(axes, across, up, answer["path"], labels)
    if answer["minimum"] is not None:
        _minimum(axes, across, up, answer["minimum"], labels)
    across.label(axes.xaxis)
    up.label(axes.yaxis)
    name_axes(axes, *labels)
    for side in axes.spines.values():
        side.set_visible(True)
    legend(axes)
    return figure


def _line(answer: Mapping[str, Any], along: int) -> dict[str, Any]:
    """The landscape along one of its axes, at the first value of the other."""
    other = answer["axes"][1 - along]
    label = answer["axes"][along]["label"]

    def cut(array: Any) -> Array:
        found: Array = np.asarray(array)[:, 0] if along == 0 else np.asarray(array)[0, :]
        return found

    def point(given: Mapping[str, Any]) -> dict[str, Any]:
        return {"value": given["value"], "at": {label: given["at"][label]}}

    line = {
        "of": answer["of"],
        "axes": [answer["axes"][along]],
        "surface": cut(answer["surface"]),
        "minimum": None if answer["minimum"] is None else point(answer["minimum"]),
        "note": f"{other['label']} = {number(float(np.asarray(other['values']).flat[0]), 6)}",
    }
    if "gradients" in answer:
        line["gradients"] = [cut(answer["gradients"][along])]
    if answer.get("path"):
        line["path"] = [point(p) for p in answer["path"]]
    return line


def _chosen(values: Array) -> Array:
    """Which lines of the grid are drawn, in rising order, each place once."""
    order = np.unique(values, return_index=True)[1]
    return order if len(order) <= MOST_ROWS else order[np.linspace(0, len(order) - 1, MOST_ROWS).astype(int)]


def _background(axes: Axes, surface: Array) -> None:
    """What is seen where there is no height."""
    if np.isfinite(surface).all():
        return
    from matplotlib.patches import Rectangle

    patch = Rectangle(
        (0, 0), 1, 1, transform=axes.transAxes, facecolor="#eef0f2", hatch="////", linewidth=0, zorder=0
    )
    patch.set_label("not finite")
    patch.set_gid("not-finite")
    axes.add_patch(patch)


def _surface(
    figure: Figure, axes: Axes, levels: Levels, x: Array, y: Array, surface: Array, of: object
) -> None:
    from matplotlib.colors import BoundaryNorm, Normalize

    if levels.empty:
        axes.text(
            0.5, 0.5, "not finite anywhere", transform=axes.transAxes, ha="center", va="center", fontsize=13
        )
        return
    heights = np.ma.masked_invalid(levels(surface))
    edges = np.linspace(0.0, 1.0, BANDS + 1)
    bands = edges.copy()
    bands[0], bands[-1] = -0.001, 1.001  # the lowest and the highest belong to their bands
    crossed = BANDS * sum(float(np.abs(np.diff(heights, axis=k)).sum()) for k in (0, 1))
    if crossed > MOST_CROSSED:
        filled: Any = axes.pcolormesh(
            x, y, heights, shading="nearest", cmap="viridis", norm=BoundaryNorm(bands, 256), zorder=1
        )
    else:
        filled = axes.contourf(
            x, y, heights, levels=bands, cmap="viridis", norm=Normalize(0.0, 1.0), zorder=1
        )
    filled.set_rasterized(True)
    if not levels.flat and crossed <= MOST_CROSSED:
        lines = axes.contour(
            x, y, heights, levels=edges[2:-1:2], colors="white", linewidths=0.5, alpha=0.45, zorder=1.5
        )
        vertices = sum(len(np.asarray(p.vertices)) for p in lines.get_paths())
        lines.set_rasterized(vertices > MOST_VERTICES)
    bar = figure.colorbar(filled, ax=axes, fraction=0.05, pad=0.025, aspect=28, drawedges=False)
    bar.solids.set_rasterized(True)  # type: ignore[union-attr]  # there are some, of a filled contour
    ticks = levels.ticks()
    bar.set_ticks([t for t, _ in ticks], labels=[text for _, text in ticks])
    bar.ax.set_ylim(0.0, 1.0)
    bar.ax.minorticks_off()
    bar.outline.set_visible(False)
    bar.ax.tick_params(length=3)
    name = shown(of, 32)
    if len(name) <= 6:
        bar.ax.set_title(name, fontsize=10, loc="left", parse_math=False)
    else:
        bar.ax.set_ylabel(name, parse_math=False)


def _gradients(
    figure: Figure,
    axes: Axes,
    across: Linear,
    up: Linear,
    x: Array,
    y: Array,
    surface: Array,
    gradients: Sequence[Any],
) -> None:
    """Arrows uphill, at right angles to the contours as they are drawn (not as they would be on paper of other proportions).
    Their lengths grow with the cube root of the slope: slopes differ by more than lengths can."""
    rows, columns = _thinned(_chosen(x)), _thinned(_chosen(y))
    place = np.ix_(rows, columns)
    u = np.asarray(gradients[0], np.float64)[place]
    v = np.asarray(gradients[1], np.float64)[place]
    good = np.isfinite(u) & np.isfinite(v) & np.isfinite(surface[place])
    u, v = np.where(good, u, 0.0), np.where(good, v, 0.0)
    # Per inch of paper; of each only the ratio to the largest counts, and may be of any size.
    width, height = figure.get_size_inches() * (0.75, 0.8)
    sx, sy = (across.high / 2 - across.low / 2) / width, (up.high / 2 - up.low / 2) / height
    steepest = max(float(np.abs(u).max(initial=0.0)), float(np.abs(v).max(initial=0.0)))
    if not steepest > 0:
        return
    u, v = u / steepest * (sx / max(sx, sy)), v / steepest * (sy / max(sx, sy))
    size = np.hypot(u, v)
    top = float(size.max())
    if not top > 0:
        return
    length = np.cbrt(size / top)
    shown_ones = size > 0
    unit = 0.8 * min(width / max(len(rows), 2), height / max(len(columns), 2))
    px, py = np.meshgrid(across(x[rows]), up(y[columns]), indexing="ij")
    scaled = np.where(shown_ones, unit * (0.4 + 0.6 * length) / np.where(shown_ones, size, 1.0), 0.0)
    arrows = axes.quiver(
        px[shown_ones], py[shown_ones], (u * scaled)[shown_ones], (v * scaled)[shown_ones],
        angles="uv", units="inches", scale_units="inches", scale=1.0, pivot="mid", width=0.012, headwidth=4.5,
        headlength=5, headaxislength=4.5, color="white", alpha=0.85, zorder=2,
    )  # fmt: skip
    arrows.set_gid("gradients")
    axes.plot(
        [],
        [],
        color="#8c959f",
        linewidth=1.2,
        marker=">",
        markersize=5,
        markevery=[1],
        label="gradient, uphill",
    )


def _thinned(lines: Array) -> Array:
    """Some of the lines, of equal distance, and none at the very edge, where half of an arrow would be cut off."""
    last = len(lines) - 1
    if last < ARROWS:
        return lines
    step = -(-last // ARROWS)
    steps = last // step - 1
    return lines[(last - step * steps) // 2 :][: step * steps + 1 : step]


def _path(
    axes: Axes, across: Linear, up: Linear, path: Sequence[Mapping[str, Any]], labels: Sequence[str]
) -> None:
    from matplotlib import patheffects

    points = np.array([[float(p["at"][label]) for label in labels] for p in path])
    if len(points) > MOST_POINTS:
        points = points[np.linspace(0, len(points) - 1, MOST_POINTS).astype(int)]
    x, y = across(points[:, 0]), up(points[:, 1])
    many = len(points) > MOST_DOTS
    (line,) = axes.plot(
        x, y, color="white", linewidth=1.4, marker="" if many else "o", markersize=3.2, markeredgewidth=0.6,
        markeredgecolor=INK, solid_joinstyle="round", label=counted(len(path)), zorder=3,
        path_effects=[patheffects.Stroke(linewidth=3.0, foreground=INK), patheffects.Normal()],
    )  # fmt: skip
    line.set_gid("path")
    there = np.flatnonzero(np.isfinite(x) & np.isfinite(y))
    if len(there):
        first = there[0]
        (start,) = axes.plot(
            x[first], y[first], linestyle="", marker="o", markersize=7, color="white", markeredgecolor=INK,
            markeredgewidth=1.2, zorder=3.5,
        )  # fmt: skip
        start.set_gid("path-start")


def legend(axes: Axes) -> None:
    """What is what, above the picture: in one line if it fits."""
    texts = axes.get_legend_handles_labels()[1]
    if texts:
        columns = len(texts) if sum(map(len, texts)) + 4 * len(texts) <= 76 else 2
        axes.legend(
            loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=columns, borderaxespad=0.2, handletextpad=0.5
        )


def counted(points: int) -> str:
    """What a path is called."""
    return f"path of {points:,} point{'s' * (points != 1)}"


def _minimum(
    axes: Axes, across: Linear, up: Linear, minimum: Mapping[str, Any], labels: Sequence[str]
) -> None:
    x, y = (float(minimum["at"][label]) for label in labels)
    label = f"minimum {number(float(minimum['value']))} at ({number(x, 3)}, {number(y, 3)})"
    (mark,) = axes.plot(
        across(x), up(y), linestyle="", marker="*", markersize=15, color="#ffd33d", markeredgecolor=INK,
        markeredgewidth=0.9, label=label, clip_on=False, zorder=4,
    )  # fmt: skip
    mark.set_gid("minimum")
