"""The zeta functions of Riemann and Hurwitz, differentiable in both operands. DLMF 25."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import scipy.special

from engine.aval import Array, Aval, Avals
from engine.builder import Builder, Var, call
from engine.op import Example, General, Op, Operand, registry
from engine.ops.special.gamma_ratio import BERNOULLI
from engine.ops.special.tower import in_double
from engine.transforms.strong import times

TERMS = 24


def zeta_derivative(m: int, s: Array, q: Array) -> Array:
    """∂ᵐζ(s, q)/∂sᵐ for q > 0 and s > −1 by the Euler–Maclaurin formula (DLMF 25.11.5), as a power series in s."""
    total = np.zeros(np.broadcast_shapes(s.shape, q.shape))
    for k in range(TERMS):
        at = q + k
        log = np.log(at)
        term = at**-s * (-log) ** m
        total = total + np.where(at == 1, 1.0 if m == 0 else 0.0, term)
    a = q + TERMS
    log = np.log(a)
    power = [(-log) ** j / math.factorial(j) for j in range(m + 1)]
    # 1/(s − 1 + ε), then ½, then the rising factorials (s + ε)(s + 1 + ε)…, each as coefficients of ε⁰ … εᵐ.
    series = [a * (-1.0) ** j / (s - 1.0) ** (j + 1) for j in range(m + 1)]
    series[0] = series[0] + 0.5
    rising = [s, np.ones_like(s), *[np.zeros_like(s)] * m][: m + 1]
    for k, number in enumerate(BERNOULLI, start=1):
        if k > 1:
            for step in (2 * k - 3, 2 * k - 2):
                rising = [r * (s + step) + (rising[j - 1] if j else 0.0) for j, r in enumerate(rising)]
        factor = number / math.factorial(2 * k) * a ** (1.0 - 2 * k)
        series = [c + factor * r for c, r in zip(series, rising, strict=True)]
    tail = sum(power[j] * series[m - j] for j in range(m + 1))
    total = total + math.factorial(m) * a**-s * tail
    result = np.where(q > 0, total, np.nan)
    result = np.where(np.isposinf(s), 0.0 if m else np.where(q == 1, 1.0, result), result)
    return np.where(s == 1, math.inf * (-1.0) ** m, result)


class HurwitzZeta(Op):
    """∂ᵐζ(s, q)/∂sᵐ; ∂/∂q of it is −s·∂ᵐζ(s + 1, q) − m·∂ᵐ⁻¹ζ(s + 1, q) (DLMF 25.11.17)."""

    name = "hurwitz_zeta"
    family = "core"
    internal = True
    elementwise = True
    floating = True
    rules = (General(), General())

    def infer(self, *avals: Aval, **params: Any) -> Avals:
        """The operands' shape."""
        return max(avals, key=lambda a: len(a.shape))

    def evaluate(self, *arrays: Any, **params: Any) -> Any:
        """SciPy's for the function itself where it has one."""
        m = params.get("order", 0)

        def value(s: Any, q: Any) -> Any:
            found = zeta_derivative(m, np.asarray(s), np.asarray(q))
            return (
                found
                if m
                else np.where((s > 1) & (q > 0), scipy.special.zeta(s, np.maximum(q, 1e-300)), found)
            )

        return in_double(value)(*arrays)

    def jvp(self, y: Any, xs: Sequence[Var], dxs: Sequence[Var | None], **params: Any) -> Any:
        """The next order times ṡ; the formula above times q̇."""
        (s, q), (ds, dq), m = xs, dxs, params.get("order", 0)
        b, total = s.b, None
        if ds is not None:
            total = times(ds, b.write(self, s, q, order=m + 1))
        if dq is not None:
            above = s + 1.0
            slope = -(s * b.write(self, above, q, order=m))
            if m:
                slope = slope - b.write(self, above, q, order=m - 1) * float(m)
            along = times(dq, slope)
            total = along if total is None else total + along
        return total

    def flops(self, operands: Sequence[Aval], result: Avals, **params: Any) -> float:
        """Powers and logarithms of two dozen terms."""
        orders: int = 1 + params.get("order", 0)
        return 1500.0 * orders * max(a.size for a in operands)


class Zeta(Op):
    """Riemann's zeta function ζ(x), or with q Hurwitz's, Σ (k + q)⁻ˣ over k ≥ 0, for x > 1 and q > 0."""

    name = "zeta"
    family = "special"
    parameters = (Operand("x", ("input",)), Operand("q", ("other",), optional=True))
    composite = True
    elementwise = True
    floating = True
    latex = "\\zeta({x}, {q})"
    derivative = {"x": "\\textstyle -\\sum_k \\log(k + q)\\,(k + q)^{-x}", "q": "-x\\,\\zeta(x + 1, q)"}
    domain = ((1.5, 4.0), (0.3, 3.0))
    convention = "At the pole x = 1 the limits from the right; NaN for q ≤ 0, and with q for x < 1."
    examples = (
        Example(([2.0, 3.5, 1.25], [1.0, 0.25, 30.0])),
        Example(([2.0, 1.0001, 30.0, 0.5],), note="without q"),
        Example(([-0.25, -1.0, -2.0, -5.5],), note="left of 0, a zero among them"),
        Example(([60.0, 3.0], [40.0, 1e6]), note="far out"),
        Example(([1.0, 2.0, 0.5], [2.0, -0.5, 1.5]), smooth=False, note="the pole, and no value"),
    )

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var:
        """By the core op; left of −½ by the functional equation (DLMF 25.4.1)."""
        x, q = operands
        if q is not None:
            s, q = b.broadcast([x, q])
            found: Var = b.write("hurwitz_zeta", s, q, order=0)
            return call(b, "where", x < 1.0, float("nan"), found)
        left = x < -0.5
        one = b.var(1.0)
        near: Var = b.write("hurwitz_zeta", call(b, "where", left, 2.0, x), one, order=0)
        t = call(b, "where", left, x, -1.0)
        far = (
            call(b, "exp2", t)
            * call(b, "exp", (t - 1.0) * math.log(math.pi))
            * call(b, "sinpi", t * 0.5)
            * call(b, "gamma", 1.0 - t)
            * b.write("hurwitz_zeta", 1.0 - t, one, order=0)
        )
        return call(b, "where", left, far, near)


registry.add(HurwitzZeta())
registry.add(Zeta())
