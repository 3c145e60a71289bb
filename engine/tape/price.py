"""Whether runs of a tape take longer than NumPy for the same graph: nanoseconds by rule of thumb, measured on two cores."""

from __future__ import annotations

from typing import Any

import numpy as np

from engine.aval import Aval
from engine.graph import Graph
from engine.tape.runs import WIDTH
from engine.tape.table import CODES, ROWS

CHEAP = frozenset({
    "add", "subtract", "multiply", "negative", "square", "identity", "abs", "maximum", "minimum", "where", "relu", "cast",
    "equal", "not_equal", "less", "less_equal", "greater", "greater_equal", "logical_and", "logical_or", "logical_not",
    "stop_gradient", "truth",
})  # fmt: skip
ENTRY, DEAR, RUN = 0.5, 10.0, 5.0
"""For an entry, one of a function that is not a few instructions, and for a run."""

CALL, ELEMENT = 500.0, 0.6
"""For a call of NumPy and an element."""

_WEIGHT = np.full(256, ENTRY)
for _code, _row in enumerate(ROWS, 1):
    _WEIGHT[_code] = ENTRY if _row.name in CHEAP else DEAR


def dearer(codes: Any, table: Any, *graphs: Graph | None) -> bool:
    """Whether the runs take longer than the graphs."""
    counts = table.view(np.int64).reshape(len(codes), WIDTH)[:, 1]
    tape = RUN * len(codes) + float((_WEIGHT[codes] * counts).sum())
    return tape > sum(arrays(g) for g in graphs if g is not None)


def hopeless(*graphs: Graph | None) -> bool:
    """Whether a tape of the graphs would surely take longer, by the sizes of their elementwise nodes and products alone."""
    there = [g for g in graphs if g is not None]
    return sum(map(_numbers, there)) > sum(map(arrays, there))


def _numbers(graph: Graph) -> float:
    """Less than what a tape takes."""
    total = 0.0
    for i, _ in graph.schedule:
        node = graph.nodes[i]
        op = node.op
        if op.subgraphs:
            total += sum(times * _numbers(g) for g, times in op.inside(**dict(node.params)))
        elif isinstance(node.aval, Aval) and op.name in CODES:
            total += _WEIGHT[CODES[op.name]] * node.aval.size
        elif op.name == "matmul":
            operands: list[Any] = [graph.nodes[j].aval for j in node.inputs]
            total += op.flops(operands, node.aval, **dict(node.params))
    return total


def arrays(graph: Graph) -> float:
    """What NumPy takes for a graph, the graphs inside too."""
    total = CALL
    for i, _ in graph.schedule:
        node = graph.nodes[i]
        avals = [node.aval] if isinstance(node.aval, Aval) else node.aval
        total += CALL + ELEMENT * sum(a.size for a in avals)
        if node.op.subgraphs:
            total += sum(times * arrays(g) for g, times in node.op.inside(**dict(node.params)))
    return total
