"""Registered programs as the registry shows them: records, their ETags, and the cursors of their listing."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping, Set
from typing import Any

import orjson

from engine.aval import Aval
from engine.cost import Limits
from engine.describe import known_types
from engine.errors import LimitExceeded, ShapeMismatch, Where, quoted
from engine.program import Program, canonical_json
from engine.specialize import integer_inputs, typed_array
from engine.values import Given
from service import signatures
from service.limits import DEPTH
from service.problems import pointer_to, problem
from service.store.interface import Content, NewProgram, Record, is_digest

# ---------------------------------------------------------------------------------------------------------- programs


def new_program(program: Program, source: str | None) -> NewProgram:
    """A program as it is kept. Raises `LimitExceeded` for one nested deeper than JSON is printed.

    Its graph is not kept in the canonical form that the id is made of, but as it is: RFC 8785 knows no negative zero.
    """
    try:
        graph = orjson.dumps(program.to_json())
    except orjson.JSONEncodeError as error:
        if "Recursion" in str(error):
            detail = f"The program is nested more than {DEPTH} levels deep."
            raise LimitExceeded("depth", DEPTH, DEPTH + 1, detail) from None
        graph = canonical_json(program.to_json()).encode()  # integers beyond 64 bits
    inputs = _inputs(program)
    outputs = orjson.dumps(program.output_ids)
    return NewProgram(program.digest, Content(graph, source), inputs, outputs, len(program.steps))


def _inputs(program: Program) -> bytes:
    """The inputs as far as the program itself knows them: its defaults, in the dtypes that they have in it."""
    integer: Set[int] | None = None
    found = []
    for i in program.inputs:
        step = program.steps[i]
        entry: dict[str, Any] = {"id": step.id, "shape": None, "dtype": None, "default": None}
        default = step.attrs.get("value")
        if default is not None:
            integer = integer_inputs(program) if integer is None else integer
            given = Given(default.value, default.weak, default.weak and default.integral)
            value = typed_array(given, "float64", integer=i in integer)
            entry |= {"shape": list(value.shape), "dtype": str(value.dtype), "default": default.to_json()}
        found.append(entry)
    return orjson.dumps(found)


def check_signature(program: Program, signature: Mapping[str, Aval], limits: Limits) -> None:
    """Raise `EngineError` unless a signature goes with the program's defaults and with what it computes."""
    for name, aval in signature.items():
        default = program.steps[program.index[name]].attrs.get("value")
        if default is not None and default.value.shape != aval.shape:
            raise ShapeMismatch(
                f"The signature says that {quoted(name)} has shape {list(aval.shape)}, but its default has "
                f"{list(default.value.shape)}.",
                node=name,
                where=Where(pointer=pointer_to(["signature", name, "shape"])),
            )
    if signature:
        known_types(program, signature, limits)


# ----------------------------------------------------------------------------------------------------------- records


def signature_for(record: Record, ref: str) -> Mapping[str, Aval]:
    """The types of inputs under an id or name: those of the name; by id, what all names agree on."""
    if is_digest(ref):
        return signatures.agreed(signatures.from_json(n.signature) for n in record.names)
    return signatures.from_json(next((n.signature for n in record.names if n.name == ref), None))


def record_json(record: Record, signature: Mapping[str, Aval]) -> bytes:
    """The record (`api.md`, section 6), with what a signature says of the inputs."""
    inputs: Any = orjson.Fragment(record.inputs)
    if signature:
        inputs = orjson.loads(record.inputs)
        for entry in inputs:
            aval = signature.get(entry["id"])
            if aval is not None:
                entry |= signatures.shown(aval)
    names = [
        {
            "name": n.name,
            "description": n.description,
            "signature": None if n.signature is None else orjson.Fragment(n.signature),
        }
        for n in record.names
    ]
    return orjson.dumps(
        {
            "id": record.id,
            "names": names,
            "inputs": inputs,
            "outputs": orjson.Fragment(record.outputs),
            "nodes": record.nodes,
            "created": record.created,
            "source": record.source,
        }
    )


def with_graph(record: bytes, graph: bytes) -> bytes:
    """The record with one more field."""
    return b'%b,"graph":%b}' % (record[:-1], graph)


def etag(record: Record, body: bytes) -> str:
    """A strong ETag: the program's id, which stands for the graph, and a digest of all else that is shown of it."""
    return f'"{record.id}.{hashlib.sha256(body).hexdigest()[:16]}"'


def matches(header: str, tag: str, *, weakly: bool) -> bool:
    """Whether If-None-Match (compared weakly) or If-Match (strongly) names an ETag (RFC 9110, 8.8.3.2)."""
    listed = [part.strip() for part in header.split(",")]
    if listed == ["*"]:
        return True
    return any((part.removeprefix("W/") if weakly else part) == tag for part in listed)


# ----------------------------------------------------------------------------------------------------------- cursors

_MAC = 16


def make_cursor(secret: bytes, after: int, prefix: str) -> str:
    """Where a listing goes on, signed: it is no use to make one up, nor to change what is listed."""
    place = after.to_bytes(8, "big") + prefix.encode()
    return base64.urlsafe_b64encode(_mac(secret, place) + place).decode().rstrip("=")


def read_cursor(secret: bytes, cursor: str, prefix: str) -> int:
    """The key after which the listing goes on. Raises `Problem` for what is no cursor of this listing."""
    try:
        data = base64.b64decode(cursor.encode("ascii") + b"=" * (-len(cursor) % 4), b"-_", validate=True)
    except ValueError:
        data = b""
    mac, place = data[:_MAC], data[_MAC:]
    genuine = len(place) >= 8 and hmac.compare_digest(mac, _mac(secret, place))
    if not genuine or base64.urlsafe_b64encode(data).decode().rstrip("=") != cursor:
        raise problem("invalid-field", "`cursor` must be a `next_cursor` of this server, as it was given.")
    if place[8:] != prefix.encode():
        raise problem("invalid-field", "`cursor` is of a listing with another `name_prefix`.")
    return int.from_bytes(place[:8], "big")


def _mac(secret: bytes, place: bytes) -> bytes:
    return hmac.digest(secret, place, "sha256")[:_MAC]
