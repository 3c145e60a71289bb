"""trace: the backward pass as a client replays it, against grad; what each entry says, against definitions."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.cost import Limits
from engine.errors import EngineError, LimitExceeded, NonScalarOutput, NotDifferentiable, UnknownNode
from tests.engine.helpers import ask, difference, near
from tests.engine.test_random_graphs import Case, cases


def replayed(trace: dict[str, Any], seed: Any = 1.0) -> dict[str, Any]:
    """The gradients that a client finds who starts with the seed and takes one step of `reverse` after the other."""
    totals: dict[str, Any] = {trace["of"]: np.asarray(seed)}
    for entry in trace["reverse"]:
        near(totals[entry["node"]], entry["adjoint"], 1e-14, 1e-300)
        for step in entry["contributions"]:
            totals[step["to"]] = totals.get(step["to"], 0) + step["amount"]
            near(totals[step["to"]], step["total"], 1e-14, 1e-300)
    return totals


def agree(text: Any, at: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """Replay a trace, and compare with grad. Returns the trace."""
    trace = ask("trace", text, at, **fields)
    gradients = ask("grad", text, at, **{k: v for k, v in fields.items() if k in ("of", "seed", "dtype")})[
        "gradients"
    ]
    totals = replayed(trace, fields.get("seed", 1.0))
    assert totals.keys() <= gradients.keys()
    for name, gradient in gradients.items():
        near(totals.get(name, np.zeros_like(gradient)), gradient, 1e-6 if "dtype" in fields else 1e-13)
    return trace


NETWORK = "h = relu(np.dot(inputs, weights1))\nnp.mean(np.square(np.dot(h, weights2) - target))"

PROGRAMS: dict[str, tuple[Any, dict[str, Any], dict[str, Any]]] = {
    "input": ("x", {"x": 2}, {"of": "x"}),
    "intermediate": ("u = x*y\nv = sin(u)\nu*v", {"x": 2, "y": 3}, {"of": "v"}),
    "array with a seed": ("A @ x", {"A": [[1, 2], [3, 4]], "x": [5, 6]}, {"seed": np.array([1.0, -2])}),
    "square": ("x*x", {"x": 3}, {}),
    "both ways": ("x**x * x", {"x": 1.5}, {}),
    "scalar to matrix": ("y = s*x + s\nsum(y*y)", {"s": 2, "x": [[1, 2], [3, 4]]}, {}),
    "row and column": ("r = a - b\nsum(r*r*r)", {"a": [[1], [2]], "b": [3, 4, 5]}, {}),
    "composites": ("softmax(x) @ x + logsumexp(gelu(x))", {"x": [0.1, -2, 3]}, {}),
    "network": (NETWORK, {"inputs": [[0.8]], "weights1": [[0.5, 1.2]], "weights2": [[-0.3], [0.8]], "target": [[1.9]]}, {}),
    "split, with work between": (
        "p = np.split(x, 2)\ny = 2*x\na = p[0]\nb = p[1]\nsum(a*a*b) + sum(y)", {"x": [1, 2, 3, 4]}, {},
    ),
    "one result of several": ("s, l = np.linalg.slogdet(A)\nl", {"A": [[2, 1], [0.5, 3]]}, {}),
    "the second result": ("u, s, v = np.linalg.svd(A)\nsum(s**2 * s)", {"A": [[2, 1], [0.5, 3]]}, {}),
    "a result read twice": ("a, b = np.split(x, 2)\nc = a * b\nsum(a + c)", {"x": [1, 2, 3, 4]}, {}),
    "for": ("y = x\nfor i in range(5):\n    y = 0.5*(y + a/y)\ny", {"x": 1, "a": 2}, {}),
    "while": ("y = x\nn = 0\nwhile y < 100:\n    y = y*y + x\n    n = n + 1\ny", {"x": 1.5}, {}),
    "if": ("if x > 0:\n    y = x*z\nelse:\n    y = z\ny*z", {"x": 1.5, "z": 2}, {}),
    "two loop variables": ("a = x\nb = y\nfor i in range(3):\n    a, b = a*b, a+b\na*b", {"x": 1.1, "y": 0.7}, {}),
    "integer operands": ("x[i] * i + take(x, i + 1)", {"x": [1, 2, 3], "i": 1}, {}),
    "booleans": ("where(x > 0, x*y, y)", {"x": [1, -1], "y": [2, 3]}, {"seed": np.array([1.0, 10])}),
    "nothing gets through": ("floor(x)*x + round(y)", {"x": 2.5, "y": 1.2}, {}),
    "unused": ("u = exp(x)\nw = x*y\nv = w + x", {"x": 0.5, "y": 2}, {}),
    "several outputs": ("r = A @ x\nsum(r**2), r", {"A": [[1, 2]], "x": [1, 2]}, {}),
    "no elements": ("sum(x * y)", {"x": np.zeros((0, 3)), "y": 2}, {}),
    "single precision": ("tanh(W @ x) @ x", {"W": [[0.1, 0.2], [0.3, 0.4]], "x": [0.5, -1]}, {"dtype": "float32"}),
    "a constant node": ("c = 2.0\nc * x * c", {"x": 3}, {}),
    "indices": ("sum(x[1:]*x[:-1]) + x[[0, 0, 2]] @ y", {"x": [1, 2, 3], "y": [1, 2, 3]}, {}),
    "derivative inside": ("def f(u):\n    return u**3\ng = grad(f)(x)\ng * x", {"x": 2}, {}),
    "many operands": ("stack([x, y, x*y, x]) @ z", {"x": 2, "y": 3, "z": [1, 2, 3, 4]}, {}),
}  # fmt: skip


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_client_can_replay_the_backward_pass(name: str) -> None:
    text, at, fields = PROGRAMS[name]
    agree(text, at, **fields)


@settings(max_examples=60)
@given(cases(), st.data())
def test_random_graphs_can_be_replayed(case: Case, data: Any) -> None:
    gradients = ask("grad", case.document, case.inputs)["gradients"]
    of = data.draw(st.sampled_from(sorted(gradients)))
    shape = gradients[of].shape
    seed = np.cos(np.arange(float(np.prod(shape)))).reshape(shape)
    trace = ask("trace", case.document, case.inputs, of=of, seed=seed)
    expected = ask("grad", case.document, case.inputs, of=of, seed=seed)["gradients"]
    totals = replayed(trace, seed)
    for node, gradient in expected.items():
        near(totals.get(node, np.zeros_like(gradient)), gradient, 1e-10, 1e-12)
    for entry in trace["reverse"]:
        near(entry["adjoint"], expected[entry["node"]], 1e-10, 1e-12)
        for step in entry["contributions"]:
            if "partial" in step:
                near(summed(entry["adjoint"] * step["partial"], step["amount"]), step["amount"], 1e-12, 1e-13)


def summed(product: Any, like: Any) -> Any:
    """What a broadcast operand gets: the sum over the axes along which it was repeated."""
    product, shape = np.asarray(product), np.shape(like)
    product = product.sum(tuple(range(product.ndim - len(shape))))
    axes = tuple(k for k, n in enumerate(shape) if n == 1 and product.shape[k] != 1)
    return product.sum(axes, keepdims=True)


@pytest.mark.parametrize(
    "name", ["scalar to matrix", "row and column", "square", "booleans", "single precision"]
)
def test_amounts_are_sums_of_adjoint_times_partial(name: str) -> None:
    text, at, fields = PROGRAMS[name]
    trace = ask("trace", text, at, **fields)
    values = {entry["node"]: entry["value"] for entry in trace["forward"]}
    partials = {entry["node"]: entry.get("partials") for entry in trace["forward"]}
    told = 0
    for entry in trace["reverse"]:
        for step in entry["contributions"]:
            assert step["amount"].shape == step["total"].shape == values[step["to"]].shape
            assert step["amount"].dtype == values[step["to"]].dtype
            if "partial" in step:
                told += 1
                assert step["partial"].shape == values[entry["node"]].shape
                near(step["partial"], partials[entry["node"]][step["to"]], 0, 0)
                near(summed(entry["adjoint"] * step["partial"], step["amount"]), step["amount"], 1e-6)
    assert told


def test_partials_are_those_of_the_step_alone() -> None:
    """By differences of each op, on its own operands."""
    text = "p = x*x\nq = p*y\nr = hypot(q, x)\nmaximum(r, y) / p"
    at = {"x": np.array([0.5, -1.5]), "y": 1.2}
    trace = ask("trace", text, at, mode="forward")
    values = {entry["node"]: entry["value"] for entry in trace["forward"]}
    for entry in trace["forward"][2:]:
        inputs = {n: values[n] for n in entry["inputs"]}
        call = f"{entry['op']}({', '.join(entry['inputs'])})"
        for name, partial in entry["partials"].items():
            ones = np.ones_like(inputs[name])

            def along(
                t: Any, name: str = name, inputs: Any = inputs, ones: Any = ones, call: str = call
            ) -> Any:
                (value,) = ask("evaluate", call, inputs | {name: inputs[name] + t * ones})["outputs"].values()
                return value

            near(partial, difference(along, np.array(0.0)), 1e-8)


def test_nothing_but_partials_where_there_are_some() -> None:
    trace = ask(
        "trace",
        "m = x > y\nk = i // 2\ns = sum(x)\nu = where(m, s, y)\nsum(u) * k",
        {"x": [1, 2], "y": 2, "i": 3},
    )
    partials = {e["node"]: e["partials"] for e in trace["forward"] if "partials" in e}
    assert partials["m"] == {}
    assert partials["s"] is None
    assert [e["node"] for e in trace["forward"] if "partials" not in e] == ["x", "y", "i"]
    assert set(partials["u"]) == {"s", "y"}
    near(partials["u"]["y"], [1, 1])


def test_results_of_one_op_hand_on_together() -> None:
    trace = ask("trace", *PROGRAMS["split, with work between"][:2])
    assert [entry["node"] for entry in trace["reverse"]][-3:] == ["y", "b", "a"]
    *_, second, first = trace["reverse"]
    assert second["contributions"] == []
    (only,) = first["contributions"]
    assert only["to"] == "x"
    assert "p" not in {entry["node"] for entry in [*trace["forward"], *trace["reverse"]]}


def test_what_gets_nothing_is_named_with_zero() -> None:
    trace = ask("trace", "floor(x)*y", {"x": 2.5, "y": 3})
    last = trace["reverse"][-1]
    assert last == {
        "node": "t1",
        "adjoint": 3,
        "contributions": [{"to": "x", "partial": 0, "amount": 0, "total": 0}],
    }


def test_a_zero_adjoint_is_a_strong_zero() -> None:
    trace = agree("log(x)*0*y + x", {"x": 0, "y": 1})
    (step,) = next(e for e in trace["reverse"] if e["node"] == "t1")["contributions"]
    assert step["partial"] == np.inf
    assert step["amount"] == 0


# ------------------------------------------------------------------------------------------------------- the fields


def test_a_seed_is_needed_where_grad_needs_one() -> None:
    at = {"x": [1, 2]}
    with pytest.raises(NonScalarOutput):
        ask("trace", "sin(x)", at)
    assert ask("trace", "sin(x)", at, seed=[2, 3])["reverse"][0]["adjoint"].tolist() == [2, 3]
    with pytest.raises(EngineError, match="shape"):
        ask("trace", "sin(x)", at, seed=[2, 3, 4])


def test_forward_mode_leaves_out_the_backward_walk() -> None:
    trace = ask("trace", "sin(x)", {"x": [1, 2]}, tangents={"x": [1, 0]}, mode="forward")
    assert trace["reverse"] == []
    near(trace["forward"][-1]["tangent"], [np.cos(1), 0])
    with pytest.raises(NonScalarOutput):  # multipliers are found on the way back
        ask("trace", "sin(x)", {"x": [1, 2]}, mode="forward", lagrangian=True)
    asked = ask("trace", "x*y", {"x": 2, "y": 3}, mode="forward", lagrangian=True)
    assert asked["reverse"] == []
    assert asked["lagrangian"][0]["multiplier"] == 1
    assert ask("trace", "x*y", {"x": 2, "y": 3}, mode="reverse") == ask("trace", "x*y", {"x": 2, "y": 3})


def test_nodes_says_which_have_entries() -> None:
    text = "u = x*y + 1\nv = sin(u)*x\nv, u"
    at = {"x": 2, "y": 3}
    whole = ask("trace", text, at)
    for nodes, wrt, expected in (
        ("all", None, ["x", "y", "t1", "u", "t2", "v"]),
        ("named", None, ["x", "y", "u", "v"]),
        ("none", None, ["u", "v"]),
        ("none", ["t1", "x"], ["x", "t1", "u", "v"]),
    ):
        trace = ask("trace", text, at, nodes=nodes, wrt=wrt, lagrangian=True)
        assert [e["node"] for e in trace["forward"]] == expected
        ops = [n for n in expected if n not in at]
        assert [e["node"] for e in trace["reverse"]] == ops[::-1]
        assert [e["node"] for e in trace["lagrangian"]] == ops
        assert all(e in whole["reverse"] for e in trace["reverse"])


def test_wrt_must_name_nodes() -> None:
    with pytest.raises(UnknownNode):
        ask("trace", "x*y", {"x": 2, "y": 3}, wrt=["z"])
    with pytest.raises(NotDifferentiable):
        ask("trace", "x[i]", {"x": [2], "i": 0}, wrt=["i"])


def test_tangents_of_intermediates() -> None:
    text = "u = x*y\nv = sin(u)*x"
    trace = ask("trace", text, {"x": 2, "y": 3}, tangents={"x": 1, "u": 0.5})
    tangents = {e["node"]: e["tangent"] for e in trace["forward"]}
    assert tangents == ask("jvp", text, {"x": 2, "y": 3}, tangents={"x": 1, "u": 0.5})["node_tangents"]
    counted = ask("trace", "x[i] > 1", {"x": [2.0], "i": 0}, tangents={"x": [1]}, of="t1")
    assert [e["tangent"] for e in counted["forward"]][1:] == [None, 1, None]


def test_both_walks_warn_once() -> None:
    trace = ask("trace", "abs(x)*sqrt(y)", {"x": 0, "y": 0}, tangents={"x": 1, "y": 1})
    told = [(w["kind"], w["node"]) for w in trace["warnings"]]
    assert told.count(("non-differentiable", "t1")) == 1
    assert ("non-finite-tangent", "t2") in told
    forward = ask("trace", "abs(x)", {"x": 0}, tangents={"x": 1}, mode="forward")
    assert [w["kind"] for w in forward["warnings"]] == ["non-differentiable"]


# ----------------------------------------------------------------------------------------------------- size and time


def test_large_arrays_are_summarised() -> None:
    x = np.linspace(-1e200, 1e200, 3000)
    trace = ask("trace", "sum(x*y*k)", {"x": x, "y": 2, "k": np.ones(3000)})
    shown = trace["forward"][0]["value"]
    assert set(shown) == {"shape", "dtype", "first", "min", "max", "mean", "norm"}
    assert shown["shape"] == [3000]
    near(shown["first"], x[:6], 0)
    assert (shown["min"], shown["max"]) == (x.min(), x.max())
    near(shown["norm"] / 1e200, np.linalg.norm(x / 1e200))
    assert shown["first"].base is None
    amounts = [c for e in trace["reverse"] for c in e["contributions"] if c["to"] == "y"]
    assert amounts[0]["amount"] == x.sum() == amounts[0]["total"]
    assert amounts[0]["partial"]["shape"] == [3000]
    assert ask("trace", "sum(x)", {"x": x}, summarize_over=3000)["forward"][0]["value"].shape == (3000,)
    few = ask("trace", "x*y", {"x": [1, 2], "y": 3}, summarize_over=0, seed=[1, 1])["forward"]
    assert few[0]["value"]["max"] == 2
    assert few[1]["value"] == 3, "a scalar is no array"


def test_large_constants_are_summarised() -> None:
    graph = {"nodes": [{"id": "x", "op": "input"}, {"id": "y", "op": "multiply", "inputs": ["x", [0.5] * 2000]},
             {"id": "s", "op": "sum", "inputs": ["y"]}]}  # fmt: skip
    trace = ask("trace", graph, {"x": 1}, lagrangian=True)
    assert trace["forward"][1]["inputs"][0] == "x"
    assert trace["forward"][1]["inputs"][1]["shape"] == [2000]
    assert trace["lagrangian"][0]["constraint"] == "y - (x * array of shape [2000]) = 0"


def test_the_size_of_the_answer_is_limited() -> None:
    """What contributions show counts, too: 100 sums of one array."""
    text = "s = 0.0\n" + "\n".join(["s = s + sum(x)"] * 100) + "\ns"
    limits = Limits(response_elements=100_000)
    ask("trace", text, {"x": np.ones(300)}, limits=limits)
    with pytest.raises(LimitExceeded) as caught:
        ask("trace", text, {"x": np.ones(900)}, limits=limits)
    assert caught.value.limit == "response_elements"
    ask("trace", text, {"x": np.ones(1100)}, limits=limits)
    ask("trace", text, {"x": np.ones(900)}, limits=limits, nodes="none")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("u = -1 * x", "u - (-1 * x) = 0"),
        ("u = x**(-0.5)", "u - (x ** -0.5) = 0"),
        ("u = -x", "u - (-x) = 0"),
        ("u = x", "u - (x) = 0"),
        ("u = sum(A, axis=0)", "u - (sum(A, axis=0)) = 0"),
        ("u = A[0, 1:]", "u - (A[0, 1:]) = 0"),
        ("u = A[..., ::2]", "u - (A[..., ::2]) = 0"),
        ("u = A @ v", "u - (A @ v) = 0"),
        ("u = tanh(x)", "u - (tanh(x)) = 0"),
        ("p, q = np.split(v, 2)\nu = q", "q - (split(v, indices_or_sections=2)[1]) = 0"),
    ],
)
def test_constraints_read_as_one_writes_them(text: str, said: str) -> None:
    at = {
        k: v
        for k, v in (("x", 2.0), ("A", [[1.0, 2], [3, 4]]), ("v", [1.0, 2]))
        if k in text.replace("axis", "")
    }
    job = ask("trace", text + "\nsum(u)", at, lagrangian=True)
    assert said in [entry["constraint"] for entry in job["lagrangian"]]


@pytest.mark.xdist_group("time")
def test_time_goes_with_the_length() -> None:
    """Eight times the nodes take about eight times as long, and not 64 times."""

    def seconds(n: int) -> float:
        text = "y = x\n" + "y = sin(y)*x\n" * n
        found = []
        for _ in range(2):
            start = time.process_time()
            ask("trace", text, {"x": 1}, lagrangian=True, tangents={"x": 1})
            found.append(time.process_time() - start)
        return min(found)

    assert seconds(2400) < 24 * seconds(300)
