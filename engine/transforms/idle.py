"""Loops without what nobody needs: exact, as all of `simplify`.

The way back over a loop records every carry and sweeps a cotangent of each, though many a carry is set anew in every step
(a variable of the loop's body) and has none. Here a scan loses the results that are not read, the carries and slices that
those that are read do not depend on, and a carry that is one constant before and after each step becomes that constant.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from engine.aval import Aval, DType
from engine.builder import GraphBuilder
from engine.graph import CONSTANT, INPUT, ITEM, Constant, Graph, Node, single

SCAN = "core.scan"
_ZERO = (("value", Constant(0.0)),)


class _Kept(NamedTuple):
    """Positions of the operands and results of a scan that stay, and its params then."""

    operands: list[int]
    results: list[int]
    params: tuple[tuple[str, Any], ...]


def without_idle(graph: Graph, dtype: DType) -> Graph:
    """The graph with its scans reduced to what its outputs depend on. All nodes keep their positions."""
    if not any(node.op.name == SCAN for node in graph.nodes):
        return graph
    nodes = _shared(graph.nodes)
    live = [False] * len(nodes)
    read: dict[int, set[int] | None] = {}
    """Results of a node that are read; None where the node is read as a whole."""
    for o in graph.outputs:
        live[o] = True
        read[o] = None
    kept: dict[int, _Kept] = {}
    for i in range(len(nodes) - 1, -1, -1):
        if not live[i]:
            continue
        op, inputs, params, _ = nodes[i]
        if op is ITEM:
            live[inputs[0]] = True
            mine = read.setdefault(inputs[0], set())
            if mine is not None:
                mine.add(params[0][1])
            continue
        if op.name == SCAN:
            used = read.get(i)
            if used is not None:
                found = _kept(nodes, nodes[i], used, dtype)
                if found is not None:
                    kept[i] = found
                    inputs = tuple(inputs[k] for k in found.operands)
        for j in inputs:
            live[j] = True
            read[j] = None
    done: list[Node] = []
    for i, node in enumerate(nodes):
        if i in kept:
            one = kept[i]
            avals = node.aval
            assert not isinstance(avals, Aval)
            node = Node(
                node.op,
                tuple(node.inputs[k] for k in one.operands),
                one.params,
                tuple(avals[r] for r in one.results),
            )
        elif live[i] and node.op is ITEM and node.inputs[0] in kept:
            place = kept[node.inputs[0]].results.index(node.params[0][1])
            node = node._replace(params=((node.params[0][0], place),))
        elif not live[i] and node.op is not INPUT:
            node = Node(CONSTANT, (), _ZERO, Aval((), "float64"))  # it may have read what is gone
        done.append(node)
    return Graph(tuple(done), graph.inputs, graph.outputs)


def _shared(nodes: Sequence[Node]) -> list[Node]:
    """The nodes, with equal scans read as the first of them."""
    first: dict[tuple[Any, ...], int] = {}
    place: dict[int, int] = {}
    found = []
    for i, node in enumerate(nodes):
        if place and not place.keys().isdisjoint(node.inputs):
            node = node._replace(inputs=tuple(place.get(j, j) for j in node.inputs))
        if node.op.name == SCAN:
            there = first.setdefault((node.inputs, node.params), i)
            if there != i:
                place[i] = there
        found.append(node)
    return found


def _kept(nodes: Sequence[Node], scan: Node, used: set[int], dtype: DType) -> _Kept | None:
    """What of a scan its results `used` depend on; None where that is all."""
    params = dict(scan.params)
    body: Graph = params["body"]
    nk, nx = params["carries"], params["scanned"]
    fixed = _fixed(nodes, scan, body, nk)
    if fixed:
        body = _with_constants(body, fixed, dtype)
    slot = {i: k for k, i in enumerate(body.inputs)}
    operands: set[int] = set()
    results = set(used)
    seen: set[int] = set()
    todo = [body.outputs[r] for r in results]
    while todo:
        i = todo.pop()
        if i in seen:
            continue
        seen.add(i)
        k = slot.get(i)
        if k is None:
            todo.extend(body.nodes[i].inputs)
            continue
        operands.add(k)
        if k < nk and k not in results:
            results.add(k)
            todo.append(body.outputs[k])
    operands |= {r for r in results if r < nk}  # a carry that is read has a first value
    if len(operands) == len(body.inputs) and len(results) == len(body.outputs) and not fixed:
        return None
    if not any(r < nk for r in results) and not any(nk <= k < nk + nx for k in operands):
        return None  # a loop is known by its carries or slices
    ins, outs = sorted(operands), sorted(results)
    b = GraphBuilder(dtype)
    refs: list[Any] = [None] * len(body.inputs)
    for k in ins:
        refs[k] = b.input(body.in_avals[k])
    short = b.build(_copied(b, body, refs, [body.outputs[r] for r in outs], seen))
    params |= {
        "body": short,
        "carries": sum(1 for r in outs if r < nk),
        "scanned": sum(1 for k in ins if nk <= k < nk + nx),
    }
    return _Kept(ins, outs, tuple(sorted(params.items())))


def _copied(
    b: GraphBuilder, body: Graph, refs: Sequence[Any], outputs: Sequence[int], needed: set[int]
) -> list[int]:
    place: dict[int, int] = {i: r for i, r in zip(body.inputs, refs, strict=True) if r is not None}
    for i, node in enumerate(body.nodes):
        if i not in needed or i in place:
            continue
        if node.op is CONSTANT:
            place[i] = b.constant(node.params[0][1].value)
        else:
            b.nodes.append(node._replace(inputs=tuple(place[j] for j in node.inputs)))
            place[i] = len(b.nodes) - 1
    return [place[o] for o in outputs]


def _fixed(nodes: Sequence[Node], scan: Node, body: Graph, nk: int) -> dict[int, Node]:
    """Carries that are one constant always: the constant."""
    found = {}
    for k in range(nk):
        before, after = _constant(nodes, scan.inputs[k]), _constant(body.nodes, body.outputs[k])
        if (
            before is not None
            and after is not None
            and body.nodes[body.inputs[k]].aval == nodes[scan.inputs[k]].aval
        ):
            a, c = before.params[0][1], after.params[0][1]
            if before.aval == after.aval and a.value.tobytes() == c.value.tobytes():
                found[k] = before
    return found


def _constant(nodes: Sequence[Node], i: int) -> Node | None:
    """The constant scalar that a node is, stretched or not."""
    node = nodes[i]
    while node.op.name == "broadcast_to":
        node = nodes[node.inputs[0]]
    return node if node.op is CONSTANT and single(node.aval).shape == () else None


def _with_constants(body: Graph, fixed: Mapping[int, Node], dtype: DType) -> Graph:
    """The body with these constants read instead of inputs; the inputs stay, unread."""
    b = GraphBuilder(dtype)
    refs = [b.input(a) for a in body.in_avals]
    for k, node in fixed.items():
        value = b.constant(node.params[0][1].value)
        aval = body.in_avals[k]
        refs[k] = value if aval.shape == () else b.core("broadcast_to", value, shape=aval.shape)
    return b.build(b.inline(body, refs))
