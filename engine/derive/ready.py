"""A prepared job as a function of numbers: `evaluate` and `grad` of a program of scalars.

Binding a request to a prepared job costs as much as computing a small gradient. Where all that a request brings is one number
for each input, there is nothing to bind: the numbers are the leaves of the tape.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from engine.derive.first_order import FirstOrder
from engine.derive.job import Job
from engine.derive.named import as_dicts
from engine.derive.on_tape import OnTape
from engine.execute.meter import Meter
from engine.specialize import integer_inputs


class Ready:
    """Answers of one job at other numbers. Safe under threads: nothing changes in it."""

    def __init__(self, job: FirstOrder, quick: OnTape) -> None:
        self.job = job
        self.quick = quick
        self.inputs = tuple([job.id(i) for i in job.program.inputs])
        """Ids of the inputs, in the order of their numbers."""

    def __call__(self, numbers: Sequence[float]) -> dict[str, Any] | None:
        """The answer's fields, as `Job.run` gives them; None where the job has to be prepared and run, since the careful
        executor has to be asked. `numbers` are finite."""
        job = object.__new__(FirstOrder)
        vars(job).update(vars(self.job))
        vars(job)["numbers"] = numbers
        answer = self.quick.answer(job, Meter())
        if answer is None:
            return None
        answer.update(job.tail(None, "reverse" if job.verb == "grad" else None))
        return as_dicts(answer)


def ready(job: Job) -> Ready | None:
    """The job as a function of its inputs' numbers, if these are all that it depends on."""
    request = job.request
    quick = getattr(job, "quick", None)
    if (
        type(job) is not FirstOrder
        or not isinstance(quick, OnTape)
        or job.verb not in ("evaluate", "grad")
        or request.seed is not None
        or request.include
        or not job.reusable
        or integer_inputs(job.program)
        or any(a.dtype != "float64" for a in job.arguments)
        or len(request.inputs) != len(job.program.inputs)
    ):
        return None
    return Ready(job, quick)
