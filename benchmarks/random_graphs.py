"""Random scalar graphs in which every node matters, written down once and built by each system in its own way."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

SMOOTH = ("add", "subtract", "multiply", "divide", "sin", "cos", "tanh", "exp", "sqrt", "log")
"""Drawn from these. Operands are kept where the op is tame: 1 + b² below a fraction and under roots and logarithms."""
MICROGRAD = ("add", "subtract", "multiply", "relu", "square")
"""What micrograd has; `square` is its `x**2`."""


@dataclass(frozen=True)
class RandomGraph:
    """Steps (op, operands) over inputs 0 … inputs − 1; step j has number inputs + j; the last one is the output."""

    inputs: int
    steps: Sequence[tuple[str, tuple[int, ...]]]

    @property
    def size(self) -> int:
        """Nodes, inputs among them."""
        return self.inputs + len(self.steps)

    def document(self, values: Sequence[float] | None = None) -> dict[str, Any]:
        """The JSON graph as a client posts it; with values, these are the inputs' own."""
        nodes: list[dict[str, Any]] = [{"id": f"x{k}", "op": "input"} for k in range(self.inputs)]
        if values is not None:
            for node, value in zip(nodes, values, strict=True):
                node["value"] = value
        ids = [n["id"] for n in nodes] + [f"n{k}" for k in range(self.inputs, self.size)]
        for k, (op, operands) in enumerate(self.steps, self.inputs):
            nodes.append({"id": ids[k], "op": op, "inputs": [ids[j] for j in operands]})
        return {"nodes": nodes, "outputs": [ids[-1]]}

    def walk(self, inputs: Sequence[Any], ops: Mapping[str, Callable[..., Any]]) -> list[Any]:
        """Values of all nodes, computed with these operations."""
        values = list(inputs)
        for op, operands in self.steps:
            values.append(ops[op](*(values[j] for j in operands)))
        return values

    def points(self, count: int) -> np.ndarray:
        """Values for the inputs, one set a row."""
        rng = np.random.default_rng(7)
        return rng.uniform(0.5, 1.5, (count, self.inputs))


PYTHON: dict[str, Callable[..., float]] = {
    "add": lambda a, b: a + b,
    "subtract": lambda a, b: a - b,
    "multiply": lambda a, b: a * b,
    "divide": lambda a, b: a / b,
    "square": lambda a: a * a,
    "relu": lambda a: max(a, 0.0),
    "sin": math.sin,
    "cos": math.cos,
    "tanh": math.tanh,
    "exp": math.exp,
    "sqrt": math.sqrt,
    "log": math.log,
}


def random_graph(size: int, ops: Sequence[str] = SMOOTH, seed: int = 1) -> RandomGraph:
    """A graph of about `size` nodes.

    Each step consumes one node that nothing has consumed yet (so all of them have a gradient) and, where it has two
    operands, any earlier one. A step whose value at a few points would leave [-4, 4] becomes one that halves a difference,
    so that depth neither explodes nor dies out. The open ends are added up at the end.
    """
    rng = random.Random(seed)
    inputs = max(4, size // 20)
    points = RandomGraph(inputs, ()).points(3)
    values: list[list[float]] = [list(column) for column in points.T]
    steps: list[tuple[str, tuple[int, ...]]] = []
    opened = list(range(inputs))
    tame = "tanh" if "tanh" in ops else "subtract"

    def add(op: str, *operands: int) -> int:
        steps.append((op, operands))
        values.append([PYTHON[op](*(values[j][p] for j in operands)) for p in range(3)])
        return len(values) - 1

    while len(values) + len(opened) - 1 < size:
        at = rng.randrange(len(opened))
        a, b = opened[at], rng.randrange(len(values))
        op = rng.choice(ops)
        unsafe = {
            "divide": any(abs(v) < 0.3 for v in values[b]),
            "sqrt": any(v < 0.1 for v in values[a]),
            "log": any(v < 0.1 for v in values[a]),
            "relu": any(v < 0.1 for v in values[a]),
            "exp": any(v > 1.2 for v in values[a]),
            "square": any(abs(v) > 1.5 for v in values[a]),
            "multiply": any(abs(v * w) > 3 for v, w in zip(values[a], values[b], strict=True)),
            "add": any(abs(v + w) > 4 for v, w in zip(values[a], values[b], strict=True)),
            "subtract": any(abs(v - w) > 4 for v, w in zip(values[a], values[b], strict=True)),
        }
        if unsafe.get(op):
            op = tame
        if op in ("add", "subtract", "multiply", "divide"):
            opened[at] = add(op, a, b)
        else:
            opened[at] = add(op, a)
    while len(opened) > 1:
        opened = [
            *(add("add", a, b) for a, b in zip(opened[::2], opened[1::2], strict=False)),
            *(opened[-1:] if len(opened) % 2 else []),
        ]
    return RandomGraph(inputs, steps)
