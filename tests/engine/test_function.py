"""A program's node as a function of a flat vector, against NumPy and the verbs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from engine.cost import Limits
from engine.derive import Request, prepare, prepare_with
from engine.derive.job import Job
from engine.derive.request import resolve_of, resolve_wrt
from engine.errors import LimitExceeded
from engine.execute.meter import Meter
from engine.language import parse_text
from engine.numeric.function import Function
from engine.values import Given

RNG = np.random.default_rng(5)


class Holder(Job):
    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.function = Function(
            self.typed,
            resolve_of(self.typed, self.request),
            resolve_wrt(self.typed, self.request),
            self.arguments,
            self.limits,
            self.meter,
        )


def request_of(text: str, wrt: tuple[str, ...] | None, inputs: dict[str, Any], dtype: str) -> Request:
    given = {k: Given(np.asarray(v, np.float64), True, False) for k, v in inputs.items()}
    return Request(program=parse_text(text), inputs=given, wrt=wrt, dtype=dtype)  # type: ignore[arg-type]


CASES: dict[str, tuple[str, tuple[str, ...] | None, dict[str, Any]]] = {
    "scalars": ("(1 - x)**2 + 100*(y - x**2)**2", None, {"x": 1.5, "y": 2.0}),
    "arrays": (
        "r = A @ x - b\nsum(tanh(r)**2)",
        None,
        {"A": RNG.normal(size=(3, 2)), "x": [1, 2], "b": [1, 2, 3]},
    ),
    "intermediate": (
        "r = A @ x\nsum(exp(r)) + sum(x)",
        ("r", "x"),
        {"A": RNG.normal(size=(3, 2)), "x": [1, 2]},
    ),
    "loop": ("y = x\nfor i in range(4):\n    y = sin(y) * x\ny", None, {"x": 0.7}),
    "output": ("y = x * x", ("y",), {"x": 3.0}),
}


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", CASES)
def test_it_agrees_with_the_verbs(name: str, dtype: str) -> None:
    text, wrt, inputs = CASES[name]
    request = request_of(text, wrt, inputs, dtype)
    f = prepare_with(Holder, request).function
    tolerance = 1e-12 if dtype == "float64" else 2e-5
    gradients = prepare("grad", request).run(Meter())
    value, gradient = f.gradient(f.start)
    np.testing.assert_allclose(value, gradients["value"], rtol=tolerance)
    wanted = np.concatenate([np.ravel(gradients["gradients"][n]) for n in f.names])
    np.testing.assert_allclose(gradient, wanted, rtol=tolerance, atol=tolerance)
    blocks = prepare("hessian", request).run(Meter())["hessian"]
    rows = [
        np.concatenate(
            [np.reshape(blocks[a][b], (p.size, q.size)) for b, q in zip(f.names, f.avals, strict=True)], 1
        )
        for a, p in zip(f.names, f.avals, strict=True)
    ]
    hessian = f.hessian(f.start)
    np.testing.assert_allclose(hessian, np.concatenate(rows), rtol=10 * tolerance, atol=10 * tolerance)
    vector = RNG.normal(size=f.size)
    np.testing.assert_allclose(
        f.hvp(f.start, vector), hessian @ vector, rtol=1e-3 if dtype == "float32" else 1e-10
    )
    points = f.start + 0.1 * RNG.normal(size=(7, f.size))
    values, many = f.gradients(points)
    one = [f.gradient(p) for p in points]
    np.testing.assert_allclose(values, [v for v, _ in one], rtol=tolerance)
    np.testing.assert_allclose(many, [g for _, g in one], rtol=10 * tolerance, atol=tolerance)
    np.testing.assert_allclose(f.values(points), values, rtol=tolerance)


@pytest.mark.parametrize("wrt", [("x",), ("A", "x"), ("r", "x")])
def test_jacobians_by_columns_and_by_rows(wrt: tuple[str, ...]) -> None:
    inputs = {"A": RNG.normal(size=(4, 3)), "x": [1, 2, 3]}
    request = request_of("r = A @ x\ntanh(r) * r", wrt, inputs, "float64")
    f = prepare_with(Holder, request).function
    value, matrix = f.jacobian(f.start)
    answer = prepare("jacobian", request).run(Meter())
    (out,) = answer["output_ids"]
    np.testing.assert_allclose(value, answer["outputs"][out])
    wanted = np.concatenate([np.reshape(answer["jacobian"][out][n], (4, -1)) for n in wrt], 1)
    np.testing.assert_allclose(matrix, wanted, rtol=1e-12, atol=1e-14)


def test_offsets_of_intermediates_move_what_uses_them_alone() -> None:
    f = prepare_with(Holder, request_of("r = x * x\nr + x", ("r",), {"x": 3.0}, "float64")).function
    assert f.start.tolist() == [0.0]
    assert f.value(np.array([0.5])) == 12.5
    assert f.intermediate == [True]


def test_singular_matrices_are_nan_for_their_member() -> None:
    request = request_of("inv(A)[0, 0] * x", None, {"A": [[0, 0], [0, 0]], "x": 2.0}, "float64")
    f = prepare_with(Holder, request).function
    assert np.isnan(f.value(f.start))
    assert f.singular == 1
    value, gradient = f.gradient(f.start)
    assert np.isnan(value)
    assert np.isnan(gradient).all()
    values = f.values(np.stack([f.start, [1, 0, 0, 1, 3.0]]))
    assert np.isnan(values[0])
    assert values[1] == 3.0


def test_points_are_computed_in_chunks_of_one_size() -> None:
    text, wrt, inputs = CASES["arrays"]
    f = prepare_with(Holder, request_of(text, wrt, inputs, "float64"), Limits(memory_bytes=1 << 15)).function
    points = f.start + 0.1 * RNG.normal(size=(100, f.size))
    np.testing.assert_allclose(f.values(points), [f.value(p) for p in points], rtol=1e-13)
    assert f._chunk("value", ("points",), 100) < 100
    assert f.counts.value == 200


def test_limits_hold_before_anything_is_computed() -> None:
    request = request_of("sum(sin(x * arange(1000000)))", None, {"x": 1.0}, "float64")
    with pytest.raises(LimitExceeded):
        prepare_with(Holder, request, Limits(memory_bytes=1 << 20))


def test_vectors_are_packed_and_named() -> None:
    text, wrt, inputs = CASES["arrays"]
    f = prepare_with(Holder, request_of(text, wrt, inputs, "float64")).function
    assert f.names == ["A", "x", "b"]
    assert f.entry(0) == ("A", (0, 0))
    assert f.entry(5) == ("A", (2, 1))
    assert f.entry(7) == ("x", (1,))
    np.testing.assert_array_equal(f.pack(f.unpack(f.start)), f.start)
    assert f.pack({"x": [5, 6]})[6:8].tolist() == [5, 6]


def test_no_variables_and_empty_ones() -> None:
    f = prepare_with(
        Holder, request_of("sum(x) + y", ("x",), {"x": np.zeros((0, 3)), "y": 2.0}, "float64")
    ).function
    assert f.size == 0
    value, gradient = f.gradient(f.start)
    assert (value, gradient.shape) == (2.0, (0,))
    assert f.hessian(f.start).shape == (0, 0)
    assert f.values(np.zeros((3, 0))).tolist() == [2.0, 2.0, 2.0]
