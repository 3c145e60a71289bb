"""Diagonals laid out (diagflat, diag_embed) and an axis rolled back (rollaxis): older or other names of what is there."""

from __future__ import annotations

from typing import Any

from engine.attrs import AXIS, INT
from engine.aval import normalize_axis
from engine.builder import Builder, Var, call
from engine.errors import InvalidAttribute, ShapeMismatch
from engine.op import Attr, Example, Operand
from engine.ops.layout.arrange import MATRIX, check_size
from engine.ops.layout.diagonal import places
from engine.ops.written import written

_X = Operand("x", ("a", "v", "input"))


def _diag_embed(b: Builder, x: Var, **attrs: Any) -> Var:
    if not x.rank:
        raise ShapeMismatch("diag_embed needs an array of one axis at least; here is a single number.")
    n = x.shape[-1] + abs(attrs["offset"])
    ends = tuple(normalize_axis(attrs[name], x.rank + 1, what=name) for name in ("dim1", "dim2"))
    if ends[0] == ends[1]:
        raise InvalidAttribute("diag_embed: dim1 and dim2 must be different axes.")
    check_size(b, (*x.shape[:-1], n, n), x)
    index = places(n, n, attrs["offset"])
    flat: Var = b.write("embed", x, index=(index,), shape=(n * n,))
    matrices = flat.reshape((*x.shape[:-1], n, n))
    return call(b, "moveaxis", matrices, source=(-2, -1), destination=ends)


def _rollaxis(b: Builder, x: Var, **attrs: Any) -> Var:
    axis = normalize_axis(attrs["axis"], x.rank) + x.rank
    start = attrs["start"] + x.rank if attrs["start"] < 0 else attrs["start"]
    if not 0 <= start <= x.rank:
        raise InvalidAttribute(
            f"rollaxis: start must be from {-x.rank} to {x.rank} for an array of {x.rank} axes; it is {attrs['start']}."
        )
    return call(b, "moveaxis", x, source=(axis,), destination=(start - (axis < start),))


written(
    "diagflat",
    lambda b, x, k: call(b, "diag", x.reshape((x.size,)), k=k),
    _X,
    Attr("k", INT, 0, ("offset",)),
    doc="The matrix that has the flattened array as its diagonal k.",
    latex="\\operatorname{{diag}} {x}",
    family="shape",
    passes_integers=True,
    derivative={"x": "1"},
    examples=(Example((MATRIX,)), Example(([1.0, 2.0],), {"k": -1}), Example((3.0,), note="a single number")),
)
written(
    "diag_embed",
    _diag_embed,
    _X,
    Attr("offset", INT, 0),
    Attr("dim1", AXIS, -2),
    Attr("dim2", AXIS, -1),
    doc="""Matrices that have the rows of an array as their diagonals.

    x: f[*b, n]  ->  f[*b, m, m] with m = n + |offset|; `dim1` and `dim2` say where the two axes go.""",
    latex="\\operatorname{{diag}} {x}",
    family="shape",
    passes_integers=True,
    derivative={"x": "1"},
    examples=(
        Example((MATRIX,)),
        Example(([1.0, 2.0],), {"offset": 1}),
        Example((MATRIX,), {"offset": -1, "dim1": 0, "dim2": 2}),
        Example((MATRIX,), {"dim1": -1, "dim2": 0}, note="transposed"),
    ),
)
written(
    "rollaxis",
    _rollaxis,
    _X,
    Attr("axis", AXIS),
    Attr("start", INT, 0),
    doc="An axis rolled back until it stands in front of the axis that was at `start`.",
    latex="{x}",
    family="shape",
    passes_integers=True,
    examples=(
        Example(([MATRIX],), {"axis": 2}),
        Example(([MATRIX],), {"axis": 0, "start": 3}),
        Example(([MATRIX],), {"axis": -1, "start": -2}),
    ),
)
