"""Sums of exponentials in plans: written out, shared between value and gradient, and right where they are hard."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.special

from engine.aval import Aval
from engine.builder import EagerBuilder, Var, call
from engine.execute.plan import Plan
from engine.execute.plan.lean import lean
from engine.graph import Graph, typecheck
from engine.transforms.pull import vjp_graph
from engine.transforms.simplify import simplify
from tests.engine.execute.test_plan_memory import graph_of

B = EagerBuilder("float64")


def gradient(shape: tuple[int, ...], axis: int | None) -> Graph:
    """x → Σ logsumexp(x, axis) and its gradient."""

    def program(x: Var) -> list[Var]:
        return [call(x.b, "sum", call(x.b, "logsumexp", x, axis=axis))]

    graph = graph_of(program, Aval(shape, "float64"))
    derived = vjp_graph(graph, graph.outputs, graph.inputs, "float64")
    return simplify(derived, "float64")


@pytest.mark.parametrize(
    ("shape", "axis"), [((200_000,), None), ((3000, 25), 1), ((25, 3000), 0), ((40, 50, 60), None), ((7,), 0)]
)
@pytest.mark.parametrize("least", [0, None])
def test_value_and_shares(shape: tuple[int, ...], axis: int | None, least: int | None) -> None:
    x = np.random.default_rng(0).normal(size=shape) * 30
    x.flat[3] = x.flat[-1] = x.max() + 1.0  # two that tie
    graph = gradient(shape, axis)
    plan = Plan(graph) if least is None else Plan(graph, least=least, tile=512)
    value, shares = plan.run(B, [x, np.ones(())]).results
    expected = scipy.special.logsumexp(x, axis=axis)
    np.testing.assert_allclose(value, expected.sum(), rtol=1e-13)
    np.testing.assert_allclose(shares, scipy.special.softmax(x, axis=axis), rtol=1e-12)


def test_the_exponentials_are_computed_once() -> None:
    written = lean(gradient((3000, 25), 1))
    typecheck(written)
    names = [node.op.name for node in written.nodes]
    assert names.count("exp") == 1
    assert "logsumexp" not in names
    assert "exp_shares" not in names


@pytest.mark.parametrize("small", [-50.0, -300.0, -700.0])
def test_nothing_is_lost_beside_the_largest(small: float) -> None:
    graph = gradient((2,), 0)
    value, _ = Plan(graph).run(B, [np.array([0.0, small]), np.ones(())]).results
    assert value == np.log1p(np.exp(small)) == pytest.approx(np.exp(small), rel=1e-15)


@pytest.mark.parametrize("bad", [[np.inf, 1.0], [-np.inf, -np.inf], [np.nan, 1.0]])
def test_infinities_are_told(bad: list[float]) -> None:
    """Also where a comparison hides them."""

    def program(x: Var) -> list[Var]:
        return [call(x.b, "where", call(x.b, "logsumexp", x, axis=0) > 3.0, 1.0, 2.0)]

    graph = graph_of(program, Aval((2,), "float64"))
    assert Plan(graph).run(B, [np.array(bad)]).kinked
    assert not Plan(graph).run(B, [np.array([1.0, -np.inf])]).kinked
