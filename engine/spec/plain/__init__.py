"""Plain scalar graphs, from the bytes of a request to arrays without an object for each node, and back to bytes.

A plain graph is one whose nodes are inputs, constants, and ops that make one float of up to three, with ids and numbers as
operands: what people who build graphs of scalars send, up to millions of nodes at a time. `read_plain` scans the body in
compiled code and gives up at anything else; then the general reader (`engine.spec.reader`) has the same bytes, and says what
is wrong with them, if anything is. So what is here need not know a single error message, but it must never take for plain
what the general reader would refuse, and never read another number, name, order or output than it does.

The compiled functions are in modules that import Numba (`compiled` lists them). They are loaded behind the
requests' backs; while they are not there, the general reader does everything, and the answers are the same.
"""

from __future__ import annotations

from engine.spec.plain.loading import Native, load, native
from engine.spec.plain.program import PlainGraph, Weaver, read_plain

__all__ = ["Native", "PlainGraph", "Weaver", "load", "native", "read_plain"]
