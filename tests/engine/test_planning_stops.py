"""Planning a long graph can be stopped: nobody may wait for the answer any more."""

from __future__ import annotations

import pytest

from engine.aval import Aval
from engine.builder import GraphBuilder
from engine.execute.meter import Cancelled
from engine.execute.plan.plan import Plan
from engine.graph import Graph
from engine.op import registry

STEPS = 3000


def chain() -> Graph:
    b = GraphBuilder("float64")
    x = b.input(Aval((), "float64"))
    sin = registry.find("sin")[0]
    for _ in range(STEPS):
        x = b.emit(sin, [x], ())
    return b.build([x])


def test_a_plan_asks_often_and_stops_where_it_is_told() -> None:
    asked = 0

    def count() -> None:
        nonlocal asked
        asked += 1

    Plan(chain(), step=count)
    assert asked >= STEPS / 2, "it looks between the steps of the graph, not only at its ends"

    for last in (1, asked // 2, asked):
        left = last

        def stop() -> None:
            nonlocal left
            left -= 1
            if left == 0:
                raise Cancelled

        with pytest.raises(Cancelled):
            Plan(chain(), step=stop)
        assert left == 0
