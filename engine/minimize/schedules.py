"""Schedules: what a learning rate is multiplied with in update t = 0, 1, 2, …

| kind | factor |
| --- | --- |
| constant | 1 |
| exponential | rate^t |
| step | factor^⌊t / every⌋ |
| inverse-time | 1 / (1 + rate·t) |
| linear | 1 + (final − 1)·min(t / steps, 1) |
| cosine | final + (1 − final)·(1 + cos(π·min(t / steps, 1))) / 2 (Loshchilov & Hutter, ICLR 2017) |

and, of any kind, in the first `warmup` updates (t + 1) / warmup besides.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

Schedule = Callable[[int], float]

KINDS: dict[str, dict[str, float | None]] = {
    "constant": {},
    "exponential": {"rate": 0.999},
    "step": {"factor": 0.5, "every": 1000.0},
    "inverse-time": {"rate": 0.01},
    "linear": {"final": 0.0, "steps": None},
    "cosine": {"final": 0.0, "steps": None},
}
"""For each kind its numbers and their defaults; `steps` is by default max_iterations."""

RANGES: dict[str, tuple[str, Callable[[float], bool]]] = {
    "rate": ("a number that is not negative", lambda v: v >= 0),
    "factor": ("a positive number", lambda v: v > 0),
    "every": ("a positive integer", lambda v: v >= 1 and v == int(v)),
    "final": ("a number that is not negative", lambda v: v >= 0),
    "steps": ("a positive integer", lambda v: v >= 1 and v == int(v)),
    "warmup": ("an integer that is not negative", lambda v: v >= 0 and v == int(v)),
}
"""What each must be."""


FACTORS: dict[str, Callable[[Mapping[str, float], float], float]] = {
    "constant": lambda p, t: 1.0,
    "exponential": lambda p, t: _power(p["rate"], t),
    "step": lambda p, t: _power(p["factor"], t // p["every"]),
    "inverse-time": lambda p, t: 1.0 / (1.0 + p["rate"] * t),
    "linear": lambda p, t: 1.0 + (p["final"] - 1.0) * min(t / max(1.0, p["steps"]), 1.0),
    "cosine": lambda p, t: (
        p["final"] + (1.0 - p["final"]) * (1.0 + math.cos(math.pi * min(t / max(1.0, p["steps"]), 1.0))) / 2
    ),
}
"""The factor by update t, of a kind with its numbers."""


def schedule(given: Mapping[str, Any], max_iterations: int) -> Schedule:
    """The factor by update, of a schedule that `options.read_options` has looked at."""
    kind = given["kind"]
    p: dict[str, float] = {
        k: float(max_iterations) if d is None else d for k, d in KINDS[kind].items() if k != "kind"
    }
    p |= {k: float(v) for k, v in given.items() if k != "kind"}
    warmup = p.pop("warmup", 0.0)
    if kind == "constant" and not warmup:
        return lambda t: 1.0
    factor = partial(FACTORS[kind], p)
    if not warmup:
        return factor
    return lambda t: factor(t) * min(1.0, (t + 1) / warmup)


def _power(base: float, exponent: float) -> float:
    try:
        return float(base**exponent)
    except OverflowError:
        return math.inf
