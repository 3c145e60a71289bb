"""Loops without idle carries: fewer of them, the same answers; steps over long arrays by a plan."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from engine.compiled import LOOPS
from engine.derive import prepare
from engine.execute.meter import Meter
from engine.graph import Graph, typecheck
from tests.engine.helpers import ask, request

RUNGE_KUTTA = """
def slope(y):
    return concat([x[0:1], x[1:] * y[:-1]])

h = 0.1
y = zeros_like(x)
for i in range(10):
    k1 = slope(y)
    k2 = slope(y + h * k1 / 2)
    y = y + h * k2
sum(y**2)
"""
CARRIED = """
a, b, c = x, 0.0*x, 1.0
for i in range(6):
    a, b = b + 1.0, a * x
    c = 1.0
sum(a * b) + c
"""


def by_hand(x: np.ndarray) -> float:
    y = np.zeros_like(x)
    for _ in range(10):
        k = np.concatenate([x[:1], x[1:] * y[:-1]])
        k = np.concatenate([x[:1], x[1:] * (y + 0.1 * k / 2)[:-1]])
        y = y + 0.1 * k
    return float((y**2).sum())


def swapped(x: np.ndarray) -> float:
    a, b = x, 0.0 * x
    for _ in range(6):
        a, b = b + 1.0, a * x
    return float((a * b).sum() + 1)


def scans(graph: Graph) -> list[dict[str, Any]]:
    return [dict(n.params) for n in graph.nodes if n.op.name == "core.scan"]


@pytest.mark.parametrize(("text", "value"), [(RUNGE_KUTTA, by_hand), (CARRIED, swapped)])
@pytest.mark.parametrize("size", [3, 3000])
def test_gradients_through_loops(text: str, value: Any, size: int) -> None:
    x = 1.0 + 0.5 * np.sin(np.arange(size))
    answer = ask("grad", text, {"x": x})
    assert answer["value"] == pytest.approx(value(x), rel=1e-13)
    for i in (0, 1, size - 1):
        step = np.zeros(size)
        step[i] = 1e-6
        slope = (value(x + step) - value(x - step)) / 2e-6
        assert answer["gradients"]["x"][i] == pytest.approx(slope, rel=1e-5, abs=1e-6 * abs(value(x)))


def test_what_is_set_anew_in_each_step_is_not_carried() -> None:
    job = prepare("grad", request(RUNGE_KUTTA, {"x": np.ones(3000)}, nodes="none", wrt=["x"]))
    graph = job.quick.graph
    typecheck(graph)
    there, back = scans(graph)
    assert there["carries"] == 1, "y; not the slopes, not the counter"
    assert len(there["body"].outputs) == 2, "y, and y before the step"
    assert back["carries"] == 2, "the cotangents of y and x"
    assert back["scanned"] == 1


def test_a_carry_that_swaps_places_stays() -> None:
    job = prepare("grad", request(CARRIED, {"x": np.ones(3000)}, nodes="none", wrt=["x"]))
    graph = job.quick.graph
    typecheck(graph)
    assert all(params["carries"] >= 2 for params in scans(graph))


def test_steps_over_long_arrays_are_planned(monkeypatch: pytest.MonkeyPatch) -> None:
    """And give the bits that the steps node by node give, which the careful executor takes."""
    job = prepare("grad", request(RUNGE_KUTTA, {"x": np.linspace(1, 2, 3000)}, nodes="none", wrt=["x"]))
    planned: list[Graph] = []
    planner = LOOPS.planner
    assert planner is not None
    monkeypatch.setattr(LOOPS, "planner", lambda body: planned.append(body) or planner(body))
    fast = job.run(Meter())
    assert len(planned) == 2
    monkeypatch.setattr(LOOPS, "planner", None)
    slow = job.run(Meter())
    assert np.array_equal(fast["gradients"]["x"], slow["gradients"]["x"])


def test_infinities_in_a_planned_body_are_left_to_the_careful_executor() -> None:
    """0·∞ as a strong zero: the derivative of a branch that is not taken."""
    text = "y = x\nfor i in range(5):\n    y = where(y > 0, sqrt(y), 0.0) + 0.5*x\nsum(y)"
    x = np.linspace(-1.0, 1.0, 3001)
    answer = ask("grad", text, {"x": x})
    negative = answer["gradients"]["x"][x < -0.9]
    assert np.isfinite(negative).all()
    assert np.allclose(negative, 0.5)
