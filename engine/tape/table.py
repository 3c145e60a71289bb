"""Rows of the tape's table: one op code for each op that has a `scalar` formula. Code 0 is a leaf.

Codes are a matter of one process and one version of the sources: nothing that is kept holds them.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

import engine.ops  # noqa: F401  # fills the registry
from engine.op import Op, Partial, registry

LEAF = 0
"""Code of an input or a constant."""

LANES = 8
"""Seeds that go through a sweep together: their numbers for one entry fill one cache line."""


class Row(NamedTuple):
    """What the machines know of one op: formulas in the operands a, b, c and (but for the value) the result y.

    `partials` has one for each operand, "0" where there is none; `kink` is empty or a condition; `params` names params
    of the op that are its last operands here.
    """

    name: str
    value: str
    partials: tuple[str, ...]
    kink: str
    boolean: bool
    params: tuple[str, ...] = ()

    @property
    def arity(self) -> int:
        """How many operands there are, params among them."""
        return len(self.partials)


FREQUENT = (
    "multiply", "add", "subtract", "negative", "divide", "square", "pow_by", "exp", "tanh", "sin", "cos", "log",
    "sigmoid", "relu", "sqrt", "reciprocal", "maximum", "where", "abs", "logaddexp", "softsign", "log1p", "minimum",
)  # fmt: skip
"""Codes of the ops that programs use most come first, since the plain machine finds a code by trying one after another."""


def _row(op: Op) -> Row:
    rules = [rule.formula.text if isinstance(rule, Partial) else "0" for rule in op.rules]
    partials = op.scalar_partials or tuple(rules)
    kink = getattr(op, "kink_formula", None)
    return Row(
        op.name,
        op.scalar,
        (*partials, *("0" for _ in op.scalar_params)),
        op.scalar_kink or (kink.text if kink is not None else ""),
        bool(getattr(op, "boolean", False)),
        op.scalar_params,
    )


def _rows() -> tuple[Row, ...]:
    found = {op.name: _row(op) for op in registry.everything() if op.scalar}
    # A cast from boolean to float, which keeps the number and has no derivative, and the one back.
    found["cast"] = Row("cast", "a", ("0",), "", boolean=False)
    found["truth"] = Row("truth", "a != 0", ("0",), "", boolean=True)
    names = [*FREQUENT, *sorted(set(found) - set(FREQUENT))]
    return tuple(found[name] for name in names)


ROWS: tuple[Row, ...] = _rows()
"""The row of code k is `ROWS[k - 1]`."""

CODES: Mapping[str, int] = MappingProxyType({row.name: k + 1 for k, row in enumerate(ROWS)})
"""Op code by canonical op name. `cast` is the one from bool to float64; `truth`, of no op's name, the one back."""


def row_of(code: int) -> Row:
    """The row of an op code above 0."""
    return ROWS[code - 1]
