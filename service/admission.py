"""Who computes, when, and for how long.

Small work runs at once, on the event loop: a hop to a thread would cost more. Everything else goes to a bounded pool of
threads; when all are busy and the queue is full, the request is refused at once (503 with `Retry-After`), so that the
requests that were admitted stay fast. A running computation looks between its steps whether its deadline has passed or
its client has gone.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import math
import threading
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import numpy as np
from starlette.requests import ClientDisconnect
from starlette.types import Receive

from engine.errors import DeadlineExceeded
from engine.execute.meter import Cancelled, Meter
from service.problems import Problem, problem

T = TypeVar("T")

INLINE_BYTES = 4096
"""Largest body that is read on the event loop."""

INLINE_SECONDS = 0.001
"""Longest predicted time of what is computed on the event loop."""

GRACE = 0.05
"""Seconds after the deadline in which a computation may notice by itself, which gives the better message."""


class Ticket:
    """One request's permission to compute: until the deadline, and while somebody waits for the answer."""

    __slots__ = ("_gone", "deadline", "seconds")

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.deadline = time.monotonic() + seconds
        self._gone = False

    def next(self) -> Ticket:
        """For another job of the same request, until the same deadline: a ticket is good for one."""
        other = Ticket(self.seconds)
        other.deadline = self.deadline
        return other

    def cancel(self) -> None:
        """Nobody waits any more."""
        self._gone = True

    def meter(self) -> Meter:
        """What the engine asks between two steps."""
        return Meter(self.deadline, lambda: self._gone)

    def check(self) -> None:
        """Raise `DeadlineExceeded` or `Cancelled` if it is time to stop."""
        self.meter().look()


class Admission:
    """The pool of threads, and the count of those who wait for one."""

    def __init__(self, threads: int, queue: int) -> None:
        self.threads = threads
        self.places = threads + queue
        self.admitted = 0
        self.typical = 0.1
        """Seconds that a job has taken of late."""
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="compute")
        self._lock = threading.Lock()

    async def run(self, job: Callable[[], T], ticket: Ticket, receive: Receive) -> T:
        """The result of `job`, computed in a thread.

        Raises what the job raises; `Problem` (overloaded) without starting it; `DeadlineExceeded` at the deadline at
        the latest; `ClientDisconnect` when the client goes, which also stops the job."""
        if self.admitted >= self.places:
            raise self.overloaded()
        self.admitted += 1
        context = contextvars.copy_context()
        future = self._pool.submit(context.run, self._run, job, ticket)
        # A job that outlives its request still holds its place: it still holds its thread.
        loop = asyncio.get_running_loop()
        future.add_done_callback(lambda _: self._release_from(loop))
        wrapped = asyncio.wrap_future(future)
        watcher = asyncio.create_task(_gone(receive))
        try:
            await asyncio.wait(
                (wrapped, watcher),
                timeout=max(0.0, ticket.deadline - time.monotonic()) + GRACE,
                return_when=asyncio.FIRST_COMPLETED,
            )
            if wrapped.done():
                return wrapped.result()
            if watcher.done():
                raise ClientDisconnect
            raise out_of_time(ticket)
        except Cancelled:
            raise ClientDisconnect from None
        finally:
            ticket.cancel()
            watcher.cancel()
            if not wrapped.done():
                future.cancel()
                wrapped.add_done_callback(_forget)
            # An error's traceback has this frame, which would have the error: a circle that keeps all that the job's
            # frames hold, a large body for one, until the collector comes by.
            del wrapped, future

    def _run(self, job: Callable[[], T], ticket: Ticket) -> T:
        ticket.check()
        start = time.monotonic()
        try:
            with np.errstate(all="ignore"):
                return job()
        finally:
            taken = time.monotonic() - start
            with self._lock:
                self.typical += 0.1 * (taken - self.typical)

    def _release_from(self, loop: asyncio.AbstractEventLoop) -> None:
        with contextlib.suppress(RuntimeError):  # the server has stopped while the thread was still at it
            loop.call_soon_threadsafe(self._release)

    def _release(self) -> None:
        self.admitted -= 1

    def overloaded(self) -> Problem:
        """The refusal, with an estimate of when it is worth coming back."""
        wait = min(60, max(1, math.ceil(self.typical * self.places / self.threads / 2)))
        return problem(
            "overloaded",
            f"The server has {self.places} computations under way or waiting and takes no more. Try again in {wait} s.",
            headers={"Retry-After": str(wait)},
        )

    def close(self) -> None:
        """Take nothing more; what waits is dropped, what runs ends by itself."""
        self._pool.shutdown(wait=False, cancel_futures=True)


async def unless_gone(work: Coroutine[Any, Any, T], receive: Receive) -> T:
    """The result of something that can be cancelled, which it is when the client goes (`ClientDisconnect`)."""
    task = asyncio.create_task(work)
    watcher = asyncio.create_task(_gone(receive))
    try:
        await asyncio.wait((task, watcher), return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise ClientDisconnect
        return task.result()
    finally:
        watcher.cancel()
        if task.cancel():
            await asyncio.wait((task,))


def out_of_time(ticket: Ticket) -> DeadlineExceeded:
    """The error for a computation that did not end in time."""
    return DeadlineExceeded(f"The computation was stopped after the {ticket.seconds:g} s that it was given.")


async def _gone(receive: Receive) -> None:
    """Wait until the client goes. (The body has been read to its end before.)"""
    while (await receive())["type"] != "http.disconnect":
        pass


def _forget(future: asyncio.Future[T]) -> None:
    """Look at a result that nobody wants, so that asyncio does not complain about an error in it."""
    if not future.cancelled():
        future.exception()
