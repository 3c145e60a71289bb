"""Several unknowns as one vector: how the implicit ops see what a body computes with."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

from engine.attrs import number
from engine.aval import Aval, Shape
from engine.builder import Builder, GraphBuilder, Var, call
from engine.errors import Arity, DtypeMismatch, ShapeMismatch
from engine.graph import Graph
from engine.op import Kind
from engine.ops.control.derived import operand_name, placed
from engine.program import Body
from engine.transforms.simplify import simplify


def _tolerance(value: Any) -> float:
    found = number(value)
    if not 0 < found < 1:
        raise ValueError(f"{found:g} is not between 0 and 1")
    return found


TOLERANCE = Kind("a number between 0 and 1", _tolerance)


def _count(shapes: Sequence[Shape]) -> list[int]:
    return [prod(s) for s in shapes]


def pack(b: Builder, parts: Sequence[Var]) -> Var:
    """All entries as one vector."""
    flat = [placed(v, (v.size,)) for v in parts]
    return flat[0] if len(flat) == 1 else call(b, "concat", *flat)


def unpack(b: Builder, vector: Var, shapes: Sequence[Shape]) -> list[Var]:
    """A vector cut into arrays of these shapes."""
    if len(shapes) == 1:
        return [placed(vector, shapes[0])]
    parts: list[Var] = []
    at = 0
    for shape, n in zip(shapes, _count(shapes), strict=True):
        piece: Var = b.write("slice", vector, index=((at, at + n, 1),))
        parts.append(placed(piece, shape))
        at += n
    return parts


def packed_body(
    name: str, b: Builder, body: Body, operands: Sequence[Var], carry: int, what: str
) -> tuple[list[Var], list[Var], list[Shape], Graph]:
    """The unknowns' operands as floats, the constants, the unknowns' shapes, and the body as a function of one vector.

    The body must return as many arrays as there are unknowns, of their shapes. Raises `Arity`, `ShapeMismatch` and
    `DtypeMismatch`.
    """
    if carry < 1:
        raise Arity(f"{name} needs at least one unknown; carry is {carry}.")
    if len(operands) < carry:
        raise Arity(f"{name} needs {what} for each of {carry} unknowns; it has {len(operands)} operands.")
    first = []
    for k, v in enumerate(operands[:carry]):
        if v.dtype == "bool":
            raise DtypeMismatch(f"{name}: {operand_name(body, k)} must hold numbers; it holds booleans.")
        first.append(v if v.aval.floating else call(b, "astype", v, dtype="float"))
    constants = list(operands[carry:])
    avals = [v.aval for v in first]
    graph = body.graph([*avals, *[v.aval for v in constants]])
    if len(graph.outputs) != carry:
        raise Arity(
            f"{name}: the body must return {carry} value{'s' * (carry != 1)}, one for each unknown; it returns "
            f"{len(graph.outputs)}."
        )
    for k, (a, out) in enumerate(zip(avals, graph.out_avals, strict=True)):
        if out.shape != a.shape or out.dtype == "bool":
            raise ShapeMismatch(
                f"{name}: result {k} of the body must be as {operand_name(body, k)}, {a}; it is {out}."
            )
    shapes = [a.shape for a in avals]
    inner = GraphBuilder(b.dtype)
    vector = Var(inner, inner.input(Aval((sum(_count(shapes)),), b.dtype)))
    rest = [inner.input(v.aval) for v in constants]
    outs = inner.inline(graph, [*[v.ref for v in unpack(inner, vector, shapes)], *rest])
    parts = [Var(inner, o) for o in outs]
    parts = [v if v.aval.floating else call(inner, "astype", v, dtype="float") for v in parts]
    packed = simplify(inner.build([pack(inner, parts).ref]), b.dtype, b.limits.get("step"))
    return first, constants, shapes, packed
