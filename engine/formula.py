"""Formulas of partial derivatives: text in the operands a, b, c and the result y, such as `1 - y * y`.

One text gives forward mode, reverse mode and the op's page. A formula is read once, at import, into a small tree of op
names; it is written with a builder whenever a walk passes the op.

A tangent or cotangent times a formula is not simply a product. `where` distributes over it, so that masks act as
`where(mask, ct, 0)` and never as `ct * mask`; factors 1 and −1 cost nothing; and every product that is left holds the
tangent or cotangent as a strong zero (`ops.md`, "Where there is no derivative").
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol, TypeAlias, Union

import numpy as np


class Number(NamedTuple):
    """A literal."""

    value: float


class Name(NamedTuple):
    """An operand or the result."""

    name: str


class Call(NamedTuple):
    """A core op by name, over formulas."""

    op: str
    arguments: tuple[Expression, ...]


Value: TypeAlias = Callable[[Any, Any, Any, Any], Any]
"""A formula as a function of a, b, c and y."""

Product: TypeAlias = Callable[[Any, Any, Any, Any, Any], Any]
"""A cotangent times a formula, as a function of ct, a, b, c and y."""

Functions: TypeAlias = Callable[[str], Callable[..., Any]]
"""The function on arrays that a core op's name means."""

Expression: TypeAlias = Union[Number, Name, Call]  # noqa: UP007  # a forward reference inside X | Y is not evaluated


class Algebra(Protocol):
    """What a formula is written with: the part of a builder that knows core ops on its own references."""

    def literal(self, value: float) -> Any:
        """A floating scalar constant."""

    def core(self, op: str, *refs: Any, **params: Any) -> Any:
        """A core op on references."""


_BINARY: dict[type[ast.AST], str] = {
    ast.Add: "add",
    ast.Sub: "subtract",
    ast.Mult: "multiply",
    ast.Div: "divide",
    ast.Pow: "pow",
}
_COMPARE: dict[type[ast.AST], str] = {
    ast.Lt: "less",
    ast.LtE: "less_equal",
    ast.Gt: "greater",
    ast.GtE: "greater_equal",
    ast.Eq: "equal",
    ast.NotEq: "not_equal",
}


def _read(tree: ast.expr) -> Expression:
    """Our own formula texts only, never a client's: the recursion is as deep as the text in the op table."""
    match tree:
        case ast.Constant(value=int() | float() as value):
            return Number(float(value))
        case ast.Name(id=name):
            return Name(name)
        case ast.UnaryOp(op=ast.USub(), operand=inner):
            read = _read(inner)
            return Number(-read.value) if isinstance(read, Number) else Call("negative", (read,))
        case ast.BinOp(left=left, op=op, right=right):
            return Call(_BINARY[type(op)], (_read(left), _read(right)))
        case ast.Compare(left=left, ops=[op], comparators=[right]):
            return Call(_COMPARE[type(op)], (_read(left), _read(right)))
        case ast.BoolOp(op=op, values=[left, right]):
            return Call(
                "logical_and" if isinstance(op, ast.And) else "logical_or", (_read(left), _read(right))
            )
        case ast.Call(func=ast.Name(id=name), args=arguments):
            return Call(name, tuple(_read(a) for a in arguments))
    raise ValueError(f"a formula cannot hold {ast.dump(tree)}")


class Formula:
    """A formula, read from its text."""

    __slots__ = ("compiled", "compiled_strong", "root", "text", "zero")

    def __init__(self, text: str) -> None:
        self.text = text
        self.root = _read(ast.parse(text, mode="eval").body)
        self.zero = self.root == Number(0.0)
        """Whether it is identically zero."""
        self.compiled: Product | None = None
        self.compiled_strong: Product | None = None

    def write(self, b: Algebra, names: Mapping[str, Any]) -> Any:
        """The value of the formula."""
        return _write(self.root, b, names)

    def times(self, b: Algebra, ct: Any, names: Mapping[str, Any], strong: tuple[int, ...] = (0,)) -> Any:
        """`ct` times the formula, with `ct` (and with `strong=(0, 1)` the formula too) as a strong zero."""
        return _times(self.root, b, ct, names, strong)

    def calculation(self, functions: Functions) -> Value:
        """The formula on arrays as one function (a, b, c, y) → array."""
        return _compiled(self.root, functions)

    def product(self, functions: Functions, partial_is_strong: bool) -> Product:
        """`times` on arrays as one function (ct, a, b, c, y) → array: what the walks use when they compute at once.

        Made once for each formula from the ops' NumPy functions; equal to `times` with an eager builder, but several
        times faster on scalars, where it also computes only the branch of a `where` that is taken.
        """
        found = self.compiled_strong if partial_is_strong else self.compiled
        if found is None:
            found = _compiled_times(self.root, functions, (0, 1) if partial_is_strong else (0,))
            if partial_is_strong:
                self.compiled_strong = found
            else:
                self.compiled = found
        return found

    def __repr__(self) -> str:
        return f"Formula({self.text!r})"


def _write(e: Expression, b: Algebra, names: Mapping[str, Any]) -> Any:
    if isinstance(e, Number):
        return b.literal(e.value)
    if isinstance(e, Name):
        return names[e.name]
    return b.core(e.op, *[_write(a, b, names) for a in e.arguments])


def _times(e: Expression, b: Algebra, ct: Any, names: Mapping[str, Any], strong: tuple[int, ...]) -> Any:
    if isinstance(e, Number):
        if e.value == 0:
            return b.literal(0.0)
        if e.value == 1:
            return ct
        if e.value == -1:
            return b.core("negative", ct)
    elif isinstance(e, Call):
        if e.op == "where":
            mask, p, q = e.arguments
            return b.core(
                "where",
                _write(mask, b, names),
                _times(p, b, ct, names, strong),
                _times(q, b, ct, names, strong),
            )
        if e.op == "negative":
            return b.core("negative", _times(e.arguments[0], b, ct, names, strong))
    return b.core("multiply", ct, _write(e, b, names), strong=strong)


# --------------------------------------------------------------------------------------------- compiled for arrays


def _compiled(e: Expression, functions: Functions) -> Value:
    if isinstance(e, Number):
        value = e.value
        return lambda a, b, c, y: value  # a Python float takes the dtype of what it meets
    if isinstance(e, Name):
        return {
            "a": lambda a, b, c, y: a,
            "b": lambda a, b, c, y: b,
            "c": lambda a, b, c, y: c,
            "y": lambda a, b, c, y: y,
        }[e.name]
    parts = [_compiled(x, functions) for x in e.arguments]
    if e.op == "where":
        mask, p, q = parts

        def choose(a: Any, b: Any, c: Any, y: Any) -> Any:
            m = mask(a, b, c, y)
            if isinstance(m, np.bool_):
                return p(a, b, c, y) if m else q(a, b, c, y)
            return _where(m, p(a, b, c, y), q(a, b, c, y), a)

        return choose
    fn = functions(e.op)
    if len(parts) == 1:
        (only,) = parts
        return lambda a, b, c, y: fn(only(a, b, c, y))
    if len(parts) == 2:
        first, second = parts
        return lambda a, b, c, y: fn(first(a, b, c, y), second(a, b, c, y))
    return lambda a, b, c, y: fn(*[part(a, b, c, y) for part in parts])


def _where(mask: Any, p: Any, q: Any, like: Any) -> Any:
    """np.where that keeps float32 beside Python floats."""
    dtype = like.dtype if like.dtype.kind == "f" else np.result_type(p, q)
    return np.where(mask, np.asarray(p, dtype), np.asarray(q, dtype))[()]


def _compiled_times(e: Expression, functions: Functions, strong: tuple[int, ...]) -> Product:
    if isinstance(e, Number):
        if e.value == 0:
            # Of the cotangent's shape, which a `where` with a scalar mask would lose.
            return lambda ct, a, b, c, y: np.zeros(ct.shape, ct.dtype) if ct.shape else ct.dtype.type(0)
        if e.value == 1:
            return lambda ct, a, b, c, y: ct
        if e.value == -1:
            return lambda ct, a, b, c, y: -ct
    elif isinstance(e, Call):
        if e.op == "where":
            mask = _compiled(e.arguments[0], functions)
            p = _compiled_times(e.arguments[1], functions, strong)
            q = _compiled_times(e.arguments[2], functions, strong)

            def choose(ct: Any, a: Any, b: Any, c: Any, y: Any) -> Any:
                m = mask(a, b, c, y)
                if isinstance(m, np.bool_):
                    return p(ct, a, b, c, y) if m else q(ct, a, b, c, y)
                return _where(m, p(ct, a, b, c, y), q(ct, a, b, c, y), ct)

            return choose
        if e.op == "negative":
            inner = _compiled_times(e.arguments[0], functions, strong)
            return lambda ct, a, b, c, y: -inner(ct, a, b, c, y)
    value = _compiled(e, functions)
    return lambda ct, a, b, c, y: strong_product(ct, value(a, b, c, y), strong)


def strong_product(x: Any, y: Any, strong: tuple[int, ...]) -> Any:
    """x·y, and 0 where a factor named in `strong` is 0, even if the other is infinite or NaN there."""
    product = x * y
    bad = product != product
    if isinstance(bad, np.bool_):
        if bad and ((0 in strong and x == 0) or (1 in strong and y == 0)):
            return product.dtype.type(0)
        return product
    if not bad.any():
        return product
    zero = np.zeros((), bool)
    for k in strong:
        zero = zero | (np.asarray((x, y)[k]) == 0)
    return np.where(bad & zero, product.dtype.type(0), product)[()]
