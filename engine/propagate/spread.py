"""The arithmetic of Σ_y = J Σ_x Jᵀ, for blocks of J that lead with a batch axis.

With A = J·diag(s), Σ_y = A R Aᵀ. A derivative of 0 is a strong zero: what an output does not depend on adds nothing to its
variance, however uncertain it is. Standard deviations and shares are computed of rows of A over their largest entry, so they
neither overflow nor vanish where squares would; covariances, which are such squares, may.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from engine.aval import Array
from engine.execute.meter import Meter
from engine.propagate.uncertain import Uncertain

STEP_FLOPS = 4e8
"""Operations between two looks at the meter."""


class Spread:
    """One output: `blocks` are its derivatives float64[B, m, size] by uncertain node."""

    def __init__(
        self, blocks: Mapping[int, Array], of: Uncertain, rows: tuple[int, int], meter: Meter
    ) -> None:
        self.meter = meter
        self.rows = rows
        """Members and entries."""
        scaled: dict[int, Array] = {}
        for i, block in blocks.items():
            meter.look()
            scaled[i] = np.where(block == 0, 0.0, block * of.std[i][:, None, :])
        self.group = list(of.group)
        self.ends = np.cumsum([scaled[i].shape[2] for i in self.group], dtype=np.int64).tolist()
        self.parts = {i: a for i, a in scaled.items() if i not in self.group}
        """A of the nodes that are independent of all others."""
        self.together: Array | None = None
        """A of the others, in the order of R; and A·R."""
        self.crossed: Array | None = None
        if of.correlation is not None:
            self.together = np.concatenate([scaled[i] for i in self.group], axis=2)
            self.crossed = np.empty_like(self.together)
            for k, a in enumerate(self.together):
                self.crossed[k] = _product(a, of.correlation[k % len(of.correlation)], meter)

    def deviations(self) -> tuple[Array, dict[int, Array]]:
        """Standard deviation float64[B, m], and what part of the variance is due to each uncertain node.

        A node's part is Σ_i A_i (A R)_i over its entries i: of a covariance of two nodes, which enters twice, each has one
        half, so that parts always sum to 1. They can be negative. Where the variance is 0 they are 0.
        """
        scale = np.zeros(self.rows)
        for a in [*self.parts.values(), *([] if self.together is None else [self.together])]:
            if a.shape[2]:
                scale = np.maximum(scale, np.abs(a).max(axis=2))
        safe = np.where((scale > 0) & np.isfinite(scale), scale, 1.0)[:, :, None]
        shares: dict[int, Array] = {}
        for i, a in self.parts.items():
            self.meter.look()
            scaled = a / safe
            shares[i] = np.einsum("bmk,bmk->bm", scaled, scaled)
        if self.together is not None and self.crossed is not None:
            products = (self.together / safe) * (self.crossed / safe)
            begin = 0
            for i, end in zip(self.group, self.ends, strict=True):
                shares[i] = products[:, :, begin:end].sum(axis=2)
                begin = end
        variance = np.zeros(self.rows)
        for share in shares.values():
            variance = variance + share
        # Correlations that are rounded may leave a little less than nothing.
        variance = np.where(variance < 0, 0.0, variance)
        std = np.where(np.isfinite(scale), safe[:, :, 0] * np.sqrt(variance), scale)
        std = np.where(scale == 0, 0.0, std)
        zero = variance == 0
        return std, {
            i: np.where(zero, 0.0, share / np.where(zero, 1.0, variance)) for i, share in shares.items()
        }

    def covariance(self, other: Spread) -> Array:
        """Covariances float64[B, m, m'] of this output and another, or itself."""
        members, m = self.rows
        total = np.zeros((members, m, other.rows[1]))
        for i, a in self.parts.items():
            for k in range(members):
                total[k] += _product(a[k], other.parts[i][k].T, self.meter)
        if self.together is not None and other.crossed is not None:
            for k in range(members):
                total[k] += _product(self.together[k], other.crossed[k].T, self.meter)
        return (total + total.transpose(0, 2, 1)) / 2 if other is self else total


def _product(a: Array, b: Array, meter: Meter) -> Array:
    """a @ b in steps, with zeros of either that are strong: 0·∞ = 0."""
    meter.check()
    finite = np.isfinite(a).all(axis=0) & np.isfinite(b).all(axis=1)
    out = np.zeros((a.shape[0], b.shape[1]))
    left, right = (a, b) if finite.all() else (np.ascontiguousarray(a[:, finite]), b[finite])
    step = max(1, int(STEP_FLOPS // max(1, 2 * right.size)))
    for k in range(0, len(out), step):
        out[k : k + step] = left[k : k + step] @ right
        meter.check()
    for k in np.flatnonzero(~finite).tolist():
        column, row = a[:, k, None], b[None, k, :]
        out += np.where((column == 0) | (row == 0), 0.0, column * row)
        meter.check()
    return out


def elasticities(block: Array, x: Array, y: Array) -> Array:
    """(x/y)·∂y/∂x float64[B, m, k], of values x float64[B, k] and y float64[B, m]; as IEEE arithmetic has it where y is 0.

    A derivative of 0 gives 0 beside any x, also an infinite one, but not beside y = 0.
    """
    return np.where(block == 0, 0.0, block * x[:, None, :]) / y[:, :, None]
