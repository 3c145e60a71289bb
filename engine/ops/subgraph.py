"""What the ops that hold graphs have in common: calling, retyping and weighing a body."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from engine.aval import Aval, DType
from engine.builder import GraphBuilder, Var, cast
from engine.graph import Graph
from engine.transforms.simplify import simplify


def wrap(
    dtype: DType, avals: Sequence[Aval], graph: Graph, arguments: Sequence[int], results: Sequence[int]
) -> Graph:
    """A graph of `avals` that calls `graph` with its own inputs `arguments` and returns `graph`'s outputs `results`."""
    b = GraphBuilder(dtype)
    inputs = [b.input(a) for a in avals]
    outs = b.inline(graph, [inputs[k] for k in arguments])
    return simplify(b.build([outs[k] for k in results]), dtype)


def with_dtypes(graph: Graph, avals: Sequence[Aval], dtype: DType) -> Graph:
    """The graph with its outputs cast to `avals`' dtypes. Raises `ShapeMismatch` where shapes differ."""
    b = GraphBuilder.on(graph, dtype)
    outs = [cast(b, Var(b, o), a.dtype) for o, a in zip(graph.outputs, avals, strict=True)]
    return b.build([v.ref for v in outs])


_WIDTH = {"bool": 0, "int64": 1, "float32": 2, "float64": 2}


def wider(a: Aval, b: Aval) -> Aval:
    """`a` with the wider dtype of the two (bool, integers, floats)."""
    return a if _WIDTH[a.dtype] >= _WIDTH[b.dtype] else Aval(a.shape, b.dtype)


def graph_flops(graph: Graph) -> float:
    """Floating-point operations of all nodes."""
    total = 0.0
    for node in graph.nodes:
        operands: list[Any] = [graph.nodes[j].aval for j in node.inputs]
        total += node.op.flops(operands, node.aval, **dict(node.params))
    return total
