"""Avals: shape and dtype of a value, without the value.

Everything that can be known before anything is computed (result shapes, memory, cost, most errors) follows from avals.

The engine computes with four dtypes. A program has one floating dtype (`float64` unless the request asks for
`float32`), so there is no promotion between floating dtypes; integers and booleans are promoted to it, never back.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import prod
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from engine.errors import ShapeMismatch

DType: TypeAlias = Literal["float64", "float32", "int64", "bool"]
Shape: TypeAlias = tuple[int, ...]
Array: TypeAlias = npt.NDArray[Any]
"""A NumPy array, or a NumPy scalar where the shape is ()."""

ITEMSIZE: dict[str, int] = {"float64": 8, "float32": 4, "int64": 8, "bool": 1}
MAX_RANK = 32
"""NumPy's own limit is 64; one leading axis each is kept free for maps over batches, seeds and directions."""


class Aval(NamedTuple):
    """Shape and dtype of an array: what type-checking a program works on."""

    shape: Shape
    dtype: DType

    @property
    def size(self) -> int:
        """Number of elements."""
        return prod(self.shape)

    @property
    def rank(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes that a dense array of this shape and dtype takes."""
        return prod(self.shape) * ITEMSIZE[self.dtype]

    @property
    def floating(self) -> bool:
        """Whether such a value can have a derivative."""
        return self.dtype == "float64" or self.dtype == "float32"

    def __str__(self) -> str:
        return f"{self.dtype}{list(self.shape)}"


Avals: TypeAlias = Aval | tuple["Aval", ...]
"""What a node yields: one aval, or one for each result of an op with several."""

FLOAT64 = Aval((), "float64")
FLOAT32 = Aval((), "float32")
INT64 = Aval((), "int64")
BOOL = Aval((), "bool")

_DTYPES: dict[np.dtype[Any], DType] = {
    np.dtype(np.float64): "float64",
    np.dtype(np.float32): "float32",
    np.dtype(np.int64): "int64",
    np.dtype(np.bool_): "bool",
}


def aval_of(value: Array) -> Aval:
    """The aval of an array that has one of the engine's four dtypes."""
    return Aval(value.shape, _DTYPES[value.dtype])


def broadcast_shapes(shapes: Iterable[Shape]) -> Shape:
    """The common shape of operands by NumPy's broadcasting rule: axes are matched from the end, 1 stretches.

    Raises `ShapeMismatch` naming the first two shapes that do not go together.
    """
    result: list[int] = []
    seen: list[Shape] = []
    for shape in shapes:
        if len(shape) > len(result):
            result = [1] * (len(shape) - len(result)) + result
        offset = len(result) - len(shape)
        for i, n in enumerate(shape):
            have = result[offset + i]
            if have == 1:
                result[offset + i] = n
            elif n not in (1, have):
                other = next(
                    s for s in seen if len(s) >= len(shape) - i and s[len(s) - len(shape) + i] not in (1, n)
                )
                raise ShapeMismatch(
                    f"Shapes {list(other)} and {list(shape)} cannot be broadcast together: counted from the end, "
                    f"axis {i - len(shape)} is {have} in one and {n} in the other. Sizes must be equal, or 1."
                )
        seen.append(shape)
    return tuple(result)


def normalize_axis(axis: int, rank: int, *, what: str = "axis") -> int:
    """The axis counted from the end (−rank … −1), which stays right when leading batch axes are added.

    Raises `ShapeMismatch` for an axis that an array of `rank` axes does not have.
    """
    if not -rank <= axis < rank:
        allowed = f"from {-rank} to {rank - 1}" if rank else "none: the operand is a scalar"
        raise ShapeMismatch(f"{what} {axis} does not exist in an array of {rank} axes (allowed: {allowed}).")
    return axis - rank if axis >= 0 else axis


def normalize_axes(axes: int | Sequence[int] | None, rank: int, *, what: str = "axis") -> tuple[int, ...]:
    """Axes counted from the end, in ascending order; None means all of them. Repeated axes are refused."""
    if axes is None:
        return tuple(range(-rank, 0))
    listed = (axes,) if isinstance(axes, int) else tuple(axes)
    result = tuple(sorted(normalize_axis(a, rank, what=what) for a in listed))
    if len(set(result)) != len(result):
        raise ShapeMismatch(f"{what} {list(listed)} names an axis twice.")
    return result


def without_axes(shape: Shape, axes: Sequence[int]) -> Shape:
    """The shape with `axes` (counted from the end) removed."""
    gone = {a + len(shape) for a in axes}
    return tuple(n for i, n in enumerate(shape) if i not in gone)


def axis_before(axis: int, rank: int, axes: Sequence[int]) -> int:
    """The axis (from 0) of an array of `rank` axes that is `axis` once `axes` (from the end) are removed."""
    gone = {a + rank for a in axes}
    return [i for i in range(rank) if i not in gone][axis]


def kept_axes(shape: Shape, axes: Sequence[int]) -> Shape:
    """The shape with `axes` (counted from the end) reduced to 1, as by `keepdims`."""
    ones = {a + len(shape) for a in axes}
    return tuple(1 if i in ones else n for i, n in enumerate(shape))
