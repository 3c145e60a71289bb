"""Graphs of a loop whose length shows only when it runs, as one graph in which that length is a letter.

The way back over a while loop is a graph for each number of steps (`engine.ops.control.counted`). Graphs for different
numbers are the same but for integers in shapes and params, which depend on the number n as αn + β: so three of them say
what the graph is for every n. The third is for checking.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from engine.aval import Aval
from engine.graph import Graph, Node

LENGTHS = (67, 73, 83)
"""Too long for constants of such sizes to be folded (`transforms.simplify`), and with nothing in common."""


class Differs(Exception):
    """Graphs for different lengths are not the same in this sense."""


class Dim(int):
    """An integer αn + β, with its value for the first of `LENGTHS`; prints as an expression in n."""

    factor: int
    offset: int

    def __new__(cls, factor: int, offset: int) -> Dim:
        """From α and β."""
        self = super().__new__(cls, factor * LENGTHS[0] + offset)
        self.factor, self.offset = factor, offset
        return self

    def __repr__(self) -> str:
        n = {1: "n", -1: "-n"}.get(self.factor, f"{self.factor} * n")
        return n + (f" {'+' if self.offset > 0 else '-'} {abs(self.offset)}" if self.offset else "")

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return repr(self)

    def __add__(self, other: int) -> Dim:
        if isinstance(other, Dim):
            return Dim(self.factor + other.factor, self.offset + other.offset)
        return Dim(self.factor, self.offset + other)

    __radd__ = __add__

    def __neg__(self) -> Dim:
        return Dim(-self.factor, -self.offset)

    def __sub__(self, other: int) -> Dim:
        return self + -other

    def __mul__(self, other: int) -> Dim:
        return Dim(self.factor * other, self.offset * other)

    __rmul__ = __mul__


def joined(graphs: Sequence[Graph]) -> Graph:
    """The graph of which these are the cases for `LENGTHS`. Raises `Differs` where there is none."""
    first = graphs[0]
    if any(
        (len(g.nodes), g.inputs, g.outputs) != (len(first.nodes), first.inputs, first.outputs) for g in graphs
    ):
        raise Differs("another number of nodes")
    nodes = []
    for same in zip(*(g.nodes for g in graphs), strict=True):
        node = same[0]
        if any(n.op is not node.op or n.inputs != node.inputs for n in same):
            raise Differs(f"another op in the place of {node.op.name}")
        params = _value([n.params for n in same])
        avals = _value([n.aval for n in same])
        nodes.append(Node(node.op, node.inputs, params, avals))
    return Graph(tuple(nodes), first.inputs, first.outputs)


def _value(values: Sequence[Any]) -> Any:
    first = values[0]
    if all(type(v) is type(first) and v == first for v in values):
        return first
    if all(type(v) is int for v in values):
        a, b, c = values
        factor, rest = divmod(b - a, LENGTHS[1] - LENGTHS[0])
        offset = a - factor * LENGTHS[0]
        if rest or c != factor * LENGTHS[2] + offset:
            raise Differs(f"{a}, {b}, {c}")
        return Dim(factor, offset)
    if all(type(v) is type(first) and isinstance(v, tuple) and len(v) == len(first) for v in values):
        parts = [_value(parts) for parts in zip(*values, strict=True)]
        return Aval(*parts) if isinstance(first, Aval) else tuple(parts)
    if all(isinstance(v, Graph) for v in values):
        return joined(values)
    raise Differs(f"{type(first).__name__}")
