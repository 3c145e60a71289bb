"""A graph without guards, written with plain ops where that shares work: what is looked at afterwards need not be kept finite.

log Σ exp(x) and the shares of the exponentials in their sum, which is its derivative, have the exponentials in common.
Written out (`engine.ops.reduce.largest`) they are computed once, in tiles with what is around them; of a long sum the tiles'
own are put together, and the exponentials computed once more. The results are the same
to rounding wherever they are finite; where they are not, a plan's results are not used.
"""

from __future__ import annotations

from typing import NamedTuple

from engine.aval import Aval, kept_axes
from engine.builder import GraphBuilder
from engine.graph import CONSTANT, INPUT, Graph, Node, single
from engine.ops.reduce.largest import MOMENTS, REST, TOP
from engine.ops.reduce.reduction import reduced_size

ALIKE = frozenset({"logsumexp", "exp_shares"})


LONG = 1 << 15
"""Entries of one sum from which on exponentials are computed again rather than kept: that many do not fit the cache."""


class _Parts(NamedTuple):
    """Nodes made of one operand and its axes: the largest entry, the rest, exp(x − top) and 1 / (1 + rest)."""

    top: int
    rest: int
    powers: int
    share: int


def lean(graph: Graph) -> Graph:
    """The graph with sums of exponentials written out; itself if it has none."""
    if not any(node.op.name in ALIKE for node in graph.nodes):
        return graph
    dtype = next(single(n.aval).dtype for n in graph.nodes if n.op.name in ALIKE)
    b = GraphBuilder(dtype)
    place: dict[int, int] = {}
    known: dict[tuple[int, tuple[int, ...]], _Parts] = {}
    for i, node in enumerate(graph.nodes):
        inputs = tuple(place[j] for j in node.inputs)
        if node.op is INPUT:
            place[i] = b.input(single(node.aval))
        elif node.op is CONSTANT:
            place[i] = b.constant(node.params[0][1].value)
        elif node.op.name in ALIKE and _plain(graph, node, dtype):
            axes = dict(node.params)["axes"]
            parts = known.get((inputs[0], axes))
            if parts is None:
                parts = known[inputs[0], axes] = _parts(b, inputs[0], axes)
            if node.op.name == "logsumexp":
                place[i] = b.core("add", parts.top, b.core("log1p", parts.rest))
            else:
                place[i] = b.core("multiply", parts.powers, _spread(b, parts.share, single(node.aval), axes))
        else:
            b.nodes.append(Node(node.op, inputs, node.params, node.aval))
            place[i] = len(b.nodes) - 1
    return b.build([place[o] for o in graph.outputs])


def _plain(graph: Graph, node: Node, dtype: str) -> bool:
    """Whether there is something to sum."""
    x = single(graph.nodes[node.inputs[0]].aval)
    return x.dtype == dtype and x.size > 0 and bool(dict(node.params)["axes"])


def _parts(b: GraphBuilder, x: int, axes: tuple[int, ...]) -> _Parts:
    aval = single(b.nodes[x].aval)
    over = (("axes", axes),)
    if reduced_size(aval.shape, axes) >= LONG:
        moments = b.emit(MOMENTS, (x,), over)
        top, rest = (_row(b, moments, k) for k in (0, 1))
        powers = b.core("exp", b.core("subtract", x, _spread(b, top, aval, axes)))
    else:
        top = b.emit(TOP, (x,), over)
        z = b.core("subtract", x, _spread(b, top, aval, axes))
        powers = b.core("exp", z)
        rest = b.emit(REST, (z, powers), over)
    one = b.literal(1.0)
    return _Parts(top, rest, powers, b.core("divide", one, b.core("add", one, rest)))


def _row(b: GraphBuilder, x: int, k: int) -> int:
    """Entry k of the first axis."""
    shape = single(b.nodes[x].aval).shape
    index = ((k, k + 1, 1), *((0, n, 1) for n in shape[1:]))
    found: int = b.core("reshape", b.core("slice", x, index=index), shape=shape[1:])
    return found


def _spread(b: GraphBuilder, y: int, like: Aval, axes: tuple[int, ...]) -> int:
    """A reduced node stretched back over the axes it lost."""
    kept: int = b.core("reshape", y, shape=kept_axes(like.shape, axes))
    stretched: int = b.core("broadcast_to", kept, shape=like.shape)
    return stretched
