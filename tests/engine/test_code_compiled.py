"""Derivatives as C and JavaScript: compiled with all warnings, run, and held against what the service computes."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.errors import Unsupported
from engine.render.code import LANGUAGES, Derivative, Unit
from engine.specialize import input_arrays, specialize
from engine.symbolic.orders import derive
from tests.engine.compiled import SANITIZED, STRICT, TOOLS, Job, disagreements, need, run, scratch
from tests.engine.helpers import given as value_of
from tests.engine.helpers import program_of
from tests.engine.test_random_graphs import Case, cases
from tests.engine.units import again, computed, unit_of

both = pytest.mark.parametrize("language", list(TOOLS))
INF, NAN = float("inf"), float("nan")
RANDOM = np.random.default_rng(20260725)


def n(*shape: int) -> Any:
    """Normal random numbers."""
    return RANDOM.normal(size=shape)


def spd(size: int) -> Any:
    """A positive definite matrix."""
    a = n(size, size)
    return a @ a.T + size * np.eye(size)


# ------------------------------------------------------------------------------------------------------------- programs

PLANE = [{"x": x, "y": y} for x, y in ((0.7, 1.3), (-2.5, 0.4), (0.0, -0.0), (3.0, -2.0), (1e5, 1e-5))]
EDGES = [
    {"x": x, "y": y}
    for x, y in ((INF, 1.0), (-INF, 2.0), (NAN, 1.0), (0.0, INF), (1e300, -1e300), (-0.0, 0.0))
]

SCALARS: dict[str, tuple[str, list[Mapping[str, Any]]]] = {
    "cube": ("x**3", [{"x": v} for v in (1.0, 0.0, -2.0, INF, NAN, 1e200)]),
    "polynomial": ("3*x**5 - 2*x**2*y + y**3 - 7", PLANE + EDGES),
    "rosenbrock": ("(1 - x)**2 + 100*(y - x**2)**2", PLANE + EDGES),
    "article": (
        "x = x1*w1\ny = tanh(x + x2*w2 + b)\n(y - 1)**2",
        [{"x1": 2.0, "x2": 0.0, "w1": -3.0, "w2": 1.0, "b": 6.8813735870195432}],
    ),
    "logistic": (
        "z = w1*x1 + w2*x2 + b\np = 1/(1 + exp(-z))\n-(t*log(p) + (1 - t)*log(1 - p))",
        [{"w1": 0.5, "w2": -0.25, "b": 0.1, "x1": 1.5, "x2": 2.0, "t": t} for t in (0.0, 1.0)],
    ),
    "two_layers": (
        "h1 = tanh(w11*x1 + w12*x2 + b1)\nh2 = tanh(w21*x1 + w22*x2 + b2)\ny = v1*h1 + v2*h2 + c\n(y - t)**2",
        [
            {
                "x1": 1.0,
                "x2": -1.0,
                "w11": 0.3,
                "w12": 0.2,
                "b1": 0.1,
                "w21": -0.4,
                "w22": 0.6,
                "b2": 0.0,
                "v1": 0.7,
                "v2": -0.5,
                "c": 0.2,
                "t": 1.0,
            }
        ],
    ),
    "quotients": ("x/y + y/(1 + x*x)", PLANE + EDGES),
    "powers": (
        "x**y + abs(x)**1.5 + y**-2",
        [{"x": 2.0, "y": 3.5}, {"x": 0.0, "y": 2.0}, {"x": 1.0, "y": INF}],
    ),
    "trigonometry": ("sin(x)*cos(y) + tan(x) + atan2(y, x) + hypot(x, y)", PLANE),
    "hyperbolic": ("sinh(x) + cosh(y) + asinh(x*y) + tanh(x) + atanh(tanh(y))", [{"x": 0.3, "y": -0.8}]),
    "logarithms": ("log(x) + log1p(y) + log2(x) + log10(x) + expm1(y) + exp2(x)", [{"x": 0.7, "y": 1e-9}]),
    "piecewise": (
        "where(x > y, x*x, where(x < 0, -y, x*y)) + maximum(x, y) - minimum(x, 2) + clip(x, -1, 1)",
        PLANE + EDGES,
    ),
    "kinks": ("abs(x) + relu(y) + sign(x)*y + floor(x)*y + ceil(y) + round(x) + x % y + x // 2", PLANE),
    "masks": ("m = (x > 0) & (y < 2) | ~(x == y)\nwhere(m, x, y) * 2", PLANE + EDGES),
    "activations": (
        "softplus(x) + sigmoid(y) + silu(x) + gelu(y) + elu(x) + leaky_relu(y) + mish(x) + softsign(y)",
        PLANE,
    ),
    "logsums": ("logaddexp(x, y) + log_cosh(x) + xlogy(x, 2 + y*y)", PLANE),
    "errors": (
        "erf(x) + erfc(y) + ndtr(x) + log_ndtr(y) + erfinv(tanh(x)/2) + erfcx(y)",
        [{"x": 0.7, "y": 1.3}, {"x": -3.0, "y": -8.0}],
    ),
    "gammas": (
        "gamma(x) + gammaln(y) + digamma(x) + beta(x, y) + polygamma(1, y)",
        [{"x": 3.3, "y": 0.4}, {"x": 12.0, "y": 50.0}],
    ),
    "bessels": (
        "j0(x) + j1(y) + y0(x) + i0(y) + k1(x) + jv(3, y)",
        [{"x": 0.7, "y": 1.3}, {"x": 40.0, "y": 33.0}],
    ),
    "integrals": (
        "exp1(x) + expi(y) + lambertw(x) + ellipk(0.3*x) + spence(y) + dawsn(x)",
        [{"x": 0.7, "y": 1.3}],
    ),
    "newton": (
        "s = x\nfor i in range(25):\n    s = 0.5*(s + y/s)\ns",
        [{"x": 1.0, "y": 2.0}, {"x": 3.0, "y": 1e-3}],
    ),
    "newton_while": (
        "s = x\nwhile abs(s*s - y) > 1e-12:\n    s = 0.5*(s + y/s)\ns",
        [{"x": 1.0, "y": 2.0}, {"x": 5.0, "y": 0.5}],
    ),
    "branch": ("if x > y:\n    z = x*x\nelse:\n    z = exp(y)\nz + x", PLANE),
    "integers": ("n // 3 + n % 4 + x * n**2 - abs(n)", [{"x": 0.5, "n": np.int64(k)} for k in (7, -7, 0)]),
    "flags": ("where(flag, x, -x)*2", [{"x": 0.5, "flag": np.bool_(b)} for b in (True, False)]),
    "collatz": (
        "k = 0\nv = x\nwhile v > 1:\n    if v > y:\n        v = v/2\n    else:\n        v = v - 0.75\n    k = k + 1\nv*k",
        [{"x": 9.7, "y": 3.0}],
    ),
    "constant": ("2.5 + 0*x", [{"x": 1.0}]),
    "unused": ("y*y + 0*x", [{"x": 1.0, "y": 3.0}]),
}

TENSORS: dict[str, tuple[str, Mapping[str, Any]]] = {
    "least_squares": ("sum((X @ w + b - y)**2)", {"X": n(5, 3), "w": n(3), "b": 0.3, "y": n(5)}),
    "softmax_regression": (
        "mean(logsumexp(X @ W, axis=1) - sum((X @ W)*T, axis=1))",
        {"X": n(4, 3), "W": n(3, 2), "T": n(4, 2)},
    ),
    "mlp": (
        "sum((relu(x @ W1 + b1) @ W2 + b2)**2)",
        {"x": n(4, 2), "W1": n(2, 6), "b1": n(6), "W2": n(6, 1), "b2": n(1)},
    ),
    "convolution": ("sum(conv2d(x, k)**2)", {"x": n(1, 2, 5, 5), "k": n(3, 2, 3, 3)}),
    "pooling": ("sum(max_pool2d(x, 2)**2) + sum(avg_pool2d(x, 2))", {"x": n(1, 1, 4, 4)}),
    "mixture": (
        "sum(logsumexp(log_softmax(a) - 0.5*((x[:, None] - m)/exp(s))**2 - s, axis=1))",
        {"x": n(7), "a": n(3), "m": n(3), "s": n(3)},
    ),
    "attention": (
        "sum(softmax(q @ transpose(k) / 2, axis=-1) @ v)",
        {"q": n(3, 4), "k": n(5, 4), "v": n(5, 2)},
    ),
    "normalised": ("sum(layer_norm(x, [4])**3)", {"x": n(3, 4)}),
    "cumulative": (
        "sum(cumsum(x)*y) + prod(x) + sum(cumprod(y)) + sum(logcumsumexp(x))",
        {"x": n(5), "y": n(5)},
    ),
    "slices": ("sum(x[1:5:2] * flip(x)[:2]) + x[-1] + sum(x[::-1]*x)", {"x": n(6)}),
    "joins": (
        "sum(concat([x, 2*y])**2) + sum(stack([x, x*y], axis=1)[:, 1]) + sum(roll(x, 1)*y) + sum(pad(x, 1))",
        {"x": n(3), "y": n(3)},
    ),
    "gathers": (
        "sum(x.reshape(6)[i]*y) + sum(take(x, j, axis=1))",
        {"x": n(2, 3), "i": np.array([5, 0, 0, -1]), "y": n(4), "j": np.array([[2, 0]])},
    ),
    "scatters": (
        "sum(scatter_add(x, i, y)**2) + sum(scatter_set(x, i, y)*x)",
        {"x": n(5), "i": np.array([1, 3, 1]), "y": n(3)},
    ),
    "one_entry": ("x[k]*x[k - 1] + m[k, 0]", {"x": n(5), "k": np.int64(3), "m": n(5, 2)}),
    "solve": ("sum(solve(a, b)**2)", {"a": n(4, 4), "b": n(4)}),
    "solve_many": ("sum(solve(a, b)*c)", {"a": n(3, 3), "b": n(3, 2), "c": n(3, 2)}),
    "logdet": ("logdet(a) + sum(inv(a)*c)", {"a": spd(4), "c": n(4, 4)}),
    "det": ("det(a)", {"a": n(3, 3)}),
    "det_singular": ("det(a)", {"a": np.array([[1.0, 2.0, 3.0], [2.0, 4.0, 6.0], [1.0, 0.0, 1.0]])}),
    "cholesky": (
        "l = cholesky(a)\n2*sum(log(diagonal(l))) + sum(solve_triangular(l, b, lower=True)**2)",
        {"a": spd(4), "b": n(4)},
    ),
    "norms": ("norm(x) + norm(y, ord=1) + norm(x, ord=3) + norm(y, ord=inf)", {"x": n(5), "y": n(3)}),
    "order": (
        "sum(sort(x)*y) + median(x) + max(x) + sum(x[argsort(y)]**2) + sum(top_k(x, 2)[0])",
        {"x": n(7), "y": n(7)},
    ),
    "statistics": ("var(x) + std(y) + mean(x*y) + quantile(x, 0.3)", {"x": n(6), "y": n(6)}),
    "einsum": (
        "sum(einsum('ij,jk->ik', a, b)*c) + einsum('ii', d)",
        {"a": n(2, 3), "b": n(3, 4), "c": n(2, 4), "d": n(3, 3)},
    ),
    "interpolation": (
        "sum(interp(x, xp, fp))",
        {"x": n(4), "xp": np.array([-2.0, 0.0, 1.0, 3.0]), "fp": n(4)},
    ),
    "recurrent": (
        "h = zeros(3)\nfor i in range(6):\n    h = tanh(W @ h + x[i])\nsum(h*h)",
        {"W": n(3, 3), "x": n(6, 3)},
    ),
    "swap": (
        "a = x\nb = y\nfor i in range(5):\n    a, b = b, a + 0.1*b\nsum(a*y) + sum(b)",
        {"x": n(3), "y": n(3)},
    ),
    "while_array": ("v = x\nwhile sum(v*v) > 0.5:\n    v = 0.7*v\nsum(v*v*v)", {"x": n(4)}),
    "scan": (
        "def step(c, t):\n    return c*0.5 + t, c*t\nc, ys = scan(step, x0, xs)\nc + sum(ys)",
        {"x0": 0.3, "xs": n(6)},
    ),
    "mapped": (
        "def one(r, w):\n    return logsumexp(r*w)\nsum(vmap(one, in_axes=(0, None))(X, w))",
        {"X": n(4, 3), "w": n(3)},
    ),
    "branches": ("if sum(x) > 0:\n    y = x*x\nelse:\n    y = exp(x)\nsum(y[::-1]*x)", {"x": n(3)}),
    "array_value": ("tanh(W @ x)", {"W": n(3, 2), "x": n(2)}),
    "empty": ("sum(x) + y", {"x": np.zeros((0, 3)), "y": 2.0}),
    "fft_like": ("sum(convolve(x, y)**2) + sum(correlate(x, y))", {"x": n(6), "y": n(3)}),
}


def scalar_jobs() -> list[Job]:
    """The scalar programs, each at its inputs."""
    jobs = []
    for name, (source, inputs) in SCALARS.items():
        points = [{k: np.asarray(v) for k, v in at.items()} for at in inputs]
        jobs.append(Job(unit_of(source, points[0], name=f"{name}_")[0], list(points)))
    return jobs


def tensor_jobs() -> list[Job]:
    """The array programs."""
    return [
        Job(unit, [arrays])
        for unit, arrays in (unit_of(s, a, name=f"{name}_") for name, (s, a) in TENSORS.items())
    ]


@both
def test_scalar_programs(language: str, tmp_path: Path) -> None:
    need(language)
    jobs = scalar_jobs()
    assert disagreements(jobs, run(language, jobs, tmp_path, ("-O2",))) == []


@both
def test_array_programs(language: str, tmp_path: Path) -> None:
    need(language)
    jobs = tensor_jobs()
    assert disagreements(jobs, run(language, jobs, tmp_path, ("-O2",))) == []


def test_array_programs_under_sanitizers(tmp_path: Path) -> None:
    """No byte is touched that is not ours, and nothing is left to the compiler's discretion."""
    need("c")
    jobs = tensor_jobs() + scalar_jobs()
    assert disagreements(jobs, run("c", jobs, tmp_path, SANITIZED)) == []


@both
def test_second_order(language: str, tmp_path: Path) -> None:
    need(language)
    chosen = {
        k: TENSORS[k]
        for k in ("least_squares", "mlp", "mixture", "solve", "recurrent", "while_array", "order")
    }
    units = [(again(u), a) for u, a in (unit_of(s, a, name=f"{k}_") for k, (s, a) in chosen.items())]
    jobs = [
        Job(Unit(u.graph, u.of, u.inputs, u.derivatives, name=f"g{k}"), [a]) for k, (u, a) in enumerate(units)
    ]
    assert disagreements(jobs, run(language, jobs, tmp_path)) == []


def _derived(
    name: str, source: str, inputs: Mapping[str, Any], order: int, mixed: list[str] | None = None
) -> Job:
    program = program_of(source, inputs)
    arrays, _ = input_arrays(program, {k: value_of(v) for k, v in inputs.items()}, "float64")
    typed = specialize(
        program, {k: unit_of(source, inputs)[0].graph.in_avals[i] for i, k in enumerate(program.input_ids)}
    )
    where = {s.id: i for i, s in enumerate(program.steps)}
    wrt = [where[i] for i in mixed or program.input_ids]
    d = derive(typed, program.outputs[0], wrt, order, mixed=mixed is not None)
    keys = tuple(Derivative(k, w) for k, w in zip(d.keys, d.wrt, strict=True))
    return Job(Unit(d.graph, d.of, d.inputs, keys, d.dtype, d.steps, name), [arrays])


@both
def test_any_order_and_mixed(language: str, tmp_path: Path) -> None:
    need(language)
    jobs = [
        _derived("hessian", "sum((X @ w - y)**2) + sum(exp(w))", {"X": n(4, 3), "w": n(3), "y": n(4)}, 2),
        _derived("third", "x**5 * sin(x) + y", {"x": 1.3, "y": 0.5}, 3),
        _derived("mixed", "x**2 * y**3 + sin(x*y)", {"x": 1.3, "y": 0.5}, 2, ["x", "y"]),
        _derived("four", "erf(x)*y", {"x": 0.4, "y": 0.5}, 4),
        _derived("jacobian", "tanh(W @ x)", {"W": n(3, 2), "x": n(2)}, 1),
    ]
    assert disagreements(jobs, run(language, jobs, tmp_path)) == []


@settings(max_examples=3, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(cases(), min_size=25, max_size=25))
@pytest.mark.parametrize("language", list(TOOLS))
def test_random_graphs(language: str, tmp_path_factory: Any, given_cases: list[Case]) -> None:
    need(language)
    jobs = []
    for k, case in enumerate(given_cases):
        unit, arrays = unit_of(case.document, case.inputs, name=f"r{k}")
        jobs.append(Job(unit, [arrays]))
    found = run(language, jobs, tmp_path_factory.mktemp("random"), ("-O0",))
    assert disagreements(jobs, found, 1e-11) == []


# ----------------------------------------------------------------------------------------------------------- the answer


HOSTILE = {
    "nodes": [
        {"id": "*/ #include <evil.h> /*", "op": "input"},
        {"id": "a\\); system(\"x", "op": "input"},
        {"id": "double", "op": "input"},
        {"id": "ad_strong", "op": "input"},
        {"id": "work", "op": "input"},
        {"id": "t1", "op": "input"},
        {"id": "value", "op": "input"},
        {"id": "p", "op": "multiply", "inputs": ["*/ #include <evil.h> /*", "a\\); system(\"x"]},
        {"id": "</script>", "op": "multiply", "inputs": ["double", "ad_strong"]},
        {"id": "`${x}`", "op": "multiply", "inputs": ["work", "t1"]},
        {"id": "q", "op": "sin", "inputs": ["value"]},
        {"id": "s1", "op": "add", "inputs": ["p", "</script>"]},
        {"id": "s2", "op": "add", "inputs": ["`${x}`", "q"]},
        {"id": "λ∂²", "op": "multiply", "inputs": ["s1", "s2"]},
    ],
    "outputs": ["λ∂²"],
}  # fmt: skip


@both
def test_hostile_ids_never_stand_in_code(language: str, tmp_path: Path) -> None:
    need(language)
    ids = [str(node["id"]) for node in HOSTILE["nodes"] if node["op"] == "input"]
    unit, arrays = unit_of(HOSTILE, {i: 0.5 + k for k, i in enumerate(ids)}, name="*/ evil();")
    text = LANGUAGES[language](unit)
    for part in ("evil.h", "system(", "</script>", "${", "λ", "\\"):
        assert part not in text
    assert disagreements([Job(unit, [arrays])], run(language, [Job(unit, [arrays])], tmp_path)) == []


def chain(length: int) -> str:
    """A long program of numbers."""
    steps = ["sin({0})*y", "tanh({0}) + x", "{0}*0.5 + exp(-y*y)", "sqrt({0}*{0} + 1)", "{0}/(1 + x*x)"]
    lines = ["v0 = x*y"]
    lines += [f"v{k + 1} = {steps[k % 5].format(f'v{k}')}" for k in range(length)]
    return "\n".join([*lines, f"v{length}"])


@both
def test_size_is_linear(language: str, tmp_path: Path) -> None:
    """Twice the program, twice the code, and no more than a few lines for each node; a long one compiles and agrees."""
    need(language)
    at = {"x": 0.3, "y": 0.7}
    units = {size: unit_of(chain(size), at, name=f"long{size}") for size in (500, 1000, 2000)}
    texts = {size: LANGUAGES[language](unit) for size, (unit, _) in units.items()}
    lines = {size: text.count("\n") for size, text in texts.items()}
    assert lines[1000] - lines[500] < 550 * 8
    assert (lines[2000] - lines[1000]) / (lines[1000] - lines[500]) == pytest.approx(2.0, rel=0.15)
    jobs = [Job(unit, [arrays]) for unit, arrays in units.values()]
    assert disagreements(jobs, run(language, jobs, tmp_path)) == []


def test_c_stands_alone(tmp_path: Path) -> None:
    """Each file by itself, under all warnings, includes what it needs."""
    need("c")
    names = ("cube", "masks", "errors", "newton_while", "quotients")
    units = [unit_of(SCALARS[k][0], SCALARS[k][1][0], name=f"{k}_")[0] for k in names]
    units += [
        unit_of(*TENSORS[k], name=f"{k}_")[0] for k in ("mlp", "order", "solve", "array_value", "empty")
    ]
    for k, unit in enumerate(units):
        path = tmp_path / f"{k}.c"
        path.write_text(LANGUAGES["c"](unit), encoding="utf-8")
        done = subprocess.run(
            ["gcc", *STRICT, "-O1", "-fsyntax-only", str(path)], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr


def test_what_code_looks_like() -> None:
    unit, _ = unit_of("x**2 * y", {"x": 2.0, "y": 3.0}, name="area")
    text = LANGUAGES["c"](unit)
    assert "double area(double x, double y, double *grad_x, double *grad_y) {" in text
    assert "double value = area(x, y, &grad_x, &grad_y);" in text
    assert "malloc" not in text
    script = LANGUAGES["javascript"](unit)
    assert script.startswith('"use strict";')
    assert "function area(x, y) {" in script
    assert script.rstrip().endswith("module.exports = area;")


def test_large_arrays_use_memory_of_the_caller(tmp_path: Path) -> None:
    """Arrays whose times do not meet share their place, so the memory is that of a few, not of all."""
    need("c")
    source = "a = x\n" + "\n".join(f"b{k} = roll(a, 1)*x\na = cumsum(b{k})" for k in range(12)) + "\nsum(a)"
    unit, arrays = unit_of(source, {"x": n(2000) / 50}, name="rolled")
    text = LANGUAGES["c"](unit)
    size = scratch(text)
    assert 0 < size < 40 * 16000
    assert len(re.findall(r"\(double \*\)\(\(char \*\)work", text)) * 16000 > size
    jobs = [Job(unit, [arrays])]
    assert disagreements(jobs, run("c", jobs, tmp_path, SANITIZED)) == []


@both
def test_loops_longer_than_can_be_walked_back(language: str, tmp_path: Path) -> None:
    need(language)
    source = "s = x\nk = 0\nwhile k < m:\n    s = s*0.999 + 0.001\n    k = k + 1\ns"
    unit, arrays = unit_of(source, {"x": 0.5, "m": np.int64(1000)}, name="loop")
    longer = {**arrays, "m": np.int64(1001)}
    ((first, second),) = run(language, [Job(unit, [arrays, longer])], tmp_path)
    assert float(first[1]) == pytest.approx(0.999**1000, rel=1e-12)
    assert float(second[0]) == pytest.approx(float(computed(unit, longer)[0]), rel=1e-12)
    assert np.isnan(second[1])
    assert "1000 steps" in LANGUAGES[language](unit)


@both
def test_what_may_be_refused_gives_nan(language: str, tmp_path: Path) -> None:
    """Singular matrices, and indices out of range: nothing is read or written there."""
    need(language)
    singular, at = unit_of("sum(solve(a, b))", {"a": np.ones((2, 2)), "b": n(2)}, name="singular")
    indexed, where = unit_of("sum(x[i]*y)", {"x": n(3), "i": np.array([0, 2]), "y": n(2)}, name="indexed")
    far = {**where, "i": np.array([0, 10**9])}
    flags = SANITIZED if language == "c" else ()
    found = run(language, [Job(singular, [at]), Job(indexed, [where, far])], tmp_path, flags)
    assert np.isnan(found[0][0][0])
    assert disagreements([Job(indexed, [where])], [found[1][:1]]) == []
    assert np.isnan(found[1][1][0])
    assert np.isfinite(found[1][1][1]).all()


@both
@pytest.mark.parametrize(
    ("source", "inputs", "op"),
    [
        ("s = svdvals(a)\nsum(s)", {"a": n(3, 3)}, "svdvals"),
        ("w = eigvalsh(a)\nsum(w**2)", {"a": spd(3)}, "eigvalsh"),
        ("jv(0.5, x)", {"x": 1.0}, "jv"),
        ("y = x\nfor i in range(3):\n    y = y + gammainc(x, y)\ny", {"x": 1.0}, "gammainc_shape"),
    ],
)
def test_what_cannot_be_written_is_named(
    language: str, source: str, inputs: Mapping[str, Any], op: str
) -> None:
    unit, _ = unit_of(source, inputs)
    with pytest.raises(Unsupported, match=f"op {op} cannot be written in .*: .*format python"):
        LANGUAGES[language](unit)


def test_the_users_node_is_named() -> None:
    job = _derived_steps("s = svdvals(a)\nsum(s)", {"a": n(3, 3)})
    with pytest.raises(Unsupported) as caught:
        LANGUAGES["c"](job)
    assert caught.value.node == "s"


def _derived_steps(source: str, inputs: Mapping[str, Any]) -> Unit:
    program = program_of(source, inputs)
    typed = specialize(
        program, {k: unit_of(source, inputs)[0].graph.in_avals[i] for i, k in enumerate(program.input_ids)}
    )
    d = derive(typed, program.outputs[0], list(program.inputs), 0)
    keys = tuple(Derivative(k, w) for k, w in zip(d.keys, d.wrt, strict=True))
    return Unit(d.graph, d.of, d.inputs, keys, d.dtype, d.steps)
