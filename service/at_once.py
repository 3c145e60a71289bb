"""Small requests for verbs, answered at once: from the bytes of a request to those of its answer in one plain call.

A small gradient takes less time than a task of the event loop, a chain of middleware and their messages. So a request that is
in every respect an ordinary one, and predicted to be answered well within a millisecond, takes this road (`protocol.py`
asks). Whatever is unusual about it, what is wrong with it above all, is left to the application, which begins again from the
start: no error is written here. So both roads give the same answer, or this one gives none.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from starlette.types import Scope

from engine.derive.ready import ready
from service import arrays, media
from service.admission import INLINE_BYTES, INLINE_SECONDS, Ticket
from service.exchange import COMMON_LINES, request_id_of
from service.head import head_of
from service.json_body import read_object
from service.logs import AccessLog
from service.readings import Like
from service.routes.verbs import PLAINLY_JSON, Verb, endpoint_at
from service.work import Work

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
        if type(verb) is not Verb or scope["method"] != "POST" or len(data) > INLINE_BYTES:
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
        lines = b"content-length: %d\r\n%bx-request-id: %b\r\n%b\r\n" % (
            len(body),
            verb.lines,
            request_id,
            COMMON_LINES,
        )
        if self.log is not None:
            client = (scope.get("client") or ("",))[0]
            taken = time.perf_counter() - start
            self.log.write(request_id.decode(), "POST", scope["path"], 200, taken, client)
        return 200, lines, body


def _answer(verb: Verb, data: bytes) -> bytes | None:
    """The body of the answer, if the request is in order and small."""
    services = verb.services
    try:
        with np.errstate(all="ignore"):
            body = read_object(data, memory_bytes=services.settings.memory_bytes)
            known = services.readings.known(verb.verb, body, verb.ref)
            if known is not None and known.ready is not None:
                numbers = known.numbers(body)
                answer = None if numbers is None else known.ready(numbers)
                if answer is not None:
                    return arrays.encode(answer, known.envelope.form, small=True)
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
            work.add_timing()
            if known is not None and not known.tried and work.job is not None and _same(known, work):
                known.ready = ready(work.job)
                known.tried = True
    except Exception:  # not for this road: the application meets it again, and says or logs what it is
        return None
    return work.body


def _same(known: Like, work: Work) -> bool:
    """Whether a request was read to what is known of those like it: a name may mean another program since."""
    envelope = work.envelope
    return (
        envelope.request.program is known.envelope.request.program
        and envelope.signature == known.envelope.signature
    )
