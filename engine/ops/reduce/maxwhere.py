"""max_where: the largest of those entries that a mask lets take part. The core of max pooling with padding."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from engine.aval import Array, Aval, Avals, axis_before, without_axes
from engine.builder import Var, call, cast
from engine.errors import ShapeMismatch
from engine.op import General, Op, Zero, registry
from engine.ops.reduce.reduction import reduced_size, spread
from engine.transforms.strong import times


class MaxWhere(Op):
    """Largest entry over axes of those where the mask holds; where it holds nowhere, the least number of the dtype.

    x: [*s], mask: bool [*s]  ->  [*s without axes]. The mask is given by shape, not by a value such as −∞, so that what is
    masked never shares the derivative, even with entries that are −∞ themselves.
    """

    name = "max_where"
    family = "core"
    internal = True
    rules = (General(), Zero())
    convention = (
        "Entries that tie share the derivative equally; where the result is NaN, the entries that are NaN do."
    )

    def infer(self, *avals: Aval, **params: Any) -> Avals:
        """Without the axes."""
        x, mask = avals
        if x.shape != mask.shape or mask.dtype != "bool" or not reduced_size(x.shape, params["axes"]):
            raise ShapeMismatch(f"max_where: {x} and the mask {mask} do not go together.")
        return Aval(without_axes(x.shape, params["axes"]), x.dtype)

    def evaluate(self, *arrays: Any, **params: Any) -> Any:
        """NumPy's maximum with `where`; NaN where one of the entries is."""
        x, mask = np.asarray(arrays[0]), arrays[1]
        least = -np.inf if x.dtype.kind == "f" else np.iinfo(np.int64).min
        return np.max(x, axis=params["axes"], where=mask, initial=x.dtype.type(least))

    def cuts(
        self, axis: int, operands: Sequence[Aval], result: Aval, /, **params: Any
    ) -> tuple[int | None, ...] | None:
        """Axes that are not reduced."""
        return (axis_before(axis, operands[0].rank, params["axes"]),) * len(operands)

    def jvp(self, y: Any, xs: Sequence[Var], dxs: Sequence[Var | None], **params: Any) -> Any:
        """Mean of the tangents of the entries that are the largest one."""
        (x, mask), dx = xs, dxs[0]
        assert dx is not None
        b, axes = x.b, params["axes"]
        largest = call(b, "logical_or", x.equals(spread(y, x.shape, axes)), call(b, "isnan", x))
        chosen = call(b, "logical_and", largest, mask)
        share = 1.0 / cast(b, chosen, dx.dtype).sum(axes)
        return times(call(b, "where", chosen, dx, 0.0).sum(axes), share)

    def kink(self, arrays: Sequence[Array], y: Array, **params: Any) -> Array | None:
        """Where more than one entry is the largest one."""
        axes = params["axes"]
        tied = (arrays[0] == np.expand_dims(y, axes)) & arrays[1]
        ties: Array = np.asarray(np.sum(tied, axis=axes) > 1)
        return ties


registry.add(MaxWhere())
