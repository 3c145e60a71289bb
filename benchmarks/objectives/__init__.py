"""GradBench's objectives in our language and in the other systems'."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from benchmarks.objectives.mixture import mixture
from benchmarks.objectives.recurrent import lstm, ode
from benchmarks.objectives.small import det, k_means, least_squares, logsumexp

OBJECTIVES: tuple[Callable[[bool], Any], ...] = (
    mixture, k_means, lstm, ode, logsumexp, least_squares, det,
)  # fmt: skip
"""Each makes an objective: quick → small."""
