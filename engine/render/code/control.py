"""Loops and branches as what they are: `for`, `while` and `if`.

The state of a loop lives in locals that are assigned to at the end of each step, when all of the next state is known.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import prod
from typing import Any

from engine.graph import Graph, Node, graph_bytes
from engine.kept import Kept
from engine.ops.control.counted import Derivation
from engine.render.code.lowering import Lowering
from engine.render.code.statements import (
    TRUE,
    Array,
    Assign,
    Binary,
    Break,
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
    converted,
    either,
    integer,
    negated,
    times,
)
from engine.render.code.values import NOTHING, Index, Tensor, avals, filled, scalar, stored, type_of, writes

STEPS = 1000
"""So many steps of a loop whose length shows only when it runs can be walked back."""
RECORD = 1 << 24
"""Bytes that the way back over such a loop may record; one that would need more computes again from checkpoints."""


class State:
    """What a loop carries: locals and arrays of its own, that begin with some values."""

    def __init__(self, low: Lowering, values: Sequence[Tensor]) -> None:
        self.low = low
        self.places: list[Var | Array] = []
        self.values: list[Tensor] = []
        for x in values:
            if x.shape == ():
                var = low.let(x.expr, "s", mutable=True)
                self.places.append(var)
                self.values.append(scalar(var))
            else:
                array = low.room(x.type, x.size)
                low.fill(array, x)
                self.places.append(array)
                self.values.append(stored(array, x.shape))

    def become(self, news: Sequence[Tensor]) -> None:
        """Assign the next state: what is made of the state itself is brought to safety first."""
        low, own = self.low, set(self.places)
        ready: list[Tensor] = []
        for place, x in zip(self.places, news, strict=True):
            if isinstance(place, Var):
                e = x.expr
                if isinstance(e, Var) and e in own and e != place:
                    e = low.let(e)
                ready.append(scalar(e))
            elif x.buffer == place or (x.buffer is not None and x.buffer not in own):
                ready.append(x)
            elif x.settled and x.size and x.buffer is None and isinstance(x.at(x.padded(x.rank)), Num):
                ready.append(x)  # one number everywhere
            else:
                spare = low.room(x.type, x.size)
                low.fill(spare, x)
                ready.append(stored(spare, x.shape))
        for place, x in zip(self.places, ready, strict=True):
            if isinstance(place, Array):
                if x.buffer != place:
                    low.fill(place, x)
            elif x.expr != place:
                low.put(Assign(place, converted(x.expr, place.type)))


def _settled(low: Lowering, xs: Sequence[Any]) -> list[Tensor]:
    return [low.settle(x) for x in xs]


@writes("core.scan", once=True)
def _scan(low: Lowering, node: Node, xs: list[Any], params: dict[str, Any]) -> tuple[Tensor, ...]:
    low.target = None
    body: Graph = params["body"]
    nk, nx, n = params["carries"], params["scanned"], params["length"]
    scanned, constants = _settled(low, xs[nk : nk + nx]), _settled(low, xs[nk + nx :])
    state = State(low, xs[:nk])
    stacked = [stored(low.room(type_of(a.dtype), a.size), a.shape) for a in avals(node)[nk:]]
    if n:
        with low.loop(0, n, "step", down=params["reverse"]) as t:
            slices = [_row(x, t) for x in scanned]
            outs = low.graph(body, [*state.values, *slices, *constants])
            for y, out in zip(stacked, outs[nk:], strict=True):
                assert y.buffer is not None
                if out.shape == ():
                    low.store(y.buffer, t, out.expr)
                else:
                    low.fill(y.buffer, out, times(t, out.size))
            state.become(outs[:nk])
    return (*state.values, *stacked)


def _row(x: Tensor, t: Any) -> Tensor:
    """x[t]."""
    if x.rank == 1:
        return scalar(x.at((t,)))
    inner = prod(x.shape[1:])
    flat = x.flat
    return Tensor(
        x.shape[1:],
        x.type,
        lambda i: x.at((t, *i)),
        None if flat is None else lambda i: flat(add(times(t, inner), i)),
        None,
        x.settled,
        x.depth,
    )


@writes("core.while", once=True)
def _while(low: Lowering, node: Node, xs: list[Any], params: dict[str, Any]) -> tuple[Tensor, ...]:
    low.target = None
    nk, batch = params["carries"], params["batch"]
    constants = _settled(low, xs[nk:])
    state = State(low, xs[:nk])
    body: list[Stmt] = []
    if not batch:
        steps = low.let(integer(0), "steps", mutable=True)
        with low.inside(body):
            (go,) = low.graph(params["cond"], [*state.values, *constants])
            low.put(If(negated(go.expr), [Break()], []))
            state.become(low.graph(params["body"], [*state.values, *constants]))
            low.put(Assign(steps, Binary("+", steps, integer(1), "int")))
        low.put(While(TRUE, body))
        return (*state.values, scalar(steps))
    size = prod(batch)
    active, count = low.room("bool", size, "active"), low.room("int", size, "count")
    low.fill(active, filled(batch, TRUE))
    low.fill(count, filled(batch, integer(0)))
    mask = stored(active, batch)
    with low.inside(body):
        (go,) = low.graph(params["cond"], [*state.values, *constants])
        go = low.laid(low.settle(go))
        going = low.let(Num(0, "bool"), "going", mutable=True)
        with low.loop(0, size) as i:
            here = go.expr if go.shape == () else Elem(go.buffer, i)  # type: ignore[arg-type]  # it is laid
            low.store(active, i, both(Elem(active, i), here))
            low.put(Assign(going, either(going, Elem(active, i))))
        low.put(If(negated(going), [Break()], []))
        arguments = [*state.values, *constants, *([mask] if params["guarded"] else [])]
        news = _settled(low, low.graph(params["body"], arguments))
        state.become([_chosen(mask, new, old) for new, old in zip(news, state.values, strict=True)])
        with low.loop(0, size) as i:
            low.accumulate(count, i, converted(Elem(active, i), "int"))
    low.put(While(TRUE, body))
    return (*state.values, stored(count, batch))


def _chosen(mask: Tensor, new: Tensor, old: Tensor) -> Tensor:
    """What is new where the mask over the leading axes is true."""

    def at(index: Index) -> Any:
        return Choice(mask.at(index[: mask.rank]), new.at(index), old.at(index), new.type)

    return Tensor(new.shape, new.type, at, None, None, settled=False, depth=1)


@writes("core.cond")
def _cond(low: Lowering, node: Node, xs: list[Any], params: dict[str, Any]) -> tuple[Tensor, ...]:
    low.target = None
    operands = _settled(low, xs[1:])
    results: list[Tensor] = []
    places: list[Var | Array] = []
    for aval in avals(node):
        kind = type_of(aval.dtype)
        if aval.shape:
            array = low.room(kind, aval.size)
            places.append(array)
            results.append(stored(array, aval.shape))
        else:
            var = low.let(NOTHING[kind], "s", mutable=True)
            places.append(var)
            results.append(scalar(var))
    branches: list[list[Stmt]] = []
    for name in ("then", "otherwise"):
        block: list[Stmt] = []
        with low.inside(block):
            _assign(low, places, low.graph(params[name], operands))
        branches.append(block)
    low.put(If(xs[0].expr, *branches))
    return tuple(results)


def _assign(low: Lowering, places: Sequence[Var | Array], values: Sequence[Tensor]) -> None:
    for place, x in zip(places, values, strict=True):
        if isinstance(place, Array):
            low.fill(place, x)
        else:
            low.put(Assign(place, converted(x.expr, place.type)))


@writes("core.checkpoint")
def _checkpoint(low: Lowering, node: Node, xs: list[Any], params: dict[str, Any]) -> tuple[Tensor, ...]:
    low.target = None
    return tuple(low.graph(params["body"], _settled(low, xs), settle=True))


@writes("core.custom")
def _custom(low: Lowering, node: Node, xs: list[Any], params: dict[str, Any]) -> tuple[Tensor, ...]:
    low.target = None
    return tuple(low.graph(params["value"], _settled(low, xs), settle=True))


MASKED: Kept[Derivation, Graph] = Kept(16 << 20)
"""The graphs of `graph_of` that were made; they are asked for more than once for each text."""


def graph_of(derivation: Derivation) -> Graph:
    """The way back for any number of steps up to STEPS: a scan of that many, which does nothing once it is over."""
    found = MASKED.get(derivation)
    if found is None:
        steps = replace(derivation.steps, masked=True)
        found = Derivation(steps, derivation.transforms, derivation.dtype).graph(STEPS, RECORD)
        MASKED.put(derivation, found, 2000 + graph_bytes(found))
    return found


@writes("core.counted")
def _counted(low: Lowering, node: Node, xs: list[Any], params: dict[str, Any]) -> tuple[Tensor, ...]:
    """The derivative of a loop that was left after a number of steps: NaN if they were more than STEPS."""
    low.target = None
    low.limited = True
    operands = _settled(low, xs)
    count = operands[0]
    if count.shape:
        most = low.let(integer(0), "most", mutable=True)
        with low.loops(count.shape) as index:
            e = low.named(count.at(index))
            low.put(Assign(most, Choice(Binary(">", e, most, "bool"), e, most, "int")))
    else:
        most = low.let(count.expr, "most")
    too_many = Binary(">", most, integer(STEPS), "bool")
    outs = low.graph(graph_of(params["derivation"]), operands, settle=True)
    return tuple(_unless(low, too_many, x) if x.type == "float" else x for x in outs)


def _unless(low: Lowering, lost: Expr, x: Tensor) -> Tensor:
    """x, and NaN where it is lost."""
    nan = Num(float("nan"))
    if x.shape == ():
        return scalar(low.let(Choice(lost, nan, x.expr, "float")))

    def at(index: Index) -> Expr:
        return Choice(lost, nan, x.at(index), "float")

    return low.laid(Tensor(x.shape, "float", at, None, None, settled=False, depth=1))
