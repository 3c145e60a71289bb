"""Layers of neural networks: softmax, its logarithm, linear layers, layer normalisation, as PyTorch names them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from engine.attrs import AXES, INTS, NUMBER
from engine.aval import Array, Aval, Avals, normalize_axes
from engine.builder import Builder, Var, broadcast_to, call
from engine.errors import ShapeMismatch
from engine.op import Attr, Example, General, Op, Operand, Spelling, registry

if TYPE_CHECKING:
    from engine.entries import Entries, Positions

INF = float("inf")


SHORT = 32
"""Entries of the last axis up to which that axis comes first in memory for a while: NumPy begins anew for each row."""


def _by_columns(fn: Callable[[Array, tuple[int, ...]], Any], x: Array, axes: tuple[int, ...]) -> Any:
    """fn(x, axes), an array like x. Short rows are turned to columns for it."""
    if not x.size or len(axes) != 1 or axes[0] % x.ndim != x.ndim - 1 or x.shape[-1] > SHORT or x.ndim < 2:
        return fn(x, axes)[()]
    found = fn(np.ascontiguousarray(x.reshape(-1, x.shape[-1]).T), (0,))
    return np.ascontiguousarray(found.T).reshape(x.shape)


def _shifted(x: Array, axes: tuple[int, ...]) -> Array:
    """x minus its largest entry along the axes; where all entries are −∞ they stay so."""
    top = np.maximum.reduce(x, axis=axes, keepdims=True, initial=-np.inf)
    masked = top == -np.inf
    if masked.any():
        top = np.where(masked, x.dtype.type(0), top)
    z: Array = np.subtract(x, top)
    return z


def kept(p: Positions, axes: Sequence[int]) -> Positions:
    """Reduced positions with the lost axes as size 1."""
    return np.expand_dims(p, tuple(axes))


def rest_of(e: Entries, z: Positions, axes: Sequence[int]) -> tuple[Positions, Positions]:
    """How many z are 0, the largest, and Σ exp(z) of the others; with the derivative of Σ exp(z) of all.

    So the entries of the largest are expm1(z), which is 0, and has the derivative 1.
    """
    top = e.op("equal", z, e.constant(0.0))
    terms = e.op("where", top, e.op("expm1", z), e.op("exp", z))
    return e.sum(top, axes), e.sum(terms, axes)


def _mean_tangent(dx: Var, p: Var, axes: tuple[int, ...]) -> Var:
    """Σ p·ẋ over the axes, stretched back to ẋ's shape. Where p is 0 nothing is added, whatever ẋ is."""
    b = dx.b
    weighted: Var = b.write("multiply", dx, p, strong=(0, 1))
    return broadcast_to(call(b, "sum", weighted, axis=axes, keepdims=True), dx.shape)


class _AlongAxes(Op):
    """Front and shape rule of softmax and log_softmax."""

    family = "nn"
    parameters = (Operand("x", ("input", "a")), Attr("axis", AXES, -1, ("dim", "axes")))
    floating = True
    rules = (General(),)

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var:
        """One node; a scalar is an array of one entry, as in PyTorch."""
        (x,), axis = operands, attrs["axis"]
        axes = () if x.rank == 0 and axis in (0, -1) else normalize_axes(axis, x.rank)
        result: Var = b.write(self, x, axes=axes)
        return result

    def infer(self, *avals: Aval, **params: Any) -> Avals:
        """The operand's aval."""
        return avals[0]

    def cuts(
        self, axis: int, operands: Sequence[Aval], result: Aval, /, **params: Any
    ) -> tuple[int | None, ...] | None:
        """Any axis that is not normalised over."""
        return None if axis - result.rank in params["axes"] else (axis,)

    def flops(self, operands: Sequence[Aval], result: Avals, **params: Any) -> float:
        """An exponential and some more for each element."""
        return 15.0 * operands[0].size


class Softmax(_AlongAxes):
    r"""Softmax: exp(x) / Σ exp(x) along an axis (the last one by default), without overflow.

    x: f[*s]  ->  f[*s]

    JVP  ẏ = y·(ẋ − Σ y·ẋ). Products with y are strong zeros: what a −∞ masks contributes exactly nothing.
    P. Blanchard, D. J. Higham, N. J. Higham, IMA J. Numer. Anal. 41(4), 2021, doi:10.1093/imanum/draa038.
    """

    name = "softmax"
    aliases = ("Softmax",)
    spellings = {"scipy.special.softmax": Spelling({"axis": None})}
    latex = "\\operatorname{{softmax}}({x})"
    derivative = {"x": "\\operatorname{diag}(y) - y\\,y^\\top"}
    convention = (
        "An entry of −∞ (a mask) has probability 0 and derivative 0; if all are −∞, all probabilities are 0."
    )
    examples = (
        Example(([[0.5, -1.5, 3.0], [1.0, 2.0, 0.25]],)),
        Example(([[0.5, -1.5, 3.0], [1.0, 2.0, 0.25]],), {"axis": 0}),
        Example(([[0.5, -1.5], [1.0, 2.0]],), {"axis": None}),
        Example(([1000.0, 1001.0, -1000.0],), note="no overflow"),
        Example(([[0.5, -INF, 1.0], [-INF, -INF, -INF]],), smooth=False, note="masks"),
        Example(([[], []],), note="empty"),
        Example((2.0,), note="a scalar"),
    )

    def evaluate(self, *arrays: Any, **params: Any) -> Any:
        """By the largest entry."""
        return _by_columns(_softmax, np.asarray(arrays[0]), params["axes"])

    def expand(self, e: Entries, *positions: Positions, **params: Any) -> Positions | None:
        """exp(x − max) by its sum; the result does not depend on what is taken for the maximum."""
        (x,), axes = positions, params["axes"]
        if not x.size:
            return None
        powers = e.op("exp", e.op("subtract", x, kept(e.largest(x, axes), axes)))
        return e.op("divide", powers, kept(e.sum(powers, axes), axes))

    def jvp(self, y: Any, xs: Sequence[Var], dxs: Sequence[Var | None], **params: Any) -> Any:
        """y·(ẋ − Σ y·ẋ)."""
        (dx,) = dxs
        assert dx is not None
        b = dx.b
        mean = _mean_tangent(dx, y, params["axes"])
        return b.write("multiply", dx, y, strong=(0, 1)) - b.write("multiply", mean, y, strong=(0, 1))


def _softmax(x: Array, axes: tuple[int, ...]) -> Array:
    e = np.exp(_shifted(x, axes))
    total = np.add.reduce(e, axis=axes, keepdims=True)
    found: Array = np.divide(e, np.where(total == 0, e.dtype.type(1), total))
    return found


def _log_softmax(x: Array, axes: tuple[int, ...]) -> Array:
    z = _shifted(x, axes)
    one = z.dtype.type(1)
    top = z == 0
    many = np.maximum(np.add.reduce(top, axis=axes, dtype=z.dtype, keepdims=True), one)
    e = np.where(top, z.dtype.type(0), np.exp(z))
    rest = np.add.reduce(e, axis=axes, keepdims=True)
    found: Array = np.subtract(z, np.log(many) + np.log1p(rest * (one / many)))
    return found


class LogSoftmax(_AlongAxes):
    r"""Logarithm of softmax: x − log Σ exp(x) along an axis (the last one by default), without overflow.

    x: f[*s]  ->  f[*s]

    JVP  ẏ = ẋ − Σ softmax(x)·ẋ, and 0 at entries of −∞.
    The largest entry's own 1 is kept out of the sum and put back by log1p, so that a probability of nearly 1 has the
    right logarithm. P. Blanchard, D. J. Higham, N. J. Higham, IMA J. Numer. Anal. 41(4), 2021, doi:10.1093/imanum/draa038.
    """

    name = "log_softmax"
    aliases = ("logsoftmax", "LogSoftmax")
    spellings = {"scipy.special.log_softmax": Spelling({"axis": None})}
    latex = "\\log \\operatorname{{softmax}}({x})"
    derivative = {"x": "I - \\mathbf{1}\\,\\operatorname{softmax}(x)^\\top"}
    convention = "An entry of −∞ (a mask) stays −∞, with derivative 0, and has no influence on the others."
    examples = (
        Example(([[0.5, -1.5, 3.0], [1.0, 2.0, 0.25]],)),
        Example(([[0.5, -1.5, 3.0], [1.0, 2.0, 0.25]],), {"axis": 0}),
        Example(([[0.5, -1.5], [1.0, 2.0]],), {"axis": None}),
        Example(([1000.0, 1001.0, -1000.0],), note="no overflow"),
        Example(([0.0, -50.0, 0.0],), note="two equal entries and a small one"),
        Example(([[0.5, -INF, 1.0], [-INF, -INF, -INF]],), smooth=False, note="masks"),
        Example(([[], []],), note="empty"),
        Example((2.0,), note="a scalar"),
    )

    def evaluate(self, *arrays: Any, **params: Any) -> Any:
        """By the largest entry, and log1p of the rest."""
        return _by_columns(_log_softmax, np.asarray(arrays[0]), params["axes"])

    def expand(self, e: Entries, *positions: Positions, **params: Any) -> Positions | None:
        """z − log(number of maxima) − log1p(Σ of the others' exp(z)), z = x − max."""
        (x,), axes = positions, params["axes"]
        if not x.size:
            return None
        z = e.op("subtract", x, kept(e.largest(x, axes), axes))
        many, rest = (kept(p, axes) for p in rest_of(e, z, axes))
        rest = e.op("add", e.op("log", many), e.op("log1p", e.op("divide", rest, many)))
        return e.op("subtract", z, rest)

    def jvp(self, y: Any, xs: Sequence[Var], dxs: Sequence[Var | None], **params: Any) -> Any:
        """ẋ − Σ softmax(x)·ẋ."""
        (x,), (dx,) = xs, dxs
        assert dx is not None
        b = dx.b
        p: Var = b.write("softmax", x, axes=params["axes"])
        return call(b, "where", x.equals(-INF), 0.0, dx - _mean_tangent(dx, p, params["axes"]))


class LinearLayer(Op):
    """Linear layer: x @ weightᵀ, plus a bias if there is one.

    x: f[*s, in], weight: f[out, in] (or f[in]), bias: f[out]  ->  f[*s, out] (or f[*s])
    """

    name = "linear"
    family = "nn"
    parameters = (Operand("x", ("input",)), Operand("weight"), Operand("bias", optional=True))
    composite = True
    floating = True
    latex = "{x}\\,{weight}^\\top + {bias}"
    derivative = {"x": "W", "weight": "x", "bias": "1"}
    examples = (
        Example(([[1.0, 2.0, 3.0], [-1.0, 0.5, 2.0]], [[0.5, 1.5, -2.0], [2.0, 0.25, 1.0]], [0.5, -0.25])),
        Example(([1.0, 2.0], [[0.5, 1.5], [2.0, 0.25], [1.0, -1.0]])),
        Example(([[1.0, 2.0], [3.0, 5.0]], [0.5, 1.5], 2.0), note="one output"),
        Example(([[], []], [[], [], []], [1.0, 2.0, 3.0]), note="no features: the bias alone"),
    )

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var:
        """By matmul."""
        x, weight, bias = operands
        if weight.rank not in (1, 2):
            raise ShapeMismatch(
                f"linear: weight must be a matrix (out, in), or a vector (in,); its shape is {list(weight.shape)}."
            )
        if x.rank == 0 or x.shape[-1] != weight.shape[-1]:
            raise ShapeMismatch(
                f"linear: weight of shape {list(weight.shape)} takes {weight.shape[-1]} features along the last axis of "
                f"x, whose shape is {list(x.shape)}."
            )
        out = weight.shape[:-1]
        if bias is not None and bias.shape != out:
            raise ShapeMismatch(
                f"linear: bias must have shape {list(out)}, one number for each row of weight; it has {list(bias.shape)}."
            )
        turned = call(b, "permute_dims", weight, axes=(1, 0)) if out else weight
        y: Var = call(b, "matmul", x, turned)
        return y if bias is None else y + bias


class LayerNorm(Op):
    """Layer normalisation: (x − mean) / √(variance + eps) over the trailing axes, times weight, plus bias.

    The variance is that of the population (divided by n). x: f[*s, *n], weight: f[*n], bias: f[*n]  ->  f[*s, *n]

    J. L. Ba, J. R. Kiros, G. E. Hinton, arXiv:1607.06450.
    """

    name = "layer_norm"
    family = "nn"
    parameters = (
        Operand("x", ("input",)),
        Attr("normalized_shape", INTS),
        Operand("weight", optional=True),
        Operand("bias", optional=True),
        Attr("eps", NUMBER, 1e-5, ("epsilon",)),
    )
    composite = True
    floating = True
    latex = "\\frac{{{x} - \\mu}}{{\\sqrt{{\\sigma^2 + \\varepsilon}}}}"
    examples = (
        Example(
            ([[1.0, 2.0, 4.0], [-1.0, 0.5, 2.0]], [0.5, 1.5, -2.0], [1.0, 2.0, 3.0]),
            {"normalized_shape": (3,)},
        ),
        Example(([[1.0, 2.0, 4.0], [-1.0, 0.5, 2.0]],), {"normalized_shape": (2, 3), "eps": 0.1}),
        Example(([[1.0, 2.0, 4.5], [3.0, 5.0, -1.0]], None, [1.0, 2.0, 0.5]), {"normalized_shape": 3}),
        Example(([2.0, 2.0],), {"normalized_shape": 2}, note="a constant: eps alone keeps this finite"),
    )

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var:
        """By sums."""
        (x, weight, bias), shape = operands, tuple(attrs["normalized_shape"])
        n = len(shape)
        if n == 0 or x.shape[-n:] != shape:
            raise ShapeMismatch(
                f"layer_norm: normalized_shape {list(shape)} must be the last sizes of x, whose shape is {list(x.shape)}."
            )
        for name, v in (("weight", weight), ("bias", bias)):
            if v is not None and v.shape != shape:
                raise ShapeMismatch(
                    f"layer_norm: {name} must have the shape {list(shape)} of normalized_shape; it has {list(v.shape)}."
                )
        axes = tuple(range(-n, 0))
        count = float(prod(shape))
        centred = x - x.sum(axes, keepdims=True) / count
        variance = (centred * centred).sum(axes, keepdims=True) / count
        y: Var = centred / call(b, "sqrt", variance + attrs["eps"])
        y = y if weight is None else y * weight
        return y if bias is None else y + bias


for _op in (Softmax(), LogSoftmax(), LinearLayer(), LayerNorm()):
    registry.add(_op)
