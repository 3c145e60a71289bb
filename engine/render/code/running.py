"""Running reductions, and products of matrices."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from engine.graph import Node, single
from engine.render.code.lowering import Lowering
from engine.render.code.statements import (
    Assign,
    Binary,
    Choice,
    Expr,
    Num,
    Type,
    Var,
    add,
    either,
    integer,
    plus,
    times,
)
from engine.render.code.translate import apply
from engine.render.code.values import NOTHING, Index, Tensor, filled, ravel, writes


def _running(
    low: Lowering,
    x: Tensor,
    axis: int,
    reverse: bool,
    kind: Type,
    step: Callable[[Var, Index], Expr],
    start: Expr,
) -> Tensor:
    """`step` gives the next state from the state before and the index; the state is what is stored."""
    array, value = low.result(x.shape, kind)
    at = x.rank + axis
    if not value.size:
        return value
    with low.loops((*x.shape[:at], *x.shape[at + 1 :])) as outer:
        state = low.let(start, "s", mutable=True)
        with low.loop(0, x.shape[at], "k", down=reverse) as k:
            index = (*outer[:at], k, *outer[at:])
            low.put(Assign(state, step(state, index)))
            low.store(array, ravel(x.shape, index), state)
    return value


@writes("cumsum", "cumprod", once=True)
def _cumulative(low: Lowering, node: Node, xs: list[Any], params: dict[str, Any]) -> Tensor:
    (x,) = xs
    sum_ = node.op.name == "cumsum"
    op, start = ("+", Num(0, x.type)) if sum_ else ("*", Num(1, x.type))
    return _running(
        low,
        x,
        params["axis"],
        params["reverse"],
        x.type,
        lambda s, i: Binary(op, s, x.at(i), x.type),
        start,
    )


@writes("cumulative_logsumexp", once=True)
def _cumulative_logsumexp(low: Lowering, node: Node, xs: list[Any], params: dict[str, Any]) -> Tensor:
    (x,) = xs
    return _running(
        low,
        x,
        params["axis"],
        params["reverse"],
        "float",
        lambda s, i: apply("logaddexp", s, low.named(x.at(i))),
        Num(float("-inf")),
    )


@writes("linear_recurrence", once=True)
def _linear_recurrence(low: Lowering, node: Node, xs: list[Any], params: dict[str, Any]) -> Tensor:
    a, b = xs
    return _running(
        low,
        a,
        params["axis"],
        params["reverse"],
        "float",
        lambda s, i: plus(apply("strong", s, a.at(i)), b.at(i)),
        Num(0.0),
    )


@writes("cum_argextreme")
def _cum_argextreme(low: Lowering, node: Node, xs: list[Any], params: dict[str, Any]) -> Tensor:
    x = low.settle(xs[0])
    at = x.rank + params["axis"]
    sign = ">=" if params["largest"] else "<="

    def step(best: Var, index: Index) -> Expr:
        e = low.named(x.at(index))
        top = low.named(x.at((*index[:at], best, *index[at + 1 :])))
        record: Expr = Binary(sign, e, top, "bool")
        if x.type == "float":
            record = either(record, Binary("!=", e, e, "bool"))
        return Choice(record, index[at], best, "int")

    return _running(low, x, params["axis"], False, "int", step, integer(0))


@writes("power_table")
def _power_table(low: Lowering, node: Node, xs: list[Any], params: dict[str, Any]) -> Tensor:
    x, n = low.settle(xs[0]), params["n"]
    shape = single(node.aval).shape
    array, value = low.result(shape, x.type)
    if value.size:
        with low.loops(x.shape[:-1]) as outer:
            power = low.let(Num(1, x.type), "s", mutable=True)
            with low.loop(0, n, "k") as k:
                column = add(integer(n - 1), _minus(k)) if params["reverse"] else k
                low.store(array, ravel(shape, (*outer, column)), power)
                low.put(Assign(power, Binary("*", power, x.at((*outer, integer(0))), x.type)))
    return value


def _minus(k: Expr) -> Expr:
    return times(k, -1)


# ------------------------------------------------------------------------------------------------------------- matrices


@writes("matmul", "strong_matmul")
def _matmul(low: Lowering, node: Node, xs: list[Any], params: dict[str, Any]) -> Tensor:
    x, y = (low.settle(v) for v in xs)
    shape = single(node.aval).shape
    inner = x.shape[-1]
    strong = node.op.name == "strong_matmul"

    def term(a: Expr, b: Expr) -> Expr:
        return apply("strong_both", a, b) if strong else Binary("*", a, b, x.type)

    array, value = low.result(shape, x.type)
    if not value.size:
        return value
    if inner == 0:
        low.fill(array, filled(shape, NOTHING[x.type]))
        return value
    with low.loops(shape) as index:
        *lead, i, j = index
        if inner == 1:
            zero = integer(0)
            low.store(array, ravel(shape, index), term(x.at((*lead, i, zero)), y.at((*lead, zero, j))))
            return value
        total = low.let(NOTHING[x.type], "s", mutable=True)
        with low.loop(0, inner, "k") as k:
            e = term(x.at((*lead, i, k)), y.at((*lead, k, j)))
            low.put(Assign(total, Binary("+", total, e, x.type)))
        low.store(array, ravel(shape, index), total)
    return value


@writes("full_convolution", "valid_correlation")
def _convolution(low: Lowering, node: Node, xs: list[Any], params: dict[str, Any]) -> Tensor:
    a, v = (low.settle(x) for x in xs)
    shape = single(node.aval).shape
    full = node.op.name == "full_convolution"
    array, value = low.result(shape, a.type)
    if not value.size:
        return value
    if full:
        low.fill(array, filled(shape, NOTHING[a.type]))
        with low.loops((*a.shape, v.shape[-1])) as index:
            *lead, i, j = index
            e = Binary("*", a.at((*lead, i)), v.at((*lead, j)), a.type)
            low.accumulate(array, ravel(shape, (*lead, add(i, j))), e)
        return value
    with low.loops(shape) as index:
        *lead, i = index
        total = low.let(NOTHING[a.type], "s", mutable=True)
        with low.loop(0, v.shape[-1], "k") as k:
            e = Binary("*", a.at((*lead, add(i, k))), v.at((*lead, k)), a.type)
            low.put(Assign(total, Binary("+", total, e, a.type)))
        low.store(array, ravel(shape, index), total)
    return value
