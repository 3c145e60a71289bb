"""check: what is right is not doubted, what is wrong is found, and the figures are those of SciPy and of the formulas."""

from __future__ import annotations

import math
from typing import Any

import mpmath
import numpy as np
import pytest
import scipy.differentiate
import scipy.optimize

from engine.cost import Limits
from engine.errors import DeadlineExceeded, EngineError, LimitExceeded, NotDifferentiable, ShapeMismatch
from engine.execute.meter import Meter
from engine.numeric.differences import default_steps
from engine.numeric.report import best_step
from engine.numeric.sample import chosen, dense_direction, groups_of, locate
from tests.engine.checking import checked, job_of, wrong_rule

RNG = np.random.default_rng(11)
INF = math.inf


# ------------------------------------------------------------------------------------------------------------ the curve


def test_the_cube() -> None:
    """The error curve of x³ at 1, from the formulas: 3h + h² and h² where truncation decides, and below that at most what
    two roundings of numbers near 1 make."""
    answer = checked("x**3", {"x": 1.0})
    found = answer["inputs"]["x"]
    assert answer["ok"]
    assert answer["evaluations"] == {"numerical": 2, "reverse": 1, "spent": 67}
    curve = found["curve"]
    assert [p["h"] for p in curve] == default_steps()
    for point in curve:
        h = point["h"]
        rounding = 2 * 2.0**-52 / h
        assert point["forward_error"] == pytest.approx(3 * h + h * h, rel=1e-6, abs=rounding)
        assert point["central_error"] == pytest.approx(h * h, rel=1e-6, abs=rounding)
    assert 3e-9 < found["best_step"]["forward"] < 3e-8
    assert 3e-6 < found["best_step"]["central"] < 3e-5
    least = {q: min(curve, key=lambda p, q=q: p[f"{q}_error"])["h"] for q in ("forward", "central")}  # type: ignore[misc]
    assert 3e-9 < least["forward"] < 3e-8
    assert 3e-6 < least["central"] < 3e-5


def test_the_example_of_the_contract() -> None:
    answer = checked("x**3", {"x": 1.0}, steps=(0.01, 1e-5, 1e-8))
    found = answer["inputs"]["x"]
    assert answer["evaluations"] == {"numerical": 2, "reverse": 1, "spent": 7}
    assert found["best_step"] == {"forward": 1e-8, "central": 1e-5}
    assert found["max_abs_error"] == pytest.approx(9.7e-11, rel=0.01)
    assert found["max_rel_error"] == pytest.approx(3.2e-11, rel=0.02)
    assert found["complex_step_error"] == 0.0
    assert found["worst_index"] == []
    assert found["curve"][0]["forward_error"] == pytest.approx(0.0301)
    assert found["curve"][0]["central_error"] == pytest.approx(1e-4)


def test_the_curve_is_that_of_scipy() -> None:
    """`approx_derivative` with the same absolute steps."""
    x = np.array([0.7, -1.3, 250.0])
    text = "sum(sin(x) * exp(0.01*x))"

    def f(v: Any) -> Any:
        return np.sum(np.sin(v) * np.exp(0.01 * v))

    answer = checked(text, {"x": x}, steps=(1e-2, 1e-4, 1e-6))
    exact = np.asarray(answer["inputs"]["x"]["autodiff"])
    from scipy.optimize._numdiff import approx_derivative

    for point in answer["inputs"]["x"]["curve"]:
        h = point["h"] * np.maximum(1, np.abs(x))
        for method, name in (("2-point", "forward_error"), ("3-point", "central_error")):
            theirs = np.max(np.abs(approx_derivative(f, x, method=method, abs_step=h) - exact))
            assert point[name] == pytest.approx(theirs, rel=0.05, abs=1e-9)


def test_autodiff_agrees_with_scipy_differentiate() -> None:
    found = checked("exp(sin(x)) / (1 + x*x)", {"x": 0.8})["inputs"]["x"]
    theirs = scipy.differentiate.derivative(lambda x: np.exp(np.sin(x)) / (1 + x * x), 0.8)
    assert found["autodiff"] == pytest.approx(theirs.df, rel=1e-9)
    assert found["max_abs_error"] < 1e-9


def test_single_precision_has_its_own_floor() -> None:
    found = checked("exp(x)", {"x": 1.0}, dtype="float32")["inputs"]["x"]
    assert found["ok"]
    assert 1e-7 < found["max_abs_error"] < 1e-3
    assert 1e-4 < found["best_step"]["forward"] < 1e-2
    assert 1e-3 < found["best_step"]["central"] < 1e-1


def test_best_steps_are_no_lucky_ones() -> None:
    steps = default_steps()
    errors = np.array([h + 1e-16 / h for h in steps])
    errors[20] = 0.0  # by chance, among others of 1e-6
    assert best_step(steps, errors) == 1e-8
    assert best_step(steps, np.full(len(steps), np.nan)) is None
    assert best_step([0.1, 1.0, 0.01], np.array([0.0, 0.0, 0.0])) == 1.0


# ------------------------------------------------------------------------------------------------- what is right is right

RIGHT: dict[str, tuple[str, dict[str, Any]]] = {
    "product": ("(x + y) * z", {"x": -2, "y": 5, "z": -4}),
    "cancelling": ("(x + 1e10) - 1e10", {"x": 1.0}),
    "cancelling more": ("(x*1e8 + y) - x*1e8", {"x": 1.23456, "y": 0.3}),
    "large value": ("1e12 + x", {"x": 0.5}),
    "ill-conditioned": ("sum(inv(A))", {"A": [[1, 1], [1, 1.000001]]}),
    "tiny": ("log(x)", {"x": 1e-12}),
    "tinier": ("sqrt(x)", {"x": 1e-300}),
    "huge": ("x*x", {"x": 1e150}),
    "huge gradient": ("1e300*x*y", {"x": 1.0, "y": 2.0}),
    "underflow": ("x*x", {"x": 1e-170}),
    "far": ("sin(x)", {"x": 1e6}),
    "steep": ("exp(1e5*x)", {"x": 1e-5}),
    "many waves": ("sin(1000*x)", {"x": 0.3}),
    "constant": ("0*x + 3", {"x": 0.3}),
    "steps": ("floor(3*x) + round(y) + sign(z)", {"x": 0.5, "y": 0.2, "z": -1}),
    "jump nearby": ("floor(x) + x*x", {"x": 0.99999}),
    "jump here": ("floor(x) + x*x", {"x": 1.0}),
    "relu at 0": ("relu(x)", {"x": 0.0}),
    "relu near 0": ("relu(x) + 5", {"x": 1e-9}),
    "abs": ("abs(x)*y", {"x": 0.0, "y": 3.0}),
    "maximum": ("maximum(x, y)", {"x": 1.0, "y": 1.0}),
    "norm at 0": ("norm(x)", {"x": [0.0, 0.0]}),
    "minimum": ("min(x)", {"x": [1.0, 1.0, 2.0]}),
    "choice": ("where(x > 0, x, 2*x)", {"x": 0.0}),
    "infinite slope": ("sqrt(x)", {"x": 0.0}),
    "infinite value": ("log(x)", {"x": 0.0}),
    "no value": ("log(x)", {"x": -1.0}),
    "infinite input": ("exp(-x)*y", {"x": INF, "y": 1.0}),
    "masked": ("log_softmax(x)[0]", {"x": [0.5, -INF, 1.0]}),
    "singular": ("inv(A)[0, 0] * x", {"A": [[0, 0], [0, 0]], "x": 2.0}),
    "no elements": ("sum(x) * y", {"x": np.zeros((0, 3)), "y": 1.0}),
    "a loop that may not end": ("y = x\nwhile y < 10:\n    y = y*y + x\ny", {"x": 1.3}),
    "a loop that stops by tolerance": (
        "y = a\nwhile abs(y*y - a) > 1e-5:\n    y = 0.5*(y + a/y)\ny",
        {"a": 7.0},
    ),
    "branches": ("y = exp(x)\nif x > 0:\n    y = y*2\nelse:\n    y = sin(y)\ny", {"x": 0.0}),
    "custom": (wrong_rule("x*x", "2*x*ct"), {"x": 1.5}),
    "softmax": ("softmax(x)", {"x": [1.0, 2.0, 3.0]}),
    "derivatives inside": ("def f(x):\n    return x**4\ngrad(f)(x) * y", {"x": 1.2, "y": 2.0}),
    "matrices": ("A @ B", {"A": RNG.normal(size=(3, 4)), "B": RNG.normal(size=(4, 2))}),
}


BEYOND_SINGLE = {"huge", "huge gradient", "underflow", "tinier", "steep"}
"""Programs whose numbers single precision cannot hold."""


@pytest.mark.parametrize(
    ("name", "dtype"),
    [(n, "float64") for n in RIGHT] + [(n, "float32") for n in RIGHT if n not in BEYOND_SINGLE],
)
def test_no_false_alarm(name: str, dtype: str) -> None:
    text, inputs = RIGHT[name]
    answer = checked(text, inputs, dtype=dtype)
    assert answer["ok"], answer["inputs"]
    assert answer["disagrees"] == []
    assert list(answer["inputs"]) == list(inputs)


def test_intermediates_too() -> None:
    answer = checked("t = 1e6*x\ns = t*t + y\ns*s", {"x": 0.3, "y": 1.0}, wrt=("t", "x"))
    assert answer["ok"]
    assert list(answer["inputs"]) == ["t", "x"]
    found = answer["inputs"]["t"]
    assert found["max_rel_error"] < 1e-8
    assert found["complex_step_error"] <= 1e-12 * abs(found["autodiff"])


def test_one_of_several_outputs_and_seeds() -> None:
    seed = np.array([1.0, -2.0, 0.5])
    answer = checked("y = x**2\nz = sum(y)\ny, z", {"x": [1.0, 2.0, 3.0]}, of="y", seed=seed)
    assert answer["of"] == "y"
    np.testing.assert_allclose(answer["inputs"]["x"]["autodiff"], 2 * seed * [1, 2, 3])
    with pytest.raises(ShapeMismatch):
        checked("y = x**2\ny", {"x": [1.0, 2.0]}, seed=seed)
    with pytest.raises(NotDifferentiable):
        checked("argmax(x)", {"x": [1.0, 2.0]})


# ------------------------------------------------------------------------------------------------- what is wrong is found

WRONG: dict[str, tuple[str, dict[str, Any], list[str]]] = {
    "a thousandth": (wrong_rule("x*x", "2.002*x*ct"), {"x": 1.5}, ["x"]),
    "zero": (wrong_rule("x*x", "0*x*ct"), {"x": 1.5}, ["x"]),
    "zero beside a large number": (wrong_rule("x", "0*ct", "f(x) + 1e10"), {"x": 1.5}, ["x"]),
    "sign": (wrong_rule("sin(x)", "-cos(x)*ct"), {"x": 0.4}, ["x"]),
    "of a small one": (wrong_rule("1e-9*x**2", "2.002e-9*x*ct", "f(x) + 1e-3*y"), {"x": 0.4, "y": 2.0}, ["x"]),
    "NaN": (wrong_rule("x*x", "2*x*ct*(x - x)/(x - x)"), {"x": 0.4}, ["x"]),
    "infinite": (wrong_rule("x*x", "2*x*ct/(x - x)"), {"x": 0.4}, ["x"]),
    "clipped": (wrong_rule("x", "clip(ct, -1, 1)", "5*f(x)"), {"x": 0.4}, ["x"]),
    "one entry": (wrong_rule("sum(x**2)", "where(arange(5) == 3, 1.001, 1)*2*x*ct"), {"x": [1.0, 2, 3, 4, 5]}, ["x"]),
    "one of two": (
        "def v(x, y):\n    return x*y\ndef b(x, y, ct):\n    return ct*y, ct*x*1.001\ncustom_vjp(v, b)(x, y) + x",
        {"x": 3.0, "y": 2.0},
        ["y"],
    ),
    "in a loop": (
        wrong_rule("sin(x)", "1.001*cos(x)*ct", "y = x\nfor i in range(5):\n    y = f(y)\ny"),
        {"x": 0.4},
        ["x"],
    ),
    "hidden by a sum": (
        wrong_rule(
            "exp(x)/sum(exp(x))",
            "1.01*exp(x)/sum(exp(x))*(ct - sum(ct*exp(x))/sum(exp(x)))",
        ),
        {"x": [0.1, 0.7, -0.4]},
        ["x"],
    ),
    "forward": (
        "def v(x):\n    return x**3\ndef j(x, dx):\n    return 3.003*x**2*dx\ncustom_jvp(v, j)(x)",
        {"x": 2.0},
        ["x"],
    ),
    "by stop_gradient": ("stop_gradient(x)*x", {"x": 3.0}, ["x"]),
    "ops without complex steps": (
        wrong_rule("eigvalsh(x)[0]", "1.001*ct*eye(2)", "f(A)"),
        {"A": [[2.0, 0.0], [0.0, 3.0]]},
        ["A"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_wrong_rules_are_found(name: str) -> None:
    text, inputs, wrong = WRONG[name]
    answer = checked(text, inputs)
    assert not answer["ok"]
    assert answer["disagrees"] == wrong
    for name_, found in answer["inputs"].items():
        assert found["ok"] == (name_ not in wrong)
        assert ("detail" in found) == (name_ in wrong)


def test_it_says_what_is_wrong() -> None:
    text, inputs, _ = WRONG["one entry"]
    found = checked(text, inputs)["inputs"]["x"]
    assert found["worst_index"] == [3]
    assert found["worst"] == {"autodiff": pytest.approx(8.008), "numerical": pytest.approx(8.0, rel=1e-7)}
    assert "x[3]" in found["detail"]
    assert "rule of the program's own" in found["detail"]
    assert found["max_abs_error"] == pytest.approx(0.008, rel=1e-6)
    # The curve is that of differences still: against what is right.
    assert min(p["central_error"] for p in found["curve"]) < 1e-8


def test_stop_gradient_is_named() -> None:
    answer = checked("s = stop_gradient(x)\ns*x", {"x": 3.0})
    (warning,) = answer["warnings"]
    assert (warning["kind"], warning["node"]) == ("non-differentiable", "s")


def test_kinks_are_told() -> None:
    (warning,) = checked("relu(x)", {"x": [1.0, 0.0]})["warnings"]
    assert (warning["kind"], warning["index"]) == ("non-differentiable", [1])
    (warning,) = checked("where(x > 0, x, 2*x)", {"x": 0.0})["warnings"]
    assert (warning["kind"], warning["node"]) == ("non-differentiable", "x")
    assert "from below it is 2, from above 1" in warning["detail"]
    (warning,) = checked("inv(A)[0, 0]", {"A": [[0, 0], [0, 0]]})["warnings"]
    assert warning["kind"] == "singular-matrix"
    assert checked("x*x", {"x": 3.0})["warnings"] == []


# ----------------------------------------------------------------------------------------------------------- expectations


def test_expected_gradients() -> None:
    text, inputs = "sum((A @ x - y)**2)", {"A": [[1, 2], [3, 4]], "x": [0.5, -1], "y": [1, 0]}
    right = {"x": [-20, -30], "y": [5, 5], "A": [[-2.5, 5], [-2.5, 5]]}
    assert checked(text, inputs, expected=right)["ok"]
    answer = checked(text, inputs, expected=right | {"y": [5, -5]})
    assert answer["disagrees"] == ["y"]
    found = answer["inputs"]["y"]
    assert found["worst_index"] == [1]
    assert found["max_abs_error"] == 10
    assert found["max_rel_error"] == 2
    assert found["worst"] == {"expected": -5.0, "autodiff": 5.0, "numerical": pytest.approx(5.0)}
    assert "agrees with autodiff" in found["detail"]


def test_how_an_expected_gradient_is_wrong() -> None:
    a, b = RNG.normal(size=(3, 3)), RNG.normal(size=(3, 3))
    one = b.T.copy()
    one[1, 2] += 0.3
    for wrong, said in [
        (b, "is the transpose of the gradient"),
        (-b.T, "has the opposite sign"),
        (2 * b.T, "is 2 times the gradient"),
        (b.T / 9, "is 0.111111 times the gradient"),
        (np.zeros((3, 3)), "is 0 everywhere"),
        (one, "1 of 9 entries differs"),
    ]:
        answer = checked("trace(A @ B)", {"A": a, "B": b}, expected={"A": wrong})
        assert answer["disagrees"] == ["A"]
        assert said in answer["inputs"]["A"]["detail"]
    for value, said in [(-6.0, "opposite sign"), (12.0, "2 times"), (6.5, "agrees with autodiff.")]:
        detail = checked("x**2", {"x": 3.0}, expected={"x": value})["inputs"]["x"]["detail"]
        assert said in detail
        assert value != 6.5 or detail.endswith(said)


def test_expected_gradients_are_arbitrated() -> None:
    text = wrong_rule("x*x", "2.1*x*ct")
    found = checked(text, {"x": 1.0}, expected={"x": 2.0})["inputs"]["x"]
    assert not found["ok"]
    assert "agrees with what is expected" in found["detail"]
    found = checked(text, {"x": 1.0}, expected={"x": 2.1})["inputs"]["x"]
    assert not found["ok"]  # both are wrong in the same way
    found = checked(text, {"x": 1.0}, expected={"x": 5.0})["inputs"]["x"]
    assert "agrees with neither" in found["detail"]


@pytest.mark.parametrize("slope", [0.0, 0.3, 1.0])
def test_any_slope_between_those_of_both_sides_is_right_at_a_kink(slope: float) -> None:
    assert checked("relu(x)", {"x": 0.0}, expected={"x": slope})["ok"]
    assert not checked("relu(x)", {"x": 0.0}, expected={"x": slope + 1.5})["ok"]
    assert not checked("relu(x)", {"x": 1.0}, expected={"x": 1.0 - slope - 0.1})["ok"]


def test_tolerances_of_expectations() -> None:
    def ok(expected: float, **more: float) -> bool:
        return bool(checked("x**3", {"x": 1.0}, expected={"x": expected}, **more)["ok"])

    assert ok(3.00001)
    assert not ok(3.0001)
    assert ok(3.0001, rtol=1e-3)
    assert not ok(3.00001, rtol=1e-7)
    assert ok(3.5, atol=1.0)
    assert not ok(3.5, atol=0.1)
    # What is 0 depends on what there is besides.
    text, inputs = "x[0]*1e6 + x[1]*1e-12", {"x": [1.0, 1.0]}
    assert checked(text, inputs, expected={"x": [1e6, 0.0]})["ok"]
    assert not checked("x*1e-12", {"x": 1.0}, expected={"x": 2e-12})["ok"]
    assert checked("0*x + y", {"x": 1.0, "y": 2.0}, expected={"x": 1e-17})["ok"]


def test_non_finite_expectations() -> None:
    assert checked("sqrt(x)", {"x": 0.0}, expected={"x": INF})["ok"]
    assert not checked("sqrt(x)", {"x": 0.0}, expected={"x": 1.0})["ok"]
    assert not checked("x*x", {"x": 1.0}, expected={"x": math.nan})["ok"]
    assert not checked("x*x", {"x": 1.0}, expected={"x": INF})["ok"]


def test_wrong_expectations() -> None:
    with pytest.raises(ShapeMismatch) as caught:
        checked("sum(x)", {"x": [1, 2, 3]}, expected={"x": [1, 1]})
    assert caught.value.where is not None
    assert caught.value.where.pointer == "/expected/x"
    with pytest.raises(EngineError):
        checked("sum(x)", {"x": [1, 2, 3]}, expected={"y": 1})
    answer = checked("t = x*x\nt*t", {"x": 2.0}, expected={"t": 8.0})
    assert answer["ok"]
    assert list(answer["inputs"]) == ["x", "t"]


# -------------------------------------------------------------------------------------------------------------- sampling


def test_large_inputs_are_sampled_and_checked_as_a_whole() -> None:
    x = np.linspace(0.0, 3.0, 20_000)
    answer = checked("sum(sin(x)*x)", {"x": x})
    found = answer["inputs"]["x"]
    assert answer["ok"]
    assert 0 < found["entries_checked"] <= 100
    assert answer["evaluations"]["numerical"] == 40_000
    again = checked("sum(sin(x)*x)", {"x": x})
    assert again["inputs"]["x"]["curve"] == found["curve"]


def test_a_single_wrong_entry_among_many_is_found() -> None:
    n = 5000
    text = wrong_rule("sum(sin(x))", f"where(arange({n}) == 3217, 1.01, 1)*cos(x)*ct")
    answer = checked(text, {"x": np.full(n, 0.3)}, max_entries=4)
    found = answer["inputs"]["x"]
    assert answer["disagrees"] == ["x"]
    assert found["worst_index"] == [3217]
    assert found["worst"]["numerical"] == pytest.approx(math.cos(0.3))


def test_a_wrong_expectation_is_looked_at_wherever_it_is() -> None:
    n = 5000
    expected = np.cos(np.full(n, 0.3))
    expected[1234] = 0.5
    found = checked("sum(sin(x))", {"x": np.full(n, 0.3)}, expected={"x": expected}, max_entries=2)["inputs"][
        "x"
    ]
    assert found["worst_index"] == [1234]
    assert "agrees with autodiff" in found["detail"]


def test_entries_are_chosen() -> None:
    gradient = np.zeros(1000)
    gradient[[3, 500]] = [-7, 5]
    gradient[77] = np.nan
    places = chosen(gradient, 10, [999])
    assert len(set(places.tolist())) == len(places) == 11
    assert {3, 77, 500, 999} <= set(places.tolist())
    assert chosen(gradient, 1000).tolist() == list(range(1000))
    assert [g.which for g in groups_of([3, 5000, 0, 1, 2000])] == [(1,), (4,), (0, 3)]
    assert np.count_nonzero(dense_direction(np.ones(100))) == 100
    assert locate(np.arange(64), lambda p: 17 in p) == 17
    assert locate(np.arange(64), lambda p: len(p) == 64) is None


def test_many_inputs() -> None:
    names = [f"x{k}" for k in range(300)]
    answer = checked(" + ".join(f"sin({n})" for n in names), {n: 0.1 * k for k, n in enumerate(names)})
    assert answer["ok"]
    assert len(answer["inputs"]) == 300
    assert answer["evaluations"]["numerical"] == 600


# --------------------------------------------------------------------------------------------------------------- bounds


def test_costs_are_decided_before() -> None:
    with pytest.raises(LimitExceeded):
        job_of("sum(x**2)", {"x": np.ones(10_000)}, max_entries=10_000, limits=Limits(flops=10**9))
    job_of("sum(x**2)", {"x": np.ones(10_000)}, limits=Limits(flops=10**9))
    with pytest.raises(LimitExceeded):
        job_of("x * ones(1000)", {"x": 1.0}, limits=Limits(response_elements=100))


def test_the_deadline_holds() -> None:
    job = job_of("sum(sin(x @ x))", {"x": np.ones((100, 100))}, max_entries=50)
    with pytest.raises(DeadlineExceeded):
        job.run(Meter(0.0))


def test_steps_of_ones_own_do_not_decide() -> None:
    """A verdict does not get worse by the steps that are asked for."""
    text, inputs, wrong = WRONG["a thousandth"]
    assert checked(text, inputs, steps=(1.0,))["disagrees"] == wrong
    found = checked("eigvalsh(A)[0]", {"A": [[2.0, 1.0], [1.0, 5.0]]}, steps=(0.5,))
    assert found["ok"]
    assert [p["h"] for p in found["inputs"]["A"]["curve"]] == [0.5]


# ------------------------------------------------------------------------------------------------------ random programs

UNARY = ("sin", "cos", "exp", "tanh", "sigmoid", "log1p", "arctan", "square", "softplus", "erf")
BINARY = (
    "{} + {}",
    "{} - {}",
    "{} * {}",
    "{} / (2 + sin({}))",
    "arctan2({}, 1.5 + sin({}))",
    "hypot({}, 1 + {})",
)


def random_text(rng: np.random.Generator) -> str:
    names = ["x", "y", "z"]
    lines = []
    for k in range(8):
        a, b = rng.choice(names, 2)
        if rng.random() < 0.5:
            value = f"{rng.choice(UNARY)}(0.5*sin({a}))"
        else:
            value = str(rng.choice(BINARY)).format(a, b)
        lines.append(f"t{k} = {value}")
        names.append(f"t{k}")
    return "\n".join([*lines, f"sum(t7*t6 + {names[rng.integers(3, 9)]})"])


@pytest.mark.parametrize("seed", range(25))
def test_random_programs(seed: int) -> None:
    """Right as they are; and with one of their inputs on the way through a rule that is wrong by a thousandth, wrong for all
    that depend on it. The numbers are those of many digits."""
    rng = np.random.default_rng(seed)
    text = random_text(rng)
    inputs = {"x": rng.normal(size=3), "y": float(rng.normal()), "z": rng.normal(size=(2, 3))}
    text += " + 0.1*sum(x*y*z)"
    answer = checked(text, inputs)
    assert answer["ok"], (text, answer["inputs"])
    for found in answer["inputs"].values():
        assert found["complex_step_error"] <= 1e-12 * max(1.0, np.max(np.abs(found["autodiff"])))
    rule = "def v(x):\n    return x\ndef b(x, ct):\n    return 1.001*ct\nx = custom_vjp(v, b)(u)\n"
    wrong = checked(rule + text, {"u": inputs["x"], "y": inputs["y"], "z": inputs["z"]})
    moved = np.abs(answer["inputs"]["x"]["autodiff"]).max() > 1e-6
    assert wrong["disagrees"] == (["u"] if moved else [])


def test_many_digits() -> None:
    """The best central difference is as good as it can be: its error is that of mpmath's derivative."""
    with mpmath.workdps(40):
        exact = float(mpmath.diff(lambda x: mpmath.exp(mpmath.sin(3 * x)) * mpmath.gamma(x), 1.7))
    found = checked("exp(sin(3*x)) * gamma(x)", {"x": 1.7})["inputs"]["x"]
    assert found["autodiff"] == pytest.approx(exact, rel=1e-14)
    assert found["max_rel_error"] < 1e-9
    gradient = scipy.optimize.approx_fprime(
        np.array([1.7]), lambda v: float(np.exp(np.sin(3 * v[0])) * math.gamma(v[0]))
    )
    assert abs(gradient[0] - exact) < 1e-5
