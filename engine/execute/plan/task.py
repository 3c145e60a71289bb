"""Tasks: the nodes of a graph as functions, each saying what it reads, what it makes, and in whose memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from enum import IntEnum
from operator import itemgetter
from typing import Any, NamedTuple

import numpy as np

from engine.aval import Array, Aval, Avals
from engine.builder import function_of
from engine.graph import CONSTANT, INPUT, ITEM, Node
from engine.op import Op, Params
from engine.ops.pointwise.elementwise import Elementwise


class How(IntEnum):
    """What is done with a task's function."""

    INTO = 1
    """`fn(*operands, out)` writes the result into memory of the plan's."""
    VALUE = 2
    """`fn(*operands)` makes the result, in memory of its own."""
    VIEW = 3
    """`fn(operand)` makes the result in the first operand's memory."""
    INNER = 4
    """`fn(builder, *operands)` makes it: an op that holds subgraphs."""
    CHECK = 5
    """`fn(*operands)` tells whether a kink was met; there is no result."""
    LOOP = 6
    """`fn(builder, operands, outs, told)` fills `outs`, returns further results and what there is to tell (`strips`)."""


class Task(NamedTuple):
    """One thing to do: values are known by numbers (those of the graph's nodes, and further ones)."""

    how: How
    fn: Callable[..., Any]
    reads: tuple[int, ...]
    writes: tuple[int, ...]
    over: tuple[int, ...] = ()
    """Operands in whose memory the result may lie."""
    stretches: bool = False
    """Whether operands may be given in a shape that broadcasts to that of the result."""
    spare: Callable[..., Any] | None = None
    """Of a view that cannot always be had (a reshape): what copies into memory instead."""
    made: tuple[int, ...] = ()
    """Of a loop: further results, which it makes itself."""
    flops: float = 0.0
    elementwise: bool = False
    """Whether an entry of the result depends on the operands' entries in its place alone."""
    copies: bool = False
    """Whether the result is the operand, copied for another order of its axes in memory."""


def tasks_of(i: int, node: Node, avals: Mapping[int, Avals], *, guarded: bool, kinks: bool) -> list[Task]:
    """What there is to do for node `i`: its result, and a look at its kink if it has one."""
    op, inputs, params, aval = node
    if op is INPUT or op is CONSTANT:
        return []
    if op is ITEM:
        return [Task(How.VIEW, itemgetter(params[0][1]), inputs, (i,))]
    if not guarded:
        op, params = op.unguarded(params)
    operands: list[Any] = [avals[j] for j in inputs]
    look = kink_of(op, params, aval) if kinks else None
    found = [_result_of(i, op, params, inputs, operands, aval, look is None)]
    if look is not None:
        found.append(Task(How.CHECK, look, (*inputs, i), ()))
    return found


def _result_of(
    i: int, op: Op, params: Params, inputs: tuple[int, ...], operands: Sequence[Any], aval: Avals, free: bool
) -> Task:
    if op.subgraphs:
        given = dict(params)

        def inner(b: Any, *arrays: Any) -> Any:
            return owned(op.evaluate_in(b, *arrays, **given), arrays)

        return Task(How.INNER, inner, inputs, (i,))
    fn = op.calculation(operands, params)
    if not isinstance(aval, Aval):
        return Task(How.VALUE, _owning(fn), inputs, (i,))
    if aval.shape == ():
        return Task(How.VALUE, _scalar(op, fn), inputs, (i,))
    into = op.into(operands, params)
    if op.view:
        spare = None if into is None else into.write
        return Task(How.VIEW, fn, inputs, (i,), stretches=op.name == "broadcast_to", spare=spare)
    if into is None:
        return Task(How.VALUE, _owning(fn), inputs, (i,))
    over = tuple(k for k in into.over if operands[k] == aval) if free else ()
    return Task(How.INTO, into.write, inputs, (i,), over, into.stretches, elementwise=op.elementwise)


def _scalar(op: Op, fn: Callable[..., Any]) -> Callable[..., Any]:
    """Results of shape () as NumPy scalars."""
    if isinstance(op, Elementwise) and not op.view:
        return fn  # a NumPy function of scalars makes scalars
    return lambda *arrays: fn(*arrays)[()]


def _owning(fn: Callable[..., Any]) -> Callable[..., Any]:
    """The function, with results in memory of their own."""
    return lambda *arrays: owned(fn(*arrays), arrays)


def owned(result: Any, arrays: Sequence[Any]) -> Any:
    """What an op has made, copied if it is a piece of an operand: that memory will be used again."""
    if isinstance(result, tuple):
        return tuple(owned(r, arrays) for r in result)
    if not isinstance(result, np.ndarray):
        return result
    if result.base is None and all(result is not a for a in arrays):
        return result
    if any(np.may_share_memory(result, a) for a in arrays if isinstance(a, np.ndarray)):
        return result.copy()
    return result


def kink_of(op: Op, params: Params, aval: Avals) -> Callable[..., Any] | None:
    """Whether operands and result (…, y) met a point without derivative; None for an op that has a derivative everywhere.

    It may be yes too often, never too seldom: where it depends on the cotangent as well, one is taken that is nowhere zero
    and nowhere the same.
    """
    if not op.convention:
        return None
    if type(op).kink_met is not Op.kink_met:
        avals = (aval,) if isinstance(aval, Aval) else aval
        ramps = [np.arange(1.0, a.size + 1).reshape(a.shape) for a in avals]
        derivative = ramps[0] if isinstance(aval, Aval) else ramps
        rest = dict(params)
        return lambda *arrays: _any(op.kink_met(arrays[:-1], arrays[-1], derivative, **rest))
    if not isinstance(aval, Aval) or not aval.floating:
        return None
    if isinstance(op, Elementwise):
        if op.kink_formula is None:
            return None
        mask: Callable[..., Any] = op.kink_formula.calculation(function_of)
        padding = (None,) * (3 - len(op.rules))
        return Kink(lambda *arrays: mask(*arrays[:-1], *padding, arrays[-1]))
    if type(op).kink is Op.kink:
        return None
    given = dict(params)
    return lambda *arrays: op.kinked(arrays[:-1], arrays[-1], **given)


class Kink:
    """Whether a mask that operands and result make is anywhere true."""

    def __init__(self, mask: Callable[..., Any]) -> None:
        self.mask = mask

    def __call__(self, *arrays: Any) -> bool:
        """Of arrays that are there."""
        return _any(self.mask(*arrays))


_met = np.logical_or.reduce


def _any(mask: Any) -> bool:
    if mask is None:
        return False
    return bool(_met(mask, None)) if isinstance(mask, np.ndarray) else bool(mask)


def copied(x: Array, out: Array) -> None:
    """A copy into memory that is there."""
    np.copyto(out, x)
