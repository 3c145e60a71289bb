"""C99: one function, the static helpers that it needs above it, nothing but the standard library."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from engine.render.code.function import function_of
from engine.render.code.printer import ATOM, UNARY, Printer, c_type, wrapped
from engine.render.code.split import Parts, joined, parts_of
from engine.render.code.statements import (
    Array,
    Convert,
    Elem,
    Expr,
    For,
    Function,
    Let,
    Local,
    Num,
    Result,
    Table,
    Var,
    walk,
)
from engine.render.code.translate import Helper
from engine.render.code.unit import Unit

STACK = 64 << 10
"""Bytes of arrays that a function keeps on the stack; if it needs more, the caller brings them."""

_MATH = (
    "exp", "expm1", "exp2", "log", "log1p", "log2", "log10", "sqrt", "cbrt", "sin", "cos", "tan", "asin", "acos", "atan",
    "sinh", "cosh", "tanh", "asinh", "acosh", "atanh", "floor", "ceil", "trunc", "fabs", "erf", "erfc", "tgamma", "lgamma",
)  # fmt: skip


_COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)


class C(Printer):
    """C99."""

    natives: Mapping[str, str] = {
        **{name: f"{name}({{0}})" for name in _MATH},
        **{
            name: f"{name}({{0}}, {{1}})"
            for name in ("atan2", "hypot", "copysign", "fmod", "pow", "fmax", "fmin")
        },
        "round_of": "nearbyint({0})",
        "trunc_divide": "{0} / {1}",
    }
    signs: Mapping[str, str] = {"and": "&&", "or": "||"}

    def number(self, e: Num) -> str:
        if e.type == "bool":
            return "true" if e.value else "false"
        if e.type == "int":
            return str(int(e.value)) + ("LL" if e.value > 2**31 - 1 else "")
        if e.value != e.value:
            return "NAN"
        return "INFINITY" if e.value == float("inf") else repr(float(e.value))

    def convert(self, e: Convert) -> tuple[str, int]:
        return f"({c_type(e.type)}){self.text(e.x, UNARY)}", UNARY

    def element(self, e: Elem) -> tuple[str, int]:
        return f"{e.array.name}[{self.text(e.at)}]", ATOM

    def let(self, s: Let) -> str:
        const = "" if s.mutable else "const "
        return f"{const}{c_type(s.var.type)} {s.var.name} = {self.text(s.value)};"

    def room(self, s: Local) -> str:
        at = self.offsets.get(s.array.name)
        kind = c_type(s.array.type)
        if at is None:
            return f"{kind} {s.array.name}[{max(s.array.size, 1)}];"
        return f"{kind} *const {s.array.name} = ({kind} *)((char *){self.work} + {at});"

    def table(self, s: Table, name: str) -> list[str]:
        kind = s.array.type
        head = f"static const {c_type(kind)} {name}[{s.array.size}] = {{"
        written = [self.text(Num(v, kind)) for v in s.values]
        return [head, *wrapped(written, self.indent), "};"]

    def counter(self, s: For) -> str:
        i = s.var.name
        if s.down:
            return f"for (int {i} = {self._last(s.stop)}; {i} >= {self.text(s.start)}; {i}--)"
        return f"for (int {i} = {self.text(s.start)}; {i} < {self.text(s.stop)}; {i}++)"

    def _last(self, stop: Expr) -> str:
        return str(int(stop.value) - 1) if isinstance(stop, Num) else f"(int)({self.text(stop)}) - 1"

    def __init__(self) -> None:
        self.offsets: dict[str, int] = {}
        self.work = "work"

    def helper(self, h: Helper) -> list[str]:
        arguments = ", ".join(f"{c_type(v.type)} {v.name}" for v in h.parameters)
        lines = [*self.note(h.doc)]
        lines.append(f"static {c_type(h.type)} {self.prefix}{h.name}({arguments}) {{")
        for t in h.tables:
            lines += [self.indent + line for line in self.table(t, t.array.name)]
        return [*lines, *self.lines(h.body, 1), "}", ""]

    def note(self, text: str) -> list[str]:
        """A comment."""
        first, *rest = text.splitlines()
        if not rest:
            return [f"/* {first} */"]
        return ["/*", *(f" * {line}".rstrip() for line in (first, *rest)), " */"]

    def function(self, function: Function) -> str:
        self.prefix, self.work = function.prefix, function.work
        parts = parts_of(function, function.shared)
        if parts is not None:
            results = [replace(r, value=e) for r, e in zip(function.results, parts.results, strict=True)]
            function = replace(function, body=[Local(parts.shared)], results=results)
        total = sum(_bytes(s.array) for s in function.body if isinstance(s, Local))
        size = 0
        if total > STACK:
            self.offsets, size = layout(function)
        helpers, natives = self.helpers(
            function if parts is None else replace(function, body=joined(parts.parts))
        )
        text = [line for h in helpers for line in self.helper(h)]
        if parts is not None:
            text += self.parts(function, parts)
        text += self.main(function, parts, size)
        inner = "\n".join(text)
        bare = _COMMENT.sub("", inner)
        includes = []
        if natives or re.search(r"\b(?:INFINITY|NAN)\b", bare):
            includes.append("#include <math.h>")
        if re.search(r"\b(?:bool|true|false)\b", bare):
            includes.append("#include <stdbool.h>")
        return "\n".join([*includes, *([""] if includes else []), inner, ""])

    def parts(self, function: Function, parts: Parts) -> list[str]:
        """Each part as a function of its own."""
        lines: list[str] = []
        for part in parts.parts:
            used = {e.name for e in walk(part.body) if isinstance(e, Var)}
            given = [self.parameter(p.var, p.shape) for p in function.parameters if p.var.name in used]
            head = _signature("static void", part.name, [*given, f"double *{parts.shared.name}"])
            lines += [*head, *self.lines(part.body, 1), "}", ""]
        return lines

    def calls(self, function: Function, parts: Parts) -> list[str]:
        """The calls of the parts, one after the other."""
        lines = []
        for part in parts.parts:
            used = {e.name for e in walk(part.body) if isinstance(e, Var)}
            given = [p.var.name for p in function.parameters if p.var.name in used]
            lines.append(f"{self.indent}{part.name}({', '.join([*given, parts.shared.name])});")
        return lines

    def main(self, function: Function, parts: Parts | None, size: int) -> list[str]:
        """The function itself, below its comment."""
        value, *gradients = function.results
        arguments = [self.parameter(p.var, p.shape) for p in function.parameters]
        if value.shape:
            arguments.append(f"double *{value.name} {_extent(value.shape)}")
        arguments += [
            f"double *{r.name} {_extent(r.shape)}" if r.shape else f"double *{r.name}" for r in gradients
        ]
        if size:
            arguments.append(f"void *{self.work}")
        kind = "void" if value.shape else "double"
        body = self.lines(function.body, 1)
        if parts is not None:
            body += self.calls(function, parts)
        for r in gradients:
            if not r.shape:
                assert not isinstance(r.value, Array)
                body.append(f"{self.indent}*{r.name} = {self.text(r.value)};")
        if not value.shape:
            assert not isinstance(value.value, Array)
            body.append(f"{self.indent}return {self.text(value.value)};")
        used = _mentioned(function if parts is None else replace(function, body=joined(parts.parts)))
        unused = [p.var.name for p in function.parameters if p.var.name not in used]
        unused += [r.name for r in function.results if r.shape and r.name not in used]
        body = [f"{self.indent}(void){name};" for name in unused] + body
        return [
            *self.header(function, size),
            *_signature(kind, function.name, arguments),
            *body,
            "}",
        ]

    def parameter(self, v: Var | Array, shape: Sequence[int]) -> str:
        """An argument."""
        if isinstance(v, Var):
            return f"{c_type(v.type)} {v.name}"
        return f"const {c_type(v.type)} *{v.name} {_extent(shape)}"

    def header(self, function: Function, size: int) -> list[str]:
        """The comment above the function."""
        value, *gradients = function.results
        rows = [(p.var.name, _described(p.var.type, p.shape)) for p in function.parameters]
        if value.shape:
            rows.append((value.name, f"out: the value of {value.title}, {_described('float', value.shape)}"))
        rows += [(r.name, f"out: {r.title}, {_described('float', r.shape)}") for r in gradients]
        if size:
            rows.append(
                (self.work, f"scratch memory, {size} bytes from malloc; its contents are of no concern")
            )
        wide = max((len(name) for name, _ in rows), default=0)
        text = [sentence(value, gradients, function.order), ""]
        text += [f"  {name.ljust(wide)}  {what}" for name, what in rows]
        text += [
            "",
            *(["Arrays lie in C order (the last index runs fastest)."] if has_arrays(function) else []),
            *(
                ["Integers must stay within 64 bits."]
                if any(p.var.type == "int" for p in function.parameters)
                else []
            ),
            "The function keeps no state, so it may run in several threads at once.",
            *function.remarks,
            "",
            "Usage (link with -lm):",
            *("    " + line for line in _usage(function, size)),
        ]
        return self.note("\n".join(text))


def sentence(value: Result, gradients: Sequence[Result], order: int) -> str:
    """What a function computes."""
    if not gradients:
        return f"The value of {value.title}."
    if order == 1:
        return f"The value of {value.title} and its derivatives by {', '.join(r.key for r in gradients)}."
    return f"The value of {value.title} and its derivatives of order {order}."


def _described(kind: str, shape: Sequence[int]) -> str:
    word = {"float": "double", "int": "long long", "bool": "bool"}[kind]
    return f"{word}{''.join(f'[{n}]' for n in shape)}" if shape else f"a {word}"


def _usage(function: Function, size: int) -> list[str]:
    value, *gradients = function.results
    outs = [r for r in function.results if r.shape] if value.shape else gradients
    lines = []
    declared = [f"{r.name}[{max(_count(r.shape), 1)}]" if r.shape else r.name for r in outs]
    if declared:
        lines += _folded("double ", declared, ";")
    arguments = [p.var.name for p in function.parameters]
    arguments += [
        r.name if r.shape else f"&{r.name}" for r in (function.results if value.shape else gradients)
    ]
    if size:
        lines.append(f"void *{function.work} = malloc({size});")
        arguments.append(function.work)
    head = "" if value.shape else f"double {value.name} = "
    return [*lines, *_folded(f"{head}{function.name}(", arguments, ");")]


def _folded(head: str, items: Sequence[str], tail: str) -> list[str]:
    """A list in one line, or in several."""
    one = f"{head}{', '.join(items)}{tail}"
    if len(one) <= 92:
        return [one]
    return [head.rstrip(), *wrapped(list(items), "    ")[:-1], wrapped(list(items), "    ")[-1] + tail]


def has_arrays(function: Function) -> bool:
    """Whether an argument or a result is an array."""
    return any(p.shape for p in function.parameters) or any(r.shape for r in function.results)


def _extent(shape: Sequence[int]) -> str:
    return f"/* {''.join(f'[{n}]' for n in shape)} */"


def _count(shape: Sequence[int]) -> int:
    n = 1
    for k in shape:
        n *= k
    return n


def _signature(kind: str, name: str, arguments: Sequence[str]) -> list[str]:
    one = f"{kind} {name}({', '.join(arguments) or 'void'}) {{"
    if len(one) <= 100:
        return [one]
    return [f"{kind} {name}(", *wrapped(list(arguments), "    "), ") {"]


def _bytes(array: Array) -> int:
    return max(array.size, 1) * (1 if array.type == "bool" else 8)


def _mentioned(function: Function) -> set[str]:
    """Names of arguments and arrays that the statements mention."""
    found: set[str] = set()
    values = [r.value for r in function.results if not isinstance(r.value, Array)]
    for e in walk([*function.body, *values]):
        if isinstance(e, Var):
            found.add(e.name)
        elif isinstance(e, Elem):
            found.add(e.array.name)
    return found


def layout(function: Function) -> tuple[dict[str, int], int]:
    """Offsets of the local arrays in one piece of memory, and its size: arrays whose times do not meet share their place.

    An array lives from the first to the last of the outermost statements that mention it.
    """
    rooms = {s.array.name: _bytes(s.array) for s in function.body if isinstance(s, Local)}
    first: dict[str, int] = {}
    last: dict[str, int] = {}
    for k, s in enumerate(function.body):
        if isinstance(s, Local):
            continue
        for e in walk([s]):
            if isinstance(e, Elem) and e.array.name in rooms:
                first.setdefault(e.array.name, k)
                last[e.array.name] = k
    ends: dict[int, list[str]] = {}
    for name, k in last.items():
        ends.setdefault(k, []).append(name)
    starts: dict[int, list[str]] = {}
    for name, k in first.items():
        starts.setdefault(k, []).append(name)
    free: list[tuple[int, int]] = []
    offsets: dict[str, int] = {}
    size = 0
    for k in range(len(function.body)):
        for name in starts.get(k, ()):
            need = -(-rooms[name] // 8) * 8
            fit = next((j for j, (_, n) in enumerate(free) if n >= need), None)
            if fit is None:
                offsets[name] = size
                size += need
            else:
                at, n = free.pop(fit)
                offsets[name] = at
                if n > need:
                    free.append((at + need, n - need))
        for name in ends.get(k, ()):
            free.append((offsets[name], -(-rooms[name] // 8) * 8))
            free = _merged(free)
    for name in rooms:
        offsets.setdefault(name, 0)
    return offsets, size


def _merged(free: list[tuple[int, int]]) -> list[tuple[int, int]]:
    joined: list[tuple[int, int]] = []
    for at, n in sorted(free):
        if joined and sum(joined[-1]) == at:
            joined[-1] = (joined[-1][0], joined[-1][1] + n)
        else:
            joined.append((at, n))
    return joined


def write(unit: Unit, step: Callable[[], None] | None = None) -> str:
    """The unit in C99. Raises `Unsupported`; `step`, if given, is called before each node and may raise."""
    return C().function(function_of(unit, "C", step))
