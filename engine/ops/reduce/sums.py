"""Sums of powers and their logarithms, under ONNX's names too. Written with `sum`."""

from __future__ import annotations

from typing import Any

from engine.builder import Builder, Var, call
from engine.op import Example, Operand
from engine.ops.reduce.reduction import AXIS_ATTRS, counted
from engine.ops.written import written

_PARAMETERS = (Operand("x", ("a", "input", "data")), *AXIS_ATTRS)
_ROWS = [[1.0, -2.0, 4.5], [3.0, -1.0, 0.5]]


def _sum_square(b: Builder, x: Var, **attrs: Any) -> Var:
    return call(b, "sum", call(b, "square", counted(b, x)), **attrs)


def _l1_norm(b: Builder, x: Var, **attrs: Any) -> Var:
    return call(b, "sum", call(b, "abs", counted(b, x)), **attrs)


def _log_sum(b: Builder, x: Var, **attrs: Any) -> Var:
    return call(b, "log", call(b, "sum", x, **attrs))


written(
    "sum_square",
    _sum_square,
    *_PARAMETERS,
    aliases=("reduce_sum_square",),
    doc="Sum of squares over axes, all by default.",
    latex="\\sum {x}^2",
    family="reduction",
    derivative={"x": "2 x_i"},
    examples=(Example((_ROWS,)), Example((_ROWS,), {"axis": 0, "keepdims": True}), Example(([],))),
)
written(
    "l1_norm",
    _l1_norm,
    *_PARAMETERS,
    aliases=("reduce_l1",),
    doc="Sum of magnitudes over axes, all by default.",
    latex="\\left\\| {x} \\right\\|_1",
    family="reduction",
    derivative={"x": "\\operatorname{sign} x_i"},
    convention="At 0 the subgradient of least norm, 0.",
    examples=(
        Example((_ROWS,)),
        Example((_ROWS,), {"axis": 1, "keepdims": True}),
        Example(([0.0, -2.0],), smooth=False, note="a zero"),
    ),
)
written(
    "log_sum",
    _log_sum,
    *_PARAMETERS,
    aliases=("reduce_log_sum",),
    doc="Logarithm of the sum over axes, all by default. That of a sum of exponentials is `logsumexp`.",
    latex="\\log \\sum {x}",
    family="reduction",
    floating=True,
    derivative={"x": "\\frac{1}{\\sum_j x_j}"},
    examples=(
        Example(([[1.0, 2.0, 4.5], [3.0, 1.0, 0.5]],)),
        Example(([[1.0, 2.0, 4.5], [3.0, 1.0, 0.5]],), {"axis": 0}),
    ),
)
