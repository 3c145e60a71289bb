"""Drawings: what they show, in which form, and what is refused. (What Graphviz is given is the engine's tests.)"""

from __future__ import annotations

import shutil
from typing import Any

import pytest

from tests.service.conftest import PRODUCT, Client, check_problem

NEEDS_GRAPHVIZ = pytest.mark.skipif(shutil.which("dot") is None, reason="Graphviz is not installed")
DOT = {"format": "dot"}


def draw(client: Client, body: Any, **headers: str) -> str:
    response = client.post("/v1/render", json=body, headers=headers)
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "text/vnd.graphviz; charset=utf-8"
    return response.text


def test_structure_alone(client: Client) -> None:
    text = draw(client, {"expression": "(x + y) * z", **DOT})
    assert text.startswith("digraph")
    assert "data" not in text
    assert "grad" not in text


def test_values_and_gradients(client: Client) -> None:
    text = draw(client, {**PRODUCT, **DOT})
    assert "-12" in text
    assert "grad" in text


@pytest.mark.parametrize(
    ("show", "data", "grad"),
    [
        (["values"], True, False),
        (["gradients"], False, True),
        (["values", "gradients"], True, True),
        ([], False, False),
        (["shapes"], False, False),
    ],
)
def test_what_is_shown(client: Client, show: list[str], data: bool, grad: bool) -> None:
    text = draw(client, {**PRODUCT, **DOT, "show": show})
    assert ("data" in text) is data
    assert ("grad" in text) is grad


def test_shapes(client: Client) -> None:
    body = {"expression": "A @ x", "inputs": {"A": [[1, 2], [3, 4]], "x": [1, 2]}, "show": ["shapes"], **DOT}
    assert "2" in draw(client, body)


def test_an_array_output_is_drawn_without_gradients_unless_they_are_asked_for(client: Client) -> None:
    body = {"expression": "x * 2", "inputs": {"x": [1, 2]}, **DOT}
    text = draw(client, body)
    assert "grad" not in text
    client.problem("render", {**body, "show": ["gradients"]}, 422, "non-scalar-output")


def test_booleans_are_drawn(client: Client) -> None:
    draw(client, {"expression": "x > 0", "inputs": {"x": 1}, **DOT})


def test_defaults_can_be_shown(client: Client) -> None:
    graph = {"nodes": [{"id": "x", "op": "input", "value": 3}, {"id": "y", "op": "square", "inputs": ["x"]}]}
    assert "data" not in draw(client, {"graph": graph, **DOT})
    assert "9" in draw(client, {"graph": graph, "show": ["values"], **DOT})
    assert "9" in draw(client, {"graph": graph, "inputs": {}, **DOT})


def test_missing_inputs(client: Client) -> None:
    client.problem("render", {"expression": "x + y", "inputs": {"x": 1}, **DOT}, 422, "missing-input")
    client.problem("render", {"expression": "x + y", "show": ["values"], **DOT}, 422, "missing-input")


@pytest.mark.parametrize(
    "field", [{"format": "pdf"}, {"direction": "RL"}, {"show": ["colours"]}, {"show": "values"}]
)
def test_choices(client: Client, field: dict[str, Any]) -> None:
    client.problem("render", {**PRODUCT, **field}, 422, "invalid-field")


@pytest.mark.parametrize("accept", ["text/vnd.graphviz", "text/html, text/vnd.graphviz;q=0.5"])
def test_accept_chooses_the_format(client: Client, accept: str) -> None:
    assert draw(client, PRODUCT, accept=accept).startswith("digraph")


@pytest.mark.parametrize(
    ("accept", "form"), [("application/json", "dot"), ("image/png", "dot"), ("text/html", None)]
)
def test_what_is_not_acceptable(client: Client, accept: str, form: str | None) -> None:
    body = {**PRODUCT, **({"format": form} if form else {})}
    check_problem(client.post("/v1/render", json=body, headers={"accept": accept}), 406, "not-acceptable")


@pytest.mark.parametrize("form", ["dot", "svg"])
def test_large_programs_are_not_drawn(client: Client, form: str) -> None:
    text = "y = x\n" + "y = y + x\n" * 500 + "y"
    found = client.problem("render", {"expression": text, "format": form}, 413, "limit-exceeded")
    assert (found["limit"], found["maximum"]) == ("render_nodes", 500)
    body = {"expression": text, "inputs": {"x": 1}, "include": ["dot"]}
    assert client.problem("grad", body, 413, "limit-exceeded")["limit"] == "render_nodes"


@NEEDS_GRAPHVIZ
@pytest.mark.parametrize(
    ("form", "accept", "kind"),
    [
        ("svg", "*/*", "image/svg+xml"),
        ("png", "*/*", "image/png"),
        ("svg", "image/*", "image/svg+xml"),
        (None, "image/svg+xml", "image/svg+xml"),
        (None, "image/png, */*;q=0.1", "image/png"),
    ],
)
def test_pictures(client: Client, form: str | None, accept: str, kind: str) -> None:
    body = {**PRODUCT, **({"format": form} if form else {})}
    response = client.post("/v1/render", json=body, headers={"accept": accept})
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == kind
    assert response.content.startswith(b"\x89PNG" if kind == "image/png" else b"<?xml")
    assert "sandbox" in response.headers["content-security-policy"]


def test_without_a_wish_it_is_dot(client: Client) -> None:
    assert draw(client, PRODUCT).startswith("digraph")


@NEEDS_GRAPHVIZ
def test_a_picture_in_the_answer(client: Client) -> None:
    answer = client.ask("grad", {**PRODUCT, "include": ["svg"]})
    assert "<svg" in answer["svg"]
    assert "dot" not in answer


@pytest.mark.parametrize("form", ["svg", "png"])
def test_without_graphviz(client: Client, form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    client.problem("render", {**PRODUCT, "format": form}, 501, "drawing-unavailable")
    client.problem("grad", {**PRODUCT, "include": ["svg"]}, 501, "drawing-unavailable")
    assert draw(client, {**PRODUCT, **DOT})
