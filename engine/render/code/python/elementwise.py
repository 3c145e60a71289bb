"""Text of elementwise ops: operators, NumPy's and SciPy's functions, and functions of ours where there is no other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.special

from engine.op import registry
from engine.ops.pointwise.elementwise import Elementwise
from engine.render.code.python.expr import (
    AND,
    COMPARE,
    OR,
    PRODUCT,
    SUM,
    XOR,
    Expr,
    binary,
    call,
    power,
    type_of,
    unary,
)
from engine.render.code.python.scope import Call
from engine.render.code.python.table import writes

OPERATORS: dict[str, tuple[str, int]] = {
    "add": ("+", SUM),
    "subtract": ("-", SUM),
    "divide": ("/", PRODUCT),
    "floor_divide": ("//", PRODUCT),
    "remainder": ("%", PRODUCT),
    "equal": ("==", COMPARE),
    "not_equal": ("!=", COMPARE),
    "less": ("<", COMPARE),
    "less_equal": ("<=", COMPARE),
    "greater": (">", COMPARE),
    "greater_equal": (">=", COMPARE),
}
LOGIC: dict[str, tuple[str, int]] = {
    "logical_and": ("&", AND),
    "logical_or": ("|", OR),
    "logical_xor": ("^", XOR),
}
NAMES = {"abs": "abs", "absolute": "abs"}
"""Ufuncs that are known by a shorter name."""


def arguments(c: Call) -> list[Expr]:
    """The operands, of which at least one has a dtype of its own."""
    if all(a.weak for a in c.args):
        return [a.typed for a in c.args]
    return c.args


@writes(*OPERATORS)
def _operator(c: Call) -> Expr:
    sign, rank = OPERATORS[c.node.op.name]
    left, right = arguments(c)
    if rank == COMPARE:  # Python reads a < b < c as a chain
        return Expr(f"{left.at(OR)} {sign} {right.at(OR)}", COMPARE, max(left.depth, right.depth) + 1)
    if c.avals[0].dtype == "bool":  # of booleans NumPy's + is "or", and operators mean the same
        return call(f"np.{c.node.op.fn.__name__}", left, right)  # type: ignore[attr-defined]  # a ufunc's row
    return binary(sign, rank, left, right)


@writes(*LOGIC)
def _logic(c: Call) -> Expr:
    left, right = arguments(c)
    if {a.dtype for a in c.avals} != {"bool"}:
        return call(f"np.{c.node.op.name}", left, right)
    sign, rank = LOGIC[c.node.op.name]
    return binary(sign, rank, left, right)


@writes("logical_not")
def _logical_not(c: Call) -> Expr:
    (x,) = arguments(c)
    return unary("~", x) if c.avals[0].dtype == "bool" else call("np.logical_not", x)


@writes("negative")
def _negative(c: Call) -> Expr:
    return unary("-", *arguments(c))


@writes("multiply")
def _multiply(c: Call) -> Expr:
    strong = c.params.get("strong", ())
    x, y = arguments(c)
    # A number that is not 0 has no use for being a strong zero; a finite one makes no NaN of one.
    needed = [k for k in strong if not _settled(c.args[k], c.args[1 - k])]
    if not needed:
        return binary("*", PRODUCT, x, y)
    if len(needed) == 2:
        return call(c.helper("times_both"), x.typed, y.typed)
    return call(c.helper("times"), *((x, y) if needed == [0] else (y, x)))


def _settled(factor: Expr, other: Expr) -> bool:
    if factor.weak:
        return factor.text.lstrip("-") not in ("0.0", "0")
    return bool(other.weak) and other.text not in ("np.nan", "np.inf", "-np.inf")


@writes("where")
def _where(c: Call) -> Expr:
    mask, x, y = c.args
    if x.weak and y.weak and (x.weak == "float32" or "." not in x.text + y.text):
        x = x.typed
    scalar = "[()]" if c.aval.shape == () else ""
    found = call("np.where", mask.typed, x, y)
    return Expr(found.text + scalar, depth=found.depth)


@writes("square")
def _square(c: Call) -> Expr:
    (x,) = arguments(c)
    return power(x, "2")


@writes("pow_by")
def _pow_by(c: Call) -> Expr:
    (x,), n = arguments(c), float(c.params["exponent"])
    if n.is_integer() and 0 < n < 1e6:
        return power(x, str(int(n)))
    if n == -1 and c.aval.floating:
        return binary("/", PRODUCT, Expr("1.0"), x)
    if n.is_integer() and -1e6 < n <= 0 and c.aval.floating:
        return power(x, repr(n))
    return call("np.power", x, repr(n) if abs(n) != float("inf") else ("np.inf" if n > 0 else "-np.inf"))


@writes("held", "in_order", "identity", "stop_gradient", "positive")
def _operand(c: Call) -> Expr:
    return c.args[0]


@writes("between")
def _between(c: Call) -> Expr:
    return call(c.helper("between"), c.typed(0), repr(float(c.params["most"])))


@writes("cast")
def _cast(c: Call) -> Expr:
    dtype = c.params["dtype"]
    x = c.args[0].typed
    return Expr(f"{x.text if x.rank >= 13 else f'({x.text})'}.astype({type_of(dtype)})", depth=x.depth + 1)


@writes("relu")
def _relu(c: Call) -> Expr:
    return call("np.maximum", *arguments(c), "0")


@writes("leaky_relu")
def _leaky_relu(c: Call) -> Expr:
    x = c.bound(0).typed
    found = call(
        "np.where",
        binary(">", COMPARE, x, Expr("0")),
        x,
        binary("*", PRODUCT, x, Expr(repr(float(c.params["slope"])))),
    )
    return _item(c, found)


@writes("elu")
def _elu(c: Call) -> Expr:
    x = c.bound(0).typed
    low = binary(
        "*", PRODUCT, call("np.expm1", call("np.minimum", x, "0")), Expr(repr(float(c.params["alpha"])))
    )
    return _item(c, call("np.where", binary(">", COMPARE, x, Expr("0")), x, low))


def _item(c: Call, found: Expr) -> Expr:
    """The scalar that an array without axes holds."""
    return Expr(f"{found.text}[()]", depth=found.depth) if c.aval.shape == () else found


@writes("clip")
def _clip(c: Call) -> Expr:
    x, low, high = arguments(c)
    return call("np.minimum", call("np.maximum", x, low), high)


@writes("sech_squared")
def _sech_squared(c: Call) -> Expr:
    return call(c.helper("sech_squared"), *[a.typed for a in c.args])


@writes("rsqrt")
def _rsqrt(c: Call) -> Expr:
    (x,) = arguments(c)
    return binary("/", PRODUCT, Expr("1"), call("np.sqrt", x))


@writes("sigmoid")
def _sigmoid(c: Call) -> Expr:
    (x,) = arguments(c)
    return binary("/", PRODUCT, Expr("1"), binary("+", SUM, Expr("1"), call("np.exp", unary("-", x))))


@writes("log_sigmoid")
def _log_sigmoid(c: Call) -> Expr:
    x = c.bound(0).typed
    tail = call("np.log1p", call("np.exp", unary("-", call("np.abs", x))))
    return binary("-", SUM, call("np.minimum", x, "0"), tail)


@writes("sin", "cos", "logaddexp")
def _kernelled(c: Call) -> Expr:
    return call(f"np.{c.node.op.name}", *arguments(c))


@writes("lambertw_principal", "lambertw_lower")
def _lambertw(c: Call) -> Expr:
    branch = "0" if c.node.op.name == "lambertw_principal" else "-1"
    return precise(c, call(c.helper("lambertw", "special"), *doubles(c), branch))


@writes("abs_power")
def _abs_power(c: Call) -> Expr:
    name = "signed_power" if c.params["signed"] else "abs_power"
    return call(c.helper(name), c.typed(0), repr(float(c.params["exponent"])))


@writes("is_extreme")
def _is_extreme(c: Call) -> Expr:
    return call(c.helper("same"), c.typed(0), c.typed(1))


@writes("ldexp")
def _ldexp(c: Call) -> Expr:
    return call(c.helper("ldexp"), c.typed(0), c.typed(1))


@writes("binary_exponent")
def _binary_exponent(c: Call) -> Expr:
    return call(c.helper("binary_exponent"), c.typed(0))


# ----------------------------------------------------------------------------------------------- functions of their own


def function_of(fn: Any) -> tuple[Any, bool]:
    """The function that a row computes with, and whether it is given numbers in double precision."""
    cells = getattr(fn, "__closure__", None)
    if getattr(fn, "__qualname__", "").endswith("in_double.<locals>.wrapped") and cells:
        return cells[0].cell_contents, True
    return fn, False


def doubles(c: Call) -> list[Expr]:
    """The operands in double precision."""
    given = [a.typed for a in arguments(c)]
    if c.module.dtype == "float64":
        return given
    return [
        Expr(f"{a.text if a.rank >= 13 else f'({a.text})'}.astype(np.float64)", depth=a.depth + 1)
        for a in given
    ]


def precise(c: Call, found: Expr) -> Expr:
    """A result that was computed in double precision, in the program's dtype."""
    if c.module.dtype == "float64":
        return found
    return call(
        f"np.{c.module.dtype}" if c.aval.shape == () else "np.asarray",
        found,
        *(["np.float32"] if c.aval.shape else []),
    )


def special(c: Call, function: Callable[..., Any], *more: str, before: bool = False) -> Expr:
    """A function of ours in the engine, on numbers in double precision; `more` are further arguments, or come first."""
    name = c.module.use(function.__module__, function.__name__)
    given: list[Any] = [*more, *doubles(c)] if before else [*doubles(c), *more]
    return precise(c, call(name, *given))


@writes("")
def row(c: Call) -> Expr:
    """Any other elementwise op: the function in its row, by the name that NumPy or SciPy gives it, or with its source."""
    op = c.node.op
    if not isinstance(op, Elementwise):
        raise c.refuse(
            f"The op {op.name} has no form in Python code. Ask for the derivative as a graph, or without that node."
        )
    fn, double = function_of(op.fn)
    given = [a.typed for a in arguments(c)] if double else arguments(c)
    if isinstance(fn, np.ufunc):
        name = fn.__name__
        if getattr(np, name, None) is fn:
            found = call(f"np.{NAMES.get(name, name)}", *given)
        elif getattr(scipy.special, name, None) is fn or hasattr(scipy.special, name):
            c.module.imports.add("from scipy import special")
            found = call(f"special.{name}", *(doubles(c) if double else given))
        else:
            raise c.refuse(f"The op {op.name} has no form in Python code.")
        return precise(c, found) if double else found
    module = str(fn.__module__)
    if module.startswith("numpy"):
        return call(f"np.{fn.__name__}", *given)
    if not module.startswith("engine.") or "<" in fn.__qualname__:
        raise c.refuse(f"The op {op.name} has no form in Python code.")
    return special(c, fn) if double else call(c.module.use(module, fn.__name__), *[a.typed for a in given])


def written(name: str) -> bool:
    """Whether an elementwise op without a writer of its own has text by its row."""
    return isinstance(registry.core(name), Elementwise)
