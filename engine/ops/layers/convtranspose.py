"""Transposed convolutions of any number of axes: composites of a matrix product and the overlap-add."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np

from engine.attrs import optional
from engine.builder import Builder, Var
from engine.errors import InvalidAttribute, ShapeMismatch
from engine.op import Attr, Example, registry
from engine.ops.layers.convolution import (
    AUTO,
    BIAS,
    DILATION,
    GROUPS,
    KERNEL_SHAPE,
    PADDINGS,
    STRIDE,
    WEIGHT,
    ConvolutionBase,
    X,
    biased,
    grouped,
    labels,
    ungrouped,
)
from engine.ops.layers.spatial import EXTRA, LENGTHS, per_axis, ramp, span
from engine.ops.layers.windows import overlap_added
from engine.ops.layout.shape import take_slice
from engine.ops.products.matmul import contract

OUTPUT_PADDING = Attr("output_padding", EXTRA, 0)


class TransposedConvolution(ConvolutionBase):
    """Front of conv_transpose1d, conv_transpose2d, conv_transpose3d and conv_transpose."""

    latex = "{weight}^\\top \\star {input} + {bias}"
    arguments = (X, WEIGHT, BIAS, STRIDE, PADDINGS, OUTPUT_PADDING, GROUPS, DILATION)

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var:
        """A matrix product, and its columns laid over one another."""
        x, weight, bias = operands
        groups = attrs["groups"]
        k = self.check(x, weight, bias, groups, transposed=True)
        kernel = self.kernel(weight, k, attrs.get("kernel_shape"))
        strides = per_axis(self.name, "stride", attrs["stride"], k)
        dilations = per_axis(self.name, "dilation", attrs["dilation"], k)
        extra = per_axis(self.name, "output_padding", attrs["output_padding"], k)
        counts = x.shape[x.rank - k :]
        if not all(counts):
            raise ShapeMismatch(
                f"{self.name}: the input's last {k} axes must not be empty; its shape is {list(x.shape)}."
            )
        for p, s, d in zip(extra, strides, dilations, strict=True):
            if p and p >= max(s, d):
                raise InvalidAttribute(
                    f"{self.name}: output_padding {p} must be smaller than the stride or the dilation, {s} and {d}."
                )
        covered = [
            (n - 1) * s + span(w, d) for n, w, s, d in zip(counts, kernel, strides, dilations, strict=True)
        ]
        before, size = self._cut(covered, strides, counts, extra, attrs, k)
        n, o, w = labels("n", x.rank - k - 1), labels("o", k), labels("w", k)
        g: list[Hashable] = ["g"] if groups > 1 else []
        if groups > 1:
            x, weight = grouped(x, len(n), groups), grouped(weight, 0, groups)
        columns = contract(weight, [*g, "c", "f", *w], x, [*n, *g, "c", *o], [*n, *g, "f", *o, *w])
        full = [max(c, p + m) for c, p, m in zip(covered, before, size, strict=True)]
        whole = overlap_added(columns, full, strides, dilations)
        y = take_slice(whole, [(p, p + m, 1) for p, m in zip(before, size, strict=True)])
        return biased(ungrouped(y, len(n), groups), bias, k)

    def _cut(
        self,
        covered: Sequence[int],
        strides: Sequence[int],
        counts: Sequence[int],
        extra: Sequence[int],
        attrs: Any,
        k: int,
    ) -> tuple[list[int], list[int]]:
        """How much is cut off before each axis, and the size that is left."""
        auto, wanted = attrs.get("auto_pad", "notset"), attrs.get("output_shape")
        padding = attrs["padding"]
        if auto == "valid" or padding == "valid":
            padding = 0
        elif auto != "notset" or isinstance(padding, str) or wanted is not None:
            if auto != "notset" and padding != 0:
                raise InvalidAttribute(f"{self.name}: give either the padding or auto_pad, not both.")
            lower = "same_lower" in (auto, padding) or (auto == "notset" and not isinstance(padding, str))
            size = (
                [n * s for n, s in zip(counts, strides, strict=True)]
                if wanted is None
                else list(per_axis(self.name, "output_shape", wanted, k))
            )
            # ONNX: the odd one is cut off behind with SAME_UPPER, else before.
            totals = [c + e - m for c, e, m in zip(covered, extra, size, strict=True)]
            return [max((t - t // 2) if lower else t // 2, 0) for t in totals], size
        if isinstance(padding, tuple) and padding and isinstance(padding[0], tuple):
            if len(padding) != k:
                raise InvalidAttribute(f"{self.name}: padding has {len(padding)} pairs for {k} spatial axes.")
            before, behind = [p for p, _ in padding], [q for _, q in padding]
        elif isinstance(padding, tuple) and len(padding) == 2 * k:
            before, behind = list(padding[:k]), list(padding[k:])
        else:
            before = list(per_axis(self.name, "padding", padding, k))
            behind = before
        size = [c - p - q + e for c, p, q, e in zip(covered, before, behind, extra, strict=True)]
        if any(m < 1 for m in size):
            raise ShapeMismatch(
                f"{self.name}: padding {before} before and {behind} behind leaves nothing of the sizes {list(covered)} that "
                "input and kernel make."
            )
        return before, size


def _transposed_doc(axes: str, sizes: str) -> str:
    return f"""Transposed convolution over {axes}, as PyTorch's: what takes a convolution's cotangent back to its input.

    input: f[*lead, in, {sizes}], weight: f[in, out/groups, {sizes}], bias: f[out]  ->  f[*lead, out, {sizes}]

    The result has stride·(s − 1) + dilation·(kernel − 1) + 1 − padding + output_padding entries along each axis; `padding`
    is what is cut off, as in the convolution that this turns round.
    """


_T_NARROW = (
    Example((ramp(2, 3, 4), ramp(3, 2, 3), [0.5, -1.0]), {"stride": 2, "padding": 1, "output_padding": 1}),
    Example((ramp(2, 3), ramp(2, 3, 2)), {"stride": 3}, note="no batch, and a stride longer than the kernel"),
    Example(
        (ramp(1, 1, 3), ramp(1, 1, 2)), {"dilation": 3, "output_padding": 2}, note="zeros behind all windows"
    ),
    Example((np.zeros((0, 2, 4)), ramp(2, 3, 2)), note="an empty batch"),
)
_T_WIDE = (
    Example((ramp(2, 2, 3, 3), ramp(2, 3, 2, 3), [0.5, -0.25, 1.0]), {"padding": (0, 1)}),
    Example(
        (ramp(1, 4, 2, 3), ramp(4, 1, 2, 2), ramp(2)), {"groups": 2, "stride": (1, 2), "dilation": (2, 1)}
    ),
)
_T_DEEP = (
    Example((ramp(1, 2, 2, 2, 2), ramp(2, 1, 2, 1, 2), [0.5]), {"stride": (1, 2, 1)}),
    Example((ramp(1, 2, 1, 2, 2), ramp(2, 2, 2, 2, 2)), {"groups": 2, "stride": 2, "padding": (0, 1, 0)}),
)
_T_ANY = (
    Example((ramp(1, 1, 3, 3), ramp(1, 2, 3, 3), [0.5, 1.0]), {"stride": 2, "padding": (1, 0, 1, 2)}),
    Example(
        (ramp(1, 1, 3, 3), ramp(1, 2, 3, 3)), {"stride": (3, 2), "output_shape": (10, 8), "kernel_shape": 3}
    ),
    Example((ramp(1, 1, 3), ramp(1, 2, 4)), {"stride": 3, "auto_pad": "same_upper"}),
    Example((ramp(1, 1, 3), ramp(1, 2, 4)), {"stride": 3, "auto_pad": "same_lower"}),
    Example((ramp(1, 1, 3), ramp(1, 1, 2)), {"padding": ((0, 1),)}, note="padding as pairs"),
)

for _name, _axes, _text, _examples in (
    ("conv_transpose1d", 1, _transposed_doc("one axis", "l"), _T_NARROW),
    ("conv_transpose2d", 2, _transposed_doc("two axes", "h, w"), _T_WIDE),
    ("conv_transpose3d", 3, _transposed_doc("three axes", "d, h, w"), _T_DEEP),
):
    registry.add(TransposedConvolution(_name, _axes, _text, _examples))
registry.add(
    TransposedConvolution(
        "conv_transpose", None,
        _transposed_doc("as many axes as the weight has behind its first two, with ONNX's attributes", "*s"), _T_ANY,
        aliases=("ConvTranspose",),
        further=(KERNEL_SHAPE, AUTO, Attr("output_shape", optional(LENGTHS), None, keyword_only=True)),
    )
)  # fmt: skip
