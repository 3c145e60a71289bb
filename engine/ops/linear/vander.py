"""vander: the table of powers of a vector's entries, by products instead of by `pow`."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from engine.attrs import BOOL, SIZE, optional
from engine.aval import Array, Aval, Avals
from engine.builder import Builder, Var, broadcast_to, cast
from engine.errors import ShapeMismatch
from engine.op import Attr, Example, General, Into, Op, Operand, Params, registry
from engine.ops.layout.arrange import check_size
from engine.ops.linear.factor import column
from engine.ops.reduce.recurrence import shifted
from engine.transforms.strong import times

if TYPE_CHECKING:
    from engine.entries import Entries, Positions

BY_COLUMN = 4
"""So many columns are made one from the other; then as many at once as there are already."""


class Powers(Op):
    """x⁰, x¹, …, xⁿ⁻¹ of a column: [*s, 1] -> [*s, n], from right to left if `reverse`.

    Each is a product of two that are there (x to the power j + k from those to j and k), so entry k is within about k
    roundings, as NumPy's and JAX's `vander`. JVP  ẏₖ = (k·yₖ₋₁)·ẋ, a polynomial at 0 too.
    """

    name = "power_table"
    family = "core"
    internal = True
    rules = (General(),)

    def infer(self, *avals: Aval, **params: Any) -> Avals:
        """n columns for one."""
        return Aval((*avals[0].shape[:-1], params["n"]), avals[0].dtype)

    def evaluate(self, *arrays: Any, **params: Any) -> Any:
        """A new array."""
        x = np.asarray(arrays[0])
        result: Array = np.empty((*x.shape[:-1], params["n"]), x.dtype)
        _fill(params["reverse"], x, result)
        return result

    def into(self, avals: Sequence[Aval], params: Params) -> Into | None:
        """Column by column, then by doubling."""
        return Into(partial(_fill, dict(params)["reverse"]))

    def cuts(
        self, axis: int, operands: Sequence[Aval], result: Aval, /, **params: Any
    ) -> tuple[int | None, ...] | None:
        """Rows."""
        return None if axis == result.rank - 1 else (axis,)

    def expand(self, e: Entries, *positions: Positions, **params: Any) -> Positions | None:
        """A chain of products."""
        x, n = positions[0], params["n"]
        if not n or not x.size:
            return np.zeros((*x.shape[:-1], n), np.int64)
        parts = [np.broadcast_to(e.constant(1.0), x.shape)]
        while len(parts) < n:
            parts.append(x if len(parts) == 1 else e.op("multiply", parts[-1], x))
        return np.concatenate(parts[::-1] if params["reverse"] else parts, axis=-1)

    def jvp(self, y: Any, xs: Sequence[Var], dxs: Sequence[Var | None], **params: Any) -> Any:
        """k·yₖ₋₁·ẋ."""
        (x,), (dx,) = xs, dxs
        assert dx is not None
        n, reverse = params["n"], params["reverse"]
        k = cast(x.b, x.b.write("iota", n=n), x.dtype)
        factors = shifted(y, -1, reverse, 0.0) * ((n - 1) - k if reverse else k)
        return times(broadcast_to(dx, y.shape), factors)

    def flops(self, operands: Sequence[Aval], result: Avals, **params: Any) -> float:
        """A product for each entry."""
        assert isinstance(result, Aval)
        return float(result.size)


registry.add(Powers())


def _fill(reverse: bool, x: Array, out: Array) -> None:
    n = out.shape[-1]
    y = out[..., ::-1] if reverse else out
    y[..., :1] = 1
    y[..., 1:2] = x
    one = x[..., 0]
    for k in range(2, min(n, BY_COLUMN + 1)):
        np.multiply(y[..., k - 1], one, y[..., k])
    k = BY_COLUMN
    while k + 1 < n:
        more = min(k, n - k - 1)
        np.multiply(y[..., 1 : 1 + more], y[..., k : k + 1], y[..., k + 1 : k + 1 + more])
        k += more


class Vander(Op):
    """Vandermonde's matrix: powers of the entries of a vector, the highest first unless `increasing`.

    `N` columns, as many as rows unless given.
    """

    name = "vander"
    family = "linalg"
    composite = True
    floating = True
    parameters = (
        Operand(
            "x",
        ),
        Attr("N", optional(SIZE), None, ("n",)),
        Attr("increasing", BOOL, False),
    )
    latex = "\\operatorname{{vander}} {x}"
    derivative = {"x": "k\\, x_i^{k - 1}"}
    examples = (
        Example(([1.5, 2.0, -3.0],)),
        Example(([1.5, 2.0, 0.0],), {"N": 4, "increasing": True}, note="a power of 0"),
        Example(([1.5, 2.0],), {"N": 0}),
    )

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var:
        """One node."""
        (x,) = operands
        if not x.rank:
            raise ShapeMismatch("vander takes a vector; this is a scalar.")
        n = x.shape[-1] if attrs["N"] is None else attrs["N"]
        check_size(b, (*x.shape, n), x)
        result: Var = b.write("power_table", column(x), axis=-1, n=n, reverse=not attrs["increasing"])
        return result


registry.add(Vander())
