"""Sine and cosine of a float64 as sums and products alone: one text for numbers (compiled) and for arrays of them.

Sums and products are rounded the same everywhere (IEEE 754), so both give the same bits, as long as none of them are
contracted into one operation.

Reduction after W. J. Cody and W. Waite, *Software Manual for the Elementary Functions*, 1980: the nearest multiple q of π/2 is
taken away in three parts. The first two have 37 bits, so that their products with |q| < 2¹⁶ are exact; with the third, π/2 is
right to 130 bits. No float64 up to `LIMIT` is nearer to a multiple of π/2 than 2⁻⁶⁰·⁵ (at 45.553…), so what is left is right to
a fraction of its last place everywhere. Polynomials for |r| ≤ π/4 from FreeBSD's msun (k_sin.c, k_cos.c; Sun Microsystems,
1993), which take the part of r below its last place into account. The error is below 0.8 ulp.
"""

from __future__ import annotations

from typing import Any

LIMIT = 65536.0
"""Largest |x| that is reduced here."""

PER = 0.6366197723675814
"""2/π."""

SHIFT = 6755399441055744.0
"""1.5·2⁵²: what is added to it is rounded to an integer, which then lies in the lowest bits."""

P1 = float.fromhex("0x1.921fb54440000p+0")
P2 = float.fromhex("0x1.68c234c4c0000p-39")
P3 = float.fromhex("0x1.98a2e03707345p-77")

S1 = -1.66666666666666324348e-01
SINES = (
    8.33333333332248946124e-03,
    -1.98412698298579493134e-04,
    2.75573137070700676789e-06,
    -2.50507602534068634195e-08,
    1.58969099521155010221e-10,
)
"""S2 … S6."""
C1 = 4.16666666666666019037e-02
COSINES = (
    -1.38888888888741095749e-03,
    2.48015872894767294178e-05,
    -2.75573143513906633035e-07,
    2.08757232129817482790e-09,
    -1.13596475577881948265e-11,
)
"""C2 … C6."""


def turns(x: Any) -> Any:
    """`SHIFT` plus the number of right angles in x, to the nearest one (never −0)."""
    return x * PER + SHIFT


def rest(x: Any, q: Any) -> Any:
    """x − q·π/2 as r, and s below the last place of r.

    The first difference is exact. Where the second one is not, its rounding error is (h − r1) exactly, found again.
    """
    r1 = x - q * P1
    w = q * P2
    h = r1 - w
    t = q * P3 - ((r1 - h) - w)
    r = h - t
    return r, (h - r) - t


def polynomial(z: Any, k2: Any, k3: Any, k4: Any, k5: Any, k6: Any) -> Any:
    """What sine and cosine have in common: their terms from the second on, over the power of r in that one."""
    return k2 + z * (k3 + z * (k4 + z * (k5 + z * k6)))


def sine(r: Any, s: Any, z: Any, p: Any) -> Any:
    """sin(r + s) for |r| ≤ π/4, z = r², and p the polynomial with coefficients S2 … S6."""
    v = z * r
    return r - ((z * (0.5 * s - v * p) - s) - v * S1)


def cosine(r: Any, s: Any, z: Any, p: Any) -> Any:
    """cos(r + s) for |r| ≤ π/4, z = r², and p the polynomial with coefficients C2 … C6."""
    half = 0.5 * z
    w = 1.0 - half
    return w + (((1.0 - w) - half) + (z * (z * (C1 + z * p)) - r * s))
