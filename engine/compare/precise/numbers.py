"""Arithmetic with many digits: arrays of mpmath's numbers, and a budget.

Precision is state of an mpmath context, so each request has a context of its own. Constants and coefficients that mpmath keeps
are shared by all contexts and not safe under threads: whoever computes holds `LOCK`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from mpmath import libmp  # type: ignore[import-untyped]  # ships no types
from mpmath.ctx_mp import MPContext  # type: ignore[import-untyped]

from engine.aval import Array
from engine.execute.meter import Meter
from engine.op import Op

LOCK = threading.Lock()
"""Held while mpmath computes."""

MOST_BITS = 1 << 16
"""Numbers beyond 2 to this power are infinite before a function is taken of them: an exponential of one would never end."""

MOST_SECONDS = 10.0
"""What all of it may take of a processor's time, if the tables of costs should have been wrong."""

EVERY = 64
"""Entries between two looks at the meter."""

DIVIDED = (ZeroDivisionError, ValueError, OverflowError, libmp.NoConvergence, NotImplementedError, TypeError)
"""What mpmath raises where a function has no value, or none that it finds."""

Function = Callable[..., Any]


class Unavailable(Exception):
    """There is no high-precision value; the text says why, `node` is the op's node in the graph, if that is known."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return self.reason


class Arithmetic:
    """Numbers of `digits` decimal digits, and what computing with them has cost.

    Costs are counted in microseconds as they are about, from tables and not by the clock, so that answers do not depend on how
    busy the machine is. Beyond `most` `Unavailable` is raised.
    """

    def __init__(self, digits: int, meter: Meter, most: float) -> None:
        self.c: Any = MPContext()
        self.c.dps = digits
        self.meter = meter
        self.most = most
        self.spent = 0.0
        self.until = time.thread_time() + MOST_SECONDS
        self.zero, self.one = self.c.mpf(0), self.c.mpf(1)

    def charge(self, cost: float) -> None:
        """Note a cost. Raises `Unavailable` beyond the budget, and what the meter raises."""
        self.spent += cost
        if self.spent > self.most or time.thread_time() > self.until:
            raise Unavailable(
                "one evaluation with so many digits takes longer than a comparison may; it is possible for smaller programs"
            )
        self.meter.check()

    def number(self, value: Any) -> Any:
        """A double (or integer) exactly."""
        return self.c.mpf(value if isinstance(value, int) else float(value))

    def exact(self, array: Any) -> Array:
        """Doubles, or numbers of this arithmetic among integers, as an array of such numbers."""
        given = np.asarray(array)
        flat = [v if isinstance(v, self.c.mpf) else self.c.mpf(v) for v in given.reshape(-1).tolist()]
        out = np.empty(len(flat), object)
        out[:] = flat
        return out.reshape(given.shape)

    def rounded(self, array: Any) -> Array:
        """The nearest doubles."""
        given = np.asarray(array)
        if given.dtype != object:
            return given
        return np.array([float(v) for v in given.reshape(-1)], np.float64).reshape(given.shape)

    def apply(self, fn: Function, op: Op, params: Mapping[str, Any], *arrays: Any) -> Array:
        """fn(context, *entries, **params) for the entries of arrays that broadcast together; masks where it gives booleans."""
        given = [np.asarray(a) for a in arrays]
        shape = np.broadcast_shapes(*[a.shape for a in given])
        flat = [np.broadcast_to(a, shape).reshape(-1).tolist() for a in given]
        found: list[Any] = []
        for k, entries in enumerate(zip(*flat, strict=True)):
            if not k % EVERY:
                self.meter.check()
            found.append(self.one_value(fn, op, params, entries))
        if found and all(type(v) is bool for v in found):
            return np.array(found, bool).reshape(shape)
        out = np.empty(len(found), object)
        out[:] = found
        return out.reshape(shape)

    def one_value(self, fn: Function, op: Op, params: Mapping[str, Any], entries: tuple[Any, ...]) -> Any:
        """One entry; NaN where the value is complex. Where mpmath has none (at a pole, beside infinities) it is what the op
        gives for doubles, if that is no finite number but a plain one."""
        c = self.c
        try:
            y = fn(c, *entries, **params)
        except DIVIDED:
            y = None
        if isinstance(y, c.mpc):
            y = y.real if abs(y.imag) <= abs(y.real) * c.ldexp(1, -c.prec // 2) else c.nan
        unsure = isinstance(y, c.mpf) and c.isnan(y) and not all(c.isfinite(v) for v in entries)
        if y is None or unsure:
            doubles = [v if isinstance(v, bool) else np.float64(float(v)) for v in entries]
            with np.errstate(all="ignore"):
                rough = float(op.evaluate(*doubles, **params))
            if np.isfinite(rough) and rough not in (-1.0, 0.0, 1.0):
                shown = ", ".join(f"{float(v):.6g}" for v in entries)
                raise Unavailable(
                    f"there is no high-precision value of {op.name.removeprefix('core.')} at {shown}"
                )
            return c.mpf(rough)
        return y


def bounded(c: Any, x: Any) -> Any:
    """x, or an infinity where it is beyond the range that functions are taken in."""
    return x if not c.isfinite(x) or not x or c.mag(x) < MOST_BITS else c.inf * c.sign(x)
