"""Systems whose unknowns are tensors: tensorinv, tensorsolve. Composites: the tensor is a matrix in another shape."""

from __future__ import annotations

from math import prod
from typing import Any

from engine.attrs import INT, INTS, at_least, optional
from engine.aval import normalize_axis
from engine.builder import Builder, Var, call
from engine.errors import InvalidAttribute, ShapeMismatch
from engine.op import Attr, Example, Op, registry
from engine.ops.linear.solve import SINGULAR, A, B, solved


class TensorInverse(Op):
    """Inverse of the linear map that a tensor is: its first `ind` axes are the result's, the others the operand's."""

    name = "tensorinv"
    family = "linalg"
    composite = True
    floating = True
    parameters = (A, Attr("ind", at_least(1, INT), 2))
    latex = "{a}^{{-1}}"
    convention = SINGULAR
    examples = (
        Example(([[[2.0, 0.0], [1.0, 1.0]], [[0.5, 3.0], [0.0, 1.0]], [[1.0, 1.0], [4.0, 0.0]],
                  [[0.0, 2.0], [1.0, 5.0]]],), {"ind": 1}),
    )  # fmt: skip

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var:
        """The inverse of a matrix."""
        (a,), ind = operands, attrs["ind"]
        first, rest = a.shape[:ind], a.shape[ind:]
        if prod(first) != prod(rest):
            raise ShapeMismatch(
                f"tensorinv: the first {ind} axes of shape {list(a.shape)} have {prod(first)} elements, the others "
                f"{prod(rest)}; they must have equally many."
            )
        y = call(b, "inv", a.reshape((prod(first), prod(rest))))
        return y.reshape((*rest, *first))


class TensorSolve(Op):
    """The tensor x with tensordot(a, x, x.ndim) = b: the first axes of a are those of b, the others those of x.

    `axes` of a are moved behind the others first.
    """

    name = "tensorsolve"
    family = "linalg"
    composite = True
    floating = True
    parameters = (A, B, Attr("axes", optional(INTS), None))
    latex = "{a}^{{-1}} {b}"
    convention = SINGULAR
    examples = (
        Example(([[[2.0, 0.0], [1.0, 1.0]], [[0.5, 3.0], [0.0, 1.0]], [[1.0, 1.0], [4.0, 0.0]],
                  [[0.0, 2.0], [1.0, 5.0]]], [1.0, 2.0, -1.0, 0.5])),
        Example(([[[2.0, 0.0, 1.0, 1.0], [0.5, 3.0, 0.0, 1.0]], [[1.0, 1.0, 4.0, 0.0], [0.0, 2.0, 1.0, 5.0]]],
                 [1.0, 2.0, -1.0, 0.5]), {"axes": (0, 1)}),
    )  # fmt: skip

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var:
        """A system of one column."""
        a, y = operands
        if attrs["axes"] is not None:
            behind = [normalize_axis(i, a.rank) + a.rank for i in attrs["axes"]]
            if len(set(behind)) != len(behind):
                raise InvalidAttribute(f"tensorsolve: axes {list(attrs['axes'])} name an axis twice.")
            order = [*[i for i in range(a.rank) if i not in behind], *behind]
            a = b.write("permute_dims", a, axes=tuple(i - a.rank for i in order))
        rest = a.shape[y.rank :]
        if a.shape[: y.rank] != y.shape or prod(rest) != y.size:
            raise ShapeMismatch(
                f"tensorsolve: the first axes of a (shape {list(a.shape)}) must be those of b (shape {list(y.shape)}), "
                f"and the others have as many elements ({y.size}, not {prod(rest)})."
            )
        x = solved(a.reshape((y.size, y.size)), y.reshape((y.size, 1)))
        return x.reshape(rest)


registry.add(TensorInverse())
registry.add(TensorSolve())
