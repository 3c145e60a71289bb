"""minimize: the verb."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np

from engine.aval import Array, Aval
from engine.cost import Cost, Limits, check_answer
from engine.derive import prepare_with
from engine.derive.diagnose import explain
from engine.derive.job import Job
from engine.derive.request import Request, find, find_floating, fitting, resolve_of, resolve_wrt
from engine.errors import (
    DeadlineExceeded,
    EngineError,
    InvalidField,
    LimitExceeded,
    MistakeCollector,
    NonScalarOutput,
    SingularMatrix,
    UnknownNode,
    Where,
    nearest,
    quoted,
)
from engine.execute.meter import Meter
from engine.minimize.batches import Batches, data_inputs, follow_batches
from engine.minimize.methods import BY_DEFAULT, METHODS
from engine.minimize.options import read_options
from engine.minimize.outcome import Finished, Outcome
from engine.minimize.path import MOST, Path, Report
from engine.minimize.problem import Problem, norm
from engine.numeric.function import Function
from engine.program import Program
from engine.specialize import pointer_part, specialize
from engine.values import Given

SPARED = 0.05
"""Share of the time that is left for what comes after: the answer has to be written and sent."""


@dataclass(frozen=True)
class Fields:
    """The fields of the verb's own. `bounds` are pairs of a lower and an upper one."""

    method: str | None = None
    start: Mapping[str, Given] = field(default_factory=dict)
    bounds: Mapping[str, tuple[Given, Given]] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    record: bool | int = False


def prepare_minimize(
    request: Request, fields: Fields, limits: Limits | None = None, meter: Meter | None = None
) -> Minimize:
    """The job. Inputs have the values of `start`, else of `inputs`; one without either that is bounded on both sides starts in
    the middle. Raises what `derive.prepare` raises, and `InvalidField` for fields that make no sense."""
    program = request.program
    mistakes = MistakeCollector()
    for where, names in (("start", fields.start), ("bounds", fields.bounds)):
        for name in names:
            if name not in program.index:
                near = nearest(name, program.index)
                hint = f" Did you mean {near[0]}?" if near else ""
                mistakes.add(
                    UnknownNode(
                        f"The program has no node {quoted(name)}.{hint}",
                        node=name,
                        where=Where(pointer=f"/{where}/{pointer_part(name)}"),
                        suggestions=near,
                    )
                )
    mistakes.raise_if_any()
    own = set(program.input_ids)
    inputs = {**request.inputs, **{name: given for name, given in fields.start.items() if name in own}}
    for name, (low, high) in fields.bounds.items():
        if name in own and name not in inputs and not _has_default(program, name):
            inputs[name] = _middle(low, high)
    return prepare_with(partial(Minimize, fields), replace(request, inputs=inputs), limits, meter)


def _has_default(program: Program, name: str) -> bool:
    return "value" in program.steps[program.index[name]].attrs


def _middle(low: Given, high: Given) -> Given:
    """Between the bounds; at the finite one, or 0, where they are not both."""
    try:
        a, b = np.broadcast_arrays(np.asarray(low.value, np.float64), np.asarray(high.value, np.float64))
    except ValueError:
        return low  # what is wrong with them is said later
    with np.errstate(all="ignore"):
        middle = np.where(np.isfinite(a) & np.isfinite(b), a / 2 + b / 2, np.clip(0.0, a, b))
    return Given(np.asarray(np.where(np.isnan(middle), 0.0, middle)), True, False)


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
        self.wrt = self._variables()
        self.options = read_options(self.method, fields.options, most_iterations=limits.minimize_iterations)
        self._check_iterations()
        self.avals = [typed.aval(i) for i in self.wrt]
        size = sum(a.size for a in self.avals)
        if size == 0:
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
        low, high = self._bounds()
        self.problem = Problem(self.objective, self.residual, low, high, self._start())
        self._grid()
        self.batches = self._batches()
        self._check_size(size, aval.size)
        cost = self.objective.cost
        self.cost = Cost(cost.nodes, 3 * cost.flops, 3 * cost.bytes, cost.largest_step)

    @property
    def seconds(self) -> float:
        """How long it takes is not known: long enough to do it apart."""
        return max(1.0, self.cost.seconds)

    # -- what the request says

    def _variables(self) -> list[int]:
        """The steps to vary: `wrt`; else what `start` and `bounds` name, if there is a start; else every floating input."""
        typed, request, fields = self.typed, self.request, self.fields
        mistakes = MistakeCollector()
        named: list[int] = []
        for where, names in (("start", fields.start), ("bounds", fields.bounds)):
            for name in names:
                try:
                    i = find_floating(typed, name, f"/{where}/{pointer_part(name)}", "what is varied")
                    if where == "bounds" and i not in typed.program.inputs:
                        raise InvalidField(
                            f"{quoted(name)} is computed, and only inputs can have bounds.",
                            node=name,
                            where=Where(pointer=f"/bounds/{pointer_part(name)}"),
                        )
                    named.append(i)
                except EngineError as error:
                    mistakes.add(error)
        if request.wrt is None and fields.start:
            mistakes.raise_if_any()
            return list(dict.fromkeys(named))
        wrt: list[int] = []
        try:
            wrt = resolve_wrt(typed, request)
        except EngineError as error:
            mistakes.add(error)
        mistakes.raise_if_any()
        for where, names in (("start", fields.start), ("bounds", fields.bounds)):
            for name in names:
                i = find(typed, name, f"/{where}/{pointer_part(name)}")
                if i not in wrt and (where == "bounds" or i not in typed.program.inputs):
                    mistakes.add(
                        InvalidField(
                            f"{quoted(name)} is not among the variables ({', '.join(self.id(k) for k in wrt[:8])}).",
                            node=name,
                            where=Where(pointer=f"/{where}/{pointer_part(name)}"),
                        )
                    )
        mistakes.raise_if_any()
        return wrt

    def _start(self) -> Array:
        """The vector to start from. What `start` says of an intermediate is its value there."""
        f = self.objective
        x = f.start.copy()
        # In evaluation order: an intermediate is right before those behind it are looked at.
        for k in sorted(range(len(self.wrt)), key=self.wrt.__getitem__):
            name, own = f.names[k], f.part(k)
            given = self.fields.start.get(name)
            if given is None:
                continue
            wanted = fitting(given, self.avals[k], self.dtype, name, f"/start/{pointer_part(name)}")
            flat = np.asarray(wanted, np.float64).reshape(-1)
            if f.intermediate[k]:
                flat = flat - np.asarray(f.at(x)[name], np.float64).reshape(-1)
            x[own] = flat
        return x

    def _bounds(self) -> tuple[Array, Array]:
        """Lower and upper bounds, as vectors."""
        lows, highs = [], []
        mistakes = MistakeCollector()
        for i, aval in zip(self.wrt, self.avals, strict=True):
            name = self.id(i)
            pair = self.fields.bounds.get(name)
            low, high = np.full(aval.shape, -np.inf), np.full(aval.shape, np.inf)
            if pair is not None:
                try:
                    low, high = self._pair(name, pair, aval)
                except EngineError as error:
                    mistakes.add(error)
            lows.append(low.reshape(-1))
            highs.append(high.reshape(-1))
        mistakes.raise_if_any()
        return np.concatenate(lows), np.concatenate(highs)

    def _pair(self, name: str, pair: tuple[Given, Given], aval: Aval) -> tuple[Array, Array]:
        pointer = f"/bounds/{pointer_part(name)}"
        ends = []
        for k, given in enumerate(pair):
            at = f"{pointer}/{k}"
            if given.value.shape == ():
                given = Given(np.full(aval.shape, given.value), given.weak, given.integers)
            array = np.asarray(fitting(given, aval, self.dtype, name, at), np.float64)
            if np.isnan(array).any():
                raise InvalidField(f"A bound of {quoted(name)} is NaN.", node=name, where=Where(pointer=at))
            ends.append(array)
        low, high = ends
        if (low > high).any():
            raise InvalidField(
                f"A lower bound of {quoted(name)} is above the upper one: {low[low > high].flat[0]:g} > "
                f"{high[low > high].flat[0]:g}. Bounds are [low, high].",
                node=name,
                where=Where(pointer=pointer),
            )
        if (low == np.inf).any() or (high == -np.inf).any():
            raise InvalidField(
                f"The bounds of {quoted(name)} leave no finite number.",
                node=name,
                where=Where(pointer=pointer),
            )
        return low, high

    # -- limits

    def _check_iterations(self) -> None:
        most = self.limits.minimize_iterations
        for name in ("max_iterations", "samples"):
            value = self.options.get(name)
            if value is not None and value > most:
                raise LimitExceeded(
                    "minimize_iterations",
                    most,
                    value,
                    f"`{name}` is {value:,}; this server makes at most {most:,} iterations.",
                    where=Where(pointer=f"/options/{name}"),
                )

    def _grid(self) -> None:
        """The points on each axis of a grid."""
        if self.method != "grid-search":
            return
        problem, f = self.problem, self.objective
        given = self.options["points"]
        mistakes = MistakeCollector()
        counts: list[int] = []
        if isinstance(given, dict):
            for name in given:
                if name not in f.names:
                    mistakes.add(
                        UnknownNode(
                            f"`points` names {quoted(name)}, which is none of the variables.",
                            node=name,
                            where=Where(pointer=f"/options/points/{pointer_part(name)}"),
                            suggestions=nearest(name, f.names),
                        )
                    )
        for name, aval in zip(f.names, self.avals, strict=True):
            counts += [given.get(name, 10) if isinstance(given, dict) else given] * aval.size
        for k, name in enumerate(f.names):
            own = f.part(k)
            if not (np.isfinite(problem.low[own]).all() and np.isfinite(problem.high[own]).all()):
                mistakes.add(
                    InvalidField(
                        f"grid-search needs finite bounds of every variable; those of {quoted(name)} are missing.",
                        node=name,
                        where=Where(pointer=f"/bounds/{pointer_part(name)}"),
                    )
                )
        mistakes.raise_if_any()
        total, most = 1, self.limits.minimize_iterations
        for k in counts:
            total *= k
            if total > 10**30:
                break
        if total > most:
            shown = (
                f"{counts[0]}^{len(counts)} = {total:,}"
                if len(set(counts)) == 1 and total < 10**15
                else "That many"
            )
            raise LimitExceeded(
                "minimize_iterations",
                most,
                total,
                f"A grid has as many points as the product of those on each axis: {shown} points for {len(counts)} variables; "
                f"this server looks at {most:,} at most. That is what is wrong with grids: one variable more multiplies the "
                "work. Take fewer `points`, or a method that follows the gradient, such as gd or l-bfgs-b.",
                where=Where(pointer="/options/points"),
            )
        self.options["points"] = counts

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

    def _check_size(self, size: int, residuals: int) -> None:
        limits, method = self.limits, METHODS[self.method]
        # The optimum, and at least two points of the history.
        per = size + 3 if self.fields.record else 3
        check_answer([*self.avals, Aval((2 * per,), "float64")], limits)
        self.most = int(max(2, min(MOST, (limits.response_elements - size) // per)))
        vectors = 2 * self.options.get("memory", 0) + 30
        needed = 8 * size * vectors
        if needed > limits.memory_bytes // 2:
            raise LimitExceeded(
                "memory_bytes",
                limits.memory_bytes // 2,
                needed,
                f"{self.method} keeps about {vectors} vectors of these {size:,} variables, {needed:,} bytes; at most "
                f"{limits.memory_bytes // 2:,} are allowed.",
                where=Where(pointer="/options/memory" if "memory" in self.options else "/method"),
            )
        matrix = size * size if method.dense else residuals * size if method.residual else 0
        if matrix > limits.elements:
            raise LimitExceeded(
                "elements",
                limits.elements,
                matrix,
                f"{self.method} holds a matrix of {matrix:,} elements for these {size:,} variables; at most "
                f"{limits.elements:,} are allowed. l-bfgs-b does without one.",
                where=Where(pointer="/method"),
            )

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
