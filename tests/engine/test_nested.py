"""Derivatives inside programs: nested in every mixture, under every verb, in loops, maps and choices, and wrong uses."""

from __future__ import annotations

import json
import time
from itertools import product
from typing import Any

import numpy as np
import pytest

from engine.cost import Limits
from engine.derive import prepare
from engine.describe import describe
from engine.errors import (
    Arity,
    DeadlineExceeded,
    EngineError,
    InvalidAttribute,
    LimitExceeded,
    NotDifferentiable,
    ShapeMismatch,
)
from engine.execute.meter import Meter
from engine.render.dot import to_dot
from engine.spec import read_graph
from tests.engine.helpers import ask, near, request
from tests.engine.subgraphs import graph, sub

# d/dx (x · d/dy (x·y·y)) at the operands: perturbations of two variables, and of one name in two bodies.


def test_inner_and_outer_perturbations_are_not_confused() -> None:
    """d/dx [x · d/dy (x + y)] = 1, the example of Siskind and Pearlmutter; 2 if they are confused."""
    inner = sub("y x", "s", s=("add", "x", "y"))
    outer = sub("x y", "r", i=("grad", "y", "x", {"body": inner}), r=("multiply", "x", "i"))
    program = graph("x y", "g", g=("grad", "x", "y", {"body": outer}))
    assert ask("evaluate", program, {"x": 3.0, "y": 5.0})["outputs"]["g"] == 1.0


def test_one_name_in_both_bodies() -> None:
    """d/dx [x · (d/dz z·x at z = x)] = 2x: both bodies call their variable x."""
    inner = sub("x c", "s", s=("multiply", "x", "c"))
    outer = sub("x", "r", i=("grad", "x", "x", {"body": inner}), r=("multiply", "x", "i"))
    program = graph("x", "g", g=("grad", "x", {"body": outer}))
    assert ask("evaluate", program, {"x": 3.0})["outputs"]["g"] == 6.0


def test_an_outer_value_inside_moves_with_the_outer_variable_only() -> None:
    """d/dx d/dy (x² y³), with an inner forward mode whose tangent itself depends on x."""
    body = sub("y x", "r", a=("square", "x"), b=("pow", "y", 3.0), r=("multiply", "a", "b"))
    outer = sub(
        "x y", "t", j=("jvp", "y", "x", "x", 0.0, {"body": body}), t=("item", "j", {"index": 1})
    )  # ẏ = x: x · 3 x² y²
    program = graph("x y", "g", g=("grad", "x", "y", {"body": outer}))
    assert ask("evaluate", program, {"x": 2.0, "y": 1.5})["outputs"]["g"] == pytest.approx(
        9 * 2.0**2 * 1.5**2
    )


CUBE = sub("x", "r", e=("exp", "x"), s=("sin", "x"), r=("multiply", "e", "s"))
"""exp(x) sin(x), whose k-th derivative is √2ᵏ exp(x) sin(x + kπ/4)."""


def first(kind: str, body: dict[str, Any], x: str = "x") -> dict[str, Any]:
    """A node `d` that is the derivative of a body of one scalar by one of several ops."""
    match kind:
        case "grad" | "jacobian":
            return {"d": (kind, x, {"body": body})}
        case "value_and_grad":
            return {"v": (kind, x, {"body": body}), "d": ("item", "v", {"index": 1})}
        case "jvp" | "vjp":
            return {"v": (kind, x, 1.0, {"body": body}), "d": ("item", "v", {"index": 1})}
        case _:  # mapped
            return {
                "r": ("reshape", x, {"shape": [1]}),
                "m": ("vmap", "r", {"body": sub("x", "d", **first("grad", body))}),
                "d": ("sum", "m"),
            }


KINDS = ("grad", "value_and_grad", "jacobian", "jvp", "vjp", "mapped")


@pytest.mark.parametrize(("one", "two", "three"), [*product(KINDS, KINDS, ("grad", "jvp"))])
def test_third_derivatives_in_every_mixture(one: str, two: str, three: str) -> None:
    body = CUBE
    for kind in (one, two, three):
        body = sub("x", "d", **first(kind, body))
    program = graph("x", "r", r=("vmap", "x", {"body": body}))
    x = np.array([0.3, -1.2])
    expected = 2**1.5 * np.exp(x) * np.sin(x + 3 * np.pi / 4)
    near(ask("evaluate", program, {"x": x})["outputs"]["r"], expected, 1e-13)


@pytest.mark.parametrize("kind", KINDS)
def test_under_the_outer_verbs(kind: str) -> None:
    """A derivative inside is a value outside: its gradient, tangent, Jacobian, Hessian and map."""
    program = graph("x", "d", **first(kind, CUBE))
    x = 0.7

    def d(k: int) -> float:
        return float(2 ** (k / 2) * np.exp(x) * np.sin(x + k * np.pi / 4))

    near(ask("evaluate", program, {"x": x})["outputs"]["d"], d(1), 1e-13)
    near(ask("grad", program, {"x": x})["gradients"]["x"], d(2), 1e-13)
    near(ask("grad", program, {"x": x}, mode="forward")["gradients"]["x"], d(2), 1e-13)
    near(ask("jvp", program, {"x": x}, tangents={"x": 2.0})["output_tangents"]["d"], 2 * d(2), 1e-13)
    near(ask("vjp", program, {"x": x}, cotangents={"d": 2.0})["gradients"]["x"], 2 * d(2), 1e-13)
    near(ask("jacobian", program, {"x": x})["jacobian"]["d"]["x"], d(2), 1e-13)
    near(ask("hessian", program, {"x": x})["hessian"]["x"]["x"], d(3), 1e-13)
    near(ask("hvp", program, {"x": x}, vector={"x": 2.0})["hvp"]["x"], 2 * d(3), 1e-13)
    many = ask("grad", program, {"x": np.array([x, x])}, in_axes={"x": 0})
    near(many["gradients"]["x"], np.array([d(2), d(2)]), 1e-13)


def test_hessian_is_the_jacobian_of_the_gradient() -> None:
    body = sub("x a", "r", m=("matmul", "a", "x"), t=("tanh", "m"), s=("square", "t"), r=("sum", "s"))
    back = sub("x a", "g", g=("grad", "x", "a", {"body": body}))
    program = graph(
        "x a", "h j", h=("hessian", "x", "a", {"body": body}), j=("jacobian", "x", "a", {"body": back})
    )
    rng = np.random.default_rng(1)
    x, a = rng.normal(size=3), rng.normal(size=(4, 3))
    found = ask("evaluate", program, {"x": x, "a": a})["outputs"]
    outer = graph("x a", "r", m=("matmul", "a", "x"), t=("tanh", "m"), s=("square", "t"), r=("sum", "s"))
    expected = ask("hessian", outer, {"x": x, "a": a}, wrt=["x"])["hessian"]["x"]["x"]
    near(found["h"], expected, 1e-13)
    near(found["j"], expected, 1e-13)


@pytest.mark.parametrize("verb", ["grad", "hessian"])
def test_gradient_descent_as_a_loop_is_differentiated(verb: str) -> None:
    """x ← x − a·∂ₓ½(x − b)², 4 times: x = b + (1 − a)⁴(x₀ − b)."""
    loss = sub("x b", "r", d=("subtract", "x", "b"), s=("square", "d"), r=("multiply", 0.5, "s"))
    step = sub(
        "i x a b",
        "y",
        g=("grad", "x", "b", {"body": loss}),
        m=("multiply", "a", "g"),
        y=("subtract", "x", "m"),
    )
    program = graph("x a b", "r", r=("fori_loop", "x", "a", "b", {"stop": 4, "body": step}))
    at = {"x": 3.0, "a": 0.25, "b": 1.0}
    answer = ask(verb, program, at)
    q = 0.75
    near(answer["value"], 1 + q**4 * 2, 1e-14)
    near(answer["gradients"]["x"], q**4, 1e-14)
    near(answer["gradients"]["a"], -4 * q**3 * 2, 1e-13)
    near(answer["gradients"]["b"], 1 - q**4, 1e-14)
    if verb == "hessian":
        near(answer["hessian"]["a"]["a"], 12 * q**2 * 2, 1e-13)
        near(answer["hessian"]["a"]["x"], -4 * q**3, 1e-13)


def test_a_gradient_of_a_loop_and_of_a_choice() -> None:
    step = sub("i y a", "h", q=("divide", "a", "y"), u=("add", "y", "q"), h=("multiply", 0.5, "u"))
    loop = sub("a", "r", r=("fori_loop", "a", "a", {"stop": 8, "body": step}))
    one, two = sub("x", "r", r=("square", "x")), sub("x", "r", r=("negative", "x"))
    choice = sub("x c", "r", r=("cond", "c", "x", {"then": one, "else": two}))
    program = graph(
        "x",
        "g d e",
        g=("grad", "x", {"body": loop}),
        c=("greater", "x", 1.0),
        d=("grad", "x", "c", {"body": choice}),
        o=("less", "x", 1.0),
        e=("grad", "x", "o", {"body": choice}),
    )
    found = ask("evaluate", program, {"x": 2.0})["outputs"]
    near(found["g"], 0.5 / np.sqrt(2.0), 1e-12)
    assert (found["d"], found["e"]) == (4.0, -1.0)


def test_strong_zeros_hold_inside() -> None:
    """where(x > 0, sqrt(x), 0) has gradient 0 at 0 inside a program as outside."""
    body = sub("x", "r", m=("greater", "x", 0.0), q=("sqrt", "x"), r=("where", "m", "q", 0.0))
    program = graph("x", "g", g=("grad", "x", {"body": body}))
    answer = ask("grad", program, {"x": 0.0})
    assert answer["value"] == 0.0
    assert answer["gradients"]["x"] == 0.0


def test_with_respect_to_a_node_in_between() -> None:
    """∂(grad node)/∂(intermediate), which is the operand of two derivatives."""
    program = graph(
        "x",
        "r",
        u=("square", "x"),
        g=("grad", "u", {"body": CUBE}),
        h=("jacobian", "u", {"body": CUBE}),
        r=("add", "g", "h"),
    )
    u = 0.81
    expected = 2 * 2 * np.exp(u) * np.sin(u + np.pi / 2)
    answer = ask("grad", program, {"x": 0.9}, wrt=["u", "g"])
    near(answer["gradients"]["u"], expected, 1e-13)
    assert answer["gradients"]["g"] == 1.0
    near(ask("grad", program, {"x": 0.9}, of="h", wrt=["u"])["gradients"]["u"], expected / 2, 1e-13)


def test_values_inside_bodies_are_not_reported() -> None:
    answer = ask("evaluate", graph("x", "g", g=("grad", "x", {"body": CUBE})), {"x": 1.0})
    assert set(answer["values"]) == {"x", "g"}


def test_indices_in_front_of_tangents_are_integers() -> None:
    """An index among the primals of jvp and vjp is int64, though tangents and cotangents follow."""
    body = sub("x k", "y", y=("getitem", "x", "k", {"index": [{"input": 1}]}))
    program = graph(
        "x k v",
        "t c",
        j=("jvp", "x", "k", "v", {"body": body}),
        t=("item", "j", {"index": 1}),
        b=("vjp", "x", "k", 2.0, {"body": body}),
        c=("item", "b", {"index": 1}),
    )
    found = ask("evaluate", program, {"x": [1.5, 2.5], "k": 1, "v": [3.0, 4.0]})["outputs"]
    assert found["t"] == 4.0
    near(found["c"], [0.0, 2.0])


def test_vjp_of_two_floats_and_an_integer_has_two_cotangents() -> None:
    body = sub("x k y", "r", p=("multiply", "x", "k"), r=("multiply", "p", "y"))
    nodes = {f"c{n}": ("item", "b", {"index": n}) for n in range(3)}
    program = graph("x k y", "c0 c1 c2", b=("vjp", "x", "k", "y", 1.0, {"body": body}), **nodes)
    found = ask("evaluate", program, {"x": 2.0, "k": np.array(3), "y": 5.0})["outputs"]
    assert [float(found[f"c{n}"]) for n in range(3)] == [30.0, 15.0, 6.0]
    more = graph("x k y", "c", b=("vjp", "x", "k", "y", 1.0, {"body": body}), c=("item", "b", {"index": 3}))
    with pytest.raises(InvalidAttribute, match="index 3 is out of range"):
        ask("evaluate", more, {"x": 2.0, "k": np.array(3), "y": 5.0})


# ------------------------------------------------------------------------------------------------------------ as data

PROGRAMS = {
    "grad": graph("x", "g", g=("grad", "x", {"body": CUBE})),
    "two": graph(
        "x y",
        "a b",
        g=("grad", "x", "y", {"body": sub("x y", "r", r=("multiply", "x", "y")), "wrt": [1, 0]}),
        a=("item", "g", {"index": 0}),
        b=("item", "g", {"index": 1}),
    ),
    "value_and_grad": graph("x", "d", **first("value_and_grad", CUBE)),
    "jacobian": graph("x", "g", g=("jacobian", "x", {"body": CUBE})),
    "hessian": graph("x", "g", g=("hessian", "x", {"body": CUBE})),
    "jvp": graph("x", "d", **first("jvp", CUBE)),
    "vjp": graph("x", "d", **first("vjp", CUBE)),
    "vmap": graph("x", "d", **first("mapped", CUBE)),
    "nested": graph("x", "g", g=("grad", "x", {"body": sub("x", "d", **first("jvp", CUBE))})),
    "root": graph(
        "x", "g", g=("root", 1.0, "x", {"body": sub("x a", "f", s=("square", "x"), f=("subtract", "s", "a"))})
    ),
    "fixed_point": graph(
        "x",
        "g",
        g=("fixed_point", 1.0, "x", {"body": sub("x a", "f", s=("multiply", "x", "a"), f=("cos", "s"))}),
    ),
    "linear_solve": graph(
        "x", "g", g=("linear_solve", 3.0, "x", {"body": sub("x a", "f", f=("multiply", "x", "a"))})
    ),
    "custom_vjp": graph(
        "x", "g", g=("custom_vjp", "x", {"body": CUBE, "vjp": sub("x c", "d", d=("multiply", "c", "x"))})
    ),
    "custom_jvp": graph(
        "x", "g", g=("custom_jvp", "x", {"body": CUBE, "jvp": sub("x t", "d", d=("multiply", "t", "x"))})
    ),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_parse_gives_a_graph_that_is_the_same_program(name: str) -> None:
    program = read_graph(PROGRAMS[name])
    at = dict.fromkeys([program.steps[i].id for i in program.inputs], 0.8)
    shown = describe(program, None, Limits())
    again = read_graph(json.loads(json.dumps(shown["graph"], allow_nan=False)))
    assert again.digest == program.digest == shown["graph_id"]
    assert shown["latex"]
    assert shown["mathml"]
    assert "digraph" in to_dot(program)
    for verb in ("evaluate", "grad"):
        one, two = ask(verb, PROGRAMS[name], at), ask(verb, again, at)
        assert one == two


def test_a_single_gradient_is_the_node_itself() -> None:
    near(
        ask("evaluate", PROGRAMS["grad"], {"x": 0.8})["outputs"]["g"],
        2**0.5 * np.exp(0.8) * np.sin(0.8 + np.pi / 4),
    )
    with pytest.raises(EngineError, match="several results"):
        read_graph(
            graph(
                "x", "g", g=("grad", "x", "x", {"body": sub("x y", "r", r=("add", "x", "y")), "wrt": [0, 1]})
            )
        )


# ------------------------------------------------------------------------------------------------------------ mistakes

ONE = sub("x", "r", r=("square", "x"))
TWO = sub("x y", "r", r=("multiply", "x", "y"))
ROW = sub("x", "r", r=("multiply", "x", [1.0, 2.0]))
WHOLE = sub("x", "r", r=("greater", "x", 0.0))
PAIR = sub("x", "r s", r=("square", "x"), s=("sin", "x"))

MISTAKES: list[tuple[type[EngineError], str, Any, dict[str, Any]]] = [
    (ShapeMismatch, "returns a scalar", ("grad", "x", {"body": ROW}), {"x": 1.0}),
    (Arity, "returns one value", ("grad", "x", {"body": PAIR}), {"x": 1.0}),
    (NotDifferentiable, "returns a float", ("grad", "x", {"body": WHOLE}), {"x": 1.0}),
    (InvalidAttribute, "wrt 1 is no operand", ("grad", "x", {"body": ONE, "wrt": [1]}), {"x": 1.0}),
    (InvalidAttribute, "wrt -1 is no operand", ("grad", "x", {"body": ONE, "wrt": [-1]}), {"x": 1.0}),
    (InvalidAttribute, "at least one", ("grad", "x", {"body": ONE, "wrt": []}), {"x": 1.0}),
    (Arity, "takes 2 inputs", ("grad", "x", {"body": TWO}), {"x": 1.0}),
    (
        NotDifferentiable,
        r"operand 0 \('x' in the body\) holds integers",
        ("grad", "x", {"body": ONE}),
        {"x": np.array(2)},
    ),
    (NotDifferentiable, "holds booleans", ("jacobian", "x", {"body": ONE}), {"x": np.array(True)}),
    (ShapeMismatch, "returns a scalar", ("hessian", "x", {"body": ROW}), {"x": 1.0}),
    (Arity, "a tangent for each floating operand: 1; here are 0", ("jvp", "x", {"body": ONE}), {"x": 1.0}),
    (
        Arity,
        "a tangent for each floating operand: 1; here are 2",
        ("jvp", "x", 1.0, 2.0, {"body": ONE}),
        {"x": 1.0},
    ),
    (
        ShapeMismatch,
        r"must have the shape \[\]; it has \[2\]",
        ("jvp", "x", [1.0, 2.0], {"body": ONE}),
        {"x": 1.0},
    ),
    (Arity, "the body takes 2 inputs", ("vjp", "x", {"body": TWO}), {"x": 1.0}),
    (ShapeMismatch, "cotangent of result 0", ("vjp", "x", 1.0, {"body": ROW}), {"x": 1.0}),
    (NotDifferentiable, "nothing to pull back to", ("vjp", "x", 1.0, {"body": ONE}), {"x": np.array(2)}),
    (ShapeMismatch, "no axis 0 to map over", ("vmap", "x", {"body": ONE}), {"x": 1.0}),
    (
        InvalidAttribute,
        "at least one operand that is mapped",
        ("vmap", "x", {"body": ONE, "in_axes": [None]}),
        {"x": [1.0]},
    ),
    (
        InvalidAttribute,
        "2 entries, but there are 1",
        ("vmap", "x", {"body": ONE, "in_axes": [0, 0]}),
        {"x": [1.0]},
    ),
    (ShapeMismatch, "of one size", ("vmap", "x", [1.0, 2.0, 3.0], {"body": TWO}), {"x": [1.0, 2.0]}),
    (ShapeMismatch, "no axis 2", ("vmap", "x", {"body": ONE, "in_axes": 2}), {"x": [1.0]}),
]


@pytest.mark.parametrize(("kind", "says", "node", "at"), MISTAKES)
def test_mistakes_name_the_node(kind: type[EngineError], says: str, node: Any, at: dict[str, Any]) -> None:
    several = node[0] in ("jvp", "vjp") or "wrt" in node[-1]
    reader = {"r": ("item", "n", {"index": 0})} if several else {"r": ("identity", "n")}
    with pytest.raises(kind, match=says) as caught:
        ask("evaluate", graph("x", "r", n=node, **reader), at)
    assert caught.value.node == "n"
    assert caught.value.where is not None
    assert caught.value.where.pointer in ("/graph/nodes/1", "/graph/nodes/1/attrs/body/inputs")


def test_a_mistake_inside_names_the_node_inside() -> None:
    inner = sub("x", "r", m=("matmul", "x", [1.0, 2.0]), r=("sum", "m"))
    with pytest.raises(ShapeMismatch) as caught:
        ask("evaluate", graph("x", "g", g=("grad", "x", {"body": inner})), {"x": [1.0, 2.0, 3.0]})
    assert caught.value.node == "m"
    assert caught.value.where is not None
    assert caught.value.where.pointer == "/graph/nodes/1/attrs/body/nodes/0"


def deep(levels: int) -> dict[str, Any]:
    """The derivative of the derivative of …"""
    body = sub("x", "r", s=("sin", "x"), e=("exp", "s"), r=("multiply", "s", "e"))
    for _ in range(levels):
        body = sub("x", "d", d=("grad", "x", {"body": body}))
    return graph("x", "r", r=("vmap", "x", {"body": body}))


def test_derivatives_of_derivatives_are_bounded() -> None:
    """The size of the k-th derivative grows as 2ᵏ or more; limits and deadlines hold while it is written."""
    with pytest.raises(LimitExceeded) as caught:
        ask("evaluate", deep(30), {"x": [0.5]}, limits=Limits(nodes=1000))
    assert caught.value.limit == "nodes"
    with pytest.raises(DeadlineExceeded):
        prepare("evaluate", request(deep(30), {"x": [0.5]}), None, Meter(time.monotonic() + 0.5))


def test_a_jacobian_over_the_limit_is_refused() -> None:
    program = graph("x", "j", j=("jacobian", "x", {"body": sub("x", "r", r=("sin", "x"))}))
    with pytest.raises(LimitExceeded) as caught:
        ask("evaluate", program, {"x": np.ones(5000)})
    assert caught.value.limit == "elements"
    assert caught.value.node == "j"
