"""Doubles from decimal text and back, natively: correctly rounded on the way in, the shortest text on the way out.

Reading: W. D. Clinger, "How to read floating point numbers accurately", PLDI 1990, doi:10.1145/93542.93557, for short
numbers; D. Lemire, "Number parsing at a gigabyte per second", Software: Practice and Experience 51 (2021),
doi:10.1002/spe.2984, for the others; that no number of up to 19 digits needs more: N. Mushtak, D. Lemire, "Fast number
parsing without fallback", 2023, doi:10.1002/spe.3198.

Printing: R. Giulietti, "The Schubfach way to render doubles", 2020 (its Java form is `DoubleToDecimal` of OpenJDK 19).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from engine.spec.plain.compiled.jit import bits_of, double_of, helper, high_product, leading_zeros

U = np.uint64

SMALLEST, LARGEST = -342, 308
"""Powers of ten that read_number scales by: what is beyond them is 0 or infinite, whatever 19 digits stand in front."""


def _fifths() -> npt.NDArray[np.uint64]:
    """5^q for q = SMALLEST … LARGEST as 128 bits with the first one in front: cut off for q ≥ 0, rounded up below."""
    found = []
    for q in range(SMALLEST, LARGEST + 1):
        power = 5 ** abs(q)
        if q >= 0:
            shift = power.bit_length() - 128
            scaled = power >> shift if shift >= 0 else power << -shift
        else:
            z = (power - 1).bit_length()
            scaled = (1 << (z + 127 if q >= -27 else 2 * z + 128)) // power + 1
            scaled >>= max(0, scaled.bit_length() - 128)
        found.append((scaled >> 64, scaled & 0xFFFFFFFFFFFFFFFF))
    return np.array(found, np.uint64)


LEAST, MOST = -324, 292
"""The decimal exponents that the shortest digits of a double can have."""


def _schubfach() -> npt.NDArray[np.uint64]:
    """⌊10^−k · 2^−r⌋ + 1 for k = LEAST … MOST, r such that it has 126 bits, in two halves of 63 (Giulietti, 9.8)."""
    found = []
    for k in range(LEAST, MOST + 1):
        power = 10 ** abs(k)
        if k <= 0:
            shift = power.bit_length() - 126
            g = (power >> shift if shift >= 0 else power << -shift) + 1
        else:
            g = (1 << (power.bit_length() + 125)) // power + 1
            assert g.bit_length() == 126
        found.append((g >> 63, g & 0x7FFFFFFFFFFFFFFF))
    return np.array(found, np.uint64)


FIFTHS = _fifths()
SCHUBFACH = _schubfach()
TENS = np.array([10.0**k for k in range(23)])
POWERS = np.array([10**k for k in range(20)], np.uint64)

ZERO, ONE, TWO, THREE, TEN, HUNDRED = U(0), U(1), U(2), U(3), U(10), U(100)
MASK_63 = U(0x7FFFFFFFFFFFFFFF)
HIDDEN = U(1 << 52)
FRACTION = U((1 << 52) - 1)
EXACT = U(1 << 53)

OK, INVALID, HARD = 0, 1, 2
"""What read_number says of a number: read; no JSON number, or none that a double can hold; more digits than it can judge."""


# ------------------------------------------------------------------------------------------------------------ reading


@helper
def scaled(w: Any, q: Any) -> Any:
    """w·10^q for a uint64 w as a double, correctly rounded; inf beyond the range. (Lemire 2021, algorithm 1.)"""
    if w <= EXACT and -22 <= q <= 22:
        return np.float64(w) * TENS[q] if q >= 0 else np.float64(w) / TENS[-q]
    if w == ZERO or q < SMALLEST:
        return 0.0
    if q > LARGEST:
        return np.inf
    zeros = leading_zeros(w)
    w = w << zeros
    at = q - SMALLEST
    high, low = high_product(w, FIFTHS[at, 0]), w * FIFTHS[at, 0]
    if (high & U(0x1FF)) == U(0x1FF):
        second = high_product(w, FIFTHS[at, 1])
        low = low + second
        if second > low:
            high = high + ONE
    upper = high >> U(63)
    mantissa = high >> (upper + U(9))
    power = ((217706 * q) >> 16) + 63 + np.int64(upper) - np.int64(zeros) + 1023
    if power <= 0:  # subnormal
        if power <= -63:
            return 0.0
        mantissa = mantissa >> U(1 - power)
        mantissa = (mantissa + (mantissa & ONE)) >> ONE
        return double_of(mantissa)  # 2^52 is the smallest normal number, in bits as well
    if low <= ONE and -4 <= q <= 23 and (mantissa & THREE) == ONE and (mantissa << (upper + U(9))) == high:
        mantissa = mantissa & ~ONE  # exactly between two doubles: to the even one
    mantissa = (mantissa + (mantissa & ONE)) >> ONE
    if mantissa >= EXACT:
        mantissa = HIDDEN
        power += 1
    if power >= 2047:
        return np.inf
    return double_of((mantissa & FRACTION) | (U(power) << U(52)))


@helper
def digit(s: Any, i: Any) -> Any:
    """Whether a decimal digit stands at i."""
    return i < len(s) and 48 <= s[i] <= 57


@helper
def read_number(s: Any, i: Any) -> Any:
    """The JSON number that starts at s[i]: (end, value, what to think of it).

    `-0` is the integer 0, which has no sign; `-0.0` is −0. Numbers beyond double range are invalid.
    """
    n = len(s)
    negative = i < n and s[i] == 45
    if negative:
        i += 1
    w, digits, q = ZERO, 0, 0
    whole, cut = True, False
    if not digit(s, i):
        return i, 0.0, INVALID
    if s[i] == 48:
        i += 1
        if digit(s, i):
            return i, 0.0, INVALID
    else:
        while digit(s, i):
            if digits < 19:
                w = w * TEN + U(s[i] - 48)
                digits += 1
            else:
                q += 1
                cut = cut or s[i] != 48
            i += 1
    if i < n and s[i] == 46:
        whole = False
        i += 1
        if not digit(s, i):
            return i, 0.0, INVALID
        while digit(s, i):
            if digits < 19:
                w = w * TEN + U(s[i] - 48)
                q -= 1
                if w != ZERO:
                    digits += 1
            else:
                cut = cut or s[i] != 48
            i += 1
    if i < n and (s[i] == 101 or s[i] == 69):
        whole = False
        i += 1
        down = i < n and s[i] == 45
        if i < n and (s[i] == 45 or s[i] == 43):
            i += 1
        if not digit(s, i):
            return i, 0.0, INVALID
        exponent: Any = 0
        while digit(s, i):
            if exponent < 1 << 40:
                exponent = exponent * 10 + np.int64(s[i] - 48)
            i += 1
        q += -exponent if down else exponent
    value = scaled(w, q)
    if cut and scaled(w + ONE, q) != value:
        return i, 0.0, HARD
    if value == np.inf:
        return i, 0.0, INVALID
    if negative and not (whole and w == ZERO):
        value = -value
    return i, value, OK


# ----------------------------------------------------------------------------------------------------------- printing


@helper
def rounded_product(k: Any, c: Any) -> Any:
    """c times the power of ten for k, halved twice, with a last bit that says whether anything was cut off (rop, 9.9)."""
    g1, g0 = SCHUBFACH[k - LEAST, 0], SCHUBFACH[k - LEAST, 1]
    z = ((g1 * c) >> ONE) + high_product(g0, c)
    w = high_product(g1, c) + (z >> U(63))
    return w | (((z & MASK_63) + MASK_63) >> U(63))


@helper
def shortest(x: Any) -> Any:
    """Digits d and exponent k of the shortest decimal d·10^k that reads back to x > 0; of several, the closest.

    d may end in zeros.
    """
    bits = bits_of(x)
    fraction = bits & FRACTION
    biased: Any = np.int64(bits >> U(52))
    if biased == 0:
        q, c = -1074, fraction
    else:
        q, c = biased - 1075, fraction | HIDDEN
        if -53 < q <= 0 and ((c >> U(-q)) << U(-q)) == c:
            return c >> U(-q), 0
    odd = c & ONE
    middle = c << TWO
    if c != HIDDEN or biased <= 1:
        left = middle - TWO
        k = (q * 661971961083) >> 41
    else:  # the next smaller double is closer than the next larger one
        left = middle - ONE
        k = (q * 661971961083 - 274743187321) >> 41
    h = U(q + ((-k * 913124641741) >> 38) + 2)
    v = rounded_product(k, middle << h)
    lower = rounded_product(k, left << h) + odd
    upper = rounded_product(k, (middle + TWO) << h) - odd
    s = v >> TWO
    if s >= TEN:
        tenth = s // TEN
        below = lower <= U(40) * tenth
        above = U(40) * tenth + U(40) <= upper
        if below != above:
            return tenth + (ONE if above else ZERO), k + 1
    below = lower <= U(4) * s
    above = U(4) * s + U(4) <= upper
    if below != above:
        return s + (ONE if above else ZERO), k
    half = U(4) * s + TWO
    up = v > half or (v == half and (s & ONE) != ZERO)
    return s + (ONE if up else ZERO), k


@helper
def write_digits(d: Any, count: Any, out: Any, o: Any) -> None:
    """`count` decimal digits of d from out[o] on."""
    p = o + count
    while p >= o + 2:
        rest = d // HUNDRED
        pair = np.uint32(d - rest * HUNDRED)
        tens = pair // np.uint32(10)
        p -= 2
        out[p] = np.uint8(48 + tens)
        out[p + 1] = np.uint8(48 + pair - tens * np.uint32(10))
        d = rest
    if p > o:
        out[o] = np.uint8(d + U(48))


@helper
def count_digits(d: Any) -> Any:
    """Decimal digits of d, of which there are 17 at most."""
    count = ((64 - np.int64(leading_zeros(d))) * 1233) >> 12
    return count + 1 if d >= POWERS[count] else count


@helper
def fill(out: Any, o: Any, count: Any, byte: Any) -> Any:
    """So many equal bytes; the position behind them."""
    for p in range(o, o + count):
        out[p] = byte
    return o + count


WIDEST = 26
"""No printed double takes more bytes than this (-0.00000123456789012345678 would; it does not occur: 25)."""


@helper
def write_number(x: Any, out: Any, o: Any, canonical: Any) -> Any:
    """The shortest text of a finite double from out[o] on; the position behind it.

    Either as answers have it (`1.0`, `1e+16`, `1e-5`), or canonically, as ECMAScript prints numbers (`1`, `1e+21`,
    `0.00001`: ECMA-262, 6.1.6.1.20; RFC 8785, 3.2.2.3), where −0 is `0`.
    """
    if (bits_of(x) >> U(63)) != ZERO and not (canonical and x == 0.0):
        out[o] = 45
        o += 1
        x = -x
    if x == 0.0:
        out[o] = 48
        if canonical:
            return o + 1
        out[o + 1] = 46
        out[o + 2] = 48
        return o + 3
    d, k = shortest(x)
    while True:  # zeros at the end
        tenth = d // TEN
        if tenth * TEN != d:
            break
        d = tenth
        k += 1
    count = count_digits(d)
    point = count + k
    most, least = (21, -6) if canonical else (16, -5)
    if count <= point <= most:
        write_digits(d, count, out, o)
        o = fill(out, o + count, point - count, 48)
        if canonical:
            return o
        out[o] = 46
        out[o + 1] = 48
        return o + 2
    if 0 < point <= most:
        write_digits(d, count, out, o + 1)
        for p in range(o, o + point):
            out[p] = out[p + 1]
        out[o + point] = 46
        return o + count + 1
    if least < point <= 0:
        out[o] = 48
        out[o + 1] = 46
        o = fill(out, o + 2, -point, 48)
        write_digits(d, count, out, o)
        return o + count
    write_digits(d, count, out, o + 1)
    out[o] = out[o + 1]
    if count > 1:
        out[o + 1] = 46
        o += count + 1
    else:
        o += 1
    out[o] = 101
    o += 1
    e = point - 1
    if e < 0:
        out[o] = 45
        o += 1
        e = -e
    else:
        out[o] = 43
        o += 1
    width = 1 if e < 10 else 2 if e < 100 else 3
    write_digits(U(e), width, out, o)
    return o + width
