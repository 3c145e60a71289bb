"""Taylor coefficients: every op against nested forward mode, scalar functions against mpmath, loops against closed forms."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import mpmath
import numpy as np
import pytest

import engine.ops  # noqa: F401  # fills the registry
from engine.aval import Aval
from engine.derive import Request, prepare
from engine.errors import EngineError
from engine.execute.meter import Meter
from engine.graph import Graph, typecheck
from engine.language import parse_text
from engine.op import Op, registry
from engine.specialize import specialize
from engine.transforms.push import jvp_graph
from engine.transforms.simplify import simplify
from engine.transforms.taylor import taylor_graph
from engine.values import read_value
from tests.engine.conformance import cases, compute, domain_cases, structural
from tests.engine.references import REFERENCES

OPS = [op for op in registry if not structural(op)]
ORDER = 3


def nested(graph: Graph, moving: Sequence[int], order: int) -> list[Graph]:
    """Graphs of d^k/dt^k of all outputs along the moving inputs, by forward mode over forward mode."""
    found = [graph]
    n = len(graph.outputs)
    for k in range(order):
        g = found[-1]
        derived = jvp_graph(g, [g.inputs[m] for m in moving], "float64")
        found.append(derived.with_outputs(derived.outputs[n:]))
        assert len(derived.inputs) == len(g.inputs) + len(moving), k
    return found


@pytest.mark.parametrize("op", OPS, ids=[op.name for op in OPS])
def test_every_op_against_nested_forward_mode(op: Op) -> None:
    rng = np.random.default_rng(3)
    compared = eligible = 0
    reference = REFERENCES.get(op.name)
    for case in [*cases(op, reference), *domain_cases(op, reference, rng)][:8]:
        graph = case.graph()
        arrays = case.arrays
        moving = [m for m, a in enumerate(arrays) if a.dtype.kind == "f"]
        floats = [o for o, a in zip(graph.outputs, graph.out_avals, strict=True) if a.floating]
        if not moving or not floats or not case.smooth:
            continue
        eligible += graph.out_avals != () and arrays[moving[0]].size > 0
        graph = graph.with_outputs(floats)
        directions = [rng.uniform(-1, 1, arrays[m].shape) for m in moving]
        series = taylor_graph(graph, moving, ORDER, "float64")
        typecheck(series)
        got = compute(simplify(series, "float64"), [*arrays, *directions])
        for k, derived in enumerate(nested(graph, moving, ORDER)):
            expected = compute(derived, [*arrays, *directions * k])
            for r, e in enumerate(expected):
                value, wanted = np.asarray(got[r * (ORDER + 1) + k]), np.asarray(e) / math.factorial(k)
                at = np.isfinite(wanted)
                size = np.abs(wanted[at]).max(initial=1e-3)
                np.testing.assert_allclose(
                    value[at], wanted[at], rtol=1e-9, atol=1e-11 * size, err_msg=f"{case.label}, order {k}"
                )
                compared += int(at.sum())
    assert compared or not eligible


m = mpmath
SCALARS: dict[str, tuple[Callable[..., Any], list[float], list[float]]] = {
    "exp(sin(x)*x)": (lambda x: m.exp(m.sin(x) * x), [0.7], [1.3]),
    "tanh(x) + x**2.5/(1 + x**3)": (lambda x: m.tanh(x) + x**2.5 / (1 + x**3), [0.7], [1.0]),
    "x**5": (lambda x: x**5, [0.0], [1.0]),
    "log(1 + x*y)*sqrt(x + y**2)": (lambda x, y: m.log(1 + x * y) * m.sqrt(x + y**2), [0.7, 0.4], [1.0, -0.5]),
    "atan2(x, y) + hypot(x, y) + x**y": (
        lambda x, y: m.atan2(x, y) + m.hypot(x, y) + x**y, [0.7, 0.4], [1.0, -0.5],
    ),
    "erf(x) + sinc(x) + sigmoid(x) + softplus(x)": (
        lambda x: m.erf(x) + m.sincpi(x) + 1 / (1 + m.exp(-x)) + m.log(1 + m.exp(x)), [0.7], [1.0],
    ),
    "logsumexp(array([x, y, x*y]))": (
        lambda x, y: m.log(m.exp(x) + m.exp(y) + m.exp(x * y)), [0.7, 0.4], [1.0, -0.5],
    ),
}  # fmt: skip


def coefficients(text: str, inputs: dict[str, Any], direction: dict[str, Any], order: int) -> list[Any]:
    """The verb's answer."""
    given = {k: read_value(v) for k, v in inputs.items()}
    along = {k: read_value(v) for k, v in direction.items()}
    request = Request(parse_text(text, inputs=given), given, direction=along, order=order)
    found: list[Any] = prepare("taylor", request).run(Meter())["coefficients"]
    return found


@pytest.mark.parametrize("text", SCALARS)
def test_scalar_functions_to_order_ten(text: str) -> None:
    function, x, d = SCALARS[text]
    names = ("x", "y")[: len(x)]
    got = coefficients(text, dict(zip(names, x, strict=True)), dict(zip(names, d, strict=True)), 10)
    with mpmath.workdps(50):
        expected = mpmath.taylor(lambda t: function(*[a + b * t for a, b in zip(x, d, strict=True)]), 0, 10)
    np.testing.assert_allclose([float(v) for v in got], [float(v) for v in expected], rtol=1e-12, atol=1e-13)


def test_the_order_costs_its_square_not_its_power() -> None:
    program = parse_text("exp(sin(x) * tanh(x)) / (1 + x**2)")
    typed = specialize(program, {"x": Aval((), "float64")})
    sizes = [len(taylor_graph(typed.graph, [0], k, "float64").nodes) for k in (10, 20, 40)]
    assert sizes[1] < 5 * sizes[0]
    assert sizes[2] < 5 * sizes[1]


def test_a_long_chain() -> None:
    text = "y = x\n" + "y = sin(y)\n" * 3000 + "y"
    got = coefficients(text, {"x": 0.5}, {"x": 1.0}, 2)
    first = coefficients("sin(x)", {"x": 0.5}, {"x": 1.0}, 0)
    assert np.isfinite(got).all()
    assert got[0] < first[0]


@pytest.mark.parametrize(
    ("fields", "wanted"),
    [
        ({"order": -1}, "must not be negative"),
        ({"order": 101}, "the limit is 100"),
        ({"order": 2, "direction": {"y": 1.0}}, "no node 'y'"),
        ({"order": 2, "direction": {"t1": 1.0}}, "belongs to inputs"),
        ({"order": 2, "direction": {"x": [1.0]}}, "must have its shape"),
    ],
)
def test_mistakes(fields: dict[str, Any], wanted: str) -> None:
    direction = {k: read_value(v) for k, v in fields.pop("direction", {"x": 1.0}).items()}
    request = Request(parse_text("sin(x)"), {"x": read_value(1.0)}, direction=direction, **fields)
    with pytest.raises(EngineError) as caught:
        prepare("taylor", request)
    assert wanted in caught.value.detail
