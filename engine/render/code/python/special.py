"""Text of special functions and of their derivatives of any order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from engine.ops.pointwise.elementary import spherical_ratio
from engine.ops.special import bessel
from engine.ops.special.error_functions import dawson_derivative, erfcx_derivative
from engine.ops.special.gamma import polygamma_values
from engine.ops.special.gamma_ratio import polygamma_difference
from engine.ops.special.incomplete_shape import beta_shape_derivative, gamma_shape_derivative
from engine.ops.special.integrals import elliptic_derivative, exprel_derivative, log_quotient_derivative
from engine.render.code.python.elementwise import doubles, precise
from engine.render.code.python.expr import Expr, call
from engine.render.code.python.scope import Call
from engine.render.code.python.table import writes


def _scipy(c: Call, name: str, *more: str) -> Expr:
    """SciPy's function."""
    c.module.imports.add("from scipy import special")
    return precise(c, call(f"special.{name}", *more, *doubles(c)))


def _ours(c: Call, function: Callable[..., Any], *before: str, after: tuple[str, ...] = ()) -> Expr:
    """A function of ours, on an array: a number is made one, and one of the result."""
    name = c.module.use(function.__module__, function.__name__)
    given: list[Any] = [*before, *doubles(c), *after]
    if c.avals[0].shape == ():
        given = [*before, *[call("np.asarray", x) for x in doubles(c)], *after]
        return precise(c, Expr(f"{call(name, *given).text}[()]", depth=2))
    return precise(c, call(name, *given))


@writes("sine_integral")
def _sine_integral(c: Call) -> Expr:
    c.module.imports.add("from scipy import special")
    return precise(c, Expr(f"{call('special.sici', *doubles(c)).text}[0]", depth=2))


@writes("cosine_integral")
def _cosine_integral(c: Call) -> Expr:
    c.module.imports.add("from scipy import special")
    return precise(c, Expr(f"{call('special.sici', *doubles(c)).text}[1]", depth=2))


@writes("spherical_ratio")
def _spherical_ratio(c: Call) -> Expr:
    return _ours(c, spherical_ratio, after=(str(c.params.get("order", 0)),))


TOWERS: dict[str, tuple[Callable[..., Any], tuple[str, ...]]] = {
    "erfcx": (erfcx_derivative, ()),
    "dawsn": (dawson_derivative, ()),
    "exprel": (exprel_derivative, ()),
    "ellipk": (elliptic_derivative, ("-0.5",)),
    "ellipe": (elliptic_derivative, ("0.5",)),
}
"""Functions whose derivative of order n is a function of ours, with further arguments; order 0 is SciPy's."""


@writes(*TOWERS)
def _tower(c: Call) -> Expr:
    name, order = c.node.op.name, c.params.get("order", 0)
    if not order:
        return _scipy(c, name)
    function, more = TOWERS[name]
    return _ours(c, function, after=(str(order), *more))


@writes("log_quotient")
def _log_quotient(c: Call) -> Expr:
    return _ours(c, log_quotient_derivative, after=(str(c.params.get("order", 0)),))


@writes("digamma", "trigamma", "polygamma")
def _polygamma(c: Call) -> Expr:
    order = c.params.get("order", 0) + (c.node.op.name == "trigamma")
    return _ours(c, polygamma_values, str(order)) if order else _scipy(c, "digamma")


@writes("polygamma_difference")
def _polygamma_difference(c: Call) -> Expr:
    return _ours(c, polygamma_difference, str(c.params.get("order", 0)))


@writes("expn")
def _expn(c: Call) -> Expr:
    return _scipy(c, "expn", str(c.params["n"]))


@writes("hurwitz_zeta")
def _hurwitz_zeta(c: Call) -> Expr:
    return precise(c, call(c.helper("hurwitz_zeta", "special"), str(c.params.get("order", 0)), *doubles(c)))


def _flat(c: Call, function: Callable[..., Any], *orders: int) -> Expr:
    name = c.module.use(function.__module__, function.__name__)
    listed = ", ".join(str(n) for n in orders)
    letters = ", ".join("abx"[3 - len(c.args) :] if len(c.args) == 3 else "ax")
    return precise(
        c, call(c.helper("flat", "special"), f"lambda {letters}: {name}({listed}, {letters})", *doubles(c))
    )


@writes("gammainc_shape")
def _gammainc_shape(c: Call) -> Expr:
    return _flat(c, gamma_shape_derivative, c.params.get("order", 1))


@writes("betainc_in_a", "betainc_in_b")
def _betainc_shape(c: Call) -> Expr:
    first = (1, 0) if c.node.op.name == "betainc_in_a" else (0, 1)
    return _flat(c, beta_shape_derivative, *c.params.get("orders", first))


# -------------------------------------------------------------------------------------------------------------- Bessel

KINDS: dict[str, tuple[Callable[..., Any], float, float, bool]] = {
    "j": (bessel.bessel_j, -1.0, 1.0, False),
    "y": (bessel.bessel_y, -1.0, 1.0, True),
    "i": (bessel.bessel_i, 1.0, 1.0, False),
    "k": (bessel.bessel_k, 1.0, -1.0, True),
}
"""The function, the sign between neighbouring orders, that of the first derivative, and whether it is infinite at 0."""
SCALED: dict[str, Callable[..., Any]] = {"i": bessel.scaled_i_derivative, "k": bessel.scaled_k_derivative}


@writes(
    *[f"{letter}{v}" for letter in "jyik" for v in "01v"],
    *[f"{letter}{v}e" for letter in "ik" for v in "01v"],
)
def _bessel(c: Call) -> Expr:
    name, order = c.node.op.name, c.params.get("order", 0)
    letter, scaled = name[0], name.endswith("e")
    v = float(c.params.get("v", 0.0)) if name[1] == "v" else float(name[1])
    if not order:
        if v in (0.0, 1.0):
            return _scipy(c, f"{letter}{int(v)}{'e' * scaled}")
        if v != -1.0:
            return _scipy(c, f"{letter}v{'e' * scaled}", repr(v))
    if scaled:
        return _ours(c, SCALED[letter], repr(v), after=(str(order),))
    function, alternate, sign, at_zero = KINDS[letter]
    summed = bessel.neighbours_from_zero if at_zero else bessel.neighbours
    inner = c.module.use(function.__module__, function.__name__)
    return _ours(c, summed, inner, repr(v), after=(str(order), repr(alternate), repr(sign)))
