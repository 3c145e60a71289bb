"""The verbs as graphs: what each asks of the two walks, and how its answer is put together.

A verb without a map of order one (evaluate, grad, jvp, vjp) walks over arrays at once; everything else is a graph, made
by the transforms, mapped over seeds and batches, simplified, and then computed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from engine.aval import Array, Aval
from engine.builder import EagerBuilder, GraphBuilder
from engine.cost import Cost, Limits, check, check_answer, cost_of, cost_of_way_back
from engine.derive.batch import Batch, Runner
from engine.derive.request import (
    Request,
    named_arrays,
    resolve_many_of,
    resolve_of,
    resolve_wrt,
    seed_for,
    selected,
)
from engine.derive.warn import Watch
from engine.derive.written import graph_json
from engine.errors import EngineError, NotDifferentiable, ShapeMismatch, Where
from engine.execute.eager import forward
from engine.execute.meter import Meter
from engine.graph import Graph, Node, single
from engine.specialize import Typed, pointer_part
from engine.transforms.pull import depends_on, pull, vjp_graph
from engine.transforms.push import jvp_graph, push
from engine.transforms.simplify import simplify
from engine.transforms.vmap import map_graph

CHUNK_BYTES = 1 << 28
"""Memory that one vectorised sweep over seeds may take; larger Jacobians go in several."""


class Job:
    """A verb, ready to run: what `prepare` returns. `cost` is known, and within the limits."""

    def __init__(self, typed: Typed, request: Request, arrays: Mapping[str, Array], batch: Batch | None, limits: Limits):
        self.typed = typed
        self.request = request
        self.batch = batch
        self.limits = limits
        self.cost = Cost(0, 0.0, 0)
        self.dtype = request.dtype
        self.program = typed.program
        self.arguments = [arrays[self.program.steps[i].id] for i in self.program.inputs]
        self.sizes = batch.sizes if batch is not None else ()
        self.runner = Runner(batch, request.dtype, limits)
        none = (None,) * len(self.sizes)
        self.none: tuple[int | None, ...] = none
        self.axes = [batch.of(self.program.steps[i].id) if batch is not None else () for i in self.program.inputs]

    @property
    def seconds(self) -> float:
        """Predicted time of `run`."""
        return self.cost.seconds

    def run(self, meter: Meter) -> dict[str, Any]:
        """The answer's fields. Raises `EngineError` for what only values can show, `DeadlineExceeded`, `Cancelled`."""
        raise NotImplementedError

    # -- shared parts

    def id(self, i: int) -> str:
        """Id of a step."""
        return self.program.steps[i].id

    def extra_axes(self, name: str | None, array: Array, aval: Aval) -> tuple[int | None, ...]:
        """How a seed, tangent or vector entry is mapped: as its input; at the leading axes if it has them; or not."""
        if self.batch is None:
            return ()
        if name is not None and name in self.batch.axes:
            return self.batch.of(name)
        return (0,) * len(self.sizes) if array.ndim > len(aval.shape) else self.none

    def blame(self, node: int, error: EngineError) -> EngineError:
        """The error with the step that node belongs to."""
        i = self.typed.owner(node)
        return error.at(self.id(i), self.program.where(i))

    def values(self, found: Mapping[int, Array], steps: Sequence[int]) -> dict[str, Array]:
        """Reported values by id."""
        return {self.id(i): found[i] for i in steps}

    def head(self, of: int | None) -> dict[str, Any]:
        """The fields that every answer starts with."""
        fields: dict[str, Any] = {} if of is None else {"of": self.id(of)}
        fields["output_ids"] = self.program.output_ids
        return fields

    def tail(self, watch: Watch | None, mode: str | None = None, passes: int | None = None) -> dict[str, Any]:
        """The fields that every answer ends with."""
        fields: dict[str, Any] = {}
        if mode is not None:
            fields["mode"] = mode
        if passes is not None:
            fields["passes"] = passes
        fields["graph_id"] = self.program.digest
        fields["warnings"] = watch.warnings if watch is not None else []
        return fields

    def outputs(self, found: Mapping[int, Array]) -> dict[str, Array]:
        """Values of the outputs, in their order."""
        return {self.id(i): found[i] for i in self.program.outputs}


class FirstOrder(Job):
    """evaluate, grad and vjp in reverse mode, and jvp."""

    def __init__(self, verb: str, *args: Any) -> None:
        super().__init__(*args)
        self.verb = verb
        typed, request = self.typed, self.request
        program = self.program
        self.of: int | None = None
        self.seeds: dict[int, Array] = {}
        self.wrt: list[int] = []
        self.tangents: dict[int, Array] = {}
        self.watched: list[int] = []
        """What a forward sweep is asked for: where a kink was met, one backward walk tells whether it mattered."""
        if verb == "grad":
            self.of = resolve_of(typed, request)
            self.seeds = {self.of: seed_for(typed, request, self.of, self.sizes)}
        elif verb == "vjp":
            self.seeds = named_arrays(typed, request, "cotangents", request.cotangents, self.sizes, False)
            for i in self.seeds:
                if i not in program.outputs:
                    raise NotDifferentiable(
                        f"A cotangent belongs to an output; '{self.id(i)}' is none.",
                        node=self.id(i),
                        where=Where(pointer=f"/cotangents/{pointer_part(self.id(i))}"),
                    )
        elif verb == "jvp":
            self.tangents = named_arrays(
                typed, request, "tangents", request.tangents, self.sizes, self.batch is not None
            )
        default_wrt = verb in ("grad", "vjp") or request.wrt is not None
        always = resolve_wrt(typed, request) if default_wrt else []
        given = request.wrt is not None
        self.reported = selected(typed, request, always if (given or request.nodes == "none") else [])
        if verb in ("grad", "vjp"):
            avals = typed.avals
            self.wrt = always if given else [i for i in self.reported if single(avals[i]).floating]
        graph = typed.graph
        factor = 1 if verb == "evaluate" else 3
        base = cost_of(graph, keep=True)
        back = cost_of_way_back(graph, self.dtype) if verb in ("grad", "vjp") else Cost(0, 0.0, 0)
        members = int(np.prod(self.sizes)) if self.sizes else 1
        self.cost = Cost(
            base.nodes * factor + back.nodes,
            (base.flops * factor + back.flops) * members,
            (base.bytes * factor + back.bytes) * members,
            base.largest_step * members,
        )
        check(self.cost, self.limits, f"This {verb}")
        check_answer(
            [Aval((*self.sizes, *typed.aval(i).shape), "float64") for i in [*self.reported, *self.wrt]], self.limits
        )
        if self.batch is not None:
            self.graph, self.extras, self.labels = self._as_graph()

    def run(self, meter: Meter) -> dict[str, Any]:
        """Over arrays at once, or as a mapped graph."""
        if self.batch is not None:
            values, backs, dots = self._run_mapped(meter)
            watch = Watch(self.typed, self.limits.warnings)
            watch.reported_values(values)
            of = next(iter(self.seeds), None)
            watch.reported_derivatives("" if of is None else self.id(of), self.values(backs, list(backs)))
        else:
            values, backs, dots, watch = self._run_eager(meter)
        answer: dict[str, Any] = {}
        if self.verb == "grad":
            assert self.of is not None
            answer["value"] = values[self.of]
        answer |= self.head(self.of)
        answer["outputs"] = self.outputs(values)
        answer["values"] = self.values(values, self.reported)
        if self.verb in ("grad", "vjp"):
            answer["gradients"] = self.values(backs, self.wrt)
            if "derivative_graph" in self.request.include:
                answer["derivative_graph"] = self._derivative_graph()
        if self.verb == "jvp":
            floats = [i for i in self.reported if self.typed.aval(i).floating]
            answer["output_tangents"] = {
                self.id(i): dots[i] for i in self.program.outputs if self.typed.aval(i).floating
            }
            answer["node_tangents"] = self.values(dots, floats)
        return answer | self.tail(watch, {"grad": "reverse", "vjp": "reverse", "jvp": "forward"}.get(self.verb))

    # -- at once

    def _run_eager(self, meter: Meter) -> tuple[dict[int, Array], dict[int, Array], dict[int, Array], Watch]:
        typed, graph = self.typed, self.typed.graph
        nodes = graph.nodes
        b = EagerBuilder(self.dtype, meter.check)
        watch = Watch(typed, self.limits.warnings)
        with np.errstate(all="ignore"):
            refs = forward(graph, self.arguments, b, meter, self.blame)
            values = {i: refs[typed.node(i)] for i in {*self.reported, *([self.of] if self.of is not None else [])}}
            watch.values(refs)
            backs: dict[int, Array] = {}
            dots: dict[int, Array] = {}
            if self.seeds or self.wrt:
                adj: list[Any] = [None] * len(nodes)
                for i, seed in self.seeds.items():
                    n = typed.node(i)
                    adj[n] = seed if adj[n] is None else adj[n] + seed
                differentiated = self.wrt or (self.watched if watch.kinked(refs) else [])
                leaves = [typed.node(i) for i in differentiated]
                active = depends_on(nodes, leaves)
                pull(b, nodes, refs, adj, active, range(len(nodes) - 1, -1, -1))
                for i in self.wrt:
                    backs[i] = _or_zeros(adj[typed.node(i)], typed.aval(i))
                watch.gradients(refs, adj)
            if self.verb == "jvp":
                tangents: list[Any] = [None] * len(nodes)
                for i, tangent in self.tangents.items():
                    tangents[typed.node(i)] = tangent[()]
                push(b, nodes, refs, tangents)
                for i in {*self.reported, *self.program.outputs}:
                    if typed.aval(i).floating:
                        dots[i] = _or_zeros(tangents[typed.node(i)], typed.aval(i))
                watch.tangents(refs, tangents)
        return values, backs, dots, watch

    def _derivative_graph(self) -> dict[str, Any]:
        """Values and gradients of one member as one graph; the seeds are inputs too."""
        typed = self.typed
        of = list(self.seeds)
        base = typed.graph.with_outputs([typed.node(i) for i in self.reported])
        derived = vjp_graph(base, [typed.node(i) for i in of], [typed.node(i) for i in self.wrt], self.dtype)
        graph = simplify(derived, self.dtype)
        names: dict[int, str] = {}
        target = ", ".join(self.id(i) for i in of)
        for k, i in enumerate(self.wrt):
            names.setdefault(graph.outputs[len(self.reported) + k], f"d({target})/d({self.id(i)})")
        for k, i in enumerate(self.reported):
            names[graph.outputs[k]] = self.id(i)
        known = [*(self.id(i) for i in self.program.inputs), *(f"seed({self.id(i)})" for i in of)]
        names |= dict(zip(graph.inputs, known, strict=True))
        return graph_json(graph, names, [names[o] for o in graph.outputs[len(self.reported) :]])

    # -- mapped

    def _as_graph(self) -> tuple[Graph, list[Array], list[tuple[str, int]]]:
        typed, graph = self.typed, self.typed.graph
        steps = sorted({*self.reported, *([self.of] if self.of is not None else [])})
        labels = [("value", i) for i in steps]
        base = graph.with_outputs([typed.node(i) for i in steps])
        extras: list[Array] = []
        axes = list(self.axes)
        if self.verb in ("grad", "vjp"):
            of = list(self.seeds)
            derived = vjp_graph(base, [typed.node(i) for i in of], [typed.node(i) for i in self.wrt], self.dtype)
            labels += [("back", i) for i in self.wrt]
            extras = [self.seeds[i] for i in of]
            axes += [self.extra_axes(None, self.seeds[i], typed.aval(i)) for i in of]
        elif self.verb == "jvp":
            seeds = list(self.tangents)
            derived = jvp_graph(base, [typed.node(i) for i in seeds], self.dtype)
            labels += [("dot", i) for i in steps]
            extras = [self.tangents[i] for i in seeds]
            axes += [self.extra_axes(self.id(i), self.tangents[i], typed.aval(i)) for i in seeds]
            check_mapped(self, seeds)
        else:
            derived = base
        graph, cost = self.runner.prepare(derived, axes, f"This {self.verb}")
        self.cost = Cost(cost.nodes, cost.flops, cost.bytes, cost.largest_step)
        return graph, extras, labels

    def _run_mapped(self, meter: Meter) -> tuple[dict[int, Array], dict[int, Array], dict[int, Array]]:
        found = self.runner.run(self.graph, [*self.arguments, *self.extras], meter)
        by: dict[str, dict[int, Array]] = {"value": {}, "back": {}, "dot": {}}
        for (kind, i), value in zip(self.labels, found, strict=True):
            by[kind][i] = value
        return by["value"], by["back"], by["dot"]


def check_mapped(job: Job, steps: Sequence[int]) -> None:
    """Tangents and vectors of inputs must have the input's whole shape, since they are mapped as it is."""
    assert job.batch is not None
    field = "tangents" if isinstance(job, FirstOrder) else "vector"
    tangents: Mapping[int, Array] = getattr(job, field)
    for i in steps:
        name = job.id(i)
        position = next((k for k, s in enumerate(job.program.inputs) if s == i), None)
        if position is None:
            continue
        expected = job.arguments[position].shape
        if tangents[i].shape != expected:
            raise ShapeMismatch(
                f"This belongs to the input '{name}' and is mapped as it is; it must have shape {list(expected)}, "
                f"not {list(tangents[i].shape)}.",
                node=name,
                where=Where(pointer=f"/{field}/{pointer_part(name)}"),
            )


def _or_zeros(value: Any, aval: Aval) -> Array:
    if value is not None:
        return np.asarray(value)[()]
    return np.zeros(aval.shape, aval.dtype)[()]


class Swept(Job):
    """What jacobian, hessian and forward-mode grad share: a linear graph mapped over the entries of its seeds."""

    def prepare_sweep(
        self, linear: Graph, fixed: Sequence[Array], fixed_axes: Sequence[tuple[int | None, ...]], seeds: Sequence[Aval]
    ) -> None:
        """`linear`: fixed arguments, then one seed of each aval → results, to be computed for every basis seed."""
        self.linear = linear
        self.fixed = fixed
        self.fixed_axes = list(fixed_axes)
        self.seed_avals = list(seeds)
        self.passes = sum(a.size for a in seeds)
        one = cost_of(linear)
        members = int(np.prod(self.sizes)) if self.sizes else 1
        self.chunk = max(1, min(self.passes, int(CHUNK_BYTES // max(1, one.bytes * members))))
        largest = max((single(n.aval).size for n in linear.nodes if isinstance(n.aval, Aval)), default=1) * members
        self.chunk = max(1, min(self.chunk, int(self.limits.elements // max(1, largest)) or 1))
        sweeps = -(-self.passes // self.chunk) if self.passes else 0
        self.cost = Cost(
            one.nodes * max(1, sweeps), one.flops * max(1, self.passes) * members,
            one.bytes * self.chunk * members, one.largest_step,
        )
        check(self.cost, self.limits, "This")
        self.plans: dict[int, Graph] = {}
        for n in {min(self.chunk, self.passes), self.passes % self.chunk if self.chunk else 0} - {0}:
            self.plans[n] = self._plan(n)

    def _plan(self, n: int) -> Graph:
        axes = [None] * len(self.fixed) + [0] * len(self.seed_avals)
        swept = map_graph(self.linear, n, axes, self.dtype, max_elements=float("inf"))
        graph, _ = self.runner.prepare(swept, [*self.fixed_axes, *[self.none] * len(self.seed_avals)], "This")
        return graph

    def sweep(self, meter: Meter) -> list[Array]:
        """Results for all basis seeds: the batch axes, then one axis of all passes, then the result's own."""
        parts: list[list[Any]] = []
        for start in range(0, self.passes, self.chunk):
            n = min(self.chunk, self.passes - start)
            meter.look()
            seeds = _basis(self.seed_avals, start, n, self.dtype)
            parts.append(self.runner.run(self.plans[n], [*self.fixed, *seeds], meter))
        axis = len(self.sizes)
        if not parts:
            return [
                np.zeros((*self.sizes, 0, *a.shape), self.dtype) for a in self.linear.out_avals
            ]
        return [np.concatenate(p, axis=axis) if len(p) > 1 else np.asarray(p[0]) for p in zip(*parts, strict=True)]


def _basis(avals: Sequence[Aval], start: int, n: int, dtype: str) -> list[Array]:
    """Rows `start` … `start + n` of the identity, cut to the seeds' shapes."""
    seeds = []
    offset = 0
    for aval in avals:
        rows = np.zeros((n, aval.size), dtype)
        first, last = max(start, offset), min(start + n, offset + aval.size)
        for k in range(first, last):
            rows[k - start, k - offset] = 1
        seeds.append(rows.reshape(n, *aval.shape))
        offset += aval.size
    return seeds


class Jacobian(Swept):
    """∂of/∂wrt for every pair: by rows (reverse) where the outputs together are no larger than wrt, else by columns."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        typed, request = self.typed, self.request
        self.of = resolve_many_of(typed, request)
        self.wrt = resolve_wrt(typed, request)
        outs, ins = [typed.aval(i) for i in self.of], [typed.aval(i) for i in self.wrt]
        check_answer([Aval((*self.sizes, *o.shape, *n.shape), "float64") for o in outs for n in ins], self.limits)
        reverse = sum(a.size for a in outs) <= sum(a.size for a in ins)
        self.mode = request.mode if request.mode != "auto" else ("reverse" if reverse else "forward")
        graph = typed.graph
        of, wrt = [typed.node(i) for i in self.of], [typed.node(i) for i in self.wrt]
        if self.mode == "reverse":
            derived = vjp_graph(graph.with_outputs(()), of, wrt, self.dtype)
        else:
            both = jvp_graph(graph.with_outputs(of), wrt, self.dtype)
            derived = both.with_outputs(both.outputs[len(of) :])
        self.prepare_sweep(derived, self.arguments, self.axes, outs if self.mode == "reverse" else ins)
        self.primal, _ = self.runner.prepare(
            graph.with_outputs([typed.node(i) for i in self.program.outputs]), self.axes, "This"
        )

    def blocks(self, meter: Meter) -> dict[int, dict[int, Array]]:
        """The Jacobian's blocks: of → wrt → array of of.shape + wrt.shape behind the batch axes."""
        swept = self.sweep(meter)
        nb = len(self.sizes)
        rows, columns = (self.of, self.wrt) if self.mode == "reverse" else (self.wrt, self.of)
        result: dict[int, dict[int, Array]] = {o: {} for o in self.of}
        for k, c in enumerate(columns):
            offset = 0
            for r in rows:
                row = self.typed.aval(r)
                part = swept[k][(slice(None),) * nb + (slice(offset, offset + row.size),)]
                offset += row.size
                shape = part.shape
                block = part.reshape((*shape[:nb], *row.shape, *shape[nb + 1 :]))
                if self.mode == "reverse":
                    result[r][c] = block
                else:
                    m = len(row.shape)
                    axes = [*range(nb), *range(nb + m, block.ndim), *range(nb, nb + m)]
                    result[c][r] = block.transpose(axes)
        return result

    def run(self, meter: Meter) -> dict[str, Any]:
        """Values, then the sweep."""
        outs = self.runner.run(self.primal, self.arguments, meter)
        values = dict(zip(self.program.outputs, outs, strict=True))
        watch = Watch(self.typed, self.limits.warnings)
        watch.reported_values(values)
        blocks = self.blocks(meter)
        answer = self.head(None)
        answer["of"] = [self.id(i) for i in self.of]
        answer["outputs"] = self.outputs(values)
        answer["jacobian"] = {self.id(o): {self.id(n): a[()] for n, a in row.items()} for o, row in blocks.items()}
        for o, row in answer["jacobian"].items():
            watch.reported_derivatives(o, row)
        return answer | self.tail(watch, self.mode, self.passes)


class ForwardGrad(FirstOrder):
    """grad in forward mode: one pass for each entry of wrt, contracted with the seed."""

    def __init__(self, *args: Any) -> None:
        request: Request = args[1]
        typed: Typed = args[0]
        inputs = tuple(typed.program.steps[i].id for i in typed.program.inputs if typed.aval(i).floating)
        given = request.wrt is not None
        self.inner = Jacobian(
            typed,
            _replace(request, of=typed.program.steps[resolve_of(typed, request)].id, wrt=request.wrt or inputs, mode="forward"),
            *args[2:],
        ) if (given or inputs) else None
        super().__init__("grad", *args)
        self.watched = self.inner.wrt if self.inner is not None else []
        self.wrt = []
        if self.inner is not None:
            self.cost = Cost(
                self.cost.nodes + self.inner.cost.nodes, self.cost.flops + self.inner.cost.flops,
                max(self.cost.bytes, self.inner.cost.bytes), self.inner.cost.largest_step,
            )

    def run(self, meter: Meter) -> dict[str, Any]:
        """The primal, the sweep, the contraction."""
        assert self.of is not None
        answer = super().run(meter)
        blocks = self.inner.blocks(meter)[self.of] if self.inner is not None else {}
        seed = self.seeds[self.of]
        core = len(self.typed.aval(self.of).shape)
        nb = len(self.sizes)
        gradients = {}
        for i in self.watched:
            block = blocks[i]
            own = [*range(nb + core)]
            rest = [*range(nb + core, block.ndim)]
            seed_axes = own[nb:] if seed.ndim == core else own
            with np.errstate(all="ignore"):
                gradients[self.id(i)] = _contract(block, own, rest, seed, seed_axes, nb)
        watch = Watch(self.typed, self.limits.warnings - len(answer["warnings"]))
        watch.reported_derivatives(self.id(self.of), gradients)
        answer["warnings"] += watch.warnings
        answer["gradients"] = gradients
        answer["mode"] = "forward"
        return answer


def _contract(block: Array, own: list[int], rest: list[int], seed: Array, seed_axes: list[int], nb: int) -> Array:
    """Σ seed·block over the axes of `of`, with the seed as a strong zero."""
    shaped = seed.reshape(seed.shape + (1,) * len(rest)) if seed_axes == own else seed.reshape((1,) * nb + seed.shape + (1,) * len(rest))
    product = np.where(shaped == 0, np.zeros((), block.dtype), shaped * block)
    return product.sum(axis=tuple(own[nb:]))[()]  # type: ignore[no-any-return]


def _replace(request: Request, **changes: Any) -> Request:
    from dataclasses import replace

    return replace(request, **changes)


class Perturbed:
    """A graph in which some nodes n became n + δ, δ being new inputs, so that it can be differentiated twice by n.

    A rule of n's own op may use its result; what is meant by a derivative with respect to an intermediate is that only
    its consumers see δ. For orders above one that takes a node of its own. δ is −0.0, which changes no value.
    """

    def __init__(self, typed: Typed, steps: Sequence[int], dtype: Any) -> None:
        graph = typed.graph
        inputs = set(graph.inputs)
        wanted = {typed.node(i) for i in steps if typed.node(i) not in inputs}
        b = GraphBuilder(dtype)
        place: dict[int, int] = {}
        self.deltas: list[Array] = []
        extra: list[tuple[int, int]] = []
        for i in graph.inputs:
            place[i] = b.input(single(graph.nodes[i].aval))
        own = dict(place)
        for i in sorted(wanted):
            aval = single(graph.nodes[i].aval)
            extra.append((i, b.input(aval)))
            self.deltas.append(np.full(aval.shape, -0.0, aval.dtype))
        delta = dict(extra)
        for i, node in enumerate(graph.nodes):
            if i in place:
                continue
            if node.op.name == "core.constant":
                place[i] = own[i] = b.constant(node.params[0][1].value)
            else:
                b.nodes.append(Node(node.op, tuple(place[j] for j in node.inputs), node.params, node.aval))
                place[i] = own[i] = len(b.nodes) - 1
            if i in delta:
                place[i] = b.core("add", place[i], delta[i])
        self.graph = b.build([])
        self.seed = {i: delta.get(typed.node(i), place[typed.node(i)]) for i in steps}
        """For each step the input to differentiate by."""
        self.value = place
        """For each old node its (perturbed) new one."""


class SecondOrder(Swept):
    """hessian and hvp: forward over reverse by default, or the mode asked for twice."""

    def __init__(self, verb: str, *args: Any) -> None:
        super().__init__(*args)
        self.verb = verb
        typed, request = self.typed, self.request
        self.of = resolve_of(typed, request)
        self.wrt = resolve_wrt(typed, request)
        seed = seed_for(typed, request, self.of, self.sizes)
        self.vector: dict[int, Array] = {}
        columns = list(self.wrt)
        if verb == "hvp":
            self.vector = named_arrays(typed, request, "vector", request.vector, self.sizes, self.batch is not None)
            columns = list(self.vector)
            if self.batch is not None:
                check_mapped(self, columns)
        ins = [typed.aval(i) for i in self.wrt]
        if verb == "hessian":
            check_answer([Aval((*self.sizes, *p.shape, *q.shape), "float64") for p in ins for q in ins], self.limits)
        steps = list(dict.fromkeys([*self.wrt, *columns]))
        perturbed = Perturbed(typed, steps, self.dtype)
        of = perturbed.value[typed.node(self.of)]
        rows = [perturbed.seed[i] for i in self.wrt]
        cols = [perturbed.seed[i] for i in columns]
        self.fixed_arguments = [*self.arguments, *perturbed.deltas, seed]
        axes = [*self.axes, *[self.none] * len(perturbed.deltas), self.extra_axes(None, seed, typed.aval(self.of))]
        gradient = vjp_graph(perturbed.graph.with_outputs([of]), [of], rows, self.dtype)
        self.first, cost = self.runner.prepare(gradient, axes, f"This {verb}")
        backs = gradient.outputs[1:]
        self.mode = {"auto": "forward-over-reverse", "reverse": "reverse-over-reverse", "forward": "forward-over-forward"}[
            request.mode
        ]
        if verb == "hvp":
            second = jvp_graph(gradient.with_outputs(backs), cols, self.dtype)
            linear = second.with_outputs(second.outputs[len(backs) :])
            vaxes = [self.extra_axes(self.id(i), self.vector[i], typed.aval(i)) for i in columns]
            self.product, more = self.runner.prepare(linear, [*axes, *vaxes], "This hvp")
            self.cost = Cost(cost.nodes + more.nodes, cost.flops + more.flops, max(cost.bytes, more.bytes))
            self.mode = "forward-over-reverse"
        else:
            if self.mode == "reverse-over-reverse":
                # Rows of the Hessian are gradients of the gradient's entries; it is symmetric, so rows are columns.
                linear = vjp_graph(gradient.with_outputs(()), list(backs), cols, self.dtype)
            elif self.mode == "forward-over-forward":
                linear = self._forward_twice(perturbed, of, rows, cols)
            else:
                second = jvp_graph(gradient.with_outputs(backs), cols, self.dtype)
                linear = second.with_outputs(second.outputs[len(backs) :])
            self.prepare_sweep(linear, self.fixed_arguments, axes, ins)
            self.cost = Cost(
                self.cost.nodes + cost.nodes, self.cost.flops + cost.flops, max(self.cost.bytes, cost.bytes),
                self.cost.largest_step,
            )

    def _forward_twice(self, perturbed: Perturbed, of: int, rows: Sequence[int], cols: Sequence[int]) -> Graph:
        """For one direction of `cols`: the tangents of all ∂of/∂rows, by a forward sweep over rows inside."""
        graph = perturbed.graph
        first = jvp_graph(graph.with_outputs([of]), rows, self.dtype)
        avals = [single(graph.nodes[r].aval) for r in rows]
        total = sum(a.size for a in avals)
        inner = map_graph(
            first.with_outputs(first.outputs[1:]), max(total, 1), [None] * len(graph.inputs) + [0] * len(rows), self.dtype
        )
        b = GraphBuilder(self.dtype)
        args = [b.input(a) for a in graph.in_avals]
        seed = b.input(single(graph.nodes[of].aval))
        basis = [b.constant(s) for s in _basis(avals, 0, max(total, 1), self.dtype)]
        (tangents,) = b.inline(inner, [*args, *basis])
        from engine.builder import Var, broadcast_to

        t, s = Var(b, tangents), Var(b, seed)
        weighted = b.write("multiply", t, broadcast_to(s, t.shape), strong=(1,))
        flat = weighted.reshape((max(total, 1), -1)).sum(axis=1)
        outs, offset = [], 0
        for a in avals:
            piece = b.write("slice", flat, index=((offset, offset + a.size, 1),))
            outs.append(piece.reshape(a.shape).ref)
            offset += a.size
        gradient = b.build(outs)
        second = jvp_graph(gradient, [gradient.inputs[graph.inputs.index(c)] for c in cols], self.dtype)
        return second.with_outputs(second.outputs[len(rows) :])

    def run(self, meter: Meter) -> dict[str, Any]:
        """The gradient, then the sweep or the one product."""
        value, *backs = self.runner.run(self.first, self.fixed_arguments, meter)
        watch = Watch(self.typed, self.limits.warnings)
        watch.reported_values({self.of: value})
        answer: dict[str, Any] = {"value": value} | self.head(self.of)
        answer["gradients"] = {self.id(i): g for i, g in zip(self.wrt, backs, strict=True)}
        watch.reported_derivatives(self.id(self.of), answer["gradients"])
        if self.verb == "hvp":
            found = self.runner.run(self.product, [*self.fixed_arguments, *self.vector.values()], meter)
            answer["hvp"] = {self.id(i): a for i, a in zip(self.wrt, found, strict=True)}
            watch.reported_derivatives(self.id(self.of), answer["hvp"])
            return answer | self.tail(watch, self.mode, 1)
        answer["hessian"] = self._blocks(self.sweep(meter))
        for row in answer["hessian"].values():
            watch.reported_derivatives(self.id(self.of), row)
        return answer | self.tail(watch, self.mode, self.passes)

    def _blocks(self, swept: Sequence[Array]) -> dict[str, dict[str, Array]]:
        """H[a][b] of a.shape + b.shape, from tangents of gradient a for every basis direction of b."""
        nb = len(self.sizes)
        result: dict[str, dict[str, Array]] = {}
        for k, a in enumerate(self.wrt):
            offset = 0
            row: dict[str, Array] = {}
            for c in self.wrt:
                aval = self.typed.aval(c)
                part = swept[k][(slice(None),) * nb + (slice(offset, offset + aval.size),)]
                offset += aval.size
                block = part.reshape((*part.shape[:nb], *aval.shape, *part.shape[nb + 1 :]))
                m = len(aval.shape)
                axes = [*range(nb), *range(nb + m, block.ndim), *range(nb, nb + m)]
                row[self.id(c)] = block.transpose(axes)[()]
            result[self.id(a)] = row
        return result


