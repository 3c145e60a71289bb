"""Verbs whose answers can be drawn: `Accept: image/svg+xml` or `image/png`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from service.plots import PICTURES, PLOT_SECONDS, check_available, plot
from service.work import Work

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Pictured(Work):
    """A request whose answer may be asked for as a picture: such a class says in `figure` how it is drawn. (Its `Operation` has
    `PICTURES` among its media types and 501 among its errors.)"""

    @property
    def drawn(self) -> bool:
        """Whether a picture was asked for."""
        return self.media in PICTURES

    def figure(self) -> Figure:
        """The answer, drawn. Imports what draws only here; called by the one thread that draws."""
        raise NotImplementedError

    def plan(self) -> None:
        """As for other verbs. Raises `Problem` (drawing-unavailable) before anything is computed."""
        if self.drawn:
            check_available()
        super().plan()
        if self.drawn:
            self.seconds += PLOT_SECONDS

    def encode(self) -> bytes:
        """The picture, or what else was asked for."""
        return plot(self.figure, self.media, self.meter) if self.drawn else super().encode()
