"""`/v1/graphs`: programs by id or name, registered, shown, listed, removed, and asked for values and derivatives."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

from fastapi import FastAPI, Request, Response

from service import examples, media, records
from service.head import head_of
from service.openapi import describe_operation, describe_registry
from service.problems import Problem, problem
from service.registered import unknown
from service.registration import Registration, guarded
from service.routes import render, verbs
from service.routes.verbs import ticket
from service.schemas import ProgramDocument, ProgramPage, ProgramRecord
from service.store.interface import Record, is_digest
from service.work import Services

T = TypeVar("T")

PAGE = 50
"""Records on a page, if nothing else is asked for."""

MAX_PAGE = 1000

PAGE_BYTES = 8 << 20
"""A page ends early rather than being larger."""

MAX_PREFIX = 128
ONNX = ("application/onnx", "application/x-onnx")

KEEP = "private, max-age=86400, immutable"
"""For programs by id: what an id means never changes. (Names and a removal may be seen a day late by who keeps answers.)"""

REVALIDATE = "private, no-cache"
"""For programs by name: it may be bound to another one at any time."""


async def _with_store(request: Request, job: Callable[[], T]) -> T:
    """What a job with the store gives, in a thread of its own kind. Raises `Problem`."""
    services: Services = request.app.state.services
    return await services.storage.run(
        lambda: guarded(job), ticket(head_of(request.scope), services), request.receive
    )


def _queried(request: Request, *known: str) -> Mapping[str, str]:
    """The query parameters. Raises `Problem` for those that are unknown or stand there twice."""
    found: dict[str, str] = {}
    for name, value in request.query_params.multi_items():
        if name not in known:
            shown = f"there are {', '.join(known)}" if known else "there are none"
            raise problem("unknown-field", f"There is no query parameter {name[:80]!r} here; {shown}.")
        if name in found:
            raise problem("invalid-field", f"The query parameter `{name}` stands there twice.")
        found[name] = value
    return found


def _unknown(services: Services, ref: str) -> Problem:
    return Problem([unknown(ref, services.programs.near(ref))])


# ------------------------------------------------------------------------------------------------------------ routes


async def register(request: Request) -> Response:
    """`POST /v1/graphs`."""
    services: Services = request.app.state.services
    _queried(request)
    chosen = media.choose(request.headers, (media.JSON,))
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind in ONNX:
        raise problem(
            "unsupported-media-type",
            "ONNX models cannot be imported yet; register the program as text or as a JSON graph, sent as application/json.",
            headers={"Accept-Post": media.JSON},
        )
    media.check_json(request.headers)
    permit = ticket(head_of(request.scope), services)
    registration = Registration(services, await request.body())
    await services.admission.run(registration.read, permit, request.receive)
    record, created = await services.storage.run(registration.write, permit.next(), request.receive)
    root = request.scope.get("root_path", "").rstrip("/")
    return Response(
        registration.answer(record),
        status_code=201 if created else 200,
        media_type=chosen,
        headers={"Location": f"{root}/v1/graphs/{record.id}"},
    )


async def show(request: Request) -> Response:
    """`GET /v1/graphs/{id or name}`."""
    services: Services = request.app.state.services
    _queried(request)
    chosen = media.choose(request.headers, (media.JSON,))
    ref = request.path_params["ref"]
    unless, provided = request.headers.get("if-none-match"), request.headers.get("if-match")

    def job() -> tuple[str, bytes | None]:
        record = services.store.record(ref)
        if record is None:
            raise _unknown(services, ref)
        tag, body = _seen(record, ref)
        _check_match(provided, tag)
        if unless is not None and records.matches(unless, tag, weakly=True):
            return tag, None
        content = services.store.content(record.key)
        if content is None:
            raise _unknown(services, ref)
        return tag, records.with_graph(body, content.graph)

    tag, body = await _with_store(request, job)
    headers = {"ETag": tag, "Cache-Control": KEEP if is_digest(ref) else REVALIDATE}
    if body is None:
        return Response(status_code=304, headers=headers)
    return Response(body, media_type=chosen, headers=headers)


async def listing(request: Request) -> Response:
    """`GET /v1/graphs`."""
    services: Services = request.app.state.services
    query = _queried(request, "limit", "cursor", "name_prefix")
    chosen = media.choose(request.headers, (media.JSON,))
    limit = _limit(query.get("limit"))
    prefix = query.get("name_prefix", "")
    if len(prefix) > MAX_PREFIX:
        raise problem("invalid-field", f"`name_prefix` has at most {MAX_PREFIX} characters, as names have.")
    cursor = query.get("cursor")

    def job() -> bytes:
        secret = services.store.secret()
        after = 0 if cursor is None else records.read_cursor(secret, cursor, prefix)
        page = services.store.page(after=after, limit=limit, most_bytes=PAGE_BYTES, prefix=prefix)
        shown = [records.record_json(r, records.signature_for(r, r.id)) for r in page.records]
        following = b"null"
        if page.more:
            following = b'"%b"' % records.make_cursor(secret, page.records[-1].key, prefix).encode()
        return b'{"graphs":[%b],"next_cursor":%b}' % (b",".join(shown), following)

    body = await _with_store(request, job)
    return Response(body, media_type=chosen, headers={"Cache-Control": REVALIDATE})


def _limit(given: str | None) -> int:
    if given is None:
        return PAGE
    if not (given.isascii() and given.isdigit() and len(given) <= 9 and 1 <= int(given) <= MAX_PAGE):
        raise problem("invalid-field", f"`limit` must be an integer from 1 to {MAX_PAGE:,}.")
    return int(given)


async def remove(request: Request) -> Response:
    """`DELETE /v1/graphs/{id or name}`."""
    services: Services = request.app.state.services
    _queried(request)
    ref = request.path_params["ref"]
    provided = request.headers.get("if-match")

    def job() -> Record:
        record = services.store.remove(ref, lambda r: _check_match(provided, _seen(r, ref)[0]))
        if record is None:
            raise _unknown(services, ref)
        return record

    record = await _with_store(request, job)
    headers = {}
    if is_digest(ref):
        services.programs.forget(record.key)
    else:
        # The program's own record has changed as well: caches let go of it (RFC 9111, section 4.4).
        root = request.scope.get("root_path", "").rstrip("/")
        headers["Content-Location"] = f"{root}/v1/graphs/{record.id}"
    return Response(status_code=204, headers=headers)


def _seen(record: Record, ref: str) -> tuple[str, bytes]:
    """ETag and JSON of a record, as it is seen under an id or name."""
    body = records.record_json(record, records.signature_for(record, ref))
    return records.etag(record, body), body


def _check_match(provided: str | None, tag: str) -> None:
    """Raise `Problem` (precondition-failed) unless If-Match, where it is given, names the ETag."""
    if provided is not None and not records.matches(provided, tag, weakly=False):
        raise problem(
            "precondition-failed", f"If-Match does not name the present state, whose ETag is {tag}."
        )


# ----------------------------------------------------------------------------------------------------- documentation

_REF = {
    "name": "ref",
    "in": "path",
    "required": True,
    "description": "Id or name of a registered program.",
    "schema": {"type": "string"},
}
_QUERY = (
    {
        "name": "limit",
        "in": "query",
        "description": "Most records of the page, which may be shorter where records are long.",
        "schema": {"type": "integer", "minimum": 1, "maximum": MAX_PAGE, "default": PAGE},
    },
    {
        "name": "cursor",
        "in": "query",
        "description": "`next_cursor` of the page before.",
        "schema": {"type": "string"},
    },
    {
        "name": "name_prefix",
        "in": "query",
        "description": "Only programs that have a name which starts so.",
        "schema": {"type": "string", "maxLength": MAX_PREFIX},
    },
)
_IF_MATCH = {
    "name": "If-Match",
    "in": "header",
    "description": "Only if the ETag is this.",
    "schema": {"type": "string"},
}
_IF_NONE_MATCH = {
    "name": "If-None-Match",
    "in": "header",
    "description": "Answered with 304 if the ETag is still this.",
    "schema": {"type": "string"},
}


def add_routes(app: FastAPI) -> None:
    """Add the routes."""
    add = app.add_api_route
    add(
        "/v1/graphs",
        register,
        methods=["POST"],
        **describe_registry(
            "register",
            "Register a program",
            "The program gets an id, the digest of its graph, the same on every server. A name is a pointer to it, with a "
            "description and a signature of its own. Of programs with the same graph the first one's text is kept.",
            {201: ProgramRecord, 200: ProgramRecord},
            errors=(400, 404, 406, 408, 409, 413, 415, 422, 503, 504),
            examples=examples.REGISTER,
            headers=("Location",),
        ),
    )
    add(
        "/v1/graphs",
        listing,
        methods=["GET"],
        **describe_registry(
            "list_programs",
            "The registered programs",
            "In the order of their registration. What is registered or removed meanwhile moves nothing from page to page.",
            {200: ProgramPage},
            errors=(406, 422, 503, 504),
            parameters=_QUERY,
        ),
    )
    add(
        "/v1/graphs/{ref}",
        show,
        methods=["GET"],
        **describe_registry(
            "show_program",
            "A registered program",
            "With its graph. By id the answer may be kept, by name it must be asked for again (If-None-Match).",
            {200: ProgramDocument, 304: None},
            errors=(404, 406, 412, 422, 503, 504),
            parameters=(_REF, _IF_NONE_MATCH, _IF_MATCH),
            headers=("ETag", "Cache-Control"),
        ),
    )
    add(
        "/v1/graphs/{ref}",
        remove,
        methods=["DELETE"],
        **describe_registry(
            "remove_program",
            "Remove a program or a name",
            "By name, only the name. By id, the program with all its names.",
            {204: None},
            errors=(404, 412, 422, 503, 504),
            parameters=(_REF, _IF_MATCH),
        ),
    )
    for verb, operation in {**verbs.OPERATIONS, "render": render.OPERATION}.items():
        offered = (media.JSON, *operation.also)
        made = verbs.Verb(verb, offered, app.state.services)
        app.add_api_route(
            f"/v1/graphs/{{ref}}/{verb}",
            render.render if verb == "render" else verbs.endpoint(made),
            methods=["POST"],
            name=f"{verb}_by_id",
            response_model=None,
            **describe_operation(verb, operation, examples.of(verb), path=(_REF,)),
        )
