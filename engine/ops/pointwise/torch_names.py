"""Elementwise functions that PyTorch alone has names for."""

from __future__ import annotations

from typing import Any

from engine.attrs import NUMBER
from engine.builder import Builder, Var, call
from engine.op import Attr, Example, Operand
from engine.ops.written import written

_X = Operand("x", ("input",))
_INPUT, _VALUE = Operand("input"), Attr("value", NUMBER, 1.0, keyword_only=True)
_TERMS = (_INPUT, Operand("tensor1"), Operand("tensor2"), _VALUE)
_BOUND = "At the bound the derivative is 0."


def _scaled(term: Var, value: float) -> Var:
    return term if value == 1 else term * value


def _addcmul(b: Builder, x: Var, one: Var, other: Var, **attrs: Any) -> Var:
    return x + _scaled(one * other, attrs["value"])


def _addcdiv(b: Builder, x: Var, one: Var, other: Var, **attrs: Any) -> Var:
    return x + _scaled(one / other, attrs["value"])


written(
    "clamp_min",
    lambda b, x, low: call(b, "clip", x, low, None),
    _X,
    Operand("min"),
    doc="x, and `min` where that is larger.",
    latex="\\max({x}, {min})",
    family="elementwise",
    derivative={"x": "[x > min]", "min": "[x < min]"},
    convention=_BOUND,
    examples=(
        Example(([-1.0, 0.5, 3.0], 0.0)),
        Example(([[-1.0], [0.5]], [0.25, -2.0]), note="broadcasting"),
        Example(([0.0, 1.0], 0.0), smooth=False, note="at the bound"),
    ),
)
written(
    "clamp_max",
    lambda b, x, high: call(b, "clip", x, None, high),
    _X,
    Operand("max"),
    doc="x, and `max` where that is smaller.",
    latex="\\min({x}, {max})",
    family="elementwise",
    derivative={"x": "[x < max]", "max": "[x > max]"},
    convention=_BOUND,
    examples=(
        Example(([-1.0, 0.5, 3.0], 1.0)),
        Example(([[-1.0], [0.5]], [0.25, -2.0]), note="broadcasting"),
        Example(([0.0, 1.0], 1.0), smooth=False, note="at the bound"),
    ),
)
written(
    "addcmul",
    _addcmul,
    *_TERMS,
    doc="input + value · tensor1 · tensor2, entry by entry.",
    latex="{input} + {value}\\,{tensor1}\\,{tensor2}",
    family="elementwise",
    derivative={"input": "1", "tensor1": "v\\,t_2", "tensor2": "v\\,t_1"},
    examples=(
        Example(([1.0, -2.0], [0.5, 3.0], [2.0, -1.5])),
        Example(([[1.0], [-2.0]], [0.5, 3.0], 2.0), {"value": -0.5}, note="broadcasting"),
    ),
)
written(
    "addcdiv",
    _addcdiv,
    *_TERMS,
    doc="input + value · tensor1 / tensor2, entry by entry.",
    latex="{input} + {value}\\,\\frac{{{tensor1}}}{{{tensor2}}}",
    family="elementwise",
    floating=True,
    derivative={"input": "1", "tensor1": "\\frac{v}{t_2}", "tensor2": "-\\frac{v\\,t_1}{t_2^2}"},
    examples=(
        Example(([1.0, -2.0], [0.5, 3.0], [2.0, -1.5])),
        Example(([[1.0], [-2.0]], [0.5, 3.0], 2.0), {"value": -0.5}, note="broadcasting"),
    ),
)
