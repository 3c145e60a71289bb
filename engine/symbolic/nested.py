"""Derivatives said by ops of the catalogue that differentiate: grad and jacobian of a body, one inside the other.

What no public ops say node by node (the way back over a loop of unknown length, derivatives of some special functions) is still
one op applied to the program itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from engine.aval import Aval
from engine.op import registry
from engine.program import INPUT, ITEM, Argument, Literal, Program, Step
from engine.specialize import Typed


def nested(typed: Typed, of: int, wrt: Sequence[int]) -> Program:
    """A program of the same inputs whose output is ∂ᵏof/∂wrt[0]…∂wrt[k−1]."""
    body, order, shifts = _body(typed.program, of, wrt)
    scalar = typed.aval(of).shape == ()
    for k, by in enumerate(wrt):
        body = _derived(body, order.index(by), grad=scalar and k == 0)
    return _applied(typed, body, order, shifts)


def _body(program: Program, of: int, wrt: Sequence[int]) -> tuple[Program, list[int], list[int]]:
    """The part of the program that `of` needs, as a function of its inputs and of δs that are added to the intermediates
    among `wrt`; which steps its inputs stand for; and those of them that are intermediates."""
    live = [False] * len(program.steps)
    live[of] = True
    for i in range(of, -1, -1):
        if live[i]:
            for a in program.steps[i].operands:
                if isinstance(a, int):
                    live[a] = True
    shifts = [i for i in dict.fromkeys(wrt) if program.steps[i].op is not INPUT]
    inputs = [i for i in program.inputs if live[i] or i in wrt]
    steps: list[Step] = []
    place: dict[int, int] = {}
    taken = set(program.index)
    for i in inputs:
        place[i] = len(steps)
        steps.append(Step(program.steps[i].id, INPUT))
    delta: dict[int, int] = {}
    for i in shifts:
        delta[i] = len(steps)
        steps.append(Step(_free(f"d_{program.steps[i].id}", taken), INPUT))
    for i, step in enumerate(program.steps):
        if not live[i] or step.op is INPUT:
            continue
        operands: list[Argument] = [place[a] if isinstance(a, int) else a for a in step.operands]
        steps.append(step._replace(operands=tuple(operands), origin=-1))
        place[i] = len(steps) - 1
        if i in delta:
            name = _free(f"{step.id}_shifted", taken)
            steps.append(Step(name, registry.core("add"), (place[i], delta[i]), {}, -1, False))
            place[i] = len(steps) - 1
    return Program(tuple(steps), (place[of],), program.source), [*inputs, *shifts], shifts


def _free(wish: str, taken: set[str]) -> str:
    name, k = wish, 1
    while name in taken:
        k += 1
        name = f"{wish}{k}"
    taken.add(name)
    return name


def _derived(body: Program, k: int, *, grad: bool) -> Program:
    """The derivative of a function of the same inputs by input k, as such a function."""
    steps = [Step(body.steps[i].id, INPUT) for i in body.inputs]
    operands = tuple(range(len(steps)))
    taken = {s.id for s in steps}
    op = registry.core("grad" if grad else "jacobian")
    attrs: Mapping[str, object] = {"body": body, "wrt": (k,) if grad else k}
    if (grad and k == 0) or (not grad and k == 0):
        attrs = {"body": body}
    steps.append(Step(_free("g" if grad else "j", taken), op, operands, attrs, -1, False))
    if grad:
        steps.append(Step(_free("t", taken), ITEM, (len(steps) - 1,), {"index": 0}, -1, False))
    return Program(tuple(steps), (len(steps) - 1,), body.source)


def _applied(typed: Typed, body: Program, order: Sequence[int], shifts: Sequence[int]) -> Program:
    """The last of the functions as a program: applied to the inputs, δs being 0."""
    program = typed.program
    steps: list[Step] = []
    place: dict[int, int] = {}
    for i in program.inputs:
        place[i] = len(steps)
        steps.append(program.steps[i]._replace(origin=-1))
    arguments: list[Argument] = []
    for i in order:
        if i in shifts:
            aval: Aval = typed.aval(i)
            arguments.append(Literal(np.zeros(aval.shape)) if aval.shape else Literal(np.asarray(0.0)))
        else:
            arguments.append(place[i])
    outer: dict[int, Argument] = dict(zip(body.inputs, arguments, strict=True))
    for k, step in enumerate(body.steps):
        if step.op is INPUT:
            continue
        operands = tuple(outer[a] if isinstance(a, int) else a for a in step.operands)
        name = _free(step.id, {s.id for s in steps})
        steps.append(step._replace(id=name, operands=operands))
        outer[k] = len(steps) - 1
    (out,) = body.outputs
    result = outer[out]
    assert isinstance(result, int)
    if steps[result].op is INPUT:
        steps.append(Step("value", registry.core("identity"), (result,), {}, -1, False))
        result = len(steps) - 1
    return Program(tuple(steps), (result,), program.source)
