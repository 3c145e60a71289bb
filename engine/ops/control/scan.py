"""The loop of known length, as the Wengert list has it. A body is a graph, and so is the derivative of a body.

The derivative of a scan is scans: forward mode is one scan over values and tangents; reverse mode is the same scan once
more, recording the carries, and one that walks back over them. Memory is therefore known before anything runs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isqrt
from typing import Any

import numpy as np

from engine.aval import Aval, Avals, DType
from engine.builder import Builder, EagerBuilder, GraphBuilder, Var
from engine.compiled import LOOPS
from engine.graph import Graph
from engine.op import Op, Subgraph, registry
from engine.ops.control.subgraph import (
    graph_flops,
    guarded,
    mapped_carries,
    moving_carries,
    paired,
    placed,
    wrap,
)
from engine.ops.layout.shape import slice_axis
from engine.transforms.pull import depends_on, vjp_graph
from engine.transforms.push import jvp_graph
from engine.transforms.simplify import simplify
from engine.transforms.taylor import series_of
from engine.transforms.vmap import Shared, lead, vmap

FEW = 4
"""Loops of fewer steps are computed step by step."""


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
        loop = LOOPS.of(body, nk, nx) if n >= FEW else None
        if loop is not None:
            last, stacked, _ = loop.run(b, carries, xs, consts, n, params["reverse"])
            return (*last, *stacked)
        ys = [np.empty((n, *a.shape), a.dtype) for a in body.out_avals[nk:]]
        run = LOOPS.body(b, body)
        for t in range(n - 1, -1, -1) if params["reverse"] else range(n):
            out = run(b, [*carries, *[x[t] for x in xs], *consts])
            carries = out[:nk]
            for y, v in zip(ys, out[nk:], strict=True):
                y[t] = v
        return (*carries, *ys)

    def guard(self, params: Mapping[str, Any], dtype: DType) -> Mapping[str, Any]:
        """One more constant."""
        return {**params, "body": guarded(params["body"], dtype)}

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
        moving = moving_carries(body, nk, [k for k, d in enumerate(dxs) if d is not None])
        derived = jvp_graph(body, [body.inputs[k] for k in moving], b.dtype)
        groups = [range(nk), range(nk, nk + nx), range(nk + nx, len(ins))]
        pairs = paired(groups, moving)
        args: list[Var] = []
        for k, tangent in pairs:
            outer = Aval((n, *ins[k].shape), ins[k].dtype) if k in groups[1] else ins[k]
            args.append((dxs[k] or Var(b, b.zeros(outer))) if tangent else xs[k])
        no = len(outs)
        active = depends_on(body.nodes, [body.inputs[k] for k in moving])
        dots = [k for k, o in enumerate(body.outputs) if (k in moving if k < nk else active[o])]
        order = [
            *range(nk),
            *(no + k for k in dots if k < nk),
            *range(nk, no),
            *(no + k for k in dots if k >= nk),
        ]
        both = wrap(b.dtype, [ins[k] for k, _ in pairs], derived, placed(pairs, len(ins), moving), order)
        got = b.write(
            self,
            *args,
            body=both,
            carries=nk + sum(1 for k in moving if k < nk),
            scanned=nx + sum(1 for k in moving if k in groups[1]),
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
        """The scan once more, recording its carries, and a scan back over them.

        Where the record would be larger than the builder allows: the same for a scan over segments, which is so for the
        segments as well, one at a time (A. Griewank, "Achieving logarithmic growth of temporal and spatial complexity in
        reverse automatic differentiation", Optimization Methods and Software 1, 1992, doi:10.1080/10556789208805505).
        """
        body: Graph = params["body"]
        nk, nx, n = params["carries"], params["scanned"], params["length"]
        ins, outs = body.in_avals, body.out_avals
        step_bytes = sum(a.nbytes for a in ins[:nk])
        if n > 2 and n * step_bytes > b.record_bytes:
            whole = in_segments(params, max(2, min(isqrt(n), b.record_bytes // step_bytes)), b.dtype)
            given = [k for k, c in enumerate(cts) if c is not None]
            derived = vjp_graph(
                whole.with_outputs(()),
                [whole.outputs[k] for k in given],
                [whole.inputs[k] for k in wanted],
                b.dtype,
                record_bytes=b.record_bytes,
            )
            refs = [*(v.ref for v in xs), *(c.ref for c in cts if c is not None)]
            return [Var(b, r) for r in b.inline(derived, refs)]
        recording = Graph(body.nodes, body.inputs, (*body.outputs, *body.inputs[:nk]))
        recorded = b.write(
            self, *xs, body=recording, carries=nk, scanned=nx, length=n, reverse=params["reverse"]
        )[len(outs) :]
        moving = moving_carries(body, nk, wanted)
        active = depends_on(body.nodes, [body.inputs[k] for k in moving])
        ck = [k for k in moving if k < nk]
        cy = [k for k in range(nk, len(outs)) if active[body.outputs[k]] and cts[k] is not None]
        want_x = [k for k in wanted if nk <= k < nk + nx]
        want_c = [k for k in wanted if k >= nk + nx]
        derived = vjp_graph(
            body,
            [body.outputs[k] for k in [*ck, *cy]],
            [body.inputs[k] for k in [*ck, *want_c, *want_x]],
            b.dtype,
            record_bytes=b.record_bytes,
        )
        # Body of the way back. In: cts of carries, sums for constants | carries, xs, cts of ys | constants.
        inner = GraphBuilder(b.dtype)
        ct_in = [inner.input(outs[k]) for k in ck]
        sums = [inner.input(ins[k]) for k in want_c]
        carried = [inner.input(ins[k]) for k in range(nk)]
        sliced = [inner.input(ins[k]) for k in range(nk, nk + nx)]
        ct_ys = [inner.input(outs[k]) for k in cy]
        consts = [inner.input(a) for a in ins[nk + nx :]]
        back = inner.inline(derived, [*carried, *sliced, *consts, *ct_in, *ct_ys])[len(outs) :]
        totals = [
            inner.core("add", s, c) for s, c in zip(sums, back[len(ck) : len(ck) + len(want_c)], strict=True)
        ]
        results = [*back[: len(ck)], *totals, *back[len(ck) + len(want_c) :]]
        step = simplify(inner.build(results), b.dtype)
        got = b.write(
            self,
            *[cts[k] or Var(b, b.zeros(outs[k])) for k in ck],
            *[Var(b, b.zeros(ins[k])) for k in want_c],
            *recorded,
            *xs[nk : nk + nx],
            *[c for k in cy if (c := cts[k]) is not None],
            *xs[nk + nx :],
            body=step,
            carries=len(ck) + len(want_c),
            scanned=nk + nx + len(cy),
            length=n,
            reverse=not params["reverse"],
        )
        found: dict[int, Var] = dict(zip([*ck, *want_c, *want_x], got, strict=True))
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
        """The body mapped; the scan axis stays in front of the slices. What depends on no mapped operand stays as it is."""
        nk, nx = params["carries"], params["scanned"]
        flags = mapped_carries(params["body"], nk, mapped)
        body, leads = vmap(params["body"], size, flags, b.dtype)
        inner = GraphBuilder.on(body, b.dtype)
        outs = [
            lead(inner, Var(inner, o), size, led).ref if k < nk and flags[k] else o
            for k, (o, led) in enumerate(zip(body.outputs, leads, strict=True))
        ]
        args: list[Var] = []
        for k, (v, m) in enumerate(zip(operands, mapped, strict=True)):
            if k < nk:
                args.append(lead(b, v, size, m) if flags[k] else v)
            elif k < nk + nx and m:
                args.append(_swap_leading(b, v))
            else:
                args.append(v)
        got = b.write(self, *args, **{**params, "body": inner.build(outs)})
        results: list[Any] = []
        for k, v in enumerate(got):
            if not (flags[k] if k < nk else leads[k]):
                results.append(Shared(v.ref))
            else:
                results.append(v.ref if k < nk else _swap_leading(b, v).ref)
        return tuple(results)


def in_segments(params: Mapping[str, Any], count: int, dtype: DType) -> Graph:
    """The scan as a scan over `count` segments, each a scan of its own; what is left over, less than a segment, comes last.

    Inputs and outputs are those of the node. To go back over it takes the carries at the segments' starts, and those of one
    segment at a time.
    """
    body: Graph = params["body"]
    nk, nx, n, reverse = params["carries"], params["scanned"], params["length"], params["reverse"]
    ins = body.in_avals
    size = n // count
    rest = n - count * size
    b = GraphBuilder(dtype)
    carries = [Var(b, b.input(a)) for a in ins[:nk]]
    scanned = [Var(b, b.input(Aval((n, *a.shape), a.dtype))) for a in ins[nk : nk + nx]]
    consts = [Var(b, b.input(a)) for a in ins[nk + nx :]]
    # In reverse the last slices come first, so that it is the first ones that are left over.
    start = rest if reverse else 0
    inner = GraphBuilder(dtype)
    given = [inner.input(a) for a in ins[:nk]]
    given += [inner.input(Aval((size, *a.shape), a.dtype)) for a in ins[nk : nk + nx]]
    given += [inner.input(a) for a in ins[nk + nx :]]
    segment = inner.write(scan_core, *[Var(inner, g) for g in given], **{**params, "length": size})
    cut = [
        slice_axis(v, -v.rank, start, start + count * size).reshape((count, size, *v.shape[1:]))
        for v in scanned
    ]
    outer = {**params, "body": inner.build([v.ref for v in segment]), "length": count}
    got = list(b.write(scan_core, *carries, *cut, *consts, **outer))
    ys = [v.reshape((count * size, *v.shape[2:])) for v in got[nk:]]
    if rest:
        first = 0 if reverse else count * size
        last = [slice_axis(v, -v.rank, first, first + rest) for v in scanned]
        got = list(b.write(scan_core, *got[:nk], *last, *consts, **{**params, "length": rest}))
        ends = [(r, y) if reverse else (y, r) for y, r in zip(ys, got[nk:], strict=True)]
        ys = [b.write("concat", *both, axis=-both[0].rank) for both in ends]
    return b.build([v.ref for v in [*got[:nk], *ys]])


def _swap_leading(b: Builder, v: Var) -> Var:
    n = v.rank
    result: Var = b.write("permute_dims", v, axes=(1 - n, -n, *range(2 - n, 0)))
    return result


scan_core = registry.add(ScanCore())
