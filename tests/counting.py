"""Costs that do not depend on what else the machine does: calls, bytes, and ratios of times taken side by side."""

from __future__ import annotations

import gc
import sys
import time
import tracemalloc
from collections.abc import Callable
from types import FrameType
from typing import Any

Work = Callable[[], Any]


def calls(work: Work) -> int:
    """Calls of Python and C functions that the work makes in this thread: the same every time, like instructions.

    What happens inside one call of NumPy or of compiled code counts as one.
    """
    work()  # what is made on first use is not the work's
    count = 0

    def profile(_frame: FrameType, event: str, _arg: Any) -> None:
        nonlocal count
        if event in ("call", "c_call"):
            count += 1

    before = sys.getprofile()
    sys.setprofile(profile)
    try:
        work()
    finally:
        sys.setprofile(before)
    return count


def peak_bytes(work: Work) -> int:
    """Most memory that the work has at one time, beyond what was there before; NumPy's arrays included."""
    work()
    gc.collect()
    tracing = tracemalloc.is_tracing()
    if not tracing:
        tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        work()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        if not tracing:
            tracemalloc.stop()
    return peak - before


def fastest(work: Work, seconds: float = 0.02) -> float:
    """Seconds of one call, the fastest of those that fit into `seconds` (three at least)."""
    best = float("inf")
    end = time.perf_counter() + seconds
    n = 0
    while n < 3 or time.perf_counter() < end:
        start = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - start)
        n += 1
    return best


def ratio(work: Work, beside: Work, most: float, tries: int = 6) -> float:
    """How many times as long `work` takes as `beside`: the lowest of several tries in turn, ending once it is under `most`.

    What else runs on the machine makes either side slower, never faster, so the fastest of each is compared.
    """
    work()
    beside()
    ours = theirs = float("inf")
    for _ in range(tries):
        gc.collect()
        ours, theirs = min(ours, fastest(work)), min(theirs, fastest(beside))
        if ours / theirs <= most:
            break
    return ours / theirs
