"""Sorting, scatters and running reductions where it is hard: ties, zeros and repeated indices, to second order by hand."""

from __future__ import annotations

from itertools import permutations
from math import prod
from typing import Any

import numpy as np
import pytest

import engine.ops  # noqa: F401  # fills the registry
from engine.errors import EmptyReduction, EngineError, InvalidAttribute, LimitExceeded, Mistakes, UnknownOp
from engine.language import parse_text
from engine.op import registry
from engine.spec import read_graph
from engine.transforms.push import jvp_graph
from tests.engine.conformance import Case, compute
from tests.engine.helpers import ask

NAN = float("nan")


def hessian(text: str, x: Any, name: str = "x") -> np.ndarray:
    """∂²/∂x² of a scalar program, as a matrix over the flattened input."""
    got = ask("hessian", text, {name: np.asarray(x, float)})["hessian"][name][name]
    return np.asarray(got).reshape(np.size(x), np.size(x))


def gradient(text: str, **inputs: Any) -> dict[str, Any]:
    """Gradients of a scalar program."""
    arrays = {k: np.asarray(v) for k, v in inputs.items()}
    return ask("grad", text, arrays)["gradients"]


def value(text: str, **inputs: Any) -> Any:
    """The program's result."""
    got = ask("evaluate", text, {k: np.asarray(v) for k, v in inputs.items()})
    return np.asarray(got["outputs"][got["output_ids"][0]])


# ------------------------------------------------------------------------------------------------ products with zeros

ZEROS = [[2.0, 3.0, 5.0], [0.0, 3.0, 5.0], [2.0, 0.0, 0.0, 5.0], [0.0, 0.0, 0.0], [0.0, 4.0, 0.0, 0.0, 2.0]]


def products_without(x: list[float], stop: int, *gone: int) -> float:
    """Product of the first `stop` entries, some of them left out: the derivative in those."""
    return prod((v for k, v in enumerate(x[:stop]) if k not in gone), start=1.0) if max(gone) < stop else 0.0


@pytest.mark.parametrize("x", ZEROS)
def test_prod_at_zeros_to_second_order(x: list[float]) -> None:
    n = len(x)
    np.testing.assert_array_equal(
        gradient("prod(x)", x=x)["x"], [products_without(x, n, i) for i in range(n)]
    )
    expected = [[0.0 if i == j else products_without(x, n, i, j) for j in range(n)] for i in range(n)]
    np.testing.assert_array_equal(hessian("prod(x)", x), expected)


@pytest.mark.parametrize("x", ZEROS)
@pytest.mark.parametrize("reverse", [False, True])
def test_cumprod_at_zeros_to_second_order(x: list[float], reverse: bool) -> None:
    n, w = len(x), np.arange(1.0, len(x) + 1)
    text = f"sum({w.tolist()} * cumprod(x, 0, reverse={reverse}))"
    y, v = (x[::-1], w[::-1]) if reverse else (x, w)
    first = np.array([sum(v[k] * products_without(y, k + 1, i) for k in range(n)) for i in range(n)])
    second = np.array(
        [
            [
                0.0 if i == j else sum(v[k] * products_without(y, k + 1, i, j) for k in range(n))
                for j in range(n)
            ]
            for i in range(n)
        ]
    )
    step = -1 if reverse else 1
    np.testing.assert_allclose(gradient(text, x=x)["x"], first[::step], rtol=1e-14)
    np.testing.assert_allclose(hessian(text, x), second[::step, ::step], rtol=1e-14)


def test_cumprod_to_third_order_at_zeros() -> None:
    """The third derivative of a product of three in all of them is 1, at zeros too."""
    op = registry.core("cumprod")
    graph = Case(op, (np.zeros(3),), {}).graph()
    arrays = [np.zeros(3)]
    for unit in np.eye(3):
        n = len(graph.outputs)
        forward = jvp_graph(graph, [graph.inputs[0]], "float64")
        graph = forward.with_outputs(forward.outputs[n:])
        arrays.append(unit)
    np.testing.assert_array_equal(compute(graph, arrays)[0], [0.0, 0.0, 1.0])


def test_cumprod_is_linear_in_length() -> None:
    n = 50_000
    x = np.linspace(0.999, 1.001, n)
    got = ask("grad", "sum(cumprod(x))", {"x": x}, nodes="none")["gradients"]["x"]
    y = np.cumprod(x)
    np.testing.assert_allclose(got, np.cumsum(y[::-1])[::-1] / x, rtol=1e-9)


@pytest.mark.parametrize("mode", ["prod", "segment"])
@pytest.mark.parametrize("u", [[2.0, 3.0, 5.0, 7.0], [0.0, 3.0, 5.0, 7.0], [0.0, 3.0, 0.0, 0.0]])
def test_products_written_to_one_place(mode: str, u: list[float]) -> None:
    # Updates 0, 2 and 3 meet at place 1.
    if mode == "segment":
        text, at = "segment_prod(u, [1, 0, 1, 1], 2)[1]", 1.0
    else:
        text, at = "x = 4.0 * ones(2)\nput_along_axis(x, [1, 0, 1, 1], u, 0, reduction='mul')[1]", 4.0
    own = [u[0], u[2], u[3]]
    expected = np.zeros(4)
    expected[[0, 2, 3]] = [at * own[1] * own[2], at * own[0] * own[2], at * own[0] * own[1]]
    np.testing.assert_allclose(gradient(text, u=u)["u"], expected, rtol=1e-15)
    second = hessian(text, u, "u")
    for i, j in permutations((0, 2, 3), 2):
        (k,) = {0, 2, 3} - {i, j}
        assert second[i, j] == at * u[k]
    assert not second[1].any()
    assert not np.diag(second).any()


# ------------------------------------------------------------------------------------------------------------- ties


@pytest.mark.parametrize("op", ["max", "min"])
def test_ties_share_to_second_order(op: str) -> None:
    sign = 1.0 if op == "max" else -1.0
    x = sign * np.array([3.0, 1.0, 3.0, 3.0])
    share = np.array([1, 0, 1, 1]) / 3
    np.testing.assert_allclose(gradient(f"{op}(x)", x=x)["x"], share, rtol=1e-15)
    # f(max x) with f = square: the second derivative is f''·share·shareᵀ.
    np.testing.assert_allclose(hessian(f"{op}(x)**2", x), 2 * np.outer(share, share), rtol=1e-14)
    np.testing.assert_array_equal(hessian(f"{op}(x)", x), np.zeros((4, 4)))


def test_sorted_ties_keep_their_order_to_second_order() -> None:
    x = np.array([2.0, 1.0, 2.0, 1.0])
    text = "y = sort(x)\nsum([1.0, 10.0, 100.0, 1000.0] * y**2)"
    weights = np.array([100.0, 1.0, 1000.0, 10.0])  # 1 (at 1), 1 (at 3), 2 (at 0), 2 (at 2)
    np.testing.assert_array_equal(gradient(text, x=x)["x"], 2 * weights * x)
    np.testing.assert_array_equal(hessian(text, x), np.diag(2 * weights))
    down = "y = sort(x, descending=True)\nsum([1.0, 10.0, 100.0, 1000.0] * y**2)"
    np.testing.assert_array_equal(hessian(down, x), np.diag(2 * np.array([1.0, 100.0, 10.0, 1000.0])))


@pytest.mark.parametrize(
    ("text", "x", "share"),
    [
        ("median(x)", [1.0, 1.0, 3.0], [0, 1, 0]),
        ("median(x)", [2.0, 1.0, 2.0, 5.0], [0.5, 0, 0.5, 0]),
        ("median(x)", [3.0, 3.0, 3.0, 3.0], [0, 0.5, 0.5, 0]),
        ("quantile(x, 0.5)", [2.0, 1.0, 2.0, 5.0], [0.5, 0, 0.5, 0]),
        ("quantile(x, 0.25)", [2.0, 2.0, 2.0, 2.0], [0.25, 0.75, 0, 0]),
        ("nanmedian(x)", [NAN, 1.0, 2.0, 5.0], [0, 0, 1, 0]),
        ("cummax(x, 0)[0][3]", [1.0, 2.0, 2.0, 1.0], [0, 0, 1, 0]),
        ("cummin(x, 0)[0][3]", [1.0, 1.0, 2.0, 3.0], [0, 1, 0, 0]),
        ("kthvalue(x, 2)[0]", [1.0, 1.0, 0.0], [1, 0, 0]),
        ("nanmax(x)", [NAN, 2.0, 2.0, -1.0], [0, 0.5, 0.5, 0]),
        ("nanmin(x)", [NAN, 2.0, 2.0, 4.0], [0, 0.5, 0.5, 0]),
    ],
)
def test_what_order_statistics_do_at_ties(text: str, x: list[float], share: list[float]) -> None:
    np.testing.assert_array_equal(gradient(text, x=x)["x"], share)
    s = np.array(share)
    squared = hessian(f"m = {text}\nm**2", x)
    np.testing.assert_allclose(squared, 2 * np.outer(s, s), rtol=1e-15)


@pytest.mark.parametrize(
    ("text", "x", "warned"),
    [
        ("sum(sort(x)**2)", [2.0, 1.0, 2.0], True),
        ("sum(sort(x)**2)", [2.0, 1.0, 3.0], False),
        ("median(x)", [1.0, 2.0, 2.0], True),
        ("median(x)", [1.0, 2.0, 3.0], False),
        ("median(x)", [1.0, 1.0, 2.0, 3.0, 4.0], False),
        ("top_k(x, 1)[0][0]", [3.0, 1.0, 3.0], True),
        ("kthvalue(x, 1)[0]", [3.0, 1.0, 3.0], False),
        ("quantile(x, 0.75)", [1.0, 1.0, 3.0], True),
        ("quantile(x, 0.75)", [1.0, 1.0, 3.0, 5.0], False),
    ],
)
def test_a_tie_that_was_decided_is_warned_of(text: str, x: list[float], warned: bool) -> None:
    warnings = ask("grad", text, {"x": np.array(x)})["warnings"]
    assert ([w["kind"] for w in warnings] == ["non-differentiable"]) is warned, warnings
    assert warned or not warnings


def test_std_of_a_constant_to_second_order() -> None:
    x = [0.1, 0.1, 0.1]
    for op in ("std", "nanstd"):
        np.testing.assert_array_equal(gradient(f"{op}(x)", x=x)["x"], [0, 0, 0])
        assert np.isfinite(hessian(f"{op}(x)", x)).all()


def test_three_that_tie_at_one_place_share_equally() -> None:
    text = "y = x.at[[0, 0]].max(u)\ny[0]"
    got = gradient(text, x=[2.0, 1.0], u=[2.0, 2.0])
    np.testing.assert_allclose(got["x"], [1 / 3, 0])
    np.testing.assert_allclose(got["u"], [1 / 3, 1 / 3])


# ------------------------------------------------------------------------------------------------------ repeated places


def test_the_last_of_several_values_at_one_place_stays() -> None:
    text = "y = scatter_set(x, [0, 2, 0, 2, 0], u)\nsum([1.0, 10.0, 100.0] * y**3)"
    u = [1.0, 2.0, 3.0, 4.0, 5.0]
    got = gradient(text, x=[7.0, 8.0, 9.0], u=u)
    np.testing.assert_array_equal(got["x"], [0.0, 10 * 3 * 64.0, 0.0])
    np.testing.assert_array_equal(got["u"], [0, 0, 0, 100 * 3 * 16.0, 3 * 25.0])
    second = ask("hessian", text, {"x": np.array([7.0, 8.0, 9.0]), "u": np.array(u)})["hessian"]["u"]["u"]
    np.testing.assert_array_equal(second, np.diag([0, 0, 0, 100 * 6 * 4.0, 6 * 5.0]))


def test_a_value_that_is_overwritten_has_no_tangent() -> None:
    inputs = {"x": np.zeros(2), "u": np.array([1.0, 2.0])}
    got = ask("jvp", "scatter_set(x, [1, 1], u)", inputs, tangents={"u": np.array([5.0, 7.0])})
    np.testing.assert_array_equal(got["output_tangents"]["t1"], [0.0, 7.0])


def test_mapped_indices_have_their_own_last_values() -> None:
    index = np.array([[0, 0], [1, 0]])
    got = ask(
        "grad",
        "y = scatter_set(x, i, u)\nsum(y)",
        {"x": np.zeros(2), "u": np.array([1.0, 2.0]), "i": index},
        in_axes={"i": 0},
    )
    np.testing.assert_array_equal(got["gradients"]["u"], [[0, 1], [1, 1]])
    np.testing.assert_array_equal(got["gradients"]["x"], [[0, 1], [0, 0]])


def test_a_loop_writes_at_its_counter() -> None:
    # y[0] = x, y[i + 1] = y[i]·x: powers of x, written one by one into a carry.
    body = {
        "inputs": ["i", "y", "x"],
        "nodes": [
            {"id": "i", "op": "input"},
            {"id": "y", "op": "input"},
            {"id": "x", "op": "input"},
            {"id": "old", "op": "getitem", "inputs": ["y", "i"], "attrs": {"index": [{"input": 1}]}},
            {"id": "new", "op": "multiply", "inputs": ["old", "x"]},
            {"id": "next", "op": "add", "inputs": ["i", 1]},
            {
                "id": "out",
                "op": "setitem",
                "inputs": ["y", "new", "next"],
                "attrs": {"index": [{"input": 2}]},
            },
        ],
        "outputs": ["out"],
    }
    graph = {
        "nodes": [
            {"id": "x", "op": "input"},
            {"id": "zero", "op": "zeros", "attrs": {"shape": [5]}},
            {"id": "start", "op": "setitem", "inputs": ["zero", "x"], "attrs": {"index": [0]}},
            {
                "id": "y",
                "op": "fori_loop",
                "inputs": ["start", "x"],
                "attrs": {"start": 0, "stop": 4, "body": body},
            },
            {"id": "last", "op": "getitem", "inputs": ["y"], "attrs": {"index": [4]}},
        ],
        "outputs": ["last"],
    }
    got = ask("grad", graph, {"x": 2.0})
    assert got["value"] == 2.0**5
    assert got["gradients"]["x"] == 5 * 2.0**4
    second = ask("hessian", graph, {"x": 2.0})["hessian"]["x"]["x"]
    assert second == 20 * 2.0**3


def test_a_loop_that_writes_beyond_the_end_is_refused() -> None:
    with pytest.raises(InvalidAttribute, match="index 3 is out of range"):
        value("x.at[i].set(0.0)", x=[1.0, 2.0, 3.0], i=np.array(3))
    with pytest.raises(InvalidAttribute, match="allowed are -3 to 2"):
        value("i = argmax(x) + 1\nx.at[i].set(0.0)", x=[1.0, 2.0, 3.0])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("x.at[1].set(9.0)", [[1, 2, 3], [9, 9, 9]]),
        ("x.at[0, 1:].set(9.0)", [[1, 9, 9], [4, 5, 6]]),
        ("x.at[..., ::-2].add([1.0, 2.0])", [[3, 2, 4], [6, 5, 7]]),
        ("x.at[[0, 0, 1]].add(1.0)", [[3, 4, 5], [5, 6, 7]]),
        ("x.at[(0, 1)].multiply(2.0)", [[1, 4, 3], [4, 5, 6]]),
        ("x.at[:, argmax(x[0])].min(0.0)", [[1, 2, 0], [4, 5, 0]]),
        ("x.at[x > 2.5].set(0.0)", [[1, 2, 0], [0, 0, 0]]),
        ("x.at[x[:, 0] > 2.5].set([7.0, 8.0, 9.0])", [[1, 2, 3], [7, 8, 9]]),
        ("x.at[0].get()", [1, 2, 3]),
        ("scatter_set(x, (slice(None), 0), 9.0)", [[9, 2, 3], [9, 5, 6]]),
        ("scatter_set(x, np.s_[:, 0:2], 9.0)", [[9, 9, 3], [9, 9, 6]]),
        ("scatter_set(x, -1, 9.0)", [[1, 2, 3], [9, 9, 9]]),
        ("scatter_add(x, (0, 1), 9.0)", [[1, 11, 3], [4, 5, 6]]),
        ("scatter_add(x, [0, 1], 9.0)", [[10, 11, 12], [13, 14, 15]]),
        ("scatter_set(x, ..., 9.0)", [[9, 9, 9], [9, 9, 9]]),
    ],
)
def test_an_index_of_any_kind_is_written_to(text: str, expected: Any) -> None:
    np.testing.assert_array_equal(value(text, x=[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]), expected)


def test_a_partly_known_index() -> None:
    x = np.arange(12.0).reshape(3, 4)
    got = value("j = argmax(x, axis=1)\nx[i, j]", x=x, i=np.array(1))
    np.testing.assert_array_equal(got, x[1, [3, 3, 3]])


# --------------------------------------------------------------------------------------------------- running, and weighted


def test_masked_entries_of_running_logsumexp_have_no_gradient() -> None:
    x = [-np.inf, 0.5, -np.inf, 1.0]
    got = gradient("sum(cumulative_logsumexp(x)[1:])", x=x)["x"]
    share = np.exp(0.5) / (np.exp(0.5) + np.exp(1.0))
    np.testing.assert_allclose(got, [0.0, 2 + share, 0.0, 1 - share], rtol=1e-15)
    second = hessian("cumulative_logsumexp(x)[3]", x)
    p = np.array([0, share, 0, 1 - share])
    np.testing.assert_allclose(second, np.diag(p) - np.outer(p, p), atol=1e-16)


def test_weights_of_logsumexp() -> None:
    got = gradient("scipy.special.logsumexp(x, b=w)", x=[1000.0, 1001.0, 5000.0], w=[2.0, 1.0, 0.0])
    total = 2 + np.e
    np.testing.assert_allclose(got["x"], [2 / total, np.e / total, 0.0], rtol=1e-14)
    np.testing.assert_allclose(got["w"][:2], [1 / total, np.e / total], rtol=1e-14)
    np.testing.assert_allclose(gradient("logsumexp(x, b=w)", x=[0.0, 1.0], w=[1.0, 0.0])["w"], [1.0, np.e])
    assert np.isnan(value("logsumexp(x, b=[1.0, -5.0])", x=[0.0, 1.0]))


def test_quantiles_in_q() -> None:
    x = [4.0, 1.0, 2.0, 8.0]
    assert gradient("quantile(x, q)", x=x, q=0.5)["q"] == pytest.approx(3 * (4.0 - 2.0))
    assert gradient("percentile(x, q)", x=x, q=10.0)["q"] == pytest.approx(0.03)
    for text in ("quantile(x, 1.1)", "quantile(x, -0.1)", "percentile(x, 101)", "quantile(x, nan)"):
        with pytest.raises(InvalidAttribute, match="q must be from 0 to 1"):
            value(text, x=x)
    with pytest.raises(InvalidAttribute, match="q must be from 0 to 1"):
        value("quantile(x, q)", x=x, q=1.25)


# ------------------------------------------------------------------------------------------------------------ refusals


@pytest.mark.parametrize("text", ["argmax(x)", "argmin(x, 0)", "nanmax(x)", "max(x)", "quantile(x, 0.5)"])
def test_of_nothing_there_is_no_extreme(text: str) -> None:
    with pytest.raises(EmptyReduction) as found:
        value(text, x=np.zeros(0))
    assert found.value.node == "t1"


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("diff(x, 1001)", 2000),
        ("polyval(x, 2.0)", 10_001),
        ("chunk(x, 200001)[0]", 200_001),
        ("bincount([0, 1], minlength=2**40) + x", 1),
    ],
)
def test_programs_that_would_be_too_large_are_refused(text: str, size: int) -> None:
    with pytest.raises(LimitExceeded):
        value(text, x=np.zeros(size))


@pytest.mark.parametrize(
    "text", ["mean(x)", "median(x)", "nanmean(x)", "nanmedian(x[:, None], axis=1)[0] + nan", "std(x)"]
)
def test_the_mean_of_nothing_is_nan(text: str) -> None:
    x = np.zeros(1 if "None" in text else 0)
    assert np.isnan(value(text, x=x))


def test_refused_names_are_no_ops_and_say_what_to_do() -> None:
    assert registry.refused
    for name, (told, _) in registry.refused.items():
        assert name not in registry, f"{name} is an op now: take it out of engine/ops/refused.py"
        assert len(told) > 20
        with pytest.raises(UnknownOp) as in_graph:
            read_graph({"nodes": [{"id": "x", "op": "input"}, {"id": "y", "op": name, "inputs": ["x"]}]})
        assert in_graph.value.detail == told
        for text in (f"np.{name}(x)", f"{name}(x)"):
            with pytest.raises((UnknownOp, Mistakes)) as in_text:
                parse_text(text)
            assert in_text.value.detail.startswith(told)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("x.sort()", "sort(x)"),
        ("x.fill(0)", "full_like"),
        ("x.tolist()", "not needed"),
        ("x.nonzero()", "count_nonzero"),
        ("np.fft.fft(x)", "complex"),
        ("np.maximum.accumulate(x)", "cummax"),
        ("x.at[0].divide(2)", "multiply"),
        ("x.at[0].set(1, 2)", "takes one value"),
        ("x.at[0].set()", "takes one value"),
    ],
)
def test_methods_that_are_not_offered(text: str, told: str) -> None:
    with pytest.raises(EngineError) as found:
        parse_text(text)
    assert told in found.value.detail


@pytest.mark.parametrize(
    "text",
    [
        "x.argmax()", "x.cumsum()", "x.cumprod(1)", "x.clip(0, 1)", "x.mean(axis=0)", "x.flatten()", "x.ravel()", "x.dot(x.T)",
        "x.std(ddof=1)", "x.var(0)", "x.max()", "x.prod()", "x.take([0, 1])", "x.T", "x.repeat(2)", "x.swapaxes(0, 1)",
        "x.squeeze()", "x.trace()", "x.diagonal()", "x.argsort()", "x.copy()", "x.argmin(1)", "x.min(axis=1)", "x.round(1)",
        "x.sum(keepdims=True)", "x.transpose(1, 0)", "x.reshape(3, -1)", "x.any()", "x.all(axis=0)",
    ],
)  # fmt: skip
def test_methods_are_numpys(text: str) -> None:
    x = np.array([[3.0, 1.0, 2.0], [0.5, 4.0, -1.0]])
    expected = {
        "x.argmax()": x.argmax,
        "x.cumsum()": x.cumsum,
        "x.flatten()": x.flatten,
        "x.ravel()": x.ravel,
        "x.max()": x.max,
        "x.prod()": x.prod,
        "x.squeeze()": x.squeeze,
        "x.trace()": x.trace,
        "x.diagonal()": x.diagonal,
        "x.argsort()": x.argsort,
        "x.copy()": x.copy,
        "x.any()": x.any,
        "x.cumprod(1)": lambda: x.cumprod(1),
        "x.clip(0, 1)": lambda: x.clip(0, 1),
        "x.mean(axis=0)": lambda: x.mean(axis=0),
        "x.dot(x.T)": lambda: x.dot(x.T),
        "x.std(ddof=1)": lambda: x.std(ddof=1),
        "x.var(0)": lambda: x.var(0),
        "x.take([0, 1])": lambda: x.take([0, 1]),
        "x.T": lambda: x.T,
        "x.repeat(2)": lambda: x.repeat(2),
        "x.swapaxes(0, 1)": lambda: x.swapaxes(0, 1),
        "x.argmin(1)": lambda: x.argmin(1),
        "x.min(axis=1)": lambda: x.min(axis=1),
        "x.round(1)": lambda: x.round(1),
        "x.transpose(1, 0)": lambda: x.T,
        "x.sum(keepdims=True)": lambda: x.sum(keepdims=True),
        "x.reshape(3, -1)": lambda: x.reshape(3, -1),
        "x.all(axis=0)": lambda: x.all(axis=0),
    }[text]()
    np.testing.assert_allclose(value(text, x=x), expected, rtol=1e-14)


def test_item_of_a_scalar() -> None:
    assert value("x.sum().item()", x=[1.0, 2.0]) == 3.0
