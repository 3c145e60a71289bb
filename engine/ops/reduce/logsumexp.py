"""logsumexp, the soft maximum."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from engine.attrs import AXES, BOOL, only_false
from engine.aval import Array, Aval, Avals, axis_before, broadcast_shapes, normalize_axes, without_axes
from engine.builder import Builder, Var, broadcast_to, call
from engine.op import Attr, Example, General, Op, Operand, Spelling, registry
from engine.ops.layers.nn import Softmax, kept, rest_of
from engine.ops.reduce.largest import Reduced
from engine.ops.reduce.reduction import AXIS_ATTRS, keep, spread
from engine.transforms.strong import times

if TYPE_CHECKING:
    from engine.entries import Entries, Positions

_SIGN = Attr(
    "return_sign", only_false("the sign of the sum is 1, or the result is NaN"), False, keyword_only=True
)
"""SciPy's choice to return a second result."""


class Shares(Softmax):
    """Softmax as the derivative of logsumexp: where entries are +∞ they share equally, the others have nothing."""

    name = "exp_shares"
    family = "core"
    internal = True

    def evaluate(self, *arrays: Any, **params: Any) -> Any:
        """Softmax, mended where the largest entry is +∞."""
        x, axes = np.asarray(arrays[0]), params["axes"]
        shares = super().evaluate(x, axes=axes)
        endless = np.isposinf(x)
        if not endless.any():
            return shares
        count = np.sum(endless, axis=axes, keepdims=True)
        mended = (count > 0) & ~np.isnan(x).any(axis=axes, keepdims=True)
        return np.where(mended, endless / np.maximum(count, 1), shares).astype(x.dtype)[()]


class TopLevel(Reduced):
    """The largest x over axes of those whose weight is not 0, where that is finite, else 0.

    What is taken out of a sum of exponentials and put back behind its logarithm: the sum does not depend on it, so it has
    no derivative.
    """

    name = "top_level"

    def evaluate(self, *arrays: Any, **params: Any) -> Any:
        """A maximum over what has weight."""
        x = np.asarray(arrays[0])
        top = np.max(np.where(np.asarray(arrays[1]) == 0, -np.inf, x), axis=params["axes"], initial=-np.inf)
        return np.where(np.isfinite(top), top, 0).astype(x.dtype)[()]


class LogSumExp(Op):
    r"""log Σ exp(x) over axes, all by default, without overflow; with weights b log Σ b·exp(x), as SciPy's.

    Weights may be negative; where the sum is, the result is NaN. An entry of weight 0 takes no part, whatever it is.

    JVP  ẏ = Σ shares(x)·ẋ  with shares(x) = exp(x) / Σ exp(x). exp(x − y) would be the same without a division, but
    loses digits where |x| is large. The largest entry is kept out of the sum (log1p), so a result near 0 is exact.
    Source: Blanchard, Higham & Higham, "Accurately computing the log-sum-exp and softmax functions", IMA J. Numer.
    Anal. 41(4), 2021, doi:10.1093/imanum/draa038.
    """

    name = "logsumexp"
    aliases = ("reduce_logsumexp",)
    family = "reduction"
    parameters = (
        Operand("x", ("a", "input")), *AXIS_ATTRS, Operand("b", ("weights",), optional=True), _SIGN,
    )  # fmt: skip
    spellings = {
        # SciPy's third positional parameter is the weights.
        "scipy.special.logsumexp": Spelling(
            parameters=(
                Operand("x", ("a",)),
                Attr("axis", AXES, None),
                Operand("b", optional=True),
                Attr("keepdims", BOOL, False),
                _SIGN,
            )
        )
    }
    floating = True
    latex = "\\log \\sum e^{{{x}}}"
    derivative = {"x": "\\frac{e^{x_i}}{\\sum_j e^{x_j}}"}
    convention = (
        "Entries of −infinity have derivative 0, also where all are; entries of +infinity share it equally."
    )
    rules = (General(),)
    examples = (
        Example(([[0.3, -1.2, 2.0]],), {"axis": 1}),
        Example(([1000.0, 0.0, 999.0],), {"axis": 0}, note="no overflow"),
        Example(([0.0, -50.0],), note="exact near 0"),
        Example(([0.5, float("-inf"), 1.0],), smooth=False, note="a masked entry"),
        Example(([float("-inf"), float("-inf")],), smooth=False, note="nothing but masked entries"),
        Example(([],), smooth=False, note="of nothing: log 0"),
        Example(([[0.3, -1.2, 2.0]], [[1.5, 0.5, -0.25]]), {"axis": 1, "keepdims": True}, note="weights"),
        Example(([1000.0, 999.0, 2000.0], [1.0, 3.0, 0.0]), smooth=False, note="weight 0, no overflow"),
    )

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var:
        """One node, and a reshape for `keepdims`; with weights several."""
        x, weights = operands
        if weights is not None:
            x, weights = (broadcast_to(v, broadcast_shapes([x.shape, weights.shape])) for v in (x, weights))
        axes = normalize_axes(attrs["axis"], x.rank)
        if weights is not None:
            top: Var = b.write("top_level", x, weights, axes=axes)
            powers = call(b, "exp", x - spread(top, x.shape, axes))
            total: Var = b.write("multiply", weights, powers, strong=(0,)).sum(axes)
            return keep(call(b, "log", total) + top, x, axes, attrs["keepdims"])
        return keep(b.write(self, x, axes=axes), x, axes, attrs["keepdims"])

    def infer(self, *avals: Aval, **params: Any) -> Avals:
        """Without the axes."""
        return Aval(without_axes(avals[0].shape, params["axes"]), avals[0].dtype)

    def evaluate(self, *arrays: Any, **params: Any) -> Any:
        """max + log(number of maxima + Σ over the others of exp(x − max))."""
        x, axes = np.asarray(arrays[0]), params["axes"]
        zero = x.dtype.type(0)
        top = np.max(x, axis=axes, keepdims=True, initial=-np.inf)
        finite = np.isfinite(top)
        chosen = x == top
        others = np.where(chosen, zero, np.exp(x - np.where(finite, top, zero)))
        rest = np.sum(chosen, axis=axes).astype(x.dtype) - 1 + np.sum(others, axis=axes)
        top, finite = (np.squeeze(v, axis=axes) if axes else v for v in (top, finite))
        return np.where(finite, top + np.log1p(rest), top)[()]

    def cuts(
        self, axis: int, operands: Sequence[Aval], result: Aval, /, **params: Any
    ) -> tuple[int | None, ...] | None:
        """Axes that are not reduced."""
        return (axis_before(axis, operands[0].rank, params["axes"]),) * len(operands)

    def expand(self, e: Entries, *positions: Positions, **params: Any) -> Positions | None:
        """max + log1p(number of other maxima + Σ of the others' exp(x − max))."""
        (x,), axes = positions, params["axes"]
        if not x.size:
            return None
        top = e.largest(x, axes)
        many, rest = rest_of(e, e.op("subtract", x, kept(top, axes)), axes)
        more = e.op("subtract", many, e.constant(1.0))
        return e.op("add", top, e.op("log1p", e.op("add", more, rest)))

    def jvp(self, y: Any, xs: Sequence[Var], dxs: Sequence[Var | None], **params: Any) -> Any:
        """Σ shares(x)·ẋ."""
        (x,), (dx,) = xs, dxs
        assert dx is not None
        return times(dx, x.b.write("exp_shares", x, axes=params["axes"])).sum(params["axes"])

    def kink(self, arrays: Sequence[Array], y: Array, **params: Any) -> Array | None:
        """Where the result is infinite."""
        return np.asarray(np.isinf(y))

    def flops(self, operands: Sequence[Aval], result: Avals, **params: Any) -> float:
        """An exponential for each element."""
        return 15.0 * operands[0].size


registry.add(Shares())
registry.add(TopLevel())
registry.add(LogSumExp())
