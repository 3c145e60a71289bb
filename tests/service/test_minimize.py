"""`POST /v1/minimize`: the regression problems of NIST, the network of the article, and the fields of the verb."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest

from engine.minimize import METHODS
from service.examples.minimize import NETWORK, ROSENBROCK
from service.schemas.minimize import Method, MinimizeAnswer
from tests.service.conftest import Client

PROBLEMS: list[dict[str, Any]] = json.loads(
    (Path(__file__).parent.parent / "data" / "nist_strd.json").read_text(encoding="utf-8")
)["problems"]

START = {"x": -1.2, "y": 1}


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    made = Client()
    yield made
    made.close()


# ----------------------------------------------------------------------------------------------------------------- NIST


@pytest.mark.parametrize("at", ["start1", "start2"])
@pytest.mark.parametrize("problem", PROBLEMS, ids=[p["name"] for p in PROBLEMS])
def test_nist(client: Client, problem: dict[str, Any], at: str) -> None:
    """All certified parameters in at least 6 digits, from both starts, with the default options."""
    names = problem["parameters"]
    start = dict(zip(names, problem[at]["b"], strict=True))
    found = client.ask(
        "minimize",
        {"expression": problem["residual"], "inputs": problem["data"], "start": start, "method": "lm"},
    )
    certified = np.array(problem["certified"]["b"])
    b = np.array([found["optimum"][n] for n in names])
    digits = -np.log10(np.max(np.abs(b - certified) / np.abs(certified)))
    assert digits >= 6, (digits, found["message"])
    assert found["status"] == "converged"
    assert found["warnings"] == []
    if problem["certified"]["rss"] > 1e-20:
        np.testing.assert_allclose(found["value"], problem["certified"]["rss"], rtol=1e-9)


@pytest.mark.parametrize("method", ["gauss-newton", "trust-region"])
def test_nist_by_other_methods(client: Client, method: str) -> None:
    """From start 2, where the scales of the parameters are not too far apart."""
    easy = {"nist_DanWood", "nist_BoxBOD", "nist_Rat42", "nist_Eckerle4", "nist_Chwirut2", "nist_ENSO"}
    for problem in PROBLEMS:
        if problem["name"] not in easy:
            continue
        names = problem["parameters"]
        body = {
            "expression": problem["residual"],
            "inputs": {**problem["data"], **dict(zip(names, problem["start2"]["b"], strict=True))},
            "wrt": names,
            "method": method,
        }
        found = client.ask("minimize", body)
        assert found["status"] == "converged", (problem["name"], found["message"])
        b = [found["optimum"][n] for n in names]
        np.testing.assert_allclose(
            b, problem["certified"]["b"], rtol=1e-6 if method == "gauss-newton" else 2e-3
        )


# ------------------------------------------------------------------------------------------------------------ the article


def test_the_article_in_figures(client: Client) -> None:
    """Its network is trained to a loss below 10⁻⁶ in many ways, and what they cost is what it says: chance needs thousands
    of evaluations, differences 2n for each step, the gradient one."""
    weights = NETWORK["start"]
    box = {w: [-3.5, 3.5] for w in weights}
    spent: dict[str, int] = {}
    for method in (
        "random-search",
        "numerical-gd",
        "gd",
        "momentum",
        "nesterov",
        "adam",
        "rmsprop",
        "l-bfgs-b",
    ):
        options: dict[str, Any] = {"target": 1e-6}
        if method == "random-search":
            options["samples"] = 500_000
        elif method != "l-bfgs-b":
            options["learning_rate"] = {"adam": 0.02, "rmsprop": 0.01}.get(method, 0.05)
        body = {**NETWORK, "method": method, "options": options}
        if method == "random-search":
            body["bounds"] = box
        found = client.ask("minimize", body)
        MinimizeAnswer.model_validate(found)
        assert found["status"] == "converged", (method, found["message"])
        assert found["value"] < 1e-6
        assert set(found["optimum"]) == set(weights)
        spent[method] = found["evaluations"]["value"]
    assert spent["numerical-gd"] == 9 * spent["gd"]
    assert spent["random-search"] > 5 * spent["numerical-gd"]
    assert max(spent[m] for m in ("momentum", "nesterov", "adam", "l-bfgs-b")) < spent["random-search"] / 5


def test_a_hundred_values_for_four_weights(client: Client) -> None:
    box = {w: [-3.5, 3.5] for w in NETWORK["start"]}
    body = {**NETWORK, "method": "grid-search", "bounds": box, "options": {"points": 100}}
    problem = client.problem("minimize", body, 413, "limit-exceeded")
    assert (problem["limit"], problem["actual"]) == ("minimize_iterations", 100**4)
    assert "100^4 = 100,000,000" in problem["detail"]
    found = client.ask("minimize", {**body, "options": {"points": 10}})
    assert found["evaluations"]["value"] == 10**4
    assert found["value"] < 0.05


def test_what_is_documented_is_what_is_served(client: Client) -> None:
    assert get_args(Method) == tuple(METHODS)
    schema = client.get("/openapi.json").json()["components"]["schemas"]["MinimizeRequest"]["properties"]
    known = {name for method in METHODS.values() for name in method.defaults}
    assert set(schema["options"]["properties"]) == known
    assert "adamw: 0.01" in schema["options"]["properties"]["weight_decay"]["description"]


# -------------------------------------------------------------------------------------------------------------- the answer


def test_rosenbrock(client: Client) -> None:
    """The figures of the contract's example are SciPy's own for the same function."""
    found = client.ask("minimize", {"expression": ROSENBROCK, "start": START, "record": True})
    MinimizeAnswer.model_validate(found)
    assert found["evaluations"] == {"value": 44, "gradient": 44, "hvp": 0}
    assert (found["iterations"], found["status"], found["method"]) == (36, "converged", "l-bfgs-b")
    assert found["value"] == pytest.approx(2.8e-12, rel=0.05)
    first = found["history"][0]
    assert first["point"] == {"x": -1.2, "y": 1.0}
    assert (round(first["value"], 9), round(first["gradient_norm"], 2)) == (24.2, 232.87)
    assert len(found["history"]) == 37
    assert found["history"][-1]["point"] == found["optimum"]
    plain = client.ask("minimize", {"expression": ROSENBROCK, "start": START})
    assert "point" not in plain["history"][0]
    assert plain["optimum"] == found["optimum"]


def test_fields_of_all_verbs(client: Client) -> None:
    """Arrays as base64, single precision, JSON graphs, registered programs, drawings, values that are not finite."""
    encoded = client.ask(
        "minimize",
        {"expression": "sum((x - 1)**2)", "start": {"x": [0, 3]}, "arrays": "base64", "record": True},
    )
    assert encoded["optimum"]["x"]["dtype"] == "float64"
    assert encoded["history"][0]["point"]["x"]["shape"] == [2]
    graph = {
        "nodes": [
            {"id": "w", "op": "input", "value": 4.0},
            {"id": "t", "op": "subtract", "inputs": ["w", 1.0]},
            {"id": "f", "op": "square", "inputs": ["t"]},
        ]
    }
    body = {"graph": graph, "include": ["dot", "timing"], "mode": "forward", "nodes": "none"}
    found = client.ask("minimize", body)
    assert found["optimum"] == {"w": 1.0}
    assert found["history"][0]["value"] == 9.0
    assert "digraph" in found["dot"]
    assert found["timing"]["run_ms"] > 0
    half = client.ask("minimize", {"graph": graph, "dtype": "float32", "start": {"w": 2}})
    assert half["optimum"]["w"] == pytest.approx(1, abs=1e-3)
    registered = client.post("/v1/graphs", json={"graph": graph, "name": "bowl"})
    assert registered.status_code == 201
    again = client.post("/v1/graphs/bowl/minimize", json={"start": {"w": -3}})
    assert again.json()["optimum"]["w"] == pytest.approx(1, abs=1e-4)
    assert again.json()["graph_id"] == found["graph_id"]
    bad = client.ask("minimize", {"expression": "log(x)", "start": {"x": "-Infinity"}})
    assert (bad["status"], bad["value"], bad["optimum"]) == ("diverged", "NaN", {"x": "-Infinity"})


def test_constants_can_be_variables(client: Client) -> None:
    """A name in `start` or `bounds` is an input, whatever else it means."""
    assert client.ask("minimize", {"expression": "(e - 2)**2", "start": {"e": 1}})["optimum"][
        "e"
    ] == pytest.approx(2)
    found = client.ask("minimize", {"expression": "(pi - 2)**2", "bounds": {"pi": [3, 4]}})
    assert found["optimum"] == {"pi": 3.0}


def test_the_time_is_over(client: Client) -> None:
    body = {
        "expression": "y = x\nfor i in range(3000):\n    y = sin(y) + 1e-3*x\nsum((y - 0.3)**2)",
        "start": {"x": np.linspace(0.1, 1, 50).tolist()},
        "method": "adam",
        "options": {"gtol": 0},
    }
    found = client.ask("minimize", body, **{"X-Request-Timeout": "1"})
    assert found["status"] == "deadline"
    assert found["value"] < found["history"][0]["value"]


def test_limits(client: Client) -> None:
    limits = client.get("/v1/limits").json()["limits"]
    assert limits["minimize_iterations"] == 1_000_000
    small = Client(minimize_iterations=50)
    found = small.ask(
        "minimize",
        {"expression": "x**4", "start": {"x": 1}, "method": "gd", "options": {"learning_rate": 1e-3}},
    )
    assert (found["status"], found["iterations"]) == ("max_iterations", 50)
    problem = small.problem(
        "minimize",
        {"expression": "x**2", "start": {"x": 1}, "options": {"max_iterations": 51}},
        413,
        "limit-exceeded",
    )
    assert (problem["limit"], problem["maximum"], problem["actual"]) == ("minimize_iterations", 50, 51)
    small.close()


MISTAKES: dict[str, tuple[dict[str, Any], str, str, str]] = {
    "method": ({"method": "lbfgs"}, "invalid-field", "/method", "l-bfgs-b"),
    "method-type": ({"method": 3}, "invalid-field", "/method", "gauss-newton and lm"),
    "record": ({"record": 0}, "invalid-field", "/record", "positive integer"),
    "record-type": ({"record": "yes"}, "invalid-field", "/record", "true, false"),
    "start": ({"start": {"x": 1, "y": None}}, "invalid-array", "/start/y", "null"),
    "start-shape": ({"start": {"x": 1, "y": [1, [2]]}}, "invalid-array", "/start/y/1", "not a number"),
    "start-name": ({"start": {"x": 1, "y": 1, "yy": 1}}, "unknown-node", "/start/yy", "Did you mean y?"),
    "bounds": ({"bounds": {"x": 3}}, "invalid-field", "/bounds/x", "[low, high]"),
    "bounds-null": ({"bounds": {"x": [0, None]}}, "invalid-array", "/bounds/x/1", "null"),
    "bounds-order": ({"bounds": {"x": [2, 1]}}, "invalid-field", "/bounds/x", "2 > 1"),
    "bounds-shape": ({"bounds": {"x": [[1, 2], 3]}}, "shape-mismatch", "/bounds/x/0", "shape []"),
    "bounds-name": ({"bounds": {"q": [1, 2]}}, "unknown-node", "/bounds/q", "'q'"),
    "option": ({"options": {"max_iter": 3}}, "unknown-field", "/options/max_iter", "max_iterations"),
    "option-elsewhere": ({"options": {"beta1": 0.5}}, "unknown-field", "/options/beta1", "adam, adamw"),
    "option-type": ({"options": {"gtol": "small"}}, "invalid-field", "/options/gtol", "not negative"),
    "option-bool": (
        {"options": {"max_iterations": True}},
        "invalid-field",
        "/options/max_iterations",
        "true",
    ),
    "option-large": (
        {"options": {"max_iterations": 1e300}},
        "invalid-field",
        "/options/max_iterations",
        "integer",
    ),
    "options": ({"options": [1]}, "invalid-field", "/options", "an object"),
    "schedule": (
        {"method": "adam", "options": {"schedule": {"kind": "step", "evry": 2}}},
        "unknown-field",
        "/options/schedule/evry",
        "every",
    ),
    "residual": ({"method": "lm"}, "non-scalar-output", "/method", "residual"),
    "field": ({"strat": {}}, "unknown-field", "/strat", "Did you mean start?"),
    "axes": ({"in_axes": {"x": 0}}, "unsupported", "/in_axes", "in_axes"),
    "wrt": ({"wrt": ["x"], "bounds": {"y": [0, 1]}}, "invalid-field", "/bounds/y", "not among the variables"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes(client: Client, name: str) -> None:
    fields, kind, pointer, text = MISTAKES[name]
    body = {"expression": ROSENBROCK, "start": START, **fields}
    problem = client.problem("minimize", body, 422, kind)
    assert problem["pointer"] == pointer
    assert text in problem["detail"]
    other = client.post("/v1/evaluate", json={"expression": "x", "inputs": {"x": 1}, "bounds": {}})
    assert "minimize" in other.json()["detail"]


def test_recorded_points_leave_time_to_write_them(client: Client) -> None:
    """Of large points so many are recorded that writing them would be later than the deadline; then it is over earlier."""
    size = 100_000
    asked = {
        "expression": "sum((w - 1)**2)",
        "inputs": {"w": [0.5] * size},
        "method": "gd",
        "record": True,
        "options": {"max_iterations": 100_000, "learning_rate": 1e-9, "gtol": 0},
    }
    answer = client.ask("minimize", asked, **{"X-Request-Timeout": "2"})
    assert answer["status"] == "deadline"
    assert len(answer["history"]) > 2
    assert all(len(step["point"]["w"]) == size for step in answer["history"])
