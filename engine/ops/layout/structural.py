"""Ops that say something about a value without computing with it: identity, and the parts of a shape."""

from __future__ import annotations

from typing import Any

import numpy as np

from engine.attrs import INT, one_of, optional
from engine.builder import Builder, Var, cast
from engine.op import Attr, Example, Op, Operand, registry
from engine.ops.pointwise.elementwise import Elementwise

identity = registry.add(
    Elementwise(
        "identity",
        lambda x: x,
        ("1",),
        scalar="a",
        doc="The value itself, as a node of its own: `y = x` in program text.",
        latex="{x}",
        aliases=("Identity", "asarray", "copy", "clone", "real"),
        passes_integers=True,
        derivative={"x": "1"},
        weight=0,
        family="structure",
        examples=(Example(([1.0, 2.0],)),),
    )
)


class Astype(Op):
    """Conversion to floats, integers (the fraction cut off) or booleans (whether not 0)."""

    name = "astype"
    aliases = ("Cast",)
    family = "structure"
    parameters = (Operand("x"), Attr("dtype", one_of("float64", "float32", "float", "int64", "int", "bool")))
    composite = True
    latex = "{x}"
    convention = "Converted to integers or booleans, a value has no derivative."
    examples = (Example(([1.5, -2.0],), {"dtype": "float"}), Example(([1.5, -2.0],), {"dtype": "int"}))

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var:
        """A cast; floating dtypes all mean the program's own."""
        x, dtype = operands[0], attrs["dtype"]
        if dtype.startswith("float"):
            return cast(b, x, b.dtype)
        return cast(b, x, "bool" if dtype == "bool" else "int64")


registry.add(Astype())


class Shape(Op):
    """The shape of an array, as a vector of integers. Known before anything is computed.

    As ONNX's Shape it takes `start` and `end`: the sizes of a slice of the axes.
    """

    name = "shape"
    family = "structure"
    parameters = (
        Operand("x", ("data",)),
        Attr("start", INT, 0, keyword_only=True),
        Attr("end", optional(INT), None, keyword_only=True),
    )
    composite = True
    latex = "\\operatorname{{shape}} {x}"
    examples = (Example(([[1.0, 2.0, 3.0]],)), Example(([[1.0, 2.0, 3.0]],), {"start": -1, "end": 7}))

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var:
        """A constant."""
        shape = operands[0].shape[attrs["start"] : attrs["end"]]
        return b.var(np.asarray(shape, np.int64), "int64")


class Ndim(Op):
    """The number of axes of an array."""

    name = "ndim"
    family = "structure"
    parameters = (Operand("x"),)
    composite = True
    latex = "\\operatorname{{ndim}} {x}"
    examples = (Example(([[1.0, 2.0, 3.0]],)),)

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var:
        """A constant."""
        return b.var(np.asarray(operands[0].rank, np.int64), "int64")


class Size(Op):
    """The number of elements of an array."""

    name = "size"
    aliases = ("numel",)
    family = "structure"
    parameters = (Operand("x"),)
    composite = True
    latex = "\\operatorname{{size}} {x}"
    examples = (Example(([[1.0, 2.0, 3.0]],)),)

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var:
        """A constant."""
        return b.var(np.asarray(operands[0].size, np.int64), "int64")


registry.add(Shape())
registry.add(Ndim())
registry.add(Size())
