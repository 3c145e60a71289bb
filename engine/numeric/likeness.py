"""In what way a gradient that somebody believes is another one: the mistakes that are made most often when one is derived."""

from __future__ import annotations

import numpy as np

from engine.aval import Array, Shape

RTOL = 1e-6
"""Relative difference, by the largest entry, that is none here."""
COMMON = (-1.0, 2.0, 0.5, -2.0, -0.5)
"""Factors that say something even of a single number."""


def likeness(expected: Array, right: Array, differs: Array, shape: Shape) -> str:
    """A sentence on how the flat gradient `expected` differs from `right`; empty if there is nothing to be said."""
    if not (np.isfinite(expected).all() and np.isfinite(right).all()) or not right.any():
        return ""
    if not expected.any():
        return "" if right.size == 1 else "What is expected is 0 everywhere."
    if (
        right.size > 1
        and len(shape) == 2
        and shape[0] == shape[1]
        and _same(expected.reshape(shape).T.reshape(-1), right)
    ):
        return "What is expected is the transpose of the gradient."
    size = float(np.max(np.abs(right)))
    with np.errstate(all="ignore"):
        factor = float((expected / size) @ (right / size) / ((right / size) @ (right / size)))
    if np.isfinite(factor) and _same(expected, factor * right):
        near = next((c for c in COMMON if abs(factor - c) <= RTOL * abs(c)), None)
        if near == -1:
            return "What is expected has the opposite sign."
        if near is not None or right.size > 1:
            return f"What is expected is {near or factor:.6g} times the gradient."
    count = int(differs.sum())
    if right.size > 1:
        return f"{count:,} of {right.size:,} entries {'differs' if count == 1 else 'differ'} from what is expected."
    return ""


def _same(a: Array, b: Array) -> bool:
    return bool(np.max(np.abs(a - b)) <= RTOL * max(float(np.max(np.abs(a))), float(np.max(np.abs(b)))))
