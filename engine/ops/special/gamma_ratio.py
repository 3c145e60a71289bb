"""Differences of log Γ and its derivatives without cancellation: what ratios of gamma functions and their derivatives are."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from engine.aval import Array, Aval, Avals
from engine.builder import Var
from engine.op import General, Op, registry
from engine.ops.special.gamma import polygamma_values
from engine.ops.special.tower import in_double
from engine.transforms.strong import times

BERNOULLI = (
    1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730, 7 / 6, -3617 / 510, 43867 / 798, -174611 / 330,
    854513 / 138, -236364091 / 2730,
)  # fmt: skip
"""B₂, B₄, …"""


def log_gamma_ratio(x: Array, h: Array) -> Array:
    """log Γ(x + h) − log Γ(x) for x ≥ 10 and x + h ≥ 10: Stirling's series (DLMF 5.11.1), term by term."""
    log = np.log1p(h / x)
    total = (x - 0.5) * log + h * (np.log(x + h) - 1.0)
    for k, number in enumerate(BERNOULLI, start=1):
        total = total + number / (2 * k * (2 * k - 1)) * x ** (1.0 - 2 * k) * np.expm1((1 - 2 * k) * log)
    return np.asarray(total)


def polygamma_difference(n: int, x: Array, h: Array) -> Array:
    """ψ⁽ⁿ⁾(x + h) − ψ⁽ⁿ⁾(x) without cancellation, for x > 0 and x + h > 0; elsewhere simply the difference.

    Both are moved up by the recurrence and taken from the asymptotic series (DLMF 5.15.5, 5.11.2, 5.15.8), term by term as
    (z + h)⁻ᵐ − z⁻ᵐ = z⁻ᵐ·expm1(−m·log1p(h/z)).
    """
    x, h = np.broadcast_arrays(x, h)
    proper = (x > 0) & (x + h > 0)
    z, step = np.where(proper, x, 1.0), np.where(proper, h, 0.0)
    up = 16 + n
    sign = (-1.0) ** (n + 1)

    def change(at: Array, m: int) -> Array:
        ratio = step / at
        log = np.where(np.abs(ratio) < 0.5, np.log1p(ratio), np.log((at + step) / at))
        return np.asarray(at ** float(-m) * np.expm1(-m * log))

    total = np.zeros_like(z)
    for k in range(up):
        total = total + change(z + k, n + 1)
    total = total * math.factorial(n)
    far = z + up
    if n == 0:
        total = total - np.log1p(step / far)
    else:
        total = total + math.factorial(n - 1) * change(far, n)
    total = total + math.factorial(n) / 2 * change(far, n + 1)
    for k, number in enumerate(BERNOULLI, start=1):
        size = math.exp(math.lgamma(2 * k + n) - math.lgamma(2 * k + 1))
        total = total + number * size * change(far, 2 * k + n)
    rough = polygamma_values(n, np.asarray(x + h)) - polygamma_values(n, np.asarray(x))
    return np.where(proper & np.isfinite(x) & np.isfinite(h), sign * total, rough)


class PolygammaDifference(Op):
    """ψ⁽ⁿ⁾(x + h) − ψ⁽ⁿ⁾(x): derivatives of ratios of gamma functions, where the difference itself would cancel."""

    name = "polygamma_difference"
    family = "core"
    internal = True
    elementwise = True
    rules = (General(), General())
    convention = "At the poles of ψ it is NaN."

    def infer(self, *avals: Aval, **params: Any) -> Avals:
        """The operands' shape."""
        return max(avals, key=lambda a: len(a.shape))

    def evaluate(self, *arrays: Any, **params: Any) -> Any:
        """The difference, in double precision."""
        n = params.get("order", 0)
        return in_double(lambda x, h: polygamma_difference(n, x, h))(*arrays)

    def jvp(self, y: Any, xs: Sequence[Var], dxs: Sequence[Var | None], **params: Any) -> Any:
        """The difference of the next order times ẋ, and ψ⁽ⁿ⁺¹⁾(x + h)·ḣ."""
        (x, h), (dx, dh) = xs, dxs
        order = params.get("order", 0) + 1
        total = None
        if dx is not None:
            total = times(dx, x.b.write(self, x, h, order=order))
        if dh is not None:
            along = times(dh, x.b.write("digamma", x + h, order=order))
            total = along if total is None else total + along
        return total

    def flops(self, operands: Sequence[Aval], result: Avals, **params: Any) -> float:
        """Some thirty terms of an exponential and a logarithm."""
        return 1500.0 * max(a.size for a in operands)


registry.add(PolygammaDifference())
