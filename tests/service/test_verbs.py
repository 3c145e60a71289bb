"""The verbs through HTTP: fields of answers, common fields, what each takes and refuses."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel

from service.envelope import REQUESTS
from service.examples import EXAMPLES, Example
from service.routes.verbs import OPERATIONS
from service.schemas import ProgramRequest
from tests.service.conftest import PRODUCT, Client

EXTRA: dict[str, dict[str, Any]] = {
    "jvp": {"tangents": {"x": 1}},
    "vjp": {"cotangents": {"t2": 1}},
    "hvp": {"vector": {"x": 1}},
    "taylor": {"direction": {"x": 1}, "order": 3},
    "landscape": {"axes": [{"input": "x", "start": -2, "stop": 2, "num": 3}]},
}
NEEDED = ("landscape",)
"""Verbs that need a field of their own."""
VERBS = sorted(OPERATIONS)
RUN = sorted(set(VERBS) - {"parse"})
MAPPED = ["evaluate", "grad", "jvp", "vjp", "jacobian", "hessian", "hvp", "taylor", "propagate"]


def body(verb: str, **more: Any) -> dict[str, Any]:
    return {**PRODUCT, **EXTRA.get(verb, {}), **more}


def test_grad_is_exactly_what_the_contract_says(client: Client) -> None:
    response = client.post("/v1/grad", json=PRODUCT)
    assert response.text == (
        '{"value":-12.0,"of":"t2","output_ids":["t2"],"outputs":{"t2":-12.0},'
        '"values":{"x":-2.0,"y":5.0,"z":-4.0,"t1":3.0,"t2":-12.0},'
        '"gradients":{"x":-4.0,"y":-4.0,"z":3.0,"t1":-4.0,"t2":1.0},"mode":"reverse",'
        '"graph_id":"sha256-34635505412c64eec18f322ede7b7697cf50f141d40bd26ff4bb7f11b7642fdd","warnings":[]}'
    )


def cases() -> list[Any]:
    return [pytest.param(v, e, id=f"{v}-{e.name}") for v, examples in EXAMPLES.items() for e in examples]


@pytest.mark.parametrize(("verb", "example"), cases())
def test_examples_of_the_documentation_are_true(client: Client, verb: str, example: Example) -> None:
    if verb == "render":
        response = client.post("/v1/render", json=example.body)
        assert response.status_code == 200, response.text
        assert response.text.startswith("digraph")
        return
    answer = client.ask(verb, example.body)
    model = OPERATIONS[verb].answer
    assert model is not None
    model.model_validate(answer)
    if example.answer is not None:
        assert answer == example.answer


@pytest.mark.parametrize("verb", VERBS)
def test_answers_have_the_documented_fields(client: Client, verb: str) -> None:
    answer = client.ask(verb, body(verb))
    model: type[BaseModel] | None = OPERATIONS[verb].answer
    assert model is not None
    model.model_validate(answer)
    required = {name for name, field in model.model_fields.items() if field.is_required()}
    assert required <= answer.keys()


@pytest.mark.parametrize("verb", [*VERBS, "render"])
def test_one_body_goes_to_every_verb(client: Client, verb: str) -> None:
    common = {
        **PRODUCT,
        "of": "t2",
        "wrt": ["x", "t1"],
        "mode": "auto",
        "nodes": "all",
        "in_axes": None,
        "dtype": "float64",
        "arrays": "list",
        "include": [],
    }
    assert set(common) | {"graph", "graph_id"} == set(ProgramRequest.model_fields)
    if verb == "render":
        common["include"] = []
        response = client.post("/v1/render", json={**common, "format": "dot"})
    else:
        own = EXTRA[verb] if verb in NEEDED else {}
        response = client.post(f"/v1/{verb}", json={**common, **own})
    assert response.status_code == 200, response.text


OWN_FIELDS = sorted({f for m in REQUESTS.values() for f in m.model_fields} - set(ProgramRequest.model_fields))


@pytest.mark.parametrize("field", OWN_FIELDS)
@pytest.mark.parametrize("verb", sorted(REQUESTS))
def test_fields_of_other_verbs_are_refused(client: Client, verb: str, field: str) -> None:
    if field in REQUESTS[verb].model_fields:
        return
    found = client.problem(verb, {**PRODUCT, field: None}, 422, "unknown-field")
    assert found["pointer"] == f"/{field}"
    assert "It is a field of" in found["detail"]


@pytest.mark.parametrize("verb", RUN)
def test_reports_are_selected(client: Client, verb: str) -> None:
    model = OPERATIONS[verb].answer
    if model is None or "values" not in model.model_fields:
        return
    program = {"expression": "u = x * y\nu + (x - y) * 2", "inputs": {"x": 1, "y": 2}}
    if verb == "jvp":
        program["tangents"] = {"x": 1}
    if verb == "vjp":
        program["cotangents"] = {"t3": 1}
    assert set(client.ask(verb, program)["values"]) == {"x", "y", "u", "t1", "t2", "t3"}
    assert set(client.ask(verb, {**program, "nodes": "named"})["values"]) == {"x", "y", "u", "t3"}
    assert set(client.ask(verb, {**program, "nodes": "none", "wrt": ["x"]})["values"]) == {"x", "t3"}


@pytest.mark.parametrize("verb", MAPPED)
def test_in_axes_maps_the_verb(client: Client, verb: str) -> None:
    asked = {**body(verb), "inputs": {"x": [1, 2, 3], "y": 5, "z": -4}, "in_axes": {"x": 0}}
    along = {"jvp": "tangents", "hvp": "vector", "taylor": "direction"}
    if verb in along:
        asked |= {along[verb]: {"x": [1, 1, 1]}}
    for in_axes in ({"x": 0}, [{"x": 0}], {"x": -1.0}):
        answer = client.ask(verb, {**asked, "in_axes": in_axes})
        if "outputs" in answer:
            assert answer["outputs"]["t2"] == [-24.0, -28.0, -32.0]
        else:
            assert answer["value"] == [-24.0, -28.0, -32.0]


@pytest.mark.parametrize("verb", ["trace", "parse", "render", "check", "compare", "derivative", "minimize"])
def test_in_axes_is_refused_elsewhere(client: Client, verb: str) -> None:
    asked = {**PRODUCT, "inputs": {"x": [1, 2, 3], "y": 5, "z": -4}, "in_axes": {"x": 0}}
    assert client.problem(verb, asked, 422, "unsupported")["pointer"] == "/in_axes"


NOT_KEPT = {"parse", "check", "compare", "derivative", "landscape", "minimize"}
"""Verbs whose jobs are made anew for each request."""


@pytest.mark.parametrize("verb", RUN)
def test_timing(client: Client, verb: str) -> None:
    client.ask(verb, body(verb))
    timing = client.ask(verb, body(verb, include=["timing"]))["timing"]
    assert list(timing) == ["parse_ms", "plan_ms", "run_ms", "encode_ms", "cached", "peak_bytes"]
    assert timing["cached"] is (verb not in NOT_KEPT)
    assert all(timing[k] >= 0 for k in ("parse_ms", "plan_ms", "run_ms", "encode_ms", "peak_bytes"))
    assert timing["run_ms"] > 0


def test_the_derivative_is_a_program_too(client: Client) -> None:
    graph = client.ask("grad", {**PRODUCT, "wrt": ["x", "z"], "include": ["derivative_graph"]})[
        "derivative_graph"
    ]
    inputs = {"x": -2, "y": 5, "z": -4, "seed(t2)": 1}
    assert list(client.ask("evaluate", {"graph": graph, "inputs": inputs})["outputs"].values()) == [-4.0, 3.0]


def test_the_graph_is_drawn_where_the_answer_should_have_it(client: Client) -> None:
    dot = client.ask("grad", {**PRODUCT, "include": ["dot", "timing"]})["dot"]
    assert dot.startswith("digraph")
    assert "-12" in dot


def test_arrays_in_the_answer_can_be_encoded(client: Client) -> None:
    asked = {"expression": "x * 2\nsum(x)", "inputs": {"x": [1, 2]}, "arrays": "base64"}
    answer = client.ask("grad", asked)
    assert answer["value"] == 3.0
    assert answer["gradients"]["x"] == {
        "object_type": "array",
        "shape": [2],
        "dtype": "float64",
        "data": {"encoding": "base64", "buffer": "AAAAAAAA8D8AAAAAAADwPw=="},
    }


def test_dtype(client: Client) -> None:
    answer = client.ask("evaluate", {"expression": "x + 0.1", "inputs": {"x": 0.1}, "dtype": "float32"})
    assert answer["outputs"] == {"t1": 0.2}
    assert answer["values"]["x"] == 0.1


def test_non_finite_numbers_go_both_ways(client: Client) -> None:
    asked = {
        "expression": "x * 2",
        "inputs": {"x": ["NaN", "Infinity", "-Infinity", 1]},
        "seed": [1, 1, 1, 1],
    }
    answer = client.ask("grad", asked)
    assert answer["value"] == ["NaN", "Infinity", "-Infinity", 2.0]
    overflow = client.ask("evaluate", {"expression": "x * 1e308", "inputs": {"x": 1e10}})
    assert overflow["outputs"] == {"t1": "Infinity"}
    assert overflow["warnings"]


def test_empty_arrays_keep_their_shape(client: Client) -> None:
    array = {"shape": [0, 3], "dtype": "float64", "data": {"encoding": "base64", "buffer": ""}}
    answer = client.ask("evaluate", {"expression": "x * 2", "inputs": {"x": array}})
    assert answer["outputs"]["t1"] == {"object_type": "array", **array}
    assert client.ask("evaluate", {"expression": "sum(x)", "inputs": {"x": []}})["outputs"]["t1"] == 0.0


def test_names_may_look_like_a_sparse_block(client: Client) -> None:
    names = ["format", "shape", "row", "col", "data"]
    asked = {
        "expression": "format*shape*row*col*data",
        "inputs": dict.fromkeys(names, 1),
        "nodes": "none",
        "wrt": names,
    }
    assert client.ask("grad", asked)["gradients"] == dict.fromkeys(names, 1.0)


@pytest.mark.parametrize("verb", VERBS)
def test_programs_that_are_not_registered(client: Client, verb: str) -> None:
    found = client.problem(verb, {"graph_id": "rosenbrock"}, 404, "unknown-program")
    assert found["pointer"] == "/graph_id"


@pytest.mark.parametrize("path", ["descend", "graphs/x/descend", "", "Grad"])
def test_what_is_not_there(client: Client, path: str) -> None:
    response = client.post(f"/v1/{path}", json=PRODUCT)
    assert response.status_code == 404
    assert response.json()["type"] == "/problems/not-found"


def test_parse_takes_types_from_signature_or_inputs(client: Client) -> None:
    answer = client.ask("parse", {"expression": "A @ x", "inputs": {"A": [[1, 2]], "x": [1, 2]}})
    again = client.ask(
        "parse", {"expression": "A @ x", "signature": {"A": {"shape": [1, 2]}, "x": {"shape": [2.0]}}}
    )
    assert answer["shapes"] == again["shapes"]
    assert answer["shapes"] == {"A": [1, 2], "x": [2], "t1": [1]}
    assert client.ask("parse", {"expression": "A @ x"})["output_ids"] == ["t1"]
