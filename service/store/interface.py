"""What a store of programs does, whatever keeps them.

A program is immutable and known by its id, the digest of its graph. A name points to a program, and has a description
and a signature of its own. Every method is atomic: others see all of what it does or nothing, in this process and in
all that share the store; what a method that changes something has done when it returns is not lost, also if the
process, or the machine, stops at once. (A store in memory is shared with nobody, and ends with its process.)

All methods may be called by many threads at once. They may block, for as long as the medium takes, but for
`find(wait=False)` and `names`. All raise `StoreUnavailable` where the medium cannot be used; the next call tries again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

MAX_NAMES = 1000
"""Most names of one program: a record lists them all."""


@dataclass(frozen=True, slots=True)
class Content:
    """What a program is: its graph as JSON, and the text it was read from, if it was text."""

    graph: bytes
    source: str | None


@dataclass(frozen=True, slots=True)
class NewProgram:
    """A program to be kept. `inputs` and `outputs` are JSON lists, as the record shows them but for signatures."""

    id: str
    content: Content
    inputs: bytes
    outputs: bytes
    nodes: int

    @property
    def size(self) -> int:
        """Bytes that it counts for."""
        source = self.content.source
        text = 0 if source is None else len(source.encode())
        return len(self.content.graph) + text + len(self.inputs) + len(self.outputs) + OVERHEAD


OVERHEAD = 256
"""Bytes that a program or a name counts for besides what it says."""


@dataclass(frozen=True, slots=True)
class Name:
    """A name with what belongs to it. `signature` is JSON, {input: {shape, dtype}}."""

    name: str
    description: str | None = None
    signature: str | None = None

    @property
    def size(self) -> int:
        """Bytes that it counts for."""
        text = self.name + (self.description or "") + (self.signature or "")
        return len(text.encode()) + OVERHEAD


@dataclass(frozen=True, slots=True)
class Naming:
    """A name to be given. Of a name that the program has already, fields that are not in `given` stay as they are."""

    name: Name
    given: frozenset[str] = frozenset({"description", "signature"})
    replace: bool = False
    """Take the name from another program that has it."""

    def over(self, old: Name) -> Name:
        """What the name becomes, if the same program has it already as `old`."""
        new = self.name
        return Name(
            new.name,
            new.description if "description" in self.given else old.description,
            new.signature if "signature" in self.given else old.signature,
        )


class Found(NamedTuple):
    """A program that an id or a name leads to, and the signature of the name (None for an id)."""

    key: int
    id: str
    signature: str | None


@dataclass(frozen=True, slots=True)
class Record:
    """What is told of a program: all but its graph. `names` are in their alphabetical order.

    `key` is of this store: it grows from registration to registration, is never used again, and another one once a
    program was removed and comes back. A program with a larger key never becomes visible before one with a smaller one,
    so that who has listed up to a key has missed nothing.
    """

    key: int
    id: str
    names: tuple[Name, ...]
    inputs: bytes
    outputs: bytes
    nodes: int
    created: str
    """Time of registration, RFC 3339, UTC."""
    source: str | None


class Added(NamedTuple):
    """A program as it is kept, and whether it is new."""

    record: Record
    created: bool


@dataclass(frozen=True, slots=True)
class Page:
    """Some of the records in the order of their keys, and whether there are more behind them."""

    records: tuple[Record, ...] = field(default=())
    more: bool = False


class Store(Protocol):
    """Keeps programs and their names. The module says what holds for all methods."""

    @property
    def available(self) -> bool:
        """Whether the medium could be used when it was last tried (True before that)."""

    def open(self) -> None:
        """Make ready what the first call would have to. Raises `StoreUnavailable`; then later calls try again."""

    def close(self) -> None:
        """Let go of the medium. Calls that are under way may fail."""

    def find(self, ref: str, *, wait: bool = True) -> Found | None:
        """The program with this id, or else this name.

        Without `wait` it takes microseconds; raises `WouldBlock` where it would take longer.
        """

    def content(self, key: int) -> Content | None:
        """What the program with this key is; None if it is not there any more."""

    def record(self, ref: str) -> Record | None:
        """What is told of the program with this id, or else this name."""

    def page(self, *, after: int = 0, limit: int, most_bytes: int, prefix: str = "") -> Page:
        """Records with larger keys than `after`, in order, at most `limit` of them.

        The page ends early where it would be over `most_bytes`, but has one record at least. With `prefix`, those that
        have a name which starts so.
        """

    def names(self, prefix: str, limit: int) -> list[str]:
        """Some names that begin so, at most `limit`: all of them, if there are few. Does not wait, like `find`."""

    def add(self, program: NewProgram, naming: Naming | None) -> Added:
        """Keep a program, and give it the name. What was kept first under an id stays, its source for one.

        Raises `NameTaken`, `StoreFull`; then nothing has changed.
        """

    def bind(self, key: int, naming: Naming) -> Record | None:
        """Give a name to a program that is there; None if it is not. Raises `NameTaken`, `StoreFull`."""

    def remove(self, ref: str, check: Callable[[Record], None]) -> Record | None:
        """Unbind a name, or remove the program with this id and all its names. None if there is neither.

        `check` gets the record as it is just before that; what it raises is passed on, and nothing has changed. (It must
        not call the store.) Returns what it got.
        """

    def secret(self) -> bytes:
        """At least 16 random bytes that stay the same as long as the store, in all processes."""


# ------------------------------------------------------------------------------------------------------------- errors


class StoreError(Exception):
    """What the others are."""


class WouldBlock(StoreError):
    """It cannot be answered at once."""


class StoreUnavailable(StoreError):
    """The medium cannot be used: full, read-only, locked, damaged, not there."""

    def __init__(self, detail: str, *, retry_after: int = 5) -> None:
        super().__init__(detail)
        self.detail = detail
        """What is wrong, for clients: without paths."""
        self.retry_after = retry_after
        """Seconds after which it may be worth trying again."""


class NameTaken(StoreError):
    """Another program has the name."""

    def __init__(self, name: str, id: str) -> None:
        super().__init__(f"{name} is {id}")
        self.name = name
        self.id = id


class StoreFull(StoreError):
    """One of the bounds of the store is reached."""

    def __init__(self, limit: str, maximum: int, actual: int) -> None:
        super().__init__(f"{limit}: {actual} > {maximum}")
        self.limit = limit
        self.maximum = maximum
        self.actual = actual


def is_digest(ref: str) -> bool:
    """Whether this is an id and no name: `sha256-` and 64 lower-case hex digits."""
    return len(ref) == 71 and ref.startswith("sha256-") and not ref[7:].strip("0123456789abcdef")
