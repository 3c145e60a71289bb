"""Derivatives as Python code, run and compared with what the engine computes. (Only tests run generated code.)"""

from __future__ import annotations

import ast
import inspect
import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.aval import Aval, DType
from engine.builder import GraphBuilder, Var, call
from engine.errors import EngineError, LimitExceeded, Unsupported
from engine.graph import Graph
from engine.op import Op, registry
from engine.ops.pointwise.elementwise import Elementwise
from engine.program import Program
from engine.render.code import LANGUAGES, Derivative, Unit
from engine.render.code.python import control, lengths
from engine.render.code.python.expr import wrapped
from engine.render.code.python.table import WRITERS
from engine.specialize import input_arrays, specialize
from engine.symbolic.orders import derive
from tests.engine import test_article, test_gallery, test_random_graphs
from tests.engine.conformance.cases import Case, cases
from tests.engine.helpers import ask, request
from tests.engine.references import REFERENCES
from tests.engine.test_identifiers import HOSTILE
from tests.engine.units import again, computed, function_of, reverse, unit_of

python_code = LANGUAGES["python"]
TOLERANCE: Mapping[str, float] = {"float64": 1e-12, "float32": 3e-5}


def agree(got: Sequence[Any], expected: Sequence[Any], dtype: str, what: str, floor: float) -> None:
    """Equal shapes and dtypes, and values to the tolerance beside the largest of all (or `floor`, of what may cancel)."""
    sizes = [
        np.abs(e)[np.isfinite(e)].max(initial=0) for e in map(np.asarray, expected) if e.dtype.kind == "f"
    ]
    for k, (g, e) in enumerate(zip(got, map(np.asarray, expected), strict=True)):
        g = np.asarray(g)
        assert g.shape == e.shape, f"{what}: result {k}"
        assert g.dtype == e.dtype, f"{what}: result {k}"
        tolerance = TOLERANCE[dtype]
        np.testing.assert_allclose(
            g,
            e,
            rtol=tolerance,
            atol=tolerance * 1e-2 * max(sizes, default=0) + floor,
            err_msg=f"{what}: result {k}",
        )


def check(unit: Unit, arrays: Mapping[str, Any], folder: Path, what: str = "") -> str:
    """Code of the unit, run on these inputs, gives what the engine gives; or both raise."""
    floor = 1e-6 if unit.dtype == "float32" else 1e-14 if unit.order > 1 else 1e-300
    text = python_code(unit)
    f = function_of(unit, text, folder)
    arguments = {unit.names.ids[i]: arrays[i] for i in unit.inputs}
    try:
        expected = computed(unit, arrays)
    except EngineError:
        with pytest.raises((np.linalg.LinAlgError, ValueError, IndexError)):
            f(**arguments)
        return text
    value, derivatives = f(**arguments)
    assert list(derivatives) == list(unit.names.keys)
    agree([value, *derivatives.values()], expected, unit.dtype, what, floor)
    return text


# ------------------------------------------------------------------------------------------------------------ every op


def weighed(graph: Graph, dtype: DType) -> Graph | None:
    """All floating results as one number, their entries weighed differently; None where there are none."""
    b = GraphBuilder.on(graph, dtype)
    total: Var | None = None
    for n, o in enumerate(graph.outputs):
        v = Var(b, o)
        if v.aval.floating:
            part = v * b.var((np.arange(v.size) % 7 * 0.25 + 0.5 + n).reshape(v.shape))
            part = call(b, "sum", part) if part.rank else part
            total = part if total is None else total + part
    return None if total is None else b.build([total.ref])


def units_of(case: Case, dtype: DType, second: bool) -> Iterator[Unit]:
    """Value and gradient of a call, and if asked its second derivatives; what has no derivative, alone."""
    ids = tuple(f"x{k}" for k in case.variable)
    graph = case.graph(dtype)
    total = weighed(graph, dtype)
    if total is None:
        for o in graph.outputs:
            yield Unit(graph.with_outputs([o]), "y", ids, (), dtype)
        return
    wrt = [k for k, a in enumerate(total.in_avals) if a.floating]
    first = reverse(total, total.outputs[0], [total.inputs[k] for k in wrt], dtype)
    unit = Unit(first, "y", ids, tuple(Derivative(ids[k], (ids[k],)) for k in wrt), dtype)
    yield unit
    if second:
        yield again(unit)


@pytest.mark.parametrize("op", list(registry), ids=lambda op: op.name)
def test_every_op(op: Op, tmp_path: Path) -> None:
    for n, case in enumerate(cases(op, REFERENCES.get(op.name))):
        for dtype in ("float64", "float32"):
            if dtype == "float32" and op.name == "solve" and "overflow" in case.label:
                continue  # its matrix is not finite in single precision
            arrays = {}
            for k in case.variable:
                array = np.asarray(case.operands[k])
                with np.errstate(all="ignore"):
                    arrays[f"x{k}"] = array.astype(dtype) if array.dtype.kind == "f" else array
            try:
                units = list(units_of(case, dtype, n < 2 and dtype == "float64"))  # type: ignore[arg-type]  # one of the two
            except EngineError:
                continue  # no value, or no derivative, at this call
            for unit in units:
                check(unit, arrays, tmp_path, f"{case.label}, {dtype}")


def test_every_core_op_has_text() -> None:
    leaves = {"core.input", "core.constant", "core.item", "input", "constant", "item"}
    missing = [
        op.name
        for op in registry.everything()
        if not op.composite
        and op.name not in WRITERS
        and op.name not in leaves
        and not isinstance(op, Elementwise)
    ]
    assert not missing
    assert all(registry.core(name) for name in WRITERS if name not in ("", "core.place"))


# -------------------------------------------------------------------------------------------------------------- programs


def whole(
    program: Program, inputs: Mapping[str, Any], dtype: DType = "float64"
) -> tuple[Unit, dict[str, Any]]:
    """The unit of all floating outputs of a program, weighed."""
    asked = request(program, inputs)
    arrays, integers = input_arrays(program, asked.inputs, dtype)
    statics = {n: arrays[n] for n in integers}
    avals = {n: Aval(a.shape, str(a.dtype)) for n, a in arrays.items()}  # type: ignore[arg-type]  # one of the engine's
    typed = specialize(program, avals, dtype=dtype, statics=statics)
    outputs = [n for o in program.outputs if isinstance(n := typed.nodes[o], int)]
    total = weighed(typed.graph.with_outputs(outputs), dtype)
    assert total is not None
    ids = tuple(program.steps[i].id for i in program.inputs)
    wrt = [k for k, a in enumerate(total.in_avals) if a.floating]
    graph = reverse(total, total.outputs[0], [total.inputs[k] for k in wrt], dtype)
    return Unit(graph, "total", ids, tuple(Derivative(ids[k], (ids[k],)) for k in wrt), dtype), dict(arrays)


def asked_in(
    module: Any, test: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> list[tuple[Program, Any]]:
    """The programs, with their inputs, that a test of another module asks about."""
    found: list[tuple[Program, Any]] = []

    def spy(verb: str, source: Any, inputs: Any = None, **fields: Any) -> Any:
        made = request(source, inputs)
        if fields.get("dtype", "float64") == "float64" and not fields.get("in_axes"):
            found.append((made.program, dict(inputs or {})))
        return ask(verb, source, inputs, **fields)

    monkeypatch.setattr(module, "ask", spy)
    test()
    return found


def plain_tests(module: Any) -> list[Any]:
    """Tests of a module that take nothing."""
    return [
        pytest.param(module, f, id=f"{module.__name__.split('.')[-1]}-{name}")
        for name, f in vars(module).items()
        if name.startswith("test_") and not inspect.signature(f).parameters and f.__module__ == module.__name__
        and "cycle" not in name
    ]  # fmt: skip


@pytest.mark.parametrize(("module", "test"), plain_tests(test_gallery) + plain_tests(test_article))
def test_programs_of_other_tests(
    module: Any, test: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    seen = set()
    for program, inputs in asked_in(module, test, monkeypatch):
        unit, arrays = whole(program, inputs)
        key = (unit.graph, *(np.shape(a) for a in arrays.values()))
        if key not in seen:
            seen.add(key)
            check(unit, arrays, tmp_path)


LOOPS = {
    "counted": ("y = 1.0\nfor i in range(20):\n    y = 0.5 * (y + a / y)\ny", {"a": 2.0}),
    "open": ("y = a\nwhile abs(y * y - a) > 1e-12:\n    y = 0.5 * (y + a / y)\ny", {"a": 2.0}),
    "no step": ("y = a\nwhile y > 10:\n    y = y * b\ny + b", {"a": 2.0, "b": 3.0}),
    "nested": (
        "s = 0.0\nfor i in range(4):\n    t = a\n    for j in range(3):\n        t = sin(t) + s\n    s = s + t * t\ns",
        {"a": 0.3},
    ),
    "open in counted": (
        "s = 0.0\nfor i in range(3):\n    y = a + i\n    while y > 1:\n        y = y / b\n    s = s + y\ns",
        {"a": 5.0, "b": 1.7},
    ),
    "counted in open": (
        "y = a\nwhile y < 50:\n    for i in range(3):\n        y = y * b + i * a\ny * b",
        {"a": 1.5, "b": 1.2},
    ),
    "branch": ("if x > 0:\n    y = x**2\nelse:\n    y = -x\ny * 3", {"x": 2.0}),
    "branch in loop": (
        "y = x\nfor i in range(6):\n    if y > 1:\n        y = y / 2\n    else:\n        y = y * y + x\ny",
        {"x": 0.9},
    ),
    "arrays": (
        "h = h0\nfor x in X:\n    h = tanh(W @ h + x)\nsum(h**2)",
        {"h0": [0.1, -0.2], "X": [[1.0, 0.5], [0.25, -1.0], [2.0, 0.0]], "W": [[0.5, -0.5], [1.0, 0.25]]},
    ),
    "root": ("def g(x):\n    return x**3 + x - c\nroot(g, 1.0) * c", {"c": 3.0}),
    "fixed point": ("def g(x):\n    return cos(x) * c\nfixed_point(g, 0.5)", {"c": 0.8}),
    "linear solve": (
        "def m(x):\n    return A @ x\nsum(linear_solve(m, b) ** 2)",
        {"A": [[3.0, 1.0], [0.5, 2.0]], "b": [1.0, -1.0]},
    ),
    "checkpoint": ("def g(x):\n    return sin(x) * x\ncheckpoint(g)(x) ** 2", {"x": 0.7}),
    "custom": ("def g(x):\n    return x**2\ndef back(x, ct):\n    return 3 * ct * x\ncustom_vjp(g, back)(x) + x", {"x": 0.7}),
}  # fmt: skip


@pytest.mark.parametrize(("text", "inputs"), LOOPS.values(), ids=LOOPS)
def test_control_flow_to_second_order(text: str, inputs: dict[str, Any], tmp_path: Path) -> None:
    unit, arrays = unit_of(text, inputs)
    check(unit, arrays, tmp_path, "first")
    check(again(unit), arrays, tmp_path, "reverse over reverse")
    if "custom_vjp" not in text:
        check(again(unit, forward=True), arrays, tmp_path, "forward over reverse")
        check(again(again(unit)), arrays, tmp_path, "third")


def test_open_loop_at_other_lengths(tmp_path: Path) -> None:
    """One code for every number of steps, none and many included."""
    text, _ = LOOPS["counted in open"]
    unit, _ = unit_of(text, {"a": 1.5, "b": 1.2})
    f = function_of(unit, python_code(unit), tmp_path)
    for a, b in ((60.0, 1.2), (1.5, 1.2), (0.01, 1.001), (-3.0, -1.5)):
        expected = ask("grad", text, {"a": a, "b": b})
        value, derivatives = f(a, b)
        np.testing.assert_allclose(value, expected["value"], rtol=1e-12)
        for name, d in derivatives.items():
            np.testing.assert_allclose(d, expected["gradients"][name], rtol=1e-11)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_random_graphs_agree(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    case = data.draw(test_random_graphs.cases())
    unit, arrays = unit_of(case.document, case.inputs, of=case.of)
    folder = tmp_path_factory.getbasetemp()
    check(unit, arrays, folder)
    check(again(unit), arrays, folder)


# ------------------------------------------------------------------------------------------------------- what it is like


def test_it_reads_well() -> None:
    unit, _ = unit_of("(x + y) * z", {"x": -2.0, "y": 5.0, "z": -4.0})
    assert (
        python_code(unit)
        == '''\
"""A function and its derivatives, with NumPy 2."""

import numpy as np


@np.errstate(all="ignore")  # infinities and NaN are results here, not mistakes
def f(x, y, z):
    """The value of t2 and its gradient.

    Arguments (numbers, nested lists or arrays):
        x: a number
        y: a number
        z: a number

    Returns the value (a number) and a dict:
        "x": d t2 / dx, a number
        "y": d t2 / dy, a number
        "z": d t2 / dz, a number

    Call it as: value, derivatives = f(x=..., y=..., z=...)
    """
    x = np.float64(x)
    y = np.float64(y)
    z = np.float64(z)
    t1 = x + y
    value = t1 * z
    return value, {"x": z, "y": z, "z": t1}
'''
    )


def test_entries_and_names_of_steps() -> None:
    unit, _ = unit_of("u = x[0] * x[1]\nloss = u**2 + exp(u)", {"x": [2.0, 3.0]})
    graph = unit.graph
    product = next(i for i, n in enumerate(graph.nodes) if n.op.name == "multiply")
    named = Unit(
        graph, "loss", unit.inputs, unit.derivatives, steps={product: "ü!", graph.outputs[0]: "loss"}
    )
    text = python_code(named)
    assert "    t1 = x[0]\n    t2 = x[1]\n    u = t1 * t2\n    t3 = np.exp(u)\n    loss = u**2 + t3\n" in text
    assert "    # Derivatives.\n" in text
    assert "ü" not in text


def test_plain_products_where_nothing_can_be_infinite() -> None:
    """Strong zeros need a function, constants that are not 0 do not."""
    text = python_code(unit_of("3 * x**2", {"x": 2.0})[0])
    assert "_times" not in text
    assert "_times" in python_code(unit_of("sin(x * y)", {"x": 2.0, "y": 1.0})[0])


def test_zero_times_infinity(tmp_path: Path) -> None:
    """d/dx of 0·√x at 0, and of x·log x·0: as the engine, where plain products give NaN."""
    for text, at in (
        ("y * sqrt(x)", {"x": 0.0, "y": 0.0}),
        ("y * sqrt(x)", {"x": [0.0, 4.0], "y": [0.0, 0.0]}),
    ):
        source = text if np.ndim(at["x"]) == 0 else f"sum({text})"
        unit, arrays = unit_of(source, at)
        _, d = function_of(unit, python_code(unit), tmp_path)(**arrays)
        assert np.all(d["x"] == 0)
        check(unit, arrays, tmp_path)


@pytest.mark.parametrize("kind", ["named", "wide"])
def test_large_programs_take_linear_time_and_text(kind: str, tmp_path: Path) -> None:
    sizes = []
    for n in (1000, 4000) if kind == "wide" else (2500, 10_000):
        document, inputs = large(kind, n)
        unit, arrays = unit_of(document, inputs)
        counted = 0

        def step(frame: Any, event: str, _: Any) -> None:
            nonlocal counted
            counted += event == "call"

        sys.setprofile(step)
        try:
            text = python_code(unit)
        finally:
            sys.setprofile(None)
        sizes.append((counted, len(text)))
        assert counted < 300 * n
        assert max(map(len, text.splitlines())) < 2000
    assert all(b <= 4.3 * a for a, b in zip(*sizes, strict=True)), sizes
    check(unit, arrays, tmp_path)


def large(kind: str, n: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """A program of n nodes."""
    if kind == "wide":
        nodes: list[Any] = [{"id": f"x{k}", "op": "input"} for k in range(n)]
        nodes += [{"id": "s", "op": "stack", "inputs": [f"x{k}" for k in range(n)]}]
        nodes += [{"id": "r", "op": "sum", "inputs": ["q"]}, {"id": "q", "op": "square", "inputs": ["s"]}]
        return {"nodes": nodes, "outputs": ["r"]}, {f"x{k}": k / n for k in range(n)}
    nodes = [{"id": "x", "op": "input"}, {"id": "y", "op": "input"}]
    last, before = "x", "y"
    for k in range(n):
        op = "sin" if kind == "chain" else ("multiply", "add", "tanh", "subtract")[k % 4]
        name = f"n{k}" if kind == "chain" else f"a weird id, {k}!"
        nodes.append({"id": name, "op": op, "inputs": [last] if op in ("sin", "tanh") else [last, before]})
        before, last = last, name
    return {"nodes": nodes, "outputs": [last]}, {"x": 0.5, "y": 0.25}


def test_no_expression_swell() -> None:
    """x ← x·sin(x), again and again: each value is used twice, and so is each line."""
    sizes = []
    for n in (10, 20, 40):
        text = "\n".join(["y0 = x", *(f"y{k + 1} = y{k} * sin(y{k})" for k in range(n))])
        sizes.append(len(python_code(unit_of(text, {"x": 0.5})[0])))
    assert sizes[2] - sizes[1] <= 2.2 * (sizes[1] - sizes[0])


def test_hostile_ids(tmp_path: Path) -> None:
    ids = list(dict.fromkeys(HOSTILE))
    nodes: list[Any] = [{"id": name, "op": "input"} for name in ids]
    nodes.append({"id": "a */ \"\"\" ''' \\", "op": "stack", "inputs": ids})
    nodes.append({"id": "#\u2028", "op": "sin", "inputs": ["a */ \"\"\" ''' \\"]})
    nodes.append({"id": "import os", "op": "sum", "inputs": ["#\u2028"]})
    unit, arrays = unit_of({"nodes": nodes, "outputs": ["import os"]}, dict.fromkeys(ids, 0.5), name="*/")
    labels = {i: nodes[-2]["id"] for i, n in enumerate(unit.graph.nodes) if n.op.name == "sin"}
    named = Unit(unit.graph, unit.of, unit.inputs, unit.derivatives, "float64", labels, "*/")
    text = check(named, arrays, tmp_path)
    assert text.isascii()
    tokens = {n.id for n in ast.walk(ast.parse(text)) if isinstance(n, ast.Name)}
    for name in ids:
        if (
            named.names.ids[name] != name
            and len(name.strip()) > 3
            and not re.fullmatch(r"\w+", name, re.ASCII)
        ):
            assert name not in text
    assert "os" not in tokens


def test_arguments_as_lists_and_of_wrong_shape(tmp_path: Path) -> None:
    unit, _ = unit_of("sum(A @ x)", {"A": [[1.0, 2.0], [3.0, 4.0]], "x": [1.0, 1.0]})
    f = function_of(unit, python_code(unit), tmp_path)
    value, derivatives = f([[1, 2], [3, 4]], [1, 1])
    assert value == 10
    assert derivatives["x"].tolist() == [4.0, 6.0]
    with pytest.raises(ValueError, match=r"shape \(2, 2\)"):
        f([1, 2], [1, 1])


def test_results_are_nobody_elses_memory(tmp_path: Path) -> None:
    """What is returned can be written to, and is neither an argument nor another result."""
    unit, _ = unit_of("sum(x * y) + sum(z) + sum(w)", {n: [1.0, 2.0] for n in "xyzw"})
    f = function_of(unit, python_code(unit), tmp_path)
    given = {n: np.array([1.0, 2.0]) for n in "xyzw"}
    _, d = f(**given)
    for one in d.values():
        one += 1
    assert [a.tolist() for a in given.values()] == [[1.0, 2.0]] * 4
    assert [a.tolist() for a in d.values()] == [[2.0, 3.0], [2.0, 3.0], [2.0, 2.0], [2.0, 2.0]]


def test_constants_are_exact(tmp_path: Path) -> None:
    b = GraphBuilder("float64")
    x = Var(b, b.input(Aval((), "float64")))
    rng = np.random.default_rng(0)
    values = [
        np.array([0.1, -0.0, 1e-310, np.inf, -np.inf, np.nan, 1 / 3]),
        rng.standard_normal((40, 40)),
        np.zeros((3, 0)),
    ]
    values += [np.full((50, 50), -0.0), np.full(7, np.nan), np.array([1e400, 5e-324])]
    for value in values:
        v = Var(b, b.constant(value))
        graph = b.build([b.core("multiply", v.ref, x.ref)])
        unit = Unit(graph, "y", ("x",), ())
        got, _ = function_of(unit, python_code(unit), tmp_path)(1.0)
        np.testing.assert_array_equal(np.asarray(got).view(np.int64), value.view(np.int64))


def test_too_large_constants_are_refused() -> None:
    b = GraphBuilder("float64")
    x = Var(b, b.input(Aval((800, 800), "float64")))
    v = Var(b, b.constant(np.random.default_rng(0).standard_normal((800, 800))))
    with pytest.raises(LimitExceeded, match="Make the large ones inputs"):
        python_code(Unit(b.build([(x * v).ref]), "y", ("x",), ()))


def test_what_cannot_be_written_names_the_node(monkeypatch: pytest.MonkeyPatch) -> None:
    text, inputs = LOOPS["open"]
    unit, _ = unit_of(text, inputs)
    at = next(i for i, n in enumerate(unit.graph.nodes) if n.op.name == "core.counted")
    named = Unit(unit.graph, unit.of, unit.inputs, unit.derivatives, steps={at: "the loop"})

    def differs(graphs: Any) -> Any:
        raise lengths.Differs("another op")

    monkeypatch.setattr(control, "joined", differs)
    with pytest.raises(Unsupported, match="fori_loop") as caught:
        python_code(named)
    assert caught.value.node == "the loop"


STANDALONE = {
    "plain": ("sin(x) * x + log(x)", {"x": 2.0}),
    "special": (
        "sum(gammainc(a, x) + erfcx(x) + jv(1.5, x) + zeta(x + 2))",
        {"a": [0.5, 2.0], "x": [0.25, 3.0]},
    ),
    "linear": ("sum(inv(A) @ expm(A)) + logdet(A @ A.T + eye(2))", {"A": [[3.0, 1.0], [0.5, 2.0]]}),
    "loop": LOOPS["counted in open"],
    "root": LOOPS["root"],
    "division by zero": ("x / y + sqrt(y)", {"x": 1.0, "y": 0.0}),
}

ALONE = """
import importlib.abc, json, sys

class Refused(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("engine", "service", "tests", "numba"):
            raise ImportError(name + " does not belong to the code")

sys.meta_path.insert(0, Refused())
sys.path.insert(0, {folder!r})
import code_alone
value, derivatives = code_alone.{function}(**json.loads({inputs!r}))
print(json.dumps([repr(float(value)), {{k: [repr(x) for x in v.reshape(-1).tolist()] for k, v in derivatives.items()}}]))
"""


@pytest.mark.parametrize(("text", "inputs"), STANDALONE.values(), ids=STANDALONE)
def test_it_runs_alone_and_without_warnings(text: str, inputs: dict[str, Any], tmp_path: Path) -> None:
    unit, arrays = unit_of(text, inputs)
    (tmp_path / "code_alone.py").write_text(python_code(unit), encoding="utf-8")
    script = ALONE.format(folder=str(tmp_path), function=unit.names.function, inputs=json.dumps(inputs))
    done = subprocess.run(
        [sys.executable, "-I", "-W", "error", "-c", script],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    value, derivatives = json.loads(done.stdout)
    expected = computed(unit, arrays)
    got = [float(value), *([float(x) for x in d] for d in derivatives.values())]
    for g, e in zip(got, expected, strict=True):
        np.testing.assert_allclose(np.ravel(g), np.ravel(e), rtol=1e-12, atol=1e-14)


def test_every_import_is_used() -> None:
    for text, inputs in [*STANDALONE.values(), *LOOPS.values()]:
        tree = ast.parse(python_code(unit_of(text, inputs)[0]))
        bound = {
            (a.asname or a.name).split(".")[0]
            for n in ast.walk(tree) if isinstance(n, ast.Import | ast.ImportFrom) for a in n.names
        }  # fmt: skip
        used = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name)}
        assert bound <= used
        defined = {n.name for n in tree.body if isinstance(n, ast.FunctionDef) and n.name.startswith("_")}
        assert defined <= used


@pytest.mark.parametrize(
    "line",
    [
        "x = np.concatenate(({0}), axis=1) + f([{0}])",
        "x = np.concatenate(({0}))",
        "x = f((({0}) + (a, b))[k, m], (c,), {{1: ({0})}})",
        "x = y[({0}), 1] * (a + b)",
        "f({0})[0], z = g(({0},)), ()",
    ],
)
def test_long_lines_are_broken(line: str) -> None:
    whole = line.format(", ".join(f"value_{k}[(0, 1), 2]" for k in range(40)))
    lines = wrapped(whole, 4)
    assert max(map(len, lines)) <= 110
    assert ast.dump(ast.parse("\n".join(one[4:] for one in lines))) == ast.dump(ast.parse(whole))


ORDERS = {
    "scalars": ("u = x * y\nloss = sin(u) * exp(x)", {"x": 2.0, "y": 0.5}),
    "network": ("h = tanh(W @ x + b)\nloss = sum(h**2)", {"W": [[1.0, 2.0], [3.0, 0.5]], "x": [0.1, 0.2], "b": [0.0, 1.0]}),
    "vector": ("r = A @ x - b\nr * exp(r)", {"A": [[1.0, 2.0], [3.0, 0.5], [0.0, 1.0]], "x": [0.1, 0.2], "b": [0.0, 1.0, 2.0]}),
    "picked": ("x[0] * x[2] ** 3 + x[1:] @ x[:2]", {"x": [0.5, 1.5, 2.0]}),
    "nothing": ("floor(x) + 0 * y", {"x": 2.5, "y": 1.0}),
    "loop": LOOPS["counted"],
    "open loop": ("y = a\nwhile abs(y * y - a) > 1e-4:\n    y = 0.5 * (y + a / y)\ny", {"a": 2.0}),
    "branch": LOOPS["branch"],
}  # fmt: skip


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(("text", "inputs"), ORDERS.values(), ids=ORDERS)
def test_orders_and_mixed(text: str, inputs: dict[str, Any], dtype: DType, tmp_path: Path) -> None:
    """Derivatives as the service writes them, by inputs and by a node in between, with names of steps."""
    asked = request(text, inputs)
    program = asked.program
    arrays, _ = input_arrays(program, asked.inputs, dtype)
    typed = specialize(program, {n: Aval(a.shape, dtype) for n, a in arrays.items()}, dtype=dtype)
    middle = [i for i, s in enumerate(program.steps) if s.id in ("u", "h", "r")]
    for wrt, order, mixed in (
        ([*program.inputs, *middle], 1, False),
        (program.inputs, 2, False),
        ([*program.inputs[:1], *middle, program.inputs[-1]], 1, True),
        ([program.inputs[-1]] * 3, 1, True),
    ):
        d = derive(typed, program.outputs[0], list(wrt), order, mixed=mixed)
        found = tuple(map(Derivative, d.keys, d.wrt))
        unit = Unit(d.graph, d.of, d.inputs, found, d.dtype, d.steps)
        code = check(unit, arrays, tmp_path, f"{order} {mixed}")
        names = unit.names.ids.values()
        assert len(set(names)) == len(names)
        if mixed:
            assert f"d{len(wrt)} " in code
