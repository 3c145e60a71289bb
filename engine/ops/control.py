"""Control flow: scan, fori_loop, cond. Their bodies are graphs, and so are the derivatives of their bodies.

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
from engine.errors import Arity, ShapeMismatch
from engine.graph import Graph
from engine.op import Attr, Op, Operand, Subgraph, registry
from engine.program import BODY, Body
from engine.transforms.pull import vjp_graph
from engine.transforms.push import jvp_graph
from engine.transforms.simplify import simplify
from engine.transforms.vmap import lead, vmap

# ------------------------------------------------------------------------------------------------------------ helpers


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


def wrap(dtype: Any, avals: Sequence[Aval], graph: Graph, arguments: Sequence[int], results: Sequence[int]) -> Graph:
    """A graph of `avals` that calls `graph` with its own inputs `arguments` and returns `graph`'s outputs `results`."""
    b = GraphBuilder(dtype)
    inputs = [b.input(a) for a in avals]
    outs = b.inline(graph, [inputs[k] for k in arguments])
    return simplify(b.build([outs[k] for k in results]), dtype)


def with_dtypes(graph: Graph, avals: Sequence[Aval], dtype: Any) -> Graph:
    """The graph with its outputs cast to `avals`' dtypes. Raises `ShapeMismatch` where shapes differ."""
    b = GraphBuilder.on(graph, dtype)
    outs = [cast(b, Var(b, o), a.dtype) for o, a in zip(graph.outputs, avals, strict=True)]
    return b.build([v.ref for v in outs])


_RANK = {"bool": 0, "int64": 1, "float32": 2, "float64": 2}


def _wider(a: Aval, b: Aval) -> Aval:
    return a if _RANK[a.dtype] >= _RANK[b.dtype] else Aval(a.shape, b.dtype)


def _flops(graph: Graph) -> float:
    total = 0.0
    for node in graph.nodes:
        operands: list[Any] = [graph.nodes[j].aval for j in node.inputs]
        total += node.op.flops(operands, node.aval, **dict(node.params))
    return total


# --------------------------------------------------------------------------------------------------------------- scan


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
        return float(params["length"]) * _flops(params["body"])

    def push(self, b: Builder, xs: Sequence[Var], dxs: Sequence[Var | None], **params: Any) -> list[Var | None]:
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
        order = [*range(nk), *(no + k for k in floats if k < nk), *range(nk, no), *(no + k for k in floats if k >= nk)]
        arguments = [*(place["x", k] for k in range(len(ins))), *(place["dx", k] for k in moving)]
        both = wrap(b.dtype, avals, derived, arguments, order)
        nd = sum(1 for k in moving if k < nk)
        got = b.write(
            self, *args, body=both, carries=nk + nd, scanned=sum(1 for k in groups[1] if k in moving) + nx,
            length=n, reverse=params["reverse"],
        )
        tangents: list[Var | None] = [None] * no
        for slot, out in enumerate(order):
            if out >= no:
                tangents[out - no] = got[slot]
        return tangents

    def pull(
        self, b: Builder, xs: Sequence[Var], ys: Any, cts: Sequence[Var | None], wanted: Sequence[int], **params: Any
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
            body, [body.outputs[k] for k in floats], [body.inputs[k] for k in [*kept, *want_c, *want_x]], b.dtype
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
            inner.core("add", s, c) for s, c in zip(sums, back[len(kept) : len(kept) + len(want_c)], strict=True)
        ]
        results = [*back[: len(kept)], *totals, *back[len(kept) + len(want_c) :]]
        step = simplify(inner.build(results), b.dtype)

        def ct(k: int) -> Var:
            outer = outs[k] if k < nk else Aval((n, *outs[k].shape), outs[k].dtype)
            return cts[k] or Var(b, b.zeros(outer))

        got = b.write(
            self,
            *[ct(k) for k in ck], *[Var(b, b.zeros(avals[k])) for k in want_c],
            *recorded, *xs[nk : nk + nx], *[ct(k) for k in cy],
            *xs[nk + nx :],
            body=step, carries=len(ck) + len(want_c), scanned=nk + nx + len(cy), length=n, reverse=not params["reverse"],
        )
        found: dict[int, Var] = dict(zip([*kept, *want_c, *want_x], got, strict=True))
        return [found.get(k) for k in wanted]

    def vmap(self, b: GraphBuilder, size: int, operands: Sequence[Var], mapped: Sequence[bool], **params: Any) -> Any:
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
    b: Builder, body: Body, carries: list[Var], scanned: list[Var], consts: list[Var], length: int, reverse: bool
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
            raise Arity(f"The body must return its {len(carries)} carries first; it returns {len(outs)} values.")
        wanted = [_wider(a, o) for a, o in zip(avals, outs, strict=False)]
        for k, (a, o) in enumerate(zip(avals, outs, strict=False)):
            if a.shape != o.shape:
                try:
                    carries[k] = broadcast_to(carries[k], o.shape)
                except ShapeMismatch:
                    raise ShapeMismatch(
                        f"Carry {k} enters the loop with shape {list(a.shape)} and leaves its body with {list(o.shape)}; "
                        "a carry must keep its shape."
                    ) from None
        carries = [cast(b, v, a.dtype) for v, a in zip(carries, wanted, strict=True)]
        if [v.aval for v in carries] == avals:
            fixed = with_dtypes(graph, [*avals, *outs[len(carries) :]], b.dtype)
            got = b.write(
                scan_core, *carries, *scanned, *consts, body=fixed, carries=len(carries), scanned=len(scanned),
                length=length, reverse=reverse,
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
        Attr("carry", COUNT), Attr("scanned", COUNT, 1), Attr("body", BODY),
        Attr("length", optional(SIZE), None), Attr("reverse", BOOL, False),
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
        lengths = {v.shape[0] for v in scanned} | ({attrs["length"]} if attrs["length"] is not None else set())
        if len(lengths) != 1:
            raise ShapeMismatch(
                f"scan needs scanned arrays of one length; theirs are {sorted(lengths)}." if lengths else
                "scan over no array needs a length."
            )
        return write_scan(
            b, attrs["body"], list(operands[:nk]), scanned, list(operands[nk + nx :]), lengths.pop(), attrs["reverse"]
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
        Attr("start", SIZE, 0), Attr("stop", SIZE), Attr("carry", COUNT, 1), Attr("body", BODY),
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
    nodes = tuple(n._replace(params=(("index", index[i]),)) if i in index else n for i, n in enumerate(graph.nodes))
    return Graph(nodes, tuple(inputs), graph.outputs)


registry.add(ForiLoop())


# --------------------------------------------------------------------------------------------------------------- cond


class CondCore(Op):
    """Operands: a boolean scalar, then the operands of both branches. Results: those of the branch taken."""

    name = "core.cond"
    family = "core"
    internal = True
    subgraphs = True
    results = ("y", "…")
    rules = (Subgraph(),)

    def infer(self, *avals: Aval, **params: Any) -> Avals:
        """The branches' common avals."""
        then: Graph = params["then"]
        return then.out_avals

    def evaluate_in(self, b: EagerBuilder, *arrays: Any, **params: Any) -> Any:
        """Only the branch that is taken."""
        return tuple(b.inline(params["then"] if arrays[0] else params["otherwise"], arrays[1:]))

    def flops(self, operands: Sequence[Aval], result: Avals, **params: Any) -> float:
        """The dearer branch."""
        return max(_flops(params["then"]), _flops(params["otherwise"]))

    def push(self, b: Builder, xs: Sequence[Var], dxs: Sequence[Var | None], **params: Any) -> list[Var | None]:
        """The branches' tangents."""
        moving = [k for k in range(1, len(xs)) if dxs[k] is not None]
        outs = params["then"].out_avals
        floats = [k for k, a in enumerate(outs) if a.floating]
        branches = {}
        for name in ("then", "otherwise"):
            g: Graph = params[name]
            derived = jvp_graph(g, [g.inputs[k - 1] for k in moving], b.dtype)
            branches[name] = derived.with_outputs([derived.outputs[len(outs) + k] for k in floats])
        got = b.write(self, xs[0], *xs[1:], *[v for v in dxs[1:] if v is not None], **branches)
        tangents: list[Var | None] = [None] * len(outs)
        for k, v in zip(floats, got, strict=True):
            tangents[k] = v
        return tangents

    def pull(
        self, b: Builder, xs: Sequence[Var], ys: Any, cts: Sequence[Var | None], wanted: Sequence[int], **params: Any
    ) -> list[Var | None]:
        """The branches' cotangents; only the branch that was taken is walked back."""
        given = [k for k, c in enumerate(cts) if c is not None]
        branches = {}
        for name in ("then", "otherwise"):
            g: Graph = params[name]
            derived = vjp_graph(g, [g.outputs[k] for k in given], [g.inputs[k - 1] for k in wanted], b.dtype)
            branches[name] = derived.with_outputs(derived.outputs[len(g.outputs) :])
        got = b.write(self, xs[0], *xs[1:], *[c for c in cts if c is not None], **branches)
        return list(got)

    def vmap(self, b: GraphBuilder, size: int, operands: Sequence[Var], mapped: Sequence[bool], **params: Any) -> Any:
        """Both branches mapped; a mapped condition chooses between their results entry by entry."""
        results: list[list[Var]] = []
        branches = {}
        for name in ("then", "otherwise"):
            g, leads = vmap(params[name], size, mapped[1:], b.dtype)
            inner = GraphBuilder.on(g, b.dtype)
            outs = [lead(inner, Var(inner, o), size, led).ref for o, led in zip(g.outputs, leads, strict=True)]
            branches[name] = inner.build(outs)
            if mapped[0]:
                refs = b.inline(branches[name], [v.ref for v in operands[1:]])
                results.append([Var(b, r) for r in refs])
        if not mapped[0]:
            return tuple(v.ref for v in b.write(self, *operands, **branches))
        chosen = []
        for x, y in zip(*results, strict=True):
            mask = b.write("reshape", operands[0], shape=(size, *[1] * (x.rank - 1))) if x.rank > 1 else operands[0]
            chosen.append(b.write("where", broadcast_to(mask, x.shape), x, y).ref)
        return tuple(chosen)


cond_core = registry.add(CondCore())


class Cond(Op):
    """One of two bodies, by a boolean scalar: only the branch that holds is computed, and differentiated.

    then, else: operands → results, of equal number and shapes. As `jax.lax.cond`.
    """

    name = "cond"
    family = "control"
    composite = True
    promotes = False
    results = ("y", "…")
    parameters = (
        Operand("condition", ("pred",), boolean=True), Operand("operands", variadic=True, least=0),
        Attr("then", BODY), Attr("else", BODY),
    )
    latex = "\\operatorname{{cond}}"
    convention = "The derivative is that of the branch taken; the condition itself has none."

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> tuple[Var, ...]:
        """One core cond."""
        pred, xs = operands[0], list(operands[1:])
        if pred.rank:
            raise ShapeMismatch(
                f"cond needs a scalar condition; this one has shape {list(pred.shape)}. For a choice entry by entry use where."
            )
        avals = [v.aval for v in xs]
        then, otherwise = attrs["then"].graph(avals), attrs["else"].graph(avals)
        if len(then.outputs) != len(otherwise.outputs):
            raise Arity(
                f"The branches of cond must return equally many values; then returns {len(then.outputs)}, "
                f"else {len(otherwise.outputs)}."
            )
        common = []
        for k, (p, q) in enumerate(zip(then.out_avals, otherwise.out_avals, strict=True)):
            if p.shape != q.shape:
                raise ShapeMismatch(
                    f"Result {k} of cond has shape {list(p.shape)} in then and {list(q.shape)} in else; they must be equal."
                )
            common.append(_wider(p, q))
        got = b.write(
            cond_core, pred, *xs, then=with_dtypes(then, common, b.dtype),
            otherwise=with_dtypes(otherwise, common, b.dtype),
        )
        return tuple(got)


registry.add(Cond())
