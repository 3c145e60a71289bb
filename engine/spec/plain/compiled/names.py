"""Tables of names, natively: open addressing over spans of bytes.

An entry is two numbers side by side, since memory is slow: the position of a name among the others, in the lower 32 bits, with
half of its hash in the upper ones, so that unequal names are hardly ever compared; and where the name stands, with its length
in the lower 16 bits. Names come from strangers: the hash has a seed that they do not know, and all
look-ups together may take so many steps and no more, after which the general reader has the request.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from engine.spec.plain.compiled.jit import helper
from engine.spec.plain.compiled.text import same

U = np.uint64
PRIME = U(0x100000001B3)
MIX = U(0xD6E8FEB86659FD93)
LOWER = 0xFFFFFFFF
LENGTH = 0xFFFF
ABSENT, EXHAUSTED = -1, -2

FREE_STEPS = 1024
STEPS = 16
"""A table gives up after FREE_STEPS + STEPS for each name that it can hold. (Half full, as it is at most, it takes 1.5.)"""


@helper
def hashed(s: Any, a: Any, count: Any, seed: Any) -> Any:
    """FNV-1a from a secret start, its bits mixed at the end."""
    h = seed
    for k in range(a, a + count):
        h = (h ^ U(s[k])) * PRIME
    h = (h ^ (h >> U(32))) * MIX
    return h ^ (h >> U(29))


@helper
def find(s: Any, a: Any, count: Any, t: Any, table: Any, state: Any) -> Any:
    """The position of the name s[a : a + count] in a table of names that stand in t; ABSENT if it is none of them.

    state: seed; steps that are left; and, for `insert`, the place that was free and the hash. EXHAUSTED without steps.
    """
    h = hashed(s, a, count, state[0])
    mask = U((len(table) >> 1) - 1)
    p = h & mask
    tag = np.int64(h >> U(33))
    while True:
        e = table[p + p]
        if e < 0:
            state[2] = p
            state[3] = U(tag)
            return ABSENT
        if state[1] == U(0):
            return EXHAUSTED
        state[1] -= U(1)
        if e >> 32 == tag:
            place = table[p + p + U(1)]
            if place & LENGTH == count and same(s, a, t, place >> 16, count):
                return e & LOWER
        p = (p + U(1)) & mask


@helper
def insert(j: Any, start: Any, count: Any, table: Any, state: Any) -> None:
    """Enter name j, which `find` has just not found."""
    p = state[2] + state[2]
    table[p] = (np.int64(state[3]) << 32) | j
    table[p + U(1)] = (np.int64(start) << 16) | count
