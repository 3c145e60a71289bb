"""Steps of a program as one writes them: `x + y`, `tanh(t1)`, `b[0, 1:]`."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from engine.attrs import IndexArray, Slice
from engine.derive.summary import shown
from engine.op import InputRef
from engine.program import CONSTANT, INPUT, ITEM, Argument, Literal, Program, Step

MOST = 8
"""Longest list that is written out."""


def operand_json(program: Program, operand: Argument, most: int) -> Any:
    """An operand as a trace lists it: the id of a step; a constant as it stands in a graph, a summary of a large one."""
    if isinstance(operand, int):
        return program.steps[operand].id
    if operand is None:
        return None
    if operand.value.size > most and operand.value.ndim:
        return shown(operand.value, most)
    return operand.to_json()


def wording(program: Program, step: Step) -> str:
    """The step as text; what an op with several results gives is written with the op itself (`split(x, 2)[0]`).

    It is to be read, not to be posted: lists are cut, and ids stand as they are.
    """
    if step.op is ITEM and isinstance(step.operands[0], int):
        source = program.steps[step.operands[0]]
        inner = source.id if source.op in (INPUT, CONSTANT) else wording(program, source)
        return f"{inner}[{step.attrs.get('index', 0)}]"
    names = [_operand(program, a) for a in step.operands]
    if step.op.name == "getitem" and "index" in step.attrs:
        return f"{names[0]}[{_listed(step.attrs['index'], lambda k: names[k])}]"
    sign = next((s for s in step.op.aliases if not s[0].isalnum() and s[0] != "_"), None)
    if sign is not None and len(names) == 2:
        return f"{names[0]} {sign} {names[1]}"
    if step.op.name == "negative":
        return f"-{names[0]}"
    if step.op.name == "identity":
        return names[0]
    attrs = [
        f"{k}={_attr(v, lambda k: names[k])}" for k, v in step.attrs.items() if not isinstance(v, Program)
    ]
    return f"{step.op.name}({', '.join([*names, *attrs])})"


def _operand(program: Program, operand: Argument) -> str:
    if isinstance(operand, int):
        return program.steps[operand].id
    return "None" if operand is None else _array(operand.value)


def _array(value: Any) -> str:
    array = np.asarray(value)
    if array.ndim == 0:
        return _number(array[()])
    if array.ndim == 1 and array.size <= MOST:
        return f"[{', '.join(map(_number, array))}]"
    return f"array of shape {list(array.shape)}"


def _number(x: Any) -> str:
    if isinstance(x, bool | np.bool_):
        return "True" if x else "False"
    if isinstance(x, int | np.integer):
        return str(int(x))
    if not math.isfinite(x):
        return "nan" if math.isnan(x) else "inf" if x > 0 else "-inf"
    return repr(float(str(x))).removesuffix(".0")


def _attr(value: Any, name: Callable[[int], str]) -> str:
    if isinstance(value, Literal | IndexArray):
        return _array(value.value)
    if isinstance(value, InputRef):
        return name(value.index)
    if isinstance(value, Slice):
        start, stop, step = ("" if part is None else _attr(part, name) for part in value)
        return f"{start}:{stop}" + (f":{step}" if step else "")
    if isinstance(value, tuple):
        return f"({_listed(value, name)})"
    if value is Ellipsis:
        return "..."
    return _number(value) if isinstance(value, bool | int | float) else repr(value)


def _listed(values: Any, name: Callable[[int], str]) -> str:
    shown = [_attr(v, name) for v in values[:MOST]]
    return ", ".join([*shown, *["…"] * (len(values) > MOST)])
