"""What every verb has in common: a request made ready, its cost, and the fields that all answers share."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from math import prod
from typing import Any, Self
from weakref import WeakMethod

import numpy as np

from engine.aval import Array, Aval
from engine.builder import EagerBuilder
from engine.cost import Cost, Limits
from engine.derive.batch import Batch, Runner
from engine.derive.request import Request
from engine.derive.warn import Watch
from engine.errors import DeadlineExceeded, EngineError, LimitExceeded, ShapeMismatch, Where
from engine.execute.eager import forward
from engine.execute.meter import Meter
from engine.graph import Graph, graph_bytes
from engine.specialize import Typed, pointer_part


class Job:
    """A verb, ready to run: what `prepare` returns. `cost` is known, and within the limits.

    All but the numbers of a request is made once: types, derivatives, cost, order of computation. `load` fills in the
    numbers, and `bound` gives a job for other numbers of the same shapes; so a job can be kept for the requests to come
    (`engine.derive.plans`), and runs of several threads share what does not change.
    """

    data: tuple[str, ...] = ("request", "arguments", "meter", "numbers", "_runner")
    """Attributes that belong to one request: what `load` sets."""
    cached = False
    """Whether it was taken from those that are kept."""
    reusable = True
    """Whether the job is the same for other numbers of the same shapes."""
    decisive: tuple[str, ...] = ()
    """Inputs whose values it depends on all the same: integers, by which a sparse structure was found."""

    def __init__(
        self,
        typed: Typed,
        request: Request,
        arrays: Mapping[str, Array],
        batch: Batch | None,
        limits: Limits,
        meter: Meter,
    ) -> None:
        self.typed = typed
        self.batch = batch
        self.limits = limits
        self.cost = Cost(0, 0.0, 0)
        self.dtype = request.dtype
        self.program = typed.program
        self.sizes = batch.sizes if batch is not None else ()
        self.record_bytes = limits.record_bytes(prod(self.sizes))
        self.step = meter.check
        self.load(request, arrays, meter)
        none = (None,) * len(self.sizes)
        self.none: tuple[int | None, ...] = none
        self.axes = [
            batch.of(self.program.steps[i].id) if batch is not None else () for i in self.program.inputs
        ]

    def load(self, request: Request, arrays: Mapping[str, Array], meter: Meter) -> None:
        """Take over the numbers of a request. Raises `EngineError` for seeds and tangents that do not fit."""
        steps = self.program.steps
        self.request = request
        self.arguments = [arrays[steps[i].id] for i in self.program.inputs]
        self.meter = meter
        self._runner: Runner | None = None

    @cached_property
    def numbers(self) -> Array:
        """The arguments of a program of scalars, in one array."""
        return np.array([a.item() for a in self.arguments], np.float64)

    @property
    def runner(self) -> Runner:
        """What maps, plans and runs graphs for this request; made when it is first needed."""
        if self._runner is None:
            self._runner = Runner(self.batch, self.dtype, self.limits, self.meter)
            self._runner.traced = WeakMethod(self.traced)
            self._runner.guarded = self.typed.differentiates
        return self._runner

    def bound(self, request: Request, arrays: Mapping[str, Array], meter: Meter) -> Self:
        """This job for the numbers of another request of the same shapes."""
        job = self.blank()
        job.load(request, arrays, meter)
        return job

    def blank(self) -> Self:
        """This job without numbers: what is worth keeping."""
        job = object.__new__(type(self))
        vars(job).update(vars(self))
        for name in self.data:
            vars(job).pop(name, None)
        return job

    @property
    def nbytes(self) -> int:
        """Roughly what the job holds in memory, its numbers aside."""
        return 4096 + 400 * len(self.program.steps) + sum(map(graph_bytes, self.graphs()))

    def graphs(self) -> Iterable[Graph]:
        """The graphs that the job holds."""
        yield self.typed.graph
        for value in vars(self).values():
            if isinstance(value, Graph):
                yield value

    @property
    def seconds(self) -> float:
        """Predicted time of `run`."""
        return self.cost.seconds

    @property
    def peak_bytes(self) -> int:
        """Predicted memory; after `run` with that of the loops whose length was not known before."""
        return self.cost.bytes + (0 if self._runner is None else self._runner.met)

    def eager(self, meter: Meter) -> EagerBuilder:
        """What computes at once, under the limits."""
        return self.runner.builder(meter)

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

    def traced(self, error: EngineError, meter: Meter) -> EngineError:
        """The error with its step, where the program itself, run node by node, meets it too (a singular matrix)."""
        if (
            error.node is not None
            or self.batch is not None
            or isinstance(error, DeadlineExceeded | LimitExceeded)
        ):
            return error
        try:
            with np.errstate(all="ignore"):
                forward(self.typed.graph, self.arguments, self.eager(meter), meter, self.blame)
        except EngineError as found:
            return found
        return error

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


def check_mapped(job: Job, field: str, arrays: Mapping[int, Array]) -> None:
    """Tangents and vectors of inputs must have the input's whole shape, since they are mapped as it is."""
    assert job.batch is not None
    for i, array in arrays.items():
        name = job.id(i)
        position = next((k for k, s in enumerate(job.program.inputs) if s == i), None)
        if position is None:
            continue
        expected = job.arguments[position].shape
        if array.shape != expected:
            raise ShapeMismatch(
                f"This belongs to the input '{name}' and is mapped as it is; it must have shape {list(expected)}, "
                f"not {list(array.shape)}.",
                node=name,
                where=Where(pointer=f"/{field}/{pointer_part(name)}"),
            )
