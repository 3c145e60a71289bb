"""`POST /v1/render`: the program as a drawing."""

from __future__ import annotations

from fastapi import FastAPI, Request, Response

from service import examples, media
from service.head import head_of
from service.openapi import Operation, describe_operation
from service.problems import problem
from service.routes.verbs import needs_json, ticket
from service.transfer import whole_body
from service.work import RenderWork, Services, perform

OPERATION = Operation(
    "A drawing of the program",
    "A box for each value, an ellipse for each op. With `inputs` the boxes show values and gradients, else the "
    "structure alone. `dot` works on every server; `svg` and `png` are drawn by Graphviz.",
    None,
    tuple(media.DRAWINGS.values()),
    errors=(501,),
)


async def render(request: Request) -> Response:
    """The endpoint."""
    services: Services = request.app.state.services
    offered = tuple(media.DRAWINGS.values())
    media.choose(request.headers, offered)  # refuses early what no format could satisfy
    head = head_of(request.scope)
    ref = request.path_params.get("ref")
    if needs_json(head, ref):
        media.check_json(request.headers)
    work = RenderWork(services, "render", await whole_body(request.receive), ticket(head, services), ref=ref)
    await perform(work, request.receive)
    form = work.envelope.fields.format
    if form is None:
        form = next((f for f, kind in media.DRAWINGS.items() if media.named(request.headers, kind)), "dot")
    kind = media.DRAWINGS[form]
    if media.choose(request.headers, (kind,)) != kind:
        raise problem(
            "not-acceptable", f"The drawing would be {kind}, which the header Accept does not allow."
        )
    body = work.body if form == "dot" else await work.graphviz(work.body.decode(), form, request.receive)
    return Response(body, media_type=kind, headers={"Vary": "Accept"})


def add_routes(app: FastAPI) -> None:
    """Add the routes."""
    app.add_api_route(
        "/v1/render",
        render,
        methods=["POST"],
        name="render",
        response_model=None,
        **describe_operation("render", OPERATION, examples.of("render")),
    )
