"""From bytes to a request: what is JSON, what is too deep, what is sent as what."""

from __future__ import annotations

import time
from typing import Any

import pytest

from tests.service.conftest import PRODUCT, Client, check_problem

JSON = {"content-type": "application/json"}


@pytest.mark.parametrize(
    ("data", "position"),
    [
        (b"{", None),
        (b"nope", (1, 2)),
        (b'{"expression": "x",}', (1, 20)),
        (b'{"a": NaN}', (1, 7)),
        (b'{"a": -Infinity}', None),
        (b'{"a": Infinity}', (1, 7)),
        (b"{'a': 1}", (1, 2)),
        (b'{"a": 01}', None),
        (b'{"a": 1} x', (1, 10)),
        (b'{"a"\n: "\xff"}', None),
        (b'{"\xc3\xa9\xc3\xa9": tru}', None),
        (b'{"a": "\\ud800"}', None),
        (b'{"a": "\\udc00\\ud800"}', None),
        (b'{"a": "\xed\xa0\x80"}', None),
        (b'{"a": "\x01"}', None),
        (b"\xef\xbb\xbf{}", (1, 1)),
        ("{}".encode("utf-16"), (1, 1)),
        (b"\x00", (1, 1)),
        (b"\x1f\x8b\x08\x00", (1, 1)),
    ],
    ids=repr,
)
def test_what_is_no_json(client: Client, data: bytes, position: tuple[int, int] | None) -> None:
    found = client.problem("grad", data, 400, "invalid-json")
    assert found["position"]["line"] >= 1
    if position is not None:
        assert (found["position"]["line"], found["position"]["column"]) == position


def test_positions_are_in_code_points(client: Client) -> None:
    plain = client.problem("grad", b'{"ee": tru}', 400, "invalid-json")["position"]
    accents = client.problem("grad", '{"éé": tru}'.encode(), 400, "invalid-json")["position"]
    assert plain == accents
    assert client.problem("grad", b'{\n\n "a": nil}', 400, "invalid-json")["position"]["line"] == 3


@pytest.mark.parametrize("word", ["NaN", "Infinity", "-Infinity"])
def test_bare_words_are_explained(client: Client, word: str) -> None:
    found = client.problem(
        "grad", f'{{"expression": "x", "inputs": {{"x": {word}}}}}'.encode(), 400, "invalid-json"
    )
    assert '"NaN"' in found["detail"]


@pytest.mark.parametrize("data", [b"", b" \r\n\t "])
def test_no_body(client: Client, data: bytes) -> None:
    client.problem("grad", data, 400, "missing-body")


def test_no_body_and_no_type(client: Client) -> None:
    check_problem(client.post("/v1/grad"), 400, "missing-body")


@pytest.mark.parametrize("data", [b"[]", b"3", b"null", b'"x"', b"true"])
def test_no_object(client: Client, data: bytes) -> None:
    client.problem("grad", data, 422, "invalid-field")


@pytest.mark.parametrize("opening", [b"[", b'{"a":'])
@pytest.mark.parametrize("prefix", [b"", b'{"expression": "x", "inputs": {"x": '])
def test_deep_nesting(client: Client, opening: bytes, prefix: bytes) -> None:
    start = time.process_time()
    found = client.problem("grad", prefix + opening * 100_000, 413, "limit-exceeded")
    assert time.process_time() - start < 0.5
    assert (found["limit"], found["maximum"]) == ("depth", 200)
    assert found["actual"] > 200


@pytest.mark.parametrize(
    "number", ["1e400", "-1e400", "1" * 400, "1" * 5000, "-" + "9" * 310, "1" * 310 + ".5"]
)
def test_numbers_beyond_double_range(client: Client, number: str) -> None:
    start = time.process_time()
    for body in (
        '{"expression": "x", "inputs": {"x": %s}}',
        '{"expression": "x", "inputs": {"x": [1, [2]]}, "seed": %s}',
        '{"expression": "sum(x)", "inputs": {"x": [1, %s]}}',
    ):
        response = client.post("/v1/grad", content=(body % number).encode(), headers=JSON)
        found = check_problem(response, 422, "invalid-array")
        assert any("range" in e["detail"] for e in found["errors"])
    assert time.process_time() - start < 0.5


def test_numbers_beyond_double_range_elsewhere(client: Client) -> None:
    for body in (
        b'{"expression": "x", "inputs": {"x": 1}, "in_axes": {"x": 1e400}}',
        b'{"expression": "x", "inputs": {"x": 1}, "summarize_over": 1e400}',
        b'{"graph": {"nodes": [{"id": "x", "op": "input", "value": 1e400}], "outputs": ["x"]}}',
        b'{"graph": {"nodes": [{"id": "x", "op": "input"}, {"id": "y", "op": "add", "inputs": ["x", 1e400]}]}, '
        b'"inputs": {"x": 1}}',
        b'{"graph": {"nodes": [{"id": "x", "op": "input"}, {"id": "y", "op": "leaky_relu", "inputs": ["x"], '
        b'"attrs": {"negative_slope": 1e400}}]}, "inputs": {"x": 1}}',
    ):
        response = client.post("/v1/trace", content=body, headers=JSON)
        assert response.status_code == 422, response.text


def test_the_last_of_equal_keys_counts(client: Client) -> None:
    data = b'{"expression": "x", "inputs": {"x": 1, "x": 2}, "inputs": {"x": 3, "x": 4}}'
    response = client.post("/v1/evaluate", content=data, headers=JSON)
    assert response.json()["outputs"] == {"x": 4.0}


def test_integers_and_floats_stay_apart(client: Client) -> None:
    take = {"expression": "take(a, i)", "inputs": {"a": [1, 2, 3], "i": 1}}
    assert client.ask("evaluate", take)["values"]["i"] == 1
    assert isinstance(client.ask("evaluate", take)["values"]["i"], int)
    data = b'{"expression": "take(a, i)", "inputs": {"a": [1, 2, 3], "i": 1.5}}'
    assert client.post("/v1/evaluate", content=data, headers=JSON).status_code == 422


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        ("application/json", 200),
        ("application/json; charset=utf-8", 200),
        ("Application/JSON", 200),
        ("application/problem+json", 200),
        ("application/vnd.api+json; charset=UTF-8", 200),
        ("application/json; charset=latin-1", 415),
        ("text/plain", 415),
        ("text/json", 415),
        ("application/x-www-form-urlencoded", 415),
        ("multipart/form-data; boundary=x", 415),
        ("application/octet-stream", 415),
        ("application/jsonx", 415),
        ("", 415),
    ],
)
def test_media_types(client: Client, kind: str, status: int) -> None:
    data = b'{"expression": "x", "inputs": {"x": 1}}'
    response = client.post("/v1/grad", content=data, headers={"content-type": kind})
    assert response.status_code == status, response.text
    if status == 415:
        check_problem(response, 415, "unsupported-media-type")


@pytest.mark.parametrize(
    ("coding", "status"), [("identity", 200), ("gzip", 415), ("br", 415), ("identity, gzip", 415)]
)
def test_content_encoding(client: Client, coding: str, status: int) -> None:
    response = client.post("/v1/grad", json=PRODUCT, headers={"content-encoding": coding})
    assert response.status_code == status
    if status == 415:
        check_problem(response, 415, "unsupported-media-type")
        assert response.headers["accept-encoding"] == "identity"


@pytest.mark.parametrize(
    ("accept", "status"),
    [
        (None, 200),
        ("*/*", 200),
        ("application/json", 200),
        ("application/*;q=0.1", 200),
        ("text/html, application/json;q=0.9", 200),
        ("text/html, */*;q=0.1", 200),
        ("APPLICATION/JSON", 200),
        ("", 200),
        ("text/html", 406),
        ("application/json;q=0", 406),
        ("*/*;q=0", 406),
        ("application/json;q=x", 406),
        ("image/*", 406),
        ("application/json;q=0, */*", 406),
    ],
)
@pytest.mark.parametrize("path", ["/v1/grad", "/v1/limits"])
def test_accept(client: Client, path: str, accept: str | None, status: int) -> None:
    headers = {} if accept is None else {"accept": accept}
    response = (
        client.post(path, json=PRODUCT, headers=headers)
        if path == "/v1/grad"
        else client.get(path, headers=headers)
    )
    assert response.status_code == status, response.text
    if status == 406:
        check_problem(response, 406, "not-acceptable")


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("text/markdown", "text/markdown"),
        ("text/*", "text/markdown"),
        ("application/json;q=0.5, text/markdown", "text/markdown"),
        ("text/markdown;q=0.5, application/json", "application/json"),
        ("*/*", "application/json"),
    ],
)
def test_trace_negotiates(client: Client, accept: str, kind: str) -> None:
    response = client.post("/v1/trace", json=PRODUCT, headers={"accept": accept})
    assert response.headers["content-type"].partition(";")[0] == kind
    assert response.headers["vary"] == "Accept"


@pytest.fixture
def small() -> Any:
    made = Client(body_bytes=1000)
    yield made
    made.close()


def test_bodies_over_the_limit(small: Client) -> None:
    fits = b'{"expression": "x", "inputs": {"x": 1}}'.ljust(1000)
    assert small.post("/v1/grad", content=fits, headers=JSON).status_code == 200
    found = check_problem(small.post("/v1/grad", content=fits + b" ", headers=JSON), 413, "limit-exceeded")
    assert (found["limit"], found["maximum"], found["actual"]) == ("body_bytes", 1000, 1001)

    async def chunks() -> Any:
        for _ in range(100):
            yield b" " * 100

    found = check_problem(small.post("/v1/grad", content=chunks(), headers=JSON), 413, "limit-exceeded")
    assert 1000 < found["actual"] <= 1100
    response = small.post("/v1/grad", content=b"x", headers={**JSON, "content-length": "9" * 40})
    check_problem(response, 413, "limit-exceeded")


def test_a_body_that_grows_in_memory() -> None:
    made = Client(memory_bytes=32 << 20)
    try:
        data = b'{"expression": "x", "inputs": {"x": [' + b"[]," * 500_000 + b"[]]}}"
        start = time.process_time()
        found = made.problem("grad", data, 413, "limit-exceeded")
        assert time.process_time() - start < 0.5
        assert found["limit"] == "memory_bytes"
    finally:
        made.close()
