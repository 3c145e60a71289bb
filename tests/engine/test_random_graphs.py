"""Random graphs over smooth ops, against an evaluator of our own on complex numbers.

The complex step, ∂f/∂x = Im f(x + ih) / h with h = 10⁻³⁰, subtracts nothing and is exact to rounding. It shares no line
with the engine, and as it can be added to any node, it knows the derivatives by intermediates too.

J. N. Lyness, C. B. Moler, "Numerical differentiation of analytic functions", SIAM J. Numer. Anal. 4(2), 1967,
doi:10.1137/0704019.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.engine.helpers import ask, difference, near, program_of

H = 1e-30
MOST = 5.0
"""Values beyond this are taken back by tanh, so that nothing overflows and differences mean something."""


class Case(NamedTuple):
    """A graph with one scalar output, and its inputs."""

    document: dict[str, Any]
    inputs: dict[str, np.ndarray]

    @property
    def of(self) -> str:
        """The output."""
        (name,) = self.document["outputs"]
        return str(name)


# ------------------------------------------------------------------------------------------------------- an evaluator


def axes_of(axis: Any) -> Any:
    """An `axis` of a JSON graph as NumPy takes it."""
    return tuple(axis) if isinstance(axis, list) else axis


def evaluator(xp: Any) -> dict[str, Callable[..., Any]]:
    """What the ops mean, in NumPy or a library like it; functions of the operands and the attributes by name."""

    def reduced(f: Callable[..., Any]) -> Callable[..., Any]:
        return lambda x, axis=None, keepdims=False: f(x, axis=axes_of(axis), keepdims=keepdims)

    def variance(x: Any, axis: Any, keepdims: bool) -> Any:
        # Without absolute values, which are not analytic.
        return xp.mean((x - xp.mean(x, axis=axis, keepdims=True)) ** 2, axis=axis, keepdims=keepdims)

    def part(i: Any) -> Any:
        return slice(i["start"], i["stop"], i["step"]) if isinstance(i, dict) else i

    return {
        "sin": xp.sin,
        "cos": xp.cos,
        "tanh": xp.tanh,
        "exp": xp.exp,
        "atan": xp.arctan,
        "square": xp.square,
        "negative": xp.negative,
        "sigmoid": lambda x: 1 / (1 + xp.exp(-x)),
        "softplus": lambda x: xp.log(1 + xp.exp(x)),
        "add": xp.add,
        "subtract": xp.subtract,
        "multiply": xp.multiply,
        "divide": xp.divide,
        "pow": xp.power,
        "sum": reduced(xp.sum),
        "mean": reduced(xp.mean),
        "prod": reduced(xp.prod),
        "var": reduced(variance),
        "logsumexp": reduced(
            lambda x, axis, keepdims: xp.log(xp.sum(xp.exp(x), axis=axis, keepdims=keepdims))
        ),
        "softmax": lambda x, axis=-1: xp.exp(x) / xp.sum(xp.exp(x), axis=axis, keepdims=True),
        "cumsum": lambda x, axis: xp.cumsum(x, axis=axis),
        "matmul": xp.matmul,
        "outer": xp.outer,
        "reshape": lambda x, shape: xp.reshape(x, shape),
        "permute_dims": lambda x, axes: xp.transpose(x, axes),
        "expand_dims": lambda x, axis: xp.expand_dims(x, axes_of(axis)),
        "broadcast_to": lambda x, shape: xp.broadcast_to(x, shape),
        "flip": lambda x, axis: xp.flip(x, axes_of(axis)),
        "concat": lambda *x, axis=0: xp.concatenate(x, axis),
        "stack": lambda *x, axis=0: xp.stack(x, axis),
        "getitem": lambda x, index: x[tuple(part(i) for i in index)],
    }


NUMPY = evaluator(np)


def evaluate(
    document: Mapping[str, Any],
    inputs: Mapping[str, Any],
    shift: Mapping[str, Any] | None = None,
    ops: Mapping[str, Callable[..., Any]] = NUMPY,
) -> dict[str, Any]:
    """Values of all nodes, with `shift` added to the nodes it names (and seen by what comes after them)."""
    values: dict[str, Any] = {}
    for node in document["nodes"]:
        name = node["id"]
        if node["op"] == "input":
            value = inputs[name]
        else:
            operands = [values[r] if isinstance(r, str) else r for r in node["inputs"]]
            value = ops[node["op"]](*operands, **node.get("attrs", {}))
        values[name] = value + shift[name] if shift and name in shift else value
    return values


def complex_step(case: Case, name: str, inputs: Mapping[str, Any] | None = None) -> np.ndarray:
    """∂of/∂name, entry by entry."""
    inputs = case.inputs if inputs is None else inputs
    value = np.asarray(evaluate(case.document, inputs)[name])
    result = np.zeros(value.size)
    for k in range(value.size):
        step = np.zeros(value.size, complex)
        step[k] = 1j * H
        moved = evaluate(case.document, inputs, {name: step.reshape(value.shape)})
        result[k] = np.imag(moved[case.of]) / H
    return result.reshape(value.shape)


# ------------------------------------------------------------------------------------------------------ random graphs

UNARY = ["sin", "cos", "tanh", "exp", "atan", "square", "negative", "sigmoid", "softplus"]
SHAPES = [(), (1,), (2,), (3,), (2, 2), (1, 3), (3, 2), (2, 1, 2)]


class Writer:
    """Writes a random graph, node by node, with the values known as it goes."""

    def __init__(self, draw: Callable[[Any], Any]) -> None:
        self.draw = draw
        self.nodes: list[dict[str, Any]] = []
        self.values: dict[str, np.ndarray] = {}
        self.inputs: dict[str, np.ndarray] = {}

    def input(self) -> str:
        """A new input of one of the shapes."""
        name = f"x{len(self.inputs)}"
        shape = self.draw(st.sampled_from(SHAPES))
        start = self.draw(st.integers(1, 50))
        array = np.sin(start + 1.7 * np.arange(np.prod(shape, dtype=int))).reshape(shape)
        self.inputs[name] = self.values[name] = np.asarray(
            array + 0.2 * np.sign(array)
        )  # none of them near 0
        self.nodes.append({"id": name, "op": "input"})
        return name

    def node(self, op: str, *operands: Any, **attrs: Any) -> str:
        """A node, followed by a tanh if its values are large."""
        name = f"n{len(self.nodes)}"
        entry: dict[str, Any] = {"id": name, "op": op, "inputs": list(operands)}
        if attrs:
            entry["attrs"] = attrs
        arrays = [self.values[r] if isinstance(r, str) else r for r in operands]
        self.values[name] = np.asarray(NUMPY[op](*arrays, **attrs))
        self.nodes.append(entry)
        if np.abs(self.values[name]).max(initial=0) > MOST:
            return self.node("tanh", name)
        return name

    def pick(self, rank: int = 0) -> str:
        """A node of at least so many axes; one is made if there is none."""
        fitting = [n for n, v in self.values.items() if v.ndim >= rank and v.size <= 24]
        if fitting:
            return str(self.draw(st.sampled_from(fitting)))
        return self.node("expand_dims", self.pick(), axis=[*range(rank)])

    def axis(self, x: str) -> int:
        """One of the axes of a node, counted from either end."""
        rank = self.values[x].ndim
        return int(self.draw(st.integers(-rank, rank - 1)))

    def step(self) -> None:
        """One random node, or a few that belong together."""
        kind = self.draw(
            st.sampled_from(["unary", "binary", "binary", "number", "reduction", "matmul", "shape", "join"])
        )
        getattr(self, kind)()

    def unary(self) -> None:
        self.node(self.draw(st.sampled_from(UNARY)), self.pick())

    def number(self) -> None:
        op = self.draw(st.sampled_from(["add", "subtract", "multiply", "divide", "pow"]))
        x = self.pick()
        if op == "pow":
            self.node(op, x, self.draw(st.sampled_from([2, 3, 1, 0])))
        elif op == "divide" or self.draw(st.booleans()):
            self.node(op, x, self.draw(st.sampled_from([2, -0.5, 1.25])))
        else:
            self.node(op, self.draw(st.sampled_from([2, -0.5, 1.25])), x)

    def binary(self) -> None:
        x, y = self.pick(), self.pick()
        try:
            shape = np.broadcast_shapes(self.values[x].shape, self.values[y].shape)
        except ValueError:
            y = self.node("sum", y)
            shape = self.values[x].shape
        if np.prod(shape) > 24:
            x = self.node("mean", x)
        op = self.draw(st.sampled_from(["add", "subtract", "multiply", "divide"]))
        if op == "divide":
            y = self.node("add", 1.5, self.node("square", y))
        self.node(op, x, y)

    def reduction(self) -> None:
        x = self.pick(1)
        op = self.draw(st.sampled_from(["sum", "mean", "prod", "var", "logsumexp", "softmax", "cumsum"]))
        if op in ("softmax", "cumsum"):
            self.node(op, x, axis=self.axis(x))
            return
        attrs: dict[str, Any] = {"keepdims": True} if self.draw(st.booleans()) else {}
        axis = self.draw(st.sampled_from(["all", "one", "several"]))
        if axis == "one":
            attrs["axis"] = self.axis(x)
        elif axis == "several":
            rank = self.values[x].ndim
            attrs["axis"] = self.draw(st.lists(st.integers(0, rank - 1), min_size=1, unique=True))
        self.node(op, x, **attrs)

    def matmul(self) -> None:
        x, y = self.pick(1), self.pick(1)
        a, b = self.values[x], self.values[y]
        if a.ndim == 1 and b.ndim == 1 and a.size != b.size:
            self.node("outer", x, y)
            return
        if a.shape[-1] != b.shape[max(-2, -b.ndim)] or a.ndim > 2 or b.ndim > 2:
            y = x = self.pick(2)
            rank = self.values[x].ndim
            y = self.node("permute_dims", x, axes=[*range(rank - 2), rank - 1, rank - 2])
        if self.values[x].size * self.values[y].size <= 144:
            self.node("matmul", x, y)

    def shape(self) -> None:
        x = self.pick()
        v = self.values[x]
        op = self.draw(
            st.sampled_from(["reshape", "permute_dims", "expand_dims", "broadcast_to", "flip", "getitem"])
        )
        if op == "reshape":
            self.node(
                op, x, shape=self.draw(st.sampled_from([[-1], [1, -1], [*v.shape, 1], [*v.shape[::-1]]]))
            )
        elif op == "permute_dims":
            self.node(op, x, axes=list(self.draw(st.permutations(range(v.ndim)))))
        elif op == "expand_dims":
            self.node(op, x, axis=self.draw(st.integers(-v.ndim - 1, v.ndim)))
        elif op == "broadcast_to":
            self.node(op, x, shape=[2, *v.shape])
        elif v.ndim:
            k = self.draw(st.integers(0, v.ndim - 1))
            if op == "flip":
                self.node(op, x, axis=k)
            else:
                part = self.draw(
                    st.sampled_from([0, -1, *[{"start": a, "stop": b, "step": c} for a, b, c in PARTS]])
                )
                self.node(op, x, index=[*[{"start": None, "stop": None, "step": None}] * k, part])

    def join(self) -> None:
        x = self.pick(1)
        same = [n for n, v in self.values.items() if v.shape == self.values[x].shape]
        y = self.draw(st.sampled_from(same))
        axis = self.draw(st.integers(0, self.values[x].ndim - 1))
        self.node(self.draw(st.sampled_from(["concat", "stack"])), x, y, x, axis=axis)


PARTS = [(None, None, -1), (None, 1, None), (0, None, 2), (-1, None, None)]


@st.composite
def cases(draw: Callable[[Any], Any], steps: int = 8) -> Case:
    """A random graph; its output is the sum of what nothing else uses, each through a tanh."""
    w = Writer(draw)
    for _ in range(draw(st.integers(1, 3))):
        w.input()
    for _ in range(draw(st.integers(1, steps))):
        w.step()
    used = {r for n in w.nodes for r in n.get("inputs", []) if isinstance(r, str)}
    total: Any = 0.25
    for n in [n["id"] for n in w.nodes if n["id"] not in used]:
        total = w.node("add", total, w.node("sum", w.node("tanh", n)))
    return Case({"nodes": w.nodes, "outputs": [total]}, w.inputs)


# ----------------------------------------------------------------------------------------------------------- properties


@settings(max_examples=80)
@given(cases())
def test_gradients_of_all_nodes_against_the_complex_step(case: Case) -> None:
    expected = evaluate(case.document, case.inputs)
    names = list(expected)
    reverse = ask("grad", case.document, case.inputs, wrt=names)
    forward = ask("grad", case.document, case.inputs, wrt=names, mode="forward")
    for name in names:
        near(reverse["values"][name], expected[name], 1e-11, 1e-12)
        near(reverse["gradients"][name], complex_step(case, name), 1e-9, 1e-11)
        near(forward["gradients"][name], reverse["gradients"][name], 1e-10, 1e-12)


@settings(max_examples=40)
@given(cases())
def test_gradients_against_central_differences(case: Case) -> None:
    gradients = ask("grad", case.document, case.inputs, nodes="none", wrt=list(case.inputs))["gradients"]
    for name, x in case.inputs.items():

        def value(x: np.ndarray, name: str = name) -> Any:
            return evaluate(case.document, case.inputs | {name: x})[case.of]

        near(gradients[name], difference(value, x), 1e-6, 1e-7)


@settings(max_examples=30)
@given(cases(steps=5))
def test_hessians_in_all_modes(case: Case) -> None:
    names = list(case.inputs)
    modes = {
        m: ask("hessian", case.document, case.inputs, mode=m)["hessian"]
        for m in ("auto", "reverse", "forward")
    }
    vector = {n: np.cos(1 + np.arange(x.size)).reshape(x.shape) for n, x in case.inputs.items()}
    along = ask("hvp", case.document, case.inputs, vector=vector)["hvp"]
    h = 1e-5
    plus, minus = ({n: x + s * vector[n] for n, x in case.inputs.items()} for s in (h, -h))
    for a in names:
        for b in names:
            near(modes["reverse"][a][b], modes["auto"][a][b], 1e-9, 1e-10)
            near(modes["forward"][a][b], modes["auto"][a][b], 1e-9, 1e-10)
            rank = case.inputs[a].ndim
            turned = np.moveaxis(
                modes["auto"][b][a], range(case.inputs[b].ndim, case.inputs[b].ndim + rank), range(rank)
            )
            near(modes["auto"][a][b], turned, 1e-9, 1e-10)
        own = sum(np.tensordot(modes["auto"][a][b], vector[b], vector[b].ndim) for b in names)
        near(along[a], own, 1e-9, 1e-10)
        near(along[a], (complex_step(case, a, plus) - complex_step(case, a, minus)) / (2 * h), 1e-4, 1e-5)


@settings(max_examples=40)
@given(cases())
def test_the_walks_agree_on_every_pair_of_nodes(case: Case) -> None:
    names = list(evaluate(case.document, case.inputs))
    some = names[:: max(1, len(names) // 4)]
    reverse = ask("jacobian", case.document, case.inputs, of=some, wrt=names, mode="reverse")
    forward = ask("jacobian", case.document, case.inputs, of=some, wrt=names, mode="forward")
    for a in some:
        for b in names:
            near(forward["jacobian"][a][b], reverse["jacobian"][a][b], 1e-9, 1e-11)


@settings(max_examples=60)
@given(cases())
def test_round_trip_through_json(case: Case) -> None:
    program = program_of(case.document)
    again = program_of(json.loads(json.dumps(program.to_json())))
    assert again.digest == program.digest
    assert again.steps == program.steps
    assert again.to_json() == program.to_json()


@settings(max_examples=40)
@given(cases(), st.randoms(use_true_random=False))
def test_any_order_of_nodes(case: Case, random: Any) -> None:
    nodes = list(case.document["nodes"])
    random.shuffle(nodes)
    expected = ask("grad", case.document, case.inputs)
    got = ask("grad", case.document | {"nodes": nodes}, case.inputs)
    near(got["values"], expected["values"], 0, 0)
    near(got["gradients"], expected["gradients"], 1e-12, 1e-13)


@settings(max_examples=40)
@given(cases(), st.data())
def test_in_axes_is_a_loop(case: Case, data: Any) -> None:
    axes: dict[str, int] = {}
    for name, x in case.inputs.items():
        if data.draw(st.booleans()) or not axes:
            axes[name] = data.draw(st.integers(-x.ndim - 1, x.ndim))
    scales = (1.0, 0.7, -0.4)
    batch = {
        n: np.stack([x * s for s in scales], axes[n]) if n in axes else x for n, x in case.inputs.items()
    }
    verb = data.draw(st.sampled_from(["grad", "jacobian", "hessian"]))
    field = "gradients" if verb == "grad" else verb
    got = ask(verb, case.document, batch, in_axes=axes)
    for k, s in enumerate(scales):
        own = ask(verb, case.document, {n: x * s if n in axes else x for n, x in case.inputs.items()})
        near(member(got[field], k), own[field], 1e-9, 1e-11)


def member(answer: Any, k: int) -> Any:
    """Member k of a batch."""
    return {n: member(v, k) for n, v in answer.items()} if isinstance(answer, Mapping) else answer[k]


@settings(max_examples=40)
@given(cases())
def test_the_backward_pass_can_be_replayed(case: Case) -> None:
    gradients = ask("grad", case.document, case.inputs)["gradients"]
    trace = ask("trace", case.document, case.inputs)
    totals: dict[str, Any] = {case.of: np.ones(())}
    for entry in trace["reverse"]:
        for step in entry["contributions"]:
            if "partial" in step and np.shape(step["partial"]) == np.shape(step["amount"]):
                near(step["amount"], entry["adjoint"] * step["partial"], 1e-12, 1e-13)
            totals[step["to"]] = totals.get(step["to"], 0) + step["amount"]
            near(totals[step["to"]], step["total"], 1e-12, 1e-13)
    for name, gradient in gradients.items():
        near(totals.get(name, np.zeros_like(gradient)), gradient, 1e-10, 1e-12)
