"""zeros, ones, full, eye, arange, linspace: values, dtypes, static sizes, and limits."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from engine.errors import Arity, EngineError, InvalidAttribute, LimitExceeded, ShapeMismatch
from tests.engine.calls import answer, value
from tests.engine.helpers import ask, near


@pytest.mark.parametrize("shape", [0, 3, [], [2, 3], [2, 0, 1]])
def test_zeros_ones_and_full(shape: Any) -> None:
    for name, expected in (("zeros", np.zeros(shape)), ("ones", np.ones(shape))):
        got = value(name, shape=shape)
        near(got, expected)
        assert got.dtype == np.float64
    near(value("full", 2.5, shape=shape), np.full(shape, 2.5))


def test_the_like_ones_have_shape_and_dtype_of_their_operand() -> None:
    for dtype in (np.float64, np.int64, np.bool_):
        x = np.ones((2, 3), dtype)
        for name in ("zeros_like", "ones_like"):
            got = value(name, x)
            assert got.dtype == dtype
            near(got, getattr(np, name)(x))
    near(value("full_like", np.zeros((2, 3)), np.arange(3.0)), np.full_like(np.zeros((2, 3)), np.arange(3.0)))


@pytest.mark.parametrize("k", [-5, -1, 0, 2, 9])
@pytest.mark.parametrize(("n", "m"), [(3, None), (2, 4), (4, 2), (0, 3), (3, 0)])
def test_eye(n: int, m: int | None, k: int) -> None:
    near(value("eye", n=n, m=m, k=k), np.eye(n, m, k))


@pytest.mark.parametrize(
    "given",
    [
        (5,), (0,), (-3,), (2, 7), (7, 2), (2, 9, 3), (9, 2, -3), (2.5,), (0, 1, 0.1), (1, 2, 0.3), (0.0, -1.0, -0.25),
        (1, 1.3, 0.1), (0, 1, 1e-3), (5, 5), (0.5, 3.5),
    ],
)  # fmt: skip
def test_arange_has_numpys_numbers(given: tuple[float, ...]) -> None:
    got = ask("evaluate", f"arange({', '.join(map(str, given))})")["outputs"]["t1"]
    np.testing.assert_array_equal(got, np.arange(*given))
    assert got.dtype == (np.int64 if all(float(g).is_integer() for g in given) else np.float64)


def test_arange_of_integers_is_an_index_and_a_number() -> None:
    near(ask("evaluate", "x[arange(2)]", {"x": [1.0, 2.0, 3.0]})["outputs"]["t1"], [1.0, 2.0])
    asked = ask("grad", "sum(arange(3) * x / 2)", {"x": 4.0})
    near(asked["value"], 6.0)
    near(asked["gradients"]["x"], 1.5)
    near(ask("evaluate", "arange(3) + 0.5")["outputs"]["t1"], [0.5, 1.5, 2.5])


def test_sizes_from_inputs_and_shapes() -> None:
    near(ask("evaluate", "zeros((n, 2))", {"n": 3})["outputs"]["t1"], np.zeros((3, 2)))
    near(ask("evaluate", "arange(n)", {"n": 3})["outputs"]["t1"], np.arange(3))
    near(ask("evaluate", "eye(n)", {"n": 2})["outputs"]["t1"], np.eye(2))
    near(ask("grad", "sum(linspace(0, x, n))", {"x": 1.0, "n": 5})["gradients"]["x"], 2.5)
    last = ask("evaluate", "y = x @ eye(x.shape[1])", {"x": [[1.0, 2.0]]})["outputs"]["y"]
    near(last, [[1.0, 2.0]])


@pytest.mark.parametrize("endpoint", [True, False])
@pytest.mark.parametrize("num", [0, 1, 2, 3, 7, 50])
def test_linspace(num: int, endpoint: bool) -> None:
    for start, stop in ((0.0, 1.0), (1.0, -2.0), (0.1, 0.1), (-1e308, 1e307)):
        got = value("linspace", start, stop, num=num, endpoint=endpoint)
        np.testing.assert_array_equal(got, np.linspace(start, stop, num, endpoint))
    starts, stops = np.array([0.0, 1.0]), np.array([[2.0, -1.0], [0.3, 0.7]])
    near(
        value("linspace", starts, stops, num=num, endpoint=endpoint),
        np.linspace(starts, stops, num, endpoint=endpoint),
    )


def test_linspace_ends_at_stop_and_has_its_derivative() -> None:
    for stop in (0.3, 1 / 3, 1e-300):
        assert value("linspace", 0.1, stop, num=50)[-1] == stop
    asked = answer("grad", "linspace", [0.5, 2.0], {"num": 4}, seed=np.array([1.0, 10.0, 100.0, 1000.0]))[
        "gradients"
    ]
    near(asked["x0"], 1 + 20 / 3 + 100 / 3)
    near(asked["x1"], 10 / 3 + 200 / 3 + 1000)


def test_nothing_is_differentiated_for_its_shape_alone() -> None:
    asked = ask("grad", "sum(zeros_like(x) + ones_like(x) * x)", {"x": [1.0, 2.0]})["gradients"]
    near(asked["x"], [1.0, 1.0])
    near(ask("grad", "sum(full_like(x, y))", {"x": [1.0, 2.0], "y": 3.0})["gradients"]["y"], 2.0)


def test_constants_that_are_made_twice_keep_their_own_gradients() -> None:
    graph = {
        "nodes": [
            {"id": "a", "op": "ones", "attrs": {"shape": []}},
            {"id": "b", "op": "ones", "attrs": {"shape": []}},
            {"id": "x", "op": "input"},
            {"id": "ax", "op": "multiply", "inputs": ["a", "x"]},
            {"id": "y", "op": "add", "inputs": ["ax", "b"]},
        ],
    }
    asked = ask("grad", graph, {"x": 5.0}, wrt=["a", "b"])["gradients"]
    near(asked, {"a": 5.0, "b": 1.0})


def test_under_a_map_they_are_made_once() -> None:
    text = "sum(x * arange(3) + zeros_like(x) + linspace(0, s, 3)) + sum(eye(2))"
    asked = ask("grad", text, {"x": np.ones((4, 3)), "s": np.arange(4.0)}, in_axes={"x": 0, "s": 0})
    near(asked["gradients"]["x"], np.broadcast_to(np.arange(3.0), (4, 3)))
    near(asked["gradients"]["s"], np.full(4, 1.5))
    alone = ask("evaluate", "zeros_like(x)", {"x": np.ones((4, 3))}, in_axes={"x": 0})
    near(alone["outputs"]["t1"], np.zeros((4, 3)))


def test_in_single_precision() -> None:
    for text in ("zeros(2)", "eye(2)", "arange(0, 1, 0.25)", "linspace(0, 1, 3)", "full(2, 0.5)"):
        assert ask("evaluate", text, dtype="float32")["outputs"]["t1"].dtype == np.float32


@pytest.mark.parametrize(
    "text",
    [
        "zeros(10**9)", "ones((10**5, 10**5))", "full((2**40, 2**40), 1.5)", "eye(10**6)", "eye(10**12, 10**12)",
        "arange(10**9)", "arange(1e300)", "arange(0, 1, 1e-300)", "linspace(0, 1, 10**12)",
    ],
)  # fmt: skip
def test_a_size_over_the_limit_is_refused_before_anything_is_made(text: str) -> None:
    with pytest.raises(LimitExceeded) as caught:
        ask("evaluate", text)
    assert caught.value.limit == "elements"


@pytest.mark.parametrize(
    ("text", "error", "words"),
    [
        ("zeros(-1)", InvalidAttribute, "negative"),
        ("zeros((2, -3))", InvalidAttribute, "negative"),
        ("zeros(n)", InvalidAttribute, "negative"),
        ("zeros(2.5)", InvalidAttribute, "shape"),
        ("eye(-2)", InvalidAttribute, "negative"),
        ("arange()", Arity, "arange"),
        ("arange(0, 1, 0)", InvalidAttribute, "step"),
        ("arange(np.inf)", InvalidAttribute, "finite"),
        ("arange(0, np.nan)", InvalidAttribute, "finite"),
        ("arange(0, 5, 'a')", InvalidAttribute, "'a' is no number"),
        ("linspace(0, 1, -1)", InvalidAttribute, "negative"),
        ("linspace(0, 1, 2.5)", InvalidAttribute, "num"),
        ("linspace(zeros(2), zeros(3))", ShapeMismatch, "broadcast"),
        ("full((2, 2), zeros(3))", ShapeMismatch, r"\[3\]"),
        ("full_like(zeros(2), zeros(3))", ShapeMismatch, r"\[3\]"),
    ],
)
def test_refuses(text: str, error: type[EngineError], words: str) -> None:
    with pytest.raises(error, match=words):
        ask("evaluate", text, {"n": -1} if "(n)" in text else {})
