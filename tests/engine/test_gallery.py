"""The gallery's programs (docs/gallery.md) with the published inputs: values and derivatives as published.

Expected figures are ADBench's and GradBench's (`tests/data/adbench`), each with its stated agreement; objectives without
published figures here are compared with plain NumPy and differences.
"""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.engine.helpers import ask

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT.parent / "docs" / "gallery.md"


@cache
def programs() -> dict[str, str]:
    """The programs of the page by the heading they stand under (numbered where there are several)."""
    found: dict[str, str] = {}
    for section in re.split(r"^## ", PAGE.read_text(encoding="utf-8"), flags=re.M)[1:]:
        title = section.splitlines()[0].strip()
        for k, text in enumerate(re.findall(r"```python no-run\n(.*?)```", section, re.S)):
            found[f"{title} {k}" if k else title] = text
    return found


def published(name: str) -> dict[str, Any]:
    """Inputs and expected figures of an ADBench or GradBench instance."""
    found: dict[str, Any] = json.loads((ROOT / "data" / "adbench" / f"{name}.json").read_text("utf-8"))
    return found


def near(got: Any, expected: Any, tolerance: float = 1e-9) -> None:
    """Equal up to `tolerance` of the largest entry."""
    e = np.asarray(expected, float)
    np.testing.assert_allclose(
        np.asarray(got), e, rtol=tolerance, atol=tolerance * 1e-3 * np.abs(e).max(initial=0)
    )


def test_gaussian_mixture() -> None:
    case = published("gmm_adbench_unittest")
    given = dict(case["inputs"])
    d, n = given.pop("d"), given.pop("n")
    k = given.pop("k")
    assert np.shape(given["x"]) == (n, d)
    lower = [i * d + j for j in range(d) for i in range(j + 1, d)]
    text = programs()["Gaussian mixture"]
    answer = ask("grad", text, given | {"lower": lower}, wrt=["alpha", "mu", "q", "l"], nodes="none")
    near(answer["value"], case["expected"]["value"])
    g = answer["gradients"]
    flat = [*g["alpha"], *np.ravel(g["mu"])]
    for c in range(k):
        flat += [*g["q"][c], *g["l"][c]]
    near(flat, case["expected"]["gradient_flat"])


def test_bundle_adjustment() -> None:
    case = published("ba_adbench_unittest")
    given = case["inputs"]
    inputs = {
        "cams": given["cams"], "X": given["X"], "w": given["w_all"], "feats": given["feats"],
        "camera": [o[0] for o in given["obs"]], "point": [o[1] for o in given["obs"]],
    }  # fmt: skip
    text = programs()["Bundle adjustment"]
    p, n, m = len(given["obs"]), len(given["cams"]), len(given["X"])
    outputs = ask("evaluate", text, inputs)["outputs"]
    near(np.ravel(outputs["reproj_err"]), case["expected"]["value"]["reproj_err"])
    near(outputs["w_err"], case["expected"]["value"]["w_err"])

    for sparse in (False, True):
        answer = ask("jacobian", text, inputs, wrt=["cams", "X", "w"], sparse=sparse)
        blocks = answer["jacobian"]
        whole = np.hstack(
            [
                np.vstack(
                    [dense(blocks[out][name], rows) for out, rows in (("reproj_err", 2 * p), ("w_err", p))]
                )
                for name in ("cams", "X", "w")
            ]
        )
        expected = np.zeros((3 * p, 11 * n + 3 * m + p))
        csr = case["expected"]["jacobian_csr"]
        for row in range(3 * p):
            for at in range(csr["rows"][row], csr["rows"][row + 1]):
                expected[row, csr["cols"][at]] = csr["vals"][at]
        near(whole, expected)


def dense(block: Any, rows: int) -> Any:
    """A block as a matrix."""
    if not isinstance(block, dict):
        return np.asarray(block).reshape(rows, -1)
    matrix = np.zeros(block["shape"])
    matrix[block["row"], block["col"]] = block["data"]
    return matrix


def test_hand_tracking() -> None:
    case = published("ht_adbench_simple")
    data = case["inputs"]["data"]
    model = data["model"]
    assert model["parents"] == [-1, *[p for f in range(5) for p in (0, 4 * f + 1, 4 * f + 2, 4 * f + 3)], 0]
    inputs = {
        "theta": case["inputs"]["theta"],
        "points": data["points"],
        "correspondences": data["correspondences"],
        "mirror": -1.0 if model["is_mirrored"] else 1.0,
        **{k: model[k] for k in ("base_relatives", "inverse_base_absolutes", "base_positions", "weights")},
    }
    answer = ask("jacobian", programs()["Hand tracking"], inputs, wrt=["theta"])
    ((out, row),) = answer["jacobian"].items()
    near(np.ravel(answer["outputs"][out]), case["expected"]["value"])
    near(row["theta"].reshape(-1, 26), case["expected"]["jacobian"])


@pytest.mark.parametrize("name", ["lstm_l1_c6_b5", "lstm_adbench_unittest_l2_c1024"])
def test_lstm(name: str) -> None:
    case = published(name)
    answer = ask(
        "grad", programs()["LSTM"], case["inputs"], wrt=["main_params", "extra_params"], nodes="none"
    )
    near(answer["value"], case["expected"]["value"])
    flat = np.concatenate([np.ravel(answer["gradients"][n]) for n in ("main_params", "extra_params")])
    near(flat, case["expected"]["gradient_flat"])


def test_k_means() -> None:
    rng = np.random.default_rng(0)
    points, centroids = rng.normal(size=(30, 3)), rng.normal(size=(4, 3))
    inputs = {"points": points, "centroids": centroids}
    squared = ((points[:, None] - centroids) ** 2).sum(2)
    nearest = squared.argmin(1)
    answer = ask("hessian", programs()["k-means"], inputs, wrt=["centroids"])
    near(answer["value"], squared.min(1).sum())
    near(
        answer["gradients"]["centroids"],
        [2 * (centroids[k] - points[nearest == k]).sum(0) for k in range(4)],
    )
    counts = np.bincount(nearest, minlength=4)
    near(answer["hessian"]["centroids"]["centroids"].reshape(12, 12), np.diag(np.repeat(2.0 * counts, 3)))


def test_ordinary_differential_equation() -> None:
    x = np.array([0.7, 1.1, 0.4, 0.9])
    answer = ask("grad", programs()["Ordinary differential equation"], {"x": x, "steps": 50}, nodes="none")
    # y₁ = x₁ t, y₂ = x₂x₁ t²/2, … at t = 2: a product of all parameters, 2⁴/4!.
    expected = np.prod(x) * 2**4 / 24
    near(answer["value"], expected, 1e-8)
    near(answer["gradients"]["x"], expected / x, 1e-8)


def test_determinant_least_squares_and_log_sum_exp() -> None:
    rng = np.random.default_rng(1)
    A = rng.normal(size=(5, 5))
    page = programs()
    title = "Determinant, least squares, log-sum-exp"
    found = ask("grad", page[title], {"A": A})
    near(found["value"], np.linalg.det(A))
    near(found["gradients"]["A"], np.linalg.det(A) * np.linalg.inv(A).T)

    x = rng.normal(size=4)
    t = np.linspace(-1, 1, 21)
    P = t[:, None] ** np.arange(4)
    found = ask("hessian", page[f"{title} 1"], {"x": x, "n": 21})
    near(found["value"], 0.5 * np.sum((np.sign(t) - P @ x) ** 2))
    near(found["gradients"]["x"], P.T @ (P @ x - np.sign(t)))
    near(found["hessian"]["x"]["x"], P.T @ P)

    found = ask("hessian", page[f"{title} 2"], {"x": x})
    p = np.exp(x) / np.exp(x).sum()
    near(found["gradients"]["x"], p)
    near(found["hessian"]["x"]["x"], np.diag(p) - np.outer(p, p))
