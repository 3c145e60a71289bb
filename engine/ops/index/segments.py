"""Writing and reading by index along one axis, by segment, by mask and on the diagonal. Written with the scatters."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from engine.attrs import AXIS, BOOL, KNOWN, NUMBER, one_of
from engine.aval import broadcast_shapes
from engine.builder import Builder, Var, broadcast_to, call
from engine.errors import ShapeMismatch
from engine.op import Attr, Example, Operand
from engine.ops.index.assign import TABLE, offsets, scaled, scattered, strides
from engine.ops.index.gather import checked, clamped, reshaped
from engine.ops.layout.shape import joined, slice_axis
from engine.ops.reduce.reduction import counted
from engine.ops.written import written

# ---------------------------------------------------------------------------------------------- along one axis, by index


def _index_add(b: Builder, x: Var, index: Var, source: Var, **attrs: Any) -> Var:
    axis = attrs["dim"]
    if attrs["alpha"] != 1:
        source = source * attrs["alpha"]
    return call(b, "scatter_add", x, index, source, axis=axis)


_DIM = Attr("dim", AXIS, aliases=("axis",))
_INDEX = Operand("index", ("indices",), integer=True)
written(
    "index_add",
    _index_add,
    Operand("input", ("x",)),
    _DIM,
    _INDEX,
    Operand("source", ("src", "updates")),
    Attr("alpha", NUMBER, 1.0),
    doc="PyTorch's `index_add`: slices of the source, times alpha, added at an index along one dim. See `scatter_add`.",
    latex="{input} + \\textstyle\\sum_k e_{{{index}_k}} \\, {source}_k",
    family="indexing",
    derivative={"input": "1", "source": "\\alpha\\, e_{\\text{index}}"},
    passes_integers=True,
    examples=(
        Example((TABLE, [0, 2, 0], [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]), {"dim": 1}),
        Example((TABLE, [1, 1], TABLE), {"dim": 0, "alpha": -0.5}),
    ),
)
written(
    "index_copy",
    lambda b, x, index, source, **attrs: call(b, "scatter_set", x, index, source, axis=attrs["dim"]),
    Operand("input", ("x",)),
    _DIM,
    _INDEX,
    Operand("source", ("src", "updates", "value")),
    aliases=("index_fill",),
    doc="PyTorch's `index_copy` and `index_fill`: slices at an index along one dim replaced. See `scatter_set`.",
    latex="{input}[{index} \\gets {source}]",
    family="indexing",
    derivative={"input": "[i \\notin \\text{index}]", "source": "e_{\\text{index}}"},
    convention="Where an index repeats, the last slice has the whole derivative.",
    passes_integers=True,
    examples=(
        Example((TABLE, [2, 0], [[1.0, 2.0], [4.0, 5.0]]), {"dim": 1}),
        Example((TABLE, [1], 7.0), {"dim": 0}),
    ),
)
written(
    "index_select",
    lambda b, x, index, **attrs: call(b, "gather", x, index, axis=attrs["dim"]),
    Operand("input", ("x",)),
    _DIM,
    _INDEX,
    doc="PyTorch's `index_select`: entries at an index along one dim. See `take`.",
    latex="{input}_{{{index}}}",
    family="indexing",
    derivative={"input": "\\dot{input}_{\\text{index}}"},
    passes_integers=True,
    examples=(Example((TABLE, [2, 0, 2]), {"dim": 1}), Example((TABLE, [-1]), {"dim": 0})),
)


def _segments(name: str, reduction: str, neutral: float, words: str, latex: str) -> None:
    def write(b: Builder, data: Var, ids: Var, **attrs: Any) -> Var:
        if data.rank == 0 or data.shape[: ids.rank] != ids.shape or ids.rank == 0:
            raise ShapeMismatch(
                f"{name}: there must be a segment for each entry along the first axes of the data; the shapes are "
                f"{list(data.shape)} (data) and {list(ids.shape)} (segment_ids)."
            )
        data, n = counted(b, data), attrs["num_segments"]
        index = checked(ids, n, by=name, what="the segments (num_segments)", low=0)
        rest = data.shape[ids.rank :]
        if data.aval.floating:
            start = neutral
        elif np.isinf(neutral):
            start = float(np.sign(neutral)) * 2.0**62
        else:
            start = neutral
        empty = broadcast_to(b.var(start, data.dtype), (n, *rest))
        places = scaled(reshaped(index, (*ids.shape, *[1] * len(rest))), prod(rest))
        behind = offsets(b, rest, strides(rest))
        places = broadcast_to(places if behind is None else places + behind, data.shape)
        return scattered(empty, places, data, reduction)

    written(
        name,
        write,
        Operand("data", ("x",)),
        Operand("segment_ids", ("ids", "indices"), integer=True),
        Attr("num_segments", KNOWN),
        doc=f"""{words} of the entries of each segment, as `jax.ops.{name}`: entry i belongs to segment segment_ids[i].

    data: [*i, *rest], segment_ids: int [*i]  ->  [num_segments, *rest]. The ids need not be sorted; an empty segment has
    {neutral:g}.""",
        latex=latex,
        family="reduction",
        derivative={"data": "e_{\\text{id}}"} if reduction == "add" else {},
        convention="" if reduction in ("add", "mul") else "Entries that tie share the derivative equally.",
        examples=(
            Example(([1.0, 2.0, 3.5, 4.0], [0, 2, 0, 2]), {"num_segments": 3}, note="one is empty"),
            Example(([[1.0, 2.0], [3.0, -4.0], [0.5, 0.0]], [1, 1, 0]), {"num_segments": 2}),
            Example(([2.0, 0.0, 3.0, 0.0], [0, 0, 0, 0]), {"num_segments": 1}, smooth=reduction != "min"),
        ),
    )


_segments("segment_sum", "add", 0.0, "Sum", "\\sum_{{{segment_ids}_i = k}} {data}_i")
_segments("segment_prod", "mul", 1.0, "Product", "\\prod_{{{segment_ids}_i = k}} {data}_i")
_segments("segment_max", "max", -np.inf, "Largest", "\\max_{{{segment_ids}_i = k}} {data}_i")
_segments("segment_min", "min", np.inf, "Smallest", "\\min_{{{segment_ids}_i = k}} {data}_i")


# ------------------------------------------------------------------------------------------------- masks and diagonals

written(
    "masked_fill",
    lambda b, x, mask, value, **attrs: call(b, "where", mask, value, x),
    Operand("input", ("x",)),
    Operand("mask", boolean=True),
    Operand("value"),
    doc="PyTorch's `masked_fill`: the value where the mask holds, else the array's entry. It is where(mask, value, x).",
    latex="{input}[{mask} \\gets {value}]",
    family="indexing",
    derivative={"input": "[\\lnot \\text{mask}]", "value": "[\\text{mask}]"},
    examples=(
        Example((TABLE, [[True, False, True], [False, True, False]], 9.0)),
        Example((TABLE, [True, False, True], float("-inf")), smooth=False, note="a mask of −∞"),
    ),
)


def _fill_diagonal(b: Builder, a: Var, val: Var, **attrs: Any) -> Var:
    if a.rank < 2:
        raise ShapeMismatch(f"fill_diagonal needs a matrix; here the shape is {list(a.shape)}.")
    if a.rank > 2 and len(set(a.shape)) > 1:
        raise ShapeMismatch(f"fill_diagonal: all axes must have one size; the shape is {list(a.shape)}.")
    step = 1 + sum(strides(a.shape)[:-1]) if a.rank > 2 else a.shape[1] + 1
    end = a.size if a.rank > 2 or attrs["wrap"] else min(a.size, a.shape[1] * a.shape[1])
    count = len(range(0, end, step))
    if val.size == 0 and count:
        raise ShapeMismatch("fill_diagonal: there is no value.")
    flat = reshaped(val, (val.size,))
    if flat.size < count:  # values that are too few are used again from the first
        rows = -(-count // flat.size)
        flat = reshaped(broadcast_to(flat, (rows, flat.size)), (rows * flat.size,))
    places = scaled(b.write("iota", n=count), step)
    return scattered(a, places, slice_axis(flat, -1, 0, count), "none")


written(
    "fill_diagonal",
    _fill_diagonal,
    Operand("a", ("x", "input")),
    Operand("val", ("value", "fill_value")),
    Attr("wrap", BOOL, False),
    doc="""The array with its main diagonal replaced by a value, or by values in order; returns the new array.

    NumPy's writes in place. `wrap` goes on after n rows of a tall matrix.""",
    latex="{a}[i, i \\gets {val}]",
    family="indexing",
    derivative={"a": "[i \\ne j]", "val": "[i = j]"},
    passes_integers=True,
    examples=(
        Example((TABLE, 9.0)),
        Example((TABLE, [7.0, 8.0])),
        Example(([[1.0], [2.0], [3.0], [4.0]], 9.0), {"wrap": True}, note="a tall matrix"),
        Example(([TABLE[0][:2], TABLE[1][:2]], [5.0, 6.0, 7.0]), note="a value too many"),
    ),
)


def _choose(b: Builder, a: Var, *choices: Var, **attrs: Any) -> Var:
    shape = broadcast_shapes([a.shape, *(c.shape for c in choices)])
    n = len(choices)
    index = a
    if attrs["mode"] == "raise":
        index = checked(a, n, by="choose", what="the choices", low=0)
    elif attrs["mode"] == "wrap":
        index = call(b, "remainder", a, n)
    else:
        index = clamped(a, 0, n - 1)
    rows = joined([reshaped(broadcast_to(c, shape), (*shape, 1)) for c in choices], -1)
    places = reshaped(broadcast_to(index, shape), (*shape, 1))
    y: Var = b.write("gather", rows, places, axis=-1, batch_dims=len(shape))
    return reshaped(y, shape)


written(
    "choose",
    _choose,
    Operand("a", ("x",), integer=True),
    Operand("choices", variadic=True),
    Attr("mode", one_of("raise", "wrap", "clip"), "raise", keyword_only=True),
    doc="For each place the entry of the array whose number stands there, as `numpy.choose`: y[i] = choices[a[i]][i].",
    latex="{choices}_{{{a}}}",
    family="indexing",
    derivative={"choices": "[k = a_i]"},
    examples=(
        Example(([0, 1, 1], [1.0, 2.0, 3.0], [10.0, 20.0, 30.0])),
        Example(([[0], [5]], [1.0, 2.0], 7.0), {"mode": "clip"}, note="stretched"),
        Example(([0, -1], [1.0, 2.0], [3.0, 4.0]), {"mode": "wrap"}),
    ),
)
