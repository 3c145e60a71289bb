"""What a program says about its own derivative: checkpoint (compute again instead of keeping), stop_gradient (none)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from engine.aval import Aval, Avals, DType
from engine.builder import Builder, EagerBuilder, GraphBuilder, Var
from engine.graph import Graph
from engine.op import Attr, Example, Op, Operand, Subgraph, registry
from engine.ops.control.subgraph import graph_flops, guarded
from engine.ops.pointwise.elementwise import Elementwise
from engine.program import BODY
from engine.transforms.pull import depends_on, vjp_graph
from engine.transforms.push import jvp_graph
from engine.transforms.simplify import simplify
from engine.transforms.taylor import series_of
from engine.transforms.vmap import Shared, vmap


class CheckpointCore(Op):
    """`body` of the operands, behind a barrier: nothing inside is kept, or shared with what is outside.

    Its derivatives are such nodes too, of the body's derivative, which computes again what it needs.
    """

    name = "core.checkpoint"
    family = "core"
    internal = True
    subgraphs = True
    results = ("y", "…")
    rules = (Subgraph(),)

    def infer(self, *avals: Aval, **params: Any) -> Avals:
        """Those of the body."""
        body: Graph = params["body"]
        return body.out_avals

    def evaluate_in(self, b: EagerBuilder, *arrays: Any, **params: Any) -> Any:
        """The body's results."""
        return tuple(b.run(params["body"], arrays))

    def guard(self, params: Mapping[str, Any], dtype: DType) -> Mapping[str, Any]:
        """One more operand."""
        return {"body": guarded(params["body"], dtype)}

    def flops(self, operands: Sequence[Aval], result: Avals, **params: Any) -> float:
        """Those of the body."""
        return graph_flops(params["body"])

    def push(
        self, b: Builder, xs: Sequence[Var], dxs: Sequence[Var | None], **params: Any
    ) -> list[Var | None]:
        """The body's tangents."""
        body: Graph = params["body"]
        wrt = [body.inputs[k] for k, d in enumerate(dxs) if d is not None]
        active = depends_on(body.nodes, wrt)
        moving = [k for k, o in enumerate(body.outputs) if active[o]]
        both = jvp_graph(body, wrt, b.dtype)
        tangents = both.with_outputs([both.outputs[len(body.outputs) + k] for k in moving])
        got = b.write(self, *xs, *[d for d in dxs if d is not None], body=simplify(tangents, b.dtype))
        found = dict(zip(moving, got, strict=True))
        return [found.get(k) for k in range(len(body.outputs))]

    def pull(
        self,
        b: Builder,
        xs: Sequence[Var],
        ys: Any,
        cts: Sequence[Var | None],
        wanted: Sequence[int],
        **params: Any,
    ) -> list[Var | None]:
        """The body's cotangents, from its operands: what the body computes on the way is computed again."""
        body: Graph = params["body"]
        of = [o for o, c in zip(body.outputs, cts, strict=True) if c is not None]
        wrt = [body.inputs[k] for k in wanted]
        back = vjp_graph(body.with_outputs(()), of, wrt, b.dtype, record_bytes=b.record_bytes)
        return list(b.write(self, *xs, *[c for c in cts if c is not None], body=simplify(back, b.dtype)))

    def taylor(
        self, b: GraphBuilder, order: int, xs: Sequence[Sequence[Var | None]], **params: Any
    ) -> list[list[Var | None]]:
        """The body in series arithmetic."""
        body: Graph = params["body"]
        there = [[m == 0 or x is not None for m, x in enumerate(series)] for series in xs]
        inner = GraphBuilder(b.dtype)
        terms = [
            [inner.input(a) if t else None for t in used]
            for a, used in zip(body.in_avals, there, strict=True)
        ]
        found = series_of(inner, body, terms, order)
        places = [(r, m) for r, series in enumerate(found) for m, t in enumerate(series) if t is not None]
        step = simplify(inner.build([found[r][m] for r, m in places]), b.dtype)
        got = b.write(self, *[x for series in xs for x in series if x is not None], body=step)
        result: list[list[Var | None]] = [[None] * (order + 1) for _ in found]
        for (r, m), v in zip(places, got, strict=True):
            result[r][m] = v
        return result

    def vmap(
        self, b: GraphBuilder, size: int, operands: Sequence[Var], mapped: Sequence[bool], **params: Any
    ) -> Any:
        """The body mapped."""
        body, leads = vmap(params["body"], size, mapped, b.dtype)
        got = b.write(self, *operands, body=body)
        return tuple(v.ref if led else Shared(v.ref) for v, led in zip(got, leads, strict=True))


checkpoint_core = registry.add(CheckpointCore())


class Checkpoint(Op):
    """The body of the operands; on the way back it is computed again, instead of being kept until then.

    body: operands → results. The values and derivatives are those without it; a gradient takes less memory and more time.
    As `jax.checkpoint` and `torch.utils.checkpoint`.
    """

    name = "checkpoint"
    aliases = ("remat",)
    family = "control"
    composite = True
    promotes = False
    results = ("y", "…")
    parameters = (Operand("operands", variadic=True, least=0), Attr("body", BODY))
    latex = "\\operatorname{{checkpoint}}"

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> tuple[Var, ...]:
        """One node behind the barrier."""
        body = attrs["body"].graph([v.aval for v in operands])
        return tuple(b.write(checkpoint_core, *operands, body=body))


registry.add(Checkpoint())

stop_gradient = registry.add(
    Elementwise(
        "stop_gradient",
        lambda x: x,
        ("0",),
        scalar="a",
        doc="The value itself, taken for a constant: its derivative is 0, in every mode and order.",
        latex="\\operatorname{{stop}}\\left({x}\\right)",
        aliases=("detach",),
        family="control",
        passes_integers=True,
        weight=0,
        derivative={"x": "0"},
        convention="Its derivative is 0 because that is what it is for.",
        examples=(Example(([1.0, -2.0],)), Example((0.5,))),
    )
)
