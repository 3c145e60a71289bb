"""The core of indexing: `core_gather` reads along one axis at given indices, `core_scatter_add` is its transpose.

Indices that are constants are checked and wrapped when the op is written; computed ones by a `wrap_index` node, which
knows the axis as the user counts it. Several index arrays (`x[i, j]`) become one by reshaping (`ops.getitem`), so that
one axis is all the core needs.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from engine.aval import Array, Aval, Avals, Shape
from engine.builder import GraphBuilder, Var
from engine.errors import DtypeMismatch, InvalidAttribute, ShapeMismatch
from engine.graph import CONSTANT
from engine.op import Linear, Op, Zero, registry
from engine.transforms.vmap import lead

# ------------------------------------------------------------------------------------------------------------- indices


def wrapped(indices: Array, n: int, *, by: str, axis: int | None = None) -> Array:
    """Indices into an axis of `n` entries, negative ones counted from its end.

    Raises `InvalidAttribute` naming the first index that is out of range, the axis and its size.
    """
    if not indices.size:
        return indices
    if indices.min() < -n or indices.max() >= n:
        bad = indices[(indices < -n) | (indices >= n)].flat[0] if indices.ndim else indices
        where = "an axis" if axis is None else f"axis {axis}, which is"
        allowed = f"allowed are {-n} to {n - 1}" if n else "there is nothing to index"
        raise InvalidAttribute(f"{by}: index {bad} is out of range for {where} of size {n} ({allowed}).")
    result: Array = np.where(indices < 0, indices + n, indices)[()]
    return result


class WrapIndex(Op):
    """Indices into an axis of `n` entries, checked, with negative ones counted from its end."""

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
        return wrapped(np.asarray(arrays[0]), params["n"], by=params["by"], axis=params["axis"])[()]


registry.add(WrapIndex())


def known(v: Var) -> Array | None:
    """The array of a Var that is a constant of a graph; None if it is computed."""
    if isinstance(v.b, GraphBuilder):
        node = v.b.nodes[v.ref]
        if node.op is CONSTANT:
            value: Array = node.params[0][1].value
            return value
    return None


def checked(indices: Var, n: int, *, by: str, axis: int) -> Var:
    """Indices ready for the core: constants are checked at once, the others by a node.

    `by` is the op and `axis` the axis that an error names.
    """
    constant = known(indices)
    if constant is not None:
        return indices.b.var(wrapped(constant, n, by=by, axis=axis), "int64")
    result: Var = indices.b.write("wrap_index", indices, n=n, by=by, axis=axis)
    return result


# -------------------------------------------------------------------------------------------------- views of an operand


def permuted(x: Var, order: Sequence[int]) -> Var:
    """The axes in another order; `order` counts from the front. No node where that changes nothing."""
    if list(order) == list(range(x.rank)):
        return x
    result: Var = x.b.write("permute_dims", x, axes=tuple(a - x.rank for a in order))
    return result


def reshaped(x: Var, shape: Sequence[int]) -> Var:
    """Another shape. No node where that changes nothing."""
    if x.shape == tuple(shape):
        return x
    result: Var = x.b.write("reshape", x, shape=tuple(shape))
    return result


# ------------------------------------------------------------------------------------------------------------- the pair


def _rows(indices: Array, batch: int, middle: Shape, n: int) -> Array:
    """Positions of the indexed rows, if all axes up to and with the indexed one are flattened into one."""
    lead = indices.shape[:batch]
    count, inner = prod(lead), prod(middle)
    outer = np.arange(count * inner, dtype=np.int64).reshape(count, inner, 1) * n
    rows: Array = outer + indices.reshape(count, 1, prod(indices.shape[batch:]))
    return rows


def _gather_back(ct: Var, k: int, operands: Sequence[Var], *, axis: int, batch: int) -> Var:
    x, indices = operands
    zeros = Var(ct.b, ct.b.zeros(Aval(x.shape, ct.dtype)))
    result: Var = ct.b.write("core_scatter_add", zeros, indices, ct, axis=axis, batch=batch)
    return result


class CoreGather(Op):
    """Entries along one axis of x at given indices.

    x: [*batch, *middle, n, *rest], indices: int64 [*batch, *index]  ->  [*batch, *middle, *index, *rest]

    `axis` is the one of size n, counted from the end; `batch` is the number of leading axes that x and the indices
    share. Linear in x. Indices are in range already (`checked`); others raise `InvalidAttribute`.
    """

    name = "core_gather"
    family = "core"
    internal = True
    rules = (Linear(_gather_back), Zero())

    def infer(self, *avals: Aval, **params: Any) -> Avals:
        """The axis replaced by those of the indices."""
        x, indices = avals
        at, batch = x.rank + params["axis"], params["batch"]
        if not 0 <= batch <= at or x.shape[:batch] != indices.shape[:batch] or indices.dtype != "int64":
            raise ShapeMismatch(f"core_gather: {x} cannot be indexed by {indices} ({batch} axes shared).")
        return Aval(x.shape[:at] + indices.shape[batch:] + x.shape[at + 1 :], x.dtype)

    def evaluate(self, *arrays: Any, **params: Any) -> Any:
        """A view for a single index, else a new array."""
        x, indices = np.asarray(arrays[0]), np.asarray(arrays[1])
        axis, batch = params["axis"], params["batch"]
        at = x.ndim + axis
        try:
            if batch == 0 and not (x.flags.c_contiguous and indices.ndim):
                # take would copy all of an x that is not contiguous
                where = indices if indices.ndim else int(indices)
                return x[(..., where, *[slice(None)] * (-axis - 1))][()]
            if batch == 0:
                return np.take(x, indices, axis=at)[()]
        except IndexError:
            wrapped(indices, x.shape[at], by="gather")
            raise
        indices = wrapped(indices, x.shape[at], by="gather")
        middle, rest = x.shape[batch:at], x.shape[at + 1 :]
        rows = _rows(indices, batch, middle, x.shape[at])
        flat = x.reshape(prod(x.shape[: at + 1]), prod(rest))
        return np.take(flat, rows, axis=0).reshape(x.shape[:at] + indices.shape[batch:] + rest)[()]

    def vmap(self, b: Any, size: int, operands: Sequence[Var], mapped: Sequence[bool], **params: Any) -> Any:
        """Mapped indices are one more axis of the index where nothing is shared yet, else one more shared axis."""
        x, indices = operands
        axis, batch = params["axis"], params["batch"]
        if batch == 0 and not mapped[1]:
            return b.write(self, x, indices, axis=axis, batch=0).ref
        if batch == 0 and not mapped[0]:
            y = b.write(self, x, indices, axis=axis, batch=0)
            at = x.rank + axis
            return permuted(y, [at, *[k for k in range(y.rank) if k != at]]).ref
        led = [lead(b, v, size, m) for v, m in zip(operands, mapped, strict=True)]
        return b.write(self, *led, axis=axis, batch=batch + 1).ref

    def flops(self, operands: Sequence[Aval], result: Avals, **params: Any) -> float:
        """Two for each element moved: memory is read out of order."""
        assert isinstance(result, Aval)
        return 2.0 * result.size


def _scatter_back(ct: Var, k: int, operands: Sequence[Var], *, axis: int, batch: int) -> Var:
    if k == 0:
        return ct
    result: Var = ct.b.write("core_gather", ct, operands[1], axis=axis, batch=batch)
    return result


class CoreScatterAdd(Op):
    """x with updates added along one axis at given indices; those that meet add up.

    x: [*batch, *middle, n, *rest], indices: int64 [*batch, *index], updates: [*batch, *middle, *index, *rest]  ->  as x

    Linear in x and updates together; the transpose of `core_gather`.
    """

    name = "core_scatter_add"
    family = "core"
    internal = True
    rules = (Linear(_scatter_back, joint=True), Zero(), Linear(_scatter_back, joint=True))

    def infer(self, *avals: Aval, **params: Any) -> Avals:
        """The aval of x."""
        x, indices, updates = avals
        at, batch = x.rank + params["axis"], params["batch"]
        if (
            x.shape[:batch] != indices.shape[:batch]
            or updates != (x.shape[:at] + indices.shape[batch:] + x.shape[at + 1 :], x.dtype)
            or indices.dtype != "int64"
        ):
            raise ShapeMismatch(
                f"core_scatter_add: {updates} cannot be added to {x} at {indices} ({batch} axes shared)."
            )
        return x

    def evaluate(self, *arrays: Any, **params: Any) -> Any:
        """Additions in the order of the indices, as `np.add.at`."""
        x, indices, updates = (np.asarray(a) for a in arrays)
        axis, batch = params["axis"], params["batch"]
        at = x.ndim + axis
        n, rest = x.shape[at], x.shape[at + 1 :]
        result = np.array(x, order="C")
        indices = wrapped(indices, n, by="scatter_add")
        if indices.ndim == 0:
            result[(..., int(indices), *[slice(None)] * (-axis - 1))] += updates
            return result
        # np.add.at is fast (a compiled loop) only for one-dimensional arrays: everything is flattened.
        places = _rows(indices, batch, x.shape[batch:at], n)
        if prod(rest) != 1:
            places = places[..., None] * prod(rest) + np.arange(prod(rest))
        np.add.at(result.reshape(-1), places.reshape(-1), updates.reshape(-1))
        return result

    def vmap(self, b: Any, size: int, operands: Sequence[Var], mapped: Sequence[bool], **params: Any) -> Any:
        """Mapped indices are one more axis that all share; else only x and the updates gain one."""
        x, indices, updates = operands
        axis, batch = params["axis"], params["batch"]
        x, updates = lead(b, x, size, mapped[0]), lead(b, updates, size, mapped[2])
        if batch == 0 and not mapped[1]:
            return b.write(self, x, indices, updates, axis=axis, batch=0).ref
        return b.write(self, x, lead(b, indices, size, mapped[1]), updates, axis=axis, batch=batch + 1).ref

    def flops(self, operands: Sequence[Aval], result: Avals, **params: Any) -> float:
        """One for each element of x, some for each of the updates."""
        return operands[0].size + 8.0 * operands[2].size


registry.add(CoreGather())
registry.add(CoreScatterAdd())


def gather_axis(x: Var, indices: Var, axis: int) -> Var:
    """`core_gather` along an axis counted from the end, with checked indices that share no axis with x."""
    result: Var = x.b.write("core_gather", x, indices, axis=axis, batch=0)
    return result
