"""What a node holds for all unit seeds: terms, where each entry knows its seed; outer products; or the whole array."""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

import numpy as np

from engine.aval import Array

MOST_TERMS = 12
"""Most seeds that an entry is kept with one by one: a wider band is written out."""
MOST_OUTERS = 4
"""Most outer products that are kept as such."""


class Term(NamedTuple):
    """For seed s and entry e the value w[e] if s is `seeds[e]`, else 0.

    `ref` is the node of w, which has the shape that the value has for one seed. `seeds` has that shape, too, and is −1 where
    there is no seed; w is 0 there.
    """

    ref: int
    seeds: Array


class Outer(NamedTuple):
    """For seed s and entry e the value u[e]·v[s]: what becomes of a sum that is used by many.

    `ref` is the node of u, which has the shape that the value has for one seed; `over` is that of v, one number a seed.
    `there` tells where u may be other than 0.
    """

    ref: int
    over: int
    there: Array


class Terms(NamedTuple):
    """The sum of terms and outer products."""

    terms: tuple[Term, ...]
    outers: tuple[Outer, ...] = ()


class Dense(NamedTuple):
    """The array of all seeds: their axis is the last one, or leads."""

    ref: int
    last: bool


Value: TypeAlias = "Terms | Dense | None"
"""None for a node that depends on no seed."""


def compatible(p: Array, q: Array) -> bool:
    """Whether two terms with these seeds can be one: no entry has two different seeds."""
    if p is q:
        return True
    return bool(((p == q) | (p < 0) | (q < 0)).all())


def united(p: Array, q: Array) -> Array:
    """The seeds of both."""
    if p is q:
        return p
    return np.where(p >= 0, p, q)


def only_seed(seeds: Array) -> int | None:
    """The one seed that all entries with a seed have; None if there are several, −1 if there is none."""
    there = seeds[seeds >= 0]
    if not there.size:
        return -1
    first = int(there.flat[0])
    return first if bool((there == first).all()) else None
