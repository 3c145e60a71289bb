"""Servers whose compiled loops are loaded: that happens in the background, once large scalar graphs have been asked for."""

from __future__ import annotations

import time
from pathlib import Path

from benchmarks.http_load import Server, ask, post
from benchmarks.random_graphs import random_graph


def loaded(server: Server) -> bool:
    """Whether the worker has Numba's compiler in memory."""
    return "llvmlite" in Path(f"/proc/{server.process.pid}/maps").read_text()


def load_numba(server: Server) -> bool:
    """Ask for large scalar graphs until the compiled loops have been loaded for them, in the background, or for 20 s."""
    graph = random_graph(20_000)
    request = post("/v1/grad", {"graph": graph.document(graph.points(1)[0].tolist()), "nodes": "none"})
    end = time.monotonic() + 20
    while time.monotonic() < end:
        ask(server.port, request)
        if loaded(server):
            time.sleep(3.0)
            ask(server.port, request)
            return True
        time.sleep(0.5)
    return False
