"""Derivatives of the regularised incomplete gamma and beta functions in their shapes a and b, to every order.

They are integrals of the density times a polynomial in logarithms,

    ∂ⁿP/∂aⁿ = ∫₀ˣ ∂ⁿ/∂aⁿ [t^(a−1) e^(−t) / Γ(a)] dt = ∫₀ˣ B_n(log t − ψ(a), −ψ'(a), …) t^(a−1) e^(−t) / Γ(a) dt

with the complete Bell polynomials B_n. Over (0, ∞) they vanish, so the integral may be taken over either side of x. For
n = 1 the factor changes sign once, at log t = ψ(a): taken over the side of x where it does not, nothing cancels.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import scipy.special

from engine.aval import Array, Aval, Avals
from engine.builder import Var, call
from engine.op import General, Op, registry
from engine.ops.special.densities import beta_density, gamma_density
from engine.ops.special.gamma import polygamma_values
from engine.ops.special.gamma_ratio import polygamma_difference
from engine.ops.special.quadrature import HALF_LINE, UNIT, integrate
from engine.ops.special.tower import in_double
from engine.transforms.strong import times


def bell(order: int, parts: Sequence[Any]) -> Any:
    """Complete Bell polynomial of that order: B_{m+1} = Σ C(m, k)·B_{m−k}·parts[k]."""
    found: list[Any] = [1.0]
    for m in range(order):
        terms = [found[m - k] * parts[k] * float(math.comb(m, k)) for k in range(m + 1)]
        found.append(sum(terms[1:], terms[0]))
    return found[order]


def bell_of_two(m: int, n: int, part: Callable[[int, int], Any]) -> Any:
    """∂^(m+n) exp(f) / ∂u^m ∂v^n / exp(f), where part(i, j) is ∂^(i+j) f / ∂u^i ∂v^j: the same in two variables."""
    found: dict[tuple[int, int], Any] = {(0, 0): 1.0}
    for i in range(m + 1):
        for j in range(n + 1):
            if i + j == 0:
                continue
            u, v = (i - 1, j) if i else (i, j - 1)
            terms = [
                part(p + (i > 0), q + (i == 0))
                * found[u - p, v - q]
                * float(math.comb(u, p) * math.comb(v, q))
                for p in range(u + 1)
                for q in range(v + 1)
            ]
            found[i, j] = sum(terms[1:], terms[0])
    return found[m, n]


def gamma_shape_derivative(n: int, a: Array, x: Array) -> Array:
    """∂ⁿP(a, x)/∂aⁿ, n ≥ 1, of flat arrays: over t = x·e^(∓s), with the density at x taken out."""
    proper = (a > 0) & (x > 0) & np.isfinite(x) & np.isfinite(a)
    a_, x_ = np.where(proper, a, 1.0), np.where(proper, x, 1.0)
    log, psi = np.log(x_), np.asarray(scipy.special.digamma(a_))
    rest = [-polygamma_values(k, a_) for k in range(1, n)]
    here = x_ * gamma_density(a_, x_)
    left = log < psi

    def over(start: Array, sign: Array, scale: Array, rule: tuple[Array, Array]) -> Array:
        """∫ of density times polynomial over log t = start + sign·s."""

        def f(s: Array, part: slice) -> Array:
            step = (start - log)[part] + sign[part] * s
            factor = bell(n, [(log - psi)[part] + step, *[r[part] for r in rest]])
            return np.asarray(factor * np.exp(a_[part] * step - x_[part] * np.expm1(step)))

        return integrate(f, scale, rule)

    # To the right of a small x the density is flat, on this scale, up to a corner: an interval of its own.
    corner = np.where(left, log, np.maximum(log, np.log(np.maximum(a_, 1.0))))
    direction = np.where(left, -1.0, 1.0)
    y = np.exp(corner)
    tail = over(corner, direction, 1.0 / (np.abs(a_ - y) + np.sqrt(y)), HALF_LINE)
    flat = over(log, direction, corner - log, UNIT)
    value = here * np.where(left, tail, -(tail + flat))
    ends = np.where((a > 0) & ((x == 0) | np.isposinf(x)), 0.0, np.nan)
    return np.where(proper, np.where(here == 0, 0.0, value), ends)


def beta_shape_derivative(m: int, n: int, a: Array, b: Array, x: Array) -> Array:
    """∂^(m+n) I_x(a, b) / ∂a^m ∂b^n, m + n ≥ 1, of flat arrays: over logit t = logit x ∓ s."""
    proper = (a > 0) & (b > 0) & (x > 0) & (x < 1) & np.isfinite(a) & np.isfinite(b)
    a_, b_, x_ = (np.where(proper, v, u) for v, u in ((a, 1.0), (b, 1.0), (x, 0.5)))
    # log t − E log t and log(1 − t) − E log(1 − t) at x, and the further derivatives of the density's logarithm.
    first = np.log(x_) + polygamma_difference(0, a_, b_)
    second = np.log1p(-x_) + polygamma_difference(0, b_, a_)
    higher = {
        (i, j): polygamma_difference(i - 1, a_, b_)
        if j == 0
        else polygamma_difference(j - 1, b_, a_)
        if i == 0
        else polygamma_values(i + j - 1, a_ + b_)
        for i in range(m + 1)
        for j in range(n + 1)
        if i + j > 1
    }
    here = beta_density(a_, b_, x_, times_x=True)
    logit = np.log(x_) - np.log1p(-x_)
    left = first < 0
    direction = np.where(left, -1.0, 1.0)

    def polynomial(up: Array, down: Array, part: slice) -> Any:
        """∂^(m+n) density / density."""

        def log_part(i: int, j: int) -> Any:
            if i + j == 1:
                return up if i else down
            return higher[i, j][part]

        return bell_of_two(m, n, log_part)

    def over(start: Array, scale: Array, rule: tuple[Array, Array]) -> Array:
        def f(s: Array, part: slice) -> Array:
            step = (start - logit)[part] + direction[part] * s
            # log t and log(1 − t) beside those of x; the larger of the two arguments is kept from overflowing.
            grown = np.log1p(np.where(step < 0, x_[part], 1.0 - x_[part]) * np.expm1(-np.abs(step)))
            up, down = np.minimum(step, 0.0) - grown, -np.maximum(step, 0.0) - grown
            factor = polynomial(first[part] + up, second[part] + down, part)
            return np.asarray(factor * np.exp(a_[part] * up + b_[part] * down))

        return integrate(f, scale, rule)

    middle = np.log(np.maximum(a_, 1.0) / np.maximum(b_, 1.0))
    corner = np.where(left, np.minimum(logit, middle), np.maximum(logit, middle))
    t = scipy.special.expit(corner)
    total = a_ + b_
    tail = over(corner, 1.0 / (np.abs(a_ - total * t) + np.sqrt(total * t * (1.0 - t))), HALF_LINE)
    flat = over(logit, np.abs(corner - logit), UNIT)
    value = here * np.where(left, tail + flat, -(tail + flat))
    ends = np.where((a > 0) & (b > 0) & ((x == 0) | (x == 1)), 0.0, np.nan)
    return np.where(proper, np.where(here == 0, 0.0, value), ends)


class _Core(Op):
    """Shape rule of the core ops below; operands are broadcast already."""

    family = "core"
    internal = True
    elementwise = True
    floating = True

    def infer(self, *avals: Aval, **params: Any) -> Avals:
        """The operands' shape."""
        return max(avals, key=lambda a: len(a.shape))

    def flops(self, operands: Sequence[Aval], result: Avals, **params: Any) -> float:
        """Two quadratures."""
        return 30_000.0 * max(a.size for a in operands)


def _flat(fn: Any) -> Any:
    """A function of flat arrays on arrays that broadcast."""

    def wrapped(*arrays: Any) -> Any:
        full = np.broadcast_arrays(*arrays)
        return fn(*[v.reshape(-1) for v in full]).reshape(full[0].shape)

    return in_double(wrapped)


class GammaShape(_Core):
    """∂ⁿP(a, x)/∂aⁿ of the regularised lower incomplete gamma function."""

    name = "gammainc_shape"
    rules = (General(), General())

    def evaluate(self, *arrays: Any, **params: Any) -> Any:
        """By quadrature."""
        n = params.get("order", 1)
        return _flat(lambda a, x: gamma_shape_derivative(n, a, x))(*arrays)

    def jvp(self, y: Any, xs: Sequence[Var], dxs: Sequence[Var | None], **params: Any) -> Any:
        """The next order times ȧ, and ∂ⁿ/∂aⁿ of the density times ẋ."""
        (a, x), (da, dx), n = xs, dxs, params.get("order", 1)
        b, total = a.b, None
        if da is not None:
            total = times(da, b.write(self, a, x, order=n + 1))
        if dx is not None:
            parts = [call(b, "log", x) - call(b, "digamma", a)]
            parts += [-b.write("digamma", a, order=k) for k in range(1, n)]
            density: Var = b.write("gamma_density", *b.broadcast([a, x]))
            factor: Var = b.write("multiply", *b.broadcast([density, bell(n, parts)]), strong=(0,))
            total = times(dx, factor) if total is None else total + times(dx, factor)
        return total


class BetaShape(_Core):
    """∂^(m+n) I_x(a, b) / ∂a^m ∂b^n of the regularised incomplete beta function."""

    rules = (General(), General(), General())

    def __init__(self, name: str, m: int, n: int) -> None:
        self.name = name
        self.first = (m, n)

    def evaluate(self, *arrays: Any, **params: Any) -> Any:
        """By quadrature."""
        m, n = params.get("orders", self.first)
        return _flat(lambda a, b, x: beta_shape_derivative(m, n, a, b, x))(*arrays)

    def jvp(self, y: Any, xs: Sequence[Var], dxs: Sequence[Var | None], **params: Any) -> Any:
        """The next orders, and ∂^(m+n)/∂a^m ∂b^n of the density times ẋ."""
        (p, q, x), (dp, dq, dx) = xs, dxs
        m, n = params.get("orders", self.first)
        b = p.b
        terms: list[Var] = []
        if dp is not None:
            terms.append(times(dp, b.write(self, p, q, x, orders=(m + 1, n))))
        if dq is not None:
            terms.append(times(dq, b.write(self, p, q, x, orders=(m, n + 1))))
        if dx is not None:
            u, v = b.broadcast([p, q])

            def part(i: int, j: int) -> Var:
                if i and j:
                    shared: Var = b.write("digamma", p + q, order=i + j - 1)
                    return shared
                bend: Var = b.write("polygamma_difference", *((u, v) if i else (v, u)), order=i + j - 1)
                return bend if i + j > 1 else bend + (call(b, "log", x) if i else call(b, "log1p", -x))

            density: Var = b.write("beta_density", *b.broadcast([p, q, x]))
            factor: Var = b.write("multiply", *b.broadcast([density, bell_of_two(m, n, part)]), strong=(0,))
            terms.append(times(dx, factor))
        return sum(terms[1:], terms[0])


for _op in (GammaShape(), BetaShape("betainc_in_a", 1, 0), BetaShape("betainc_in_b", 0, 1)):
    registry.add(_op)
