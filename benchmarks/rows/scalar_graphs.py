"""Warm scalar graphs inside the engine, beside CasADi's virtual machine and JAX's compiler."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from benchmarks import peers
from benchmarks.measure import Settings, Side
from benchmarks.ours import Prepared, compiled
from benchmarks.random_graphs import SMOOTH, RandomGraph, random_graph
from benchmarks.row import OURS, Case, Curve, Line, Row

JAX_UP_TO = 2_000
"""JAX takes minutes to compile more scalar nodes than these."""
ARITHMETIC = ("add", "subtract", "multiply")
"""No function to wait for: what is left is the machine's own cost of a node."""


def run(settings: Settings) -> Iterator[Line | Curve]:
    """100 to 100,000 nodes."""
    compiled()
    curves: dict[str, list[tuple[int, float]]] = {}
    for size in (100, 1_000) if settings.quick else (100, 1_000, 2_000, 10_000, 100_000):
        for line in case(size, jax_too=size <= (200 if settings.quick else JAX_UP_TO)).lines(settings):
            if line.theirs is not None:
                curves.setdefault(line.peer, []).append((size, line.theirs))
            yield line
    for name, points in curves.items():
        yield Curve(name, "nodes", *map(list, zip(*points, strict=True)))
    size = 1_000 if settings.quick else 10_000
    for line in case(size, jax_too=False, ops=ARITHMETIC).lines(settings):
        yield replace(line, work=f"{line.work}, + − × alone", target=None)


def case(size: int, jax_too: bool, ops: Sequence[str] = SMOOTH) -> Case:
    """One size."""
    graph = random_graph(size, ops)
    points = graph.points(3)
    data = [{f"x{k}": x for k, x in enumerate(row)} for row in points]
    document = graph.document()
    alone = Prepared("grad", document, data, nodes="none")
    whole = Prepared("grad", document, data)
    inputs = [f"x{k}" for k in range(graph.inputs)]

    def ours(answer: Any) -> Any:
        return [answer["value"], [answer["gradients"][name] for name in inputs]]

    sides: dict[str, Side] = {OURS: alone.run, "CasADi": casadi(graph, points)}
    if jax_too:
        sides["JAX"] = jax(graph, points)
    flat: Callable[[Any], Any] = lambda a: [a[0], list(a[1])]  # noqa: E731
    also: dict[str, Side] = {
        f"{OURS}, all nodes reported": whole.run,
        f"{OURS}, with preparing": alone.again,
    }
    return Case(
        f"{graph.size:,} nodes",
        sides,
        1e-9,
        {"CasADi": 2.0, "JAX": 2.0},
        {OURS: ours, **dict.fromkeys(also, ours), "CasADi": flat, "JAX": flat},
        also,
    )


def casadi(graph: RandomGraph, points: np.ndarray) -> Side:
    """An SX function of the input vector: the value, and the gradient by the inputs."""
    import casadi as ca

    x = ca.SX.sym("x", graph.inputs)
    ops = {
        "add": lambda a, b: a + b, "subtract": lambda a, b: a - b, "multiply": lambda a, b: a * b,
        "divide": lambda a, b: a / b, "sin": ca.sin, "cos": ca.cos, "tanh": ca.tanh, "exp": ca.exp, "sqrt": ca.sqrt,
        "log": ca.log,
    }  # fmt: skip
    y = graph.walk([x[k] for k in range(graph.inputs)], ops)[-1]
    return peers.casadi_side(ca.Function("f", [x], [y, ca.gradient(y, x)]), [[p] for p in points])


def jax(graph: RandomGraph, points: np.ndarray) -> Side:
    """value_and_grad of the input vector, jitted."""
    j = peers.jax()
    n = j.numpy
    ops = {
        "add": n.add, "subtract": n.subtract, "multiply": n.multiply, "divide": n.divide, "sin": n.sin, "cos": n.cos,
        "tanh": n.tanh, "exp": n.exp, "sqrt": n.sqrt, "log": n.log,
    }  # fmt: skip

    def f(x: Any) -> Any:
        return graph.walk([x[k] for k in range(graph.inputs)], ops)[-1]

    return peers.jax_side(j.value_and_grad(f), [[p] for p in points])


ROW = Row(
    "scalar",
    "Warm random scalar graph, value and all gradients, inside the engine",
    "CasADi, JAX jit (to 2,000 nodes)",
    "≥ 2 × faster than each",
    "Ours computes the value of every node and its adjoint, and hands out the value and the gradients by the inputs; “all "
    "nodes reported” hands out all of them, by id, in the arrays they are in. "
    "CasADi: an SX function (virtual machine, no compiler) of "
    "the input vector with two results, value and gradient, called through its buffers. JAX: `jit(value_and_grad)`, "
    "compiled before. Values stay in each system's own arrays. Random graphs of add, subtract, multiply, divide, sin, "
    "cos, tanh, exp, sqrt, log; every node has a gradient; one input in 20 nodes.",
    run,
)
