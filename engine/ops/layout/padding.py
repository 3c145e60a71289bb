"""pad: an array with more around it, in five of NumPy's modes. Written with the core of `shape`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from engine.attrs import WIDTHS, number, one_of
from engine.builder import Builder, Var, broadcast_to, cast
from engine.errors import InvalidAttribute, ShapeMismatch
from engine.op import Attr, Example, Kind, Operand, registry
from engine.ops.layout.arrange import MATRIX, Arrangement, check_size, flipped, tiled
from engine.ops.layout.shape import joined, slice_axis

MODES = ("constant", "edge", "reflect", "symmetric", "wrap")


def _numbers(value: Any) -> Any:
    if not isinstance(value, list | tuple):
        return number(value)
    return tuple(tuple(map(number, v)) if isinstance(v, list | tuple) else number(v) for v in value)


NUMBERS = Kind("a number, a pair, or a list of pairs", _numbers)


class Pad(Arrangement):
    """The array with entries added before and behind it along each axis, as `numpy.pad`.

    `pad_width` is a number, a pair (before, behind), or such a pair for each axis. Modes: constant (`constant_values`,
    0 unless given: a number, pair or pairs too), edge (the outermost entry), reflect (mirrored about it), symmetric
    (mirrored about the edge), wrap (periodic).
    """

    name = "pad"
    parameters = (
        Operand("x", ("array", "input")),
        Attr("pad_width", WIDTHS, aliases=("pad",)),
        Attr("mode", one_of(*MODES), "constant"),
        Attr("constant_values", NUMBERS, 0.0, ("value",), keyword_only=True),
    )
    latex = "\\operatorname{{pad}} {x}"
    derivative = {"x": "1"}
    examples = (
        Example(([1.0, 2.0, 4.0],), {"pad_width": (1, 2)}),
        Example((MATRIX,), {"pad_width": ((1, 0), (2, 3)), "constant_values": ((5.0, 6.0), (7.0, 8.0))}),
        Example((MATRIX,), {"pad_width": 2, "mode": "edge"}),
        Example((MATRIX,), {"pad_width": ((1, 1), (2, 1)), "mode": "reflect"}),
        Example(([1.0, 2.0, 4.0],), {"pad_width": (5, 8), "mode": "reflect"}, note="wider than the array"),
        Example(([1.0, 2.0, 4.0],), {"pad_width": (2, 7), "mode": "symmetric"}),
        Example(([1.0, 2.0, 4.0],), {"pad_width": (4, 2), "mode": "wrap"}),
        Example(([3.0],), {"pad_width": 2, "mode": "reflect"}, note="nothing to mirror: as edge"),
        Example(([],), {"pad_width": 1}, note="empty"),
    )

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var:
        """One embedding in zeros, or pieces joined along one axis after the other."""
        x: Var = operands[0]
        mode = attrs["mode"]
        widths = _pairs(attrs["pad_width"], x.rank, "pad_width")
        if any(w < 0 for pair in widths for w in pair):
            raise InvalidAttribute("pad: pad_width must not be negative; a slice makes an array smaller.")
        shape = [n + before + behind for n, (before, behind) in zip(x.shape, widths, strict=True)]
        check_size(b, shape, x)
        if x.rank == 0:
            return x
        if mode == "constant":
            return _constant(x, widths, _pairs(attrs["constant_values"], x.rank, "constant_values"))
        for a, (before, behind) in enumerate(widths):
            if before or behind:
                if x.shape[a] == 0:
                    raise ShapeMismatch(
                        f"pad: axis {a} of an array of shape {list(x.shape)} is empty: only constants can be added."
                    )
                x = _extended(x, a - x.rank, before, behind, mode)
        return x


registry.add(Pad())


def _pairs(value: Any, rank: int, what: str) -> list[tuple[Any, Any]]:
    """(before, behind) for each axis, from the short forms that NumPy allows."""
    try:
        array = np.array(value)  # of unequal pairs: ValueError
        return [(p, q) for p, q in np.broadcast_to(array, (rank, 2)).tolist()]
    except ValueError:
        raise InvalidAttribute(
            f"pad: {what} must be a number, a pair (before, behind), or {rank} such pairs, one for each axis."
        ) from None


def _constant(x: Var, widths: Sequence[tuple[int, int]], values: Sequence[tuple[float, float]]) -> Var:
    b = x.b
    if not x.aval.floating and any(not float(v).is_integer() for pair in values for v in pair):
        x = cast(b, x, b.dtype)
    if all(v == 0 for pair in values for v in pair):
        index = tuple((before, before + n, 1) for n, (before, _) in zip(x.shape, widths, strict=True))
        shape = tuple(n + before + behind for n, (before, behind) in zip(x.shape, widths, strict=True))
        result: Var = b.write("embed", x, index=index, shape=shape)
        return result
    for a, (width, value) in enumerate(zip(widths, values, strict=True)):
        parts = [_filled(x, a, width[0], value[0]), x, _filled(x, a, width[1], value[1])]
        x = joined([p for p in parts if p.shape[a]] or [x], a - x.rank)
    return x


def _filled(x: Var, a: int, width: int, value: float) -> Var:
    return broadcast_to(x.b.var(value, x.dtype), (*x.shape[:a], width, *x.shape[a + 1 :]))


def _extended(x: Var, axis: int, before: int, behind: int, mode: str) -> Var:
    """One axis (counted from the end, not empty) continued at both ends."""
    n = x.shape[axis]
    if mode == "reflect" and n == 1:
        mode = "edge"
    if mode == "edge":
        pieces = [_edge(x, axis, 0, before), x, _edge(x, axis, n - 1, behind)]
        return joined([p for p in pieces if p.shape[axis]], axis)
    # What stands before and behind the array is, near to it, a piece of the array or of its mirror image; farther away
    # it repeats with a period.
    inner = slice_axis(x, axis, 1, n - 1) if mode == "reflect" else x
    image = x if mode == "wrap" else flipped(inner, (axis,))
    m = image.shape[axis]
    if before <= m and behind <= m:
        pieces = [slice_axis(image, axis, m - before, m), x, slice_axis(image, axis, 0, behind)]
        return joined([p for p in pieces if p.shape[axis]], axis)
    period = x if mode == "wrap" else joined([x, image], axis) if m else x
    length = period.shape[axis]
    left = -(-before // length)
    times = left + -(-(n + behind) // length)
    reps = [1] * x.rank
    reps[axis] = times
    start = left * length - before
    return slice_axis(tiled(period, reps), axis, start, start + before + n + behind)


def _edge(x: Var, axis: int, at: int, width: int) -> Var:
    one = slice_axis(x, axis, at, at + 1)
    return broadcast_to(one, tuple(width if a - x.rank == axis else n for a, n in enumerate(one.shape)))
