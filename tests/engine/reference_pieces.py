"""References of the ops on parts of numbers, and of ONNX's names."""

from __future__ import annotations

from functools import reduce
from typing import Any

import mpmath
import numpy as np
from mpmath import mpf

from tests.engine.conformance import Reference


def _lerp(start: Any, end: Any, weight: Any) -> Any:
    return start + weight * (end - start)


def _nan_to_num(x: Any, copy: bool, nan: float, posinf: float | None, neginf: float | None) -> Any:
    return np.nan_to_num(x, copy=copy, nan=nan, posinf=posinf, neginf=neginf)


def _isclose(x: Any, y: Any, rtol: float, atol: float, equal_nan: bool) -> Any:
    return np.isclose(x, y, rtol, atol, equal_nan)


def _select(conditions: Any, choices: Any, default: Any = None) -> Any:
    return np.select(list(conditions), list(choices), 0.0 if default is None else default)


def _mod(x: Any, y: Any, fmod: int) -> Any:
    return np.fmod(x, y) if fmod else np.remainder(x, y)


def _exact_mod(x: Any, y: Any, fmod: int) -> Any:
    q = x / y
    return x - y * (mpmath.ceil(q) if fmod and q < 0 else mpmath.floor(q))


TABLE: dict[str, Reference] = {
    "rsqrt": Reference(lambda x: x**-0.5, lambda x: 1 / mpmath.sqrt(x)),
    "fmax": Reference(np.fmax, max),
    "fmin": Reference(np.fmin, min),
    "logaddexp2": Reference(
        np.logaddexp2, lambda x, y: mpmath.log(mpf(2) ** x + mpf(2) ** y) / mpmath.log(2)
    ),
    "signbit": Reference(np.signbit),
    "isposinf": Reference(np.isposinf),
    "isneginf": Reference(np.isneginf),
    "ldexp": Reference(np.ldexp),
    "frexp": Reference(np.frexp),
    "modf": Reference(np.modf),
    "frac": Reference(lambda x: np.modf(x)[0], mpmath.frac),
    "divmod": Reference(np.divmod),
    "nan_to_num": Reference(_nan_to_num, lambda x, **attrs: x),
    "isclose": Reference(_isclose),
    "allclose": Reference(lambda *args, **attrs: np.asarray(np.allclose(*args, **attrs))),
    "lerp": Reference(_lerp, _lerp),
    "select_cases": Reference(_select),
    "Mod": Reference(_mod, _exact_mod),
    "Max": Reference(lambda *xs: reduce(np.maximum, xs), max),
    "Min": Reference(lambda *xs: reduce(np.minimum, xs), min),
    "Sum": Reference(lambda *xs: sum(xs[1:], xs[0]), lambda *xs: sum(xs)),
    "Mean": Reference(lambda *xs: sum(xs[1:], xs[0]) / len(xs), lambda *xs: sum(xs) / len(xs)),
    "HardSigmoid": Reference(
        lambda x, alpha, beta: np.clip(x * alpha + beta, 0, 1),
        lambda x, alpha, beta: min(max(x * mpf(alpha) + mpf(beta), mpf(0)), mpf(1)),
    ),
}
