"""The table of what writes each op, filled while the modules of this package are imported, only read after that."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

from engine.render.code.python.expr import Expr

if TYPE_CHECKING:
    from engine.render.code.python.scope import Call

Writer: TypeAlias = "Callable[[Call], Expr | None]"
"""The expression of a node; None for an op of several results, which writes statements that name them."""

WRITERS: dict[str, Writer] = {}


def writes(*ops: str) -> Callable[[Writer], Writer]:
    """Register a function as the writer of core ops."""

    def register(writer: Writer) -> Writer:
        for op in ops:
            assert op not in WRITERS, f"{op} is written twice"
            WRITERS[op] = writer
        return writer

    return register
