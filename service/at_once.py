"""Small requests for verbs, answered at once: from the bytes of a request to those of its answer in one plain call.

A small gradient takes less time than a task of the event loop, a chain of middleware and their messages. So a request that is
in every respect an ordinary one, and predicted to be answered well within a millisecond, takes this road (`protocol.py`
asks). Whatever is unusual about it, what is wrong with it above all, is left to the application, which begins again from the
start: no error is written here. So both roads give the same answer, or this one gives none.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Hashable, Mapping
from random import getrandbits
from typing import Any

import numpy as np
from starlette.types import Scope

from service import media
from service.admission import INLINE_BYTES, INLINE_SECONDS, Ticket
from service.exchange import DATA_LINES, Header, lines, request_id_of
from service.head import Head, head_of
from service.logs import AccessLog
from service.routes.verbs import PLAINLY_JSON, Verb, endpoint_at
from service.skeletons import LONGEST
from service.store.interface import StoreError

_LEFT = frozenset(
    {
        b"content-encoding",
        b"expect",
        b"transfer-encoding",
        b"x-forwarded-for",
        b"x-forwarded-proto",
        b"x-request-timeout",
    }
)
"""Headers with a meaning that is left to the application (and to the proxy middleware around it)."""

_PERSONAL = frozenset({b"upgrade", b"x-request-id"})
"""Headers for which a head is looked at each time."""

_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*([0-9]+)(?=[ \t]*\r\n)", re.IGNORECASE)

_STATUS = b"HTTP/1.1 200 OK\r\n"

LONGEST_HEAD = 4096
"""Longest head, in bytes, that is kept for the requests to come."""


class KnownHead:
    """The head of a request that was answered at once. One that is equal but for the number of bytes that follow means the
    same, so it need not be taken apart again."""

    __slots__ = ("_after", "_before", "_begin", "_default", "logged", "verb")

    def __init__(self, verb: Verb, before: bytes, after: bytes, logged: tuple[str, bytes, bytes]) -> None:
        self.verb = verb
        self.logged = logged
        """The path, and what stands around the time in the log (`AccessLog.around`)."""
        self._before = before
        self._after = after
        self._default: list[Header] | None = None
        self._begin = b""

    def split(self, data: bytes) -> tuple[int, int] | None:
        """Where the body begins in data that begins with this head, and how long it is; None if it is another head."""
        before, after = self._before, self._after
        if not data.startswith(before):
            return None
        end = data.find(b"\r\n\r\n", len(before)) + 4
        stop = end - len(after)
        digits = data[len(before) : stop] if stop > len(before) else b""
        if not digits.isdigit() or len(digits) > 9 or not data.startswith(after, stop):
            return None
        return end, int(digits)

    def begin(self, default: list[Header]) -> bytes:
        """The beginning of an answer with the server's default headers (a new list when they have changed)."""
        if default is not self._default:
            self._default = default
            self._begin = b"".join((_STATUS, lines(default), self.verb.lines, DATA_LINES))
        return self._begin


class AtOnce:
    """The short road. Called from the event loop; never waits."""

    def __init__(
        self,
        verbs: Mapping[str, Any],
        fine: Callable[[Scope], bool],
        draining: Callable[[], bool],
        log: AccessLog | None,
    ) -> None:
        self.verbs = verbs
        """Endpoints by path; those of class `Verb` are answered."""
        self.fine = fine
        """Whether the request's Host is a name of this server."""
        self.draining = draining
        self.log = log

    def __call__(self, scope: Scope, data: bytes) -> tuple[int, bytes, bytes] | None:
        """Status, header lines and body of the answer to a request with this body; None where it is not for this road."""
        start = time.perf_counter()
        verb = endpoint_at(scope["path"], self.verbs)
        if type(verb) is not Verb or scope["method"] != "POST" or len(data) > LONGEST:
            return None
        head = head_of(scope)
        if (
            head.get(b"content-type") != b"application/json"
            or head.get(b"accept", b"*/*") not in PLAINLY_JSON
            or len(head) != len(scope["headers"])
            or not _LEFT.isdisjoint(head)
            or scope["root_path"]
            or self.draining()
            or not self.fine(scope)
        ):
            return None
        body = _answer(verb, data)
        if body is None:
            return None
        request_id = request_id_of(head)
        found = b"content-length: %d\r\n%bx-request-id: %b\r\n%b\r\n" % (
            len(body),
            verb.lines,
            request_id,
            DATA_LINES,
        )
        if self.log is not None:
            client = (scope.get("client") or ("",))[0]
            taken = time.perf_counter() - start
            self.log.write(request_id.decode(), "POST", scope["path"], 200, taken, client)
        return 200, found, body

    def head(self, scope: Scope, data: bytes) -> KnownHead | None:
        """The head of a request that was just answered, and is all of `data`, for those to come on this connection."""
        verb = endpoint_at(scope["path"], self.verbs)
        parsed: Head = head_of(scope)
        end = data.find(b"\r\n\r\n") + 4
        found = _LENGTH.findall(data[: end - 2])
        if (
            not isinstance(verb, Verb)
            or end > LONGEST_HEAD
            or len(found) != 1
            or not _PERSONAL.isdisjoint(parsed)
            or parsed.get(b"connection", b"keep-alive").lower() != b"keep-alive"
        ):
            return None
        match = _LENGTH.search(data)
        if match is None or match[1] != parsed.get(b"content-length") or int(match[1]) != len(data) - end:
            return None
        client = (scope.get("client") or ("",))[0]
        logged = (scope["path"], *AccessLog.around("POST", scope["path"], 200, client))
        return KnownHead(verb, data[: match.start(1)], data[match.end(1) : end], logged)

    def mark(self, known: KnownHead) -> Hashable:
        """What the program that the path names is now (`Programs.mark`), for a request that has begun to arrive."""
        verb = known.verb
        if verb.ref is None:
            return None
        try:
            return verb.services.programs.mark(verb.ref)
        except StoreError:
            return None

    def again(
        self, known: KnownHead, body: bytes, default: list[Header], mark: Hashable = None
    ) -> bytes | None:
        """The whole answer to a request with a head that is known; None where it has to be looked at. `mark` is that of the
        program, if it was looked up since the request began to arrive."""
        start = time.perf_counter()
        verb = known.verb
        if self.draining():
            return None
        try:
            answer = verb.services.skeletons.answer(verb.verb, verb.ref, body, mark)
        except Exception:
            return None  # as below
        if answer is None:
            return None
        request_id = b"%032x" % getrandbits(128)
        if self.log is not None:
            self.log.write_around(request_id, known.logged, time.perf_counter() - start)
        return b"%bx-request-id: %b\r\ncontent-length: %d\r\n\r\n%b" % (
            known.begin(default), request_id, len(answer), answer,
        )  # fmt: skip


def _answer(verb: Verb, data: bytes) -> bytes | None:
    """The body of the answer, if the request is in order and small."""
    services = verb.services
    try:
        body = services.skeletons.answer(verb.verb, verb.ref, data)
        if body is not None or len(data) > INLINE_BYTES:
            return body
        with np.errstate(all="ignore"):
            permit = Ticket(services.settings.timeout_s)
            work = verb.kind(services, verb.verb, data, permit, media.JSON, verb.ref)
            work.read(wait=False)
            if work.large or "svg" in work.envelope.include:
                return None
            work.plan()
            if work.seconds > INLINE_SECONDS:
                return None
            work.compute()
            if work.unwritten:
                return None
            work.write()
            work.learn()
            work.add_timing()
    except Exception:  # not for this road: the application meets it again, and says or logs what it is
        return None
    return work.body
