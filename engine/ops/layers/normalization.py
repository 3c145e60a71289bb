"""Normalisation and distances: rms_norm, group_norm, instance_norm, local_response_norm, normalize, cosine_similarity, …

PyTorch's names, argument order and defaults.
"""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from engine.attrs import BOOL, INT, INTS, NUMBER, Slice, optional
from engine.builder import Builder, Var, call
from engine.errors import InvalidAttribute, ShapeMismatch
from engine.op import Attr, Example, Op, Operand, registry

MAX_WINDOW = 255


def standardised(x: Var, axes: tuple[int, ...], eps: float) -> Var:
    """(x − mean) / √(variance + eps) over axes; the variance is that of the population."""
    count = float(prod(x.shape[a] for a in axes))
    centred = x - x.sum(axes, keepdims=True) / count
    variance = (centred * centred).sum(axes, keepdims=True) / count
    return centred / call(x.b, "sqrt", variance + eps)


def per_channel(op: Op, x: Var, name: str, v: Var | None) -> Var | None:
    """One number for each entry of axis 1, shaped so that it stretches along the others."""
    if v is None:
        return None
    if v.shape != (x.shape[1],):
        raise ShapeMismatch(
            f"{op.name}: {name} must have shape [{x.shape[1]}], one number for each channel (axis 1) of x; it has "
            f"{list(v.shape)}."
        )
    return v.reshape((x.shape[1], *[1] * (x.rank - 2)))


def affine(y: Var, weight: Var | None, bias: Var | None) -> Var:
    """y·weight + bias, as far as they are there."""
    y = y if weight is None else y * weight
    return y if bias is None else y + bias


class RmsNorm(Op):
    """Root-mean-square normalisation: x / √(mean(x²) + eps) over the trailing axes, times weight.

    eps is by default the dtype's machine epsilon. B. Zhang, R. Sennrich, NeurIPS 2019, arXiv:1910.07467.
    """

    name = "rms_norm"
    family = "nn"
    parameters = (
        Operand("x", ("input",)),
        Attr("normalized_shape", INTS),
        Operand("weight", optional=True),
        Attr("eps", optional(NUMBER), None, ("epsilon",)),
    )
    composite = True
    floating = True
    latex = "\\frac{{{x}}}{{\\sqrt{{\\operatorname{{mean}}({x}^2) + \\varepsilon}}}}"
    examples = (
        Example(
            ([[1.0, 2.0, 4.0], [-1.0, 0.5, 2.0]], [0.5, 1.5, -2.0]), {"normalized_shape": (3,), "eps": 0.1}
        ),
        Example(([[1.0, 2.0, 4.0], [-1.0, 0.5, 2.0]],), {"normalized_shape": (2, 3), "eps": 0.1}),
        Example(([1.0, -2.0],), {"normalized_shape": 2, "eps": 1e-5}),
    )

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var:
        """By sums."""
        (x, weight), shape = operands, tuple(attrs["normalized_shape"])
        n = len(shape)
        if n == 0 or x.shape[-n:] != shape:
            raise ShapeMismatch(
                f"rms_norm: normalized_shape {list(shape)} must be the last sizes of x, whose shape is {list(x.shape)}."
            )
        if weight is not None and weight.shape != shape:
            raise ShapeMismatch(
                f"rms_norm: weight must have the shape {list(shape)} of normalized_shape; it has {list(weight.shape)}."
            )
        eps = float(np.finfo(x.dtype).eps) if attrs["eps"] is None else attrs["eps"]
        mean = (x * x).sum(tuple(range(-n, 0)), keepdims=True) / float(prod(shape))
        return affine(x / call(b, "sqrt", mean + eps), weight, None)


class GroupNorm(Op):
    """Group normalisation: the channels (axis 1) in groups, each standardised over its channels and the further axes.

    x: f[N, C, *s], weight: f[C], bias: f[C]  ->  f[N, C, *s]. Y. Wu, K. He, ECCV 2018, arXiv:1803.08494.
    """

    name = "group_norm"
    family = "nn"
    parameters = (
        Operand("x", ("input",)),
        Attr("num_groups", INT),
        Operand("weight", optional=True),
        Operand("bias", optional=True),
        Attr("eps", NUMBER, 1e-5, ("epsilon",)),
    )
    composite = True
    floating = True
    latex = "\\frac{{{x} - \\mu}}{{\\sqrt{{\\sigma^2 + \\varepsilon}}}}"
    examples = (
        Example(
            (
                [[[1.0, 2.0], [4.0, 0.5], [-1.0, 0.25], [2.0, 3.0]]],
                [0.5, 1.5, -2.0, 1.0],
                [1.0, 2.0, 3.0, 4.0],
            ),
            {"num_groups": 2},
        ),
        Example(([[1.0, 2.0, 4.0, 0.5], [0.0, 3.0, 1.0, 7.0]],), {"num_groups": 1, "eps": 0.1}),
    )

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var:
        """By reshape."""
        (x, weight, bias), groups = operands, attrs["num_groups"]
        if x.rank < 2 or groups < 1 or x.shape[1] % groups:
            raise ShapeMismatch(
                f"group_norm: num_groups={groups} must divide the channels, axis 1 of x, whose shape is {list(x.shape)}."
            )
        weight, bias = per_channel(self, x, "weight", weight), per_channel(self, x, "bias", bias)
        if x.size == 0:
            return affine(x, weight, bias)
        grouped = x.reshape((x.shape[0], groups, x.shape[1] // groups, *x.shape[2:]))
        axes = tuple(range(2 - grouped.rank, 0))
        return affine(standardised(grouped, axes, attrs["eps"]).reshape(x.shape), weight, bias)


class InstanceNorm(Op):
    """Instance normalisation: each channel of each sample standardised over the further axes.

    x: f[N, C, *s] with at least one further axis; the others f[C]. With `use_input_stats=False` mean and variance are
    `running_mean` and `running_var`; else they are not read. `momentum` means nothing here: nothing is updated.
    D. Ulyanov, A. Vedaldi, V. Lempitsky, arXiv:1607.08022.
    """

    name = "instance_norm"
    family = "nn"
    parameters = (
        Operand("x", ("input",)),
        Operand("running_mean", optional=True),
        Operand("running_var", optional=True),
        Operand("weight", optional=True),
        Operand("bias", optional=True),
        Attr("use_input_stats", BOOL, True),
        Attr("momentum", NUMBER, 0.1),
        Attr("eps", NUMBER, 1e-5, ("epsilon",)),
    )
    composite = True
    floating = True
    latex = "\\frac{{{x} - \\mu}}{{\\sqrt{{\\sigma^2 + \\varepsilon}}}}"
    examples = (
        Example(([[[1.0, 2.0, 4.5]]],), {"eps": 0.1}),
        Example(([[[1.0, 2.0, 4.5], [4.0, 0.5, 1.0]]], None, None, [0.5, 1.5], [1.0, 2.0]), {"eps": 0.5}),
        Example(([[[1.0, 2.0], [4.0, 0.5]]], [0.5, 1.0], [2.0, 0.25]), {"use_input_stats": False}),
    )

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var:
        """By sums, or by what is given."""
        x, mean, variance, weight, bias = operands
        if x.rank < 3:
            raise ShapeMismatch(
                f"instance_norm: x must have shape (N, C, …) with a further axis; it has {list(x.shape)}."
            )
        weight, bias = per_channel(self, x, "weight", weight), per_channel(self, x, "bias", bias)
        if attrs["use_input_stats"]:
            y = x if x.size == 0 else standardised(x, tuple(range(2 - x.rank, 0)), attrs["eps"])
            return affine(y, weight, bias)
        if mean is None or variance is None:
            raise ShapeMismatch("instance_norm: use_input_stats=False needs running_mean and running_var.")
        centre, spread = (
            per_channel(self, x, "running_mean", mean),
            per_channel(self, x, "running_var", variance),
        )
        assert centre is not None
        assert spread is not None
        return affine((x - centre) / call(b, "sqrt", spread + attrs["eps"]), weight, bias)


class LocalResponseNorm(Op):
    """Local response normalisation: x / (k + alpha·m)^beta, with m the mean of x² over a window of `size` channels (axis 1).

    The window is centred; an even one reaches one further to the left. Beyond the ends there are zeros.
    A. Krizhevsky, I. Sutskever, G. Hinton, NIPS 2012.
    """

    name = "local_response_norm"
    family = "nn"
    parameters: tuple[Operand | Attr, ...] = (
        Operand("x", ("input",)),
        Attr("size", INT),
        Attr("alpha", NUMBER, 1e-4),
        Attr("beta", NUMBER, 0.75),
        Attr("k", NUMBER, 1.0, ("bias",)),
    )
    composite = True
    floating = True
    latex = "\\frac{{{x}}}{{(k + \\alpha m)^\\beta}}"
    examples: tuple[Example, ...] = (
        Example(([[[1.0, 2.0], [4.0, 0.5], [-1.0, 3.0]]],), {"size": 3, "alpha": 0.5}),
        Example(([[[1.0], [4.0], [-1.0]]],), {"size": 2, "alpha": 0.5, "beta": 0.25, "k": 2.0}),
        Example(([[[1.0], [4.0], [-1.0]]],), {"size": 9, "alpha": 0.5}, note="wider than there are channels"),
    )
    lean = 0
    """How much an even window leans to the right."""

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var:
        """By a sum of shifted squares."""
        (x,), size = operands, attrs["size"]
        if not 1 <= size <= MAX_WINDOW:
            raise InvalidAttribute(f"{self.name}: size must be between 1 and {MAX_WINDOW}; it is {size}.")
        if x.rank < 3:
            raise ShapeMismatch(
                f"{self.name}: x must have shape (N, C, …) with a further axis; it has {list(x.shape)}."
            )
        channels = x.shape[1]
        before = (size - 1) // 2 if self.lean else size // 2
        widths = ((0, 0), (before, size - 1 - before), *[(0, 0)] * (x.rank - 2))
        padded = call(b, "pad", x * x, pad_width=widths)
        # Windows that reach beyond both ends are equal there: at most 2C − 1 shifts find anything but zeros.
        shifts = [j for j in range(size) if -channels < j - before < channels]
        total = None
        for j in shifts:
            part = call(b, "getitem", padded, index=(Slice(), Slice(j, j + channels)))
            total = part if total is None else total + part
        assert total is not None or channels == 0
        mean = x * x if total is None else total / float(size)
        y: Var = x / call(b, "pow", mean * attrs["alpha"] + attrs["k"], attrs["beta"])
        return y


class OnnxLrn(LocalResponseNorm):
    """ONNX's LRN: local response normalisation whose even windows reach one further to the right."""

    name = "LRN"
    parameters = (
        Operand("x", ("X",)),
        Attr("alpha", NUMBER, 1e-4),
        Attr("beta", NUMBER, 0.75),
        Attr("k", NUMBER, 1.0, ("bias",)),
        Attr("size", INT),
    )
    lean = 1


class Normalize(Op):
    """x divided by its p-norm along an axis, or by eps if the norm is smaller."""

    name = "normalize"
    family = "nn"
    parameters = (
        Operand("x", ("input",)),
        Attr("p", NUMBER, 2.0),
        Attr("dim", INT, 1, ("axis",)),
        Attr("eps", NUMBER, 1e-12),
    )
    composite = True
    floating = True
    latex = "\\frac{{{x}}}{{\\max(\\lVert {x} \\rVert, \\varepsilon)}}"
    convention = "At a vector of zeros the norm is constant: the derivative is 1/eps."
    examples = (
        Example(([[3.0, 4.0], [1.0, -2.0]],)),
        Example(([[3.0, 4.0], [1.0, -2.0]],), {"dim": 0, "p": 3.0}),
        Example(([[0.0, 0.0], [1.0, 2.0]],), smooth=False, note="a vector of zeros"),
    )

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var:
        """By vector_norm."""
        (x,) = operands
        size = call(b, "vector_norm", x, ord=attrs["p"], axis=attrs["dim"], keepdims=True)
        y: Var = x / call(b, "clip", size, attrs["eps"], None)
        return y


class CosineSimilarity(Op):
    """Cosine of the angle between vectors along an axis: x1·x2 / (max(‖x1‖, eps)·max(‖x2‖, eps))."""

    name = "cosine_similarity"
    family = "nn"
    parameters = (Operand("x1"), Operand("x2"), Attr("dim", INT, 1, ("axis",)), Attr("eps", NUMBER, 1e-8))
    composite = True
    floating = True
    latex = "\\frac{{{x1} \\cdot {x2}}}{{\\lVert {x1} \\rVert\\,\\lVert {x2} \\rVert}}"
    convention = "At a vector of zeros the norm is constant, eps."
    examples = (
        Example(([[3.0, 4.0], [1.0, -2.0]], [[1.0, 0.5], [2.0, 2.0]])),
        Example(([3.0, 4.0], [[1.0, 0.5], [2.0, 2.0]]), {"dim": -1}, note="broadcasting"),
        Example(([[1.0, 0.5]], [[3.0, 2.0]]), {"eps": 2.0}, note="a vector shorter than eps"),
    )

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var:
        """By vector_norm."""
        dim, eps = attrs["dim"], attrs["eps"]
        stretched: Any = call(b, "broadcast_arrays", *operands)
        x1, x2 = stretched
        sizes = [
            call(b, "clip", call(b, "vector_norm", x, axis=dim, keepdims=True), eps, None) for x in (x1, x2)
        ]
        cosine: Var = ((x1 / sizes[0]) * (x2 / sizes[1])).sum(dim)
        return cosine


class PairwiseDistance(Op):
    """p-norm of x1 − x2 + eps along the last axis."""

    name = "pairwise_distance"
    family = "nn"
    parameters = (
        Operand("x1"),
        Operand("x2"),
        Attr("p", NUMBER, 2.0),
        Attr("eps", NUMBER, 1e-6),
        Attr("keepdim", BOOL, False, ("keepdims",)),
    )
    composite = True
    floating = True
    latex = "\\lVert {x1} - {x2} + \\varepsilon \\rVert"
    examples = (
        Example(([[3.0, 4.0], [1.0, -2.0]], [[1.0, 0.5], [2.0, 2.0]])),
        Example(([[3.0, 4.0], [1.0, -2.0]], [2.0, 0.5]), {"p": 1.0, "keepdim": True}),
    )

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var:
        """By vector_norm."""
        x1, x2 = operands
        step = x1 - x2 + attrs["eps"]
        return call(b, "vector_norm", step, ord=attrs["p"], axis=-1, keepdims=attrs["keepdim"])


for _op in (
    RmsNorm(), GroupNorm(), InstanceNorm(), LocalResponseNorm(), OnnxLrn(), Normalize(), CosineSimilarity(),
    PairwiseDistance(),
):  # fmt: skip
    registry.add(_op)
