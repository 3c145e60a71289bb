"""The application: routes, middleware and state put together."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

from fastapi import FastAPI, Request, Response
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.routing import Match, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from engine.derive import Plans
from service import __version__, openapi, problems, schemas
from service.admission import Admission
from service.at_once import AtOnce
from service.envelope import REQUESTS
from service.limits import engine_limits
from service.logs import AccessLog
from service.middleware import BodyLimit, Context, Hosts
from service.problems import problem
from service.readings import Readings
from service.registered import Programs
from service.routes import operations, registry, render, verbs
from service.settings import Settings
from service.skeletons import Skeletons
from service.store import Store, make_store
from service.store.interface import StoreUnavailable
from service.work import Services

STORAGE_THREADS = 4
"""Threads that read and write registered programs."""

Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[None]]


class Application(FastAPI):
    """FastAPI, with a shorter way to the verbs.

    FastAPI describes the service and serves what is asked for now and then. Its own share of a request (telemetry, stacks
    of contexts, matching of routes, dependencies) costs several times what a small gradient does. So `POST` to a path in
    `state.shortcuts` goes to that endpoint through the same middleware, and through nothing else."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.shortcut: ASGIApp = self.to_endpoint
        self.at_once: AtOnce | None = None
        """A still shorter way, for servers that can take it."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request (or the lifespan)."""
        if scope["type"] == "http" and scope["method"] == "POST" and self._endpoint(scope) is not None:
            scope["app"] = self
            await self.shortcut(scope, receive, send)
        else:
            await super().__call__(scope, receive, send)

    def _endpoint(self, scope: Scope) -> ASGIApp | None:
        return verbs.endpoint_at(_path(scope), self.state.shortcuts)

    async def to_endpoint(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The end of the shortcut."""
        endpoint = self._endpoint(scope)
        assert endpoint is not None
        await endpoint(scope, receive, send)


def _path(scope: Scope) -> str:
    """The path below the prefix that the application is at."""
    path: str = scope["path"]
    root: str = scope.get("root_path", "")
    return path[len(root) :] if root and path.startswith(root + "/") else path


def create_app(settings: Settings | None = None, *, lifespan: Lifespan | None = None) -> Application:
    """The ASGI application. `lifespan` is entered while it serves, inside its own."""
    settings = settings or Settings()

    @asynccontextmanager
    async def serving(app: FastAPI) -> AsyncIterator[None]:
        opening = asyncio.get_running_loop().run_in_executor(None, _open, store)
        try:
            if lifespan is None:
                yield
            else:
                async with lifespan(app):
                    yield
        finally:
            services.admission.close()
            services.storage.close()
            await opening
            store.close()

    app = Application(
        title="Wengert",
        version=__version__,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
        lifespan=serving,
    )
    store = make_store(settings)
    programs = Programs(store, settings)
    services = Services(
        settings,
        engine_limits(settings),
        Admission(settings.threads, settings.queue),
        Plans(settings.plans_bytes),
        Readings(settings, programs=programs),
        Skeletons(programs, settings.body_bytes),
        store,
        programs,
        Admission(STORAGE_THREADS, settings.queue),
    )
    app.state.services = services
    app.state.draining = False
    app.state.documents = {}
    app.state.shortcuts = {}
    for part in (verbs, render, registry, operations):
        part.add_routes(app)
    log = AccessLog() if settings.access_log else None
    for kind, options in (  # the last one is the outermost
        (BodyLimit, {"most": settings.body_bytes}),
        (Hosts, {"allowed": settings.allowed_hosts, "own": settings.host}),
        (Context, {"log": log}),
    ):
        app.add_middleware(kind, **options)
        app.shortcut = kind(app.shortcut, **options)
    hosts = Hosts(app, allowed=settings.allowed_hosts, own=settings.host)
    app.at_once = AtOnce(app.state.shortcuts, hosts.fine, lambda: app.state.draining, log)
    app.add_exception_handler(HTTPException, _http_error)
    app.openapi = lambda: openapi.build(app, _models())  # type: ignore[method-assign]
    return app


def _open(store: Store) -> None:
    """Open the store, beside all else: without it the server still computes. What is wrong stands in the log."""
    with contextlib.suppress(StoreUnavailable):
        store.open()


async def _http_error(request: Request, error: Exception) -> Response:
    """The router's own errors: no such path, or not with this method."""
    assert isinstance(error, HTTPException)
    instance = problems.instance_of(request.scope)
    if error.status_code == 405:
        allowed = _allowed(request)
        if request.method == "OPTIONS":
            return Response(status_code=204, headers={"Allow": allowed})
        detail = f"{request.method[:20]} does not work here; {allowed} do."
        return problems.respond(problem("method-not-allowed", detail, headers={"Allow": allowed}), instance)
    if error.status_code == 404:
        detail = "There is nothing at this path; GET /docs shows what there is."
        return problems.respond(problem("not-found", detail), instance)
    body = problems.plain(error.status_code, "Error", str(error.detail)[:200], instance)
    return Response(body, error.status_code, headers=error.headers, media_type=problems.MEDIA_TYPE)


def _allowed(request: Request) -> str:
    """The methods that the path has, for the header Allow."""
    methods = {"OPTIONS"}
    scope = dict(request.scope)
    for route in request.app.routes:
        if isinstance(route, Route) and route.matches(scope)[0] is not Match.NONE:
            methods |= route.methods or set()
    if "GET" in methods:
        methods.add("HEAD")
    return ", ".join(sorted(methods))


def _models() -> list[type[BaseModel]]:
    """The models that the OpenAPI document refers to."""
    answers = [o.answer for o in verbs.OPERATIONS.values() if o.answer is not None]
    own: list[type[BaseModel]] = [
        schemas.RegisterRequest,
        schemas.ProgramRecord,
        schemas.ProgramDocument,
        schemas.ProgramPage,
        schemas.OpDocument,
        schemas.OpsDocument,
        schemas.LimitsDocument,
        schemas.StatusDocument,
    ]
    return [*REQUESTS.values(), *answers, *own]
