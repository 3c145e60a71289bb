"""There are shorter roads for ordinary requests; whatever takes one gets the same as on the long one."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import io
import json
import logging
import threading
import time
from calendar import timegm
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from engine.kept import LARGEST, Kept
from engine.language import TextLimits
from engine.values import Given
from service import programs, work
from service.at_once import AtOnce
from service.envelope import Envelope, read_envelope
from service.examples import EXAMPLES
from service.logs import AccessLog, JsonFormatter, LineHandler
from service.problems import Problem, document
from service.programs import program_of_text
from service.readings import Readings
from service.settings import Settings
from tests.service.conftest import PRODUCT, Client
from tests.service.test_fuzz import FIELDS, VERBS, leaves, values

BODIES = [(verb, e.body) for verb, found in EXAMPLES.items() for e in found]
SETTINGS = Settings(_env_file=None)


def places(body: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Paths to all that a JSON document consists of."""
    yield path
    if isinstance(body, dict | list):
        for key in body if isinstance(body, dict) else range(len(body)):
            yield from places(body[key], (*path, key))


def replaced(body: Any, path: tuple[Any, ...], value: Any) -> Any:
    """The document with another value at one place."""
    if not path:
        return value
    body = copy.copy(body)
    body[path[0]] = replaced(body[path[0]], path[1:], value)
    return body


@st.composite
def near_examples(draw: st.DrawFn) -> tuple[str, dict[str, Any]]:
    """An example, or something like one, for its verb or another."""
    verb, body = draw(st.sampled_from(BODIES))
    if draw(st.integers(0, 3)) == 0:
        verb = draw(st.sampled_from(VERBS))
    for _ in range(draw(st.integers(0, 2))):
        path = draw(st.sampled_from(list(places(body))[1:]))
        body = replaced(body, path, draw(st.one_of(leaves, values)))
    if draw(st.integers(0, 3)) == 0:
        body = {**body, draw(st.sampled_from(FIELDS)): draw(values)}
    return verb, body


# ------------------------------------------------------------------------------------------------------------ reading


def shown(value: Any) -> Any:
    """Something that compares as it should."""
    if isinstance(value, Given):
        return (value.value.dtype, value.value.shape, value.value.tobytes(), value.weak, value.integers)
    return {k: shown(v) for k, v in value.items()} if isinstance(value, dict) else value


def outcome(read: Any) -> Any:
    """What was read, or what was wrong."""
    try:
        found: Envelope = read()
    except Problem as error:
        return document(error, "")
    fields = found.fields
    kept = {k: v for k, v in vars(fields).items() if k not in ("inputs", "seed") and not isinstance(v, dict)}
    request = {k: shown(v) for k, v in vars(found.request).items() if k != "program"}
    program = found.request.program.identity
    return found.verb, found.form, found.signature, program, request, kept, fields.model_fields_set


READINGS = Readings(SETTINGS)
"""One for all tests: what one request leaves behind must not change what others are read to."""


@given(near_examples())
@example(("grad", {**PRODUCT, "seed": None}))
@example(("grad", {**PRODUCT, "seed": 1}))
@example(("grad", {**PRODUCT, "seed": True}))
@example(("jacobian", {**PRODUCT, "sparse": True}))
@example(("jacobian", {**PRODUCT, "sparse": 1}))
@example(("jvp", {**PRODUCT, "inputs": {"tangents": 1.0}}))
@example(("jvp", {**PRODUCT, "inputs": {}, "tangents": {}}))
@example(("taylor", {**PRODUCT, "order": 1}))
@example(("taylor", {**PRODUCT, "order": 1.0}))
@example(("taylor", {**PRODUCT, "order": True}))
@example(("evaluate", {"expression": "v", "inputs": {"v": [1.5, 10**400]}}))
@example(("evaluate", {"expression": "v", "inputs": {"v": [1.5, 2]}}))
@example(("evaluate", {"expression": "v", "inputs": {"v": [1.5, -0.0]}}))
@example(("evaluate", {"expression": "v", "inputs": {"v": [1e308, 1e308]}}))
@example(("evaluate", {"expression": "v", "inputs": {"v": [1.5, True]}}))
@example(("evaluate", {"expression": "v", "inputs": {"v": [1.5, "NaN"]}}))
@example(("evaluate", {"expression": "v", "inputs": {"v": [1.5, [1.5]]}}))
@example(("evaluate", {"expression": "v", "inputs": {"v": []}}))
@example(("render", {**PRODUCT, "direction": "TB"}))
@example(("render", {"expression": "x"}))
@example(("render", {"expression": "x", "inputs": {}}))
def test_reading_again(asked: tuple[str, dict[str, Any]]) -> None:
    verb, body = asked
    expected = outcome(lambda: read_envelope(verb, body, SETTINGS))
    with contextlib.suppress(Problem):  # so that the next one is a request like one that was read before
        READINGS.read(verb, {**body, "inputs": {"v": 1.5}} if body.get("expression") == "v" else body, 100)
    for _ in range(2):
        assert outcome(lambda: READINGS.read(verb, body, 100)) == expected


@pytest.mark.parametrize(("verb", "body"), BODIES, ids=str)
def test_numbers_are_those_of_the_request(verb: str, body: dict[str, Any]) -> None:
    """Kept is everything but the numbers, and none of the first request's arrays."""
    readings = Readings(SETTINGS)
    readings.read(verb, body, 100)
    (kept,) = [known.envelope for known, _ in readings.kept._values.values()]
    assert kept.request.seed is None
    for name in ("inputs", "tangents", "cotangents", "vector", "direction"):
        assert not getattr(kept.request, name)
    assert not kept.fields.inputs
    numbers = {k: 7 for k, v in body.get("inputs", {}).items() if isinstance(v, int | float)}
    again = {**body, "inputs": {**body["inputs"], **numbers}} if numbers else body
    assert len(readings.kept) == 1
    assert outcome(lambda: readings.read(verb, again, 100)) == outcome(
        lambda: read_envelope(verb, again, SETTINGS)
    )
    assert len(readings.kept) == 1


def test_what_is_kept_of_requests_is_bounded() -> None:
    readings = Readings(SETTINGS, 100_000)
    for i in range(300):
        readings.read("grad", {"expression": f"x + {i}", "inputs": {"x": 1}}, 100)
    assert 3 < len(readings.kept) < 50
    assert readings.kept.nbytes <= 100_000
    count = len(readings.kept)
    readings.read("grad", {"expression": "x" + " + x" * 1000, "inputs": {"x": 1}}, 5000)
    assert len(readings.kept) == count, "one request must not drive out all others"


def test_texts_are_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also long ones; another set of inputs may make another program."""
    texts: list[str] = []
    real = programs.parse_text
    monkeypatch.setattr(programs, "parse_text", lambda text, **k: texts.append(text) or real(text, **k))
    text = "x" + " + y" * 3000
    limits = TextLimits(expression_chars=100_000, nodes=100_000)
    first = program_of_text(text, ["x", "y"], limits)
    assert program_of_text(text, {"y": 1, "x": 2}, limits) is first
    assert len(texts) == 1
    assert len(program_of_text("e + x", ["x"], limits).inputs) == 1
    assert len(program_of_text("e + x", ["x", "e"], limits).inputs) == 2


def test_kept_is_bounded_and_forgets_the_longest_unused() -> None:
    kept: Kept[str, int] = Kept(40)
    for name in "abcd":
        kept.put(name, ord(name), 10)
    assert kept.get("a") == ord("a")
    kept.put("e", 1, 10)
    assert kept.get("b") is None
    assert [kept.get(n) for n in "acde"] == [97, 99, 100, 1]
    kept.put("a", 2, 5)
    assert (kept.get("a"), kept.nbytes, len(kept)) == (2, 35, 4)
    kept.put("huge", 3, 40 // LARGEST + 1)
    assert kept.get("huge") is None
    kept.clear()
    assert (len(kept), kept.nbytes) == (0, 0)


def test_kept_under_threads() -> None:
    kept: Kept[int, int] = Kept(1000)

    def use(seed: int) -> None:
        for k in np.random.default_rng(seed).integers(0, 300, 5000).tolist():
            if (found := kept.get(k)) is None:
                kept.put(k, k, 1 + k % 20)
            else:
                assert found == k

    threads = [threading.Thread(target=use, args=(i,)) for i in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert kept.nbytes == sum(n for _, n in kept._values.values()) <= 1000


# ------------------------------------------------------------------------------------------------------------ at once

PLAIN = {"content-type": "application/json", "host": "localhost"}


@pytest.fixture(scope="module")
def at_once(client: Client) -> AtOnce:
    assert client.app.at_once is not None
    return client.app.at_once


def scope_of(client: Client, path: str, headers: dict[str, str], data: bytes) -> dict[str, Any]:
    """As a server has it for `POST path`."""
    written = [(k.encode(), v.encode()) for k, v in {**headers, "content-length": str(len(data))}.items()]
    return {
        "type": "http",
        "method": "POST",
        "path": path,
        "root_path": "",
        "headers": written,
        "server": ("127.0.0.1", 80),
        "client": ("127.0.0.1", 9),
        "app": client.app,
    }


def same_on_both(client: Client, at_once: AtOnce, path: str, data: bytes, **headers: str) -> bool:
    """Whether a request is answered at once; if so, the long road must give the same answer."""
    asked = {**PLAIN, **headers}
    found = at_once(scope_of(client, path, asked, data), data)
    if found is None:
        return False
    status, lines, body = found
    expected = client.post(path, content=data, headers=asked)
    assert status == expected.status_code
    if b'"timing"' not in data:
        assert body == expected.content
    assert lines.endswith(b"\r\n\r\n")
    got = dict(line.split(": ", 1) for line in lines.decode()[:-4].split("\r\n"))
    assert int(got["content-length"]) == len(body)
    names = {"x-request-id"} if "x-request-id" not in asked else set()
    names |= {"content-length"} if b'"timing"' in data else set()
    assert {k: v for k, v in got.items() if k not in names} == {
        k: v for k, v in expected.headers.items() if k not in names
    }
    return True


@pytest.mark.parametrize(("verb", "body"), BODIES, ids=str)
def test_examples_at_once(client: Client, at_once: AtOnce, verb: str, body: dict[str, Any]) -> None:
    data = json.dumps(body).encode()
    done = [same_on_both(client, at_once, f"/v1/{verb}", data) for _ in range(4)]
    if verb in ("evaluate", "grad", "jvp", "vjp"):
        assert all(done), "what the road is for takes it"


@given(near_examples())
def test_near_examples_at_once(client: Client, at_once: AtOnce, asked: tuple[str, dict[str, Any]]) -> None:
    verb, body = asked
    same_on_both(client, at_once, f"/v1/{verb}", json.dumps(body).encode())


SCALARS = [
    "log(1 + exp(-y*(w*x + b)))",
    "abs(w) * sqrt(x) + relu(y - b)",
    "where(w > x, y / b, y**b)",
    "t = w > x\nw * y, t, b + x",
    "x[()] + w * y * b",
    "eye(3)[2, 0] * w + x * y * b",
    "take([1.5, 2.5, 3.5], b) * w + x * y",
    "w + x + y + b - b",
]
NUMBERS: list[Any] = [0, 1, 2, -1, 0.5, -0.0, 1e-320, 1e308, 1e200, -745.2, 2**53, 2**60 + 1, 10**300]
ODD: list[Any] = [10**400, "NaN", "-Infinity", True, None, [1.0], [[1]], "x", {}]


@given(
    st.sampled_from(["evaluate", "grad"]),
    st.sampled_from(SCALARS),
    st.dictionaries(
        st.sampled_from(["dtype", "nodes", "arrays", "of", "seed", "mode"]),
        st.sampled_from(["float32", "named", "none", "base64", "w", 2, "forward"]),
        max_size=1,
    ),
    st.lists(st.tuples(*[st.one_of(st.floats(-3, 3), st.sampled_from(NUMBERS))] * 4), min_size=4, max_size=6),
    st.sampled_from([None, *ODD]),
    st.permutations("wxyb"),
)
def test_numbers_at_once(
    client: Client,
    at_once: AtOnce,
    verb: str,
    text: str,
    more: dict[str, Any],
    points: list[tuple[Any, ...]],
    odd: Any,
    names: list[str],
) -> None:
    """The same request with other numbers, again and again, an odd one at last."""
    rows = [dict(zip(names, point, strict=True)) for point in points]
    rows += [{**rows[0], "w": odd}, {**rows[0], "z": 1.0}, {k: v for k, v in rows[0].items() if k != "x"}]
    for inputs in (*rows, rows[1]):
        data = json.dumps({"expression": text, "inputs": inputs, **more}).encode()
        same_on_both(client, at_once, f"/v1/{verb}", data)


def test_registered_programs_at_once(client: Client, at_once: AtOnce) -> None:
    """By id and by name, in the path and in the body; no longer once they are removed, or when the name is another's."""
    texts = ["sin(a) * b + 0.1875", "a + b * 0.1875"]
    ids = [
        client.post("/v1/graphs", json={"expression": t, "name": "at-once", "replace": True}).json()["id"]
        for t in texts
    ]
    client.post("/v1/graphs", json={"expression": texts[0], "name": "at-once", "replace": True})

    def ask(ref: str) -> list[bool]:
        """Whether requests with other numbers are answered at once, by path and by body. (The first reads the program.)"""
        client.post(f"/v1/graphs/{ref}/grad", json={"inputs": {"a": 1, "b": 2}})
        found = []
        for i in range(4):
            body = {"inputs": {"a": i / 4, "b": 2}}
            found.append(same_on_both(client, at_once, f"/v1/graphs/{ref}/grad", json.dumps(body).encode()))
            body["graph_id"] = ref  # type: ignore[assignment]
            found.append(same_on_both(client, at_once, "/v1/grad", json.dumps(body).encode()))
        return found

    for ref in (*ids, "at-once"):
        assert ask(ref) == [True] * 8
    client.post("/v1/graphs", json={"expression": texts[1], "name": "at-once", "replace": True})
    assert ask("at-once") == [True] * 8
    for id in ids:
        client.request("DELETE", f"/v1/graphs/{id}")
    for ref in (*ids, "at-once"):
        assert ask(ref) == [False] * 8


def test_numbers_are_all_that_is_read_in_the_end(
    client: Client, at_once: AtOnce, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the third request of a kind on, nothing is prepared."""
    asked: list[str] = []
    real = work.prepare
    monkeypatch.setattr(work, "prepare", lambda *a: asked.append(a[0]) or real(*a))
    for i in range(5):
        body = {"expression": "tanh(x * y) + 77.25", "inputs": {"x": 0.5 + i, "y": 2}}
        data = json.dumps(body).encode()
        assert at_once(scope_of(client, "/v1/grad", PLAIN, data), data) is not None
    assert asked == ["grad", "grad"]


@pytest.mark.parametrize(
    ("headers", "taken"),
    [
        ({}, True),
        ({"accept": "*/*"}, True),
        ({"accept": "application/json"}, True),
        ({"x-request-id": "abc"}, True),
        ({"host": "app.localhost:80"}, True),
        ({"accept": "text/html"}, False),
        ({"accept": "application/*;q=0.5"}, False),
        ({"host": "evil.test"}, False),
        ({"content-type": "text/plain"}, False),
        ({"content-type": "application/json; charset=latin-1"}, False),
        ({"content-encoding": "gzip"}, False),
        ({"expect": "100-continue"}, False),
        ({"transfer-encoding": "chunked"}, False),
        ({"x-request-timeout": "5"}, False),
        ({"x-forwarded-for": "1.2.3.4"}, False),
    ],
    ids=str,
)
def test_heads_at_once(client: Client, at_once: AtOnce, headers: dict[str, str], taken: bool) -> None:
    data = json.dumps(PRODUCT).encode()
    assert same_on_both(client, at_once, "/v1/grad", data, **headers) is taken


def test_what_is_not_answered_at_once(client: Client, at_once: AtOnce) -> None:
    data = json.dumps(PRODUCT).encode()

    def ask(data: bytes = data, path: str = "/v1/grad", **changes: Any) -> Any:
        return at_once({**scope_of(client, path, PLAIN, data), **changes}, data)

    assert ask() is not None
    assert ask(path="/v1/nothing") is None
    assert ask(path="/v1/grad/") is None
    assert ask(method="GET") is None
    assert ask(root_path="/prefix") is None
    assert (
        ask(headers=[*scope_of(client, "/v1/grad", PLAIN, data)["headers"], (b"host", b"evil.test")]) is None
    )
    assert ask(b"") is None
    assert ask(b"[]") is None
    assert ask(data + b" " * 5000) is None, "a large body"
    assert ask(json.dumps({"expression": "x" + " + x" * 200, "inputs": {"x": 1}}).encode()) is None
    slow = {"expression": "sum((ones((300, 300)) * s) @ ones((300, 300)))", "inputs": {"s": 1}}
    assert ask(json.dumps({**slow, "nodes": "none"}).encode()) is None, "it would take too long"
    client.app.state.draining = True
    try:
        assert ask() is None, "the answer must say that the connection closes"
    finally:
        client.app.state.draining = False


def test_a_bug_is_left_to_the_long_road(
    client: Client, at_once: AtOnce, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError

    monkeypatch.setattr("service.work.prepare", fail)
    data = json.dumps({"expression": "x * 2.125", "inputs": {"x": 1}}).encode()
    assert at_once(scope_of(client, "/v1/grad", PLAIN, data), data) is None
    assert not caplog.records


# --------------------------------------------------------------------------------------------------------- access log


@contextmanager
def access() -> Iterator[tuple[logging.Logger, io.StringIO]]:
    """The logger as the server sets it up, onto a string. (As a fixture it would get handlers of pytest.)"""
    logger, stream = logging.getLogger("wengert.access"), io.StringIO()
    handler = LineHandler(stream)
    handler.setFormatter(JsonFormatter())
    before = logger.level, logger.propagate, logger.handlers
    logger.handlers = [handler]
    logger.setLevel(logging.INFO)
    logger.propagate = False
    try:
        yield logger, stream
    finally:
        logger.setLevel(before[0])
        logger.propagate, logger.handlers = before[1:]


ENTRY = ("an-id", "POST", '/v1/"grad"\n', 200, 0.00123456, "127.0.0.1")


def test_lines_are_those_of_the_formatter() -> None:
    """Written past `logging`, at the next turn of the loop, or through it: the same lines, in order."""

    async def main(logger: logging.Logger, stream: io.StringIO) -> None:
        start = int(time.time())
        log = AccessLog()
        log.write(*ENTRY)
        log.write(*ENTRY)
        assert not stream.getvalue()
        logger.warning("between")
        log.write(*ENTRY)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        logger.addHandler(logging.NullHandler())  # so it no longer ends in our handler alone
        AccessLog().write(*ENTRY)
        lines = [orjson.loads(line) for line in stream.getvalue().splitlines()]
        assert [line["message"] for line in lines] == ["request", "request", "between", "request", "request"]
        past, through = lines[0], lines[-1]
        assert list(past) == list(through)
        for line in (past, through):
            assert start <= timegm(time.strptime(line.pop("time")[:19], "%Y-%m-%dT%H:%M:%S")) <= time.time()
        assert past == through
        assert past["ms"] == 1.234

    with access() as (logger, stream):
        asyncio.run(main(logger, stream))


def test_a_level_above_info_is_kept_to() -> None:
    with access() as (logger, stream):
        logger.setLevel(logging.WARNING)
        AccessLog().write(*ENTRY)  # outside of an event loop, where a line could not wait
        assert not stream.getvalue()
