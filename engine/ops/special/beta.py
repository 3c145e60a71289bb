"""The beta function and what is made of ratios of gamma functions: beta, betaln, binom, comb, poch. DLMF 5.12."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.special

from engine.builder import Builder, Var, call
from engine.op import Example, Op, Operand, registry
from engine.ops.pointwise.elementwise import Elementwise
from engine.ops.special.gamma_ratio import log_gamma_ratio
from engine.ops.special.tower import in_double


def _betaln(a: Any, b: Any) -> Any:
    """SciPy's loses digits where a sum of logarithms of Γ cancels; there by their ratio."""
    small, large = np.minimum(a, b), np.maximum(a, b)
    good = (small > 0) & (large >= 10)
    x = np.where(good, large, 10.0)
    ratio = log_gamma_ratio(x, np.where(good, small, 1.0))
    return np.where(
        good & np.isfinite(large), scipy.special.gammaln(small) - ratio, scipy.special.betaln(a, b)
    )


def _beta(a: Any, b: Any) -> Any:
    """As `_betaln`, but with Γ itself as a factor where it is a number."""
    small, large = np.minimum(a, b), np.maximum(a, b)
    good = (small > 0) & (large >= 30) & np.isfinite(large)
    x = np.where(good, large, 30.0)
    ratio = log_gamma_ratio(x, np.where(good, small, 1.0))
    product = np.where(
        small < 100, scipy.special.gamma(small) * np.exp(-ratio), np.exp(scipy.special.gammaln(small) - ratio)
    )
    return np.where(good, product, scipy.special.beta(a, b))


def _poch(z: Any, m: Any) -> Any:
    """By the ratio of logarithms for large z, unless m is an integer: then SciPy multiplies."""
    good = (z >= 30) & (z + m >= 30) & (m != np.floor(m)) & np.isfinite(z) & np.isfinite(m)
    ratio = log_gamma_ratio(np.where(good, z, 30.0), np.where(good, m, 1.0))
    return np.where(good, np.exp(ratio), scipy.special.poch(z, m))


def _binom(n: Any, k: Any) -> Any:
    """By the ratio of logarithms for large n, unless k is a small integer: then SciPy multiplies."""
    few = np.minimum(k, n - k)
    good = (n >= 50) & (few > 0) & ((few >= 20) | (few != np.floor(few))) & np.isfinite(n)
    n_, few_ = np.where(good, n, 50.0), np.where(good, few, 1.0)
    ratio = log_gamma_ratio(n_ - few_ + 1.0, few_)
    product = np.where(
        few_ < 100,
        np.exp(ratio) * scipy.special.rgamma(few_ + 1.0),
        np.exp(ratio - scipy.special.gammaln(few_ + 1.0)),
    )
    return np.where(good, product, scipy.special.binom(n, k))


def _row(name: str, fn: Any, *partials: str, **more: Any) -> Op:
    return registry.add(
        Elementwise(name, in_double(fn), partials, family="special", floating=True, weight=60, **more)
    )


_POLES = "At a pole of one of the gamma functions it is made of the derivative is NaN."
beta = _row(
    "beta",
    _beta,
    "-(y * polygamma_difference(a, b))",
    "-(y * polygamma_difference(b, a))",
    doc="Beta function, Γ(a)·Γ(b) / Γ(a + b). DLMF 5.12.1.",
    latex="\\mathrm{{B}}({a}, {b})",
    names=("a", "b"),
    domain=((0.3, 3.0), (0.3, 3.0)),
    derivative={
        "a": "\\mathrm{B}(a, b)\\,(\\psi(a) - \\psi(a + b))",
        "b": "\\mathrm{B}(a, b)\\,(\\psi(b) - \\psi(a + b))",
    },
    convention=_POLES,
    examples=(
        Example(([0.5, 4.0, 1e-3], [2.0, 0.25, 3.0])),
        Example(([1e6, 50.0], [1.5, 60.0]), note="ψ(a) − ψ(a + b) would cancel"),
        Example(([0.0, -1.0], [2.0, 0.5]), smooth=False, note="poles"),
    ),
)
betaln = _row(
    "betaln",
    _betaln,
    "-polygamma_difference(a, b)",
    "-polygamma_difference(b, a)",
    doc="Logarithm of the beta function's absolute value, without overflow.",
    latex="\\log \\mathrm{{B}}({a}, {b})",
    names=("a", "b"),
    aliases=("lbeta",),
    domain=((0.3, 3.0), (0.3, 3.0)),
    derivative={"a": "\\psi(a) - \\psi(a + b)", "b": "\\psi(b) - \\psi(a + b)"},
    convention=_POLES,
    examples=(
        Example(([0.5, 4.0, 1e-3], [2.0, 0.25, 3.0])),
        Example(([1e10, 1e5], [1.5, 1e6]), note="far out"),
        Example(([0.0, -1.0], [2.0, 0.5]), smooth=False, note="poles"),
    ),
)
binom = _row(
    "binom",
    _binom,
    "y * polygamma_difference(a - b + 1, b)",
    "y * polygamma_difference(b + 1, a - 2 * b)",
    doc="Binomial coefficient of real numbers, Γ(n + 1) / (Γ(k + 1)·Γ(n − k + 1)).",
    latex="\\operatorname{{C}}({n}, {k})",
    names=("n", "k"),
    domain=((2.5, 6.0), (0.2, 2.0)),
    derivative={
        "n": "\\tbinom{n}{k} (\\psi(n + 1) - \\psi(n - k + 1))",
        "k": "\\tbinom{n}{k} (\\psi(n - k + 1) - \\psi(k + 1))",
    },
    convention="Where k or n − k is a negative integer the derivative is NaN (`comb` is 0 there, and so are its derivatives).",
    examples=(
        Example(([5.0, 10.5, 60.0], [2.0, 3.25, 30.0])),
        Example(([1e6, 1e4], [2.5, 21.0]), note="far out"),
        Example(([4.0, 3.0], [5.0, -1.0]), smooth=False, note="poles"),
    ),
)
poch = _row(
    "poch",
    _poch,
    "y * polygamma_difference(a, b)",
    "y * digamma(a + b)",
    doc="Pochhammer symbol, the rising factorial Γ(z + m) / Γ(z). DLMF 5.2.5.",
    latex="({z})_{{{m}}}",
    names=("z", "m"),
    domain=((0.3, 3.0), (0.2, 2.0)),
    derivative={"z": "(z)_m\\,(\\psi(z + m) - \\psi(z))", "m": "(z)_m\\,\\psi(z + m)"},
    convention="Where z or z + m is 0, −1, −2, … the derivative is NaN.",
    examples=(
        Example(([0.5, 4.0, 10.0], [2.0, 3.0, 0.25])),
        Example(([1e6, 100.0], [0.5, -1.25]), note="far out"),
        Example(([-2.0, 0.0], [5.0, 1.0]), smooth=False, note="poles"),
    ),
)


class Comb(Op):
    """Number of ways to choose k of n, as a function of real numbers; 0 unless 0 ≤ k ≤ n, as in SciPy."""

    name = "comb"
    family = "special"
    parameters = (Operand("n", ("N",)), Operand("k"))
    composite = True
    elementwise = True
    floating = True
    latex = "\\operatorname{{C}}({n}, {k})"
    derivative = {
        "n": "\\tbinom{n}{k} (\\psi(n + 1) - \\psi(n - k + 1))",
        "k": "\\tbinom{n}{k} (\\psi(n - k + 1) - \\psi(k + 1))",
    }
    domain = ((2.5, 6.0), (0.2, 2.0))
    convention = (
        "Where the value is set to 0 the derivatives are 0; at k = 0 and k = n those of the gamma functions."
    )
    examples = (
        Example(([5.0, 10.5], [2.0, 3.25])),
        Example(([5.0, 5.0, 3.0, -2.0], [0.0, 5.0, 4.0, 1.0]), smooth=False, note="the ends, and beyond"),
    )

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var:
        """By binom, where it counts."""
        n, k = operands
        proper = call(b, "logical_and", k <= n, call(b, "logical_and", k >= 0.0, n >= 0.0))
        return call(b, "where", proper, call(b, "binom", n, k), 0.0)


registry.add(Comb())
