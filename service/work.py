"""One request for a verb, from bytes to bytes, in steps: read, plan, run, encode.

The steps know nothing of HTTP or threads. `perform` decides where they run: on the event loop while they are small,
in a thread of the pool from where they are not."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeAlias, cast

import numpy as np
import orjson
from starlette.types import Receive

from engine.aval import Aval, aval_of
from engine.cost import Limits
from engine.derive import MAPPED, Job, Plans, prepare
from engine.derive.named import as_dicts
from engine.describe import describe, known_types
from engine.errors import DeadlineExceeded, NonScalarOutput, NotDifferentiable, Unsupported, Where
from engine.execute.meter import Meter
from engine.render.dot import to_dot
from engine.specialize import integer_inputs, typed_array
from service import arrays, plain
from service.admission import INLINE_BYTES, INLINE_SECONDS, Admission, Ticket, out_of_time, unless_gone
from service.drawing import DrawingFailed, DrawingTimeout, DrawingUnavailable, draw
from service.envelope import Envelope
from service.json_body import read_object
from service.media import EVENTS, JSON
from service.problems import problem
from service.readings import Readings
from service.registered import Programs
from service.settings import Settings
from service.skeletons import LONGEST, Skeletons
from service.store import Store
from service.store.interface import WouldBlock

INLINE_STEPS = 100
"""Longest program that is planned on the event loop."""

SMALL_BYTES = 8 * arrays.LONG
"""Up to this memory of a computation its answer counts as small: no array in it is long."""


Report: TypeAlias = Callable[[Mapping[str, Any]], None]


class Reporting(Protocol):
    """A job that tells of each iteration: of a verb that answers with a stream of events, too.

    `report` is called from the computation's thread with the fields of the event, and has read them when it returns. It
    does not wait for the client, and raises nothing."""

    def run(self, meter: Meter, report: Report | None = None) -> dict[str, Any]:
        """The answer's fields."""


@dataclass(frozen=True, slots=True)
class Services:
    """What requests need from their server."""

    settings: Settings
    limits: Limits
    admission: Admission
    plans: Plans
    """Prepared jobs, kept for the requests to come."""
    readings: Readings
    skeletons: Skeletons
    """Requests that are known by their bytes."""
    store: Store
    programs: Programs
    """The registered ones."""
    storage: Admission
    """Threads for the store, so that it does not wait for computations, nor they for it."""


class Work:
    """A request for values or derivatives, and the base of the others."""

    def __init__(
        self,
        services: Services,
        verb: str,
        data: bytes | bytearray,
        ticket: Ticket,
        media: str = JSON,
        ref: str | None = None,
    ) -> None:
        self.services = services
        self.verb = verb
        self.ref = ref
        """Id or name of the program, where the path says it; then the body may be empty."""
        self.data = data if data or ref is None else b"{}"
        self.posted: bytes | bytearray = data if len(data) <= LONGEST else b""
        """A body that is short enough to be learned from (`skeletons.py`), also when it was read."""
        self.ticket = ticket
        self.meter = ticket.meter()
        self.media = media
        """Media type of the answer."""
        self.times: dict[str, float] = {}
        self.peak_bytes = 0
        self.seconds = 0.0
        """Predicted time of `finish`; known after `plan`."""
        self.envelope: Envelope
        self.job: Job | None = None
        self.answer: dict[str, Any] = {}
        self.encoding: arrays.Encoding | None = None
        self.begin: list[bytes] = []
        """A long answer's pieces but the last one, which is `body`."""
        self.body = b""
        self.dot: str | None = None
        self.report: Report | None = None
        """Takes the fields of each iteration as it is done, where the answer is a stream of them (`events.py`)."""

    # -- the steps

    def read(self, *, wait: bool = True) -> None:
        """Bytes to an envelope. Raises `Problem`; without `wait`, `WouldBlock` if a program has to be fetched first."""
        start = time.perf_counter()
        nbytes = len(self.data)
        body = read_object(
            self.data, memory_bytes=self.services.settings.memory_bytes, look=self.ticket.check
        )
        if wait:
            self.data = b""
        self.envelope = self.services.readings.read(self.verb, body, nbytes, ref=self.ref, wait=wait)
        self.times["parse_ms"] = _ms(start)
        if "svg" in self.envelope.include or "dot" in self.envelope.include:
            self.check_drawing()

    def plan(self) -> None:
        """Everything that is known before anything is computed. Raises `EngineError`."""
        start = time.perf_counter()
        self.make_plan()
        self.times["plan_ms"] = _ms(start)

    def finish(self) -> None:
        """The answer, and its bytes. Raises `EngineError`."""
        self.compute()
        self.write()

    def compute(self) -> None:
        """The answer, and its bytes but for long arrays. Raises `EngineError`."""
        start = time.perf_counter()
        self.run()
        self.times["run_ms"] = _ms(start)
        if self.envelope.include & {"svg", "dot"}:
            self.dot = self.make_dot()
            if "dot" in self.envelope.include:
                self.answer["dot"] = self.dot
        self.ticket.check()
        start = time.perf_counter()
        self.body = self.encode()
        self.times["encode_ms"] = _ms(start)

    @property
    def unwritten(self) -> bool:
        """Whether there are long arrays that `write` has to print."""
        return self.encoding is not None and bool(self.encoding.long)

    def write(self) -> None:
        """The bytes of long arrays, looking between pieces whether somebody still waits for them."""
        if self.encoding is not None and self.encoding.long:
            start = time.perf_counter()
            self.begin = self.encoding.pieces(self.ticket.check)
            self.body = self.begin.pop()
            self.times["encode_ms"] += _ms(start)
        self.encoding = None

    def rest(self) -> None:
        """All but reading."""
        self.meter.look()
        self.plan()
        self.finish()

    def all(self) -> None:
        """Everything."""
        if plain.answered(self):
            return
        self.read()
        self.rest()

    @property
    def large(self) -> bool:
        """Whether planning takes too long for the event loop: of a long program, or of a structure of nonzeros."""
        request = self.envelope.request
        return len(request.program.steps) > INLINE_STEPS or request.sparse

    # -- what they consist of

    def make_plan(self) -> None:
        """Ask the engine for a job."""
        self.job = self.prepare(self.verb)
        self.peak_bytes = self.job.cost.bytes
        self.seconds = self.job.seconds

    def prepare(self, verb: str) -> Job:
        """The engine's job for the request. Raises `EngineError`."""
        services = self.services
        return prepare(verb, self.envelope.request, services.limits, self.meter, services.plans)

    def run(self) -> None:
        """Run the job."""
        assert self.job is not None
        if self.report is None:
            found = self.job.run(self.meter)
        else:
            found = cast("Reporting", self.job).run(self.meter, self.report)
        self.answer = as_dicts(found)
        self.peak_bytes = self.job.peak_bytes

    def encode(self) -> bytes:
        """The answer as bytes; in `encoding` what `write` makes of them if there are long arrays."""
        small = self.peak_bytes < SMALL_BYTES
        self.encoding = arrays.Encoding(self.answer, self.envelope.form, small=small)
        return self.encoding.text

    def check_drawing(self) -> None:
        """Raise `Problem` for a program that is too large to be drawn."""
        nodes, most = len(self.envelope.request.program.steps), self.services.settings.render_nodes
        if nodes > most:
            raise problem(
                "limit-exceeded",
                f"The program has {nodes:,} nodes; drawings are made of at most {most:,}.",
                limit=("render_nodes", most, nodes),
            )

    def make_dot(self) -> str:
        """The program in Graphviz' language, with what the answer knows of its nodes."""
        return to_dot(
            self.envelope.request.program,
            values=self.answer.get("values"),
            gradients=self.answer.get("gradients"),
        )

    async def draw(self, receive: Receive) -> None:
        """Have the drawing made that `include` asks for."""
        if self.dot is not None and "svg" in self.envelope.include:
            svg = await self.graphviz(self.dot, "svg", receive)
            self.add("svg", svg.decode())

    async def graphviz(self, dot: str, form: Literal["svg", "png"], receive: Receive) -> bytes:
        """A drawing, made by Graphviz within the time that is left. Raises `Problem`."""
        left = min(self.services.settings.drawing_timeout_s, self.ticket.deadline - time.monotonic())
        try:
            return await unless_gone(draw(dot, form, timeout_s=max(left, 0.01)), receive)
        except DrawingUnavailable as error:
            raise problem("drawing-unavailable", error.detail) from None
        except DrawingTimeout as error:
            raise problem("timeout", error.detail) from None
        except DrawingFailed as error:
            raise problem("unsupported", error.detail) from None

    def learn(self) -> None:
        """Remember how the request was written, for the next like it."""
        if self.envelope.like is not None and not self.envelope.include:
            self.services.skeletons.learn(self)

    def add(self, name: str, value: Any) -> None:
        """One more field at the end of the encoded answer (tables have no place for it)."""
        if self.media not in (JSON, EVENTS):
            return
        self.body = b'%b,"%b":%b}' % (self.body[:-1], name.encode(), orjson.dumps(value))

    def add_timing(self) -> None:
        """What `include: ["timing"]` asks for."""
        if "timing" in self.envelope.include:
            times = {
                k: round(self.times.get(k, 0.0), 4) for k in ("parse_ms", "plan_ms", "run_ms", "encode_ms")
            }
            cached = self.job is not None and self.job.cached
            self.add("timing", {**times, "cached": cached, "peak_bytes": self.peak_bytes})


class ParseWork(Work):
    """A request to look at a program without running it."""

    def make_plan(self) -> None:
        """Nothing is computed, so there is nothing to plan."""
        refuse_in_axes(self.envelope)

    def run(self) -> None:
        """Describe the program; types of inputs are those of `signature`, else of the values given."""
        self.answer = describe(
            self.envelope.request.program, signature_of(self.envelope), self.services.limits
        )


class RenderWork(Work):
    """A request for a drawing."""

    def read(self, *, wait: bool = True) -> None:
        """As for other verbs."""
        super().read(wait=wait)
        refuse_in_axes(self.envelope)
        self.check_drawing()

    def make_plan(self) -> None:
        """Decide what the drawing shows, and so what has to be computed for it.

        Without `inputs` that is nothing, unless `show` asks for it (a graph's inputs may have defaults). By default
        gradients are shown where there are any: not of a node that is no scalar, and not of integers.
        """
        fields = self.envelope.fields
        self.show = fields.show
        if self.show is None and "inputs" not in fields.model_fields_set:
            self.show = []
        if self.show is not None and not {"values", "gradients"} & set(self.show):
            return
        verb = "grad" if self.show is None or "gradients" in self.show else "evaluate"
        try:
            self.job = self.prepare(verb)
        except (NonScalarOutput, NotDifferentiable):
            if self.show is not None:
                raise
            self.job = self.prepare("evaluate")
        self.peak_bytes = self.job.cost.bytes
        self.seconds = self.job.seconds

    def run(self) -> None:
        """Compute what is shown."""
        self.answer = {} if self.job is None else as_dicts(self.job.run(self.meter))

    def encode(self) -> bytes:
        """The drawing in Graphviz' language; `RenderWork.image` goes on from there."""
        self.dot = self.make_dot()
        return self.dot.encode()

    def make_dot(self) -> str:
        """With what `show` names."""
        fields, program = self.envelope.fields, self.envelope.request.program
        show = ("values", "gradients") if self.show is None else self.show
        shapes = None
        if "shapes" in show:
            shapes = known_types(program, signature_of(self.envelope), self.services.limits)
        return to_dot(
            program,
            values=self.answer.get("values"),
            gradients=self.answer.get("gradients"),
            shapes=shapes,
            direction=fields.direction,
            show=show,
        )

    async def draw(self, receive: Receive) -> None:
        """Nothing: the drawing is the answer itself."""


def signature_of(envelope: Envelope) -> Mapping[str, Aval]:
    """Types of inputs: as said in `signature`, else those of the values given."""
    request = envelope.request
    integer = {request.program.steps[i].id for i in integer_inputs(request.program)}
    given = {
        name: aval_of(typed_array(value, request.dtype, integer=name in integer))
        for name, value in request.inputs.items()
    }
    if request.dtype == "float64":
        return {**given, **envelope.signature}
    said = {name: Aval(a.shape, request.dtype) if a.floating else a for name, a in envelope.signature.items()}
    return {**given, **said}


def refuse_in_axes(envelope: Envelope) -> None:
    """Raise `Unsupported` if a verb that is not mapped is asked to be."""
    if envelope.request.in_axes and envelope.verb not in MAPPED:
        raise Unsupported(
            f"{envelope.verb} does not take in_axes; {', '.join(sorted(MAPPED))} do.",
            where=Where(pointer="/in_axes"),
        )


async def perform(work: Work, receive: Receive) -> None:
    """Do the work: on the event loop while it is small, in a thread as soon as it is not, or as it reports.

    Raises `Problem`, `EngineError`.
    """
    try:
        with np.errstate(all="ignore"):
            await _compute(work, receive)
    except DeadlineExceeded as error:
        raise out_of_time(work.ticket).at(error.node, error.where) from None
    await work.draw(receive)
    work.learn()
    work.add_timing()


async def _compute(work: Work, receive: Receive) -> None:
    admission = work.services.admission
    if len(work.data) > INLINE_BYTES or work.report is not None:
        await admission.run(work.all, work.ticket, receive)
        return
    try:
        work.read(wait=False)
    except WouldBlock:
        await admission.run(work.all, work.ticket, receive)
        return
    if work.large:
        await admission.run(work.rest, work.ticket, receive)
        return
    work.plan()
    if work.seconds > INLINE_SECONDS:
        await admission.run(work.finish, work.ticket, receive)
        return
    work.compute()
    if work.unwritten:
        await admission.run(work.write, work.ticket, receive)


def _ms(start: float) -> float:
    return (time.perf_counter() - start) * 1e3


__all__ = ["ParseWork", "RenderWork", "Report", "Reporting", "Services", "Work", "perform"]
