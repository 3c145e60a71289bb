"""Sweeps over tapes of random graphs, on both machines, against the careful executor and graphs derived from graphs."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from engine.aval import BOOL, FLOAT64, INT64, Aval
from engine.builder import EagerBuilder, GraphBuilder
from engine.graph import Graph
from engine.tape import CODES, Tape, tape, tape_of
from engine.tape.machine import PLAIN, Native
from engine.transforms.pull import vjp_graph
from engine.transforms.push import jvp_graph
from engine.transforms.simplify import simplify
from tests.engine.tape.graphs import careful, random_graph

SEEDS = range(12)


def taped(graph: Graph) -> Tape:
    """The tape of a graph that has one."""
    found = tape_of(graph)
    assert found is not None
    return found


def agree(got: np.ndarray, expected: np.ndarray) -> None:
    """Nearly equal: sums may be taken in another order, and where they cancel that is seen."""
    scale = np.max(np.abs(expected), initial=1e-300)
    np.testing.assert_allclose(got, expected, rtol=1e-11, atol=1e-14 * scale)


@pytest.mark.parametrize("seed", SEEDS)
def test_values_and_both_directions(on: str, seed: int) -> None:
    graph, at = random_graph(seed, 40 + 20 * seed)
    tape = taped(graph)
    reference = careful(graph, at)
    run = tape.linearize(at)
    assert not run.suspicious
    n, out = len(graph.nodes), graph.outputs[0]
    agree(run.v[:n], reference.values())
    assert run.v.tobytes() == tape.values(np.array(at)).v.tobytes()
    agree(run.reverse({out: 1.0})[:n], reference.reverse({out: 1.0}))
    middle = next(i for i in range(n // 2, n) if graph.nodes[i].aval == FLOAT64)
    agree(run.reverse({out: -0.5, middle: 2.0})[:n], reference.reverse({out: -0.5, middle: 2.0}))
    agree(run.forward({0: 1.0, 2: -2.0})[:n], reference.forward({0: 1.0, 2: -2.0}))
    whole = tape.gradient(at, {out: 1.0})
    assert whole.v.tobytes() == run.v.tobytes()
    assert whole.g.tobytes() == run.reverse(([out], [1.0])).tobytes()
    assert not whole.suspicious
    assert not run.suspicious
    assert np.all(run.reverse({out: 1.0})[tape.boolean] == 0)


@pytest.mark.parametrize("seed", SEEDS)
def test_machines_and_orders_agree_to_the_last_bit(
    native: Native, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tape, "LONG", 1)
    monkeypatch.setattr(tape, "OFTEN", 2)
    graph, at = random_graph(seed, 300)
    one = taped(graph)
    out = graph.outputs[0]
    answers = []
    for machine in (PLAIN, native, native, native, native):
        v, p, g = one.start(at), np.zeros(one.edge_count), np.zeros(len(one))
        g[out] = 1.0
        assert machine.gradient(one, v, p, g) == 0
        d = np.zeros(len(one))
        d[0] = 1.0
        machine.forward(one, p, d)
        answers.append((v.tobytes(), p.tobytes(), g.tobytes(), d.tobytes()))
    assert len(set(answers)) == 1
    assert one.countdown == 0
    place = one.order.place
    assert sorted(place) == list(range(len(one)))
    assert not np.array_equal(place, np.arange(len(one))), "no order was found"
    changes = np.count_nonzero(np.diff(one.order.ops)), np.count_nonzero(np.diff(one.ops))
    assert changes[0] < 0.85 * changes[1]


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("rows", [1, 5, 8, 19])
def test_many_sweeps_are_single_ones(on: str, seed: int, rows: int) -> None:
    graph, at = random_graph(seed, 120)
    one = taped(graph)
    run = one.linearize(at)
    ends = [i for i in range(len(graph.nodes)) if graph.nodes[i].aval == FLOAT64][-rows:]
    jacobian = run.reverse_many(ends, np.eye(rows), graph.inputs)
    assert jacobian.shape == (rows, len(graph.inputs))
    for row, end in zip(jacobian, ends, strict=True):
        assert row.tobytes() == run.reverse({end: 1.0})[list(graph.inputs)].tobytes()
    columns = run.forward_many(graph.inputs, np.eye(len(graph.inputs)), ends)
    for column, i in zip(columns, graph.inputs, strict=True):
        assert column.tobytes() == run.forward({i: 1.0})[ends].tobytes()
    np.testing.assert_allclose(columns.T, jacobian, rtol=1e-10, atol=1e-12 * np.abs(jacobian).max())
    seeds = np.random.default_rng(seed).normal(size=(rows, 2))
    everything = run.reverse_many(ends[:1] + ends[:1], seeds)
    assert everything.shape == (rows, len(one))
    np.testing.assert_allclose(everything[:, ends[0]], seeds.sum(axis=1))
    assert run.reverse_many(ends, np.zeros((0, rows))).shape == (0, len(one))


@pytest.mark.parametrize("seed", range(8))
def test_hessians(on: str, seed: int) -> None:
    graph, at = random_graph(
        seed, 60, without=["gammaln", "atan2"]
    )  # their derivatives hold digamma, and NaN
    out, inputs = graph.outputs[0], list(graph.inputs)
    gradient = simplify(vjp_graph(graph.with_outputs([out]), [out], inputs, "float64"), "float64")
    first = tape_of(gradient)
    assert first is not None, "a derivative of these ops is written with ops of the tape"
    run = first.linearize([*at, 1.0])
    assert not run.suspicious
    places = gradient.inputs[: len(at)]
    found = run.forward_many(places, np.eye(len(at)), gradient.outputs[1:])
    second = jvp_graph(gradient.with_outputs(gradient.outputs[1:]), places, "float64")
    expected = []
    for direction in np.eye(len(at)):
        with np.errstate(all="ignore"):
            results = EagerBuilder("float64").inline(second, [*map(np.float64, [*at, 1.0]), *direction])
        expected.append([float(x) for x in results[len(at) :]])
    scale = np.abs(expected).max()
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12 * scale)
    np.testing.assert_allclose(found, found.T, rtol=1e-8, atol=1e-11 * scale)


def chain(*ops: str) -> tuple[Graph, Tape]:
    """Ops of one operand, one after another."""
    b = GraphBuilder("float64")
    x = b.input(FLOAT64)
    for op in ops:
        x = b.core(op, x)
    graph = b.build([x])
    return graph, taped(graph)


@pytest.mark.parametrize(
    ("ops", "at"),
    [
        (("exp",), 1000.0),
        (("log",), 0.0),
        (("log",), -1.0),
        (("sqrt",), -1.0),
        (("reciprocal",), 0.0),
        (("square",), 1e200),
        (("gammaln",), -0.5),
        (("acos",), 1.5),
        (("identity",), float("nan")),
        (("identity",), float("inf")),
        (("reciprocal", "isfinite"), 0.0),
        (("log", "exp"), 0.0),  # finite in the end
        (("reciprocal", "tanh"), 0.0),
    ],
)
def test_values_that_are_not_finite_are_suspicious(on: str, ops: tuple[str, ...], at: float) -> None:
    graph, one = chain(*ops)
    assert one.values([at]).suspicious
    assert one.linearize([at]).suspicious
    assert one.gradient([at], {graph.outputs[0]: 1.0}).suspicious


@pytest.mark.parametrize("ops", [("sqrt",), ("cbrt",), ("square", "sqrt")])
def test_derivatives_that_are_not_finite_are_suspicious(on: str, ops: tuple[str, ...]) -> None:
    graph, one = chain(*ops)
    assert not one.values([0.0]).suspicious
    run = one.linearize([0.0])
    run.reverse({graph.outputs[0]: 1.0})
    assert run.suspicious
    run = one.linearize([0.0])
    run.forward({0: 1.0})
    assert run.suspicious
    run = one.linearize([0.0])
    run.reverse_many([graph.outputs[0]], [[1.0]], [0])
    assert run.suspicious
    assert one.gradient([0.0], {graph.outputs[0]: 1.0}).suspicious


def test_sweeps_that_overflow_are_suspicious(on: str) -> None:
    graph, one = chain(*["square"] * 3)
    run = one.linearize([1e20])
    assert not run.suspicious
    run.reverse({graph.outputs[0]: 1e300})
    assert run.suspicious
    run = one.linearize([1e20])
    run.forward_many([0], [[1.0], [1e300]], graph.outputs)
    assert run.suspicious


def test_kinks_are_counted(on: str) -> None:
    for op, kink in (("abs", 0.0), ("relu", 0.0)):
        _, one = chain(op)
        assert one.linearize([kink]).kinked
        assert not one.linearize([0.5]).kinked
        assert one.gradient([kink], {1: 1.0}).kinked


def test_arguments_of_all_kinds(on: str) -> None:
    b = GraphBuilder("float64")
    x, mask, y = b.input(FLOAT64), b.input(BOOL), b.input(FLOAT64)
    graph = b.build([b.core("where", mask, x, y)])
    one = taped(graph)
    for at in (
        [2.0, True, 3.0],
        [np.float64(2), np.True_, np.array(3.0)],
        np.array([2.0, 1.0, 3.0]),
        (2, 1, 3),
    ):
        run = one.linearize(at)
        assert run.v[-1] == 2.0
        assert list(run.reverse({graph.outputs[0]: 1.0})[:3]) == [1.0, 0.0, 0.0]
    assert list(one.boolean) == [False, True, False, False]


def test_inputs_need_not_lead(on: str) -> None:
    ops = np.array([0, 0, CODES["multiply"], 0, CODES["subtract"]], np.uint8)
    args = np.array([[0] * 3, [0] * 3, [0, 1, 0], [0] * 3, [2, 3, 0]], np.int32)
    one = Tape(ops, args, np.array([0.0, 10.0, 0, 0, 0]), [3, 0])
    run = one.linearize([4.0, 5.0])
    assert list(run.v) == [5.0, 10.0, 50.0, 4.0, 46.0]
    assert list(run.reverse({4: 1.0})) == [10.0, 5.0, 1.0, -1.0, 1.0]
    assert run.p.tolist()[2:] == [[10.0, 5.0, 0.0], [0.0] * 3, [1.0, -1.0, 0.0]]


def test_a_tape_of_leaves_only(on: str) -> None:
    one = Tape(np.zeros(2, np.uint8), np.zeros((2, 3), np.int32), np.array([0.0, 7.0]), [0])
    run = one.linearize([3.0])
    assert list(run.v) == [3.0, 7.0]
    assert list(run.reverse({1: 2.0})) == [0.0, 2.0]
    empty = Tape(np.zeros(0, np.uint8), np.zeros((0, 3), np.int32), np.zeros(0), [])
    assert empty.values([]).v.shape == (0,)


def test_arrays_that_disagree_are_refused() -> None:
    with pytest.raises(ValueError, match="must agree"):
        Tape(np.zeros(2, np.uint8), np.zeros((3, 3), np.int32), np.zeros(2), [0])


def test_what_has_no_tape() -> None:
    def graph(op: str, *avals: Aval, **params: object) -> Graph:
        b = GraphBuilder("float64")
        return b.build([b.core(op, *[b.input(a) for a in avals], **params)])

    assert tape_of(graph("add", Aval((2,), "float64"), Aval((2,), "float64"))) is None
    assert tape_of(graph("add", INT64, INT64)) is None
    assert tape_of(graph("add", Aval((), "float32"), Aval((), "float32"))) is None
    assert tape_of(graph("add", BOOL, BOOL)) is None  # a logical or
    assert tape_of(graph("multiply", BOOL, BOOL)) is None
    assert tape_of(graph("erfinv", FLOAT64)) is None
    assert tape_of(graph("spherical_ratio", FLOAT64, order=0)) is None
    assert tape_of(graph("less", BOOL, BOOL)) is not None
    assert tape_of(graph("multiply", FLOAT64, FLOAT64, strong=(0,))) is not None
    once = graph("add", FLOAT64, FLOAT64)
    assert tape_of(once) is tape_of(once)


def test_threads_share_a_tape(on: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tape, "LONG", 1)
    monkeypatch.setattr(tape, "OFTEN", 2)
    graph, at = random_graph(3, 400)
    one = taped(graph)
    out = graph.outputs[0]
    points = [[x * (1 + 1e-6 * k) for x in at] for k in range(8)]
    fresh = Tape(one.ops, one.args, one.leaves, list(graph.inputs))
    expected = [fresh.gradient(p, {out: 1.0}).g.tobytes() for p in points]
    wrong: list[int] = []

    def work(k: int) -> None:
        answers = [one.gradient(points[k], {out: 1.0}).g.tobytes() for _ in range(30)]
        wrong.extend(k for answer in answers if answer != expected[k])

    threads = [threading.Thread(target=work, args=(k,)) for k in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not wrong


def test_long_chains(on: str) -> None:
    n = 50_000
    ops = np.full(n, CODES["sin"], np.uint8)
    ops[0] = 0
    args = np.zeros((n, 3), np.int32)
    args[1:, 0] = np.arange(n - 1)
    one = Tape(ops, args, np.zeros(n), [0])
    run = one.gradient([1.0], {n - 1: 1.0})
    assert not run.suspicious
    np.testing.assert_allclose(run.g[0], np.prod(np.cos(run.v[:-1])), rtol=1e-9)
