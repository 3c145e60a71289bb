"""Derivatives by complex steps: f'(x) = Im f(x + ih)/h + O(h²), without a difference and so without cancellation.

With a minute h it has all the digits of f itself, which makes it the best judge of a derivative there is, where every op of
a program can be computed with complex numbers. (W. Squire, G. Trapp, "Using complex variables to estimate derivatives of
real functions", SIAM Rev. 40(1), 1998, doi:10.1137/S003614459631241X.)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from engine.aval import Array
from engine.builder import EagerBuilder
from engine.errors import EngineError
from engine.graph import CONSTANT, INPUT, ITEM, Graph, Node
from engine.numeric.complex_pointwise import imaginary, joined
from engine.numeric.complex_rules import PASSING, RULES
from engine.numeric.differences import Lines
from engine.numeric.function import Function
from engine.op import Linear, Zero

STEP = 1e-50
"""h, times |x| where that is less than 1: its square is nothing beside x, and products with derivatives of 10⁻²⁵⁰ are still
normal numbers."""

MOST_STEPS = 200_000
"""Nodes of long programs that are computed with complex numbers, one after another."""

SMALL = 1e-8
"""h by |x| where x is so small that there are no numbers so much smaller: the square is still less than rounding."""

SMALLEST = 1e-298
"""Of numbers that are smaller and not 0 nothing is found out."""


class Unavailable(Exception):
    """An op does not take complex numbers."""


UNDERFLOW = 1e-290
"""Imaginary parts that are smaller have lost digits on the way, or all."""


def complex_derivatives(
    function: Function, lines: Lines, seeds: Array, shift: Array | float = 0.0
) -> tuple[Array, Array] | None:
    """d/dt Σ seed·f along each line, [seeds, lines], and below which size of it nothing is known, [lines].

    None where an op of the program does not take complex numbers, or it is so long that this would take too long. NaN along
    lines from infinity. With `shift`, at another point nearby.
    """
    span = function.span(lines.which)
    start, count = function.start[span] + shift, lines.count
    size = np.abs(function.base[span][lines.entries])
    step = np.full(count, STEP)
    own = len(lines.entries)
    part = np.where((size > 0) & (size < 1), size, 1.0)
    step[:own] = np.where(part < 1e-200, SMALL * part, STEP * part)
    unknown = ~np.isfinite(size) | (part < SMALLEST)
    found = np.empty((len(seeds), count))
    live = (seeds != 0).any(axis=0)
    if function.long and count * function.cost.nodes > MOST_STEPS:
        return None
    batch = 1 if function.long else max(1, min(count, function.together(4 * count, lines.which) // 4))
    try:
        for first in range(0, count, batch):
            function.meter.look()
            rows = np.arange(first, first + batch) % max(count, 1)
            points = np.repeat(start[None], batch, axis=0).astype(np.complex128)
            single = np.flatnonzero(rows < own)
            points.imag[single, lines.entries[rows[single]]] = step[rows[single]]
            if lines.direction is not None:
                points.imag[rows == own] = STEP * lines.direction
            values = imaginary(_at(function, points, lines.which)).reshape(batch, -1)[:, live]
            last = min(batch, count - first)
            with np.errstate(all="ignore"):
                found[:, first : first + last] = (seeds[:, live] @ values.T)[:, :last] / step[
                    first : first + last
                ]
    except Unavailable:
        return None
    found[:, :own] = np.where(unknown, np.nan, found[:, :own])
    # What is of the order h² in f may be all there is where the derivative is 0.
    return found, UNDERFLOW / step + 1e10 * step


def _at(function: Function, points: Array, which: Sequence[int]) -> Array:
    """f at complex points, together. Raises `Unavailable`."""
    if function.long:
        graph, arguments = function.alone(points[0], which)
    else:
        graph, arguments = function.mapped(len(points), which), function.arguments_at(points, which)
    with np.errstate(all="ignore"):
        try:
            (value,) = Evaluation(function.runner.builder(function.meter)).run(graph, arguments)
        except (EngineError, NotImplementedError, np.linalg.LinAlgError, TypeError) as error:
            raise Unavailable from error
    return np.asarray(value)


class Evaluation:
    """A graph computed with numbers of which some are complex. What depends on none of them is computed as always."""

    def __init__(self, builder: EagerBuilder) -> None:
        self.b = builder

    def run(self, graph: Graph, arguments: Sequence[Any]) -> list[Any]:
        """The graph's results. Raises `Unavailable`."""
        values: list[Any] = [None] * len(graph.nodes)
        for i, value in zip(graph.inputs, arguments, strict=True):
            values[i] = value
        for i, dying in graph.schedule:
            node = graph.nodes[i]
            values[i] = self._node(node, [values[j] for j in node.inputs])
            for j in dying:
                values[j] = None
        return [values[o] for o in graph.outputs]

    def _node(self, node: Node, operands: list[Any]) -> Any:
        op, params = node.op, dict(node.params)
        if op is INPUT or op is CONSTANT:
            return params["value"].value[()]
        if op is ITEM:
            return operands[0][params["index"]]
        self.b.tick()
        moving = [k for k, x in enumerate(operands) if _complex(x)]
        if not moving:
            return self.b.emit(op, operands, node.params)
        if op.name in PASSING and moving == [0]:
            floating = op.name != "cast" or params["dtype"].startswith("float")
            return operands[0] if floating else self.b.emit(op, [operands[0].real], node.params)
        if op.subgraphs:
            body = _BODIES.get(op.name)
            if body is None:
                raise Unavailable(op.name)
            return body(self, operands, params)
        real = [x.real if _complex(x) else x for x in operands]
        value = self.b.emit(op, [_cast(x, o, node) for x, o in zip(real, operands, strict=True)], node.params)
        rule = RULES.get(op.name)
        if rule is not None:
            return _with(value, rule(params, *operands), operands, op.elementwise)
        moving = [k for k in moving if not isinstance(op.rule(k), Zero)]
        if not moving:
            return value
        if not all(isinstance(op.rule(k), Linear) for k in moving):
            raise Unavailable(op.name)
        return joined(value, self._linear(node, real, operands, moving))

    def _linear(self, node: Node, real: list[Any], operands: list[Any], moving: Sequence[int]) -> Array:
        """Imaginary part of an op that is linear in what moves: of several operands together, or in one at a time."""
        total: Any = 0.0
        joint = [k for k in moving if getattr(node.op.rule(k), "joint", False)]
        terms = [[k] for k in moving if k not in joint]
        if joint:
            terms.append(joint)
        for term in terms:
            given = list(real)
            for k, x in enumerate(operands):
                rule = node.op.rule(k)
                if k in term:
                    given[k] = np.ascontiguousarray(x.imag)
                elif term is joint and isinstance(rule, Linear) and rule.joint:
                    given[k] = np.zeros(np.shape(x))
            total = total + self.b.emit(node.op, given, node.params)
        return np.asarray(total)

    # -- ops that hold graphs

    def _scan(self, operands: list[Any], params: dict[str, Any]) -> tuple[Any, ...]:
        body, nk, nx, n = params["body"], params["carries"], params["scanned"], params["length"]
        carries, xs, constants = operands[:nk], operands[nk : nk + nx], operands[nk + nx :]
        rows: list[list[Any]] = [[] for _ in body.outputs[nk:]]
        for t in range(n - 1, -1, -1) if params["reverse"] else range(n):
            found = self.run(body, [*carries, *[x[t] for x in xs], *constants])
            carries = found[:nk]
            for row, y in zip(rows, found[nk:], strict=True):
                row.append(y)
        stacked = []
        for row, aval in zip(rows, body.out_avals[nk:], strict=True):
            ordered = row[::-1] if params["reverse"] else row
            stacked.append(np.stack(ordered) if row else np.empty((0, *aval.shape), aval.dtype))
        return (*carries, *stacked)

    def _while(self, operands: list[Any], params: dict[str, Any]) -> tuple[Any, ...]:
        nk, batch = params["carries"], params["batch"]
        carries, constants = operands[:nk], operands[nk:]
        count = np.zeros(batch, np.int64)
        active = np.asarray(np.real(self.run(params["cond"], [*carries, *constants])[0])).astype(bool)
        while active.any():
            guard = [active] if params["guarded"] else []
            after = self.run(params["body"], [*carries, *constants, *guard])
            if not active.all():
                after = [_of_members(active, new, old) for new, old in zip(after, carries, strict=True)]
            carries = after
            count = count + active
            active = active & np.asarray(self.run(params["cond"], [*carries, *constants])[0]).astype(bool)
        return (*carries, count[()])

    def _cond(self, operands: list[Any], params: dict[str, Any]) -> tuple[Any, ...]:
        return tuple(self.run(params["then"] if operands[0] else params["otherwise"], operands[1:]))

    def _checkpoint(self, operands: list[Any], params: dict[str, Any]) -> tuple[Any, ...]:
        return tuple(self.run(params["body"], operands))

    def _custom(self, operands: list[Any], params: dict[str, Any]) -> tuple[Any, ...]:
        return tuple(self.run(params["value"], operands))


_BODIES = {
    "core.scan": Evaluation._scan,
    "core.while": Evaluation._while,
    "core.cond": Evaluation._cond,
    "core.checkpoint": Evaluation._checkpoint,
    "core.custom": Evaluation._custom,
}


def _complex(x: Any) -> bool:
    return not isinstance(x, tuple) and np.asarray(x).dtype.kind == "c"


def _cast(x: Any, operand: Any, node: Node) -> Any:
    """A real part as the op takes it."""
    if not _complex(operand):
        return x
    array = np.ascontiguousarray(x)
    return array if array.ndim else array[()]


def _of_members(mask: Array, new: Any, old: Any) -> Any:
    return np.where(mask.reshape(mask.shape + (1,) * (np.ndim(new) - mask.ndim)), new, old)


def _with(value: Any, found: Any, operands: Sequence[Any], elementwise: bool) -> Any:
    """The op's own value with the imaginary part that was found, which is 0 where nothing moves and nothing where there is no
    value."""
    if isinstance(value, tuple):
        return tuple(_with(v, f, operands, elementwise) for v, f in zip(value, found, strict=True))
    imag = np.broadcast_to(imaginary(found), np.shape(value))
    imag = np.where(np.isfinite(value), imag, np.nan)
    if elementwise:
        still = np.ones((), bool)
        for x in operands:
            if _complex(x):
                still = still & (x.imag == 0)
        imag = np.where(still, 0.0, imag)
    return joined(value, imag)
