"""landscape: a function over one or two of its inputs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema

from engine.errors import LimitExceeded, Where, nearest, quoted
from engine.landscape import Axis
from service.components import ref
from service.problems import Mistake, pointer_to
from service.schemas.program import ProgramRequest, RunAnswer

if TYPE_CHECKING:
    from service.reader import Reader

_NUMBER = {"type": "number"}
_AXIS: dict[str, Any] = {
    "type": "object",
    "properties": {
        "input": {"type": "string", "description": "Id of an input."},
        "index": {
            "anyOf": [{"type": "integer"}, {"type": "array", "items": {"type": "integer"}}],
            "description": "Which entry, of an input that is an array; negative ones count from the end.",
        },
        "start": {**_NUMBER, "description": "First value."},
        "stop": {**_NUMBER, "description": "Last value."},
        "num": {"type": "integer", "minimum": 1, "description": "Number of values, of equal distance."},
    },
    "required": ["input", "start", "stop", "num"],
    "additionalProperties": False,
}
_POINT: dict[str, Any] = {
    "anyOf": [
        {"type": "array", "items": ref("Number"), "description": "A value for each axis."},
        {
            "type": "object",
            "additionalProperties": ref("Value"),
            "description": "Values by id, as `minimize` records them; or by an axis' label.",
        },
    ]
}
_FIELDS = ("input", "index", "start", "stop", "num")
MOST_NUM = 1 << 53


class LandscapeRequest(ProgramRequest):
    """A part of a function's graph, to be looked at."""

    model_config = ConfigDict(json_schema_extra={"required": ["axes"]})

    MUST_BE: ClassVar[dict[str, str]] = {
        "axes": "a list of one or two objects {input, index, start, stop, num}",
        "gradients": "true or false",
        "path": "a list of points: lists with a value for each axis, or objects of values by id",
    }

    axes: Annotated[
        list[Any], WithJsonSchema({"type": "array", "items": _AXIS, "minItems": 1, "maxItems": 2})
    ] = Field(
        default_factory=list,
        description="The scalars that the landscape lies over, one or two: inputs or entries of inputs.",
    )
    gradients: bool = Field(False, description="Add the derivatives by the axes, at each point.")
    path: Annotated[
        list[Any] | None, WithJsonSchema({"anyOf": [{"type": "array", "items": _POINT}, {"type": "null"}]})
    ] = Field(
        None, description="Points to show on the landscape, in their order; such as the history of a descent."
    )

    def read(self, reader: Reader) -> dict[str, Any]:
        """`axes`: the axes; `path`: the points, or None."""
        axes = _axes(self, reader)
        path = None
        most = reader.settings.landscape_points
        if self.path is not None and len(self.path) > most:
            detail = f"The path has {len(self.path):,} points; a landscape can have {most:,}."
            where = Where(pointer="/path")
            reader.mistakes.add_engine(
                LimitExceeded("landscape_points", most, len(self.path), detail, where=where)
            )
        elif self.path is not None:
            path = tuple(_point(point, k, len(self.axes), reader) for k, point in enumerate(self.path))
        return {"axes": axes, "path": path}


def _axes(fields: LandscapeRequest, reader: Reader) -> tuple[Axis, ...]:
    if not 1 <= len(fields.axes) <= 2:
        detail = "A landscape lies over one scalar or two; `axes` must be a list of one or two objects."
        reader.wrong(
            f"{detail} It has {len(fields.axes)}." if "axes" in fields.model_fields_set else detail, "axes"
        )
        return ()
    found = [_axis(axis, k, reader) for k, axis in enumerate(fields.axes)]
    return tuple(axis for axis in found if axis is not None)


def _axis(given: Any, k: int, reader: Reader) -> Axis | None:
    """One axis; None where something is wrong with it, which is noted."""
    place = ("axes", k)
    if not isinstance(given, dict):
        reader.wrong("An axis must be an object {input, index, start, stop, num}.", *place)
        return None
    right = True
    for name in given:
        if name not in _FIELDS:
            near = nearest(name, _FIELDS)
            hint = f" Did you mean {near[0]}?" if near else f" Its fields are {', '.join(_FIELDS)}."
            reader.wrong(f"An axis has no field {quoted(name)}.{hint}", *place, name, kind="unknown-field")
            right = False
    for name in ("input", "start", "stop", "num"):
        if name not in given:
            reader.wrong(f"The axis has no `{name}`.", *place, name)
            right = False
    if not right:
        return None
    name, num, index = given["input"], _integer(given["num"]), given.get("index", [])
    ends = [_end(given[end], end, reader, *place, end) for end in ("start", "stop")]
    if not isinstance(name, str):
        reader.wrong("`input` must be the id of an input.", *place, "input")
        right = False
    elif reader.program is not None and name not in reader.program.index:
        near = nearest(name, reader.program.input_ids)
        hint = f" Did you mean {near[0]}?" if near else ""
        detail = f"The program has no input {quoted(name)}.{hint}"
        pointer = pointer_to([*place, "input"])
        reader.mistakes.add(Mistake("unknown-input", detail, node=name, pointer=pointer, suggestions=near))
        right = False
    if num is None or not 1 <= num <= MOST_NUM:
        reader.wrong("`num` must be a positive integer, the number of values.", *place, "num")
        right = False
    entry = [_integer(i) for i in (index if isinstance(index, list) else [index])]
    if None in entry or len(entry) > 64 or any(abs(i) > MOST_NUM for i in entry if i is not None):
        reader.wrong("`index` must be an integer, or a list of integers.", *place, "index")
        right = False
    if not right or None in ends:
        return None
    return Axis(name, ends[0], ends[1], num, tuple(entry))  # type: ignore[arg-type]  # looked at just above


def _integer(value: Any) -> int | None:
    """In JSON, 2 and 2.0 are the same number."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _end(value: Any, name: str, reader: Reader, *place: str | int) -> float | None:
    given = reader.value(value, f"`{name}`", *place)
    if given is None:
        return None
    if given.value.shape or given.value.dtype.kind == "b" or not np.isfinite(given.value):
        reader.wrong(f"`{name}` must be a finite number.", *place)
        return None
    return float(given.value)


def _point(given: Any, k: int, axes: int, reader: Reader) -> Any:
    """A point of the path: a list of numbers, or values by id; None where it is wrong, which is noted."""
    place = ("path", k)
    if isinstance(given, Mapping):
        values = {
            name: reader.value(value, f"the value of {quoted(name)}", *place, name)
            for name, value in given.items()
        }
        return None if None in values.values() else values
    if not isinstance(given, list) or len(given) != axes:
        wanted = "a list with a value for each axis" if axes != 1 else "a list of one number"
        reader.wrong(f"A point of the path must be {wanted}, or an object of values by id.", *place)
        return None
    if all(type(x) is float or type(x) is int for x in given) and all(abs(x) < 1e300 for x in given):
        return [float(x) for x in given]
    numbers = [reader.value(x, "a coordinate", *place, j) for j, x in enumerate(given)]
    if any(n is not None and (n.value.shape or n.value.dtype.kind == "b") for n in numbers):
        reader.wrong("The coordinates of a point must be numbers.", *place)
        return None
    return None if None in numbers else [float(n.value) for n in numbers if n is not None]


class LandscapeAxis(BaseModel):
    """An axis, and the values along it."""

    model_config = ConfigDict(extra="forbid")

    input: str
    index: list[int] | None = Field(None, description="Of an entry of an array.")
    label: str = Field(
        description="What the scalar is called in `at`: the input's id, with an index as in `w[0, 1]`."
    )
    start: float
    stop: float
    num: int
    values: Annotated[Any, WithJsonSchema(ref("Value"))]


class LandscapePoint(BaseModel):
    """A point over the axes, and the value there."""

    model_config = ConfigDict(extra="forbid")

    value: Annotated[Any, WithJsonSchema(ref("Number"))]
    at: Annotated[
        dict[str, Any], WithJsonSchema({"type": "object", "additionalProperties": ref("Number")})
    ] = Field(description="The axes' values, by their labels.")


class LandscapeMinimum(LandscapePoint):
    """The smallest value of the grid."""

    index: list[int] = Field(description="Its place in `surface`, the first of equal ones.")


class LandscapeAnswer(RunAnswer):
    """Values on a grid."""

    of: str
    axes: list[LandscapeAxis]
    surface: Annotated[Any, WithJsonSchema(ref("Value"))] = Field(
        description="`surface[i][j]` is the value at axes[0].values[i], axes[1].values[j]."
    )
    gradients: Annotated[list[Any] | None, WithJsonSchema({"type": "array", "items": ref("Value")})] = Field(
        None,
        description="The derivative by each axis, in their order, of the surface's shape. Where asked for.",
    )
    minimum: LandscapeMinimum | None = Field(description="null where there are only NaN.")
    path: list[LandscapePoint] | None = Field(
        None, description="Values at the points of the path, where there is one."
    )
