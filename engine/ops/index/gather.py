"""The core of indexing: `gather` reads along one axis at given indices, and `scatter_add` is its transpose.

Indices that are constants are checked and wrapped when the op is written; computed ones by a `wrap_index` node, which
knows the axis as the user counts it. Several index arrays (`x[i, j]`) become one by reshaping (`ops.getitem`), so one
axis is all that the core needs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from engine.attrs import AXIS, COUNT
from engine.aval import Array, Aval, Avals, Shape, normalize_axis
from engine.builder import Builder, GraphBuilder, Var, broadcast_to, call
from engine.errors import DtypeMismatch, InvalidAttribute, ShapeMismatch
from engine.graph import CONSTANT
from engine.op import Attr, Example, Into, Linear, Op, Operand, Params, Rule, Zero, registry
from engine.ops.layout.arrange import permuted
from engine.transforms.vmap import lead

if TYPE_CHECKING:
    from engine.entries import Entries, Positions

INDICES = Operand("indices", ("index",), integer=True)
_OWN_INDICES = Operand("indices", integer=True)
"""Of ops whose names are PyTorch's too, with another meaning: its spellings `dim=`, `index=` are not taken for ours."""

# ------------------------------------------------------------------------------------------------------------- indices


def wrapped(indices: Array, n: int, *, by: str, what: str, low: int | None = None) -> Array:
    """Indices into an axis of `n` entries, negative ones counted from its end (none below `low`, if that is given).

    Raises `InvalidAttribute` naming the op (`by`), the first index that is out of range, the axis (`what`), its size.
    """
    if not indices.size:
        return indices
    least = -n if low is None else low
    if indices.min() < least or indices.max() >= n:
        bad = np.ravel(indices)[np.ravel((indices < least) | (indices >= n))][0]
        allowed = f"allowed are {least} to {n - 1}" if n else "there is nothing to index"
        raise InvalidAttribute(f"{by}: index {bad} is out of range for {what} of size {n} ({allowed}).")
    result: Array = np.where(indices < 0, indices + n, indices)[()]
    return result


class WrapIndex(Op):
    """Indices into an axis of `n` entries, checked, with negative ones counted from its end.

    `by`, `what` and `low` as for `wrapped`.
    """

    name = "wrap_index"
    family = "core"
    internal = True
    rules = (Zero(),)

    def infer(self, *avals: Aval, **params: Any) -> Avals:
        """The indices' own aval."""
        if avals[0].dtype != "int64":
            raise DtypeMismatch(f"{params['by']}: indices must be integers, not {avals[0].dtype}.")
        return avals[0]

    def evaluate(self, *arrays: Any, **params: Any) -> Any:
        """Raises `InvalidAttribute` for an index that is out of range."""
        return wrapped(np.asarray(arrays[0]), **params)[()]

    def expand(self, e: Entries, *positions: Positions, **params: Any) -> Positions:
        """Negative indices counted from the end; an index that is out of range is infinite, and found out so."""
        (at,), n, low = positions, params["n"], params["low"]
        zero, size, least = (e.constant(float(v)) for v in (0, n, -n if low is None else low))
        right = e.op("logical_and", e.op("less", at, size), e.op("greater_equal", at, least))
        index = e.op("where", e.op("less", at, zero), e.op("add", at, size), at)
        return e.op("divide", index, right)


registry.add(WrapIndex())


def known(v: Var) -> Array | None:
    """The array of a Var that is a constant of a graph; None if it is computed."""
    if isinstance(v.b, GraphBuilder):
        node = v.b.nodes[v.ref]
        if node.op is CONSTANT:
            value: Array = node.params[0][1].value
            return value
    return None


def checked(indices: Var, n: int, *, by: str, what: str | int, low: int | None = None) -> Var:
    """Indices ready for the core: constants are checked at once, the others by a node.

    `what` is the axis as a message names it; an integer means "axis 2".
    """
    words = f"axis {what}" if isinstance(what, int) else what
    constant = known(indices)
    if constant is not None:
        return indices.b.var(wrapped(constant, n, by=by, what=words, low=low), "int64")
    result: Var = indices.b.write("wrap_index", indices, n=n, by=by, what=words, low=low)
    return result


def clamped(index: Var, low: int, high: int) -> Var:
    """Integers brought into a range. (`clip` is for numbers: it has kinks.)"""
    b = index.b
    raised = call(b, "where", index > low, index, low)
    return call(b, "where", raised < high, raised, high)


def reshaped(x: Var, shape: Sequence[int]) -> Var:
    """Another shape. No node where that changes nothing."""
    if x.shape == tuple(shape):
        return x
    result: Var = x.b.write("reshape", x, shape=tuple(shape))
    return result


# ------------------------------------------------------------------------------------------------------------ the pair


def _rows(indices: Array, batch: int, middle: Shape, n: int) -> Array:
    """Positions of the indexed rows, if all axes up to and with the indexed one are flattened into one."""
    count, inner = prod(indices.shape[:batch]), prod(middle)
    outer = np.arange(count * inner, dtype=np.int64).reshape(count, inner, 1) * n
    rows: Array = outer + indices.reshape(count, 1, prod(indices.shape[batch:]))
    return rows


def _one(index: Any, axis: int) -> Any:
    """The index of one axis, counted from the end, for use as `x[…]`."""
    return (..., index, *[slice(None)] * (-axis - 1))


def _place(name: str, x: Var, indices: Var, axis: int, batch: int) -> int:
    """The axis, counted from 0, once it and the shared axes are checked."""
    at = normalize_axis(axis, x.rank) + x.rank
    if batch > min(at, indices.rank) or x.shape[:batch] != indices.shape[:batch]:
        raise ShapeMismatch(
            f"{name}: with batch_dims = {batch} the first {batch} axes must be those of the indices as well, and must "
            f"stand before axis {at}; the shapes are {list(x.shape)} and {list(indices.shape)}."
        )
    return at


MOST_COMPARED = 16
"""Updates at computed indices, up to which each is offered to all entries: on a tape, where nothing is overwritten."""


class _Adder:
    """Writes into an array of positions: sums (or what `pair` names), or the updates themselves where it names nothing."""

    def __init__(self, e: Entries, pair: str) -> None:
        self.e = e
        self.pair = pair

    def put(self, flat: Positions, places: Array, updates: Positions) -> None:
        """In the order of the updates: the first one of each place, then the second ones, and so on."""
        order = np.argsort(places, kind="stable")
        starts = np.flatnonzero(np.diff(places[order], prepend=-1))
        turn = np.empty(len(places), np.int64)
        turn[order] = np.arange(len(places)) - np.repeat(starts, np.diff(starts, append=len(places)))
        for k in range(int(turn.max(initial=-1)) + 1):
            now = np.flatnonzero(turn == k)
            at = places[now]
            flat[at] = self.e.op(self.pair, flat[at], updates[now]) if self.pair else updates[now]


def _order(indices: Var, n: int, batch: int) -> Array | None:
    """Indices that are known to name each of n entries once."""
    found = known(indices)
    if batch or found is None or found.shape != (n,) or not np.array_equal(np.sort(found), np.arange(n)):
        return None
    return found


FEW = 8
"""Entries along an axis that are copied one after the other, where there is much of each: that goes in any order of axes."""
MUCH = 256


def _copied(at: int, x: Array, indices: Array, out: Array) -> None:
    lead: tuple[Any, ...] = (slice(None),) * at
    indices = wrapped(indices, x.shape[at], by="gather", what="an axis")
    for k, i in enumerate(indices.tolist()):
        np.copyto(out[(*lead, k)], x[(*lead, i)])


def _taken(at: int, x: Array, indices: Array, out: Array) -> None:
    if indices.size and not 0 <= indices.min() <= indices.max() < x.shape[at]:
        indices = wrapped(indices, x.shape[at], by="gather", what="an axis")
    if x.flags.c_contiguous and out.flags.c_contiguous:
        np.take(x, indices, at, out, "clip")
    else:
        np.copyto(out, np.take(x, indices, at, mode="clip"))


def _gather_back(ct: Var, k: int, operands: Sequence[Var], **params: Any) -> Var:
    x, indices = operands
    order = _order(indices, x.shape[params["axis"]], params["batch_dims"])
    if order is not None:
        inverse = Var(ct.b, ct.b.constant(np.argsort(order)))
        turned: Var = ct.b.write("gather", ct, inverse, **params)
        return turned
    zeros = Var(ct.b, ct.b.zeros(Aval(x.shape, ct.dtype)))
    result: Var = ct.b.write("scatter_add", zeros, indices, ct, **params)
    return result


class Gather(Op):
    """Entries of an array at given indices along an axis, by default the first, as ONNX's Gather and `np.take(axis=0)`.

    x: [*batch, *middle, n, *rest], indices: int [*batch, *index]  ->  [*batch, *middle, *index, *rest]

    The axis of size n is replaced by the axes of the indices; `batch_dims` is how many leading axes the two share
    (TensorFlow's `batch_dims`; usually none). An entry read twice gets the sum of both cotangents. PyTorch's
    `gather(input, dim, index)` is another function: here it is `take_along_axis(input, index, dim)`.

    In the core `axis` is counted from the end, and indices are in range already (`checked`).
    """

    name = "gather"
    aliases = ("Gather",)
    family = "indexing"
    parameters = (
        Operand("x", ("a", "input", "data", "params")),
        _OWN_INDICES,
        Attr("axis", AXIS, 0),
        Attr("batch_dims", COUNT, 0, keyword_only=True),
    )
    passes_integers = True
    latex = "{x}_{{{indices}}}"
    derivative = {"x": "\\dot{x}_{\\text{indices}}"}
    rules = (Linear(_gather_back), Zero())
    examples = (
        Example(([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]], [2, 0, 2])),
        Example(([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], 1), {"axis": -1}),
        Example(([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], [[2, 2], [0, 1]]), {"axis": 1, "batch_dims": 1}),
        Example(([[1.0, 2.0]], []), note="nothing read"),
    )

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var:
        """One node, over checked indices."""
        x, indices = operands
        batch = attrs["batch_dims"]
        at = _place("gather", x, indices, attrs["axis"], batch)
        index = checked(indices, x.shape[at], by="gather", what=at)
        result: Var = b.write(self, x, index, axis=at - x.rank, batch_dims=batch)
        return result

    def infer(self, *avals: Aval, **params: Any) -> Avals:
        """The axis replaced by those of the indices."""
        x, indices = avals
        at, batch = x.rank + params["axis"], params["batch_dims"]
        if not 0 <= batch <= at or x.shape[:batch] != indices.shape[:batch] or indices.dtype != "int64":
            raise ShapeMismatch(f"gather: {x} cannot be indexed by {indices} ({batch} axes shared).")
        return Aval(x.shape[:at] + indices.shape[batch:] + x.shape[at + 1 :], x.dtype)

    def evaluate(self, *arrays: Any, **params: Any) -> Any:
        """A view for a single index, else a new array."""
        x, indices = np.asarray(arrays[0]), np.asarray(arrays[1])
        axis, batch = params["axis"], params["batch_dims"]
        at = x.ndim + axis
        try:
            if batch == 0 and indices.ndim == 0:
                return x[_one(int(indices), axis)][()]
            if batch == 0 and not x.flags.c_contiguous:
                return x[_one(indices, axis)][()]  # take would copy the whole of x first
            if batch == 0:
                return np.take(x, indices, axis=at)[()]
        except IndexError:
            pass  # the next line says which index it was
        indices = wrapped(indices, x.shape[at], by="gather", what="an axis")
        middle, rest = x.shape[batch:at], x.shape[at + 1 :]
        flat = x.reshape(prod(x.shape[: at + 1]), prod(rest))
        taken = np.take(flat, _rows(indices, batch, middle, x.shape[at]), axis=0)
        return taken.reshape(x.shape[:at] + indices.shape[batch:] + rest)[()]

    def into(self, avals: Sequence[Aval], params: Params) -> Into | None:
        """A few long pieces one after the other; else by NumPy, without its look at each index."""
        x, indices = avals
        given = dict(params)
        at = x.rank + given["axis"]
        if given["batch_dims"] or not indices.shape or not x.size:
            return None
        piece = x.size // x.shape[at]
        few = indices.rank == 1 and indices.size <= FEW and piece >= MUCH
        return Into(partial(_copied if few else _taken, at))

    def cuts(
        self, axis: int, operands: Sequence[Aval], result: Aval, /, **params: Any
    ) -> tuple[int | None, ...] | None:
        """A shared axis, an axis of the array, or one of the indices; the array is needed whole where it is read."""
        x, indices = operands
        at, batch = x.rank + params["axis"], params["batch_dims"]
        behind = at + indices.rank - batch
        if axis < batch:
            return (axis, axis)
        if axis < at:
            return (axis, None)
        return (None, axis - at + batch) if axis < behind else (axis - behind + at + 1, None)

    def expand(self, e: Entries, *positions: Positions, **params: Any) -> Positions | None:
        """The entries at known indices; at others what is read there, if entries lie at equal distances along the axis."""
        x, indices = positions
        known = e.known(indices)
        if known is not None:
            found: Positions = self.evaluate(x, known.astype(np.int64), **params)
            return found
        at = x.ndim + params["axis"]
        n = x.shape[at]
        if not e.primal or not x.size:
            return None
        rows = np.moveaxis(x, at, 0)
        gap = int(np.ravel(rows[1] - rows[0])[0]) if n > 1 else 1
        if not e.lasting(x) or not (np.diff(rows, axis=0) == gap).all():
            x, gap = e.placed(x), int(np.prod(x.shape[at + 1 :], dtype=np.int64))
        batch = params["batch_dims"]
        first = np.zeros(indices.shape, np.int64)
        bases: Positions = np.asarray(self.evaluate(x, first, **params))
        spread = indices.reshape(
            (*indices.shape[:batch], *[1] * (at - batch), *indices.shape[batch:], *[1] * (x.ndim - at - 1))
        )
        return e.load(bases, e.op("multiply", spread, e.constant(float(gap))), gap * n)

    def vmap(self, b: Any, size: int, operands: Sequence[Var], mapped: Sequence[bool], **params: Any) -> Any:
        """Mapped indices are one more axis of the index where nothing is shared yet, else one more shared axis."""
        x, indices = operands
        axis, batch = params["axis"], params["batch_dims"]
        if batch == 0 and not mapped[1]:
            return b.write(self, x, indices, **params).ref
        if batch == 0 and not mapped[0]:
            y = b.write(self, x, indices, **params)
            at = x.rank + axis
            return permuted(y, [at, *[k for k in range(y.rank) if k != at]]).ref
        led = [lead(b, v, size, m) for v, m in zip(operands, mapped, strict=True)]
        return b.write(self, *led, axis=axis, batch_dims=batch + 1).ref

    def flops(self, operands: Sequence[Aval], result: Avals, **params: Any) -> float:
        """Two for each element moved: memory is read out of order."""
        assert isinstance(result, Aval)
        return 2.0 * result.size


def _scatter_back(ct: Var, k: int, operands: Sequence[Var], **params: Any) -> Var:
    if k == 0:
        return ct
    result: Var = ct.b.write("gather", ct, operands[1], **params)
    return result


class ScatterAdd(Op):
    """x with updates added at given indices along an axis; where indices repeat, their updates add up.

    x: [*batch, *middle, n, *rest], indices: int [*batch, *index],
    updates: broadcast to [*batch, *middle, *index, *rest]  ->  as x

    NumPy's `np.add.at(x, indices, updates)`, JAX's `x.at[indices].add(updates)`; `batch_dims` is how many leading axes
    x and the indices share. PyTorch's `scatter_add(input, dim, index, src)`, whose index has an entry for every update,
    is another function. Linear in x and updates together; the transpose of `gather`.
    """

    name = "scatter_add"
    family = "indexing"
    pair = "add"
    """The op of an entry and an update for it, by name; empty if the update takes its place."""
    parameters = (
        Operand("x", ("a", "input")),
        _OWN_INDICES,
        Operand("updates", ("src", "source", "values")),
        Attr("axis", AXIS, 0),
        Attr("batch_dims", COUNT, 0, keyword_only=True),
    )
    passes_integers = True
    latex = "{x} + \\textstyle\\sum_k e_{{{indices}_k}} \\, {updates}_k"
    derivative: Mapping[str, str] = {"x": "1", "updates": "e_{\\text{indices}}"}
    rules: tuple[Rule, ...] = (Linear(_scatter_back, joint=True), Zero(), Linear(_scatter_back, joint=True))
    examples: tuple[Example, ...] = (
        Example(([1.0, 2.0, 3.0], [0, 2, 0], [10.0, 20.0, 30.0]), note="an index twice"),
        Example(
            ([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], [-1, 1], [[10.0], [20.0]]), {"axis": 1}, note="broadcasting"
        ),
        Example(([1.0, 2.0], [], []), note="nothing added"),
    )

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var:
        """One node, over checked indices and updates of the full shape."""
        x, indices, updates = operands
        batch = attrs["batch_dims"]
        at = _place(self.name, x, indices, attrs["axis"], batch)
        index = checked(indices, x.shape[at], by=self.name, what=at)
        shape = x.shape[:at] + index.shape[batch:] + x.shape[at + 1 :]
        try:
            spread = broadcast_to(updates, shape)
        except ShapeMismatch:
            raise ShapeMismatch(
                f"{self.name}: updates of shape {list(updates.shape)} cannot be broadcast to {list(shape)}, the shape "
                f"of x with its axis {at} replaced by the shape of the indices, {list(index.shape[batch:])}."
            ) from None
        result: Var = b.write(self, x, index, spread, axis=at - x.rank, batch_dims=batch)
        return result

    def infer(self, *avals: Aval, **params: Any) -> Avals:
        """The aval of x."""
        x, indices, updates = avals
        at, batch = x.rank + params["axis"], params["batch_dims"]
        if (
            x.shape[:batch] != indices.shape[:batch]
            or updates != (x.shape[:at] + indices.shape[batch:] + x.shape[at + 1 :], x.dtype)
            or indices.dtype != "int64"
        ):
            raise ShapeMismatch(
                f"{self.name}: {updates} cannot be written to {x} at {indices} ({batch} axes shared)."
            )
        return x

    def evaluate(self, *arrays: Any, **params: Any) -> Any:
        """In the order of the indices."""
        x, indices, updates = (np.asarray(a) for a in arrays)
        return self._into(x, indices, updates, self, **params)

    def _into(
        self,
        x: Array,
        indices: Array,
        updates: Array,
        writer: ScatterAdd | _Adder,
        *,
        axis: int,
        batch_dims: int,
    ) -> Array:
        """A copy of x into which `writer` has put the updates."""
        batch = batch_dims
        at = x.ndim + axis
        n, rest = x.shape[at], x.shape[at + 1 :]
        result = np.array(x, order="C")
        indices = wrapped(indices, n, by=self.name, what="an axis")
        # Flattened, since np.add.at has a compiled loop for one-dimensional arrays alone; and it must not broadcast
        # there: with two-dimensional indices into a vector NumPy 2.4 reads behind the end of shorter updates.
        places = _rows(indices, batch, x.shape[batch:at], n)
        if prod(rest) != 1:
            places = places[..., None] * prod(rest) + np.arange(prod(rest))
        writer.put(result.reshape(-1), places.reshape(-1), updates.reshape(-1))
        return result

    def expand(self, e: Entries, *positions: Positions, **params: Any) -> Positions | None:
        """Additions to the entries at known indices; for others each entry is asked whether it is meant."""
        x, indices, updates = positions
        known = e.known(indices)
        if known is not None:
            adder = _Adder(e, self.pair)
            return self._into(x, known.astype(np.int64), updates, adder, **params)
        at = x.ndim + params["axis"]
        count = int(np.prod(indices.shape, dtype=np.int64))
        if not e.primal or params["batch_dims"] or count > MOST_COMPARED:
            return None
        rows = np.moveaxis(x, at, -1)
        given = np.moveaxis(updates.reshape((*x.shape[:at], count, *x.shape[at + 1 :])), at, -1)
        places = e.constant(np.arange(x.shape[at], dtype=np.float64))
        for k, index in enumerate(indices.reshape(-1)):
            here = e.op("equal", places, np.asarray(index))
            mine = given[..., k : k + 1]
            mine = e.op(self.pair, rows, mine) if self.pair else mine
            rows = e.op("where", here, mine, rows)
        return np.moveaxis(rows, -1, at)

    def put(self, flat: Array, places: Array, updates: Array) -> None:
        """Write updates into a flat array: additions, as `np.add.at`."""
        np.add.at(flat, places, updates)

    def vmap(self, b: Any, size: int, operands: Sequence[Var], mapped: Sequence[bool], **params: Any) -> Any:
        """Mapped indices are one more axis that all share; else only x and the updates gain one."""
        x, indices, updates = operands
        axis, batch = params["axis"], params["batch_dims"]
        x, updates = lead(b, x, size, mapped[0]), lead(b, updates, size, mapped[2])
        if batch == 0 and not mapped[1]:
            return b.write(self, x, indices, updates, **params).ref
        return b.write(
            self, x, lead(b, indices, size, mapped[1]), updates, axis=axis, batch_dims=batch + 1
        ).ref

    def flops(self, operands: Sequence[Aval], result: Avals, **params: Any) -> float:
        """One for each element of x, some for each of the updates."""
        return operands[0].size + 8.0 * operands[2].size


registry.add(Gather())
registry.add(ScatterAdd())


def gather_axis(x: Var, indices: Var, axis: int) -> Var:
    """`gather` along an axis counted from the end, with checked indices that share no axis with x."""
    result: Var = x.b.write("gather", x, indices, axis=axis, batch_dims=0)
    return result
