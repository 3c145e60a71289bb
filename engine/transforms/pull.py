r"""The backward walk: cotangents of every node, from cotangents of some.

`pull` goes back over a list of nodes. adj[i] is the cotangent of node i: x̄ᵢ = Σ over consumers j of (∂xⱼ/∂xᵢ)ᵀ x̄ⱼ.
It writes with a builder, so it yields nodes (a graph that can be differentiated again) or arrays (at once).

The rule of an operand is of one of four kinds (`engine.op`), and this is the only place where they meet on the way back.
A *general* op gives only its JVP. It is turned round on the spot: the JVP is written once on placeholders for that op
alone, and this same walk goes back over just those new nodes; that walk is transposition. There is no global
linearization: `x + 1` and `x` would share one tangent, and so one cotangent.

A. Radul, A. Paszke, R. Frostig, M. Johnson, D. Maclaurin, "You Only Linearize Once", POPL 2023, doi:10.1145/3571236.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterable, Sequence
from typing import Any

from engine.aval import Aval, Avals, DType
from engine.builder import Builder, GraphBuilder, Var, item
from engine.graph import ITEM, Graph, Node, graph_bytes, single
from engine.kept import Kept
from engine.op import General, Linear, Op, Params, Partial, Subgraph, Zero


def floating(aval: Avals) -> bool:
    """Whether a node can carry a derivative (one of several results suffices)."""
    return aval.floating if isinstance(aval, Aval) else any(a.floating for a in aval)


def depends_on(nodes: Sequence[Node], leaves: Collection[int]) -> list[bool]:
    """For each node whether it depends on one of `leaves` through floating nodes, the leaves included."""
    active = [False] * len(nodes)
    for i in leaves:
        active[i] = floating(nodes[i].aval)
    for i, node in enumerate(nodes):
        if not active[i] and floating(node.aval):
            for j in node.inputs:
                if active[j]:
                    active[i] = True
                    break
    return active


def pull(
    b: Builder,
    nodes: Sequence[Node],
    refs: Any,
    adj: Any,
    active: Sequence[bool],
    order: Iterable[int],
) -> None:
    """Walk back over `order` (descending positions in `nodes`), adding to `adj`.

    `refs[i]` is node i's value in builder `b`; `adj[i]` its cotangent so far or None for zero (for a node of several
    results a list of those). Both may be any mapping from positions, missing entries being None. Only operands with
    `active[j]` get a cotangent.
    """
    for i in order:
        ct = adj[i]
        if ct is None or not active[i]:
            continue
        node = nodes[i]
        op = node.op
        inputs = node.inputs
        if op is ITEM:
            owner = inputs[0]
            if active[owner]:
                slots = adj[owner]
                if slots is None:
                    slots = adj[owner] = [None] * len(nodes[owner].aval)
                k = node.params[0][1]
                slots[k] = ct if slots[k] is None else b.add(slots[k], ct)
            continue
        rest: list[int] = []
        operands: list[Any] | None = None
        rules = op.rules
        for k, j in enumerate(inputs):
            if not active[j]:
                continue
            rule = rules[k] if k < len(rules) else rules[-1]
            if type(rule) is Partial:
                if rule.formula.zero:
                    continue
                if operands is None:
                    operands = [refs[m] for m in inputs]
                strong = bool(node.params) and op.strong_partial(k, dict(node.params))
                back = b.product(rule.formula, ct, operands, refs[i], strong)
                adj[j] = back if adj[j] is None else b.add(adj[j], back)
            elif type(rule) is not Zero:
                rest.append(k)
        if rest:
            _pull_rest(b, node, i, rest, nodes, refs, adj)


def _pull_rest(
    b: Builder, node: Node, i: int, wanted: list[int], nodes: Sequence[Node], refs: Any, adj: Any
) -> None:
    """Linear, general and subgraph rules of node `i`, for operands `wanted`."""
    op, inputs, params = node.op, node.inputs, dict(node.params)
    ct = adj[i]
    general = [k for k in wanted if isinstance(op.rule(k), General)]
    backs: list[tuple[int, Any]] = []
    operands = [Var(b, refs[j]) for j in inputs]
    for k in wanted:
        rule = op.rule(k)
        if isinstance(rule, Linear):
            backs.append((k, rule.transpose(Var(b, ct), k, operands, **params).ref))
    if general:
        avals = tuple(single(nodes[j].aval) for j in inputs)
        cts = ct if isinstance(ct, list) else [ct]
        ready = tuple(c is not None for c in cts)
        back = pullback_graph(op, node.params, avals, node.aval, tuple(general), ready, b.dtype)
        ys = (
            [refs[i]] if isinstance(node.aval, Aval) else [item(b, refs[i], m) for m in range(len(node.aval))]
        )
        args = [*[refs[j] for j in inputs], *ys, *[c for c in cts if c is not None]]
        backs.extend(zip(general, b.inline(back, args), strict=True))
    subgraph = [k for k in wanted if isinstance(op.rule(k), Subgraph)]
    if subgraph:
        cts = [None if c is None else Var(b, c) for c in ct]
        for k, v in zip(subgraph, op.pull(b, operands, refs[i], cts, subgraph, **params), strict=True):
            if v is not None:
                backs.append((k, v.ref))
    for k, back in backs:
        j = inputs[k]
        adj[j] = back if adj[j] is None else b.add(adj[j], back)


PULLBACKS: Kept[Hashable, Graph] = Kept(16 << 20)
"""The pullbacks that were made; their graphs may hold constant indices, so it is bytes that are bounded."""


def pullback_graph(
    op: Op,
    params: Params,
    avals: tuple[Aval, ...],
    result: Avals,
    wanted: tuple[int, ...],
    ready: tuple[bool, ...],
    dtype: DType,
) -> Graph:
    """The pullback of a general op, made from its JVP: operands, results, cotangents → cotangents of `wanted`.

    `ready` tells which results have a cotangent. The graph depends on avals and params alone, so it is kept.
    """
    key = (op, params, avals, result, wanted, ready, dtype)
    graph = PULLBACKS.get(key)
    if graph is None:
        graph = _pullback_graph(*key)
        PULLBACKS.put(key, graph, 2000 + graph_bytes(graph, params))
    return graph


def _pullback_graph(
    op: Op,
    params: Params,
    avals: tuple[Aval, ...],
    result: Avals,
    wanted: tuple[int, ...],
    ready: tuple[bool, ...],
    dtype: DType,
) -> Graph:
    b = GraphBuilder(dtype)
    xs = [Var(b, b.input(a)) for a in avals]
    results = (result,) if isinstance(result, Aval) else result
    ys = [Var(b, b.input(a)) for a in results]
    cts = [b.input(a) for a, there in zip(results, ready, strict=True) if there]
    tangents = {k: b.input(avals[k]) for k in wanted}
    start = len(b.nodes)
    dxs = [Var(b, tangents[k]) if k in tangents else None for k in range(len(avals))]
    dy = op.jvp(ys[0] if isinstance(result, Aval) else tuple(ys), xs, dxs, **dict(params))
    outs = (dy,) if isinstance(result, Aval) else dy
    end = len(b.nodes)
    adj: list[Any] = [None] * end
    given = iter(cts)
    for out, there in zip(outs, ready, strict=True):
        ct = next(given) if there else None
        if out is None or ct is None:
            continue
        adj[out.ref] = ct if adj[out.ref] is None else b.add(adj[out.ref], ct)
    active = depends_on(b.nodes, list(tangents.values()))
    pull(b, b.nodes[:end], range(end), adj, active, range(end - 1, start - 1, -1))
    backs = [adj[tangents[k]] if adj[tangents[k]] is not None else b.zeros(avals[k]) for k in wanted]
    # The tangents were placeholders: what is transposed does not depend on them, so they are no inputs of the result.
    return without_inputs(b, backs, keep=len(avals) + len(results) + len(cts))


def without_inputs(b: GraphBuilder, outputs: Sequence[int], keep: int) -> Graph:
    """The nodes of `b` that `outputs` need, with only the first `keep` inputs."""
    needed = [False] * len(b.nodes)
    for o in outputs:
        needed[o] = True
    for i in range(len(b.nodes) - 1, -1, -1):
        if needed[i]:
            for j in b.nodes[i].inputs:
                needed[j] = True
    assert not any(needed[i] for i in b.inputs[keep:]), "a JVP rule is not linear in its tangents"
    clean = GraphBuilder(b.dtype)
    place: dict[int, int] = {}
    for i in b.inputs[:keep]:
        place[i] = clean.input(single(b.nodes[i].aval))
    for i, node in enumerate(b.nodes):
        if needed[i] and i not in place:
            clean.nodes.append(Node(node.op, tuple(place[j] for j in node.inputs), node.params, node.aval))
            place[i] = len(clean.nodes) - 1
    return clean.build([place[o] for o in outputs])


def vjp_graph(graph: Graph, of: Sequence[int], wrt: Sequence[int], dtype: DType, **limits: Any) -> Graph:
    """Reverse mode, graph to graph.

    Inputs: those of `graph`, then a cotangent for each node of `of` (of its aval). Outputs: those of `graph`, then the
    cotangent of each node of `wrt`: Σ over `of` of (∂of/∂wrt)ᵀ·cotangent, zeros where nothing depends on it. All nodes
    of `graph` keep their positions. `limits` are the builder's.
    """
    b = GraphBuilder.on(graph, dtype, **limits)
    n = len(graph.nodes)
    adj: list[Any] = [None] * n
    for i in of:
        ct = b.input(single(graph.nodes[i].aval))
        adj[i] = ct if adj[i] is None else b.add(adj[i], ct)
    active = depends_on(graph.nodes, wrt)
    pull(b, graph.nodes, range(n), adj, active, range(n - 1, -1, -1))
    backs = [adj[i] if adj[i] is not None else b.zeros(single(graph.nodes[i].aval)) for i in wrt]
    return b.build([*graph.outputs, *backs])
