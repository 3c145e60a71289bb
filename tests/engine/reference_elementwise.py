"""References of elementwise ops: a NumPy or SciPy function, and the same on mpmath numbers."""

from __future__ import annotations

from typing import Any

import mpmath
import numpy as np
import scipy.special
from mpmath import mpf

from engine.op import Example
from tests.engine.conformance import Fixed, Reference


def _where(c: Any, x: Any, y: Any) -> Any:
    return np.where(c, x, y)


def _clip(x: Any, low: Any = None, high: Any = None) -> Any:
    # max wins where min > max, and NaN stays NaN.
    x = x if low is None else np.where(x < low, low, x)
    return x if high is None else np.where(x > high, high, x)


def _exact_clip(x: Any, low: Any, high: Any) -> Any:
    return min(max(x, low), high)


def _sigmoid(x: Any) -> Any:
    small = np.exp(-np.abs(np.real(x)) * 1.0) if not np.iscomplexobj(x) else None
    if small is None:
        return 1 / (1 + np.exp(-x))
    return np.where(x < 0, small, 1.0) / (1 + small)


def _exact_sigmoid(x: Any) -> Any:
    return 1 / (1 + mpmath.exp(-x))


def _pow(x: Any, y: Any) -> Any:
    return np.power(x, y)


def _exact_pow(x: Any, y: Any) -> Any:
    if x == 0:
        return mpf(0) if y > 0 else mpf(1) if y == 0 else mpmath.nan
    return x**y if x > 0 or y == int(y) else mpmath.nan


def _mod(x: Any, y: Any) -> Any:
    return x - y * mpmath.floor(x / y)


def _fmod(x: Any, y: Any) -> Any:
    q = x / y
    return x - y * (mpmath.floor(q) if q > 0 else mpmath.ceil(q))


def _trunc(x: Any) -> Any:
    return mpmath.floor(x) if x > 0 else mpmath.ceil(x)


def _round(x: Any, decimals: int) -> Any:
    return np.rint(x) if decimals == 0 else np.round(x, decimals)


def _sinc(x: Any) -> Any:
    return mpmath.sinc(mpmath.pi * x)


def _logaddexp(x: Any, y: Any) -> Any:
    return mpmath.log(mpmath.exp(x) + mpmath.exp(y))


def _softplus(x: Any, beta: float, threshold: float) -> Any:
    return np.where(x * beta > threshold, x, np.logaddexp(0.0, np.minimum(x * beta, threshold + 1)) / beta)


def _exact_softplus(x: Any, beta: float, threshold: float) -> Any:
    return x if x * beta > threshold else mpmath.log1p(mpmath.exp(x * mpf(beta))) / mpf(beta)


def _elu(x: Any, alpha: float) -> Any:
    return np.where(x > 0, x, alpha * np.expm1(np.where(x > 0, 0, x)))


SELU = (1.0507009873554804934193349852946, 1.6732632423543772848170429916717)


def _exact_elu(x: Any, alpha: Any) -> Any:
    return x if x > 0 else mpf(alpha) * mpmath.expm1(x)


def _gelu(x: Any, approximate: str) -> Any:
    if approximate == "none":
        # The limits are −0 and x, which the product misses at ±∞.
        return np.where(np.isinf(x), np.maximum(x, 0), x * scipy.special.erfc(-x / np.sqrt(2)) / 2)
    u = np.sqrt(8 / np.pi) * (x + 0.044715 * np.clip(x, -1e3, 1e3) ** 3)
    return np.where(np.isinf(x), np.maximum(x, 0), x * scipy.special.expit(u))


def _exact_gelu(x: Any, approximate: str) -> Any:
    if approximate == "none":
        return x * mpmath.erfc(-x / mpmath.sqrt(2)) / 2
    u = mpmath.sqrt(8 / mpmath.pi) * (x + mpf(0.044715) * x**3)
    return x / (1 + mpmath.exp(-u))


def _silu(x: Any) -> Any:
    return np.where(np.isinf(x), np.maximum(x, 0), x * scipy.special.expit(x))


def _mish(x: Any) -> Any:
    return np.where(np.isinf(x), np.maximum(x, 0), x * np.tanh(np.logaddexp(0.0, x)))


def _exact_mish(x: Any) -> Any:
    return x * mpmath.tanh(mpmath.log1p(mpmath.exp(x)))


def _rows(*names: str, **found: Any) -> dict[str, Reference]:
    """NumPy's function and mpmath's of the same names."""
    return {n: Reference(getattr(np, n), getattr(mpmath, n)) for n in names} | found


TABLE: dict[str, Reference] = {
    **_rows(
        "exp", "log", "log10", "sqrt", "sin", "cos", "tan", "sinh", "cosh", "tanh", "expm1", "log1p", "hypot", "sign",
    ),
    "sech_squared": Reference(lambda x: np.cosh(x) ** -2.0, lambda x: mpmath.sech(x) ** 2),
    "add": Reference(np.add, lambda x, y: x + y),
    "subtract": Reference(np.subtract, lambda x, y: x - y),
    "multiply": Reference(lambda x, y, strong=None: x * y, lambda x, y, strong=None: x * y),
    "divide": Reference(np.divide, lambda x, y: x / y),
    "floor_divide": Reference(np.floor_divide, lambda x, y: mpmath.floor(x / y)),
    "remainder": Reference(np.remainder, _mod),
    "fmod": Reference(np.fmod, _fmod),
    "negative": Reference(np.negative, lambda x: -x),
    "positive": Reference(np.positive, lambda x: +x),
    "abs": Reference(np.abs, abs),
    "square": Reference(np.square, lambda x: x * x),
    "reciprocal": Reference(np.reciprocal, lambda x: 1 / x),
    "pow": Reference(
        _pow, _exact_pow,
        (
            Example(([0.0, -2.0, 1.5], Fixed(0.0)), note="x**0"), Example(([0.0, -2.0, 1.5], Fixed(1.0)), note="x**1"),
            Example(([0.0, -2.0, 1.5], Fixed(2.0)), note="x**2"), Example(([1.5, -2.0], Fixed(-2.0)), note="x**-2"),
            Example(([1.5, 0.25], Fixed(0.5)), note="x**0.5"),
        ),
    ),
    "floor": Reference(np.floor, mpmath.floor),
    "ceil": Reference(np.ceil, mpmath.ceil),
    "round": Reference(_round, lambda x, decimals: mpmath.nint(x * 10**decimals) / 10**decimals),
    "trunc": Reference(np.trunc, _trunc),
    "maximum": Reference(np.maximum, max),
    "minimum": Reference(np.minimum, min),
    "clip": Reference(_clip, _exact_clip),
    "where": Reference(_where, lambda c, x, y: x if c else y),
    "copysign": Reference(np.copysign, lambda x, y: abs(x) * mpmath.sign(y)),
    "heaviside": Reference(np.heaviside, lambda x, y: y if x == 0 else mpf(1 if x > 0 else 0)),
    "exp2": Reference(np.exp2, lambda x: mpf(2) ** x),
    "log2": Reference(np.log2, lambda x: mpmath.log(x) / mpmath.log(2)),
    "cbrt": Reference(np.cbrt, lambda x: mpmath.sign(x) * mpmath.cbrt(abs(x))),
    "asin": Reference(np.arcsin, mpmath.asin),
    "acos": Reference(np.arccos, mpmath.acos),
    "atan": Reference(np.arctan, mpmath.atan),
    "atan2": Reference(np.arctan2, mpmath.atan2),
    "asinh": Reference(np.arcsinh, mpmath.asinh),
    "acosh": Reference(np.arccosh, mpmath.acosh),
    "atanh": Reference(np.arctanh, mpmath.atanh),
    "deg2rad": Reference(np.deg2rad, lambda x: x * mpmath.pi / 180),
    "rad2deg": Reference(np.rad2deg, lambda x: x * 180 / mpmath.pi),
    "logaddexp": Reference(np.logaddexp, _logaddexp),
    "xlogy": Reference(scipy.special.xlogy, lambda x, y: x * mpmath.log(y)),
    "sinc": Reference(np.sinc, _sinc),
    "identity": Reference(lambda x: x, lambda x: x),
    # Comparisons and logic: values only.
    "equal": Reference(np.equal),
    "not_equal": Reference(np.not_equal),
    "less": Reference(np.less),
    "less_equal": Reference(np.less_equal),
    "greater": Reference(np.greater),
    "greater_equal": Reference(np.greater_equal),
    "logical_and": Reference(np.logical_and),
    "logical_or": Reference(np.logical_or),
    "logical_xor": Reference(np.logical_xor),
    "logical_not": Reference(np.logical_not),
    "isnan": Reference(np.isnan),
    "isfinite": Reference(np.isfinite),
    "isinf": Reference(np.isinf),
    # Activations.
    "sigmoid": Reference(_sigmoid, _exact_sigmoid),
    "log_sigmoid": Reference(lambda x: -np.logaddexp(0.0, -x), lambda x: -mpmath.log1p(mpmath.exp(-x))),
    "relu": Reference(lambda x: np.where(x <= 0, 0.0, x), lambda x: max(x, mpf(0))),
    "softsign": Reference(
        lambda x: np.where(np.isinf(x), np.sign(x), x / (1 + np.abs(x))), lambda x: x / (1 + abs(x))
    ),
    "leaky_relu": Reference(
        lambda x, negative_slope: np.where(x > 0, x, x * negative_slope),
        lambda x, negative_slope: x if x > 0 else x * mpf(negative_slope),
    ),
    "elu": Reference(_elu, _exact_elu),
    "selu": Reference(lambda x: SELU[0] * _elu(x, SELU[1]), lambda x: mpf(SELU[0]) * _exact_elu(x, SELU[1])),
    "gelu": Reference(_gelu, _exact_gelu),
    "silu": Reference(_silu, lambda x: x * _exact_sigmoid(x)),
    "mish": Reference(_mish, _exact_mish),
    "softplus": Reference(_softplus, _exact_softplus),
    "relu6": Reference(lambda x: np.clip(x, 0, 6), lambda x: min(max(x, mpf(0)), mpf(6))),
    "hard_sigmoid": Reference(
        lambda x: np.clip((x + 3) / 6, 0, 1), lambda x: min(max((x + 3) / 6, mpf(0)), mpf(1))
    ),
}  # fmt: skip
