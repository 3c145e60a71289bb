"""How cost grows with the size of a program and of its arrays."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from benchmarks import peers
from benchmarks.measure import Settings, Side, interleaved
from benchmarks.ours import Prepared, compiled
from benchmarks.random_graphs import random_graph
from benchmarks.row import OURS, Curve, Line, Row, agree

ELEMENTWISE = "sum(tanh(x)*exp(-x*x) + sqrt(1.0 + x*x))"


def run(settings: Settings) -> Iterator[Line | Curve]:
    """Value and gradient of random scalar graphs, and of one expression over growing arrays."""
    compiled()
    decades = range(2, 5) if settings.quick else range(2, 7)
    yield from grown("scalar graph", "nodes", [10**d for d in decades], lambda n: {OURS: scalar(n)}, settings)
    decades = range(2, 6) if settings.quick else range(2, 8)
    sizes = [10**d for d in decades]
    yield from grown("elementwise expression", "elements", sizes, elementwise, settings)


def scalar(size: int) -> Side:
    """All values and adjoints of a graph of so many nodes."""
    graph = random_graph(size)
    data = [{f"x{k}": x for k, x in enumerate(row)} for row in graph.points(2)]
    return Prepared("grad", graph.document(), data, nodes="none").run


def elementwise(size: int) -> dict[str, Side]:
    """A sum over an array of so many elements, and its gradient; JAX's beside it."""
    xs = [np.random.default_rng(s).normal(size=size) for s in range(2)]
    j = peers.jax()

    def f(x: Any) -> Any:
        return j.numpy.sum(j.numpy.tanh(x) * j.numpy.exp(-x * x) + j.numpy.sqrt(1.0 + x * x))

    ours = Prepared("grad", ELEMENTWISE, [{"x": x} for x in xs], nodes="none", wrt=("x",)).run
    sides = {OURS: ours, "JAX": peers.jax_side(j.value_and_grad(f), [[x] for x in xs])}
    a = ours(0)
    agree({OURS: [a["value"], a["gradients"]["x"]], "JAX": sides["JAX"](0)}, 1e-9)
    return sides


def grown(
    name: str,
    axis: str,
    sizes: Sequence[int],
    make: Callable[[int], dict[str, Side]],
    settings: Settings,
) -> Iterator[Line | Curve]:
    """The curves, and how straight ours is."""
    found = [{k: t.median for k, t in interleaved(make(size), settings).items()} for size in sizes]
    for side in found[0]:
        yield Curve(side, axis, [float(s) for s in sizes], [f[side] for f in found])
    seconds = [f[OURS] for f in found]
    # A request has a cost of its own, which small sizes show; from there on cost may only grow as the size does.
    slope = steepest(sizes, seconds)
    work = f"{name}, {sizes[0]:,} to {sizes[-1]:,} {axis}: steepest decade"
    yield Line(work, "slope 1", slope, 1.0, "", 1 / slope, 0.8)
    per = seconds[-1] / sizes[-1]
    yield Line(f"{name}: one of {sizes[-1]:,} {axis}", "–", per * 1e9, None, "ns", None, None)


def steepest(sizes: Sequence[float], seconds: Sequence[float]) -> float:
    """The largest slope between neighbours on the log-log plot."""
    return max(
        math.log(t / s) / math.log(n / m)
        for m, n, s, t in zip(sizes, sizes[1:], seconds, seconds[1:], strict=False)
    )


ROW = Row(
    "scaling",
    "Cost from 10² to 10⁶ nodes and from 10² to 10⁷ elements",
    "–",
    "straight lines on the log-log plot",
    "Value and gradient inside the engine, prepared before: random scalar graphs, and one elementwise expression. "
    "Straight is a slope of 1; the steepest decade may have 1.25 (where arrays outgrow a cache, there is a step). Flat "
    "beginnings are the cost of a call.",
    run,
)
