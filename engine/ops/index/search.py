"""Places and counts: searchsorted, digitize, bincount. Integers in, or integers out; weights are differentiable."""

from __future__ import annotations

from collections.abc import Sequence
from math import log2, prod
from typing import Any

import numpy as np

from engine.attrs import BOOL, SIZE, one_of, optional
from engine.aval import Array, Aval, Avals
from engine.builder import Builder, Var, broadcast_to, call, cast
from engine.errors import InvalidAttribute, ShapeMismatch
from engine.op import Attr, Example, Op, Operand, Zero, registry
from engine.ops.index.gather import checked, known
from engine.ops.layout.shape import slice_axis
from engine.ops.written import written
from engine.transforms.vmap import lead

_INDEX = "An index has no derivative."


class SearchSorted(Op):
    """Where numbers would be inserted into a sorted array so that it stays sorted.

    a: [*batch, n] ascending, v: [*batch, *k]  ->  int of v's shape

    `side` left: a[i − 1] < v ≤ a[i]; right (PyTorch's `right`): a[i − 1] ≤ v < a[i]. NaN is larger than all. A sorted
    array with several axes holds one row for each row of v, as in PyTorch.
    """

    name = "searchsorted"
    family = "indexing"
    parameters = (
        Operand("a", ("x", "sorted_sequence", "x1")),
        Operand("v", ("values", "x2", "input")),
        Attr("side", one_of("left", "right"), "left"),
        Attr("right", BOOL, False, keyword_only=True),
    )
    rules = (Zero(),)
    latex = "\\#\\{{i : {a}_i < {v}\\}}"
    convention = _INDEX
    examples = (
        Example(([1.0, 2.0, 4.0], [2.0, 0.5, 9.0, 3.0])),
        Example(([1.0, 2.0, 2.0, 4.0], 2.0), {"side": "right"}),
        Example(([1.0, 2.0, 2.0, 4.0], [[2.0], [4.5]]), note="the first of equal ones"),
        Example(([[1.0, 2.0], [3.0, 4.0]], [[1.5, 2.5, 0.0], [1.5, 3.5, 9.0]]), {"right": True}, note="rows"),
        Example(([1.0, 2.0], [float("nan")]), smooth=False),
        Example(([], [1.0])),
    )

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var:
        """One node."""
        a, v = operands
        lead_axes = a.rank - 1
        if a.rank == 0 or v.shape[:lead_axes] != a.shape[:-1] or v.rank < a.rank - 1:
            raise ShapeMismatch(
                f"searchsorted needs a vector, or rows of which v has as many; the shapes are {list(a.shape)} and "
                f"{list(v.shape)}."
            )
        return search(a, v, attrs["right"] or attrs["side"] == "right")

    def infer(self, *avals: Aval, **params: Any) -> Avals:
        """Integers of the shape of v."""
        a, v = avals
        if a.rank == 0 or v.shape[: a.rank - 1] != a.shape[:-1]:
            raise ShapeMismatch(f"searchsorted: {v} does not fit {a}.")
        return Aval(v.shape, "int64")

    def evaluate(self, *arrays: Any, **params: Any) -> Any:
        """NumPy's, row by row."""
        a, v = np.asarray(arrays[0]), np.asarray(arrays[1])
        side = params["side"]
        if a.ndim == 1:
            return np.asarray(np.searchsorted(a, v, side), np.int64)[()]
        rows = prod(a.shape[:-1])
        many = v.reshape(rows, prod(v.shape[a.ndim - 1 :]))
        found = [np.searchsorted(r, w, side) for r, w in zip(a.reshape(rows, a.shape[-1]), many, strict=True)]
        result: Array = np.array(found, np.int64).reshape(v.shape)
        return result

    def vmap(self, b: Any, size: int, operands: Sequence[Var], mapped: Sequence[bool], **params: Any) -> Any:
        """Mapped numbers in one array are more numbers; else each row has its own."""
        a, v = operands
        if a.rank == 1 and not mapped[0]:
            return b.write(self, a, v, **params).ref
        return b.write(self, lead(b, a, size, mapped[0]), lead(b, v, size, mapped[1]), **params).ref

    def flops(self, operands: Sequence[Aval], result: Avals, **params: Any) -> float:
        """A bisection for each."""
        a, v = operands
        return 4.0 * v.size * log2(a.shape[-1] + 2)


registry.add(SearchSorted())


def search(a: Var, v: Var, right: bool) -> Var:
    """`searchsorted`."""
    result: Var = a.b.write("searchsorted", a, v, side="right" if right else "left")
    return result


def _digitize(b: Builder, x: Var, bins: Var, **attrs: Any) -> Var:
    if bins.rank != 1:
        raise ShapeMismatch(f"digitize: bins must be a vector; their shape is {list(bins.shape)}.")
    n = bins.shape[0]
    rising = search(bins, x, not attrs["right"])
    if n < 2:
        return rising
    backwards = slice_axis(bins, -1, n - 1, -1, -1)
    falling = n - search(backwards, x, not attrs["right"])
    first, last = (slice_axis(bins, -1, k, k + 1).reshape(()) for k in (0, n - 1))
    return call(b, "where", first > last, falling, rising)


written(
    "digitize",
    _digitize,
    Operand("x", ("input",)),
    Operand("bins", ("boundaries",)),
    Attr("right", BOOL, False),
    aliases=("bucketize",),
    doc="""Number of the bin that each entry falls into, as `numpy.digitize`: bins[i − 1] ≤ x < bins[i].

    With `right` bins[i − 1] < x ≤ bins[i]. Bins may descend: bins[i − 1] > x ≥ bins[i], with `right`
    bins[i − 1] ≥ x > bins[i]. That they are in order is not checked.""",
    latex="\\operatorname{{digitize}}({x})",
    family="indexing",
    convention=_INDEX,
    examples=(
        Example(([0.2, 6.4, 3.0, 1.6], [0.0, 1.0, 2.5, 4.0, 10.0])),
        Example(([1.0, 2.5, 11.0], [0.0, 1.0, 2.5, 4.0, 10.0]), {"right": True}, note="on the edges"),
        Example(([0.2, 4.0, 3.0, 11.0], [10.0, 4.0, 2.5, 0.0]), note="descending"),
        Example(([0.2, 4.0, 3.0, 11.0], [10.0, 4.0, 2.5, 0.0]), {"right": True}),
        Example(([0.2, 4.0], [1.0])),
    ),
)


def _bincount(b: Builder, x: Var, weights: Var | None, **attrs: Any) -> Var:
    if x.rank != 1:
        raise ShapeMismatch(f"bincount takes a vector of integers; here the shape is {list(x.shape)}.")
    if weights is not None and weights.shape != x.shape:
        raise ShapeMismatch(
            f"bincount: x and weights must have one shape; theirs are {list(x.shape)} and {list(weights.shape)}."
        )
    given = attrs["minlength"] if attrs["length"] is None else attrs["length"]
    n, constant = 0 if given is None else given, known(x)
    if n < 0:
        raise InvalidAttribute(f"bincount: minlength {n} must not be negative.")
    if constant is not None and attrs["length"] is None:
        n = max(n, int(constant.max(initial=-1)) + 1)
    elif given is None:
        raise InvalidAttribute(
            "bincount: how many bins there are would depend on the values in x, and shapes must be known before "
            "anything runs: say minlength (all entries of x must be below it)."
        )
    index = checked(x, n, by="bincount", what="the bins (minlength)", low=0)
    dtype = "int64" if weights is None else b.dtype
    ones = broadcast_to(b.var(1, "int64"), x.shape) if weights is None else cast(b, weights, b.dtype)
    zeros = broadcast_to(b.var(0, dtype), (n,))
    result: Var = b.write("scatter_add", zeros, index, ones, axis=-1, batch_dims=0)
    return result


written(
    "bincount",
    _bincount,
    Operand("x", ("input",), integer=True),
    Operand("weights", optional=True),
    Attr("minlength", optional(SIZE), None),
    Attr("length", optional(SIZE), None, keyword_only=True),
    doc="""How often each of 0, 1, … occurs in a vector of integers; with weights, the sums of the weights.

    There are `minlength` bins (JAX's `length` is the same), and an integer outside of them is an error: the shape of the
    result must not depend on data. Only where x is a constant may there be more of them, or minlength be left out.""",
    latex="\\#\\{{i : {x}_i = k\\}}",
    family="indexing",
    derivative={"weights": "[x_i = k]"},
    convention="Without weights it is a count, which has no derivative.",
    examples=(
        Example(([0, 2, 2, 1], [0.5, 1.0, -2.0, 4.0]), {"minlength": 4}),
        Example(([0, 2, 2, 1],), {"minlength": 3}),
        Example(([], []), {"minlength": 2}),
    ),
)
