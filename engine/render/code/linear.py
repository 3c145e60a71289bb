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
from engine.render.code.lowering import Index, Lowering, Tensor, avals, ravel, scalar, stored, writes
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
    If,
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
    plus,
    product,
    quotient,
)

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


def _finite(e: Expr) -> Expr:
    return less(Call("fabs", (e,)), INF)


@contextmanager
def _members(low: Lowering, lead: tuple[int, ...]) -> Iterator[Index]:
    with low.loops(lead) as index:
        yield index


def _all_finite(low: Lowering, a: Matrix) -> Var:
    """A flag: whether all entries are finite."""
    good = low.let(TRUE, "good", mutable=True)
    with low.loop(0, prod(a.shape)) as i:
        low.put(Assign(good, both(good, _finite(Elem(a.array, i)))))
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
    with _members(low, y.shape[:-2]) as lead:
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
            good = _all_finite(low, a)
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
    good = _all_finite(low, a)
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
    with _members(low, x.shape[:-2]) as lead:
        c.fill(ZERO)
        bad = low.let(FALSE, "bad", mutable=True)
        with low.loop(0, n, "j") as j, low.loop(j, n) as i:
            total = low.let(x.at((*lead, i, j)), "s", mutable=True)
            with low.loop(0, j, "k") as k:
                low.put(Assign(total, minus(total, product(c.at(i, k), c.at(j, k)))))
            with low.when(both(equal(i, j), negated(both(less(ZERO, total), _finite(total))))):
                low.put(Assign(bad, TRUE))
            root = Call("sqrt", (total,))
            c.put(i, j, Choice(equal(i, j), root, quotient(total, c.at(j, j)), "float"))
        with low.loops((n, n)) as (i, j):
            low.store(array, ravel(x.shape, (*lead, i, j)), Choice(bad, NAN, c.at(i, j), "float"))
    return value


def _determinant(low: Lowering, a: Matrix) -> tuple[Var, Var, Var]:
    """Sign, whether it is singular, whether all is finite; a is factored."""
    good = _all_finite(low, a)
    sign, singular = factor(low, a, [])
    return sign, singular, good


@writes("det")
def _det(low: Lowering, node: Node, xs: list[Any], params: dict[str, Any]) -> Tensor:
    x = low.settle(xs[0])
    (aval,) = avals(node)
    n = x.shape[-1]

    def one(a: Matrix, lead: Index) -> Expr:
        a.load(x, lead)
        good = _all_finite(low, a)
        return Choice(good, _det_of(low, a), NAN, "float")

    return _each(low, aval.shape, n, one)


def _det_of(low: Lowering, a: Matrix) -> Var:
    sign, _ = factor(low, a, [])
    det = low.let(sign, "det", mutable=True)
    with low.loop(0, a.shape[0]) as i:
        low.put(Assign(det, product(det, a.at(i, i))))
    return det


def _each(low: Lowering, lead: tuple[int, ...], n: int, one: Any) -> Tensor:
    """A number for each matrix of a stack."""
    a = Matrix(low, n, n)
    if not lead:
        return scalar(one(a, ()))
    array, value = low.result(lead, "float")
    if value.size:
        with _members(low, lead) as index:
            low.store(array, ravel(lead, index), one(a, index))
    return value


@writes("slogdet")
def _slogdet(low: Lowering, node: Node, xs: list[Any], params: dict[str, Any]) -> tuple[Tensor, Tensor]:
    low.target = None
    x = low.settle(xs[0])
    lead, n = x.shape[:-2], x.shape[-1]
    a = Matrix(low, n, n)

    def one(index: Index) -> tuple[Expr, Expr]:
        a.load(x, index)
        first, singular, good = _determinant(low, a)
        sign = low.let(Choice(good, first, NAN, "float"), "sign", mutable=True)
        total = low.let(Choice(good, ZERO, NAN, "float"), "s", mutable=True)
        with low.loop(0, n) as i:
            e = low.named(a.at(i, i))
            low.put(Assign(sign, Choice(less(e, ZERO), Unary("-", sign, "float"), sign, "float")))
            low.put(Assign(total, plus(total, Call("log", (Call("fabs", (e,)),)))))
        with low.when(both(good, singular)):
            low.put(Assign(sign, ZERO))
            low.put(Assign(total, Num(float("-inf"))))
        return sign, total

    if not lead:
        sign, total = one(())
        return scalar(sign), scalar(total)
    signs, totals = low.room("float", prod(lead)), low.room("float", prod(lead))
    if prod(lead):
        with _members(low, lead) as index:
            sign, total = one(index)
            low.store(signs, ravel(lead, index), sign)
            low.store(totals, ravel(lead, index), total)
    return stored(signs, lead), stored(totals, lead)


@writes("cofactor")
def _cofactor(low: Lowering, node: Node, xs: list[Any], params: dict[str, Any]) -> Tensor:
    """det(A) A⁻ᵀ by LU; where a pivot is negligible, each cofactor as the determinant that it is."""
    x = low.settle(xs[0])
    array, value = low.result(x.shape, "float")
    if not value.size:
        return value
    n = x.shape[-1]
    a, b = Matrix(low, n, n), Matrix(low, n, n)
    minor = Matrix(low, n - 1, n - 1) if n > 1 else None
    if minor is None:
        zero = integer(0)
        with _members(low, x.shape[:-2]) as lead:
            one = Choice(_finite(x.at((*lead, zero, zero))), ONE, NAN, "float")
            low.store(array, ravel(x.shape, (*lead, zero, zero)), one)
        return value
    with _members(low, x.shape[:-2]) as lead:

        def put(i: Expr, j: Expr, e: Expr) -> None:
            low.store(array, ravel(x.shape, (*lead, i, j)), e)

        a.load(x, lead)
        b.fill(ZERO)
        with low.loop(0, n) as i:
            b.put(i, i, ONE)
        good = _all_finite(low, a)
        sign, singular = factor(low, a, [b])
        det = low.let(sign, "det", mutable=True)
        least = low.let(INF, "least", mutable=True)
        most = low.let(ZERO, "most", mutable=True)
        with low.loop(0, n) as i:
            size = low.named(Call("fabs", (a.at(i, i),)))
            low.put(Assign(det, product(det, a.at(i, i))))
            low.put(Assign(least, Choice(less(size, least), size, least, "float")))
            low.put(Assign(most, Choice(less(most, size), size, most, "float")))
        regular = both(negated(singular), both(less(product(Num(1e-12), most), least), _finite(det)))
        regular = both(regular, Binary("!=", det, ZERO, "bool"))
        then: list[Any] = []
        otherwise: list[Any] = []
        with low.inside(then):
            substitute(low, a, b, lower=True, unit=True)
            substitute(low, a, b, lower=False)
            with low.loops((n, n)) as (i, j):
                put(i, j, Choice(good, product(det, b.at(j, i)), NAN, "float"))
        with low.inside(otherwise), low.loops((n, n)) as (i, j):
            with low.loops((n - 1, n - 1)) as (p, q):
                row = _skipping(p, i)
                minor.put(p, q, x.at((*lead, row, _skipping(q, j))))
            e = _det_of(low, minor)
            odd = Binary("!=", Call("int_fmod", (add(i, j), integer(2)), "int"), integer(0), "bool")
            signed = Choice(odd, Unary("-", e, "float"), e, "float")
            put(i, j, Choice(good, signed, NAN, "float"))
        low.put(If(regular, then, otherwise))
    return value


def _skipping(p: Expr, left_out: Expr) -> Expr:
    """p-th of the indices without one."""
    return Binary("+", p, Choice(less(p, left_out), integer(0), integer(1), "int"), "int")


@writes("pivot_order")
def _pivot_order(low: Lowering, node: Node, xs: list[Any], params: dict[str, Any]) -> Tensor:
    """The rows after one exchange after the other."""
    pivots = low.settle(xs[0])
    array, value = low.result(pivots.shape, "int")
    n = pivots.shape[-1]
    if not value.size:
        return value
    low.checked = True
    with low.loops(pivots.shape[:-1]) as lead:

        def place(i: Expr) -> Elem:
            return Elem(array, ravel(pivots.shape, (*lead, i)))

        with low.loop(0, n) as i:
            low.put(Assign(place(i), i))
        with low.loop(0, n) as i:
            other = low.named(pivots.at((*lead, i)))
            with low.when(both(Binary(">=", other, integer(0), "bool"), less(other, integer(n)))):
                own = low.let(place(i))
                low.put(Assign(place(i), place(other)))
                low.put(Assign(place(other), own))
    return value


@writes("lu_factors")
def _lu_factors(low: Lowering, node: Node, xs: list[Any], params: dict[str, Any]) -> tuple[Tensor, ...]:
    low.target = None
    x = low.settle(xs[0])
    lead, (m, n) = x.shape[:-2], x.shape[-2:]
    shapes = [a.shape for a in avals(node)]
    lu, pivots, orders = (
        low.room("float", prod(shapes[0])),
        low.room("int", prod(shapes[1])),
        low.room("int", prod(shapes[2])),
    )
    if x.size:
        a = Matrix(low, m, n)
        own, order = low.room("int", min(m, n), "pivots"), low.room("int", m, "order")
        with _members(low, lead) as index:
            a.load(x, index)
            good = _all_finite(low, a)
            with low.loop(0, m) as i:
                low.store(order, i, i)
            factor(low, a, [], order, own)
            with low.loops((m, n)) as (i, j):
                low.store(lu, ravel(shapes[0], (*index, i, j)), Choice(good, a.at(i, j), NAN, "float"))
            with low.loop(0, min(m, n)) as i:
                low.store(pivots, ravel(shapes[1], (*index, i)), Elem(own, i))
            with low.loop(0, m) as i:
                low.store(orders, ravel(shapes[2], (*index, i)), Elem(order, i))
    return tuple(stored(a, s) for a, s in zip((lu, pivots, orders), shapes, strict=True))
