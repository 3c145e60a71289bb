"""What a graph will cost, from avals alone: decided before anything is allocated.

Figures are upper bounds of the order of the truth: bytes assume that every value is kept until the end (all of them are
reported), flops are those of the ops' own `flops`, seconds are for a slow two-core machine.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from engine.aval import Aval, DType
from engine.builder import GraphBuilder, item
from engine.errors import LimitExceeded
from engine.graph import Graph, Node
from engine.transforms.pull import vjp_graph

GIB = 1 << 30


@dataclass(frozen=True, slots=True)
class Limits:
    """What is allowed. Units: nodes, elements of one array, bytes, floating-point operations, elements of the answer."""

    nodes: int = 1_000_000
    elements: int = 10_000_000
    rank: int = 32
    memory_bytes: int = 4 * GIB
    flops: int = 2_000_000_000_000
    step_flops: int = 100_000_000_000
    response_elements: int = 20_000_000
    errors: int = 20
    warnings: int = 20


@dataclass(frozen=True, slots=True)
class Cost:
    """Predicted cost of computing a graph once."""

    nodes: int
    flops: float
    bytes: int
    largest_step: float = 0.0

    @property
    def seconds(self) -> float:
        """Rough time: 3 µs a node, 10⁹ elementary operations and 4·10⁹ bytes a second."""
        return 3e-6 * self.nodes + 1e-9 * self.flops + 2.5e-10 * self.bytes


VIEWS = frozenset(
    {"broadcast_to", "reshape", "permute_dims", "slice", "identity", "core.item", "core.constant"}
)
"""Core ops whose result shares the operand's memory."""


def node_bytes(node: Node) -> int:
    """Bytes that computing a node newly takes."""
    if node.op.name in VIEWS:
        return 0
    aval = node.aval
    return aval.nbytes if isinstance(aval, Aval) else sum(a.nbytes for a in aval)


def inner_cost(node: Node) -> Cost:
    """Nodes that a loop or a choice computes inside, and the bytes it takes while it runs; flops are the op's own."""
    params = dict(node.params)
    bodies = [cost_of(p) for p in params.values() if isinstance(p, Graph)]
    steps = params.get("length", 1) * max((c.nodes for c in bodies), default=0)
    return Cost(
        steps,
        0.0,
        max((c.bytes for c in bodies), default=0),
        max((c.largest_step for c in bodies), default=0.0),
    )


def cost_of(graph: Graph, *, keep: bool = False) -> Cost:
    """Cost of computing the graph's outputs; with `keep` every node's value stays until the end."""
    nodes = graph.nodes
    if keep:
        return _cost_of_all(nodes)
    flops, total, peak, largest, count = 0.0, 0, 0, 0.0, 0
    sizes = {i: node_bytes(nodes[i]) for i in graph.inputs}
    total = peak = sum(sizes.values())
    for i, dying in graph.schedule:
        node = nodes[i]
        if node.aval == _SCALAR and node.op.elementwise:
            flops += 1.0
            step = 1.0
        else:
            operands: list[Any] = [nodes[j].aval for j in node.inputs]
            step = node.op.flops(operands, node.aval, **dict(node.params))
            flops += step
            peak = max(
                peak, total + node_bytes(node) + node.op.workspace(operands, node.aval, **dict(node.params))
            )
        inside = inner_cost(node) if node.op.subgraphs else None
        largest = max(largest, step if inside is None else inside.largest_step)
        size = sizes[i] = node_bytes(node)
        total += size
        peak = max(peak, total if inside is None else total + inside.bytes)
        for j in dying:
            total -= sizes.get(j, 0)
        count += 1 if inside is None else 1 + inside.nodes
    return Cost(count, flops, peak, largest)


def _cost_of_all(nodes: Sequence[Node]) -> Cost:
    flops, total, largest, peak, count = 0.0, 0, 0.0, 0, len(nodes)
    for op, inputs, params, aval in nodes:
        if aval == _SCALAR and op.elementwise:
            flops += 1.0
            total += 8
            continue
        operands: list[Any] = [nodes[j].aval for j in inputs]
        step = op.flops(operands, aval, **dict(params))
        flops += step
        peak = max(peak, op.workspace(operands, aval, **dict(params)))
        node = Node(op, inputs, params, aval)
        total += node_bytes(node)
        if op.subgraphs:
            inside = inner_cost(node)
            step = inside.largest_step
            peak = max(peak, inside.bytes)
            count += inside.nodes
        largest = max(largest, step)
    return Cost(count, flops, total + peak, largest)


def cost_of_way_back(graph: Graph, dtype: DType) -> Cost:
    """Cost of the backward walk through the loops and choices of a graph, which is more than a multiple of the forward one.

    A loop records its carries for the way back; how much that is shows only in its derivative, which is made here for
    each loop alone.
    """
    nodes, flops, nbytes = 0, 0.0, 0
    for node in graph.nodes:
        if not node.op.subgraphs:
            continue
        b = GraphBuilder(dtype)
        operands: list[Any] = [graph.nodes[j].aval for j in node.inputs]
        alone = b.emit(node.op, [b.input(a) for a in operands], node.params)
        outs = [item(b, alone, k) for k, a in enumerate(node.aval) if isinstance(a, Aval) and a.floating]
        wrt = [i for i, a in zip(b.inputs, operands, strict=True) if a.floating]
        derived = vjp_graph(b.build(()), outs, wrt, dtype)
        cost = cost_of(derived)
        nodes += cost.nodes
        flops += cost.flops
        nbytes = max(nbytes, cost.bytes)
    return Cost(nodes, flops, nbytes)


_SCALAR = Aval((), "float64")


def check(cost: Cost, limits: Limits, what: str = "This") -> None:
    """Raise `LimitExceeded` for a cost over the limits, naming limit and figure."""
    if cost.bytes > limits.memory_bytes:
        raise LimitExceeded(
            "memory_bytes",
            limits.memory_bytes,
            cost.bytes,
            f"{what} would take about {cost.bytes / GIB:.1f} GiB of memory; the limit is {limits.memory_bytes / GIB:.1f} GiB.",
        )
    if cost.flops > limits.flops:
        raise LimitExceeded(
            "flops",
            limits.flops,
            int(cost.flops),
            f"{what} would take about {cost.flops:.2g} floating-point operations; the limit is {limits.flops:.2g}.",
        )
    if cost.largest_step > limits.step_flops:
        raise LimitExceeded(
            "step_flops",
            limits.step_flops,
            int(cost.largest_step),
            f"{what} has one step of about {cost.largest_step:.2g} floating-point operations; the limit for a step, which "
            f"cannot be interrupted, is {limits.step_flops:.2g}.",
        )


def check_answer(avals: Iterable[Aval], limits: Limits) -> None:
    """Raise `LimitExceeded` for an answer of more elements than allowed."""
    total = sum(a.size for a in avals)
    if total > limits.response_elements:
        raise LimitExceeded(
            "response_elements",
            limits.response_elements,
            total,
            f"The answer would have {total:,} elements; the limit is {limits.response_elements:,}. Ask for fewer nodes "
            '("nodes": "none"), or for derivatives with respect to fewer (`wrt`).',
        )
