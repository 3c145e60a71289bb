"""Structure through loops, choices, and the other ops that hold graphs.

A short loop is followed step by step, with the integers that are known in each step. A long one is taken as a whole, its
body mapped over the steps: exactly if what is carried is forgotten after a few steps; else with carries that are
brought to a fixed point, what any number of steps can make of them. A choice depends on what either branch depends on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import numpy as np

from engine.aval import Aval
from engine.graph import Graph
from engine.sparsity.call import Call, Patterns
from engine.sparsity.known import Values
from engine.sparsity.mixing import reduced
from engine.sparsity.pattern import Pattern, anything, beside, concatenated, union
from engine.transforms.vmap import vmap

FOLLOWED = 20_000
"""Nodes that are visited in following a loop step by step; a longer one is taken as a whole."""
ROUNDS = 64
"""Rounds in which carries may come to rest; then they depend on all that they might."""

MEMORY = 8
"""Rounds in which the carries of all steps may come to rest together."""

Propagate = Callable[..., list["Pattern | None"]]


def scan(call: Call, propagate: Propagate) -> Patterns:
    """Last carries, then the ys stacked."""
    params = call.params
    body: Graph = params["body"]
    if params["length"] * len(body.nodes) <= FOLLOWED:
        return _followed(call, body, propagate)
    return _whole(call, body, propagate)


def _integers(call: Call, ks: Sequence[int]) -> list[Any]:
    """Values of the operands that are no floats, where known."""
    return [None if call.avals[k].floating else call.known(k) for k in ks]


def _followed(call: Call, body: Graph, propagate: Propagate) -> Patterns:
    params, context = call.params, call.context
    nk, nx, n = params["carries"], params["scanned"], params["length"]
    carries = list(call.patterns[:nk])
    scanned, consts = call.patterns[nk : nk + nx], call.patterns[nk + nx :]
    held = _integers(call, range(nk))
    slices, fixed = _integers(call, range(nk, nk + nx)), _integers(call, range(nk + nx, len(call.avals)))
    outs = body.out_avals
    ys: list[list[Pattern | None]] = [[None] * n for _ in outs[nk:]]
    kept = [k for k in range(nk) if not outs[k].floating]
    for t in range(n - 1, -1, -1) if params["reverse"] else range(n):
        context.step()
        values = Values(
            body,
            [*held, *(None if x is None else x[t] for x in slices), *fixed],
            call.values.dtype,
            context.step,
        )
        at = [None if p is None else p.with_ids(np.asarray(p.ids[t])).or_none() for p in scanned]
        found = propagate(body, [*carries, *at, *consts], values, context)
        carries = found[:nk]
        for k in kept:
            held[k] = values.known(body.outputs[k])
        for y, p in zip(ys, found[nk:], strict=True):
            y[t] = p
    stacked = [concatenated(y, (n, *a.shape), a.size) for y, a in zip(ys, outs[nk:], strict=True)]
    return (*carries, *stacked)


def _whole(call: Call, body: Graph, propagate: Propagate) -> Patterns:
    """All steps at once: exactly where the loop has a short memory, else by what any step can make of the carries."""
    params, context = call.params, call.context
    nk, n = params["carries"], params["length"]
    outs = body.out_avals
    largest = max((a.size for node in body.nodes if isinstance(a := node.aval, Aval)), default=1)
    if n * largest > context.elements:
        carries = _at_rest(call, body, propagate)
        sources = [p for p in (*carries, *call.patterns[nk:]) if p is not None]
        ys = [anything(sources, (n, *a.shape)) if a.floating and sources else None for a in outs[nk:]]
        return (*carries, *ys)
    every = _Steps(call, body, propagate)
    exact = every.by_memory()
    if exact is not None:
        return exact
    carries = _at_rest(call, body, propagate)
    if len(outs) == nk:
        return tuple(carries)
    wide = [None if p is None else p.with_ids(np.broadcast_to(p.ids, (n, *p.ids.shape))) for p in carries]
    return (*carries, *every.results(wide)[nk:])


class _Steps:
    """The body mapped over the steps: patterns of all of them from patterns of the carries before each."""

    def __init__(self, call: Call, body: Graph, propagate: Propagate) -> None:
        params = call.params
        self.call, self.propagate = call, propagate
        self.carried, self.scanned = params["carries"], params["scanned"]
        self.length, self.reverse = params["length"], params["reverse"]
        self.avals = body.out_avals
        first_const = self.carried + self.scanned
        flags = [k < first_const for k in range(len(call.avals))]
        self.body, self.leads = vmap(body, self.length, flags, call.values.dtype, step=call.context.step)
        integers = [None] * self.carried + _integers(call, range(self.carried, len(call.avals)))
        self.values = Values(self.body, integers, call.values.dtype, call.context.step)

    def results(self, carries: Sequence[Pattern | None]) -> list[Pattern | None]:
        """What the body yields, led by an axis of steps."""
        given = [*carries, *self.call.patterns[self.carried :]]
        found = self.propagate(self.body, given, self.values, self.call.context)
        return [
            p if p is None or led else p.with_ids(np.broadcast_to(p.ids, (self.length, *a.shape)))
            for p, led, a in zip(found, self.leads, self.avals, strict=True)
        ]

    def by_memory(self) -> Patterns | None:
        """The carries before each step, found in as many rounds as the loop remembers steps; None if these are many."""
        first = self.call.patterns[: self.carried]
        carries = [self._behind(None, p) for p in first]
        for _ in range(MEMORY):
            found = self.results(carries)
            after = [self._behind(p, f) for p, f in zip(found, first, strict=False)]
            if all(_same(c, a) for c, a in zip(carries, after, strict=True)):
                end = 0 if self.reverse else self.length - 1
                last = [
                    None if p is None else p.with_ids(p.ids[end]).or_none() for p in found[: self.carried]
                ]
                return (*last, *found[self.carried :])
            carries = after
        return None

    def _behind(self, p: Pattern | None, first: Pattern | None) -> Pattern | None:
        """What is carried out of each step as what is carried into the next, with `first` into the first."""
        some = p or first
        if some is None:
            return None
        shape = some.shape[1:] if p is not None else some.shape
        entries = np.arange(prod(shape)).reshape(shape)
        steps = np.arange(self.length).reshape(-1, *[1] * len(shape))
        begin = self.length - 1 if self.reverse else 0
        parts = []
        if p is not None:
            before = steps + 1 if self.reverse else steps - 1
            parts.append(p.take(np.where(steps == begin, -1, before * entries.size + entries)))
        if first is not None:
            parts.append(first.take(np.where(steps == begin, entries, -1)))
        return beside([part for part in parts if part is not None])


def _at_rest(call: Call, body: Graph, propagate: Propagate) -> list[Pattern | None]:
    """What carries may depend on after any number of steps: a fixed point.

    The body takes carries, slices of what is scanned, constants, and perhaps masks of its own.
    """
    params, context = call.params, call.context
    nk, nx = params["carries"], params.get("scanned", 0)
    outs, ins = body.out_avals, body.in_avals
    scanned, consts = call.patterns[nk : nk + nx], call.patterns[nk + nx :]
    masks = [None] * (len(ins) - len(call.avals))
    any_slice = [None if p is None else _first(reduced(p, (-p.ids.ndim,), context.most)) for p in scanned]
    fixed = _integers(call, range(nk + nx, len(call.avals)))
    values = Values(body, [*[None] * (nk + nx), *fixed, *masks], call.values.dtype, context.step)
    carries = list(call.patterns[:nk])
    for _ in range(ROUNDS):
        found = propagate(body, [*carries, *any_slice, *consts, *masks], values, context)
        after = [_either(c, f, context.most) for c, f in zip(carries, found, strict=False)]
        if all(_same(c, a) for c, a in zip(carries, after, strict=True)):
            return carries
        carries = after
    sources = [p for p in call.patterns if p is not None]
    return [anything(sources, a.shape) if a.floating else None for a in outs[:nk]]


def _first(p: Pattern | None) -> Pattern | None:
    """Without the leading axis of size 1."""
    return None if p is None else p.reshape(p.shape[1:])


def _either(p: Pattern | None, q: Pattern | None, most: int) -> Pattern | None:
    if p is None or q is None:
        return q if p is None else p
    return union([p, q], most)


def _same(p: Pattern | None, q: Pattern | None) -> bool:
    """Whether the larger pattern q, made of p and something else, is p."""
    return p is q or (p is not None and q is not None and p.count == q.count)


def cond(call: Call, propagate: Propagate) -> Patterns:
    """The union over both branches, since the structure is to hold wherever the condition may."""
    context = call.context
    integers = _integers(call, range(1, len(call.avals)))
    branches = []
    for name in ("then", "otherwise"):
        branch: Graph = call.params[name]
        values = Values(branch, integers, call.values.dtype, context.step)
        branches.append(propagate(branch, call.patterns[1:], values, context))
    return tuple(_either(p, q, context.most) for p, q in zip(*branches, strict=True))


def while_loop(call: Call, propagate: Propagate) -> Patterns:
    """What any number of steps makes of the carries; the number itself is an integer."""
    return (*_at_rest(call, call.params["body"], propagate), None)


def inlined(call: Call, propagate: Propagate) -> Patterns:
    """That of the body: a barrier lets all through."""
    body: Graph = call.params["body"]
    values = Values(body, _integers(call, range(len(call.avals))), call.values.dtype, call.context.step)
    return tuple(propagate(body, call.patterns, values, call.context))


def custom(call: Call, propagate: Propagate) -> Patterns:
    """That of the derivative which was given, in its tangents; of a pullback alone nothing is known."""
    forward: Graph | None = call.params["forward"]
    floats = [k for k, a in enumerate(call.avals) if a.floating]
    if forward is None:
        sources = [p for p in call.patterns if p is not None]
        return tuple(anything(sources, a.shape) if a.floating else None for a in call.results)
    values = Values(
        forward,
        [*_integers(call, range(len(call.avals))), *[None] * len(floats)],
        call.values.dtype,
        call.context.step,
    )
    given = [*[None] * len(call.avals), *(call.patterns[k] for k in floats)]
    found = iter(propagate(forward, given, values, call.context))
    return tuple(next(found) if a.floating else None for a in call.results)


def implicit(call: Call, propagate: Propagate) -> Patterns:
    """y with f(y, θ) = 0: ẏ solves (∂f/∂y) ẏ = −(∂f/∂θ) θ̇, which mixes the entries of each member unless ∂f/∂y is diagonal."""
    residual: Graph = call.params["residual"]
    context = call.context
    values = Values(
        residual,
        [None, *_integers(call, range(1, len(call.avals)))],
        call.values.dtype,
        context.step,
    )
    (p,) = propagate(residual, [None, *call.patterns[1:]], values, context)
    if p is not None and not call.params["diagonal"]:
        p = reduced(p, (-1,), context.most)
        p = p if p is None else p.spread(call.results[0].shape)
    return (p, *[None] * (len(call.results) - 1))


LOOPS: dict[str, Callable[[Call, Propagate], Patterns]] = {
    "core.scan": scan,
    "core.cond": cond,
    "core.while": while_loop,
    "core.checkpoint": inlined,
    "core.custom": custom,
    "core.implicit": implicit,
}
"""Ops that hold graphs, and what these say of their structure. Any other is taken to mix everything."""
