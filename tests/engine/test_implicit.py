"""Values that equations define: against closed forms, SciPy and dense algebra; where they are not found; large systems."""

from __future__ import annotations

import time
from itertools import product
from typing import Any

import numpy as np
import pytest
import scipy.interpolate
import scipy.optimize

from engine.errors import (
    Arity,
    DeadlineExceeded,
    EngineError,
    InvalidAttribute,
    LimitExceeded,
    ShapeMismatch,
    SingularMatrix,
)
from engine.execute.meter import Meter
from tests.engine.helpers import ask, near
from tests.engine.subgraphs import graph, sub

SQUARE = sub("x a", "f", s=("multiply", "x", "x"), f=("subtract", "s", "a"))
KEPLER = sub(
    "E M e", "f", s=("sin", "E"), p=("multiply", "e", "s"), d=("subtract", "E", "p"), f=("subtract", "d", "M")
)


def root(body: dict[str, Any], start: Any, *constants: str, **attrs: Any) -> dict[str, Any]:
    return graph(" ".join(constants), "y", y=("root", start, *constants, {"body": body, **attrs}))


def test_square_root_at_every_order() -> None:
    """√a, d = ½a^(−½), d² = −¼a^(−3/2)."""
    a = 2.0
    program = root(SQUARE, 1.0, "a")
    near(ask("evaluate", program, {"a": a})["outputs"]["y"], np.sqrt(a), 4e-16, 0)
    near(ask("grad", program, {"a": a})["gradients"]["a"], 0.5 * a**-0.5, 1e-15)
    near(ask("grad", program, {"a": a}, mode="forward")["gradients"]["a"], 0.5 * a**-0.5, 1e-15)
    near(ask("hessian", program, {"a": a})["hessian"]["a"]["a"], -0.25 * a**-1.5, 1e-14)


def derived(kind: str, body: dict[str, Any]) -> dict[str, Any]:
    if kind == "grad":
        return sub("a", "d", d=("grad", "a", {"body": body}))
    return sub("a", "d", v=("jvp", "a", 1.0, {"body": body}), d=("item", "v", {"index": 1}))


@pytest.mark.parametrize("kinds", [*product(("grad", "jvp"), repeat=2), *product(("grad", "jvp"), repeat=3)])
def test_nested_derivatives_of_a_root_in_every_mixture(kinds: tuple[str, ...]) -> None:
    body = sub("a", "y", y=("root", 1.0, "a", {"body": SQUARE}))
    for kind in kinds:
        body = derived(kind, body)
    a = np.array([2.0, 0.3])
    found = ask("evaluate", graph("a", "h", h=("vmap", "a", {"body": body})), {"a": a})["outputs"]["h"]
    near(found, -0.25 * a**-1.5 if len(kinds) == 2 else 0.375 * a**-2.5, 1e-12)


def test_kepler() -> None:
    """E − e sin E = M: ∂E/∂M = 1/(1 − e cos E), ∂E/∂e = sin E/(1 − e cos E), and their derivatives."""
    m, e = 0.7, 0.6
    at = {"M": m, "e": e}
    big = scipy.optimize.brentq(lambda x: x - e * np.sin(x) - m, 0, 3, xtol=1e-15)
    k = 1 - e * np.cos(big)
    program = root(KEPLER, 1.0, "M", "e")
    answer = ask("hessian", program, at)
    near(answer["value"], big, 1e-14)
    near(answer["gradients"]["M"], 1 / k, 1e-13)
    near(answer["gradients"]["e"], np.sin(big) / k, 1e-13)
    near(answer["hessian"]["M"]["M"], -e * np.sin(big) / k**3, 1e-12)
    near(answer["hessian"]["M"]["e"], (np.cos(big) * k - e * np.sin(big) ** 2) / k**3, 1e-12)
    near(answer["hessian"]["e"]["M"], answer["hessian"]["M"]["e"], 1e-13)


def test_the_starting_point_has_gradient_zero_and_no_influence() -> None:
    program = graph("s a", "y", y=("root", "s", "a", {"body": SQUARE}))
    for start in (0.01, 1.0, 300.0):
        answer = ask("grad", program, {"s": start, "a": 2.0})
        assert answer["gradients"]["s"] == 0.0
        near(answer["gradients"]["a"], 0.5 / np.sqrt(2.0), 1e-15)
    assert ask("jvp", program, {"s": 1.0, "a": 2.0}, tangents={"s": 1.0})["output_tangents"]["y"] == 0.0


SYSTEM = sub(
    "z a b",
    "f",
    x=("getitem", "z", {"index": [0]}),
    y=("getitem", "z", {"index": [1]}),
    p=("multiply", "x", "y"),
    s=("add", "x", "y"),
    u=("subtract", "p", "a"),
    v=("subtract", "s", "b"),
    f=("stack", "u", "v"),
)
"""x y = a, x + y = b: x, y = (b ± √(b² − 4a))/2."""


def test_a_system_of_two_against_its_closed_form() -> None:
    a, b = 2.0, 4.0
    program = graph(
        "a b",
        "x y",
        z=("root", [3.0, 0.5], "a", "b", {"body": SYSTEM}),
        x=("getitem", "z", {"index": [0]}),
        y=("getitem", "z", {"index": [1]}),
    )
    q = np.sqrt(b * b - 4 * a)
    near(ask("evaluate", program, {"a": a, "b": b})["outputs"], {"x": (b + q) / 2, "y": (b - q) / 2}, 1e-15)
    for mode in ("reverse", "forward"):
        jacobian = ask("jacobian", program, {"a": a, "b": b}, mode=mode)["jacobian"]
        near(jacobian["x"]["a"], -1 / q, 1e-13)
        near(jacobian["x"]["b"], (1 + b / q) / 2, 1e-13)
        near(jacobian["y"]["b"], (1 - b / q) / 2, 1e-13)
    hessian = ask("hessian", program, {"a": a, "b": b})["hessian"]
    near(hessian["a"]["a"], -2 / q**3, 1e-12)
    near(hessian["a"]["b"], b / q**3, 1e-12)
    near(hessian["b"]["b"], -2 * a / q**3, 1e-12)


def test_several_unknowns_as_arrays() -> None:
    """The same system, its unknowns two operands: two results."""
    body = sub(
        "x y a b",
        "u v",
        p=("multiply", "x", "y"),
        s=("add", "x", "y"),
        u=("subtract", "p", "a"),
        v=("subtract", "s", "b"),
    )
    program = graph(
        "a b",
        "x y",
        z=("root", 3.0, 0.5, "a", "b", {"body": body, "carry": 2}),
        x=("item", "z", {"index": 0}),
        y=("item", "z", {"index": 1}),
    )
    q = np.sqrt(8.0)
    answer = ask("jacobian", program, {"a": 2.0, "b": 4.0})
    near(answer["outputs"], {"x": (4 + q) / 2, "y": (4 - q) / 2}, 1e-15)
    near(answer["jacobian"]["y"]["a"], 1 / q, 1e-13)


def test_a_natural_cubic_spline_is_linear_in_its_values() -> None:
    """Moments of a spline solve a tridiagonal system; the spline, and its derivative by the values, against SciPy."""
    n, at = 8, 0.37
    x = np.linspace(0.0, 1.0, n)
    h = x[1] - x[0]
    rng = np.random.default_rng(3)
    values = rng.normal(size=n)
    k = int(at / h)
    t = (at - x[k]) / h

    def cut(name: str, start: int | None, stop: int | None) -> Any:
        return ("getitem", name, {"index": [{"start": start, "stop": stop, "step": None}]})

    matvec = sub(
        "m",
        "r",
        p=("pad", "m", {"pad_width": 1}),
        a=cut("p", None, -2),
        c=cut("p", 2, None),
        s=("add", "a", "c"),
        f=("multiply", 4.0, "m"),
        r=("add", "f", "s"),
    )
    nodes: dict[str, Any] = {
        "a": cut("v", None, -2),
        "b": cut("v", 1, -1),
        "c": cut("v", 2, None),
        "w": ("multiply", 2.0, "b"),
        "s": ("add", "a", "c"),
        "d": ("subtract", "s", "w"),
        "e": ("multiply", 6 / h**2, "d"),
        "m": ("linear_solve", "e", {"body": matvec, "symmetric": True}),
        "M": ("pad", "m", {"pad_width": 1}),
    }
    weights = np.zeros(n)
    weights[k], weights[k + 1] = 1 - t, t
    bends = np.zeros(n)
    bends[k], bends[k + 1] = h * h / 6 * ((1 - t) ** 3 - (1 - t)), h * h / 6 * (t**3 - t)
    nodes |= {
        "p": ("multiply", "v", weights.tolist()),
        "q": ("multiply", "M", bends.tolist()),
        "g": ("add", "p", "q"),
        "y": ("sum", "g"),
    }
    program = graph("v", "y", **nodes)
    answer = ask("grad", program, {"v": values})
    spline = scipy.interpolate.CubicSpline(x, values, bc_type="natural")
    near(answer["value"], spline(at), 1e-13)
    units = scipy.interpolate.CubicSpline(x, np.eye(n), bc_type="natural")
    near(answer["gradients"]["v"], units(at), 1e-12, 1e-14)


# ---------------------------------------------------------------------------------------------------------- fixed points


def test_fixed_point_of_the_cosine() -> None:
    """x = cos(a x): ẋ = −x sin(ax)/(1 + a sin(ax))."""
    body = sub("x a", "g", m=("multiply", "a", "x"), g=("cos", "m"))
    program = graph("a", "y", y=("fixed_point", 0.5, "a", {"body": body}))
    answer = ask("grad", program, {"a": 1.0})
    x = 0.7390851332151607
    near(answer["value"], x, 4e-16, 0)
    near(answer["gradients"]["a"], -x * np.sin(x) / (1 + np.sin(x)), 1e-14)


def test_a_slow_contraction_is_found_to_the_last_digits() -> None:
    """x = a + 0.999 tanh(x): plain iteration would take 30,000 steps."""
    body = sub("x a", "g", t=("tanh", "x"), m=("multiply", 0.999, "t"), g=("add", "m", "a"))
    program = graph("a", "y", y=("fixed_point", [0.0, 5.0, -3.0], "a", {"body": body}))
    answer = ask("evaluate", program, {"a": 1e-4})
    expected = scipy.optimize.brentq(lambda v: v - 1e-4 - 0.999 * np.tanh(v), 0, 1, xtol=1e-15)
    near(answer["outputs"]["y"], np.full(3, expected), 1e-9)
    assert answer["warnings"] == []


def test_an_iteration_without_a_fixed_point_is_nan_with_a_warning() -> None:
    body = sub("x a", "g", e=("exp", "x"), g=("add", "e", "a"))
    answer = ask("evaluate", graph("a", "y", y=("fixed_point", 0.5, "a", {"body": body})), {"a": 1.0})
    assert np.isnan(answer["outputs"]["y"])
    (warning,) = answer["warnings"]
    assert warning["kind"] == "non-finite-value"
    assert warning["node"] == "y"
    assert "fixed_point did not converge: residual" in warning["detail"]


# ---------------------------------------------------------------------------------------------------------- hard roots

HARD = [
    ("far away", sub("x", "f", a=("arctan", "x"), f=("subtract", "a", 0.5)), 50.0, np.tan(0.5)),
    ("an exponential", sub("x", "f", e=("exp", "x"), f=("subtract", "e", 1e-3)), 20.0, np.log(1e-3)),
    ("beyond the domain", sub("x", "f", e=("log", "x"), f=("add", "e", 2.0)), 30.0, np.exp(-2.0)),
    ("a root at 0", sub("x", "f", f=("sin", "x")), 0.5, 0.0),
    ("a root at 0, of an exponential", sub("x", "f", f=("expm1", "x")), 1.0, 0.0),
    ("rounding at 0", sub("x", "f", e=("exp", "x"), f=("subtract", "e", 1.0)), 1.0, 0.0),
    ("a double root", sub("x", "f", d=("subtract", "x", 1.0), f=("square", "d")), 3.0, 1.0),
    (
        "Newton's cycle",
        sub(
            "x",
            "f",
            c=("pow", "x", 3.0),
            l=("multiply", 2.0, "x"),
            d=("subtract", "c", "l"),
            f=("add", "d", 2.0),
        ),
        0.0,
        -1.7692923542386314,
    ),
    ("a tiny scale", sub("x", "f", s=("square", "x"), f=("subtract", "s", 1e-40)), 1e-19, 1e-20),
    ("a large scale", sub("x", "f", s=("square", "x"), f=("subtract", "s", 1e40)), 1e3, 1e20),
    ("at the start", sub("x", "f", s=("square", "x"), f=("subtract", "s", 4.0)), 2.0, 2.0),
]


@pytest.mark.parametrize(("what", "body", "start", "expected"), HARD, ids=[h[0] for h in HARD])
def test_hard_roots_of_one_unknown(what: str, body: dict[str, Any], start: float, expected: float) -> None:
    program = graph("s", "y", y=("root", "s", {"body": body}))
    answer = ask("evaluate", program, {"s": start})
    near(answer["outputs"]["y"], expected, 1e-9 if "double" in what else 1e-14, 1e-15 if expected == 0 else 0)
    assert answer["warnings"] == []
    several = ask("evaluate", program, {"s": np.array([start, start * 1.01])}, in_axes={"s": 0})["outputs"][
        "y"
    ]
    near(several, np.full(2, expected), 1e-9, 1e-15 if expected == 0 else 0)


NO_ROOT = [
    sub("x", "f", s=("square", "x"), f=("add", "s", 1.0)),
    sub("x", "f", e=("exp", "x"), f=("add", "e", 1.0)),
    sub("x", "f", d=("subtract", "x", 0.3), f=("divide", 1.0, "d")),
    sub(
        "x",
        "f",
        m=("greater", "x", 0.3),
        f=("where", "m", "p", "n"),
        p=("add", 1.0, "q"),
        n=("subtract", "q", 1.0),
        q=("multiply", "x", 0.01),
    ),
]


@pytest.mark.parametrize("body", NO_ROOT)
def test_no_root_is_nan_and_a_warning_that_says_how_the_search_ended(body: dict[str, Any]) -> None:
    program = graph("s", "y", y=("root", "s", {"body": body}))
    answer = ask("grad", program, {"s": 1.0})
    assert np.isnan(answer["outputs"]["y"])
    warning = answer["warnings"][0]
    assert warning["kind"] == "non-finite-value"
    assert warning["node"] == "y"
    assert "root did not converge: residual" in warning["detail"]
    assert "iterations" in warning["detail"]
    assert (warning["index"], warning["count"]) == ([], 1)


def test_no_root_where_it_is_not_needed_leaves_the_gradient_alone() -> None:
    """where(a > 0, root(x² − a), 0) at a = −1: the branch that is cut off contributes exactly nothing."""
    program = graph(
        "a", "r", y=("root", 1.0, "a", {"body": SQUARE}), m=("greater", "a", 0.0), r=("where", "m", "y", 0.0)
    )
    answer = ask("grad", program, {"a": -1.0})
    assert answer["value"] == 0.0
    assert answer["gradients"]["a"] == 0.0
    assert ask("hessian", program, {"a": -1.0})["hessian"]["a"]["a"] == 0.0


def test_a_singular_jacobian_names_the_node() -> None:
    start = graph("s a", "y", y=("root", "s", "a", {"body": SQUARE}))
    with pytest.raises(
        SingularMatrix, match=r"singular at the starting point \[0\], where the residual is 2"
    ) as caught:
        ask("evaluate", start, {"s": 0.0, "a": 2.0})
    assert caught.value.node == "y"
    members = ask(
        "grad", start, {"s": np.array([0.0, 1.0]), "a": np.array([2.0, 2.0])}, in_axes={"s": 0, "a": 0}
    )
    assert np.isnan(members["outputs"]["y"][0])
    near(members["outputs"]["y"][1], np.sqrt(2.0), 1e-15)
    near(members["gradients"]["a"][1], 0.5 / np.sqrt(2.0), 1e-15)


@pytest.mark.parametrize(
    ("verb", "more"), [("grad", {}), ("jacobian", {}), ("jvp", {"tangents": {"a": 1.0}}), ("hessian", {})]
)
def test_no_derivative_where_the_jacobian_is_singular_at_the_root(verb: str, more: dict[str, Any]) -> None:
    """x² = a at a = 0, found at once from 0: dx/da is infinite there."""
    with pytest.raises(SingularMatrix, match="no derivative") as caught:
        ask(verb, root(SQUARE, 0.0, "a"), {"a": 0.0}, **more)
    assert caught.value.node == "y"


def test_batches_of_roots() -> None:
    """Each member has its own root, from its own start, however different; the derivative too."""
    rng = np.random.default_rng(5)
    a, s = rng.uniform(0.01, 1e4, 200), rng.uniform(0.1, 100.0, 200)
    program = graph("s a", "y", y=("root", "s", "a", {"body": SQUARE}))
    answer = ask("grad", program, {"s": s, "a": a}, in_axes={"s": 0, "a": 0})
    near(answer["outputs"]["y"], np.sqrt(a), 1e-15)
    near(answer["gradients"]["a"], 0.5 / np.sqrt(a), 1e-14)
    inside = graph(
        "s a", "y", y=("vmap", "s", "a", {"body": sub("s a", "y", y=("root", "s", "a", {"body": SQUARE}))})
    )
    near(ask("evaluate", inside, {"s": s, "a": a})["outputs"]["y"], np.sqrt(a), 1e-15)


def test_float32() -> None:
    answer = ask("grad", root(SQUARE, 1.0, "a"), {"a": 2.0}, dtype="float32")
    assert answer["value"].dtype == np.float32
    near(answer["value"], np.float32(np.sqrt(2.0)), 2e-7)
    near(answer["gradients"]["a"], np.float32(0.5 / np.sqrt(2.0)), 4e-7)
    assert answer["warnings"] == []


def test_a_root_inside_a_loop_and_inside_a_root() -> None:
    """x ← √x, 3 times: a^(1/8). And x with x² = √a, the inner root inside the outer body: a^(1/4)."""
    step = sub("i x", "y", y=("root", 1.0, "x", {"body": SQUARE}))
    program = graph("a", "y", y=("fori_loop", "a", {"stop": 3, "body": step}))
    near(ask("hessian", program, {"a": 2.0})["hessian"]["a"]["a"], -7 / 64 * 2.0 ** (-15 / 8), 1e-12)
    nested = sub(
        "x a", "f", r=("root", 1.0, "a", {"body": SQUARE}), s=("square", "x"), f=("subtract", "s", "r")
    )
    found = ask("hessian", root(nested, 1.0, "a"), {"a": 2.0})
    near(found["gradients"]["a"], 0.25 * 2.0**-0.75, 1e-13)
    near(found["hessian"]["a"]["a"], -3 / 16 * 2.0**-1.75, 1e-12)


# ---------------------------------------------------------------------------------------------------------- linear systems

MATRIX = sub("x A", "y", y=("matmul", "A", "x"))


def test_linear_solve_and_its_adjoint_against_numpy() -> None:
    """x̄ → b̄ = A⁻ᵀx̄, Ā = −b̄xᵀ."""
    rng = np.random.default_rng(7)
    a, b, w = rng.normal(size=(6, 6)), rng.normal(size=6), rng.normal(size=6)
    program = graph("b A", "x", x=("linear_solve", "b", "A", {"body": MATRIX}))
    answer = ask("vjp", program, {"b": b, "A": a}, cotangents={"x": w})
    x, back = np.linalg.solve(a, b), np.linalg.solve(a.T, w)
    near(answer["outputs"]["x"], x, 1e-12)
    near(answer["gradients"]["b"], back, 1e-12)
    near(answer["gradients"]["A"], -np.outer(back, x), 1e-11)
    jacobian = ask("jacobian", program, {"b": b, "A": a}, wrt=["b"])["jacobian"]["x"]["b"]
    near(jacobian, np.linalg.inv(a), 1e-11)
    two = {"b": np.stack([b, 2 * b]), "A": a}
    near(ask("evaluate", program, two, in_axes={"b": 0})["outputs"]["x"], np.stack([x, 2 * x]), 1e-12)
    other = {"b": b, "A": np.stack([a, a.T])}
    near(ask("evaluate", program, other, in_axes={"A": 0})["outputs"]["x"][1], np.linalg.solve(a.T, b), 1e-12)


@pytest.mark.parametrize("symmetric", [False, True])
def test_large_systems_are_solved_by_iteration(symmetric: bool) -> None:
    """1,500 unknowns: (k + second difference) x = b, matrix-free; value, adjoint and derivative by k against a dense solve."""
    n, k = 1500, 2.5
    cut = {"start": None, "stop": -2, "step": None}, {"start": 2, "stop": None, "step": None}
    nodes: dict[str, Any] = {
        "p": ("pad", "x", {"pad_width": 1}),
        "l": ("getitem", "p", {"index": [cut[0]]}),
        "u": ("getitem", "p", {"index": [cut[1]]}),
        "m": ("multiply", "k", "x"),
    }
    if symmetric:
        nodes |= {"s": ("add", "l", "u"), "y": ("subtract", "m", "s")}
    else:
        nodes |= {"h": ("multiply", 0.5, "l"), "s": ("add", "h", "u"), "y": ("subtract", "m", "s")}
    body = sub("x k", "y", **nodes)
    program = graph(
        "b k",
        "r",
        x=("linear_solve", "b", "k", {"body": body, "symmetric": symmetric}),
        q=("square", "x"),
        r=("sum", "q"),
    )
    b = np.random.default_rng(9).normal(size=n)
    a = k * np.eye(n) - np.eye(n, k=1) - (1.0 if symmetric else 0.5) * np.eye(n, k=-1)
    x = np.linalg.solve(a, b)
    back = np.linalg.solve(a.T, 2 * x)
    answer = ask("grad", program, {"b": b, "k": k})
    near(answer["values"]["x"], x, 1e-9, 1e-10)
    near(answer["gradients"]["b"], back, 1e-9, 1e-10)
    near(answer["gradients"]["k"], -back @ x, 1e-9)


def test_a_large_root_is_found_by_newton_and_krylov() -> None:
    """x + tanh(x)/2 + x shifted by one/10 = b, 2,000 unknowns; the adjoint against a dense solve."""
    n = 2000
    body = sub(
        "x b", "f", t=("tanh", "x"), h=("multiply", 0.5, "t"), s=("add", "x", "h"), o=("roll", "x", {"shift": 1}),
        m=("multiply", 0.1, "o"), u=("add", "s", "m"), f=("subtract", "u", "b"),
    )  # fmt: skip
    b = np.linspace(-3, 3, n)
    program = graph("b", "r", y=("root", "b", "b", {"body": body}), r=("sum", "y"))
    answer = ask("grad", program, {"b": b})
    y = answer["values"]["y"]
    near(y + np.tanh(y) / 2 + 0.1 * np.roll(y, 1), b, 1e-12)
    jacobian = np.diag(1 + 0.5 / np.cosh(y) ** 2) + 0.1 * np.roll(np.eye(n), 1, axis=0)
    near(answer["gradients"]["b"], np.linalg.solve(jacobian.T, np.ones(n)), 1e-10)


def test_equations_entry_by_entry_are_solved_one_by_one() -> None:
    """x² = a for 50,000 unknowns in one vector: no matrix, and an entry without a root is NaN alone."""
    a = np.linspace(0.01, 100.0, 50_000)
    a[7] = -1.0
    program = graph("a", "r", y=("root", "a", "a", {"body": SQUARE}), r=("sum", "y"))
    answer = ask("grad", program, {"a": a})
    y, good = answer["values"]["y"], a > 0
    assert np.isnan(y[~good]).all()
    near(y[good], np.sqrt(a[good]), 1e-15)
    near(answer["gradients"]["a"][good], 0.5 / np.sqrt(a[good]), 1e-14)
    assert "root did not converge" in answer["warnings"][0]["detail"]
    assert (answer["warnings"][0]["index"], answer["warnings"][0]["count"]) == ([7], 1)
    diagonal = graph(
        "b d", "x", x=("linear_solve", "b", "d", {"body": sub("x d", "y", y=("multiply", "x", "d"))})
    )
    near(ask("evaluate", diagonal, {"b": [1.0, 2.0], "d": [2.0, 8.0]})["outputs"]["x"], [0.5, 0.25])
    with pytest.raises(SingularMatrix):
        ask("evaluate", diagonal, {"b": [1.0, 2.0], "d": [2.0, 0.0]})


def test_a_system_that_no_iteration_solves_is_nan_with_a_warning() -> None:
    """A cyclic shift of 1,500 entries: GMRES sees nothing before its last step."""
    body = sub("x", "y", y=("roll", "x", {"shift": 1}))
    b = np.zeros(1500)
    b[0] = 1.0
    answer = ask("evaluate", graph("b", "x", x=("linear_solve", "b", {"body": body})), {"b": b})
    assert np.isnan(answer["outputs"]["x"]).any()
    assert "linear_solve did not converge" in answer["warnings"][0]["detail"]


def test_singular_matrices() -> None:
    program = graph("b A", "x", x=("linear_solve", "b", "A", {"body": MATRIX}))
    singular = np.array([[1.0, 2.0], [2.0, 4.0]])
    with pytest.raises(SingularMatrix) as caught:
        ask("evaluate", program, {"b": [1.0, 2.0], "A": singular})
    assert caught.value.node == "x"
    found = ask(
        "evaluate", program, {"b": [1.0, 2.0], "A": np.stack([singular, np.eye(2)])}, in_axes={"A": 0}
    )
    assert np.isnan(found["outputs"]["x"][0]).all()
    near(found["outputs"]["x"][1], [1.0, 2.0])
    assert found["warnings"][0]["kind"] == "non-finite-value"


# ------------------------------------------------------------------------------------------------------------ mistakes

WIDE = sub("x", "f", f=("stack", "x", "x"))
TWICE = sub("x", "f g", f=("square", "x"), g=("sin", "x"))
MISTAKES: list[tuple[type[EngineError], str, Any]] = [
    (
        ShapeMismatch,
        r"result 0 of the body must be as operand 0 \('x' in the body\)",
        ("root", "x", {"body": WIDE}),
    ),
    (ShapeMismatch, "result 0 of the body", ("fixed_point", "x", {"body": WIDE})),
    (ShapeMismatch, "result 0 of the body", ("linear_solve", "x", {"body": WIDE})),
    (Arity, "must return 1 value", ("root", "x", {"body": TWICE})),
    (Arity, "takes 2 inputs", ("root", "x", {"body": SQUARE})),
    (Arity, "takes 1 input ", ("root", "x", 1.0, {"body": sub("x", "f", f=("sin", "x"))})),
    (InvalidAttribute, "because of sin", ("linear_solve", "x", {"body": sub("x", "f", f=("sin", "x"))})),
    (InvalidAttribute, "because of add", ("linear_solve", "x", {"body": sub("x", "f", f=("add", "x", 1.0))})),
    (
        InvalidAttribute,
        "because of a result that does not depend",
        ("linear_solve", "x", {"body": sub("x", "f", f=("add", 1.0, 2.0))}),
    ),
    (
        InvalidAttribute,
        "at most 100,000",
        ("root", "x", {"body": sub("x", "f", f=("sin", "x")), "max_iterations": 10**9}),
    ),
    (Arity, "at least one unknown", ("root", "x", {"body": sub("x", "f", f=("sin", "x")), "carry": 0})),
    (Arity, "each of 3 unknowns", ("root", "x", {"body": sub("x", "f", f=("sin", "x")), "carry": 3})),
]


@pytest.mark.parametrize(("kind", "says", "node"), MISTAKES)
def test_mistakes_name_the_node(kind: type[EngineError], says: str, node: Any) -> None:
    several = node[-1].get("carry", 1) != 1 or node[-1]["body"] is TWICE
    reader = {"r": ("item", "n", {"index": 0})} if several else {"r": ("identity", "n")}
    with pytest.raises(kind, match=says) as caught:
        ask("evaluate", graph("x", "r", n=node, **reader), {"x": 1.0})
    assert caught.value.node == "n"


@pytest.mark.parametrize("tol", [0.0, -1.0, 1.0, "NaN"])
def test_a_tolerance_is_between_0_and_1(tol: Any) -> None:
    with pytest.raises(InvalidAttribute, match="tol must be a number between 0 and 1"):
        ask("evaluate", root(SQUARE, 1.0, "a", tol=tol), {"a": 1.0})


def test_deadlines_and_limits_hold() -> None:
    slow = sub("x a", "g", p=("add", "x", 1.0), q=("multiply", "p", "a"), g=("cos", "q"))
    program = graph(
        "a", "y", y=("fixed_point", 0.5, "a", {"body": slow, "max_iterations": 10000, "tol": 1e-300})
    )
    many = {"a": np.linspace(0.1, 1.2, 200_000)}
    with pytest.raises(DeadlineExceeded):
        ask("evaluate", program, many, in_axes={"a": 0}, meter=Meter(time.monotonic() + 0.1))
    body = sub("x b", "f", t=("tanh", "x"), f=("subtract", "t", "b"))
    large = graph("b", "y", y=("root", "b", "b", {"body": body, "max_iterations": 100000}))
    with pytest.raises(LimitExceeded):
        ask("evaluate", large, {"b": np.full((2000, 1000), 0.5)}, in_axes={"b": 0})
