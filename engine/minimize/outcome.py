"""How a minimisation ends."""

from __future__ import annotations

from typing import Literal, NamedTuple, TypeAlias

Status: TypeAlias = Literal[
    "converged", "max_iterations", "max_evaluations", "deadline", "diverged", "stalled"
]


class Outcome(NamedTuple):
    """Why it ended, in a word and in plain words."""

    status: Status
    message: str


class Finished(Exception):
    """It is over, wherever the method is: no error, but what unwinds it, SciPy's loops included."""

    def __init__(self, status: Status, message: str) -> None:
        super().__init__(message)
        self.outcome = Outcome(status, message)
