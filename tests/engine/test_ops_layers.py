"""Pooling, embedding, attention, normalisation: ties, padding, masks, and derivatives where they are a convention."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from engine.errors import InvalidAttribute, ShapeMismatch, Unsupported
from tests.engine.calls import gradient, value
from tests.engine.helpers import ask, near

INF, NAN = float("inf"), float("nan")
RNG = np.random.default_rng(5)


@pytest.mark.parametrize(
    ("x", "expected", "back"),
    [
        ([-1.0, -3.0, -2.0], [-1.0, -1.0, -2.0, -2.0], [2.0, 0.0, 2.0]),
        ([-INF, -INF, 1.0], [-INF, -INF, 1.0, 1.0], [1.5, 0.5, 2.0]),
        ([2.0, 2.0, 2.0], [2.0, 2.0, 2.0, 2.0], [1.5, 1.0, 1.5]),
        ([NAN, 1.0, 0.0], [NAN, NAN, 1.0, 0.0], [2.0, 1.0, 1.0]),
    ],
)
def test_padding_never_is_the_largest(x: Any, expected: Any, back: Any) -> None:
    """Nor does it take a share of the derivative where all others are −∞; equal entries share."""
    attrs = {"kernel_size": 2, "stride": 1, "padding": 1}
    near(value("max_pool1d", np.array(x), **attrs), np.array(expected))
    near(gradient("max_pool1d", np.array(x), seed=np.ones(4), **attrs), np.array(back))


def test_windows_over_the_end() -> None:
    """With ceil_mode a last window may stand over the end, but none starts behind it."""
    x = np.arange(1.0, 6.0)
    near(value("max_pool1d", x, kernel_size=2, ceil_mode=True), [2.0, 4.0, 5.0])
    near(value("avg_pool1d", x, kernel_size=2, ceil_mode=True), [1.5, 3.5, 5.0])
    near(value("max_pool1d", x, kernel_size=1, stride=3, padding=0, ceil_mode=True), [1.0, 4.0])
    assert value("avg_pool1d", x, kernel_size=2, stride=4, padding=1, ceil_mode=True).shape == (2,)


def test_padding_rows_learn_nothing() -> None:
    table = RNG.normal(size=(4, 3))
    answer = ask("grad", "sum(embedding(i, w, 2)**2)", {"i": np.array([2, 0, 2, 3]), "w": table}, wrt=["w"])
    expected = 2 * table
    expected[[1, 2]] = 0
    near(answer["gradients"]["w"], expected)


@pytest.mark.parametrize(
    ("attrs", "error"),
    [
        ({"max_norm": 1.0}, Unsupported),
        ({"scale_grad_by_freq": True}, Unsupported),
        ({"padding_idx": 3}, InvalidAttribute),
    ],
)
def test_refused_of_embedding(attrs: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="embedding"):
        value("embedding", np.array([0, 1]), np.ones((3, 2)), **attrs)


@pytest.mark.parametrize("index", [-1, 3])
def test_a_row_that_is_not_there(index: int) -> None:
    with pytest.raises(InvalidAttribute, match=rf"embedding: index {index} is out of range"):
        value("embedding", np.array([index]), np.ones((3, 2)))


def test_a_query_that_sees_nothing_spoils_nothing() -> None:
    """Its result is 0, its derivatives are 0, and those of the other queries are what they are without it."""
    q, k, v = (RNG.normal(size=(3, 2)) for _ in range(3))
    mask = np.array([[True, True, False], [False, False, False], [True, False, True]])
    program = "sum(scaled_dot_product_attention(q, k, v, m)**2)"
    for masked in (mask, np.where(mask, 0.0, -INF)):
        whole = ask("grad", program, {"q": q, "k": k, "v": v, "m": masked}, wrt=["q", "k", "v"])
        rest = ask(
            "grad", program, {"q": q[[0, 2]], "k": k, "v": v, "m": masked[[0, 2]]}, wrt=["q", "k", "v"]
        )
        near(whole["gradients"]["q"][1], np.zeros(2))
        near(whole["gradients"]["q"][[0, 2]], rest["gradients"]["q"])
        for name in ("k", "v"):
            near(whole["gradients"][name], rest["gradients"][name])
        second = ask("hessian", program, {"q": q, "k": k, "v": v, "m": masked}, wrt=["q"])["hessian"]["q"][
            "q"
        ]
        assert np.isfinite(second).all()
        near(second[1], np.zeros((2, 3, 2)))


def test_causal_attention_sees_no_later_key() -> None:
    q, k, v = (RNG.normal(size=(4, 2)) for _ in range(3))
    jac = ask(
        "jacobian",
        "scaled_dot_product_attention(q, k, v, is_causal=True)",
        {"q": q, "k": k, "v": v},
        wrt=["v"],
    )
    seen = np.abs(jac["jacobian"]["v"]).sum((1, 3)) > 0 if "v" in jac["jacobian"] else None
    if seen is None:
        (only,) = jac["jacobian"].values()
        seen = np.abs(only["v"]).sum((1, 3)) > 0
    np.testing.assert_array_equal(seen, np.tril(np.ones((4, 4), bool)))


def test_refused_of_attention() -> None:
    q = np.ones((3, 2))
    with pytest.raises(Unsupported, match="dropout_p must be 0"):
        value("scaled_dot_product_attention", q, q, q, dropout_p=0.5)
    with pytest.raises(ShapeMismatch, match=r"attn_mask of shape \[4\] cannot be broadcast to \[3, 3\]"):
        value("scaled_dot_product_attention", q, q, q, np.ones(4))
    with pytest.raises(ShapeMismatch, match="query has 2 features"):
        value("scaled_dot_product_attention", q, np.ones((3, 4)), q)
    with pytest.raises(ShapeMismatch, match="enable_gqa"):
        value(
            "scaled_dot_product_attention",
            np.ones((3, 2, 2)),
            np.ones((2, 2, 2)),
            np.ones((2, 2, 2)),
            enable_gqa=True,
        )


def test_batch_norm_by_the_batch_forgets_shift_and_scale() -> None:
    """Its derivative along x + a + b·x is 0, to second order."""
    x = RNG.normal(size=(6, 2))
    ct = RNG.normal(size=(6, 2))
    g = gradient("batch_norm", x, seed=ct, training=True, eps=0.0)
    near(g.sum(0), np.zeros(2), atol=1e-12)
    near((g * x).sum(0), np.zeros(2), atol=1e-12)


def test_second_derivatives_of_a_small_network() -> None:
    """A Hessian through convolution, normalisation, activation and pooling against differences of gradients."""
    program = "sum(avg_pool1d(tanh(batch_norm(conv1d(x, w, None, 1, 1), training=True)), 2)**2 * c)"
    x, c = RNG.normal(size=(2, 2, 4)), RNG.normal(size=(2, 3, 2))
    w = RNG.normal(size=(3, 2, 3))
    at = {"x": x, "w": w, "c": c}
    full = ask("hessian", program, at, wrt=["w"])["hessian"]["w"]["w"]
    direction = RNG.normal(size=w.shape)
    h = 1e-5

    def slope(t: float) -> Any:
        return ask("grad", program, {**at, "w": w + t * direction}, wrt=["w"])["gradients"]["w"]

    near(np.tensordot(full, direction, 3), (slope(h) - slope(-h)) / (2 * h), rtol=1e-6, atol=1e-7)


def test_second_derivative_of_the_largest() -> None:
    """It is linear where it is smooth, so only what is behind it bends."""
    program = "sum(max_pool1d(x, 2, 1, 1)**2)"
    got = ask("hessian", program, {"x": np.array([1.0, 3.0, 2.0])})["hessian"]["x"]["x"]
    near(got, np.diag([2.0, 4.0, 2.0]))


@pytest.mark.parametrize("mode", ["linear", "nearest"])
def test_infinity_stays_where_it_is(mode: str) -> None:
    """A neighbour of weight 0 does not count."""
    x = np.array([[[1.0, 2.0, INF, 4.0]]])
    y = value("interpolate", x, size=7, mode=mode, **({"align_corners": True} if mode == "linear" else {}))
    assert np.isfinite(y[0, 0, [0, 2, 6]]).all()
