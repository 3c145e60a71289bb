"""Batch normalisation, in PyTorch's and in ONNX's order of operands."""

from __future__ import annotations

from typing import Any

from engine.attrs import BOOL, NUMBER
from engine.builder import Builder, Var, call
from engine.errors import EmptyReduction, ShapeMismatch, Unsupported
from engine.op import Attr, Example, Op, Operand, registry
from engine.ops.layers.spatial import ramp
from engine.ops.reduce.reduction import reduced_size


def _per_channel(op: str, name: str, v: Var, x: Var) -> Var:
    """A vector with one number for each channel, shaped so that it stretches over x."""
    if v.shape != (x.shape[1],):
        raise ShapeMismatch(
            f"{op}: {name} must have shape [{x.shape[1]}], one number for each channel (axis 1 of {list(x.shape)}); it has "
            f"{list(v.shape)}."
        )
    return v.reshape((v.size, *[1] * (x.rank - 2)))


def _normalized(
    op: str, x: Var, mean: Var, variance: Var, weight: Var | None, bias: Var | None, eps: float
) -> Var:
    y: Var = (x - mean) / call(x.b, "sqrt", variance + eps)
    y = y if weight is None else y * _per_channel(op, "weight", weight, x)
    return y if bias is None else y + _per_channel(op, "bias", bias, x)


def _check(op: str, x: Var) -> None:
    if x.rank < 2:
        raise ShapeMismatch(
            f"{op}: the input must have the shape [batch, channels, …]; its shape is {list(x.shape)}."
        )


class BatchNorm(Op):
    """Batch normalisation: (x − mean) / √(variance + eps) for each channel, times weight, plus bias.

    input: f[N, C, *s]; running_mean, running_var, weight, bias: f[C]  ->  f[N, C, *s]

    With `training` mean and variance (divided by n) are those of the batch, over all axes but the second, and take part in
    the derivative; else they are the running ones. A program is a pure function: the running ones are not changed, so
    `momentum` has no effect.

    S. Ioffe, C. Szegedy, arXiv:1502.03167.
    """

    name = "batch_norm"
    family = "nn"
    parameters = (
        Operand("input", ("x",)),
        Operand("running_mean", optional=True),
        Operand("running_var", optional=True),
        Operand("weight", optional=True),
        Operand("bias", optional=True),
        Attr("training", BOOL, False),
        Attr("momentum", NUMBER, 0.1),
        Attr("eps", NUMBER, 1e-5, ("epsilon",)),
    )
    composite = True
    floating = True
    latex = "\\frac{{{input} - \\mu}}{{\\sqrt{{\\sigma^2 + \\varepsilon}}}}"
    examples = (
        Example((ramp(2, 3, 2), [0.5, -0.25, 1.0], [1.0, 0.5, 2.0], [1.5, -0.5, 2.0], [0.5, 1.0, -1.0])),
        Example((ramp(3, 2), None, None, [1.5, -0.5], [0.5, 1.0]), {"training": True}),
        Example((ramp(2, 2, 2, 3),), {"training": True, "eps": 0.1}),
        Example((ramp(2, 2), [0.5, -0.25], [1.0, 0.5]), note="without weight and bias"),
        Example(
            ([[1.0, 2.0], [1.0, -2.0]],),
            {"training": True},
            note="a constant: eps alone keeps this finite",
        ),
    )

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var:
        """By sums."""
        x, running_mean, running_var, weight, bias = operands
        _check(self.name, x)
        running = [
            None if v is None else _per_channel(self.name, n, v, x)
            for n, v in (("running_mean", running_mean), ("running_var", running_var))
        ]
        if attrs["training"]:
            axes = tuple(a - x.rank for a in range(x.rank) if a != 1)
            n = reduced_size(x.shape, axes)
            if n == 0:
                raise EmptyReduction(f"batch_norm: an input of shape {list(x.shape)} has no mean.")
            mean = x.sum(axes, keepdims=True) / float(n)
            centred = x - mean
            variance = (centred * centred).sum(axes, keepdims=True) / float(n)
        else:
            mean, variance = running
            if mean is None or variance is None:
                raise ShapeMismatch("batch_norm needs running_mean and running_var, unless training is true.")
        return _normalized(self.name, x, mean, variance, weight, bias, attrs["eps"])


class BatchNormalization(Op):
    """Batch normalisation with given statistics, in ONNX's order: (x − mean) / √(var + epsilon) · scale + b.

    x: f[N, C, *s]; scale, b, mean, var: f[C]  ->  f[N, C, *s]. `batch_norm` has PyTorch's order, and a training mode.
    """

    name = "batch_normalization"
    aliases = ("BatchNormalization",)
    family = "nn"
    parameters = (
        Operand("x", ("X", "input")),
        Operand("scale"),
        Operand("b", ("B", "bias", "offset")),
        Operand("mean", ("input_mean",)),
        Operand("var", ("input_var", "variance")),
        Attr("epsilon", NUMBER, 1e-5, ("eps",)),
        Attr("momentum", NUMBER, 0.9),
        Attr("training_mode", BOOL, False),
    )
    composite = True
    floating = True
    latex = "\\frac{{{x} - {mean}}}{{\\sqrt{{{var} + \\varepsilon}}}}\\,{scale} + {b}"
    examples = (
        Example((ramp(2, 3, 2), [1.5, -0.5, 2.0], [0.5, 1.0, -1.0], [0.5, -0.25, 1.0], [1.0, 0.5, 2.0])),
        Example((ramp(2, 2), [1.5, -0.5], [0.5, 1.0], [0.5, -0.25], [1.0, 0.5]), {"epsilon": 0.1}),
    )

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var:
        """As batch_norm."""
        x, scale, bias, mean, var = operands
        _check(self.name, x)
        if attrs["training_mode"]:
            raise Unsupported("batch_normalization: the training mode is that of batch_norm.")
        mean, var = (_per_channel(self.name, n, v, x) for n, v in (("mean", mean), ("var", var)))
        return _normalized(self.name, x, mean, var, scale, bias, attrs["epsilon"])


registry.add(BatchNorm())
registry.add(BatchNormalization())
