"""The plan executor against the executor that makes every value anew: the same bits, and nobody's memory written to."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest

import engine.ops  # noqa: F401  # fills the registry
from engine.builder import EagerBuilder
from engine.errors import EngineError
from engine.execute.plan import Plan
from engine.graph import Graph
from engine.op import Op, registry
from engine.transforms.pull import vjp_graph
from engine.transforms.push import jvp_graph
from engine.transforms.simplify import simplify
from tests.engine.conformance import structural
from tests.engine.conformance.cases import cases, domain_cases
from tests.engine.conformance.computing import compute, patience, protected
from tests.engine.references import REFERENCES

OPS = [op for op in registry if not structural(op)]


def graphs_of(graph: Graph, rng: np.random.Generator) -> Iterator[tuple[str, Graph, list[Any]]]:
    """The graph itself, its VJP and its JVP, each with further arguments that it takes."""
    yield "value", graph, []
    floats = [i for i, a in zip(graph.inputs, graph.in_avals, strict=True) if a.floating]
    outs = [o for o, a in zip(graph.outputs, graph.out_avals, strict=True) if a.floating]
    if floats and outs:
        back = vjp_graph(graph, outs, floats, "float64")
        yield "vjp", simplify(back, "float64"), [drawn(graph.nodes[o].aval, rng) for o in outs]
        ahead = jvp_graph(graph, floats, "float64")
        yield "jvp", simplify(ahead, "float64"), [drawn(graph.nodes[i].aval, rng) for i in floats]


def drawn(aval: Any, rng: np.random.Generator) -> Any:
    """A random array of an aval."""
    return rng.uniform(0.5, 1.5, aval.shape)


def planned(plan: Plan, arguments: Sequence[Any]) -> list[Any]:
    """The plan's results, its arguments write-protected."""
    return plan.run(EagerBuilder("float64", patience()), [protected(np.array(a)) for a in arguments]).results


ROUNDS = {"sum", "matmul", "windows", "overlap_add", "softmax", "log_softmax", "logsumexp"}
"""Ops that add up in an order that depends on how their operands lie in memory."""


def same(found: Any, expected: Any, what: str, graph: Graph, tiled: bool = False) -> None:
    """Equal in value, shape, dtype and kind of object: to the bit, or to rounding if something is added up."""
    assert isinstance(found, np.ndarray if np.ndim(expected) else np.generic), what
    assert np.shape(found) == np.shape(expected), what
    assert found.dtype == expected.dtype, what
    rounds = tiled or any(node.op.name in ROUNDS or node.op.subgraphs for node in graph.nodes)
    if found.dtype.kind == "f" and rounds:
        scale = np.abs(expected[np.isfinite(expected)]).max(initial=1.0)
        np.testing.assert_allclose(found, expected, rtol=1e-13, atol=1e-14 * scale, err_msg=what)
        return
    assert np.array_equal(found, expected, equal_nan=found.dtype.kind == "f"), f"{what}: {found} {expected}"


@pytest.mark.parametrize("op", OPS, ids=[op.name for op in OPS])
def test_every_op_as_a_plan(op: Op) -> None:
    rng = np.random.default_rng(5)
    seen = 0
    for case in (*cases(op, REFERENCES.get(op.name)), *domain_cases(op, REFERENCES.get(op.name), rng)):
        for what, graph, more in graphs_of(case.graph(), rng):
            arguments = [*(np.asarray(a) for a in case.arrays), *more]
            try:
                expected = compute(graph, arguments)
            except EngineError as error:
                with pytest.raises(type(error)):
                    planned(Plan(graph, guarded=True), arguments)
                continue
            plan = Plan(graph, guarded=True)
            plain = Plan(graph, tile=3, least=0)
            for turn in range(2):
                name = f"{op.name}, {case.label}, {what}, run {turn}"
                for k, (f, e) in enumerate(zip(planned(plan, arguments), expected, strict=True)):
                    same(f, e, f"{name}, result {k}", graph)
                for k, (f, e) in enumerate(zip(planned(plain, arguments), expected, strict=True)):
                    if np.isfinite(f).all():  # tiles too small for anything but a test
                        same(f, e, f"{name}, result {k} in tiles", graph, tiled=True)
            seen += 1
    assert seen
