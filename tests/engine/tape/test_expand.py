"""Graphs of arrays entry by entry: every op's examples, on both machines, against the eager executor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from scipy.optimize import rosen, rosen_der

from engine.aval import Aval
from engine.builder import GraphBuilder, Var, call
from engine.errors import EngineError
from engine.graph import Graph
from engine.op import Op, Zero, registry
from engine.ops.control.while_loop import while_core
from engine.ops.layout.shape import slice_axis
from engine.tape import Expanded, expand, expanded_of, machine
from engine.transforms.pull import vjp_graph
from engine.transforms.push import jvp_graph
from engine.transforms.simplify import simplify
from engine.transforms.vmap import map_graph
from tests.engine.conformance.cases import Case, cases
from tests.engine.conformance.computing import compute
from tests.engine.references import REFERENCES

MUST = {
    "sum", "max", "min", "matmul", "cumsum", "cumprod", "logsumexp", "softmax", "log_softmax", "vector_norm", "gather",
    "scatter_add", "scatter_set", "reshape", "broadcast_to", "permute_dims", "concat", "windows", "overlap_add", "prod",
    "mean", "var", "std", "einsum", "dot", "tensordot", "outer", "trace", "diag", "tril", "roll", "flip", "pad", "tile",
    "stack", "getitem", "layer_norm", "linear", "any", "all", "cumulative_logsumexp", "where", "clip", "norm", "cross_entropy",
}  # fmt: skip
"""Ops of which at least one example is expanded: what loses its entries is noticed."""


OPS = [pytest.param(op, id=op.name) for op in registry if op.examples or op.name in REFERENCES]


def graph_of(case: Case) -> Graph | None:
    try:
        return case.graph()
    except EngineError:
        return None


def near(got: Sequence[Any], expected: Sequence[Any], what: str, ulps: float = 64) -> None:
    assert len(got) == len(expected)
    for g, e in zip(got, expected, strict=True):
        g, e = np.asarray(g), np.asarray(e)
        assert g.shape == e.shape, what
        assert g.dtype == e.dtype, what
        if g.dtype.kind != "f":
            np.testing.assert_array_equal(g, e, what)
            continue
        scale = np.abs(e).max(initial=0.0)
        np.testing.assert_allclose(g, e, rtol=ulps * 2.3e-16, atol=ulps * 2.3e-16 * scale, err_msg=what)


def moving(graph: Graph) -> tuple[list[int], list[int]]:
    """Floating inputs and results, by position."""
    return [k for k, a in enumerate(graph.in_avals) if a.floating], [
        k for k, a in enumerate(graph.out_avals) if a.floating
    ]


def check(graph: Graph, arrays: Sequence[Any], expanded: Expanded, smooth: bool, rng: Any) -> None:
    """Values and first derivatives; where the entries say that they may be wrong, nothing is asked of them."""
    results, suspicious = expanded.values(arrays)
    try:
        expected = compute(graph, arrays)
    except EngineError:
        assert suspicious
        return
    if any(not np.isfinite(v).all() for v in expected if np.asarray(v).dtype.kind == "f"):
        assert suspicious
    if suspicious:
        return
    near(results, expected, "values")
    ins, outs = moving(graph)
    if not ins or not outs:
        return
    at = expanded.linearize(arrays)
    if at.suspicious:
        return
    near(at.results, expected, "values of linearize")
    if at.kinked:
        return
    cotangents = {k: rng.normal(size=graph.out_avals[k].shape) for k in outs}
    tangents = {k: rng.normal(size=graph.in_avals[k].shape) for k in ins}
    back = vjp_graph(
        graph.with_outputs(()), [graph.outputs[k] for k in outs], [graph.inputs[k] for k in ins], "float64"
    )
    wanted = compute(back, [*arrays, *cotangents.values()])
    got = at.vjp(cotangents)
    forth = jvp_graph(graph, [graph.inputs[k] for k in ins], "float64")
    pushed = compute(forth, [*arrays, *tangents.values()])[len(graph.outputs) :]
    dots = at.jvp(tangents)
    if at.suspicious:
        return
    near([got[k] for k in ins], wanted, "cotangents", 1e4)
    near([dots[k] for k in outs], [pushed[k] for k in outs], "tangents", 1e4)
    whole = expanded.gradient(arrays, cotangents)
    near([whole.gradients[k] for k in ins], [got[k] for k in ins], "gradient", 0)
    near(whole.results, results, "values of gradient", 0)
    for k in outs:
        blocks = at.jacobian(k, ins)
        for m, block in zip(ins, blocks, strict=True):
            assert block.shape == graph.out_avals[k].shape + graph.in_avals[m].shape
        only = at.vjp({k: cotangents[k]})
        for m, block in zip(ins, blocks, strict=True):
            weights = cotangents[k]
            size = np.tensordot(np.abs(weights), np.abs(block), np.ndim(weights))
            off = np.abs(np.tensordot(weights, block, np.ndim(weights)) - only[m])
            assert (off <= 1e-12 * size + 1e-14).all()


@pytest.mark.parametrize("op", OPS)
def test_examples_are_what_the_eager_executor_makes_of_them(op: Op, on: str) -> None:
    rng = np.random.default_rng(1)
    done = 0
    for case in cases(op, REFERENCES.get(op.name)):
        graph = graph_of(case)
        if graph is None:
            continue
        expanded = expand(graph)
        if expanded is None:
            continue
        done += 1
        check(graph, case.arrays, expanded, case.smooth, rng)
        ins, outs = moving(graph)
        if not ins or not outs or not case.smooth:
            continue
        try:
            back = vjp_graph(
                graph.with_outputs(()),
                [graph.outputs[k] for k in outs],
                [graph.inputs[k] for k in ins],
                "float64",
            )
        except EngineError:
            continue
        second = simplify(back, "float64")
        further = expand(second)
        if further is not None:
            cotangents = [rng.normal(size=graph.out_avals[k].shape) for k in outs]
            check(second, [*case.arrays, *cotangents], further, case.smooth, rng)
    assert done or op.name not in MUST


@pytest.mark.parametrize("op", OPS)
def test_no_kink_is_missed(op: Op, native: Any) -> None:
    """Where an op says that its convention was used, the entries have a kink, or are not finite."""
    for case in cases(op, REFERENCES.get(op.name)):
        graph = graph_of(case)
        expanded = None if graph is None else expand(graph)
        if graph is None or expanded is None:
            continue
        active = _active(graph)
        try:
            values = _all_values(graph, case.arrays)
        except EngineError:
            continue
        at = expanded.linearize(case.arrays)
        if at.suspicious or at.kinked:
            continue
        back = at.vjp({k: np.ones(graph.out_avals[k].shape) for k in moving(graph)[1]})
        if at.suspicious or not back:
            continue
        for i, (node, y) in enumerate(zip(graph.nodes, values, strict=True)):
            if not active[i] or node.op.subgraphs or type(node.op).kink is Op.kink:
                continue
            if all(isinstance(node.op.rule(k), Zero) for k in range(len(node.inputs))):
                continue
            with np.errstate(all="ignore"):
                mask = node.op.kink([values[j] for j in node.inputs], y, **dict(node.params))
            assert mask is None or not np.any(mask), f"{case.label}: {node.op.name}"


def _active(graph: Graph) -> list[bool]:
    """Nodes that depend on a floating input and on which a floating result depends."""
    needed = [False] * len(graph.nodes)
    for o in graph.outputs:
        needed[o] = True
    for i in range(len(graph.nodes) - 1, -1, -1):
        if needed[i]:
            for j in graph.nodes[i].inputs:
                needed[j] = True
    reached = [i in graph.inputs and graph.nodes[i].aval.floating for i in range(len(graph.nodes))]  # type: ignore[union-attr]  # inputs have one aval
    for i, node in enumerate(graph.nodes):
        reached[i] = reached[i] or any(reached[j] for j in node.inputs)
    return [n and r for n, r in zip(needed, reached, strict=True)]


def _all_values(graph: Graph, arrays: Sequence[Any]) -> list[Any]:
    return compute(graph.with_outputs(range(len(graph.nodes))), arrays)


# ---------------------------------------------------------------------------------------------------------------- programs


def written(shapes: Sequence[tuple[int, ...]], write: Any) -> Graph:
    b = GraphBuilder()
    y = write(*[Var(b, b.input(Aval(s, "float64"))) for s in shapes])
    return b.build([y.ref])


def logistic(w: Var, x: Var) -> Var:
    z = call(w.b, "matmul", x, w)
    return call(w.b, "logaddexp", -z, 0.0).sum()


def rosenbrock(x: Var) -> Var:
    n = x.shape[0]
    a, b = slice_axis(x, -1, 1, n), slice_axis(x, -1, 0, n - 1)
    return (100.0 * call(x.b, "square", a - b * b) + call(x.b, "square", 1.0 - b)).sum()


@pytest.mark.parametrize("n", [2, 10, 100])
def test_rosenbrock(n: int, on: str) -> None:
    rng = np.random.default_rng(n)
    graph = written([(n,)], rosenbrock)
    expanded = expanded_of(graph)
    assert expanded_of(graph) is expanded
    if machine.expected():
        assert expanded is not None
    expanded = expand(graph)
    assert expanded is not None
    x = rng.normal(size=n)
    check(graph, [x], expanded, True, rng)
    got = expanded.gradient([x], {0: 1.0})
    np.testing.assert_allclose(got.results[0], rosen(x), rtol=1e-13)
    np.testing.assert_allclose(got.gradients[0], rosen_der(x), rtol=1e-11, atol=1e-11)


def test_a_loss_and_its_derivatives(on: str) -> None:
    graph = written([(3,), (8, 3)], logistic)
    rng = np.random.default_rng(0)
    arrays = [rng.normal(size=3), rng.normal(size=(8, 3))]
    expanded = expand(graph)
    assert expanded is not None
    check(graph, arrays, expanded, True, rng)
    back = simplify(vjp_graph(graph.with_outputs(()), graph.outputs, graph.inputs[:1], "float64"), "float64")
    further = expand(back)
    assert further is not None
    (hessian,) = further.linearize([*arrays, 1.0]).jacobian(0, [0])
    z = arrays[1] @ arrays[0]
    s = 1 / (1 + np.exp(-z))
    np.testing.assert_allclose(hessian, arrays[1].T @ ((s * (1 - s))[:, None] * arrays[1]), rtol=1e-13)


def test_both_machines_give_the_same_bits(native: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    graph = written(
        [(3,), (8, 3)], lambda w, x: call(w.b, "softmax", call(w.b, "matmul", x, w)).sum() + logistic(w, x)
    )
    rng = np.random.default_rng(0)
    arrays = [rng.normal(size=3), rng.normal(size=(8, 3))]
    expanded = expand(graph)
    assert expanded is not None
    fast = expanded.gradient(arrays, {0: 1.0})
    monkeypatch.setattr(machine.STATE, "native", None)
    slow = expanded.gradient(arrays, {0: 1.0})
    for p, q in zip([*fast.results, *fast.gradients], [*slow.results, *slow.gradients], strict=True):
        np.testing.assert_array_equal(p, q)


def test_mapped_graphs_and_empty_ones(on: str) -> None:
    rng = np.random.default_rng(0)
    graph = map_graph(written([(3,), (8, 3)], logistic), 4, [0, None], "float64")
    expanded = expand(graph)
    assert expanded is not None
    check(graph, [rng.normal(size=(4, 3)), rng.normal(size=(8, 3))], expanded, True, rng)
    nothing = written([(0,)], lambda x: x.sum())
    empty = expand(nothing)
    assert empty is not None
    check(nothing, [np.zeros(0)], empty, True, rng)


def test_what_is_not_expanded() -> None:
    def large(x: Var) -> Var:
        return call(x.b, "exp", x)

    assert expand(written([(5000,)], large)) is None
    assert expand(written([(5000,)], large), most=5000) is not None
    b = GraphBuilder("float32")
    x = Var(b, b.input(Aval((2,), "float32")))
    assert expand(b.build([(x + x).ref])) is None
    matrix = written([(2, 2)], lambda a: call(a.b, "inv", a))
    assert expand(matrix) is None
    b = GraphBuilder()
    v = Var(b, b.input(Aval((), "float64")))
    test, body = GraphBuilder(), GraphBuilder()
    cond = test.build([(Var(test, test.input(v.aval)) < 5.0).ref])
    step = body.build([(Var(body, body.input(v.aval)) + 1.0).ref])
    got = b.write(while_core, v, body=step, cond=cond, carries=1, batch=(), guarded=False)
    assert expand(b.build([got[0].ref])) is None


def test_what_is_large_is_left_to_arrays() -> None:
    def wide(x: Var) -> Var:
        return call(x.b, "exp", x).sum()

    assert expand(written([(1900,)], wide)) is not None
    assert expanded_of(written([(1900,)], wide)) is None


def test_integers_are_exact_or_suspicious(on: str) -> None:
    b = GraphBuilder()
    x = Var(b, b.input(Aval((2,), "int64")))
    graph = b.build([call(b, "multiply", x, x).ref, call(b, "add", x, x).ref])
    expanded = expand(graph)
    assert expanded is not None
    for value in ([3, -4], [2**26, 5]):
        (square, double), suspicious = expanded.values([np.array(value)])
        assert not suspicious
        np.testing.assert_array_equal(square, np.array(value) ** 2)
        np.testing.assert_array_equal(double, 2 * np.array(value))
    assert expanded.values([np.array([2**27 + 1, 1])])[1]
    assert expanded.values([np.array([2**53 + 1, 1])])[1]


def test_where_the_other_branch_is_not_finite_the_entries_say_so(on: str) -> None:
    graph = written([(3,)], lambda x: call(x.b, "where", x > 0.0, call(x.b, "log", x), 0.0))
    expanded = expand(graph)
    assert expanded is not None
    assert not expanded.values([np.array([1.0, 2.0, 3.0])])[1]
    assert expanded.values([np.array([1.0, 0.0, 3.0])])[1]
