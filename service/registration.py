"""One request to register a program, from bytes to a record, in two steps: read it, and have it kept."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from engine.aval import Aval
from engine.errors import quoted
from service import records, signatures
from service.envelope import read_fields, read_program, read_signature
from service.json_body import read_object
from service.problems import Collector, Mistake, Problem, problem
from service.registered import Known, unavailable, unknown
from service.schemas import MAX_DESCRIPTION, NAME, RegisterRequest
from service.store.interface import Name, NameTaken, Naming, NewProgram, Record, StoreFull, StoreUnavailable
from service.work import Services

T = TypeVar("T")

_NAME = re.compile(NAME["pattern"].removesuffix("$") + r"\Z")
_LIKE_AN_ID = re.compile(r"sha256-[0-9a-f]{64}", re.IGNORECASE)
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]")

LIMITS = {
    "store_programs": "The registry holds {maximum:,} programs and takes no more.",
    "store_bytes": "The registry would hold {actual:,} bytes; the limit is {maximum:,}.",
    "names": "The program has {maximum:,} names and takes no more.",
}
"""What is said of each bound of the store."""


def guarded(job: Callable[[], T]) -> T:
    """What a job with the store gives; raises `Problem` for the store's errors."""
    try:
        return job()
    except StoreUnavailable as error:
        raise unavailable(error) from None
    except StoreFull as error:
        detail = LIMITS[error.limit].format(maximum=error.maximum, actual=error.actual)
        raise problem("limit-exceeded", detail, limit=(error.limit, error.maximum, error.actual)) from None
    except NameTaken as error:
        raise problem(
            "name-taken",
            f'The name {error.name} is bound to {error.id}. Choose another, or send "replace": true.',
            pointer="/name",
        ) from None


class Registration:
    """A request to register a program."""

    def __init__(self, services: Services, data: bytes) -> None:
        self.services = services
        self.data = data
        self.known: Known
        self.signature: Mapping[str, Aval] = {}
        self.naming: Naming | None = None
        self.program: NewProgram | None = None
        """None where it is there already, and only gets a name."""
        self.ref = ""
        """What the answer is asked for by: the name if one is given, else the id."""

    def read(self) -> None:
        """Bytes to a program that can be kept. Raises `Problem`, `EngineError`."""
        settings = self.services.settings
        body = read_object(self.data, memory_bytes=settings.memory_bytes)
        self.data = b""
        mistakes = Collector()
        fields = read_fields("POST /v1/graphs", RegisterRequest, body, mistakes)
        types = fields.signature or {}
        known = read_program(fields, body, types, settings, self.services.programs.lookup, mistakes)
        self.signature = read_signature(types, None if known is None else known.program, mistakes)
        if fields.name is not None:
            self.naming = self._naming(fields, body, mistakes)
        elif fields.description is not None:
            detail = "A description belongs to a name; give `name` as well."
            mistakes.add(Mistake("invalid-field", detail, pointer="/description"))
        mistakes.raise_if_any()
        assert known is not None
        records.check_signature(known.program, self.signature, self.services.limits)
        self.known = known
        self.ref = fields.name or known.program.digest
        if fields.graph_id is None:
            self.program = records.new_program(known.program, fields.expression)

    def _naming(self, fields: Any, body: Mapping[str, Any], mistakes: Collector) -> Naming:
        """The name, checked, with what belongs to it."""
        name, description = fields.name, fields.description
        if not _NAME.match(name):
            mistakes.add(
                Mistake(
                    "invalid-field",
                    f"{quoted(name)} cannot be a name: a name is a letter, then up to 127 letters, digits and . _ -",
                    pointer="/name",
                )
            )
        elif _LIKE_AN_ID.fullmatch(name):
            detail = "A name cannot look like the id of a program (sha256- and 64 hex digits)."
            mistakes.add(Mistake("invalid-field", detail, pointer="/name"))
        if description is not None and len(description) > MAX_DESCRIPTION:
            detail = f"A description has at most {MAX_DESCRIPTION:,} characters; this one has {len(description):,}."
            mistakes.add(Mistake("invalid-field", detail, pointer="/description"))
        elif description is not None and _CONTROL.search(description):
            detail = "A description has no control characters but tabs and line ends."
            mistakes.add(Mistake("invalid-field", detail, pointer="/description"))
        signature = None if fields.signature is None else signatures.to_json(self.signature)
        given = frozenset({"description", "signature"} & body.keys())
        return Naming(Name(name, description, signature), given, fields.replace)

    def write(self) -> tuple[Record, bool]:
        """Have it kept. Returns the record, and whether the program is new. Raises `Problem`."""
        return guarded(self._write)

    def _write(self) -> tuple[Record, bool]:
        store = self.services.store
        if self.program is not None:
            return store.add(self.program, self.naming)
        if self.naming is None:
            record = store.record(self.ref)
        else:
            record = store.bind(self.known.key, self.naming)
        if record is None:  # removed just now
            raise _gone(self.known.program.digest)
        return record, False

    def answer(self, record: Record) -> bytes:
        """The record, as this registration sees it."""
        signature = self.signature if self.naming is None else records.signature_for(record, self.ref)
        return records.record_json(record, signature or records.signature_for(record, self.ref))


def _gone(ref: str) -> Problem:
    return Problem([unknown(ref, (), "/graph_id")])
