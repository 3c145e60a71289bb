"""The 27 nonlinear regression problems of NIST: residuals, gradients and Hessians at both starts.

Expected figures are those of JAX and PyTorch in double precision (`tests/data/README.md`); the sum of squares at the
certified parameters is NIST's own.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.engine.helpers import ask

PROBLEMS: list[dict[str, Any]] = json.loads(
    (Path(__file__).parent.parent / "data" / "nist_strd.json").read_text(encoding="utf-8")
)["problems"]


def test_all_of_them_are_there() -> None:
    assert len(PROBLEMS) == 27


@pytest.mark.parametrize("at", ["start1", "start2", "certified"])
@pytest.mark.parametrize("problem", PROBLEMS, ids=[p["name"] for p in PROBLEMS])
def test_residual_gradient_and_hessian(problem: dict[str, Any], at: str) -> None:
    names, point = problem["parameters"], problem[at]
    inputs = problem["data"] | dict(zip(names, point["b"], strict=True))
    residual = ask("evaluate", problem["residual"], inputs, nodes="none")["outputs"]
    (r,) = residual.values()
    assert r.shape == (problem["n_obs"],)
    # Near the solution the residuals are differences of nearly equal numbers: Lanczos1's RSS is 1e-25.
    rss = point["rss"] if at != "certified" else point["rss_recomputed"]
    tight = rss > 1e-20
    np.testing.assert_allclose(np.sum(r**2), rss, rtol=1e-9 if tight else 1e-2)

    found = ask("hessian", problem["expression"], inputs, wrt=names, nodes="none")
    gradient = ask("grad", problem["expression"], inputs, wrt=names, nodes="none")["gradients"]
    scale = np.array(point["grad_scale"])
    for k, name in enumerate(names):
        assert abs(gradient[name] - point["grad"][k]) <= (1e-10 if tight else 1e-4) * scale[k]
        assert abs(found["gradients"][name] - point["grad"][k]) <= (1e-10 if tight else 1e-4) * scale[k]
    hessian = np.array([[found["hessian"][a][b] for b in names] for a in names])
    expected = np.array(point["hess"])
    size = np.sqrt(np.abs(np.outer(np.diag(expected), np.diag(expected))))
    np.testing.assert_allclose(hessian, expected, rtol=1e-9, atol=1e-10 * size.max())
