"""Derivatives of loops whose length shows only when they run.

In reverse mode a while loop is a scan of as many steps as it took. How many that is, is known when the way back begins,
and not before; so the node of the way back holds no graph, but a function from the number of steps to a graph. Every
transform takes graphs to graphs, so the derivative of such a node, and the map over it, are such nodes again: one more
transform is applied to the same function. That is all there is to them at every order.

The memory of the scan is known before it is taken, and its carries are recorded or computed again from checkpoints as
those of any other scan.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from math import prod
from typing import Any, TypeAlias

import numpy as np

from engine.aval import INT64, Aval, Avals, DType, Shape
from engine.builder import RECORD_BYTES, Builder, EagerBuilder, GraphBuilder, Var, broadcast_to
from engine.graph import Graph
from engine.op import Op, Subgraph, registry
from engine.ops.control.cond import cond_core
from engine.ops.control.scan import scan_core
from engine.transforms.pull import vjp_graph
from engine.transforms.push import jvp_graph
from engine.transforms.simplify import simplify
from engine.transforms.taylor import series_of
from engine.transforms.vmap import lead, vmap

GUESSED_STEPS = 1000
"""So many steps a loop is taken to have for the prediction of its time: enough to be computed in a thread of its own."""

KEPT_GRAPHS = 64
"""So many lengths of one loop have their graphs kept; a loop in a loop comes back to them."""


@dataclass(frozen=True, slots=True)
class Steps:
    """Some steps of a loop: `body` takes carries and constants to carries.

    `batch` is the shape of leading axes of members that each take a number of steps of their own; if `guarded`, the body
    takes a mask of the members still at it as its last input. `masked`: the scan may go on longer than the loop did.
    """

    body: Graph
    carries: int
    batch: Shape
    guarded: bool
    masked: bool

    def graph(self, n: int, dtype: DType) -> Graph:
        """Number of steps (for each member), carries, constants → carries, by a scan of length `n`, at least that number."""
        ins = self.body.in_avals[: len(self.body.inputs) - self.guarded]
        nk = self.carries
        b = GraphBuilder(dtype)
        count = Var(b, b.input(Aval(self.batch, "int64")))
        carries = [Var(b, b.input(a)) for a in ins[:nk]]
        consts = [Var(b, b.input(a)) for a in ins[nk:]]
        same = {"carries": nk, "length": n, "reverse": False}
        if not self.masked:
            got = b.write(scan_core, *carries, *consts, body=self.body, scanned=0, **same)
        else:
            times = b.write("iota", n=n)
            step = self._masked(ins, dtype)
            got = b.write(scan_core, *carries, times, count, *consts, body=step, scanned=1, **same)
        return b.build([v.ref for v in got])

    def _masked(self, ins: Sequence[Aval], dtype: DType) -> Graph:
        """Carries, time, number of steps, constants → carries: the step while it is time for it, then nothing more."""
        nk = self.carries
        b = GraphBuilder(dtype)
        carries = [Var(b, b.input(a)) for a in ins[:nk]]
        time, count = Var(b, b.input(INT64)), Var(b, b.input(Aval(self.batch, "int64")))
        consts = [Var(b, b.input(a)) for a in ins[nk:]]
        active = b.write("less", broadcast_to(time, self.batch), count)
        if not self.batch:
            nothing = GraphBuilder(dtype)
            still = nothing.build([nothing.input(a) for a in ins][:nk])
            after = b.write(cond_core, active, *carries, *consts, then=self.body, otherwise=still)
            return b.build([v.ref for v in after])
        mask = [active.ref] if self.guarded else []
        stepped = b.inline(self.body, [*(v.ref for v in [*carries, *consts]), *mask])
        return b.build([
            b.write("where", _spread(active, v.shape), Var(b, new), v).ref
            for new, v in zip(stepped, carries, strict=True)
        ])  # fmt: skip


def _spread(mask: Var, shape: Shape) -> Var:
    """A mask over the leading axes of `shape`, over all of them."""
    return broadcast_to(mask.reshape((*mask.shape, *[1] * (len(shape) - mask.rank))), shape)


@dataclass(frozen=True, slots=True)
class Vjp:
    """Reverse mode: the graph's inputs and cotangents of outputs `of` → cotangents of inputs `wrt`."""

    of: tuple[int, ...]
    wrt: tuple[int, ...]

    def apply(self, graph: Graph, dtype: DType, record_bytes: int) -> Graph:
        """The graph of the way back."""
        of, wrt = [graph.outputs[k] for k in self.of], [graph.inputs[k] for k in self.wrt]
        return vjp_graph(graph.with_outputs(()), of, wrt, dtype, record_bytes=record_bytes)


@dataclass(frozen=True, slots=True)
class Jvp:
    """Forward mode: the graph's inputs and tangents of inputs `wrt` → tangents of all outputs."""

    wrt: tuple[int, ...]

    def apply(self, graph: Graph, dtype: DType, record_bytes: int) -> Graph:
        """The graph of tangents."""
        both = jvp_graph(graph, [graph.inputs[k] for k in self.wrt], dtype)
        return both.with_outputs(both.outputs[len(graph.outputs) :])


@dataclass(frozen=True, slots=True)
class Map:
    """The graph over `size` members, inputs in `mapped` and all outputs leading with their axis."""

    size: int
    mapped: tuple[bool, ...]

    def apply(self, graph: Graph, dtype: DType, record_bytes: int) -> Graph:
        """The mapped graph."""
        mapped, leads = vmap(graph, self.size, self.mapped, dtype)
        b = GraphBuilder.on(mapped, dtype)
        outs = zip(mapped.outputs, leads, strict=True)
        return b.build([lead(b, Var(b, o), self.size, led).ref for o, led in outs])


@dataclass(frozen=True, slots=True)
class Series:
    """Taylor coefficients: those of the inputs that are `there` → coefficients 0 … order of each output."""

    order: int
    there: tuple[tuple[bool, ...], ...]

    def apply(self, graph: Graph, dtype: DType, record_bytes: int) -> Graph:
        """The graph in series arithmetic."""
        b = GraphBuilder(dtype)
        given = zip(graph.in_avals, self.there, strict=True)
        terms = [[b.input(a) if t else None for t in there] for a, there in given]
        found = series_of(b, graph, terms, self.order)
        outs = zip(graph.out_avals, found, strict=True)
        return b.build([b.zeros(a) if t is None else t for a, series in outs for t in series])


Transform: TypeAlias = Vjp | Jvp | Map | Series


@dataclass(frozen=True, slots=True)
class Derivation:
    """A graph for every number of steps: the steps in a scan, and what is made of it by `transforms`, one after another."""

    steps: Steps
    transforms: tuple[Transform, ...]
    dtype: DType
    _made: dict[tuple[int, int], Graph] = field(default_factory=dict, compare=False, repr=False)

    def then(self, transform: Transform, *, masked: bool = False) -> Derivation:
        """One more transform; `masked` if the number of steps is no longer the same for all."""
        steps = replace(self.steps, masked=self.steps.masked or masked)
        return Derivation(steps, (*self.transforms, transform), self.dtype)

    @property
    def linear(self) -> int:
        """In so many of its last inputs together the graph is linear: cotangents or tangents that came last."""
        last = next(t for t in reversed(self.transforms) if not isinstance(t, Map))
        return 0 if isinstance(last, Series) else len(last.of if isinstance(last, Vjp) else last.wrt)

    def graph(self, n: int, record_bytes: int = RECORD_BYTES) -> Graph:
        """Number of steps, what the transforms ask for → results, for at most `n` steps."""
        found = self._made.get((n, record_bytes))
        if found is None:
            members = prod(t.size for t in self.transforms if isinstance(t, Map))
            found = self.steps.graph(n, self.dtype)
            for transform in self.transforms:
                found = transform.apply(found, self.dtype, record_bytes // max(1, members))
                found = simplify(found, self.dtype)
            if len(self._made) >= KEPT_GRAPHS:
                self._made.clear()
            self._made[n, record_bytes] = found
        return found


class Counted(Op):
    """What a derivation's graph gives for the number of steps that is the first operand (the largest, if it has axes)."""

    name = "core.counted"
    family = "core"
    internal = True
    subgraphs = True
    results = ("y", "…")
    rules = (Subgraph(),)

    def infer(self, *avals: Aval, **params: Any) -> Avals:
        """Those of the graph, which do not depend on the number of steps."""
        derivation: Derivation = params["derivation"]
        return derivation.graph(1).out_avals

    def evaluate_in(self, b: EagerBuilder, *arrays: Any, **params: Any) -> Any:
        """The graph for this many steps, if it may be computed."""
        derivation: Derivation = params["derivation"]
        graph = derivation.graph(int(np.max(arrays[0], initial=0)), b.record_bytes)
        if b.admit is not None:
            b.admit(graph)
        return tuple(b.run(graph, arrays))

    def inside(self, **params: Any) -> list[tuple[Any, int]]:
        """The graph for one step; nobody knows how often."""
        return [(params["derivation"].graph(1), GUESSED_STEPS)]

    def flops(self, operands: Sequence[Aval], result: Avals, **params: Any) -> float:
        """Unknown; what is computed is weighed when it is."""
        return 0.0

    def push(
        self, b: Builder, xs: Sequence[Var], dxs: Sequence[Var | None], **params: Any
    ) -> list[Var | None]:
        """The derivation in forward mode."""
        moving = tuple(k for k, d in enumerate(dxs) if d is not None)
        tangents = [d for d in dxs if d is not None]
        return list(b.write(self, *xs, *tangents, derivation=params["derivation"].then(Jvp(moving))))

    def pull(
        self,
        b: Builder,
        xs: Sequence[Var],
        ys: Any,
        cts: Sequence[Var | None],
        wanted: Sequence[int],
        **params: Any,
    ) -> list[Var | None]:
        """The derivation in reverse mode."""
        given = tuple(k for k, c in enumerate(cts) if c is not None)
        cotangents = [c for c in cts if c is not None]
        derivation = params["derivation"].then(Vjp(given, tuple(wanted)))
        return list(b.write(self, *xs, *cotangents, derivation=derivation))

    def taylor(
        self, b: GraphBuilder, order: int, xs: Sequence[Sequence[Var | None]], **params: Any
    ) -> list[list[Var | None]]:
        """The derivation in series arithmetic."""
        there = tuple(tuple(m == 0 or x is not None for m, x in enumerate(series)) for series in xs)
        operands = [x for series in xs for x in series if x is not None]
        got = b.write(self, *operands, derivation=params["derivation"].then(Series(order, there)))
        return [list(got[r : r + order + 1]) for r in range(0, len(got), order + 1)]

    def vmap(
        self, b: GraphBuilder, size: int, operands: Sequence[Var], mapped: Sequence[bool], **params: Any
    ) -> Any:
        """The derivation mapped."""
        derivation = params["derivation"].then(Map(size, tuple(mapped)), masked=mapped[0])
        return tuple(v.ref for v in b.write(self, *operands, derivation=derivation))


counted = registry.add(Counted())
