"""The loops of known length that users write: scan and fori_loop."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from engine.attrs import BOOL, COUNT, SIZE, optional
from engine.aval import Aval
from engine.builder import Builder, Var, broadcast_to
from engine.errors import Arity, ShapeMismatch
from engine.graph import Graph
from engine.op import Attr, Op, Operand, registry
from engine.ops.scan import scan_core
from engine.ops.subgraph import place, settled
from engine.program import BODY, Program


def write_scan(
    b: Builder,
    typed: Callable[[Sequence[Aval]], Graph],
    body: Program,
    carries: Sequence[Var],
    scanned: Sequence[Var],
    consts: Sequence[Var],
    length: int,
    *,
    reverse: bool = False,
    first: int = 0,
) -> tuple[Var, ...]:
    """A core scan of a body that is `typed` once the avals of its inputs are known (carries, slices, constants).

    Raises what `settled` raises.
    """
    rest = [*[Aval(v.shape[1:], v.dtype) for v in scanned], *[v.aval for v in consts]]
    carries, graph = settled(b, lambda avals: typed([*avals, *rest]), carries, body, first)
    return tuple(
        b.write(
            scan_core, *carries, *scanned, *consts,
            body=graph, carries=len(carries), scanned=len(scanned), length=length, reverse=reverse,
        )
    )  # fmt: skip


class Scan(Op):
    """Loop over the leading axis of the scanned arrays, with carries passed from step to step.

    body: carries, one slice of each scanned array, constants → carries, ys. Results: the last carries, then each y
    stacked along a new leading axis. As `jax.lax.scan`, with several carries and several scanned arrays.
    """

    name = "scan"
    family = "control"
    composite = True
    promotes = False
    results = ("carry", "…")
    parameters = (
        Operand("operands", variadic=True, least=0),
        Attr("carry", COUNT),
        Attr("scanned", COUNT, 1),
        Attr("body", BODY),
        Attr("length", optional(SIZE), None),
        Attr("reverse", BOOL, False),
    )
    latex = "\\operatorname{{scan}}"

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> tuple[Var, ...]:
        """One core scan."""
        nk, nx = attrs["carry"], attrs["scanned"]
        if len(operands) < nk + nx:
            raise Arity(f"scan needs {nk} carries and {nx} scanned arrays; it has {len(operands)} operands.")
        scanned = list(operands[nk : nk + nx])
        for v in scanned:
            if v.rank == 0:
                raise ShapeMismatch("scan needs scanned arrays with a leading axis; one of them is a scalar.")
        lengths = {v.shape[0] for v in scanned} | (
            {attrs["length"]} if attrs["length"] is not None else set()
        )
        if len(lengths) != 1:
            raise ShapeMismatch(
                f"scan needs scanned arrays of one length; theirs are {sorted(lengths)}."
                if lengths
                else "scan over no array needs a length."
            )
        body = attrs["body"]
        return write_scan(
            b, body.graph, body.program, operands[:nk], scanned, operands[nk + nx :], lengths.pop(),
            reverse=attrs["reverse"],
        )  # fmt: skip


registry.add(Scan())


class ForiLoop(Op):
    """The body run for i = start, …, stop − 1: i, carries, constants → carries. As `jax.lax.fori_loop`.

    The body is compiled once, however many iterations there are; the counter is an integer.
    """

    name = "fori_loop"
    family = "control"
    composite = True
    promotes = False
    results = ("carry", "…")
    parameters = (
        Operand("operands", variadic=True, least=0),
        Attr("start", SIZE, 0),
        Attr("stop", SIZE),
        Attr("carry", COUNT, 1),
        Attr("body", BODY),
    )
    latex = "\\operatorname{{fori}}"

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> tuple[Var, ...]:
        """A scan over the counter."""
        start, stop, nk = attrs["start"], attrs["stop"], attrs["carry"]
        if len(operands) < nk:
            raise Arity(f"fori_loop needs {nk} carries; it has {len(operands)} operands.")
        n = max(0, stop - start)
        counter: Var = b.write("iota", n=n)
        if start:
            counter = b.write("add", counter, broadcast_to(b.var(np.asarray(start), "int64"), (n,)))
        body, consts = attrs["body"], operands[nk:]

        def typed(avals: Sequence[Aval]) -> Graph:
            """The body (i, carries, constants) as that of a scan (carries, i, constants)."""
            own: Graph = body.graph([avals[nk], *avals[:nk], *avals[nk + 1 :]])
            if len(own.outputs) != nk:
                returned = f"it returns {len(own.outputs)} value{'s' * (len(own.outputs) != 1)}"
                raise Arity(f"The body must return its {nk} carries; {returned}.", where=place(body.program))
            return _renumbered(own, [*own.inputs[1 : nk + 1], own.inputs[0], *own.inputs[nk + 1 :]])

        return write_scan(b, typed, body.program, operands[:nk], [counter], consts, n, first=1)


def _renumbered(graph: Graph, inputs: Sequence[int]) -> Graph:
    """The graph with its inputs in another order."""
    index = {i: k for k, i in enumerate(inputs)}
    nodes = tuple(
        n._replace(params=(("index", index[i]),)) if i in index else n for i, n in enumerate(graph.nodes)
    )
    return Graph(nodes, tuple(inputs), graph.outputs)


registry.add(ForiLoop())
