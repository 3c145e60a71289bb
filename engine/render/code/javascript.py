"""JavaScript (ES2017), for browsers and Node: one function and the helpers that it needs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from engine.render.code.c import has_arrays, sentence
from engine.render.code.function import function_of
from engine.render.code.printer import ATOM, EQUALITY, Printer, wrapped
from engine.render.code.statements import (
    Array,
    Call,
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
)
from engine.render.code.translate import Helper
from engine.render.code.unit import Unit

_MATH = (
    "exp", "expm1", "log", "log1p", "log2", "log10", "sqrt", "cbrt", "sin", "cos", "tan", "asin", "acos", "atan",
    "sinh", "cosh", "tanh", "asinh", "acosh", "atanh", "floor", "ceil", "trunc",
)  # fmt: skip

_FLAT = """\
/** The numbers of a nested or typed array in C order; `size` is how many there must be. */
function {prefix}flat(x, size, name) {{
    const out = new Float64Array(size);
    let n = 0;
    const put = (v) => {{
        if (Array.isArray(v) || ArrayBuffer.isView(v)) {{
            for (let k = 0; k < v.length; k++) put(v[k]);
        }} else {{
            if (n < size) out[n] = Number(v);
            n++;
        }}
    }};
    put(x);
    if (n !== size) throw new RangeError(name + " must have " + size + " numbers; it has " + n);
    return out;
}}
"""

_NESTED = """\
/** Numbers in C order as a nested array of a shape. */
function {prefix}nested(flat, shape) {{
    let at = 0;
    const build = (axis) => {{
        if (axis === shape.length) return flat[at++];
        const out = [];
        for (let k = 0; k < shape[axis]; k++) out.push(build(axis + 1));
        return out;
    }};
    return build(0);
}}
"""


class JavaScript(Printer):
    """ES2017."""

    natives: Mapping[str, str] = {
        **{name: f"Math.{name}({{0}})" for name in _MATH},
        "fabs": "Math.abs({0})",
        "exp2": "Math.pow(2, {0})",
        "atan2": "Math.atan2({0}, {1})",
        "hypot": "Math.hypot({0}, {1})",
        "raw_pow": "Math.pow({0}, {1})",
        "fmax": "Math.max({0}, {1})",
        "fmin": "Math.min({0}, {1})",
        "fmod": "{0} % {1}",
        "trunc_divide": "Math.trunc({0} / {1})",
    }
    signs: Mapping[str, str] = {"and": "&&", "or": "||", "==": "===", "!=": "!=="}

    def native(self, e: Call) -> str | None:
        if e.fn == "pow" and isinstance(e.arguments[1], Num) and abs(e.arguments[1].value) < float("inf"):
            return self.natives["raw_pow"]
        return super().native(e)

    def number(self, e: Num) -> str:
        if e.type == "bool":
            return "true" if e.value else "false"
        if e.type == "int":
            return str(int(e.value))
        if e.value != e.value:
            return "NaN"
        if e.value == float("inf"):
            return "Infinity"
        text = repr(float(e.value))
        return text[:-2] if text.endswith(".0") else text

    def convert(self, e: Convert) -> tuple[str, int]:
        if e.x.type == "bool":
            return f"Number({self.text(e.x)})", ATOM
        if e.type == "int":
            return f"Math.trunc({self.text(e.x)})", ATOM
        return self.written(e.x)

    def element(self, e: Elem) -> tuple[str, int]:
        text = f"{e.array.name}[{self.text(e.at)}]"
        return (f"{text} !== 0", EQUALITY) if e.array.type == "bool" else (text, ATOM)

    def stored(self, target: Var | Elem, value: Expr) -> str:
        if isinstance(target, Elem) and target.type == "bool":
            return f"Number({self.text(value)})"
        return self.text(value)

    def let(self, s: Let) -> str:
        return f"{'let' if s.mutable else 'const'} {s.var.name} = {self.text(s.value)};"

    def room(self, s: Local) -> str:
        return f"const {s.array.name} = new Float64Array({s.array.size});"

    def table(self, s: Table, name: str) -> list[str]:
        written = [self.text(Num(v, "int" if s.array.type == "bool" else s.array.type)) for v in s.values]
        return [f"const {name} = [", *wrapped(written, self.indent), "];"]

    def counter(self, s: For) -> str:
        i = s.var.name
        if s.down:
            last = str(int(s.stop.value) - 1) if isinstance(s.stop, Num) else f"{self.text(s.stop)} - 1"
            return f"for (let {i} = {last}; {i} >= {self.text(s.start)}; {i}--)"
        return f"for (let {i} = {self.text(s.start)}; {i} < {self.text(s.stop)}; {i}++)"

    def helper(self, h: Helper) -> list[str]:
        lines = self.note(h.doc)
        lines.append(f"function {self.prefix}{h.name}({', '.join(v.name for v in h.parameters)}) {{")
        for t in h.tables:
            lines += [self.indent + line for line in self.table(t, t.array.name)]
        return [*lines, *self.lines(h.body, 1), "}", ""]

    def note(self, text: str) -> list[str]:
        """A comment."""
        first, *rest = text.splitlines()
        if not rest:
            return [f"/** {first} */"]
        return ["/**", *(f" * {line}".rstrip() for line in (first, *rest)), " */"]

    def function(self, function: Function) -> str:
        self.prefix = function.prefix
        helpers, _ = self.helpers(function)
        value, *gradients = function.results
        tables = [s for s in function.body if isinstance(s, Table)]
        body = [
            f'{self.indent}{p.var.name} = {self.prefix}flat({p.var.name}, {p.var.size}, "{p.var.name}");'
            for p in function.parameters
            if isinstance(p.var, Array)
        ]
        body += [
            f"{self.indent}const {r.name} = new Float64Array({_count(r.shape)});"
            for r in function.results
            if r.shape
        ]
        body += self.lines([s for s in function.body if not isinstance(s, Table)], 1)
        body += self.answer(value, gradients, _group(function))
        text: list[str] = ['"use strict";', ""]
        if any(p.shape for p in function.parameters):
            text += [*_FLAT.format(prefix=self.prefix).splitlines(), ""]
        if any(r.shape for r in function.results):
            text += [*_NESTED.format(prefix=self.prefix).splitlines(), ""]
        text += [line for h in helpers for line in self.helper(h)]
        for t in tables:
            text += [*self.table(t, t.array.name), ""]
        names = ", ".join(p.var.name for p in function.parameters)
        text += [*self.header(function), f"function {function.name}({names}) {{", *body, "}", ""]
        text += [
            f'if (typeof module !== "undefined" && module.exports) module.exports = {function.name};',
            "",
        ]
        return "\n".join(text)

    def answer(self, value: Result, gradients: Sequence[Result], group: str) -> list[str]:
        """The last statement."""

        def written(r: Result) -> str:
            if r.shape:
                return f"{self.prefix}nested({r.name}, [{', '.join(map(str, r.shape))}])"
            assert not isinstance(r.value, Array)
            return self.text(r.value)

        pad = self.indent
        if not gradients:
            return [f"{pad}return {{ value: {written(value)}, {group}: {{}} }};"]
        rows = [f"{pad * 3}{r.key}: {written(r)}," for r in gradients]
        return [
            f"{pad}return {{",
            f"{pad * 2}value: {written(value)},",
            f"{pad * 2}{group}: {{",
            *rows,
            f"{pad * 2}}},",
            f"{pad}}};",
        ]

    def header(self, function: Function) -> list[str]:
        """The comment above the function."""
        value, *gradients = function.results
        group = _group(function)
        text = [sentence(value, gradients, function.order), ""]
        text += [
            f"@param {{{_type(p.var.type, p.shape)}}} {p.var.name}{_shape(p.shape)}"
            for p in function.parameters
        ]
        inner = ", ".join(f"{r.key}: {_type('float', r.shape)}" for r in gradients)
        text.append(f"@returns {{{{value: {_type('float', value.shape)}, {group}: {{{inner}}}}}}}")
        names = ", ".join(p.var.name for p in function.parameters)
        text += [
            "",
            *_about(function),
            *function.remarks,
            "Usage:",
            f"    const {{ value, {group} }} = {function.name}({names});",
        ]
        if gradients:
            text.append(f"    console.log(value, {group}.{gradients[0].key});")
        return self.note("\n".join(text))


def _group(function: Function) -> str:
    """What the answer calls its derivatives."""
    return "gradients" if function.order == 1 else "derivatives"


def _about(function: Function) -> list[str]:
    """What a user has to know of the types."""
    lines = []
    if has_arrays(function):
        lines.append("Arrays are nested or typed arrays, in C order; those in the answer are nested.")
    if any(p.var.type == "int" for p in function.parameters):
        lines.append("Integers are exact up to 2^53.")
    return lines


def _type(kind: str, shape: Sequence[int]) -> str:
    return ("boolean" if kind == "bool" else "number") + "[]" * len(shape)


def _shape(shape: Sequence[int]) -> str:
    return f" of shape [{', '.join(map(str, shape))}]" if shape else ""


def _count(shape: Sequence[int]) -> int:
    n = 1
    for k in shape:
        n *= k
    return n


def write(unit: Unit, step: Callable[[], None] | None = None) -> str:
    """The unit in JavaScript. Raises `Unsupported`; `step`, if given, is called before each node and may raise."""
    return JavaScript().function(function_of(unit, "JavaScript", step))
