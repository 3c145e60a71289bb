"""HTTP below the application: uvicorn's protocol, with what a server on the open network needs besides.

- A request must arrive in time: its head within `receive_timeout_s`, its body at least at `SLOWEST` bytes a second
  after that. Slower senders get a 408 and are closed; slow answers and large uploads that flow are left alone.
- A head is at most `HEAD_BYTES` long.
- What is no HTTP gets a problem document, too.
- A connection that is just sending a request is not closed by a shutdown, but answered.
- A small request can be answered at once (`at_once.py`); an answer that comes in one piece is written in one piece. Of a
  request with the head of an earlier one, the head is not taken apart again.
"""

from __future__ import annotations

import asyncio
import uuid
from asyncio.events import TimerHandle
from collections.abc import Hashable
from functools import partial
from typing import Any, ClassVar

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from service import __version__, problems
from service.at_once import LONGEST_HEAD, AtOnce, KnownHead
from service.exchange import WRITE, lines
from service.head import head_of
from service.problems import problem
from service.skeletons import LONGEST

SLOWEST = 16 * 1024
"""Bytes of a body that must arrive each second, on the average, once `receive_timeout_s` is over."""

HEAD_BYTES = 64 * 1024
"""Longest request line and headers; what arrives in one piece (256 KiB at most) is not counted."""

KNOWN_HEADS = 4
"""Heads that are remembered of one connection."""

CHANCES = 64
"""Requests of one connection whose heads are looked at for that: where each is another one, it is of no use."""

FIRST_REQUEST_S = 0.5
"""Seconds that a new connection is given at a shutdown to send what is on its way."""


class Protocol(HttpToolsProtocol):
    """One connection. It has one timer, set again only when it fires, so that a request costs next to nothing."""

    receive_timeout_s: ClassVar[float] = 10.0
    at_once: ClassVar[AtOnce | None] = None
    """Both are set once for the process, before it serves (`cli.application`)."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.begun: float | None = None
        """When the request that is arriving began (or the connection, before its first); None between requests."""
        self.in_head = True
        self.head_bytes = 0
        self.body_bytes = 0
        self.silent = True
        """Nothing has arrived yet."""
        self.first = True
        """No request has arrived yet."""
        self.closing = False
        self.timer: TimerHandle | None = None
        self.fresh = False
        """The data that is being read has begun a request; of those in one piece of data, the first can be answered at once."""
        self.held: tuple[RequestResponseCycle, Any] | None = None
        """A request that the application has not been given yet: all of it may be there in a moment."""
        self.heads: list[KnownHead] = []
        """Heads of requests that were answered at once on this connection, the latest first."""
        self.waiting: tuple[KnownHead, bytes, int, Hashable] | None = None
        """Such a head, the data that it is, and the length and the program's mark of the request, whose body is to come."""
        self.head_data = b""
        """The head of the request that is held, if it came by itself."""
        self.learns = False
        """A request was answered at once in the data that is being read."""
        self.chances = CHANCES
        self.answered = 0.0
        """When the last request with a known head was answered."""

    # -- connection

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the clock: also a connection that says nothing is closed."""
        super().connection_made(transport)
        self.begun = self.loop.time()
        self.timer = self.loop.call_later(self.receive_timeout_s, self._look)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the clock."""
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None
        if self.waiting is not None:
            _, begin, _, _ = self.waiting
            self.waiting = self.begun = None
            self._take(begin)
        super().connection_lost(exc)
        if self.held is not None:
            self._start_held()  # it finds that there is nobody, and the log says so

    def shutdown(self) -> None:
        """As uvicorn does, but let a request that is arriving arrive, and a new connection send its first."""
        if self.begun is not None and (self.first or self.cycle.response_complete):
            self.closing = True
            if self.silent:
                self.loop.call_later(FIRST_REQUEST_S, self._close_if_silent)
        else:
            super().shutdown()

    def _close_if_silent(self) -> None:
        if self.silent:
            self.transport.close()

    # -- a request arrives

    def data_received(self, data: bytes) -> None:
        """What is like a request before is answered so; the rest is taken apart."""
        if not self.heads or not self._answered_again(data):
            self._take(data)

    def _take(self, data: bytes) -> None:
        """Have data taken apart. Refuse heads without end."""
        whole = self.begun is None or self.silent
        head, self.head_data = self.head_data, b""
        self.silent = False
        self.fresh = self.at_once is not None
        super().data_received(data)
        self.fresh = False
        if self.held is not None:
            if not self._short(self.held[0]):
                self._start_held()
            elif whole and len(data) <= LONGEST_HEAD:
                self.head_data = data
        elif self.learns:
            self.learns = False
            if self.chances and (whole or head):
                self._learn(head + data)
        if self.in_head and self.begun is not None:
            self.head_bytes += len(data)
            if self.head_bytes > HEAD_BYTES and not self.transport.is_closing():
                detail = f"The head of a request has {HEAD_BYTES:,} bytes at most."
                self._refuse(431, problems.plain(431, "Request Header Fields Too Large", detail))

    def on_message_begin(self) -> None:
        """The first bytes of a request are there."""
        super().on_message_begin()
        self.begun = self.loop.time()
        self.head_bytes = self.body_bytes = 0
        if self.timer is None:
            self.timer = self.loop.call_later(self.receive_timeout_s, self._look)

    def on_headers_complete(self) -> None:
        """The head is there."""
        self.in_head = False
        super().on_headers_complete()
        self.first = False
        if self.closing:
            self.cycle.keep_alive = False

    def on_body(self, body: bytes) -> None:
        """A part of the body is there."""
        self.body_bytes += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        """All of it is there."""
        self.begun = None
        self.in_head = True
        super().on_message_complete()
        if self.held is not None and not self._answered_at_once(self.held[0]):
            self._start_held()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        """Give a request to the application, but for one that can be answered without, once all of it is there."""
        if self.fresh:
            self.fresh = False
            self.held = (cycle, app)
            return
        scope: dict[str, Any] = cycle.scope  # type: ignore[assignment]  # a TypedDict
        scope[WRITE] = partial(write_at_once, cycle)
        super()._start_asgi_task(cycle, app)

    def _start_held(self) -> None:
        assert self.held is not None
        (cycle, app), self.held = self.held, None
        self.fresh = False
        self._start_asgi_task(cycle, app)

    def _short(self, cycle: RequestResponseCycle) -> bool:
        """Whether it is worth waiting for the rest of a body: of a length that was told, and is short. (Many clients send
        the body behind the head.)"""
        length = head_of(cycle.scope).get(b"content-length", b"")  # type: ignore[arg-type]  # a TypedDict
        return (
            length.isdigit() and len(length) < 8 and int(length) <= LONGEST and not self.expect_100_continue
        )

    def _answered_at_once(self, cycle: RequestResponseCycle) -> bool:
        assert self.at_once is not None
        if not _simple(cycle):
            return False
        scope: dict[str, Any] = cycle.scope  # type: ignore[assignment]  # a TypedDict
        answer = self.at_once(scope, bytes(cycle.body))
        if answer is None or not write_at_once(cycle, *answer):
            return False
        self.held = None
        self.learns = True
        return True

    # -- a request like one before

    def _learn(self, data: bytes) -> None:
        """Remember the head of the request that was answered just now, if it is all of `data`, which begins with one."""
        assert self.at_once is not None
        self.chances -= 1
        head = self.at_once.head(self.cycle.scope, data)  # type: ignore[arg-type]  # a TypedDict
        if head is not None and self.limit_concurrency is None:
            self.heads = [head, *self.heads[: KNOWN_HEADS - 1]]

    def _answered_again(self, data: bytes) -> bool:
        """Whether `data` could be answered without being taken apart: a request whose head is known, or the body of one.

        Between two requests the parser is as it was at first, so it can do without some of them."""
        if self.waiting is not None:
            head, begin, length, mark = self.waiting
            self.waiting = self.begun = None
            if len(data) != length or self.closing or not self._write_again(head, data, mark):
                self._take(begin)
                self._take(data)
            return True
        cycle = self.cycle
        if (
            self.begun is not None
            or not cycle.response_complete
            or not cycle.keep_alive
            or self.pipeline
            or self.flow.write_paused
        ):
            return False
        for head in self.heads:
            found = head.split(data)
            if found is None:
                continue
            begin_of_body, length = found
            if len(data) == begin_of_body + length:
                return self._write_again(head, data[begin_of_body:])
            if len(data) == begin_of_body and length <= LONGEST:
                self._wait(head, data, length)
                return True
            return False
        return False

    def _wait(self, head: KnownHead, data: bytes, length: int) -> None:
        """For a body of that length behind a head that is known."""
        assert self.at_once is not None
        self.begun = self.loop.time()
        if self.timer is None:
            self.timer = self.loop.call_later(self.receive_timeout_s, self._look)
        self.waiting = (head, data, length, self.at_once.mark(head))

    def _write_again(self, head: KnownHead, body: bytes, mark: Hashable = None) -> bool:
        """Answer a request with a known head, if that can be."""
        assert self.at_once is not None
        answer = self.at_once.again(head, body, self.server_state.default_headers, mark)
        if answer is None:
            return False
        self.transport.write(answer)
        self.server_state.total_requests += 1
        self.answered = self.loop.time()
        return True

    def timeout_keep_alive_handler(self) -> None:
        """Close what was idle for too long: since the last request that the timer was set for, or a later one."""
        now = self.loop.time()
        left = (
            self.timeout_keep_alive
            if self.waiting is not None
            else self.answered + self.timeout_keep_alive - now
        )
        if left > 0:
            self.timeout_keep_alive_task = self.loop.call_later(left, self.timeout_keep_alive_handler)
        else:
            super().timeout_keep_alive_handler()

    # -- it does not arrive

    def _look(self) -> None:
        """The timer has fired: is a request late?"""
        self.timer = None
        if self.begun is None or self.transport.is_closing():
            return
        now = self.loop.time()
        due = self.begun + self.receive_timeout_s + (0.0 if self.in_head else self.body_bytes / SLOWEST)
        if self.flow.read_paused:
            due = now + 1.0  # it is not the client who keeps us waiting
        if due > now:
            self.timer = self.loop.call_later(due - now, self._look)
        elif self.silent:
            self.transport.close()
        else:
            detail = (
                f"The request did not arrive within {self.receive_timeout_s:g} s (a body gets a second more for each "
                f"{SLOWEST:,} bytes)."
            )
            late = problem("timeout", detail, status=408)
            self._refuse(
                late.status,
                problems.encode(late, problems.instance_of(self.scope) if not self.in_head else "/"),
            )

    def send_400_response(self, msg: str) -> None:
        """Not HTTP."""
        self._refuse(400, problems.plain(400, "Bad Request", msg))

    def _refuse(self, status: int, body: bytes) -> None:
        """Answer below the application, unless it has begun to answer, and close."""
        arriving = self.cycle if not self.in_head and not self.cycle.response_complete else None
        if arriving is None or not arriving.response_started:
            state = {} if arriving is None else arriving.scope["state"]
            head = [
                STATUS_LINE[status],
                *(b"%b: %b\r\n" % header for header in self.server_state.default_headers),
                b"content-type: %b\r\n" % problems.MEDIA_TYPE.encode(),
                b"content-length: %d\r\n" % len(body),
                b"wengert-version: %b\r\n" % __version__.encode(),
                b"x-request-id: %b\r\n" % (state.get("request_id") or uuid.uuid4().hex).encode(),
                b"connection: close\r\n\r\n",
            ]
            self.transport.write(b"".join(head) + body)
        if arriving is not None:
            arriving.disconnected = True  # the application sees that there is nobody to answer
            arriving.message_event.set()
        self.transport.close()


def write_at_once(cycle: RequestResponseCycle, status: int, head: bytes, body: bytes) -> bool:
    """Write an answer whole, as `RequestResponseCycle.send` would its two messages; False where that is not as simple.

    `head` has all header lines, Content-Length among them, and the empty line."""
    if not _simple(cycle):
        return False
    cycle.response_started = True
    cycle.waiting_for_100_continue = False
    cycle.transport.write(b"".join((STATUS_LINE[status], lines(cycle.default_headers), head, body)))
    cycle.response_complete = True
    cycle.message_event.set()
    cycle.on_response()
    return True


def _simple(cycle: RequestResponseCycle) -> bool:
    """Whether an answer can be written at once."""
    return (
        cycle.keep_alive
        and not cycle.response_started
        and not cycle.disconnected
        and not cycle.flow.write_paused
    )
