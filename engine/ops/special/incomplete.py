"""The regularised incomplete gamma and beta functions, differentiable in every operand, to every order. DLMF 8."""

from __future__ import annotations

from typing import Any

import scipy.special

from engine.op import Example, Op, registry
from engine.ops.pointwise.elementwise import Elementwise
from engine.ops.special.tower import in_double

INF = float("inf")


def _row(name: str, fn: Any, *partials: str, **more: Any) -> Op:
    return registry.add(
        Elementwise(name, in_double(fn), partials, family="special", floating=True, weight=200, **more)
    )


_GAMMA_ENDS = (
    "At x = 0 the derivatives are one-sided; at a = 0 that in a is NaN. Where there is no value, all are NaN."
)
_GAMMA_EXAMPLES = (
    Example(([0.5, 2.0, 10.0, 3.5], [0.25, 3.0, 4.0, 3.0])),
    Example(([0.01, 0.3, 1e-3], [0.5, 1e-6, 1e-20]), note="small shapes"),
    Example(([40.0, 900.0, 0.5], [70.0, 950.0, 40.0]), note="in the tails"),
    Example(
        ([2.0, 3.5, 1.0, 0.5, 0.0, -1.0, 2.0, 2.0], [0.0, 0.0, 0.0, 0.0, 1.0, 1.0, -1.0, INF]), smooth=False
    ),
)
gammainc = _row(
    "gammainc",
    scipy.special.gammainc,
    "gammainc_shape(a, b)",
    "gamma_density(a, b)",
    doc="Regularised lower incomplete gamma function P(a, x), ∫₀ˣ t^(a−1) e^(−t) dt / Γ(a). DLMF 8.2.4.",
    latex="P({a}, {x})",
    names=("a", "x"),
    aliases=("igamma",),
    domain=((0.3, 4.0), (0.2, 4.0)),
    derivative={"x": "\\frac{x^{a-1} e^{-x}}{\\Gamma(a)}"},
    convention=_GAMMA_ENDS,
    examples=_GAMMA_EXAMPLES,
)
gammaincc = _row(
    "gammaincc",
    scipy.special.gammaincc,
    "-gammainc_shape(a, b)",
    "-gamma_density(a, b)",
    doc="Regularised upper incomplete gamma function Q(a, x) = 1 − P(a, x), exact in the tail. DLMF 8.2.4.",
    latex="Q({a}, {x})",
    names=("a", "x"),
    aliases=("igammac",),
    domain=((0.3, 4.0), (0.2, 4.0)),
    derivative={"x": "-\\frac{x^{a-1} e^{-x}}{\\Gamma(a)}"},
    convention=_GAMMA_ENDS,
    examples=_GAMMA_EXAMPLES,
)
_BETA_ENDS = "At x = 0 and x = 1 the derivatives are one-sided; where there is no value, they are NaN."
_BETA_EXAMPLES = (
    Example(([0.5, 2.0, 10.0], [1.5, 3.0, 4.0], [0.25, 0.75, 0.5])),
    Example(([0.01, 0.3], [2.0, 0.05], [0.001, 0.75]), note="small shapes"),
    Example(([40.0, 500.0], [70.0, 2.5], [0.2, 0.99]), note="large ones"),
    Example(([2.0, 3.5, 1.0, 0.0, 2.0], [1.0, 2.0, 3.0, 1.0, 2.0], [0.0, 1.0, 0.0, 0.5, -0.5]), smooth=False),
)
betainc = _row(
    "betainc",
    scipy.special.betainc,
    "betainc_in_a(a, b, c)",
    "betainc_in_b(a, b, c)",
    "beta_density(a, b, c)",
    doc="Regularised incomplete beta function I_x(a, b), ∫₀ˣ t^(a−1) (1 − t)^(b−1) dt / B(a, b). DLMF 8.17.2.",
    latex="I_{{{x}}}({a}, {b})",
    names=("a", "b", "x"),
    domain=((0.3, 4.0), (0.3, 4.0), (0.1, 0.9)),
    derivative={"x": "\\frac{x^{a-1} (1-x)^{b-1}}{\\mathrm{B}(a, b)}"},
    convention=_BETA_ENDS,
    examples=_BETA_EXAMPLES,
)
betaincc = _row(
    "betaincc",
    scipy.special.betaincc,
    "-betainc_in_a(a, b, c)",
    "-betainc_in_b(a, b, c)",
    "-beta_density(a, b, c)",
    doc="Complement of the regularised incomplete beta function, 1 − I_x(a, b), exact in the tail.",
    latex="1 - I_{{{x}}}({a}, {b})",
    names=("a", "b", "x"),
    domain=((0.3, 4.0), (0.3, 4.0), (0.1, 0.9)),
    derivative={"x": "-\\frac{x^{a-1} (1-x)^{b-1}}{\\mathrm{B}(a, b)}"},
    convention=_BETA_ENDS,
    examples=_BETA_EXAMPLES,
)
