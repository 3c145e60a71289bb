"""What is wrong with a request, and how it is told: kinds, places, several at once, never too much."""

from __future__ import annotations

import time
from typing import Any

import orjson
import pytest

from tests.service.conftest import PRODUCT, Client, check_problem

XY = {"expression": "x * y", "inputs": {"x": 1, "y": 2}}


@pytest.mark.parametrize(
    ("body", "status", "name", "pointer"),
    [
        pytest.param({}, 422, "program-required", "/expression", id="no program"),
        pytest.param(
            {**PRODUCT, "graph": {"nodes": []}}, 422, "program-required", "/graph", id="two programs"
        ),
        pytest.param(
            {"expression": None, "inputs": {}}, 422, "program-required", "/expression", id="null program"
        ),
        pytest.param({"expression": 3}, 422, "invalid-field", "/expression", id="expression 3"),
        pytest.param({"graph": []}, 422, "invalid-field", "/graph", id="graph []"),
        pytest.param({"graph": {}}, 422, "invalid-field", "/graph/nodes", id="graph {}"),
        pytest.param({"graph_id": "nope"}, 404, "unknown-program", "/graph_id", id="graph_id"),
        pytest.param({**XY, "inputs": []}, 422, "invalid-field", "/inputs", id="inputs []"),
        pytest.param({**XY, "inputs": None}, 422, "invalid-field", "/inputs", id="inputs null"),
        pytest.param({**XY, "inputs": {"x": 1}}, 422, "missing-input", "/inputs/y", id="missing"),
        pytest.param(
            {**XY, "inputs": {"x": 1, "y": 1, "u/v": 1}}, 422, "unknown-input", "/inputs/u~1v", id="unknown"
        ),
        pytest.param({**XY, "inputs": {"x": None, "y": 1}}, 422, "invalid-array", "/inputs/x", id="null"),
        pytest.param({**XY, "inputs": {"x": "1", "y": 1}}, 422, "invalid-array", "/inputs/x", id="string"),
        pytest.param(
            {**XY, "inputs": {"x": [[1], [2, 3]], "y": 1}}, 422, "invalid-array", "/inputs/x/1", id="ragged"
        ),
        pytest.param({**XY, "wrt": "x"}, 422, "invalid-field", "/wrt", id="wrt string"),
        pytest.param({**XY, "wrt": ["x", 1]}, 422, "invalid-field", "/wrt/1", id="wrt number"),
        pytest.param({**XY, "wrt": ["x", "q"]}, 422, "unknown-node", "/wrt/1", id="wrt unknown"),
        pytest.param({**XY, "wrt": []}, 422, "invalid-field", "/wrt", id="wrt empty"),
        pytest.param({**XY, "of": 1}, 422, "invalid-field", "/of", id="of number"),
        pytest.param({**XY, "of": "q"}, 422, "unknown-node", "/of", id="of unknown"),
        pytest.param({**XY, "mode": "Reverse"}, 422, "invalid-field", "/mode", id="mode"),
        pytest.param({**XY, "nodes": "some"}, 422, "invalid-field", "/nodes", id="nodes"),
        pytest.param({**XY, "dtype": "float16"}, 422, "invalid-field", "/dtype", id="dtype"),
        pytest.param({**XY, "arrays": "b64"}, 422, "invalid-field", "/arrays", id="arrays"),
        pytest.param({**XY, "include": "timing"}, 422, "invalid-field", "/include", id="include string"),
        pytest.param(
            {**XY, "include": ["dot", "time"]}, 422, "invalid-field", "/include/1", id="include unknown"
        ),
        pytest.param({**XY, "in_axes": 0}, 422, "invalid-field", "/in_axes", id="in_axes number"),
        pytest.param({**XY, "in_axes": {"x": 0.5}}, 422, "invalid-field", "/in_axes/x", id="in_axes half"),
        pytest.param(
            {**XY, "in_axes": [{"x": True}]}, 422, "invalid-field", "/in_axes/0/x", id="in_axes true"
        ),
        pytest.param({**XY, "in_axes": {"x": 2**70}}, 422, "invalid-field", "/in_axes/x", id="in_axes huge"),
        pytest.param({**XY, "seed": "one"}, 422, "invalid-array", "/seed", id="seed"),
        pytest.param({**XY, "seed": [1]}, 422, "shape-mismatch", "/seed", id="seed shape"),
        pytest.param({**XY, "sed": 1}, 422, "unknown-field", "/sed", id="unknown field"),
        pytest.param({**XY, "a/b~c": 1}, 422, "unknown-field", "/a~1b~0c", id="unknown field escaped"),
        pytest.param({**XY, "": 1}, 422, "unknown-field", "/", id="empty field"),
        pytest.param({"expression": "x *", "inputs": {"x": 1}}, 422, "syntax", "/expression", id="syntax"),
        pytest.param(
            {"expression": "sinn(x)", "inputs": {"x": 1}}, 422, "unknown-op", "/expression", id="op"
        ),
        pytest.param(
            {"expression": "x", "inputs": {"x": [1, 2]}}, 422, "non-scalar-output", "/seed", id="non scalar"
        ),
        pytest.param(
            {"expression": "x + y", "inputs": {"x": [1, 2], "y": [1, 2, 3]}, "seed": 1},
            422,
            "shape-mismatch",
            "/expression",
            id="shapes",
        ),
        pytest.param(
            {"expression": "x > 0", "inputs": {"x": 1}}, 422, "not-differentiable", "/of", id="boolean"
        ),
    ],
)
def test_kind_and_place(client: Client, body: Any, status: int, name: str, pointer: str | None) -> None:
    found = client.problem("grad", body, status, name)
    if pointer is not None:
        assert found["pointer"] == pointer


def test_position_in_the_text(client: Client) -> None:
    found = client.problem("grad", {"expression": "é = x\ny = é * $", "inputs": {"x": 1}}, 422, "syntax")
    assert found["position"] == {"line": 2, "column": 9}
    assert "^" in found["excerpt"]


@pytest.mark.parametrize(
    ("field", "suggestion"),
    [("input", "inputs"), ("Expression", "expression"), ("in_axis", "in_axes"), ("sed", "seed")],
)
def test_suggestions_for_fields(client: Client, field: str, suggestion: str) -> None:
    found = client.problem("grad", {**XY, field: 1}, 422, "unknown-field")
    assert suggestion in found["suggestions"]


def test_all_mistakes_at_once(client: Client) -> None:
    body = {
        "expression": "(x + y) * z",
        "inputs": {"x": None, "yy": 1, "z": [1, "2"]},
        "mode": "revers",
        "sed": 1,
        "wrt": ["x", 3],
        "in_axes": {"x": "0"},
    }
    found = client.problem("grad", body, 422, "unknown-field")
    assert {(e["type"].removeprefix("/problems/"), e["pointer"]) for e in found["errors"]} == {
        ("unknown-field", "/sed"),
        ("invalid-field", "/mode"),
        ("invalid-field", "/wrt/1"),
        ("invalid-field", "/in_axes/x"),
        ("invalid-array", "/inputs/x"),
        ("invalid-array", "/inputs/z/1"),
        ("unknown-input", "/inputs/yy"),
        ("missing-input", "/inputs/y"),
    }


def test_mistakes_in_program_and_fields_together(client: Client) -> None:
    graph = {
        "nodes": [
            {"id": "x", "op": "input"},
            {"id": "y", "op": "sinn", "inputs": ["x"]},
            {"id": "y", "op": "cos"},
        ]
    }
    found = client.problem("grad", {"graph": graph, "inputs": {"x": "a"}, "mood": 1}, 422, "unknown-field")
    kinds = {e["type"].removeprefix("/problems/") for e in found["errors"]}
    assert {"unknown-field", "unknown-op", "duplicate-id", "invalid-array"} <= kinds


def many(kind: str, n: int) -> Any:
    match kind:
        case "fields":
            return {**XY, **{f"field{i}": i for i in range(n)}}
        case "inputs":
            return {**XY, "inputs": {f"x{i}": "a" for i in range(n)}}
        case "unknown inputs":
            return {**XY, "inputs": {f"x{i}": 1 for i in range(n)}}
        case "wrt":
            return {**XY, "wrt": [1] * n}
        case "in_axes":
            return {**XY, "in_axes": {f"x{i}": "a" for i in range(n)}}
        case "list of in_axes":
            return {**XY, "in_axes": [1] * n}
        case "of":
            return {**XY, "of": [1] * n}
        case "include":
            return {**XY, "include": ["timin"] * n}
        case "entries":
            return {**XY, "inputs": {"x": [None] * n, "y": 1}}
        case "nodes":
            return {
                "graph": {
                    "nodes": [{"id": f"x{i}", "op": "sinn", "inputs": [f"y{i}"], "q": 1} for i in range(n)]
                }
            }
        case _:
            return {"graph": {"nodes": [None] * n}}


@pytest.mark.parametrize(
    "kind",
    [
        "fields",
        "inputs",
        "unknown inputs",
        "wrt",
        "in_axes",
        "list of in_axes",
        "of",
        "include",
        "entries",
        "nodes",
        "null",
    ],
)
def test_many_mistakes_make_a_short_answer_soon(client: Client, kind: str) -> None:
    data = orjson.dumps(many(kind, 100_000))
    start = time.process_time()
    response = client.post("/v1/grad", content=data, headers={"content-type": "application/json"})
    taken = time.process_time() - start
    assert response.status_code in (413, 422)
    found = response.json()
    check_problem(response, response.status_code, found["type"].removeprefix("/problems/"))
    assert taken < 1.5
    if kind not in ("wrt", "list of in_axes", "of", "include", "entries") and response.status_code == 422:
        assert found["errors_omitted"] >= 100_000 - 20


@pytest.mark.parametrize("size", [300, 5_000, 100_000])
def test_long_names_are_not_echoed(client: Client, size: int) -> None:
    long = "é" * size
    for body in (
        {**XY, long: 1},
        {**XY, "mode": long},
        {**XY, "inputs": {"x": 1, "y": 2, long: 1}},
        {**XY, "of": long},
        {**XY, "wrt": [long]},
        {"expression": long + "$"},
        {"graph": {"nodes": [{"id": long, "op": long, "inputs": [long]}]}},
        {"graph_id": long},
    ):
        response = client.post("/v1/grad", json=body)
        assert response.status_code in (404, 422), response.text
        assert len(response.content) < 8000


def test_no_problem_is_longer_than_16_kib(client: Client) -> None:
    names = ["𝒙" * 60 + str(i) for i in range(30)]
    inputs = dict.fromkeys(names, "\x01" * 79)
    client.problem("grad", {"expression": "$", "inputs": inputs}, 422, "syntax")
    found = client.problem("grad", {"expression": "x", "inputs": inputs}, 422, "unknown-input")
    assert found["errors_omitted"] + len(found["errors"]) == 31


def test_limits_say_which(client: Client) -> None:
    found = client.problem(
        "evaluate", {"expression": "zeros((100000, 100000)) + x", "inputs": {"x": 1}}, 413, "limit-exceeded"
    )
    assert found["limit"] == "elements"
    assert found["maximum"] == 10_000_000
    assert found["actual"] == 10_000_000_000


def test_text_over_the_limit(client: Client) -> None:
    found = client.problem("evaluate", {"expression": "x" * 262_145, "inputs": {}}, 413, "limit-exceeded")
    assert (found["limit"], found["maximum"], found["actual"]) == ("expression_chars", 262_144, 262_145)


@pytest.mark.parametrize(
    ("signature", "name", "pointer"),
    [
        ([], "invalid-field", "/signature"),
        ({"x": 1}, "invalid-field", "/signature/x"),
        ({"x": {"shape": 3}}, "invalid-field", "/signature/x/shape"),
        ({"x": {"shape": [1, -1]}}, "invalid-field", "/signature/x/shape/1"),
        ({"x": {"shape": [True]}}, "invalid-field", "/signature/x/shape/0"),
        ({"x": {"shape": [1] * 40}}, "invalid-field", "/signature/x/shape"),
        ({"x": {"shape": [], "dtype": "int32"}}, "invalid-field", "/signature/x/dtype"),
        ({"x": {"shape": [], "dtype": ["float64"]}}, "invalid-field", "/signature/x/dtype"),
        ({"x": {"dtype": "float64"}}, "invalid-field", "/signature/x/shape"),
        ({"x": {"shape": [], "size": 1}}, "unknown-field", "/signature/x/size"),
        ({"q": {"shape": []}}, "unknown-input", "/signature/q"),
    ],
)
def test_signatures(client: Client, signature: Any, name: str, pointer: str) -> None:
    found = client.problem("parse", {"expression": "x", "signature": signature}, 422, name)
    assert found["pointer"] == pointer


@pytest.mark.parametrize("verb", ["parse", "render"])
def test_verbs_that_need_no_values_still_look_at_them(client: Client, verb: str) -> None:
    found = client.problem(verb, {"expression": "x + y", "inputs": {"z": 1}}, 422, "unknown-input")
    assert found["pointer"] == "/inputs/z"
