"""Routes about the server itself: catalogue, limits, health, documentation, pages."""

from __future__ import annotations

from typing import Any

import orjson
from fastapi import FastAPI, Request, Response

from service import limits, media, pages
from service.catalogue import catalogue, find
from service.openapi import describe_get
from service.problems import problem
from service.schemas import LimitsDocument, OpDocument, OpsDocument, StatusDocument
from service.work import Services

SHUTTING_DOWN = "5"
"""Seconds after which another server will have taken over, by and large."""


def _json(request: Request, content: Any) -> Response:
    chosen = media.choose(request.headers, (media.JSON,))
    return Response(orjson.dumps(content), media_type=chosen)


async def ops(request: Request) -> Response:
    """`GET /v1/ops`."""
    return _json(request, {"ops": list(catalogue().values())})


async def op(request: Request) -> Response:
    """`GET /v1/ops/{name}`."""
    return _json(request, find(request.path_params["name"]))


async def show_limits(request: Request) -> Response:
    """`GET /v1/limits`."""
    services: Services = request.app.state.services
    return _json(request, limits.published(services.settings))


async def healthz() -> Response:
    """`GET /healthz`: the process is up."""
    return Response(b'{"status":"ok"}', media_type=media.JSON, headers={"Cache-Control": "no-store"})


async def readyz(request: Request) -> Response:
    """`GET /readyz`: the server takes work."""
    if request.app.state.draining:
        raise problem("overloaded", "The server is shutting down.", headers={"Retry-After": SHUTTING_DOWN})
    services: Services = request.app.state.services
    # A server that cannot get at its registry still computes, so it stays in service, but says so.
    body = b'{"status":"ready"}' if services.store.available else b'{"status":"ready","store":"unavailable"}'
    return Response(body, media_type=media.JSON, headers={"Cache-Control": "no-store"})


async def openapi(request: Request) -> Response:
    """`GET /openapi.json`."""
    documents: dict[str, bytes] = request.app.state.documents
    root = _root(request)
    if root not in documents:
        servers = [{"url": root or "/", "description": "This server"}]
        documents[root] = orjson.dumps({**request.app.openapi(), "servers": servers})
    return Response(documents[root], media_type=media.JSON)


async def landing(request: Request) -> Response:
    """`GET /`."""
    return pages.landing(_root(request))


async def docs(request: Request) -> Response:
    """`GET /docs`."""
    return pages.docs(_root(request))


async def problem_list(request: Request) -> Response:
    """`GET /problems`."""
    return pages.problem_list(_root(request))


async def problem_page(request: Request) -> Response:
    """`GET /problems/{name}`."""
    return pages.problem_page(request.path_params["name"], _root(request))


async def static(request: Request) -> Response:
    """`GET /static/{name}`."""
    return pages.static(request.path_params["name"])


def _root(request: Request) -> str:
    root: str = request.scope.get("root_path", "")
    return root.rstrip("/")


def add_routes(app: FastAPI) -> None:
    """Add the routes."""
    add = app.add_api_route
    add(
        "/v1/ops", ops, methods=["GET"], **describe_get("ops", "The op catalogue", OpsDocument, errors=(406,))
    )
    add(
        "/v1/ops/{name}",
        op,
        methods=["GET"],
        **describe_get(
            "op", "One op, by name or alias", OpDocument, errors=(404, 406), path_parameters=("name",)
        ),
    )
    add(
        "/v1/limits",
        show_limits,
        methods=["GET"],
        **describe_get("limits", "Limits", LimitsDocument, errors=(406,)),
    )
    add("/healthz", healthz, methods=["GET"], **describe_get("healthz", "The process is up", StatusDocument))
    add(
        "/readyz",
        readyz,
        methods=["GET"],
        **describe_get("readyz", "The server takes work", StatusDocument, errors=(503,)),
    )
    for path, endpoint in (
        ("/openapi.json", openapi),
        ("/", landing),
        ("/docs", docs),
        ("/problems", problem_list),
        ("/problems/{name}", problem_page),
        ("/static/{name}", static),
    ):
        add(
            path,
            endpoint,
            methods=["GET"],
            include_in_schema=False,
            response_class=Response,
            response_model=None,
        )
