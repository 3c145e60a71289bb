"""Products with a tangent or cotangent, for rules that are written with Vars."""

from __future__ import annotations

from typing import Any

from engine.builder import Var


def times(dx: Var, factor: Any) -> Var:
    """`dx` times `factor`, with the tangent `dx` as a strong zero: where it is 0, the product is 0.

    The factor is stretched to the tangent's shape or the other way round, so either may be the smaller one. Every JVP
    rule multiplies its tangents so; a plain `*` would let an infinite partial make NaN of a tangent that is not there.
    """
    b = dx.b
    left, right = b.broadcast([dx, b.var(factor) if not isinstance(factor, int) else b.var(float(factor))])
    result: Var = b.write("multiply", left, right, strong=(0,))
    return result
