"""x[…]: integers, slices, `...`, None, arrays of integers and boolean masks in one index, with NumPy's semantics.

Everything static is a view (`slice`, `reshape`, `permute_dims`); index arrays are one gather. An index array may be the
value of a further operand; a slice may not, since the shape of the result would depend on data.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from engine.attrs import INDEX, MAX_LISTED, IndexArray, Slice, integer
from engine.aval import Array, Shape, broadcast_shapes
from engine.builder import Builder, Var, call
from engine.errors import Arity, InvalidAttribute, ShapeMismatch, Unsupported
from engine.op import Attr, Example, InputRef, Op, Operand, registry
from engine.ops.index.gather import checked, gather_axis, known, reshaped, wrapped
from engine.ops.layout.arrange import permuted
from engine.ops.layout.shape import take_slice


class _New(NamedTuple):
    """A new axis of size 1."""


class _Gap(NamedTuple):
    """An ellipsis: it keeps index arrays apart even where it stands for no axis."""


class _Cut(NamedTuple):
    """A slice of an axis, within its bounds."""

    axis: int
    start: int
    stop: int
    step: int

    @property
    def length(self) -> int:
        return len(range(self.start, self.stop, self.step))


class _At(NamedTuple):
    """One entry of an axis."""

    axis: int
    position: int


class _Array(NamedTuple):
    """Entries of an axis at the places of an array, which is in range: a constant, or a Var."""

    axis: int
    places: Array | Var


_Item: TypeAlias = _New | _Gap | _Cut | _At | _Array


class GetItem(Op):
    """Part of an array, x[index], with NumPy's rules: integers, slices, `...`, None, arrays of integers, masks.

    Index arrays are broadcast together and stand in the result where the first of them stands, or in front if a
    slice, `...` or None separates them (integers count as index arrays beside index arrays). A constant mask is the
    list of its true positions. Reading an entry several times adds up its cotangents.

    In a graph `{"input": k}` inside the index is the value of the node's input number k (0 is the array itself).
    Slice bounds and masks must be known before anything runs, since they decide the shape.
    """

    name = "getitem"
    aliases = ("index", "__getitem__")
    family = "indexing"
    parameters = (
        Operand("x", ("a",)),
        Operand("further", variadic=True, integer=True, masks=True, least=0),
        Attr("index", INDEX, aliases=("key",)),
    )
    composite = True
    passes_integers = True
    latex = "{x}[\\,\\cdot\\,]"
    derivative = {"x": "\\dot{x}[\\,\\cdot\\,]"}
    examples = (
        Example(([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]],), {"index": (1, -1)}),
        Example(([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]],), {"index": (Ellipsis, Slice(None, None, -2), None)}),
        Example(
            ([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]],),
            {"index": (IndexArray([0, 1, 1]), IndexArray([2, 0, 0]))},
            note="an entry twice",
        ),
        Example(
            ([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]],),
            {"index": (IndexArray([[True, False, True], [False, True, False]]),)},
        ),
        Example(
            ([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], [2, -3]),
            {"index": (Slice(), InputRef(1))},
            note="a computed index",
        ),
        Example(([1.0, 2.0],), {"index": (Slice(2, None),)}, note="empty"),
    )

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var:
        """Slices first, then at most one gather, then the axes put in their places."""
        x: Var = operands[0]
        index = attrs["index"]
        items = _resolve(
            index if isinstance(index, tuple) and not isinstance(index, Slice) else (index,), operands
        )
        cuts = [(0, n, 1) for n in x.shape]
        for item in items:
            if isinstance(item, _Cut):
                cuts[item.axis] = (item.start, item.stop, item.step)
            elif isinstance(item, _At):
                cuts[item.axis] = (item.position, item.position + 1, 1)
        single = {item.axis for item in items if isinstance(item, _At)}
        y = take_slice(x, cuts)
        kept = [axis for axis in range(x.rank) if axis not in single]
        y = reshaped(y, [y.shape[axis] for axis in kept])
        arrays = [item for item in items if isinstance(item, _Array)]
        block: Shape = ()
        front = False
        if arrays:
            y, block, at = _gathered(y, arrays, [kept.index(item.axis) for item in arrays])
            front = _apart(items)
            if front and at:
                order = range(y.rank)
                y = permuted(y, [*order[at : at + len(block)], *order[:at], *order[at + len(block) :]])
        return reshaped(y, _shape(items, block, front))


registry.add(GetItem())


def _apart(items: Sequence[_Item]) -> bool:
    """Whether something stands between the index arrays; beside these, integers count as such."""
    places = [k for k, item in enumerate(items) if isinstance(item, _At | _Array)]
    return places[-1] - places[0] != len(places) - 1


def _shape(items: Sequence[_Item], block: Shape, front: bool) -> list[int]:
    """Shape of the result: `block` is that of the index arrays."""
    shape: list[int] = []
    rest = block
    if front:
        shape, rest = list(block), ()
    for item in items:
        if isinstance(item, _New):
            shape.append(1)
        elif isinstance(item, _Cut):
            shape.append(item.length)
        elif isinstance(item, _At | _Array):
            shape.extend(rest)
            rest = ()
    return shape


def _gathered(y: Var, arrays: Sequence[_Array], places: Sequence[int]) -> tuple[Var, Shape, int]:
    """The array read at the index arrays, whose axes in y are `places`; their common shape; where it stands in y.

    Several axes are joined into one, along which the place is i₁·n₂·n₃ + i₂·n₃ + i₃.
    """
    sizes = [y.shape[p] for p in places]
    if len(arrays) == 1:
        only = arrays[0].places
        index = only if isinstance(only, Var) else y.b.var(only, "int64")
        return gather_axis(y, index, places[0] - y.rank), index.shape, places[0]
    try:
        block = broadcast_shapes([tuple(item.places.shape) for item in arrays])
    except ShapeMismatch:
        shapes = " and ".join(str(list(item.places.shape)) for item in arrays)
        raise ShapeMismatch(
            f"getitem: index arrays of shapes {shapes} cannot be broadcast together."
        ) from None
    at = places[0]
    if list(places) != list(range(at, at + len(places))):
        y, at = permuted(y, [*places, *[k for k in range(y.rank) if k not in places]]), 0
    y = reshaped(y, [*y.shape[:at], prod(sizes), *y.shape[at + len(places) :]])
    strides = [prod(sizes[k + 1 :]) for k in range(len(sizes))]
    index = _combined(y.b, arrays, strides, block)
    return gather_axis(y, index, at - y.rank), block, at


def _combined(b: Builder, arrays: Sequence[_Array], strides: Sequence[int], block: Shape) -> Var:
    constants = [
        (item.places, s) for item, s in zip(arrays, strides, strict=True) if not isinstance(item.places, Var)
    ]
    # Index arrays of shapes [n, 1] and [1, n] are small where their sum is not: a large sum is left to nodes, whose
    # size the builder bounds before it exists.
    if len(constants) == len(arrays) and prod(block) <= MAX_LISTED:
        total: Array = np.zeros(block, np.int64)
        for place, stride in constants:
            total = total + place * stride
        return b.var(total, "int64")
    index: Var | None = None
    for item, stride in zip(arrays, strides, strict=True):
        v = item.places if isinstance(item.places, Var) else b.var(item.places, "int64")
        v = v if stride == 1 else call(b, "multiply", v, b.var(np.asarray(stride), "int64"))
        index = v if index is None else call(b, "add", index, v)
    assert index is not None
    return index


# ------------------------------------------------------------------------------------------------- reading the index


def _resolve(index: Sequence[Any], operands: Sequence[Any]) -> list[_Item]:
    """The index with bounds checked, `...` written out, and masks as the positions where they are true."""
    shape: Shape = operands[0].shape
    parts = [_part(part, operands) for part in index]
    named = sum(_axes(part) for part in parts)
    if named > len(shape):
        raise InvalidAttribute(
            f"getitem: too many indices: the array has {len(shape)} axes (shape {list(shape)}), and the index names "
            f"{named}."
        )
    if sum(part is Ellipsis for part in parts) > 1:
        raise InvalidAttribute("getitem: an index can have only one ellipsis (...).")
    if not any(part is Ellipsis for part in parts):
        parts.append(Ellipsis)
    items: list[_Item] = []
    axis = 0
    for part in parts:
        if part is None:
            items.append(_New())
        elif part is Ellipsis:
            items.append(_Gap())
            items.extend(_Cut(axis + k, 0, shape[axis + k], 1) for k in range(len(shape) - named))
            axis += len(shape) - named
        else:
            items.extend(_on_axis(part, axis, shape))
            axis += _axes(part)
    return items


def _part(part: Any, operands: Sequence[Any]) -> Any:
    """One part of the index, with references to operands replaced by them."""
    if isinstance(part, InputRef):
        if not 1 <= part.index < len(operands) or operands[part.index] is None:
            raise Arity(
                f"getitem: the index refers to input {part.index} of the node, which has {len(operands)} inputs "
                f"(input 0 is the array, the further ones count from 1)."
            )
        v: Var = operands[part.index]
        if v.dtype == "bool":
            mask = known(v)
            if mask is not None and mask.ndim:
                return mask
            raise Unsupported(
                "getitem: x[mask] has a shape that depends on the values in the mask, and shapes must be known "
                "before anything runs. Use where(mask, x, 0), whose sum is the sum of the chosen entries; sum(mask) "
                "counts them."
            )
        return v
    if isinstance(part, Slice):
        for name, bound in zip(part._fields, part, strict=True):
            if isinstance(bound, InputRef | Var):
                raise Unsupported(
                    f"getitem: the {name} of a slice decides the shape of the result, so it must be known before "
                    f"anything runs: a constant, or made of shapes. For n entries from a computed start on, use "
                    f"take(x, start + arange(n)); for a range that varies, where(…, x, 0)."
                )
        try:
            start, stop, step = (None if bound is None else integer(bound) for bound in part)
        except ValueError as wrong:
            raise InvalidAttribute(f"getitem: the bounds of a slice must be integers; {wrong}.") from None
        if step == 0:
            raise InvalidAttribute("getitem: the step of a slice cannot be 0.")
        return slice(start, stop, step)
    if isinstance(part, IndexArray):
        array = part.value
        if array.dtype.kind == "b" and array.ndim:
            return array
        if array.dtype.kind not in "iu":
            raise InvalidAttribute(
                f"getitem: an index array must hold integers or booleans, not {array.dtype}."
            )
        return array.astype(np.int64) if array.ndim else int(array)
    if part is None or part is Ellipsis:
        return part
    try:
        return integer(part)
    except ValueError as wrong:
        raise InvalidAttribute(f"getitem: an index must be made of integers, slices, … ; {wrong}.") from None


def _axes(part: Any) -> int:
    """How many axes of the array a part of the index takes."""
    if part is None or part is Ellipsis:
        return 0
    return part.ndim if isinstance(part, np.ndarray) and part.dtype.kind == "b" else 1


def _on_axis(part: Any, axis: int, shape: Shape) -> list[_Item]:
    """What a part of the index does to the axes from `axis` on."""
    n = shape[axis]
    if isinstance(part, int):
        return [_At(axis, int(wrapped(np.asarray(part), n, by="getitem", what=f"axis {axis}")))]
    if isinstance(part, slice):
        cut = part.indices(n)
        return [_Cut(axis, *(cut if len(range(*cut)) else (0, 0, 1)))]
    if isinstance(part, Var):
        return [_Array(axis, checked(part, n, by="getitem", what=axis))]
    if part.dtype.kind != "b":
        return [_Array(axis, wrapped(part, n, by="getitem", what=f"axis {axis}"))]
    own = shape[axis : axis + part.ndim]
    if part.shape != own:
        raise ShapeMismatch(
            f"getitem: a mask of shape {list(part.shape)} does not fit the axes from {axis} on of an array of shape "
            f"{list(shape)}, which are {list(own)}."
        )
    return [_Array(axis + k, places.astype(np.int64)) for k, places in enumerate(part.nonzero())]
