"""Structure through loops and choices.

A short loop is followed step by step, with the integers that are known in each step. Of a long one the carries are
brought to a fixed point (what any step can make of them), and what it yields at each step is found for all steps at
once, the body mapped. A choice depends on what either branch depends on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from engine.aval import Aval
from engine.graph import Graph
from engine.sparsity.known import Values
from engine.sparsity.local import Call, Patterns, reduced
from engine.sparsity.pattern import Pattern, anything, concatenated, union
from engine.transforms.vmap import vmap

FOLLOWED = 20_000
"""Nodes that are visited in following a loop step by step; a longer one is taken as a whole."""
ROUNDS = 64
"""Rounds in which carries may come to rest; then they depend on all that they might."""

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
            body, [*held, *(None if x is None else x[t] for x in slices), *fixed], call.values.dtype, context.step
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
    params, context = call.params, call.context
    nk, nx, n = params["carries"], params["scanned"], params["length"]
    scanned, consts = call.patterns[nk : nk + nx], call.patterns[nk + nx :]
    outs = body.out_avals
    any_slice = [
        None if p is None else _first(reduced(p, (-p.ids.ndim,), context.most)) for p in scanned
    ]
    fixed = _integers(call, range(nk + nx, len(call.avals)))
    unknown = Values(body, [None] * (nk + nx) + fixed, call.values.dtype, context.step)
    carries = list(call.patterns[:nk])
    for _ in range(ROUNDS):
        found = propagate(body, [*carries, *any_slice, *consts], unknown, context)
        after = [_either(c, f, context.most) for c, f in zip(carries, found, strict=False)]
        rest = all(_same(c, a) for c, a in zip(carries, after, strict=True))
        carries = after
        if rest:
            break
    else:
        sources = [p for p in (*call.patterns,) if p is not None]
        carries = [anything(sources, a.shape) if a.floating else None for a in outs[:nk]]
    if len(outs) == nk:
        return tuple(carries)
    flags = [True] * (nk + nx) + [False] * len(consts)
    largest = max((a.size for node in body.nodes if isinstance(a := node.aval, Aval)), default=1)
    if n * largest > context.elements:
        sources = [p for p in (*carries, *scanned, *consts) if p is not None]
        ys = [anything(sources, (n, *a.shape)) if a.floating and sources else None for a in outs[nk:]]
        return (*carries, *ys)
    mapped, leads = vmap(body, n, flags, call.values.dtype)
    batched = [
        None if p is None else p.with_ids(np.broadcast_to(p.ids, (n, *p.ids.shape))) for p in carries
    ]
    slices = _integers(call, range(nk, nk + nx))
    values = Values(mapped, [*[None] * nk, *slices, *fixed], call.values.dtype, context.step)
    found = propagate(mapped, [*batched, *scanned, *consts], values, context)
    ys = []
    for p, led, a in zip(found[nk:], leads[nk:], outs[nk:], strict=True):
        ys.append(p if p is None or led else p.with_ids(np.broadcast_to(p.ids, (n, *a.shape))))
    return (*carries, *ys)


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


LOOPS: dict[str, Callable[[Call, Propagate], Patterns]] = {"core.scan": scan, "core.cond": cond}
"""Ops that hold graphs which say what they do."""
