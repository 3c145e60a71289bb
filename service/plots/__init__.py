"""Pictures of functions, drawn with Matplotlib, which is an extra.

`figure` is what all have in common (and says how one is made), `scale` turns numbers of any size into places on paper;
`contour`, `curve` and `descent` are the pictures. None of them imports Matplotlib before something is drawn: a server that
never draws is neither slower to start nor larger.
"""

from service.plots.figure import PICTURES, PLOT_SECONDS, check_available, plot

__all__ = ["PICTURES", "PLOT_SECONDS", "check_available", "plot"]
