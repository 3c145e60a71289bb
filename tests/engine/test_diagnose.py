"""Warnings of the verbs that run mapped or simplified graphs: they name what a single point's gradient would name."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from engine.derive import Request, prepare
from engine.errors import ShapeMismatch
from engine.execute.meter import Meter
from engine.language import parse_text
from engine.values import read_value


def warned(verb: str, text: str, inputs: dict[str, Any], **more: Any) -> list[dict[str, Any]]:
    """The warnings of an answer."""
    given = {k: read_value(v) for k, v in inputs.items()}
    for field in ("tangents", "vector", "direction"):
        if field in more:
            more[field] = {k: read_value(v) for k, v in more[field].items()}
    program = parse_text(text, inputs=given)
    found: list[dict[str, Any]] = prepare(verb, Request(program, given, **more)).run(Meter())["warnings"]
    return found


SINGLE: dict[str, tuple[str, dict[str, Any]]] = {
    "value": ("y = log(x)\nsum(y*w)", {"x": [0.0, 1.0], "w": 2.0}),
    "gradient": ("y = sqrt(x)\nsum(y*2)", {"x": [1.0, 0.0]}),
    "kink": ("y = relu(x)\nsum(y*w)", {"x": [0.0, 1.0], "w": 2.0}),
    "a reduction": ("y = max(x)\ny**2", {"x": [1.0, 1.0]}),
    "a value that is used no more": ("y = log(x)\nsum(exp(y))", {"x": [0.0, 1.0]}),
}


@pytest.mark.parametrize("case", SINGLE)
@pytest.mark.parametrize(
    "verb", ["jacobian", "hessian", "hvp", "taylor", "mapped", "mapped twice", "forward"]
)
def test_they_name_what_the_gradient_of_a_point_names(verb: str, case: str) -> None:
    text, inputs = SINGLE[case]
    expected = warned("grad", text, inputs, wrt=("x",))[0]
    x = inputs["x"]
    sure = [5.0, 6.0]
    if verb == "mapped":
        found = warned("grad", text, {**inputs, "x": [sure, x]}, wrt=("x",), in_axes=({"x": 0},))
        expected = expected | {"index": [1, *expected["index"]]}
    elif verb == "mapped twice":
        found = warned(
            "grad", text, {**inputs, "x": [[sure, x], [sure, sure]]}, wrt=("x",), in_axes=({"x": 1}, {"x": 0})
        )
        expected = expected | {"index": [1, 0, *expected["index"]]}
    else:
        more: dict[str, Any] = {"wrt": ("x",)}
        if verb == "hvp":
            more["vector"] = {"x": [1.0, 1.0]}
        if verb == "taylor":
            more["direction"] = {"x": [1.0, 1.0]}
        if verb == "forward":
            more["mode"] = "forward"
        found = warned("grad" if verb == "forward" else verb, text, inputs, **more)
    if case == "a value that is used no more" and verb.startswith("mapped"):
        return  # the answer is finite; a map is not run twice to look for more
    assert found
    kinds = {w["kind"] for w in found}
    if expected["kind"] == "non-finite-gradient" and verb == "taylor":
        assert kinds == {"non-finite-tangent"}
    else:
        assert expected["kind"] in kinds
    first = next(w for w in found if w["kind"] == expected["kind"] or verb == "taylor")
    assert first["node"] == expected["node"]
    assert first["index"] == expected["index"]
    assert first.get("operand") == expected.get("operand")
    assert first.get("convention") == expected.get("convention")


def test_a_derivative_that_only_the_second_order_shows() -> None:
    found = warned("hessian", "y = x**1.5\nsum(y)", {"x": [0.0, 1.0]})
    assert [w["kind"] for w in found] == ["non-finite-gradient"]
    assert found[0]["node"] == "y"
    assert found[0]["operand"] == "x"
    assert "second derivative" in found[0]["detail"]


def test_members_are_judged_apart() -> None:
    """One member's NaN does not hide where another's came from, and entries are counted."""
    found = warned(
        "evaluate", "s = sum(x)\nlog(s)", {"x": [["NaN", 1.0], [0.0, 0.0], [1.0, 2.0]]}, in_axes=({"x": 0},)
    )
    assert [(w["node"], w["index"], w["count"]) for w in found] == [("x", [0, 0], 1), ("t1", [1], 1)]


def test_a_finite_answer_without_kinks_has_none() -> None:
    assert warned("hessian", "sum(relu(x)*x)", {"x": [1.0, -2.0]}) == []
    assert warned("grad", "where(x > 0, sqrt(x), 0)", {"x": [0.0, 4.0]}, in_axes=({"x": 0},)) == []


@pytest.mark.parametrize(
    ("text", "shapes", "told"),
    [
        ("s = x + y\nsum(s)", {"x": [2], "y": [3]}, "In add, 'x' has shape [2] and 'y' has shape [3]"),
        ("where(c > 0, x, y)", {"c": [2], "x": [2], "y": [3]}, "'t1' has shape [2] and 'y' has shape [3]"),
        ("A @ (x*2)", {"A": [2, 2], "x": [3]}, "In matmul, 'A' has shape [2, 2] and 't1' has shape [3]"),
        ("concat([x, y], axis=1)", {"x": [1, 2], "y": [2, 1]}, "In concat, 'x' has shape [1, 2]"),
        ("reshape(x, (2, 2))", {"x": [3]}, "In reshape, 'x' has shape [3]"),
    ],
)
def test_shape_errors_name_the_nodes_that_disagree(text: str, shapes: dict[str, Any], told: str) -> None:
    with pytest.raises(ShapeMismatch) as caught:
        warned("evaluate", text, {name: np.ones(shape).tolist() for name, shape in shapes.items()})
    assert told in caught.value.detail
    assert caught.value.node is not None


LOOP = "y = x\nfor i in range(3):\n    y = abs(y) * (i + 1)\nsum(y)"
FUNCTIONS = "def g(x):\n    return sum(abs(x))\ndef h(x):\n    return sum(x)\ndef k(x):\n    return sum(abs(x)*(1 - sum(x)))\n"
WHILE = "y = x\nwhile y < 10:\n    y = y + abs(y - 2) + 1\ny"
NESTED = "y = x\nfor i in range(3):\n    z = y\n    while z < 10:\n        z = z + abs(z - 1) + 1\n    y = z - 9\ny"

INSIDE: dict[str, tuple[str, str, Any, str, str]] = {
    "for": ("grad", LOOP, 0.0, "y", "abs inside fori_loop (y) has no derivative in step 2 (from 0)"),
    "for, an array": ("grad", LOOP, [1.0, 0.0], "y", "abs inside fori_loop (y)"),
    "for, twice": ("hessian", LOOP, 0.0, "y", "abs inside fori_loop (y)"),
    "for, traced": ("trace", LOOP, 0.0, "y", "abs inside fori_loop (y)"),
    "while": ("grad", WHILE, 2.0, "y", "abs inside while_loop (y) has no derivative in step 0"),
    "while in for": ("grad", NESTED, 1.0, "t2", "abs inside fori_loop (t2) has no derivative in step 0, 0"),
    "checkpoint": ("grad", f"{FUNCTIONS}checkpoint(g)(x)", [0.0, 1.0], "t1", "abs inside checkpoint (t1)"),
    "cond": ("grad", f"{FUNCTIONS}cond(sum(x) > -1, g, h, x)", [0.0, 1.0], "t3", "abs inside cond (t3)"),
    "grad": ("evaluate", f"{FUNCTIONS}grad(g)(x)", [0.0, 1.0], "t1", "abs inside grad (t1)"),
    "a reduction": (
        "grad", "y = x\nfor i in range(2):\n    y = y * max(y)\nsum(y)", [1.0, 1.0], "y", "max inside fori_loop (y)",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", INSIDE)
@pytest.mark.parametrize("mapped", [False, True])
def test_a_kink_inside_a_body(case: str, mapped: bool) -> None:
    verb, text, x, node, told = INSIDE[case]
    if mapped and verb == "trace":
        return
    more: dict[str, Any] = {"in_axes": ({"x": 0},)} if mapped else {}
    sure = (np.asarray(x) + 0.3 + 0.1 * np.arange(np.size(x)).reshape(np.shape(x))).tolist()
    (found,) = warned(verb, text, {"x": [sure, x] if mapped else x}, **more)
    assert (found["kind"], found["node"], found["count"]) == (
        "non-differentiable",
        node,
        2 if case == "a reduction" else 1,
    )
    assert found["index"] == ([1] if mapped else [])
    assert found["detail"].startswith(told)
    assert found["convention"] in found["detail"]
    assert not warned(verb, text, {"x": [sure, sure] if mapped else sure}, **more)


@pytest.mark.parametrize(
    ("verb", "more"),
    [
        ("grad", {"mode": "forward"}),
        ("jvp", {"tangents": {"x": 1.0}}),
        ("taylor", {"direction": {"x": 1.0}}),
        ("hvp", {"vector": {"x": 1.0}}),
    ],
)
@pytest.mark.parametrize("text", [LOOP, WHILE])
def test_a_kink_inside_a_body_in_other_modes(verb: str, more: dict[str, Any], text: str) -> None:
    (found,) = warned(verb, text, {"x": 0.0 if text == LOOP else 2.0}, **more)
    assert (found["kind"], found["node"]) == ("non-differentiable", "y")
    assert not warned(verb, text, {"x": 1.25}, **more)


@pytest.mark.parametrize(
    "text",
    [
        "y = x\nwhile abs(y - 2) < 10:\n    y = y*2\ny",
        "y = x\nfor i in range(3):\n    y = where(abs(y - 2) > 1, y*0.5, 3 - y*0.5)\ny",
        "y = x\nfor i in range(3):\n    z = abs(y - 2)\n    y = where(y > 1, y + 1, z)\ny",
        "y = x\nfor i in range(3):\n    y = y*abs(c)\ny",
        "n = 0\nfor i in range(3):\n    n = n + int(relu(x - 2))\nx*n",
        "def f(u):\n    return u*abs(c)\ngrad(f)(x)",
        "def f(u):\n    return abs(u - 2)\ndef g(u):\n    return u\ncond(x > 5, f, g, x)",
    ],
)
@pytest.mark.parametrize("verb", ["grad", "jvp", "mapped"])
def test_what_is_not_differentiated_has_no_kink(text: str, verb: str) -> None:
    inputs: dict[str, Any] = {"x": 2.0} | ({"c": 0.0} if "abs(c)" in text else {})
    if verb == "mapped":
        inputs["x"] = [2.0, 2.0]
        assert warned("grad", text, inputs, in_axes=({"x": 0},), wrt=("x",)) == []
    elif verb == "jvp":
        if "z = abs" not in text:  # forward, a tangent enters it, whatever is done with what comes out
            assert warned("jvp", text, inputs, tangents={"x": 1.0}) == []
    else:
        assert warned("grad", text, inputs, wrt=("x",)) == []


def test_a_singular_matrix_inside_a_body_of_one_member() -> None:
    a = [[[2.0, 0.0], [0.0, 2.0]], [[1.0, 2.0], [2.0, 4.0]]]
    found = warned(
        "evaluate", "y = A\nfor i in range(3):\n    y = solve(A, y)\nsum(y)", {"A": a}, in_axes=({"A": 0},)
    )
    assert [(w["node"], w["index"]) for w in found if w["kind"] == "singular-matrix"] == [("y", [1])]
