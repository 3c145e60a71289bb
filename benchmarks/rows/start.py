"""How soon a server answers, and what it takes at rest."""

from __future__ import annotations

import os
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.http_load import LOGISTIC, ROOT, SERVICE, Failure, Server, ask, free_port, post, serving
from benchmarks.measure import Settings
from benchmarks.row import Line, Row
from benchmarks.warming import load_numba, loaded


def run(settings: Settings) -> Iterator[Line | str]:
    """Seconds from the command to its first answer; memory before and after the compiled loops are there."""
    times = [first_answer() for _ in range(3 if settings.quick else 7)]
    took = statistics.median(times)
    yield Line("start to the first answer", "limit", took, 2.0, "s", 2.0 / took, 1.0)
    with serving(SERVICE) as server:
        ask(server.port, post("/v1/grad", LOGISTIC))
        time.sleep(1.0)
        rest = resident(server)
        if loaded(server):
            yield "Numba is loaded after one small request."
        yield Line(
            "memory at rest, one small request answered", "limit", rest, 150.0, "MB", 150.0 / rest, 1.0
        )
        if load_numba(server):
            time.sleep(1.0)
            rest = resident(server)
            yield Line("memory at rest, Numba loaded", "limit", rest, 250.0, "MB", 250.0 / rest, 1.0)
        else:
            yield "Numba was not loaded by scalar graphs of 20,000 nodes: no figure for memory after it."


def first_answer() -> float:
    """Seconds from starting the command `wengert-server serve` to the first answer of `POST /v1/grad`."""
    port = free_port()
    command = [sys.executable, "-m", "service.cli", "serve", f"--port={port}"]
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    request = post("/v1/grad", LOGISTIC)
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environ)
    try:
        while True:
            try:
                if ask(port, request).status == 200:
                    return time.perf_counter() - start
                raise Failure("The first answer is no good.")
            except OSError:
                if process.poll() is not None or time.perf_counter() - start > 60:
                    raise Failure("The server does not start.") from None
                time.sleep(0.01)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(20)


def resident(server: Server) -> float:
    """Resident memory of the worker, in MB of 10⁶ bytes."""
    for line in Path(f"/proc/{server.process.pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024 / 1e6
    raise Failure("The system does not tell the memory of a process.")


ROW = Row(
    "start",
    "Start of `wengert-server serve` to first answer; memory at rest",
    "–",
    "≤ 2 s; ≤ 150 MB a worker before Numba is loaded, ≤ 250 MB after",
    "From starting the process to the whole answer of a `POST /v1/grad`, tried every 10 ms, files in the system's cache. "
    "Memory is the worker's resident set a second after an answer, shared libraries included; 1 MB is 10⁶ bytes.",
    run,
)
