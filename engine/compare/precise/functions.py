"""Elementwise ops on mpmath's numbers, by name: `fn(context, *entries, **params)`. Masks are Python booleans.

Each is its op's definition: with so many digits none of the ways round cancellation is needed that doubles ask for.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from engine.compare.precise.numbers import bounded

Function = Callable[..., Any]

MOST_EXPONENT = 17
"""Bits before the point of what exponentials are taken of."""


def _exp(c: Any, x: Any) -> Any:
    if c.isfinite(x) and x and c.mag(x) > MOST_EXPONENT:
        return c.inf if x > 0 else c.zero
    return c.exp(x)


def _expm1(c: Any, x: Any) -> Any:
    return _exp(c, x) - 1 if abs(x) > 200 else c.expm1(x)


def _power(c: Any, x: Any, y: Any) -> Any:
    """C's pow: 1 for x = 1 or y = 0 even beside NaN; of negative x for integral y alone."""
    if y == 0 or x == 1:
        return c.one
    if c.isfinite(x) and c.isfinite(y):
        if x == 0:
            return c.zero if y > 0 else c.inf
        size = c.log(abs(x)) * y
        if c.mag(size) > MOST_EXPONENT:
            sign = -1 if x < 0 and c.isint(y) and int(y) % 2 else 1
            return (c.inf if size > 0 else c.zero) * sign
        if c.isint(y) and c.mag(y) < 40:
            return x ** int(y)
        return c.nan if x < 0 else c.sqrt(x) if y == 0.5 else c.exp(size)
    return None


def _pow_by(c: Any, x: Any, exponent: float) -> Any:
    return _power(c, x, c.mpf(exponent))


def _abs_power(c: Any, x: Any, exponent: float, signed: bool) -> Any:
    size = _power(c, abs(x), c.mpf(exponent))
    if size is None or not signed:
        return size
    return x if x == 0 else size * c.sign(x)


def _multiply(c: Any, x: Any, y: Any, strong: tuple[int, ...] = ()) -> Any:
    if (0 in strong and x == 0) or (1 in strong and y == 0):
        return c.zero
    return x * y


def _divide(c: Any, x: Any, y: Any) -> Any:
    if y == 0:
        return c.nan if x == 0 or c.isnan(x) else c.inf * c.sign(x)
    return x / y


def _larger(c: Any, x: Any, y: Any) -> Any:
    return c.nan if c.isnan(x) or c.isnan(y) else x if x >= y else y


def _smaller(c: Any, x: Any, y: Any) -> Any:
    return c.nan if c.isnan(x) or c.isnan(y) else x if x <= y else y


def _fmax(c: Any, x: Any, y: Any) -> Any:
    return y if c.isnan(x) else x if c.isnan(y) or x >= y else y


def _fmin(c: Any, x: Any, y: Any) -> Any:
    return y if c.isnan(x) else x if c.isnan(y) or x <= y else y


def _trunc(c: Any, x: Any) -> Any:
    return _whole(c, x, c.floor if x > 0 else c.ceil)


def _whole(c: Any, x: Any, how: Function) -> Any:
    return how(x) if c.isfinite(x) else x


def _remainder(c: Any, x: Any, y: Any) -> Any:
    return x - y * c.floor(x / y)


def _fmod(c: Any, x: Any, y: Any) -> Any:
    return x - y * _trunc(c, x / y)


def _sign(c: Any, x: Any) -> Any:
    return x if c.isnan(x) else c.mpf(int(x > 0) - int(x < 0))


def _logaddexp(c: Any, x: Any, y: Any) -> Any:
    if c.isnan(x) or c.isnan(y):
        return c.nan
    top, low = (x, y) if x >= y else (y, x)
    if c.isinf(top) or c.isinf(low):
        return top
    return top + c.log1p(_exp(c, low - top))


def _logaddexp2(c: Any, x: Any, y: Any) -> Any:
    two = c.ln2
    return _logaddexp(c, x * two, y * two) / two


def _times_log(c: Any, x: Any, y: Any, log: Function) -> Any:
    return y if c.isnan(y) else c.zero if x == 0 else x * log(y)


def _entropy(c: Any, x: Any) -> Any:
    return c.nan if c.isnan(x) else c.zero if x == 0 else -c.inf if x < 0 else -x * c.log(x)


def _relative(c: Any, x: Any, y: Any) -> Any:
    if c.isnan(x) or c.isnan(y):
        return c.nan
    if x > 0 and y > 0:
        return x * c.log(x / y)
    return c.zero if x == 0 and y >= 0 else c.inf


def _divergence(c: Any, x: Any, y: Any) -> Any:
    found = _relative(c, x, y)
    return found - x + y if x > 0 and y > 0 else y if x == 0 and y >= 0 else found


def _sigmoid(c: Any, x: Any) -> Any:
    return 1 / (1 + _exp(c, -x))


def _tanh(c: Any, x: Any) -> Any:
    return c.tanh(x) if abs(x) < 1000 else c.sign(x)


def _sech_squared(c: Any, x: Any) -> Any:
    small = _exp(c, -abs(x))
    return (2 * small / (1 + small * small)) ** 2


def _log_cosh(c: Any, x: Any) -> Any:
    size = abs(x)
    return size + c.log1p(_exp(c, -2 * size)) - c.ln2 if size > 1 else c.log(c.cosh(x))


def _cosh(c: Any, x: Any) -> Any:
    return c.cosh(x) if abs(x) < 1000 else _exp(c, abs(x)) / 2


def _sinh(c: Any, x: Any) -> Any:
    return c.sinh(x) if abs(x) < 1000 else c.sign(x) * _exp(c, abs(x)) / 2


def _softsign(c: Any, x: Any) -> Any:
    return c.sign(x) if c.isinf(x) else x / (1 + abs(x))


def _leaky(c: Any, x: Any, slope: float) -> Any:
    return x if x > 0 else x * c.mpf(slope)


def _elu(c: Any, x: Any, alpha: float) -> Any:
    return x if x > 0 else c.mpf(alpha) * _expm1(c, x)


def _heaviside(c: Any, x: Any, y: Any) -> Any:
    return x if c.isnan(x) else c.zero if x < 0 else c.one if x > 0 else y


def _copysign(c: Any, x: Any, y: Any) -> Any:
    return abs(x) if y >= 0 else -abs(x)


def _between(c: Any, x: Any, **params: Any) -> Any:
    return x


def _same(c: Any, x: Any, *rest: Any, **params: Any) -> Any:
    return x


def _of(name: str) -> Function:
    """mpmath's function, of numbers that are not too large for it."""
    return lambda c, x: getattr(c, name)(bounded(c, x))


ARITHMETIC: dict[str, Function] = {
    "add": lambda c, x, y: x + y,
    "subtract": lambda c, x, y: x - y,
    "multiply": _multiply,
    "divide": _divide,
    "negative": lambda c, x: -x,
    "positive": _same,
    "identity": _same,
    "in_order": _same,
    "between": _between,
    "abs": lambda c, x: abs(x),
    "sign": _sign,
    "square": lambda c, x: x * x,
    "reciprocal": lambda c, x: _divide(c, c.one, x),
    "maximum": _larger,
    "minimum": _smaller,
    "fmax": _fmax,
    "fmin": _fmin,
    "clip": lambda c, x, low, high: _smaller(c, _larger(c, x, low), high),
    "where": lambda c, mask, x, y: x if mask else y,
    "relu": lambda c, x: x if c.isnan(x) or x > 0 else c.zero,
    "leaky_relu": _leaky,
    "softsign": _softsign,
    "copysign": _copysign,
    "heaviside": _heaviside,
    "floor": lambda c, x: _whole(c, x, c.floor),
    "ceil": lambda c, x: _whole(c, x, c.ceil),
    "round": lambda c, x: _whole(c, x, c.nint),
    "trunc": _trunc,
    "floor_divide": lambda c, x, y: c.floor(x / y),
    "remainder": _remainder,
    "fmod": _fmod,
    "equal": lambda c, x, y: x == y,
    "not_equal": lambda c, x, y: x != y,
    "less": lambda c, x, y: x < y,
    "less_equal": lambda c, x, y: x <= y,
    "greater": lambda c, x, y: x > y,
    "greater_equal": lambda c, x, y: x >= y,
    "logical_and": lambda c, x, y: bool(x) and bool(y),
    "logical_or": lambda c, x, y: bool(x) or bool(y),
    "logical_xor": lambda c, x, y: bool(x) != bool(y),
    "logical_not": lambda c, x: not x,
    "is_extreme": lambda c, x, y: bool(x == y) or (c.isnan(x) and c.isnan(y)),
    "isnan": lambda c, x: bool(c.isnan(x)),
    "isfinite": lambda c, x: bool(c.isfinite(x)),
    "isinf": lambda c, x: bool(c.isinf(x)),
    "isposinf": lambda c, x: bool(x == c.inf),
    "isneginf": lambda c, x: bool(x == -c.inf),
    "signbit": lambda c, x: bool(x < 0),
}
"""Ops that cost about as much as an addition."""

ELEMENTARY: dict[str, Function] = {
    "pow": _power,
    "pow_by": _pow_by,
    "abs_power": _abs_power,
    "sqrt": lambda c, x: c.sqrt(x),
    "rsqrt": lambda c, x: c.inf if x == 0 else 1 / c.sqrt(x),
    "cbrt": lambda c, x: _sign(c, x) * c.cbrt(abs(x)),
    "hypot": lambda c, x, y: c.hypot(x, y),
    "exp": _exp,
    "exp2": lambda c, x: _exp(c, x * c.ln2),
    "exp10": lambda c, x: _exp(c, x * c.ln10),
    "expm1": _expm1,
    "log": lambda c, x: c.log(x),
    "log1p": lambda c, x: c.log(1 + x) if abs(x) > 0.5 else c.log1p(x),
    "log2": lambda c, x: c.log(x) / c.ln2,
    "log10": lambda c, x: c.log10(x),
    "sin": _of("sin"),
    "cos": _of("cos"),
    "tan": _of("tan"),
    "asin": lambda c, x: c.asin(x),
    "acos": lambda c, x: c.acos(x),
    "atan": lambda c, x: c.atan(x),
    "atan2": lambda c, y, x: c.atan2(y, x),
    "sinh": _sinh,
    "cosh": _cosh,
    "tanh": _tanh,
    "sech_squared": _sech_squared,
    "asinh": lambda c, x: c.asinh(x),
    "acosh": lambda c, x: c.acosh(x),
    "atanh": lambda c, x: c.atanh(x) if abs(x) < 1 else None,
    "deg2rad": lambda c, x: x * c.pi / 180,
    "rad2deg": lambda c, x: x * 180 / c.pi,
    "logaddexp": _logaddexp,
    "logaddexp2": _logaddexp2,
    "xlogy": lambda c, x, y: _times_log(c, x, y, c.log),
    "xlog1py": lambda c, x, y: _times_log(c, x, y, lambda v: c.log(1 + v)),
    "logit": lambda c, x: c.log(x / (1 - x)) if 0 < x < 1 else None,
    "entr": _entropy,
    "rel_entr": _relative,
    "kl_terms": _divergence,
    "cosm1": lambda c, x: -2 * c.sin(bounded(c, x) / 2) ** 2,
    "sinpi": lambda c, x: c.sinpi(bounded(c, x)),
    "cospi": lambda c, x: c.cospi(bounded(c, x)),
    "sindg": lambda c, x: c.sinpi(bounded(c, x) / 180),
    "cosdg": lambda c, x: c.cospi(bounded(c, x) / 180),
    "tandg": lambda c, x: _divide(c, c.sinpi(bounded(c, x) / 180), c.cospi(bounded(c, x) / 180)),
    "cotdg": lambda c, x: _divide(c, c.cospi(bounded(c, x) / 180), c.sinpi(bounded(c, x) / 180)),
    "sigmoid": _sigmoid,
    "log_sigmoid": lambda c, x: -_logaddexp(c, c.zero, -x),
    "elu": _elu,
    "tanhshrink": lambda c, x: x - _tanh(c, x),
    "log_cosh": _log_cosh,
    "ldexp": lambda c, x, n: c.ldexp(x, max(-5000, min(5000, int(n)))),
}
"""Ops that cost an exponential or so."""
