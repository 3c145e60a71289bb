"""ONNX's reductions, ReduceSum and its kin: axes that are reduced stay, with size 1, unless `keepdims` is false."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from engine.attrs import AXES, BOOL
from engine.builder import Builder, Var, call
from engine.op import Attr, Example, Operand, registry
from engine.ops.reduce import logsumexp, norms, statistics, sums  # noqa: F401  # they register what is looked up
from engine.ops.written import written

_PARAMETERS = (
    Operand("x", ("data", "input")),
    Attr("axes", AXES, None, ("axis", "dim")),
    Attr("keepdims", BOOL, True, ("keepdim",)),
    Attr("noop_with_empty_axes", BOOL, False),
)
_ROWS = [[1.0, 2.5, 4.0], [3.0, 0.5, 1.5]]

OPS: tuple[tuple[str, str, str, str], ...] = (
    ("ReduceSum", "sum", "", "Sum"),
    ("ReduceProd", "prod", "", "Product"),
    ("ReduceMean", "mean", "", "Mean"),
    ("ReduceMax", "max", "", "Largest element"),
    ("ReduceMin", "min", "", "Smallest element"),
    ("ReduceL1", "l1_norm", "abs", "Sum of magnitudes"),
    ("ReduceL2", "vector_norm", "abs", "Euclidean length"),
    ("ReduceLogSum", "log_sum", "log", "Logarithm of the sum"),
    ("ReduceLogSumExp", "logsumexp", "", "Logarithm of the sum of exponentials"),
    ("ReduceSumSquare", "sum_square", "square", "Sum of squares"),
)
"""Name, our reduction, what it does to a single entry ("": nothing), and what it is."""


def _reduction(op: str, alone: str) -> Callable[..., Var]:
    def write(b: Builder, x: Var, **attrs: Any) -> Var:
        axes = None if attrs["axes"] == () else attrs["axes"]
        if axes is None and attrs["noop_with_empty_axes"]:
            return call(b, alone, x) if alone else x
        if x.dtype == "bool" and op in ("max", "min"):
            op_here = "any" if op == "max" else "all"
            return call(b, op_here, x, axis=axes, keepdims=attrs["keepdims"])
        return call(b, op, x, axis=axes, keepdims=attrs["keepdims"])

    return write


for _name, _op, _alone, _what in OPS:
    _like = registry.core(_op)
    written(
        _name,
        _reduction(_op, _alone),
        *_PARAMETERS,
        doc=f"ONNX's {_name}: {_what.lower()} over axes, all by default, which stay with size 1 unless `keepdims` is false.\n\n"
        f"With `noop_with_empty_axes` and no axes nothing is reduced. Elsewhere it is `{_op}`.",
        latex=_like.latex,
        family="reduction",
        derivative=_like.derivative,
        convention=_like.convention,
        floating=_like.floating,
        examples=(
            Example((_ROWS,)),
            Example((_ROWS,), {"axes": 1}),
            Example((_ROWS,), {"axes": (0,), "keepdims": False}),
            Example((_ROWS,), {"noop_with_empty_axes": True}, note="nothing is reduced"),
        ),
    )
