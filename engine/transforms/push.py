r"""The forward walk: tangents of every node, from tangents of some.

dots[i] is the tangent of node i: ẋᵢ = Σ over operands j of (∂xᵢ/∂xⱼ) ẋⱼ, plus what was seeded at node i itself. With
values this is arithmetic of dual numbers v + v̇ε, ε² = 0; with a graph builder it is a graph that can be differentiated
again. Tangents are strong zeros, as cotangents are (`engine.formula`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from engine.aval import Aval, DType
from engine.builder import Builder, GraphBuilder, Var, item
from engine.graph import ITEM, Graph, Node, single
from engine.op import General, Linear, Partial, Subgraph, Zero
from engine.transforms.pull import floating


def push(b: Builder, nodes: Sequence[Node], refs: Any, dots: Any, order: Iterable[int] | None = None) -> None:
    """Walk forward over `nodes` (those of `order`, ascending), filling `dots`.

    `refs[i]` is node i's value in builder `b`; `dots[i]` on entry is the tangent seeded at node i or None, on exit its
    whole tangent or None where that is zero (for a node of several results a list of those).
    """
    for i in range(len(nodes)) if order is None else order:
        node = nodes[i]
        inputs = node.inputs
        live = False
        for j in inputs:
            if dots[j] is not None:
                live = True
                break
        if not live or not floating(node.aval):
            continue
        if node.op is ITEM:
            found = dots[inputs[0]][node.params[0][1]]
        else:
            found = _push_one(b, node, i, nodes, refs, dots)
        if found is not None:
            dots[i] = found if dots[i] is None else b.add(dots[i], found)


def _push_one(b: Builder, node: Node, i: int, nodes: Sequence[Node], refs: Any, dots: Any) -> Any:
    op, inputs = node.op, node.inputs
    params = dict(node.params)
    parts: list[Any] = []
    operands: list[Any] | None = None
    joint: list[int] = []
    general: list[int] = []
    subgraph = False
    for k, j in enumerate(inputs):
        if dots[j] is None:
            continue
        rule = op.rule(k)
        if isinstance(rule, Partial):
            if rule.formula.zero:
                continue
            if operands is None:
                operands = [refs[m] for m in inputs]
            parts.append(b.product(rule.formula, dots[j], operands, refs[i], op.strong_partial(k, params)))
        elif isinstance(rule, Linear):
            if rule.joint:
                joint.append(k)
            else:
                parts.append(
                    b.emit(op, [dots[m] if n == k else refs[m] for n, m in enumerate(inputs)], node.params)
                )
        elif isinstance(rule, General):
            general.append(k)
        elif isinstance(rule, Subgraph):
            subgraph = True
        else:
            assert isinstance(rule, Zero)
    if joint:
        mixed = []
        for k, j in enumerate(inputs):
            rule = op.rule(k)
            if k in joint:
                mixed.append(dots[j])
            elif isinstance(rule, Linear) and rule.joint:
                mixed.append(b.zeros(single(nodes[j].aval)))
            else:
                mixed.append(refs[j])
        parts.append(b.emit(op, mixed, node.params))
    if general:
        xs = [Var(b, refs[j]) for j in inputs]
        dxs = [Var(b, dots[j]) if k in general else None for k, j in enumerate(inputs)]
        if isinstance(node.aval, Aval):
            dy = op.jvp(Var(b, refs[i]), xs, dxs, **params)
            if dy is not None:
                parts.append(dy.ref)
        else:
            ys = tuple(Var(b, item(b, refs[i], m)) for m in range(len(node.aval)))
            return [None if d is None else d.ref for d in op.jvp(ys, xs, dxs, **params)]
    if subgraph:
        xs = [Var(b, refs[j]) for j in inputs]
        tangents = [None if dots[j] is None else Var(b, dots[j]) for j in inputs]
        return [None if d is None else d.ref for d in op.push_from(b, xs, refs[i], tangents, **params)]
    total = None
    for part in parts:
        total = part if total is None else b.add(total, part)
    return total


def jvp_graph(graph: Graph, seeds: Sequence[int], dtype: DType, **limits: Any) -> Graph:
    """Forward mode, graph to graph.

    Inputs: those of `graph`, then a tangent for each node of `seeds` (of its aval). Outputs: those of `graph`, then the
    tangent of each of them (zeros where it depends on no seed or is no float). Nodes keep their positions.
    `limits` are the builder's.
    """
    b = GraphBuilder.on(graph, dtype, **limits)
    n = len(graph.nodes)
    dots: list[Any] = [None] * n
    for i in seeds:
        dots[i] = b.input(single(graph.nodes[i].aval))
    push(b, graph.nodes, range(n), dots)
    outs = []
    for o in graph.outputs:
        aval = single(graph.nodes[o].aval)
        outs.append(
            dots[o] if dots[o] is not None else b.zeros(aval if aval.floating else Aval(aval.shape, dtype))
        )
    return b.build([*graph.outputs, *outs])
