"""evaluate, grad, vjp and jvp: over arrays at once for one point, as a mapped graph under `in_axes`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from engine.aval import Array, Aval, DType
from engine.builder import GraphBuilder
from engine.cost import Cost, check, check_answer, cost_of, cost_of_way_back, node_bytes
from engine.derive.again import naming
from engine.derive.diagnose import explain
from engine.derive.inside import Inside, bodies_may_kink, look
from engine.derive.job import Job, check_mapped
from engine.derive.on_plan import OnPlan
from engine.derive.on_tape import OnTape, tape_for
from engine.derive.request import Request, check_of, named_arrays, resolve_of, resolve_wrt, seed_for, selected
from engine.derive.warn import Watch
from engine.derive.written import graph_json
from engine.errors import EngineError, NotDifferentiable, Where
from engine.execute.eager import forward
from engine.execute.meter import Meter
from engine.graph import Graph, single
from engine.ops.control.subgraph import unbounded
from engine.specialize import pointer_part
from engine.transforms.pull import depends_on, pull, vjp_graph
from engine.transforms.push import jvp_graph, push
from engine.transforms.simplify import simplify

MODES = {"grad": "reverse", "vjp": "reverse", "jvp": "forward"}
"""In which mode a verb is computed."""

TAPE_SECONDS = 1e-6
"""What an entry of a tape takes at most: in plain Python, all of it reported."""

PLANNED_NODES = 2000
"""Programs of more nodes are computed node by node: to write out their derivatives would take longer than that."""


class FirstOrder(Job):
    """evaluate, grad and vjp in reverse mode, and jvp."""

    data = (*Job.data, "extras", "seeds", "tangents")
    unit: dict[int, Array] | None = None
    """The seed that is meant where none is given: 1, which does not change from request to request."""

    def __init__(self, verb: str, *args: Any) -> None:
        self.verb = verb
        super().__init__(*args)
        typed, request = self.typed, self.request
        self.of: int | None = resolve_of(typed, request) if verb == "grad" else None
        self.wrt: list[int] = []
        self.watched: list[int] = []
        """What a forward sweep is asked for: where a kink was met, one backward walk tells whether it mattered."""
        self.quick: OnTape | OnPlan | None = None
        if verb != "grad" and request.of is not None:
            check_of(typed, request)
        default_wrt = verb in ("grad", "vjp") or request.wrt is not None
        always = resolve_wrt(typed, request) if default_wrt else []
        given = request.wrt is not None
        self.reported = selected(typed, request, always if (given or request.nodes == "none") else [])
        if verb in ("grad", "vjp"):
            avals = typed.avals
            self.wrt = always if given else [i for i in self.reported if single(avals[i]).floating]
        check_answer(
            [Aval((*self.sizes, *typed.aval(i).shape), "float64") for i in [*self.reported, *self.wrt]],
            self.limits,
        )
        if self.batch is not None:
            self.graph, self.labels = self._as_graph()
            return
        factor = 1 if verb == "evaluate" else 3
        # All values, and as many tangents or cotangents; a rule works with a few arrays more of the size of one.
        working = 4 * max(map(node_bytes, typed.graph.nodes), default=0)
        base = cost_of(typed.graph, keep=True)
        back = (
            cost_of_way_back(typed.graph, self.dtype, self.record_bytes)
            if verb in ("grad", "vjp")
            else Cost(0, 0.0, 0)
        )
        self.cost = Cost(
            base.nodes * factor + back.nodes,
            base.flops * factor + back.flops,
            base.bytes if verb == "evaluate" else 2 * base.bytes + back.bytes + working,
            base.largest_step,
        )
        # What takes no memory on the way (a view) does so in the answer.
        views = sum(
            typed.aval(i).nbytes for i in self.reported if not node_bytes(typed.graph.nodes[typed.node(i)])
        )
        self.cost = replace(self.cost, bytes=self.cost.bytes + views)
        check(self.cost, self.limits, f"This {verb}")
        self.quick = self._quick()

    @property
    def seconds(self) -> float:
        """Predicted time of `run`."""
        return (
            self.cost.seconds if not isinstance(self.quick, OnTape) else TAPE_SECONDS * len(self.quick.tape)
        )

    def _quick(self) -> OnTape | OnPlan | None:
        """How the answer is computed where nothing is to be told; None for programs that are only computed node by node."""
        tape = tape_for(self.typed)
        if tape is not None:
            return OnTape(self, tape)
        graph = self.typed.graph
        # A loop that may go on for ever must be known by name when its time is over.
        if len(graph.nodes) > PLANNED_NODES or bodies_may_kink(self.typed) or unbounded(graph):
            return None
        return OnPlan(self, *self._as_graph())

    def load(self, request: Request, arrays: Mapping[str, Array], meter: Meter) -> None:
        """The inputs, and the seed, cotangents or tangents."""
        super().load(request, arrays, meter)
        typed, verb = self.typed, self.verb
        program = self.program
        self.seeds: dict[int, Array] = {}
        self.tangents: dict[int, Array] = {}
        self.extras: list[Array] = []
        if verb == "grad":
            if request.seed is not None or self.unit is None:
                of = resolve_of(typed, request)
                self.seeds = {of: seed_for(typed, request, of, self.sizes)}
                if request.seed is None:
                    self.unit = self.seeds
            else:
                self.seeds = self.unit
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
        if self.seeds is not self.unit:
            self.extras += [*self.seeds.values(), *self.tangents.values()]

    def run(self, meter: Meter) -> dict[str, Any]:
        """On the tape or by the plan; where these cannot be trusted, node by node with all that there is to be told."""
        answer: dict[str, Any] | None = None
        if self.quick is not None:
            answer = self.quick.answer(self, meter)
        if answer is None:
            return self._run_carefully(meter)
        if "derivative_graph" in self.request.include and self.verb in ("grad", "vjp"):
            answer["derivative_graph"] = self._derivative_graph()
        mode = MODES.get(self.verb)
        if mode is not None:
            answer["mode"] = mode
        answer["graph_id"] = self.program.digest
        answer["warnings"] = []
        return answer

    def _run_carefully(self, meter: Meter) -> dict[str, Any]:
        """Over arrays at once, or as a mapped graph."""
        if self.batch is not None:
            values, backs, dots = self._run_mapped(meter)
            watch = explain(
                self,
                meter,
                found=[] if self.runner.finite else [values, backs, dots],
                of=self.seeds,
                wrt=self.wrt or self.watched,
                along=self.tangents if self.verb == "jvp" else None,
                order=0 if self.verb == "evaluate" else 1,
            )
            if not watch.warnings and not self.runner.finite:
                watch.reported_values(values)
                of = next(iter(self.seeds), None)
                watch.reported_derivatives("" if of is None else self.id(of), self.values(backs, list(backs)))
        else:
            with naming(self, meter):
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
        return answer | self.tail(watch, MODES.get(self.verb))

    # -- at once

    def _run_eager(self, meter: Meter) -> tuple[dict[int, Array], dict[int, Array], dict[int, Array], Watch]:
        typed, graph = self.typed, self.typed.graph
        nodes = graph.nodes
        b = self.eager(meter)
        watch = Watch(typed, self.limits.warnings)
        with np.errstate(all="ignore"):
            refs = forward(graph, self.arguments, b, meter, self.blame)
            values = {
                i: refs[typed.node(i)] for i in {*self.reported, *([self.of] if self.of is not None else [])}
            }
            watch.values(refs)
            backs: dict[int, Array] = {}
            dots: dict[int, Array] = {}
            looked = False
            if self.seeds or self.wrt:
                adj: list[Any] = [None] * len(nodes)
                for i, seed in self.seeds.items():
                    n = typed.node(i)
                    adj[n] = seed if adj[n] is None else adj[n] + seed
                differentiated = self.wrt or (self.watched if self._kinked(meter, watch, refs) else [])
                leaves = [typed.node(i) for i in differentiated]
                active = depends_on(nodes, leaves)
                order = _Backward(len(nodes))
                try:
                    pull(b, nodes, refs, adj, active, order)
                except EngineError as error:
                    raise self.blame(order.at, error) from None
                for i in self.wrt:
                    backs[i] = _or_zeros(adj[typed.node(i)], typed.aval(i))
                # A seed of what depends on nothing that is differentiated came through nothing.
                adj = [a if there else None for a, there in zip(adj, active, strict=True)]
                watch.gradients(refs, adj)
                looked = True
                look(self, meter, watch, refs, adj=adj)
            if self.verb == "jvp":
                tangents: list[Any] = [None] * len(nodes)
                for i, tangent in self.tangents.items():
                    tangents[typed.node(i)] = tangent[()]
                push(b, nodes, refs, tangents)
                for i in {*self.reported, *self.program.outputs}:
                    if typed.aval(i).floating:
                        dots[i] = _or_zeros(tangents[typed.node(i)], typed.aval(i))
                watch.tangents(refs, tangents)
                looked = True
                look(self, meter, watch, refs, dots=tangents)
            if not looked:
                look(self, meter, watch, refs)
        return values, backs, dots, watch

    def _kinked(self, meter: Meter, watch: Watch, refs: list[Any]) -> bool:
        """Whether a node met a kink, in a body or not."""
        if watch.kinked(refs):
            return True
        return bodies_may_kink(self.typed) and Inside(self, meter, watch, refs).kinked()

    def _derivative_graph(self) -> dict[str, Any]:
        """Values and gradients of one member as one graph; the seeds are inputs too."""
        typed = self.typed
        of = list(self.seeds)
        base = typed.graph.with_outputs([typed.node(i) for i in self.reported])
        derived = vjp_graph(
            base,
            [typed.node(i) for i in of],
            [typed.node(i) for i in self.wrt],
            self.dtype,
            record_bytes=self.record_bytes,
        )
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

    def _as_graph(self) -> tuple[Graph, list[tuple[str, int]]]:
        typed, graph = self.typed, self.typed.graph
        steps = sorted({*self.reported, *([self.of] if self.of is not None else [])})
        labels = [("value", i) for i in steps]
        base = graph.with_outputs([typed.node(i) for i in steps])
        axes = list(self.axes)
        if self.verb in ("grad", "vjp"):
            of = list(self.seeds)
            wrt = [typed.node(i) for i in self.wrt]
            derived = vjp_graph(
                base,
                [typed.node(i) for i in of],
                wrt,
                self.dtype,
                record_bytes=self.record_bytes,
                step=self.step,
            )
            labels += [("back", i) for i in self.wrt]
            if self.unit is not None:  # a seed of 1 is known, and so is what it is multiplied with
                derived = with_one(derived, self.dtype, self.step)
            else:
                axes += [self.extra_axes(None, self.seeds[i], typed.aval(i)) for i in of]
        elif self.verb == "jvp":
            seeds = list(self.tangents)
            derived = jvp_graph(base, [typed.node(i) for i in seeds], self.dtype, step=self.step)
            labels += [("dot", i) for i in steps]
            axes += [self.extra_axes(self.id(i), self.tangents[i], typed.aval(i)) for i in seeds]
            if self.batch is not None:
                check_mapped(self, "tangents", self.tangents)
        else:
            derived = base
        if self.batch is None:
            return simplify(derived, self.dtype, self.step), labels
        graph, self.cost = self.runner.prepare(derived, axes, f"This {self.verb}")
        return graph, labels

    def _run_mapped(self, meter: Meter) -> tuple[dict[int, Array], dict[int, Array], dict[int, Array]]:
        with naming(self, meter):
            found = self.runner.run(self.graph, [*self.arguments, *self.extras], meter)
        by: dict[str, dict[int, Array]] = {"value": {}, "back": {}, "dot": {}}
        for (kind, i), value in zip(self.labels, found, strict=True):
            by[kind][i] = value
        return by["value"], by["back"], by["dot"]


def with_one(graph: Graph, dtype: DType, step: Callable[[], None] | None) -> Graph:
    """The graph with 1 for its last argument, a scalar."""
    b = GraphBuilder(dtype, step=step)
    refs = [b.input(a) for a in graph.in_avals[:-1]]
    return b.build(b.inline(graph, [*refs, b.literal(1.0)]))


class _Backward:
    """Positions of so many nodes, last to first; `at` is the one that the walk is at."""

    def __init__(self, nodes: int) -> None:
        self.at = nodes

    def __iter__(self) -> Iterator[int]:
        while self.at:
            self.at -= 1
            yield self.at


def _or_zeros(value: Any, aval: Aval) -> Array:
    if value is not None:
        return np.asarray(value)[()]
    return np.zeros(aval.shape, aval.dtype)[()]
