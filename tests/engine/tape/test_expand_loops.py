"""Loops on the tape, on both machines, against the same loops step by step."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from engine.aval import Aval, aval_of
from engine.builder import EagerBuilder, GraphBuilder, Var, call
from engine.compiled import LOOPS
from engine.errors import DeadlineExceeded, EngineError
from engine.execute.meter import Cancelled, Meter
from engine.graph import Graph
from engine.jit.apart import NEVER
from engine.ops.control.scan import scan_core
from engine.specialize import input_arrays, specialize
from engine.tape import generate_runs, loop_of, machine
from engine.tape.loop import TapeLoop
from engine.transforms.pull import vjp_graph
from engine.transforms.push import jvp_graph
from engine.transforms.simplify import simplify
from engine.transforms.vmap import map_graph
from tests.engine.bodies import body, graph
from tests.engine.helpers import ask, given, program_of, request


@pytest.mark.parametrize("name", ["plain", "native"])
def test_the_loops_over_runs_are_of_the_table(name: str) -> None:
    assert (generate_runs.HERE / f"{name}_runs.py").read_text("utf-8") == generate_runs.source(name)


@pytest.fixture
def taped(on: str, monkeypatch: pytest.MonkeyPatch) -> list[TapeLoop]:
    """The loops that were run on the tape; in plain Python as if Numba was about to be loaded."""
    monkeypatch.setattr(machine.STATE, "loading", True)
    found: list[TapeLoop] = []

    def made(*parts: Any) -> Any:
        loop = loop_of(*parts)
        if loop is not None:
            found.append(loop)
        return loop

    monkeypatch.setattr(LOOPS, "maker", made)
    return found


def typed(text: str, inputs: dict[str, Any]) -> tuple[Graph, list[Any]]:
    program = program_of(text, inputs)
    arrays, _ = input_arrays(program, {k: given(v) for k, v in inputs.items()}, "float64", 20)
    graph = specialize(program, {k: aval_of(a) for k, a in arrays.items()}).graph
    return graph, [arrays[program.steps[i].id] for i in program.inputs]


def run(graph: Graph, arrays: Sequence[Any], step: Callable[[], None] | None = None) -> list[Any]:
    with np.errstate(all="ignore"):
        step = step or Meter(time.monotonic() + 60).check
        return EagerBuilder("float64", step).run(graph, [np.asarray(a)[()] for a in arrays])


def by_steps(graph: Graph, arrays: Sequence[Any]) -> list[Any]:
    maker, LOOPS.maker = LOOPS.maker, None
    try:
        return run(graph, arrays)
    finally:
        LOOPS.maker = maker


def same(graph: Graph, arrays: Sequence[Any], rtol: float = 1e-12) -> None:
    got, expected = run(graph, arrays), by_steps(graph, arrays)
    for g, e in zip(got, expected, strict=True):
        g, e = np.asarray(g), np.asarray(e)
        assert g.dtype == e.dtype
        assert g.shape == e.shape
        finite = np.isfinite(e) if e.dtype.kind == "f" else np.zeros(e.shape, bool)
        scale = np.abs(e[finite]).max(initial=0.0)
        np.testing.assert_allclose(g, e, rtol=rtol, atol=rtol * scale)


PROGRAMS: dict[str, tuple[str, dict[str, Any]]] = {
    "counter": (
        "def f(x):\n    y = x\n    for i in range(60):\n        y = y + 0.01 * sin(y * i)\n    return y\nf(x)",
        {"x": 1.3},
    ),
    "vectors": (
        "y = x\nfor i in range(20):\n    y = tanh(A @ y) + b * (i % 3)\nsum(y * y)",
        {
            "x": np.array([0.3, -0.4, 0.1]),
            "A": np.array([[0.5, 0.2, 0.1], [0.0, 0.3, -0.2], [0.7, 0.1, 0.4]]),
            "b": 0.1,
        },
    ),
    "indexed": (
        "t = 0.0\nfor i in range(x.shape[0]):\n    t = t * 0.9 + x[i] * w[i % 2, 1]\nt",
        {"x": np.linspace(0.1, 1.0, 12), "w": np.array([[1.0, 2.0], [3.0, -1.5]])},
    ),
    "written": (
        "y = zeros(6)\nfor i in range(6):\n    y = scatter_set(y, i, sin(x * i) + y[where(i > 0, i - 1, 0)])\nsum(y * y)",
        {"x": 0.7},
    ),
    "nested": (
        "y = x\nfor i in range(10):\n    for j in range(3):\n        y = y + 0.1 * sin(y * j + i)\nsum(y)",
        {"x": np.array([0.1, 0.9])},
    ),
    "choice": (
        "y = x\nfor i in range(30):\n    if y > 1:\n        y = y * 0.7\n    else:\n        y = y * y + 0.3\ny",
        {"x": 0.6},
    ),
    "softmax": (
        "y = x\nfor i in range(8):\n    y = softmax(y * 2.0) + logsumexp(y) * 0.1 - log_softmax(y) * 0.01\nsum(y * y)",
        {"x": np.array([0.2, 0.5, -0.3, 0.1])},
    ),
    "while": (
        "y = x\nn = 0.0\nwhile y < 50:\n    y = y * 1.1 + 0.1 * sin(y) + 0.2\n    n = n + 1\ny + n",
        {"x": 2.0},
    ),
    "newton": ("y = x\nwhile abs(y * y - x) > 1e-12:\n    y = (y + x / y) / 2\ny", {"x": 7.0}),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_loops_are_what_they_are_step_by_step(name: str, taped: list[TapeLoop]) -> None:
    graph, arrays = typed(*PROGRAMS[name])
    same(graph, arrays)
    assert taped
    floats = [i for i, a in zip(graph.inputs, graph.in_avals, strict=True) if a.floating]
    back = simplify(vjp_graph(graph.with_outputs(()), graph.outputs, floats, "float64"), "float64")
    same(back, [*arrays, 1.0])
    forth = simplify(jvp_graph(back, back.inputs[: len(arrays)], "float64"), "float64")
    rng = np.random.default_rng(0)
    dots = [rng.normal(size=np.shape(a)) for a in arrays]
    same(forth, [*arrays, 1.0, *dots], 1e-10)
    stacked = [np.stack([np.asarray(a) * f for f in (1.0, 0.95, 1.03)]) for a in arrays]
    many = map_graph(graph, 3, [0] * len(arrays), "float64")
    same(many, stacked)
    same(map_graph(back, 3, [0] * len(arrays) + [None], "float64"), [*stacked, 1.0], 1e-11)


@pytest.mark.parametrize("n", [0, 1, 3, 4, 5])
@pytest.mark.parametrize("reverse", [False, True])
def test_scans_of_any_length(n: int, reverse: bool, taped: list[TapeLoop]) -> None:
    step = body(
        ["k", "c", "x", "w"],
        [("l", "add", ["k", 1]), ("a", "multiply", ["c", "w"]), ("b", "add", ["a", "x"]), ("y", "multiply", ["b", "k"]),
         ("m", "greater", ["y", 0.0]), ("q", "sin", ["b"])],
        ["l", "q", "y", "m", "k"],
    )  # fmt: skip
    source = graph("c xs w", [
        ("k", "astype", [0.0], {"dtype": "int"}),
        ("r", "scan", ["k", "c", "xs", "w"], {"carry": 2, "body": step, "reverse": reverse}),
        *[(f"o{m}", "item", ["r"], {"index": m}) for m in range(5)]], *[f"o{m}" for m in range(5)])  # fmt: skip
    rng = np.random.default_rng(n)
    at = {"c": rng.normal(size=2), "xs": rng.normal(size=(n, 2)), "w": rng.normal(size=2)}
    typed_graph = specialize(request(source, at).program, {k: aval_of(v) for k, v in at.items()}).graph
    same(typed_graph, list(at.values()))
    assert bool(taped) == (n >= 4)


@pytest.mark.parametrize(
    ("text", "x"),
    [
        ("y = x\nfor i in range(40):\n    y = y * y + i\ny", 1.5),  # overflows
        (
            "y = 0.0\nfor i in range(12):\n    y = y + 1 / (i - x)\ny",
            5.0,
        ),  # infinite in the middle, and stays so
        (
            "y = 0.0\nfor i in range(12):\n    y = where(i == x, y, y + 1 / (i - x))\ny",
            5.0,
        ),  # in a branch not taken
        ("y = x\nfor i in range(9):\n    y = 1 / (y - 1)\ny", 2.0),  # infinite, then finite again
        ("y = x\nfor i in range(9):\n    y = log(y)\ny", 0.5),  # not a number
        ("m = -inf\nfor i in range(9):\n    m = maximum(m, sin(i * x))\nm", 2.0),  # begins with an infinity
        ("y = x\nn = 0.0\nwhile isfinite(y):\n    y = y * y\n    n = n + 1\nn", 1.5),
    ],
)
def test_what_is_not_finite_is_as_it_always_was(text: str, x: float, taped: list[TapeLoop]) -> None:
    graph, arrays = typed(text, {"x": x})
    got, expected = run(graph, arrays), by_steps(graph, arrays)
    np.testing.assert_allclose(got[0], expected[0], rtol=1e-13)
    assert taped
    back = simplify(vjp_graph(graph.with_outputs(()), graph.outputs, graph.inputs, "float64"), "float64")
    np.testing.assert_allclose(run(back, [*arrays, 1.0])[0], by_steps(back, [*arrays, 1.0])[0], rtol=1e-12)


def test_integers_stay_exact(taped: list[TapeLoop]) -> None:
    def steps(write: Callable[[Var, Var], Var], x: int, n: int) -> None:
        body, b = GraphBuilder(), GraphBuilder()
        carry, k = (Var(body, body.input(Aval((), "int64"))) for _ in range(2))
        after = write(carry, k)
        graph = body.build([after.ref, carry.ref])
        y = Var(b, b.input(Aval((), "int64")))
        times = b.write("iota", n=n)
        got = b.write(scan_core, y, times, body=graph, carries=1, scanned=1, length=n, reverse=False)
        whole = b.build([v.ref for v in got])
        same(whole, [np.int64(x)], 0)

    steps(lambda c, k: call(c.b, "remainder", c * 1103515245 + 12345, 2**31), 42, 50)  # products up to 2⁶¹
    steps(lambda c, k: c * 3 + k, 1, 39)  # beyond 2⁵³
    steps(lambda c, k: call(c.b, "floor_divide", c + k, 2), 7, 20)
    assert taped


def test_an_index_out_of_range_is_the_error_it_was(taped: list[TapeLoop]) -> None:
    text = "t = 0.0\nfor i in range(12):\n    t = t + x[i + k]\nt"
    x = np.linspace(0, 1, 14)
    graph, arrays = typed(text, {"x": x, "k": 2})
    same(graph, arrays)
    arrays[1] = np.int64(-12)
    same(graph, arrays)
    for bad in (3, -15):
        arrays[1] = np.int64(bad)
        with pytest.raises(EngineError, match="out of range") as new:
            run(graph, arrays)
        with pytest.raises(EngineError) as old:
            by_steps(graph, arrays)
        assert new.value.detail == old.value.detail
    assert taped


ENDLESS = "y = x\nwhile y > 0:\n    y = y + 0.0 * sin(y)\ny"


def test_a_loop_without_end_is_stopped(taped: list[TapeLoop]) -> None:
    graph, arrays = typed(ENDLESS, {"x": 1.0})
    start = time.monotonic()
    with pytest.raises(DeadlineExceeded):
        run(graph, arrays, Meter(start + 0.2).check)
    assert time.monotonic() - start < 2
    asked = threading.Event()
    threading.Timer(0.1, asked.set).start()
    with pytest.raises(Cancelled):
        run(graph, arrays, Meter(cancelled=asked.is_set).check)
    assert taped


def test_the_meter_is_asked_between_blocks(taped: list[TapeLoop]) -> None:
    """However long a loop is, and however large its body, no more than some thousand entries go by without a question."""
    graph, arrays = typed("y = x\nfor i in range(200000):\n    y = y * 0.5 + 1\nsum(y)", {"x": np.ones(8)})
    calls = 0

    def step() -> None:
        nonlocal calls
        calls += 1

    run(graph, arrays, step)
    (loop,) = {id(t): t for t in taped}.values()
    assert calls >= 200_000 * loop._entries // 500_000


def test_where_numba_is_never_used_loops_go_step_by_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "STATE", machine.State())
    monkeypatch.setenv(NEVER, "1")
    graph, _ = typed(*PROGRAMS["counter"])
    (node,) = (n for n in graph.nodes if n.op.name == "core.scan")
    params = dict(node.params)
    assert loop_of(params["body"], params["carries"], params["scanned"], None) is None


def test_both_machines_give_the_same_bits(native: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in PROGRAMS:
        graph, arrays = typed(*PROGRAMS[name])
        floats = [i for i, a in zip(graph.inputs, graph.in_avals, strict=True) if a.floating]
        back = simplify(vjp_graph(graph.with_outputs(()), graph.outputs, floats, "float64"), "float64")
        fast = run(back, [*arrays, 1.0])
        with monkeypatch.context() as m:
            m.setattr(machine.STATE, "native", None)
            m.setattr(machine.STATE, "loading", True)
            slow = run(back, [*arrays, 1.0])
        for p, q in zip(fast, slow, strict=True):
            np.testing.assert_array_equal(p, q, name)


def test_a_loop_with_an_infinity_in_every_step_costs_what_it_did(taped: list[TapeLoop]) -> None:
    """The tape is tried ever more seldom: the number of steps that are computed twice grows with the logarithm."""
    graph, arrays = typed(
        "y = x\nfor i in range(3000):\n    y = where(i < 0, 1 / (i - i), y + 1)\ny", {"x": 1.0}
    )
    blocks = 0
    run_block = TapeLoop._steps

    def counted(self: TapeLoop, *parts: Any) -> Any:
        nonlocal blocks
        blocks += 1
        return run_block(self, *parts)

    TapeLoop._steps = counted  # type: ignore[method-assign]
    try:
        assert run(graph, arrays) == [3001.0]
    finally:
        TapeLoop._steps = run_block  # type: ignore[method-assign]
    assert taped
    assert blocks <= 16


def test_random_bodies(taped: list[TapeLoop]) -> None:
    rng = np.random.default_rng(7)
    unary = ["sin", "tanh", "exp", "square", "negative", "abs", "sigmoid"]
    for _ in range(12):
        lines = ["a = x", "b = w * 0.5"]
        lines.append("for i in range(9):")
        names = ["a", "b", "w"]
        for k in range(int(rng.integers(3, 9))):
            p, q = rng.choice(names, 2)
            op = rng.choice(unary)
            shapes = (
                f"{op}({p}) * 0.3 + {q}", f"{p} * {q} * 0.1", f"sum({p}) * 0.1 + {q}", f"cumsum({p}) * 0.1",
                f"maximum({p}, {q} - 0.1)", f"flip({p}, 0) - {q}", f"where({p} > {q}, {p}, {q} * 0.5)",
            )  # fmt: skip
            shape = rng.choice(shapes)
            lines.append(f"    t{k} = tanh({shape})")
            names.append(f"t{k}")
        lines.append(f"    a, b = {names[-1]}, {names[-2]} + 0.01 * i")
        lines.append("sum(a * b)")
        graph, arrays = typed("\n".join(lines), {"x": rng.normal(size=4), "w": rng.normal(size=4)})
        same(graph, arrays)
        back = simplify(vjp_graph(graph.with_outputs(()), graph.outputs, graph.inputs, "float64"), "float64")
        same(back, [*arrays, 1.0], 1e-11)
    assert taped


def test_taylor_series_of_a_loop(taped: list[TapeLoop]) -> None:
    text, inputs = PROGRAMS["counter"]
    answers = []
    for maker in (LOOPS.maker, None):
        kept, LOOPS.maker = LOOPS.maker, maker
        try:
            answers.append(ask("taylor", text, inputs, order=4, direction={"x": 1.0}))
        finally:
            LOOPS.maker = kept
    first, second = ([v for k, v in sorted(a.items()) if k not in ("warnings", "timing")] for a in answers)
    np.testing.assert_equal(len(first), len(second))
    assert str(answers[0].keys()) == str(answers[1].keys())
    for p, q in zip(_numbers(answers[0]), _numbers(answers[1]), strict=True):
        np.testing.assert_allclose(p, q, rtol=1e-10)
    assert taped


def _numbers(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return [x for v in value.values() for x in _numbers(v)]
    if isinstance(value, np.ndarray | np.generic):
        return [np.asarray(value)]
    return []
