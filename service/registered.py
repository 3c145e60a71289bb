"""Programs by id or name, ready to use: found in the store, read once, kept in memory.

Which program a name leads to, and whether it is still there, is asked of the store for each request (5 µs), since other
processes may have changed it. What a program is never changes, so what was read stays, of a bounded number of bytes.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections.abc import Hashable, Mapping
from typing import NamedTuple

from pydantic_core import from_json

from engine.aval import Aval
from engine.errors import EngineError, nearest, quoted
from engine.kept import Kept
from engine.language import TextLimits, parse_text
from engine.program import Program
from engine.spec import GraphLimits, read_graph
from service import signatures
from service.problems import Mistake, Problem, problem
from service.settings import Settings
from service.store.interface import (
    Content,
    Found,
    Store,
    StoreError,
    StoreUnavailable,
    WouldBlock,
    is_digest,
)

logger = logging.getLogger("wengert.store")

NODE_BYTES = 600
"""Most memory of a step that has no arrays (300 to 500 by measurement)."""

SOME = 100
"""Names that are compared with one that is not there, of each kind."""

STRIPES = 32
"""So many programs can be read at once, and none of them twice."""


class Nobody(NamedTuple):
    """There is no program of some id or name; `near` are names that may have been meant."""

    near: tuple[str, ...] = ()


class Known(NamedTuple):
    """A program, and if it is a registered one its key, and the types that the name it was asked for by says its inputs
    have."""

    program: Program
    signature: Mapping[str, Aval] = {}
    key: int = 0
    mark: Hashable = None
    """What requests for it depend on: equal only for the same program under the same signature."""


class Programs:
    """The registered programs of a store. For all threads."""

    def __init__(self, store: Store, settings: Settings) -> None:
        self.store = store
        self.settings = settings
        self.kept: Kept[int, Program] = Kept(settings.store_cache_bytes)
        self.reads = 0
        """How many programs were read so far."""
        self._reading = tuple(threading.Lock() for _ in range(STRIPES))
        self._turn: dict[str, Hashable] = {}

    def mark(self, ref: str) -> Hashable:
        """`Known.mark` of what an id or name leads to, None if that is nothing: asked of the store once in a turn of the event
        loop, which this is called from.

        What is read in one turn had been sent, in part at least, when the turn began. So an answer from later in the turn
        is one from between the request and its answer, whichever of the turn's requests it was asked for. Raises
        `WouldBlock`, `StoreUnavailable`.
        """
        mark = self._turn.get(ref)
        if mark is None:
            found = self.store.find(ref, wait=False)
            if found is None:
                return None
            mark = (found.key, found.signature)
            with contextlib.suppress(RuntimeError):  # there is no event loop, and so no turn
                if not self._turn:
                    asyncio.get_running_loop().call_soon(self._turn.clear)
                self._turn[ref] = mark
        return mark

    def get(self, ref: str, *, wait: bool = True) -> Known | None:
        """The program with this id or name; None if there is none.

        Without `wait`, only if it takes microseconds; else raises `WouldBlock`. Raises `Problem` where the store cannot be
        used, and `EngineError` for a program that is over this server's limits.
        """
        try:
            found = self.store.find(ref, wait=wait)
            if found is None:
                return None
            program = self.kept.get(found.key)
            if program is None:
                if not wait:
                    raise WouldBlock
                with self._reading[found.key % STRIPES]:
                    program = self.kept.get(found.key) or self._read(found)
        except StoreUnavailable as error:
            raise unavailable(error) from None
        if program is None:
            return None
        mark = (found.key, found.signature)
        return Known(program, signatures.from_json(found.signature), found.key, mark)

    def lookup(self, ref: str) -> Known | Nobody:
        """As `get`; where there is no such program, which may have been meant."""
        return self.get(ref) or Nobody(self.near(ref))

    def near(self, ref: str) -> tuple[str, ...]:
        """Names that may have been meant by one that leads nowhere: of those that begin alike, and of some others."""
        if is_digest(ref) or not ref.isascii():
            return ()
        names: list[str] = []
        try:
            for prefix in (ref[:1].lower(), ref[:1].upper(), ""):
                names += self.store.names(prefix, SOME)
        except StoreError:
            return ()
        return nearest(ref, dict.fromkeys(names))

    def _read(self, found: Found) -> Program | None:
        content = self.store.content(found.key)
        if content is None:
            return None  # removed since it was found
        program = read_content(content, found.id, self.settings)
        self.reads += 1
        self.kept.put(found.key, program, footprint(content))
        return program

    def forget(self, key: int) -> None:
        """Let go of a program that was removed."""
        self.kept.drop(key)


def footprint(content: Content) -> int:
    """An upper bound for the memory that the program takes: steps, and the arrays among them."""
    return (
        2048 + NODE_BYTES * content.graph.count(b'"op":') + len(content.graph) + 4 * len(content.source or "")
    )


def read_content(content: Content, id: str, settings: Settings) -> Program:
    """The program, read from its text if it has one, which the places in errors are in, else from its graph.

    Pointers in errors lead into the record of the program, as `GET /v1/graphs/{id}` shows it: `/source`, `/graph/nodes/0`.
    """
    if content.source is not None:
        limits = TextLimits(expression_chars=settings.expression_chars, nodes=settings.nodes)
        inputs = [node["id"] for node in from_json(content.graph)["nodes"] if node["op"] == "input"]
        try:
            program = parse_text(content.source, inputs=inputs, limits=limits, pointer="/source")
            if program.digest == id:
                return program
        except EngineError:
            pass  # a text that another version has read; the graph is what counts
    graph = from_json(content.graph, allow_inf_nan=False, cache_strings="keys")
    program = read_graph(graph, limits=GraphLimits(nodes=settings.nodes, elements=settings.elements))
    if program.digest != id:
        logger.error("the stored graph of %s is another program, %s", id, program.digest)
        raise StoreUnavailable("The stored program is damaged.", retry_after=60)
    return program


def unknown(ref: str, near: tuple[str, ...], pointer: str | None = None) -> Mistake:
    """The mistake to ask for what nothing is registered under; `near` are names that may have been meant."""
    hint = f" Did you mean {' or '.join(near)}?" if near else ""
    detail = f"No program is registered under {quoted(ref)}.{hint}"
    return Mistake("unknown-program", detail, pointer=pointer, suggestions=near)


def unavailable(error: StoreUnavailable) -> Problem:
    """The problem document for a store that cannot be used."""
    return problem(
        "storage-unavailable",
        f"{error.detail} Programs by id or name cannot be used just now; programs in the request can.",
        headers={"Retry-After": str(error.retry_after)},
    )
