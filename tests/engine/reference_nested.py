"""References of derivatives inside programs and of implicit functions.

Derivatives are differences of bodies that are computed with 60 digits; roots are found by mpmath, linear systems are
solved by NumPy from matrices made column by column.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import mpmath
import numpy as np

from engine.aval import Array
from engine.op import Example
from engine.program import INPUT, Literal, Program
from tests.engine.conformance import Reference
from tests.engine.reference_control import body

DIGITS = 60
STEP = mpmath.mpf(10) ** -20


def _each(function: Callable[[Any], Any]) -> Callable[..., Any]:
    return np.frompyfunc(function, 1, 1)


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "add": lambda x, y: x + y,
    "subtract": lambda x, y: x - y,
    "multiply": lambda x, y: x * y,
    "divide": lambda x, y: x / y,
    "negative": lambda x: -x,
    "sin": _each(mpmath.sin),
    "cos": _each(mpmath.cos),
    "exp": _each(mpmath.exp),
    "tanh": _each(mpmath.tanh),
    "log": _each(mpmath.log),
    "square": lambda x: x * x,
    "sum": np.sum,
    "matmul": lambda x, y: x @ y,
    "identity": lambda x: x,
}


def run(program: Program, arguments: Sequence[Any]) -> list[Any]:
    """A body's results, in whatever arithmetic the arguments have."""
    values: list[Any] = []
    given = iter(arguments)
    for step in program.steps:
        if step.op is INPUT:
            values.append(next(given))
            continue
        operands = [a.value if isinstance(a, Literal) else values[a] for a in step.operands]  # type: ignore[index]
        values.append(FUNCTIONS[step.op.name](*operands))
    return [values[o] for o in program.outputs]


def many(x: Any) -> Any:
    """An array of numbers of many digits (integers and booleans as they are)."""
    a = np.asarray(x)
    if a.dtype.kind in "ib" or a.dtype == object:
        return a
    if a.dtype.kind == "c":
        raise TypeError("differences of complex numbers are no derivative")
    out = np.empty(a.shape, object)
    for at in np.ndindex(a.shape):
        out[at] = mpmath.mpf(float(a[at]))
    return out if a.ndim else out[()]


def few(x: Any) -> Array:
    """The nearest doubles."""
    a = np.asarray(x)
    return a if a.dtype != object else np.vectorize(float, otypes=[np.float64])(a)


def along(f: Callable[[Sequence[Any]], list[Any]], xs: Sequence[Any], ds: Sequence[Any]) -> list[Any]:
    """Central differences along a direction."""

    def at(h: Any) -> list[Any]:
        return f([x if d is None else x + h * d for x, d in zip(xs, ds, strict=True)])

    return [(p - q) / (2 * STEP) for p, q in zip(at(STEP), at(-STEP), strict=True)]


def derivative(f: Callable[[Sequence[Any]], list[Any]], xs: Sequence[Any], k: int) -> list[Any]:
    """For each result an array of [*result, *operand k]."""
    shape = np.shape(xs[k])
    columns = []
    for at in np.ndindex(shape):
        unit = np.zeros(shape, object)
        unit[at] = mpmath.mpf(1)
        columns.append(along(f, xs, [unit if j == k else None for j in range(len(xs))]))
    results = []
    for r in range(len(columns[0])):
        stacked = np.stack([np.asarray(c[r], object) for c in columns], axis=-1)
        results.append(stacked.reshape((*np.shape(columns[0][r]), *shape)))
    return results


def precise(function: Callable[..., Any]) -> Callable[..., Any]:
    """A reference that computes with many digits and returns doubles."""

    def go(*operands: Any, **attrs: Any) -> Any:
        with mpmath.workdps(DIGITS):
            result = function(*[many(x) for x in operands], **attrs)
        return tuple(few(r) for r in result) if isinstance(result, tuple) else few(result)

    return go


@precise
def _grad(*xs: Any, body: Program, wrt: Sequence[int]) -> Any:
    return tuple(derivative(lambda v: run(body, v), xs, k)[0] for k in wrt)


@precise
def _value_and_grad(*xs: Any, body: Program, wrt: Sequence[int]) -> Any:
    return (run(body, xs)[0], *(derivative(lambda v: run(body, v), xs, k)[0] for k in wrt))


@precise
def _jacobian(*xs: Any, body: Program, wrt: int) -> Any:
    return derivative(lambda v: run(body, v), xs, wrt)[0]


@precise
def _hessian(*xs: Any, body: Program, wrt: int) -> Any:
    return derivative(lambda v: derivative(lambda u: run(body, u), v, wrt), xs, wrt)[0]


def _floating(x: Any) -> bool:
    return np.asarray(x).dtype == object or isinstance(x, mpmath.mpf)


@precise
def _jvp(*operands: Any, body: Program, constants: int) -> Any:
    n = len(body.inputs)
    xs, given = operands[:n], iter(operands[n:])
    ds = [next(given) if _floating(x) and k < n - constants else None for k, x in enumerate(xs)]
    return (*run(body, xs), *along(lambda v: run(body, v), xs, ds))


@precise
def _vjp(*operands: Any, body: Program) -> Any:
    n = len(body.inputs)
    xs, cts = operands[:n], operands[n:]
    backs = []
    for k, x in enumerate(xs):
        if not _floating(x):
            continue
        total = 0
        for j, ct in zip(derivative(lambda v: run(body, v), xs, k), cts, strict=True):
            total = total + np.tensordot(np.asarray(ct, object), np.asarray(j, object), axes=np.ndim(ct))
        backs.append(total)
    return (*run(body, xs), *backs)


def _vmap(*operands: Any, body: Program, in_axes: Any) -> Any:
    axes = in_axes if isinstance(in_axes, tuple) else [in_axes] * len(operands)
    size = next(np.shape(x)[a] for x, a in zip(operands, axes, strict=True) if a is not None)
    rows = []
    for m in range(size):
        member = [x if a is None else np.take(x, m, a) for x, a in zip(operands, axes, strict=True)]
        with mpmath.workdps(DIGITS):
            rows.append([few(r) for r in run(body, [many(x) for x in member])])
    return tuple(np.stack([row[r] for row in rows]) for r in range(len(body.outputs)))


@precise
def _function(*operands: Any, body: Program, **rules: Any) -> Any:
    return tuple(run(body, operands))


def _flat(parts: Sequence[Any]) -> list[Any]:
    return [v for p in parts for v in np.asarray(p, object).reshape(-1)]


def _cut(entries: Sequence[Any], like: Sequence[Any]) -> list[Any]:
    parts, at = [], 0
    for x in like:
        n = int(np.size(x))
        part = np.array(list(entries[at : at + n]), object).reshape(np.shape(x))
        parts.append(part if part.ndim else part[()])
        at += n
    return parts


def _solved(f: Callable[[Sequence[Any]], list[Any]], start: Sequence[Any]) -> Any:
    first = _flat(start)
    if len(first) == 1:
        found = [mpmath.findroot(lambda x: _flat(f(_cut([x], start)))[0], first[0], tol=1e-90)]
    else:
        found = list(mpmath.findroot(lambda *x: _flat(f(_cut(x, start))), first, tol=1e-90))
    return tuple(_cut(found, start))


@precise
def _root(*operands: Any, body: Program, carry: int, **options: Any) -> Any:
    start, constants = operands[:carry], operands[carry:]
    return _solved(lambda x: run(body, [*x, *constants]), start)


@precise
def _fixed_point(*operands: Any, body: Program, carry: int, **options: Any) -> Any:
    start, constants = operands[:carry], operands[carry:]

    def f(x: Sequence[Any]) -> list[Any]:
        return [g - v for g, v in zip(run(body, [*x, *constants]), x, strict=True)]

    return _solved(f, start)


@precise
def _linear_solve(*operands: Any, body: Program, carry: int, **options: Any) -> Any:
    right, constants = operands[:carry], operands[carry:]
    n = sum(int(np.size(r)) for r in right)
    columns = []
    for k in range(n):
        unit = [mpmath.mpf(int(k == j)) for j in range(n)]
        columns.append(_flat(run(body, [*_cut(unit, right), *constants])))
    a = mpmath.matrix(n, n)
    for j, column in enumerate(columns):
        for i, v in enumerate(column):
            a[i, j] = v
    return tuple(_cut(list(mpmath.lu_solve(a, mpmath.matrix(_flat(right)))), right))


# ----------------------------------------------------------------------------------------------------------- examples

SCALAR = body(
    "x y",
    "r",
    m=("multiply", "x", "y"),
    s=("sin", "m"),
    e=("exp", "x"),
    p=("multiply", "s", "e"),
    r=("sum", "p"),
)
FIELD = body("x y", "r", m=("multiply", "x", "y"), s=("sin", "m"), e=("sum", "s"), r=("multiply", "s", "e"))
NARROW = body("x y", "r", m=("multiply", "x", "y"), s=("sin", "m"), r=("sum", "s"))
WIDE = body("x y", "r", m=("exp", "x"), r=("multiply", "m", "y"))
PAIR = body("x y", "p q", m=("multiply", "x", "y"), p=("sin", "m"), s=("sum", "x"), q=("exp", "s"))
SOFT = body("x", "y", e=("exp", "x"), s=("add", 1.0, "e"), y=("log", "s"))
SOFT_BACK = body(
    "x c", "d", n=("negative", "x"), e=("exp", "n"), s=("add", 1.0, "e"), p=("divide", 1.0, "s"), d=("multiply", "c", "p")
)  # fmt: skip
PRODUCT = body("x y", "r", s=("sin", "x"), r=("multiply", "s", "y"))
PRODUCT_BACK = body(
    "x y c", "dx dy", k=("cos", "x"), s=("sin", "x"), m=("multiply", "c", "y"), dx=("multiply", "m", "k"),
    dy=("multiply", "c", "s"),
)  # fmt: skip
PRODUCT_ON = body(
    "x y u v", "d", k=("cos", "x"), s=("sin", "x"), m=("multiply", "u", "y"), p=("multiply", "m", "k"),
    q=("multiply", "v", "s"), d=("add", "p", "q"),
)  # fmt: skip
SQUARE_ROOT = body("x a", "f", s=("multiply", "x", "x"), f=("subtract", "s", "a"))
KEPLER = body(
    "E M e", "f", s=("sin", "E"), p=("multiply", "e", "s"), d=("subtract", "E", "p"), f=("subtract", "d", "M")
)  # fmt: skip
SYSTEM = body(
    "x A b", "f", m=("matmul", "A", "x"), t=("tanh", "x"), s=("add", "m", "t"), f=("subtract", "s", "b")
)
TWO = body(
    "x y a", "f g", p=("multiply", "x", "y"), f=("subtract", "p", "a"), s=("sum", "y"), e=("exp", "x"),
    d=("subtract", "e", "s"), g=("add", "y", "h"), h=("negative", "d"),
)  # fmt: skip
COSINE = body("x a", "y", m=("multiply", "a", "x"), y=("cos", "m"))
LAYER = body("x W u", "y", m=("matmul", "W", "x"), s=("add", "m", "u"), y=("tanh", "s"))
PRODUCT_A = body("x A", "y", y=("matmul", "A", "x"))
HELMHOLTZ = body("x k A", "y", m=("matmul", "A", "x"), s=("multiply", "k", "x"), y=("add", "m", "s"))
BLOCKS = body(
    "x y a",
    "p q",
    m=("multiply", "a", "x"),
    s=("sum", "x"),
    p=("subtract", "m", "y"),
    q=("add", "s", "t"),
    t=("multiply", "y", "a"),
)
A2 = [[3.0, 1.0], [0.5, 2.0]]
W2 = [[0.3, -0.2], [0.1, 0.4]]

TABLE: dict[str, Reference] = {
    "grad": Reference(
        _grad,
        examples=(
            Example((0.5, 1.25), {"body": SCALAR}),
            Example(([0.5, -1.0], [1.25, 0.75]), {"body": SCALAR, "wrt": (0, 1)}, note="two operands"),
            Example(([0.5, -1.0], 1.25), {"body": SCALAR, "wrt": (1,)}),
            Example(([], 1.25), {"body": SCALAR, "wrt": (1,)}, note="nothing to sum"),
        ),
    ),
    "value_and_grad": Reference(
        _value_and_grad, examples=(Example(([0.5, -1.0], [1.25, 0.75]), {"body": SCALAR, "wrt": (1,)}),)
    ),
    "jacobian": Reference(
        _jacobian,
        examples=(
            Example(([0.5, -1.0], [1.25, 0.75]), {"body": FIELD}, note="square"),
            Example(([[0.5, -1.0]], [1.25, 0.75]), {"body": NARROW}, note="reverse mode"),
            Example((0.5, [1.25, 0.75]), {"body": WIDE}, note="forward mode"),
            Example((0.5, [1.25, 0.75]), {"body": WIDE, "wrt": 1}, note="linear in this operand"),
        ),
    ),
    "hessian": Reference(
        _hessian,
        examples=(
            Example((0.5, 1.25), {"body": SCALAR}),
            Example(([0.5, -1.0], [1.25, 0.75]), {"body": SCALAR, "wrt": 1}),
        ),
    ),
    "jvp": Reference(
        _jvp,
        examples=(
            Example((0.5, 1.25, 0.3, -0.7), {"body": SCALAR}),
            Example(([0.5, -1.0], [1.25, 0.75], [0.3, 0.6], [-0.7, 0.2]), {"body": PAIR}, note="two results"),
            Example(
                ([0.5, -1.0], [1.25, 0.75], [0.3, 0.6]),
                {"body": PAIR, "constants": 1},
                note="one without tangent",
            ),
        ),
    ),
    "vjp": Reference(
        _vjp,
        examples=(
            Example((0.5, 1.25, 0.3), {"body": SCALAR}),
            Example(([0.5, -1.0], [1.25, 0.75], [0.3, 0.6], -0.7), {"body": PAIR}, note="two results"),
        ),
    ),
    "vmap": Reference(
        _vmap,
        examples=(
            Example(
                ([[0.5, -1.0], [0.2, 0.1], [1.5, 2.0]], [1.25, 0.75]), {"body": FIELD, "in_axes": (0, None)}
            ),
            Example(
                ([[0.5, -1.0], [0.2, 0.1]], [1.25, 0.75]),
                {"body": PAIR, "in_axes": (1, 0)},
                note="another axis",
            ),
            Example(([0.5, -1.0], [1.25, 0.75]), {"body": SCALAR}),
        ),
    ),
    "custom_vjp": Reference(
        _function,
        examples=(
            Example(([0.5, -1.0, 3.0],), {"body": SOFT, "vjp": SOFT_BACK}),
            Example(([0.5, -1.0], [1.25, 0.75]), {"body": PRODUCT, "vjp": PRODUCT_BACK}, note="two operands"),
        ),
    ),
    "custom_jvp": Reference(
        _function,
        examples=(
            Example(([0.5, -1.0, 3.0],), {"body": SOFT, "jvp": SOFT_BACK}),
            Example(([0.5, -1.0], [1.25, 0.75]), {"body": PRODUCT, "jvp": PRODUCT_ON}, note="two operands"),
        ),
    ),
    "root": Reference(
        _root,
        examples=(
            Example((1.0, 2.0), {"body": SQUARE_ROOT}),
            Example(([1.0, 3.0], [2.0, 7.0]), {"body": SQUARE_ROOT}, note="a diagonal Jacobian"),
            Example((0.8, 0.7, 0.3), {"body": KEPLER}, note="Kepler's equation"),
            Example(([0.1, 0.2], A2, [1.0, -0.5]), {"body": SYSTEM}, note="a system"),
            Example((0.5, 2.0, 1.0), {"body": TWO, "carry": 2}, note="two unknowns"),
        ),
    ),
    "fixed_point": Reference(
        _fixed_point,
        examples=(
            Example((0.7, 1.0), {"body": COSINE}),
            Example(([0.1, 0.2], W2, [1.0, -0.5]), {"body": LAYER}, note="a layer that feeds itself"),
        ),
    ),
    "linear_solve": Reference(
        _linear_solve,
        examples=(
            Example(([1.0, -0.5], A2), {"body": PRODUCT_A}),
            Example(
                ([1.0, -0.5], 1.5, [[3.0, 1.0], [1.0, 2.0]]),
                {"body": HELMHOLTZ, "symmetric": True},
                smooth=False,
            ),
            Example(([1.0, -0.5], 0.5, 2.0), {"body": BLOCKS, "carry": 2}, note="two unknowns"),
        ),
    ),
}
