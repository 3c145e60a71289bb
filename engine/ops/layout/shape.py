"""Rearranging elements, the core of it: reshape, permute, slice, concatenate. All are linear.

There are six (`broadcast_to`, `reshape`, `permute_dims`, `slice` and its transpose `embed`, `concat`); the others, in
`arrange`, `joining`, `padding` and `diagonal`, are written with those.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from engine.attrs import INTS, OPTIONAL_AXIS, SHAPE, optional
from engine.aval import Array, Aval, Avals, broadcast_shapes, normalize_axis
from engine.builder import Builder, Var, broadcast_to
from engine.errors import DtypeMismatch, ShapeMismatch
from engine.op import Attr, Example, Into, Linear, Op, Operand, Params, Spelling, registry

if TYPE_CHECKING:
    from engine.entries import Entries, Positions


def _unbroadcast(ct: Var, k: int, operands: Sequence[Var], **params: Any) -> Var:
    """Sum over what was stretched."""
    shape = operands[0].shape
    added = ct.rank - len(shape)
    axes = [i - ct.rank for i in range(added)]
    axes += [i - len(shape) for i, n in enumerate(shape) if n == 1 and ct.shape[added + i] != 1]
    summed: Var = ct.b.write("sum", ct, axes=tuple(sorted(axes))) if axes else ct
    return summed if summed.shape == shape else ct.b.write("reshape", summed, shape=shape)


def _with(values: Sequence[Any], at: int, value: Any) -> tuple[Any, ...]:
    """The values with one replaced; as they are, where `at` lies before them."""
    return tuple(values) if at < 0 else (*values[:at], value, *values[at + 1 :])


class BroadcastTo(Op):
    """The array stretched to a shape: axes of size 1 are repeated, new axes are put in front."""

    name = "broadcast_to"
    moves = True
    aliases = ("Expand", "expand")
    family = "shape"
    view = True
    parameters = (Operand("x"), Attr("shape", SHAPE))
    passes_integers = True
    latex = "{x}"
    rules = (Linear(_unbroadcast),)
    examples = (
        Example(([[1.0], [2.0]],), {"shape": (2, 3)}),
        Example((1.0,), {"shape": (0, 2)}, note="empty"),
    )

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var:
        """One node; a size of −1 keeps the operand's."""
        (x,), shape = operands, tuple(attrs["shape"])
        lead = len(shape) - x.rank
        filled = tuple(x.shape[i - lead] if n == -1 and i >= lead else n for i, n in enumerate(shape))
        if -1 in filled:
            raise ShapeMismatch(f"broadcast_to: a new axis needs a size, not -1, in {list(shape)}.")
        return broadcast_to(x, filled)

    def infer(self, *avals: Aval, **params: Any) -> Avals:
        """The operand's dtype in the new shape."""
        shape = params["shape"]
        if broadcast_shapes([avals[0].shape, shape]) != shape:
            raise ShapeMismatch(
                f"An array of shape {list(avals[0].shape)} cannot be broadcast to {list(shape)}."
            )
        return Aval(shape, avals[0].dtype)

    def evaluate(self, *arrays: Any, **params: Any) -> Any:
        """A view."""
        return np.broadcast_to(arrays[0], params["shape"])

    def cuts(
        self, axis: int, operands: Sequence[Aval], result: Aval, /, **params: Any
    ) -> tuple[int | None, ...] | None:
        """The operand's own axis; what is stretched is needed as a whole."""
        (x,) = operands
        own = axis - (result.rank - x.rank)
        return (own if own >= 0 and x.shape[own] == result.shape[axis] else None,)

    def piece(self, axis: int, n: int, result: Aval, /, **params: Any) -> Mapping[str, Any]:
        """A shape of n there."""
        return {"shape": _with(params["shape"], axis, n)}

    def vmap(self, b: Any, size: int, operands: Sequence[Var], mapped: Sequence[bool], **params: Any) -> Any:
        """The batch axis in front, new axes behind it."""
        (x,), shape = operands, params["shape"]
        core = (1,) * (len(shape) - x.rank + 1) + x.shape[1:]
        aligned = x if len(core) == x.rank - 1 else b.write("reshape", x, shape=(size, *core))
        return b.emit(self, [aligned.ref], (("shape", (size, *shape)),))

    def flops(self, operands: Sequence[Aval], result: Avals, **params: Any) -> float:
        """None: it is a view."""
        return 0.0


registry.add(BroadcastTo())


def _reshape_back(ct: Var, k: int, operands: Sequence[Var], **params: Any) -> Var:
    return ct.reshape(operands[0].shape)


class Reshape(Op):
    """The same elements, in C order, in another shape; one size may be −1: whatever is left."""

    name = "reshape"
    moves = True
    aliases = ("view", "Reshape")
    family = "shape"
    view = True
    parameters = (Operand("x", ("a",)), Attr("shape", SHAPE, aliases=("newshape",)))
    passes_integers = True
    latex = "{x}"
    rules = (Linear(_reshape_back),)
    examples = (
        Example(([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]],), {"shape": (3, -1)}),
        Example(([],), {"shape": (0, 3)}),
    )

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var:
        """One node, with the −1 worked out."""
        result: Var = b.write(self, operands[0], shape=filled_shape(attrs["shape"], operands[0].size))
        return result

    def infer(self, *avals: Aval, **params: Any) -> Avals:
        """The new shape, of as many elements."""
        shape = params["shape"]
        if prod(shape) != avals[0].size:
            raise ShapeMismatch(
                f"An array of shape {list(avals[0].shape)} ({avals[0].size} elements) cannot be reshaped to "
                f"{list(shape)} ({prod(shape)} elements)."
            )
        return Aval(tuple(shape), avals[0].dtype)

    def evaluate(self, *arrays: Any, **params: Any) -> Any:
        """A view where NumPy can."""
        return np.reshape(arrays[0], params["shape"])[()]

    def cuts(
        self, axis: int, operands: Sequence[Aval], result: Aval, /, **params: Any
    ) -> tuple[int | None, ...] | None:
        """An axis of the same size, with as many elements before it."""
        shape = operands[0].shape
        before = prod(result.shape[:axis])
        for own, n in enumerate(shape):
            if n == result.shape[axis] and prod(shape[:own]) == before:
                return (own,)
        return None

    def piece(self, axis: int, n: int, result: Aval, /, **params: Any) -> Mapping[str, Any]:
        """A shape of n there."""
        return {"shape": _with(params["shape"], axis, n)}

    def batched(self, size: int, params: Mapping[str, Any]) -> Mapping[str, Any]:
        """The batch axis stays in front."""
        return {"shape": (size, *params["shape"])}

    def into(self, avals: Sequence[Aval], params: Params) -> Into | None:
        """A copy, where a view cannot be had."""
        return Into(lambda x, out: np.copyto(out.reshape(x.shape), x))

    def flops(self, operands: Sequence[Aval], result: Avals, **params: Any) -> float:
        """None."""
        return 0.0


registry.add(Reshape())


def filled_shape(shape: Sequence[int], size: int) -> tuple[int, ...]:
    """The shape with a −1 replaced by what is left of `size` elements. Raises `ShapeMismatch`."""
    if list(shape).count(-1) > 1:
        raise ShapeMismatch(f"Only one size in {list(shape)} can be -1.")
    if -1 not in shape:
        return tuple(shape)
    rest = prod(n for n in shape if n != -1)
    if rest == 0 or size % rest:
        raise ShapeMismatch(f"{size} elements cannot be arranged as {list(shape)}.")
    return tuple(size // rest if n == -1 else n for n in shape)


def _permute_back(ct: Var, k: int, operands: Sequence[Var], *, axes: tuple[int, ...]) -> Var:
    n = len(axes)
    inverse = [0] * n
    for i, a in enumerate(axes):
        inverse[a + n] = i - n
    result: Var = ct.b.write("permute_dims", ct, axes=tuple(inverse))
    return result


class PermuteDims(Op):
    """Axes in another order; without `axes` in reverse, which transposes a matrix."""

    name = "permute_dims"
    moves = True
    aliases = ("transpose", "permute", "Transpose")
    spellings = {"numpy.t": Spelling(parameters=(Operand("x", ("a",)),))}
    family = "shape"
    view = True
    parameters = (Operand("x", ("a",)), Attr("axes", optional(INTS), None, ("perm", "dims")))
    passes_integers = True
    latex = "{x}^\\top"
    rules = (Linear(_permute_back),)
    examples = (
        Example(([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]],)),
        Example(([[[1.0], [2.0]]],), {"axes": (2, 0, 1)}),
    )

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var:
        """One node with axes counted from the end."""
        x, axes = operands[0], attrs["axes"]
        order = tuple(range(x.rank))[::-1] if axes is None else axes
        normal = tuple(normalize_axis(a, x.rank) for a in order)
        if len(set(normal)) != len(normal) or len(normal) != x.rank:
            raise ShapeMismatch(f"axes {list(order)} must name each of the {x.rank} axes once.")
        result: Var = b.write(self, x, axes=normal)
        return result

    def infer(self, *avals: Aval, **params: Any) -> Avals:
        """The trailing axes in the new order."""
        shape, axes = avals[0].shape, params["axes"]
        lead = len(shape) - len(axes)
        return Aval(shape[:lead] + tuple(shape[a] for a in axes), avals[0].dtype)

    def evaluate(self, *arrays: Any, **params: Any) -> Any:
        """A view."""
        x, axes = np.asarray(arrays[0]), params["axes"]
        return np.transpose(x, (*range(x.ndim - len(axes)), *(a + x.ndim for a in axes)))[()]

    def cuts(
        self, axis: int, operands: Sequence[Aval], result: Aval, /, **params: Any
    ) -> tuple[int | None, ...] | None:
        """Where the axis was."""
        axes = params["axes"]
        lead = result.rank - len(axes)
        return (axis if axis < lead else axes[axis - lead] + result.rank,)

    def flops(self, operands: Sequence[Aval], result: Avals, **params: Any) -> float:
        """None: it is a view."""
        return 0.0


registry.add(PermuteDims())


def _embed_slice(ct: Var, k: int, operands: Sequence[Var], *, index: tuple[tuple[int, int, int], ...]) -> Var:
    shape = operands[0].shape[operands[0].rank - len(index) :]
    result: Var = ct.b.write("embed", ct, index=index, shape=shape)
    return result


class SliceOp(Op):
    """Trailing axes cut by (start, stop, step), all within bounds; step may be negative (then stop may be −1)."""

    name = "slice"
    moves = True
    family = "core"
    view = True
    internal = True
    rules = (Linear(_embed_slice),)

    def infer(self, *avals: Aval, **params: Any) -> Avals:
        """The sizes that are left."""
        shape, index = avals[0].shape, params["index"]
        lead = len(shape) - len(index)
        return Aval(shape[:lead] + tuple(len(range(*s)) for s in index), avals[0].dtype)

    def evaluate(self, *arrays: Any, **params: Any) -> Any:
        """A view."""
        return arrays[0][(..., *python_slices(params["index"]))][()]

    def cuts(
        self, axis: int, operands: Sequence[Aval], result: Aval, /, **params: Any
    ) -> tuple[int | None, ...] | None:
        """An axis that is taken whole."""
        at = axis - (result.rank - len(params["index"]))
        whole = at < 0 or params["index"][at] == (0, operands[0].shape[axis], 1)
        return (axis,) if whole else None

    def piece(self, axis: int, n: int, result: Aval, /, **params: Any) -> Mapping[str, Any]:
        """All n."""
        index = params["index"]
        return {"index": _with(index, axis - (result.rank - len(index)), (0, n, 1))}

    def flops(self, operands: Sequence[Aval], result: Avals, **params: Any) -> float:
        """None: it is a view."""
        return 0.0


def _embed_into(place: tuple[Any, ...], x: Any, out: Array) -> None:
    out.fill(0)
    out[place] = x


class Embed(Op):
    """Zeros of a trailing `shape` with the operand laid into the places that `slice` with the same index reads."""

    name = "embed"
    family = "core"
    internal = True

    def infer(self, *avals: Aval, **params: Any) -> Avals:
        """Leading axes of the operand, then `shape`."""
        own = avals[0].shape
        return Aval(own[: len(own) - len(params["shape"])] + tuple(params["shape"]), avals[0].dtype)

    def evaluate(self, *arrays: Any, **params: Any) -> Any:
        """A new array."""
        x = np.asarray(arrays[0])
        shape = params["shape"]
        result: Any = np.zeros(x.shape[: x.ndim - len(shape)] + tuple(shape), x.dtype)
        result[(..., *python_slices(params["index"]))] = x
        return result

    def into(self, avals: Sequence[Aval], params: Params) -> Into | None:
        """Zeros, then the operand over them."""
        given = dict(params)
        return Into(partial(_embed_into, (..., *python_slices(given["index"]))))

    def cuts(
        self, axis: int, operands: Sequence[Aval], result: Aval, /, **params: Any
    ) -> tuple[int | None, ...] | None:
        """An axis to which nothing is added."""
        at = axis - (result.rank - len(params["index"]))
        whole = at < 0 or params["index"][at] == (0, result.shape[axis], 1)
        return (axis,) if whole else None

    def piece(self, axis: int, n: int, result: Aval, /, **params: Any) -> Mapping[str, Any]:
        """All n."""
        at = axis - (result.rank - len(params["index"]))
        return {"index": _with(params["index"], at, (0, n, 1)), "shape": _with(params["shape"], at, n)}

    def expand(self, e: Entries, *positions: Positions, **params: Any) -> Positions:
        """As `evaluate`, into places of a zero."""
        (x,), shape = positions, params["shape"]
        result = np.broadcast_to(e.constant(0.0), x.shape[: x.ndim - len(shape)] + tuple(shape)).copy()
        places: Any = (..., *python_slices(params["index"]))
        result[places] = x
        return result

    def flops(self, operands: Sequence[Aval], result: Avals, **params: Any) -> float:
        """One for each element written."""
        assert isinstance(result, Aval)
        return float(result.size)


def _slice_embedded(ct: Var, k: int, operands: Sequence[Var], *, index: Any, shape: Any) -> Var:
    result: Var = ct.b.write("slice", ct, index=index)
    return result


Embed.rules = (Linear(_slice_embedded),)
registry.add(SliceOp())
registry.add(Embed())


def _concat_part(ct: Var, k: int, operands: Sequence[Var], *, axis: int) -> Var:
    start = sum(v.shape[axis] for v in operands[:k])
    return slice_axis(ct, axis, start, start + operands[k].shape[axis])


class Concat(Op):
    """Arrays joined along an existing axis (0 by default); without axis (null), flattened and joined."""

    name = "concat"
    moves = True
    aliases = ("concatenate", "cat", "Concat")
    family = "shape"
    parameters = (Operand("arrays", ("tensors",), variadic=True), Attr("axis", OPTIONAL_AXIS, 0, ("dim",)))
    passes_integers = True
    latex = "\\operatorname{{concat}}({arrays})"
    derivative = {"arrays": "1"}
    rules = (Linear(_concat_part, joint=True),)
    examples = (
        Example(([1.0, 2.0], [3.0], [4.0, 5.0])),
        Example(([[1.0], [2.0]], [[3.0, 4.0], [5.0, 6.0]]), {"axis": 1}),
        Example(([[1.0, 2.0]], 3.0), {"axis": None}, note="flattened"),
        Example(([], [1.0]), note="an empty part"),
    )

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var:
        """One node; a tree of them for very many parts."""
        axis = attrs["axis"]
        if axis is None:
            return joined([v if v.rank == 1 else v.reshape((v.size,)) for v in operands], -1)
        first = operands[0]
        for v in operands:
            if v.rank == 0:
                raise ShapeMismatch(
                    "concat: a scalar has no axis along which to join it; stack makes a new one."
                )
            if v.rank != first.rank:
                raise ShapeMismatch(
                    f"concat: all parts must have as many axes; shapes {list(first.shape)} and {list(v.shape)} do not."
                )
        return joined(operands, normalize_axis(axis, first.rank))

    def infer(self, *avals: Aval, **params: Any) -> Avals:
        """The sum of the sizes along the axis; the others must be equal."""
        axis, first = params["axis"], avals[0]
        at = len(first.shape) + axis
        for aval in avals:
            if aval.shape[:at] != first.shape[:at] or aval.shape[at + 1 :] != first.shape[at + 1 :]:
                raise ShapeMismatch(
                    f"concat along axis {at}: shapes {list(first.shape)} and {list(aval.shape)} differ in another axis."
                )
            if aval.dtype != first.dtype:
                raise DtypeMismatch(f"concat: dtypes {first.dtype} and {aval.dtype} are not equal.")
        total = sum(a.shape[at] for a in avals)
        return Aval((*first.shape[:at], total, *first.shape[at + 1 :]), first.dtype)

    def cuts(
        self, axis: int, operands: Sequence[Aval], result: Aval, /, **params: Any
    ) -> tuple[int | None, ...] | None:
        """Any axis but that of joining."""
        return None if axis == result.rank + params["axis"] else (axis,) * len(operands)

    def evaluate(self, *arrays: Any, **params: Any) -> Any:
        """A new array."""
        return np.concatenate(arrays, axis=params["axis"])

    def into(self, avals: Sequence[Aval], params: Params) -> Into | None:
        """NumPy's, with `out`."""
        axis = dict(params)["axis"]
        return Into(lambda *parts: np.concatenate(parts[:-1], axis, parts[-1]))


registry.add(Concat())

MOST_PARTS = 32
"""Most operands of one `concat` node: the walks look at all of them for each."""


def joined(parts: Sequence[Var], axis: int) -> Var:
    """Parts of equal rank joined along an axis counted from the end."""
    parts = list(parts)
    while True:
        groups = [parts[i : i + MOST_PARTS] for i in range(0, len(parts), MOST_PARTS)]
        parts = [g[0] if len(g) == 1 < len(groups) else g[0].b.write("concat", *g, axis=axis) for g in groups]
        if len(parts) == 1:
            return parts[0]


def python_slices(index: Sequence[tuple[int, int, int]]) -> tuple[slice, ...]:
    """(start, stop, step) as Python slices; a stop of −1 with a negative step means "to the beginning"."""
    return tuple(
        slice(a, None if s < 0 and e < 0 else e, s) if len(range(a, e, s)) else slice(0, 0)
        for a, e, s in index
    )


def take_slice(x: Var, index: Sequence[tuple[int, int, int]]) -> Var:
    """`slice` on the trailing axes, unless it takes everything."""
    tail = x.shape[x.rank - len(index) :]
    if all(s == (0, n, 1) for s, n in zip(index, tail, strict=True)):
        return x
    result: Var = x.b.write("slice", x, index=tuple(index))
    return result


def slice_axis(x: Var, axis: int, start: int, stop: int, step: int = 1) -> Var:
    """One axis (counted from the end) cut, the others whole."""
    tail = x.shape[x.rank + axis :]
    return take_slice(x, [(start, stop, step), *[(0, n, 1) for n in tail[1:]]])
