"""NumPy's `initial=` and `where=` of reductions: a value that the reduction starts from, and a mask of what takes part.

What does not take part is put aside by a choice, never by a product: it contributes nothing to the value and has the
derivative 0, also where it is NaN or infinite.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import inf, nan
from typing import Any

from engine.aval import kept_axes, without_axes
from engine.builder import Var, broadcast_to, call, cast
from engine.errors import InvalidAttribute, ShapeMismatch
from engine.op import Operand
from engine.ops.layout.shape import joined

INITIAL = Operand("initial", optional=True, named=True)
WHERE = Operand("where", optional=True, boolean=True)


def stretched(name: str, x: Var, mask: Var) -> Var:
    """The mask in the shape of x. Raises `ShapeMismatch`."""
    try:
        return broadcast_to(mask, x.shape)
    except ShapeMismatch:
        raise ShapeMismatch(
            f"{name}: the mask `where` has shape {list(mask.shape)}; it must be broadcastable to that of x, {list(x.shape)}."
        ) from None


def scalar(name: str, initial: Var) -> Var:
    """The value to start from. Raises `ShapeMismatch`."""
    if initial.shape:
        raise ShapeMismatch(f"{name}: initial must be one number; its shape is {list(initial.shape)}.")
    return initial


def there(name: str, x: Var, mask: Var | None, instead: Any) -> Var:
    """x with another value in the place of what does not take part."""
    return x if mask is None else call(x.b, "where", stretched(name, x, mask), x, instead)


def extreme(name: str, rows: Var, mask: Var | None, initial: Var | None) -> Var:
    """Largest (or smallest) entry along the last axis of those where the mask holds, and of `initial`.

    `initial` is one more entry, so that it shares with those that tie with it. Raises `InvalidAttribute` for a mask alone:
    nothing may be left.
    """
    b = rows.b
    if initial is None:
        raise InvalidAttribute(
            f"{name} with `where` needs `initial`, the value where nothing takes part: -inf or inf, or a bound."
        )
    first = broadcast_to(scalar(name, initial), (*rows.shape[:-1], 1))
    rows = joined([rows, first], -1)
    if mask is None:
        result: Var = b.write(name, rows, axes=(-1,))
        return result
    mask = joined([mask, broadcast_to(b.var(True, "bool"), first.shape)], -1)
    sign = 1 if name == "max" else -1
    largest: Var = b.write("max_where", rows if sign > 0 else -rows, mask, axes=(-1,))
    return largest if sign > 0 else -largest


# --------------------------------------------------------------------------------------------------- means and spreads


def spread(y: Var, x: Var, axes: Sequence[int]) -> Var:
    """A reduced array stretched back over the axes it lost."""
    return broadcast_to(y.reshape(kept_axes(x.shape, axes)), x.shape)


def count(mask: Var, axes: Sequence[int]) -> Var:
    """How many take part, as a floating-point number."""
    return cast(mask.b, mask, mask.b.dtype).sum(tuple(axes))


def chosen(x: Var, mask: Var) -> Var:
    """x, and 0 for what does not take part."""
    return call(x.b, "where", mask, x, 0.0)


def mean(x: Var, mask: Var, axes: Sequence[int]) -> Var:
    """Mean of what takes part; NaN of nothing."""
    return chosen(x, mask).sum(tuple(axes)) / count(mask, axes)


def centred(x: Var, mask: Var, axes: Sequence[int], flat: bool = False) -> Var:
    """Distances from the mean, 0 for what does not take part.

    With `flat` also for entries that are all equal, which are equal to their mean, however that was rounded (`std`).
    """
    b, axes = x.b, tuple(axes)
    result = chosen(x - spread(mean(x, mask, axes), x, axes), mask)
    if flat and all(x.shape[a] for a in axes):
        width = b.write("max_where", x, mask, axes=axes) + b.write("max_where", -x, mask, axes=axes)
        result = call(b, "where", spread(width.equals(0.0), x, axes), 0.0, result)
    return result


def shared(total: Var, x: Var, mask: Var, axes: Sequence[int], ddof: float, root: bool = False) -> Var:
    """`total`, a sum of squares (or its root) divided by n − ddof (or its root), where n entries take part.

    Where n − ddof is not positive, as in `var`: ∞ with derivative 0, or of 0 NaN with derivative NaN.
    """
    b = x.b
    left = count(mask, axes) - ddof
    enough = left > 0.0
    divisor = call(b, "where", enough, left, 1.0)
    usual = total / (call(b, "sqrt", divisor) if root else divisor)
    lost = chosen(x, mask).sum(tuple(axes)) * nan
    none = call(b, "where", total > 0.0, broadcast_to(b.var(inf, x.dtype), without_axes(x.shape, axes)), lost)
    return call(b, "where", enough, usual, none)
