"""The transforms: what they must keep, whatever the graph."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import hypothesis
import numpy as np
import pytest
from hypothesis import settings

from engine import ops  # noqa: F401  # fills the registry
from engine.aval import FLOAT64, Array, Aval, aval_of
from engine.builder import EagerBuilder, GraphBuilder, Var, call
from engine.cost import cost_of
from engine.graph import CONSTANT, INPUT, Graph, single, typecheck
from engine.op import registry
from engine.ops.pointwise.elementwise import Elementwise
from engine.specialize import Typed, input_arrays, specialize
from engine.transforms.pull import depends_on, pull, vjp_graph
from engine.transforms.push import jvp_graph, push
from engine.transforms.simplify import simplify
from engine.transforms.vmap import map_graph, vmap
from tests.engine.helpers import given, near, program_of
from tests.engine.test_random_graphs import Case, cases

PROGRAMS: dict[str, tuple[str, dict[str, Any]]] = {
    "scalars": ("a = x * y + sin(x)\nb = exp(a) / y\nb**2 * a, b", {"x": 0.7, "y": 1.3}),
    "arrays": ("h = tanh(A @ x + b)\nsum(h * h) * c, h", {"A": [[1, 2], [3, -1]], "x": [0.3, -0.2], "b": [0.1, 0.4], "c": 2}),
    "shapes": ("t = reshape(x, (3, 2)).T\nconcat([t[0], t[1, ::2]]) * 2", {"x": [1, 2, 3, 4, 5, 6]}),
    "reductions": (
        "s = softmax(x, axis=0)\nlogsumexp(x) + sum(s[0] * var(x, axis=0)), prod(x)", {"x": [[0.3, 1.2], [0.7, -0.4]]}),
    "results": ("a, b = split(x, 2)\nc = maximum(a, b)\nwhere(a > b, c * a, b)", {"x": [0.2, 0.9, 0.5, -0.3]}),
    "statistics": ("z = (x - mean(x)) / std(x)\nnorm(z * w) + cumsum(z)[1]", {"x": [0.3, 1.7, -0.4], "w": [1, 2, 3]}),
    "powers": ("x**3 + x**0.5 + abs(x)**y", {"x": [0.4, 1.6], "y": [2.5, 0.3]}),
}  # fmt: skip


def typed_program(name: str) -> tuple[Typed, list[Array]]:
    """The typed graph of a program, and its arguments."""
    text, at = PROGRAMS[name]
    program = program_of(text)
    arrays, _ = input_arrays(program, {k: given(v) for k, v in at.items()}, "float64")
    typed = specialize(program, {k: aval_of(v) for k, v in arrays.items()})
    return typed, [arrays[program.steps[i].id] for i in program.inputs]


def run(graph: Graph, arguments: Sequence[Any]) -> list[Array]:
    """A graph's results."""
    with np.errstate(all="ignore"):
        return [np.asarray(v) for v in EagerBuilder("float64").inline(graph, arguments)]


def check_types(graph: Graph) -> None:
    """`typecheck`, in the bodies of loops and choices too."""
    typecheck(graph)
    for node in graph.nodes:
        for _, value in node.params:
            if isinstance(value, Graph):
                check_types(value)


def numbers(avals: Sequence[Aval], start: float) -> list[Array]:
    """Arrays without a pattern."""
    return [np.cos(start + 1.3 * k + 0.7 * np.arange(a.size)).reshape(a.shape) for k, a in enumerate(avals)]


def numpy_scalars(*values: float) -> list[Any]:
    """Arguments of a graph of scalars."""
    return [np.float64(v) for v in values]


def inner(x: Sequence[Array], y: Sequence[Array]) -> float:
    """⟨x, y⟩ over lists of arrays."""
    return float(sum(np.sum(a * b) for a, b in zip(x, y, strict=True)))


# ------------------------------------------------------------------------------------------------------ derived graphs


def check_derived(graph: Graph, arguments: Sequence[Array]) -> None:
    """Every graph that the transforms make of this one is well typed, and simplification changes none of its values."""
    check_types(graph)
    derived = {
        "jvp": jvp_graph(graph, graph.inputs, "float64"),
        "vjp": vjp_graph(graph, graph.outputs, graph.inputs, "float64"),
        "map": map_graph(graph, 3, [0] * len(graph.inputs), "float64"),
        "map of the last axis": map_graph(graph, 3, [len(a.shape) for a in graph.in_avals], "float64"),
        "map of one": map_graph(graph, 3, [0, *[None] * (len(graph.inputs) - 1)], "float64"),
        "map of none": map_graph(graph, 3, [None] * len(graph.inputs), "float64"),
    }
    for outer, inside in [(o, i) for o in ("jvp", "vjp") for i in ("jvp", "vjp", "map")]:
        g = derived[inside]
        derived[f"{outer} of {inside}"] = (
            jvp_graph(g, g.inputs, "float64")
            if outer == "jvp"
            else vjp_graph(g, g.outputs, g.inputs, "float64")
        )
    g = derived["vjp"]
    derived["map of vjp"] = map_graph(g, 2, [0] * len(g.inputs), "float64")
    for what, d in derived.items():
        check_types(d)
        simple = simplify(d, "float64")
        check_types(simple)
        assert simple.in_avals == d.in_avals, what
        assert simple.out_avals == d.out_avals, what
        at = (
            [*arguments, *numbers(d.in_avals[len(arguments) :], 0.4)]
            if "map" not in what
            else numbers(d.in_avals, 0.9)
        )
        for before, after in zip(run(d, at), run(simple, at), strict=True):
            np.testing.assert_array_equal(before, after, what)


@pytest.mark.parametrize("name", PROGRAMS)
def test_nodes_keep_their_positions(name: str) -> None:
    typed, _ = typed_program(name)
    graph = typed.graph
    for derived in (
        jvp_graph(graph, graph.inputs, "float64"),
        vjp_graph(graph, graph.outputs, graph.inputs, "float64"),
    ):
        assert derived.nodes[: len(graph.nodes)] == graph.nodes
        assert derived.inputs[: len(graph.inputs)] == graph.inputs
        assert derived.outputs[: len(graph.outputs)] == graph.outputs


def check_transposes(graph: Graph, arguments: Sequence[Array]) -> None:
    """⟨ȳ, J ẋ⟩ = ⟨Jᵀ ȳ, ẋ⟩, for the graph and for its derivative."""
    n = len(graph.outputs)
    tangents, cotangents = numbers(graph.in_avals, 0.3), numbers(graph.out_avals, 1.9)
    forward = run(jvp_graph(graph, graph.inputs, "float64"), [*arguments, *tangents])[n:]
    backward = run(vjp_graph(graph, graph.outputs, graph.inputs, "float64"), [*arguments, *cotangents])[n:]
    assert inner(cotangents, forward) == pytest.approx(inner(backward, tangents), rel=1e-11, abs=1e-12)
    # The same for second derivatives: the derivative of the backward walk, transposed.
    g = vjp_graph(graph, graph.outputs, graph.inputs, "float64")
    g = g.with_outputs(g.outputs[n:])
    at = [*arguments, *cotangents]
    tangents, weights = numbers(g.in_avals, 0.8), numbers(g.out_avals, 2.1)
    forward = run(jvp_graph(g, g.inputs, "float64"), [*at, *tangents])[len(g.outputs) :]
    backward = run(vjp_graph(g, g.outputs, g.inputs, "float64"), [*at, *weights])[len(g.outputs) :]
    assert inner(weights, forward) == pytest.approx(inner(backward, tangents), rel=1e-10, abs=1e-11)


def check_eager(graph: Graph, arguments: Sequence[Array]) -> None:
    """The walks over arrays give what the graphs that they write give."""
    nodes, n = graph.nodes, len(graph.nodes)
    b = EagerBuilder("float64")
    refs: list[Any] = [None] * n
    for i, value in zip(graph.inputs, arguments, strict=True):
        refs[i] = value
    for i, node in enumerate(nodes):
        if node.op is not INPUT:
            refs[i] = b.emit(node.op, [refs[j] for j in node.inputs], node.params)
    cotangents, tangents = numbers(graph.out_avals, 1.1), numbers(graph.in_avals, 0.2)
    adj: list[Any] = [None] * n
    for i, ct in zip(graph.outputs, cotangents, strict=True):
        adj[i] = ct
    pull(b, nodes, refs, adj, depends_on(nodes, graph.inputs), range(n - 1, -1, -1))
    dots: list[Any] = [None] * n
    for i, t in zip(graph.inputs, tangents, strict=True):
        dots[i] = t
    push(b, nodes, refs, dots)
    back = run(vjp_graph(graph, graph.outputs, graph.inputs, "float64"), [*arguments, *cotangents])
    there = run(jvp_graph(graph, graph.inputs, "float64"), [*arguments, *tangents])
    m = len(graph.outputs)
    for i, expected in zip(graph.inputs, back[m:], strict=True):
        near(np.zeros(expected.shape) if adj[i] is None else adj[i], expected, 1e-15, 1e-15)
    for i, expected in zip(graph.outputs, there[m:], strict=True):
        near(np.zeros(expected.shape) if dots[i] is None else dots[i], expected, 1e-15, 1e-15)


def check_idempotent(graph: Graph) -> None:
    """Simplified once is simplified."""
    g = vjp_graph(graph, graph.outputs, graph.inputs, "float64")
    for derived in (
        graph,
        g,
        jvp_graph(g, g.inputs, "float64"),
        map_graph(g, 2, [0] * len(g.inputs), "float64"),
    ):
        once = simplify(derived, "float64")
        assert simplify(once, "float64") == once
        assert len(once.nodes) <= len(derived.nodes)


CHECKS: dict[str, Callable[[Graph, Sequence[Array]], None]] = {
    "derived graphs are well typed": check_derived,
    "the walks are transposes": check_transposes,
    "eager equals graph": check_eager,
    "simplification is idempotent": lambda graph, arguments: check_idempotent(graph),
}


@pytest.mark.parametrize("name", PROGRAMS)
@pytest.mark.parametrize("check", CHECKS)
def test_programs(check: str, name: str) -> None:
    typed, arguments = typed_program(name)
    CHECKS[check](typed.graph, arguments)


@settings(max_examples=25)
@hypothesis.given(cases(steps=6))
@pytest.mark.parametrize("check", CHECKS)
def test_random_graphs(check: str, case: Case) -> None:
    program = program_of(case.document)
    typed = specialize(program, {k: aval_of(v) for k, v in case.inputs.items()})
    CHECKS[check](typed.graph, [case.inputs[program.steps[i].id] for i in program.inputs])


@pytest.mark.parametrize("name", PROGRAMS)
def test_map_over_any_axis_is_a_loop(name: str) -> None:
    typed, arguments = typed_program(name)
    graph = typed.graph
    for shift in (0, -1):
        axes = [len(a.shape) if shift else 0 for a in graph.in_avals]
        stacks = [np.stack([a, a * 1.1, a * 0.9], axis) for a, axis in zip(arguments, axes, strict=True)]
        got = run(map_graph(graph, 3, axes, "float64"), stacks)
        for k in range(3):
            own = run(graph, [np.take(s, k, axis) for s, axis in zip(stacks, axes, strict=True)])
            for g, o in zip(got, own, strict=True):
                near(g[k], o, 1e-13, 1e-13)


def test_map_of_nothing_mapped_computes_once() -> None:
    typed, arguments = typed_program("arrays")
    graph = typed.graph
    mapped, leads = vmap(graph, 5, [False] * len(graph.inputs), "float64")
    assert leads == (False, False)
    for got, expected in zip(run(mapped, arguments), run(graph, arguments), strict=True):
        np.testing.assert_array_equal(got, expected)


# --------------------------------------------------------------------------------------------------------- simplify


def built(write: Callable[[Any], Any], avals: Sequence[Aval] = (FLOAT64, FLOAT64)) -> Graph:
    """A graph written with Vars over inputs."""
    b = GraphBuilder("float64")
    out = write(*[Var(b, b.input(a)) for a in avals])
    return b.build([v.ref for v in (out if isinstance(out, list) else [out])])


def minus(x: Var) -> Var:
    """−x."""
    return -x


SPECIAL = [np.nan, np.inf, -np.inf, 0.0, -0.0, 1.5, -2.0, 5e-324, 1e308]

KEPT: dict[str, Callable[[Any, Any], Any]] = {
    "0·exp(x)": lambda x, y: call(x.b, "exp", x) * 0,
    "x·0": lambda x, y: x * 0,
    "x / x": lambda x, y: x / x,
    "x − x": lambda x, y: x - x,
    "x + 0": lambda x, y: x + 0.0,
    "x − 0": lambda x, y: x - 0.0,
    "0 − x": lambda x, y: 0.0 - x,
    "x + (−0)": lambda x, y: x + (-0.0),
    "x·1": lambda x, y: x * 1,
    "1·x": lambda x, y: 1 * x,
    "x·(−1)": lambda x, y: x * -1,
    "−(−x)": lambda x, y: minus(minus(x)),
    "−(−(−x))": lambda x, y: minus(minus(minus(x))),
    "x / 1": lambda x, y: x / 1,
    "x¹": lambda x, y: x**1,
    "x⁰": lambda x, y: x**0,
    "x·y − y·x": lambda x, y: x * y - y * x,
    "equal nodes": lambda x, y: (x + y) * (x + y),
    "constants": lambda x, y: x + call(x.b, "log", x.b.var(0.0)) * 0,
    "minimum and maximum": lambda x, y: call(x.b, "maximum", x, y) + call(x.b, "minimum", x, y),
    "slopes of two signs": lambda x, y: call(x.b, "leaky_relu", x, 0.0) / call(x.b, "leaky_relu", x, -0.0),
}


@pytest.mark.parametrize("name", KEPT)
def test_simplification_keeps_every_bit(name: str) -> None:
    graph = built(KEPT[name])
    simple = simplify(graph, "float64")
    check_types(simple)
    for x in SPECIAL:
        for y in SPECIAL:
            (before,), (after,) = run(graph, numpy_scalars(x, y)), run(simple, numpy_scalars(x, y))
            np.testing.assert_array_equal(before, after, f"{name} at {x}, {y}")
            assert np.isnan(before) or np.signbit(before) == np.signbit(after), f"{name} at {x}, {y}"


def test_simplification_keeps_inputs_and_their_order() -> None:
    graph = built(lambda x, y, z: [z * 2, x], [FLOAT64, Aval((2,), "float64"), FLOAT64])
    simple = simplify(graph, "float64")
    assert simple.in_avals == graph.in_avals
    assert [dict(simple.nodes[i].params)["index"] for i in simple.inputs] == [0, 1, 2]
    assert simple.outputs[1] == simple.inputs[0]
    assert [n.op for n in simple.nodes].count(INPUT) == 3


def test_what_simplification_removes() -> None:
    pair = Aval((2, 3), "float64")

    def core(graph: Graph) -> list[str]:
        return [n.op.name for n in simplify(graph, "float64").nodes if n.op is not INPUT]

    assert core(built(lambda x, y: (x + y) * (x + y))) == ["add", "multiply"]
    assert core(built(lambda x, y: [x + y, x + y])) == ["add"]
    assert core(built(lambda x, y: [x + y, y + x])) == ["add", "add"]
    assert core(built(lambda x, y: minus(minus(x)))) == []
    assert core(built(lambda x, y: x * 1)) == []
    assert core(built(lambda x, y: x)) == []
    assert core(built(lambda x: x.reshape((3, 2)).reshape((6,)), [pair])) == ["reshape"]
    assert core(built(lambda x: x.reshape((3, 2)).reshape((2, 3)), [pair])) == []
    assert core(built(lambda x, y: x + call(x.b, "exp", x.b.var(0.0)))) == ["core.constant", "add"]
    large = core(built(lambda x, y: call(x.b, "exp", call(x.b, "zeros", shape=(1000,)))))
    assert "exp" in large, "a large constant is not written out"
    both = built(lambda x, y: [x + y * 0.0, x + y * -0.0])
    assert len([n for n in simplify(both, "float64").nodes if n.op is CONSTANT]) == 2


def test_builders_never_share_nodes() -> None:
    graph = built(lambda x, y: (x + y) * (x + y))
    assert [n.op.name for n in graph.nodes[2:]] == ["add", "add", "multiply"]


# -------------------------------------------------------------------------------------------- elementwise ops by builder


def elementwise_ops() -> Iterator[Elementwise]:
    """The elementwise ops of the core that have formulas."""
    for op in registry.everything():
        if isinstance(op, Elementwise) and not op.boolean and not op.masks:
            yield op


@pytest.mark.parametrize("op", list(elementwise_ops()), ids=lambda op: op.name)
def test_compiled_formulas_equal_written_ones(op: Elementwise) -> None:
    """An eager walk computes a formula as one function, a graph writes it node by node: to the same bits."""
    n = len(op.rules)
    values = [-np.inf, -2.0, -0.0, 0.0, 0.5, 1.0, 3.0, np.inf, np.nan]
    grid = [np.asarray(v) for v in np.meshgrid(*[values] * min(n, 2))] if n > 1 else [np.asarray(values)]
    grid = [*grid, *[np.full(grid[0].shape, 0.7)] * (n - len(grid))]
    avals = [Aval(grid[0].shape, "float64")] * n
    b = GraphBuilder("float64")
    refs = [b.input(a) for a in avals]
    out = b.emit(op, refs)
    graph = b.build([out])
    with np.errstate(all="ignore"):
        y = op.evaluate(*grid)
        for ct in (np.zeros(grid[0].shape), np.ones(grid[0].shape), np.full(grid[0].shape, -0.5)):
            expected = run(vjp_graph(graph, [out], refs, "float64"), [*grid, ct])[1:]
            adj: list[Any] = [*[None] * n, ct]
            pull(EagerBuilder("float64"), graph.nodes, [*grid, y], adj, [True] * (n + 1), [n])
            for k in range(n):
                got = adj[k] if adj[k] is not None else np.zeros(grid[0].shape)
                np.testing.assert_array_equal(
                    np.broadcast_to(got, grid[0].shape), expected[k], f"{op.name}, operand {k}"
                )


# ------------------------------------------------------------------------------------------------------------- costs


def test_costs_count_what_runs() -> None:
    typed, _ = typed_program("arrays")
    cost = cost_of(typed.graph)
    assert cost.nodes == len(typed.graph.schedule)
    assert cost_of(typed.graph, keep=True).bytes >= cost.bytes
    twice = map_graph(typed.graph, 100, [0] * len(typed.graph.inputs), "float64")
    assert cost_of(twice).flops == pytest.approx(100 * cost.flops, rel=0.5)
    assert single(typed.graph.nodes[0].aval).nbytes <= cost.bytes


def test_costs_count_memory_that_is_alive_at_one_time() -> None:
    def chain(x: Var) -> Var:
        for _ in range(50):
            x = x * x
        return x

    graph = built(chain, [Aval((1000,), "float64")])
    assert 16_000 <= cost_of(graph).bytes <= 24_000
    assert cost_of(graph, keep=True).bytes == 51 * 8000


def test_general_rules_are_turned_round_on_the_spot() -> None:
    # x + 1 and x share a tangent; their cotangents are their own.
    graph = built(lambda x, y: (x + 1) * x)
    (shifted,) = [i for i, n in enumerate(graph.nodes) if n.op.name == "add"]
    derived = vjp_graph(graph, graph.outputs, [shifted, graph.inputs[0]], "float64")
    assert [float(v) for v in run(derived, numpy_scalars(3, 0, 1))[1:]] == [3, 7]
