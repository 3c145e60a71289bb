"""What is said of a program that is not run: types where they follow, cost, formula."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from engine.aval import Aval
from engine.cost import Limits
from engine.describe import describe, known_types
from engine.errors import DtypeMismatch, InvalidAttribute, LimitExceeded, ShapeMismatch, UnknownInput
from engine.language import parse_text
from engine.op import registry
from engine.program import INPUT, Program, Step
from engine.spec import read_graph


def f64(*shape: int) -> Aval:
    return Aval(shape, "float64")


def test_with_a_signature_everything_is_known() -> None:
    program = parse_text("r = A @ x - b\nsum(r**2), r")
    answer = describe(program, {"A": f64(3, 2), "x": f64(2), "b": f64(3)}, Limits())
    assert answer["inputs"] == [
        {"id": "A", "shape": [3, 2], "dtype": "float64"},
        {"id": "x", "shape": [2], "dtype": "float64"},
        {"id": "b", "shape": [3], "dtype": "float64"},
    ]
    assert answer["output_ids"] == ["t3", "r"]
    assert answer["shapes"] == {"A": [3, 2], "x": [2], "b": [3], "t1": [3], "r": [3], "t2": [3], "t3": []}
    assert answer["cost"]["nodes"] == 7
    assert answer["cost"]["flops"] >= 2 * 3 * 2
    assert answer["cost"]["bytes"] >= 8 * (6 + 2 + 3 + 3 + 3 + 3 + 1)
    assert answer["graph_id"] == program.digest
    assert read_graph(answer["graph"]).digest == program.digest
    assert answer["latex"] == r"\begin{aligned} r &= A\,x - b \\ t_{3} &= \sum r^{2} \end{aligned}"
    assert answer["mathml"].startswith("<math ")
    json.dumps(answer)


def test_without_one_nothing_is() -> None:
    answer = describe(parse_text("(x + y) * z"), None, Limits())
    assert answer["shapes"] == {}
    assert answer["cost"] == {"nodes": 5, "flops": None, "bytes": None}
    assert answer["inputs"] == [{"id": name, "shape": None, "dtype": None} for name in "xyz"]


def test_what_depends_on_known_inputs_alone_is_known() -> None:
    program = parse_text("k = 3\ns = 2 * A + k\ns @ x")
    answer = describe(program, {"A": f64(4, 2)}, Limits())
    assert {name: answer["shapes"].get(name) for name in ("A", "x", "k", "s")} == {
        "A": [4, 2],
        "x": None,
        "k": [],
        "s": [4, 2],
    }
    assert set(program.output_ids).isdisjoint(answer["shapes"])
    assert answer["cost"]["flops"] is None


def graph(*nodes: dict[str, Any]) -> Program:
    return read_graph({"nodes": list(nodes)})


def test_defaults_have_types() -> None:
    program = graph(
        {"id": "x", "op": "input", "value": [1, 2.5, 3]},
        {"id": "n", "op": "input", "value": 2},
        {"id": "y", "op": "getitem", "inputs": ["x", "n"], "attrs": {"index": [{"input": 1}]}},
        {"id": "z", "op": "multiply", "inputs": ["y", 2]},
    )
    answer = describe(program, None, Limits())
    x, n = answer["inputs"]
    assert (x["shape"], x["dtype"], n["shape"], n["dtype"]) == ([3], "float64", [], "int64")
    np.testing.assert_array_equal(x["default"], [1, 2.5, 3])
    assert n["default"] == 2
    assert answer["shapes"] == {"x": [3], "n": [], "y": [], "z": []}
    assert answer["cost"]["bytes"] is not None
    # The signature goes before the default.
    answer = describe(program, {"x": f64(5, 2)}, Limits())
    assert answer["shapes"]["y"] == [2]
    assert answer["inputs"][0]["shape"] == [5, 2]


def test_an_integer_that_decides_a_shape() -> None:
    program = parse_text("x.reshape(n, -1)")
    types = {"x": f64(6), "n": Aval((), "int64")}
    # Its type alone does not say which shape.
    assert describe(program, types, Limits())["shapes"] == {"x": [6], "n": []}
    nodes = program.to_json()
    nodes["nodes"][[n["id"] for n in nodes["nodes"]].index("n")]["value"] = 2
    with_default = read_graph(nodes)
    assert describe(with_default, {"x": f64(6)}, Limits())["shapes"][program.output_ids[0]] == [2, 3]


def test_precision_is_that_of_the_signature() -> None:
    program = parse_text("sin(x) + y")
    types = known_types(program, {"x": Aval((2,), "float32"), "y": Aval((), "float32")}, Limits())
    assert {aval.dtype for aval in types.values()} == {"float32"}
    types = known_types(program, {"x": Aval((2,), "float32"), "y": f64()}, Limits())
    assert {aval.dtype for aval in types.values()} == {"float64"}


def test_several_results_are_known_by_their_items() -> None:
    answer = describe(parse_text("a, b = np.split(x, 2)\na * b"), {"x": f64(4)}, Limits())
    assert answer["shapes"]["a"] == [2]
    assert all(isinstance(shape, list) for shape in answer["shapes"].values())


def test_types_that_do_not_fit_are_mistakes() -> None:
    with pytest.raises(ShapeMismatch) as caught:
        describe(parse_text("p = x + y\np * z"), {"x": f64(2), "y": f64(3)}, Limits())
    assert caught.value.node == "p"
    assert caught.value.where is not None
    assert caught.value.where.line == 1
    with pytest.raises(DtypeMismatch):
        describe(parse_text("-m"), {"m": Aval((), "bool")}, Limits())
    with pytest.raises((InvalidAttribute, ShapeMismatch)):
        describe(parse_text("sum(x, axis=3)"), {"x": f64(2)}, Limits())


def test_a_signature_of_something_else() -> None:
    with pytest.raises(UnknownInput) as caught:
        describe(parse_text("weight * x"), {"wieght": f64()}, Limits())
    assert caught.value.suggestions == ("weight",)
    assert caught.value.where is not None
    assert caught.value.where.pointer == "/signature/wieght"


def test_limits_hold() -> None:
    with pytest.raises(LimitExceeded) as caught:
        describe(parse_text("x + y"), {"x": f64(4000, 1), "y": f64(1, 4000)}, Limits(elements=1000))
    assert caught.value.limit == "elements"


def test_long_programs() -> None:
    steps = [Step("x", INPUT)]
    steps += [Step(f"t{k}", registry.core("sin"), (k - 1,)) for k in range(1, 20_000)]
    answer = describe(Program(tuple(steps), (len(steps) - 1,)), {"x": f64()}, Limits())
    assert answer["latex"] is None
    assert answer["mathml"] is None
    assert answer["cost"]["nodes"] == len(answer["shapes"]) == 20_000
