"""propagate over HTTP: known results, formulas, sampling, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import sympy

from service.schemas import PropagateAnswer
from tests.service.conftest import Client

IMPEDANCE = "R = V/I*cos(phi)\nX = V/I*sin(phi)\nZ = V/I\nR, X, Z"


def impedance() -> tuple[dict[str, float], np.ndarray]:
    """Means of the five observations of GUM table H.2, and the covariance matrix of the means."""
    observed = np.array(
        [
            [5.007, 4.994, 5.005, 4.990, 4.999],
            [19.663e-3, 19.639e-3, 19.640e-3, 19.685e-3, 19.678e-3],
            [1.0456, 1.0438, 1.0468, 1.0428, 1.0433],
        ]
    )
    return dict(zip(("V", "I", "phi"), observed.mean(1).tolist(), strict=True)), np.cov(observed) / 5


def test_resistance_and_reactance_of_the_gum(client: Client) -> None:
    # JCGM 100:2008, H.2: R = 127.732(71), X = 219.847(295), Z = 254.260(236); correlations -0.588, -0.485, 0.993.
    means, sigma = impedance()
    names = list(means)
    covariance = {a: {b: sigma[i, j] for j, b in enumerate(names) if j >= i} for i, a in enumerate(names)}
    answer = client.ask("propagate", {"expression": IMPEDANCE, "inputs": means, "covariance": covariance})
    PropagateAnswer.model_validate(answer)
    assert [round(v, 3) for v in answer["outputs"].values()] == [127.732, 219.847, 254.260]
    assert [round(v, 3) for v in answer["std"].values()] == [
        0.071,
        0.296,
        0.236,
    ]  # the GUM rounds 0.2956 to 0.295
    assert answer["std"]["X"] == pytest.approx(0.295, abs=1e-3)

    def correlation(a: str, b: str) -> float:
        return answer["covariance"][a][b] / (answer["std"][a] * answer["std"][b])

    assert [round(correlation(*p), 3) for p in ("RX", "RZ", "XZ")] == [-0.588, -0.485, 0.993]
    for shares in answer["shares"].values():
        assert sum(shares.values()) == pytest.approx(1, abs=1e-12)


def test_end_gauge_of_the_gum(client: Client) -> None:
    # JCGM 100:2008, H.1: l = l_s + d - l_s·(δα·θ + α_s·δθ), u_c = 32 nm.
    answer = client.ask(
        "propagate",
        {
            "expression": "l_s + d - l_s*(da*th + a_s*dth)",
            "inputs": {"l_s": 50.000623e6, "d": 215, "da": 0, "th": -0.1, "a_s": 11.5e-6, "dth": 0},
            "std": {"l_s": 25, "d": 9.7, "da": 0.58e-6, "th": 0.41, "a_s": 1.2e-6, "dth": 0.029},
        },
    )
    (out,) = answer["output_ids"]
    assert answer["outputs"][out] == pytest.approx(50.000838e6, abs=0.5)
    assert answer["std"][out] == pytest.approx(np.sqrt(25**2 + 9.7**2 + 2.9**2 + 16.6**2), rel=1e-2)
    parts = {n: np.sqrt(s) * answer["std"][out] for n, s in answer["shares"][out].items()}
    assert parts == pytest.approx({"l_s": 25, "d": 9.7, "da": 2.9, "th": 0, "a_s": 0, "dth": 16.67}, abs=0.06)


FORMULAS = {
    "x*y/z": {"x": 1.2, "y": -3.1, "z": 0.7},
    "exp(-x*y)*sin(z)": {"x": 0.3, "y": 1.1, "z": 2.0},
    "sqrt(x**2 + y**2 + z**2)": {"x": 1.0, "y": 2.0, "z": -2.0},
    "log(x)*y**z": {"x": 3.0, "y": 1.5, "z": 2.5},
}


@pytest.mark.parametrize("text", FORMULAS)
def test_formulas_agree_with_sympy(client: Client, text: str) -> None:
    at = FORMULAS[text]
    symbols = [sympy.Symbol(n) for n in at]
    formula = sympy.sympify(text)
    point = dict(zip(symbols, at.values(), strict=True))
    gradient = np.array([float(formula.diff(s).subs(point)) for s in symbols])
    value = float(formula.subs(point))
    rng = np.random.default_rng(len(text))
    root = rng.normal(size=(3, 3))
    sigma = 1e-4 * root @ root.T
    names = list(at)
    answer = client.ask(
        "propagate",
        {
            "expression": text,
            "inputs": at,
            "std": {n: float(np.sqrt(sigma[i, i])) for i, n in enumerate(names)},
            "covariance": {"x": {"y": sigma[0, 1], "z": sigma[0, 2]}, "z": {"y": sigma[1, 2]}},
        },
    )
    (out,) = answer["output_ids"]
    variance = gradient @ sigma @ gradient
    assert answer["std"][out] == pytest.approx(np.sqrt(variance), rel=1e-12)
    assert answer["covariance"][out][out] == pytest.approx(variance, rel=1e-12)
    shares = gradient * (sigma @ gradient) / variance
    assert answer["shares"][out] == pytest.approx(dict(zip(names, shares, strict=True)), rel=1e-10)
    relative = {n: at[n] / value * g for n, g in zip(names, gradient, strict=True)}
    assert answer["elasticities"][out] == pytest.approx(relative, rel=1e-12)


def test_arrays_agree_with_samples(client: Client) -> None:
    rng = np.random.default_rng(5)
    a, x = rng.normal(size=(3, 4)), rng.normal(size=4)
    root = 2e-3 * rng.normal(size=(4, 4))
    s_a = np.full((3, 4), 1e-3)
    body = {
        "expression": "y = tanh(A @ x)\ns = sum(y**2)\ny, s",
        "inputs": {"A": a.tolist(), "x": x.tolist()},
        "std": {"A": 1e-3},
        "covariance": {"x": {"x": (root @ root.T).tolist()}},
    }
    answer = client.ask("propagate", body)
    n = 1_000_000
    total = np.zeros((4, 4))
    mean = np.zeros(4)
    for _ in range(4):
        xs = x + rng.normal(size=(n // 4, 4)) @ root.T
        noise = a + s_a * rng.normal(size=(n // 4, 3, 4))
        y = np.tanh(np.einsum("nij,nj->ni", noise, xs))
        both = np.concatenate([y, (y**2).sum(1, keepdims=True)], axis=1)
        mean += both.sum(0)
        total += both.T @ both
    mean /= n
    sampled = total / n - np.outer(mean, mean)
    found = np.zeros((4, 4))
    found[:3, :3] = answer["covariance"]["y"]["y"]
    found[:3, 3] = answer["covariance"]["y"]["s"]
    found[3, :3] = answer["covariance"]["s"]["y"]
    found[3, 3] = answer["covariance"]["s"]["s"]
    deviations = np.sqrt(np.diag(found))
    # A sampled variance has a relative standard error of sqrt(2/n) = 1.4e-3; second order adds about as much.
    np.testing.assert_allclose(
        found / np.outer(deviations, deviations), sampled / np.outer(deviations, deviations), atol=8e-3
    )
    np.testing.assert_allclose([*answer["std"]["y"], answer["std"]["s"]], deviations, rtol=1e-12)
    for o in ("y", "s"):
        np.testing.assert_allclose(np.add(answer["shares"][o]["A"], answer["shares"][o]["x"]), 1, rtol=1e-12)
        assert np.shape(answer["elasticities"][o]["A"]) == (*np.shape(answer["outputs"][o]), 3, 4)


def test_maps_are_requests_side_by_side(client: Client) -> None:
    program = "u = A @ x\nsum(u*u), u"
    rng = np.random.default_rng(2)
    a, x = rng.normal(size=(2, 3)), rng.normal(size=(3, 5))
    s = np.abs(rng.normal(size=(3, 5)))
    covariance = {"A": {"A": (np.eye(6) * 0.04).reshape(2, 3, 2, 3).tolist()}}
    mapped = client.ask(
        "propagate",
        {
            "expression": program,
            "inputs": {"A": a.tolist(), "x": x.tolist()},
            "std": {"x": s.tolist()},
            "covariance": covariance,
            "in_axes": {"x": 1},
        },
    )
    for k in range(5):
        one = client.ask(
            "propagate",
            {
                "expression": program,
                "inputs": {"A": a.tolist(), "x": x[:, k].tolist()},
                "std": {"x": s[:, k].tolist()},
                "covariance": covariance,
            },
        )
        for o in mapped["output_ids"]:
            np.testing.assert_allclose(mapped["std"][o][k], one["std"][o], rtol=1e-12)
            for field in ("covariance", "shares", "elasticities"):
                for n, expected in one[field][o].items():
                    np.testing.assert_allclose(mapped[field][o][n][k], expected, rtol=1e-11)
    by_member = {
        "expression": "x*y",
        "inputs": {"x": [1, 2], "y": 3},
        "std": {"x": 1, "y": [1, 2]},
        "covariance": {"x": {"y": [0.5, -1]}},
        "in_axes": {"x": 0},
    }
    answer = client.ask("propagate", by_member)
    assert answer["std"]["t1"] == pytest.approx([np.sqrt(9 + 1 + 3), np.sqrt(9 + 16 - 12)])


def test_two_maps(client: Client) -> None:
    body = {
        "expression": "x*y",
        "inputs": {"x": [1, 2], "y": [3, 4, 5]},
        "std": {"x": [0.1, 0.2], "y": [1, 2, 3]},
        "in_axes": [{"x": 0}, {"y": 0}],
    }
    answer = client.ask("propagate", body)
    x, y, sx, sy = (np.array(v) for v in ([1, 2], [3, 4, 5], [0.1, 0.2], [1, 2, 3]))
    expected = np.sqrt((y * sx[:, None]) ** 2 + (x[:, None] * sy) ** 2)
    np.testing.assert_allclose(answer["std"]["t1"], expected, rtol=1e-12)


def test_intermediates_are_uncertain_too(client: Client) -> None:
    # t := x·y + δ: its own error adds to that which comes through it.
    body = {"expression": "t = x*y\nt + x", "inputs": {"x": 3, "y": 2}, "std": {"t": 0.3, "x": 0.1}}
    answer = client.ask("propagate", body)
    assert answer["std"] == {"t1": pytest.approx(np.sqrt(0.3**2 + 0.3**2))}
    assert answer["shares"]["t1"] == pytest.approx({"x": 0.5, "y": 0, "t": 0.5})
    answer = client.ask("propagate", {**body, "wrt": ["t"], "of": ["t", "t1"]})
    assert answer["shares"] == {"t": {"t": pytest.approx(9 / 13)}, "t1": {"t": pytest.approx(0.5)}}
    assert answer["elasticities"]["t1"] == {"t": pytest.approx(6 / 9)}
    assert answer["covariance"]["t"]["t1"] == answer["covariance"]["t1"]["t"] == pytest.approx(0.09 + 0.06)


def test_a_covariance_is_written_once_or_alike(client: Client) -> None:
    body = {"expression": "sum(x)*y", "inputs": {"x": [1, 2], "y": 3}, "std": {"x": [1, 2], "y": 3}}
    once = client.ask("propagate", {**body, "covariance": {"y": {"x": [1, 1]}}})
    assert once == client.ask("propagate", {**body, "covariance": {"x": {"y": [1, 1]}}})
    assert once == client.ask("propagate", {**body, "covariance": {"x": {"y": [1, 1]}, "y": {"x": [1, 1]}}})
    diagonal = {"x": {"x": [[1, 0], [0, 4]], "y": [1, 1]}, "y": {"y": 9}}
    assert once["std"] == pytest.approx(
        client.ask("propagate", {**body, "std": {}, "covariance": diagonal})["std"], rel=1e-14
    )


def test_complete_correlation_is_allowed(client: Client) -> None:
    # x - y of two readings with the same error.
    body = {
        "expression": "x - y, x + y",
        "inputs": {"x": 1, "y": 2},
        "std": {"x": 0.1, "y": 0.1},
        "covariance": {"x": {"y": 0.01}},
    }
    answer = client.ask("propagate", body)
    difference, total = answer["output_ids"]
    assert answer["std"][difference] == pytest.approx(0, abs=1e-8)
    assert answer["std"][total] == pytest.approx(0.2)


WRONG: list[tuple[dict[str, Any], str, str, str]] = [
    ({"std": {"x": -1}}, "invalid-field", "/std/x", "not negative"),
    ({"std": {"v": [1, -2]}}, "invalid-field", "/std/v", "entry [1]"),
    ({"std": {"v": [1, 2, 3]}}, "shape-mismatch", "/std/v", "[2]"),
    ({"std": {"xx": 1}}, "unknown-node", "/std/xx", "no node"),
    ({"std": {"x": True}}, "dtype-mismatch", "/std/x", "boolean"),
    ({"std": {"x": None}}, "invalid-array", "/std/x", "null"),
    ({"std": {"k": 1}}, "not-differentiable", "/std/k", "integers"),
    ({"std": 3}, "invalid-field", "/std", "standard deviations"),
    ({"covariance": {"x": 3}}, "invalid-field", "/covariance", "covariances"),
    ({"covariance": {"x": {"x": -1}}}, "invalid-field", "/covariance/x/x", "variances"),
    ({"covariance": {"x": {"y": "NaN"}}}, "invalid-field", "/covariance/x/y", "finite"),
    ({"covariance": {"x": {"y": [1]}}}, "shape-mismatch", "/covariance/x/y", "[]"),
    ({"covariance": {"x": {"y": 1}}}, "invalid-field", "/covariance/x/y", "no variance"),
    ({"covariance": {"v": {"v": [[1, 0.5], [0.4, 1]]}}}, "invalid-field", "/covariance/v/v", "symmetric"),
    (
        {"std": {"x": 1, "y": 1}, "covariance": {"x": {"y": 1.1}}},
        "invalid-field",
        "/covariance/x/y",
        "correlation of 1.1",
    ),
    (
        {"std": {"x": 1, "y": 1}, "covariance": {"x": {"y": 0.5}, "y": {"x": 0.4}}},
        "invalid-field",
        "/covariance/y/x",
        "transpose",
    ),
    (
        {"std": {"x": 1}, "covariance": {"x": {"x": 1}}},
        "invalid-field",
        "/std/x",
        "give one of them",
    ),
    (
        {"std": {"x": "Infinity", "y": 1}, "covariance": {"x": {"y": 0.5}}},
        "invalid-field",
        "/std/x",
        "finite",
    ),
    (
        {
            "std": {"x": 1, "y": 1, "v": 1},
            "covariance": {"x": {"y": 0.9, "v": [0.9, 0]}, "y": {"v": [-0.9, 0]}},
        },
        "invalid-field",
        "/covariance",
        "'x', 'y' and 'v' contradict",
    ),
    ({"output_covariance": 1}, "invalid-field", "/output_covariance", "true or false"),
]


@pytest.mark.parametrize(("fields", "kind", "pointer", "words"), WRONG)
def test_what_makes_no_sense_is_refused(
    client: Client, fields: dict[str, Any], kind: str, pointer: str, words: str
) -> None:
    body = {"expression": "x*y*sum(v)*v[k]", "inputs": {"x": 1, "y": 2, "v": [3, 4], "k": 1}, **fields}
    found = client.problem("propagate", body, 422, kind)
    assert found["pointer"] == pointer
    assert words in found["detail"]


def test_all_mistakes_are_told_at_once(client: Client) -> None:
    body = {
        "expression": "x*y",
        "inputs": {"x": 1, "y": 2},
        "std": {"x": -1, "q": 1},
        "covariance": {"y": {"y": [1], "z": 1}},
    }
    found = client.problem("propagate", body, 422, "invalid-field")
    assert [e["pointer"] for e in found["errors"]] == [
        "/std/x",
        "/std/q",
        "/covariance/y/y",
        "/covariance/y/z",
    ]


def test_an_answer_that_is_too_long_is_refused_before_it_is_made(client: Client) -> None:
    body = {
        "expression": "sin(x)*s",
        "inputs": {"x": [0.5] * 10_000, "s": 2},
        "std": {"s": 0.1},
        "wrt": ["s"],
    }
    found = client.problem("propagate", body, 413, "limit-exceeded")
    assert (found["limit"], found["maximum"]) == ("response_elements", 20_000_000)
    assert "output_covariance" in found["detail"]
    answer = client.ask("propagate", {**body, "output_covariance": False})
    assert "covariance" not in answer
    np.testing.assert_allclose(answer["std"]["t2"], 0.1 * np.sin(0.5), rtol=1e-12)
    found = client.problem(
        "propagate", {**body, "output_covariance": False, "wrt": ["x"]}, 413, "limit-exceeded"
    )
    assert "`wrt`" in found["detail"]


def test_figures_neither_overflow_nor_vanish(client: Client) -> None:
    body = {"expression": "x + y", "inputs": {"x": 1, "y": 2}}
    for s in (1e-200, 1e200):
        answer = client.ask("propagate", {**body, "std": {"x": 3 * s, "y": 4 * s}})
        assert answer["std"]["t1"] == pytest.approx(5 * s, rel=1e-14)
        assert answer["shares"]["t1"] == pytest.approx({"x": 9 / 25, "y": 16 / 25})


def test_what_is_not_finite(client: Client) -> None:
    body = {"expression": "x*y, y + 1, x - x", "inputs": {"x": 2, "y": 3}, "std": {"x": "Infinity", "y": 1}}
    answer = client.ask("propagate", body)
    product, shifted, zero = answer["output_ids"]
    assert answer["std"] == {product: "Infinity", shifted: 1.0, zero: 0.0}
    assert answer["covariance"][product][shifted] == 2.0
    assert answer["covariance"][product][product] == "Infinity"
    assert {w["node"]: w["kind"] for w in answer["warnings"]} == {
        product: "non-finite-value",
        zero: "non-finite-gradient",
    }
    # At a root of y the elasticity is infinite; 0·∞ is NaN.
    answer = client.ask("propagate", {"expression": "x - 2", "inputs": {"x": 2}, "std": {"x": 1}})
    assert answer["elasticities"] == {"t1": {"x": "Infinity"}}
    assert answer["warnings"][0]["kind"] == "non-finite-gradient"
    answer = client.ask("propagate", {"expression": "sqrt(x)", "inputs": {"x": 0}, "std": {"x": 1}})
    assert answer["std"] == {"t1": "Infinity"}
    assert answer["elasticities"] == {"t1": {"x": "NaN"}}


def test_dtypes_and_empty_arrays(client: Client) -> None:
    body = {"expression": "x*x", "inputs": {"x": [0.1, 3]}, "std": {"x": 0.1}}
    single = client.ask("propagate", {**body, "dtype": "float32"})
    assert single["std"]["t1"] == [0.02, 0.6]
    encoded = client.ask("propagate", {**body, "arrays": "base64"})
    assert encoded["covariance"]["t1"]["t1"]["shape"] == [2, 2]
    empty = client.ask("propagate", {"expression": "x*2, sum(x)", "inputs": {"x": []}, "std": {"x": 1}})
    assert empty["std"]["t1"]["shape"] == [0]
    assert empty["std"]["t2"] == 0.0
    assert empty["elasticities"]["t2"]["x"]["shape"] == [0]


def test_loops_and_factorisations(client: Client) -> None:
    body = {
        "expression": "y = x\nfor i in range(3):\n    y = y*x\nz = solve(M, [x, 1.0])\ny, z",
        "inputs": {"x": 2, "M": [[2, 0], [0, 4]]},
        "std": {"x": 0.1},
    }
    answer = client.ask("propagate", body)
    assert answer["std"]["y"] == pytest.approx(4 * 8 * 0.1)
    np.testing.assert_allclose(answer["std"]["z"], [0.05, 0], rtol=1e-12)
    body["inputs"]["M"] = [[1, 1], [1, 1]]
    assert client.problem("propagate", body, 422, "singular-matrix")["node"] == "z"


def test_registered_programs_and_warm_requests(client: Client) -> None:
    client.post("/v1/graphs", json={"expression": IMPEDANCE, "name": "impedance"})
    means, _ = impedance()
    body = {"inputs": means, "std": {"V": 0.01}, "include": ["timing"]}
    first = client.post("/v1/graphs/impedance/propagate", json=body).json()
    again = client.post("/v1/graphs/impedance/propagate", json=body).json()
    assert again["timing"]["cached"]
    assert first["std"] == again["std"]
