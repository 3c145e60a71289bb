"""What a plan must never do with memory, and what it must do about kinks, zeros and being stopped."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from engine.aval import Aval, DType
from engine.builder import EagerBuilder, GraphBuilder, Var, call
from engine.execute.plan import Plan, plan_of
from engine.graph import Graph

B = EagerBuilder("float64")
N = 50
VECTOR = Aval((N,), "float64")
MATRIX = Aval((4, N), "float64")

Written = Callable[..., list[Var]]


def graph_of(write: Written, *avals: Aval, dtype: DType = "float64") -> Graph:
    """The graph that a function of Vars writes."""
    b = GraphBuilder(dtype)
    outs = write(*[Var(b, b.input(a)) for a in avals])
    return b.build([o.ref for o in outs])


def turned(x: Var) -> Var:
    return call(x.b, "permute_dims", x)


def reversed_(x: Var) -> Var:
    return Var(x.b, x.b.core("slice", x.ref, index=((x.size - 1, -1, -1),)))


def part(x: Var, start: int, stop: int) -> Var:
    return Var(x.b, x.b.core("slice", x.ref, index=((start, stop, 1),)))


def sin(x: Var) -> Var:
    return call(x.b, "sin", x)


def viewed_after_its_base(x: Var, y: Var) -> list[Var]:
    a = sin(x)
    view = reversed_(a)
    other = sin(a * y)  # the last use of a itself
    more = sin(other) + y
    return [view * more]


def outputs_that_are_views(x: Var, y: Var) -> list[Var]:
    a = sin(x) * y
    return [reversed_(a), part(a, 3, 9), a.reshape((5, 10)), a]


def pieces_of_what_dies(x: Var, y: Var) -> list[Var]:
    a = sin(x) * y
    return [part(a, 3, 9), part(a, 0, 2)]


def inputs_as_outputs(x: Var, y: Var) -> list[Var]:
    return [x, reversed_(y), part(x, 1, 3), x.reshape((2, 25))]


def one_node_twice(x: Var, y: Var) -> list[Var]:
    a = sin(x + y)
    return [a, a, a * a, x, x]


def over_its_own_mirror(x: Var, y: Var) -> list[Var]:
    a = sin(x)
    b = sin(y)
    return [(a + reversed_(a)) * (reversed_(b) - b), sin(a * b) * a]


def stretched(x: Var, y: Var) -> list[Var]:
    b = x.b
    a = sin(x)
    wide = Var(b, b.core("broadcast_to", a.ref, shape=(4, N)))
    return [wide, wide * wide, sin(wide) + call(b, "where", wide > y, wide, 0.5)]


def reshapes_that_copy(x: Var, y: Var) -> list[Var]:
    a = sin(x).reshape((5, 10))
    t = turned(a)
    flat = t.reshape((N,))
    return [flat * y, turned(sin(t)).reshape((N,)), flat]


def constants_out(x: Var, y: Var) -> list[Var]:
    b = x.b
    c = b.var(np.arange(float(N)))
    zeros = Var(b, b.zeros(Aval((3, 3), "float64")))
    return [c, c * 2.0, zeros, b.var(4.0), sin(x) + c]


def chosen(x: Var, y: Var) -> list[Var]:
    b = x.b
    a, c = sin(x), sin(y)
    one = call(b, "where", a > c, a, c)
    return [one, call(b, "where", a > c, call(b, "clip", sin(a), -0.5, a), sin(c)) + c]


def scalars(x: Var, y: Var) -> list[Var]:
    total = (x * y).sum()
    return [total, sin(total) * x, total.reshape((1,)), (y * total).sum()]


def long_chain(x: Var, y: Var) -> list[Var]:
    a = x
    kept = []
    for k in range(40):
        a = sin(a * y) + (reversed_(a) if k % 3 else a)
        if k % 7 == 0:
            kept.append(a)
    return [a, *(v * a for v in kept)]


def zero_and_one(x: Var, y: Var) -> list[Var]:
    return [part(x, 0, 0) + part(y, 0, 0), sin(part(x, 0, 1)).reshape(()), part(x, 0, 1)]


WRITTEN = [
    viewed_after_its_base,
    outputs_that_are_views,
    pieces_of_what_dies,
    inputs_as_outputs,
    one_node_twice,
    over_its_own_mirror,
    stretched,
    reshapes_that_copy,
    constants_out,
    chosen,
    scalars,
    long_chain,
    zero_and_one,
]


def graph_named(write: Written) -> Graph:
    return graph_of(write, VECTOR, VECTOR if write is not stretched else MATRIX)


def drawn(graph: Graph, seed: int) -> list[Any]:
    rng = np.random.default_rng(seed)
    return [rng.normal(size=a.shape) for a in graph.in_avals]


@pytest.mark.parametrize("write", WRITTEN, ids=[w.__name__ for w in WRITTEN])
def test_memory_is_nobody_elses(write: Written) -> None:
    graph = graph_named(write)
    plan = Plan(graph)
    first, second = drawn(graph, 1), drawn(graph, 2)
    expected = [B.inline(graph, a) for a in (first, second)]
    before = [a.copy() for a in first]
    found = plan.run(B, first).results
    kept = [np.array(f) for f in found]
    again = plan.run(B, second).results
    for f, k, e in zip(found, kept, expected[0], strict=True):
        np.testing.assert_array_equal(f, k, err_msg="a later run wrote into a result")
        np.testing.assert_array_equal(f, e)
        assert isinstance(f, np.ndarray if np.ndim(e) else np.generic)
    for f, e in zip(again, expected[1], strict=True):
        np.testing.assert_array_equal(f, e)
    for a, original in zip(first, before, strict=True):
        np.testing.assert_array_equal(a, original)
        assert not any(np.may_share_memory(a, f) for k, f in enumerate(found) if k not in plan.passed)


@pytest.mark.parametrize("write", [outputs_that_are_views, stretched, reshapes_that_copy, long_chain])
def test_arguments_of_any_layout(write: Written) -> None:
    graph = graph_named(write)
    plan = Plan(graph)
    plain = drawn(graph, 3)
    odd = [np.repeat(a, 2, axis=-1)[..., ::2] for a in plain]
    fortran = [np.asfortranarray(a) for a in plain]
    expected = B.inline(graph, plain)
    for given in (odd, fortran):
        for f, e in zip(plan.run(B, given).results, expected, strict=True):
            np.testing.assert_array_equal(f, e)


def test_threads_share_a_plan() -> None:
    graph = graph_named(long_chain)
    plan = plan_of(graph)
    assert plan_of(graph) is plan
    wrong: list[str] = []

    def work(seed: int) -> None:
        given = drawn(graph, seed)
        expected = B.inline(graph, given)
        for _ in range(30):
            found = plan.run(EagerBuilder("float64"), given).results
            if not all(np.array_equal(f, e) for f, e in zip(found, expected, strict=True)):
                wrong.append(f"seed {seed}")

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not wrong


def test_memory_follows_lifetimes() -> None:
    n = 100_000
    aval = Aval((n,), "float64")

    def chain(x: Var) -> list[Var]:
        for _ in range(30):
            x = sin(x) * 0.5 + sin(x + 1.0)
        return [x.sum()]

    plan = Plan(graph_of(chain, aval))
    assert plan.peak <= 4 * aval.nbytes
    assert plan.nbytes < 100 * n * 8


def test_stopped_between_steps() -> None:
    graph = graph_of(lambda x: long_chain(x, x), Aval((20_000,), "float64"))
    plan = Plan(graph)
    asked = []

    class Stop(Exception):
        pass

    def step() -> None:
        asked.append(1)
        if len(asked) > 10:
            raise Stop

    with pytest.raises(Stop):
        plan.run(EagerBuilder("float64", step), [np.ones(20_000)])
    assert len(asked) == 11
    given = [np.linspace(0, 1, 20_000)]
    for f, e in zip(plan.run(B, given).results, B.inline(graph, given), strict=True):
        np.testing.assert_array_equal(f, e)


def test_the_meter_is_asked_by_work() -> None:
    """Small steps together are one look; those that take long are one each."""

    def products(n: int) -> int:
        asked: list[int] = []

        def chain(x: Var) -> list[Var]:
            for _ in range(40):
                x = x @ x
            return [x]

        plan = Plan(graph_of(chain, Aval((n, n), "float64")))
        plan.run(EagerBuilder("float64", lambda: asked.append(1)), [np.zeros((n, n))])
        return len(asked)

    assert products(2) == 1
    assert products(10) in range(4, 8)
    assert products(40) in range(40, 43)


# ------------------------------------------------------------------------------------------------------------ kinks


KINKS = {
    "relu": (lambda x: call(x.b, "relu", sin(x)), [0.0]),
    "abs": (lambda x: call(x.b, "abs", x), [0.0]),
    "max": (lambda x: call(x.b, "max", x, axis=-1), [5.0, 5.0]),
    "maximum": (lambda x: call(x.b, "maximum", x, 0.25), [0.25]),
    "clip": (lambda x: call(x.b, "clip", x * 2.0, -8.0, 10.0), [5.0]),
    "hypot": (lambda x: call(x.b, "hypot", x, x), [0.0]),
}


@pytest.mark.parametrize("name", KINKS)
def test_kinks_are_met(name: str) -> None:
    write, values = KINKS[name]
    graph = graph_of(lambda x: [write(x), sin(write(x))], VECTOR)
    plan = Plan(graph)
    given = np.random.default_rng(0).uniform(0.5, 1.0, N)
    assert not plan.run(B, [given]).kinked
    given[7 : 7 + len(values)] = values
    assert plan.run(B, [given]).kinked
    assert not Plan(graph, kinks=False).run(B, [given]).kinked


@pytest.mark.parametrize("name", ["eigh", "eigvalsh", "svd"])
def test_kinks_of_factorisations(name: str) -> None:
    def write(x: Var) -> list[Var]:
        found: Any = call(x.b, name, x)
        return list(found) if isinstance(found, tuple) else [found]

    plan = Plan(graph_of(write, Aval((4, 4), "float64")))
    ordinary = np.diag([1.0, 2.0, 3.0, 4.0]) + 0.1
    repeated = np.diag([1.0, 2.0, 2.0, 4.0])
    assert not plan.run(B, [ordinary]).kinked
    assert plan.run(B, [repeated]).kinked


def test_guards_keep_strong_zeros() -> None:
    def write(x: Var, y: Var) -> list[Var]:
        b = x.b
        return [b.write("multiply", x, y, strong=(0,)) + 1.0]

    graph = graph_of(write, VECTOR, VECTOR)
    x, y = np.zeros(N), np.ones(N)
    x[1], y[:2] = 2.0, np.inf
    guarded = Plan(graph, guarded=True).run(B, [x, y]).results[0]
    with np.errstate(all="ignore"):
        np.testing.assert_array_equal(guarded, B.inline(graph, [x, y])[0])
    assert np.isfinite(guarded[0])
    plain = Plan(graph).run(B, [x, y]).results[0]
    assert np.isnan(plain[0])
    np.testing.assert_array_equal(plain[1:], guarded[1:])
