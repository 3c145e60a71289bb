"""`if` statements: a choice that is known now is made now; any other becomes a `cond`, whose branches are bodies.

What a branch assigns is a result of the node. A `return` in a branch takes what follows the statement with it into the
branches, so `if c: return a` and then the rest means: if c, a, else the rest.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from engine.language.bodies import (
    capture_names,
    captures,
    constants,
    inputs_for,
    is_data,
    op_of,
    result_of,
    write,
)
from engine.language.fold import is_literal
from engine.language.functions import Returned, Run, assigned_names
from engine.language.recorder import BodyRecorder
from engine.language.statements import Choice, bind
from engine.language.syntax import Block, If, Name
from engine.language.values import (
    UNKNOWN,
    Function,
    Lazy,
    Ref,
    Several,
    Tuple,
    Unset,
    Value,
    alike,
    leaves,
    rebuilt,
)
from engine.language.walker import MISSING, Missing, Walk, Walker, walks, whole
from engine.program import Argument

NOTHING = Block([])


def truth(walker: Walker, value: Value, at: int) -> bool | None:
    """Whether a condition holds, if that is known while the text is read; None if not."""
    known = value.static if type(value) is Ref and value.static is not UNKNOWN else value
    if is_literal(known):
        array = np.asarray(known)
        if array.size != 1:
            walker.recorder.wrong(
                at, f"A condition is one boolean; this one is an array of shape {list(array.shape)}."
            )
            return False
        return bool(array.item())
    if type(value) is Ref:
        return None
    walker.operand(value, at)  # notes the mistake
    return False


@walks(If)
def _if(walker: Walker, node: If) -> Walk:
    condition = walker.array((yield node.condition), node.condition.at)
    known = truth(walker, condition, node.condition.at)
    blocks = (node.then, node.otherwise or NOTHING)
    if known is not None:
        return (yield Run(blocks[0 if known else 1].statements))
    frame = walker.frame
    names = assigned_names([node])
    before = {n: frame.names[n] for n in names if n in frame.names}
    bodies: list[BodyRecorder] = []
    after: list[dict[str, Value | Missing]] = []
    for block in blocks:
        with walker.inside(node.at, False) as body:
            body.frame = frame
            yield Run(block.statements)
        bodies.append(body)
        after.append({n: frame.names.get(n, MISSING) for n in names})
        for n in names:
            if n in before:
                frame.names[n] = before[n]
            else:
                frame.names.pop(n, None)
    pairs: dict[str, tuple[Value, Value]] = {}
    for n in names:
        chosen = _merge(walker, node, n, after[0][n], after[1][n])
        if isinstance(chosen, tuple):
            pairs[n] = chosen
        elif is_literal(chosen):
            bind(walker, Name(names[n], n), chosen, True)
        elif chosen is not MISSING:
            frame.names[n] = chosen
    values = _cond(walker, condition, bodies, list(pairs.values()), node.at)
    for n, value in zip(pairs, values, strict=True):
        bind(walker, Name(names[n], n), value, True)
    return None


def _merge(walker: Walker, node: If, name: str, a: Any, b: Any) -> Any:
    """What a name stands for behind an `if`: both values where one has to be chosen, MISSING for nothing at all."""
    if walker.frame is walker.top:
        a = walker.free.get(name, a) if a is MISSING else a
        b = walker.free.get(name, b) if b is MISSING else b
    if a is b:
        return a
    # A name that one branch assigns and that had no value is that branch's own, and no input.
    a, b = (MISSING if isinstance(v, Lazy) and v.vacant else v for v in (a, b))
    a, b = walker.settled(a), walker.settled(b)
    if a is b or _equal(a, b):
        return a
    unset = a is MISSING or b is MISSING or type(a) is Unset or type(b) is Unset
    if not unset and is_data(a) and is_data(b) and alike(a, b):
        return a, b
    choice = f"the `if` {walker.place(node.at)}"
    if unset:
        return Unset(
            f"'{name}' has a value in one branch of {choice} only: give it one in the other branch too, or before."
        )
    if is_data(a) and is_data(b):
        return Unset(
            f"'{name}' is a tuple in one branch of {choice} and not in the other, or one of another length."
        )
    what = "a function" if isinstance(a, Function) or isinstance(b, Function) else "what is no array"
    return Unset(
        f"'{name}' is {what} in a branch of {choice}; only arrays can be chosen when the program runs."
    )


def _equal(a: Value, b: Value) -> bool:
    """Whether two values are one node, one number or one function."""
    if type(a) is Ref and type(b) is Ref:
        return a.home is b.home and a.index == b.index
    if isinstance(a, float | int) and isinstance(b, float | int):
        return type(a) is type(b) and a == b and np.signbit(a) == np.signbit(b)
    return isinstance(a, str) and a == b


def _cond(
    walker: Walker, condition: Value, bodies: Sequence[BodyRecorder], pairs: Sequence[Any], at: int
) -> list[Value]:
    """The values that a `cond` chooses: for each pair, the one of the first body or that of the second."""
    if not pairs:
        return []
    op = op_of(walker, "cond", at)
    if op is None:
        return [walker.placeholder(at) for _ in pairs]
    counting = isinstance(walker.recorder, BodyRecorder) and walker.recorder.changing
    outputs: list[list[int]] = []
    flat = [list(zip(leaves(a), leaves(b), strict=True)) for a, b in pairs]
    for side, body in enumerate(bodies):
        outer, walker.recorder = walker.recorder, body
        made = []
        for pair in (p for parts in flat for p in parts):
            # Beside a counter a number is a counter, too. Outside of loops numbers are numbers.
            integers = counting or (whole(pair[side]) and not is_literal(pair[1 - side]))
            made.append(result_of(walker, pair[side], at, integers))
        walker.recorder = outer
        outputs.append(made)
    keys = captures(bodies)
    names = capture_names(bodies, keys)
    programs = [
        body.finish_body(inputs_for(body, keys, names), outs, at)
        for body, outs in zip(bodies, outputs, strict=True)
    ]
    operands: list[Argument] = [walker.operand(condition, at), *constants(walker, keys)]
    attrs = {"then": programs[0], "else": programs[1]}
    results = iter(write(walker, op, operands, attrs, len(outputs[0]), at))
    chosen: list[Value] = []
    for (a, _), parts in zip(pairs, flat, strict=True):
        values = []
        for p, q in parts:
            value = next(results)
            if type(value) is Ref and not counting:
                value.whole = whole(p) and whole(q)
            values.append(value)
        chosen.append(rebuilt(a, iter(values)))
    return chosen


@walks(Choice)
def _choice(walker: Walker, request: Choice) -> Walk:
    """The helper's result, whichever branch returns it."""
    node = request.node
    condition = walker.array((yield node.condition), node.condition.at)
    known = truth(walker, condition, node.condition.at)
    blocks = (node.then, node.otherwise or NOTHING)
    if known is not None:
        return (yield Run(blocks[0 if known else 1].statements, 0, request.then))
    frame = walker.frame
    before = dict(frame.names)
    bodies: list[BodyRecorder] = []
    results: list[Value] = []
    for block in blocks:
        with walker.inside(node.at, False) as body:
            body.frame = frame
            done = yield Run(block.statements, 0, request.then)
            value = done.value if type(done) is Returned else Unset("")
            if type(value) is Several and value.count is not None:
                value = Tuple([walker.item(value, k, done.at) for k in range(value.count)])
        bodies.append(body)
        results.append(value)
        frame.names.clear()
        frame.names.update(before)
    a, b = results
    problem = None
    if any(type(v) is Unset for v in results):
        problem = (
            f"{frame.title} returns a value on one way through this `if` and none on the other: every way must end with "
            "`return`."
        )
    elif _equal(a, b):
        return Returned(a, node.at)
    elif not is_data(a) or not is_data(b):
        problem = f"{frame.title} returns what is no array; only arrays can be chosen when the program runs."
    elif not alike(a, b):
        problem = (
            f"{frame.title} returns another number of values in one branch of this `if` than in the other."
        )
    if problem is not None:
        walker.recorder.wrong(node.at, problem)
        return Returned(walker.placeholder(node.at), node.at)
    return Returned(_cond(walker, condition, bodies, [(a, b)], node.at)[0], node.at)
