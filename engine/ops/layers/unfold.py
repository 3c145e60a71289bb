"""Sliding windows as NumPy and PyTorch name them: sliding_window_view, unfold (im2col) and fold (col2im)."""

from __future__ import annotations

from math import prod
from typing import Any

from engine.attrs import AXES
from engine.aval import normalize_axis
from engine.builder import Builder, Var
from engine.errors import InvalidAttribute, ShapeMismatch
from engine.op import Attr, Example, Op, Operand, registry
from engine.ops.index.gather import reshaped
from engine.ops.layers.spatial import EXTRA, LENGTHS, frame, per_axis, ramp, span
from engine.ops.layers.windows import check_rank, overlap_added
from engine.ops.layout.arrange import permuted
from engine.ops.layout.shape import take_slice


class SlidingWindowView(Op):
    """All windows of an array, one starting at each place where one fits, as `numpy.lib.stride_tricks`.

    x: [*s]  ->  [*positions, *window_shape]; a window along each axis of `axis`, all axes by default. The axes of the windows
    stand behind all others.
    """

    name = "sliding_window_view"
    family = "nn"
    parameters = (Operand("x", ("a", "input")), Attr("window_shape", LENGTHS), Attr("axis", AXES, None))
    composite = True
    passes_integers = True
    latex = "\\operatorname{{windows}}({x})"
    derivative = {"x": "1"}
    examples = (
        Example(([1.0, 2.0, 4.0, 7.0],), {"window_shape": 2}),
        Example(([[1.0, 2.0, 4.0], [7.0, 5.0, 3.0]],), {"window_shape": (2, 2)}),
        Example(([[1.0, 2.0, 4.0], [7.0, 5.0, 3.0], [0.5, 6.0, 8.0]],), {"window_shape": 2, "axis": 0}),
        Example((ramp(2, 2, 3),), {"window_shape": (2, 1), "axis": (2, -3)}),
    )

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var:
        """`windows`, over the axes moved to the end and back."""
        x, axis, given = operands[0], attrs["axis"], attrs["window_shape"]
        window = (given,) if isinstance(given, int) else tuple(given)
        axes = tuple(range(x.rank)) if axis is None else (axis,) if isinstance(axis, int) else tuple(axis)
        if len(axes) != len(window):
            raise InvalidAttribute(
                f"sliding_window_view: window_shape {list(window)} must have one size for each of the axes "
                f"{list(axes)}; x has shape {list(x.shape)}."
            )
        places = [normalize_axis(a, x.rank) + x.rank for a in axes]
        if len(set(places)) != len(places):
            raise InvalidAttribute(f"sliding_window_view: axis {list(axes)} names an axis twice.")
        rest = [a for a in range(x.rank) if a not in places]
        moved = permuted(x, [*rest, *places])
        y = frame(self.name, moved, window, stride=1).windows(moved)
        order = [*rest, *places]
        return permuted(y, [*(order.index(a) for a in range(x.rank)), *range(x.rank, y.rank)])


def _axes(attrs: dict[str, Any], *names: str) -> int:
    """How many spatial axes there are: as many as the longest list has entries, two if there is none."""
    return max([len(attrs[n]) for n in names if isinstance(attrs[n], tuple)], default=2)


class Unfold(Op):
    """Windows of an image as columns (im2col), as PyTorch's `unfold`.

    input: [*lead, C, H, W]  ->  [*lead, C·kh·kw, L], with L windows in row-major order. Entries of the padding are 0. There are
    two spatial axes, or as many as `kernel_size` has sizes.
    """

    name = "unfold"
    aliases = ("im2col",)
    family = "nn"
    parameters = (
        Operand("input", ("x",)),
        Attr("kernel_size", LENGTHS, aliases=("kernel_shape",)),
        Attr("dilation", LENGTHS, 1, ("dilations",)),
        Attr("padding", EXTRA, 0),
        Attr("stride", LENGTHS, 1, ("strides",)),
    )
    composite = True
    latex = "\\operatorname{{unfold}}({input})"
    derivative = {"input": "1"}
    examples = (
        Example((ramp(1, 2, 3, 3),), {"kernel_size": 2}),
        Example(
            (ramp(1, 4, 5),),
            {"kernel_size": (2, 3), "dilation": (2, 1), "padding": (0, 1), "stride": (1, 2)},
            note="no batch",
        ),
        Example((ramp(1, 2, 3, 2, 3),), {"kernel_size": (2, 1, 2)}, note="three axes"),
    )

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var:
        """`windows`, the axes of the windows moved before those of the positions."""
        (x,) = operands
        k = _axes(attrs, "kernel_size")
        check_rank(self.name, x, k + 1)
        where = frame(
            self.name, x, per_axis(self.name, "kernel_size", attrs["kernel_size"], k),
            stride=attrs["stride"], padding=attrs["padding"], dilation=attrs["dilation"],
        )  # fmt: skip
        y = where.windows(x)
        n = x.rank - k
        turned = permuted(y, [*range(n), *range(n + k, n + 2 * k), *range(n, n + k)])
        return reshaped(
            turned, (*x.shape[: n - 1], x.shape[n - 1] * prod(where.kernel), prod(where.positions))
        )


class Fold(Op):
    """Columns laid back into an image and added where they overlap (col2im), as PyTorch's `fold`: the transpose of `unfold`.

    input: [*lead, C·kh·kw, L]  ->  [*lead, C, *output_size]. There are two spatial axes, or as many as `output_size` or
    `kernel_size` has sizes.
    """

    name = "fold"
    aliases = ("col2im", "Col2Im")
    family = "nn"
    parameters = (
        Operand("input", ("x",)),
        Attr("output_size", LENGTHS, aliases=("image_shape",)),
        Attr("kernel_size", LENGTHS, aliases=("block_shape",)),
        Attr("dilation", LENGTHS, 1, ("dilations",)),
        Attr("padding", EXTRA, 0, ("pads",)),
        Attr("stride", LENGTHS, 1, ("strides",)),
    )
    composite = True
    floating = True
    latex = "\\operatorname{{fold}}({input})"
    derivative = {"input": "1"}
    examples = (
        Example((ramp(1, 8, 4),), {"output_size": (3, 3), "kernel_size": 2}),
        Example(
            (ramp(6, 4),),
            {
                "output_size": (4, 5),
                "kernel_size": (2, 3),
                "dilation": (2, 1),
                "padding": (0, 1),
                "stride": (1, 4),
            },
            note="no batch",
        ),
        Example((ramp(4, 3),), {"output_size": 4, "kernel_size": (2,)}, note="one axis"),
    )

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var:
        """`overlap_add`, and the padding cut off."""
        (x,) = operands
        check_rank(self.name, x, 2)
        k = _axes(attrs, "output_size", "kernel_size")
        size, kernel, dilation, stride = (
            per_axis(self.name, n, attrs[n], k) for n in ("output_size", "kernel_size", "dilation", "stride")
        )
        given = attrs["padding"]
        pads = tuple(given) if isinstance(given, tuple) and len(given) == 2 * k else None
        before = pads[:k] if pads else per_axis(self.name, "padding", given, k)
        behind = pads[k:] if pads else before
        padded = [n + p + q for n, p, q in zip(size, before, behind, strict=True)]
        parts = zip(padded, kernel, dilation, stride, strict=True)
        counts = [max((n - span(w, d)) // s + 1, 0) for n, w, d, s in parts]
        rows, columns = x.shape[-2:]
        if not all(counts) or columns != prod(counts) or rows % prod(kernel):
            raise ShapeMismatch(
                f"fold: input of shape {list(x.shape)} must be [channels·{prod(kernel)}, {prod(counts)}] along its last two "
                f"axes: {prod(kernel)} entries for each window of {list(kernel)}, and {counts} windows in an image of "
                f"{list(size)}."
            )
        n = x.rank - 1
        split = reshaped(x, (*x.shape[:-2], rows // prod(kernel), *kernel, *counts))
        turned = permuted(split, [*range(n), *range(n + k, n + 2 * k), *range(n, n + k)])
        y = overlap_added(turned, padded, stride, dilation)
        return take_slice(y, [(p, p + m, 1) for p, m in zip(before, size, strict=True)])


for _op in (SlidingWindowView(), Unfold(), Fold()):
    registry.add(_op)
