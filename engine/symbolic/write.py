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
from engine.symbolic.expressions import Algebra, Expr

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

    def choose(self, results: Sequence[Expr]) -> None:
        """Decide what gets a name: nothing if the whole is short; else what is read more than once and is not short, and
        what would nest too deeply."""
        total = _expanded(self.order, results)
        size: dict[Expr, int] = {}
        depth: dict[Expr, int] = {}
        for e in self.order:
            own = operations(e)
            size[e] = own + sum(1 if p in self.named else size[p] for p in e.parts) if own else 0
            depth[e] = 1 + max((0 if p in self.named else depth[p] for p in e.parts), default=0)
            if own == 0 or e.is_number:
                continue
            shared = self.uses.get(e, 0) > 1 and size[e] > AGAIN and total > WHOLE
            if shared or size[e] > 400 or depth[e] > 24:
                self.named.add(e)


def operations(e: Expr) -> int:
    """Operations that an expression itself needs, its parts aside."""
    if e.kind in ("input", "array"):
        return 0
    if e.kind == "call":
        return 1
    if e.kind == "sum":
        if not e.terms:
            return 0
        return len(e.terms) - 1 + (e.number != 0) + sum(c != 1 and c != -1 for c, _ in e.terms) + (
            e.terms[0][0] == -1 and len(e.terms) == 1 and e.number == 0
        )
    return len(e.terms) - 1 + sum(p not in (1.0, -1.0) for p, _ in e.terms) + all(p < 0 for p, _ in e.terms)


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

    def program(self, results: Sequence[Expr], *, inline: bool) -> Program:
        """The program that yields the results."""
        sharing = Sharing(results)
        read = {e.data for e in sharing.order if e.kind == "input"}
        for name, default in self.inputs:
            if self.keep or name in read:
                self.at[name] = len(self.steps)
                attrs = {} if default is None else {"value": default}
                self.steps.append(Step(name, INPUT, (), attrs))
        if inline:
            sharing.choose(results)
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
        return Program(tuple(self.steps), tuple(outputs), GraphSource())

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
        if first is None and e.number > 0:
            total = self._number(e.number)
        for c, t in terms:
            if total is None:
                total = self._scaled(c, t)
            else:
                total = self._op("add" if c > 0 else "subtract", total, self._scaled(abs(c), t))
        if e.number and not (first is None and e.number > 0):
            total = self._op("add" if e.number > 0 else "subtract", total, self._number(abs(e.number)))
        return total

    def _scaled(self, c: float, e: Expr) -> Argument:
        """A number times an expression: the number in front, its denominator below."""
        if c == 1 and (e.kind != "product" or e in self.done):
            return self._of(e)
        known = e.kind != "product" or e in self.done
        factors = [(1.0, e)] if known else list(e.terms)
        top, bottom = fraction(c)
        above: list[Argument] = []
        below: list[Argument] = []
        over = [(b, p) for p, b in factors if p > 0 or _is_exp(b)]
        under = [(b, -p) for p, b in factors if not (p > 0 or _is_exp(b))]
        if abs(top) != 1 or not over:
            above.append(self._number(top))
        for b, p in over:
            above.append(self._power(b, p))
        if top == -1 and over:
            above[0] = self._op("negative", above[0])
        if bottom != 1:
            below.append(self._number(bottom))
        for b, p in under:
            below.append(self._power(b, p))
        result = self._chain(above)
        return self._op("divide", result, self._chain(below)) if below else result

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
        attrs = {k: v for k, v in e.data}
        if e.index is None:
            return self._step(op, operands, attrs)
        key = (e.op, e.operands, e.data)
        owner = self.several.get(key)
        if owner is None:
            owner = self.several[key] = self._step(op, operands, attrs)
        return self._step(ITEM, (owner,), {"index": e.index})


def _is_exp(b: Expr) -> bool:
    return b.kind == "call" and b.op == "exp"


def fraction(c: float) -> tuple[float, float]:
    """A number as numerator and denominator where people would write it so: 1/2, 2/3, but 0.1 and 1.5."""
    if c == int(c) if math.isfinite(c) else True:
        return c, 1.0
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
