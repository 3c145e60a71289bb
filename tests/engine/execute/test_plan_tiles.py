"""Tiles: the same values to rounding, the same bits whatever the number of threads, and nothing missed at their edges."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from engine.aval import Aval, DType
from engine.builder import EagerBuilder, Var, call
from engine.derive import Request, prepare
from engine.errors import DeadlineExceeded
from engine.execute.meter import Cancelled, Meter
from engine.execute.plan import Plan
from engine.execute.pool import Pool, pool
from engine.graph import Graph
from engine.language import parse_text
from engine.transforms.pull import vjp_graph
from engine.transforms.simplify import simplify
from engine.values import Given
from tests.engine.execute.test_plan_memory import graph_of

B = EagerBuilder("float64")
N = 1003

POINTWISE = (
    "y = exp(-a*a) * sin(b) + tanh(a*c) / (1 + b**2) + where(a > b, a * c, relu(c)) + c**3 + abs(a - c)\n"
)


@pytest.fixture(autouse=True)
def two_threads() -> Iterator[None]:
    size = pool.size
    pool.resize(2)
    yield
    pool.resize(size)


def mapped(
    text: str, inputs: dict[str, Any], axes: dict[str, int], verb: str = "grad"
) -> tuple[Graph, list[Any]]:
    """Value and gradient of a program at many points, as one graph with its arguments."""
    given = {k: Given(v, False, False) for k, v in inputs.items()}
    request = Request(
        program=parse_text(text), inputs=given, in_axes=(axes,), nodes="none", wrt=tuple(inputs)
    )
    job: Any = prepare(verb, request)
    return job.graph, [*job.arguments, *job.extras]


def columns() -> tuple[Graph, list[Any]]:
    rng = np.random.default_rng(0)
    return mapped(POINTWISE, {k: rng.normal(size=N) for k in "abc"}, dict.fromkeys("abc", 0))


def rows(axis: int = 0) -> tuple[Graph, list[Any]]:
    rng = np.random.default_rng(0)
    text = "a = x[0]\nb = x[1]\nc = x[2]\n" + POINTWISE + "z = y * sum(x) + x[0]\n"
    x = rng.normal(size=(N, 4) if axis == 0 else (4, N))
    return mapped(text, {"x": x}, {"x": axis})


def whole_array() -> tuple[Graph, list[Any]]:
    """No map: a program of arrays with sums over all, and their gradient."""
    rng = np.random.default_rng(1)

    def write(x: Var, w: Var) -> list[Var]:
        y = call(x.b, "tanh", x * w) + call(x.b, "exp", -x * x)
        centred = y - y.sum(axis=0, keepdims=True) / float(N)
        return [(centred * centred).sum()]

    graph = graph_of(write, Aval((N, 3), "float64"), Aval((N, 3), "float64"))
    back = simplify(vjp_graph(graph, graph.outputs, graph.inputs, "float64"), "float64")
    return back, [rng.normal(size=(N, 3)), rng.normal(size=(N, 3)), np.float64(1.5)]


def layers() -> tuple[Graph, list[Any]]:
    """A small network over many rows: products inside tiles, gradients of weights as partial sums."""
    rng = np.random.default_rng(2)

    def write(x: Var, w: Var, v: Var) -> list[Var]:
        h = call(x.b, "tanh", x @ w)
        p = call(x.b, "softmax", h @ v, axis=-1)
        return [(p * p).sum(), call(x.b, "max", h, axis=1), call(x.b, "concat", h, p, axis=1)]

    shapes = [(N, 5), (5, 4), (4, 3)]
    graph = graph_of(write, *[Aval(s, "float64") for s in shapes])
    back = simplify(vjp_graph(graph, graph.outputs[:1], graph.inputs, "float64"), "float64")
    return back, [*(rng.normal(size=s) for s in shapes), np.float64(1.0)]


def turned_both_ways() -> tuple[Graph, list[Any]]:
    """x and its transpose meet: one of them is cut along the other axis, and must be whole before."""
    rng = np.random.default_rng(3)

    def write(x: Var) -> list[Var]:
        t = call(x.b, "permute_dims", call(x.b, "sin", x))
        return [t + call(x.b, "cos", x), (t * x).sum(axis=0)]

    return graph_of(write, Aval((40, 40), "float64")), [rng.normal(size=(40, 40))]


def looked_up() -> tuple[Graph, list[Any]]:
    rng = np.random.default_rng(4)

    def write(x: Var, i: Var) -> list[Var]:
        got = call(x.b, "gather", call(x.b, "exp", x), i)
        return [call(x.b, "sin", got) * 2.0, got.sum()]

    graph = graph_of(write, Aval((30,), "float64"), Aval((N,), "int64"))
    return graph, [rng.normal(size=30), rng.integers(0, 30, N)]


def systems() -> tuple[Graph, list[Any]]:
    """A small system for each point."""
    rng = np.random.default_rng(5)
    text = "m = x @ x.T + 2 * eye(3)\ny = sum(solve(m, v) * v) + log(det(m)) + norm(v)\n"
    return mapped(text, {"x": rng.normal(size=(N, 3, 3)), "v": rng.normal(size=(N, 3))}, {"x": 0, "v": 0})


CASES = {
    "systems": systems,
    "columns": columns,
    "rows": rows,
    "columns of one array": lambda: rows(1),
    "whole array": whole_array,
    "layers": layers,
    "turned": turned_both_ways,
    "looked up": looked_up,
}


@pytest.mark.parametrize("tile", [1, 7, 64, 200, 5000])
@pytest.mark.parametrize("name", CASES)
def test_tiles_give_the_same(name: str, tile: int) -> None:
    graph, arguments = CASES[name]()
    with np.errstate(all="ignore"):
        expected = B.inline(graph, arguments)
    plan = Plan(graph, tile=tile, least=0)
    assert plan.loops
    assert tile > 64 or any(len(loop.tiles) > 2 for loop in plan.loops)
    for a in arguments:
        if isinstance(a, np.ndarray):
            a.setflags(write=False)
    first = plan.run(B, arguments).results
    for f, e in zip(first, expected, strict=True):
        assert isinstance(f, np.ndarray if np.ndim(e) else np.generic)
        assert f.dtype == e.dtype
        np.testing.assert_allclose(f, e, rtol=1e-12, atol=1e-13)
    for threads in (1, 2, 3):
        pool.resize(threads)
        for k, (f, again) in enumerate(zip(first, plan.run(B, arguments).results, strict=True)):
            np.testing.assert_array_equal(f, again)  # to the bit, whoever computed which tile
            assert k in plan.passed or not np.ndim(f) or not np.may_share_memory(f, again)


def test_pointwise_tiles_are_exact() -> None:
    for name in ("columns", "rows"):
        graph, arguments = CASES[name]()
        plan = Plan(graph, tile=50, least=0)
        assert len(plan.loops) == 1, "one pass over the points"
        values = [k for k, a in enumerate(graph.out_avals) if not (name == "rows" and a.shape == (N,))]
        expected, found = B.inline(graph, arguments), plan.run(B, arguments).results
        for k in values:
            np.testing.assert_array_equal(found[k], expected[k])


def test_kinks_in_any_tile() -> None:
    graph, arguments = columns()
    plan = Plan(graph, tile=16, least=0)
    assert not plan.run(B, arguments).kinked
    for at in (0, 15, 16, 500, N - 1):
        a, b, c, *more = arguments
        moved = c.copy()
        moved[at] = a[at]  # abs(a - c)
        assert plan.run(B, [a, b, moved, *more]).kinked


def test_not_finite_passes_through() -> None:
    graph, arguments = columns()
    plan = Plan(graph, tile=16, least=0)
    a = arguments[0].copy()
    a[300] = np.nan
    with np.errstate(all="ignore"):
        expected = B.inline(graph, [a, *arguments[1:]])
    for f, e in zip(plan.run(B, [a, *arguments[1:]]).results, expected, strict=True):
        np.testing.assert_array_equal(f, e)


def test_stopped_between_tiles() -> None:
    graph, arguments = columns()
    plan = Plan(graph, tile=4, least=0)
    tiles = sum(len(loop.tiles) for loop in plan.loops)
    asked: list[int] = []
    lock = threading.Lock()

    def step() -> None:
        with lock:
            asked.append(1)
            if len(asked) >= 12:
                raise Cancelled

    with pytest.raises(Cancelled):
        plan.run(EagerBuilder("float64", step), arguments)
    assert len(asked) < 12 + 4 < tiles
    late = Meter(deadline=0.0)
    with pytest.raises(DeadlineExceeded):
        plan.run(EagerBuilder("float64", late.look), arguments)
    for f, e in zip(plan.run(B, arguments).results, B.inline(graph, arguments), strict=True):
        np.testing.assert_array_equal(f, e)


def test_memory_of_tiles_is_that_of_tiles() -> None:
    aval = Aval((2_000_000,), "float64")

    def chain(x: Var) -> list[Var]:
        for _ in range(12):
            x = call(x.b, "sin", x) * 0.5 + call(x.b, "exp", x)
        return [x]

    plan = Plan(graph_of(chain, aval))
    assert len(plan.loops) == 1
    assert plan.peak < aval.nbytes
    assert plan.nbytes < 4 * aval.nbytes


def test_small_arrays_are_not_cut() -> None:
    graph, _ = columns()
    assert not Plan(graph).loops


def test_ties_at_the_edge_of_a_tile() -> None:
    graph = graph_of(lambda x: [call(x.b, "sort", call(x.b, "sin", x)) * 2.0], Aval((64,), "float64"))
    plan = Plan(graph, tile=8, least=0)
    x = np.linspace(0.1, 1.0, 64)
    assert not plan.run(B, [x]).kinked
    x[31] = x[32]
    assert plan.run(B, [x]).kinked


PRODUCTS: dict[str, tuple[tuple[int, int, int], DType, list[int]]] = {
    "half a millisecond": ((512, 784, 512), "float32", [256, 256]),
    "uneven": ((401, 784, 300), "float64", [201, 200]),
    "doubles take twice as long": ((256, 784, 100), "float64", [128, 128]),
    "the same in single precision": ((256, 784, 100), "float32", []),
    "massive": ((802, 1024, 700), "float64", [201, 201, 201, 199]),
}


@pytest.mark.parametrize("name", PRODUCTS)
def test_heavy_products_are_shared(name: str) -> None:
    """In two halves, or four pieces where they are large; small ones are left whole."""
    rng = np.random.default_rng(0)
    (n, k, m), dtype, pieces = PRODUCTS[name]
    plan = Plan(graph_of(lambda x, y: [x @ y], Aval((n, k), dtype), Aval((k, m), dtype), dtype=dtype))
    assert [[hi - lo for lo, hi in loop.tiles] for loop in plan.loops] == ([pieces] if pieces else [])
    x, y = rng.normal(size=(n, k)).astype(dtype), rng.normal(size=(k, m)).astype(dtype)
    (found,) = plan.run(EagerBuilder(dtype), [x, y]).results
    exact = x.astype(np.float64) @ y.astype(np.float64)
    assert np.abs(found - exact).max() < 2e3 * np.finfo(dtype).eps


def test_a_loop_of_short_calls_is_left_whole() -> None:
    """Rows of ten beside rows of five hundred: a thread would wait for the other at each of the many small calls."""

    def head(z: Var, w: Var) -> list[Var]:
        p = call(z.b, "softmax", z, axis=-1)
        p = p - call(z.b, "sum", p * z, axis=-1, keepdims=True) * p
        return [call(z.b, "relu", p @ w)]

    narrow = graph_of(head, Aval((512, 10), "float32"), Aval((10, 512), "float32"), dtype="float32")
    wide = graph_of(head, Aval((200_000, 10), "float32"), Aval((10, 12), "float32"), dtype="float32")
    assert not Plan(narrow).loops
    assert Plan(wide).loops


# ------------------------------------------------------------------------------------------------------------- the pool


def test_pool_does_each_piece_once() -> None:
    done: list[int] = []
    Pool(3).share(done.append, 100)
    assert sorted(done) == list(range(100))


def test_pool_raises_what_was_raised() -> None:
    started: list[int] = []

    def work(k: int) -> None:
        started.append(k)
        if k == 3:
            raise KeyError(k)

    with pytest.raises(KeyError):
        Pool(2).share(work, 10_000)
    assert len(started) < 10_000


def test_pool_raises_the_first_in_order() -> None:
    for _ in range(30):
        late = threading.Event()

        def work(k: int, late: threading.Event = late) -> None:
            if k == 0:
                late.wait(0.05)
            else:
                late.set()
            raise KeyError(k)

        with pytest.raises(KeyError, match="0"):
            Pool(4).share(work, 50)


def test_pool_inside_pool_does_not_wait_for_itself() -> None:
    one = Pool(2)
    done: list[int] = []
    one.share(lambda k: one.share(lambda m: done.append(m), 5), 8)
    assert len(done) == 40


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_pool_after_a_fork() -> None:
    pool.share(lambda k: None, 8)  # there are helpers now
    child = os.fork()
    if child == 0:
        done: list[int] = []
        pool.share(done.append, 20)
        os._exit(0 if sorted(done) == list(range(20)) else 1)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
