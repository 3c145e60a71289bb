"""Which operator binds tighter: from a row of operands and operators to a tree, with two stacks (Dijkstra, 1961)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from engine.language.hints import Refused
from engine.language.lexer import Token
from engine.language.syntax import Binary, Comparison, Expression, Unary

COMPARISONS = ("<", "<=", ">", ">=", "==", "!=")
NOT, COMPARE, UNARY, POWER = 3, 4, 11, 12
PRECEDENCE: dict[str, int] = {
    "or": 1,
    "and": 2,
    # not x: 3
    **dict.fromkeys(COMPARISONS, COMPARE),
    "|": 5,
    # ^, then shifts, stand at 6 and 8 in Python
    "&": 7,
    "+": 9,
    "-": 9,
    **dict.fromkeys(("*", "/", "//", "%", "@"), 10),
    # -x, +x, ~x: 11
    "**": POWER,
}
"""Python's levels, loosest first. `**` groups to the right, comparisons are chained, all others group to the left."""


def arrange(row: Sequence[Any]) -> Expression:
    """The tree of `row`: operands, and as tokens the operators between and before them. Linear, without recursion."""
    operands: list[Expression] = []
    waiting: list[tuple[int, Token, bool]] = []
    """Operators that wait for their right operand: how tightly they bind, and whether they are prefixes."""
    chain: Comparison | None = None
    """The comparison made last here: `a < b` becomes a chain if another comparison follows."""
    wanted = True
    for entry in row:
        if type(entry) is not Token:
            operands.append(entry)
            wanted = False
            continue
        value = entry.value
        if wanted:
            level = NOT if value == "not" else UNARY
            if level == NOT and waiting and waiting[-1][0] > NOT:
                before = waiting[-1][1].value
                raise Refused(entry.at, f"`not` binds loosely: put `not …` in brackets after '{before}'.")
            waiting.append((level, entry, True))
            continue
        level = PRECEDENCE.get(value, 0)
        if not level:
            raise Refused(entry.at, f"'{value}' cannot stand between two operands.")
        while waiting and (waiting[-1][0] > level or (waiting[-1][0] == level != POWER)):
            chain = _apply(operands, waiting.pop(), chain)
        waiting.append((level, entry, False))
        wanted = True
    while waiting:
        chain = _apply(operands, waiting.pop(), chain)
    return operands[0]


def _apply(
    operands: list[Expression], operator: tuple[int, Token, bool], chain: Comparison | None
) -> Comparison | None:
    """Give an operator its operands; the chain of comparisons that may go on."""
    level, token, prefix = operator
    right = operands.pop()
    if prefix:
        operands.append(Unary(token.at, token.value, right))
        return chain
    left = operands.pop()
    if level != COMPARE:
        operands.append(Binary(token.at, token.value, left, right))
        return chain
    if left is chain:
        left.rest.append((token.value, token.at, right))
        operands.append(left)
        return chain
    made = Comparison(token.at, left, [(token.value, token.at, right)])
    operands.append(made)
    return made
