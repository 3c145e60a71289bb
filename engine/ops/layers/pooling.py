"""Pooling: the largest, the mean or the p-norm of each window, with PyTorch's names and ONNX's attributes.

All are composites: windows over the trailing axes, reduced. Padding takes part in no maximum and no norm, and in a mean only
where it is asked to. The ops for a fixed number of axes have PyTorch's defaults (the stride is the kernel's size); those for
any number, whose names are ONNX's and Flax's, have theirs (the stride is 1).
"""

from __future__ import annotations

from collections.abc import Sequence
from math import inf, prod
from typing import Any

import numpy as np

from engine.attrs import BOOL, INT, NUMBER, optional
from engine.builder import Builder, Var, broadcast_to, call
from engine.errors import InvalidAttribute, ShapeMismatch
from engine.op import Attr, Example, Op, Operand, Parameter, registry
from engine.ops.layers.spatial import AUTO_PAD, LENGTHS, PADDING, Frame, frame, per_axis, ramp
from engine.ops.reduce.norms import vector_norm

X = Operand("input", ("x", "X"))
KERNEL = Attr("kernel_size", LENGTHS, aliases=("kernel_shape", "window_shape"))
OWN_STRIDE = Attr("stride", optional(LENGTHS), None, ("strides",))
STRIDE = Attr("stride", LENGTHS, 1, ("strides",))
PADDINGS = Attr("padding", PADDING, 0, ("pads",))
DILATION = Attr("dilation", LENGTHS, 1, ("dilations",))
CEIL = Attr("ceil_mode", BOOL, False)
AUTO = Attr("auto_pad", AUTO_PAD, "notset", keyword_only=True)
DIVISOR = Attr("divisor_override", optional(INT), None)


class _Pooling(Op):
    """What all of them share: `axes` is how many spatial axes there are, None where input or kernel decide."""

    family = "nn"
    composite = True

    def __init__(
        self,
        name: str,
        axes: int | None,
        doc: str,
        attrs: Sequence[Parameter],
        examples: Sequence[Example],
        aliases: tuple[str, ...] = (),
    ) -> None:
        self.name = name
        self.axes = axes
        self.__doc__ = doc
        self.aliases = aliases
        self.parameters = (X, *attrs)
        self.examples = tuple(examples)

    def windows(self, x: Var, attrs: dict[str, Any]) -> Frame:
        """Where the windows stand."""
        given = attrs["kernel_size"]
        k = self.axes if self.axes is not None else x.rank - 2 if isinstance(given, int) else len(given)
        if k < 1 or x.rank < k:
            what = f"its last {k} axes" if k > 0 else "the axes behind the first two (batch and channels)"
            raise ShapeMismatch(f"{self.name} pools over {what}; the input's shape is {list(x.shape)}.")
        kernel = per_axis(self.name, "kernel_size", given, k)
        stride = attrs["stride"]
        return frame(
            self.name, x, kernel,
            stride=kernel if stride is None or stride == () else stride, padding=attrs.get("padding", 0),
            dilation=attrs.get("dilation", 1), ceil_mode=attrs["ceil_mode"],
            auto_pad=attrs.get("auto_pad", "notset"),
        )  # fmt: skip


def window_axes(k: int) -> tuple[int, ...]:
    """The axes of the windows."""
    return tuple(range(-k, 0))


# --------------------------------------------------------------------------------------------------------------- largest


class MaxPool(_Pooling):
    """Front of max_pool1d, max_pool2d, max_pool3d and max_pool."""

    latex = "\\operatorname{{maxpool}}({input})"
    derivative = {"input": "\\frac{[x_i = y]}{\\#\\{j : x_j = y\\}}"}
    convention = (
        "Entries of a window that tie for the largest share the derivative equally; padding never takes part."
    )

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var:
        """The maximum of windows, masked where there is padding."""
        (x,) = operands
        if x.dtype == "bool":
            raise ShapeMismatch(
                f"{self.name}: booleans have no largest one; `any` over `windows` is what is meant."
            )
        where = self.windows(x, attrs)
        return largest(x, where)


def largest(x: Var, where: Frame) -> Var:
    """The largest entry of each window."""
    axes = window_axes(len(where.kernel))
    windows = where.windows(x)
    b = x.b
    if not where.touches_padding:
        result: Var = b.write("max", windows, axes=axes)
        return result
    where.check_windows_hold_something(b)
    mask = broadcast_to(where.mask(b), windows.shape)
    masked: Var = b.write("max_where", windows, mask, axes=axes)
    return masked


def _max_doc(axes: str, sizes: str, more: str = "") -> str:
    return f"""Largest entry of each window over {axes}.

    input: [*lead, {sizes}]  ->  [*lead, {sizes}], with ⌊(s + padding − dilation·(kernel − 1) − 1) / stride⌋ + 1 windows along
    each axis, or that rounded up with `ceil_mode` (but none that would start in the padding behind).{more}
    """


_ONNX = " The stride is 1\n    unless given, as in ONNX and Flax."
_TORCH = " The stride is\n    `kernel_size` unless given."
_MAX: tuple[Parameter, ...] = (OWN_STRIDE, PADDINGS, DILATION, CEIL)

_MAX_NARROW = (
    Example((ramp(2, 3, 7),), {"kernel_size": 3}),
    Example((ramp(1, 2, 7),), {"kernel_size": 3, "stride": 2, "padding": 1, "dilation": 2}),
    Example(
        (ramp(1, 1, 8),), {"kernel_size": 3, "stride": 2, "ceil_mode": True}, note="a window over the end"
    ),
    Example(([[[1.0, 3.0, 3.0, 2.0]]],), {"kernel_size": 3, "stride": 1}, smooth=False, note="ties share"),
    Example(
        ([[[-1.0, -3.0, -float("inf"), -float("inf")]]],),
        {"kernel_size": 2, "stride": 1, "padding": 1},
        smooth=False,
        note="padding is not larger than negative numbers, nor as large as −∞",
    ),
    Example((np.zeros((0, 2, 4)),), {"kernel_size": 2}, note="an empty batch"),
)
_MAX_WIDE = (
    Example((ramp(2, 2, 4, 5),), {"kernel_size": 2}),
    Example((ramp(2, 4, 5),), {"kernel_size": (3, 2), "stride": (1, 2), "padding": (1, 1)}, note="no batch"),
)
_MAX_DEEP = (Example((ramp(1, 2, 3, 2, 4),), {"kernel_size": (2, 1, 2), "padding": (1, 0, 0)}),)
_MAX_ANY = (
    Example((ramp(1, 1, 5, 4),), {"kernel_size": (2, 3), "padding": (0, 1, 1, 0)}),
    Example((ramp(1, 1, 5),), {"kernel_size": 2, "stride": 2, "auto_pad": "same_upper"}),
    Example((ramp(1, 1, 5),), {"kernel_size": (2,), "stride": 2, "auto_pad": "same_lower"}),
)

for _name, _axes, _doc, _attrs, _examples, _aliases in (
    ("max_pool1d", 1, _max_doc("one axis", "l", _TORCH), _MAX, _MAX_NARROW, ()),
    ("max_pool2d", 2, _max_doc("two axes", "h, w", _TORCH), _MAX, _MAX_WIDE, ()),
    ("max_pool3d", 3, _max_doc("three axes", "d, h, w", _TORCH), _MAX, _MAX_DEEP, ()),
    (
        "max_pool", None, _max_doc("the axes behind the first two, or as many as `kernel_size` has sizes", "*s", _ONNX),
        (STRIDE, PADDINGS, DILATION, CEIL, AUTO), _MAX_ANY, ("MaxPool",),
    ),
):  # fmt: skip
    registry.add(MaxPool(_name, _axes, _doc, (KERNEL, *_attrs), _examples, _aliases))

# ------------------------------------------------------------------------------------------------------------------ mean


class AvgPool(_Pooling):
    """Front of avg_pool1d, avg_pool2d, avg_pool3d and avg_pool."""

    floating = True
    latex = "\\operatorname{{avgpool}}({input})"
    derivative = {"input": "\\frac{1}{n}"}

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var:
        """The sum of windows, divided by how many entries count."""
        (x,) = operands
        where = self.windows(x, attrs)
        k = len(where.kernel)
        total = where.windows(x).sum(window_axes(k))
        divisor = attrs["divisor_override"]
        if divisor is not None:
            if divisor == 0:
                raise InvalidAttribute(f"{self.name}: divisor_override must not be 0.")
            return total / float(divisor)
        if not where.touches_padding:
            return total / float(prod(where.kernel))
        padded = attrs["count_include_pad"]
        if not padded:
            where.check_windows_hold_something(b)
        for a, counts in enumerate(where.counts(b, with_padding=padded)):
            if padded and counts.size and (counts == counts[0]).all():
                total = total / float(counts[0])
            else:
                total = total / b.var(counts.astype(np.float64).reshape((-1, *[1] * (k - a - 1))))
        return total


def _avg_doc(axes: str, sizes: str, more: str = "") -> str:
    return f"""Mean of each window over {axes}.

    input: f[*lead, {sizes}]  ->  f[*lead, {sizes}], with as many windows as `max_pool` has. The sum is divided by the number
    of entries, those of the padding counted or not (`count_include_pad`), or by `divisor_override`.{more}
    """


_COUNT = Attr("count_include_pad", BOOL, True)
_DO_NOT_COUNT = Attr("count_include_pad", BOOL, False)
_AVG: tuple[Parameter, ...] = (OWN_STRIDE, PADDINGS, CEIL, _COUNT, DIVISOR)

_AVG_NARROW = (
    Example((ramp(2, 3, 7),), {"kernel_size": 3}),
    Example((ramp(1, 2, 7),), {"kernel_size": 3, "stride": 2, "padding": 1}),
    Example((ramp(1, 2, 7),), {"kernel_size": 3, "stride": 2, "padding": 1, "count_include_pad": False}),
    Example(
        (ramp(1, 1, 8),),
        {"kernel_size": 3, "stride": 2, "padding": 1, "ceil_mode": True},
        note="a window over the end",
    ),
    Example((ramp(1, 4),), {"kernel_size": 2, "divisor_override": 3}),
    Example((np.zeros((0, 2, 4)),), {"kernel_size": 2, "padding": 1}, note="an empty batch"),
)
_AVG_WIDE = (
    Example((ramp(2, 2, 4, 5),), {"kernel_size": 2}),
    Example(
        (ramp(2, 4, 5),),
        {"kernel_size": (3, 2), "stride": (1, 2), "padding": (1, 1), "count_include_pad": False},
    ),
)
_AVG_DEEP = (
    Example((ramp(1, 1, 2, 3, 2),), {"kernel_size": (1, 2, 2), "stride": 1}),
    Example((ramp(1, 2, 3, 2, 4),), {"kernel_size": (2, 1, 2), "padding": (1, 0, 0), "ceil_mode": True}),
)
_AVG_ANY = (
    Example((ramp(1, 1, 5, 4),), {"kernel_size": (2, 3), "padding": (0, 1, 1, 0)}),
    Example(
        (ramp(1, 1, 5),), {"kernel_size": 2, "stride": 2, "auto_pad": "same_lower", "count_include_pad": True}
    ),
    Example((ramp(1, 1, 7),), {"kernel_size": 3, "dilation": 2, "padding": 2}),
)

for _name, _axes, _doc, _attrs, _examples, _aliases in (
    ("avg_pool1d", 1, _avg_doc("one axis", "l", _TORCH), _AVG, _AVG_NARROW, ()),
    ("avg_pool2d", 2, _avg_doc("two axes", "h, w", _TORCH), _AVG, _AVG_WIDE, ()),
    ("avg_pool3d", 3, _avg_doc("three axes", "d, h, w", _TORCH), _AVG, _AVG_DEEP, ()),
    (
        "avg_pool", None, _avg_doc("the axes behind the first two, or as many as `kernel_size` has sizes", "*s", _ONNX),
        (STRIDE, PADDINGS, CEIL, _DO_NOT_COUNT, DIVISOR, DILATION, AUTO), _AVG_ANY, ("AveragePool",),
    ),
):  # fmt: skip
    registry.add(AvgPool(_name, _axes, _doc, (KERNEL, *_attrs), _examples, _aliases))

# ------------------------------------------------------------------------------------------------------------------ norm


class LpPool(_Pooling):
    """Front of lp_pool1d, lp_pool2d, lp_pool3d and lp_pool."""

    floating = True
    latex = "\\left( \\textstyle\\sum |{input}|^p \\right)^{{1/p}}"
    derivative = {"input": "\\operatorname{sign} x_i \\left(\\frac{|x_i|}{y}\\right)^{p - 1}"}
    convention = "Where a window holds zeros alone, the subgradient of least norm, 0."

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var:
        """The norm of windows: zeros around the array add nothing."""
        (x,), p = operands, attrs["norm_type"]
        if not p > 0:
            raise InvalidAttribute(f"{self.name}: norm_type must be above 0; it is {p}.")
        where = self.windows(x, attrs)
        axes = window_axes(len(where.kernel))
        # |x| before there is padding: its kink at 0 is none of the user's.
        if p == 1:
            return where.windows(call(b, "abs", x)).sum(axes)
        if p == inf:
            return largest(call(b, "abs", x), where)
        return vector_norm(where.windows(x), axes, p)


def _lp_doc(axes: str, sizes: str, more: str = "") -> str:
    return f"""The p-norm of each window over {axes}, (Σ |x|^p)^(1/p) with p = `norm_type`.

    input: f[*lead, {sizes}]  ->  f[*lead, {sizes}], with as many windows as `max_pool` has. (PyTorch's takes x^p in place of
    |x|^p, which is NaN for odd p and negative sums.){more}
    """


_NORM = Attr("norm_type", NUMBER, aliases=("p",))
_NORM_TWO = Attr("norm_type", NUMBER, 2.0, ("p",), keyword_only=True)
_LP: tuple[Parameter, ...] = (_NORM, KERNEL, OWN_STRIDE, CEIL)
_LP_NARROW = (
    Example((ramp(2, 3, 7),), {"norm_type": 2, "kernel_size": 3}),
    Example((ramp(1, 2, 7),), {"norm_type": 3, "kernel_size": 3, "stride": 2}),
    Example(
        ([[0.0, 0.0, 1.0]],),
        {"norm_type": 2, "kernel_size": 2, "stride": 1},
        smooth=False,
        note="a window of zeros",
    ),
)
_LP_WIDE = (
    Example((ramp(2, 2, 4, 5),), {"norm_type": 1.5, "kernel_size": 2}),
    Example(
        (ramp(1, 3, 5),), {"norm_type": 3, "kernel_size": 2, "ceil_mode": True}, note="windows over the end"
    ),
)
_LP_DEEP = (Example((ramp(1, 2, 3, 2, 4),), {"norm_type": 2, "kernel_size": (2, 1, 2)}),)
_LP_ANY = (
    Example((ramp(1, 1, 5, 4),), {"kernel_size": (2, 3), "padding": (0, 1, 1, 0)}),
    Example((ramp(1, 1, 5),), {"kernel_size": 2, "stride": 2, "auto_pad": "same_upper", "norm_type": 1}),
    Example((ramp(1, 1, 7),), {"kernel_size": (3,), "dilation": 2, "norm_type": 3}),
)

for _name, _axes, _doc, _attrs, _examples, _aliases in (
    ("lp_pool1d", 1, _lp_doc("one axis", "l", _TORCH), _LP, _LP_NARROW, ()),
    ("lp_pool2d", 2, _lp_doc("two axes", "h, w", _TORCH), _LP, _LP_WIDE, ()),
    ("lp_pool3d", 3, _lp_doc("three axes", "d, h, w", _TORCH), _LP, _LP_DEEP, ()),
    (
        "lp_pool", None, _lp_doc("the axes behind the first two, or as many as `kernel_size` has sizes", "*s", _ONNX),
        (KERNEL, STRIDE, PADDINGS, DILATION, CEIL, AUTO, _NORM_TWO), _LP_ANY, ("LpPool",),
    ),
):  # fmt: skip
    registry.add(LpPool(_name, _axes, _doc, _attrs, _examples, _aliases))
