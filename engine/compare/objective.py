"""What all ways differentiate: node `of`, or Σ seed·of, as one graph; and the graphs of its derivatives."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from engine.aval import Array, DType
from engine.builder import GraphBuilder
from engine.derive.first_order import with_one
from engine.derive.second_order import Perturbed
from engine.graph import Graph, single
from engine.specialize import Typed
from engine.transforms.pull import vjp_graph
from engine.transforms.push import jvp_graph, push
from engine.transforms.simplify import simplify


@dataclass(frozen=True)
class Objective:
    """A scalar: `graph` has one output, and is differentiated by its nodes `wrt`. `arguments` are the values of its inputs.

    `moved` is the same as a function of the nodes' values alone, for differences: its inputs number `rows`, of which those of
    intermediates are offsets that are added to them. `moved_arguments` are the values of all its inputs, and `places` tells
    which of its nodes compute steps of the program.
    """

    graph: Graph
    wrt: list[int]
    arguments: list[Array]
    moved: Graph
    rows: list[int]
    moved_arguments: list[Array]
    places: Mapping[int, int]


def objective(typed: Typed, of: int, wrt: list[int], seed: Array | None, arguments: list[Array]) -> Objective:
    """Of step `of` by steps `wrt`; with a seed, of Σ seed·of (a zero of the seed is a strong one)."""
    perturbed = Perturbed(typed, wrt, typed.dtype)
    moved = _contracted(perturbed.graph, perturbed.value[typed.node(of)], seed, typed.dtype)
    numbers = {node: k for k, node in enumerate(moved.inputs)}
    return Objective(
        _contracted(typed.graph, typed.node(of), seed, typed.dtype),
        [typed.node(i) for i in wrt],
        arguments,
        moved,
        [numbers[perturbed.seed[i]] for i in wrt],
        [*arguments, *perturbed.deltas],
        {new: typed.owner(old) for old, new in perturbed.value.items()},
    )


def _contracted(graph: Graph, out: int, seed: Array | None, dtype: DType) -> Graph:
    """The graph with one output: a node, or the sum of its entries times those of a seed."""
    if seed is None:
        return graph.with_outputs([out])
    b = GraphBuilder.on(graph, dtype)
    out = b.core("multiply", b.constant(np.asarray(seed, dtype)), out, strong=(0,))
    if seed.ndim:
        out = b.core("sum", out, axes=tuple(range(-seed.ndim, 0)))
    return b.build([out])


def backward(
    graph: Graph, wrt: Sequence[int], dtype: DType, record_bytes: int, step: Callable[[], None]
) -> Graph:
    """Arguments → the value of a scalar, and its gradient by nodes: reverse mode."""
    derived = vjp_graph(graph, graph.outputs, wrt, dtype, record_bytes=record_bytes, step=step)
    return simplify(with_one(derived, dtype, step), dtype, step)


def along(graph: Graph, wrt: Sequence[int], dtype: DType, step: Callable[[], None]) -> Graph:
    """Arguments, then tangents of nodes → the value and its tangent: forward mode."""
    return simplify(jvp_graph(graph, wrt, dtype, step=step), dtype, step)


def by_hand(graph: Graph, node: int, dtype: DType, step: Callable[[], None]) -> Graph:
    """The derivative of the one output by a node that is a scalar, by the rules from the inside outwards."""
    b = GraphBuilder.on(graph, dtype, step=step)
    dots: list[int | None] = [None] * len(graph.nodes)
    aval = single(graph.nodes[node].aval)
    dots[node] = b.ones(aval)
    push(b, graph.nodes, range(len(graph.nodes)), dots)
    (out,) = graph.outputs
    dot = dots[out]
    return simplify(b.build([b.zeros(single(graph.nodes[out].aval)) if dot is None else dot]), dtype, step)


def flattened(parts: Any) -> Array:
    """Arrays one behind the other, float64."""
    flat = [np.asarray(p, np.float64).reshape(-1) for p in parts]
    return np.concatenate(flat) if flat else np.zeros(0)
