"""Plain scalar graphs, from the bytes of a request to arrays without an object for each node, and back to bytes.

A plain graph is one whose nodes are inputs, constants, and ops that make one float of up to three, with ids and numbers as
operands: what people who build graphs of scalars send, up to millions of nodes at a time. `read_plain` scans the body in
compiled code and gives up at anything else; then the general reader (`engine.spec.reader`) has the same bytes, and says what
is wrong with them, if anything is. So what is here need not know a single error message, but it must never take for plain
what the general reader would refuse, and never read another number, name, order or output than it does.

The compiled functions are in modules that import Numba (`native` lists them); `load` imports those.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from types import ModuleType

from engine.spec.plain.program import PlainGraph, TapeArrays, Weaver, read_plain
from engine.spec.plain.table import OpTable, make_table

NATIVE = "engine.spec.plain.native"
"""The module with the compiled functions, for what compiles ahead."""


def load(importer: Callable[[str], ModuleType] = importlib.import_module) -> ModuleType:
    """The compiled functions: read from disk (about 0.2 s and 100 MB with Numba itself), or compiled now. Raises ImportError
    without Numba."""
    return importer(NATIVE)


__all__ = ["NATIVE", "OpTable", "PlainGraph", "TapeArrays", "Weaver", "load", "make_table", "read_plain"]
