r"""How long a derivative is, written with shared intermediates and without: the swell of expressions, without expanding any.

With sharing every operation is counted once. Without, an operation counts once for each path from a result to it, as if
what it computes were written anew wherever it is read: size(n) = 1 + Σ size(operand), from the first node to the last. That
number may have more digits than a double can tell, so its logarithm comes with it.

A. Griewank, "On automatic differentiation", 1989, on the size of symbolic derivatives; G. F. Corliss, "Applications of
differentiation arithmetic", 1988; A. G. Baydin et al., "Automatic differentiation in machine learning: a survey", JMLR 18,
2018, section 2.2 ("expression swell").
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from engine.graph import CONSTANT, INPUT, ITEM, Graph, Node

SILENT = frozenset({"reshape", "broadcast_to", "identity", "cast", "core.item"})
"""Ops that no formula writes."""
EXACT = 2**53
"""Beyond this a count is a rounded double."""


class Size(NamedTuple):
    """Operations of a derivative: with `shared` intermediates, and written out, `expanded`: exact up to 2⁵³, infinite over
    the range of doubles; `log10_expanded` is its decimal logarithm in any case (−∞ for none)."""

    shared: int
    expanded: float
    log10_expanded: float


class _Count(NamedTuple):
    """A positive count: exactly, or where that is too large None; and its natural logarithm."""

    exact: int | None
    log: float


_NONE = _Count(0, -math.inf)


def graph_size(graph: Graph, outputs: Sequence[int] | None = None) -> Size:
    """Size of what `outputs` (nodes; by default the graph's) are computed by, all together.

    The expanded size counts each output's own expression, as they would be written one below the other. A loop counts its
    body for each step it may take.
    """
    outs = graph.outputs if outputs is None else tuple(outputs)
    shared, counts = _walk(graph.with_outputs(outs))
    total = _sum([counts[o] for o in outs])
    if total.exact is not None:
        expanded = float(total.exact)
    else:
        expanded = math.exp(total.log) if total.log < 709 else math.inf
    return Size(shared, expanded, total.log / math.log(10))


def _walk(graph: Graph) -> tuple[int, list[_Count]]:
    """Operations of the graph's outputs with sharing, and for each node those without."""
    counts = [_NONE] * len(graph.nodes)
    shared = 0
    for i, _ in graph.schedule:
        node = graph.nodes[i]
        if node.op in (INPUT, CONSTANT):
            continue
        own, spread = _own(node)
        shared += own
        parts = [counts[j] for j in node.inputs]
        counts[i] = parts[0] if spread == _NONE and len(parts) == 1 else _sum([spread, *parts])
    return shared, counts


def _own(node: Node) -> tuple[int, _Count]:
    """Operations of a node itself, with sharing and without."""
    if node.op is ITEM or node.op.name in SILENT:
        return 0, _NONE
    if not node.op.subgraphs:
        return 1, _Count(1, 0.0)
    shared, parts = 1, [_Count(1, 0.0)]
    for body, times in node.op.inside(**dict(node.params)):
        inside, counts = _walk(body)
        shared += inside * max(1, times)
        parts.append(_times(_sum([counts[o] for o in body.outputs]), max(1, times)))
    return shared, _sum(parts)


def _sum(parts: Sequence[_Count]) -> _Count:
    exact = 0
    for part in parts:
        if part.exact is None:
            break
        exact += part.exact
    else:
        if exact <= EXACT:
            return _Count(exact, math.log(exact) if exact else -math.inf)
    most = max(part.log for part in parts)
    return _Count(None, most + math.log(math.fsum(math.exp(part.log - most) for part in parts)))


def _times(count: _Count, n: int) -> _Count:
    if count.exact is not None and count.exact * n <= EXACT:
        return _Count(count.exact * n, math.log(count.exact * n) if count.exact else -math.inf)
    return _Count(None, count.log + math.log(n))
