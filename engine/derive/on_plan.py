"""evaluate, grad, vjp and jvp of programs of arrays by a plan of the derived graph (`engine.execute.plan`).

The plan is run without guards of strong zeros. Where something in its answer is not finite, or a point without derivative
was met, the answer is that of the careful executor, and so are its warnings.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from engine.derive.batch import make_ready
from engine.derive.finite import all_finite
from engine.errors import DeadlineExceeded, EngineError
from engine.execute.meter import Meter
from engine.graph import Graph

if TYPE_CHECKING:
    from engine.derive.first_order import FirstOrder


class OnPlan:
    """A first-order verb as one graph."""

    def __init__(self, job: FirstOrder, graph: Graph, labels: Sequence[tuple[str, int]]) -> None:
        typed = job.typed
        place = {
            n: p for p, n in enumerate(graph.inputs[: len(job.program.inputs)]) if graph.in_avals[p].shape
        }
        given = [kind == "value" and o in place for (kind, _), o in zip(labels, graph.outputs, strict=True)]
        if all(given):
            given = [False] * len(given)
        self.inputs = [
            (job.id(i), place[o])
            for (_, i), o, is_given in zip(labels, graph.outputs, given, strict=True)
            if is_given
        ]
        """Inputs among the values, and their places among the arguments: they need no copy."""
        labels = [label for label, is_given in zip(labels, given, strict=True) if not is_given]
        if self.inputs:
            graph = graph.with_outputs(
                [o for o, is_given in zip(graph.outputs, given, strict=True) if not is_given]
            )
        self.graph = graph
        make_ready(graph, guarded=typed.differentiates)
        self.labels = [(kind, job.id(i)) for kind, i in labels]
        self.reported = [job.id(i) for i in job.reported]
        self.outputs = [job.id(i) for i in job.program.outputs]
        self.floats = [job.id(i) for i in job.reported if typed.aval(i).floating]
        self.output_floats = [job.id(i) for i in job.program.outputs if typed.aval(i).floating]
        self.wrt = [job.id(i) for i in job.wrt]
        self.of = None if job.of is None else job.id(job.of)

    def answer(self, job: FirstOrder, meter: Meter) -> dict[str, Any] | None:
        """The answer's fields, up to those that all answers end with; None where the careful executor has to be asked."""
        try:
            results = job.runner.attempt(self.graph, [*job.arguments, *job.extras], meter)
        except DeadlineExceeded:
            raise
        except EngineError:
            return None  # the careful executor knows the node
        shown = {name: job.arguments[p] for name, p in self.inputs}
        if results is None or not all_finite(shown.values()):
            return None
        by: dict[str, dict[str, Any]] = {"value": shown, "back": {}, "dot": {}}
        for (kind, name), result in zip(self.labels, results, strict=True):
            by[kind][name] = result
        values, answer = by["value"], dict[str, Any]()
        if self.of is not None:
            answer["value"] = values[self.of]
            answer["of"] = self.of
        answer["output_ids"] = self.outputs
        answer["outputs"] = {name: values[name] for name in self.outputs}
        answer["values"] = {name: values[name] for name in self.reported}
        if job.verb in ("grad", "vjp"):
            answer["gradients"] = by["back"]
        elif job.verb == "jvp":
            answer["output_tangents"] = {name: by["dot"][name] for name in self.output_floats}
            answer["node_tangents"] = {name: by["dot"][name] for name in self.floats}
        return answer
