"""How these tests reach the service: the application in this process, or a server of its own on a port."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from service.app import create_app
from service.settings import Settings

ROOT = Path(__file__).parent.parent.parent
PRODUCT = {"expression": "(x + y) * z", "inputs": {"x": -2, "y": 5, "z": -4}}

Json = dict[str, Any]


def heavy(steps: int) -> Json:
    """A request that takes long, by small steps: 20 ms a step or so."""
    lines = ["x = ones((400, 400)) * s", "y = x", *["y = sin(y @ x) * 0.1"] * steps, "sum(y)"]
    return {"expression": "\n".join(lines), "inputs": {"s": 0.01}, "nodes": "none"}


class Client:
    """The application in this process, asked synchronously. Exceptions that escape it are raised here."""

    def __init__(self, **settings: Any) -> None:
        self.app = create_app(
            Settings(**{"access_log": False, "_env_file": None, "store": "memory:", **settings})
        )
        self.runner = asyncio.Runner()
        transport = httpx.ASGITransport(self.app)
        self.http = httpx.AsyncClient(transport=transport, base_url="http://testserver")

    def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        return self.runner.run(self.http.request(method, path, **options))

    def get(self, path: str, **options: Any) -> httpx.Response:
        return self.request("GET", path, **options)

    def post(self, path: str, **options: Any) -> httpx.Response:
        return self.request("POST", path, **options)

    def ask(self, verb: str, body: Any, **headers: str) -> Json:
        """The answer to a request that must succeed."""
        response = self.post(f"/v1/{verb}", json=body, headers=headers)
        assert response.status_code == 200, response.text
        assert response.headers["content-type"] == "application/json"
        found: Json = orjson.loads(response.content)
        return found

    def problem(self, verb: str, body: Any, status: int, name: str) -> Json:
        """The problem document of a request that must fail in this way."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        response = self.post(f"/v1/{verb}", content=data, headers={"content-type": "application/json"})
        return check_problem(response, status, name)

    def close(self) -> None:
        self.runner.run(self.http.aclose())
        self.app.state.services.admission.close()
        self.app.state.services.storage.close()
        self.app.state.services.store.close()
        self.runner.close()


def check_problem(response: httpx.Response, status: int, name: str) -> Json:
    """The problem document of a response, after looking whether it is one as section 8 has them."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    assert len(response.content) <= 16 * 1024
    found: Json = orjson.loads(response.content)
    assert found["type"] == f"/problems/{name}", response.text
    for mistake in (found, *found["errors"]):
        assert {"type", "title", "status", "detail", "instance"} <= mistake.keys()
        assert mistake["detail"]
    assert found["status"] == status
    assert 1 <= len(found["errors"]) <= 20
    assert found["errors"][0].items() <= found.items()
    return found


@pytest.fixture(scope="session")
def client() -> Iterator[Client]:
    """The application with default settings."""
    made = Client()
    yield made
    made.close()


class Server:
    """`wengert-server serve` in a process of its own."""

    def __init__(self, log: Path, **settings: Any) -> None:
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            self.port: int = s.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = log
        self.seconds_a_step = 0.0
        settings = {"store": f"sqlite:{log.parent / 'programs.sqlite3'}", **settings}
        options = [f"--{name.replace('_', '-')}={value}" for name, value in settings.items()]
        with log.open("wb") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "service.cli", "serve", f"--port={self.port}", *options],
                stdout=out,
                stderr=subprocess.STDOUT,
                cwd=ROOT,
                env={k: v for k, v in os.environ.items() if not k.startswith("WENGERT_")},
            )
        try:
            self.wait_until_ready()
        except BaseException:
            self.stop()
            raise

    def wait_until_ready(self, seconds: float = 30.0) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            assert self.process.poll() is None, self.log.read_text()
            try:
                if httpx.get(f"{self.url}/readyz", timeout=2, trust_env=False).status_code == 200:
                    return
            except httpx.TransportError:
                time.sleep(0.05)
        raise AssertionError(self.log.read_text())

    def client(self, **options: Any) -> httpx.Client:
        return httpx.Client(base_url=self.url, trust_env=False, **{"timeout": 30.0, **options})

    def heavy(self, seconds: float) -> Json:
        """A request that takes about so long here and now."""
        if not self.seconds_a_step:
            with self.client() as client:
                client.post("/v1/grad", json=heavy(2))
                start = time.monotonic()
                assert client.post("/v1/grad", json=heavy(60)).status_code == 200
                self.seconds_a_step = (time.monotonic() - start) / 60
        return heavy(max(1, min(2000, round(seconds / self.seconds_a_step))))

    def connect(self) -> socket.socket:
        """A bare connection."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=20)

    def terminate(self) -> None:
        self.process.send_signal(signal.SIGTERM)

    def stop(self) -> None:
        if self.process.poll() is None:
            self.terminate()
            try:
                self.process.wait(15)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with small limits, for all tests that do not stop it."""
    made = Server(
        tmp_path_factory.mktemp("server") / "log",
        body_bytes=2_000_000,
        receive_timeout_s=1.5,
        threads=2,
        queue=4,
        timeout_s=10,
    )
    yield made
    made.stop()
