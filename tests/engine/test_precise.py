"""High-precision arithmetic against the engine: the value of every op, and its gradient, at all examples of the catalogue."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

import engine.ops  # noqa: F401  # fills the registry
from engine.aval import aval_of
from engine.builder import GraphBuilder
from engine.compare.precise.differences import Reference, reference, spread
from engine.compare.precise.evaluator import Evaluator
from engine.compare.precise.numbers import Arithmetic, Unavailable
from engine.errors import DeadlineExceeded, EngineError
from engine.execute.meter import Meter
from engine.graph import Graph, single
from engine.op import Op, registry
from engine.specialize import input_arrays, specialize
from engine.transforms.pull import vjp_graph
from tests.engine.conformance import structural
from tests.engine.conformance.cases import Case, cases, domain_cases
from tests.engine.conformance.computing import compute
from tests.engine.helpers import given, program_of
from tests.engine.references import REFERENCES

OPS = [op for op in registry if not structural(op)]

NO_COUNTERPART = {
    "svd": 2, "qr": 1,  # completed with vectors that are not unique
    "i0e": 1, "i1e": 1, "ive": 1, "k0e": 1, "k1e": 1, "kve": 1, "zeta": 1,  # an argument beyond 10⁶
}  # fmt: skip
"""How many examples of an op have no high-precision value; all others have one."""

SIGNED_ZEROS = {"signbit"}
"""Ops that tell −0 from 0, which mpmath does not."""


def all_cases(op: Op) -> list[tuple[Case, Graph, list[Any]]]:
    """Calls of an op that have a value, with their graphs and that."""
    found = []
    rng = np.random.default_rng(0)
    known = REFERENCES.get(op.name)
    for case in [*cases(op, known), *domain_cases(op, known, rng)]:
        try:
            graph = case.graph()
            found.append((case, graph, compute(graph, case.arrays)))
        except EngineError:
            continue
    return found


@pytest.mark.parametrize("op", OPS, ids=[op.name for op in OPS])
def test_values_are_those_of_the_engine(op: Op) -> None:
    missing = 0
    for case, graph, expected in all_cases(op):
        arithmetic = Arithmetic(60, Meter(), 3e7)
        try:
            found = Evaluator(graph, arithmetic).first(case.arrays)
        except Unavailable:
            missing += 1
            continue
        for got, value in zip(found, map(np.asarray, expected), strict=True):
            rounded = arithmetic.rounded(got)
            assert rounded.shape == value.shape
            if value.dtype.kind != "f":
                assert np.array_equal(rounded, value) or op.name in SIGNED_ZEROS, case.label
                continue
            # What doubles lose themselves is measured by the largest entry.
            size = max(1.0, float(np.abs(value[np.isfinite(value)]).max(initial=0.0)))
            np.testing.assert_allclose(rounded, value, rtol=1e-11, atol=2e-15 * size, err_msg=case.label)
    assert missing == NO_COUNTERPART.get(op.name, 0)


def objective(graph: Graph) -> Graph | None:
    """A weighted sum of all floating results."""
    rng = np.random.default_rng(1)
    b = GraphBuilder.on(graph, "float64")
    total: int | None = None
    for o in graph.outputs:
        aval = single(graph.nodes[o].aval)
        if aval.floating and aval.size:
            term = b.core("multiply", b.constant(rng.uniform(0.5, 1.5, aval.shape)), o)
            if aval.shape:
                term = b.core("sum", term, axes=tuple(range(-aval.rank, 0)))
            total = term if total is None else b.core("add", total, term)
    return None if total is None else b.build([total])


def compared(graph: Graph, arrays: list[Any]) -> tuple[Reference, np.ndarray]:
    """The reference of a scalar by its floating inputs, and reverse mode's gradient."""
    rows = [k for k, i in enumerate(graph.inputs) if single(graph.nodes[i].aval).floating]
    back = vjp_graph(graph, graph.outputs, [graph.inputs[r] for r in rows], "float64")
    _, *parts = compute(back, [*arrays, np.ones(())])
    gradient = np.concatenate([np.asarray(p, np.float64).reshape(-1) for p in parts] or [np.zeros(0)])
    given = [np.asarray(a) for a in arrays]
    return reference(graph, given, rows, [np.abs(given[r]) for r in rows], Meter(), str), gradient


@pytest.mark.parametrize("op", OPS, ids=[op.name for op in OPS])
def test_gradients_are_those_of_reverse_mode(op: Op) -> None:
    if op.name in ("custom_vjp", "custom_jvp"):
        return  # whose rules need not be derivatives
    for case, graph, _ in all_cases(op)[:4]:
        whole = objective(graph)
        if not case.smooth or whole is None or sum(np.size(a) for a in case.arrays) > 60:
            continue
        try:
            found, gradient = compared(whole, case.arrays)
        except Unavailable as error:
            if op.name in NO_COUNTERPART or "value itself is not finite" in error.reason:
                continue
            raise
        assert found.digits >= 20
        assert found.error(gradient) < 1e-9, (case.label, gradient, found.rounded())


def of_text(text: str, inputs: dict[str, Any]) -> tuple[Graph, list[Any]]:
    """The first output of a program as a graph, and its arguments."""
    program = program_of(text, inputs)
    arrays, _ = input_arrays(program, {k: given(v) for k, v in inputs.items()}, "float64", 20)
    typed = specialize(program, {n: aval_of(a) for n, a in arrays.items()})
    graph = typed.graph.with_outputs([typed.node(program.outputs[0])])
    return graph, [arrays[program.steps[i].id] for i in program.inputs]


@pytest.mark.parametrize(
    ("text", "inputs", "expected"),
    [
        ("abs(x) + y", {"x": 0.0, "y": 2.0}, [np.nan, 1]),
        ("relu(x)*y", {"x": -1.0, "y": 2.0}, [0, 0]),
        ("maximum(x, y)", {"x": 2.0, "y": 2.0}, [np.nan, np.nan]),
        ("floor(x) + y", {"x": 2.0, "y": 2.0}, [np.nan, 1]),
        ("x**4 + y**3", {"x": 0.0, "y": 0.0}, [0, 0]),  # stationary: nothing but truncation
        ("(x - 1)**2*y", {"x": 1.0, "y": 3.0}, [0, 0]),
        (
            "erf(x) + exp(y)",
            {"x": 1e-300, "y": 0.0},
            [2 / np.sqrt(np.pi), 1],
        ),  # swallowed by rounding at first
        ("x*1e-200 + y", {"x": 1e-200, "y": 1.0}, [1e-200, 1]),
        ("sin(x*1e12) + y", {"x": 1.0, "y": 1.0}, [1e12 * np.cos(1e12), 1]),
        ("stop_gradient(x)*x*y", {"x": 3.0, "y": 2.0}, [6, 9]),
        ("for i in range(3):\n    x = x*stop_gradient(x)\nx + 0*y", {"x": 3.0, "y": 1.0}, [3.0**7, 0]),
        ("while x < 100:\n    x = x*x*y\nx", {"x": 2.0, "y": 3.0}, [864, 432]),
        ("for i in range(200):\n    x = x*x\nlog(x) + y", {"x": 1.5, "y": 0.0}, [2.0**200 / 1.5, 1]),
        ("x if x > y else x*x", {"x": 3.0, "y": 2.0}, [1, 0]),
    ],
)
def test_where_derivatives_are_hard(text: str, inputs: dict[str, float], expected: list[float]) -> None:
    graph, arrays = of_text(text, inputs)
    found = reference(graph, arrays, [0, 1], [np.abs(a) for a in arrays], Meter(), str)
    assert len(found.entries) == 2
    # Entries are known beside the largest one: to 24 digits of that.
    np.testing.assert_allclose(found.rounded(), expected, rtol=1e-14, atol=1e-24)
    assert found.digits >= 20


def test_chaos_is_known_to_many_digits() -> None:
    # After 60 steps a difference of 1e-18 has become one: no double arithmetic knows anything of this derivative.
    graph, arrays = of_text("for i in range(60):\n    x = 4*x*(1 - x)\nx", {"x": 0.3})
    found = reference(graph, arrays, [0], [np.abs(arrays[0])], Meter(), str)
    # x_n = sin²(2ⁿ asin √x), by mpmath alone
    import mpmath

    with mpmath.workdps(80):
        x = mpmath.mpf(0.3)
        angle = 2**60 * mpmath.asin(mpmath.sqrt(x))
        exact = mpmath.sin(2 * angle) * 2**60 / (2 * mpmath.sqrt(x * (1 - x)))
        assert float(found.entries[0]) == float(exact)
        assert abs(mpmath.mpf(str(found.entries[0])) / exact - 1) < mpmath.mpf(10) ** -(found.digits - 5)


def test_entries_are_brought_up_to_date() -> None:
    rng = np.random.default_rng(3)
    inputs = {"W": rng.normal(size=(6, 5)), "V": rng.normal(size=(3, 6)), "x": rng.normal(size=(5, 4))}
    graph, arrays = of_text("h = tanh(W @ x)\nsum((V @ h)**2 * V[0, 0]) + sum(exp(W), axis=1)[2]", inputs)
    found, gradient = compared(graph, arrays)
    assert len(found.entries) == 68
    assert found.error(gradient) < 1e-13
    # The same, computed as a whole at each point.
    import engine.compare.precise.evaluator as evaluator

    kept = dict(evaluator.DELTAS)
    evaluator.DELTAS.clear()
    try:
        again, _ = compared(graph, arrays)
    finally:
        evaluator.DELTAS.update(kept)
    for k, value in again.entries.items():
        assert abs(found.entries[k] - value) <= abs(value) * found.arithmetic.c.mpf(10) ** -30


def test_of_many_entries_some_are_computed_spread_evenly() -> None:
    order = list(spread(1000))
    assert sorted(order) == list(range(1000))
    gaps = np.diff(sorted(order[:30]))
    assert gaps.max() <= 60
    assert list(spread(1)) == [0]
    assert list(spread(0)) == []
    graph, arrays = of_text("sum(gammaln(x)*x)", {"x": np.linspace(1, 2, 8_000)})
    found, gradient = compared(graph, arrays)
    assert 4 < len(found.entries) < 8_000
    assert np.isnan(found.rounded()).sum() == 8_000 - len(found.entries)
    assert found.error(gradient) < 1e-12


def test_what_takes_too_long_has_no_reference() -> None:
    graph, arrays = of_text("sum(x @ x)", {"x": np.ones((200, 200))})
    with pytest.raises(Unavailable, match="takes longer"):
        compared(graph, arrays)
    with pytest.raises(DeadlineExceeded):
        reference(graph, arrays, [0], [arrays[0]], Meter(deadline=0.0), str)


def test_reasons_name_the_node() -> None:
    graph, arrays = of_text("svd(A, full_matrices=True)[0][0, 0]", {"A": np.ones((3, 2))})
    with pytest.raises(Unavailable, match="of the node 'seventh'"):
        reference(graph, arrays, [0], [arrays[0]], Meter(), lambda node: "seventh")


def test_requests_have_a_precision_of_their_own() -> None:
    # Contexts of mpmath share caches of constants and coefficients; with different precisions at once.
    graph, arrays = of_text("sum(gamma(x)*log(x) + digamma(x + 1)*erf(x))", {"x": np.linspace(1.2, 3.1, 6)})

    def digits(n: int) -> list[str]:
        arithmetic = Arithmetic(n, Meter(), 1e9)
        from engine.compare.precise.differences import locked

        with locked(Meter()):
            (value,) = Evaluator(graph, arithmetic).first(arrays)
        return [arithmetic.c.nstr(v, 25) for v in value.reshape(-1).tolist()]

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(digits, [40, 200, 60, 120, 50, 90, 300, 45]))
    assert all(f == found[0] for f in found)
