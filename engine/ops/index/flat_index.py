"""Indices of several axes and of the flattened array: unravel_index and ravel_multi_index, with NumPy's names."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import Any

from engine.attrs import SHAPE
from engine.builder import Builder, Var, call
from engine.errors import Arity, InvalidAttribute, ShapeMismatch
from engine.op import Attr, Example, Op, Operand, registry

_RANGE = "An index is an integer and has no derivative. One that is out of range counts on, as if the first axis were longer."


def _sizes(op: Op, value: Any) -> tuple[int, ...]:
    sizes = tuple(value) if isinstance(value, tuple | list) else (value,)
    if not sizes or any(not isinstance(n, int) or n < 1 for n in sizes):
        raise InvalidAttribute(f"{op.name}: the shape must be positive sizes; it is {list(sizes)}.")
    return sizes


class UnravelIndex(Op):
    """The index along each axis of an array of that shape, in C order, of entries of the flattened array.

    indices: i[*s]  ->  one i[*s] for each axis of `shape`.
    """

    name = "unravel_index"
    family = "indexing"
    composite = True
    passes_integers = True
    parameters = (Operand("indices", ("x",), integer=True), Attr("shape", SHAPE, aliases=("dims",)))
    results = ("i", "…")
    latex = "\\operatorname{{unravel}} {indices}"
    convention = _RANGE
    examples = (
        Example(([5, 0, 11],), {"shape": (3, 4)}),
        Example(([[5], [23]],), {"shape": (2, 3, 4)}),
        Example((7,), {"shape": (9,)}),
    )

    def count(self, attrs: Mapping[str, Any]) -> int | None:
        """One for each axis, where the shape is known."""
        shape = attrs.get("shape")
        return len(shape) if isinstance(shape, tuple) else None

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> tuple[Var, ...]:
        """Quotients and remainders, from the last axis on."""
        (rest,) = operands
        found: list[Var] = []
        for n in reversed(_sizes(self, attrs["shape"])[1:]):
            found.append(call(b, "remainder", rest, n))
            rest = call(b, "floor_divide", rest, n)
        return (rest, *found[::-1])


class RavelMultiIndex(Op):
    """Indices of entries of the flattened array, in C order, from the index along each axis of an array of that shape."""

    name = "ravel_multi_index"
    family = "indexing"
    composite = True
    passes_integers = True
    parameters = (
        Operand("multi_index", integer=True, variadic=True),
        Attr("dims", SHAPE, aliases=("shape",)),
    )
    latex = "\\operatorname{{ravel}}({multi_index})"
    convention = _RANGE
    examples = (
        Example(([1, 0, 2], [1, 0, 3]), {"dims": (3, 4)}),
        Example(([[1], [0]], [1, 2], 3), {"dims": (2, 3, 4)}, note="broadcasting"),
    )

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var:
        """Σ index · stride."""
        sizes = _sizes(self, attrs["dims"])
        if len(operands) != len(sizes):
            raise Arity(
                f"ravel_multi_index takes one index for each of the {len(sizes)} axes of {list(sizes)}; {len(operands)} given."
            )
        if any(v.dtype != "int64" for v in operands):
            raise ShapeMismatch("ravel_multi_index takes integers.")
        strides = [prod(sizes[k + 1 :]) for k in range(len(sizes))]
        total: Var | None = None
        for index, stride in zip(operands, strides, strict=True):
            term = index if stride == 1 else index * stride
            total = term if total is None else total + term
        assert total is not None
        return total


registry.add(UnravelIndex())
registry.add(RavelMultiIndex())
