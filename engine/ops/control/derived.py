"""Small parts of which derivatives of bodies are made."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from engine.aval import Aval, Shape
from engine.builder import Builder, Var, broadcast_to, cast
from engine.errors import quoted
from engine.graph import Graph
from engine.program import Body
from engine.transforms.push import jvp_graph
from engine.transforms.simplify import simplify
from engine.transforms.vmap import map_graph


def operand_name(body: Body, k: int) -> str:
    """Operand `k`, as an error calls it: with the name that it has in the body."""
    program = body.program
    if k < len(program.inputs):
        return f"operand {k} ({quoted(program.steps[program.inputs[k]].id)} in the body)"
    return f"operand {k}"


def placed(v: Var, shape: Shape) -> Var:
    """The value in a shape of as many elements."""
    return v if v.shape == shape else v.reshape(shape)


def identity_matrix(b: Builder, n: int) -> Var:
    """The n × n identity, written with ops: a graph holds no array of that size."""
    count: Var = b.write("iota", n=n)
    row, column = (broadcast_to(count.reshape(s), (n, n)) for s in ((1, n), (n, 1)))
    return cast(b, b.write("equal", row, column), b.dtype)


def basis(b: Builder, aval: Aval) -> Var:
    """All unit arrays of a shape, along a leading axis."""
    return placed(identity_matrix(b, aval.size), (aval.size, *aval.shape))


def tangents_of(graph: Graph, moving: Sequence[int], b: Builder) -> Graph:
    """Inputs, then tangents of the inputs at `moving` → tangents of the outputs."""
    g = jvp_graph(graph, [graph.inputs[k] for k in moving], b.dtype, **b.limits)
    return simplify(g.with_outputs(g.outputs[len(graph.outputs) :]), b.dtype, b.limits.get("step"))


def mapped_over(b: Builder, graph: Graph, fixed: Sequence[Any], seeds: Sequence[Var], size: int) -> list[Var]:
    """The graph over fixed arguments and seeds that lead with an axis of `size`; so do the results."""
    axes = [*[None] * len(fixed), *[0] * len(seeds)]
    mapped = simplify(map_graph(graph, size, axes, b.dtype, **b.limits), b.dtype, b.limits.get("step"))
    return [Var(b, r) for r in b.inline(mapped, [*fixed, *[s.ref for s in seeds]])]
