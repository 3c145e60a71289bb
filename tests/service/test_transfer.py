"""Large bodies on their way in, large answers on their way out."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import orjson
import pytest
from starlette.requests import ClientDisconnect

from engine.values import read_value
from service import arrays, json_body
from service.admission import INLINE_SECONDS
from service.transfer import PiecesResponse, whole_body
from service.work import Work
from tests.service.conftest import Client


def receiver(*messages: dict[str, Any]) -> Callable[[], Any]:
    """An ASGI receive that gives these, one after another."""
    left = list(messages)

    async def receive() -> dict[str, Any]:
        return left.pop(0)

    return receive


def part(data: bytes, more: bool) -> dict[str, Any]:
    return {"type": "http.request", "body": data, "more_body": more}


def test_bodies() -> None:
    only = b"abc"
    assert asyncio.run(whole_body(receiver(part(only, False)))) is only
    assert asyncio.run(whole_body(receiver({"type": "http.request"}))) == b""
    assert asyncio.run(whole_body(receiver(part(b"ab", True), part(b"", True), part(b"c", False)))) == b"abc"
    for gone in ([], [part(b"ab", True)]):
        with pytest.raises(ClientDisconnect):
            asyncio.run(whole_body(receiver(*gone, {"type": "http.disconnect"})))


def test_answers_in_pieces() -> None:
    sent: list[dict[str, Any]] = []
    response = PiecesResponse([b"ab", b"c"], media_type="application/json", headers={"Vary": "Accept"})

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    asyncio.run(response({"type": "http"}, receiver(), send))  # type: ignore[arg-type]
    headers = dict(sent[0]["headers"])
    assert (headers[b"content-length"], headers[b"content-type"]) == (b"3", b"application/json")
    assert [(m["body"], m["more_body"]) for m in sent[1:]] == [(b"ab", True), (b"c", False)]


BIG = {"expression": "y = x + zeros((400, 500))\ny.T", "inputs": {"x": 1.5}, "include": ["timing"]}


@pytest.mark.parametrize("form", ["list", "base64"])
def test_what_is_printed_by_pieces_is_the_same(
    client: Client, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = client.post("/v1/evaluate", json={**BIG, "arrays": form})
    assert int(found.headers["content-length"]) == len(found.content)
    value = read_value(orjson.loads(found.content)["values"]["y"]).value
    assert np.array_equal(value, np.full((400, 500), 1.5))
    monkeypatch.setattr(arrays, "LONG", 10**9)
    whole = client.post("/v1/evaluate", json={**BIG, "arrays": form})

    def untimed(data: bytes) -> Any:
        return {k: v for k, v in orjson.loads(data).items() if k != "timing"}

    assert untimed(found.content) == untimed(whole.content)


def test_a_long_answer_is_printed_off_the_event_loop(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """Even if computing it took no time at all."""
    where: list[threading.Thread] = []
    predicted: list[float] = []
    original = arrays.Encoding.pieces

    def pieces(self: arrays.Encoding, *args: Any) -> list[bytes]:
        where.append(threading.current_thread())
        return original(self, *args)

    compute = Work.compute

    def computed(self: Work) -> None:
        predicted.append(self.seconds)
        compute(self)

    monkeypatch.setattr(arrays.Encoding, "pieces", pieces)
    monkeypatch.setattr(Work, "compute", computed)
    client.ask("evaluate", {"expression": "broadcast_to(x, (5000,))", "inputs": {"x": 1.5}})
    assert predicted[0] < INLINE_SECONDS
    assert where[0] is not threading.main_thread()
    client.ask("evaluate", {"expression": "x + 1", "inputs": {"x": 1.5}})
    assert len(where) == 1


NUMBERS = list(np.linspace(0, 1, 20_000))
LEFT = [
    ("evaluate", {"expression": "sum(x)", "inputs": {"x": NUMBERS}}),
    ("grad", {"expression": "sum(sin(x)*x)", "inputs": {"x": NUMBERS}, "wrt": ["x"]}),
    (
        "grad",
        {"expression": "x*y", "inputs": {"x": 1, "y": 2}, "include": ["timing", "dot", "derivative_graph"]},
    ),
    ("grad", {"expression": "x @ ones(3)", "inputs": {"x": NUMBERS}}),
    ("grad", {"expression": "sum(log(x))", "inputs": {"x": NUMBERS}}),
    ("grad", {"expression": "foo(x)", "inputs": {"x": NUMBERS}}),
    ("jvp", {"expression": "sum(x*x)", "inputs": {"x": NUMBERS}, "tangents": {"x": NUMBERS}}),
    ("vjp", {"expression": "x*x", "inputs": {"x": NUMBERS}, "cotangents": {"t1": NUMBERS}}),
    ("jacobian", {"expression": "x*x", "inputs": {"x": [1, 2, 3]}}),
    ("jacobian", {"expression": "x*x", "inputs": {"x": NUMBERS}, "sparse": True}),
    ("hessian", {"expression": "x**3*y", "inputs": {"x": 1, "y": 2}}),
    ("hvp", {"expression": "sum(x**3)", "inputs": {"x": NUMBERS}, "vector": {"x": NUMBERS}}),
    ("taylor", {"expression": "exp(x)", "inputs": {"x": 1}, "direction": {"x": 1}, "order": 4}),
    ("trace", {"expression": "x*y + sin(x)", "inputs": {"x": 1, "y": 2}}),
    ("parse", {"expression": "sum(x)", "inputs": {"x": NUMBERS}}),
    ("render", {"expression": "x*y", "inputs": {"x": 1, "y": 2}}),
    ("grad", {"expression": "y = x\nfor k in range(5):\n    y = sin(y)\ny", "inputs": {"x": 0.5}}),
    ("grad", {"expression": "y = x\nwhile y < 10:\n    y = y*2\ny", "inputs": {"x": 0.5}}),
    ("grad", {"expression": "x**2 if x > 0 else -x", "inputs": {"x": 0.5}}),
    ("grad", {"expression": "sum(x*w)", "inputs": {"x": [NUMBERS[:9]] * 3, "w": 2}, "in_axes": {"x": 0}}),
]


@pytest.mark.parametrize(("verb", "body"), LEFT, ids=[f"{v} {b['expression'][:20]!r}" for v, b in LEFT])
def test_a_request_leaves_nothing_to_the_collector(client: Client, verb: str, body: dict[str, Any]) -> None:
    """What a request held is freed by reference counts as soon as it is answered. What hung in circles would wait for a
    collection of the oldest generation, hundreds of large requests later."""
    from engine.derive.request import Request

    def held() -> int:
        return sum(issubclass(type(o), Work | Request) for o in gc.get_objects())

    for _ in range(2):
        client.post(f"/v1/{verb}", json=body)
    gc.collect()
    gc.disable()
    try:
        before = held()
        for _ in range(3):
            client.post(f"/v1/{verb}", json=body)
        client.runner.run(asyncio.sleep(0.02))  # the thread may still be at its last line
        assert held() <= before
    finally:
        gc.enable()


@pytest.mark.parametrize("work", ["numbers", "base64", "printing"])
def test_other_threads_have_their_turn(work: str) -> None:
    """Of the calls that long values consist of each is short, and between them the event loop can go on."""
    value = np.random.default_rng(0).standard_normal(1_500_000)
    data = arrays.encode({"inputs": {"x": value}}, "base64" if work == "base64" else "list")

    def run() -> None:
        if work == "printing":
            arrays.Encoding({"x": value}, "list").pieces()
        else:
            json_body.read_object(data, memory_bytes=1 << 32)

    shares = []
    for _ in range(5):
        thread = threading.Thread(target=run)
        start = before = time.perf_counter()
        thread.start()
        longest = 0.0
        while thread.is_alive():
            time.sleep(0.0005)
            now = time.perf_counter()
            longest, before = max(longest, now - before), now
        shares.append(longest / (before - start))
    assert min(shares) < 0.6


def test_reading_stops_when_nobody_waits() -> None:
    class Gone(Exception):
        pass

    def look() -> None:
        raise Gone

    value = np.zeros(100_000)
    for form in ("list", "base64"):
        data = arrays.encode({"inputs": {"x": value}}, form)  # type: ignore[arg-type]
        with pytest.raises(Gone):
            json_body.read_object(data, memory_bytes=1 << 32, look=look)
