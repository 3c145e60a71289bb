"""What all pictures have in common: paper, ink, fonts, and the way to bytes.

A picture is a function that makes a figure (`new_figure`) and puts artists on it; `plot` calls it and prints what it made.
The rules, since the names of things are a client's and Matplotlib is not made for servers:

- Only its object-oriented interface is used; pyplot keeps state of its own. What it has in globals (settings, caches of fonts
  and glyphs) is set once, when it is loaded, and otherwise touched by one thread at a time.
- Text of a client goes through `shown`, and to Matplotlib with `parse_math=False`: a `$` starts no formula.
- The same data give the same bytes: no dates, no random ids, the fonts that Matplotlib brings along, no settings of a user.
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
import re
import shutil
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from engine.execute.meter import Meter
from service.media import DRAWINGS
from service.problems import problem

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PICTURES: Final = (DRAWINGS["svg"], DRAWINGS["png"])
"""Media types of pictures."""

PLOT_SECONDS: Final = 1.0
"""About what drawing takes, the first time included."""

WIDTH, HEIGHT = 7.2, 5.4
"""Inches."""

DPI: Final = 150
"""Dots an inch of a PNG, and of what is painted in an SVG."""

MOST_TEXT: Final = 48
"""Longest text of a client, in characters."""

INK, FAINT, ACCENT, SECOND = "#24292f", "#d0d7de", "#0b62a8", "#c4481f"
"""Text and axes; grids; the first and the second curve (distinct in grey, and to the colour-blind)."""

_STYLE: Final[dict[str, Any]] = {
    "svg.hashsalt": "wengert",  # ids are made of what they name, and not at random
    "svg.fonttype": "path",  # looks the same everywhere; and no text of a client is text in it
    "path.simplify": True,
    "font.family": ["DejaVu Sans"],
    "font.size": 10.0,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": "#57606a",
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.labelsize": 10.5,
    "axes.formatter.useoffset": False,
    "axes.formatter.limits": (-4, 5),
    "xtick.color": "#57606a",
    "ytick.color": "#57606a",
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.labelsize": 9.0,
    "ytick.labelsize": 9.0,
    "grid.color": FAINT,
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "legend.fontsize": 9.0,
    "hatch.color": "#b5bcc4",
    "hatch.linewidth": 0.7,
}

_log = logging.getLogger("wengert.plots")
_drawing = threading.Lock()
_loaded = False


def check_available() -> None:
    """Raise `Problem` (drawing-unavailable) where Matplotlib is not installed. Does not import it."""
    if find_spec("matplotlib") is None:
        raise problem(
            "drawing-unavailable",
            "Matplotlib is not installed on this server, so that it draws no curves and landscapes (the extra `plots` of the "
            "distribution); the answer as application/json has all the numbers.",
        )


def plot(make: Callable[[], Figure], media: str, meter: Meter) -> bytes:
    """The picture that `make` draws, as an SVG document or a PNG image.

    It is called when it is this picture's turn. Raises `Problem` (drawing-unavailable), and what the meter raises while it
    waits.
    """
    check_available()
    while not _drawing.acquire(timeout=0.05):
        meter.look()
    try:
        meter.look()
        _load()
        with np.errstate(all="ignore"):
            return _printed(make(), media)
    finally:
        _drawing.release()


def _printed(figure: Figure, media: str) -> bytes:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    out = io.BytesIO()
    if media == DRAWINGS["png"]:
        FigureCanvasAgg(figure).print_png(out, metadata={"Software": None})  # type: ignore[no-untyped-call]
        return out.getvalue()
    nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    FigureCanvasSVG(figure).print_svg(out, metadata=nothing)  # type: ignore[no-untyped-call]
    # Its document type is at an address that nobody should have to ask.
    text = re.sub(rb"<!DOCTYPE[^>]*>\n?", b"", out.getvalue(), count=1)
    return _LINES.sub(lambda line: _DIGITS.sub(rb"\1", line[0]), text)


_LINES = re.compile(rb' d="[^"]*"')
_DIGITS = re.compile(rb"(\.[0-9]{2})[0-9]+")
"""A hundredth of a point, of which there are 72 an inch, is fine enough for a line."""


def new_figure(width: float = WIDTH, height: float = HEIGHT) -> Figure:
    """An empty figure, whose parts make room for one another."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=DPI, layout="constrained", facecolor="white")
    figure.get_layout_engine().set(w_pad=0.08, h_pad=0.08)  # type: ignore[call-arg, union-attr]  # of a constrained layout
    return figure


# ------------------------------------------------------------------------------------------------------------ text


def shown(text: object, most: int = MOST_TEXT) -> str:
    """Text of a client as it can be drawn: short, on one line, in glyphs that the font has (□ for others)."""
    known = _glyphs()
    cleaned = "".join(
        c if c.isprintable() and ord(c) in known else " " if c.isspace() else "\N{WHITE SQUARE}"
        for c in str(text)[: most + 1]
    )
    return cleaned if len(cleaned) <= most else cleaned[: most - 1] + "…"


def _glyphs() -> frozenset[int]:
    """Code points that the font has."""
    global _known
    if _known is None:
        from matplotlib.font_manager import fontManager
        from matplotlib.ft2font import FT2Font

        _known = frozenset(FT2Font(fontManager.findfont("DejaVu Sans")).get_charmap())
    return _known


_known: frozenset[int] | None = None
"""Set once, while drawing."""


def name_axes(axes: Axes, x: object = None, y: object = None) -> None:
    """Labels of axes, which are a client's text."""
    if x is not None:
        axes.set_xlabel(shown(x), parse_math=False)
    if y is not None:
        axes.set_ylabel(shown(y), parse_math=False)


def title(axes: Axes, text: object) -> None:
    """A headline, on the left."""
    axes.set_title(shown(text, 90), loc="left", fontsize=11, pad=8, parse_math=False)


# --------------------------------------------------------------------------------------------------------- loading


def _load() -> None:
    """Import Matplotlib, with the settings that it is used with. Called by the one thread that draws."""
    global _loaded
    if _loaded:
        return
    with _folder():
        import matplotlib
        import matplotlib.backends.backend_agg
        import matplotlib.backends.backend_svg
        import matplotlib.font_manager  # looks for fonts, and keeps what it finds in the folder
    matplotlib.rcdefaults()  # whatever a file of the user's says
    matplotlib.rcParams.update(_STYLE)  # type: ignore[arg-type]  # the names are right, or it raises
    _loaded = True


@contextlib.contextmanager
def _folder() -> Iterator[None]:
    """A folder that Matplotlib may write to while it is imported: it insists on one. In `MPLCONFIGDIR` an operator can name one
    that stays, which saves the search for fonts (half a second); else it is one of our own, and removed again."""
    if "matplotlib.font_manager" in sys.modules:
        yield
        return
    own = os.environ.get("MPLCONFIGDIR")
    if own and os.path.isdir(own) and os.access(own, os.W_OK):
        yield
        return
    made = _made_folder()
    os.environ["MPLCONFIGDIR"] = made
    try:
        yield
    finally:
        if own is None:
            os.environ.pop("MPLCONFIGDIR", None)
        else:
            os.environ["MPLCONFIGDIR"] = own
        shutil.rmtree(made, ignore_errors=True)


def _made_folder() -> str:
    """A new folder, wherever one can be made: a container's root may be read-only, and its memory still be a file system."""
    for parent in (None, Path("/dev/shm"), Path.cwd()):
        with contextlib.suppress(OSError):
            return tempfile.mkdtemp(prefix="wengert-plots-", dir=parent)
    _log.warning("nothing can be drawn: there is no folder to write to; MPLCONFIGDIR can name one")
    raise problem(
        "drawing-unavailable",
        "This server has no folder that Matplotlib can be started in; the answer as application/json has all the numbers.",
    )
