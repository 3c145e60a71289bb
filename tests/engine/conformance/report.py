"""What a check is given to compare with, and what it reports."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from engine.op import Example, Op


class Reference(NamedTuple):
    """What an op is compared with.

    `value` takes the operands as arrays (None where absent) and the attributes by name. `exact` is the same for an
    elementwise op on mpmath numbers, for derivatives to many digits. `examples` are added to the op's own. Where the
    derivative is by design not that of the value (stop_gradient), `derived` is the function that it is of: it takes the
    operands at the point, as a tuple, before the operands that move.
    """

    value: Callable[..., Any]
    exact: Callable[..., Any] | None = None
    examples: tuple[Example, ...] = ()
    derived: Callable[..., Any] | None = None


@dataclass(frozen=True)
class Fixed:
    """An operand of an example that is a literal of the program, no input: x**0 is smooth in x at 0, but not in both."""

    value: Any


class Trouble(NamedTuple):
    """Something an op does not show: by which check, and what happened."""

    check: str
    detail: str


@dataclass
class Report:
    """Outcome of all checks of one op; `counts` are comparisons made, by check."""

    op: Op
    troubles: list[Trouble] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)

    def trouble(self, check: str, detail: str) -> None:
        """Note something wrong."""
        self.troubles.append(Trouble(check, detail))

    def equal(
        self,
        check: str,
        got: Any,
        expected: Any,
        what: str,
        *,
        rtol: float,
        atol: Any = 0.0,
        where: str = "",
    ) -> None:
        """Compare two arrays entry by entry; equal infinities and NaNs are equal.

        `where="expected"` leaves out what is not expected to be finite, `where="both"` what is not finite in either.
        """
        a, e = np.asarray(got), np.asarray(expected)
        if a.shape != e.shape:
            self.trouble(check, f"{what}: shape {a.shape}, expected {e.shape}")
            return
        if a.dtype.kind == "f" or e.dtype.kind == "f":
            a, e = a.astype(np.float64), e.astype(np.float64)
        if a.dtype.kind != "f":
            wrong = a != e
            compared = a.size
        else:
            both = np.isfinite(a) & np.isfinite(e)
            with np.errstate(all="ignore"):
                near = both & (np.abs(a - e) <= rtol * np.abs(e) + atol)
            wrong = ~(near | (a == e) | (np.isnan(a) & np.isnan(e)))
            compared = int(both.sum())
            if where:
                wrong &= both if where == "both" else np.isfinite(e)
        self.counts[check] += compared
        if wrong.any():
            at = tuple(int(i) for i in np.argwhere(wrong)[0])
            count = f"{int(wrong.sum())} of {a.size}"
            self.trouble(check, f"{what}: at {list(at)} {a[at]!r}, expected {e[at]!r} ({count})")
