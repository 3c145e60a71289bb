"""Functions whose derivative is given: custom_vjp and custom_jvp.

One core op holds the function and both directions, of which one is the user's graph and the other its transpose: a
pullback is linear in its cotangents, so pushing forward is the transpose of pulling back, and the other way round. The
next order differentiates these graphs, which are ordinary ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from engine.aval import Aval, Avals
from engine.builder import Builder, EagerBuilder, GraphBuilder, Var, call
from engine.errors import Arity, NotDifferentiable, ShapeMismatch, quoted
from engine.graph import Graph
from engine.op import Attr, Op, Operand, Subgraph, registry
from engine.ops.control.derived import operand_name
from engine.ops.control.subgraph import graph_flops
from engine.program import BODY, Body
from engine.transforms.linear import nonlinear, strongly, transpose
from engine.transforms.vmap import lead, vmap


class CustomCore(Op):
    """Operands → the results of `value`.

    `forward`: operands, tangents of the floating ones → tangents of the floating results. `back`: operands, cotangents of
    the floating results → cotangents of the floating operands. `forward` is None where `back` is not linear, because of
    the op that `hindrance` names.
    """

    name = "core.custom"
    family = "core"
    internal = True
    subgraphs = True
    results = ("y", "…")
    rules = (Subgraph(),)

    def infer(self, *avals: Aval, **params: Any) -> Avals:
        """Those of the function."""
        value: Graph = params["value"]
        return value.out_avals

    def evaluate_in(self, b: EagerBuilder, *arrays: Any, **params: Any) -> Any:
        """The function alone."""
        return tuple(b.inline(params["value"], arrays))

    def flops(self, operands: Sequence[Aval], result: Avals, **params: Any) -> float:
        """Those of the function."""
        return graph_flops(params["value"])

    def inside(self, **params: Any) -> list[tuple[Any, int]]:
        """The function."""
        return [(params["value"], 1)]

    def push(
        self, b: Builder, xs: Sequence[Var], dxs: Sequence[Var | None], **params: Any
    ) -> list[Var | None]:
        """The graph that pushes forward."""
        forward: Graph | None = params["forward"]
        if forward is None:
            raise NotDifferentiable(
                "custom_vjp: forward mode is the transpose of vjp, which must be linear in the cotangents for that; it is "
                f"not, because of {params['hindrance']}. Use reverse mode, or custom_jvp.",
                node=params["label"] or None,
            )
        tangents = [
            d.ref if d is not None else b.zeros(x.aval)
            for x, d in zip(xs, dxs, strict=True)
            if x.aval.floating
        ]
        found = iter(b.inline(forward, [*[x.ref for x in xs], *tangents]))
        return [Var(b, next(found)) if a.floating else None for a in params["value"].out_avals]

    def pull(
        self,
        b: Builder,
        xs: Sequence[Var],
        ys: Any,
        cts: Sequence[Var | None],
        wanted: Sequence[int],
        **params: Any,
    ) -> list[Var | None]:
        """The graph that pulls back."""
        outs = params["value"].out_avals
        given = [c.ref if c is not None else b.zeros(a) for a, c in zip(outs, cts, strict=True) if a.floating]
        backs = b.inline(params["back"], [*[x.ref for x in xs], *given])
        places = [k for k, x in enumerate(xs) if x.aval.floating]
        found = dict(zip(places, backs, strict=True))
        return [Var(b, found[k]) for k in wanted]

    def vmap(
        self, b: GraphBuilder, size: int, operands: Sequence[Var], mapped: Sequence[bool], **params: Any
    ) -> Any:
        """All graphs mapped, with every operand leading with the batch axis: so do its tangent and its cotangent."""

        def over(graph: Graph | None) -> Graph | None:
            if graph is None:
                return None
            g, leads = vmap(graph, size, [True] * len(graph.inputs), b.dtype)
            inner = GraphBuilder.on(g, b.dtype)
            outs = [
                lead(inner, Var(inner, o), size, led).ref for o, led in zip(g.outputs, leads, strict=True)
            ]
            return inner.build(outs)

        graphs = {name: over(params[name]) for name in ("value", "forward", "back")}
        led = [lead(b, v, size, m) for v, m in zip(operands, mapped, strict=True)]
        return tuple(v.ref for v in b.write(self, *led, **{**params, **graphs}))


custom_core = registry.add(CustomCore())


class _Custom(Op):
    """custom_vjp and custom_jvp."""

    family = "control"
    composite = True
    promotes = False
    results = ("y", "…")
    leading = True
    convention = "The derivative is what the given rule says, whether or not it is the function's."

    def given(
        self,
        b: Builder,
        rule: Body,
        primals: Sequence[Var],
        seeds: Sequence[Aval],
        asked: Sequence[Aval],
        unit: str,
        names: Sequence[str],
    ) -> Graph:
        """The typed graph of a given rule, its results of the avals `asked`. Raises errors that say what was expected."""
        what = self.name
        expected = len(primals) + len(seeds)
        count = len(rule.program.inputs)
        if count != expected:
            ids = ", ".join(quoted(rule.program.steps[i].id) for i in rule.program.inputs[:8])
            raise Arity(
                f"{what}: {what[-3:]} takes the {len(primals)} operands and {unit} ({len(seeds)}), that is {expected} "
                f"inputs; it has {count}{f' ({ids})' if ids else ''}."
            )
        graph = rule.graph([*[v.aval for v in primals], *seeds])
        if len(graph.outputs) != len(asked):
            raise Arity(
                f"{what}: {what[-3:]} must return {len(asked)} value{'s' * (len(asked) != 1)}, {', '.join(names)}; it returns "
                f"{len(graph.outputs)}."
            )
        inner = GraphBuilder.on(graph, b.dtype)
        outs = []
        for o, aval, name in zip(graph.outputs, asked, names, strict=True):
            v = Var(inner, o)
            if v.shape != aval.shape or v.dtype == "bool":
                raise ShapeMismatch(
                    f"{what}: {name}, which {what[-3:]} returns, must be {aval}, as what it belongs to; it is {v.aval}."
                )
            outs.append((call(inner, "astype", v, dtype="float") if v.dtype == "int64" else v).ref)
        return inner.build(outs)

    def function(self, operands: Sequence[Var], body: Body) -> tuple[Graph, list[int], list[Aval]]:
        """The function, the positions of the floating operands, and the avals of the floating results."""
        value = body.graph([v.aval for v in operands])
        moving = [k for k, v in enumerate(operands) if v.aval.floating]
        outs = [a for a in value.out_avals if a.floating]
        return value, moving, outs


class CustomVjp(_Custom):
    """A function, the body, whose way back is given by a graph of its own.

    body: operands → results. vjp: operands, then a cotangent of each floating result → a cotangent of each floating
    operand. Forward mode is the transpose of vjp, for which it must be linear in the cotangents; in reverse mode it may be
    anything (a gradient clipped on its way). As `jax.custom_vjp`.
    """

    name = "custom_vjp"
    parameters = (Operand("operands", variadic=True), Attr("body", BODY), Attr("vjp", BODY))
    latex = "\\operatorname{{custom}}"

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> tuple[Var, ...]:
        """One core op."""
        value, moving, outs = self.function(operands, attrs["body"])
        names = [f"the cotangent of {operand_name(attrs['body'], k)}" for k in moving]
        asked = [operands[k].aval for k in moving]
        back = self.given(
            b, attrs["vjp"], operands, outs, asked, "a cotangent of each floating result", names
        )
        seeds = range(len(operands), len(operands) + len(outs))
        hindrance = nonlinear(back, seeds)
        forward = None
        if hindrance is None:
            forward = transpose(back, seeds, b.dtype, **b.limits)
            back = strongly(back, seeds, b.dtype, **b.limits)
        got = b.write(
            custom_core,
            *operands,
            value=value,
            forward=forward,
            back=back,
            hindrance=hindrance,
            label=b.label,
        )
        return tuple(got)


class CustomJvp(_Custom):
    """A function, the body, whose way forward is given by a graph of its own.

    body: operands → results. jvp: operands, then a tangent of each floating operand → a tangent of each floating result;
    it must be linear in the tangents. Reverse mode is its transpose. As `jax.custom_jvp`.
    """

    name = "custom_jvp"
    parameters = (Operand("operands", variadic=True), Attr("body", BODY), Attr("jvp", BODY))
    latex = "\\operatorname{{custom}}"

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> tuple[Var, ...]:
        """One core op."""
        value, moving, outs = self.function(operands, attrs["body"])
        places = [k for k, a in enumerate(value.out_avals) if a.floating]
        names = [f"the tangent of result {k}" for k in places]
        given = [operands[k].aval for k in moving]
        forward = self.given(
            b, attrs["jvp"], operands, given, outs, "a tangent of each floating operand", names
        )
        seeds = range(len(operands), len(operands) + len(given))
        hindrance = nonlinear(forward, seeds)
        if hindrance is not None:
            raise NotDifferentiable(
                f"custom_jvp: jvp must be linear in the tangents, as every derivative is; it is not, because of {hindrance}."
            )
        back = transpose(forward, seeds, b.dtype, **b.limits)
        forward = strongly(forward, seeds, b.dtype, **b.limits)
        got = b.write(
            custom_core, *operands, value=value, forward=forward, back=back, hindrance=None, label=b.label
        )
        return tuple(got)


registry.add(CustomVjp())
registry.add(CustomJvp())
