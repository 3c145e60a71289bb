"""Loops of known length: scan and fori_loop. A body is a graph, and so is the derivative of a body.

The derivative of a scan is scans: forward mode is one scan over values and tangents; reverse mode is the same scan once
more, recording the carries, and one that walks back over them. Memory is therefore known before anything runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from engine.attrs import BOOL, COUNT, SIZE, optional
from engine.aval import Aval, Avals
from engine.builder import Builder, EagerBuilder, GraphBuilder, Var, broadcast_to, cast
from engine.compiled import compiled
from engine.errors import Arity, ShapeMismatch
from engine.graph import Graph
from engine.op import Attr, Op, Operand, Subgraph, registry
from engine.ops.subgraph import graph_flops, wider, with_dtypes, wrap
from engine.program import BODY, Body
from engine.transforms.pull import vjp_graph
from engine.transforms.push import jvp_graph
from engine.transforms.simplify import simplify
from engine.transforms.vmap import lead, vmap


class Iota(Op):
    """0, 1, …, n − 1 as integers."""

    name = "iota"
    family = "core"
    internal = True

    def infer(self, *avals: Aval, **params: Any) -> Avals:
        """A vector of n integers."""
        return Aval((params["n"],), "int64")

    def evaluate(self, *arrays: Any, **params: Any) -> Any:
        """arange(n)."""
        return np.arange(params["n"], dtype=np.int64)


registry.add(Iota())


class ScanCore(Op):
    """Operands: carries, scanned (leading axis `length`), constants. Results: last carries, then ys stacked.

    `body`: carries, slices of the scanned, constants → carries, ys. `reverse` runs from the last slice to the first.
    """

    name = "core.scan"
    family = "core"
    internal = True
    subgraphs = True
    results = ("carry", "…")
    rules = (Subgraph(),)

    def infer(self, *avals: Aval, **params: Any) -> Avals:
        """Avals of the body's results, ys with the leading axis."""
        body: Graph = params["body"]
        outs = body.out_avals
        nk = params["carries"]
        return (*outs[:nk], *(Aval((params["length"], *a.shape), a.dtype) for a in outs[nk:]))

    def evaluate_in(self, b: EagerBuilder, *arrays: Any, **params: Any) -> Any:
        """The loop."""
        body: Graph = params["body"]
        nk, nx, n = params["carries"], params["scanned"], params["length"]
        carries, xs, consts = list(arrays[:nk]), arrays[nk : nk + nx], arrays[nk + nx :]
        ys = [np.empty((n, *a.shape), a.dtype) for a in body.out_avals[nk:]]
        run = compiled(body).run
        for t in range(n - 1, -1, -1) if params["reverse"] else range(n):
            out = run(b, [*carries, *[x[t] for x in xs], *consts])
            carries = out[:nk]
            for y, v in zip(ys, out[nk:], strict=True):
                y[t] = v
        return (*carries, *ys)

    def flops(self, operands: Sequence[Aval], result: Avals, **params: Any) -> float:
        """Those of the body, `length` times."""
        return float(params["length"]) * graph_flops(params["body"])

    def push(
        self, b: Builder, xs: Sequence[Var], dxs: Sequence[Var | None], **params: Any
    ) -> list[Var | None]:
        """One scan over values and tangents."""
        body: Graph = params["body"]
        nk, nx, n = params["carries"], params["scanned"], params["length"]
        ins, outs = body.in_avals, body.out_avals
        moving = [
            k for k, a in enumerate(ins) if a.floating and (k < nk or dxs[k] is not None)
        ]  # every floating carry may come to depend on a tangent
        derived = jvp_graph(body, [body.inputs[k] for k in moving], b.dtype)
        groups = [range(nk), range(nk, nk + nx), range(nk + nx, len(ins))]
        avals: list[Aval] = []
        place: dict[tuple[str, int], int] = {}
        args: list[Var] = []
        for g, group in enumerate(groups):
            for kind in ("x", "dx"):
                for k in group:
                    if kind == "dx" and k not in moving:
                        continue
                    place[kind, k] = len(avals)
                    avals.append(ins[k])
                    if kind == "x":
                        args.append(xs[k])
                    else:
                        outer = Aval((n, *ins[k].shape), ins[k].dtype) if g == 1 else ins[k]
                        args.append(dxs[k] or Var(b, b.zeros(outer)))
        floats = [k for k, a in enumerate(outs) if a.floating]
        no = len(outs)
        order = [
            *range(nk),
            *(no + k for k in floats if k < nk),
            *range(nk, no),
            *(no + k for k in floats if k >= nk),
        ]
        arguments = [*(place["x", k] for k in range(len(ins))), *(place["dx", k] for k in moving)]
        both = wrap(b.dtype, avals, derived, arguments, order)
        nd = sum(1 for k in moving if k < nk)
        got = b.write(
            self,
            *args,
            body=both,
            carries=nk + nd,
            scanned=sum(1 for k in groups[1] if k in moving) + nx,
            length=n,
            reverse=params["reverse"],
        )
        tangents: list[Var | None] = [None] * no
        for slot, out in enumerate(order):
            if out >= no:
                tangents[out - no] = got[slot]
        return tangents

    def pull(
        self,
        b: Builder,
        xs: Sequence[Var],
        ys: Any,
        cts: Sequence[Var | None],
        wanted: Sequence[int],
        **params: Any,
    ) -> list[Var | None]:
        """The scan once more, recording its carries, and a scan back over them."""
        body: Graph = params["body"]
        nk, nx, n = params["carries"], params["scanned"], params["length"]
        ins, outs = body.in_avals, body.out_avals
        avals = list(ins)
        recording = Graph(body.nodes, body.inputs, (*body.outputs, *body.inputs[:nk]))
        recorded = b.write(
            self, *xs, body=recording, carries=nk, scanned=nx, length=n, reverse=params["reverse"]
        )[len(outs) :]
        floats = [k for k, a in enumerate(outs) if a.floating]
        ck = [k for k in floats if k < nk]
        cy = [k for k in floats if k >= nk]
        want_x = [k for k in wanted if nk <= k < nk + nx]
        want_c = [k for k in wanted if k >= nk + nx]
        kept = [k for k in range(nk) if avals[k].floating]
        assert kept == ck, "a carry keeps its dtype"
        derived = vjp_graph(
            body,
            [body.outputs[k] for k in floats],
            [body.inputs[k] for k in [*kept, *want_c, *want_x]],
            b.dtype,
        )
        # Body of the way back. In: cts of carries, sums for constants | carries, xs, cts of ys | constants.
        inner = GraphBuilder(b.dtype)
        ct_in = [inner.input(outs[k]) for k in ck]
        sums = [inner.input(avals[k]) for k in want_c]
        carried = [inner.input(avals[k]) for k in range(nk)]
        sliced = [inner.input(avals[k]) for k in range(nk, nk + nx)]
        ct_ys = [inner.input(outs[k]) for k in cy]
        consts = [inner.input(a) for a in avals[nk + nx :]]
        back = inner.inline(derived, [*carried, *sliced, *consts, *ct_in, *ct_ys])[len(outs) :]
        totals = [
            inner.core("add", s, c)
            for s, c in zip(sums, back[len(kept) : len(kept) + len(want_c)], strict=True)
        ]
        results = [*back[: len(kept)], *totals, *back[len(kept) + len(want_c) :]]
        step = simplify(inner.build(results), b.dtype)

        def ct(k: int) -> Var:
            outer = outs[k] if k < nk else Aval((n, *outs[k].shape), outs[k].dtype)
            return cts[k] or Var(b, b.zeros(outer))

        got = b.write(
            self,
            *[ct(k) for k in ck],
            *[Var(b, b.zeros(avals[k])) for k in want_c],
            *recorded,
            *xs[nk : nk + nx],
            *[ct(k) for k in cy],
            *xs[nk + nx :],
            body=step,
            carries=len(ck) + len(want_c),
            scanned=nk + nx + len(cy),
            length=n,
            reverse=not params["reverse"],
        )
        found: dict[int, Var] = dict(zip([*kept, *want_c, *want_x], got, strict=True))
        return [found.get(k) for k in wanted]

    def vmap(
        self, b: GraphBuilder, size: int, operands: Sequence[Var], mapped: Sequence[bool], **params: Any
    ) -> Any:
        """The body mapped; every carry leads with the batch axis, the scan axis stays in front of the slices."""
        nk, nx = params["carries"], params["scanned"]
        flags = [True] * nk + list(mapped[nk:])
        body, leads = vmap(params["body"], size, flags, b.dtype)
        inner = GraphBuilder.on(body, b.dtype)
        outs = [lead(inner, Var(inner, o), size, led).ref for o, led in zip(body.outputs, leads, strict=True)]
        args: list[Var] = []
        for k, (v, m) in enumerate(zip(operands, mapped, strict=True)):
            if k < nk:
                args.append(lead(b, v, size, m))
            elif k < nk + nx and m:
                args.append(_swap_leading(b, v))
            else:
                args.append(v)
        got = b.write(self, *args, **{**params, "body": inner.build(outs)})
        return tuple(v.ref if k < nk else _swap_leading(b, v).ref for k, v in enumerate(got))


def _swap_leading(b: Builder, v: Var) -> Var:
    n = v.rank
    result: Var = b.write("permute_dims", v, axes=(1 - n, -n, *range(2 - n, 0)))
    return result


scan_core = registry.add(ScanCore())


def write_scan(
    b: Builder,
    body: Body,
    carries: list[Var],
    scanned: list[Var],
    consts: list[Var],
    length: int,
    reverse: bool,
) -> tuple[Var, ...]:
    """A scan of a body whose carries keep shape and dtype; initial carries are promoted and stretched if that helps.

    Raises `ShapeMismatch` for a body whose carry cannot keep its shape, `Arity` for one that returns too little.
    """
    slices = [Aval(v.shape[1:], v.dtype) for v in scanned]
    for _ in range(3):
        avals = [v.aval for v in carries]
        graph = body.graph([*avals, *slices, *[v.aval for v in consts]])
        outs = graph.out_avals
        if len(outs) < len(carries):
            raise Arity(
                f"The body must return its {len(carries)} carries first; it returns {len(outs)} values."
            )
        wanted = [wider(a, o) for a, o in zip(avals, outs, strict=False)]
        for k, (a, o) in enumerate(zip(avals, outs, strict=False)):
            if a.shape != o.shape:
                try:
                    carries[k] = broadcast_to(carries[k], o.shape)
                except ShapeMismatch:
                    raise ShapeMismatch(
                        f"Carry {k} enters the loop with shape {list(a.shape)} and leaves its body with "
                        f"{list(o.shape)}; a carry must keep its shape."
                    ) from None
        carries = [cast(b, v, a.dtype) for v, a in zip(carries, wanted, strict=True)]
        if [v.aval for v in carries] == avals:
            fixed = with_dtypes(graph, [*avals, *outs[len(carries) :]], b.dtype)
            got = b.write(
                scan_core,
                *carries,
                *scanned,
                *consts,
                body=fixed,
                carries=len(carries),
                scanned=len(scanned),
                length=length,
                reverse=reverse,
            )
            return tuple(got)
    raise ShapeMismatch("The carries of this loop change their shape at every step; they must keep it.")


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
        return write_scan(
            b,
            attrs["body"],
            list(operands[:nk]),
            scanned,
            list(operands[nk + nx :]),
            lengths.pop(),
            attrs["reverse"],
        )


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
        body = _Reordered(attrs["body"], nk)
        return write_scan(b, body, list(operands[:nk]), [counter], list(operands[nk:]), n, False)


class _Reordered:
    """A fori body (i, carries, constants) as a scan body (carries, i, constants)."""

    def __init__(self, body: Body, carries: int) -> None:
        self.body = body
        self.program = body.program
        self.carries = carries

    def graph(self, avals: Sequence[Aval]) -> Graph:
        nk = self.carries
        own = self.body.graph([avals[nk], *avals[:nk], *avals[nk + 1 :]])
        order = [*own.inputs[1 : nk + 1], own.inputs[0], *own.inputs[nk + 1 :]]
        if len(own.outputs) != nk:
            raise Arity(f"The body must return its {nk} carries; it returns {len(own.outputs)} values.")
        return _renumbered(own, order)


def _renumbered(graph: Graph, inputs: Sequence[int]) -> Graph:
    """The graph with its inputs in another order."""
    index = {i: k for k, i in enumerate(inputs)}
    nodes = tuple(
        n._replace(params=(("index", index[i]),)) if i in index else n for i, n in enumerate(graph.nodes)
    )
    return Graph(nodes, tuple(inputs), graph.outputs)


registry.add(ForiLoop())
