"""What the printers of C and JavaScript have in common: expressions with the parentheses they need, and blocks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

from engine.render.code.statements import (
    Array,
    Assign,
    Binary,
    Break,
    Call,
    Choice,
    Convert,
    Elem,
    Expr,
    For,
    Function,
    If,
    Let,
    Local,
    Note,
    Num,
    Return,
    Stmt,
    Table,
    Type,
    Unary,
    Var,
    While,
    walk,
)
from engine.render.code.translate import Helper, helper, known

CHOICE, OR, AND, EQUALITY, ORDER, SUM, PRODUCT, UNARY, ATOM = range(9)

_LEVELS: Mapping[str, int] = {
    "or": OR, "and": AND, "==": EQUALITY, "!=": EQUALITY, "<": ORDER, "<=": ORDER, ">": ORDER, ">=": ORDER,
    "+": SUM, "-": SUM, "*": PRODUCT, "/": PRODUCT, "%": PRODUCT,
}  # fmt: skip

WIDTH = 100


class Printer(ABC):
    """Statements as text in one language."""

    natives: Mapping[str, str] = {}
    """Functions that the language has: a pattern over the arguments by their C names."""
    signs: Mapping[str, str] = {}
    """How signs are written, where it is not as in the statements."""
    prefix = "ad_"

    def native(self, e: Call) -> str | None:
        """The pattern of a call of what the language has."""
        return self.natives.get(e.fn)

    # -- expressions

    @abstractmethod
    def number(self, e: Num) -> str:
        """A literal that is not negative."""

    @abstractmethod
    def convert(self, e: Convert) -> tuple[str, int]:
        """A number of another type, with its level."""

    @abstractmethod
    def element(self, e: Elem) -> tuple[str, int]:
        """An element of an array, with its level."""

    def text(self, e: Expr, need: int = CHOICE) -> str:
        """An expression, in parentheses where its level is below `need`."""
        written, level = self.written(e)
        return f"({written})" if level < need else written

    def written(self, e: Expr) -> tuple[str, int]:
        """An expression and its level."""
        match e:
            case Num(value=value):
                if value < 0 or (value == 0 and str(value)[0] == "-"):
                    return "-" + self.number(Num(-value, e.type)), UNARY
                return self.number(e), ATOM
            case Var(name=name):
                return name, ATOM
            case Elem():
                return self.element(e)
            case Unary(op=op, x=x):
                inner = self.text(x, ATOM if isinstance(x, Unary | Num) else UNARY)
                return ("-" if op == "-" else "!") + inner, UNARY
            case Binary(op=op, x=x, y=y):
                level = _LEVELS[op]
                left = self.text(x, SUM if level in (EQUALITY, ORDER) else level)
                if op == "or":
                    left = self.text(x, OR if isinstance(x, Binary) and x.op == "or" else EQUALITY)
                right = self.text(
                    y, EQUALITY if op == "or" else SUM if level in (EQUALITY, ORDER) else level + 1
                )
                if right.startswith("-"):
                    right = f"({right})"
                return f"{left} {self.signs.get(op, op)} {right}", level
            case Choice(condition=Num(value=value), x=x, y=y):
                return self.written(x if value else y)
            case Choice(condition=condition, x=x, y=y):
                return f"{self.text(condition, OR)} ? {self.text(x, OR)} : {self.text(y, CHOICE)}", CHOICE
            case Call(fn=fn, arguments=arguments):
                native = self.native(e)
                if native is None:
                    return f"{self.prefix}{fn}({', '.join(self.text(a) for a in arguments)})", ATOM
                if " " in native:
                    return native.format(*(self.text(a, UNARY) for a in arguments)), PRODUCT
                return native.format(*(self.text(a) for a in arguments)), ATOM
            case Convert():
                return self.convert(e)
        raise AssertionError(e)

    # -- statements

    @abstractmethod
    def let(self, s: Let) -> str:
        """A declaration with its value."""

    @abstractmethod
    def room(self, s: Local) -> str:
        """Room for an array."""

    @abstractmethod
    def table(self, s: Table, name: str) -> list[str]:
        """A constant array."""

    @abstractmethod
    def counter(self, s: For) -> str:
        """The head of a loop."""

    def lines(self, block: Sequence[Stmt], depth: int) -> list[str]:
        """Statements as lines. The recursion is as deep as loops are nested."""
        out: list[str] = []
        pad = self.indent * depth
        for s in block:
            match s:
                case Let():
                    out.append(pad + self.let(s))
                case Assign(target=target, value=value):
                    out.append(pad + self.assign(target, value))
                case For(body=body):
                    out += [f"{pad}{self.counter(s)} {{", *self.lines(body, depth + 1), pad + "}"]
                case While(condition=condition, body=body):
                    out += [
                        f"{pad}while ({self.text(condition)}) {{",
                        *self.lines(body, depth + 1),
                        pad + "}",
                    ]
                case If(condition=condition, then=[Break()], otherwise=[]):
                    out.append(f"{pad}if ({self.text(condition)}) break;")
                case If(condition=condition, then=[], otherwise=otherwise):
                    head = self.text(Unary("not", condition, "bool"))
                    out += [f"{pad}if ({head}) {{", *self.lines(otherwise, depth + 1), pad + "}"]
                case If(condition=condition, then=then, otherwise=otherwise):
                    out += [f"{pad}if ({self.text(condition)}) {{", *self.lines(then, depth + 1)]
                    if otherwise:
                        out += [pad + "} else {", *self.lines(otherwise, depth + 1)]
                    out.append(pad + "}")
                case Break():
                    out.append(pad + "break;")
                case Return(value=value):
                    out.append(f"{pad}return {self.text(value)};")
                case Local():
                    out.append(pad + self.room(s))
                case Table(array=array):
                    out += [pad + line for line in self.table(s, array.name)]
                case Note(text=text):
                    out.append(f"{pad}/* {text} */")
        return out

    indent = "    "

    def assign(self, target: Var | Elem, value: Expr) -> str:
        """An assignment; `x = x + y` as `x += y`."""
        left = self.left(target)
        if (
            isinstance(value, Binary)
            and value.op in "+-*/"
            and value.x == target
            and value.type == target.type
        ):
            return f"{left} {value.op}= {self.text(value.y)};"
        return f"{left} = {self.stored(target, value)};"

    def left(self, target: Var | Elem) -> str:
        """What is assigned to."""
        if isinstance(target, Var):
            return target.name
        return f"{target.array.name}[{self.text(target.at)}]"

    def stored(self, target: Var | Elem, value: Expr) -> str:
        """The value as it is assigned."""
        return self.text(value)

    # -- helpers

    @abstractmethod
    def helper(self, h: Helper) -> list[str]:
        """A helper as a function."""

    def helpers(self, function: Function) -> tuple[list[Helper], set[str]]:
        """The helpers that a function needs, each after those that it calls itself; and the native functions used."""
        natives: set[str] = set()
        order: list[Helper] = []
        done: set[str] = set()

        def visit(items: Sequence[object]) -> None:
            calls = [e for e in walk(items) if isinstance(e, Call)]
            natives.update(e.fn for e in calls if self.native(e))
            for name in sorted({e.fn for e in calls if not self.native(e)}):
                if name not in done:
                    assert known(name), name
                    done.add(name)
                    found = helper(name)
                    visit(found.body)
                    order.append(found)

        visit([*function.body, *[r.value for r in function.results if not isinstance(r.value, Array)]])
        return order, natives

    @abstractmethod
    def function(self, function: Function) -> str:
        """The whole text."""


def wrapped(values: Sequence[str], pad: str) -> list[str]:
    """Numbers of a table in lines."""
    lines: list[str] = []
    line = pad
    for k, value in enumerate(values):
        piece = value + ("," if k + 1 < len(values) else "")
        if len(line) + len(piece) + 1 > WIDTH and line != pad:
            lines.append(line.rstrip())
            line = pad
        line += piece + " "
    return [*lines, line.rstrip()]


def c_type(kind: Type) -> str:
    """The type in C."""
    return {"float": "double", "int": "long long", "bool": "bool"}[kind]
