"""evaluate, grad, vjp and jvp of programs of arrays by a plan of the derived graph (`engine.execute.plan`).

The plan is run without guards of strong zeros. Where something in its answer is not finite, or a point without derivative
was met, the answer is that of the careful executor, and so are its warnings.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from engine.derive.batch import make_ready
from engine.errors import DeadlineExceeded, EngineError
from engine.execute.meter import Meter
from engine.graph import Graph

if TYPE_CHECKING:
    from engine.derive.first_order import FirstOrder


class OnPlan:
    """A first-order verb as one graph."""

    def __init__(self, job: FirstOrder, graph: Graph, labels: Sequence[tuple[str, int]]) -> None:
        typed = job.typed
        self.graph = graph
        make_ready(graph, guarded=typed.differentiates, step=job.step)
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
        if results is None:
            return None
        by: dict[str, dict[str, Any]] = {"value": {}, "back": {}, "dot": {}}
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
