"""Sparse Jacobians by what a program reads of its inputs: against the dense ones, in how many sweeps, where it does not pay."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from engine.derive import Plans, prepare
from engine.execute.meter import Meter
from tests.engine.helpers import ask, request
from tests.engine.test_sparse import compare, v

CAMERA, POINT = [0, 1, 2, 0, 1, 2, 0, 1], [3, 0, 1, 2, 3, 0, 1, 2]
PROGRAMS: dict[str, tuple[str, dict[str, Any], tuple[int, int]]] = {
    # Program, inputs; sweeps, and sweeps where selections are of no use: forward, columns of one row are apart anyway.
    "rows read by two indices": (
        "def f(a, b):\n    return a[0:2]*sum(b) + a[2]\n\nvmap(f)(A[camera], B[point])",
        {"A": v(3, 3), "B": v(4, 2), "camera": CAMERA, "point": POINT},
        (2, 4),
    ),
    "neighbours": ("sin(x[1:] * x[:-1]) + x[1:]**2", {"x": v(9)}, (1, 2)),
    "an entry twice in a row": (
        "x[i] * sin(x[j])",
        {"x": v(4), "i": [0, 1, 2, 3], "j": [0, 2, 2, 1]},
        (1, 2),
    ),
    "other orders of axes": ("y = x.T.reshape(-1)\ny[2:] * y[:-2]", {"x": v(3, 4)}, (1, 2)),
    "all of an input as well": ("x[i] * y + y**3", {"x": v(3), "y": v(6), "i": [2, 2, 0, 1, 0, 1]}, (1, 2)),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_sparse_is_dense(name: str) -> None:
    program, inputs, (passes, without) = PROGRAMS[name]
    wrt = [k for k, x in inputs.items() if isinstance(x, np.ndarray)]
    assert compare("jacobian", program, inputs, wrt=wrt)["passes"] == passes
    forward = compare("jacobian", program, inputs, wrt=wrt, mode="forward")
    assert forward["passes"] == without


@pytest.mark.parametrize(
    ("program", "passes"),
    [
        # All rows read all of what is selected, again and again: by x itself it is fewer nonzeros, and no more sweeps.
        ("A @ x[i]", 4),
        ("y = x[1:]\nx[:-1]**2 + sum(y)", 4),
        # What is asked for is what is read.
        ("y = x[1:]\ny**2", 1),
        ("x", 1),
        ("x[i] + x[0]*0.5", 2),
    ],
)
def test_other_programs(program: str, passes: int) -> None:
    inputs = {"x": v(4), "A": v(5, 12), "i": [0, 1, 2, 3] * 3}
    inputs = {k: x for k, x in inputs.items() if k in program}
    answer = compare("jacobian", program, inputs, wrt=["x"])
    assert answer["passes"] <= passes


def test_what_is_asked_for_may_be_read_elsewhere() -> None:
    """By y and by x, of which y is a piece: neither is taken for what is read of the other."""
    compare("jacobian", "y = x[1:]\ny*x[:-1]", {"x": v(5)}, wrt=["x", "y"])
    compare("jacobian", "y = x[1:]\nz = y[1:]\n(z*y[:-1], y)", {"x": v(5)}, wrt=["x", "y"])


def test_float32() -> None:
    answer = ask(
        "jacobian",
        "x[i] * x[j]",
        {"x": v(4), "i": [0, 1], "j": [0, 2]},
        sparse=True,
        wrt=["x"],
        dtype="float32",
    )
    (block,) = (row["x"] for row in answer["jacobian"].values())
    assert block["data"].dtype == np.float32


def test_jobs_are_kept_by_the_values_of_indices() -> None:
    """However many there are: the same ones are found again, others are not taken for them."""
    rng = np.random.default_rng(0)
    plans = Plans()

    def answered(x: np.ndarray, i: np.ndarray) -> tuple[Any, bool]:
        asked = request("x[i] * x[j]", {"x": x, "i": i, "j": np.arange(500)}, sparse=True, wrt=["x"])
        job = prepare("jacobian", asked, plans=plans)
        return job.run(Meter()), job.cached

    one, other = rng.integers(0, 500, 500), rng.integers(0, 500, 500)
    for i, cached in ((one, False), (other, False), (one, True), (other, True)):
        x = rng.normal(size=500)
        answer, found = answered(x, i)
        assert found is cached
        (block,) = (row["x"] for row in answer["jacobian"].values())
        dense = np.zeros((500, 500))
        np.add.at(dense, (np.arange(500), i), x)
        np.add.at(dense, (np.arange(500), np.arange(500)), x[i])
        found_dense = np.zeros((500, 500))
        found_dense[block["row"], block["col"]] = block["data"]
        np.testing.assert_allclose(found_dense, dense, rtol=1e-15)


def test_jobs_are_not_kept_by_the_values_of_numbers() -> None:
    """Indices that are computed from numbers decide a structure that no key holds."""
    plans = Plans()
    for x in (v(200), v(200, start=1.0)):
        asked = request("y = sort(x)\nx[argsort(x)] * y", {"x": x}, sparse=True, wrt=["x"])
        assert not prepare("jacobian", asked, plans=plans).cached
    assert len(plans) == 0


def test_what_is_read_again_is_read_once() -> None:
    """Three different readings of x, one of them three times."""
    text = "(3 - 2*x[1:-1])*x[1:-1] - x[:-2]*x[1:-1] - 2*x[2:]"
    x = np.linspace(-1, 1, 9)
    job: Any = prepare("jacobian", request(text, {"x": x}, sparse=True, nodes="none"))
    (block,) = job.readout.blocks
    assert block.same is None, "no number is made of several"
    assert block.numbers == 3 * 7
    (found,) = job.run(Meter())["jacobian"].values()
    dense = np.zeros((7, 9))
    dense[found["x"]["row"], found["x"]["col"]] = found["x"]["data"]
    rows = np.arange(7)
    expected = np.zeros((7, 9))
    expected[rows, rows], expected[rows, rows + 2] = -x[1:-1], -2
    expected[rows, rows + 1] = 3 - 4 * x[1:-1] - x[:-2]
    np.testing.assert_allclose(dense, expected, rtol=1e-13)
