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

from engine.numeric import complex_arrays as arrays
from engine.numeric import complex_pointwise as pointwise

Rule: TypeAlias = Callable[..., Any]
"""`rule(params, *operands)`: the result as a complex array (or several), of which the imaginary part counts."""


def _elementwise(fn: Callable[..., Any]) -> Rule:
    return lambda params, *z: fn(*z)


def _first(fn: Callable[[Any], Any]) -> Rule:
    """An op that stands for its derivatives as well (param `order`): only for itself."""

    def rule(params: Mapping[str, Any], z: Any) -> Any:
        if params.get("order", 0):
            raise NotImplementedError
        return fn(z)

    return rule


_NUMPY: dict[str, Callable[..., Any]] = {
    "add": np.add, "subtract": np.subtract, "negative": np.negative, "positive": np.positive,
    "square": np.square, "reciprocal": np.reciprocal, "exp": np.exp, "exp2": np.exp2, "expm1": np.expm1,
    "log": np.log, "log1p": np.log1p, "log2": np.log2, "log10": np.log10, "sqrt": np.sqrt, "sin": np.sin,
    "cos": np.cos, "tan": np.tan, "asin": np.arcsin, "acos": np.arccos, "atan": np.arctan, "sinh": np.sinh,
    "cosh": np.cosh, "tanh": np.tanh, "asinh": np.arcsinh, "acosh": np.arccosh, "atanh": np.arctanh,
    "where": np.where,
}  # fmt: skip
"""Analytic, and right for minute imaginary parts as NumPy has them."""

_SCIPY: dict[str, Callable[..., Any]] = {
    "erf": scipy.special.erf, "erfc": scipy.special.erfc, "ndtr": scipy.special.ndtr,
    "exp1": scipy.special.exp1, "spence": scipy.special.spence, "lambertw_principal": scipy.special.lambertw,
}  # fmt: skip
"""The same of SciPy's. (Those that are missing lose small imaginary parts, or have a cut on the real axis.)"""

RULES: Mapping[str, Rule] = {
    **{name: _elementwise(fn) for name, fn in (_NUMPY | _SCIPY).items()},
    "digamma": _first(scipy.special.psi),
    "erfcx": _first(scipy.special.erfcx),
    "dawsn": _first(scipy.special.dawsn),
    "spherical_ratio": pointwise.spherical_ratio,
    "gamma": _elementwise(pointwise.gamma), "rgamma": _elementwise(pointwise.rgamma),
    "log_ndtr": _elementwise(pointwise.log_ndtr),
    "gammaln": _elementwise(pointwise.gammaln), "beta": _elementwise(pointwise.beta), "betaln": _elementwise(pointwise.betaln),
    # Arithmetic.
    "multiply": pointwise.product, "divide": pointwise.quotient, "pow": _elementwise(pointwise.power),
    "pow_by": lambda params, z: pointwise.power(z, params["exponent"]),
    "deg2rad": _elementwise(lambda z: z * (np.pi / 180)), "rad2deg": _elementwise(lambda z: z * (180 / np.pi)),
    "remainder": _elementwise(pointwise.remainder(np.floor)), "fmod": _elementwise(pointwise.remainder(np.trunc)),
    "rsqrt": _elementwise(lambda z: 1 / np.sqrt(z)), "cbrt": _elementwise(pointwise.cbrt),
    "hypot": _elementwise(pointwise.hypot), "atan2": _elementwise(pointwise.atan2),
    # Pieces.
    "abs": _elementwise(pointwise.size), "clip": _elementwise(pointwise.clip),
    "maximum": _elementwise(pointwise.chosen(np.greater_equal)), "minimum": _elementwise(pointwise.chosen(np.less_equal)),
    "fmax": _elementwise(pointwise.chosen(lambda a, b: (a >= b) | (b != b))),
    "fmin": _elementwise(pointwise.chosen(lambda a, b: (a <= b) | (b != b))),
    "copysign": _elementwise(lambda a, b: pointwise.size(a) * np.copysign(1.0, np.real(b))),
    "heaviside": _elementwise(lambda a, b: np.where(np.real(a) == 0, b, 0)),
    "relu": _elementwise(lambda z: np.where(np.real(z) > 0, z, 0)),
    "leaky_relu": lambda params, z: np.where(np.real(z) > 0, z, z * params["slope"]),
    "elu": lambda params, z: np.where(
        np.real(z) > 0, z, np.expm1(np.where(np.real(z) > 0, 0, z)) * params["alpha"]
    ),
    "softsign": _elementwise(lambda z: z / (1 + np.where(np.real(z) < 0, -np.asarray(z), z))),
    # Exponentials.
    "sigmoid": _elementwise(pointwise.sigmoid), "log_sigmoid": _elementwise(pointwise.log_sigmoid),
    "tanhshrink": _elementwise(lambda z: z - np.tanh(z)), "log_cosh": _elementwise(pointwise.log_cosh),
    "sech_squared": _elementwise(pointwise.sech_squared), "logaddexp": _elementwise(pointwise.logaddexp),
    "logaddexp2": _elementwise(lambda a, b: pointwise.logaddexp(a * np.log(2), b * np.log(2)) / np.log(2)),
    "exp10": _elementwise(lambda z: np.exp(z * np.log(10))),
    "cosm1": _elementwise(lambda z: -2 * np.sin(z / 2) ** 2),
    "sinpi": _elementwise(pointwise.sinpi), "cospi": _elementwise(pointwise.cospi),
    "sindg": _elementwise(lambda z: np.sin(pointwise.degrees(z))),
    "cosdg": _elementwise(lambda z: np.cos(pointwise.degrees(z))),
    "tandg": _elementwise(lambda z: np.tan(pointwise.degrees(z))),
    "cotdg": _elementwise(lambda z: 1 / np.tan(pointwise.degrees(z))),
    "xlogy": _elementwise(pointwise.xlog(np.log)), "xlog1py": _elementwise(pointwise.xlog(np.log1p)),
    "logit": _elementwise(lambda z: np.log(z) - np.log1p(-z)),
    "entr": _elementwise(lambda z: -z * np.log(z)),
    "rel_entr": _elementwise(lambda a, b: a * np.log(a / (b + 0j))),
    "kl_terms": _elementwise(lambda a, b: a * np.log(a / (b + 0j)) - a + b),
    "exprel": _first(pointwise.exprel),
    # Reductions.
    "max": arrays.extreme(np.maximum.reduce), "min": arrays.extreme(np.minimum.reduce),
    "nanmax": arrays.extreme(np.fmax.reduce), "nanmin": arrays.extreme(np.fmin.reduce),
    "max_where": arrays.extreme(np.fmax.reduce),
    "softmax": arrays.softmax, "exp_shares": arrays.softmax, "log_softmax": arrays.log_softmax, "logsumexp": arrays.logsumexp,
    "vector_norm": arrays.vector_norm, "abs_power": arrays.signed_power, "cumprod": arrays.running_product,
    "linear_recurrence": arrays.linear_recurrence, "power_table": arrays.power_table,
    # Linear algebra.
    "linear_systems": arrays.systems, "strong_systems": arrays.systems,
    "triangular_systems": arrays.triangular, "strong_triangular_systems": arrays.triangular,
    "det": lambda params, a: np.linalg.det(a), "slogdet": arrays.slogdet,
    "matrix_function": arrays.matrix_function, "cholesky_factor": arrays.cholesky,
}  # fmt: skip
"""By the core op's name."""

PASSING = frozenset({"identity", "stop_gradient", "held", "cast", "in_order", "between"})
"""Ops that hand their first operand on, whatever their derivative is said to be."""
