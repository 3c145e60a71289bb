"""Reductions, statistics, norms, logsumexp and the running sum: what they answer where it is easy to be wrong."""

from __future__ import annotations

import itertools
from math import inf, nan
from typing import Any

import numpy as np
import pytest
import scipy.special

from engine.errors import EmptyReduction, EngineError, InvalidAttribute, ShapeMismatch
from tests.engine.calls import answer, gradient, hessian, value
from tests.engine.helpers import ask, near

RNG = np.random.default_rng(20)
BLOCK = RNG.normal(size=(2, 3, 4))


# --------------------------------------------------------------------------------------------------- as in NumPy

REDUCTIONS = ["sum", "prod", "mean", "var", "std", "max", "min", "ptp", "any", "all", "count_nonzero"]


@pytest.mark.parametrize("axis", [None, 0, -1, (0, 2), (-1, 1), (), (2, 0, 1)])
@pytest.mark.parametrize("name", REDUCTIONS)
def test_reduces_over_the_axes_that_numpy_does(name: str, axis: Any) -> None:
    attrs = {} if axis is None else {"axis": axis}
    expected = getattr(np, name)
    near(value(name, BLOCK, **attrs), expected(BLOCK, axis=axis))
    near(value(name, BLOCK, **attrs, keepdims=True), expected(BLOCK, axis=axis, keepdims=True))


@pytest.mark.parametrize("axis", [None, 0, (1, 2)])
def test_logsumexp_reduces_over_the_axes_that_scipy_does(axis: Any) -> None:
    near(value("logsumexp", BLOCK, axis=axis), scipy.special.logsumexp(BLOCK, axis=axis))


@pytest.mark.parametrize("n", [*range(1, 18), 63, 100])
def test_prod_of_any_length(n: int) -> None:
    x = RNG.uniform(0.5, 1.5, n)
    near(value("prod", x), np.prod(x), rtol=1e-14)
    near(gradient("prod", x), np.prod(x) / x, rtol=1e-13)


def test_integers_and_booleans_keep_their_kind() -> None:
    integers = np.array([[1, 5, 2], [4, 3, 6]])
    for name in ("sum", "prod", "max", "min", "cumsum", "ptp"):
        got = value(name, integers)
        assert got.dtype == np.int64, name
        near(got, getattr(np, name)(integers))
    assert value("sum", np.array([True, True])) == 2
    assert value("max", np.array([False, True])).dtype == np.bool_
    assert value("mean", integers).dtype == np.float64


@pytest.mark.parametrize("ddof", [0, 1, 1.5])
def test_var_and_std_count_degrees_of_freedom(ddof: float) -> None:
    near(value("var", BLOCK, axis=1, ddof=ddof), np.var(BLOCK, axis=1, ddof=ddof))
    near(value("std", BLOCK, axis=1, correction=ddof), np.std(BLOCK, axis=1, ddof=ddof))


@pytest.mark.parametrize(
    ("axis", "shape"), [(None, (2, 3, 4)), (1, (3,)), (0, (2, 3, 4)), ((0, 2), (2, 4)), ((2, 0), (4, 2))]
)
def test_average_takes_weights_of_the_array_or_of_its_axes(axis: Any, shape: tuple[int, ...]) -> None:
    weights = RNG.uniform(0.5, 2.0, shape)
    full = weights
    if len(shape) == 1:
        full = np.broadcast_to(weights[:, None], (2, 3, 4))
    elif len(shape) == 2:
        full = np.broadcast_to((weights if axis == (0, 2) else weights.T)[:, None, :], (2, 3, 4))
    near(value("average", BLOCK, weights, axis=axis), (BLOCK * full).sum(axis) / full.sum(axis))


def test_average_refuses_other_weights() -> None:
    with pytest.raises(ShapeMismatch, match=r"weights have shape \[4\].*\[3\] as its axes \[1\]"):
        value("average", BLOCK, np.ones(4), axis=1)


NORMS = [
    *[(o, a) for o, a in itertools.product([None, 0, 1, 2, 3, 0.5, -1, -2.5, inf, -inf], [0, 2, -2])],
    *[(o, a) for o, a in itertools.product([None, "fro", 1, -1, inf, -inf], [(0, 1), (2, 0), (-1, -2)])],
    (None, None),
]


@pytest.mark.parametrize(("order", "axis"), NORMS)
def test_norm_is_that_of_numpy(order: Any, axis: Any) -> None:
    spelled = {inf: "Infinity", -inf: "-inf"}.get(order, order)
    attrs = {"ord": spelled, "axis": axis}
    near(value("norm", BLOCK, **attrs), np.linalg.norm(BLOCK, order, axis))
    near(value("norm", BLOCK, **attrs, keepdims=True), np.linalg.norm(BLOCK, order, axis, keepdims=True))


def test_cumsum_flattens_without_axis() -> None:
    near(value("cumsum", BLOCK), np.cumsum(BLOCK))
    near(value("cumsum", BLOCK, axis=-2), np.cumsum(BLOCK, axis=-2))
    near(gradient("cumsum", np.ones(3), seed=np.array([1.0, 10.0, 100.0])), [111.0, 110.0, 100.0])


# --------------------------------------------------------------------------------------------------- conventions


@pytest.mark.parametrize(
    ("name", "x", "expected"),
    [
        ("max", [1.0, 3.0, 3.0], [0.0, 0.5, 0.5]),
        ("min", [1.0, 3.0, 1.0, 1.0], [1 / 3, 0.0, 1 / 3, 1 / 3]),
        ("max", [inf, 1.0, inf], [0.5, 0.0, 0.5]),
        ("max", [-inf, -inf], [0.5, 0.5]),
        ("max", [1.0, nan, 2.0], [0.0, 1.0, 0.0]),
        ("ptp", [2.0, 2.0], [0.0, 0.0]),
        ("std", [0.1, 0.1, 0.1], [0.0, 0.0, 0.0]),
        ("std", [7.0], [0.0]),
        ("var", [0.1, 0.1, 0.1], [0.0, 0.0, 0.0]),
        ("norm", [0.0, 0.0], [0.0, 0.0]),
        ("norm", [3e200, -4e200], [0.6, -0.8]),
        ("norm", [3e-200, 4e-200], [0.6, 0.8]),
        ("norm", [5e-324, 0.0], [1.0, 0.0]),
        ("logsumexp", [-inf, 0.0], [0.0, 1.0]),
        ("logsumexp", [-inf, -inf], [0.0, 0.0]),
        ("logsumexp", [inf, 0.0, inf], [0.5, 0.0, 0.5]),
        ("logsumexp", [inf, -inf], [1.0, 0.0]),
        ("logsumexp", [1000.0, 1000.0], [0.5, 0.5]),
        ("prod", [0.0, 2.0, 3.0], [6.0, 0.0, 0.0]),
        ("prod", [0.0, 2.0, 0.0], [0.0, 0.0, 0.0]),
    ],
)
def test_derivative_where_there_is_none_or_where_formulas_fail(name: str, x: Any, expected: Any) -> None:
    near(gradient(name, np.array(x)), expected, atol=1e-15)
    columns = []
    for k in range(len(x)):
        unit = np.eye(len(x))[k]
        columns.append(answer("jvp", name, [np.array(x)], tangents={"x0": unit})["output_tangents"]["y"])
    near(np.array(columns), expected, atol=1e-15)


@pytest.mark.parametrize(
    ("order", "x", "expected"),
    [
        (inf, [1.0, -3.0, 3.0], [0.0, -0.5, 0.5]),
        (-inf, [1.0, -1.0, 3.0], [0.5, -0.5, 0.0]),
        (1, [0.0, -2.0], [0.0, -1.0]),
        (0, [0.0, -2.0], [0.0, 0.0]),
        (3, [0.0, -2.0], [0.0, -1.0]),
        (0.5, [0.0, -2.0], [0.0, -1.0]),
        (1.5, [0.0, 0.0], [0.0, 0.0]),
        (-1, [0.0, 2.0], [0.0, 0.0]),
        (4, [1e200, -1e200], [2.0**-0.75, -(2.0**-0.75)]),
    ],
)
def test_norm_at_zeros_and_ties(order: float, x: list[float], expected: list[float]) -> None:
    spelled = {inf: "Infinity", -inf: "-Infinity"}.get(order, order)
    near(gradient("norm", np.array(x), ord=spelled), expected)


def test_second_derivatives_at_zeros() -> None:
    near(hessian("prod", np.array([0.0, 0.0, 3.0])), [[0, 3, 0], [3, 0, 0], [0, 0, 0]])
    near(hessian("norm", np.array([0.0, 2.0])), [[0.5, 0.0], [0.0, 0.0]])
    near(hessian("norm", np.array([0.0, 0.0])), np.zeros((2, 2)))
    near(hessian("norm", np.array([0.0, 2.0]), ord=4), np.zeros((2, 2)))
    near(hessian("norm", np.array([0.0, 2.0]), ord=1.5), [[inf, 0.0], [0.0, 0.0]])
    near(hessian("std", np.array([0.1, 0.1, 0.1])), np.zeros((3, 3)))
    near(hessian("logsumexp", np.array([0.0, -inf, 0.0])), [[0.25, 0, -0.25], [0, 0, 0], [-0.25, 0, 0.25]])


def test_std_neither_overflows_nor_underflows() -> None:
    for scale in (1e200, 1e-200):
        x = np.array([1.0, 2.0, 4.0])
        near(value("std", x * scale) / scale, np.std(x))
        near(gradient("std", x * scale), gradient("std", x))
    assert np.isnan(value("std", np.array([inf, inf])))


def test_a_variance_of_too_few_numbers_is_nan_and_so_is_its_derivative() -> None:
    for name in ("var", "std"):
        asked = answer("grad", name, [np.array([5.0])], {"ddof": 1})
        assert np.isnan(asked["value"])
        assert np.isnan(asked["gradients"]["x0"]).all()
        assert asked["warnings"][0]["kind"] == "non-finite-value"
        assert np.isnan(value(name, np.zeros(0)))
        assert value(name, np.array([1.0, 3.0]), ddof=2) == inf


@pytest.mark.parametrize(
    ("name", "x", "attrs"),
    [
        ("max", [1.0, 1.0], {}),
        ("std", [0.1, 0.1, 0.1], {}),
        ("norm", [0.0, 0.0], {}),
        ("norm", [0.0, 1.0], {"ord": 0.5}),
        ("logsumexp", [-inf, -inf], {}),
    ],
)
def test_a_convention_that_was_used_is_reported(name: str, x: list[float], attrs: dict[str, Any]) -> None:
    kinds = [w["kind"] for w in answer("grad", name, [np.array(x)], attrs)["warnings"]]
    assert "non-differentiable" in kinds


@pytest.mark.parametrize(("name", "x"), [("std", [1.0, 5.0, 5.0]), ("norm", [0.0, 1.0]), ("max", [1.0, 2.0])])
def test_nothing_is_reported_where_there_is_a_derivative(name: str, x: list[float]) -> None:
    assert answer("grad", name, [np.array(x)])["warnings"] == []


@pytest.mark.parametrize(
    "x",
    [[0.0, -50.0], [0.0, -800.0], [-1e-20, -40.0], [1e308, 1e308], [-1e308], [3.0, 3.0, 3.0], [], [nan, inf]],
)
def test_logsumexp_is_as_exact_as_scipys(x: list[float]) -> None:
    near(value("logsumexp", np.array(x)), scipy.special.logsumexp(np.array(x)), rtol=1e-15, atol=0)


def test_masked_entries_do_not_reach_what_they_mask() -> None:
    text = "logsumexp(where(keep, log(x), -np.inf))"
    asked = ask("grad", text, {"x": np.array([0.0, 2.0]), "keep": np.array([False, True])})
    near(asked["gradients"]["x"], [0.0, 0.5])


# ------------------------------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("name", "x", "attrs", "error", "words"),
    [
        ("max", np.zeros(0), {}, EmptyReduction, r"axis 0 .* shape \[0\]"),
        ("min", np.zeros((2, 0)), {"axis": 1}, EmptyReduction, r"axis 1 .* shape \[2, 0\]"),
        ("ptp", np.zeros((2, 0)), {"axis": -1}, EmptyReduction, "shape"),
        ("norm", np.zeros(0), {"ord": "-inf"}, EmptyReduction, "min"),
        ("max", 3.0, {"axis": 0}, ShapeMismatch, "maximum"),
        ("sum", BLOCK, {"axis": 3}, ShapeMismatch, "axis 3"),
        ("prod", BLOCK, {"axis": (0, -3)}, ShapeMismatch, "twice"),
        ("cumsum", 1.0, {"axis": 0}, ShapeMismatch, "axis 0"),
        ("norm", BLOCK, {"ord": 1}, ShapeMismatch, "not 3"),
        ("norm", BLOCK, {"axis": (0, 1, 2)}, ShapeMismatch, "vector_norm"),
        ("norm", 3.0, {"ord": 1}, ShapeMismatch, "axis"),
        ("norm", BLOCK, {"axis": (0, 1), "ord": 3}, InvalidAttribute, "'fro'"),
        ("norm", BLOCK, {"axis": 0, "ord": "nuc"}, InvalidAttribute, "matrices"),
        ("norm", BLOCK, {"axis": 0, "ord": "NaN"}, InvalidAttribute, "NaN"),
        ("norm", BLOCK, {"axis": 0, "ord": "two"}, InvalidAttribute, "ord"),
        ("matrix_norm", np.zeros(3), {}, ShapeMismatch, "matrix"),
        ("var", BLOCK, {"ddof": "x"}, InvalidAttribute, "ddof"),
    ],
)
def test_refuses(name: str, x: Any, attrs: dict[str, Any], error: type[EngineError], words: str) -> None:
    with pytest.raises(error, match=words) as caught:
        value(name, x, **attrs)
    assert caught.value.node == "y"


def test_nothing_has_a_sum_a_product_and_norms() -> None:
    nothing = np.zeros((0, 3))
    for name, expected in (("sum", 0.0), ("prod", 1.0), ("any", False), ("all", True), ("logsumexp", -inf)):
        near(value(name, nothing), expected)
        near(value(name, nothing, axis=0), [expected] * 3)
        assert value(name, nothing, axis=1).shape == (0,)
    assert value("max", nothing, axis=1).shape == (0,)
    near(value("norm", nothing), 0.0)
    near(value("norm", nothing, ord="inf"), 0.0)
    near(value("norm", np.zeros(0), ord="inf"), 0.0)
    assert np.isnan(value("mean", nothing))
