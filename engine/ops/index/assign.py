"""Writing at places of an array, as functions that return the new array: setitem, put_along_axis, ScatterND and others.

Where to write becomes places in the flattened array, and one of the scatters of the core does the rest: whatever the
index says, there is one rule for its derivative.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

from engine.attrs import AXIS, COUNT, INDEX, IndexArray, Slice, one_of
from engine.aval import Shape, normalize_axis
from engine.builder import Builder, Var, broadcast_to, call
from engine.errors import Arity, ShapeMismatch
from engine.op import Attr, Example, InputRef, Op, Operand, Spelling, registry
from engine.ops.index.gather import INDICES, checked, gather_axis, known, reshaped
from engine.ops.index.sorting import argsort
from engine.ops.layout.shape import joined, slice_axis
from engine.ops.reduce.reduction import counted
from engine.ops.written import written

CORES = {"set": "scatter_set", "add": "scatter_add", "max": "scatter_max", "min": "scatter_min"}
REDUCTION = Attr("reduction", one_of("none", "add", "mul", "max", "min"), "none", ("reduce", "mode"))
_COMBINED = {"add": "add", "mul": "multiply", "max": "maximum", "min": "minimum"}
TABLE = [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]


def strides(shape: Sequence[int]) -> list[int]:
    """How far apart in C order neighbours along each axis are."""
    return [prod(shape[k + 1 :]) for k in range(len(shape))]


def scaled(v: Var, factor: int) -> Var:
    """Integers times a factor. No node for the factor 1."""
    return v if factor == 1 else v * factor


def offsets(b: Builder, sizes: Sequence[int], steps: Sequence[int]) -> Var | None:
    """Σ k_a·step_a for the places (k_a) of an array of these sizes; None for no axis."""
    total: Var | None = None
    for a, (n, step) in enumerate(zip(sizes, steps, strict=True)):
        line: Var = b.write("iota", n=n)
        own = reshaped(scaled(line, step), [n if k == a else 1 for k in range(len(sizes))])
        total = own if total is None else total + own
    return total


def scattered(x: Var, places: Var, updates: Var, reduction: str) -> Var:
    """x with updates written at places (in range) of the flattened array; both are of one shape."""
    if reduction in ("add", "mul"):
        x, updates = counted(x.b, x), counted(x.b, updates)
    flat, at, new = (reshaped(v, (v.size,)) for v in (x, places, updates))
    if reduction == "mul":
        return reshaped(flat * _products(flat, at, new), x.shape)
    core = CORES["set" if reduction in ("none", "set") else reduction]
    y: Var = x.b.write(core, flat, at, new, axis=-1, batch_dims=0)
    return reshaped(y, x.shape)


def _products(flat: Var, at: Var, new: Var) -> Var:
    """For each place the product of all that is written there.

    The updates are sorted by place; a running product that starts anew with each place (in log₂ n rounds) ends with the
    place's product, and of what is set at one place the last stays. There is no division, so zeros do no harm.
    """
    b, n = flat.b, new.size
    order = argsort(at, -1)
    at, new = gather_axis(at, order, -1), gather_axis(new, order, -1)
    ones = broadcast_to(b.var(1.0, flat.dtype), flat.shape)
    if n > 1:
        differs = call(b, "not_equal", slice_axis(at, -1, 1, n), slice_axis(at, -1, 0, n - 1))
        starts = joined([broadcast_to(b.var(True), (1,)), differs], -1)
        width = 1
        while width < n:
            lead = broadcast_to(b.var(1.0, new.dtype), (width,))
            before = joined([lead, slice_axis(new, -1, 0, n - width)], -1)
            ahead = joined([broadcast_to(b.var(True), (width,)), slice_axis(starts, -1, 0, n - width)], -1)
            new = call(b, "where", starts, new, new * before)
            starts = call(b, "logical_or", starts, ahead)
            width *= 2
    result: Var = b.write("scatter_set", ones, at, new, axis=-1, batch_dims=0)
    return result


def stretched(updates: Var, shape: Shape, by: str) -> Var:
    """Updates of the shape that is written to."""
    try:
        return broadcast_to(updates, shape)
    except ShapeMismatch:
        raise ShapeMismatch(
            f"{by}: values of shape {list(updates.shape)} cannot be broadcast to {list(shape)}, the shape of what is "
            "written to."
        ) from None


# ---------------------------------------------------------------------------------------------------------- x[…] = value


class SetItem(Op):
    """The array with x[index] set to a value: NumPy's `x[index] = value` as a function, JAX's `x.at[index].set(value)`.

    The index is one of `getitem`: integers, slices, `...`, None, arrays of integers, masks; a number computed in the
    program (a loop's counter) is `{"input": k}` in a graph, k counted from 2. `mode` add, mul, max, min combines the value
    with what is there (`x.at[index].add(value)`), entry by entry also where an index repeats; with set the last one stays.
    A computed mask may stand alone, with a value of the shape behind it: where(mask, value, x).
    """

    name = "setitem"
    aliases = ("__setitem__", "index_update")
    family = "indexing"
    composite = True
    passes_integers = True
    parameters = (
        Operand("x", ("a",)),
        Operand("value", ("values", "updates")),
        Operand("further", variadic=True, integer=True, masks=True, least=0),
        Attr("index", INDEX, aliases=("key",)),
        Attr("mode", one_of("set", "add", "mul", "max", "min"), "set"),
    )
    latex = "{x}[\\,\\cdot \\gets {value}]"
    derivative = {"x": "[i \\notin \\text{index}]", "value": "e_{\\text{index}}"}
    convention = (
        "Where an index repeats, the last value has the whole derivative; with max and min, ties share."
    )
    examples = (
        Example((TABLE, 9.0), {"index": (1, -1)}),
        Example((TABLE, [7.0, 8.0]), {"index": (Ellipsis, Slice(None, None, 2)), "mode": "add"}),
        Example((TABLE, [7.0, 8.0, 9.0]), {"index": (IndexArray([0, 1, 1]), IndexArray([2, 0, 0]))}, note="a place twice"),
        Example((TABLE, 9.0), {"index": (IndexArray([[True, False, True], [False, True, False]]),)}, note="a mask"),
        Example((TABLE, [7.0, 8.0], [2, -3]), {"index": (0, InputRef(2)), "mode": "mul"}, note="a computed index"),
        Example((TABLE, [[-7.0], [8.0]], [0, 0]), {"index": (Slice(), InputRef(2)), "mode": "max"}),
        Example((TABLE, 2.5, [True, False]), {"index": (InputRef(2),), "mode": "mul"}, note="a computed mask"),
        Example(([1.0, 2.0], []), {"index": (Slice(2, None),)}, note="nothing written"),
    )  # fmt: skip

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var:
        """The places are the index of an array of places."""
        x, value, *further = operands
        index, mode = attrs["index"], attrs["mode"]
        parts = index if isinstance(index, tuple) and not isinstance(index, Slice) else (index,)
        if len(parts) == 1 and isinstance(parts[0], InputRef) and 2 <= parts[0].index < len(operands):
            mask = operands[parts[0].index]
            if mask is not None and mask.dtype == "bool" and known(mask) is None and mask.rank:
                return self._masked(x, value, mask, mode)
        moved = tuple(_from_behind(part) for part in parts)
        numbers: Var = b.write("iota", n=x.size)
        places = call(b, "getitem", reshaped(numbers, x.shape), *further, index=moved)
        return scattered(x, places, stretched(value, places.shape, self.name), mode)

    def _masked(self, x: Var, value: Var, mask: Var, mode: str) -> Var:
        b = x.b
        if x.shape[: mask.rank] != mask.shape:
            raise ShapeMismatch(
                f"setitem: a mask of shape {list(mask.shape)} does not fit the first axes of an array of shape "
                f"{list(x.shape)}."
            )
        behind = x.shape[mask.rank :]
        if value.rank > len(behind):
            raise ShapeMismatch(
                f"setitem: how many entries a computed mask chooses is not known before it runs, so the value must be "
                f"a number or have the shape {list(behind)}; its shape is {list(value.shape)}."
            )
        value = stretched(stretched(value, behind, self.name), x.shape, self.name)
        new = value if mode == "set" else call(b, _COMBINED[mode], counted(b, x), counted(b, value))
        return call(b, "where", reshaped(mask, (*mask.shape, *[1] * len(behind))), new, x)


registry.add(SetItem())


def _from_behind(part: Any) -> Any:
    """A part of the index for `getitem`, which has no value among its operands."""
    if isinstance(part, InputRef):
        if part.index < 2:
            raise Arity(
                f"setitem: the index refers to input {part.index} of the node; what an index may use are the further "
                "inputs, behind the array (0) and the value (1)."
            )
        return InputRef(part.index - 1)
    return part


# ------------------------------------------------------------------------------------------- an index for every update


def element_places(x: Var, indices: Var, axis: int, by: str) -> tuple[Var, int]:
    """Places (in the flattened array) of an index for every entry, and the axis counted from 0.

    The other axes of the indices may be shorter than those of x (PyTorch, ONNX): they are numbered from 0.
    """
    if x.rank != indices.rank:
        raise ShapeMismatch(
            f"{by}: the array has {x.rank} axes (shape {list(x.shape)}), the indices have {indices.rank} (shape "
            f"{list(indices.shape)}); they must have equally many."
        )
    at = normalize_axis(axis, x.rank) + x.rank
    if any(m > n for a, (m, n) in enumerate(zip(indices.shape, x.shape, strict=True)) if a != at):
        raise ShapeMismatch(
            f"{by}: except along axis {at} the indices (shape {list(indices.shape)}) must not be longer than the array "
            f"(shape {list(x.shape)})."
        )
    steps = strides(x.shape)
    index = scaled(checked(indices, x.shape[at], by=by, what=at), steps[at])
    others = offsets(x.b, [1 if a == at else n for a, n in enumerate(indices.shape)], steps)
    return (index if others is None or x.rank == 1 else index + others), at


def _put(b: Builder, arr: Var, indices: Var, values: Var, **attrs: Any) -> Var:
    at = normalize_axis(attrs["axis"], arr.rank) + arr.rank
    if indices.rank == arr.rank:  # NumPy stretches the other axes of the indices
        whole = [n if a == at or n != 1 else arr.shape[a] for a, n in enumerate(indices.shape)]
        indices = broadcast_to(indices, tuple(whole))
    places, _ = element_places(arr, indices, attrs["axis"], "put_along_axis")
    return scattered(arr, places, stretched(values, places.shape, "put_along_axis"), attrs["reduction"])


written(
    "put_along_axis",
    _put,
    Operand("arr", ("x", "a", "data", "input")),
    INDICES,
    Operand("values", ("updates", "src")),
    Attr("axis", AXIS, 0, ("dim",)),
    REDUCTION,
    aliases=("ScatterElements", "scatter_elements"),
    doc="""The array with values written at indices of their own for every place: y[indices[i, j], j] = values[i, j], axis 0.

    Returns the new array (NumPy's writes in place). It is ONNX ScatterElements: `reduction` add, mul, max, min combines
    the values with what is there; with none the last value stays where a place repeats.""",
    latex="{arr}[{indices} \\gets {values}]",
    family="indexing",
    derivative={"arr": "[i \\notin \\text{indices}]", "values": "e_{\\text{indices}}"},
    convention="Where a place repeats, the last value has the whole derivative; with max and min, ties share.",
    passes_integers=True,
    examples=(
        Example((TABLE, [[2, 0], [1, 1]], [[10.0, 20.0], [30.0, 40.0]]), {"axis": 1}, note="a place twice"),
        Example((TABLE, [[0, 1, 1]], [[10.0, 20.0, 30.0]]), {"axis": 0}),
        Example((TABLE, [[-1], [0]], 7.5), {"axis": -1, "reduction": "add"}),
        Example((TABLE, [[2, 2, 0]], 2.5), {"axis": 1, "reduction": "mul"}, note="indices stretched, a place twice"),
        Example(([2.0, 0.0, 3.0], [0, 1, 0, 1], [0.0, 2.0, 0.0, 4.0]), {"reduction": "mul"}, note="zeros"),
        Example(([2.0, 5.0, 3.0], [0, 1, 0], [1.0, 7.0, 4.0]), {"reduction": "max"}),
    ),
)  # fmt: skip


def _scatter(b: Builder, x: Var, index: Var, src: Var, **attrs: Any) -> Var:
    places, _ = element_places(x, index, attrs["dim"], "scatter")
    if src.rank and src.rank == index.rank:  # PyTorch leaves out what the source has more than the index
        for a, (n, m) in enumerate(zip(index.shape, src.shape, strict=True)):
            src = slice_axis(src, a - src.rank, 0, n) if m > n else src
    how = {
        "none": "none",
        "add": "add",
        "sum": "add",
        "multiply": "mul",
        "prod": "mul",
        "amax": "max",
        "amin": "min",
    }
    return scattered(x, places, stretched(src, places.shape, "scatter"), how[attrs["reduce"]])


written(
    "scatter",
    _scatter,
    Operand("input", ("x",)),
    Attr("dim", AXIS, aliases=("axis",)),
    Operand("index", ("indices",), integer=True),
    Operand("src", ("value", "updates")),
    Attr("reduce", one_of("none", "add", "sum", "multiply", "prod", "amax", "amin"), "none"),
    aliases=("scatter_reduce",),
    doc="""PyTorch's `scatter(input, dim, index, src)`: y[index[i, j], j] = src[i, j] for dim 0.

    `reduce` add (sum), multiply (prod), amax, amin combine with what is there: PyTorch's scatter_add and scatter_reduce.""",
    latex="{input}[{index} \\gets {src}]",
    family="indexing",
    derivative={"input": "[i \\notin \\text{index}]", "src": "e_{\\text{index}}"},
    convention="Where a place repeats, the last source has the whole derivative; with amax and amin, ties share.",
    passes_integers=True,
    examples=(
        Example((TABLE, [[0, 1], [1, 0]], [[10.0, 20.0], [30.0, 40.0]]), {"dim": 0}, note="a shorter index"),
        Example(
            (TABLE, [[0, 2]], [[10.0, 20.0, 5.0], [30.0, 40.0, 6.0]]), {"dim": 1}, note="a longer source"
        ),
        Example((TABLE, [[0, 0, 1]], 1.5), {"dim": 0, "reduce": "add"}),
        Example((TABLE, [[0, 0, 1]], [[1.5, 0.5, 9.0]]), {"dim": 1, "reduce": "amax"}),
    ),
)


def _gather_elements(b: Builder, data: Var, indices: Var, **attrs: Any) -> Var:
    places, _ = element_places(data, indices, attrs["axis"], "gather_elements")
    return gather_axis(reshaped(data, (data.size,)), places, -1)


written(
    "gather_elements",
    _gather_elements,
    Operand("data", ("x", "input")),
    INDICES,
    Attr("axis", AXIS, 0, ("dim",)),
    aliases=("GatherElements",),
    spellings={
        "torch.gather": Spelling(
            parameters=(Operand("data", ("input",)), Attr("axis", AXIS, 0, ("dim",)), INDICES)
        )
    },
    doc="""Entries at indices of their own for every place, ONNX GatherElements: y[i, j] = data[indices[i, j], j] for axis 0.

    It is PyTorch's `gather(input, dim, index)`: axes of the indices beside the indexed one may be shorter than those of
    the data (`take_along_axis` broadcasts them).""",
    latex="{data}_{{{indices}}}",
    family="indexing",
    derivative={"data": "\\dot{data}_{\\text{indices}}"},
    passes_integers=True,
    examples=(
        Example((TABLE, [[0, 2], [1, 1]]), {"axis": 1}),
        Example((TABLE, [[0, -1]]), {"axis": 0}, note="a shorter index"),
        Example(([1.0, 2.0], [1, 1, 0])),
    ),
)


# -------------------------------------------------------------------------------------------------- rows of coordinates


def nd_places(data: Var, indices: Var, batch: int, by: str) -> Var:
    """Places (in the flattened array) of the slices that rows of coordinates name."""
    if indices.rank == 0:
        raise ShapeMismatch(f"{by}: the indices need a last axis, which holds the coordinates.")
    depth = indices.shape[-1]
    if batch >= indices.rank or batch + depth > data.rank or data.shape[:batch] != indices.shape[:batch]:
        raise ShapeMismatch(
            f"{by}: coordinates along the last axis of the indices (shape {list(indices.shape)}) do not fit an array of "
            f"shape {list(data.shape)}" + (f" with {batch} shared axes." if batch else ".")
        )
    b, steps, lead = data.b, strides(data.shape), indices.shape[:-1]
    tail = data.shape[batch + depth :]
    shape = (*lead, *tail)
    total = broadcast_to(b.var(0, "int64"), shape)
    for k in range(depth):
        column = reshaped(slice_axis(indices, -1, k, k + 1), (*lead, *[1] * len(tail)))
        axis = batch + k
        total = total + scaled(checked(column, data.shape[axis], by=by, what=axis), steps[axis])
    if batch:
        own = offsets(b, lead[:batch], steps[:batch])
        assert own is not None
        total = total + reshaped(own, (*lead[:batch], *[1] * (len(shape) - batch)))
    behind = offsets(b, tail, steps[batch + depth :])
    return total if behind is None else total + behind


def _gather_nd(b: Builder, data: Var, indices: Var, **attrs: Any) -> Var:
    places = nd_places(data, indices, attrs["batch_dims"], "gather_nd")
    return gather_axis(reshaped(data, (data.size,)), places, -1)


written(
    "gather_nd",
    _gather_nd,
    Operand("data", ("x", "params", "input")),
    INDICES,
    Attr("batch_dims", COUNT, 0),
    aliases=("GatherND",),
    doc="""Slices of an array at rows of coordinates, as ONNX GatherND and TensorFlow: y[i] = data[indices[i, 0], …].

    data: [*batch, *s], indices: int [*batch, *i, k]  ->  [*batch, *i, *s[k:]]""",
    latex="{data}_{{{indices}}}",
    family="indexing",
    derivative={"data": "\\dot{data}_{\\text{indices}}"},
    passes_integers=True,
    examples=(
        Example((TABLE, [[0, 1], [1, -1]])),
        Example((TABLE, [[1], [0], [1]]), note="whole rows, one twice"),
        Example((TABLE, [[2], [0]]), {"batch_dims": 1}),
    ),
)


def _scatter_nd(b: Builder, data: Var, indices: Var, updates: Var, **attrs: Any) -> Var:
    places = nd_places(data, indices, 0, "scatter_nd")
    return scattered(data, places, stretched(updates, places.shape, "scatter_nd"), attrs["reduction"])


written(
    "scatter_nd",
    _scatter_nd,
    Operand("data", ("x", "input", "tensor")),
    INDICES,
    Operand("updates", ("values",)),
    REDUCTION,
    aliases=("ScatterND", "tensor_scatter_nd_update"),
    doc="""The array with slices written at rows of coordinates, as ONNX ScatterND: y[indices[i, 0], …] = updates[i].

    data: [*s], indices: int [*i, k], updates: [*i, *s[k:]]. `reduction` add, mul, max, min combines with what is there.""",
    latex="{data}[{indices} \\gets {updates}]",
    family="indexing",
    derivative={"data": "[i \\notin \\text{indices}]", "updates": "e_{\\text{indices}}"},
    convention="Where a place repeats, the last update has the whole derivative; with max and min, ties share.",
    passes_integers=True,
    examples=(
        Example((TABLE, [[0, 1], [1, -1]], [10.0, 20.0])),
        Example((TABLE, [[1], [1]], [[10.0, 20.0, 30.0], [1.0, 2.0, 3.0]]), note="a row twice"),
        Example((TABLE, [[1], [1]], [[10.0, 20.0, 30.0], [1.0, 2.0, 3.0]]), {"reduction": "add"}),
    ),
)
