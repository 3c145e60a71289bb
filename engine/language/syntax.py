"""The syntax tree: what the text says, before any name or number means anything.

Nodes carry the offset `at` of the token that best denotes them: the operator's sign, the function's name, the opening
bracket of an index. Trees can be as deep as a text is long (10,000 minus signs), so nothing here or elsewhere walks
them by recursion, and they compare and print by identity.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import EllipsisType
from typing import Any, TypeAlias

Scalar: TypeAlias = float | int | bool | str | EllipsisType | None


def is_hidden(name: str) -> bool:
    """Whether no text can contain a name: those of flags and counters have a space in them."""
    return " " in name


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


class Block:
    """The statements behind a colon.

    `returned` is the offset of a `return` among them or in the blocks inside, of helpers aside; `jumped` that of a `break`
    or `continue` that belongs to a loop around the block, and `broken` that of a `break`. `ends` says that going through it
    always ends with one of them. `end` is where the block ends in the text, or somewhere in its last statement if it is one
    line.
    """

    __slots__ = ("broken", "end", "ends", "jumped", "returned", "statements")

    def __init__(self, statements: list[Statement], end: int | None = None) -> None:
        self.statements = statements
        self.end = end if end is not None else statements[-1].at if statements else 0
        self.returned: int | None = None
        self.jumped: int | None = None
        self.broken: int | None = None
        self.ends = False
        for statement in statements:
            if type(statement) is Return:
                self._meet(statement.at, None, None)
            elif type(statement) is Jump:
                self._meet(None, statement.at, statement.at if statement.word == "break" else None)
                self.ends = True
            elif type(statement) is If:
                parts = [statement.then, *([statement.otherwise] if statement.otherwise is not None else [])]
                for part in parts:
                    self._meet(part.returned, part.jumped, part.broken)
                self.ends = self.ends or (len(parts) == 2 and all(part.ends for part in parts))

    def _meet(self, returned: int | None, jumped: int | None, broken: int | None) -> None:
        """Take the first of each. (A loop has no `return` inside: the parser refuses it.)"""
        self.returned = returned if self.returned is None else self.returned
        self.jumped = jumped if self.jumped is None else self.jumped
        self.broken = broken if self.broken is None else self.broken


@dataclass(slots=True, eq=False, repr=False)
class For(Syntax):
    """`for target in iterable:`; `at` is the keyword."""

    at: int
    target: Expression
    iterable: Expression
    body: Block


@dataclass(slots=True, eq=False, repr=False)
class While(Syntax):
    """`while condition:`. `flag` ends it when it is set, if it is given."""

    at: int
    condition: Expression
    body: Block
    flag: Name | None = None


@dataclass(slots=True, eq=False, repr=False)
class If(Syntax):
    """`if condition:`; an `elif` is an If in the other block. `returned` is as that of a block."""

    at: int
    condition: Expression
    then: Block
    otherwise: Block | None
    returned: int | None

    @property
    def jumped(self) -> int | None:
        """As that of a block."""
        inside = self.then.jumped
        return self.otherwise.jumped if inside is None and self.otherwise is not None else inside


@dataclass(slots=True, eq=False, repr=False)
class Parameter(Syntax):
    """A parameter of a helper, with its default."""

    at: int
    name: str
    default: Expression | None


@dataclass(slots=True, eq=False, repr=False)
class Def(Syntax):
    """`def name(parameters):`; `at` is the name. `decorators` stand in the order of the text."""

    at: int
    name: str
    parameters: list[Parameter]
    body: Block
    decorators: list[Expression]


@dataclass(slots=True, eq=False, repr=False)
class Return(Syntax):
    """`return value`."""

    at: int
    value: Expression | None


@dataclass(slots=True, eq=False, repr=False)
class Jump(Syntax):
    """`break` or `continue`."""

    at: int
    word: str


@dataclass(slots=True, eq=False, repr=False)
class Aim(Syntax):
    """A `for` gives its target a value: no text has this statement, but a loop may be written out with it.

    `value` is a value, or a request for one.
    """

    at: int
    target: Expression
    value: Any


@dataclass(slots=True, eq=False, repr=False)
class Pass(Syntax):
    """`pass`."""

    at: int


@dataclass(slots=True, eq=False, repr=False)
class Doc(Syntax):
    """A text in three quotes, as a statement."""

    at: int


Statement: TypeAlias = Evaluate | Assign | Import | For | While | If | Def | Return | Jump | Aim | Pass | Doc
