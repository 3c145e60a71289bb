"""Long work in pieces, between which others have their turn: other threads, and whoever wants the work to stop."""

from __future__ import annotations

import time
from collections.abc import Callable

SECONDS = 0.003
"""How long the work goes on before it pauses."""

PAUSE = 1e-6
"""Seconds that a pause is asked to last; it lasts as long as it takes the system to run another thread."""


class Turns:
    """Called between pieces of work in a thread.

    A thread that waits for the GIL asks for it after 5 ms in which nobody let it go. Work that consists of short calls of
    NumPy lets it go all the time, and takes it back before the one who waits has woken up; so the event loop would wait
    until the work is done. A real pause gives it the GIL."""

    __slots__ = ("_look", "_since")

    def __init__(self, look: Callable[[], None] | None = None) -> None:
        """`look` raises if the work is to stop."""
        self._look = look
        self._since = time.perf_counter()

    def __call__(self) -> None:
        """Pause if it is time. Raises what `look` raises."""
        if self._look is not None:
            self._look()
        if time.perf_counter() - self._since > SECONDS:
            time.sleep(PAUSE)
            self._since = time.perf_counter()
