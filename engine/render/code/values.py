"""Values while statements are written: where their entries are, and the table of how ops are written."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any, TypeAlias

from engine.aval import Aval, DType
from engine.graph import Node
from engine.render.code.identifiers import Namespace
from engine.render.code.statements import (
    ZERO,
    Array,
    Elem,
    Expr,
    Num,
    Type,
    add,
    integer,
    times,
)

if TYPE_CHECKING:
    from engine.render.code.lowering import Lowering

PREFIX = "ad_"
"""What names of helpers begin with; locals do not."""
DEPTH = 16
"""So many elementwise nodes may be pending on one another: they become one loop, and a recursion as deep as that."""

Index: TypeAlias = tuple[Expr, ...]


def type_of(dtype: DType) -> Type:
    """Floats of either size are doubles here."""
    return "int" if dtype == "int64" else "bool" if dtype == "bool" else "float"


def literal(value: Any, kind: Type) -> Num:
    """A number as a literal."""
    return Num(int(value) if kind == "int" else float(value), kind)


@dataclass(frozen=True, slots=True, eq=False)
class Tensor:
    """A value: `at` gives an entry by its index, `flat` by its position in C order where that is possible.

    `buffer` is the array in which all of it lies in C order; `settled` says that reading it computes nothing; `depth` is
    how many nodes are pending on one another. Of a scalar the index is ().
    """

    shape: tuple[int, ...]
    type: Type
    at: Callable[[Index], Expr]
    flat: Callable[[Expr], Expr] | None = None
    buffer: Array | None = None
    settled: bool = True
    depth: int = 0

    @property
    def size(self) -> int:
        """Number of entries."""
        return prod(self.shape)

    @property
    def rank(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def expr(self) -> Expr:
        """The number, of a scalar."""
        return self.at(())

    def padded(self, rank: int) -> Index:
        """Zeros for an index of as many axes."""
        return (integer(0),) * rank


Value: TypeAlias = Tensor | tuple[Tensor, ...]
Handler: TypeAlias = Callable[["Lowering", Node, list[Any], dict[str, Any]], Any]

HANDLERS: dict[str, Handler] = {}
"""How each op is written, filled by the modules of this package at import and not changed afterwards."""

READS_ONCE: set[str] = set()
"""Ops that read each entry of their operands at most once; filled with HANDLERS."""


def writes(*names: str, once: bool = False) -> Callable[[Handler], Handler]:
    """Register how ops are written; `once`: they read each entry of their operands at most once."""

    def register(fn: Handler) -> Handler:
        for name in names:
            HANDLERS[name] = fn
            if once:
                READS_ONCE.add(name)
        return fn

    return register


def scalar(e: Expr) -> Tensor:
    """A number as a value."""
    return Tensor((), e.type, lambda _: e, lambda _: e)


def filled(shape: Sequence[int], e: Expr) -> Tensor:
    """One number in every place."""
    return Tensor(tuple(shape), e.type, lambda _: e, lambda _: e)


def ravel(shape: Sequence[int], index: Index) -> Expr:
    """Position in C order."""
    position: Expr = integer(0)
    stride = 1
    for n, i in zip(reversed(shape), reversed(index), strict=True):
        position = add(times(i, stride), position)
        stride *= n
    return position


def stored(array: Array, shape: Sequence[int]) -> Tensor:
    """The value that lies in an array."""
    known = tuple(shape)
    return Tensor(known, array.type, lambda i: Elem(array, ravel(known, i)), lambda i: Elem(array, i), array)


class Names:
    """Names that are used once, beside those of a unit."""

    def __init__(self, space: Namespace, owned: Iterable[str] = ()) -> None:
        self.space = space.copy()
        self.owned = set(owned)
        """Names of nodes that are taken for them: whoever asks for one first gets it."""
        self.last: dict[str, int] = {}

    def fresh(self, base: str, *, number: bool = False) -> str:
        """`base`, with a number behind it where it is taken (or always)."""
        if base in self.owned:
            self.owned.remove(base)
            return base
        if base.startswith(PREFIX):
            base = f"v_{base}"
        if not number:
            return self.space.take(base)
        while True:
            n = self.last[base] = self.last.get(base, 0) + 1
            if f"{base}{n}" not in self.space:
                return self.space.take(f"{base}{n}")


def avals(node: Node) -> tuple[Aval, ...]:
    """The avals of a node's results."""
    return (node.aval,) if isinstance(node.aval, Aval) else node.aval


NOTHING = {"float": ZERO, "int": integer(0), "bool": Num(0, "bool")}
