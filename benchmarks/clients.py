"""Calls through clients, one after another, and lines about throughput and latencies from samples of either kind of load."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence

from benchmarks.http_load import Sample, Server, Target, ratio
from benchmarks.measure import Settings
from benchmarks.row import Line

Call = Callable[[], object]


def calls(sides: Mapping[str, tuple[Server, Call]], settings: Settings) -> dict[str, Target]:
    """Each client calls for a while, in turn, round after round."""
    targets = {name: Target(server, []) for name, (server, _) in sides.items()}
    for _, call in sides.values():
        for _ in range(5):
            call()
    for r in range(settings.rounds):
        for name in list(sides) if r % 2 == 0 else list(sides)[::-1]:
            targets[name].samples.append(_sample(sides[name][1], 0.1 if settings.quick else 0.5))
    return targets


def _sample(call: Call, seconds: float) -> Sample:
    latencies = []
    start = now = time.perf_counter()
    while now < start + seconds:
        call()
        then, now = now, time.perf_counter()
        latencies.append(now - then)
    return Sample(now - start, latencies)


def three_lines(
    work: str, peer: str, ours: Target, theirs: Target, throughput: float | None, latency: float | None
) -> Iterator[Line]:
    """Throughput, p50 and p99 of ours beside theirs, with their targets."""
    yield Line(work, peer, ours.rate, theirs.rate, "req/s", ratio(ours, theirs), throughput)
    for p in (50, 99):
        a, b = ([s.percentile(p) for s in t.samples] for t in (ours, theirs))
        quotient = statistics.median(y / x for x, y in zip(a, b, strict=True))
        yield Line(f"{work}, p{p}", peer, statistics.median(a), statistics.median(b), "s", quotient, latency)


def cycle(requests: Sequence[Call]) -> Call:
    """Calls in turn."""
    at = -1

    def call() -> object:
        nonlocal at
        at = (at + 1) % len(requests)
        return requests[at]()

    return call
