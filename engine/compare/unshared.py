"""Graphs as the formulas they would be without intermediate results: loops written out, and every operand written anew wherever
it is read. How long that is shows before it is written (`engine.symbolic.size`); only what is short is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from engine.aval import Aval, DType
from engine.builder import GraphBuilder
from engine.graph import CONSTANT, INPUT, ITEM, Graph, Node, single

CLOSED = {
    "core.while": "a while loop runs as often as its values say",
    "core.counted": "a while loop runs as often as its values say",
    "core.implicit": "a root is defined by an equation",
    "core.linear_solve": "the solution of a system of equations given by a function is computed by an algorithm",
    "core.custom": "a function with a derivative rule of its own need not be differentiated by formula",
}
"""Ops for which there is no formula to write down, and why."""


class NoFormula(Exception):
    """There is no closed formula, or none of bearable length; the text says why."""


def unrolled(
    graph: Graph, nodes: Sequence[int], dtype: DType, most: int, step: Callable[[], None]
) -> tuple[Graph, list[int]]:
    """The graph with the bodies of its loops written one below the other, and where `nodes` have gone.

    Raises `NoFormula` beyond `most` nodes.
    """
    b = GraphBuilder(dtype, step=step)
    refs = [b.input(a) for a in graph.in_avals]
    found = _written(b, graph.with_outputs([*graph.outputs, *nodes]), refs, most)
    k = len(graph.outputs)
    return b.build(found[:k]), found[k:]


def _written(b: GraphBuilder, graph: Graph, refs: Sequence[int], most: int) -> list[Any]:
    """The outputs of a graph over references; of nodes with several results lists of references."""
    place: dict[int, Any] = dict(zip(graph.inputs, refs, strict=True))
    for i, _ in graph.schedule:
        node = graph.nodes[i]
        if i in place:
            continue
        if len(b.nodes) > most:
            raise NoFormula(f"written out, its loops have more than {most:,} operations")
        if node.op.name in CLOSED:
            raise NoFormula(f"there is no closed formula: {CLOSED[node.op.name]}")
        operands = [place[j] for j in node.inputs]
        if node.op is CONSTANT:
            place[i] = b.constant(node.params[0][1].value)
        elif node.op is ITEM and isinstance(operands[0], list):
            place[i] = operands[0][node.params[0][1]]
        elif node.op.name == "core.scan":
            place[i] = _loop(b, node, operands, most)
        elif node.op.name == "core.checkpoint":
            place[i] = _written(b, dict(node.params)["body"], operands, most)
        else:
            b.nodes.append(Node(node.op, tuple(operands), node.params, node.aval))
            place[i] = len(b.nodes) - 1
            if b.step is not None:
                b.step()
    return [place[o] for o in graph.outputs]


def _loop(b: GraphBuilder, node: Node, operands: Sequence[Any], most: int) -> list[Any]:
    """A scan, step by step."""
    params = dict(node.params)
    body: Graph = params["body"]
    nk, nx, n = params["carries"], params["scanned"], params["length"]
    carries, xs, constants = list(operands[:nk]), operands[nk : nk + nx], operands[nk + nx :]
    rows: list[list[int]] = [[0] * n for _ in body.outputs[nk:]]
    for t in range(n - 1, -1, -1) if params["reverse"] else range(n):
        if len(b.nodes) > most:
            raise NoFormula(f"written out, its loops have more than {most:,} operations")
        out = _written(b, body, [*carries, *[_entry(b, x, t) for x in xs], *constants], most)
        carries = out[:nk]
        for row, ref in zip(rows, out[nk:], strict=True):
            row[t] = ref
    return [*carries, *(_stacked(b, row, a) for row, a in zip(rows, body.out_avals[nk:], strict=True))]


def _entry(b: GraphBuilder, x: int, t: int) -> int:
    """x[t]."""
    shape = single(b.nodes[x].aval).shape
    index = ((t, t + 1, 1), *((0, n, 1) for n in shape[1:]))
    cut: int = b.core("slice", x, index=index)
    found: int = b.core("reshape", cut, shape=shape[1:])
    return found


def _stacked(b: GraphBuilder, row: Sequence[int], aval: Aval) -> int:
    """The entries of a row along a new first axis."""
    if not row:
        return b.constant(np.zeros((0, *aval.shape), aval.dtype))
    parts = [b.core("reshape", r, shape=(1, *aval.shape)) for r in row]
    joined: int = b.core("concat", *parts, axis=-1 - len(aval.shape))
    return joined


def copies(graph: Graph) -> float:
    """Nodes of the graph without sharing, inputs and constants apart; infinite beyond the range of doubles."""
    counts = [0.0] * len(graph.nodes)
    for i, _ in graph.schedule:
        node = graph.nodes[i]
        if node.op is not CONSTANT:
            counts[i] = 1.0 + sum(counts[j] for j in node.inputs)
    return sum(counts[o] for o in graph.outputs)


def operations(graph: Graph) -> float:
    """Floating-point operations of the graph without sharing, as `engine.cost` counts them."""
    counts = [0.0] * len(graph.nodes)
    for i, _ in graph.schedule:
        node = graph.nodes[i]
        if node.op is CONSTANT:
            continue
        operands: list[Any] = [graph.nodes[j].aval for j in node.inputs]
        own = node.op.flops(operands, node.aval, **dict(node.params))
        counts[i] = own + sum(counts[j] for j in node.inputs)
    return sum(counts[o] for o in graph.outputs)


def endless(graph: Graph) -> bool:
    """Whether a search or a loop is in it whose length shows only while it runs."""
    todo, seen = [graph], set()
    while todo:
        part = todo.pop()
        if id(part) in seen:
            continue
        seen.add(id(part))
        for node in part.nodes:
            if node.op.name in ("core.while", "core.counted", "core.implicit"):
                return True
            if node.op.subgraphs:
                todo += [inner for inner, _ in node.op.inside(**dict(node.params))]
    return False


def trees(graphs: Sequence[Graph], step: Callable[[], None]) -> Graph:
    """Graphs of the same inputs as one, without sharing: only inputs are read more than once. To be asked of short ones
    (`copies`)."""
    nodes: list[Node] = []
    outputs: list[int] = []
    inputs: list[int] = []
    for graph in graphs:
        if not inputs:
            inputs = list(range(len(graph.inputs)))
            nodes += [graph.nodes[i] for i in graph.inputs]
        outputs += _tree(graph, nodes, step)
    return Graph(tuple(nodes), tuple(inputs), tuple(outputs))


def _tree(graph: Graph, nodes: list[Node], step: Callable[[], None]) -> list[int]:
    """The outputs of a graph, written without sharing."""
    place = {i: k for k, i in enumerate(graph.inputs)}
    outputs = []
    for o in graph.outputs:
        done: list[int] = []
        """Positions of operands that wait for the node that reads them."""
        todo: list[tuple[int, bool]] = [(o, False)]
        while todo:
            i, ready = todo.pop()
            node = graph.nodes[i]
            if node.op is INPUT or node.op is CONSTANT:
                if i not in place:
                    place[i] = len(nodes)
                    nodes.append(node)
                done.append(place[i])
            elif ready:
                step()
                k = len(node.inputs)
                operands = tuple(done[len(done) - k :])
                del done[len(done) - k :]
                nodes.append(node._replace(inputs=operands))
                done.append(len(nodes) - 1)
            else:
                todo.append((i, True))
                todo.extend((j, False) for j in reversed(node.inputs))
        outputs.append(done.pop())
    return outputs
