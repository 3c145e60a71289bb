"""Programs from text, kept by their text: the same one is often sent again, and reading it is most of the work."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from engine.attrs import IndexArray
from engine.kept import Kept
from engine.language import TextLimits, parse_text
from engine.program import Literal, Program

MOST_BYTES = 64 << 20
"""What the programs that are kept may take together, roughly."""

_texts: Kept[tuple[str, frozenset[str], TextLimits], Program] = Kept(MOST_BYTES)


def program_of_text(text: str, inputs: Iterable[str], limits: TextLimits) -> Program:
    """The program of a text. Raises `EngineError`."""
    key = (text, frozenset(inputs), limits)
    program = _texts.get(key)
    if program is None:
        program = parse_text(text, inputs=key[1], limits=limits)
        names = 100 * len(key[1]) + sum(map(len, key[1]))
        _texts.put(key, program, 4 * len(text) + names + program_bytes(program))
    return program


def program_bytes(program: Program) -> int:
    """Roughly what a program takes in memory: its steps, its text, its constants, and its bodies."""
    total = 0
    todo: list[Any] = [program]
    while todo:
        part = todo.pop()
        if isinstance(part, Program):
            total += 1000 + 500 * len(part.steps) + 4 * len(getattr(part.source, "text", ""))
            for step in part.steps:
                todo += (*step.operands, *step.attrs.values())
        elif isinstance(part, Literal | IndexArray):
            total += part.value.nbytes + 200
        elif type(part) is tuple:
            todo += part
    return total
