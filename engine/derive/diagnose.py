"""Where did it go wrong? The values and derivatives of every node, where an answer gives cause to ask.

Verbs that run a simplified or mapped graph do not know the values in between. If something in their answer is not finite,
or a convention may have stood in for a derivative, the program is run once more here with all values kept, and one walk
goes back (or forward) over it with general seeds; `Watch` reads the rest from those. Under `in_axes` the maps are applied
to every node, so that an index in a warning begins with that of the member.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from engine.aval import Array, Aval
from engine.cost import cost_of
from engine.derive.again import over_maps, run_again
from engine.derive.inside import Inside, bodies_may_kink, look
from engine.derive.job import Job
from engine.derive.singular import watch_singular
from engine.derive.warn import Watch
from engine.errors import DeadlineExceeded, EngineError
from engine.execute.finite import all_finite
from engine.execute.meter import Meter
from engine.graph import CONSTANT, Graph, single
from engine.transforms.pull import depends_on, vjp_graph
from engine.transforms.push import jvp_graph

MOST_NODES = 200_000
"""Longest program that is run again for the sake of warnings."""


def suspicious(*found: Any) -> bool:
    """Whether some array in (maps of) results is not finite."""
    todo = list(found)
    arrays = []
    while todo:
        value = todo.pop()
        if isinstance(value, Mapping):
            todo += value.values()
        elif isinstance(value, list | tuple):
            todo += value
        elif value is not None:
            arrays.append(np.asarray(value))
    return not all_finite(arrays)


def explain(
    job: Job,
    meter: Meter,
    *,
    found: Iterable[Any],
    of: Mapping[int, Array] | Sequence[int] = (),
    wrt: Sequence[int] = (),
    along: Mapping[int, Array] | None = None,
    order: int = 1,
    clean: bool = False,
) -> Watch:
    """The warnings of an answer whose arrays are `found`; `clean` if all values on the way are known to be finite.

    `of`: steps that are differentiated, with their seeds (general ones where there are none); `wrt`: those they are
    differentiated by; `along`: tangents, for forward mode instead. `order` 2 looks at second derivatives too.
    """
    watch = Watch(job.typed, job.limits.warnings, len(job.sizes))
    run = _Again(job, meter)
    try:
        # What is not finite on the way may be hidden from the answer. Beside a mapped grad the run would be half of the cost.
        hidden = not clean and not job.sizes and run.affordable and suspicious(run.values())
        if not (hidden or suspicious(*found) or run.kinked(watch, order)) or not run.affordable:
            return watch
        refs = run.values()
        if job.batch is not None:
            watch_singular(job, watch, refs)
            Inside(job, meter, watch, refs).singular()
        watch.values(refs)
        if along is not None:
            dots = run.tangents(along)
            watch.tangents(refs, dots)
            look(job, meter, watch, refs, dots=dots)
        elif order and of and wrt:
            first, second = run.cotangents(of, wrt, order)
            watch.gradients(refs, first, second)
            look(job, meter, watch, refs, adj=first, second=second)
        else:
            look(job, meter, watch, refs)
    except (DeadlineExceeded, EngineError):
        pass  # the answer is there; what more could be said of it is not worth losing it
    return watch


class _Again:
    """One more run of a job's program, every node kept."""

    def __init__(self, job: Job, meter: Meter) -> None:
        self.job = job
        self.meter = meter
        self.graph = job.typed.graph
        self.members = int(np.prod(job.sizes)) if job.sizes else 1
        cost = cost_of(self.graph, keep=True)
        self.affordable = (
            len(self.graph.nodes) <= MOST_NODES and 8 * cost.bytes * self.members <= job.limits.memory_bytes
        )

    def kinked(self, watch: Watch, order: int) -> bool:
        """Whether a node met a kink in some member, in a body or not; of `order` 0, where the program differentiates."""
        if not self.affordable:
            return False
        if order and self.job.runner.kinked and watch.may_kink and watch.kinked(self.values()):
            return True
        if not bodies_may_kink(self.job.typed):
            return False
        inside = Inside(self.job, self.meter, watch, self.values())
        return inside.differentiates() or bool(order and inside.kinked())

    def values(self) -> list[Any]:
        """Values of all nodes, the batch in front."""
        if not hasattr(self, "_values"):
            self._values = self._run(self.graph, self.job.arguments, self.job.axes)
        return self._values

    def cotangents(
        self, of: Mapping[int, Array] | Sequence[int], wrt: Sequence[int], order: int
    ) -> tuple[list[Any], list[Any] | None]:
        """Cotangents of all nodes, and for `order` 2 their tangents along a general direction of `wrt`."""
        job, graph, typed = self.job, self.graph, self.job.typed
        seeds = dict(of) if isinstance(of, Mapping) else {i: _general(typed.aval(i), job.dtype) for i in of}
        leaves = [typed.node(i) for i in wrt]
        active = depends_on(graph.nodes, leaves)
        asked = [
            i
            for i, node in enumerate(graph.nodes)
            if active[i] and isinstance(node.aval, Aval) and node.aval.floating
        ]
        back = vjp_graph(
            graph.with_outputs(()), [typed.node(i) for i in seeds], asked, job.dtype,
            record_bytes=job.record_bytes, step=self.meter.check,
        )  # fmt: skip
        arguments = [*job.arguments, *seeds.values()]
        axes = [*job.axes, *(job.extra_axes(None, s, typed.aval(i)) for i, s in seeds.items())]
        first = self._placed(asked, self._run(back, arguments, axes), back.outputs)
        if order < 2:
            return first, None
        inputs = [i for i in leaves if i in graph.inputs]
        if not inputs:
            return first, None
        twice = jvp_graph(back, inputs, job.dtype, step=self.meter.check)
        directions = [_general(single(graph.nodes[i].aval), job.dtype) for i in inputs]
        found = self._run(twice, [*arguments, *directions], [*axes, *[job.none] * len(inputs)])
        return first, self._placed(asked, found, twice.outputs[len(back.outputs) :])

    def tangents(self, along: Mapping[int, Array]) -> list[Any]:
        """Tangents of all nodes."""
        job, graph, typed = self.job, self.graph, self.job.typed
        active = depends_on(graph.nodes, [typed.node(i) for i in along])
        asked = [i for i, n in enumerate(graph.nodes) if active[i] and isinstance(n.aval, Aval)]
        pushed = jvp_graph(
            graph.with_outputs(asked), [typed.node(i) for i in along], job.dtype, step=self.meter.check
        )
        axes = [*job.axes, *(job.extra_axes(job.id(i), d, typed.aval(i)) for i, d in along.items())]
        found = self._run(pushed, [*job.arguments, *along.values()], axes)
        return self._placed(asked, found, pushed.outputs[len(asked) :])

    def _placed(self, asked: Sequence[int], found: Sequence[Any], at: Sequence[int]) -> list[Any]:
        placed: list[Any] = [None] * len(self.graph.nodes)
        for i, o in zip(asked, at, strict=True):
            placed[i] = found[o]
        return placed

    def _run(
        self, graph: Graph, arguments: Sequence[Array], axes: Sequence[tuple[int | None, ...]]
    ) -> list[Any]:
        """Values of all nodes of a graph; with maps, each stretched to lead with all of them."""
        sizes = self.job.sizes
        mapped, places, leads = over_maps(self.job, self.meter, graph, axes)
        refs = run_again(self.job, self.meter, mapped, arguments, axes, lambda _, error: error)
        if not sizes:
            return refs
        found: list[Any] = []
        for node, place, led in zip(graph.nodes, places, leads, strict=True):
            if isinstance(place, tuple):
                found.append(tuple(_stretched(refs[p], led, sizes) for p in place))
            elif isinstance(refs[place], tuple):
                found.append(tuple(_stretched(r, led, sizes) for r in refs[place]))
            elif node.op is CONSTANT and not np.ndim(refs[place]):
                found.append(refs[place])  # a literal stays one: elementwise ops take it beside arrays
            else:
                found.append(_stretched(refs[place], led, sizes))
        return found


def _stretched(value: Any, led: Sequence[bool], sizes: Sequence[int]) -> Array:
    """A value that leads with some of the batch axes, leading with all of them (without a copy)."""
    array = np.asarray(value)
    core = array.shape[sum(led) :]
    outer = tuple(n if there else 1 for n, there in zip(sizes, led, strict=True))
    return np.broadcast_to(array.reshape((*outer, *core)), (*sizes, *core))


def _general(aval: Aval, dtype: str) -> Array:
    """Numbers of which no two are equal and none is 0: a direction in which nothing cancels."""
    return np.asarray(1.0 + 0.37 * np.sin(1.0 + np.arange(aval.size)), dtype).reshape(aval.shape)
