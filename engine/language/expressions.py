"""Lists, operators, comparisons and conditional expressions: their walks."""

from __future__ import annotations

from typing import Any

import numpy as np

from engine.errors import InvalidArray
from engine.language import fold
from engine.language.fold import is_literal
from engine.language.names import BUILTIN_DTYPES, DTYPES
from engine.language.syntax import Binary, Comparison, Display, Name, Ternary, Unary
from engine.language.values import UNKNOWN, Ref, Tuple, Value
from engine.language.walker import STACK, UNARY, WHERE, Static, Walk, Walker, static_number, walks, whole


@walks(Static)
def _static(walker: Walker, request: Static) -> Walk:
    node = request.node
    if type(node) is Display:
        listed: list[Any] = [None] * len(node.items)
        for k, item in enumerate(node.items):
            listed[k] = yield Static(item)
        return listed
    if type(node) is Name and node.name in BUILTIN_DTYPES and not walker.knows(node.name):
        return DTYPES[node.name]
    value = yield node
    if type(value) is Tuple:
        return [v.static if type(v) is Ref and v.static is not UNKNOWN else v for v in value.items]
    if type(value) is Ref and value.static is not UNKNOWN:
        value = value.static
    return value.tolist() if isinstance(value, np.ndarray) else value


@walks(Display)
def _display(walker: Walker, node: Display) -> Walk:
    values: list[Any] = [None] * len(node.items)
    for k, item in enumerate(node.items):
        values[k] = yield item
    if node.is_tuple:
        made = Tuple(values)
        walker.recorder.count(made.size, node.at)
        return made
    values = [walker.array(v, item.at) for v, item in zip(values, node.items, strict=True)]
    if all(map(is_literal, values)):
        array = fold.array_of(values)
        if array is not None:
            return array
        walker.recorder.mistake(
            InvalidArray("The rows of this list have different shapes, or it is nested more than 32 deep."),
            node.at,
        )
        return 0.0
    operands = [walker.operand(v, item.at) for v, item in zip(values, node.items, strict=True)]
    return Ref(walker.recorder, walker.recorder.emit(STACK, operands, {}, node.at), items=values)


@walks(Unary)
def _unary(walker: Walker, node: Unary) -> Walk:
    chain = [node]
    while type(node.operand) is Unary:
        node = node.operand
        chain.append(node)
    value = walker.array((yield node.operand), node.operand.at)
    for node in reversed(chain):
        if isinstance(value, fold.NUMBERS):
            try:
                value = fold.unary(node.sign, value)
            except fold.NotBoolean:
                value = walker.not_boolean(node.sign, node.at)
            continue
        op = UNARY[node.sign]
        folded = walker.folder.call(op, (value,), {}) if isinstance(value, np.ndarray) else None
        if folded is not None:
            value = folded
            continue
        known = static_number(value)
        integral = node.sign in "+-" and whole(value)
        operands = (walker.operand(value, node.operand.at),)
        value = Ref(walker.recorder, walker.recorder.emit(op, operands, {}, node.at), whole=integral)
        if known is not None and node.sign in "+-":
            value.static = fold.unary(node.sign, known)
    return value


@walks(Binary)
def _binary(walker: Walker, node: Binary) -> Walk:
    # A sum of 5,000 terms leans to the left; its spine is walked in a loop.
    spine = [node]
    while type(node.left) is Binary:
        node = node.left
        spine.append(node)
    value = yield node.left
    for node in reversed(spine):
        right = yield node.right
        if node.sign in "+*" and _joins(walker, node, value, right):
            value = walker.placeholder(node.at)
            continue
        value = walker.operate(node.sign, value, right, node.at, node.left.at, node.right.at)
    return value


def _joins(walker: Walker, node: Binary, left: Value, right: Value) -> bool:
    """Note what joins or repeats lists in Python, and would add and multiply their elements here."""
    lists = (walker.listed(node.left), walker.listed(node.right))
    if lists == (None, None):
        return False
    if node.sign == "+":
        empty = any(isinstance(v, np.ndarray) and v.shape == (0,) for v in map(_known, (left, right)))
        if None in lists and True not in lists and not empty:
            return False
        detail = (
            "Lists are arrays here, and + adds their entries; it does not join them. Write concat([a, b]); in a loop, collect "
            "with scan or map, or begin with y = zeros(n) and go on with y = y.at[i].set(v)."
        )
    else:
        # `2*[1, 2]` is taken for the product that it looks like, and `[0.0]*n` for the array of length n that it is in Python.
        single = any(
            type(n) is Display and len(n.items) == 1 and not n.is_tuple for n in (node.left, node.right)
        )
        if not single or not (whole(left) or whole(right)):
            return False
        detail = (
            "Lists are arrays here, and * multiplies their entries; it does not repeat them. Write full(n, v) or zeros(n), or "
            "tile(x, n); a product of numbers is np.array([…])*2."
        )
    walker.recorder.wrong(node.at, detail)
    return True


def _known(value: Value) -> Any:
    """The literal that a value is known to be."""
    return value.static if type(value) is Ref else value


@walks(Comparison)
def _comparison(walker: Walker, node: Comparison) -> Walk:
    left = yield node.first
    result: Any = None
    place = node.first.at
    for k, (sign, at, operand) in enumerate(node.rest):
        right = yield operand
        part = walker.operate(sign, left, right, at, place, operand.at)
        result = part if k == 0 else walker.operate("and", result, part, at, at, at)
        left, place = right, operand.at
    return result


@walks(Ternary)
def _ternary(walker: Walker, node: Ternary) -> Walk:
    """Condition, then both values, in this order: all three are computed."""
    condition = yield node.condition
    yes = walker.array((yield node.yes), node.yes.at)
    no = walker.array((yield node.no), node.no.at)
    if is_literal(condition) and is_literal(yes) and is_literal(no):
        if isinstance(condition, fold.NUMBERS):
            return yes if condition else no
        folded = walker.folder.call(WHERE, (condition, yes, no), {})
        if folded is not None:
            return folded
    parts = ((condition, node.condition.at), (yes, node.yes.at), (no, node.no.at))
    index = walker.recorder.emit(WHERE, [walker.operand(v, at) for v, at in parts], {}, node.at)
    return Ref(walker.recorder, index, whole=whole(yes) and whole(no))
