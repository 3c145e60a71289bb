"""The OpenAPI 3.1 document: every request and answer, with examples that work when pasted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI, Response
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from service import __version__
from service.components import COMPONENTS, Schema, ref, resolved
from service.envelope import REQUESTS
from service.examples import Example
from service.media import JSON
from service.problems import KINDS, MEDIA_TYPE
from service.schemas import Answer

TAGS = [
    {"name": "derivatives", "description": "Values and derivatives of programs."},
    {"name": "learning", "description": "What happens inside, step by step."},
    {"name": "programs", "description": "Programs, looked at and drawn."},
    {"name": "server", "description": "The op catalogue, the limits, and whether the server works."},
]

_TAG_OF = {"trace": "learning", "parse": "programs", "render": "programs"}

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
    413: "Over a limit.",
    415: "Not sent as plain JSON.",
    422: "Well-formed, but it does not make sense.",
    501: "Graphviz is not installed on this server.",
    503: "Overloaded, or shutting down.",
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


def describe_operation(verb: str, operation: Operation, examples: Sequence[Example]) -> dict[str, Any]:
    """Arguments of `add_api_route` that document a verb."""
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
    return {
        "summary": operation.summary,
        "description": operation.description,
        "operation_id": verb,
        "tags": [_TAG_OF.get(verb, "derivatives")],
        "response_class": Response,
        "responses": {
            200: {"description": "The answer.", "content": content, "headers": ANSWER_HEADERS},
            404: problem_responses([404])[404],
            **problem_responses([*_ERRORS, *operation.errors]),
        },
        "openapi_extra": {
            "parameters": REQUEST_HEADERS,
            "requestBody": {
                "required": True,
                "content": {
                    JSON: {
                        "schema": ref(REQUESTS[verb].__name__),
                        "examples": {e.name: {"summary": e.summary, "value": e.body} for e in examples},
                    }
                },
            },
        },
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
    schemas: Mapping[str, Any] = {**COMPONENTS, **generated.get("$defs", {})}
    document.setdefault("components", {})["schemas"] = dict(sorted(schemas.items()))
    found: dict[str, Any] = resolved(document)
    return found
