"""`POST /v1/{verb}`: the verbs that answer with JSON (and `trace`, which can answer with Markdown)."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Sequence

from fastapi import FastAPI, Request, Response
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope, Send

from service import examples, media
from service.admission import Ticket
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
    TraceAnswer,
    VjpAnswer,
)
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
    "trace": Operation(
        "Both walks, step by step",
        "The evaluation trace as one writes it by hand: values, local partial derivatives, adjoints and what each step "
        "adds to them. `Accept: text/markdown` gives tables.",
        TraceAnswer,
        (media.MARKDOWN,),
    ),
    "parse": Operation(
        "A program, looked at",
        "Reads a program and shows its graph, formulas, cost and shapes. Runs nothing.",
        ParseAnswer,
    ),
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


class Verb:
    """The endpoint of a verb: pure ASGI, past FastAPI's routing (`app.Application`)."""

    def __init__(self, verb: str, offered: Sequence[str], services: Services) -> None:
        self.verb = verb
        self.offered = offered
        self.services = services
        self.kind = ParseWork if verb == "parse" else Work

    async def work(self, scope: Scope, receive: Receive) -> Work:
        """The request, answered. Raises `Problem`, `EngineError`, `ClientDisconnect`."""
        head = head_of(scope)
        chosen = media.JSON
        if head.get(b"accept", b"*/*") not in _PLAINLY_JSON or len(head) < len(scope["headers"]):
            chosen = media.choose(Headers(scope=scope), self.offered)
        if head.get(b"content-type") != b"application/json":
            media.check_json(Headers(scope=scope))
        data = await read_body(receive)
        work = self.kind(self.services, self.verb, data, ticket(head, self.services), chosen)
        await perform(work, receive)
        return work

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer the request."""
        work = await self.work(scope, receive)
        if len(self.offered) == 1:
            headers = [(b"content-length", b"%d" % len(work.body)), _JSON_TYPE]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await send({"type": "http.response.body", "body": work.body})
        else:
            await Response(work.body, media_type=work.media, headers={"Vary": "Accept"})(scope, receive, send)


_PLAINLY_JSON = frozenset({b"*/*", b"application/json"})
_JSON_TYPE = (b"content-type", b"application/json")


async def read_body(receive: Receive) -> bytes:
    """The whole body. Raises `ClientDisconnect`."""
    pieces: list[bytes] = []
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        piece = message.get("body", b"")
        if not message.get("more_body", False):
            return b"".join((*pieces, piece)) if pieces else piece
        pieces.append(piece)


def endpoint(verb: Verb) -> Callable[[Request], Awaitable[Response]]:
    """The verb as FastAPI has it, for the documentation and for paths that are unusually written."""

    async def answer(request: Request) -> Response:
        work = await verb.work(request.scope, request.receive)
        headers = {"Vary": "Accept"} if len(verb.offered) > 1 else None
        return Response(work.body, media_type=work.media, headers=headers)

    return answer


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


__all__ = ["OPERATIONS", "add_routes", "ticket"]
