"""Expressions written as a program of public ops: one step for each operation, what is shared once.

With `inline` set, what is short is written again wherever it is read, as people do (sin(x)·cos(x) + sin(x)): for text and
formulas. Without it every expression is one step, for graphs. In both ways the program is linear in the expressions.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

import numpy as np

from engine.op import Op, registry
from engine.program import CONSTANT, INPUT, ITEM, Argument, GraphSource, Literal, Program, Step
from engine.symbolic.expressions import Algebra, Expr, operations, order_of_factor

WHOLE = 40
"""Operations up to which a derivative is written without any statement before it, however often its parts are read."""
AGAIN = 3
"""Operations of a part that is written again rather than given a name."""


class Sharing:
    """How often parts are read, and which get names."""

    def __init__(self, results: Sequence[Expr]) -> None:
        self.order: list[Expr] = in_order(results)
        self.uses: dict[Expr, int] = {}
        for e in self.order:
            for part in e.parts:
                self.uses[part] = self.uses.get(part, 0) + 1
        for e in results:
            self.uses[e] = self.uses.get(e, 0) + 1
        self.named: set[Expr] = set()

    def choose(self, results: Sequence[Expr], names: Mapping[Expr, str]) -> None:
        """Decide what gets a name: nothing if the whole is short; else what is read more than once and is not short (or had a
        name), and what would nest too deeply."""
        total = _expanded(self.order, results)
        size: dict[Expr, int] = {}
        depth: dict[Expr, int] = {}
        for e in self.order:
            own = operations(e)
            size[e] = own + sum(1 if p in self.named else size[p] for p in e.parts) if own else 0
            depth[e] = 1 + max((0 if p in self.named else depth[p] for p in e.parts), default=0)
            if own == 0 or e.is_number:
                continue
            shared = self.uses.get(e, 0) > 1 and size[e] > (1 if e in names else AGAIN) and total > WHOLE
            if shared or size[e] > 400 or depth[e] > 24:
                self.named.add(e)


def in_order(results: Sequence[Expr]) -> list[Expr]:
    """All expressions that the results are made of, parts before wholes."""
    seen: set[Expr] = set()
    order: list[Expr] = []
    stack: list[tuple[Expr, bool]] = [(e, False) for e in reversed(results)]
    while stack:
        e, done = stack.pop()
        if done:
            order.append(e)
            continue
        if e in seen:
            continue
        seen.add(e)
        stack.append((e, True))
        stack += [(p, False) for p in reversed(list(e.parts)) if p not in seen]
    return order


def _expanded(order: Sequence[Expr], results: Sequence[Expr]) -> float:
    """Operations if everything is written out."""
    size: dict[Expr, float] = {}
    for e in order:
        size[e] = operations(e) + sum(size[p] for p in e.parts)
    return sum(size[e] for e in results)


class Writer:
    """Writes steps. `inputs` are all inputs of the program, with their defaults; `names` ids that expressions had."""

    def __init__(
        self,
        inputs: Sequence[tuple[str, Literal | None]],
        alg: Algebra,
        names: Mapping[Expr, str],
        *,
        keep: bool,
    ) -> None:
        self.alg = alg
        self.names = names
        self.steps: list[Step] = []
        self.taken = {name for name, _ in inputs} | {"pi", "e", "inf", "nan"}
        self.at: dict[str, int] = {}
        self.inputs = inputs
        self.keep = keep
        """Whether inputs that are not read are inputs all the same."""
        self.counter = 0
        self.done: dict[Expr, Argument] = {}
        self.several: dict[Any, int] = {}
        self.inline = False

    def program(self, results: Sequence[Expr], *, inline: bool) -> Program:
        """The program that yields the results."""
        self.inline = inline
        sharing = Sharing(results)
        read = {e.data for e in sharing.order if e.kind == "input"}
        for name, default in self.inputs:
            if self.keep or name in read:
                self.at[name] = len(self.steps)
                attrs = {} if default is None else {"value": default}
                self.steps.append(Step(name, INPUT, (), attrs))
        if inline:
            sharing.choose(results, self.names)
        self.reserved = set(self.names.values()) | self.taken
        for e in sharing.order:
            if not inline or e in sharing.named:
                self.done[e] = self._written(e)
                self._label(e)
        outputs: list[int] = []
        for e in results:
            out = self._of(e)
            if not isinstance(out, int) or out in outputs:
                out = self._output(out)
            outputs.append(out)
        if inline:
            self._renumber({self.done[e] for e in sharing.named})
        return Program(tuple(self.steps), tuple(outputs), GraphSource())

    def _renumber(self, stated: set[Argument]) -> None:
        """t1, t2, … for what gets a statement, in order; then the others."""
        count = 0
        for wanted in (True, False):
            for i, step in enumerate(self.steps):
                if step.op is INPUT or step.named or (i in stated) != wanted:
                    continue
                count += 1
                while f"t{count}" in self.taken:
                    count += 1
                self.steps[i] = step._replace(id=f"t{count}")

    def _output(self, out: Argument) -> int:
        """A result that is a number, or another result as well."""
        if isinstance(out, Literal):
            return self._step(CONSTANT, (), {"value": out})
        return self._step(registry.core("identity"), (out,), {})

    def _label(self, e: Expr) -> None:
        """The id that the user gave what an expression is the value of."""
        at, name = self.done[e], self.names.get(e)
        if name is None or name in self.taken or not isinstance(at, int):
            return
        step = self.steps[at]
        if step.op is INPUT or step.named:
            return
        self.steps[at] = step._replace(id=name, named=True)
        self.taken.add(name)

    # -- steps

    def _step(self, op: Op, operands: Sequence[Argument], attrs: Mapping[str, Any]) -> int:
        while True:
            self.counter += 1
            name = f"t{self.counter}"
            if name not in self.reserved:
                break
        self.steps.append(Step(name, op, tuple(operands), attrs, -1, False))
        return len(self.steps) - 1

    def _op(self, name: str, *operands: Argument, **attrs: Any) -> int:
        return self._step(registry.core(name), operands, attrs)

    def _number(self, value: float) -> Literal:
        """A number with as many digits as the program's dtype has."""
        return Literal(np.asarray(float(str(np.float32(value))) if self.alg.dtype == "float32" else value))

    def _of(self, e: Expr) -> Argument:
        """An expression as an operand: read from where it is, or written here. What is not named is not deep."""
        found = self.done.get(e)
        return self._written(e) if found is None else found

    def _written(self, e: Expr) -> Argument:
        match e.kind:
            case "input":
                return self.at[e.data]
            case "array":
                weak = e.data.dtype.kind in "fi"
                return Literal(e.data.astype(np.float64) if weak else e.data, weak)
            case "sum":
                return self._sum(e)
            case "product":
                return self._scaled(1.0, e)
        return self._call(e)

    def _sum(self, e: Expr) -> Argument:
        if not e.terms:
            return self._number(e.number)
        terms = list(e.terms)
        first = next((k for k, (c, _) in enumerate(terms) if c > 0), None)
        if first is not None:
            terms.insert(0, terms.pop(first))
        total: Argument = None
        leads = e.number > 0 and (first is None or not any(_lettered(t) for _, t in terms))
        if leads:
            total = self._number(e.number)
        for c, t in terms:
            if total is None:
                total = self._scaled(c, t)
            else:
                total = self._op("add" if c > 0 else "subtract", total, self._scaled(abs(c), t))
        if e.number and not leads:
            total = self._op("add" if e.number > 0 else "subtract", total, self._number(abs(e.number)))
        return total

    def _scaled(self, c: float, e: Expr) -> Argument:
        """A number times an expression: the number in front, its denominator below."""
        if c == 1 and (e.kind != "product" or e in self.done):
            return self._of(e)
        if e.kind == "call" and e not in self.done and (special := self._scaled_call(c, e)) is not None:
            return special
        known = e.kind != "product" or e in self.done
        factors = [(1.0, e)] if known else sorted(e.terms, key=self._place)
        if c < 0:
            c, factors = self._turned(c, factors)
        top, bottom = fraction(c)
        above: list[Argument] = []
        below: list[Argument] = []
        over = [(b, p) for p, b in factors if p > 0 or _is_exp(b)]
        under = [(b, -p) for p, b in factors if not (p > 0 or _is_exp(b))]
        named = abs(top) in ROOTS and bool(over)
        if not (abs(top) == 1 or named) or not over:
            above.append(self._number(top))
        for b, p in over:
            above.append(self._power(b, p))
        if named:
            above.append(self._number(abs(top)))
        if top < 0 and over and (named or top == -1):
            above[0] = self._op("negative", above[0])
        if bottom != 1 and bottom not in ROOTS:
            below.append(self._number(bottom))
        for b, p in under:
            below.append(self._power(b, p))
        if bottom in ROOTS:
            below.append(self._number(bottom))
        result = self._chain(above)
        return self._op("divide", result, self._chain(below)) if below else result

    def _scaled_call(self, c: float, e: Expr) -> Argument:
        """A number in front of a product of matrices, and sums that are means."""
        x = e.operands[0] if e.operands else None
        if e.op == "sum" and x is not None and len(e.operands) == 1 and c > 0 and c != 1:
            attrs = dict(e.data)
            if not {"initial", "where"} & attrs.keys() and c == 1 / max(
                1, math.prod(x.shape) // max(1, math.prod(e.shape))
            ):
                return self._step(registry.core("mean"), (self._of(x),), attrs)
        if e.op == "matmul" and self.inline and x is not None and c == int(c) and x.kind in ("input", "call"):
            y = e.operands[1]
            assert y is not None
            return self._op("matmul", self._scaled(c, x), self._of(y))
        return None

    def _place(self, factor: tuple[float, Expr]) -> tuple[Any, ...]:
        """Where a factor stands: what has a name is a letter."""
        b = factor[1]
        if b.kind != "input" and b in self.done and b in self.names:
            return (0, self.names[b].casefold(), self.names[b], b.serial)
        return order_of_factor(b)

    def _turned(self, c: float, factors: list[tuple[float, Expr]]) -> tuple[float, list[tuple[float, Expr]]]:
        """−(a − b)·c as (b − a)·c."""
        for k, (p, s) in enumerate(factors):
            if p == 1 and s.kind == "sum" and s not in self.done and len(s.terms) + (s.number != 0) == 2:
                minus = [a for a, _ in s.terms if a < 0]
                if minus or s.number < 0:
                    factors = list(factors)
                    factors[k] = (1.0, self.alg.sum([(-1.0, s)]))
                    return -c, factors
        return c, factors

    def _chain(self, factors: Sequence[Argument]) -> Argument:
        total = factors[0]
        for f in factors[1:]:
            total = self._op("multiply", total, f)
        return total

    def _power(self, b: Expr, p: float) -> Argument:
        if _is_exp(b) and p != 1:
            return self._op("exp", self._scaled_sum(p, b.operands[0]))
        if p == 1:
            return self._of(b)
        if p == 0.5:
            return self._op("sqrt", self._of(b))
        return self._op("pow", self._of(b), Literal(np.asarray(p)))

    def _scaled_sum(self, c: float, e: Expr | None) -> Argument:
        """c·e as an exponent: −(a − b) is b − a."""
        assert e is not None
        if c == -1 and e.kind == "sum" and len(e.terms) + (e.number != 0) < 6 and e not in self.done:
            return self._of(self.alg.sum([(-1.0, e)]))
        return self._scaled(c, e)

    def _call(self, e: Expr) -> Argument:
        operands = [None if p is None else self._of(p) for p in e.operands]
        op = registry.core(e.op)
        attrs = dict(e.data)
        if e.index is None:
            return self._step(op, operands, attrs)
        key = (e.op, e.operands, e.data)
        owner = self.several.get(key)
        if owner is None:
            owner = self.several[key] = self._step(op, operands, attrs)
        return self._step(ITEM, (owner,), {"index": e.index})


def _lettered(t: Expr) -> bool:
    """Whether a term has letters outside of functions: numbers come behind such terms (x + 1), but 1 + eˣ."""
    bases = [t] if t.kind != "product" else [b for _, b in t.terms]
    return any(b.kind != "call" for b in bases)


def _is_exp(b: Expr) -> bool:
    return b.kind == "call" and b.op == "exp"


ROOTS = {
    math.sqrt(2.0 * math.pi),
    math.sqrt(math.pi),
    math.sqrt(2.0),
    math.log(2.0),
    math.log(10.0),
}
"""Numbers that stand below a fraction by their names."""


def fraction(c: float) -> tuple[float, float]:
    """A number as numerator and denominator where people would write it so: 1/2, 2/3, 1/√(2π), but 0.1 and 1.5."""
    if not math.isfinite(c) or c == int(c):
        return c, 1.0
    for bottom in ROOTS:
        top = c * bottom
        if 0.9 < abs(top) < 25 and abs(top - round(top)) <= 4e-16 * abs(top):
            return float(round(top)), bottom
    near = Fraction(c).limit_denominator(1000)
    top, bottom = near.numerator, near.denominator
    if bottom == 1 or top / bottom != c:
        return c, 1.0
    rest = bottom
    for prime in (2, 5):
        while rest % prime == 0:
            rest //= prime
    if rest > 1 or (abs(top) == 1 and bottom in (2, 4, 8)):
        return float(top), float(bottom)
    return c, 1.0
