"""`POST /v1/{verb}`: the verbs."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Mapping, Sequence

from fastapi import FastAPI, Request, Response
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from service import examples, learn, media
from service.admission import Ticket
from service.events import EventsResponse
from service.exchange import lines
from service.head import Head, head_of
from service.openapi import Operation, describe_operation
from service.problems import problem
from service.schemas import (
    EvaluateAnswer,
    GradAnswer,
    HessianAnswer,
    HvpAnswer,
    JacobianAnswer,
    JvpAnswer,
    ParseAnswer,
    TaylorAnswer,
    VjpAnswer,
)
from service.transfer import PiecesResponse, whole_body
from service.work import ParseWork, Services, Work, perform

OPERATIONS: dict[str, Operation] = {
    "evaluate": Operation(
        "Values of a program",
        "Computes the program and reports the values of its nodes.",
        EvaluateAnswer,
    ),
    "grad": Operation(
        "Value and gradient",
        "The derivative of one node with respect to every other, through every path. `gradients[n]` is ∂of/∂n in n's "
        "shape. An output that is no scalar needs a `seed`.",
        GradAnswer,
    ),
    "jvp": Operation(
        "Jacobian-vector product",
        "Forward mode: how all nodes change when the nodes in `tangents` change so.",
        JvpAnswer,
    ),
    "vjp": Operation(
        "Vector-Jacobian product",
        "Reverse mode: the gradient of Σ cotangent · output.",
        VjpAnswer,
    ),
    "jacobian": Operation(
        "All first derivatives",
        "`jacobian[out][in]` has the shape out.shape + in.shape. In reverse or forward mode, whichever is less work.",
        JacobianAnswer,
    ),
    "hessian": Operation(
        "All second derivatives",
        "`hessian[a][b]` has the shape a.shape + b.shape.",
        HessianAnswer,
    ),
    "hvp": Operation(
        "Hessian-vector product",
        "`hvp[a]` is Σ_b H[a][b]·vector[b], without computing H.",
        HvpAnswer,
    ),
    "taylor": Operation(
        "Taylor coefficients along a direction",
        "of(inputs + t·direction) = Σ cₖ tᵏ: all derivatives along a line up to `order`, in one sweep of series arithmetic.",
        TaylorAnswer,
    ),
    "parse": Operation(
        "A program, looked at",
        "Reads a program and shows its graph, formulas, cost and shapes. Runs nothing.",
        ParseAnswer,
    ),
    **learn.OPERATIONS,
}
"""What the documentation says about each verb, and in which media types besides JSON it answers."""


def ticket(head: Head, services: Services) -> Ticket:
    """Permission to compute until the server's deadline, or a shorter one that the client asks for."""
    seconds = services.settings.timeout_s
    asked = head.get(b"x-request-timeout")
    if asked is not None:
        try:
            wanted = float(asked[:40])
        except ValueError:
            wanted = math.nan
        if not 0 < wanted < math.inf:
            raise problem(
                "invalid-field", "The header X-Request-Timeout must be a positive number of seconds."
            )
        seconds = min(seconds, wanted)
    return Ticket(seconds)


def needs_json(head: Head, ref: str | None) -> bool:
    """Whether a body must be declared to be JSON: always, but where the path names the program there may be no body."""
    return ref is None or (
        b"content-type" in head or b"transfer-encoding" in head or head.get(b"content-length", b"0") != b"0"
    )


WORK: dict[str, type[Work]] = {"parse": ParseWork, **learn.WORK}
"""What answers a verb, where it is not the general one."""


class Verb:
    """The endpoint of a verb: pure ASGI, past FastAPI's routing (`app.Application`).

    `ref` is the id or name of the program where the path says it."""

    def __init__(self, verb: str, offered: Sequence[str], services: Services) -> None:
        self.verb = verb
        self.offered = offered
        self.services = services
        self.ref: str | None = None
        self.kind = WORK.get(verb, Work)
        self.headers = [(b"content-type", b"application/json")]
        """Headers of an answer in JSON."""
        if len(offered) > 1:
            self.headers.append((b"vary", b"Accept"))
        self.lines = lines(self.headers)

    def of(self, ref: str) -> Verb:
        """The same verb of a registered program."""
        other = object.__new__(Verb)
        vars(other).update(vars(self), ref=ref)
        return other

    async def work(self, scope: Scope, receive: Receive) -> Work:
        """The request, answered; one that asks for events only taken. Raises `Problem`, `EngineError`, `ClientDisconnect`."""
        head = head_of(scope)
        chosen = media.JSON
        if head.get(b"accept", b"*/*") not in PLAINLY_JSON or len(head) < len(scope["headers"]):
            chosen = media.choose(Headers(scope=scope), self.offered)
        if head.get(b"content-type") != b"application/json" and needs_json(head, self.ref):
            media.check_json(Headers(scope=scope))
        # The work alone has the body, and drops it when it is read.
        work = self.kind(
            self.services,
            self.verb,
            await whole_body(receive),
            ticket(head, self.services),
            chosen,
            self.ref,
        )
        if chosen != media.EVENTS:
            await perform(work, receive)
        return work

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer the request."""
        work = await self.work(scope, receive)
        if work.media == media.EVENTS:
            await EventsResponse(work)(scope, receive, send)
        elif work.begin:
            await in_pieces(work, self.offered)(scope, receive, send)
        elif work.media == media.JSON:
            headers = [(b"content-length", b"%d" % len(work.body)), *self.headers]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await send({"type": "http.response.body", "body": work.body})
        else:
            await Response(work.body, media_type=work.media, headers={"Vary": "Accept"})(scope, receive, send)


PLAINLY_JSON = frozenset({b"*/*", b"application/json"})
"""Values of Accept under which every verb answers in JSON."""


def in_pieces(work: Work, offered: Sequence[str]) -> Response:
    """The response for a long answer."""
    headers = {"Vary": "Accept"} if len(offered) > 1 else None
    return PiecesResponse([*work.begin, work.body], media_type=work.media, headers=headers)


def endpoint(verb: Verb) -> Callable[[Request], Awaitable[Response]]:
    """The verb as FastAPI has it, for the documentation and for paths that are unusually written."""

    async def answer(request: Request) -> Response:
        ref = request.path_params.get("ref")
        asked = verb if ref is None else verb.of(ref)
        work = await asked.work(request.scope, request.receive)
        if work.media == media.EVENTS:
            return EventsResponse(work)
        if work.begin:
            return in_pieces(work, asked.offered)
        headers = {"Vary": "Accept"} if len(verb.offered) > 1 else None
        return Response(work.body, media_type=work.media, headers=headers)

    return answer


GRAPHS = "/v1/graphs/"


def endpoint_at(path: str, endpoints: Mapping[str, ASGIApp]) -> ASGIApp | None:
    """The endpoint at a path: one that stands there, or a verb of a registered program (`/v1/graphs/{ref}/{verb}`)."""
    found = endpoints.get(path)
    if found is None and path.startswith(GRAPHS):
        ref, _, name = path[len(GRAPHS) :].partition("/")
        verb = endpoints.get(f"/v1/{name}")
        return verb.of(ref) if isinstance(verb, Verb) and ref else None
    return found


def add_routes(app: FastAPI) -> None:
    """Add the routes."""
    for verb, operation in OPERATIONS.items():
        made = Verb(verb, (media.JSON, *operation.also), app.state.services)
        app.state.shortcuts[f"/v1/{verb}"] = made
        app.add_api_route(
            f"/v1/{verb}",
            endpoint(made),
            methods=["POST"],
            name=verb,
            response_model=None,
            **describe_operation(verb, operation, examples.of(verb)),
        )


__all__ = ["OPERATIONS", "PLAINLY_JSON", "Verb", "add_routes", "endpoint", "needs_json", "ticket"]
