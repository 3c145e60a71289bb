"""The meter: asked between two steps whether to go on."""

from __future__ import annotations

import time
from collections.abc import Callable

from engine.errors import DeadlineExceeded

INTERVAL = 2e-3
"""Seconds between two looks: far less than a client notices, far more than a look takes."""


class Cancelled(Exception):
    """Nobody waits for the answer any more (the client has gone). No error of the user's, so no `EngineError`."""


class Meter:
    """A deadline and a way to be told to stop.

    `deadline` is a `time.monotonic()` time or None; `cancelled` is asked along with it. `check` reads the clock at every
    call, since a step of a second may follow on thousands of a microsecond, and looks when it is time to.
    """

    __slots__ = ("_next", "cancelled", "deadline")

    def __init__(self, deadline: float | None = None, cancelled: Callable[[], bool] | None = None) -> None:
        self.deadline = deadline
        self.cancelled = cancelled
        self._next = 0.0

    def check(self) -> None:
        """Raise `DeadlineExceeded` or `Cancelled` if it is time to stop."""
        if time.monotonic() >= self._next:
            self.look()

    def look(self) -> None:
        """As `check`, without sparing the question."""
        now = time.monotonic()
        if self.deadline is not None and now > self.deadline:
            raise DeadlineExceeded("The computation took longer than it was given and was stopped.")
        if self.cancelled is not None and self.cancelled():
            raise Cancelled
        self._next = now + INTERVAL if self.deadline is None else min(now + INTERVAL, self.deadline)
