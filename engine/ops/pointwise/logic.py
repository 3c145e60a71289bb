"""Comparisons, logic on masks, and tests for non-finite numbers. All yield booleans, and have no derivative."""

from __future__ import annotations

from typing import Any

import numpy as np

from engine.op import Example, Op, registry
from engine.ops.pointwise.elementwise import Elementwise

_NOTE = "A mask has no derivative; what it chooses (where) has."


def _compare(name: str, fn: Any, sign: str, latex: str, doc: str, *aliases: str) -> Op:
    return registry.add(
        Elementwise(
            name,
            fn,
            ("0", "0"),
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


def _test(name: str, fn: Any, latex: str, doc: str, *aliases: str) -> Op:
    return registry.add(
        Elementwise(
            name,
            fn,
            ("0",),
            doc=doc,
            latex=latex,
            aliases=aliases,
            boolean=True,
            floating=True,
            convention=_NOTE,
            examples=(Example(([1.0, float("inf"), float("nan")],), smooth=False),),
        )
    )


isnan = _test("isnan", np.isnan, "\\operatorname{{isnan}} {x}", "Whether an entry is NaN.", "IsNaN")
isfinite = _test(
    "isfinite", np.isfinite, "\\operatorname{{isfinite}} {x}", "Whether an entry is a finite number."
)
isinf = _test("isinf", np.isinf, "\\operatorname{{isinf}} {x}", "Whether an entry is infinite.", "IsInf")
