"""References of loops and choices: plain Python loops over bodies that a few NumPy functions compute."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import mpmath
import numpy as np

from engine.op import Example
from engine.program import INPUT, Literal, Program
from engine.spec import read_body
from tests.engine.conformance import Reference

FUNCTIONS: dict[str, Any] = {
    "add": np.add,
    "subtract": np.subtract,
    "multiply": np.multiply,
    "divide": np.divide,
    "sin": np.sin,
    "exp": np.exp,
    "identity": lambda x: x,
    "less": np.less,
    "greater": np.greater,
    "abs": np.abs,
    "logical_and": np.logical_and,
    "sum": np.sum,
}


def run(body: Program, arguments: Sequence[Any]) -> list[Any]:
    """A body's results, by NumPy."""
    values: list[Any] = []
    given = iter(arguments)
    for step in body.steps:
        if step.op is INPUT:
            values.append(next(given))
            continue
        operands = [a.value if isinstance(a, Literal) else values[a] for a in step.operands if a is not None]
        values.append(FUNCTIONS[step.op.name](*operands))
    return [values[o] for o in body.outputs]


def body(inputs: str, outputs: str, **nodes: Any) -> Program:
    """A subgraph from a table: result = [op, operand, operand]."""
    document = {
        "inputs": inputs.split(),
        "outputs": outputs.split(),
        "nodes": [{"id": name, "op": op, "inputs": operands} for name, (op, *operands) in nodes.items()],
    }
    return read_body(document)


def _scan(
    *operands: Any, carry: int, scanned: int, body: Program, length: Any, reverse: bool, locals: int, **_: Any
) -> Any:
    carries, xs, constants = operands[:carry], operands[carry : carry + scanned], operands[carry + scanned :]
    n = len(xs[0]) if xs else length
    ys: list[list[Any]] = []
    last = [0.0] * locals
    for t in reversed(range(n)) if reverse else range(n):
        out = run(body, [*carries, *(x[t] for x in xs), *constants])
        carries, last = tuple(out[:carry]), out[carry : carry + locals]
        ys.append(out[carry + locals :])
    if reverse:
        ys.reverse()
    stacked = [np.array([y[k] for y in ys]) for k in range(len(body.outputs) - carry - locals)]
    return (*carries, *last, *stacked)


def _fori_loop(
    *operands: Any, start: int, stop: int, carry: int, body: Program, locals: int, integers: Any
) -> Any:
    def loop(carries: tuple[Any, ...]) -> tuple[Any, ...]:
        last: list[Any] = [0.0] * locals
        for i in range(start, stop):
            out = run(body, [i, *carries, *operands[carry:]])
            carries, last = tuple(out[:carry]), out[carry:]
        return (*carries, *last)

    # A carry that is written as an integer is one if only integers come to it, as in Python.
    whole = [k for k in integers if np.isreal(operands[k]) and float(np.real(operands[k])).is_integer()]
    counted = loop(tuple(np.int64(v) if k in whole else v for k, v in enumerate(operands[:carry])))
    kept = all(np.asarray(counted[k]).dtype.kind == "i" for k in whole)
    return counted if kept else loop(operands[:carry])


def _cond(condition: Any, *operands: Any, **branches: Program) -> Any:
    return tuple(run(branches["then" if condition else "else"], operands))


def _while_loop(*operands: Any, carry: int, cond: Program, body: Program, locals: int, **_: Any) -> Any:
    carries, constants = list(operands[:carry]), operands[carry:]
    last: list[Any] = []
    while run(cond, [*carries, *constants])[0]:
        out = run(body, [*carries, *constants])
        carries, last = out[:carry], out[carry:]
    if not last and locals:
        last = [np.zeros(np.shape(y)) for y in run(body, [*carries, *constants])[carry:]]
    return (*carries, *last)


def _map(*operands: Any, scanned: int, body: Program) -> Any:
    xs, constants = operands[:scanned], operands[scanned:]
    members = [run(body, [*slices, *constants]) for slices in zip(*xs, strict=True)]
    count = len(body.outputs)
    if not members:
        likes = run(body, [*(np.zeros(x.shape[1:]) for x in xs), *constants])
        return tuple(np.zeros((0, *np.shape(y))) for y in likes)
    return tuple(np.array([m[k] for m in members]) for k in range(count))


def _checkpoint(*operands: Any, body: Program) -> Any:
    return tuple(run(body, operands))


SUM_OF_SINES = body("c x a", "d y", m=("multiply", "c", "a"), d=("add", "m", "x"), y=("sin", "d"))
TWO_CARRIES = body("p q x", "r s", r=("add", "p", "x"), m=("multiply", "q", "x"), s=("sin", "m"))
POWERS = body("c a", "d y", d=("multiply", "c", "a"), y=("multiply", "d", "d"))
BABYLON = body("i y a", "h", q=("divide", "a", "y"), s=("add", "y", "q"), h=("multiply", 0.5, "s"))
SCALED = body("c x", "d y z", d=("multiply", "c", "x"), y=("sin", "d"), z=("add", "d", "x"))
TALLY = body("i n u a", "m v w", m=("add", "n", "i"), v=("multiply", "u", "a"), w=("multiply", "n", "a"))
GROWN = body("i n a", "m", m=("multiply", "n", "a"))
TURN = body("i u v", "w z", w=("sin", "v"), m=("multiply", "u", "v"), z=("add", "m", "i"))
SINE = body("x y", "r", m=("multiply", "x", "y"), r=("sin", "m"))
GROWTH = body("x y", "r", m=("exp", "x"), r=("divide", "m", "y"))
BOTH = body("x y", "s p", s=("add", "x", "y"), p=("multiply", "x", "y"))
NEITHER = body("x y", "s p", s=("subtract", "x", "y"), p=("sin", "x"))
NOT_THERE = body(
    "y a", "g", s=("multiply", "y", "y"), d=("subtract", "s", "a"), e=("abs", "d"), g=("greater", "e", 0.01)
)
STEP = body("y a", "h", q=("divide", "a", "y"), s=("add", "y", "q"), h=("multiply", 0.5, "s"))
BELOW = body("u n x", "m", s=("sum", "u"), m=("less", "s", 9.0))
GROW = body("u n x", "v m", v=("multiply", "u", "x"), m=("add", "n", 1.0))
COUNTED = body("u n x", "m", m=("less", "n", 1.5))
WITH_LOCAL = body("u n x", "v m w", v=("sin", "u"), m=("add", "n", 1.0), w=("multiply", "v", "x"))

TABLE: dict[str, Reference] = {
    "while_loop": Reference(
        _while_loop,
        examples=(
            Example((2.0, 3.0), {"cond": NOT_THERE, "body": STEP}),
            Example(([1.0, 1.5], 0.0, 1.3), {"carry": 2, "cond": BELOW, "body": GROW}),
            Example(
                (1.0, 0.0, [1.2, 1.5]),
                {"carry": 2, "cond": BELOW, "body": GROW},
                note="a carry that broadcasts",
            ),
            Example(([0.5, 1.0], 0.0, 3.0), {"carry": 2, "cond": COUNTED, "body": WITH_LOCAL, "locals": 1}),
            Example((9.5, 0.0, 2.0), {"carry": 2, "cond": BELOW, "body": GROW}, note="no step"),
            Example(
                (0.5, 2.0, 2.0),
                {"carry": 2, "cond": COUNTED, "body": WITH_LOCAL, "locals": 1},
                note="no step, and a local",
            ),
        ),
    ),
    "map": Reference(
        _map,
        examples=(
            Example(([0.5, -1.0, 2.0], 1.5), {"body": SINE}),
            Example(
                ([[0.5, -1.0], [1.0, 2.0]], [1.5, 0.5], 2.0),
                {
                    "scanned": 2,
                    "body": body(
                        "x y z", "p q", m=("multiply", "x", "y"), p=("sin", "m"), q=("multiply", "y", "z")
                    ),
                },
            ),
            Example(([], 1.5), {"body": SINE}, note="no member"),
        ),
    ),
    "checkpoint": Reference(
        _checkpoint,
        examples=(
            Example(([0.5, -1.5], 2.0), {"body": SINE}),
            Example((0.5, [2.0, 1.0]), {"body": BOTH}, note="two results"),
        ),
    ),
    "stop_gradient": Reference(
        lambda x: x,
        exact=lambda x: mpmath.mpf(0),
        derived=lambda point, x: point[0] + 0 * np.real(x),
    ),
    "scan": Reference(
        _scan,
        examples=(
            Example((0.5, [1.0, -2.0, 3.0], 0.7), {"carry": 1, "body": SUM_OF_SINES}),
            Example(
                ([0.5, 1.0], [[1.0, -2.0], [3.0, 0.25]], 0.7),
                {"carry": 1, "body": SUM_OF_SINES, "reverse": True},
            ),
            Example((0.5, 2.0, [1.0, -2.0, 3.0]), {"carry": 2, "body": TWO_CARRIES}),
            Example((0.5, 1.5), {"carry": 1, "scanned": 0, "length": 3, "body": POWERS}),
            Example((0.5, [], 0.7), {"carry": 1, "body": SUM_OF_SINES}, note="no step"),
            Example(
                (0.5, [1.0, -2.0, 3.0]),
                {"carry": 1, "body": SCALED, "locals": 1},
                note="the last of y, all z",
            ),
        ),
    ),
    "fori_loop": Reference(
        _fori_loop,
        examples=(
            Example((2.0, 3.0), {"stop": 2, "body": BABYLON}),
            Example(([2.0, 1.5], 3.0), {"stop": 2, "body": BABYLON}, note="a carry that broadcasts"),
            Example(
                (0.5, [1.0, 2.0]),
                {"start": 2, "stop": 4, "carry": 2, "body": TURN},
                note="the counter counts",
            ),
            Example((2.0, 3.0), {"stop": 0, "body": BABYLON}, note="no step"),
            Example((0.5, 1.5), {"stop": 3, "body": TURN, "locals": 1, "carry": 1}, note="a local"),
            Example(
                (3.0, 0.5, [1.5, 2.0]),
                {"stop": 3, "carry": 2, "body": TALLY, "locals": 1, "integers": (0,)},
                smooth=False,
                note="a counter, and a value of the body's own",
            ),
            Example((3.0, 0.5, [1.5, 2.0]), {"stop": 3, "carry": 2, "body": TALLY, "locals": 1}),
            Example((3.0, 0.5), {"stop": 2, "body": GROWN, "integers": (0,)}, note="no integer for long"),
        ),
    ),
    "cond": Reference(
        _cond,
        examples=(
            Example((True, [0.5, -1.5], 2.0), {"then": SINE, "else": GROWTH}),
            Example((False, [0.5, -1.5], [2.0, 0.5]), {"then": SINE, "else": GROWTH}),
            Example((True, 0.5, 2.0), {"then": BOTH, "else": NEITHER}, note="two results"),
        ),
    ),
}
