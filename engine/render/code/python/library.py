"""Functions of our own sources as text that stands alone: a function with all that it needs, without annotations.

What an op computes is written once, in the engine. Where that is more than a line of NumPy, generated code holds the very
function: its source is read from the module it is defined in, and so are the functions and constants that it names. Types
are left out, names get an underscore in front, and what is imported from elsewhere becomes an import.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import io
import re
import tokenize
from collections.abc import Callable, Iterator
from functools import cache
from types import ModuleType
from typing import Any, NamedTuple

_DEFAULT = re.compile(r"\s*=\s*")
_REMARK = re.compile(r"#\s*(?:type:|noqa|fmt:)")

LIBRARIES = {
    "numpy": "import numpy as np",
    "scipy.special": "from scipy import special",
    "scipy.linalg": "from scipy import linalg",
}
"""Modules that generated code knows by a name of its own."""


class Piece(NamedTuple):
    """A definition of a module: its text with places for names, what it needs of our own, and import lines.

    `parts` are pieces of text and, between them, the (module, name) that stands there.
    """

    parts: tuple[str | tuple[str, str], ...]
    needs: tuple[tuple[str, str], ...]
    imports: frozenset[str]


class _Source(NamedTuple):
    text: str
    defined: dict[str, ast.stmt]
    imported: dict[str, tuple[str, str]]
    """Name → module and the name in it, empty for the module itself."""


@cache
def _source(module: str) -> _Source:
    found: ModuleType = importlib.import_module(module)
    text = inspect.getsource(found)
    defined: dict[str, ast.stmt] = {}
    imported: dict[str, tuple[str, str]] = {}
    for statement in ast.parse(text).body:
        match statement:
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                defined[name] = statement
            case ast.Assign(targets=targets):
                for target in targets:
                    for name in _names(target):
                        defined[name] = statement
            case ast.AnnAssign(target=ast.Name(id=name)):
                defined[name] = statement
            case ast.Import(names=names):
                for alias in names:
                    imported[alias.asname or alias.name] = (alias.name, "")
            case ast.ImportFrom(module=str(parent), names=names):
                for alias in names:
                    imported[alias.asname or alias.name] = (parent, alias.name)
    return _Source(text, defined, imported)


def _names(target: ast.expr) -> Iterator[str]:
    for node in ast.walk(target):
        if isinstance(node, ast.Name):
            yield node.id


class _Edits:
    """Replacements of stretches of a text, which do not overlap; those of an annotation win over what is inside."""

    def __init__(self, text: str) -> None:
        self.lines = text.splitlines(keepends=True)
        self.starts = [0]
        for line in self.lines:
            self.starts.append(self.starts[-1] + len(line))
        self.found: list[tuple[int, int, str | tuple[str, str]]] = []

    def offset(self, line: int, column: int) -> int:
        """Position of a place that the parser names by line and UTF-8 bytes."""
        row = self.lines[line - 1]
        return self.starts[line - 1] + len(row.encode()[:column].decode())

    def span(self, node: Any) -> tuple[int, int]:
        """Where a node starts and ends."""
        return (
            self.offset(node.lineno, node.col_offset),
            self.offset(node.end_lineno or 0, node.end_col_offset or 0),
        )


@cache
def piece(module: str, name: str) -> Piece:
    """A definition of a module."""
    source = _source(module)
    statement = source.defined[name]
    edits = _Edits(source.text)
    text = source.text
    gone: list[tuple[int, int]] = []
    for node in ast.walk(statement):
        match node:
            case ast.arg(annotation=ast.expr() as annotation):
                start, end = (
                    edits.offset(node.lineno, node.col_offset) + len(node.arg),
                    edits.span(annotation)[1],
                )
                gone.append((start, end))
                default = _DEFAULT.match(text, end)
                edits.found.append((start, default.end(), "=") if default else (start, end, ""))
            case ast.FunctionDef(returns=ast.expr() as returns):
                start, end = edits.span(returns)
                start = text.rindex("->", 0, start)
                start -= len(text[:start]) - len(text[:start].rstrip())
                gone.append((start, end))
                edits.found.append((start, end, ""))
            case ast.AnnAssign(target=target, annotation=annotation, value=value):
                start, end = edits.span(target)[1], edits.span(annotation)[1]
                gone.append((start, end))
                edits.found.append((start, end, "" if value is not None else ": object"))
    own = _bound(statement)
    needs: dict[tuple[str, str], None] = {}
    imports: set[str] = set()

    def refer(start: int, end: int, module: str, name: str) -> None:
        needs[module, name] = None
        edits.found.append((start, end, (module, name)))

    if isinstance(statement, ast.FunctionDef | ast.ClassDef):
        word = "def " if isinstance(statement, ast.FunctionDef) else "class "
        start = edits.offset(statement.lineno, statement.col_offset) + len(word)
        edits.found.append((start, start + len(name), (module, name)))
    attributes = {id(n.value): n for n in ast.walk(statement) if isinstance(n, ast.Attribute)}
    for node in ast.walk(statement):
        if not isinstance(node, ast.Name):
            continue
        start, end = edits.span(node)
        if any(a <= start < b for a, b in gone):
            continue
        if node.id in source.defined and source.defined[node.id] is statement and node.id != name:
            refer(start, end, module, node.id)
        elif node.id == name and not isinstance(statement, ast.FunctionDef | ast.ClassDef):
            edits.found.append((start, end, (module, name)))
        elif node.id in own:
            continue
        elif node.id in source.defined:
            refer(start, end, module, node.id)
        elif node.id in source.imported:
            parent, inner = source.imported[node.id]
            if parent.startswith("engine.") and not inner:
                continue
            if parent.startswith("engine."):
                refer(start, end, parent, inner)
                continue
            if not inner and "." in parent:
                raise ValueError(f"{module}: import {parent} under a name of its own")
            imports.add(_import(parent, inner, node.id))
        elif node.id == "scipy":
            outer = attributes[id(node)]
            library = f"scipy.{outer.attr}"
            imports.add(LIBRARIES[library])
            edits.found.append((*edits.span(outer), outer.attr))
    first, last = edits.span(statement)
    parts: list[str | tuple[str, str]] = []
    at = first
    inside_gone = sorted(gone)
    for start, end, new in sorted(edits.found, key=lambda e: (e[0], -e[1])):
        if start < at and (start, end) not in inside_gone:
            continue
        if start < at:
            continue
        parts += [text[at:start], new]
        at = end
    parts.append(text[at:last])
    needs.pop((module, name), None)
    return Piece(tuple(p for p in parts if p), tuple(needs), frozenset(imports))


def _import(parent: str, inner: str, known: str) -> str:
    if not inner:
        return f"import {parent}" if known == parent else f"import {parent} as {known}"
    return f"from {parent} import {inner}" + (f" as {known}" if known != inner else "")


def _bound(statement: ast.stmt) -> set[str]:
    """Names that a definition binds inside."""
    if not isinstance(statement, ast.FunctionDef | ast.ClassDef):
        return set()
    found: set[str] = set()
    for node in ast.walk(statement):
        match node:
            case ast.arg(arg=name) | ast.Name(id=name, ctx=ast.Store()):
                found.add(name)
            case ast.FunctionDef(name=name) if node is not statement:
                found.add(name)
    return found


def _without_remarks(text: str) -> str:
    """The text without comments that speak to tools."""
    lines = text.splitlines(keepends=True)
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT and _REMARK.match(token.string):
            row, column = token.start
            lines[row - 1] = lines[row - 1][:column].rstrip() + "\n"
    return "".join(lines)


def text_of(found: Piece, names: Callable[[tuple[str, str]], str]) -> str:
    """A definition with names put in."""
    whole = "".join(p if isinstance(p, str) else names(p) for p in found.parts)
    return _without_remarks(whole + "\n").rstrip()
