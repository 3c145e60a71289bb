"""One request and its answer, as they pass the outermost layer (`middleware.Context`)."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Callable
from random import getrandbits
from typing import TypeAlias

from starlette.types import Message, Receive, Scope, Send

from service import __version__
from service.head import Head, head_of
from service.problems import Problem

REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,128}")

LINGER_S = 2.0
"""Seconds for which the rest of a body is read after an answer that did not wait for it."""

Header: TypeAlias = tuple[bytes, bytes]

CONTENT_POLICY = b"content-security-policy"
DATA_HEADERS: list[Header] = [
    (b"wengert-version", __version__.encode()),
    (b"x-content-type-options", b"nosniff"),
]
"""What every answer has. It is all that an answer in JSON to a POST in JSON has, which no browser shows as a page, or takes
from another origin: each header takes a client in Python longer to read than a small gradient takes to compute."""

COMMON_HEADERS: list[Header] = [
    *DATA_HEADERS,
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"DENY"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
]
CLOSED_POLICY = (
    CONTENT_POLICY,
    b"default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; sandbox",
)
"""For what is no page: should a browser show it (an SVG drawing, say), it can load and run nothing."""

WRITE = "wengert.write"
"""Where the scope has a `Write`, if the server below offers it (`protocol.py`)."""

Write: TypeAlias = Callable[[int, bytes, bytes], bool]
"""Writes status, header lines and body at once, or does nothing and returns False."""


def lines(headers: list[Header]) -> bytes:
    """Headers as they go over the wire."""
    return b"".join([b"%b: %b\r\n" % header for header in headers])


COMMON_LINES = lines([*COMMON_HEADERS, CLOSED_POLICY])
DATA_LINES = lines(DATA_HEADERS)

JSON_TYPE: Header = (b"content-type", b"application/json")


class Exchange:
    """Receives the request, and sends the answer with the headers that every answer has.

    An answer that comes in one piece is written in one piece, where the server below can do that: its checks of every
    header and its two messages cost as much as a small gradient does."""

    __slots__ = (
        "_held",
        "_receive",
        "_rest_follows",
        "_send",
        "_unread",
        "_write",
        "bodyless",
        "request_id",
        "scope",
        "status",
    )

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        head = head_of(scope)
        self.scope = scope
        self.request_id = request_id_of(head)
        self.bodyless = scope["method"] == "HEAD"
        self.status = 0
        """Status of the answer, 0 as long as there is none."""
        self._receive = receive
        self._send = send
        self._unread = _has_body(head)
        self._rest_follows = False
        self._write: Write | None = scope.pop(WRITE, None)
        self._held: Message | None = None
        """The start of an answer whose body must follow at once, since its length was told."""

    async def receive(self) -> Message:
        """The request's next message."""
        message = await self._receive()
        if not message.get("more_body", False):
            self._unread = False
        return message

    async def send(self, message: Message) -> None:
        """Pass on a message of the answer."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self._rest_follows = self._unread
            close = self._rest_follows or self.scope["app"].state.draining
            headers = message["headers"] = list(message.get("headers", ()))
            if self._write and not close and not self.bodyless and b"content-length" in dict(headers):
                self._held = message
                return
            self._complete(headers)
            if close:
                headers.append((b"connection", b"close"))
            await self._send(message)
            return
        if self._held is not None:
            start, self._held = self._held, None
            if not message.get("more_body", False) and self._written(start, message.get("body", b"")):
                return
            self._complete(start["headers"])
            await self._send(start)
        if self.bodyless:
            message = {**message, "body": b""}
        if self._rest_follows and not message.get("more_body", False):
            await self._send({**message, "more_body": True})
            await _drop_rest(self.receive)
            message = {"type": "http.response.body", "body": b""}
        await self._send(message)

    def _complete(self, headers: list[Header]) -> None:
        """Add what every answer has."""
        headers.append((b"x-request-id", self.request_id))
        if self._is_data(headers):
            headers += DATA_HEADERS
            return
        headers += COMMON_HEADERS
        if CONTENT_POLICY not in dict(headers):
            headers.append(CLOSED_POLICY)

    def _is_data(self, headers: list[Header]) -> bool:
        """Whether this is an answer in JSON to a POST."""
        return self.status in (200, 201) and self.scope["method"] == "POST" and JSON_TYPE in headers

    def _written(self, start: Message, body: bytes) -> bool:
        """Whether the whole answer could be written at once."""
        headers = start["headers"]
        own = lines(headers)
        n = len(headers)
        if CONTENT_POLICY in own or own.count(b"\n") != n or own.count(b"\r") != n or b"\0" in own:
            return False  # a page, or what the server's own checks will refuse
        assert self._write is not None
        common = DATA_LINES if self._is_data(headers) else COMMON_LINES
        head = b"%bx-request-id: %b\r\n%b\r\n" % (own, self.request_id, common)
        return self._write(start["status"], head, body)


def request_id_of(head: Head) -> bytes:
    """The caller's id of the request, if it has one that can be logged and sent back; else a new one."""
    given = head.get(b"x-request-id")
    if given is not None and REQUEST_ID.fullmatch(given):
        return given
    return b"%032x" % getrandbits(128)  # to tell requests apart; nobody trusts in it


def _has_body(head: Head) -> bool:
    """Whether a body follows the head of the request."""
    return head.get(b"content-length", b"0") != b"0" or b"transfer-encoding" in head


async def _drop_rest(receive: Receive) -> None:
    """Read what is left of a body after it was answered, for a moment.

    To close at once, with data that nobody has read, would reset the connection, and the client, still sending, would
    lose the answer.
    """
    with contextlib.suppress(TimeoutError, Problem):
        async with asyncio.timeout(LINGER_S):
            while (await receive()).get("more_body", False):
                pass
