"""The registry under requests that nobody would write: no 500, and the same answers whatever keeps the programs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service import examples
from service.schemas import RegisterRequest
from tests.service.conftest import Client, check_problem
from tests.service.test_arrays import strict
from tests.service.test_fuzz import FIELDS, VERBS, values

ALLOWED = {400, 404, 405, 406, 409, 412, 413, 415, 422}
TEXTS = ["x", "x * y", "x  * y", "e * x", "x[k]", "A @ x", "x +", "+".join(["x"] * 50)]
NAMES = ["a", "b", "a.b", "Ab", "sha256-0", "a" * 128, "a" * 129, "..", "", "ä", "1"]
KEYS = [*RegisterRequest.model_fields, "inputs", "nam"]


class Pair:
    """A registry in memory and one in a file, asked the same."""

    def __init__(self, memory: Client, file: Client) -> None:
        self.clients = (memory, file)
        self.ids: set[str] = set()

    def one(self, k: int) -> str:
        """The id of one of the programs that were registered."""
        return sorted(self.ids)[k % len(self.ids)] if self.ids else "a"

    def send(self, method: str, path: str, **options: Any) -> httpx.Response:
        one, two = (client.request(method, path, **options) for client in self.clients)
        for response in (one, two):
            check(response)
        assert one.status_code == two.status_code, (one.text, two.text)
        assert comparable(one) == comparable(two)
        if one.status_code == 201:
            self.ids.add(one.json()["id"])
        return one


def check(response: httpx.Response) -> None:
    """An answer, or a problem that is the client's."""
    if response.status_code < 400:
        if response.content and response.headers.get("content-type") == "application/json":
            strict(response.content)
        return
    assert response.status_code in ALLOWED, response.text
    if response.content:
        found = orjson.loads(response.content)
        check_problem(response, response.status_code, found["type"].removeprefix("/problems/"))


def comparable(response: httpx.Response) -> Any:
    """The answer without what is different each time: times, digests of them, and what is signed."""
    if not response.content or response.headers.get("content-type") not in (
        "application/json",
        "application/problem+json",
    ):
        return response.content
    found = orjson.loads(response.content)
    if response.status_code == 412:
        return found["type"]
    for record in (found, *found.get("graphs", ())):
        record.pop("created", None)
    if found.get("next_cursor") is not None:
        found["next_cursor"] = "…"
    return found


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    place = tmp_path_factory.mktemp("fuzz") / "p.db"
    bounds = {"store_programs": 200, "store_bytes": 1 << 20}
    made = Pair(Client(store="memory:", **bounds), Client(store=f"sqlite:{place}", **bounds))
    yield made
    for client in made.clients:
        client.close()


@st.composite
def registrations(draw: st.DrawFn) -> Any:
    """Bodies near good ones."""
    body: dict[str, Any] = json.loads(json.dumps(draw(st.sampled_from(examples.REGISTER)).body))
    if draw(st.booleans()):
        body = {"expression": draw(st.sampled_from(TEXTS)), "name": draw(st.sampled_from(NAMES))}
    for _ in range(draw(st.integers(0, 3))):
        key = draw(st.sampled_from(KEYS))
        match draw(st.sampled_from(["drop", "any", "near"])):
            case "drop":
                body.pop(key, None)
            case "any":
                body[key] = draw(values)
            case _:
                near: dict[str, Any] = {
                    "name": st.one_of(st.sampled_from(NAMES), st.text(max_size=4)),
                    "description": st.one_of(st.none(), st.text(max_size=8)),
                    "replace": st.booleans(),
                    "graph_id": st.sampled_from(NAMES),
                    "signature": st.dictionaries(
                        st.sampled_from(["x", "y", "e", "k", "A"]),
                        st.fixed_dictionaries(
                            {"shape": st.lists(st.integers(0, 3), max_size=2)},
                            optional={"dtype": st.sampled_from(["float64", "int64", "bool", "float32"])},
                        ),
                        max_size=2,
                    ),
                }
                body[key] = draw(near.get(key, values))
    return body


refs = st.one_of(
    st.sampled_from([n for n in NAMES if n not in ("", "..")]),
    st.text(max_size=6).filter(lambda t: not {"/", "?", "#"} & set(t) and t.strip(".") and t.isprintable()),
)
tags = st.one_of(st.sampled_from([b"*", b'""', b'"a"', b"W/", b",", b""]), st.binary(max_size=8))


@settings(max_examples=300)
@given(registrations())
def test_registrations(pair: Pair, body: Any) -> None:
    pair.send("POST", "/v1/graphs", json=body)


@given(st.binary(max_size=40), st.sampled_from(["application/json", "application/onnx", "text/plain", "é"]))
def test_bytes(pair: Pair, data: bytes, kind: str) -> None:
    pair.send("POST", "/v1/graphs", content=data, headers={b"content-type": kind.encode()})


@settings(max_examples=200)
@given(
    refs,
    st.sampled_from(["GET", "HEAD", "DELETE", "GET"]),
    st.dictionaries(st.sampled_from([b"if-match", b"if-none-match", b"accept"]), tags, max_size=2),
)
def test_resources(pair: Pair, ref: str, method: str, headers: dict[bytes, bytes]) -> None:
    clean = {k: v.translate(None, b"\r\n\0") for k, v in headers.items()}
    pair.send(method, f"/v1/graphs/{ref}", headers=clean)


@settings(max_examples=200)
@given(
    st.sampled_from(["limit", "cursor", "name_prefix", "Limit", ""]),
    st.one_of(st.text(max_size=10), st.integers().map(str), st.sampled_from(["1", "50", "a", "%", "_"])),
    st.sampled_from(["", "1", "2"]),
)
def test_queries(pair: Pair, name: str, value: str, limit: str) -> None:
    query = [(name, value), *([("limit", limit)] if limit else [])]
    pair.send("GET", "/v1/graphs", params=query)


@settings(max_examples=200)
@given(st.data())
def test_verbs_by_id(pair: Pair, data: st.DataObject) -> None:
    draw = data.draw
    if draw(st.booleans()):
        pair.send("POST", "/v1/graphs", json=draw(registrations()))
    ref = draw(st.one_of(refs, st.integers(0, 50).map(pair.one)))
    body = draw(
        st.one_of(
            st.dictionaries(st.sampled_from(FIELDS), values, max_size=3),
            st.fixed_dictionaries(
                {"inputs": st.dictionaries(st.sampled_from(["x", "y", "e", "k", "A"]), values, max_size=4)}
            ),
        )
    )
    verb = draw(st.sampled_from(VERBS))
    path = f"/v1/graphs/{ref}/{verb}" if draw(st.booleans()) else f"/v1/{verb}"
    asked = body if ref in path else {**body, "graph_id": ref}
    first = pair.send("POST", path, json=asked)
    again = pair.send("POST", path, json=asked)
    if "timing" not in str(body):
        assert again.content == first.content, "also when all is known but the numbers"


@settings(max_examples=60)
@given(
    st.integers(1, 5),
    st.sampled_from(["", "a", "A", "z"]),
    st.lists(st.one_of(registrations(), st.integers(0, 50)), max_size=12),
)
def test_pages_agree(pair: Pair, limit: int, prefix: str, meanwhile: list[Any]) -> None:
    """All pages of a listing, with registrations and removals between them."""
    query = [{"limit": str(limit), "name_prefix": prefix} for _ in pair.clients]
    for _ in range(200):
        answers = [c.get("/v1/graphs", params=q) for c, q in zip(pair.clients, query, strict=True)]
        one, two = answers
        assert comparable(one) == comparable(two)
        cursors = [a.json()["next_cursor"] for a in answers]
        if None in cursors:
            return
        for q, cursor in zip(query, cursors, strict=True):
            q["cursor"] = cursor
        action = meanwhile.pop() if meanwhile else None
        if isinstance(action, int):
            pair.send("DELETE", f"/v1/graphs/{pair.one(action)}")
        elif action is not None:
            pair.send("POST", "/v1/graphs", json=action)
