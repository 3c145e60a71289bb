"""What would be noticed too late: that something costs an order of magnitude more than it did.

Each check is a line: a cost by another cost, and the most it may be. Counts (calls, bytes) are exact, so their limits are
close; times are compared with other work in this process, taken in turn, and their limits leave a factor of two or three for
a machine that does something else as well. No limit is in seconds. `make bench` measures properly, beside other systems.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import orjson
import pytest
from fastapi import FastAPI

from benchmarks.empty_route import app as empty_route
from benchmarks.http_load import LOGISTIC
from benchmarks.ours import Prepared, program, request
from benchmarks.random_graphs import PYTHON, RandomGraph, random_graph
from benchmarks.rows.matrices import BANDED
from benchmarks.rows.points import TEXT as THIRTY_OPS
from engine.derive import Plans, prepare
from engine.execute.meter import Meter
from engine.language import parse_text
from engine.spec import read_graph
from service.app import create_app
from service.settings import Settings
from tests.counting import calls, peak_bytes, ratio

Work = Callable[[], Any]


@dataclass(frozen=True)
class Check:
    """`measure(most)` gives the cost of something by that of something else; it may be `most`."""

    name: str
    most: float
    measure: Callable[[float], float]


def counted(name: str, most: float, work: Callable[[], Work], beside: Callable[[], Work]) -> Check:
    """Calls of one by calls of the other."""
    return Check(name, most, lambda _: calls(work()) / calls(beside()))


def timed(name: str, most: float, work: Callable[[], Work], beside: Callable[[], Work]) -> Check:
    """Time of one by time of the other."""
    return Check(name, most, lambda limit: ratio(work(), beside(), limit))


def allocated(name: str, most: float, work: Callable[[], Work], unit_bytes: float) -> Check:
    """Memory at its peak by that of one array."""
    return Check(name, most, lambda _: peak_bytes(work()) / unit_bytes)


# --------------------------------------------------------------------------------------------------------------- works


@cache
def graph(size: int) -> RandomGraph:
    """A random scalar graph."""
    return random_graph(size)


def named(g: RandomGraph) -> list[dict[str, float]]:
    """Data sets by input."""
    return [{f"x{k}": x for k, x in enumerate(row)} for row in g.points(2)]


def reading(size: int) -> Work:
    """A scalar graph from parsed JSON to a program."""
    document = graph(size).document()
    return lambda: read_graph(document)


def parsing(size: int) -> Work:
    """A sum of so many terms, other numbers each time: texts are kept."""
    count = iter(range(1_000_000))
    return lambda: parse_text(" + ".join(f"{next(count)}.5*x" for _ in range(size)), inputs=["x"])


def planning(size: int) -> Work:
    """The gradient of a scalar graph prepared anew."""
    asked = request(program(graph(size).document()), named(graph(size))[0])
    return lambda: prepare("grad", asked)


def running(size: int) -> Work:
    """The gradient of a scalar graph, prepared before."""
    ours = Prepared("grad", graph(size).document(), named(graph(size)))
    return lambda: ours.run(0)


def steps_in_numpy(size: int) -> Work:
    """The values of the same graph by NumPy's functions, a call a node: what a loop in Python takes at least."""
    g = graph(size)
    point = [np.float64(x) for x in g.points(1)[0]]
    ops = {name: getattr(np, name) for name in PYTHON if name != "relu"}
    return lambda: g.walk(point, ops)


@cache
def small() -> tuple[Any, Plans]:
    """The logistic loss as a request, and where its job is kept."""
    asked = request(program(LOGISTIC["expression"]), LOGISTIC["inputs"])
    plans = Plans()
    prepare("grad", asked, plans=plans)
    return asked, plans


def warm() -> Work:
    """A small request that comes again: prepared and run."""
    asked, plans = small()
    return lambda: prepare("grad", asked, plans=plans).run(Meter())


def cold() -> Work:
    """The same, nothing kept."""
    asked, _ = small()
    return lambda: prepare("grad", asked).run(Meter())


def elementwise(size: int, verb: str = "grad") -> Work:
    """30 operations at so many points."""
    data = [{"x": np.random.default_rng(1).normal(size=(10, size))}]
    fields: dict[str, Any] = {} if verb == "evaluate" else {"wrt": ("x",)}
    ours = Prepared(verb, THIRTY_OPS, data, nodes="none", in_axes=({"x": 1},), **fields)
    return lambda: ours.run(0)


def one_by_one(size: int) -> Work:
    """The same points, a request each."""
    x = np.random.default_rng(1).normal(size=(10, size))
    ours = Prepared("grad", THIRTY_OPS, [{"x": x[:, k]} for k in range(size)], nodes="none", wrt=("x",))
    return lambda: [ours.run(k) for k in range(size)]


def thirty_in_numpy(size: int) -> Work:
    """The values alone, an array an operation."""
    from benchmarks.rows.points import function

    x = np.random.default_rng(1).normal(size=(10, size))
    return lambda: function(x, np)


def banded(size: int, sparse: bool) -> Work:
    """A tridiagonal Jacobian."""
    data = [{"x": np.random.default_rng(1).normal(size=size + 2)}]
    ours = Prepared("jacobian", BANDED, data, nodes="none", sparse=sparse)
    return lambda: ours.run(0)


# ------------------------------------------------------------------------------------------------------ requests whole


def asking(app: FastAPI, path: str, body: bytes, times: int = 20) -> Work:
    """So many requests to an application, one after another, without a network."""
    scope: dict[str, Any] = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "POST", "scheme": "http",
        "path": path, "raw_path": path.encode(), "root_path": "", "query_string": b"",
        "headers": [
            (b"host", b"localhost"), (b"content-type", b"application/json"), (b"content-length", str(len(body)).encode()),
        ],
        "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 80),
    }  # fmt: skip

    async def one() -> None:
        messages = iter([{"type": "http.request", "body": body, "more_body": False}])
        status = 0

        async def receive() -> Any:
            for message in messages:
                return message
            await asyncio.Event().wait()  # the client stays
            return {"type": "http.disconnect"}

        async def send(message: Mapping[str, Any]) -> None:
            nonlocal status
            status = message.get("status", status)

        await app({**scope, "headers": list(scope["headers"]), "state": {}}, receive, send)
        assert status == 200

    async def all_of_them() -> None:
        for _ in range(times):
            await one()

    return lambda: asyncio.run(all_of_them())


SMALL = json.dumps(LOGISTIC).encode()


@cache
def service() -> FastAPI:
    """The service, host names not looked at."""
    return create_app(Settings())


def small_request() -> Work:
    """The logistic loss, from the request's bytes to the answer's."""
    return asking(service(), "/v1/grad", SMALL)


def empty_request() -> Work:
    """FastAPI with the same models and nothing computed."""
    return asking(empty_route, "/v1/grad", SMALL)


def numbers() -> bytes:
    """A request with 100,000 numbers."""
    x = np.random.default_rng(1).normal(size=100_000).tolist()
    return orjson.dumps({"expression": "2.0*x", "inputs": {"x": x}, "nodes": "none"})


def many_numbers() -> Work:
    """100,000 numbers in and out."""
    return asking(service(), "/v1/evaluate", numbers(), times=1)


def many_numbers_alone() -> Work:
    """The same by orjson and NumPy alone."""
    body = numbers()
    option = orjson.OPT_SERIALIZE_NUMPY
    return lambda: orjson.dumps({"t1": 2.0 * np.array(orjson.loads(body)["inputs"]["x"])}, option=option)


# --------------------------------------------------------------------------------------------------------------- checks

ARRAY = 8 * 50_000
CHECKS = [
    # Twice the size costs twice as much, and not four times.
    counted("reading 2n nodes by n", 2.2, lambda: reading(1000), lambda: reading(500)),
    counted("parsing 2n terms by n", 2.2, lambda: parsing(400), lambda: parsing(200)),
    counted("planning 2n nodes by n", 2.2, lambda: planning(1000), lambda: planning(500)),
    counted("running 2n nodes by n", 2.2, lambda: running(1000), lambda: running(500)),
    timed("running 2n points by n", 4, lambda: elementwise(200_000), lambda: elementwise(100_000)),
    # What is kept for the next request.
    counted("calls of a small request, warm by cold", 0.25, warm, cold),
    timed("a small request, warm by cold", 0.4, warm, cold),
    # A node of a scalar graph, values and adjoints, by a call of NumPy.
    timed("a scalar node by a call of NumPy", 4, lambda: running(2000), lambda: steps_in_numpy(2000)),
    # Arrays.
    timed("gradient by value at 10⁵ points", 30, lambda: elementwise(100_000), lambda: elementwise(100_000, "evaluate")),
    timed("gradient at 10⁵ points by values in NumPy", 20, lambda: elementwise(100_000), lambda: thirty_in_numpy(100_000)),
    allocated("arrays at the peak of 30 operations' gradient", 35, lambda: elementwise(50_000), ARRAY),
    counted("calls for a batch of 100 by one by one", 0.5, lambda: elementwise(100), lambda: one_by_one(100)),
    timed("a batch of 100 by one by one", 0.7, lambda: elementwise(100), lambda: one_by_one(100)),
    timed("a sparse Jacobian of 4,000 rows by a dense one", 0.15, lambda: banded(4000, True), lambda: banded(4000, False)),
    # Requests whole, by the framework alone.
    counted("calls of a small request by an empty route", 1.3, small_request, empty_request),
    timed("a small request by an empty route", 3, small_request, empty_request),
    timed("10⁵ numbers in and out by orjson alone", 5, many_numbers, many_numbers_alone),
]  # fmt: skip


@pytest.mark.parametrize("check", CHECKS, ids=lambda c: c.name)
def test_speed(check: Check) -> None:
    found = check.measure(check.most)
    assert found <= check.most, f"{check.name}: {found:.3g}, and {check.most:g} is the most"


def test_a_cost_that_grows_is_seen() -> None:
    def quadratic(n: int) -> Work:
        return lambda: [[abs(j) for j in range(n)] for _ in range(n)]

    assert calls(quadratic(40)) / calls(quadratic(20)) > 3.5
    assert ratio(quadratic(200), quadratic(50), most=4, tries=2) > 4
    assert peak_bytes(lambda: np.zeros(100_000)) >= 800_000
