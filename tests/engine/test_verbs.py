"""The verbs: what each answers, for every node, mode, map and limit."""

from __future__ import annotations

import sys
import time
import tracemalloc
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np
import pytest

import engine.derive.sweep
from engine.aval import FLOAT64
from engine.builder import EagerBuilder, GraphBuilder
from engine.cost import Limits
from engine.derive import MAPPED as TAKE_MAPS
from engine.derive import VERBS, prepare
from engine.errors import (
    Arity,
    DeadlineExceeded,
    EngineError,
    InvalidField,
    LimitExceeded,
    Mistakes,
    NonScalarOutput,
    NotDifferentiable,
    ShapeMismatch,
    UnknownInput,
    UnknownNode,
    UnknownOp,
    Unsupported,
)
from engine.execute.meter import Cancelled, Meter
from engine.graph import Graph
from engine.specialize import specialize
from engine.transforms.pull import vjp_graph
from engine.transforms.push import jvp_graph
from tests.engine.bodies import body, graph, node
from tests.engine.helpers import ask, difference, near, prepared, program_of, request, shifted

Answer = dict[str, Any]
MAPPED = TAKE_MAPS & set(VERBS)
MODES = ("auto", "reverse", "forward")


# ---------------------------------------------------------------------------------------------------- control flow


SINE = body(["x"], [("y", "sin", ["x"])], ["y"])
RNN_STEP = body(
    ["h", "x", "W"],
    [("a", "matmul", ["W", "h"]), ("s", "add", ["a", "x"]), ("k", "tanh", ["s"]), ("y", "sum", ["k"])],
    ["k", "y"],
)
RNN = graph(
    "h xs W",
    [
        ("r", "scan", ["h", "xs", "W"], {"carry": 1, "body": RNN_STEP}),
        ("last", "item", ["r"], {"index": 0}),
        ("ys", "item", ["r"], {"index": 1}),
        ("p", "prod", ["ys"]),
        ("q", "sum", ["last"]),
        ("f", "multiply", ["p", "q"]),
    ],
    "f",
)
RNN_AT = {"h": [0.1, -0.3], "xs": [[0.5, 0.2], [-0.4, 0.6], [0.3, 0.9]], "W": [[0.4, -0.2], [0.7, 0.3]]}
RNN_UNROLLED = """
k1 = tanh(W @ h + xs[0])
k2 = tanh(W @ k1 + xs[1])
k3 = tanh(W @ k2 + xs[2])
f = sum(k1) * sum(k2) * sum(k3) * sum(k3)
"""

NEWTON_STEP = body(
    ["i", "y", "a"],
    [("q", "divide", ["a", "y"]), ("u", "add", ["y", "q"]), ("n", "multiply", [0.5, "u"])],
    ["n"],
)
NEWTON = graph("a", [("r", "fori_loop", ["a", "a"], {"stop": 20, "carry": 1, "body": NEWTON_STEP})], "r")

CHOICE = graph(
    "x y",
    [
        ("positive", "greater", ["x", 0]),
        (
            "c",
            "cond",
            ["positive", "x", "y"],
            {
                "then": body(["x", "y"], [("a", "square", ["x"]), ("b", "multiply", ["a", "y"])], ["b"]),
                "else": body(["x", "y"], [("a", "exp", ["x"]), ("b", "multiply", ["a", "y"])], ["b"]),
            },
        ),
        ("f", "multiply", ["c", "x"]),
    ],
    "f",
)

# --------------------------------------------------------------------------------------------------------- programs

PROGRAMS: dict[str, tuple[Any, dict[str, Any]]] = {
    "product": ("(x + y) * z", {"x": -2, "y": 5, "z": -4}),
    "results in rules": ("a = exp(x)\nb = tanh(a * y)\nc = sqrt(b)\nc * a + c / y", {"x": 0.3, "y": 0.8}),
    "identities": ("y = x\nz = y\nz * y * x", {"x": 1.5}),
    "equal nodes": ("x*y + (x*y) * exp(x*y)", {"x": 0.5, "y": -0.7}),
    "unused": ("u = sin(x)\nv = x * x\nw = u * u\nv * 2 + x", {"x": 0.4}),
    "powers": ("p = x**3\nq = p**y\nq * p**-1 + x**0", {"x": 1.2, "y": 0.4}),
    "least squares": (
        "r = A @ x - b\nsum(r**2), r",
        {"A": [[1, 2], [3, 4], [5, 7]], "x": [0.5, -0.2], "b": [1, 0, 2]},
    ),
    "broadcasting": ("d = x[:, None] - y\ns = d**2 / (1 + z)\nmean(s * exp(d))", {"x": [1, 2], "y": [0.5, 0.1, 0.7], "z": 0.3}),
    "softmax": ("a = A @ x\np = softmax(a)\nl = logsumexp(a)\nl - sum(p * log(p))", {"A": [[1, 2], [0, -1]], "x": [0.3, 0.4]}),
    "several results": ("a, b = split(x, 2)\nc = a * b\nsum(c * exp(b)) * a[0]", {"x": [0.2, 0.3, -0.4, 0.5]}),
    "reductions": ("p = prod(x)\nv = var(x)\nn = norm(x * p)\nn * v + max(x)", {"x": [0.7, -1.2, 0.4]}),
    "scan": (RNN, RNN_AT),
    "cond": (CHOICE, {"x": 0.7, "y": 1.3}),
    "fori_loop": (NEWTON, {"a": 2.0}),
}  # fmt: skip


def document_of(source: Any) -> dict[str, Any]:
    """The JSON graph of a program."""
    return program_of(source).to_json()


def floating_nodes(source: Any, at: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Values of the nodes that can have a derivative."""
    values = ask("evaluate", source, at)["values"]
    return {name: v for name, v in values.items() if v.dtype.kind == "f"}


def perturbed(
    source: Any, at: Mapping[str, Any], name: str, of: str
) -> tuple[Callable[[np.ndarray], Any], np.ndarray]:
    """`of` as a function of an input, or of the δ added to an intermediate; and where to differentiate it."""
    document = document_of(source) | {"outputs": [of]}
    value = floating_nodes(source, at)[name]
    if name in at:
        f = prepared("evaluate", document, at, nodes="none")
        return (lambda x: f({name: x})["outputs"][of]), value
    document = shifted(document, name)
    (out,) = document["outputs"]
    zero = np.zeros_like(value)
    g = prepared("evaluate", document, {**at, "δ": zero}, nodes="none")
    return (lambda delta: g({"δ": delta})["outputs"][out]), zero


def weights(shape: tuple[int, ...]) -> np.ndarray:
    """Numbers of no particular pattern, for seeds and directions."""
    return np.cos(1.0 + 1.7 * np.arange(np.prod(shape, dtype=int))).reshape(shape)


@pytest.mark.parametrize("name", PROGRAMS)
def test_first_order_for_every_node(name: str) -> None:
    source, at = PROGRAMS[name]
    values = floating_nodes(source, at)
    of = program_of(source).output_ids[0]
    every = list(values)
    seed = weights(values[of].shape)
    reverse = ask("grad", source, at, wrt=every, seed=seed)
    forward = ask("grad", source, at, wrt=every, seed=seed, mode="forward")
    back = ask("vjp", source, at, wrt=every, cotangents={of: seed})
    blocks = {mode: ask("jacobian", source, at, of=of, wrt=every, mode=mode) for mode in MODES}
    near(reverse["gradients"][of], seed)
    for n in every:
        f, x = perturbed(source, at, n, of)
        expected = difference(f, x)
        for mode in MODES:
            near(blocks[mode]["jacobian"][of][n], expected, 1e-8, 1e-9)
        core = tuple(range(seed.ndim))
        gradient = np.tensordot(seed, expected, axes=(core, core))
        for answer in (reverse, forward, back):
            near(answer["gradients"][n], gradient, 1e-8, 1e-9)
        direction = weights(x.shape)
        moved = ask("jvp", source, at, tangents={n: direction})
        own = np.tensordot(expected, direction, x.ndim)
        near(moved["output_tangents"][of], own, 1e-8, 1e-9)


@pytest.mark.parametrize("name", PROGRAMS)
@pytest.mark.parametrize("mode", MODES)
def test_second_order_for_every_node(name: str, mode: str) -> None:
    source, at = PROGRAMS[name]
    values = floating_nodes(source, at)
    of = program_of(source).output_ids[0]
    every = list(values)
    document = document_of(source) | {"outputs": [of]}
    for n in every:
        if n not in at:
            document = shifted(document, n, f"δ{n}")
    (out,) = document["outputs"]
    inputs = {
        n if n in at else f"δ{n}": np.asarray(at[n], float) if n in at else np.zeros_like(v)
        for n, v in values.items()
    }
    extra = {k: v for k, v in at.items() if k not in inputs}
    names = [n if n in at else f"δ{n}" for n in every]
    sizes = [inputs[n].size for n in names]

    slope = prepared("grad", document, {**extra, **inputs}, of=out, wrt=names, nodes="none")

    def gradient(flat: np.ndarray) -> np.ndarray:
        parts = np.split(flat, np.cumsum(sizes)[:-1])
        answer = slope({n: p.reshape(inputs[n].shape) for n, p in zip(names, parts, strict=True)})
        return np.concatenate([answer["gradients"][n].ravel() for n in names])

    flat = np.concatenate([inputs[n].ravel() for n in names])
    expected = difference(gradient, flat)
    answer = ask("hessian", source, at, of=of, wrt=every, mode=mode)
    assert answer["passes"] == flat.size
    got = np.block(
        [[answer["hessian"][a][b].reshape(values[a].size, values[b].size) for b in every] for a in every]
    )
    for a, b in product(every, every):
        assert answer["hessian"][a][b].shape == values[a].shape + values[b].shape
    near(got, expected, 1e-7, 1e-8)
    near(got, got.T, 1e-12, 1e-12)
    vector = {n: weights(values[n].shape) for n in every}
    along = ask("hvp", source, at, of=of, wrt=every, vector=vector, mode=mode)
    flat_vector = np.concatenate([vector[n].ravel() for n in every])
    near(np.concatenate([along["hvp"][n].ravel() for n in every]), got @ flat_vector, 1e-11, 1e-11)
    near(along["gradients"], answer["gradients"], 1e-14, 1e-14)
    near(along["value"], values[of])


@pytest.mark.parametrize("name", PROGRAMS)
def test_of_any_node(name: str) -> None:
    source, at = PROGRAMS[name]
    values = floating_nodes(source, at)
    for of, value in values.items():
        seed = weights(value.shape)
        answer = ask("grad", source, at, of=of, seed=seed)
        assert answer["of"] == of
        near(answer["value"], value)
        near(answer["gradients"][of], seed)
        later = list(values)[list(values).index(of) + 1 :]
        assert all(not answer["gradients"][n].any() for n in later), "what comes later cannot matter"
        both = ask("jacobian", source, at, of=of, wrt=list(values))
        for n in values:
            core = tuple(range(seed.ndim))
            near(answer["gradients"][n], np.tensordot(seed, both["jacobian"][of][n], (core, core)))


# ------------------------------------------------------------------------------------------------ what is answered


@pytest.mark.parametrize("verb", ["evaluate", "jvp", "vjp", "grad", "jacobian", "hessian", "hvp", "trace"])
@pytest.mark.parametrize(("of", "pointer"), [("yy", "/of"), (("yy",), "/of/0")])
def test_of_must_name_a_node(verb: str, of: Any, pointer: str) -> None:
    with pytest.raises(UnknownNode) as one:
        ask(verb, "y = sin(x)", {"x": 1.0}, of=of)
    assert one.value.where is not None
    assert (one.value.where.pointer, one.value.suggestions) == (pointer, ("y",))


def test_evaluate() -> None:
    answer = ask("evaluate", "r = A @ x - b\nsum(r**2), r", {"A": [[1, 2], [3, 4]], "x": [1, 1], "b": [1, 0]})
    assert list(answer["values"]) == ["A", "x", "b", "t1", "r", "t2", "t3"]
    assert answer["output_ids"] == ["t3", "r"]
    assert list(answer["outputs"]) == ["t3", "r"]
    near(answer["values"]["t1"], [3.0, 7.0])
    near(answer["outputs"], {"t3": 53.0, "r": [2.0, 7.0]})
    assert "gradients" not in answer
    assert "of" not in answer


def test_fields_of_each_answer() -> None:
    source, at = PROGRAMS["product"]
    common = {"output_ids", "outputs", "graph_id", "warnings"}
    fields = {
        "evaluate": common | {"values"},
        "grad": common | {"of", "value", "values", "gradients", "mode"},
        "jvp": common | {"values", "output_tangents", "node_tangents", "mode"},
        "vjp": common | {"values", "gradients", "mode"},
        "jacobian": common | {"of", "jacobian", "mode", "passes"},
        "hessian": (common - {"outputs"}) | {"of", "value", "gradients", "hessian", "mode", "passes"},
        "hvp": (common - {"outputs"}) | {"of", "value", "gradients", "hvp"},
        "trace": common | {"of", "forward", "reverse"},
    }
    for verb, expected in fields.items():
        assert expected <= set(ask(verb, source, at)), verb


@pytest.mark.parametrize("verb", ["evaluate", "grad", "jvp", "vjp"])
def test_nodes_selects_what_is_reported(verb: str) -> None:
    text, at = "a = x * y\nb = exp(a + y)\nsin(b), a", {"x": 0.2, "y": 0.3}
    every = ask(verb, text, at)
    assert list(every["values"]) == ["x", "y", "a", "t1", "b", "t2"]
    named = ask(verb, text, at, nodes="named")
    assert list(named["values"]) == ["x", "y", "a", "b", "t2"]
    wrt = ask(verb, text, at, nodes="none", wrt=["t1"])
    assert list(wrt["values"]) == ["a", "t1", "t2"]
    if verb in ("grad", "vjp"):
        assert list(every["gradients"]) == list(every["values"])
        assert list(named["gradients"]) == list(named["values"])
        assert list(wrt["gradients"]) == ["t1"]
    if verb == "jvp":
        assert list(every["node_tangents"]) == list(every["values"])
    for n, v in named["values"].items():
        near(v, every["values"][n], 0, 0)


def test_nodes_none_without_wrt_keeps_the_inputs() -> None:
    answer = ask("grad", "a = x * y\nexp(a)", {"x": 0.2, "y": 0.3}, nodes="none")
    assert set(answer["gradients"]) == {"x", "y", "t1"}
    assert set(answer["values"]) == {"x", "y", "t1"}


def test_default_of_is_the_first_output() -> None:
    text = "a = x * y\nb = x + y\na, b"
    assert ask("grad", text, {"x": 2, "y": 3})["of"] == "a"
    assert ask("grad", text, {"x": 2, "y": 3}, of="b")["gradients"] == {"x": 1, "y": 1, "a": 0, "b": 1}
    assert ask("hessian", text, {"x": 2, "y": 3})["hessian"]["x"]["y"] == 1
    assert set(ask("jacobian", text, {"x": 2, "y": 3})["jacobian"]) == {"a", "b"}


def test_equal_subexpressions_keep_their_own_gradients() -> None:
    # Both factors are x*y; computed once or twice, each has the gradient of its own place.
    answer = ask("grad", "(x*y) * sin(x*y)", {"x": 0.5, "y": 0.6})
    v = 0.3
    near(answer["gradients"]["t1"], np.sin(v))
    near(answer["gradients"]["t2"], v * np.cos(v))
    # x + 1 and x share a tangent; a global linearization would give ∂f/∂(x+1) = 7.
    answer = ask("grad", "(x + 1) * x", {"x": 3})
    assert answer["gradients"] == {"x": 7, "t1": 3, "t2": 1}
    for mode in MODES:
        blocks = ask("jacobian", "(x + 1) * x", {"x": 3}, wrt=["t1", "x"], mode=mode)["jacobian"]["t2"]
        assert blocks == {"t1": 3, "x": 7}


def test_identity_nodes_have_their_own_gradients() -> None:
    answer = ask("grad", "y = x\ny * x", {"x": 3})
    assert answer["gradients"] == {"x": 6, "y": 3, "t1": 1}
    for mode in MODES:
        second = ask("hessian", "y = x\ny * x", {"x": 3}, wrt=["x", "y"], mode=mode)["hessian"]
        assert second == {"x": {"x": 2, "y": 1}, "y": {"x": 1, "y": 0}}


def test_a_constant_node_has_a_gradient() -> None:
    answer = ask("grad", "k = 3\nk * x", {"x": 2})
    assert answer["gradients"] == {"k": 2, "x": 3, "t1": 1}
    assert ask("hessian", "k = 3\nk * x", {"x": 2}, wrt=["k", "x"])["hessian"]["k"]["x"] == 1


def test_several_of_in_jacobian() -> None:
    text, at = "a = x * y\nb = sum(a)\nc = b * y\nc, a", {"x": [1, 2, 3], "y": 0.5}
    for mode in MODES:
        answer = ask("jacobian", text, at, mode=mode)
        assert answer["of"] == ["c", "a"]
        near(answer["jacobian"]["a"], {"x": np.eye(3) * 0.5, "y": [1.0, 2.0, 3.0]})
        near(answer["jacobian"]["c"], {"x": np.full(3, 0.25), "y": 6.0})
        some = ask("jacobian", text, at, of=["b", "a"], wrt=["a"], mode=mode)
        near(some["jacobian"], {"b": {"a": np.ones(3)}, "a": {"a": np.eye(3)}})


def test_auto_counts_passes() -> None:
    wide = ask("jacobian", "sum(x * x)", {"x": [1, 2, 3]})
    assert (wide["mode"], wide["passes"]) == ("reverse", 1)
    tall = ask("jacobian", "x * [1, 2, 3]", {"x": 2})
    assert (tall["mode"], tall["passes"]) == ("forward", 1)
    square = ask("jacobian", "x * x", {"x": [1, 2, 3]})
    assert (square["mode"], square["passes"]) == ("reverse", 3)
    assert ask("jacobian", "x * x", {"x": [1, 2, 3]}, mode="forward")["passes"] == 3
    assert ask("grad", "x * x", {"x": 2})["mode"] == "reverse"
    assert ask("grad", "x * x", {"x": 2}, mode="forward")["mode"] == "forward"


SHAPES = {
    "0-d by 0-d": ("x * y", {"x": 2, "y": 3}),
    "1-d by 1-d": ("exp(x)", {"x": [1, 2, 3]}),
    "2-d by 1-d": ("outer(x, x)", {"x": [1, 2, 3]}),
    "1-d by 2-d": ("A @ x", {"A": [[1, 2], [3, 4]], "x": [5, 6]}),
    "0-d by 3-d": ("sum(x * x)", {"x": np.ones((2, 1, 3))}),
    "no entries": ("exp(x)", {"x": np.zeros(0)}),
    "no entries in one axis": ("x @ y", {"x": np.zeros((2, 0)), "y": np.zeros((0, 3))}),
    "sum of nothing": ("sum(x) * y", {"x": np.zeros((0, 2)), "y": 3}),
}


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("mode", MODES)
def test_shapes_of_blocks(name: str, mode: str) -> None:
    text, at = SHAPES[name]
    answer = ask("jacobian", text, at, mode=mode)
    for out, row in answer["jacobian"].items():
        for n, block in row.items():
            assert block.shape == answer["outputs"][out].shape + np.shape(at[n])
            f, x = perturbed(text, at, n, out)
            near(block, difference(f, x), 1e-8, 1e-9)
    scalar = f"sum({text})"
    second = ask("hessian", scalar, at, mode=mode)
    for a, b in product(at, at):
        assert second["hessian"][a][b].shape == np.shape(at[a]) + np.shape(at[b])


def test_nothing_to_differentiate_by() -> None:
    for verb, field in [("jacobian", "jacobian"), ("hessian", "hessian"), ("hvp", "hvp")]:
        answer = ask(verb, "sum([1, 2])", {})
        assert answer[field] in ({}, {"t1": {}})
    assert ask("grad", "t = sum([1, 2])", {}, mode="forward")["gradients"] == {}


# ------------------------------------------------------------------------------------------------------------ seeds


def test_seeds() -> None:
    at = {"x": [1, 2, 3]}
    near(ask("grad", "x * x", at, seed=[1, 0, -1])["gradients"]["x"], [2.0, 0.0, -6.0])
    assert ask("grad", "sum(x * x)", at, seed=0.5)["gradients"]["t2"] == 0.5
    near(ask("hessian", "x * x", at, seed=[1, 0, -1])["hessian"]["x"]["x"], np.diag([2.0, 0.0, -2.0]))
    near(ask("hvp", "x * x", at, seed=[1, 0, -1], vector={"x": [1, 1, 1]})["hvp"]["x"], [2.0, 0.0, -2.0])
    assert not ask("jvp", "x * x", at)["output_tangents"]["t1"].any(), "absent tangents are zero"
    assert not ask("vjp", "x * x", at)["gradients"]["x"].any(), "absent cotangents are zero"
    assert not ask("hvp", "sum(x * x)", at)["hvp"]["x"].any(), "an absent vector is zero"


WRONG_SEEDS = {
    "seed": ("grad", {"seed": [1, 2]}, "/seed"),
    "scalar seed": ("hessian", {"seed": 1}, "/seed"),
    "tangents": ("jvp", {"tangents": {"x": 1}}, "/tangents/x"),
    "cotangents": ("vjp", {"cotangents": {"y": [1, 2]}}, "/cotangents/y"),
    "vector": ("hvp", {"seed": [1, 1, 1], "vector": {"x": [[1, 2, 3]]}}, "/vector/x"),
}


@pytest.mark.parametrize("name", WRONG_SEEDS)
def test_seeds_have_exactly_the_shape_of_what_they_belong_to(name: str) -> None:
    verb, fields, pointer = WRONG_SEEDS[name]
    with pytest.raises(ShapeMismatch) as caught:
        ask(verb, "y = x * x", {"x": [1, 2, 3]}, **fields)
    assert caught.value.where is not None
    assert caught.value.where.pointer == pointer
    assert "[3]" in caught.value.detail


@pytest.mark.parametrize("verb", ["grad", "hessian", "hvp"])
def test_an_array_needs_a_seed(verb: str) -> None:
    for mode in MODES:
        with pytest.raises(NonScalarOutput) as caught:
            ask(verb, "y = x * x", {"x": [1, 2, 3]}, mode=mode)
        assert caught.value.where is not None
        assert caught.value.where.pointer == "/seed"
        assert "[3]" in caught.value.detail


def test_a_shape_of_ones_is_no_scalar() -> None:
    with pytest.raises(NonScalarOutput):
        ask("grad", "x * x", {"x": [2]})


def test_cotangents_belong_to_outputs() -> None:
    answer = ask("vjp", "a = x * y\nb = a + x\nb, a", {"x": 2, "y": 3}, cotangents={"a": 10, "b": 1})
    assert answer["gradients"] == {"x": 34, "y": 22, "a": 11, "b": 1}
    with pytest.raises(NotDifferentiable) as caught:
        ask("vjp", "a = x * y\nb = a + x\nb", {"x": 2, "y": 3}, cotangents={"a": 10})
    assert caught.value.where is not None
    assert caught.value.where.pointer == "/cotangents/a"


def test_tangents_of_several_nodes_add_up() -> None:
    at = {"x": 2.0, "y": 3.0}
    answer = ask("jvp", "p = x * y\nq = p * x", at, tangents={"x": 1.0, "p": 0.5})
    assert answer["node_tangents"] == {"x": 1, "y": 0, "p": 3.5, "q": 13}
    assert answer["output_tangents"] == {"q": 13}


# ------------------------------------------------------------------------------------------- integers and booleans


def test_integers_and_booleans_have_no_gradient() -> None:
    text, at = "m = x > 0\ni = k + 1\ny = where(m, x, 0)\ny[i]", {"x": [1.5, -2, 3], "k": 1}
    answer = ask("grad", text, at)
    assert set(answer["values"]) == {"x", "m", "k", "i", "y", "t1"}
    assert set(answer["gradients"]) == {"x", "y", "t1"}
    assert answer["values"]["i"].dtype == np.int64
    assert answer["values"]["m"].dtype == np.bool_
    for name, verb in product(("m", "i", "k"), ("grad", "jacobian", "hessian", "hvp")):
        with pytest.raises(NotDifferentiable) as caught:
            ask(verb, text, at, wrt=["x", name])
        assert caught.value.where is not None
        assert caught.value.where.pointer == "/wrt/1"
        assert caught.value.node == name
        with pytest.raises(NotDifferentiable):
            ask(verb, text, at, of=name)
    with pytest.raises(NotDifferentiable):
        ask("jvp", text, at, tangents={"k": 1})


def test_wrt_collects_its_mistakes() -> None:
    with pytest.raises(Mistakes) as caught:
        ask("grad", "exp(x)", {"x": 1}, wrt=["y", "x", "zz"])
    assert [e.where.pointer for e in caught.value.errors if e.where] == ["/wrt/0", "/wrt/2"]
    with pytest.raises(UnknownNode) as one:
        ask("grad", "exp(alpha)", {"alpha": 1}, of="alpa")
    assert one.value.suggestions == ("alpha",)
    for verb in ("grad", "jacobian", "hessian"):
        with pytest.raises(InvalidField):
            ask(verb, "exp(x)", {"x": 1}, wrt=["x", "x"])
        with pytest.raises(InvalidField):
            ask(verb, "exp(x)", {"x": 1}, wrt=[])
    with pytest.raises(InvalidField):
        ask("jacobian", "exp(x)", {"x": 1}, of=["t1", "t1"])


INTEGER = {
    "index": ("x[k]", {"k": 1}, "k"),
    "slice": ("sum(x[k:])", {"k": 1}, "k"),
    "through arithmetic": ("x[(2*k + 1) // 2 % 3 - 0]", {"k": 1}, "k"),
    "through shapes": ("take(x, reshape(k, (2, 1)))", {"k": [0, 2]}, "k"),
    "take": ("take(x, k)", {"k": [0, 2]}, "k"),
    "loop count": ("k2 = k - 1\nsum(x[:k2])", {"k": 2}, "k"),
}


@pytest.mark.parametrize("name", INTEGER)
def test_inputs_written_in_integers_that_reach_index_positions(name: str) -> None:
    text, at, integer = INTEGER[name]
    answer = ask("vjp", text, {"x": [1.5, 2.5, 3.5], **at})
    assert answer["values"][integer].dtype == np.int64
    assert integer not in answer["gradients"]
    # Written with a point it is a float, and cannot be an index.
    floats = {integer: np.asarray(at[integer], float).tolist()}
    with pytest.raises(EngineError):
        ask("evaluate", text, {"x": [1.5, 2.5, 3.5], **floats})


def test_integers_elsewhere_are_floats() -> None:
    answer = ask("grad", "x * y", {"x": 3, "y": 2.0})
    assert answer["values"]["x"].dtype == np.float64
    assert answer["gradients"]["x"] == 2
    # An index that is computed in floating point is none.
    with pytest.raises(EngineError):
        ask("evaluate", "x[k / 2]", {"x": [1.0, 2.0], "k": 2})


@pytest.mark.parametrize("verb", sorted(MAPPED))
def test_single_precision(verb: str) -> None:
    source, at = PROGRAMS["least squares"]
    fields: dict[str, Any] = {"dtype": "float32"}
    if verb == "jvp":
        fields["tangents"] = {"x": [1, 2]}
    if verb == "vjp":
        fields["cotangents"] = {"r": [1, 2, 3]}
    if verb == "hvp":
        fields["vector"] = {"x": [1, 2]}
    answer = ask(verb, source, at, **fields)
    del fields["dtype"]
    double = ask(verb, source, at, **fields)

    def compare(single: Any, full: Any) -> None:
        if isinstance(full, Mapping):
            assert single.keys() == full.keys()
            for key in full:
                compare(single[key], full[key])
        elif isinstance(full, np.ndarray):
            assert single.dtype == np.float32
            near(single, full, 1e-5, 1e-5)

    compare(answer, double)
    for mode in MODES:
        assert (
            ask("hessian", "sum(exp(x))", {"x": [1, 2]}, dtype="float32", mode=mode)["hessian"]["x"][
                "x"
            ].dtype
            == np.float32
        )


def test_single_precision_in_control_flow() -> None:
    for source, at in (PROGRAMS["scan"], PROGRAMS["cond"], PROGRAMS["fori_loop"]):
        single = ask("grad", source, at, dtype="float32")
        double = ask("grad", source, at)
        for n, g in double["gradients"].items():
            assert single["gradients"][n].dtype == np.float32
            near(single["gradients"][n], g, 1e-4, 1e-5)


# ---------------------------------------------------------------------------------------------------------- sweeps


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("chunk", [1, 700, 2000])
def test_sweeps_in_chunks(mode: str, chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    source, at = PROGRAMS["least squares"]
    whole = {v: ask(v, source, at, mode=mode) for v in ("jacobian", "hessian")}
    batch = {"A": 0, "b": 0}
    mapped = ask("jacobian", source, at, mode=mode, in_axes=batch, of="r")["jacobian"]
    monkeypatch.setattr(engine.derive.sweep, "CHUNK_BYTES", chunk)
    for verb, expected in whole.items():
        near(ask(verb, source, at, mode=mode)[verb], expected[verb], 1e-14, 1e-14)
    near(ask("jacobian", source, at, mode=mode, in_axes=batch, of="r")["jacobian"], mapped, 1e-14, 1e-14)


# ---------------------------------------------------------------------------------------------------------- in_axes

BATCH_TEXT = "h = tanh(A @ x + b)\ns = h * c\nsum(s * s), h"
BATCH_AT = {
    "A": weights((2, 3, 2)),
    "x": weights((2, 3)) * 0.5,
    "b": weights((2,)),
    "c": np.asarray(0.7),
}
"""Core shapes are A [2, 2], x [2], b [2], c []; the mapped axis has size 3."""

MAPS: dict[str, tuple[dict[str, Any], Any]] = {
    "positive axes": (BATCH_AT, {"A": 1, "x": 1}),
    "negative axes": (BATCH_AT, {"A": -2, "x": -1}),
    "one input": (BATCH_AT | {"A": weights((2, 2))}, {"x": 1}),
    "scalars": (BATCH_AT | {"A": weights((2, 2)), "x": weights((2,)), "c": weights((4,))}, {"c": 0}),
    "nested": (
        BATCH_AT | {"A": weights((2, 3, 2, 2)), "c": weights((2,))},
        [{"A": 2, "c": 0}, {"A": 1, "x": 1}],
    ),
    "a level of its own": (
        BATCH_AT | {"A": weights((2, 2)), "x": weights((2, 2, 3)), "b": weights((3, 2))},
        [{"x": 2}, {"b": 0}, {"x": 0}],
    ),
    "one member": (BATCH_AT | {"A": weights((2, 2)), "x": weights((1, 2))}, {"x": 0}),
}

FIELDS: dict[str, dict[str, Any]] = {
    "evaluate": {},
    "grad": {},
    "grad forward": {"mode": "forward"},
    "grad of an array": {"of": "h", "seed": [1.0, -0.5]},
    "grad by intermediates": {"wrt": ["h", "x", "s"]},
    "grad forward by intermediates": {"wrt": ["h", "x", "s"], "mode": "forward"},
    "jvp": {"tangents": ("A", "c")},
    "jvp of intermediates": {"tangents": ("A", "h")},
    "vjp": {"cotangents": {"h": [1.0, 2.0]}},
    "jacobian": {},
    "jacobian forward": {"mode": "forward", "wrt": ["h", "c"]},
    "jacobian reverse": {"mode": "reverse", "of": ["h", "s"], "wrt": ["x", "b", "h"]},
    "hessian": {"wrt": ["x", "c"]},
    "hessian forward": {"wrt": ["x", "h"], "mode": "forward"},
    "hessian reverse": {"wrt": ["x", "h"], "mode": "reverse"},
    "hvp": {"vector": ("x", "c")},
    "hvp of intermediates": {"vector": ("h", "A"), "wrt": ["h", "b"]},
}


def looped(
    verb: str, source: Any, at: Mapping[str, Any], in_axes: Sequence[Mapping[str, int]], **fields: Any
) -> Answer:
    """What `in_axes` means: a loop over the members of the outermost map, and so on inside."""
    if not in_axes:
        return ask(verb, source, at, **fields)
    outer, inner = in_axes[0], in_axes[1:]
    (size,) = {np.shape(at[n])[axis] for n, axis in outer.items()}
    members = []
    for k in range(size):

        def member(values: Mapping[str, Any], k: int = k) -> dict[str, Any]:
            return {n: _taken(v, k, outer[n]) if n in outer else v for n, v in values.items()}

        own = {f: member(v) if f in ("tangents", "vector") else v for f, v in fields.items()}
        members.append(looped(verb, source, member(at), inner, **own))
    return stacked(members)


def _taken(value: Any, k: int, axis: int) -> Any:
    """Member k of a mapped value; a list stays one, so that integers stay plain numbers."""
    member = np.take(value, k, axis)
    return member if isinstance(value, np.ndarray) else member.tolist()


def stacked(answers: Sequence[Any]) -> Any:
    """Arrays of all answers with a leading axis; other fields of the first."""
    first = answers[0]
    if isinstance(first, Mapping):
        return {key: stacked([a[key] for a in answers]) for key in first}
    return np.stack(answers) if isinstance(first, np.ndarray) else first


def equal_answers(got: Any, expected: Any, where: str = "") -> None:
    """Assert that two answers have the same fields and nearly the same arrays."""
    if isinstance(expected, Mapping):
        assert set(got) == set(expected), where
        for key in expected:
            if key != "warnings":
                equal_answers(got[key], expected[key], f"{where}/{key}")
    elif isinstance(expected, np.ndarray):
        assert got.shape == expected.shape, where
        np.testing.assert_allclose(got, expected, 1e-11, 1e-12, err_msg=where)
    else:
        assert got == expected, where


@pytest.mark.parametrize("name", MAPS)
@pytest.mark.parametrize("case", FIELDS)
def test_in_axes_is_a_loop(name: str, case: str) -> None:
    at, maps = MAPS[name]
    fields = dict(FIELDS[case])
    verb = case.split()[0]
    listed = [maps] if isinstance(maps, dict) else maps
    cores = {"A": (2, 2), "x": (2,), "b": (2,), "c": (), "h": (2,)}
    for field in ("tangents", "vector"):
        if field in fields:
            fields[field] = {
                n: weights(np.shape(at[n]) if n in at else cores[n]) + 0.1 for n in fields[field]
            }
    got = ask(verb, BATCH_TEXT, at, in_axes=maps, **fields)
    equal_answers(got, looped(verb, BATCH_TEXT, at, listed, **fields))


def test_seeds_for_each_member() -> None:
    (out, _) = program_of(BATCH_TEXT).output_ids
    at = BATCH_AT | {"A": weights((2, 2))}
    seeds, cotangents, deltas = weights((3, 2)), weights((3,)), weights((3, 2)) + 0.3
    got = ask("grad", BATCH_TEXT, at, of="h", seed=seeds, in_axes={"x": 1})
    back = ask("vjp", BATCH_TEXT, at, cotangents={out: cotangents}, in_axes={"x": 1})
    moved = ask("jvp", BATCH_TEXT, at, tangents={"h": deltas}, in_axes={"x": 1})
    forward = ask("grad", BATCH_TEXT, at, of="h", seed=seeds, in_axes={"x": 1}, mode="forward")
    second = ask("hessian", BATCH_TEXT, at, of="h", seed=seeds, in_axes={"x": 1}, wrt=["x"])
    product_ = ask(
        "hvp", BATCH_TEXT, at, of="h", seed=seeds, in_axes={"x": 1}, vector={"h": deltas}, wrt=["x", "h"]
    )
    for k in range(3):
        one = at | {"x": at["x"][:, k]}
        own = ask("grad", BATCH_TEXT, one, of="h", seed=seeds[k])
        near({n: g[k] for n, g in got["gradients"].items()}, own["gradients"])
        near({n: g[k] for n, g in forward["gradients"].items()}, {n: own["gradients"][n] for n in at})
        near(
            {n: g[k] for n, g in back["gradients"].items()},
            ask("vjp", BATCH_TEXT, one, cotangents={out: cotangents[k]})["gradients"],
        )
        near(
            {n: g[k] for n, g in moved["node_tangents"].items()},
            ask("jvp", BATCH_TEXT, one, tangents={"h": deltas[k]})["node_tangents"],
        )
        near(
            second["hessian"]["x"]["x"][k],
            ask("hessian", BATCH_TEXT, one, of="h", seed=seeds[k], wrt=["x"])["hessian"]["x"]["x"],
        )
        near(
            {n: g[k] for n, g in product_["hvp"].items()},
            ask("hvp", BATCH_TEXT, one, of="h", seed=seeds[k], vector={"h": deltas[k]}, wrt=["x", "h"])[
                "hvp"
            ],
        )


MAPPED_CONTROL = {
    "scan by carry": (RNN, RNN_AT | {"h": weights((3, 2))}, {"h": 0}),
    "scan by slices": (RNN, RNN_AT | {"xs": weights((3, 2, 2))}, {"xs": 1}),
    "scan by constant": (RNN, RNN_AT | {"W": weights((2, 2, 3))}, {"W": -1}),
    "scan by all": (
        RNN,
        {"h": weights((2, 3)), "xs": weights((2, 2, 3)), "W": weights((3, 2, 2))},
        {"h": 1, "xs": 2, "W": 0},
    ),
    "loop": (NEWTON, {"a": [2, 3, 0.5]}, {"a": 0}),
    "cond with a mapped condition": (CHOICE, {"x": [0.7, -0.3, 2.0], "y": 1.3}, {"x": 0}),
    "cond with a common condition": (CHOICE, {"x": 0.7, "y": [1.3, 2, -1]}, {"y": 0}),
    "indices": ("take(x, k) * x[0]", {"x": [1.5, 2.5, 3.5], "k": [[0, 1], [2, 2], [1, 0]]}, {"k": 0}),
    "indices and values": ("x[k] * sum(x)", {"x": weights((2, 4)), "k": [1, 3]}, {"x": 0, "k": 0}),
    "masks": ("where(x > y, x * y, exp(y))", {"x": [1, 2, 3], "y": [2, 2, 2.5]}, {"x": 0, "y": 0}),
    "results": ("a, b = split(x, 2)\nsum(a * exp(b))", {"x": weights((4, 3))}, {"x": 1}),
}


@pytest.mark.parametrize("name", MAPPED_CONTROL)
def test_in_axes_through_loops_conditions_and_indices(name: str) -> None:
    source, at, maps = MAPPED_CONTROL[name]
    listed = [maps]
    out = ask("evaluate", source, at, in_axes=maps)["outputs"]
    (of,) = out
    seed = weights(out[of].shape[1:])
    for verb, fields in [
        ("evaluate", {}),
        ("grad", {"seed": seed}),
        ("grad", {"seed": seed, "mode": "forward"}),
        ("jacobian", {}),
        ("hessian", {"seed": seed}),
        ("hessian", {"seed": seed, "mode": "reverse"}),
        ("hessian", {"seed": seed, "mode": "forward"}),
    ]:
        equal_answers(
            ask(verb, source, at, in_axes=maps, **fields), looped(verb, source, at, listed, **fields)
        )


@pytest.mark.parametrize("verb", sorted(MAPPED))
def test_a_map_over_nobody(verb: str) -> None:
    at = {"x": np.zeros((0, 2)), "y": 2.0}
    answer = ask(verb, "sum(x * x) * y", at, in_axes={"x": 0})
    if verb in ("evaluate", "grad", "jvp", "vjp", "jacobian"):
        assert answer["outputs"]["t3"].shape == (0,)
    if verb in ("grad", "vjp"):
        assert answer["gradients"]["x"].shape == (0, 2)
        assert answer["gradients"]["y"].shape == (0,)
    if verb == "hessian":
        assert answer["hessian"]["x"]["y"].shape == (0, 2)


WRONG_MAPS: dict[str, tuple[Any, type[EngineError], str]] = {
    "no such input": ({"z": 0}, UnknownInput, "/in_axes/z"),
    "no such axis": ({"x": 2}, InvalidField, "/in_axes/x"),
    "no such negative axis": ({"x": -3}, InvalidField, "/in_axes/x"),
    "a scalar": ({"c": 0}, InvalidField, "/in_axes/c"),
    "other sizes": ({"x": 0, "y": 0}, ShapeMismatch, "/in_axes/y"),
    "no input": ({}, InvalidField, "/in_axes"),
    "no input in a level": ([{"x": 0}, {}], InvalidField, "/in_axes/1"),
    "an axis that is gone": ([{"y": 0}, {"y": 0}], InvalidField, "/in_axes/1/y"),
    "too many": ([{"x": 0}] * 9, LimitExceeded, "/in_axes"),
}


@pytest.mark.parametrize("name", WRONG_MAPS)
@pytest.mark.parametrize("verb", sorted(MAPPED))
def test_wrong_maps(name: str, verb: str) -> None:
    maps, error, pointer = WRONG_MAPS[name]
    with pytest.raises(error) as caught:
        ask(verb, "sum(x * c) + sum(y)", {"x": np.ones((2, 3)), "y": [1, 2, 3], "c": 2}, in_axes=maps)
    assert caught.value.where is not None
    assert caught.value.where.pointer == pointer


def test_mapped_tangents_have_the_shape_of_their_input() -> None:
    at = {"x": np.ones((2, 3)), "y": 2.0}
    for verb, field in [("jvp", "tangents"), ("hvp", "vector")]:
        with pytest.raises(ShapeMismatch) as caught:
            ask(verb, "sum(x * y)", at, in_axes={"x": 1}, **{field: {"x": [1, 2]}})
        assert caught.value.where is not None
        assert caught.value.where.pointer == f"/{field}/x"
    with pytest.raises(Unsupported) as refused:
        ask("trace", "x * y", {"x": [1, 2], "y": 1}, in_axes={"x": 0})
    assert refused.value.where is not None
    assert refused.value.where.pointer == "/in_axes"


# --------------------------------------------------------------------------------------------------------- warnings


def test_the_first_value_that_is_not_finite() -> None:
    answer = ask("evaluate", "y = log(x)\nz = y * 2\nsum(z)", {"x": [0, 1, 0]})
    assert answer["warnings"] == [
        {
            "kind": "non-finite-value", "node": "y", "operand": "x", "index": [0], "count": 2,
            "detail": "log(x) at x = 0 is -Infinity",
        }
    ]  # fmt: skip
    assert answer["outputs"]["t1"] == -np.inf


def test_values_that_are_explained_by_their_operands_are_passed_over() -> None:
    warnings = ask("evaluate", "y = 1 / x\nz = y - y\nw = exp(z)", {"x": 0})["warnings"]
    assert [(w["node"], w["kind"]) for w in warnings] == [
        ("y", "non-finite-value"),
        ("z", "non-finite-value"),
    ]
    warnings = ask("evaluate", "y = x + 1", {"x": [1, "NaN", "Infinity"]})["warnings"]
    assert [(w["node"], w["index"], w["count"]) for w in warnings] == [("x", [1], 2)]
    assert ask("evaluate", "where(x > 0, log(x), 0)", {"x": 0})["outputs"] == {"t3": 0}


def test_gradients_that_are_not_finite() -> None:
    answer = ask("grad", "y = sqrt(x)\nsum(y * 3)", {"x": [4, 0]})
    near(answer["gradients"]["x"], [0.75, np.inf])
    (warning,) = answer["warnings"]
    assert warning["kind"] == "non-finite-gradient"
    assert (warning["node"], warning["operand"], warning["index"], warning["count"]) == ("y", "x", [1], 1)
    assert "sqrt" in warning["detail"]
    assert "Infinity" in warning["detail"]
    answer = ask("jvp", "y = sqrt(x)\nsum(y * 3)", {"x": [4, 0]}, tangents={"x": [1, 1]})
    assert [(w["kind"], w["node"], w["index"]) for w in answer["warnings"]] == [
        ("non-finite-tangent", "y", [1])
    ]
    assert ask("jvp", "y = sqrt(x)\nsum(y * 3)", {"x": [4, 0]}, tangents={"x": [1, 0]})["warnings"] == []


KINKS = {
    "relu": ("y = relu(x)", 0.0, 0.0),
    "abs": ("y = abs(x)", 0.0, 0.0),
    "maximum": ("y = maximum(x, 0)", 0.0, 0.5),
    "minimum": ("y = minimum(x, 0)", 0.0, 0.5),
    "clip": ("y = clip(x, 0, 1)", 0.0, 0.0),
}


@pytest.mark.parametrize("name", KINKS)
def test_kinks_are_told_with_their_convention(name: str) -> None:
    text, at, derivative = KINKS[name]
    answer = ask("grad", text, {"x": at})
    assert answer["gradients"]["x"] == derivative
    (warning,) = answer["warnings"]
    assert (warning["kind"], warning["node"], warning["index"], warning["count"]) == (
        "non-differentiable",
        "y",
        [],
        1,
    )
    assert warning["convention"]
    assert ask("grad", text, {"x": 0.3})["warnings"] == []
    assert ask("evaluate", text, {"x": at})["warnings"] == []
    # Where nothing flows back, no convention was used.
    assert ask("grad", f"{text}\nz = y * 0", {"x": at}, of="z")["warnings"] == []
    assert ask("grad", f"{text}\nz = where(x < -1, y, x)", {"x": at}, of="z")["warnings"] == []
    forward = ask("grad", f"{text}\nz = y * 2", {"x": at}, of="z", mode="forward")
    assert forward["gradients"]["x"] == 2 * derivative
    assert [(w["kind"], w["node"]) for w in forward["warnings"]] == [("non-differentiable", "y")]
    assert ask("grad", f"{text}\nz = y * 0", {"x": at}, of="z", mode="forward")["warnings"] == []


def test_kinks_of_arrays_count_where_the_cotangent_is_not_zero() -> None:
    answer = ask("grad", "relu(x)", {"x": [[0, 1, 0], [0, -1, 0]]}, seed=[[0, 1, 1], [1, 1, 0]])
    (warning,) = answer["warnings"]
    assert (warning["index"], warning["count"]) == ([0, 2], 2)
    moved = ask("jvp", "relu(x)", {"x": [0, 1, 0]}, tangents={"x": [0, 1, 0]})
    assert moved["warnings"] == []
    (warning,) = ask("jvp", "relu(x)", {"x": [0, 1, 0]}, tangents={"x": [0, 1, 1]})["warnings"]
    assert (warning["kind"], warning["node"], warning["index"], warning["count"]) == (
        "non-differentiable",
        "t1",
        [2],
        1,
    )


def test_at_most_so_many_warnings() -> None:
    text = "\n".join(f"y{k} = log(x * {k})" for k in range(30))
    assert len(ask("evaluate", text, {"x": 0})["warnings"]) == 20
    assert len(ask("evaluate", text, {"x": 0}, limits=Limits(warnings=3))["warnings"]) == 3


@pytest.mark.parametrize("verb", ["evaluate", "grad", "jacobian", "hessian", "hvp"])
def test_warnings_of_sweeps_and_maps(verb: str) -> None:
    for at, maps in (({"x": [[1, 2], [0, 3]]}, {"in_axes": {"x": 0}}), ({"x": [0, 3]}, {})):
        warnings = ask(verb, "sum(log(x))", at, **maps)["warnings"]
        assert warnings[0]["kind"] == "non-finite-value"
        if verb != "evaluate":
            found = [w["kind"] for w in ask(verb, "sum(sqrt(x))", at, **maps)["warnings"]]
            assert found[:1] == ["non-finite-gradient"]
            assert ask(verb, "sum(sqrt(x + 1))", at, **maps)["warnings"] == []
    forward = ask("grad", "sum(sqrt(x))", {"x": [0, 3]}, mode="forward")["warnings"]
    assert [(w["kind"], w["operand"], w["index"]) for w in forward] == [("non-finite-gradient", "x", [0])]


# -------------------------------------------------------------------------------------------------------- strong zeros


def second_derivatives(text: str, x: float) -> dict[str, float]:
    """f″ at x by all four pairs of the two walks."""
    typed = specialize(program_of(text), {"x": FLOAT64})

    def derived(g: Graph, mode: str) -> Graph:
        """x ↦ ∂(the output)/∂x, with the seed 1 filled in."""
        x, (out,) = g.inputs[0], g.outputs
        both = jvp_graph(g, [x], "float64") if mode == "forward" else vjp_graph(g, [out], [x], "float64")
        b = GraphBuilder("float64")
        return b.build(
            b.inline(both.with_outputs(both.outputs[1:]), [b.input(FLOAT64), b.constant(np.ones(()))])
        )

    results = {}
    for outer, inner in product(("forward", "reverse"), repeat=2):
        g = derived(derived(typed.graph, inner), outer)
        with np.errstate(all="ignore"):
            (result,) = EagerBuilder("float64").inline(g, [np.float64(x)])
        results[f"{outer} over {inner}"] = float(result)
    return results


CUT_OFF = {
    "sqrt at 0": ("where(x > 0, sqrt(x), 0)", 0.0),
    "sqrt of a negative number": ("where(x > 0, sqrt(x), 0)", -1.0),
    "log": ("where(x > 0, log(x), 0)", 0.0),
    "reciprocal": ("where(x != 0, 1 / x, 0)", 0.0),
    "power": ("where(x > 0, x**0.5, 0)", 0.0),
    "power by a variable": ("where(x > 0, x**(x + 1), 0)", 0.0),
    "inside": ("sqrt(where(x > 0, x, 1)) * where(x > 0, 1, 0)", 0.0),
    "relu in front": ("where(x > 0, sqrt(relu(x)), 0)", 0.0),
    "product of infinities": ("where(x > 0, log(x) * sqrt(x), 0)", 0.0),
    "cancelled": ("where(x > 0, sqrt(x) - sqrt(x), 0)", 0.0),
    "clip": ("clip(sqrt(x), 0.5, 1)", 0.0),
    "maximum": ("maximum(sqrt(x), 1)", 0.0),
    "twice": ("where(x > 0, where(x > 0, sqrt(x), 0)**0.5, 0)", 0.0),
}


@pytest.mark.parametrize("name", CUT_OFF)
def test_what_is_cut_off_contributes_nothing_to_second_order(name: str) -> None:
    text, x = CUT_OFF[name]
    for mode in MODES:
        assert ask("hessian", text, {"x": x}, mode=mode)["hessian"]["x"]["x"] == 0
        assert ask("jacobian", text, {"x": x}, mode=mode)["jacobian"].popitem()[1]["x"] == 0
    assert ask("grad", text, {"x": x})["gradients"]["x"] == 0
    assert ask("grad", text, {"x": x}, mode="forward")["gradients"]["x"] == 0
    assert ask("hvp", text, {"x": x}, vector={"x": 1})["hvp"]["x"] == 0
    assert second_derivatives(text, x) == dict.fromkeys(second_derivatives(text, x), 0.0)
    batch = ask("hessian", text, {"x": [x, x]}, in_axes={"x": 0})
    assert not batch["hessian"]["x"]["x"].any()


def test_a_strong_factor_stays_strong_in_the_derivative() -> None:
    # What derivatives are written with: the cotangent of b is f̄·a, in which a is as strong as it was.
    source = graph("a b", [("f", "multiply", ["a", "b"], {"strong": [0]})], "f")
    inf = np.float64(np.inf)
    answer = ask("grad", source, {"a": 0, "b": inf}, seed=inf)
    assert (answer["value"], answer["gradients"]["a"], answer["gradients"]["b"]) == (0, inf, 0)
    assert ask("jvp", source, {"a": 0, "b": inf}, tangents={"b": inf})["output_tangents"]["f"] == 0
    mapped = ask("grad", source, {"a": [0, 0], "b": inf}, seed=inf, in_axes={"a": 0})
    assert not mapped["gradients"]["b"].any()
    weak = {"nodes": [n | {"attrs": {}} if n["id"] == "f" else n for n in source["nodes"]], "outputs": ["f"]}
    assert np.isnan(ask("grad", weak, {"a": 0, "b": inf}, seed=inf)["gradients"]["b"])


def test_a_zero_partial_is_not_strong() -> None:
    answer = ask("grad", "log(x * y)", {"x": 2.0, "y": 0.0})
    assert np.isnan(answer["gradients"]["x"])
    # Forward, the tangent of x * y is 0 before log is reached, and a zero tangent is strong.
    assert ask("grad", "log(x * y)", {"x": 2.0, "y": 0.0}, mode="forward")["gradients"]["x"] == 0
    # Nor is a zero that the user's own product meets.
    assert np.isnan(ask("evaluate", "0 * log(x)", {"x": 0})["outputs"]["t2"])


@pytest.mark.parametrize("x", [0.0, 0.7, -1.3])
def test_the_four_pairs_agree(x: float) -> None:
    for text, expected in [
        ("sin(x) * exp(x)", 2 * np.cos(x) * np.exp(x)),
        ("x**3 + x**2", 6 * x + 2),
        ("x**2", 2.0),
        ("x * relu(x)", 2.0 * (x > 0)),
    ]:
        for pair, value in second_derivatives(text, x).items():
            assert value == pytest.approx(expected, rel=1e-14, abs=1e-15), pair


# -------------------------------------------------------------------------------------------------------------- loops


@pytest.mark.parametrize("mode", MODES)
def test_scan_equals_its_unrolled_steps(mode: str) -> None:
    for verb, fields in [("grad", {"wrt": list(RNN_AT)}), ("jacobian", {}), ("hessian", {})]:
        got = ask(verb, RNN, RNN_AT, mode=mode, of="f", **fields)
        expected = ask(verb, RNN_UNROLLED, RNN_AT, mode=mode, of="f", **fields)
        for field in ("value", "gradients", "jacobian", "hessian"):
            if field in expected:
                near(got[field], expected[field], 1e-11, 1e-12)


@pytest.mark.parametrize("mode", MODES)
def test_loop_with_a_closed_form(mode: str) -> None:
    # Newton's iteration has reached √a, and with it the derivatives of √a.
    near(ask("grad", NEWTON, {"a": 2.0}, mode=mode)["gradients"]["a"], 0.5 / np.sqrt(2), 1e-14)
    near(ask("hessian", NEWTON, {"a": 2.0}, mode=mode)["hessian"]["a"]["a"], -0.25 * 2**-1.5, 1e-13)


def counted(start: Any, stop: Any) -> dict[str, Any]:
    """x·(start)·(start+1)·…·(stop−1), with the integer counter as a factor."""
    inner = body(["i", "y"], [("n", "multiply", ["y", "i"])], ["n"])
    return graph(
        "x", [("r", "fori_loop", ["x"], {"start": start, "stop": stop, "carry": 1, "body": inner})], "r"
    )


def test_counters_are_integers_in_the_body() -> None:
    answer = ask("grad", counted(2, 6), {"x": 1.5})
    assert answer["outputs"]["r"] == 1.5 * 120
    assert answer["gradients"]["x"] == 120
    taken = graph(
        "x s",
        [("r", "fori_loop", ["s", "x"], {"stop": 3, "carry": 1, "body": body(
            ["i", "s", "x"], [("v", "take", ["x", "i"]), ("q", "square", ["v"]), ("n", "add", ["s", "q"])], ["n"])})],
        "r",
    )  # fmt: skip
    near(ask("grad", taken, {"x": [1, 2, 3], "s": 0})["gradients"]["x"], [2.0, 4.0, 6.0])
    for mode in MODES:
        near(
            ask("hessian", taken, {"x": [1, 2, 3], "s": 0}, wrt=["x"], mode=mode)["hessian"]["x"]["x"],
            2 * np.eye(3),
        )


@pytest.mark.parametrize("verb", ["evaluate", "grad", "jacobian", "hessian"])
def test_loops_that_never_run(verb: str) -> None:
    for stop in (2, 0):
        answer = ask(verb, counted(2, stop), {"x": 1.5})
        if verb == "grad":
            assert answer["gradients"] == {"x": 1, "r": 1}
        if verb == "hessian":
            assert answer["hessian"] == {"x": {"x": 0}}
    answer = ask(verb, RNN, RNN_AT | {"xs": np.zeros((0, 2))})
    if verb == "grad":
        # The product of no factors is 1, so f is the sum of the carry.
        near(answer["gradients"]["h"], [1.0, 1.0])
        assert answer["gradients"]["xs"].shape == (0, 2)
        near(answer["gradients"]["W"], np.zeros((2, 2)))


def test_integer_carries() -> None:
    # The counter is a carry here, and stays an integer; the sum is Σ (k+1)·x_k.
    inner = body(
        ["k", "s", "x"],
        [("k1", "add", ["k", 1]), ("p", "multiply", ["k1", "x"]), ("s1", "add", ["s", "p"])],
        ["k1", "s1", "k1"],
    )
    source = graph(
        "x",
        [
            ("zero", "astype", [0.0], {"dtype": "int"}),
            ("r", "scan", ["zero", 0.0, "x"], {"carry": 2, "body": inner}),
            ("k", "item", ["r"], {"index": 0}),
            ("s", "item", ["r"], {"index": 1}),
            ("ks", "item", ["r"], {"index": 2}),
            ("f", "square", ["s"]),
        ],
        "f",
        "k",
        "ks",
    )
    at = {"x": [0.5, 1.5, -1.0]}
    answer = ask("grad", source, at)
    assert answer["values"]["k"].dtype == np.int64
    assert answer["values"]["ks"].tolist() == [1, 2, 3]
    weights_ = np.array([1.0, 2.0, 3.0])
    s = weights_ @ at["x"]
    near(answer["gradients"]["x"], 2 * s * weights_)
    assert set(answer["gradients"]) == {"x", "s", "f"}
    for mode in MODES:
        near(ask("grad", source, at, mode=mode)["gradients"]["x"], 2 * s * weights_)
        near(ask("hessian", source, at, mode=mode)["hessian"]["x"]["x"], 2 * np.outer(weights_, weights_))
    moved = ask("jvp", source, at, tangents={"x": [1, 1, 1]})
    assert set(moved["output_tangents"]) == {"f"}
    mapped = ask("grad", source, {"x": weights((3, 4))}, in_axes={"x": 1})
    assert mapped["values"]["ks"].shape == (4, 3)


def test_reverse_scan() -> None:
    attrs = {"carry": 1, "body": RNN_STEP, "reverse": True}
    document = {
        **RNN,
        "nodes": [n if n["id"] != "r" else node("r", "scan", ["h", "xs", "W"], attrs) for n in RNN["nodes"]],
    }
    flipped = RNN_AT | {"xs": RNN_AT["xs"][::-1]}
    near(
        ask("evaluate", document, RNN_AT)["values"]["ys"],
        ask("evaluate", RNN, flipped)["values"]["ys"][::-1],
    )
    for mode in MODES:
        got = ask("hessian", document, RNN_AT, mode=mode)
        expected = ask("hessian", RNN, flipped, mode=mode)
        near(got["gradients"]["xs"], expected["gradients"]["xs"][::-1])
        near(got["hessian"]["xs"]["W"], expected["hessian"]["xs"]["W"][::-1])
        near(got["hessian"]["W"]["W"], expected["hessian"]["W"]["W"])


@pytest.mark.parametrize("mode", MODES)
def test_scan_in_scan(mode: str) -> None:
    # Rows outside, entries inside: s ← s·m + sin(m) over all entries, in C order.
    inner = body(
        ["s", "m"], [("p", "multiply", ["s", "m"]), ("q", "sin", ["m"]), ("n", "add", ["p", "q"])], ["n"]
    )
    outer = body(["s", "row"], [("t", "scan", ["s", "row"], {"carry": 1, "body": inner})], ["t"])
    source = graph("s m", [("f", "scan", ["s", "m"], {"carry": 1, "body": outer})], "f")
    at = {"s": 0.4, "m": [[0.5, 1.2, -0.3], [0.7, 0.9, 1.1]]}
    entries = [f"m[{i}, {j}]" for i in range(2) for j in range(3)]
    unrolled = "f = s\n" + "\n".join(f"f = f * {e} + sin({e})" for e in entries)
    for verb in ("grad", "jacobian", "hessian"):
        fields: dict[str, Any] = {"wrt": ["s", "m"]} if verb == "grad" else {}
        got, expected = (ask(verb, p, at, mode=mode, of="f", **fields) for p in (source, unrolled))
        for field in ("gradients", "jacobian", "hessian"):
            if field in expected:
                near(got[field], expected[field], 1e-12, 1e-13)


@pytest.mark.parametrize("mode", MODES)
def test_cond_in_scan(mode: str) -> None:
    choose = (
        "c", "cond", ["m", "s", "x"],
        {"then": body(["s", "x"], [("r", "multiply", ["s", "x"])], ["r"]),
         "else": body(["s", "x"], [("e", "exp", ["x"]), ("r", "subtract", ["s", "e"])], ["r"])},
    )  # fmt: skip
    inner = body(["s", "x"], [("m", "greater", ["x", 0]), choose], ["c"])
    source = graph("s xs", [("f", "scan", ["s", "xs"], {"carry": 1, "body": inner})], "f")
    text = "a = s * xs[0]\nb = a - exp(xs[1])\nf = b * xs[2]"
    at = {"s": 0.4, "xs": [0.5, -1.2, 2.0]}
    for verb in ("jacobian", "hessian"):
        got, expected = (ask(verb, p, at, mode=mode, of="f") for p in (source, text))
        near(got[verb], expected[verb], 1e-13, 1e-14)
    batch = {"s": 0.4, "xs": np.array([[0.5, -1.2, 2.0], [-0.5, 1.2, -0.1]])}
    equal_answers(
        ask("hessian", source, batch, mode=mode, in_axes={"xs": 0}),
        looped("hessian", source, batch, [{"xs": 0}], mode=mode),
    )


@pytest.mark.parametrize("x", [0.7, -0.4])
@pytest.mark.parametrize("mode", MODES)
def test_only_the_branch_that_holds_is_differentiated(x: float, mode: str) -> None:
    y = 1.3
    e = np.exp(x)
    first, second = (3 * x * x * y, 6 * x * y) if x > 0 else ((1 + x) * e * y, (2 + x) * e * y)
    mixed = 3 * x * x if x > 0 else (1 + x) * e
    answer = ask("hessian", CHOICE, {"x": x, "y": y}, mode=mode)
    near(answer["gradients"]["x"], first)
    near(answer["hessian"]["x"], {"x": second, "y": mixed})
    near(answer["hessian"]["y"]["y"], 0.0)


def test_the_other_branch_is_not_computed() -> None:
    source = graph(
        "x",
        [
            ("m", "greater", ["x", 0]),
            ("f", "cond", ["m", "x"], {
                "then": body(["x"], [("r", "log", ["x"])], ["r"]), "else": body(["x"], [("z", "multiply", ["x", 0])], ["z"])}),
        ],
        "f",
    )  # fmt: skip
    for mode in MODES:
        for x in (0.0, -1.0):
            answer = ask("hessian", source, {"x": x}, mode=mode)
            assert answer["hessian"]["x"]["x"] == 0
            assert answer["warnings"] == []
    batch = ask("hessian", source, {"x": [2.0, 0.0, -1.0]}, in_axes={"x": 0})
    near(batch["gradients"]["x"], [0.5, 0.0, 0.0])
    near(batch["hessian"]["x"]["x"], [-0.25, 0.0, 0.0])


def test_integer_inputs_reach_positions_inside_bodies() -> None:
    inner = body(
        ["i", "s", "x", "k"],
        [("j", "add", ["i", "k"]), ("v", "take", ["x", "j"]), ("n", "add", ["s", "v"])],
        ["n"],
    )
    source = graph(
        "x k s", [("r", "fori_loop", ["s", "x", "k"], {"stop": 2, "carry": 1, "body": inner})], "r"
    )
    answer = ask("grad", source, {"x": [1.0, 2.0, 4.0, 8.0], "k": 1, "s": 0})
    assert answer["outputs"]["r"] == 6
    assert answer["values"]["k"].dtype == np.int64
    assert answer["values"]["s"].dtype == np.float64
    near(answer["gradients"]["x"], [0.0, 1.0, 1.0, 0.0])


def test_loop_counts_from_inputs() -> None:
    inner = body(["i", "y"], [("n", "multiply", ["y", 2])], ["n"])
    source = graph(
        "x n", [("r", "fori_loop", ["x", "n"], {"stop": {"input": 1}, "carry": 1, "body": inner})], "r"
    )
    answer = ask("grad", source, {"x": 1.5, "n": 5})
    assert answer["gradients"]["x"] == 32
    assert answer["values"]["n"].dtype == np.int64


REFERENCES: dict[str, tuple[dict[str, Any], dict[str, Any], Any]] = {
    "in front of the carry": (
        graph("n x", [("r", "fori_loop", ["n", "x"], {"stop": {"input": 0}, "carry": 1, "body": {
            **SINE, "inputs": ["i", "x"]}})], "r"), {"n": 2, "x": 0.5}, np.sin(np.sin(0.5))),
    "length of a scan": (
        graph("x n", [("r", "scan", ["x", "n"], {"carry": 1, "scanned": 0, "length": {"input": 1}, "body": SINE})], "r"),
        {"n": 2, "x": 0.5}, np.sin(np.sin(0.5))),
    "the operand itself": (
        graph("k", [("r", "reshape", ["k"], {"shape": [{"input": 0}]})], "r"), {"k": 1}, np.array([1])),
    "a shape": (
        graph("x n", [("r", "reshape", ["x", "n"], {"shape": [{"input": 1}, -1]})], "r"),
        {"x": [1, 2, 3, 4], "n": 2}, np.array([[1, 2], [3, 4]])),
}  # fmt: skip


@pytest.mark.parametrize("name", REFERENCES)
def test_attributes_that_refer_to_operands(name: str) -> None:
    source, at, expected = REFERENCES[name]
    near(ask("evaluate", source, at)["outputs"]["r"], expected)
    if "x" in at:
        ask("hessian", source, at, seed=np.ones_like(expected))


FOUR = {"id": "n", "op": "constant", "value": 4.0}
PAIR = {"id": "r", "op": "constant", "value": [1.0, 2.0]}
CORNERS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "a carry that is replaced": (
        graph("x", [("r", "fori_loop", ["x"], {"stop": 3, "carry": 1, "body": {
            "inputs": ["i", "y"], "nodes": [FOUR], "outputs": ["n"]}}), ("f", "multiply", ["r", "x"])], "f"),
        {"x": 2.0}),
    "a carry that stays": (
        graph("x y", [("r", "fori_loop", ["x", "y"], {"stop": 3, "carry": 1, "body": body(["i", "c", "y"], [], ["c"])}),
                      ("f", "multiply", ["r", "y"])], "f"),
        {"x": 2.0, "y": 3.0}),
    "a constant that is carried on": (
        graph("x y", [("r", "fori_loop", ["x", "y"], {"stop": 3, "carry": 1, "body": body(["i", "c", "y"], [], ["y"])}),
                      ("f", "multiply", ["r", "y"])], "f"),
        {"x": 2.0, "y": 3.0}),
    "carries that change places": (
        graph("x y", [("r", "fori_loop", ["x", "y"], {"stop": 3, "carry": 2, "body": body(["i", "a", "b"], [], ["b", "a"])}),
                      ("p", "item", ["r"], {"index": 0}), ("q", "item", ["r"], {"index": 1}), ("s", "square", ["p"]),
                      ("f", "multiply", ["s", "q"])], "f"),
        {"x": 2.0, "y": 3.0}),
    "results that are returned twice": (
        graph("x", [("r", "scan", ["x"], {"carry": 1, "scanned": 0, "length": 3, "body": body(
            ["c"], [("n", "sin", ["c"])], ["n", "n", "c"])}), ("a", "item", ["r"], {"index": 0}),
            ("b", "item", ["r"], {"index": 1}), ("c", "item", ["r"], {"index": 2}), ("d", "multiply", ["b", "c"]),
            ("e", "sum", ["d"]), ("f", "multiply", ["e", "a"])], "f"),
        {"x": 2.0}),
    "no carry": (
        graph("xs", [("r", "scan", ["xs"], {"carry": 0, "reverse": True, "body": body(["x"], [("n", "sin", ["x"])], ["n"])}),
                     ("s", "square", ["r"]), ("f", "sum", ["s"])], "f"),
        {"xs": [1.0, 2.0, 3.0]}),
    "a boolean carry": (
        graph("xs", [("r", "scan", [True, 0.0, "xs"], {"carry": 2, "body": body(
            ["m", "s", "x"], [("p", "greater", ["x", 0]), ("q", "logical_and", ["m", "p"]), ("t", "multiply", ["x", "x"]),
                              ("w", "where", ["q", "t", "s"])], ["q", "w"])}), ("f", "item", ["r"], {"index": 1})], "f"),
        {"xs": [1.0, 2.0, -3.0]}),
    "branches with results of several kinds": (
        graph("x", [("m", "greater", ["x", 0]), ("c", "cond", ["m", "x"], {
            "then": body(["x"], [("a", "sin", ["x"]), ("k", "astype", ["x"], {"dtype": "int"}), ("b", "multiply", ["a", "k"])],
                         ["a", "k", "b", "x"]),
            "else": body(["x"], [("a", "cos", ["x"]), ("k", "astype", [3.5], {"dtype": "int"})], ["a", "k", "x", "a"])}),
            ("p", "item", ["c"], {"index": 0}), ("k", "item", ["c"], {"index": 1}), ("q", "item", ["c"], {"index": 2}),
            ("z", "item", ["c"], {"index": 3}), ("u", "multiply", ["p", "q"]), ("v", "multiply", ["u", "k"]),
            ("f", "multiply", ["v", "z"])], "f"),
        {"x": 2.3}),
    "branches without operands": (
        graph("x", [("m", "greater", ["x", 0]), ("c", "cond", ["m"], {
            "then": body([], [("a", "sin", [1.0])], ["a"]), "else": body([], [("a", "cos", [1.0])], ["a"])}),
            ("f", "multiply", ["c", "x"])], "f"),
        {"x": 2.3}),
    "branches that hand an operand on": (
        graph("x y", [("m", "greater", ["x", 0]), ("c", "cond", ["m", "x", "y"], {
            "then": body(["a", "b"], [], ["a"]), "else": body(["a", "b"], [], ["b"])}), ("f", "multiply", ["c", "x"])], "f"),
        {"x": 2.3, "y": 1.0}),
    "a branch that is constant": (
        graph("x", [("s", "sum", ["x"]), ("m", "greater", ["s", 0]), ("c", "cond", ["m", "x"], {
            "then": body(["a"], [("r", "sin", ["a"])], ["r"]), "else": {"inputs": ["a"], "nodes": [PAIR], "outputs": ["r"]}}),
            ("f", "sum", ["c"])], "f"),
        {"x": [2.3, 1.0]}),
    "a loop in a branch": (
        graph("x xs", [("m", "greater", ["x", 0]), ("c", "cond", ["m", "x", "xs"], {
            "then": body(["a", "xs"], [("r", "scan", ["a", "xs"], {"carry": 1, "body": body(
                ["c", "x"], [("p", "multiply", ["c", "x"]), ("q", "sin", ["p"])], ["q"])})], ["r"]),
            "else": body(["a", "xs"], [("r", "sum", ["xs"])], ["r"])}), ("f", "multiply", ["c", "x"])], "f"),
        {"x": 2.3, "xs": [0.3, 0.7]}),
}  # fmt: skip


@pytest.mark.parametrize("name", CORNERS)
def test_corners_of_bodies(name: str) -> None:
    source, at = CORNERS[name]
    for n, x in at.items():
        value, slope = prepared("evaluate", source, at), prepared("grad", source, at)
        first = difference(lambda v, n=n, f=value: f({n: v})["outputs"]["f"], x)
        second = {a: difference(lambda v, n=n, a=a, f=slope: f({n: v})["gradients"][a], x) for a in at}
        for mode in MODES:
            near(ask("grad", source, at, mode=mode)["gradients"][n], first, 1e-8, 1e-9)
            answer = ask("hessian", source, at, mode=mode)["hessian"]
            for a in at:
                near(answer[a][n], second[a], 1e-7, 1e-8)
    batch = {n: np.stack([np.asarray(v), np.multiply(v, 0.8), np.negative(v)], -1) for n, v in at.items()}
    for axes in (dict.fromkeys(at, -1), *({n: -1} for n in at)):
        some = {n: batch[n] if n in axes else v for n, v in at.items()}
        for verb, mode in product(("grad", "hessian"), MODES):
            got = ask(verb, source, some, in_axes=axes, mode=mode)
            equal_answers(got, looped(verb, source, some, [axes], mode=mode))


BODY_ERRORS: dict[str, tuple[dict[str, Any], type[EngineError], str | None, str | None]] = {
    "shapes inside": (
        body(["h", "x"], [("n", "matmul", ["h", "x"])], ["n"]), ShapeMismatch, "n", "/graph/nodes/2/attrs/body/nodes/0"),
    "a carry that changes its shape": (
        body(["h", "x"], [("n", "stack", ["h", "h"])], ["n"]), ShapeMismatch, "n", "/graph/nodes/2/attrs/body/outputs/0"),
    "a carry that is lost": (body(["h", "x"], [("n", "sum", ["h"])], []), EngineError, None, None),
    "too few inputs": (body(["h"], [("n", "exp", ["h"])], ["n"]), Arity, "r", "/graph/nodes/2/attrs/body/inputs"),
    "an unknown op": (
        body(["h", "x"], [("n", "expp", ["h"])], ["n"]), UnknownOp, "n", "/graph/nodes/2/attrs/body/nodes/0/op"),
}  # fmt: skip


@pytest.mark.parametrize("name", BODY_ERRORS)
def test_errors_in_bodies_name_the_node_inside(name: str) -> None:
    inner, error, name_, pointer = BODY_ERRORS[name]
    source = graph("h xs", [("r", "scan", ["h", "xs"], {"carry": 1, "body": inner})])
    with pytest.raises(error) as caught:
        ask("evaluate", {"nodes": source["nodes"], "outputs": ["r"]}, {"h": [1, 2], "xs": [[1, 2, 3]]})
    if name_ is not None:
        assert caught.value.node == name_
        assert caught.value.where is not None
        assert caught.value.where.pointer == pointer


def test_carries_are_promoted_and_stretched() -> None:
    inner = body(["s", "x"], [("n", "add", ["s", "x"])], ["n"])
    source = graph("xs", [("r", "scan", [0, "xs"], {"carry": 1, "body": inner})], "r")
    near(ask("evaluate", source, {"xs": [[1, 2], [3, 4]]})["outputs"]["r"], [4.0, 6.0])
    near(ask("jacobian", source, {"xs": [[1, 2], [3, 4]]})["jacobian"]["r"]["xs"].sum(), 4.0)


def test_deep_nesting_is_typed_in_reasonable_time() -> None:
    # Each level promotes its carry from a boolean, and so types its body twice; 2²⁴ typings would never end.
    inner = body(["c"], [("n", "add", ["c", 0.5])], ["n"])
    for _ in range(24):
        inner = body(["c"], [("k", "greater", ["c", 1e9]), ("m", "fori_loop", ["k"], {"stop": 1, "carry": 1, "body": {
            **inner, "inputs": ["i", *inner["inputs"]]}})], ["m"])  # fmt: skip
    source = graph(
        "x",
        [("r", "fori_loop", ["x"], {"stop": 1, "carry": 1, "body": {**inner, "inputs": ["i", "c"]}})],
        "r",
    )
    start = time.perf_counter()
    answer = ask("grad", source, {"x": 1.0})
    assert answer["outputs"]["r"] == 0.5
    assert time.perf_counter() - start < 10


# --------------------------------------------------------------------------------------------------------------- limits


def refused(
    limit: str, verb: str, source: Any, at: Mapping[str, Any], limits: Limits | None = None, **fields: Any
) -> LimitExceeded:
    """The refusal of a request, made quickly and without memory for what was asked."""
    asked = request(source, at, **fields)
    tracemalloc.start()
    start = time.perf_counter()
    try:
        with pytest.raises(LimitExceeded) as caught:
            prepare(verb, asked, limits)
        assert time.perf_counter() - start < 2
        assert tracemalloc.get_traced_memory()[1] < 4_000_000
    finally:
        tracemalloc.stop()
    assert caught.value.limit == limit
    assert caught.value.actual > caught.value.maximum
    return caught.value


@pytest.mark.parametrize("verb", sorted(MAPPED))
def test_elements_of_a_node(verb: str) -> None:
    error = refused("elements", verb, "y = outer(x, x)\nsum(y)", {"x": np.ones(4000)})
    assert (error.maximum, error.actual, error.node) == (10_000_000, 16_000_000, "y")


@pytest.mark.parametrize("verb", sorted(MAPPED))
def test_elements_of_a_batch(verb: str) -> None:
    at = {"x": np.ones(4000), "y": np.ones(4000)}
    limits = Limits(response_elements=10**9)
    refused("elements", verb, "sum(exp(x + y))", at, limits, in_axes={"y": 0}, nodes="none", wrt=["y"])


@pytest.mark.parametrize("verb", sorted(MAPPED))
def test_what_is_not_mapped_counts_once(verb: str) -> None:
    at = {"x": np.ones(500_000), "y": np.ones(1000)}
    fields: dict[str, Any] = {"vector": {"y": np.ones(1000)}} if verb == "hvp" else {}
    for mode in MODES:
        job = prepare(
            verb,
            request("sum(exp(x)) * y", at, in_axes={"y": 0}, nodes="none", wrt=["y"], mode=mode, **fields),
        )
        assert job.cost.bytes < 50_000_000
        assert job.cost.flops < 50_000_000


def test_memory() -> None:
    text = "y0 = x + 1\n" + "\n".join(f"y{k + 1} = exp(y{k})" for k in range(100))
    limits = Limits(memory_bytes=10_000_000)
    for verb in ("evaluate", "grad", "jvp", "vjp"):
        refused("memory_bytes", verb, text + "\nsum(y100)", {"x": np.ones(20_000)}, limits, nodes="none")
    refused("memory_bytes", "jacobian", text + "\nsum(y100)", {"x": np.ones(20_000)}, limits, mode="reverse")


def repeated(inner: dict[str, Any], times: int) -> dict[str, Any]:
    """A body x ↦ y, as a body that applies it so many times."""
    loop = ("r", "fori_loop", ["x"], {"stop": times, "carry": 1, "body": {**inner, "inputs": ["i", "x"]}})
    return body(["x"], [loop], ["r"])


RECORDED = {
    "a loop": repeated(SINE, 100_000),
    "a loop in a loop": repeated(repeated(SINE, 100_000), 1),
    "a loop in a branch": body(
        ["x"],
        [
            ("m", "greater", [1, 0]),
            ("c", "cond", ["m", "x"], {"then": repeated(SINE, 100_000), "else": SINE}),
        ],
        ["c"],
    ),
}


@pytest.mark.parametrize("verb", ["grad", "vjp", "jacobian", "hvp", "trace"])
@pytest.mark.parametrize("name", RECORDED)
def test_memory_that_a_loop_records_for_the_way_back(name: str, verb: str) -> None:
    # All carries would take 8 GB; it is enough to record some, and to compute the others again.
    source = {"nodes": [node("x", "input"), *RECORDED[name]["nodes"]], "outputs": RECORDED[name]["outputs"]}
    at = {"x": np.ones(10_000)}
    prepare("evaluate", request(source, at))
    seed = {"cotangents": {source["outputs"][0]: at["x"]}} if verb == "vjp" else {"seed": at["x"]}
    fields = {"of": source["outputs"][0]} if verb == "jacobian" else seed
    if verb == "jacobian":
        source["nodes"].append(node("f", "sum", source["outputs"]))
        fields = {"of": "f"}
    job = prepare(verb, request(source, at, **fields))
    assert 2 * 300 * at["x"].nbytes < job.cost.bytes < 500_000_000
    assert job.cost.flops > 4 * 1e9
    error = refused("memory_bytes", verb, source, at, Limits(memory_bytes=500_000), **fields)
    assert (
        error.actual > 2 * 16 * at["x"].nbytes
    )  # even of the fewest checkpoints there is one at each halving


def test_predicted_time_counts_the_steps_of_a_loop() -> None:
    source = graph(
        "x",
        [("r", "fori_loop", ["x"], {"stop": 1_000_000, "carry": 1, "body": {**SINE, "inputs": ["i", "x"]}})],
        "r",
    )
    for verb in ("evaluate", "grad", "hessian"):
        assert prepare(verb, request(source, {"x": 1.0})).seconds > 1


def test_operations() -> None:
    limits = Limits(flops=1_000_000)
    at = {"A": np.ones((200, 200))}
    for verb in ("evaluate", "grad", "jvp", "vjp", "jacobian"):
        refused("flops", verb, "sum(A @ A)", at, limits, nodes="none")
    refused("step_flops", "evaluate", "sum(A @ A)", at, Limits(step_flops=1_000_000), nodes="none")
    # A scalar result says nothing about its cost.
    refused("flops", "evaluate", "x @ x", {"x": np.ones(2_000_000)}, limits, nodes="none")
    inner = {**SINE, "inputs": ["i", "x"]}
    long = graph("x", [("r", "fori_loop", ["x"], {"stop": 10_000_000, "carry": 1, "body": inner})], "r")
    refused("flops", "evaluate", long, {"x": 1.0}, limits)


def test_elements_of_the_answer() -> None:
    at = {"x": np.ones(5000)}
    error = refused("response_elements", "jacobian", "x * x", at)
    assert error.actual == 25_000_000
    refused("response_elements", "hessian", "sum(x * x)", at)
    refused("response_elements", "evaluate", "exp(x)", at, Limits(response_elements=9_999))
    ask("evaluate", "exp(x)", at, limits=Limits(response_elements=10_000))
    ask("evaluate", "exp(x)", at, limits=Limits(response_elements=5_000), nodes="none")
    refused("response_elements", "grad", "sum(exp(x))", at, Limits(response_elements=19_000))
    refused(
        "response_elements",
        "evaluate",
        "x + y",
        {"x": 1.0, "y": np.ones(5000)},
        Limits(response_elements=9_999),
        in_axes={"y": 0},
    )


# ---------------------------------------------------------------------------------------------- deadlines, cancellation

SLOW_STEP = body(["i", "c"], [("a", "sin", ["c"]), ("n", "add", ["a", 1e-3])], ["n"])
SLOW = graph("x", [("r", "fori_loop", ["x"], {"stop": 3_000_000, "carry": 1, "body": SLOW_STEP})], "r")
IMPATIENT: dict[str, dict[str, Any]] = {
    "evaluate": {}, "grad": {}, "jvp": {"tangents": {"x": 1}}, "vjp": {"cotangents": {"r": 1}}, "jacobian": {},
    "hessian": {}, "hvp": {"vector": {"x": 1}}, "trace": {},
    "taylor": {"direction": {"x": 1}, "order": 2},
}  # fmt: skip


@pytest.mark.parametrize("verb", IMPATIENT)
def test_deadline_inside_a_loop(verb: str) -> None:
    job = prepare(verb, request(SLOW, {"x": 0.5}, **IMPATIENT[verb]))
    start = time.monotonic()
    with pytest.raises(DeadlineExceeded):
        job.run(Meter(deadline=start + 0.05))
    assert time.monotonic() - start < 1


@pytest.mark.parametrize("verb", sorted(MAPPED))
def test_deadline_inside_a_mapped_loop(verb: str) -> None:
    fields = dict(IMPATIENT[verb])
    for name in ("tangents", "vector", "direction"):
        if name in fields:
            fields[name] = {"x": [1, 1]}
    job = prepare(verb, request(SLOW, {"x": [0.5, 0.6]}, in_axes={"x": 0}, **fields))
    start = time.monotonic()
    with pytest.raises(DeadlineExceeded):
        job.run(Meter(deadline=start + 0.05))
    assert time.monotonic() - start < 1


def test_cancellation_inside_a_loop() -> None:
    asked: Iterator[bool] = iter([False] * 5)
    job = prepare("grad", request(SLOW, {"x": 0.5}))
    start = time.monotonic()
    with pytest.raises(Cancelled):
        job.run(Meter(cancelled=lambda: next(asked, True)))
    assert time.monotonic() - start < 5


def test_deadline_between_long_steps() -> None:
    # Thirty steps, too few to wait for every 32nd; each takes a noticeable time.
    text = "y0 = A @ A\n" + "\n".join(f"y{k + 1} = y{k} @ A" for k in range(30))
    at = {"A": np.eye(600)}
    for verb in ("evaluate", "grad"):
        job = prepare(verb, request(f"{text}\nsum(y30)", at, nodes="none"))
        start = time.monotonic()
        job.run(Meter())
        whole = time.monotonic() - start
        start = time.monotonic()
        with pytest.raises(DeadlineExceeded):
            job.run(Meter(deadline=start + whole / 20))
        assert time.monotonic() - start < whole / 2


@pytest.mark.parametrize("verb", ["jvp", "grad", "jacobian", "hessian", "hvp"])
def test_deadline_while_a_derivative_is_written(verb: str) -> None:
    asked = request(long_chain(20_000), {"y0": [0.9, 0.8]}, in_axes={"y0": 0}, nodes="none")
    start = time.monotonic()
    with pytest.raises(DeadlineExceeded):
        prepare(verb, asked, meter=Meter(deadline=start))
    assert time.monotonic() - start < 2


# ----------------------------------------------------------------------------------------------------------- deep chains


@pytest.fixture
def shallow_stack() -> Iterator[None]:
    """What recurses over a chain fails here, whatever the interpreter would have allowed."""
    before = sys.getrecursionlimit()
    depth, frame = 0, sys._getframe()
    while frame is not None:
        depth, frame = depth + 1, frame.f_back  # type: ignore[assignment]
    sys.setrecursionlimit(depth + 120)
    yield
    sys.setrecursionlimit(before)


def long_chain(n: int) -> dict[str, Any]:
    """x ↦ sin(sin(… x)), in n steps."""
    nodes = [{"id": "y0", "op": "input"}]
    nodes += [{"id": f"y{k + 1}", "op": "sin", "inputs": [f"y{k}"]} for k in range(n)]
    return {"nodes": nodes, "outputs": [f"y{n}"]}


@pytest.mark.usefixtures("shallow_stack")
@pytest.mark.parametrize("n", [20_000, 100_000])
def test_deep_chains(n: int) -> None:
    values = [0.9]
    for _ in range(n):
        values.append(float(np.sin(values[-1])))
    backs = [1.0]
    for v in reversed(values[:-1]):
        backs.append(backs[-1] * float(np.cos(v)))
    backs.reverse()
    answer = ask("grad", long_chain(n), {"y0": 0.9})
    assert [float(answer["values"][f"y{k}"]) for k in range(n + 1)] == values
    assert [float(answer["gradients"][f"y{k}"]) for k in range(n + 1)] == backs


@pytest.mark.usefixtures("shallow_stack")
def test_other_verbs_of_a_deep_chain() -> None:
    n = 1_000
    value, first, second = 0.9, 1.0, 0.0
    for _ in range(n):
        value, first, second = (
            np.sin(value),
            np.cos(value) * first,
            np.cos(value) * second - np.sin(value) * first**2,
        )
    at, out = {"y0": 0.9}, f"y{n}"
    near(ask("jvp", long_chain(n), at, tangents={"y0": 1.0})["output_tangents"][out], first, 1e-12)
    for mode in MODES:
        near(ask("jacobian", long_chain(n), at, mode=mode)["jacobian"][out]["y0"], first, 1e-12)
    near(ask("hessian", long_chain(n), at)["hessian"]["y0"]["y0"], second, 1e-11)
    near(ask("hvp", long_chain(n), at, vector={"y0": 1.0})["hvp"]["y0"], second, 1e-11)
    assert len(ask("trace", long_chain(n), at)["reverse"]) == n


@pytest.mark.usefixtures("shallow_stack")
def test_deep_chains_in_any_order() -> None:
    n = 20_000
    document = long_chain(n)
    document["nodes"] = document["nodes"][::-1]
    expected = ask("grad", long_chain(n), {"y0": 0.9})
    answer = ask("grad", document, {"y0": 0.9})
    assert answer["gradients"]["y0"] == expected["gradients"]["y0"]
    assert answer["graph_id"] == expected["graph_id"]


@pytest.mark.usefixtures("shallow_stack")
def test_deep_chain_over_a_batch() -> None:
    n = 1_500
    answer = ask("grad", long_chain(n), {"y0": [0.9, 0.8]}, in_axes={"y0": 0}, nodes="none")
    near(answer["gradients"]["y0"][0], ask("grad", long_chain(n), {"y0": 0.9})["gradients"]["y0"], 1e-11)
