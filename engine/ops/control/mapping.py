"""The same for each member of an array: map."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from engine.attrs import COUNT
from engine.aval import Aval
from engine.builder import Builder, GraphBuilder, Var
from engine.errors import Arity, ShapeMismatch
from engine.graph import Graph
from engine.op import Attr, Op, Operand, registry
from engine.ops.control.scan import scan_core
from engine.ops.layout.shape import slice_axis
from engine.program import BODY
from engine.transforms.vmap import lead, vmap

MAP_BYTES = 1 << 28
"""What the members that are computed at once may take together; more members are computed in several goes."""


class Map(Op):
    """The body for each entry of the scanned arrays' leading axis, results stacked along a new leading axis.

    body: one slice of each scanned array, constants → results. As `jax.lax.map`, but computed for all at once (`jax.vmap`),
    or for as many as fit into memory.
    """

    name = "map"
    family = "control"
    composite = True
    promotes = False
    results = ("y", "…")
    parameters = (Operand("operands", variadic=True, least=1), Attr("scanned", COUNT, 1), Attr("body", BODY))
    latex = "\\operatorname{{map}}"

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> tuple[Var, ...]:
        """The body mapped, in the place of the op; a scan over such bodies where all at once would be too large."""
        nx = attrs["scanned"]
        if not 1 <= nx <= len(operands):
            raise Arity(
                f"map goes over at least one scanned array and constants behind them; it has {len(operands)} operands, "
                f"{nx} of them scanned."
            )
        scanned, consts = list(operands[:nx]), list(operands[nx:])
        if any(v.rank == 0 for v in scanned):
            raise ShapeMismatch("map needs arrays with a leading axis; one of them is a scalar.")
        lengths = {v.shape[0] for v in scanned}
        if len(lengths) != 1:
            raise ShapeMismatch(f"map needs scanned arrays of one length; theirs are {sorted(lengths)}.")
        n = lengths.pop()
        slices = [Aval(v.shape[1:], v.dtype) for v in scanned]
        graph = attrs["body"].graph([*slices, *[v.aval for v in consts]])
        size = min(n, _members(graph, b))
        if size == n:
            return _all(b, graph, n, scanned, consts)
        count = n // size
        inner = GraphBuilder(b.dtype)
        parts = [Var(inner, inner.input(Aval((size, *a.shape), a.dtype))) for a in slices]
        fixed = [Var(inner, inner.input(v.aval)) for v in consts]
        body = inner.build([v.ref for v in _all(inner, graph, size, parts, fixed)])
        cut = [slice_axis(v, -v.rank, 0, count * size).reshape((count, size, *v.shape[1:])) for v in scanned]
        got = b.write(scan_core, *cut, *consts, body=body, carries=0, scanned=nx, length=count, reverse=False)
        results = [v.reshape((count * size, *v.shape[2:])) for v in got]
        if count * size < n:
            rest = [slice_axis(v, -v.rank, count * size, n) for v in scanned]
            ends = _all(b, graph, n - count * size, rest, consts)
            results = [b.write("concat", v, e, axis=-v.rank) for v, e in zip(results, ends, strict=True)]
        return tuple(results)


registry.add(Map())


def _members(graph: Graph, b: Builder) -> int:
    """How many members are computed at once."""
    avals: list[Aval] = []
    for node in graph.nodes:
        avals.extend([node.aval] if isinstance(node.aval, Aval) else node.aval)
    together = MAP_BYTES // max(1, sum(a.nbytes for a in avals))
    if isinstance(b, GraphBuilder):
        together = min(together, int(min(b.max_elements, 1 << 62)) // max(1, *(a.size for a in avals)))
    return max(1, together)


def _all(b: Builder, graph: Graph, n: int, scanned: Sequence[Var], consts: Sequence[Var]) -> tuple[Var, ...]:
    """The body's results for all `n` members."""
    limit = b.max_elements if isinstance(b, GraphBuilder) else float("inf")
    flags = [True] * len(scanned) + [False] * len(consts)
    mapped, leads = vmap(graph, n, flags, b.dtype, max_elements=limit)
    whole = GraphBuilder.on(mapped, b.dtype, max_elements=limit)
    outs = [lead(whole, Var(whole, o), n, led).ref for o, led in zip(mapped.outputs, leads, strict=True)]
    return tuple(Var(b, r) for r in b.inline(whole.build(outs), [v.ref for v in [*scanned, *consts]]))
