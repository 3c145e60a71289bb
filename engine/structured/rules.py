"""Rules for values that are terms: what a linear op makes of them without the array of all seeds.

A rule returns None where it does not apply. All of them rest on linearity: what an op does to one term, it does to their sum.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

import numpy as np

from engine.aval import Array, Aval
from engine.op import Linear
from engine.sparsity.linear import places_of
from engine.structured.place import way_of
from engine.structured.value import Dense, Outer, Term, Terms, Value, only_seed
from engine.structured.walk import Walk

UNARY = frozenset({"negative", "positive", "identity", "cast"})
FACTORS = {"multiply": (0, 1), "divide": (0,)}
"""Products, and the operands in which they are linear."""
SPLIT = 4
"""Longest axis that is summed slice by slice, so that each slice keeps its seeds."""


def entrywise(walk: Walk, i: int) -> Value:
    """Elementwise ops: the entries change, their seeds stay."""
    node, aval = walk.nodes[i], walk.nodes[i].aval
    name, live = node.op.name, walk.live(i)
    if not isinstance(aval, Aval) or any(walk.aval(node.inputs[k]).shape != aval.shape for k in live):
        return None
    parts = _parts(walk, i, live)
    if name in UNARY or (name in FACTORS and len(live) == 1 and live[0] in FACTORS[name]):
        return None if parts is None else _applied(walk, i, live[0], parts[live[0]], aval)
    if name in ("add", "subtract"):
        if any(not walk.zero(node.inputs[k]) for k in (0, 1) if k not in live):
            return None
        if parts is None:
            return _added(walk, i, name) if len(live) == 2 else None
        p, q = parts.get(0, Terms(())), parts.get(1, Terms(()))
        if name == "subtract":
            q = _negative(walk, q)
        return walk.merged([*p.terms, *q.terms], aval, [*p.outers, *q.outers])
    if name == "where" and parts is not None and 0 not in live:
        if any(not walk.zero(node.inputs[k]) for k in (1, 2) if k not in live):
            return None
        nothing = walk.b.zeros(aval)
        chosen = {k: (lambda ref, k=k: walk.emit(i, {1: nothing, 2: nothing} | {k: ref})) for k in live}
        return walk.merged(
            [Term(chosen[k](t.ref), t.seeds) for k in live for t in parts[k].terms],
            aval,
            [Outer(chosen[k](t.ref), t.over, t.there) for k in live for t in parts[k].outers],
        )
    return None


def _applied(walk: Walk, i: int, k: int, value: Terms, aval: Aval) -> Value:
    """Node i, for which entries keep their seeds, of each part of its operand k."""
    return walk.merged(
        [Term(walk.emit(i, {k: t.ref}), t.seeds) for t in value.terms],
        aval,
        [Outer(walk.emit(i, {k: t.ref}), t.over, t.there) for t in value.outers],
    )


def _negative(walk: Walk, value: Terms) -> Terms:
    return Terms(
        tuple(Term(walk.core("negative", t.ref), t.seeds) for t in value.terms),
        tuple(Outer(walk.core("negative", t.ref), t.over, t.there) for t in value.outers),
    )


def _added(walk: Walk, i: int, name: str) -> Value:
    """Terms and the array of all seeds: the terms are added where they belong."""
    p, q = (walk.value[j] for j in walk.nodes[i].inputs)
    if isinstance(p, Dense) and isinstance(q, Terms):
        base, terms = p, _negative(walk, q) if name == "subtract" else q
    elif isinstance(p, Terms) and isinstance(q, Dense):
        base, terms = Dense(walk.core("negative", q.ref), q.last) if name == "subtract" else q, p
    else:
        return None
    return Dense(walk.added(base.ref, terms, walk.aval(i), base.last), base.last)


def _parts(walk: Walk, i: int, live: Sequence[int]) -> dict[int, Terms] | None:
    """What the live operands hold, if none is written out."""
    found = {}
    for k in live:
        value = walk.value[walk.nodes[i].inputs[k]]
        if not isinstance(value, Terms):
            return None
        found[k] = value
    return found


def moved(walk: Walk, i: int) -> Value:
    """Ops that move entries (reshape, slice, concat, a gather at constant indices): the seeds are moved with them."""
    live = walk.live(i)
    op, aval = walk.nodes[i].op, walk.nodes[i].aval
    held = _parts(walk, i, live)
    rules = [op.rule(k) for k in range(len(walk.nodes[i].inputs))]
    if held is None or not isinstance(aval, Aval) or not all(isinstance(rules[k], Linear) for k in live):
        return None
    joint = [k for k, r in enumerate(rules) if isinstance(r, Linear) and r.joint]
    group = joint if set(live) <= set(joint) else live
    if len(group) > 1 and group is not joint:
        return None
    call = walk.call(i)
    fixed: dict[int, Any] = {}
    for k, a in enumerate(call.avals):
        if k in group:
            if k not in live and not walk.zero(walk.nodes[i].inputs[k]):
                return None
            continue
        if a.floating or (value := call.known(k)) is None:
            return None
        fixed[k] = value
    places = places_of(call, group, fixed)
    if places is None:
        return None
    nothing = {k: walk.b.zeros(call.avals[k]) for k in group if len(group) > 1}
    everywhere = len(group) == 1 and bool((places >= 0).all())

    def emit(refs: Mapping[int, int]) -> int:
        constant = walk.constant_of(refs[group[0]]) if everywhere else None
        return walk.emit(i, refs) if constant is None else walk.filled(constant, aval)

    parts = []
    for n in range(max(len(value.terms) for value in held.values())):
        refs, seeds = dict(nothing), [np.full(1, -1)]
        for k in group:
            one = held[k].terms[n] if k in live and n < len(held[k].terms) else None
            seeds.append(np.full(call.avals[k].size, -1) if one is None else one.seeds.reshape(-1))
            if one is not None:
                refs[k] = one.ref
        parts.append(Term(emit(refs), np.asarray(np.concatenate(seeds)[places + 1])))
    outers = []
    for k in live:
        for t in held[k].outers:
            flags = [np.zeros(1, bool)]
            flags += [t.there.reshape(-1) if m == k else np.zeros(call.avals[m].size, bool) for m in group]
            there = np.asarray(np.concatenate(flags)[places + 1])
            if there.any():
                outers.append(Outer(emit(nothing | {k: t.ref}), t.over, there))
    return walk.merged(parts, aval, outers)


def alike(walk: Walk, i: int) -> Value:
    """Any op that is linear in one operand, of outer products, and of terms all of whose entries have the same seed."""
    node, live = walk.nodes[i], walk.live(i)
    if not isinstance(node.aval, Aval) or len(live) != 1 or node.op.subgraphs:
        return None
    (k,) = live
    rule = node.op.rule(k)
    held = _parts(walk, i, live)
    if held is None or not isinstance(rule, Linear) or rule.joint:
        return None
    seeds = [only_seed(t.seeds) for t in held[k].terms]
    if any(s is None for s in seeds):
        return None
    terms = [
        Term(walk.emit(i, {k: t.ref}), np.full(node.aval.shape, s))
        for t, s in zip(held[k].terms, seeds, strict=True)
    ]
    there = np.ones(node.aval.shape, bool)
    outers = [Outer(walk.emit(i, {k: t.ref}), t.over, there) for t in held[k].outers]
    return walk.merged(terms, node.aval, outers)


def summed(walk: Walk, i: int) -> Value:
    """Sums: of entries of one seed as they are, over a short axis slice by slice, else laid out: the sum of a diagonal is
    its vector."""
    node, aval = walk.nodes[i], walk.nodes[i].aval
    if node.op.name != "sum" or not isinstance(aval, Aval):
        return None
    (j,) = node.inputs
    value, before = walk.value[j], walk.aval(j)
    if not isinstance(value, Terms):
        return None
    axes = dict(node.params)["axes"]
    outer = [a - before.rank for a in range(before.rank) if a - before.rank not in axes]
    order = [*outer, *axes]
    count = prod(before.shape[a] for a in axes)
    turned = [_turned(t.seeds, order, (*aval.shape, count)) for t in value.terms]
    commons = [_common(seeds) for seeds in turned]
    outers = [
        Outer(
            walk.emit(i, {0: t.ref}),
            t.over,
            np.asarray(_turned(t.there, order, (*aval.shape, count)).any(axis=-1)),
        )
        for t in value.outers
    ]
    if count and all(c is not None for c in commons):
        refs = [walk.emit(i, {0: t.ref}) for t in value.terms]
        terms = [Term(r, c) for r, c in zip(refs, commons, strict=True) if c is not None]
        return walk.merged(terms, aval, outers)
    if 0 < count <= SPLIT and aval.size > 1:
        parts = []
        for t, seeds in zip(value.terms, turned, strict=True):
            ref = walk.core("permute_dims", t.ref, axes=tuple(order))
            ref = walk.reshape(ref, (*aval.shape, count))
            for k in range(count):
                index = (*[(0, n, 1) for n in aval.shape], (k, k + 1, 1))
                parts.append(
                    Term(walk.reshape(walk.core("slice", ref, index=index), aval.shape), seeds[..., k])
                )
        return walk.merged(parts, aval, outers)
    if not value.terms:
        return walk.merged((), aval, outers)
    inverse = np.argsort([a + before.rank for a in order])
    kept = [before.shape[a] for a in order]
    own = np.repeat(np.arange(aval.size), count).reshape(kept).transpose(inverse)
    targets = []
    for t in value.terms:
        found = own * walk.count + t.seeds if walk.last else t.seeds * aval.size + own
        targets.append(np.where(t.seeds >= 0, found, -1))
    laid = Dense(walk.placed(walk.full(aval, walk.last), value.terms, targets), walk.last)
    if aval.size == 1:
        sums = walk.scalar(laid, aval)
        assert isinstance(sums, Terms)
        return walk.merged((), aval, [*sums.outers, *outers])
    if outers:
        return Dense(walk.added(laid.ref, Terms((), tuple(outers)), aval, laid.last), laid.last)
    return laid


def _turned(seeds: Array, order: Sequence[int], shape: Sequence[int]) -> Array:
    return seeds.transpose([a + seeds.ndim for a in order]).reshape(shape)


def _common(seeds: Array) -> Array | None:
    """For each row the one seed that is in it (−1: none); None if a row has several."""
    if not seeds.shape[-1]:
        return None
    most = np.asarray(seeds.max(axis=-1))
    return most if bool(((seeds == most[..., None]) | (seeds < 0)).all()) else None


def spread(walk: Walk, i: int) -> Value:
    """Products of matrices over an axis of one entry: each result is a product of two numbers."""
    node, aval, live = walk.nodes[i], walk.nodes[i].aval, walk.live(i)
    if node.op.name != "matmul" or len(live) != 1 or not isinstance(aval, Aval):
        return None
    (k,) = live
    value, mine = walk.value[node.inputs[k]], walk.aval(node.inputs[k])
    if not isinstance(value, Terms) or mine.shape[-1 if k == 0 else -2] != 1:
        return None
    return walk.merged(
        [Term(walk.emit(i, {k: t.ref}), np.broadcast_to(t.seeds, aval.shape)) for t in value.terms],
        aval,
        [Outer(walk.emit(i, {k: t.ref}), t.over, np.broadcast_to(t.there, aval.shape)) for t in value.outers],
    )


def scaled(walk: Walk, i: int) -> Value:
    """Products of a matrix with a diagonal: its columns or rows, scaled."""
    node = walk.nodes[i]
    live = walk.live(i)
    if node.op.name != "matmul" or len(live) != 1:
        return None
    (k,) = live
    value, mine, aval = walk.value[node.inputs[k]], walk.aval(node.inputs[k]), walk.aval(i)
    if not isinstance(value, Terms) or not value.terms or mine.rank != 2 or mine.shape[k] != 1:
        return None
    length = mine.shape[1 - k]
    found = []
    for term in value.terms:
        way = way_of(term.seeds)
        if way is None or not isinstance(way.read, slice) or not isinstance(way.write, slice):
            return None
        if (way.read.step or 1) != 1:
            return None
        found.append((term, way.read, way.write))
    # The matrix with the summed axis last, or first where the axis of seeds leads.
    other, last = walk.place[node.inputs[1 - k]], walk.last
    if (k == 0) == last:
        other = walk.core("permute_dims", other, axes=(-1, -2))
    free = prod(aval.shape)
    total: int | None = None
    for term, read, write in found:
        vector, matrix = walk.reshape(term.ref, (length,)), other
        taken = (read.start, read.stop, 1)
        if taken != (0, length, 1):
            vector = walk.core("slice", vector, index=(taken,))
            both = ((0, free, 1), taken) if last else (taken, (0, free, 1))
            matrix = walk.core("slice", matrix, index=both)
        n = read.stop - read.start
        shape = (free, n) if last else (n, free)
        scale = walk.stretched(walk.reshape(vector, (1, n) if last else (n, 1)), shape)
        part = walk.core("multiply", matrix, scale)
        step = write.step or 1
        stop = write.start + step * (n - 1) + 1
        goal = (write.start, stop, step)
        if goal != (0, walk.count, 1):
            index = ((0, free, 1), goal) if last else (goal, (0, free, 1))
            whole = (free, walk.count) if last else (walk.count, free)
            part = walk.core("embed", part, index=index, shape=whole)
        total = part if total is None else walk.b.add(total, part)
    assert total is not None
    total = walk.reshape(total, walk.full(aval, last))
    there = np.ones(aval.shape, bool)
    outers = tuple(Outer(walk.emit(i, {k: t.ref}), t.over, there) for t in value.outers)
    return Dense(walk.added(total, Terms((), outers), aval, last), last)
