"""How the entries of one op's result depend on those of its operands: found from what the op declares, for every op.

- *Elementwise* ops say so: entry by entry.
- A *linear* op is asked. Applied to the numbers of its operand's entries it either moves them (views, indexing, concat,
  windows), which a second application to random numbers confirms, or its transpose does (sums, scatter, fold). A small
  one that does neither shows its matrix when it is applied to an identity.
- What is left *mixes*: along its `axis` or `axes`, if it has such a parameter and its shapes are those of a reduction or
  a map along axes; else the axes that are no batch. That an op is its own map over leading axes is what `vmap` rests on.

Matrix products and indices that are not known have rules of their own here, loops and choices in `loops`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any, TypeAlias

import numpy as np
import scipy.sparse as sp

from engine.aval import Array, Aval, Avals, Shape, kept_axes, without_axes
from engine.builder import EagerBuilder, Var
from engine.errors import EngineError
from engine.graph import Node, single
from engine.op import Linear, Op, Partial, Zero
from engine.sparsity.known import Values
from engine.sparsity.pattern import Pattern, anything, beside, combined, grouped, union

MATRIX_ENTRIES = 1 << 20
"""Largest matrix of a linear op that is made to look at its nonzeros."""

Patterns: TypeAlias = "Pattern | tuple[Pattern | None, ...] | None"


@dataclass
class Context:
    """What all nodes of one walk share."""

    columns: int
    most: int
    elements: int
    memory: int
    step: Callable[[], None]
    _numbers: dict[tuple[Shape, int], Array] = field(default_factory=dict)
    _random: dict[tuple[Shape, int], Array] = field(default_factory=dict)

    def numbers(self, shape: Shape, first: int) -> Array:
        """`first`, `first` + 1, … in a shape, as floats (exact up to 2⁵³)."""
        found = self._numbers.get((shape, first))
        if found is None:
            found = np.arange(first, first + prod(shape), dtype=np.float64).reshape(shape)
            if found.size > 64:
                self._keep(self._numbers, (shape, first), found)
        return found

    def random(self, shape: Shape, first: int) -> Array:
        """Numbers of which no two have a simple relation; always the same."""
        found = self._random.get((shape, first))
        if found is None:
            found = np.random.default_rng(first).uniform(1.0, 2.0, shape)
            if found.size > 64:
                self._keep(self._random, (shape, first), found)
        return found

    @staticmethod
    def _keep(cache: dict[tuple[Shape, int], Array], key: tuple[Shape, int], value: Array) -> None:
        if len(cache) >= 16:
            cache.pop(next(iter(cache)))
        value.setflags(write=False)
        cache[key] = value


@dataclass
class Call:
    """One node: the op, its operands' avals and patterns, and where their values come from."""

    node: Node
    avals: tuple[Aval, ...]
    patterns: list[Pattern | None]
    values: Values
    context: Context

    @property
    def op(self) -> Op:
        return self.node.op

    @property
    def params(self) -> dict[str, Any]:
        return dict(self.node.params)

    @property
    def results(self) -> tuple[Aval, ...]:
        aval = self.node.aval
        return (aval,) if isinstance(aval, Aval) else aval

    def known(self, k: int) -> Any:
        """Value of operand `k`, None if it is not known."""
        return self.values.known(self.node.inputs[k])

    def live(self) -> list[int]:
        """Operands through which the result depends on a seed."""
        found = []
        for k, p in enumerate(self.patterns):
            if p is None:
                continue
            rule = self.op.rule(k)
            if not isinstance(rule, Zero) and not (isinstance(rule, Partial) and rule.formula.zero):
                found.append(k)
        return found


def flow(call: Call) -> Patterns:
    """Patterns of the node's results (None where a result holds integers, or depends on no seed)."""
    live = call.live()
    op = call.op
    several = not isinstance(call.node.aval, Aval)
    if not live:
        return (None,) * len(call.results) if several else None
    if several:
        return tuple(_mixed(call, live, aval) if aval.floating else None for aval in call.results)
    aval = call.results[0]
    if not aval.floating or not aval.size:
        return None
    own = RULES.get(op.name)
    if own is not None:
        return own(call, live)
    if op.elementwise:
        return _entrywise(call, live, aval)
    if all(isinstance(op.rule(k), Linear) for k in live):
        found = _linear(call, live, aval)
        if found is not _UNDECIDED:
            return found  # type: ignore[no-any-return]  # a pattern, or None
    return _mixed(call, live, aval)


def _entrywise(call: Call, live: Sequence[int], aval: Aval) -> Pattern:
    shape = aval.shape
    return union([call.patterns[k].spread(shape) for k in live], call.context.most)  # type: ignore[union-attr]  # live ones are there


# ------------------------------------------------------------------------------------------------------ linear ops

_UNDECIDED = object()


def _linear(call: Call, live: Sequence[int], aval: Aval) -> Any:
    """The pattern of an op that is linear in the live operands, from what it does to numbers; `_UNDECIDED` if that is
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
                return _UNDECIDED
            fixed[k] = value
        inside = [k for k in group if k in live]
        for attempt in (_moves, _gathers, _matrix):
            found = attempt(call, group, inside, fixed, aval)
            if found is not _UNDECIDED:
                break
        else:
            return _UNDECIDED
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


def _moves(
    call: Call, group: Sequence[int], live: Sequence[int], fixed: Mapping[int, Any], aval: Aval
) -> Any:
    """For an op that moves entries: applied to their numbers it says which is where."""
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
    places = _places(_applied(call, numbers), _applied(call, random), flat)
    if places is None:
        return _UNDECIDED
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


def _gathers(
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
                return _UNDECIDED
            images.append(np.asarray(back))
        targets = _places(images[0], images[1], random.reshape(-1))
        if targets is None:
            return _UNDECIDED
        part = grouped(call.patterns[k], targets, aval.shape, context.most)  # type: ignore[arg-type]  # it is live
        if part is not None:
            parts.append(part)
    return union(parts, context.most) if parts else None


def _matrix(
    call: Call, group: Sequence[int], live: Sequence[int], fixed: Mapping[int, Any], aval: Aval
) -> Any:
    """For a small linear op: the nonzeros of its matrix, which it shows when mapped over an identity."""
    if len(group) != 1 or type(call.op).vmap is not Op.vmap:
        return _UNDECIDED
    (k,) = group
    batch, params = leading(call, aval)
    if fixed:
        batch, params = 0, call.params
    lead, shape = aval.shape[:batch], call.avals[k].shape[batch:]
    size, out = prod(shape), prod(aval.shape[batch:])
    if size * out > MATRIX_ENTRIES or not size:
        return _UNDECIDED
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
        return _UNDECIDED
    matrix = sp.csr_array(np.asarray(image).reshape(size, out).T != 0)
    members = prod(lead)
    if members != 1:
        matrix = sp.kron(sp.eye_array(members, dtype=bool, format="csr"), matrix, format="csr")
    return combined(matrix, call.patterns[k], aval.shape, call.context.most)  # type: ignore[arg-type]  # it is live


# ------------------------------------------------------------------------------------------------------ mixing ops


def _mixed(call: Call, live: Sequence[int], aval: Aval) -> Pattern | None:
    """Dense along the axes that the op works on, the others kept apart."""
    context = call.context
    if not aval.size:
        return None
    axes = _named_axes(call)
    if axes is not None and not call.op.subgraphs:
        shape = call.avals[live[0]].shape
        if all(call.avals[k].shape == shape for k in live) and -min(axes) <= len(shape):
            kept = kept_axes(shape, axes)
            if aval.shape in (without_axes(shape, axes), kept):
                return _along(call, live, axes, kept, aval.shape)
            if len(aval.shape) == len(shape) and kept_axes(aval.shape, axes) == kept:
                return _along(call, live, axes, kept, kept, aval.shape)
    batch, _ = leading(call, aval)
    parts = []
    lead = aval.shape[:batch]
    for k in live:
        p, shape = call.patterns[k], call.avals[k].shape
        assert p is not None
        if not batch:
            part = anything([p], aval.shape)
        else:
            members = np.arange(prod(lead)).reshape(*lead, *[1] * (len(shape) - batch))
            part = grouped(p, np.broadcast_to(members, shape), lead, context.most)
            if part is not None:
                part = part.reshape((*lead, *[1] * (len(aval.shape) - batch))).spread(aval.shape)
        if part is not None:
            parts.append(part)
    return union(parts, context.most) if parts else None


def reduced(p: Pattern, axes: Sequence[int], most: int) -> Pattern | None:
    """The union over axes (counted from the end), which stay with size 1."""
    kept = kept_axes(p.shape, tuple(axes))
    if kept == p.shape:
        return p
    targets = np.broadcast_to(np.arange(prod(kept)).reshape(kept), p.shape)
    return grouped(p, targets, kept, most)


def _along(
    call: Call, live: Sequence[int], axes: Sequence[int], kept: Shape, shape: Shape, wide: Shape | None = None
) -> Pattern | None:
    parts = []
    for k in live:
        p = call.patterns[k]
        assert p is not None
        part = reduced(p, axes, call.context.most)
        if part is not None:
            part = part.reshape(shape)
            parts.append(part if wide is None else part.spread(wide))
    return union(parts, call.context.most) if parts else None


def _named_axes(call: Call) -> tuple[int, ...] | None:
    """The axes that the params name, counted from the end; None if they name none."""
    for name in ("axes", "axis"):
        value = call.params.get(name)
        axes = (value,) if isinstance(value, int) else value
        if isinstance(axes, tuple) and axes and all(type(a) is int and a < 0 for a in axes):
            return axes
    return None


def leading(call: Call, aval: Aval) -> tuple[int, dict[str, Any]]:
    """Over how many leading axes the op is its own map, and its params without these."""
    op, params = call.op, call.params
    if type(op).vmap is not Op.vmap or op.subgraphs or not call.avals:
        return 0, params
    named = _named_axes(call)
    most = min(len(a.shape) for a in (*call.avals, *call.results))
    if named is not None:
        most = min(len(a.shape) for a in call.avals) + min(named)
    avals, results, batch = call.avals, call.results, 0
    while batch < most:
        size = avals[0].shape[0]
        if any(a.shape[0] != size for a in (*avals, *results)):
            break
        inner = _unbatched(op, size, params)
        if inner is None:
            break
        avals, results = _inner(avals), _inner(results)
        try:
            inferred: Avals = op.infer(*avals, **inner)
        except (EngineError, IndexError, ValueError):
            break
        if (inferred if not isinstance(inferred, Aval) else (inferred,)) != results:
            break
        params = inner
        batch += 1
    return batch, params


def _inner(avals: Sequence[Aval]) -> tuple[Aval, ...]:
    return tuple(Aval(a.shape[1:], a.dtype) for a in avals)


def _unbatched(op: Op, size: int, params: dict[str, Any]) -> dict[str, Any] | None:
    """Params which `Op.batched` makes these of; None if there are none."""
    if dict(op.batched(size, params)) == params:
        return params
    inner = {k: v[1:] if isinstance(v, tuple) and v[:1] == (size,) else v for k, v in params.items()}
    return inner if dict(op.batched(size, inner)) == params else None


# -------------------------------------------------------------------------------------------------- rules by name


def _matmul(call: Call, live: Sequence[int]) -> Pattern | None:
    """[…, m, k] @ […, k, n]: entry (i, j) depends on row i of the one and column j of the other.

    Exact zeros of a factor that is a constant of the program are structural; those of an input are not.
    """
    context, aval = call.context, call.results[0]
    parts = []
    for k in live:
        p = call.patterns[k]
        assert p is not None
        other = call.values.constant(call.node.inputs[1 - k]) if call.patterns[1 - k] is None else None
        if other is not None and not np.all(other):
            part = _by_constant(p, np.asarray(other), k, aval.shape, context.most)
        else:
            part = reduced(p, (-1,) if k == 0 else (-2,), context.most)
            part = part if part is None else part.spread(aval.shape)
        if part is not None:
            parts.append(part)
    return union(parts, context.most) if parts else None


def _by_constant(p: Pattern, other: Array, k: int, shape: Shape, most: int) -> Pattern | None:
    """A product with a constant: row (i, j) of its matrix names the entries that meet a nonzero of the constant."""
    m, n = shape[-2:]
    at = np.argwhere(other != 0)
    member = (
        np.ravel_multi_index(tuple(at[:, :-2].T), other.shape[:-2])
        if other.ndim > 2
        else np.zeros(len(at), int)
    )
    if k == 0:  # p is […, m, q], the constant […, q, n]
        q, times, fixed = other.shape[-2], m, at[:, -1]
        inner = at[:, -2]
        free = np.arange(m)
        rows = (member[:, None] * m + free) * n + fixed[:, None]
        columns = (member[:, None] * m + free) * q + inner[:, None]
    else:  # p is […, q, n], the constant […, m, q]
        q, times, fixed = other.shape[-1], n, at[:, -2]
        inner = at[:, -1]
        free = np.arange(n)
        rows = (member[:, None] * m + fixed[:, None]) * n + free
        columns = (member[:, None] * q + inner[:, None]) * n + free
    count = len(at) * times
    matrix = sp.csr_array(
        (np.ones(count, bool), (rows.reshape(-1), columns.reshape(-1))), shape=(prod(shape), p.ids.size)
    )
    return combined(matrix, p, shape, most)


def _gather(call: Call, live: Sequence[int]) -> Pattern | None:
    """Indices that are known say which entry is read; others may read any along the axis."""
    aval, params = call.results[0], call.params
    if call.known(1) is not None:
        found = _moves(call, [0], [0], {1: call.known(1)}, aval)
        assert found is not _UNDECIDED
        return found  # type: ignore[no-any-return]  # a pattern, or None
    (x, indices), axis, batch = call.avals, params["axis"], params["batch_dims"]
    p = reduced(call.patterns[0], (axis,), call.context.most)  # type: ignore[arg-type]  # it is live
    if p is None:
        return None
    at = len(x.shape) + axis
    core = (*x.shape[:at], *[1] * (len(indices.shape) - batch), *x.shape[at + 1 :])
    return p.reshape(core).spread(aval.shape)


def _scatter_add(call: Call, live: Sequence[int]) -> Pattern | None:
    """Where the updates go is known if the indices are; else they may go anywhere along the axis."""
    aval, params, most = call.results[0], call.params, call.context.most
    parts = [p for p in call.patterns[:1] if p is not None]
    if 2 in live:
        indices = call.known(1)
        updates = call.patterns[2]
        assert updates is not None
        part: Any
        if indices is not None:
            part = _gathers(call, [0, 2], [2], {1: indices}, aval)
            assert part is not _UNDECIDED
        else:
            at, batch = len(aval.shape) + params["axis"], params["batch_dims"]
            count = len(call.avals[1].shape) - batch
            axes = tuple(range(at - len(updates.shape), at - len(updates.shape) + count))
            part = reduced(updates, axes, most)
            if part is not None:
                core = (*aval.shape[:at], 1, *aval.shape[at + 1 :])
                part = part.reshape(core).spread(aval.shape)
        if part is not None:
            parts.append(part)
    return union(parts, most) if parts else None


RULES: dict[str, Callable[[Call, Sequence[int]], Pattern | None]] = {
    "matmul": _matmul,
    "gather": _gather,
    "scatter_add": _scatter_add,
}
"""What cannot be seen from the outside, by op."""


def call_of(nodes: Sequence[Node], i: int, patterns: Sequence[Any], values: Values, context: Context) -> Call:
    """Node `i` as a call."""
    node = nodes[i]
    avals = tuple(single(nodes[j].aval) for j in node.inputs)
    return Call(node, avals, [patterns[j] for j in node.inputs], values, context)
