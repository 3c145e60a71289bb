"""Core ops on complex numbers x + iy whose imaginary part is a step: y is so small that y² is nothing beside x.

What an op does to real parts it does by its own `evaluate`. What is here is for the imaginary parts: the function itself
in complex arithmetic where it is analytic, and where it is put together of analytic pieces (|x|, max, where) the piece that
the real parts choose (J. R. R. A. Martins, P. Sturdza, J. J. Alonso, "The complex-step derivative approximation", ACM Trans.
Math. Softw. 29(3), 2003, doi:10.1145/838250.838251). No rule of an op for its derivative is used: the two are to be compared.

Ops that are linear need nothing here (`complex_step.py`), nor do those that are locally constant.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import numpy as np
import scipy.special

from engine.aval import Array

Rule: TypeAlias = Callable[..., Array]
"""`rule(params, *operands)`: the result as a complex array, of which the imaginary part counts."""


def imaginary(z: Any) -> Array:
    """The imaginary part, 0 of real numbers."""
    a = np.asarray(z)
    return a.imag if a.dtype.kind == "c" else np.zeros(a.shape)


def joined(real: Any, imag: Any) -> Array:
    """x + iy, part by part: i·∞ would be NaN in both."""
    re, im = np.broadcast_arrays(np.asarray(real, np.float64), np.asarray(imag, np.float64))
    z = np.empty(re.shape, np.complex128)
    z.real, z.imag = re, im
    return z


def strong(x: Any, y: Any) -> Array:
    """x·y, 0 where y is, whatever x is."""
    found: Array = np.where(np.asarray(y) == 0, 0.0, np.asarray(x) * y)
    return found


def _elementwise(fn: Callable[..., Any]) -> Rule:
    return lambda params, *z: fn(*z)


# ------------------------------------------------------------------------------------------------------------- arithmetic


def _product(params: Mapping[str, Any], a: Any, b: Any) -> Array:
    return joined(0.0, strong(np.real(a), imaginary(b)) + strong(np.real(b), imaginary(a)))


def _quotient(params: Mapping[str, Any], a: Any, b: Any) -> Array:
    ratio = np.real(a) / np.real(b)
    return joined(0.0, strong(1 / np.real(b), imaginary(a)) - strong(ratio / np.real(b), imaginary(b)))


def _power(a: Any, b: Any) -> Array:
    """exp(b·log a); of a negative number to an integral power by that of −a."""
    base, exponent = np.real(a), np.real(b)
    odd = np.where(exponent % 2 == 1, -1.0, 1.0)
    flipped = (base < 0) & (imaginary(b) == 0) & (exponent == np.rint(exponent))
    size = np.where(flipped, -np.asarray(a), a)
    found = np.exp(b * np.log(size)) * np.where(flipped, odd, 1.0)
    # log 0 is no number, but a power of it may be: x to the power 1 is the only one with a derivative there.
    at_zero = joined(0.0, np.where(exponent == 1, imaginary(a), np.where(exponent < 1, np.inf, 0.0)))
    still = (imaginary(a) == 0) | (exponent == 0)
    at_zero = np.where(still, 0.0, at_zero)
    # A real power of a negative number has no neighbours that are real.
    found = np.where((base < 0) & ~flipped, np.nan, found)
    return np.where(base == 0, at_zero, found)


def _size(z: Any) -> Array:
    """|x|: ±z by the sign of x; at 0 the constant 0."""
    x = np.real(z)
    return np.where(x > 0, z, np.where(x < 0, -np.asarray(z), 0 * np.asarray(z)))


def _chosen(first: Callable[[Any, Any], Array]) -> Callable[[Any, Any], Array]:
    """One of two by their real parts; of equal ones the mean."""

    def choose(a: Any, b: Any) -> Array:
        x, y = np.real(a), np.real(b)
        one, other = first(x, y), first(y, x)
        return np.where(one & other, 0.5 * a + 0.5 * b, np.where(one, a, b))

    return choose


def _hypot(a: Any, b: Any) -> Array:
    unit = np.maximum(np.abs(np.real(a)), np.abs(np.real(b)))
    unit = np.where((unit > 0) & np.isfinite(unit), unit, 1.0)
    total = (a / unit) ** 2 + (b / unit) ** 2
    return np.where(np.real(total) == 0, 0, unit * np.sqrt(total + 0j))


def _atan2(a: Any, b: Any) -> Array:
    """The inverse tangent of the quotient that is at most 1; the quadrant is a constant."""
    steep = np.abs(np.real(a)) > np.abs(np.real(b))
    return np.where(steep, -np.arctan(b / (a + 0j)), np.arctan(a / (b + 0j)))


def _clip(x: Any, low: Any, high: Any) -> Array:
    inner = np.where(np.real(x) > np.real(low), x, low)
    return np.where(np.real(inner) < np.real(high), inner, high)


def _remainder(floor: Callable[[Any], Any]) -> Callable[[Any, Any], Array]:
    return lambda a, b: a - b * floor(np.real(a) / np.real(b))


def _cbrt(z: Any) -> Array:
    return np.sign(np.real(z)) * np.exp(np.log(_size(z)) / 3)


# ------------------------------------------------------------------------------------------------------------ exponentials


def _sigmoid(z: Any) -> Array:
    e = np.exp(-_size(z))
    at_zero = 1 / (1 + np.exp(-np.asarray(z)))
    x = np.real(z)
    return np.where(x == 0, at_zero, np.where(x > 0, 1 / (1 + e), e / (1 + e)))


def _log_sigmoid(z: Any) -> Array:
    z = np.asarray(z)
    return np.where(np.real(z) > 0, -np.log1p(np.exp(-z)), z - np.log1p(np.exp(z)))


def _sech_squared(z: Any) -> Array:
    e = np.exp(-2 * np.where(np.real(z) < 0, -np.asarray(z), z))
    return 4 * e / (1 + e) ** 2


def _log_cosh(z: Any) -> Array:
    size = np.where(np.real(z) < 0, -np.asarray(z), z)
    return size + np.log1p(np.exp(-2 * size))


def _logaddexp(a: Any, b: Any) -> Array:
    first = np.real(a) >= np.real(b)
    return np.where(first, a, b) + np.log1p(np.exp(np.where(first, b - a, a - b)))


def _halves(z: Any) -> tuple[Array, Array]:
    """z less whole half turns, and the sign that they make of a sine."""
    half = np.rint(np.real(z))
    return np.asarray(z) - half, np.where(half % 2 == 0, 1.0, -1.0)


def _sinpi(z: Any) -> Array:
    rest, sign = _halves(z)
    return sign * np.sin(np.pi * rest)


def _cospi(z: Any) -> Array:
    rest, sign = _halves(z)
    return sign * np.cos(np.pi * rest)


def _degrees(z: Any) -> Array:
    """Radians, of an angle less whole turns."""
    return (np.asarray(z) - 360.0 * np.rint(np.real(z) / 360.0)) * (np.pi / 180)


def _exprel(z: Any) -> Array:
    """(eᶻ − 1)/z; around 0 its series."""
    z = np.asarray(z)
    small = np.abs(np.real(z)) < 0.1
    near = np.where(small, z, 0)
    total = np.zeros_like(near)
    for k in range(16, 0, -1):
        total = (total + 1) * near / (k + 1)
    return np.where(small, 1 + total, np.expm1(z) / np.where(small, 1, z))


def _xlog(log: Callable[[Any], Any]) -> Callable[[Any, Any], Array]:
    return lambda a, b: np.where((np.real(a) == 0) & (imaginary(a) == 0), 0, a * log(b + 0j))


# ----------------------------------------------------------------------------------------------------- special functions


def _gammaln(z: Any) -> Array:
    """log |Γ|, by the reflection formula left of ½ (DLMF 5.5.3): log Γ itself has a constant imaginary part there."""
    z = np.asarray(z, np.complex128)
    left = np.real(z) < 0.5
    sine = _sinpi(np.where(left, z, 0.5))
    reflected = -np.log(sine * np.sign(np.real(sine))) - scipy.special.loggamma(np.where(left, 1 - z, 1))
    return np.where(left, reflected, scipy.special.loggamma(np.where(left, 1, z)))


def _beta(a: Any, b: Any) -> Array:
    sign = scipy.special.gammasgn(np.real(a)) * scipy.special.gammasgn(np.real(b))
    sign = sign * scipy.special.gammasgn(np.real(a) + np.real(b))
    return sign * np.exp(_betaln(a, b))


def _betaln(a: Any, b: Any) -> Array:
    return _gammaln(a) + _gammaln(b) - _gammaln(a + b)


def _of_order(fn: Callable[[Any, Any], Any], order: float | None = None) -> Rule:
    """A Bessel function by its order, an attribute of the op unless it is fixed."""

    def rule(params: Mapping[str, Any], z: Any) -> Array:
        if params.get("order", 0):  # a derivative of one
            raise NotImplementedError
        return fn(params["v"] if order is None else order, z)

    return rule


def _first(fn: Callable[[Any], Any]) -> Rule:
    """An op that stands for its derivatives as well (param `order`): only for itself."""

    def rule(params: Mapping[str, Any], z: Any) -> Array:
        if params.get("order", 0):
            raise NotImplementedError
        found: Array = fn(z)
        return found

    return rule


def _spherical_ratio(params: Mapping[str, Any], z: Any) -> Array:
    """z⁻ⁿ j_n(z), around 0 by its series."""
    n = params.get("order", 0)
    z = np.asarray(z)
    small = np.abs(np.real(z)) < 1.0 + n
    u = -0.5 * np.where(small, z, 0) ** 2
    term = np.full_like(u, 1.0 / np.prod(np.arange(2 * n + 1, 0, -2, dtype=np.float64)))
    series = term.copy()
    for k in range(1, 12 + 2 * n):
        term = term * u / (k * (2 * n + 2 * k + 1))
        series = series + term
    if n:  # a derivative of sinc; SciPy's functions lose small imaginary parts
        return np.where(small, series, np.nan)
    big = np.where(small, 1.0, z)
    return np.where(small, series, np.sin(big) / big)


# -------------------------------------------------------------------------------------------------------------- reductions


def _extreme(fn: Callable[..., Any]) -> Rule:
    """The entry that the real parts choose; of several the mean."""

    def rule(params: Mapping[str, Any], z: Any, mask: Any = None) -> Array:
        x, axes = np.real(z), params["axes"]
        if mask is not None:
            x = np.where(mask, x, np.nan)
        best = fn(x, axis=axes, keepdims=True)
        there = x == best
        count = np.maximum(there.sum(axis=axes), 1)
        return joined(0.0, np.where(there, imaginary(z), 0).sum(axis=axes) / count)

    return rule


def _exponentials(z: Any, axes: tuple[int, ...]) -> tuple[Array, Array]:
    """exp(z − the largest), and that; of −∞ throughout zeros."""
    top = np.max(np.real(z), axis=axes, keepdims=True, initial=-np.inf)
    top = np.where(np.isfinite(top), top, 0.0)
    return np.where(np.isneginf(np.real(z)), 0, np.exp(z - top)), top


def _softmax(params: Mapping[str, Any], z: Any) -> Array:
    e, _ = _exponentials(z, params["axes"])
    return e / e.sum(axis=params["axes"], keepdims=True)


def _log_softmax(params: Mapping[str, Any], z: Any) -> Array:
    e, top = _exponentials(z, params["axes"])
    return (z - top) - np.log(e.sum(axis=params["axes"], keepdims=True))


def _logsumexp(params: Mapping[str, Any], z: Any) -> Array:
    e, _ = _exponentials(z, params["axes"])
    return np.log(e.sum(axis=params["axes"]) + 0j)


def _vector_norm(params: Mapping[str, Any], z: Any) -> Array:
    """(Σ |x|^p)^(1/p), of numbers that are at most 1."""
    axes, p = params["axes"], params.get("ord", 2.0)
    unit = np.max(np.abs(np.real(z)), axis=axes, keepdims=True, initial=0.0)
    unit = np.where((unit > 0) & np.isfinite(unit), unit, 1.0)
    total = _power(_size(z / unit), p).sum(axis=axes) if p != 2 else ((z / unit) ** 2).sum(axis=axes)
    return np.where(np.real(total) == 0, 0, unit.reshape(np.shape(total)) * _power(total, 1 / p))


def _signed_power(params: Mapping[str, Any], z: Any) -> Array:
    found = _power(_size(z), params["exponent"])
    found = np.where(np.real(z) == 0, 0, found)
    return np.sign(np.real(z)) * found if params["signed"] else found


def _running_product(params: Mapping[str, Any], z: Any) -> Array:
    axis = params["axis"]
    if params["reverse"]:
        return np.flip(np.cumprod(np.flip(z, axis), axis), axis)
    return np.cumprod(z, axis)


def _linear_recurrence(params: Mapping[str, Any], a: Any, b: Any) -> Array:
    axis = params["axis"]
    a, b = (np.moveaxis(np.asarray(v), axis, 0) for v in (a, b))
    order = range(len(b) - 1, -1, -1) if params["reverse"] else range(len(b))
    result = np.empty(b.shape, np.complex128)
    state = np.zeros(b.shape[1:], np.complex128)
    for i in order:
        state = a[i] * state + b[i]
        result[i] = state
    return np.moveaxis(result, 0, axis)


def _power_table(params: Mapping[str, Any], z: Any) -> Array:
    z, n = np.asarray(z), params["n"]
    found = np.concatenate([np.ones(z.shape), np.repeat(z, max(n - 1, 0), axis=-1)], axis=-1)[..., :n]
    found = np.cumprod(found, axis=-1)
    return np.flip(found, -1) if params["reverse"] else found


# ---------------------------------------------------------------------------------------------------------- linear algebra


def _systems(params: Mapping[str, Any], a: Any, b: Any) -> Array:
    found: Array = np.linalg.solve(a, b)
    return found


def _triangular(params: Mapping[str, Any], a: Any, b: Any) -> Array:
    a = np.asarray(a)
    t = np.tril(a) if params["lower"] else np.triu(a)
    if params["unit"]:
        at = np.arange(t.shape[-1])
        t[..., at, at] = 1
    return _systems(params, t, b)


def _slogdet(params: Mapping[str, Any], a: Any) -> tuple[Array, Array]:
    """The sign is a number on the unit circle; its angle is the imaginary part of the logarithm."""
    sign, size = np.linalg.slogdet(a)
    return np.real(sign) + 0j, joined(size, np.imag(sign) * np.sign(np.real(sign)))


def _cholesky(params: Mapping[str, Any], a: Any) -> Array:
    """L of A = L Lᵀ (not Lᴴ), column by column. As the op, it reads the lower triangle."""
    a = np.asarray(a, np.complex128)
    lower = np.zeros_like(a)
    for j in range(a.shape[-1]):
        rest = a[..., j:, j] - np.einsum("...ik,...k->...i", lower[..., j:, :j], lower[..., j, :j])
        lower[..., j:, j] = rest / np.sqrt(rest[..., :1])
    return lower


# --------------------------------------------------------------------------------------------------------------- the table

RULES: Mapping[str, Rule] = {
    # Analytic, and right for minute imaginary parts as NumPy has them.
    **{
        name: _elementwise(fn)
        for name, fn in {
            "add": np.add, "subtract": np.subtract, "negative": np.negative, "positive": np.positive,
            "square": np.square, "reciprocal": np.reciprocal, "exp": np.exp, "exp2": np.exp2, "expm1": np.expm1,
            "log": np.log, "log1p": np.log1p, "log2": np.log2, "log10": np.log10, "sqrt": np.sqrt, "sin": np.sin,
            "cos": np.cos, "tan": np.tan, "asin": np.arcsin, "acos": np.arccos, "atan": np.arctan, "sinh": np.sinh,
            "cosh": np.cosh, "tanh": np.tanh, "asinh": np.arcsinh, "acosh": np.arccosh, "atanh": np.arctanh,
        }.items()
    },
    # The same, that SciPy has.
    **{
        name: _elementwise(fn)
        for name, fn in {
            "gamma": scipy.special.gamma, "rgamma": scipy.special.rgamma, "erf": scipy.special.erf,
            "erfc": scipy.special.erfc, "ndtr": scipy.special.ndtr, "log_ndtr": scipy.special.log_ndtr,
            "exp1": scipy.special.exp1, "expi": scipy.special.expi, "spence": scipy.special.spence,
            "lambertw_principal": scipy.special.lambertw,
            "lambertw_lower": lambda z: scipy.special.lambertw(z, -1),
            "sine_integral": lambda z: scipy.special.sici(z)[0],
            "cosine_integral": lambda z: scipy.special.sici(z)[1],
        }.items()
    },
    "digamma": _first(scipy.special.psi),
    "erfcx": _first(scipy.special.erfcx),
    "dawsn": _first(scipy.special.dawsn),
    "j0": _of_order(scipy.special.jv, 0.0), "j1": _of_order(scipy.special.jv, 1.0), "jv": _of_order(scipy.special.jv),
    "y0": _of_order(scipy.special.yv, 0.0), "y1": _of_order(scipy.special.yv, 1.0), "yv": _of_order(scipy.special.yv),
    "i0": _of_order(scipy.special.iv, 0.0), "i1": _of_order(scipy.special.iv, 1.0), "iv": _of_order(scipy.special.iv),
    "k0": _of_order(scipy.special.kv, 0.0), "k1": _of_order(scipy.special.kv, 1.0), "kv": _of_order(scipy.special.kv),
    "spherical_ratio": _spherical_ratio,
    "gammaln": _elementwise(_gammaln), "beta": _elementwise(_beta), "betaln": _elementwise(_betaln),
    # Arithmetic.
    "multiply": _product, "divide": _quotient, "pow": _elementwise(_power),
    "pow_by": lambda params, z: _power(z, params["exponent"]),
    "deg2rad": _elementwise(lambda z: z * (np.pi / 180)), "rad2deg": _elementwise(lambda z: z * (180 / np.pi)),
    "remainder": _elementwise(_remainder(np.floor)), "fmod": _elementwise(_remainder(np.trunc)),
    "rsqrt": _elementwise(lambda z: 1 / np.sqrt(z)), "cbrt": _elementwise(_cbrt),
    "hypot": _elementwise(_hypot), "atan2": _elementwise(_atan2),
    # Pieces.
    "abs": _elementwise(_size), "where": _elementwise(np.where), "clip": _elementwise(_clip),
    "maximum": _elementwise(_chosen(np.greater_equal)), "minimum": _elementwise(_chosen(np.less_equal)),
    "fmax": _elementwise(_chosen(lambda a, b: (a >= b) | (b != b))),
    "fmin": _elementwise(_chosen(lambda a, b: (a <= b) | (b != b))),
    "copysign": _elementwise(lambda a, b: _size(a) * np.copysign(1.0, np.real(b))),
    "heaviside": _elementwise(lambda a, b: np.where(np.real(a) == 0, b, 0)),
    "relu": _elementwise(lambda z: np.where(np.real(z) > 0, z, 0)),
    "leaky_relu": lambda params, z: np.where(np.real(z) > 0, z, z * params["slope"]),
    "elu": lambda params, z: np.where(
        np.real(z) > 0, z, np.expm1(np.where(np.real(z) > 0, 0, z)) * params["alpha"]
    ),
    "softsign": _elementwise(lambda z: z / (1 + np.where(np.real(z) < 0, -np.asarray(z), z))),
    # Exponentials.
    "sigmoid": _elementwise(_sigmoid), "log_sigmoid": _elementwise(_log_sigmoid),
    "tanhshrink": _elementwise(lambda z: z - np.tanh(z)), "log_cosh": _elementwise(_log_cosh),
    "sech_squared": _elementwise(_sech_squared), "logaddexp": _elementwise(_logaddexp),
    "logaddexp2": _elementwise(lambda a, b: _logaddexp(a * np.log(2), b * np.log(2)) / np.log(2)),
    "exp10": _elementwise(lambda z: np.exp(z * np.log(10))),
    "cosm1": _elementwise(lambda z: -2 * np.sin(z / 2) ** 2),
    "sinpi": _elementwise(_sinpi), "cospi": _elementwise(_cospi),
    "sindg": _elementwise(lambda z: np.sin(_degrees(z))), "cosdg": _elementwise(lambda z: np.cos(_degrees(z))),
    "tandg": _elementwise(lambda z: np.tan(_degrees(z))), "cotdg": _elementwise(lambda z: 1 / np.tan(_degrees(z))),
    "xlogy": _elementwise(_xlog(np.log)), "xlog1py": _elementwise(_xlog(np.log1p)),
    "logit": _elementwise(lambda z: np.log(z) - np.log1p(-z)),
    "entr": _elementwise(lambda z: -z * np.log(z)),
    "rel_entr": _elementwise(lambda a, b: a * np.log(a / (b + 0j))),
    "kl_terms": _elementwise(lambda a, b: a * np.log(a / (b + 0j)) - a + b),
    "exprel": _first(_exprel),
    # Reductions.
    "max": _extreme(np.max), "min": _extreme(np.min), "nanmax": _extreme(np.nanmax), "nanmin": _extreme(np.nanmin),
    "max_where": _extreme(np.nanmax),
    "softmax": _softmax, "exp_shares": _softmax, "log_softmax": _log_softmax, "logsumexp": _logsumexp,
    "vector_norm": _vector_norm, "abs_power": _signed_power, "cumprod": _running_product,
    "linear_recurrence": _linear_recurrence, "power_table": _power_table,
    # Linear algebra.
    "linear_systems": _systems, "strong_systems": _systems,
    "triangular_systems": _triangular, "strong_triangular_systems": _triangular,
    "det": lambda params, a: np.linalg.det(a), "slogdet": _slogdet, "cholesky_factor": _cholesky,
}  # fmt: skip
"""By the core op's name."""

PASSING = frozenset({"identity", "stop_gradient", "held", "cast", "in_order", "between"})
"""Ops that hand their first operand on, whatever their derivative is said to be."""
