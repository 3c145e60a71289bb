"""Writes the two tape machines, `plain.py` and `native.py`, from the table of ops: `python -m engine.tape.generate`.

Both files have the same functions, line for line; the native one compiles them with Numba. The text of a formula becomes
a Python expression: `where` a conditional expression (so that only the branch that is taken is computed), a mask 1.0 or
0.0, an op's name the function of `math` or of the prelude that it means.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from engine.tape.table import LANES, ROWS, Row

HERE = Path(__file__).parent
FUNCTIONS = {
    "floor": "floor_of", "ceil": "ceil_of", "trunc": "trunc_of", "round": "round_of",
    "fmod": "fmod_of", "remainder": "remainder_of",
}  # fmt: skip
"""Names in formulas that mean a function of another name here: that of `math` or of Python is another one."""

COMPARISON = (ast.Compare, ast.BoolOp)


class _Python(ast.NodeTransformer):
    """A formula as Python: visited bottom-up, whatever is a mask is a condition until `_number` makes it one."""

    def visit_Constant(self, node: ast.Constant) -> ast.expr:  # the name that ast calls
        assert isinstance(node.value, int | float)
        return ast.Constant(float(node.value))

    def visit_Call(self, node: ast.Call) -> ast.expr:
        assert isinstance(node.func, ast.Name)
        arguments = [self.visit(a) for a in node.args]
        name = node.func.id
        if name == "where":
            return ast.IfExp(_condition(arguments[0]), _number(arguments[1]), _number(arguments[2]))
        if name in ("logical_and", "logical_or"):
            op = ast.And() if name == "logical_and" else ast.Or()
            return ast.BoolOp(op, [_condition(a) for a in arguments])
        if name == "logical_not":
            return ast.Compare(arguments[0], [ast.Eq()], [ast.Constant(0.0)])
        if name == "logical_xor":
            return ast.Compare(_condition(arguments[0]), [ast.NotEq()], [_condition(arguments[1])])
        return ast.Call(ast.Name(FUNCTIONS.get(name, name)), [_number(a) for a in arguments], [])


def _condition(e: ast.expr) -> ast.expr:
    return e if isinstance(e, COMPARISON) else ast.Compare(e, [ast.NotEq()], [ast.Constant(0.0)])


def _number(e: ast.expr) -> ast.expr:
    return ast.IfExp(e, ast.Constant(1.0), ast.Constant(0.0)) if isinstance(e, COMPARISON) else e


def number(formula: str) -> str:
    """A formula as a Python expression for a float."""
    return ast.unparse(
        ast.fix_missing_locations(_number(_Python().visit(ast.parse(formula, mode="eval").body)))
    )


def condition(formula: str) -> str:
    """A formula as a Python condition."""
    return ast.unparse(
        ast.fix_missing_locations(_condition(_Python().visit(ast.parse(formula, mode="eval").body)))
    )


def _used(*texts: str) -> set[str]:
    return {name for text in texts for name in re.findall(r"\b[abc]\b", text)}


def _loads(needed: set[str]) -> Iterator[str]:
    for k, name in enumerate("abc"):
        if name in needed:
            yield f"{name} = v[args[3 * k + {k}]]" if k else "a = v[args[3 * k]]"


def _value(row: Row) -> Iterator[str]:
    text = number(row.value)
    yield from _loads(_used(text))
    yield f"y = {text}"


def _linear(row: Row) -> Iterator[str]:
    text, kink = number(row.value), condition(row.kink) if row.kink else ""
    partials = [number(p) for p in row.partials if p != "0"]
    yield from _loads(_used(text, kink, *partials))
    yield f"y = {text}"
    if partials:
        yield "e = start[k]"
    for k, partial in enumerate(partials):
        yield f"p[e + {k}] = {partial}" if k else f"p[e] = {partial}"
    if kink:
        yield f"if {kink}:"
        yield "    kinks += 1"


def _switch(body: Callable[[Row], Iterator[str]]) -> Iterator[str]:
    yield "    for k in range(len(ops)):"
    yield "        o = ops[k]"
    yield "        i = place[k]"
    yield "        if o == 0:"
    yield "            y = v[i]"
    for code, row in enumerate(ROWS, 1):
        yield f"        elif o == {code}:  # {row.name}"
        for line in body(row):
            yield f"            {line}"
    yield "        else:"
    yield "            y = INF"


def _lanes(line: str) -> Iterator[str]:
    for k in range(LANES):
        yield line.replace("#", str(k)).replace(" + 0]", "]")


def _sweep(name: str, doc: str, order: str, frm: str, to: str) -> Iterator[str]:
    yield f'''
@kernel(MANY)
def {name}(source: Ints, target: Ints, p: Floats, g: Floats, at: Ints, seeds: Floats, wanted: Ints, out: Floats) -> bool:
    """{doc}

    `seeds` has a row for each sweep, of the numbers that entries `at` begin with; `out` gets a row for each, of the
    numbers that entries `wanted` end with. `g` is room for {LANES} sweeps. Whether all results are finite.
    """
    bad = 0.0
    sweeps = len(seeds) // len(at)
    for first in range(0, sweeps, {LANES}):
        lanes = min({LANES}, sweeps - first)
        for i in range(len(g)):
            g[i] = 0.0
        for k in range(lanes):
            for i in range(len(at)):
                g[{LANES} * at[i] + k] += seeds[(first + k) * len(at) + i]
        for e in range({order}):
            q = p[e]
            j = {LANES} * {frm}[e]
            k = {LANES} * {to}[e]'''
    for line in ("a# = g[j + #]", "b# = g[k + #]", "g[k + #] = b# + q * a#"):
        for text in _lanes(line):
            yield f"            {text}"
    yield f"""        for k in range(lanes):
            for i in range(len(wanted)):
                y = g[{LANES} * wanted[i] + k]
                out[(first + k) * len(wanted) + i] = y
                bad += y - y
    return bad == 0.0
"""


def _body() -> Iterator[str]:
    yield '''
@kernel(VALUES)
def values(ops: Ints, args: Ints, place: Ints, v: Floats) -> bool:
    """The value of every entry, from those of the leaves, which v holds. Whether all are finite.

    In the k-th place stands entry `place[k]`, of code `ops[k]`, with operands `args[3k … 3k+2]`.
    """
    bad = 0.0'''
    yield from _switch(_value)
    yield '''        v[i] = y
        bad += y - y
    return bad == 0.0


@kernel(LINEARIZE)
def linearize(ops: Ints, args: Ints, place: Ints, start: Ints, v: Floats, p: Floats) -> int:
    """Values, and the partial along every edge: `start[k]` is the first edge of the entry in the k-th place.

    How many kinks were met; −1 if a value is not finite.
    """
    bad = 0.0
    kinks = 0'''
    yield from _switch(_linear)
    yield '''        v[i] = y
        bad += y - y
    if bad == 0.0:
        return kinks
    return -1


@kernel(REVERSE)
def reverse(source: Ints, target: Ints, p: Floats, g: Floats) -> bool:
    """Cotangents of all entries, from the seeds that g holds. Whether all are finite."""
    for e in range(len(p) - 1, -1, -1):
        g[target[e]] += g[source[e]] * p[e]
    bad = 0.0
    for i in range(len(g)):
        bad += g[i] - g[i]
    return bad == 0.0


@kernel(REVERSE)
def forward(source: Ints, target: Ints, p: Floats, d: Floats) -> bool:
    """Tangents of all entries, from the seeds that d holds. Whether all are finite."""
    for e in range(len(p)):
        d[source[e]] += d[target[e]] * p[e]
    bad = 0.0
    for i in range(len(d)):
        bad += d[i] - d[i]
    return bad == 0.0


@kernel(GRADIENT)
def gradient(
    ops: Ints, args: Ints, place: Ints, start: Ints, v: Floats, source: Ints, target: Ints, p: Floats, g: Floats
) -> int:
    """`linearize`, then `reverse`. How many kinks were met; −1 if a value or a cotangent is not finite."""
    kinks = linearize(ops, args, place, start, v, p)
    if kinks >= 0 and not reverse(source, target, p, g):
        return -1
    return kinks


@kernel(SCHEDULE)
def schedule(
    ops: Ints, args: Ints, codes: int, waiting: Ints, begin: Ints, users: Ints, order: Ints, queue: Ints
) -> int:
    """An order of evaluation in which ops of one code follow one another as long as they can. How many entries it reaches.

    A processor guesses the next case of the switch, and a wrong guess costs as much as computing an entry. So entries
    that are ready wait in a queue for each code, and the longest queue is emptied, with all that joins it meanwhile.
    `order` gets all entries, leaves first; `waiting` (n), `begin` (n + 2), `users` (3n) and `queue` (n + 3·codes) are
    room, full of zeros.
    """
    n = len(ops)
    for i in range(n):
        if ops[i] != 0:
            for k in range(3):
                j = args[3 * i + k]
                if ops[j] != 0:
                    waiting[i] += 1
                    begin[j + 2] += 1
    for i in range(n):
        begin[i + 2] += begin[i + 1]
    for i in range(n):
        if ops[i] != 0:
            for k in range(3):
                j = args[3 * i + k]
                if ops[j] != 0:
                    users[begin[j + 1]] = i
                    begin[j + 1] += 1
    # queue[i] is the entry that waits behind entry i; a code has its first one, its last one, and their number.
    first = n
    last = n + codes
    size = n + 2 * codes
    for i in range(n):
        o = ops[i]
        if o != 0 and waiting[i] == 0:
            if queue[size + o] == 0:
                queue[first + o] = i
            else:
                queue[queue[last + o]] = i
            queue[last + o] = i
            queue[size + o] += 1
    done = 0
    for i in range(n):
        if ops[i] == 0:
            order[done] = i
            done += 1
    c = 0
    while True:
        for o in range(codes):
            if queue[size + o] > queue[size + c]:
                c = o
        if queue[size + c] == 0:
            return done
        while queue[size + c] > 0:
            i = queue[first + c]
            queue[first + c] = queue[i]
            queue[size + c] -= 1
            order[done] = i
            done += 1
            for k in range(begin[i], begin[i + 1]):
                j = users[k]
                waiting[j] -= 1
                if waiting[j] == 0:
                    o = ops[j]
                    if queue[size + o] == 0:
                        queue[first + o] = j
                    else:
                        queue[queue[last + o]] = j
                    queue[last + o] = j
                    queue[size + o] += 1
'''
    yield from _sweep("reverse_many", "Many reverse sweeps.", "len(p) - 1, -1, -1", "source", "target")
    yield from _sweep("forward_many", "Many forward sweeps.", "len(p)", "target", "source")


def _math_names(text: str) -> list[str]:
    import math

    called = set(re.findall(r"\b([a-z][a-z0-9_]*)\(", text))
    defined = set(re.findall(r"^def (\w+)", text, re.MULTILINE))
    return sorted(name for name in called - defined if hasattr(math, name))


_HEAD = {
    "plain": '''"""The tape machine in plain Python, over lists of numbers. What raises in `math` is for the caller to catch."""

# Written by `python -m engine.tape.generate`; not to be edited.

from __future__ import annotations

from collections.abc import Callable
from math import {names}
from typing import TypeAlias, TypeVar

Ints: TypeAlias = list[int]
Floats: TypeAlias = list[float]
F = TypeVar("F", bound=Callable[..., object])


def helper(fn: F) -> F:
    """As it is; the native machine compiles here."""
    return fn


def kernel(signature: str) -> Callable[[F], F]:
    """As it is; the native machine compiles here."""
    return helper


VALUES = LINEARIZE = REVERSE = GRADIENT = SCHEDULE = MANY = ""
''',
    "native": '''"""The tape machine compiled by Numba, over flat arrays. To be imported by `cache.load` alone."""

# Written by `python -m engine.tape.generate`; not to be edited.
# mypy: ignore-errors
# The text is that of `plain.py`, whose types are checked; Numba has its own.

from __future__ import annotations

from collections.abc import Callable
from math import {names}
from typing import Any, TypeAlias

from numba import njit

Ints: TypeAlias = Any
Floats: TypeAlias = Any

helper = njit(error_model="numpy", nogil=True)


def kernel(signature: str) -> Callable[[Any], Any]:
    """Compiled for this signature alone, or read from the cache on disk."""
    compiled: Callable[[Any], Any] = njit(signature, error_model="numpy", nogil=True, cache=True)
    return compiled


VALUES = "boolean(uint8[::1], uint32[::1], uint32[::1], float64[::1])"
LINEARIZE = "int64(uint8[::1], uint32[::1], uint32[::1], uint32[::1], float64[::1], float64[::1])"
REVERSE = "boolean(uint32[::1], uint32[::1], float64[::1], float64[::1])"
GRADIENT = (
    "int64(uint8[::1], uint32[::1], uint32[::1], uint32[::1], float64[::1],"
    " uint32[::1], uint32[::1], float64[::1], float64[::1])"
)
SCHEDULE = "int64(uint8[::1], uint32[::1], int64, int32[::1], int32[::1], int32[::1], uint32[::1], int32[::1])"
MANY = (
    "boolean(uint32[::1], uint32[::1], float64[::1], float64[::1],"
    " uint32[::1], float64[::1], uint32[::1], float64[::1])"
)
''',
}


def source(machine: str) -> str:
    """Text of `plain.py` or `native.py`."""
    prelude = (HERE / "prelude.py").read_text(encoding="utf-8")
    helpers = re.sub(r"^def ", "@helper\ndef ", prelude[prelude.index("\nINF = ") :], flags=re.MULTILINE)
    body = helpers + "\n" + "\n".join(_body())
    head = _HEAD[machine].format(names=", ".join(_math_names(body)))
    return head + re.sub(r"\n{4,}", "\n\n\n", body).rstrip() + "\n"


def main() -> int:
    """Write both files."""
    for machine in _HEAD:
        (HERE / f"{machine}.py").write_text(source(machine), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
