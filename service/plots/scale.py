"""Numbers of any size as places on paper.

Matplotlib computes with spans and products of what it draws, which overflow for numbers near the ends of the double range
and vanish for a span of a few units in the last place. What it gets from here is always of moderate size.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from engine.aval import Array

if TYPE_CHECKING:
    from matplotlib.axis import Axis

LARGE, SMALL = 1e100, 1e-100
FINE = 1e-9
"""A span that is a smaller part of its ends than this is labelled by what is added to the first."""

FAR = 1e3
"""So many spans outside of the picture is as good as any farther."""

_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def number(x: float, digits: int = 4) -> str:
    """A number in as few characters as tell it to so many digits."""
    if not np.isfinite(x):
        return "NaN" if np.isnan(x) else "∞" if x > 0 else "−∞"
    text = f"{x:.{digits}g}"
    if 1e-4 <= abs(x) < 1e6:
        text = f"{float(text):.15g}"
    mantissa, _, exponent = text.partition("e")
    if exponent:
        ten = "10" + str(int(exponent)).translate(_RAISED)
        text = ten if mantissa == "1" else f"-{ten}" if mantissa == "-1" else f"{mantissa}·{ten}"
    return text.replace("-", "−")


def power(k: int) -> str:
    """A power of ten."""
    return "10" + str(k).translate(_RAISED) if k not in (0, 1) else str(10**k)


class Linear:
    """A range of an axis, from the smallest to the largest of the finite `values`."""

    def __init__(self, values: Array) -> None:
        finite = np.asarray(values, np.float64)
        finite = finite[np.isfinite(finite)]
        self.low = float(finite.min()) if finite.size else 0.0
        self.high = float(finite.max()) if finite.size else 1.0
        most = max(abs(self.low), abs(self.high))
        half = self.high / 2 - self.low / 2
        self.flat = half == 0.0
        self.plain = not self.flat and most < LARGE and half > max(SMALL, FINE * most)
        """Whether Matplotlib can have the numbers as they are."""

    def __call__(self, values: Any) -> Array:
        """Places: the numbers themselves, or 0 to 1 over the range."""
        x = np.asarray(values, np.float64)
        if self.plain:
            span = self.high - self.low
            return np.where(np.isfinite(x), np.clip(x, self.low - FAR * span, self.high + FAR * span), np.nan)
        if self.flat:
            return np.where(np.isfinite(x), 0.5 + np.sign(x - self.low), np.nan)
        with np.errstate(all="ignore"):
            t = (x / 2 - self.low / 2) / (self.high / 2 - self.low / 2)
        t = np.where(np.isfinite(x), np.nan_to_num(t, nan=np.nan, posinf=1 + FAR, neginf=-FAR), np.nan)
        return np.where(np.isfinite(t), np.clip(t, -FAR, 1 + FAR), np.nan)

    @property
    def ends(self) -> tuple[float, float]:
        """Places of the ends."""
        return (self.low, self.high) if self.plain else (0.0, 1.0)

    def label(self, axis: Axis) -> None:
        """Ticks, where Matplotlib's own would not do."""
        if self.plain:
            return
        if self.flat:
            axis.set_ticks([0.5], [number(self.low, 6)])
            return
        at = np.linspace(0.0, 1.0, 5)
        numbers = [self.low * (1 - t) + self.high * t for t in at]
        most = max(abs(self.low), abs(self.high))
        if self.high / 2 - self.low / 2 > FINE * most:
            axis.set_ticks(list(at), [number(x) for x in numbers])
        else:
            base = number(self.low, 6)
            axis.set_ticks(list(at), [base, *[f"{base} + {number(x - self.low, 3)}" for x in numbers[1:]]])


class Logarithmic:
    """A range of decades: positive numbers are drawn as their logarithms to the base of 10, others not at all."""

    def __init__(self, values: Array) -> None:
        x = np.asarray(values, np.float64)
        x = x[np.isfinite(x) & (x > 0)]
        low = float(np.log10(x.min())) if x.size else 0.0
        high = float(np.log10(x.max())) if x.size else 1.0
        margin = max(0.04 * (high - low), 0.15)
        self.ends = (low - margin, high + margin)

    def __call__(self, values: Any) -> Array:
        """Logarithms; NaN where there is none."""
        x = np.asarray(values, np.float64)
        found: Array = np.log10(np.where(np.isfinite(x) & (x > 0), x, np.nan))
        return found

    def label(self, axis: Axis, most: int = 8) -> None:
        """Ticks at powers of ten, or at 1, 2 and 5 times them where there are few."""
        low, high = self.ends
        first, last = int(np.ceil(low)), int(np.floor(high))
        step = max(1, -(-(last - first + 1) // most))
        decades = [k for k in range(first, last + 1) if k % step == 0]
        if len(decades) >= 3:
            axis.set_ticks([float(k) for k in decades], [power(k) for k in decades])
            if step == 1:
                minor = np.log10(np.arange(2, 10))
                fine = [k + m for k in range(first - 1, last + 1) for m in minor if low < k + m < high]
                axis.set_ticks(fine, minor=True)
            return
        for wanted in ((1, 2, 5), range(1, 10)):
            at = [(k + np.log10(m), m, k) for k in range(first - 1, last + 2) for m in wanted]
            found = [(x, number(m * 10.0**k)) for x, m, k in at if low <= x <= high]
            if len(found) >= 3:
                break
        else:
            found = [(x, number(10.0**x)) for x in np.linspace(low, high, 4)]
            if abs(low) < 100 and abs(high) < 100:
                found = [(float(np.log10(x)), number(x, 6)) for x in _round(10.0**low, 10.0**high, 5)]
        axis.set_ticks([x for x, _ in found], [text for _, text in found])


def _round(low: float, high: float, count: int) -> list[float]:
    """About so many round numbers from a range."""
    from matplotlib.ticker import MaxNLocator

    found = MaxNLocator(count, steps=[1, 2, 2.5, 5, 10]).tick_values(low, high)
    return [float(x) for x in found if low <= x <= high]


class Levels:
    """Heights as colours from 0 to 1, so that what there is to be seen is seen: where most of the heights lie in a small part
    of their range (a valley with steep sides, a pole), that part gets its share, as on a logarithmic scale.

    The colour of a height z is asinh((z − c)/s), stretched to 0 … 1: c is the lowest height, the highest, or the median, where
    low heights, high ones, or those in between are crowded; and s is such that they have their share. It is linear where none
    are.
    """

    CROWDED = 0.25
    """Half of all heights in a smaller part of their range than this are crowded."""
    SHARE = 0.2
    """Of the colours, for the tenth of the heights that is nearest to where they are crowded."""

    def __init__(self, surface: Array) -> None:
        z = np.asarray(surface, np.float64)
        z = z[np.isfinite(z)]
        self.empty = not z.size
        low, high = (0.0, 0.0) if self.empty else (float(z.min()), float(z.max()))
        self.unit = max(abs(low), abs(high))
        if SMALL < self.unit < LARGE or self.unit == 0.0:
            self.unit = 1.0
        self.low, self.high = low / self.unit, high / self.unit
        span = self.high - self.low
        self.flat = not span > 8 * np.finfo(np.float64).eps * max(abs(self.low), abs(self.high))
        self.centre, self.width = self.low, np.inf
        if not self.flat:
            z = z / self.unit
            first, middle, third = np.quantile(z, (0.25, 0.5, 0.75))
            if middle - self.low < self.CROWDED * span:
                self.width = _width(z - self.low, span, self.SHARE)
            elif self.high - middle < self.CROWDED * span:
                self.centre = self.high
                self.width = _width(self.high - z, span, self.SHARE)
            elif third - first < self.CROWDED / 2 * span:
                self.centre = float(middle)
                self.width = _width(np.abs(z - middle), float(np.abs(z - middle).max()), self.SHARE)
        self.crowded = bool(np.isfinite(self.width))
        self._ends = [self._raw(x) for x in (self.low, self.high)]

    def _raw(self, z: Any) -> Any:
        return np.arcsinh((z - self.centre) / self.width) if np.isfinite(self.width) else z

    def __call__(self, surface: Any) -> Array:
        """Colours of heights; NaN for what is not finite."""
        z = np.asarray(surface, np.float64)
        z = np.where(np.isfinite(z), z, np.nan) / self.unit
        if self.flat:
            return np.where(np.isnan(z), np.nan, 0.5)
        low, high = self._ends
        found: Array = np.clip((self._raw(z) - low) / (high - low), 0.0, 1.0)
        return found

    def height(self, t: float) -> float:
        """The height of a colour, in units of `unit`."""
        low, high = self._ends
        raw = low + t * (high - low)
        return float(self.centre + self.width * np.sinh(raw)) if self.crowded else float(raw)

    def ticks(self, count: int = 7) -> list[tuple[float, str]]:
        """Round heights for a bar of colours: where they are, and how they are written."""
        if self.flat:
            return [(0.5, number(self.low * self.unit, 6))]
        if self.crowded:
            inner = [self._rounded(self.height(t)) for t in np.linspace(0.0, 1.0, count)[1:-1]]
            wanted = [self.low, *inner, self.high]
        else:
            wanted = _round(self.low, self.high, count)
        base = number(self.low * self.unit, 6)
        fine = self.high - self.low < 1e-5 * max(abs(self.low), abs(self.high))
        if fine:
            wanted = [self.low, *[self.low + t * (self.high - self.low) for t in (0.25, 0.5, 0.75, 1.0)]]
        ticks: list[tuple[float, str]] = []
        for z in wanted:
            at, text = float(self(z * self.unit)), number(z * self.unit, 3 if self.crowded else 6)
            if fine:
                text = base if z == self.low else f"+ {number((z - self.low) * self.unit, 3)}"
            if not ticks or (at - ticks[-1][0] > 0.04 and text != ticks[-1][1]):
                ticks.append((at, text))
        return ticks

    def _rounded(self, z: float) -> float:
        """To one digit of its distance from the centre, if that keeps it in the range."""
        distance = abs(z - self.centre)
        if distance < 1e-9 * (self.high - self.low):
            return 0.0 if self.low < 0 < self.high and abs(z) < 1e-6 * (self.high - self.low) else z
        digits = int(np.floor(np.log10(distance)))
        rounded = round(z, -digits) if -300 < digits < 300 else z
        return rounded if self.low <= rounded <= self.high else z


def _width(distance: Array, most: float, share: float) -> float:
    """s, such that the tenth of the distances d > 0 that is the smallest has asinh(d/s)/asinh(most/s) up to `share`; ∞ where it
    has so much of a linear scale."""
    apart = distance[distance > 0]
    near = float(np.quantile(apart, 0.1)) if apart.size else 0.0
    if near >= share * most or not near > 0:
        return float(np.inf)
    low, high = np.log(near) - 3.0, np.log(most) + 7.0
    for _ in range(60):
        middle = (low + high) / 2
        s = np.exp(middle)
        if np.arcsinh(near / s) < share * np.arcsinh(most / s):
            high = middle
        else:
            low = middle
    return float(np.exp((low + high) / 2))
