"""A store in memory: for one process, until it ends."""

from __future__ import annotations

import secrets
import threading
from bisect import bisect_right, insort
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import islice

from service.store.clock import now
from service.store.interface import (
    MAX_NAMES,
    Added,
    Content,
    Found,
    Name,
    NameTaken,
    Naming,
    NewProgram,
    Page,
    Record,
    StoreFull,
    is_digest,
)

LOOKED_AT = 2000
"""So many names are looked at for some that begin alike."""


@dataclass(slots=True)
class _Kept:
    """A program, when it came, and its names."""

    key: int
    program: NewProgram
    created: str
    names: dict[str, Name] = field(default_factory=dict)

    def record(self) -> Record:
        """What is told of it."""
        p = self.program
        names = tuple(self.names[n] for n in sorted(self.names))
        return Record(self.key, p.id, names, p.inputs, p.outputs, p.nodes, self.created, p.content.source)


class MemoryStore:
    """Holds at most so many programs, and so many bytes of programs and names. One lock for all."""

    def __init__(self, *, programs: int, bytes: int) -> None:
        self.most_programs = programs
        self.most_bytes = bytes
        self.bytes = 0
        self._lock = threading.Lock()
        self._last = 0
        self._keys: list[int] = []
        """In order; all keys of `_kept`."""
        self._kept: dict[int, _Kept] = {}
        self._ids: dict[str, int] = {}
        self._names: dict[str, int] = {}
        self._secret = secrets.token_bytes(32)

    @property
    def available(self) -> bool:
        """Memory always is."""
        return True

    def open(self) -> None:
        """Nothing."""

    def close(self) -> None:
        """Nothing."""

    def secret(self) -> bytes:
        """See `Store`."""
        return self._secret

    # -- looking

    def _of(self, ref: str) -> _Kept | None:
        key = self._ids.get(ref) if is_digest(ref) else self._names.get(ref)
        return None if key is None else self._kept[key]

    def find(self, ref: str, *, wait: bool = True) -> Found | None:
        """See `Store`."""
        with self._lock:
            kept = self._of(ref)
            if kept is None:
                return None
            name = kept.names.get(ref)
            return Found(kept.key, kept.program.id, None if name is None else name.signature)

    def content(self, key: int) -> Content | None:
        """See `Store`."""
        with self._lock:
            kept = self._kept.get(key)
            return None if kept is None else kept.program.content

    def record(self, ref: str) -> Record | None:
        """See `Store`."""
        with self._lock:
            kept = self._of(ref)
            return None if kept is None else kept.record()

    def page(self, *, after: int = 0, limit: int, most_bytes: int, prefix: str = "") -> Page:
        """See `Store`."""
        records: list[Record] = []
        size = 0
        with self._lock:
            for key in self._keys[bisect_right(self._keys, after) :]:
                kept = self._kept[key]
                if prefix and not any(name.startswith(prefix) for name in kept.names):
                    continue
                size += kept.program.size - len(kept.program.content.graph)
                if len(records) == limit or (records and size > most_bytes):
                    return Page(tuple(records), True)
                records.append(kept.record())
        return Page(tuple(records))

    def names(self, prefix: str, limit: int) -> list[str]:
        """See `Store`."""
        with self._lock:
            return [n for n in islice(self._names, LOOKED_AT) if n.startswith(prefix)][:limit]

    # -- changing

    def add(self, program: NewProgram, naming: Naming | None) -> Added:
        """See `Store`."""
        with self._lock:
            key = self._ids.get(program.id)
            if key is not None:
                kept = self._kept[key]
                if naming is not None:
                    self._name(kept, naming)
                return Added(kept.record(), False)
            kept = _Kept(self._last + 1, program, now())
            if len(self._kept) >= self.most_programs:
                raise StoreFull("store_programs", self.most_programs, len(self._kept) + 1)
            self._fits(program.size + (0 if naming is None else naming.name.size))
            if naming is not None:
                self._name(kept, naming)
            self._last = kept.key
            self._kept[kept.key] = kept
            self._ids[program.id] = kept.key
            insort(self._keys, kept.key)
            self.bytes += program.size
            return Added(kept.record(), True)

    def bind(self, key: int, naming: Naming) -> Record | None:
        """See `Store`."""
        with self._lock:
            kept = self._kept.get(key)
            if kept is None:
                return None
            self._name(kept, naming)
            return kept.record()

    def _fits(self, more: int) -> None:
        if self.bytes + more > self.most_bytes:
            raise StoreFull("store_bytes", self.most_bytes, self.bytes + more)

    def _name(self, kept: _Kept, naming: Naming) -> None:
        """Give a name, or change nothing and raise."""
        name = naming.name.name
        key = self._names.get(name)
        holder = None if key is None else self._kept[key]
        if holder is not None and holder is not kept and not naming.replace:
            raise NameTaken(name, holder.program.id)
        old = None if holder is None else holder.names[name]
        new = naming.over(old) if old is not None and holder is kept else naming.name
        if name not in kept.names and len(kept.names) >= MAX_NAMES:
            raise StoreFull("names", MAX_NAMES, MAX_NAMES + 1)
        more = new.size - (0 if old is None else old.size)
        if more > 0:
            self._fits(more)
        if holder is not None:
            del holder.names[name]
        kept.names[name] = new
        self._names[name] = kept.key
        self.bytes += more

    def remove(self, ref: str, check: Callable[[Record], None]) -> Record | None:
        """See `Store`."""
        with self._lock:
            kept = self._of(ref)
            if kept is None:
                return None
            record = kept.record()
            check(record)
            for name in [ref] if ref in kept.names else list(kept.names):
                self.bytes -= kept.names.pop(name).size
                del self._names[name]
            if is_digest(ref):
                del self._kept[kept.key], self._ids[ref]
                self._keys.remove(kept.key)
                self.bytes -= kept.program.size
            return record
