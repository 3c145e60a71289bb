"""Everything that can go wrong with a request, as the client sees it: RFC 9457 problem documents.

One table says which status and title each kind of problem has; the engine's errors are turned into `Mistake`s here and
nowhere else. A problem document is never long: at most 20 mistakes, at most 16 KiB, and of what the client sent only
short quotes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import orjson
from starlette.responses import Response

from engine.errors import EngineError, LimitExceeded, Mistakes, Where
from service.limits import ERRORS

MEDIA_TYPE = "application/problem+json"
MAX_BYTES = 16 * 1024
MAX_DETAIL = 600
MAX_POINTER = 600
MAX_INSTANCE = 200
MAX_SUGGESTIONS = 5


class Kind(NamedTuple):
    """A kind of problem: its status, its title, and what its page says about it."""

    status: int
    title: str
    meaning: str


KINDS: dict[str, Kind] = {
    "invalid-json": Kind(
        400,
        "The body is not JSON",
        "The body could not be read as JSON (RFC 8259) in UTF-8. The position says where. Bare NaN and Infinity are no "
        'JSON: write them as the strings "NaN", "Infinity" and "-Infinity". Byte order marks and lone surrogates are '
        "refused.",
    ),
    "missing-body": Kind(
        400, "There is no body", "The request needs a JSON object as its body, but came with an empty one."
    ),
    "unknown-field": Kind(
        422,
        "Unknown field",
        "A field that this request does not have. It is refused rather than ignored, so that a typo is never silent. "
        "The suggestions are fields of similar names; every verb's own fields are in the documentation at /docs.",
    ),
    "invalid-field": Kind(
        422,
        "Invalid field",
        "A field whose value is of the wrong type or not among those allowed. The pointer names the field, the detail "
        "says what it can be.",
    ),
    "program-required": Kind(
        422,
        "A program is required",
        'The request needs exactly one of "expression" (program text), "graph" (a JSON computation graph) and '
        '"graph_id" (a registered program).',
    ),
    "syntax": Kind(
        422,
        "Syntax error in the program text",
        "The program text is not in the language, a safe subset of Python's expressions and statements. The position "
        "is the line and column, both counted from 1.",
    ),
    "unknown-op": Kind(
        422, "Unknown op", "An op or function name that is not in the catalogue, which GET /v1/ops lists."
    ),
    "missing-input": Kind(
        422,
        "An input has no value",
        'Every input of the program needs a value in "inputs", unless the graph gives it a default.',
    ),
    "unknown-input": Kind(
        422, "Unknown input", "A value was given for a name that is no input of the program."
    ),
    "unknown-node": Kind(
        422,
        "Unknown node",
        "An id that the program does not have. Nodes without a name of their own are called t1, t2, … in evaluation "
        "order; POST /v1/parse shows them.",
    ),
    "duplicate-id": Kind(422, "Duplicate id", "Two nodes of the graph have the same id; ids must differ."),
    "invalid-id": Kind(
        422,
        "Invalid id",
        'Ids are 1 to 256 code points without control characters, and not "NaN", "Infinity" or "-Infinity".',
    ),
    "cycle": Kind(
        422,
        "The graph has a cycle",
        "Nodes wait for one another, so that none of them can be computed first.",
    ),
    "arity": Kind(422, "Wrong number of operands", "An op was given too few or too many operands."),
    "invalid-attribute": Kind(
        422,
        "Invalid attribute",
        "A static argument of an op, such as axis or shape, that the op does not have or cannot take.",
    ),
    "shape-mismatch": Kind(
        422,
        "Shapes do not fit",
        "Operands, or a value and what it belongs to, have shapes that do not go together.",
    ),
    "dtype-mismatch": Kind(
        422,
        "Kinds of numbers do not fit",
        "An op was given booleans, integers or floats that it cannot take.",
    ),
    "invalid-array": Kind(
        422,
        "Not an array",
        "A value that is no number, no rectangular nested list of numbers and no encoded array. Non-finite numbers are "
        'the strings "NaN", "Infinity" and "-Infinity"; null is no number.',
    ),
    "non-scalar-output": Kind(
        422,
        "The output is not a scalar",
        'A gradient is of one number. Give a "seed" of the shape of the output, choose a scalar node with "of", or ask '
        "for the jacobian.",
    ),
    "not-differentiable": Kind(
        422,
        "Not differentiable",
        "Integers and booleans have no derivative, neither of them nor with respect to them.",
    ),
    "singular-matrix": Kind(
        422,
        "The matrix is singular",
        "A matrix that had to be inverted or factored cannot be, at these inputs.",
    ),
    "empty-reduction": Kind(
        422,
        "Nothing to reduce",
        "A reduction without a neutral element, such as max, was asked of no elements.",
    ),
    "unsupported": Kind(422, "Not supported", "Understood, but not offered; the detail says what is."),
    "limit-exceeded": Kind(
        413,
        "Over a limit",
        'Larger than this server allows: "limit" names the limit, "maximum" is its value and "actual" what the request '
        "would need. GET /v1/limits lists all limits.",
    ),
    "unknown-program": Kind(404, "Unknown program", "No program of this id or name is registered here."),
    "name-taken": Kind(
        409,
        "The name is taken",
        'The name is bound to another program. Choose another name, or send "replace": true to bind it to this one.',
    ),
    "precondition-failed": Kind(
        412,
        "Changed meanwhile",
        "The header If-Match names another state of the program or name than the one it is in; GET shows its ETag.",
    ),
    "not-found": Kind(404, "Not found", "There is nothing at this path. /docs lists the paths that exist."),
    "method-not-allowed": Kind(
        405,
        "Method not allowed",
        "The path exists, but not for this method; the header Allow lists those that work.",
    ),
    "not-acceptable": Kind(
        406, "Not acceptable", "The answer cannot be given in any media type that the header Accept names."
    ),
    "unsupported-media-type": Kind(
        415,
        "Unsupported media type",
        "The body must be sent as application/json (or another type that ends in +json), without a Content-Encoding.",
    ),
    "unauthorized": Kind(401, "No API key", "This server needs an API key: Authorization: Bearer …"),
    "forbidden": Kind(
        403,
        "Forbidden",
        "Not allowed here. A server that listens on this machine only answers to names of this machine (localhost, "
        "127.0.0.1, [::1]) and to those in WENGERT_ALLOWED_HOSTS, so that web pages elsewhere cannot reach it by DNS "
        "rebinding.",
    ),
    "rate-limited": Kind(
        429, "Too many requests", "More requests than allowed; Retry-After says when to go on."
    ),
    "overloaded": Kind(
        503,
        "Overloaded",
        "The server has all the work it takes, or is shutting down; Retry-After says when to try again.",
    ),
    "storage-unavailable": Kind(
        503,
        "The registry cannot be used",
        "Registered programs cannot be read or written just now: the disk is full, damaged or not there. Programs that "
        "stand in the request itself work as ever. Retry-After says when to try again.",
    ),
    "timeout": Kind(
        504,
        "Out of time",
        "The computation took longer than it was given (status 504; the limit timeout_s, or X-Request-Timeout if that "
        "is less), or the request did not arrive in time (status 408).",
    ),
    "drawing-unavailable": Kind(
        501,
        "Drawing is unavailable",
        "What draws is not installed on this server: Graphviz for programs, Matplotlib for curves and landscapes. "
        '"format": "dot" and answers as JSON work without them.',
    ),
}
"""All kinds, in the order of the documentation."""


@dataclass(frozen=True, slots=True)
class Mistake:
    """One thing that is wrong: the fields of a problem document that may differ between mistakes.

    `status` only where it is not the kind's own; `limit` is (name, maximum, actual).
    """

    kind: str
    detail: str
    node: str | None = None
    pointer: str | None = None
    position: tuple[int, int] | None = None
    excerpt: str | None = None
    suggestions: tuple[str, ...] = ()
    limit: tuple[str, float, float] | None = None
    status: int | None = None

    def document(self, instance: str) -> dict[str, Any]:
        """As JSON, without members that say nothing."""
        kind = KINDS[self.kind]
        found: dict[str, Any] = {
            "type": f"/problems/{self.kind}",
            "title": kind.title,
            "status": self.status or kind.status,
            "detail": _clipped(self.detail, MAX_DETAIL),
            "instance": instance,
        }
        if self.node is not None:
            found["node"] = _clipped(self.node, 256)
        if self.pointer is not None:
            found["pointer"] = _clipped_pointer(self.pointer)
        if self.position is not None:
            found["position"] = {"line": self.position[0], "column": self.position[1]}
        if self.excerpt:
            found["excerpt"] = _clipped(self.excerpt, 300)
        if self.suggestions:
            found["suggestions"] = [_clipped(s, 256) for s in self.suggestions[:MAX_SUGGESTIONS]]
        if self.limit is not None:
            name, maximum, actual = self.limit
            found |= {"limit": name, "maximum": _number(maximum), "actual": _number(actual)}
        return found


class Problem(Exception):
    """Answered with a problem document: at least one mistake, the first of which decides the status."""

    def __init__(
        self, mistakes: Sequence[Mistake], *, omitted: int = 0, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(mistakes[0].detail)
        self.mistakes = tuple(mistakes)
        self.omitted = omitted
        self.headers = dict(headers or {})

    @property
    def status(self) -> int:
        """HTTP status."""
        first = self.mistakes[0]
        return first.status or KINDS[first.kind].status


class Collector:
    """Collects mistakes while reading goes on: the first `ERRORS` of them, and the number of the rest."""

    def __init__(self) -> None:
        self.mistakes: list[Mistake] = []
        self.omitted = 0

    @property
    def full(self) -> bool:
        """Whether further mistakes are only counted."""
        return len(self.mistakes) >= ERRORS

    def add(self, mistake: Mistake) -> None:
        """Take note of a mistake."""
        self.add_if_wanted(lambda: mistake)

    def add_if_wanted(self, make: Callable[[], Mistake]) -> None:
        """Take note of a mistake whose description costs something: it is made only if it will be listed."""
        if self.full:
            self.omitted += 1
        else:
            self.mistakes.append(make())

    def add_engine(self, error: EngineError) -> None:
        """Take note of what the engine found."""
        found = from_engine(error)
        for mistake in found.mistakes:
            self.add(mistake)
        self.omitted += found.omitted

    def raise_if_any(self) -> None:
        """Raise what was collected."""
        if self.mistakes:
            raise Problem(self.mistakes, omitted=self.omitted)


def problem(kind: str, detail: str, *, headers: Mapping[str, str] | None = None, **rest: Any) -> Problem:
    """A problem of one mistake; `rest` are further fields of `Mistake`."""
    return Problem([Mistake(kind, detail, **rest)], headers=headers)


# -------------------------------------------------------------------------------------------------- from the engine


def from_engine(error: EngineError) -> Problem:
    """The problem that an error of the engine is.

    The error itself is done with: its traceback is dropped, since its frames may hold the collector that holds the error,
    a circle that would keep the request's body alive until the garbage collector comes by.
    """
    errors = error.errors if isinstance(error, Mistakes) else (error,)
    for one in (error, *errors):
        one.__traceback__ = one.__context__ = None
    return Problem([_mistake(e) for e in errors], omitted=error.omitted if isinstance(error, Mistakes) else 0)


def _mistake(error: EngineError) -> Mistake:
    where = error.where or Where()
    pointer, position = where.pointer, None
    if where.line is not None:
        position = (where.line, where.column or 1)
        pointer = pointer if pointer is not None else "/expression"
    limit = (error.limit, error.maximum, error.actual) if isinstance(error, LimitExceeded) else None
    return Mistake(
        error.kind,
        error.detail,
        node=error.node,
        pointer=pointer,
        position=position,
        excerpt=where.excerpt,
        suggestions=error.suggestions,
        limit=limit,
    )


# ------------------------------------------------------------------------------------------------------- as documents


def document(error: Problem, instance: str) -> dict[str, Any]:
    """The problem document."""
    listed = error.mistakes[:ERRORS]
    omitted = error.omitted + len(error.mistakes) - len(listed)
    errors = [m.document(instance) for m in listed]
    found: dict[str, Any] = {**errors[0], "errors": errors}
    if omitted:
        found["errors_omitted"] = omitted
    return found


def encode(error: Problem, instance: str) -> bytes:
    """The problem document as bytes, at most `MAX_BYTES` of them: mistakes that do not fit are only counted."""
    found = document(error, instance)
    data = orjson.dumps(found)
    while len(data) > MAX_BYTES and len(found["errors"]) > 1:
        keep = max(1, min(len(found["errors"]) - 1, len(found["errors"]) * MAX_BYTES // len(data)))
        found["errors_omitted"] = found.get("errors_omitted", 0) + len(found["errors"]) - keep
        del found["errors"][keep:]
        data = orjson.dumps(found)
    return data


def internal(instance: str, request_id: str) -> bytes:
    """The document for a bug of ours. It has no page, so its type is RFC 9457's `about:blank`."""
    shown = {
        "type": "about:blank",
        "title": "Internal Server Error",
        "status": 500,
        "detail": f"This is a bug of the server. Its log has the details under the request id {request_id}.",
        "instance": instance,
    }
    return orjson.dumps({**shown, "errors": [shown]})


def plain(status: int, title: str, detail: str, instance: str = "") -> bytes:
    """A document for what is wrong below the level of requests (malformed HTTP): type `about:blank`."""
    shown = {"type": "about:blank", "title": title, "status": status, "detail": detail}
    if instance:
        shown["instance"] = instance
    return orjson.dumps({**shown, "errors": [shown]})


def respond(error: Problem | EngineError, instance: str) -> Response:
    """The HTTP answer."""
    if isinstance(error, EngineError):
        error = from_engine(error)
    return Response(
        encode(error, instance), status_code=error.status, headers=error.headers, media_type=MEDIA_TYPE
    )


def instance_of(scope: Mapping[str, Any]) -> str:
    """What a problem document's `instance` says: the path of the request, as it was sent."""
    raw = scope.get("raw_path") or scope["path"].encode("utf-8", "replace")
    path: str = raw.split(b"?", 1)[0][:MAX_INSTANCE].decode("latin-1")
    return "".join(c if 32 < ord(c) < 127 and c not in '"<>\\^`{|}' else f"%{ord(c):02X}" for c in path)


def escaped(part: str | int) -> str:
    """A key as a part of a JSON pointer (RFC 6901)."""
    return str(part).replace("~", "~0").replace("/", "~1")


def pointer_to(parts: Iterable[str | int]) -> str:
    """A JSON pointer; what is too long to be quoted ends at the object around it."""
    return "".join(f"/{escaped(p)}" for p in parts)


def _clipped(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"


def _clipped_pointer(pointer: str) -> str:
    while len(pointer) > MAX_POINTER:
        pointer = pointer[: pointer.rfind("/")] if "/" in pointer else ""
    return pointer


def _number(value: float) -> float | int | str:
    """A figure as JSON: exact where it is a safe integer."""
    if isinstance(value, int) and abs(value) <= 2**53:
        return value
    try:
        shown = float(value)
    except OverflowError:
        return "Infinity"
    if math.isfinite(shown):
        return shown
    return "NaN" if math.isnan(shown) else ("Infinity" if shown > 0 else "-Infinity")
