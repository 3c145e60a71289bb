"""The scalars that a landscape lies over: inputs, or entries of inputs, each with the range that it takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from engine.aval import Array, DType
from engine.derive.request import find_floating
from engine.errors import (
    EngineError,
    InvalidField,
    MistakeCollector,
    ShapeMismatch,
    UnknownInput,
    Where,
    nearest,
    quoted,
)
from engine.specialize import Typed, pointer_part
from engine.values import Given


@dataclass(frozen=True, slots=True)
class Axis:
    """What was asked for: `num` values of an input from `start` to `stop`, both included; of the entry at `index`."""

    input: str
    start: float
    stop: float
    num: int
    index: tuple[int, ...] = ()

    @property
    def label(self) -> str:
        """What the scalar is called: the input's id, with the index of an entry as in `w[0, 1]`."""
        return f"{self.input}[{', '.join(map(str, self.index))}]" if self.index else self.input

    def values(self, dtype: DType) -> Array:
        """The values, of equal distance, in the dtype that is computed in."""
        if np.isfinite(self.stop - self.start):
            return np.linspace(self.start, self.stop, self.num).astype(dtype)
        t = np.linspace(0.0, 1.0, self.num)  # a range that is longer than the largest double
        return (self.start * (1 - t) + self.stop * t).astype(dtype)


@dataclass(frozen=True, slots=True)
class Placed:
    """An axis in a typed program."""

    axis: Axis
    """With an index that counts from the front."""
    step: int
    position: int
    """Of the input, among those of the program."""
    flat: int
    """Of the entry, in C order."""


def placed(typed: Typed, axes: Sequence[Axis]) -> list[Placed]:
    """The axes, found in the program. Raises `UnknownInput`, `NotDifferentiable` (an input of integers), `InvalidField` (an
    index that is not there or missing, an entry that two axes name)."""
    mistakes = MistakeCollector()
    found: list[Placed] = []
    for k, axis in enumerate(axes):
        try:
            one = _placed(typed, axis, f"/axes/{k}")
            if any((one.position, one.flat) == (other.position, other.flat) for other in found):
                raise InvalidField(
                    f"Both axes are {quoted(one.axis.label)}; a landscape lies over two different scalars.",
                    node=axis.input,
                    where=Where(pointer=f"/axes/{k}"),
                )
            found.append(one)
        except EngineError as error:
            mistakes.add(error)
    mistakes.raise_if_any()
    return found


def _placed(typed: Typed, axis: Axis, pointer: str) -> Placed:
    program = typed.program
    known = program.input_ids
    if axis.input not in known:
        near = nearest(axis.input, known)
        hint = f" Did you mean {near[0]}?" if near else ""
        what = "is computed, and no input" if axis.input in program.index else "is no input of the program"
        raise UnknownInput(
            f"{quoted(axis.input)} {what}; an axis is an input or an entry of one.{hint}",
            node=axis.input,
            where=Where(pointer=f"{pointer}/input"),
            suggestions=near,
        )
    step = find_floating(typed, axis.input, f"{pointer}/input", "an axis")
    shape = typed.aval(step).shape
    at = Where(pointer=f"{pointer}/index")
    if len(axis.index) != len(shape):
        if not shape:
            detail = f"{quoted(axis.input)} is a scalar and takes no `index`."
        else:
            wanted = "an integer" if len(shape) == 1 else f"a list of {len(shape)} integers"
            detail = f"{quoted(axis.input)} has shape {list(shape)}; `index` must say which entry is meant, by {wanted}."
        raise InvalidField(detail, node=axis.input, where=at)
    for i, n in zip(axis.index, shape, strict=True):
        if not -n <= i < n:
            raise InvalidField(
                f"{quoted(axis.input)} has shape {list(shape)}, and so no entry {list(axis.index)}.",
                node=axis.input,
                where=at,
            )
    index = tuple(i % n for i, n in zip(axis.index, shape, strict=True))
    flat = int(np.ravel_multi_index(index, shape)) if shape else 0
    exact = Axis(axis.input, axis.start, axis.stop, axis.num, index)
    return Placed(exact, step, program.inputs.index(step), flat)


def coordinates(
    typed: Typed, axes: Sequence[Placed], path: Sequence[Sequence[float] | Mapping[str, Given]], start: Array
) -> Array:
    """The points of a path, float64[points, axes].

    A point is a list of the axes' values; or values by id, as `minimize` records them: of whole inputs, or of the axes by their
    labels. What it does not name is as in `start`. Raises `UnknownInput` for names that are no node, `ShapeMismatch`.
    """
    found = np.empty((len(path), len(axes)))
    mistakes = MistakeCollector()
    for k, point in enumerate(path):
        if not isinstance(point, Mapping):
            found[k] = point
            continue
        try:
            found[k] = _point(typed, axes, point, start, f"/path/{k}")
        except EngineError as error:
            mistakes.add(error)
    mistakes.raise_if_any()
    return found


def _point(
    typed: Typed, axes: Sequence[Placed], point: Mapping[str, Given], start: Array, pointer: str
) -> Array:
    found = start.copy()
    labels = {p.axis.label: k for k, p in enumerate(axes)}
    whole = {p.axis.input for p in axes}
    for name, given in point.items():
        at = Where(pointer=f"{pointer}/{pointer_part(name)}")
        value = given.value
        if name in whole and name in typed.program.index:
            shape = typed.aval(typed.program.index[name]).shape
            if value.shape != shape:
                raise ShapeMismatch(
                    f"{quoted(name)} has shape {list(shape)}; its value in this point has {list(value.shape)}.",
                    node=name,
                    where=at,
                )
            for k, p in enumerate(axes):
                if p.axis.input == name:
                    found[k] = value.reshape(-1)[p.flat]
        elif name in labels:
            if value.shape:
                raise ShapeMismatch(
                    f"{quoted(name)} is one number; its value in this point has shape {list(value.shape)}.",
                    node=name,
                    where=at,
                )
            found[labels[name]] = value
        elif name not in typed.program.index:
            near = nearest(name, [*labels, *typed.program.input_ids])
            hint = f" Did you mean {near[0]}?" if near else ""
            raise UnknownInput(
                f"A point of the path names {quoted(name)}, which is no input of the program.{hint}",
                node=name,
                where=at,
                suggestions=near,
            )
    return found
