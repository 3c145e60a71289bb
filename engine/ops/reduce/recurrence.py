r"""The linear recurrence sᵢ = aᵢ·sᵢ₋₁ + bᵢ along an axis: what the derivatives of running products are made of.

With s₋₁ = 0 it is linear in b, and its transpose is the same recurrence from the other end; its derivative in a is the
recurrence with ȧᵢ·sᵢ₋₁ in the place of b. So derivatives of every order of `cumprod` take O(n), without a division.

G. E. Blelloch, "Prefix sums and their applications", 1990, treats such recurrences as scans.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from engine.aval import Array, Aval, Avals
from engine.builder import Var, broadcast_to
from engine.errors import ShapeMismatch
from engine.formula import strong_product
from engine.op import General, Linear, Op, registry
from engine.ops.layout.shape import joined, slice_axis

if TYPE_CHECKING:
    from engine.entries import Entries, Positions

FEW = 16
"""Up to so many rows are computed as Python numbers, one after the other; more of them as arrays."""


def shifted(x: Var, axis: int, reverse: bool, first: float) -> Var:
    """The entry before each (behind each, if `reverse`), `first` where there is none."""
    n = x.shape[axis]
    if n == 0:
        return x
    shape = list(x.shape)
    shape[axis] = 1
    end = broadcast_to(x.b.var(first, x.dtype), tuple(shape))
    if n == 1:
        return end
    rest = slice_axis(x, axis, 1, n) if reverse else slice_axis(x, axis, 0, n - 1)
    return joined([rest, end] if reverse else [end, rest], axis)


def _back(ct: Var, k: int, operands: Sequence[Var], *, axis: int, reverse: bool) -> Var:
    factors = shifted(operands[0], axis, not reverse, 0.0)
    result: Var = ct.b.write("linear_recurrence", factors, ct, axis=axis, reverse=not reverse)
    return result


class LinearRecurrence(Op):
    """sᵢ = aᵢ·sᵢ₋₁ + bᵢ along an axis (from the other end if `reverse`); the state s is a strong zero in the product."""

    name = "linear_recurrence"
    family = "core"
    internal = True
    rules = (General(), Linear(_back))

    def infer(self, *avals: Aval, **params: Any) -> Avals:
        """The common aval."""
        if avals[0] != avals[1]:
            raise ShapeMismatch(f"linear_recurrence: {avals[0]} and {avals[1]} are not equal.")
        return avals[0]

    def evaluate(self, *arrays: Any, **params: Any) -> Any:
        """A loop along the axis: over numbers if there are few others, else over slices."""
        axis = params["axis"]
        a, b = (np.moveaxis(np.asarray(v), axis, -1) for v in arrays)
        if params["reverse"]:
            a, b = a[..., ::-1], b[..., ::-1]
        rows = a.size // a.shape[-1] if a.size else 0
        result: Array
        if rows <= FEW:
            flat = zip(
                a.reshape(rows, a.shape[-1]).tolist(), b.reshape(rows, a.shape[-1]).tolist(), strict=True
            )
            result = np.array([_row(x, y) for x, y in flat], a.dtype).reshape(a.shape)
        else:
            result = np.empty_like(b)
            state = np.zeros(a.shape[:-1], a.dtype)
            for i in range(a.shape[-1]):
                state = strong_product(state, a[..., i], (0,)) + b[..., i]
                result[..., i] = state
        if params["reverse"]:
            result = result[..., ::-1]
        return np.moveaxis(result, -1, axis)

    def expand(self, e: Entries, *positions: Positions, **params: Any) -> Positions:
        """A chain of products and additions."""
        a, b = (np.moveaxis(p, params["axis"], 0) for p in positions)
        order = range(len(b) - 1, -1, -1) if params["reverse"] else range(len(b))
        result = b.copy()
        state = None
        for i in order:
            state = b[i] if state is None else e.op("add", e.op("multiply", state, a[i]), b[i])
            result[i] = state
        return np.moveaxis(result, 0, params["axis"])

    def jvp(self, y: Any, xs: Sequence[Var], dxs: Sequence[Var | None], **params: Any) -> Any:
        """The recurrence with ȧᵢ·sᵢ₋₁ in the place of b."""
        a, da = xs[0], dxs[0]
        assert da is not None
        before = shifted(y, params["axis"], params["reverse"], 0.0)
        change = a.b.write("multiply", da, before, strong=(0, 1))
        return a.b.write(self, a, change, **params)

    def flops(self, operands: Sequence[Aval], result: Avals, **params: Any) -> float:
        """A loop in Python: dear for each step."""
        return 50.0 * operands[0].size + 3000.0 * float(operands[0].shape[params["axis"]])


def _row(a: list[float], b: list[float]) -> list[float]:
    state = 0.0
    result = []
    for x, y in zip(a, b, strict=True):
        state = x * state + y if state else y
        result.append(state)
    return result


registry.add(LinearRecurrence())


def recurrence(a: Var, b: Var, axis: int, reverse: bool = False) -> Var:
    """sᵢ = aᵢ·sᵢ₋₁ + bᵢ along an axis counted from the end."""
    result: Var = a.b.write("linear_recurrence", a, b, axis=axis, reverse=reverse)
    return result
