"""Functions of C's mathematics library that JavaScript has not."""

from __future__ import annotations

from math import fabs
from math import pow as raw_pow

INF = float("inf")


def copysign(a: float, b: float) -> float:
    """|a| with the sign of b."""
    return -fabs(a) if b < 0.0 or (b == 0.0 and 1.0 / b < 0.0) else fabs(a)


def pow(a: float, b: float) -> float:
    """a^b with the exceptions of C99: 1^b and (-1)^(+-infinity) are 1."""
    return 1.0 if a == 1.0 or (a == -1.0 and fabs(b) == INF) else raw_pow(a, b)
