"""Random bodies with plain scalar graphs, and what the general reader makes of a body."""

from __future__ import annotations

import json
import random
import struct
from typing import Any, NamedTuple

import pytest
from pydantic_core import from_json

from engine.errors import EngineError
from engine.program import Literal, Program
from engine.spec import GraphLimits, read_graph
from engine.spec.plain import Native, PlainGraph, load, read_plain

pytest.importorskip("numba")

UNARY = (
    "tanh",
    "Sin",
    "exp",
    "NEGATIVE",
    "neg",
    "relu",
    "sigmoid",
    "square",
    "sqrt",
    "log1p",
    "identity",
    "abs",
)
BINARY = ("add", "+", "Mul", "multiply", "sub", "-", "div", "maximum", "hypot", "ADD", "pow", "**")
NASTY = (
    "0", "-0", "0.0", "-0.0", "1.0", "1e3", "1E+2", "0.1", "1e-7", "1e-6", "0.000001", "123456789012345678",
    "9007199254740993", "1e21", "1e22", "123e-20", "5e-324", "2.4703282292062328e-324", "1.7976931348623157e308",
    "0.30000000000000004", "100", "1.10", "4.35", "2.2250738585072011e-308", "0.1234567890123456789012345678901",
    "9007199254740992.99999999999999999999999999", "7205759403792793200001e-22", "179769313486231580793728971405e279",
)  # fmt: skip
"""Texts of numbers whose value, or canonical text, is easily got wrong."""

SHORT = [text for text in NASTY if sum(map(str.isdigit, text)) < 20]
"""Those that may also stand for inputs on the short road."""


def native() -> Native:
    """The compiled reader."""
    found = load()
    assert found is not None
    return found


def read(data: bytes, most: int = 1_000_000) -> PlainGraph | None:
    """The short road."""
    return read_plain(data, *native(), most)


class Numbers(str):
    """Text of a number, which stands in JSON as it is."""


def dumps(value: Any, r: random.Random) -> str:
    """JSON with `Numbers`, with keys in any order and white space anywhere."""
    blank = r.choice(["", " ", "\n\t", "  \r\n"]) if r.random() < 0.3 else ""
    if isinstance(value, Numbers):
        return blank + str(value)
    if isinstance(value, dict):
        items = list(value.items())
        r.shuffle(items)
        return (
            blank
            + "{"
            + ",".join(f"{json.dumps(k, ensure_ascii=False)}{blank}:{dumps(v, r)}" for k, v in items)
            + blank
            + "}"
        )
    if isinstance(value, list):
        return "[" + ",".join(dumps(v, r) for v in value) + blank + "]"
    return blank + json.dumps(value, ensure_ascii=False)


def number(r: random.Random) -> Numbers:
    """A number that arithmetic can do something with."""
    return Numbers(
        r.choice(
            [
                repr(r.uniform(-2, 2)),
                f"{r.uniform(0, 3):.3f}",
                str(r.randint(-3, 9)),
                f"{r.uniform(1, 9):.2e}",
            ]
        )
    )


def random_body(r: random.Random, size: int, *, shuffle: bool = False, nasty: bool = False) -> dict[str, Any]:
    """A body with a graph of `size` nodes: aliases, any case, literals, defaults, constants, ids of many scripts."""
    literal = (lambda: Numbers(r.choice(NASTY))) if nasty else (lambda: number(r))
    script = r.choice(["n{}", "节点{}", "é{}\u2028", "a b/{}~", "𝔵{}", "x_{}_%s"])
    ids = [script.format(k) for k in range(size)]
    nodes: list[dict[str, Any]] = []
    inputs: dict[str, Any] = {}
    for k, name in enumerate(ids):
        if k == 0 or r.random() < 0.15:
            if r.random() < 0.3 and k:
                nodes.append({"id": name, "op": r.choice(["constant", "Constant"]), "value": literal()})
                continue
            node: dict[str, Any] = {"id": name, "op": r.choice(["input", "INPUT"])}
            if r.random() < 0.3:
                node["value"] = literal()
            if "value" not in node or r.random() < 0.5:
                inputs[name] = Numbers(r.choice(SHORT)) if nasty else number(r)
            if r.random() < 0.1:
                node["inputs"] = []
            nodes.append(node)
            continue
        op = r.choice(UNARY + BINARY)
        count = 2 if op in BINARY else 1
        refs: list[Any] = [ids[r.randrange(max(0, k - 30), k)] for _ in range(count)]
        if count == 2 and r.random() < 0.3:
            refs[r.randrange(2)] = literal()
        node = {"id": name, "op": op, "inputs": refs}
        if r.random() < 0.05:
            node["attrs"] = {}
        nodes.append(node)
    if all(n["op"].lower() in ("input", "constant") for n in nodes):
        nodes.append({"id": "last", "op": "add", "inputs": [ids[0], literal()]})
    if shuffle:
        r.shuffle(nodes)
    graph: dict[str, Any] = {"nodes": nodes}
    if r.random() < 0.5:
        graph["outputs"] = r.sample([n["id"] for n in nodes], min(len(nodes), r.randint(1, 3)))
    return {"graph": graph, "inputs": inputs}


class Told(NamedTuple):
    """What a reader says: ids, ops, operands (literals as their bits) and outputs; the digest; inputs; the rest."""

    nodes: list[tuple[Any, ...]]
    outputs: list[int]
    digest: str
    inputs: dict[str, Any]
    rest: dict[str, Any]


def bits(x: float) -> bytes:
    """A double, −0 told from 0."""
    return struct.pack("<d", x)


def general(data: bytes) -> Told | None:
    """What the general reader says; None if it refuses the body, or the graph."""
    try:
        body = from_json(data, allow_inf_nan=False)
        program = read_graph(body.pop("graph"), limits=GraphLimits())
    except (ValueError, EngineError, KeyError, AttributeError):
        return None
    given = {k: bits(float(v)) for k, v in body.pop("inputs", {}).items()}
    return Told(_nodes(program), list(program.outputs), program.digest, given, body)


def _nodes(program: Program) -> list[tuple[Any, ...]]:
    found = []
    for s in program.steps:
        value = s.attrs.get("value")
        operands = [bits(float(a.value)) if isinstance(a, Literal) else a for a in s.operands]
        found.append((s.id, s.op.name, operands, None if value is None else bits(float(value.value))))
    return found


def told(graph: PlainGraph) -> Told:
    """What the short road says."""
    data = graph.bytes.tobytes()
    ids = [data[a : a + n].decode() for a, n in zip(*(x.tolist() for x in graph.ids), strict=True)]
    nodes: list[tuple[Any, ...]] = []
    for name, row, refs in zip(ids, graph.rows.tolist(), graph.args.tolist(), strict=True):
        operands = [a if a >= 0 else bits(float(graph.literals[-(a + 2) // 2])) for a in refs if a != -1]
        op = graph.table.ops[row]
        value = operands.pop() if row < 2 and operands else None
        nodes.append((name, op.name, operands, value))
    given = {ids[i]: bits(x) for i, x in zip(graph.given[0].tolist(), graph.given[1].tolist(), strict=True)}
    rest = from_json(graph.rest, allow_inf_nan=False)
    assert rest.pop("graph") is None
    assert rest.pop("inputs", {}) == {}
    return Told(nodes, graph.outputs.tolist(), graph.digest(), given, rest)
