"""Activations, softmax, layers and losses: kinks, limits, masks, labels, and what is refused."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import scipy.special

import engine.ops  # noqa: F401  # fills the registry
from engine.errors import (
    DtypeMismatch,
    EmptyReduction,
    EngineError,
    InvalidArray,
    InvalidAttribute,
    ShapeMismatch,
)
from engine.op import bind, check_attrs, registry
from engine.transforms.pull import vjp_graph
from engine.transforms.push import jvp_graph
from tests.engine.conformance import Case, compute

INF, NAN = float("inf"), float("nan")


def case(name: str, *operands: Any, **attrs: Any) -> Case:
    """A call of an op."""
    op = registry.core(name)
    arrays = tuple(None if v is None else np.asarray(v) for v in operands)
    return Case(op, arrays, check_attrs(op, attrs))


def value(name: str, *operands: Any, **attrs: Any) -> Any:
    """The op's value."""
    c = case(name, *operands, **attrs)
    (result,) = compute(c.graph(), c.arrays)
    return result


def gradient(name: str, *operands: Any, ct: Any = None, **attrs: Any) -> Any:
    """Gradient of the sum of the result (or of its product with `ct`) in the first operand."""
    c = case(name, *operands, **attrs)
    graph = c.graph()
    g = vjp_graph(graph, graph.outputs, graph.inputs[:1], "float64")
    cts = np.ones(graph.out_avals[0].shape) if ct is None else np.asarray(ct, float)
    return compute(g, [*c.arrays, cts])[1]


def second(name: str, *operands: Any, **attrs: Any) -> Any:
    """Second derivatives, forward over reverse, of an elementwise op in its first operand."""
    c = case(name, *operands, **attrs)
    graph = c.graph()
    g = vjp_graph(graph, graph.outputs, graph.inputs[:1], "float64")
    h = jvp_graph(g, g.inputs[:1], "float64")
    ones = np.ones(graph.out_avals[0].shape)
    return compute(h, [*c.arrays, ones, ones])[3]


@pytest.mark.parametrize(
    ("name", "attrs", "x", "y", "slope"),
    [
        ("relu", {}, [0.0, NAN, -INF, INF], [0.0, NAN, 0.0, INF], [0.0, 0.0, 0.0, 1.0]),
        ("leaky_relu", {}, [0.0, -INF, INF], [0.0, -INF, INF], [0.01, 0.01, 1.0]),
        ("leaky_relu", {"negative_slope": 0.5}, [0.0, -2.0], [0.0, -1.0], [0.5, 0.5]),
        ("elu", {}, [0.0, -INF, INF, 800.0], [0.0, -1.0, INF, 800.0], [1.0, 0.0, 1.0, 1.0]),
        ("elu", {"alpha": 0.5}, [0.0, -INF], [0.0, -0.5], [0.5, 0.0]),
        ("gelu", {}, [0.0, -INF, INF, -1e300, 1e300], [0.0, 0.0, INF, 0.0, 1e300], [0.5, 0.0, 1.0, 0.0, 1.0]),
        ("gelu", {"approximate": "tanh"}, [0.0, -INF, INF], [0.0, 0.0, INF], [0.5, 0.0, 1.0]),
        ("gelu", {}, [40.0, -40.0], [40.0, 0.0], [1.0, 0.0]),
        ("silu", {}, [0.0, -INF, INF, 800.0, -800.0], [0.0, 0.0, INF, 800.0, 0.0], [0.5, 0.0, 1.0, 1.0, 0.0]),
        ("mish", {}, [0.0, -INF, INF, 300.0], [0.0, 0.0, INF, 300.0], [0.6, 0.0, 1.0, 1.0]),
        ("softplus", {}, [-INF, INF, 1000.0], [0.0, INF, 1000.0], [0.0, 1.0, 1.0]),
        ("softsign", {}, [0.0, -INF, INF], [0.0, -1.0, 1.0], [1.0, 0.0, 0.0]),
        ("sigmoid", {}, [0.0, -INF, INF, 1000.0], [0.5, 0.0, 1.0, 1.0], [0.25, 0.0, 0.0, 0.0]),
        ("log_sigmoid", {}, [-INF, INF, -1000.0], [-INF, 0.0, -1000.0], [1.0, 0.0, 1.0]),
        ("relu6", {}, [0.0, 6.0, 7.0], [0.0, 6.0, 6.0], [0.0, 0.0, 0.0]),
        ("hard_sigmoid", {}, [-3.0, 3.0, 0.0], [0.0, 1.0, 0.5], [0.0, 0.0, 1 / 6]),
    ],
)
def test_kinks_and_limits(
    name: str, attrs: dict[str, Any], x: Sequence[float], y: Sequence[float], slope: Sequence[float]
) -> None:
    np.testing.assert_allclose(value(name, x, **attrs), y, rtol=1e-15, atol=1e-300)
    np.testing.assert_allclose(gradient(name, x, **attrs), slope, rtol=1e-15, atol=1e-300)
    bend = second(name, x, **attrs)
    assert np.isfinite(np.where(np.isnan(x), 0.0, bend)).all(), bend


@pytest.mark.parametrize(
    "name", ["relu", "leaky_relu", "elu", "gelu", "silu", "mish", "softplus", "sigmoid", "log_sigmoid"]
)
def test_nan_stays(name: str) -> None:
    assert np.isnan(value(name, [NAN, 1.0])).tolist() == [True, False]


def test_tails_keep_their_digits() -> None:
    # 1 − σ(x) has no digits left at 40; e⁻ˣ has them all.
    np.testing.assert_allclose(gradient("sigmoid", 40.0), np.exp(-40.0), rtol=1e-14)
    np.testing.assert_allclose(gradient("elu", -40.0), np.exp(-40.0), rtol=1e-14)
    np.testing.assert_allclose(value("log_softmax", [0.0, -50.0]), [-np.exp(-50.0), -50.0], rtol=1e-15)
    np.testing.assert_allclose(value("cross_entropy", [[50.0, 0.0]], [0]), np.exp(-50.0), rtol=1e-14)


def test_softplus_threshold_is_pytorchs_and_scipy_has_none() -> None:
    assert value("softplus", 21.0) == 21.0
    assert gradient("softplus", 21.0) == 1.0
    op, spelling = registry.find("softplus", "scipy.special")
    bound = bind(op, [None], {}, spelling=spelling)
    assert bound.attrs == {"threshold": INF}
    np.testing.assert_allclose(value("softplus", 21.0, **bound.attrs), np.log1p(np.exp(21.0)), rtol=1e-15)


# ------------------------------------------------------------------------------------------------------------ softmax

MASKED = [[0.5, -INF, 1.0], [-INF, -INF, -INF]]


def test_masked_softmax() -> None:
    p = scipy.special.softmax([0.5, 1.0])
    np.testing.assert_allclose(value("softmax", MASKED), [[p[0], 0, p[1]], [0, 0, 0]], rtol=1e-15)
    expected = [[-INF, -INF, -INF], [-INF, -INF, -INF]]
    expected[0] = [np.log(p[0]), -INF, np.log(p[1])]
    np.testing.assert_allclose(value("log_softmax", MASKED), expected, rtol=1e-15)


@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
@pytest.mark.parametrize("ct", [[[1.0, 2.0, -1.0], [3.0, 1.0, 2.0]], [[1.0, INF, -1.0], [INF, NAN, 2.0]]])
def test_masked_entries_have_gradient_zero(name: str, ct: Any) -> None:
    got = gradient(name, MASKED, ct=ct)
    assert got[0, 1] == 0
    assert (got[1] == 0).all()
    # The others are those of the row without the mask.
    np.testing.assert_allclose(
        got[0, [0, 2]], gradient(name, [0.5, 1.0], ct=np.asarray(ct)[0, [0, 2]]), rtol=1e-14
    )


@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
def test_masked_entries_have_no_influence_in_forward_mode(name: str) -> None:
    c = case(name, MASKED)
    graph = c.graph()
    g = jvp_graph(graph, graph.inputs, "float64")
    dx = np.array([[1.0, NAN, -2.0], [INF, NAN, 1.0]])
    tangent = compute(g, [*c.arrays, dx])[1]
    assert tangent[0, 1] == 0
    assert (tangent[1] == 0).all()
    assert np.isfinite(tangent).all()


@pytest.mark.parametrize(("namespace", "axis"), [("", {}), ("scipy.special", {"axis": None})])
@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
def test_default_axis_is_the_librarys(name: str, namespace: str, axis: dict[str, Any]) -> None:
    op, spelling = registry.find(name, namespace)
    assert bind(op, [None], {}, spelling=spelling).attrs == axis
    x = np.array([[0.5, -1.5], [1.0, 2.0]])
    np.testing.assert_allclose(
        value(name, x, **axis), getattr(scipy.special, name)(x, axis=axis.get("axis", -1)), rtol=1e-14
    )


@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
def test_axis_that_is_not_there(name: str) -> None:
    with pytest.raises(ShapeMismatch, match="axis 2"):
        value(name, [[1.0, 2.0]], axis=2)
    with pytest.raises(ShapeMismatch):
        value(name, 1.0, axis=1)


# -------------------------------------------------------------------------------------------------------------- losses

X = [[0.5, -1.5, 3.0], [1.0, 2.0, 0.25]]


@pytest.mark.parametrize(
    ("target", "attrs", "error", "words"),
    [
        ([2, 3], {}, InvalidArray, r"label 3 at \[1\].*0 … 2"),
        ([2, -1], {}, InvalidArray, r"label -1 at \[1\]"),
        ([0, 1, 2], {}, ShapeMismatch, r"labels of shape \[2\].*its shape is \[3\]"),
        ([0.5, 1.0], {}, DtypeMismatch, "must be integers"),
        ([[0.5, 1.0]], {}, ShapeMismatch, r"\[1, 2\]"),
        ([0, 1], {"label_smoothing": 1.5}, InvalidAttribute, "between 0 and 1"),
        ([0, 1], {"reduction": "avg"}, InvalidAttribute, "reduction"),
    ],
)
def test_cross_entropy_refuses(target: Any, attrs: Any, error: type[EngineError], words: str) -> None:
    with pytest.raises(error, match=words):
        value("cross_entropy", X, target, **attrs)


@pytest.mark.parametrize("name", ["cross_entropy", "nll_loss"])
def test_class_losses_refuse(name: str) -> None:
    with pytest.raises(ShapeMismatch, match="axis of classes"):
        value(name, 1.0, 0)
    with pytest.raises(EmptyReduction, match="no classes"):
        value(name, np.zeros((2, 0)), np.array([0, 0]))
    with pytest.raises(ShapeMismatch, match=r"3 classes.*\[2\]"):
        value(name, X, [0, 1], [1.0, 2.0])


def test_probabilities_written_in_integers() -> None:
    hot = np.array([[0, 0, 1], [1, 0, 0]])
    np.testing.assert_allclose(value("cross_entropy", X, hot), value("cross_entropy", X, [2, 0]), rtol=1e-15)


def test_all_labels_ignored() -> None:
    assert np.isnan(value("cross_entropy", X, [-100, -100]))
    assert value("cross_entropy", X, [-100, -100], reduction="sum") == 0
    assert (gradient("cross_entropy", X, [-100, -100], reduction="sum") == 0).all()
    # Any number can mark labels to ignore, that of a class as well.
    np.testing.assert_allclose(
        value("cross_entropy", X, [2, 0], ignore_index=0), value("cross_entropy", X[:1], [2]), rtol=1e-15
    )


def test_mean_of_nothing() -> None:
    assert np.isnan(value("mse_loss", [], []))
    assert np.isnan(value("cross_entropy", np.zeros((0, 3)), np.zeros(0, np.int64)))
    assert value("cross_entropy", np.zeros((0, 3)), np.zeros(0, np.int64), reduction="sum") == 0


def test_a_masked_class_costs_nothing_where_its_target_is_zero() -> None:
    x = [[0.5, -INF, 3.0]]
    for target in ([0], [[0.25, 0.0, 0.75]]):
        assert np.isfinite(value("cross_entropy", x, target))
        got = gradient("cross_entropy", x, target)
        assert np.isfinite(got).all()
        assert got[0, 1] == 0


def test_huber_is_scipys() -> None:
    r = np.array([-3.0, -0.5, 0.0, 1.0, 2.0])
    op, spelling = registry.find("huber", "scipy.special")
    bound = bind(op, [1.5, "r"], {}, spelling=spelling)
    assert bound.operands == ["r", 0.0]
    assert bound.attrs == {"delta": 1.5, "reduction": "none"}
    np.testing.assert_allclose(
        value("huber_loss", r, 0.0, **bound.attrs), scipy.special.huber(1.5, r), rtol=1e-15
    )
    np.testing.assert_allclose(
        gradient("huber_loss", r, 0.0, **bound.attrs), np.clip(r, -1.5, 1.5), rtol=1e-15
    )


@pytest.mark.parametrize(
    ("name", "operands", "attrs", "error"),
    [
        ("linear", ([1.0, 2.0], [[1.0, 2.0, 3.0]]), {}, ShapeMismatch),
        ("linear", (1.0, [[1.0]]), {}, ShapeMismatch),
        ("linear", ([1.0], [[[1.0]]]), {}, ShapeMismatch),
        ("linear", ([1.0, 2.0], [[1.0, 2.0]], [1.0, 2.0]), {}, ShapeMismatch),
        ("layer_norm", ([1.0, 2.0],), {"normalized_shape": 3}, ShapeMismatch),
        ("layer_norm", ([1.0, 2.0],), {"normalized_shape": ()}, ShapeMismatch),
        ("layer_norm", ([1.0, 2.0], [1.0]), {"normalized_shape": 2}, ShapeMismatch),
        ("mse_loss", ([1.0, 2.0], [1.0, 2.0, 3.0]), {}, ShapeMismatch),
        ("huber_loss", ([1.0], [1.0]), {"delta": 0.0}, InvalidAttribute),
        ("softplus", ([1.0],), {"beta": 0.0}, InvalidAttribute),
        ("gelu", ([1.0],), {"approximate": "erf"}, InvalidAttribute),
        ("binary_cross_entropy_with_logits", ([1.0, 2.0], [1.0]), {}, ShapeMismatch),
        ("relu", ([True],), {}, DtypeMismatch),
    ],
)
def test_refused(name: str, operands: Any, attrs: Any, error: type[EngineError]) -> None:
    with pytest.raises(error) as caught:
        value(name, *operands, **attrs)
    assert name in caught.value.detail or "broadcast" in caught.value.detail


@pytest.mark.parametrize(
    ("alias", "name"),
    [
        ("swish", "silu"), ("expit", "sigmoid"), ("logistic", "sigmoid"), ("Relu", "relu"), ("logsigmoid", "log_sigmoid"),
        ("log_expit", "log_sigmoid"), ("huber", "huber_loss"), ("hardsigmoid", "hard_sigmoid"), ("LeakyRelu", "leaky_relu"),
    ],
)  # fmt: skip
def test_aliases(alias: str, name: str) -> None:
    assert registry.find(alias)[0].name == name
