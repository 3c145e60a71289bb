"""The core of writing at indices: `scatter_set` and the largest or smallest of what is written; `scatter_add` is in
`gather`.

All take x, indices along one axis, and updates, as `scatter_add` does. Other ways to say where (`x[…]`, an index for
every update, rows of coordinates) become places in the flattened array (`ops.assign`).
"""

from __future__ import annotations

from collections.abc import Sequence
from math import log2, prod
from typing import Any

import numpy as np

from engine.aval import Array, Aval, Avals
from engine.builder import Var, call, cast
from engine.op import Example, General, Linear, Op, Zero, registry
from engine.ops.index.gather import ScatterAdd
from engine.transforms.strong import times


class LastOccurrence(Op):
    """Whether no later index is the same: [*batch, *index] → bool, with `batch_dims` leading axes of their own."""

    name = "last_occurrence"
    family = "core"
    internal = True
    rules = (Zero(),)

    def infer(self, *avals: Aval, **params: Any) -> Avals:
        """A mask of the indices' shape."""
        return Aval(avals[0].shape, "bool")

    def evaluate(self, *arrays: Any, **params: Any) -> Any:
        """Row by row: the first occurrence when read backwards."""
        indices, batch = np.asarray(arrays[0]), params["batch_dims"]
        rows = prod(indices.shape[:batch])
        listed = indices.reshape(rows, prod(indices.shape[batch:]))
        mask = np.zeros(listed.shape, bool)
        for row, own in zip(listed, mask, strict=True):
            _, first = np.unique(row[::-1], return_index=True)
            own[len(row) - 1 - first] = True
        return mask.reshape(indices.shape)[()]

    def vmap(self, b: Any, size: int, operands: Sequence[Var], mapped: Sequence[bool], **params: Any) -> Any:
        """One more leading axis of its own."""
        return b.write(self, operands[0], batch_dims=params["batch_dims"] + 1).ref

    def flops(self, operands: Sequence[Aval], result: Avals, **params: Any) -> float:
        """A sort."""
        n = operands[0].size
        return 16.0 * n * log2(n + 2)


registry.add(LastOccurrence())


def _set_back(ct: Var, k: int, operands: Sequence[Var], **params: Any) -> Var:
    """x loses what is overwritten; of updates with one index only the last has a cotangent."""
    b, (_, indices, updates) = ct.b, operands
    result: Var
    if k == 0:
        zeros = Var(b, b.zeros(Aval(updates.shape, ct.dtype)))
        result = b.write("scatter_set", ct, indices, zeros, **params)
        return result
    result = b.write("gather", ct, indices, **params)
    batch = params["batch_dims"]
    if prod(indices.shape[batch:]) < 2:
        return result
    last: Var = b.write("last_occurrence", indices, batch_dims=batch)
    at = operands[0].rank + params["axis"]
    middle, rest = operands[0].shape[batch:at], operands[0].shape[at + 1 :]
    last = last.reshape(
        (*indices.shape[:batch], *[1] * len(middle), *indices.shape[batch:], *[1] * len(rest))
    )
    return call(b, "where", last, result, 0.0)


class ScatterSet(ScatterAdd):
    """x with entries replaced by updates at given indices along an axis; where an index repeats, the last update stays.

    x: [*batch, *middle, n, *rest], indices: int [*batch, *index],
    updates: broadcast to [*batch, *middle, *index, *rest]  ->  as x

    NumPy's `x[indices] = updates` as a function, JAX's `x.at[indices].set(updates)`; `setitem` takes any index. Linear in
    x and updates together: what is overwritten has derivative 0, and so has an update that a later one overwrites.
    """

    name = "scatter_set"
    pair = ""
    latex = "{x}[{indices} \\gets {updates}]"
    derivative = {"x": "[i \\notin \\text{indices}]", "updates": "e_{\\text{indices}}"}
    convention = "Where an index repeats, the last update has the whole derivative."
    rules = (Linear(_set_back, joint=True), Zero(), Linear(_set_back, joint=True))
    examples = (
        Example(([1.0, 2.0, 3.0], [0, 2, 0], [10.0, 20.0, 30.0]), note="an index twice: the last one stays"),
        Example(([1.0, 2.0, 3.0], 1, 5.0), note="one entry"),
        Example(([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], [-1, 1], [[10.0], [20.0]]), {"axis": 1}),
        Example(
            ([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], [[0, 0], [2, 1]], [[1.5, 2.5], [3.5, 4.5]]),
            {"axis": 1, "batch_dims": 1},
            note="rows with indices of their own, one twice",
        ),
        Example(([1.0, 2.0], [], []), note="nothing written"),
    )

    def put(self, flat: Array, places: Array, updates: Array) -> None:
        """Assignments in order, so that the last one stays."""
        flat[places] = updates


registry.add(ScatterSet())


class ScatterExtreme(ScatterAdd):
    """x with the larger or smaller of itself and the updates at given indices along an axis."""

    rules = (General(), Zero(), General())
    convention = "Of what ties, x and updates, each has an equal share of the derivative."

    def __init__(self, name: str, word: str, fn: Any) -> None:
        self.name = name
        self.pair = fn.__name__
        self.fn = fn
        self.__doc__ = (
            f"The {word} of x and updates at given indices along an axis; operands as those of `scatter_add`.\n\n"
            f"JAX's `x.at[indices].{name[-3:]}(updates)`, NumPy's `np.{fn.__name__}.at`. NaN stays NaN."
        )
        self.latex = f"\\{name[-3:]}({{x}}, {{updates}})"
        self.derivative = {}
        self.examples = (
            Example(([1.0, 2.0, 3.0], [0, 2, 0], [10.0, -20.0, -30.0])),
            Example(([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], [-1, 1], [[3.5], [2.5]]), {"axis": 1}),
            Example(([1.0, 2.0], [0, 0, 1], [1.0, 1.0, 2.0]), smooth=False, note="ties"),
            Example(([1.0, 2.0], [0, 1], [float("nan"), 1.5]), smooth=False, note="NaN"),
        )

    def put(self, flat: Array, places: Array, updates: Array) -> None:
        """The ufunc's `at`."""
        self.fn.at(flat, places, updates)

    def jvp(self, y: Any, xs: Sequence[Var], dxs: Sequence[Var | None], **params: Any) -> Any:
        """Mean of the tangents of all that equal the result."""
        x, indices, updates = xs
        b = x.b
        missing = call(b, "isnan", y)
        own = call(b, "logical_or", x.equals(y), call(b, "logical_and", missing, call(b, "isnan", x)))
        there: Var = b.write("gather", y, indices, **params)
        given = call(
            b, "logical_or", updates.equals(there), call(b, "logical_and", call(b, "isnan", there), call(b, "isnan", updates))
        )  # fmt: skip
        count = b.write("scatter_add", cast(b, own, b.dtype), indices, cast(b, given, b.dtype), **params)
        parts = [
            Var(b, b.zeros(v.aval)) if d is None else call(b, "where", mask, d, 0.0)
            for v, d, mask in ((x, dxs[0], own), (updates, dxs[2], given))
        ]
        total: Var = b.write("scatter_add", parts[0], indices, parts[1], **params)
        return times(total, 1.0 / count)


registry.add(ScatterExtreme("scatter_max", "larger", np.maximum))
registry.add(ScatterExtreme("scatter_min", "smaller", np.minimum))
