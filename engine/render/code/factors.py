"""Determinants, LU and QR factorisations by written-out loops, with LAPACK's pivots and signs."""

from __future__ import annotations

from math import prod
from typing import Any

from engine.graph import Node
from engine.render.code.linear import INF, NAN, Matrix, all_finite, factor, is_finite, members, substitute
from engine.render.code.lowering import Lowering
from engine.render.code.statements import (
    ONE,
    ZERO,
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
    equal,
    integer,
    less,
    minus,
    negated,
    plus,
    product,
    quotient,
)
from engine.render.code.values import Index, Tensor, avals, ravel, scalar, stored, writes


def _determinant(low: Lowering, a: Matrix) -> tuple[Var, Var, Var]:
    """Sign, whether it is singular, whether all is finite; a is factored."""
    good = all_finite(low, a)
    sign, singular = factor(low, a, [])
    return sign, singular, good


@writes("det")
def _det(low: Lowering, node: Node, xs: list[Any], params: dict[str, Any]) -> Tensor:
    x = low.settle(xs[0])
    (aval,) = avals(node)
    n = x.shape[-1]

    def one(a: Matrix, lead: Index) -> Expr:
        a.load(x, lead)
        good = all_finite(low, a)
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
        with members(low, lead) as index:
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
        with members(low, lead) as index:
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
        with members(low, x.shape[:-2]) as lead:
            one = Choice(is_finite(x.at((*lead, zero, zero))), ONE, NAN, "float")
            low.store(array, ravel(x.shape, (*lead, zero, zero)), one)
        return value
    with members(low, x.shape[:-2]) as lead:

        def put(i: Expr, j: Expr, e: Expr) -> None:
            low.store(array, ravel(x.shape, (*lead, i, j)), e)

        a.load(x, lead)
        b.fill(ZERO)
        with low.loop(0, n) as i:
            b.put(i, i, ONE)
        good = all_finite(low, a)
        sign, singular = factor(low, a, [b])
        det = low.let(sign, "det", mutable=True)
        least = low.let(INF, "least", mutable=True)
        most = low.let(ZERO, "most", mutable=True)
        with low.loop(0, n) as i:
            size = low.named(Call("fabs", (a.at(i, i),)))
            low.put(Assign(det, product(det, a.at(i, i))))
            low.put(Assign(least, Choice(less(size, least), size, least, "float")))
            low.put(Assign(most, Choice(less(most, size), size, most, "float")))
        regular = both(negated(singular), both(less(product(Num(1e-12), most), least), is_finite(det)))
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
        with members(low, lead) as index:
            a.load(x, index)
            good = all_finite(low, a)
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


@writes("qr_factors")
def _qr(low: Lowering, node: Node, xs: list[Any], params: dict[str, Any]) -> tuple[Tensor, ...]:
    """Householder reflections with LAPACK's signs (dgeqrf, dlarfg), applied to the identity for Q."""
    low.target = None
    x = low.settle(xs[0])
    lead, (m, n) = x.shape[:-2], x.shape[-2:]
    q_shape, r_shape = (a.shape for a in avals(node))
    qs, rs = low.room("float", prod(q_shape)), low.room("float", prod(r_shape))
    found = stored(qs, q_shape), stored(rs, r_shape)
    if not prod(q_shape) or not n:
        low.fill(qs, Tensor(q_shape, "float", lambda i: Choice(equal(i[-2], i[-1]), ONE, ZERO, "float")))
        return found
    columns = q_shape[-1]
    a, q = Matrix(low, m, n), Matrix(low, m, columns)
    scales = low.room("float", n, "scales")

    def reflect(k: Expr, on: Matrix, first: Expr | int) -> None:
        """Apply the k-th reflection, whose vector is (1, a[k+1:, k]), to columns of a matrix."""
        with low.loop(first, on.shape[1], "j") as j:
            total = low.let(on.at(k, j), "s", mutable=True)
            with low.loop(add(k, integer(1)), m) as i:
                low.put(Assign(total, plus(total, product(a.at(i, k), on.at(i, j)))))
            low.put(Assign(total, product(total, Elem(scales, k))))
            on.put(k, j, minus(on.at(k, j), total))
            with low.loop(add(k, integer(1)), m) as i:
                on.put(i, j, minus(on.at(i, j), product(total, a.at(i, k))))

    with members(low, lead) as index:
        a.load(x, index)
        good = all_finite(low, a)
        with low.loop(0, n, "k") as k:
            size = low.let(ZERO, "size", mutable=True)
            with low.loop(add(k, integer(1)), m) as i:
                low.put(Assign(size, Call("hypot", (size, a.at(i, k)))))
            low.store(scales, k, ZERO)
            with low.when(Binary("!=", size, ZERO, "bool")):
                head = low.let(a.at(k, k), "head")
                length = Call("copysign", (Call("hypot", (head, size)), head))
                beta = low.let(Unary("-", length, "float"), "beta")
                low.store(scales, k, quotient(minus(beta, head), beta))
                with low.loop(add(k, integer(1)), m) as i:
                    a.put(i, k, quotient(a.at(i, k), minus(head, beta)))
                reflect(k, a, add(k, integer(1)))
                a.put(k, k, beta)
        with low.loops((m, columns)) as (i, j):
            q.put(i, j, Choice(equal(i, j), ONE, ZERO, "float"))
        with low.loop(0, n, "k", down=True) as k:
            reflect(k, q, 0)
        with low.loops((m, columns)) as (i, j):
            low.store(qs, ravel(q_shape, (*index, i, j)), Choice(good, q.at(i, j), NAN, "float"))
        with low.loops((n, n)) as (i, j):
            e = Choice(Binary("<=", i, j, "bool"), a.at(i, j), ZERO, "float")
            low.store(rs, ravel(r_shape, (*index, i, j)), Choice(good, e, NAN, "float"))
    return found
