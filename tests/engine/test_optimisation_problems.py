"""117 test functions of the optimisation literature, as text and as graphs: value, gradient and Hessian at the standard
starts and at the known minimisers, where gradients are differences of large numbers and Hessians may be singular.

Expected figures are those of JAX in double precision (`tests/data/README.md`).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.language import parse_text
from tests.engine.helpers import ask

PROBLEMS: list[dict[str, Any]] = json.loads(
    (Path(__file__).parent.parent / "data" / "optimisation_problems.json").read_text(encoding="utf-8")
)["problems"]
CASES = [pytest.param(p, at, id=f"{p['name']}-{at}") for p in PROBLEMS for at in p["points"]]


def check(problem: dict[str, Any], at: str, program: Any, **fields: Any) -> None:
    """The answer of `hessian` at one of the problem's points."""
    point = problem["points"][at]
    x = np.array(point["x"])
    found = ask("hessian", program, {"x": x, **problem["data"]}, wrt=["x"], nodes="none", **fields)
    hessian, gradient = np.array(point["hessian"]), np.array(point["gradient"])
    np.testing.assert_allclose(
        found["hessian"]["x"]["x"], hessian, rtol=0, atol=1e-10 * np.abs(hessian).max()
    )
    # A stationary point's gradient, and there the value of a sum of squares, is what rounding leaves.
    small = 1e-12 * np.abs(hessian).max() * max(1.0, np.abs(x).max()) if at == "minimiser" else 0.0
    np.testing.assert_allclose(
        found["gradients"]["x"], gradient, rtol=0, atol=1e-10 * np.abs(gradient).max() + small
    )
    np.testing.assert_allclose(found["value"], point["value"], rtol=1e-10, atol=small)


def test_all_of_them_are_there() -> None:
    assert len(PROBLEMS) == 117
    assert len(CASES) == 210


@pytest.mark.parametrize(("problem", "at"), CASES)
def test_text(problem: dict[str, Any], at: str) -> None:
    check(problem, at, problem["program"])


@pytest.mark.parametrize(("problem", "at"), CASES)
def test_graph(problem: dict[str, Any], at: str) -> None:
    """The program as its JSON graph, by reverse mode twice."""
    graph = parse_text(problem["program"], inputs=["x", *problem["data"]]).to_json()
    check(problem, at, graph, mode="reverse")
