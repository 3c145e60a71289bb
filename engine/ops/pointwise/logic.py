"""Comparisons, logic on masks, and tests for non-finite numbers. All yield booleans, and have no derivative."""

from __future__ import annotations

from typing import Any

import numpy as np

from engine.attrs import BOOL
from engine.builder import Builder, Var, call
from engine.op import Attr, Example, Op, Operand, registry
from engine.ops.pointwise.elementwise import Elementwise
from engine.ops.written import written

_NOTE = "A mask has no derivative; what it chooses (where) has."


def _compare(name: str, fn: Any, sign: str, latex: str, doc: str, *aliases: str) -> Op:
    return registry.add(
        Elementwise(
            name,
            fn,
            ("0", "0"),
            scalar=f"a {sign} b",
            doc=doc,
            latex=f"{{x}} {latex} {{y}}",
            aliases=(sign, *aliases),
            family="elementwise",
            boolean=True,
            convention=_NOTE,
            domain=((-2.0, 0.0), (0.5, 2.0)),
            examples=(Example(([1.0, 2.0, 3.0], 2.0)), Example((float("nan"), 1.0), smooth=False)),
        )
    )


equal = _compare("equal", np.equal, "==", "=", "Whether x = y. NaN equals nothing.", "eq", "Equal")
not_equal = _compare("not_equal", np.not_equal, "!=", "\\ne", "Whether x ≠ y.", "ne")
less = _compare("less", np.less, "<", "<", "Whether x < y.", "lt", "Less")
less_equal = _compare("less_equal", np.less_equal, "<=", "\\le", "Whether x ≤ y.", "le", "LessOrEqual")
greater = _compare("greater", np.greater, ">", ">", "Whether x > y.", "gt", "Greater")
greater_equal = _compare(
    "greater_equal", np.greater_equal, ">=", "\\ge", "Whether x ≥ y.", "ge", "GreaterOrEqual"
)


def _logic(name: str, fn: Any, arity: int, latex: str, doc: str, *aliases: str) -> Op:
    values = ([True, True, False], [True, False, False])
    return registry.add(
        Elementwise(
            name,
            fn,
            ("0",) * arity,
            scalar=f"{name}(a, b)" if arity == 2 else f"{name}(a)",
            doc=doc,
            latex=latex,
            aliases=aliases,
            boolean=True,
            masks=tuple(range(arity)),
            convention=_NOTE,
            examples=(Example(values[:arity]),),
        )
    )


logical_and = _logic(
    "logical_and",
    np.logical_and,
    2,
    "{x} \\land {y}",
    "Whether both hold. Numbers count as true unless 0.",
    "&",
    "and",
    "And",
    "bitwise_and",
)
logical_or = _logic(
    "logical_or",
    np.logical_or,
    2,
    "{x} \\lor {y}",
    "Whether one of two holds.",
    "|",
    "or",
    "Or",
    "bitwise_or",
)
logical_xor = _logic(
    "logical_xor",
    np.logical_xor,
    2,
    "{x} \\oplus {y}",
    "Whether exactly one holds.",
    "xor",
    "Xor",
    "bitwise_xor",
)
logical_not = _logic(
    "logical_not",
    np.logical_not,
    1,
    "\\lnot {x}",
    "Whether it does not hold.",
    "~",
    "not",
    "Not",
    "bitwise_not",
    "invert",
    "bitwise_invert",
)


def _test(name: str, fn: Any, scalar: str, latex: str, doc: str, *aliases: str) -> Op:
    return registry.add(
        Elementwise(
            name,
            fn,
            ("0",),
            scalar=scalar,
            doc=doc,
            latex=latex,
            aliases=aliases,
            boolean=True,
            floating=True,
            convention=_NOTE,
            examples=(Example(([1.0, float("inf"), float("nan")],), smooth=False),),
        )
    )


isnan = _test("isnan", np.isnan, "a != a", "\\operatorname{{isnan}} {x}", "Whether an entry is NaN.", "IsNaN")
isfinite = _test(
    "isfinite",
    np.isfinite,
    "a - a == 0",
    "\\operatorname{{isfinite}} {x}",
    "Whether an entry is a finite number.",
)
isinf = _test(
    "isinf",
    np.isinf,
    "abs(a) == INF",
    "\\operatorname{{isinf}} {x}",
    "Whether an entry is infinite.",
    "IsInf",
)


def _array_equal(b: Builder, x: Var, y: Var, **attrs: Any) -> Var:
    if x.shape != y.shape:
        return b.var(False, "bool")
    same = call(b, "equal", x, y)
    if attrs["equal_nan"]:
        same = call(b, "logical_or", same, call(b, "logical_and", call(b, "isnan", x), call(b, "isnan", y)))
    return call(b, "all", same)


written(
    "array_equal",
    _array_equal,
    Operand("x", ("a1", "a", "input")),
    Operand("y", ("a2", "b", "other")),
    Attr("equal_nan", BOOL, False),
    doc="Whether two arrays have one shape and equal entries; with `equal_nan` NaN is equal to NaN.",
    latex="{x} = {y}",
    family="elementwise",
    convention=_NOTE,
    examples=(
        Example(([1.0, 2.0], [1.0, 2.0])),
        Example(([1.0, 2.0], [1.0, 2.5])),
        Example(([1.0, 2.0], [[1.0], [2.0]]), note="other shapes"),
        Example(([1.0, float("nan")], [1.0, float("nan")]), {"equal_nan": True}, smooth=False),
    ),
)
