"""`POST /v1/landscape`: values on a grid, against NumPy and the other verbs. (The pictures: test_plots.py.)"""

from __future__ import annotations

import base64
import math
import re
from itertools import product
from typing import Any

import numpy as np
import pytest

from engine.aval import Array
from tests.service.conftest import Client, Json

ROSENBROCK = "(1 - x)**2 + 100*(y - x**2)**2"


def over(name: str, start: float, stop: float, num: int, index: Any = None) -> Json:
    return {"input": name, "start": start, "stop": stop, "num": num} | (
        {} if index is None else {"index": index}
    )


TWO = [over("x", -2, 2, 5), over("y", -1, 3, 3)]


# ------------------------------------------------------------------------------------------------------- what it says


def test_two_axes(client: Client) -> None:
    answer = client.ask("landscape", {"expression": ROSENBROCK, "axes": TWO})
    x, y = np.linspace(-2, 2, 5), np.linspace(-1, 3, 3)
    assert [a["values"] for a in answer["axes"]] == [x.tolist(), y.tolist()]
    assert [a["label"] for a in answer["axes"]] == ["x", "y"]
    expected = (1 - x[:, None]) ** 2 + 100 * (y[None, :] - x[:, None] ** 2) ** 2
    assert np.array_equal(answer["surface"], expected)
    assert answer["minimum"] == {"value": 0.0, "at": {"x": 1.0, "y": 1.0}, "index": [3, 1]}
    assert answer["of"] == "t7"
    assert answer["output_ids"] == ["t7"]
    assert answer["warnings"] == []
    assert answer["graph_id"].startswith("sha256-")
    assert "gradients" not in answer
    assert "path" not in answer


def test_one_axis_is_a_list(client: Client) -> None:
    answer = client.ask(
        "landscape", {"expression": "sin(x) * a", "inputs": {"a": 2}, "axes": [over("x", 0, 1, 7)]}
    )
    assert np.allclose(answer["surface"], 2 * np.sin(np.linspace(0, 1, 7)), rtol=1e-15)


def test_the_articles_landscape(client: Client) -> None:
    """Two weights of a network, as the article computes it in a loop."""
    body = {
        "expression": "hidden = relu(x @ w1)\nloss = mean((hidden @ w2 - target)**2)",
        "inputs": {"x": [[0.8]], "target": [[1.9]], "w1": [[0, 1.2]], "w2": [[0], [0.8]]},
        "axes": [over("w1", 0, 3.5, 201, [0, 0]), over("w2", -3.5, 3.5, 201, [0, 0])],
    }
    answer = client.ask("landscape", body)
    first, second = np.linspace(0, 3.5, 201), np.linspace(-3.5, 3.5, 201)
    losses = np.zeros((201, 201))
    for i, j in product(range(201), range(201)):
        hidden = np.maximum(0, np.dot(np.array([[0.8]]), np.array([[first[i], 1.2]])))
        output = np.dot(hidden, np.array([[second[j]], [0.8]]))
        losses[i, j] = np.mean(np.square(output - 1.9))
    assert np.abs(np.array(answer["surface"]) - losses).max() <= 1e-15 * losses.max()
    i, j = np.unravel_index(np.argmin(losses), losses.shape)
    assert answer["minimum"]["index"] == [i, j]
    assert answer["minimum"]["at"] == {"w1[0, 0]": first[i], "w2[0, 0]": second[j]}
    assert answer["minimum"]["value"] == pytest.approx(losses.min(), rel=1e-6)


PROGRAMS: dict[str, Json] = {
    "scalars": {"expression": "log(x**2 + 1) * tanh(y) + x*y", "inputs": {"x": 0, "y": 0}},
    "entries": {
        "expression": "v = A @ x\nsum(exp(-v**2)) + x[1]",
        "inputs": {"A": [[1, 2], [3, 4]], "x": [0.5, 1.0]},
    },
    "loop": {"expression": "z = x\nfor i in range(3):\n    z = sin(z) * y\nz", "inputs": {"x": 0, "y": 0}},
    "while": {
        "expression": "z = x**2\nwhile z < 5:\n    z = z * 2 + y**2 + 0.1\nz",
        "inputs": {"x": 0, "y": 0},
    },
    "if": {"expression": "if x > y:\n    z = x - y\nelse:\n    z = y**2\nz", "inputs": {"x": 0, "y": 0}},
    "solve": {"expression": "sum(solve(A, b)**2)", "inputs": {"A": [[3, 1], [1, 2]], "b": [1, 2]}},
    "unused": {"expression": "p = x**3\nq = y\np", "inputs": {"x": 0, "y": 0}},
    "fixed": {
        "expression": "u = sum(svd(A)[1])\nu * x + y",
        "inputs": {"A": [[3, 1], [1, 2]], "x": 0, "y": 0},
    },
    "inner": {"expression": "def h(a):\n    return a**3 * y\ngrad(h)(x) + x*y", "inputs": {"x": 0, "y": 0}},
    "tensor": {
        "expression": "sum(softmax(W @ x)[0] * W)",
        "inputs": {"W": np.eye(3, 4).tolist(), "x": [1, 2, 3, 4]},
    },
}
AXES: dict[str, list[Json]] = {
    "entries": [over("x", -1, 1, 4, -1), over("A", -2, 2, 3, [0, -2])],
    "solve": [over("A", 1, 2, 4, [0, 0]), over("b", -2, 2, 3, 1)],
    "tensor": [over("W", -1, 1, 4, [1, 2]), over("W", 1, -1, 3, [-1, -1])],
}


def points(answer: Json) -> list[tuple[tuple[int, ...], list[float]]]:
    values = [a["values"] for a in answer["axes"]]
    return [
        (place, [v[k] for v, k in zip(values, place, strict=True)])
        for place in product(*[range(len(v)) for v in values])
    ]


def at(body: Json, axes: list[Json], point: list[float]) -> Json:
    """The program's body at a point of the grid."""
    inputs: Json = dict(body["inputs"])
    for axis, x in zip(axes, point, strict=True):
        index = axis.get("index")
        if index is None:
            inputs[axis["input"]] = x
            continue
        array = np.array(inputs[axis["input"]], float)
        array[tuple(index) if isinstance(index, list) else index] = x
        inputs[axis["input"]] = array.tolist()
    return {**body, "inputs": inputs}


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", PROGRAMS)
def test_it_is_the_other_verbs_at_each_point(client: Client, name: str, dtype: str) -> None:
    body = {**PROGRAMS[name], "dtype": dtype}
    axes = AXES.get(name, [over("x", -1, 1, 4), over("y", -2, 2, 3)])
    answer = client.ask("landscape", {**body, "axes": axes, "gradients": True})
    near = {"rel": 1e-12, "abs": 1e-14} if dtype == "float64" else {"rel": 2e-5, "abs": 1e-6}
    for place, point in points(answer):
        single = client.ask("grad", at(body, axes, point))
        assert np.array(answer["surface"])[place] == pytest.approx(single["value"], **near)
        for axis, gradient in zip(axes, answer["gradients"], strict=True):
            index = axis.get("index", ())
            whole = np.array(single["gradients"][axis["input"]])
            expected = whole[tuple(index) if isinstance(index, list) else index]
            assert np.array(gradient)[place] == pytest.approx(float(np.squeeze(expected)), **near)


@pytest.mark.parametrize("name", ["scalars", "loop", "while", "if", "inner"])
def test_it_is_evaluate_under_two_maps(client: Client, name: str) -> None:
    axes = [over("x", -1, 1, 40), over("y", -2, 2, 30)]
    answer = client.ask("landscape", {**PROGRAMS[name], "axes": axes})
    mapped = {
        **PROGRAMS[name],
        "inputs": {a["input"]: a["values"] for a in answer["axes"]},
        "in_axes": [{"x": 0}, {"y": 0}],
        "nodes": "none",
    }
    assert np.array_equal(client.ask("evaluate", mapped)["outputs"][answer["of"]], answer["surface"])


def test_a_body_of_grad_with_all_common_fields(client: Client) -> None:
    body = {
        "graph": {
            "nodes": [
                {"id": "a", "op": "input", "value": 3.0},
                {"id": "b", "op": "input"},
                {"id": "p", "op": "multiply", "inputs": ["a", "b"]},
                {"id": "s", "op": "sin", "inputs": ["p"]},
            ],
            "outputs": ["s", "p"],
        },
        "inputs": {"b": 2},
        "of": "p",
        "wrt": ["a"],
        "mode": "forward",
        "nodes": "none",
        "arrays": "base64",
        "dtype": "float64",
        "include": ["timing", "dot"],
    }
    answer = client.ask("landscape", {**body, "axes": [over("b", 0, 1, 2)], "gradients": True})
    assert base64.b64decode(answer["surface"]["data"]["buffer"]) == np.array([0.0, 3.0]).tobytes()
    assert answer["of"] == "p"
    assert answer["output_ids"] == ["s", "p"]
    assert answer["timing"]["run_ms"] > 0
    assert answer["dot"].startswith("digraph")


def test_a_registered_program(client: Client) -> None:
    made = client.post("/v1/graphs", json={"expression": "x**2 + y", "name": "for-landscapes"})
    body = {"inputs": {"y": 1}, "axes": [over("x", 0, 2, 3)]}
    for ref in (made.json()["id"], "for-landscapes"):
        assert client.post(f"/v1/graphs/{ref}/landscape", json=body).json()["surface"] == [1.0, 2.0, 5.0]
    assert client.ask("landscape", {**body, "graph_id": "for-landscapes"})["surface"] == [1.0, 2.0, 5.0]


def test_inputs_that_are_axes_need_no_value(client: Client) -> None:
    bare = client.ask("landscape", {"expression": ROSENBROCK, "axes": TWO})
    given = client.ask("landscape", {"expression": ROSENBROCK, "axes": TWO, "inputs": {"x": 9, "y": "NaN"}})
    assert bare == given
    body = {"expression": ROSENBROCK + " + z", "axes": TWO}
    assert client.problem("landscape", body, 422, "missing-input")["node"] == "z"
    client.problem(
        "landscape", {"expression": "x[0] + y", "axes": [over("x", 0, 1, 2, 0)]}, 422, "missing-input"
    )


# ------------------------------------------------------------------------------------------------------------- axes


@pytest.mark.parametrize(
    ("start", "stop", "num", "values"),
    [
        (1, -1, 3, [1.0, 0.0, -1.0]),
        (2, 2, 2, [2.0, 2.0]),
        (2, 5, 1, [2.0]),
        (-1.5e308, 1.5e308, 3, [-1.5e308, 0.0, 1.5e308]),
        (5e-324, 1e-323, 2, [5e-324, 1e-323]),
    ],
)
def test_any_range(client: Client, start: float, stop: float, num: int, values: list[float]) -> None:
    answer = client.ask("landscape", {"expression": "x", "axes": [over("x", start, stop, num)]})
    assert answer["axes"][0]["values"] == values == answer["surface"]


GOOD = over("x", 0, 1, 3)


@pytest.mark.parametrize(
    ("axes", "name", "pointer"),
    [
        ([], "invalid-field", "/axes"),
        ([GOOD] * 3, "invalid-field", "/axes"),
        ("x", "invalid-field", "/axes"),
        ([3], "invalid-field", "/axes/0"),
        ([GOOD, GOOD], "invalid-field", "/axes/1"),
        ([over("x", 0, 1, 0)], "invalid-field", "/axes/0/num"),
        ([over("x", 0, 1, 2.5)], "invalid-field", "/axes/0/num"),  # type: ignore[arg-type]  # what a client may send
        ([over("x", 0, 1, True)], "invalid-field", "/axes/0/num"),
        ([GOOD | {"start": "NaN"}], "invalid-field", "/axes/0/start"),
        ([GOOD | {"stop": "Infinity"}], "invalid-field", "/axes/0/stop"),
        ([GOOD | {"stop": None}], "invalid-array", "/axes/0/stop"),
        ([GOOD | {"stop": [1]}], "invalid-field", "/axes/0/stop"),
        ([GOOD | {"stop": True}], "invalid-field", "/axes/0/stop"),
        ([{"input": "x", "start": 0, "num": 2}], "invalid-field", "/axes/0/stop"),
        ([GOOD | {"steps": 3}], "unknown-field", "/axes/0/steps"),
        ([GOOD | {"input": 3}], "invalid-field", "/axes/0/input"),
        ([GOOD | {"input": "xx"}], "unknown-input", "/axes/0/input"),
        ([GOOD | {"input": "p"}], "unknown-input", "/axes/0/input"),
        ([GOOD | {"index": 0}], "invalid-field", "/axes/0/index"),
        ([GOOD | {"index": "0"}], "invalid-field", "/axes/0/index"),
        ([over("v", 0, 1, 2)], "invalid-field", "/axes/0/index"),
        ([over("v", 0, 1, 2, 3)], "invalid-field", "/axes/0/index"),
        ([over("v", 0, 1, 2, [0, 0])], "invalid-field", "/axes/0/index"),
        ([over("v", 0, 1, 2, -1), over("v", 0, 1, 2, 2)], "invalid-field", "/axes/1"),
        ([over("k", 0, 1, 2)], "not-differentiable", "/axes/0/input"),
        ([over("c", 0, 1, 2)], "not-differentiable", "/axes/0/input"),
    ],
)
def test_axes_that_make_no_sense(client: Client, axes: Any, name: str, pointer: str) -> None:
    body = {
        "expression": "p = x * v[k]\nwhere(c, p, sum(v))",
        "inputs": {"x": 1, "v": [1, 2, 3], "k": 1, "c": True},
    }
    found = client.problem("landscape", {**body, "axes": axes}, 422, name)
    assert found["pointer"] == pointer


def test_mistakes_are_told_together_and_with_suggestions(client: Client) -> None:
    axes = [over("widht", 0, 1, 3), {"input": "height", "start": 0, "stop": "a", "numm": 2}]
    found = client.problem(
        "landscape",
        {"expression": "width * height", "axes": axes, "path": [[1], {"width": None}]},
        422,
        "unknown-input",
    )
    assert found["suggestions"] == ["width"]
    assert {e["pointer"] for e in found["errors"]} >= {
        "/axes/0/input", "/axes/1/numm", "/axes/1/num", "/path/0", "/path/1/width",
    }  # fmt: skip


def test_without_axes(client: Client) -> None:
    found = client.problem("landscape", {"expression": "x"}, 422, "invalid-field")
    assert found["pointer"] == "/axes"


def test_what_is_refused(client: Client) -> None:
    axes = [over("x", 0, 1, 3)]
    found = client.problem("landscape", {"expression": "x * ones(3)", "axes": axes}, 422, "non-scalar-output")
    assert "sum" in found["detail"]
    client.problem("landscape", {"expression": "x > 0", "axes": axes}, 422, "not-differentiable")
    client.problem("landscape", {"expression": "x", "axes": axes, "of": "q"}, 422, "unknown-node")
    client.problem("landscape", {"expression": "x", "axes": axes, "wrt": ["q"]}, 422, "unknown-node")
    client.problem("landscape", {"expression": "x", "axes": axes, "in_axes": {"x": 0}}, 422, "unsupported")
    client.problem("landscape", {"expression": "x", "axes": axes, "seed": 1}, 422, "unknown-field")


# ------------------------------------------------------------------------------------------------------------- path


def test_a_path_of_lists_and_of_points_by_id(client: Client) -> None:
    body = {
        "expression": "sum(v**2) + s",
        "inputs": {"v": [1, 2, 3], "s": 10},
        "axes": [over("v", 0, 1, 2, -1), over("s", 0, 1, 2)],
        "path": [[5, 1], {"v": [0, 0, 7], "s": 2}, {"v[2]": 4}, {"s": "NaN"}, {"t1": [0, 0, 0]}],
    }
    answer = client.ask("landscape", body)
    assert [list(p["at"].values()) for p in answer["path"]] == [
        [5.0, 1.0],
        [7.0, 2.0],
        [4.0, 10.0],
        [3.0, "NaN"],
        [3.0, 10.0],
    ]
    assert [p["value"] for p in answer["path"]] == [31.0, 56.0, 31.0, "NaN", 24.0]
    assert client.ask("landscape", {**body, "path": [p["at"] for p in answer["path"]]}) == answer


def test_a_history_of_a_descent_is_a_path(client: Client) -> None:
    history = [{"x": 1.0, "y": 2.0}, {"x": 0.5, "y": 1.0}]
    answer = client.ask(
        "landscape", {"expression": "x*y", "axes": [over("x", 0, 1, 2)], "inputs": {"y": 3}, "path": history}
    )
    assert answer["path"] == [{"value": 3.0, "at": {"x": 1.0}}, {"value": 1.5, "at": {"x": 0.5}}]
    assert (
        client.ask("landscape", {"expression": "x*x", "axes": [over("x", 0, 1, 2)], "path": []})["path"] == []
    )


@pytest.mark.parametrize(
    ("path", "name", "pointer"),
    [
        ([[1, 2, 3]], "invalid-field", "/path/0"),
        ([1.0], "invalid-field", "/path/0"),
        ([[1, "x"]], "invalid-array", "/path/0/1"),
        ([[1, True]], "invalid-field", "/path/0"),
        ([{"z": 1}], "unknown-input", "/path/0/z"),
        ([{"x": [1]}], "shape-mismatch", "/path/0/x"),
        ({"x": 1}, "invalid-field", "/path"),
    ],
)
def test_paths_that_make_no_sense(client: Client, path: Any, name: str, pointer: str) -> None:
    found = client.problem("landscape", {"expression": ROSENBROCK, "axes": TWO, "path": path}, 422, name)
    assert found["pointer"] == pointer


# --------------------------------------------------------------------------------------------------------- warnings


def test_values_that_are_not_finite(client: Client) -> None:
    axes = [over("x", -1, 2, 4), over("y", 0, 1, 2)]
    answer = client.ask("landscape", {"expression": "log(x) + y", "axes": axes})
    assert answer["surface"][0] == ["NaN", "NaN"]
    assert answer["surface"][1] == ["-Infinity", "-Infinity"]
    assert answer["minimum"] == {"value": "-Infinity", "at": {"x": 0.0, "y": 0.0}, "index": [1, 0]}
    (warning,) = answer["warnings"]
    assert warning["kind"] == "non-finite-value"
    assert warning["node"] == "t1"
    assert warning["operand"] == "x"
    assert warning["index"] == [0, 0]
    assert warning["count"] == 4
    nowhere = client.ask("landscape", {"expression": "log(x - 9) + y", "axes": axes, "gradients": True})
    assert nowhere["minimum"] is None
    assert set(np.ravel(nowhere["surface"])) == {"NaN"}


def test_ties_and_infinities(client: Client) -> None:
    answer = client.ask("landscape", {"expression": "0*x*y", "axes": TWO})
    assert answer["minimum"]["index"] == [0, 0]
    above = client.ask("landscape", {"expression": "exp(x)", "axes": [over("x", 1000, 2000, 2)]})
    assert above["minimum"]["value"] == "Infinity"
    assert above["warnings"][0]["kind"] == "non-finite-value"


def test_kinks_are_told_only_with_gradients(client: Client) -> None:
    body = {"expression": "abs(x) + relu(y)", "axes": [over("x", -1, 1, 3), over("y", 1, 2, 2)]}
    assert client.ask("landscape", body)["warnings"] == []
    (warning,) = client.ask("landscape", {**body, "gradients": True})["warnings"]
    assert warning["kind"] == "non-differentiable"
    assert warning["index"] == [1, 0]
    assert warning["count"] == 2


def test_a_gradient_that_is_not_finite(client: Client) -> None:
    answer = client.ask(
        "landscape", {"expression": "sqrt(x)", "axes": [over("x", 0, 4, 3)], "gradients": True}
    )
    assert answer["gradients"][0][0] == "Infinity"
    assert answer["warnings"][0]["kind"] == "non-finite-gradient"
    assert answer["warnings"][0]["index"][0] == 0


def test_singular_matrices(client: Client) -> None:
    body = {"expression": "sum(solve(A, b))", "inputs": {"A": [[1, 2], [2, 4]], "b": [1, 2]}}
    answer = client.ask("landscape", {**body, "axes": [over("A", 0, 2, 3, [0, 0])]})
    assert answer["surface"][1] == "NaN"
    assert answer["surface"][0] != "NaN" != answer["surface"][2]
    (warning,) = [w for w in answer["warnings"] if w["kind"] == "singular-matrix"]
    assert warning["index"][0] == 1
    assert warning["node"] == "t1"
    fixed = client.ask("landscape", {**body, "axes": [over("b", 0, 2, 3, 0)], "gradients": True})
    assert fixed["surface"] == ["NaN"] * 3
    assert fixed["minimum"] is None
    assert fixed["warnings"][0]["kind"] == "singular-matrix"


# ----------------------------------------------------------------------------------------------------------- limits


def test_points_are_limited_before_anything_is_computed(client: Client) -> None:
    small = Client(landscape_points=100)
    try:
        limits = small.get("/v1/limits").json()["limits"]
        assert limits["landscape_points"] == 100
        assert (
            len(small.ask("landscape", {"expression": "x", "axes": [over("x", 0, 1, 100)]})["surface"]) == 100
        )
        axes = [over("x", 0, 1, 10), over("y", 0, 1, 11)]
        found = small.problem("landscape", {"expression": "x + y", "axes": axes}, 413, "limit-exceeded")
        assert (found["limit"], found["maximum"], found["actual"]) == ("landscape_points", 100, 110)
        axes = [over("x", 0, 1, 100)]
        small.problem("landscape", {"expression": "x", "axes": axes, "path": [[1.0]]}, 413, "limit-exceeded")
        body = {"expression": "x", "axes": [over("x", 0, 1, 2)], "path": [["not looked at"]] * 101}
        assert small.problem("landscape", body, 413, "limit-exceeded")["pointer"] == "/path"
    finally:
        small.close()
    huge = [over("x", 0, 1, 2**52), over("y", 0, 1, 2**52)]
    found = client.problem("landscape", {"expression": "x + y", "axes": huge}, 413, "limit-exceeded")
    assert found["actual"] == 2**104 or found["actual"] == pytest.approx(2.0**104)


def test_time_and_work_are_limited(client: Client) -> None:
    body = {
        "expression": "sum(sin(x * arange(3000000.0)))",
        "axes": [over("x", 0, 1, 1000), over("y", 0, 1, 1000)],
    }
    body["expression"] += " + y"
    found = client.problem("landscape", body, 413, "limit-exceeded")
    assert found["limit"] == "flops"
    body["axes"] = [over("x", 0, 1, 300), over("y", 0, 1, 2)]
    response = client.post("/v1/landscape", json=body, headers={"x-request-timeout": "0.3"})
    assert response.status_code == 504


def test_two_weights_of_a_large_network(client: Client) -> None:
    """What one axis alone changes is computed once for each of its values, and what none changes once."""
    rng = np.random.default_rng(3)
    first, second = rng.normal(size=(30, 100)) / 6, rng.normal(size=(100, 100)) / 10
    x, last = rng.normal(size=(8, 30)), rng.normal(size=100)
    body = {
        "expression": "h = tanh(x @ w1)\ng = tanh(h @ w2)\nmean((g @ w3)**2)",
        "inputs": {"x": x.tolist(), "w1": first.tolist(), "w2": second.tolist(), "w3": last.tolist()},
        "axes": [over("w2", -1, 1, 60, [3, 4]), over("w3", -1, 1, 50, 7)],
    }
    answer = client.ask("landscape", body)
    hidden = np.tanh(x @ first)
    for i, j in ((0, 0), (17, 31), (59, 49)):
        w2, w3 = second.copy(), last.copy()
        w2[3, 4], w3[7] = answer["axes"][0]["values"][i], answer["axes"][1]["values"][j]
        assert answer["surface"][i][j] == pytest.approx(np.mean((np.tanh(hidden @ w2) @ w3) ** 2), rel=1e-12)


LINES = 600
LONG = "\n".join(["t = x", *[f"t = t * 0.999 + {k % 7} * y * 0.001" for k in range(LINES)]])


@pytest.mark.parametrize("last", ["t", "sqrt(t)", "abs(t - 0.5) + log(x)"])
def test_many_nodes(client: Client, last: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A long program of scalars is computed by points, or by its plan: with the same numbers and warnings."""
    body = {
        "expression": f"{LONG}\n{last}",
        "axes": [over("x", -0.5, 1, 7), over("y", -1, 1, 5)],
        "gradients": True,
        "path": [[0.5, 0.25], [-1, 0]],
    }
    answer = client.ask("landscape", body)

    def f(x: float, y: float) -> float:
        t = x
        for k in range(LINES):
            t = t * 0.999 + k % 7 * y * 0.001
        with np.errstate(all="ignore"):
            return float(eval_last(last, np.float64(x), np.float64(t)))

    x, y = (a["values"] for a in answer["axes"])
    expected = np.array([[f(u, v) for v in y] for u in x])
    found = np.array(answer["surface"], float)
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    monkeypatch.setattr("engine.landscape.long.MOST_POINTS", 0)
    planned = client.ask("landscape", body)
    np.testing.assert_allclose(np.array(planned["surface"], float), found, rtol=1e-12)
    np.testing.assert_allclose(
        np.array(planned["gradients"], float), np.array(answer["gradients"], float), rtol=1e-12
    )
    assert planned["warnings"] == answer["warnings"]
    along, again = ([float(p["value"]) for p in a["path"]] for a in (answer, planned))
    np.testing.assert_allclose(along, [f(0.5, 0.25), f(-1.0, 0.0)], rtol=1e-12)
    np.testing.assert_allclose(again, along, rtol=1e-12)


def eval_last(last: str, x: Any, t: Any) -> Any:
    return {"t": t, "sqrt(t)": np.sqrt(t), "abs(t - 0.5) + log(x)": np.abs(t - 0.5) + np.log(x)}[last]


LARGE: dict[str, str] = {
    "matrix product": "sum(tanh(x @ W) @ v)",
    "the other side": "sum(tanh(W @ v))",
    "transposed": "sum(tanh(W.T @ v * 0.1))",
    "weight decay": "sum((x @ W)**2) + 0.1*sum(W**2)",
    "entries by entries": "sum(exp(W) * W / (1 + W**2))",
    "masked": "sum(where(W > 0, W, 0.1*W) @ v)",
    "twice": "sum(W @ W)",
    "one in the other": "sum(tanh(W) @ tanh(v * W[0, 1]))",
    "joined": "sum(concatenate([W, 2*W]) @ v)",
    "rows": "dot(W[3], v) + W[2, 5]**2",
    "sliced and summed": "sum(W[1:4, ::2]**3) + mean(W) + sum(W.reshape(-1)[:20])",
    "softmax": "sum(softmax(x @ W)[0] * v)",
    "largest": "max(W) + sum(sort(W @ v)[:3])",
    "solved": "sum(solve(W + 12*eye(9), v))",
    "right-hand side": "sum(solve(eye(9) + 0.1*outer(v, v), W)**2)",
    "loop": "h = v\nfor i in range(3):\n    h = tanh(W @ h)\nsum(h)",
    "outer product": "sum(einsum('ij,jk->ik', W, W.T) * outer(v, v))",
    "both": "sum(tanh(W @ v)) + sum(x * v)",
    "infinite on the way": "sum(tanh((x / 0.0) @ W) @ v)",
    "not finite": "sum(log(W) @ v)",
    "truth": "sum(where(W > 0.3, 1.0, 0.0) * W)",
}


@pytest.mark.parametrize("gradients", [False, True])
@pytest.mark.parametrize("name", LARGE)
def test_entries_of_large_arrays(client: Client, name: str, gradients: bool) -> None:
    """Only scalars vary, and the numbers are those of whole arrays."""
    rng = np.random.default_rng(11)
    inputs = {"W": rng.normal(size=(9, 9)), "v": rng.normal(size=9), "x": rng.normal(size=(2, 9))}
    used = {k: a.tolist() for k, a in inputs.items() if re.search(rf"\b{k}\b", LARGE[name])}
    body = {"expression": LARGE[name], "inputs": used}
    axes = [over("W", -1, 2, 4, [2, 5]), over("W", 1, -1, 3, [0, 1])]
    if name == "both":
        axes[1] = over("v", 1, -1, 3, -1)
    answer = client.ask("landscape", {**body, "axes": axes, "gradients": gradients})
    for place, point in points(answer):
        single = client.ask("grad", at(body, axes, point))
        value = np.array(answer["surface"])[place]
        assert float(value) == pytest.approx(float(single["value"]), rel=1e-12, abs=1e-13, nan_ok=True)
        for axis, gradient in zip(axes, answer.get("gradients", []), strict=False):
            whole = np.array(single["gradients"][axis["input"]], float)
            index = tuple(axis["index"]) if isinstance(axis["index"], list) else axis["index"]
            assert float(np.array(gradient)[place]) == pytest.approx(
                whole[index], rel=1e-11, abs=1e-12, nan_ok=True
            )


def test_chunks_do_not_show() -> None:
    """The same numbers whether points are computed together or by ones and twos."""
    body = {"expression": "sum(exp(-A * x) * y)", "inputs": {"A": np.arange(50.0).tolist()}}
    axes = [over("x", 0, 1, 13), over("y", -1, 1, 17)]
    answers: list[Array] = []
    for memory in (1 << 32, 1 << 20):
        for elements in (10_000_000, 60, 180):
            made = Client(memory_bytes=memory, elements=max(elements, 60))
            try:
                found = made.ask("landscape", {**body, "axes": axes, "gradients": True})
                answers.append(np.array([found["surface"], *found["gradients"]]))
            finally:
                made.close()
    for other in answers[1:]:
        np.testing.assert_allclose(other, answers[0], rtol=1e-14, atol=1e-15)


def test_a_constant_and_an_input_itself(client: Client) -> None:
    both = [over("x", 0, 1, 2), over("y", 5, 6, 2)]
    body = {"expression": "x + y\nx\nz * 2, y", "inputs": {"z": 4}, "axes": both, "gradients": True}
    answer = client.ask("landscape", {**body, "of": "z"})
    assert answer["surface"] == [[4.0, 4.0], [4.0, 4.0]]
    assert np.all(np.array(answer["gradients"]) == 0)
    answer = client.ask("landscape", {**body, "of": "y"})
    assert answer["surface"] == [[5.0, 6.0], [5.0, 6.0]]
    assert answer["gradients"] == [[[0.0, 0.0]] * 2, [[1.0, 1.0]] * 2]
    assert math.prod(np.shape(answer["surface"])) == 4
