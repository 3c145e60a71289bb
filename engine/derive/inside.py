"""Conventions used inside bodies: a kink met in a step of a loop, in the branch taken, in a function under `grad`.

A body's nodes are seen by lifting them out (`engine.derive.lift`). First their values are looked at; only where one of them
is at a kink, a walk tells whether its derivative counted: whether a cotangent reached it, or a tangent entered it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from engine.aval import Array, Aval
from engine.cost import cost_of
from engine.derive.job import Job
from engine.derive.lift import Lift, Path, Site, alone, factors, holds, holds_inside, kinks
from engine.derive.warn import Watch
from engine.errors import EngineError, LimitExceeded
from engine.execute.meter import Meter
from engine.graph import ITEM, Graph, single
from engine.op import Op
from engine.program import Literal, Program
from engine.specialize import Typed
from engine.transforms.pull import vjp_graph
from engine.transforms.push import jvp_graph
from engine.transforms.vmap import map_graph

DERIVATIVES = frozenset({"grad", "value_and_grad", "jacobian", "hessian", "jvp", "vjp"})
"""Ops that use derivatives of their bodies at once."""

MOST_DEPTH = 8
"""Loops of unknown length so deep inside one another are looked into."""


def bodies_may_kink(typed: Typed) -> bool:
    """Whether a body that the program differentiates holds an op with a kink."""
    return any(holds_inside(n, kinks) for n in typed.graph.nodes) or any(
        holds(g, kinks) for _, g in _differentiated(typed)
    )


def _differentiated(typed: Typed) -> list[tuple[int, Graph]]:
    """Steps that take a derivative of their body, and its graph."""
    steps = typed.program.steps
    asked = {
        id(s.attrs["body"]): i
        for i, s in enumerate(steps)
        if s.op.name in DERIVATIVES and isinstance(s.attrs.get("body"), Program)
    }
    found = {}
    for (program, avals, _), graph in typed.bodies.items() if asked else ():
        i = asked.get(program)
        if i is not None and _fits(typed, i, avals):
            found[i] = graph
    return sorted(found.items(), key=lambda pair: pair[0])


def _fits(typed: Typed, i: int, avals: Sequence[Aval]) -> bool:
    operands = typed.program.steps[i].operands[: len(avals)]
    return len(operands) == len(avals) and all(
        (
            isinstance(a, Literal)
            or (isinstance(a, int) and isinstance(typed.nodes[a], int) and typed.aval(a) == v)
        )
        for a, v in zip(operands, avals, strict=True)
    )


class Inside:
    """Looks into the bodies of a job's program, of which all values (leading with the maps) are `refs`."""

    def __init__(self, job: Job, meter: Meter, watch: Watch, refs: Sequence[Any]) -> None:
        self.job = job
        self.meter = meter
        self.watch = watch
        self.refs = refs
        self._seen: dict[tuple[int, Callable[[Op], bool], tuple[int, ...] | None], _Lifted | None] = {}

    def derivatives(self) -> None:
        """Kinks at which the program itself takes a derivative: those of functions under `grad` and its like."""
        typed = self.job.typed
        for i, graph in _differentiated(typed):
            if not holds(graph, kinks):
                continue
            step = typed.program.steps[i]
            given: list[Any] = [
                a.value if isinstance(a, Literal) else self.refs[typed.node(a)]  # type: ignore[arg-type]  # `_fits`
                for a in step.operands[: len(graph.inputs)]
            ]
            wrt = step.attrs.get("wrt", (0,)) if step.op.name not in ("jvp", "vjp") else range(len(given))
            moving = [wrt] if isinstance(wrt, int) else list(wrt)
            lifted = self._lifted(graph, given, kinks, moving, True)
            if lifted is not None:
                self._tell(i, lifted.reached(dict.fromkeys(range(len(graph.outputs)))))

    def backward(self, adj: Sequence[Any], second: Sequence[Any] | None = None) -> None:
        """Kinks that cotangents (or their derivatives) came through."""
        for i, results in self._nodes(kinks):
            cts = [adj[k] for k in results]
            if second is not None:
                more = [second[k] for k in results]
                cts = [
                    c if d is None else d if c is None else c + 0.618 * d
                    for c, d in zip(cts, more, strict=True)
                ]
            inputs = self.job.typed.graph.nodes[i].inputs
            moving = tuple(k for k, j in enumerate(inputs) if adj[j] is not None)
            given = {r: c for r, c in zip(results.values(), cts, strict=True) if c is not None}
            lifted = self._node(i, kinks, moving) if given and moving else None
            if lifted is not None:
                self._tell(self.job.typed.owner(i), lifted.reached(given))

    def forward(self, dots: Sequence[Any]) -> None:
        """Kinks that tangents came through."""
        for i, _ in self._nodes(kinks):
            inputs = self.job.typed.graph.nodes[i].inputs
            given = {k: dots[j] for k, j in enumerate(inputs) if dots[j] is not None}
            lifted = self._node(i, kinks, tuple(given)) if given else None
            if lifted is not None:
                self._tell(self.job.typed.owner(i), lifted.entered(given))

    def differentiates(self) -> bool:
        """Whether the program itself takes a derivative of what has kinks."""
        return any(holds(graph, kinks) for _, graph in _differentiated(self.job.typed))

    def kinked(self) -> bool:
        """Whether a node in a body is at a kink at all."""
        for i, _ in self._nodes(kinks):
            lifted = self._node(i, kinks, tuple(range(len(self.job.typed.graph.nodes[i].inputs))))
            if lifted is not None and lifted.hits:
                return True
        return False

    def singular(self) -> None:
        """Matrices in bodies that cannot be factored, of members of a map."""
        for i, results in self._nodes(factors):
            lifted = self._node(i, factors, None)
            if lifted is None:
                continue
            found = lifted.reached(dict.fromkeys(results.values()))
            if found:
                _, mask = found[0]
                self.watch.singular(i, _over(mask, len(self.job.sizes)))

    # -- details

    def _nodes(self, wanted: Callable[[Op], bool]) -> list[tuple[int, dict[int, int]]]:
        """Nodes with sites inside, and the nodes of their results: which they are."""
        nodes = self.job.typed.graph.nodes
        found = []
        for i, node in enumerate(nodes):
            if node.op.subgraphs and holds_inside(node, wanted):
                items = [k for k in self.watch.consumers(i) if nodes[k].op is ITEM]
                found.append((i, {k: nodes[k].params[0][1] for k in items}))
        return found

    def _node(self, i: int, wanted: Callable[[Op], bool], moving: tuple[int, ...] | None) -> _Lifted | None:
        key = (i, wanted, moving)
        if key not in self._seen:
            nodes = self.job.typed.graph.nodes
            node = nodes[i]
            graph = alone(node, [nodes[j].aval for j in node.inputs])
            self._seen[key] = self._lifted(graph, [self.refs[j] for j in node.inputs], wanted, moving, False)
        return self._seen[key]

    def _lifted(
        self,
        graph: Graph,
        given: Sequence[Any],
        wanted: Callable[[Op], bool],
        moving: Sequence[int] | None,
        top: bool,
    ) -> _Lifted | None:
        try:
            return _Lifted(self.job, self.meter, graph, given, wanted, moving, top)
        except LimitExceeded:
            return None

    def _tell(self, i: int, found: Sequence[tuple[Site, Array]]) -> None:
        """One warning for each kind of op."""
        step = self.job.typed.program.steps[i]
        batch = len(self.job.sizes)
        by: dict[Op, list[tuple[Site, Array]]] = {}
        for site, mask in found:
            by.setdefault(site.op, []).append((site, mask))
        for op, places in by.items():
            site, mask = places[0]
            lead = mask.any(tuple(range(batch + len(site.lead), mask.ndim)))
            at = (
                [int(k) for k in np.unravel_index(int(np.argmax(lead)), lead.shape)][batch:]
                if lead.ndim
                else []
            )
            when = f" in step {', '.join(map(str, at))} (from 0)" if at else ""
            count = sum(int(m.sum()) for _, m in places)
            name = op.name.removeprefix("core.")
            self.watch.inside(
                step.id,
                _over(mask, batch),
                count,
                f"{name} inside {step.op.name} ({step.id}) has no derivative{when}. {op.convention}",
                op.convention,
            )


def _over(mask: Array, batch: int) -> Array:
    """A mask over the members alone."""
    return np.asarray(mask.any(tuple(range(batch, mask.ndim))))


class _Lifted:
    """A graph lifted and run: `hits` are its sites that met a kink (or a singular matrix), with masks."""

    def __init__(
        self,
        job: Job,
        meter: Meter,
        graph: Graph,
        given: Sequence[Any],
        wanted: Callable[[Op], bool],
        moving: Sequence[int] | None,
        top: bool,
    ) -> None:
        self.job = job
        self.meter = meter
        self.avals = graph.in_avals
        self.arguments = [
            np.broadcast_to(np.asarray(x, a.dtype), (*job.sizes, *a.shape))
            if job.sizes
            else np.asarray(x, a.dtype)[()]
            for x, a in zip(given, self.avals, strict=True)
        ]
        lengths: dict[Path, int] = {}
        lift = Lift(job.dtype, wanted, lengths, moving)
        outs = lift.whole(graph, top=top)
        for _ in range(MOST_DEPTH):
            if not lift.unknown:
                break
            found = self._run(lift.b.build([r for _, r in lift.unknown]), ())
            counts = [int(np.max(n, initial=0)) for n in found]
            lengths |= dict(zip([path for path, _ in lift.unknown], counts, strict=True))
            lift = Lift(job.dtype, wanted, lengths, moving)
            outs = lift.whole(graph, top=top)
        self.outs = outs
        self.sites = lift.sites
        self.graph = lift.b.build([r for s in self.sites for r in s.refs])
        values = iter(self._run(self.graph, ()))
        self.hits: list[tuple[Site, Array]] = []
        for site in self.sites:
            operands = [next(values) if isinstance(o, int) else o for o in site.operands]
            mask = self._mask(site, operands, next(values), wanted)
            if mask is not None and mask.any():
                self.hits.append((site, mask))

    def _mask(self, site: Site, values: list[Any], y: Any, wanted: Callable[[Op], bool]) -> Array | None:
        params = dict(site.params)
        for n in reversed((*self.job.sizes, *site.lead)):
            params = dict(site.op.batched(n, params))
        lead = (*self.job.sizes, *site.lead)
        try:
            if wanted is kinks:
                mask = site.op.kink(values, y, **params)
            else:
                mask = site.op.singular(values, **{**params, "raises": False})
        except (ValueError, IndexError, TypeError):  # operands that cannot lead with the steps of a loop
            return None
        if mask is None or np.shape(mask)[: len(lead)] != lead:
            return None
        return np.asarray(mask)

    def reached(self, cts: Mapping[int, Any]) -> list[tuple[Site, Array]]:
        """Hits, where a cotangent reaches them from those of the results (None: a general one)."""
        job = self.job
        avals = {k: single(self.graph.nodes[self.outs[k]].aval) for k in cts}
        of = [k for k in cts if avals[k].floating]
        if not self.hits or not of:
            return []
        back = vjp_graph(
            self.graph.with_outputs(()), [self.outs[k] for k in of], [s.delta for s, _ in self.hits],
            job.dtype, record_bytes=job.record_bytes, step=self.meter.check,
        )  # fmt: skip
        found = self._run(back, [self._seed(avals[k], cts[k]) for k in of])
        return self._kept([[d] for d in found])

    def entered(self, tangents: Mapping[int, Any]) -> list[tuple[Site, Array]]:
        """Hits, where a tangent enters them from those of the inputs."""
        if not self.hits:
            return []
        operands = [[o for o in s.operands if isinstance(o, int)] for s, _ in self.hits]
        flat = self.graph.with_outputs([o for one in operands for o in one])
        moving = [k for k in tangents if self.avals[k].floating]
        pushed = jvp_graph(flat, [flat.inputs[k] for k in moving], self.job.dtype, step=self.meter.check)
        seeds = [self._seed(self.avals[k], tangents[k]) for k in moving]
        found = iter(self._run(pushed.with_outputs(pushed.outputs[len(flat.outputs) :]), seeds))
        return self._kept([[next(found) for _ in one] for one in operands])

    def _kept(self, derivatives: Sequence[Sequence[Array]]) -> list[tuple[Site, Array]]:
        """The hits where one of the derivatives is not zero."""
        kept = []
        for (site, mask), moved in zip(self.hits, derivatives, strict=True):
            lead = len(self.job.sizes) + len(site.lead)
            used = mask & np.any([_there(d, mask, lead) for d in moved], axis=0)
            if used.any():
                kept.append((site, used))
        return kept

    def _seed(self, aval: Aval, given: Any) -> Array:
        if given is None:
            given = np.asarray(1.0 + 0.37 * np.sin(1.0 + np.arange(aval.size)), aval.dtype).reshape(
                aval.shape
            )
        return np.broadcast_to(np.asarray(given), (*self.job.sizes, *aval.shape))[()]

    def _run(self, graph: Graph, more: Sequence[Array]) -> list[Array]:
        """The graph's results, with offsets of −0 and `more` behind them, over the maps."""
        job = self.job
        count = len(self.arguments)
        offsets = graph.in_avals[count : len(graph.inputs) - len(more)]
        zeros = [np.broadcast_to(np.asarray(-0.0, a.dtype), (*job.sizes, *a.shape))[()] for a in offsets]
        for level in range(len(job.sizes) - 1, -1, -1):
            graph = map_graph(
                graph, job.sizes[level], [0] * len(graph.inputs), job.dtype,
                max_elements=job.limits.elements, step=self.meter.check,
            )  # fmt: skip
        cost = cost_of(graph)
        if 2 * cost.bytes > job.limits.memory_bytes:
            raise LimitExceeded(
                "memory_bytes", job.limits.memory_bytes, cost.bytes, "Too much to be looked into."
            )
        with np.errstate(all="ignore"):
            found = job.eager(self.meter).inline(graph, [*self.arguments, *zeros, *more])
        return [np.asarray(v) for v in found]


def _there(derivative: Array, mask: Array, lead: int) -> Array:
    """Where a tangent or cotangent is not zero; in which step, if its entries are not those of the mask."""
    there = derivative != 0
    if there.shape != mask.shape:
        there = there.any(tuple(range(lead, there.ndim)))
        there = there.reshape((*there.shape, *[1] * (mask.ndim - lead)))
    return np.broadcast_to(there, mask.shape)


def look(
    job: Job,
    meter: Meter,
    watch: Watch,
    refs: Sequence[Any],
    *,
    adj: Sequence[Any] | None = None,
    second: Sequence[Any] | None = None,
    dots: Sequence[Any] | None = None,
) -> None:
    """Warnings of what happens inside bodies, from values, cotangents or tangents of all nodes. It raises no `EngineError`:
    the answer is there, and is not lost for what more could be said of it."""
    if not bodies_may_kink(job.typed):
        return
    inside = Inside(job, meter, watch, refs)
    try:
        with np.errstate(all="ignore"):
            inside.derivatives()
            if adj is not None:
                inside.backward(adj, second)
            if dots is not None:
                inside.forward(dots)
    except EngineError:
        pass
