"""Arrays joined and taken apart: stack and its kin, split, unstack, meshgrid. Written with the core of `shape`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from engine.attrs import AXIS, MAX_LISTED, integer, integers, one_of
from engine.aval import broadcast_shapes, normalize_axis
from engine.builder import Builder, Var, broadcast_to
from engine.errors import ShapeMismatch
from engine.op import Attr, Example, Kind, Op, Operand, registry
from engine.ops.layout.arrange import MATRIX, Arrangement, at_least, expanded
from engine.ops.layout.shape import joined, slice_axis

ARRAYS = Operand("arrays", ("tensors",), variadic=True)

# -------------------------------------------------------------------------------------------------------------- joined


class Stack(Arrangement):
    """Arrays of one shape joined along a new axis, which becomes `axis` of the result (0 by default)."""

    name = "stack"
    parameters = (ARRAYS, Attr("axis", AXIS, 0, ("dim",)))
    latex = "\\operatorname{{stack}}({arrays})"
    derivative = {"arrays": "1"}
    examples = (
        Example(([1.0, 2.0], [3.0, 4.0], [5.0, 6.0])),
        Example(([1.0, 2.0], [3.0, 4.0], [5.0, 6.0]), {"axis": -1}),
        Example((1.0, 2.0), note="scalars to a vector"),
    )

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var:
        """Reshapes and a concat."""
        return stacked(operands, attrs["axis"], "stack")


class ArrayOf(Arrangement):
    """An array of its elements, as `numpy.array` of a list: scalars to a vector, vectors to the rows of a matrix."""

    name = "array"
    aliases = ("tensor",)
    parameters = (Operand("elements", ("object",), variadic=True, least=0),)
    latex = "\\left[ {elements} \\right]"
    derivative = {"elements": "1"}
    examples = (
        Example((1.0, 2.0, 3.0)),
        Example(([1.0, 2.0], [3.0, 4.0])),
        Example((), note="the empty vector"),
    )

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var:
        """A stack along axis 0."""
        return stacked(operands, 0, "array") if operands else b.var(np.zeros(0))


def stacked(parts: Sequence[Var], axis: int, name: str) -> Var:
    """Parts of one shape along a new axis (counted in the result)."""
    first = parts[0]
    for v in parts:
        if v.shape != first.shape:
            raise ShapeMismatch(
                f"{name}: all parts must have one shape; shapes {list(first.shape)} and {list(v.shape)} differ."
            )
    at = normalize_axis(axis, first.rank + 1)
    return joined([expanded(v, (at,)) for v in parts], at)


class _Stacked(Arrangement):
    """Arrays joined after each has been given the rank that it needs."""

    parameters = (ARRAYS,)

    def __init__(
        self,
        name: str,
        prepare: Callable[[Var], Var],
        doc: str,
        axis: Callable[[Var], int],
        aliases: tuple[str, ...] = (),
    ) -> None:
        self.name = name
        self.prepare = prepare
        self.axis = axis
        self.__doc__ = doc
        self.aliases = aliases
        self.latex = f"\\operatorname{{{{{name}}}}}({{arrays}})"
        self.derivative = {"arrays": "1"}
        self.examples = (
            Example(([1.0, 2.0], [3.0, 4.0])),
            Example((MATRIX, MATRIX)),
        )

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var:
        """Reshapes and a concat."""
        parts = [self.prepare(v) for v in operands]
        first = parts[0]
        at = self.axis(first)
        for v in parts:
            same = v.rank == first.rank and all(
                a == at or v.shape[a] == first.shape[a] for a in range(-v.rank, 0)
            )
            if not same:
                raise ShapeMismatch(
                    f"{self.name}: shapes {list(first.shape)} and {list(v.shape)} cannot be joined along axis "
                    f"{at + first.rank}; all their other axes must be equal."
                )
        return joined(parts, at)


def _as_column(x: Var) -> Var:
    return x if x.rank > 1 else x.reshape((x.size, 1))


def _deep(x: Var) -> Var:
    return expanded(at_least(x, 2), (-1,)) if x.rank < 3 else x


# ---------------------------------------------------------------------------------------------------------- taken apart


def _sections(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return integers(value)
    count = integer(value)
    if not 1 <= count <= MAX_LISTED:
        raise ValueError(f"{count} is not from 1 to {MAX_LISTED}")
    return count


SECTIONS = Kind("a number of parts, or a list of the places to cut", _sections)


class Split(Arrangement):
    """The array cut along an axis into equal parts, or at the given indices; as many results as parts.

    With indices [2, 5] the parts are x[:2], x[2:5] and x[5:]. `array_split` allows parts that differ by one.
    """

    name = "split"
    results = ("part", "…")
    uneven = False
    parameters = (
        Operand("x", ("ary", "input")),
        Attr("indices_or_sections", SECTIONS, aliases=("sections", "indices")),
        Attr("axis", AXIS, 0, ("dim",)),
    )
    latex = "\\operatorname{{split}} {x}"
    derivative = {"x": "1"}
    examples: tuple[Example, ...] = (
        Example(([1.0, 2.0, 3.0, 4.0],), {"indices_or_sections": 2}),
        Example((MATRIX,), {"indices_or_sections": (1, 2), "axis": 1}),
        Example(([1.0, 2.0, 3.0],), {"indices_or_sections": (2, 5)}, note="an empty part"),
    )

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> tuple[Var, ...]:
        """Slices."""
        (x,), cuts = operands, attrs["indices_or_sections"]
        axis = normalize_axis(attrs["axis"], x.rank)
        n = x.shape[axis]
        if isinstance(cuts, int):
            if n % cuts and not self.uneven:
                raise ShapeMismatch(
                    f"split: an axis of size {n} cannot be cut into {cuts} equal parts; array_split takes unequal ones."
                )
            size, larger = divmod(n, cuts)
            ends = [size * (k + 1) + min(k + 1, larger) for k in range(cuts)]
            pieces = list(zip([0, *ends], ends, strict=False))
        else:
            pieces = [slice(a, e).indices(n)[:2] for a, e in zip((None, *cuts), (*cuts, None), strict=True)]
        return tuple(slice_axis(x, axis, start, max(start, stop)) for start, stop in pieces)


class ArraySplit(Split):
    """The array cut along an axis into parts that differ by at most one in size, or at the given indices."""

    name = "array_split"
    aliases = ("tensor_split",)
    uneven = True
    examples: tuple[Example, ...] = (
        Example(([1.0, 2.0, 3.0, 4.0, 5.0],), {"indices_or_sections": 3}),
        Example((MATRIX,), {"indices_or_sections": (1,), "axis": 1}),
    )


class Unstack(Arrangement):
    """The array taken apart along an axis, which is gone from the parts; as many results as the axis is long."""

    name = "unstack"
    aliases = ("unbind",)
    results = ("part", "…")
    parameters = (Operand("x", ("input",)), Attr("axis", AXIS, 0, ("dim",)))
    latex = "\\operatorname{{unstack}} {x}"
    derivative = {"x": "1"}
    examples = (Example((MATRIX,)), Example((MATRIX,), {"axis": 1}))

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> tuple[Var, ...]:
        """Slices, without the axis."""
        (x,) = operands
        axis = normalize_axis(attrs["axis"], x.rank)
        if x.shape[axis] == 0:
            raise ShapeMismatch(
                f"unstack: axis {axis + x.rank} of shape {list(x.shape)} is empty: there are no parts."
            )
        rest = [m for a, m in enumerate(x.shape) if a - x.rank != axis]
        return tuple(slice_axis(x, axis, k, k + 1).reshape(rest) for k in range(x.shape[axis]))


# -------------------------------------------------------------------------------------------------- stretched together


class MeshGrid(Arrangement):
    """Coordinate arrays of a grid from the coordinates along its axes; one result for each.

    With indexing 'xy' (NumPy's default) the first coordinate runs along axis 1 and the second along axis 0; with 'ij',
    coordinate k runs along axis k.
    """

    name = "meshgrid"
    results = ("grid", "…")
    parameters = (ARRAYS, Attr("indexing", one_of("xy", "ij"), "xy", keyword_only=True))
    latex = "\\operatorname{{meshgrid}}({arrays})"
    derivative = {"arrays": "1"}
    examples = (
        Example(([1.0, 2.0, 3.0], [4.0, 5.0])),
        Example(([1.0, 2.0, 3.0], [4.0, 5.0]), {"indexing": "ij"}),
        Example(([1.0, 2.0], 3.0, [4.0, 5.0, 6.0])),
    )

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> tuple[Var, ...]:
        """Reshapes and stretches."""
        for v in operands:
            if v.rank > 1:
                raise ShapeMismatch(f"meshgrid takes vectors; one operand has shape {list(v.shape)}.")
        count = len(operands)
        places = list(range(count))
        if attrs["indexing"] == "xy" and count > 1:
            places[:2] = [1, 0]
        shape = [1] * count
        for place, v in zip(places, operands, strict=True):
            shape[place] = v.size
        grids = []
        for place, v in zip(places, operands, strict=True):
            own = [v.size if a == place else 1 for a in range(count)]
            grids.append(broadcast_to(v.reshape(own), tuple(shape)))
        return tuple(grids)


class BroadcastArrays(Arrangement):
    """Arrays stretched to their common shape; one result for each."""

    name = "broadcast_arrays"
    aliases = ("broadcast_tensors",)
    results = ("array", "…")
    parameters = (ARRAYS,)
    latex = "\\operatorname{{broadcast}}({arrays})"
    derivative = {"arrays": "1"}
    examples = (Example(([1.0, 2.0, 3.0], [[4.0], [5.0]])), Example((1.0, [1.0, 2.0])))

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> tuple[Var, ...]:
        """Stretches."""
        shape = broadcast_shapes([v.shape for v in operands])
        return tuple(broadcast_to(v, shape) for v in operands)


_JOINS: tuple[Op, ...] = (
    Stack(),
    ArrayOf(),
    _Stacked(
        "hstack", lambda x: at_least(x, 1), "Arrays joined side by side: vectors along axis 0, others along axis 1.",
        lambda x: -1 if x.rank == 1 else 1 - x.rank,
    ),
    _Stacked(
        "vstack", lambda x: at_least(x, 2), "Arrays joined one below the other, along axis 0; vectors are rows.",
        lambda x: -x.rank, ("row_stack",),
    ),
    _Stacked(
        "dstack", _deep, "Arrays joined along a third axis, which vectors and matrices get.", lambda x: 2 - x.rank,
    ),
    _Stacked(
        "column_stack", _as_column, "Vectors as the columns of a matrix; matrices joined side by side.",
        lambda x: 1 - x.rank,
    ),
    Split(),
    ArraySplit(),
    Unstack(),
    MeshGrid(),
    BroadcastArrays(),
)  # fmt: skip
for _op in _JOINS:
    registry.add(_op)
