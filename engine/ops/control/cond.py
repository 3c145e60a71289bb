"""A choice between two bodies by a boolean scalar."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from engine.aval import Aval, Avals, DType
from engine.builder import Builder, EagerBuilder, GraphBuilder, Var, broadcast_to
from engine.errors import Arity, ShapeMismatch
from engine.graph import Graph
from engine.op import Attr, Op, Operand, Subgraph, registry
from engine.ops.control.subgraph import graph_flops, guarded, unbounded, wider, with_dtypes
from engine.ops.index.gather import known
from engine.program import BODY
from engine.transforms.pull import vjp_graph
from engine.transforms.push import jvp_graph
from engine.transforms.taylor import series_of
from engine.transforms.vmap import lead, vmap


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
        return tuple(b.run(params["then"] if arrays[0] else params["otherwise"], arrays[1:]))

    def guard(self, params: Mapping[str, Any], dtype: DType) -> Mapping[str, Any]:
        """One more operand of both branches."""
        return {name: guarded(params[name], dtype) for name in ("then", "otherwise")}

    def flops(self, operands: Sequence[Aval], result: Avals, **params: Any) -> float:
        """The dearer branch."""
        return max(graph_flops(params["then"]), graph_flops(params["otherwise"]))

    def push(
        self, b: Builder, xs: Sequence[Var], dxs: Sequence[Var | None], **params: Any
    ) -> list[Var | None]:
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
        self,
        b: Builder,
        xs: Sequence[Var],
        ys: Any,
        cts: Sequence[Var | None],
        wanted: Sequence[int],
        **params: Any,
    ) -> list[Var | None]:
        """The branches' cotangents; only the branch that was taken is walked back."""
        given = [k for k, c in enumerate(cts) if c is not None]
        branches = {}
        for name in ("then", "otherwise"):
            g: Graph = params[name]
            derived = vjp_graph(
                g,
                [g.outputs[k] for k in given],
                [g.inputs[k - 1] for k in wanted],
                b.dtype,
                record_bytes=b.record_bytes,
            )
            branches[name] = derived.with_outputs(derived.outputs[len(g.outputs) :])
        got = b.write(self, xs[0], *xs[1:], *[c for c in cts if c is not None], **branches)
        return list(got)

    def taylor(
        self, b: GraphBuilder, order: int, xs: Sequence[Sequence[Var | None]], **params: Any
    ) -> list[list[Var | None]]:
        """The branches in series arithmetic."""
        outs = params["then"].out_avals
        args = [x for series in xs[1:] for m, x in enumerate(series) if m == 0 or x is not None]
        branches = {}
        for name in ("then", "otherwise"):
            g: Graph = params[name]
            inner = GraphBuilder(b.dtype)
            terms: list[list[Any]] = []
            for aval, series in zip(g.in_avals, xs[1:], strict=True):
                terms.append(
                    [inner.input(aval) if m == 0 or x is not None else None for m, x in enumerate(series)]
                )
            refs = []
            for aval, found in zip(outs, series_of(inner, g, terms, order), strict=True):
                last = order if aval.floating else 0
                refs += [inner.zeros(aval) if t is None else t for t in found[: last + 1]]
            branches[name] = inner.build(refs)
        got = iter(b.write(self, *[v for v in (xs[0][0], *args) if v is not None], **branches))
        return [[next(got) if m == 0 or aval.floating else None for m in range(order + 1)] for aval in outs]

    def vmap(
        self, b: GraphBuilder, size: int, operands: Sequence[Var], mapped: Sequence[bool], **params: Any
    ) -> Any:
        """Both branches mapped; a mapped condition chooses between their results entry by entry."""
        results: list[list[Var]] = []
        branches = {}
        for name in ("then", "otherwise"):
            args, flags, branch = list(operands[1:]), list(mapped[1:]), params[name]
            if mapped[0] and unbounded(branch):  # it is computed for members too whose branch it is not
                branch = guarded(branch, b.dtype)
                args.append(operands[0] if name == "then" else b.write("logical_not", operands[0]))
                flags.append(True)
            g, leads = vmap(branch, size, flags, b.dtype)
            inner = GraphBuilder.on(g, b.dtype)
            outs = [
                lead(inner, Var(inner, o), size, led).ref for o, led in zip(g.outputs, leads, strict=True)
            ]
            branches[name] = inner.build(outs)
            if mapped[0]:
                refs = b.inline(branches[name], [v.ref for v in args])
                results.append([Var(b, r) for r in refs])
        if not mapped[0]:
            return tuple(v.ref for v in b.write(self, *operands, **branches))
        chosen = []
        for x, y in zip(*results, strict=True):
            mask = (
                b.write("reshape", operands[0], shape=(size, *[1] * (x.rank - 1)))
                if x.rank > 1
                else operands[0]
            )
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
        Operand("condition", ("pred",), boolean=True),
        Operand("operands", variadic=True, least=0),
        Attr("then", BODY),
        Attr("else", BODY),
    )
    latex = "\\operatorname{{cond}}"
    convention = "The derivative is that of the branch taken; the condition itself has none."

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> tuple[Var, ...]:
        """One core cond."""
        pred, xs = operands[0], list(operands[1:])
        if pred.rank:
            raise ShapeMismatch(
                f"cond needs a scalar condition; this one has shape {list(pred.shape)}. "
                "For a choice entry by entry use where."
            )
        avals = [v.aval for v in xs]
        fixed = known(pred)
        if fixed is not None:  # a choice by shapes, say: what is not taken need not even fit them
            taken = attrs["then" if fixed else "else"].graph(avals)
            return tuple(Var(b, r) for r in b.inline(taken, [v.ref for v in xs]))
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
                    f"Result {k} of cond has shape {list(p.shape)} in then and {list(q.shape)} in else; "
                    "they must be equal."
                )
            common.append(wider(p, q))
        got = b.write(
            cond_core,
            pred,
            *xs,
            then=with_dtypes(then, common, b.dtype),
            otherwise=with_dtypes(otherwise, common, b.dtype),
        )
        return tuple(got)


registry.add(Cond())
