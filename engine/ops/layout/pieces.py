"""Arrays taken apart and put together anew: insert, delete, append, resize, hsplit, chunk, narrow, flatten, unflatten."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

from engine.attrs import AXIS, COUNT, INT, INTS, KNOWN_INTS, MAX_LISTED, OPTIONAL_AXIS, SHAPE
from engine.aval import normalize_axis
from engine.builder import Builder, Var, broadcast_to, call
from engine.errors import InvalidAttribute, LimitExceeded, ShapeMismatch
from engine.op import Attr, Example, Operand
from engine.ops.index.gather import reshaped
from engine.ops.layout.arrange import MATRIX, check_size
from engine.ops.layout.joining import SECTIONS
from engine.ops.layout.shape import filled_shape, joined, slice_axis
from engine.ops.written import written

_X = Operand("x", ("arr", "a", "input"))
_SHAPE = {"family": "shape", "passes_integers": True}
_OBJ = Attr("obj", KNOWN_INTS, aliases=("indices",))


def _flat(x: Var, axis: int | None) -> tuple[Var, int]:
    """The array and its axis counted from 0; flattened without one."""
    if axis is None:
        return reshaped(x, (x.size,)), 0
    return x, normalize_axis(axis, x.rank) + x.rank


def _at(obj: int, n: int, name: str, last: int) -> int:
    if not -n <= obj <= last:
        raise InvalidAttribute(
            f"{name}: index {obj} is out of range for an axis of size {n} (allowed: {-n} to {last})."
        )
    return obj + n if obj < 0 else obj


def _delete(b: Builder, x: Var, **attrs: Any) -> Var:
    x, axis = _flat(x, attrs["axis"])
    n, obj = x.shape[axis], attrs["obj"]
    gone = sorted({_at(k, n, "delete", n - 1) for k in ((obj,) if isinstance(obj, int) else obj)})
    pieces = [(i + 1, j) for i, j in zip([-1, *gone], [*gone, n], strict=True) if i + 1 < j]
    parts = [slice_axis(x, axis - x.rank, i, j) for i, j in pieces] or [slice_axis(x, axis - x.rank, 0, 0)]
    return joined(parts, axis - x.rank) if len(parts) > 1 else parts[0]


written(
    "delete",
    _delete,
    _X,
    _OBJ,
    Attr("axis", OPTIONAL_AXIS, None, ("dim",)),
    doc="The array without the entries at indices (constants) along an axis; without axis, flattened. `numpy.delete`.",
    latex="{x} \\setminus {obj}",
    examples=(
        Example(([1.0, 2.0, 3.0, 4.0],), {"obj": 1}),
        Example((MATRIX,), {"obj": (0, -1, 0), "axis": 1}),
        Example((MATRIX,), {"obj": 4}, note="flattened"),
        Example(([1.0],), {"obj": (0,)}, note="nothing left"),
    ),
    **_SHAPE,
)


def _insert(b: Builder, x: Var, values: Var, **attrs: Any) -> Var:
    x, at = _flat(x, attrs["axis"])
    axis, obj, n = at - x.rank, attrs["obj"], x.shape[at]
    listed = [obj] if isinstance(obj, int) else list(obj)
    if not listed:
        return x
    places = [_at(k, n, "insert", n) for k in listed]
    if values.rank > x.rank:
        raise ShapeMismatch(
            f"insert: values of shape {list(values.shape)} have more axes than the array, {x.rank}."
        )
    if len(places) == 1:
        v = reshaped(values, [1] * (x.rank - values.rank) + list(values.shape))
        if isinstance(obj, int) and at:  # as x[:, k] = values, in which the axis is gone
            v = call(b, "moveaxis", v, source=(0,), destination=(at,))
        count = v.shape[at]
    else:
        v, count = values, len(places)
    shape = tuple(count if a == at else m for a, m in enumerate(x.shape))
    try:
        v = broadcast_to(v, shape)
    except ShapeMismatch:
        raise ShapeMismatch(
            f"insert: values of shape {list(values.shape)} cannot be broadcast to {list(shape)}, the shape of what is "
            "inserted."
        ) from None
    if len(places) == 1:
        k = places[0]
        parts = [slice_axis(x, axis, 0, k), v, slice_axis(x, axis, k, n)]
    else:
        parts, done = [], 0
        for j in sorted(range(count), key=lambda j: places[j]):
            parts += [slice_axis(x, axis, done, places[j]), slice_axis(v, axis, j, j + 1)]
            done = places[j]
        parts.append(slice_axis(x, axis, done, n))
    return joined([p for p in parts if p.shape[at]] or [x], axis)


written(
    "insert",
    _insert,
    _X,
    _OBJ,
    Operand("values", ("value",)),
    Attr("axis", OPTIONAL_AXIS, None, ("dim",)),
    doc="""The array with values inserted before indices (constants) along an axis; without axis, flattened. `numpy.insert`.

    Indices count in the array as it is given. At a single integer any number of values may be inserted.""",
    latex="\\operatorname{{insert}}({x}, {values})",
    derivative={"x": "1", "values": "1"},
    examples=(
        Example(([1.0, 2.0, 3.0], [7.0, 8.0]), {"obj": 1}),
        Example((MATRIX, [7.0, 8.0]), {"obj": 1, "axis": 1}, note="a column"),
        Example((MATRIX, [7.0, 8.0]), {"obj": (2, 0), "axis": -1}),
        Example((MATRIX, [[7.0], [8.0]]), {"obj": (-1,), "axis": 1}),
        Example((MATRIX, 9.0), {"obj": 6}, note="flattened, at the end"),
        Example((MATRIX, [7.0, 8.0, 9.0]), {"obj": (1, 1), "axis": 0}),
    ),
    **_SHAPE,
)


def _append(b: Builder, x: Var, values: Var, **attrs: Any) -> Var:
    return call(b, "concat", x, values, axis=attrs["axis"])


written(
    "append",
    _append,
    _X,
    Operand("values"),
    Attr("axis", OPTIONAL_AXIS, None, ("dim",)),
    doc="Values joined to the end of an array along an axis; without axis, both flattened. It is `concat` of two.",
    latex="\\operatorname{{append}}({x}, {values})",
    derivative={"x": "1", "values": "1"},
    examples=(
        Example(([1.0, 2.0], 3.0)),
        Example((MATRIX, [[7.0, 8.0, 9.0]]), {"axis": 0}),
    ),
    **_SHAPE,
)


def _resize(b: Builder, x: Var, **attrs: Any) -> Var:
    shape = tuple(attrs["new_shape"]) if not isinstance(attrs["new_shape"], int) else (attrs["new_shape"],)
    if any(n < 0 for n in shape):
        raise InvalidAttribute(f"resize: the shape {list(shape)} has a negative size.")
    check_size(b, shape, x)
    n = prod(shape)
    if n and not x.size:
        return broadcast_to(b.var(0.0, x.dtype), shape)
    flat = reshaped(x, (x.size,))
    if n > x.size:
        rows = -(-n // x.size)
        flat = reshaped(broadcast_to(flat, (rows, x.size)), (rows * x.size,))
    return reshaped(slice_axis(flat, -1, 0, n), shape)


written(
    "resize",
    _resize,
    _X,
    Attr("new_shape", SHAPE, aliases=("shape",)),
    doc="The array's elements in another shape, used again from the first where they are too few, as `numpy.resize`.",
    latex="{x}",
    examples=(
        Example((MATRIX,), {"new_shape": (3, 3)}),
        Example((MATRIX,), {"new_shape": (2, 2)}),
        Example((5.0,), {"new_shape": 3}),
        Example((MATRIX,), {"new_shape": 0}),
    ),
    **_SHAPE,
)


# --------------------------------------------------------------------------------------------------------- taken apart


def _split_along(
    name: str, axis: Callable[[int], int], least: int, words: str, *calls: tuple[Any, Any]
) -> None:
    def write(b: Builder, x: Var, **attrs: Any) -> Any:
        if x.rank < least:
            raise ShapeMismatch(
                f"{name} needs an array of at least {least} axes; here the shape is {list(x.shape)}."
            )
        return call(b, "split", x, indices_or_sections=attrs["indices_or_sections"], axis=axis(x.rank))

    written(
        name,
        write,
        Operand("x", ("ary", "input")),
        Attr("indices_or_sections", SECTIONS, aliases=("sections", "indices")),
        doc=f"The array cut along its {words} into equal parts, or at the given indices. See `split`.",
        latex="\\operatorname{{split}} {x}",
        derivative={"x": "1"},
        results=("part", "…"),
        examples=tuple(Example((x,), {"indices_or_sections": cuts}) for x, cuts in calls),
        **_SHAPE,
    )


_split_along("vsplit", lambda rank: 0, 2, "first axis", (MATRIX, 2), (MATRIX, (1,)))
_split_along(
    "hsplit", lambda rank: 0 if rank == 1 else 1, 1, "second axis (a vector along its only one)",
    (MATRIX, 3), ([1.0, 2.0, 3.0], (2,)),
)  # fmt: skip
_split_along("dsplit", lambda rank: 2, 3, "third axis", ([MATRIX, MATRIX], 3), ([MATRIX], (1,)))


def _chunk(b: Builder, x: Var, **attrs: Any) -> tuple[Var, ...]:
    axis, chunks = normalize_axis(attrs["dim"], x.rank), attrs["chunks"]
    if chunks < 1:
        raise InvalidAttribute(f"chunk: there must be at least one chunk, not {chunks}.")
    n = x.shape[axis]
    size = max(-(-n // chunks), 1)
    if n > size * MAX_LISTED:
        raise LimitExceeded("parts", MAX_LISTED, -(-n // size))
    return tuple(slice_axis(x, axis, k, min(k + size, n)) for k in range(0, max(n, 1), size))


written(
    "chunk",
    _chunk,
    Operand("x", ("input",)),
    Attr("chunks", COUNT),
    Attr("dim", AXIS, 0, ("axis",)),
    doc="""PyTorch's `chunk`: the array cut into parts of equal size, the last one smaller (there may be fewer than asked for).

    `array_split` makes as many as asked for.""",
    latex="\\operatorname{{chunk}} {x}",
    derivative={"x": "1"},
    results=("part", "…"),
    examples=(
        Example(([1.0, 2.0, 3.0, 4.0, 5.0],), {"chunks": 3}),
        Example((MATRIX,), {"chunks": 2, "dim": 1}),
        Example(([1.0, 2.0, 3.0, 4.0],), {"chunks": 3}, note="fewer parts"),
    ),
    **_SHAPE,
)


def _narrow(b: Builder, x: Var, **attrs: Any) -> Var:
    axis, start, length = normalize_axis(attrs["dim"], x.rank), attrs["start"], attrs["length"]
    n = x.shape[axis]
    start = start + n if start < 0 else start
    if not 0 <= start <= n or not 0 <= length <= n - start:
        raise InvalidAttribute(
            f"narrow: {length} entries from {attrs['start']} on are not all in an axis of size {n}."
        )
    return slice_axis(x, axis, start, start + length)


written(
    "narrow",
    _narrow,
    Operand("x", ("input",)),
    Attr("dim", AXIS, aliases=("axis",)),
    Attr("start", INT),
    Attr("length", COUNT),
    doc="PyTorch's `narrow`: `length` entries from `start` on along one dim. It is a slice.",
    latex="{x}",
    examples=(
        Example((MATRIX,), {"dim": 1, "start": 1, "length": 2}),
        Example((MATRIX,), {"dim": 0, "start": -1, "length": 0}, note="empty"),
    ),
    **_SHAPE,
)


# ------------------------------------------------------------------------------------------------------- axes joined


def _flatten(b: Builder, x: Var, **attrs: Any) -> Var:
    if not x.rank:
        return x.reshape((1,))
    start, end = (normalize_axis(attrs[k], x.rank, what=k) + x.rank for k in ("start_dim", "end_dim"))
    if start > end:
        raise InvalidAttribute(
            f"flatten: start_dim {attrs['start_dim']} lies behind end_dim {attrs['end_dim']}."
        )
    return x.reshape((*x.shape[:start], prod(x.shape[start : end + 1]), *x.shape[end + 1 :]))


written(
    "flatten",
    _flatten,
    Operand("x", ("a", "input")),
    Attr("start_dim", AXIS, 0),
    Attr("end_dim", AXIS, -1),
    doc="All elements in one vector, in C order; with PyTorch's `start_dim` and `end_dim`, these axes joined into one.",
    latex="\\operatorname{{vec}} {x}",
    derivative={"x": "1"},
    examples=(
        Example((MATRIX,)),
        Example(([MATRIX, MATRIX],), {"start_dim": 1}),
        Example((3.0,)),
        Example(([],)),
    ),
    **_SHAPE,
)


def _flatten_to_2d(b: Builder, x: Var, **attrs: Any) -> Var:
    axis = attrs["axis"]
    if not -x.rank <= axis <= x.rank:
        raise InvalidAttribute(f"flatten_to_2d: axis {axis} is not from {-x.rank} to {x.rank}.")
    at = axis + x.rank if axis < 0 else axis
    return x.reshape((prod(x.shape[:at]), prod(x.shape[at:])))


written(
    "flatten_to_2d",
    _flatten_to_2d,
    Operand("x", ("input", "data")),
    Attr("axis", INT, 1),
    aliases=("Flatten",),
    doc="ONNX Flatten: a matrix whose rows are the axes before `axis`, and whose columns are the others.",
    latex="{x}",
    examples=(
        Example(([MATRIX, MATRIX],)),
        Example((MATRIX,), {"axis": 0}),
        Example((MATRIX,), {"axis": -1}),
    ),
    **_SHAPE,
)


def _unflatten(b: Builder, x: Var, **attrs: Any) -> Var:
    axis = normalize_axis(attrs["dim"], x.rank) + x.rank
    sizes: Sequence[int] = filled_shape(attrs["sizes"], x.shape[axis])
    if prod(sizes) != x.shape[axis]:
        raise ShapeMismatch(f"unflatten: an axis of size {x.shape[axis]} cannot become {list(sizes)}.")
    return x.reshape((*x.shape[:axis], *sizes, *x.shape[axis + 1 :]))


written(
    "unflatten",
    _unflatten,
    Operand("x", ("input",)),
    Attr("dim", AXIS, aliases=("axis",)),
    Attr("sizes", INTS, aliases=("shape",)),
    doc="PyTorch's `unflatten`: one axis taken apart into several; one of their sizes may be −1.",
    latex="{x}",
    examples=(Example(([[1.0, 2.0, 3.0, 4.0]],), {"dim": 1, "sizes": (2, -1)}),),
    **_SHAPE,
)


def _atleast_3d(b: Builder, x: Var, **attrs: Any) -> Var:
    shape = x.shape
    return reshaped(
        x,
        (1, 1, 1)
        if not shape
        else (1, shape[0], 1)
        if x.rank == 1
        else (*shape, 1)
        if x.rank == 2
        else shape,
    )


written(
    "atleast_3d",
    _atleast_3d,
    _X,
    doc="The array with at least three axes, as NumPy's: a vector as 1×n×1, a matrix as m×n×1.",
    latex="{x}",
    examples=(Example((3.0,)), Example(([1.0, 2.0],)), Example((MATRIX,)), Example(([MATRIX],))),
    **_SHAPE,
)
