"""Special functions of one number whose derivatives of every order are computed outright.

Where the formula for a derivative cancels (erfcx' = 2x·erfcx − 2/√π in the tail, (eˣ − 1)/x near 0), a chain of formulas
loses more digits with each order. Such a function is a tower: one op with a param `order` n that computes the n-th
derivative by whatever means keeps its digits, and whose own derivative is the same op with n + 1.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from engine.aval import Array, Aval, Avals
from engine.builder import Builder, Var
from engine.op import General, Op, Operand, Parameter
from engine.transforms.strong import times


def in_double(fn: Callable[..., Any]) -> Callable[..., Any]:
    """The function computed in double precision, its result in the operands' dtype: float32 keeps its tails so."""

    def wrapped(*arrays: Any, **params: Any) -> Any:
        dtype = arrays[-1].dtype
        with np.errstate(all="ignore"):
            y = fn(*[np.asarray(a, np.float64)[()] for a in arrays], **params)
            return np.asarray(y).astype(dtype, copy=False)[()]

    return wrapped


class Tower(Op):
    """A function of one number with its derivatives; `values` computes them, `domain` is as in `Elementwise`."""

    family = "special"
    parameters: tuple[Parameter, ...] = (Operand("x"),)
    elementwise = True
    floating = True
    rules = (General(),)
    domain: tuple[tuple[float, float], ...] = ((-2.0, 2.0),)
    weight = 100.0
    """Cost of one value in additions."""

    def values(self, x: Array, order: int, **static: Any) -> Array:
        """The derivative of that order, of an array of doubles."""
        raise NotImplementedError(self.name)

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var:
        """One node: the function itself, order 0."""
        result: Var = b.write(self, operands[-1], order=0, **attrs)
        return result

    def infer(self, *avals: Aval, **params: Any) -> Avals:
        """The operand's aval."""
        return avals[0]

    def evaluate(self, *arrays: Any, **params: Any) -> Any:
        """`values`, in double precision."""
        x = np.asarray(arrays[0])
        order = params.pop("order", 0)
        with np.errstate(all="ignore"):
            return self.values(x.astype(np.float64), order, **params).astype(x.dtype)[()]

    def jvp(self, y: Any, xs: Sequence[Var], dxs: Sequence[Var | None], **params: Any) -> Any:
        """The next derivative times ẋ."""
        (x,), (dx,) = xs, dxs
        assert dx is not None
        slope: Var = x.b.write(self, x, **{**params, "order": params.get("order", 0) + 1})
        return times(dx, slope)

    def flops(self, operands: Sequence[Aval], result: Avals, **params: Any) -> float:
        """`weight` for each element and order."""
        orders: int = 1 + params.get("order", 0)
        return self.weight * orders * operands[0].size
