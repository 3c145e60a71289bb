"""Programs by id and name over HTTP (`api.md`, section 6)."""

from __future__ import annotations

import gc
import hashlib
import itertools
import json
import re
import string
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
import rfc8785

from engine.language import parse_text
from engine.program import canonical_json
from service import examples
from service.envelope import PROGRAMS, REQUESTS
from service.examples import EXAMPLES, Example
from service.records import new_program
from service.registered import footprint, read_content
from service.routes.registry import MAX_PAGE
from service.schemas import ProgramDocument, ProgramPage, ProgramRecord
from service.settings import Settings
from service.store.interface import MAX_NAMES
from tests.service.conftest import Client, Json, check_problem
from tests.service.test_roads import PLAIN, same_on_both, scope_of

NO_ID = "sha256-" + "0" * 64


@pytest.fixture(params=["memory", "sqlite"])
def registry(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Client]:
    """An empty registry."""
    made = Client(store="memory:" if request.param == "memory" else f"sqlite:{tmp_path / 'p.db'}")
    yield made
    made.close()


@pytest.fixture
def client() -> Iterator[Client]:
    """An empty registry in memory, where it does not matter."""
    made = Client()
    yield made
    made.close()


def register(client: Client, text: str = "x * y", status: int = 201, **fields: Any) -> Json:
    response = client.post("/v1/graphs", json={"expression": text, **fields})
    assert response.status_code == status, response.text
    found: Json = response.json()
    ProgramRecord.model_validate(found)
    assert response.headers["location"] == f"/v1/graphs/{found['id']}"
    return found


def delete(client: Client, ref: str, **headers: str) -> httpx.Response:
    return client.request("DELETE", f"/v1/graphs/{ref}", headers=headers)


# ----------------------------------------------------------------------------------------------------------- register


@pytest.mark.parametrize("example", examples.REGISTER, ids=lambda e: e.name)
def test_examples_of_registrations(client: Client, example: Example) -> None:
    assert client.post("/v1/graphs", json=example.body).status_code == 201


def untimed(response: httpx.Response) -> bytes:
    """The answer without the times that compare measures."""
    return re.sub(rb'"time_ms":[0-9.e-]+', b"", response.content)


@pytest.mark.parametrize(
    ("verb", "example"),
    [pytest.param(v, e, id=f"{v}-{e.name}") for v, listed in EXAMPLES.items() for e in listed],
)
def test_by_id_and_name_as_in_the_body(registry: Client, verb: str, example: Example) -> None:
    """Every example of a verb, its program registered first: the same answers."""
    direct = registry.post(f"/v1/{verb}", json=example.body)
    program = {k: v for k, v in example.body.items() if k in PROGRAMS}
    rest = {k: v for k, v in example.body.items() if k not in PROGRAMS}
    record = registry.post("/v1/graphs", json={**program, "name": "it"}).json()
    for ref in (record["id"], "it"):
        for path, body in ((f"/v1/graphs/{ref}/{verb}", rest), (f"/v1/{verb}", {**rest, "graph_id": ref})):
            answer = registry.post(path, json=body)
            assert (answer.status_code, untimed(answer)) == (direct.status_code, untimed(direct))


def test_the_record(registry: Client) -> None:
    signature = {"x": {"shape": [2]}, "k": {"shape": [], "dtype": "int64"}}
    text = "# a comment\nx[k] * y"
    response = registry.post(
        "/v1/graphs",
        json={"expression": text, "name": "n.1", "description": "words", "signature": signature},
    )
    assert response.status_code == 201
    record = response.json()
    created = record.pop("created")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", created)
    kept = {"x": {"shape": [2], "dtype": "float64"}, "k": {"shape": [], "dtype": "int64"}}
    assert record == {
        "id": parse_text(text).digest,
        "names": [{"name": "n.1", "description": "words", "signature": kept}],
        "inputs": [
            {"id": "x", "shape": [2], "dtype": "float64", "default": None},
            {"id": "k", "shape": [], "dtype": "int64", "default": None},
            {"id": "y", "shape": None, "dtype": None, "default": None},
        ],
        "outputs": ["t2"],
        "nodes": 5,
        "source": text,
    }
    assert response.headers["location"] == f"/v1/graphs/{record['id']}"
    for ref in (record["id"], "n.1"):
        shown = registry.get(f"/v1/graphs/{ref}").json()
        ProgramDocument.model_validate(shown)
        graph = shown.pop("graph")
        assert shown == {**record, "created": created}
        assert canonical_json(graph) == canonical_json(registry.ask("parse", {"expression": text})["graph"])
    page = registry.get("/v1/graphs").json()
    ProgramPage.model_validate(page)
    assert page == {"graphs": [{**record, "created": created}], "next_cursor": None}


@pytest.mark.parametrize(
    "program",
    [
        {"graph": {"nodes": [{"op": "mul", "inputs": ["é", 2], "id": "p"}, {"id": "é", "op": "input"}]}},
        {"expression": "x * 1e21 + 1e-7 * y - 0.1"},
        {"expression": "for i in range(3):\n    x = sin(x)\nx"},
        *(e.body for e in examples.REGISTER),
    ],
)
def test_the_id_is_the_digest_of_the_graph(client: Client, program: Json) -> None:
    """As `GET` shows it, in the canonical form that another's RFC 8785 makes of it."""
    record = client.post("/v1/graphs", json=program).json()
    graph = client.get(f"/v1/graphs/{record['id']}").json()["graph"]
    assert record["id"] == f"sha256-{hashlib.sha256(rfc8785.dumps(graph)).hexdigest()}"
    assert record["source"] == program.get("expression")
    assert record["nodes"] == len(graph["nodes"])


def test_defaults_are_shown(client: Client) -> None:
    nodes = [
        {"id": "x", "op": "input", "value": [1, "Infinity"]},
        {"id": "k", "op": "input", "value": 1},
        {"id": "y", "op": "getitem", "inputs": ["x", "k"], "attrs": {"index": [{"input": 1}]}},
    ]
    record = client.post("/v1/graphs", json={"graph": {"nodes": nodes}}).json()
    assert record["inputs"] == [
        {"id": "x", "shape": [2], "dtype": "float64", "default": [1.0, "Infinity"]},
        {"id": "k", "shape": [], "dtype": "int64", "default": 1.0},
    ]
    answer = client.post(f"/v1/graphs/{record['id']}/evaluate")
    assert answer.json()["outputs"] == {"y": "Infinity"}, "a body is not needed where inputs have defaults"


def test_once_registered_it_is_there(registry: Client) -> None:
    first = register(registry)
    again = register(registry, status=200)
    assert again == first
    other = register(registry, "x  *  y # the same", status=200)
    assert other == first, "the first source stays"
    nodes = [
        {"id": "t1", "op": "mul", "inputs": ["x", "y"]},
        {"id": "x", "op": "input"},
        {"id": "y", "op": "input"},
    ]
    graph = registry.post("/v1/graphs", json={"graph": {"nodes": nodes}})
    assert (graph.status_code, graph.json()) == (200, first), "nor does it matter that it was a text"


def test_names(registry: Client) -> None:
    one = register(registry, "x + 1", name="n", description="d", signature={"x": {"shape": []}})
    same = register(registry, "x + 1", 200, name="n")
    assert same == one, "what is not given again stays"
    cleared = register(registry, "x + 1", 200, name="n", description=None)
    assert cleared["names"][0] == {**one["names"][0], "description": None}
    second = register(registry, "x + 1", 200, name="a")
    assert [n["name"] for n in second["names"]] == ["a", "n"]
    found = check_problem(
        registry.post("/v1/graphs", json={"expression": "x + 2", "name": "n"}), 409, "name-taken"
    )
    assert found["pointer"] == "/name"
    assert one["id"] in found["detail"]
    two = register(registry, "x + 2", 201, name="n", replace=True)
    assert two["names"] == [{"name": "n", "description": None, "signature": None}]
    assert registry.get("/v1/graphs/n").json()["id"] == two["id"]
    assert [n["name"] for n in registry.get(f"/v1/graphs/{one['id']}").json()["names"]] == ["a"]


def test_a_registered_program_gets_another_name(registry: Client) -> None:
    one = register(registry, name="n")
    for ref in (one["id"], "n", "m"):
        response = registry.post("/v1/graphs", json={"graph_id": ref, "name": "m"})
        assert response.status_code == 200
        assert [n["name"] for n in response.json()["names"]] == ["m", "n"]
    plain = registry.post("/v1/graphs", json={"graph_id": "n"})
    assert (plain.status_code, plain.json()["id"]) == (200, one["id"])
    bad = registry.post("/v1/graphs", json={"graph_id": "n", "name": "o", "signature": {"z": {"shape": []}}})
    assert check_problem(bad, 422, "unknown-input")["pointer"] == "/signature/z"
    check_problem(registry.post("/v1/graphs", json={"graph_id": NO_ID, "name": "m"}), 404, "unknown-program")


GOOD_NAMES = ["a", "A", "a" * 128, "a.b-c_d9", "grad", "sha256-abc", "sha256", "x..", "a--", "Z0"]
BAD_NAMES = [
    "", "1a", "-a", ".a", "..", "a" * 129, "a b", "a/b", "a%2Fb", "ä", "a\n", "\na", "a\u0000", "a?", "_a",
    NO_ID, NO_ID.upper(), NO_ID.replace("sha", "Sha"), "sha256-" + "ABCDEF01" * 8,
]  # fmt: skip


@pytest.mark.parametrize("name", GOOD_NAMES)
def test_good_names(registry: Client, name: str) -> None:
    record = register(registry, name=name)
    assert registry.get(f"/v1/graphs/{name}").json()["id"] == record["id"]
    encoded = "".join(f"%{ord(c):02x}" for c in name)
    assert registry.get(f"/v1/graphs/{encoded}").json()["id"] == record["id"]
    answer = registry.post(f"/v1/graphs/{name}/evaluate", json={"inputs": {"x": 2, "y": 3}})
    assert answer.json()["outputs"] == {"t1": 6.0}
    assert delete(registry, name).status_code == 204


@pytest.mark.parametrize("name", BAD_NAMES)
def test_bad_names(client: Client, name: str) -> None:
    response = client.post("/v1/graphs", json={"expression": "x", "name": name})
    assert check_problem(response, 422, "invalid-field")["pointer"] == "/name"
    assert client.get("/v1/graphs").json()["graphs"] == []


@pytest.mark.parametrize(
    ("body", "status", "kind", "pointer"),
    [
        ({}, 422, "program-required", "/expression"),
        ({"expression": "x", "graph": {"nodes": []}}, 422, "program-required", "/graph"),
        ({"expression": "x", "inputs": {"x": 1}}, 422, "unknown-field", "/inputs"),
        ({"expression": "x", "nam": "n"}, 422, "unknown-field", "/nam"),
        ({"expression": "x +", "name": "n"}, 422, "syntax", "/expression"),
        ({"expression": 1}, 422, "invalid-field", "/expression"),
        ({"expression": "x", "name": 1}, 422, "invalid-field", "/name"),
        ({"expression": "x", "name": "n", "replace": "yes"}, 422, "invalid-field", "/replace"),
        ({"expression": "x", "name": "n", "description": ["d"]}, 422, "invalid-field", "/description"),
        ({"expression": "x", "name": "n", "description": "d" * 2001}, 422, "invalid-field", "/description"),
        ({"expression": "x", "name": "n", "description": "\u0000"}, 422, "invalid-field", "/description"),
        ({"expression": "x", "description": "d"}, 422, "invalid-field", "/description"),
        ({"expression": "x", "name": "n", "signature": []}, 422, "invalid-field", "/signature"),
        ({"expression": "x", "name": "n", "signature": {"x": 1}}, 422, "invalid-field", "/signature/x"),
        ({"expression": "x", "name": "n", "signature": {"y": {"shape": []}}}, 422, "unknown-input", "/signature/y"),
        ({"expression": "x", "name": "n", "signature": {"x": {"shape": [-1]}}}, 422, "invalid-field",
         "/signature/x/shape/0"),
        ({"expression": "x @ y", "name": "n", "signature": {"x": {"shape": [2]}, "y": {"shape": [3]}}}, 422,
         "shape-mismatch", "/expression"),
        ({"graph": {"nodes": [{"id": "x", "op": "input", "value": [1]}, {"id": "y", "op": "exp", "inputs": ["x"]}]},
          "name": "n", "signature": {"x": {"shape": [2]}}}, 422, "shape-mismatch", "/signature/x/shape"),
        ({"graph_id": "nobody"}, 404, "unknown-program", "/graph_id"),
    ],
)  # fmt: skip
def test_mistakes(client: Client, body: Json, status: int, kind: str, pointer: str) -> None:
    found = check_problem(client.post("/v1/graphs", json=body), status, kind)
    assert found["pointer"] == pointer
    assert client.get("/v1/graphs").json()["graphs"] == [], "nothing of it is kept"


def test_all_mistakes_are_found_together(client: Client) -> None:
    body = {"expression": "x +* y", "name": "1", "description": 7, "more": 1}
    found = check_problem(client.post("/v1/graphs", json=body), 422, "unknown-field")
    assert [e.get("pointer") for e in found["errors"]] == ["/more", "/description", "/expression", "/name"]


@pytest.mark.parametrize(
    "kind", ["application/onnx", "application/x-onnx; version=1", "text/plain", "", None]
)
def test_media_types(client: Client, kind: str | None) -> None:
    headers = {} if kind is None else {"content-type": kind}
    response = client.post("/v1/graphs", content=b"\x08\x07", headers=headers)
    found = check_problem(response, 415, "unsupported-media-type")
    assert ("ONNX" in found["detail"]) == ("onnx" in (kind or ""))


def test_an_empty_body_is_no_registration(client: Client) -> None:
    check_problem(client.post("/v1/graphs"), 400, "missing-body")


# ----------------------------------------------------------------------------------------------------- asked by id


def test_unknown_programs(client: Client) -> None:
    register(client, name="n")
    for ref in (
        "nobody",
        NO_ID,
        NO_ID.upper(),
        "N",
        "n.",
        "%2e%2e%20",
        "a b",
        "%00",
        "%ff",
        "é",
        "n" * 5000,
    ):
        for method, path in (
            ("GET", ""),
            ("HEAD", ""),
            ("DELETE", ""),
            ("POST", "/grad"),
            ("POST", "/render"),
        ):
            response = client.request(method, f"/v1/graphs/{ref}{path}")
            assert response.status_code in (404, 405), (ref, method)
            if method != "HEAD" and response.status_code == 404:
                assert orjson.loads(response.content)["type"] in (
                    "/problems/unknown-program",
                    "/problems/not-found",
                )
        if ref.isprintable() and "%" not in ref:
            found = client.problem("grad", {"graph_id": ref}, 404, "unknown-program")
            assert found["pointer"] == "/graph_id"
    check_problem(client.post("/v1/graphs/n/nothing"), 404, "not-found")
    check_problem(client.request("PUT", "/v1/graphs/n"), 405, "method-not-allowed")
    check_problem(client.get("/v1/graphs/n/grad"), 405, "method-not-allowed")
    assert client.get("/v1/graphs/n/grad").headers["allow"] == "OPTIONS, POST"
    assert client.request("PATCH", "/v1/graphs/n").headers["allow"] == "DELETE, GET, HEAD, OPTIONS"


@pytest.mark.parametrize(
    ("ref", "near"),
    [
        ("lone", ["loan"]),
        ("oan", ["loan"]),
        ("Loan", ["loan"]),
        ("rosenbrok", ["rosenbrock"]),
        ("osenbrock", ["rosenbrock"]),
        ("nothing-like-it", []),
        (NO_ID, []),
        ("lo\u00e4n", []),
        ("l" * 3000, []),
    ],
)
def test_a_name_that_was_meant(client: Client, ref: str, near: list[str]) -> None:
    """A wrong name gets suggestions, however the program is asked for."""
    register(client, name="loan")
    register(client, "x - y", name="rosenbrock")
    for response in (
        client.get(f"/v1/graphs/{ref}"),
        client.request("DELETE", f"/v1/graphs/{ref}"),
        client.post(f"/v1/graphs/{ref}/grad", json={"inputs": {"x": 1}}),
        client.post(f"/v1/graphs/{ref}/render", json={}),
        client.post("/v1/grad", json={"graph_id": ref, "inputs": {"x": 1}}),
        client.post("/v1/graphs", json={"graph_id": ref, "name": "other"}),
    ):
        found = check_problem(response, 404, "unknown-program")
        assert found.get("suggestions", []) == near
        assert (f"Did you mean {near[0]}?" in found["detail"]) if near else ("mean" not in found["detail"])


@pytest.mark.parametrize("field", PROGRAMS)
def test_a_second_program_is_refused(client: Client, field: str) -> None:
    register(client, name="n")
    for value in ("x", None):
        response = client.post("/v1/graphs/n/grad", json={field: value, "inputs": {"x": 1, "y": 2}})
        found = check_problem(response, 422, "unknown-field")
        assert found["pointer"] == f"/{field}"
        assert field in found["detail"]


def test_bodies_that_are_not_there(client: Client) -> None:
    register(client, name="n")
    found = check_problem(client.post("/v1/graphs/n/grad"), 422, "missing-input")
    assert found["pointer"] == "/inputs/x"
    assert client.post("/v1/graphs/n/parse").status_code == 200
    assert client.post("/v1/graphs/n/render").text.startswith("digraph")
    headers = {"content-type": "text/plain"}
    check_problem(
        client.post("/v1/graphs/n/parse", content=b"", headers=headers), 415, "unsupported-media-type"
    )
    check_problem(
        client.post("/v1/graphs/n/parse", content=b"{}", headers=headers), 415, "unsupported-media-type"
    )
    check_problem(client.post("/v1/graphs/n/parse", content=b"{}"), 415, "unsupported-media-type")
    check_problem(client.post("/v1/graphs/n/parse", json=[]), 422, "invalid-field")


def test_places_in_errors_are_those_of_the_source(client: Client) -> None:
    register(client, "a = x + y\nb = a @ y\nb", name="n")
    for path, body in (("graphs/n/grad", {}), ("grad", {"graph_id": "n"})):
        response = client.post(f"/v1/{path}", json={**body, "inputs": {"x": [1, 2], "y": [[1, 2, 3]]}})
        found = check_problem(response, 422, "shape-mismatch")
        assert found["node"] == "a"
        assert found["position"] == {"line": 1, "column": 7}
        assert found["excerpt"].startswith("a = x + y\n")
        assert found["pointer"] == "/source"
    inside = "def f(a):\n    y = a\n    for i in range(3):\n        y = y @ a\n    return y\nf(x)"
    register(client, inside, name="loop")
    found = check_problem(
        client.post("/v1/graphs/loop/grad", json={"inputs": {"x": [[1, 2]]}}), 422, "shape-mismatch"
    )
    assert (found["pointer"], found["position"]["line"]) == ("/source", 4)


def test_places_in_errors_of_graphs_are_those_of_the_record(client: Client) -> None:
    nodes = [
        {"id": "b", "op": "add", "inputs": ["x", "y"]},
        {"id": "x", "op": "input"},
        {"id": "y", "op": "input"},
    ]
    client.post("/v1/graphs", json={"graph": {"nodes": nodes}, "name": "n"})
    response = client.post("/v1/graphs/n/grad", json={"inputs": {"x": [1, 2], "y": [1, 2, 3]}})
    found = check_problem(response, 422, "shape-mismatch")
    graph = client.get("/v1/graphs/n").json()["graph"]
    place = re.fullmatch(r"/graph/nodes/(\d)", found["pointer"])
    assert place
    assert graph["nodes"][int(place[1])]["id"] == found["node"] == "b"


def test_names_of_nodes_are_those_of_the_source(client: Client) -> None:
    register(client, "r = x * y\nr + 1 + x", name="n")
    answer = client.post("/v1/graphs/n/grad", json={"inputs": {"x": 1, "y": 2}, "nodes": "named"}).json()
    assert set(answer["values"]) == {"x", "y", "r", answer["of"]}


def test_constants_that_are_inputs(client: Client) -> None:
    """`e` is an input where the signature names it, and 2.718… where not."""
    both = [
        register(client, "e * x", name="constant")["inputs"],
        register(client, "e * x", name="input", signature={"e": {"shape": []}})["inputs"],
        register(client, "e * pi", signature={"e": {"shape": []}})["inputs"],
    ]
    assert [[i["id"] for i in inputs] for inputs in both] == [["x"], ["e", "x"], ["e"]]
    answer = client.post("/v1/graphs/input/evaluate", json={"inputs": {"e": 2, "x": 3}})
    assert list(answer.json()["outputs"].values()) == [6.0]
    unknown = client.post("/v1/graphs/constant/evaluate", json={"inputs": {"e": 2, "x": 3}})
    check_problem(unknown, 422, "unknown-input")


def test_programs_that_differ_in_the_sign_of_a_zero(client: Client) -> None:
    """They have one id, but what was prepared for one is not for the other."""

    def asked(zero: float) -> Any:
        nodes = [{"id": "x", "op": "input"}, {"id": "y", "op": "divide", "inputs": ["x", zero]}]
        return client.ask("evaluate", {"graph": {"nodes": nodes}, "inputs": {"x": 1}})

    plus, minus = asked(0.0), asked(-0.0)
    assert plus["graph_id"] == minus["graph_id"]
    assert (plus["outputs"], minus["outputs"]) == ({"y": "Infinity"}, {"y": "-Infinity"})


def test_a_negative_zero_keeps_its_sign(registry: Client) -> None:
    """RFC 8785 has none, so the id does not know of it; what is computed does."""
    nodes = [{"id": "x", "op": "input"}, {"id": "y", "op": "divide", "inputs": ["x", -0.0]}]
    record = registry.post("/v1/graphs", json={"graph": {"nodes": nodes}}).json()
    answer = registry.post(f"/v1/graphs/{record['id']}/evaluate", json={"inputs": {"x": 1}}).json()
    assert answer["outputs"] == {"y": "-Infinity"}
    assert answer["graph_id"] == record["id"]


# ---------------------------------------------------------------------------------------------------------- signature


def signed(client: Client, text: str, **types: Any) -> None:
    signature = {k: {"shape": v[0], "dtype": v[1]} for k, v in types.items()}
    response = client.post("/v1/graphs", json={"expression": text, "name": "s", "signature": signature})
    assert response.status_code == 201, response.text


def ask(client: Client, verb: str = "evaluate", /, status: int = 200, **fields: Any) -> Json:
    response = client.post(f"/v1/graphs/s/{verb}", json=fields)
    assert response.status_code == status, response.text
    found: Json = response.json()
    return found


def encoded(dtype: str, values: list[Any]) -> Json:
    return {"shape": [len(values)], "dtype": dtype, "data": {"encoding": "json", "buffer": values}}


def test_shapes_must_fit(client: Client) -> None:
    signed(client, "sum(x) * y", x=([2], "float64"), y=([], "float64"))
    assert ask(client, inputs={"x": [1, 2], "y": 3})["outputs"] == {"t2": 9.0}
    for path, more in (("/v1/graphs/s/grad", {}), ("/v1/grad", {"graph_id": "s"})):
        response = client.post(path, json={**more, "inputs": {"x": [1, 2, 3], "y": [3]}})
        found = check_problem(response, 422, "shape-mismatch")
        assert [e["pointer"] for e in found["errors"]] == ["/inputs/x", "/inputs/y"]
        assert [e["node"] for e in found["errors"]] == ["x", "y"]
        assert "[3]" in found["detail"]
        assert "[2]" in found["detail"]
    by_id = client.get("/v1/graphs/s").json()["id"]
    response = client.post(f"/v1/graphs/{by_id}/evaluate", json={"inputs": {"x": [1, 2, 3], "y": 1}})
    assert response.status_code == 200, "an id has no signature"


def test_mapped_axes_are_not_the_signatures(client: Client) -> None:
    signed(client, "dot(x, y)", x=([2], "float64"), y=([2], "float64"))
    x = [[1, 2], [3, 4], [5, 6]]
    assert ask(client, inputs={"x": x, "y": [1, 1]}, in_axes={"x": 0})["outputs"] == {"t1": [3, 7, 11]}
    columns = [list(c) for c in zip(*x, strict=True)]
    for axis in (1, -1):
        answer = ask(client, inputs={"x": columns, "y": [1, 1]}, in_axes={"x": axis})
        assert answer["outputs"] == {"t1": [3, 7, 11]}
    nested = ask(client, inputs={"x": x, "y": [[1, 0], [0, 1]]}, in_axes=[{"x": 0}, {"y": 0}])
    assert nested["outputs"] == {"t1": x}
    found = ask(client, status=422, inputs={"x": columns, "y": [1, 1]}, in_axes={"x": 0})
    assert found["type"] == "/problems/shape-mismatch"
    assert (found["pointer"], "mapped" in found["detail"]) == ("/inputs/x", True)
    wrong = ask(client, status=422, inputs={"x": x, "y": [1, 1]}, in_axes={"x": 7})
    assert wrong["pointer"] == "/in_axes/x"


def test_dtypes_decide(client: Client) -> None:
    """Before the rule that integers in integer positions are integers."""
    signed(client, "x * k, where(m, x, k)", x=([], "float64"), k=([2], "int64"), m=([2], "bool"))
    good = {"x": 2, "k": [1, 2], "m": [True, False]}
    answer = ask(client, "grad", inputs=good, of="t1", seed=[1, 1])
    assert set(answer["gradients"]) == {"x", "t1", "t2"}, "k is int64 and has no gradient"
    assert answer["values"]["k"] == [1, 2]
    assert isinstance(answer["values"]["k"][0], int)
    assert ask(client, inputs={**good, "k": [1.0, 2.0]})["values"]["k"] == [1, 2], "3.0 like 3"
    assert ask(client, inputs={**good, "k": encoded("int8", [1, 2])})["values"]["k"] == [1, 2]
    bad: list[tuple[str, Any]] = [
        ("k", [1, 2.5]),
        ("k", [1, "Infinity"]),
        ("k", [2**60, 1]),
        ("k", encoded("float64", [1, 2])),
        ("k", [True, False]),
        ("m", [0, 1]),
        ("x", True),
    ]
    for name, value in bad:
        found = ask(client, "grad", 422, inputs={**good, name: value}, of="t1", seed=[1, 1])
        assert (found["type"], found["pointer"], found["node"]) == (
            "/problems/dtype-mismatch",
            f"/inputs/{name}",
            name,
        )


def test_floats_are_floats_also_where_integers_were_written(client: Client) -> None:
    signed(client, "x * y", x=([2], "float64"), y=([2], "float32"))
    answer = ask(client, "grad", inputs={"x": encoded("int32", [1, 2]), "y": [3, 4]}, seed=[1, 1])
    assert answer["gradients"]["x"] == [3.0, 4.0]


def test_defaults_are_of_the_signatures_kind(client: Client) -> None:
    nodes = [
        {"id": "x", "op": "input", "value": 2},
        {"id": "k", "op": "input", "value": 3},
        {"id": "y", "op": "multiply", "inputs": ["x", "k"]},
    ]
    signature = {"k": {"shape": [], "dtype": "int64"}}
    client.post("/v1/graphs", json={"graph": {"nodes": nodes}, "name": "s", "signature": signature})
    assert set(ask(client, "grad")["gradients"]) == {"x", "y"}


def test_parse_and_render_know_the_signature(client: Client) -> None:
    signed(client, "A @ x", A=([3, 2], "float64"), x=([2], "float64"))
    assert ask(client, "parse")["shapes"] == {"A": [3, 2], "x": [2], "t1": [3]}
    assert ask(client, "parse")["inputs"][0]["shape"] == [3, 2]
    other = ask(client, "parse", signature={"A": {"shape": [5, 2]}})
    assert other["shapes"]["t1"] == [5]
    drawn = client.post("/v1/graphs/s/render", json={"show": ["shapes"]}).text
    assert "3, 2" in drawn or "3 × 2" in drawn or "3×2" in drawn


def test_names_that_disagree(client: Client) -> None:
    """By id, what all names agree on."""
    for name, signature in (("a", {"x": {"shape": [2]}, "y": {"shape": [2]}}), ("b", {"x": {"shape": [3]}})):
        client.post("/v1/graphs", json={"expression": "x * y", "name": name, "signature": signature})
    by_name = {n: client.get(f"/v1/graphs/{n}").json() for n in "ab"}
    by_id = client.get(f"/v1/graphs/{by_name['a']['id']}").json()
    shapes = {k: [i["shape"] for i in v["inputs"]] for k, v in (*by_name.items(), ("id", by_id))}
    assert shapes == {"a": [[2], [2]], "b": [[3], None], "id": [None, [2]]}


# -------------------------------------------------------------------------------------------------- ETags and removing


def test_etags(registry: Client) -> None:
    record = register(registry, name="n")
    by_id, by_name = f"/v1/graphs/{record['id']}", "/v1/graphs/n"
    tags = {}
    for path, policy in ((by_id, "immutable"), (by_name, "no-cache")):
        response = registry.get(path)
        tag = tags[path] = response.headers["etag"]
        assert re.fullmatch(r'"sha256-[0-9a-f]{64}[^"]*"', tag)
        assert policy in response.headers["cache-control"]
        for header in (tag, f"W/{tag}", "*", f'"a", {tag}', f'"a",{tag} , "b"'):
            kept = registry.get(path, headers={"if-none-match": header})
            assert (kept.status_code, kept.content, kept.headers["etag"]) == (304, b"", tag)
            assert kept.headers["cache-control"] == response.headers["cache-control"]
        for header in ('"other"', tag.strip('"'), "", tag[:-2] + '"'):
            assert registry.get(path, headers={"if-none-match": header}).status_code == 200
        head = registry.request("HEAD", path)
        assert (head.status_code, head.headers["etag"], head.content) == (200, tag, b"")
        assert head.headers["content-length"] == str(len(response.content))
        assert registry.get(path, headers={"if-match": tag}).status_code == 200
        check_problem(registry.get(path, headers={"if-match": f"W/{tag}"}), 412, "precondition-failed")
    register(registry, status=200, name="n", description="changed")
    for path, tag in tags.items():
        assert registry.get(path, headers={"if-none-match": tag}).status_code == 200
    register(registry, "x / y", name="n", replace=True)
    assert registry.get(by_name).headers["etag"] not in tags.values()


def test_removing(registry: Client) -> None:
    record = register(registry, name="a")
    register(registry, status=200, name="b")
    response = delete(registry, "a")
    assert (response.status_code, response.content) == (204, b"")
    check_problem(registry.get("/v1/graphs/a"), 404, "unknown-program")
    check_problem(delete(registry, "a"), 404, "unknown-program")
    assert [n["name"] for n in registry.get(f"/v1/graphs/{record['id']}").json()["names"]] == ["b"]
    assert delete(registry, record["id"]).status_code == 204
    for ref in ("b", record["id"]):
        check_problem(registry.get(f"/v1/graphs/{ref}"), 404, "unknown-program")
        response = registry.post(f"/v1/graphs/{ref}/grad", json={"inputs": {"x": 1, "y": 2}})
        check_problem(response, 404, "unknown-program")
        registry.problem("grad", {"graph_id": ref}, 404, "unknown-program")
    check_problem(delete(registry, record["id"]), 404, "unknown-program")
    assert register(registry)["names"] == []


def test_removing_what_has_changed(registry: Client) -> None:
    record = register(registry, name="n")
    for ref in ("n", record["id"]):
        tag = registry.get(f"/v1/graphs/{ref}").headers["etag"]
        for header in ('"other"', f"W/{tag}", "", tag.strip('"')):
            found = check_problem(delete(registry, ref, **{"if-match": header}), 412, "precondition-failed")
            assert tag in found["detail"]
        register(registry, status=200, name="n", description=ref)
        check_problem(delete(registry, ref, **{"if-match": tag}), 412, "precondition-failed")
        tag = registry.get(f"/v1/graphs/{ref}").headers["etag"]
        assert delete(registry, ref, **{"if-match": f'"x", {tag}'}).status_code == 204
    check_problem(delete(registry, "n", **{"if-match": "*"}), 404, "unknown-program")


# ------------------------------------------------------------------------------------------------------------ listing


def listed(client: Client, **query: Any) -> Iterator[list[str]]:
    """The pages, as ids."""
    cursor = None
    while True:
        more = {} if cursor is None else {"cursor": cursor}
        response = client.get("/v1/graphs", params={**query, **more})
        assert response.status_code == 200, response.text
        page = response.json()
        ProgramPage.model_validate(page)
        yield [r["id"] for r in page["graphs"]]
        cursor = page["next_cursor"]
        if cursor is None:
            return


def test_pages(registry: Client) -> None:
    ids = [
        register(registry, f"x * {k}", name=f"{'even' if k % 2 == 0 else 'odd'}.{k}")["id"] for k in range(7)
    ]
    assert list(listed(registry)) == [ids]
    assert list(listed(registry, limit=3)) == [ids[:3], ids[3:6], ids[6:]]
    assert list(listed(registry, limit=7)) == [ids]
    assert list(listed(registry, limit=2, name_prefix="even")) == [[ids[0], ids[2]], [ids[4], ids[6]]]
    for prefix, count in (("odd.", 3), ("odd.1", 1), ("", 7), ("Odd", 0), ("%", 0), ("é", 0), ("\0", 0)):
        assert [len(p) for p in listed(registry, name_prefix=prefix)] == [count]


def test_pages_stand_still_while_others_come_and_go(registry: Client) -> None:
    ids = [register(registry, f"x * {k}")["id"] for k in range(6)]
    pages = listed(registry, limit=2)
    assert next(pages) == ids[:2]
    for gone in (ids[0], ids[1], ids[3]):
        delete(registry, gone)
    new = register(registry, "x + 1")["id"]
    assert list(pages) == [[ids[2], ids[4]], [ids[5], new]]


def test_a_page_of_long_records_ends_early(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.routes.registry.PAGE_BYTES", 3000)
    for k in range(5):
        register(client, f"x * {k} # " + "long " * 200)
    assert [len(p) for p in listed(client)] == [2, 2, 1]


@pytest.mark.parametrize(
    "query",
    [
        "limit=0", "limit=-1", "limit=", "limit=x", "limit=1.0", f"limit={MAX_PAGE + 1}", "limit=٣", "limit=%00",
        "limit=" + "9" * 5000, "limit=1&limit=2", "cursor=", "cursor=AAAA", "cursor=%00", "cursor=é", "cursor=a b",
        "cursor=" + "A" * 32, "cursor=" + "A" * 20000, "name_prefix=" + "a" * 129, "name=n", "Limit=1",
    ],
)  # fmt: skip
def test_queries_that_are_refused(client: Client, query: str) -> None:
    register(client)
    response = client.get(f"/v1/graphs?{query}")
    check_problem(response, 422, "unknown-field" if query in ("name=n", "Limit=1") else "invalid-field")


def test_cursors_cannot_be_made_up(client: Client) -> None:
    for k in range(3):
        register(client, f"x * {k}", name=f"n{k}")
    cursor = client.get("/v1/graphs?limit=1").json()["next_cursor"]
    assert client.get("/v1/graphs", params={"cursor": cursor}).status_code == 200
    letters = string.ascii_letters + string.digits + "-_"
    for k, letter in itertools.product(range(len(cursor)), letters[::7]):
        changed = cursor[:k] + letter + cursor[k + 1 :]
        if changed != cursor:
            check_problem(client.get("/v1/graphs", params={"cursor": changed}), 422, "invalid-field")
    for changed in (cursor[:-1], cursor + "A", cursor + "=", cursor * 2, cursor.swapcase(), f" {cursor}"):
        check_problem(client.get("/v1/graphs", params={"cursor": changed}), 422, "invalid-field")
    other = client.get("/v1/graphs", params={"cursor": cursor, "name_prefix": "n"})
    assert "name_prefix" in check_problem(other, 422, "invalid-field")["detail"]
    elsewhere = Client()
    register(elsewhere)
    check_problem(elsewhere.get("/v1/graphs", params={"cursor": cursor}), 422, "invalid-field")
    elsewhere.close()


# ------------------------------------------------------------------------------------------------------------- bounds


def test_bounds() -> None:
    client = Client(store_programs=2)
    register(client, "x + 1")
    register(client, "x + 2")
    found = check_problem(client.post("/v1/graphs", json={"expression": "x + 3"}), 413, "limit-exceeded")
    assert (found["limit"], found["maximum"], found["actual"]) == ("store_programs", 2, 3)
    limits = client.get("/v1/limits").json()["limits"]
    assert (limits["store_programs"], limits["names"]) == (2, MAX_NAMES)
    client.close()
    client = Client(store_bytes=2000)
    found = check_problem(
        client.post("/v1/graphs", json={"expression": "x # " + "long" * 500}), 413, "limit-exceeded"
    )
    assert found["limit"] == "store_bytes"
    client.close()


def test_what_was_registered_with_larger_limits(tmp_path: Path) -> None:
    """A program over this server's limits is refused, whoever registered it."""
    store = f"sqlite:{tmp_path / 'p.db'}"
    large = Client(store=store)
    register(large, "+".join(f"x{k}" for k in range(30)), name="n")
    large.close()
    small = Client(store=store, nodes=20)
    found = check_problem(small.post("/v1/graphs/n/parse"), 413, "limit-exceeded")
    assert found["limit"] == "nodes"
    assert small.get("/v1/graphs/n").status_code == 200
    small.close()


TEXTS = [
    "log(1 + exp(-y*(w@x + b)))",
    "+".join(f"x{k}*{k}.5" for k in range(500)),
    "def f(a):\n    y = a\n    for i in range(20):\n        y = 0.5 * (y + a / y)\n    return y\n" + "\n".join(["f(x)"] * 30),
    "x * array([" + ", ".join(f"{k}.25" for k in range(5000)) + "])",
]  # fmt: skip


@pytest.mark.parametrize("text", TEXTS, ids=["short", "long", "loops", "array"])
@pytest.mark.parametrize("as_text", [True, False])
def test_the_estimate_of_memory_is_an_upper_bound(text: str, as_text: bool) -> None:
    settings = Settings(store="memory:", _env_file=None)  # type: ignore[call-arg]
    new = new_program(parse_text(text), text if as_text else None)
    read_content(new.content, new.id, settings)  # what is loaded once
    gc.collect()
    tracemalloc.start()
    program = read_content(new.content, new.id, settings)
    assert program.index
    gc.collect()
    taken = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert taken <= footprint(new.content) <= 20 * taken + 4096


def test_the_memory_is_bounded() -> None:
    client = Client(store_cache_bytes=60_000)
    programs = client.app.state.services.programs
    for k in range(40):
        register(client, f"x + {k}", name=f"n{k}")
    for k in (*range(40), *range(40)):
        answer = client.post(f"/v1/graphs/n{k}/evaluate", json={"inputs": {"x": 1}}).json()
        assert list(answer["outputs"].values()) == [1.0 + k]
        assert 0 < programs.kept.nbytes <= 60_000
    assert 5 < len(programs.kept) < 40
    read = programs.reads
    for _ in range(5):
        client.post("/v1/graphs/n39/evaluate", json={"inputs": {"x": 1}})
    assert programs.reads == read, "what was used just now is there"
    register(client, "+".join(["x"] * 2000), name="large")
    for _ in range(2):
        assert client.post("/v1/graphs/large/parse").status_code == 200
    assert programs.reads == read + 2, "what does not fit is read each time"
    delete(client, "n39")
    before = programs.kept.nbytes
    delete(client, parse_text("x + 39").digest)
    assert programs.kept.nbytes < before
    client.close()


def test_a_program_is_read_once(client: Client) -> None:
    record = register(client, name="n")
    for ref in ("n", record["id"]):
        for _ in range(3):
            client.post(f"/v1/graphs/{ref}/grad", json={"inputs": {"x": 1, "y": 2}})
            client.post("/v1/grad", json={"graph_id": ref, "inputs": {"x": 1, "y": 2}})
    assert client.app.state.services.programs.reads == 1


def test_what_is_kept_of_requests_follows_the_name(registry: Client) -> None:
    """Requests that were answered before, by a name that meanwhile means something else."""

    road = registry.app.at_once
    assert road is not None
    at_once = []

    def asked(x: Any) -> Any:
        for y in (2, 3.5, 3):
            body = {"inputs": {"x": x, "y": y}}
            data = json.dumps(body).encode()
            short = road(scope_of(registry, "/v1/graphs/n/evaluate", PLAIN, data), data)
            response = registry.post("/v1/graphs/n/evaluate", json=body)
            again = registry.post("/v1/evaluate", json={"graph_id": "n", **body})
            assert response.status_code == again.status_code
            at_once.append(short is not None)
            assert short is None or short[2] == response.content
        found = response.json()
        return found["outputs"]["t1"] if response.status_code == 200 else found["type"].rpartition("/")[2]

    def warm() -> list[Any]:
        return [(asked(2), asked([1, 2])) for _ in range(3)][2]  # type: ignore[return-value]

    first = register(registry, name="n")
    assert warm() == (6.0, [3.0, 6.0])
    register(registry, status=200, name="n", signature={"x": {"shape": [2]}})
    assert warm() == ("shape-mismatch", [3.0, 6.0])
    register(registry, status=200, name="n", signature={"x": {"shape": []}})
    assert warm() == (6.0, "shape-mismatch")
    register(registry, "x + y", name="n", replace=True)
    assert warm() == (5.0, [4.0, 5.0])
    register(registry, status=200, name="n", replace=True)
    assert warm() == (6.0, [3.0, 6.0])
    delete(registry, first["id"])
    assert warm() == ("unknown-program", "unknown-program")
    assert sum(at_once) > 40


@pytest.mark.parametrize("then", ["n", "m"])
def test_a_name_that_moves_between_two_looks(
    client: Client, monkeypatch: pytest.MonkeyPatch, then: str
) -> None:
    """What is kept for one program is never made of a request that was read to another."""
    store, road = client.app.state.services.store, client.app.at_once
    assert road is not None
    for name, text in (("n", "x * y"), ("m", "x + y")):
        register(client, text, name=name)
        client.post(f"/v1/graphs/{name}/grad", json={"inputs": {"x": 2, "y": 5}})

    def asked(x: float) -> Any:
        data = json.dumps({"inputs": {"x": x, "y": 5}}).encode()
        found = road(scope_of(client, "/v1/graphs/n/grad", PLAIN, data), data)
        assert found is not None
        return orjson.loads(found[2])["value"]

    find, looks = store.find, []

    def moving(ref: str, *, wait: bool = True) -> Any:
        looks.append(ref)
        return find("m" if len(looks) == 1 else then, wait=wait)

    assert [asked(x) for x in (2, 3, 4)] == [10.0, 15.0, 20.0]
    with monkeypatch.context() as patch:
        patch.setattr(store, "find", moving)
        assert asked(2) == {"n": 10.0, "m": 7.0}[then]
    assert len(looks) > 1
    assert [asked(x) for x in (2, 3, 4)] == [10.0, 15.0, 20.0]


@pytest.mark.parametrize(
    ("verb", "example"),
    [pytest.param(v, e, id=f"{v}-{e.name}") for v, listed in EXAMPLES.items() for e in listed],
)
def test_at_once_by_id_and_name(client: Client, verb: str, example: Example) -> None:
    """The shortest road gives the same answers, and takes what it takes with the program in the body."""
    road = client.app.at_once
    assert road is not None
    rest = {k: v for k, v in example.body.items() if k not in PROGRAMS}
    program = {k: v for k, v in example.body.items() if k in PROGRAMS}
    record = client.post("/v1/graphs", json={**program, "name": "n"}).json()
    data = json.dumps(rest).encode()
    named = f"/v1/graphs/n/{verb}"
    assert road(scope_of(client, named, PLAIN, data), data) is None, "the program has to be read first"
    client.post(named, json=rest)
    full = json.dumps(example.body).encode()
    taken = [same_on_both(client, road, f"/v1/{verb}", full) for _ in range(2)][1]
    for ref in (record["id"], "n"):
        assert same_on_both(client, road, f"/v1/graphs/{ref}/{verb}", data) is taken
        body = json.dumps({**rest, "graph_id": ref}).encode()
        assert same_on_both(client, road, f"/v1/{verb}", body) is taken
    for path in (
        "/v1/graphs//grad",
        "/v1/graphs/a/b/grad",
        "/v1/graphs/n/",
        "/v1/graphs/n",
        "/v1/graphs/n/graphs",
    ):
        assert road(scope_of(client, path, PLAIN, data), data) is None
    delete(client, record["id"])
    assert road(scope_of(client, named, PLAIN, data), data) is None


def test_a_program_that_comes_back_is_read_again(registry: Client) -> None:
    """With the text that it has now."""
    record = register(registry, "x @ y", name="n")
    bad = {"inputs": {"x": [1], "y": [1, 2]}}
    assert registry.post("/v1/graphs/n/grad", json=bad).json()["position"]["column"] == 3
    delete(registry, record["id"])
    register(registry, "x    @ y", name="n")
    assert registry.post("/v1/graphs/n/grad", json=bad).json()["position"]["column"] == 6


# ------------------------------------------------------------------------------------------------ a store out of order


def test_without_its_store_the_server_still_computes(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    client = Client(store=f"sqlite:{tmp_path / 'file' / 'p.db'}")
    body = {"expression": "x * y", "inputs": {"x": 2, "y": 3}}
    assert client.get("/readyz").json() == {"status": "ready"}
    requests: list[tuple[str, str, Any]] = [
        ("POST", "/v1/graphs", {"expression": "x"}),
        ("GET", "/v1/graphs", None),
        ("GET", "/v1/graphs/n", None),
        ("DELETE", "/v1/graphs/n", None),
        ("POST", "/v1/graphs/n/grad", {}),
        ("POST", "/v1/graphs/n/render", None),
        ("POST", "/v1/grad", {"graph_id": "n"}),
        ("POST", "/v1/graphs", {"graph_id": "n", "name": "m"}),
    ]
    for method, path, content in requests:
        response = client.request(method, path, **({} if content is None else {"json": content}))
        found = check_problem(response, 503, "storage-unavailable")
        assert int(response.headers["retry-after"]) >= 1
        assert str(tmp_path) not in found["detail"]
    assert client.ask("grad", body)["value"] == 6.0
    assert client.get("/readyz").json() == {"status": "ready", "store": "unavailable"}
    assert client.get("/healthz").status_code == 200
    client.close()


def test_a_stored_graph_that_is_another_program(tmp_path: Path) -> None:
    """Damage that SQLite does not see is found when the program is read."""
    registry = Client(store=f"sqlite:{tmp_path / 'p.db'}")
    record = register(registry, name="n")
    store = registry.app.state.services.store
    with store.connections.writing() as c:
        c.execute(
            "UPDATE programs SET source = NULL, graph = CAST(replace(graph, 'multiply', 'add') AS BLOB)"
        )
    response = registry.post(f"/v1/graphs/{record['id']}/grad", json={"inputs": {"x": 1, "y": 2}})
    check_problem(response, 503, "storage-unavailable")
    registry.close()


# ------------------------------------------------------------------------------------------------------- documentation


def test_the_document_describes_it_all(client: Client) -> None:
    document = client.get("/openapi.json").json()
    paths, schemas = document["paths"], document["components"]["schemas"]
    assert set(paths["/v1/graphs"]) == {"get", "post"}
    assert set(paths["/v1/graphs/{ref}"]) == {"get", "delete"}
    for verb, model in REQUESTS.items():
        operation = paths[f"/v1/graphs/{{ref}}/{verb}"]["post"]
        assert [p["name"] for p in operation["parameters"] if p["in"] == "path"] == ["ref"]
        assert not operation["requestBody"]["required"]
        content = operation["requestBody"]["content"]["application/json"]
        schema = schemas[content["schema"]["$ref"].rpartition("/")[2]]
        assert set(schema["properties"]) == set(model.model_fields) - set(PROGRAMS)
        assert schema["additionalProperties"] is False
        assert all(not set(PROGRAMS) & e["value"].keys() for e in content["examples"].values())
    post = paths["/v1/graphs"]["post"]["responses"]
    assert {"200", "201", "404", "409", "413", "415", "422", "503"} <= post.keys()
    assert "Location" in post["201"]["headers"]
    assert {"304", "404", "412"} <= paths["/v1/graphs/{ref}"]["get"]["responses"].keys()
    assert {"204", "404", "412"} <= paths["/v1/graphs/{ref}"]["delete"]["responses"].keys()
    assert "200" not in paths["/v1/graphs/{ref}"]["delete"]["responses"]
