"""vmap: a graph over one more leading axis.

An op means its trailing dimensions, with axes counted from the end, so mapping it is inferring it again with operands
that have one more leading axis; only shape-like params change (`Op.batched`). Nodes that depend on no mapped input stay
as they are, and are computed once for the whole batch. An op whose operands cannot simply gain an axis (scan, gather)
writes its own `vmap`; one with several results may return a tuple of references there, `Shared` ones among them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from engine.aval import Aval, DType, broadcast_shapes
from engine.builder import GraphBuilder, Var
from engine.graph import CONSTANT, INPUT, ITEM, Graph
from engine.op import Op


class Shared(NamedTuple):
    """A result that an op's own `vmap` leaves without the batch axis: it is the same for all members."""

    ref: int


def vmap(
    graph: Graph, size: int, mapped: Sequence[bool], dtype: DType, **limits: Any
) -> tuple[Graph, tuple[bool, ...]]:
    """The graph with inputs marked in `mapped` (and what depends on them) leading with an axis of `size`.

    Returns the graph and, for each output, whether it leads with that axis.
    """
    b, place, leads = vmap_nodes(graph, size, mapped, dtype, **limits)
    return b.build([place[o] for o in graph.outputs]), tuple(leads[o] for o in graph.outputs)


def vmap_nodes(
    graph: Graph, size: int, mapped: Sequence[bool], dtype: DType, **limits: Any
) -> tuple[GraphBuilder, list[Any], list[bool]]:
    """As `vmap`, for every node: what has been written, where each node is in it, and whether it leads with the axis.

    The place of a node of several results may be a tuple, of results that all lead with the axis.
    """
    b = GraphBuilder(dtype, **limits)
    place: list[Any] = []
    leads: list[bool] = []
    shared: dict[tuple[int, int], int] = {}
    marks = dict(zip(graph.inputs, mapped, strict=True))
    arguments = {}
    for i, aval in zip(graph.inputs, graph.in_avals, strict=True):
        arguments[i] = b.input(Aval((size, *aval.shape), aval.dtype) if marks[i] else aval)
    for i, node in enumerate(graph.nodes):
        op = node.op
        if op is INPUT:
            place.append(arguments[i])
            leads.append(marks[i])
        elif op is CONSTANT:
            place.append(b.constant(node.params[0][1].value))
            leads.append(False)
        elif not any(leads[j] for j in node.inputs):
            place.append(b.emit(op, [place[j] for j in node.inputs], node.params))
            leads.append(False)
        elif op is ITEM:
            results = place[node.inputs[0]]
            k = node.params[0][1]
            ref = shared.get((node.inputs[0], k))
            leads.append(ref is None)
            if ref is None:
                ref = results[k] if isinstance(results, tuple) else b.emit(op, [results], node.params)
            place.append(ref)
        else:
            operands = [Var(b, place[j]) for j in node.inputs]
            own = mapped_node(op, b, size, operands, [leads[j] for j in node.inputs], dict(node.params))
            if isinstance(own, tuple):
                same = {(i, k): ref.ref for k, ref in enumerate(own) if isinstance(ref, Shared)}
                stretched = {k: lead(b, Var(b, ref), size, False).ref for (_, k), ref in same.items()}
                own = tuple(stretched.get(k, ref) for k, ref in enumerate(own))
                shared |= same
            place.append(own)
            leads.append(True)
    return b, place, leads


def lead(b: GraphBuilder, v: Var, size: int, mapped: bool) -> Var:
    """The value with the batch axis in front, stretched if it was not mapped."""
    if mapped:
        return v
    result: Var = b.write("broadcast_to", v, shape=(size, *v.shape))
    return result


def mapped_node(
    op: Op,
    b: GraphBuilder,
    size: int,
    operands: Sequence[Var],
    mapped: Sequence[bool],
    params: Mapping[str, Any],
) -> Any:
    """The op's own `vmap`, or re-inference: all operands lead with the batch axis (literals of elementwise ops excepted)."""
    own = op.vmap(b, size, operands, mapped, **params)
    if own is not None:
        return own
    if op.elementwise:
        # A scalar constant stays one: elementwise ops take literals beside arrays. Anything else gets the shape of the
        # others, a mapped scalar (a vector now) by way of their rank, so that the graph can be differentiated again.
        rank = max(v.rank - m for v, m in zip(operands, mapped, strict=True))
        led = [
            v if v.rank == 0 and b.nodes[v.ref].op is CONSTANT else _aligned(b, v, size, m, rank)
            for v, m in zip(operands, mapped, strict=True)
        ]
        shapes = [v.shape for v in led]
        if shapes.count(shapes[0]) == len(shapes):
            return b.emit(op, [v.ref for v in led], tuple(sorted(op.batched(size, params).items())))
        shape = broadcast_shapes(shapes)
        led = [v if v.shape in (shape, ()) else b.write("broadcast_to", v, shape=shape) for v in led]
    else:
        led = [lead(b, v, size, m) for v, m in zip(operands, mapped, strict=True)]
    return b.emit(op, [v.ref for v in led], tuple(sorted(op.batched(size, params).items())))


def _aligned(b: GraphBuilder, v: Var, size: int, mapped: bool, rank: int) -> Var:
    led = lead(b, v, size, mapped)
    if led.rank - 1 < rank:
        led = b.write("reshape", led, shape=(size, *[1] * (rank - led.rank + 1), *led.shape[1:]))
    return led


def map_graph(graph: Graph, size: int, axes: Sequence[int | None], dtype: DType, **limits: Any) -> Graph:
    """`vmap` with any axis of each input mapped (None: not mapped), and the batch axis leading in every output."""
    mapped, leads = vmap(graph, size, [a is not None for a in axes], dtype, **limits)
    b = GraphBuilder(dtype, **limits)
    refs = []
    for axis, aval in zip(axes, mapped.in_avals, strict=True):
        if axis is None:
            refs.append(b.input(aval))
            continue
        at = axis % len(aval.shape)
        outer = list(aval.shape[1:])
        outer.insert(at, size)
        v = Var(b, b.input(Aval(tuple(outer), aval.dtype)))
        order = [at, *[k for k in range(len(outer)) if k != at]]
        moved = v if at == 0 else b.write("permute_dims", v, axes=tuple(k - len(outer) for k in order))
        refs.append(moved.ref)
    outs = b.inline(mapped, refs)
    return b.build([lead(b, Var(b, o), size, led).ref for o, led in zip(outs, leads, strict=True)])
