"""Writes docs/ops.md, the catalogue of ops, from the registry: `make docs`. `--check` only says whether it is current."""

from __future__ import annotations

import sys
from itertools import groupby
from pathlib import Path

import engine.ops  # noqa: F401  # fills the registry
from engine.op import NAMESPACES, Op, registry, signature

TARGET = Path(__file__).resolve().parent.parent / "docs" / "ops.md"

FAMILIES = {
    "structure": "Structure",
    "elementwise": "Elementwise",
    "special": "Special functions",
    "reduction": "Reductions",
    "shape": "Shape",
    "creation": "Creation",
    "indexing": "Indexing",
    "linalg": "Linear algebra",
    "nn": "Neural networks",
    "control": "Control flow",
}

HEAD = """# The ops

Made from the registry by `make docs`; `GET /v1/ops` and `GET /v1/ops/{name}` say the same as JSON. Names are those of the
array API standard, then SciPy's, then PyTorch's; NumPy's and ONNX's names work too and stand under "also". In program
text an op may be written behind the prefix of the library that it comes from: """


def text() -> str:
    """The whole page."""
    parts = [HEAD + ", ".join(f"`{p}.`" for p in NAMESPACES) + ".\n"]
    order = list(FAMILIES)
    ops = sorted(registry, key=lambda op: (order.index(op.family) if op.family in order else 99, op.name))
    for family, members in groupby(ops, key=lambda op: op.family):
        parts.append(f"\n## {FAMILIES.get(family, family.capitalize())}\n\n")
        parts.append("| op | what | where there is no derivative |\n| --- | --- | --- |\n")
        parts.extend(row(op) for op in members)
    return "".join(parts)


def row(op: Op) -> str:
    """One line of a table."""
    also = ", ".join(f"`{a}`" for a in op.aliases)
    name = f"`{op.name}{signature(op)}`" if op.parameters else f"`{op.name}`"
    return f"| {cell(name)}{'<br>also ' + cell(also) if also else ''} | {cell(op.summary)} | {cell(op.convention)} |\n"


def cell(text: str) -> str:
    """Text that does not end its table cell."""
    return text.replace("|", "\\|")


def main() -> int:
    """Write the page, or compare it."""
    page = text()
    if "--check" in sys.argv[1:]:
        current = TARGET.exists() and TARGET.read_text(encoding="utf-8") == page
        print("docs/ops.md is current" if current else "docs/ops.md is out of date: run `make docs`")
        return 0 if current else 1
    TARGET.write_text(page, encoding="utf-8")
    print(f"wrote docs/ops.md: {sum(1 for _ in registry)} ops")
    return 0


if __name__ == "__main__":
    sys.exit(main())
