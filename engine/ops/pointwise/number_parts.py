"""Numbers and their parts, neighbours and exceptions: modf, divmod, ldexp, fmax, nan_to_num, isclose and the like."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from engine.attrs import BOOL, NUMBER, optional
from engine.aval import Aval, Avals
from engine.builder import Builder, Var, call
from engine.errors import DtypeMismatch, ShapeMismatch
from engine.op import Attr, Example, Linear, Op, Operand, Spelling, Zero, registry
from engine.ops.pointwise.elementwise import Elementwise

INF, NAN = float("inf"), float("nan")


def _row(name: str, fn: Any, *partials: str, **more: Any) -> Op:
    return registry.add(Elementwise(name, fn, partials, **more))


rsqrt = _row(
    "rsqrt",
    lambda x: 1 / np.sqrt(x),
    "-0.5 * y / a",
    scalar="1 / sqrt(a)",
    doc="Reciprocal of the square root, 1/√x.",
    latex="\\frac{{1}}{{\\sqrt{{{x}}}}}",
    floating=True,
    weight=6,
    domain=((0.1, 3.0),),
    derivative={"x": "-\\tfrac12 x^{-3/2}"},
    convention="At 0 value and derivative are infinite.",
    examples=(Example(([4.0, 0.25, 1e100],)), Example(([0.0, -1.0, INF],), smooth=False)),
)
_TIES = "Equal operands share the derivative: ½ each."
fmax = _row(
    "fmax",
    np.fmax,
    "where(a >= b, where(a == b, 0.5, 1), where(b == b, 0, 1))",
    "where(b >= a, where(a == b, 0.5, 1), where(a == a, 0, 1))",
    scalar="where(a >= b, a, where(b == b, b, a))",
    doc="Larger of two arrays, entry by entry; of NaN and a number the number.",
    latex="\\max({x}, {y})",
    domain=((0.0, 1.0), (1.5, 2.0)),
    derivative={"x": "[x > y]", "y": "[y > x]"},
    kink="a == b",
    convention=_TIES,
    examples=(
        Example(([1.0, 5.0], [2.0, 3.0])),
        Example(([0.0], 0.0), smooth=False, note="tie"),
        Example(([NAN, 1.0, NAN], [2.0, NAN, NAN]), smooth=False, note="NaN"),
    ),
)
fmin = _row(
    "fmin",
    np.fmin,
    "where(a <= b, where(a == b, 0.5, 1), where(b == b, 0, 1))",
    "where(b <= a, where(a == b, 0.5, 1), where(a == a, 0, 1))",
    scalar="where(a <= b, a, where(b == b, b, a))",
    doc="Smaller of two arrays, entry by entry; of NaN and a number the number.",
    latex="\\min({x}, {y})",
    domain=((0.0, 1.0), (1.5, 2.0)),
    derivative={"x": "[x < y]", "y": "[y < x]"},
    kink="a == b",
    convention=_TIES,
    examples=(
        Example(([1.0, 5.0], [2.0, 3.0])),
        Example(([0.0], 0.0), smooth=False, note="tie"),
        Example(([NAN, 1.0, NAN], [2.0, NAN, NAN]), smooth=False, note="NaN"),
    ),
)
_LN2 = "0.6931471805599453"
logaddexp2 = _row(
    "logaddexp2",
    np.logaddexp2,
    f"where(y - y == 0, sigmoid({_LN2} * (a - b)), where(y < 0, 0, where(a == b, 0.5, where(a > b, 1, 0))))",
    f"where(y - y == 0, sigmoid({_LN2} * (b - a)), where(y < 0, 0, where(a == b, 0.5, where(b > a, 1, 0))))",
    doc="log₂(2ˣ + 2ʸ) without overflow.",
    latex="\\log_2\\left(2^{{{x}}} + 2^{{{y}}}\\right)",
    floating=True,
    weight=25,
    domain=((-2.0, 2.0), (-2.0, 2.0)),
    derivative={"x": "\\frac{2^x}{2^x + 2^y}", "y": "\\frac{2^y}{2^x + 2^y}"},
    convention="An operand of −infinity has derivative 0; equal infinite ones share it.",
    examples=(
        Example(([1.0, 2000.0], [2.0, 2000.0])),
        Example(([-INF, -INF, INF, INF], [1.0, -INF, 1.0, INF]), smooth=False),
    ),
)
_MASK = "A mask has no derivative; what it chooses (where) has."


def _test(name: str, fn: Any, scalar: str, doc: str, *aliases: str) -> Op:
    return _row(
        name, fn, "0", doc=doc, scalar=scalar,
        latex=f"\\operatorname{{{{{name}}}}} {{x}}", aliases=aliases, boolean=True, floating=True,
        convention=_MASK, examples=(Example(([1.0, -0.0, INF, -INF, NAN],), smooth=False),),
    )  # fmt: skip


signbit = _test(
    "signbit",
    np.signbit,
    "copysign(1, a) < 0",
    "Whether the sign bit is set: of negative numbers, and of −0.",
)
isposinf = _test("isposinf", np.isposinf, "a == INF", "Whether an entry is +infinity.")
isneginf = _test("isneginf", np.isneginf, "a == -INF", "Whether an entry is −infinity.")


def _scaled(ct: Var, k: int, operands: Sequence[Var], **params: Any) -> Var:
    """ȳ·2ⁿ."""
    back: Var = ct.b.write("ldexp", ct, operands[1])
    return back


class Ldexp(Op):
    """x·2ⁿ for an integer n, exact while it does not overflow."""

    name = "ldexp"
    family = "elementwise"
    parameters = (Operand("x", ("x1", "input")), Operand("n", ("x2", "other"), integer=True))
    floating = True
    rules = (Linear(_scaled), Zero())
    latex = "{x} \\, 2^{{{n}}}"
    derivative = {"x": "2^n"}
    examples = (
        Example(([0.5, -3.0], [3, -2])),
        Example(([1e-300, 0.0], [1100, 2000]), note="2ⁿ itself overflows"),
        Example((3.0, [[1, 2], [3, 4]]), note="broadcasting"),
    )

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var:
        """One node over both, stretched."""
        x, n = b.broadcast(operands)
        if x.shape != n.shape:  # a literal beside an array
            shape = max(x.shape, n.shape, key=len)
            x, n = (call(b, "broadcast_to", v, shape=shape) for v in (x, n))
        result: Var = b.write(self, x, n)
        return result

    def infer(self, *avals: Aval, **params: Any) -> Avals:
        """That of x."""
        if avals[0].shape != avals[1].shape:
            raise ShapeMismatch(f"ldexp: shapes {[list(a.shape) for a in avals]} are not equal.")
        if avals[1].dtype != "int64":
            raise DtypeMismatch("ldexp: n must be integers.")
        return avals[0]

    def evaluate(self, *arrays: Any, **params: Any) -> Any:
        """NumPy's; no exponent beyond ±5000 makes a difference."""
        x, n = arrays
        return np.ldexp(x, np.clip(n, -5000, 5000).astype(np.int32))


class BinaryExponent(Op):
    """The exponent e of x = m·2ᵉ with ½ ≤ |m| < 1; 0 for 0, infinities and NaN."""

    name = "binary_exponent"
    family = "core"
    internal = True
    rules = (Zero(),)

    def infer(self, *avals: Aval, **params: Any) -> Avals:
        """Integers."""
        return Aval(avals[0].shape, "int64")

    def evaluate(self, *arrays: Any, **params: Any) -> Any:
        """NumPy's frexp."""
        x = np.asarray(arrays[0])
        return np.where(np.isfinite(x), np.frexp(x)[1], 0).astype(np.int64)[()]


class Frexp(Op):
    """Mantissa and exponent: x = m·2ᵉ with ½ ≤ |m| < 1 and an integer e. Two results."""

    name = "frexp"
    family = "elementwise"
    parameters = (Operand("x"),)
    results = ("mantissa", "exponent")
    composite = True
    floating = True
    latex = "\\operatorname{{frexp}}({x})"
    derivative = {"x": "2^{-e}"}
    convention = "The exponent has no derivative; at its jumps the mantissa's derivative is that from the side away from 0."
    examples = (Example(([0.3, -5.0, 1e-300],)), Example(([0.0, 4.0],), smooth=False, note="a jump"))

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> tuple[Var, ...]:
        """x·2⁻ᵉ, and e."""
        (x,) = operands
        e: Var = b.write("binary_exponent", x)
        return call(b, "ldexp", x, -e), e


class Modf(Op):
    """Fractional and integral part of a number, both with its sign. Two results."""

    name = "modf"
    family = "elementwise"
    parameters = (Operand("x"),)
    results = ("fractional", "integral")
    composite = True
    floating = True
    latex = "\\operatorname{{modf}}({x})"
    convention = "The fractional part has derivative 1 and the integral part 0, at the jumps too."
    examples = (
        Example(([1.75, -2.25, 0.5],)),
        Example(([2.0, INF, -INF],), smooth=False, note="jumps; an infinity has no fraction"),
    )

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> tuple[Var, ...]:
        """By trunc."""
        (x,) = operands
        whole = call(b, "trunc", x)
        return call(b, "where", call(b, "isinf", x), 0.0, x - whole), whole


class Frac(Op):
    """Fractional part of a number, with its sign: x − trunc(x)."""

    name = "frac"
    family = "elementwise"
    parameters = (Operand("x", ("input",)),)
    composite = True
    elementwise = True
    floating = True
    latex = "\\operatorname{{frac}}({x})"
    derivative = {"x": "1"}
    domain = ((0.1, 0.9),)
    convention = "The derivative is 1, at the jumps too."
    examples = (Example(([1.75, -2.25],)), Example(([2.0],), smooth=False, note="a jump"))

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var:
        """By trunc."""
        (x,) = operands
        part: Var = x - call(b, "trunc", x)
        return part


class DivMod(Op):
    """Quotient rounded down, and remainder with the divisor's sign: (x // y, x % y). Two results."""

    name = "divmod"
    family = "elementwise"
    parameters = (Operand("x", ("x1",)), Operand("y", ("x2",)))
    results = ("quotient", "remainder")
    composite = True
    passes_integers = True
    latex = "\\operatorname{{divmod}}({x}, {y})"
    convention = "The quotient has derivative 0; at a jump the remainder's is that from the side of larger x."
    examples = (Example(([7.3, -7.3], [2.0, 2.0])), Example(([4.0], [2.0]), smooth=False, note="a jump"))

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> tuple[Var, ...]:
        """By floor_divide and remainder."""
        return call(b, "floor_divide", *operands), call(b, "remainder", *operands)


class NanToNum(Op):
    """x with NaN and infinities replaced by numbers: 0, and the largest ones of the dtype, unless others are given."""

    name = "nan_to_num"
    family = "elementwise"
    parameters = (
        Operand("x", ("input",)),
        Attr("copy", BOOL, True),
        Attr("nan", NUMBER, 0.0),
        Attr("posinf", optional(NUMBER), None),
        Attr("neginf", optional(NUMBER), None),
    )
    spellings = {
        "torch.nan_to_num": Spelling(
            parameters=(
                Operand("x", ("input",)),
                Attr("nan", NUMBER, 0.0),
                Attr("posinf", optional(NUMBER), None),
                Attr("neginf", optional(NUMBER), None),
            )
        )
    }
    composite = True
    elementwise = True
    floating = True
    latex = "\\operatorname{{nan\\_to\\_num}}({x})"
    derivative = {"x": "[x \\text{ is finite}]"}
    domain = ((-2.0, 2.0),)
    convention = "What was replaced has derivative 0. `copy` means nothing here."
    examples = (
        Example(([1.5, -2.0],)),
        Example(([NAN, 1.0],), smooth=False),
        Example(([NAN, INF, -INF, 1.0],), {"nan": 3.0, "posinf": 1.0, "neginf": -1.0}, smooth=False),
    )

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var:
        """By three choices."""
        (x,) = operands
        most = float(np.finfo(x.dtype).max)
        high = most if attrs["posinf"] is None else attrs["posinf"]
        low = -most if attrs["neginf"] is None else attrs["neginf"]
        y = call(b, "where", call(b, "isnan", x), attrs["nan"], x)
        y = call(b, "where", x.equals(INF), high, y)
        return call(b, "where", x.equals(-INF), low, y)


_TOLERANCES = (Attr("rtol", NUMBER, 1e-5), Attr("atol", NUMBER, 1e-8), Attr("equal_nan", BOOL, False))
_MATH = Spelling(
    {"rtol": 1e-9, "atol": 0.0},
    (
        Operand("x", ("a",)),
        Operand("y", ("b",)),
        Attr("rtol", NUMBER, 1e-9, ("rel_tol",), True),
        Attr("atol", NUMBER, 0.0, ("abs_tol",), True),
    ),
)


class IsClose(Op):
    """Whether |x − y| ≤ atol + rtol·|y|; equal infinities are close, NaN is close to nothing unless `equal_nan`."""

    name = "isclose"
    family = "elementwise"
    parameters = (Operand("x", ("a", "input")), Operand("y", ("b", "other")), *_TOLERANCES)
    spellings = {"math.isclose": _MATH}
    composite = True
    elementwise = True
    floating = True
    latex = "{x} \\approx {y}"
    domain = ((-2.0, 0.0), (0.5, 2.0))
    convention = _MASK
    examples = (
        Example(([1.0, 1.0 + 1e-9, INF, NAN, INF], [1.0 + 1e-3, 1.0, INF, NAN, 0.0]), smooth=False),
        Example(([1.0, NAN], [1.05, NAN]), {"rtol": 0.1, "equal_nan": True}, smooth=False),
    )

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var:
        """As NumPy compares."""
        x, y = operands
        near = call(b, "abs", x - y) <= call(b, "abs", y) * attrs["rtol"] + attrs["atol"]
        finite = call(b, "isfinite", y)
        close = call(b, "logical_or", call(b, "logical_and", near, finite), x.equals(y))
        if not attrs["equal_nan"]:
            return close
        return call(b, "logical_or", close, call(b, "logical_and", call(b, "isnan", x), call(b, "isnan", y)))


class AllClose(Op):
    """Whether all entries of two arrays are close, as isclose says."""

    name = "allclose"
    family = "elementwise"
    parameters = IsClose.parameters
    composite = True
    floating = True
    latex = "\\forall: {x} \\approx {y}"
    convention = _MASK
    examples = (
        Example(([1.0, 2.0], [1.0 + 1e-9, 2.0 + 1e-9])),
        Example(([1.0, NAN], [1.0, NAN]), {"equal_nan": True}, smooth=False),
        Example(([], []), note="of nothing: true"),
    )

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var:
        """By isclose."""
        return call(b, "all", call(b, "isclose", *operands, **attrs))


class Lerp(Op):
    """Linear interpolation, start + weight·(end − start), exact at weight 0 and at weight 1."""

    name = "lerp"
    family = "elementwise"
    parameters = (Operand("start", ("input",)), Operand("end"), Operand("weight"))
    composite = True
    elementwise = True
    floating = True
    latex = "{start} + {weight} \\left({end} - {start}\\right)"
    derivative = {"start": "1 - w", "end": "w", "weight": "e - s"}
    domain = ((-2.0, 2.0), (-2.0, 2.0), (0.6, 1.0))
    examples = (
        Example(([1.0, -2.0], [4.0, 2.0], [0.25, 0.75])),
        Example(([0.1, 0.7], [0.3, -0.9], [1.0, 0.0])),
    )

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var:
        """From the nearer end, as PyTorch."""
        start, end, weight = operands
        step = end - start
        near = call(b, "logical_and", weight < 0.5, weight > -0.5)
        return call(b, "where", near, start + weight * step, end - (1.0 - weight) * step)


class SelectCases(Op):
    """For each entry the choice of the first condition that holds, else the default: NumPy's select.

    condlist: b[n, *s], choicelist: f[n, *s] (lists of n arrays each), default: f[]  ->  f[*s]. What is not chosen
    contributes exactly nothing to a derivative.
    """

    name = "select_cases"
    family = "elementwise"
    parameters = (
        Operand("condlist", boolean=True),
        Operand("choicelist"),
        Operand("default", optional=True),
    )
    spellings = {"numpy.select": Spelling()}
    composite = True
    latex = "\\operatorname{{select}}({condlist}, {choicelist}, {default})"
    examples = (
        Example(([[True, False, False], [True, True, False]], [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], 9.0)),
        Example(([[True, False]], [[1.0, 2.0]]), note="without a default: 0"),
        Example(([True, True], [1.5, 2.5], 3.5), note="scalars"),
    )

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var:
        """By one choice for each condition, from the last to the first."""
        conditions, choices, default = operands
        if conditions.rank == 0 or choices.rank == 0 or conditions.shape[0] != choices.shape[0]:
            raise ShapeMismatch(
                "select_cases: condlist and choicelist must be lists of equal length along axis 0; their shapes are "
                f"{list(conditions.shape)} and {list(choices.shape)}."
            )
        result = b.var(0.0, choices.dtype) if default is None else default
        for k in range(conditions.shape[0] - 1, -1, -1):
            condition, choice = (call(b, "getitem", v, index=(k,)) for v in (conditions, choices))
            result = call(b, "where", condition, choice, result)
        return result


for _op in (
    Ldexp(), BinaryExponent(), Frexp(), Modf(), Frac(), DivMod(), NanToNum(), IsClose(), AllClose(), Lerp(), SelectCases(),
):  # fmt: skip
    registry.add(_op)
