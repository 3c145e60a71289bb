"""The op catalogue as `GET /v1/ops` shows it, made from the ops themselves."""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping
from functools import cache
from typing import Any

import engine.ops  # noqa: F401  # fills the registry
from engine.errors import EngineError
from engine.op import REQUIRED, Attr, Op, Operand, registry, signature
from engine.program import attr_json
from engine.render.latex import op_latex
from service.problems import problem


@cache
def catalogue() -> dict[str, dict[str, Any]]:
    """All ops that users can name, by name."""
    return {op.name: _document(op) for op in sorted(registry, key=lambda op: op.name)}


def find(name: str) -> dict[str, Any]:
    """One op by name or alias. Raises `Problem` (not-found) with the nearest names."""
    try:
        return catalogue()[registry.find(name)[0].name]
    except EngineError as error:
        raise problem("not-found", error.detail, suggestions=error.suggestions) from None


def _document(op: Op) -> dict[str, Any]:
    return {
        "name": op.name,
        "aliases": list(op.aliases),
        "family": op.family,
        "summary": op.summary,
        "description": inspect.cleandoc(op.__doc__ or ""),
        "signature": f"{op.name}{signature(op)}",
        "operands": [_operand(p) for p in op.operands],
        "results": list(op.results),
        "attrs": [_attr(a) for a in op.attrs],
        "shapes": _shapes(op),
        "latex": op_latex(op),
        "derivative": dict(op.derivative),
        "convention": op.convention,
        "example": _example(op),
    }


def _operand(p: Operand) -> dict[str, Any]:
    kind = "integer" if p.integer else "boolean" if p.boolean else "number"
    return {
        "name": p.name,
        "aliases": list(p.aliases),
        "kind": kind,
        "optional": p.optional,
        "variadic": p.variadic,
    }


def _attr(a: Attr) -> dict[str, Any]:
    found: dict[str, Any] = {
        "name": a.name,
        "aliases": list(a.aliases),
        "kind": a.kind.name,
        "required": a.default is REQUIRED,
        "keyword_only": a.keyword_only,
    }
    if a.default is not REQUIRED:
        found["default"] = attr_json(a.default)
    return found


def _shapes(op: Op) -> str | None:
    """How the result's shape follows: what the docstring says of it, as in `x: [*s], i: [*i] -> [*i, *s]`."""
    for line in inspect.cleandoc(op.__doc__ or "").splitlines():
        if "->" in line and "[" in line:
            return line.strip()
    return "the common shape of the operands, by broadcasting" if op.elementwise else None


def _example(op: Op) -> dict[str, Any] | None:
    """The op's first example as a body for `POST /v1/evaluate`: text where it can be written so, else a graph."""
    if not op.examples:
        return None
    example = op.examples[0]
    names: list[str] = []
    inputs: dict[str, Any] = {}
    for k, value in enumerate(example.operands):
        if value is None:
            return None
        name = op.operands[min(k, len(op.operands) - 1)].name
        if op.operands[min(k, len(op.operands) - 1)].variadic or name in inputs:
            name = f"{name.removesuffix('s')}{k + 1}"
        names.append(name)
        inputs[name] = _json(value)
    body = _as_text(op, names, example.attrs) or _as_graph(op, names, example.attrs)
    return {**body, "inputs": inputs}


def _as_text(op: Op, names: list[str], attrs: Mapping[str, Any]) -> dict[str, Any] | None:
    operands_first = all(isinstance(p, Operand) for p in op.parameters[: len(op.operands)])
    variadic = any(p.variadic for p in op.operands)
    if op.multiple or not operands_first or (variadic and len(op.operands) > 1):
        return None
    if not all(isinstance(v, bool | int | str | tuple | list | None) for v in attrs.values()):
        return None
    arguments = [f"[{', '.join(names)}]"] if variadic else names
    call = ", ".join([*arguments, *(f"{k}={v!r}" for k, v in attrs.items())])
    return {"expression": f"{op.name}({call})"}


def _as_graph(op: Op, names: list[str], attrs: Mapping[str, Any]) -> dict[str, Any]:
    nodes: list[dict[str, Any]] = [{"id": name, "op": "input"} for name in names]
    node: dict[str, Any] = {"id": "result", "op": op.name, "inputs": names}
    if attrs:
        node["attrs"] = {k: attr_json(v) for k, v in attrs.items()}
    nodes.append(node)
    if op.multiple:
        nodes.append({"id": "first", "op": "item", "inputs": ["result"], "attrs": {"index": 0}})
    return {"graph": {"nodes": nodes}}


def _json(value: Any) -> Any:
    """A nested list of numbers as JSON."""
    if isinstance(value, list | tuple):
        return [_json(v) for v in value]
    if isinstance(value, float) and not math.isfinite(value):
        return attr_json(value)
    return value
