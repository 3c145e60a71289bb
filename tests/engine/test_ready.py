"""Jobs as functions of their inputs' values: what the job itself gives, what the careful executor gives, or nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.derive import Job, Request, prepare
from engine.derive.first_order import FirstOrder
from engine.derive.ready import Ready, ready
from engine.execute.meter import Meter
from engine.language import parse_text
from engine.values import read_value
from tests.engine.test_plans import same

PROGRAMS = [
    "sum(x * y) + s",
    "sum(sqrt(x)) * s",
    "sum(abs(x)) + sum(maximum(y, x)) * s",
    "log(sum(exp(x))) - s * y[0]",
    "t = x > y\nsum(where(t, x / s, y)), t",
    "prod(x) + sum(y**s)",
    "norm(x) * s + y[-1]",
    "sum(x[1:] * y[:-1]) / s, x[:0]",
    "sum(cumsum(x) * y) * s, argmax(x)",
    "dot(x, y) * sin(s), s",
    "sum(tanh(outer(x, y)) @ y) + s",
]
SCALARS = [
    "log(1 + exp(-y*(w*x + b)))",
    "abs(w) * sqrt(x) + relu(y - b)",
    "t = w > x\nw * y, t, b + x",
    "w / x + y**b",
]
numbers = st.one_of(
    st.floats(-3, 3), st.integers(-2, 2).map(float), st.sampled_from([0.0, -0.0, 1e300, 1e-310])
)


def asked(job: Job, inputs: dict[str, Any], found: Ready) -> dict[str, Any] | None:
    """The answer at these inputs, in the form of `Job.run`."""
    arrays = [np.asarray(inputs[name], aval.dtype) for name, aval in found.inputs]
    given = [v for a in arrays for v in a.reshape(-1).tolist()] if found.flat else arrays
    results = found.run(given)
    if results is None:
        return None
    if found.flat:
        flat, results = results, []
        for aval in found.results:
            results.append(np.array(flat[: aval.size], aval.dtype).reshape(aval.shape))
            flat = flat[aval.size :]
        assert not flat
    assert [np.shape(r) for r in results] == [a.shape for a in found.results]
    return found.answer(results)


def plain(value: Any) -> Any:
    """With NumPy's numbers instead of Python's, and arrays of no axes instead of scalars."""
    if isinstance(value, Mapping):
        return {k: plain(v) for k, v in value.items()}
    return np.asarray(value) if isinstance(value, float | bool | np.generic | np.ndarray) else value


def close(a: Any, b: Any, rtol: float) -> None:
    """The careful executor may round otherwise, and warns of what no reported value shows."""
    if isinstance(a, Mapping):
        assert a.keys() == b.keys()
        for k in a.keys() - {"warnings"}:
            close(a[k], b[k], rtol)
    elif isinstance(a, np.ndarray):
        np.testing.assert_allclose(a, b, rtol=rtol, atol=1e-300 if rtol < 1e-6 else 1e-5)
    else:
        assert a == b


def check(verb: str, text: str, rows: list[dict[str, Any]], most: int, **more: Any) -> int:
    """Answers at all rows by the job that was prepared for the first; how many there were."""
    program = parse_text(text)

    def made(row: dict[str, Any]) -> FirstOrder:
        job = prepare(verb, Request(program, {k: read_value(v) for k, v in row.items()}, **more))
        assert isinstance(job, FirstOrder)
        return job

    found = ready(made(rows[0]), most=most)
    assert found is not None
    count = 0
    for row in rows:
        answer = asked(made(row), row, found)
        if answer is None:
            continue
        count += 1
        assert same(plain(answer), plain(made(row).run(Meter())))
        close(
            plain(answer),
            plain(made(row)._run_carefully(Meter())),
            1e-9 if more.get("dtype") != "float32" else 1e-3,
        )
    return count


@given(
    st.sampled_from(["grad", "evaluate"]),
    st.sampled_from(PROGRAMS),
    st.integers(2, 5),
    st.sampled_from(["float64", "float64", "float32"]),
    st.sampled_from(["all", "none"]),
    st.sampled_from([0, 10_000]),
    st.data(),
)
def test_arrays(verb: str, text: str, n: int, dtype: Any, nodes: Any, most: int, data: st.DataObject) -> None:
    many = st.lists(numbers, min_size=n, max_size=n)
    names = {str(k) for k in parse_text(text).input_ids}
    rows = [
        {
            k: v
            for k, v in {"x": data.draw(many), "y": data.draw(many), "s": data.draw(numbers)}.items()
            if k in names
        }
        for _ in range(3)
    ]
    with np.errstate(over="ignore"):  # of float32, as the service has it
        check(verb, text, rows, most, dtype=dtype, nodes=nodes)


@given(
    st.sampled_from(["grad", "evaluate"]),
    st.sampled_from(SCALARS),
    st.lists(st.tuples(*[numbers] * 4), min_size=3, max_size=3),
)
def test_scalars(verb: str, text: str, points: list[tuple[float, ...]]) -> None:
    check(verb, text, [dict(zip("wxyb", p, strict=True)) for p in points], 0)


@pytest.mark.parametrize("most", [0, 10_000])
@pytest.mark.parametrize("text", PROGRAMS)
def test_ordinary_values_have_answers(text: str, most: int) -> None:
    """The road is taken, for many numbers and for few."""
    rng = np.random.default_rng(3)
    names = set(parse_text(text).input_ids)
    rows = [
        {
            k: v
            for k, v in {
                "x": rng.uniform(1, 2, 4).tolist(),
                "y": rng.uniform(2, 3, 4).tolist(),
                "s": 1.5,
            }.items()
            if k in names
        }
        for _ in range(3)
    ]
    assert check("grad", text, rows, most) == 3


@pytest.mark.parametrize(
    ("verb", "text", "given", "more"),
    [
        ("grad", "x * x", {"x": [1.0, 2.0]}, {"seed": read_value([1.0, 1.0])}),
        ("grad", "sum(x)", {"x": [1.0, 2.0]}, {"in_axes": ({"x": 0},)}),
        ("grad", "sum(x)", {"x": [1.0, 2.0]}, {"include": frozenset({"timing"})}),
        ("grad", "sum(x)", {"x": [1.0, 2.0]}, {"mode": "forward"}),
        ("jvp", "sum(x)", {"x": [1.0, 2.0]}, {}),
        ("hessian", "sum(x)", {"x": [1.0, 2.0]}, {}),
        ("evaluate", "x & c", {"x": True, "c": [True]}, {}),
    ],
)
def test_what_is_no_function_of_values(
    verb: str, text: str, given: dict[str, Any], more: dict[str, Any]
) -> None:
    job = prepare(verb, Request(parse_text(text), {k: read_value(v) for k, v in given.items()}, **more))
    assert ready(job) is None


def test_nothing_of_a_request_is_kept_but_what_does_not_vary() -> None:
    """Loops of unknown length and long programs are left out, too: their jobs have no fast executor."""
    given = {"x": read_value([1.0, 2.0]), "k": read_value(1)}
    found = ready(prepare("grad", Request(parse_text("x[k] * sum(x)"), given)))
    assert found is not None
    assert [found.inputs[k][0] for k in found.varying] == ["x"]
    assert "request" not in vars(found.job)
    text = "while x > 1:\n    x = x / 2\nsum(x * y)"
    job = prepare("grad", Request(parse_text(text), {"x": read_value(9.0), "y": read_value([2.0])}))
    assert getattr(job, "quick", None) is None
    assert ready(job) is None
