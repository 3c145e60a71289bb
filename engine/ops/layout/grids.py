"""More arrays from nothing: logspace, geomspace, indices, tril_indices, triu_indices. Sizes are static."""

from __future__ import annotations

from typing import Any

import numpy as np

from engine.attrs import BOOL, INT, SIZE, optional
from engine.aval import Aval, broadcast_shapes
from engine.builder import Builder, GraphBuilder, Var, broadcast_to, call, cast
from engine.errors import InvalidAttribute
from engine.op import Attr, Example, Operand
from engine.ops.layout.creation import SIZES, shape_of, stretched
from engine.ops.layout.shape import joined
from engine.ops.written import written

_ENDS = (Operand("start"), Operand("stop"), Attr("num", SIZE, 50.0, ("steps",)), Attr("endpoint", BOOL, True))


def _logspace(b: Builder, start: Var, stop: Var, base: Var | None, **attrs: Any) -> Var:
    line = call(b, "linspace", start, stop, num=attrs["num"], endpoint=attrs["endpoint"])
    return call(b, "pow", b.var(10.0) if base is None else base, line)


written(
    "logspace",
    _logspace,
    *_ENDS,
    Operand("base", optional=True),
    doc="Numbers whose logarithms to a base (10 unless given) are at equal distances: base ** linspace(start, stop, num).",
    latex="\\operatorname{{logspace}}({start}, {stop})",
    family="creation",
    floating=True,
    examples=(
        Example((0.5, 2.0), {"num": 4}),
        Example((0.5, 2.0, 3.0), {"num": 3, "endpoint": False}),
        Example(([0.5, 1.0], 2.0), {"num": 3}),
        Example((0.5, 2.0), {"num": 0}),
    ),
)


def _geomspace(b: Builder, start: Var, stop: Var, **attrs: Any) -> Var:
    n = int(attrs["num"])
    if n < 0:
        raise InvalidAttribute(f"geomspace: num {n} must not be negative.")
    shape = broadcast_shapes([start.shape, stop.shape])
    count = n - 1 if attrs["endpoint"] else n
    if count <= 0:
        return stretched(start, (n, *shape))
    i: Var = b.write("iota", n=n).reshape((n, *[1] * len(shape)))
    line = start * call(b, "pow", stop / start, cast(b, i, b.dtype) / float(count))
    return call(b, "where", i.equals(count), stop, line) if attrs["endpoint"] else line


written(
    "geomspace",
    _geomspace,
    *_ENDS,
    doc="""Numbers from start to stop, each the same multiple of the one before it: start·(stop / start)^(i / (num − 1)).

    start and stop must have one sign, else the numbers between are NaN. The last one is `stop` exactly.""",
    latex="\\operatorname{{geomspace}}({start}, {stop})",
    family="creation",
    floating=True,
    examples=(
        Example((0.5, 8.0), {"num": 5}),
        Example((0.5, 8.0), {"num": 3, "endpoint": False}),
        Example((-1.5, -40.0), {"num": 3}),
        Example(([1.5, 2.0], [3.0, 50.0]), {"num": 3}),
        Example((0.5, 8.0), {"num": 1}),
    ),
)


def _indices(b: Builder, **attrs: Any) -> Var:
    shape = shape_of("indices", attrs["dimensions"])
    rank = len(shape)
    if isinstance(b, GraphBuilder):
        b.check(Aval((rank, *shape), "int64"))
    if not rank:
        return broadcast_to(b.var(0, "int64"), (0,))
    grids = []
    for a, n in enumerate(shape):
        line: Var = b.write("iota", n=n).reshape([n if k == a else 1 for k in range(rank)])
        grids.append(broadcast_to(line, shape).reshape((1, *shape)))
    return joined(grids, -rank - 1)


written(
    "indices",
    _indices,
    Attr("dimensions", SIZES, aliases=("shape",)),
    doc="Row numbers, column numbers, … of an array of a shape, stacked along a new first axis, as `numpy.indices`.",
    latex="\\operatorname{{indices}}",
    family="creation",
    convention="An index has no derivative.",
    examples=(
        Example((), {"dimensions": (2, 3)}),
        Example((), {"dimensions": (3,)}),
        Example((), {"dimensions": (0, 2)}),
    ),
)


def _triangle(name: str, lower: bool) -> None:
    def write(b: Builder, **attrs: Any) -> tuple[Var, ...]:
        n, m, k = attrs["n"], attrs["n"] if attrs["m"] is None else attrs["m"], attrs["k"]
        shape_of(name, (n, m))
        if isinstance(b, GraphBuilder):
            b.check(Aval((n, m), "bool"))
        if not n or not m:
            n = m = 0
        found = (np.tril_indices if lower else np.triu_indices)(n, k, m)
        return tuple(b.var(v.astype(np.int64), "int64") for v in found)

    words, side = ("lower", "below") if lower else ("upper", "above")
    written(
        name,
        write,
        Attr("n", SIZE),
        Attr("k", INT, 0, ("offset",)),
        Attr("m", optional(SIZE), None),
        doc=f"Row and column numbers of the {words} triangle of an n×m matrix: on diagonal k and {side} it.",
        latex=f"\\operatorname{{{{{name}}}}}",
        family="creation",
        results=("rows", "columns"),
        convention="An index has no derivative.",
        examples=(Example((), {"n": 3}), Example((), {"n": 2, "m": 4, "k": 1}), Example((), {"n": 0})),
    )


_triangle("tril_indices", True)
_triangle("triu_indices", False)
