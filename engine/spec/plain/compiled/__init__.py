"""Everything that Python calls of the compiled reader and writer. Importing this imports Numba, and compiles what is not on
disk: `engine.spec.plain.load` does so on purpose, nothing else should."""

from engine.spec.plain.compiled.linker import (
    assemble,
    evaluation_order,
    fill,
    given_positions,
    link,
    outputs,
    positions,
    unread,
)
from engine.spec.plain.compiled.scanner import is_utf8, read, survey
from engine.spec.plain.compiled.writer import canonical_nodes, weave, weave_names, weave_number

__all__ = [
    "assemble",
    "canonical_nodes",
    "evaluation_order",
    "fill",
    "given_positions",
    "is_utf8",
    "link",
    "outputs",
    "positions",
    "read",
    "survey",
    "unread",
    "weave",
    "weave_names",
    "weave_number",
]
