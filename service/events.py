"""Answers as streams of server-sent events (WHATWG HTML, 9.2): each step of a long computation as it is done, then its result.

    event: iteration        event: result              or    event: problem
    data: {…}               data: the whole answer           data: the problem document
    id: 17

The computation reports from its thread, and never waits: what the client is too slow for is merged, so that it sees each
iteration when it is fast, the latest when it is not, and gaps in the ids between them. What is wrong before the first event is
an ordinary problem document with its status.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from fastapi.sse import format_sse_event
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from service import arrays
from service.media import EVENTS
from service.middleware import respond_to
from service.work import Work, perform

KEEP_ALIVE_S = 10.0
"""Seconds of silence after which a comment says that the computation goes on."""

MOST_EVENTS = 1000
MOST_BYTES = 1 << 20
"""How many events may wait for the client, and how many bytes of them (one event may be longer)."""

HEADERS = [
    (b"content-type", EVENTS.encode()),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),
    (b"vary", b"Accept"),
]
"""Of a stream; a proxy (nginx's header) is to pass on each event at once."""


class Waiting:
    """Events between the thread that makes them and the event loop that sends them.

    Bounded: while there are as many as may wait, a new one takes the place of the last one."""

    def __init__(self, encode: Callable[[Mapping[str, Any]], bytes]) -> None:
        self._encode = encode
        self._loop = asyncio.get_running_loop()
        self._lock = threading.Lock()
        self._events: deque[bytes] = deque()
        self._nbytes = 0
        self._count = 0
        self.there = asyncio.Event()
        """Whether there are some; for the loop alone."""

    def report(self, fields: Mapping[str, Any]) -> None:
        """Take an iteration, from the computation's thread. What its arrays hold then is what is sent."""
        number = fields.get("iteration", self._count)
        self._count += 1
        event = format_sse_event(event="iteration", id=str(number), data_str=self._encode(fields).decode())
        with self._lock:
            first = not self._events
            if not first and (len(self._events) >= MOST_EVENTS or self._nbytes + len(event) > MOST_BYTES):
                self._nbytes -= len(self._events.pop())
            self._events.append(event)
            self._nbytes += len(event)
        if first:
            with contextlib.suppress(RuntimeError):  # the server has stopped while the thread was still at it
                self._loop.call_soon_threadsafe(self.there.set)

    def take(self) -> bytes:
        """All that are there."""
        with self._lock:
            taken = b"".join(self._events)
            self._events.clear()
            self._nbytes = 0
        self.there.clear()
        return taken


class EventsResponse(Response):
    """The answer of a work as a stream."""

    media_type = EVENTS

    def __init__(self, work: Work) -> None:
        super().__init__()
        self.work = work

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Compute and send it. Raises what goes wrong before the first event, and `ClientDisconnect`."""
        await _Stream(self.work, scope, send).run(receive)


class _Stream:
    """One answer on its way."""

    def __init__(self, work: Work, scope: Scope, send: Send) -> None:
        self.work = work
        self.scope = scope
        self.started = False
        self._send = send

    async def run(self, receive: Receive) -> None:
        work = self.work
        waiting = Waiting(lambda fields: arrays.encode(fields, work.envelope.form, small=True))
        work.report = waiting.report
        job = asyncio.create_task(perform(work, receive))
        try:
            await self._iterations(job, waiting)
            await self._end(job)
        finally:
            if job.cancel():
                await asyncio.wait((job,))
            if not job.cancelled():
                job.exception()  # looked at, if nobody else did

    async def _iterations(self, job: asyncio.Task[None], waiting: Waiting) -> None:
        """Send events until the job is done and there are no more."""
        while True:
            news = asyncio.create_task(waiting.there.wait())
            happened, _ = await asyncio.wait(
                (job, news), timeout=KEEP_ALIVE_S, return_when=asyncio.FIRST_COMPLETED
            )
            news.cancel()
            done = job.done()
            taken = waiting.take()
            if taken:
                await self._write(taken)
            elif done:
                return
            elif not happened:
                await self._write(b": still computing\n\n")

    async def _end(self, job: asyncio.Task[None]) -> None:
        """Send the result, or what went wrong."""
        try:
            job.result()
        except ClientDisconnect:
            raise
        except Exception as error:
            if not self.started:
                raise
            document = bytes(respond_to(error, self.scope).body)
            await self._write(format_sse_event(event="problem", data_str=document.decode()), last=True)
            return
        await self._write(b"event: result\ndata: ")
        for piece in self.work.begin:
            await self._write(piece)
        await self._write(self.work.body + b"\n\n", last=True)

    async def _write(self, data: bytes, *, last: bool = False) -> None:
        if not self.started:
            self.started = True
            await self._send({"type": "http.response.start", "status": 200, "headers": list(HEADERS)})
        await self._send({"type": "http.response.body", "body": data, "more_body": not last})
