"""Scalar graphs by chance, and what the careful executor says of a graph."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from engine.aval import FLOAT64
from engine.builder import EagerBuilder, GraphBuilder
from engine.execute import eager
from engine.execute.meter import Meter
from engine.graph import Graph
from engine.transforms.pull import depends_on, pull
from engine.transforms.push import push

UNARY = (
    "negative", "square", "exp", "tanh", "sin", "cos", "log", "sigmoid", "relu", "sqrt", "reciprocal", "abs", "softsign",
    "log1p", "expm1", "atan", "asinh", "softsign", "log_sigmoid", "erf", "ndtr", "cbrt", "floor", "identity", "stop_gradient",
    "positive", "rsqrt", "sinh", "deg2rad", "cosm1", "log_cosh", "gammaln",
)  # fmt: skip
BINARY = (
    "multiply", "add", "subtract", "divide", "maximum", "minimum", "logaddexp", "pow", "hypot", "atan2", "copysign", "fmod",
    "xlogy", "remainder",
)  # fmt: skip
POSITIVE = ("pow", "xlogy", "gammaln")
"""Ops that stay on the tape for positive operands: elsewhere they, or parts of their derivative, are not defined."""
COMPARE = ("less", "greater_equal", "not_equal")
CORE = {
    "pow_by": ("exponent", (2.0, 3.0, 0.5, -1.0, 1.0, -1.5)),
    "leaky_relu": ("slope", (0.1,)),
    "elu": ("alpha", (0.5, 1.0)),
}


class Reference(NamedTuple):
    """What the careful executor computes: values, and what sweeps over them make of seeds."""

    graph: Graph
    refs: list[Any]

    def values(self) -> np.ndarray:
        """The value of every node, masks as 1.0 and 0.0."""
        return np.array([float(v) for v in self.refs])

    def reverse(self, seeds: Mapping[int, float]) -> np.ndarray:
        """Cotangents by every node."""
        nodes = self.graph.nodes
        adj: list[Any] = [None] * len(nodes)
        for i, seed in seeds.items():
            adj[i] = np.float64(seed)
        leaves = [i for i, node in enumerate(nodes) if node.aval == FLOAT64]
        with np.errstate(all="ignore"):
            pull(
                EagerBuilder("float64"),
                nodes,
                self.refs,
                adj,
                depends_on(nodes, leaves),
                range(len(nodes) - 1, -1, -1),
            )
        return np.array([0.0 if a is None else float(a) for a in adj])

    def forward(self, seeds: Mapping[int, float]) -> np.ndarray:
        """Tangents of every node, from those of some inputs."""
        dots: list[Any] = [None] * len(self.graph.nodes)
        for i, seed in seeds.items():
            dots[i] = np.float64(seed)
        with np.errstate(all="ignore"):
            push(EagerBuilder("float64"), self.graph.nodes, self.refs, dots)
        return np.array([0.0 if d is None else float(d) for d in dots])


def careful(graph: Graph, arguments: Sequence[float]) -> Reference:
    """The graph at a point."""
    with np.errstate(all="ignore"):
        given = [np.float64(x) for x in arguments]
        refs = eager.forward(graph, given, EagerBuilder("float64"), Meter(), lambda i, error: error)
    return Reference(graph, refs)


def random_graph(
    seed: int, size: int, inputs: int = 4, without: Sequence[str] = ()
) -> tuple[Graph, list[float]]:
    """A graph over most of the tape's ops, and a point where its values are neither large nor close to a kink or a jump.

    Its output is the last node, which depends on all that nothing else uses.
    """
    rng = random.Random(seed)
    b = GraphBuilder("float64")
    at = [rng.uniform(0.3, 1.7) for _ in range(inputs)]
    numbers = [b.input(FLOAT64) for _ in at]
    known: dict[int, float] = dict(zip(numbers, at, strict=True))
    masks: list[int] = []
    functions = EagerBuilder("float64")
    used: set[int] = set()
    while len(b.nodes) < size:
        kind = rng.random()
        params: dict[str, float] = {}
        if kind < 0.05:
            value = rng.uniform(-1.5, 1.5)
            numbers.append(b.constant(np.float64(value)))
            known[numbers[-1]] = value
            continue
        if kind < 0.12:
            pair = rng.choice(numbers), rng.choice(numbers)
            if abs(known[pair[0]] - known[pair[1]]) > 1e-3:
                name = rng.choice(COMPARE)
                masks.append(b.core(name, *pair))
                known[masks[-1]] = bool(functions.core(name, *(np.float64(known[i]) for i in pair)))
            continue
        if kind < 0.17 and masks:
            name, operands = "where", [rng.choice(masks), rng.choice(numbers), rng.choice(numbers)]
        elif kind < 0.2 and masks:
            name, operands = "cast", [rng.choice(masks)]
            numbers.append(b.core("cast", operands[0], dtype="float64"))
            known[numbers[-1]] = float(known[operands[0]])
            continue
        elif kind < 0.28:
            name = rng.choice(list(CORE))
            key, choices = CORE[name]
            params, operands = {key: rng.choice(choices)}, [rng.choice(numbers)]
        elif kind < 0.6:
            name, operands = rng.choice(UNARY), [rng.choice(numbers)]
        else:
            name, operands = rng.choice(BINARY), [rng.choice(numbers), rng.choice(numbers)]
        given = [np.bool_(known[i]) if i in masks else np.float64(known[i]) for i in operands]
        with np.errstate(all="ignore"):
            value = float(functions.core(name, *given, **params))
        floats = [float(x) for x in given if isinstance(x, np.float64)]
        if not 1e-3 < abs(value) < 20.0 or any(abs(x - round(x)) < 1e-3 for x in floats):
            continue
        if len(floats) == 2 and abs(abs(floats[0]) - abs(floats[1])) < 1e-3:
            continue
        if (name in POSITIVE and min(floats) <= 0) or name in without:
            continue
        used.update(operands)
        numbers.append(b.core(name, *operands, **params))
        known[numbers[-1]] = value
    total = numbers[0]
    for i in numbers[1:]:
        if i not in used:
            total = b.core("add", total, i)
    return b.build([total]), at
