"""embedding: rows of a table, and `held`, which keeps some of them from having a derivative."""

from __future__ import annotations

from typing import Any

import numpy as np

from engine.attrs import BOOL, INT, NUMBER, optional
from engine.builder import Builder, Var, broadcast_to
from engine.errors import InvalidAttribute, ShapeMismatch, Unsupported
from engine.op import Attr, Example, Op, Operand, registry
from engine.ops.index.gather import checked, gather_axis
from engine.ops.layers.spatial import check_axis
from engine.ops.pointwise.elementwise import Elementwise

_held = Elementwise(
    "held",
    lambda x, mask: x,
    ("where(b, 0, 1)", "0"),
    doc="x, constant where the mask holds.",
    latex="{x}",
    names=("x", "mask"),
    masks=(1,),
    weight=0.0,
    view=True,
)
_held.internal = True
registry.add(_held)


class Embedding(Op):
    """Rows of a table by their numbers, as PyTorch's `embedding`.

    input: i[*s], weight: f[V, D]  ->  f[*s, D]. Numbers are 0 … V − 1. The row `padding_idx` has derivative 0: it is read, but
    does not learn. (A row that is read twice gets the sum of both cotangents.)

    PyTorch's `max_norm` changes the table and `scale_grad_by_freq` gives something that is no derivative; both are refused.
    `sparse` changes nothing.
    """

    name = "embedding"
    family = "nn"
    parameters = (
        Operand("input", ("x", "indices"), integer=True),
        Operand("weight"),
        Attr("padding_idx", optional(INT), None),
        Attr("max_norm", optional(NUMBER), None),
        Attr("norm_type", NUMBER, 2.0),
        Attr("scale_grad_by_freq", BOOL, False),
        Attr("sparse", BOOL, False),
    )
    composite = True
    floating = True
    latex = "{weight}_{{{input}}}"
    derivative = {"weight": "\\dot{w}_{\\text{input}}"}
    convention = "The row padding_idx is a constant."
    examples = (
        Example(([2, 0, 2], [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]), note="a row twice"),
        Example(([[1, 0], [2, 1]], [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]), {"padding_idx": 1}),
        Example(
            ([0, 2], [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]), {"padding_idx": -1}, note="counted from the end"
        ),
        Example((1, [[1.0, 2.0], [3.0, 4.0]]), note="one row"),
        Example(([], [[1.0, 2.0], [3.0, 4.0]]), note="no row"),
    )

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var:
        """A gather of rows."""
        indices, weight = operands
        for name in ("max_norm", "scale_grad_by_freq"):
            if attrs[name] not in (None, False):
                why = (
                    "changes the table while it is read"
                    if name == "max_norm"
                    else "gives something that is no derivative"
                )
                raise Unsupported(f"embedding: {name} is not offered: it {why}.")
        if weight.rank != 2:
            raise ShapeMismatch(
                f"embedding: weight must be a matrix with a row for each number; its shape is {list(weight.shape)}."
            )
        rows = weight.shape[0]
        index = checked(indices, rows, by="embedding", what="the rows of weight", low=0)
        padding = attrs["padding_idx"]
        if padding is not None:
            if not -rows <= padding < rows:
                raise InvalidAttribute(
                    f"embedding: padding_idx {padding} is no row of weight, whose shape is {list(weight.shape)}."
                )
            check_axis(b, rows)
            mask = b.var((np.arange(rows) == padding % rows).reshape(-1, 1))
            weight = b.write("held", weight, broadcast_to(mask, weight.shape))
        return gather_axis(weight, index, -2)


registry.add(Embedding())
