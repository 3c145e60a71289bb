"""Reductions."""

from __future__ import annotations

from typing import Any

from engine.graph import Node
from engine.op import registry
from engine.render.code.elementwise import expression
from engine.render.code.lowering import Lowering
from engine.render.code.statements import (
    Assign,
    Binary,
    Call,
    Choice,
    Expr,
    Num,
    Var,
    both,
    either,
    integer,
    less,
    negated,
)
from engine.render.code.translate import apply
from engine.render.code.values import NOTHING, Index, Tensor, ravel, scalar, writes

INF = Num(float("inf"))
SMALLEST = Num(-(2**63) + 1, "int")


def _ufunc(name: str, x: Expr, y: Expr) -> Expr:
    """`add`, `multiply`, `maximum` or `minimum` of two numbers of one type."""
    if x.type == "float" and name in ("maximum", "minimum"):
        return apply(name, x, y)
    return expression(registry.core(name), {}, [x, y], x.type)


@writes("sum", once=True)
def _sum(low: Lowering, node: Node, xs: list[Any], params: dict[str, Any]) -> Tensor:
    (x,) = xs
    return low.reduced(
        x,
        params["axes"],
        lambda _: NOTHING[x.type],
        lambda total, e, _: low.put(Assign(total, Binary("+", total, e, x.type))),
    )


@writes("max", "min")
def _extreme(low: Lowering, node: Node, xs: list[Any], params: dict[str, Any]) -> Tensor:
    x = low.settle(xs[0])
    name = "maximum" if node.op.name == "max" else "minimum"
    return low.reduced(
        x, params["axes"], x.at, lambda total, e, _: low.put(Assign(total, _ufunc(name, total, e)))
    )


@writes("nanmax", "nanmin")
def _nan_extreme(low: Lowering, node: Node, xs: list[Any], params: dict[str, Any]) -> Tensor:
    x = low.settle(xs[0])
    sign = ">" if node.op.name == "nanmax" else "<"

    def step(total: Var, e: Expr, _: Index) -> None:
        value = low.named(e)
        better = either(Binary("!=", total, total, "bool"), Binary(sign, value, total, "bool"))
        low.put(Assign(total, Choice(better, value, total, x.type)))

    return low.reduced(x, params["axes"], x.at, step)


@writes("max_where")
def _max_where(low: Lowering, node: Node, xs: list[Any], params: dict[str, Any]) -> Tensor:
    x, mask = (low.settle(v) for v in xs)
    least = Num(float("-inf")) if x.type == "float" else SMALLEST

    def step(total: Var, e: Expr, index: Index) -> None:
        with low.when(at_of(mask, index)):
            low.put(Assign(total, _ufunc("maximum", total, e)))

    return low.reduced(indexed(x), params["axes"], lambda _: least, step)


@writes("top_level")
def _top_level(low: Lowering, node: Node, xs: list[Any], params: dict[str, Any]) -> Tensor:
    x, weight = (low.settle(v) for v in xs)

    def step(total: Var, e: Expr, index: Index) -> None:
        with low.when(Binary("!=", at_of(weight, index), Num(0.0, weight.type), "bool")):
            low.put(Assign(total, _ufunc("maximum", total, e)))

    def finish(e: Expr) -> Expr:
        return Choice(less(Call("fabs", (e,)), INF), e, Num(0.0), "float")

    return low.reduced(indexed(x), params["axes"], lambda _: Num(float("-inf")), step, finish)


def at_of(x: Tensor, index: Index) -> Expr:
    """An entry, of a scalar the number."""
    return x.expr if x.shape == () else x.at(index)


def indexed(x: Tensor) -> Tensor:
    """The value without its flat form: for a step that reads another value by the same index."""
    return Tensor(x.shape, x.type, x.at, None, x.buffer, x.settled, x.depth)


@writes("any", "all", once=True)
def _quantifier(low: Lowering, node: Node, xs: list[Any], params: dict[str, Any]) -> Tensor:
    (x,) = xs
    every = node.op.name == "all"

    def step(total: Var, e: Expr, _: Index) -> None:
        low.put(Assign(total, both(total, _truth(e)) if every else either(total, _truth(e))))

    return low.reduced(x, params["axes"], lambda _: Num(float(every), "bool"), step, kind="bool")


def _truth(e: Expr) -> Expr:
    return e if e.type == "bool" else Binary("!=", e, Num(0, e.type), "bool")


@writes("argmax", "argmin")
def _arg_extreme(low: Lowering, node: Node, xs: list[Any], params: dict[str, Any]) -> Tensor:
    x = low.settle(xs[0])
    axis, last = x.rank + params["axis"], params["last"]
    sign = ">" if node.op.name == "argmax" else "<"
    shape = (*x.shape[:axis], *x.shape[axis + 1 :])

    def find(outer: Index) -> Expr:
        n = x.shape[axis]
        best = low.let(integer(n - 1 if last else 0), "best", mutable=True)

        def entry(k: Expr) -> Expr:
            return x.at((*outer[:axis], k, *outer[axis:]))

        with low.loop(0 if last else 1, n - 1 if last else n, "k", down=last) as k:
            e, top = low.named(entry(k)), low.named(entry(best))
            if x.type == "bool":
                better = both(e, negated(top)) if sign == ">" else both(negated(e), top)
            else:
                better = Binary(sign, e, top, "bool")
            if x.type == "float":
                better = either(better, both(Binary("!=", e, e, "bool"), Binary("==", top, top, "bool")))
            with low.when(better):
                low.put(Assign(best, k))
        return best

    if not shape:
        return scalar(find(()) if x.shape[axis] > 1 else integer(0))
    array, value = low.result(shape, "int")
    if value.size:
        with low.loops(shape) as outer:
            low.store(array, ravel(shape, outer), find(outer) if x.shape[axis] > 1 else integer(0))
    return value
