"""compare over HTTP: fields, the table, what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from service.schemas import CompareAnswer
from tests.service.conftest import PRODUCT, Client

FIELDS = [
    "available", "gradients", "evaluations", "passes", "operations", "time_ms", "max_rel_error", "size",
]  # fmt: skip


def test_the_answer_has_what_the_contract_says(client: Client) -> None:
    answer = client.ask("compare", PRODUCT)
    CompareAnswer.model_validate(answer)
    assert list(answer["methods"]) == ["reverse", "forward", "numerical", "symbolic"]
    for method in answer["methods"].values():
        assert list(method) == FIELDS
        assert method["gradients"] == pytest.approx({"x": -4, "y": -4, "z": 3}, rel=1e-9)
        assert 0 < method["time_ms"] < 1000
    assert answer["reference"] == {
        "available": True,
        "digits": 50,
        "entries": 3,
        "gradients": {"x": -4.0, "y": -4.0, "z": 3.0},
    }
    assert [m["evaluations"] for m in answer["methods"].values()] == [1, 3, 6, 0]
    assert [m["passes"] for m in answer["methods"].values()] == [1, 3, 0, 0]
    assert answer["value"] == -12.0
    assert answer["of"] == "t2"


def test_all_but_times_is_the_same_again(client: Client) -> None:
    body = {"expression": "sum(sin(x)*x)*y", "inputs": {"x": [0.1, 0.2, 0.3], "y": 2}}

    def timeless() -> dict[str, Any]:
        answer = client.ask("compare", body)
        for method in answer["methods"].values():
            del method["time_ms"]
        return answer

    assert timeless() == timeless()


def test_table(client: Client) -> None:
    body = {
        "expression": "y = x\nfor i in range(30):\n    y = 4*y*(1 - y)\nrelu(y - y) + y",
        "inputs": {"x": 0.3},
    }
    response = client.post("/v1/compare", json=body, headers={"accept": "text/markdown"})
    assert response.status_code == 200
    assert response.headers["content-type"] == "text/markdown; charset=utf-8"
    rows = [line for line in response.text.splitlines() if line.startswith("|")]
    assert [row.split("|")[1].strip() for row in rows[2:]] == [
        "reverse mode", "forward mode", "numerical", "symbolic",
    ]  # fmt: skip
    assert all(row.count("|") == 8 for row in rows)
    assert "Not computed:\n\n- symbolic: written out" in response.text
    assert "### Warnings" in response.text
    plain = client.post("/v1/compare", json={**body, "of": "y", "wrt": ["x"]})
    assert plain.headers["vary"] == "Accept"
    graph = {"nodes": [{"id": "a|`b", "op": "input"}, {"id": "<c>|", "op": "log", "inputs": ["a|`b"]}]}
    hostile = {"graph": graph, "inputs": {"a|`b": -1}}
    response = client.post("/v1/compare", json=hostile, headers={"accept": "text/markdown"})
    assert response.status_code == 200
    assert "There is no high-precision reference: the value itself is not finite." in response.text
    assert "<c>" not in response.text


@pytest.mark.parametrize(
    ("body", "status", "kind"),
    [
        ({"expression": "x*y", "inputs": {"x": [1, 2], "y": 1}}, 422, "non-scalar-output"),
        ({"expression": "x*y", "inputs": {"x": [1, 2], "y": 1}, "seed": [1]}, 422, "shape-mismatch"),
        ({"expression": "x*y", "inputs": {"x": 1, "y": 1}, "wrt": ["z"]}, 422, "unknown-node"),
        ({"expression": "x*y", "inputs": {"x": 1, "y": 1}, "of": ["t1", "x"]}, 422, "invalid-field"),
        ({"expression": "x*y", "inputs": {"x": [1, 2], "y": 1}, "in_axes": {"x": 0}}, 422, "unsupported"),
        (
            {"expression": "sum(solve(A, [1, 2.0]))", "inputs": {"A": [[1, 1], [1, 1]]}},
            422,
            "singular-matrix",
        ),
        ({"expression": "x*y", "inputs": {"x": 1}}, 422, "missing-input"),
        ({"expression": "x*y", "inputs": {"x": 1, "y": 2}, "std": {}}, 422, "unknown-field"),
    ],
)
def test_what_makes_no_sense_is_refused(client: Client, body: dict[str, Any], status: int, kind: str) -> None:
    client.problem("compare", body, status, kind)


def test_deadlines_are_kept(client: Client) -> None:
    lines = "\n".join(["y = sin(y @ x)*0.1"] * 40)
    body = {"expression": f"y = x\n{lines}\nsum(y)", "inputs": {"x": [[0.1] * 60] * 60}}
    response = client.post("/v1/compare", json=body, headers={"x-request-timeout": "0.3"})
    assert response.status_code == 504
    assert response.json()["type"] == "/problems/timeout"


def test_programs_by_name_and_arrays_encoded(client: Client) -> None:
    client.post("/v1/graphs", json={"expression": "sum(x**3)*y", "name": "cubes"})
    body = {"inputs": {"x": [1, 2], "y": 2}, "arrays": "base64", "dtype": "float32"}
    answer = client.post("/v1/graphs/cubes/compare", json=body).json()
    assert answer["methods"]["reverse"]["gradients"]["x"]["dtype"] == "float32"
    assert answer["reference"]["gradients"]["x"]["dtype"] == "float64"
