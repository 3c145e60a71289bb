"""Elementwise ops as expressions over numbers: by the formula that an op carries for the tape, or by a row here.

The tape's formulas need not be right for NaN and infinities, where the tape gives up; a row here is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from engine.graph import Node, single
from engine.op import Op, registry
from engine.render.code.lowering import Lowering
from engine.render.code.special import ORDERS, refusal, special
from engine.render.code.statements import (
    Binary,
    Call,
    Choice,
    Expr,
    Num,
    Type,
    converted,
    product,
    quotient,
)
from engine.render.code.translate import apply, formula
from engine.render.code.values import HANDLERS, READS_ONCE, Tensor, scalar, type_of

Params: TypeAlias = Mapping[str, Any]
Row: TypeAlias = Callable[[Params, list[Expr]], Expr]

FORMULAS: Mapping[str, str] = {
    "maximum": "maximum(a, b)",
    "sign": "sign(a)",
    "xlogy": "xlogy(a, b)",
    "xlog1py": "xlog1py(a, b)",
    "entr": "entr(a)",
    "rel_entr": "rel_entr(a, b)",
    "kl_terms": "kl_terms(a, b)",
    "heaviside": "heaviside(a, b)",
    "softsign": "softsign(a)",
    "is_extreme": "logical_or(a == b, logical_and(a != a, b != b))",
    "logit": "logit(a)",
    "logaddexp2": "logaddexp2(a, b)",
    "exp10": "pow(10.0, a)",
    "sindg": "sindg(a)",
    "cosdg": "cosdg(a)",
    "tandg": "tandg(a)",
    "cotdg": "cotdg(a)",
    "relu": "where(a <= 0, 0, a)",
    "floor_divide": "floor_divide(a, b)",
    "gamma": "tgamma(a)",
    "gammaln": "lgamma(a)",
    "rgamma": "rgamma(a)",
    "gammasgn": "gammasgn(a)",
    "beta": "beta(a, b)",
    "betaln": "betaln(a, b)",
    "binom": "binom(a, b)",
    "poch": "poch(a, b)",
    "erf": "erf(a)",
    "erfc": "erfc(a)",
    "erfinv": "erfinv(a)",
    "erfcinv": "erfcinv(a)",
    "ndtr": "ndtr(a)",
    "ndtri": "ndtri(a)",
    "log_ndtr": "log_ndtr(a)",
    "ndtri_exp": "ndtri_exp(a)",
    "gammainc": "gammainc(a, b)",
    "gammaincc": "gammaincc(a, b)",
    "betainc": "betainc(a, b, c)",
    "betaincc": "betaincc(a, b, c)",
    "gamma_density": "gamma_density(a, b)",
    "beta_density": "beta_density(a, b, c)",
    "exp1": "exp1(a)",
    "expi": "expi(a)",
    "spence": "spence(a)",
    "sine_integral": "sine_integral(a)",
    "cosine_integral": "cosine_integral(a)",
    "lambertw_principal": "lambertw(a)",
    "lambertw_lower": "lambertw_lower(a)",
    "ldexp": "ldexp_of(a, b)",
    "binary_exponent": "binary_exponent(a)",
}
"""Values of ops on doubles, where the op itself carries no formula or one that is not right everywhere."""

INTEGERS: Mapping[str, str] = {
    "abs": "int_abs(a)",
    "sign": "int_sign(a)",
    "floor_divide": "int_floor_divide(a, b)",
    "remainder": "int_remainder(a, b)",
    "fmod": "int_fmod(a, b)",
    "maximum": "int_maximum(a, b)",
    "minimum": "int_minimum(a, b)",
    "clip": "int_minimum(int_maximum(a, b), c)",
    "pow": "int_power(a, b)",
    "relu": "int_maximum(a, 0)",
    "floor": "a",
    "ceil": "a",
    "trunc": "a",
    "fmax": "int_maximum(a, b)",
    "fmin": "int_minimum(a, b)",
    "is_extreme": "a == b",
}
"""Values on integers, where the formula on doubles does not serve for them."""

TRUTHS: Mapping[str, str] = {
    "add": "logical_or(a, b)",
    "maximum": "logical_or(a, b)",
    "multiply": "logical_and(a, b)",
    "minimum": "logical_and(a, b)",
    "square": "a",
    "abs": "a",
    "positive": "a",
    "fmax": "logical_or(a, b)",
    "fmin": "logical_and(a, b)",
}
"""Results that are truth values, of ops that are not comparisons."""


def _multiply(params: Params, xs: list[Expr]) -> Expr:
    x, y = xs
    strong = params.get("strong")
    if not strong or x.type != "float":
        return Binary("*", x, y, x.type)
    if strong == (1,):
        x, y = y, x

    def passes(e: Expr) -> bool:
        return isinstance(e, Num) and e.value != 0

    def finite(e: Expr) -> bool:
        return isinstance(e, Num) and abs(e.value) < float("inf")

    if len(strong) == 1 and (passes(x) or finite(y)):
        return product(x, y)
    if len(strong) == 2 and (finite(x) or finite(y)):
        # 0 times an infinity or NaN is left as it is only where the one that is finite is not 0.
        if (finite(x) and passes(x)) or (finite(y) and passes(y)):
            return apply("strong", *((y, x) if finite(x) else (x, y)))
        return apply("strong_both", x, y)
    return apply("strong" if len(strong) == 1 else "strong_both", x, y)


def _power(params: Params, xs: list[Expr]) -> Expr:
    """As NumPy and the op compute it: small whole powers by products."""
    (x,), n = xs, params["exponent"]
    if x.type == "int":
        return apply("int_power", x, Num(int(n), "int"))
    if n == 0:
        return Num(1.0)
    if n == 1:
        return x
    if n == 2:
        return product(x, x)
    if n == 3:
        return product(product(x, x), x)
    if n == 4:
        return product(product(x, x), product(x, x))
    if n == -1:
        return quotient(Num(1.0), x)
    return Call("pow", (x, Num(float(n))))


def _cast(params: Params, xs: list[Expr]) -> Expr:
    (x,), to = xs, type_of(params["dtype"])
    if x.type == "float" and to == "int":
        return apply("integer_of", x)
    return converted(x, to)


def _same(params: Params, xs: list[Expr]) -> Expr:
    return xs[0]


def _abs_power(params: Params, xs: list[Expr]) -> Expr:
    (x,), p = xs, Num(float(params["exponent"]))
    if params["signed"]:
        return apply("abs_power", x, p)
    return Call("pow", (Call("fabs", (x,)), p))


def _where(params: Params, xs: list[Expr]) -> Expr:
    mask, x, y = xs
    if isinstance(mask, Num):
        return x if mask.value else y
    return Choice(converted(mask, "bool"), x, y, x.type)


ROWS: Mapping[str, Row] = {
    "multiply": _multiply,
    "pow_by": _power,
    "cast": _cast,
    "abs_power": _abs_power,
    "where": _where,
    **dict.fromkeys(("identity", "stop_gradient", "held", "between", "in_order", "positive"), _same),
}


def unsupported(op: Op, params: Params) -> str:
    """Why an elementwise op has no expression; empty if it has one."""
    if op.name in ORDERS:
        return refusal(op.name, params)
    if op.name in ROWS or op.name in FORMULAS or op.scalar:
        return ""
    return "it has no short form in C or JavaScript"


def expression(op: Op, params: Params, xs: list[Expr], kind: Type) -> Expr:
    """The op's value, of type `kind`, from those of its operands; they are written as often as the formula names them."""
    name = op.name
    if name in ORDERS:
        return special(name, params, xs)
    row = ROWS.get(name)
    if kind == "bool" and name in TRUTHS:
        return _formula(TRUTHS[name], xs)
    if row is not None:
        return converted(row(params, xs), kind)
    whole = all(x.type == "int" for x in xs)
    if name in INTEGERS and whole:
        return converted(_formula(INTEGERS[name], xs), kind)
    text = FORMULAS.get(name) or op.scalar
    given = [*xs, *(Num(float(params[p])) for p in op.scalar_params)]
    return converted(_formula(text, given), kind)


def _formula(text: str, xs: list[Expr]) -> Expr:
    return formula(text, dict(zip("abc", xs, strict=False)))


def _handle(low: Lowering, node: Node, xs: list[Any], params: dict[str, Any]) -> Tensor:
    aval = single(node.aval)
    kind = type_of(aval.dtype)
    op = node.op

    def compute(given: list[Expr]) -> Expr:
        return expression(op, params, given, kind)

    if aval.shape == ():
        return scalar(compute([x.expr for x in xs]))

    def entry(x: Tensor, read: Any, index: Any) -> Expr:
        """An entry of an operand; of one that is pending a local, so that it is computed once."""
        if x.shape == ():
            return x.expr
        if x.settled:
            return read(index)  # type: ignore[no-any-return]  # `at` or `flat`
        return low.known((x, index), lambda: low.named(read(index)))

    def at(index: tuple[Expr, ...]) -> Expr:
        return compute([entry(x, x.at, index) for x in xs])

    def flat(i: Expr) -> Expr:
        return compute([entry(x, x.flat, i) for x in xs])

    straight = all(x.flat is not None for x in xs)
    depth = 1 + max((x.depth for x in xs), default=0)
    return Tensor(aval.shape, kind, at, flat if straight else None, None, settled=False, depth=depth)


def register() -> None:
    """A handler for every elementwise op, and for `ldexp`, which is one but for its types."""
    for op in registry.everything():
        if op.elementwise and not op.composite:
            HANDLERS[op.name] = _handle
            READS_ONCE.add(op.name)
    for name in ("ldexp", "binary_exponent"):
        HANDLERS[name] = _handle
        READS_ONCE.add(name)


register()
