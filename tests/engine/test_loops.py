"""Loops, maps and checkpoints: inside one another, over batches, of no steps and of many, to second order, in little memory."""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest

import engine.ops.control.mapping
from engine.aval import Aval
from engine.cost import Limits
from engine.derive import MAPPED, prepare
from engine.errors import Arity, DeadlineExceeded, EngineError, LimitExceeded, ShapeMismatch
from engine.execute.meter import Meter
from engine.graph import Graph, typecheck
from engine.kernels import arrays
from engine.ops.control.counted import Derivation
from engine.spec import read_graph
from engine.specialize import specialize
from engine.transforms.pull import vjp_graph
from engine.transforms.push import jvp_graph
from engine.transforms.simplify import simplify
from engine.transforms.vmap import map_graph
from tests.engine.bodies import body, graph, node
from tests.engine.conformance import compute
from tests.engine.helpers import ask, difference, near, program_of, request

MODES = ("auto", "reverse", "forward")


def until(condition: dict[str, Any], step: dict[str, Any], carry: int = 1, **more: Any) -> dict[str, Any]:
    """Attributes of a while_loop."""
    return {"carry": carry, "cond": condition, "body": step, **more}


NEWTON = graph(
    "a",
    [("r", "while_loop", ["a", "a"], until(
        body(["y", "a"], [("s", "square", ["y"]), ("d", "subtract", ["s", "a"]), ("e", "abs", ["d"]),
                          ("t", "multiply", [1e-14, "a"]), ("g", "greater", ["e", "t"])], ["g"]),
        body(["y", "a"], [("q", "divide", ["a", "y"]), ("u", "add", ["y", "q"]), ("n", "multiply", [0.5, "u"])], ["n"]),
    ))],
    "r",
)  # fmt: skip


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("a", [2.0, 0.3, 1e4])
def test_newton_until_it_has_converged(mode: str, a: float) -> None:
    # Differentiating through the iteration converges one step behind the iteration itself; the tolerance is tight enough.
    near(ask("evaluate", NEWTON, {"a": a})["outputs"]["r"], np.sqrt(a), 1e-13)
    near(ask("grad", NEWTON, {"a": a}, mode=mode)["gradients"]["a"], 0.5 / np.sqrt(a), 1e-7)
    near(ask("jacobian", NEWTON, {"a": a}, mode=mode)["jacobian"]["r"]["a"], 0.5 / np.sqrt(a), 1e-7)
    near(ask("jvp", NEWTON, {"a": a}, tangents={"a": 2.0})["output_tangents"]["r"], 1 / np.sqrt(a), 1e-7)
    near(ask("hessian", NEWTON, {"a": a}, mode=mode)["hessian"]["a"]["a"], -0.25 * a**-1.5, 1e-6)
    near(ask("hvp", NEWTON, {"a": a}, vector={"a": 2.0})["hvp"]["a"], -0.5 * a**-1.5, 1e-6)


ROOT = """
def root(a):
    y = a
    while abs(y*y - a) > 1e-14*a:
        y = 0.5 * (y + a / y)
    return y

grad(root)(x)
"""


@pytest.mark.parametrize("mode", MODES)
def test_derivatives_that_the_program_itself_asks_for(mode: str) -> None:
    # The way back is part of the program here, and is differentiated, mapped and developed as any other.
    x = np.array([2.0, 0.3, 1e3])
    for k in range(3):
        near(ask("evaluate", ROOT, {"x": x[k]})["outputs"]["t1"], 0.5 * x[k] ** -0.5, 1e-7)
        near(ask("hessian", ROOT, {"x": x[k]}, mode=mode)["hessian"]["x"]["x"], 0.375 * x[k] ** -2.5, 1e-4)
    near(ask("grad", ROOT, {"x": x}, mode=mode, in_axes={"x": 0})["gradients"]["x"], -0.25 * x**-1.5, 1e-5)
    near(ask("hvp", ROOT, {"x": x}, in_axes={"x": 0}, vector={"x": x})["hvp"]["x"], 0.375 * x**-1.5, 1e-4)


def test_taylor_coefficients_through_loops() -> None:
    # Those of √(2 + t) and of its derivative, 1/(2√(2 + t)).
    expected = np.array([1, 1 / 4, -1 / 32, 1 / 128, -5 / 2048]) * np.sqrt(2)
    got = ask("taylor", NEWTON, {"a": 2.0}, direction={"a": 1.0}, order=4)["coefficients"]
    near(np.array(got), expected, 1e-6)
    slope = expected[1:] * np.arange(1, 5)
    got = ask("taylor", ROOT, {"x": 2.0}, direction={"x": 1.0}, order=2)["coefficients"]
    near(np.array(got), slope[:3], 1e-4)
    kept, cut = (
        ask("taylor", chain(6, 2, kept=k, turned=False), {"x": [0.3, 0.7]}, direction={"x": [1, 2]}, order=3)
        for k in (True, False)
    )
    near(np.array(cut["coefficients"]), np.array(kept["coefficients"]), 1e-12)
    for name, (source, _) in NESTED.items():
        x, w = POINTS[0]
        along = {"x": np.array(x) / 2, "w": 1.0}
        got = ask("taylor", source, {"x": x, "w": w}, direction=along, order=2)["coefficients"]
        first = ask("jvp", source, {"x": x, "w": w}, tangents=along)["output_tangents"]["f"]
        second = ask("hvp", source, {"x": x, "w": w}, vector=along)["hvp"]
        near(np.array(got[1:]), np.array([first, (second["x"] @ along["x"] + second["w"]) / 2]), 1e-10), name


# ------------------------------------------------------------------------------------------------------ loops inside loops

GROW = body(["c", "x"], [("n", "multiply", ["c", "x"])], ["n"])
BELOW_5 = body(["c", "x"], [("m", "less", ["c", 5])], ["m"])


def grown(c: float, x: float) -> float:
    while c < 5:
        c = c * x
    return c


def in_scan(x: np.ndarray, w: np.ndarray) -> Any:
    c, total = w, 0.0
    for v in x:
        c = grown(np.sin(c) / 2 + 1, v)
        total += c * v
    return c * total


def around_scan(x: np.ndarray, w: np.ndarray) -> Any:
    c = w
    while c < 5:
        for v in x:
            c = c * v + np.sin(c)
    return c * w


def in_cond(x: np.ndarray, w: np.ndarray) -> Any:
    s = x.sum()
    return s * grown(w, x[0]) if w > 0.5 else w * s**2


def around_cond(x: np.ndarray, w: np.ndarray) -> Any:
    c = w
    while c < 5:
        c = c * x[0] if np.sin(3 * c) > 0 else c * c + x[1]
    return c * x[2]


def in_while(x: np.ndarray, w: np.ndarray) -> Any:
    # How many steps the inner loop takes depends on where the outer one is.
    c, total = w, 0.0 * w
    while total < 9:
        total = total + grown(c, x[0])
        c = c * x[1]
    return total * c * x[2]


def in_map(x: np.ndarray, w: np.ndarray) -> Any:
    return sum(grown(w, v) * v for v in x)


ENTRIES = [(f"x{k}", "getitem", ["x"], {"index": [k]}) for k in range(3)]
LOOP = ("g", "while_loop", ["c", "v"], until(BELOW_5, GROW))

NESTED: dict[str, tuple[Any, Callable[..., Any]]] = {
    "while in scan": (graph("x w", [
        ("r", "scan", ["w", 0.0, "x"], {"carry": 2, "body": body(
            ["c0", "t", "v"],
            [("d", "sin", ["c0"]), ("h", "divide", ["d", 2]), ("c", "add", ["h", 1]), LOOP,
             ("m", "multiply", ["g", "v"]), ("s", "add", ["t", "m"])], ["g", "s"])}),
        ("c", "item", ["r"], {"index": 0}), ("t", "item", ["r"], {"index": 1}), ("f", "multiply", ["c", "t"])], "f"), in_scan),
    "scan in while": (graph("x w", [
        ("r", "while_loop", ["w", "x"], until(BELOW_5, body(
            ["c", "x"], [("n", "scan", ["c", "x"], {"carry": 1, "body": body(
                ["c", "v"], [("a", "multiply", ["c", "v"]), ("b", "sin", ["c"]), ("n", "add", ["a", "b"])], ["n"])})], ["n"]))),
        ("f", "multiply", ["r", "w"])], "f"), around_scan),
    "while in cond": (graph("x w", [
        *ENTRIES, ("s", "sum", ["x"]), ("m", "greater", ["w", 0.5]),
        ("f", "cond", ["m", "w", "x0", "s"], {
            "then": body(["c", "v", "s"], [LOOP, ("f", "multiply", ["g", "s"])], ["f"]),
            "else": body(["c", "v", "s"], [("q", "square", ["s"]), ("f", "multiply", ["c", "q"])], ["f"])})], "f"), in_cond),
    "cond in while": (graph("x w", [
        *ENTRIES,
        ("r", "while_loop", ["w", "x0", "x1"], until(
            body(["c", "p", "q"], [("m", "less", ["c", 5])], ["m"]),
            body(["c", "p", "q"], [("t", "multiply", [3, "c"]), ("u", "sin", ["t"]), ("m", "greater", ["u", 0]),
                                   ("n", "cond", ["m", "c", "p", "q"], {
                                       "then": body(["c", "p", "q"], [("n", "multiply", ["c", "p"])], ["n"]),
                                       "else": body(["c", "p", "q"], [("s", "square", ["c"]), ("n", "add", ["s", "q"])], ["n"]),
                                   })], ["n"]))),
        ("f", "multiply", ["r", "x2"])], "f"), around_cond),
    "while in while": (graph("x w", [
        *ENTRIES, ("zero", "multiply", [0.0, "w"]),
        ("r", "while_loop", ["w", "zero", "x0", "x1"], until(
            body(["c", "t", "v", "q"], [("m", "less", ["t", 9])], ["m"]),
            body(["c", "t", "v", "q"], [LOOP, ("s", "add", ["t", "g"]), ("n", "multiply", ["c", "q"])], ["n", "s"]), 2)),
        ("c", "item", ["r"], {"index": 0}), ("t", "item", ["r"], {"index": 1}),
        ("p", "multiply", ["t", "c"]), ("f", "multiply", ["p", "x2"])], "f"), in_while),
    "while in map": (graph("x w", [
        ("r", "map", ["x", "w"], {"body": body(["v", "c"], [LOOP, ("f", "multiply", ["g", "v"])], ["f"])}),
        ("f", "sum", ["r"])], "f"), in_map),
}  # fmt: skip
POINTS = (([1.3, 1.7, 2.1], 0.8), ([2.5, 1.4, 1.2], 1.9), ([1.6, 1.1, 1.9], 0.3))


@pytest.mark.parametrize("name", NESTED)
def test_loops_inside_one_another(name: str) -> None:
    source, f = NESTED[name]
    for xs, w in POINTS:
        x = np.array(xs)
        at = {"x": x, "w": w}
        near(ask("evaluate", source, at)["outputs"]["f"], f(x, np.float64(w)))
        expected = {
            "x": difference(lambda v, w=w, f=f: f(v, w), x, 1e-4),
            "w": difference(lambda v, x=x, f=f: f(x, v), np.float64(w), 1e-4),
        }
        for mode in MODES:
            near(ask("grad", source, at, mode=mode, wrt=["x", "w"])["gradients"], expected, 1e-8, 1e-8)
        near(
            ask("jvp", source, at, tangents=at)["output_tangents"]["f"],
            expected["x"] @ x + expected["w"] * w,
            1e-8,
        )

        def slope(a: str, b: str, v: Any, at: Mapping[str, Any] = at) -> Any:
            return ask("grad", source, {**at, b: v}, wrt=["x", "w"])["gradients"][a]

        second = {a: {b: difference(lambda v, a=a, b=b: slope(a, b, v), at[b], 1e-4) for b in at} for a in at}
        for mode in MODES:
            near(ask("hessian", source, at, mode=mode)["hessian"], second, 1e-7, 1e-7)


@pytest.mark.parametrize("name", NESTED)
def test_members_of_a_batch_take_different_numbers_of_steps(name: str) -> None:
    source, _ = NESTED[name]
    batch = {"x": np.array([x for x, _ in POINTS]).T, "w": np.array([w for _, w in POINTS])}
    axes = {"x": 1, "w": 0}
    fields: dict[str, dict[str, Any]] = {"jvp": {"tangents": batch}, "hvp": {"vector": batch}}
    for verb, mode in [("grad", "auto"), ("jvp", "auto"), ("hvp", "auto"), *[("hessian", m) for m in MODES]]:
        got = ask(verb, source, batch, in_axes=axes, mode=mode, **fields.get(verb, {}))
        for k, (x, w) in enumerate(POINTS):
            own = {n: {"x": x, "w": w} for n in fields.get(verb, {})}
            one = ask(verb, source, {"x": x, "w": w}, mode=mode, **own)
            for field in ("outputs", "gradients", "output_tangents", "hvp"):
                for n, v in one.get(field, {}).items():
                    near(got[field][n][k], v, 1e-11)
            for a, row in one.get("hessian", {}).items():
                for b, v in row.items():
                    near(got["hessian"][a][b][k], v, 1e-11)


def test_maps_of_maps() -> None:
    source, _ = NESTED["while in while"]
    x, w = np.array(POINTS[0][0]) * np.linspace(1, 1.2, 4)[:, None], np.array([0.8, 1.9])
    got = ask("hessian", source, {"x": x, "w": w}, in_axes=[{"x": 0}, {"w": 0}])
    for i in range(4):
        for j in range(2):
            one = ask("hessian", source, {"x": x[i], "w": w[j]})
            near(got["hessian"]["x"]["w"][i, j], one["hessian"]["x"]["w"], 1e-11)
            near(got["gradients"]["x"][i, j], one["gradients"]["x"], 1e-11)


@pytest.mark.parametrize("name", NESTED)
def test_derived_graphs_are_well_typed(name: str) -> None:
    source, _ = NESTED[name]
    typed = specialize(program_of(source), {"x": Aval((3,), "float64"), "w": Aval((), "float64")}).graph
    seen = 0

    def check(found: Graph) -> None:
        nonlocal seen
        typecheck(found)
        for entry in found.nodes:
            for _, value in entry.params:
                if isinstance(value, Graph):
                    check(value)
                elif isinstance(value, Derivation):
                    seen += 1
                    check(value.graph(3))

    reverse = vjp_graph(typed, typed.outputs, typed.inputs, "float64")
    check(reverse)
    check(jvp_graph(reverse, reverse.inputs, "float64"))
    check(vjp_graph(reverse, reverse.outputs, reverse.inputs, "float64"))
    check(map_graph(reverse, 2, [0, 0, 0], "float64"))
    assert seen


# --------------------------------------------------------------------------------------------------- batches that must end


def to_zero(n: str) -> tuple[Any, ...]:
    """A loop that ends for natural numbers only, and doubles x each time."""
    return (
        "r", "while_loop", [n, "x"],
        until(body(["n", "x"], [("m", "not_equal", ["n", 0])], ["m"]),
              body(["n", "x"], [("k", "subtract", ["n", 1]), ("d", "multiply", [2, "x"])], ["k", "d"]), 2),
    )  # fmt: skip


ONLY_IF_POSITIVE = graph("n x", [
    ("p", "greater", ["n", 0]),
    ("f", "cond", ["p", "n", "x"], {
        "then": body(["n", "x"], [to_zero("n"), ("d", "item", ["r"], {"index": 1})], ["d"]),
        "else": body(["n", "x"], [("d", "multiply", ["n", "x"])], ["d"])})], "f")  # fmt: skip


@pytest.mark.parametrize("mode", MODES)
def test_a_loop_in_a_branch_takes_no_step_for_members_of_the_other(mode: str) -> None:
    # For n = -1 or 2.5 the loop in the first branch would never end.
    at = {"n": [3, -1, 0, -2.5, 5], "x": [1.5, 2.0, 1.0, 3.0, 0.5]}
    meter = Meter(deadline=time.monotonic() + 20)
    got = ask("jacobian", ONLY_IF_POSITIVE, at, in_axes={"n": 0, "x": 0}, wrt=["x"], mode=mode, meter=meter)
    near(got["outputs"]["f"], [12.0, -2.0, 0.0, -7.5, 16.0])
    near(got["jacobian"]["f"]["x"], [8.0, -1.0, 0.0, -2.5, 32.0])
    second = ask("hessian", ONLY_IF_POSITIVE, at, in_axes={"n": 0, "x": 0}, mode=mode, meter=meter)
    near(second["hessian"]["n"]["x"], [0.0, 1.0, 1.0, 1.0, 0.0])


def test_a_loop_in_a_loop_takes_no_step_for_members_that_are_done() -> None:
    # The outer loop ends with n = 0.5 - k for some k; from there the inner one would never end.
    inner = body(
        ["n", "x"],
        [to_zero("n"), ("d", "item", ["r"], {"index": 1}), ("k", "subtract", [-0.5, "one"])],
        ["k", "d"],
    )
    inner["nodes"].insert(0, node("one", "multiply", ["x", 0]))
    source = graph("n x", [
        ("o", "while_loop", ["n", "x"], until(
            body(["n", "x"], [("m", "greater", ["n", 0])], ["m"]), inner, 2)),
        ("f", "item", ["o"], {"index": 1})], "f")  # fmt: skip
    at = {"n": [3, 1, -7, 2], "x": [1.0, 2.0, 5.0, 0.5]}
    meter = Meter(deadline=time.monotonic() + 20)
    got = ask("grad", source, at, in_axes={"n": 0, "x": 0}, wrt=["x"], meter=meter)
    near(got["outputs"]["f"], [8.0, 4.0, 5.0, 2.0])
    near(got["gradients"]["x"], [8.0, 2.0, 1.0, 4.0])


def test_what_members_are_done_with_does_not_spoil_them() -> None:
    # At the end of each member's way sqrt has an infinite derivative, which must not meet its zero cotangent.
    step = body(["y"], [("q", "subtract", ["y", 1]), ("s", "sqrt", ["q"]), ("z", "multiply", ["s", 0]),
                        ("n", "add", ["q", "z"])], ["n"])  # fmt: skip
    source = graph(
        "x", [("r", "while_loop", ["x"], until(body(["y"], [("m", "greater", ["y", 1])], ["m"]), step))], "r"
    )
    for mode in MODES:
        got = ask("hessian", source, {"x": [1.0, 2.5, 4.25]}, in_axes={"x": 0}, mode=mode)
        near(got["gradients"]["x"], [1.0, 1.0, 1.0])
        near(got["hessian"]["x"]["x"], [0.0, 0.0, 0.0])


def test_a_condition_that_all_members_share_needs_no_masks() -> None:
    step = body(["k", "y"], [("l", "add", ["k", 1]), ("n", "sin", ["y"])], ["l", "n"])
    source = graph("x n", [
        ("r", "while_loop", ["n", "x"], until(body(["k", "y"], [("m", "less", ["k", 3])], ["m"]), step, 2)),
        ("f", "item", ["r"], {"index": 1})], "f")  # fmt: skip
    x = np.linspace(0, 2, 5)
    got = ask("grad", source, {"x": x, "n": 0}, in_axes={"x": 0})
    near(got["outputs"]["f"], np.sin(np.sin(np.sin(x))))
    near(got["gradients"]["x"], np.cos(x) * np.cos(np.sin(x)) * np.cos(np.sin(np.sin(x))))
    typed = specialize(program_of(source), {"x": Aval((), "float64"), "n": Aval((), "float64")}).graph
    mapped = map_graph(typed, 5, [0, None], "float64")
    loop = next(n for n in mapped.nodes if n.op.name == "core.while")
    assert [a.shape for a in loop.aval] == [(), (5,), ()]


# ------------------------------------------------------------------------------------------------ corners of while_loop

TWICE = body(["y"], [("n", "multiply", [2, "y"])], ["n"])


def test_no_step() -> None:
    never = body(["y"], [("m", "less", ["y", 0])], ["m"])
    source = graph("x", [("r", "while_loop", ["x"], until(never, TWICE)), ("f", "square", ["r"])], "f")
    for mode in MODES:
        answer = ask("hessian", source, {"x": 3.0}, mode=mode)
        assert (answer["value"], answer["gradients"], answer["hessian"]) == (9, {"x": 6}, {"x": {"x": 2}})


def test_carries_of_every_kind() -> None:
    # An integer, a boolean, a float that is promoted from an integer, and one that is stretched.
    step = body(["k", "b", "s", "y", "x"],
                [("l", "add", ["k", 1]), ("c", "logical_not", ["b"]), ("t", "add", ["s", "k"]),
                 ("u", "multiply", ["y", "x"])], ["l", "c", "t", "u"])  # fmt: skip
    test = body(["k", "b", "s", "y", "x"], [("m", "less", ["k", 5])], ["m"])
    source = graph("x", [
        ("zero", "astype", [0.0], {"dtype": "int"}), ("half", "multiply", ["zero", 0.5]),
        ("r", "while_loop", ["zero", True, "half", 1.0, "x"], until(test, step, 4)),
        *[(f"r{k}", "item", ["r"], {"index": k}) for k in range(4)], ("f", "sum", ["r3"])], "f", "r0", "r1", "r2")  # fmt: skip
    for verb in ("grad", "hessian"):
        answer = ask(verb, source, {"x": [2.0, 3.0]})
        assert answer["gradients"]["x"].tolist() == [80, 405]
    answer = ask("evaluate", source, {"x": [2.0, 3.0]})["outputs"]
    assert (answer["r0"], answer["r1"], answer["r2"]) == (5, False, 10)
    assert (answer["r0"].dtype, answer["r2"].dtype) == (np.int64, np.float64)
    mapped = ask("grad", source, {"x": [[2.0, 3.0], [1.0, 0.5]]}, in_axes={"x": 0}, nodes="none")
    near(mapped["gradients"]["x"], [[80, 405], [5, 5 * 0.5**4]])


def test_locals_are_the_last_values_of_what_a_step_computes() -> None:
    step = body(["y"], [("n", "multiply", [2, "y"]), ("s", "sin", ["y"])], ["n", "s"])
    source = graph("x", [
        ("r", "while_loop", ["x"], until(body(["y"], [("m", "less", ["y", 10])], ["m"]), step, 1, locals=1)),
        ("a", "item", ["r"], {"index": 0}), ("f", "item", ["r"], {"index": 1})], "f", "a")  # fmt: skip
    answer = ask("grad", source, {"x": 3.0})
    assert answer["outputs"] == {"f": np.sin(6.0), "a": 12}
    near(answer["gradients"]["x"], 2 * np.cos(6.0))
    answer = ask("grad", source, {"x": 30.0})
    assert (answer["outputs"], answer["gradients"]["x"]) == ({"f": 0, "a": 30}, 0)


def test_carries_that_were_written_as_integers() -> None:
    # k counts and can be an index; h is halved, and so no integer.
    step = body(["k", "h", "s", "v"], [("l", "add", ["k", 1]), ("g", "divide", ["h", 2]), ("e", "take", ["v", "k"]),
                                       ("t", "add", ["s", "e"])], ["l", "g", "t"])  # fmt: skip
    test = body(["k", "h", "s", "v"], [("m", "less", ["k", 3])], ["m"])
    source = graph("v", [
        ("r", "while_loop", [0, 8, 0, "v"], until(test, step, 3, integers=[0, 1, 2])),
        *[(f"r{k}", "item", ["r"], {"index": k}) for k in range(3)]], "r2", "r1", "r0")  # fmt: skip
    answer = ask("grad", source, {"v": [0.5, 1.5, 2.5, 9.0]})
    near(answer["gradients"]["v"], [1.0, 1.0, 1.0, 0.0])
    assert answer["outputs"] == {"r2": 4.5, "r1": 1.0, "r0": 3}
    assert answer["outputs"]["r0"].dtype == np.int64
    assert answer["outputs"]["r1"].dtype == np.float64


def test_constants_are_not_copied_at_each_step() -> None:
    big = np.linspace(0, 1, 1_000_000)
    step = body(
        ["k", "s", "v"],
        [("l", "add", ["k", 1]), ("e", "take", ["v", 7]), ("t", "add", ["s", "e"])],
        ["l", "t"],
    )
    test = body(["k", "s", "v"], [("m", "less", ["k", 300])], ["m"])
    loops = {
        "while_loop": until(test, step, 2),
        "scan": {"carry": 2, "scanned": 0, "length": 300, "body": step},
    }
    for op, attrs in loops.items():
        source = graph("v", [("r", op, [0.0, 0.0, "v"], attrs), ("f", "item", ["r"], {"index": 1})], "f")
        job = prepare("evaluate", request(source, {"v": big}, nodes="none"))
        tracemalloc.start()
        start = time.perf_counter()
        near(job.run(Meter())["outputs"]["f"], 300 * big[7])
        assert time.perf_counter() - start < 1
        assert tracemalloc.get_traced_memory()[1] < big.nbytes / 4
        tracemalloc.stop()


# ----------------------------------------------------------------------------------------- loops that do not end, or too late

FOREVER = {
    "counting": until(body(["y"], [("m", "less", ["y", np.inf])], ["m"]), body(["y"], [("n", "add", ["y", 1])], ["n"])),
    "doing nothing": until(body(["y"], [("m", "constant")], ["m"]), body(["y"], [], ["y"])),
}  # fmt: skip
FOREVER["counting"]["cond"]["nodes"][0]["inputs"][1] = "Infinity"
FOREVER["doing nothing"]["cond"]["nodes"][0]["value"] = True


@pytest.mark.parametrize("verb", ["evaluate", "grad", "jvp", "vjp", "jacobian", "hessian", "hvp", "trace"])
@pytest.mark.parametrize("name", FOREVER)
@pytest.mark.parametrize("mapped", [False, True])
def test_a_loop_that_does_not_end_is_stopped(name: str, verb: str, mapped: bool) -> None:
    source = graph("x", [("r", "while_loop", ["x"], FOREVER[name])], "r")
    x = [0.5, 1.5] if mapped else 0.5
    if mapped and verb not in MAPPED:
        return
    ones = np.ones_like(x)
    fields: dict[str, Any] = {
        "jvp": {"tangents": {"x": ones}},
        "vjp": {"cotangents": {"r": ones}},
        "hvp": {"vector": {"x": ones}},
    }
    more = {"in_axes": {"x": 0}} if mapped else {}
    job = prepare(verb, request(source, {"x": x}, **fields.get(verb, {}), **more))
    assert job.seconds > 1e-3  # too long for the event loop
    start = time.monotonic()
    with pytest.raises(DeadlineExceeded):
        job.run(Meter(deadline=start + 0.05))
    assert time.monotonic() - start < 1


COUNT = body(["k", "y"], [("m", "less", ["k", 3000])], ["m"])
TURN = body(["k", "y"], [("l", "add", ["k", 1]), ("n", "sin", ["y"])], ["l", "n"])
LONG = graph("x", [("r", "while_loop", [0, "x"], until(COUNT, TURN, 2)),
                   ("y", "item", ["r"], {"index": 1}), ("f", "sum", ["y"])], "f")  # fmt: skip


def test_the_way_back_over_many_steps_is_weighed_before_it_is_computed() -> None:
    x = np.linspace(0.1, 1, 1000)
    job = prepare("grad", request(LONG, {"x": x}, nodes="none", wrt=["x"]), Limits(memory_bytes=300_000))
    with pytest.raises(LimitExceeded) as caught:
        job.run(Meter())
    assert caught.value.limit == "memory_bytes"
    assert caught.value.node == "r"
    for memory in (4 << 30, 20_000_000):  # recorded, and from checkpoints
        job = prepare("grad", request(LONG, {"x": x}, nodes="none", wrt=["x"]), Limits(memory_bytes=memory))
        before = job.peak_bytes
        tracemalloc.start()
        gradient = job.run(Meter())["gradients"]["x"]
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert 0.5 * peak < job.peak_bytes < 2 * peak
        assert before < job.peak_bytes
        assert (peak > 20_000_000) == (memory == 4 << 30)
        y, expected = x, np.ones_like(x)
        for _ in range(3000):
            expected = expected * np.cos(y)
            y = np.sin(y)
        near(gradient, expected, 1e-10)


# --------------------------------------------------------------------------------------------------- errors in bodies

PLAIN = body(["y"], [("m", "less", ["y", 9])], ["m"])
WRONG: dict[str, tuple[dict[str, Any], type[EngineError], str, str, str]] = {
    "a condition of floats": (
        until(body(["y"], [("s", "stack", ["y", "y"])], ["s"]), TWICE),
        ShapeMismatch, "s", "cond/outputs/0", "shape [2]"),
    "a condition of several entries": (
        until(body(["y"], [("s", "stack", ["y", "y"]), ("m", "less", ["s", 1])], ["m"]), TWICE),
        ShapeMismatch, "m", "cond/outputs/0", "shape [2]"),
    "two conditions": (
        until(body(["y"], [("m", "less", ["y", 1]), ("k", "less", ["y", 2])], ["m", "k"]), TWICE),
        Arity, "r", "cond/outputs", "it gives 2 values"),
    "a carry that grows": (
        until(PLAIN, body(["y"], [("s", "stack", ["y", "y"])], ["s"])),
        ShapeMismatch, "s", "body/outputs/0", "Carry 0 ('y') enters the loop as float64[] and leaves its body as float64[2]"),
    "too many results": (
        until(PLAIN, body(["y"], [("s", "sin", ["y"])], ["s", "y"])),
        Arity, "r", "body/outputs", "must return its 1 carries; it returns 2"),
    "too few results": (
        until(body(["y", "z"], [("m", "less", ["y", 9])], ["m"]), body(["y", "z"], [("s", "sin", ["y"])], ["s"]), 2),
        Arity, "r", "body/outputs", "must return its 2 carries; it returns 1 value"),
    "no local": (until(PLAIN, TWICE, 1, locals=1), Arity, "r", "body/outputs", "1 carries and 1 more; it returns 1 value"),
    "shapes in the body": (
        until(PLAIN, body(["y"], [("s", "matmul", ["y", "y"])], ["s"])), ShapeMismatch, "s", "body/nodes/0", "matmul"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_mistakes_in_bodies(name: str) -> None:
    attrs, error, node_, pointer, said = WRONG[name]
    operands = ["x"] * attrs["carry"]
    with pytest.raises(error) as caught:
        ask("evaluate", graph("x", [("r", "while_loop", operands, attrs)]) | {"outputs": ["x"]}, {"x": 1.0})
    assert caught.value.node == node_
    assert caught.value.where is not None
    assert caught.value.where.pointer == f"/graph/nodes/1/attrs/{pointer}"
    assert said in caught.value.detail


def test_programs_with_bodies_keep_their_digest() -> None:
    for source, _ in NESTED.values():
        program = program_of(source)
        assert read_graph(program.to_json()).digest == program.digest


# ----------------------------------------------------------------------------------------------- the way back in segments

EVERYTHING = body(
    ["k", "c", "x", "w"],
    [("l", "add", ["k", 1]), ("a", "multiply", ["c", "w"]), ("b", "add", ["a", "x"]), ("n", "sin", ["b"]),
     ("y", "multiply", ["n", "k"])],
    ["l", "n", "y"],
)  # fmt: skip


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("n", [0, 1, 2, 3, 4, 5, 7, 16, 23])
def test_a_scan_in_segments_is_the_same(n: int, reverse: bool) -> None:
    source = graph("c xs w", [
        ("k", "astype", [0.0], {"dtype": "int"}),
        ("r", "scan", ["k", "c", "xs", "w"], {"carry": 2, "body": EVERYTHING, "reverse": reverse}),
        ("e", "item", ["r"], {"index": 1}), ("ys", "item", ["r"], {"index": 2}),
        ("q", "square", ["ys"]), ("s", "sum", ["q"]), ("p", "prod", ["e"]), ("f", "add", ["s", "p"])], "f")  # fmt: skip
    rng = np.random.default_rng(n)
    at = {"c": rng.normal(size=2), "xs": rng.normal(size=(n, 2)), "w": rng.normal(size=2)}
    typed = specialize(program_of(source), {k: Aval(v.shape, "float64") for k, v in at.items()}).graph
    results = []
    for record in (1 << 30, 200, 50, 1):
        first = vjp_graph(typed, typed.outputs, typed.inputs, "float64", record_bytes=record)
        back = first.with_outputs(first.outputs[1:])
        moved = jvp_graph(back, back.inputs, "float64")
        twice = vjp_graph(back, back.outputs, back.inputs, "float64", record_bytes=record)
        arrays = [*at.values(), np.float64(1)]
        for g in (first, moved, twice):
            typecheck(g)
        results.append([
            *compute(simplify(first, "float64"), arrays),
            *compute(simplify(moved, "float64"), arrays * 2),
            *compute(simplify(twice, "float64"), [*arrays, *list(at.values())]),
        ])  # fmt: skip
        mapped = map_graph(first, 2, [None, 0, None, None], "float64")
        stacked = [at["c"], np.stack([at["xs"], at["xs"]]), at["w"], arrays[-1]]
        for got, one in zip(compute(mapped, stacked), results[0], strict=False):
            near(got[1], one)
    for other in results[1:]:
        for got, expected in zip(other, results[0], strict=True):
            near(got, expected, 1e-11)


@pytest.mark.parametrize("verb", ["grad", "hvp"])
def test_memory_of_the_way_back_is_what_was_predicted(verb: str) -> None:
    step = body(["i", "c", "k"], [("m", "multiply", ["c", "k"]), ("n", "sin", ["m"])], ["n"])
    source = graph(
        "x k",
        [("r", "fori_loop", ["x", "k"], {"stop": 2000, "carry": 1, "body": step}), ("f", "sum", ["r"])],
        "f",
    )
    at = {"x": np.linspace(0.1, 1, 1000), "k": np.linspace(1, 1.5, 1000)}
    peaks, answers = [], []
    for memory in (4 << 30, 20_000_000):
        more = {"vector": {"k": at["x"]}} if verb == "hvp" else {}
        job = prepare(verb, request(source, at, nodes="none", wrt=["k"], **more), Limits(memory_bytes=memory))
        tracemalloc.start()
        answer = job.run(Meter())
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert 0.75 * peaks[-1] < job.peak_bytes < 2 * peaks[-1]
        answers.append(answer["gradients"]["k"])
    assert peaks[1] < peaks[0] / 8
    near(answers[1], answers[0], 1e-12)


# ------------------------------------------------------------------------------------------------------ checkpoint, map


def chain(length: int, part: int, *, kept: bool, turned: bool) -> dict[str, Any]:
    """sin(exp(tanh(…))), in parts behind checkpoints unless everything is `kept`; `turned` round in between, since of
    functions of one entry after another a plan keeps nothing anyway."""
    names = ["sin", "flip", "exp", "flip", "tanh", "flip"] if turned else ["sin", "exp", "tanh"]
    nodes: list[tuple[Any, ...]] = []
    last = "x"
    for start in range(0, length, part):
        inner = [
            (f"n{k}", names[k % len(names)], [f"n{k - 1}" if k > start else "v"])
            for k in range(start, start + part)
        ]
        if kept:
            for name, op, _ in inner:
                nodes.append((name, op, [last]))
                last = name
        else:
            nodes.append(
                (f"c{start}", "checkpoint", [last], {"body": body(["v"], inner, [f"n{start + part - 1}"])})
            )
            last = f"c{start}"
    return graph("x", [*nodes, ("f", "sum", [last])], "f")


@pytest.mark.parametrize("verb", ["grad", "hvp", "jacobian", "mapped grad"])
def test_checkpoints_save_memory_as_predicted(verb: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrays.STATE, "begun", True)  # machine code that is loaded meanwhile would count
    x = np.linspace(0.1, 1, 10_000)
    found: list[tuple[int, int, Any]] = []
    for kept in (True, False):
        fields: dict[str, Any] = {"vector": {"x": x}} if verb == "hvp" else {}
        at = {"x": x}
        if verb == "mapped grad":
            fields, at = {"in_axes": {"x": 0}, "wrt": ["x"]}, {"x": x.reshape(10, 1000)}
        turned = verb != "jacobian"
        source = chain(200 if turned else 100, 10, kept=kept, turned=turned)
        job = prepare(verb.split()[-1], request(source, at, nodes="none", **fields))
        tracemalloc.start()
        answer = job.run(Meter())
        found.append((job.peak_bytes, tracemalloc.get_traced_memory()[1], answer))
        tracemalloc.stop()
    for predicted, actual, _ in found:
        # A plan works in tiles, and keeps the memory that it works in. A Jacobian whose structure is kept takes far less than
        # the sweep over all seeds, which is what is predicted, since it answers where something is not finite.
        assert 0.4 * actual < predicted < (20 if verb == "jacobian" else 3.5) * actual
    assert found[1][0] < found[0][0] / 2
    if verb != "jacobian":  # what little its structure takes does not depend on it
        assert found[1][1] < found[0][1] / 2
    for field in ("gradients", "hvp"):
        if field in found[0][2]:
            near(found[1][2][field]["x"], found[0][2][field]["x"], 1e-12)
    if verb == "jacobian":
        near(found[1][2]["jacobian"], found[0][2]["jacobian"], 1e-12)


def test_nothing_is_shared_across_a_checkpoint() -> None:
    source = graph("x", [("c", "checkpoint", ["x"], {"body": body(["v"], [("e", "exp", ["v"]), ("s", "sin", ["e"])], ["s"])}),
                         ("e", "exp", ["x"]), ("f", "multiply", ["c", "e"])], "f")  # fmt: skip
    typed = specialize(program_of(source), {"x": Aval((), "float64")}).graph
    derived = simplify(vjp_graph(typed, typed.outputs, typed.inputs, "float64"), "float64")
    inside = [dict(n.params)["body"] for n in derived.nodes if n.op.name == "core.checkpoint"]
    assert len(inside) == 2
    assert all(any(n.op.name == "exp" for n in g.nodes) for g in inside)
    near(
        compute(derived, [0.7, 1.0])[1], np.exp(1.4) * np.cos(np.exp(0.7)) + np.exp(0.7) * np.sin(np.exp(0.7))
    )


@pytest.mark.parametrize("size", [1, 2, 3, 5, 7])
def test_a_map_of_many_members_is_computed_in_parts(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    inner = body(
        ["v", "u", "w"],
        [("m", "matmul", ["w", "v"]), ("s", "sin", ["m"]), ("p", "multiply", ["s", "u"])],
        ["p", "u"],
    )
    source = graph("v u w", [("r", "map", ["v", "u", "w"], {"scanned": 2, "body": inner}), ("a", "item", ["r"], {"index": 0}),
                             ("b", "item", ["r"], {"index": 1}), ("q", "multiply", ["a", "a"]), ("s", "sum", ["q"]),
                             ("t", "sum", ["b"]), ("f", "multiply", ["s", "t"])], "f")  # fmt: skip
    rng = np.random.default_rng(0)
    at = {"v": rng.normal(size=(7, 2)), "u": rng.normal(size=7), "w": rng.normal(size=(2, 2))}
    whole = {verb: ask(verb, source, at) for verb in ("grad", "hessian")}
    near(whole["grad"]["values"]["a"], np.sin(at["v"] @ at["w"].T) * at["u"][:, None])
    monkeypatch.setattr(engine.ops.control.mapping, "_members", lambda graph, b: size)
    parts = ask("grad", source, at)
    near(parts["gradients"], whole["grad"]["gradients"], 1e-12)
    near(ask("hessian", source, at)["hessian"]["w"], whole["hessian"]["hessian"]["w"], 1e-11)
    typed = specialize(program_of(source), {k: Aval(v.shape, "float64") for k, v in at.items()}).graph
    assert any(n.op.name == "core.scan" for n in typed.nodes) == (size < 7)


def test_how_many_members_of_a_map_are_computed_at_once() -> None:
    inner = body(["v"], [("o", "outer", ["v", "v"]), ("s", "sum", ["o"])], ["s"])
    source = graph("v", [("r", "map", ["v"], {"body": inner})], "r")
    for limits, most in ((Limits(), 1 << 28), (Limits(elements=4_000_000), 32_000_000)):
        job = prepare("evaluate", request(source, {"v": np.ones((500, 400))}), limits)  # all at once: 0.6 GB
        assert most / 8 < job.cost.bytes < 2 * most
    near(job.run(Meter())["outputs"]["r"], np.full(500, 400.0**2))


def test_a_map_of_nothing_and_of_wrong_lengths() -> None:
    inner = body(["v"], [("s", "sin", ["v"])], ["s"])
    source = graph("v", [("r", "map", ["v"], {"body": inner})], "r")
    assert ask("evaluate", source, {"v": np.zeros((0, 3))})["outputs"]["r"].shape == (0, 3)
    with pytest.raises(ShapeMismatch, match="leading axis"):
        ask("evaluate", source, {"v": 1.0})
    two = graph(
        "v w",
        [
            (
                "r",
                "map",
                ["v", "w"],
                {"scanned": 2, "body": body(["v", "w"], [("s", "add", ["v", "w"])], ["s"])},
            )
        ],
        "r",
    )
    with pytest.raises(ShapeMismatch, match=r"\[2, 3\]"):
        ask("evaluate", two, {"v": [1, 2], "w": [1, 2, 3]})
    with pytest.raises(Arity, match="at least one scanned"):
        ask("evaluate", graph("v", [("r", "map", ["v"], {"scanned": 2, "body": inner})], "r"), {"v": [1.0]})


# ---------------------------------------------------------------------------------------------------------- stop_gradient


@pytest.mark.parametrize("mode", MODES)
def test_stop_gradient_is_a_constant_in_every_order(mode: str) -> None:
    text = "s = stop_gradient(x * y)\ns * x * x + detach(y)"
    at = {"x": 1.5, "y": -2.0}
    gradients = ask("grad", text, at, mode=mode, wrt=["x", "y"])["gradients"]
    assert gradients == {"x": 2 * -3.0 * 1.5, "y": 0}
    assert ask("hessian", text, at, mode=mode)["hessian"] == {"x": {"x": -6, "y": 0}, "y": {"x": 0, "y": 0}}


# --------------------------------------------------------------------------------------------------------------- warnings


def test_warnings_inside_loops_name_the_loop() -> None:
    logs = body(["i", "c"], [("l", "log", ["c"])], ["l"])
    source = graph(
        "x", [("r", "fori_loop", ["x"], {"stop": 3, "carry": 1, "body": logs}), ("f", "exp", ["r"])], "f"
    )
    found = ask("grad", source, {"x": 0.5})["warnings"]
    assert (found[0]["kind"], found[0]["node"]) == ("non-finite-value", "r")
    found = ask("jvp", source, {"x": 0.5}, tangents={"x": 1})["warnings"]
    assert ("non-finite-tangent", "r") in [(w["kind"], w["node"]) for w in found]
    roots = body(["k", "y"], [("l", "add", ["k", 1]), ("n", "sqrt", ["y"])], ["l", "n"])
    test = body(["k", "y"], [("m", "less", ["k", 2])], ["m"])
    source = graph(
        "x", [("r", "while_loop", [0, "x"], until(test, roots, 2)), ("f", "item", ["r"], {"index": 1})], "f"
    )
    found = ask("grad", source, {"x": 0.0})["warnings"]
    assert [(w["kind"], w["node"], w["operand"]) for w in found] == [("non-finite-gradient", "r", "x")]
    assert ask("grad", source, {"x": 2.0})["warnings"] == []
