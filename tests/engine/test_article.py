"""The numbers printed in "Developing an intuition for backpropagation" (2024), through JSON graphs and program text.

They are compared exactly: they come from double arithmetic in the order in which the article writes it down.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from engine.errors import Cycle
from tests.engine.helpers import ask, difference, near


def chain(*nodes: tuple[str, str, list[Any]], inputs: str) -> dict[str, Any]:
    """A JSON graph of inputs and of nodes (id, op, operands), the last of which is the output."""
    listed: list[dict[str, Any]] = [{"id": name, "op": "input"} for name in inputs.split()]
    listed += [{"id": name, "op": op, "inputs": operands} for name, op, operands in nodes]
    return {"nodes": listed, "outputs": [nodes[-1][0]]}


PRODUCT = [
    pytest.param(chain(("p", "add", ["x", "y"]), ("f", "multiply", ["p", "z"]), inputs="x y z"), id="graph"),
    pytest.param("p = x + y\nf = p * z", id="text"),
]

NEURON_TEXT = """
t1 = w * x
t2 = t1 + b
t3 = -1 * t2
t4 = exp(t3)
t5 = t4 + 1
t6 = t5**(-1)
t7 = t6 - target
t8 = t7**2
"""
NEURON_GRAPH = chain(
    ("t1", "multiply", ["w", "x"]),
    ("t2", "add", ["t1", "b"]),
    ("t3", "multiply", [-1, "t2"]),
    ("t4", "exp", ["t3"]),
    ("t5", "add", ["t4", 1]),
    ("t6", "pow", ["t5", -1]),
    ("t7", "subtract", ["t6", "target"]),
    ("t8", "pow", ["t7", 2]),
    inputs="w x b target",
)
NEURON = [pytest.param(NEURON_GRAPH, id="graph"), pytest.param(NEURON_TEXT, id="text")]
NEURON_AT = {"w": 2.0, "x": 1.0, "b": 0.0, "target": 10.0}
PRINTED = {
    "t7": -18.238405844044234,
    "t6": -18.238405844044234,
    "t5": 14.149418952798422,
    "t4": 14.149418952798422,
    "t3": 1.9149156216104704,
    "w": -1.9149156216104704,
}

NETWORK_TEXT = """
hidden = relu(np.dot(inputs, weights1))
output = np.dot(hidden, weights2)
np.mean(np.square(output - target))
"""


@pytest.mark.parametrize("program", PRODUCT)
def test_product_of_a_sum(program: Any) -> None:
    answer = ask("grad", program, {"x": -2, "y": 5, "z": -4})
    assert answer["value"] == -12
    assert answer["values"] == {"x": -2, "y": 5, "z": -4, "p": 3, "f": -12}
    assert answer["gradients"] == {"x": -4, "y": -4, "z": 3, "p": -4, "f": 1}
    assert answer["mode"] == "reverse"
    assert answer["warnings"] == []


def test_answer_of_the_contract() -> None:
    answer = ask("grad", "(x + y) * z", {"x": -2, "y": 5, "z": -4})
    assert list(answer["values"]) == ["x", "y", "z", "t1", "t2"]
    assert answer["of"] == "t2"
    assert answer["output_ids"] == ["t2"]
    assert answer["gradients"] == {"x": -4, "y": -4, "z": 3, "t1": -4, "t2": 1}
    assert answer["graph_id"] == ask("evaluate", "(x + y) * z", {"x": 1, "y": 1, "z": 1})["graph_id"]


@pytest.mark.parametrize("program", NEURON)
def test_neuron_in_eight_steps(program: Any) -> None:
    answer = ask("grad", program, NEURON_AT)
    assert {name: float(answer["gradients"][name]) for name in PRINTED} == PRINTED
    assert answer["gradients"]["t8"] == 1
    sigmoid = answer["values"]["t6"]
    assert answer["values"]["t8"] == (sigmoid - 10) ** 2
    # What the article computes in full: everything upstream of t3 has the same size.
    for name in ("t1", "t2", "b"):
        assert answer["gradients"][name] == PRINTED["w"]
    assert answer["gradients"]["x"] == 2 * PRINTED["w"]
    assert answer["gradients"]["target"] == -PRINTED["t7"]


@pytest.mark.parametrize("program", NEURON)
@pytest.mark.parametrize("node", PRINTED)
def test_neuron_forward_equals_reverse(program: Any, node: str) -> None:
    forward = ask("grad", program, NEURON_AT, wrt=[node], mode="forward")
    assert forward["mode"] == "forward"
    near(forward["gradients"][node], np.float64(PRINTED[node]), rtol=4e-16)


def test_dual_numbers() -> None:
    answer = ask("jvp", "x**2 * exp(x) + 3*x", {"x": 1.0}, tangents={"x": 1.0})
    (output,) = answer["output_ids"]
    assert answer["outputs"][output] == 5.718281828459045
    assert answer["output_tangents"][output] == 11.154845485377136
    graph = chain(
        ("s", "square", ["x"]), ("e", "exp", ["x"]), ("p", "multiply", ["s", "e"]), ("l", "multiply", [3, "x"]),
        ("f", "add", ["p", "l"]), inputs="x",
    )  # fmt: skip
    answer = ask("jvp", graph, {"x": 1.0}, tangents={"x": 1.0})
    assert answer["outputs"]["f"] == 5.718281828459045
    assert answer["output_tangents"]["f"] == 11.154845485377136


def test_regularised_logistic_loss() -> None:
    text = "y = sigmoid(w*x + b)\nL = (y - t)**2 / 2 + lam/2 * w**2"
    at = {"w": 0.7, "x": 1.3, "b": -0.2, "t": 1.0, "lam": 0.1}
    answer = ask("grad", text, at)
    s = 1 / (1 + math.exp(-(0.7 * 1.3 - 0.2)))
    expected = {
        "w": (s - 1) * s * (1 - s) * 1.3 + 0.1 * 0.7,
        "b": (s - 1) * s * (1 - s),
        "x": (s - 1) * s * (1 - s) * 0.7,
        "t": -(s - 1),
        "lam": 0.7**2 / 2,
        "y": s - 1,
    }
    for name, value in expected.items():
        near(answer["gradients"][name], np.float64(value), rtol=1e-14)


def test_a_node_used_twice_accumulates() -> None:
    # The article's own `Value` class overwrites (`self.grad = …`); b = a + a would get 1.
    assert ask("grad", "b = a + a", {"a": 3})["gradients"] == {"a": 2, "b": 1}
    assert ask("grad", "b = a * a", {"a": 3})["gradients"]["a"] == 6
    answer = ask("grad", "c = a + b\nd = a * b\ne = c * d", {"a": -2, "b": 3})
    assert answer["gradients"] == {"a": -3, "b": -8, "c": -6, "d": 1, "e": 1}


def test_derivative_of_exp_is_exp() -> None:
    # The article prints ∂t4/∂t3 = exp(t3)·t3; its code has it right.
    for t in (-2.0, 0.0, 0.5, 3.0):
        assert ask("grad", "exp(t)", {"t": t})["gradients"]["t"] == np.exp(t)


def test_cycle_is_refused_with_its_nodes() -> None:
    graph = {
        "nodes": [
            {"id": "x", "op": "input"},
            {"id": "a", "op": "add", "inputs": ["x", "c"]},
            {"id": "b", "op": "exp", "inputs": ["a"]},
            {"id": "c", "op": "negative", "inputs": ["b"]},
        ],
        "outputs": ["c"],
    }
    with pytest.raises(Cycle) as caught:
        ask("grad", graph, {"x": 1})
    assert "a → c → b → a" in caught.value.detail
    assert caught.value.where is not None
    assert caught.value.where.pointer == "/graph/nodes/1/inputs/1"


def test_two_layer_network() -> None:
    at = {"inputs": [[0.8]], "weights1": [[0.5, 1.2]], "weights2": [[-0.3], [0.8]], "target": [[1.9]]}
    answer = ask("grad", NETWORK_TEXT, at)
    hidden = np.maximum(0, 0.8 * np.array([0.5, 1.2]))
    error = hidden @ np.array([-0.3, 0.8]) - 1.9
    near(answer["value"], error**2, rtol=1e-15)
    near(answer["gradients"]["weights2"], 2 * error * hidden[:, None], rtol=1e-14)
    near(answer["gradients"]["weights1"], 2 * error * np.array([[-0.3, 0.8]]) * 0.8, rtol=1e-14)
    near(answer["gradients"]["target"], [[-2 * error]], rtol=1e-14)
    assert answer["values"]["hidden"].shape == (1, 2)
    # The landscape's kink lies at w₁ = 0: relu has the derivative 0 there, and says so.
    at["weights1"] = [[0.0, 1.2]]
    kink = ask("grad", NETWORK_TEXT, at)
    assert kink["gradients"]["weights1"][0, 0] == 0
    assert [w["kind"] for w in kink["warnings"]] == ["non-differentiable"]


def test_network_gradient_is_the_slope_of_the_landscape() -> None:
    def at(w: np.ndarray) -> dict[str, Any]:
        first, second = w.tolist()
        return {
            "inputs": [[0.8]],
            "weights1": [[first, 1.2]],
            "weights2": [[second], [0.8]],
            "target": [[1.9]],
        }

    def loss(w: np.ndarray) -> Any:
        (value,) = ask("evaluate", NETWORK_TEXT, at(w), nodes="none")["outputs"].values()
        return value

    point = np.array([2.1, -0.7])
    gradients = ask("grad", NETWORK_TEXT, at(point))["gradients"]
    got = np.array([gradients["weights1"][0, 0], gradients["weights2"][0, 0]])
    near(got, difference(loss, point), rtol=1e-10)


def test_numerical_differentiation_has_its_best_step() -> None:
    # Truncation falls and rounding grows as h shrinks: what the article plots for x³ at 1.
    def error(h: float) -> float:
        f = [float(ask("evaluate", "f = x**3", {"x": x})["outputs"]["f"]) for x in (1 + h, 1.0)]
        return abs((f[0] - f[1]) / h - 3)

    assert error(1e-8) < 1e-6 < error(1e-2)
    assert error(1e-15) > 1e-3
    assert ask("grad", "f = x**3", {"x": 1.0})["gradients"]["x"] == 3


# ------------------------------------------------------------------------------------------------------------- trace


@pytest.mark.parametrize("program", NEURON)
def test_lagrangian_multipliers_are_the_adjoints(program: Any) -> None:
    gradients = ask("grad", program, NEURON_AT)["gradients"]
    trace = ask("trace", program, NEURON_AT, lagrangian=True)
    multipliers = {entry["node"]: entry["multiplier"] for entry in trace["lagrangian"]}
    assert multipliers == {name: gradients[name] for name in ("t1", "t2", "t3", "t4", "t5", "t6", "t7", "t8")}
    assert trace["lagrangian"][0]["constraint"] == "t1 - (w * x) = 0"


@pytest.mark.parametrize("program", NEURON)
def test_backward_pass_replayed_step_by_step(program: Any) -> None:
    gradients = ask("grad", program, NEURON_AT)["gradients"]
    trace = ask("trace", program, NEURON_AT)
    assert [entry["node"] for entry in trace["reverse"]] == [f"t{k}" for k in range(8, 0, -1)]
    totals = {"t8": np.asarray(1.0)}
    printed = iter(["t7", "t6", "t5", "t4", "t3"])
    for entry in trace["reverse"]:
        assert entry["adjoint"] == totals[entry["node"]] == gradients[entry["node"]]
        for step in entry["contributions"]:
            assert step["amount"] == entry["adjoint"] * step["partial"]
            totals[step["to"]] = totals.get(step["to"], 0) + step["amount"]
            assert totals[step["to"]] == step["total"]
        known = next(printed, None)
        if known is not None:
            assert totals[known] == PRINTED[known]
    assert totals == gradients


def test_forward_half_of_the_trace() -> None:
    trace = ask("trace", "(x + y) * z", {"x": -2, "y": 5, "z": -4}, tangents={"x": 1})
    forward = {entry["node"]: entry for entry in trace["forward"]}
    assert list(forward) == ["x", "y", "z", "t1", "t2"]
    assert forward["t1"] == {
        "node": "t1", "op": "add", "inputs": ["x", "y"], "value": 3, "tangent": 1, "partials": {"x": 1, "y": 1}
    }  # fmt: skip
    assert forward["t2"]["tangent"] == -4
    assert trace["reverse"][0] == {
        "node": "t2",
        "adjoint": 1,
        "contributions": [
            {"to": "t1", "partial": -4, "amount": -4, "total": -4},
            {"to": "z", "partial": 3, "amount": 3, "total": 3},
        ],
    }


REPLAYED = {
    "shared": ("c = a + b\nd = a * b\ne = c * d + a * a", {"a": -2, "b": 3}),
    "a number in two steps": ("u = x * 2\nv = y * 2\nm = x > 2\nv * y + 2", {"x": 0.5, "y": 2}),
    "a number in steps of several shapes": ("y = x + 2\nsum(concat([y, x]) + 2) * sum(y)", {"x": [0.5, 2]}),
    "unused": ("u = exp(x)\nv = x * y\nw = v + x", {"x": 0.5, "y": 2}),
    "arrays": ("h = tanh(W @ x + b)\ns = h * h\nsum(s * b) + b[0]", {"W": [[1, 2], [3, 4]], "x": [0.1, -0.2], "b": [0.3, 0.4]}),
    "several": ("a, b = np.split(x, 2)\nsum(a * a * b) + a[0]", {"x": [1.5, 2.5, 3.5, 4.5]}),
    "network": (NETWORK_TEXT, {"inputs": [[0.8]], "weights1": [[0.5, 1.2]], "weights2": [[-0.3], [0.8]], "target": [[1.9]]}),
}  # fmt: skip


@pytest.mark.parametrize("name", REPLAYED)
def test_running_totals_end_at_the_gradients(name: str) -> None:
    text, at = REPLAYED[name]
    gradients = ask("grad", text, at)["gradients"]
    trace = ask("trace", text, at)
    totals: dict[str, Any] = {trace["of"]: np.ones(())}
    for entry in trace["reverse"]:
        if entry["adjoint"] is not None:
            near(totals[entry["node"]], entry["adjoint"], 1e-15)
            near(totals[entry["node"]], gradients[entry["node"]], 1e-15)
        for step in entry["contributions"]:
            totals[step["to"]] = totals.get(step["to"], 0) + step["amount"]
            near(totals[step["to"]], step["total"], 1e-15)
    for node, gradient in gradients.items():
        near(totals.get(node, np.zeros_like(gradient)), gradient, 1e-14)
