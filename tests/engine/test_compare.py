"""compare: what the counts say, how formulas grow, how accurate each way is."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from engine.compare import Comparison
from engine.compare.unshared import copies, trees, unrolled
from engine.cost import Limits
from engine.derive import prepare_with
from engine.errors import DeadlineExceeded, LimitExceeded
from engine.execute.meter import Meter
from engine.symbolic.size import graph_size
from tests.engine.helpers import ask, plain, request

WAYS = ("reverse", "forward", "numerical", "symbolic")


def compare(
    source: Any, inputs: dict[str, Any], limits: Limits | None = None, **fields: Any
) -> dict[str, Any]:
    """The answer."""
    return plain(prepare_with(Comparison, request(source, inputs, **fields), limits).run(Meter()))


def product(n: int) -> tuple[str, dict[str, float]]:
    return "*".join(f"x{i}" for i in range(n)), {f"x{i}": 1 + i / 7 for i in range(n)}


@pytest.mark.parametrize("n", [1, 2, 5, 13, 40])
def test_counts_tell_the_story(n: int) -> None:
    methods = compare(*product(n))["methods"]
    counts = {w: (methods[w]["evaluations"], methods[w]["passes"]) for w in WAYS}
    assert counts == {"reverse": (1, 1), "forward": (n, n), "numerical": (2 * n, 0), "symbolic": (0, 0)}
    assert all(methods[w]["available"] for w in WAYS)
    if n > 2:
        # n − 1 products there, at most two for each on the way back: whatever n is, a small multiple of the value.
        assert methods["numerical"]["operations"] == 2 * n * (n - 1)
        assert methods["reverse"]["operations"] <= 3 * (n - 1)
        assert methods["forward"]["operations"] >= n * (n - 1)
        assert methods["reverse"]["size"] == methods["reverse"]["operations"]


def test_formulas_of_a_product_grow_with_the_square() -> None:
    sizes = {n: compare(*product(n))["methods"]["symbolic"]["size"] for n in (5, 10, 20, 40)}
    # n formulas of n − 2 products each (and one of the value's own, where a prefix is one).
    assert sizes[40] / sizes[20] == pytest.approx(4, rel=0.1)
    for n, size in sizes.items():
        assert n * (n - 2) <= size <= n * (n - 1)


def logistic(n: int, loop: bool) -> str:
    if loop:
        return f"y = x\nfor i in range({n}):\n    y = 4*y*(1 - y)\ny"
    return "y = x\n" + "y = 4*y*(1 - y)\n" * n + "y"


def test_formulas_of_the_logistic_map_double_with_each_step() -> None:
    # Baydin et al. 2018, table 1: l_{n+1} = 4 l (1 - l). By the product rule S' → 2 S' + 2 S + …, with S doubling itself.
    found = {n: compare(logistic(n, False), {"x": 0.3})["methods"] for n in (2, 3, 4, 8, 12, 16, 30)}
    sizes = {n: m["symbolic"]["size"] for n, m in found.items()}
    shared = {n: m["reverse"]["size"] for n, m in found.items()}
    assert sizes[16] / sizes[12] / 2**4 == pytest.approx(16 / 12, rel=0.1)
    assert sizes[30] / sizes[16] / 2**14 == pytest.approx(30 / 16, rel=0.1)
    # With shared intermediates it is a constant for each step.
    assert shared[30] - shared[16] == 14 * (shared[4] - shared[3])
    assert found[4]["symbolic"]["available"]
    assert not found[16]["symbolic"]["available"]
    assert "operations" in found[16]["symbolic"]["reason"]
    assert found[16]["symbolic"]["gradients"] is None
    # A loop is written out.
    looped = compare(logistic(8, True), {"x": 0.3})["methods"]["symbolic"]["size"]
    assert looped == pytest.approx(sizes[8], rel=0.25)


def test_size_may_be_astronomical() -> None:
    methods = compare(logistic(2000, False), {"x": 0.3})["methods"]
    assert methods["symbolic"]["size"] == math.inf
    assert "10^" in methods["symbolic"]["reason"]
    assert methods["reverse"]["available"]


SMOOTH = [
    ("exp(x)*sin(y)/z + log(z)*x", {"x": 0.3, "y": 1.1, "z": 2.0}),
    (
        "sum(tanh(W @ tanh(V @ x))**2)",
        {"W": [[0.1, 0.2], [0.4, 0.5]], "V": [[1, 0.2], [0.3, 0.4]], "x": [0.7, 0.8]},
    ),
    ("(1 - x)**2 + 100*(y - x**2)**2", {"x": -1.2, "y": 1.0}),
    ("log(det(A)) + sum(solve(A, b))", {"A": [[2.0, 0.1], [0.3, 3.0]], "b": [1.0, 2.0]}),
    ("for i in range(5):\n    x = sin(x)*y\nx", {"x": 0.5, "y": 1.5}),
    ("gammaln(x) + erf(y)*x", {"x": 2.5, "y": 0.4}),
]


@pytest.mark.parametrize(("text", "inputs"), SMOOTH)
def test_accuracy(text: str, inputs: dict[str, Any]) -> None:
    answer = compare(text, inputs)
    errors = {w: answer["methods"][w]["max_rel_error"] for w in WAYS}
    for way in ("reverse", "forward", "symbolic"):
        assert errors[way] < 3e-15
    assert 1e-13 < errors["numerical"] < 1e-8
    exact = ask("grad", text, inputs, nodes="none", wrt=list(inputs))["gradients"]
    for way in WAYS:
        assert answer["methods"][way]["gradients"].keys() == exact.keys()
        for name, value in exact.items():
            rtol, atol = (1e-8, 1e-8) if way == "numerical" else (1e-14, 1e-15)
            np.testing.assert_allclose(answer["methods"][way]["gradients"][name], value, rtol, atol)
    for name, value in exact.items():
        np.testing.assert_allclose(answer["reference"]["gradients"][name], value, 1e-14, 1e-15)
    assert answer["reference"]["digits"] >= 40


def test_errors_grow_along_a_chaotic_orbit() -> None:
    errors = [compare(logistic(n, True), {"x": 0.3})["methods"] for n in (5, 20, 40)]
    reverse = [m["reverse"]["max_rel_error"] for m in errors]
    assert reverse[0] < 1e-14 < reverse[1] < 1e-8 < reverse[2]
    assert errors[2]["numerical"]["max_rel_error"] > 0.5


def test_of_and_wrt_and_seed() -> None:
    answer = compare("t = x*y\nr = sin(t)*[1, 2]\nr", {"x": 2.0, "y": 3.0}, wrt=["t", "x"], seed=[1.0, -1.0])
    assert answer["of"] == "r"
    np.testing.assert_allclose(answer["methods"]["reverse"]["gradients"]["t"], -np.cos(6), 1e-15)
    np.testing.assert_allclose(answer["reference"]["gradients"]["x"], -3 * np.cos(6), 1e-15)
    assert answer["methods"]["forward"]["passes"] == 2
    assert answer["methods"]["numerical"]["max_rel_error"] < 1e-8
    # A seed of 0 hides what is infinite.
    hidden = compare(
        "log(x)*[1.0, 2.0, 3.0] + log(z)", {"x": [1.0, 2.0, 0.0], "z": 1.0}, seed=[1.0, 1.0, 0.0]
    )
    assert hidden["methods"]["reverse"]["gradients"]["x"].tolist() == [1.0, 1.0, 0.0]
    assert hidden["methods"]["symbolic"]["gradients"]["x"].tolist() == [1.0, 1.0, 0.0]


def test_kinks_and_what_is_not_finite() -> None:
    answer = compare("relu(x) + abs(y)", {"x": 0.0, "y": 2.0})
    assert answer["warnings"][0]["kind"] == "non-differentiable"
    assert np.isnan(answer["reference"]["gradients"]["x"])
    assert answer["methods"]["numerical"]["gradients"]["x"] == pytest.approx(0.5)
    assert answer["methods"]["reverse"]["max_rel_error"] == 0
    answer = compare("log(x)*y", {"x": -1.0, "y": 2.0})
    assert not answer["reference"]["available"]
    assert answer["reference"]["reason"] == "the value itself is not finite"
    assert answer["methods"]["reverse"]["max_rel_error"] is None
    # The value overflows on the way, the derivative does not.
    answer = compare("exp(x)/exp(y)", {"x": 800.0, "y": 800.0})
    assert answer["reference"]["gradients"]["x"] == 1.0
    assert answer["methods"]["reverse"]["max_rel_error"] == np.inf


def test_loops_whose_length_only_values_show() -> None:
    methods = compare("while x < 100:\n    x = x*x + y\nx", {"x": 2.0, "y": 1.0})["methods"]
    assert all(methods[w]["operations"] is None and methods[w]["size"] is None for w in WAYS)
    assert methods["reverse"]["max_rel_error"] < 1e-15
    assert "while" in methods["symbolic"]["reason"]
    methods = compare("def f(v):\n    return v**2 - a\nroot(f, 1.0)", {"a": 2.0})["methods"]
    assert methods["forward"]["max_rel_error"] < 1e-15
    assert "root" in methods["symbolic"]["reason"]


def test_a_rule_that_is_wrong_is_seen() -> None:
    text = (
        "def f(v):\n    return v**3\ndef back(v, ct):\n    return 2*v**2*ct\ng = custom_vjp(f, back)\ng(x)*y"
    )
    methods = compare(text, {"x": 2.0, "y": 1.0})["methods"]
    assert methods["reverse"]["max_rel_error"] == pytest.approx(1 / 3)
    assert methods["numerical"]["max_rel_error"] < 1e-9


def test_single_precision() -> None:
    answer = compare("sum(sin(x)*y)", {"x": [0.5, 1.5], "y": 0.7}, dtype="float32")
    assert 1e-9 < answer["methods"]["reverse"]["max_rel_error"] < 1e-6
    assert 1e-6 < answer["methods"]["numerical"]["max_rel_error"] < 1e-2
    assert answer["reference"]["digits"] >= 40


def test_many_inputs() -> None:
    n = 700
    answer = compare("sum(sin(x)*x) + y", {"x": np.linspace(0.1, 1, n), "y": 2.0})
    assert answer["methods"]["forward"]["passes"] == n + 1
    assert answer["reference"]["entries"] == n + 1
    for way in WAYS:
        limit = 1e-6 if way == "numerical" else 1e-14
        assert answer["methods"][way]["max_rel_error"] < limit
    # Too many to be tried one by one, and too many digits.
    answer = compare("sum(exp(x)*x)", {"x": np.ones(200_000)})
    assert [answer["methods"][w]["available"] for w in WAYS] == [True, False, False, True]
    assert answer["methods"]["numerical"]["evaluations"] == 400_000
    assert answer["methods"]["numerical"]["time_ms"] is None
    assert "400,000 evaluations" in answer["methods"]["numerical"]["reason"]


def test_without_inputs() -> None:
    answer = compare("x[k]*2", {"x": [1.0, 2.0], "k": 1})
    assert answer["methods"]["numerical"]["evaluations"] == 4
    answer = compare("sum(x)", {"x": []})
    assert answer["methods"]["forward"]["evaluations"] == 0
    assert answer["methods"]["symbolic"]["max_rel_error"] == 0


def test_limits() -> None:
    job, late = prepare_with(Comparison, request("sum(x @ x)", {"x": np.ones((60, 60))})), Meter(deadline=0.0)
    with pytest.raises(DeadlineExceeded):
        job.run(late)
    asked = request("sum(x*x)", {"x": np.ones(1000)})
    with pytest.raises(LimitExceeded):
        prepare_with(Comparison, asked, Limits(response_elements=4000))


def test_trees_are_what_they_stand_for() -> None:
    job = prepare_with(Comparison, request("t = x*y\nt = t*t + sin(t)\nt*t*x", {"x": 2.0, "y": 3.0}))
    graph = job.reverse.with_outputs(job.reverse.outputs[1:])
    tree = trees([graph], lambda: None)
    assert copies(graph) == len(tree.nodes) - len(tree.inputs) - sum(
        n.op.name == "core.constant" for n in tree.nodes
    )
    assert graph_size(tree).shared == graph_size(graph).expanded
    read = [j for node in tree.nodes for j in node.inputs if tree.nodes[j].inputs]
    assert len(read) == len(set(read))
    results = job.runner.run(tree, job.arguments, Meter())
    np.testing.assert_allclose(results, job.runner.run(graph, job.arguments, Meter()), 1e-15)


def test_loops_written_out_are_the_loops() -> None:
    text = "s = x\nfor i in range(4):\n    s = s*x + sum(cumsum(v*i))\nsum(s*v)"
    job = prepare_with(Comparison, request(text, {"x": 0.5, "v": [1.0, 2.0]}))
    graph = job.what.graph
    flat, nodes = unrolled(graph, job.what.wrt, "float64", 1000, lambda: None)
    assert not any(node.op.subgraphs for node in flat.nodes)
    assert nodes == list(flat.inputs)
    expected = job.runner.run(graph, job.arguments, Meter())
    np.testing.assert_allclose(job.runner.run(flat, job.arguments, Meter()), expected, 1e-15)
