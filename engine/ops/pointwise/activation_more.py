"""Further activations: those made of pieces (shrinking, thresholds, hard ones), gates, and softened absolute values."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from engine.attrs import AXIS, NUMBER
from engine.builder import Builder, Var, broadcast_to, call
from engine.errors import InvalidAttribute, ShapeMismatch
from engine.op import Attr, Example, Op, Operand, Parameter, registry
from engine.ops.pointwise.activation import Activation, gated
from engine.ops.pointwise.elementwise import Elementwise

INF = float("inf")


def _attr(name: str, default: float, *aliases: str) -> Attr:
    return Attr(name, NUMBER, default, aliases)


def _tanhshrink(x: Any) -> Any:
    """x·t/(1 + t) with Lambert's continued fraction t = x²/(3 + x²/(5 + …)) of tanh where the difference would cancel."""
    small = np.where(np.abs(x) < 1.0, x, 0.0).astype(np.float64)
    t = np.zeros_like(small)
    for k in range(23, 1, -2):
        t = small * small / (k + t)
    return np.where(np.abs(x) < 1.0, small * t / (1.0 + t), x - np.tanh(x)).astype(x.dtype)[()]


tanhshrink = registry.add(
    Elementwise(
        "tanhshrink",
        _tanhshrink,
        ("tanh(a) * tanh(a)",),
        scalar="tanhshrink(a)",
        doc="x − tanh x, exact for small x.",
        latex="{x} - \\tanh {x}",
        aliases=("tanh_shrink",),
        family="nn",
        floating=True,
        weight=30,
        derivative={"x": "\\tanh^2 x"},
        examples=(
            Example(([0.5, -1.5, 1e-8, 400.0],)),
            Example(([0.0],)),
            Example(([INF, -INF],), smooth=False),
        ),
    )
)


def _log_cosh(x: Any) -> Any:
    size = np.abs(x)
    near = np.minimum(size, 1.0)
    far = size + np.log1p(np.exp(-2 * size)) - math.log(2)
    return np.where(size < 1.0, np.log1p(2 * np.sinh(near / 2) ** 2), far).astype(x.dtype)[()]


log_cosh = registry.add(
    Elementwise(
        "log_cosh",
        _log_cosh,
        ("tanh(a)",),
        scalar="log_cosh(a)",
        doc="log cosh x, a smooth absolute value, without overflow and exact for small x.",
        latex="\\log \\cosh {x}",
        aliases=("logcosh",),
        family="nn",
        floating=True,
        weight=30,
        derivative={"x": "\\tanh x"},
        examples=(
            Example(([0.5, -1.5, 1e-8, 1000.0],)),
            Example(([0.0],)),
            Example(([INF, -INF],), smooth=False),
        ),
    )
)


class Celu(Activation):
    """Continuously differentiable exponential unit: x where it is positive, else α(e^(x/α) − 1).

    J. T. Barron, arXiv:1704.07483.
    """

    name = "celu"
    aliases = ("Celu",)
    parameters = (Operand("x", ("input",)), _attr("alpha", 1.0))
    latex = "\\operatorname{{celu}}({x})"
    derivative = {"x": "[x > 0] + e^{x/\\alpha}\\,[x \\le 0]"}
    domain = ((0.1, 2.0),)
    convention = "At 0 the derivatives are those from the left: 1, and 1/α."
    examples = (
        Example(([1.5, -2.0, 1000.0, -40.0],)),
        Example(([1.5, -2.0],), {"alpha": 0.5}),
        Example(([0.0, INF, -INF],), smooth=False),
    )

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var:
        """By expm1, which sees no positive x/α."""
        (x,), alpha = operands, attrs["alpha"]
        if not alpha > 0:
            raise InvalidAttribute(f"celu: alpha must be positive; it is {alpha}.")
        positive = x > 0.0
        left = call(b, "expm1", call(b, "where", positive, 0.0, x) / alpha) * alpha
        return call(b, "where", positive, x, left)


class HardSwish(Activation):
    """Piecewise quadratic swish: x·(x + 3)/6 between −3 and 3, 0 to the left and x to the right.

    A. Howard et al., ICCV 2019, arXiv:1905.02244.
    """

    name = "hardswish"
    aliases = ("hard_swish", "hard_silu")
    latex = "{x} \\operatorname{{relu6}}({x} + 3) / 6"
    derivative = {"x": "\\tfrac{x}{3} + \\tfrac12"}
    convention = "At −3 the derivative is 0 and at 3 it is 1, as outside."
    examples = (
        Example(([0.5, -1.5, 4.0, -4.0],)),
        Example(([-3.0, 3.0, INF, -INF],), smooth=False, note="at the kinks, and the limits"),
    )

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var:
        """A choice of three; the middle one sees no other x."""
        (x,) = operands
        right, left = x >= 3.0, x <= -3.0
        inside = call(b, "where", call(b, "logical_or", right, left), 0.0, x)
        return call(b, "where", right, x, call(b, "where", left, 0.0, inside * (inside + 3.0) / 6.0))


class HardTanh(Activation):
    """x held between min_val and max_val, −1 and 1 by default."""

    name = "hardtanh"
    aliases = ("hard_tanh",)
    parameters = (Operand("x", ("input",)), _attr("min_val", -1.0), _attr("max_val", 1.0))
    floating = False
    latex = "\\operatorname{{clip}}({x}, {min_val}, {max_val})"
    derivative = {"x": "[\\min < x < \\max]"}
    domain = ((-0.9, 0.9),)
    convention = "At a bound the derivative is 0."
    examples = (
        Example(([0.5, -2.0, 7.0],)),
        Example(([0.5, -2.0],), {"min_val": -3.0, "max_val": 0.25}),
        Example(([-1.0, 1.0],), smooth=False, note="at the kinks"),
    )

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var:
        """By clip."""
        low, high = attrs["min_val"], attrs["max_val"]
        if low > high:
            raise InvalidAttribute(f"hardtanh: min_val must not be above max_val; they are {low} and {high}.")
        return call(b, "clip", operands[0], low, high)


class Shrink(Activation):
    """x drawn toward 0 by `bias` where |x| > lambd, and 0 between: ONNX's Shrink."""

    name = "shrink"
    parameters: tuple[Parameter, ...] = (Operand("x", ("input",)), _attr("lambd", 0.5), _attr("bias", 0.0))
    latex = "\\operatorname{{shrink}}({x})"
    derivative = {"x": "[|x| > \\lambda]"}
    domain = ((0.6, 2.0),)
    convention = "At ±lambd the derivative is 0, as between."
    examples = (
        Example(([1.5, -2.0, 0.25],), {"bias": 0.75}),
        Example(([1.5, -2.0, 0.25],), {"lambd": 1.75}),
        Example(([0.5, -0.5, INF],), smooth=False, note="at the kinks"),
    )

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var:
        """A choice of three."""
        (x,), size, bias = operands, attrs["lambd"], attrs["bias"]
        right, left = x > size, x < -size
        return call(b, "where", left, x + bias, call(b, "where", right, x - bias, 0.0))


class SoftShrink(Shrink):
    """Soft threshold: x drawn toward 0 by lambd, 0 where |x| ≤ lambd."""

    name = "softshrink"
    aliases = ("soft_threshold", "soft_shrink")
    parameters = (Operand("x", ("input",)), _attr("lambd", 0.5))
    latex = "\\operatorname{{sign}}({x})\\,\\max(|{x}| - {lambd}, 0)"
    examples = (
        Example(([1.5, -2.0, 0.25],)),
        Example(([1.5, -2.0, 0.25],), {"lambd": 1.75}),
        Example(([0.5, -0.5, INF],), smooth=False, note="at the kinks"),
    )

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var:
        """By shrink."""
        if not attrs["lambd"] >= 0:
            raise InvalidAttribute(f"softshrink: lambd must not be negative; it is {attrs['lambd']}.")
        return call(b, "shrink", operands[0], lambd=attrs["lambd"], bias=attrs["lambd"])


class HardShrink(Shrink):
    """Hard threshold: x where |x| > lambd, else 0."""

    name = "hardshrink"
    aliases = ("hard_shrink",)
    parameters = SoftShrink.parameters
    latex = "{x}\\,[|{x}| > {lambd}]"
    examples = SoftShrink.examples

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var:
        """By shrink."""
        return call(b, "shrink", operands[0], lambd=attrs["lambd"])


class Threshold(Activation):
    """x where it is above a threshold, else a value."""

    name = "threshold"
    parameters = (Operand("x", ("input",)), Attr("threshold", NUMBER), Attr("value", NUMBER))
    latex = "\\begin{{cases}} {x} & {x} > {threshold} \\\\ {value} & \\text{{else}} \\end{{cases}}"
    derivative = {"x": "[x > t]"}
    domain = ((0.6, 2.0),)
    convention = "At the threshold the derivative is 0."
    examples = (
        Example(([1.5, -2.0, 0.25],), {"threshold": 0.5, "value": 20.0}),
        Example(([0.5],), {"threshold": 0.5, "value": 0.0}, smooth=False, note="at the threshold"),
    )

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var:
        """A choice."""
        (x,) = operands
        return call(b, "where", x > attrs["threshold"], x, attrs["value"])


class ThresholdedRelu(Activation):
    """x where it is above alpha, else 0: ONNX's ThresholdedRelu."""

    name = "thresholded_relu"
    aliases = ("ThresholdedRelu",)
    parameters = (Operand("x", ("input",)), _attr("alpha", 1.0))
    latex = "{x}\\,[{x} > {alpha}]"
    derivative = {"x": "[x > \\alpha]"}
    domain = ((1.1, 2.0),)
    convention = "At alpha the derivative is 0."
    examples = (
        Example(([1.5, -2.0, 0.25],)),
        Example(([1.5, 3.0],), {"alpha": 2.0}),
        Example(([1.0],), smooth=False, note="at the threshold"),
    )

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var:
        """A choice."""
        (x,) = operands
        return call(b, "where", x > attrs["alpha"], x, 0.0)


class QuickGelu(Activation):
    """x·σ(1.702 x), a quick approximation of gelu."""

    name = "quick_gelu"
    latex = "{x}\\,\\sigma(1.702\\,{x})"
    derivative = {"x": "\\sigma(u) (1 + u\\,\\sigma(-u)),\\; u = 1.702 x"}
    examples = (
        Example(([0.5, -1.5, 3.0],)),
        Example(([-40.0, 40.0, -400.0],), note="far tails keep their digits"),
        Example(([INF, -INF, 0.0],), smooth=False, note="the limits"),
    )

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var:
        """x times sigmoid, which underflows to 0 below −500."""
        return gated(operands[0], -500.0, 500.0, lambda v: call(b, "sigmoid", v * 1.702))


class SquarePlus(Activation):
    """Algebraic softplus: (x + √(x² + β))/2.

    J. T. Barron, arXiv:2112.11687.
    """

    name = "squareplus"
    parameters = (Operand("x", ("input",)), _attr("beta", 4.0, "b"))
    latex = "\\tfrac12 \\left({x} + \\sqrt{{{x}^2 + {beta}}}\\right)"
    derivative = {"x": "\\tfrac12 \\left(1 + \\frac{x}{\\sqrt{x^2 + \\beta}}\\right)"}
    examples = (
        Example(([0.5, -1.5, 3.0],)),
        Example(([0.5, -1.5, 0.0],), {"beta": 0.25}),
        Example(([-1e6, 1e200, -1e100],), note="the tails: no overflow, no cancellation"),
    )

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var:
        """Left of 0 by β/2/(√(x² + β) − x), which does not cancel."""
        (x,), size = operands, attrs["beta"]
        if not 0 < size < INF:
            raise InvalidAttribute(f"squareplus: beta must be positive; it is {size}.")
        left = x < 0.0
        root = call(b, "hypot", x, math.sqrt(size))
        low = call(b, "where", left, x, 0.0)
        negative = (size / 2) / (call(b, "where", left, root, 1.0) - low)
        return call(b, "where", left, negative, (x + root) * 0.5)


class PRelu(Op):
    """Rectifier with a learned slope: x where it is positive, else weight·x.

    x: f[*s]; weight: f[] or f[1], or f[C] with one slope for each entry of axis 1 (as PyTorch), or of two and more axes a
    shape that stretches to x's (as ONNX)  ->  f[*s]
    """

    name = "prelu"
    aliases = ("PRelu",)
    family = "nn"
    parameters = (Operand("x", ("input",)), Operand("weight", ("slope",)))
    composite = True
    floating = True
    latex = "\\operatorname{{prelu}}({x})"
    derivative = {"x": "[x > 0] + w\\,[x \\le 0]", "weight": "x\\,[x \\le 0]"}
    convention = "At 0 the derivative is the slope."
    examples = (
        Example(([1.5, -2.0], 0.25)),
        Example(([[1.5, -2.0], [-1.0, 3.0]], [0.25, -0.5]), note="a slope for each column"),
        Example(([[[1.5, -2.0], [-1.0, 3.0]]], [[0.25], [2.0]]), note="as ONNX"),
        Example(([0.0, -1.0], 0.25), smooth=False, note="at the kink"),
    )

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var:
        """A choice."""
        x, weight = operands
        if weight.size == 1 and weight.rank <= 1:
            weight = weight.reshape(())
        elif weight.rank == 1:
            if x.rank < 2 or x.shape[1] != weight.shape[0]:
                raise ShapeMismatch(
                    f"prelu: weight of shape {list(weight.shape)} has a slope for each entry of axis 1 of x, whose shape is "
                    f"{list(x.shape)}."
                )
            weight = weight.reshape((weight.shape[0], *[1] * (x.rank - 2)))
        weight = broadcast_to(weight, x.shape)
        return call(b, "where", x > 0.0, x, weight * call(b, "where", x > 0.0, 0.0, x))


class Glu(Op):
    """Gated linear unit: the first half along an axis times the sigmoid of the second half.

    Y. N. Dauphin, A. Fan, M. Auli, D. Grangier, ICML 2017, arXiv:1612.08083.
    """

    name = "glu"
    family = "nn"
    parameters = (Operand("x", ("input",)), Attr("axis", AXIS, -1, ("dim",)))
    composite = True
    floating = True
    latex = "\\operatorname{{glu}}({x})"
    examples = (
        Example(([0.5, -1.5, 3.0, 1.0],)),
        Example(([[0.5, -1.5, 2.0], [3.0, 1.0, 0.25]],), {"axis": 0}),
        Example(([1.0, -1000.0],), note="a closed gate"),
    )

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var:
        """By split."""
        (x,), axis = operands, attrs["axis"]
        if x.rank == 0 or not -x.rank <= axis < x.rank or x.shape[axis] % 2:
            raise ShapeMismatch(f"glu: x needs an axis {axis} of even size; its shape is {list(x.shape)}.")
        halves: Any = call(b, "split", x, indices_or_sections=2, axis=axis)
        gated_half: Var = halves[0] * call(b, "sigmoid", halves[1])
        return gated_half


class Softmin(Op):
    """Softmin: softmax of −x along an axis (the last one by default)."""

    name = "softmin"
    family = "nn"
    parameters = (Operand("x", ("input",)), Attr("axis", AXIS, -1, ("dim",)))
    composite = True
    floating = True
    latex = "\\operatorname{{softmin}}({x})"
    convention = "An entry of +∞ (a mask) has probability 0 and derivative 0."
    examples = (
        Example(([[0.5, -1.5, 3.0], [1.0, 2.0, 0.25]],)),
        Example(([[0.5, -1.5, 3.0], [1.0, 2.0, 0.25]],), {"axis": 0}),
        Example(([0.5, INF],), smooth=False, note="a mask"),
    )

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var:
        """By softmax."""
        return call(b, "softmax", -operands[0], axis=attrs["axis"])


for _op in (
    Celu(), HardSwish(), HardTanh(), Shrink(), SoftShrink(), HardShrink(), Threshold(), ThresholdedRelu(), QuickGelu(),
    SquarePlus(), PRelu(), Glu(), Softmin(),
):  # fmt: skip
    registry.add(_op)
