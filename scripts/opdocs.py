"""Writes the catalogue of ops from the registry: docs/ops.md, and a page for each op in docs/ops/ (`make docs`).

`--check` only says whether they are current.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Mapping
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

import engine.ops  # noqa: F401  # fills the registry
from engine.catalogue import answer, document, example, request_of, written_with
from engine.errors import EngineError
from engine.op import NAMESPACES, Op, registry, signature
from engine.program import BODY

DOCS = Path(__file__).resolve().parent.parent / "docs"

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
    "derivative": "Derivatives in programs",
}

PASSED = {
    "structure": "A part of how programs are written: derivatives pass through it unchanged.",
    "control": "By the derivatives of the bodies, to any order, in both modes.",
}

HEAD = """# The ops

Made from the registry by `make docs`; `GET /v1/ops` and `GET /v1/ops/{name}` say the same as JSON. Names are those of the
array API standard, then SciPy's, then PyTorch's; NumPy's and ONNX's names work too and stand under "also". In program
text an op may be written behind the prefix of the library that it comes from: """


def pages() -> dict[Path, str]:
    """Every page, by its place."""
    found = {DOCS / "ops.md": index()}
    for op in registry:
        found[DOCS / "ops" / f"{file_name(op)}.md"] = page(op)
    assert len({p.name.lower() for p in found}) == len(found), "two pages that some file systems take for one"
    return found


def file_name(op: Op) -> str:
    """The page's name; ONNX's Max stands beside max, which some file systems take for the same."""
    lower = op.name.lower()
    return op.name if op.name == lower or lower not in registry else f"onnx_{lower}"


# ----------------------------------------------------------------------------------------------------------- the index


def index() -> str:
    """The list of all ops."""
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
    name = f"[`{op.name}{signature(op) if op.parameters else ''}`](ops/{file_name(op)}.md)"
    return f"| {cell(name)}{'<br>also ' + cell(also) if also else ''} | {cell(op.summary)} | {cell(op.convention)} |\n"


def cell(text: str) -> str:
    """Text that does not end its table cell."""
    return text.replace("|", "\\|")


# ------------------------------------------------------------------------------------------------------------ the pages


def page(op: Op) -> str:
    """The page of one op: what it is, its formula, its derivative, its convention, its examples."""
    about = document(op)
    parts = [f"# {op.name}\n", about["description"] + "\n"]
    if op.parameters:
        parts.append(f"    {about['signature']}\n")
    facts = [f"family: {FAMILIES.get(op.family, op.family).lower()}"]
    if op.aliases:
        facts.append("also " + ", ".join(f"`{a}`" for a in op.aliases))
    if op.multiple:
        facts.append("results " + ", ".join(op.results))
    parts.append("; ".join(facts) + "\n")
    if about["latex"]:
        parts.append(f"## Formula\n\n$$\n{about['latex']}\n$$\n")
    parts.append("## Derivative\n\n" + slope(op, about["derivative"]) + "\n")
    if op.convention:
        parts.append(f"## Where there is no derivative\n\n{op.convention}\n")
    shown = list(examples(op))
    if shown:
        parts.append("## Example\n")
        parts += shown
    parts.append("[All ops](../ops.md)\n")
    return "\n".join(parts)


def slope(op: Op, derivative: Mapping[str, str]) -> str:
    """What is said about the derivative."""
    lines = [f"- by `{name}`: ${formula}$" for name, formula in derivative.items()]
    bodies = any(a.kind is BODY for a in op.attrs)
    with_ops = [] if bodies else written_with(op)
    if with_ops:
        names = ", ".join(f"`{n}`" for n in with_ops)
        lines.append(f"- It is written with {names}, and differentiated, to any order, as these are.")
    return "\n".join(lines) or PASSED.get(op.family, "By the rule of the op itself.")


def examples(op: Op) -> Iterator[str]:
    """Calls with their answers: the first, then those that show something hard."""
    first = example(op)
    bodies = [] if first is None else [("", first)]
    for e in op.examples:
        body = request_of(op, e)
        if body is not None and e.note and json.dumps(body) != json.dumps(first):
            bodies.append((e.note, body))
    for note, body in bodies[:4]:
        try:
            outputs, gradients, seed = answer(body)
        except EngineError as refused:
            yield told(note, body, {"detail": refused.detail})
            continue
        asked = dict(body) if seed is None else {**body, "seed": plain(seed)}
        found: dict[str, Any] = {"outputs": outputs}
        if gradients:
            found["gradients"] = gradients
        yield told(note, asked, found)


def told(note: str, body: Mapping[str, Any], found: Mapping[str, Any]) -> str:
    """One example: the body of a request to `/v1/grad` (`/v1/evaluate` without gradients), and parts of the answer."""
    title = f"{note}:\n\n" if note else ""
    answered = {
        k: {n: plain(v) for n, v in p.items()} if isinstance(p, dict) else p for k, p in found.items()
    }
    verb = "grad" if "gradients" in found else "evaluate"
    return f"{title}`POST /v1/{verb}`\n\n```json\n{compact(body)}\n```\n\n```json\n{compact(answered)}\n```\n"


def compact(value: Mapping[str, Any]) -> str:
    """A JSON object, a line for each of its fields."""
    rows = [f"  {json.dumps(k)}: {json.dumps(v, ensure_ascii=False)}" for k, v in value.items()]
    return "{\n" + ",\n".join(rows) + "\n}"


def plain(value: Any) -> Any:
    """An array as nested lists of numbers with ten digits, beyond which machines may differ."""
    array = np.asarray(value)
    if array.dtype.kind != "f":
        return array.tolist()
    finite = np.abs(array[np.isfinite(array)])
    noise = 1e-11 * finite.max(initial=0.0)

    def rounded(x: float) -> float | str:
        if not np.isfinite(x):
            return "NaN" if x != x else "Infinity" if x > 0 else "-Infinity"
        return 0.0 if abs(x) <= noise else float(f"{x:.10g}")

    def go(x: Any) -> Any:
        return [go(v) for v in x] if isinstance(x, list) else rounded(x)

    return go(array.tolist())


_NUMBER = re.compile(r"-?\b\d+\.\d+(?:e[+-]?\d+)?\b")


def alike(page: str, other: str) -> bool:
    """Whether two pages differ in no more than the last digits of numbers, or a sign of theirs.

    BLAS and LAPACK round, and choose the signs of vectors, as the processor they run on has it.
    """
    if page == other:
        return True
    if _NUMBER.sub("#", page) != _NUMBER.sub("#", other):
        return False
    numbers = [np.abs([float(n) for n in _NUMBER.findall(text)]) for text in (page, other)]
    return bool(np.allclose(*numbers, rtol=1e-6, atol=1e-9))


def main() -> int:
    """Write the pages, or compare them."""
    wanted = pages()
    there = {p for p in [DOCS / "ops.md", *(DOCS / "ops").glob("*.md")] if p.exists()}
    checking = "--check" in sys.argv[1:]
    same = alike if checking else str.__eq__
    stale = [p for p, text in wanted.items() if p not in there or not same(p.read_text("utf-8"), text)]
    gone = sorted(there - set(wanted))
    if checking:
        names = ", ".join(p.name for p in [*stale, *gone][:10])
        print("docs/ops is current" if not names else f"docs/ops is out of date ({names}): run `make docs`")
        return 1 if names else 0
    (DOCS / "ops").mkdir(exist_ok=True)
    for p in gone:
        p.unlink()
    for p in stale:
        p.write_text(wanted[p], encoding="utf-8")
    print(f"wrote docs/ops.md and {len(wanted) - 1} pages in docs/ops")
    return 0


if __name__ == "__main__":
    sys.exit(main())
