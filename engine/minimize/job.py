"""minimize: the verb."""

from __future__ import annotations

import time
from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np

from engine.aval import Array, Aval
from engine.cost import Cost, Limits
from engine.derive import prepare_with
from engine.derive.diagnose import explain
from engine.derive.job import Job
from engine.derive.request import Request, resolve_of
from engine.errors import (
    DeadlineExceeded,
    EngineError,
    InvalidField,
    NonScalarOutput,
    SingularMatrix,
    Where,
)
from engine.execute.meter import Meter
from engine.minimize.asked import Fields, bounds_of, start_of, variables, with_starts
from engine.minimize.batches import Batches, data_inputs, follow_batches
from engine.minimize.methods import BY_DEFAULT, METHODS
from engine.minimize.options import read_options
from engine.minimize.outcome import Finished, Outcome
from engine.minimize.path import Path, Report
from engine.minimize.problem import Problem, norm
from engine.minimize.within import check_iterations, entries_within, grid_of
from engine.numeric.function import Function
from engine.specialize import specialize

SPARED = 0.05
"""Share of the time that is left for what comes after: the answer has to be written and sent."""


def prepare_minimize(
    request: Request, fields: Fields, limits: Limits | None = None, meter: Meter | None = None
) -> Minimize:
    """The job. Raises what `derive.prepare` raises, and `InvalidField` for fields that make no sense."""
    return prepare_with(partial(Minimize, fields), with_starts(request, fields), limits, meter)


class Minimize(Job):
    """A minimisation, ready to run."""

    reusable = False

    def __init__(self, fields: Fields, *args: Any) -> None:
        super().__init__(*args)
        self.fields = fields
        typed, limits, request = self.typed, self.limits, self.request
        self.of = resolve_of(typed, request)
        aval = typed.aval(self.of)
        residual = aval.shape != ()
        self.method = fields.method or BY_DEFAULT[residual]
        method = METHODS[self.method]
        if method.residual and not residual:
            raise NonScalarOutput(
                f"{self.method} needs a residual: an array r whose sum of squares is minimised, here of shape []. Give the "
                f"residuals as `of`, such as `r = y - model` instead of `sum((y - model)**2)`, or take another method.",
                node=self.id(self.of),
                where=Where(pointer="/method"),
            )
        self.wrt = variables(typed, request, fields)
        self.options = read_options(self.method, fields.options, most_iterations=limits.minimize_iterations)
        check_iterations(self.options, limits)
        self.avals = [typed.aval(i) for i in self.wrt]
        if not any(a.size for a in self.avals):
            raise InvalidField(
                "There is nothing to vary: "
                + (
                    "the variables have no elements."
                    if self.wrt
                    else "the program has no floating-point inputs."
                ),
                where=Where(pointer="/wrt"),
            )
        make = partial(Function, typed, self.of, self.wrt, self.arguments, limits, self.meter)
        self.objective = make(squared=residual)
        self.residual = make() if method.residual else None
        low, high = bounds_of(self.objective, fields)
        self.problem = Problem(self.objective, self.residual, low, high, start_of(self.objective, fields))
        if self.method == "grid-search":
            self.options["points"] = grid_of(self.problem, self.options["points"], limits)
        self.batches = self._batches()
        self.most = entries_within(
            self.method, self.options, self.avals, aval.size, points=bool(fields.record), limits=limits
        )
        cost = self.objective.cost
        self.cost = Cost(cost.nodes, 3 * cost.flops, 3 * cost.bytes, cost.largest_step)

    @property
    def seconds(self) -> float:
        """How long it takes is not known: long enough to do it apart."""
        return max(1.0, self.cost.seconds)

    def _batches(self) -> Batches | None:
        options = self.options
        if options.get("batch_size") is None:
            if options.get("batch_inputs") is not None:
                raise InvalidField(
                    "`batch_inputs` says what `batch_size` is of; without that it means nothing.",
                    where=Where(pointer="/options/batch_inputs"),
                )
            return None
        if options["learning_rate"] is None:
            raise InvalidField(
                "With batches `learning_rate` has to be said: a line search needs the whole objective.",
                where=Where(pointer="/options/learning_rate"),
            )
        typed, f = self.typed, self.objective
        arrays = {self.id(i): a for i, a in zip(self.program.inputs, self.arguments, strict=True)}
        names = data_inputs(arrays, f.names, options["batch_inputs"])

        def make(avals: Mapping[str, Aval], some: Mapping[str, Array]) -> Function:
            small = {n: a for n, a in some.items() if a.dtype == np.int64 and a.size <= 64 and n not in names}
            part = specialize(
                self.program,
                avals,
                dtype=self.dtype,
                limits=self.limits,
                statics=small,
                step=self.meter.check,
            )
            arguments = [some[self.id(i)] for i in self.program.inputs]
            aval = part.aval(self.of)
            if (aval.shape != ()) != (typed.aval(self.of).shape != ()) or [
                part.aval(i) for i in self.wrt
            ] != self.avals:
                raise InvalidField("the variables, or what is minimised, would have another shape")
            return Function(
                part, self.of, self.wrt, arguments, self.limits, self.meter, squared=aval.shape != ()
            )

        return Batches(arrays, names, options["batch_size"], make)

    # -- the run

    def run(self, meter: Meter, report: Report | None = None) -> dict[str, Any]:
        """The answer; each iteration is told to `report` as it comes."""
        problem, options = self.problem, self.options
        method = METHODS[self.method]
        now = time.monotonic()
        deadline = meter.deadline
        if deadline is not None:
            deadline -= min(1.0, max(0.02, SPARED * (deadline - now)))
        own = Meter(deadline, meter.cancelled)
        for f in self._functions():
            f.meter = own
        problem.most = options["max_evaluations"]
        record = self.fields.record
        path = Path(
            problem,
            self.objective.at,
            max_iterations=options.get("max_iterations", 2**62) if self.method != "random-search" else 2**62,
            gtol=options.get("gtol", 0.0),
            target=options["target"],
            points=bool(record),
            every=record if record is not True and record else 1,
            most=self.most,
            report=report,
            until=deadline,
        )
        try:
            with np.errstate(all="ignore"):
                if self.batches is not None:
                    outcome = follow_batches(problem, self.batches, options, path)
                else:
                    outcome = (method.in_box if problem.bounded else method.run)(problem, options, path)
        except Finished as finished:
            outcome = finished.outcome
        except DeadlineExceeded:
            if path.iteration < 0:
                raise
            outcome = Outcome("deadline", "The time is over. The best point so far is the answer.")
        if meter.deadline is not None:  # what is looked at last must not cost the answer
            now = time.monotonic()
            meter = Meter(now + 0.5 * max(0.0, meter.deadline - now), meter.cancelled)
        for f in self._functions():
            f.meter = meter
        return self._answer(outcome, path, meter)

    def _functions(self) -> list[Function]:
        more = [] if self.residual is None else [self.residual]
        return [self.objective, *more, *(self.batches.functions.values() if self.batches else ())]

    def _answer(self, outcome: Outcome, path: Path, meter: Meter) -> dict[str, Any]:
        problem, f = self.problem, self.objective
        point, value, gradient = problem.best
        if np.isnan(value):
            value = path.last[1] if path.last is not None else np.nan
        if gradient is None:
            # Not counted: the method made its way without it.
            try:
                gradient = f.gradient(point)[1]
            except EngineError:
                gradient = np.full(problem.size, np.nan)
        answer: dict[str, Any] = {
            "of": self.id(self.of),
            "method": self.method,
            "optimum": f.at(point),
            "value": value,
            "gradient_norm": norm(problem.projected(point, gradient)),
            "status": outcome.status,
            "message": outcome.message,
            "iterations": path.iterations,
            "evaluations": dict(problem.counts),
            "history": path.history(),
            "output_ids": self.program.output_ids,
            "graph_id": self.program.digest,
        }
        answer["warnings"] = self._warnings(point, value, gradient, meter)
        return answer

    def _warnings(self, point: Array, value: float, gradient: Array, meter: Meter) -> list[dict[str, Any]]:
        """What is to be said of the point that was found."""
        at = self._at(point, meter)
        at.runner.kinked = True  # which of the runs met one is not known: it is looked for at this point
        watch = explain(at, meter, found=[np.asarray(value), gradient], of=[self.of], wrt=self.wrt)
        found: list[dict[str, Any]] = watch.warnings
        count = sum(f.singular for f in self._functions())
        if count and not any(w["kind"] == "singular-matrix" for w in found):
            where = self._at(point if self.problem.undefined is None else self.problem.undefined, meter)
            blamed = where.traced(SingularMatrix("A matrix is singular."), meter)
            found.append(
                {
                    "kind": "singular-matrix",
                    "node": blamed.node or self.id(self.of),
                    "index": [],
                    "count": count,
                    "detail": "a matrix was singular at some of the points; the objective counts as NaN there",
                }
            )
        return found[: self.limits.warnings]

    def _at(self, point: Array, meter: Meter) -> Minimize:
        """This job with the inputs of a point."""
        arrays = self.objective.unpack(point)
        at = self.blank()
        names = [self.id(i) for i in self.program.inputs]
        at.load(
            self.request,
            {n: arrays.get(n, a) for n, a in zip(names, self.arguments, strict=True)},
            meter,
        )
        return at
