"""Landscapes: what they cost, how graphs are split, ranges. (Their numbers: tests/service/test_landscape.py.)"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest

from engine.builder import GraphBuilder
from engine.cost import Limits
from engine.derive import Request, prepare, prepare_with
from engine.errors import DeadlineExceeded, LimitExceeded
from engine.execute.eager import forward
from engine.execute.meter import Meter
from engine.graph import typecheck
from engine.landscape import Asked, Axis, Landscape
from engine.landscape.section import padded, split
from engine.language import parse_text
from engine.values import Given

RNG = np.random.default_rng(4)
NETWORK = "h = tanh(x @ w1)\ng = tanh(h @ w2)\nmean((g @ w3)**2)"
ARRAYS = {
    "x": RNG.normal(size=(4, 50)),
    "w1": RNG.normal(size=(50, 300)) / 7,
    "w2": RNG.normal(size=(300, 300)) / 17,
    "w3": RNG.normal(size=300),
}


def landscape(
    text: str, axes: tuple[Axis, ...], arrays: dict[str, Any], limits: Limits | None = None, **more: Any
) -> Landscape:
    inputs = {k: Given(np.asarray(a, np.float64), True, False) for k, a in arrays.items()}
    request = Request(program=parse_text(text), inputs=inputs)
    return prepare_with(partial(Landscape, Asked(axes, **more)), request, limits)


def single(text: str, arrays: dict[str, Any], verb: str = "evaluate") -> float:
    inputs = {k: Given(np.asarray(a, np.float64), True, False) for k, a in arrays.items()}
    return prepare(verb, Request(program=parse_text(text), inputs=inputs)).cost.flops


@pytest.mark.parametrize(
    ("second", "index", "part"), [("w3", (7,), 0.02), ("w2", (8, 9), 0.1), ("w1", (1, 2), 1.5)]
)
def test_points_of_a_large_network_cost_little(second: str, index: tuple[int, ...], part: float) -> None:
    """Of 200 × 200 evaluations (with w1, whose layer moves all that is behind it, they are needed)."""
    axes = (Axis("w2", -1, 1, 200, (3, 4)), Axis(second, -1, 1, 200, index))
    job = landscape(NETWORK, axes, ARRAYS)
    assert job.cost.flops < part * 200 * 200 * single(NETWORK, ARRAYS)
    assert job.cost.bytes < 1 << 30
    gradients = landscape(NETWORK, axes, ARRAYS, gradients=True)
    assert gradients.cost.flops < 3 * part * 200 * 200 * single(NETWORK, ARRAYS)


def test_a_split_graph_computes_the_same() -> None:
    b = GraphBuilder()
    x, y, z = (b.input(b_aval) for b_aval in [_vector(), _vector(), _vector()])
    fixed = b.core("multiply", x, y)
    constant = b.constant(np.array([1.0, 2.0, 3.0]))
    moving = b.core("add", b.core("multiply", fixed, z), constant)
    graph = b.build([moving, fixed, b.core("sin", z), constant])
    before, behind = split(graph, 1, "float64")
    typecheck(before)
    typecheck(behind)
    arrays = [np.array([1.0, -2.0, 0.5]), np.array([3.0, 1.0, 2.0]), np.array([0.1, 0.2, 0.3])]
    shared = _run(before, arrays[:2])
    assert len(before.inputs) == 2
    for own, whole in zip(_run(behind, [*shared, arrays[2]]), _run(graph, arrays), strict=True):
        assert np.array_equal(own, whole)
    # What does not vary is not in the second part.
    assert sum(n.op.name == "multiply" for n in behind.nodes) == 1


def _vector() -> Any:
    from engine.aval import Aval

    return Aval((3,), "float64")


def _run(graph: Any, arrays: list[Any]) -> list[Any]:
    from engine.builder import EagerBuilder

    refs = forward(graph, arrays, EagerBuilder(), Meter(), lambda _, error: error)
    return [refs[o] for o in graph.outputs]


def test_it_stops_between_parts() -> None:
    job = landscape(NETWORK, (Axis("w1", -1, 1, 400, (3, 4)), Axis("w1", -1, 1, 400, (3, 5))), ARRAYS)
    looked = []

    class Patience(Exception):
        pass

    def out() -> bool:
        looked.append(1)
        if len(looked) > 3:
            raise Patience
        return False

    with pytest.raises(Patience):
        job.run(Meter(cancelled=out))
    with pytest.raises(DeadlineExceeded):
        job.run(Meter(deadline=0.0))


def test_limits_are_decided_before() -> None:
    axes = (Axis("w2", -1, 1, 1000, (3, 4)), Axis("w2", -1, 1, 1000, (3, 5)))
    with pytest.raises(LimitExceeded) as found:
        landscape(NETWORK, axes, ARRAYS, Limits(landscape_points=999_999))
    assert (found.value.limit, found.value.actual) == ("landscape_points", 1_000_000)
    with pytest.raises(LimitExceeded) as found:
        landscape(NETWORK, axes, ARRAYS, Limits(response_elements=2_500_000), gradients=True)
    assert found.value.limit == "response_elements"
    with pytest.raises(LimitExceeded) as found:
        landscape(NETWORK, axes, ARRAYS, Limits(flops=10**9))
    assert found.value.limit == "flops"


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_values_of_an_axis(dtype: Any) -> None:
    assert np.array_equal(Axis("x", -1.0, 2.0, 7).values(dtype), np.linspace(-1, 2, 7).astype(dtype))
    wide = Axis("x", -1.7e308, 1.7e308, 3).values("float64")
    assert wide.tolist() == [-1.7e308, 0.0, 1.7e308]
    assert Axis("x", 1.0, 5.0, 1).values(dtype).tolist() == [1.0]
    assert Axis("w", 0, 1, 2, (0, 3)).label == "w[0, 3]"


def test_padding() -> None:
    assert padded(np.array([1.0, 2.0]), 4).tolist() == [1.0, 2.0, 2.0, 2.0]
