"""Diagonals and triangles: diag, diagonal, tril, triu. Written with the core of `shape`.

A matrix in C order holds its diagonal at equal distances, so a diagonal is a slice of the flattened matrix, and a
diagonal matrix is a vector laid into zeros.
"""

from __future__ import annotations

from typing import Any

from engine.attrs import AXIS, INT
from engine.aval import normalize_axes, normalize_axis
from engine.builder import Builder, Var, call
from engine.errors import ShapeMismatch
from engine.op import Attr, Example, Operand, registry
from engine.ops.layout.arrange import MATRIX, Arrangement, check_size, permuted
from engine.ops.layout.shape import take_slice

MATRICES = Operand("x", ("a", "m", "v", "input"))


def places(rows: int, columns: int, k: int) -> tuple[int, int, int]:
    """Where diagonal k lies in a flattened matrix, as (start, stop, step); empty where the matrix has none."""
    count = min(rows + min(k, 0), columns - max(k, 0))
    if count <= 0:
        return 0, 0, 1
    start = k if k >= 0 else -k * columns
    return start, start + (count - 1) * (columns + 1) + 1, columns + 1


def diagonal_of(x: Var, k: int) -> Var:
    """Diagonal k of the matrices in the last two axes."""
    rows, columns = x.shape[-2:]
    return take_slice(x.reshape((*x.shape[:-2], rows * columns)), [places(rows, columns, k)])


class Diagonal(Arrangement):
    """Diagonals of the matrices in two axes (the first two, unless given): entries whose column − row is `offset`."""

    name = "diagonal"
    parameters = (
        MATRICES,
        Attr("offset", INT, 0, ("k",)),
        Attr("axis1", AXIS, 0, ("dim1",)),
        Attr("axis2", AXIS, 1, ("dim2",)),
    )
    latex = "\\operatorname{{diag}} {x}"
    derivative = {"x": "1"}
    examples = (
        Example((MATRIX,)),
        Example((MATRIX,), {"offset": 1}),
        Example(([MATRIX, MATRIX],), {"offset": -1, "axis1": 1, "axis2": 2}),
        Example((MATRIX,), {"offset": 7}, note="there is no such diagonal: empty"),
    )

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var:
        """A slice of the flattened matrices."""
        (x,) = operands
        if x.rank < 2:
            raise ShapeMismatch(f"diagonal needs a matrix; here the shape is {list(x.shape)}.")
        normalize_axes((attrs["axis1"], attrs["axis2"]), x.rank)
        one, other = (normalize_axis(attrs[name], x.rank, what=name) + x.rank for name in ("axis1", "axis2"))
        rest = [a for a in range(x.rank) if a not in (one, other)]
        order = [*rest, one, other]
        return diagonal_of(x if order == sorted(order) else permuted(x, order), attrs["offset"])


class Diag(Arrangement):
    """The diagonal k of a matrix; of a vector, the matrix that has it as its diagonal k."""

    name = "diag"
    parameters = (MATRICES, Attr("k", INT, 0, ("diagonal", "offset")))
    latex = "\\operatorname{{diag}} {x}"
    derivative = {"x": "1"}
    examples = (
        Example(([1.0, 2.0, 3.0],)),
        Example(([1.0, 2.0],), {"k": -1}),
        Example((MATRIX,)),
        Example((MATRIX,), {"k": 1}),
        Example(([],), {"k": 1}, note="empty"),
    )

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var:
        """A slice of the flattened matrix, or a vector laid into zeros."""
        (x,), k = operands, attrs["k"]
        if x.rank == 2:
            return diagonal_of(x, k)
        if x.rank != 1:
            raise ShapeMismatch(f"diag takes a vector or a matrix; here the shape is {list(x.shape)}.")
        n = x.shape[0] + abs(k)
        check_size(b, (n, n), x)
        index = places(n, n, k)
        flat: Var = b.write("embed", x, index=(index,), shape=(n * n,))
        return flat.reshape((n, n))


class Triangle(Arrangement):
    """One side of a diagonal kept, the other set to 0."""

    parameters = (MATRICES, Attr("k", INT, 0, ("diagonal",)))

    def __init__(self, name: str, lower: bool, doc: str) -> None:
        self.name = name
        self.below = lower
        self.__doc__ = doc
        self.latex = f"\\operatorname{{{{{name}}}}} {{x}}"
        self.derivative = {"x": "[j - i \\le k]" if lower else "[j - i \\ge k]"}
        self.examples = (
            Example(([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [7.0, 8.0, 9.0]],)),
            Example((MATRIX,), {"k": 1}),
            Example(([MATRIX, MATRIX],), {"k": -1}),
        )

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var:
        """`where`, with a mask made of row and column numbers."""
        (x,) = operands
        if x.rank < 2:
            raise ShapeMismatch(f"{self.name} needs a matrix; here the shape is {list(x.shape)}.")
        rows, columns = x.shape[-2:]
        k = max(-rows, min(attrs["k"], columns))
        row: Var = b.write("iota", n=rows).reshape((rows, 1)) + k
        column: Var = b.write("iota", n=columns)
        mask = row >= column if self.below else row <= column
        result: Var = call(b, "logical_and", mask, x) if x.dtype == "bool" else call(b, "where", mask, x, 0)
        return result


registry.add(Diagonal())
registry.add(Diag())
registry.add(
    Triangle(
        "tril", True, "The lower triangle of matrices: entries above diagonal k (column − row > k) are 0."
    )
)
registry.add(
    Triangle(
        "triu", False, "The upper triangle of matrices: entries below diagonal k (column − row < k) are 0."
    )
)
