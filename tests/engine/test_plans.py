"""Jobs that are kept: the same answers as fresh ones, for other numbers; told apart by all that they depend on; bounded."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from engine.derive import Plans, Request, prepare
from engine.errors import EngineError
from engine.execute.meter import Meter
from engine.language import parse_text
from engine.spec import read_graph
from engine.values import Given, read_value

RNG = np.random.default_rng(5)


def values(given: Mapping[str, Any]) -> dict[str, Given]:
    return {name: read_value(v.tolist() if isinstance(v, np.ndarray) else v) for name, v in given.items()}


def same(a: Any, b: Any) -> bool:
    """Whether two answers are equal to the last bit."""
    if isinstance(a, Mapping):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, np.ndarray | np.generic):
        return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
    return bool(a == b)


def vec(n: int = 3) -> np.ndarray:
    return RNG.normal(size=n)


CASES: dict[str, tuple[str, str, Any]] = {
    "evaluate": ("evaluate", "sin(x) * y", lambda: {"inputs": {"x": vec(), "y": 2.5}}),
    "grad of scalars": ("grad", "sin(x) * y + relu(x)", lambda: {"inputs": {"x": RNG.normal(), "y": 2.5}}),
    "grad of arrays": (
        "grad",
        "mean((tanh(W @ x) - t)**2)",
        lambda: {"inputs": {"W": RNG.normal(size=(2, 3)), "x": vec(), "t": vec(2)}},
    ),
    "grad with a seed": ("grad", "x**2", lambda: {"inputs": {"x": vec()}, "seed": vec()}),
    "grad forward": ("grad", "sum(x**2) * y", lambda: {"inputs": {"x": vec(), "y": 2.0}, "mode": "forward"}),
    "grad forward with a seed": (
        "grad",
        "x**2",
        lambda: {"inputs": {"x": vec()}, "seed": vec(), "mode": "forward"},
    ),
    "mapped": ("grad", "sin(x) * y", lambda: {"inputs": {"x": vec(), "y": 2.0}, "in_axes": ({"x": 0},)}),
    "mapped with seeds": (
        "grad",
        "x * y",
        lambda: {"inputs": {"x": vec(), "y": 2.0}, "in_axes": ({"x": 0},), "seed": vec()},
    ),
    "jvp": ("jvp", "sin(x) * y", lambda: {"inputs": {"x": vec(), "y": 2.0}, "tangents": {"x": vec()}}),
    "mapped jvp": (
        "jvp",
        "sin(x) * y",
        lambda: {
            "inputs": {"x": vec(), "y": 2.0},
            "in_axes": ({"x": 0},),
            "tangents": {"x": vec(), "y": RNG.normal()},
        },
    ),
    "vjp": (
        "vjp",
        "y = sin(x)\nz = x**3\ny, z",
        lambda: {"inputs": {"x": vec()}, "cotangents": {"y": vec(), "z": vec()}},
    ),
    "jacobian": ("jacobian", "x[:2] * x[1:]", lambda: {"inputs": {"x": vec()}}),
    "jacobian forward": ("jacobian", "A @ x", lambda: {"inputs": {"A": RNG.normal(size=(2, 3)), "x": vec()}}),
    "sparse jacobian": ("jacobian", "x[1:]**2 - x[:-1]", lambda: {"inputs": {"x": vec(6)}, "sparse": True}),
    "hessian": ("hessian", "sum(x**3) * y", lambda: {"inputs": {"x": vec(), "y": 2.0}}),
    "hessian of scalars": ("hessian", "x**3 * y", lambda: {"inputs": {"x": 1.5, "y": RNG.normal()}}),
    "sparse hessian": (
        "hessian",
        "sum((x[1:] - x[:-1])**4)",
        lambda: {"inputs": {"x": vec(6)}, "sparse": True},
    ),
    "hvp": ("hvp", "sum(x**3) * y", lambda: {"inputs": {"x": vec(), "y": 2.0}, "vector": {"x": vec()}}),
    "taylor": (
        "taylor",
        "exp(x) * x",
        lambda: {"inputs": {"x": vec()}, "direction": {"x": vec()}, "order": 4},
    ),
    "trace": (
        "trace",
        "sin(x) * y",
        lambda: {"inputs": {"x": 0.5, "y": RNG.normal()}, "tangents": {"x": 1.0}},
    ),
    "a kink met": ("grad", "relu(x) * y", lambda: {"inputs": {"x": float(RNG.integers(0, 2)), "y": 2.0}}),
    "not finite": ("grad", "log(x) * y", lambda: {"inputs": {"x": float(RNG.integers(0, 2)), "y": 2.0}}),
    "a loop": (
        "grad",
        "s = 0.0\nfor i in range(3):\n    s = s * x + 1\ns",
        lambda: {"inputs": {"x": RNG.normal()}},
    ),
    "an index": ("grad", "sum(x[i]**2)", lambda: {"inputs": {"x": vec(), "i": int(RNG.integers(0, 3))}}),
    "float32": ("grad", "sum(exp(x))", lambda: {"inputs": {"x": vec()}, "dtype": "float32"}),
}
ARRAYS = ("inputs", "tangents", "cotangents", "vector", "direction")


def request(text: str, fields: Mapping[str, Any]) -> Request:
    given = {k: values(v) if k in ARRAYS else v for k, v in fields.items()}
    if "seed" in given:
        given["seed"] = read_value(given["seed"].tolist())
    return Request(parse_text(text, inputs=fields["inputs"].keys()), **given)


@pytest.mark.parametrize("case", CASES)
def test_a_kept_job_answers_as_a_fresh_one(case: str) -> None:
    verb, text, fields = CASES[case]
    plans = Plans()
    prepare(verb, request(text, fields()), plans=plans).run(Meter())
    hits = 0
    for _ in range(6):
        asked = request(text, fields())
        kept = prepare(verb, asked, plans=plans)
        hits += kept.cached
        assert same(kept.run(Meter()), prepare(verb, asked).run(Meter()))
    assert hits >= 3, "nothing was kept"


def test_a_kept_job_holds_no_numbers() -> None:
    plans = Plans()
    for verb, text, fields in CASES.values():
        prepare(verb, request(text, fields()), plans=plans)
    for job, _ in plans._jobs.values():
        assert not set(job.data) & set(vars(job)), job


DIFFERENT: list[dict[str, Any]] = [
    {"inputs": {"x": [1.0, 2.0], "y": 2.0}},
    {"inputs": {"x": [1.0, 2.0, 3.0], "y": 2.0}},
    {"inputs": {"x": [1.0, 2.0], "y": [2.0, 3.0]}},
    {"inputs": {"x": [1.0, 2.0], "y": 2.0}, "wrt": ("x",)},
    {"inputs": {"x": [1.0, 2.0], "y": 2.0}, "wrt": ("y", "x")},
    {"inputs": {"x": [1.0, 2.0], "y": 2.0}, "of": "x"},
    {"inputs": {"x": [1.0, 2.0], "y": 2.0}, "nodes": "none"},
    {"inputs": {"x": [1.0, 2.0], "y": 2.0}, "dtype": "float32"},
    {"inputs": {"x": [1.0, 2.0], "y": 2.0}, "seed": [1.0, 1.0]},
    {"inputs": {"x": [1.0, 2.0], "y": 2.0}, "in_axes": ({"x": 0},)},
    {"inputs": {"x": [1.0, 2.0], "y": 2.0}, "mode": "forward"},
    {"inputs": {"x": [1.0, 2.0], "y": 2.0}, "include": frozenset({"derivative_graph"})},
]


def test_what_differs_is_told_apart() -> None:
    plans = Plans()
    answers = []
    for fields in DIFFERENT:
        given = {k: values(v) if k in ARRAYS else v for k, v in fields.items()}
        if "seed" in given:
            given["seed"] = read_value(given["seed"])
        elif "in_axes" not in given:
            given.setdefault("seed", read_value([1.0] * len(fields["inputs"]["x"])))
        asked = Request(parse_text("t = x * y\nt", inputs=["x", "y"]), **given)
        for _ in range(2):
            job = prepare("grad", asked, plans=plans)
            assert same(job.run(Meter()), prepare("grad", asked).run(Meter()))
        answers.append(job)
    # The first is asked with the very seed of the ninth; all others are jobs of their own.
    assert len(plans) == len(DIFFERENT) - 1


def test_errors_point_into_the_source_that_was_posted() -> None:
    """Equal programs from different texts have one digest, but not one place for their errors."""
    plans = Plans()
    for text, line in (("y = inv(x)\ny", 1), ("\n\ny = inv(x)\ny", 3)):
        singular = Request(parse_text(text, inputs=["x"]), values({"x": np.zeros((2, 2))}))
        for _ in range(2):
            with pytest.raises(EngineError) as caught:
                prepare("evaluate", singular, plans=plans).run(Meter())
            assert caught.value.where is not None
            assert caught.value.where.line == line


def test_graphs_posted_anew_share_a_job() -> None:
    plans = Plans()
    nodes = [{"id": "x", "op": "input"}, {"id": "y", "op": "sin", "inputs": ["x"]}]
    cached = [
        prepare("grad", Request(read_graph({"nodes": nodes}), values({"x": float(k)})), plans=plans).cached
        for k in range(3)
    ]
    assert cached == [False, True, True]


def test_memory_is_bounded_and_the_longest_unused_goes_first() -> None:
    plans = Plans(most_bytes=200_000)
    for k in range(100):
        prepare("grad", request(f"sin(x) + {k}", {"inputs": {"x": 1.0}}), plans=plans)
        prepare("grad", request("cos(x)", {"inputs": {"x": 1.0}}), plans=plans)
        assert plans.nbytes <= 200_000
    assert 2 < len(plans) < 50
    assert prepare("grad", request("cos(x)", {"inputs": {"x": 1.0}}), plans=plans).cached
    assert not prepare("grad", request("sin(x) + 0", {"inputs": {"x": 1.0}}), plans=plans).cached
    plans.clear()
    assert len(plans) == plans.nbytes == 0


def test_a_job_that_is_too_large_is_not_kept() -> None:
    plans = Plans(most_bytes=100_000)
    prepare("evaluate", request(" + ".join(["x"] * 300), {"inputs": {"x": 1.0}}), plans=plans)
    assert len(plans) == 0


def test_threads_share_jobs() -> None:
    plans = Plans(most_bytes=60_000)
    wrong: list[Any] = []

    def work(seed: int) -> None:
        rng = np.random.default_rng(seed)
        for _ in range(60):
            k, x = int(rng.integers(0, 8)), float(rng.normal())
            answer = prepare("grad", request(f"x * {k} + x**2", {"inputs": {"x": x}}), plans=plans).run(
                Meter()
            )
            if abs(answer["gradients"]["x"] - (k + 2 * x)) > 1e-12:
                wrong.append((k, x))

    threads = [threading.Thread(target=work, args=(s,)) for s in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not wrong


def test_inputs_are_reported_without_a_copy() -> None:
    """A large input among the values is the argument itself; what is not finite in it is still told."""
    program = parse_text("y = sum(where(x > 1e300, 0, x) * w)\ny")
    x, w = vec(5000), vec(5000)
    job = prepare(
        "grad",
        Request(
            program, {k: Given(v, True, False) for k, v in {"x": x, "w": w}.items()}, wrt=("x",), nodes="none"
        ),
    )
    answer = job.run(Meter())
    assert answer["values"]["x"] is job.arguments[0]
    assert np.array_equal(answer["values"]["x"], x)
    assert not answer["warnings"]
    x[7] = np.inf
    job = prepare(
        "grad",
        Request(
            program, {k: Given(v, True, False) for k, v in {"x": x, "w": w}.items()}, wrt=("x",), nodes="none"
        ),
    )
    answer = job.run(Meter())
    assert np.array_equal(answer["gradients"]["x"], np.where(x > 1e300, 0, w))
    assert [warning["node"] for warning in answer["warnings"]] == ["x"]
