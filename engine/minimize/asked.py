"""What a request for minimize says, beside its options: which nodes are varied, from where, within which bounds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from engine.aval import Array, Aval, DType
from engine.derive.request import Request, find, find_floating, fitting, resolve_wrt
from engine.errors import (
    EngineError,
    InvalidField,
    MistakeCollector,
    UnknownNode,
    Where,
    nearest,
    quoted,
)
from engine.numeric.function import Function
from engine.program import Program
from engine.specialize import Typed, pointer_part
from engine.values import Given


@dataclass(frozen=True)
class Fields:
    """The fields of the verb's own. `bounds` are pairs of a lower and an upper one."""

    method: str | None = None
    start: Mapping[str, Given] = field(default_factory=dict)
    bounds: Mapping[str, tuple[Given, Given]] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    record: bool | int = False


def with_starts(request: Request, fields: Fields) -> Request:
    """The request with the values to start from as inputs: those of `start`, else of `inputs`; an input without either that has
    bounds starts in their middle. Raises `UnknownNode`."""
    program = request.program
    mistakes = MistakeCollector()
    for where, names in (("start", fields.start), ("bounds", fields.bounds)):
        for name in names:
            if name not in program.index:
                near = nearest(name, program.index)
                hint = f" Did you mean {near[0]}?" if near else ""
                mistakes.add(
                    UnknownNode(
                        f"The program has no node {quoted(name)}.{hint}",
                        node=name,
                        where=Where(pointer=f"/{where}/{pointer_part(name)}"),
                        suggestions=near,
                    )
                )
    mistakes.raise_if_any()
    own = set(program.input_ids)
    inputs = {**request.inputs, **{name: given for name, given in fields.start.items() if name in own}}
    for name, (low, high) in fields.bounds.items():
        if name in own and name not in inputs and not _has_default(program, name):
            inputs[name] = _middle(low, high)
    return replace(request, inputs=inputs)


def _has_default(program: Program, name: str) -> bool:
    return "value" in program.steps[program.index[name]].attrs


def _middle(low: Given, high: Given) -> Given:
    """Between the bounds; at the finite one, or 0, where they are not both."""
    try:
        a, b = np.broadcast_arrays(np.asarray(low.value, np.float64), np.asarray(high.value, np.float64))
    except ValueError:
        return low  # what is wrong with them is said later
    with np.errstate(all="ignore"):
        middle = np.where(np.isfinite(a) & np.isfinite(b), a / 2 + b / 2, np.clip(0.0, a, b))
    return Given(np.asarray(np.where(np.isnan(middle), 0.0, middle)), True, False)


def variables(typed: Typed, request: Request, fields: Fields) -> list[int]:
    """The steps to vary: `wrt`; else what `start` and `bounds` name, if there is a start; else every floating input."""
    mistakes = MistakeCollector()
    named: list[int] = []
    for where, names in (("start", fields.start), ("bounds", fields.bounds)):
        for name in names:
            try:
                i = find_floating(typed, name, f"/{where}/{pointer_part(name)}", "what is varied")
                if where == "bounds" and i not in typed.program.inputs:
                    raise InvalidField(
                        f"{quoted(name)} is computed, and only inputs can have bounds.",
                        node=name,
                        where=Where(pointer=f"/bounds/{pointer_part(name)}"),
                    )
                named.append(i)
            except EngineError as error:
                mistakes.add(error)
    if request.wrt is None and fields.start:
        mistakes.raise_if_any()
        return list(dict.fromkeys(named))
    wrt: list[int] = []
    try:
        wrt = resolve_wrt(typed, request)
    except EngineError as error:
        mistakes.add(error)
    mistakes.raise_if_any()
    for where, names in (("start", fields.start), ("bounds", fields.bounds)):
        for name in names:
            i = find(typed, name, f"/{where}/{pointer_part(name)}")
            if i not in wrt and (where == "bounds" or i not in typed.program.inputs):
                mistakes.add(
                    InvalidField(
                        f"{quoted(name)} is not among the variables ({', '.join(typed.program.steps[k].id for k in wrt[:8])}).",
                        node=name,
                        where=Where(pointer=f"/{where}/{pointer_part(name)}"),
                    )
                )
    mistakes.raise_if_any()
    return wrt


def start_of(f: Function, fields: Fields) -> Array:
    """The vector to start from. What `start` says of an intermediate is its value there."""
    x = f.start.copy()
    # In evaluation order: an intermediate is right before those behind it are looked at.
    for k in sorted(range(len(f.wrt)), key=f.wrt.__getitem__):
        name, own = f.names[k], f.part(k)
        given = fields.start.get(name)
        if given is None:
            continue
        wanted = fitting(given, f.avals[k], f.dtype, name, f"/start/{pointer_part(name)}")
        flat = np.asarray(wanted, np.float64).reshape(-1)
        if f.intermediate[k]:
            flat = flat - np.asarray(f.at(x)[name], np.float64).reshape(-1)
        x[own] = flat
    return x


def bounds_of(f: Function, fields: Fields) -> tuple[Array, Array]:
    """Lower and upper bounds, as vectors."""
    lows, highs = [], []
    mistakes = MistakeCollector()
    for name, aval in zip(f.names, f.avals, strict=True):
        pair = fields.bounds.get(name)
        low, high = np.full(aval.shape, -np.inf), np.full(aval.shape, np.inf)
        if pair is not None:
            try:
                low, high = _pair(name, pair, aval, f.dtype)
            except EngineError as error:
                mistakes.add(error)
        lows.append(low.reshape(-1))
        highs.append(high.reshape(-1))
    mistakes.raise_if_any()
    return np.concatenate(lows), np.concatenate(highs)


def _pair(name: str, pair: tuple[Given, Given], aval: Aval, dtype: DType) -> tuple[Array, Array]:
    pointer = f"/bounds/{pointer_part(name)}"
    ends = []
    for k, given in enumerate(pair):
        at = f"{pointer}/{k}"
        if given.value.shape == ():
            given = Given(np.full(aval.shape, given.value), given.weak, given.integers)
        array = np.asarray(fitting(given, aval, dtype, name, at), np.float64)
        if np.isnan(array).any():
            raise InvalidField(f"A bound of {quoted(name)} is NaN.", node=name, where=Where(pointer=at))
        ends.append(array)
    low, high = ends
    if (low > high).any():
        raise InvalidField(
            f"A lower bound of {quoted(name)} is above the upper one: {low[low > high].flat[0]:g} > "
            f"{high[low > high].flat[0]:g}. Bounds are [low, high].",
            node=name,
            where=Where(pointer=pointer),
        )
    if (low == np.inf).any() or (high == -np.inf).any():
        raise InvalidField(
            f"The bounds of {quoted(name)} leave no finite number.",
            node=name,
            where=Where(pointer=pointer),
        )
    return low, high


# -- limits
