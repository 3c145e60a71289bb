"""Means and spreads over axes: mean, average, var, std, ptp. All are written with other ops."""

from __future__ import annotations

from collections.abc import Sequence
from math import nan, sqrt
from typing import Any

from engine.attrs import AXES, NUMBER, only_false
from engine.aval import normalize_axes, normalize_axis
from engine.builder import Builder, Var, call, cast
from engine.errors import ShapeMismatch
from engine.op import Attr, Example, Op, Operand, Spelling, registry
from engine.ops.reduce import masked
from engine.ops.reduce.reduction import AXIS_ATTRS, keep, reduced_size, spread

DDOF = Attr("ddof", NUMBER, 0.0, ("correction",))
_NAN = float("nan")
_MASKED = (
    Example(([[1.0, 2.0, 4.5], [3.0, -1.0, 0.5]], [True, False, True]), {"axis": 1, "ddof": 1}, note="a mask"),
    Example(([[1.0, 2.0, _NAN], [3.0, -1.0, 0.5]], [[True, True, False], [False, True, False]]), {"axis": 1, "ddof": 1},
            smooth=False, note="0 / 0 of what takes part"),
)  # fmt: skip


class Mean(Op):
    """Arithmetic mean over axes, all by default; NaN of nothing. A mask `where` tells which entries take part."""

    name = "mean"
    aliases = ("reduce_mean",)
    family = "reduction"
    composite = True
    floating = True
    parameters = (Operand("x", ("a", "input")), *AXIS_ATTRS, masked.WHERE)
    latex = "\\overline{{{x}}}"
    derivative = {"x": "\\frac{1}{n}"}
    examples = (
        Example(([[1.0, 2.0, 4.5], [3.0, -1.0, 0.5]],)),
        Example(([[1.0, 2.0, 4.5], [3.0, -1.0, 0.5]],), {"axis": 0, "keepdims": True}),
        Example(([],), smooth=False, note="the mean of nothing is NaN"),
        Example(([[1.0, 2.0, 4.5], [3.0, -1.0, 0.5]], [True, False, True]), {"axis": 1}, note="a mask"),
        Example(([[1.0, _NAN], [3.0, 0.5]], [[True, False], [False, False]]), {"axis": 1}, smooth=False),
    )

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var:
        """Σ x / n."""
        x, mask = operands
        axes = normalize_axes(attrs["axis"], x.rank)
        if mask is not None:
            y = masked.mean(x, masked.stretched(self.name, x, mask), axes)
            return keep(y, x, axes, attrs["keepdims"])
        return keep(mean_over(x, axes), x, axes, attrs["keepdims"])


registry.add(Mean())


def mean_over(x: Var, axes: Sequence[int]) -> Var:
    """Mean over axes counted from the end."""
    return x.sum(tuple(axes)) / float(reduced_size(x.shape, axes))


class Average(Op):
    """Weighted mean over axes, Σ w·x / Σ w; without weights the mean.

    `weights` have the shape of x, or that of the axes which are averaged over.
    """

    name = "average"
    family = "reduction"
    composite = True
    floating = True
    parameters = (
        Operand("x", ("a",)),
        Attr("axis", AXES, None, ("axes", "dim")),
        Operand("weights", optional=True),
        Attr("keepdims", AXIS_ATTRS[1].kind, False),
        Attr("returned", only_false("the sum of the weights is sum(weights)"), False, keyword_only=True),
    )
    latex = "\\frac{{\\sum {weights}\\,{x}}}{{\\sum {weights}}}"
    derivative = {"x": "\\frac{w_i}{\\sum_j w_j}", "weights": "\\frac{x_i - y}{\\sum_j w_j}"}
    examples = (
        Example(([1.0, 2.0, 4.5], [1.0, 0.5, 3.0])),
        Example(
            ([[1.0, 2.0, 4.5], [3.0, -1.0, 0.5]], [1.0, 0.5, 3.0]), {"axis": 1}, note="weights of an axis"
        ),
        Example(([1.0, 2.0, 4.5],)),
    )

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var:
        """Quotient of two sums."""
        x, weights = operands
        axes = normalize_axes(attrs["axis"], x.rank)
        if weights is None:
            return keep(mean_over(x, axes), x, axes, attrs["keepdims"])
        if weights.shape != x.shape:
            weights = _along(x, weights, attrs["axis"])
        y = (x * weights).sum(axes) / weights.sum(axes)
        return keep(y, x, axes, attrs["keepdims"])


registry.add(Average())


def _along(x: Var, weights: Var, axis: Any) -> Var:
    """Weights given for the axes that are averaged over (in that order), stretched to the shape of x."""
    listed = [] if axis is None else [axis] if isinstance(axis, int) else list(axis)
    own = [normalize_axis(a, x.rank) for a in listed]
    if not own or weights.shape != tuple(x.shape[a] for a in own):
        wanted = f"{list(x.shape)} as x" + (
            f", or {[x.shape[a] for a in own]} as its axes {listed}" if own else ""
        )
        raise ShapeMismatch(
            f"average: the weights have shape {list(weights.shape)}; they must have {wanted}."
        )
    order = tuple(sorted(range(len(own)), key=lambda k: own[k]))
    weights = call(x.b, "permute_dims", weights, axes=order)
    result: Var = call(
        x.b,
        "broadcast_to",
        weights.reshape([n if a - x.rank in own else 1 for a, n in enumerate(x.shape)]),
        shape=x.shape,
    )
    return result


class Variance(Op):
    """Variance over axes, all by default: mean square distance from the mean, divided by n − ddof.

    As NumPy's, `ddof` is 0 unless given, and where n − ddof is not positive, the result is ∞, or NaN if all distances are 0.
    A mask `where` tells which entries take part.
    """

    name = "var"
    spellings = {"torch.var": Spelling({"ddof": 1.0})}
    aliases = ("variance",)
    family = "reduction"
    composite = True
    floating = True
    parameters = (Operand("x", ("a", "input")), AXIS_ATTRS[0], DDOF, AXIS_ATTRS[1], masked.WHERE)
    latex = "\\operatorname{{var}} {x}"
    derivative = {"x": "\\frac{2 (x_i - \\overline{x})}{n - \\mathrm{ddof}}"}
    examples = (
        Example(([[1.0, 2.0, 4.5], [3.0, -1.0, 0.5]],)),
        Example(([[1.0, 2.0, 4.5], [3.0, -1.0, 0.5]],), {"axis": 1, "ddof": 1, "keepdims": True}),
        Example(([2.0, 2.0],), note="a constant"),
        Example(([5.0],), {"ddof": 1}, smooth=False, note="0 / 0"),
        *_MASKED,
    )

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var:
        """Σ (x − mean)² / (n − ddof)."""
        x, mask = operands
        axes = normalize_axes(attrs["axis"], x.rank)
        if mask is not None:
            mask = masked.stretched(self.name, x, mask)
            part: Var = call(b, "square", masked.centred(x, mask, axes)).sum(axes)
            return keep(masked.shared(part, x, mask, axes, attrs["ddof"]), x, axes, attrs["keepdims"])
        centred = x - spread(mean_over(x, axes), x.shape, axes)
        total: Var = call(b, "square", centred).sum(axes)
        return keep(shared_by(total, x, axes, degrees(x, axes, attrs["ddof"])), x, axes, attrs["keepdims"])


registry.add(Variance())


def degrees(x: Var, axes: Sequence[int], ddof: float) -> float:
    """n − ddof, and not below 0: what a sum of squares is divided by."""
    return max(reduced_size(x.shape, axes) - ddof, 0.0)


def shared_by(total: Var, x: Var, axes: Sequence[int], divisor: float) -> Var:
    """`total`, a sum of squares of x or its root, divided by a `divisor` that may be 0: ∞, or of 0 NaN.

    That NaN has derivative NaN, and that ∞ has 0. The rule of the quotient would give ∞·0, which is NaN in reverse mode
    but a strong zero in forward mode.
    """
    if divisor > 0:
        return total / divisor
    b, some = x.b, total > 0.0
    result: Var = call(b, "where", some, cast(b, some, x.dtype) / 0.0, x.sum(tuple(axes)) * nan)
    return result


class Std(Op):
    """Standard deviation over axes, all by default: the root of the variance, with the same `ddof`.

    Written as the length of x − mean over √(n − ddof), which does not overflow. Entries that are all equal (max = min)
    count as equal to their mean, also where the mean of [0.1, 0.1, 0.1] is rounded to something else.
    """

    name = "std"
    spellings = {"torch.std": Spelling({"ddof": 1.0})}
    aliases = ("stddev",)
    family = "reduction"
    composite = True
    floating = True
    parameters = Variance.parameters
    latex = "\\operatorname{{std}} {x}"
    derivative = {"x": "\\frac{x_i - \\overline{x}}{(n - \\mathrm{ddof})\\, y}"}
    convention = "Of a constant (all entries equal) it is 0, with the subgradient of least norm, 0."
    examples = (
        Example(([[1.0, 2.0, 4.5], [3.0, -1.0, 0.5]],)),
        Example(([[1.0, 2.0, 4.5], [3.0, -1.0, 0.5]],), {"axis": 1, "ddof": 1, "keepdims": True}),
        Example(([0.1, 0.1, 0.1],), smooth=False, note="a constant whose mean is rounded"),
        Example(([5.0],), smooth=False),
        Example(([1e200, 2e200, 4e200],), smooth=False, note="no overflow"),
        *_MASKED,
        Example(
            ([0.1, 0.1, 7.0, 0.1], [True, True, False, True]), smooth=False, note="a constant where it counts"
        ),
    )

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var:
        """‖x − mean‖ / √(n − ddof)."""
        x, mask = operands
        axes = normalize_axes(attrs["axis"], x.rank)
        if mask is not None:
            mask = masked.stretched(self.name, x, mask)
            part: Var = b.write("vector_norm", masked.centred(x, mask, axes, flat=True), axes=axes)
            return keep(masked.shared(part, x, mask, axes, attrs["ddof"], True), x, axes, attrs["keepdims"])
        centred = x - spread(mean_over(x, axes), x.shape, axes)
        divisor = degrees(x, axes, attrs["ddof"])
        if divisor > 0 and reduced_size(x.shape, axes):
            # max − min and not max = min: entries that are all infinite have no deviation.
            width: Var = b.write("max", x, axes=axes) - b.write("min", x, axes=axes)
            centred = call(b, "where", spread(width.equals(0.0), x.shape, axes), 0.0, centred)
        length: Var = b.write("vector_norm", centred, axes=axes)
        return keep(shared_by(length, x, axes, sqrt(divisor)), x, axes, attrs["keepdims"])


registry.add(Std())


class PeakToPeak(Op):
    """Largest minus smallest element over axes, all by default."""

    name = "ptp"
    family = "reduction"
    composite = True
    parameters = (Operand("x", ("a", "input")), *AXIS_ATTRS)
    latex = "\\max {x} - \\min {x}"
    derivative = {"x": "[x_i = \\max x] - [x_i = \\min x]"}
    convention = "Entries that tie for the largest, or for the smallest, share its derivative equally."
    examples = (
        Example(([[1.0, 5.0, 2.0], [4.0, 3.0, 6.0]],), {"axis": 1}),
        Example(([3.0, 1.0, 3.0],), smooth=False, note="ties share"),
    )

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var:
        """max − min."""
        result: Var = call(b, "max", *operands, **attrs) - call(b, "min", *operands, **attrs)
        return result


registry.add(PeakToPeak())
