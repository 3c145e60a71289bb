"""Where sliding windows stand: kernel sizes, strides, dilations and padding of convolutions and poolings.

Everything is static, and decided before anything is allocated. Axes are the trailing ones; the sizes are PyTorch's and
ONNX's: a window spans dilation·(kernel − 1) + 1 entries, and there are ⌊(n + before + behind − span) / stride⌋ + 1 of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from engine.attrs import integer, text
from engine.aval import Array, Aval, Shape
from engine.builder import Builder, GraphBuilder, Var, broadcast_to
from engine.errors import InvalidAttribute, ShapeMismatch
from engine.op import Kind

MOST = 2**31
"""Larger than any axis; a kernel, stride or padding beyond it is a mistake."""

# ------------------------------------------------------------------------------------------------------------ attributes


def _within(low: int) -> Callable[[Any], int]:
    def check(value: Any) -> int:
        n = integer(value)
        if n < low:
            raise ValueError(f"{n} is below {low}")
        if n > MOST:
            raise ValueError(f"{n} is more than an axis can have")
        return n

    return check


def _listed(check: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def go(value: Any) -> Any:
        if not isinstance(value, list | tuple):
            return check(value)
        if len(value) > 64:
            raise ValueError(f"it has {len(value)} entries")
        return tuple(map(check, value))

    return go


LENGTHS = Kind("a positive integer, or one for each spatial axis", _listed(_within(1)))
EXTRA = Kind("an integer of at least 0, or one for each spatial axis", _listed(_within(0)))

AUTO = ("notset", "valid", "same", "same_upper", "same_lower")


def _padding(value: Any) -> Any:
    if isinstance(value, str):
        word = text(value).lower()
        if word not in AUTO[1:]:
            raise ValueError(f"'{value[:20]}' is neither 'same' nor 'valid'")
        return word
    width = _within(0)
    if isinstance(value, list | tuple) and any(isinstance(v, list | tuple) for v in value):
        if len(value) > 64 or not all(isinstance(v, list | tuple) and len(v) == 2 for v in value):
            raise ValueError("a list of pairs holds (before, behind) for each axis")
        return tuple((width(p), width(q)) for p, q in value)
    return _listed(width)(value)


PADDING = Kind(
    "'valid', 'same', an integer, one for each spatial axis, all of those before and then all behind, or pairs",
    _padding,
)


def _auto(value: Any) -> str:
    word = text(value).lower()
    if word not in AUTO:
        raise ValueError(f"'{value[:20]}' is none of NOTSET, VALID, SAME_UPPER and SAME_LOWER")
    return word


AUTO_PAD = Kind("one of 'NOTSET', 'VALID', 'SAME_UPPER', 'SAME_LOWER'", _auto)


def per_axis(op: str, what: str, value: int | Sequence[int], k: int) -> tuple[int, ...]:
    """A number for each of k axes, from one for all or a list. Raises `InvalidAttribute`."""
    listed = (value,) * k if isinstance(value, int) else tuple(value)
    if len(listed) == 1:
        listed *= k
    if len(listed) != k:
        raise InvalidAttribute(
            f"{op}: {what} must be one integer or {k}, one for each spatial axis; {list(listed)} are {len(listed)}."
        )
    return listed


# -------------------------------------------------------------------------------------------------------------- geometry


@dataclass(frozen=True, slots=True)
class Frame:
    """Windows over the trailing axes of sizes `shape`, padded by `before` and `behind`; `op` is named in errors."""

    op: str
    shape: Shape
    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    before: tuple[int, ...]
    behind: tuple[int, ...]
    extra: tuple[int, ...]
    """Beyond the padding, where windows stand over (`ceil_mode`): never part of an average."""

    @property
    def padded(self) -> Shape:
        """Sizes with all padding."""
        parts = zip(self.shape, self.before, self.behind, self.extra, strict=True)
        return tuple(n + p + q + e for n, p, q, e in parts)

    @property
    def positions(self) -> Shape:
        """How many windows stand along each axis."""
        parts = zip(self.padded, self.kernel, self.dilations, self.strides, strict=True)
        return tuple((n - span(w, d)) // s + 1 for n, w, d, s in parts)

    @property
    def touches_padding(self) -> bool:
        """Whether there is any."""
        return self.padded != self.shape

    def pad(self, x: Var) -> Var:
        """x with zeros around its trailing axes."""
        if not self.touches_padding:
            return x
        index = tuple((p, p + n, 1) for p, n in zip(self.before, self.shape, strict=True))
        result: Var = x.b.write("embed", x, index=index, shape=self.padded)
        return result

    def windows(self, x: Var) -> Var:
        """All windows of x: [*lead, *positions, *kernel]."""
        result: Var = x.b.write(
            "windows", self.pad(x), sizes=self.kernel, strides=self.strides, dilations=self.dilations
        )
        return result

    def mask(self, b: Builder) -> Var:
        """Which entries of the windows are no padding: bool [*positions, *kernel]."""
        return self.windows(broadcast_to(b.var(np.asarray(True)), self.shape))

    def counts(self, b: Builder, *, with_padding: bool) -> list[Array]:
        """How many entries each window has along each axis, padding counted or not (what `ceil_mode` adds never is)."""
        found = []
        for a, n in enumerate(self.shape):
            check_axis(b, self.positions[a])
            first = np.arange(self.positions[a]) * self.strides[a] - self.before[a]
            low, high = (-self.before[a], n + self.behind[a]) if with_padding else (0, n)
            d = self.dilations[a]
            # Entry w stands at first + w·d: the least and the largest w that are inside.
            least = np.maximum(-((first - low) // d), 0)
            most = np.minimum((high - 1 - first) // d, self.kernel[a] - 1)
            found.append(np.maximum(most - least + 1, 0))
        return found

    def check_windows_hold_something(self, b: Builder) -> None:
        """Raise `InvalidAttribute` for a window that holds nothing but padding."""
        for a, counts in enumerate(self.counts(b, with_padding=False)):
            if counts.size and not counts.all():
                raise InvalidAttribute(
                    f"{self.op}: with kernel {self.kernel[a]}, dilation {self.dilations[a]} and padding "
                    f"{self.before[a]} and {self.behind[a]}, window {int(np.argmin(counts))} along spatial axis {a} (size "
                    f"{self.shape[a]}) holds nothing but padding; padding must be smaller than the window."
                )


def check_axis(b: Builder, n: int) -> None:
    """Raise `LimitExceeded` for an axis that is too long, be it part of an array without elements."""
    if isinstance(b, GraphBuilder):
        b.check(Aval((n,), "int64"))


def span(kernel: int, dilation: int) -> int:
    """Entries from the first to the last of a window."""
    return dilation * (kernel - 1) + 1


def frame(
    op: str,
    x: Var,
    kernel: Sequence[int],
    *,
    stride: Any,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    auto_pad: str = "notset",
) -> Frame:
    """The windows over the last axes of x, as many as `kernel` has sizes.

    Raises `InvalidAttribute` for lists of a wrong length, `ShapeMismatch` for windows that do not fit.
    """
    k = len(kernel)
    shape = x.shape[x.rank - k :]
    strides, dilations = per_axis(op, "stride", stride, k), per_axis(op, "dilation", dilation, k)
    spans = [span(w, d) for w, d in zip(kernel, dilations, strict=True)]
    before, behind = _pads(op, shape, spans, strides, padding, auto_pad)
    extra = []
    for a, n in enumerate(shape):
        room = n + before[a] + behind[a] - spans[a]
        if room < 0:
            raise ShapeMismatch(
                f"{op}: a window of {_window(kernel[a], dilations[a])} does not fit axis {x.rank - k + a} of "
                f"{list(x.shape)}, which has {n} entries and {before[a] + behind[a]} of padding; "
                f"it needs at least {spans[a]}."
            )
        over = -room % strides[a] if ceil_mode else 0
        # A last window that would start in the padding behind the array is left out.
        count = (room + over) // strides[a] + 1
        extra.append(over if (count - 1) * strides[a] < n + before[a] else 0)
    return Frame(op, shape, tuple(kernel), strides, dilations, tuple(before), tuple(behind), tuple(extra))


def _window(kernel: int, dilation: int) -> str:
    spread = f" with dilation {dilation}" if dilation != 1 else ""
    return f"{kernel} entr{'y' if kernel == 1 else 'ies'}{spread}"


def _pads(
    op: str, shape: Shape, spans: Sequence[int], strides: Sequence[int], padding: Any, auto_pad: str
) -> tuple[list[int], list[int]]:
    """Padding before and behind each axis."""
    k = len(shape)
    if auto_pad != "notset":
        if padding != 0:
            raise InvalidAttribute(f"{op}: give either the padding or auto_pad, not both.")
        padding = auto_pad
    if padding == "valid":
        return [0] * k, [0] * k
    if isinstance(padding, str):
        before, behind = [], []
        for n, w, s in zip(shape, spans, strides, strict=True):
            total = max((-(-n // s) - 1) * s + w - n, 0)
            small, large = total // 2, total - total // 2
            before.append(large if padding == "same_lower" else small)
            behind.append(small if padding == "same_lower" else large)
        return before, behind
    if isinstance(padding, tuple) and padding and isinstance(padding[0], tuple):
        if len(padding) != k:
            raise InvalidAttribute(
                f"{op}: padding has {len(padding)} pairs; there {'is' if k == 1 else 'are'} {k} spatial "
                f"ax{'is' if k == 1 else 'es'}."
            )
        return [p for p, _ in padding], [q for _, q in padding]
    if isinstance(padding, tuple) and len(padding) == 2 * k:
        return list(padding[:k]), list(padding[k:])
    same = per_axis(op, "padding", padding, k)
    return list(same), list(same)


def ramp(*shape: int) -> Any:
    """Numbers without a pattern, none of them 0, for examples."""
    n = prod(shape)
    return ((np.arange(n) * 37 % 23 - 11.5) / 8).reshape(shape).tolist()
