"""logsumexp, the soft maximum."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from engine.attrs import AXES, BOOL
from engine.aval import Array, Aval, Avals, normalize_axes, without_axes
from engine.builder import Builder, Var
from engine.op import Attr, Example, General, Op, Operand, Spelling, registry
from engine.ops.nn import Softmax
from engine.ops.reduction import AXIS_ATTRS, keep
from engine.transforms.strong import times


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


class LogSumExp(Op):
    r"""log Σ exp(x) over axes, all by default, without overflow.

    JVP  ẏ = Σ shares(x)·ẋ  with shares(x) = exp(x) / Σ exp(x). exp(x − y) would be the same without a division, but
    loses digits where |x| is large. The largest entry is kept out of the sum (log1p), so a result near 0 is exact.
    Source: Blanchard, Higham & Higham, "Accurately computing the log-sum-exp and softmax functions", IMA J. Numer.
    Anal. 41(4), 2021, doi:10.1093/imanum/draa038.
    """

    name = "logsumexp"
    aliases = ("reduce_logsumexp", "ReduceLogSumExp")
    family = "reduction"
    parameters = (Operand("x", ("a", "input")), *AXIS_ATTRS)
    spellings = {
        # SciPy's third positional parameter is another one (weights b).
        "scipy.special.logsumexp": Spelling(
            parameters=(
                Operand("x", ("a",)),
                Attr("axis", AXES, None),
                Attr("keepdims", BOOL, False, keyword_only=True),
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
    )

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var:
        """One node, and a reshape for `keepdims`."""
        (x,) = operands
        axes = normalize_axes(attrs["axis"], x.rank)
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
registry.add(LogSumExp())
