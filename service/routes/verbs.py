"""`POST /v1/{verb}`: the verbs that answer with JSON (and `trace`, which can answer with Markdown)."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Sequence

from fastapi import FastAPI, Request, Response

from service import examples, media
from service.admission import Ticket
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


def ticket(request: Request, services: Services) -> Ticket:
    """Permission to compute until the server's deadline, or a shorter one that the client asks for."""
    seconds = services.settings.timeout_s
    asked = request.headers.get("x-request-timeout")
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


async def json_body(request: Request, *, needed: bool) -> bytes:
    """The body, which is declared to be JSON; where none is `needed`, it may be empty and undeclared."""
    if needed or media.has_body(request.headers):
        media.check_json(request.headers)
    return await request.body()


def verb_endpoint(verb: str, offered: Sequence[str]) -> Callable[[Request], Awaitable[Response]]:
    """The endpoint of a verb, for programs in the body and for one that the path names (`ref`)."""
    kind = ParseWork if verb == "parse" else Work

    async def endpoint(request: Request) -> Response:
        services: Services = request.app.state.services
        chosen = media.choose(request.headers, offered)
        ref = request.path_params.get("ref")
        data = await json_body(request, needed=ref is None)
        work = kind(services, verb, data, ticket(request, services), chosen, ref)
        await perform(work, request.receive)
        headers = {"Vary": "Accept"} if len(offered) > 1 else None
        return Response(work.body, media_type=chosen, headers=headers)

    return endpoint


def add_routes(app: FastAPI) -> None:
    """Add the routes."""
    for verb, operation in OPERATIONS.items():
        offered = (media.JSON, *operation.also)
        app.add_api_route(
            f"/v1/{verb}",
            verb_endpoint(verb, offered),
            methods=["POST"],
            name=verb,
            response_model=None,
            **describe_operation(verb, operation, examples.of(verb)),
        )


__all__ = ["OPERATIONS", "add_routes", "json_body", "ticket", "verb_endpoint"]
