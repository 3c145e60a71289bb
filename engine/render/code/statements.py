"""A small imperative language, in which a graph is written once and from which C and JavaScript are printed.

Values are doubles (`float`), integers (`int`) and truth values (`bool`); arrays are flat, in C order, of static size.
Expressions have no side effects. Names are unique within a function, so that blocks need no scopes of their own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, TypeAlias, Union

Type: TypeAlias = Literal["float", "int", "bool"]

# ---------------------------------------------------------------------------------------------------------- expressions


class Num(NamedTuple):
    """A literal: a double, an integer or a truth value, as `type` says."""

    value: float
    type: Type = "float"


class Var(NamedTuple):
    """A local variable or an argument by value."""

    name: str
    type: Type


class Array(NamedTuple):
    """An array by name, with its number of elements."""

    name: str
    type: Type
    size: int


class Elem(NamedTuple):
    """An element of an array: `array[index]`."""

    array: Array
    at: Expr

    @property
    def type(self) -> Type:
        """That of the array."""
        return self.array.type


class Unary(NamedTuple):
    """`op` is `-` or `not`."""

    op: str
    x: Expr
    type: Type


class Binary(NamedTuple):
    """`op` is one of + - * / (division of doubles), % (of integers that are not negative), comparisons, `and` and `or`."""

    op: str
    x: Expr
    y: Expr
    type: Type


class Choice(NamedTuple):
    """`x` where `condition` holds, else `y`; only what is chosen is computed."""

    condition: Expr
    x: Expr
    y: Expr
    type: Type


class Call(NamedTuple):
    """A function of the mathematics library by its C name, or a helper (`helpers`) by its name."""

    fn: str
    arguments: tuple[Expr, ...]
    type: Type = "float"


class Convert(NamedTuple):
    """A number of another type: integers and truth values to doubles, doubles to integers by truncation."""

    x: Expr
    type: Type


Expr: TypeAlias = Union[Num, Var, Elem, Unary, Binary, Choice, Call, Convert]  # noqa: UP007  # refers forward

# ----------------------------------------------------------------------------------------------------------- statements


class Let(NamedTuple):
    """A local that keeps its value, or (`mutable`) one that is assigned to."""

    var: Var
    value: Expr
    mutable: bool = False


class Assign(NamedTuple):
    """A mutable local, or an element of an array, gets a value."""

    target: Var | Elem
    value: Expr


class For(NamedTuple):
    """`var` runs from `start` up to but not including `stop`; `down`: from `stop` − 1 down to `start`."""

    var: Var
    start: Expr
    stop: Expr
    body: list[Stmt]
    down: bool = False


class While(NamedTuple):
    """As long as `condition` holds."""

    condition: Expr
    body: list[Stmt]


class If(NamedTuple):
    """One of two blocks."""

    condition: Expr
    then: list[Stmt]
    otherwise: list[Stmt]


class Break(NamedTuple):
    """Leave the innermost loop."""


class Return(NamedTuple):
    """The result of a helper."""

    value: Expr


class Local(NamedTuple):
    """Room for an array, filled before it is read."""

    array: Array


class Table(NamedTuple):
    """A constant array."""

    array: Array
    values: tuple[float, ...]


class Note(NamedTuple):
    """A comment of one line."""

    text: str


Stmt: TypeAlias = Union[  # noqa: UP007  # refers forward
    Let, Assign, For, While, If, Break, Return, Local, Table, Note
]


@dataclass(frozen=True, slots=True)
class Parameter:
    """An argument: a number (`shape` ()) or an array; `title` is how a comment calls it."""

    var: Var | Array
    shape: tuple[int, ...]
    title: str


@dataclass(frozen=True, slots=True)
class Result:
    """A result: a number, or the array that it is written to. `title` says what it is; `key` is its name in an answer."""

    name: str
    value: Expr | Array
    shape: tuple[int, ...]
    title: str
    type: Type
    key: str = ""


@dataclass(slots=True)
class Function:
    """A whole program: its arguments, what it does and its results."""

    name: str
    parameters: list[Parameter]
    body: list[Stmt]
    results: list[Result]
    prefix: str = "ad_"
    """What the names of helpers begin with, and no other name does."""
    work: str = "work"
    """A name that is free, for memory that the caller brings."""
    shared: str = "v"
    """A name that is free, for what goes from part to part of a long function."""
    remarks: tuple[str, ...] = ()
    """What a user should know, for the comment."""
    order: int = 1
    """How often is differentiated, at most."""


# ------------------------------------------------------------------------------------------------------------- writing

TRUE, FALSE = Num(1, "bool"), Num(0, "bool")
ZERO, ONE = Num(0.0), Num(1.0)


def integer(n: int) -> Num:
    """An integer literal."""
    return Num(n, "int")


def add(x: Expr, y: Expr) -> Expr:
    """x + y of integers, simplified: an index."""
    if isinstance(x, Num) and isinstance(y, Num):
        return integer(int(x.value) + int(y.value))
    if isinstance(x, Num):
        x, y = y, x
    if isinstance(y, Num):
        if y.value == 0:
            return x
        if isinstance(x, Binary) and x.op in "+-" and isinstance(x.y, Num):
            return add(x.x, integer(int(y.value) + (int(x.y.value) if x.op == "+" else -int(x.y.value))))
        if y.value < 0:
            return Binary("-", x, integer(-int(y.value)), "int")
    if isinstance(y, Binary) and y.op in "+-" and isinstance(y.y, Num):
        return add(add(x, y.x), integer(int(y.y.value) if y.op == "+" else -int(y.y.value)))
    if isinstance(y, Unary):
        return Binary("-", x, y.x, "int")
    return Binary("+", x, y, "int")


def times(x: Expr, n: int) -> Expr:
    """x · n of integers, simplified: an index."""
    if isinstance(x, Num):
        return integer(int(x.value) * n)
    if n == 0:
        return integer(0)
    if n == 1:
        return x
    if n == -1:
        return Unary("-", x, "int")
    if isinstance(x, Binary) and x.op in "+-":
        return add(times(x.x, n), times(x.y, n if x.op == "+" else -n))
    if isinstance(x, Binary) and x.op == "*" and isinstance(x.y, Num):
        return times(x.x, int(x.y.value) * n)
    if isinstance(x, Unary):
        return times(x.x, -n)
    return Binary("*", x, integer(n), "int")


def less(x: Expr, y: Expr) -> Expr:
    """x < y."""
    return Binary("<", x, y, "bool")


def equal(x: Expr, y: Expr) -> Expr:
    """x = y."""
    return Binary("==", x, y, "bool")


def both(x: Expr, y: Expr) -> Expr:
    """x and y."""
    return Binary("and", x, y, "bool")


def either(x: Expr, y: Expr) -> Expr:
    """x or y."""
    return Binary("or", x, y, "bool")


def negated(x: Expr) -> Expr:
    """Not x."""
    return Unary("not", x, "bool")


def converted(x: Expr, to: Type) -> Expr:
    """x as a number of another type, literals at once."""
    if x.type == to:
        return x
    if isinstance(x, Num):
        if to == "float":
            return Num(float(x.value))
        if to == "bool":
            return Num(float(x.value != 0), "bool")
        if x.value == int(x.value):
            return Num(int(x.value), "int")
    if isinstance(x, Choice) and to != "bool":
        return Choice(x.condition, converted(x.x, to), converted(x.y, to), to)
    if to == "bool":
        return Binary("!=", x, Num(0, x.type), "bool")
    return Convert(x, to)


def plus(x: Expr, y: Expr) -> Expr:
    """x + y of doubles."""
    return Binary("+", x, y, "float")


def minus(x: Expr, y: Expr) -> Expr:
    """x − y of doubles."""
    return Binary("-", x, y, "float")


def product(x: Expr, y: Expr) -> Expr:
    """x · y of doubles."""
    return Binary("*", x, y, "float")


def quotient(x: Expr, y: Expr) -> Expr:
    """x / y of doubles."""
    return Binary("/", x, y, "float")


_PARTS: Mapping[type, tuple[int, ...]] = {
    Num: (), Var: (), Unary: (1,), Binary: (1, 2), Choice: (0, 1, 2), Convert: (0,), Elem: (1,), Let: (0, 1),
    Assign: (0, 1), Break: (), Local: (), Table: (), Note: (), Return: (0,),
}  # fmt: skip
"""Which fields of an expression or a statement are such."""


def walk(items: Sequence[Any]) -> Iterator[Any]:
    """All statements and expressions among `items` and inside them."""
    todo = list(items)
    while todo:
        item = todo.pop()
        yield item
        fields = _PARTS.get(type(item))
        if fields is not None:
            todo.extend(item[k] for k in fields)
        elif isinstance(item, Call):
            todo.extend(item.arguments)
        else:  # a block, with what decides about it
            for part in item:
                if isinstance(part, list):
                    todo.extend(part)
                elif isinstance(part, tuple):
                    todo.append(part)
