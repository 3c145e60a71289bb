"""The life of a server process: what is set once at its start, and how it ends."""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import FrameType

import orjson
from fastapi import FastAPI

from service import examples
from service.admission import Ticket
from service.catalogue import catalogue
from service.work import ParseWork, Services, Work

logger = logging.getLogger("wengert")


def warm_up(services: Services) -> None:
    """Load what is loaded on first use (the grammar, the catalogue), so that no first request waits."""
    catalogue()
    for verb in ("parse", "grad"):
        example = examples.of(verb)[0].body
        kind = ParseWork if verb == "parse" else Work
        kind(services, verb, orjson.dumps(example), Ticket(60.0)).all()


@asynccontextmanager
async def process(app: FastAPI) -> AsyncIterator[None]:
    """For a process that does nothing but serve: the garbage collector's thresholds, and the drain at SIGTERM.

    Half of the time that reading a large graph takes would go to the collector, which looks in vain through objects
    that live as long as the process or die by reference count."""
    warm_up(app.state.services)
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    with _Drain(app, app.state.services.settings.shutdown_delay_s):
        yield


class _Drain:
    """Puts a pause between SIGTERM and the end of accepting.

    In the pause `/readyz` says 503, so that a load balancer sends no more, and every answer says `Connection: close`,
    so that clients with open connections go elsewhere; new requests are still answered. Then uvicorn's own handler
    goes on: it stops to accept and waits for what is under way. A second signal skips the pause."""

    def __init__(self, app: FastAPI, delay: float) -> None:
        self.app = app
        self.delay = delay
        self.loop = asyncio.get_running_loop()
        self.original: dict[int, object] = {}

    def __enter__(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            self.original[number] = signal.signal(number, self._handle)

    def __exit__(self, *_: object) -> None:
        for number, handler in self.original.items():
            if signal.getsignal(number) == self._handle:
                signal.signal(number, handler)  # type: ignore[arg-type]  # what signal.signal returned

    def _handle(self, number: int, frame: FrameType | None) -> None:
        skip = self.app.state.draining or number == signal.SIGINT or not self.delay
        self.app.state.draining = True
        if skip:
            self._go_on(number)
        else:
            self.loop.call_soon_threadsafe(self._wait, number)

    def _wait(self, number: int) -> None:
        logger.info("draining")
        self.loop.call_later(self.delay, self._go_on, number)

    def _go_on(self, number: int) -> None:
        handler = self.original[number]
        if callable(handler):
            handler(number, None)
