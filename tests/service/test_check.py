"""`POST /v1/check`: the contract, mistakes, pictures."""

from __future__ import annotations

from typing import Any

import pytest

from service.schemas import CheckAnswer
from tests.service.conftest import Client, Json, check_problem
from tests.service.test_plots import groups, size

CUBE: Json = {"expression": "x**3", "inputs": {"x": 1}}


def answer(client: Client, body: Json, path: str = "/v1/check") -> Any:
    response = client.post(path, json=body)
    assert response.status_code == 200, response.text
    CheckAnswer.model_validate(response.json())
    return response.json()


def test_the_contract(client: Client) -> None:
    found = answer(client, CUBE | {"steps": [0.01, 1e-5, 1e-8]})
    assert found["ok"] is True
    assert found["disagrees"] == []
    assert found["value"] == 1.0
    assert found["of"] == "t1"
    assert found["output_ids"] == ["t1"]
    assert found["graph_id"].startswith("sha256-")
    assert found["evaluations"] == {"numerical": 2, "reverse": 1, "spent": 7}
    own = found["inputs"]["x"]
    assert own["best_step"] == {"forward": 1e-8, "central": 1e-5}
    assert [p["h"] for p in own["curve"]] == [0.01, 1e-5, 1e-8]
    assert own["entries_checked"] == 1


def test_an_unknown_gradient_is_pointed_at(client: Client) -> None:
    body = {"expression": "x*y", "inputs": {"x": [1, 2], "y": 3}, "expected": {"x": [3, 3], "y": 4}}
    found = answer(client, body)
    assert found["disagrees"] == ["y"]
    assert found["inputs"]["y"]["worst"] == {"expected": 4.0, "autodiff": 3.0, "numerical": 3.0}
    assert found["inputs"]["x"]["ok"]


@pytest.mark.parametrize(
    ("more", "kind", "pointer"),
    [
        ({"expected": {"x": [1, 2]}}, "shape-mismatch", "/expected/x"),
        ({"expected": {"z": 1}}, "unknown-node", "/expected/z"),
        ({"expected": {"x": "three"}}, "invalid-array", "/expected/x"),
        ({"expected": {"x": None}}, "invalid-array", "/expected/x"),
        ({"expected": [1]}, "invalid-field", "/expected"),
        ({"steps": []}, "invalid-field", "/steps"),
        ({"steps": [0.1, 0]}, "invalid-field", "/steps/1"),
        ({"steps": [0.1] * 201}, "invalid-field", "/steps"),
        ({"rtol": -1}, "invalid-field", "/rtol"),
        ({"atol": "1"}, "invalid-field", "/atol"),
        ({"max_entries": 0}, "invalid-field", "/max_entries"),
        ({"seed": [1, 2]}, "shape-mismatch", "/seed"),
        ({"in_axes": {"x": 0}}, "unsupported", "/in_axes"),
        ({"tangents": {"x": 1}}, "unknown-field", "/tangents"),
        ({"of": "nowhere"}, "unknown-node", "/of"),
    ],
)
def test_mistakes(client: Client, more: Json, kind: str, pointer: str) -> None:
    found = check_problem(client.post("/v1/check", json=CUBE | more), 422, kind)
    assert found.get("pointer", found["errors"][0].get("pointer")) == pointer


def test_common_fields(client: Client) -> None:
    body = {
        "expression": "t = A @ x\nsum(t**2), t", "inputs": {"A": [[1, 2], [3, 4]], "x": [1, -1]}, "of": "t", "wrt": ["x", "t"],
        "dtype": "float32", "arrays": "base64", "include": ["timing", "dot"], "nodes": "none", "mode": "forward",
    }  # fmt: skip
    found = answer(client, body)
    assert found["ok"]
    assert found["timing"]["cached"] is False
    assert "digraph" in found["dot"]
    assert found["inputs"]["x"]["autodiff"]["dtype"] in ("float64", "float32")
    assert list(found["inputs"]) == ["x", "t"]


def test_registered_programs(client: Client) -> None:
    made = client.post("/v1/graphs", json={"expression": "x**3"})
    assert answer(client, {"inputs": {"x": 1}}, f"/v1/graphs/{made.json()['id']}/check")["ok"]


def test_numbers_that_are_none(client: Client) -> None:
    found = answer(client, {"expression": "log(x)", "inputs": {"x": -1}})
    assert found["value"] == "NaN"
    assert found["inputs"]["x"]["curve"] == [] or found["inputs"]["x"]["curve"][0]["central_error"] == "NaN"
    found = answer(client, {"expression": "sqrt(x)", "inputs": {"x": 0}, "expected": {"x": "Infinity"}})
    assert found["ok"]
    found = answer(client, {"expression": "inv(A)[0, 0]", "inputs": {"A": [[0, 0], [0, 0]]}})
    assert [w["kind"] for w in found["warnings"]] == ["singular-matrix"]


def test_integers_have_no_gradient(client: Client) -> None:
    found = answer(client, {"expression": "x[i]", "inputs": {"x": [1, 2], "i": 1}})
    assert list(found["inputs"]) == ["x"]
    check_problem(
        client.post("/v1/check", json={"expression": "x[i]", "inputs": {"x": [1, 2], "i": 1}, "wrt": ["i"]}),
        422,
        "not-differentiable",
    )


def test_too_much(client: Client) -> None:
    body = {
        "expression": "sum(A @ A @ A)", "inputs": {"A": [[0.1] * 200] * 200}, "max_entries": 40_000,
    }  # fmt: skip
    check_problem(client.post("/v1/check", json=body), 413, "limit-exceeded")


def test_pictures(client: Client) -> None:
    pytest.importorskip("matplotlib")
    for media in ("image/svg+xml", "image/png"):
        response = client.post("/v1/check", json=CUBE, headers={"accept": media})
        assert response.status_code == 200, response.text
        assert response.headers["content-type"] == media
        again = client.post("/v1/check", json=CUBE, headers={"accept": media})
        assert again.content == response.content
        if media == "image/png":
            assert size(response.content) == (1080, 810)
        else:
            drawn = groups(response.content)
            for name in ("forward-error", "central-error", "best-forward", "best-central"):
                assert name in drawn
            for name in ("truncation-1", "truncation-2", "rounding-1", "rounding--1"):
                assert name in drawn or name == "rounding--1"


@pytest.mark.parametrize(
    "body",
    [
        {"expression": "2*x + 1", "inputs": {"x": 3}},
        {"expression": "log(x)", "inputs": {"x": -1}},
        {"expression": "sum(x)", "inputs": {"x": []}},
        {"expression": " + ".join(f"sin(x{k})" for k in range(9)), "inputs": {f"x{k}": k for k in range(9)}},
        {"expression": "1e300*x*x", "inputs": {"x": 1}, "expected": {"x": "NaN"}},
        {"expression": "argmax(x) + 0.5", "inputs": {"x": [1, 2]}},
        {"expression": "x**3", "inputs": {"x": 1}, "steps": [1e-5]},
        {"graph": {"nodes": [{"id": "$x^<b>&", "op": "input", "value": 2}, {"id": "y", "op": "exp", "inputs": ["$x^<b>&"]}]}},
    ],
)  # fmt: skip
def test_everything_can_be_drawn(client: Client, body: Json) -> None:
    pytest.importorskip("matplotlib")
    response = client.post("/v1/check", json=body, headers={"accept": "image/svg+xml"})
    assert response.status_code == 200, response.text
    assert groups(response.content)
