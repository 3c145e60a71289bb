r"""Expressions as people write them: sums and products in one normal form, everything else an op applied to expressions.

Equal expressions are one object, so an expression is a directed graph and shared parts cost nothing. Three forms suffice for
arithmetic (`Algebra` makes them, and nothing else):

- a sum c + Σ aᵢ·tᵢ of a number and of different terms with numbers other than 0 in front of them,
- a product Π bⱼ^pⱼ of different bases with numbers other than 0 as exponents,
- an op applied to expressions; e^(c·u) is the base e^u with the exponent c.

A number in front of a product is a sum of one term. So like terms and equal factors meet as soon as they are written. Nothing
is ever multiplied out: what is read twice stays one object, and the whole is as long as the program.

What is assumed: real numbers, where the original and its derivative are defined and finite. √x·√x is x though it says more than
√x does at x < 0, and x³/x is x² also at 0; (x²)^½ is |x|, not x.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np

from engine.aval import Array, DType, Shape, broadcast_shapes

Kind: TypeAlias = Literal["input", "array", "sum", "product", "call"]

LONG = 48
"""Sums and products of more parts are not made part of others: chains would be copied again and again."""
SHARED = 6
"""The same for those that are read more than once."""


@dataclass(eq=False, slots=True)
class Expr:
    """An expression; made by an `Algebra` only, so that equal ones are the same object.

    `terms` of a sum are (number, term) beside `number`; of a product (exponent, base). `data` is the id of an input, or an
    array; of a call the attributes of `op`, a public op, or of an internal one that is spelled out later.
    """

    kind: Kind
    serial: int
    shape: Shape
    dtype: DType
    number: float = 0.0
    terms: tuple[tuple[float, Expr], ...] = ()
    op: str = ""
    operands: tuple[Expr | None, ...] = ()
    data: Any = None
    index: int | None = None
    """Which result of an op that has several."""

    @property
    def parts(self) -> Iterable[Expr]:
        """The expressions inside."""
        if self.kind == "call":
            return [e for e in self.operands if e is not None]
        return [e for _, e in self.terms]

    @property
    def is_number(self) -> bool:
        """Whether it is a plain number."""
        return self.kind == "sum" and not self.terms

    def __repr__(self) -> str:
        match self.kind:
            case "input":
                return str(self.data)
            case "array":
                return f"array{list(self.shape)}"
            case "sum":
                shown = [f"{c:g}*{t!r}" for c, t in self.terms]
                return (
                    "("
                    + " + ".join([f"{self.number:g}", *shown] if self.number or not shown else shown)
                    + ")"
                )
            case "product":
                return "[" + " ".join(f"{b!r}^{p:g}" for p, b in self.terms) + "]"
        return f"{self.op}({', '.join(map(repr, self.operands))})"


class Algebra:
    """Makes expressions, for one derivative. `shared` are those that are known to be read more than once."""

    def __init__(self, dtype: DType = "float64") -> None:
        self.dtype = dtype
        self._known: dict[Any, Expr] = {}
        self.shared: set[Expr] = set()
        self._sizes: dict[Expr, float] = {}
        self.zero = self.number(0.0)
        self.one = self.number(1.0)

    def _make(self, key: Any, **fields: Any) -> Expr:
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = Expr(serial=len(self._known), **fields)
        return found

    # -- leaves

    def input(self, name: str, shape: Shape, dtype: DType) -> Expr:
        """An input of the program."""
        return self._make(("input", name), kind="input", shape=shape, dtype=dtype, data=name)

    def number(self, value: float) -> Expr:
        """A floating number."""
        value = float(value)
        key = ("sum", repr(value), ())
        return self._make(key, kind="sum", shape=(), dtype=self.dtype, number=value)

    def array(self, value: Array) -> Expr:
        """A constant that is no floating number: an array, an integer, a boolean."""
        value = np.asarray(value)
        if value.shape == () and value.dtype.kind == "f":
            return self.number(float(value))
        key = ("array", value.shape, value.dtype.str, value.tobytes())
        return self._make(key, kind="array", shape=value.shape, dtype=str(value.dtype), data=value)

    def call(
        self,
        op: str,
        operands: Sequence[Expr | None],
        shape: Shape,
        dtype: DType | None = None,
        attrs: Any = (),
        index: int | None = None,
    ) -> Expr:
        """An op as it is, nothing simplified."""
        key = ("call", op, tuple(operands), attrs, index)
        return self._make(
            key,
            kind="call",
            shape=shape,
            dtype=dtype or self.dtype,
            op=op,
            operands=tuple(operands),
            data=attrs,
            index=index,
        )

    # -- sums

    def split(self, e: Expr) -> tuple[float, Expr]:
        """An expression as a number times another one that has none in front."""
        if e.kind == "sum":
            if not e.terms:
                return e.number, self.one
            if len(e.terms) == 1 and e.number == 0:
                return e.terms[0]
        return 1.0, e

    def sum(self, parts: Sequence[tuple[float, Expr]], number: float = 0.0) -> Expr:
        """number + Σ cᵢ·eᵢ, like terms together."""
        total: dict[Expr, float] = {}
        for c, e in parts:
            if e.kind == "sum" and (len(e.terms) <= 1 or len(e.terms) <= self._most(e)):
                number += c * e.number
                for a, t in e.terms:
                    total[t] = total.get(t, 0.0) + c * a
            else:
                total[e] = total.get(e, 0.0) + c
        kept = [(t, c) for t, c in total.items() if c != 0]
        if not kept:
            return self.number(number)
        shape = self._shape([t for t, _ in kept])
        if number == 0 and len(kept) == 1 and kept[0][1] == 1:
            return kept[0][0]
        if number != 0 and len(kept) == 1 and kept[0][0].op == "sigmoid" and kept[0][1] == -number:
            inside = kept[0][0].operands[0]
            assert inside is not None
            return self.scaled(number, self.call("sigmoid", (self.negative(inside),), inside.shape))
        kept.sort(key=lambda k: order_of_term(k[0]))
        terms = tuple((c, t) for t, c in kept)
        return self._sum(number, terms, shape)

    def _sum(self, number: float, terms: tuple[tuple[float, Expr], ...], shape: Shape) -> Expr:
        key = ("sum", repr(number), terms)
        return self._make(key, kind="sum", shape=shape, dtype=self.dtype, number=number, terms=terms)

    def add(self, x: Expr, y: Expr) -> Expr:
        """x + y."""
        return self.sum([(1.0, x), (1.0, y)])

    def subtract(self, x: Expr, y: Expr) -> Expr:
        """x − y."""
        return self.sum([(1.0, x), (-1.0, y)])

    def scaled(self, c: float, e: Expr) -> Expr:
        """c·e; a long sum gets the number in front of it as a whole."""
        if c == 1:
            return e
        if c == 0:
            return self.zero
        if e.kind == "sum":
            if len(e.terms) <= 1:
                return self.sum([(c, e)])
            if c == -1 and len(e.terms) <= self._most(e):
                return self.sum([(c, e)])
            return self._sum(0.0, ((c, e),), e.shape)
        return self._sum(0.0, ((c, e),), e.shape)

    def negative(self, e: Expr) -> Expr:
        """−e."""
        return self.scaled(-1.0, e)

    # -- products

    def product(self, parts: Sequence[tuple[float, Expr]]) -> Expr:
        """Π eᵢ^pᵢ, equal bases together; numbers in front of factors come to the front of the whole."""
        number, numbers = 1.0, 0
        powers: dict[Expr, float] = {}
        todo = [(p, e) for p, e in reversed(parts)]
        while todo:
            p, e = todo.pop()
            if p == 0:
                continue
            if e.is_number:
                value = _power(e.number, p)
                if value is None:
                    powers[e] = powers.get(e, 0.0) + p
                else:
                    number *= value
                    numbers += 1
                continue
            c, inner = self.primitive(e)
            if c != 1 and (value := _power(c, p)) is not None:
                number *= value
                numbers += 1
                e = inner
            if e.kind == "product" and len(e.terms) <= self._most(e):
                if p == int(p):
                    todo += [(q * p, b) for q, b in reversed(e.terms)]
                    continue
                if len(e.terms) == 1:
                    ((q, b),) = e.terms
                    even = q == int(q) and int(q) % 2 == 0
                    todo.append((q * p, self.absolute(b) if even and not positive(b) else b))
                    continue
                if any(positive(b) for _, b in e.terms):
                    todo += [(q * p, b) for q, b in e.terms if positive(b)]
                    todo.append((p, self.product([(q, b) for q, b in e.terms if not positive(b)])))
                    continue
            if e.kind == "call" and e.op == "abs" and p == int(p) and int(p) % 2 == 0:
                inside = e.operands[0]
                assert inside is not None
                todo.append((p, inside))
                continue
            powers[e] = powers.get(e, 0.0) + p
        if number == 0:
            return self.zero
        if numbers > 1:
            number = _whole(number)
        kept = [(b, p) for b, p in powers.items() if p != 0]
        kept = self._powers(self._signs(kept)) if len(kept) > 1 else kept
        if not kept:
            return self.number(number)
        if len(kept) == 1 and kept[0][1] == 1:
            return self.scaled(number, kept[0][0])
        kept.sort(key=lambda k: order_of_factor(k[0]))
        shape = self._shape([b for b, _ in kept])
        terms = tuple((p, b) for b, p in kept)
        made = self._make(("product", terms), kind="product", shape=shape, dtype=self.dtype, terms=terms)
        return self.scaled(number, made)

    def _signs(self, kept: list[tuple[Expr, float]]) -> list[tuple[Expr, float]]:
        """|u|·sign(u) is u."""
        signs = {b.operands[0]: k for k, (b, p) in enumerate(kept) if b.op == "sign" and p == 1}
        if not signs:
            return kept
        for k, (b, p) in enumerate(kept):
            if b.op == "abs" and b.operands[0] in signs and p >= 1:
                inner = b.operands[0]
                gone = {k, signs[inner]}
                rest = [f for m, f in enumerate(kept) if m not in gone]
                if p > 1:
                    rest.append((b, p - 1))
                assert inner is not None
                if not any(f is inner for f, _ in rest) and inner.kind not in ("sum", "product"):
                    return [*rest, (inner, 1.0)]
        return kept

    def _powers(self, kept: list[tuple[Expr, float]]) -> list[tuple[Expr, float]]:
        """a^b·a^c is a^(b + c), where c may be a number."""
        variable: dict[Expr, list[tuple[Expr, float]]] = {}
        for b, p in kept:
            if b.op == "pow" and b.kind == "call" and not b.data and b.operands[0] is not None:
                variable.setdefault(b.operands[0], []).append((b, p))
        found = dict(kept)
        for base, powers in variable.items():
            if base not in found and len(powers) < 2:
                continue
            exponent = self.sum([(p, b.operands[1] or self.one) for b, p in powers], found.pop(base, 0.0))
            for b, _ in powers:
                del found[b]
            made, p = base, exponent.number
            if not exponent.is_number:
                shape = (
                    base.shape
                    if base.shape == exponent.shape
                    else broadcast_shapes([base.shape, exponent.shape])
                )
                made, p = self.call("pow", (base, exponent), shape), 1.0
            found[made] = found.get(made, 0.0) + p
        return [(b, p) for b, p in found.items() if p != 0]

    def multiply(self, x: Expr, y: Expr) -> Expr:
        """x·y."""
        return self.product([(1.0, x), (1.0, y)])

    def divide(self, x: Expr, y: Expr) -> Expr:
        """x / y."""
        return self.product([(1.0, x), (-1.0, y)])

    def power(self, e: Expr, p: float) -> Expr:
        """eᵖ."""
        return self.product([(p, e)])

    def primitive(self, e: Expr) -> tuple[float, Expr]:
        """A number and what it is in front of; of a sum the number that all terms have in common, up to their signs."""
        c, inner = self.split(e)
        if c != 1 or inner.kind != "sum" or not inner.terms:
            return c, inner
        signs = [a for a, _ in inner.terms] + ([inner.number] if inner.number else [])
        common = min(abs(a) for a in signs)
        broken = common != int(common) and any(a == int(a) for a in signs if math.isfinite(a))
        if common != 1 and (broken or not all(_multiple(a, common) for a in signs)):
            common = 1.0
        if all(a < 0 for a in signs):
            common = -common
        if common == 1:
            return 1.0, inner
        if abs(common) == 1:  # signs alone
            terms = tuple((a / common, t) for a, t in inner.terms)
            return common, self._sum(inner.number / common + 0.0, terms, inner.shape)
        terms = tuple((float(round(a / common)), t) for a, t in inner.terms)
        return common, self._sum(float(round(inner.number / common)), terms, inner.shape)

    def exp(self, u: Expr) -> Expr:
        """eᵘ: of c·v the c-th power of e^v."""
        if u is self.zero:
            return self.one
        c, v = self.split(u)
        if v is self.one:
            return self.number(math.exp(c)) if c < 700 else self.call("exp", (u,), ())
        if c == 1 and v.kind == "sum":
            c, v = self._leading_sign(v)
        if v.kind == "call" and v.op == "log" and v.operands[0] is not None:
            return self.power(v.operands[0], c)
        return self.power(self.call("exp", (v,), v.shape), c)

    def _leading_sign(self, v: Expr) -> tuple[float, Expr]:
        """A sum whose first term has a minus as −1 times another."""
        if v.terms and v.terms[0][0] < 0:
            return -1.0, self.sum([(-1.0, v)])
        return 1.0, v

    def absolute(self, e: Expr) -> Expr:
        """|e|."""
        c, inner = self.split(e)
        if inner is self.one:
            return self.number(abs(c))
        if positive(inner):
            return self.scaled(abs(c), inner)
        if inner.kind == "call" and inner.op == "abs":
            return self.scaled(abs(c), inner)
        return self.scaled(abs(c), self.call("abs", (inner,), inner.shape))

    # -- sizes

    def size(self, e: Expr) -> float:
        """Operations of an expression, written out; each part is counted once and then known."""
        known = self._sizes
        stack = [e]
        while stack:
            x = stack[-1]
            if x in known:
                stack.pop()
                continue
            missing = [p for p in x.parts if p not in known]
            if missing:
                stack += missing
                continue
            stack.pop()
            known[x] = operations(x) + sum(known[p] for p in x.parts)
        return known[e]

    # -- shared parts

    def _most(self, e: Expr) -> int:
        return SHARED if e in self.shared else LONG

    def _shape(self, parts: Sequence[Expr]) -> Shape:
        shapes = {e.shape for e in parts}
        return shapes.pop() if len(shapes) == 1 else broadcast_shapes([e.shape for e in parts])


def _multiple(a: float, unit: float) -> bool:
    """Whether a is an integer times another number, up to rounding."""
    ratio = a / unit
    return math.isfinite(ratio) and abs(ratio) < 1e6 and abs(ratio - round(ratio)) <= 4e-16 * abs(ratio)


def _power(c: float, p: float) -> float | None:
    """cᵖ where that is a real number, finite and other than 0."""
    if c == 0 or (c < 0 and p != int(p)):
        return 0.0 if c == 0 and p > 0 else None
    try:
        value = c**p
    except OverflowError:
        return None
    return _whole(value) if math.isfinite(value) and value != 0 else None


def _whole(value: float) -> float:
    """A product of rounded roots as what it stands for: (1/√2)² is 0.5, not 0.4999999999999999."""
    near = round(4 * value) / 4 if abs(value) < 1e6 else 0.0
    return near if near and abs(value - near) <= 4.5e-16 * abs(near) else value


def positive(e: Expr) -> bool:
    """Whether an expression is never negative, as far as its form tells at a glance."""
    if e.kind == "call":
        return e.op in ("exp", "cosh", "abs", "sigmoid", "softplus")
    if e.kind == "product":
        return all(
            (p == int(p) and int(p) % 2 == 0) or p != int(p) or (b.kind == "call" and positive(b))
            for p, b in e.terms
        )
    return (
        e.kind == "sum"
        and e.number > 0
        and all(c > 0 and t.kind in ("call", "product") and positive(t) for c, t in e.terms)
    )


# -------------------------------------------------------------------------------------------------------------- orders


def degree(e: Expr) -> float | None:
    """Degree of a monomial in inputs; None for anything else."""
    if e.kind == "input":
        return 1.0
    if e.kind == "product" and all(b.kind == "input" and p > 0 for p, b in e.terms):
        return sum(p for p, _ in e.terms)
    return None


def order_of_term(e: Expr) -> tuple[Any, ...]:
    """Powers fall, then what came first comes first."""
    d = degree(e) if e.shape == () else None
    if e.op == "matmul" or (e.shape != () and e.kind == "call"):
        return (0, 0.0, [], e.serial)
    if d is not None:
        bases = [(1.0, e)] if e.kind == "input" else list(e.terms)
        return (0, -d, [(str(b.data).casefold(), str(b.data), -p) for p, b in bases])
    return (1, 0.0, [], e.serial)


def order_of_factor(e: Expr) -> tuple[Any, ...]:
    """Letters in alphabetical order, then sums in parentheses, then functions."""
    if e.kind == "input":
        return (0, str(e.data).casefold(), str(e.data), e.serial)
    rank = {"array": 1, "sum": 2, "product": 3, "call": 4}[e.kind]
    return (rank, "", "", e.serial)


def operations(e: Expr) -> int:
    """Operations that an expression itself needs, its parts aside."""
    if e.kind in ("input", "array"):
        return 0
    if e.kind == "call":
        return 1
    if e.kind == "sum":
        if not e.terms:
            return 0
        return (
            len(e.terms)
            - 1
            + (e.number != 0)
            + sum(c != 1 and c != -1 for c, _ in e.terms)
            + (e.terms[0][0] == -1 and len(e.terms) == 1 and e.number == 0)
        )
    above = [p > 0 or b.op == "exp" for p, b in e.terms]
    powers = sum(p != 1 and (p != -1 or b.op == "exp") for p, b in e.terms)
    return len(e.terms) - 1 + powers + (not any(above))
