"""Sparse answers through HTTP: their form, their refusals, and their speed."""

from __future__ import annotations

import base64
import time

import numpy as np
import orjson
import pytest

from service.arrays import encoded
from service.schemas import HessianAnswer, JacobianAnswer
from tests.service.conftest import Client


def test_sparse_jacobian(client: Client) -> None:
    asked = {
        "expression": "y = x[1:]*x[:-1]\ny*s, y[0]*s",
        "inputs": {"x": [1, 2, 3], "s": 2},
        "sparse": True,
    }
    answer = client.ask("jacobian", asked)
    JacobianAnswer.model_validate(answer)
    first, second = answer["jacobian"].values()
    assert first["x"] == {
        "format": "coo",
        "shape": [2, 3],
        "row": [0, 0, 1, 1],
        "col": [0, 1, 1, 2],
        "data": [4.0, 2.0, 6.0, 4.0],
    }
    assert first["s"] == {"format": "coo", "shape": [2, 1], "row": [0, 1], "col": [0, 0], "data": [2.0, 6.0]}
    assert second["x"]["shape"] == [1, 3]
    assert second["s"] == 2.0
    coded = client.ask("jacobian", {**asked, "arrays": "base64"})["jacobian"]
    block = next(iter(coded.values()))["x"]
    assert [block[k]["dtype"] for k in ("row", "col", "data")] == ["int64", "int64", "float64"]
    data = np.frombuffer(base64.b64decode(block["data"]["data"]["buffer"]))
    assert data.tolist() == first["x"]["data"]
    assert next(reversed(coded.values()))["s"] == 2.0


def test_sparse_blocks_without_nonzeros_are_encoded(client: Client) -> None:
    answer = client.ask("hessian", {"expression": "sum(2*x)", "inputs": {"x": [1, 2]}, "sparse": True})
    HessianAnswer.model_validate(answer)
    block = answer["hessian"]["x"]["x"]
    assert block["shape"] == [2, 2]
    for key in ("row", "col", "data"):
        assert block[key]["shape"] == [0]
    assert answer["passes"] == 0


def test_sparse_answers_hold_what_is_not_finite(client: Client) -> None:
    answer = client.ask("jacobian", {"expression": "log(x)", "inputs": {"x": [0, 1]}, "sparse": True})
    assert answer["jacobian"]["t1"]["x"]["data"] == ["Infinity", 1.0]
    assert answer["warnings"][-1]["index"] == [0]


def test_sparse_refusals(client: Client) -> None:
    asked = {"expression": "x*x", "inputs": {"x": [[1, 2]]}, "sparse": True, "in_axes": {"x": 0}}
    problem = client.problem("jacobian", asked, 422, "unsupported")
    assert problem["pointer"] == "/sparse"
    assert "in_axes" in problem["detail"]
    client.problem("grad", {"expression": "x", "inputs": {"x": 1}, "sparse": True}, 422, "unknown-field")
    large = {"expression": "x/sum(x)", "inputs": {"x": [1.0] * 20_000}, "sparse": True}
    problem = client.problem("jacobian", large, 413, "limit-exceeded")
    assert (problem["limit"], problem["actual"]) == ("response_elements", 400_000_000)


SIZE = 100_000


@pytest.mark.xdist_group("time")
@pytest.mark.parametrize("form", ["list", "base64"])
@pytest.mark.parametrize(
    ("verb", "text", "passes"),
    [
        ("jacobian", "-x[:-2] + 2*x[1:-1] - x[2:] + exp(x[1:-1])", 1),
        ("jacobian", "p = pad(x, 1)\n(3 - 2*x)*x - p[:-2] - 2*p[2:] + 1", 3),
        ("jacobian", "x[1:]**2 - x[:-1]*sin(x[1:])", 1),
        ("hessian", "sum(100*(x[1:] - x[:-1]**2)**2 + (1 - x[:-1])**2)", 3),
    ],
)
def test_a_hundred_thousand_unknowns(client: Client, verb: str, text: str, passes: int, form: str) -> None:
    """Bytes to bytes within half a second; a machine that is slow or busy gets as much more as a plain task takes there."""
    x = np.linspace(0.1, 1, SIZE)
    inputs = {"x": x.tolist() if form == "list" else encoded(x)}
    data = orjson.dumps(
        {"expression": text, "inputs": inputs, "sparse": True, "arrays": form, "nodes": "none"}
    )
    spent, pace = [], []
    for _ in range(4):
        start = time.perf_counter()
        np.sort(np.random.default_rng(0).random(500_000))
        middle = time.perf_counter()
        response = client.post(f"/v1/{verb}", content=data, headers={"content-type": "application/json"})
        spent.append(time.perf_counter() - middle)
        pace.append(middle - start)
    answer = orjson.loads(response.content)
    assert answer["passes"] == passes
    assert min(spent) < 0.5 * max(1.0, min(pace) / 0.05)
