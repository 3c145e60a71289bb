"""Distances of the rows of two matrices, PyTorch's cdist. Written with `vector_norm`."""

from __future__ import annotations

from typing import Any

from engine.attrs import NUMBER
from engine.builder import Builder, Var, call
from engine.errors import InvalidAttribute, ShapeMismatch
from engine.op import Attr, Example, Operand
from engine.ops.layout.arrange import expanded
from engine.ops.written import written

_POINTS = ([[0.0, 1.0], [2.0, -1.5], [0.5, 0.25]], [[1.0, 3.0], [-0.5, 0.75]])
_SAME = ([[0.0, 1.0], [2.0, -1.5]], [[0.0, 1.0], [2.0, -1.0]])


def _cdist(b: Builder, x1: Var, x2: Var, **attrs: Any) -> Var:
    if x1.rank < 2 or x2.rank < 2 or x1.shape[-1] != x2.shape[-1]:
        raise ShapeMismatch(
            f"cdist takes matrices whose rows are points of one space, [*b, n, d] and [*b, m, d]; the shapes are "
            f"{list(x1.shape)} and {list(x2.shape)}."
        )
    if not attrs["p"] >= 0:
        raise InvalidAttribute(f"cdist: p must not be negative; it is {attrs['p']}.")
    step = expanded(x1, (-2,)) - expanded(x2, (-3,))
    return call(b, "vector_norm", step, axis=-1, ord=attrs["p"])


written(
    "cdist",
    _cdist,
    Operand("x1"),
    Operand("x2"),
    Attr("p", NUMBER, 2.0),
    doc="""Distance of each row of x1 from each row of x2 in the p-norm: y[i, j] = ‖x1[i] − x2[j]‖.

    x1: f[*b, n, d], x2: f[*b, m, d]  ->  f[*b, n, m]. The differences are formed, so nothing cancels.""",
    latex="\\lVert {x1}_i - {x2}_j \\rVert",
    family="reduction",
    floating=True,
    derivative={"x1": "\\frac{x_i - z_j}{y_{ij}}", "x2": "\\frac{z_j - x_i}{y_{ij}}"},
    convention="Where two points coincide the subgradient of least norm, 0; in the largest norm ties share.",
    examples=(
        Example(_POINTS),
        Example(_POINTS, {"p": 1.0}),
        Example(_POINTS, {"p": 3.0}),
        Example(_POINTS, {"p": float("inf")}),
        Example(([_POINTS[0]], [_POINTS[1], [[1.5, 0.0], [2.0, -1.0]]]), note="batches"),
        Example(_SAME, smooth=False, note="points that coincide"),
    ),
)
