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
from engine.render.code import LANGUAGES, Derivative, Unit, c, javascript
from engine.specialize import input_arrays, specialize
from engine.symbolic.orders import derive
from tests.engine.code_programs import CONTROL, SCALARS, TENSORS, n, spd
from tests.engine.compiled import SANITIZED, STRICT, TOOLS, Job, disagreements, need, run, scratch
from tests.engine.helpers import given as value_of
from tests.engine.helpers import program_of
from tests.engine.test_random_graphs import Case, cases
from tests.engine.units import again, computed, unit_of

both = pytest.mark.parametrize("language", list(TOOLS))


def scalar_jobs() -> list[Job]:
    """The scalar programs, each at its inputs."""
    jobs = []
    for name, (source, inputs) in SCALARS.items():
        points = [{k: np.asarray(v) for k, v in at.items()} for at in inputs]
        jobs.append(Job(unit_of(source, points[0], name=f"{name}_")[0], list(points)))
    return jobs


def tensor_jobs() -> list[Job]:
    """The array programs, and those with loops and branches."""
    return [
        Job(unit, [arrays])
        for unit, arrays in (unit_of(s, a, name=f"{name}_") for name, (s, a) in (TENSORS | CONTROL).items())
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
    some = ("least_squares", "mlp", "mixture", "solve", "recurrent", "while_array", "order")
    chosen = {k: TENSORS[k] for k in some} | {
        k: p for k, p in CONTROL.items() if k != "xent"
    }  # there it is 0
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
    for job, (results,) in zip(jobs, found, strict=True):
        for x, right in zip(results, computed(job.unit, job.inputs[0]), strict=True):
            np.testing.assert_allclose(
                x, right, rtol=1e-11, atol=1e-11
            )  # values are of size 1, and may cancel


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
    units = {size: unit_of(chain(size), at, name=f"long{size}") for size in (300, 600, 1200)}
    texts = {size: LANGUAGES[language](unit) for size, (unit, _) in units.items()}
    lines = {size: text.count("\n") for size, text in texts.items()}
    assert lines[600] - lines[300] < 330 * 10
    assert (lines[1200] - lines[600]) / (lines[600] - lines[300]) == pytest.approx(2.0, rel=0.3)
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


@pytest.mark.parametrize("write", [c.write, javascript.write])
def test_writing_can_be_stopped(write: Any) -> None:
    unit, _ = unit_of(chain(50), {"x": 0.3, "y": 0.7})
    count = 0

    def step() -> None:
        nonlocal count
        count += 1
        if count > 20:
            raise TimeoutError

    with pytest.raises(TimeoutError):
        write(unit, step)
    assert count == 21
