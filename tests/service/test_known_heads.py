"""Requests with the head of an earlier one on the same connection: answered without being taken apart, and as the others."""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
from collections.abc import Callable
from typing import Any

import orjson
import pytest
from uvicorn.config import Config
from uvicorn.server import ServerState

from service import __version__
from service.protocol import CHANCES, KNOWN_HEADS, Protocol
from service.skeletons import LONGEST
from tests.service.conftest import Client
from tests.service.test_roads import access

TEXT = "sum(x * x) * 2.875"
DATE = (b"date", b"Tue, 24 Nov 2026 22:00:00 GMT")


class Pipe(asyncio.Transport):
    """What a protocol writes to."""

    def __init__(self) -> None:
        super().__init__({"sockname": ("127.0.0.1", 80), "peername": ("127.0.0.1", 9)})
        self.out = b""
        self.closed = False

    def write(self, data: Any) -> None:
        assert not self.closed
        self.out += data

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    def pause_reading(self) -> None:
        """Nothing."""

    def resume_reading(self) -> None:
        """Nothing."""


class Counting(Protocol):
    """Counts the requests that are taken apart."""

    parsed = 0

    def on_message_begin(self) -> None:
        self.parsed += 1
        super().on_message_begin()


class Connection:
    """A connection to the application, without a network."""

    def __init__(self, client: Client) -> None:
        config = Config(client.app, access_log=False, server_header=False, log_config=None, ws="none")
        config.load()
        self.state = ServerState()
        self.state.default_headers = [DATE]
        kind = type("Here", (Counting,), {"at_once": client.app.at_once})
        self.protocol = kind(config, self.state, {})
        self.pipe = Pipe()
        self.protocol.connection_made(self.pipe)

    async def send(self, *pieces: bytes) -> list[tuple[dict[str, str], Any]]:
        """Heads and bodies of the answers to these pieces of data."""
        self.pipe.out = b""
        for piece in pieces:
            if not self.pipe.closed:
                self.protocol.data_received(piece)
        for _ in range(400):
            if self.protocol.cycle is not None and self.protocol.cycle.response_complete:
                break
            await asyncio.sleep(0.005)
        await asyncio.sleep(0)
        return answers(self.pipe.out)


def answers(data: bytes) -> list[tuple[dict[str, str], Any]]:
    """Heads and bodies of answers in a row."""
    found = []
    while data:
        head, _, data = data.partition(b"\r\n\r\n")
        status, *lines = head.decode().split("\r\n")
        fields = {"status": status, **{k.lower(): v for k, _, v in (line.partition(": ") for line in lines)}}
        n = int(fields["content-length"])
        found.append((fields, orjson.loads(data[:n])))
        data = data[n:]
    return found


def post(x: Any, path: str = "/v1/grad", text: str = TEXT, length: str = "", **headers: str) -> bytes:
    """A request."""
    body = json.dumps({"expression": text, "inputs": {"x": x}}).encode()
    fields = {
        "Host": "localhost", "Content-Type": "application/json",
        "Content-Length": length or str(len(body)), **headers,
    }  # fmt: skip
    lines = "".join(f"{k.replace('_', '-')}: {v}\r\n" for k, v in fields.items())
    return f"POST {path} HTTP/1.1\r\n{lines}\r\n".encode() + body


def run(client: Client, main: Callable[[], Any]) -> None:
    """Run a coroutine in the loop of the client."""
    client.runner.run(main())


@pytest.fixture(scope="module")
def warm(client: Client) -> Client:
    """The requests of this module are known by their bytes."""
    for n in (2, 3):
        for k in range(3):
            for verb in ("grad", "evaluate"):
                client.post(f"/v1/{verb}", json={"expression": TEXT, "inputs": {"x": [0.5 * k] * n}})
    return client


def test_heads_are_taken_apart_once(warm: Client) -> None:
    """Whatever the number of bytes that follow; and the answers have all that others have."""

    async def main() -> None:
        c = Connection(warm)
        ids = set()
        for k in range(20):
            ((head, body),) = await c.send(post([0.5 * k, 10.0**k]))
            assert body["value"] == pytest.approx(2.875 * (0.25 * k * k + 100.0**k), rel=1e-14)
            assert head.pop("content-length") == str(len(c.pipe.out.partition(b"\r\n\r\n")[2]))
            ids.add(head.pop("x-request-id"))
            assert head == {
                "status": "HTTP/1.1 200 OK",
                "date": DATE[1].decode(),
                "content-type": "application/json",
                "wengert-version": __version__,
                "x-content-type-options": "nosniff",
            }
        assert len(ids) == 20
        assert c.protocol.parsed == 1
        assert c.state.total_requests == 20
        c.state.default_headers = [(b"date", b"later")]
        ((head, _),) = await c.send(post([1.0, 2.0]))
        assert head["date"] == "later"
        c.protocol.connection_lost(None)

    run(warm, main)


ODD: dict[str, tuple[bytes, str]] = {
    "another path": (post([1.0, 2.0], "/v1/evaluate"), "200"),
    "an id of its own": (post([1.0, 2.0], X_Request_Id="mine"), "200"),
    "another program": (post([1.0, 2.0], text="sum(x) * 9.5"), "200"),
    "other shapes": (post([[1.0], [2.0]]), "200"),
    "a mistake": (post(["a"]), "422"),
    "a wrong host": (post([1.0, 2.0]).replace(b"localhost", b"evil.test"), "403"),
    "another type": (post([1.0, 2.0]).replace(b"application/json", b"text/plain"), "415"),
    "to be closed": (post([1.0, 2.0], Connection="close"), "200"),
    "HTTP/1.0": (post([1.0, 2.0]).replace(b"HTTP/1.1", b"HTTP/1.0"), "200"),
    "no HTTP": (post([1.0, 2.0]).replace(b"Content-Length: ", b"Content-Length: +"), "400"),
    "no length": (post([1.0, 2.0]).replace(b"Content-Length: ", b"Content-Length:\x00"), "400"),
    "nothing": (post([1.0, 2.0], length="0").partition(b"\r\n\r\n")[0] + b"\r\n\r\n", "400"),
}


@pytest.mark.parametrize("pieces", [1, 2])
@pytest.mark.parametrize("odd", ODD)
def test_other_heads_are_looked_at(warm: Client, odd: str, pieces: int) -> None:
    data, status = ODD[odd]
    end = data.find(b"\r\n\r\n") + 4

    async def main() -> None:
        c = Connection(warm)
        for k in range(3):
            await c.send(post([0.5, k]))
        found = await c.send(*([data] if pieces == 1 else [data[:end], data[end:]]))
        assert found[0][0]["status"].split()[1] == status
        if odd == "an id of its own":
            assert found[0][0]["x-request-id"] == "mine"
        if odd in ("to be closed", "HTTP/1.0"):
            assert c.pipe.closed
        if not c.pipe.closed:
            ((_, body),) = await c.send(post([0.5, 2.0]))
            assert body["value"] == 2.875 * 4.25
        c.protocol.connection_lost(None)

    run(warm, main)


@pytest.mark.parametrize("step", [1, 7, 60, 150])
@pytest.mark.parametrize("count", [1, 3])
def test_however_the_data_is_cut(warm: Client, step: int, count: int) -> None:
    """Requests in a row and in pieces: as many answers, in order."""

    async def main() -> None:
        c = Connection(warm)
        for k in range(2):
            await c.send(post([0.5, k]))
        for first in range(3):
            data = b"".join(post([1.0 * first, 1.0 * k]) for k in range(count))
            found = await c.send(*[data[i : i + step] for i in range(0, len(data), step)])
            for _ in range(400):
                if len(found) == count:
                    break
                await asyncio.sleep(0.005)
                found = answers(c.pipe.out)
            assert [body["value"] for _, body in found] == [2.875 * (first**2 + k**2) for k in range(count)]
            ((_, body),) = await c.send(post([3.0, 4.0]))
            assert body["value"] == 2.875 * 25
        c.protocol.connection_lost(None)

    run(warm, main)


def test_what_ends_a_body_is_no_part_of_a_head(warm: Client) -> None:
    """A request that arrived together with the end of another one: its head begins where it begins."""

    async def main() -> None:
        c = Connection(warm)
        first, second = post([0.5, 1.0]), post([1.5, 2.0])
        await c.send(first[:-3], first[-3:] + second)
        assert not any(b"}" in h._before for h in c.protocol.heads)
        found = await c.send(first[-3:] + second)
        assert found[0][0]["status"].split()[1] == "400"

    run(warm, main)


def test_the_body_behind_the_head(warm: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """As many clients send it: answered at once all the same, but not if it is long, or is to be asked for."""
    started: list[bool] = []

    async def main() -> None:
        c = Connection(warm)
        start = c.protocol._start_held
        monkeypatch.setattr(c.protocol, "_start_held", lambda: (started.append(True), start()), raising=False)
        for k in range(3):
            head, _, body = post([0.5, k]).partition(b"\r\n\r\n")
            ((_, found),) = await c.send(head + b"\r\n\r\n", body)
            assert found["value"] == 2.875 * (0.25 + k * k)
        assert not started
        assert c.protocol.parsed == 1, "the head is known, though it comes by itself"
        c.protocol.data_received(post(1.0, length=str(LONGEST + 1)))
        assert started == [True]
        c.protocol.connection_lost(None)
        c = Connection(warm)
        c.protocol.data_received(post([1.0, 2.0], Expect="100-continue").partition(b"{")[0])
        await asyncio.sleep(0.01)
        assert c.pipe.out.startswith(b"HTTP/1.1 100 ")
        c.protocol.connection_lost(None)
        await asyncio.sleep(0.01)

    run(warm, main)


@pytest.mark.parametrize("known", [False, True])
def test_who_goes_before_the_body_is_there(warm: Client, known: bool) -> None:
    """The log has it."""

    async def main(stream: Any) -> None:
        client = Client(access_log=True)
        c = Connection(client)
        for k in range(4 * known):
            await c.send(post([0.5, k]))
        await asyncio.sleep(0.01)
        assert bool(c.protocol.heads) is known
        logged = stream.getvalue()
        data = post([1.0, 2.0])
        c.protocol.data_received(data[: data.index(b"{")] if known else data[:-5])
        assert (c.protocol.waiting is not None) is known
        await asyncio.sleep(0.01)
        assert stream.getvalue() == logged
        c.protocol.connection_lost(None)
        for _ in range(5):
            await asyncio.sleep(0)
        assert orjson.loads(stream.getvalue()[len(logged) :])["status"] == 499

    with access() as (_, stream):
        warm.runner.run(main(stream))


@pytest.mark.parametrize("pieces", [1, 2, 3])
def test_a_body_that_comes_later_than_it_should(warm: Client, pieces: int) -> None:
    """Behind a known head: the same patience, the same 408; and what is right is answered, in whatever pieces."""

    async def main() -> None:
        c = Connection(warm)
        for k in range(3):
            await c.send(post([0.5, k]))
        c.protocol.receive_timeout_s = 0.2
        data = post([3.0, 4.0])
        begin = data.index(b"{")
        c.protocol.data_received(data[:begin])
        await asyncio.sleep(0.05)
        cuts = [*[begin, begin + 5, begin + 9][:pieces], len(data)]
        found = await c.send(*[data[i:j] for i, j in itertools.pairwise(cuts)])
        assert [body["value"] for _, body in found] == [2.875 * 25]
        assert not c.pipe.closed
        c.pipe.out = b""
        c.protocol.timer.cancel()
        c.protocol.timer = None
        c.protocol.data_received(data[:begin])
        await asyncio.sleep(0.4)
        ((head, _),) = answers(c.pipe.out)
        assert head["status"].split()[1] == "408"
        assert c.pipe.closed
        c.protocol.connection_lost(None)
        await asyncio.sleep(0.01)

    run(warm, main)


def test_a_shutdown_before_the_body_is_there(warm: Client) -> None:
    """A request that is arriving is answered, and then the connection is closed."""

    async def main() -> None:
        c = Connection(warm)
        for k in range(3):
            await c.send(post([0.5, k]))
        data = post([3.0, 4.0])
        c.protocol.data_received(data[: data.index(b"{")])
        c.protocol.shutdown()
        assert not c.pipe.closed
        ((head, body),) = await c.send(data[data.index(b"{") :])
        assert body["value"] == 2.875 * 25
        assert head["connection"] == "close"
        assert c.pipe.closed

    run(warm, main)


def test_the_log_has_them_all(warm: Client) -> None:
    """Lines of requests with known heads are those of the others."""

    async def main(logger: logging.Logger, stream: Any) -> None:
        client = Client(access_log=True)
        c = Connection(client)
        for k in range(6):
            await c.send(post([0.5, k]))
        await asyncio.sleep(0.01)
        lines = [orjson.loads(line) for line in stream.getvalue().splitlines()]
        assert len(lines) == 6
        for line in lines:
            assert len(line.pop("request_id")) == 32
            assert 0 < line.pop("ms") < 1000
            assert line.pop("time")[-1] == "Z"
            assert list(line) == list(lines[0])
            assert line == lines[0]
        logger.setLevel(logging.WARNING)
        await c.send(post([0.5, 7]))
        logger.setLevel(logging.INFO)
        logger.addHandler(logging.NullHandler())  # so lines go through `logging`
        client.app.at_once.log.second = -1
        await c.send(post([0.5, 8]))
        await asyncio.sleep(0.01)
        more = [orjson.loads(line) for line in stream.getvalue().splitlines()[6:]]
        assert len(more) == 1
        assert {k: more[0][k] for k in ("method", "path", "status", "client")} == {
            k: lines[0][k] for k in ("method", "path", "status", "client")
        }

    with access() as (logger, stream):
        warm.runner.run(main(logger, stream))


def test_idle_connections_are_closed(warm: Client) -> None:
    """So long after the last request, whichever way it was answered."""

    async def main() -> None:
        c = Connection(warm)
        c.protocol.timeout_keep_alive = 0.2
        for k in range(8):
            await c.send(post([0.5, k]))
            await asyncio.sleep(0.06)
        assert not c.pipe.closed
        await asyncio.sleep(0.4)
        assert c.pipe.closed

    run(warm, main)


def test_draining(warm: Client) -> None:
    """Then each answer says that the connection closes."""

    async def main() -> None:
        c = Connection(warm)
        for k in range(3):
            await c.send(post([0.5, k]))
        warm.app.state.draining = True
        try:
            ((head, _),) = await c.send(post([0.5, 1.0]))
        finally:
            warm.app.state.draining = False
        assert head["connection"] == "close"
        assert c.pipe.closed

    run(warm, main)


def test_a_program_that_is_removed(warm: Client) -> None:
    """Within one turn of the loop the registry is asked once; after it, a program that was removed is so."""

    async def main() -> None:
        made = await warm.http.post("/v1/graphs", json={"expression": TEXT})
        path = f"/v1/graphs/{made.json()['id']}/grad"
        c = Connection(warm)

        def asked(k: float) -> bytes:
            body = json.dumps({"inputs": {"x": [0.5, k]}}).encode()
            head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body

        for k in range(5):
            await c.send(asked(k))
        assert c.protocol.heads
        finds: list[str] = []
        store = warm.app.state.services.store
        find, store.find = store.find, lambda ref, **o: (finds.append(ref), find(ref, **o))[1]
        try:
            c.pipe.out = b""
            for k in range(5):
                c.protocol.data_received(asked(k))
            assert len(answers(c.pipe.out)) == 5
            assert len(finds) == 1
            await asyncio.sleep(0.01)
            ((_, body),) = await c.send(asked(2.0))
            assert body["value"] == 2.875 * 4.25
            assert len(finds) == 2
        finally:
            del store.find
        assert (await warm.http.request("DELETE", path.removesuffix("/grad"))).status_code == 204
        ((head, _),) = await c.send(asked(2.0))
        assert head["status"].split()[1] == "404"
        c.protocol.connection_lost(None)

    run(warm, main)


def test_few_heads_are_remembered(warm: Client) -> None:
    async def main() -> None:
        c = Connection(warm)
        for k in range(3 * CHANCES):
            ((_, body),) = await c.send(post([0.5, k], Traceparent=str(k)))
            assert body["value"] == 2.875 * (0.25 + k * k)
            assert len(c.protocol.heads) == min(k + 1, KNOWN_HEADS)
        assert c.protocol.chances == 0
        c.protocol.connection_lost(None)

    run(warm, main)
