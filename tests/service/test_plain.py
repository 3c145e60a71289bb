"""The short road of plain scalar graphs: the answers are those of the general road, field for field."""

from __future__ import annotations

import json
import random
import time
from dataclasses import replace
from typing import Any

import numpy as np
import orjson
import pytest

from engine.cost import Limits
from engine.derive import Plans
from engine.spec import plain as reader
from service import plain
from service.admission import Ticket
from service.app import create_app
from service.problems import Problem
from service.readings import Readings
from service.settings import Settings
from service.work import Services, Work
from tests.engine.spec.plain.graphs import dumps, random_body
from tests.service.conftest import Client

Json = dict[str, Any]

assert reader.load() is not None


@pytest.fixture(scope="module")
def services() -> Services:
    return create_app(Settings(access_log=False, _env_file=None)).state.services  # type: ignore[call-arg]


def short(services: Services, verb: str, data: bytes) -> bytes | None:
    """The answer of the short road; None if it gives up."""
    work = Work(services, verb, data, Ticket(60.0))
    if not plain.answered(work):
        assert work.data == data, "the general road needs the bytes"
        return None
    work.add_timing()
    return work.body


def general(services: Services, verb: str, data: bytes) -> bytes:
    """The answer of the general road."""
    work = Work(services, verb, data, Ticket(60.0))
    work.read()
    with np.errstate(all="ignore"):
        work.rest()
    work.add_timing()
    return work.body


def same(a: Any, b: Any) -> bool:
    """Whether two answers are equal, in the order of their fields too; numbers to a few last places, since a sum may be formed
    in another order."""
    if isinstance(a, dict):
        return isinstance(b, dict) and list(a) == list(b) and all(same(a[k], b[k]) for k in a)
    if isinstance(a, list):
        return isinstance(b, list) and len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, float) and isinstance(b, float):
        return abs(a - b) <= 1e-9 * max(abs(a), abs(b)) or a == b
    return type(a) is type(b) and a == b


def request(r: random.Random, verb: str, size: int) -> bytes:
    """A random request."""
    body = random_body(r, size, shuffle=r.random() < 0.5)
    ids = [n["id"] for n in body["graph"]["nodes"]]
    outputs = body["graph"].get("outputs")
    if r.random() < 0.3:
        body["nodes"] = r.choice(["all", "named", "none"])
    if r.random() < 0.3:
        body["wrt"] = r.sample(ids, min(len(ids), 3))
    if r.random() < 0.3:
        body["of"] = r.choice(ids)
    if r.random() < 0.3:
        body["mode"] = r.choice(["auto", "reverse"])
    if r.random() < 0.2:
        body["arrays"] = "base64"
    if verb == "grad" and r.random() < 0.3:
        body["seed"] = r.choice([2, 0.5, -3.0, None])
    if verb == "vjp" and outputs:
        body["cotangents"] = {name: r.uniform(-1, 1) for name in outputs[: r.randint(0, 3)]}
    if verb == "jvp":
        body["tangents"] = {name: r.choice([1, 0.25]) for name in r.sample(ids, min(len(ids), 2))}
    return dumps(body, r).encode()


@pytest.mark.parametrize("verb", sorted(plain.VERBS))
@pytest.mark.parametrize("size", [1, 3, 8, 30, 300, 5000])
def test_both_roads_give_the_same_answer(services: Services, verb: str, size: int) -> None:
    r = random.Random(f"{verb}{size}")
    taken = 0
    for _ in range(max(4, min(60, 600 // size))):
        data = request(r, verb, size)
        found = short(services, verb, data)
        if found is None:  # a value that is not finite, or a kink
            continue
        taken += 1
        expected = general(services, verb, data)
        assert same(orjson.loads(found), orjson.loads(expected)), data
    assert taken or size > 30, "every request is out of the ordinary"


def polynomial(n: int, **more: Any) -> bytes:
    """A request whose arithmetic is exact."""
    r = random.Random(n)
    nodes: list[Json] = [{"id": "x", "op": "input"}, {"id": "é\u2028", "op": "input", "value": 0.5}]
    for k in range(n):
        refs = [nodes[r.randrange(max(0, len(nodes) - 9), len(nodes))]["id"] for _ in range(2)]
        nodes.append({"id": f"n{k}", "op": r.choice(["add", "sub"]), "inputs": refs})
        if r.random() < 0.5:
            nodes[-1]["op"] = "mul"
            nodes[-1]["inputs"][1] = r.choice([0.5, -0.5, 0.25, 1])
    return json.dumps({"graph": {"nodes": nodes}, "inputs": {"x": 3}, **more}, ensure_ascii=False).encode()


@pytest.mark.parametrize("verb", ["evaluate", "grad", "vjp", "jvp"])
def test_exact_answers_are_the_same_bytes(services: Services, verb: str) -> None:
    more: Json = {"jvp": {"tangents": {"x": 1}}}.get(verb, {})
    taken = 0
    for n in (1, 2, 5, 20, 60):
        data = polynomial(n, **more)
        found = short(services, verb, data)
        if found is not None:
            taken += 1
            assert found.replace(b"-0.0", b"0.0") == general(services, verb, data).replace(b"-0.0", b"0.0")
    assert taken


NODES: list[Json] = [
    {"id": "x", "op": "input"},
    {"id": "y", "op": "input", "value": 2},
    {"id": "p", "op": "mul", "inputs": ["x", "y"]},
    {"id": "f", "op": "add", "inputs": ["p", 1]},
]
BODY: Json = {"graph": {"nodes": NODES, "outputs": ["f"]}, "inputs": {"x": 1}}

LEFT: dict[str, tuple[str, Json]] = {
    "another verb": ("hessian", {}),
    "an unknown field": ("grad", {"axis": 1}),
    "a field of another verb": ("evaluate", {"seed": 1}),
    "no such node": ("grad", {"of": "q"}),
    "several nodes": ("grad", {"of": ["f"]}),
    "no wrt": ("grad", {"wrt": []}),
    "wrt twice": ("grad", {"wrt": ["x", "x"]}),
    "an unknown wrt": ("grad", {"wrt": ["q"]}),
    "forward mode": ("grad", {"mode": "forward"}),
    "an array as seed": ("grad", {"seed": [1]}),
    "NaN as seed": ("grad", {"seed": "NaN"}),
    "true as seed": ("grad", {"seed": True}),
    "a huge seed": ("grad", {"seed": 10**400}),
    "a cotangent of no output": ("vjp", {"cotangents": {"p": 1}}),
    "an array as tangent": ("jvp", {"tangents": {"x": [1]}}),
    "a map": ("grad", {"in_axes": {"x": 0}}),
    "an empty map": ("grad", {"in_axes": {}}),
    "float32": ("grad", {"dtype": "float32"}),
    "a drawing": ("grad", {"include": ["dot"]}),
    "a derivative graph": ("grad", {"include": ["derivative_graph"]}),
    "another program": ("grad", {"expression": "x"}),
    "an id of a program": ("grad", {"graph_id": "x"}),
}


@pytest.mark.parametrize("what", LEFT)
def test_what_is_out_of_the_ordinary_is_left_to_the_general_road(services: Services, what: str) -> None:
    verb, more = LEFT[what]
    if verb in plain.VERBS:
        assert short(services, verb, json.dumps(BODY).encode()) is not None
    assert short(services, verb, json.dumps(BODY | more).encode()) is None


@pytest.mark.parametrize(
    "node",
    [
        {"op": "log", "inputs": ["z"]},
        {"op": "div", "inputs": ["x", "z"]},
        {"op": "exp", "inputs": ["big"]},
        {"op": "abs", "inputs": ["z"]},
    ],
    ids=lambda node: node["op"],
)
def test_what_needs_a_warning_is_left_to_the_general_road(
    services: Services, client: Client, node: Json
) -> None:
    nodes = [*NODES, {"id": "z", "op": "constant", "value": 0}, {"id": "big", "op": "constant", "value": 1e9}]
    body = {"graph": {"nodes": [*nodes, {"id": "g", **node}], "outputs": ["g"]}, "inputs": {"x": 1}}
    assert short(services, "grad", json.dumps(body).encode()) is None
    assert client.ask("grad", body)["warnings"]


def test_large_arrays_are_not_read_twice(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    body = BODY | {"of": "f" * 100_000}
    monkeypatch.setattr(plain, "read_object", lambda *_, **__: pytest.fail("the rest is read"))
    assert short(services, "grad", json.dumps(body).encode()) is None


@pytest.mark.parametrize("nodes", [3, 4])
def test_limits_are_those_of_the_general_road(nodes: int, services: Services) -> None:
    settings = Settings(nodes=nodes, _env_file=None)
    services = replace(
        services, settings=settings, limits=Limits(nodes=nodes), readings=Readings(settings), plans=Plans()
    )
    data = json.dumps(BODY).encode()
    assert (short(services, "grad", data) is None) == (nodes < 4)
    if nodes < 4:
        with pytest.raises(Problem):
            general(services, "grad", data)


def test_a_request_that_nobody_waits_for_stops(services: Services) -> None:
    work = Work(services, "grad", json.dumps(BODY).encode(), Ticket(60.0))
    work.ticket.cancel()
    with pytest.raises(BaseException, match=r"^$") as caught:
        plain.answered(work)
    assert type(caught.value).__name__ == "Cancelled"


def test_timing_is_told(services: Services) -> None:
    found = short(services, "grad", json.dumps(BODY | {"include": ["timing"]}).encode())
    assert found is not None
    expected = orjson.loads(general(services, "grad", json.dumps(BODY | {"include": ["timing"]}).encode()))
    timing = orjson.loads(found)["timing"]
    assert list(timing) == list(expected["timing"])
    assert timing["peak_bytes"] > 0


def test_a_large_request_takes_the_short_road(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    taken = []
    original = plain.answered
    monkeypatch.setattr(plain, "answered", lambda work: taken.append(original(work)) or taken[-1])
    data = polynomial(300)
    response = client.post("/v1/evaluate", content=data, headers={"content-type": "application/json"})
    assert response.status_code == 200, response.text
    assert taken == [True]


def test_without_the_compiled_reader_the_general_road_answers(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = polynomial(300)
    headers = {"content-type": "application/json"}
    with_it = client.post("/v1/evaluate", content=data, headers=headers)
    monkeypatch.setattr(plain, "native", lambda length: None)
    assert client.post("/v1/evaluate", content=data, headers=headers).content == with_it.content


def test_time_grows_with_the_length(services: Services) -> None:
    def seconds(data: bytes) -> float:
        begin = time.thread_time()
        assert short(services, "evaluate", data) is not None
        return time.thread_time() - begin

    few, many = polynomial(20_000), polynomial(80_000)
    assert min(seconds(many) for _ in range(5)) < 10 * min(seconds(few) for _ in range(5))
