"""The core of loops of known length (`ops.loops`). A body is a graph, and so is the derivative of a body.

The derivative of a scan is scans: forward mode is one scan over values and tangents; reverse mode is the same scan once
more, recording the carries, and one that walks back over them. Memory is therefore known before anything runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from engine.aval import Aval, Avals
from engine.builder import Builder, EagerBuilder, GraphBuilder, Var
from engine.graph import Graph
from engine.op import Op, Subgraph, registry
from engine.ops.subgraph import graph_flops, wrap
from engine.transforms.pull import vjp_graph
from engine.transforms.push import jvp_graph
from engine.transforms.simplify import simplify
from engine.transforms.taylor import series_of
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
        for t in range(n - 1, -1, -1) if params["reverse"] else range(n):
            out = b.inline(body, [*carries, *(x[t] for x in xs), *consts])
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

    def taylor(
        self, b: GraphBuilder, order: int, xs: Sequence[Sequence[Var | None]], **params: Any
    ) -> list[list[Var | None]]:
        """One scan over all coefficients, of the body in series arithmetic."""
        body: Graph = params["body"]
        nk, nx, n = params["carries"], params["scanned"], params["length"]
        inner = GraphBuilder(b.dtype)
        terms: list[list[Any]] = []
        args: list[Var] = []
        counts = [0, 0]
        for k, (aval, series) in enumerate(zip(body.in_avals, xs, strict=True)):
            # Every floating carry may come to move.
            moving = aval.floating and (k < nk or any(x is not None for x in series[1:]))
            used = order + 1 if moving else 1
            terms.append([inner.input(aval) for _ in range(used)])
            outer = Aval((n, *aval.shape), aval.dtype) if nk <= k < nk + nx else aval
            args += [x or Var(b, b.zeros(outer)) for x in series[:used]]
            if k < nk + nx:
                counts[k >= nk] += used
        avals = body.out_avals
        found = series_of(inner, body, terms, order)
        places: list[tuple[int, int]] = []
        outs: list[Any] = []
        for r, (aval, series) in enumerate(zip(avals, found, strict=True)):
            for m, term in enumerate(series):
                if m and (not aval.floating or (r >= nk and term is None)):
                    continue
                places.append((r, m))
                outs.append(inner.zeros(aval) if term is None else term)
        step = simplify(inner.build(outs), b.dtype)
        got = b.write(
            self, *args, body=step, carries=counts[0], scanned=counts[1], length=n, reverse=params["reverse"]
        )
        result: list[list[Var | None]] = [[None] * (order + 1) for _ in avals]
        for (r, m), v in zip(places, got, strict=True):
            result[r][m] = v
        return result

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
