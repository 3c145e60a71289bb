"""Pooling to a given size (PyTorch's adaptive pools) and over everything (ONNX's global pools)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from engine.attrs import NUMBER
from engine.aval import Array
from engine.builder import Builder, Var, broadcast_to, call
from engine.errors import EmptyReduction, InvalidAttribute, ShapeMismatch
from engine.op import Attr, Example, Kind, Op, Operand, registry
from engine.ops.index.gather import gather_axis, reshaped
from engine.ops.layers.spatial import LENGTHS, check_axis, per_axis, ramp
from engine.ops.layout.arrange import check_size, permuted
from engine.ops.reduce.norms import vector_norm
from engine.ops.reduce.reduction import keep

X = Operand("input", ("x", "X"))


def _output_size(value: Any) -> Any:
    if not isinstance(value, list | tuple):
        return LENGTHS.check(value)
    if len(value) > 64:
        raise ValueError(f"it has {len(value)} entries")
    return tuple(None if v is None else LENGTHS.check(v) for v in value)


OUTPUT_SIZE = Kind("a positive integer, or one for each spatial axis (null: as the input has)", _output_size)


class Adaptive(Op):
    """Front of the adaptive pools: window i of m over an axis of n goes from ⌊i·n/m⌋ to ⌈(i + 1)·n/m⌉."""

    family = "nn"
    parameters = (X, Attr("output_size", OUTPUT_SIZE))
    composite = True

    def __init__(self, name: str, axes: int, mean: bool, doc: str, examples: Sequence[Example]) -> None:
        self.name = name
        self.axes = axes
        self.mean = mean
        self.floating = mean
        self.__doc__ = doc
        self.examples = tuple(examples)
        self.latex = f"\\operatorname{{{{{'avg' if mean else 'max'}pool}}}}({{input}})"
        self.derivative = {"input": "\\frac{1}{n}" if mean else "\\frac{[x_i = y]}{\\#\\{j : x_j = y\\}}"}
        if not mean:
            self.convention = "Entries of a window that tie for the largest share the derivative equally."

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var:
        """Each axis cut into pieces, by a reshape or a gather; then a reduction, masked where pieces differ in length."""
        x, given, k = operands[0], attrs["output_size"], self.axes
        if x.rank < k or not all(x.shape[x.rank - k :]):
            raise ShapeMismatch(
                f"{self.name} pools over the last {k} ax{'is' if k == 1 else 'es'}, which must be there and not be empty; "
                f"the input's shape is {list(x.shape)}."
            )
        if x.dtype == "bool":
            raise ShapeMismatch(f"{self.name}: booleans have no largest one.")
        own = x.shape[x.rank - k :]
        listed = given if isinstance(given, tuple) and len(given) == k else None
        sizes = (
            tuple(n if m is None else m for m, n in zip(listed, own, strict=True))
            if listed is not None
            else per_axis(self.name, "output_size", self._known(given), k)
        )
        masks: list[Array | None] = []
        for a in range(k):
            x, which = _pieces(x, a - k, own[a], sizes[a])
            masks.append(which)
        n = x.rank - 2 * k
        x = permuted(x, [*range(n), *range(n, x.rank, 2), *range(n + 1, x.rank, 2)])
        axes = tuple(range(-k, 0))
        mask = _together(b, masks)
        if self.mean:
            kept = x if mask is None else call(b, "where", mask, x, 0.0)
            y = kept.sum(axes)
            for a, m in enumerate(masks):
                length = own[a] // sizes[a]
                lengths = (
                    float(length)
                    if m is None
                    else b.var(m.sum(1, dtype=float).reshape(-1, *[1] * (k - a - 1)))
                )
                y = y / lengths
            return y
        result: Var = (
            b.write("max", x, axes=axes)
            if mask is None
            else b.write("max_where", x, broadcast_to(mask, x.shape), axes=axes)
        )
        return result

    def _known(self, given: Any) -> Any:
        if isinstance(given, tuple) and None in given:
            raise InvalidAttribute(
                f"{self.name}: output_size must have {self.axes} entries; {list(given)} has {len(given)}."
            )
        return given


def _pieces(x: Var, axis: int, n: int, m: int) -> tuple[Var, Array | None]:
    """One axis (counted from the end) as m pieces of one length, and which entries of them count, if not all do."""
    at = x.rank + axis
    if n % m == 0:
        return reshaped(x, (*x.shape[:at], m, n // m, *x.shape[at + 1 :])), None
    longest = -(-n // m) + 1
    check_axis(x.b, m * longest)
    check_size(x.b, (*x.shape[:at], m, longest, *x.shape[at + 1 :]), x)
    i = np.arange(m)
    start, stop = i * n // m, -(-(i + 1) * n // m)
    index = start[:, None] + np.arange((stop - start).max())
    return gather_axis(x, x.b.var(np.minimum(index, n - 1), "int64"), axis), index < stop[:, None]


def _together(b: Builder, masks: Sequence[Array | None]) -> Var | None:
    """The masks of all axes as one, over all positions and then all entries of a window."""
    k = len(masks)
    result: Var | None = None
    for a, mask in enumerate(masks):
        if mask is not None:
            shape = [1] * (2 * k)
            shape[a], shape[k + a] = mask.shape
            one = b.var(mask.reshape(shape))
            result = one if result is None else call(b, "logical_and", result, one)
    return result


def _text(mean: bool, axes: str, sizes: str) -> str:
    return f"""{"Mean" if mean else "Largest entry"} of windows over {axes}, as many as `output_size` says.

    input: [*lead, {sizes}]  ->  [*lead, *output_size]. Window i of m over an axis of n entries goes from ⌊i·n/m⌋ up to
    ⌈(i + 1)·n/m⌉; a size that is null stays.
    """


_NARROW = (
    Example((ramp(2, 2, 6),), {"output_size": 3}),
    Example((ramp(1, 7),), {"output_size": 3}, note="windows of different lengths"),
    Example((ramp(1, 1, 3),), {"output_size": 5}, note="more than there are"),
    Example((np.zeros((0, 2, 4)),), {"output_size": 3}, note="an empty batch"),
)
_WIDE = (
    Example((ramp(1, 2, 4, 5),), {"output_size": (2, 3)}),
    Example((ramp(2, 4, 5),), {"output_size": (None, 2)}),
    Example((ramp(1, 1, 5, 7),), {"output_size": 3}),
)
_DEEP = (
    Example((ramp(1, 2, 3, 2, 5),), {"output_size": (2, 1, 2)}),
    Example((ramp(1, 2, 2, 2),), {"output_size": 1}),
)
_TIES = (Example(([[1.0, 3.0, 3.0, 3.0, 2.0]],), {"output_size": 2}, smooth=False, note="ties share"),)

for _mean, _name in ((True, "adaptive_avg_pool"), (False, "adaptive_max_pool")):
    for _axes, _words, _sizes, _examples in (
        (1, "one axis", "l", _NARROW if _mean else _NARROW[:2] + _NARROW[3:] + _TIES),
        (2, "two axes", "h, w", _WIDE),
        (3, "three axes", "d, h, w", _DEEP),
    ):
        registry.add(Adaptive(f"{_name}{_axes}d", _axes, _mean, _text(_mean, _words, _sizes), _examples))


# ---------------------------------------------------------------------------------------------------------------- global


class GlobalPool(Op):
    """Front of the global pools: a reduction over all axes behind the first two, which stay as 1."""

    family = "nn"
    parameters: tuple[Any, ...] = (X,)
    composite = True
    floating = True

    def axes(self, x: Var) -> tuple[int, ...]:
        """The spatial axes."""
        if x.rank < 2:
            raise ShapeMismatch(
                f"{self.name} needs an input of shape [batch, channels, …]; its shape is {list(x.shape)}."
            )
        if not all(x.shape[2:]):
            raise EmptyReduction(f"{self.name}: an input of shape {list(x.shape)} has nothing to pool.")
        return tuple(range(2 - x.rank, 0))


class GlobalAvgPool(GlobalPool):
    """Mean over all axes behind the first two (batch and channels), which stay as 1."""

    name = "global_avg_pool"
    aliases = ("GlobalAveragePool", "global_average_pool")
    latex = "\\operatorname{{avgpool}}({input})"
    derivative = {"input": "\\frac{1}{n}"}
    examples = (
        Example((ramp(2, 2, 3),)),
        Example((ramp(1, 3, 2, 3),)),
        Example((ramp(2, 3),), note="nothing to pool"),
    )

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var:
        """A mean."""
        (x,) = operands
        return call(b, "mean", x, axis=self.axes(x), keepdims=True)


class GlobalMaxPool(GlobalPool):
    """Largest entry over all axes behind the first two (batch and channels), which stay as 1."""

    name = "global_max_pool"
    aliases = ("GlobalMaxPool",)
    latex = "\\operatorname{{maxpool}}({input})"
    derivative = {"input": "\\frac{[x_i = y]}{\\#\\{j : x_j = y\\}}"}
    convention = "Entries that tie for the largest share the derivative equally."
    examples = (
        Example((ramp(2, 2, 3),)),
        Example((ramp(1, 3, 2, 3),)),
        Example(([[[2.0, 1.0, 2.0]]],), smooth=False, note="ties share"),
    )

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var:
        """A maximum."""
        (x,) = operands
        return call(b, "max", x, axis=self.axes(x), keepdims=True)


class GlobalLpPool(GlobalPool):
    """The p-norm over all axes behind the first two (batch and channels), which stay as 1."""

    name = "global_lp_pool"
    aliases = ("GlobalLpPool",)
    parameters = (X, Attr("p", NUMBER, 2.0, ("norm_type",)))
    latex = "\\left\\| {input} \\right\\|"
    derivative = {"input": "\\operatorname{sign} x_i \\left(\\frac{|x_i|}{y}\\right)^{p - 1}"}
    convention = "At 0 the subgradient of least norm, 0."
    examples = (Example((ramp(2, 2, 3),)), Example((ramp(1, 3, 2, 3),), {"p": 3}))

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var:
        """A norm."""
        (x,), p = operands, attrs["p"]
        if not p > 0:
            raise InvalidAttribute(f"global_lp_pool: p must be above 0; it is {p}.")
        axes = self.axes(x)
        return keep(vector_norm(x, axes, p), x, axes, keepdims=True)


for _op in (GlobalAvgPool(), GlobalMaxPool(), GlobalLpPool()):
    registry.add(_op)
