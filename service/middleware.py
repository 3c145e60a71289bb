"""What happens around every request, whatever its route: pure ASGI, outermost first.

`Context`    request id, headers of every answer, HEAD, errors to problem documents, the access log
`Hosts`      no answers to names that are not this server's (DNS rebinding)
`BodyLimit`  no body over the limit, none that is compressed
"""

from __future__ import annotations

import ipaddress
import logging
import time
from collections.abc import Sequence

from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from engine.errors import EngineError
from service import problems
from service.exchange import Exchange
from service.head import head_of
from service.logs import AccessLog
from service.problems import Problem, problem

errors = logging.getLogger("wengert.error")

HEALTH = frozenset({"/healthz", "/readyz"})

MOST_KNOWN = 256
"""Hosts that are remembered; clients name the few that a server has, others may name any number."""

CLIENT_CLOSED = 499
"""What the access log says where the client went before it had an answer (nginx's number)."""


class Context:
    """The outermost layer: every request leaves it with an answer, and every answer with its headers."""

    def __init__(self, app: ASGIApp, *, log: AccessLog | None = None) -> None:
        self.app = app
        self.log = log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        start = time.perf_counter()
        exchange = Exchange(scope, receive, send)
        request_id = exchange.request_id.decode()
        scope.setdefault("state", {})["request_id"] = request_id
        if exchange.bodyless:
            scope = dict(scope, method="GET", asked_by="HEAD")
        try:
            await self.app(scope, exchange.receive, exchange.send)
        except ClientDisconnect:
            exchange.status = CLIENT_CLOSED
        except Exception as error:
            response = respond_to(error, scope)
            if exchange.status:
                raise
            await response(scope, receive, exchange.send)
        finally:
            if self.log is not None:
                self.log.write(
                    request_id,
                    scope.get("asked_by", scope["method"]),
                    scope["path"][:200],
                    exchange.status,
                    time.perf_counter() - start,
                    (scope.get("client") or ("",))[0],
                )


def respond_to(error: Exception, scope: Scope) -> Response:
    """The problem document for what went wrong. What is no mistake of the client's is logged."""
    instance = problems.instance_of(scope)
    request_id = scope["state"]["request_id"]
    if not isinstance(error, Problem | EngineError):
        what = "out of memory" if isinstance(error, MemoryError) else "bug"
        errors.exception(what, extra={"request_id": request_id, "path": scope["path"][:200]})
    if isinstance(error, Problem | EngineError):
        return problems.respond(error, instance)
    if isinstance(error, MemoryError):
        detail = "The server is out of memory. Try again later."
        return problems.respond(problem("overloaded", detail, headers={"Retry-After": "5"}), instance)
    return Response(problems.internal(instance, request_id), 500, media_type=problems.MEDIA_TYPE)


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
        if scope["type"] == "http" and not self.fine(scope):
            raise problem(
                "forbidden",
                "This server does not answer under this Host. Names of this machine do (localhost, 127.0.0.1, [::1]); "
                "others must be named in WENGERT_ALLOWED_HOSTS.",
            )
        await self.app(scope, receive, send)

    def fine(self, scope: Scope) -> bool:
        """Whether the request names this server."""
        if self.open:
            return True
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
