"""Arithmetic on literals while a program is read: `2*pi*x` is one node, and `sqrt(2)` is a number.

Numbers are doubles, whatever is done to them: `9**9**9` is infinite and costs nothing. That a number was written as an
integer is remembered (as Python's int, always below 2⁵³) through `+ - * // % **` and signs, so that it may be an index.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any, TypeAlias

import numpy as np

from engine.aval import Array
from engine.builder import EagerBuilder, GraphBuilder, Var, Weak, call
from engine.errors import EngineError
from engine.graph import single
from engine.op import Op, Operand
from engine.program import Literal, Program

Number: TypeAlias = float | int | bool
Folded: TypeAlias = "Number | Array"
"""What literals fold to: a number, or an array of float64, int64 or bool."""

EXACT = 2.0**53
"""Below this a double stands for one integer only."""

NUMBERS = (float, int, bool)

_ARITHMETIC: dict[str, Callable[[Any, Any], Any]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": np.divide,
    "//": np.floor_divide,
    "%": np.remainder,
    "**": np.power,
}
_COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
}
_LOGIC: dict[str, Callable[[bool, bool], bool]] = {
    "and": operator.and_,
    "&": operator.and_,
    "or": operator.or_,
    "|": operator.or_,
}


class NotBoolean(Exception):
    """A number where `and`, `or`, `not`, `&`, `|`, `~` need a boolean."""


def is_literal(value: Any) -> bool:
    """Whether a value is a folded one: a number or an array, not a node."""
    return isinstance(value, float | int | np.ndarray)


def binary(sign: str, a: Number, b: Number) -> Number | None:
    """`a sign b` for numbers; None for a sign that is not for numbers (`@`). Raises `NotBoolean`.

    Call it under `numpy.errstate(all="ignore")`.
    """
    logic = _LOGIC.get(sign)
    if logic is not None:
        if type(a) is not bool or type(b) is not bool:
            raise NotBoolean
        return logic(a, b)
    compare = _COMPARISONS.get(sign)
    if compare is not None:
        return compare(float(a), float(b))
    fn = _ARITHMETIC.get(sign)
    if fn is None:
        return None
    value = float(fn(float(a), float(b)))
    whole = isinstance(a, int) and isinstance(b, int) and sign != "/" and (sign != "**" or b >= 0)
    return int(value) if whole and abs(value) < EXACT else value


def unary(sign: str, a: Number) -> Number:
    """`sign a` for a number. Raises `NotBoolean`."""
    if sign in ("not", "~"):
        if type(a) is not bool:
            raise NotBoolean
        return not a
    # -0 is the integer 0, as in Python; -0.0 keeps its sign.
    return -a if sign == "-" else +a


class Folder:
    """Calls of ops on literals, evaluated while a program is read.

    Only what is small and cheap is folded: an array of a million zeros stays a call of `zeros`, and after `BUDGET`
    units of work in one program all calls stay calls.
    """

    BUDGET = 1e7
    """Element operations, by the estimate below: well under a second."""
    ELEMENTS = 10_000
    """Elements of the largest array, in between too."""
    NODES = 10_000

    def __init__(self) -> None:
        self.left = self.BUDGET

    def call(self, op: Op, operands: Sequence[Any], attrs: Mapping[str, Any]) -> Folded | None:
        """The op's value on folded operands (None for an absent one); None where it is to stay a node.

        An op that refuses its operands stays a node too: the error then shows with the node's name and place.
        """
        if self.left <= 0 or op.multiple or any(isinstance(v, Program) for v in attrs.values()):
            return None
        scalars = all(type(v) in (float, int) for v in operands)
        if scalars and _plain(op) and len(operands) == len(op.parameters):
            self.left -= 50
            with np.errstate(all="ignore"):
                return _folded(op.evaluate(*[np.float64(v) for v in operands]))
        cost = self._cost(op, operands, attrs)
        self.left -= 5_000 if cost is None else cost
        if cost is None or self.left <= 0:
            return None
        with np.errstate(all="ignore"):
            try:
                result = _write(EagerBuilder(), op, operands, attrs).ref
            except (EngineError, np.linalg.LinAlgError):
                return None
        return _folded(result)

    def _cost(self, op: Op, operands: Sequence[Any], attrs: Mapping[str, Any]) -> float | None:
        """What the call costs, judged by shapes alone; None if it is not to be made."""
        trial = GraphBuilder(max_elements=self.ELEMENTS, max_nodes=self.NODES)
        try:
            _write(trial, op, operands, attrs)
            largest = max(single(n.aval).size for n in trial.nodes)
        except (EngineError, AssertionError):
            return None
        return 5_000.0 + len(trial.nodes) * math.pow(largest, 1.5)


@cache
def _plain(op: Op) -> bool:
    """Whether the op is one NumPy function of its operands."""
    return op.elementwise and not op.composite and all(isinstance(p, Operand) for p in op.parameters)


def _write(b: Any, op: Op, operands: Sequence[Any], attrs: Mapping[str, Any]) -> Var:
    result: Var = call(b, op, *[_operand(b, v) for v in operands], **attrs)
    return result


def _operand(b: Any, value: Folded | None) -> Any:
    if value is None:
        return None
    literal = as_literal(value)
    return Weak(literal.value, literal.integral) if literal.weak else b.var(literal.value)


def _folded(value: Any) -> Folded:
    array = np.asarray(value)
    if array.ndim:
        return array
    number = array.item()
    if isinstance(number, int) and not isinstance(number, bool) and abs(number) >= EXACT:
        return float(number)
    return number if isinstance(number, bool | int) else float(number)


def as_literal(value: Folded) -> Literal:
    """A folded value as it stands in a program: numbers are doubles there, booleans booleans."""
    if isinstance(value, int) and not isinstance(value, bool):
        return Literal(float(value))
    return Literal(value)


def array_of(items: Sequence[Folded]) -> Array | None:
    """A list of literals as an array of doubles, or of booleans; None where it is ragged or nested too deeply."""
    if not any(isinstance(v, np.ndarray) for v in items):
        kinds = set(map(type, items))
        return np.array(items, bool if kinds == {bool} else np.float64)
    shapes = {np.shape(v) for v in items}
    if len(shapes) > 1 or len(next(iter(shapes))) >= 32:
        return None
    array = np.array(items)
    return array if array.dtype.kind == "b" else array.astype(np.float64)
