"""The contract of control flow and derivatives of every order (`api.md`, sections 2 to 5, 7, 8), as a client meets it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.engine.bodies import body, graph
from tests.service.conftest import Client, check_problem

Json = dict[str, Any]

PROGRAMS: dict[str, tuple[str, Json]] = {
    "for": ("y = a\nfor i in range(6):\n    y = 0.5*(y + a/y)\ny", {"a": 7}),
    "while": ("y = a\nwhile y < 5:\n    y = y*1.5 + b\ny*b", {"a": 0.7, "b": 0.2}),
    "while in a while": (
        "y = a\nz = 0.0\nwhile y < 5:\n    y = y*1.5\n    w = y\n    while w > 1:\n        w = w/1.3\n    z = z + w*a\nz",
        {"a": 0.7},
    ),
    "if": ("if a > 1:\n    y = a**2\nelif a > 0.5:\n    y = a**3\nelse:\n    y = a\ny*b", {"a": 0.7, "b": 3}),
    "if in a for": (
        "y = a\nfor i in range(6):\n    if y > 2:\n        y = y/2\n    else:\n        y = y*1.7 + i*a\ny",
        {"a": 0.7},
    ),
    "for over an array of integers": ("s = 0.0\nfor i in range(len(x)):\n    s = s*x[i] + x[i]\ns", {"x": [1, 2, 3]}),
    "cond": ("def t(u):\n    return u*u\ndef e(u):\n    return sin(u)\ncond(a > 3, t, e, a)*a", {"a": 0.7}),
    "scan": (
        "def s(c, x):\n    c = tanh(W@c + x)\n    return c, c\nh, hs = scan(s, h0, xs)\nsum(hs*hs)",
        {"W": [[0.3, 0.1], [0.2, 0.9]], "h0": [0.1, 0.2], "xs": [[0.3, 0.8], [1.2, 0.1]]},
    ),
    "map": (
        "def f(x):\n    y = x\n    while y < 3:\n        y = y*a\n    return y\nsum(map(f, xs))",
        {"a": 1.7, "xs": [0.3, 1.2]},
    ),
    "root": ("def g(x):\n    return x**4/4 - x*a\nroot(grad(g), 1.0)*a", {"a": 1.3}),
    "fixed_point": ("def f(y):\n    return cos(y)*a\nfixed_point(f, 0.5)", {"a": 0.7}),
    "linear_solve": ("def f(y):\n    return A@y\nsum(linear_solve(f, x)**2)", {"A": [[3, 0.1], [0.2, 2]], "x": [0.3, 0.8]}),
    "checkpoint": ("def f(y, z):\n    return sin(y)*z\nsum(checkpoint(f)(x, a)**2)", {"a": 0.7, "x": [0.3, 0.8]}),
    "perturbations": ("def f(x):\n    def g(y):\n        return x*y*y\n    return x*grad(g)(x)\ngrad(f)(a)", {"a": 1.1}),
    "gradients in a loop": (
        "def f(x):\n    return x**4/4 - x*a\ng = 1.0*a\nfor i in range(4):\n    g = g - grad(f)(g)/hessian(f)(g)\ng",
        {"a": 1.3},
    ),
    "a loop in gradients": (
        "def f(x):\n    y = x\n    while y < 10.0:\n        y = y*x\n    return y\ngrad(grad(f))(a)",
        {"a": 1.7},
    ),
    "vmap of gradients": ("def f(x):\n    return sin(x)*a\nsum(vmap(grad(f))(x)*x)", {"a": 1.3, "x": [0.3, 0.8]}),
    "vjp": ("def f(x):\n    return sin(x)*x\nsum(vjp(f, x, x*x)[1])", {"x": [0.7, 1.0]}),
    "hessian": ("def f(x):\n    return sum(exp(x)*a)*x[0]\nsum(hessian(f)(x)**2)", {"a": 1.3, "x": [0.3, 0.8]}),
}  # fmt: skip
"""Scalar programs with their inputs; away from kinks."""


def flat(values: Json, keys: Any = None) -> np.ndarray[Any, Any]:
    """Arrays of a map as one vector."""
    return np.concatenate([np.ravel(np.asarray(values[k], float)) for k in (keys or values)])


@pytest.mark.parametrize("name", PROGRAMS)
def test_every_verb_says_the_same(client: Client, name: str) -> None:
    text, inputs = PROGRAMS[name]
    base = {"expression": text, "inputs": inputs}
    names = list(inputs)
    rng = np.random.default_rng(0)
    along = {k: rng.standard_normal(np.shape(v)).tolist() for k, v in inputs.items()}
    at = {
        h: {k: (np.asarray(v) + h * np.asarray(along[k])).tolist() for k, v in inputs.items()}
        for h in (1e-5, -1e-5)
    }
    answer = client.ask("grad", base)
    of, gradient = answer["of"], flat(answer["gradients"], names)
    slope = gradient @ flat(along)

    def value(h: float) -> float:
        return float(client.ask("evaluate", {**base, "inputs": at[h]})["outputs"][of])

    assert slope == pytest.approx((value(1e-5) - value(-1e-5)) / 2e-5, rel=1e-6)
    forward = client.ask("grad", {**base, "mode": "forward", "wrt": names})
    assert flat(forward["gradients"], names) == pytest.approx(gradient, rel=1e-10)
    assert client.ask("jvp", {**base, "tangents": along})["output_tangents"][of] == pytest.approx(
        slope, rel=1e-10
    )
    back = client.ask("vjp", {**base, "cotangents": {of: 2}})
    assert flat(back["gradients"], names) == pytest.approx(2 * gradient, rel=1e-10)
    for mode in ("forward", "reverse"):
        found = client.ask("jacobian", {**base, "mode": mode})["jacobian"][of]
        assert flat(found, names) == pytest.approx(gradient, rel=1e-10)

    hvp = flat(client.ask("hvp", {**base, "vector": along})["hvp"], names)
    there = [flat(client.ask("grad", {**base, "inputs": at[h]})["gradients"], names) for h in (1e-5, -1e-5)]
    assert hvp == pytest.approx((there[0] - there[1]) / 2e-5, rel=1e-5, abs=1e-6)
    for mode in ("auto", "forward", "reverse"):
        rows = client.ask("hessian", {**base, "mode": mode})["hessian"]
        found = [sum(np.tensordot(rows[a][b], along[b], np.ndim(along[b])) for b in names) for a in names]
        assert np.concatenate([np.ravel(f) for f in found]) == pytest.approx(hvp, rel=1e-9)
    series = client.ask("taylor", {**base, "direction": along, "order": 2})["coefficients"]
    assert series == pytest.approx([answer["value"], slope, hvp @ flat(along) / 2], rel=1e-9)

    trace = client.ask("trace", {**base, "tangents": along, "lagrangian": True})
    assert (
        trace["forward"][-1]["tangent"] == pytest.approx(slope, rel=1e-10)
        or trace["forward"][-1]["node"] != of
    )
    for entry in trace["lagrangian"]:
        expected = np.ravel(answer["gradients"].get(entry["node"], 0.0))
        assert np.ravel(entry["multiplier"]) == pytest.approx(expected, rel=1e-10, abs=1e-12)


@pytest.mark.parametrize("name", PROGRAMS)
def test_text_and_graph_are_one_program(client: Client, name: str) -> None:
    text, inputs = PROGRAMS[name]
    shown = client.ask("parse", {"expression": text})
    again = client.ask("parse", {"graph": shown["graph"]})
    assert (again["graph"], again["graph_id"], again["latex"]) == (
        shown["graph"],
        shown["graph_id"],
        shown["latex"],
    )
    answer = client.ask("grad", {"expression": text, "inputs": inputs})
    assert client.ask("grad", {"graph": shown["graph"], "inputs": inputs}) == answer
    assert answer["graph_id"] == shown["graph_id"]
    single = client.ask("grad", {"expression": text, "inputs": inputs, "dtype": "float32"})
    assert flat(single["gradients"], inputs) == pytest.approx(flat(answer["gradients"], inputs), rel=1e-3)
    assert client.ask(
        "grad", {"expression": text, "inputs": inputs, "include": ["derivative_graph", "dot", "timing"]}
    )


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_batch_is_its_members(client: Client, name: str) -> None:
    text, inputs = PROGRAMS[name]
    scales = np.array([1.0, 1.1, 1.3])
    stacked = {k: (np.asarray(v, float)[..., None] * scales).tolist() for k, v in inputs.items()}
    members = [{k: (np.asarray(v, float) * s).tolist() for k, v in inputs.items()} for s in scales]
    for verb, key in (("grad", "gradients"), ("hessian", "hessian")):
        whole = client.ask(
            verb, {"expression": text, "inputs": stacked, "in_axes": dict.fromkeys(inputs, -1)}
        )
        for k, member in enumerate(members):
            each = client.ask(verb, {"expression": text, "inputs": member})
            for a in inputs:
                got, wanted = whole[key][a], each[key][a]
                if verb == "hessian":
                    got, wanted = flat({b: v[k] for b, v in got.items()}), flat(wanted)
                else:
                    got = got[k]
                assert np.ravel(got) == pytest.approx(np.ravel(wanted), rel=1e-9, abs=1e-12)


def test_the_derivative_of_a_loop_as_a_graph(client: Client) -> None:
    for text in ("y = a\nwhile y < 9:\n    y = y*a\ny", "y = a\nfor i in range(3):\n    y = y*a\ny"):
        found = client.ask("grad", {"expression": text, "inputs": {"a": 2}, "include": ["derivative_graph"]})
        bodies = [
            v
            for n in found["derivative_graph"]["nodes"]
            for v in n.get("attrs", {}).values()
            if isinstance(v, dict)
        ]
        bodies += [v["steps"]["body"] for v in bodies if "steps" in v]
        shown = [b for b in bodies if "nodes" in b]
        assert shown
        for inner in shown:
            ids = {n["id"] for n in inner["nodes"]}
            assert inner["outputs"]
            assert ids.issuperset([*inner["inputs"], *inner["outputs"]])


@pytest.mark.parametrize(
    ("text", "inputs", "gradient"),
    [
        ("y = a\nfor i in range(len(x)):\n    y = y + x[i]\ny", {"a": 1.5, "x": [1, 2]}, [1, 1]),
        ("sum(x[0:len(x) - 1])", {"x": [1, 2]}, [1, 0]),
        ("sum(x.reshape(x.shape[0], 1)**2)", {"x": [1, 2]}, [2, 4]),
        ("def f(v):\n    s = 0.0\n    for i in range(len(v)):\n        s = s + v[i]**3\n    return s\nsum(grad(f)(x))",
         {"x": [1, 2]}, [6, 12]),
    ],
)  # fmt: skip
def test_an_array_of_integers_whose_length_counts_is_differentiated(
    client: Client, text: str, inputs: Json, gradient: list[float]
) -> None:
    assert client.ask("grad", {"expression": text, "inputs": inputs})["gradients"]["x"] == gradient


@pytest.mark.parametrize(
    ("verb", "text", "x", "kind", "node"),
    [
        ("grad", "abs(x) + sqrt(x)", 0, "non-finite-gradient", "t2"),
        ("jacobian", "abs(x) + sqrt(x)", 0, "non-finite-gradient", "t2"),
        ("trace", "abs(x) + sqrt(x)", 0, "non-finite-gradient", "t2"),
        ("hessian", "abs(x)**3 + log(x)", 0, "non-finite-gradient", "t3"),
        ("hessian", "sin(x) + x**1.5", 0, "non-finite-gradient", "t2"),
        ("grad", "sum(x) + sum(log(x))", [0, 1], "non-finite-gradient", "t2"),
        ("jvp", "abs(x) + sqrt(x)", 0, "non-finite-tangent", "t2"),
        ("trace", "abs(x)", 0, "non-differentiable", "t1"),
        ("grad", "s = 0.0\nfor i in range(2):\n    s = s + log(x[i])\ns", [1, 0], "non-finite-value", "s"),
    ],
)
def test_warnings_name_the_node_that_did_it(
    client: Client, verb: str, text: str, x: Any, kind: str, node: str
) -> None:
    asked = {"expression": text, "inputs": {"x": x}, **({"tangents": {"x": 1}} if verb == "jvp" else {})}
    found = client.ask(verb, asked)["warnings"]
    assert [w["node"] for w in found if w["kind"] == kind] == [node]
    if verb in ("grad", "jacobian", "hessian"):
        mapped = {"expression": text, "inputs": {"x": [x, x]}, "in_axes": {"x": 0}}
        found = client.ask(verb, mapped)["warnings"]
        assert [(w["node"], w["index"][0]) for w in found if w["kind"] == kind] == [(node, 0)]


@pytest.mark.parametrize("verb", ["evaluate", "grad", "jacobian", "hessian", "jvp", "taylor"])
@pytest.mark.parametrize("mapped", [False, True])
def test_errors_that_show_while_running_name_their_node(client: Client, verb: str, mapped: bool) -> None:
    for text, node in (
        ("y = x[n]\nsin(y)", "y"),
        ("s = 0.0\nfor i in range(2):\n    s = s + x[i + n]\ns", "s"),
    ):
        inputs: Json = {"x": [[1, 2], [3, 4]], "n": [0, 5]} if mapped else {"x": [1, 2], "n": 5}
        asked = {"expression": text, "inputs": inputs, **({"in_axes": {"x": 0, "n": 0}} if mapped else {})}
        found = client.problem(verb, asked, 422, "invalid-attribute")
        assert (found["node"], found["pointer"]) == (node, "/expression")
        assert found["position"]["line"] in (1, 2)


STEP = body(["i", "y"], [("h", "sin", ["y"])], ["h"])
ONE = body(["y"], [("n", "sin", ["y"])], ["n"])
LOOP: Json = {"start": 0, "stop": 3, "carry": 1, "body": STEP}
POSITIVE = body(["y"], [("n", "greater", ["y", 0])], ["n"])
AT = "/graph/nodes/2"

MISTAKES: list[tuple[str, list[Any], Json, int, str, str]] = [
    ("fori_loop", ["a"], LOOP | {"carry": 2}, 422, "arity", ""),
    ("fori_loop", ["a"], LOOP | {"carry": -1}, 422, "invalid-attribute", "/attrs/carry"),
    ("fori_loop", ["a"], LOOP | {"stop": 2.5}, 422, "invalid-attribute", "/attrs/stop"),
    ("fori_loop", ["a"], LOOP | {"stop": 10**12}, 413, "limit-exceeded", ""),
    ("fori_loop", ["a"], LOOP | {"stop": 10**30}, 422, "invalid-attribute", "/attrs/stop"),
    ("fori_loop", ["a"], LOOP | {"lenght": 1}, 422, "invalid-attribute", "/attrs/lenght"),
    ("fori_loop", ["a"], {"start": 0, "stop": 3}, 422, "arity", "/attrs/body"),
    ("fori_loop", ["a"], LOOP | {"body": 7}, 422, "invalid-attribute", "/attrs/body"),
    ("fori_loop", ["a"], LOOP | {"body": {}}, 422, "invalid-field", "/attrs/body/inputs"),
    ("fori_loop", ["a", "x"], LOOP, 422, "arity", "/attrs/body/inputs"),
    ("fori_loop", ["a"], LOOP | {"body": STEP | {"outputs": []}}, 422, "invalid-field", "/attrs/body/outputs"),
    ("fori_loop", ["a"], LOOP | {"body": STEP | {"outputs": ["z"]}}, 422, "unknown-node", "/attrs/body/outputs/0"),
    ("fori_loop", ["a"], LOOP | {"body": body(["i", "y"], [("h", "sin", ["a"])], ["h"])}, 422, "unknown-node",
     "/attrs/body/nodes/0/inputs/0"),
    ("fori_loop", ["a"], LOOP | {"body": body(["i", "y"], [("h", "sin", ["h"])], ["h"])}, 422, "cycle",
     "/attrs/body/nodes/0/inputs/0"),
    ("fori_loop", ["a"], LOOP | {"body": body(["i", "y"], [("y", "sin", ["i"])], ["y"])}, 422, "duplicate-id",
     "/attrs/body/nodes/0/id"),
    ("fori_loop", ["a"], LOOP | {"body": body(["i", "y"], [("h", "stack", ["y", "y"])], ["h"])}, 422, "shape-mismatch",
     "/attrs/body/outputs/0"),
    ("scan", ["a", "x"], {"carry": 1, "scanned": 1, "body": body(["c", "p"], [("k", "stack", ["c", "p"])], ["k"])},
     422, "shape-mismatch", "/attrs/body/outputs/0"),
    ("scan", ["a", "x", [1, 2]], {"carry": 1, "scanned": 2,
      "body": body(["c", "p", "q"], [("n", "add", ["p", "q"])], ["n"])}, 422, "shape-mismatch", ""),
    ("scan", ["a", "a"], {"carry": 1, "scanned": 1, "body": body(["c", "p"], [("n", "add", ["c", "p"])], ["n"])},
     422, "shape-mismatch", ""),
    ("while_loop", ["x"], {"cond": ONE, "body": ONE}, 422, "shape-mismatch", "/attrs/cond/outputs/0"),
    ("while_loop", ["x"], {"cond": POSITIVE, "body": ONE}, 422, "shape-mismatch", "/attrs/cond/outputs/0"),
    ("while_loop", ["a"], {"cond": body(["y", "z"], [("n", "greater", ["y", 0])], ["n"]), "body": ONE}, 422, "arity",
     "/attrs/cond/inputs"),
    ("while_loop", ["a"], {"cond": POSITIVE, "body": body(["y"], [("n", "add", ["y", 1])], ["n"])}, 504, "timeout", ""),
    ("cond", [True, "x"], {"then": ONE}, 422, "arity", "/attrs/else"),
    ("cond", [[True, False], "x"], {"then": ONE, "else": ONE}, 422, "shape-mismatch", ""),
    ("linear_solve", ["x"], {"body": ONE}, 422, "invalid-attribute", ""),
    ("linear_solve", ["x"], {"body": body(["y"], [("n", "multiply", ["y", 0.0])], ["n"])}, 422, "singular-matrix", ""),
    ("root", ["x"], {"body": body(["y"], [("n", "sum", ["y"])], ["n"])}, 422, "shape-mismatch", ""),
    ("grad", ["x"], {"body": ONE}, 422, "shape-mismatch", ""),
    ("grad", ["a"], {"body": ONE, "wrt": 3}, 422, "invalid-attribute", ""),
    ("vmap", ["a"], {"body": ONE}, 422, "shape-mismatch", ""),
    ("custom_vjp", ["x"], {"body": ONE, "vjp": body(["y", "g"], [("n", "sum", ["g"])], ["n"])}, 422, "shape-mismatch", ""),
    ("custom_jvp", ["x"], {"body": ONE, "jvp": body(["y", "g"], [("n", "sin", ["g"])], ["n"])}, 422, "not-differentiable", ""),
    ("checkpoint", ["x", "a"], {"body": ONE}, 422, "arity", "/attrs/body/inputs"),
]  # fmt: skip
"""An op, its operands and attributes; the status, the problem, and the place below that of the node."""


@pytest.mark.parametrize(("op", "operands", "attrs", "status", "name", "place"), MISTAKES)
def test_mistakes_in_control_flow(
    client: Client, op: str, operands: list[Any], attrs: Json, status: int, name: str, place: str
) -> None:
    source = graph("a x", [("r", op, operands, attrs)], "r")
    for verb in ("evaluate", "jacobian"):
        response = client.post(
            f"/v1/{verb}",
            json={"graph": source, "inputs": {"a": 2, "x": [1, 2, 3]}},
            headers={"X-Request-Timeout": "0.3" if status == 504 else "20"},
        )
        found = check_problem(response, status, name)
        if (status, verb) != (504, "jacobian"):
            assert found["pointer"] == AT + place


def test_nesting_of_subgraphs_has_a_limit(client: Client) -> None:
    def nested(depth: int) -> Json:
        inner = ONE
        for _ in range(depth):
            inner = body(["y"], [("n", "checkpoint", ["y"], {"body": inner})], ["n"])
        return {"graph": graph("a", [("r", "checkpoint", ["a"], {"body": inner})], "r"), "inputs": {"a": 1}}

    assert client.ask("grad", nested(30))["gradients"]["a"] == pytest.approx(np.cos(1))
    client.problem("grad", nested(40), 413, "limit-exceeded")


def test_a_top_level_statement_reports_the_names_it_assigns(client: Client) -> None:
    text = "y = a\nwhile y < 5:\n    u = y*2\n    for j in range(2):\n        v = u + j\n    y = v + 1\ny"
    values = client.ask("evaluate", {"expression": text, "inputs": {"a": 1}})["values"]
    assert {k: values[k] for k in ("a", "y", "u", "j", "v")} == {"a": 1, "y": 10, "u": 8, "j": 1, "v": 9}
    named = client.ask("evaluate", {"expression": text, "inputs": {"a": 1}, "nodes": "named"})["values"]
    assert set(named) == {"a", "y", "u", "j", "v"}
    inside = "def f(x):\n    s = x\n    for i in range(3):\n        s = s*x\n    return s\nf(a)"
    assert set(client.ask("evaluate", {"expression": inside, "inputs": {"a": 1}})["values"]) == {"a", "t1"}


@pytest.mark.parametrize("verb", ["grad", "jacobian", "hessian", "hvp", "jvp", "vjp", "taylor", "trace"])
def test_a_derivative_that_does_not_exist_names_its_node(client: Client, verb: str) -> None:
    text = "z = a*1.0\ndef f(y):\n    return y*(1 + z)\nr = fixed_point(f, 1.0)\nr*2"
    more: Json = {
        "hvp": {"vector": {"a": 1}},
        "jvp": {"tangents": {"a": 1}},
        "vjp": {"cotangents": {"t1": 1}},
        "taylor": {"direction": {"a": 1}, "order": 2},
    }
    found = client.problem(
        verb, {"expression": text, "inputs": {"a": 0}, **more.get(verb, {})}, 422, "singular-matrix"
    )
    assert (found["node"], found["pointer"], found["position"]["line"]) == ("r", "/expression", 4)
