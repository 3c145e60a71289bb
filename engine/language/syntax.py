"""The syntax tree: what the text says, before any name or number means anything.

Nodes carry the offset `at` of the token that best denotes them: the operator's sign, the function's name, the opening
bracket of an index. Trees can be as deep as a text is long (10,000 minus signs), so nothing here or elsewhere walks
them by recursion, and they compare and print by identity.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import EllipsisType
from typing import TypeAlias

Scalar: TypeAlias = float | int | bool | str | EllipsisType | None


class Syntax:
    """Base of all nodes."""

    __slots__ = ("at",)
    at: int


@dataclass(slots=True, eq=False, repr=False)
class Name(Syntax):
    """A name that no bracket follows."""

    at: int
    name: str


@dataclass(slots=True, eq=False, repr=False)
class Constant(Syntax):
    """A number, a string, True, False, None or `...`."""

    at: int
    value: Scalar


@dataclass(slots=True, eq=False, repr=False)
class Display(Syntax):
    """A list `[a, b]`, or a tuple."""

    at: int
    items: list[Expression]
    is_tuple: bool


@dataclass(slots=True, eq=False, repr=False)
class Unary(Syntax):
    """`-x`, `+x`, `~x`, `not x`."""

    at: int
    sign: str
    operand: Expression


@dataclass(slots=True, eq=False, repr=False)
class Binary(Syntax):
    """`left sign right`."""

    at: int
    sign: str
    left: Expression
    right: Expression


@dataclass(slots=True, eq=False, repr=False)
class Comparison(Syntax):
    """`first < a <= b`: `rest` holds (sign, offset, operand)."""

    at: int
    first: Expression
    rest: list[tuple[str, int, Expression]]


@dataclass(slots=True, eq=False, repr=False)
class Ternary(Syntax):
    """`yes if condition else no`."""

    at: int
    condition: Expression
    yes: Expression
    no: Expression


@dataclass(slots=True, eq=False, repr=False)
class Keyword(Syntax):
    """`name=value` among the arguments of a call."""

    at: int
    name: str
    value: Expression


@dataclass(slots=True, eq=False, repr=False)
class Call(Syntax):
    """`function(arguments)`; `at` is the function's name, or the bracket where it has none."""

    at: int
    function: Expression
    positional: list[Expression]
    keywords: list[Keyword]


@dataclass(slots=True, eq=False, repr=False)
class Slice(Syntax):
    """`start:stop:step` inside an index."""

    at: int
    start: Expression | None
    stop: Expression | None
    step: Expression | None


@dataclass(slots=True, eq=False, repr=False)
class Index(Syntax):
    """`value[items]`."""

    at: int
    value: Expression
    items: list[Expression | Slice]


@dataclass(slots=True, eq=False, repr=False)
class Attribute(Syntax):
    """`value.name`; `at` is the name."""

    at: int
    value: Expression
    name: str


Expression: TypeAlias = (
    Name | Constant | Display | Unary | Binary | Comparison | Ternary | Call | Index | Attribute
)


@dataclass(slots=True, eq=False, repr=False)
class Evaluate(Syntax):
    """An expression as a statement."""

    at: int
    value: Expression


@dataclass(slots=True, eq=False, repr=False)
class Assign(Syntax):
    """`targets[0] = targets[1] = … = value`."""

    at: int
    targets: list[Expression]
    value: Expression


@dataclass(slots=True, eq=False, repr=False)
class Import(Syntax):
    """`import a.b as c` (`names` is None), `from a.b import c as d`; `*` imports nothing that is not there already.

    `module` and the names are (name, name in this program) pairs.
    """

    at: int
    module: tuple[str, str]
    names: list[tuple[str, str]] | None


Statement: TypeAlias = Evaluate | Assign | Import
