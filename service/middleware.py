"""What happens around every request, whatever its route: pure ASGI, outermost first.

`Context`    request id, headers of every answer, HEAD, errors to problem documents, the access log
`Hosts`      no answers to names that are not this server's (DNS rebinding)
`BodyLimit`  no body over the limit, none that is compressed
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
import re
import time
from collections.abc import Sequence
from random import getrandbits

from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from engine.errors import EngineError
from service import __version__, problems
from service.head import Head, head_of
from service.logs import AccessLog
from service.problems import Problem, problem

errors = logging.getLogger("wengert.error")

REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,128}")
HEALTH = frozenset({"/healthz", "/readyz"})

CONTENT_POLICY = b"content-security-policy"
COMMON_HEADERS: list[tuple[bytes, bytes]] = [
    (b"wengert-version", __version__.encode()),
    (b"x-content-type-options", b"nosniff"),
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

LINGER_S = 2.0
"""Seconds for which the rest of a body is read after an answer that did not wait for it."""

MOST_KNOWN = 256
"""Hosts that are remembered; clients name the few that a server has, others may name any number."""

CLIENT_CLOSED = 499
"""What the access log says where the client went before it had an answer (nginx's number)."""


class Context:
    """The outermost layer: every request leaves it with an answer, and every answer with its headers."""

    def __init__(self, app: ASGIApp, *, access_log: bool = True) -> None:
        self.app = app
        self.log = AccessLog() if access_log else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        start = time.perf_counter()
        head = head_of(scope)
        request_id = _request_id(head)
        scope.setdefault("state", {})["request_id"] = request_id.decode()
        bodyless = scope["method"] == "HEAD"
        if bodyless:
            scope = dict(scope, method="GET", asked_by="HEAD")
        status = 0
        unread = _has_body(head)
        rest_follows = False

        async def read() -> Message:
            nonlocal unread
            message = await receive()
            if not message.get("more_body", False):
                unread = False
            return message

        async def answer(message: Message) -> None:
            nonlocal status, rest_follows
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = [*message.get("headers", ()), (b"x-request-id", request_id), *COMMON_HEADERS]
                if CONTENT_POLICY not in dict(headers):
                    headers.append(CLOSED_POLICY)
                rest_follows = unread
                if rest_follows or scope["app"].state.draining:
                    headers.append((b"connection", b"close"))
                message["headers"] = headers
            else:
                if bodyless:
                    message = {**message, "body": b""}
                if rest_follows and not message.get("more_body", False):
                    await send({**message, "more_body": True})
                    await _drop_rest(read)
                    message = {"type": "http.response.body", "body": b""}
            await send(message)

        try:
            await self.app(scope, read, answer)
        except ClientDisconnect:
            status = CLIENT_CLOSED
        except (Problem, EngineError) as error:
            if status:
                raise
            response = problems.respond(error, problems.instance_of(scope))
            await response(scope, receive, answer)
        except MemoryError:
            errors.exception(
                "out of memory", extra={"request_id": request_id.decode(), "path": scope["path"][:200]}
            )
            if status:
                raise
            full = problem(
                "overloaded", "The server is out of memory. Try again later.", headers={"Retry-After": "5"}
            )
            await problems.respond(full, problems.instance_of(scope))(scope, receive, answer)
        except Exception:
            errors.exception("bug", extra={"request_id": request_id.decode(), "path": scope["path"][:200]})
            if status:
                raise
            body = problems.internal(problems.instance_of(scope), request_id.decode())
            await Response(body, 500, media_type=problems.MEDIA_TYPE)(scope, receive, answer)
        finally:
            if self.log is not None:
                self.log.write(
                    request_id.decode(),
                    scope.get("asked_by", scope["method"]),
                    scope["path"][:200],
                    status,
                    time.perf_counter() - start,
                    (scope.get("client") or ("",))[0],
                )


def _request_id(head: Head) -> bytes:
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


class Hosts:
    """Refuses requests whose `Host` is not a name of this server.

    A page elsewhere can let its own name point to 127.0.0.1 and so be of the same origin as a server on this machine.
    It cannot make the browser send another Host than its own name. So what arrives over the loopback interface must
    name the loopback, or a name that was configured; if names were configured, so must everything else (but health
    checks, which come by address)."""

    def __init__(self, app: ASGIApp, *, allowed: Sequence[str] = (), own: str = "") -> None:
        self.app = app
        self.open = "*" in allowed
        self.exact = {name for name in allowed if not name.startswith("*")} | (
            {own.lower().strip("[]")} - {""}
        )
        self.below = tuple(name[1:] for name in allowed if name.startswith("*."))
        self.configured = bool(allowed)
        self.known: set[tuple[str, bytes]] = set()
        """Pairs of server address and Host that were found to be fine."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and not self.open and not self._fine(scope):
            raise problem(
                "forbidden",
                "This server does not answer under this Host. Names of this machine do (localhost, 127.0.0.1, [::1]); "
                "others must be named in WENGERT_ALLOWED_HOSTS.",
            )
        await self.app(scope, receive, send)

    def _fine(self, scope: Scope) -> bool:
        server = scope.get("server")
        host = head_of(scope).get(b"host")
        address = "" if server is None else str(server[0])
        if (address, host) in self.known:
            return True
        local = server is not None and _loopback(address)
        if not local and (not self.configured or scope["path"] in HEALTH):
            return True
        if host is None:
            return True  # HTTP/1.0, no browser
        name = _name(host.decode("latin-1"))
        fine = _loopback(name) or name in self.exact or name.endswith(self.below)
        if fine and len(self.known) < MOST_KNOWN and len(host) < 256:
            self.known.add((address, host))
        return fine


def _name(host: str) -> str:
    """The name in a Host header, without port and brackets, in lower case."""
    if host.startswith("["):
        return host[1:].partition("]")[0].lower()
    return host.partition(":")[0].rstrip(".").lower()


def _loopback(name: str) -> bool:
    if name in ("127.0.0.1", "localhost", "::1") or name.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return False
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (mapped or address).is_loopback


class BodyLimit:
    """Refuses bodies over the limit before they are read, or while they are where their length was not told."""

    def __init__(self, app: ASGIApp, *, most: int) -> None:
        self.app = app
        self.most = most

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] in ("GET", "HEAD", "OPTIONS"):
            await self.app(scope, receive, send)
            return
        head = head_of(scope)
        coding = head.get(b"content-encoding", b"").strip().lower()
        if coding not in (b"", b"identity"):
            raise problem(
                "unsupported-media-type",
                f"The body was sent with Content-Encoding {coding.decode('latin-1')[:40]!r}; it must be sent as it is.",
                headers={"Accept-Encoding": "identity"},
            )
        length = head.get(b"content-length", b"")
        if length.isdigit():
            if int(length[:20]) > self.most:
                raise self._too_large(int(length[:20]))
            await self.app(scope, receive, send)
            return
        read = 0

        async def counted() -> Message:
            nonlocal read
            message = await receive()
            read += len(message.get("body", b""))
            if read > self.most:
                raise self._too_large(read)
            return message

        await self.app(scope, counted, send)

    def _too_large(self, actual: int) -> Problem:
        return problem(
            "limit-exceeded",
            f"The body has {actual:,} bytes or more; the limit is {self.most:,}.",
            limit=("body_bytes", self.most, actual),
        )
