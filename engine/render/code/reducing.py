"""Reductions, running reductions, and products of matrices."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from engine.graph import Node, single
from engine.op import registry
from engine.render.code.elementwise import expression
from engine.render.code.lowering import (
    NOTHING,
    Index,
    Lowering,
    Tensor,
    filled,
    ravel,
    scalar,
    type_of,
    writes,
)
from engine.render.code.statements import (
    Assign,
    Binary,
    Call,
    Choice,
    Expr,
    Num,
    Type,
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
    times,
)
from engine.render.code.translate import apply

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
        with low.when(_at(mask, index)):
            low.put(Assign(total, _ufunc("maximum", total, e)))

    return low.reduced(_indexed(x), params["axes"], lambda _: least, step)


@writes("top_level")
def _top_level(low: Lowering, node: Node, xs: list[Any], params: dict[str, Any]) -> Tensor:
    x, weight = (low.settle(v) for v in xs)

    def step(total: Var, e: Expr, index: Index) -> None:
        with low.when(Binary("!=", _at(weight, index), Num(0.0, weight.type), "bool")):
            low.put(Assign(total, _ufunc("maximum", total, e)))

    def finish(e: Expr) -> Expr:
        return Choice(less(Call("fabs", (e,)), INF), e, Num(0.0), "float")

    return low.reduced(_indexed(x), params["axes"], lambda _: Num(float("-inf")), step, finish)


def _at(x: Tensor, index: Index) -> Expr:
    return x.expr if x.shape == () else x.at(index)


def _indexed(x: Tensor) -> Tensor:
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


# -------------------------------------------------------------------------------------------------------------- running


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


# --------------------------------------------------------------------------------------------- exponentials along axes


@writes("logsumexp")
def _logsumexp(low: Lowering, node: Node, xs: list[Any], params: dict[str, Any]) -> Tensor:
    """max + log(1 + what is left beside one maximum), as the op computes it."""
    x = low.settle(xs[0])
    axes = params["axes"]
    top = _largest(low, x, axes)
    many, rest = _rest(low, x, axes, _spread(top, x, axes))

    def entry(index: Index) -> Expr:
        m = low.named(_at(top, index))
        beside = plus(minus(_at(many, index), Num(1.0)), _at(rest, index))
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

    many = low.reduced(_indexed(x), axes, lambda _: Num(0.0), count, own=False)
    return many, low.reduced(_indexed(x), axes, lambda _: Num(0.0), step, own=False)


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
        return _at(x, tuple(i for k, i in enumerate(index) if k not in gone))

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

    sums = low.reduced(_indexed(x), axes, lambda _: Num(0.0), add_up, own=False)
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

    sums = low.reduced(_indexed(x), axes, lambda _: Num(0.0), step, own=False)

    def entry(index: Index) -> Expr:
        m, s = low.named(_at(size, index)), _at(sums, index)
        root = Call("sqrt", (s,)) if p == 2 else Call("pow", (s, Num(1.0 / p)))
        return Choice(both(less(Num(0.0), m), less(m, INF)), product(m, root), m, "float")

    if size.shape == ():
        return scalar(entry(()))
    return Tensor(size.shape, type_of(single(node.aval).dtype), entry, None, None, settled=False, depth=1)
