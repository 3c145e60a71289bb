"""Special functions with an order or a param: which have an expression, and what it is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import comb, floor
from typing import Any, TypeAlias

from engine.render.code.statements import Choice, Expr, Num, equal, minus, plus, product, quotient
from engine.render.code.translate import apply

Params: TypeAlias = Mapping[str, Any]


def _whole(n: int) -> Num:
    return Num(n, "int")


def _order(params: Params) -> int:
    """How often the function is differentiated."""
    return int(params.get("order", 0))


FIXED: Mapping[str, float] = {
    "j0": 0.0, "j1": 1.0, "y0": 0.0, "y1": 1.0, "i0": 0.0, "i1": 1.0, "k0": 0.0, "k1": 1.0,
    "i0e": 0.0, "i1e": 1.0, "k0e": 0.0, "k1e": 1.0,
}  # fmt: skip


def _v(name: str, params: Params) -> float:
    return FIXED[name] if name in FIXED else float(params["v"])


def _neighbours(
    name: str, params: Params, x: Expr, one: Callable[[float], Expr], alternate: bool, sign: float
) -> Expr:
    """2⁻ⁿ Σ (±1)ᵏ C(n, k) f_{v−n+2k} (DLMF 10.6.7, 10.29.5)."""
    n, v = _order(params), _v(name, params)
    total: Expr | None = None
    for k in range(n + 1):
        weight = sign**n * comb(n, k) / 2.0**n * (-1.0 if alternate and k % 2 else 1.0)
        term = one(v - n + 2 * k)
        if abs(weight) != 1.0:
            term = product(Num(abs(weight)), term)
        if total is None:
            total = term if weight > 0 else product(Num(-1.0), term)
        else:
            total = plus(total, term) if weight > 0 else minus(total, term)
    assert total is not None
    return total


def _bessel(name: str, params: Params, xs: Sequence[Expr]) -> Expr:
    (x,), n, v = xs, _order(params), _v(name, params)
    kind, scaled = name[0], name.endswith("e")
    truth = Num(float(scaled), "bool")
    if kind in "jy":
        found = _neighbours(name, params, x, lambda u: apply(f"bessel_{kind}", _whole(int(u)), x), True, 1.0)
        if kind == "y" and n and v >= 0:  # the limit from the right, where the sum is inf - inf
            return Choice(equal(x, Num(0.0)), Num(float("-inf") * (-1.0) ** n), found, "float")
        return found
    if kind == "i":
        if scaled and n == 1:
            return apply("bessel_i_slope", Num(abs(v)), x)
        return _neighbours(name, params, x, lambda u: apply("bessel_i", Num(u), x, truth), False, 1.0)
    if scaled:
        return apply("bessel_k_slope", _whole(n), Num(abs(v)), x)
    return _neighbours(name, params, x, lambda u: apply("bessel_k", Num(u), x, truth), False, -1.0)


def _bessel_refusal(name: str, params: Params) -> str:
    n, v = _order(params), _v(name, params)
    if name[0] in "jy" and v != floor(v):
        return "only Bessel functions of integer order have a short form"
    if name[0] == "i" and v != floor(v) and (n or v < 0):
        return "only Bessel functions of integer order have a short form with derivatives"
    if name[0] == "i" and name.endswith("e") and n > 1:
        return "only the first derivative of a scaled Bessel function has a short form"
    return "" if abs(v) + n <= 200 else "an order beyond 200 has no short form"


def _tower(fn: str) -> Callable[[str, Params, Sequence[Expr]], Expr]:
    return lambda name, params, xs: apply(fn, _whole(_order(params)), *xs)


def _polygamma(name: str, params: Params, xs: Sequence[Expr]) -> Expr:
    n = _gamma_order(name, params)
    return apply("polygamma", _whole(n), xs[0]) if n else apply("digamma_of", xs[0])


def _gamma_order(name: str, params: Params) -> int:
    base = {"digamma": 0, "trigamma": 1}
    return _order(params) + (base[name] if name in base else int(params.get("n", 0)))


def _only_value(fn: str) -> Callable[[str, Params, Sequence[Expr]], Expr]:
    return lambda name, params, xs: apply(fn, *xs)


def _elliptic(name: str, params: Params, xs: Sequence[Expr]) -> Expr:
    (m,) = xs
    return apply(name if not _order(params) else f"{name}_slope", m)


def _expn(name: str, params: Params, xs: Sequence[Expr]) -> Expr:
    return apply("expn", _whole(int(params["n"])), xs[0])


def _up_to(most: int) -> Callable[[str, Params], str]:
    return lambda name, params: (
        "" if _order(params) <= most else f"derivatives of it beyond order {most} have no short form"
    )


def _gamma_refusal(name: str, params: Params) -> str:
    return "" if _gamma_order(name, params) <= 5 else "polygamma functions beyond order 5 have no short form"


ORDERS: Mapping[str, tuple[Callable[[str, Params, Sequence[Expr]], Expr], Callable[[str, Params], str]]] = {
    **dict.fromkeys((*FIXED, "jv", "yv", "iv", "kv", "ive", "kve"), (_bessel, _bessel_refusal)),
    **dict.fromkeys(("digamma", "trigamma", "polygamma"), (_polygamma, _gamma_refusal)),
    "polygamma_difference": (_tower("polygamma_difference"), _up_to(4)),
    "erfcx": (_tower("erfcx"), _up_to(8)),
    "dawsn": (_tower("dawsn"), _up_to(8)),
    "log_quotient": (_tower("log_quotient"), _up_to(8)),
    "exprel": (_tower("exprel_of"), _up_to(6)),
    "spherical_ratio": (_tower("spherical_ratio"), _up_to(6)),
    "hurwitz_zeta": (_only_value("zeta_of"), _up_to(0)),
    "ellipk": (_elliptic, _up_to(1)),
    "ellipe": (_elliptic, _up_to(1)),
    "expn": (_expn, lambda name, params: ""),
}
"""For each op how it is written, and why it cannot be."""


def refusal(name: str, params: Params) -> str:
    """Why there is no expression for these params; empty if there is one."""
    return ORDERS[name][1](name, params)


def special(name: str, params: Params, xs: Sequence[Expr]) -> Expr:
    """The expression."""
    return ORDERS[name][0](name, params, xs)


__all__ = ["ORDERS", "quotient", "refusal", "special"]
