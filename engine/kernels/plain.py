"""The kernels as NumPy passes over pieces of arrays: the same operations as in `native`, so the same bits."""

from __future__ import annotations

from typing import Any

import numpy as np

from engine.aval import Array
from engine.kernels.circular import COSINES, LIMIT, SHIFT, SINES, cosine, polynomial, rest, sine, turns

PIECE = 8192
"""Elements that are computed at once: a dozen such arrays stay in the second-level cache."""


def sin(x: Array, out: Array) -> None:
    """Sine of contiguous arrays of one axis; `out` may be x."""
    _run(x, out, 0, np.sin)


def cos(x: Array, out: Array) -> None:
    """As `sin`."""
    _run(x, out, 1, np.cos)


def _run(x: Array, out: Array, quadrant: int, beyond: Any) -> None:
    for lo in range(0, len(x), PIECE):
        piece, place = x[lo : lo + PIECE], out[lo : lo + PIECE]
        if piece.min() >= -LIMIT and piece.max() <= LIMIT:
            _piece(piece, place, quadrant)
            continue
        far = ~(np.abs(piece) <= LIMIT)
        values = beyond(piece[far])
        _piece(np.where(far, 0.0, piece), place, quadrant)
        place[far] = values


def _piece(x: Array, out: Array, quadrant: int) -> None:
    turned = turns(x)
    k = turned.view(np.int64) + quadrant
    r, s = rest(x, turned - SHIFT)
    z = r * r
    y = sine(r, s, z, polynomial(z, *SINES))
    odd = (k & 1).astype(np.bool_)
    np.copyto(y, cosine(r, s, z, polynomial(z, *COSINES)), where=odd)
    np.bitwise_xor(y.view(np.int64), (k & 2) << 62, out=out.view(np.int64))
