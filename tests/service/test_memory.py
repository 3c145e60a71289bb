"""What a server keeps between requests is bounded by bytes, whatever it is asked."""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from engine.attrs import IndexArray
from engine.aval import Aval
from engine.execute.plan import plan_of
from engine.graph import CONSTANT, INPUT, Constant, Graph, Node, graph_bytes
from engine.tape import machine
from engine.transforms.pull import PULLBACKS
from engine.transforms.taylor import TANGENTS
from service import programs
from tests.service.conftest import Client

SMALL = 96 << 10


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> Iterator[Client]:
    """A server whose caches are small, so that they are full soon."""
    client = Client(plans_bytes=SMALL)
    services = client.app.state.services
    for kept in (PULLBACKS, TANGENTS, programs._texts, services.readings.kept, services.skeletons.kept):
        monkeypatch.setattr(kept, "most_bytes", SMALL)
        kept.clear()
    monkeypatch.setattr(machine.STATE, "begun", True)  # Numba is not to be loaded while memory is measured
    yield client
    client.close()


def request(k: int) -> tuple[str, Any]:
    """The k-th of very many requests, each with a program that was not there before."""
    text = f"y_{k} = sin(x_{k} * {k}.5)\nsum(cumprod([y_{k}, x_{k}**3, {k}.25]))"
    inputs = {f"x_{k}": 0.5}
    body: dict[str, Any] = {"expression": text, "inputs": inputs}
    index = [(k * j) % 7 for j in range(300)]
    nodes = [
        {"id": "x", "op": "input", "value": [1.0 + k] * 7},
        {"id": "g", "op": "take", "inputs": ["x"], "attrs": {"indices": index}},
        {"id": "s", "op": "sum", "inputs": ["g"]},
    ]
    kinds: list[tuple[str, Any]] = [
        ("grad", body),
        ("grad", {"graph": {"nodes": nodes}}),
        ("hessian", body),
        ("taylor", {**body, "direction": inputs}),
        ("parse", body),
        ("render", body),
        ("trace", body),
        ("grad", {"expression": f"foo_{k}(x)", "inputs": {"x": 1}}),
        (
            "grad",
            {
                "expression": f"x + sum(ones({k % 97 + 1}))",
                "inputs": {"x": [0.5] * (k % 89 + 1)},
                "nodes": "none",
            },
        ),
    ]
    return kinds[k % len(kinds)]


def test_programs_without_end(small: Client) -> None:
    def ask(first: int, last: int) -> int:
        for k in range(first, last):
            verb, body = request(k)
            for _ in range(2):  # what comes again is remembered by its bytes, too
                small.post(f"/v1/{verb}", json=body)
        gc.collect()
        return tracemalloc.get_traced_memory()[0]

    ask(0, 100)
    tracemalloc.start()
    try:
        full = ask(100, 400)
        later = ask(400, 550)
    finally:
        tracemalloc.stop()
    kept = small.app.state.services.skeletons.kept
    assert 1 < len(kept) < 10
    assert kept.nbytes <= SMALL
    assert full < 10 * SMALL
    assert later - full < SMALL


def test_constants_and_indices_count() -> None:
    """The account of a graph is that of its arrays, also where they stand in params or in a graph inside."""
    big = np.zeros(100_000)
    inner = Graph((Node(CONSTANT, (), (("value", Constant(big)),), Aval(big.shape, "float64")),), (), (0,))
    index = (("index", (1, IndexArray(np.zeros(1000, np.int64)))),)
    assert big.nbytes <= graph_bytes(inner) < big.nbytes + 2000
    assert 8000 <= graph_bytes(index) < 9000
    assert 8000 + big.nbytes <= graph_bytes((("body", inner), *index), inner) < 12_000 + big.nbytes
    array = Node(INPUT, (), (), Aval((9,), "float64"))
    bare = Graph((array,), (0,), (0,))
    before = graph_bytes(bare)
    plan = plan_of(bare)  # hangs on the graph
    assert graph_bytes(bare) == before + plan.nbytes > before
