"""Given derivatives: used as they are, turned round where they are linear, differentiated again, and refused where wrong."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from engine.errors import Arity, EngineError, NotDifferentiable, ShapeMismatch
from tests.engine.helpers import ask, near
from tests.engine.subgraphs import graph, sub

SINE = sub("x", "y", y=("sin", "x"))
WRONG = sub("x c", "d", q=("multiply", "x", "x"), d=("multiply", "c", "q"))
"""Not the derivative of the sine: x² c, so that one sees which was used."""

RULES = ("vjp", "jvp")


def custom(rule: str, body: dict[str, Any] = SINE, given: dict[str, Any] = WRONG) -> dict[str, Any]:
    return graph("x", "y", y=(f"custom_{rule}", "x", {"body": body, rule: given}))


@pytest.mark.parametrize("rule", RULES)
def test_the_given_rule_is_the_derivative_in_every_verb(rule: str) -> None:
    program = custom(rule)
    x = 1.5
    assert ask("evaluate", program, {"x": x})["outputs"]["y"] == np.sin(x)
    near(ask("grad", program, {"x": x})["gradients"]["x"], x * x)
    near(ask("grad", program, {"x": x}, mode="forward")["gradients"]["x"], x * x)
    near(ask("jvp", program, {"x": x}, tangents={"x": 3.0})["output_tangents"]["y"], 3 * x * x)
    near(ask("jacobian", program, {"x": x}, mode="forward")["jacobian"]["y"]["x"], x * x)
    near(ask("hessian", program, {"x": x})["hessian"]["x"]["x"], 2 * x)
    near(ask("hvp", program, {"x": x}, vector={"x": 3.0})["hvp"]["x"], 6 * x)
    many = ask("grad", program, {"x": np.array([x, 2.0])}, in_axes={"x": 0})
    near(many["gradients"]["x"], np.array([x * x, 4.0]))


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize(("outer", "inner"), [(a, b) for a in ("grad", "jvp") for b in ("grad", "jvp")])
def test_all_four_pairs_inside_a_program(rule: str, outer: str, inner: str) -> None:
    def derived(kind: str, body: dict[str, Any]) -> dict[str, Any]:
        if kind == "grad":
            return sub("x", "d", d=("grad", "x", {"body": body}))
        return sub("x", "d", v=("jvp", "x", 1.0, {"body": body}), d=("item", "v", {"index": 1}))

    body = sub("x", "y", y=(f"custom_{rule}", "x", {"body": SINE, rule: WRONG}))
    twice = derived(outer, derived(inner, body))
    found = ask("evaluate", graph("x", "h", h=("vmap", "x", {"body": twice})), {"x": [1.5, -2.0]})
    near(found["outputs"]["h"], np.array([3.0, -4.0]))


def test_a_pullback_that_is_not_linear_is_used_as_it_is_in_reverse_mode() -> None:
    """A gradient clipped on its way, the classical use; forward mode would need its transpose, and there is none."""
    clipped = sub("x c", "d", d=("clip", "c", {"min": -1.0, "max": 1.0}))
    program = graph(
        "x",
        "r",
        y=("custom_vjp", "x", {"body": sub("x", "y", y=("identity", "x")), "vjp": clipped}),
        q=("multiply", 5.0, "y"),
        r=("sum", "q"),
    )
    near(ask("grad", program, {"x": [1.0, 2.0]})["gradients"]["x"], [1.0, 1.0])
    for verb, more in (("jvp", {"tangents": {"x": [1.0, 1.0]}}), ("grad", {"mode": "forward"})):
        with pytest.raises(
            NotDifferentiable, match=r"linear in the cotangents .* because of (clip|maximum|minimum)"
        ) as caught:
            ask(verb, program, {"x": [1.0, 2.0]}, **more)
        assert caught.value.node == "y"


def test_a_zero_cotangent_is_a_strong_zero_for_a_given_rule() -> None:
    """where(x > 0, f(x), 0) at 0, where the given derivative 1/x is infinite."""
    log = sub("x", "y", y=("log", "x"))
    for rule in RULES:
        back = sub("x c", "d", d=("divide", "c", "x"))
        program = graph(
            "x",
            "r",
            y=(f"custom_{rule}", "x", {"body": log, rule: back}),
            m=("greater", "x", 0.0),
            r=("where", "m", "y", 0.0),
        )
        assert ask("grad", program, {"x": 0.0})["gradients"]["x"] == 0.0
        assert ask("hessian", program, {"x": 0.0})["hessian"]["x"]["x"] == 0.0


def test_integers_among_operands_and_results_have_no_place_in_rules() -> None:
    body = sub("x k", "y n", y=("getitem", "x", "k", {"index": [{"input": 1}]}), n=("add", "k", 1))
    back = sub("x k c", "d", z=("zeros_like", "x"), d=("scatter_add", "z", "k", "c"))
    forward = sub("x k t", "d", d=("getitem", "t", "k", {"index": [{"input": 1}]}))
    for rule, given in (("vjp", back), ("jvp", forward)):
        program = graph(
            "x k",
            "a b",
            y=(f"custom_{rule}", "x", "k", {"body": body, rule: given}),
            a=("item", "y", {"index": 0}),
            b=("item", "y", {"index": 1}),
        )
        answer = ask("grad", program, {"x": [1.0, 2.0], "k": 1})
        near(answer["gradients"]["x"], [0.0, 1.0])
        assert answer["outputs"]["b"] == 2
        near(
            ask("jvp", program, {"x": [1.0, 2.0], "k": 1}, tangents={"x": [3.0, 4.0]})["output_tangents"][
                "a"
            ],
            4.0,
        )


def test_linear_rules_of_many_forms_are_seen_to_be_linear() -> None:
    """Sums, products by matrices, choices, loops and solves of a tangent are linear; the transpose is checked by its value."""
    step = sub("i u a", "v", v=("multiply", "u", "a"))
    one, two = sub("t a", "r", r=("multiply", "t", "a")), sub("t a", "r", r=("negative", "t"))
    system = sub("z a", "r", s=("add", "a", 1.0), r=("multiply", "z", "s"))
    forms = {
        "loop": (("fori_loop", "t", "x", {"stop": 3, "body": step}), lambda x: x**3),
        "cond": (("cond", True, "t", "x", {"then": one, "else": two}), lambda x: x),
        "solve": (("linear_solve", "t", "x", {"body": system}), lambda x: 1 / (x + 1)),
        "where": (("where", [True, False], "t", 0.0), lambda x: np.array([1.0, 0.0])),
        "sum": (("subtract", "t", "t"), lambda x: np.array([0.0, 0.0])),
        "cumsum": (("cumsum", "t"), lambda x: np.array([2.0, 1.0])),
    }
    for form, (node, slope) in forms.items():
        given = sub("x t", "d", d=node)
        program = graph(
            "x", "y", y=("custom_jvp", "x", {"body": sub("x", "y", y=("sin", "x")), "jvp": given})
        )
        x = np.array([0.5, 1.25])
        found = ask("vjp", program, {"x": x}, cotangents={"y": [1.0, 1.0]})["gradients"]["x"]
        expected = np.broadcast_to(slope(x), (2,))
        assert np.allclose(found, expected, rtol=1e-13), form


NOT_LINEAR = {
    "exp": sub("x t", "d", d=("exp", "t")),
    "multiply": sub("x t", "d", d=("multiply", "t", "t")),
    "divide": sub("x t", "d", d=("divide", "x", "t")),
    "add": sub("x t", "d", d=("add", "t", "x")),
    "floor": sub("x t", "d", d=("floor", "t")),
    "where": sub("x t", "d", m=("greater", "x", 0.0), d=("where", "m", "t", 1.0)),
    "greater": sub("x t", "d", m=("greater", "t", 0.0), d=("where", "m", "t", 0.0)),
    "matmul": sub("x t", "d", v=("reshape", "t", {"shape": [1]}), d=("matmul", "v", "v")),
    "a result": sub("x t", "d", d=("cos", "x")),
    "a branch": sub(
        "x t",
        "d",
        m=("greater", "x", 0.0),
        d=(
            "cond",
            "m",
            "t",
            "x",
            {"then": sub("t x", "r", r=("identity", "t")), "else": sub("t x", "r", r=("identity", "x"))},
        ),
    ),
    "a loop": sub(
        "x t", "d", d=("fori_loop", "x", "t", {"stop": 2, "body": sub("i c t", "r", r=("identity", "t"))})
    ),
}


@pytest.mark.parametrize("name", NOT_LINEAR)
def test_a_jvp_that_is_not_linear_is_refused(name: str) -> None:
    with pytest.raises(
        NotDifferentiable, match=f"must be linear in the tangents.* because of {name}"
    ) as caught:
        ask("evaluate", custom("jvp", SINE, NOT_LINEAR[name]), {"x": 1.0})
    assert caught.value.node == "y"


TWO = sub("x a", "y z", y=("multiply", "x", "a"), z=("sum", "x"))

WRONG_RULES: list[tuple[type[EngineError], str, str, dict[str, Any]]] = [
    (
        Arity,
        "that is 4 inputs; it has 3",
        "vjp",
        sub("x a c", "d e", d=("multiply", "c", "a"), e=("sum", "c")),
    ),
    (
        Arity,
        "must return 2 values, the cotangent of operand 0",
        "vjp",
        sub("x a c e", "d", d=("multiply", "c", "a")),
    ),
    (
        ShapeMismatch,
        "the cotangent of operand 1 .*must be float64\\[\\].*it is float64\\[2\\]",
        "vjp",
        sub("x a c e", "d b", d=("multiply", "c", "a"), b=("multiply", "c", "x")),
    ),
    (
        Arity,
        "must return 2 values, the tangent of result 0",
        "jvp",
        sub("x a u v", "d", d=("multiply", "u", "a")),
    ),
    (
        ShapeMismatch,
        "the tangent of result 1.*must be float64\\[\\]",
        "jvp",
        sub("x a u v", "d e", d=("multiply", "u", "a"), e=("negative", "u")),
    ),
    (Arity, "that is 4 inputs; it has 2", "jvp", sub("x a", "d", d=("multiply", "x", "a"))),
]


@pytest.mark.parametrize(("kind", "says", "rule", "given"), WRONG_RULES)
def test_rules_of_wrong_shape_say_what_was_expected(
    kind: type[EngineError], says: str, rule: str, given: dict[str, Any]
) -> None:
    program = graph(
        "x a", "p", y=(f"custom_{rule}", "x", "a", {"body": TWO, rule: given}), p=("item", "y", {"index": 0})
    )
    with pytest.raises(kind, match=says) as caught:
        ask("evaluate", program, {"x": [1.0, 2.0], "a": 3.0})
    assert caught.value.node == "y"
