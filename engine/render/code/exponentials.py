"""Sums of exponentials along axes, by the largest entry; and norms."""

from __future__ import annotations

from typing import Any

from engine.graph import Node, single
from engine.render.code.lowering import Lowering
from engine.render.code.reducing import INF, at_of, indexed
from engine.render.code.statements import (
    Assign,
    Binary,
    Call,
    Choice,
    Expr,
    Num,
    Var,
    both,
    equal,
    less,
    minus,
    plus,
    product,
    quotient,
)
from engine.render.code.translate import apply
from engine.render.code.values import Index, Tensor, filled, scalar, type_of, writes


@writes("logsumexp")
def _logsumexp(low: Lowering, node: Node, xs: list[Any], params: dict[str, Any]) -> Tensor:
    """max + log(1 + what is left beside one maximum), as the op computes it."""
    x = low.settle(xs[0])
    axes = params["axes"]
    top = _largest(low, x, axes)
    many, rest = _rest(low, x, axes, _spread(top, x, axes))

    def entry(index: Index) -> Expr:
        m = low.named(at_of(top, index))
        beside = plus(minus(at_of(many, index), Num(1.0)), at_of(rest, index))
        total = plus(m, Call("log1p", (beside,)))
        return Choice(less(Call("fabs", (m,)), INF), total, m, "float")

    if top.shape == ():
        return scalar(entry(()))
    return Tensor(top.shape, "float", entry, None, None, settled=False, depth=1)


def _rest(low: Lowering, x: Tensor, axes: tuple[int, ...], spread: Tensor) -> tuple[Tensor, Tensor]:
    """How many entries are the largest, and Σ exp(x − max) over the others."""

    def count(total: Var, e: Expr, index: Index) -> None:
        with low.when(equal(e, spread.at(index))):
            low.put(Assign(total, plus(total, Num(1.0))))

    def step(total: Var, e: Expr, index: Index) -> None:
        m = low.named(spread.at(index))
        with low.when(Binary("!=", e, m, "bool")):
            low.put(Assign(total, plus(total, Call("exp", (minus(e, _finite(m)),)))))

    many = low.reduced(indexed(x), axes, lambda _: Num(0.0), count, own=False)
    return many, low.reduced(indexed(x), axes, lambda _: Num(0.0), step, own=False)


def _finite(m: Expr) -> Expr:
    """The number, and 0 for an infinity."""
    return Choice(less(Call("fabs", (m,)), INF), m, Num(0.0), "float")


def _largest(low: Lowering, x: Tensor, axes: tuple[int, ...]) -> Tensor:
    return low.reduced(
        x,
        axes,
        lambda _: Num(float("-inf")),
        lambda total, e, _: low.put(Assign(total, apply("maximum", total, e))),
        kind="float",
        own=False,
    )


def _spread(x: Tensor, like: Tensor, axes: tuple[int, ...]) -> Tensor:
    """What a reduction gave, in every place that it was made from."""
    gone = {a + like.rank for a in axes}

    def at(index: Index) -> Expr:
        return at_of(x, tuple(i for k, i in enumerate(index) if k not in gone))

    return Tensor(like.shape, x.type, at)


@writes("softmax", "log_softmax", "exp_shares")
def _softmax(low: Lowering, node: Node, xs: list[Any], params: dict[str, Any]) -> Tensor:
    x = low.settle(xs[0])
    axes, name = params["axes"], node.op.name
    if not x.size:
        return filled(x.shape, Num(0.0))
    top = _largest(low, x, axes)
    spread = _spread(top, x, axes)

    def shifted(index: Index, e: Expr) -> Expr:
        m = low.named(spread.at(index))
        return minus(e, Choice(equal(m, Num(float("-inf"))), Num(0.0), m, "float"))

    if name == "log_softmax":
        # The largest entry's own 1 is kept out of the sum, and put back by log1p.
        many, rest = (_spread(v, x, axes) for v in _rest(low, x, axes, spread))

        def log_entry(index: Index) -> Expr:
            n = low.named(apply("maximum", many.at(index), Num(1.0)))
            beside = Call("log1p", (quotient(rest.at(index), n),))
            return minus(shifted(index, x.at(index)), plus(Call("log", (n,)), beside))

        return Tensor(x.shape, "float", log_entry, None, None, settled=False, depth=1)

    def add_up(total: Var, e: Expr, index: Index) -> None:
        low.put(Assign(total, plus(total, Call("exp", (shifted(index, e),)))))

    sums = low.reduced(indexed(x), axes, lambda _: Num(0.0), add_up, own=False)
    spread_sums = _spread(sums, x, axes)
    endless: Tensor | None = None
    if name == "exp_shares":

        def count(total: Var, e: Expr, _: Index) -> None:
            low.put(Assign(total, plus(total, Choice(equal(e, INF), Num(1.0), Num(0.0), "float"))))

        endless = _spread(low.reduced(x, axes, lambda _: Num(0.0), count, own=False), x, axes)

    def entry(index: Index) -> Expr:
        e = low.named(x.at(index))
        whole_sum = low.named(spread_sums.at(index))
        share = quotient(
            Call("exp", (shifted(index, e),)),
            Choice(equal(whole_sum, Num(0.0)), Num(1.0), whole_sum, "float"),
        )
        if endless is None:
            return share
        one = quotient(Num(1.0), endless.at(index))
        whole = Choice(equal(e, INF), one, Num(0.0), "float")
        return Choice(equal(spread.at(index), INF), whole, share, "float")

    return Tensor(x.shape, "float", entry, None, None, settled=False, depth=1)


@writes("vector_norm")
def _vector_norm(low: Lowering, node: Node, xs: list[Any], params: dict[str, Any]) -> Tensor:
    """By the largest entry, so that nothing overflows: max · (Σ (|x|/max)ᵖ)^(1/p)."""
    x, axes, p = low.settle(xs[0]), params["axes"], float(params.get("ord", 2.0))
    size = low.reduced(
        x,
        axes,
        lambda _: Num(0.0),
        lambda total, e, _: low.put(Assign(total, apply("maximum", total, Call("fabs", (e,))))),
        own=False,
    )
    spread = _spread(size, x, axes)

    def step(total: Var, e: Expr, index: Index) -> None:
        m = low.named(spread.at(index))
        ratio = low.named(Choice(both(less(Num(0.0), m), less(m, INF)), quotient(e, m), e, "float"))
        power = product(ratio, ratio) if p == 2 else Call("pow", (Call("fabs", (ratio,)), Num(p)))
        low.put(Assign(total, plus(total, power)))

    sums = low.reduced(indexed(x), axes, lambda _: Num(0.0), step, own=False)

    def entry(index: Index) -> Expr:
        m, s = low.named(at_of(size, index)), at_of(sums, index)
        root = Call("sqrt", (s,)) if p == 2 else Call("pow", (s, Num(1.0 / p)))
        return Choice(both(less(Num(0.0), m), less(m, INF)), product(m, root), m, "float")

    if size.shape == ():
        return scalar(entry(()))
    return Tensor(size.shape, type_of(single(node.aval).dtype), entry, None, None, settled=False, depth=1)
