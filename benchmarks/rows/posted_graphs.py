"""A large scalar graph posted once, everything answered, beside building and differentiating it in Python."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from typing import Any

import orjson

from benchmarks import peers
from benchmarks.http_load import SERVICE, Server, ask, post, serving
from benchmarks.measure import Settings, Side, interleaved
from benchmarks.random_graphs import MICROGRAD, RandomGraph, random_graph
from benchmarks.row import OURS, Line, Row, agree, lines_of
from benchmarks.warming import load_numba


def run(settings: Settings) -> Iterator[Line | str]:
    """100,000 nodes, each time another program with other names; then the same one again with other numbers."""
    size = 5_000 if settings.quick else 100_000
    graph = random_graph(size, MICROGRAD)
    points = graph.points(3).tolist()
    sides: dict[str, Side] = {"micrograd": micrograd(graph, points), "PyTorch": torch(graph, points)}
    limits = {"WENGERT_BODY_BYTES": str(1 << 28)}
    with serving(SERVICE, **limits) as server:
        if not load_numba(server):
            yield "Numba was not loaded: these figures are without it."
        posts = [post("/v1/grad", {"graph": graph.document(points[k])}) for k in range(3)]
        agree(
            {
                OURS: answered(ask(server.port, posts[0]).body, graph),
                **{name: side(0) for name, side in sides.items()},
            },
            1e-9,
        )
        once = Once(server, graph, points[0])
        also: dict[str, Side] = {
            f"{OURS}, posted again": lambda k: checked(server, posts[k % 3]),
        }
        times = interleaved({OURS: once, **sides, **also}, settings)
    yield from lines_of(f"{graph.size:,} nodes", times, dict.fromkeys(sides, 1.0), list(also))


class Once:
    """Posts a program that the server has never seen: the same graph under other names. Making it is not measured."""

    def __init__(self, server: Server, graph: RandomGraph, values: list[float]) -> None:
        self.server = server
        self.template = json.dumps({"graph": graph.document(values)}).replace('"n', '"@')
        self.count = 0
        self.ready: list[bytes] = []
        self.refill(12)

    def refill(self, count: int) -> None:
        """Make programs in advance."""
        for _ in range(count):
            self.count += 1
            body = self.template.replace('"@odes', '"nodes').replace('"@', f'"n{self.count}_')
            self.ready.append(post("/v1/grad", body.encode()))

    def __call__(self, k: int) -> bytes:
        """One request, and its answer's bytes."""
        if not self.ready:
            raise RuntimeError("More programs are needed than were made in advance.")
        return checked(self.server, self.ready.pop())


def checked(server: Server, request: bytes) -> bytes:
    """The answer's body."""
    answer = ask(server.port, request)
    if answer.status != 200:
        raise RuntimeError(f"Status {answer.status}: {answer.body[:500]!r}")
    return answer.body


def answered(body: bytes, graph: RandomGraph) -> Any:
    """Values and gradients of all nodes, in the graph's order."""
    answer = orjson.loads(body)
    names = [f"x{k}" for k in range(graph.inputs)] + [f"n{k}" for k in range(graph.inputs, graph.size)]
    return [[answer["values"][n] for n in names], [answer["gradients"][n] for n in names[: graph.inputs]]]


def micrograd(graph: RandomGraph, points: list[list[float]]) -> Side:
    """Build with `Value`s and call `backward`: all values and all gradients are in the nodes then."""
    from micrograd.engine import Value

    sys.setrecursionlimit(1_000_000)
    ops: dict[str, Callable[..., Any]] = {
        "add": lambda a, b: a + b, "subtract": lambda a, b: a - b, "multiply": lambda a, b: a * b,
        "relu": lambda a: a.relu(), "square": lambda a: a**2,
    }  # fmt: skip

    def side(k: int) -> Any:
        nodes = graph.walk([Value(x) for x in points[k % len(points)]], ops)
        nodes[-1].backward()
        return [[n.data for n in nodes], [n.grad for n in nodes[: graph.inputs]]]

    return side


def torch(graph: RandomGraph, points: list[list[float]]) -> Side:
    """Scalars of float64, eager; gradients of the inputs alone, which is less than the others compute."""
    t = peers.torch()
    ops: dict[str, Callable[..., Any]] = {
        "add": t.add, "subtract": t.sub, "multiply": t.mul, "relu": t.relu, "square": t.square,
    }  # fmt: skip

    def side(k: int) -> Any:
        leaves = [t.tensor(x, dtype=t.float64, requires_grad=True) for x in points[k % len(points)]]
        nodes = graph.walk(leaves, ops)
        gradients = t.autograd.grad(nodes[-1], leaves)
        return [[n.item() for n in nodes], [g.item() for g in gradients]]

    return side


ROW = Row(
    "posted",
    "The same posted once as JSON, 100,000 nodes, all values and gradients returned over HTTP",
    "micrograd and PyTorch eager building and differentiating it in-process",
    "faster than both",
    "Ours: from sending the request to its whole answer over loopback, a program the server has not seen (every node has "
    "another name each time); “posted again” is the same program with other numbers. Theirs: the nodes made by their "
    "operators from a list of steps, the backward pass, all values and gradients as Python numbers (PyTorch: gradients of "
    "the inputs alone). Random graphs of add, subtract, multiply, relu, square, which micrograd has. The peers run with "
    "Python's garbage collector off, which can only help them.",
    run,
)
