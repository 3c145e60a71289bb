"""The registry of a real server: killed while it writes, with several workers, behind paths that clients do not tidy."""

from __future__ import annotations

import contextlib
import hashlib
import json
import random
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
import rfc8785

from tests.service.conftest import ROOT, Server, check_problem
from tests.service.test_server import read_response

pytestmark = pytest.mark.xdist_group("server")

ROUNDS = 4


def text_of(k: int) -> str:
    """A program whose writing takes more than one page of the database."""
    return f"x * {k} + y # " + "a long remark " * (50 * (k % 5))


class Writers:
    """Clients that register programs, one after the other, until the server is gone."""

    def __init__(self, server: Server, first: int) -> None:
        self.server = server
        self.numbers = iter(range(first, first + 100_000))
        self.lock = threading.Lock()
        self.acknowledged: dict[int, str] = {}
        """Number to id."""
        self.tried = first

    def run(self) -> None:
        with self.server.client() as client, contextlib.suppress(httpx.TransportError):
            while True:
                with self.lock:
                    k = self.tried = next(self.numbers)
                body = {"expression": text_of(k), "name": f"n{k}", "description": f"number {k}"}
                response = client.post("/v1/graphs", json=body)
                assert response.status_code == 201, response.text
                with self.lock:
                    self.acknowledged[k] = response.json()["id"]


def everything(client: httpx.Client) -> Iterator[dict[str, Any]]:
    cursor: dict[str, str] = {}
    while True:
        page = client.get("/v1/graphs", params={"limit": 200, **cursor}).json()
        yield from page["graphs"]
        if page["next_cursor"] is None:
            return
        cursor = {"cursor": page["next_cursor"]}


def test_nothing_acknowledged_is_lost_by_a_kill(tmp_path: Path) -> None:
    """kill -9 at random moments while programs are registered: what was answered is there, whole; nothing else is there
    but what was on its way, and that is whole as well."""
    store = tmp_path / "programs.sqlite3"
    acknowledged: dict[int, str] = {}
    first = 0
    seed = random.randrange(2**32)
    moments = random.Random(seed)
    for turn in range(ROUNDS):
        server = Server(tmp_path / f"log{turn}", store=f"sqlite:{store}", access_log="false")
        writers = Writers(server, first)
        try:
            with ThreadPoolExecutor(4) as pool:
                running = [pool.submit(writers.run) for _ in range(4)]
                end = time.monotonic() + 30
                while len(writers.acknowledged) < 20:
                    assert time.monotonic() < end
                    assert not any(r.done() for r in running), [r.result() for r in running if r.done()]
                    time.sleep(0.005)
                time.sleep(moments.random() * 0.2)
                server.process.kill()
                for r in running:
                    r.result(30)
        finally:
            server.process.kill()
            server.process.wait()
        acknowledged |= writers.acknowledged
        first = writers.tried + 1
        check(store, acknowledged, first, tmp_path / f"check{turn}", f"seed {seed}, turn {turn}")


def check(store: Path, acknowledged: dict[int, str], tried: int, log: Path, what: str) -> None:
    """Look at the file, and at what a new server makes of it."""
    server = Server(log, store=f"sqlite:{store}", access_log="false")
    try:
        with server.client() as client:
            there = {r["id"]: r for r in everything(client)}
            for k, id in acknowledged.items():
                assert there[id]["names"] == [
                    {"name": f"n{k}", "description": f"number {k}", "signature": None}
                ], what
            known = {text_of(k) for k in range(tried)}
            for id, record in there.items():
                assert record["source"] in known, what
                (name,) = [n["name"] for n in record["names"]]
                assert record["source"] == text_of(int(name[1:])), what
                shown = client.get(f"/v1/graphs/{name}").json()
                graph = rfc8785.dumps(shown["graph"])
                assert shown["id"] == id == f"sha256-{hashlib.sha256(graph).hexdigest()}", what
            some = random.sample(sorted(acknowledged), 5)
            for k in some:
                answer = client.post(f"/v1/graphs/n{k}/grad", json={"inputs": {"x": 2, "y": 1}})
                assert answer.json()["value"] == 2.0 * k + 1
        connection = sqlite3.connect(store)
        try:
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)], what
            assert connection.execute("PRAGMA foreign_key_check").fetchall() == [], what
            counted = connection.execute("SELECT programs, bytes FROM usage").fetchone()
            assert (
                counted
                == connection.execute(
                    "SELECT (SELECT count(*) FROM programs), (SELECT sum(bytes) FROM programs) + (SELECT sum(bytes) FROM names)"
                ).fetchone()
            ), what
            assert counted[0] == len(there)
        finally:
            connection.close()
    finally:
        server.stop()


# ------------------------------------------------------------------------------------------------------ several workers


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of two processes."""
    made = Server(tmp_path_factory.mktemp("pair") / "log", workers=2, access_log="false")
    yield made
    made.stop()


def each(server: Server, method: str, path: str, **options: Any) -> list[httpx.Response]:
    """The answers on many connections, at the same time, so that both workers have some."""

    def one(_: int) -> list[httpx.Response]:
        with server.client() as client:
            return [client.request(method, path, **options) for _ in range(3)]

    with ThreadPoolExecutor(8) as pool:
        return [response for part in pool.map(one, range(16)) for response in part]


def test_workers_share_the_registry(pair: Server) -> None:
    with pair.client() as client:
        one = client.post("/v1/graphs", json={"expression": "x + 1", "name": "shared"}).json()["id"]
        answers = each(pair, "POST", "/v1/graphs/shared/evaluate", json={"inputs": {"x": 1}})
        assert {(a.status_code, a.json()["graph_id"]) for a in answers} == {(200, one)}
        two = client.post(
            "/v1/graphs", json={"expression": "x + 2", "name": "shared", "replace": True}
        ).json()["id"]
        answers = each(pair, "POST", "/v1/graphs/shared/evaluate", json={"inputs": {"x": 1}})
        assert {(a.status_code, a.json()["graph_id"]) for a in answers} == {(200, two)}, "at once, in both"
        assert client.delete(f"/v1/graphs/{two}").status_code == 204
        for ref in ("shared", two):
            answers = each(pair, "POST", f"/v1/graphs/{ref}/evaluate", json={"inputs": {"x": 1}})
            assert {a.status_code for a in answers} == {404}
        cursor = client.get("/v1/graphs", params={"limit": 1}).json()
        for k in range(3):
            client.post("/v1/graphs", json={"expression": f"y + {k}"})
        cursor = client.get("/v1/graphs", params={"limit": 1}).json()["next_cursor"]
        pages = each(pair, "GET", "/v1/graphs", params={"cursor": cursor})
        assert len({p.content for p in pages}) == 1, "a cursor of one is good for the other"
        assert pages[0].status_code == 200


def test_one_of_many_gets_a_name(pair: Server) -> None:
    def one(k: int) -> httpx.Response:
        with pair.client() as client:
            return client.post("/v1/graphs", json={"expression": f"z * {k}", "name": "contested"})

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(one, range(24)))
    winners = [a for a in answers if a.status_code == 201]
    assert len(winners) == 1
    for a in answers:
        if a not in winners:
            assert winners[0].json()["id"] in check_problem(a, 409, "name-taken")["detail"]
    with pair.client() as client:
        assert client.get("/v1/graphs/contested").json()["id"] == winners[0].json()["id"]
        named = client.get("/v1/graphs", params={"name_prefix": "contested"}).json()["graphs"]
        assert len(named) == 1


def test_reading_goes_on_while_another_program_writes(pair: Server) -> None:
    """Somebody's long transaction makes registrations wait, but no verb."""
    with pair.client() as client:
        client.post("/v1/graphs", json={"expression": "x * 7", "name": "seven"})
        connection = sqlite3.connect(pair.log.parent / "programs.sqlite3", isolation_level=None)
        connection.execute("BEGIN IMMEDIATE")
        try:
            with ThreadPoolExecutor(1) as pool:
                waiting = pool.submit(client.post, "/v1/graphs", json={"expression": "x * 8"})
                answers = each(pair, "POST", "/v1/graphs/seven/grad", json={"inputs": {"x": 1}})
                assert {a.status_code for a in answers} == {200}
                assert not waiting.done()
                connection.execute("ROLLBACK")
                assert waiting.result(20).status_code == 201
        finally:
            connection.close()


@pytest.mark.parametrize(
    "path",
    ["..", "%2e%2e", "%2E", ".", "%00", "%ff", "a%0d%0ab", "a%20b", "%E2%82%AC", "*", "a;b", "a=b", "~"],
)
@pytest.mark.parametrize("method", ["GET", "DELETE", "HEAD"])
def test_paths_as_they_are_sent(pair: Server, path: str, method: str) -> None:
    with pair.connect() as s:
        s.sendall(f"{method} /v1/graphs/{path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        if method == "HEAD":
            assert s.recv(12) == b"HTTP/1.1 404"
            return
        status, _, found = read_response(s)
        assert (status, found["type"]) == (404, "/problems/unknown-program")


# ------------------------------------------------------------------------------------------------------------- settings


def serve(tmp_path: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "service.cli", "serve", *options],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--store=postgresql://localhost/x"], "sqlite:PATH"),
        (["--store=sqlite:"], "sqlite:PATH"),
        (["--store="], "sqlite:PATH"),
        (["--store=memory:", "--workers=2"], "several workers"),
        (["--store-programs=0"], "greater than"),
    ],
)
def test_settings_that_are_refused(tmp_path: Path, options: list[str], said: str) -> None:
    done = serve(tmp_path, *options)
    assert done.returncode == 2
    assert said in done.stderr
    assert "--store" in done.stderr


def test_where_nothing_can_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that was told nothing keeps programs in memory, and says so; not where there are several processes, nor
    where a place was named."""
    from service.settings import Settings
    from service.store import make_store
    from service.store.memory import MemoryStore
    from service.store.sqlite import SqliteStore

    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("WENGERT_STORE", raising=False)
    plain = Settings(_env_file=None)  # type: ignore[call-arg]
    assert isinstance(make_store(plain), SqliteStore)
    assert not list(tmp_path.iterdir()), "nothing is made before it is needed"
    (tmp_path / ".wengert").write_text("in the way")
    assert isinstance(make_store(plain), MemoryStore)
    assert isinstance(make_store(Settings(workers=2, _env_file=None)), SqliteStore)  # type: ignore[call-arg]
    named = Settings(store="sqlite:.wengert/programs.sqlite3", _env_file=None)  # type: ignore[call-arg]
    assert isinstance(make_store(named), SqliteStore)


def test_a_start_without_a_usable_store(tmp_path: Path) -> None:
    """The server computes all the same."""
    (tmp_path / "file").write_text("")
    server = Server(tmp_path / "log", store=f"sqlite:{tmp_path / 'file' / 'p.db'}")
    try:
        with server.client() as client:
            body = {"expression": "x * y", "inputs": {"x": 2, "y": 3}}
            assert client.post("/v1/grad", json=body).json()["value"] == 6.0
            response = client.post("/v1/graphs", json={"expression": "x"})
            check_problem(response, 503, "storage-unavailable")
            (tmp_path / "file").unlink()
            end = time.monotonic() + 10
            while client.post("/v1/graphs", json={"expression": "x"}).status_code != 201:
                assert time.monotonic() < end, "it is tried again"
                time.sleep(0.2)
    finally:
        server.stop()
    lines = [json.loads(line) for line in server.log.read_text().splitlines()]
    assert any(line["logger"] == "wengert.store" and line["level"] == "warning" for line in lines)
