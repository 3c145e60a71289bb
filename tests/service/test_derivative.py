"""`POST /v1/derivative`: what the contract says, and what is answered is true when it is posted back."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.service.conftest import PRODUCT, Client


def test_as_the_contract_says(client: Client) -> None:
    answer = client.ask(
        "derivative", {"expression": "x**2*y", "format": ["expression", "graph", "latex", "c"]}
    )
    assert answer["of"] == "t2"
    one = answer["derivatives"]["x"]
    assert (one["expression"], one["latex"]) == ("2*x*y", "2\\,x\\,y")
    assert list(one) == ["expression", "graph", "latex"]
    assert answer["identifiers"] == {"x": "x", "y": "y"}
    assert "x" in answer["code"]["c"]
    assert answer["output_ids"] == ["t2"]
    assert answer["graph_id"].startswith("sha256-")
    assert answer["warnings"] == []


def test_one_body_for_all_verbs_and_nothing_is_evaluated(client: Client) -> None:
    answer = client.ask("derivative", {**PRODUCT, "mode": "forward", "nodes": "none", "arrays": "base64"})
    assert {k: d["expression"] for k, d in answer["derivatives"].items()} == {
        "x": "z",
        "y": "z",
        "z": "x + y",
    }
    # log of a negative number is nobody's business here
    answer = client.ask("derivative", {"expression": "log(x)", "inputs": {"x": -1}})
    assert answer["derivatives"]["x"]["expression"] == "1/x"
    assert answer["warnings"] == []


@pytest.mark.parametrize("form", ["expression", "graph"])
def test_what_is_answered_can_be_posted(client: Client, form: str) -> None:
    inputs = {"A": [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]], "x": [0.5, -1.0], "b": [1.0, 2.0, 3.0]}
    body = {"expression": "r = A @ x - b\nsum(r**2)", "inputs": inputs}
    answer = client.ask("derivative", {**body, "format": [form]})
    gradients = client.ask("grad", body)["gradients"]
    for name, one in answer["derivatives"].items():
        used = [n["id"] for n in one["graph"]["nodes"]] if form == "graph" else list(inputs)
        posted = client.ask(
            "evaluate", {form: one[form], "inputs": {k: v for k, v in inputs.items() if k in used}}
        )
        np.testing.assert_allclose(posted["outputs"][posted["output_ids"][0]], gradients[name], 1e-12)


def test_shapes_come_from_the_signature_before_inputs(client: Client) -> None:
    asked: dict[str, Any] = {
        "expression": "x**2",
        "signature": {"x": {"shape": [2]}},
        "format": ["expression"],
    }
    assert client.ask("derivative", asked)["derivatives"]["x"] == {"expression": "2*diag(x)"}
    asked = {"expression": "x**2", "inputs": {"x": [1, 2]}, "format": ["expression"]}
    assert client.ask("derivative", asked)["derivatives"]["x"] == {"expression": "2*diag(x)"}
    asked = {"expression": "x**2", "format": ["expression"]}
    assert client.ask("derivative", asked)["derivatives"]["x"] == {"expression": "2*x"}


def test_a_registered_program_brings_its_signature(client: Client) -> None:
    client.post("/v1/graphs", json={"expression": "x**2", "name": "sq", "signature": {"x": {"shape": [2]}}})
    response = client.post("/v1/graphs/sq/derivative", json={"format": ["expression"]})
    assert response.json()["derivatives"]["x"] == {"expression": "2*diag(x)"}


def test_orders_and_mixed(client: Client) -> None:
    asked = {"expression": "x**3*y", "format": ["expression"]}
    second = client.ask("derivative", {**asked, "order": 2})["derivatives"]
    assert second == {"x": {"expression": "6*x*y"}, "y": {"expression": "0"}}
    value = client.ask("derivative", {**asked, "order": 0, "wrt": ["x"]})["derivatives"]
    assert value == {"x": {"expression": "x**3*y"}}
    mixed = client.ask("derivative", {**asked, "wrt": ["x", "y", "x"], "mixed": True})["derivatives"]
    assert mixed == {"x,y,x": {"expression": "6*x"}}


@pytest.mark.parametrize(
    ("more", "status", "kind", "pointer"),
    [
        ({"order": -1}, 422, "invalid-field", "/order"),
        ({"order": 1.5}, 422, "invalid-field", "/order"),
        ({"order": 1000}, 413, "limit-exceeded", None),
        ({"mixed": True}, 422, "invalid-field", "/wrt"),
        ({"mixed": True, "wrt": ["x", "y"], "order": 3}, 422, "invalid-field", "/order"),
        ({"wrt": ["x", "x"]}, 422, "invalid-field", "/wrt/1"),
        ({"wrt": ["w"]}, 422, "unknown-node", "/wrt/0"),
        ({"of": "w"}, 422, "unknown-node", "/of"),
        ({"format": ["onnx"]}, 422, "unsupported", "/format/0"),
        ({"format": []}, 422, "invalid-field", "/format"),
        ({"format": ["fortran"]}, 422, "invalid-field", None),
        ({"signature": {"w": {"shape": []}}}, 422, "unknown-input", None),
        ({"signature": {"x": {"shape": [2]}, "y": {"shape": [3]}}}, 422, "shape-mismatch", None),
        ({"inputs": {"w": 1}}, 422, "unknown-input", "/inputs/w"),
        ({"in_axes": {"x": 0}}, 422, "unsupported", "/in_axes"),
        ({"step": 1}, 422, "unknown-field", None),
    ],
)
def test_what_is_refused(
    client: Client, more: dict[str, Any], status: int, kind: str, pointer: str | None
) -> None:
    found = client.problem("derivative", {"expression": "x**2*y", **more}, status, kind)
    if pointer is not None:
        assert found["pointer"] == pointer


def test_limits_are_published(client: Client) -> None:
    limits = client.get("/v1/limits").json()["limits"]
    assert limits["derivative_order"] == 10
    assert limits["derivative_nodes"] == 200_000
    found = client.problem("derivative", {"expression": "x**2", "order": 11}, 413, "limit-exceeded")
    assert (found["limit"], found["maximum"], found["actual"]) == ("derivative_order", 10, 11)


def test_code_in_all_languages(client: Client) -> None:
    answer = client.ask("derivative", {"expression": "x*sin(y)", "format": ["python", "c", "javascript"]})
    assert list(answer["code"]) == ["python", "c", "javascript"]
    assert all("sin" in text for text in answer["code"].values())


def test_code_of_a_long_program_needs_no_formula(client: Client) -> None:
    text = "\n".join(["v0 = x", *(f"v{k + 1} = sin(v{k})*v{k}" for k in range(300))])
    answer = client.ask("derivative", {"expression": text, "format": ["python"]})
    assert len(answer["code"]["python"]) < 60_000


def test_markdown_is_not_offered(client: Client) -> None:
    response = client.post("/v1/derivative", json={"expression": "x**2"}, headers={"Accept": "text/markdown"})
    assert response.status_code == 406


def test_a_language_named_twice_is_written_once(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    from engine.symbolic import answer

    written: list[Any] = []
    write = answer.LANGUAGES["c"]

    def counted(*given: Any) -> Any:
        written.append(given)
        return write(*given)

    monkeypatch.setitem(answer.LANGUAGES, "c", counted)
    found = client.ask("derivative", {"expression": "x*x", "format": ["c"] * 1000})
    assert list(found["code"]) == ["c"]
    assert len(written) == 1
