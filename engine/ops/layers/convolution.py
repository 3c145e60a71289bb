"""Convolutions of any number of axes, with PyTorch's names and ONNX's attributes.

All are composites of sliding windows and one matrix product for each group: x's windows are arranged as a matrix of
(channels·kernel) × (batch·positions), which is as large as the windows are and is counted so before it is made. A convolution
whose windows would be too many at once is written as a sum over the entries of the kernel instead. As everywhere in deep
learning, what is computed is a cross-correlation: the kernel is not turned round.

V. Dumoulin, F. Visin, "A guide to convolution arithmetic for deep learning", arXiv:1603.07285.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from itertools import product
from math import prod
from typing import Any

import numpy as np

from engine.attrs import INT, optional
from engine.builder import Builder, Var
from engine.errors import InvalidAttribute, ShapeMismatch
from engine.op import Attr, Example, Op, Operand, Parameter, registry
from engine.ops.index.gather import reshaped
from engine.ops.layers.spatial import AUTO_PAD, LENGTHS, PADDING, Frame, frame, per_axis, ramp
from engine.ops.layout.shape import take_slice
from engine.ops.products.matmul import contract

AT_ONCE = 4_000_000
"""Most elements of windows laid out as one matrix (32 MB in double precision), if the kernel is not too large itself."""

MOST_ENTRIES = 512
"""Most entries of a kernel over which a sum is written out."""

X = Operand("input", ("x", "X"))
WEIGHT = Operand("weight", ("w", "W", "kernel"))
BIAS = Operand("bias", ("b", "B"), optional=True)
STRIDE = Attr("stride", LENGTHS, 1, ("strides",))
PADDINGS = Attr("padding", PADDING, 0, ("pads",))
DILATION = Attr("dilation", LENGTHS, 1, ("dilations",))
GROUPS = Attr("groups", INT, 1, ("group", "feature_group_count"))
KERNEL_SHAPE = Attr("kernel_shape", optional(LENGTHS), None, keyword_only=True)
AUTO = Attr("auto_pad", AUTO_PAD, "notset", keyword_only=True)

LINEAR = {"input": "w \\star \\dot{x}", "weight": "\\dot{w} \\star x", "bias": "1"}


class ConvolutionBase(Op):
    """What all of them share: `axes` is how many spatial axes there are, None where the weight decides."""

    family = "nn"
    composite = True
    floating = True
    derivative = LINEAR
    axes: int | None = None
    arguments: tuple[Parameter, ...] = ()
    """What all members of a family take, in PyTorch's order."""

    def __init__(
        self,
        name: str,
        axes: int | None,
        doc: str,
        examples: Sequence[Example],
        aliases: tuple[str, ...] = (),
        further: tuple[Parameter, ...] = (),
    ) -> None:
        self.name = name
        self.axes = axes
        self.__doc__ = doc
        self.aliases = aliases
        self.parameters = (*self.arguments, *further)
        self.examples = tuple(examples)

    def check(self, x: Var, weight: Var, bias: Var | None, groups: int, *, transposed: bool) -> int:
        """The number of spatial axes. Raises `ShapeMismatch` and `InvalidAttribute` naming shapes and what would fit."""
        k = self.axes or weight.rank - 2
        names = ", ".join(
            ("length",) if k == 1 else ("height", "width") if k == 2 else [f"s{a}" for a in range(k)]
        )
        form = f"[in, out/groups, {names}]" if transposed else f"[out, in/groups, {names}]"
        if k < 1 or weight.rank != k + 2 or not all(weight.shape[2:]):
            raise ShapeMismatch(
                f"{self.name}: the weight must have the shape {form if k > 0 else '[out, in/groups, length, …]'}, no kernel "
                f"being empty; its shape is {list(weight.shape)}."
            )
        if x.rank < k + 1:
            raise ShapeMismatch(
                f"{self.name}: the input must have the shape [batch, channels, {names}] or [channels, {names}]; its shape "
                f"is {list(x.shape)}."
            )
        if groups < 1:
            raise InvalidAttribute(f"{self.name}: groups must be at least 1; it is {groups}.")
        channels, at = x.shape[-k - 1], x.rank - k - 1
        wanted = weight.shape[0] if transposed else weight.shape[1] * groups
        if channels != wanted:
            times = (
                f" ({weight.shape[1]} in each of {groups} groups)" if groups > 1 and not transposed else ""
            )
            raise ShapeMismatch(
                f"{self.name}: the input has {channels} channels (axis {at} of {list(x.shape)}), the weight of shape "
                f"{list(weight.shape)} wants {wanted}{times}."
            )
        if weight.shape[0] % groups:
            which = "input" if transposed else "output"
            raise ShapeMismatch(
                f"{self.name}: the {weight.shape[0]} {which} channels of the weight, {list(weight.shape)}, cannot be "
                f"divided into {groups} groups."
            )
        out = weight.shape[1] * groups if transposed else weight.shape[0]
        if bias is not None and bias.shape != (out,):
            raise ShapeMismatch(
                f"{self.name}: bias must have shape [{out}], one number for each output channel; it has {list(bias.shape)}."
            )
        return k

    def kernel(self, weight: Var, k: int, given: Any) -> tuple[int, ...]:
        """Sizes of the kernel, which ONNX's `kernel_shape` may repeat."""
        kernel = weight.shape[2:]
        if given is not None and per_axis(self.name, "kernel_shape", given, k) != kernel:
            raise ShapeMismatch(
                f"{self.name}: kernel_shape {given if isinstance(given, int) else list(given)} is not that of the weight, "
                f"whose shape is {list(weight.shape)}."
            )
        return kernel


def biased(y: Var, bias: Var | None, k: int) -> Var:
    return y if bias is None else y + bias.reshape((bias.size, *[1] * k))


def grouped(v: Var, axis: int, groups: int) -> Var:
    """The axis (counted from 0) as two: groups, and what is in each."""
    shape = v.shape
    return reshaped(v, (*shape[:axis], groups, shape[axis] // groups, *shape[axis + 1 :]))


def labels(name: str, count: int) -> list[Hashable]:
    return [(name, i) for i in range(count)]


def convolved(x: Var, weight: Var, where: Frame, groups: int) -> Var:
    """[*lead, in, *s] and [out, in/groups, *kernel] to [*lead, out, *positions]."""
    k = len(where.kernel)
    n, o, w = labels("n", x.rank - k - 1), labels("o", k), labels("w", k)
    g: list[Hashable] = ["g"] if groups > 1 else []
    if groups > 1:
        x, weight = grouped(x, len(n), groups), grouped(weight, 0, groups)
    ws, out = [*g, "f", "c"], [*n, *g, "f", *o]
    lead = x.shape[: x.rank - k]
    if prod([*lead, *where.positions, *where.kernel]) > AT_ONCE and prod(where.kernel) <= MOST_ENTRIES:
        y = _by_entries(where.pad(x), weight, where, ws, [*n, *g, "c", *o], out)
    else:
        y = contract(weight, [*ws, *w], where.windows(x), [*n, *g, "c", *o, *w], out)
    return ungrouped(y, len(n), groups)


def ungrouped(y: Var, axis: int, groups: int) -> Var:
    """Groups, and what is in each, as one axis again."""
    if groups == 1:
        return y
    shape = y.shape
    return reshaped(y, (*shape[:axis], groups * shape[axis + 1], *shape[axis + 2 :]))


def _by_entries(
    padded: Var, weight: Var, where: Frame, ws: list[Hashable], xs: list[Hashable], out: list[Hashable]
) -> Var:
    """The sum over the entries of the kernel, a matrix product for each."""
    total: Var | None = None
    lead = weight.rank - len(where.kernel)
    for at in product(*map(range, where.kernel)):
        cut = [
            (i * d, i * d + (o - 1) * s + 1, s)
            for i, d, o, s in zip(at, where.dilations, where.positions, where.strides, strict=True)
        ]
        one = take_slice(weight, [(i, i + 1, 1) for i in at])
        part = contract(reshaped(one, weight.shape[:lead]), ws, take_slice(padded, cut), xs, out)
        total = part if total is None else total + part
    assert total is not None
    return total


class Convolution(ConvolutionBase):
    """Front of conv1d, conv2d, conv3d and conv."""

    latex = "{weight} \\star {input} + {bias}"
    arguments = (X, WEIGHT, BIAS, STRIDE, PADDINGS, DILATION, GROUPS)

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var:
        """Windows and a matrix product."""
        x, weight, bias = operands
        groups = attrs["groups"]
        k = self.check(x, weight, bias, groups, transposed=False)
        where = frame(
            self.name, x, self.kernel(weight, k, attrs.get("kernel_shape")),
            stride=attrs["stride"], padding=attrs["padding"], dilation=attrs["dilation"],
            auto_pad=attrs.get("auto_pad", "notset"),
        )  # fmt: skip
        return biased(convolved(x, weight, where, groups), bias, k)


def _doc(axes: str, sizes: str) -> str:
    return f"""Convolution over {axes}, as PyTorch's: Σ weight·input over channels and the entries of the kernel, plus bias.

    input: f[*lead, in, {sizes}], weight: f[out, in/groups, {sizes}], bias: f[out]  ->  f[*lead, out, {sizes}]

    There are ⌊(s + padding − dilation·(kernel − 1) − 1) / stride⌋ + 1 positions along each axis. `padding` is 'valid', 'same'
    (s/stride positions, rounded up), a number for both sides of each axis, or numbers before and behind. With `groups`,
    each group of output channels sees its own group of input channels. The kernel is not turned round.
    """


_NARROW = (
    Example(
        (ramp(2, 3, 6), ramp(4, 3, 3), [0.5, -0.25, 1.0, 2.0]),
        {"stride": 2, "padding": 1},
    ),
    Example((ramp(2, 5), ramp(3, 2, 2)), {"padding": "same"}, note="no batch, and an even kernel"),
    Example((ramp(1, 2, 6), ramp(2, 2, 2)), {"stride": 4}, note="a stride longer than the kernel"),
    Example((np.zeros((0, 2, 4)), ramp(3, 2, 2)), note="an empty batch"),
)
_WIDE = (
    Example((ramp(2, 2, 4, 5), ramp(3, 2, 3, 2), [0.5, -0.25, 1.0]), {"padding": (1, 0)}),
    Example(
        (ramp(1, 3, 4, 4), ramp(6, 1, 2, 2), ramp(6)),
        {"groups": 3, "stride": (1, 2)},
        note="as many groups as channels: depthwise",
    ),
    Example(
        (ramp(1, 4, 5, 5), ramp(2, 2, 2, 2)),
        {"groups": 2, "dilation": 2, "padding": 1},
        note="dilation with padding, in groups",
    ),
    Example((ramp(2, 2, 2, 2), ramp(3, 2, 1, 1)), note="a kernel of one entry"),
)
_DEEP = (
    Example((ramp(1, 2, 3, 3, 3), ramp(2, 2, 2, 2, 2), [0.5, -1.0])),
    Example(
        (ramp(2, 2, 3, 2, 3), ramp(2, 1, 2, 1, 3)), {"groups": 2, "padding": (1, 0, 1), "stride": (2, 1, 1)}
    ),
)
_ANY = (
    Example(
        (ramp(1, 2, 5, 4), ramp(3, 2, 3, 3), [0.5, -1.0, 0.25]),
        {"stride": 2, "padding": (1, 0, 0, 2), "kernel_shape": (3, 3)},
        note="padding before both axes, then behind",
    ),
    Example((ramp(1, 1, 5, 5), ramp(1, 1, 3, 2)), {"stride": 2, "auto_pad": "same_lower"}),
    Example((ramp(2, 1, 6), ramp(2, 1, 4)), {"auto_pad": "same_upper"}),
    Example((ramp(1, 1, 6), ramp(2, 1, 3)), {"padding": ((0, 2),)}, note="padding as pairs"),
)

for _name, _axes, _text, _examples in (
    ("conv1d", 1, _doc("one axis", "l"), _NARROW),
    ("conv2d", 2, _doc("two axes", "h, w"), _WIDE),
    ("conv3d", 3, _doc("three axes", "d, h, w"), _DEEP),
):
    registry.add(Convolution(_name, _axes, _text, _examples))
registry.add(
    Convolution(
        "conv", None, _doc("as many axes as the weight has behind its first two, with ONNX's attributes", "*s"), _ANY,
        aliases=("Conv", "convolution"), further=(KERNEL_SHAPE, AUTO),
    )
)  # fmt: skip
