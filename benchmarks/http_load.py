"""Load over HTTP from plain sockets, and servers to put it on: how many small requests a second, side by side.

    python -m benchmarks.http_load                    the service and FastAPI alone, interleaved, on one machine

`compare` sends the same requests to several servers in turn, round after round, so that what else the machine does falls on
all of them alike. A figure is the median of the rounds; a ratio is the median of the rounds' ratios. Besides the requests a
second there is the server's own processor time a request, which other processes disturb less.

The generator runs in the process that asks, the servers in processes of their own. It takes about 10 µs a request, so one
core for it and one for the server is what a fair measurement needs."""

from __future__ import annotations

import argparse
import json
import os
import select
import signal
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).parent.parent
CONNECTIONS = 16

LOGISTIC: dict[str, Any] = {
    "expression": "log(1 + exp(-y*(w*x + b)))",
    "inputs": {"w": 0.5, "x": 2.0, "b": 0.5, "y": 1.0},
}


# ----------------------------------------------------------------------------------------------------------- requests


def post(path: str, body: Any, **headers: str) -> bytes:
    """One request as it goes over the wire; `body` is JSON, or bytes as they are."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    head = {
        "Host": "localhost",
        "User-Agent": "load",
        "Accept": "*/*",
        "Content-Type": "application/json",
        "Content-Length": str(len(data)),
        **{name.replace("_", "-"): value for name, value in headers.items()},
    }
    lines = "".join(f"{name}: {value}\r\n" for name, value in head.items())
    return f"POST {path} HTTP/1.1\r\n{lines}\r\n".encode() + data


class Failure(Exception):
    """A server did not answer as it should."""


class Answer(NamedTuple):
    """One answer."""

    status: int
    body: bytes


def ask(port: int, request: bytes) -> Answer:
    """The answer to one request, on a connection of its own."""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as s:
        s.sendall(request)
        buffer = b""
        while (length := _complete(buffer)) is None:
            if not (data := s.recv(1 << 20)):
                raise Failure("The connection was closed before the answer was complete.")
            buffer += data
    return Answer(int(buffer[9:12]), buffer[buffer.index(b"\r\n\r\n") + 4 : length])


def _complete(buffer: bytes) -> int | None:
    """Length of the answer in the buffer; None while a part of it is missing."""
    end = buffer.find(b"\r\n\r\n")
    if end < 0:
        return None
    head = buffer[:end].lower()
    at = head.find(b"\r\ncontent-length:")
    if at < 0:
        raise Failure(f"An answer without Content-Length: {buffer[:200]!r}")
    length = end + 4 + int(head[at + 17 :].split(b"\r\n", 1)[0])
    return length if len(buffer) >= length else None


# --------------------------------------------------------------------------------------------------------------- load


@dataclass
class Sample:
    """What one round of load has shown."""

    seconds: float
    latencies: list[float] = field(repr=False)
    """Seconds from sending a request to its whole answer, in no order."""
    busy: float | None = None
    """Processor seconds that the server has taken; None where the system does not tell."""

    @property
    def rate(self) -> float:
        """Requests a second."""
        return len(self.latencies) / self.seconds

    @property
    def busy_us(self) -> float | None:
        """The server's own microseconds a request."""
        return None if self.busy is None else self.busy / len(self.latencies) * 1e6

    def percentile(self, p: float) -> float:
        """Latency in seconds below which p % of the requests stay."""
        ordered = sorted(self.latencies)
        return ordered[min(len(ordered) - 1, int(len(ordered) * p / 100))]


class Load:
    """Connections that stay open, each with one request under way at a time; requests are sent in turn.

    Every answer must have status 200."""

    def __init__(self, port: int, requests: Sequence[bytes], connections: int = CONNECTIONS) -> None:
        self.requests = requests
        self.next = 0
        self.sockets: dict[int, socket.socket] = {}
        self.poll = select.epoll()
        for _ in range(connections):
            s = socket.create_connection(("127.0.0.1", port), timeout=30)
            s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.sockets[s.fileno()] = s
            self.poll.register(s.fileno(), select.EPOLLIN)

    def close(self) -> None:
        """Close the connections."""
        for s in self.sockets.values():
            s.close()
        self.poll.close()

    def run(self, seconds: float) -> Sample:
        """Send for so many seconds, then wait for what is under way."""
        clock, sockets, requests = time.perf_counter, self.sockets, self.requests
        sent: dict[int, float] = {}
        parts: dict[int, bytes] = {}
        latencies: list[float] = []
        start = clock()
        for number, s in sockets.items():
            sent[number] = clock()
            s.sendall(self._request())
        end = start + seconds
        while sent:
            events = self.poll.poll(30)
            if not events:
                raise Failure("No answer within 30 s.")
            for number, _ in events:
                s = sockets[number]
                data = s.recv(1 << 18)
                if number in parts:
                    data = parts.pop(number) + data
                elif not data:
                    raise Failure("The server closed the connection.")
                length = _complete(data)
                if length is None:
                    parts[number] = data
                    continue
                if not data.startswith(b"HTTP/1.1 200 ") or length != len(data):
                    raise Failure(f"Not what was expected: {data[:600]!r}")
                now = clock()
                latencies.append(now - sent[number])
                if now < end:
                    sent[number] = now
                    self.next = (self.next + 1) % len(requests)
                    s.sendall(requests[self.next])
                else:
                    del sent[number]
        return Sample(clock() - start, latencies)

    def _request(self) -> bytes:
        self.next = (self.next + 1) % len(self.requests)
        return self.requests[self.next]


# ------------------------------------------------------------------------------------------------------------ servers


@dataclass(frozen=True)
class Server:
    """A server that runs in a process of its own."""

    port: int
    process: subprocess.Popen[bytes]

    def busy(self) -> float | None:
        """Processor seconds that it has taken, in all its threads."""
        try:
            tasks = list(Path(f"/proc/{self.process.pid}/task").iterdir())
            return sum(int((t / "schedstat").read_text().split()[0]) for t in tasks) / 1e9
        except OSError:
            return None


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


@contextmanager
def serving(
    arguments: Sequence[str], *, log: Path | None = None, python: str = sys.executable, **environment: str
) -> Iterator[Server]:
    """A server, started by Python with these arguments (`{port}` stands for its port) and stopped at the end."""
    port = free_port()
    command = [python, *(a.format(port=port) for a in arguments)]
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), **environment}
    with (log or Path(os.devnull)).open("wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out, env=environ)
    try:
        end = time.monotonic() + 60
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                if process.poll() is not None or time.monotonic() > end:
                    raise Failure(f"The server does not start: {' '.join(command)}") from None
                time.sleep(0.05)
        yield Server(port, process)
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


SERVICE = ("-m", "service.cli", "serve", "--port={port}")
"""The service with its defaults."""

EMPTY_ROUTE = (
    *("-m", "uvicorn", "benchmarks.empty_route:app", "--port={port}", "--no-access-log"),
    *("--loop=uvloop", "--http=httptools", "--log-level=warning"),
)
"""FastAPI alone, in the fastest way that uvicorn runs it."""


# --------------------------------------------------------------------------------------------------------- comparison


@dataclass
class Target:
    """A server, and what is sent to it."""

    server: Server
    requests: Sequence[bytes]
    samples: list[Sample] = field(default_factory=list)

    @property
    def rate(self) -> float:
        """Requests a second, the median of the rounds."""
        return statistics.median(s.rate for s in self.samples)

    @property
    def busy_us(self) -> float | None:
        """The server's own microseconds a request, the median of the rounds."""
        found = [s.busy_us for s in self.samples if s.busy_us is not None]
        return statistics.median(found) if found else None

    def percentile_ms(self, p: float) -> float:
        """Latency in milliseconds, the median of the rounds' percentiles."""
        return statistics.median(s.percentile(p) for s in self.samples) * 1e3


def compare(
    targets: Mapping[str, Target],
    *,
    rounds: int = 9,
    seconds: float = 0.7,
    connections: int = CONNECTIONS,
    warm: float = 3.0,
) -> None:
    """Put load on all targets in turn, round after round; their samples are what is found.

    Before that each is kept busy for `warm` seconds, in which servers load what they load when it is first worth it."""
    for target in targets.values():
        _round(target, warm, connections)
    for k in range(rounds):
        order = list(targets.values())
        for target in order if k % 2 == 0 else order[::-1]:
            target.samples.append(_round(target, seconds, connections))


def _round(target: Target, seconds: float, connections: int) -> Sample:
    """One sample, on fresh connections (a server closes those that were idle for long), after a moment of warming up."""
    load = Load(target.server.port, target.requests, connections)
    try:
        load.run(0.05)
        before = target.server.busy()
        sample = load.run(seconds)
        after = target.server.busy()
    finally:
        load.close()
    if before is not None and after is not None:
        sample.busy = after - before
    return sample


def ratio(a: Target, b: Target) -> float:
    """Throughput of a by that of b: the median of the rounds' ratios."""
    return statistics.median(x.rate / y.rate for x, y in zip(a.samples, b.samples, strict=True))


def main(argv: Sequence[str] | None = None) -> None:
    """The service beside FastAPI alone."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seconds", type=float, default=0.7)
    parser.add_argument("--connections", type=int, default=CONNECTIONS)
    parser.add_argument("--body", default=json.dumps(LOGISTIC), help="the body of the requests")
    options = parser.parse_args(argv)
    request = post("/v1/grad", options.body.encode())
    with serving(EMPTY_ROUTE) as empty, serving(SERVICE) as service:
        targets = {"FastAPI alone": Target(empty, [request]), "the service": Target(service, [request])}
        compare(targets, rounds=options.rounds, seconds=options.seconds, connections=options.connections)
    for name, target in targets.items():
        busy = "" if target.busy_us is None else f"{target.busy_us:8.1f} µs of its own"
        print(
            f"{name:15} {target.rate:9.0f} requests/s {busy}, "
            f"p50 {target.percentile_ms(50):.2f} ms, p99 {target.percentile_ms(99):.2f} ms"
        )
    print(f"ratio {ratio(targets['the service'], targets['FastAPI alone']):.2f}")


if __name__ == "__main__":
    main()
