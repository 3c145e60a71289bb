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
from engine.graph import ITEM, Graph, Node, single
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
    taylor_order: int = 100
    landscape_points: int = 1_000_000
    minimize_iterations: int = 1_000_000
    derivative_order: int = 10
    derivative_nodes: int = 200_000
    errors: int = 20
    warnings: int = 20

    def record_bytes(self, members: int = 1) -> int:
        """What one loop may record for the way back: an eighth of the memory (second derivatives record several times as
        much), shared by the members of a batch, which is one array and must not be over the limit of elements.
        """
        share = self.memory_bytes // 8
        return share if members == 1 else min(share, 8 * self.elements) // max(1, members)


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
    bodies = [(_cost_of_body(graph), times) for graph, times in node.op.inside(**params)]
    return Cost(
        max((max(1, c.nodes) * times for c, times in bodies), default=0),
        0.0,
        max((c.bytes for c, _ in bodies), default=0),
        max((c.largest_step for c, _ in bodies), default=0.0),
    )


def _cost_of_body(graph: Graph) -> Cost:
    """`cost_of`, found out once for each graph: several walks ask for that of a body."""
    found: Cost | None = vars(graph).get("_cost")
    if found is None:
        found = vars(graph)["_cost"] = cost_of(graph)
    return found


def cost_of(graph: Graph, *, keep: bool = False) -> Cost:
    """Cost of computing the graph's outputs; with `keep` every node's value stays until the end."""
    nodes = graph.nodes
    if keep:
        known: Cost | None = vars(graph).get("_cost_kept")
        if known is None:
            known = vars(graph)["_cost_kept"] = _cost_of_all(nodes)
        return known
    flops, largest, count = 0.0, 0.0, 0
    roots, dying = _lives(graph)
    sizes = {i: node_bytes(nodes[i]) for i in graph.inputs}
    total = peak = sum(sizes.values())
    for i, _ in graph.schedule:
        node = nodes[i]
        if node.aval == _SCALAR and node.op.elementwise:
            flops += 1.0
            step, work = 1.0, 0
        else:
            operands: list[Any] = [nodes[j].aval for j in node.inputs]
            step = node.op.flops(operands, node.aval, **dict(node.params))
            work = node.op.workspace(operands, node.aval, **dict(node.params))
            flops += step
        inside = inner_cost(node) if node.op.subgraphs else None
        largest = max(largest, step if inside is None else inside.largest_step)
        size = sizes[i] = node_bytes(node)
        if node.op is ITEM and i not in roots:  # takes over what is its own of the node that made it
            sizes[i] = single(node.aval).nbytes
            sizes[node.inputs[0]] -= sizes[i]
        total += size
        peak = max(peak, total + work if inside is None else total + work + inside.bytes)
        for j in dying.get(i, ()):
            total -= sizes[j]
        count += 1 if inside is None else 1 + inside.nodes
    return Cost(count, flops, peak, largest)


def _lives(graph: Graph) -> tuple[dict[int, int], dict[int, list[int]]]:
    """Whose memory a node's value is in, if not its own; and for each step what it is the last to need."""
    roots: dict[int, int] = {}
    last: dict[int, int] = {}
    items: dict[tuple[int, int], int] = {}
    for i, _ in graph.schedule:
        node = graph.nodes[i]
        for j in node.inputs:
            last[roots.get(j, j)] = i
        if node.op is ITEM:
            first = items.setdefault((node.inputs[0], node.params[0][1]), i)
            if first != i:
                roots[i] = first
        elif node.op.name in VIEWS and node.inputs:
            roots[i] = roots.get(node.inputs[0], node.inputs[0])
    kept = {roots.get(o, o) for o in graph.outputs} | set(graph.inputs)
    dying: dict[int, list[int]] = {}
    for j, i in last.items():
        if j not in kept:
            dying.setdefault(i, []).append(j)
    return roots, dying


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
        work = op.workspace(operands, aval, **dict(params))
        peak = max(peak, work)
        node = Node(op, inputs, params, aval)
        total += node_bytes(node)
        if op.subgraphs:
            inside = inner_cost(node)
            step = inside.largest_step
            peak = max(peak, inside.bytes + work)
            count += inside.nodes
        largest = max(largest, step)
    return Cost(count, flops, total + peak, largest)


def cost_of_way_back(graph: Graph, dtype: DType, record_bytes: int) -> Cost:
    """Cost of the backward walk through the loops and choices of a graph, which is more than a multiple of the forward one.

    A loop records its carries for the way back (or checkpoints, if that would be more than `record_bytes`); how much that
    is shows only in its derivative, which is made here for each loop alone.
    """
    nodes, flops, nbytes = 0, 0.0, 0
    for node in graph.nodes:
        if not node.op.subgraphs:
            continue
        b = GraphBuilder(dtype, record_bytes=record_bytes)
        operands: list[Any] = [graph.nodes[j].aval for j in node.inputs]
        alone = b.emit(node.op, [b.input(a) for a in operands], node.params)
        outs = [item(b, alone, k) for k, a in enumerate(node.aval) if isinstance(a, Aval) and a.floating]
        wrt = [i for i, a in zip(b.inputs, operands, strict=True) if a.floating]
        derived = vjp_graph(b.build(()), outs, wrt, dtype, record_bytes=record_bytes)
        cost = cost_of(derived)
        nodes += cost.nodes
        flops += cost.flops
        nbytes = max(nbytes, cost.bytes)
    return Cost(nodes, flops, nbytes)


_SCALAR = Aval((), "float64")


def _size(nbytes: int) -> str:
    return f"{nbytes / GIB:.1f} GiB" if nbytes >= GIB / 2 else f"{nbytes / (1 << 20):.1f} MiB"


def check(cost: Cost, limits: Limits, what: str = "This") -> None:
    """Raise `LimitExceeded` for a cost over the limits, naming limit and figure."""
    if cost.bytes > limits.memory_bytes:
        raise LimitExceeded(
            "memory_bytes",
            limits.memory_bytes,
            cost.bytes,
            f"{what} would take about {_size(cost.bytes)} of memory; the limit is {_size(limits.memory_bytes)}.",
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
