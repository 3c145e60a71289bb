"""The loop of unknown length: while_loop."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from engine.attrs import COUNT, INTS
from engine.aval import BOOL, Aval, Avals, DType, Shape
from engine.builder import Builder, EagerBuilder, GraphBuilder, Var, broadcast_to, call, cast, item
from engine.compiled import LOOPS, compiled
from engine.errors import Arity, ShapeMismatch
from engine.graph import Graph
from engine.op import Attr, Op, Operand, Subgraph, registry
from engine.ops.control.counted import GUESSED_STEPS, Derivation, Steps, Vjp, counted
from engine.ops.control.subgraph import (
    graph_flops,
    guarded,
    mapped_carries,
    moving_carries,
    paired,
    place,
    placed,
    reached,
    settled,
    unbounded,
    wrap,
)
from engine.program import BODY, Program
from engine.transforms.push import jvp_graph
from engine.transforms.simplify import simplify
from engine.transforms.taylor import series_of
from engine.transforms.vmap import Shared, lead, vmap


class WhileCore(Op):
    """Operands: carries, constants. Results: the last carries, then the number of steps.

    `cond`: carries, constants → boolean; `body`: the same → carries. With `batch`, the shape of leading axes, every member
    goes on for itself: `cond` gives a mask of that shape, carries of members that are done stay as they are, and there is
    a number of steps for each. If `guarded`, the body takes that mask as its last input.
    """

    name = "core.while"
    family = "core"
    internal = True
    subgraphs = True
    unbounded = True
    results = ("carry", "…")
    rules = (Subgraph(),)

    def infer(self, *avals: Aval, **params: Any) -> Avals:
        """Avals of the carries, and integers of shape `batch`."""
        return (*params["body"].out_avals, Aval(params["batch"], "int64"))

    def evaluate_in(self, b: EagerBuilder, *arrays: Any, **params: Any) -> Any:
        """The loop."""
        nk, batch = params["carries"], params["batch"]
        carries, consts = list(arrays[:nk]), arrays[nk:]
        loop = LOOPS.of(*_alone(params))
        if loop is not None:
            if not batch:
                carries, _, steps = loop.run(b, carries, (), consts)
                return (*carries, np.int64(steps))
            active = compiled(params["cond"]).run(b, [*carries, *consts])[0]
            carries, _, _ = loop.run(b, [*carries, np.zeros(batch, np.int64), active], (), consts)
            return tuple(carries[:-1])
        cond, body = compiled(params["cond"]).run, compiled(params["body"]).run
        if not batch:
            steps = 0
            while cond(b, [*carries, *consts])[0]:
                carries = body(b, [*carries, *consts])
                steps += 1
            return (*carries, np.int64(steps))
        count = np.zeros(batch, np.int64)
        active = cond(b, [*carries, *consts])[0]
        while active.any():
            after = body(b, [*carries, *consts, *([active] if params["guarded"] else [])])
            if not active.all():
                after = [_chosen(active, new, old) for new, old in zip(after, carries, strict=True)]
            carries = after
            count += active
            active = active & cond(b, [*carries, *consts])[0]
        return (*carries, count)

    def guard(self, params: Mapping[str, Any], dtype: DType) -> Mapping[str, Any]:
        """The condition holds only with the guard."""
        cond, body = params["cond"], params["body"]
        b = GraphBuilder(dtype)
        refs = [b.input(a) for a in cond.in_avals]
        guard = broadcast_to(Var(b, b.input(BOOL)), params["batch"])
        (own,) = b.inline(cond, refs)
        both = b.build([b.write("logical_and", Var(b, own), guard).ref])
        # The guard is one more constant of the body, in front of its mask.
        b = GraphBuilder(dtype)
        at = len(refs)
        refs = [b.input(a) for a in [*body.in_avals[:at], BOOL, *body.in_avals[at:]]]
        return {**params, "cond": both, "body": b.build(b.inline(body, [*refs[:at], *refs[at + 1 :]]))}

    def inside(self, **params: Any) -> list[tuple[Any, int]]:
        """Condition and body; nobody knows how often."""
        return [(params["cond"], GUESSED_STEPS), (params["body"], GUESSED_STEPS)]

    def flops(self, operands: Sequence[Aval], result: Avals, **params: Any) -> float:
        """Those of one step: how many there are, the deadline decides."""
        return graph_flops(params["cond"]) + graph_flops(params["body"])

    def push(
        self, b: Builder, xs: Sequence[Var], dxs: Sequence[Var | None], **params: Any
    ) -> list[Var | None]:
        """One loop over values and tangents, with the condition on values alone."""
        body: Graph = params["body"]
        nk, n = params["carries"], len(xs)
        ins = body.in_avals
        moving = moving_carries(body, nk, [k for k, d in enumerate(dxs) if d is not None])
        derived = jvp_graph(body, [body.inputs[k] for k in moving], b.dtype)
        pairs = paired([range(nk), range(nk, n), range(n, len(ins))], moving)
        avals = [ins[k] for k, _ in pairs]
        dots = [k for k in moving if k < nk]
        order = [*range(nk), *(nk + k for k in dots)]
        both = wrap(b.dtype, avals, derived, placed(pairs, len(ins), moving), order)
        operands = [pair for pair in pairs if pair[0] < n]
        cond = wrap(b.dtype, avals[: len(operands)], params["cond"], placed(operands, n, ()), [0])
        args = [(dxs[k] or Var(b, b.zeros(ins[k]))) if dot else xs[k] for k, dot in operands]
        got = b.write(self, *args, **{**params, "body": both, "cond": cond, "carries": nk + len(dots)})
        found = dict(zip(dots, got[nk:], strict=False))
        return [found.get(k) for k in range(nk + 1)]

    def pull(
        self,
        b: Builder,
        xs: Sequence[Var],
        ys: Any,
        cts: Sequence[Var | None],
        wanted: Sequence[int],
        **params: Any,
    ) -> list[Var | None]:
        """The way back over a scan of as many steps as the loop took (`engine.ops.control.counted`)."""
        nk, batch = params["carries"], params["batch"]
        steps = Steps(params["body"], nk, batch, params["guarded"], masked=bool(batch))
        given = [k for k, c in enumerate(cts) if c is not None]
        back = Derivation(steps, (Vjp(tuple(given), tuple(1 + k for k in wanted)),), b.dtype)
        cotangents = [c for c in cts if c is not None]
        count = Var(b, item(b, ys, nk))
        return list(b.write(counted, count, *xs, *cotangents, derivation=back))

    def taylor(
        self, b: GraphBuilder, order: int, xs: Sequence[Sequence[Var | None]], **params: Any
    ) -> list[list[Var | None]]:
        """One loop over all coefficients, of the body in series arithmetic, with the condition on values alone."""
        body: Graph = params["body"]
        nk, ins, outs = params["carries"], body.in_avals, body.out_avals
        inner, outer = GraphBuilder(b.dtype), GraphBuilder(b.dtype)
        terms: list[list[Any]] = []
        own: list[list[int]] = []
        args: list[Var] = []
        for k, (aval, series) in enumerate(zip(ins, xs, strict=False)):
            # Every floating carry may come to move.
            moving = aval.floating and (k < nk or any(x is not None for x in series[1:]))
            used = order + 1 if moving else 1
            terms.append([inner.input(aval) for _ in range(used)])
            own.append([outer.input(aval) for _ in range(used)])
            args += [x or Var(b, b.zeros(aval)) for x in series[:used]]
        terms += [[inner.input(aval)] for aval in ins[len(xs) :]]
        places = [(r, m) for r, a in enumerate(outs) for m in range(order + 1 if a.floating else 1)]
        found = series_of(inner, body, terms, order)
        after = [found[r][m] if found[r][m] is not None else inner.zeros(outs[r]) for r, m in places]
        got = b.write(
            self,
            *args,
            body=simplify(inner.build(after), b.dtype),
            cond=outer.build(outer.inline(params["cond"], [series[0] for series in own])),
            carries=len(places),
            batch=params["batch"],
            guarded=params["guarded"],
        )
        result: list[list[Var | None]] = [[None] * (order + 1) for _ in range(nk + 1)]
        for (r, m), v in zip([*places, (nk, 0)], got, strict=True):
            result[r][m] = v
        return result

    def vmap(
        self, b: GraphBuilder, size: int, operands: Sequence[Var], mapped: Sequence[bool], **params: Any
    ) -> Any:
        """One loop for all members while they agree when to end, else one that goes on until no member does."""
        nk, batch = params["carries"], params["batch"]
        body, cond, masked = params["body"], params["cond"], params["guarded"]
        flags = mapped_carries(body, nk, [*mapped, *[False] * masked])[: len(operands)]
        alone = bool(batch) or reached(cond, flags)[0]
        if alone:
            flags = [True] * nk + flags[nk:]
            if not batch and unbounded(body):
                body, masked = guarded(body, b.dtype), True
        body, leads = vmap(body, size, [*flags, *[alone] * masked], b.dtype)
        inner = GraphBuilder.on(body, b.dtype)
        after = [
            lead(inner, Var(inner, o), size, led).ref if f else o
            for o, led, f in zip(body.outputs, leads, flags, strict=False)
        ]
        cond, (led,) = vmap(cond, size, flags, b.dtype)
        if alone:
            outer = GraphBuilder.on(cond, b.dtype)
            cond = outer.build([lead(outer, Var(outer, cond.outputs[0]), size, led).ref])
        args = [
            lead(b, v, size, m) if k < nk and flags[k] else v
            for k, (v, m) in enumerate(zip(operands, mapped, strict=True))
        ]
        got = b.write(
            self,
            *args,
            body=inner.build(after),
            cond=cond,
            carries=nk,
            batch=(size, *batch) if alone else batch,
            guarded=masked,
        )
        return tuple(v.ref if f else Shared(v.ref) for v, f in zip(got, [*flags[:nk], alone], strict=True))


def _alone(params: Mapping[str, Any]) -> tuple[Graph, int, int, Graph]:
    """The loop as one that all members take together: its body, carries, scanned, condition.

    With `batch` there are two more carries: each member's number of steps, and whether it goes on.
    """
    body, cond = params["body"], params["cond"]
    nk, batch = params["carries"], params["batch"]
    if not batch:
        return body, nk, 0, cond
    kept = vars(body).setdefault("_alone", {})
    key = (id(cond), nk, batch, params["guarded"])
    if key not in kept:
        kept[key] = (cond, *_together(body, cond, nk, batch, params["guarded"]))
    _, together, test = kept[key]
    return together, nk + 2, 0, test


def _together(body: Graph, cond: Graph, nk: int, batch: Shape, masked: bool) -> tuple[Graph, Graph]:
    b = GraphBuilder()
    ins = body.in_avals[: len(body.inputs) - masked]
    carries = [Var(b, b.input(a)) for a in ins[:nk]]
    count, active = Var(b, b.input(Aval(batch, "int64"))), Var(b, b.input(Aval(batch, "bool")))
    consts = [Var(b, b.input(a)) for a in ins[nk:]]
    stepped = b.inline(body, [*(v.ref for v in [*carries, *consts]), *([active.ref] if masked else [])])
    after = [
        b.write(
            "where",
            broadcast_to(active.reshape((*batch, *[1] * (old.rank - len(batch)))), old.shape),
            Var(b, new),
            old,
        )
        for new, old in zip(stepped, carries, strict=True)
    ]
    (on,) = b.inline(cond, [v.ref for v in [*after, *consts]])
    more = call(b, "add", count, cast(b, active, "int64"))
    still = b.write("logical_and", active, Var(b, on))
    whole = b.build([v.ref for v in [*after, more, still]])
    b = GraphBuilder()
    inputs = [Var(b, b.input(a)) for a in whole.in_avals]
    test = b.write("any", inputs[nk + 1], axes=tuple(range(-len(batch), 0)))
    return whole, b.build([test.ref])


def _chosen(mask: Any, new: Any, old: Any) -> Any:
    """Members in the mask from `new`, the others from `old`."""
    shape: Shape = mask.shape
    return np.where(mask.reshape(shape + (1,) * (np.ndim(new) - len(shape))), new, old)


while_core = registry.add(WhileCore())


class WhileLoop(Op):
    """The body run again and again while the condition holds, which is looked at before each step.

    cond: carries, constants → a boolean scalar; body: carries, constants → carries. As `jax.lax.while_loop`, with several
    carries and with constants; in reverse mode too. The body may return `locals` values more: the results end with the last
    of each, or with zeros if there was no step. Carries in `integers` were written as integers, and are as long as the body
    keeps them so. A loop that does not end is stopped by the deadline.

    In reverse mode it is a scan of as many steps as it took, so that carries are recorded, or computed again from
    checkpoints where that would take too much memory.
    """

    name = "while_loop"
    family = "control"
    composite = True
    promotes = False
    results = ("carry", "…")
    parameters = (
        Operand("operands", variadic=True, least=0),
        Attr("carry", COUNT, 1),
        Attr("cond", BODY),
        Attr("body", BODY),
        Attr("locals", COUNT, 0),
        Attr("integers", INTS, ()),
    )
    latex = "\\operatorname{{while}}"
    convention = "The derivative is that of the steps that were taken; their number has none."

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> tuple[Var, ...]:
        """One core loop."""
        nk, nl, cond, body = attrs["carry"], attrs["locals"], attrs["cond"], attrs["body"]
        if len(operands) < nk:
            raise Arity(f"while_loop needs {nk} carries; it has {len(operands)} operands.")
        consts = list(operands[nk:])
        rest = [v.aval for v in consts]

        def typed(avals: Sequence[Aval]) -> Graph:
            graph: Graph = body.graph([*avals, *rest])
            if len(graph.outputs) != nk + nl:
                more = f" and {nl} more" if nl else ""
                n = len(graph.outputs)
                raise Arity(
                    f"The body must return its {nk} carries{more}; it returns {n} value{'s' * (n != 1)}.",
                    where=place(body.program),
                )
            return graph

        carries, graph = settled(b, typed, operands[:nk], body.program, 0, attrs["integers"])
        test: Graph = cond.graph([*[v.aval for v in carries], *rest])
        test = _boolean(test, cond.program, b.dtype)
        if nl:
            carries += [Var(b, b.zeros(a)) for a in graph.out_avals[nk:]]
            avals = [v.aval for v in carries]
            passed = [*range(nk), *range(nk + nl, nk + nl + len(rest))]
            graph = _ignoring([*avals, *rest], graph, passed, b.dtype)
            test = _ignoring([*avals, *rest], test, passed, b.dtype)
        got = b.write(
            while_core, *carries, *consts,
            cond=test, body=graph, carries=len(carries), batch=(), guarded=False,
        )  # fmt: skip
        return tuple(got[:-1])


registry.add(WhileLoop())


def _boolean(test: Graph, program: Program, dtype: DType) -> Graph:
    """The condition as one that gives a boolean scalar: a number holds where it is not 0.

    Raises `Arity` for several values, `ShapeMismatch` for an array.
    """
    if len(test.outputs) != 1:
        raise Arity(
            f"The condition of while_loop must give one boolean scalar; it gives {len(test.outputs)} values.",
            where=place(program),
        )
    found = test.out_avals[0]
    if found == BOOL:
        return test
    if found.shape:
        raise ShapeMismatch(
            f"The condition of while_loop must be a scalar, such as x > 0; this one has shape {list(found.shape)}.",
            node=program.steps[program.outputs[0]].id,
            where=place(program, 0),
        )
    b = GraphBuilder(dtype)
    (own,) = b.inline(test, [b.input(a) for a in test.in_avals])
    return b.build([cast(b, Var(b, own), "bool").ref])


def _ignoring(avals: Sequence[Aval], graph: Graph, passed: Sequence[int], dtype: DType) -> Graph:
    """The graph as one of more inputs, of which it gets those in `passed`."""
    b = GraphBuilder(dtype)
    refs = [b.input(a) for a in avals]
    return b.build(b.inline(graph, [refs[k] for k in passed]))
