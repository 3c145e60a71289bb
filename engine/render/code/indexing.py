"""Indexing by integer arrays, sorting and searching.

An index that is computed may be out of range, which the service refuses. Here nothing can be refused: what is read there
is NaN, and what would be written there is left out.
"""

from __future__ import annotations

from math import prod
from typing import Any

from engine.graph import Node, single
from engine.render.code.lowering import Lowering
from engine.render.code.statements import (
    FALSE,
    TRUE,
    Array,
    Assign,
    Binary,
    Choice,
    Elem,
    Expr,
    If,
    Num,
    Stmt,
    Var,
    While,
    add,
    both,
    either,
    integer,
    less,
)
from engine.render.code.translate import apply
from engine.render.code.values import Index, Tensor, filled, ravel, scalar, stored, writes


@writes("wrap_index", once=True)
def _wrap_index(low: Lowering, node: Node, xs: list[Any], params: dict[str, Any]) -> Tensor:
    """Negative indices count from the end; those out of range become −1."""
    x, n = xs[0], params["n"]
    least = -n if params["low"] is None else params["low"]

    def entry(e: Expr) -> Expr:
        return apply("wrapped_index", e, integer(n), integer(least))

    if x.shape == ():
        return scalar(entry(x.expr))
    flat = x.flat
    return Tensor(
        x.shape,
        "int",
        lambda i: entry(x.at(i)),
        None if flat is None else lambda i: entry(flat(i)),
        None,
        settled=False,
        depth=x.depth + 1,
    )


def _constant(low: Lowering, x: Tensor) -> bool:
    """Whether indices were known, and so checked, when the program was read."""
    if x.shape == () or x.buffer is None:
        return isinstance(x.at(x.padded(x.rank)), Num) if x.size else True
    return x.buffer.name in low.constants


def _inside(e: Expr, n: int) -> Expr:
    return both(Binary(">=", e, integer(0), "bool"), less(e, integer(n)))


@writes("gather")
def _gather(low: Lowering, node: Node, xs: list[Any], params: dict[str, Any]) -> Tensor:
    x, indices = (low.settle(v) for v in xs)
    at, batch = x.rank + params["axis"], params["batch_dims"]
    shape = single(node.aval).shape
    count = indices.rank - batch
    n = x.shape[at]
    if not prod(shape):
        return filled(shape, Num(0.0, x.type))
    known = _constant(low, indices)
    low.checked = low.checked or not known

    def entry(index: Index) -> Expr:
        i = indices.at((*index[:batch], *index[at : at + count]))
        if known:
            return x.at((*index[:at], i, *index[at + count :]))
        i = low.named(i)
        value = x.at((*index[:at], i, *index[at + count :]))
        nothing = Num(float("nan")) if x.type == "float" else Num(0, x.type)
        return Choice(_inside(i, n), value, nothing, x.type)

    if shape == ():
        return scalar(entry(()))
    return Tensor(shape, x.type, entry, None, None, settled=False, depth=1)


@writes("scatter_add", "scatter_set", "scatter_max", "scatter_min")
def _scatter(low: Lowering, node: Node, xs: list[Any], params: dict[str, Any]) -> Tensor:
    x, indices, updates = xs[0], low.settle(xs[1]), low.settle(xs[2])
    at, batch = x.rank + params["axis"], params["batch_dims"]
    shape = single(node.aval).shape
    array, value = low.result(shape, x.type)
    if not value.size:
        return value
    low.fill(array, x)
    if not updates.size:
        return value
    count = indices.rank - batch
    known = _constant(low, indices)
    low.checked = low.checked or not known
    name = node.op.name
    with low.loops(updates.shape) as index:
        i = indices.at((*index[:batch], *index[at : at + count]))
        if not known:
            i = low.named(i)
        place = ravel(shape, (*index[:at], i, *index[at + count :]))
        e = updates.at(index)

        def put() -> None:
            if name == "scatter_add":
                low.accumulate(array, place, e)
            elif name == "scatter_set":
                low.store(array, place, e)
            else:
                op = "maximum" if name == "scatter_max" else "minimum"
                fn = op if x.type == "float" else f"int_{op}"
                low.store(array, place, apply(fn, Elem(array, place), e))

        if known:
            put()
        else:
            with low.when(_inside(i, shape[at])):
                put()
    return value


@writes("last_occurrence")
def _last_occurrence(low: Lowering, node: Node, xs: list[Any], params: dict[str, Any]) -> Tensor:
    x, batch = low.settle(xs[0]), params["batch_dims"]
    x = low.laid(x)
    lead, n = x.shape[:batch], prod(x.shape[batch:])
    array, value = low.result(x.shape, "bool")
    if value.size and x.shape == ():
        return scalar(TRUE)
    if value.size:
        assert x.buffer is not None
        rows = stored(x.buffer, (*lead, n))
        with low.loops((*lead, n)) as index:
            own = low.named(rows.at(index))
            last = low.let(TRUE, "last", mutable=True)
            with (
                low.loop(add(index[-1], integer(1)), n, "k") as k,
                low.when(Binary("==", rows.at((*index[:-1], k)), own, "bool")),
            ):
                low.put(Assign(last, FALSE))
            low.store(array, ravel((*lead, n), index), last)
    return value


@writes("argsort")
def _argsort(low: Lowering, node: Node, xs: list[Any], params: dict[str, Any]) -> Tensor:
    """Stable merge sort of indices, bottom up; NaN counts as the largest number, as in NumPy."""
    x = low.settle(xs[0])
    at, n = x.rank + params["axis"], x.shape[params["axis"]]
    array, value = low.result(x.shape, "int")
    if not value.size:
        return value
    if n == 1:
        low.fill(array, filled(x.shape, integer(0)))
        return value
    spare, order = low.room("int", n, "spare"), low.room("int", n, "order")
    with low.loops((*x.shape[:at], *x.shape[at + 1 :])) as outer:

        def entry(k: Expr) -> Expr:
            return x.at((*outer[:at], k, *outer[at:]))

        def before(i: Expr, j: Expr) -> Expr:
            """Whether the entry at i comes strictly before that at j."""
            a, b = low.named(entry(i)), low.named(entry(j))
            if params["descending"]:
                a, b = b, a
            if x.type == "bool":
                return both(Binary("==", a, FALSE, "bool"), b)
            smaller = less(a, b)
            if x.type != "float":
                return smaller
            return either(smaller, both(Binary("!=", b, b, "bool"), Binary("==", a, a, "bool")))

        with low.loop(0, n) as k:
            low.store(order, k, k)
        _merge_sort(low, order, spare, n, before)
        with low.loop(0, n) as k:
            low.store(array, ravel(x.shape, (*outer[:at], k, *outer[at:])), Elem(order, k))
    return value


def _merge_sort(low: Lowering, order: Array, spare: Array, n: int, before: Any) -> None:
    one = integer(1)
    width = low.let(one, "width", mutable=True)
    body: list[Stmt] = []
    with low.inside(body):
        start = low.let(integer(0), "start", mutable=True)
        runs: list[Stmt] = []
        with low.inside(runs):
            middle = low.let(apply("int_minimum", add(start, width), integer(n)), "middle")
            end = low.let(apply("int_minimum", add(middle, width), integer(n)), "end")
            left, right = low.let(start, "left", mutable=True), low.let(middle, "right", mutable=True)
            with low.loop(start, end, "k") as k:
                take = low.let(less(left, middle), "take", mutable=True)
                with low.when(both(take, less(right, end))):
                    later = before(low.named(Elem(order, right)), low.named(Elem(order, left)))
                    low.put(Assign(take, Binary("==", later, FALSE, "bool")))
                then: list[Stmt] = []
                otherwise: list[Stmt] = []
                with low.inside(then):
                    low.store(spare, k, Elem(order, left))
                    low.put(Assign(left, Binary("+", left, one, "int")))
                with low.inside(otherwise):
                    low.store(spare, k, Elem(order, right))
                    low.put(Assign(right, Binary("+", right, one, "int")))
                low.put(If(take, then, otherwise))
            low.put(Assign(start, end))
        low.put(While(less(start, integer(n)), runs))
        with low.loop(0, n) as k:
            low.store(order, k, Elem(spare, k))
        low.put(Assign(width, Binary("+", width, width, "int")))
    low.put(While(less(width, integer(n)), body))


@writes("searchsorted")
def _searchsorted(low: Lowering, node: Node, xs: list[Any], params: dict[str, Any]) -> Tensor:
    """By halving; NaN counts as the largest number."""
    a, v = (low.settle(x) for x in xs)
    lead, n = a.rank - 1, a.shape[-1]
    shape = v.shape

    def found(index: Index) -> Var:
        value = low.named(v.at(index))
        first = low.let(integer(0), "first", mutable=True)
        last = low.let(integer(n), "last", mutable=True)
        body: list[Stmt] = []
        with low.inside(body):
            middle = low.let(apply("trunc_divide", add(first, last), integer(2)), "middle")
            e = low.named(a.at((*index[:lead], middle)))
            if a.type == "float":
                nan = Binary("!=", value, value, "bool")
                if params["side"] == "left":
                    behind = either(less(e, value), both(nan, Binary("==", e, e, "bool")))
                else:
                    behind = either(Binary("<=", e, value, "bool"), nan)
            else:
                behind = Binary("<" if params["side"] == "left" else "<=", e, value, "bool")
            low.put(
                If(behind, [Assign(first, Binary("+", middle, integer(1), "int"))], [Assign(last, middle)])
            )
        low.put(While(less(first, last), body))
        return first

    if shape == ():
        return scalar(found(()))
    array, value = low.result(shape, "int")
    if value.size:
        with low.loops(shape) as index:
            low.store(array, ravel(shape, index), found(index))
    return value
