"""Which entries of the inputs are looked at one by one, and how those that are not are looked at together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from engine.aval import Array

LARGE = 1024
"""Inputs of more elements are moved alone, the others together: what does not depend on what moves is computed once."""

MOST_ALONE = 8
"""So many inputs at most, the largest ones."""

GOLDEN = 0.6180339887498949
"""Multiples of it, modulo 1, are spread evenly however many there are."""


@dataclass(frozen=True)
class Group:
    """Nodes (positions in `wrt`) that are moved together."""

    which: tuple[int, ...]


def groups_of(sizes: Sequence[int]) -> list[Group]:
    """Inputs in groups: each large one alone, all others together."""
    large = sorted((k for k, n in enumerate(sizes) if n > LARGE), key=lambda k: -sizes[k])[:MOST_ALONE]
    rest = tuple(k for k in range(len(sizes)) if k not in large and sizes[k])
    return [Group((k,)) for k in sorted(large)] + ([Group(rest)] if rest else [])


def chosen(gradient: Array, most: int, always: Sequence[int] = ()) -> Array:
    """Places of at most `most` entries (and of those in `always`): half of them where the gradient is largest, the others
    spread evenly. The same for the same gradient."""
    n = len(gradient)
    if n <= most:
        return np.arange(n)
    size = np.abs(np.where(np.isnan(gradient), np.inf, gradient))
    largest = np.argsort(-size, kind="stable")[: (most + 1) // 2]
    taken = dict.fromkeys([*map(int, always), *largest.tolist()])
    k = 0
    while len(taken) < min(n, most + len(always)) and k < 4 * most + 16:
        taken[int(n * ((0.5 + k * GOLDEN) % 1.0))] = None
        k += 1
    return np.sort(np.fromiter(taken, np.int64, len(taken)))


def dense_direction(scale: Array) -> Array:
    """A direction in which every entry moves, by different amounts and with both signs, about `scale` over √n each."""
    k = np.arange(len(scale), dtype=np.float64)
    size = 0.5 + (k * GOLDEN) % 1.0
    sign = np.where(np.sin(1.0 + k * k) < 0, -1.0, 1.0)
    return np.asarray(scale * size * sign / np.sqrt(max(len(scale), 1)))


def locate(places: Array, wrong: Callable[[Array], bool]) -> int | None:
    """By halving: one of the places because of which `wrong` holds of all of them; None if it is none of them alone."""
    while len(places) > 1:
        half = len(places) // 2
        if wrong(places[:half]):
            places = places[:half]
        elif wrong(places[half:]):
            places = places[half:]
        else:
            return None
    return int(places[0]) if len(places) else None
