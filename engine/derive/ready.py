"""A prepared job as a function of its inputs' values: `evaluate` and `grad` of floats, for requests that differ in those alone.

Binding a request to a prepared job costs as much as computing a small gradient. Where all that changes from request to
request are the values of some floating inputs, of shapes that are known, there is nothing to bind: they go to the tape or to
the plan as they are, and results come back in an order that is known, too. Whatever the fast executors cannot be trusted
with (`engine.derive.on_tape`, `on_plan`) has no answer here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from engine.aval import Array, Aval
from engine.builder import EagerBuilder
from engine.derive.batch import Runner, attempt
from engine.derive.first_order import MODES, FirstOrder
from engine.derive.job import Job
from engine.derive.on_plan import OnPlan
from engine.derive.on_tape import OnTape
from engine.errors import EngineError
from engine.execute.meter import Meter
from engine.specialize import integer_inputs
from engine.tape import expanded_of

FLAT = 256
"""Numbers, of inputs and results together, up to which they are passed on one by one: an array costs as much as many."""


class Ready:
    """One job at other values. Safe under threads: nothing changes in it.

    `run` takes a value for each input, an array of the shape and dtype in `inputs` (which has ids too); if `flat`, it takes
    all their numbers in one list instead, one input behind the other. It gives the results that `results` names, as arrays
    or, if `flat`, as one list of numbers and truth values, in C order each; None where the careful executor has to be asked.
    `answer` puts results, or whatever stands for them, into the fields that `Job.run` gives.
    """

    run: Callable[[Any], list[Any] | None]

    def __init__(self, job: FirstOrder, quick: OnTape | OnPlan, most: int) -> None:
        program, typed = job.program, job.typed
        self.inputs = [(job.id(i), typed.aval(i)) for i in program.inputs]
        self.varying = _varying(job)
        """Positions of the inputs whose values may change; the others must be those of `given`."""
        self.given: list[Array] = list(job.arguments)
        self.job: FirstOrder = job.blank()
        of = [] if job.of is None else [job.of]
        steps = sorted({*job.reported, *job.program.outputs, *of})
        self._values = [job.id(i) for i in steps]
        self._gradients = [job.id(i) for i in job.wrt] if job.verb == "grad" else []
        found = [*steps, *(job.wrt if self._gradients else [])]
        self.results: list[Aval] = [typed.aval(i) for i in found]
        if isinstance(quick, OnTape):
            self.flat = True
            self.run = _on_tape(self, quick, [typed.node(i) for i in steps])
        else:
            numbers = sum(a.size for _, a in self.inputs) + sum(a.size for a in self.results)
            entries = None if typed.differentiates or numbers > most else _on_entries(self, quick)
            self.flat = entries is not None
            self.run = entries or _on_plan(self, quick, steps)

    @property
    def seconds(self) -> float:
        """Predicted time of `run`."""
        return self.job.seconds

    def answer(self, results: Sequence[Any]) -> dict[str, Any]:
        """The answer's fields, with these in the place of results."""
        job = self.job
        split = len(self._values)
        values = dict(zip(self._values, results[:split], strict=True))
        answer: dict[str, Any] = {}
        if job.of is not None:
            answer["value"] = values[job.id(job.of)]
        answer |= job.head(job.of)
        answer["outputs"] = {name: values[name] for name in job.program.output_ids}
        answer["values"] = {job.id(i): values[job.id(i)] for i in job.reported}
        if job.verb == "grad":
            answer["gradients"] = dict(zip(self._gradients, results[split:], strict=True))
        return answer | job.tail(None, MODES.get(job.verb))


def ready(job: Job, *, most: int = FLAT) -> Ready | None:
    """The job as a function of its floating inputs' values, if that is all that it depends on. `most` is how many numbers,
    of arrays, are passed on one by one."""
    request = job.request
    quick = getattr(job, "quick", None)
    if (
        type(job) is not FirstOrder
        or quick is None
        or job.batch is not None
        or job.verb not in ("evaluate", "grad")
        or request.seed is not None
        or request.include
        or not job.reusable
    ):
        return None
    found = Ready(job, quick, most)
    return found if found.varying else None


def _varying(job: FirstOrder) -> list[int]:
    """Positions of the inputs that are floats whatever was written for them."""
    integer = integer_inputs(job.program)
    return [
        k
        for k, (i, a) in enumerate(zip(job.program.inputs, job.arguments, strict=True))
        if i not in integer and a.dtype.kind == "f"
    ]


def _on_tape(of: Ready, quick: OnTape, nodes: Sequence[int]) -> Callable[[Any], list[Any] | None]:
    """Numbers to numbers on the tape of the program."""
    tape, job = quick.tape, of.job
    at = np.asarray(nodes, np.intp)
    masks = [k for k, aval in enumerate(of.results) if aval.dtype == "bool"]

    def values(numbers: Any) -> list[Any] | None:
        found = tape.values(numbers)
        return None if found.suspicious else _marked(found.v[at].tolist(), masks)

    if job.verb == "evaluate":
        return values
    assert job.of is not None
    seeds = {job.typed.node(job.of): 1.0}
    wrt = np.asarray([job.typed.node(i) for i in job.wrt], np.intp)

    def gradient(numbers: Any) -> list[Any] | None:
        found = tape.gradient(numbers, seeds)
        if found.suspicious or found.kinked:
            return None
        return _marked([*found.v[at].tolist(), *found.g[wrt].tolist()], masks)

    return gradient


def _on_entries(of: Ready, quick: OnPlan) -> Callable[[Any], list[Any] | None] | None:
    """Numbers to numbers on the tape of the derived graph's entries; None for a graph that is not computed so."""
    expanded = expanded_of(quick.graph)
    if expanded is None or any(
        a.dtype not in ("float64", "bool") for a in (*expanded.results, *expanded.avals)
    ):
        return None
    places = [expanded.outputs[k].reshape(-1) for k in _order(of, quick)]
    at = np.concatenate(places) if places else np.zeros(0, np.intp)
    masks: list[int] = []
    n = 0
    for aval in of.results:
        masks += range(n, n + aval.size) if aval.dtype == "bool" else ()
        n += aval.size
    tape = expanded.tape
    kinks = any(node.op.convention for node in quick.graph.nodes)

    def values(numbers: Any) -> list[Any] | None:
        if kinks:
            point = tape.linearize(numbers)
            return None if point.suspicious or point.kinked else _marked(point.v[at].tolist(), masks)
        found = tape.values(numbers)
        return None if found.suspicious else _marked(found.v[at].tolist(), masks)

    return values


def _on_plan(of: Ready, quick: OnPlan, steps: Sequence[int]) -> Callable[[Any], list[Any] | None]:
    """Arrays to arrays by the plan of the derived graph."""
    job, graph, guarded = of.job, quick.graph, of.job.typed.differentiates
    record_bytes, admit = job.limits.record_bytes(), Runner(None, job.dtype, job.limits, Meter()).admit
    order = _order(of, quick)

    def values(arrays: Any) -> list[Any] | None:
        try:
            found = attempt(
                graph,
                arrays,
                EagerBuilder(job.dtype, record_bytes=record_bytes, admit=admit),
                guarded=guarded,
            )
        except EngineError:
            return None
        return None if found is None else [found[k] for k in order]

    return values


def _order(of: Ready, quick: OnPlan) -> list[int]:
    """Where each result is among those of the derived graph."""
    there = {label: k for k, label in enumerate(quick.labels)}
    values = [there["value", name] for name in of._values]
    return values + [there["back", name] for name in of._gradients]


def _marked(numbers: list[Any], masks: Sequence[int]) -> list[Any]:
    """Numbers with truth values as such."""
    for k in masks:
        numbers[k] = numbers[k] != 0
    return numbers
