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
from engine.recycled import recycled

SHORT = 2048
"""Entries along the last axis up to which NumPy finds the place of the largest faster than the largest."""


def extreme(ufunc: Any, x: Array, axes: tuple[int, ...], out: Array | None = None) -> Any:
    """`np.maximum` or `np.minimum` over axes, by the place of the entry where that is several times as fast."""
    if (
        axes == (-1,)
        and x.ndim > 1
        and x.dtype.kind == "f"
        and x.flags.c_contiguous
        and 0 < x.shape[-1] <= SHORT
    ):
        rows = x.reshape(-1, x.shape[-1])
        places = rows.argmax(-1) if ufunc is np.maximum else rows.argmin(-1)
        places += np.arange(0, x.size, x.shape[-1])
        found = x.reshape(-1).take(places).reshape(x.shape[:-1])
        if out is None:
            return found
        np.copyto(out, found)
        return out
    return ufunc.reduce(x, axes, None, out)


class Reduced(Op):
    """Results without the axes of the first operand that are reduced."""

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


class Top(Reduced):
    """The largest entry over axes, as a number that has no derivative."""

    name = "core.top"
    convention = "Where it is not finite, what is written with it is NaN, and may be hidden by a comparison."

    def evaluate(self, *arrays: Any, **params: Any) -> Any:
        """NumPy's."""
        return extreme(np.maximum, np.asarray(arrays[0]), params["axes"])

    def into(self, avals: Sequence[Aval], params: Params) -> Into | None:
        """With `out`."""
        axes = params[0][1]
        return Into(lambda x, out: extreme(np.maximum, x, axes, out))

    def kink(self, arrays: Sequence[Array], y: Array, **params: Any) -> Array | None:
        """Where it is not finite."""
        return np.asarray(~np.isfinite(y))


class Rest(Reduced):
    """Σ e over axes but for one of the entries whose z is 0. Operands z ≤ 0 and e = exp(z)."""

    name = "core.rest"

    def evaluate(self, *arrays: Any, **params: Any) -> Any:
        """Those with z < 0, and of the others all but one."""
        z, e = (np.asarray(v) for v in arrays)
        axes = params["axes"]
        below = z < 0
        rest = np.add.reduce(np.multiply(e, below), axis=axes)
        if z.size - np.count_nonzero(below) != np.size(rest):
            rest = rest + (np.add.reduce(~below, axis=axes, dtype=z.dtype) - 1)
        return rest


class Moments(Reduced):
    """[t, rest] of x over axes, which can be cut: those of the pieces become those of the whole.

    t is the largest t of all pieces; beside the 1 of its piece the others' exp(tₖ − t)·(1 + restₖ) are added to its rest.
    """

    name = "core.moments"
    convention = Top.convention

    def infer(self, *avals: Aval, **params: Any) -> Avals:
        """Two for each."""
        return Aval((2, *without_axes(avals[0].shape, params["axes"])), avals[0].dtype)

    def evaluate(self, *arrays: Any, **params: Any) -> Any:
        """Of a vector without looking for ties: those beside the first largest count as any other."""
        x, axes = np.asarray(arrays[0]), params["axes"]
        if x.ndim == 1:
            k = int(x.argmax())
            e = recycled.empty(x.shape, x.dtype)
            np.exp(np.subtract(x, x[k], e), e)
            return np.array([x[k], np.add.reduce(e[:k]) + np.add.reduce(e[k + 1 :])], x.dtype)
        top = np.maximum.reduce(x, axis=axes, keepdims=True)
        z = np.subtract(x, top)
        rest = REST.evaluate(z, np.exp(z), axes=axes)
        return np.stack([top.reshape(np.shape(rest)), rest])

    def cuts(
        self, axis: int, operands: Sequence[Aval], result: Aval, /, **params: Any
    ) -> tuple[int | None, ...] | None:
        """Axes that are not reduced."""
        return None if axis == 0 else (axis_before(axis - 1, operands[0].rank, params["axes"]),)

    def summed(
        self, operands: Sequence[Aval], result: Aval, /, **params: Any
    ) -> Sequence[tuple[int | None, ...]]:
        """Along each axis that is reduced."""
        return [(a + operands[0].rank,) for a in params["axes"]]

    @staticmethod
    def combines(parts: Array, axis: int = 0) -> Array:
        """Of pieces, one behind the other along axis 0."""
        tops, rests = parts[:, 0], parts[:, 1]
        first = np.expand_dims(tops.argmax(0), 0)
        top = np.take_along_axis(tops, first, 0)
        terms = np.exp(tops - top) * (1 + rests)
        np.put_along_axis(terms, first, np.take_along_axis(rests, first, 0), 0)
        return np.stack([top[0], np.add.reduce(terms, axis=0)])

    def kink(self, arrays: Sequence[Array], y: Array, **params: Any) -> Array | None:
        """Where the largest is not finite."""
        return np.asarray(~np.isfinite(y[0]))

    def flops(self, operands: Sequence[Aval], result: Avals, **params: Any) -> float:
        """An exponential for each entry."""
        return 10.0 * operands[0].size


TOP, REST, MOMENTS = Top(), Rest(), Moments()
