"""From Python's syntax tree to statements: helpers, and the formulas that ops carry.

Only texts of our own come here: the modules of `helpers`, `engine/tape/prelude.py` and the formulas of the op table.
"""

from __future__ import annotations

import ast
import inspect
from collections.abc import Mapping
from functools import lru_cache
from types import ModuleType
from typing import NamedTuple

from engine.render.code.helpers import bessel, distributions, errors, gammas, integrals, missing, numbers
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
    If,
    Let,
    Num,
    Return,
    Stmt,
    Table,
    Type,
    Unary,
    Var,
    While,
    converted,
)
from engine.tape import prelude

MODULES: tuple[ModuleType, ...] = (
    prelude,
    missing,
    numbers,
    errors,
    gammas,
    bessel,
    integrals,
    distributions,
)
"""Later ones win: the tape's functions need not know what NumPy makes of NaN, ours do."""

ALIASES: Mapping[str, str] = {
    "abs": "fabs", "remainder": "remainder_of", "round": "round_of",
    "floor_of": "floor", "ceil_of": "ceil", "trunc_of": "trunc", "fmod_of": "fmod",
}  # fmt: skip
"""Names in formulas and helpers that are called otherwise here."""

INF = Num(float("inf"))

_BINARY: Mapping[type[ast.AST], str] = {ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/", ast.Mod: "%"}
_COMPARE: Mapping[type[ast.AST], str] = {
    ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=", ast.Eq: "==", ast.NotEq: "!=",
}  # fmt: skip


class Helper(NamedTuple):
    """A helper function, ready to be printed."""

    name: str
    parameters: tuple[Var, ...]
    type: Type
    doc: str
    tables: tuple[Table, ...]
    body: list[Stmt]


def joined(op: str, x: Expr, y: Expr) -> Expr:
    """Two numbers with an arithmetic sign between them; integers stay such, but for division."""
    if op == "/" or "float" in (x.type, y.type):
        return Binary(op, converted(x, "float"), converted(y, "float"), "float")
    return Binary(op, converted(x, "int"), converted(y, "int"), "int")


def compared(op: str, x: Expr, y: Expr) -> Expr:
    """A comparison of numbers of one type."""
    kind: Type = "float" if "float" in (x.type, y.type) else "int" if "int" in (x.type, y.type) else "bool"
    return Binary(op, converted(x, kind), converted(y, kind), "bool")


class _Reader:
    """Expressions over names that stand for expressions."""

    def __init__(self, names: Mapping[str, Expr], tables: Mapping[str, tuple[float, ...]]) -> None:
        self.names = names
        self.tables = tables
        self.used: set[str] = set()

    def read(self, e: ast.expr) -> Expr:
        """An expression."""
        match e:
            case ast.Constant(value=bool() as truth):
                return Num(float(truth), "bool")
            case ast.Constant(value=int() as whole):
                return Num(whole, "int")
            case ast.Constant(value=float() as number):
                return Num(number)
            case ast.Name(id="INF"):
                return INF
            case ast.Name(id=name):
                return self.names[name]
            case ast.UnaryOp(op=ast.USub(), operand=inner):
                x = self.read(inner)
                return Num(-x.value, x.type) if isinstance(x, Num) else Unary("-", x, x.type)
            case ast.UnaryOp(op=ast.Not(), operand=inner):
                return Unary("not", self.condition(inner), "bool")
            case ast.BinOp(left=left, op=ast.Pow(), right=ast.Constant(value=int() as n)) if isinstance(
                left, ast.Constant
            ):
                return Num(float(left.value) ** n)  # type: ignore[arg-type]  # a literal number
            case ast.BinOp(left=ast.Constant(value=float() as x), op=ast.Pow(), right=ast.UnaryOp(operand=n)):
                return Num(x ** -float(n.value))  # type: ignore[attr-defined]  # a literal number
            case ast.BinOp(left=left, op=op, right=right):
                return joined(_BINARY[type(op)], self.read(left), self.read(right))
            case ast.Compare(left=left, ops=[op], comparators=[right]):
                return compared(_COMPARE[type(op)], self.read(left), self.read(right))
            case ast.Compare(left=left, ops=[op, then], comparators=[middle, right]):
                first = compared(_COMPARE[type(op)], self.read(left), self.read(middle))
                return Binary(
                    "and", first, compared(_COMPARE[type(then)], self.read(middle), self.read(right)), "bool"
                )
            case ast.BoolOp(op=op, values=values):
                sign = "and" if isinstance(op, ast.And) else "or"
                found = self.condition(values[0])
                for value in values[1:]:
                    found = Binary(sign, found, self.condition(value), "bool")
                return found
            case ast.IfExp():
                return self.choice(e.test, e.body, e.orelse)
            case ast.Subscript(value=ast.Name(id=table), slice=index):
                self.used.add(table)
                size = len(self.tables[table])
                return Elem(Array(table.lower().strip("_"), "float", size), self.read(index))
            case ast.Call(func=ast.Name(id=name), args=arguments):
                return self.call(name, arguments)
        raise ValueError(f"a helper cannot hold {ast.dump(e)}")

    def condition(self, e: ast.expr) -> Expr:
        """A truth value."""
        return converted(self.read(e), "bool")

    def choice(self, test: ast.expr, then: ast.expr, otherwise: ast.expr) -> Expr:
        """One of two numbers."""
        x, y = self.read(then), self.read(otherwise)
        literal = isinstance(x, Num) and isinstance(y, Num)
        kind: Type = x.type if x.type == y.type and not (x.type == "int" and literal) else "float"
        return Choice(self.condition(test), converted(x, kind), converted(y, kind), kind)

    def call(self, name: str, arguments: list[ast.expr]) -> Expr:
        """A function, or what formulas write like one."""
        if name == "where":
            return self.choice(*arguments)
        if name in ("logical_and", "logical_or"):
            x, y = (self.condition(a) for a in arguments)
            return Binary("and" if name == "logical_and" else "or", x, y, "bool")
        if name == "logical_not":
            return Unary("not", self.condition(arguments[0]), "bool")
        if name == "logical_xor":
            return compared("!=", self.condition(arguments[0]), self.condition(arguments[1]))
        given = [self.read(a) for a in arguments]
        if name == "float":
            return converted(given[0], "float")
        if name == "int":
            return Convert(given[0], "int")
        name = ALIASES.get(name, name)
        if name in ("max", "min"):
            name = f"f{name}"
        function = _functions().get(name)
        kinds = (
            [_annotated(a.annotation) for a in function[0].args.args] if function else ["float"] * len(given)
        )
        result = _annotated(function[0].returns) if function else "float"
        return Call(name, tuple(converted(x, k) for x, k in zip(given, kinds, strict=True)), result)  # type: ignore[arg-type]  # of `Type`


def _annotated(annotation: ast.expr | None) -> Type:
    name = annotation.id if isinstance(annotation, ast.Name) else "float"
    return name if name in ("float", "int", "bool") else "float"  # type: ignore[return-value]  # narrowed by the test


@lru_cache(1)
def _functions() -> dict[str, tuple[ast.FunctionDef, Mapping[str, tuple[float, ...]]]]:
    """Every helper's definition by name, with the tables of its module."""
    found: dict[str, tuple[ast.FunctionDef, Mapping[str, tuple[float, ...]]]] = {}
    for module in MODULES:
        tables = {name: v for name, v in vars(module).items() if isinstance(v, tuple) and name.isupper()}
        for item in ast.parse(inspect.getsource(module)).body:
            if isinstance(item, ast.FunctionDef):
                found[item.name] = item, tables
                if module is prelude and item.name == "lgamma":
                    found["lgamma_right"] = (
                        item,
                        tables,
                    )  # C has lgamma, and ours is right of 0 what the tape's is
    return found


class _Body:
    """Statements of one helper."""

    def __init__(self, definition: ast.FunctionDef, tables: Mapping[str, tuple[float, ...]]) -> None:
        self.parameters = tuple(Var(a.arg, _annotated(a.annotation)) for a in definition.args.args)
        self.names: dict[str, Expr] = {v.name: v for v in self.parameters}
        self.reader = _Reader(self.names, tables)
        self.result = _annotated(definition.returns)
        self.assigned = _assigned(definition)
        self.argument: set[str] = {v.name for v in self.parameters}

    def block(self, items: list[ast.stmt]) -> list[Stmt]:
        """The statements of a block. Its locals are declared where they first appear, and known up to its end."""
        outer = dict(self.names)
        statements = [s for item in items for s in self.statement(item)]
        self.names.clear()
        self.names.update(outer)
        return statements

    def statement(self, item: ast.stmt) -> list[Stmt]:
        """One statement."""
        match item:
            case ast.Expr(value=ast.Constant()):
                return []
            case ast.Return(value=value):
                assert value is not None
                return [Return(converted(self.reader.read(value), self.result))]
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                return self.put(name, self.reader.read(value))
            case ast.AnnAssign(target=ast.Name(id=name), annotation=annotation, value=value):
                assert value is not None
                self.names[name] = var = Var(name, _annotated(annotation))
                return [Let(var, converted(self.reader.read(value), var.type), mutable=True)]
            case ast.AugAssign(target=ast.Name(id=name), op=op, value=value):
                return self.put(name, joined(_BINARY[type(op)], self.names[name], self.reader.read(value)))
            case ast.If(test=test, body=then, orelse=otherwise):
                return [If(self.reader.condition(test), self.block(then), self.block(otherwise))]
            case ast.While(test=test, body=body):
                return [While(self.reader.condition(test), self.block(body))]
            case ast.Break():
                return [Break()]
            case ast.For(target=ast.Name(id=name), iter=ast.Call(args=arguments), body=body):
                bounds = [self.reader.read(a) for a in arguments]
                var = Var(name, "int")
                self.names[name] = var
                start = bounds[0] if len(bounds) > 1 else Num(0, "int")
                if len(bounds) == 3:  # range(n, m, -1) runs from n down to m + 1
                    first, last = joined("+", bounds[1], Num(1, "int")), joined("+", bounds[0], Num(1, "int"))
                    return [For(var, _folded(first), _folded(last), self.block(body), down=True)]
                return [For(var, start, bounds[len(bounds) > 1], self.block(body))]
        raise ValueError(f"a helper cannot hold {ast.dump(item)}")

    def put(self, name: str, value: Expr) -> list[Stmt]:
        """An assignment, or a declaration if it is the first."""
        known = self.names.get(name)
        if known is None:
            if value.type == "int" and isinstance(value, Num):
                value = converted(value, "float")
            var = Var(name, value.type)
            self.names[name] = var
            return [Let(var, value, mutable=self.assigned[name] > 1)]
        assert isinstance(known, Var)
        return [Assign(known, converted(value, known.type))]


def _folded(e: Expr) -> Expr:
    if isinstance(e, Binary) and isinstance(e.x, Num) and isinstance(e.y, Num):
        return Num(e.x.value + e.y.value, "int")
    return e


def _assigned(definition: ast.FunctionDef) -> dict[str, int]:
    count: dict[str, int] = {}
    for item in ast.walk(definition):
        if isinstance(item, ast.Assign | ast.AugAssign):
            target = item.targets[0] if isinstance(item, ast.Assign) else item.target
            if isinstance(target, ast.Name):
                count[target.id] = count.get(target.id, 0) + 1
    return count


_SPELLED = str.maketrans({
    "\N{MINUS SIGN}": "-", "\N{EN DASH}": "-", "\N{COPYRIGHT SIGN}": "(c)", "\N{HORIZONTAL ELLIPSIS}": "...",
    "\N{SUPERSCRIPT TWO}": "^2", "\N{GREEK CAPITAL LETTER GAMMA}": "Gamma", "\N{GREEK SMALL LETTER PSI}": "psi",
    "\N{GREEK SMALL LETTER PI}": "pi ", "\N{SQUARE ROOT}": "sqrt ", "\N{MIDDLE DOT}": "*", "\N{MODIFIER LETTER SMALL A}": "^a",
    "\N{MODIFIER LETTER SMALL B}": "^b", "\N{SUPERSCRIPT MINUS}": "^-", "\N{LEFT FLOOR}": "floor(", "\N{RIGHT FLOOR}": ")",
})  # fmt: skip


def _in_ascii(text: str) -> str:
    """A comment that any compiler reads in any encoding."""
    return text.translate(_SPELLED).encode("ascii", "replace").decode()


def known(name: str) -> bool:
    """Whether there is a helper of this name."""
    return name in _functions()


@lru_cache(512)
def helper(name: str) -> Helper:
    """A helper by name."""
    definition, tables = _functions()[name]
    body = _Body(definition, tables)
    statements = body.block(definition.body)
    needed = tuple(
        Table(Array(t.lower().strip("_"), "float", len(tables[t])), tables[t])
        for t in sorted(body.reader.used)
    )
    doc = _in_ascii(inspect.cleandoc(ast.get_docstring(definition) or ""))
    return Helper(name, body.parameters, body.result, doc, needed, statements)


@lru_cache(4096)
def _formula(text: str) -> ast.expr:
    return ast.parse(text, mode="eval").body


def formula(text: str, operands: Mapping[str, Expr]) -> Expr:
    """A formula of the op table over expressions."""
    return _Reader(operands, {}).read(_formula(text))


def apply(name: str, *arguments: Expr) -> Expr:
    """A helper or a function of the mathematics library over expressions."""
    result: Type = _annotated(_functions()[name][0].returns) if known(name) else "float"
    return Call(name, arguments, result)
