"""Terms written out: entries laid into zeros, or added to an array, at places that are known beforehand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from math import prod
from typing import Any, NamedTuple

import numpy as np

from engine.aval import Array, Aval, Avals, Shape
from engine.builder import Var, broadcast_to, call
from engine.graph import Constant
from engine.op import Into, Linear, Op, Params

Range = slice | Array
"""Positions: a slice where they are evenly spaced."""


class Way(NamedTuple):
    """Which entries of a term go where in the flat result; `repeated` if several go to one place."""

    read: Range
    write: Range
    repeated: bool


def way_of(targets: Array) -> Way | None:
    """The way of entries to flat `targets` (−1: nowhere); None if none goes anywhere."""
    flat = targets.reshape(-1)
    there = np.flatnonzero(flat >= 0)
    if not len(there):
        return None
    goals = flat[there]
    write = ranged(goals)
    repeated = not isinstance(write, slice) and not _distinct(goals)
    return Way(ranged(there), write, repeated)


def ranged(positions: Array) -> Range:
    """Positions in ascending order or none, as a slice if they are evenly spaced."""
    first = int(positions[0])
    if len(positions) == 1:
        return slice(first, first + 1)
    step = int(positions[1]) - first
    if step > 0 and bool((np.diff(positions) == step).all()):
        return slice(first, int(positions[-1]) + 1, step)
    return positions


def apart(ways: Sequence[Way | None], size: int) -> tuple[bool, bool]:
    """Whether no two entries go to one place of `size`; and whether they fill it."""
    if any(way is not None and way.repeated for way in ways):
        return False, False
    goals = [_numbers(way.write) for way in ways if way is not None]
    count = sum(map(len, goals))
    distinct = len(goals) < 2 or _distinct(np.concatenate(goals))
    return distinct, distinct and count == size


def _distinct(positions: Array) -> bool:
    ordered = np.sort(positions)
    return not bool((ordered[1:] == ordered[:-1]).any())


def _numbers(positions: Range) -> Array:
    if isinstance(positions, slice):
        return np.arange(positions.start, positions.stop, positions.step)
    return positions


def lay(
    ways: Sequence[Way | None], assigned: bool, parts: Sequence[Array], ranks: Sequence[int], flat: Array
) -> None:
    """Parts (their last `rank` axes are their own, the others are led by) laid into `flat` if `assigned`, else added."""
    for way, part, rank in zip(ways, parts, ranks, strict=True):
        if way is None:
            continue
        lead = np.ndim(part) - rank
        own = np.reshape(part, (*np.shape(part)[:lead], prod(np.shape(part)[lead:])))[..., way.read]
        if way.repeated:
            np.add.at(flat, (..., way.write), own)  # type: ignore[arg-type]  # it takes what indexing takes
        elif assigned:
            flat[..., way.write] = own
        else:
            flat[..., way.write] += own


def _taken(ct: Var, k: int, operands: Sequence[Var], **params: Any) -> Var:
    """Transpose: the entries of the cotangent at the places where those of operand k went."""
    targets = params["targets"]
    if params["base"]:
        if k == 0:
            return ct
        k -= 1
    where, rank = targets[k].value, len(params["shape"])
    lead = ct.shape[: ct.rank - rank]
    flat = ct.reshape((*lead, prod(ct.shape[ct.rank - rank :])))
    found = call(ct.b, "take", flat, ct.b.var(np.maximum(where, 0).reshape(-1)), axis=-1)
    there = broadcast_to(ct.b.var((where >= 0).reshape(-1)), found.shape)
    return call(ct.b, "where", there, found, 0.0).reshape((*lead, *where.shape))


class Place(Op):
    """Zeros of a trailing `shape`, or the first operand if `base`, to which operand k is added entry by entry, at flat
    `targets[k]` (−1: nowhere)."""

    name = "core.place"
    family = "core"
    internal = True
    rules = (Linear(_taken, joint=True),)

    def infer(self, *avals: Aval, **params: Any) -> Avals:
        """Leading axes of the operands, then `shape`."""
        term, rank = avals[-1], params["targets"][-1].value.ndim
        return Aval(term.shape[: term.rank - rank] + tuple(params["shape"]), term.dtype)

    def evaluate(self, *arrays: Any, **params: Any) -> Any:
        """A new array."""
        x, rank = np.asarray(arrays[-1]), params["targets"][-1].value.ndim
        out: Array = np.empty(x.shape[: x.ndim - rank] + tuple(params["shape"]), x.dtype)
        _write(*_compiled(params), *arrays, out)
        return out

    def into(self, avals: Sequence[Aval], params: Params) -> Into | None:
        """The same into memory that is there; over the base."""
        given = dict(params)
        return Into(partial(_write, *_compiled(given)), (0,) if given["base"] else ())

    def flops(self, operands: Sequence[Aval], result: Avals, **params: Any) -> float:
        """One for each entry laid; zeros are written."""
        assert isinstance(result, Aval)
        entries = sum(c.value.size for c in params["targets"])
        return float(entries + (0 if params["base"] else result.size // 8))


PLACE = Place()


def _compiled(params: Mapping[str, Any]) -> tuple[list[Way | None], list[int], int, bool]:
    targets = [c.value for c in params["targets"]]
    return [way_of(t) for t in targets], [t.ndim for t in targets], len(params["shape"]), params["base"]


def _write(ways: list[Way | None], ranks: list[int], rank: int, base: bool, *arrays: Any) -> None:
    *parts, out = arrays
    if base:
        if parts[0] is not out:
            np.copyto(out, parts[0])
        parts = parts[1:]
    else:
        out.fill(0)
    flat = out.view()
    flat.shape = (*out.shape[: out.ndim - rank], prod(out.shape[out.ndim - rank :]))
    lay(ways, False, parts, ranks, flat)


def place_params(shape: Shape, targets: Sequence[Array], base: bool) -> Params:
    """Params of `PLACE`."""
    return (("base", base), ("shape", shape), ("targets", tuple(map(Constant, targets))))
