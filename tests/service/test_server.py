"""A server on a port: what happens below and around the application."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
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

from service import __version__
from tests.service.conftest import PRODUCT, ROOT, Server, check_problem, heavy

pytestmark = pytest.mark.xdist_group("server")

RECEIVE_TIMEOUT = 1.5
"""That of the fixture."""

BODY = json.dumps(PRODUCT).encode()


def head(length: int | None, *lines: str, path: str = "/v1/grad") -> bytes:
    framing = "Transfer-Encoding: chunked" if length is None else f"Content-Length: {length}"
    all_lines = [
        f"POST {path} HTTP/1.1",
        "Host: localhost",
        "Content-Type: application/json",
        framing,
        *lines,
    ]
    return "\r\n".join(all_lines).encode() + b"\r\n\r\n"


def read_response(s: socket.socket, seconds: float = 20.0) -> tuple[int, dict[str, str], Any]:
    """Status, headers and JSON of one response."""
    s.settimeout(seconds)
    data = b""
    while b"\r\n\r\n" not in data:
        more = s.recv(65536)
        assert more, data
        data += more
    top, _, body = data.partition(b"\r\n\r\n")
    status, *lines = top.decode().split("\r\n")
    headers = {k.lower(): v for k, _, v in (line.partition(": ") for line in lines)}
    while len(body) < int(headers["content-length"]):
        more = s.recv(65536)
        assert more, body
        body += more
    return int(status.split()[1]), headers, json.loads(body)


def is_closed(s: socket.socket, seconds: float) -> bool:
    """Whether the other side closes within that time."""
    s.settimeout(seconds)
    try:
        while s.recv(65536):
            pass
    except TimeoutError:
        return False
    except ConnectionError:
        pass
    return True


# --------------------------------------------------------------------------------------------------------- requests


def test_it_works(server: Server) -> None:
    with server.client() as client:
        response = client.post("/v1/grad", json=PRODUCT)
        assert response.json()["value"] == -12.0
        assert "server" not in response.headers


def test_foreign_names_are_refused(server: Server) -> None:
    with server.client() as client:
        check_problem(client.get("/healthz", headers={"host": "evil.test"}), 403, "forbidden")
        check_problem(
            client.post("/v1/grad", json=PRODUCT, headers={"host": "evil.test:80"}), 403, "forbidden"
        )
        assert client.get("/healthz", headers={"host": f"localhost:{server.port}"}).status_code == 200


def test_a_connection_is_kept_after_problems(server: Server) -> None:
    with server.connect() as s:
        for data, status in ((BODY, 200), (b"{", 400), (b"{}", 422), (BODY, 200)):
            s.sendall(head(len(data)) + data)
            assert read_response(s)[0] == status


def test_requests_in_a_row_without_waiting(server: Server) -> None:
    with server.connect() as s:
        s.sendall((head(len(BODY)) + BODY) * 3)
        data = b""
        while data.count(b'"warnings":[]}') < 3:
            more = s.recv(65536)
            assert more
            data += more
        assert data.count(b"HTTP/1.1 200") == 3


# ------------------------------------------------------------------------------------------------------------ bodies


def test_a_body_over_the_limit_is_refused_before_it_is_sent(server: Server) -> None:
    with server.connect() as s:
        start = time.monotonic()
        s.sendall(head(10**10))
        status, headers, found = read_response(s)
        assert time.monotonic() - start < 0.5
        assert status == 413
        assert headers["content-type"] == "application/problem+json"
        assert (found["limit"], found["maximum"], found["actual"]) == ("body_bytes", 2_000_000, 10**10)
        assert is_closed(s, 5)


def test_who_waits_for_the_answer_until_all_is_sent_still_gets_it(server: Server) -> None:
    """No reset, although nobody wants the body."""
    with server.connect() as s:
        s.sendall(head(5_000_000) + b" " * 5_000_000)
        assert read_response(s)[0] == 413
    with server.client() as client:
        for _ in range(3):
            response = client.post(
                "/v1/grad", content=b" " * 5_000_000, headers={"content-type": "application/json"}
            )
            check_problem(response, 413, "limit-exceeded")


def test_a_body_in_chunks_over_the_limit(server: Server) -> None:
    with server.connect() as s:
        s.sendall(head(None))
        chunk = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
        answered = threading.Event()

        def send() -> None:
            try:
                for _ in range(2000):
                    if answered.is_set():
                        return
                    s.sendall(chunk)
            except OSError:
                pass

        sender = threading.Thread(target=send)
        sender.start()
        status, _, found = read_response(s)
        answered.set()
        sender.join()
        assert status == 413
        assert found["limit"] == "body_bytes"
        assert 2_000_000 < found["actual"] < 4_000_000


def test_a_client_that_asks_first_is_told(server: Server) -> None:
    with server.connect() as s:
        s.sendall(head(10**10, "Expect: 100-continue"))
        assert read_response(s)[0] == 413
    with server.connect() as s:
        s.sendall(head(len(BODY), "Expect: 100-continue"))
        s.settimeout(5)
        assert s.recv(100).startswith(b"HTTP/1.1 100 ")
        s.sendall(BODY)
        assert read_response(s)[0] == 200


def test_compressed_bodies_are_refused_unread(server: Server) -> None:
    with server.connect() as s:
        s.sendall(head(1_000_000, "Content-Encoding: gzip") + b"\x1f\x8b")
        status, _, found = read_response(s)
        assert status == 415
        assert found["type"] == "/problems/unsupported-media-type"


# ------------------------------------------------------------------------------------------------------ slow senders


@pytest.mark.parametrize(
    "data",
    [
        b"POST /v1/gr",
        b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n",
        head(1000),
        head(1000) + b'{"expr',
        head(None) + b"5\r\n",
    ],
)
def test_who_stops_sending_is_told_and_closed(server: Server, data: bytes) -> None:
    with server.connect() as s:
        start = time.monotonic()
        s.sendall(data)
        status, headers, found = read_response(s)
        assert RECEIVE_TIMEOUT - 0.2 < time.monotonic() - start < RECEIVE_TIMEOUT + 3
        assert status == 408
        assert headers["content-type"] == "application/problem+json"
        assert headers["connection"] == "close"
        assert headers["wengert-version"] == __version__
        assert headers["x-request-id"]
        assert found["type"] == "/problems/timeout"
        assert found["status"] == found["errors"][0]["status"] == 408
        assert is_closed(s, 2)


@pytest.mark.parametrize("start_with", [b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: ", head(100_000)])
def test_who_sends_a_byte_now_and_then_is_closed(server: Server, start_with: bytes) -> None:
    with server.connect() as s:
        start = time.monotonic()
        s.sendall(start_with)
        try:
            while time.monotonic() - start < RECEIVE_TIMEOUT + 3:
                s.sendall(b"a")
                time.sleep(0.1)
        except OSError:
            pass
        assert time.monotonic() - start < RECEIVE_TIMEOUT + 3


def test_who_says_nothing_is_closed(server: Server) -> None:
    with server.connect() as s:
        start = time.monotonic()
        assert is_closed(s, RECEIVE_TIMEOUT + 3)
        assert time.monotonic() - start > RECEIVE_TIMEOUT - 0.2


def test_a_large_upload_that_flows_is_left_alone(server: Server) -> None:
    data = BODY.ljust(300_000)
    with server.connect() as s:
        s.sendall(head(len(data)))
        for i in range(0, len(data), 10_000):  # 100 kB/s: three seconds, twice the time for a head
            s.sendall(data[i : i + 10_000])
            time.sleep(0.1)
        assert read_response(s)[0] == 200


def read_responses(s: socket.socket, count: int) -> list[tuple[int, bytes]]:
    """Status and body of so many responses on one connection."""
    s.settimeout(20)
    data, found = b"", []
    while len(found) < count:
        top, end, rest = data.partition(b"\r\n\r\n")
        length = int(re.search(rb"content-length: (\d+)", top)[1]) if end else 0  # type: ignore[index]
        if end and len(rest) >= length:
            found.append((int(top.split()[1]), rest[:length]))
            data = rest[length:]
        else:
            more = s.recv(65536)
            assert more, data
            data += more
    assert not data
    return found


@pytest.mark.parametrize("size", [1, 7, 100, 400, 10**6])
def test_requests_in_one_stream(server: Server, size: int) -> None:
    """One after the other, whatever pieces they arrive in: small ones, wrong ones, some for the pool, each answered in turn."""
    bodies = [
        {"expression": "x + 1", "inputs": {"x": 1}},
        {"expression": "x + ", "inputs": {"x": 1}},
        heavy(1),
        {"expression": "x * 2", "inputs": {"x": 1}},
        {"expression": "x * 3", "inputs": {"x": 1}},
    ]
    stream = b"".join(head(len(data)) + data for data in (json.dumps(body).encode() for body in bodies))
    stream += b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with server.connect() as s:
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for i in range(0, len(stream), size):
            s.sendall(stream[i : i + size])
        found = read_responses(s, len(bodies) + 1)
        assert [status for status, _ in found] == [200, 422, 200, 200, 200, 200]
        assert [json.loads(found[i][1])["value"] for i in (0, 3, 4)] == [2, 2, 3]
        s.sendall(head(len(BODY), "Connection: close") + BODY)
        status, headers, _ = read_response(s)
        assert (status, headers["connection"]) == (200, "close")
        assert is_closed(s, 2)


def test_http_1_0(server: Server) -> None:
    with server.connect() as s:
        s.sendall(head(len(BODY)).replace(b"HTTP/1.1", b"HTTP/1.0") + BODY)
        status, headers, found = read_response(s)
        assert (status, headers["connection"], found["value"]) == (200, "close", -12.0)
        assert is_closed(s, 2)


def test_what_is_answered_at_once_is_logged_like_the_rest(server: Server) -> None:
    lines = {}
    for name, extra in (("at-once", ()), ("by-the-application", ("X-Request-Timeout: 5",))):
        with server.connect() as s:
            s.sendall(head(len(BODY), f"X-Request-Id: {name}", *extra) + BODY)
            status, headers, _ = read_response(s)
            assert (status, headers["x-request-id"]) == (200, name)
    time.sleep(0.2)
    for line in map(json.loads, server.log.read_text().splitlines()):
        lines[line.get("request_id")] = line
    first, second = lines["at-once"], lines["by-the-application"]
    assert list(first) == list(second)
    for key in ("level", "logger", "message", "method", "path", "status", "client"):
        assert first[key] == second[key]


def test_many_slow_senders_do_not_disturb_others(server: Server) -> None:
    slow = [server.connect() for _ in range(200)]
    try:
        for s in slow:
            s.sendall(b"POST /v1/grad HTTP/1.1\r\nHost: localhost\r\nContent-Le")
        taken = []
        with server.client() as client:
            for _ in range(50):
                start = time.perf_counter()
                assert client.get("/healthz").status_code == 200
                taken.append(time.perf_counter() - start)
        assert sorted(taken)[47] < 0.25
        end = time.monotonic() + RECEIVE_TIMEOUT + 4
        assert all(is_closed(s, max(0.01, end - time.monotonic())) for s in slow)
    finally:
        for s in slow:
            s.close()


@pytest.mark.parametrize(
    "data", [b"nonsense\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc", b"GET / HTTP/9.9\r\n\r\n"]
)
def test_what_is_no_http(server: Server, data: bytes) -> None:
    with server.connect() as s:
        s.sendall(data)
        status, headers, found = read_response(s)
        assert status == 400
        assert headers["content-type"] == "application/problem+json"
        assert found["type"] == "about:blank"


def test_a_head_without_end(server: Server) -> None:
    with server.connect() as s:
        s.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n")
        status = 0
        try:
            for i in range(20_000):
                s.sendall(b"X-%d: " % i + b"a" * 1000 + b"\r\n")
                time.sleep(0.0005)
        except OSError:
            pass
        else:
            status = 1
        assert status == 0


# ------------------------------------------------------------------------------------------------------- computations


def test_health_answers_while_others_compute(server: Server) -> None:
    taken = []
    asked = server.heavy(0.8)
    with ThreadPoolExecutor(2) as pool, server.client() as client:
        busy = [
            pool.submit(httpx.post, f"{server.url}/v1/grad", json=asked, timeout=30, trust_env=False)
            for _ in range(2)
        ]
        time.sleep(0.1)
        while not all(b.done() for b in busy):
            start = time.perf_counter()
            assert client.get("/healthz").status_code == 200
            taken.append(time.perf_counter() - start)
            time.sleep(0.01)
        assert [b.result().status_code for b in busy] == [200, 200]
    assert len(taken) > 3
    assert sorted(taken)[len(taken) * 9 // 10] < 0.25


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
def test_work_stops_when_its_client_goes(server: Server) -> None:
    data = json.dumps(heavy(2000)).encode()
    connections = [server.connect() for _ in range(3)]
    for s in connections:
        s.sendall(head(len(data)) + data)
    before = cpu_seconds(server.process.pid)
    time.sleep(0.7)
    assert cpu_seconds(server.process.pid) - before > 0.1
    for s in connections:
        s.close()
    time.sleep(1.0)
    before = cpu_seconds(server.process.pid)
    time.sleep(0.5)
    assert cpu_seconds(server.process.pid) - before < 0.2
    with server.client() as client:
        assert client.post("/v1/grad", json=heavy(1)).status_code == 200


def test_too_much_at_once_is_refused_fast(server: Server) -> None:
    """Two threads and four places to wait: of fourteen, six are admitted."""
    asked = server.heavy(0.5)

    def ask(_: int) -> tuple[int, float, httpx.Response]:
        start = time.monotonic()
        response = httpx.post(f"{server.url}/v1/grad", json=asked, timeout=60, trust_env=False)
        return response.status_code, time.monotonic() - start, response

    with ThreadPoolExecutor(14) as pool:
        answers = list(pool.map(ask, range(14)))
    refused = [a for a in answers if a[0] == 503]
    assert {a[0] for a in answers} <= {200, 503, 504}
    assert len(refused) >= 4
    for _, _, response in refused:
        check_problem(response, 503, "overloaded")
        assert int(response.headers["retry-after"]) >= 1
    assert sorted(a[1] for a in refused)[len(refused) // 2] < 2


# ----------------------------------------------------------------------------------------------------- start and end


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Any]:
    """Starts servers that a test may stop."""
    started: list[Server] = []

    def start(**options: Any) -> Server:
        started.append(Server(tmp_path / f"log{len(started)}", **options))
        return started[-1]

    yield start
    for server in started:
        server.stop()


def test_sigterm_drains(own: Any) -> None:
    server = own(shutdown_delay_s=1.0)
    asked = server.heavy(2.0)
    idle = server.connect()
    with ThreadPoolExecutor(1) as pool, server.client() as client, server.connect() as late:
        assert client.get("/readyz").status_code == 200
        started = time.monotonic()
        slow = pool.submit(httpx.post, f"{server.url}/v1/grad", json=asked, timeout=60, trust_env=False)
        time.sleep(0.3)
        late.sendall(head(len(BODY)) + BODY[:10])
        server.terminate()
        time.sleep(0.3)
        ready = client.get("/readyz")
        check_problem(ready, 503, "overloaded")
        assert ready.headers["connection"] == "close"
        assert client.get("/healthz").status_code == 200
        late.sendall(BODY[10:])
        status, headers, _ = read_response(late)
        assert status == 200
        assert headers["connection"] == "close"
        assert slow.result().status_code == 200
        assert time.monotonic() - started > 1.0, (
            "the slow request must outlast the pause for this test to mean something"
        )
    server.process.wait(10)
    idle.close()
    with pytest.raises(OSError, match="refused"):
        server.connect()


def test_connections_at_the_end_of_accepting(own: Any) -> None:
    """Requests on their way are answered, and connections that say nothing keep nobody waiting."""
    server = own(shutdown_delay_s=0)
    sending = [server.connect() for _ in range(5)]
    silent = [server.connect() for _ in range(5)]
    for s in sending:
        s.sendall(head(len(BODY))[:40])
    time.sleep(0.2)
    start = time.monotonic()
    server.terminate()
    time.sleep(0.3)
    for s in sending:
        s.sendall(head(len(BODY))[40:] + BODY)
    assert [read_response(s)[0] for s in sending] == [200] * 5
    server.process.wait(10)
    assert time.monotonic() - start < 5
    for s in (*sending, *silent):
        s.close()


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
def test_two_workers(own: Any) -> None:
    server = own(workers=2, shutdown_delay_s=0.2, receive_timeout_s=1)

    def workers() -> list[int]:
        return [int(p) for p in re.findall(r"Started server process \[(\d+)\]", server.log.read_text())]

    end = time.monotonic() + 30
    while len(workers()) < 2 and time.monotonic() < end:
        time.sleep(0.1)
    first, second = workers()[:2]
    with server.connect() as s:  # the settings reach the workers
        s.sendall(b"GET")
        assert read_response(s)[0] == 408
    for _ in range(20):
        with server.client() as client:
            assert client.post("/v1/grad", json=PRODUCT).status_code == 200
    os.kill(first, signal.SIGKILL)
    end = time.monotonic() + 20
    while len(workers()) < 3 and time.monotonic() < end:
        time.sleep(0.05)
    assert len(workers()) == 3
    server.wait_until_ready()
    server.terminate()
    server.process.wait(15)
    assert not any(Path(f"/proc/{pid}").exists() for pid in (second, workers()[2]))


# ---------------------------------------------------------------------------------------------------------- command


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "service.cli", *arguments],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, **environment},
        timeout=60,
        check=False,
    )


def test_version() -> None:
    done = run("--version")
    assert done.returncode == 0
    assert done.stdout.strip() == f"wengert-server {__version__}"


def test_requests_share_the_cores_so_blas_has_one_thread() -> None:
    """It is set before NumPy is loaded, which reads it then, and not where it is set already."""
    code = (
        "import os, sys\n"
        "from service import cli\n"
        "assert 'numpy' not in sys.modules\n"
        "cli._serve = lambda settings: print(os.environ['OPENBLAS_NUM_THREADS'])\n"
        "cli.main(['serve'])\n"
    )
    clean = {k: v for k, v in os.environ.items() if k != "OPENBLAS_NUM_THREADS"}
    for given, expected in (({}, "1"), ({"OPENBLAS_NUM_THREADS": "3"}, "3")):
        done = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            cwd=ROOT,
            env=clean | given,
            timeout=60,
            check=True,
        )
        assert done.stdout.strip() == expected


def test_help_names_every_setting() -> None:
    done = run("serve", "--help")
    assert done.returncode == 0
    for option in (
        "--host",
        "--port",
        "--workers",
        "--timeout-s",
        "--allowed-hosts",
        "--body-bytes",
        "--log-level",
    ):
        assert option in done.stdout
    assert run().stdout.startswith("usage: wengert-server")


@pytest.mark.parametrize(
    ("arguments", "environment", "said"),
    [
        (["serve", "--port", "x"], {}, "--port"),
        (["serve", "--port", "70000"], {}, "--port"),
        (["serve"], {"WENGERT_TIMEOUT_S": "-1"}, "WENGERT_TIMEOUT_S"),
        (["serve", "--log-level", "loud"], {}, "--log-level"),
        (["serve", "--nonsense", "1"], {}, "--nonsense"),
        (["fly"], {}, "fly"),
    ],
)
def test_wrong_options(arguments: list[str], environment: dict[str, str], said: str) -> None:
    done = run(*arguments, **environment)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_a_port_that_is_taken(server: Server) -> None:
    done = run("serve", "--port", str(server.port))
    assert done.returncode not in (0, None)
    assert "address already in use" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_log_is_json(server: Server) -> None:
    with server.client() as client:
        client.get("/nope", headers={"x-request-id": "look-for-me"})
    time.sleep(0.2)
    lines = [json.loads(line) for line in server.log.read_text().splitlines()]
    (found,) = [line for line in lines if line.get("request_id") == "look-for-me"]
    assert found["logger"] == "wengert.access"
    assert (found["method"], found["path"], found["status"]) == ("GET", "/nope", 404)
    assert found["ms"] >= 0
    assert not [line for line in lines if line["level"] == "error"]
