"""Minimisation: every method on problems with known minima, against SciPy, and what else can happen on the way."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import optimize

from engine.cost import Limits
from engine.derive import Request
from engine.errors import EngineError, LimitExceeded, Mistakes
from engine.execute.meter import Cancelled, Meter
from engine.language import parse_text
from engine.minimize import METHODS, Fields, prepare_minimize
from engine.minimize.least_squares import factored, step_within
from engine.minimize.path import MOST
from engine.minimize.schedules import schedule
from engine.values import Given

ROSENBROCK = "(1 - x)**2 + 100*(y - x**2)**2"
AT = {"x": -1.2, "y": 1.0}


def given(value: Any) -> Given:
    return Given(np.asarray(value, np.float64), True, False)


def job(
    text: str,
    start: dict[str, Any],
    method: str | None = None,
    *,
    inputs: dict[str, Any] | None = None,
    bounds: dict[str, Any] | None = None,
    record: bool | int = False,
    wrt: tuple[str, ...] | None = None,
    of: str | None = None,
    dtype: Any = "float64",
    limits: Limits | None = None,
    **options: Any,
) -> Any:
    values = inputs or {}
    request = Request(
        program=parse_text(text, inputs=[*start, *values]),
        inputs={k: given(v) for k, v in values.items()},
        wrt=wrt,
        of=of,
        dtype=dtype,
    )
    pairs = {k: (given(a), given(b)) for k, (a, b) in (bounds or {}).items()}
    fields = Fields(method, {k: given(v) for k, v in start.items()}, pairs, options, record)
    return prepare_minimize(request, fields, limits)


def run(*args: Any, **more: Any) -> dict[str, Any]:
    found: dict[str, Any] = job(*args, **more).run(Meter())
    return found


# ------------------------------------------------------------------------------------------- problems with known minima

# J. J. Moré, B. S. Garbow, K. E. Hillstrom, Testing unconstrained optimization software, ACM TOMS 7 (1981): residuals, the
# standard start, and the sum of squares at the minimum (of several, those that may be reached).
RESIDUALS: dict[str, tuple[str, list[float], list[float]]] = {
    "rosenbrock": ("[10*(x[1] - x[0]**2), 1 - x[0]]", [-1.2, 1], [0]),
    "freudenstein-roth": (
        "a, b = x[0], x[1]\n[-13 + a + ((5 - b)*b - 2)*b, -29 + a + ((b + 1)*b - 14)*b]",
        [0.5, -2],
        [0, 48.98425367924],
    ),
    "powell-badly-scaled": ("[1e4*x[0]*x[1] - 1, exp(-x[0]) + exp(-x[1]) - 1.0001]", [0, 1], [0]),
    "brown-badly-scaled": ("[x[0] - 1e6, x[1] - 2e-6, x[0]*x[1] - 2]", [1, 1], [0]),
    "beale": ("a, b = x[0], x[1]\n[1.5 - a*(1 - b), 2.25 - a*(1 - b**2), 2.625 - a*(1 - b**3)]", [1, 1], [0]),
    "jennrich-sampson": (
        "i = np.arange(1, 11)\n2 + 2*i - (np.exp(i*x[0]) + np.exp(i*x[1]))",
        [0.3, 0.4],
        [124.36218235561],
    ),
    "helical-valley": (
        "a, b, c = x[0], x[1], x[2]\n[10*(c - 10*arctan2(b, a)/(2*pi)), 10*(sqrt(a**2 + b**2) - 1), c]",
        [-1, 0, 0],
        [0],
    ),
    "bard": (
        "y = np.array([.14, .18, .22, .25, .29, .32, .35, .39, .37, .58, .73, .96, 1.34, 2.10, 4.39])\n"
        "u = np.arange(1, 16)\nv = 16 - u\nw = np.minimum(u, v)\ny - (x[0] + u/(v*x[1] + w*x[2]))",
        [1, 1, 1],
        [8.21487730657e-3],
    ),
    "meyer": (
        "y = np.array([34780., 28610, 23650, 19630, 16370, 13720, 11540, 9744, 8261, 7030, 6005, 5147, 4427, 3820, 3307, "
        "2872])\nt = 45 + 5*np.arange(1, 17)\nx[0]*np.exp(x[1]/(t + x[2])) - y",
        [0.02, 4000, 250],
        [87.9458551703],
    ),
    "gulf": (
        "t = np.arange(1, 100)/100\ny = 25 + (-50*np.log(t))**(2/3)\nnp.exp(-np.abs(y - x[1])**x[2]/x[0]) - t",
        [5, 2.5, 0.15],
        [0, 0.038],
    ),
    "box-3d": (
        "t = 0.1*np.arange(1, 11)\nnp.exp(-t*x[0]) - np.exp(-t*x[1]) - x[2]*(np.exp(-t) - np.exp(-10*t))",
        [0, 10, 20],
        [0],
    ),
    "powell-singular": (
        "a, b, c, d = x[0], x[1], x[2], x[3]\n[a + 10*b, sqrt(5)*(c - d), (b - 2*c)**2, sqrt(10)*(a - d)**2]",
        [3, -1, 0, 1],
        [0],
    ),
    "wood": (
        "a, b, c, d = x[0], x[1], x[2], x[3]\n"
        "[10*(b - a**2), 1 - a, sqrt(90)*(d - c**2), 1 - c, sqrt(10)*(b + d - 2), (b - d)/sqrt(10)]",
        [-3, -1, -3, -1],
        [0],
    ),
    "kowalik-osborne": (
        "y = np.array([.1957, .1947, .1735, .1600, .0844, .0627, .0456, .0342, .0323, .0235, .0246])\n"
        "u = np.array([4, 2, 1, .5, .25, .167, .125, .1, .0833, .0714, .0625])\n"
        "y - x[0]*(u**2 + u*x[1])/(u**2 + u*x[2] + x[3])",
        [0.25, 0.39, 0.415, 0.39],
        [3.07505603849e-4],
    ),
    "brown-dennis": (
        "t = np.arange(1, 21)/5\n(x[0] + t*x[1] - np.exp(t))**2 + (x[2] + x[3]*np.sin(t) - np.cos(t))**2",
        [25, 5, -5, -1],
        [85822.2016263],
    ),
    "osborne-1": (
        "y = np.array([.844, .908, .932, .936, .925, .908, .881, .850, .818, .784, .751, .718, .685, .658, .628, .603, .580, "
        ".558, .538, .522, .506, .490, .478, .467, .457, .448, .438, .431, .424, .420, .414, .411, .406])\n"
        "t = 10*np.arange(33)\ny - (x[0] + x[1]*np.exp(-t*x[3]) + x[2]*np.exp(-t*x[4]))",
        [0.5, 1.5, -1, 0.01, 0.02],
        [5.46489469748e-5],
    ),
    "biggs-exp6": (
        "t = 0.1*np.arange(1, 14)\ny = np.exp(-t) - 5*np.exp(-10*t) + 3*np.exp(-4*t)\n"
        "x[2]*np.exp(-t*x[0]) - x[3]*np.exp(-t*x[1]) + x[5]*np.exp(-t*x[4]) - y",
        [1, 2, 1, 1, 1, 1],
        [0, 5.65565e-3],
    ),
    "osborne-2": (
        "y = np.array([1.366, 1.191, 1.112, 1.013, .991, .885, .831, .847, .786, .725, .746, .679, .608, .655, .616, .606, "
        ".602, .626, .651, .724, .649, .649, .694, .644, .624, .661, .612, .558, .533, .495, .500, .423, .395, .375, .372, "
        ".391, .396, .405, .428, .429, .523, .562, .607, .653, .672, .708, .633, .668, .645, .632, .591, .559, .597, .625, "
        ".739, .710, .729, .720, .636, .581, .428, .292, .162, .098, .054])\nt = np.arange(65)/10\n"
        "y - (x[0]*np.exp(-t*x[4]) + x[1]*np.exp(-(t - x[8])**2*x[5]) + x[2]*np.exp(-(t - x[9])**2*x[6]) "
        "+ x[3]*np.exp(-(t - x[10])**2*x[7]))",
        [1.3, 0.65, 0.65, 0.7, 0.6, 3, 5, 7, 2, 4.5, 5.5],
        [4.01377362935e-2],
    ),
    "penalty-1": ("concatenate([sqrt(1e-5)*(x - 1), [sum(x**2) - 0.25]])", [1, 2, 3, 4], [2.24997750087e-5]),
    "trigonometric": (
        "n = 10\ni = np.arange(1, 11)\nn - sum(cos(x)) + i*(1 - cos(x)) - sin(x)",
        [0.1] * 10,
        [0, 2.79505612188e-5],
    ),
    "extended-rosenbrock": ("concatenate([10*(x[1::2] - x[::2]**2), 1 - x[::2]])", [-1.2, 1] * 50, [0]),
    "rank-deficient": ("[x[0] + x[1] - 2, 2*x[0] + 2*x[1] - 4, x[0] + x[1] - 3]", [0, 0], [0.8333333333333]),
    "underdetermined": ("[x[0]*x[1] + x[2] - 3, x[2]**2 - 1]", [2, 2, 2], [0]),
}


@pytest.mark.parametrize("name", RESIDUALS)
def test_levenberg_marquardt(name: str) -> None:
    """With exact derivatives and the default options, at least as far as MINPACK's `lmdif`."""
    text, start, minima = RESIDUALS[name]
    found = run(text, {"x": start}, "lm")
    assert found["status"] == "converged", found["message"]
    low = min(minima, key=lambda m: abs(m - found["value"]))
    assert abs(found["value"] - low) <= 1e-9 * low + 1e-16, (found["value"], found["message"])
    f = prepare_minimize(
        Request(program=parse_text(text), inputs={"x": given(start)}), Fields("lm"), None
    ).residual
    if name not in ("rank-deficient", "underdetermined"):
        reference = optimize.least_squares(
            lambda x: f.value(x).reshape(-1),
            start,
            method="trf",
            xtol=1e-15,
            ftol=1e-15,
            gtol=1e-15,
            x_scale="jac",
        )
        assert found["value"] <= 2 * reference.cost * (1 + 1e-9) + 1e-16


@pytest.mark.parametrize("method", ["l-bfgs-b", "bfgs", "newton-cg", "trust-region", "gauss-newton"])
@pytest.mark.parametrize(
    "name",
    ["rosenbrock", "beale", "helical-valley", "bard", "kowalik-osborne", "wood", "extended-rosenbrock"],
)
def test_sums_of_squares(name: str, method: str) -> None:
    """An array is a residual for every method: what is minimised is the sum of its squares."""
    text, start, minima = RESIDUALS[name]
    found = run(text, {"x": start}, method)
    if (name, method) == ("kowalik-osborne", "gauss-newton"):
        return  # goes off to infinity, which lm does not
    assert found["status"] == "converged", found["message"]
    np.testing.assert_allclose(found["value"], minima[0], atol=1e-6)
    assert found["value"] >= minima[0] - 1e-12


PROBLEMS: list[dict[str, Any]] = json.loads(
    (Path(__file__).parent.parent / "data" / "optimisation_problems.json").read_text(encoding="utf-8")
)["problems"]
SMOOTH = [
    p
    for p in PROBLEMS
    if {"start", "minimiser"} <= set(p["points"])
    and p["name"]
    not in {"bukin_6", "schwefel_2_22", "alpine_1", "adjiman", "salomon", "meyer", "powell_badly_scaled"}
]


@pytest.mark.parametrize("method", ["l-bfgs-b", "bfgs", "newton-cg", "trust-region"])
def test_the_literature(method: str) -> None:
    """From the standard starts to a stationary point, no higher than where SciPy comes to with our gradients."""
    assert len(SMOOTH) > 80
    for problem in SMOOTH:
        start, x = problem["points"]["start"], problem["points"]["start"]["x"]
        found = run(problem["program"], {"x": x}, method, inputs=problem["data"])
        assert found["status"] == "converged", (problem["name"], found["message"])
        scale = max(1.0, np.abs(start["gradient"]).max())
        assert found["gradient_norm"] <= 1e-4 * scale, (problem["name"], found["gradient_norm"])
        assert found["value"] <= start["value"]


# --------------------------------------------------------------------------------------------------------------- bounds

BOUNDED = [
    "gd",
    "momentum",
    "nesterov",
    "adam",
    "numerical-gd",
    "l-bfgs-b",
    "bfgs",
    "newton-cg",
    "trust-region",
]


@pytest.mark.parametrize("method", [*BOUNDED, "lm", "gauss-newton"])
def test_bounds(method: str) -> None:
    """Linear least squares in a box, against an active-set method."""
    rng = np.random.default_rng(3)
    for n, m in ((1, 2), (3, 5), (8, 20)):
        a, b = rng.normal(size=(m, n)), 3 * rng.normal(size=m)
        low = rng.normal(size=n) - 0.5
        high = low + rng.random(n) * 2
        low[rng.random(n) < 0.2] = -np.inf
        wanted = optimize.lsq_linear(a, b, (low, high), method="bvls", tol=1e-14)
        start = np.clip(np.zeros(n), low, high)
        text = "A @ x - b" if METHODS[method].residual else "sum((A @ x - b)**2)"
        found = run(text, {"x": start}, method, inputs={"A": a, "b": b}, bounds={"x": (low, high)})
        x = found["optimum"]["x"]
        assert ((x >= low) & (x <= high)).all()
        np.testing.assert_allclose(found["value"], 2 * wanted.cost, rtol=1e-7, atol=1e-9)
        np.testing.assert_allclose(x, wanted.x, atol=2e-4)
        assert found["status"] == "converged", found["message"]
        assert found["gradient_norm"] <= 1e-4


@pytest.mark.parametrize("method", ["l-bfgs-b", "bfgs", "newton-cg", "trust-region", "lm"])
@pytest.mark.parametrize(
    ("low", "high", "wanted"),
    [
        ([-2, -2], [0.5, 2], 0.25),
        ([-2, 1.5], [2, 2], 0.0504),
        ([1.5, -5], [5, 2], 0.31),
        ([-5, -5], [5, 5], 0.0),
    ],
)
def test_a_valley_in_a_box(method: str, low: list[float], high: list[float], wanted: float) -> None:
    text = "[10*(x[1] - x[0]**2), 1 - x[0]]"
    found = run(text, {"x": [-1.2, 1]}, method, bounds={"x": (low, high)})
    reference = optimize.minimize(
        lambda x: (1 - x[0]) ** 2 + 100 * (x[1] - x[0] ** 2) ** 2,
        np.clip([-1.2, 1], low, high),
        bounds=list(zip(low, high, strict=True)),
        options={"ftol": 1e-15, "gtol": 1e-10, "maxiter": 10_000, "maxfun": 100_000},
    )
    assert found["status"] == "converged", found["message"]
    np.testing.assert_allclose(found["value"], reference.fun, rtol=1e-5, atol=1e-8)


def test_a_start_outside_is_put_inside() -> None:
    found = run("(x - 3)**2", {"x": 10.0}, bounds={"x": (-1.0, 2.0)}, record=True)
    assert found["history"][0]["point"]["x"] == 2.0
    assert (found["optimum"]["x"], found["gradient_norm"], found["status"]) == (2.0, 0.0, "converged")


# --------------------------------------------------------------------------------------------------- first-order methods


def test_gradient_descent_of_beginners() -> None:
    """Without any option it converges, on bowls of any scale."""
    for scale in (1e-4, 1.0, 1e6):
        found = run(f"{scale}*((x - 3)**2 + 10*(y + 1)**2)", {"x": 0, "y": 0}, "gd")
        assert found["status"] == "converged"
        np.testing.assert_allclose(
            [found["optimum"]["x"], found["optimum"]["y"]], [3, -1], atol=1e-2 if scale < 1 else 1e-5
        )


def test_numerical_descent_costs_2n_more_for_each_step() -> None:
    for n in (1, 5, 20):
        text, start = "sum((x - arange(1.0, n + 1))**2)".replace("n + 1", str(n + 1)), {"x": np.zeros(n)}
        options = {"learning_rate": 0.1, "max_iterations": 7}
        numerical = run(text, start, "numerical-gd", **options)
        exact = run(text, start, "gd", **options)
        assert numerical["evaluations"] == {"value": 8 * (2 * n + 1), "gradient": 0, "hvp": 0}
        assert exact["evaluations"] == {"value": 8, "gradient": 8, "hvp": 0}
        np.testing.assert_allclose(numerical["optimum"]["x"], exact["optimum"]["x"], rtol=1e-8)


@pytest.mark.parametrize("kind", ["constant", "exponential", "step", "inverse-time", "linear", "cosine"])
def test_schedules(kind: str) -> None:
    """Each update of gradient descent is as long as the schedule says."""
    given_ = {"kind": kind, "warmup": 3}
    factor = schedule(given_, 8)
    found = run("x", {"x": 0.0}, "gd", learning_rate=0.5, schedule=given_, max_iterations=8, record=True)
    xs = [e["point"]["x"] for e in found["history"]]
    np.testing.assert_allclose(-np.diff(xs), [0.5 * factor(t) for t in range(8)], rtol=1e-12)
    wanted = {
        "constant": lambda t: 1.0,
        "exponential": lambda t: 0.999**t,
        "step": lambda t: 0.5 ** (t // 1000),
        "inverse-time": lambda t: 1 / (1 + 0.01 * t),
        "linear": lambda t: 1 - t / 8,
        "cosine": lambda t: (1 + np.cos(np.pi * t / 8)) / 2,
    }[kind]
    np.testing.assert_allclose(
        [factor(t) for t in range(8)], [wanted(t) * min(1, (t + 1) / 3) for t in range(8)], rtol=1e-12
    )


DATA = np.random.default_rng(0)
ROWS = DATA.normal(size=(23, 3))
LINE = {"X": ROWS, "y": ROWS @ [1.0, -2.0, 0.5] + 0.1 * DATA.normal(size=23)}


@pytest.mark.parametrize("text", ["mean((X @ w - y)**2)", "X @ w - y"])
def test_batches(text: str) -> None:
    """Against the same epochs in NumPy, the last batch of each being shorter."""
    found = run(
        text,
        {"w": [0, 0, 0]},
        "momentum",
        inputs=LINE,
        batch_size=5,
        learning_rate=0.01,
        max_iterations=22,
        rng_seed=4,
    )
    rng, w, b = np.random.default_rng(4), np.zeros(3), np.zeros(3)
    losses, t = [], 0
    while t < 22:
        order = rng.permutation(23)
        for k in range(0, 23, 5):
            if t == 22:
                break
            rows = order[k : k + 5]
            r = LINE["X"][rows] @ w - LINE["y"][rows]
            g = 2 * LINE["X"][rows].T @ r / (len(rows) if "mean" in text else 1)
            b = 0.9 * b + g
            w = w - 0.01 * b
            t += 1
        r = LINE["X"] @ w - LINE["y"]
        losses.append(np.mean(r**2) if "mean" in text else np.sum(r**2))
    np.testing.assert_allclose([e["value"] for e in found["history"][1:]], losses, rtol=1e-12)
    assert [e["iteration"] for e in found["history"]] == [0, 5, 10, 15, 20, 22]
    assert found["evaluations"]["gradient"] == 22 + 6
    best = int(np.argmin(losses))
    np.testing.assert_allclose(found["value"], losses[best], rtol=1e-12)


# ---------------------------------------------------------------------------------------------------------------- search


def test_a_grid() -> None:
    bounds = {"x": (-2.0, 2.0), "y": (-1.0, 3.0)}
    found = run(ROSENBROCK, {}, "grid-search", bounds=bounds, points={"x": 9, "y": 5})
    xs, ys = np.linspace(-2, 2, 9), np.linspace(-1, 3, 5)
    values = (1 - xs[:, None]) ** 2 + 100 * (ys - xs[:, None] ** 2) ** 2
    i, j = np.unravel_index(np.argmin(values), values.shape)
    assert found["optimum"] == {"x": xs[i], "y": ys[j]}
    assert found["value"] == values.min()
    assert found["evaluations"] == {"value": 45, "gradient": 0, "hvp": 0}
    assert found["iterations"] == 45


def test_random_points() -> None:
    """The same seed, the same points; uniform in the box, normal outside of it."""
    one = run(ROSENBROCK, AT, "random-search", samples=300, rng_seed=1, bounds={"x": (0.0, 2.0)})
    two = run(ROSENBROCK, AT, "random-search", samples=300, rng_seed=1, bounds={"x": (0.0, 2.0)})
    other = run(ROSENBROCK, AT, "random-search", samples=300, rng_seed=2, bounds={"x": (0.0, 2.0)})
    assert one["optimum"] == two["optimum"] != other["optimum"]
    assert one["evaluations"]["value"] == 301
    rng = np.random.default_rng(1)
    x = 2 * rng.random((1024, 2))[:300, 0]
    y = 1 + rng.standard_normal((1024, 2))[:300, 1]
    assert one["value"] == min(24.2, ((1 - x) ** 2 + 100 * (y - x**2) ** 2).min())


# -------------------------------------------------------------------------------------------------------- how it may end


@pytest.mark.parametrize("method", [m for m in METHODS if m not in ("grid-search", "random-search")])
def test_every_method_stops(method: str) -> None:
    """At the number of iterations, of evaluations, and when the time is over; with the best point so far."""
    text = "[10*(y - x**2), 1 - x]" if METHODS[method].residual else ROSENBROCK
    two = run(text, AT, method, max_iterations=2)
    assert (two["status"], two["iterations"], len(two["history"])) == ("max_iterations", 2, 3)
    assert two["value"] == pytest.approx(min(e["value"] for e in two["history"]))
    none = run(text, AT, method, max_iterations=0)
    assert (none["status"], none["iterations"], none["optimum"]) == ("max_iterations", 0, AT)
    few = run(text, AT, method, max_evaluations=4)
    assert few["status"] == "max_evaluations"
    assert sum(few["evaluations"].values()) <= 8
    x, y = few["optimum"].values()
    assert few["value"] == pytest.approx((1 - x) ** 2 + 100 * (y - x**2) ** 2, rel=1e-12)
    aim = run(text, AT, method, target=5.0)
    assert (aim["status"], aim["value"] <= 5) == ("converged", True)
    start = run(text, {"x": 1, "y": 1}, method)
    if method not in ("numerical-gd", "adamw"):
        assert (start["status"], start["iterations"]) == ("converged", 0)


@pytest.mark.parametrize("method", ["adam", "l-bfgs-b", "trust-region", "lm", "random-search"])
def test_deadline_and_cancellation(method: str) -> None:
    slow = "y = x\nfor i in range(3000):\n    y = sin(y) + 1e-3*x\n"
    slow += "y[:2] - 0.3" if method == "lm" else "sum((y - 0.3)**2)"
    more: dict[str, Any] = {} if method in ("random-search",) else {"gtol": 0.0}
    asked = job(slow, {"x": np.linspace(0.1, 1, 40)}, method, **more, max_iterations=1_000_000)
    if method == "random-search":
        asked.options["samples"] = 1_000_000
    begin = time.monotonic()
    found = asked.run(Meter(begin + 1.0))
    assert time.monotonic() - begin < 1.05
    if method in ("adam", "random-search"):
        assert found["status"] == "deadline"
    assert found["value"] <= found["history"][0]["value"]
    calls = 0

    def gone() -> bool:
        nonlocal calls
        calls += 1
        return calls > 3

    again = job(slow, {"x": np.linspace(0.1, 1, 40)}, method, **more, max_iterations=1_000_000)
    with pytest.raises(Cancelled):
        again.run(Meter(None, gone))


@pytest.mark.parametrize("method", ["gd", "adam", "l-bfgs-b", "bfgs", "newton-cg", "trust-region", "lm"])
def test_starts_that_are_not_numbers(method: str) -> None:
    text = "[log(x), x]" if method == "lm" else "log(x) + x"
    found = run(text, {"x": -1.0}, method)
    assert found["status"] == "diverged"
    assert np.isnan(found["value"])
    assert found["warnings"][0]["kind"] == "non-finite-value"


@pytest.mark.parametrize("method", ["gd", "l-bfgs-b", "bfgs", "newton-cg", "trust-region"])
@pytest.mark.parametrize("text", ["-x**2", "x", "0.01*x", "-x**4", "log(x)", "-exp(x)"])
def test_no_minimum(method: str, text: str) -> None:
    found = run(text, {"x": 1.0}, method)
    assert found["status"] == "diverged"
    assert "unbounded" in found["message"] or "without end" in found["message"]


@pytest.mark.parametrize("method", ["gd", "momentum", "nesterov"])
def test_learning_rates_that_are_too_large(method: str) -> None:
    found = run(ROSENBROCK, AT, method, learning_rate=0.5)
    assert found["status"] == "diverged"
    assert "learning_rate" in found["message"]
    assert np.isfinite(found["value"])


@pytest.mark.parametrize("method", ["l-bfgs-b", "bfgs", "newton-cg", "trust-region", "gd"])
def test_walls(method: str) -> None:
    """Line searches come back from where the objective is not defined."""
    text = "(x*log(x) + 1)**2 + (y - 1)**4 + (sqrt(2 - y) - 1)**2"
    found = run(text, {"x": 3.0, "y": -50.0}, method)
    assert found["status"] == "converged", found["message"]
    np.testing.assert_allclose(found["optimum"]["x"], np.exp(-1), atol=1e-3)
    np.testing.assert_allclose(found["value"], (1 - np.exp(-1)) ** 2, atol=1e-6)


@pytest.mark.parametrize("method", ["lm", "gauss-newton"])
def test_walls_of_residuals(method: str) -> None:
    found = run("[x*log(x), 3*log(y), sqrt(2 - y) - 1]", {"x": 3.0, "y": 1e-3}, method)
    assert found["status"] == "converged", found["message"]
    assert found["value"] < 1e-20


def test_a_constant() -> None:
    found = run("0*x + 3", {"x": 1.0})
    assert (found["status"], found["iterations"], found["optimum"]) == ("converged", 0, {"x": 1.0})


def test_singular_matrices_are_nan() -> None:
    text = "s = solve([[x, 1.0], [1.0, 1.0]], [1.0, 2.0])\nsum(s**2)"
    found = run(text, {"x": 1.0}, "gd")
    assert found["status"] == "diverged"
    (warning,) = found["warnings"]
    assert (warning["kind"], warning["node"]) == ("singular-matrix", "s")
    assert run(text, {"x": 3.0})["status"] == "converged"


def test_kinks_and_what_is_hidden_are_told() -> None:
    """Warnings are those of the point that is the answer."""
    found = run("abs(x) + y**2", {"x": 0.0, "y": 1.0}, "gd")
    assert [(w["kind"], w["node"]) for w in found["warnings"]] == [("non-differentiable", "t1")]
    assert run("abs(x - 1) + y**2", {"x": 0.0, "y": 1.0}, "gd", max_iterations=0)["warnings"] == []
    hidden = run("where(x > 0, x**2, log(x))", {"x": 1.0}, "adam", target=0.9)
    assert hidden["warnings"] == []


@pytest.mark.parametrize("method", ["gd", "numerical-gd", "newton-cg", "bfgs", "l-bfgs-b", "trust-region"])
def test_kinks_end_a_line_search(method: str) -> None:
    """At the minimum of |x| + 1 no step lowers the value, and none that is lost in rounding is taken for ever."""
    for start in (-1.0, 0.7):
        found = run("where(x > 0, x, -x) + 1", {"x": start}, method)
        assert found["status"] in ("stalled", "converged")
        assert found["iterations"] < 200
        np.testing.assert_allclose(found["value"], 1, atol=1e-6)


# ----------------------------------------------------------------------------------------------------- history, variables


def test_the_history_is_thinned_evenly() -> None:
    told: list[dict[str, Any]] = []
    asked = job(
        "x**2 + y**2", {"x": 1.0, "y": 1.0}, "gd", learning_rate=1e-5, max_iterations=9999, record=True
    )
    found = asked.run(Meter(), told.append)
    assert 0.3 * MOST <= len(found["history"]) <= MOST
    numbers = [e["iteration"] for e in found["history"]]
    assert (numbers[0], numbers[-1]) == (0, 9999)
    assert len(set(np.diff(numbers[:-1]))) == 1
    assert set(found["history"][0]) == {"iteration", "value", "gradient_norm", "point"}
    assert [t["iteration"] for t in told][:3] == [0, 1, 2]
    few = run("x**2 + y**2", {"x": 1.0, "y": 1.0}, "gd", learning_rate=1e-3, max_iterations=101, record=10)
    assert [e["iteration"] for e in few["history"]] == [*range(0, 101, 10), 101]


def test_points_are_left_out_where_they_are_too_many() -> None:
    """Of the history of a large problem as much is kept as an answer may have, and the first and last always."""
    limits = Limits(response_elements=10_000)
    text, start = "sum(x**2)", {"x": np.ones(1000)}
    found = run(text, start, "gd", learning_rate=0.01, record=True, max_iterations=50, limits=limits)
    assert 2 <= len(found["history"]) <= 9
    assert [found["history"][k]["iteration"] for k in (0, -1)] == [0, 50]
    with pytest.raises(LimitExceeded):
        job(text, {"x": np.ones(4000)}, "gd", record=True, limits=limits)


def test_variables() -> None:
    """`wrt`, else what `start` names, else every floating input."""
    text = "(x - 1)**2 + (y - 2)**2 + (k - 3)**2"
    inputs = {"x": 0.0, "y": 0.0, "k": 0.0}
    assert set(run(text, {}, inputs=inputs)["optimum"]) == {"x", "y", "k"}
    some = run(text, {"x": 5.0}, inputs=inputs)
    assert set(some["optimum"]) == {"x"}
    assert some["value"] == pytest.approx(4 + 9)
    assert set(run(text, {"x": 5.0}, inputs=inputs, wrt=("y", "k"))["optimum"]) == {"y", "k"}
    assert run(text, {"x": 5.0}, inputs=inputs, wrt=("y", "k"))["value"] == pytest.approx(16)


def test_intermediates() -> None:
    """n := op(…) + δ: what is started from and told is the value of n."""
    text = "r = 2*x\nq = r*r\nq + (r - 3)**2 + x**2"
    found = run(text, {"x": 1.0, "r": 5.0}, "bfgs", record=True)
    assert found["history"][0]["point"] == {"x": 1.0, "r": 5.0}
    assert found["history"][0]["value"] == 25 + 4 + 1
    np.testing.assert_allclose(
        [found["optimum"]["x"], found["optimum"]["r"], found["value"]], [0, 1.5, 4.5], atol=1e-6
    )
    both = run(text, {"r": 1.0, "q": -7.0}, "gd", inputs={"x": 0.5}, max_iterations=0)
    assert both["optimum"] == {"r": 1.0, "q": -7.0}
    assert both["value"] == -7 + 4 + 0.25


@pytest.mark.parametrize("method", [m for m in METHODS if m != "grid-search"])
def test_single_precision(method: str) -> None:
    residual = METHODS[method].residual
    text = "[x - 1.5, 2*(y - x)]" if residual else "(x - 1.5)**2 + 2*(y - x)**2"
    found = run(text, {"x": 0.0, "y": 3.0}, method, dtype="float32")
    assert found["optimum"]["x"].dtype == np.float32
    if method != "random-search":
        np.testing.assert_allclose(found["value"], 0, atol=1e-3)
        assert found["status"] in ("converged", "max_iterations")


# --------------------------------------------------------------------------------------------------------------- mistakes


def refused(*args: Any, **more: Any) -> list[tuple[str, str | None]]:
    with pytest.raises(EngineError) as caught:
        job(*args, **more)
    error = caught.value
    errors = error.errors if isinstance(error, Mistakes) else (error,)
    return [(e.kind, e.where.pointer if e.where is not None else None) for e in errors]


def test_mistakes() -> None:
    inv, unk = "invalid-field", "unknown-field"
    assert refused(ROSENBROCK, AT, "lm") == [("non-scalar-output", "/method")]
    assert refused(ROSENBROCK, AT, "gd", gtol=-1, beta1=0.1, momentm=3) == [
        (inv, "/options/gtol"),
        (unk, "/options/beta1"),
        (unk, "/options/momentm"),
    ]
    assert refused(ROSENBROCK, {"x": 1.0, "z": 1.0}) == [("unknown-node", "/start/z")]
    assert refused(ROSENBROCK, {"x": 1.0}) == [("missing-input", "/inputs/y")]
    assert refused(ROSENBROCK, AT, bounds={"x": (1.0, 0.0), "y": (float("nan"), 1.0)}) == [
        (inv, "/bounds/x"),
        (inv, "/bounds/y/0"),
    ]
    assert refused(ROSENBROCK, AT, bounds={"t1": (1.0, 2.0)}) == [(inv, "/bounds/t1")]
    assert refused(ROSENBROCK, AT, "grid-search", bounds={"x": (0.0, 1.0)}) == [(inv, "/bounds/y")]
    assert refused(ROSENBROCK, AT, "gd", batch_size=3, learning_rate=0.1) == [(inv, "/options/batch_size")]
    line = "mean((X @ w - y)**2)"
    assert refused(line, {"w": [0, 0, 0]}, "gd", inputs=LINE, batch_size=3) == [
        (inv, "/options/learning_rate")
    ]
    other = LINE | {"y": LINE["y"][:1]}
    assert refused(line, {"w": [0, 0, 0]}, "adam", inputs=other, batch_size=3) == [
        (inv, "/options/batch_inputs")
    ]
    assert refused("sum((X @ w - y)**2 * ones(23))", {"w": [0, 0, 0]}, "adam", inputs=LINE, batch_size=4) == [
        (inv, "/options/batch_size")
    ]
    assert refused("sum(x)", {"x": np.zeros(0)}) == [(inv, "/wrt")]
    assert refused("sum(x**2)", {"x": np.zeros(5000)}, "bfgs") == [("limit-exceeded", "/method")]
    four = dict.fromkeys("abcd", (0.0, 1.0))
    assert refused("a*b*c*d", {}, "grid-search", bounds=four, points=100) == [
        ("limit-exceeded", "/options/points")
    ]
    assert refused(ROSENBROCK, AT, "gd", max_iterations=10**8) == [
        ("limit-exceeded", "/options/max_iterations")
    ]


@pytest.mark.parametrize("factor", [5e-324, 1e-200, 1e-110, 1e-30, 1e30, 1.7e308])
def test_first_radius_of_any_size(factor: float) -> None:
    """The figures of the step inside it neither underflow to a division by 0 nor leave the ball."""
    rng = np.random.default_rng(3)
    model = factored(rng.normal(size=(5, 2)), rng.normal(size=5), 2e-16)
    with np.errstate(all="ignore"):
        step = step_within(model, factor)
    assert np.isfinite(step.p).all()
    assert step.length <= 1.1 * max(factor, float(np.finfo(np.float64).tiny))
