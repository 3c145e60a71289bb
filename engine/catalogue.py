"""The op catalogue: what there is to know of an op, made from the op itself.

`GET /v1/ops` answers with `document`, and the pages of `docs/ops/` are written from the same. Nothing here is kept by
hand but `WRITTEN`, the examples of ops that take functions, which read best as program text.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from engine.aval import Array, aval_of
from engine.derive import Request, prepare
from engine.errors import NotDifferentiable
from engine.execute.meter import Meter
from engine.graph import CONSTANT, INPUT
from engine.language import parse_text
from engine.language.arguments import STARRED
from engine.op import REQUIRED, Attr, Example, Linear, Op, Operand, Zero, signature
from engine.program import Literal, Program, attr_json
from engine.render.latex import op_latex
from engine.spec import read_graph
from engine.specialize import input_arrays, specialize
from engine.values import Given, read_value

_LEAVES = (INPUT, CONSTANT)

WRITTEN: Mapping[str, dict[str, Any]] = {
    "input": {
        "graph": {
            "nodes": [{"id": "x", "op": "input", "value": 2.0}, {"id": "y", "op": "square", "inputs": ["x"]}]
        }
    },
    "constant": {
        "graph": {
            "nodes": [
                {"id": "c", "op": "constant", "value": [1.0, 2.0]},
                {"id": "x", "op": "input"},
                {"id": "y", "op": "multiply", "inputs": ["c", "x"]},
            ]
        },
        "inputs": {"x": 3.0},
    },
    "item": {
        "graph": {
            "nodes": [
                {"id": "x", "op": "input"},
                {"id": "parts", "op": "split", "inputs": ["x"], "attrs": {"indices_or_sections": 2}},
                {"id": "first", "op": "item", "inputs": ["parts"], "attrs": {"index": 0}},
            ]
        },
        "inputs": {"x": [1.0, 2.0, 3.0, 4.0]},
    },
    "cond": {
        "expression": "if x > 1:\n    y = x**2\nelse:\n    y = 2 * x - 1\ny",
        "inputs": {"x": 3.0},
    },
    "scan": {
        "expression": "def step(level, flow):\n    level = rate * level + flow\n    return level, level\n"
        "last, levels = scan(step, 0.0, flows)\nlevels",
        "inputs": {"rate": 0.5, "flows": [1.0, 2.0, 3.0]},
    },
    "fori_loop": {
        "expression": "y = a\nfor i in range(20):\n    y = 0.5 * (y + a / y)\ny",
        "inputs": {"a": 2.0},
    },
    "while_loop": {
        "expression": "y = x\nwhile abs(y) < 100:\n    y = y * y\ny",
        "inputs": {"x": 3.0},
    },
    "map": {
        "expression": "def area(side):\n    return side[0] * side[1]\nmap(area, sides)",
        "inputs": {"sides": [[1.0, 2.0], [3.0, 4.0]]},
    },
    "checkpoint": {
        "expression": "def layer(h):\n    return tanh(w * h)\ncheckpoint(layer)(checkpoint(layer)(x))",
        "inputs": {"w": 1.5, "x": 0.5},
    },
    "custom_vjp": {
        "expression": "def hard(x):\n    return round(x)\ndef straight_through(x, ct):\n    return ct\n"
        "custom_vjp(hard, straight_through)(x) * x",
        "inputs": {"x": 1.75},
    },
    "custom_jvp": {
        "expression": "def f(x):\n    return x**3\ndef rule(x, dx):\n    return 3 * x**2 * dx\n"
        "custom_jvp(f, rule)(x)",
        "inputs": {"x": 2.0},
    },
    "grad": {"expression": "def f(x):\n    return x**3\ngrad(grad(f))(x)", "inputs": {"x": 2.0}},
    "value_and_grad": {
        "expression": "def f(x):\n    return sum(x**2)\nv, g = value_and_grad(f)(x)\nv * g[0]",
        "inputs": {"x": [1.0, 2.0]},
    },
    "jacobian": {
        "expression": "def polar(p):\n    return array([p[0] * cos(p[1]), p[0] * sin(p[1])])\n"
        "det(jacobian(polar)(p))",
        "inputs": {"p": [2.0, 0.5]},
    },
    "hessian": {
        "expression": "def f(x):\n    return x[0]**2 * x[1]\nhessian(f)(x)",
        "inputs": {"x": [1.0, 2.0]},
    },
    "jvp": {
        "expression": "def f(x):\n    return sin(x)\ny, dy = jvp(f, (x,), (v,))\ndy",
        "inputs": {"x": 0.5, "v": 2.0},
    },
    "vjp": {
        "expression": "def f(x):\n    return sin(x)\ny, back = vjp(f, (x,), ct)\nback",
        "inputs": {"x": 0.5, "ct": 2.0},
    },
    "vmap": {
        "expression": "def distance(p):\n    return norm(p - q)\nvmap(distance)(points)",
        "inputs": {"points": [[0.0, 3.0], [4.0, 0.0]], "q": [0.0, 0.0]},
    },
    "root": {
        "expression": "def kepler(E):\n    return E - e * sin(E) - M\nroot(kepler, M)",
        "inputs": {"e": 0.3, "M": 1.0},
    },
    "fixed_point": {
        "expression": "def f(x):\n    return cos(a * x)\nfixed_point(f, 0.5)",
        "inputs": {"a": 1.0},
    },
    "linear_solve": {
        "expression": "def A(x):\n    return k * x - array([x[1], x[0]])\nlinear_solve(A, b)",
        "inputs": {"k": 3.0, "b": [1.0, 2.0]},
    },
}
"""Requests that show an op in use, where its own examples cannot (they hold arrays only, no functions)."""


def document(op: Op) -> dict[str, Any]:
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
        "derivative": derivative(op),
        "convention": op.convention,
        "example": example(op),
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


def derivative(op: Op) -> dict[str, str]:
    """LaTeX of the derivative for each operand: the op's own, or what its rules say."""
    if op.derivative or op.composite:
        return dict(op.derivative)
    found: dict[str, str] = {}
    for k, p in enumerate(op.operands):
        rule = op.rule(k) if op.rules else None
        if isinstance(rule, Zero):
            found[p.name] = "0"
        elif isinstance(rule, Linear):
            found[p.name] = f"\\operatorname{{{op.name.replace('_', chr(92) + '_')}}}(\\dot{{{p.name}}})"
    return found


def written_with(op: Op) -> list[str]:
    """Names of the core ops that a composite is written with, as its first example shows; empty for a core op."""
    body = example(op) if op.composite else None
    if body is None:
        return []
    program, inputs = read(body)
    arrays, integers = input_arrays(program, inputs, "float64")
    avals = {name: aval_of(a) for name, a in arrays.items()}
    typed = specialize(program, avals, statics={n: arrays[n] for n in integers})
    names = (node.op.name.removeprefix("core.") for node in typed.graph.nodes if node.op not in _LEAVES)
    return list(dict.fromkeys(n for n in names if n != op.name))


def read(body: Mapping[str, Any]) -> tuple[Program, dict[str, Given]]:
    """The program and the inputs of a request's body, as `example` gives it."""
    inputs = {name: read_value(value) for name, value in body.get("inputs", {}).items()}
    text = body.get("expression")
    return (read_graph(body["graph"]) if text is None else parse_text(text, inputs=inputs)), inputs


def answer(body: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any], Array | None]:
    """Outputs of a request, gradients of its first output by all inputs, and the seed where that is no scalar.

    There are no gradients where the output has no derivative. Raises `EngineError` for an example that is there to be
    refused.
    """
    program, inputs = read(body)
    outputs = dict(prepare("evaluate", Request(program, inputs, nodes="none")).run(Meter())["outputs"])
    first = np.asarray(next(iter(outputs.values())))
    if first.dtype.kind != "f" or not first.size:
        return outputs, {}, None
    ramp = np.arange(1.0, first.size + 1).reshape(first.shape) if first.ndim else None
    seed = None if ramp is None else Given(ramp, True, True)
    names = {program.steps[i].id for i in program.inputs}
    try:
        found = prepare("grad", Request(program, inputs, seed=seed)).run(Meter())
    except NotDifferentiable:
        return outputs, {}, None
    return outputs, {n: v for n, v in found["gradients"].items() if n in names}, ramp


def example(op: Op) -> dict[str, Any] | None:
    """The op's first example as a body for `POST /v1/evaluate`: text where it can be written so, else a graph."""
    if op.name in WRITTEN:
        return dict(WRITTEN[op.name])
    return next((body for body in (request_of(op, e) for e in op.examples) if body is not None), None)


def request_of(op: Op, example: Example) -> dict[str, Any] | None:
    """An example as the body of a request; None where an operand is absent, which only Python can write."""
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
    arguments = [f"[{', '.join(names)}]"] if variadic and op.name not in STARRED else names
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
    """A nested list of numbers, or an array, as JSON."""
    if isinstance(value, np.ndarray | np.generic):
        return _json(value.tolist()) if np.size(value) else Literal(value, weak=False).to_json()
    if isinstance(value, list | tuple):
        return [_json(v) for v in value]
    if isinstance(value, float) and not math.isfinite(value):
        return attr_json(value)
    return value
