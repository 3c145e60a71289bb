"""compare: one gradient by reverse mode, forward mode, central differences and a written-out formula, side by side.

What is counted, of the gradient of one scalar (`of`, or Σ seed·of) by n entries of `wrt`:

- `evaluations`: of the program. Reverse mode makes 1 (its way there), forward mode one in each pass, differences two for each
  entry, a formula none.
- `passes`: sweeps that carry derivatives. Reverse mode makes 1, forward mode n, the others none.
- `operations`: floating-point operations of all that is computed, as `engine.cost` counts them from the graphs that are run.
- `size`: operations written down: of the derivative's graph with shared intermediates (reverse, forward), of the program
  (differences), of the formulas without any (symbolic).
  Neither is known of a search or a loop whose length shows only while it runs.
- `max_rel_error`: see `precise.differences.Reference.error`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from engine.aval import Array, Aval
from engine.compare.batches import forward_moves, numerical_moves, results, timed
from engine.compare.objective import along, backward, by_hand, flattened, objective
from engine.compare.precise.differences import Reference, reference
from engine.compare.precise.numbers import Unavailable
from engine.compare.runs import Executor, interleaved
from engine.compare.unshared import NoFormula, copies, endless, operations, trees, unrolled
from engine.cost import Cost, check, check_answer, cost_of
from engine.derive.first_order import FirstOrder
from engine.derive.job import Job
from engine.derive.request import resolve_of, resolve_wrt, seed_for
from engine.errors import EngineError, NotDifferentiable
from engine.execute.meter import Meter
from engine.graph import Graph, single
from engine.symbolic.size import EXACT, graph_size

MOST_WRITTEN = 20_000
"""Operations of formulas that are written out and computed."""
MOST_UNROLLED = 50_000
"""Operations of a program whose loops are written out."""
MOST_TRIED = 20_000
"""Nodes of all formulas that are derived to find short ones."""
MOST_SECONDS = 8.0
"""What the passes or evaluations of one way may take together, as predicted."""


@dataclass
class Way:
    """One method: what it costs, and how it is run. `gradient` is None where it is not available, and `reason` says why."""

    evaluations: int
    passes: int
    operations: float | None
    size: float | None
    reason: str = ""
    gradient: Callable[[Meter], Array] | None = None
    once: Callable[[Meter], tuple[Callable[[], Any], float]] | None = None
    """What is timed, and how many times of that a gradient takes."""


class Comparison(Job):
    """A request for compare."""

    reusable = False

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        typed, request = self.typed, self.request
        self.of = resolve_of(typed, request)
        self.wrt = resolve_wrt(typed, request)
        names = tuple(self.id(i) for i in self.wrt)
        seed = seed_for(typed, request, self.of)
        given = seed if request.seed is not None else None
        shapes = [typed.aval(i) for i in self.wrt]
        check_answer([Aval(a.shape, "float64") for a in shapes for _ in range(5)], self.limits)
        plain = replace(request, mode="reverse", nodes="none", wrt=names or None, include=frozenset())
        self.grad = FirstOrder("grad", typed, plain, *args[2:])
        self.sizes_of = [a.size for a in shapes]
        self.n = sum(self.sizes_of)
        self.what = objective(typed, self.of, self.wrt, given, list(self.arguments))
        self.value_graph, self.cost = self.runner.prepare(self.what.moved, (), "This", plan=False)
        graph, nodes = self.what.graph, self.what.wrt
        back = backward(graph, nodes, self.dtype, self.record_bytes, self.step)
        self.reverse = back
        cost = cost_of(back)
        check(cost, self.limits, "This gradient")
        self.cost = Cost(
            cost.nodes + self.cost.nodes,
            10 * (cost.flops + self.cost.flops),
            2 * cost.bytes + self.cost.bytes,
            cost.largest_step,
        )
        self.forward: Graph | None = None
        self.no_forward = ""
        try:
            self.forward = along(graph, nodes, self.dtype, self.step)
        except NotDifferentiable as error:
            self.no_forward = error.detail
        self.formula, self.no_formula, self.formula_size, self.formula_operations = self._formulas()
        graphs = [self.value_graph, self.reverse]
        graphs += [g for g in (self.forward, self.formula) if g is not None]
        self.executor = Executor(graphs, self.runner)

    @property
    def seconds(self) -> float:
        """Never little."""
        return 1.0 + self.cost.seconds

    def _formulas(self) -> tuple[Graph | None, str, float | None, float | None]:
        """The gradient without shared intermediates, or why there is none; its size and operations."""
        graph, nodes = self.what.graph, self.what.wrt
        try:
            if any(node.op.subgraphs for node in graph.nodes):
                graph, nodes = unrolled(graph, nodes, self.dtype, MOST_UNROLLED, self.step)
                back = backward(graph, nodes, self.dtype, self.record_bytes, self.step)
            else:
                back = self.reverse
            derived = self._shortest(graph, nodes, back.with_outputs(back.outputs[1:]))
        except (NoFormula, NotDifferentiable) as error:
            return None, str(error), None, None
        sizes = [graph_size(g) for g in derived]
        size = sum(s.expanded for s in sizes)
        work = sum(map(operations, derived))
        if sum(map(copies, derived)) > MOST_WRITTEN:
            figure = f"{size:,.0f}" if size < 1e15 else f"10^{max(s.log10_expanded for s in sizes):.1f}"
            reason = (
                f"written out without shared intermediate results the formulas have {figure} operations; up to "
                f"{MOST_WRITTEN:,} are computed"
            )
            return None, reason, size, work
        return trees(derived, self.step), "", size, work

    def _shortest(self, graph: Graph, nodes: Sequence[int], back: Graph) -> list[Graph]:
        """One graph for all derivatives, or one for each, in order.

        Rules applied from the inside give other expressions than those from the outside; by scalars, where they are few, both
        are tried and the shorter one is taken.
        """
        if len(nodes) * len(graph.nodes) > MOST_TRIED:
            return [back]
        found = [back.with_outputs([o]) for o in back.outputs]
        for k, node in enumerate(nodes):
            if single(graph.nodes[node].aval).shape == ():
                other = by_hand(graph, node, self.dtype, self.step)
                if graph_size(other).log10_expanded < graph_size(found[k]).log10_expanded:
                    found[k] = other
        return found

    # -- the ways

    def _ways(self, scales: Array) -> dict[str, Way]:
        n, typed = self.n, self.typed
        value, back = cost_of(self.value_graph), cost_of(self.reverse)
        ways = {
            "reverse": Way(1, 1, back.flops, graph_size(self.reverse).shared),
            "forward": Way(n, n, None, None, self.no_forward),
            "numerical": Way(2 * n, 0, 2.0 * n * value.flops, graph_size(self.what.graph).shared),
            "symbolic": Way(0, 0, self.formula_operations, self.formula_size, self.no_formula),
        }
        arguments = self.what.arguments
        executor = self.executor

        def run(graph: Graph) -> Callable[[Meter], tuple[Callable[[], Any], float]]:
            def once(meter: Meter) -> tuple[Callable[[], Any], float]:
                bare = executor.bare(graph, meter)
                numbers = flattened(arguments) if executor.scalar else None
                return (lambda: bare(arguments, numbers)), 1.0

            return once

        ways["reverse"].gradient = lambda meter: flattened(
            executor.results(self.reverse, arguments, meter)[1:]
        )
        ways["reverse"].once = run(self.reverse)
        if self.forward is not None:
            cost = cost_of(self.forward)
            forward = ways["forward"]
            forward.operations, forward.size = n * cost.flops, graph_size(self.forward).shared
            forward.reason = self._too_long(n, cost, "passes")
            graph = self.forward
            if not forward.reason:
                moves = forward_moves(graph, self.what, typed)
                forward.gradient = lambda meter: results(moves, executor, typed, self.limits, meter)[1]
                forward.once = lambda meter: timed(moves, executor, meter)
        numerical = ways["numerical"]
        numerical.reason = self._too_long(2 * n, value, "evaluations")
        if not numerical.reason:
            points, apart = numerical_moves(self.value_graph, self.what, typed, scales)
            numerical.gradient = lambda meter: _slopes(
                results(points, executor, typed, self.limits, meter)[0], apart
            )
            numerical.once = lambda meter: timed(points, executor, meter)
        if self.formula is not None:
            formula = self.formula
            ways["symbolic"].gradient = lambda meter: flattened(executor.results(formula, arguments, meter))
            ways["symbolic"].once = run(formula)
        if endless(self.what.graph):
            for way in ways.values():
                way.operations = way.size = None
        return ways

    def _too_long(self, times: int, cost: Cost, what: str) -> str:
        """Why so many runs are not made, if they are not."""
        seconds = times * (3e-9 * cost.flops + 1e-6)
        if times * cost.flops <= self.limits.flops and seconds <= MOST_SECONDS:
            return ""
        return f"{times:,} {what} of about {cost.flops:.2g} operations each take longer than a comparison may"

    # -- the answer

    def run(self, meter: Meter) -> dict[str, Any]:
        """The gradient as `grad` gives it, for value and warnings; then each way; the reference; the times."""
        first = self.grad.run(meter)
        values = first["values"]
        sizes = [np.abs(np.asarray(values[self.id(i)], np.float64)).reshape(-1) for i in self.wrt]
        with np.errstate(all="ignore"):
            steps = self._steps(sizes)
            ways = self._ways(steps)
            found: dict[str, Array] = {}
            for name, way in ways.items():
                meter.look()
                if way.gradient is not None:
                    try:
                        found[name] = way.gradient(meter)
                    except EngineError as error:
                        if name in ("reverse", "symbolic"):
                            raise
                        way.reason = error.detail
            exact, why = self._reference(sizes, meter)
            times = self._times({k: w for k, w in ways.items() if k in found}, meter)
            methods = {
                name: self._method(way, found.get(name), times.get(name), exact) for name, way in ways.items()
            }
        answer: dict[str, Any] = {"value": first["value"], **self.head(self.of), "methods": methods}
        answer["reference"] = {
            "available": exact is not None,
            **({"reason": why} if exact is None else {}),
            "digits": None if exact is None else exact.digits,
            "entries": 0 if exact is None else len(exact.entries),
            "gradients": None if exact is None else self._cut(exact.rounded()),
        }
        answer["graph_id"] = self.program.digest
        answer["warnings"] = first["warnings"]
        return answer

    def _steps(self, sizes: list[Array]) -> Array:
        """h for each entry: ∛ε·max(|x|, 1), where truncation and rounding are about as large."""
        flat = np.concatenate(sizes) if sizes else np.zeros(0)
        size = np.where(np.isfinite(flat), np.maximum(flat, 1.0), 1.0)
        return np.asarray(np.cbrt(np.finfo(self.dtype).eps) * size)

    def _reference(self, sizes: list[Array], meter: Meter) -> tuple[Reference | None, str]:
        what = self.what
        steps = self.program.steps

        def name(node: int) -> str:
            step = what.places.get(node)
            return steps[self.of if step is None else step].id

        try:
            return reference(what.moved, what.moved_arguments, what.rows, sizes, meter, name), ""
        except Unavailable as error:
            return None, error.reason

    def _times(self, ways: Mapping[str, Way], meter: Meter) -> dict[str, float]:
        """Milliseconds of each way's whole gradient."""
        timed = {name: way.once(meter) for name, way in ways.items() if way.once is not None}
        best = interleaved([once for once, _ in timed.values()], meter)
        return {
            name: 1e3 * seconds * scale
            for (name, (_, scale)), seconds in zip(timed.items(), best, strict=True)
        }

    def _method(
        self, way: Way, gradient: Array | None, time_ms: float | None, exact: Reference | None
    ) -> dict[str, Any]:
        """The fields of a method."""
        return {
            "available": gradient is not None,
            **({"reason": way.reason} if gradient is None else {}),
            "gradients": None if gradient is None else self._cut(gradient.astype(self.dtype)),
            "evaluations": way.evaluations,
            "passes": way.passes,
            "operations": _whole(way.operations),
            "time_ms": None if time_ms is None else float(f"{time_ms:.4g}"),
            "max_rel_error": None if gradient is None or exact is None else exact.error(gradient),
            "size": _whole(way.size),
        }

    def _cut(self, flat: Array) -> dict[str, Array]:
        """A flat gradient by id."""
        found, begin = {}, 0
        for i, size in zip(self.wrt, self.sizes_of, strict=True):
            found[self.id(i)] = flat[begin : begin + size].reshape(self.typed.aval(i).shape)[()]
            begin += size
        return found


def _slopes(values: Array, apart: Array) -> Array:
    """Differences of values above and below, in turn, over the distances."""
    return np.asarray((values[::2] - values[1::2]) / apart)


def _whole(number: float | None) -> float | None:
    """A count as an integer, where a double holds it exactly."""
    return int(number) if number is not None and number <= EXACT else number
