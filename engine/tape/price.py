"""Whether runs of a tape take longer than NumPy for the same graph: nanoseconds by rule of thumb, measured on two cores."""

from __future__ import annotations

from typing import Any

import numpy as np

from engine.aval import Aval
from engine.graph import Graph
from engine.tape.table import ROWS

CHEAP = frozenset({
    "add", "subtract", "multiply", "negative", "square", "identity", "abs", "maximum", "minimum", "where", "relu", "cast",
    "equal", "not_equal", "less", "less_equal", "greater", "greater_equal", "logical_and", "logical_or", "logical_not",
    "stop_gradient", "truth",
})  # fmt: skip
ENTRY, DEAR, RUN = 1.0, 12.0, 6.0
"""For an entry, one of a function that is not a few instructions, and for a run."""

CALL, ELEMENT = 700.0, 0.6
"""For a call of NumPy and an element."""

_WEIGHT = np.full(256, ENTRY)
for _code, _row in enumerate(ROWS, 1):
    _WEIGHT[_code] = ENTRY if _row.name in CHEAP else DEAR


def dearer(codes: Any, table: Any, *graphs: Graph | None) -> bool:
    """Whether the runs take longer than the graphs."""
    counts = table.view(np.int64).reshape(len(codes), -1)[:, 1]
    tape = RUN * len(codes) + float((_WEIGHT[codes] * counts).sum())
    return tape > sum(_arrays(g) for g in graphs if g is not None)


def _arrays(graph: Graph) -> float:
    """What NumPy takes for a graph, the graphs inside too."""
    total = CALL
    for i, _ in graph.schedule:
        node = graph.nodes[i]
        avals = [node.aval] if isinstance(node.aval, Aval) else node.aval
        total += CALL + ELEMENT * sum(a.size for a in avals)
        if node.op.subgraphs:
            total += sum(times * _arrays(g) for g, times in node.op.inside(**dict(node.params)))
    return total
