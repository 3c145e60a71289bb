"""A node of a program as a function of one flat vector: f: ℝⁿ → ℝ^shape, everything else fixed.

What numerical methods (differences, search, descent) work with. The vector holds the entries of the chosen nodes in C
order, one node behind the other: of inputs their values, of an intermediate n the δ in n := op(…) + δ. Graphs are made
and planned when they are first needed, and then run many times.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

import numpy as np

from engine.aval import Array, Aval, DType
from engine.builder import GraphBuilder, Var
from engine.cost import Cost, Limits, check, cost_of
from engine.derive.batch import Runner, make_ready
from engine.derive.second_order import Perturbed
from engine.errors import DeadlineExceeded, EngineError, SingularMatrix
from engine.execute.meter import Meter
from engine.graph import Graph, single
from engine.numeric.quick import Quick
from engine.ops.control.subgraph import unbounded
from engine.specialize import Typed
from engine.tape import expanded_of, tape_of
from engine.transforms.pull import vjp_graph
from engine.transforms.push import jvp_graph
from engine.transforms.simplify import simplify
from engine.transforms.vmap import map_graph

MOST_MEMBERS = 4096
"""Points that are computed together at most."""

LONG_PROGRAM = 2000
"""A small graph of more nodes is computed on the tape machine point by point."""

CHUNK_FLOPS = 1e9
"""Floating-point operations of the points that are computed together, at most: then somebody looks at the clock."""

SHARE = 4
"""Points are computed together that take the n-th part of the memory one request may have."""


@dataclass(slots=True)
class Counts:
    """Evaluations so far, one for each point; those of a Jacobian or Hessian are whole ones."""

    value: int = 0
    gradient: int = 0
    hvp: int = 0
    jacobian: int = 0
    hessian: int = 0

    def as_dict(self, *names: str) -> dict[str, int]:
        """The counts by name."""
        return {f.name: getattr(self, f.name) for f in fields(self) if not names or f.name in names}


class Function:
    """Node `of` as a function of the nodes `wrt` (steps of the program), at the inputs `arguments`; `squared`: the sum of the
    squares of its entries.

    Vectors are float64[size], whatever the program computes in. A matrix that is singular at a point gives NaN there, and
    is counted in `singular`. Raises `LimitExceeded` where one evaluation is over a limit, before it is computed; methods raise
    `DeadlineExceeded` and `Cancelled` by `meter`, and `EngineError` for what only values can show.
    """

    def __init__(
        self,
        typed: Typed,
        of: int,
        wrt: Sequence[int],
        arguments: Sequence[Array],
        limits: Limits,
        meter: Meter,
        blame: Callable[[int, EngineError], EngineError] | None = None,
        *,
        squared: bool = False,
    ) -> None:
        self.typed = typed
        self.dtype: DType = typed.dtype
        self.limits = limits
        self.meter = meter
        self.wrt = list(wrt)
        self.names = [typed.program.steps[i].id for i in wrt]
        self.avals = [typed.aval(i) for i in wrt]
        self.aval = Aval((), self.dtype) if squared else typed.aval(of)
        """Of the value."""
        self.counts = Counts()
        self.singular = 0
        self.runner = Runner(None, self.dtype, limits, meter)
        self.runner.guarded = typed.differentiates
        perturbed = Perturbed(typed, list(wrt), self.dtype)
        self._graph = perturbed.graph.with_outputs([perturbed.value[typed.node(of)]])
        self._places = perturbed.graph.with_outputs([perturbed.value[typed.node(i)] for i in wrt])
        if squared:
            b = GraphBuilder.on(self._graph, self.dtype)
            r = Var(b, self._graph.outputs[0])
            self._graph = b.build([(r * r).sum().ref])
        self._rows = [perturbed.seed[i] for i in wrt]
        place = {node: k for k, node in enumerate(self._graph.inputs)}
        self._variables = [place[r] for r in self._rows]
        """Where the variables are among the graph's inputs."""
        self.fixed: list[Array] = [*arguments, *perturbed.deltas]
        """Values of all inputs; those of the variables are replaced by a point's."""
        self.intermediate = [i not in typed.program.inputs for i in wrt]
        self._ends = np.cumsum([a.size for a in self.avals], dtype=np.int64).tolist()
        self.size: int = self._ends[-1] if self._ends else 0
        parts = [
            np.zeros(a.size) if inner else np.asarray(self.fixed[v], np.float64).reshape(-1)
            for a, inner, v in zip(self.avals, self.intermediate, self._variables, strict=True)
        ]
        self.start = np.concatenate(parts) if parts else np.zeros(0)
        """The point that the arguments are; of intermediates 0."""
        self.offset: Array = np.concatenate(
            [np.full(a.size, inner) for a, inner in zip(self.avals, self.intermediate, strict=True)]
            or [np.zeros(0, bool)]
        )
        """Which entries are the δ of an intermediate."""
        self._made: dict[Any, Graph] = {}
        self._members: dict[Any, int] = {}
        self._seed = np.ones(self.aval.shape, self.dtype)
        self._quick: Quick | None = None
        self.cost: Cost = cost_of(self._made_of("value"))
        """Of one value."""

    @cached_property
    def base(self) -> Array:
        """Values of the nodes at the start: of inputs the point itself, of intermediates what δ is added to."""
        return self._flat(list(self.at(self.start).values()))

    def rebind(self, arrays: Mapping[str, Array]) -> None:
        """Other values for some of the inputs that are fixed, by id, of the same shapes and dtypes."""
        steps = self.typed.program.steps
        for k, i in enumerate(self.typed.program.inputs):
            if steps[i].id in arrays:
                self.fixed[k] = arrays[steps[i].id]
        self._quick = None

    # -- points

    def unpack(self, point: Array) -> dict[str, Array]:
        """The vector as arrays by id, in the program's dtype."""
        return dict(zip(self.names, self._pieces(np.asarray(point)), strict=True))

    def pack(self, arrays: Mapping[str, Any]) -> Array:
        """Arrays by id, of the nodes' shapes, as a vector; those that are missing are as in `start`."""
        parts, begin = [], 0
        for name, end in zip(self.names, self._ends, strict=True):
            given = arrays.get(name)
            parts.append(
                self.start[begin:end] if given is None else np.asarray(given, np.float64).reshape(-1)
            )
            begin = end
        return np.concatenate(parts) if parts else np.zeros(0)

    def part(self, k: int) -> slice:
        """Where the k-th node is in the vector."""
        return slice(self._ends[k] - self.avals[k].size, self._ends[k])

    def entry(self, k: int) -> tuple[str, tuple[int, ...]]:
        """Id and index of an entry of the vector."""
        which = int(np.searchsorted(self._ends, k, side="right"))
        begin = self._ends[which] - self.avals[which].size
        index = np.unravel_index(k - begin, self.avals[which].shape) if self.avals[which].shape else ()
        return self.names[which], tuple(int(i) for i in index)

    def span(self, which: Sequence[int]) -> Array:
        """Places in the vector of the entries of some of the nodes (positions in `wrt`)."""
        parts = [np.arange(self._ends[k] - self.avals[k].size, self._ends[k]) for k in which]
        return np.concatenate(parts) if parts else np.zeros(0, np.int64)

    def _pieces(
        self, point: Array, lead: tuple[int, ...] = (), which: Sequence[int] | None = None
    ) -> list[Array]:
        pieces, begin = [], 0
        for aval in self.avals if which is None else [self.avals[k] for k in which]:
            end = begin + aval.size
            pieces.append(point[..., begin:end].reshape((*lead, *aval.shape)).astype(aval.dtype))
            begin = end
        return pieces

    def _flat(self, parts: Sequence[Any], lead: tuple[int, ...] = ()) -> Array:
        rows = [np.asarray(p, np.float64).reshape(*lead, -1) for p in parts]
        return np.concatenate(rows, axis=-1) if rows else np.zeros((*lead, 0))

    def at(self, point: Array) -> dict[str, Array]:
        """The values of the nodes by id: of an input the vector's entries, of an intermediate op(…) + δ."""
        if not any(self.intermediate):
            return self.unpack(point)
        arguments = self._arguments(self._pieces(np.asarray(point)))
        found = self._run("places", self._places, arguments)
        if found is None:
            return {n: np.full(a.shape, np.nan, a.dtype) for n, a in zip(self.names, self.avals, strict=True)}
        return dict(zip(self.names, found, strict=True))

    # -- graphs

    def _made_of(self, kind: str) -> Graph:
        """The graph of a kind of evaluation, simplified and planned. Its inputs are those of the program (and offsets), then
        a cotangent (not for "value"), then tangents ("hvp")."""
        graph = self._made.get(kind)
        if graph is None:
            graph = simplify(self._derived(kind), self.dtype, self.meter.check)
            check(cost_of(graph), self.limits, "One evaluation of this")
            # What the tape machine computes needs no plan (one is made where the tape cannot be trusted).
            if len(graph.nodes) <= LONG_PROGRAM or self.runner.guarded or tape_of(graph) is None:
                make_ready(graph, guarded=self.runner.guarded, step=self.meter.check)
            self._made[kind] = graph
        return graph

    def _derived(self, kind: str) -> Graph:
        value = self._graph
        limits = {"record_bytes": self.limits.record_bytes(), "step": self.meter.check}
        match kind:
            case "value":
                return value
            case "gradient":
                return vjp_graph(value, value.outputs, self._rows, self.dtype, **limits)
            case "hvp":
                gradient = self._derived("gradient")
                backs = gradient.outputs[1:]
                both = jvp_graph(gradient.with_outputs(backs), self._rows, self.dtype, step=self.meter.check)
                return both.with_outputs(both.outputs[len(backs) :])
            case "tangent":
                both = jvp_graph(value, self._rows, self.dtype, step=self.meter.check)
                # The cotangent has no use here, but every kind takes one.
                b = GraphBuilder.on(both.with_outputs(()), self.dtype)
                seed = b.input(self.aval)
                n = len(self._graph.inputs)
                inputs = (*both.inputs[:n], seed, *both.inputs[n:])
                return _renumbered(Graph(tuple(b.nodes), inputs, both.outputs[1:]))
        raise AssertionError(kind)

    def _run(self, kind: str, graph: Graph, arguments: Sequence[Any], members: int = 1) -> list[Any] | None:
        """Results; None where a matrix was singular."""
        try:
            with np.errstate(all="ignore"):
                return self.runner.run(graph, arguments, self.meter)
        except SingularMatrix:
            self.singular += members
            return None

    def _arguments(self, pieces: Sequence[Any], which: Sequence[int] | None = None) -> list[Any]:
        arguments: list[Any] = list(self.fixed)
        places = self._variables if which is None else [self._variables[k] for k in which]
        for k, piece in zip(places, pieces, strict=True):
            arguments[k] = piece
        return arguments

    def quick(self) -> Quick | None:
        """f on the tape machine, where it is small enough; None where it is not. Made anew when inputs are bound again."""
        if self._quick is None:
            graph = self._made_of("value")
            fits = self.dtype == "float64" and not self.runner.guarded and self.size
            expanded = expanded_of(graph) if fits else None
            self._quick = Quick(expanded, self.fixed, self._variables)
            if fits and expanded is None and len(graph.nodes) > LONG_PROGRAM:
                self._quick = Quick.of_scalars(graph, self.fixed, self._variables)
        return self._quick if self._quick.tape is not None else None

    # -- one point

    def value(self, point: Array) -> Array:
        """f(point), of shape `aval.shape`, float64."""
        self.counts.value += 1
        quick = self.quick()
        if quick is not None:
            known = quick.value(point)
            if known is not None:
                return known.reshape(self.aval.shape)
        found = self._run("value", self._made_of("value"), self._arguments(self._pieces(point)))
        return np.full(self.aval.shape, np.nan) if found is None else np.asarray(found[0], np.float64)

    def gradient(self, point: Array, seed: Array | None = None) -> tuple[Array, Array]:
        """f(point), and the gradient float64[size] of Σ seed·f there (of f, where it is a scalar)."""
        self.counts.gradient += 1
        cotangent = self._seed if seed is None else np.asarray(seed, self.dtype)
        quick = self.quick()
        if quick is not None:
            known = quick.gradient(point, cotangent)
            if known is not None:
                return known[0].reshape(self.aval.shape), known[1]
        arguments = [*self._arguments(self._pieces(point)), cotangent]
        found = self._run("gradient", self._made_of("gradient"), arguments)
        if found is None:
            return np.full(self.aval.shape, np.nan), np.full(self.size, np.nan)
        return np.asarray(found[0], np.float64), self._flat(found[1:])

    def hvp(self, point: Array, vector: Array, seed: Array | None = None) -> Array:
        """The Hessian of Σ seed·f times a vector, float64[size]."""
        self.counts.hvp += 1
        cotangent = self._seed if seed is None else np.asarray(seed, self.dtype)
        arguments = [*self._arguments(self._pieces(point)), cotangent, *self._pieces(np.asarray(vector))]
        found = self._run("hvp", self._made_of("hvp"), arguments)
        return np.full(self.size, np.nan) if found is None else self._flat(found)

    # -- matrices

    def hessian(self, point: Array, seed: Array | None = None) -> Array:
        """The Hessian of Σ seed·f, float64[size, size]."""
        self.counts.hessian += 1
        cotangent = self._seed if seed is None else np.asarray(seed, self.dtype)
        columns = self._columns("hvp", point, cotangent, self.size)
        return columns[0] if columns else np.zeros((self.size, self.size))

    def jacobian(self, point: Array) -> tuple[Array, Array]:
        """f(point) flat, float64[m], and its Jacobian float64[m, size]: by columns, or by rows where they are fewer."""
        self.counts.jacobian += 1
        flat = self.aval.size
        quick = self.quick()
        if quick is not None:
            known = quick.jacobian(point)
            if known is not None:
                return known
        found = self._run("value", self._made_of("value"), self._arguments(self._pieces(point)))
        if found is None:
            return np.full(flat, np.nan), np.full((flat, self.size), np.nan)
        value = np.asarray(found[0], np.float64).reshape(-1)
        if self.size <= flat:
            parts = self._columns("tangent", point, self._seed, self.size)
            return value, np.ascontiguousarray(parts[0].T) if parts else np.zeros((flat, self.size))
        pieces = self._pieces(point)
        rows = np.eye(flat, dtype=self.dtype).reshape((flat, *self.aval.shape))
        matrix = np.empty((flat, self.size))
        step = self._chunk("gradient", ("rows",), flat)
        for k in range(0, flat, step):
            self.meter.look()
            some = _padded(rows[k : k + step], step)
            graph = self._mapped("gradient", ("rows",), step, [None] * len(self.fixed) + [0])
            results = self._run("gradient", graph, [*self._arguments(pieces), some])
            n = min(step, flat - k)
            matrix[k : k + n] = np.nan if results is None else self._flat(results[1:], (step,))[:n]
        return value, matrix

    def _columns(self, kind: str, point: Array, cotangent: Array, count: int) -> list[Array]:
        """Row k of the answer: what `kind` gives for the k-th unit tangent."""
        if not count:
            return []
        pieces = self._pieces(point)
        step = self._chunk(kind, ("columns",), count)
        parts = []
        for k in range(0, count, step):
            self.meter.look()
            units = np.zeros((step, count))
            n = min(step, count - k)
            units[np.arange(n), k + np.arange(n)] = 1.0
            axes = [None] * (len(self.fixed) + 1) + [0] * len(self.avals)
            graph = self._mapped(kind, ("columns",), step, axes)
            arguments = [*self._arguments(pieces), cotangent, *self._pieces(units, (step,))]
            found = self._run(kind, graph, arguments)
            width = self.size if kind == "hvp" else self.aval.size
            parts.append(np.full((n, width), np.nan) if found is None else self._flat(found, (step,))[:n])
        return [np.concatenate(parts)]

    # -- many points

    def values(self, points: Array, which: Sequence[int] | None = None) -> Array:
        """f at each row of points[k, size]: float64[k, *aval.shape], computed together.

        With `which` (positions in `wrt`) the rows hold the entries of these nodes alone, and the others stay where they are:
        what does not depend on the ones that move is computed once for all rows.
        """
        points = np.asarray(points, np.float64)
        if self.long:
            return self._one_by_one(points, which)
        self.counts.value += len(points)
        results = self._many("value", points, None, None if which is None else tuple(which))
        return np.asarray(results[0]).reshape((len(points), *self.aval.shape))

    @cached_property
    def long(self) -> bool:
        """Whether the program is so long that to write it out for many points takes longer than to compute it for each."""
        return len(self._made_of("value").nodes) > LONG_PROGRAM and self.quick() is not None

    def _one_by_one(self, points: Array, which: Sequence[int] | None) -> Array:
        found = np.empty((len(points), *self.aval.shape))
        place = slice(None) if which is None else self.span(which)
        point = self.start.copy()
        for k, row in enumerate(points):
            self.meter.check()
            point[place] = row
            found[k] = self.value(point)
        return found

    @cached_property
    def unbounded(self) -> bool:
        """Whether there is a loop that may go on for ever, at another point if not here."""
        return unbounded(self._graph)

    def values_within(self, points: Array, which: Sequence[int] | None, seconds: float) -> Array | None:
        """As `values`; None if that takes longer."""
        whole = self.meter
        ends = time.monotonic() + seconds
        if whole.deadline is not None:
            ends = min(ends, whole.deadline)
        self.meter = Meter(ends, whole.cancelled)
        try:
            return self.values(points, which)
        except DeadlineExceeded:
            whole.look()
            return None
        finally:
            self.meter = whole

    def mapped(self, size: int, which: Sequence[int]) -> Graph:
        """The graph that computes f at `size` points, at which the nodes `which` are others; its arguments are
        `arguments_at`."""
        axes: list[int | None] = [None] * len(self.fixed)
        for k in which:
            axes[self._variables[k]] = 0
        return self._mapped("value", ("points", *which), size, axes)

    def alone(self, point: Array, which: Sequence[int]) -> tuple[Graph, list[Any]]:
        """The graph that computes f at one point, and its arguments there, in the dtype of the point."""
        pieces, begin = [], 0
        for k in which:
            end = begin + self.avals[k].size
            pieces.append(point[begin:end].reshape(self.avals[k].shape)[()])
            begin = end
        return self._made_of("value"), self._arguments(pieces, which)

    def arguments_at(self, points: Array, which: Sequence[int]) -> list[Any]:
        """Arguments of `mapped`, in the dtype of the points."""
        pieces, begin = [], 0
        for k in which:
            end = begin + self.avals[k].size
            pieces.append(points[:, begin:end].reshape(len(points), *self.avals[k].shape))
            begin = end
        return self._arguments(pieces, which)

    def together(self, count: int, which: Sequence[int] | None = None) -> int:
        """How many of `count` points are computed together."""
        return self._chunk("value", ("points", *(() if which is None else which)), count)

    def gradients(self, points: Array, seed: Array | None = None) -> tuple[Array, Array]:
        """f and the gradient at each row of points[k, size]: float64[k, *aval.shape] and float64[k, size]."""
        points = np.asarray(points, np.float64)
        self.counts.gradient += len(points)
        value, *parts = self._many(
            "gradient", points, self._seed if seed is None else np.asarray(seed, self.dtype)
        )
        return value.reshape((len(points), *self.aval.shape)), self._flat(parts, (len(points),))

    def _many(
        self, kind: str, points: Array, cotangent: Array | None, which: tuple[int, ...] | None = None
    ) -> list[Array]:
        shapes = [self.aval.shape] if kind == "value" else [self.aval.shape, *[a.shape for a in self.avals]]
        results = [np.empty((len(points), *shape)) for shape in shapes]
        axes: list[int | None] = [None] * len(self.fixed)
        for v in self._variables if which is None else [self._variables[k] for k in which]:
            axes[v] = 0
        extra = [] if cotangent is None else [cotangent]
        how = ("points", *(() if which is None else which))
        step = self._chunk(kind, how, len(points))
        for k in range(0, len(points), max(step, 1)):
            self.meter.look()
            graph = self._mapped(kind, how, step, [*axes, *[None] * len(extra)])
            pieces = self._pieces(_padded(points[k : k + step], step), (step,), which)
            found = self._run(kind, graph, [*self._arguments(pieces, which), *extra], step)
            n = min(step, len(points) - k)
            for m, result in enumerate(results):
                if found is None:
                    result[k : k + n] = np.nan
                else:
                    result[k : k + n] = np.asarray(found[m])[:n]
        return results

    def _chunk(self, kind: str, how: tuple[Any, ...], count: int) -> int:
        """How many members to compute together: as many as memory and time between two looks at the clock allow, in chunks
        of one size."""
        key = (kind, how)
        most = self._members.get(key)
        if most is None:
            cost = cost_of(self._made_of(kind))
            by_memory = self.limits.memory_bytes // SHARE // max(cost.bytes, 1)
            largest = max([n.aval.size for n in self._made_of(kind).nodes if isinstance(n.aval, Aval)] or [1])
            by_elements = self.limits.elements // max(largest, 1)
            by_flops = min(CHUNK_FLOPS, self.limits.step_flops, self.limits.flops) // max(cost.flops, 1)
            most = self._members[key] = int(max(1, min(MOST_MEMBERS, by_memory, by_elements, by_flops)))
        return min(most, count)

    def _mapped(self, kind: str, how: tuple[Any, ...], size: int, axes: Sequence[int | None]) -> Graph:
        key = (kind, how, size)
        graph = self._made.get(key)
        if graph is None:
            # Simplified before: what does not depend on what is mapped is computed once for all.
            mapped = map_graph(
                self._made_of(kind),
                size,
                axes,
                self.dtype,
                max_elements=self.limits.elements,
                step=self.meter.check,
            )
            graph = simplify(mapped, self.dtype, self.meter.check)
            check(cost_of(graph), self.limits, "This")
            make_ready(graph, guarded=self.runner.guarded, step=self.meter.check)
            self._made[key] = graph
        return graph


def _padded(rows: Array, size: int) -> Array:
    """The rows, the last of them repeated until there are `size`."""
    if len(rows) == size:
        return rows
    return np.concatenate([rows, np.repeat(rows[-1:], size - len(rows), axis=0)])


def _renumbered(graph: Graph) -> Graph:
    """The graph with its inputs' own numbers (`index`) as they stand in `inputs`."""
    nodes = list(graph.nodes)
    for k, i in enumerate(graph.inputs):
        nodes[i] = nodes[i]._replace(params=(("index", k),))
        assert single(nodes[i].aval)
    return Graph(tuple(nodes), graph.inputs, graph.outputs)
