"""What stands beside the largest entry in a sum of exponentials: the parts that plans write logsumexp with.

With t = max x, z = x − t and e = exp(z): log Σ exp(x) = t + log1p(rest), where rest = Σ e − 1 without the 1 of the largest
entry ever being added, and the shares of the sum are e / (1 + rest). Where anything is infinite or NaN all of it is NaN, so
this is for executors that look at their results. Source: Blanchard, Higham & Higham (see `logsumexp`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from engine.aval import Array, Aval, Avals, axis_before, without_axes
from engine.op import Into, Op, Params, Zero

FEW = 4
"""Entries of a vector that are left out of a sum by summing what is between them."""


class _Reduced(Op):
    """Results without the axes of the first operand that are reduced; they can be computed piece by piece."""

    family = "core"
    internal = True
    rules = (Zero(),)

    def infer(self, *avals: Aval, **params: Any) -> Avals:
        """Without the axes."""
        return Aval(without_axes(avals[0].shape, params["axes"]), avals[0].dtype)

    def cuts(
        self, axis: int, operands: Sequence[Aval], result: Aval, /, **params: Any
    ) -> tuple[int | None, ...] | None:
        """Axes that are not reduced."""
        return (axis_before(axis, operands[0].rank, params["axes"]),) * len(operands)

    def summed(
        self, operands: Sequence[Aval], result: Aval, /, **params: Any
    ) -> Sequence[tuple[int | None, ...]]:
        """Along each axis that is reduced."""
        return [(a + operands[0].rank,) * len(operands) for a in params["axes"]]


class Top(_Reduced):
    """The largest entry over axes, as a number that has no derivative."""

    name = "core.top"
    convention = "Where it is not finite, what is written with it is NaN, and may be hidden by a comparison."
    combines = np.maximum.reduce

    def evaluate(self, *arrays: Any, **params: Any) -> Any:
        """NumPy's."""
        return np.maximum.reduce(arrays[0], axis=params["axes"])

    def into(self, avals: Sequence[Aval], params: Params) -> Into | None:
        """With `out`."""
        axes = params[0][1]
        return Into(lambda x, out: np.maximum.reduce(x, axes, None, out))

    def kink(self, arrays: Sequence[Array], y: Array, **params: Any) -> Array | None:
        """Where it is not finite."""
        return np.asarray(~np.isfinite(y))


class Ties(_Reduced):
    """How many z over axes are 0, as floating-point numbers."""

    name = "core.ties"

    def evaluate(self, *arrays: Any, **params: Any) -> Any:
        """Of a vector at once."""
        z, axes = np.asarray(arrays[0]), params["axes"]
        if z.ndim == len(axes):
            return z.dtype.type(np.count_nonzero(z == 0))
        return np.add.reduce(z == 0, axis=axes, dtype=z.dtype)


class Others(_Reduced):
    """Σ e over axes of those that do not belong to a z of 0. Operands z, e."""

    name = "core.others"

    def evaluate(self, *arrays: Any, **params: Any) -> Any:
        """Of a vector, what is between the zeros; else with 0 in their places."""
        z, e = (np.asarray(v) for v in arrays)
        largest = z == 0
        if z.ndim == 1:
            at: Array = np.flatnonzero(largest)
            if at.size <= FEW:
                total = z.dtype.type(0)
                for lo, hi in zip((0, *(at + 1).tolist()), (*at.tolist(), z.size), strict=True):
                    total += np.add.reduce(e[lo:hi])
                return total
        return np.add.reduce(np.where(largest, e.dtype.type(0), e), axis=params["axes"])


TOP, TIES, OTHERS = Top(), Ties(), Others()
