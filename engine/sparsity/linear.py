"""Linear ops are asked: what they do to numbers shows how their entries depend on one another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

import numpy as np
import scipy.sparse as sp

from engine.aval import Array, Aval
from engine.builder import EagerBuilder, Var
from engine.errors import EngineError
from engine.op import Linear, Op
from engine.sparsity.call import Call, leading
from engine.sparsity.pattern import beside, combined, grouped, union

MATRIX_ENTRIES = 1 << 20
"""Largest matrix of a linear op that is made to look at its nonzeros."""

UNDECIDED = object()


def linear(call: Call, live: Sequence[int], aval: Aval) -> Any:
    """The pattern of an op that is linear in the live operands, from what it does to numbers; `UNDECIDED` if that is
    not decided by shapes, params and integers alone, or shows nothing."""
    op, context = call.op, call.context
    joint = [k for k in range(len(call.avals)) if isinstance(r := op.rule(k), Linear) and r.joint]
    parts = []
    groups = [joint] if set(live) <= set(joint) else [[k] for k in live]
    for group in groups:
        fixed: dict[int, Any] = {}
        for k, a in enumerate(call.avals):
            if k in group:
                continue
            if a.floating or (value := call.known(k)) is None:
                return UNDECIDED
            fixed[k] = value
        inside = [k for k in group if k in live]
        for attempt in (moves, gathers, _matrix):
            found = attempt(call, group, inside, fixed, aval)
            if found is not UNDECIDED:
                break
        else:
            return UNDECIDED
        if found is not None:
            parts.append(found)
    return union(parts, context.most) if parts else None


def _applied(call: Call, arrays: Mapping[int, Array]) -> Any:
    """The op's value for these operands; None where it cannot be had."""
    try:
        with np.errstate(all="ignore"):
            return np.asarray(call.op.evaluate(*[arrays[k] for k in range(len(call.avals))], **call.params))
    except EngineError:
        return None


def _places(numbers: Any, image: Any, random: Array) -> Array | None:
    """Which entry (−1: none) each entry of a linear map's result is, or None if one is more than an entry.

    `numbers` is what the map makes of 1, 2, …, and `image` what it makes of `random`, those numbers' random partners. A
    combination Σ c·r of random numbers equals one of them only if it is that one.
    """
    if numbers is None or image is None:
        return None
    with np.errstate(invalid="ignore"):
        places = numbers.astype(np.int64) - 1
    if places.size and (places.min() < -1 or places.max() >= random.size):
        return None
    expected = np.concatenate([np.zeros(1), random])[places + 1]
    return places if np.array_equal(expected, image) else None


def places_of(call: Call, group: Sequence[int], fixed: Mapping[int, Any]) -> Array | None:
    """For an op that moves entries of the operands `group`: which of them (one behind the other; −1: none, a zero) each
    entry of the result is. Applied to their numbers, the op says so. None for an op that does anything else.
    """
    context = call.context
    numbers: dict[int, Array] = dict(fixed)
    random: dict[int, Array] = dict(fixed)
    first = 1
    for k in group:
        shape = call.avals[k].shape
        numbers[k], random[k] = context.numbers(shape, first), context.random(shape, first)
        first += call.avals[k].size
    flat = (
        random[group[0]].reshape(-1)
        if len(group) == 1
        else np.concatenate([random[k].reshape(-1) for k in group])
    )
    return _places(_applied(call, numbers), _applied(call, random), flat)


def moves(call: Call, group: Sequence[int], live: Sequence[int], fixed: Mapping[int, Any], aval: Aval) -> Any:
    """For an op that moves entries: where they come from."""
    places = places_of(call, group, fixed)
    if places is None:
        return UNDECIDED
    if len(group) == 1:
        return call.patterns[group[0]].take(places)  # type: ignore[union-attr]  # it is live
    parts, first = [], 0
    for k in group:
        size = call.avals[k].size
        if k in live:
            own = np.where((places >= first) & (places < first + size), places - first, -1)
            part = call.patterns[k].take(own)  # type: ignore[union-attr]  # it is live
            if part is not None:
                parts.append(part)
        first += size
    return beside(parts)


def gathers(
    call: Call, group: Sequence[int], live: Sequence[int], fixed: Mapping[int, Any], aval: Aval
) -> Any:
    """For an op whose transpose moves entries (sums are such): where each operand entry goes."""
    context = call.context
    b = EagerBuilder("float64")
    numbers, random = context.numbers(aval.shape, 1), context.random(aval.shape, 1)
    parts = []
    operands = [
        Var(b, fixed[k] if k in fixed else np.broadcast_to(np.zeros(()), a.shape))
        for k, a in enumerate(call.avals)
    ]
    for k in live:
        rule = call.op.rule(k)
        assert isinstance(rule, Linear)
        images = []
        for seed in (numbers, random):
            try:
                with np.errstate(all="ignore"):
                    back = rule.transpose(Var(b, seed[()]), k, operands, **call.params).ref
            except EngineError:
                return UNDECIDED
            images.append(np.asarray(back))
        targets = _places(images[0], images[1], random.reshape(-1))
        if targets is None:
            return UNDECIDED
        part = grouped(call.patterns[k], targets, aval.shape, context.most)  # type: ignore[arg-type]  # it is live
        if part is not None:
            parts.append(part)
    return union(parts, context.most) if parts else None


def _matrix(
    call: Call, group: Sequence[int], live: Sequence[int], fixed: Mapping[int, Any], aval: Aval
) -> Any:
    """For a small linear op: the nonzeros of its matrix, which it shows when mapped over an identity."""
    if len(group) != 1 or type(call.op).vmap is not Op.vmap:
        return UNDECIDED
    (k,) = group
    batch, params = leading(call, aval)
    if fixed:
        batch, params = 0, call.params
    lead, shape = aval.shape[:batch], call.avals[k].shape[batch:]
    size, out = prod(shape), prod(aval.shape[batch:])
    if size * out > MATRIX_ENTRIES or not size:
        return UNDECIDED
    arrays = {
        j: np.eye(size).reshape(size, *shape)
        if j == k
        else np.broadcast_to(fixed[j], (size, *np.shape(fixed[j])))
        for j in range(len(call.avals))
    }
    try:
        with np.errstate(all="ignore"):
            image = call.op.evaluate(
                *[arrays[j] for j in range(len(call.avals))], **call.op.batched(size, params)
            )
    except EngineError:
        return UNDECIDED
    matrix = sp.csr_array(np.asarray(image).reshape(size, out).T != 0)
    members = prod(lead)
    if members != 1:
        matrix = sp.kron(sp.eye_array(members, dtype=bool, format="csr"), matrix, format="csr")
    return combined(matrix, call.patterns[k], aval.shape, call.context.most)  # type: ignore[arg-type]  # it is live
