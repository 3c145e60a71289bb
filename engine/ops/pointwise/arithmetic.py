"""Arithmetic, rounding, and the ops with a choice in them: add, multiply, pow, maximum, clip, where, …"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from engine.attrs import INT, INTS
from engine.aval import Array, Aval, Avals
from engine.builder import Builder, Var, call
from engine.errors import DtypeMismatch, InvalidAttribute
from engine.formula import strong_product
from engine.op import Attr, Example, General, Into, Op, Operand, Params, registry
from engine.ops.pointwise.elementwise import Elementwise
from engine.transforms.strong import times

add = registry.add(
    Elementwise(
        "add",
        np.add,
        ("1", "1"),
        scalar="a + b",
        doc="Sum of two arrays, x + y.",
        latex="{x} + {y}",
        aliases=("+", "plus", "Add"),
        passes_integers=True,
        derivative={"x": "1", "y": "1"},
        examples=(Example(([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], [10.0, 20.0, 30.0]), note="broadcasting"),),
    )
)
subtract = registry.add(
    Elementwise(
        "subtract",
        np.subtract,
        ("1", "-1"),
        scalar="a - b",
        doc="Difference of two arrays, x − y.",
        latex="{x} - {y}",
        aliases=("sub", "-", "minus", "Sub"),
        bools=False,
        passes_integers=True,
        derivative={"x": "1", "y": "-1"},
        examples=(Example((5.0, [1.0, 2.0])),),
    )
)


def _strong_into(strong: tuple[int, ...], x: Any, y: Any, out: Array) -> None:
    """`strong_product`, written into `out`."""
    np.multiply(x, y, out)
    bad = np.isnan(out)
    if bad.any():
        zero = np.zeros((), bool)
        for k in strong:
            zero = zero | (np.asarray((x, y)[k]) == 0)
        np.copyto(out, 0, where=bad & zero)


class Multiply(Elementwise):
    """Product of two arrays, x·y.

    In the core, factors named in the param `strong` are strong zeros: where such a factor is 0 the product is 0, even if
    the other is infinite or NaN. Both walks write their products of a tangent or cotangent with a partial so. The class
    is closed under differentiation: in the derivative of a strong product the other factor keeps its strength.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.parameters = (*self.parameters, Attr("strong", INTS, ()))
        self.plain = True

    def lower(self, b: Builder, *operands: Var, **attrs: Any) -> Var:
        """One node; `strong` names factors (0, 1) that are strong zeros."""
        strong = tuple(sorted(set(attrs["strong"])))
        if not set(strong) <= {0, 1}:
            raise InvalidAttribute(
                f"multiply: strong names factors, 0 or 1; {list(strong)} goes beyond them."
            )
        result: Var = b.write(self, *b.broadcast(operands), **({"strong": strong} if strong else {}))
        return result

    def infer(self, *avals: Aval, **params: Any) -> Avals:
        """As every elementwise op; `strong` changes values only."""
        return super().infer(*avals)

    def evaluate(self, *arrays: Any, **params: Any) -> Any:
        """x·y, with strong zeros mended where IEEE arithmetic gave NaN."""
        x, y = arrays
        strong = params.get("strong")
        return strong_product(x, y, strong) if strong else np.multiply(x, y)

    def into(self, avals: Sequence[Aval], params: Params) -> Into | None:
        """A strong product is looked through and mended where it lies."""
        strong = dict(params).get("strong")
        return Into(partial(_strong_into, strong)) if strong else self.writer

    def unguarded(self, params: Params) -> tuple[Op, Params]:
        """An ordinary product."""
        return self, ()

    def calculation(self, avals: Sequence[Aval], params: Params) -> Callable[..., Any]:
        """As every elementwise op; a strong product of scalars is an ordinary one unless that is NaN."""
        strong = dict(params).get("strong")
        if not strong:
            return super().calculation(avals, ())
        if any(a.shape for a in avals):
            return lambda x, y: strong_product(x, y, strong)

        def product(x: Any, y: Any) -> Any:
            found = x * y
            return found if found == found else strong_product(x, y, strong)

        return product

    def strong_partial(self, k: int, params: Mapping[str, Any]) -> bool:
        """The partial for operand k is the other factor."""
        return 1 - k in params.get("strong", ())


multiply = registry.add(
    Multiply(
        "multiply",
        np.multiply,
        ("b", "a"),
        scalar="a * b",
        doc="Product of two arrays entry by entry, x·y.",
        latex="{x} \\, {y}",
        aliases=("mul", "*", "times", "Mul"),
        passes_integers=True,
        derivative={"x": "y", "y": "x"},
        examples=(Example(([1.0, -2.0, 0.5], [3.0, 0.0, 1e200])),),
    )
)
divide = registry.add(
    Elementwise(
        "divide",
        np.divide,
        ("1 / b", "-y / b"),
        scalar="a / b",
        doc="Quotient of two arrays, x / y.",
        latex="\\frac{{{x}}}{{{y}}}",
        aliases=("div", "/", "truediv", "true_divide", "Div"),
        floating=True,
        domain=((-2.0, 2.0), (0.5, 2.0)),
        derivative={"x": "\\frac{1}{y}", "y": "-\\frac{x}{y^2}"},
        weight=2,
        examples=(Example(([1.0, -3.0], [4.0, 2.0])), Example((1e-200, 1e200), note="underflow")),
    )
)
floor_divide = registry.add(
    Elementwise(
        "floor_divide",
        np.floor_divide,
        ("0", "0"),
        scalar="floor_divide(a, b)",
        doc="Quotient rounded down, ⌊x / y⌋.",
        latex="\\left\\lfloor \\frac{{{x}}}{{{y}}} \\right\\rfloor",
        aliases=("//", "floordiv"),
        bools=False,
        passes_integers=True,
        domain=((0.1, 0.9), (1.1, 2.0)),
        weight=4,
        convention="Constant between its jumps: the derivative is 0, at the jumps too.",
        examples=(Example(([7.3, -7.3], [2.0, 2.0])),),
    )
)
remainder = registry.add(
    Elementwise(
        "remainder",
        np.remainder,
        ("1", "-floor(a / b)"),
        scalar="remainder(a, b)",
        doc="Remainder with the sign of the divisor, x − y⌊x / y⌋.",
        latex="{x} \\bmod {y}",
        aliases=("mod", "%"),
        bools=False,
        passes_integers=True,
        domain=((0.1, 0.9), (1.1, 2.0)),
        derivative={"x": "1", "y": "-\\lfloor x/y \\rfloor"},
        weight=4,
        convention="At a jump (x a multiple of y): the derivative from the side of larger x.",
        examples=(Example(([7.3, -7.3], [2.0, 2.0])),),
    )
)
fmod = registry.add(
    Elementwise(
        "fmod",
        np.fmod,
        ("1", "-trunc(a / b)"),
        scalar="fmod(a, b)",
        doc="Remainder with the sign of the dividend, x − y·trunc(x / y).",
        latex="\\operatorname{{fmod}}({x}, {y})",
        bools=False,
        domain=((0.1, 0.9), (1.1, 2.0)),
        weight=4,
        derivative={"x": "1", "y": "-\\operatorname{trunc}(x/y)"},
        convention="At a jump (x a multiple of y): the derivative from the side away from 0.",
        examples=(Example(([7.3, -7.3], [2.0, 2.0])),),
    )
)
negative = registry.add(
    Elementwise(
        "negative",
        np.negative,
        ("-1",),
        scalar="-a",
        doc="Negation, −x.",
        latex="-{x}",
        aliases=("neg", "Neg"),
        bools=False,
        passes_integers=True,
        derivative={"x": "-1"},
        examples=(Example(([1.0, -2.0],)),),
    )
)
positive = registry.add(
    Elementwise(
        "positive",
        np.positive,
        ("1",),
        scalar="a",
        doc="The number itself, +x.",
        latex="{x}",
        bools=False,
        passes_integers=True,
        derivative={"x": "1"},
        examples=(Example(([1.0, -2.0],)),),
    )
)


def sign_into(x: Any, out: Array) -> None:
    """[x > 0] − [x < 0], and NaN: without a jump for each entry."""
    up, down = np.greater(x, 0), np.less(x, 0)
    np.copyto(out, np.subtract(up.view(np.int8), down.view(np.int8)))
    if out.dtype.kind == "f":
        missing = np.isnan(x)
        if missing.any():
            np.copyto(out, np.nan, where=missing)


absolute = registry.add(
    Elementwise(
        "abs",
        np.abs,
        ("where(a == 0, 0, sign(a))",),
        scalar="abs(a)",
        doc="Absolute value, |x|.",
        latex="\\left| {x} \\right|",
        aliases=("absolute", "fabs", "Abs"),
        domain=((0.2, 2.0),),
        derivative={"x": "\\operatorname{sign} x"},
        kink="a == 0",
        convention="At 0 the subgradient of least norm, 0.",
        examples=(Example(([1.5, -2.0],)), Example(([0.0],), smooth=False)),
    )
)
sign = registry.add(
    Elementwise(
        "sign",
        np.sign,
        ("0",),
        scalar="sign(a)",
        doc="Sign: −1, 0 or 1.",
        latex="\\operatorname{{sign}} {x}",
        aliases=("Sign", "sgn"),
        bools=False,
        into=Into(sign_into),
        domain=((0.2, 2.0),),
        convention="The derivative is 0 everywhere, at the jump too.",
        examples=(Example(([1.5, -2.0],)), Example((0.0,), smooth=False)),
    )
)
square = registry.add(
    Elementwise(
        "square",
        np.square,
        ("2 * a",),
        scalar="a * a",
        doc="Square, x².",
        latex="{x}^2",
        bools=False,
        derivative={"x": "2 x"},
        examples=(Example(([3.0, -0.5],)),),
    )
)
reciprocal = registry.add(
    Elementwise(
        "reciprocal",
        np.reciprocal,
        ("-y * y",),
        scalar="1 / a",
        doc="Reciprocal, 1 / x.",
        latex="\\frac{{1}}{{{x}}}",
        aliases=("Reciprocal",),
        floating=True,
        domain=((0.5, 2.0),),
        derivative={"x": "-\\frac{1}{x^2}"},
        weight=2,
        examples=(Example(([4.0, -0.5],)),),
    )
)


class Power(Elementwise):
    """x to the power y, as C's pow.

    ∂/∂x = y·x^(y−1); ∂/∂y = x^y·log x. A literal exponent is a node of its own kind (`pow_by`), since every derivative
    of xⁿ must be right at 0.
    """

    def lower(self, b: Builder, *operands: Var, **attrs: Any) -> Var:
        """`pow_by` for a literal exponent."""
        x, y = operands
        if y.literal and y.rank == 0:
            n = float(b.literal_value(y))
            if x.dtype in ("int64", "bool") and n < 0:
                x = b.write("cast", x, dtype=b.dtype)
            result: Var = b.write("pow_by", x, exponent=n)
            return result
        if x.dtype != b.dtype:
            # An integer power of integers could be fractional: only its value tells.
            x, y = b.write("cast", x, dtype=b.dtype), b.write("cast", y, dtype=b.dtype)
        return super().lower(b, x, y)


power = registry.add(
    Power(
        "pow",
        np.power,
        (
            # At y = 0 the factor y makes this 0, and keeps the mixed derivative 1/x right. At x = 0 stand functions with
            # the limits of value and derivatives: the mixed one is −∞ for 0 < y ≤ 1 and +∞ for y = 0.
            "where(b == 0, where(a == 0, sqrt(b), b * where(a == a, 1 / a, 1)),"
            " where(logical_and(a == 0, logical_and(b > 0, b < 1)), pow(a, b - 1), b * pow(a, b - 1)))",
            "where(a == 0, where(b > 1, 0, where(b > 0, 0 - sqrt(a), y * log(a))), y * log(a))",
        ),
        scalar="pow(a, b)",
        # A power costs five times as much as a quotient, which has the digits unless the power vanishes.
        scalar_partials=(
            "where(logical_and(a != 0, abs(y) > 1e-290), b * (y / a),"
            " where(b == 0, 0, where(logical_and(a == 0, b < 1), pow(a, b - 1), b * pow(a, b - 1))))",
            "where(a == 0, where(b > 1, 0, where(b > 0, 0 - sqrt(a), y * log(a))), y * log(a))",
        ),
        doc=Power.__doc__ or "",
        latex="{x}^{{{y}}}",
        aliases=("power", "**", "Pow", "float_power"),
        domain=((0.2, 2.0), (-2.0, 2.0)),
        derivative={"x": "y\\,x^{y-1}", "y": "x^y \\log x"},
        weight=20,
        convention="x⁰ has derivative 0 everywhere; ∂/∂y at x = 0, y > 0 is 0. A negative base with an integral exponent "
        "is fine; its derivative in the exponent is NaN.",
        examples=(
            Example(([1.5, 2.0], [0.5, -1.0])),
            Example(([0.0, -2.0], 3.0), note="zero and negative base"),
            Example(([0.0, 2.0], 0.0), smooth=False, note="x**0"),
        ),
    )
)


def _by_magnitude(n: float) -> bool:
    """Whether xⁿ is taken of |x|: for integral n that NumPy has no shorter way for."""
    return float(n).is_integer() and n not in (-1.0, 0.0, 1.0, 2.0)


class PowerBy(Op):
    """x to a fixed power n: derivative n·x^(n−1), and 0 for n = 0, right at x = 0 to every order."""

    name = "pow_by"
    family = "core"
    internal = True
    elementwise = True
    rules = (General(),)
    scalar = "pow(a, b)"
    scalar_partials = ("where(logical_and(a != 0, abs(y) > 1e-290), b * (y / a), b * pow(a, b - 1))",)
    scalar_params = ("exponent",)

    def infer(self, *avals: Aval, **params: Any) -> Avals:
        """The base's aval; integers stay integers (n is not negative then)."""
        if avals[0].dtype == "bool":
            raise DtypeMismatch("pow is not defined for booleans.")
        if avals[0].dtype == "int64" and not float(params["exponent"]).is_integer():
            raise DtypeMismatch("An integer to a fractional power: cast the base first.")
        return avals[0]

    def evaluate(self, *arrays: Any, **params: Any) -> Any:
        """NumPy's power; x·x·x and (x²)²; other integral powers by |x|, since vectorised power is slow for x < 0."""
        x, n = np.asarray(arrays[0]), params["exponent"]
        if x.dtype.kind == "i":
            return np.power(x, int(n))[()]
        if n == 3 or n == 4:
            square = x * x
            return square * (x if n == 3 else square)
        if not _by_magnitude(n):
            return np.power(x, x.dtype.type(n))[()]
        y = np.power(np.abs(x), x.dtype.type(n))
        return np.copysign(y, x) if n % 2 else y

    def into(self, avals: Sequence[Aval], params: Params) -> Into | None:
        """The same, in place."""
        dtype, n = np.dtype(avals[0].dtype), params[0][1]
        if dtype.kind == "i":
            whole = int(n)
            return Into(lambda x, out: np.power(x, whole, out), (0,), stretches=True)
        if n == 3:
            return Into(lambda x, out: np.multiply(np.multiply(x, x, out), x, out), stretches=True)
        if n == 4:
            return Into(lambda x, out: np.square(np.multiply(x, x, out), out), (0,), stretches=True)
        exponent = dtype.type(n)
        if not _by_magnitude(n):
            return Into(lambda x, out: np.power(x, exponent, out), (0,), stretches=True)
        if n % 2:
            return Into(
                lambda x, out: np.copysign(np.power(np.abs(x, out), exponent, out), x, out), stretches=True
            )
        return Into(lambda x, out: np.power(np.abs(x, out), exponent, out), (0,), stretches=True)

    def jvp(self, y: Any, xs: Sequence[Var], dxs: Sequence[Var | None], **params: Any) -> Any:
        """n·x^(n−1)·ẋ."""
        n = params["exponent"]
        (x,), (dx,) = xs, dxs
        if n == 0 or dx is None:
            return None
        if n == 1:
            return dx
        slope: Var = x if n == 2 else x.b.write("pow_by", x, exponent=n - 1.0)
        return times(dx, n * slope)

    def flops(self, operands: Sequence[Aval], result: Avals, **params: Any) -> float:
        """Small powers are products."""
        return operands[0].size * (1.0 if params["exponent"] in (0.0, 1.0, 2.0) else 20.0)


registry.add(PowerBy())

_ROUND = "The derivative is 0 everywhere, at the jumps too."
floor = registry.add(
    Elementwise(
        "floor",
        np.floor,
        ("0",),
        scalar="floor(a)",
        doc="Largest integer not above x.",
        latex="\\lfloor {x} \\rfloor",
        aliases=("Floor",),
        bools=False,
        domain=((0.1, 0.9),),
        convention=_ROUND,
        examples=(Example(([1.5, -1.5],)),),
    )
)
ceil = registry.add(
    Elementwise(
        "ceil",
        np.ceil,
        ("0",),
        scalar="ceil(a)",
        doc="Smallest integer not below x.",
        latex="\\lceil {x} \\rceil",
        aliases=("Ceil",),
        bools=False,
        domain=((0.1, 0.9),),
        convention=_ROUND,
        examples=(Example(([1.5, -1.5],)),),
    )
)


class Round(Elementwise):
    """Nearest integer, halves to even; with `decimals` the nearest multiple of a power of ten."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.parameters = (Operand("x", ("a",)), Attr("decimals", INT, 0))

    def lower(self, b: Builder, *operands: Var, **attrs: Any) -> Var:
        """One node; with `decimals` between a product and a quotient, as NumPy does it."""
        (x,), decimals = operands, attrs["decimals"]
        if not -300 <= decimals <= 300:
            raise InvalidAttribute(f"round: decimals must be between -300 and 300, not {decimals}.")
        scale = 10.0 ** abs(decimals)
        if decimals > 0:
            x = x * scale
        elif decimals < 0:
            x = x / scale
        rounded: Var = b.write(self, x)
        return rounded / scale if decimals > 0 else rounded * scale if decimals < 0 else rounded


round_ = registry.add(
    Round(
        "round",
        np.rint,
        ("0",),
        scalar="round(a)",
        doc=Round.__doc__ or "",
        latex="\\operatorname{{round}} {x}",
        aliases=("rint", "Round", "around"),
        floating=True,
        domain=((0.1, 0.4),),
        convention=_ROUND,
        examples=(
            Example(([0.5, 1.5, -2.4],), smooth=False, note="halves go to even"),
            Example(([3.14159, -2.71828],), {"decimals": 2}),
        ),
    )
)
trunc = registry.add(
    Elementwise(
        "trunc",
        np.trunc,
        ("0",),
        scalar="trunc(a)",
        doc="x without its fraction, towards 0.",
        latex="\\operatorname{{trunc}} {x}",
        aliases=("fix",),
        bools=False,
        domain=((0.1, 0.9),),
        convention=_ROUND,
        examples=(Example(([1.5, -1.5],)),),
    )
)

_TIES = "Equal operands share the derivative: ½ each."
maximum = registry.add(
    Elementwise(
        "maximum",
        np.maximum,
        ("where(a > b, 1, where(a == b, 0.5, 0))", "where(b > a, 1, where(a == b, 0.5, 0))"),
        scalar="maximum(a, b)",
        doc="Larger of two arrays, entry by entry. NaN if either is NaN.",
        latex="\\max({x}, {y})",
        domain=((0.0, 1.0), (1.5, 2.0)),
        derivative={"x": "[x > y]", "y": "[y > x]"},
        kink="a == b",
        convention=_TIES,
        examples=(Example(([1.0, 5.0], [2.0, 3.0])), Example(([0.0], 0.0), smooth=False, note="tie")),
    )
)
minimum = registry.add(
    Elementwise(
        "minimum",
        np.minimum,
        ("where(a < b, 1, where(a == b, 0.5, 0))", "where(b < a, 1, where(a == b, 0.5, 0))"),
        scalar="minimum(a, b)",
        doc="Smaller of two arrays, entry by entry. NaN if either is NaN.",
        latex="\\min({x}, {y})",
        domain=((0.0, 1.0), (1.5, 2.0)),
        derivative={"x": "[x < y]", "y": "[y < x]"},
        kink="a == b",
        convention=_TIES,
        examples=(Example(([1.0, 5.0], [2.0, 3.0])), Example(([0.0], 0.0), smooth=False, note="tie")),
    )
)


def _choose(condition: Any, x: Any, y: Any) -> Any:
    chosen: Any = np.where(condition, x, y)
    return chosen[()]


FEW = 1000
"""Entries up to which the calls are what costs."""


def choose_into(condition: Any, x: Any, y: Any, out: Array) -> None:
    """The same bits by integer arithmetic, y ^ ((x ^ y) & mask): a jump for each entry costs five times as much where there
    are many; a few are chosen in one call."""
    if out.size <= FEW or out.itemsize == 1:
        np.copyto(out, np.where(condition, x, y))
        return
    integer = np.int64 if out.itemsize == 8 else np.int32
    to, u, v = out.view(integer), x.view(integer), y.view(integer)
    mask = np.empty_like(to)
    np.copyto(mask, condition)
    if not u.shape and u == 0:
        np.bitwise_and(v, np.subtract(mask, 1, mask), to)
        return
    np.negative(mask, mask)
    if not v.shape and v == 0:
        np.bitwise_and(u, mask, to)
        return
    change = np.bitwise_xor(u, v) if out is y else np.bitwise_xor(u, v, to)
    np.bitwise_xor(v, np.bitwise_and(change, mask, mask), to)


class Clip(Elementwise):
    """x held between min and max; either may be absent. As NumPy's, max wins where min > max."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.parameters = (
            Operand("x", ("a", "input")),
            Operand("min", ("a_min", "min_val"), optional=True),
            Operand("max", ("a_max", "max_val"), optional=True),
        )

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var:
        """One node; an absent bound is infinite."""
        x, low, high = operands
        if x.dtype != b.dtype:
            x = x if low is None else call(b, maximum, x, low)
            return x if high is None else call(b, minimum, x, high)
        low = b.var(-np.inf) if low is None else low
        high = b.var(np.inf) if high is None else high
        result: Var = b.write(self, *b.broadcast([x, low, high]))
        return result


clip = registry.add(
    Clip(
        "clip",
        lambda x, low, high: np.minimum(np.maximum(x, low), high),
        (
            "where(a > b, where(a < c, 1, 0), 0)",
            "where(a < b, where(b < c, 1, 0), 0)",
            "where(maximum(a, b) > c, 1, 0)",
        ),
        scalar="minimum(maximum(a, b), c)",
        doc=Clip.__doc__ or "",
        latex="\\operatorname{{clip}}({x}, {min}, {max})",
        aliases=("clamp", "Clip"),
        domain=((0.1, 0.9), (-1.0, 0.0), (1.0, 2.0)),
        derivative={"x": "[min < x < max]"},
        kink="logical_or(a == b, a == c)",
        into=Into(
            lambda x, low, high, out: np.minimum(np.maximum(x, low, out=out), high, out=out),
            (0,),
            stretches=True,
        ),
        convention="At a bound the derivative is 0.",
        weight=2,
        examples=(
            Example(([-1.0, 0.5, 3.0], 0.0, 1.0)),
            Example(([0.0, 1.0], 0.0, 1.0), smooth=False, note="at the bounds"),
            Example(([-1.0, 0.5], None, 0.0), note="only an upper bound"),
        ),
    )
)
where = registry.add(
    Elementwise(
        "where",
        _choose,
        ("0", "where(a, 1, 0)", "where(a, 0, 1)"),
        scalar="where(a, b, c)",
        doc="x where the condition holds, else y. What is not chosen contributes exactly nothing to a derivative.",
        latex="\\begin{{cases}} {x} & {condition} \\\\ {y} & \\text{{else}} \\end{{cases}}",
        names=("condition", "x", "y"),
        aliases=("select", "Where"),
        masks=(0,),
        into=Into(choose_into, (1, 2), stretches=True),
        domain=((0.5, 1.0), (-2.0, 2.0), (-2.0, 2.0)),
        derivative={"x": "[condition]", "y": "[\\lnot condition]"},
        examples=(Example(([True, False], [1.0, 2.0], [3.0, 4.0])),),
    )
)
copysign = registry.add(
    Elementwise(
        "copysign",
        np.copysign,
        ("where(a == 0, 0, sign(a) * copysign(1, b))", "0"),
        scalar="copysign(a, b)",
        doc="|x| with the sign of y.",
        latex="\\operatorname{{copysign}}({x}, {y})",
        floating=True,
        domain=((0.2, 2.0), (0.2, 2.0)),
        derivative={"x": "\\operatorname{sign}(x y)", "y": "0"},
        kink="a == 0",
        convention="At x = 0 the derivative is 0; in y it is 0 everywhere.",
        examples=(Example(([1.0, -2.0], [-3.0, 0.5])),),
    )
)
heaviside = registry.add(
    Elementwise(
        "heaviside",
        np.heaviside,
        ("0", "where(a == 0, 1, 0)"),
        scalar="where(a == 0, b, where(a > 0, 1, 0))",
        doc="Unit step: 0 for x < 0, y at 0, 1 for x > 0.",
        latex="H({x})",
        floating=True,
        domain=((0.2, 2.0), (0.0, 1.0)),
        names=("x", "y"),
        convention="The derivative in x is 0 everywhere, at the jump too.",
        aliases=("step",),
        examples=(Example(([-1.0, 2.0], 0.5)), Example((0.0, 0.5), smooth=False)),
    )
)
hypot = registry.add(
    Elementwise(
        "hypot",
        np.hypot,
        ("where(y == 0, 0, a / y)", "where(y == 0, 0, b / y)"),
        scalar="hypot(a, b)",
        doc="Length of the vector (x, y), √(x² + y²), without overflow.",
        latex="\\sqrt{{{x}^2 + {y}^2}}",
        floating=True,
        domain=((0.2, 2.0), (0.2, 2.0)),
        kink="y == 0",
        weight=8,
        convention="At (0, 0) the subgradient of least norm, 0.",
        derivative={
            "x": "\\frac{x}{\\operatorname{hypot}(x, y)}",
            "y": "\\frac{y}{\\operatorname{hypot}(x, y)}",
        },
        examples=(Example(([3.0, 1e200], [4.0, 1e200])), Example((0.0, 0.0), smooth=False)),
    )
)
