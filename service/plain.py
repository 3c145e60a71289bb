"""The short road of a request about a plain scalar graph: from bytes to bytes without an object for each node.

`answered` tries it, and gives up without a trace at anything out of the ordinary: fields that are wrong or ask for more,
limits, values that are not finite, conventions in place of derivatives. The same bytes then take the general road, which
answers or says what is wrong. Where both answer, they answer the same.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from pydantic import ValidationError

from engine.derive import Request
from engine.program import Program
from engine.spec.plain import PlainGraph, Weaver, native, read_plain
from service.envelope import REQUESTS, Envelope
from service.json_body import read_object
from service.long_values import estimated_bytes
from service.media import JSON
from service.problems import Problem

if TYPE_CHECKING:
    from service.work import Work

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int32]

VERBS = frozenset({"evaluate", "grad", "vjp", "jvp"})
MODES = {"grad": b"reverse", "vjp": b"reverse", "jvp": b"forward"}
NODE_BYTES = 256
"""More than an entry of a tape takes on either road: arrays, values, partials, cotangents."""
NODE_FLOPS = 100
"""More than any of these ops is said to take."""


def answered(work: Work) -> bool:
    """Whether the request was one for this road: then its answer is in `work.body`. Raises `DeadlineExceeded`, `Cancelled`."""
    if work.verb not in VERBS or work.media != JSON:
        return False
    reader = native(len(work.data)) if b'"nodes"' in work.data else None
    if reader is None:
        return False
    clock = _Clock(work.times)
    settings = work.services.settings
    graph = read_plain(work.data, reader.module, reader.table, settings.nodes)
    if graph is None or len(graph.rest) > len(work.data) // 2 + 4096:
        return False
    work.ticket.check()
    objects, lists, commas = graph.counts
    if estimated_bytes(len(work.data), lists, objects, commas) > settings.memory_bytes:
        return False
    fields = _fields(work.verb, graph.rest, settings.memory_bytes)
    clock.lap("parse_ms")
    task = None if fields is None else _Task.make(work, graph, fields)
    if task is None:
        return False
    clock.lap("plan_ms")
    if not task.run():
        return False
    work.ticket.check()
    digest = graph.digest(work.ticket.check)
    clock.lap("run_ms")
    work.body = task.encode(digest)
    clock.lap("encode_ms")
    work.peak_bytes = task.bytes
    # What is asked of an envelope after this is only what it includes.
    request = Request(Program((), ()), include=frozenset(task.fields.include))
    work.envelope = Envelope(work.verb, request, task.fields)
    work.data = b""
    return True


class _Clock:
    def __init__(self, times: dict[str, float]) -> None:
        self.times = times
        self.last = time.perf_counter()

    def lap(self, name: str) -> None:
        now = time.perf_counter()
        self.times[name], self.last = (now - self.last) * 1e3, now


def _fields(verb: str, rest: bytes, memory_bytes: int) -> Any:
    """The fields besides graph and inputs; None if one of them is wrong or asks for what this road does not have."""
    try:
        body = read_object(rest, memory_bytes=memory_bytes)
        fields = REQUESTS[verb].model_validate(body)
    except (Problem, ValidationError):
        return None
    other = fields.expression is not None or fields.graph is not None or fields.graph_id is not None
    if other or fields.inputs or fields.in_axes is not None or fields.dtype != "float64":
        return None
    if fields.mode == "forward" or not set(fields.include) <= {"timing"}:
        return None
    return fields


class _Task:
    """What is to be computed and reported: positions of nodes in evaluation order. As in `engine.derive.first_order`."""

    def __init__(
        self, verb: str, graph: PlainGraph, fields: Any, target: int, reported: Ints, wrt: Ints
    ) -> None:
        self.verb = verb
        self.graph = graph
        self.fields = fields
        self.target = target
        self.reported = reported
        self.wrt = wrt
        self.seeds: tuple[Ints, Floats] = (np.array([target], np.int32), np.ones(1))
        self.bytes = 0
        self.values = self.derivatives = np.zeros(0)

    @classmethod
    def make(cls, work: Work, graph: PlainGraph, fields: Any) -> _Task | None:
        """The task, if all that is named is there and everything is within the limits."""
        verb, limits = work.verb, work.services.limits
        n = len(graph) + len(graph.literals)
        if NODE_BYTES * n > limits.memory_bytes or NODE_FLOPS * n > min(limits.flops, limits.step_flops * n):
            return None
        if 4 * n > limits.response_elements:
            return None
        target = int(graph.outputs[0])
        if fields.of is not None:
            found = graph.find([fields.of]) if isinstance(fields.of, str) else None
            if found is None:
                return None
            target = int(found[0])
        named: Ints | None = None
        if fields.wrt is not None:
            named = graph.find(fields.wrt)
            if named is None or not 0 < len(named) == len(np.unique(named)):
                return None
        back = verb in ("grad", "vjp")
        if named is not None:
            always = named
        else:
            always = graph.inputs if back and fields.nodes == "none" else named_none()
        if fields.nodes == "none":
            reported = np.unique(np.concatenate((graph.outputs, always)))
        else:
            reported = np.arange(len(graph), dtype=np.int32)
        wrt = named if named is not None else reported
        task = cls(verb, graph, fields, target, reported, wrt)
        return task if task.begin() else None

    def begin(self) -> bool:
        """Find the seeds; whether all of them are numbers of nodes that can have one."""
        verb, fields = self.verb, self.fields
        if verb == "grad" and fields.seed is not None:
            seed = _numbers([fields.seed])
            if seed is None:
                return False
            self.seeds = (self.seeds[0], seed)
        if verb in ("vjp", "jvp"):
            given = fields.cotangents if verb == "vjp" else fields.tangents
            nodes, numbers = self.graph.find(list(given)), _numbers(list(given.values()))
            if nodes is None or numbers is None:
                return False
            if verb == "vjp" and not np.isin(nodes, self.graph.outputs).all():
                return False
            self.seeds = (nodes, numbers)
        return True

    def run(self) -> bool:
        """Compute; False if the careful executor is to do that instead."""
        tape = self.graph.tape()
        self.bytes = 8 * len(tape) + 16 * len(tape) + (0 if self.verb == "evaluate" else 16 * len(tape))
        if self.verb == "evaluate":
            found = tape.values(())
            self.values = found.v
            return not found.suspicious
        if self.verb == "jvp":
            point = tape.linearize(())
            if point.suspicious or point.kinked:
                return False
            self.values, self.derivatives = point.v, point.forward(self.seeds)
            return not point.suspicious
        both = tape.gradient((), self.seeds)
        self.values, self.derivatives = both.v, both.g
        return not (both.suspicious or both.kinked)

    def encode(self, digest: str) -> bytes:
        """The answer, with the fields of the general road in their order."""
        graph, outputs = self.graph, self.graph.outputs
        one = np.array([self.target], np.int32)
        back = self.verb in ("grad", "vjp")
        forth = self.verb == "jvp"
        maps: Sequence[Ints] = (
            outputs, self.reported, self.wrt if back else named_none(), *((outputs, self.reported) if forth else ()),
        )  # fmt: skip
        weaver = Weaver(graph, maps, (outputs, one), 512)
        weaver.text(b"{")
        if self.verb == "grad":
            weaver.text(b'"value":')
            weaver.number(float(self.values[self.target]))
            weaver.text(b',"of":')
            weaver.name(self.target)
            weaver.text(b",")
        weaver.text(b'"output_ids":')
        weaver.names(outputs)
        weaver.text(b',"outputs":')
        weaver.map(outputs, self.values)
        weaver.text(b',"values":')
        weaver.map(self.reported, self.values)
        if back:
            weaver.text(b',"gradients":')
            weaver.map(self.wrt, self.derivatives)
        if forth:
            weaver.text(b',"output_tangents":')
            weaver.map(outputs, self.derivatives)
            weaver.text(b',"node_tangents":')
            weaver.map(self.reported, self.derivatives)
        if self.verb in MODES:
            weaver.text(b',"mode":"%b"' % MODES[self.verb])
        weaver.text(b',"graph_id":"%b","warnings":[]}' % digest.encode())
        return weaver.finish()


def named_none() -> Ints:
    """No nodes."""
    return np.zeros(0, np.int32)


def _numbers(values: Sequence[Any]) -> Floats | None:
    """Plain finite numbers as doubles; None if one is anything else."""
    if not all(type(v) is float or type(v) is int for v in values):
        return None
    try:
        found = np.array([float(v) for v in values])
    except OverflowError:
        return None
    return found if np.isfinite(found).all() else None
