"""docs/performance.svg: cost by size on a log-log plot, legible on light and on dark pages."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.row import OURS, Curve, Found

INK, FAINT, COLOURS = "#010203", "#040506", ("#070809", "#0a0b0c", "#0d0e0f", "#101112")
"""Stand-ins that Matplotlib draws with; the style sheet of the file then says what each is on a light and on a dark page."""
LIGHT = {
    INK: "#1f2328",
    FAINT: "#d1d9e0",
    **dict(zip(COLOURS, ("#0969da", "#bc4c00", "#1a7f37", "#8250df"), strict=True)),
}
DARK = {
    INK: "#e6edf3",
    FAINT: "#3d444d",
    **dict(zip(COLOURS, ("#4493f8", "#f0883e", "#3fb950", "#ab7df8"), strict=True)),
}


def write_plot(found: Mapping[str, Found], path: Path) -> None:
    """One panel for each kind of size."""
    import matplotlib as mpl

    mpl.use("svg")
    from matplotlib import pyplot as plt

    curves = [c for part in found.values() for c in part.curves]
    curves.sort(key=lambda c: c.name != OURS)
    axes = list(dict.fromkeys(c.axis for c in curves))
    settings = {
        "svg.fonttype": "none", "svg.hashsalt": "wengert", "font.family": "sans-serif", "font.size": 10,
        "text.color": INK, "axes.labelcolor": INK, "axes.edgecolor": FAINT, "xtick.color": INK, "ytick.color": INK,
        "axes.spines.top": False, "axes.spines.right": False,
    }  # fmt: skip
    with mpl.rc_context(settings):
        figure, panels = plt.subplots(1, len(axes), figsize=(9, 3.8), squeeze=False, layout="constrained")
        for panel, axis in zip(panels[0], axes, strict=True):
            _panel(panel, axis, [c for c in curves if c.axis == axis])
        figure.savefig(path, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
        plt.close(figure)
    path.write_text(themed(path.read_text("utf-8")), "utf-8")


def _panel(panel: object, axis: str, curves: Sequence[Curve]) -> None:
    from matplotlib.axes import Axes

    assert isinstance(panel, Axes)
    for curve, colour in zip(curves, COLOURS, strict=False):
        panel.loglog(curve.sizes, curve.seconds, "-o", color=colour, lw=1.8, ms=4.5)
        panel.annotate(
            curve.name, (curve.sizes[-1], curve.seconds[-1]), (-8, 0), textcoords="offset points", color=colour,
            ha="right", va="bottom",
        )  # fmt: skip
    # A line of slope one through the largest size, to compare with.
    first = max(curves, key=lambda c: c.sizes[-1])
    n, t = first.sizes[-1], first.seconds[-1]
    panel.loglog([first.sizes[0], n], [t * first.sizes[0] / n, t], "--", color=FAINT, lw=1.2, zorder=0)
    panel.set_xlabel(axis)
    panel.set_ylabel("seconds")
    panel.grid(True, which="major", color=FAINT, lw=0.5)
    panel.set_axisbelow(True)
    panel.minorticks_off()


def themed(svg: str) -> str:
    """The stand-ins as variables of a style sheet that follows the reader's colour scheme."""
    names = {colour: f"--c{k}" for k, colour in enumerate(LIGHT)}
    for colour, name in names.items():
        svg = svg.replace(colour, f"var({name})")
    light = "".join(f"{names[c]}:{value};" for c, value in LIGHT.items())
    dark = "".join(f"{names[c]}:{value};" for c, value in DARK.items())
    style = f"<style>:root{{{light}}}@media (prefers-color-scheme: dark){{:root{{{dark}}}}}</style>"
    # Attributes know no variables; style properties do.
    svg = re.sub(r' (fill|stroke)="(var\([^"]+\))"', r' style="\1: \2"', svg)
    return re.sub(r"(<svg\b[^>]*>)", rf"\1\n {style}", svg, count=1)
