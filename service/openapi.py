"""The OpenAPI 3.1 document: every request and answer, with examples that work when pasted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from fastapi import FastAPI, Response
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from service import __version__
from service.components import COMPONENTS, Schema, ref, resolved
from service.envelope import PROGRAMS, REQUESTS
from service.examples import Example
from service.media import EVENTS, JSON
from service.problems import KINDS, MEDIA_TYPE
from service.schemas import Answer

TAGS = [
    {"name": "derivatives", "description": "Values and derivatives of programs."},
    {
        "name": "learning",
        "description": "What happens inside, whether it is right, and what can be done with it.",
    },
    {"name": "programs", "description": "Programs, looked at and drawn."},
    {
        "name": "registry",
        "description": "Programs that are registered once, and then asked by id or name: nothing is read again but the inputs.",
    },
    {"name": "server", "description": "The op catalogue, the limits, and whether the server works."},
]

_TAG_OF = {
    **dict.fromkeys(
        ("trace", "check", "derivative", "landscape", "minimize", "compare", "propagate"), "learning"
    ),
    "parse": "programs",
    "render": "programs",
}

DESCRIPTION = """\
Automatic differentiation over HTTP. Send a program, as text in a safe subset of Python or as a JSON computation graph,
and values for its inputs; get values, gradients, Jacobians, Hessians and products with them, exact to rounding.

- Unknown fields are refused, so that a typo is never silent. One body can go to several verbs.
- Non-finite numbers are the strings `"NaN"`, `"Infinity"` and `"-Infinity"`, in both directions.
- Arrays are nested lists or base64; ask for the latter with `"arrays": "base64"`.
- Everything that is wrong with a request is answered as `application/problem+json` (RFC 9457), all mistakes at once.
"""

_ERRORS = (400, 403, 406, 408, 413, 415, 422, 503, 504)

_MEANINGS = {
    400: "Not JSON, or no body.",
    403: "This server does not answer under the Host that was named.",
    404: "No such program.",
    406: "Nothing acceptable can be answered.",
    408: "The request did not arrive in time.",
    409: "Another program has the name.",
    412: "It has changed since.",
    413: "Over a limit.",
    415: "Not sent as plain JSON.",
    422: "Well-formed, but it does not make sense.",
    501: "Graphviz is not installed on this server.",
    503: "Overloaded, or shutting down, or the registry cannot be used.",
    504: "Past the deadline.",
}

REQUEST_HEADERS: list[Schema] = [
    {
        "name": "X-Request-Id",
        "in": "header",
        "description": (
            "An id of your own for this request, which the answer and the server's log then have too: 1 to 128 letters, "
            "digits and . _ -; anything else is replaced."
        ),
        "schema": {"type": "string"},
    },
    {
        "name": "X-Request-Timeout",
        "in": "header",
        "description": "Seconds after which the answer is no longer wanted; shortens the server's own limit.",
        "schema": {"type": "number", "exclusiveMinimum": 0},
    },
]

ANSWER_HEADERS: dict[str, Schema] = {
    "X-Request-Id": {"description": "The id of the request.", "schema": {"type": "string"}},
    "Wengert-Version": {"description": "Version of the server.", "schema": {"type": "string"}},
}


@dataclass(frozen=True, slots=True)
class Operation:
    """What the documentation says about a route that takes a program."""

    summary: str
    description: str
    answer: type[Answer] | None
    """Model of the answer; None where it is no JSON."""
    also: tuple[str, ...] = ()
    """Media types of the answer besides JSON."""
    errors: tuple[int, ...] = ()


def problem_responses(statuses: Sequence[int]) -> dict[int | str, dict[str, Any]]:
    """What the document says about errors."""
    found: dict[int | str, dict[str, Any]] = {}
    for status in statuses:
        kinds = [k for k, v in KINDS.items() if v.status == status or (k == "timeout" and status == 408)]
        found[status] = {
            "description": f"{_MEANINGS[status]} ({', '.join(kinds)})",
            "content": {MEDIA_TYPE: {"schema": ref("Problem")}},
            "headers": dict(ANSWER_HEADERS),
        }
        if status == 503:
            found[status]["headers"]["Retry-After"] = {
                "description": "Seconds after which to try again.",
                "schema": {"type": "integer"},
            }
    return found


def describe_operation(
    verb: str, operation: Operation, examples: Sequence[Example], path: Sequence[Schema] = ()
) -> dict[str, Any]:
    """Arguments of `add_api_route` that document a verb; of one whose `path` names the program, if that has parameters."""
    examples = [without_program(e) for e in examples] if path else examples
    content: dict[str, Any] = {}
    if operation.answer is not None:
        content[JSON] = {"schema": ref(operation.answer.__name__)}
        answers = {
            e.name: {"summary": e.summary, "value": e.answer} for e in examples if e.answer is not None
        }
        if answers:
            content[JSON]["examples"] = answers
    for kind in operation.also:
        content[kind] = {
            "schema": {"type": "string", **({"format": "binary"} if kind == "image/png" else {})}
        }
        if kind == EVENTS:
            content[kind]["schema"]["description"] = (
                "Server-sent events: `iteration` each, with its fields as JSON in `data`, then `result` with the answer, or "
                "`problem` with the problem document. A slow client misses iterations, as the ids show."
            )
    return {
        "summary": f"{operation.summary}, of a registered program" if path else operation.summary,
        "description": operation.description,
        "operation_id": f"{verb}_by_id" if path else verb,
        "tags": ["registry" if path else _TAG_OF.get(verb, "derivatives")],
        "response_class": Response,
        "responses": {
            200: {"description": "The answer.", "content": content, "headers": ANSWER_HEADERS},
            404: problem_responses([404])[404],
            **problem_responses([*_ERRORS, *operation.errors]),
        },
        "openapi_extra": {
            "parameters": [*path, *REQUEST_HEADERS],
            "requestBody": {
                "required": not path,
                "content": {
                    JSON: {
                        "schema": ref(REQUESTS[verb].__name__ + (BY_ID if path else "")),
                        "examples": {e.name: {"summary": e.summary, "value": e.body} for e in examples},
                    }
                },
            },
        },
    }


BY_ID = "ById"
"""Ends the names of the schemas of requests whose path names the program."""


def without_program(example: Example) -> Example:
    """The example as it is sent where the path names the program."""
    body = {k: v for k, v in example.body.items() if k not in PROGRAMS}
    return replace(example, body=body)


def describe_registry(
    name: str,
    summary: str,
    description: str,
    answers: Mapping[int, type[BaseModel] | None],
    *,
    errors: Sequence[int],
    parameters: Sequence[Schema] = (),
    examples: Sequence[Example] = (),
    headers: Sequence[str] = (),
) -> dict[str, Any]:
    """Arguments of `add_api_route` that document a route of the registry; one with `examples` takes a body."""
    meanings = {200: "The answer.", 201: "Registered.", 204: "Done.", 304: "Not changed."}
    if 201 in answers:
        meanings[200] = "It was there already."
    shown: dict[str, Schema] = {
        **ANSWER_HEADERS,
        **{header: {"description": _HEADERS[header], "schema": {"type": "string"}} for header in headers},
    }
    responses: dict[int | str, dict[str, Any]] = {}
    for status, model in answers.items():
        responses[status] = {"description": meanings[status], "headers": shown}
        if model is not None:
            responses[status]["content"] = {JSON: {"schema": ref(model.__name__)}}
    extra: dict[str, Any] = {"parameters": [*parameters, *REQUEST_HEADERS]}
    if examples:
        shown_examples = {e.name: {"summary": e.summary, "value": e.body} for e in examples}
        content = {"schema": ref("RegisterRequest"), "examples": shown_examples}
        extra["requestBody"] = {"required": True, "content": {JSON: content}}
        answered = {e.name: {"summary": e.summary, "value": e.answer} for e in examples if e.answer}
        if answered:
            responses[201]["content"][JSON]["examples"] = answered
    return {
        "name": name,
        "summary": summary,
        "description": description,
        "operation_id": name,
        "tags": ["registry"],
        "response_model": None,
        "response_class": Response,
        "status_code": min(answers) if 201 not in answers else 201,
        "responses": {**responses, **problem_responses([403, *errors])},
        "openapi_extra": extra,
    }


_HEADERS = {
    "Location": "The program, by its id.",
    "ETag": "Strong: changes with everything that is shown.",
    "Cache-Control": "How long the answer may be kept.",
}


def describe_get(
    name: str,
    summary: str,
    answer: type[BaseModel] | None,
    media: str = JSON,
    *,
    errors: Sequence[int] = (),
    path_parameters: Sequence[str] = (),
) -> dict[str, Any]:
    """Arguments of `add_api_route` that document a GET route of the server itself."""
    schema = {"type": "string"} if answer is None else ref(answer.__name__)
    parameters = [
        {"name": n, "in": "path", "required": True, "schema": {"type": "string"}} for n in path_parameters
    ]
    return {
        "name": name,
        "summary": summary,
        "operation_id": name,
        "tags": ["server"],
        "response_model": None,
        "response_class": Response,
        "responses": {
            200: {
                "description": "The answer.",
                "content": {media: {"schema": schema}},
                "headers": ANSWER_HEADERS,
            },
            **problem_responses([403, *errors]),
        },
        "openapi_extra": {"parameters": [*parameters, *REQUEST_HEADERS[:1]]},
    }


def _by_id(schema: Schema) -> Schema:
    """The schema of a request without the fields that a program stands in."""
    properties = {k: v for k, v in schema["properties"].items() if k not in PROGRAMS}
    return {**schema, "title": schema["title"] + BY_ID, "properties": properties}


def build(app: FastAPI, models: Sequence[type[BaseModel]]) -> dict[str, Any]:
    """The document."""
    document = get_openapi(
        title="Wengert",
        version=__version__,
        summary="Automatic differentiation as a service",
        description=DESCRIPTION,
        routes=app.routes,
        tags=TAGS,
        license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
    )
    _, generated = models_json_schema(
        [(model, "validation") for model in models], ref_template="#/components/schemas/{model}"
    )
    defined = generated.get("$defs", {})
    by_id = {f"{m.__name__}{BY_ID}": _by_id(defined[m.__name__]) for m in REQUESTS.values()}
    schemas: Mapping[str, Any] = {**COMPONENTS, **defined, **by_id}
    document.setdefault("components", {})["schemas"] = dict(sorted(schemas.items()))
    found: dict[str, Any] = resolved(document)
    return found
