"""Linear algebra of small matrices by written-out loops: LU with partial pivoting, Cholesky, triangular systems.

Where the service refuses a singular matrix, the results here are NaN.

G. H. Golub, C. F. Van Loan, "Matrix Computations", 4th edition, 2013, algorithms 3.4.1, 4.2.1 and section 3.1.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from math import prod
from typing import Any

from engine.graph import Node
from engine.render.code.lowering import Lowering
from engine.render.code.statements import (
    FALSE,
    ONE,
    TRUE,
    ZERO,
    Array,
    Assign,
    Binary,
    Call,
    Choice,
    Elem,
    Expr,
    Num,
    Unary,
    Var,
    add,
    both,
    either,
    equal,
    integer,
    less,
    minus,
    negated,
    product,
    quotient,
)
from engine.render.code.values import Index, Tensor, avals, ravel, writes

NAN = Num(float("nan"))
INF = Num(float("inf"))


class Matrix:
    """A matrix in room of its own."""

    def __init__(self, low: Lowering, rows: int, columns: int, base: str = "m") -> None:
        self.low = low
        self.shape = (rows, columns)
        self.array = low.room("float", rows * columns, base)

    def at(self, i: Expr, j: Expr) -> Elem:
        """An entry."""
        return Elem(self.array, ravel(self.shape, (i, j)))

    def put(self, i: Expr, j: Expr, value: Expr) -> None:
        """Assign an entry."""
        self.low.put(Assign(self.at(i, j), value))

    def load(self, x: Tensor, lead: Index) -> None:
        """The entries of a member of a stack."""
        with self.low.loops(self.shape) as (i, j):
            self.put(i, j, x.at((*lead, i, j)))

    def fill(self, value: Expr) -> None:
        """One number everywhere."""
        with self.low.loop(0, prod(self.shape)) as i:
            self.low.store(self.array, i, value)


def is_finite(e: Expr) -> Expr:
    """Neither infinite nor NaN."""
    return less(Call("fabs", (e,)), INF)


@contextmanager
def members(low: Lowering, lead: tuple[int, ...]) -> Iterator[Index]:
    """A loop over the members of a stack."""
    with low.loops(lead) as index:
        yield index


def all_finite(low: Lowering, a: Matrix) -> Var:
    """A flag: whether all entries are finite."""
    good = low.let(TRUE, "good", mutable=True)
    with low.loop(0, prod(a.shape)) as i:
        low.put(Assign(good, both(good, is_finite(Elem(a.array, i)))))
    return good


def factor(
    low: Lowering, a: Matrix, others: list[Matrix], order: Array | None = None, pivots: Array | None = None
) -> tuple[Var, Var]:
    """LU in place with partial pivoting; rows of `others` are exchanged along. The sign, and whether a pivot was 0."""
    m, n = a.shape
    sign = low.let(ONE, "sign", mutable=True)
    singular = low.let(FALSE, "singular", mutable=True)
    with low.loop(0, min(m, n), "k") as k:
        best = low.let(k, "best", mutable=True)
        size = low.let(Call("fabs", (a.at(k, k),)), "size", mutable=True)
        with low.loop(add(k, integer(1)), m) as i:
            e = low.named(Call("fabs", (a.at(i, k),)))
            with low.when(less(size, e)):
                low.put(Assign(size, e))
                low.put(Assign(best, i))
        if pivots is not None:
            low.store(pivots, k, best)
        with low.when(Binary("!=", best, k, "bool")):
            low.put(Assign(sign, Unary("-", sign, "float")))
            for matrix in [a, *others]:
                with low.loop(0, matrix.shape[1], "j") as j:
                    e = low.let(matrix.at(k, j))
                    matrix.put(k, j, matrix.at(best, j))
                    matrix.put(best, j, e)
            if order is not None:
                o = low.let(Elem(order, k))
                low.store(order, k, Elem(order, best))
                low.store(order, best, o)
        with low.when(equal(a.at(k, k), ZERO)):
            low.put(Assign(singular, TRUE))
        with low.when(Binary("!=", a.at(k, k), ZERO, "bool")), low.loop(add(k, integer(1)), m) as i:
            f = low.let(quotient(a.at(i, k), a.at(k, k)), "f")
            a.put(i, k, f)
            with low.loop(add(k, integer(1)), n, "j") as j:
                a.put(i, j, minus(a.at(i, j), product(f, a.at(k, j))))
    return sign, singular


def substitute(low: Lowering, t: Matrix, b: Matrix, *, lower: bool, unit: bool = False) -> None:
    """b becomes T⁻¹ b, for a triangle T of t."""
    n = t.shape[0]
    with low.loop(0, n, down=not lower) as i, low.loop(0, b.shape[1], "j") as j:
        total = low.let(b.at(i, j), "s", mutable=True)
        first, last = (integer(0), i) if lower else (add(i, integer(1)), integer(n))
        with low.loop(first, last, "k") as k:
            low.put(Assign(total, minus(total, product(t.at(i, k), b.at(k, j)))))
        b.put(i, j, total if unit else quotient(total, t.at(i, i)))


def _empty(node: Node) -> bool:
    return not any(a.size for a in avals(node))


@writes("linear_systems", "strong_systems", "triangular_systems", "strong_triangular_systems")
def _systems(low: Lowering, node: Node, xs: list[Any], params: dict[str, Any]) -> Tensor:
    low.refusing = True
    x, y = (low.settle(v) for v in xs)
    array, value = low.result(y.shape, "float")
    if not value.size:
        return value
    n, columns = y.shape[-2:]
    strong = node.op.name.startswith("strong")
    a, b = Matrix(low, n, n), Matrix(low, n, columns)
    zero = low.room("bool", columns, "zero") if strong else None
    with members(low, y.shape[:-2]) as lead:
        b.load(y, lead)
        if zero is not None:
            with low.loop(0, columns, "j") as j:
                nothing = low.let(TRUE, "nothing", mutable=True)
                with low.loop(0, n) as i:
                    low.put(Assign(nothing, both(nothing, equal(b.at(i, j), ZERO))))
                low.store(zero, j, nothing)
        if node.op.name.endswith("triangular_systems"):
            bad = _triangular(low, a, b, x, lead, params)
        else:
            a.load(x, lead)
            good = all_finite(low, a)
            _, singular = factor(low, a, [b])
            substitute(low, a, b, lower=True, unit=True)
            substitute(low, a, b, lower=False)
            bad = either(negated(good), singular)
        bad = low.let(bad, "bad")
        with low.loops((n, columns)) as (i, j):
            e: Expr = Choice(bad, NAN, b.at(i, j), "float")
            if zero is not None:
                e = Choice(Elem(zero, j), ZERO, e, "float")
            low.store(array, ravel(y.shape, (*lead, i, j)), e)
    return value


def _triangular(low: Lowering, a: Matrix, b: Matrix, x: Tensor, lead: Index, params: dict[str, Any]) -> Expr:
    """b becomes T⁻¹ b; the condition under which that is nothing."""
    n = a.shape[0]
    lower, unit = params["lower"], params["unit"]
    a.fill(ZERO)
    with low.loop(0, n) as i:
        first, last = (integer(0), add(i, integer(1))) if lower else (i, integer(n))
        with low.loop(first, last, "j") as j:
            a.put(i, j, x.at((*lead, i, j)))
    if unit:
        with low.loop(0, n) as i:
            a.put(i, i, ONE)
    good = all_finite(low, a)
    with low.loop(0, n) as i, low.when(equal(a.at(i, i), ZERO)):
        low.put(Assign(good, FALSE))
    substitute(low, a, b, lower=lower, unit=unit)
    return negated(good)


@writes("cholesky_factor")
def _cholesky(low: Lowering, node: Node, xs: list[Any], params: dict[str, Any]) -> Tensor:
    low.refusing = True
    x = low.settle(xs[0])
    array, value = low.result(x.shape, "float")
    if not value.size:
        return value
    n = x.shape[-1]
    c = Matrix(low, n, n)
    with members(low, x.shape[:-2]) as lead:
        c.fill(ZERO)
        bad = low.let(FALSE, "bad", mutable=True)
        with low.loop(0, n, "j") as j, low.loop(j, n) as i:
            total = low.let(x.at((*lead, i, j)), "s", mutable=True)
            with low.loop(0, j, "k") as k:
                low.put(Assign(total, minus(total, product(c.at(i, k), c.at(j, k)))))
            with low.when(both(equal(i, j), negated(both(less(ZERO, total), is_finite(total))))):
                low.put(Assign(bad, TRUE))
            root = Call("sqrt", (total,))
            c.put(i, j, Choice(equal(i, j), root, quotient(total, c.at(j, j)), "float"))
        with low.loops((n, n)) as (i, j):
            low.store(array, ravel(x.shape, (*lead, i, j)), Choice(bad, NAN, c.at(i, j), "float"))
    return value
