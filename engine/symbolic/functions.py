"""What a reader expects of functions: signs out of odd ones, known values, and inverses undone."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from engine.aval import Shape, broadcast_shapes
from engine.op import registry
from engine.symbolic.expressions import Algebra, Expr, positive

ODD = frozenset(
    {
        "sin",
        "tan",
        "asin",
        "atan",
        "sinh",
        "tanh",
        "asinh",
        "atanh",
        "erf",
        "erfinv",
        "cbrt",
        "sinpi",
        "sindg",
        "tandg",
    }
    | {"cotdg", "deg2rad", "rad2deg", "softsign", "tanhshrink", "dawsn"}
)
"""f(−x) = −f(x)."""
EVEN = frozenset({"cos", "cosh", "cospi", "cosdg", "log_cosh", "cosm1"})
"""f(−x) = f(x)."""
INVERSES = {
    "tan": "atan",
    "sin": "asin",
    "cos": "acos",
    "sinh": "asinh",
    "tanh": "atanh",
    "expm1": "log1p",
    "exp2": "log2",
}
"""f(g(x)) = x wherever g(x) is."""


def elementwise(
    alg: Algebra, op: str, operands: Sequence[Expr], attrs: tuple[tuple[str, object], ...] = ()
) -> Expr:
    """An elementwise op of floating results on expressions, in normal form."""
    rule = RULES.get(op)
    if rule is not None and not attrs:
        return rule(alg, *operands)
    shape = shape_of(operands)
    if len(operands) == 1 and not attrs:
        return _function(alg, op, operands[0])
    return alg.call(op, operands, shape, attrs=attrs)


def shape_of(operands: Sequence[Expr]) -> Shape:
    """The common shape of operands."""
    shapes = {e.shape for e in operands}
    return shapes.pop() if len(shapes) == 1 else broadcast_shapes([e.shape for e in operands])


def _function(alg: Algebra, op: str, u: Expr) -> Expr:
    if u.is_number:
        known = registry.core(op)
        with np.errstate(all="ignore"):
            value = float(known.evaluate(np.asarray(u.number, np.float64)[()]))
        if math.isfinite(value) and (value == int(value) or u.number != int(u.number)):
            return alg.number(value)
        return alg.call(op, (u,), u.shape)
    if op in ODD or op in EVEN:
        c = alg.split(u)[0]
        flipped = None
        if c < 0 or (u.kind == "sum" and all(a < 0 for a, _ in u.terms) and u.number <= 0):
            flipped = alg.negative(u)
        if flipped is not None:
            found = _function(alg, op, flipped)
            return alg.negative(found) if op in ODD else found
    inverse = INVERSES.get(op)
    if inverse is not None and u.kind == "call" and u.op == inverse and u.operands[0] is not None:
        return u.operands[0]
    return alg.call(op, (u,), u.shape)


def _pow(alg: Algebra, a: Expr, b: Expr) -> Expr:
    if b.is_number:
        return alg.power(a, b.number)
    if a.kind == "call" and a.op == "exp":
        return alg.exp(alg.multiply(a.operands[0] or alg.one, b))
    return alg.call("pow", (a, b), shape_of((a, b)))


def _log(alg: Algebra, u: Expr) -> Expr:
    if u is alg.one:
        return alg.zero
    if u.kind == "call" and u.op == "exp" and u.operands[0] is not None:
        return u.operands[0]
    if u.kind == "product" and len(u.terms) == 1 and not positive(u.terms[0][1]):
        ((p, base),) = u.terms
        if p < 0:
            return alg.scaled(p, _log(alg, base))
    elif u.kind == "product" and all(positive(base) for _, base in u.terms):
        return alg.sum([(p, _log(alg, base)) for p, base in u.terms])
    return _function(alg, "log", u)


def _sign(alg: Algebra, u: Expr) -> Expr:
    c, inner = alg.split(u)
    if inner is alg.one:
        return alg.number(float(np.sign(c)))
    found = alg.call("sign", (inner,), inner.shape)
    return alg.scaled(-1.0 if c < 0 else 1.0, found)


RULES: dict[str, Callable[..., Expr]] = {
    "add": lambda alg, x, y: alg.add(x, y),
    "subtract": lambda alg, x, y: alg.subtract(x, y),
    "multiply": lambda alg, x, y: alg.multiply(x, y),
    "divide": lambda alg, x, y: alg.divide(x, y),
    "negative": lambda alg, x: alg.negative(x),
    "positive": lambda alg, x: x,
    "identity": lambda alg, x: x,
    "square": lambda alg, x: alg.power(x, 2.0),
    "reciprocal": lambda alg, x: alg.power(x, -1.0),
    "sqrt": lambda alg, x: alg.power(x, 0.5),
    "rsqrt": lambda alg, x: alg.power(x, -0.5),
    "pow": _pow,
    "exp": lambda alg, x: alg.exp(x),
    "log": _log,
    "abs": lambda alg, x: alg.absolute(x),
    "sign": _sign,
    "sech_squared": lambda alg, x: alg.power(_function(alg, "cosh", x), -2.0),
}
"""Ops that are arithmetic, or have a form of their own. 1 − tanh² is 1/cosh², which is exact in the tails."""


def stretched(alg: Algebra, e: Expr, shape: Shape) -> Expr:
    """An expression that broadcasts to `shape`, of that shape."""
    if e.shape == shape:
        return e
    c, inner = alg.split(e)
    if inner is alg.one:
        if not 0 <= len(shape) <= 32:
            return e
        if c in (0.0, 1.0):
            return alg.call("ones" if c else "zeros", (), shape, alg.dtype, (("shape", shape),))
        return alg.call("full", (e,), shape, alg.dtype, (("shape", shape),))
    if e.dtype == alg.dtype and c != 1:
        return alg.scaled(c, stretched(alg, inner, shape))
    return alg.call("broadcast_to", (e,), shape, e.dtype, (("shape", shape),))
